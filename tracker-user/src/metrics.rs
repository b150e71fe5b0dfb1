//! Metrics for Prometheus: the tracker's numbers as text, over HTTP on listeners of their own.
//!
//! - [`readings`]: the numbers as the main loop hands them over; `collect`: which metric each of them is; `requests`: verdicts and counters as
//!   requests and answers; `family`: samples with labels. `listener`: HTTP.
//!
//! The main loop only copies numbers; everything else is done in the listener's thread, when somebody asks. Tested against `promtool` and a
//! real Prometheus in `tests/metrics`.

mod collect;
mod family;
mod listener;
pub mod readings;
mod requests;

pub use listener::{Prepared, prepare};
