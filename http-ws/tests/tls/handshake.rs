//! Handshakes in memory: versions, ALPN, resumption, reload.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use http_ws::tls::Tls;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, Error, HandshakeKind, ProtocolVersion, RootCertStore, ServerConnection,
    SupportedProtocolVersion,
};

use crate::support::{Authority, Directory, NAME, load};

/// Both ends of a connection.
pub(crate) struct Connection {
    client: ClientConnection,
    server: ServerConnection,
}

impl Connection {
    /// A connection whose handshake is over.
    #[track_caller]
    pub(crate) fn open(tls: &Tls, client: &Arc<ClientConfig>) -> Self {
        Self::try_open(tls, client).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_open(tls: &Tls, client: &Arc<ClientConfig>) -> Result<Self, Error> {
        let name = ServerName::try_from(NAME).expect("a good name");
        let mut connection = Self {
            client: ClientConnection::new(Arc::clone(client), name)?,
            server: ServerConnection::new(tls.config())?,
        };
        connection.carry()?;
        assert!(!connection.client.is_handshaking() && !connection.server.is_handshaking());
        Ok(connection)
    }

    /// Brings all bytes to the other end, until there are none.
    fn carry(&mut self) -> Result<(), Error> {
        const IN_MEMORY: &str = "memory doesn't fail";
        let mut bytes = Vec::new();
        while self.client.wants_write() || self.server.wants_write() {
            while self.client.wants_write() {
                self.client.write_tls(&mut bytes).expect(IN_MEMORY);
            }
            let mut reader = bytes.as_slice();
            while !reader.is_empty() {
                self.server.read_tls(&mut reader).expect(IN_MEMORY);
                self.server.process_new_packets()?;
            }
            bytes.clear();
            while self.server.wants_write() {
                self.server.write_tls(&mut bytes).expect(IN_MEMORY);
            }
            let mut reader = bytes.as_slice();
            while !reader.is_empty() {
                self.client.read_tls(&mut reader).expect(IN_MEMORY);
                self.client.process_new_packets()?;
            }
            bytes.clear();
        }
        Ok(())
    }

    /// What the server showed.
    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        self.client.peer_certificates().expect("servers show a certificate")
    }

    /// Sends a request and an answer.
    #[track_caller]
    fn assert_carries_data(&mut self) {
        let mut received = [0; 7];
        self.client.writer().write_all(b"request").expect("there is space");
        self.carry().expect("nothing is wrong with these bytes");
        self.server.reader().read_exact(&mut received).expect("all of them");
        assert_eq!(&received, b"request");
        self.server.writer().write_all(b"answers").expect("there is space");
        self.carry().expect("nothing is wrong with these bytes");
        self.client.reader().read_exact(&mut received).expect("all of them");
        assert_eq!(&received, b"answers");
    }

    fn kinds(&self) -> [Option<HandshakeKind>; 2] {
        [self.client.handshake_kind(), self.server.handshake_kind()]
    }
}

/// A client of both versions that remembers sessions.
pub(crate) fn client(roots: RootCertStore) -> Arc<ClientConfig> {
    client_of(roots, &[&TLS12, &TLS13], &[])
}

fn client_of(
    roots: RootCertStore,
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&str],
) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("the provider has both")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

const BOTH: [&[&SupportedProtocolVersion]; 2] = [&[&TLS12], &[&TLS13]];
const RESUMED: [Option<HandshakeKind>; 2] = [Some(HandshakeKind::Resumed); 2];
const FULL: [Option<HandshakeKind>; 2] = [Some(HandshakeKind::Full); 2];

fn setup() -> (Directory, Authority, Tls) {
    let (directory, authority) = (Directory::new(), Authority::new());
    let tls = load(directory.write_server(&authority.server()));
    (directory, authority, tls)
}

#[test]
fn both_versions_are_spoken_and_the_newer_one_is_preferred() {
    let (_directory, authority, tls) = setup();
    let cases: [(&[&SupportedProtocolVersion], _); 3] = [
        (&[&TLS12], ProtocolVersion::TLSv1_2),
        (&[&TLS13], ProtocolVersion::TLSv1_3),
        (&[&TLS12, &TLS13], ProtocolVersion::TLSv1_3),
    ];
    for (versions, spoken) in cases {
        let mut connection = Connection::open(&tls, &client_of(authority.roots(), versions, &[]));
        assert_eq!(connection.server.protocol_version(), Some(spoken));
        connection.assert_carries_data();
    }
}

