//! What a router does while it serves: install its addresses and announce them.

use crate::core::action::Via;
use crate::core::garp::{BREATH, BURST};
use crate::core::link::Links;
use crate::core::places::Answered;
use crate::core::router::{Cx, Router, State};
use crate::model::addr::{Cidr, VirtualAddress};
use crate::model::ids::{ActionId, Family, LinkId};
use crate::model::notice::{What, Why};
use crate::model::settings::GlobalSettings;
use crate::model::time::Instant;
use crate::wire::{arp, ndisc};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// After an address of a router was removed too often, it stays away so long.
const LOST_FOR: Duration = Duration::from_secs(30);

impl Router {
    pub(super) fn install(&mut self, cx: &mut Cx<'_>) {
        let (interface, links) = (self.settings.interface.clone(), &*cx.links);
        let find = |a: &VirtualAddress| find_link(links, &interface, a);
        self.places.install(&find, cx.requests, cx.out);
    }

    /// Interfaces may have appeared.
    pub(super) fn settle_in(&mut self, cx: &mut Cx<'_>) {
        let (interface, links) = (self.settings.interface.clone(), &*cx.links);
        let find = |a: &VirtualAddress| find_link(links, &interface, a);
        self.places.settle_in(&find, cx.requests, cx.out);
    }

    pub(super) fn retry_places(&mut self, now: Instant, cx: &mut Cx<'_>) {
        if self.places.retry_at().is_some_and(|at| now >= at) {
            let (interface, links) = (self.settings.interface.clone(), &*cx.links);
            let find = |a: &VirtualAddress| find_link(links, &interface, a);
            self.places.retry(now, &find, cx.requests, cx.out);
        }
    }

    /// The kernel answered one of our requests.
    pub(super) fn on_answer(
        &mut self,
        now: Instant,
        hint: usize,
        id: ActionId,
        errno: Option<i32>,
        cx: &mut Cx<'_>,
    ) {
        let (answered, index) = self.places.answered(now, hint, id, errno);
        match answered {
            Answered::Installed => {
                if let Some((link, cidr)) = self.places.gone(index) {
                    return self.on_removed(now, link, cidr, cx);
                }
                let announced = match &self.state {
                    State::Active(a) => Some(a.announced),
                    State::Init | State::Fault | State::Backup(_) => None,
                };
                // Each address is told of as soon as it answers; repeats follow for all together.
                if announced.is_some() && self.may_announce_now(cx) {
                    self.announce(index, cx);
                }
                self.begin_announcing(now);
            }
            Answered::Refused(cidr) => {
                self.places.put_back(index, cx.requests, cx.out);
                self.tell(
                    What::Refused {
                        cidr,
                        errno: errno.unwrap_or(0),
                    },
                    cx,
                );
                self.begin_announcing(now);
            }
            Answered::Nothing => {}
        }
    }

    fn may_announce_now(&self, cx: &Cx<'_>) -> bool {
        self.spacing(cx.global).is_zero()
    }

    fn spacing(&self, global: &GlobalSettings) -> Duration {
        match self.settings.family {
            Family::V4 => global.garp_interval,
            Family::V6 => global.gna_interval,
        }
    }

    /// Once the kernel has answered for every address, the rest of the first set begins.
    pub(super) fn begin_announcing(&mut self, now: Instant) {
        let repeat = self.settings.garp.repeat;
        if let State::Active(a) = &mut self.state
            && !a.announced
            && self.places.is_settled()
            && self.places.len() > 0
        {
            a.announced = true;
            a.garp.begin(now, repeat.saturating_sub(1));
        }
    }

    pub(super) fn announce_due(&mut self, now: Instant, cx: &mut Cx<'_>) {
        let settings = self.settings.garp;
        let count = self.places.len();
        let spacing = self.spacing(cx.global);
        let lane = usize::from(self.settings.family == Family::V6);
        let State::Active(a) = &mut self.state else {
            return;
        };
        a.garp.wind(now, &settings);
        let mut garp = a.garp;
        for sent in 0.. {
            if sent == BURST {
                garp.pause(now + BREATH);
                break;
            }
            let Some(index) = garp.next(now, count) else {
                break;
            };
            if !spacing.is_zero()
                && let Some(link) = self.link.and_then(|id| cx.links.get_mut(id))
            {
                if link.announce_at[lane] > now {
                    garp.put_back(link.announce_at[lane]);
                    break;
                }
                link.announce_at[lane] = now + spacing;
            }
            self.announce(index, cx);
        }
        if let State::Active(a) = &mut self.state {
            a.garp = garp;
        }
    }

    /// One gratuitous ARP or unsolicited neighbour advertisement, if the kernel has the address.
    fn announce(&mut self, index: usize, cx: &mut Cx<'_>) {
        let Some(place) = self.places.get(index).filter(|p| p.is_present()) else {
            return;
        };
        let Some((id, _)) = place.on else { return };
        let Some(link) = cx.links.get(id) else { return };
        let (Some(mac), false) = (link.flags.mac, link.flags.noarp) else {
            return;
        };
        match place.what.cidr.addr {
            IpAddr::V4(addr) => cx.out.send(id, Via::Ethernet, &arp::gratuitous(mac, addr)),
            IpAddr::V6(addr) => {
                let frame = ndisc::unsolicited(mac, addr, link.flags.forwarding6);
                cx.out.send(id, Via::Ethernet, &frame);
            }
        }
        self.stats.counters.announced += 1;
    }

    /// The hardware address of its link changed: hosts must learn the new one.
    pub(super) fn announce_again(&mut self, now: Instant) {
        let repeat = self.settings.garp.repeat;
        if let State::Active(a) = &mut self.state {
            a.garp.begin(now, repeat);
        }
    }

    /// Someone removed an address. Put back at once, until that happens too often.
    pub(super) fn on_removed(&mut self, now: Instant, link: LinkId, cidr: Cidr, cx: &mut Cx<'_>) {
        if !matches!(self.state, State::Active(_))
            || !self.places.restore(link, cidr, cx.requests, cx.out)
        {
            return;
        }
        self.stats.counters.restored += 1;
        let limit = cx.global.restore_limit;
        if now.since(self.restored.0) > limit.within {
            self.restored = (now, 0);
        }
        self.restored.1 += 1;
        let times = self.restored.1;
        if times > limit.count {
            let why = Why::AddressLost {
                cidr,
                restored: times - 1,
            };
            self.lost = Some((now + LOST_FOR, why));
        } else if times.is_power_of_two() {
            self.tell(What::Restored { cidr, times }, cx);
        }
    }
}

/// The link a virtual address belongs on: its own `dev`, else the instance's.
pub(super) fn find_link(
    links: &Links,
    interface: &Arc<str>,
    address: &VirtualAddress,
) -> Option<(LinkId, Arc<str>)> {
    let link = links.named(address.dev.as_ref().unwrap_or(interface))?;
    Some((link.id, link.name.clone()))
}
