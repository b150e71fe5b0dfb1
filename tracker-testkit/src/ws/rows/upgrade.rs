//! The paragraph above the table: how a connection becomes one of WebSocket.

use super::{Rows, says};
use crate::http::case::Setup;
use crate::ws::case::Opened;
use crate::ws::upgrade::Upgrade;

/// What has no row of its own.
const ROW: &str = "upgrade";

pub(super) fn add(rows: &mut Rows) {
    rows.once(ROW, "it is done on three paths", |s| {
        let mut steps = Vec::new();
        for (n, target) in ["/", "/announce", "/ws"].iter().enumerate() {
            let name = n as u16;
            steps.push(s.opens(name).upgrade(Upgrade::to(target)));
            steps.push(says(name, s.leecher(name).text(), [s.announced(0, u64::from(name) + 1)]));
        }
        steps
    });
    rows.once(ROW, "a query changes nothing", |s| {
        vec![
            s.opens(0).upgrade(Upgrade::to("/?x=1")),
            s.opens(1).upgrade(Upgrade::to("/announce?key=1&info_hash=x")),
            s.opens(2).upgrade(Upgrade::to("/ws?")),
        ]
    });
    rows.once(ROW, "on another path there is nothing", |s| {
        ["/wss", "/announce/", "/ws/x", "/index.html"]
            .map(|target| s.opens(0).upgrade(Upgrade::to(target)).refused(Opened::Status(&[404])))
            .into()
    });
    rows.once(ROW, "the words in headers may have any case, and others beside them", |s| {
        let good = Upgrade::default;
        vec![
            s.opens(0).upgrade(good().with("Upgrade", "WebSocket")),
            s.opens(1).upgrade(good().with("Connection", "keep-alive, Upgrade")),
            s.opens(2).upgrade(good().with("CONNECTION", "upgrade,Keep-Alive")),
            s.opens(3).upgrade(good().with("Origin", "https://webtorrent.io").with("User-Agent", "B\u{e4}r")),
            s.opens(4).upgrade(good().with("Cookie", "a=b").with("Accept-Encoding", "gzip, deflate, br")),
        ]
    });
    // That nothing is agreed upon is looked at in every response.
    rows.once(ROW, "extensions and subprotocols may be proposed", |s| {
        let extension = "permessage-deflate; client_max_window_bits";
        vec![
            s.opens(0).upgrade(Upgrade::default().with("Sec-WebSocket-Extensions", extension)),
            s.opens(1).upgrade(Upgrade::default().with("Sec-WebSocket-Protocol", "chat, superchat")),
            says(0, s.leecher(0).text(), [s.announced(0, 1)]),
            says(1, s.leecher(1).text(), [s.announced(0, 2)]),
        ]
    });
    rows.once(ROW, "another protocol is not agreed upon: an announce is one", |s| {
        let other = Upgrade::to("/announce").with("Upgrade", "h2c");
        vec![s.opens(0).upgrade(other).refused(Opened::Status(&[200]))]
    });
    rows.once(ROW, "an incomplete request gets 400", |s| {
        let bad = |upgrade: Upgrade| s.opens(0).upgrade(upgrade).refused(Opened::Status(&[400]));
        vec![
            bad(Upgrade::default().without("Sec-WebSocket-Key")),
            bad(Upgrade::default().without("Connection")),
            bad(Upgrade::default().with("Connection", "keep-alive")),
        ]
    });
    rows.once(ROW, "a request without a version is incomplete", |s| {
        let without = Upgrade::default().without("Sec-WebSocket-Version");
        vec![s.opens(0).upgrade(without).refused(Opened::Status(&[400]))]
    });
    rows.once(ROW, "another version is told the right one", |s| {
        ["8", "0", "12", "14", "130"]
            .map(|version| {
                s.opens(0)
                    .upgrade(Upgrade::default().with("Sec-WebSocket-Version", version))
                    .refused(Opened::With(426, "sec-websocket-version", "13"))
            })
            .into()
    });
    rows.once(ROW, "another method or an older HTTP gets no WebSocket", |s| {
        let other = |upgrade| s.opens(0).upgrade(upgrade).refused(Opened::Status(&[400, 404, 405]));
        let posted = ["POST", "PUT", "OPTIONS"].map(|method| Upgrade { method, ..Upgrade::default() });
        let older = Upgrade { version: "1.0", ..Upgrade::default() };
        posted.into_iter().chain([older]).map(other).collect()
    });
    rows.set_up(Setup { webtorrent_keys: vec![("enabled", "false")], ..Setup::default() });
    rows.once(ROW, "a tracker without WebTorrent upgrades nothing", |s| {
        ["/", "/announce", "/ws"]
            .map(|target| s.opens(0).upgrade(Upgrade::to(target)).refused(Opened::Status(&[200, 400, 404])))
            .into()
    });
    rows.set_up(Setup::default());
}
