//! Listening sockets on the configured addresses: for each address one per worker, and no second tracker beside them.
//!
//! Called by [`prepare`](super::prepare). The kernel spreads connections over the sockets of a port by their addresses. As with UDP
//! (`udp::bind`), `SO_REUSEPORT` would let a second tracker of the same user take a share of them, so each port is first bound once without
//! it. Tests are below.

use std::io;
use std::net::{SocketAddr, TcpListener};

use anyhow::{Context as _, bail};
use http_ws::{Endpoint, Listener};
use socket2::{Domain, Protocol, Socket, Type};

use super::sys;
use crate::config::{Http, Listen};
use crate::ports::{self, Transport, no_ipv6};

/// Connections that wait to be accepted: the kernel cuts it at net.core.somaxconn, which is the operator's say.
const BACKLOG: i32 = i32::MAX;

/// Bytes of answers that the kernel takes from us beyond those that are on their way; connections inherit it. Without it a client that
/// never reads costs a send buffer of megabytes.
const UNSENT: u32 = 32 * 1024;

/// Binds all addresses of the configuration and listens there.
///
/// # Errors
///
/// An address that isn't this machine's, a port that is taken (with the process that has it) or privileged.
pub fn bind_all(http: &Http) -> anyhow::Result<Vec<Listener>> {
    let mut bound = Vec::new();
    for listen in &http.listen {
        let address = listen.0.address;
        match bind(listen.0, http.worker_count(), http.request_timeout_s) {
            Ok(listener) => bound.push(listener),
            Err(error) if address == SocketAddr::from(([0u16; 8], address.port())) && no_ipv6(&error) => {
                tracing::warn!(
                    "{listen}: this machine has no IPv6; remove the address from http.listen to silence this"
                );
            }
            Err(error) => return Err(error),
        }
    }
    if bound.is_empty() && !http.listen.is_empty() {
        bail!("http: none of the addresses in http.listen could be bound");
    }
    Ok(bound)
}

fn bind(endpoint: Endpoint, workers: usize, silence_s: u32) -> anyhow::Result<Listener> {
    let refused = |address, error| explain(Endpoint { address, ..endpoint }, error);
    let probe = socket(endpoint.address, false)
        .and_then(|socket| socket.bind(&endpoint.address.into()).map(|()| socket))
        .map_err(|error| refused(endpoint.address, error))?;
    let address = probe.local_addr()?.as_socket().context("a TCP socket has an Internet address")?;
    // The port is ours alone; from now on it may be shared. The probe keeps it until the workers' sockets have it.
    probe.set_reuse_port(true)?;
    let mut sockets = Vec::with_capacity(workers);
    for _ in 0..workers {
        let socket = socket(address, true)
            .and_then(|socket| socket.bind(&address.into()).map(|()| socket))
            .and_then(|socket| listening(socket, silence_s))
            .map_err(|error| refused(address, error))?;
        sockets.push(socket);
    }
    drop(probe);
    Ok(Listener { endpoint: Endpoint { address, ..endpoint }, sockets })
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // IPv4 has sockets of its own, so that an address's family is the connection's.
        socket.set_only_v6(true)?;
    }
    // Connections of a tracker that has just ended linger in the kernel; only one that listens is in the way.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    Ok(socket)
}

fn listening(socket: Socket, silence_s: u32) -> io::Result<TcpListener> {
    // Connections inherit it. Each answer is one write, which nothing that comes later should wait for.
    socket.set_tcp_nodelay(true)?;
    sys::defer_accept(&socket, silence_s)?;
    socket.set_tcp_notsent_lowat(UNSENT)?;
    socket.set_nonblocking(true)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn explain(endpoint: Endpoint, error: io::Error) -> anyhow::Error {
    ports::explain(Transport::Tcp, &Listen(endpoint).to_string(), endpoint.address, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::net::TcpStream;

    fn config(listen: &str, workers: u32) -> Http {
        let listen = vec![Listen::try_from(listen.to_owned()).expect("an address to listen on")];
        Http { listen, workers, ..Http::default() }
    }

    fn refusal(config: &Http) -> String {
        match bind_all(config) {
            Ok(_) => panic!("{:?} could be bound", config.listen),
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn workers_share_a_free_port_and_its_connections() {
        let bound = bind_all(&config("http://127.0.0.1:0", 2)).expect("a free port");
        let [listener] = &bound[..] else { panic!("one address was asked for") };
        assert_eq!(listener.sockets.len(), 2);
        assert_ne!(listener.endpoint.address.port(), 0);
        // Which socket gets a connection is a hash of its ports: 64 of them on one side are a chance of 2^-63.
        let clients: Vec<TcpStream> = (0..64)
            .map(|_| {
                let mut client = TcpStream::connect(listener.endpoint.address).expect("it listens");
                client.write_all(b"G").expect("it is connected");
                client
            })
            .collect();
        let mut shares = [0; 2];
        while shares.iter().sum::<usize>() < clients.len() {
            for (socket, share) in listener.sockets.iter().zip(&mut shares) {
                if let Ok((connection, _)) = socket.accept() {
                    assert!(connection.nodelay().expect("it is a socket"), "it is inherited");
                    *share += 1;
                }
            }
        }
        assert!(shares.iter().all(|share| *share > 0), "{shares:?}");
    }

    #[test]
    fn second_tracker_on_the_port_is_an_error_that_names_address_and_process() {
        let first = bind_all(&config("http://127.0.0.1:0", 2)).expect("a free port");
        let taken = first[0].endpoint.address;
        let message = refusal(&config(&format!("https://{taken}"), 2));
        let expected = format!("https://{taken}: the port is in use by process {}", std::process::id());
        assert!(message.contains(&expected) && message.contains("http.listen"), "{message}");
        assert!(
            refusal(&config(&format!("http://0.0.0.0:{}", taken.port()), 1)).contains("in use by process")
        );
    }

    #[test]
    fn port_is_free_again_while_connections_of_the_last_tracker_linger() {
        let first = bind_all(&config("http://127.0.0.1:0", 1)).expect("a free port");
        let address = first[0].endpoint.address;
        let mut client = TcpStream::connect(address).expect("it listens");
        client.write_all(b"G").expect("it is connected");
        let accepted = loop {
            if let Ok((connection, _)) = first[0].sockets[0].accept() {
                break connection;
            }
        };
        // Who closes first keeps the connection's addresses for a minute.
        drop(accepted);
        drop(first);
        bind_all(&config(&format!("http://{address}"), 1)).expect("nobody listens there");
    }

    #[test]
    fn families_are_apart_on_one_port() {
        let Ok(bound) = bind_all(&config("http://[::]:0", 1)) else {
            eprintln!("skipped: no IPv6 on this machine");
            return;
        };
        let port = bound[0].endpoint.address.port();
        bind_all(&config(&format!("http://127.77.66.55:{port}"), 1))
            .expect("an IPv6 socket doesn't take the IPv4 port");
    }

    #[test]
    fn foreign_address_is_named() {
        let message = refusal(&config("http://192.0.2.77:0", 1));
        assert!(message.contains("192.0.2.77 is not an address of this machine"), "{message}");
    }

    #[test]
    fn no_listener_is_no_http() {
        let none = Http { listen: Vec::new(), ..Http::default() };
        assert!(bind_all(&none).expect("nothing can fail").is_empty());
    }
}
