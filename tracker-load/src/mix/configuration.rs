//! What is asked for over UDP.

use anyhow::{Result, ensure};

use crate::options::options;

options! {
    /// Requests in flight at most, over all sockets
    window: u32 = 256,
    /// Sockets, each with a source port of its own
    sockets: u32 = 8,
    /// Weight of connects among the requests
    connects: u32 = 10,
    /// Share of announces and scrapes that have a bad connection id, 0 to 1
    bad_ids: f64 = 0.0,
    /// Interface to send and receive frames by, past the network stack (AF_XDP, on queue 0); "" for sockets
    xdp: String = String::new(),
    /// With it: the tracker's hardware address, or the gateway's; "" to look it up
    mac: String = String::new(),
    /// Peers wanted in an answer; -1 leaves it to the tracker
    want: i32 = -1,
}

impl Configuration {
    fn check(&self) -> Result<()> {
        ensure!((1..=1_000_000).contains(&self.window), "window is from 1 to 1000000");
        ensure!(
            (1..=self.window.min(4096)).contains(&self.sockets),
            "sockets are from 1 to 4096, and no more than the window"
        );
        ensure!(
            self.window.div_ceil(self.sockets) <= 65_536,
            "a socket has 65536 requests in flight at most: take more sockets"
        );
        ensure!(self.connects + self.announces + self.scrapes > 0, "all weights are 0");
        ensure!(self.xdp.is_empty() || self.sockets <= 1024, "sockets are 1024 at most with xdp");
        ensure!((0.0..=1.0).contains(&self.bad_ids), "bad_ids is a share, from 0 to 1");
        Ok(())
    }
}
