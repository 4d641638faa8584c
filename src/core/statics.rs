//! Addresses that are there whoever is master (keepalived.conf(5) static_ipaddress).

use crate::core::action::{Action, Actions};
use crate::core::engine::Engine;
use crate::core::link::Links;
use crate::core::places::{Answered, Bystanders, Places, Requests, Spot, spot};
use crate::core::serve::find_link;
use crate::core::timers::Slot;
use crate::model::addr::{Cidr, VirtualAddress};
use crate::model::ids::{ActionId, LinkId, RouterId};
use crate::model::links::StaticAddress;
use crate::model::notice::{Level, Notice, What};
use crate::model::settings::{RestoreLimit, Settings};
use crate::model::time::Instant;
use crate::model::view::AddressView;
use std::sync::Arc;

/// The owner of their requests, which is no router.
pub(super) const OWNER: RouterId = RouterId(u32::MAX - 1);

/// All of them.
#[derive(Debug)]
pub(super) struct Statics {
    places: Places,
    /// Restored ones: since when they are counted, and how many.
    restored: (Instant, u32),
}

impl Default for Statics {
    fn default() -> Self {
        Self {
            places: Places::of(OWNER, std::iter::empty()),
            restored: (Instant::ZERO, 0),
        }
    }
}

fn places(list: &[Arc<StaticAddress>]) -> Places {
    Places::of(OWNER, list.iter().map(|one| (&one.address, false)))
}

/// The link of an address whose `dev` is given.
fn home(links: &Links, address: &VirtualAddress) -> Option<(LinkId, Arc<str>)> {
    find_link(links, address.dev.as_ref()?, address)
}

impl Statics {
    /// Whether one of them is, or is to be, exactly there.
    pub(super) fn has(&self, link: LinkId, cidr: Cidr) -> bool {
        let at = spot(link, cidr);
        let mut there = self.places.there();
        there.any(|(on, what)| spot(on, what.cidr) == at)
    }

    /// Whether one belongs on an interface of this name.
    pub(super) fn uses(&self, name: &str) -> bool {
        let mut all = self.places.iter();
        all.any(|p| p.what.dev.as_deref() == Some(name))
    }

    /// Whether this address belongs on an interface of this name.
    pub(super) fn wants(&self, name: &str, cidr: Cidr) -> bool {
        let mut all = self.places.iter();
        all.any(|p| p.what.dev.as_deref() == Some(name) && p.what.cidr == cidr)
    }

    pub(super) fn views(&self) -> impl Iterator<Item = AddressView> + '_ {
        self.places.iter().map(|p| AddressView {
            address: p.what.cidr.to_string(),
            interface: p.what.dev.clone().unwrap_or_default(),
            installed: p.is_present(),
            advertised: false,
        })
    }

    fn install(&mut self, links: &Links, requests: &mut Requests, out: &mut Actions) {
        let find = |a: &VirtualAddress| home(links, a);
        self.places.install(&find, requests, out);
    }

    /// Someone removed it: put back, until that happens too often.
    fn restore(
        &mut self,
        now: Instant,
        link: LinkId,
        cidr: Cidr,
        limit: RestoreLimit,
        requests: &mut Requests,
        out: &mut Actions,
    ) {
        if now.since(self.restored.0) > limit.within {
            self.restored = (now, 0);
        }
        let times = self.restored.1.saturating_add(1);
        let too_often = times > limit.count;
        let is_ours = if too_often {
            self.places.give_up(now, link, cidr)
        } else {
            self.places.restore(link, cidr, requests, out)
        };
        if !is_ours {
            return;
        }
        self.restored.1 = times;
        if too_often {
            let text =
                format!("static address {cidr}: removed again and again; left alone for 30 s");
            say(Level::Warn, text, out);
        } else if times.is_power_of_two() {
            let text = format!("static address {cidr}: someone removed it; put back");
            say(Level::Info, text, out);
        }
    }
}

fn say(level: Level, text: String, out: &mut Actions) {
    let text = Arc::from(text);
    let what = What::Text { level, text };
    out.push(Action::Tell(Box::new(Notice { router: None, what })));
}

