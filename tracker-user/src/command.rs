//! The verbs of the command line. Those that end are here; without a verb the tracker runs, see [`daemon`].
//!
//! Called by `main`. `map` verbs only talk to the running tracker: it alone owns the list's file, its own set and the kernel's map.

use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::cli::{AccessCommand, Cli, Command, ConfigCommand, MapCommand, TlsCommand};
use crate::config::Config;
use crate::control::{Request, Response, ask};
use crate::daemon;
use crate::limits::Change;
use crate::tls_command;

/// Does what the arguments say.
///
/// # Errors
///
/// Everything that an operator has to know, ready to be printed.
pub fn run(cli: &Cli) -> anyhow::Result<()> {
    match &cli.command {
        Some(Command::Config(ConfigCommand::Check { file })) => {
            Config::read(file)?;
            print(&format!("{}: ok", file.display()))
        }
        Some(Command::Config(ConfigCommand::Print)) => print_configuration(cli),
        None if cli.print => print_configuration(cli),
        Some(Command::Tls(TlsCommand::SelfSigned { directory, names })) => {
            print(&tls_command::self_signed(directory, names)?)
        }
        Some(Command::Map(command)) => map(&cli.configuration()?.control.socket, command),
        None => daemon::run(&cli.configuration()?),
    }
}

fn print_configuration(cli: &Cli) -> anyhow::Result<()> {
    print(cli.configuration()?.commented().trim_end())
}

fn map(socket: &Path, command: &MapCommand) -> anyhow::Result<()> {
    let request = match command {
        MapCommand::Stats(_) => Request::Stats,
        MapCommand::Limit(arguments) => Request::Limit(Change::parse(&arguments.changes)?),
        MapCommand::Access(AccessCommand::Add { hashes }) => Request::AccessAdd { hashes: hashes.clone() },
        MapCommand::Access(AccessCommand::Remove { hashes }) => {
            Request::AccessRemove { hashes: hashes.clone() }
        }
        MapCommand::Access(AccessCommand::List) => Request::AccessList,
        MapCommand::Access(AccessCommand::Clear) => Request::AccessClear,
        MapCommand::Access(AccessCommand::Mode { mode }) => Request::AccessMode { mode: *mode },
        MapCommand::Access(AccessCommand::Load { file }) => {
            let text =
                std::fs::read_to_string(file).with_context(|| format!("access list {}", file.display()))?;
            Request::AccessLoad { name: file.display().to_string(), text }
        }
    };
    match ask(socket, &request)? {
        Response::Done(sentence) => print(&sentence),
        Response::Mode(mode) => print(&mode.to_string()),
        Response::Hashes(hashes) if hashes.is_empty() => Ok(()),
        Response::Hashes(hashes) => print(&hashes.join("\n")),
        Response::Stats(stats) => match command {
            MapCommand::Stats(arguments) if arguments.json => print(&serde_json::to_string_pretty(&stats)?),
            _ => print(&stats.to_string()),
        },
        Response::Error(reason) => bail!(reason),
    }
}

/// Like `println!`, without its panic when the reader is gone (`… | head`).
fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("stdout"),
    }
}
