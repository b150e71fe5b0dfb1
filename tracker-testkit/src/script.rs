//! Scripts that stand for the tracker's binary.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Writes a file that can be executed.
///
/// Another process writes it: a program that is just being started by another thread of this one has, until it is executed, all files that
/// are open here, and Linux executes no file that is open for writing ("Text file busy").
///
/// # Panics
///
/// The file can't be written.
#[track_caller]
pub fn write(path: &Path, text: &str) {
    let mut writer = Command::new("sh");
    writer.args(["-c", "cat > \"$0\" && chmod 755 \"$0\""]).arg(path).stdin(Stdio::piped());
    let mut writer = writer.spawn().expect("there is a shell");
    let mut input = writer.stdin.take().expect("it is piped");
    input.write_all(text.as_bytes()).expect("the shell reads it");
    drop(input);
    let status = writer.wait().expect("it is our child");
    assert!(status.success(), "{}: {status}", path.display());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    #[test]
    fn a_script_runs_while_other_threads_start_programs() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    assert!(Command::new("true").status().expect("it is everywhere").success());
                }
            });
            for number in 0..50 {
                let path = directory.path().join(format!("script{number}"));
                write(&path, "#!/bin/sh\nexit 7\n");
                let status = Command::new(&path).status();
                done.store(status.is_err() || number == 49, Ordering::Relaxed);
                assert_eq!(status.expect("it can be executed").code(), Some(7));
            }
        });
    }
}
