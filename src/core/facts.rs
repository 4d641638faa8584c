//! What a router's surroundings amount to: faults, source address, effective priority.

use crate::core::engine::Engine;
use crate::core::fold::{Pull, Standing, effective, pull, pull_of, pull_of_value};
use crate::core::router::{Router, State, Term};
use crate::core::tracker::Tracker;
use crate::model::ids::{CheckId, LinkId};
use crate::model::notice::{Mover, Why};
use crate::model::priority::Priority;
use std::net::IpAddr;
use std::sync::Arc;

/// What the engine found out about a router's surroundings.
pub(super) struct Facts {
    pub(super) link: Option<LinkId>,
    pub(super) source: Option<IpAddr>,
    pub(super) mtu: u32,
    pub(super) faults: Vec<Why>,
    /// Trackers failed, and it serves only if nobody else does (`all_failed hold`).
    pub(super) degraded: Option<Why>,
    /// Held without a word: scripts have no result yet, or the start is delayed.
    pub(super) held: bool,
    pub(super) standing: Standing,
    /// The effective priority if falls that are not confirmed had not happened.
    pub(super) confirmed: Priority,
    /// What moved the standing.
    pub(super) by: Option<Mover>,
    /// An owner may claim at once.
    pub(super) may_claim: bool,
}

/// What tracking adds up to.
struct Tracked {
    standing: Standing,
    confirmed: Priority,
    /// A weight-0 script has no result yet.
    pending: bool,
}

impl Engine {
    /// What a router's own surroundings amount to now, its sync group apart.
    pub(super) fn facts(&self, router: &Router) -> Facts {
        let s = &router.settings;
        let mut faults = Vec::new();
        let link = self.links.named(&s.interface);
        let mut source = s.source;
        match link {
            None => faults.push(Why::LinkAbsent {
                link: s.interface.clone(),
            }),
            Some(l) => {
                if !l.is_up() && !s.dont_track_primary {
                    faults.push(Why::LinkDown {
                        link: s.interface.clone(),
                    });
                }
                if self.deaf.contains(&(l.id, s.family)) {
                    faults.push(Why::NoSocket {
                        link: s.interface.clone(),
                    });
                }
                if source.is_none() {
                    let is_virtual =
                        |a| self.virtuals.contains_key(&a) || self.requests.is_leaving(a);
                    source = l.primary(s.family, is_virtual);
                }
                if source.is_none() {
                    faults.push(Why::NoAddress {
                        link: s.interface.clone(),
                    });
                }
            }
        }
        for dev in s
            .installed()
            .filter(|a| !a.no_track)
            .filter_map(|a| a.dev.as_ref())
        {
            // A line of its own, turned around, stands in for that.
            let listed = s.track_links.iter().any(|t| t.interface == *dev);
            if *dev != s.interface
                && !listed
                && let Some(why) = self.link_fault(dev)
                && !faults.contains(&why)
            {
                faults.push(why);
            }
        }
        let tracked = self.tracked(router, &mut faults);
        faults.extend(router.lost.as_ref().map(|(_, why)| why.clone()));
        let (mut standing, mut confirmed) = (tracked.standing, tracked.confirmed);
        router
            .damping
            .limit(s.priority, &mut standing, &mut confirmed);
        if faults.is_empty() {
            faults.extend(router.damping.obstacle());
        }
        match router.term {
            None => {}
            Some(Term::Drained) if s.priority.is_owner() || router.forced_out => {
                faults.push(Why::Drained)
            }
            Some(Term::Drained) => standing.priority = Priority::contender(1),
            Some(Term::Takeover) if s.priority.is_owner() => {}
            Some(Term::Takeover) => standing.priority = Priority::contender(254),
        }
        if router.term.is_some() {
            confirmed = standing.priority;
        }
        let mut facts = Facts {
            link: link.map(|l| l.id),
            source,
            mtu: link.map_or(1500, |l| l.flags.mtu),
            held: false,
            degraded: None,
            faults,
            standing,
            confirmed,
            by: self.moved_by(),
            may_claim: true,
        };
        facts.bear(router);
        facts.held = self.is_closed() || (tracked.pending && facts.faults.is_empty());
        facts
    }

    fn link_fault(&self, name: &Arc<str>) -> Option<Why> {
        match self.links.named(name) {
            None => Some(Why::LinkAbsent { link: name.clone() }),
            Some(l) if !l.is_up() => Some(Why::LinkDown { link: name.clone() }),
            Some(_) => None,
        }
    }

