//! The control socket: what `tracker-user map` says to the running tracker, and what it answers.
//!
//! One JSON object a line in each direction, over a Unix socket. A connection's thread only carries: requests go to the main loop of
//! `daemon`, which owns everything that they change, and it answers when the change is in the file, in the sockets' list and in the
//! kernel. Tests are below.

use std::fs::{self, Permissions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde::{Deserialize, Serialize};

use crate::config::AccessMode;
use crate::daemon::Event;
use crate::limits::Change;
use crate::stats::Stats;
use crate::swarms::SwarmCounts;

/// What can be asked of a running tracker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Adds torrents to the access list.
    AccessAdd {
        /// Info hashes in hexadecimal.
        hashes: Vec<String>,
    },
    /// Removes torrents from the access list.
    AccessRemove {
        /// Info hashes in hexadecimal.
        hashes: Vec<String>,
    },
    /// Tells the access list.
    AccessList,
    /// Replaces the access list.
    AccessLoad {
        /// What errors call the file.
        name: String,
        /// Its text.
        text: String,
    },
    /// Empties the access list.
    AccessClear,
    /// Tells how many torrents are listed.
    AccessCount,
    /// Tells or sets what the access list means.
    AccessMode {
        /// The new mode; none: only tell.
        mode: Option<AccessMode>,
    },
    /// Adds networks to the block list.
    BlockAdd {
        /// Addresses or networks.
        networks: Vec<String>,
    },
    /// Removes networks from the block list.
    BlockRemove {
        /// Addresses or networks.
        networks: Vec<String>,
    },
    /// Tells the block list.
    BlockList,
    /// Replaces the block list.
    BlockLoad {
        /// What errors call the file.
        name: String,
        /// Its text.
        text: String,
    },
    /// Empties the block list.
    BlockClear,
    /// Tells how many networks are listed.
    BlockCount,
    /// Tells or sets the rate limits of sources.
    Limit(Change),
    /// Tells the statistics.
    Stats,
    /// Tells what the swarm table knows of a torrent.
    Torrent {
        /// Its info hash in hexadecimal.
        hash: String,
    },
    /// Tells the largest swarms.
    Top {
        /// How many.
        torrents: u32,
    },
}

/// What the tracker answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// It is done; a sentence about it.
    Done(String),
    /// Some lines of a list; more responses follow.
    Entries(Vec<String>),
    /// All lines of a list have been told.
    End,
    /// How many there are.
    Count(u64),
    /// The mode of the access list.
    Mode(AccessMode),
    /// The statistics.
    Stats(Box<Stats>),
    /// Torrents with their counts.
    Torrents(Vec<SwarmCounts>),
    /// Nothing was changed, and why.
    Error(String),
}

/// An answer as the main loop gives it; what takes long is made by the thread that writes it.
pub enum Answer {
    /// At hand.
    Now(Response),
    /// Made when it is written.
    Later(Box<dyn FnOnce() -> Response + Send>),
    /// The lines of a list.
    Entries(Box<dyn Iterator<Item = String> + Send>),
}

impl Answer {
    /// Makes the responses, one after the other.
    ///
    /// # Errors
    ///
    /// Those of `write`.
    pub fn write<E>(self, mut write: impl FnMut(Response) -> Result<(), E>) -> Result<(), E> {
        match self {
            Self::Now(response) => write(response),
            Self::Later(make) => write(make()),
            Self::Entries(mut entries) => loop {
                let some: Vec<String> = entries.by_ref().take(ENTRIES_AT_ONCE).collect();
                if some.is_empty() {
                    return write(Response::End);
                }
                write(Response::Entries(some))?;
            },
        }
    }
}

/// Lines of a list in one response.
const ENTRIES_AT_ONCE: usize = 4096;

/// The longest request: an access list of 3 million torrents.
const MAX_REQUEST_BYTES: u64 = 128 << 20;

/// How long a client may take for its request; the main loop is not concerned.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long no client is taken after one couldn't be.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Whether no tracker runs that could be asked: nobody listens on the socket, and nothing forbids to look.
pub fn nobody_listens(socket: &Path) -> bool {
    let nobody = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
    UnixStream::connect(socket).is_err_and(|error| nobody.contains(&error.kind()))
}

