//! Gratuitous ARP: hosts and switches learn where an IPv4 address has moved (RFC 9568 §6.4.2).

use crate::model::addr::Mac;
use pnet::packet::arp::{
    ArpHardwareTypes, ArpOperation, ArpOperations, ArpPacket, MutableArpPacket,
};
use pnet::packet::ethernet::{EtherTypes, EthernetPacket, MutableEthernetPacket};
use pnet::util::MacAddr;
use std::net::Ipv4Addr;

/// Bytes of an Ethernet header.
pub(in crate::wire) const ETHERNET: usize = 14;
/// Bytes of a frame with ARP for IPv4.
const LEN: usize = ETHERNET + 28;

/// A broadcast request for our own address, from where it lives; byte for byte keepalived's.
pub fn gratuitous(mac: Mac, ip: Ipv4Addr) -> [u8; LEN] {
    let mut frame = [0; LEN];
    fill(&mut frame, mac, ip);
    frame
}

fn fill(frame: &mut [u8; LEN], mac: Mac, ip: Ipv4Addr) {
    let (head, body) = frame.split_at_mut(ETHERNET);
    ethernet(head, Mac::BROADCAST, mac, EtherTypes::Arp);
    // LEN leaves it exactly the 28 bytes it asks for.
    let mut arp = MutableArpPacket::new(body).expect("28 bytes are an ARP packet");
    arp.set_hardware_type(ArpHardwareTypes::Ethernet);
    arp.set_protocol_type(EtherTypes::Ipv4);
    arp.set_hw_addr_len(6);
    arp.set_proto_addr_len(4);
    arp.set_operation(ArpOperations::Request);
    arp.set_sender_hw_addr(pnet_mac(mac));
    arp.set_sender_proto_addr(ip);
    // Without meaning in a request; keepalived and FRR put broadcast there.
    arp.set_target_hw_addr(pnet_mac(Mac::BROADCAST));
    arp.set_target_proto_addr(ip);
}

/// What matters of an ARP frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arp {
    /// Source of the frame.
    pub src: Mac,
    /// Destination of the frame.
    pub dst: Mac,
    /// 1 asks, 2 answers.
    pub operation: u16,
    /// Hardware address of the sender.
    pub sender_mac: Mac,
    /// Protocol address of the sender.
    pub sender: Ipv4Addr,
    /// Hardware address of the target.
    pub target_mac: Mac,
    /// Protocol address of the target.
    pub target: Ipv4Addr,
}

impl Arp {
    /// Whether it announces the sender's own address to everybody.
    ///
    /// A host that has the address too answers such a request to its sender alone; that answer
    /// looks alike but for its destination.
    pub fn is_gratuitous(&self) -> bool {
        self.sender == self.target && self.dst == Mac::BROADCAST
    }
}

/// Reads a frame; `None` if it is not ARP for IPv4 over Ethernet.
pub fn parse(frame: &[u8]) -> Option<Arp> {
    let (head, body) = frame.split_at_checked(ETHERNET)?;
    let head = EthernetPacket::new(head)?;
    let arp = ArpPacket::new(body)?;
    let known = head.get_ethertype() == EtherTypes::Arp
        && arp.get_hardware_type() == ArpHardwareTypes::Ethernet
        && arp.get_protocol_type() == EtherTypes::Ipv4
        && (arp.get_hw_addr_len(), arp.get_proto_addr_len()) == (6, 4);
    let ArpOperation(operation) = arp.get_operation();
    known.then(|| Arp {
        src: our_mac(head.get_source()),
        dst: our_mac(head.get_destination()),
        operation,
        sender_mac: our_mac(arp.get_sender_hw_addr()),
        sender: arp.get_sender_proto_addr(),
        target_mac: our_mac(arp.get_target_hw_addr()),
        target: arp.get_target_proto_addr(),
    })
}

/// Fills an Ethernet header; `head` has its 14 bytes.
pub(in crate::wire) fn ethernet(
    head: &mut [u8],
    dst: Mac,
    src: Mac,
    kind: pnet::packet::ethernet::EtherType,
) {
    // Both callers split off ETHERNET bytes for it.
    let mut ethernet = MutableEthernetPacket::new(head).expect("14 bytes are an Ethernet header");
    ethernet.set_destination(pnet_mac(dst));
    ethernet.set_source(pnet_mac(src));
    ethernet.set_ethertype(kind);
}

fn pnet_mac(Mac([a, b, c, d, e, f]): Mac) -> MacAddr {
    MacAddr(a, b, c, d, e, f)
}

fn our_mac(MacAddr(a, b, c, d, e, f): MacAddr) -> Mac {
    Mac([a, b, c, d, e, f])
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([0, 0, 0x5e, 0, 1, 0x33]);
    const IP: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 51);

    #[test]
    fn every_byte_of_the_frame_is_written() {
        let mut dirty = [0xa5; LEN];
        fill(&mut dirty, MAC, IP);
        assert_eq!(dirty, gratuitous(MAC, IP));
        assert!(!dirty.contains(&0xa5));
    }

    #[test]
    fn an_announcement_is_read_as_one() {
        let arp = parse(&gratuitous(MAC, IP)).expect("ARP");
        assert!(arp.is_gratuitous());
        assert_eq!(arp.operation, 1, "keepalived announces by request");
        assert_eq!((arp.src, arp.dst), (MAC, Mac::BROADCAST));
        assert_eq!((arp.sender_mac, arp.sender), (MAC, IP));
        assert_eq!((arp.target_mac, arp.target), (Mac::BROADCAST, IP));
    }

    #[test]
    fn what_is_not_arp_for_ipv4_is_none() {
        let frame = gratuitous(MAC, IP);
        for len in 0..LEN {
            assert_eq!(parse(&frame[..len]), None, "{len} bytes");
        }
        for at in [13, 15, 17, 18, 19] {
            let mut other = frame;
            other[at] ^= 2;
            assert_eq!(parse(&other), None, "byte {at}");
        }
    }
}
