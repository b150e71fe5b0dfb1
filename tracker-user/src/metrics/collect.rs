//! Which metric each number is, by the naming conventions of Prometheus.

use std::collections::BTreeMap;

use prometheus::core::Collector as _;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use tracker_common::counters::{Counters, IpVersion};
use tracker_common::verdict::{Class, Verdict};

use super::family::Families;
use super::readings::{LAG_BOUNDS, Readings};
use super::requests::{OfHttp, OfWebTorrent, Outcome, Request, of_http, of_verdict, of_webtorrent};
use crate::survey::PEER_BOUNDS;

const IPV4: &str = "ipv4";
const IPV6: &str = "ipv6";
const KERNEL: &str = "kernel";
const SOCKET: &str = "socket";

/// All metrics.
pub(super) fn collect(readings: &Readings) -> Vec<MetricFamily> {
    let mut families = Families::default();
    families
        .gauges("tracker_build_info", "Version of the tracker; the value is 1.")
        .add(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    families.gauge("tracker_uptime_seconds", "Time since the start.", readings.stats.uptime_s as f64);
    requests(&mut families, readings);
    packets(&mut families, readings);
    swarms(&mut families, readings);
    writer(&mut families, readings);
    http(&mut families, readings);
    webtorrent(&mut families, readings);
    lists(&mut families, readings);
    // Empty where there is no /proc.
    families.extend(ProcessCollector::for_self().collect());
    families.finish()
}

/// protocol, action or reason, family, place
type Key = [&'static str; 4];

/// Requests, answers, errors and drops of all protocols.
#[derive(Default)]
struct Requests {
    requests: BTreeMap<Key, u64>,
    answers: BTreeMap<Key, u64>,
    errors: BTreeMap<Key, u64>,
    drops: BTreeMap<Key, u64>,
}

impl Requests {
    fn add(&mut self, protocol: &'static str, request: Request, place: &'static str, v4: u64, v6: u64) {
        for (family, number) in [(IPV4, v4), (IPV6, v6)] {
            let Request { action, outcome } = request;
            let count = |map: &mut BTreeMap<Key, u64>, word| {
                *map.entry([protocol, word, family, place]).or_default() += number;
            };
            count(&mut self.requests, action);
            match outcome {
                Outcome::Answered => count(&mut self.answers, action),
                Outcome::Refused(reason) => {
                    count(&mut self.answers, "error");
                    count(&mut self.errors, reason);
                }
                Outcome::Dropped(reason) => count(&mut self.drops, reason),
            }
        }
    }

    fn add_packets(&mut self, counters: &Counters, place: &'static str) {
        for verdict in Verdict::ALL {
            if let Some(request) = of_verdict(verdict) {
                let [v4, v6] =
                    [IpVersion::V4, IpVersion::V6].map(|version| counters.of_version(version, verdict));
                self.add("udp", request, place, v4, v6);
            }
        }
    }
}

fn requests(families: &mut Families, readings: &Readings) {
    let mut all = Requests::default();
    if let Some(counters) = &readings.kernel {
        all.add_packets(counters, KERNEL);
    }
    all.add_packets(&readings.sockets, SOCKET);
    for (counter, count) in &readings.http {
        if let OfHttp::Request(request) = of_http(*counter) {
            all.add("http", request, SOCKET, count.all.saturating_sub(count.v6), count.v6);
        }
    }
    for (signal, count) in &readings.webtorrent {
        let (action, is_request) = match of_webtorrent(*signal) {
            OfWebTorrent::In(kind) => (if kind == "invalid" { "unknown" } else { kind }, true),
            OfWebTorrent::Out(kind @ ("announce" | "scrape" | "error")) => (kind, false),
            _ => continue,
        };
        let map = if is_request { &mut all.requests } else { &mut all.answers };
        for (family, number) in [(IPV4, count.all.saturating_sub(count.v6)), (IPV6, count.v6)] {
            *map.entry(["webtorrent", action, family, SOCKET]).or_default() += number;
        }
    }
    for (map, name, help, word) in [
        (&all.requests, "tracker_requests_total", "Requests; place is where they were dealt with.", "action"),
        (&all.answers, "tracker_answers_total", "Answers that were sent, errors included.", "action"),
        (&all.errors, "tracker_errors_total", "Requests that were answered with an error.", "reason"),
        (&all.drops, "tracker_drops_total", "Requests that got no answer.", "reason"),
    ] {
        let mut samples = families.counters(name, help);
        for ([protocol, value, family, place], number) in map {
            let labels = [("protocol", *protocol), (word, *value), ("family", *family), ("place", *place)];
            samples.add(&labels, *number as f64);
        }
    }
}

fn packets(families: &mut Families, readings: &Readings) {
    let mut samples = families.gauges("tracker_xdp_info", "How interfaces are served; the value is 1.");
    for interface in &readings.stats.interfaces {
        samples.add(&[("interface", &interface.name), ("mode", &interface.mode)], 1.0);
    }
    let mut samples =
        families.counters("tracker_xdp_packets_total", "Packets in the XDP program, by verdict.");
    if let Some(counters) = &readings.kernel {
        for verdict in Verdict::ALL {
            let class = match verdict.class() {
                Class::Answer => "answer",
                Class::Pass => "pass",
                Class::Drop => "drop",
            };
            for (version, family) in [(IpVersion::V4, IPV4), (IpVersion::V6, IPV6), (IpVersion::None, "none")]
            {
                let labels = [("verdict", verdict.name()), ("class", class), ("family", family)];
                samples.add(&labels, counters.of_version(version, verdict) as f64);
            }
        }
    }
    families.counter(
        "tracker_udp_answers_refused_total",
        "Answers of the UDP sockets that the kernel didn't send.",
        readings.stats.answers_refused,
    );
}

fn swarms(families: &mut Families, readings: &Readings) {
    let totals = &readings.totals;
    families.gauge("tracker_torrents", "Torrents in the swarm table.", totals.torrents as f64);
    let mut samples = families.gauges("tracker_peers", "Peers in the swarm table.");
    let leechers_v6 = totals.peers_v6.saturating_sub(totals.seeders_v6);
    for (family, kind, number) in [
        (IPV4, "seeder", totals.seeders.saturating_sub(totals.seeders_v6)),
        (IPV4, "leecher", totals.leechers.saturating_sub(leechers_v6)),
        (IPV6, "seeder", totals.seeders_v6),
        (IPV6, "leecher", leechers_v6),
    ] {
        samples.add(&[("family", family), ("kind", kind)], number as f64);
    }
    families.gauge(
        "tracker_partial_seeds",
        "Leechers that want nothing more (BEP 21).",
        totals.partial_seeds as f64,
    );
    let mut samples =
        families.histograms("tracker_torrent_peers", "Peers of a torrent, of those that have any.");
    for (family, found) in [IPV4, IPV6].into_iter().zip(&readings.survey.families) {
        samples.add_histogram(&[("family", family)], &PEER_BOUNDS, &found.torrents, found.peers as f64);
    }
    families.gauge(
        "tracker_survey_age_seconds",
        "Time since the torrents were last counted for tracker_torrent_peers.",
        readings.survey.at.map_or(f64::NAN, |at| at.elapsed().as_secs_f64()),
    );
    families.counter("tracker_downloads_completed_total", "Downloads that were completed.", totals.completed);
    families.counter(
        "tracker_peers_expired_total",
        "Peers that didn't announce again in time.",
        totals.peers_expired,
    );
    let mut samples = families.counters(
        "tracker_announces_not_remembered_total",
        "Announces that were answered but found no room in the swarm table.",
    );
    for (limit, number) in [
        ("max_torrents", totals.refused_torrents),
        ("max_peers", totals.refused_peers),
        ("max_peers_per_torrent", totals.refused_peers_per_torrent),
        ("max_torrents_per_address", totals.refused_torrents_per_address),
        ("memory", totals.refused_memory),
    ] {
        samples.add(&[("limit", limit)], number as f64);
    }
    families.gauge("tracker_table_memory_bytes", "Memory of the swarm table.", totals.memory_bytes as f64);
    families.gauge("tracker_table_lines", "Lines and directories of peers in use.", totals.lines as f64);
    let mut by_name: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, number) in &readings.software {
        *by_name.entry(name).or_default() += number;
    }
    let mut samples = families
        .counters("tracker_announces_by_software_total", "Announces by the software that the peer id names.");
    for (name, number) in by_name {
        samples.add(&[("software", name)], number as f64);
    }
}

fn writer(families: &mut Families, readings: &Readings) {
    let writer = &readings.writer;
    let mut samples =
        families.counters("tracker_events_applied_total", "Announce events applied to the swarm table.");
    for (source, number) in [(KERNEL, writer.from_kernel), (SOCKET, writer.from_sockets)] {
        samples.add(&[("source", source)], number as f64);
    }
    families.counter(
        "tracker_events_lost_total",
        "Announce events that were lost since a queue to the writer was full.",
        writer.lost,
    );
    if let Some([used, size]) = writer.ring {
        families.gauge("tracker_event_ring_used_bytes", "Bytes of the event ring in use.", used as f64);
        families.gauge("tracker_event_ring_size_bytes", "Bytes of the event ring.", size as f64);
    }
    families
        .histograms(
            "tracker_writer_lag_seconds",
            "Time from an answer until its event is applied, of the oldest event of each round.",
        )
        .add_histogram(&[], &LAG_BOUNDS, &writer.lag.buckets, writer.lag.sum_ms as f64 / 1000.0);
}

fn http(families: &mut Families, readings: &Readings) {
    let counters = || readings.http.iter().map(|(counter, count)| (of_http(*counter), count.all as f64));
    let mut samples =
        families.counters("tracker_http_connections_total", "HTTP connections, by what happened to them.");
    for (of, number) in counters() {
        if let OfHttp::Connection(event) = of {
            samples.add(&[("event", event)], number);
        }
    }
    if let Some(open) = readings.stats.http.get("connections_open") {
        families.gauge("tracker_http_connections", "HTTP connections that are open.", *open as f64);
    }
    let mut samples = families.counters("tracker_tls_handshakes_total", "TLS handshakes, by their results.");
    for (of, number) in counters() {
        if let OfHttp::Handshake(result) = of {
            samples.add(&[("result", result)], number);
        }
    }
    for (of, number) in counters() {
        match of {
            OfHttp::Resumed => families
                .counters("tracker_tls_handshakes_resumed_total", "TLS handshakes that resumed a session.")
                .add(&[], number),
            OfHttp::AcceptErrors => families
                .counters("tracker_http_accept_errors_total", "Times that no connection could be accepted.")
                .add(&[], number),
            _ => {}
        }
    }
}

fn webtorrent(families: &mut Families, readings: &Readings) {
    let counters =
        || readings.webtorrent.iter().map(|(signal, count)| (of_webtorrent(*signal), count.all as f64));
    let mut samples = families.counters("tracker_webtorrent_messages_total", "Messages of WebTorrent.");
    for (of, number) in counters() {
        match of {
            OfWebTorrent::In(kind) => samples.add(&[("direction", "in"), ("kind", kind)], number),
            OfWebTorrent::Out(kind) => samples.add(&[("direction", "out"), ("kind", kind)], number),
            _ => {}
        }
    }
    let mut samples =
        families.counters("tracker_webtorrent_undelivered_total", "Offers and answers that reached nobody.");
    for (of, number) in counters() {
        if let OfWebTorrent::Undelivered(reason) = of {
            samples.add(&[("reason", reason)], number);
        }
    }
    let mut samples = families
        .counters("tracker_webtorrent_connections_total", "WebSocket connections, by what happened to them.");
    for (of, number) in counters() {
        if let OfWebTorrent::Connection(event) = of {
            samples.add(&[("event", event)], number);
        }
    }
    for (of, number) in counters() {
        if let OfWebTorrent::Expired = of {
            families
                .counters(
                    "tracker_webtorrent_peers_expired_total",
                    "Peers of WebTorrent that didn't announce again in time.",
                )
                .add(&[], number);
        }
    }
    for (key, name, help) in [
        ("connections_open", "tracker_webtorrent_connections", "WebSocket connections that are open."),
        ("torrents", "tracker_webtorrent_torrents", "Torrents of WebTorrent."),
        ("peers", "tracker_webtorrent_peers", "Peers of WebTorrent."),
        ("seeders", "tracker_webtorrent_seeders", "Seeders of WebTorrent."),
    ] {
        if let Some(number) = readings.stats.webtorrent.get(key) {
            families.gauge(name, help, *number as f64);
        }
    }
}

fn lists(families: &mut Families, readings: &Readings) {
    let access = &readings.stats.access_list;
    families
        .gauges("tracker_access_list_torrents", "Torrents in the access list.")
        .add(&[("mode", &access.mode.to_string())], access.torrents as f64);
    families.gauge(
        "tracker_blocked_networks",
        "Networks in the block list.",
        readings.stats.blocked_networks as f64,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples<'a>(families: &'a [MetricFamily], name: &str) -> &'a [prometheus::proto::Metric] {
        let family = families.iter().find(|family| family.name() == name);
        family.unwrap_or_else(|| panic!("no {name}")).get_metric()
    }

    #[test]
    fn packets_are_counted_by_protocol_action_family_and_place() {
        let mut kernel = Counters::ZERO;
        kernel.count(IpVersion::V6, Verdict::Announce);
        kernel.count(IpVersion::V4, Verdict::DropMagic);
        kernel.count(IpVersion::None, Verdict::PassOther);
        let families = collect(&Readings { kernel: Some(kernel), ..Readings::default() });
        let ones = |name| {
            let ones =
                samples(&families, name).iter().filter(|sample| sample.get_counter().get_value() == 1.0);
            ones.map(|sample| {
                sample.get_label().iter().map(|label| label.value()).collect::<Vec<_>>().join(" ")
            })
            .collect::<Vec<_>>()
        };
        assert_eq!(ones("tracker_requests_total"), ["udp announce ipv6 kernel", "udp connect ipv4 kernel"]);
        assert_eq!(ones("tracker_answers_total"), ["udp announce ipv6 kernel"]);
        assert_eq!(ones("tracker_drops_total"), ["udp magic ipv4 kernel"]);
        let all = ["announce answer ipv6", "pass_other pass none", "drop_magic drop ipv4"];
        assert_eq!(ones("tracker_xdp_packets_total"), all);
    }

    #[test]
    fn names_follow_the_conventions_and_none_comes_twice() {
        let families = collect(&Readings::default());
        let mut names: Vec<&str> = families.iter().map(MetricFamily::name).collect();
        for family in &families {
            let is_counter = family.get_field_type() == prometheus::proto::MetricType::COUNTER;
            assert_eq!(family.name().ends_with("_total"), is_counter, "{}", family.name());
            assert!(!family.help().is_empty());
        }
        names.sort_unstable();
        let len = names.len();
        names.dedup();
        assert_eq!(names.len(), len);
    }
}
