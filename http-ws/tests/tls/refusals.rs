//! Files that are refused: each sentence names the file and the fix.

use http_ws::tls::{Error, Files, Reason, Tls};
use tracker_testkit::skip::must_skip;

use crate::support::{Authority, Directory, OPENSSL, Server, bundle, refusal, separate};

/// Good files, of which each case replaces one.
struct Setup {
    directory: Directory,
    authority: Authority,
    server: Server,
    files: Files,
}

impl Setup {
    fn new() -> Self {
        let (directory, authority) = (Directory::new(), Authority::new());
        let server = authority.server();
        let files = directory.write_server(&server);
        Self { directory, authority, server, files }
    }

    /// The refusal of `content` as `certificate.pem`.
    #[track_caller]
    fn certificate(&self, content: impl AsRef<[u8]>) -> String {
        self.refused("certificate.pem", "certificate ", content)
    }

    /// The refusal of `content` as `private-key.pem`.
    #[track_caller]
    fn key(&self, content: impl AsRef<[u8]>) -> String {
        self.refused("private-key.pem", "private key ", content)
    }

    #[track_caller]
    fn refused(&self, name: &str, what: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.directory.write(name, content);
        let (_, text) = refusal(self.files.clone());
        let sentence = text
            .strip_prefix(&format!("{what}{}: ", path.display()))
            .unwrap_or_else(|| panic!("{text}: the file isn't named"))
            .to_owned();
        self.directory.write_server(&self.server);
        sentence
    }
}

const PEM_OF_A_REQUEST: &str =
    "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";

#[test]
fn certificates_that_are_none() {
    let setup = Setup::new();
    let chain = &setup.server.chain;
    let wanted = "wanted PEM with the server's certificate first and then those of its issuers, or one certificate as DER";
    assert_eq!(setup.certificate(""), "the file is empty; write it again");
    assert_eq!(setup.certificate("hello\n"), format!("no certificate in it (found no PEM); {wanted}"));
    assert_eq!(
        setup.certificate(setup.server.key.serialize_pem()),
        format!("no certificate in it (found PRIVATE KEY); {wanted}")
    );
    assert_eq!(
        setup.certificate(PEM_OF_A_REQUEST.repeat(2)),
        format!("no certificate in it (found CERTIFICATE REQUEST, CERTIFICATE REQUEST); {wanted}")
    );
    assert_eq!(
        setup.certificate(chain.get(..chain.len() - 30).expect("ASCII")),
        "broken PEM: the line END CERTIFICATE is missing; write the file again"
    );
    assert_eq!(
        setup.certificate(chain.replacen("\nM", "\n!", 1)),
        "broken PEM: what is between BEGIN and END isn't base64; write the file again"
    );
    assert_eq!(
        setup.certificate(chain.replacen("CERTIFICATE-----", "CERTIFICATE----", 1)),
        "broken PEM: found \"-----BEGIN CERTIFICATE----\" where a section begins; write the file again"
    );
    let der = setup.server.certificate.der();
    let unreadable = "certificate 1 can't be read: not an X.509 certificate; write the file again";
    assert_eq!(setup.certificate(der.get(..der.len() - 1).expect("it is longer")), unreadable);
    assert_eq!(setup.certificate(PEM_OF_A_REQUEST.replace("CERTIFICATE REQUEST", "CERTIFICATE")), unreadable);
    let two = [der.as_ref(), b"12345"].concat();
    assert_eq!(
        setup.certificate(two),
        "certificate 1 can't be read: 5 bytes behind the certificate; write the file again"
    );
    assert_eq!(
        setup.certificate(vec![b'-'; (1 << 20) + 1]),
        "larger than 1048576 bytes, so hardly the right file; correct the path"
    );
}

