//! Both lists as front ends see them: each is replaced as a whole.

use arc_swap::ArcSwap;

use crate::access_list::AccessList;
use crate::block_list::BlockList;

/// The lists in force; loaded once a batch, or once a request.
#[derive(Debug, Default)]
pub struct SharedLists {
    /// Which torrents may be tracked.
    pub access: ArcSwap<AccessList>,
    /// Who isn't answered at all.
    pub block: ArcSwap<BlockList>,
}
