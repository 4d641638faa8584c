//! Where each virtual address stands with the kernel.

use crate::core::action::{Action, Actions, Change};
use crate::model::addr::{Cidr, VirtualAddress};
use crate::model::ids::{ActionId, LinkId, RouterId};
use crate::model::settings::RouterSettings;
use crate::model::time::Instant;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// ECANCELED: a waiting request was made pointless by a later one for the same address.
const CANCELLED: i32 = 125;
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_LAST: Duration = Duration::from_secs(30);

/// Numbers requests and finds their owner when the answer comes.
#[derive(Debug, Default)]
pub(super) struct Requests {
    last: u64,
    pending: HashMap<ActionId, Pending>,
    /// How many removals of each address wait for their answer.
    leaving: HashMap<IpAddr, u32>,
}

/// A request the kernel has not answered.
#[derive(Debug)]
struct Pending {
    router: RouterId,
    index: usize,
    /// The address, if it is to go.
    leaves: Option<IpAddr>,
}

impl Requests {
    fn issue(&mut self, router: RouterId, index: usize, leaves: Option<IpAddr>) -> ActionId {
        self.last += 1;
        let id = ActionId(self.last);
        if let Some(address) = leaves {
            *self.leaving.entry(address).or_default() += 1;
        }
        let pending = Pending {
            router,
            index,
            leaves,
        };
        self.pending.insert(id, pending);
        id
    }

    /// A removal nobody waits for with a place of its own: leftovers of an earlier run, or the old
    /// form of an address that is to have other options.
    pub(super) fn issue_loose(&mut self, leaves: IpAddr) -> ActionId {
        self.issue(RouterId(u32::MAX), 0, Some(leaves))
    }

    /// Whose answer this is.
    pub(super) fn settle(&mut self, id: ActionId) -> Option<(RouterId, usize)> {
        let pending = self.pending.remove(&id)?;
        if let Some(address) = pending.leaves
            && let Some(count) = self.leaving.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                self.leaving.remove(&address);
            }
        }
        Some((pending.router, pending.index))
    }

    /// Whether an address is there only because the kernel has not come to its removal yet.
    pub(super) fn is_leaving(&self, address: IpAddr) -> bool {
        self.leaving.contains_key(&address)
    }

    /// Whether the kernel owes no answer.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}

/// One virtual address.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) what: Arc<VirtualAddress>,
    pub(super) advertised: bool,
    /// Where it was put, or is to be put.
    pub(super) on: Option<(LinkId, Arc<str>)>,
    state: PlaceState,
    /// After the next refusal it is tried again so late.
    patience: Duration,
    /// The kernel told that it is gone while the answer to our request was on its way.
    gone: bool,
    /// The form it had before, until the kernel has taken the new one.
    former: Option<Arc<VirtualAddress>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum PlaceState {
    Absent,
    Adding(ActionId),
    Present,
    Removing(ActionId),
    Retry { at: Instant },
}

impl Place {
    fn new(what: Arc<VirtualAddress>, advertised: bool) -> Self {
        Self {
            what,
            advertised,
            on: None,
            state: PlaceState::Absent,
            patience: RETRY_FIRST,
            gone: false,
            former: None,
        }
    }

    /// Waits before it is tried again, ever longer.
    fn wait(&mut self, now: Instant) {
        self.state = PlaceState::Retry {
            at: now + self.patience,
        };
        self.patience = (self.patience * 2).min(RETRY_LAST);
    }

    fn spot(&self) -> Option<Spot> {
        let (link, _) = self.on.as_ref()?;
        Some(spot(*link, self.what.cidr))
    }

    pub(super) fn is_present(&self) -> bool {
        self.state == PlaceState::Present
    }

    /// Whether the kernel has it or may have it because of us.
    fn is_ours(&self) -> bool {
        match self.state {
            PlaceState::Adding(_) | PlaceState::Present => true,
            PlaceState::Absent | PlaceState::Removing(_) | PlaceState::Retry { .. } => false,
        }
    }
}

/// What an answer meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answered {
    /// The address is there now.
    Installed,
    /// The kernel would not; it is tried again.
    Refused(Cidr),
    /// Nothing that anybody waits for.
    Nothing,
}

/// An address on a link as the kernel tells addresses apart: IPv6 by the address alone.
pub(super) type Spot = (LinkId, Cidr);

/// The spot of an address on a link.
pub(super) fn spot(link: LinkId, cidr: Cidr) -> Spot {
    match cidr.addr {
        IpAddr::V4(_) => (link, cidr),
        IpAddr::V6(_) => (link, Cidr::host(cidr.addr)),
    }
}

