//! One test for each rule of reception, in each version.

use super::*;

const MULTI4: [u8; 4] = [224, 0, 0, 18];

/// A packet of version 2, of version 3 over IPv4 and of version 3 over IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Two,
    Three,
    Six,
}
use Kind::{Six, Three, Two};
const KINDS: [Kind; 3] = [Two, Three, Six];

/// A good multicast advert of VRID 51, priority 150, 1 s, to be spoilt by one test at a time.
#[derive(Clone)]
struct Packet {
    kind: Kind,
    src: IpAddr,
    dst: IpAddr,
    hop_limit: u8,
    payload: Vec<u8>,
}

impl Packet {
    fn new(kind: Kind) -> Self {
        let v6 = |text: &str| text.parse::<IpAddr>().expect("an address");
        let (src, dst, mut payload) = match kind {
            Two => (
                [10, 9, 0, 1].into(),
                MULTI4.into(),
                vec![0x21, 51, 150, 1, 0, 1, 0, 0],
            ),
            Three => (
                [10, 9, 0, 1].into(),
                MULTI4.into(),
                vec![0x31, 51, 150, 1, 0, 100, 0, 0],
            ),
            Six => (
                v6("fe80::ff:fe00:1"),
                v6("ff02::12"),
                vec![0x31, 51, 150, 2, 0, 100, 0, 0],
            ),
        };
        match kind {
            Two => payload.extend([10, 9, 0, 51, 0, 0, 0, 0, 0, 0, 0, 0]),
            Three => payload.extend([10, 9, 0, 51]),
            Six => {
                payload.extend("fe80::51".parse::<Ipv6Addr>().expect("an address").octets());
                payload.extend(
                    "fd00:9::51"
                        .parse::<Ipv6Addr>()
                        .expect("an address")
                        .octets(),
                );
            }
        }
        Self {
            kind,
            src,
            dst,
            hop_limit: 255,
            payload,
        }
        .sealed()
    }

    /// The pseudo-header as bytes, independently of [`Sum::pseudo`].
    fn pseudo(&self, dst: IpAddr) -> Vec<u8> {
        let mut bytes = Vec::new();
        for addr in [self.src, dst] {
            match addr {
                IpAddr::V4(a) => bytes.extend(a.octets()),
                IpAddr::V6(a) => bytes.extend(a.octets()),
            }
        }
        bytes.extend((self.payload.len() as u32).to_be_bytes());
        bytes.extend([0, 0, 0, PROTOCOL]);
        bytes
    }

    /// With the checksum that its kind is expected to have.
    fn sealed(self) -> Self {
        match self.kind {
            Two => self.sealed_with(&[]),
            Three | Six => {
                let pseudo = self.pseudo(self.dst);
                self.sealed_with(&pseudo)
            }
        }
    }

    fn sealed_with(mut self, pseudo: &[u8]) -> Self {
        self.payload[6..8].fill(0);
        let sum = Sum::of(pseudo).with(&self.payload).checksum();
        self.payload[6..8].copy_from_slice(&sum.to_be_bytes());
        self
    }

    /// With another byte and the right checksum for it.
    fn byte(mut self, at: usize, byte: u8) -> Self {
        self.payload[at] = byte;
        self.sealed()
    }

    /// Sent to one router instead of all.
    fn unicast(mut self) -> Self {
        self.dst = match self.kind {
            Two | Three => [10, 9, 0, 2].into(),
            Six => "fe80::ff:fe00:2".parse().expect("an address"),
        };
        self.sealed()
    }

    /// Without its addresses.
    fn bare(mut self) -> Self {
        match self.kind {
            Two => drop(self.payload.drain(8..12)),
            Three | Six => self.payload.truncate(8),
        }
        self.byte(3, 0)
    }

