//! Queries as clients send them.

use tracker_common::wire::AnnounceKind;

use super::*;

const HASH: &[u8; 20] = b"\x12\x34\x56\x78\x9a\xbc\xde\xf1\x23\x45\x67\x89\xab\xcd\xef\x12\x34\x56\x78\x9a";

/// BEP 3's own way to write it.
const ESCAPED: &str = "%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A";

fn read(query: &str) -> Result<Announce, BadQuery> {
    announce(query.as_bytes())
}

/// With what an announce needs, before `more`.
fn with(more: &str) -> Announce {
    read(&format!("info_hash={ESCAPED}&peer_id=-XX0000-abcdefghijkl&port=6881&{more}"))
        .expect("nothing is missing")
}

#[test]
fn an_announce_needs_a_hash_a_peer_id_and_a_port() {
    let announce = read(&format!("info_hash={ESCAPED}&peer_id=-XX0000-abcdefghijkl&port=6881")).unwrap();
    assert_eq!(
        announce,
        Announce {
            info_hash: *HASH,
            peer_id: *b"-XX0000-abcdefghijkl",
            port: 6881,
            seeder: false,
            kind: AnnounceKind::None,
            num_want: -1,
            compact: true,
            ip: None,
            ipv4: None,
            ipv6: None,
        }
    );
    let _ = with("");
}
