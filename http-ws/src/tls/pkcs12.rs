//! Certificate and key together in a PKCS#12 bundle.
//!
//! Called by `identity`. Bundles name what belongs together by ids and names that not every program writes; here the certificate is the
//! one that has the key's public half, and the chain follows the issuers. Tests: `tests/tls/files.rs` and `refusals.rs`.

use std::path::Path;

use p12_keystore::Pkcs12Archive;
use p12_keystore::error::Error as BundleError;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::error::{Content, Error, Reason};
use super::files;

/// The certificates of a bundle, as they lie in it, and its private key.
///
/// # Errors
///
/// The bundle or the password can't be read, they don't belong together, or there is no key.
pub(super) fn read(
    path: &Path,
    password_file: Option<&Path>,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
    let blame = |reason| Error::File { what: Content::Bundle, path: path.to_owned(), reason };
    let bytes = files::read(Content::Bundle, path)?;
    let password = password_file.map(password).transpose()?.unwrap_or_default();
    let with = match password_file {
        Some(file) => format!("the password in {}", file.display()),
        None => "an empty password, since none is configured".to_owned(),
    };
    let archive = Pkcs12Archive::from_pkcs12(&bytes, &password).map_err(|error| {
        blame(match error {
            BundleError::MacError(_) => Reason::WrongPassword { with },
            // Without a MAC a wrong password shows in whatever the decrypted bytes look like.
            other => Reason::BrokenBundle { with, found: other.to_string() },
        })
    })?;
    let key = archive.keys.first().ok_or_else(|| blame(Reason::NoKeyInBundle))?;
    let key = PrivatePkcs8KeyDer::from(key.key.as_der().to_vec());
    let certificates =
        archive.certs.iter().map(|bag| CertificateDer::from(bag.cert.as_der().to_vec())).collect();
    Ok((certificates, key.into()))
}

/// The first line of the file: editors end it with a line feed, and a password has none.
fn password(path: &Path) -> Result<String, Error> {
    let blame = |reason| Error::File { what: Content::Password, path: path.to_owned(), reason };
    let bytes = match files::read(Content::Password, path) {
        // An empty password is a password.
        Err(Error::File { reason: Reason::Empty, .. }) => Vec::new(),
        other => other?,
    };
    let text = String::from_utf8(bytes).map_err(|_| blame(Reason::NotText))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
