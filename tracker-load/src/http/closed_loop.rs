//! Some connections, each with one request under way: the next one goes out when the answer to the last has come.
//!
//! One thread, one epoll, requests written by hand and answers judged in place, so that the generator costs less than what it
//! measures. A server that says that it closes is waited for; otherwise the client closes, with a reset.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::answer::{self, Answer, Body, Complete};
use super::requests::Requests;
use super::{LONGEST, LOST_AFTER};
use crate::cpu_time::CpuTime;
use crate::latency::Histogram;
use crate::population::Population;
use crate::stream::tls::{Handshakes, Tls};
use crate::stream::{Input, Received, Stream};
use crate::sys::files;
use crate::sys::poller::{Event, Poller};

/// Longest wait in one go; lost requests and the end of the run are looked at that often.
const PATIENCE: Duration = Duration::from_millis(50);

/// What to send, where, for how long.
pub(crate) struct Load {
    pub(crate) target: SocketAddr,
    pub(crate) connections: u32,
    /// One request a connection instead of any number.
    pub(crate) close: bool,
    pub(crate) tls: Option<Handshakes>,
    pub(crate) want: u32,
    pub(crate) measured: Duration,
    pub(crate) warmup: Duration,
    pub(crate) answers: Option<u64>,
    pub(crate) cpu_of: Vec<u32>,
}

/// What came of it, within the measured time.
pub(crate) struct Measured {
    pub(crate) time: Duration,
    /// Answers of the right kind.
    pub(crate) answers: u64,
    /// Those of them with fewer peers than wanted.
    pub(crate) short: u64,
    /// Peers in all answers.
    pub(crate) peers: u64,
    /// Bytes of all answers, headers included, encryption not.
    pub(crate) bytes: u64,
    /// Failure reasons.
    pub(crate) failures: u64,
    /// Answers that are none.
    pub(crate) wrong: u64,
    /// Connections that ended before their answer had come.
    pub(crate) broken: u64,
    /// Requests without an answer for too long.
    pub(crate) lost: u64,
    /// Connections whose first answer came.
    pub(crate) connections: u64,
    /// Those of them that resumed a TLS session.
    pub(crate) resumed: u64,
    pub(crate) latency: Histogram,
    pub(crate) cpu: Vec<CpuTime>,
}

impl Measured {
    fn new() -> Self {
        Self {
            time: Duration::ZERO,
            answers: 0,
            short: 0,
            peers: 0,
            bytes: 0,
            failures: 0,
            wrong: 0,
            broken: 0,
            lost: 0,
            connections: 0,
            resumed: 0,
            latency: Histogram::new(),
            cpu: Vec::new(),
        }
    }
}

pub(crate) fn run(load: &Load, population: Population) -> Result<Measured> {
    let limit =
        files::raise_limit(u64::from(load.connections) + 64).context("cannot read the limit of files")?;
    if limit < u64::from(load.connections) + 16 {
        bail!(
            "{} connections need as many files, and the limit is {limit}: raise it (ulimit -n)",
            load.connections
        );
    }
    let mut generator = Generator::new(load, population)?;
    generator.drive(load.warmup, None)?;
    let (mut answers, mut since) = (0, Instant::now());
    while generator.population.is_incomplete() {
        generator.drive(PATIENCE, None)?;
        if generator.measured.answers > answers {
            (answers, since) = (generator.measured.answers, Instant::now());
        } else if since.elapsed() > 2 * LOST_AFTER {
            let Measured { failures, wrong, broken, .. } = generator.measured;
            bail!(
                "{} doesn't answer announces: {failures} failure reasons, {wrong} wrong answers, {broken} broken connections",
                load.target
            );
        }
    }

    generator.measured = Measured::new();
    let cpu_before = cpu_times(load)?;
    let start = Instant::now();
    generator.drive(load.measured, load.answers)?;
    let mut measured = generator.measured;
    measured.time = start.elapsed();
    measured.cpu =
        cpu_times(load)?.into_iter().zip(&cpu_before).map(|(now, before)| now.since(before)).collect();
    Ok(measured)
}

fn cpu_times(load: &Load) -> Result<Vec<CpuTime>> {
    load.cpu_of.iter().map(|pid| CpuTime::of(*pid)).collect()
}

