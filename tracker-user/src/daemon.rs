//! The running tracker: the order in which its parts start, the main loop, and the stop.
//!
//! The main loop owns everything that an operator can see or change: lists, the kernel's maps and links, the control socket. All others
//! send it [`Event`]s, so nothing of that needs a lock. Order matters at start: ports before anything that changes the machine; what needs root before
//! the tracker becomes another user, which comes before its first thread; the program before the swarm table, whose memory are its maps; table, lists and keys before the program is attached; and readiness is told
//! when all of it stands. End-to-end tests are in
//! `tests/cli` and `tests/real_clients`.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::thread::CapabilitySet;
use tokio::sync::oneshot;
use tracker_common::counters::Counters;
use tracker_common::settings::Endpoints;
use tracker_core::access_list::parse_info_hash;

use crate::bpf::Kernel;
use crate::config::{Config, within_chroot};
use crate::control::{self, Answer, Request, Response};
use crate::http::{self, Http};
use crate::identity::{FOR_MAPS, Identity, keep_only, without_capabilities};
use crate::in_kernel::{self, Served};
use crate::interface::Interface;
use crate::limits::{Change, LimitKeeper};
use crate::lists::{Lists, Program};
use crate::log::Log;
use crate::metrics;
use crate::metrics::readings::Readings;
use crate::ready::{self, Listens};
use crate::service_manager::ServiceManager;
use crate::signals::{self, Handlers};
use crate::state::{self, State};
use crate::stats::{self, Stats};
use crate::survey::Surveyor;
use crate::swarms::{self, SwarmCounts};
use crate::udp::backend::Chosen;
use crate::udp::bind::{self, Bound};
use crate::udp::worker::{self, Tally, WorkerContext};
use crate::writer_thread::Writer;

