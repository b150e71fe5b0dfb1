//! Signals: SIGINT and SIGTERM stop the tracker, SIGHUP and SIGUSR1 reload the lists, the certificate and the log level.
//!
//! A thread turns them into events of the main loop of `daemon`. Registered before anything else starts, so that an early SIGHUP
//! doesn't kill the process.

use std::io;
use std::sync::mpsc::Sender;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use crate::daemon::Event;

/// Starts to turn signals into events.
///
/// # Errors
///
/// Those of registering handlers and making a thread.
pub fn listen(events: Sender<Event>) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            let event = match signal {
                SIGINT => Event::Stop("SIGINT"),
                SIGTERM => Event::Stop("SIGTERM"),
                SIGHUP => Event::Reload("SIGHUP"),
                _ => Event::Reload("SIGUSR1"),
            };
            if events.send(event).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}
