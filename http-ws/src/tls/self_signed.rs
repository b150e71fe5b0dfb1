//! A certificate that the tracker signs itself, for trying out: clients refuse it unless they are told to trust it.
//!
//! Called by `tracker-user tls self-signed`. Nothing that exists is ever overwritten. Tests: `tests/tls/self_signed.rs`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::DnsName;

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfSigned {
    /// The certificate, as PEM.
    pub certificate: PathBuf,
    /// Its key, as PEM in PKCS#8, readable for its owner alone.
    pub private_key: PathBuf,
    /// Host names and addresses that it is for.
    pub names: Vec<String>,
}

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of this name is there.
    #[error("{}: exists and is never overwritten; name another directory or move it away", .0.display())]
    Exists(PathBuf),
    /// A file or directory can't be written.
    #[error("{}: {error}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Not a name that certificates can have.
    #[error("name {0:?}: wanted a host name, such as tracker.example or *.tracker.example, or an IP address")]
    Name(String),
    /// No random numbers.
    #[error("certificate: {0}")]
    Generate(#[from] rcgen::Error),
}

/// Makes `certificate.pem` and `private-key.pem` in `directory`, which is made if need be: ECDSA on P-256, valid for a year, for `names`
/// or, if there are none, this host by its usual names.
///
/// # Errors
///
/// One of the files exists or can't be written, or a name is none.
pub fn self_signed(directory: &Path, names: &[String]) -> Result<SelfSigned, Error> {
    let names = if names.is_empty() { names_of_this_host() } else { names.to_vec() };
    let certificate_path = directory.join("certificate.pem");
    let key_path = directory.join("private-key.pem");
    // `create_new` below is what protects them; this one doesn't leave half of the work behind.
    if let Some(existing) = [&certificate_path, &key_path].into_iter().find(|path| path.exists()) {
        return Err(Error::Exists(existing.clone()));
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = parameters(&names)?.self_signed(&key)?;
    fs::create_dir_all(directory).map_err(|error| Error::Write { path: directory.to_owned(), error })?;
    create(&key_path, &key.serialize_pem(), 0o600)?;
    create(&certificate_path, &certificate.pem(), 0o644)?;
    Ok(SelfSigned { certificate: certificate_path, private_key: key_path, names })
}

fn parameters(names: &[String]) -> Result<CertificateParams, Error> {
    if let Some(name) = names.iter().find(|name| !is_name(name)) {
        return Err(Error::Name(name.clone()));
    }
    let mut parameters = CertificateParams::new(names)?;
    // RFC 5280, "ub-common-name": 64. Clients read the alternative names; this one is for people.
    let common_name = names.iter().find(|name| name.len() <= 64).map_or("tracker", String::as_str);
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = SystemTime::now();
    // An hour back, for clients whose clocks are behind.
    parameters.not_before = (now - Duration::from_hours(1)).into();
    parameters.not_after = (now + Duration::from_hours(365 * 24)).into();
    Ok(parameters)
}

fn is_name(name: &str) -> bool {
    name.parse::<IpAddr>().is_ok() || DnsName::try_from(name.strip_prefix("*.").unwrap_or(name)).is_ok()
}

fn names_of_this_host() -> Vec<String> {
    let mut names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    if is_name(&host) && !names.contains(&host) {
        // In front: the subject should tell hosts apart.
        names.insert(0, host);
    }
    names
}

fn create(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists(path.to_owned()),
        _ => Error::Write { path: path.to_owned(), error },
    })
}
