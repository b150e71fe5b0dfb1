//! What a service manager is told: readiness, reloads, the stop, and that the tracker is alive (systemd's notify protocol).
//!
//! Where there is none, nothing happens. Called by the main loop of `daemon`. Tested end to end in `tests/cli` (`start_and_stop`).

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// The service manager, if there is one.
#[derive(Debug)]
pub struct ServiceManager {
    watchdog: Option<Watchdog>,
}

/// The promise to be heard of.
#[derive(Debug)]
struct Watchdog {
    every: Duration,
    next: Instant,
    rounds: Option<u64>,
}

impl ServiceManager {
    /// Learns whether there is one, and how often it wants to hear of the tracker.
    pub fn find() -> Self {
        let watchdog = sd_notify::watchdog_enabled().map(|timeout| Watchdog {
            // A third: late once is not late.
            every: timeout / 3,
            next: Instant::now(),
            rounds: None,
        });
        Self { watchdog }
    }

    /// The tracker answers.
    pub fn ready(&self, status: &str) {
        tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// It reads lists, certificate and configuration again; [`Self::ready`] follows.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!("service manager: {error}"),
        }
    }

    /// It stops.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// When [`Self::alive`] has to be called at the latest.
    pub fn next(&self) -> Option<Instant> {
        self.watchdog.as_ref().map(|watchdog| watchdog.next)
    }

    /// Says that the tracker is alive, if it is time to: the main loop is, since it calls this, and the writer is when it has made `rounds`
    /// since the last time.
    pub fn alive(&mut self, rounds: u64) {
        let Some(watchdog) = self.watchdog.as_mut().filter(|watchdog| watchdog.next <= Instant::now()) else {
            return;
        };
        watchdog.next = Instant::now() + watchdog.every;
        if watchdog.rounds.replace(rounds) == Some(rounds) {
            tracing::error!(
                "the writer of the swarm table hangs: the service manager isn't told that all is well"
            );
            return;
        }
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("service manager: {error}");
    }
}
