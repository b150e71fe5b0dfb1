//! One connection from its acceptance to its end.
//!
//! [`serve`] takes it through its stages: the PROXY protocol's header, the TLS handshake, then requests. While a connection waits for a
//! request it is *parked*: hyper's state and buffers are given back, and a task of some hundred bytes waits for the socket. Every stage has a
//! time limit; what becomes of a connection is counted once. Started by `server`; tests are in `tests/` and, end to end, in tracker-user.

mod activity;
mod handshake;
mod preface;
mod request_line;
mod stream;
mod wire;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tracker_common::connection_id::Address;

pub(crate) use activity::{Activity, Streaming};
pub(crate) use handshake::Turns;
pub(crate) use stream::Stream;
pub(crate) use wire::READ_BYTES;

use activity::{Due, Phase};
use wire::Wire;

use crate::counters::Counter;
use crate::endpoint::Endpoint;
use crate::service::{Client, Handler};
use crate::slots::{Full, Slot};
use crate::webtorrent;
use crate::worker::Worker;

/// Connections that a worker turns away at once; further ones are closed without a word.
const MAX_TURNED_AWAY: u32 = 64;

/// How long a client that is turned away, or whose request was bad, may take for what is left.
pub(crate) const FAREWELL: Duration = Duration::from_secs(2);

/// Bytes of a bad request that are read after its answer, so that the answer isn't lost: a system that closes a connection with
/// something unread tells the other to forget everything.
const MAX_LEFTOVERS: usize = 64 * 1024;

/// Serves a connection, and counts what becomes of it.
pub(crate) async fn serve(
    stream: std::net::TcpStream,
    source: SocketAddr,
    endpoint: Endpoint,
    worker: Rc<Worker>,
) {
    match serve_to_the_end(stream, source, endpoint, &worker).await {
        Ok(Upgraded { stream, client, place }) => {
            worker.tally.count(Counter::Upgraded);
            // A task of its own, which lasts for hours and takes none of this one's memory.
            tokio::task::spawn_local(webtorrent::serve(stream, client, place, worker));
        }
        Err(fate) => {
            if let Some(fate) = fate {
                worker.tally.count(fate);
            }
            worker.tally.count(Counter::ConnectionsClosed);
        }
    }
}

/// A connection that goes on as WebSocket.
struct Upgraded {
    stream: Stream,
    client: Address,
    place: Place,
}

/// The connection when it goes on as WebSocket; else what has to be counted about its end, besides that it ended.
async fn serve_to_the_end(
    stream: std::net::TcpStream,
    source: SocketAddr,
    endpoint: Endpoint,
    worker: &Rc<Worker>,
) -> Result<Upgraded, Option<Counter>> {
    let context = &worker.context;
    let peer = Address::from(source.ip());
    if context.lists.block.load().blocks(&peer) {
        return Err(Some(Counter::ConnectionsBlocked));
    }
    let proxied = context.settings.trusted_proxies.blocks(&peer);
    let mut place = Place::take(worker).ok_or(None)?;
    let mut client = Client {
        address: peer,
        proxied,
        named_in_header: proxied && !endpoint.proxy_protocol,
        turned_away: matches!(place, Place::TurnedAway { .. }),
    };
    let mut stream = Stream::Fresh(Some(stream));
    if endpoint.proxy_protocol && proxied {
        let limit = worker.context.settings.request_timeout;
        // In a box, as most connections have none, and its buffer would be part of each one's task.
        match timeout(limit, Box::pin(preface::read(stream))).await {
            Ok(Ok((behind_it, source))) => {
                stream = behind_it;
                // Or the proxy speaks for itself.
                client.address = source.map_or(client.address, |source| Address::from(source.ip()));
            }
            Ok(Err(_bad)) => return Err(Some(Counter::ProxyProtocolBad)),
            Err(_elapsed) => return Err(Some(Counter::ClosedSlowRequest)),
        }
        if context.lists.block.load().blocks(&client.address) {
            return Err(Some(Counter::ConnectionsBlocked));
        }
    }
    if !client.named_in_header
        && let Place::Slot(slot) = &mut place
        && slot.belongs_to(&client.address).is_err()
    {
        return Err(Some(Counter::ConnectionsRefusedAddress));
    }
    let stream = match (endpoint.tls, &context.tls) {
        (false, _) => stream,
        // A handshake is too dear for somebody who is sent away.
        (true, _) if client.turned_away => return Err(None),
        (true, Some(tls)) => match Box::pin(handshake::shake(stream, tls.config(), worker)).await {
            Ok(stream) => stream,
            Err(fate) => return Err(Some(fate)),
        },
        (true, None) => return Err(Some(Counter::TlsFailed)),
    };
    if client.turned_away {
        // In a box, so that its timer isn't part of each connection's task.
        let told = timeout(FAREWELL, Box::pin(requests(stream, client, worker))).await;
        return Err(told.ok().and_then(Result::err).flatten());
    }
    let (stream, client) = requests(stream, client, worker).await?;
    Ok(Upgraded { stream, client, place })
}

