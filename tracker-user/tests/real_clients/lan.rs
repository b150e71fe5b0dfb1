//! Three machines that reach each other: a tracker's and two clients'.
//!
//! The clients' cables end in the tracker's machine, which forwards between them, so that each of the two interfaces can have
//! the XDP program in native mode (a bridge could not).

use std::sync::Arc;

use tracker_testkit::netns::{AttachedProgram, Namespace};

pub(crate) struct Lan {
    pub(crate) server: Arc<Namespace>,
    pub(crate) clients: [Arc<Namespace>; 2],
    _passes: Vec<AttachedProgram>,
}

impl Lan {
    /// The tracker's addresses, which belong to none of the cables.
    pub(crate) const SERVER_V4: &str = "10.99.0.1";
    pub(crate) const SERVER_V6: &str = "2001:db8::1";
    /// The clients' addresses; those of IPv6 from 2000::/3, without which Transmission does without IPv6.
    pub(crate) const CLIENTS_V4: [&str; 2] = ["10.99.1.2", "10.99.2.2"];
    pub(crate) const CLIENTS_V6: [&str; 2] = ["2001:db8:1::2", "2001:db8:2::2"];

    pub(crate) fn new() -> Self {
        let server = Arc::new(Namespace::new());
        server.sysctl("net/ipv4/ip_forward", "1");
        server.sysctl("net/ipv6/conf/all/forwarding", "1");
        server.ip(&format!("address add {}/32 dev lo", Self::SERVER_V4));
        server.ip(&format!("-6 address add {}/128 dev lo", Self::SERVER_V6));
        let clients = [Arc::new(Namespace::new()), Arc::new(Namespace::new())];
        let mut passes = Vec::new();
        for (n, client) in clients.iter().enumerate() {
            let (near, far) = (format!("10.99.{}.1", n + 1), format!("2001:db8:{}::1", n + 1));
            client.cable_to(&server, "cable0", &format!("cable{n}"));
            server.ip(&format!("address add {near}/24 dev cable{n}"));
            server.ip(&format!("-6 address add {far}/64 dev cable{n}"));
            server.ip(&format!("link set cable{n} up"));
            client.ip(&format!("address add {}/24 dev cable0", Self::CLIENTS_V4[n]));
            client.ip(&format!("-6 address add {}/64 dev cable0", Self::CLIENTS_V6[n]));
            client.ip("link set cable0 up");
            client.ip(&format!("route add default via {near}"));
            client.ip(&format!("-6 route add default via {far}"));
            passes.push(client.attach_pass_program("cable0", "lan_pass"));
        }
        Self { server, clients, _passes: passes }
    }

    /// Where the clients' packets arrive.
    pub(crate) fn server_interfaces(&self) -> Vec<String> {
        (0..self.clients.len()).map(|n| format!("cable{n}")).collect()
    }
}
