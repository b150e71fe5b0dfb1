//! Every format that is taken, each proven by a handshake: a client that trusts the root alone connects.

use http_ws::tls::Files;
use tracker_testkit::skip::must_skip;

use crate::handshake::{Connection, client};
use crate::support::{Authority, Directory, OPENSSL, Server, bundle, load, separate};

/// A client that trusts `authority` gets through, so the whole chain is there and the key is the right one.
#[track_caller]
fn assert_serves(files: Files, authority: &Authority, server: &Server) {
    let tls = load(files);
    assert_eq!(tls.summary(), "certificate CN=tracker.example, valid until 2095-01-01");
    let connection = Connection::open(&tls, &client(authority.roots()));
    assert_eq!(connection.chain(), [server.certificate.der().clone(), authority.intermediate.der().clone()]);
}

fn setup() -> (Directory, Authority, Server) {
    let authority = Authority::new();
    let server = authority.server();
    (Directory::new(), authority, server)
}

#[test]
fn a_pem_chain_with_a_pkcs8_key() {
    let (directory, authority, server) = setup();
    assert_serves(directory.write_server(&server), &authority, &server);
}

#[test]
fn certificate_and_key_in_one_file_in_both_orders() {
    let (directory, authority, server) = setup();
    let key = server.key.serialize_pem();
    for content in [format!("{}{key}", server.chain), format!("{key}{}", server.chain)] {
        let path = directory.write("both.pem", content);
        assert_serves(separate(path.clone(), path), &authority, &server);
    }
}

#[test]
fn pem_with_explanations_a_mark_in_front_and_line_ends_of_windows() {
    let (directory, authority, server) = setup();
    let decorated = |pem: &str| format!("\u{FEFF}0 Bag Attributes: none\n{pem}").replace('\n', "\r\n");
    let certificate = directory.write("certificate.pem", decorated(&server.chain));
    let key = directory.write("key.pem", decorated(&server.key.serialize_pem()));
    assert_serves(separate(certificate, key), &authority, &server);
}

#[test]
fn one_certificate_and_a_pkcs8_key_as_der() {
    let (directory, authority, server) = setup();
    let certificate = directory.write("certificate.der", server.certificate.der());
    let key = directory.write("key.der", server.key.serialized_der());
    let tls = load(separate(certificate, key));
    // Without an intermediate, so the client has to trust that one.
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.intermediate.der().clone()).expect("a good root");
    assert_eq!(Connection::open(&tls, &client(roots)).chain(), [server.certificate.der().clone()]);
}

#[test]
fn sec1_keys_as_pem_and_der() {
    if must_skip(OPENSSL) {
        return;
    }
    let (directory, authority, server) = setup();
    directory.write_server(&server);
    // The first section is one more, as `openssl ecparam -genkey` writes it.
    directory.openssl("ecparam -name prime256v1 -out parameters.pem");
    directory.openssl("pkey -in private-key.pem -traditional -out sec1.pem");
    directory.openssl("pkey -in private-key.pem -traditional -outform DER -out sec1.der");
    let read = |name| std::fs::read_to_string(directory.at(name)).expect("openssl wrote it");
    assert!(read("sec1.pem").contains("BEGIN EC PRIVATE KEY"), "{}", read("sec1.pem"));
    directory.write("both.pem", read("parameters.pem") + &read("sec1.pem"));
    for key in ["sec1.pem", "sec1.der", "both.pem"] {
        assert_serves(separate(directory.at("certificate.pem"), directory.at(key)), &authority, &server);
    }
}

