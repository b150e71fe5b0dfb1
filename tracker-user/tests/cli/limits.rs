//! `map limit`: at once, in the sockets and in the kernel, and still there after a restart.

use tracker_testkit::daemon::Configuration;
use tracker_testkit::payload;
#[cfg(feature = "xdp")]
use tracker_testkit::skip::{Requirement, must_skip};

#[cfg(feature = "xdp")]
use crate::wired::Wired;
use crate::{client, on_loopback, running};

/// More than all windows and processors of a test let through.
#[cfg(feature = "xdp")]
const FLOOD: u64 = 3000;

#[test]
fn a_source_beyond_the_limit_gets_silence_from_the_sockets_until_it_is_lifted() {
    let (home, daemon) = running(&Configuration { more: "[limits]\n".into(), ..on_loopback("off", "") });
    assert_eq!(home.told(&["map", "limit"]), "connects 1000\nbad_ids 1000\nannounces off\n");
    assert_eq!(
        home.told(&["map", "limit", "connects", "1", "announces", "2"]),
        "connects 1\nbad_ids 1000\nannounces 2\n"
    );
    let counted = |verdict: &str| home.stats()["sockets"][verdict].as_u64().expect("it is a counter");
    let flooding = client(&daemon);
    for _ in 0..100 {
        flooding.send(&payload::connect(1));
    }
    daemon.eventually("the source is cut", || (counted("drop_limit_connect") > 0).then_some(()));
    assert!(counted("connect") >= 1);

    daemon.stop_well();
    let daemon = home.start(None);
    assert_eq!(home.told(&["map", "limit"]), "connects 1\nbad_ids 1000\nannounces 2\n");
    home.told(&["map", "limit", "connects", "off", "announces", "off"]);
    let client = client(&daemon);
    for _ in 0..100 {
        client.connection_id();
    }
    let said = home.refused(&["map", "limit", "connects", "many"]);
    assert!(said.contains("neither off nor a number from 1 to 65535"), "{said}");
}

#[cfg(feature = "xdp")]
#[test]
fn a_source_beyond_the_limit_gets_silence_from_the_kernel_at_once() {
    if must_skip(&[Requirement::Root, Requirement::Bpf]) {
        return;
    }
    let wired = Wired::new("off", "");
    let daemon = wired.start();
    let client = wired.client(&daemon);
    client.connection_id();
    wired.home.told(&["map", "limit", "connects", "3"]);
    for _ in 0..FLOOD {
        client.send(&payload::connect(1));
    }
    daemon.eventually("the source is cut", || {
        (wired.count("kernel", "drop_limit_connect") > FLOOD / 2).then_some(())
    });
    assert_eq!(wired.count("sockets", "drop_limit_connect"), 0);
}
