//! Adverts made by hand, right or wrong in any field, without the code under test.
//!
//! A simulated stranger sends these. Checksums are computed here a second time on purpose: a fault
//! shared by builder and reader would otherwise cancel out.

use crate::model::time::nanos;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Another router's advert, field by field; what is not set is right.
#[derive(Clone, Debug)]
pub struct Forge {
    version: u8,
    kind: u8,
    vrid: u8,
    priority: u8,
    interval: Duration,
    src: IpAddr,
    dst: Option<IpAddr>,
    hop_limit: u8,
    addresses: Vec<IpAddr>,
    count: Option<u8>,
    auth: (u8, [u8; 8]),
    pseudo_header: bool,
    spoil_checksum: bool,
    trailing: usize,
    cut: usize,
}

impl Forge {
    /// A version 3 advert of 10.0.0.99 for 10.0.0.200, every second.
    pub fn v3(vrid: u8, priority: u8) -> Self {
        Self {
            version: 3,
            kind: 1,
            vrid,
            priority,
            interval: Duration::from_secs(1),
            src: IpAddr::from([10, 0, 0, 99]),
            dst: None,
            hop_limit: 255,
            addresses: vec![IpAddr::from([10, 0, 0, 200])],
            count: None,
            auth: (0, [0; 8]),
            pseudo_header: true,
            spoil_checksum: false,
            trailing: 0,
            cut: 0,
        }
    }

    /// A version 2 advert of 10.0.0.99 for 10.0.0.200, every second, without authentication.
    pub fn v2(vrid: u8, priority: u8) -> Self {
        Self {
            version: 2,
            ..Self::v3(vrid, priority)
        }
    }

    /// Source; an IPv6 source makes an IPv6 packet for fe80::200 unless addresses were set.
    pub fn from(mut self, src: impl Into<IpAddr>) -> Self {
        self.src = src.into();
        if self.src.is_ipv6() && self.addresses == [IpAddr::from([10, 0, 0, 200])] {
            self.addresses = vec![IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 0x200])];
        }
        self
    }

    /// Destination, instead of the group.
    pub fn to(mut self, dst: impl Into<IpAddr>) -> Self {
        self.dst = Some(dst.into());
        self
    }

    /// Interval.
    pub const fn every(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// TTL or hop limit.
    pub const fn hop_limit(mut self, hops: u8) -> Self {
        self.hop_limit = hops;
        self
    }

    /// Version nibble, whatever the layout.
    pub const fn says_version(mut self, version: u8) -> Self {
        self.kind = self.kind & 0x0f | version << 4;
        self
    }

    /// Type nibble.
    pub const fn says_type(mut self, kind: u8) -> Self {
        self.kind = self.kind & 0xf0 | kind & 0x0f;
        self
    }

    /// Addresses.
    pub fn holds(mut self, addresses: &[IpAddr]) -> Self {
        self.addresses = addresses.to_vec();
        self
    }

    /// A count octet that does not tell the number of addresses.
    pub const fn says_count(mut self, count: u8) -> Self {
        self.count = Some(count);
        self
    }

    /// Version 2 authentication type and data.
    pub const fn auth(mut self, kind: u8, data: [u8; 8]) -> Self {
        self.auth = (kind, data);
        self
    }

    /// Version 3 over IPv4 with the checksum over the message alone.
    pub const fn without_pseudo_header(mut self) -> Self {
        self.pseudo_header = false;
        self
    }

    /// A wrong checksum.
    pub const fn bad_checksum(mut self) -> Self {
        self.spoil_checksum = true;
        self
    }

    /// So many octets after the message, counted in the length of the packet.
    pub const fn trailing(mut self, octets: usize) -> Self {
        self.trailing = octets;
        self
    }

    /// So many octets missing at the end.
    pub const fn cut(mut self, octets: usize) -> Self {
        self.cut = octets;
        self
    }

    /// Source as set.
    pub const fn source(&self) -> IpAddr {
        self.src
    }

    /// Destination: the group unless one was set.
    pub fn destination(&self) -> IpAddr {
        self.dst.unwrap_or(match self.src {
            IpAddr::V4(_) => Ipv4Addr::new(224, 0, 0, 18).into(),
            IpAddr::V6(_) => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12).into(),
        })
    }

    /// TTL or hop limit as set.
    pub const fn hops(&self) -> u8 {
        self.hop_limit
    }

    /// What follows the IP header.
    pub fn payload(&self) -> Vec<u8> {
        let version = if self.kind > 0x0f {
            self.kind >> 4
        } else {
            self.version
        };
        let octet = |n: u64| u8::try_from(n.min(255)).unwrap_or(255);
        let mut out = vec![
            version << 4 | self.kind & 0x0f,
            self.vrid,
            self.priority,
            self.count
                .unwrap_or_else(|| octet(self.addresses.len() as u64)),
        ];
        if self.version == 2 {
            out.extend([self.auth.0, octet(self.interval.as_secs())]);
        } else {
            let centis = (nanos(self.interval) / 10_000_000).min(4095);
            out.extend(u16::try_from(centis).unwrap_or(4095).to_be_bytes());
        }
        out.extend([0, 0]);
        for address in &self.addresses {
            match address {
                IpAddr::V4(a) => out.extend(a.octets()),
                IpAddr::V6(a) => out.extend(a.octets()),
            }
        }
        if self.version == 2 {
            out.extend(self.auth.1);
        }
        let pseudo = match self.src {
            IpAddr::V4(_) => self.version == 3 && self.pseudo_header,
            IpAddr::V6(_) => true,
        };
        let mut covered = Vec::new();
        if pseudo {
            for address in [self.src, self.destination()] {
                match address {
                    IpAddr::V4(a) => covered.extend(a.octets()),
                    IpAddr::V6(a) => covered.extend(a.octets()),
                }
            }
            covered.extend([0, 112]);
            covered.extend(u16::try_from(out.len()).unwrap_or(0).to_be_bytes());
        }
        covered.extend(&out);
        let mut sum = checksum(&covered);
        if self.spoil_checksum {
            sum ^= 0x5555;
        }
        out[6..8].copy_from_slice(&sum.to_be_bytes());
        out.extend(std::iter::repeat_n(0, self.trailing));
        out.truncate(out.len().saturating_sub(self.cut));
        out
    }

    /// The whole IP packet.
    pub fn packet(&self) -> Vec<u8> {
        let payload = self.payload();
        let length = |more: usize| {
            u16::try_from(payload.len() + more)
                .unwrap_or(u16::MAX)
                .to_be_bytes()
        };
        let mut out = match (self.src, self.destination()) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let total = length(20);
                let mut header = vec![0x45, 0xc0, total[0], total[1], 0, 1, 0, 0];
                header.extend([self.hop_limit, 112, 0, 0]);
                header.extend(src.octets());
                header.extend(dst.octets());
                let sum = checksum(&header);
                header[10..12].copy_from_slice(&sum.to_be_bytes());
                header
            }
            (src, dst) => {
                let length = length(0);
                let mut header = vec![0x6c, 0, 0, 0, length[0], length[1], 112, self.hop_limit];
                for address in [src, dst] {
                    header.extend(match address {
                        IpAddr::V4(a) => a.to_ipv6_mapped().octets(),
                        IpAddr::V6(a) => a.octets(),
                    });
                }
                header
            }
        };
        out.extend(payload);
        out
    }
}