#[test]
fn rsa_keys_in_pkcs1_and_pkcs8_as_pem_and_der() {
    if must_skip(OPENSSL) {
        return;
    }
    let directory = Directory::new();
    directory.openssl(
        "req -x509 -newkey rsa:2048 -nodes -keyout pkcs8.pem -out certificate.pem -subj /CN=rsa -days 30",
    );
    directory.openssl("pkey -in pkcs8.pem -traditional -out pkcs1.pem");
    directory.openssl("pkey -in pkcs8.pem -traditional -outform DER -out pkcs1.der");
    directory.openssl("pkey -in pkcs8.pem -outform DER -out pkcs8.der");
    let pkcs1 = std::fs::read_to_string(directory.at("pkcs1.pem")).expect("openssl wrote it");
    assert!(pkcs1.contains("BEGIN RSA PRIVATE KEY"), "{pkcs1}");
    for key in ["pkcs8.pem", "pkcs1.pem", "pkcs1.der", "pkcs8.der"] {
        let tls = load(separate(directory.at("certificate.pem"), directory.at(key)));
        assert!(tls.summary().starts_with("certificate CN=rsa, valid until 20"), "{key}: {}", tls.summary());
    }
}

#[test]
fn bundles_in_modern_and_old_encryption_with_and_without_a_password() {
    if must_skip(OPENSSL) {
        return;
    }
    let (directory, authority, server) = setup();
    directory.write_server(&server);
    directory.write("leaf.pem", server.certificate.pem());
    // The root in front of the intermediate: the chain is put in order, and the root left out.
    directory.write("issuers.pem", authority.root.pem() + &authority.intermediate.pem());
    directory.write("password", "se cret");
    let with_line_end = directory.write("with-line-end", "se cret\r\n");
    let empty = directory.write("empty", "");
    let export = "pkcs12 -export -in leaf.pem -inkey private-key.pem -certfile issuers.pem";
    // What is typed, the password file, whether the password is in it.
    let cases = [
        ("", true),
        ("-legacy", true),
        ("-keypbe NONE -certpbe NONE", true),
        ("-nomac", true),
        ("-name tracker -macalg sha512", true),
        ("", false),
        ("-legacy", false),
    ];
    for (options, with_password) in cases {
        if with_password {
            directory.openssl(&format!("{export} {options} -passout file:password -out bundle.p12"));
            assert_serves(
                bundle(directory.at("bundle.p12"), Some(with_line_end.clone())),
                &authority,
                &server,
            );
        } else {
            directory.openssl(&format!("{export} {options} -passout pass: -out bundle.p12"));
            assert_serves(bundle(directory.at("bundle.p12"), None), &authority, &server);
            assert_serves(bundle(directory.at("bundle.p12"), Some(empty.clone())), &authority, &server);
        }
    }
}

#[test]
fn a_bundle_whose_ids_name_another_certificate_as_the_keys() {
    let (directory, authority, server) = setup();
    let certificate = |der: &[u8]| p12_keystore::Certificate::from_der(der).expect("a certificate");
    let key = p12_keystore::PrivateKey::from_der(server.key.serialized_der()).expect("PKCS#8");
    let chain = [certificate(authority.intermediate.der()), certificate(server.certificate.der())];
    let mut store = p12_keystore::KeyStore::new();
    let entry = p12_keystore::PrivateKeyChain::new("id", key, chain);
    store.add_entry("tracker", p12_keystore::KeyStoreEntry::PrivateKeyChain(entry));
    let content = store.writer("x").write().expect("it can be encrypted");
    let files = bundle(directory.write("bundle.p12", content), Some(directory.write("password", "x")));
    assert_serves(files, &authority, &server);
}

#[test]
fn a_certificate_without_a_subject_is_called_by_its_names() {
    let authority = Authority::new();
    let server = authority.server_with(|parameters| parameters.distinguished_name = Default::default());
    let tls = load(Directory::new().write_server(&server));
    assert_eq!(tls.summary(), "certificate tracker.example, valid until 2095-01-01");
}

#[test]
fn a_certificate_that_has_expired_is_loaded() {
    let authority = Authority::new();
    let server = authority.server_with(|parameters| parameters.not_after = rcgen::date_time_ymd(2020, 2, 29));
    let directory = Directory::new();
    assert_eq!(
        load(directory.write_server(&server)).summary(),
        "certificate CN=tracker.example, valid until 2020-02-29"
    );
}
