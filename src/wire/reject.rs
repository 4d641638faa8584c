//! Why an advert is not believed: one name and one counter for each reason.

use crate::model::time::Human;
use std::fmt;
use std::time::Duration;

/// Why an advert is not believed (RFC 9568 §7.1 and what keepalived adds).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reject {
    /// TTL or hop limit is this instead of 255; not asked of unicast.
    HopLimit(u8),
    /// Another version than ours; version 2 over IPv6 does not exist.
    Version(u8),
    /// Another type than 1.
    Kind(u8),
    /// The message ends before its last field.
    TooShort {
        /// Bytes that came.
        have: usize,
        /// Bytes that its count of addresses asks for.
        need: usize,
    },
    /// Bytes follow the message that are not Ethernet's padding.
    Length {
        /// Bytes that came.
        have: usize,
        /// Bytes that its count of addresses asks for.
        need: usize,
    },
    /// The checksum fits in no form.
    Checksum {
        /// In the message.
        found: u16,
        /// What would have been right (version 3: with pseudo-header).
        expected: u16,
    },
    /// VRID 0 does not exist.
    ZeroVrid,
    /// Another authentication type than ours (version 2).
    AuthType(u8),
    /// The same type, another password (version 2).
    AuthFailed,
    /// No addresses, while we have some.
    NoAddresses,
    /// Version 3 with interval 0 (RFC 9568 erratum 8301).
    ZeroInterval,
    /// The first IPv6 address is not link-local, and we are strict (RFC 9568 erratum 8300).
    NotLinkLocal,
    /// Another interval than ours (version 2); the advert is ignored, its sender is not broken.
    Interval {
        /// In the advert.
        theirs: Duration,
        /// Our own.
        ours: Duration,
    },
    /// Multicast to a unicast router, or the reverse.
    Destination,
    /// Other addresses than ours, and `vip_mismatch drop`.
    AddressList,
    /// Not from one of the configured peers, and `check_unicast_src`.
    Source,
    /// We are the owner, and `owner_ignore_adverts`.
    OwnerIgnores,
}

impl Reject {
    /// How many reasons there are.
    pub const KINDS: usize = 17;

    /// Their names as counters are labelled, in the order of [`Reject::index`]; they do not change.
    pub const NAMES: [&'static str; Self::KINDS] = [
        "hop_limit",
        "version",
        "type",
        "too_short",
        "length",
        "checksum",
        "zero_vrid",
        "auth_type",
        "auth_failed",
        "no_addresses",
        "zero_interval",
        "not_link_local",
        "interval",
        "destination",
        "address_list",
        "source",
        "owner_ignores",
    ];

    /// Its place in [`Reject::NAMES`] and in arrays of counters.
    pub const fn index(&self) -> usize {
        match self {
            Self::HopLimit(_) => 0,
            Self::Version(_) => 1,
            Self::Kind(_) => 2,
            Self::TooShort { .. } => 3,
            Self::Length { .. } => 4,
            Self::Checksum { .. } => 5,
            Self::ZeroVrid => 6,
            Self::AuthType(_) => 7,
            Self::AuthFailed => 8,
            Self::NoAddresses => 9,
            Self::ZeroInterval => 10,
            Self::NotLinkLocal => 11,
            Self::Interval { .. } => 12,
            Self::Destination => 13,
            Self::AddressList => 14,
            Self::Source => 15,
            Self::OwnerIgnores => 16,
        }
    }

