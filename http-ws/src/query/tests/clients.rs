//! Queries as clients send them. Captured, for a torrent of 33,000 bytes, unless said otherwise.

use tracker_common::wire::AnnounceKind;

use crate::query::{Announce, announce, info_hashes};

const HASH: [u8; 20] = *b"\xf5\xc0\xd2\x79\x5a\xb1\x39\x4e\x4e\xd6\xd7\xb3\x1e\x48\x32\xdd\x7b\xc3\xce\xbc";

#[test]
fn announces_of_clients_are_understood() {
    use AnnounceKind::{Completed, None, Started, Stopped};
    for (client, query, peer_id, port, seeder, kind, num_want) in [
        (
            "libtorrent 2.0.8",
            "info_hash=%f5%c0%d2yZ%b19NN%d6%d7%b3%1eH2%dd%7b%c3%ce%bc&peer_id=-LT2080-wm3qCa0Jd-)s&port=33721&uploaded=0&downloaded=0&left=33000&corrupt=0&key=E8F0BCED&event=started&numwant=200&compact=1&no_peer_id=1&supportcrypto=1&redundant=0",
            b"-LT2080-wm3qCa0Jd-)s",
            33721,
            false,
            Started,
            200,
        ),
        (
            "libtorrent 2.0.8, an announce URL with a query",
            "passkey=x&info_hash=%f5%c0%d2yZ%b19NN%d6%d7%b3%1eH2%dd%7b%c3%ce%bc&peer_id=-LT2080-DT8hiMWS(5Bl&port=33721&uploaded=0&downloaded=0&left=33000&corrupt=0&key=F54A5C7D&event=stopped&numwant=0&compact=1&no_peer_id=1&supportcrypto=1&redundant=0",
            b"-LT2080-DT8hiMWS(5Bl",
            33721,
            false,
            Stopped,
            -1,
        ),
        (
            "aria2 1.36.0",
            "info_hash=%F5%C0%D2yZ%B19NN%D6%D7%B3%1EH2%DD%7B%C3%CE%BC&peer_id=A2-1-36-0-%A5%96fP%9D%5C%DD%00%0BJ&uploaded=0&downloaded=0&left=33000&compact=1&key=fP%9D%5C%DD%00%0BJ&numwant=50&no_peer_id=1&port=6948&event=started&supportcrypto=1",
            b"A2-1-36-0-\xa5\x96fP\x9d\\\xdd\x00\x0bJ",
            6948,
            false,
            Started,
            50,
        ),
        (
            "Transmission 3.00",
            "passkey=x&info_hash=%f5%c0%d2yZ%b19NN%d6%d7%b3%1eH2%dd%7b%c3%ce%bc&peer_id=-TR3000-2x4eslv8kwk3&port=51499&uploaded=0&downloaded=0&left=33000&numwant=80&key=1c4679bf&compact=1&supportcrypto=1&event=started",
            b"-TR3000-2x4eslv8kwk3",
            51499,
            false,
            Started,
            80,
        ),
        (
            "bittorrent-tracker 9.19.0 (WebTorrent)",
            "left=100&numwant=50&uploaded=0&downloaded=0&event=started&compact=1&info_hash=%F5%C0%D2yZ%B19NN%D6%D7%B3%1EH2%DD%7B%C3%CE%BC&peer_id=-WW0207-a%20b%2Bc%7Ed%2Ae%2Ff%40&port=6881",
            b"-WW0207-a b+c~d*e/f@",
            6881,
            false,
            Started,
            50,
        ),
        (
            "bittorrent-tracker 9.19.0, which doesn't tell what is left of a complete torrent",
            "passkey=x&numwant=50&uploaded=0&downloaded=0&event=completed&compact=1&info_hash=%F5%C0%D2yZ%B19NN%D6%D7%B3%1EH2%DD%7B%C3%CE%BC&peer_id=-WW0207-a%20b%2Bc%7Ed%2Ae%2Ff%40&port=6881",
            b"-WW0207-a b+c~d*e/f@",
            6881,
            false,
            Completed,
            50,
        ),
        (
            "qBittorrent 4.6 (libtorrent's format, not captured)",
            "info_hash=%f5%c0%d2yZ%b19NN%d6%d7%b3%1eH2%dd%7b%c3%ce%bc&peer_id=-qB4650-~!(*.'_-abcd&port=8999&uploaded=0&downloaded=33000&left=0&corrupt=0&key=3A1B2C3D&numwant=200&compact=1&no_peer_id=1&supportcrypto=1&redundant=0",
            b"-qB4650-~!(*.'_-abcd",
            8999,
            true,
            None,
            200,
        ),
        (
            "µTorrent 3.x (format only, not captured)",
            "info_hash=%f5%c0%d2yZ%b19NN%d6%d7%b3%1eH2%dd%7b%c3%ce%bc&peer_id=-UT354S-%e8%ad%86%f5%0d%ee%86%40%9aXo%f9&port=53974&uploaded=0&downloaded=0&left=33000&corrupt=0&key=E96680BC&event=started&numwant=200&compact=1&no_peer_id=1&ipv6=2001%3adb8%3a%3a1",
            b"-UT354S-\xe8\xad\x86\xf5\x0d\xee\x86\x40\x9aXo\xf9",
            53974,
            false,
            Started,
            200,
        ),
    ] {
        let ipv6 = query.contains("ipv6").then(|| "2001:db8::1".parse().expect("an address"));
        let expected = Announce {
            info_hash: HASH,
            peer_id: *peer_id,
            port,
            seeder,
            kind,
            num_want,
            compact: true,
            ip: Option::None,
            ipv4: Option::None,
            ipv6,
        };
        assert_eq!(announce(query.as_bytes()), Ok(expected), "{client}");
    }
}

#[test]
fn scrapes_of_clients_are_understood() {
    for (client, query) in [
        ("Transmission 3.00", "info_hash=%f5%c0%d2yZ%b19NN%d6%d7%b3%1eH2%dd%7b%c3%ce%bc"),
        ("Transmission 3.00", "passkey=x&info_hash=%f5%c0%d2yZ%b19NN%d6%d7%b3%1eH2%dd%7b%c3%ce%bc"),
        ("bittorrent-tracker 9.19.0", "info_hash=%F5%C0%D2yZ%B19NN%D6%D7%B3%1EH2%DD%7B%C3%CE%BC"),
    ] {
        assert!(info_hashes(query.as_bytes()).eq([Ok(HASH)]), "{client}");
    }
}
