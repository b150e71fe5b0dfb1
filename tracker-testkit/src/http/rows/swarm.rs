//! H11 and the paragraphs on peer selection and counts: one swarm, however its peers came to it.

use super::{PORT, Rows, peer};
use crate::http::case::Reply::Accepted;
use crate::http::case::{announced, announced_some, counts};
use crate::http::query::Announce;
use crate::rows::Family::{V4, V6};
use crate::{http::case::Peer, payload};

pub(super) fn add(rows: &mut Rows) {
    rows.both("H11", "who announced over UDP is in the answers of HTTP, and the other way round", |s| {
        let from_udp = payload::Announce { port: 1, left: 0, ..s.udp_leecher() };
        vec![
            s.host(0).announces_by_udp(from_udp, None),
            s.host(1).announces(s.leecher(), announced(1, 1, &[(s.host(0).address(), 1)])),
            s.host(2).announces_by_udp(
                s.udp_leecher(),
                Some((1, 2, vec![(s.host(0).address(), 1), peer(s.host(1))])),
            ),
            s.host(1).announces(s.leecher(), announced(1, 2, &[(s.host(0).address(), 1), peer(s.host(2))])),
            s.host(1).scrapes(&[s.hash(0)], &[(s.hash(0), counts(1, 0, 2))]),
        ]
    });
    rows.both("H11", "one client over UDP and HTTP is one peer", |s| {
        let stopped = Announce { event: Some("stopped"), ..s.leecher() };
        vec![
            s.host(0).announces_by_udp(s.udp_leecher(), None),
            s.host(0).announces(s.leecher(), announced(0, 1, &[])),
            s.host(1).announces(s.leecher(), announced(0, 2, &[peer(s.host(0))])),
            s.host(0).announces(stopped, announced(0, 1 + u64::from(s.family == V6), &[])),
            s.host(0).announces_by_udp(s.udp_leecher(), Some((0, 2, vec![peer(s.host(1))]))),
        ]
    });
    rows.any("H11", "an answer holds peers of both families, whoever asks", |s| {
        let (v4, v6) = (|n| s.host_of(V4, n), |n| s.host_of(V6, n));
        let all = [peer(v4(0)), peer(v6(0))];
        vec![
            v4(0).announces(s.leecher(), Accepted),
            v6(0).announces(s.leecher(), announced(0, 2, &all[..1])),
            v4(1).announces(s.leecher(), announced(0, 3, &all)),
            v6(1).announces(
                Announce { left: Some(0), ..s.leecher() },
                announced(1, 3, &[all[0], all[1], peer(v4(1))]),
            ),
            v6(0).announces(
                Announce { compact: Some("0"), ..s.leecher() },
                announced(1, 3, &[all[0], peer(v4(1)), peer(v6(1))]).in_a_list(),
            ),
            v4(2).scrapes(&[s.hash(0)], &[(s.hash(0), counts(1, 0, 3))]),
        ]
    });
    rows.any("H11", "over UDP the peers are of the packet's family, and the counts of both", |s| {
        let (v4, v6) = (|n| s.host_of(V4, n), |n| s.host_of(V6, n));
        vec![
            v4(0).announces(s.leecher(), Accepted),
            v6(0).announces(s.leecher(), Accepted),
            v4(1).announces_by_udp(s.udp_leecher(), Some((0, 3, vec![peer(v4(0))]))),
            v6(1).announces_by_udp(s.udp_leecher(), Some((0, 4, vec![peer(v6(0))]))),
        ]
    });
    rows.any("H11", "numwant counts the peers of both families together", |s| {
        let mut steps = Vec::new();
        let mut others: Vec<Peer> = Vec::new();
        for n in 0..30 {
            for family in [V4, V6] {
                steps.push(
                    s.host_of(family, 0).announces(Announce { port: 2000 + n, ..s.leecher() }, Accepted),
                );
                others.push((s.host_of(family, 0).address(), 2000 + n));
            }
        }
        for family in [V4, V6] {
            steps.push(s.host_of(family, 1).announces(s.leecher(), Accepted));
            others.push((s.host_of(family, 1).address(), PORT));
        }
        for (numwant, count) in [(1, 1), (2, 2), (7, 7), (30, 30), (49, 49), (50, 50), (60, 50)] {
            for family in [V4, V6] {
                let asking = s.host_of(family, 1);
                let announce = Announce { numwant: Some(numwant), ..s.leecher() };
                let of: Vec<Peer> =
                    others.iter().copied().filter(|(address, _)| *address != asking.address()).collect();
                steps.push(asking.announces(announce, announced_some(0, 62, count, &of)));
            }
        }
        steps
    });
    rows.both("H11", "the same address at another port is another peer", |s| {
        vec![
            s.host(0).announces(Announce { port: 1, ..s.leecher() }, Accepted),
            s.host(0)
                .announces(Announce { port: 2, ..s.leecher() }, announced(0, 2, &[(s.host(0).address(), 1)])),
            // Another peer id at the same place is the same peer.
            s.host(0).announces(
                Announce { port: 2, peer_id: [b'x'; 20], ..s.leecher() },
                announced(0, 2, &[(s.host(0).address(), 1)]),
            ),
        ]
    });
}
