//! The verbs of the command line. Those that end are here; without a verb the tracker runs, see [`daemon`].
//!
//! Called by `main`. `map` is in [`map`](self::map).

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::CommandFactory as _;

use crate::cli::{Cli, Command, ConfigCommand, DoctorArgs, GenerateCommand, TlsCommand};
use crate::config::Config;
use crate::daemon;
use crate::doctor;
use crate::import::{self, From};
use crate::tls_command;

mod input;
mod map;
mod rates;

/// Does what the arguments say.
///
/// # Errors
///
/// Everything that an operator has to know, ready to be printed.
pub fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    let done = match &cli.command {
        Some(Command::Config(ConfigCommand::Check { file })) => {
            check(file)?;
            print(&format!("{}: ok", file.display()))
        }
        Some(Command::Config(ConfigCommand::Import { from, file })) => import_configuration(*from, file),
        Some(Command::Config(ConfigCommand::Print)) => print_configuration(cli),
        None if cli.print => print_configuration(cli),
        Some(Command::Doctor(arguments)) => return doctor(cli.configuration()?, arguments),
        Some(Command::Tls(TlsCommand::SelfSigned { directory, names })) => {
            print(&tls_command::self_signed(directory, names)?)
        }
        Some(Command::Generate(GenerateCommand::Configuration)) => print(Config::document().trim_end()),
        Some(Command::Generate(GenerateCommand::Man { directory })) => {
            clap_mangen::generate_to(Cli::command(), directory).context("manual pages")
        }
        Some(Command::Generate(GenerateCommand::Completions { shell })) => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "tracker-user", &mut text);
            print(String::from_utf8_lossy(&text).trim_end())
        }
        Some(Command::Map(command)) => map::run(&cli.configuration()?, command),
        None => daemon::run(&cli.configuration()?, |chroot| cli.configuration_inside(chroot)),
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn doctor(mut config: Config, arguments: &DoctorArgs) -> anyhow::Result<ExitCode> {
    if !arguments.iface.is_empty() {
        config.xdp.interfaces.clone_from(&arguments.iface);
    }
    let findings = doctor::examine(&config);
    if arguments.json {
        print(&serde_json::to_string_pretty(&findings)?)?;
    } else {
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        print(&lines.join("\n"))?;
    }
    Ok(doctor::exit_status(&findings).into())
}

/// All that is wrong with a file.
fn check(file: &Path) -> anyhow::Result<()> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file).with_context(|| format!("configuration {name}"))?;
    let errors = Config::errors(&name, &text);
    if errors.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    bail!("{}", lines.join("\n"))
}

fn import_configuration(from: From, file: &Path) -> anyhow::Result<()> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file).with_context(|| format!("configuration {name}"))?;
    let imported = import::import(from, &name, &text)?;
    if imported.left_out > 0 {
        eprintln!(
            "tracker-user: {} settings have no counterpart: see the comments at the begin",
            imported.left_out
        );
    }
    print(imported.text.trim_end())
}

fn print_configuration(cli: &Cli) -> anyhow::Result<()> {
    print(cli.configuration()?.commented().trim_end())
}

/// Like `println!`, without its panic when the reader is gone (`… | head`).
fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("stdout"),
    }
}
