//! TLS: certificates, keys and their reload.
//!
//! [`Tls::load`] reads the files that an operator names, workers make connections of [`Tls::config`], and [`Tls::reload`] reads the files
//! again. There is one configuration as long as the process lives and only the identity in it changes: open connections go on, and tickets
//! from before a reload resume sessions after it.
//!
//! In reading order: `files`, `pem_der` and `pkcs12` read; `certificate` says what was read; `identity` checks that it belongs together;
//! `resolver` hands it to rustls; [`Error`] is every refusal; [`self_signed()`] makes certificates for trying out.
//!
//! Tests: `tests/tls/` (formats, refusals, handshakes, reload), `tests/tls_memory.rs`, and in `identity` (what is odd but served).

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;

pub use error::{Content, Error, Reason};
pub use files::Files;
use identity::Identity;
use resolver::Resolver;
pub use self_signed::{Error as SelfSignedError, SelfSigned, self_signed};

mod certificate;
mod error;
mod files;
mod identity;
mod pem_der;
mod pkcs12;
mod resolver;
mod self_signed;

/// What the handshakes of all workers need.
#[derive(Debug)]
pub struct Tls {
    files: Files,
    config: Arc<ServerConfig>,
    resolver: Arc<Resolver>,
    summary: ArcSwap<String>,
}

impl Tls {
    /// Reads certificate and key and makes the configuration of all connections. Oddities, such as a certificate that has expired, are
    /// logged and don't keep the tracker from starting.
    ///
    /// # Errors
    ///
    /// A file can't be read or used; the sentence names it and the fix.
    pub fn load(files: Files) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let identity = Identity::read(&files, &provider)?;
        warn(&identity);
        let resolver = Arc::new(Resolver::new(identity.certified_key));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&resolver) as _);
        // Some clients that speak HTTP/1.0 offer that alone.
        config.alpn_protocols = vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()];
        // Sessions live in tickets at the clients: nothing to keep here, nothing for workers to share but the ticket's key, which changes
        // every six hours.
        config.ticketer = rustls::crypto::ring::Ticketer::new()?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // A client that announces every half an hour needs one, and two of them are a fifth of the handshake's bytes.
        config.send_tls13_tickets = 1;
        // An announce that is sent twice counts twice: no data before the handshake is over.
        config.max_early_data_size = 0;
        let summary = ArcSwap::from_pointee(identity.summary);
        Ok(Self { files, config: Arc::new(config), resolver, summary })
    }

    /// For rustls. The same as long as this lives, whatever is reloaded.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Which certificate is in use, for the log: `certificate CN=tracker.example, valid until 2027-01-01`.
    pub fn summary(&self) -> String {
        self.summary.load().as_str().to_owned()
    }

    /// From now on the files are there, as after a chroot.
    pub fn move_to(&mut self, files: Files) {
        self.files = files;
    }

    /// Reads the files again. Handshakes that begin afterwards use what they hold; connections go on. Gives the new [`Self::summary`].
    ///
    /// # Errors
    ///
    /// As [`Self::load`]; then everything stays as it was.
    pub fn reload(&self) -> Result<String, Error> {
        let identity = Identity::read(&self.files, self.config.crypto_provider())?;
        warn(&identity);
        self.resolver.replace(identity.certified_key);
        self.summary.store(Arc::new(identity.summary.clone()));
        Ok(identity.summary)
    }
}

fn warn(identity: &Identity) {
    for complaint in &identity.complaints {
        tracing::warn!("tls: {complaint}");
    }
}
