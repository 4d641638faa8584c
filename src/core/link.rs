//! What is believed about each link: flags, addresses, and what was refused on it.

use crate::core::strangers::Strangers;
use crate::model::addr::{Cidr, is_link_local};
use crate::model::ids::{Family, LinkId};
use crate::model::seen::{AddressSeen, LinkFlags};
use crate::model::time::Instant;
use crate::model::view::LinkView;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// One link the kernel has told of.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) name: Arc<str>,
    pub(super) flags: LinkFlags,
    addresses: Vec<Held>,
    /// Adverts waited unread when time was last looked at.
    pub(super) backlog: bool,
    /// Passes in a row in which they did.
    pub(super) backlog_passes: u8,
    /// Earliest time of the next announcement, for ARP and for ND (`vrrp_garp_interval`).
    pub(super) announce_at: [Instant; 2],
    /// VRIDs nobody here has that were told of already.
    told_vrids: [u64; 4],
    pub(super) unknown_vrid: u64,
    pub(super) unreadable: u64,
    /// Who was heard for VRIDs nobody here has.
    pub(super) strangers: Strangers,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    cidr: Cidr,
    dad_failed: bool,
    secondary: bool,
}

impl Link {
    pub(super) fn new(id: LinkId, name: Arc<str>, flags: LinkFlags) -> Self {
        Self {
            id,
            name,
            flags,
            addresses: Vec::new(),
            backlog: false,
            backlog_passes: 0,
            announce_at: [Instant::ZERO; 2],
            told_vrids: [0; 4],
            unknown_vrid: 0,
            unreadable: 0,
            strangers: Strangers::default(),
        }
    }

    /// Up with carrier.
    pub(super) const fn is_up(&self) -> bool {
        self.flags.up && self.flags.running
    }

    /// Takes an address fact; true if it changed the belief.
    pub(super) fn see(&mut self, seen: &AddressSeen) -> bool {
        let known = self
            .addresses
            .iter()
            .position(|held| held.cidr == seen.cidr);
        match (known, seen.present) {
            (Some(at), false) => {
                self.addresses.remove(at);
                true
            }
            (Some(at), true) => {
                let held = &mut self.addresses[at];
                let changed =
                    held.dad_failed != seen.dad_failed || held.secondary != seen.secondary;
                held.dad_failed = seen.dad_failed;
                held.secondary = seen.secondary;
                changed
            }
            (None, true) => {
                self.addresses.push(Held {
                    cidr: seen.cidr,
                    dad_failed: seen.dad_failed,
                    secondary: seen.secondary,
                });
                true
            }
            (None, false) => false,
        }
    }

    /// Whether the kernel has exactly this address here.
    pub(super) fn has(&self, cidr: Cidr) -> bool {
        self.addresses.iter().any(|held| held.cidr == cidr)
    }

    /// The source of our adverts: the first address that is no virtual one; over IPv6 link-local
    /// (RFC 9568 §5.1.1.1, §5.1.2.1).
    pub(super) fn primary(
        &self,
        family: Family,
        is_virtual: impl Fn(IpAddr) -> bool,
    ) -> Option<IpAddr> {
        let usable = |held: &&Held| {
            Family::of(held.cidr.addr) == family
                && !held.dad_failed
                && (family == Family::V4 || is_link_local(held.cidr.addr))
                && !is_virtual(held.cidr.addr)
        };
        let mut candidates = self.addresses.iter().filter(usable);
        let first = candidates.clone().find(|held| !held.secondary);
        first
            .or_else(|| candidates.next())
            .map(|held| held.cidr.addr)
    }

    /// True the first time this VRID is asked about.
    pub(super) fn first_told(&mut self, vrid: u8) -> bool {
        let word = &mut self.told_vrids[usize::from(vrid >> 6)];
        let bit = 1u64 << (vrid & 63);
        let first = *word & bit == 0;
        *word |= bit;
        first
    }

    pub(super) fn view(&self) -> LinkView {
        LinkView {
            name: self.name.clone(),
            index: Some(self.id.0),
            up: self.is_up(),
            rejected: [
                ("unknown_vrid", self.unknown_vrid),
                ("unreadable", self.unreadable),
            ]
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| (name.to_owned(), count))
            .collect(),
        }
    }
}

/// All links, found by index and by name.
#[derive(Debug, Default)]
pub(super) struct Links {
    by_id: HashMap<LinkId, Link>,
    by_name: HashMap<Arc<str>, LinkId>,
    /// Links with unread packets in this pass, and in the one before.
    backlogged: [Vec<LinkId>; 2],
}