/// Asks the running tracker; `take` gets its responses, one unless it is a list. `progress` is told how many bytes of how many are sent.
///
/// # Errors
///
/// No tracker listens on the socket, it may not be used, or it refuses the request; what `take` says.
pub fn ask(
    socket: &Path,
    request: &Request,
    mut progress: impl FnMut(usize, usize),
    mut take: impl FnMut(Response) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let stream = UnixStream::connect(socket).map_err(|error| no_tracker(socket, &error))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    anyhow::ensure!(
        line.len() as u64 <= MAX_REQUEST_BYTES,
        "{} MB are too much for one request: {} at the most; write the list's file and send the tracker SIGHUP",
        line.len() >> 20,
        MAX_REQUEST_BYTES >> 20
    );
    let mut sent = 0;
    for part in line.chunks(1 << 20) {
        (&stream).write_all(part).context("control socket: request")?;
        sent += part.len();
        progress(sent, line.len());
    }
    for answer in BufReader::new(&stream).lines() {
        let answer = answer.context("control socket: answer")?;
        match serde_json::from_str(&answer).context("control socket: answer of another version")? {
            Response::Error(reason) => bail!(reason),
            Response::End => return Ok(()),
            response @ Response::Entries(_) => take(response)?,
            response => return take(response),
        }
    }
    bail!("control socket {}: the tracker stopped before it answered", socket.display());
}

fn no_tracker(socket: &Path, error: &io::Error) -> anyhow::Error {
    let path = socket.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            anyhow!("control socket {path}: {error}; use sudo, or become a member of the socket's group")
        }
        _ => anyhow!(
            "no tracker is running with the control socket {path} ({error}); start one with `sudo tracker-user --iface eth0`, or name \
             the socket of the running one with --control PATH or its configuration with -c FILE"
        ),
    }
}

/// The listening socket; its file is removed when it is dropped.
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Listens on `path`, which a tracker that was killed may have left behind.
    ///
    /// # Errors
    ///
    /// Another tracker answers there, or the directory can't be written.
    pub fn bind(path: &Path) -> anyhow::Result<Self> {
        if UnixStream::connect(path).is_ok() {
            bail!(
                "control socket {}: another tracker is listening there: stop it, or choose another path with --control",
                path.display()
            );
        }
        let bind = || -> io::Result<UnixListener> {
            if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                fs::DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
            }
            if path.exists() {
                fs::remove_file(path)?;
            }
            let listener = UnixListener::bind(path)?;
            fs::set_permissions(path, Permissions::from_mode(0o660))?;
            Ok(listener)
        };
        let listener = bind().with_context(|| format!("control socket {}", path.display()))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// From now on its path is another one, as after a chroot.
    pub fn move_to(&mut self, path: PathBuf) {
        self.path = path;
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts the thread that takes connections and sends their requests to the main loop.
    ///
    /// # Errors
    ///
    /// Those of making a thread.
    pub fn serve(&self, events: Sender<Event>) -> io::Result<()> {
        let listener = self.listener.try_clone()?;
        thread::Builder::new().name("control".to_owned()).spawn(move || {
            for stream in listener.incoming() {
                let stream = match stream {
                    Ok(stream) => stream,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => {
                        // No descriptor, for example, which is no better at once.
                        tracing::debug!("control socket: accepting a client: {error}");
                        thread::sleep(BACK_OFF);
                        continue;
                    }
                };
                let events = events.clone();
                let spawned = thread::Builder::new().name("control client".to_owned()).spawn(move || {
                    if let Err(error) = carry(&stream, &events) {
                        tracing::debug!("control socket: {error}");
                    }
                });
                if let Err(error) = spawned {
                    tracing::warn!("control socket: a client was turned away: {error}");
                }
            }
        })?;
        Ok(())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _gone_already = fs::remove_file(&self.path);
    }
}

