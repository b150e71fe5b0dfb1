"""A libtorrent client without any way to peers but the tracker: seed|leech TORRENT DIRECTORY ADDRESS.

A leecher ends when it has everything; a seeder goes on until it is killed.
"""

import sys

import libtorrent

role, torrent, directory, address = sys.argv[1:]
host = f"[{address}]" if ":" in address else address
categories = libtorrent.alert.category_t
session = libtorrent.session({
    "listen_interfaces": f"{host}:0",
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "alert_mask": categories.tracker_notification | categories.error_notification | categories.status_notification,
})
parameters = {"ti": libtorrent.torrent_info(torrent), "save_path": directory}
if role == "seed":
    parameters["flags"] = libtorrent.torrent_flags.seed_mode
handle = session.add_torrent(parameters)
while role == "seed" or not handle.status().is_seeding:
    session.wait_for_alert(200)
    for alert in session.pop_alerts():
        print(alert.message(), flush=True)
