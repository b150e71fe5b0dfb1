//! What an idle TLS connection costs: counted by the allocator of this process, so in a process of its own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

use http_ws::tls::{Files, Tls, self_signed};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection, SupportedProtocolVersion};

struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: all of it is the system's allocator; a number is kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: what the caller owes is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: what the caller owes is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Handshake, a request, an answer, and the server's attempt to read the next request.
fn idle_connection(tls: &Tls, client: &Arc<ClientConfig>) -> Box<ServerConnection> {
    let name = ServerName::try_from("tracker.example").expect("a good name");
    let mut client = ClientConnection::new(Arc::clone(client), name).expect("a good configuration");
    let mut server = Box::new(ServerConnection::new(tls.config()).expect("a good configuration"));
    client.writer().write_all(&[b'q'; 400]).expect("there is space");
    let mut answered = false;
    loop {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).expect("memory doesn't fail");
        }
        let mut reader = bytes.as_slice();
        while !reader.is_empty() {
            server.read_tls(&mut reader).expect("memory doesn't fail");
            server.process_new_packets().expect("nothing is wrong with these bytes");
        }
        let mut request = [0; 400];
        if !answered && server.reader().read_exact(&mut request).is_ok() {
            server.writer().write_all(&[b'a'; 700]).expect("there is space");
            answered = true;
        }
        bytes.clear();
        while server.wants_write() {
            server.write_tls(&mut bytes).expect("memory doesn't fail");
        }
        if bytes.is_empty() && answered {
            break;
        }
        let mut reader = bytes.as_slice();
        while !reader.is_empty() {
            client.read_tls(&mut reader).expect("memory doesn't fail");
            client.process_new_packets().expect("nothing is wrong with these bytes");
        }
    }
    let nothing_yet = server.read_tls(&mut Nothing).expect_err("nothing comes");
    assert_eq!(nothing_yet.kind(), io::ErrorKind::WouldBlock);
    server
}

struct Nothing;

impl io::Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// In both versions; in one test, since the count is the whole process's.
#[test]
fn an_idle_connection_costs_less_than_ten_kilobytes() {
    const CONNECTIONS: isize = 100;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let made = self_signed(directory.path(), &["tracker.example".to_owned()]).expect("an empty directory");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&made.certificate).expect("PEM")).expect("a good certificate");
    let tls = Tls::load(Files::Separate { certificate: made.certificate, private_key: made.private_key })
        .expect("good files");
    let versions: [&'static SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
    for version in versions {
        let client = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[version])
            .expect("the provider has it")
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let client = Arc::new(client);
        // What is made once, such as the client's cache of sessions.
        drop(idle_connection(&tls, &client));
        let mut connections = Vec::with_capacity(CONNECTIONS as usize);
        let before = LIVE.load(Ordering::Relaxed);
        for _ in 0..CONNECTIONS {
            connections.push(idle_connection(&tls, &client));
        }
        let each = (LIVE.load(Ordering::Relaxed) - before) / CONNECTIONS;
        println!("{version:?}: {each} bytes, of them {} in the struct", size_of::<ServerConnection>());
        assert!(each < 10_000, "{version:?}: {each} bytes");
    }
}
