//! A virtual router: RFC 9568 §6.4 as methods, with keepalived's Fault beside it.
//!
//! Deadlines live inside the state, so leaving a state cancels its timers. [`Router::enter`] is the
//! writer of state; only the end of a life goes past it.

use crate::core::action::{Action, Actions, Via};
use crate::core::damping::Damping;
use crate::core::election::{active_down_interval, skew_time};
use crate::core::facts::Facts;
use crate::core::fold::Standing;
use crate::core::garp::GarpRun;
use crate::core::handover::{Fall, Pending};
use crate::core::link::Links;
use crate::core::peers::Peers;
use crate::core::places::{Bystanders, Places, Requests};
use crate::core::serve::find_link;
use crate::core::stats::Stats;
use crate::model::addr::VirtualAddress;
use crate::model::ids::{Family, LinkId, RouterId, Version};
use crate::model::notice::{Heard, Level, Mover, Notice, Notification, Phase, Told, What, Why};
use crate::model::order::Outcome;
use crate::model::priority::{Claim, Priority};
use crate::model::settings::{AuthSettings, GlobalSettings, RouterSettings, TransportSettings};
use crate::model::time::Instant;
use crate::wire::advert::Expect;
use crate::wire::template::{GROUP4, GROUP6, Spec, Template};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// What a router may see and use while it thinks.
pub(super) struct Cx<'a> {
    pub(super) links: &'a mut Links,
    pub(super) global: &'a GlobalSettings,
    pub(super) requests: &'a mut Requests,
    /// Number of the last transition of any router.
    pub(super) seq: &'a mut u64,
    /// During a reload: what the other routers serve.
    pub(super) others: Option<&'a Bystanders>,
    pub(super) out: &'a mut Actions,
}

/// The state with its deadlines.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// Before the first decision.
    Init,
    /// Cannot take part; `Router::faults` says why.
    Fault,
    /// Listening.
    Backup(Backup),
    /// Serving.
    Active(Active),
}

impl State {
    /// Without its timers.
    pub(super) const fn phase(&self) -> Phase {
        match self {
            Self::Init => Phase::Init,
            Self::Fault => Phase::Fault,
            Self::Backup(_) => Phase::Backup,
            Self::Active(_) => Phase::Active,
        }
    }
}

/// Backup's timers and memory.
#[derive(Clone, Debug)]
pub(super) struct Backup {
    /// Active_Down_Timer.
    pub(super) down_at: Instant,
    /// Active_Adver_Interval: our own until another was learned.
    pub(super) adver: Duration,
    /// Whom we last heeded.
    pub(super) active: Option<(IpAddr, Priority, Instant)>,
    /// Who resigned, if that is what the timer runs for.
    pub(super) released: Option<IpAddr>,
    /// The last advert that was discarded because it is lower.
    pub(super) lower: Option<(IpAddr, Priority, Instant)>,
    /// `preempt_delay` runs until then.
    pub(super) hold_until: Option<Instant>,
    /// Woken too late once, and listening once more.
    pub(super) listened: bool,
}

/// Active's timers.
#[derive(Clone, Debug)]
pub(super) struct Active {
    /// Adver_Timer.
    pub(super) advert_at: Instant,
    /// The first announcements wait for the kernel.
    pub(super) announced: bool,
    pub(super) garp: GarpRun,
    /// Losing adverts, and releases, are not answered before this.
    pub(super) answer_at: Instant,
    pub(super) release_at: Instant,
    /// A handover that was offered and not yet answered.
    pub(super) pending: Option<Pending>,
    pub(super) fell: Option<Fall>,
    /// Drained: silent until a successor is heard.
    pub(super) leaving: Option<Leaving>,
}

/// A drain on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving {
    /// The order to be answered, by one member of a group only.
    pub(super) id: Option<u64>,
    /// Nobody came by then.
    pub(super) until: Instant,
    /// Leave even so.
    pub(super) force: bool,
    /// An operator asked for it; else trackers failed (`all_failed hold`).
    pub(super) drained: bool,
}

/// An operator's term, in force until it is cleared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Term {
    /// Serves only if nobody else does.
    Drained,
    /// Advertises 254.
    Takeover,
}

