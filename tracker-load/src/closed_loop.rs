//! The generator: a fixed number of requests in flight, the next one sent when an answer has come.
//!
//! A closed loop finds the tracker's speed by itself and cannot drown it; its latency is that of a queue as
//! long as the window. Every answer is matched with the request it belongs to: the transaction id is the number of
//! the request's slot and how often that slot was used, so an answer to a request given up as lost is
//! told from one that nobody asked for. One thread, so that the load fits on one CPU beside the tracker's.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::cpu_time::CpuTime;
use crate::latency::Histogram;
use crate::population::Population;
use crate::requests::{Answer, Request, judge, transaction};
use crate::sys::datagrams::{self, BATCH, Received};

/// A request without an answer for so long is lost. Far above any latency of a tracker that works.
const LOST_AFTER: Duration = Duration::from_secs(1);

/// BEP 15 lets a connection id be used for a minute.
const RENEW_AFTER: Duration = Duration::from_secs(60);

/// Longest wait in one go; lost requests and the end of the run are looked at that often.
const PATIENCE: Duration = Duration::from_millis(20);

/// What to send, where, for how long.
pub(crate) struct Load {
    pub(crate) target: SocketAddr,
    pub(crate) workload: Workload,
    pub(crate) measured: Duration,
    pub(crate) warmup: Duration,
    pub(crate) answers: Option<u64>,
    pub(crate) window: u32,
    pub(crate) sockets: u32,
    pub(crate) cpu_of: Vec<u32>,
}

/// What to send.
#[derive(Clone, Copy)]
pub(crate) enum Workload {
    Connect,
    Announce { torrents: u32, peers: u16, want: i32, leechers: bool },
}

/// What came of it, within the measured time.
pub(crate) struct Measured {
    pub(crate) time: Duration,
    pub(crate) sent: u64,
    /// Answers to the workload's requests, of the right kind.
    pub(crate) answers: u64,
    /// Error packets.
    pub(crate) errors: u64,
    /// Requests without an answer within a second.
    pub(crate) lost: u64,
    /// Answers that came after that.
    pub(crate) late: u64,
    /// Datagrams that are no answer to anything that was sent.
    pub(crate) wrong: u64,
    /// Peers in all answers.
    pub(crate) peers: u64,
    pub(crate) latency: Histogram,
    pub(crate) cpu: Vec<CpuTime>,
}

impl Measured {
    fn new() -> Self {
        Self {
            time: Duration::ZERO,
            sent: 0,
            answers: 0,
            errors: 0,
            lost: 0,
            late: 0,
            wrong: 0,
            peers: 0,
            latency: Histogram::new(),
            cpu: Vec::new(),
        }
    }
}

pub(crate) fn run(load: &Load) -> Result<Measured> {
    let mut population = load.workload.population();
    let mut clients = clients(load)?;
    let mut measured = Measured::new();
    drive(&mut clients, &mut population, &mut measured, load.warmup, None)?;
    while population.is_incomplete() {
        let answers = measured.answers;
        drive(&mut clients, &mut population, &mut measured, LOST_AFTER, None)?;
        if measured.answers == answers {
            bail!("{} doesn't answer", load.target);
        }
    }

    measured = Measured::new();
    let cpu_before = cpu_times(load)?;
    let start = Instant::now();
    drive(&mut clients, &mut population, &mut measured, load.measured, load.answers)?;
    measured.time = start.elapsed();
    measured.cpu =
        cpu_times(load)?.into_iter().zip(&cpu_before).map(|(now, before)| now.since(before)).collect();
    Ok(measured)
}

fn cpu_times(load: &Load) -> Result<Vec<CpuTime>> {
    load.cpu_of.iter().map(|pid| CpuTime::of(*pid)).collect()
}

/// The sockets, with the window shared out among them.
fn clients(load: &Load) -> Result<Vec<Client>> {
    if load.sockets > load.window {
        bail!("{} sockets can't share a window of {}", load.sockets, load.window);
    }
    let any = if load.target.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
    (0..load.sockets)
        .map(|number| {
            let socket = UdpSocket::bind(any).context("cannot open a UDP socket")?;
            socket.connect(load.target).with_context(|| format!("no way to {}", load.target))?;
            let slots = load.window / load.sockets + u32::from(number < load.window % load.sockets);
            Ok(Client::new(socket, load, slots))
        })
        .collect()
}

