//! The server's identity: certificate, its issuers' certificates, private key, read from files and found to belong together.
//!
//! Called by `Tls` at the start and at each reload. Never half an identity: either all of it is usable or the files are refused.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};

use super::certificate::Certificate;
use super::error::{Content, Error, Reason};
use super::files::Files;
use super::{pem_der, pkcs12};

/// What a handshake shows and signs with, and a sentence about it.
#[derive(Debug)]
pub(super) struct Identity {
    /// For rustls.
    pub(super) certified_key: Arc<CertifiedKey>,
    /// Which one it is, for the log.
    pub(super) summary: String,
    /// What is odd about it, although it is used.
    pub(super) complaints: Vec<String>,
}

impl Identity {
    /// Reads, checks, puts together.
    pub(super) fn read(files: &Files, provider: &CryptoProvider) -> Result<Self, Error> {
        let mut complaints = Vec::new();
        let (chain, key) = match files {
            Files::Separate { certificate, private_key } => {
                let blame =
                    |reason| Error::File { what: Content::Certificate, path: certificate.clone(), reason };
                let key = load(pem_der::private_key(private_key)?, provider).map_err(|reason| {
                    Error::File { what: Content::PrivateKey, path: private_key.clone(), reason }
                })?;
                let certificates = parse(pem_der::certificates(certificate)?).map_err(blame)?;
                match position(&certificates, &*key) {
                    Some(0) => {}
                    Some(position) => {
                        let first = name_of_first(&certificates);
                        return Err(blame(Reason::WrongOrder { first, number: position + 1 }));
                    }
                    None => {
                        let first = name_of_first(&certificates);
                        return Err(blame(Reason::OtherKey { key: private_key.clone(), first }));
                    }
                }
                complaints.extend(gap(&certificates));
                (certificates, key)
            }
            Files::Pkcs12 { bundle, password_file } => {
                let blame = |reason| Error::File { what: Content::Bundle, path: bundle.clone(), reason };
                let (certificates, key) = pkcs12::read(bundle, password_file.as_deref())?;
                let key = load(key, provider).map_err(blame)?;
                let certificates = parse(certificates).map_err(blame)?;
                let count = certificates.len();
                let chain = sorted(certificates, &*key)
                    .ok_or_else(|| blame(Reason::NoCertificateInBundle { certificates: count }))?;
                (chain, key)
            }
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        complaints.extend(chain.iter().filter_map(|(_, certificate)| certificate.complaint(now)));
        let summary = chain.first().map(|(_, certificate)| certificate.summary()).unwrap_or_default();
        let chain = chain.into_iter().map(|(der, _)| der).collect();
        Ok(Self { certified_key: Arc::new(CertifiedKey::new(chain, key)), summary, complaints })
    }
}

type Parsed = (CertificateDer<'static>, Certificate);

fn load(key: PrivateKeyDer<'static>, provider: &CryptoProvider) -> Result<Arc<dyn SigningKey>, Reason> {
    provider.key_provider.load_private_key(key).map_err(|error| Reason::UnusableKey(error.to_string()))
}

fn parse(certificates: Vec<CertificateDer<'static>>) -> Result<Vec<Parsed>, Reason> {
    let parse = |(index, der): (usize, CertificateDer<'static>)| match Certificate::read(&der) {
        Ok(certificate) => Ok((der, certificate)),
        Err(found) => Err(Reason::BrokenCertificate { number: index + 1, found }),
    };
    certificates.into_iter().enumerate().map(parse).collect()
}

/// Which certificate is the key's.
fn position(certificates: &[Parsed], key: &dyn SigningKey) -> Option<usize> {
    let public_key = key.public_key()?;
    certificates.iter().position(|(_, certificate)| certificate.public_key == public_key.as_ref())
}

fn name_of_first(certificates: &[Parsed]) -> String {
    certificates.first().map(|(_, certificate)| certificate.name.clone()).unwrap_or_default()
}

/// Where a chain breaks. It is served as it is: there are clients that find their way, and cross-signed roots that look like this.
fn gap(chain: &[Parsed]) -> Option<String> {
    chain.iter().zip(chain.iter().skip(1)).enumerate().find_map(|(index, ((_, one), (_, next)))| {
        (!one.is_issued_by(next)).then(|| {
            format!(
                "certificate {} of the chain ({}) isn't of the issuer of the one before it ({}): some clients will refuse the chain; \
                 order it from the server's certificate up",
                index + 2,
                next.name,
                one.name
            )
        })
    })
}

/// The key's certificate, its issuer's, and so on, as far as they are there. Without the root, which clients have.
fn sorted(mut certificates: Vec<Parsed>, key: &dyn SigningKey) -> Option<Vec<Parsed>> {
    let mut chain = vec![certificates.swap_remove(position(&certificates, key)?)];
    while let Some((_, last)) = chain.last() {
        let next =
            certificates.iter().position(|(_, other)| last.is_issued_by(other) && !other.is_self_issued());
        match next {
            Some(index) if !last.is_self_issued() => chain.push(certificates.swap_remove(index)),
            _ => break,
        }
    }
    Some(chain)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use super::*;

    /// What is said of a chain of certificates that sign themselves, with these first and last years.
    fn complaints(chain: &[(&str, [i32; 2])]) -> Vec<String> {
        let mut pem = String::new();
        let mut keys = Vec::new();
        for (name, [first, last]) in chain {
            let mut parameters = CertificateParams::default();
            parameters.distinguished_name.push(DnType::CommonName, *name);
            (parameters.not_before, parameters.not_after) =
                (date_time_ymd(*first, 1, 2), date_time_ymd(*last, 12, 31));
            let key = KeyPair::generate().expect("random numbers");
            pem += &parameters.self_signed(&key).expect("good parameters").pem();
            keys.push(key);
        }
        pem += &keys.first().expect("at least one").serialize_pem();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("both.pem");
        std::fs::write(&path, pem).expect("it can be written");
        let files = Files::Separate { certificate: path.clone(), private_key: path };
        let provider = rustls::crypto::ring::default_provider();
        Identity::read(&files, &provider).unwrap_or_else(|error| panic!("{error}")).complaints
    }

    #[test]
    fn nothing_is_said_of_a_good_certificate() {
        assert_eq!(complaints(&[("a", [2000, 2095])]), Vec::<String>::new());
    }

    #[test]
    fn dates_that_clients_refuse_are_complained_of_and_served() {
        assert_eq!(
            complaints(&[("a", [2000, 2020])]),
            ["certificate CN=a expired on 2020-12-31: clients will refuse it; renew it and reload"]
        );
        assert_eq!(
            complaints(&[("a", [2090, 2095])]),
            [
                "certificate CN=a is valid from 2090-01-02 on: clients will refuse it until then; is the clock right?"
            ]
        );
    }

    #[test]
    fn a_chain_with_a_gap_is_complained_of_and_served() {
        assert_eq!(
            complaints(&[("a", [2000, 2095]), ("b", [2000, 2095])]),
            [
                "certificate 2 of the chain (CN=b) isn't of the issuer of the one before it (CN=a): some clients will refuse the chain; \
                 order it from the server's certificate up"
            ]
        );
    }
}
