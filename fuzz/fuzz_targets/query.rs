//! Queries of announces and scrapes: whatever comes is read or refused, the same each time, and an announce that is read can be written and
//! read again.
#![no_main]

use std::fmt::Write;

use http_ws::query::{Announce, BadQuery, announce, info_hashes};
use libfuzzer_sys::fuzz_target;
use tracker_common::wire::AnnounceKind;

fn write(read: &Announce) -> String {
    let escaped = |bytes: &[u8]| bytes.iter().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let mut query = format!(
        "info_hash={}&peer_id={}&port={}&left={}&numwant={}&compact={}",
        escaped(&read.info_hash),
        escaped(&read.peer_id),
        read.port,
        u8::from(!read.seeder),
        read.num_want,
        u8::from(read.compact),
    );
    query += match read.kind {
        AnnounceKind::None => "",
        AnnounceKind::Completed => "&event=completed",
        AnnounceKind::Started => "&event=started",
        AnnounceKind::Stopped => "&event=stopped",
        AnnounceKind::Paused => "&event=paused",
    };
    let mut host = |key, address: Option<String>| {
        if let Some(address) = address {
            write!(query, "&{key}={}", escaped(address.as_bytes())).expect("a string takes everything");
        }
    };
    host("ip", read.ip.map(|ip| ip.to_string()));
    host("ipv4", read.ipv4.map(|ip| ip.to_string()));
    host("ipv6", read.ipv6.map(|ip| ip.to_string()));
    query
}

fuzz_target!(|query: &[u8]| {
    let hashes: Vec<_> = info_hashes(query).collect();
    match announce(query) {
        Ok(read) => {
            assert_eq!(hashes.last(), Some(&Ok(read.info_hash)));
            assert_ne!(read.port, 0);
            assert!(read.num_want == -1 || read.num_want > 0);
            assert_eq!(announce(write(&read).as_bytes()), Ok(read));
        }
        Err(BadQuery::MissingInfoHash) => assert!(hashes.is_empty()),
        Err(BadQuery::InvalidInfoHash) => assert_eq!(hashes.last(), Some(&Err(BadQuery::InvalidInfoHash))),
        Err(_) => assert!(hashes.last().is_some_and(Result::is_ok)),
    }
});