/// The Internet checksum (RFC 1071), the slow and obvious way.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        let low = pair.get(1).copied().unwrap_or(0);
        sum += u32::from(u16::from_be_bytes([pair[0], low]));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum & 0xffff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_checksum_sums_to_zero() {
        let payload = Forge::v2(1, 100).payload();
        assert_eq!(
            payload.len(),
            20,
            "8 of header, 4 of address, 8 of auth data"
        );
        assert_eq!(checksum(&payload), 0);
        assert_ne!(checksum(&Forge::v2(1, 100).bad_checksum().payload()), 0);
    }

    #[test]
    fn a_known_packet_of_another_router_is_reproduced() {
        // FRR's form of a version 3 advert: VRID 51, priority 100, 1 s, with the pseudo-header.
        let payload = Forge::v3(51, 100)
            .from([10, 9, 0, 1])
            .holds(&[IpAddr::from([10, 9, 0, 51])])
            .payload();
        assert_eq!(payload[..6], [0x31, 51, 100, 1, 0, 100]);
        let mut pseudo = vec![10, 9, 0, 1, 224, 0, 0, 18, 0, 112, 0, 12];
        pseudo.extend(&payload);
        assert_eq!(checksum(&pseudo), 0);
    }

    #[test]
    fn wrong_fields_stay_wrong() {
        let forged = Forge::v3(1, 100).says_version(5).says_type(2).says_count(9);
        assert_eq!(forged.payload()[..4], [0x52, 1, 100, 9]);
        assert_eq!(Forge::v3(1, 100).cut(3).payload().len(), 9);
        assert_eq!(Forge::v3(1, 100).trailing(3).payload().len(), 15);
    }
}
