//! The listeners of the metrics: HTTP in a thread of its own.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::{TEXT_FORMAT, TextEncoder};
use tokio::sync::{Semaphore, oneshot};

use super::collect::collect;
use crate::daemon::Event;
use crate::ports::{Transport, explain};

/// Connections at once; scrapers need one each.
const MAX_CONNECTIONS: usize = 16;

/// How long a connection may send nothing.
const IDLE: Duration = Duration::from_secs(120);

/// How long the main loop may take: an import of a million hashes keeps it for some seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(9);

/// Rest after no connection could be accepted.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Bound listeners.
pub struct Prepared {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
}

/// Binds the addresses.
///
/// # Errors
///
/// One that can't be had.
pub fn prepare(addresses: &[SocketAddr]) -> anyhow::Result<Prepared> {
    let mut prepared = Prepared { listeners: Vec::new(), addresses: Vec::new() };
    for address in addresses {
        let listener = TcpListener::bind(address)
            .map_err(|error| explain(Transport::Metrics, &format!("metrics {address}"), *address, error))?;
        listener.set_nonblocking(true).context("metrics: a listener")?;
        prepared.addresses.push(listener.local_addr().context("metrics: a listener")?);
        prepared.listeners.push(listener);
    }
    Ok(prepared)
}

impl Prepared {
    /// Where the listeners are, with the ports that were bound.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Starts the thread; it ends with the process.
    ///
    /// # Errors
    ///
    /// No thread, no runtime.
    pub fn start(self, events: Sender<Event>) -> anyhow::Result<()> {
        if self.listeners.is_empty() {
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("metrics: starting")?;
        thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(move || runtime.block_on(serve(self.listeners, &events)))
            .context("metrics: starting")?;
        Ok(())
    }
}

async fn serve(listeners: Vec<TcpListener>, events: &Sender<Event>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut accepting = Vec::new();
    for listener in listeners {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => {
                accepting.push(tokio::spawn(accept(listener, Arc::clone(&room), events.clone())));
            }
            Err(error) => tracing::error!("metrics: {error}"),
        }
    }
    for task in accepting {
        let _endless = task.await;
    }
}

async fn accept(listener: tokio::net::TcpListener, room: Arc<Semaphore>, events: Sender<Event>) {
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _scraper)) => {
                let events = events.clone();
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(request, events.clone()));
                    let mut http = http1::Builder::new();
                    http.timer(TokioTimer::new()).header_read_timeout(IDLE);
                    // A scraper that breaks off concerns nobody.
                    let _broken = http.serve_connection(TokioIo::new(stream), service).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!("metrics: accepting a connection: {error}");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    events: Sender<Event>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => match metrics(&events).await {
            Ok(text) => (StatusCode::OK, text),
            Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}\n")),
        },
        (&Method::GET | &Method::HEAD, _) => (StatusCode::NOT_FOUND, "metrics are at /metrics\n".to_owned()),
        _ => (StatusCode::METHOD_NOT_ALLOWED, String::new()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = if status == StatusCode::OK { TEXT_FORMAT } else { "text/plain" };
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    Ok(response)
}

async fn metrics(events: &Sender<Event>) -> anyhow::Result<String> {
    let (reply, answered) = oneshot::channel();
    events.send(Event::Read(reply)).ok().context("the tracker is stopping")?;
    let readings = tokio::time::timeout(ANSWER_TIMEOUT, answered).await.context("the tracker is busy")?;
    let readings = readings.context("the tracker is stopping")?;
    Ok(TextEncoder::new().encode_to_string(&collect(&readings))?)
}
