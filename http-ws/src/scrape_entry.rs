//! The answer to a scrape (BEP 48; H13), entry by entry: for the few torrents of an ordinary one and for all of them.
//!
//! Called by `service` and [`full_scrape`](crate::full_scrape). Tests are below.

use bytes::{BufMut as _, BytesMut};
use tracker_common::table::ScrapeCounts;
use tracker_common::wire::InfoHash;

use crate::answer::{integer, string};

/// What stands before the entries.
pub(crate) fn begin(out: &mut BytesMut) {
    out.reserve(16);
    out.put_slice(b"d5:filesd");
}

/// The entry of a torrent. They come in the order of their info hashes, each once.
pub(crate) fn entry(out: &mut BytesMut, info_hash: &InfoHash, counts: &ScrapeCounts) {
    out.reserve(128);
    string(out, info_hash);
    out.put_slice(b"d8:complete");
    integer(out, counts.seeders);
    out.put_slice(b"10:downloaded");
    integer(out, counts.completed);
    // BEP 21: partial seeds are incomplete, but don't download.
    if counts.partial > 0 {
        out.put_slice(b"11:downloaders");
        integer(out, counts.leechers.saturating_sub(counts.partial));
    }
    out.put_slice(b"10:incomplete");
    integer(out, counts.leechers);
    out.put_u8(b'e');
}

/// What stands behind the entries.
pub(crate) fn end(out: &mut BytesMut) {
    out.reserve(2);
    out.put_slice(b"ee");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_written_with_sorted_keys() {
        let mut out = BytesMut::new();
        begin(&mut out);
        entry(&mut out, &[b'a'; 20], &ScrapeCounts { seeders: 1, completed: 22, leechers: 3, partial: 0 });
        entry(&mut out, &[b'b'; 20], &ScrapeCounts { seeders: 0, completed: 0, leechers: 5, partial: 2 });
        end(&mut out);
        assert_eq!(
            out.escape_ascii().to_string(),
            "d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei1e10:downloadedi22e10:incompletei3ee\
             20:bbbbbbbbbbbbbbbbbbbbd8:completei0e10:downloadedi0e11:downloadersi3e10:incompletei5eeee"
        );
    }
}
