//! All torrents, streamed (H14).