/// Where a connection is counted.
pub(crate) enum Place {
    Slot(Slot),
    TurnedAway { _one: TurnedAway },
}

impl Place {
    /// None when it is closed without a word.
    fn take(worker: &Rc<Worker>) -> Option<Self> {
        match worker.slots.take() {
            Ok(slot) => Some(Self::Slot(slot)),
            Err(Full::Overall | Full::Address) => {
                worker.tally.count(Counter::ConnectionsRefused);
                let others = worker.turned_away.get();
                (others < MAX_TURNED_AWAY).then(|| {
                    worker.turned_away.set(others + 1);
                    Self::TurnedAway { _one: TurnedAway(Rc::clone(worker)) }
                })
            }
        }
    }
}

/// One of the few that are told that there are too many.
pub(crate) struct TurnedAway(Rc<Worker>);

impl Drop for TurnedAway {
    fn drop(&mut self) {
        self.0.turned_away.set(self.0.turned_away.get() - 1);
    }
}

/// hyper's part of a connection.
type Http = http1::Connection<Wire, Handler>;

/// How hyper's part ended.
enum Ended {
    Parked,
    Well,
    Bad(hyper::Error),
    Expired(Phase),
}

/// Answers requests until one side has enough, or the connection goes on as WebSocket; the client is then whom the request is from.
async fn requests(
    stream: Stream,
    client: Client,
    worker: &Rc<Worker>,
) -> Result<(Stream, Address), Option<Counter>> {
    let activity = Activity::new(worker.context.clock, &worker.answering);
    let mut wire = Wire::new(stream, Rc::clone(&activity), Rc::clone(worker));
    let mut timer = pin!(sleep(Duration::ZERO));
    let mut parked = false;
    loop {
        // The first request isn't waited for: it may have come with the handshake, and what TLS holds the socket doesn't know of.
        if parked && wire.ahead.is_empty() {
            let readable = poll_fn(|context| {
                if let Poll::Ready(result) = wire.stream.poll_readable(context) {
                    return Poll::Ready(result.map_err(|_broken| Counter::ConnectionsBroken));
                }
                poll_limit(&mut timer, context, &activity, worker, true).map(|_due| Err(Counter::ClosedIdle))
            });
            readable.await.map_err(Some)?;
        }
        let handler = Handler { worker: Rc::clone(worker), activity: Rc::clone(&activity), client };
        let mut http = Box::new(worker.http.serve_connection(wire, handler));
        // The limit of an idle connection is too far away for a request.
        if parked {
            timer.as_mut().reset(Instant::now());
        }
        let ended = poll_fn(|context| poll_http(&mut http, &mut timer, context, &activity, worker)).await;
        let parts = http.into_parts();
        wire = parts.io;
        match ended {
            Ended::Parked => {
                // An empty buffer would keep its memory.
                if !parts.read_buf.is_empty() {
                    wire.ahead = parts.read_buf;
                }
                parked = true;
            }
            Ended::Well => {
                if let Some(client) = activity.upgraded() {
                    let came_too_early = !(parts.read_buf.is_empty() && wire.ahead.is_empty());
                    // RFC 6455, section 4.1: a client has to wait for the answer.
                    return if came_too_early {
                        Err(Some(Counter::ErrorUpgrade))
                    } else {
                        Ok((wire.stream, client))
                    };
                }
                farewell(wire.stream, activity.left_some_unread(), worker).await;
                return Err(None);
            }
            Ended::Bad(error) => return Err(broken(&error, wire.stream, worker).await),
            Ended::Expired(phase) => {
                return Err(Some(match phase {
                    Phase::New | Phase::Idle => Counter::ClosedIdle,
                    Phase::Reading => Counter::ClosedSlowRequest,
                    Phase::Answering => {
                        // It would be kept and offered for minutes.
                        wire.stream.forget_unsent();
                        Counter::ClosedSlowReader
                    }
                }));
            }
        }
    }
}

