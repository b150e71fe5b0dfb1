//! opentracker's configuration: a word and its value on each line.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use super::Translation;

/// Where it listens when nothing is said.
const PORT: u16 = 6969;

pub(super) fn translate(text: &str) -> Result<Translation, String> {
    let mut ours = Translation::default();
    let mut list: Option<(&str, PathBuf)> = None;
    let mut root: Option<&str> = None;
    let (mut udp, mut tcp) = (Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (word, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let value = value.trim();
        let place = |reason: String| format!("line {}: {word}: {reason}", index + 1);
        match word {
            "listen.tcp_udp" => {
                let address = address(value).map_err(place)?;
                udp.push(address);
                tcp.push(address);
            }
            "listen.tcp" => tcp.push(address(value).map_err(place)?),
            "listen.udp" => udp.push(address(value).map_err(place)?),
            "listen.udp.workers" => {
                let workers = value.parse().map_err(|_| place(format!("`{value}` is no number")))?;
                ours.set_within("udp.workers_per_address", word, workers, 0, 1024);
            }
            "access.whitelist" => list = Some(("allow", value.into())),
            "access.blacklist" => list = Some(("deny", value.into())),
            "access.proxy" => {
                ours.push("http.trusted_proxies", value);
                ours.set("http.proxy_header", "x-forwarded-for");
            }
            "tracker.user" => ours.set("privileges.user", value),
            "tracker.rootdir" => root = Some(value),
            _ => ours.leave_out(line, without(word)),
        }
    }
    if udp.is_empty() && tcp.is_empty() {
        let everywhere = SocketAddr::from(([0, 0, 0, 0], PORT));
        udp.push(everywhere);
        tcp.push(everywhere);
    }
    if udp.is_empty() {
        ours.note("this tracker speaks UDP, too, on udp.addresses: [\"0.0.0.0:6969\", \"[::]:6969\"] unless you change them");
    }
    for address in udp {
        ours.push("udp.addresses", &address.to_string());
    }
    if tcp.is_empty() {
        ours.set("http.listen", Vec::<toml::Value>::new());
    }
    for address in tcp {
        ours.push("http.listen", &format!("http://{address}"));
    }
    if let Some((mode, path)) = list {
        // Theirs are below the root directory.
        let path =
            root.map_or(path.clone(), |root| Path::new(root).join(path.strip_prefix("./").unwrap_or(&path)));
        ours.set("access_list.mode", mode);
        ours.set("access_list.path", path.display().to_string());
    }
    if let Some(root) = root {
        ours.leave_out(
            format!("tracker.rootdir {root}"),
            "privileges.chroot takes a directory with everything that the tracker reads and writes below it; the lists are named by whole paths here",
        );
    }
    Ok(ours)
}

/// Why a word has no counterpart.
fn without(word: &str) -> &'static str {
    match word {
        "access.stats" | "access.stats_path" => {
            "see the table [metrics], `tracker-user map stats` and `map top`"
        }
        "tracker.redirect_url" => "nothing is served at /",
        _ if word.starts_with("livesync.") || word.starts_with("batchsync.") => {
            "trackers don't share their peers"
        }
        _ => "unknown",
    }
}

/// An address with or without a port.
fn address(text: &str) -> Result<SocketAddr, String> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    text.parse()
        .or_else(|_| bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT)))
        .map_err(|_| format!("`{text}` is no address"))
}