/// Keeps the window full for some time, or until so many answers have come.
fn drive(
    clients: &mut [Client],
    population: &mut Population,
    measured: &mut Measured,
    time: Duration,
    answers: Option<u64>,
) -> Result<()> {
    let end = Instant::now() + time;
    let mut received = Received::new();
    let mut next_check = Instant::now() + PATIENCE;
    loop {
        let mut idle = true;
        for client in &mut *clients {
            idle &= client.take_answers(&mut received, measured)? == 0;
            idle &= client.fill_window(population, measured)? == 0;
        }
        let now = Instant::now();
        if now >= end || answers.is_some_and(|enough| measured.answers >= enough) {
            return Ok(());
        }
        if now >= next_check {
            next_check = now + PATIENCE;
            clients.iter_mut().for_each(|client| client.give_up_lost(now, measured));
        }
        if idle {
            datagrams::wait(clients.iter().map(|client| &client.socket), PATIENCE.min(end - now))?;
        }
    }
}

impl Workload {
    /// Nobody announces when all there is are connects.
    fn population(self) -> Population {
        match self {
            Self::Connect => Population::new(0, 0, false),
            Self::Announce { torrents, peers, leechers, .. } => Population::new(torrents, peers, leechers),
        }
    }
}

/// A request's place in the window.
#[derive(Clone, Copy)]
struct Slot {
    /// How often it was used, in the upper half of the transaction id.
    turn: u16,
    /// When its request was sent, while one is out.
    sent: Option<Instant>,
    is_connect: bool,
}

/// One socket and its share of the window.
struct Client {
    socket: UdpSocket,
    workload: Workload,
    ipv6: bool,
    slots: Vec<Slot>,
    free: Vec<u16>,
    connection: Option<(u64, Instant)>,
    connecting: bool,
}

impl Client {
    fn new(socket: UdpSocket, load: &Load, slots: u32) -> Self {
        let slot = Slot { turn: 0, sent: None, is_connect: false };
        let slots = vec![slot; slots as usize];
        let free = (0..=u16::MAX).take(slots.len()).collect();
        let (workload, ipv6) = (load.workload, load.target.is_ipv6());
        Self { socket, workload, ipv6, slots, free, connection: None, connecting: false }
    }

    /// Reads what has come; how many datagrams.
    fn take_answers(&mut self, received: &mut Received, measured: &mut Measured) -> Result<usize> {
        let count = datagrams::receive(&self.socket, received).context("cannot receive")?;
        if count > 0 {
            let now = Instant::now();
            for datagram in received.datagrams() {
                self.take(datagram, now, measured);
            }
        }
        Ok(count)
    }

    fn take(&mut self, datagram: &[u8], now: Instant, measured: &mut Measured) {
        let id = transaction(datagram).unwrap_or(u32::MAX);
        let (turn, number) = ((id >> 16) as u16, id as u16);
        let Some(slot) = self.slots.get_mut(usize::from(number)) else {
            measured.wrong += 1;
            return;
        };
        let Some(sent) = slot.sent.filter(|_| slot.turn == turn) else {
            measured.late += 1;
            return;
        };
        match judge(datagram, self.ipv6) {
            Answer::Connected(id) if slot.is_connect => {
                self.connection = Some((id, now));
                measured.answers += u64::from(!self.connecting);
                self.connecting = false;
            }
            Answer::Announced(peers) if !slot.is_connect => {
                measured.answers += 1;
                measured.peers += peers as u64;
            }
            Answer::Error => {
                measured.errors += 1;
                self.connecting &= !slot.is_connect;
            }
            _ => {
                measured.wrong += 1;
                return;
            }
        }
        measured.latency.add(now - sent);
        slot.sent = None;
        slot.turn = slot.turn.wrapping_add(1);
        self.free.push(number);
    }

    /// Sends one batch from the free slots; how many requests.
    fn fill_window(&mut self, population: &mut Population, measured: &mut Measured) -> Result<usize> {
        if self.free.is_empty() {
            return Ok(0);
        }
        let now = Instant::now();
        let first = self.free.len().saturating_sub(BATCH);
        let mut batch: Vec<(u16, Request, bool)> = Vec::with_capacity(BATCH);
        for number in &self.free[first..] {
            let transaction = u32::from(self.slots[usize::from(*number)].turn) << 16 | u32::from(*number);
            match next_request(
                self.workload,
                population,
                &self.connection,
                &mut self.connecting,
                transaction,
                now,
            ) {
                Some((request, is_connect)) => batch.push((*number, request, is_connect)),
                None => break,
            }
        }
        let sent = datagrams::send(&self.socket, batch.iter().map(|(_, request, _)| request.bytes()))
            .context("cannot send")?;
        for (number, _, is_connect) in &batch[..sent] {
            let slot = &mut self.slots[usize::from(*number)];
            slot.sent = Some(now);
            slot.is_connect = *is_connect;
        }
        // A connect for an id that did not go out is tried again.
        self.connecting &= !batch[sent..].iter().any(|(_, _, is_connect)| *is_connect);
        self.free.drain(first..first + sent);
        measured.sent += sent as u64;
        Ok(sent)
    }