    /// Everything tracked, folded twice: as it is, and without falls that are not confirmed.
    fn tracked(&self, router: &Router, faults: &mut Vec<Why>) -> Tracked {
        let s = &router.settings;
        let mut now = Vec::with_capacity(s.tracks.len());
        let mut sure = Vec::with_capacity(s.tracks.len());
        let mut pending = false;
        for track in &s.tracks {
            let Some((id, tracker)) = self.tracker_named(&track.check) else {
                if let Some(reason) = self.failing_unusable(&track.check) {
                    let is = pull(track.weight, track.reverse, Some(false));
                    if is == Pull::Fault {
                        let check = track.check.clone();
                        faults.push(Why::CheckUnusable { check, reason });
                    }
                    now.push(is);
                    sure.push(is);
                }
                continue;
            };
            let up = tracker.health().up();
            if up.is_none() && !self.holding.contains(&id) {
                continue;
            }
            let is = pull(track.weight, track.reverse, up);
            if is == Pull::Fault {
                if up.is_none() {
                    pending = true;
                } else {
                    let verdict = tracker.felled();
                    faults.push(Why::CheckFailed {
                        check: track.check.clone(),
                        verdict,
                    });
                }
            }
            let was = pull(track.weight, track.reverse, up.map(|up| !up));
            now.push(is);
            sure.push(if tracker.is_confirmed() {
                is
            } else {
                higher(is, was)
            });
        }
        for track in &s.track_links {
            let fault = self.link_fault(&track.interface);
            let is = pull(track.weight, track.reverse, Some(fault.is_none()));
            if is == Pull::Fault {
                faults.push(fault.unwrap_or(Why::LinkUp {
                    link: track.interface.clone(),
                }));
            }
            now.push(is);
            sure.push(is);
        }
        for track in &s.track_files {
            let Some(&value) = self.file_values.get(&track.name) else {
                pending |= track.weight == 0 && self.reports.awaits(&track.name);
                continue;
            };
            let is = pull_of_value(track.weight, track.reverse, value);
            if is == Pull::Fault {
                faults.push(Why::FileFault {
                    file: track.name.clone(),
                    value,
                });
            }
            now.push(is);
            sure.push(is);
        }
        for track in &s.track_processes {
            let Some(&up) = self.process_quorums.get(&track.name) else {
                continue;
            };
            let is = pull_of(track.weight, track.reverse, Some(up));
            if is == Pull::Fault {
                faults.push(Why::ProcessFault {
                    process: track.name.clone(),
                });
            }
            now.push(is);
            sure.push(is);
        }
        Tracked {
            standing: effective(s.priority, now.into_iter()),
            confirmed: effective(s.priority, sure.into_iter()).priority,
            pending,
        }
    }

    /// Why a script cannot be used, if that counts as failing (`script_unusable fault`).
    pub(super) fn failing_unusable(&self, name: &str) -> Option<Arc<str>> {
        let id = *self.by_name.get(name)?;
        let tracker = self.trackers.get(id.0 as usize)?.as_ref()?;
        let counts = self.settings.global.unusable_faults;
        tracker.settings().unusable.clone().filter(|_| counts)
    }

    /// Whether a router that tracks this script is Active; not asked where no threshold depends on it.
    pub(super) fn is_served_with(&self, check: CheckId) -> bool {
        let tracker = self.trackers.get(check.0 as usize).and_then(Option::as_ref);
        if !tracker.is_some_and(|t| t.settings().thresholds.by_role()) {
            return false;
        }
        let users = self.users.get(&check).map_or(&[][..], Vec::as_slice);
        users.iter().any(|id| {
            self.router(*id)
                .is_some_and(|r| matches!(r.state, State::Active(_)))
        })
    }

    /// A script that is tracked at all, by name.
    pub(super) fn tracker_named(&self, name: &str) -> Option<(CheckId, &Tracker)> {
        let id = *self.by_name.get(name)?;
        let tracker = self.trackers.get(id.0 as usize)?.as_ref()?;
        tracker
            .settings()
            .unusable
            .is_none()
            .then_some((id, tracker))
    }
}

/// The pull that leaves the priority higher; a fault is decided elsewhere.
fn higher(a: Pull, b: Pull) -> Pull {
    let points = |p: Pull| match p {
        Pull::Nothing | Pull::Fault => 0,
        Pull::Points(points) => points,
    };
    if points(b) > points(a) { b } else { a }
}
