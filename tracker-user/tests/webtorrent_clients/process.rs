//! A client's process: it says what it does by lines of JSON, is killed on drop, and shows all that it has said when the test fails.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take; what takes longest is a client that waits ten seconds before it connects again.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long the descendants of a killed process may take to be gone.
const AFTERWARDS: Duration = Duration::from_secs(10);

pub(crate) struct Process {
    name: String,
    child: Child,
    /// What it has said so far.
    said: Arc<Mutex<String>>,
    /// Lines of its standard output. Closed when nobody can say any more.
    lines: Receiver<String>,
}

impl Process {
    pub(crate) fn start(name: &str, mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let said = Arc::default();
        let (sender, lines) = channel();
        read(child.stdout.take().expect("it is piped"), &said, &sender, true);
        read(child.stderr.take().expect("it is piped"), &said, &sender, false);
        Self { name: name.to_owned(), child, said, lines }
    }

    /// Waits until it says that something has happened, and returns the line.
    #[track_caller]
    pub(crate) fn hear(&self, event: &str) -> serde_json::Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                // Libraries write there, too.
                Ok(line) => match serde_json::from_str::<serde_json::Value>(&line) {
                    Ok(said) if said["event"] == event => return said,
                    _ => {}
                },
                Err(RecvTimeoutError::Timeout) => panic!("{}: no {event:?} after {PATIENCE:?}", self.name),
                Err(RecvTimeoutError::Disconnected) => panic!("{} has ended without {event:?}", self.name),
            }
        }
    }

    /// Waits until it ends by itself, which it does with success when all was as its script expects.
    #[track_caller]
    pub(crate) fn end_well(mut self) {
        assert!(self.is_silent_within(PATIENCE), "{}: not at its end after {PATIENCE:?}", self.name);
        let status = self.child.wait().expect("it is our child");
        assert!(status.success(), "{}: {status}", self.name);
    }

    /// Whether it and its descendants close their outputs in this time.
    fn is_silent_within(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(_) => {}
                Err(error) => return error == RecvTimeoutError::Disconnected,
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Its directories can't be removed while its descendants write to them.
        self.is_silent_within(AFTERWARDS);
        if thread::panicking() {
            let said = self.said.lock().map(|said| said.clone()).unwrap_or_default();
            eprintln!("{} said:\n{said}", self.name);
        }
    }
}

/// Reads on a thread of its own to the end.
fn read(from: impl Read + Send + 'static, said: &Arc<Mutex<String>>, lines: &Sender<String>, speaks: bool) {
    let (said, lines) = (Arc::clone(said), lines.clone());
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            said.lock().expect("nobody panics with it").extend([&line, "\n"]);
            if speaks {
                let _ = lines.send(line);
            }
        }
    });
}
