//! `map …`: asks the running tracker, which alone owns the lists' files, its own sets and the kernel's maps; while none runs, changes the files
//! in its place, by the same code and under the same lock.
//!
//! Called by [`super::run`]. Tested end to end in `tests/cli`.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::{Context as _, bail};
use tracker_core::access_list::parse_info_hash;
use tracker_core::block_list::Network;

use super::{input, print, rates};
use crate::cli::{AccessCommand, BlockCommand, MapCommand, StatsArgs};
use crate::config::Config;
use crate::control::{self, Request, Response};
use crate::limits::Change;
use crate::lists::Lists;
use crate::state::State;
use crate::swarms::SwarmCounts;

/// Does what a verb says.
pub(super) fn run(config: &Config, command: &MapCommand) -> anyhow::Result<()> {
    match command {
        MapCommand::Access(command) => about_lists(config, access(command)?),
        MapCommand::Block(command) => about_lists(config, block(command)?),
        MapCommand::Limit(arguments) => limit(config, &arguments.changes),
        MapCommand::Stats(arguments) => stats(config, arguments),
        MapCommand::Torrent { hash, json } => swarms(config, &Request::Torrent { hash: hash.clone() }, *json),
        MapCommand::Top { torrents, json } => swarms(config, &Request::Top { torrents: *torrents }, *json),
    }
}

fn access(command: &AccessCommand) -> anyhow::Result<Request> {
    let check = |entry: &str| parse_info_hash(entry).map(drop).map_err(|bad| bad.to_string());
    Ok(match command {
        AccessCommand::Add { hashes } => Request::AccessAdd { hashes: input::arguments(hashes, check)? },
        AccessCommand::Remove { hashes } => {
            Request::AccessRemove { hashes: input::arguments(hashes, check)? }
        }
        AccessCommand::List => Request::AccessList,
        AccessCommand::Count => Request::AccessCount,
        AccessCommand::Clear => Request::AccessClear,
        AccessCommand::Mode { mode } => Request::AccessMode { mode: *mode },
        AccessCommand::Load { file } => {
            let (name, text) = input::file("access list", file)?;
            Request::AccessLoad { name, text }
        }
    })
}

fn block(command: &BlockCommand) -> anyhow::Result<Request> {
    let check = |entry: &str| Network::parse(entry).map(drop).map_err(|bad| bad.to_string());
    Ok(match command {
        BlockCommand::Add { networks } => Request::BlockAdd { networks: input::arguments(networks, check)? },
        BlockCommand::Remove { networks } => {
            Request::BlockRemove { networks: input::arguments(networks, check)? }
        }
        BlockCommand::List => Request::BlockList,
        BlockCommand::Count => Request::BlockCount,
        BlockCommand::Clear => Request::BlockClear,
        BlockCommand::Load { file } => {
            let (name, text) = input::file("block list", file)?;
            Request::BlockLoad { name, text }
        }
    })
}

fn about_lists(config: &Config, request: Request) -> anyhow::Result<()> {
    let socket = &config.control.socket;
    if control::nobody_listens(socket) {
        let state = State::open(&config.state_directory);
        let lock = state.lock().with_context(|| {
            format!("no tracker is running, and the state directory {}", config.state_directory.display())
        })?;
        // A tracker that starts listens before it asks for the lock: if nobody does now, it will read what is written here.
        if control::nobody_listens(socket) {
            if state.is_claimed() {
                bail!(
                    "a tracker runs with the state directory {}, but not with the control socket {}: name its socket with --control, or \
                     its configuration with -c",
                    config.state_directory.display(),
                    socket.display()
                );
            }
            let (changed, answer) = Lists::load(config, state)?.answer(request, None)?;
            if changed {
                eprintln!("no tracker is running: this counts from its next start");
            }
            answer.write(show)?;
            drop(lock);
            return Ok(());
        }
    }
    control::ask(socket, &request, show_progress, show)
}

/// Prints a response about the lists.
fn show(response: Response) -> anyhow::Result<()> {
    match response {
        Response::Done(sentence) => print(&sentence),
        Response::Mode(mode) => print(&mode.to_string()),
        Response::Count(count) => print(&count.to_string()),
        Response::Entries(entries) => {
            let mut text = entries.join("\n");
            text.push('\n');
            match io::stdout().write_all(text.as_bytes()) {
                // The reader has seen enough, and so has the tracker.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
                result => result.context("stdout"),
            }
        }
        Response::End => Ok(()),
        Response::Error(reason) => bail!(reason),
        Response::Stats(_) | Response::Torrents(_) => bail!("control socket: not an answer to this question"),
    }
}

/// Shows how much of a long request is sent, on a terminal.
fn show_progress(sent: usize, of: usize) {
    const LONG: usize = 4 << 20;
    if of < LONG || !io::stderr().is_terminal() {
        return;
    }
    eprint!("\rsent {} of {} MB", sent >> 20, of >> 20);
    if sent == of {
        eprintln!("; the tracker is taking it over");
    }
}

/// The limits are in the state directory, too, but with no tracker running the configuration says what they will be.
fn limit(config: &Config, words: &[String]) -> anyhow::Result<()> {
    control::ask(&config.control.socket, &Request::Limit(Change::parse(words)?), |_, _| {}, show)
}

fn stats(config: &Config, arguments: &StatsArgs) -> anyhow::Result<()> {
    let ask = || {
        let mut stats = None;
        control::ask(
            &config.control.socket,
            &Request::Stats,
            |_, _| {},
            |response| match response {
                Response::Stats(told) => {
                    stats = Some(told);
                    Ok(())
                }
                _ => bail!("control socket: not an answer to this question"),
            },
        )?;
        stats.context("control socket: no answer")
    };
    match (arguments.watch, arguments.json) {
        (None, false) => print(&ask()?.to_string()),
        (None, true) => print(&serde_json::to_string_pretty(&ask()?)?),
        (Some(seconds), json) => rates::watch(ask, seconds, json),
    }
}

fn swarms(config: &Config, request: &Request, json: bool) -> anyhow::Result<()> {
    control::ask(
        &config.control.socket,
        request,
        |_, _| {},
        |response| match response {
            Response::Torrents(torrents) if json => print(&serde_json::to_string_pretty(&torrents)?),
            Response::Torrents(torrents) => print(&table(&torrents)),
            _ => bail!("control socket: not an answer to this question"),
        },
    )
}

fn table(torrents: &[SwarmCounts]) -> String {
    let mut text = format!(
        "{:<40} {:>9} {:>9} {:>9} {:>10}",
        "info hash", "seeders", "leechers", "partial", "completed"
    );
    for torrent in torrents {
        let SwarmCounts { info_hash, seeders, leechers, partial_seeds, completed, allowed } = torrent;
        let denied = if *allowed { "" } else { "  not allowed" };
        text.push_str(&format!(
            "\n{info_hash} {seeders:>9} {leechers:>9} {partial_seeds:>9} {completed:>10}{denied}"
        ));
    }
    text
}
