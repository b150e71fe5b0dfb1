//! aria2.

use std::process::Command;

use crate::Task;

pub(crate) fn command(task: &Task<'_>) -> Command {
    let mut command = task.namespace.command("aria2c");
    command.args([
        "--no-conf",
        "--summary-interval=0",
        "--console-log-level=info",
        // The UDP tracker client lives in the DHT's socket. A private torrent is not announced there, and without an
        // entry point there is nobody to announce it to.
        "--enable-dht=true",
        "--enable-dht6=false",
        "--bt-enable-lpd=false",
        "--enable-peer-exchange=false",
        "--seed-ratio=0",
    ]);
    // Its default is in the home directory and would be shared.
    command.arg(format!("--dht-file-path={}", task.directory.join("dht.dat").display()));
    command.arg(format!("--dir={}", task.directory.display()));
    if let Some(authority) = task.authority {
        command.arg("--check-certificate=true").arg(format!("--ca-certificate={}", authority.display()));
    }
    command.arg(if task.leech { "--seed-time=0" } else { "--check-integrity=true" });
    command.arg(task.torrent);
    command
}
