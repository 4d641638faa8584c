//! What a simulated wire needs to read of a frame: where it goes, whose it is, what it claims.

use crate::model::ids::Family;
use crate::wire::ip::{parse_v4, parse_v6};
use crate::wire::template::PROTOCOL;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// An IP packet of protocol 112, taken apart as a raw socket would.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Family.
    pub family: Family,
    /// Source.
    pub src: IpAddr,
    /// Destination.
    pub dst: IpAddr,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// What follows the header.
    pub payload: &'a [u8],
}

/// Reads the header of an IPv4 or IPv6 packet; `None` if a kernel would not deliver it to VRRP.
pub fn ip(frame: &[u8]) -> Option<Packet<'_>> {
    if let Some(packet) = parse_v4(frame).filter(|p| p.protocol == PROTOCOL) {
        return Some(Packet {
            family: Family::V4,
            src: packet.src.into(),
            dst: packet.dst.into(),
            hop_limit: packet.ttl,
            payload: packet.payload,
        });
    }
    let packet = parse_v6(frame).filter(|p| p.next_header == PROTOCOL)?;
    Some(Packet {
        family: Family::V6,
        src: packet.src.into(),
        dst: packet.dst.into(),
        hop_limit: packet.hop_limit,
        payload: packet.payload,
    })
}

/// The claim of an advert, unchecked: for timelines and invariants, never for decisions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Glance {
    /// Version.
    pub version: u8,
    /// Virtual router identifier.
    pub vrid: u8,
    /// Priority; 0 resigns.
    pub priority: u8,
    /// Number of addresses.
    pub count: u8,
    /// Interval.
    pub interval: Duration,
}

/// Glances at an advert; `None` if it is too short to hold one.
pub fn glance(payload: &[u8]) -> Option<Glance> {
    let &[kind, vrid, priority, count, four, five, ..] = payload else {
        return None;
    };
    let version = kind >> 4;
    let interval = if version == 2 {
        Duration::from_secs(five.into())
    } else {
        Duration::from_millis(u64::from(u16::from_be_bytes([four & 0x0f, five])) * 10)
    };
    Some(Glance {
        version,
        vrid,
        priority,
        count,
        interval,
    })
}

/// The address that an Ethernet frame announces: gratuitous ARP or unsolicited neighbour
/// advertisement; `None` for anything else.
pub fn announced(frame: &[u8]) -> Option<IpAddr> {
    match frame.get(12..14)? {
        [0x08, 0x06] => {
            let sender: [u8; 4] = frame.get(28..32)?.try_into().ok()?;
            let target: [u8; 4] = frame.get(38..42)?.try_into().ok()?;
            (sender == target).then(|| Ipv4Addr::from(sender).into())
        }
        [0x86, 0xdd] => {
            if *frame.get(54)? != 136 {
                return None;
            }
            let target: [u8; 16] = frame.get(62..78)?.try_into().ok()?;
            Some(Ipv6Addr::from(target).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::forge::Forge;

    #[test]
    fn a_forged_packet_is_taken_apart_again() {
        for src in [
            IpAddr::from([10, 0, 0, 9]),
            IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 9]),
        ] {
            let frame = Forge::v3(51, 100).from(src).packet();
            let packet = ip(&frame).expect("whole");
            assert_eq!((packet.src, packet.hop_limit), (src, 255));
            let claim = glance(packet.payload).expect("long enough");
            assert_eq!((claim.version, claim.vrid, claim.priority), (3, 51, 100));
            assert_eq!(claim.interval, Duration::from_secs(1));
        }
    }

    #[test]
    fn a_cut_packet_is_not_read_beyond_its_end() {
        let frame = Forge::v3(51, 100).packet();
        for end in 0..frame.len() {
            assert!(ip(&frame[..end]).is_none(), "cut at {end}");
        }
    }

    #[test]
    fn announcements_name_their_address() {
        let arp = [
            [0xff; 6].as_slice(),
            &[2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
            &[2, 0, 0, 0, 0, 1, 10, 0, 0, 5],
            &[0xff; 6],
            &[10, 0, 0, 5],
        ]
        .concat();
        assert_eq!(announced(&arp), Some(IpAddr::from([10, 0, 0, 5])));
        assert_eq!(announced(&arp[..41]), None);
    }
}
