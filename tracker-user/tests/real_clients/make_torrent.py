"""Makes a private torrent: FILE ANNOUNCE-URL TORRENT [v1]; without the last word one that is of both versions."""

import os
import sys

import libtorrent

file, announce, torrent = sys.argv[1:4]
storage = libtorrent.file_storage()
libtorrent.add_files(storage, file)
flags = libtorrent.create_torrent.v1_only if sys.argv[4:] == ["v1"] else 0
creator = libtorrent.create_torrent(storage, 16384, flags)
creator.set_priv(True)
creator.add_tracker(announce)
libtorrent.set_piece_hashes(creator, os.path.dirname(file))
with open(torrent, "wb") as out:
    out.write(libtorrent.bencode(creator.generate()))