/// One virtual router.
#[derive(Debug)]
pub(super) struct Router {
    pub(super) id: RouterId,
    pub(super) settings: Arc<RouterSettings>,
    pub(super) state: State,
    pub(super) standing: Standing,
    pub(super) faults: Vec<Why>,
    pub(super) link: Option<LinkId>,
    pub(super) source: Option<IpAddr>,
    mtu: u32,
    template: Option<Template>,
    pub(super) places: Places,
    pub(super) peers: Peers,
    pub(super) stats: Stats,
    pub(super) since: Instant,
    pub(super) why: Why,
    /// No transition was told yet in this run.
    first: bool,
    /// Restored addresses: since when they are counted, and how many.
    pub(super) restored: (Instant, u32),
    /// Too often restored: out until then.
    pub(super) lost: Option<(Instant, Why)>,
    /// Its sync group.
    pub(super) group: Option<usize>,
    /// It has a fault of its own, its group apart.
    pub(super) own_fault: bool,
    /// That fault is one that flap damping holds on to, and nothing else.
    pub(super) own_damped: bool,
    pub(super) own_held: bool,
    pub(super) own_degraded: bool,
    /// What failed, if that is borne with priority 1 (`all_failed hold`).
    pub(super) degraded: Option<Why>,
    /// Its down timer ran out, and its group is not ready.
    pub(super) wants: Option<Why>,
    /// An operator's term.
    pub(super) term: Option<Term>,
    /// Drained although nobody took over.
    pub(super) forced_out: bool,
    /// The effective priority without falls that are not confirmed.
    pub(super) confirmed: Priority,
    /// Base priority and term that it was computed with, and whether trackers that failed are borne.
    base: (Priority, Option<Term>, bool),
    /// A peer took over too early after a release: no more of them.
    pub(super) handover_broken: bool,
    pub(super) damping: Damping,
    may_claim: bool,
}

impl Router {
    pub(super) fn new(id: RouterId, settings: Arc<RouterSettings>, now: Instant) -> Self {
        let places = Places::new(id, &settings);
        let standing = Standing {
            priority: settings.priority,
            sum: settings.priority.get().into(),
            fault: false,
        };
        Self {
            id,
            settings,
            state: State::Init,
            standing,
            faults: Vec::new(),
            link: None,
            source: None,
            mtu: 0,
            template: None,
            places,
            peers: Peers::default(),
            stats: Stats::new(),
            since: now,
            why: Why::Startup,
            first: true,
            restored: (now, 0),
            lost: None,
            group: None,
            own_fault: false,
            own_damped: false,
            own_held: false,
            own_degraded: false,
            degraded: None,
            wants: None,
            term: None,
            forced_out: false,
            confirmed: standing.priority,
            base: (standing.priority, None, false),
            handover_broken: false,
            damping: Damping::default(),
            may_claim: true,
        }
    }

    /// The state without its timers.
    pub(super) const fn phase(&self) -> Phase {
        self.state.phase()
    }

