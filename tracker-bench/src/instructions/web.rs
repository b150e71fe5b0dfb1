//! Announces over HTTP through the whole server, on one connection: hyper and tokio are part of the path.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http_ws::{Context, Endpoint, Listener, Settings};
use tracker_core::{Policy, SharedLists, TableWriter};
use tracker_lab::population;

/// Serves announces of a table's torrents, and reads the answers.
pub(crate) fn announces(table: &mut TableWriter, requests: u32) -> Result<()> {
    let (sinks, source) = tracker_core::queues(1);
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a port")?;
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    let context = Context {
        table: table.reader(),
        lists: Arc::new(SharedLists::default()),
        policy: Policy::default(),
        settings: Arc::new(Settings::default()),
        clock: || 0,
        tls: None,
    };
    let endpoint = Endpoint { address, tls: false, proxy_protocol: false };
    let listeners = vec![Listener { endpoint, sockets: vec![socket] }];
    let server = http_ws::start(listeners, context, sinks, |reason| eprintln!("{reason}"))?;
    let mut stream = TcpStream::connect(address).context("connecting")?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let requests_of: Vec<Vec<u8>> = (0..100).map(request).collect();
    let mut buffer = [0; 4096];
    for number in 0..requests {
        stream.write_all(&requests_of[number as usize % requests_of.len()])?;
        // One write of the server's, far smaller than what loopback sends at once.
        let len = stream.read(&mut buffer)?;
        ensure!(buffer[..len].starts_with(b"HTTP/1.1 200 OK") && len > 300, "an answer of {len} bytes");
    }
    drop(stream);
    drop(server);
    drop(source);
    Ok(())
}

/// As libtorrent asks.
fn request(torrent: u32) -> Vec<u8> {
    let info_hash: String =
        population::info_hash(torrent).iter().map(|byte| format!("%{byte:02x}")).collect();
    format!(
        "GET /announce?info_hash={info_hash}&peer_id=-LT20B0-000000000000&port=6881&uploaded=0&downloaded=0&left=16384&corrupt=0\
         &key=4D3C2B1A&event=started&numwant=50&compact=1&no_peer_id=1&supportcrypto=1&redundant=0 HTTP/1.1\r\n\
         Host: tracker.example:6969\r\nUser-Agent: libtorrent/2.0.11.0\r\nAccept-Encoding: gzip\r\n\r\n"
    )
    .into_bytes()
}
