//! The files that an operator names, and reading one of them whole.
//!
//! Called by `identity`.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::error::{Content, Error, Reason};

/// Where certificate and key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Files {
    /// In files of their own, or both in one that is named twice: a PEM chain or one DER certificate; a PEM or DER key (PKCS#8,
    /// PKCS#1, SEC1).
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
        /// File with its password, whose end of line doesn't count; without it the password is empty.
        password_file: Option<PathBuf>,
    },
}

/// All of a file.
///
/// # Errors
///
/// It can't be read, is empty, or larger than [`MAX_LEN`].
pub(super) fn read(what: Content, path: &Path) -> Result<Vec<u8>, Error> {
    let blame = |reason| Error::File { what, path: path.to_owned(), reason };
    let unreadable = |error| blame(Reason::Unreadable(error));
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_LEN + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    match bytes.len() as u64 {
        0 => Err(blame(Reason::Empty)),
        1..=MAX_LEN => Ok(bytes),
        _ => Err(blame(Reason::TooLarge)),
    }
}

/// A chain of ten RSA certificates has some 20 KB; a wrong path may lead to a file without an end.
pub(super) const MAX_LEN: u64 = 1 << 20;