impl Links {
    /// More packets wait on this link than were read.
    pub(super) fn backlog(&mut self, id: LinkId) {
        if let Some(link) = self.by_id.get_mut(&id)
            && !link.backlog
        {
            link.backlog = true;
            link.backlog_passes = link.backlog_passes.saturating_add(1);
            self.backlogged[0].push(id);
        }
    }

    pub(super) fn get(&self, id: LinkId) -> Option<&Link> {
        self.by_id.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.by_id.get_mut(&id)
    }

    pub(super) fn named(&self, name: &str) -> Option<&Link> {
        self.by_name.get(name).and_then(|id| self.by_id.get(id))
    }

    /// Takes a link fact; returns the names whose users must look again.
    pub(super) fn see(
        &mut self,
        id: LinkId,
        name: &Arc<str>,
        is: Option<LinkFlags>,
    ) -> [Option<Arc<str>>; 2] {
        let Some(flags) = is else {
            let gone = self.by_id.remove(&id).map(|link| link.name);
            if let Some(name) = &gone
                && self.by_name.get(name) == Some(&id)
            {
                self.by_name.remove(name);
            }
            return [gone, None];
        };
        match self.by_id.get_mut(&id) {
            Some(link) if link.name == *name => {
                if link.flags == flags {
                    return [None, None];
                }
                link.flags = flags;
                [Some(name.clone()), None]
            }
            Some(link) => {
                let old = std::mem::replace(&mut link.name, name.clone());
                link.flags = flags;
                if self.by_name.get(&old) == Some(&id) {
                    self.by_name.remove(&old);
                }
                self.by_name.insert(name.clone(), id);
                [Some(old), Some(name.clone())]
            }
            None => {
                self.by_id.insert(id, Link::new(id, name.clone(), flags));
                self.by_name.insert(name.clone(), id);
                [Some(name.clone()), None]
            }
        }
    }

    /// Ends a pass: links that were read empty start counting their passes anew.
    pub(super) fn end_pass(&mut self) {
        let [now, before] = &mut self.backlogged;
        for id in before.drain(..) {
            if let Some(link) = self.by_id.get_mut(&id)
                && !link.backlog
            {
                link.backlog_passes = 0;
            }
        }
        for id in now.iter() {
            if let Some(link) = self.by_id.get_mut(id) {
                link.backlog = false;
            }
        }
        std::mem::swap(now, before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> LinkFlags {
        LinkFlags {
            up: true,
            running: true,
            loopback: false,
            multicast: true,
            noarp: false,
            mac: None,
            mtu: 1500,
            forwarding6: false,
        }
    }

    fn seen(text: &str, len: u8, present: bool) -> AddressSeen {
        let cidr = Cidr::new(text.parse().expect("address"), len).expect("length");
        AddressSeen {
            link: LinkId(1),
            cidr,
            present,
            dad_failed: false,
            secondary: false,
        }
    }

    #[test]
    fn the_primary_address_is_the_first_that_is_not_virtual() {
        let mut link = Link::new(LinkId(1), "eth0".into(), flags());
        for text in ["10.0.0.51", "10.0.0.1", "10.0.0.2", "fd00::1", "fe80::1"] {
            link.see(&seen(text, 24, true));
        }
        let vip: IpAddr = "10.0.0.51".parse().expect("address");
        assert_eq!(
            link.primary(Family::V4, |a| a == vip),
            Some(IpAddr::from([10, 0, 0, 1]))
        );
        assert_eq!(link.primary(Family::V6, |_| false), "fe80::1".parse().ok());
        link.see(&seen("10.0.0.1", 24, false));
        assert_eq!(
            link.primary(Family::V4, |a| a == vip),
            Some(IpAddr::from([10, 0, 0, 2]))
        );
    }

    #[test]
    fn a_rename_is_told_under_both_names() {
        let mut links = Links::default();
        links.see(LinkId(3), &"eth0".into(), Some(flags()));
        let told = links.see(LinkId(3), &"wan".into(), Some(flags()));
        assert_eq!(told, [Some("eth0".into()), Some("wan".into())]);
        assert!(links.named("eth0").is_none());
        assert_eq!(links.named("wan").map(|l| l.id), Some(LinkId(3)));
        assert_eq!(
            links.see(LinkId(3), &"wan".into(), Some(flags())),
            [None, None]
        );
        links.see(LinkId(3), &"wan".into(), None);
        assert!(links.named("wan").is_none());
    }
}
