//! The certificate for trying out is one that the tracker takes and that clients accept when told to trust it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use http_ws::tls::self_signed;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};

use crate::handshake::{Connection, client};
use crate::support::{Directory, NAME, load, separate};

#[test]
fn it_is_served_and_trusted_by_those_who_are_told_to() {
    let directory = Directory::new();
    let made = self_signed(&directory.at("a/new/one"), &[NAME.to_owned()]).expect("nothing is there yet");
    let tls = load(separate(made.certificate.clone(), made.private_key));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(made.certificate).expect("PEM")).expect("a good certificate");
    Connection::open(&tls, &client(roots));
    assert!(tls.summary().starts_with("certificate CN=tracker.example, valid until 20"), "{}", tls.summary());
}

#[test]
fn the_key_is_for_its_owner_alone() {
    let directory = Directory::new();
    let made = self_signed(directory.path(), &[]).expect("nothing is there yet");
    let mode = fs::metadata(made.private_key).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn names_and_addresses_are_in_it_and_by_default_those_of_this_host() {
    let directory = Directory::new();
    let valid_for = |subdirectory: &str, names: &[&str], wanted: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = self_signed(&directory.at(subdirectory), &names).expect("nothing is there yet");
        let der = CertificateDer::from_pem_file(made.certificate).expect("PEM");
        let certificate = rustls::server::ParsedCertificate::try_from(&der).expect("a certificate");
        for name in wanted {
            let name = ServerName::try_from(*name).expect("a good name");
            rustls::client::verify_server_name(&certificate, &name)
                .unwrap_or_else(|error| panic!("{name:?}: {error}"));
        }
    };
    valid_for("default", &[], &["localhost", "127.0.0.1", "::1"]);
    valid_for(
        "named",
        &["*.tracker.example", "192.0.2.1", "2001:db8::1"],
        &["udp.tracker.example", "192.0.2.1", "2001:db8::1"],
    );
}

#[test]
fn nothing_is_overwritten() {
    let directory = Directory::new();
    for existing in ["certificate.pem", "private-key.pem"] {
        let path = directory.write(existing, "precious");
        let error = self_signed(directory.path(), &[]).expect_err("one exists").to_string();
        assert_eq!(
            error,
            format!(
                "{}: exists and is never overwritten; name another directory or move it away",
                path.display()
            )
        );
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 1);
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "precious");
        fs::remove_file(path).expect("it is there");
    }
}

#[test]
fn what_is_no_name_is_refused() {
    let directory = Directory::new();
    for name in ["", "two words", "https://tracker.example", "[::1]", "tracker.example:443", "a.*.example"] {
        let error = self_signed(&directory.at("new"), &[NAME.to_owned(), name.to_owned()])
            .expect_err("it is no name")
            .to_string();
        assert_eq!(
            error,
            format!(
                "name {name:?}: wanted a host name, such as tracker.example or *.tracker.example, or an IP address"
            )
        );
        assert!(!directory.at("new").exists());
    }
}
