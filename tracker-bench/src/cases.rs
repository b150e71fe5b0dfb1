//! What is measured, as a table: each case a request, who answers, and the floor it stands on.

use bytemuck::Zeroable as _;
use tracker_lab::traffic::{
    ANNOUNCE_V4_LEN, ANNOUNCE_V6_LEN, CONNECT_V4_LEN, CONNECT_V6_LEN, Traffic, scrape_v4_len,
};

use crate::drive::{FRAMES, Load};
use crate::ours;
use crate::shape::Shape;
use crate::station::{Policy, Server};

/// One case.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) what: String,
    pub(crate) load: Load,
    pub(crate) server: Server,
    /// The case it is measured above.
    pub(crate) floor: Option<&'static str>,
    pub(crate) goal: Goal,
}

/// What is to be reached, above the floor.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Goal {
    None,
    /// ns a packet.
    AtMost(f64),
    /// Times the cost of another case, above its floor.
    TimesOf(f64, String),
    /// What it costs beyond another case; without an aim.
    Beside(String),
}

/// Who makes requests, and how long the shortest is.
const GENERATORS: [(&str, usize); 8] = [
    ("connect_v4", CONNECT_V4_LEN),
    ("connect_v6", CONNECT_V6_LEN),
    ("announce_v4", ANNOUNCE_V4_LEN),
    ("announce_v6", ANNOUNCE_V6_LEN),
    ("announce_ref", ANNOUNCE_V4_LEN),
    ("bad_id_v4", ANNOUNCE_V4_LEN),
    ("scrape1_v4", scrape_v4_len(1)),
    ("scrape70_v4", scrape_v4_len(70)),
];

/// Requests of this generator, over this shape.
pub(crate) fn load(program: &str, shape: Shape, checksum: bool) -> Load {
    let (program, bytes) =
        GENERATORS.into_iter().find(|(name, _)| *name == program).expect("the cases name existing ones");
    let traffic = Traffic {
        keys: ours::keys(),
        torrents: shape.torrents,
        peers: shape.peers_each(),
        want: 50,
        checksum: checksum.into(),
        ..Traffic::zeroed()
    };
    Load { program, bytes: bytes - 1, traffic, frames: FRAMES }
}

const SMALL: Shape = Shape::new(1000, 50);
pub(crate) const MIDDLE: Shape = Shape::new(10_000, 50);
const LARGE: Shape = Shape::new(100_000, 50);
const WIDE: Shape = Shape::new(1_000_000, 2);
const HUGE: Shape = Shape::new(10_000_000, 2);

const DROP: Server = Server::Plain("drop_all");

/// Everything but the largest table, in the order of the report.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = floors();
    let case = |id: &str, what: &str, program, shape, server, floor, goal| Case {
        id: id.to_owned(),
        what: what.to_owned(),
        load: load(program, shape, false),
        server,
        floor: Some(floor),
        goal,
    };
    cases.push(case(
        "reflect",
        "hardware addresses swapped and sent back",
        "connect_v4",
        SMALL,
        Server::Plain("reflect"),
        "floor-connect4",
        Goal::None,
    ));
    cases.push(case(
        "reference-connect",
        "connect, IPv4, the reference",
        "connect_v4",
        SMALL,
        Server::ReferenceConnect,
        "floor-connect4",
        Goal::None,
    ));
    let ours = Server::Ours(MIDDLE);
    for (id, what, program, floor, most) in [
        ("connect4", "connect, IPv4", "connect_v4", "floor-connect4", 90.0),
        ("connect6", "connect, IPv6", "connect_v6", "floor-connect6", 100.0),
        ("bad-id", "announce with a bad connection id, dropped", "bad_id_v4", "floor-bad-id", 45.0),
    ] {
        cases.push(case(id, what, program, MIDDLE, ours, floor, Goal::AtMost(most)));
    }
    for shape in [SMALL, MIDDLE, LARGE, WIDE] {
        let reference = format!("reference-{shape}");
        cases.push(case(
            &reference,
            &format!("announce, {} peers, {} torrents, the reference", shape.others, shape.torrents),
            "announce_ref",
            shape,
            Server::Reference(shape),
            "floor-reference",
            Goal::None,
        ));
        cases.push(case(
            &format!("announce-{shape}"),
            &format!("announce, {} peers, {} torrents", shape.others, shape.torrents),
            "announce_v4",
            shape,
            Server::Ours(shape),
            "floor-announce4",
            Goal::TimesOf(1.3, reference),
        ));
    }
    let mut checksum = case(
        "checksum-10000x50",
        "announce with a UDP checksum, 50 peers, 10000 torrents",
        "announce_v4",
        MIDDLE,
        ours,
        "floor-checksum",
        Goal::None,
    );
    checksum.load.traffic.checksum = 1;
    cases.push(checksum);
    cases.push(case(
        "announce6-10000x50",
        "announce, IPv6, 50 peers, 10000 torrents",
        "announce_v6",
        MIDDLE,
        Server::OursV6(MIDDLE),
        "floor-announce6",
        Goal::None,
    ));
    let million = 1_000_000;
    for (id, what, program, policy, floor, compared) in [
        (
            "connect4-block-1000",
            "connect, 1,000 networks blocked",
            "connect_v4",
            Policy::Blocks(1000),
            "floor-connect4",
            "connect4",
        ),
        (
            "connect4-block-100000",
            "connect, 100,000 networks blocked",
            "connect_v4",
            Policy::Blocks(100_000),
            "floor-connect4",
            "connect4",
        ),
        (
            "connect4-block-near",
            "connect, 65,536 addresses blocked, one in each source's /24",
            "connect_v4",
            Policy::BlocksNear(65_536),
            "floor-connect4",
            "connect4",
        ),
        (
            "connect4-limits",
            "connect, rate limits on",
            "connect_v4",
            Policy::Limits,
            "floor-connect4",
            "connect4",
        ),
        (
            "bad-id-limits",
            "announce with a bad connection id, dropped, rate limits on",
            "bad_id_v4",
            Policy::Limits,
            "floor-bad-id",
            "bad-id",
        ),
        (
            "announce-limits",
            "announce, rate limits on, 50 peers, 10000 torrents",
            "announce_v4",
            Policy::Limits,
            "floor-announce4",
            "announce-10000x50",
        ),
        (
            "announce-access-miss",
            "announce, 1,000,000 other torrents denied, 50 peers, 10000 torrents",
            "announce_v4",
            Policy::DeniesOthers(million),
            "floor-announce4",
            "announce-10000x50",
        ),
        (
            "announce-access-hit",
            "announce, 1,000,000 torrents allowed, these among them, 50 peers, 10000 torrents",
            "announce_v4",
            Policy::AllowsAll(million),
            "floor-announce4",
            "announce-10000x50",
        ),
        (
            "announce-access-denied",
            "announce, 1,000,000 torrents denied, these among them: an error",
            "announce_v4",
            Policy::DeniesAll(million),
            "floor-announce4",
            "announce-10000x50",
        ),
    ] {
        let server = Server::OursWith(MIDDLE, policy);
        cases.push(case(id, what, program, MIDDLE, server, floor, Goal::Beside(compared.to_owned())));
    }
    for (id, what, program, floor, most) in [
        ("scrape1", "scrape of 1 hash, 1000000 torrents", "scrape1_v4", "floor-scrape1", 250.0),
        ("scrape70", "scrape of 70 hashes, 1000000 torrents", "scrape70_v4", "floor-scrape70", 12_000.0),
    ] {
        cases.push(case(id, what, program, WIDE, Server::Ours(WIDE), floor, Goal::AtMost(most)));
    }
    cases
}

