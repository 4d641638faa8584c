//! VRRP advertisements: what arrived, and whether to believe it.

use crate::model::addr::is_link_local;
use crate::model::ids::{Family, LinkId, Version, Vrid};
use crate::model::priority::Claim;
use crate::model::settings::AuthSettings;
use crate::model::time::Centis;
use crate::wire::checksum::Sum;
use crate::wire::ip::{HEADER4, HEADER6, HOP_LIMIT};
pub use crate::wire::reject::Reject;
use crate::wire::template::{self, FIXED, GROUP4, PROTOCOL};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// The longest IP packet that Ethernet pads.
const PADDED: usize = 46;

/// A packet of protocol 112 as a socket hands it over; payload begins after the IP header.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// The link it came in on.
    pub link: LinkId,
    /// The family of the carrying packet.
    pub family: Family,
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// What follows the IP header.
    pub payload: &'a [u8],
}

/// What a virtual router expects of an advert.
#[derive(Clone, Copy, Debug)]
pub struct Expect {
    /// Our version.
    pub version: Version,
    /// We are a unicast router: any hop limit, no multicast.
    pub unicast: bool,
    /// Our authentication.
    pub auth: AuthSettings,
    /// Our own interval.
    pub adver: Duration,
    /// How many addresses we advertise.
    pub addresses: usize,
    /// An IPv6 list must begin with a link-local address.
    pub strict: bool,
    /// We are the owner, and `owner_ignore_adverts` is set.
    pub owner_ignores: bool,
}

/// The VRID of a message, to find whom it is for; `None` if it has none.
pub fn vrid_of(payload: &[u8]) -> Option<Vrid> {
    payload.get(1).copied().and_then(Vrid::new)
}

/// An advert that was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Advert<'a> {
    /// Version of the protocol.
    pub version: Version,
    /// Virtual router identifier.
    pub vrid: Vrid,
    /// What its sender says of itself.
    pub claim: Claim,
    /// The sender's interval.
    pub adver: Duration,
    /// Virtual addresses in order.
    pub addrs: AddrList<'a>,
    /// How version 3 over IPv4 was summed; `None` where there is but one way.
    pub form: Option<ChecksumForm>,
    /// The first address is link-local; true for IPv4 and for an empty list.
    pub link_local_first: bool,
}

/// How version 3 over IPv4 is summed; there is no agreement.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ChecksumForm {
    /// With a pseudo-header: keepalived, FRR (RFC 5798 as it was read).
    Pseudo,
    /// The message alone: Cisco, Juniper, holo (RFC 9568 §5.2.8).
    Message,
    /// With 224.0.0.18 in the pseudo-header of a unicast advert: keepalived before 1.3.7.
    OldUnicast,
}

impl<'a> Advert<'a> {
    /// Reads an advert and applies every rule of ours; the caller has found us by its VRID.
    ///
    /// # Errors
    /// The first rule it breaks, in the order of RFC 9568 §7.1. [`Reject::AddressList`] and
    /// [`Reject::Source`] are left to the caller, who knows the lists. Allocates nothing.
    pub fn parse(d: &Datagram<'a>, expect: &Expect) -> Result<Self, Reject> {
        // Unicast may cross routers (keepalived.conf(5) unicast_peer).
        if !expect.unicast && d.hop_limit != HOP_LIMIT {
            return Err(Reject::HopLimit(d.hop_limit));
        }
        let (advert, field, auth) = read(d, Some(expect.version))?;
        if d.dst.is_multicast() == expect.unicast {
            return Err(Reject::Destination);
        }
        if expect.owner_ignores {
            return Err(Reject::OwnerIgnores);
        }
        if let Some(auth) = auth {
            auth.check(expect.auth)?;
        }
        if advert.addrs.is_empty() && expect.addresses > 0 {
            return Err(Reject::NoAddresses);
        }
        match advert.version {
            Version::V3 if field == 0 => Err(Reject::ZeroInterval),
            Version::V3 if expect.strict && !advert.link_local_first => Err(Reject::NotLinkLocal),
            Version::V2 if field != template::interval_field(Version::V2, expect.adver) => {
                Err(Reject::Interval {
                    theirs: advert.adver,
                    ours: expect.adver,
                })
            }
            Version::V2 | Version::V3 => Ok(advert),
        }
    }

    /// Reads an advert of either version: structure and checksum, no rule of ours.
    ///
    /// # Errors
    /// [`Reject::Version`], [`Reject::Kind`], [`Reject::TooShort`], [`Reject::Length`],
    /// [`Reject::Checksum`], [`Reject::ZeroVrid`]. Allocates nothing.
    pub fn decode(d: &Datagram<'a>) -> Result<Self, Reject> {
        read(d, None).map(|(advert, _, _)| advert)
    }
}

/// The authentication fields of version 2.
struct Auth<'a> {
    kind: u8,
    data: &'a [u8],
}

impl Auth<'_> {
    fn check(&self, ours: AuthSettings) -> Result<(), Reject> {
        match (self.kind, ours) {
            // Whatever stands in the data then (RFC 3768 §5.3.10).
            (0, AuthSettings::None) => Ok(()),
            (1, AuthSettings::Password(password)) => {
                // No early end: the time taken tells nothing of the password.
                let differ = password
                    .iter()
                    .zip(self.data)
                    .fold(0, |differ, (ours, theirs)| differ | (ours ^ theirs));
                if differ == 0 && self.data.len() == password.len() {
                    Ok(())
                } else {
                    Err(Reject::AuthFailed)
                }
            }
            (kind, AuthSettings::None | AuthSettings::Password(_)) => Err(Reject::AuthType(kind)),
        }
    }
}