#[test]
fn keys_that_are_none() {
    let setup = Setup::new();
    let key = setup.server.key.serialize_pem();
    let wanted = "wanted a key in PKCS#8, PKCS#1 or SEC1, as PEM or DER";
    assert_eq!(setup.key(""), "the file is empty; write it again");
    assert_eq!(setup.key("hello\n"), format!("no private key in it (found no PEM); {wanted}"));
    assert_eq!(
        setup.key(setup.server.certificate.pem()),
        format!("no private key in it (found CERTIFICATE); {wanted}")
    );
    assert_eq!(
        setup.key(setup.server.certificate.der()),
        format!("no private key in it (neither PEM nor a key as DER); {wanted}")
    );
    assert_eq!(
        setup.key(key.get(..key.len() / 2).expect("ASCII")),
        "broken PEM: the line END PRIVATE KEY is missing; write the file again"
    );
    let der = setup.server.key.serialized_der();
    let damaged = setup.key(der.get(..der.len() - 20).expect("it is longer"));
    assert!(
        damaged
            .ends_with("; wanted RSA of 2048 to 8192 bits, ECDSA on P-256 or P-384, or Ed25519, undamaged"),
        "{damaged}"
    );
}

#[test]
fn a_key_of_another_certificate() {
    let setup = Setup::new();
    let other = setup.authority.server();
    setup.directory.write("private-key.pem", other.key.serialize_pem());
    let (error, text) = refusal(setup.files.clone());
    assert!(matches!(error, Error::File { reason: Reason::OtherKey { .. }, .. }), "{error:?}");
    let path = |name| setup.directory.at(name).display().to_string();
    assert_eq!(
        text,
        format!(
            "certificate {}: its key isn't the private key in {}; name the files that were made together (certificate: CN=tracker.example)",
            path("certificate.pem"),
            path("private-key.pem"),
        )
    );
}

#[test]
fn a_chain_that_begins_with_an_issuer() {
    let setup = Setup::new();
    let reversed = setup.authority.intermediate.pem() + &setup.server.certificate.pem();
    assert_eq!(
        setup.certificate(reversed),
        "the first certificate (CN=an intermediate) isn't the one of the private key, certificate 2 is; put that one first, then those \
         of its issuers"
    );
}

#[test]
fn files_that_are_not_there_or_no_files() {
    let setup = Setup::new();
    let missing = setup.directory.at("missing.pem");
    let (_, text) = refusal(separate(missing.clone(), setup.directory.at("private-key.pem")));
    assert_eq!(
        text,
        format!(
            "certificate {}: No such file or directory (os error 2); correct the path",
            missing.display()
        )
    );
    let (_, text) = refusal(separate(setup.directory.at("certificate.pem"), missing.clone()));
    assert_eq!(
        text,
        format!(
            "private key {}: No such file or directory (os error 2); correct the path",
            missing.display()
        )
    );
    let (_, text) = refusal(bundle(setup.directory.path().to_owned(), None));
    assert_eq!(
        text,
        format!(
            "PKCS#12 bundle {}: Is a directory (os error 21); name the file in it",
            setup.directory.path().display()
        )
    );
}

#[test]
fn encrypted_keys() {
    if must_skip(OPENSSL) {
        return;
    }
    let setup = Setup::new();
    setup.directory.openssl("pkey -in private-key.pem -aes256 -passout pass:x -out pkcs8.pem");
    setup.directory.openssl("ec -in private-key.pem -aes256 -passout pass:x -out sec1.pem");
    for (name, mark) in [("pkcs8.pem", "BEGIN ENCRYPTED PRIVATE KEY"), ("sec1.pem", "Proc-Type: 4,ENCRYPTED")]
    {
        let pem = std::fs::read_to_string(setup.directory.at(name)).expect("openssl wrote it");
        assert!(pem.contains(mark), "{pem}");
        assert_eq!(
            setup.key(pem),
            "the key is encrypted; decrypt it with `openssl pkey -in FILE -out NEW`, or use a PKCS#12 bundle with a password file",
            "{name}"
        );
    }
}