/// Something that the main loop has to deal with.
pub enum Event {
    /// A signal to stop, by name.
    Stop(&'static str),
    /// A signal to reload lists, certificate and log level, by name.
    Reload(&'static str),
    /// A request over the control socket, and where its answer goes.
    Request(Request, SyncSender<Answer>),
    /// Somebody wants the numbers for metrics.
    Read(oneshot::Sender<Readings>),
    /// A thread that the tracker can't do without has ended, and why.
    Failed(String),
}

/// How often the machine's addresses are looked at, for those that come and go (DHCP, privacy addresses).
const ADDRESSES_EVERY: Duration = Duration::from_secs(10);

/// Runs the tracker until a signal stops it; `reread` is the configuration as it is now, for a reload, as it reads inside of a chroot.
///
/// # Errors
///
/// What kept it from starting, or the thread that failed.
pub fn run(config: &Config, reread: impl Fn(Option<&Path>) -> anyhow::Result<Config>) -> anyhow::Result<()> {
    let log = Log::start(config.log_level, config.log_format)?;
    config.validate().map_err(|(key, reason)| anyhow::anyhow!("configuration: {key}: {reason}"))?;
    let (events, received) = channel();
    let handlers = signals::register().context("signal handlers")?;
    let mut daemon = Daemon::start(config, &events, handlers)?;
    daemon.tell_readiness();
    let result = daemon.serve(&received, &log, &|| reread(config.chroot()));
    daemon.stop();
    result
}

struct Daemon {
    config: Config,
    service_manager: ServiceManager,
    started: Instant,
    bound: Vec<SocketAddr>,
    interfaces: Vec<Served>,
    kernel: Option<Kernel>,
    endpoints: Vec<SocketAddr>,
    lists: Lists,
    /// Seen by command lines that don't find the control socket.
    _claim: Option<File>,
    limits: LimitKeeper,
    control: Result<control::Listener, String>,
    metrics_at: Vec<SocketAddr>,
    surveyor: Surveyor,
    writer: Writer,
    http: Http,
    workers: Vec<JoinHandle<()>>,
    tallies: Vec<Arc<Tally>>,
    stopping: Arc<AtomicBool>,
}

impl Daemon {
    fn start(config: &Config, events: &Sender<Event>, handlers: Handlers) -> anyhow::Result<Self> {
        // What needs root, while there is one thread.
        let identity = Identity::of(&config.privileges)?;
        let interfaces = in_kernel::find_interfaces(&config.xdp.interfaces)?;
        let bound = bind::bind_all(&config.udp)?;
        let mut http = http::prepare(config)?;
        let metrics = metrics::prepare(&config.metrics.listen)?;
        let mut control = listen(config, &identity)?;
        let mut kernel = in_kernel::load(config, !interfaces.is_empty())?;
        identity.own_directory(&config.state_directory)?;
        if kernel.is_ok() {
            // It isn't there when nothing could be pinned, which the log says.
            let _unpinned = identity.own(&Kernel::pin_directory(config));
        }
        let boot_id = state::boot_id();
        identity.assume()?;
        let config = &config.inside_chroot();
        if let (Ok(listener), Some(chroot)) = (&mut control, config.chroot()) {
            listener.move_to(within_chroot(listener.path(), chroot));
        }
        http.move_to(config);

        let state = || State::of_boot(&config.state_directory, &boot_id);
        // A command line that found nobody on the control socket may be changing the lists; with the socket there, it asks us.
        let lock = state().lock().ok();
        let claim = state().claim().ok();
        if lock.is_some() {
            state().remove_unfinished();
        }
        let keys = state().connection_id_keys()?;
        let lists = Lists::load(config, state())?;
        drop(lock);
        let limits = LimitKeeper::open(config, state());
        let (table, ring) = in_kernel::table(&mut kernel, config)?;
        let sockets: usize = bound.iter().map(|bound| bound.sockets.len()).sum();
        let queues = sockets + http.workers();
        let (writer, mut sinks) =
            without_capabilities(|| Writer::start(config, table, ring, queues, events.clone()))?;
        let sinks_of_http = sinks.split_off(sockets);

        let addresses: Vec<SocketAddr> = bound.iter().map(|bound| bound.address).collect();
        let mut endpoints = Vec::new();
        if let Ok(kernel) = &mut kernel {
            let limits = limits.current();
            endpoints = in_kernel::prepare(kernel, config, &keys, &lists, limits, &addresses, &interfaces)?;
        }
        let (kernel, interfaces) = in_kernel::attach_all(kernel, interfaces, config.xdp.mode)?;
        // Everything is attached; what is left to do is to make maps.
        keep_only(if kernel.is_some() { FOR_MAPS } else { CapabilitySet::empty() })?;

        let stopping = Arc::new(AtomicBool::new(false));
        let metrics_at = metrics.addresses().to_vec();
        let mut tallies = Vec::new();
        let backend = Chosen::for_this_machine(config.udp.backend);
        let started = without_capabilities(|| {
            let mut workers = Vec::new();
            for Bound { address, sockets } in bound {
                for socket in sockets {
                    let tally = Arc::new(Tally::new(address));
                    tallies.push(Arc::clone(&tally));
                    let sink = sinks.pop().context("there is a queue for each socket")?;
                    workers.push(worker::start(WorkerContext {
                        address,
                        socket,
                        backend,
                        table: writer.reader(),
                        lists: lists.shared(),
                        policy: config.policy(),
                        limits: limits.shared(),
                        keys,
                        sink,
                        tally,
                        stopping: Arc::clone(&stopping),
                        events: events.clone(),
                    })?);
                }
            }
            let http = http.start(config, writer.reader(), lists.shared(), sinks_of_http, events.clone())?;
            let every = Duration::from_secs(config.metrics.survey_interval_s.into());
            let surveyor = Surveyor::start(writer.reader(), every, config.export.wanted())?;
            metrics.start(events.clone())?;
            if let Ok(listener) = &control {
                listener.serve(events.clone()).context("control socket")?;
            }
            handlers.serve(events.clone()).context("signals")?;
            Ok((workers, http, surveyor))
        });
        let (workers, http, surveyor) = started?;
        Ok(Self {
            config: config.clone(),
            service_manager: ServiceManager::find(),
            started: Instant::now(),
            bound: addresses,
            interfaces,
            kernel,
            endpoints,
            lists,
            _claim: claim,
            limits,
            control,
            metrics_at,
            surveyor,
            writer,
            http,
            workers,
            tallies,
            stopping,
        })
    }

    /// Tells on stdout where the tracker can be reached, which mode answers and how to stop it.
    fn tell_readiness(&self) {
        let locals = in_kernel::local_addresses();
        let served: Vec<Interface> = self
            .interfaces
            .iter()
            .filter(|served| served.result.mode != "off")
            .map(|served| served.interface.clone())
            .collect();
        let udp = self.bound.iter().map(|&address| Listens::Udp(address));
        let http = self.http.endpoints().iter().map(|&endpoint| Listens::Http(endpoint));
        let upgraded = self.http.endpoints().iter().filter(|endpoint| !endpoint.proxy_protocol);
        let webtorrent =
            upgraded.filter(|_| self.config.webtorrent.enabled).map(|&endpoint| Listens::WebSocket(endpoint));
        let listens = udp.chain(http).chain(webtorrent);
        let places = ready::places(listens, &locals, |index| ready::is_served(&served, index));
        let interfaces: Vec<String> =
            self.interfaces.iter().map(|served| served.result.to_string()).collect();
        let control = match &self.control {
            Ok(listener) => listener.path().display().to_string(),
            Err(reason) => format!("off ({reason})"),
        };
        // Nobody has to read it.
        let _closed =
            ready::write(&mut io::stdout().lock(), &places, &interfaces, &self.metrics_at, &control);
        self.service_manager.ready(&self.status());
    }

    /// One line about what is served, for the service manager.
    fn status(&self) -> String {
        let interfaces: Vec<String> =
            self.interfaces.iter().map(|served| format!("xdp {}", served.result)).collect();
        let addresses = self.bound.len() + self.http.endpoints().len();
        let interfaces =
            if interfaces.is_empty() { "sockets alone".to_owned() } else { interfaces.join(", ") };
        format!("serving {addresses} addresses, {interfaces}")
    }

    /// The main loop.
    fn serve(
        &mut self,
        events: &Receiver<Event>,
        log: &Log,
        reread: &dyn Fn() -> anyhow::Result<Config>,
    ) -> anyhow::Result<()> {
        let mut look_at_addresses = Instant::now() + ADDRESSES_EVERY;
        loop {
            self.service_manager.alive(self.writer.rounds());
            let next =
                self.service_manager.next().map_or(look_at_addresses, |next| next.min(look_at_addresses));
            match events.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(Event::Stop(signal)) => {
                    tracing::info!("{signal}: stopping");
                    return Ok(());
                }
                Ok(Event::Reload(signal)) => {
                    tracing::info!("{signal}: reloading lists, certificate and log level");
                    self.service_manager.reloading();
                    self.reload_log_level(log, reread());
                    self.reload();
                    self.service_manager.ready(&self.status());
                }
                Ok(Event::Request(request, reply)) => {
                    // A client that has gone away needs no answer.
                    let _gone = reply.send(self.answer(request));
                }
                Ok(Event::Read(reply)) => {
                    let _gone = reply.send(self.readings());
                }
                Ok(Event::Failed(reason)) => bail!(reason),
                Err(RecvTimeoutError::Timeout) if Instant::now() < look_at_addresses => {}
                Err(RecvTimeoutError::Timeout) => {
                    look_at_addresses = Instant::now() + ADDRESSES_EVERY;
                    self.refresh_endpoints();
                }
                Err(RecvTimeoutError::Disconnected) => bail!("all threads have ended"),
            }
        }
    }

    /// Detaches, removes pins and control socket, ends the workers; the writer goes last, with what all of them have emitted.
    fn stop(self) {
        self.service_manager.stopping();
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(kernel) = self.kernel {
            kernel.detach();
        }
        drop(self.control);
        self.surveyor.stop();
        self.http.stop();
        for worker in self.workers {
            if worker.join().is_err() {
                tracing::error!("a socket worker panicked");
            }
        }
        self.writer.stop();
    }

    /// Takes the log's level from the configuration that was read again, and names what else is new in it.
    fn reload_log_level(&mut self, log: &Log, reread: anyhow::Result<Config>) {
        let new = match reread {
            Ok(new) => new,
            Err(error) => return tracing::error!("{error:#}; the configuration stays as it was"),
        };
        if new.log_level != self.config.log_level {
            match log.set_level(new.log_level) {
                Ok(()) => self.config.log_level = new.log_level,
                Err(error) => tracing::error!("{error:#}; it stays as it was"),
            }
        }
        // Where the level could not be taken, the line above says so: a restart is not what it needs.
        let mut changed = self.config.changed_keys(&new);
        changed.retain(|key| key != "log_level");
        if !changed.is_empty() {
            tracing::warn!("needs a restart: {}", changed.join(", "));
        }
    }

    fn reload(&mut self) {
        let program = program(&mut self.kernel, &self.config, &self.lists, &self.limits);
        for result in self.lists.reload(program) {
            match result {
                Ok(sentence) => tracing::info!("{sentence}"),
                Err(error) => tracing::error!("{error:#}; the list stays as it was"),
            }
        }
        self.lists_changed();
        match self.http.reload_certificate() {
            Some(Ok(sentence)) => tracing::info!("tls: {sentence}"),
            Some(Err(error)) => tracing::error!("tls: {error:#}; the certificate stays as it was"),
            None => {}
        }
    }

    /// The torrents that were tracked follow the lists.
    fn lists_changed(&self) {
        self.http.drop_denied(&self.lists.access());
        self.writer.drop_denied(self.lists.access());
    }

    fn answer(&mut self, request: Request) -> Answer {
        let answered = match request {
            Request::Stats => Ok(Answer::Now(Response::Stats(Box::new(self.stats())))),
            Request::Torrent { hash } => self.torrent(&hash),
            Request::Top { torrents } => Ok(self.largest_swarms(torrents)),
            Request::Limit(change) => self.limit(change).map(Answer::Now),
            request => self.answer_about_lists(request),
        };
        answered.unwrap_or_else(|error| Answer::Now(Response::Error(format!("{error:#}"))))
    }

    fn limit(&mut self, change: Change) -> anyhow::Result<Response> {
        let words = self.limits.change(change, |limits| match &mut self.kernel {
            Some(kernel) => kernel.set_settings(&in_kernel::settings(&self.config, &self.lists, limits)),
            None => Ok(()),
        })?;
        Ok(Response::Done(words))
    }

    fn answer_about_lists(&mut self, request: Request) -> anyhow::Result<Answer> {
        let lock = self.lists.lock();
        let program = program(&mut self.kernel, &self.config, &self.lists, &self.limits);
        let (changed, answer) = self.lists.answer(request, program)?;
        drop(lock);
        if changed {
            self.lists_changed();
        }
        Ok(answer)
    }

    fn torrent(&self, hash: &str) -> anyhow::Result<Answer> {
        let info_hash = parse_info_hash(hash)?;
        let counts = self.writer.reader().scrape(&info_hash);
        let counts = SwarmCounts::new(&info_hash, counts, &self.lists.access());
        Ok(Answer::Now(Response::Torrents(vec![counts])))
    }

    fn largest_swarms(&self, torrents: u32) -> Answer {
        let (reader, access) = (self.writer.reader(), self.lists.access());
        Answer::Later(Box::new(move || {
            let largest = swarms::largest(reader.torrents(), torrents as usize);
            let counts = |(info_hash, counts)| SwarmCounts::new(&info_hash, counts, &access);
            Response::Torrents(largest.into_iter().map(counts).collect())
        }))
    }

    fn stats(&self) -> Stats {
        self.stats_of(self.kernel_counters().as_ref(), &self.socket_counters())
    }

    fn kernel_counters(&self) -> Option<Counters> {
        self.kernel.as_ref().map(Kernel::counters).transpose().unwrap_or_else(|error| {
            tracing::error!("{error:#}");
            None
        })
    }

    fn socket_counters(&self) -> Counters {
        let mut sockets = Counters::ZERO;
        for tally in &self.tallies {
            sockets.add(&tally.counters());
        }
        sockets
    }

    fn readings(&self) -> Readings {
        let (kernel, sockets) = (self.kernel_counters(), self.socket_counters());
        let mut software = self.writer.software();
        software.extend(self.http.software());
        Readings {
            stats: self.stats_of(kernel.as_ref(), &sockets),
            kernel,
            sockets,
            totals: self.writer.reader().totals(),
            writer: self.writer.readings(),
            http: self.http.counts(),
            webtorrent: self.http.webtorrent_counts(),
            software,
            survey: self.surveyor.latest(),
        }
    }

    fn stats_of(&self, kernel: Option<&Counters>, sockets: &Counters) -> Stats {
        Stats {
            uptime_s: self.started.elapsed().as_secs(),
            interfaces: self.interfaces.iter().map(|served| served.result.clone()).collect(),
            kernel: kernel.map(stats::by_name).unwrap_or_default(),
            sockets: stats::by_name(sockets),
            answers_refused: self.tallies.iter().map(|tally| tally.answers_refused()).sum(),
            http: self.http.numbers(),
            webtorrent: self.http.webtorrent_numbers(),
            swarm: self.writer.numbers(),
            access_list: self.lists.access_stats(),
            blocked_networks: self.lists.blocked_networks(),
        }
    }

    fn refresh_endpoints(&mut self) {
        let Some(kernel) = &mut self.kernel else { return };
        let attached: Vec<u32> = self.interfaces.iter().map(|served| served.interface.index).collect();
        let endpoints = in_kernel::concrete(&self.bound, in_kernel::local_addresses(), &attached);
        if endpoints == self.endpoints {
            return;
        }
        match kernel.set_endpoints(&Endpoints::new(endpoints.iter().copied())) {
            Ok(()) => {
                tracing::info!(
                    "the machine's addresses have changed: {} are served in the kernel",
                    endpoints.len()
                );
                self.endpoints = endpoints;
            }
            Err(error) => tracing::error!("{error:#}"),
        }
    }
}

/// The program, if there is one, for a change of lists.
fn program<'a>(
    kernel: &'a mut Option<Kernel>,
    config: &Config,
    lists: &Lists,
    limits: &LimitKeeper,
) -> Option<Program<'a>> {
    let settings = in_kernel::settings(config, lists, limits.current());
    kernel.as_mut().map(|kernel| Program::new(kernel, settings))
}

/// Listens on the control socket. A tracker without one still tracks, but two trackers on one socket are an error.
fn listen(config: &Config, identity: &Identity) -> anyhow::Result<Result<control::Listener, String>> {
    let socket = &config.control.socket;
    let directory = socket.parent().filter(|directory| !directory.exists());
    match control::Listener::bind(socket) {
        Ok(listener) => {
            identity.own(socket)?;
            if let Some(directory) = directory {
                // Else the socket couldn't be removed at the end.
                identity.own(directory)?;
            }
            Ok(Ok(listener))
        }
        Err(error) if error.downcast_ref::<io::Error>().is_some() => {
            tracing::warn!("{error:#}; `tracker-user map` won't work; choose a writable path with --control");
            Ok(Err(format!("{error:#}")))
        }
        Err(error) => Err(error),
    }
}
