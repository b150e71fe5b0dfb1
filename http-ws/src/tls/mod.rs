//! TLS: certificates, keys and their reload.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;

/// Where certificate and key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Files {
    /// In files of their own: a PEM chain or one DER certificate; a PEM or DER key (PKCS#8, PKCS#1, SEC1).
    Separate {
        /// The chain, the server's own certificate first.
        certificate: PathBuf,
        /// The private key.
        private_key: PathBuf,
    },
    /// Together in a PKCS#12 bundle.
    Pkcs12 {
        /// The bundle.
        bundle: PathBuf,
        /// File with its password, whose end of line doesn't count.
        password_file: Option<PathBuf>,
    },
}

/// What the handshakes of all workers need.
pub struct Tls {}

impl Tls {
    /// For rustls.
    pub fn config(&self) -> Arc<ServerConfig> {
        unimplemented!()
    }
}
