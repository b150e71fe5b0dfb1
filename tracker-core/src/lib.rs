//! What a tracker is: a table that many read and one writes, and rules about who may be in it.
#![forbid(unsafe_code)]

pub mod access_list;
pub mod block_list;
mod lists;
mod memory;
mod numbers;
mod place;
pub mod policy;
pub mod queue;
mod reader;
mod scan;
mod stats;
pub mod udp;
mod writer;

pub use access_list::AccessList;
pub use block_list::BlockList;
pub use memory::OutOfMemory;
pub use policy::Policy;
pub use queue::{EventSink, EventSource, queues};
pub use reader::TableReader;
pub use stats::Totals;
pub use writer::{Applied, Expired, Limits, Millis, TableWriter};