    fn datagram(&self) -> Datagram<'_> {
        Datagram {
            link: LinkId(2),
            family: Family::of(self.src),
            src: self.src,
            dst: self.dst,
            hop_limit: self.hop_limit,
            payload: &self.payload,
        }
    }

    fn expect(&self) -> Expect {
        Expect {
            version: match self.kind {
                Two => Version::V2,
                Three | Six => Version::V3,
            },
            unicast: !self.dst.is_multicast(),
            auth: AuthSettings::None,
            adver: Duration::from_secs(1),
            addresses: 1,
            strict: false,
            owner_ignores: false,
        }
    }

    fn parse(&self) -> Result<Advert<'_>, Reject> {
        Advert::parse(&self.datagram(), &self.expect())
    }

    fn parse_as(&self, change: impl Fn(&mut Expect)) -> Result<Advert<'_>, Reject> {
        let mut expect = self.expect();
        change(&mut expect);
        Advert::parse(&self.datagram(), &expect)
    }
}

#[test]
fn good_adverts_are_read() {
    for kind in KINDS {
        let packet = Packet::new(kind);
        let advert = packet.parse().expect("a good advert");
        assert_eq!(
            advert,
            Advert::decode(&packet.datagram()).expect("the same")
        );
        assert_eq!(Some(advert.vrid), vrid_of(&packet.payload));
        assert_eq!(advert.claim, Claim::from_wire(150));
        assert_eq!(advert.adver, Duration::from_secs(1));
        assert!(advert.link_local_first);
        let form = (kind == Three).then_some(ChecksumForm::Pseudo);
        assert_eq!(advert.form, form, "{kind:?}");
    }
}

#[test]
fn a_vrid_is_found_in_whatever_has_one() {
    assert_eq!(vrid_of(&[]), None);
    assert_eq!(vrid_of(&[0x21]), None);
    assert_eq!(vrid_of(&[0x21, 0]), None);
    assert_eq!(vrid_of(&[0, 51]), Vrid::new(51));
}

#[test]
fn addresses_are_listed_in_order() {
    let packet = Packet::new(Six);
    let list = packet.parse().expect("a good advert").addrs;
    let listed: Vec<String> = list.iter().map(|a| a.to_string()).collect();
    assert_eq!(listed, ["fe80::51", "fd00:9::51"]);
    assert_eq!((list.len(), list.is_empty()), (2, false));
    assert_eq!(list.get(1), list.iter().nth(1));
    assert_eq!(list.get(2), None);
    assert_eq!(list.get(usize::MAX), None);
    assert_eq!(format!("{list:?}"), "[fe80::51, fd00:9::51]");
}

#[test]
fn priority_0_is_a_release() {
    for kind in KINDS {
        let packet = Packet::new(kind).byte(2, 0);
        assert_eq!(packet.parse().map(|a| a.claim), Ok(Claim::Release));
    }
}

#[test]
fn another_hop_limit_than_255_is_refused_of_multicast_only() {
    for kind in KINDS {
        for hop_limit in [0, 1, 64, 254] {
            let mut packet = Packet::new(kind);
            packet.hop_limit = hop_limit;
            assert_eq!(packet.parse(), Err(Reject::HopLimit(hop_limit)));
            let mut packet = packet.unicast();
            packet.hop_limit = hop_limit;
            assert!(packet.parse().is_ok(), "unicast may cross routers");
        }
    }
}

#[test]
fn another_version_is_refused() {
    let (two, three) = (Packet::new(Two), Packet::new(Three));
    let as_three = two.parse_as(|e| e.version = Version::V3);
    assert_eq!(as_three, Err(Reject::Version(2)));
    let as_two = three.parse_as(|e| e.version = Version::V2);
    assert_eq!(as_two, Err(Reject::Version(3)));
    for kind in KINDS {
        for version in [0, 1, 4, 15] {
            let packet = Packet::new(kind).byte(0, version << 4 | 1);
            assert_eq!(packet.parse(), Err(Reject::Version(version)));
        }
    }
}

#[test]
fn version_2_over_ipv6_does_not_exist() {
    let packet = Packet::new(Six).byte(0, 0x21);
    let as_two = packet.parse_as(|e| e.version = Version::V2);
    assert_eq!(as_two, Err(Reject::Version(2)));
    assert_eq!(Advert::decode(&packet.datagram()), Err(Reject::Version(2)));
}

