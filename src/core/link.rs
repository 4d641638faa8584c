//! What is believed about each link: flags, addresses, and what was refused on it.

use crate::core::debounce::{Debounce, Delays};
use crate::core::strangers::Strangers;
use crate::model::addr::{Cidr, is_link_local};
use crate::model::ids::{Family, LinkId};
use crate::model::seen::{AddressSeen, LinkFlags};
use crate::model::settings::Settings;
use crate::model::time::Instant;
use crate::model::view::{LinkView, TurnView};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

/// One link the kernel has told of.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) name: Arc<str>,
    pub(super) flags: LinkFlags,
    /// Whether it is up, as it counts.
    state: Debounce,
    delays: Delays,
    /// Its link is polled; what that found, if anything yet.
    polled: Option<Option<bool>>,
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
            state: Debounce::new(flags.up && flags.running),
            flags,
            delays: Delays::default(),
            polled: None,
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

    /// Up with carrier, as it counts.
    pub(super) const fn is_up(&self) -> bool {
        self.state.is_up()
    }

    /// Up with carrier at this moment.
    pub(super) fn carries(&self) -> bool {
        let polled = self.polled.flatten();
        self.flags.up && polled.unwrap_or(self.flags.running)
    }

    /// A state other than the one that counts.
    pub(super) fn turning(&self, now: Instant) -> Option<TurnView> {
        let (lasted, wait) = self.state.turning(now, self.delays)?;
        Some(TurnView {
            up: !self.state.is_up(),
            for_s: lasted.as_secs_f64(),
            counts_after_s: wait.as_secs_f64(),
        })
    }

    /// Looks at its state again; true if another one counts from now on.
    fn look(&mut self, now: Instant) -> bool {
        let up = self.carries();
        self.state.see(now, up, self.delays)
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

    pub(super) fn view(&self, now: Instant) -> LinkView {
        LinkView {
            name: self.name.clone(),
            index: Some(self.id.0),
            up: self.is_up(),
            turning: self.turning(now),
            polled: self.polled.is_some(),
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
    /// `interface_up_down_delays`.
    delays: HashMap<Arc<str>, Delays>,
    /// Interfaces whose link is polled.
    polled: HashSet<Arc<str>>,
    /// When the first new state counts.
    due: Option<Instant>,
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

    /// Takes what the settings say of interfaces; returns the names of those that turned by it.
    pub(super) fn take(&mut self, now: Instant, settings: &Settings) -> Vec<Arc<str>> {
        let delays = settings.links.delays.iter();
        self.delays = delays.map(|d| (d.interface.clone(), d.into())).collect();
        let polled = settings.polled();
        self.polled = polled.into_iter().map(|p| p.interface).collect();
        let ids: Vec<LinkId> = self.by_id.keys().copied().collect();
        for id in ids {
            self.rule(id);
        }
        self.turn(now)
    }

    /// Gives a link the rules of its name.
    fn rule(&mut self, id: LinkId) {
        if let Some(link) = self.by_id.get_mut(&id) {
            link.delays = self.delays.get(&link.name).copied().unwrap_or_default();
            link.polled = self
                .polled
                .contains(&link.name)
                .then(|| link.polled.flatten());
        }
    }

    /// Takes what a polled interface said of its link; true if its state counts otherwise by it.
    pub(super) fn beat(&mut self, now: Instant, name: &str, up: bool) -> bool {
        let id = self.by_name.get(name).copied();
        let Some(link) = id.and_then(|id| self.by_id.get_mut(&id)) else {
            return false;
        };
        let Some(found) = &mut link.polled else {
            return false;
        };
        let first = found.replace(up).is_none();
        let before = link.is_up();
        if first {
            // Until now it was the kernel's word; this is the state it is first seen in.
            link.state = Debounce::new(link.carries());
        }
        link.look(now);
        let turned = link.is_up() != before;
        self.reckon();
        turned
    }

    /// When [`Links::turn`] has something to do.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Lets states count that have lasted; returns the names of those interfaces, in order.
    pub(super) fn turn(&mut self, now: Instant) -> Vec<Arc<str>> {
        let turned = self.by_id.values_mut().filter_map(|link| {
            let turned = link.look(now);
            turned.then(|| link.name.clone())
        });
        let mut names: Vec<Arc<str>> = turned.collect();
        names.sort();
        self.reckon();
        names
    }

    fn reckon(&mut self) {
        let due = self.by_id.values().filter_map(|l| l.state.due(l.delays));
        self.due = due.min();
    }

    /// Takes a link fact; returns the names whose users must look again.
    pub(super) fn see(
        &mut self,
        now: Instant,
        id: LinkId,
        name: &Arc<str>,
        is: Option<LinkFlags>,
    ) -> [Option<Arc<str>>; 2] {
        let names = self.note(id, name, is);
        if names[0].is_some() {
            self.rule(id);
            if let Some(link) = self.by_id.get_mut(&id) {
                link.look(now);
            }
            self.reckon();
        }
        names
    }

    fn note(
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
                // What was found was said of the other name.
                link.polled = None;
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
    use std::time::Duration;

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
        links.see(Instant::ZERO, LinkId(3), &"eth0".into(), Some(flags()));
        let told = links.see(Instant::ZERO, LinkId(3), &"wan".into(), Some(flags()));
        assert_eq!(told, [Some("eth0".into()), Some("wan".into())]);
        assert!(links.named("eth0").is_none());
        assert_eq!(links.named("wan").map(|l| l.id), Some(LinkId(3)));
        assert_eq!(
            links.see(Instant::ZERO, LinkId(3), &"wan".into(), Some(flags())),
            [None, None]
        );
        links.see(Instant::ZERO, LinkId(3), &"wan".into(), None);
        assert!(links.named("wan").is_none());
    }

    fn delayed(down: u64, up: u64) -> Settings {
        let mut settings = Settings::default();
        settings.links.delays.push(crate::model::links::LinkDelay {
            interface: "eth0".into(),
            down: Duration::from_secs(down),
            up: Duration::from_secs(up),
        });
        settings
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn down() -> LinkFlags {
        LinkFlags {
            running: false,
            ..flags()
        }
    }

    #[test]
    fn a_delayed_interface_counts_as_up_until_it_was_down_for_so_long() {
        let mut links = Links::default();
        links.take(at(0), &delayed(2, 0));
        links.see(at(0), LinkId(1), &"eth0".into(), Some(flags()));
        links.see(at(5), LinkId(1), &"eth0".into(), Some(down()));
        let link = links.named("eth0").expect("seen");
        assert!(link.is_up() && !link.carries());
        let view = link.turning(at(6)).expect("it turns");
        assert_eq!(view.to_string(), "down for 1.0 s, counts after 2 s");
        assert_eq!(links.due(), Some(at(7)));
        assert_eq!(links.turn(at(7)), ["eth0".into()]);
        assert!(!links.named("eth0").expect("seen").is_up());
        assert_eq!(links.due(), None);
    }

    #[test]
    fn a_delay_goes_with_the_name_and_a_new_interface_begins_anew() {
        let mut links = Links::default();
        links.take(at(0), &delayed(2, 2));
        links.see(at(0), LinkId(1), &"wan".into(), Some(flags()));
        links.see(at(1), LinkId(1), &"eth0".into(), Some(flags()));
        links.see(at(1), LinkId(1), &"eth0".into(), Some(down()));
        assert_eq!(links.due(), Some(at(3)), "renamed into the delay");
        links.see(at(2), LinkId(1), &"eth0".into(), None);
        assert_eq!(links.due(), None);
        links.see(at(2), LinkId(2), &"eth0".into(), Some(down()));
        links.see(at(3), LinkId(2), &"eth0".into(), Some(flags()));
        let up = |links: &Links| links.named("eth0").is_some_and(Link::is_up);
        assert!(up(&links), "this one was never up before");
        assert!(links.take(at(4), &Settings::default()).is_empty());
        links.see(at(4), LinkId(2), &"eth0".into(), Some(down()));
        assert!(!up(&links), "a reload took the delay away");
    }

    #[test]
    fn of_a_polled_interface_the_poll_is_believed_and_the_kernels_flag_is_not() {
        let mut settings = Settings::default();
        settings.links.polls.push(crate::model::links::LinkPoll {
            interface: "eth0".into(),
            how: crate::model::links::Linkbeat::Auto,
        });
        let mut links = Links::default();
        links.take(at(0), &settings);
        links.see(at(0), LinkId(1), &"eth0".into(), Some(flags()));
        let up = |links: &Links| links.named("eth0").is_some_and(Link::is_up);
        assert!(up(&links), "before the first poll the kernel is believed");
        assert!(links.beat(at(1), "eth0", false) && !up(&links));
        assert!(!links.beat(at(2), "eth0", false), "no news");
        assert!(links.beat(at(3), "eth0", true) && up(&links));
        links.see(at(4), LinkId(1), &"eth0".into(), Some(down()));
        assert!(up(&links), "it still has a link");
        let off = LinkFlags {
            up: false,
            ..flags()
        };
        links.see(at(5), LinkId(1), &"eth0".into(), Some(off));
        assert!(!up(&links), "but not if it is switched off");
        assert_eq!(links.take(at(6), &Settings::default()).len(), 0);
        assert!(!links.beat(at(7), "eth0", false), "not polled any more");
    }
}
