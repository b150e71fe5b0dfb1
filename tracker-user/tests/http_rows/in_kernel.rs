//! Peers that announce over UDP where the kernel answers, and peers that announce over HTTP: one swarm (H11).

use std::net::SocketAddr;
use std::sync::Arc;

use tracker_testkit::answer::Answer as UdpAnswer;
use tracker_testkit::client::Client;
use tracker_testkit::daemon::{Configuration, Home};
use tracker_testkit::http::answer::{Announced, Answer};
use tracker_testkit::http::connection::Dial;
use tracker_testkit::http::play::read_answer;
use tracker_testkit::http::query::{self, Version};
use tracker_testkit::netns::{BpfFileSystem, Namespace};
use tracker_testkit::payload;
use tracker_testkit::skip::{Requirement, must_skip};

const INFO_HASH: [u8; 20] = [0x77; 20];

#[test]
fn announces_that_the_kernel_answers_and_those_over_http_make_one_swarm() {
    if must_skip(&[Requirement::Root, Requirement::Bpf]) {
        return;
    }
    let namespace = Arc::new(Namespace::new());
    let pins = BpfFileSystem::mount();
    let home = Home::new(crate::BINARY);
    let listen = ["127.0.0.1:0", "[::1]:0"];
    let http = listen.map(|address| format!("http://{address}"));
    home.configure(&Configuration {
        http: format!("[http]\nlisten = {http:?}\n"),
        ..Configuration::sockets(&listen).with_xdp("generic", "lo", &pins.path())
    });
    let daemon = home.start(Some(&namespace));
    let announce_http = |is_ipv6, port| {
        let to = daemon.http_address("http", is_ipv6);
        let announce = query::Announce { info_hash: INFO_HASH, port, ..query::Announce::default() };
        let way = Dial { namespace: Some(Arc::clone(&namespace)), ..Dial::plain(to) };
        let request = query::get(announce.target().as_bytes(), &[], Version::Http11);
        match read_answer(&way.open().unwrap().ask(&request).unwrap()) {
            Ok(Answer::Announce(announced)) => announced,
            other => panic!("an announce got {other:?}"),
        }
    };
    let announce_udp = |is_ipv6, port| {
        let client = Client::new(Some(&namespace), daemon.address(is_ipv6));
        match client.announce(&payload::Announce {
            info_hash: INFO_HASH,
            port,
            ..payload::Announce::default()
        }) {
            UdpAnswer::Announce { peers, .. } => peers,
            other => panic!("an announce got {other:?}"),
        }
    };
    let peers = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
    announce_udp(false, 1);
    announce_udp(true, 2);
    let wanted = peers(&["127.0.0.1:1", "[::1]:2"]);
    let seen = |announced: Announced| {
        let mut peers = announced.peers;
        peers.sort();
        peers
    };
    daemon.eventually("peers of UDP are told over HTTP", || {
        (seen(announce_http(false, 3)) == wanted).then_some(())
    });
    announce_http(true, 4);
    for (is_ipv6, wanted) in [(false, peers(&["127.0.0.1:3"])), (true, peers(&["[::1]:4"]))] {
        daemon.eventually("peers of HTTP are told over UDP", || {
            let port = 1 + u16::from(is_ipv6);
            (announce_udp(is_ipv6, port) == wanted).then_some(())
        });
    }
    let stats = home.stats();
    assert!(stats["kernel"]["announce"].as_u64() > Some(0), "{stats}");
    assert!(stats["http"]["announce"].as_u64() > Some(0), "{stats}");
    daemon.stop_well();
}
