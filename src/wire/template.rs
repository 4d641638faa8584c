//! Adverts as they leave: built once, then only priority and checksum are patched.

use crate::model::ids::{Family, Version, Vrid};
use crate::model::priority::Claim;
use crate::model::settings::AuthSettings;
use crate::model::time::{Centis, nanos};
use crate::wire::checksum::{self, Sum};
use crate::wire::ip::{self, HEADER4, HEADER6};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Destination of multicast adverts over IPv4 (RFC 9568 §5.1.1.2).
pub const GROUP4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// Destination of multicast adverts over IPv6 (RFC 9568 §5.1.2.2).
pub const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
/// IP protocol and IPv6 next header.
pub const PROTOCOL: u8 = 112;

/// Bytes before the addresses.
pub(in crate::wire) const FIXED: usize = 8;
/// The one type of message.
const ADVERTISEMENT: u8 = 1;

/// Bytes of authentication data after the addresses; version 2 always has them.
pub(in crate::wire) const fn trailer(version: Version) -> usize {
    match version {
        Version::V2 => 8,
        Version::V3 => 0,
    }
}

/// Bytes of an address.
pub(in crate::wire) const fn address_len(family: Family) -> usize {
    match family {
        Family::V4 => 4,
        Family::V6 => 16,
    }
}

/// How many addresses one advert carries: 255, or what the MTU allows; none for version 2 over IPv6.
pub fn capacity(version: Version, family: Family, mtu: u32) -> usize {
    let header = match (version, family) {
        (Version::V2 | Version::V3, Family::V4) => HEADER4,
        (Version::V3, Family::V6) => HEADER6,
        (Version::V2, Family::V6) => return 0,
    };
    let room = usize::try_from(mtu)
        .unwrap_or(usize::MAX)
        .saturating_sub(header + FIXED + trailer(version));
    (room / address_len(family)).min(255)
}

/// The interval in the units of the wire: whole seconds 1..=255, or centiseconds 1..=4095.
pub(in crate::wire) fn interval_field(version: Version, adver: Duration) -> u16 {
    match version {
        Version::V2 => {
            let seconds = nanos(adver).saturating_add(500_000_000) / 1_000_000_000;
            u16::try_from(seconds.clamp(1, 255)).unwrap_or(255)
        }
        Version::V3 => Centis::from_duration(adver).wire(),
    }
}

/// What a router's adverts say.
#[derive(Clone, Copy, Debug)]
pub struct Spec<'a> {
    /// Version of the protocol.
    pub version: Version,
    /// Virtual router identifier.
    pub vrid: Vrid,
    /// Own advertisement interval.
    pub adver: Duration,
    /// Source address; its family is the family of the adverts.
    pub source: IpAddr,
    /// One frame goes to each; those of another family are left out.
    pub destinations: &'a [IpAddr],
    /// Virtual addresses in order; those beyond [`capacity`] or of another family are left out.
    pub addresses: &'a [IpAddr],
    /// Version 2 authentication.
    pub auth: AuthSettings,
    /// No pseudo-header in version 3 over IPv4.
    pub checksum_as_v2: bool,
    /// Largest packet of the link.
    pub mtu: u32,
}

/// One router's frames, one for each destination: IP header and VRRP message.
#[derive(Clone)]
pub struct Template {
    claim: Claim,
    header: usize,
    frame: usize,
    bytes: Vec<u8>,
    destinations: Vec<IpAddr>,
}

impl Template {
    /// Builds the frames; they claim [`Claim::Release`] until [`Template::set`] says otherwise.
    ///
    /// Version 2 over IPv6 does not exist and gives no frames.
    pub fn new(spec: &Spec<'_>) -> Self {
        Self::build(spec, Claim::Release)
    }

