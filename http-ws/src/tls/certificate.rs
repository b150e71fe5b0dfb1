//! What a certificate says: whose it is, how long it is valid, which key it has, who issued it.
//!
//! Called by `identity`. Nothing is verified here, that is for clients; an operator wants to know what was loaded.

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

/// What is told about a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    /// The subject; when that is empty, as free certificates have it, the names it is for.
    pub(super) name: String,
    subject: Vec<u8>,
    issuer: Vec<u8>,
    /// SubjectPublicKeyInfo, as DER.
    pub(super) public_key: Vec<u8>,
    not_before: Moment,
    not_after: Moment,
}

/// Seconds since 1970, and the day as one reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Moment {
    seconds: i64,
    day: String,
}

impl Certificate {
    /// # Errors
    ///
    /// It isn't a certificate.
    pub(super) fn read(der: &CertificateDer<'_>) -> Result<Self, String> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| "not an X.509 certificate".to_owned())?;
        if !rest.is_empty() {
            return Err(format!("{} bytes behind the certificate", rest.len()));
        }
        let moment = |time: x509_parser::time::ASN1Time| Moment {
            seconds: time.timestamp(),
            day: time.to_datetime().date().to_string(),
        };
        Ok(Self {
            name: name(&certificate),
            subject: certificate.subject().as_raw().to_vec(),
            issuer: certificate.issuer().as_raw().to_vec(),
            public_key: certificate.public_key().raw.to_vec(),
            not_before: moment(certificate.validity().not_before),
            not_after: moment(certificate.validity().not_after),
        })
    }

    /// Whether `issuer` may have signed it. By name, signatures are the clients' business.
    pub(super) fn is_issued_by(&self, issuer: &Self) -> bool {
        self.issuer == issuer.subject
    }

    /// Whether it is a root, which clients have themselves.
    pub(super) fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// For the log.
    pub(super) fn summary(&self) -> String {
        format!("certificate {}, valid until {}", self.name, self.not_after.day)
    }

    /// What is wrong with its dates at the time `now`, in seconds since 1970.
    pub(super) fn complaint(&self, now: i64) -> Option<String> {
        let Self { name, not_before, not_after, .. } = self;
        if now > not_after.seconds {
            Some(format!(
                "certificate {name} expired on {}: clients will refuse it; renew it and reload",
                not_after.day
            ))
        } else if now < not_before.seconds {
            Some(format!(
                "certificate {name} is valid from {} on: clients will refuse it until then; is the clock right?",
                not_before.day
            ))
        } else {
            None
        }
    }
}

fn name(certificate: &X509Certificate<'_>) -> String {
    let subject = certificate.subject().to_string();
    let name = if subject.is_empty() { alternative_names(certificate).join(", ") } else { subject };
    if name.is_empty() {
        return "without a name".to_owned();
    }
    name.escape_debug().to_string()
}

/// The first few DNS names.
fn alternative_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let dns = extension.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    dns.take(3).collect()
}
