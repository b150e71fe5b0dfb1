//! The floor: hyper, tokio and rustls with nothing around them, one thread, which answers every request with the same bytes.
//!
//! What it answers is an answer of ours, head and body, so both send the same.

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use clap::Args;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::task::LocalSet;
use tokio_rustls::TlsAcceptor;

/// Flags of `floor`.
#[derive(Args)]
pub(crate) struct Flags {
    /// Where to listen
    #[arg(long, value_name = "ADDR:PORT")]
    http: SocketAddr,
    /// Where to listen with TLS
    #[arg(long, value_name = "ADDR:PORT")]
    https: SocketAddr,
    /// What to answer: head and body
    #[arg(long, value_name = "FILE")]
    sample: PathBuf,
    /// PEM
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// PEM
    #[arg(long, value_name = "FILE")]
    private_key: PathBuf,
}

pub(crate) fn run(flags: &Flags) -> Result<()> {
    let answer = fs::read(&flags.sample).context("the sample")?;
    let answer = Arc::new(Answer::parse(&answer).context("the sample is no answer")?);
    let tls = TlsAcceptor::from(Arc::new(tls(flags)?));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")?;
    LocalSet::new().block_on(&runtime, async {
        let https = TcpListener::bind(flags.https).await.context("a socket")?;
        tokio::task::spawn_local(accept(https, Some(tls), Arc::clone(&answer)));
        let http = TcpListener::bind(flags.http).await.context("a socket")?;
        accept(http, None, answer).await;
        Ok(())
    })
}

fn tls(flags: &Flags) -> Result<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(&flags.certificate).context("the certificate")?;
    let chain = chain.collect::<Result<Vec<_>, _>>().context("the certificate")?;
    let key = PrivateKeyDer::from_pem_file(&flags.private_key).context("the key")?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions()?.with_no_client_auth();
    let mut config = config.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = ring::Ticketer::new()?;
    Ok(config)
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, answer: Arc<Answer>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        // A broken connection is the client's to report.
        let _ = socket.set_nodelay(true);
        let (tls, answer) = (tls.clone(), Arc::clone(&answer));
        tokio::task::spawn_local(async move {
            let service = service_fn(|_: Request<hyper::body::Incoming>| {
                let response = answer.response();
                async move { Ok::<_, Infallible>(response) }
            });
            let mut http = http1::Builder::new();
            http.auto_date_header(answer.date);
            match tls {
                None => _ = http.serve_connection(TokioIo::new(socket), service).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(socket).await {
                        _ = http.serve_connection(TokioIo::new(stream), service).await;
                    }
                }
            }
        });
    }
}

/// What is answered, less the header fields that hyper writes by itself.
struct Answer {
    fields: HeaderMap,
    date: bool,
    body: Bytes,
}

impl Answer {
    fn parse(answer: &[u8]) -> Option<Self> {
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
        let (mut fields, mut date) = (HeaderMap::new(), false);
        for line in std::str::from_utf8(&answer[..end]).ok()?.split("\r\n").skip(1) {
            let (name, value) = line.split_once(':')?;
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            match name {
                DATE => date = true,
                CONTENT_LENGTH | CONNECTION => {}
                name => _ = fields.insert(name, HeaderValue::from_str(value.trim()).ok()?),
            }
        }
        Some(Self { fields, date, body: Bytes::copy_from_slice(&answer[end + 4..]) })
    }

    fn response(&self) -> Response<Whole> {
        let mut response = Response::new(Whole(Some(self.body.clone())));
        *response.headers_mut() = self.fields.clone();
        response
    }
}

/// A body that is there.
struct Whole(Option<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_is_taken_apart() {
        let sample = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\ndate: x\r\n\r\nde";
        let answer = Answer::parse(sample).unwrap();
        assert_eq!((answer.fields.len(), answer.date, answer.body.as_ref()), (1, true, &b"de"[..]));
        assert_eq!(answer.fields["content-type"], "text/plain");
        assert!(Answer::parse(b"HTTP/1.1 200 OK\r\n").is_none());
    }
}