/// What a reload must know of all routers while it changes one.
#[derive(Debug, Default)]
pub(super) struct Bystanders {
    /// Addresses that an Active router serves after the reload: no other may remove them.
    pub(super) kept: HashSet<Spot>,
    /// Addresses that are in the kernel because of us, in the form they have there.
    pub(super) there: HashMap<Spot, Arc<VirtualAddress>>,
}

/// Resolves the link an address belongs on.
pub(super) type FindLink<'a> = &'a dyn Fn(&VirtualAddress) -> Option<(LinkId, Arc<str>)>;

/// All virtual addresses of one router, in the order they are installed.
#[derive(Debug)]
pub(super) struct Places {
    router: RouterId,
    list: Vec<Place>,
    /// Addresses for which the kernel's first answer is awaited.
    adding: usize,
    /// Wanted addresses whose interface does not exist.
    homeless: usize,
}

impl Places {
    pub(super) fn new(router: RouterId, settings: &RouterSettings) -> Self {
        let advertised = settings.addresses.iter().map(|a| (a, true));
        let excluded = settings.excluded.iter().map(|a| (a, false));
        Self::of(router, advertised.chain(excluded))
    }

    /// Of these addresses, each with whether it is advertised.
    pub(super) fn of<'a>(
        router: RouterId,
        list: impl Iterator<Item = (&'a VirtualAddress, bool)>,
    ) -> Self {
        let list = list
            .map(|(what, advertised)| Place::new(Arc::new(what.clone()), advertised))
            .collect();
        Self {
            router,
            list,
            adding: 0,
            homeless: 0,
        }
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Place> {
        self.list.iter()
    }

    pub(super) fn get(&self, index: usize) -> Option<&Place> {
        self.list.get(index)
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether every address has been answered for.
    pub(super) const fn is_settled(&self) -> bool {
        self.adding == 0
    }

    fn request(
        &mut self,
        index: usize,
        change: Change,
        requests: &mut Requests,
        out: &mut Actions,
    ) {
        let Some(place) = self.list.get_mut(index) else {
            return;
        };
        let Some((link, name)) = place.on.clone() else {
            return;
        };
        if matches!(place.state, PlaceState::Adding(_)) {
            self.adding = self.adding.saturating_sub(1);
        }
        let leaves = (change == Change::Remove).then_some(place.what.cidr.addr);
        let id = requests.issue(self.router, index, leaves);
        place.gone = false;
        place.state = match change {
            Change::Add => {
                self.adding += 1;
                PlaceState::Adding(id)
            }
            Change::Remove => PlaceState::Removing(id),
        };
        out.push(Action::Address {
            id,
            link,
            name,
            change,
            what: place.what.clone(),
        });
    }

    /// Asks for every address that is not there.
    pub(super) fn install(
        &mut self,
        find: FindLink<'_>,
        requests: &mut Requests,
        out: &mut Actions,
    ) {
        self.homeless = 0;
        for index in 0..self.list.len() {
            if self.list[index].is_ours() {
                continue;
            }
            self.list[index].on = find(&self.list[index].what);
            if self.list[index].on.is_none() {
                self.list[index].state = PlaceState::Absent;
                self.homeless += 1;
            }
            self.request(index, Change::Add, requests, out);
        }
    }

    /// Asks for addresses whose interface has appeared since [`Places::install`].
    pub(super) fn settle_in(
        &mut self,
        find: FindLink<'_>,
        requests: &mut Requests,
        out: &mut Actions,
    ) {
        if self.homeless == 0 {
            return;
        }
        for index in 0..self.list.len() {
            let place = &mut self.list[index];
            if place.state != PlaceState::Absent || place.on.is_some() {
                continue;
            }
            place.on = find(&place.what);
            if place.on.is_some() {
                self.homeless = self.homeless.saturating_sub(1);
                self.request(index, Change::Add, requests, out);
            }
        }
    }

    /// Forgets what was on a link that is gone; what is tracked is asked for when it is back.
    pub(super) fn lose(&mut self, link: LinkId) {
        for place in &mut self.list {
            if place.on.as_ref().is_none_or(|(on, _)| *on != link) {
                continue;
            }
            if matches!(place.state, PlaceState::Adding(_)) {
                self.adding = self.adding.saturating_sub(1);
            }
            let stays_away = place.what.no_track && place.is_present();
            place.state = PlaceState::Absent;
            if !stays_away {
                place.on = None;
                self.homeless += 1;
            }
        }
    }

    /// Lets one that someone removed be, and tries it as late as after many refusals; true if it was
    /// ours and there.
    pub(super) fn give_up(&mut self, now: Instant, link: LinkId, cidr: Cidr) -> bool {
        let index = self.restorable(link, cidr);
        let Some(place) = index.and_then(|index| self.list.get_mut(index)) else {
            return false;
        };
        place.patience = RETRY_LAST;
        place.wait(now);
        true
    }

    /// Addresses that are in the kernel or are to be because of us, with their links.
    pub(super) fn there(&self) -> impl Iterator<Item = (LinkId, &Arc<VirtualAddress>)> {
        let ours = self.list.iter().filter(|p| p.is_ours());
        ours.filter_map(|p| Some((p.on.as_ref()?.0, &p.what)))
    }

    /// Gives up every address but those that another router serves from now on.
    pub(super) fn remove(
        &mut self,
        others: Option<&Bystanders>,
        requests: &mut Requests,
        out: &mut Actions,
    ) {
        self.homeless = 0;
        for index in 0..self.list.len() {
            self.remove_one(index, others, requests, out);
        }
    }

    fn remove_one(
        &mut self,
        index: usize,
        others: Option<&Bystanders>,
        requests: &mut Requests,
        out: &mut Actions,
    ) {
        let place = &mut self.list[index];
        place.patience = RETRY_FIRST;
        place.former = None;
        if !place.is_ours() {
            if !matches!(place.state, PlaceState::Removing(_)) {
                place.state = PlaceState::Absent;
            }
            return;
        }
        let stays = place.on.as_ref().is_some_and(|(link, _)| {
            others.is_some_and(|o| o.kept.contains(&spot(*link, place.what.cidr)))
        });
        if stays {
            if matches!(place.state, PlaceState::Adding(_)) {
                self.adding = self.adding.saturating_sub(1);
            }
            place.state = PlaceState::Absent;
        } else {
            self.request(index, Change::Remove, requests, out);
        }
    }

    /// Takes the kernel's answer; `errno` if it refused.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        hint: usize,
        id: ActionId,
        errno: Option<i32>,
    ) -> (Answered, usize) {
        let is_it = |p: &Place| matches!(p.state, PlaceState::Adding(i) | PlaceState::Removing(i) if i == id);
        let index = match self.list.get(hint) {
            Some(place) if is_it(place) => hint,
            Some(_) | None => match self.list.iter().position(is_it) {
                Some(index) => index,
                None => return (Answered::Nothing, hint),
            },
        };
        let place = &mut self.list[index];
        match (place.state, errno) {
            (PlaceState::Adding(_), None) => {
                self.adding = self.adding.saturating_sub(1);
                place.state = PlaceState::Present;
                place.patience = RETRY_FIRST;
                place.former = None;
                (Answered::Installed, index)
            }
            // Another router's request for the same address came first; the kernel never heard ours.
            (PlaceState::Adding(_), Some(CANCELLED)) => {
                self.adding = self.adding.saturating_sub(1);
                place.wait(now);
                (Answered::Nothing, index)
            }
            (PlaceState::Adding(_), Some(_)) => {
                self.adding = self.adding.saturating_sub(1);
                place.wait(now);
                (Answered::Refused(place.what.cidr), index)
            }
            // A refused removal leaves nothing to do that would not be refused again.
            (PlaceState::Removing(_), _) => {
                place.state = PlaceState::Absent;
                (Answered::Nothing, index)
            }
            (PlaceState::Absent | PlaceState::Present | PlaceState::Retry { .. }, _) => {
                (Answered::Nothing, index)
            }
        }
    }

    /// The kernel would not have an address in its new form: it had better stay in the old one than
    /// be away.
    pub(super) fn put_back(&mut self, index: usize, requests: &mut Requests, out: &mut Actions) {
        let Some(place) = self.list.get_mut(index) else {
            return;
        };
        let (Some(what), Some((link, name))) = (place.former.take(), place.on.clone()) else {
            return;
        };
        let id = requests.issue(self.router, index, None);
        place.gone = false;
        place.state = PlaceState::Adding(id);
        self.adding += 1;
        out.push(Action::Address {
            id,
            link,
            name,
            change: Change::Add,
            what,
        });
    }

    /// Takes the kernel's word on an address while its answer to us may still be on its way.
    pub(super) fn see(&mut self, link: LinkId, cidr: Cidr, present: bool) {
        for place in &mut self.list {
            if matches!(place.state, PlaceState::Adding(_))
                && place.what.cidr == cidr
                && place.on.as_ref().is_some_and(|(on, _)| *on == link)
            {
                place.gone = !present;
            }
        }
    }

    /// Where an address is that was gone again before the kernel's answer came.
    pub(super) fn gone(&self, index: usize) -> Option<(LinkId, Cidr)> {
        let place = self.list.get(index).filter(|p| p.gone)?;
        Some((place.on.as_ref()?.0, place.what.cidr))
    }

    /// Asks again for one that someone removed; true if it was ours and there.
    pub(super) fn restore(
        &mut self,
        link: LinkId,
        cidr: Cidr,
        requests: &mut Requests,
        out: &mut Actions,
    ) -> bool {
        let Some(index) = self.restorable(link, cidr) else {
            return false;
        };
        self.request(index, Change::Add, requests, out);
        true
    }

    /// The place of an address that was there because of us and is tracked.
    fn restorable(&self, link: LinkId, cidr: Cidr) -> Option<usize> {
        self.list.iter().position(|p| {
            p.is_present()
                && !p.what.no_track
                && p.what.cidr == cidr
                && p.on.as_ref().is_some_and(|(on, _)| *on == link)
        })
    }

    /// When a refused address is tried again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.list
            .iter()
            .filter_map(|p| match p.state {
                PlaceState::Retry { at } => Some(at),
                PlaceState::Absent
                | PlaceState::Adding(_)
                | PlaceState::Present
                | PlaceState::Removing(_) => None,
            })
            .min()
    }

