//! A server that costs what sockets cost: a constant answer by the tracker's own back ends, `recvmmsg` and `sendmmsg` or io_uring.

use std::net::UdpSocket;
use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result};
use clap::Args;
use tracker_user::udp::backend::Backend;
use tracker_user::udp::sys::mmsg::Mmsg;
use tracker_user::udp::sys::ring::Ring;

/// Flags of `null`.
#[derive(Args, Clone)]
pub(crate) struct Flags {
    /// Where it listens
    address: std::net::SocketAddr,
    /// By io_uring
    #[arg(long)]
    io_uring: bool,
}

/// Peers in its answers to announces.
const PEERS: u8 = 30;

/// Answers until it is killed.
pub(crate) fn run(flags: &Flags) -> Result<()> {
    let socket =
        UdpSocket::bind(flags.address).with_context(|| format!("cannot bind to {}", flags.address))?;
    // As large as the tracker's.
    let _as_much_as_allowed = tracker_user::udp::sys::force_receive_buffer(&socket, 4 << 20);
    if flags.io_uring {
        serve(&mut Ring::new(socket.as_fd()).context("io_uring")?)
    } else {
        serve(&mut Mmsg::new(socket.as_fd()))
    }
}

fn serve(batch: &mut impl Backend) -> Result<()> {
    let announced = announced();
    loop {
        let count = batch.receive().context("receiving")?;
        for i in 0..count {
            let Some((request, _, out)) = batch.request(i) else { continue };
            let len = answer(request, &announced, out);
            batch.answer(i, len);
        }
        batch.send(count).context("sending")?;
    }
}

fn answer(request: &[u8], announced: &[u8], out: &mut [u8]) -> usize {
    let (Some(action), Some(transaction)) = (request.get(8..12), request.get(12..16)) else { return 0 };
    let body = match action {
        [0, 0, 0, 0] => &[7; 8][..],
        [0, 0, 0, 1] => announced,
        _ => &[0; 12],
    };
    out[..4].copy_from_slice(action);
    out[4..8].copy_from_slice(transaction);
    out[8..8 + body.len()].copy_from_slice(body);
    8 + body.len()
}

/// An answer to an announce behind its transaction id (BEP 15).
fn announced() -> Vec<u8> {
    let mut body = [1800_u32, 50, 0].map(u32::to_be_bytes).concat();
    body.extend((1..=PEERS).flat_map(|peer| [10, 0, 0, peer, 0x1a, 0xe1]));
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_the_length_of_real_ones() {
        let mut out = [0; 1472];
        for (action, len) in [(0, 16), (1, 20 + 6 * usize::from(PEERS)), (2, 20)] {
            let request = [&[9; 8][..], &[0, 0, 0, action], b"tran", &[0; 82]].concat();
            assert_eq!(answer(&request, &announced(), &mut out), len);
            assert_eq!(out[..8], [0, 0, 0, action, b't', b'r', b'a', b'n']);
        }
        assert_eq!(answer(b"short", &announced(), &mut out), 0);
    }
}