/// A client: one connection at a time, and its own TLS tickets.
struct Client {
    stream: Option<Stream>,
    tls: Option<Tls>,
    input: Input,
    request: Vec<u8>,
    sent: Instant,
    /// No answer has come on this connection yet.
    fresh: bool,
    /// The answer has come and the server is about to close.
    closing: bool,
}

struct Generator<'a> {
    load: &'a Load,
    requests: Requests,
    population: Population,
    clients: Vec<Client>,
    poller: Poller,
    measured: Measured,
}

impl<'a> Generator<'a> {
    fn new(load: &'a Load, population: Population) -> Result<Self> {
        let client = |_| {
            Ok(Client {
                stream: None,
                tls: load.tls.map(Tls::new).transpose()?,
                input: Input::with_room(LONGEST),
                request: Vec::new(),
                sent: Instant::now(),
                fresh: true,
                closing: false,
            })
        };
        let mut generator = Self {
            load,
            requests: Requests::new(load.target, load.want, !load.close),
            population,
            clients: (0..load.connections).map(client).collect::<Result<_>>()?,
            poller: Poller::new().context("cannot make an epoll instance")?,
            measured: Measured::new(),
        };
        (0..generator.clients.len()).try_for_each(|number| generator.ask(number))?;
        Ok(generator)
    }

    /// Keeps a request under way on every connection for some time, or until so many answers have come.
    fn drive(&mut self, time: Duration, answers: Option<u64>) -> Result<()> {
        let end = Instant::now() + time;
        let mut next_check = Instant::now() + PATIENCE;
        loop {
            let events = self.poller.wait(PATIENCE).context("cannot wait for events")?;
            for index in 0..events {
                if let Some(event) = self.poller.event(index) {
                    self.take(event)?;
                }
            }
            let now = Instant::now();
            if now >= end || answers.is_some_and(|enough| self.measured.answers >= enough) {
                return Ok(());
            }
            if now >= next_check {
                next_check = now + PATIENCE;
                self.give_up_lost(now)?;
            }
        }
    }

    /// Sends the next request of a client, on a new connection when it has none.
    fn ask(&mut self, number: usize) -> Result<()> {
        let client = &mut self.clients[number];
        self.requests.announce(&self.population.draw(), &mut client.request);
        client.input.clear();
        client.sent = Instant::now();
        client.closing = false;
        let stream = match &mut client.stream {
            Some(stream) => stream,
            none => {
                let stream = Stream::open(self.load.target, None, client.tls.as_ref())
                    .with_context(|| format!("cannot connect to {}", self.load.target))?;
                self.poller
                    .add(std::os::fd::AsFd::as_fd(&stream), number)
                    .context("cannot watch a socket")?;
                client.fresh = true;
                none.insert(stream)
            }
        };
        if stream.send(&client.request).is_err() {
            // The server has closed meanwhile.
            self.measured.broken += 1;
            client.stream.take().into_iter().for_each(Stream::close);
            self.give_time(number);
        }
        Ok(())
    }

    /// A client whose connection broke while it was sending asks again when lost requests are looked for: at once could be for ever.
    fn give_time(&mut self, number: usize) {
        self.clients[number].sent = Instant::now() - LOST_AFTER;
    }

    fn take(&mut self, event: Event) -> Result<()> {
        let client = &mut self.clients[event.number];
        let Some(stream) = &mut client.stream else { return Ok(()) };
        if event.writable && stream.flush().is_err() {
            return self.broken(event.number);
        }
        if !event.readable && !event.ended {
            return Ok(());
        }
        let ended = match stream.receive(&mut client.input, event.ended) {
            Ok(Received::Full) => return self.broken(event.number),
            Ok(received) => received == Received::Ended,
            // A reset after the answer is an end like any other.
            Err(_) if client.closing => true,
            Err(_) => return self.broken(event.number),
        };
        if client.closing {
            return if ended { self.renew(event.number) } else { Ok(()) };
        }
        match answer::judge(client.input.bytes(), ended) {
            Answer::Incomplete | Answer::UntilEnd => Ok(()),
            Answer::Wrong if client.input.bytes().is_empty() => self.broken(event.number),
            Answer::Wrong => {
                self.measured.wrong += 1;
                self.renew(event.number)
            }
            Answer::Complete(complete) => self.complete(event.number, complete, ended),
        }
    }

