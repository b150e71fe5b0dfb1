//! The identity that handshakes use: the last that was put in, seen by all workers at once.
//!
//! Called by rustls in every handshake.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// One identity for every name that clients ask for: trackers are announced to by address, too.
#[derive(Debug)]
pub(super) struct Resolver(ArcSwap<CertifiedKey>);

impl Resolver {
    pub(super) fn new(identity: Arc<CertifiedKey>) -> Self {
        Self(ArcSwap::new(identity))
    }

    /// Handshakes that begin from now on use this one.
    pub(super) fn replace(&self, identity: Arc<CertifiedKey>) {
        self.0.store(identity);
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}
