//! The same over HTTP and HTTPS: the certificate is from an authority that the clients are told to trust.

use std::path::Path;
use std::process::Command;

use tracker_testkit::daemon::{Configuration, Home};
use tracker_testkit::http::authority::Authority;
use tracker_testkit::skip::{Requirement, must_skip};

use crate::{ARIA2, LIBTORRENT, Place, ROOT, Task, aria2, exchange_file, libtorrent, transmission};

const TRANSMISSION: Requirement = Requirement::Program("transmission-cli");

/// One test for each client, scheme and family.
macro_rules! transfers {
    ($($name:ident: $client:ident, $scheme:literal, $over_ipv6:literal, [$($needs:expr),+];)+) => {
        $(
            #[test]
            fn $name() {
                if must_skip(&[ROOT[0], ROOT[1], $($needs),+]) {
                    return;
                }
                transfer($client::command, $scheme, $over_ipv6);
            }
        )+
    };
}

transfers! {
    aria2_finds_its_peer_over_http: aria2, "http", false, [ARIA2, LIBTORRENT];
    aria2_finds_its_peer_over_https: aria2, "https", false, [ARIA2, LIBTORRENT];
    libtorrent_finds_its_peer_over_http: libtorrent, "http", false, [LIBTORRENT];
    libtorrent_finds_its_peer_over_https: libtorrent, "https", false, [LIBTORRENT];
    libtorrent_finds_its_peer_over_http_and_ipv6: libtorrent, "http", true, [LIBTORRENT];
    libtorrent_finds_its_peer_over_https_and_ipv6: libtorrent, "https", true, [LIBTORRENT];
    transmission_finds_its_peer_over_http: transmission, "http", false, [TRANSMISSION, LIBTORRENT];
    transmission_finds_its_peer_over_https: transmission, "https", false, [TRANSMISSION, LIBTORRENT];
    transmission_finds_its_peer_over_https_and_ipv6: transmission, "https", true, [TRANSMISSION, LIBTORRENT];
}

/// One client seeds, one leeches, and the tracker has introduced them over HTTP alone.
fn transfer(client: impl Fn(&Task<'_>) -> Command, scheme: &str, over_ipv6: bool) {
    let place = Place::lan();
    let home = Home::new(env!("CARGO_BIN_EXE_tracker-user"));
    let [v4, v6] = place.listen;
    let authority = Authority::new();
    let identity = authority.identity(&[v4, v6]);
    home.write("authority.pem", &authority.pem());
    home.write("chain.pem", &identity.chain);
    home.write("key.pem", &identity.key);
    let listen = [format!("{scheme}://{v4}:0"), format!("{scheme}://[{v6}]:0")];
    let (chain, key) = (home.path("chain.pem"), home.path("key.pem"));
    home.configure(&Configuration {
        http: format!("[http]\nlisten = {listen:?}\n[tls]\ncertificate = {chain:?}\nprivate_key = {key:?}\n"),
        ..Configuration::sockets(&[&format!("{v4}:0")])
    });
    let daemon = home.start(Some(&place.server));
    let url = format!("{scheme}://{}/announce", daemon.http_address(scheme, over_ipv6));
    let authority = home.path("authority.pem");
    let authority: Option<&Path> = (scheme == "https").then_some(&authority);
    exchange_file(&client, &home, &daemon, &place, over_ipv6, &url, authority);
    let stats = home.stats();
    let count = |name: &str| stats["http"][name].as_u64().unwrap_or_default();
    assert!(count("announce") >= 2, "{stats}");
    assert_eq!(count("tls_handshakes") >= 2, scheme == "https", "{stats}");
    assert_eq!(stats["sockets"]["announce"].as_u64().unwrap_or_default(), 0, "{stats}");
    daemon.stop_well();
}