impl Engine {
    /// Removes what an earlier run left of them, then adds them all.
    pub(super) fn begin_statics(&mut self, left: &[(LinkId, Arc<str>, Cidr)], out: &mut Actions) {
        for (id, name, cidr) in left {
            let there = self
                .links
                .get(*id)
                .is_some_and(|l| l.name == *name && l.has(*cidr));
            if there && self.statics.wants(name, *cidr) && !self.is_claimed(*id, *cidr) {
                // With its present options it comes right behind.
                let what = Arc::new(VirtualAddress::plain(*cidr));
                self.remove_leftover(*id, name, what, out);
            }
        }
        self.statics.install(&self.links, &mut self.requests, out);
        self.time_statics();
    }

    /// Gives them back.
    pub(super) fn stop_statics(&mut self, out: &mut Actions) {
        self.statics.places.remove(None, &mut self.requests, out);
        self.set_timer(Slot::Statics, None);
    }

    /// The kernel answered.
    pub(super) fn static_answered(
        &mut self,
        now: Instant,
        hint: usize,
        id: ActionId,
        errno: Option<i32>,
        out: &mut Actions,
    ) {
        let (answered, index) = self.statics.places.answered(now, hint, id, errno);
        match answered {
            Answered::Installed => {
                if let Some((link, cidr)) = self.statics.places.gone(index) {
                    self.static_removed(now, link, cidr, out);
                }
            }
            Answered::Refused(cidr) => {
                self.statics.places.put_back(index, &mut self.requests, out);
                let errno = errno.unwrap_or(0);
                say(
                    Level::Warn,
                    format!(
                        "static address {cidr}: the kernel refused it (errno {errno}); trying again"
                    ),
                    out,
                );
            }
            Answered::Nothing => {}
        }
        self.time_statics();
    }

    /// The kernel says that an address is there, or is not.
    pub(super) fn static_seen(
        &mut self,
        now: Instant,
        link: LinkId,
        cidr: Cidr,
        present: bool,
        out: &mut Actions,
    ) {
        self.statics.places.see(link, cidr, present);
        if !present && self.begun {
            self.static_removed(now, link, cidr, out);
            self.time_statics();
        }
    }

    fn static_removed(&mut self, now: Instant, link: LinkId, cidr: Cidr, out: &mut Actions) {
        let limit = self.settings.global.restore_limit;
        self.statics
            .restore(now, link, cidr, limit, &mut self.requests, out);
    }

    /// A link is gone, or it or its name may be new.
    pub(super) fn statics_see_link(&mut self, link: LinkId, out: &mut Actions) {
        if self.links.get(link).is_none() {
            self.statics.places.lose(link);
        } else if self.begun {
            let links = &self.links;
            let find = |a: &VirtualAddress| home(links, a);
            self.statics
                .places
                .settle_in(&find, &mut self.requests, out);
        }
    }

    /// Refused ones are due.
    pub(super) fn tick_statics(&mut self, now: Instant, out: &mut Actions) {
        let links = &self.links;
        let find = |a: &VirtualAddress| home(links, a);
        self.statics
            .places
            .retry(now, &find, &mut self.requests, out);
        self.time_statics();
    }

    fn time_statics(&mut self) {
        let at = self.statics.places.retry_at();
        self.set_timer(Slot::Statics, at);
    }

    /// Where they will be by these settings.
    pub(super) fn static_spots(&self, settings: &Settings) -> Vec<Spot> {
        let statics = settings.statics.iter();
        statics
            .filter_map(|one| {
                let (link, _) = home(&self.links, &one.address)?;
                Some(spot(link, one.address.cidr))
            })
            .collect()
    }

    /// Addresses in the kernel because of them, in the form they have there.
    pub(super) fn static_places(&self) -> impl Iterator<Item = (LinkId, &Arc<VirtualAddress>)> {
        self.statics.places.there()
    }

    /// Takes new ones; before the start nothing is asked for.
    pub(super) fn alter_statics(
        &mut self,
        settings: &Settings,
        others: &Bystanders,
        out: &mut Actions,
    ) {
        let links = &self.links;
        let find = |a: &VirtualAddress| home(links, a);
        self.statics.places.alter(
            places(&settings.statics),
            if self.begun { Some(&find) } else { None },
            Some(others),
            &mut self.requests,
            out,
        );
        self.time_statics();
    }
}
