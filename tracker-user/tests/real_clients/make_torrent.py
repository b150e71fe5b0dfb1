"""Makes a private torrent: FILE ANNOUNCE-URL TORRENT."""

import os
import sys

import libtorrent

file, announce, torrent = sys.argv[1:]
storage = libtorrent.file_storage()
libtorrent.add_files(storage, file)
creator = libtorrent.create_torrent(storage, 16384)
creator.set_priv(True)
creator.add_tracker(announce)
libtorrent.set_piece_hashes(creator, os.path.dirname(file))
with open(torrent, "wb") as out:
    out.write(libtorrent.bencode(creator.generate()))