    fn build(spec: &Spec<'_>, claim: Claim) -> Self {
        let family = Family::of(spec.source);
        let message = message(spec, claim);
        let sum = Sum::of(&message);
        let len = u16::try_from(message.len()).unwrap_or(u16::MAX);
        let mut bytes = Vec::new();
        let mut destinations = Vec::with_capacity(spec.destinations.len());
        let header = match family {
            Family::V4 => HEADER4,
            Family::V6 => HEADER6,
        };
        for &dst in spec.destinations {
            let pseudo = Sum::pseudo(spec.source, dst, PROTOCOL, message.len());
            let sum = match (spec.source, dst, spec.version) {
                (IpAddr::V4(src), IpAddr::V4(dst), version) => {
                    ip::push_v4(&mut bytes, src, dst, PROTOCOL, len);
                    match version {
                        Version::V3 if !spec.checksum_as_v2 => pseudo.plus(sum),
                        Version::V2 | Version::V3 => sum,
                    }
                }
                (IpAddr::V6(src), IpAddr::V6(dst), Version::V3) => {
                    ip::push_v6(&mut bytes, src, dst, PROTOCOL, len);
                    pseudo.plus(sum)
                }
                (IpAddr::V6(_), IpAddr::V6(_), Version::V2)
                | (IpAddr::V4(_), IpAddr::V6(_), _)
                | (IpAddr::V6(_), IpAddr::V4(_), _) => continue,
            };
            let start = bytes.len();
            bytes.extend_from_slice(&message);
            if let Some([_, _, _, _, _, _, c0, c1, ..]) = bytes.get_mut(start..) {
                [*c0, *c1] = sum.checksum().to_be_bytes();
            }
            destinations.push(dst);
        }
        Self {
            claim,
            header,
            frame: header + message.len(),
            bytes,
            destinations,
        }
    }

    /// Changes what all frames claim, priority and checksum. Allocates nothing.
    pub fn set(&mut self, claim: Claim) {
        let from = u16::from(self.claim.wire()) << 8;
        let to = u16::from(claim.wire()) << 8;
        if from == to {
            return;
        }
        for frame in self.bytes.chunks_exact_mut(self.frame) {
            if let Some([_, _, priority, _, _, _, c0, c1, ..]) = frame.get_mut(self.header..) {
                *priority = claim.wire();
                let sum = u16::from_be_bytes([*c0, *c1]);
                [*c0, *c1] = checksum::replace(sum, from, to).to_be_bytes();
            }
        }
        self.claim = claim;
    }

    /// What the frames claim.
    pub fn claim(&self) -> Claim {
        self.claim
    }

    /// The frames and where they go. Allocates nothing.
    pub fn frames(&self) -> impl Iterator<Item = (IpAddr, &[u8])> {
        self.destinations
            .iter()
            .copied()
            .zip(self.bytes.chunks_exact(self.frame))
    }
}

/// Does not show the frames: version 2 carries the password in them.
impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template")
            .field("claim", &self.claim)
            .field("destinations", &self.destinations)
            .field("frame", &self.frame)
            .finish_non_exhaustive()
    }
}

