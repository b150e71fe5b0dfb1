//! How many connections at once this machine allows.

use anyhow::{Context as _, Result};

use crate::sys;

/// Connections at once, where as many files may be open.
const CONNECTIONS: u32 = 50_000;

/// Files that a server has open besides, generously.
const OTHER_FILES: u64 = 1_000;

/// As many connections as are wanted, or as the limit of open files allows.
pub(crate) fn connections() -> Result<u32> {
    let limit = sys::raise_file_limit(u64::from(CONNECTIONS) + OTHER_FILES).context("the limit of files")?;
    let connections =
        u32::try_from(limit.saturating_sub(OTHER_FILES)).unwrap_or(CONNECTIONS).min(CONNECTIONS);
    if connections < CONNECTIONS {
        eprintln!(
            "no more than {limit} files may be open (ulimit -n): {connections} idle connections instead of {CONNECTIONS}"
        );
    }
    Ok(connections)
}
