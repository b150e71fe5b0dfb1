//! Network namespaces, veth pairs and a BPF file system for one test.
//!
//! A namespace has no name: it is held by a descriptor of this process and by the processes inside, so that nothing
//! is left behind however a test ends. Commands reach it with `nsenter --net`, which (unlike `ip netns exec`) leaves
//! the mounts alone, and so the BPF file system in sight.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use crate::sys;

/// A network namespace with its loopback interface up.
#[derive(Debug)]
pub struct Namespace {
    file: File,
}

impl Namespace {
    /// A new namespace. Needs root.
    #[track_caller]
    pub fn new() -> Self {
        let made = thread::spawn(|| -> io::Result<File> {
            sys::unshare_network()?;
            File::open("/proc/thread-self/ns/net")
        });
        let file = made.join().expect("the thread only makes system calls");
        let namespace = Self { file: file.expect("root may make network namespaces") };
        // Without duplicate address detection the interfaces to come can be used at once.
        namespace.sysctl("net/ipv6/conf/default/accept_dad", "0");
        namespace.ip("link set lo up");
        namespace
    }

    /// Where other processes find it.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    /// A command that runs inside.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path())).arg("--").arg(program);
        command
    }

    /// Runs `ip` with these words, which has to succeed.
    #[track_caller]
    pub fn ip(&self, words: &str) {
        let mut command = self.command("ip");
        command.args(words.split_whitespace());
        run(command);
    }

    /// Sets a sysctl, for example `net/ipv4/ip_forward`.
    #[track_caller]
    pub fn sysctl(&self, key: &str, value: &str) {
        let path = Path::new("/proc/sys").join(key);
        self.inside(|| std::fs::write(&path, value))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Calls `f` on a thread inside; sockets that it makes stay there.
    pub fn inside<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                sys::enter_network(&self.file).expect("who made the namespace may enter it");
                f()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Makes a veth pair, one end here and one there.
    #[track_caller]
    pub fn cable_to(&self, other: &Self, here: &str, there: &str) {
        // iproute2 takes whatever has a slash for a path.
        self.ip(&format!("link add {here} type veth peer name {there} netns {}", other.path()));
    }

    /// The hardware address of an interface.
    #[track_caller]
    pub fn mac(&self, interface: &str) -> [u8; 6] {
        let output =
            self.command("ip").args(["-o", "link", "show", "dev", interface]).output().expect("ip runs");
        let text = String::from_utf8_lossy(&output.stdout);
        let digits = text.split_whitespace().skip_while(|word| *word != "link/ether").nth(1);
        let bytes = digits.map(|mac| mac.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect());
        match bytes {
            Some(Ok::<Vec<u8>, _>(bytes)) if bytes.len() == 6 => std::array::from_fn(|n| bytes[n]),
            _ => panic!("no hardware address of {interface} in {text:?}"),
        }
    }

    /// Lets every address of these networks be this host's own, to send from and to receive at.
    #[track_caller]
    pub fn own_networks(&self, v4: &str, v6: &str) {
        self.sysctl("net/ipv4/ip_nonlocal_bind", "1");
        self.sysctl("net/ipv6/ip_nonlocal_bind", "1");
        self.ip(&format!("route add local {v4} dev lo"));
        self.ip(&format!("-6 route add local {v6} dev lo"));
    }

    /// Attaches a program that passes every packet, in native mode, until the guard is dropped.
    ///
    /// veth delivers what the other end's program transmits only when this end has a program, too.
    #[track_caller]
    pub fn attach_pass_program(&self, interface: &str, name: &str) -> AttachedProgram {
        let link = self.inside(|| {
            let program = sys::load_pass_program(name)?;
            sys::attach_native(&program, sys::interface_index(interface)?)
        });
        AttachedProgram { _link: link.unwrap_or_else(|error| panic!("a program on {interface}: {error}")) }
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

/// An attached XDP program, detached on drop.
#[derive(Debug)]
pub struct AttachedProgram {
    _link: OwnedFd,
}

/// Two hosts and a cable: a client and a server, each in a namespace of its own.
#[derive(Debug)]
pub struct Cable {
    /// Has [`Cable::CLIENT_V4`] and [`Cable::CLIENT_V6`] at `client0`, which has a pass program.
    pub client: Arc<Namespace>,
    /// Has [`Cable::SERVER_V4`] and [`Cable::SERVER_V6`] at `server0`.
    pub server: Arc<Namespace>,
    _pass: AttachedProgram,
}

impl Cable {
    /// The client's interface.
    pub const CLIENT_INTERFACE: &'static str = "client0";
    /// The server's interface.
    pub const SERVER_INTERFACE: &'static str = "server0";
    /// The client's own IPv4 address.
    pub const CLIENT_V4: &'static str = "10.99.0.1";
    /// The client's own IPv6 address.
    pub const CLIENT_V6: &'static str = "fd99::1";
    /// The server's IPv4 address.
    pub const SERVER_V4: &'static str = "10.99.0.2";
    /// The server's IPv6 address.
    pub const SERVER_V6: &'static str = "fd99::2";

    /// A new pair of hosts. Needs root and BPF.
    #[track_caller]
    pub fn new() -> Self {
        let (client, server) = (Arc::new(Namespace::new()), Arc::new(Namespace::new()));
        client.cable_to(&server, Self::CLIENT_INTERFACE, Self::SERVER_INTERFACE);
        for (namespace, interface, v4, v6) in [
            (&client, Self::CLIENT_INTERFACE, Self::CLIENT_V4, Self::CLIENT_V6),
            (&server, Self::SERVER_INTERFACE, Self::SERVER_V4, Self::SERVER_V6),
        ] {
            namespace.ip(&format!("address add {v4}/24 dev {interface}"));
            namespace.ip(&format!("-6 address add {v6}/64 dev {interface}"));
            namespace.ip(&format!("link set {interface} up"));
        }
        let pass = client.attach_pass_program(Self::CLIENT_INTERFACE, "cable_pass");
        Self { client, server, _pass: pass }
    }

    /// Gives the client every address of these networks, and the server the way there.
    #[track_caller]
    pub fn client_owns(&self, v4: &str, v6: &str) {
        self.client.own_networks(v4, v6);
        self.server.ip(&format!("route add {v4} via {}", Self::CLIENT_V4));
        self.server.ip(&format!("-6 route add {v6} via {}", Self::CLIENT_V6));
    }
}

impl Default for Cable {
    fn default() -> Self {
        Self::new()
    }
}

/// A BPF file system of this test's own, unmounted on drop.
#[derive(Debug)]
pub struct BpfFileSystem {
    directory: tempfile::TempDir,
}

impl BpfFileSystem {
    /// Mounts a new one. Needs root.
    #[track_caller]
    pub fn mount() -> Self {
        let directory =
            tempfile::Builder::new().prefix("tracker-bpffs-").tempdir().expect("a temporary directory");
        let mut command = Command::new("mount");
        command.args(["-t", "bpf", "bpf"]).arg(directory.path());
        run(command);
        Self { directory }
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    /// From now on the kernel refuses every change of a pinned map but the programs' own, as long as that map lives. `map` is its path in here.
    #[track_caller]
    pub fn freeze(&self, map: impl AsRef<Path>) {
        let path = self.directory.path().join(map);
        sys::freeze_map(&path).unwrap_or_else(|error| panic!("freezing {}: {error}", path.display()));
    }
}

impl Drop for BpfFileSystem {
    fn drop(&mut self) {
        // Lazily: a daemon that is about to be killed may still be inside.
        let _ = Command::new("umount").arg("--lazy").arg(self.directory.path()).status();
    }
}

#[track_caller]
fn run(mut command: Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::skip::{Requirement, must_skip};

    #[test]
    fn hosts_on_a_cable_hear_each_other() {
        if must_skip(&[Requirement::Root, Requirement::Bpf]) {
            return;
        }
        let cable = Cable::new();
        cable.client_owns("10.77.0.0/16", "fd77::/64");
        for (client, server) in [("10.77.1.2:0", "10.99.0.2:0"), ("[fd77::102]:0", "[fd99::2]:0")] {
            let server = cable.server.inside(|| UdpSocket::bind(server)).unwrap();
            let client = cable.client.inside(|| UdpSocket::bind(client)).unwrap();
            client.send_to(b"ping", server.local_addr().unwrap()).unwrap();
            let mut buffer = [0; 16];
            let (len, from) = server.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..len], from), (&b"ping"[..], client.local_addr().unwrap()));
            server.send_to(b"pong", from).unwrap();
            assert_eq!(client.recv(&mut buffer).unwrap(), 4);
        }
    }

    #[test]
    fn a_namespace_has_nothing_but_its_own_loopback() {
        if must_skip(&[Requirement::Root]) {
            return;
        }
        let namespace = Namespace::new();
        let output = namespace.command("ip").args(["-o", "link"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("lo: <LOOPBACK,UP"), "{text}");
    }

    #[test]
    fn a_bpf_file_system_goes_with_its_guard() {
        if must_skip(&[Requirement::Root, Requirement::Bpf]) {
            return;
        }
        let mounted = BpfFileSystem::mount();
        let path = mounted.path();
        let is_listed = || std::fs::read_to_string("/proc/mounts").unwrap().contains(path.to_str().unwrap());
        assert!(is_listed());
        drop(mounted);
        assert!(!is_listed() && !path.exists());
    }
}
