//! Metrics: the text by promtool, then scraped and queried by a real Prometheus, with the dashboard's and the alerts' expressions.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tracker_testkit::answer::Answer;
use tracker_testkit::client::Client;
use tracker_testkit::daemon::{Configuration, Daemon, Home};
use tracker_testkit::payload::Announce;
use tracker_testkit::skip::{Requirement, must_skip};

#[cfg(feature = "xdp")]
use crate::wired::Wired;
use crate::{HASH, HASH_TEXT, OTHER, client, http, on_loopback, running};

const PROMTOOL: Requirement = Requirement::Program("promtool");
const PROMETHEUS: Requirement = Requirement::Program("prometheus");

const TABLE: &str = "[metrics]\nlisten = [\"127.0.0.1:0\"]\nsurvey_interval_s = 1\n";

fn configuration() -> Configuration {
    let sockets =
        Configuration { addresses: vec!["127.0.0.1:0".into(), "[::1]:0".into()], ..on_loopback("off", "") };
    Configuration { more: TABLE.to_owned(), ..sockets.with_http(&["http://127.0.0.1:0"]) }
}

fn address(daemon: &Daemon) -> SocketAddr {
    let told =
        daemon.told().iter().find_map(|line| line.strip_prefix("metrics http://")?.strip_suffix("/metrics"));
    told.expect("metrics are on").parse().expect("an address")
}

/// Status line and headers, and the body.
fn get(address: SocketAddr, path: &str) -> (String, String) {
    let answer = http::get(address, path);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.to_owned(), body.to_owned())
}

fn metrics(address: SocketAddr) -> String {
    let (head, body) = get(address, "/metrics");
    assert!(head.starts_with("HTTP/1.0 200") && head.contains("text/plain; version=0.0.4"), "{head}");
    body
}

/// The value of a sample, as the text has name and labels.
fn value(text: &str, sample: &str) -> f64 {
    let found = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {sample} in\n{text}")).parse().expect("a number")
}

fn announce(client: &Client, info_hash: [u8; 20], peer_id: &[u8; 20]) {
    let answer = client.announce(&Announce { info_hash, peer_id: *peer_id, ..Announce::default() });
    assert!(matches!(answer, Answer::Announce { .. }), "{answer:?}");
}

#[test]
fn metrics_count_what_was_asked_and_promtool_has_nothing_to_complain_about() {
    if must_skip(&[PROMTOOL]) {
        return;
    }
    let (home, daemon) = running(&configuration());
    let v6 = Client::new(None, daemon.address(true));
    announce(&client(&daemon), HASH, b"-qB5000-abcdefghijkl");
    announce(&v6, HASH, b"-TR3000-abcdefghijkl");
    announce(&v6, OTHER, b"nobody knows this 1.");
    let http = daemon.http_address("http", false);
    let query = "/announce?info_hash=%ab%ab%ab%ab%ab%ab%ab%ab%ab%ab%ab%ab%ab%ab%ab%ab%ab%ab%ab%ab&port=1&peer_id=A2-1-36-0-abcdefghij";
    assert!(get(http, query).0.starts_with("HTTP/1.0 200"));
    assert!(get(http, "/nowhere").0.starts_with("HTTP/1.0 404"));
    let at = address(&daemon);
    let text = daemon.eventually("all is applied and counted", || {
        let text = metrics(at);
        let peers = value(&text, "tracker_torrent_peers_sum{family=\"ipv6\"}");
        (value(&text, "tracker_events_applied_total{source=\"socket\"}") == 4.0 && peers == 2.0)
            .then_some(text)
    });
    for (sample, expected) in [
        ("tracker_requests_total{protocol=\"udp\",action=\"connect\",family=\"ipv4\",place=\"socket\"}", 1.0),
        (
            "tracker_requests_total{protocol=\"udp\",action=\"announce\",family=\"ipv6\",place=\"socket\"}",
            2.0,
        ),
        ("tracker_answers_total{protocol=\"udp\",action=\"announce\",family=\"ipv4\",place=\"socket\"}", 1.0),
        (
            "tracker_answers_total{protocol=\"http\",action=\"announce\",family=\"ipv4\",place=\"socket\"}",
            1.0,
        ),
        (
            "tracker_errors_total{protocol=\"http\",reason=\"not_found\",family=\"ipv4\",place=\"socket\"}",
            1.0,
        ),
        ("tracker_announces_by_software_total{software=\"qBittorrent\"}", 1.0),
        ("tracker_announces_by_software_total{software=\"Transmission\"}", 1.0),
        ("tracker_announces_by_software_total{software=\"aria2\"}", 1.0),
        ("tracker_announces_by_software_total{software=\"other\"}", 1.0),
        ("tracker_torrents", 2.0),
        ("tracker_peers{family=\"ipv4\",kind=\"leecher\"}", 2.0),
        ("tracker_peers{family=\"ipv6\",kind=\"leecher\"}", 2.0),
        ("tracker_torrent_peers_count{family=\"ipv6\"}", 2.0),
        ("tracker_torrent_peers_bucket{family=\"ipv4\",le=\"1\"}", 0.0),
        ("tracker_torrent_peers_bucket{family=\"ipv4\",le=\"2\"}", 1.0),
        ("tracker_events_lost_total", 0.0),
        ("tracker_http_connections_total{event=\"accepted\"}", 2.0),
        ("tracker_access_list_torrents{mode=\"off\"}", 0.0),
    ] {
        assert_eq!(value(&text, sample), expected, "{sample}");
    }
    assert!(value(&text, "process_resident_memory_bytes") > 1e6);
    assert!(value(&text, "tracker_table_memory_bytes") > 0.0);
    assert!(value(&text, "tracker_writer_lag_seconds_count") >= 1.0);
    let mut promtool = Command::new("promtool");
    let child = promtool
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = child.spawn().expect("it is there");
    child.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "{said}");

    assert!(get(at, "/").0.starts_with("HTTP/1.0 404"));
    home.told(&["map", "access", "add", HASH_TEXT]);
    assert_eq!(value(&metrics(at), "tracker_access_list_torrents{mode=\"off\"}"), 1.0);
    daemon.stop_well();
}

