//! The fields of IP headers that VRRP looks at, and the headers that it sends.

use crate::wire::checksum::Sum;
use std::net::{Ipv4Addr, Ipv6Addr};

/// TTL and hop limit of all we send (RFC 9568 §5.1.1.3).
pub const HOP_LIMIT: u8 = 255;
/// TOS and traffic class of all we send: network control, as keepalived and FRR have it.
pub const TRAFFIC_CLASS: u8 = 0xc0;
/// Bytes of the IPv4 header that we send.
pub const HEADER4: usize = 20;
/// Bytes of the IPv6 header.
pub const HEADER6: usize = 40;

/// What matters of an IPv4 packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ipv4Packet<'a> {
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// Time to live.
    pub ttl: u8,
    /// Protocol of the payload.
    pub protocol: u8,
    /// What follows the header and its options, without what Ethernet padded.
    pub payload: &'a [u8],
}

/// Reads a packet as a raw socket hands it over; `None` if it is not a whole IPv4 packet.
pub fn parse_v4(packet: &[u8]) -> Option<Ipv4Packet<'_>> {
    let (head, _) = packet.split_first_chunk::<HEADER4>()?;
    let [
        vihl,
        _,
        l0,
        l1,
        _,
        _,
        f0,
        f1,
        ttl,
        protocol,
        _,
        _,
        s0,
        s1,
        s2,
        s3,
        d0,
        d1,
        d2,
        d3,
    ] = *head;
    let header = usize::from(vihl & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([l0, l1]));
    // More fragments, or not the first: the message is not whole.
    let fragment = u16::from_be_bytes([f0, f1]) & 0x3fff != 0;
    if vihl >> 4 != 4 || header < HEADER4 || fragment {
        return None;
    }
    Some(Ipv4Packet {
        src: Ipv4Addr::new(s0, s1, s2, s3),
        dst: Ipv4Addr::new(d0, d1, d2, d3),
        ttl,
        protocol,
        payload: packet.get(header..total)?,
    })
}

/// What matters of an IPv6 packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ipv6Packet<'a> {
    /// Source address.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
    /// Hop limit.
    pub hop_limit: u8,
    /// Type of the first header after this one.
    pub next_header: u8,
    /// What follows the fixed header, without what Ethernet padded.
    pub payload: &'a [u8],
}

/// Reads a packet off a link; `None` if it is not a whole IPv6 packet.
pub fn parse_v6(packet: &[u8]) -> Option<Ipv6Packet<'_>> {
    let (head, rest) = packet.split_first_chunk::<8>()?;
    let (src, rest) = rest.split_first_chunk::<16>()?;
    let (dst, rest) = rest.split_first_chunk::<16>()?;
    let [version, _, _, _, l0, l1, next_header, hop_limit] = *head;
    if version >> 4 != 6 {
        return None;
    }
    Some(Ipv6Packet {
        src: Ipv6Addr::from(*src),
        dst: Ipv6Addr::from(*dst),
        hop_limit,
        next_header,
        payload: rest.get(..usize::from(u16::from_be_bytes([l0, l1])))?,
    })
}

/// Appends the header of a packet with so many bytes of payload: no options, identification 0, DF clear.
pub(in crate::wire) fn push_v4(
    out: &mut Vec<u8>,
    src: Ipv4Addr,
    dst: Ipv4Addr,
    protocol: u8,
    payload: u16,
) {
    let [l0, l1] = payload.saturating_add(HEADER4 as u16).to_be_bytes();
    let [s0, s1, s2, s3] = src.octets();
    let [d0, d1, d2, d3] = dst.octets();
    let header = |c0, c1| -> [u8; HEADER4] {
        [
            0x45,
            TRAFFIC_CLASS,
            l0,
            l1,
            0,
            0,
            0,
            0,
            HOP_LIMIT,
            protocol,
            c0,
            c1,
            s0,
            s1,
            s2,
            s3,
            d0,
            d1,
            d2,
            d3,
        ]
    };
    let [c0, c1] = Sum::of(&header(0, 0)).checksum().to_be_bytes();
    out.extend_from_slice(&header(c0, c1));
}