/// The VRRP message with a checksum of zero.
fn message(spec: &Spec<'_>, claim: Claim) -> Vec<u8> {
    let family = Family::of(spec.source);
    let fitting = spec
        .addresses
        .iter()
        .filter(|addr| Family::of(**addr) == family)
        .take(capacity(spec.version, family, spec.mtu));
    let mut addresses = Vec::new();
    let mut count = 0u8;
    for addr in fitting {
        match addr {
            IpAddr::V4(a) => addresses.extend_from_slice(&a.octets()),
            IpAddr::V6(a) => addresses.extend_from_slice(&a.octets()),
        }
        count = count.saturating_add(1);
    }
    let (kind, auth) = match spec.auth {
        AuthSettings::None => (0, [0; 8]),
        AuthSettings::Password(password) => (1, password),
    };
    let [high, low] = interval_field(spec.version, spec.adver).to_be_bytes();
    let (high, auth) = match spec.version {
        Version::V2 => (kind, auth.as_slice()),
        Version::V3 => (high, [].as_slice()),
    };
    let fixed: [u8; FIXED] = [
        spec.version.wire() << 4 | ADVERTISEMENT,
        spec.vrid.get(),
        claim.wire(),
        count,
        high,
        low,
        0,
        0,
    ];
    [&fixed, addresses.as_slice(), auth].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::LinkId;
    use crate::model::priority::Priority;
    use crate::wire::advert::{Advert, ChecksumForm, Datagram, Expect};
    use proptest::prelude::*;

    const SRC4: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
    const VIP4: [IpAddr; 1] = [IpAddr::V4(Ipv4Addr::new(10, 9, 0, 51))];

    fn spec(version: Version) -> Spec<'static> {
        Spec {
            version,
            vrid: Vrid::new(51).expect("not zero"),
            adver: Duration::from_secs(1),
            source: IpAddr::V4(SRC4),
            destinations: &[IpAddr::V4(GROUP4)],
            addresses: &VIP4,
            auth: AuthSettings::None,
            checksum_as_v2: false,
            mtu: 1500,
        }
    }

    fn only_message(template: &Template, header: usize) -> Vec<u8> {
        let (_, frame) = template.frames().next().expect("one destination");
        frame[header..].to_vec()
    }

    #[test]
    fn a_fresh_template_resigns_rather_than_claims() {
        let template = Template::new(&spec(Version::V3));
        assert_eq!(template.claim(), Claim::Release);
        assert_eq!(only_message(&template, HEADER4)[2], 0);
    }

    #[test]
    fn setting_150_and_0_gives_the_worked_examples() {
        let mut template = Template::new(&spec(Version::V2));
        template.set(Claim::from_wire(150));
        let head = |t: &Template| only_message(t, HEADER4)[..8].to_vec();
        assert_eq!(head(&template), [0x21, 51, 150, 1, 0, 1, 0x3e, 0x8e]);
        template.set(Claim::Release);
        assert_eq!(head(&template), [0x21, 51, 0, 1, 0, 1, 0xd4, 0x8e]);

        let mut template = Template::new(&spec(Version::V3));
        template.set(Claim::from_wire(150));
        assert_eq!(head(&template), [0x31, 51, 150, 1, 0, 100, 0x43, 0x92]);
        let mut template = Template::new(&Spec {
            checksum_as_v2: true,
            ..spec(Version::V3)
        });
        template.set(Claim::from_wire(150));
        assert_eq!(head(&template), [0x31, 51, 150, 1, 0, 100, 0x2e, 0x2b]);
    }

    #[test]
    fn an_mtu_limits_the_addresses_and_255_is_the_end() {
        assert_eq!(capacity(Version::V2, Family::V4, 1500), 255);
        assert_eq!(capacity(Version::V3, Family::V4, 1047), 254);
        assert_eq!(capacity(Version::V3, Family::V4, 1048), 255);
        assert_eq!(capacity(Version::V2, Family::V4, 1055), 254);
        assert_eq!(capacity(Version::V2, Family::V4, 1056), 255);
        assert_eq!(capacity(Version::V3, Family::V6, 1280), 77);
        assert_eq!(capacity(Version::V3, Family::V6, 1500), 90);
        assert_eq!(capacity(Version::V3, Family::V6, u32::MAX), 255);
        assert_eq!(capacity(Version::V3, Family::V6, 0), 0);
        assert_eq!(capacity(Version::V2, Family::V6, 1500), 0);
    }

    #[test]
    fn surplus_addresses_stay_out_of_the_advert() {
        let addresses: Vec<IpAddr> = (0..300u16)
            .map(|n| Ipv4Addr::from(0x0a09_0100 + u32::from(n)).into())
            .collect();
        for (mtu, fit) in [(1500, 255), (68, 10)] {
            let template = Template::new(&Spec {
                addresses: &addresses,
                mtu,
                ..spec(Version::V3)
            });
            let message = only_message(&template, HEADER4);
            assert_eq!(usize::from(message[3]), fit);
            assert_eq!(message.len(), 8 + 4 * fit);
        }
    }

    #[test]
    fn what_is_of_another_family_is_left_out() {
        let six = IpAddr::V6(GROUP6);
        let template = Template::new(&Spec {
            destinations: &[six, IpAddr::V4(GROUP4)],
            addresses: &[six, VIP4[0]],
            ..spec(Version::V3)
        });
        assert_eq!(template.frames().count(), 1);
        assert_eq!(only_message(&template, HEADER4)[3], 1);
    }

    #[test]
    fn version_2_over_ipv6_gives_no_frames() {
        let template = Template::new(&Spec {
            source: "fe80::1".parse().expect("an address"),
            destinations: &[IpAddr::V6(GROUP6)],
            ..spec(Version::V2)
        });
        assert_eq!(template.frames().count(), 0);
    }

    #[test]
    fn intervals_are_rounded_to_what_the_wire_can_say() {
        let field = |version, ms| interval_field(version, Duration::from_millis(ms));
        assert_eq!(field(Version::V2, 1500), 2);
        assert_eq!(field(Version::V2, 0), 1);
        assert_eq!(field(Version::V2, 999_000), 255);
        assert_eq!(field(Version::V3, 920), 92);
        assert_eq!(field(Version::V3, 99_000), 4095);
    }

    #[test]
    fn debug_does_not_show_the_password() {
        let template = Template::new(&Spec {
            auth: AuthSettings::Password(*b"s3cretpw"),
            ..spec(Version::V2)
        });
        let text = format!("{template:?}");
        assert!(!text.contains("115") && !text.contains("s3"), "{text}");
    }

    #[derive(Clone, Debug)]
    struct Owned {
        version: Version,
        vrid: Vrid,
        adver: Duration,
        source: IpAddr,
        destinations: Vec<IpAddr>,
        addresses: Vec<IpAddr>,
        auth: AuthSettings,
        checksum_as_v2: bool,
    }

    impl Owned {
        fn spec(&self) -> Spec<'_> {
            Spec {
                version: self.version,
                vrid: self.vrid,
                adver: self.adver,
                source: self.source,
                destinations: &self.destinations,
                addresses: &self.addresses,
                auth: self.auth,
                checksum_as_v2: self.checksum_as_v2,
                mtu: 9000,
            }
        }
    }

    fn any_addr(family: Family) -> BoxedStrategy<IpAddr> {
        match family {
            Family::V4 => any::<Ipv4Addr>().prop_map(IpAddr::V4).boxed(),
            Family::V6 => any::<Ipv6Addr>().prop_map(IpAddr::V6).boxed(),
        }
    }

    fn any_owned() -> impl Strategy<Value = Owned> {
        let kinds = prop_oneof![
            Just((Version::V2, Family::V4)),
            Just((Version::V3, Family::V4)),
            Just((Version::V3, Family::V6)),
        ];
        kinds.prop_flat_map(|(version, family)| {
            let adver = match version {
                Version::V2 => (1u64..=255).prop_map(Duration::from_secs).boxed(),
                Version::V3 => (1u64..=4095)
                    .prop_map(|cs| Duration::from_millis(cs * 10))
                    .boxed(),
            };
            (
                1u8..=255,
                adver,
                any_addr(family),
                prop::collection::vec(any_addr(family), 1..4),
                prop::collection::vec(any_addr(family), 0..=255),
                prop::option::of(any::<[u8; 8]>()),
                any::<bool>(),
            )
                .prop_map(move |t| Owned {
                    version,
                    vrid: Vrid::new(t.0).expect("from 1 up"),
                    adver: t.1,
                    source: t.2,
                    destinations: t.3,
                    addresses: t.4,
                    auth: t.5.map_or(AuthSettings::None, AuthSettings::Password),
                    checksum_as_v2: t.6,
                })
        })
    }

    fn frames(template: &Template) -> Vec<(IpAddr, Vec<u8>)> {
        template
            .frames()
            .map(|(dst, frame)| (dst, frame.to_vec()))
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn a_patched_template_is_a_rebuilt_one(owned in any_owned(), claims: [u8; 5]) {
            let mut patched = Template::new(&owned.spec());
            for octet in claims {
                let claim = Claim::from_wire(octet);
                patched.set(claim);
                let rebuilt = Template::build(&owned.spec(), claim);
                prop_assert_eq!(frames(&patched), frames(&rebuilt));
                prop_assert_eq!(patched.claim(), claim);
            }
        }

        #[test]
        fn what_is_emitted_is_read_and_emitted_again(owned in any_owned(), priority in 1u8..=255) {
            let claim = Claim::Hold(Priority::new(priority).expect("from 1 up"));
            let mut template = Template::new(&owned.spec());
            template.set(claim);
            prop_assert_eq!(template.frames().count(), owned.destinations.len());
            for (dst, frame) in template.frames() {
                let (family, payload) = match Family::of(dst) {
                    Family::V4 => (Family::V4, ip::parse_v4(frame).expect("IPv4").payload),
                    Family::V6 => (Family::V6, ip::parse_v6(frame).expect("IPv6").payload),
                };
                let datagram = Datagram {
                    link: LinkId(1),
                    family,
                    src: owned.source,
                    dst,
                    hop_limit: 255,
                    payload,
                };
                let read = Advert::parse(&datagram, &Expect {
                    version: owned.version,
                    unicast: !dst.is_multicast(),
                    auth: owned.auth,
                    adver: owned.adver,
                    addresses: owned.addresses.len(),
                    strict: false,
                    owner_ignores: false,
                });
                let empty = owned.addresses.is_empty();
                let read = read.expect("our own adverts are good");
                prop_assert_eq!(read.version, owned.version);
                prop_assert_eq!(read.vrid, owned.vrid);
                prop_assert_eq!(read.claim, claim);
                prop_assert_eq!(read.adver, owned.adver);
                prop_assert_eq!(read.addrs.is_empty(), empty);
                let addresses: Vec<IpAddr> = read.addrs.iter().collect();
                prop_assert_eq!(&addresses, &owned.addresses);

                let again = Template::build(&Spec {
                    version: read.version,
                    vrid: read.vrid,
                    adver: read.adver,
                    destinations: &[dst],
                    addresses: &addresses,
                    checksum_as_v2: read.form == Some(ChecksumForm::Message),
                    ..owned.spec()
                }, read.claim);
                prop_assert_eq!(frames(&again), vec![(dst, frame.to_vec())]);
            }
        }
    }
}