    fn complete(&mut self, number: usize, complete: Complete, ended: bool) -> Result<()> {
        let client = &mut self.clients[number];
        let measured = &mut self.measured;
        let excess = client.input.bytes().len() > complete.len;
        match complete.body {
            Body::Announced { peers } if !excess => {
                measured.answers += 1;
                measured.peers += peers as u64;
                measured.bytes += complete.len as u64;
                measured.short += u64::from(peers < self.load.want as usize);
                measured.latency.add(client.sent.elapsed());
            }
            Body::Failure => measured.failures += 1,
            Body::Announced { .. } | Body::Wrong => measured.wrong += 1,
        }
        if client.fresh {
            client.fresh = false;
            measured.connections += 1;
            let resumed = client.stream.as_ref().and_then(Stream::resumed);
            measured.resumed += u64::from(resumed == Some(true));
        }
        client.closing = complete.closes;
        match (complete.closes && !ended, self.load.close || ended) {
            (true, _) => Ok(()),
            (false, true) => self.renew(number),
            (false, false) => self.ask(number),
        }
    }

    fn broken(&mut self, number: usize) -> Result<()> {
        self.measured.broken += 1;
        self.renew(number)
    }

    /// The next request on a new connection.
    fn renew(&mut self, number: usize) -> Result<()> {
        self.clients[number].stream.take().into_iter().for_each(Stream::close);
        self.ask(number)
    }

    fn give_up_lost(&mut self, now: Instant) -> Result<()> {
        for number in 0..self.clients.len() {
            let client = &self.clients[number];
            if now - client.sent >= LOST_AFTER {
                self.measured.lost += u64::from(client.stream.is_some());
                self.renew(number)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    const BODY: &str = "d8:completei1e10:incompletei49e8:intervali1800e5:peers12:abcdefghijkle";

    /// A tracker that sends `answer` to each request, and then closes if it says so; its threads end with their connections.
    fn tracker(answer: &'static str, closes: bool) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for socket in listener.incoming() {
                thread::spawn(move || serve(&socket.unwrap(), answer, closes));
            }
        });
        address
    }

    fn serve(mut socket: &TcpStream, answer: &str, closes: bool) {
        let lines = BufReader::new(socket).lines();
        for line in lines.map_while(Result::ok) {
            if line.is_empty() {
                let head = if closes { "Connection: close\r\n" } else { "" };
                let whole =
                    format!("HTTP/1.1 200 OK\r\n{head}Content-Length: {}\r\n\r\n{answer}", answer.len());
                if socket.write_all(whole.as_bytes()).is_err() || closes {
                    return;
                }
            }
        }
    }

    fn measure(target: SocketAddr, close: bool, answers: u64) -> Measured {
        let load = Load {
            target,
            connections: 4,
            close,
            tls: None,
            want: 2,
            measured: Duration::from_secs(60),
            warmup: Duration::ZERO,
            answers: Some(answers),
            cpu_of: vec![std::process::id()],
        };
        run(&load, Population::new(3, 5, true)).unwrap()
    }

    fn troubles(measured: &Measured) -> [u64; 5] {
        [measured.short, measured.failures, measured.wrong, measured.broken, measured.lost]
    }

    #[test]
    fn kept_connections_carry_all_requests() {
        let measured = measure(tracker(BODY, false), false, 500);
        assert!(measured.answers >= 500, "{}", measured.answers);
        assert_eq!((measured.peers, measured.connections), (2 * measured.answers, 0));
        assert_eq!(troubles(&measured), [0; 5]);
        assert!(measured.cpu[0].time > Duration::ZERO);
    }

    #[test]
    fn each_request_has_a_connection_whichever_side_closes() {
        for server_closes in [false, true] {
            let measured = measure(tracker(BODY, server_closes), true, 500);
            assert!(measured.answers >= 500, "{}", measured.answers);
            assert_eq!(measured.connections, measured.answers);
            assert_eq!(troubles(&measured), [0; 5]);
        }
    }

    #[test]
    fn tracker_that_refuses_is_no_tracker_to_measure() {
        let target = tracker("d14:failure reason2:noe", false);
        let load = Load {
            target,
            connections: 1,
            close: false,
            tls: None,
            want: 2,
            measured: Duration::from_millis(10),
            warmup: Duration::ZERO,
            answers: None,
            cpu_of: Vec::new(),
        };
        let measured = run(&load, Population::new(1, 1, true).announced()).unwrap();
        assert_eq!(measured.answers, 0);
        assert!(measured.failures > 0);
    }
}