/// Appends the header of a packet with so many bytes of payload: flow label 0.
pub(in crate::wire) fn push_v6(
    out: &mut Vec<u8>,
    src: Ipv6Addr,
    dst: Ipv6Addr,
    next_header: u8,
    payload: u16,
) {
    let [l0, l1] = payload.to_be_bytes();
    out.extend_from_slice(&[
        0x60 | TRAFFIC_CLASS >> 4,
        TRAFFIC_CLASS << 4,
        0,
        0,
        l0,
        l1,
        next_header,
        HOP_LIMIT,
    ]);
    out.extend_from_slice(&src.octets());
    out.extend_from_slice(&dst.octets());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An IGMP report as the lab's kernel sent it: router-alert option, DF set.
    const WITH_OPTIONS: [u8; 40] = [
        0x46, 0xc0, 0, 0x28, 0, 0, 0x40, 0, 1, 2, 0xf9, 0xef, 10, 9, 0, 1, 224, 0, 0, 22, 0x94, 4,
        0, 0, 0x22, 0, 0xf9, 0xeb, 0, 0, 0, 1, 4, 0, 0, 0, 224, 0, 0, 18,
    ];

    #[test]
    fn options_belong_to_the_header() {
        let packet = parse_v4(&WITH_OPTIONS).expect("a whole packet");
        assert_eq!(packet.payload, &WITH_OPTIONS[24..]);
        assert_eq!((packet.ttl, packet.protocol), (1, 2));
        assert_eq!(packet.src, Ipv4Addr::new(10, 9, 0, 1));
        assert_eq!(packet.dst, Ipv4Addr::new(224, 0, 0, 22));
    }

    #[test]
    fn ethernet_padding_is_cut() {
        let mut padded = WITH_OPTIONS.to_vec();
        padded.extend([0; 6]);
        assert_eq!(parse_v4(&padded), parse_v4(&WITH_OPTIONS));
    }

    #[test]
    fn a_packet_that_is_not_whole_is_none() {
        for len in 0..WITH_OPTIONS.len() {
            assert_eq!(parse_v4(&WITH_OPTIONS[..len]), None, "{len} bytes");
        }
        let with = |at: usize, byte| {
            let mut packet = WITH_OPTIONS;
            packet[at] = byte;
            packet
        };
        assert_eq!(parse_v4(&with(0, 0x44)), None, "IHL below 5");
        assert_eq!(parse_v4(&with(0, 0x66)), None, "version 6");
        assert_eq!(
            parse_v4(&with(3, 23)),
            None,
            "total length inside the header"
        );
        assert_eq!(parse_v4(&with(6, 0x20)), None, "more fragments");
        assert_eq!(parse_v4(&with(7, 0x01)), None, "not the first fragment");
        assert!(parse_v4(&with(3, 24)).is_some_and(|p| p.payload.is_empty()));
    }

    #[test]
    fn an_ipv6_header_is_read_as_it_was_written() {
        let (src, dst) = (Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED);
        let mut packet = Vec::new();
        push_v6(&mut packet, src, dst, 112, 3);
        packet.extend([1, 2, 3, 4]);
        let read = parse_v6(&packet).expect("a whole packet");
        assert_eq!((read.src, read.dst), (src, dst));
        assert_eq!((read.hop_limit, read.next_header), (255, 112));
        assert_eq!(read.payload, [1, 2, 3], "what follows is not its own");
        for len in 0..43 {
            assert_eq!(parse_v6(&packet[..len]), None, "{len} bytes");
        }
        packet[0] = 0x45;
        assert_eq!(parse_v6(&packet), None, "version 4");
    }
}