    /// Its name as counters are labelled.
    pub fn name(&self) -> &'static str {
        Self::NAMES.get(self.index()).copied().unwrap_or("unknown")
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HopLimit(ttl) => write!(
                f,
                "its TTL or hop limit is {ttl} instead of 255: it came through a router (put both routers on one link, or use unicast_peer)"
            ),
            Self::Version(2) => f.write_str(
                "it speaks VRRP version 2, this router version 3 (set the same version on both)",
            ),
            Self::Version(3) => f.write_str(
                "it speaks VRRP version 3, this router version 2 (set the same version on both)",
            ),
            Self::Version(version) => write!(
                f,
                "it speaks VRRP version {version}, which does not exist (find out what sends protocol 112 there)"
            ),
            Self::Kind(kind) => write!(
                f,
                "its type is {kind}; only type 1, advertisement, exists (find out what sends protocol 112 there)"
            ),
            Self::TooShort { have, need } => write!(
                f,
                "it ends after {have} of {need} bytes (cut off on the way, or CARP with the same number)"
            ),
            Self::Length { have, need } => write!(
                f,
                "it has {have} bytes where its count of addresses makes {need} (is auth_hmac set there? take it away)"
            ),
            Self::Checksum { found, expected } => write!(
                f,
                "its checksum is 0x{found:04x} where 0x{expected:04x} would be right (damaged on the way, or addresses were translated)"
            ),
            Self::ZeroVrid => f.write_str(
                "its VRID is 0, which does not exist (set virtual_router_id to 1..255 there)",
            ),
            Self::AuthType(0) => f.write_str(
                "it has no authentication, this router a password (set the same authentication on both)",
            ),
            Self::AuthType(1) => f.write_str(
                "it has a password, this router no authentication (set the same authentication on both)",
            ),
            Self::AuthType(2) => f.write_str(
                "it is authenticated by AH, which is not spoken here (set auth_type PASS or none on both)",
            ),
            Self::AuthType(kind) => write!(
                f,
                "its authentication type is {kind}, which does not exist (set the same authentication on both)"
            ),
            Self::AuthFailed => {
                f.write_str("its password is not ours (set the same auth_pass on both)")
            }
            Self::NoAddresses => f.write_str(
                "it names no addresses (give its router the same virtual_ipaddress list as this one)",
            ),
            Self::ZeroInterval => f.write_str(
                "its interval is 0, which would make us change state with every advert (set advert_int there)",
            ),
            Self::NotLinkLocal => f.write_str(
                "its first address is not link-local and strict mode is on (put a link-local address first there)",
            ),
            Self::Interval { theirs, ours } => write!(
                f,
                "its interval is {}, ours {} (set the same advert_int on both)",
                Human(*theirs),
                Human(*ours)
            ),
            Self::Destination => f.write_str(
                "it was sent by multicast to a unicast router, or the reverse (set unicast_peer on both or on neither)",
            ),
            Self::AddressList => f.write_str(
                "its addresses are not ours and vip_mismatch is drop (set the same virtual_ipaddress list on both)",
            ),
            Self::Source => f.write_str(
                "its sender is not a unicast_peer and check_unicast_src is set (add it to unicast_peer)",
            ),
            Self::OwnerIgnores => f.write_str(
                "this router is the owner and ignores others (lower the priority of one, or unset owner_ignore_adverts)",
            ),
        }
    }
}

impl std::error::Error for Reject {}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Reject; Reject::KINDS] = [
        Reject::HopLimit(64),
        Reject::Version(2),
        Reject::Kind(2),
        Reject::TooShort { have: 1, need: 8 },
        Reject::Length { have: 50, need: 20 },
        Reject::Checksum {
            found: 1,
            expected: 2,
        },
        Reject::ZeroVrid,
        Reject::AuthType(2),
        Reject::AuthFailed,
        Reject::NoAddresses,
        Reject::ZeroInterval,
        Reject::NotLinkLocal,
        Reject::Interval {
            theirs: Duration::from_secs(1),
            ours: Duration::from_secs(2),
        },
        Reject::Destination,
        Reject::AddressList,
        Reject::Source,
        Reject::OwnerIgnores,
    ];

    #[test]
    fn every_reason_has_a_counter_and_a_name_of_its_own() {
        for (place, reject) in ALL.iter().enumerate() {
            assert_eq!(reject.index(), place, "{reject:?}");
            assert!(
                Reject::NAMES
                    .iter()
                    .filter(|name| **name == reject.name())
                    .count()
                    == 1
            );
            assert!(
                reject
                    .name()
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'_'),
                "labels are snake_case: {}",
                reject.name()
            );
        }
    }

    #[test]
    fn every_reason_says_what_and_the_way_out() {
        for reject in ALL {
            let text = reject.to_string();
            assert!(
                text.starts_with(|first: char| first.is_ascii_lowercase()),
                "it stands behind a colon: {text}"
            );
            assert!(
                text.contains('(') && text.ends_with(')'),
                "no way out: {text}"
            );
        }
    }

    #[test]
    fn an_interval_mismatch_names_both_intervals() {
        let text = Reject::Interval {
            theirs: Duration::from_secs(1),
            ours: Duration::from_secs(2),
        }
        .to_string();
        assert!(
            text.contains("1.000 s") && text.contains("2.000 s"),
            "{text}"
        );
    }
}
