//! Signals: SIGINT and SIGTERM stop the tracker, SIGHUP and SIGUSR1 reload the lists, the certificate and the log level.
//!
//! Handlers are registered before anything else, so that an early SIGHUP doesn't kill the process; a thread that starts later turns signals
//! into events of the main loop of `daemon`, those that came meanwhile too. Who asks a second time for the end doesn't want to wait for it.

use std::io;
use std::process;
use std::sync::mpsc::Sender;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use crate::daemon::Event;

/// Registered handlers.
#[derive(Debug)]
pub struct Handlers(Signals);

/// Registers the handlers.
///
/// # Errors
///
/// Those of registering.
pub fn register() -> io::Result<Handlers> {
    Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1]).map(Handlers)
}

impl Handlers {
    /// Starts to turn signals into events.
    ///
    /// # Errors
    ///
    /// Those of making a thread.
    pub fn serve(mut self, events: Sender<Event>) -> io::Result<()> {
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let mut stopping = false;
            for signal in self.0.forever() {
                let event = match signal {
                    SIGINT | SIGTERM if stopping => {
                        eprintln!("tracker-user: stopped at once");
                        // Closed descriptors detach the program; the next start removes what else is left.
                        process::exit(128 + signal);
                    }
                    SIGINT => Event::Stop("SIGINT"),
                    SIGTERM => Event::Stop("SIGTERM"),
                    SIGHUP => Event::Reload("SIGHUP"),
                    _ => Event::Reload("SIGUSR1"),
                };
                stopping |= matches!(event, Event::Stop(_));
                // The main loop may have ended: the next signal ends the process.
                let _ended = events.send(event);
            }
        })?;
        Ok(())
    }
}