/// The largest table, and what it is compared with. In a process of its own, for the memory.
pub(crate) fn huge() -> Vec<Case> {
    let wanted = ["floor-announce4", "announce-100000x50"];
    let mut cases: Vec<Case> = all().into_iter().filter(|case| wanted.contains(&case.id.as_str())).collect();
    // The reference isn't here.
    cases.iter_mut().for_each(|case| case.goal = Goal::None);
    cases.push(Case {
        id: format!("announce-{HUGE}"),
        what: "announce, 2 peers, 10000000 torrents, 30000000 peers".to_owned(),
        load: load("announce_v4", HUGE, false),
        server: Server::Ours(HUGE),
        floor: Some("floor-announce4"),
        goal: Goal::TimesOf(2.0, "announce-100000x50".to_owned()),
    });
    cases
}

/// The generator alone: a program that drops at once.
fn floors() -> Vec<Case> {
    let floor = |id: &str, what: &str, program, checksum| Case {
        id: id.to_owned(),
        what: format!("generator and drop: {what}"),
        load: load(program, LARGE, checksum),
        server: DROP,
        floor: None,
        goal: Goal::None,
    };
    vec![
        floor("floor-connect4", "connect, IPv4", "connect_v4", false),
        floor("floor-connect6", "connect, IPv6", "connect_v6", false),
        floor("floor-announce4", "announce, IPv4", "announce_v4", false),
        floor("floor-checksum", "announce, IPv4, with a UDP checksum", "announce_v4", true),
        floor("floor-announce6", "announce, IPv6", "announce_v6", false),
        floor("floor-reference", "announce with the reference's ids", "announce_ref", false),
        floor("floor-bad-id", "announce with a bad connection id", "bad_id_v4", false),
        floor("floor-scrape1", "scrape of 1 hash", "scrape1_v4", false),
        floor("floor-scrape70", "scrape of 70 hashes", "scrape70_v4", false),
    ]
}

/// The cases that were asked for (a name, or its beginning), with what they stand on; all of them if nothing was.
pub(crate) fn choose(cases: Vec<Case>, only: &[String]) -> Vec<Case> {
    if only.is_empty() {
        return cases;
    }
    let mut wanted: Vec<String> = cases
        .iter()
        .filter(|case| only.iter().any(|name| case.id.starts_with(name.as_str())))
        .map(|case| case.id.clone())
        .collect();
    for round in 0..2 {
        let _floors_of_what_is_compared_with = round;
        for case in &cases {
            if wanted.contains(&case.id) {
                wanted.extend(case.floor.map(str::to_owned));
                if let Goal::TimesOf(_, other) | Goal::Beside(other) = &case.goal {
                    wanted.push(other.clone());
                }
            }
        }
    }
    cases.into_iter().filter(|case| wanted.contains(&case.id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_what_they_refer_to_exists() {
        for cases in [all(), huge()] {
            for case in &cases {
                assert_eq!(cases.iter().filter(|other| other.id == case.id).count(), 1, "{}", case.id);
                let exists = |id: &str| cases.iter().any(|other| other.id == id);
                assert!(case.floor.is_none_or(exists), "{case:?}");
                if let Goal::TimesOf(_, other) | Goal::Beside(other) = &case.goal {
                    assert!(exists(other), "{case:?}");
                }
            }
        }
    }

    #[test]
    fn a_chosen_case_brings_what_it_stands_on() {
        let chosen = choose(all(), &["announce-1000x".to_owned()]);
        let ids: Vec<&str> = chosen.iter().map(|case| case.id.as_str()).collect();
        assert_eq!(ids, ["floor-announce4", "floor-reference", "reference-1000x50", "announce-1000x50"]);
    }
}