    /// When [`Router::on_tick`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let damping = self.damping.deadline();
        self.protocol_deadline().into_iter().chain(damping).min()
    }

    fn protocol_deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Init => None,
            State::Fault => self.lost.as_ref().map(|(until, _)| *until),
            State::Backup(b) => Some(b.down_at),
            State::Active(Active {
                leaving: Some(leaving),
                ..
            }) => Some(leaving.until),
            State::Active(a) => {
                let garp = if a.announced || self.places.is_settled() {
                    a.garp.deadline()
                } else {
                    None
                };
                let repeat = a.pending.as_ref().and_then(Pending::deadline);
                [Some(a.advert_at), repeat, garp, self.places.retry_at()]
                    .into_iter()
                    .flatten()
                    .min()
            }
        }
    }

    /// The running protocol timer and, in Backup, the learned interval.
    pub(super) fn timers(&self) -> (Option<Instant>, Duration) {
        match &self.state {
            State::Init | State::Fault => (None, self.settings.adver),
            State::Backup(b) => (Some(b.down_at), b.adver),
            State::Active(a) => (Some(a.advert_at), self.settings.adver),
        }
    }

    /// What an advert must be like to be heeded.
    pub(super) fn expect(&self) -> Expect {
        Expect {
            version: self.settings.version,
            unicast: self.is_unicast(),
            auth: self.settings.auth,
            adver: self.settings.adver,
            addresses: self.settings.addresses.len(),
            strict: self.settings.strict,
            owner_ignores: self.settings.owner_ignore_adverts && self.settings.priority.is_owner(),
        }
    }

    pub(super) fn is_unicast(&self) -> bool {
        matches!(self.settings.transport, TransportSettings::Unicast { .. })
    }

    /// Whether this is the Active router that a Backup follows.
    pub(super) fn follows(&self, addr: IpAddr) -> bool {
        match &self.state {
            State::Backup(b) => b.active.is_some_and(|(from, _, _)| from == addr),
            State::Init | State::Fault | State::Active(_) => false,
        }
    }

    /// Whether this address is one of its unicast peers.
    pub(super) fn has_peer(&self, addr: IpAddr) -> bool {
        match &self.settings.transport {
            TransportSettings::Multicast => false,
            TransportSettings::Unicast { peers } => peers.contains(&addr),
        }
    }

    // ---- time ------------------------------------------------------------------------------------

    /// True if its down timer ran out and its group is to decide.
    pub(super) fn on_tick(&mut self, now: Instant, cx: &mut Cx<'_>) -> bool {
        if self.lost.as_ref().is_some_and(|(until, _)| now >= *until) {
            self.lost = None;
        }
        self.damping_due(now, cx);
        match &mut self.state {
            State::Init | State::Fault => {}
            State::Backup(b) => {
                if now < b.down_at {
                    return false;
                }
                let late = now.since(b.down_at);
                if late > b.adver && !b.listened {
                    // We slept, so silence proves nothing: listen once before talking.
                    b.listened = true;
                    b.down_at = now
                        + b.adver
                        + skew_time(self.settings.version, self.standing.priority, b.adver);
                    self.tell(What::Stalled { late }, cx);
                    return false;
                }
                let why = self.why_takeover(now);
                if self.group.is_some() {
                    let full = self.down_interval(self.timers().1);
                    if let State::Backup(b) = &mut self.state {
                        b.down_at = now + full;
                    }
                    self.wants = Some(why);
                    return true;
                }
                self.become_active(now, why, cx);
            }
            State::Active(a) => {
                if a.leaving.is_some() && self.leaving_due(now, cx) {
                    return false;
                }
                let State::Active(a) = &self.state else {
                    return false;
                };
                let advert_at = a.advert_at;
                if now >= advert_at && self.advert_is_due(now, now.since(advert_at), cx) {
                    return false;
                }
                self.repeat_due(now, now >= advert_at, cx);
                self.announce_due(now, cx);
                self.retry_places(now, cx);
            }
        }
        false
    }

    /// Sends the periodic advert; true if the router left Active instead.
    fn advert_is_due(&mut self, now: Instant, late: Duration, cx: &mut Cx<'_>) -> bool {
        let adver = self.settings.adver;
        if let Some(highest) = self.settings.timer_expired_backup
            && late > adver * 3 + skew_time(self.settings.version, highest, adver)
        {
            let next = self.backup(now);
            self.enter(now, next, Why::Late { by: late }, cx);
            return true;
        }
        self.send_advert(Claim::Hold(self.standing.priority), cx);
        if let State::Active(a) = &mut self.state {
            let next = a.advert_at + adver;
            if next > now {
                a.advert_at = next;
            } else {
                a.advert_at = now + adver;
                self.stats.counters.skipped += 1;
            }
        }
        self.slept(now, late, cx);
        false
    }

    /// An advert was due long ago: others may have served meanwhile, so hosts and switches are told
    /// again.
    fn slept(&mut self, now: Instant, late: Duration, cx: &mut Cx<'_>) {
        let repeat = self.settings.garp.repeat;
        if late > self.settings.adver * 3
            && let State::Active(a) = &mut self.state
        {
            a.garp.begin(now, repeat);
            self.tell(What::Stalled { late }, cx);
        }
    }

    /// An advert out of turn: the next periodic one is a whole interval away.
    pub(super) fn advert_now(&mut self, now: Instant, cx: &mut Cx<'_>) {
        let adver = self.settings.adver;
        let State::Active(a) = &mut self.state else {
            return;
        };
        let late = now.since(a.advert_at);
        a.advert_at = now + adver;
        self.send_advert(Claim::Hold(self.standing.priority), cx);
        self.slept(now, late, cx);
    }

    /// Why silence ends in taking over.
    fn why_takeover(&self, now: Instant) -> Why {
        let State::Backup(b) = &self.state else {
            return Why::Startup;
        };
        let heard = |(from, priority, at): (IpAddr, Priority, Instant)| Heard {
            from,
            priority: priority.get(),
            ago: now.since(at),
        };
        if let Some(by) = b.released {
            return Why::Released { by };
        }
        if let Some(lower) = b.lower
            && now.since(lower.2) <= b.adver * 3
        {
            return Why::Preempt {
                lower: heard(lower),
                ours: self.standing.priority.get(),
            };
        }
        let last = b.active.map(heard);
        let missed = last.map_or(0, |h| {
            let adver = b.adver.as_nanos().max(1);
            u32::try_from(h.ago.as_nanos() / adver).unwrap_or(u32::MAX)
        });
        Why::Silence { missed, last }
    }

    pub(super) fn send_advert(&mut self, claim: Claim, cx: &mut Cx<'_>) {
        let (Some(link), Some(template)) = (self.link, &mut self.template) else {
            return;
        };
        template.set(claim);
        for (to, bytes) in template.frames() {
            cx.out.send(link, Via::Ip(to), bytes);
        }
        self.stats.counters.advert_sent += 1;
        if claim == Claim::Release {
            self.stats.counters.pri_zero_sent += 1;
        }
    }

    // ---- transitions -----------------------------------------------------------------------------

    pub(super) fn down_interval(&self, adver: Duration) -> Duration {
        let s = &self.settings;
        active_down_interval(s.version, self.standing.priority, adver, s.down_adverts)
    }

    /// A fresh Backup with a full down timer of our own interval.
    pub(super) fn backup(&self, now: Instant) -> Backup {
        let adver = self.settings.adver;
        Backup {
            down_at: now + self.down_interval(adver),
            adver,
            active: None,
            released: None,
            lower: None,
            hold_until: None,
            listened: false,
        }
    }

    pub(super) fn become_active(&mut self, now: Instant, why: Why, cx: &mut Cx<'_>) {
        let active = Active {
            advert_at: now + self.settings.adver,
            announced: false,
            garp: GarpRun::takeover(now, &self.settings.garp),
            answer_at: now,
            release_at: now,
            pending: None,
            fell: None,
            leaving: None,
        };
        self.enter(now, active, why, cx);
        self.serve_on(cx);
    }

    /// The only writer of state: does what leaving and entering demand, in the protocol's order.
    pub(super) fn enter(
        &mut self,
        now: Instant,
        next: impl Into<State>,
        why: Why,
        cx: &mut Cx<'_>,
    ) {
        let from = self.phase();
        self.end_leaving(cx);
        let next = next.into();
        self.damp(now, next.phase(), &why, cx);
        self.state = next;
        let to = self.phase();
        if from == Phase::Active {
            self.stats.counters.release_master += 1;
            self.places.remove(cx.others, cx.requests, cx.out);
        }
        if to == Phase::Active {
            self.stats.counters.become_master += 1;
            self.send_advert(Claim::Hold(self.standing.priority), cx);
            self.install(cx);
            self.begin_announcing(now);
            self.peers.moved = true;
        }
        self.since = now;
        self.wants = None;
        self.why = why.clone();
        self.stats.tell_again();
        self.tell_transition(from, to, why, cx);
    }

    /// Yields without a word on the wire: the group does, or a successor was heard.
    pub(super) fn follow(&mut self, now: Instant, why: Why, cx: &mut Cx<'_>) {
        if let State::Active(a) = &mut self.state
            && let Some(leaving) = a.leaving.take_if(|leaving| leaving.drained)
        {
            self.term = Some(Term::Drained);
            if let Some(id) = leaving.id.filter(|_| why != Why::Drained) {
                let outcome = Outcome::Done { successor: None };
                cx.out.push(Action::Ordered { id, outcome });
            }
        }
        let next = self.backup(now);
        self.enter(now, next, why, cx);
    }

    fn tell_transition(&mut self, from: Phase, to: Phase, why: Why, cx: &mut Cx<'_>) {
        *cx.seq += 1;
        let priority = self.standing.priority.get();
        self.tell(
            What::Entering {
                from,
                to,
                priority,
                why: why.clone(),
                seq: *cx.seq,
            },
            cx,
        );
        self.notify(from, Told::State(to), why, cx);
        self.first = false;
    }

    pub(super) fn notify(&self, from: Phase, to: Told, why: Why, cx: &mut Cx<'_>) {
        cx.out.push(Action::Notify(Box::new(Notification {
            router: self.id,
            settings: self.settings.clone(),
            group: None,
            from,
            to,
            priority: self.standing.priority.get(),
            why,
            seq: *cx.seq,
            first: self.first,
        })));
    }

    /// Resigns if it serves and the link can still carry the word.
    fn release(&mut self, cx: &mut Cx<'_>) {
        let up = self
            .link
            .and_then(|id| cx.links.get(id))
            .is_some_and(|l| l.carries());
        if up && matches!(self.state, State::Active(_)) {
            self.send_advert(Claim::Release, cx);
        }
    }

    /// Takes what the engine found out; transitions follow from it.
    pub(super) fn on_facts(&mut self, now: Instant, facts: Facts, cx: &mut Cx<'_>) {
        let moved = facts.link != self.link || facts.source != self.source || facts.mtu != self.mtu;
        let old = self.standing;
        // The word 0 must leave with the old source while there is one.
        let faults_now = !facts.faults.is_empty();
        if faults_now && matches!(self.state, State::Active(_)) {
            self.release(cx);
        }
        // What a reload or an operator changed is no tracker's fall, and who bears one gives way.
        let base = (self.settings.priority, self.term, facts.degraded.is_some());
        let fell = facts.confirmed < self.confirmed && self.base == base;
        let ours = (self.base.0, self.base.1) != (base.0, base.1);
        self.base = base;
        self.confirmed = facts.confirmed;
        self.may_claim = facts.may_claim;
        (self.link, self.source, self.mtu) = (facts.link, facts.source, facts.mtu);
        self.standing = facts.standing;
        self.faults = facts.faults;
        if moved {
            self.rebuild_template();
        }
        let was = std::mem::replace(&mut self.degraded, facts.degraded);
        self.damping_moved(now, ours, faults_now);
        if !faults_now {
            self.bear(now, was, cx);
        }
        if old.priority != self.standing.priority {
            self.priority_moved(now, old, facts.by, cx);
        }
        if !faults_now && (fell || old.priority != self.standing.priority) {
            self.moved_in_active(now, old.priority, fell, cx);
        }
        match (&self.state, faults_now) {
            (State::Init, _) if facts.held => {}
            (State::Init, false) => self.start(now, cx),
            (State::Fault, false) if !facts.held => {
                let next = self.backup_after_fault(now);
                self.enter(now, next, Why::Cleared, cx);
            }
            (State::Init | State::Backup(_) | State::Active(_), true) => {
                if let Some(why) = self.faults.first().cloned() {
                    self.enter(now, State::Fault, why, cx);
                }
            }
            (State::Active(a), false) if moved && a.leaving.is_none() => {
                self.send_advert(Claim::Hold(self.standing.priority), cx);
                let repeat = self.settings.garp.repeat;
                if let State::Active(a) = &mut self.state {
                    a.advert_at = now + self.settings.adver;
                    a.garp.begin(now, repeat);
                }
            }
            (State::Active(_), false) => self.settle_in(cx),
            (State::Fault, true) => self.still_in_fault(cx),
            (State::Fault, false) | (State::Backup(_), false) => {}
        }
    }

    /// Another obstacle came first in line: the log and `status` are to name the one that stands.
    fn still_in_fault(&mut self, cx: &mut Cx<'_>) {
        if let Some(why) = self.faults.first()
            && why.code() != self.why.code()
        {
            self.why = why.clone();
            let text = Arc::from(format!("still in FAULT STATE: {why}"));
            let level = Level::Info;
            self.tell(What::Text { level, text }, cx);
        }
    }

    /// Leaves Init: an owner that asked for it claims at once, everybody else listens first.
    fn start(&mut self, now: Instant, cx: &mut Cx<'_>) {
        if self.settings.start_active && self.standing.priority.is_owner() && self.may_claim {
            self.become_active(now, Why::Owner, cx);
        } else {
            let next = self.backup(now);
            self.enter(now, next, Why::Startup, cx);
        }
    }

    /// A running down timer moves by what the two down intervals differ.
    fn priority_moved(&mut self, now: Instant, old: Standing, by: Option<Mover>, cx: &mut Cx<'_>) {
        self.peers.moved = true;
        let (version, new) = (self.settings.version, self.standing.priority);
        if let State::Backup(b) = &mut self.state {
            let before = skew_time(version, old.priority, b.adver);
            let after = skew_time(version, new, b.adver);
            b.down_at = (b.down_at - before + after).max(now);
            self.heed_lower();
        }
        let what = What::Priority {
            from: old.priority.get(),
            to: new.get(),
            sum: self.standing.sum,
            by,
        };
        self.tell(what, cx);
    }

    /// New settings for the same router: state, timers, peers and counters stay.
    pub(super) fn on_settings(&mut self, now: Instant, new: Arc<RouterSettings>, cx: &mut Cx<'_>) {
        self.peers.moved = true;
        let old = std::mem::replace(&mut self.settings, new);
        // A reload is another chance for a peer that broke the handover.
        self.handover_broken = false;
        self.damping_altered(old.damping, now);
        let was_on_wire = self.template.clone();
        self.rebuild_template();
        if let State::Backup(b) = &mut self.state {
            let s = &self.settings;
            let priority = self.standing.priority;
            let before = active_down_interval(old.version, priority, b.adver, old.down_adverts);
            if s.version == Version::V2 || b.active.is_none() || old.version != s.version {
                b.adver = s.adver;
            }
            let after = active_down_interval(s.version, priority, b.adver, s.down_adverts);
            if before != after {
                b.down_at = (b.down_at - before + after).max(now);
            }
        }
        let (interface, links) = (self.settings.interface.clone(), &*cx.links);
        let find = |a: &VirtualAddress| find_link(links, &interface, a);
        let active = matches!(self.state, State::Active(_));
        let added = self.places.alter(
            Places::new(self.id, &self.settings),
            if active { Some(&find) } else { None },
            cx.others,
            cx.requests,
            cx.out,
        );
        let on_wire = match (&was_on_wire, &self.template) {
            (Some(a), Some(b)) => !a.frames().eq(b.frames()),
            (None, None) => false,
            (Some(_), None) | (None, Some(_)) => true,
        };
        // Who is leaving stays silent until somebody answers.
        if active && on_wire && !self.is_silent() {
            self.send_advert(Claim::Hold(self.standing.priority), cx);
        }
        let adver = self.settings.adver;
        if let State::Active(a) = &mut self.state {
            if on_wire {
                a.advert_at = now + adver;
            }
            if added {
                a.announced = false;
                a.garp = GarpRun::takeover(now, &self.settings.garp);
            }
        }
        self.begin_announcing(now);
    }

    /// The daemon stops, or the instance is gone from the configuration.
    pub(super) fn on_stop(&mut self, now: Instant, to: Phase, why: Why, cx: &mut Cx<'_>) {
        let from = self.phase();
        self.end_leaving(cx);
        self.release(cx);
        if from == Phase::Active {
            self.stats.counters.release_master += 1;
            self.places.remove(cx.others, cx.requests, cx.out);
        }
        self.state = State::Init;
        self.damping = Damping::default();
        self.since = now;
        self.why = why.clone();
        *cx.seq += 1;
        let priority = self.standing.priority.get();
        self.tell(
            What::Entering {
                from,
                to,
                priority,
                why: why.clone(),
                seq: *cx.seq,
            },
            cx,
        );
        self.notify(from, Told::State(to), why, cx);
    }

    // ---- helpers ---------------------------------------------------------------------------------

    fn rebuild_template(&mut self) {
        let s = &self.settings;
        let Some(source) = self.source else {
            self.template = None;
            return;
        };
        let group = match s.family {
            Family::V4 => IpAddr::V4(GROUP4),
            Family::V6 => IpAddr::V6(GROUP6),
        };
        let destinations = match &s.transport {
            TransportSettings::Multicast => std::slice::from_ref(&group),
            TransportSettings::Unicast { peers } => peers,
        };
        let addresses: Vec<IpAddr> = s.addresses.iter().map(|a| a.cidr.addr).collect();
        let mut template = Template::new(&Spec {
            version: s.version,
            vrid: s.vrid,
            adver: s.adver,
            source,
            destinations,
            addresses: &addresses,
            auth: if s.version == Version::V2 {
                s.auth
            } else {
                AuthSettings::None
            },
            checksum_as_v2: s.checksum_as_v2,
            mtu: self.mtu,
        });
        template.set(Claim::Hold(self.standing.priority));
        self.template = Some(template);
    }

    pub(super) fn tell(&self, what: What, cx: &mut Cx<'_>) {
        let router = Some(self.settings.name.clone());
        cx.out.push(Action::Tell(Box::new(Notice { router, what })));
    }
}

impl From<Backup> for State {
    fn from(backup: Backup) -> Self {
        Self::Backup(backup)
    }
}

impl From<Active> for State {
    fn from(active: Active) -> Self {
        Self::Active(active)
    }
}
