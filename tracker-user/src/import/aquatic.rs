//! The three trackers of aquatic: their files look alike, and are told apart by keys that only one of them has.

use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};

use toml::{Table, Value};

use super::Translation;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Udp,
    Http,
    WebTorrent,
}

/// Keys without a counterpart, and why.
const WITHOUT: &[(&str, &str)] = &[
    ("swarm_workers", "one thread writes the swarm table, all others read it"),
    ("network.tcp_backlog", "as long as net.core.somaxconn allows"),
    ("network.poll_timeout_ms", "workers sleep until something comes"),
    (
        "network.resend_buffer_max_len",
        "answers that the kernel doesn't take are counted (tracker_udp_answers_refused_total)",
    ),
    ("network.use_io_uring", "sockets are read by recvmmsg"),
    ("network.ring_size", "sockets are read by recvmmsg"),
    ("network.websocket_max_message_size", "fixed"),
    ("network.websocket_max_frame_size", "fixed"),
    ("network.websocket_write_buffer_size", "see webtorrent.max_queue_bytes"),
    ("network.enable_http_health_checks", "/health is always answered"),
    ("network.reverse_proxy_ip_header_format", "the last address that no trusted proxy has"),
    ("cleaning.max_connection_age", "connection ids are valid for two to four minutes (BEP 15)"),
    ("cleaning.connection_cleaning_interval", "connections are closed when their time is up"),
    ("cleaning.max_offer_age", "answers are matched for two minutes"),
    ("cleaning.close_after_tls_update_grace_period", "a new certificate closes nothing"),
    ("statistics.interval", "metrics are as of when they are asked for"),
    ("statistics.torrent_peer_histograms", "always there: tracker_torrent_peers"),
    ("statistics.peer_clients", "always there: tracker_announces_by_software_total"),
    ("statistics.prometheus_peer_id_prefixes", "software is told apart by known names only"),
    ("statistics.print_to_stdout", "see `tracker-user map stats --watch`"),
    ("statistics.write_html_to_file", "see packaging/grafana-dashboard.json"),
    ("statistics.html_file_path", "see packaging/grafana-dashboard.json"),
    ("metrics.torrent_count_update_interval", "metrics are as of when they are asked for"),
    ("cpu_pinning", "let systemd do it (CPUAffinity=)"),
];

pub(super) fn translate(text: &str) -> Result<Translation, String> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| error.to_string().trim().to_owned())?;
    let mut theirs = Theirs { values: flat(&table) };
    let kind = theirs.kind();
    let mut ours = Translation::default();

    if let Some(level) = theirs.text("log_level")? {
        ours.set("log_level", level);
    }
    network(kind, &mut theirs, &mut ours)?;
    protocol(kind, &mut theirs, &mut ours)?;
    let chroot = privileges(&mut theirs, &mut ours)?;
    if let Some(mode) = theirs.text("access_list.mode")? {
        ours.set("access_list.mode", mode.as_str());
        // Without a list there is no need for its file.
        let path = theirs.text("access_list.path")?.filter(|_| mode != "off");
        if let Some(path) = path {
            ours.set("access_list.path", inside(chroot.as_deref(), &path));
        }
    }
    let prefix = if kind == Kind::Udp { "statistics" } else { "metrics" };
    let is_on = theirs.switch(&format!("{prefix}.run_prometheus_endpoint"))?.unwrap_or_default();
    if let Some(address) = theirs.text(&format!("{prefix}.prometheus_endpoint_address"))?.filter(|_| is_on) {
        ours.push("metrics.listen", &address);
    }
    for (key, value) in theirs.values {
        let reason = WITHOUT.iter().find(|(known, _)| key == *known || key.starts_with(&format!("{known}.")));
        ours.leave_out(format!("{key} = {value}"), reason.map_or("unknown", |(_, reason)| *reason));
    }
    Ok(ours)
}

