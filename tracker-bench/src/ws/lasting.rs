//! What a server has in memory after the same number of announces: members of swarms, and offers that may still be answered.

use anyhow::{Context as _, Result};

use super::load;
use super::servers::{Server, Who};
use crate::certificate::Certificate;
use crate::programs::WsPrograms;
use crate::report::{Row, Target};
use crate::rounds::Rounds;

/// Announces that each server answers: 2.5 million offers, in less than the two minutes for which they may be answered.
pub(crate) const ANNOUNCES: u32 = 250_000;

/// Torrents of which each announce has a random one.
pub(crate) const TORRENTS: [u32; 2] = [100, 10_000];

/// The beginning of the names of a population's cases.
pub(crate) fn id(torrents: u32) -> String {
    format!("memory-{torrents}-torrents")
}

/// Rows of fresh servers, one after the other; none when none is wanted.
pub(crate) fn rows(
    programs: &WsPrograms,
    certificate: &Certificate,
    torrents: u32,
    servers: &[Who],
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut found = Vec::new();
    for who in servers {
        let case = format!("{}-{}", id(torrents), who.id());
        let server = Server::start(programs, *who, certificate).with_context(|| case.clone())?;
        let held =
            load::last(programs.ours.load(), &server, torrents, ANNOUNCES).with_context(|| case.clone())?;
        let megabytes = held.after.resident / 1e6;
        let what = format!("memory after {ANNOUNCES} announces of {torrents} torrents, {}", who.name());
        let row = Row::new(&case, what, "MB", 1, Rounds::new([megabytes]));
        rows.push(row.note(format!("{:.1} MB before", held.before.resident / 1e6)));
        eprintln!("{case}: {megabytes:.1} MB");
        found.push(megabytes);
    }
    if let [ours, theirs] = found[..] {
        let what = format!("memory after {ANNOUNCES} announces of {torrents} torrents, ours over aquatic_ws");
        let row = Row::new(
            &format!("{}-over-aquatic", id(torrents)),
            what,
            "times the memory",
            2,
            Rounds::new([ours / theirs]),
        );
        rows.push(row.target(Target::AtMost(0.1)));
    }
    Ok(rows)
}
