//! The binary: parses the command line and runs what it asks for.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;
use tracker_user::cli::Cli;
use tracker_user::command;

fn main() -> ExitCode {
    match command::run(&Cli::parse()) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("tracker-user: {error:#}");
            ExitCode::FAILURE
        }
    }
}