fn network(kind: Kind, theirs: &mut Theirs, ours: &mut Translation) -> Result<(), String> {
    let address = theirs.text("network.address")?.unwrap_or_else(|| "0.0.0.0:3000".to_owned());
    let address: SocketAddr =
        address.parse().map_err(|_| format!("network.address: `{address}` is no address with a port"))?;
    let only_ipv6 = theirs.switch("network.only_ipv6")?.unwrap_or_default();
    let mut addresses = vec![address];
    if address.is_ipv6() && address.ip().is_unspecified() && !only_ipv6 {
        // One of their sockets has both families.
        addresses.push(SocketAddr::from(([0, 0, 0, 0], address.port())));
    }
    let workers = theirs.number("socket_workers")?;
    if kind == Kind::Udp {
        for address in addresses {
            ours.push("udp.addresses", &address.to_string());
        }
        if let Some(workers) = workers {
            ours.set_within("udp.workers_per_address", "socket_workers", workers, 0, 1024);
        }
        if let Some(bytes) = theirs.number("network.socket_recv_buffer_size")? {
            let most = i64::from(i32::MAX);
            ours.set_within("udp.receive_buffer_bytes", "network.socket_recv_buffer_size", bytes, 0, most);
        }
        ours.set("http.listen", Vec::<Value>::new());
        return Ok(());
    }
    ours.note("this tracker speaks UDP, too, on udp.addresses: [\"0.0.0.0:6969\", \"[::]:6969\"] unless you change them");
    let tls = theirs.switch("network.enable_tls")?.unwrap_or_default();
    for address in addresses {
        ours.push("http.listen", &format!("{}://{address}", if tls { "https" } else { "http" }));
    }
    if let Some(workers) = workers {
        ours.set_within("http.workers", "socket_workers", workers, 0, 1024);
    }
    for (from, to) in [
        ("network.tls_certificate_path", "tls.certificate"),
        ("network.tls_private_key_path", "tls.private_key"),
    ] {
        if let Some(path) = theirs.text(from)?.filter(|_| tls) {
            ours.set(to, path);
        }
    }
    if theirs.switch("network.keep_alive")? == Some(false) {
        ours.leave_out("network.keep_alive = false", "connections live until http.idle_timeout_s");
    }
    let behind_proxy = theirs.switch("network.runs_behind_reverse_proxy")?.unwrap_or_default();
    let header = theirs.text("network.reverse_proxy_ip_header_name")?;
    if behind_proxy {
        ours.push("http.trusted_proxies", "127.0.0.1");
        ours.push("http.trusted_proxies", "::1");
        ours.note(
            "http.trusted_proxies: only a proxy on this machine is believed; add the address of another one",
        );
        match header.map(|name| name.to_ascii_lowercase()) {
            Some(name) if ["x-forwarded-for", "x-real-ip", "forwarded"].contains(&name.as_str()) => {
                ours.set("http.proxy_header", name);
            }
            Some(name) => ours.leave_out(
                format!("network.reverse_proxy_ip_header_name = {name:?}"),
                "X-Forwarded-For, X-Real-IP and Forwarded are known",
            ),
            None => {}
        }
    }
    Ok(())
}

fn protocol(kind: Kind, theirs: &mut Theirs, ours: &mut Translation) -> Result<(), String> {
    let interval = "protocol.peer_announce_interval";
    if let Some(seconds) = theirs.number(interval)? {
        match kind {
            Kind::WebTorrent => ours.set_within("webtorrent.interval_s", interval, seconds, 30, 86_400),
            _ => ours.set_within("protocol.interval_s", interval, seconds, 60, 16_080),
        }
    }
    if let Some(torrents) = theirs.number("protocol.max_scrape_torrents")? {
        let ours_key = "protocol.max_scrape_torrents";
        ours.set_within(ours_key, ours_key, torrents, 1, 100);
    }
    for key in ["protocol.max_response_peers", "protocol.max_peers"] {
        if let Some(peers) = theirs.number(key)? {
            ours.set_within("protocol.max_response_peers", key, peers, 1, 230);
        }
    }
    if let Some(offers) = theirs.number("protocol.max_offers")? {
        ours.set_within("webtorrent.max_offers", "protocol.max_offers", offers, 1, 100);
    }
    if let Some(seconds) = theirs.number("cleaning.torrent_cleaning_interval")? {
        ours.set_within("swarm.cleaning_interval_s", "cleaning.torrent_cleaning_interval", seconds, 1, 600);
    }
    if let Some(seconds) = theirs.number("cleaning.max_peer_age")? {
        match kind {
            Kind::WebTorrent => ours.leave_out(
                format!("cleaning.max_peer_age = {seconds}"),
                "a peer leaves with its connection, or after two intervals and ten minutes",
            ),
            _ => ours.set("protocol.peer_lifetime_s", seconds.clamp(1, 32_760)),
        }
    }
    if let Some(seconds) = theirs.number("cleaning.max_connection_idle")? {
        let key = if kind == Kind::WebTorrent { "webtorrent.idle_timeout_s" } else { "http.idle_timeout_s" };
        ours.set_within(key, "cleaning.max_connection_idle", seconds, 1, 3600);
    }
    Ok(())
}

