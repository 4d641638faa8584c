//! Routers heard for VRIDs that nobody here has.

use crate::model::ids::{Family, Vrid};
use crate::model::priority::Claim;
use crate::model::time::Instant;
use crate::model::view::NeighbourView;
use crate::wire::advert::{Advert, Datagram};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Remembered on one link; the one silent longest makes room.
const MOST: usize = 256;

/// One foreign router for one VRID.
#[derive(Debug)]
struct Stranger {
    version: u8,
    claim: Claim,
    adver: Duration,
    at: Instant,
    adverts: u64,
    addresses: Vec<IpAddr>,
}

/// The foreign routers of one link.
#[derive(Debug, Default)]
pub(super) struct Strangers(HashMap<(Vrid, Family, IpAddr), Stranger>);

impl Strangers {
    /// Notes a packet for a VRID that nobody here has; what is no sound advert is nobody's.
    pub(super) fn hear(&mut self, now: Instant, d: &Datagram<'_>) {
        let Ok(advert) = Advert::decode(d) else {
            return;
        };
        let key = (advert.vrid, d.family, d.src);
        if let Some(known) = self.0.get_mut(&key) {
            known.version = advert.version.wire();
            known.claim = advert.claim;
            known.adver = advert.adver;
            known.at = now;
            known.adverts += 1;
            if !advert.addrs.iter().eq(known.addresses.iter().copied()) {
                known.addresses = advert.addrs.iter().collect();
            }
            return;
        }
        if self.0.len() >= MOST
            && let Some(oldest) = self.0.iter().min_by_key(|(_, s)| s.at).map(|(k, _)| *k)
        {
            self.0.remove(&oldest);
        }
        let stranger = Stranger {
            version: advert.version.wire(),
            claim: advert.claim,
            adver: advert.adver,
            at: now,
            adverts: 1,
            addresses: advert.addrs.iter().collect(),
        };
        self.0.insert(key, stranger);
    }

    /// All of them, by VRID and address.
    pub(super) fn views(&self, now: Instant, link: &Arc<str>) -> Vec<NeighbourView> {
        let mut all: Vec<_> = self.0.iter().collect();
        all.sort_by_key(|(key, _)| **key);
        let view =
            |(&(vrid, family, source), s): (&(Vrid, Family, IpAddr), &Stranger)| NeighbourView {
                interface: link.clone(),
                vrid: vrid.get(),
                family,
                source,
                version: s.version,
                priority: s.claim.wire(),
                interval_s: s.adver.as_secs_f64(),
                ago_s: now.since(s.at).as_secs_f64(),
                adverts: s.adverts,
                addresses: s.addresses.iter().map(ToString::to_string).collect(),
                instance: None,
            };
        all.into_iter().map(view).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::LinkId;
    use std::time::Duration;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    /// A version 2 advert of one address, summed.
    fn payload(vrid: u8, priority: u8, address: [u8; 4]) -> Vec<u8> {
        let mut p = vec![0x21, vrid, priority, 1, 0, 3, 0, 0];
        p.extend(address);
        p.extend([0; 8]);
        let sum: u32 = p
            .chunks(2)
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
            .sum();
        let folded = (sum & 0xffff) + (sum >> 16);
        let check = !u16::try_from(folded).expect("folded");
        p[6..8].copy_from_slice(&check.to_be_bytes());
        p
    }

    fn hear(strangers: &mut Strangers, now: Instant, src: [u8; 4], payload: &[u8]) {
        strangers.hear(
            now,
            &Datagram {
                link: LinkId(1),
                family: Family::V4,
                src: src.into(),
                dst: [224, 0, 0, 18].into(),
                hop_limit: 255,
                payload,
            },
        );
    }

    #[test]
    fn a_foreign_router_is_remembered_with_what_it_last_said() {
        let mut strangers = Strangers::default();
        hear(
            &mut strangers,
            at(1),
            [10, 0, 0, 7],
            &payload(9, 100, [10, 0, 0, 99]),
        );
        hear(
            &mut strangers,
            at(3),
            [10, 0, 0, 7],
            &payload(9, 90, [10, 0, 0, 98]),
        );
        hear(
            &mut strangers,
            at(3),
            [10, 0, 0, 8],
            &payload(4, 50, [10, 0, 0, 4]),
        );
        let seen = strangers.views(at(5), &"eth0".into());
        let told: Vec<_> = seen
            .iter()
            .map(|n| (n.vrid, n.priority, n.adverts))
            .collect();
        assert_eq!(told, [(4, 50, 1), (9, 90, 2)]);
        let nine = &seen[1];
        assert_eq!(nine.addresses, ["10.0.0.98"]);
        assert_eq!((nine.version, nine.interval_s, nine.ago_s), (2, 3.0, 2.0));
        assert_eq!((&*nine.interface, nine.instance.clone()), ("eth0", None));
    }

    #[test]
    fn a_broken_packet_is_nobody() {
        let mut strangers = Strangers::default();
        let mut broken = payload(9, 100, [10, 0, 0, 99]);
        broken[6] ^= 1;
        hear(&mut strangers, at(1), [10, 0, 0, 7], &broken);
        assert!(strangers.views(at(1), &"eth0".into()).is_empty());
    }

    #[test]
    fn memory_is_bounded_and_the_silent_make_room() {
        let mut strangers = Strangers::default();
        for number in 0..300u16 {
            let [high, low] = number.to_be_bytes();
            let from = [10, 1, high, low];
            hear(
                &mut strangers,
                at(number.into()),
                from,
                &payload(9, 100, [10, 0, 0, 99]),
            );
        }
        let seen = strangers.views(at(300), &"eth0".into());
        assert_eq!(seen.len(), MOST);
        assert!(
            seen.iter().all(|n| n.ago_s <= 256.0),
            "the oldest went first"
        );
    }
}
