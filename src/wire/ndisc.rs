//! Unsolicited neighbour advertisements: what gratuitous ARP is to IPv4 (RFC 4861 §7.2.6).

use crate::model::addr::Mac;
use crate::wire::arp::{self, ETHERNET};
use crate::wire::checksum::Sum;
use crate::wire::ip::{self, HEADER6, HOP_LIMIT};
use pnet::packet::ethernet::EtherTypes;
use pnet::packet::icmpv6::Icmpv6Types;
use pnet::packet::icmpv6::ndp::{
    Icmpv6Codes, MutableNdpOptionPacket, MutableNeighborAdvertPacket, NdpOptionTypes,
    NeighborAdvertFlags,
};
use pnet::packet::ip::IpNextHeaderProtocols;
use pnet::packet::ipv6::MutableIpv6Packet;
use std::net::Ipv6Addr;

/// All nodes of the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Where all nodes listen on Ethernet.
const ALL_NODES_MAC: Mac = Mac([0x33, 0x33, 0, 0, 0, 1]);
/// ICMPv6 in the next-header field.
const ICMPV6: u8 = 58;
/// Bytes of the advertisement before its option.
const FIXED: usize = 24;
/// Bytes of the advertisement with the target's link-layer address.
const MESSAGE: usize = FIXED + 8;
/// Bytes of the frame.
const LEN: usize = ETHERNET + HEADER6 + MESSAGE;

/// Tells all nodes where `ip` lives now; `router` sets the flag of a machine that forwards IPv6.
pub fn unsolicited(mac: Mac, ip: Ipv6Addr, router: bool) -> [u8; LEN] {
    let mut frame = [0; LEN];
    fill(&mut frame, mac, ip, router);
    frame
}

fn fill(frame: &mut [u8; LEN], mac: Mac, ip: Ipv6Addr, router: bool) {
    let (head, packet) = frame.split_at_mut(ETHERNET);
    arp::ethernet(head, ALL_NODES_MAC, mac, EtherTypes::Ipv6);
    let (header, message) = packet.split_at_mut(HEADER6);
    // HEADER6 is its length.
    let mut header = MutableIpv6Packet::new(header).expect("40 bytes are an IPv6 header");
    header.set_version(6);
    header.set_traffic_class(0);
    header.set_flow_label(0);
    header.set_payload_length(MESSAGE as u16);
    header.set_next_header(IpNextHeaderProtocols::Icmpv6);
    header.set_hop_limit(HOP_LIMIT);
    header.set_source(ip);
    header.set_destination(ALL_NODES);

    let (fixed, option) = message.split_at_mut(FIXED);
    // FIXED is its length.
    let mut advert =
        MutableNeighborAdvertPacket::new(fixed).expect("24 bytes are an advertisement");
    advert.set_icmpv6_type(Icmpv6Types::NeighborAdvert);
    advert.set_icmpv6_code(Icmpv6Codes::NoCode);
    advert.set_checksum(0);
    let flags = if router {
        NeighborAdvertFlags::Router
    } else {
        0
    };
    advert.set_flags(flags | NeighborAdvertFlags::Override);
    advert.set_reserved(0);
    advert.set_target_addr(ip);
    // What is left of MESSAGE is 8 bytes, one unit of option length.
    let mut option = MutableNdpOptionPacket::new(option).expect("8 bytes are an option");
    option.set_option_type(NdpOptionTypes::TargetLLAddr);
    option.set_length(1);
    option.set_data(&mac.0);

    let sum = Sum::pseudo(ip.into(), ALL_NODES.into(), ICMPV6, MESSAGE).with(message);
    if let [_, _, c0, c1, ..] = message {
        [*c0, *c1] = sum.checksum().to_be_bytes();
    }
}

/// What matters of a neighbour advertisement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NeighbourAdvert {
    /// Source of the packet.
    pub src: Ipv6Addr,
    /// The address it tells of.
    pub target: Ipv6Addr,
    /// Where that lives, if it says so.
    pub mac: Option<Mac>,
    /// Its sender forwards packets.
    pub router: bool,
    /// It answers a question.
    pub solicited: bool,
    /// It replaces what was known.
    pub replaces: bool,
}

