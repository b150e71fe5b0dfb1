//! tracker-load: started, waited for, and its report taken.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

/// Memory of a server with many connections and before.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Held {
    pub(crate) before: Memory,
    pub(crate) after: Memory,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Memory {
    pub(crate) resident: f64,
    pub(crate) proportional: f64,
    pub(crate) anonymous: f64,
}

/// Runs it; its report.
pub(crate) fn run(command: &mut Command) -> Result<Value> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}: {}", output.status, said.trim());
    serde_json::from_slice(&output.stdout).context("tracker-load's report")
}