#[test]
fn bundles_with_a_wrong_password_or_something_missing() {
    if must_skip(OPENSSL) {
        return;
    }
    let setup = Setup::new();
    let directory = &setup.directory;
    let (good, wrong) = (directory.write("good", "secret\n"), directory.write("wrong", "secreT\n"));
    let path = directory.at("bundle.p12");
    let refused = |password: Option<&std::path::PathBuf>| {
        let (_, text) = refusal(bundle(path.clone(), password.cloned()));
        text.strip_prefix(&format!("PKCS#12 bundle {}: ", path.display()))
            .unwrap_or_else(|| panic!("{text}: the file isn't named"))
            .to_owned()
    };
    for options in ["", "-legacy"] {
        directory.openssl(&format!(
            "pkcs12 -export -in certificate.pem -inkey private-key.pem -passout file:good -out bundle.p12 {options}"
        ));
        assert_eq!(
            refused(Some(&wrong)),
            format!(
                "can't be opened with the password in {}; correct `pkcs12_password_file`",
                wrong.display()
            ),
            "{options}"
        );
        assert_eq!(
            refused(None),
            "can't be opened with an empty password, since none is configured; correct `pkcs12_password_file`",
            "{options}"
        );
    }
    directory.openssl("pkcs12 -export -in certificate.pem -nokeys -passout file:good -out bundle.p12");
    assert_eq!(refused(Some(&good)), "no private key in it; export it again, together with the key");
    directory.openssl("pkcs12 -export -nocerts -inkey private-key.pem -passout file:good -out bundle.p12");
    assert_eq!(
        refused(Some(&good)),
        "0 certificates in it and none is its private key's; export it again, with the server's certificate"
    );
    directory.write("bundle.p12", &setup.server.chain);
    let text = refused(Some(&good));
    assert!(text.starts_with("can't be read as PKCS#12 with the password in "), "{text}");
    assert!(text.ends_with("`openssl pkcs12 -export -in CHAIN -inkey KEY -out BUNDLE`"), "{text}");
}

/// A reload happens in a tracker that is running: whatever lies in the files, it must not take the process with it.
#[test]
fn damage_is_never_a_panic() {
    let setup = Setup::new();
    let certificate = setup.server.certificate.der().to_vec();
    let key = setup.server.key.serialized_der().to_vec();
    let mut store = p12_keystore::KeyStore::new();
    let entry = p12_keystore::PrivateKeyChain::new(
        "id",
        p12_keystore::PrivateKey::from_der(&key).expect("PKCS#8"),
        [p12_keystore::Certificate::from_der(&certificate).expect("a certificate")],
    );
    store.add_entry("tracker", p12_keystore::KeyStoreEntry::PrivateKeyChain(entry));
    let bundled =
        store.writer("").encryption_iterations(1).mac_iterations(1).write().expect("it can be encrypted");

    let path = |name| setup.directory.at(name);
    let (good_certificate, good_key) = (path("certificate.pem"), path("private-key.pem"));
    let cases = [
        (certificate, "damaged.der", separate(path("damaged.der"), good_key)),
        (
            setup.server.chain.into_bytes(),
            "damaged.pem",
            separate(path("damaged.pem"), path("private-key.pem")),
        ),
        (key, "damaged-key.der", separate(good_certificate, path("damaged-key.der"))),
        (bundled, "damaged.p12", bundle(path("damaged.p12"), None)),
    ];
    for (content, name, files) in cases {
        // Each kind of damage at every 20th byte: all of it at all of them takes a minute, and has passed.
        for index in (0..content.len()).step_by(5) {
            let (before, behind) = content.split_at(index);
            setup.directory.write(name, before);
            assert!(Tls::load(files.clone()).is_err() || name.ends_with(".pem"), "{name}, {index} bytes");
            let (old, behind) = behind.split_first().expect("the index is below the length");
            let new = [old ^ 1, old ^ 0x80, 0, 0xff][index / 5 % 4];
            setup.directory.write(name, [before, &[new], behind].concat());
            // Much of a certificate can be changed without anybody but clients noticing it.
            drop(Tls::load(files.clone()));
        }
    }
}