    /// Tries refused addresses again, ever more slowly.
    pub(super) fn retry(
        &mut self,
        now: Instant,
        find: FindLink<'_>,
        requests: &mut Requests,
        out: &mut Actions,
    ) {
        for index in 0..self.list.len() {
            let PlaceState::Retry { at } = self.list[index].state else {
                continue;
            };
            if now < at {
                continue;
            }
            self.list[index].on = find(&self.list[index].what);
            if self.list[index].on.is_some() {
                self.request(index, Change::Add, requests, out);
            } else {
                self.list[index].wait(now);
            }
        }
    }

    /// Takes a new list: addresses in both keep their state, new ones are asked for if `active`,
    /// then those that are no longer wanted are removed. True if any was added.
    pub(super) fn alter(
        &mut self,
        mut fresh: Self,
        active: Option<FindLink<'_>>,
        others: Option<&Bystanders>,
        requests: &mut Requests,
        out: &mut Actions,
    ) -> bool {
        let mut old: HashMap<Arc<VirtualAddress>, Vec<(usize, Place)>> = HashMap::new();
        for (order, place) in self.list.drain(..).enumerate() {
            let same = old.entry(place.what.clone()).or_default();
            same.push((order, place));
        }
        for place in &mut fresh.list {
            if let Some((_, before)) = old.get_mut(&place.what).and_then(Vec::pop) {
                let advertised = place.advertised;
                *place = Place {
                    advertised,
                    ..before
                };
            }
        }
        fresh.adding = fresh
            .list
            .iter()
            .filter(|p| matches!(p.state, PlaceState::Adding(_)))
            .count();
        let mut added = false;
        if let Some(find) = active {
            added = fresh.list.iter().any(|p| !p.is_ours());
            if let Some(others) = others {
                fresh.clear_way(find, others, requests, out);
            }
            fresh.install(find, requests, out);
        }
        // An address whose options alone changed is there again under the new ones: not removed.
        let still: HashSet<Option<Spot>> = fresh.list.iter().map(Place::spot).collect();
        let mut left: Vec<(usize, Place)> = old
            .into_values()
            .flatten()
            .filter(|(_, p)| !still.contains(&p.spot()))
            .collect();
        left.sort_by_key(|(order, _)| *order);
        let mut leaving = Self {
            router: self.router,
            list: left.into_iter().map(|(_, place)| place).collect(),
            adding: 0,
            homeless: 0,
        };
        leaving.remove(others, requests, out);
        *self = fresh;
        added
    }

    /// Removes the old form of addresses that are about to be added with other options: the kernel
    /// changes neither label nor scope nor broadcast of an address that is there. The addition
    /// follows in the same batch.
    fn clear_way(
        &mut self,
        find: FindLink<'_>,
        others: &Bystanders,
        requests: &mut Requests,
        out: &mut Actions,
    ) {
        for place in self.list.iter_mut().filter(|p| !p.is_ours()) {
            let Some((link, name)) = find(&place.what) else {
                continue;
            };
            let there = others.there.get(&spot(link, place.what.cidr));
            if let Some(old) = there.filter(|old| !same_in_kernel(old, &place.what)) {
                place.former = Some(old.clone()).filter(|old| old.cidr == place.what.cidr);
                out.push(Action::Address {
                    id: requests.issue_loose(old.cidr.addr),
                    link,
                    name,
                    change: Change::Remove,
                    what: old.clone(),
                });
            }
        }
    }
}

/// Whether the kernel would hold both alike: what only we look at may differ.
fn same_in_kernel(a: &VirtualAddress, b: &VirtualAddress) -> bool {
    let bare = |v: &VirtualAddress| VirtualAddress {
        dev: None,
        no_track: false,
        ..v.clone()
    };
    bare(a) == bare(b)
}
