//! One socket with a source address and port of its own: what it has asked, and the answers that belong to that.
//!
//! The transaction id is the number of the request's slot and how often that slot was used, so an answer to a request that was given up as lost
//! is told from one that nobody asked for.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::LOST_AFTER;
use super::outcome::{Kind, Outcome};
use super::verdict::{Answer, Asked, Expected, Fault, judge};
use super::wire::Wire;
use crate::requests::{Request, transaction};
use crate::sys::datagrams::Received;

/// BEP 15 lets a connection id be used for a minute.
const RENEW_AFTER: Duration = Duration::from_secs(50);

/// A request's place.
#[derive(Clone, Copy, Default)]
struct Slot {
    /// How often it was used, in the upper half of the transaction id.
    turn: u16,
    out: Option<Out>,
}

/// A request that is out.
#[derive(Clone, Copy)]
struct Out {
    /// When it was due; latency counts from here.
    due: Instant,
    sent: Instant,
    asked: Asked,
}

/// A request that is to be sent.
pub(super) struct Due {
    pub(super) at: Instant,
    pub(super) asked: Asked,
    /// With the transaction id of the slot that it will take.
    pub(super) request: Request,
}

pub(super) struct Client {
    pub(super) wire: Wire,
    pub(super) source: IpAddr,
    slots: Vec<Slot>,
    free: Vec<u16>,
    /// The connection id, and when it came.
    connection: Option<(u64, Instant)>,
    connecting: bool,
}

impl Client {
    /// With a socket of its own.
    pub(super) fn new(target: SocketAddr, source: Option<IpAddr>, slots: u32) -> Result<Self> {
        let any: IpAddr = if target.is_ipv6() { [0u16; 8].into() } else { [0u8; 4].into() };
        let from = SocketAddr::new(source.unwrap_or(any), 0);
        let socket =
            UdpSocket::bind(from).with_context(|| format!("source {from}: is it this machine's?"))?;
        socket.connect(target).with_context(|| format!("no way to {target}"))?;
        let source = socket.local_addr()?.ip();
        Ok(Self::by(Wire::Socket(socket), source, slots))
    }

    pub(super) fn by(wire: Wire, source: IpAddr, slots: u32) -> Self {
        let free = (0..=u16::MAX).take(slots as usize).collect();
        let slots = vec![Slot::default(); slots as usize];
        Self { wire, source, slots, free, connection: None, connecting: false }
    }

    /// Nothing is in flight.
    pub(super) fn is_quiet(&self) -> bool {
        self.free.len() == self.slots.len()
    }

    /// Whether another request may be in flight.
    pub(super) fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    /// The connection id; none while one has to be asked for, or is.
    pub(super) fn connection_id(&self, now: Instant) -> Option<u64> {
        self.connection.filter(|(_, since)| now - *since < RENEW_AFTER).map(|(id, _)| id)
    }

    /// Whether a connect is out that brings the connection id.
    pub(super) fn is_connecting(&self) -> bool {
        self.connecting
    }

    /// The transaction id of the request that is sent next, behind `others` that are waiting to be.
    pub(super) fn next_transaction(&self, others: usize) -> Option<u32> {
        let number = *self.free.get(self.free.len().checked_sub(1 + others)?)?;
        Some(u32::from(self.slots[usize::from(number)].turn) << 16 | u32::from(number))
    }

    /// Sends requests, the first with the transaction id of `next_transaction(0)` and so on; how many went out.
    pub(super) fn send(&mut self, batch: &[Due], outcome: &mut Outcome) -> Result<usize> {
        if batch.is_empty() {
            return Ok(0);
        }
        let sent = self.wire.send(batch.iter().map(|due| due.request.bytes()))?;
        let now = Instant::now();
        for due in &batch[..sent] {
            let Some(number) = self.free.pop() else { break };
            self.slots[usize::from(number)].out = Some(Out { due: due.at, sent: now, asked: due.asked });
            self.connecting |= due.asked.kind == Kind::Connect;
            outcome.of_mut(due.asked.kind).sent += 1;
        }
        Ok(sent)
    }

    /// Reads what has come; how many datagrams.
    pub(super) fn take_answers(
        &mut self,
        received: &mut Received,
        expected: &Expected,
        seen: &mut Vec<(IpAddr, u16)>,
        outcome: &mut Outcome,
    ) -> Result<usize> {
        let count = self.wire.receive(received)?;
        if count > 0 {
            let now = Instant::now();
            for datagram in received.datagrams() {
                self.take(datagram, now, expected, seen, outcome);
            }
        }
        Ok(count)
    }

    fn take(
        &mut self,
        datagram: &[u8],
        now: Instant,
        expected: &Expected,
        seen: &mut Vec<(IpAddr, u16)>,
        outcome: &mut Outcome,
    ) {
        let id = transaction(datagram).unwrap_or(u32::MAX);
        let (turn, number) = ((id >> 16) as u16, id as u16);
        let Some(slot) = self.slots.get_mut(usize::from(number)) else {
            return outcome.faults.count(Fault::Transaction);
        };
        let Some(out) = slot.out.filter(|_| slot.turn == turn) else {
            // Used before: the answer to one that was given up, or a second one.
            let was_used = slot.turn.wrapping_sub(turn) < u16::MAX / 2 && slot.turn != turn;
            return if was_used { outcome.late += 1 } else { outcome.faults.count(Fault::Transaction) };
        };
        let judged = judge(datagram, out.asked, expected, seen);
        let of_kind = outcome.of_mut(out.asked.kind);
        match judged {
            Ok(Answer::Error) if out.asked.kind == Kind::BadId => of_kind.answers += 1,
            Ok(Answer::Error) => of_kind.errors += 1,
            Ok(_) => of_kind.answers += 1,
            Err(fault) => outcome.faults.count(fault),
        }
        if judged.is_ok() {
            outcome.of_mut(out.asked.kind).latency.add(now - out.due);
        }
        match judged {
            Ok(Answer::Connected(id)) => self.connection = Some((id, now)),
            Ok(Answer::Announced(peers)) => outcome.peers += peers,
            _ => {}
        }
        self.finish(number, out.asked.kind);
    }

    fn finish(&mut self, number: u16, kind: Kind) {
        let slot = &mut self.slots[usize::from(number)];
        slot.out = None;
        slot.turn = slot.turn.wrapping_add(1);
        self.connecting &= kind != Kind::Connect;
        self.free.push(number);
    }

    /// Gives up what has had no answer for too long.
    pub(super) fn give_up_lost(&mut self, now: Instant, outcome: &mut Outcome) {
        for number in 0..self.slots.len() {
            if let Some(out) = self.slots[number].out.filter(|out| now - out.sent > LOST_AFTER) {
                outcome.of_mut(out.asked.kind).lost += 1;
                self.finish(number as u16, out.asked.kind);
            }
        }
    }
}
