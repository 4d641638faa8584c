//! Who would serve if one tracked thing failed: the same fold and the same election, asked ahead.

use crate::core::action::{Action, Actions};
use crate::core::degraded::{holds, lowest};
use crate::core::election::{Rank, rank};
use crate::core::engine::Engine;
use crate::core::fold::{Pull, Standing, effective, pull, pull_of, pull_of_value};
use crate::core::router::{Router, State};
use crate::core::tracker::NOBODY_YET;
use crate::model::ids::RouterId;
use crate::model::notice::{Notice, What};
use crate::model::time::Instant;
use crate::model::view::{TrackView, WhatIf};
use std::net::IpAddr;
use std::sync::Arc;

/// What a finding was told with: told again only when one of these differs.
pub(super) type Told = (Arc<str>, u8, u8, IpAddr, u8);

/// One tracked thing of one router.
struct Item {
    name: Arc<str>,
    kind: &'static str,
    weight: i16,
    reverse: bool,
    state: String,
    counter: String,
    /// How many failed runs take it down, if that is not plain `fall`.
    after: Option<String>,
    /// What it does now.
    is: Pull,
    /// What it would do failing; `None` if failing has no one meaning.
    failed: Option<Pull>,
}

impl Item {
    /// Whether it tells of a service, and not of a link.
    fn is_own(&self) -> bool {
        self.kind != "interface"
    }
}

impl Engine {
    /// What it tracks, for a picture.
    pub(super) fn track_views(&self, now: Instant, r: &Router) -> Vec<TrackView> {
        let view = |item: Item| TrackView {
            script: item.name,
            kind: item.kind.to_owned(),
            state: item.state,
            counter: item.counter,
            weight: item.weight,
            reverse: item.reverse,
            adds: match item.is {
                Pull::Points(points) => i16::try_from(points).unwrap_or(0),
                Pull::Nothing | Pull::Fault => 0,
            },
            fault: item.is == Pull::Fault && r.degraded.is_none(),
            degrades: item.is == Pull::Fault && r.degraded.is_some(),
        };
        self.items(now, r).into_iter().map(view).collect()
    }

    /// For each tracked thing, and for its own interface, what would come of its failing now.
    pub(super) fn what_if(&self, now: Instant, r: &Router) -> Vec<WhatIf> {
        let items = self.items(now, r);
        let mut all: Vec<WhatIf> = items
            .iter()
            .enumerate()
            .filter_map(|(at, item)| {
                let failed = item.failed?;
                let pulls = items
                    .iter()
                    .enumerate()
                    .map(|(other, i)| if other == at { failed } else { i.is });
                let pulls: Vec<(Pull, bool)> = pulls.zip(items.iter().map(Item::is_own)).collect();
                let sum = effective(r.settings.priority, pulls.iter().map(|(pull, _)| *pull));
                let mut standing = r.in_force(sum);
                // `all_failed hold` bears what a service of this router does, and nothing else.
                let unbearable = |(pull, own): &(Pull, bool)| *pull == Pull::Fault && !own;
                if standing.fault && holds(&r.settings) && !pulls.iter().any(unbearable) {
                    (standing.fault, standing.priority) = (false, lowest());
                }
                let failing = item.is == failed;
                let mut what = self.outcome(now, r, &item.name, item.kind, failing, standing);
                what.after.clone_from(&item.after);
                Some(what)
            })
            .collect();
        let s = &r.settings;
        let tracked = s.track_links.iter().any(|t| t.interface == s.interface);
        if !s.dont_track_primary && !tracked {
            let up = self.links.named(&s.interface).is_some_and(|l| l.is_up());
            let standing = Standing {
                fault: true,
                ..r.standing
            };
            all.push(self.outcome(now, r, &s.interface, "interface", !up, standing));
        }
        all
    }

    fn outcome(
        &self,
        now: Instant,
        r: &Router,
        name: &Arc<str>,
        kind: &str,
        failing: bool,
        then: Standing,
    ) -> WhatIf {
        let fault = then.fault || (!r.faults.is_empty() && !failing);
        let heard = r.peers.held();
        let best = heard
            .iter()
            .copied()
            .reduce(|a, b| match rank((a.1, a.0), (b.1, b.0)) {
                Rank::Outranks | Rank::Ourselves => a,
                Rank::Below => b,
            });
        let served = |s: &State| matches!(s, State::Active(_));
        // Who serves yields to nothing but a higher priority; who listens claims if it is higher
        // and preempts.
        let other = match best {
            _ if fault => best,
            None => None,
            Some((_, theirs, _)) if served(&r.state) => best.filter(|_| theirs > then.priority),
            Some((_, theirs, _)) => {
                let claims = r.settings.preempt || then.priority.is_owner();
                best.filter(|_| theirs >= then.priority || !claims)
            }
        };
        let ours = !fault && other.is_none();
        let moved = fault || then.priority < r.standing.priority || r.settings.priority.is_owner();
        WhatIf {
            tracker: name.clone(),
            kind: kind.to_owned(),
            after: None,
            failing,
            priority: then.priority.get(),
            fault,
            winner: other.map(|(addr, _, _)| addr).or(r.source.filter(|_| ours)),
            ours,
            winner_priority: other
                .map(|(_, priority, _)| priority.get())
                .or(ours.then_some(then.priority.get())),
            heard_ago_s: other.map(|(_, _, at)| now.since(at).as_secs_f64()),
            stuck: served(&r.state) && ours && moved && !failing && best.is_some(),
        }
    }

