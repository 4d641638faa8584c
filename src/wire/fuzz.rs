//! What a fuzzer calls: reading never panics, and what was read survives being written.

use crate::model::ids::{Family, LinkId};
use crate::model::settings::AuthSettings;
use crate::wire::advert::{Advert, Datagram, vrid_of};
use crate::wire::template::{GROUP4, GROUP6, PROTOCOL, Spec, Template};
use crate::wire::{arp, ip, ndisc};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Reads the bytes as everything that is read here.
///
/// # Panics
/// If an advert that was read is another one after being written and read again.
#[doc(hidden)]
pub fn fuzz_parse(bytes: &[u8]) {
    let _ = (vrid_of(bytes), arp::parse(bytes), ndisc::parse(bytes));
    let source4 = IpAddr::from(Ipv4Addr::new(10, 9, 0, 1));
    let source6 = IpAddr::from(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
    both_ways(&datagram(source4, GROUP4.into(), 255, bytes));
    both_ways(&datagram(
        source4,
        Ipv4Addr::new(10, 9, 0, 2).into(),
        64,
        bytes,
    ));
    both_ways(&datagram(source6, GROUP6.into(), 255, bytes));
    if let Some(p) = ip::parse_v4(bytes) {
        both_ways(&datagram(p.src.into(), p.dst.into(), p.ttl, p.payload));
    }
    if let Some(p) = ip::parse_v6(bytes) {
        both_ways(&datagram(
            p.src.into(),
            p.dst.into(),
            p.hop_limit,
            p.payload,
        ));
    }
}

fn datagram(src: IpAddr, dst: IpAddr, hop_limit: u8, payload: &[u8]) -> Datagram<'_> {
    Datagram {
        link: LinkId(1),
        family: Family::of(src),
        src,
        dst,
        hop_limit,
        payload,
    }
}

fn both_ways(d: &Datagram<'_>) {
    let Ok(read) = Advert::decode(d) else { return };
    // An interval of 0 is read, never written.
    if read.adver.is_zero() {
        return;
    }
    let addresses: Vec<IpAddr> = read.addrs.iter().collect();
    let mut template = Template::new(&Spec {
        version: read.version,
        vrid: read.vrid,
        adver: read.adver,
        source: d.src,
        destinations: &[d.dst],
        addresses: &addresses,
        auth: AuthSettings::None,
        checksum_as_v2: false,
        mtu: 65_535,
    });
    template.set(read.claim);
    let (dst, frame) = template.frames().next().expect("one for its destination");
    let (src, payload, protocol) = match d.family {
        Family::V4 => {
            let p = ip::parse_v4(frame).expect("our own header is read");
            (IpAddr::from(p.src), p.payload, p.protocol)
        }
        Family::V6 => {
            let p = ip::parse_v6(frame).expect("our own header is read");
            (IpAddr::from(p.src), p.payload, p.next_header)
        }
    };
    assert_eq!((src, dst, protocol), (d.src, d.dst, PROTOCOL));
    let again = Advert::decode(&Datagram { payload, ..*d }).expect("our own advert is read");
    let form = again.form;
    assert_eq!(again, Advert { form, ..read });
}
