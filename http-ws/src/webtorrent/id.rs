//! Info hashes and peer ids in JSON: strings of 20 code points from 0 to 255.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A peer's name for itself.
pub type PeerId = [u8; 20];

/// An info hash or peer id as it is read.
pub(super) struct Id(pub(super) [u8; 20]);

impl Id {
    fn of(text: &str) -> Option<Self> {
        let mut bytes = [0; 20];
        let mut chars = text.chars();
        for byte in &mut bytes {
            *byte = u8::try_from(chars.next()?).ok()?;
        }
        chars.next().is_none().then_some(Self(bytes))
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Id;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("20 code points from 0 to 255")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Id, E> {
                Id::of(text).ok_or_else(|| E::custom("an id"))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// Writes an id as a JSON string, with its quotes.
pub(super) fn write(id: &[u8; 20], out: &mut Vec<u8>) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    out.push(b'"');
    for byte in id {
        match *byte {
            b'"' => out.extend(b"\\\""),
            b'\\' => out.extend(b"\\\\"),
            b'\x08' => out.extend(b"\\b"),
            b'\t' => out.extend(b"\\t"),
            b'\n' => out.extend(b"\\n"),
            b'\x0c' => out.extend(b"\\f"),
            b'\r' => out.extend(b"\\r"),
            byte @ ..0x20 => {
                out.extend([
                    b'\\',
                    b'u',
                    b'0',
                    b'0',
                    DIGITS[usize::from(byte >> 4)],
                    DIGITS[usize::from(byte & 15)],
                ]);
            }
            byte @ ..0x80 => out.push(byte),
            // Two bytes of UTF-8.
            byte => out.extend([0xc0 | byte >> 6, 0x80 | byte & 0x3f]),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(id: [u8; 20]) {
            let mut json = Vec::new();
            write(&id, &mut json);
            let text: String = serde_json::from_slice(&json).expect("it is JSON");
            prop_assert!(text.chars().map(u32::from).eq(id.map(u32::from)));
            prop_assert_eq!(serde_json::from_slice::<Id>(&json).map(|id| id.0).ok(), Some(id));
            // However the client escapes it.
            let escaped: String = id.iter().map(|byte| format!("\\u{byte:04x}")).collect();
            prop_assert_eq!(serde_json::from_str::<Id>(&format!("\"{escaped}\"")).map(|id| id.0).ok(), Some(id));
        }
    }

    #[test]
    fn other_strings_are_no_ids() {
        for text in [
            "\"\"",
            "\"1234567890123456789\"",
            "\"123456789012345678901\"",
            "\"1234567890123456789Ā\"",
            "20",
            "null",
            "[]",
        ] {
            assert!(serde_json::from_str::<Id>(text).is_err(), "{text}");
        }
    }
}