#[test]
fn another_type_than_1_is_refused() {
    for kind in KINDS {
        for kind_octet in [0, 2, 15] {
            let packet = Packet::new(kind);
            let first = packet.payload[0] & 0xf0 | kind_octet;
            let packet = packet.byte(0, first);
            assert_eq!(packet.parse(), Err(Reject::Kind(kind_octet)));
        }
    }
}

#[test]
fn a_message_cut_anywhere_is_too_short() {
    for kind in KINDS {
        let whole = Packet::new(kind);
        for have in 0..whole.payload.len() {
            let mut packet = whole.clone();
            packet.payload.truncate(have);
            let need = if have < 8 { 8 } else { whole.payload.len() };
            assert_eq!(packet.parse(), Err(Reject::TooShort { have, need }));
        }
    }
}

#[test]
fn a_carp_message_is_too_short_for_what_it_seems_to_be() {
    let mut packet = Packet::new(Two);
    packet.payload = vec![0x21, 51, 0, 7, 0, 1, 0, 0];
    packet.payload.resize(36, 0x5c);
    let packet = packet.sealed();
    assert_eq!(packet.parse(), Err(Reject::TooShort { have: 36, need: 44 }));
}

#[test]
fn bytes_after_the_message_are_refused_unless_ethernet_padded() {
    // Up to 46 bytes of IP packet, of which 20 are its header.
    for (kind, need) in [(Two, 20), (Three, 12)] {
        for have in need + 1..60 {
            let mut packet = Packet::new(kind);
            packet.payload.resize(have, 0xa5);
            let read = packet.parse();
            if have <= 26 {
                assert_eq!(read.map(|a| a.addrs.len()), Ok(1), "{have} bytes");
            } else {
                assert_eq!(read, Err(Reject::Length { have, need }));
            }
        }
    }
    let mut packet = Packet::new(Six);
    packet.payload.push(0);
    let (have, need) = (41, 40);
    assert_eq!(packet.parse(), Err(Reject::Length { have, need }));
}

#[test]
fn a_wrong_checksum_is_refused_and_the_right_one_named() {
    for kind in KINDS {
        let mut packet = Packet::new(kind);
        let right = u16::from_be_bytes([packet.payload[6], packet.payload[7]]);
        packet.payload[6..8].copy_from_slice(&0x1234u16.to_be_bytes());
        let (found, expected) = (0x1234, right);
        assert_eq!(packet.parse(), Err(Reject::Checksum { found, expected }));
    }
}

#[test]
fn no_single_flipped_bit_gets_through() {
    for kind in KINDS {
        let good = Packet::new(kind);
        for bit in 0..good.payload.len() * 8 {
            let mut packet = good.clone();
            packet.payload[bit / 8] ^= 1 << (bit % 8);
            assert!(packet.parse().is_err(), "{kind:?}, bit {bit}");
        }
    }
}

#[test]
fn version_3_over_ipv4_is_heeded_in_either_form() {
    let packet = Packet::new(Three).sealed_with(&[]);
    assert_eq!(packet.payload[6..8], [0x2e, 0x2b], "the form of RFC 9568");
    let form = packet.parse().expect("a good advert").form;
    assert_eq!(form, Some(ChecksumForm::Message));
    let form = packet.unicast().sealed_with(&[]).parse().map(|a| a.form);
    assert_eq!(form, Ok(Some(ChecksumForm::Message)));
}

#[test]
fn the_old_form_is_heeded_of_unicast_only() {
    let packet = Packet::new(Three).unicast();
    let old = packet.pseudo(MULTI4.into());
    let packet = packet.sealed_with(&old);
    let form = packet.parse().expect("a good advert").form;
    assert_eq!(form, Some(ChecksumForm::OldUnicast));
    let mut other = packet;
    other.dst = [224, 0, 0, 19].into();
    assert!(matches!(other.parse(), Err(Reject::Checksum { .. })));
}

#[test]
fn the_other_kinds_have_one_form() {
    let two = Packet::new(Two);
    let pseudo = two.pseudo(two.dst);
    let two = two.sealed_with(&pseudo);
    assert!(matches!(two.parse(), Err(Reject::Checksum { .. })));
    let six = Packet::new(Six).sealed_with(&[]);
    assert!(matches!(six.parse(), Err(Reject::Checksum { .. })));
}