#[cfg(feature = "xdp")]
#[test]
fn what_the_kernel_answers_is_counted_by_family_and_verdict() {
    if must_skip(&[Requirement::Root, Requirement::Bpf]) {
        return;
    }
    let wired = Wired::new("off", "");
    wired
        .set("[metrics]\nlisten = []", &TABLE.replace("127.0.0.1", tracker_testkit::netns::Cable::SERVER_V4));
    let daemon = wired.start();
    announce(&wired.client(&daemon), HASH, b"-lt0D80-abcdefghijkl");
    wired.applied(&daemon, 1);
    let at = address(&daemon);
    let text = wired.cable.client.inside(|| metrics(at));
    for (sample, expected) in [
        (
            "tracker_requests_total{protocol=\"udp\",action=\"announce\",family=\"ipv4\",place=\"kernel\"}",
            1.0,
        ),
        (
            "tracker_requests_total{protocol=\"udp\",action=\"announce\",family=\"ipv4\",place=\"socket\"}",
            0.0,
        ),
        ("tracker_xdp_packets_total{verdict=\"announce\",class=\"answer\",family=\"ipv4\"}", 1.0),
        ("tracker_xdp_packets_total{verdict=\"announce\",class=\"answer\",family=\"ipv6\"}", 0.0),
        ("tracker_xdp_info{interface=\"server\",mode=\"native\"}", 1.0),
        ("tracker_announces_by_software_total{software=\"rTorrent\"}", 1.0),
        ("tracker_event_ring_used_bytes", 0.0),
        ("tracker_event_ring_size_bytes", 4_194_304.0),
    ] {
        let sample = sample.replace(
            "interface=\"server\"",
            &format!("interface=\"{}\"", tracker_testkit::netns::Cable::SERVER_INTERFACE),
        );
        assert_eq!(value(&text, &sample), expected, "{sample}");
    }
    daemon.stop_well();
}

