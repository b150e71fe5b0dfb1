//! The daemon and its command line: the only crate that knows all the others.
//!
//! In reading order:
//!
//! - [`cli`], [`config`]: what an operator says.
//! - [`command`]: the verbs that end: `config …`, `map …`, `tls …`, the last in [`tls_command`]; [`doctor`]: a look at the machine; [`import`]: other trackers' configurations.
//! - [`daemon`]: the start order, the main loop, the stop.
//! - [`udp`]: sockets and their workers; [`http`]: the sockets, certificate and descriptors of `http-ws`; [`ports`]: who has a port;
//!   [`writer_thread`]: the thread that applies their events to the swarm table.
//! - [`bpf`]: the XDP program and its maps; [`huge_segments`]: the swarm table's memory without one; `in_kernel`: what the program is given to do;
//!   [`interface`], [`privileges`]: what it can be attached to, and by whom; [`identity`]: who the tracker becomes then.
//! - [`lists`]: the access list and the block list, in files, in the sockets' sets and in the kernel; [`state`]: what else survives a
//!   restart.
//! - [`limits`]: what a source may send.
//! - [`control`], [`stats`], [`signals`], [`swarms`], [`ready`], [`service_manager`], [`log`]: how the running tracker is asked, and what it tells.
//! - [`metrics`]: the same for Prometheus; [`survey`]: what takes a walk through all torrents.
//!
//! Threads: the main loop (owner of lists, maps and links; the only one that changes what operators see), one worker a UDP socket, HTTP's workers,
//! the writer, one that makes the swarm table's memory ahead of it (where a program reads the table), one for signals, one for the
//! control socket, one for metrics, one that counts and exports torrents. They are joined by channels, one event queue a worker, the program's ring of events, and lists that are swapped whole.
//!
//! Features: `xdp` (default) carries the BPF object inside the binary and needs it at build time; without it the tracker answers over
//! sockets only.
//!
//! ```
//! use tracker_user::config::Config;
//!
//! let config = Config::parse("example", "[udp]\naddresses = [\"127.0.0.1:0\"]")?;
//! assert_eq!(config.protocol.interval_s, 1800);
//! # Ok::<(), tracker_user::config::ConfigError>(())
//! ```

#![deny(unsafe_code)]

pub mod bpf;
pub mod cli;
pub mod command;
pub mod config;
pub mod control;
pub mod daemon;
pub mod doctor;
pub mod http;
#[expect(
    unsafe_code,
    reason = "large pages exist only as raw system calls, and what they return as raw memory"
)]
pub mod huge_segments;
pub mod identity;
pub mod import;
mod in_kernel;
pub mod interface;
pub mod limits;
pub mod lists;
pub mod log;
pub mod metrics;
pub mod ports;
pub mod privileges;
pub mod ready;
pub mod service_manager;
pub mod signals;
pub mod state;
pub mod stats;
pub mod survey;
pub mod swarms;
pub mod tls_command;
pub mod udp;
pub mod writer_thread;