/// Structure and checksum: the advert, its interval field, its authentication if it has that.
fn read<'a>(
    d: &Datagram<'a>,
    only: Option<Version>,
) -> Result<(Advert<'a>, u16, Option<Auth<'a>>), Reject> {
    let have = d.payload.len();
    let short = |need| Reject::TooShort { have, need };
    let first = *d.payload.first().ok_or(short(FIXED))?;
    let version = match (first >> 4, d.family) {
        (2, Family::V4) => Version::V2,
        (3, Family::V4 | Family::V6) => Version::V3,
        (other, Family::V4 | Family::V6) => return Err(Reject::Version(other)),
    };
    if only.is_some_and(|only| only != version) {
        return Err(Reject::Version(version.wire()));
    }
    if first & 0x0f != 1 {
        return Err(Reject::Kind(first & 0x0f));
    }
    let (fixed, _) = d.payload.split_first_chunk::<FIXED>().ok_or(short(FIXED))?;
    let [_, vrid, priority, count, high, low, c0, c1] = *fixed;
    let end = FIXED + usize::from(count) * template::address_len(d.family);
    let need = end + template::trailer(version);
    let message = d.payload.get(..need).ok_or(short(need))?;
    if have > need && !padded(d) {
        return Err(Reject::Length { have, need });
    }
    let form = summed(d, version, message, u16::from_be_bytes([c0, c1]))?;
    let vrid = Vrid::new(vrid).ok_or(Reject::ZeroVrid)?;
    let addrs = AddrList {
        family: d.family,
        bytes: message.get(FIXED..end).unwrap_or(&[]),
    };
    let (field, adver, auth) = match version {
        Version::V2 => {
            let data = message.get(end..).unwrap_or(&[]);
            let seconds = Duration::from_secs(u64::from(low));
            (u16::from(low), seconds, Some(Auth { kind: high, data }))
        }
        Version::V3 => {
            // The four bits above the interval are reserved and ignored.
            let centis = Centis::from_wire(u16::from_be_bytes([high, low]));
            (centis.wire(), centis.duration(), None)
        }
    };
    let link_local_first = match d.family {
        Family::V4 => true,
        Family::V6 => addrs.get(0).is_none_or(is_link_local),
    };
    let advert = Advert {
        version,
        vrid,
        claim: Claim::from_wire(priority),
        adver,
        addrs,
        form,
        link_local_first,
    };
    Ok((advert, field, auth))
}

/// Whether bytes after the message can be Ethernet's padding: the packet fills up to the least frame.
fn padded(d: &Datagram<'_>) -> bool {
    let header = match d.family {
        Family::V4 => HEADER4,
        Family::V6 => HEADER6,
    };
    header + d.payload.len() <= PADDED
}

/// Verifies the checksum and tells its form.
fn summed(
    d: &Datagram<'_>,
    version: Version,
    message: &[u8],
    found: u16,
) -> Result<Option<ChecksumForm>, Reject> {
    let alone = Sum::of(message);
    let pseudo = |dst| Sum::pseudo(d.src, dst, PROTOCOL, message.len()).plus(alone);
    let sound = |sum: Sum| sum.fold() == 0xffff;
    let (wanted, form) = match (version, d.family) {
        (Version::V2, Family::V4 | Family::V6) => (alone, None),
        (Version::V3, Family::V6) => (pseudo(d.dst), None),
        (Version::V3, Family::V4) => (pseudo(d.dst), Some(ChecksumForm::Pseudo)),
    };
    if sound(wanted) {
        return Ok(form);
    }
    if form.is_some() {
        // Each form covers the whole message, so taking either gives nothing away.
        if sound(alone) {
            return Ok(Some(ChecksumForm::Message));
        }
        if !d.dst.is_multicast() && sound(pseudo(GROUP4.into())) {
            return Ok(Some(ChecksumForm::OldUnicast));
        }
    }
    Err(Reject::Checksum {
        found,
        expected: wanted.without(found).checksum(),
    })
}

/// The addresses of an advert, still in its bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AddrList<'a> {
    family: Family,
    bytes: &'a [u8],
}

impl<'a> AddrList<'a> {
    /// How many.
    pub fn len(&self) -> usize {
        self.bytes.len() / template::address_len(self.family)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// In order. Allocates nothing.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + use<'a> {
        let family = self.family;
        self.bytes
            .chunks_exact(template::address_len(family))
            .filter_map(address)
    }

    /// The address at a place.
    pub fn get(&self, place: usize) -> Option<IpAddr> {
        let len = template::address_len(self.family);
        let start = place.checked_mul(len)?;
        self.bytes
            .get(start..start.checked_add(len)?)
            .and_then(address)
    }
}

impl std::fmt::Debug for AddrList<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Four bytes or sixteen.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(four).into());
    }
    <[u8; 16]>::try_from(bytes)
        .ok()
        .map(|sixteen| Ipv6Addr::from(sixteen).into())
}

#[cfg(test)]
mod tests;
