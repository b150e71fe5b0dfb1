//! BEP 15 answers read from bytes, strictly: a length that does not add up is an error.
//!
//! Used by [`crate::run`] and by tests that look at one particular answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// An answer of the tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Action 0.
    Connect {
        /// As sent in the request.
        transaction: u32,
        /// To be sent with announces and scrapes.
        connection_id: u64,
    },
    /// Action 1.
    Announce {
        /// As sent in the request.
        transaction: u32,
        /// Seconds until the next announce.
        interval: u32,
        /// Peers that still download.
        leechers: u32,
        /// Peers that have everything.
        seeders: u32,
        /// Other peers, in the order of the answer.
        peers: Vec<SocketAddr>,
    },
    /// Action 2.
    Scrape {
        /// As sent in the request.
        transaction: u32,
        /// One entry for each hash of the request.
        counts: Vec<Counts>,
    },
    /// Action 3.
    Error {
        /// As sent in the request.
        transaction: u32,
        /// For a person to read.
        text: String,
    },
}

/// One torrent's entry of a scrape answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Peers that have everything.
    pub seeders: u32,
    /// Downloads ever completed.
    pub completed: u32,
    /// Peers that still download.
    pub leechers: u32,
}

impl Answer {
    /// Reads an answer to a request sent over IPv6 or IPv4.
    pub fn read(bytes: &[u8], over_ipv6: bool) -> Result<Self, String> {
        let (head, rest) =
            bytes.split_first_chunk::<8>().ok_or(format!("an answer of {} bytes", bytes.len()))?;
        let action = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let transaction = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        match action {
            0 => {
                let id = rest.try_into().map_err(|_| format!("a connect answer of {} bytes", bytes.len()))?;
                Ok(Self::Connect { transaction, connection_id: u64::from_be_bytes(id) })
            }
            1 => {
                let (numbers, peers) = rest
                    .split_first_chunk::<12>()
                    .ok_or(format!("an announce answer of {} bytes", bytes.len()))?;
                let [interval, leechers, seeders] = words(numbers);
                let peers = if over_ipv6 { peers_v6(peers) } else { peers_v4(peers) }?;
                Ok(Self::Announce { transaction, interval, leechers, seeders, peers })
            }
            2 => {
                let (entries, []) = rest.as_chunks::<12>() else {
                    return Err(format!("a scrape answer of {} bytes", bytes.len()));
                };
                let counts = entries.iter().map(words).map(|[seeders, completed, leechers]| Counts {
                    seeders,
                    completed,
                    leechers,
                });
                Ok(Self::Scrape { transaction, counts: counts.collect() })
            }
            3 => {
                let text = str::from_utf8(rest)
                    .map_err(|error| format!("an error text that is not UTF-8: {error}"))?;
                Ok(Self::Error { transaction, text: text.to_owned() })
            }
            other => Err(format!("an answer with action {other}")),
        }
    }

    /// The request's number, as the answer repeats it.
    pub fn transaction(&self) -> u32 {
        match self {
            Self::Connect { transaction, .. }
            | Self::Announce { transaction, .. }
            | Self::Scrape { transaction, .. }
            | Self::Error { transaction, .. } => *transaction,
        }
    }
}

fn words(bytes: &[u8; 12]) -> [u32; 3] {
    let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    [word(0), word(4), word(8)]
}

fn peers_v4(bytes: &[u8]) -> Result<Vec<SocketAddr>, String> {
    let (peers, []) = bytes.as_chunks::<6>() else {
        return Err(format!("{} bytes of IPv4 peers", bytes.len()));
    };
    let peer = |p: &[u8; 6]| {
        let address = Ipv4Addr::new(p[0], p[1], p[2], p[3]);
        SocketAddr::new(IpAddr::V4(address), u16::from_be_bytes([p[4], p[5]]))
    };
    Ok(peers.iter().map(peer).collect())
}

fn peers_v6(bytes: &[u8]) -> Result<Vec<SocketAddr>, String> {
    let (peers, []) = bytes.as_chunks::<18>() else {
        return Err(format!("{} bytes of IPv6 peers", bytes.len()));
    };
    let peer = |p: &[u8; 18]| {
        let mut address = [0; 16];
        address.copy_from_slice(&p[..16]);
        SocketAddr::new(IpAddr::V6(Ipv6Addr::from(address)), u16::from_be_bytes([p[16], p[17]]))
    };
    Ok(peers.iter().map(peer).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_do_not_add_up_are_errors() {
        for (bytes, over_ipv6) in [
            (vec![0; 7], false),
            (vec![0; 15], false),
            (vec![0; 17], false),
            ([&[0, 0, 0, 1][..], &[0; 17]].concat(), false),
            ([&[0, 0, 0, 1][..], &[0; 22]].concat(), true),
            ([&[0, 0, 0, 2][..], &[0; 11]].concat(), false),
            ([&[0, 0, 0, 3][..], &[0; 4], &[0xff]].concat(), false),
            ([&[0, 0, 0, 4][..], &[0; 4]].concat(), false),
        ] {
            assert!(Answer::read(&bytes, over_ipv6).is_err(), "{bytes:02x?}");
        }
    }

    #[test]
    fn peers_are_read_by_the_family_of_the_packet() {
        let head = [0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 7, 8, 0, 0, 0, 2, 0, 0, 0, 3];
        let v4 = [&head[..], &[192, 0, 2, 1, 0x1a, 0xe1]].concat();
        let Answer::Announce { transaction: 9, interval: 1800, leechers: 2, seeders: 3, peers } =
            Answer::read(&v4, false).unwrap()
        else {
            panic!("{v4:02x?}")
        };
        assert_eq!(peers, ["192.0.2.1:6881".parse().unwrap()]);
    }
}