#[test]
fn vrid_0_is_refused() {
    for kind in KINDS {
        assert_eq!(Packet::new(kind).byte(1, 0).parse(), Err(Reject::ZeroVrid));
    }
}

#[test]
fn multicast_and_unicast_routers_do_not_hear_each_other() {
    for kind in KINDS {
        let multicast = Packet::new(kind);
        let heard = multicast.parse_as(|e| e.unicast = true);
        assert_eq!(heard, Err(Reject::Destination));
        let unicast = multicast.unicast();
        let heard = unicast.parse_as(|e| e.unicast = false);
        assert_eq!(heard, Err(Reject::Destination));
    }
}

#[test]
fn an_owner_ignores_adverts_only_when_told_to() {
    for kind in KINDS {
        let packet = Packet::new(kind).byte(2, 255);
        assert!(packet.parse().is_ok());
        let ignored = packet.parse_as(|e| e.owner_ignores = true);
        assert_eq!(ignored, Err(Reject::OwnerIgnores));
    }
}

#[test]
fn authentication_must_be_of_our_type() {
    let password = AuthSettings::Password(*b"s3cretpw");
    for kind in [1, 2, 3, 255] {
        let packet = Packet::new(Two).byte(4, kind);
        assert_eq!(packet.parse(), Err(Reject::AuthType(kind)));
    }
    for kind in [0, 2, 3, 255] {
        let packet = Packet::new(Two).byte(4, kind);
        let read = packet.parse_as(|e| e.auth = password);
        assert_eq!(read, Err(Reject::AuthType(kind)));
    }
}

#[test]
fn a_password_is_compared_in_all_its_eight_bytes() {
    let mut packet = Packet::new(Two).byte(4, 1);
    packet.payload[12..].copy_from_slice(b"abc\0\0\0\0\0");
    let packet = packet.sealed();
    let good = *b"abc\0\0\0\0\0";
    let read = packet.parse_as(|e| e.auth = AuthSettings::Password(good));
    assert!(read.is_ok());
    for place in 0..8 {
        let mut other = good;
        other[place] ^= 0x20;
        let read = packet.parse_as(|e| e.auth = AuthSettings::Password(other));
        assert_eq!(read, Err(Reject::AuthFailed), "byte {place}");
    }
}

#[test]
fn data_without_authentication_is_ignored() {
    let packet = Packet::new(Two).byte(12, 0xff).byte(19, 0xff);
    assert!(packet.parse().is_ok());
}

#[test]
fn version_3_knows_no_authentication() {
    for kind in [Three, Six] {
        let packet = Packet::new(kind);
        let read = packet.parse_as(|e| e.auth = AuthSettings::Password([1; 8]));
        assert!(read.is_ok());
    }
}

#[test]
fn an_empty_list_is_refused_only_if_ours_is_not() {
    for kind in KINDS {
        let packet = Packet::new(kind).bare();
        assert_eq!(packet.parse(), Err(Reject::NoAddresses));
        let read = packet.parse_as(|e| (e.addresses, e.strict) = (0, true));
        let read = read.expect("we have none either");
        assert!(read.addrs.is_empty() && read.link_local_first);
    }
}

#[test]
fn interval_0_is_refused() {
    for kind in [Three, Six] {
        let packet = Packet::new(kind).byte(5, 0);
        assert_eq!(packet.parse(), Err(Reject::ZeroInterval));
        let packet = packet.byte(4, 0xf0);
        assert_eq!(packet.parse(), Err(Reject::ZeroInterval), "reserved bits");
    }
    let (theirs, ours) = (Duration::ZERO, Duration::from_secs(1));
    let packet = Packet::new(Two).byte(5, 0);
    assert_eq!(packet.parse(), Err(Reject::Interval { theirs, ours }));
}

