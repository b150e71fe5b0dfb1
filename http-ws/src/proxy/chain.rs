//! The way of a request through the proxies, backwards: from the one that connected to us to the client.
//!
//! Each proxy appends from whom it got the request. So the last word is that of the proxy that we trust; the word before it is worth something
//! only when it was given by a proxy that we trust as well; and so on. The first address that isn't a trusted proxy's is the client's, and what
//! stands before it is what the client made up.

use std::net::IpAddr;

use memchr::memrchr;
use tracker_common::connection_id::Address;
use tracker_core::BlockList;

use super::{ProxyHeader, forwarded};
use crate::query::address::address;

/// The proxy doesn't say who the client is, or nothing that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoClientAddress;

/// The client's address from the values of all headers of that name, in their order: walked from the right past trusted proxies. When all are
/// trusted, the leftmost; an IPv4-mapped one as IPv4 (U20).
///
/// # Errors
///
/// [`NoClientAddress`].
pub fn client_address<'a>(
    header: ProxyHeader,
    values: impl DoubleEndedIterator<Item = &'a [u8]>,
    trusted: &BlockList,
) -> Result<IpAddr, NoClientAddress> {
    let mut walk = Walk { trusted, reached: None };
    for value in values.rev() {
        let client = match header {
            ProxyHeader::XForwardedFor => walk.list(value),
            ProxyHeader::XRealIp => walk.word(value.trim_ascii()),
            ProxyHeader::Forwarded => walk.elements(value),
        };
        if let Some(client) = client {
            return client;
        }
    }
    walk.reached.ok_or(NoClientAddress)
}

/// Going back. The steps' result is `None` while the client may still be further away.
struct Walk<'a> {
    trusted: &'a BlockList,
    /// The trusted proxy that is farthest away so far.
    reached: Option<IpAddr>,
}

type Client = Result<IpAddr, NoClientAddress>;

impl Walk<'_> {
    fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted.blocks(&Address::from(address))
    }

    /// Past one proxy's word.
    fn word(&mut self, word: &[u8]) -> Option<Client> {
        match address(word) {
            Some(address) if self.is_trusted(address) => self.reached = Some(address),
            Some(address) => return Some(Ok(address)),
            None => return Some(Err(NoClientAddress)),
        }
        None
    }

    /// Past the words in one line of `X-Forwarded-For`.
    fn list(&mut self, value: &[u8]) -> Option<Client> {
        let mut left = Some(value);
        while let Some(list) = left {
            let word = match memrchr(b',', list).and_then(|comma| list.split_at_checked(comma)) {
                Some((before, word)) => {
                    left = Some(before);
                    word.get(1..).unwrap_or_default()
                }
                None => {
                    left = None;
                    list
                }
            };
            let word = word.trim_ascii();
            // RFC 9110, section 5.6.1.2: empty elements of a list are nothing.
            if !word.is_empty() {
                let client = self.word(word);
                if client.is_some() {
                    return client;
                }
            }
        }
        None
    }

    /// Past the elements in one line of `Forwarded`. They are read from the left, since only so one can tell whether a comma is in quotes; what
    /// decides is the last one that doesn't name a trusted proxy, as if they were walked from the right.
    fn elements(&mut self, value: &[u8]) -> Option<Client> {
        let mut client = None;
        let mut leftmost = None;
        for named in forwarded::elements(value) {
            match named {
                Ok(address) if self.is_trusted(address) => leftmost = leftmost.or(Some(address)),
                other => client = Some(other),
            }
        }
        self.reached = leftmost.or(self.reached);
        client
    }
}
