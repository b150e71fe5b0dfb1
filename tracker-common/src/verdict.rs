//! What can become of a packet: one verdict each.
//!
//! A verdict is at once the return value of the decision, the counter that goes up, the metric's label and the line in the
//! documentation. The kernel program and the socket workers count in the same enumeration, each in counters of its own.

/// What a verdict does with the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// An answer goes back to the source.
    Answer,
    /// The XDP program leaves the packet to the kernel's stack, which delivers it to the sockets or drops it.
    Pass,
    /// Silence.
    Drop,
}

macro_rules! verdicts {
    ($($(#[$doc:meta])* $variant:ident $name:literal $class:ident,)*) => {
        /// What became of a packet. See the [module](self).
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Verdict { $($(#[$doc])* $variant,)* }

        impl Verdict {
            /// All verdicts, in the order of their counters.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$variant),*];
            /// How many verdicts there are.
            pub const COUNT: usize = [$($name),*].len();

            /// Counter and label name, in snake case.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// What is done with the packet.
            #[inline(always)]
            pub const fn class(self) -> Class {
                match self { $(Self::$variant => Class::$class),* }
            }
        }
    };
}

verdicts! {
    /// U01: connect answered with a connection id.
    Connect "connect" Answer,
    /// Announce answered.
    Announce "announce" Answer,
    /// Scrape answered.
    Scrape "scrape" Answer,
    /// U04: bad or expired connection id, answered with an error.
    ErrorConnectionId "error_connection_id" Answer,
    /// U06: announce shorter than 98 bytes, answered with an error.
    ErrorAnnounceShort "error_announce_short" Answer,
    /// U08: announce of port 0, answered with an error.
    ErrorPort "error_port" Answer,
    /// U15: info hash denied by the access list, answered with an error.
    ErrorInfoHash "error_info_hash" Answer,
    /// U17: scrape without hashes, answered with an error.
    ErrorFullScrape "error_full_scrape" Answer,
    /// Not UDP to an address and port that is served.
    PassOther "pass_other" Pass,
    /// U21: more than one VLAN tag.
    PassTag "pass_tag" Pass,
    /// U21: IPv4 options.
    PassIpOptions "pass_ip_options" Pass,
    /// U21: a fragment.
    PassFragment "pass_fragment" Pass,
    /// U21: IPv6 extension headers.
    PassExtensionHeader "pass_extension_header" Pass,
    /// U20: an IPv6 packet from an IPv4-mapped address. Sockets make an IPv4 peer of it, if the stack lets it through at all.
    PassMapped "pass_mapped" Pass,
    /// Lengths that disagree, or a frame shorter than its headers say.
    PassLength "pass_length" Pass,
    /// U21: a checksum that doesn't hold.
    PassChecksum "pass_checksum" Pass,
    /// An announce for the daemon.
    PassAnnounce "pass_announce" Pass,
    /// A scrape for the daemon.
    PassScrape "pass_scrape" Pass,
    /// The driver couldn't change the frame's length.
    PassResize "pass_resize" Pass,
    /// The ring of announce events is full: the daemon answers over the sockets, and records.
    PassEventRing "pass_event_ring" Pass,
    /// U02: fewer than 16 bytes.
    DropShort "drop_short" Drop,
    /// U02: connect with another magic number.
    DropMagic "drop_magic" Drop,
    /// U02: unknown action.
    DropAction "drop_action" Drop,
    /// U03: source port 0 or a source address that can't be answered.
    DropSource "drop_source" Drop,
    /// U16: source in the block list.
    DropBlocked "drop_blocked" Drop,
    /// A frame whose VLAN tag could not be put back; no driver is known to do that.
    DropTag "drop_tag" Drop,
    /// U04: bad connection id, and no error: by policy, by rate, or since the answer would be longer than the request.
    DropConnectionId "drop_connection_id" Drop,
    /// More connects than `limits.connects_per_second` from this source.
    DropLimitConnect "drop_limit_connect" Drop,
    /// More requests with a bad connection id than `limits.bad_ids_per_second` from this source.
    DropLimitBadId "drop_limit_bad_id" Drop,
    /// More announces and scrapes than `limits.announces_per_second` from this source.
    DropLimitAnnounce "drop_limit_announce" Drop,
}

impl Verdict {
    /// Index of the verdict's counter.
    #[inline(always)]
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::string::String;

    #[test]
    fn every_verdict_has_an_index_and_a_name_of_its_own() {
        let names: HashSet<_> = Verdict::ALL.iter().map(|verdict| verdict.name()).collect();
        assert_eq!(names.len(), Verdict::COUNT);
        for (index, verdict) in Verdict::ALL.iter().enumerate() {
            assert_eq!(verdict.index(), index);
        }
    }

    #[test]
    fn names_are_the_variants_in_snake_case() {
        for verdict in Verdict::ALL {
            let mut snake = String::new();
            for character in std::format!("{verdict:?}").chars() {
                if character.is_uppercase() && !snake.is_empty() {
                    snake.push('_');
                }
                snake.push(character.to_ascii_lowercase());
            }
            assert_eq!(snake, verdict.name());
        }
    }

    #[test]
    fn pass_and_drop_verdicts_say_so_in_their_names() {
        for verdict in Verdict::ALL {
            assert_eq!(verdict.name().starts_with("pass_"), verdict.class() == Class::Pass);
            assert_eq!(verdict.name().starts_with("drop_"), verdict.class() == Class::Drop);
        }
    }
}
