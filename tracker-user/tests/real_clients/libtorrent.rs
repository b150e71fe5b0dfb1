//! libtorrent, by Debian's Python module and the script beside this file.

use std::process::Command;

use tracker_testkit::skip::PYTHON;

use crate::Task;

pub(crate) fn command(task: &Task<'_>) -> Command {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real_clients/client.py");
    let mut command = task.namespace.command(PYTHON);
    command.arg(script).arg(if task.leech { "leech" } else { "seed" });
    command.arg(task.torrent).arg(task.directory).arg(task.address);
    if let Some(authority) = task.authority {
        // OpenSSL's own variable; libtorrent looks where OpenSSL looks.
        command.env("SSL_CERT_FILE", authority);
    }
    command
}