fn poll_http(
    http: &mut Http,
    timer: &mut Pin<&mut Sleep>,
    context: &mut Context<'_>,
    activity: &Activity,
    worker: &Worker,
) -> Poll<Ended> {
    match http.poll_without_shutdown(context) {
        Poll::Ready(Ok(())) => return Poll::Ready(Ended::Well),
        Poll::Ready(Err(error)) => return Poll::Ready(Ended::Bad(error)),
        Poll::Pending if activity.has_nothing_more() => return Poll::Ready(Ended::Parked),
        Poll::Pending => {}
    }
    poll_limit(timer, context, activity, worker, false).map(|due| match due {
        Due::Expired(phase) => Ended::Expired(phase),
        Due::Park | Due::In(_) => Ended::Parked,
    })
}

/// Ready with what is due. The timer runs behind: it is set anew when it fires, not with each request.
fn poll_limit(
    timer: &mut Pin<&mut Sleep>,
    context: &mut Context<'_>,
    activity: &Activity,
    worker: &Worker,
    parked: bool,
) -> Poll<Due> {
    while timer.as_mut().poll(context).is_ready() {
        match activity.due(&worker.context.settings, parked) {
            Due::In(time) => timer.as_mut().reset(Instant::now() + time),
            due => return Poll::Ready(due),
        }
    }
    Poll::Pending
}

/// hyper has answered a request that can't be read, or the connection broke.
async fn broken(error: &hyper::Error, stream: Stream, worker: &Worker) -> Option<Counter> {
    if error.is_parse() {
        let too_large = error.is_parse_too_large();
        worker.tally.count(if too_large { Counter::HeaderTooLarge } else { Counter::BadRequest });
        farewell(stream, true, worker).await;
        return None;
    }
    Some(Counter::ConnectionsBroken)
}

/// Says that nothing more comes; reads what is left when there may be something.
pub(crate) async fn farewell(mut stream: Stream, leftovers: bool, worker: &Worker) {
    if !leftovers && !matches!(stream, Stream::Tls(_)) {
        // To close it says the same.
        return;
    }
    let end = async {
        poll_fn(|context| stream.poll_shutdown(context)).await?;
        let mut left = MAX_LEFTOVERS;
        while leftovers && left > 0 {
            let count = poll_fn(|context| {
                let mut buffer = worker.read_buffer.borrow_mut();
                stream.poll_read(context, &mut buffer)
            })
            .await?;
            if count == 0 {
                break;
            }
            left = left.saturating_sub(count);
        }
        io::Result::Ok(())
    };
    // Who doesn't take it has had the chance.
    let _gone = timeout(FAREWELL, end).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A task has some words more, and tokio's part of a socket some 200 bytes.
    #[test]
    fn waiting_connection_costs_little_memory() {
        fn size<F: Future>(_of: fn(std::net::TcpStream, SocketAddr, Endpoint, Rc<Worker>) -> F) -> usize {
            size_of::<F>()
        }
        let size = size(serve);
        assert!(size <= 1280, "{size} bytes");
    }
}
