//! What a connection costs in memory that has announced once and does nothing more.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::load;
use super::servers::{Server, Who};
use crate::load::Memory;
use crate::report::{Row, Target};
use crate::rounds::Rounds;

/// Whose connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) who: Who,
    tls: bool,
}

impl Case {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let both = |tls| [Who::Ours, Who::Aquatic { tls }].map(|who| Self { who, tls });
        [false, true].into_iter().flat_map(both)
    }

    pub(crate) fn id(self) -> String {
        format!("memory-idle-{}-{}", if self.tls { "wss" } else { "ws" }, self.who.id())
    }

    fn target(self) -> Option<Target> {
        match (self.who, self.tls) {
            (Who::Ours, false) => Some(Target::AtMost(8_000.0)),
            (Who::Ours, true) => Some(Target::AtMost(22_000.0)),
            _ => None,
        }
    }
}

/// Of a server that has just been started: what another load left behind would be used again.
pub(crate) fn measure(load: &Path, case: Case, server: &Server, connections: u32) -> Result<Row> {
    let held = load::hold(load, case.tls, server, connections).with_context(|| case.id())?;
    let each = |of: fn(&Memory) -> f64| (of(&held.after) - of(&held.before)) / f64::from(connections);
    let tls = if case.tls { "TLS" } else { "plain" };
    let what = format!("memory of an idle connection that has announced once, {tls}, {}", case.who.name());
    let row = Row::new(&case.id(), what, "bytes", 0, Rounds::new([each(|memory| memory.resident)]));
    let row = match case.target() {
        Some(target) => row.target(target),
        None => row,
    };
    Ok(row
        .note(format!(
            "process {:.1} MB before, {:.1} MB with {connections} connections",
            held.before.resident / 1e6,
            held.after.resident / 1e6
        ))
        .note(format!(
            "proportional {:.0}, anonymous {:.0} bytes a connection",
            each(|memory| memory.proportional),
            each(|memory| memory.anonymous)
        )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_case_has_a_name_of_its_own() {
        let mut names: Vec<String> = Case::all().map(Case::id).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), Case::all().count());
    }
}
