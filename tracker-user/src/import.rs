//! `tracker-user config import`: other trackers' configuration files as one of ours.
//!
//! What can be translated is; what can't, or means something else here, is listed with the reason, in comments above the result. The result is
//! checked before it is printed. Tests are below, on the files that those trackers come with.
//!
//! - `aquatic`: aquatic_udp, aquatic_http, aquatic_ws. `opentracker`: opentracker's lines.

use std::fmt::Write as _;

use toml::{Table, Value};

use crate::config::Config;

mod aquatic;
mod opentracker;

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// One of the three aquatic trackers.
    Aquatic,
    /// opentracker.
    Opentracker,
}

impl std::str::FromStr for From {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "aquatic" => Ok(Self::Aquatic),
            "opentracker" => Ok(Self::Opentracker),
            _ => Err(format!("`{name}` is none of: aquatic, opentracker")),
        }
    }
}

/// A configuration of ours.
#[derive(Debug)]
pub struct Imported {
    /// The text of the file.
    pub text: String,
    /// How many settings of the other one aren't in it.
    pub left_out: usize,
}

/// Translates the text of a file; `file` is what it is called.
///
/// # Errors
///
/// The text can't be read as such a file.
pub fn import(from: From, file: &str, text: &str) -> anyhow::Result<Imported> {
    let translation = match from {
        From::Aquatic => aquatic::translate(text),
        From::Opentracker => opentracker::translate(text),
    };
    let translation = translation.map_err(|reason| anyhow::anyhow!("{file}: {reason}"))?;
    translation.finish(file)
}

/// What is known of the result so far.
#[derive(Debug, Default)]
struct Translation {
    result: Table,
    notes: Vec<String>,
    left_out: usize,
}

impl Translation {
    /// Sets a key of ours, as `table.key`.
    fn set(&mut self, key: &str, value: impl Into<Value>) {
        let table = match key.split_once('.') {
            None => &mut self.result,
            Some((name, _)) => {
                let table = self.result.entry(name).or_insert_with(|| Table::new().into());
                let Value::Table(table) = table else { return };
                table
            }
        };
        table.insert(key.rsplit('.').next().unwrap_or(key).to_owned(), value.into());
    }

    /// Adds to a list of ours.
    fn push(&mut self, key: &str, value: &str) {
        let mut list = match self.get(key) {
            Some(Value::Array(list)) => list.clone(),
            _ => Vec::new(),
        };
        if !list.iter().any(|known| known.as_str() == Some(value)) {
            list.push(value.into());
        }
        self.set(key, list);
    }

    fn get(&self, key: &str) -> Option<&Value> {
        let (table, name) = key.split_once('.')?;
        self.result.get(table)?.get(name)
    }

    /// Sets a number within the bounds that ours has.
    fn set_within(&mut self, key: &str, theirs: &str, value: i64, least: i64, most: i64) {
        let ours = value.clamp(least, most);
        if ours != value {
            self.notes
                .push(format!("{theirs} = {value}: {key} is within {least} to {most}, so it is {ours}"));
        }
        self.set(key, ours);
    }

    /// Something of theirs that has no counterpart.
    fn leave_out(&mut self, theirs: impl std::fmt::Display, reason: &str) {
        self.left_out += 1;
        self.notes.push(format!("{theirs}: {reason}"));
    }

    /// A remark that isn't about something left out.
    fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    fn finish(mut self, file: &str) -> anyhow::Result<Imported> {
        // Two intervals and ten minutes, so that one lost announce doesn't remove a living peer.
        let number = |key: &str| self.get(key).and_then(Value::as_integer);
        let interval = number("protocol.interval_s").unwrap_or(1800);
        let least = 2 * interval + 600;
        if number("protocol.peer_lifetime_s").unwrap_or(4200) < least {
            if let Some(theirs) = number("protocol.peer_lifetime_s") {
                self.note(format!(
                    "peers were removed {theirs} s after their last announce: with an interval of {interval} s that is {least} s at the least here"
                ));
            }
            self.set("protocol.peer_lifetime_s", least);
        }
        let mut text = format!("# Translated from {file}; `tracker-user config print` shows all keys.\n");
        for note in &self.notes {
            // Whatever the other file holds, it stays in the comment.
            let line = note.replace(char::is_control, " ");
            let _infallible = writeln!(text, "# - {line}");
        }
        text.push('\n');
        text.push_str(&toml::to_string(&self.result)?);
        Config::parse("the translated configuration", &text)?;
        Ok(Imported { text, left_out: self.left_out })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AccessMode, LogLevel};

    fn translated(from: From, text: &str) -> (Config, String) {
        let imported = import(from, "theirs", text).expect("it can be translated");
        (Config::parse("ours", &imported.text).expect("it is valid"), imported.text)
    }

    #[test]
    fn aquatic_udp_as_it_comes() {
        let (config, text) = translated(From::Aquatic, include_str!("import/fixtures/aquatic_udp.toml"));
        assert_eq!(config.udp.addresses, ["0.0.0.0:3000".parse().expect("an address")]);
        assert_eq!((config.protocol.interval_s, config.protocol.max_response_peers), (900, 30));
        assert_eq!(config.protocol.peer_lifetime_s, 2400);
        assert_eq!(config.swarm.cleaning_interval_s, 120);
        assert_eq!(config.udp.receive_buffer_bytes, 8_000_000);
        assert_eq!(config.log_level, LogLevel::Error);
        assert_eq!(config.access_list.mode, AccessMode::Off);
        assert!(config.http.listen.is_empty() && config.privileges.user.is_empty());
        for said in ["use_io_uring", "max_connection_age", "1200 s after"] {
            assert!(text.contains(said), "no {said} in {text}");
        }
    }