    /// Says once of each tracker of a serving router that its failure would move nothing, and again
    /// when one of the numbers is another.
    pub(super) fn live_check(&mut self, now: Instant, id: RouterId, out: &mut Actions) {
        let Some(Some(router)) = self.routers.get_mut(id.0 as usize) else {
            return;
        };
        if !std::mem::take(&mut router.peers.moved) || !matches!(router.state, State::Active(_)) {
            return;
        }
        let Some(router) = self.router(id) else {
            return;
        };
        let best = router.peers.held().into_iter().max_by_key(|(_, p, _)| *p);
        let Some((peer, theirs, at)) = best else {
            return;
        };
        let ours = router.standing.priority.get();
        let stuck: Vec<WhatIf> = self.what_if(now, router);
        let stuck: Vec<&WhatIf> = stuck.iter().filter(|w| w.stuck).collect();
        let found = |w: &WhatIf| (w.tracker.clone(), ours, w.priority, peer, theirs.get());
        let told: Vec<Told> = stuck.iter().map(|w| found(w)).collect();
        for what in &stuck {
            if router.peers.told_stuck.contains(&found(what)) {
                continue;
            }
            let what = What::NoFailover {
                tracker: what.tracker.clone(),
                from: ours,
                to: what.priority,
                peer,
                theirs: theirs.get(),
                ago: now.since(at),
            };
            let router = Some(router.settings.name.clone());
            out.push(Action::Tell(Box::new(Notice { router, what })));
        }
        if let Some(Some(router)) = self.routers.get_mut(id.0 as usize) {
            router.peers.told_stuck = told;
        }
    }

    fn items(&self, now: Instant, r: &Router) -> Vec<Item> {
        let s = &r.settings;
        let mut items = Vec::new();
        for t in &s.tracks {
            let found = self.tracker_named(&t.check);
            let up = found.and_then(|(_, tracker)| tracker.health().up());
            let failing = self.failing_unusable(&t.check).is_some();
            let state = match (&found, up) {
                (None, _) if failing => "down",
                (None, _) => "unusable",
                (Some(_), None) => "pending",
                (Some(_), Some(true)) => "up",
                (Some(_), Some(false)) => "down",
            };
            items.push(Item {
                name: t.check.clone(),
                kind: "script",
                weight: t.weight.get(),
                reverse: t.reverse,
                state: state.to_owned(),
                counter: found.map_or_else(String::new, |(id, tracker)| {
                    tracker.counter_in(self.is_served_with(id))
                }),
                after: found.and_then(|(id, tracker)| {
                    let active = self.is_served_with(id);
                    tracker.settings().thresholds.falls_after(active)
                }),
                is: match found {
                    Some((id, _)) if up.is_some() || self.holding.contains(&id) => {
                        pull(t.weight, t.reverse, up)
                    }
                    None if failing => pull(t.weight, t.reverse, Some(false)),
                    Some(_) | None => Pull::Nothing,
                },
                failed: found.map(|_| worst(|up| pull(t.weight, t.reverse, Some(up)))),
            });
        }
        for t in &s.track_links {
            let link = self.links.named(&t.interface);
            let up = link.is_some_and(|l| l.is_up());
            items.push(Item {
                name: t.interface.clone(),
                kind: "interface",
                weight: t.weight.get(),
                reverse: t.reverse,
                state: word(up),
                counter: link
                    .and_then(|l| l.turning(now))
                    .map_or_else(String::new, |turn| turn.to_string()),
                after: None,
                is: pull(t.weight, t.reverse, Some(up)),
                failed: Some(worst(|up| pull(t.weight, t.reverse, Some(up)))),
            });
        }
        for t in &s.track_files {
            let value = self.file_values.get(&t.name);
            items.push(Item {
                name: t.name.clone(),
                kind: "file",
                weight: t.weight,
                reverse: t.reverse,
                state: value.map_or_else(|| "pending".to_owned(), ToString::to_string),
                counter: match value {
                    None if self.reports.awaits(&t.name) => NOBODY_YET.to_owned(),
                    Some(_) | None => String::new(),
                },
                after: None,
                is: value.map_or(Pull::Nothing, |v| pull_of_value(t.weight, t.reverse, *v)),
                // Any number may stand in it; only at weight 0 is failing one thing.
                failed: (t.weight == 0).then_some(Pull::Fault),
            });
        }
        for t in &s.track_processes {
            let up = self.process_quorums.get(&t.name).copied();
            items.push(Item {
                name: t.name.clone(),
                kind: "process",
                weight: t.weight,
                reverse: t.reverse,
                state: up.map_or_else(|| "pending".to_owned(), word),
                counter: String::new(),
                after: None,
                is: match up {
                    Some(_) => pull_of(t.weight, t.reverse, up),
                    None => Pull::Nothing,
                },
                failed: Some(worst(|up| pull_of(t.weight, t.reverse, Some(up)))),
            });
        }
        for name in &s.track_sessions {
            items.push(Item {
                name: name.clone(),
                kind: "bfd",
                weight: 0,
                reverse: false,
                state: "not watched".to_owned(),
                counter: String::new(),
                after: None,
                is: Pull::Nothing,
                failed: None,
            });
        }
        items
    }
}

/// Whichever of up and down harms more: with `reverse` that is not always down.
fn worst(pull: impl Fn(bool) -> Pull) -> Pull {
    let points = |p: Pull| match p {
        Pull::Fault => i32::MIN,
        Pull::Nothing => 0,
        Pull::Points(points) => points,
    };
    let (down, up) = (pull(false), pull(true));
    if points(up) < points(down) { up } else { down }
}

fn word(up: bool) -> String {
    if up { "up" } else { "down" }.to_owned()
}