#[test]
fn torrents_are_exported_to_a_file() {
    let home = crate::home();
    let path = home.path("torrents.tsv");
    let more = format!("[export]\npath = {path:?}\ninterval_s = 1\n");
    home.configure(&Configuration { more, ..on_loopback("off", "") });
    let daemon = home.start(None);
    announce(&client(&daemon), HASH, b"-qB5000-abcdefghijkl");
    daemon.eventually("the torrent is exported", || {
        let text = fs::read_to_string(&path).unwrap_or_default();
        (text == format!("ipv4\t{HASH_TEXT}\t0\t1\t0\n")).then_some(())
    });
    daemon.stop_well();
    let left = fs::read_dir(home.path(".")).expect("it is there").flatten();
    let left: Vec<_> =
        left.filter(|entry| entry.file_name().to_string_lossy().contains(".tracker-")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A Prometheus that scrapes one tracker every second, killed on drop.
struct Prometheus {
    child: Child,
    address: SocketAddr,
}

fn packaged(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(name)
}

impl Prometheus {
    fn start(home: &Home, tracker: SocketAddr) -> Self {
        // Prometheus can't be asked for a free port.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("a free port");
        home.write(
            "prometheus.yml",
            &format!(
                "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{:?}]\n\
                 scrape_configs: [{{job_name: tracker, static_configs: [{{targets: ['{tracker}']}}]}}]\n",
                packaged("prometheus-rules.yml")
            ),
        );
        let log = fs::File::create(home.path("prometheus.log")).expect("the directory is ours");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", home.path("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", home.path("prometheus").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("it is there");
        Self { child, address }
    }

    /// The samples of an instant query; `None` until it answers.
    fn query(&self, expression: &str) -> Option<Value> {
        if TcpStream::connect(self.address).is_err() {
            return None;
        }
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let (_, body) = get(self.address, &format!("/api/v1/query?query={encoded}"));
        let answer: Value = serde_json::from_str(&body).ok()?;
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        Some(answer["data"]["result"].clone())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The expressions of a dashboard's panels, with what stands for Grafana's variables.
fn expressions(panel: &Value, found: &mut Vec<String>) {
    match panel {
        Value::Object(map) => {
            if let Some(Value::String(expression)) = map.get("expr") {
                found.push(expression.replace("$__rate_interval", "10s").replace("$instance", ".*"));
            }
            map.values().for_each(|value| expressions(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[test]
fn a_real_prometheus_scrapes_and_understands_dashboard_and_alerts() {
    if must_skip(&[PROMETHEUS, PROMTOOL]) {
        return;
    }
    let (home, daemon) = running(&configuration());
    announce(&client(&daemon), HASH, b"-qB5000-abcdefghijkl");
    let prometheus = Prometheus::start(&home, address(&daemon));
    let log = || home.read("prometheus.log");
    daemon.eventually(&format!("Prometheus has the peer: {}", log()), || {
        let result = prometheus.query("sum(tracker_peers{family=\"ipv4\"})")?;
        (result[0]["value"][1] == "1").then_some(())
    });
    let up = prometheus.query("up{job=\"tracker\"}").expect("it answers");
    assert_eq!(up[0]["value"][1], "1", "{up}");
    // Rates need two scrapes.
    daemon.eventually("there is a rate", || {
        let result = prometheus.query("rate(tracker_requests_total[10s])")?;
        result.as_array().is_some_and(|samples| !samples.is_empty()).then_some(())
    });

    let rules =
        Command::new("promtool").args(["check", "rules"]).arg(packaged("prometheus-rules.yml")).output();
    let rules = rules.expect("it is there");
    assert!(rules.status.success(), "{}", String::from_utf8_lossy(&rules.stderr));
    let dashboard = fs::read_to_string(packaged("grafana-dashboard.json")).expect("it is there");
    let mut all = Vec::new();
    expressions(&serde_json::from_str(&dashboard).expect("JSON"), &mut all);
    assert!(all.len() >= 15, "{all:?}");
    let (_, rules) = get(prometheus.address, "/api/v1/rules");
    let rules: Value = serde_json::from_str(&rules).expect("JSON");
    let groups = rules["data"]["groups"].as_array().expect("groups");
    let alerts = groups.iter().flat_map(|group| group["rules"].as_array().expect("rules"));
    let alerts: Vec<&Value> = alerts.collect();
    assert!(alerts.len() >= 5, "{rules}");
    all.extend(alerts.iter().map(|alert| alert["query"].as_str().expect("an expression").to_owned()));
    // Each name in them is one that the tracker has; those of XDP need a program.
    let known = metrics(address(&daemon));
    let known: BTreeSet<&str> = known.lines().filter_map(|line| line.split([' ', '{']).next()).collect();
    for expression in &all {
        prometheus.query(expression).expect("it answers");
        for name in expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
            let of_xdp = name.starts_with("tracker_xdp_") || name.starts_with("tracker_event_ring_");
            if (name.starts_with("tracker_") || name.starts_with("process_")) && !of_xdp {
                assert!(known.contains(name), "{name} in {expression}");
            }
        }
    }
    // Nothing is wrong with this tracker.
    let firing = prometheus.query("ALERTS{alertstate=\"firing\"}").expect("it answers");
    assert_eq!(firing, Value::Array(Vec::new()));
    daemon.stop_well();
}