    #[test]
    fn aquatic_udp_with_everything() {
        let text = "socket_workers = 4\n[network]\naddress = \"[::]:6969\"\n[privileges]\ndrop_privileges = true\n\
                    chroot_path = \"/srv/tracker\"\nuser = \"tracker\"\ngroup = \"tracker\"\n[access_list]\nmode = \"allow\"\n\
                    path = \"./list.txt\"\n[statistics]\nrun_prometheus_endpoint = true\nprometheus_endpoint_address = \"0.0.0.0:9000\"\n\
                    torrent_peer_histograms = true\n";
        let (config, _) = translated(From::Aquatic, text);
        let addresses = ["[::]:6969", "0.0.0.0:6969"].map(|address| address.parse().expect("an address"));
        assert_eq!((config.udp.addresses, config.udp.workers_per_address), (addresses.to_vec(), 4));
        assert_eq!(config.privileges.chroot.to_str(), Some("/srv/tracker"));
        assert_eq!(
            (config.privileges.user.as_str(), config.privileges.group.as_str()),
            ("tracker", "tracker")
        );
        assert_eq!(config.access_list.path.to_str(), Some("/srv/tracker/list.txt"));
        assert_eq!(config.access_list.mode, AccessMode::Allow);
        assert_eq!(config.metrics.listen, ["0.0.0.0:9000".parse().expect("an address")]);
    }

    #[test]
    fn aquatic_http_behind_a_proxy() {
        let (config, text) = translated(From::Aquatic, include_str!("import/fixtures/aquatic_http.toml"));
        let listen: Vec<String> = config.http.listen.iter().map(ToString::to_string).collect();
        assert_eq!(listen, ["https://0.0.0.0:3000"]);
        assert_eq!(config.tls.certificate.to_str(), Some("./cert.crt"));
        assert_eq!(config.http.trusted_proxies.len(), 2);
        assert_eq!(config.protocol.interval_s, 120);
        assert!(text.contains("trusted_proxies") && text.contains("keep_alive"), "{text}");
    }

    #[test]
    fn aquatic_ws_as_it_comes() {
        let (config, text) = translated(From::Aquatic, include_str!("import/fixtures/aquatic_ws.toml"));
        let listen: Vec<String> = config.http.listen.iter().map(ToString::to_string).collect();
        assert_eq!(listen, ["http://0.0.0.0:3000"]);
        assert_eq!((config.webtorrent.interval_s, config.webtorrent.max_offers), (120, 10));
        assert_eq!(config.webtorrent.idle_timeout_s, 180);
        assert!(text.contains("max_offer_age"), "{text}");
        // UDP can't be switched off.
        assert!(text.contains("udp.addresses"), "{text}");
    }

    #[test]
    fn opentracker_as_debian_has_it() {
        let (config, text) = translated(From::Opentracker, include_str!("import/fixtures/opentracker.conf"));
        assert_eq!(config.access_list.mode, AccessMode::Allow);
        assert_eq!(config.access_list.path.to_str(), Some("/etc/opentracker/whitelist.txt"));
        assert_eq!(config.privileges.user, "_opentracker");
        assert_eq!(config.udp.addresses, ["0.0.0.0:6969".parse().expect("an address")]);
        let listen: Vec<String> = config.http.listen.iter().map(ToString::to_string).collect();
        assert_eq!(listen, ["http://0.0.0.0:6969"]);
        assert!(text.contains("tracker.rootdir"), "{text}");
    }

    #[test]
    fn opentracker_with_everything() {
        let text = "listen.udp.workers 4\nlisten.tcp_udp 192.0.2.1\nlisten.udp [2001:db8::1]:80\nlisten.tcp 192.0.2.2:8080\n\
                    access.blacklist ./black\ntracker.rootdir /srv/ot\naccess.proxy 10.0.0.1\naccess.stats 192.0.2.9\n\
                    livesync.cluster.listen 192.0.2.1:9696\ntracker.redirect_url https://example.org/\nno.such.thing x\n";
        let imported = import(From::Opentracker, "theirs", text).expect("it can be translated");
        assert_eq!(imported.left_out, 5, "{}", imported.text);
        let config = Config::parse("ours", &imported.text).expect("it is valid");
        let addresses =
            ["192.0.2.1:6969", "[2001:db8::1]:80"].map(|address| address.parse().expect("an address"));
        assert_eq!((config.udp.addresses, config.udp.workers_per_address), (addresses.to_vec(), 4));
        let listen: Vec<String> = config.http.listen.iter().map(ToString::to_string).collect();
        assert_eq!(listen, ["http://192.0.2.1:6969", "http://192.0.2.2:8080"]);
        assert_eq!(
            (config.access_list.mode, config.access_list.path.to_str()),
            (AccessMode::Deny, Some("/srv/ot/black"))
        );
        assert_eq!(config.http.trusted_proxies.len(), 1);
    }

    #[test]
    fn what_can_not_be_read_is_an_error_with_its_place() {
        for (from, text, said) in [
            (From::Aquatic, "[network\n", "theirs: "),
            (From::Aquatic, "[network]\naddress = 5\n", "network.address"),
            (From::Opentracker, "\nlisten.udp nowhere\n", "theirs: line 2: "),
        ] {
            let error = import(from, "theirs", text).expect_err(text).to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
