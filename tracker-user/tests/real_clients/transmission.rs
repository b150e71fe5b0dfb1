//! Transmission, by its small command line program.

use std::process::Command;

use crate::Task;

pub(crate) fn command(task: &Task<'_>) -> Command {
    let config = task.directory.with_extension("transmission");
    std::fs::create_dir(&config).expect("the home is ours");
    // Without µTP: its first packet may be lost on a busy machine, and the next attempt comes minutes later.
    let settings = r#"{"utp-enabled": false, "dht-enabled": false, "lpd-enabled": false, "pex-enabled": false, "port-forwarding-enabled": false}"#;
    std::fs::write(config.join("settings.json"), settings).expect("the directory is ours");
    // It goes on seeding when it has everything. The script it calls then opens a pipe, for which a shell waits; and when the
    // shell is killed it is killed, too.
    let finished = config.join("finished.sh");
    std::fs::write(&finished, "#!/bin/sh\necho finished > \"${0%.sh}.pipe\"\n")
        .expect("the directory is ours");
    let mut command = task.namespace.command("sh");
    command.arg("-c").arg(
        "config=$1; shift
         mkfifo $config/finished.pipe && chmod +x $config/finished.sh || exit 1
         setpriv --pdeathsig KILL transmission-cli --config-dir $config --no-portmap --finish $config/finished.sh \"$@\" &
         read word < $config/finished.pipe
         [ $ROLE = leech ] || wait
         kill -KILL $!",
    );
    command.arg("sh").arg(&config).arg("--download-dir").arg(task.directory).arg("--port").arg("51413");
    command.arg(task.torrent).env("ROLE", if task.leech { "leech" } else { "seed" });
    if let Some(authority) = task.authority {
        command.env("CURL_CA_BUNDLE", authority);
    }
    command
}
