//! Certificates and keys in files of their own, as PEM or as DER.
//!
//! Called by `identity`. What a file holds is told by its content, never by its name. Tests: `tests/tls/files.rs` and `refusals.rs`.

use std::path::Path;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::error::{Content, Error, Reason};
use super::files;

/// The certificates of a file in their order, at least one; that they are certificates isn't known yet.
///
/// # Errors
///
/// The file can't be read, is broken, or has none.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let blame = |reason| Error::File { what: Content::Certificate, path: path.to_owned(), reason };
    let bytes = files::read(Content::Certificate, path)?;
    let Some(text) = as_pem(&bytes) else {
        return Ok(vec![CertificateDer::from(bytes)]);
    };
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|error| blame(broken(&error)))?;
    if certificates.is_empty() {
        return Err(blame(Reason::NoCertificate { found: found(text) }));
    }
    Ok(certificates)
}

/// The first private key of a file.
///
/// # Errors
///
/// The file can't be read, is broken, its key is encrypted, or it has none.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let blame = |reason| Error::File { what: Content::PrivateKey, path: path.to_owned(), reason };
    let bytes = files::read(Content::PrivateKey, path)?;
    let Some(text) = as_pem(&bytes) else {
        return PrivateKeyDer::try_from(bytes)
            .map_err(|_| blame(Reason::NoKey { found: "neither PEM nor a key as DER".to_owned() }));
    };
    // The second is what OpenSSL wrote until PKCS#8: a header inside of the section, which the reader takes for a part of the key.
    let encrypted = [&b"-----BEGIN ENCRYPTED PRIVATE KEY-----"[..], b"Proc-Type: 4,ENCRYPTED"];
    let is_encrypted = encrypted.iter().any(|mark| memchr::memmem::find(text, mark).is_some());
    match PrivateKeyDer::from_pem_slice(text) {
        Ok(key) => Ok(key),
        Err(_) if is_encrypted => Err(blame(Reason::EncryptedKey)),
        Err(pem::Error::NoItemsFound) => Err(blame(Reason::NoKey { found: found(text) })),
        Err(error) => Err(blame(broken(&error))),
    }
}

/// PEM, without the mark that some editors put in front of text; `None`: something else, hopefully DER.
fn as_pem(bytes: &[u8]) -> Option<&[u8]> {
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    // A SEQUENCE (0x30, which is also the digit 0) longer than 127 bytes as all certificates, or one that begins with an INTEGER as all
    // keys. Whatever else may stand in front of PEM.
    let is_der = matches!(text, [0x30, 0x81..=0x84, ..] | [0x30, _, 0x02, ..]);
    (!is_der).then_some(text)
}

fn broken(error: &pem::Error) -> Reason {
    Reason::BrokenPem(match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            format!("the line END {} is missing", String::from_utf8_lossy(end_marker).escape_debug())
        }
        pem::Error::IllegalSectionStart { line } => {
            format!("found {:?} where a section begins", String::from_utf8_lossy(line))
        }
        pem::Error::Base64Decode(_) => "what is between BEGIN and END isn't base64".to_owned(),
        other => other.to_string(),
    })
}

/// The kinds of sections in PEM, for a sentence.
fn found(text: &[u8]) -> String {
    let kinds: Vec<_> = text
        .split(|byte| matches!(byte, b'\n' | b'\r'))
        .filter_map(|line| line.strip_prefix(b"-----BEGIN ")?.strip_suffix(b"-----"))
        .map(|kind| String::from_utf8_lossy(kind).escape_debug().to_string())
        .take(4)
        .collect();
    if kinds.is_empty() { "found no PEM".to_owned() } else { format!("found {}", kinds.join(", ")) }
}