/// Carries one connection's requests to the main loop and its answers back.
fn carry(stream: &UnixStream, events: &Sender<Event>) -> io::Result<()> {
    stream.set_read_timeout(Some(CLIENT_TIMEOUT))?;
    stream.set_write_timeout(Some(CLIENT_TIMEOUT))?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        (&mut reader).take(MAX_REQUEST_BYTES).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(());
        }
        if !line.ends_with(b"\n") {
            let refusal = Response::Error(format!("the request is longer than {MAX_REQUEST_BYTES} bytes"));
            return (&mut &*stream).write_all(&serde_json::to_vec(&refusal)?);
        }
        let answer = match serde_json::from_slice(&line) {
            Ok(request) => {
                let (reply, answer): (SyncSender<Answer>, _) = sync_channel(1);
                let sent = events.send(Event::Request(request, reply));
                match sent.ok().and_then(|()| answer.recv().ok()) {
                    Some(answer) => answer,
                    None => Answer::Now(Response::Error("the tracker is stopping".to_owned())),
                }
            }
            Err(error) => Answer::Now(Response::Error(format!("not a request of this version: {error}"))),
        };
        answer.write(|response| -> io::Result<()> {
            let mut line = serde_json::to_vec(&response)?;
            line.push(b'\n');
            (&mut &*stream).write_all(&line)
        })?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    fn ask(path: &Path, request: &Request) -> anyhow::Result<Vec<Response>> {
        let mut responses = Vec::new();
        super::ask(
            path,
            request,
            |_, _| {},
            |response| {
                responses.push(response);
                Ok(())
            },
        )?;
        Ok(responses)
    }

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary directory")
    }

    #[test]
    fn request_reaches_the_main_loop_and_its_answer_the_client() {
        let directory = directory();
        let path = directory.path().join("run/control.sock");
        let listener = Listener::bind(&path).expect("it can be made");
        let (events, requests) = channel();
        listener.serve(events).expect("a thread can be made");
        let main_loop = thread::spawn(move || {
            for event in requests.iter().take(2) {
                let Event::Request(request, reply) = event else { panic!("only requests are sent") };
                let response = match request {
                    Request::AccessAdd { hashes } => Answer::Entries(Box::new(hashes.into_iter())),
                    _ => Answer::Now(Response::Error("no".to_owned())),
                };
                reply.send(response).expect("the client waits");
            }
        });
        let hashes: Vec<String> = (0..=ENTRIES_AT_ONCE).map(|number| number.to_string()).collect();
        let responses = ask(&path, &Request::AccessAdd { hashes: hashes.clone() }).expect("it is answered");
        let (first, last) = hashes.split_at(ENTRIES_AT_ONCE);
        assert_eq!(responses, [first, last].map(|part| Response::Entries(part.to_vec())));
        assert_eq!(ask(&path, &Request::Stats).expect_err("it is refused").to_string(), "no");
        main_loop.join().expect("it ends");
    }

    #[test]
    fn socket_is_for_owner_and_group_and_goes_with_the_listener() {
        let directory = directory();
        let path = directory.path().join("control.sock");
        let listener = Listener::bind(&path).expect("it can be made");
        let mode = fs::metadata(&path).expect("it exists").permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn second_listener_is_refused_and_a_stale_socket_is_replaced() {
        let directory = directory();
        let path = directory.path().join("control.sock");
        let first = Listener::bind(&path).expect("it can be made");
        let error = Listener::bind(&path).map(|_| ()).expect_err("the first one listens").to_string();
        assert!(error.contains("another tracker is listening"), "{error}");
        // As after a kill: the file stays and nobody listens.
        drop(first);
        drop(UnixListener::bind(&path).expect("the path is free"));
        assert!(path.exists());
        Listener::bind(&path).expect("nobody listens there");
    }

    #[test]
    fn without_a_tracker_the_error_says_how_to_start_one() {
        let directory = directory();
        let error = ask(&directory.path().join("none.sock"), &Request::Stats)
            .expect_err("nobody listens")
            .to_string();
        assert!(
            error.contains("no tracker is running") && error.contains("sudo tracker-user --iface"),
            "{error}"
        );
    }

    #[test]
    fn garbage_is_answered_with_an_error_and_the_connection_goes_on() {
        let directory = directory();
        let path = directory.path().join("control.sock");
        let listener = Listener::bind(&path).expect("it can be made");
        let (events, _requests) = channel();
        listener.serve(events).expect("a thread can be made");
        let stream = UnixStream::connect(&path).expect("it listens");
        let mut reader = BufReader::new(&stream);
        for garbage in ["nonsense\n", "{\"verb\":\"fly\"}\n", "{\"verb\":\"access_add\"}\n"] {
            (&stream).write_all(garbage.as_bytes()).expect("it listens");
            let mut answer = String::new();
            reader.read_line(&mut answer).expect("it answers");
            assert!(answer.starts_with("{\"error\":\"not a request"), "{garbage}: {answer}");
        }
    }
}
