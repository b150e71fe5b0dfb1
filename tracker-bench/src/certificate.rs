//! One certificate for all servers: ECDSA on P-256, as public certificate authorities give out today.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Where certificate and key are, as PEM.
#[derive(Clone)]
pub(crate) struct Certificate {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificate {
    pub(crate) fn make(directory: &Path) -> Result<Self> {
        let made =
            rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).context("a certificate")?;
        let files = Self { chain: directory.join("chain.pem"), key: directory.join("key.pem") };
        for (file, text) in [(&files.chain, made.cert.pem()), (&files.key, made.signing_key.serialize_pem())]
        {
            fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(files)
    }
}