#[test]
fn http_1_1_is_agreed_on_when_the_client_offers_it_among_others() {
    let (_directory, authority, tls) = setup();
    for versions in BOTH {
        let offers = |protocols: &[&str]| {
            Connection::try_open(&tls, &client_of(authority.roots(), versions, protocols))
                .map(|connection| connection.client.alpn_protocol().map(<[u8]>::to_vec))
        };
        assert_eq!(offers(&["h2", "http/1.1"]), Ok(Some(b"http/1.1".to_vec())));
        assert_eq!(offers(&["http/1.0"]), Ok(Some(b"http/1.0".to_vec())));
        assert_eq!(offers(&[]), Ok(None));
        // RFC 7301, section 3.2: nothing in common is a fatal alert.
        assert_eq!(offers(&["h2"]), Err(Error::NoApplicationProtocol));
    }
}

#[test]
fn sessions_are_resumed_with_tickets_in_both_versions() {
    let (_directory, authority, tls) = setup();
    for versions in BOTH {
        let client = client_of(authority.roots(), versions, &["http/1.1"]);
        assert_eq!(Connection::open(&tls, &client).kinds(), FULL);
        for _ in 0..3 {
            let mut connection = Connection::open(&tls, &client);
            assert_eq!(connection.kinds(), RESUMED);
            assert_eq!(connection.server.alpn_protocol(), Some(&b"http/1.1"[..]));
            connection.assert_carries_data();
        }
    }
}

#[test]
fn one_ticket_is_sent() {
    let (_directory, authority, tls) = setup();
    let connection = Connection::open(&tls, &client_of(authority.roots(), &[&TLS13], &[]));
    assert_eq!(connection.client.tls13_tickets_received(), 1);
}

#[test]
fn a_reload_shows_the_new_certificate_resumes_old_sessions_and_keeps_connections() {
    for versions in BOTH {
        let (directory, authority, tls) = setup();
        let client = client_of(authority.roots(), versions, &[]);
        let config = tls.config();
        let mut open = Connection::open(&tls, &client);

        let renewed =
            authority.server_with(|parameters| parameters.not_after = rcgen::date_time_ymd(2096, 7, 1));
        directory.write_server(&renewed);
        let sentence = tls.reload().expect("the new files are good");
        assert_eq!(sentence, "certificate CN=tracker.example, valid until 2096-07-01");
        assert_eq!(tls.summary(), sentence);
        assert!(Arc::ptr_eq(&config, &tls.config()));

        open.assert_carries_data();
        assert_eq!(Connection::open(&tls, &client).kinds(), RESUMED);
        // Another client, which has no session.
        let connection = Connection::open(&tls, &client_of(authority.roots(), versions, &[]));
        assert_eq!(connection.kinds(), FULL);
        assert_eq!(connection.chain().first(), Some(renewed.certificate.der()));
    }
}

#[test]
fn a_reload_of_broken_files_keeps_the_old_certificate_and_says_why() {
    let (directory, authority, tls) = setup();
    let before = Connection::open(&tls, &client(authority.roots())).chain().to_vec();
    let broken = directory.write("private-key.pem", authority.server().key.serialize_pem());
    let error = tls.reload().expect_err("the key is another one's").to_string();
    assert!(error.contains(&broken.display().to_string()), "{error}");
    std::fs::remove_file(broken).expect("it is there");
    let error = tls.reload().expect_err("the key is gone").to_string();
    assert!(error.contains("No such file"), "{error}");

    let mut connection = Connection::open(&tls, &client(authority.roots()));
    assert_eq!(connection.chain(), before);
    connection.assert_carries_data();
    assert_eq!(tls.summary(), "certificate CN=tracker.example, valid until 2095-01-01");
}

#[test]
fn tickets_of_another_process_lead_to_a_full_handshake() {
    let (directory, authority, tls) = setup();
    let files = directory.write_server(&authority.server());
    let other = load(files);
    for versions in BOTH {
        let client = client_of(authority.roots(), versions, &[]);
        Connection::open(&other, &client);
        assert_eq!(Connection::open(&tls, &client).kinds(), FULL);
    }
}
