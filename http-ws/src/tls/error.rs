//! Why certificate and key can't be used, in an operator's words: the file, what is wrong with it, and the fix.
//!
//! Tests: `tests/tls/refusals.rs` reads each sentence.

use std::io;
use std::path::PathBuf;

/// Why there is no TLS with these files.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One of the files is to blame.
    #[error("{what} {}: {reason}", path.display())]
    File {
        /// What it was to hold.
        what: Content,
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: Reason,
    },
    /// The library refused to start, such as for want of random numbers.
    #[error("tls: {0}")]
    Library(#[from] rustls::Error),
}

/// What a file is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The server's certificate and those of its issuers.
    Certificate,
    /// The server's private key.
    PrivateKey,
    /// Both, as PKCS#12.
    Bundle,
    /// What the bundle is encrypted with.
    Password,
}

impl std::fmt::Display for Content {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Certificate => "certificate",
            Self::PrivateKey => "private key",
            Self::Bundle => "PKCS#12 bundle",
            Self::Password => "password of the PKCS#12 bundle",
        })
    }
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// It can't be read.
    #[error("{0}{fix}", fix = fix(.0))]
    Unreadable(io::Error),
    /// It is larger than any certificate.
    #[error("larger than {limit} bytes, so hardly the right file; correct the path", limit = super::files::MAX_LEN)]
    TooLarge,
    /// It is empty.
    #[error("the file is empty; write it again")]
    Empty,
    /// It isn't text.
    #[error("not UTF-8; write it again as UTF-8")]
    NotText,
    /// PEM without a certificate.
    #[error(
        "no certificate in it ({found}); wanted PEM with the server's certificate first and then those of its issuers, or one certificate as DER"
    )]
    NoCertificate {
        /// What is there instead.
        found: String,
    },
    /// PEM or DER without a private key.
    #[error("no private key in it ({found}); wanted a key in PKCS#8, PKCS#1 or SEC1, as PEM or DER")]
    NoKey {
        /// What is there instead.
        found: String,
    },
    /// The key has a password.
    #[error(
        "the key is encrypted; decrypt it with `openssl pkey -in FILE -out NEW`, or use a PKCS#12 bundle with a password file"
    )]
    EncryptedKey,
    /// Headers are there, but not what belongs between them.
    #[error("broken PEM: {0}; write the file again")]
    BrokenPem(String),
    /// Not X.509.
    #[error("certificate {number} can't be read: {found}; write the file again")]
    BrokenCertificate {
        /// Its place in the file, from 1.
        number: usize,
        /// What the reader stumbled over.
        found: String,
    },
    /// A key of a kind that can't be used.
    #[error("{0}; wanted RSA of 2048 to 8192 bits, ECDSA on P-256 or P-384, or Ed25519, undamaged")]
    UnusableKey(String),
    /// The server's certificate isn't the first.
    #[error(
        "the first certificate ({first}) isn't the one of the private key, certificate {number} is; put that one first, then those of its issuers"
    )]
    WrongOrder {
        /// Whose certificate is first.
        first: String,
        /// Where the right one is, from 1.
        number: usize,
    },
    /// The key is of none of the certificates.
    #[error(
        "its key isn't the private key in {}; name the files that were made together (certificate: {first})", key.display()
    )]
    OtherKey {
        /// Where the key comes from.
        key: PathBuf,
        /// Whose certificate is first.
        first: String,
    },
    /// The bundle has another password.
    #[error("can't be opened with {with}; correct `pkcs12_password_file`")]
    WrongPassword {
        /// What was tried.
        with: String,
    },
    /// The bundle can't be read.
    #[error(
        "can't be read as PKCS#12 with {with}: {found}; correct `pkcs12_password_file`, or write the bundle again, for example with \
         `openssl pkcs12 -export -in CHAIN -inkey KEY -out BUNDLE`"
    )]
    BrokenBundle {
        /// The password that was tried.
        with: String,
        /// What the reader stumbled over.
        found: String,
    },
    /// The bundle holds certificates alone.
    #[error("no private key in it; export it again, together with the key")]
    NoKeyInBundle,
    /// The bundle holds no certificate of its key.
    #[error(
        "{certificates} certificates in it and none is its private key's; export it again, with the server's certificate"
    )]
    NoCertificateInBundle {
        /// How many it holds.
        certificates: usize,
    },
}

fn fix(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; correct the path",
        io::ErrorKind::PermissionDenied => "; let the user that the tracker runs as read it",
        io::ErrorKind::IsADirectory => "; name the file in it",
        _ => "",
    }
}