#[test]
fn version_2_insists_on_its_own_interval() {
    let packet = Packet::new(Two).byte(5, 3);
    let (theirs, ours) = (Duration::from_secs(3), Duration::from_secs(1));
    assert_eq!(packet.parse(), Err(Reject::Interval { theirs, ours }));
    assert!(packet.parse_as(|e| e.adver = theirs).is_ok());
    let half = Duration::from_millis(2500);
    assert!(
        packet.parse_as(|e| e.adver = half).is_ok(),
        "rounded as we send it"
    );
}

#[test]
fn version_3_takes_any_other_interval_and_ignores_reserved_bits() {
    for kind in [Three, Six] {
        let packet = Packet::new(kind).byte(4, 0xff).byte(5, 0xff);
        let adver = packet.parse().map(|a| a.adver);
        assert_eq!(adver, Ok(Duration::from_millis(40_950)));
        let packet = packet.byte(4, 0xa0).byte(5, 1);
        let adver = packet.parse().map(|a| a.adver);
        assert_eq!(adver, Ok(Duration::from_millis(10)));
    }
}

#[test]
fn a_list_without_link_local_address_first_is_heeded_unless_strict() {
    let packet = Packet::new(Six).byte(8, 0xfd);
    let advert = packet.parse().expect("keepalived sends such lists");
    assert!(!advert.link_local_first);
    let strict = packet.parse_as(|e| e.strict = true);
    assert_eq!(strict, Err(Reject::NotLinkLocal));
    for kind in KINDS {
        assert!(Packet::new(kind).parse_as(|e| e.strict = true).is_ok());
    }
}

/// Spoils everything, then mends one thing after another: the reasons come in their order.
#[test]
fn the_rules_are_applied_in_the_order_of_the_rfc() {
    let mut packet = Packet::new(Six).bare();
    packet.payload = vec![0x42, 0, 150, 0, 0, 0, 0xde, 0xad];
    packet.hop_limit = 1;
    let spoilt = |e: &mut Expect| (e.owner_ignores, e.strict) = (true, true);
    let mut seen = Vec::new();
    let mut look = |packet: &Packet, change: &dyn Fn(&mut Expect)| {
        seen.push(
            packet
                .parse_as(change)
                .map_or_else(|r| r.name(), |_| "heeded"),
        );
    };
    look(&packet, &spoilt);
    packet.hop_limit = 255;
    look(&packet, &spoilt);
    packet.payload[0] = 0x32;
    look(&packet, &spoilt);
    packet.payload[0] = 0x31;
    packet.payload.truncate(7);
    look(&packet, &spoilt);
    packet.payload.extend([0, 9]);
    look(&packet, &spoilt);
    packet.payload.truncate(8);
    look(&packet, &spoilt);
    packet = packet.sealed();
    look(&packet, &spoilt);
    packet = packet.byte(1, 51);
    look(&packet, &|e| {
        (e.owner_ignores, e.strict, e.unicast) = (true, true, true)
    });
    look(&packet, &spoilt);
    look(&packet, &|e| e.strict = true);
    packet.payload[3] = 1;
    packet.payload.extend([0xfd; 16]);
    packet = packet.sealed();
    look(&packet, &|e| e.strict = true);
    packet = packet.byte(5, 100);
    look(&packet, &|e| e.strict = true);
    look(&packet, &|_| ());
    assert_eq!(
        seen,
        [
            "hop_limit",
            "version",
            "type",
            "too_short",
            "length",
            "checksum",
            "zero_vrid",
            "destination",
            "owner_ignores",
            "no_addresses",
            "zero_interval",
            "not_link_local",
            "heeded",
        ]
    );
}

#[test]
fn version_2_judges_owner_then_authentication_then_addresses_then_interval() {
    let packet = Packet::new(Two).bare().byte(4, 2).byte(5, 9);
    let read = packet.parse_as(|e| e.owner_ignores = true);
    assert_eq!(read, Err(Reject::OwnerIgnores));
    assert_eq!(packet.parse(), Err(Reject::AuthType(2)));
    let packet = packet.byte(4, 0);
    assert_eq!(packet.parse(), Err(Reject::NoAddresses));
    let read = packet.parse_as(|e| e.addresses = 0);
    assert!(matches!(read, Err(Reject::Interval { .. })));
}
