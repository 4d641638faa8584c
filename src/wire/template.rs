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
        let claim = Claim::Release;
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
