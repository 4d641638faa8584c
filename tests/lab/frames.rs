//! What a captured frame says, read by code that shares nothing with the daemon's own codec.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One captured frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Wall time at which it entered the bridge, in nanoseconds.
    pub at_ns: u64,
    /// Number of the host that sent it; 0 is the client.
    pub from: usize,
    /// What it is.
    pub kind: Kind,
    /// All its bytes.
    pub bytes: Vec<u8>,
}

/// The kinds of frame the tests look at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A VRRP advertisement.
    Advert(Advert),
    /// A gratuitous ARP request for an address.
    Garp(Ipv4Addr),
    /// An unsolicited neighbour advertisement for an address.
    Na(Ipv6Addr),
    /// Anything else.
    Other,
}

/// The fields of an advertisement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Advert {
    pub version: u8,
    pub vrid: u8,
    pub priority: u8,
    /// In centiseconds, whatever the version.
    pub interval_cs: u32,
    pub src: IpAddr,
    pub dst: IpAddr,
    pub hop_limit: u8,
    pub addresses: Vec<IpAddr>,
    /// The checksum is right in the form that keepalived sends.
    pub checksum_ok: bool,
}

impl Frame {
    /// The advertisement in it, if it is one.
    pub fn advert(&self) -> Option<&Advert> {
        match &self.kind {
            Kind::Advert(advert) => Some(advert),
            Kind::Garp(_) | Kind::Na(_) | Kind::Other => None,
        }
    }
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn v4(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    let four: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(Ipv4Addr::from(four))
}

fn v6(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    let sixteen: [u8; 16] = bytes.get(at..at + 16)?.try_into().ok()?;
    Some(Ipv6Addr::from(sixteen))
}

/// The Internet checksum of several parts, each of even length but the last.
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u32::from(u16::from_be_bytes([pair[0], low]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded to 16 bits")
}

/// Reads an Ethernet frame.
pub fn read(bytes: &[u8]) -> Kind {
    let seen = match be16(bytes, 12) {
        Some(0x0800) => read_v4(bytes.get(14..).unwrap_or_default()),
        Some(0x86dd) => read_v6(bytes.get(14..).unwrap_or_default()),
        Some(0x0806) => read_arp(bytes.get(14..).unwrap_or_default()),
        _ => None,
    };
    seen.unwrap_or(Kind::Other)
}

fn read_arp(arp: &[u8]) -> Option<Kind> {
    let (sender, target) = (v4(arp, 14)?, v4(arp, 24)?);
    (sender == target).then_some(Kind::Garp(sender))
}

fn read_v4(ip: &[u8]) -> Option<Kind> {
    let header = usize::from(ip.first()? & 15) * 4;
    let total = usize::from(be16(ip, 2)?);
    if *ip.get(9)? != 112 {
        return None;
    }
    let message = ip.get(header..total)?;
    let pseudo = [
        ip.get(12..20)?,
        &[0, 112],
        &u16::try_from(message.len()).ok()?.to_be_bytes(),
    ]
    .concat();
    let mut advert = read_advert(message, false)?;
    advert.checksum_ok = if advert.version == 2 {
        checksum(&[message]) == 0
    } else {
        checksum(&[&pseudo, message]) == 0
    };
    advert.src = v4(ip, 12)?.into();
    advert.dst = v4(ip, 16)?.into();
    advert.hop_limit = *ip.get(8)?;
    Some(Kind::Advert(advert))
}

fn read_v6(ip: &[u8]) -> Option<Kind> {
    let length = be16(ip, 4)?;
    let message = ip.get(40..40 + usize::from(length))?;
    match ip.get(6)? {
        112 => {
            let pseudo = [
                ip.get(8..40)?,
                &u32::from(length).to_be_bytes(),
                &[0, 0, 0, 112],
            ]
            .concat();
            let mut advert = read_advert(message, true)?;
            advert.checksum_ok = checksum(&[&pseudo, message]) == 0;
            advert.src = v6(ip, 8)?.into();
            advert.dst = v6(ip, 24)?.into();
            advert.hop_limit = *ip.get(7)?;
            Some(Kind::Advert(advert))
        }
        58 if *message.first()? == 136 && *message.get(4)? & 0x40 == 0 => {
            Some(Kind::Na(v6(message, 8)?))
        }
        _ => None,
    }
}

fn read_advert(message: &[u8], six: bool) -> Option<Advert> {
    let version = message.first()? >> 4;
    let count = usize::from(*message.get(3)?);
    let interval_cs = if version == 2 {
        u32::from(*message.get(5)?) * 100
    } else {
        u32::from(be16(message, 4)? & 0x0fff)
    };
    let addresses = (0..count)
        .map(|i| {
            if six {
                v6(message, 8 + 16 * i).map(IpAddr::from)
            } else {
                v4(message, 8 + 4 * i).map(IpAddr::from)
            }
        })
        .collect::<Option<Vec<_>>>()?;
    Some(Advert {
        version,
        vrid: *message.get(1)?,
        priority: *message.get(2)?,
        interval_cs,
        src: Ipv4Addr::UNSPECIFIED.into(),
        dst: Ipv4Addr::UNSPECIFIED.into(),
        hop_limit: 0,
        addresses,
        checksum_ok: false,
    })
}