/// User, group and the directory that became the root.
fn privileges(theirs: &mut Theirs, ours: &mut Translation) -> Result<Option<PathBuf>, String> {
    let drop = theirs.switch("privileges.drop_privileges")?.unwrap_or_default();
    let [user, group, chroot] =
        ["user", "group", "chroot_path"].map(|key| theirs.text(&format!("privileges.{key}")));
    let (user, group, chroot) = (user?, group?, chroot?);
    if !drop {
        return Ok(None);
    }
    ours.set("privileges.user", user.unwrap_or_else(|| "nobody".to_owned()));
    ours.set("privileges.group", group.unwrap_or_else(|| "nogroup".to_owned()));
    let chroot = PathBuf::from(chroot.unwrap_or_else(|| ".".to_owned()));
    if !chroot.is_absolute() {
        ours.leave_out(
            format!("privileges.chroot_path = {chroot:?}"),
            "privileges.chroot is an absolute path, with everything that the tracker reads and writes below it",
        );
        return Ok(None);
    }
    ours.set("privileges.chroot", path_text(&chroot));
    ours.set("state_directory", path_text(&chroot.join("state")));
    ours.note(
        "paths are written as they are outside of privileges.chroot; certificates have to be below it, too",
    );
    Ok(Some(chroot))
}

/// Their path is one inside of the chroot.
fn inside(chroot: Option<&Path>, path: &str) -> String {
    let Some(chroot) = chroot else { return path.to_owned() };
    let relative: PathBuf =
        Path::new(path).components().filter(|part| matches!(part, Component::Normal(_))).collect();
    path_text(&chroot.join(relative))
}

fn path_text(path: &Path) -> String {
    path.display().to_string()
}

/// Their settings that nobody has looked at yet.
struct Theirs {
    values: Vec<(String, Value)>,
}

impl Theirs {
    fn kind(&self) -> Kind {
        let has = |keys: &[&str]| keys.iter().any(|key| self.values.iter().any(|(known, _)| known == key));
        if has(&["protocol.max_offers", "network.websocket_max_message_size", "cleaning.max_offer_age"]) {
            Kind::WebTorrent
        } else if has(&[
            "network.keep_alive",
            "protocol.max_peers",
            "network.runs_behind_reverse_proxy",
            "network.enable_tls",
        ]) {
            Kind::Http
        } else {
            Kind::Udp
        }
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        let at = self.values.iter().position(|(known, _)| known == key)?;
        Some(self.values.remove(at).1)
    }

    fn text(&mut self, key: &str) -> Result<Option<String>, String> {
        match self.take(key) {
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(format!("{key} = {other} is no string")),
            None => Ok(None),
        }
    }

    fn number(&mut self, key: &str) -> Result<Option<i64>, String> {
        match self.take(key) {
            Some(Value::Integer(number)) => Ok(Some(number)),
            Some(other) => Err(format!("{key} = {other} is no number")),
            None => Ok(None),
        }
    }

    fn switch(&mut self, key: &str) -> Result<Option<bool>, String> {
        match self.take(key) {
            Some(Value::Boolean(on)) => Ok(Some(on)),
            Some(other) => Err(format!("{key} = {other} is neither true nor false")),
            None => Ok(None),
        }
    }
}

/// Keys of tables as `table.key`.
fn flat(table: &Table) -> Vec<(String, Value)> {
    let mut values = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => {
                values.extend(flat(inner).into_iter().map(|(name, value)| (format!("{key}.{name}"), value)));
            }
            _ => values.push((key.clone(), value.clone())),
        }
    }
    values
}
