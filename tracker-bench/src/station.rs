//! A program under test on the tracker's end of a cable of its own, and rounds of requests to it.
//!
//! Each program has its own cable for as long as the bench runs: rounds of different programs can alternate without attaching anything.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tracker_common::verdict::Verdict;

use crate::cable::Cable;
use crate::drive::{Driven, Load, drive};
use crate::laboratory::Laboratory;
use crate::ours::Ours;
use crate::reference::{Consumed, Reference};
use crate::shape::Shape;

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Server {
    /// A program of the laboratory's, by name.
    Plain(&'static str),
    /// The reference, with a table.
    Reference(Shape),
    /// The reference's connects.
    ReferenceConnect,
    /// The tracker, with a table of IPv4 peers.
    Ours(Shape),
    /// The tracker, with a table of IPv6 peers.
    OursV6(Shape),
    /// The tracker, with a table of IPv4 peers and something that it has to look at besides.
    OursWith(Shape, Policy),
}

/// What an operator has set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Policy {
    /// So many blocked networks far from all sources: a bit of the bitmap says that none of them matters.
    Blocks(u32),
    /// So many blocked addresses, one in each source's /24: the trie is searched.
    BlocksNear(u32),
    /// Denied are so many torrents that nobody asks for.
    DeniesOthers(u32),
    /// Allowed are so many torrents, among them all that are asked for.
    AllowsAll(u32),
    /// Denied are so many torrents, among them all that are asked for.
    DeniesAll(u32),
    /// All rate limits are on, and nobody reaches them.
    Limits,
}

/// A server that is ready.
pub(crate) struct Station {
    pub(crate) cable: Cable,
    answerer: Answerer,
}

enum Answerer {
    Plain,
    Reference(Box<Reference>),
    Ours(Box<Ours>),
}

/// What came of a round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    pub(crate) driven: Driven,
    pub(crate) consumed: Consumed,
    /// Packets that met a full event ring.
    pub(crate) ring_full: u64,
    /// Packets that the tracker's program passed on, for whatever reason, or dropped.
    pub(crate) passed: u64,
    pub(crate) dropped: u64,
}

impl Station {
    /// Loads, fills and attaches the server, and the counting program at the far end.
    pub(crate) fn new(laboratory: &mut Laboratory, object: &Path, server: Server) -> Result<Self> {
        let cable = Cable::new();
        laboratory.attach("count", &cable.client, &cable.client_interface)?;
        let reference = |shape, program| -> Result<Answerer> {
            let mut reference = Reference::new(object, shape)?;
            reference.attach(program, &cable)?;
            Ok(Answerer::Reference(Box::new(reference)))
        };
        let ours = |shape, v6| -> Result<Answerer> {
            let mut ours = Ours::filled(shape, v6)?;
            ours.attach(&cable)?;
            Ok(Answerer::Ours(Box::new(ours)))
        };
        let answerer = match server {
            Server::Plain(program) => {
                laboratory.attach(program, &cable.server, &cable.server_interface)?;
                Answerer::Plain
            }
            Server::Reference(shape) => reference(shape, "ref_announce")?,
            Server::ReferenceConnect => reference(Shape::new(1, 1), "ref_connect")?,
            Server::Ours(shape) => ours(shape, false)?,
            Server::OursV6(shape) => ours(shape, true)?,
            Server::OursWith(shape, policy) => {
                let Answerer::Ours(mut ours) = ours(shape, false)? else { unreachable!("it is ours") };
                ours.set_policy(policy, shape)?;
                Answerer::Ours(ours)
            }
        };
        Ok(Self { cable, answerer })
    }

    /// One round. Events are taken by a thread on the CPU `cpu` meanwhile.
    pub(crate) fn round(
        &mut self,
        laboratory: &mut Laboratory,
        load: &Load,
        time: Duration,
        cpu: usize,
    ) -> Result<Round> {
        let before = self.counters()?;
        let stop = AtomicBool::new(false);
        let Self { cable, answerer } = &mut *self;
        let (driven, consumed) = thread::scope(|scope| {
            let consumer = scope.spawn(|| match answerer {
                Answerer::Plain => Ok(Consumed::default()),
                Answerer::Reference(reference) => reference.consume(cpu, &stop),
                Answerer::Ours(ours) => ours.consume(cpu, &stop),
            });
            let driven = drive(laboratory, cable, load, time);
            stop.store(true, Ordering::Release);
            let consumed = consumer.join().map_err(|_| anyhow!("the thread that takes events panicked"));
            (driven, consumed)
        });
        let (driven, consumed) = (driven?, consumed??);
        let after = self.counters()?;
        let [ring_full, passed, dropped] = std::array::from_fn(|index| after[index] - before[index]);
        Ok(Round { driven, consumed, ring_full, passed, dropped })
    }

    /// Ring full, passed, dropped.
    fn counters(&self) -> Result<[u64; 3]> {
        use tracker_common::verdict::Class;
        let Answerer::Ours(ours) = &self.answerer else { return Ok([0; 3]) };
        let counters = ours.counters()?;
        let of_class = |class: Class| {
            Verdict::ALL.iter().filter(|verdict| verdict.class() == class).map(|v| counters.of(*v)).sum()
        };
        Ok([counters.of(Verdict::PassEventRing), of_class(Class::Pass), of_class(Class::Drop)])
    }

    pub(crate) fn reference(&mut self) -> Option<&mut Reference> {
        match &mut self.answerer {
            Answerer::Reference(reference) => Some(reference),
            _ => None,
        }
    }
}