    fn give_up_lost(&mut self, now: Instant, measured: &mut Measured) {
        for (number, slot) in self.slots.iter_mut().enumerate() {
            if slot.sent.is_some_and(|sent| now - sent > LOST_AFTER) {
                measured.lost += 1;
                slot.sent = None;
                slot.turn = slot.turn.wrapping_add(1);
                self.connecting &= !slot.is_connect;
                self.free.push(number as u16);
            }
        }
    }
}

/// The next request of a socket, and whether it is a connect; none while it waits for a connection id.
fn next_request(
    workload: Workload,
    population: &mut Population,
    connection: &Option<(u64, Instant)>,
    connecting: &mut bool,
    transaction: u32,
    now: Instant,
) -> Option<(Request, bool)> {
    let Workload::Announce { want, .. } = workload else {
        return Some((Request::connect(transaction), true));
    };
    if !*connecting && connection.is_none_or(|(_, since)| now - since > RENEW_AFTER) {
        *connecting = true;
        return Some((Request::connect(transaction), true));
    }
    let (id, _) = (*connection)?;
    Some((Request::announce(id, transaction, &population.draw(), want), false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const ID: u64 = 0x0102_0304_0506_0708;

    /// A tracker that answers as `answer` says, until the datagram that is one byte long.
    fn tracker(answer: fn(&[u8]) -> Vec<u8>) -> (SocketAddr, impl FnOnce()) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let mut buffer = [0; 2048];
            loop {
                let (length, source) = socket.recv_from(&mut buffer).unwrap();
                if length == 1 {
                    return;
                }
                socket.send_to(&answer(&buffer[..length]), source).unwrap();
            }
        });
        let stop = move || {
            UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&[0], address).unwrap();
            thread.join().unwrap();
        };
        (address, stop)
    }

    /// What BEP 15 wants: connects get [`ID`], announces that carry it get one peer, others an error.
    fn honest(request: &[u8]) -> Vec<u8> {
        let transaction = &request[12..16];
        match request[11] {
            0 => [&[0; 4], transaction, &ID.to_be_bytes()].concat(),
            1 if request[..8] == ID.to_be_bytes() => [&[0, 0, 0, 1], transaction, &[0; 12], &[1; 6]].concat(),
            _ => [&[0, 0, 0, 3], transaction, b"no"].concat(),
        }
    }

    fn measure(target: SocketAddr, workload: Workload, answers: u64) -> Measured {
        let load = Load {
            target,
            workload,
            measured: Duration::from_secs(60),
            warmup: Duration::ZERO,
            answers: Some(answers),
            window: 8,
            sockets: 2,
            cpu_of: vec![std::process::id()],
        };
        run(&load).unwrap()
    }

    #[test]
    fn connects_are_counted_and_nothing_is_lost() {
        let (target, stop) = tracker(honest);
        let measured = measure(target, Workload::Connect, 1000);
        stop();
        assert!(measured.answers >= 1000, "{}", measured.answers);
        assert_eq!((measured.errors, measured.lost, measured.late, measured.wrong), (0, 0, 0, 0));
        assert!(measured.cpu[0].time > Duration::ZERO);
    }

    #[test]
    fn announces_carry_the_connection_id() {
        let (target, stop) = tracker(honest);
        let measured =
            measure(target, Workload::Announce { torrents: 3, peers: 5, want: 50, leechers: false }, 1000);
        stop();
        assert!(measured.answers >= 1000, "{}", measured.answers);
        assert_eq!((measured.errors, measured.wrong, measured.peers), (0, 0, measured.answers));
    }

    #[test]
    fn answers_that_nobody_asked_for_are_wrong() {
        // The first byte of the transaction id is the turn's, the last the slot's: slot 0xff exists in no window of 8.
        let (target, stop) = tracker(|request| match request[15] {
            0 => [&[0; 4], &request[12..15], &[0xff; 9][..]].concat(),
            _ => honest(request),
        });
        let measured = measure(target, Workload::Connect, 1000);
        stop();
        assert!(measured.wrong > 0);
    }
}
