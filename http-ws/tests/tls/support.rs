//! An authority with an intermediate, certificates of it, and a directory to write them to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use http_ws::tls::{Error, Files, Tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::RootCertStore;
use tempfile::TempDir;
use tracker_testkit::skip::Requirement;

/// The name that all certificates here are for.
pub(crate) const NAME: &str = "tracker.example";

/// For tests of what rcgen can't make.
pub(crate) const OPENSSL: &[Requirement] = &[Requirement::Program("openssl")];

/// A root and what it signed: an intermediate, that signs servers' certificates.
pub(crate) struct Authority {
    pub(crate) root: CertifiedIssuer<'static, KeyPair>,
    pub(crate) intermediate: CertifiedIssuer<'static, KeyPair>,
}

/// A server's certificate and key.
pub(crate) struct Server {
    pub(crate) certificate: rcgen::Certificate,
    pub(crate) key: KeyPair,
    /// PEM of the certificate and the intermediate.
    pub(crate) chain: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let parameters = |name: &str| {
            let mut parameters = CertificateParams::default();
            parameters.distinguished_name.push(DnType::CommonName, name);
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            parameters
        };
        let key = || KeyPair::generate().expect("random numbers");
        let root = CertifiedIssuer::self_signed(parameters("a root"), key()).expect("good parameters");
        let intermediate =
            CertifiedIssuer::signed_by(parameters("an intermediate"), key(), &root).expect("good parameters");
        Self { root, intermediate }
    }

    pub(crate) fn server(&self) -> Server {
        self.server_with(|_| {})
    }

    pub(crate) fn server_with(&self, change: impl FnOnce(&mut CertificateParams)) -> Server {
        let mut parameters = CertificateParams::new(vec![NAME.to_owned()]).expect("a good name");
        parameters.distinguished_name.push(DnType::CommonName, NAME);
        parameters.not_after = rcgen::date_time_ymd(2095, 1, 1);
        change(&mut parameters);
        let key = KeyPair::generate().expect("random numbers");
        let certificate = parameters.signed_by(&key, &self.intermediate).expect("good parameters");
        let chain = format!("{}{}", certificate.pem(), self.intermediate.pem());
        Server { certificate, key, chain }
    }

    /// What clients trust.
    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone()).expect("a good root");
        roots
    }
}

/// A directory with files that go away together.
pub(crate) struct Directory(TempDir);

impl Directory {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(name);
        fs::write(&path, content).expect("it can be written");
        path
    }

    /// The usual two files.
    pub(crate) fn write_server(&self, server: &Server) -> Files {
        separate(
            self.write("certificate.pem", &server.chain),
            self.write("private-key.pem", server.key.serialize_pem()),
        )
    }

    /// Runs openssl in this directory, with arguments as one would type them.
    #[track_caller]
    pub(crate) fn openssl(&self, arguments: &str) {
        let mut command = Command::new("openssl");
        // A quoted argument is nowhere needed; `''` is an empty one.
        command.args(arguments.split_whitespace().map(|word| if word == "''" { "" } else { word }));
        let output =
            command.current_dir(self.path()).stdin(Stdio::null()).output().expect("openssl is there");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {said}");
    }
}

pub(crate) fn separate(certificate: PathBuf, private_key: PathBuf) -> Files {
    Files::Separate { certificate, private_key }
}

pub(crate) fn bundle(bundle: PathBuf, password_file: Option<PathBuf>) -> Files {
    Files::Pkcs12 { bundle, password_file }
}

/// Loads what has to be loaded.
#[track_caller]
pub(crate) fn load(files: Files) -> Tls {
    Tls::load(files).unwrap_or_else(|error| panic!("{error}"))
}

/// Says why it can't be loaded.
#[track_caller]
pub(crate) fn refusal(files: Files) -> (Error, String) {
    let error = Tls::load(files).expect_err("it is to be refused");
    let text = error.to_string();
    (error, text)
}
