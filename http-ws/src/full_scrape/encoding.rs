//! How an answer is compressed: chosen by `Accept-Encoding` (RFC 9110, section 12.5.3), done by flate2 and zstd.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Identity,
    /// gzip.
    Gzip,
    /// zstd (RFC 8878).
    Zstd,
}

/// A coding's weight in thousandths; 0: not acceptable.
type Weight = u16;

impl Encoding {
    /// The coding for a client, from the values of its `Accept-Encoding` headers: the one it prefers, of equals zstd, then gzip.
    ///
    /// What can't be read counts as not acceptable. A client that refuses all codings gets the identity, as one that says nothing.
    pub fn accepted<'a>(values: impl Iterator<Item = &'a [u8]>) -> Self {
        let (mut zstd, mut gzip, mut identity, mut others) = (None, None, None, None);
        for item in values.flat_map(|value| value.split(|byte| *byte == b',')) {
            let mut parts = item.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let coding = parts.next().unwrap_or_default();
            let weight = weight(parts);
            let is = |name: &str| coding.eq_ignore_ascii_case(name.as_bytes());
            match () {
                () if is("zstd") => zstd = Some(weight),
                () if is("gzip") || is("x-gzip") => gzip = Some(weight),
                () if is("identity") => identity = Some(weight),
                () if is("*") => others = Some(weight),
                () => {}
            }
        }
        let weight = |named: Option<Weight>| named.or(others).unwrap_or(0);
        let (zstd, gzip) = (weight(zstd), weight(gzip));
        // Not named, it is acceptable, but nobody's preference.
        let identity = identity.unwrap_or(0);
        match () {
            () if zstd > 0 && zstd >= gzip && zstd >= identity => Self::Zstd,
            () if gzip > 0 && gzip >= identity => Self::Gzip,
            () => Self::Identity,
        }
    }

    /// The value of the answer's `Content-Encoding`, if it has one.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }
}

/// The weight that a coding's parameters give it: 1 without any.
fn weight<'a>(mut parameters: impl Iterator<Item = &'a [u8]>) -> Weight {
    let Some(parameter) = parameters.next() else { return 1000 };
    match parameter {
        [b'q' | b'Q', b'=', b'1'] => 1000,
        [b'q' | b'Q', b'=', b'1', b'.', zeros @ ..]
            if zeros.len() <= 3 && zeros.iter().all(|digit| *digit == b'0') =>
        {
            1000
        }
        [b'q' | b'Q', b'=', b'0', b'.', digits @ ..]
            if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) =>
        {
            let thousandths = digits.iter().chain(b"000").take(3);
            thousandths.fold(0, |weight, digit| weight * 10 + Weight::from(digit - b'0'))
        }
        _ => 0,
    }
}

/// What is written comes out compressed at the other end.
pub(super) enum Encoder<W: Write> {
    Identity(W),
    Gzip(GzEncoder<W>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
}

/// Nearly all of an answer are info hashes, which nothing compresses, and numbers and keys, which everything does.
const GZIP_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 1;

/// What repeats itself, repeats itself within an entry's length: 128 KiB, where the level would have 512.
const ZSTD_WINDOW_LOG: u32 = 17;

impl<W: Write> Encoder<W> {
    pub(super) fn new(encoding: Encoding, out: W) -> io::Result<Self> {
        Ok(match encoding {
            Encoding::Identity => Self::Identity(out),
            Encoding::Gzip => Self::Gzip(GzEncoder::new(out, Compression::new(GZIP_LEVEL))),
            Encoding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
                encoder.window_log(ZSTD_WINDOW_LOG)?;
                Self::Zstd(encoder)
            }
        })
    }

    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Identity(out) => out.write_all(bytes),
            Self::Gzip(out) => out.write_all(bytes),
            Self::Zstd(out) => out.write_all(bytes),
        }
    }

    /// Writes what there is left, and the end.
    pub(super) fn finish(self) -> io::Result<W> {
        match self {
            Self::Identity(out) => Ok(out),
            Self::Gzip(out) => out.finish(),
            Self::Zstd(out) => out.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn only_what_is_named_is_chosen(values in proptest::collection::vec("([a-z*]{0,8}|gzip|zstd|[;,= q01.]){0,12}|\\PC{0,20}", 0..4)) {
            let named = |name: &str| values.iter().any(|value| value.to_ascii_lowercase().contains(name) || value.contains('*'));
            let chosen = Encoding::accepted(values.iter().map(|value| value.as_bytes()));
            prop_assert!(chosen.name().is_none_or(named), "{chosen:?}");
        }
    }

    const CASES: [(&[&str], Encoding); 24] = [
        (&[], Encoding::Identity),
        (&[""], Encoding::Identity),
        (&["gzip"], Encoding::Gzip),
        (&["x-gzip"], Encoding::Gzip),
        (&["GZip"], Encoding::Gzip),
        (&["zstd"], Encoding::Zstd),
        (&["gzip, deflate, br, zstd"], Encoding::Zstd),
        (&["gzip,deflate"], Encoding::Gzip),
        (&["deflate, br"], Encoding::Identity),
        (&["deflate", "gzip"], Encoding::Gzip),
        (&["*"], Encoding::Zstd),
        (&["*, zstd;q=0"], Encoding::Gzip),
        (&["*;q=0"], Encoding::Identity),
        (&["gzip;q=1.0, zstd;q=0.5"], Encoding::Gzip),
        (&["gzip ; q=0.001"], Encoding::Gzip),
        (&["gzip;Q=0.2,zstd;q=0.25"], Encoding::Zstd),
        (&["gzip;q=0, zstd;q=0.000"], Encoding::Identity),
        (&["identity, gzip;q=0.5"], Encoding::Identity),
        (&["identity;q=0.5, gzip;q=0.5"], Encoding::Gzip),
        (&["identity;q=0, *;q=0"], Encoding::Identity),
        // Not weights.
        (&["gzip;q=1.5"], Encoding::Identity),
        (&["gzip;q=0.1234, zstd;q=x"], Encoding::Identity),
        (&["gzip;level=3"], Encoding::Identity),
        (&["gzipped, zstd2, ;;,,= \u{e9}"], Encoding::Identity),
    ];

    #[test]
    fn the_coding_is_the_one_that_the_client_prefers() {
        for (values, expected) in CASES {
            let chosen = Encoding::accepted(values.iter().map(|value| value.as_bytes()));
            assert_eq!(chosen, expected, "{values:?}");
        }
    }
}
