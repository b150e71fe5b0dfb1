//! What a connection costs in memory that does nothing.

use anyhow::{Context as _, Result};

use super::load;
use super::servers::Who;
use crate::load::Memory;
use crate::report::{Row, Target};
use crate::rounds::Rounds;

/// What is done on each connection before it is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) who: Who,
    pub(crate) tls: bool,
    sends: Sends,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sends {
    Announce,
    Byte,
    Nothing,
}

impl Case {
    pub(crate) fn all() -> Vec<Self> {
        let announce = |who, tls| Self { who, tls, sends: Sends::Announce };
        let both = [false, true];
        // Of aquatic_http's it is known that they have their buffers for good, and to open so many one by one there takes minutes.
        let announced =
            both.into_iter().flat_map(|tls| [Who::Ours, Who::Hyper].map(|who| announce(who, tls)));
        let begun = both.map(|tls| Self { who: Who::Ours, tls, sends: Sends::Byte });
        let silent = Self { who: Who::Ours, tls: true, sends: Sends::Nothing };
        announced.chain(begun).chain([silent]).collect()
    }

    pub(crate) fn id(self) -> String {
        let tls = if self.tls { "tls" } else { "plain" };
        let what = match self.sends {
            Sends::Announce => "idle",
            Sends::Byte => "begun",
            Sends::Nothing => "silent",
        };
        format!("memory-{what}-{tls}-{}", self.who.id())
    }

    fn name(self) -> String {
        let what = match self.sends {
            Sends::Announce => "that has announced once",
            Sends::Byte => "that has sent one byte of a request",
            Sends::Nothing => "with nothing but its handshake",
        };
        let tls = if self.tls { "TLS" } else { "plain" };
        format!("memory of an idle connection {what}, {tls}, {}", self.who.name())
    }

    fn target(self) -> Option<Target> {
        match (self.who, self.sends, self.tls) {
            (Who::Ours, Sends::Announce, false) => Some(Target::AtMost(6_000.0)),
            (Who::Ours, Sends::Announce, true) => Some(Target::AtMost(20_000.0)),
            _ => None,
        }
    }

    fn flag(self) -> &'static str {
        match self.sends {
            Sends::Announce => "announce",
            Sends::Byte => "byte",
            Sends::Nothing => "nothing",
        }
    }
}

/// Of a server that has just been started: what another load left behind would be used again.
pub(crate) fn measure(
    load: &std::path::Path,
    case: Case,
    server: &super::servers::Server,
    connections: u32,
    population: load::Population,
) -> Result<Row> {
    let target = server.address(case.tls);
    let held = load::hold(load, target, case.tls, case.flag(), connections, server.pid(), population)
        .with_context(|| case.name())?;
    let each = |of: fn(&Memory) -> f64| (of(&held.after) - of(&held.before)) / f64::from(connections);
    let figure = Rounds::new([each(|memory| memory.resident)]);
    let row = Row::new(&case.id(), case.name(), "bytes", 0, figure);
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
        let mut names: Vec<String> = Case::all().into_iter().map(Case::id).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), Case::all().len());
    }
}
