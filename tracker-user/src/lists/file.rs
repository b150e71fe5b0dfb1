//! A list's file: where it is, its text, and how it is replaced.
//!
//! Used by [`Lists`](super::Lists), whose tests test it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::state::{Replacement, State, remove_unfinished};

/// The file of a list.
#[derive(Debug)]
pub(super) struct ListFile {
    /// What errors call the list.
    what: &'static str,
    path: PathBuf,
    /// In the state directory, under a name of ours: there it may be missing.
    pub(super) default: bool,
}

impl ListFile {
    /// At the configured path, or under `name` in the state directory when that is empty.
    pub(super) fn new(what: &'static str, configured: &Path, state: &State, name: &str) -> Self {
        let default = configured.as_os_str().is_empty();
        let path = if default { state.file(name) } else { configured.to_owned() };
        Self { what, path, default }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn exists(&self) -> bool {
        self.path.exists()
    }

    /// The text; empty when there is no file.
    pub(super) fn text(&self) -> anyhow::Result<String> {
        match fs::read_to_string(&self.path) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error).with_context(|| format!("{} {}", self.what, self.path.display())),
        }
    }

    /// Writes what is to replace the file: until it is committed, the old text counts.
    pub(super) fn prepare(&self, text: &str, state: &State) -> anyhow::Result<Replacement> {
        let path = self.target();
        let mode = fs::metadata(&path).map_or(0o640, |metadata| metadata.permissions().mode() & 0o777);
        let write = || -> io::Result<Replacement> {
            if self.path.starts_with(state.file("")) {
                state.make_directory()?;
            }
            Replacement::new(&path, text.as_bytes(), mode)
        };
        write().with_context(|| {
            format!(
                "{} {}: the file and its directory have to be writable for the tracker",
                self.what,
                path.display()
            )
        })
    }

    /// Removes what killed writers have left. The caller has the state directory's lock.
    pub(super) fn tidy(&self) {
        remove_unfinished(&self.target());
    }

    /// A link is followed, so that the rename doesn't replace it by a file.
    fn target(&self) -> PathBuf {
        fs::canonicalize(&self.path).unwrap_or_else(|_missing| self.path.clone())
    }
}