/// Reads a frame; `None` if it is not a sound neighbour advertisement.
pub fn parse(frame: &[u8]) -> Option<NeighbourAdvert> {
    let (head, packet) = frame.split_at_checked(ETHERNET)?;
    let packet = ip::parse_v6(packet)?;
    let message = packet.payload;
    let sum = Sum::pseudo(packet.src.into(), packet.dst.into(), ICMPV6, message.len());
    let sound = head.ends_with(&[0x86, 0xdd])
        && packet.next_header == ICMPV6
        && packet.hop_limit == HOP_LIMIT
        && sum.with(message).fold() == 0xffff;
    let (fixed, rest) = message.split_first_chunk::<8>()?;
    let (target, options) = rest.split_first_chunk::<16>()?;
    let [136, 0, _, _, flags, _, _, _] = *fixed else {
        return None;
    };
    sound.then(|| NeighbourAdvert {
        src: packet.src,
        target: Ipv6Addr::from(*target),
        mac: target_mac(options),
        router: flags & 0x80 != 0,
        solicited: flags & 0x40 != 0,
        replaces: flags & 0x20 != 0,
    })
}

/// The target link-layer address option. pnet overflows on options of 256 bytes and more.
fn target_mac(mut options: &[u8]) -> Option<Mac> {
    loop {
        match *options {
            [2, 1, a, b, c, d, e, f, ..] => return Some(Mac([a, b, c, d, e, f])),
            // A length of 0 would go round for ever.
            [_, 0, ..] | [] | [_] => return None,
            [_, units, ..] => options = options.get(usize::from(units) * 8..)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([0, 0, 0x5e, 0, 2, 0x33]);
    const IP: Ipv6Addr = Ipv6Addr::new(0xfd00, 9, 0, 0, 0, 0, 0, 0x51);

    #[test]
    fn every_byte_of_the_frame_is_written() {
        let mut dirty = [0xa5; LEN];
        fill(&mut dirty, MAC, IP, true);
        assert_eq!(dirty, unsolicited(MAC, IP, true));
    }

    #[test]
    fn an_announcement_is_read_as_one() {
        for router in [false, true] {
            let advert = parse(&unsolicited(MAC, IP, router)).expect("an advertisement");
            assert_eq!((advert.src, advert.target), (IP, IP));
            assert_eq!(advert.mac, Some(MAC));
            assert_eq!(advert.router, router);
            assert!(!advert.solicited && advert.replaces);
        }
    }

    #[test]
    fn pnet_reads_what_we_wrote_and_agrees_on_the_checksum() {
        use pnet::packet::icmpv6::{Icmpv6Packet, checksum};
        let frame = unsolicited(MAC, IP, true);
        let icmp = Icmpv6Packet::new(&frame[ETHERNET + HEADER6..]).expect("32 bytes");
        assert_eq!(icmp.get_checksum(), checksum(&icmp, &IP, &ALL_NODES));
    }

    #[test]
    fn a_frame_that_is_damaged_anywhere_is_none() {
        let frame = unsolicited(MAC, IP, true);
        for len in 0..LEN {
            assert_eq!(parse(&frame[..len]), None, "{len} bytes");
        }
        for at in ETHERNET + HEADER6..LEN {
            let mut damaged = frame;
            damaged[at] ^= 1;
            assert_eq!(parse(&damaged), None, "byte {at}");
        }
    }

    #[test]
    fn options_are_walked_and_none_of_them_traps_us() {
        let lladdr = [2, 1, 0, 0, 0x5e, 0, 2, 0x33];
        assert_eq!(target_mac(&lladdr), Some(MAC));
        assert_eq!(
            target_mac(&[&[14, 1, 0, 0, 0, 0, 0, 0], &lladdr[..]].concat()),
            Some(MAC)
        );
        let mut long = vec![14, 255];
        long.resize(255 * 8, 0);
        long.extend(lladdr);
        assert_eq!(target_mac(&long), Some(MAC), "an option of 2040 bytes");
        assert_eq!(
            target_mac(&[14, 0, 0, 0]),
            None,
            "a length of 0 ends the walk"
        );
        assert_eq!(target_mac(&[14, 9, 0, 0]), None, "it reaches past the end");
        assert_eq!(target_mac(&lladdr[..7]), None, "cut off");
        assert_eq!(target_mac(&[14]), None);
    }
}
