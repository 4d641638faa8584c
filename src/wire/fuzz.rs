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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::addr::Mac;
    use crate::wire::checksum::Sum;
    use proptest::prelude::*;

    const V2: &str = "213396010101792b0a0900336162630000000000";
    const V3: &str = "31339603006419ae0a0900330a0900340a090035";
    const V6: &str =
        "3133960200643f0afe800000000000000000000000000051fd000009000000000000000000000051";

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex"))
            .collect()
    }

    fn samples() -> Vec<Vec<u8>> {
        let mut samples: Vec<Vec<u8>> = [V2, V3, V6].map(hex).into();
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        samples.push(arp::gratuitous(mac, Ipv4Addr::new(10, 9, 0, 51)).into());
        samples.push(ndisc::unsolicited(mac, Ipv6Addr::LOCALHOST, true).into());
        let mut packet = Vec::new();
        ip::push_v4(
            &mut packet,
            Ipv4Addr::new(10, 9, 0, 1),
            GROUP4,
            PROTOCOL,
            20,
        );
        packet.extend(hex(V2));
        samples.push(packet);
        samples
    }

    #[test]
    fn the_samples_are_read_whole_and_cut_anywhere() {
        for sample in samples() {
            for len in 0..=sample.len() {
                fuzz_parse(&sample[..len]);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn random_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..1200)) {
            fuzz_parse(&bytes);
        }

        #[test]
        fn sound_messages_of_any_content_survive_being_written(
            v2: bool,
            count in 0u8..20,
            mut bytes in prop::collection::vec(any::<u8>(), 100),
        ) {
            bytes[0] = if v2 { 0x21 } else { 0x31 };
            bytes[3] = count;
            bytes.truncate(8 + 4 * usize::from(count) + if v2 { 8 } else { 0 });
            bytes[6..8].fill(0);
            let sum = Sum::of(&bytes).checksum();
            bytes[6..8].copy_from_slice(&sum.to_be_bytes());
            fuzz_parse(&bytes);
        }

        #[test]
        fn damaged_packets_do_no_harm(
            sample in any::<prop::sample::Index>(),
            flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 0..4),
            cut in any::<prop::sample::Index>(),
            tail in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let samples = samples();
            let mut bytes = sample.get(&samples).clone();
            for (at, bit) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            bytes.truncate(bytes.len() - cut.index(bytes.len()) / 2);
            bytes.extend(tail);
            fuzz_parse(&bytes);
        }
    }
}
