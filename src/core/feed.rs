//! External trackers: reports of other programs, and leases that run out.

use crate::core::action::{Action, Actions};
use crate::core::engine::Engine;
use crate::core::tracker::{Edge, NOBODY_YET, SLEPT, Tracker};
use crate::model::feed::{Fed, Feed, Reading, Resumed};
use crate::model::notice::{Notice, What};
use crate::model::seen::{TrackedSeen, Verdict};
use crate::model::settings::{ExternalSettings, Settings};
use crate::model::time::Instant;
use crate::model::view::ExternalView;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How much longer a lease lasts that ended while we slept: its renewal may be waiting unread.
const GRACE: Duration = Duration::from_secs(1);

/// What a tracked number counts as once nobody answers for it: as a file that is gone.
const FORGOTTEN: i32 = 0;

/// The last report on one tracker.
#[derive(Clone, Debug)]
struct Report {
    reading: Reading,
    by: u32,
    at: Instant,
    /// How old it was then, if it was made before a restart.
    before: Duration,
    lease: Option<Duration>,
    until: Option<Instant>,
    /// The end of the lease was slept through once.
    again: bool,
    over: bool,
}

/// What was reported of all external trackers.
#[derive(Debug, Default)]
pub(super) struct Reports {
    last: BTreeMap<Arc<str>, Report>,
    /// When the first lease ends.
    pub(super) lease_at: Option<Instant>,
    /// Numbers that were there at the start: like scripts they hold their users until the first one.
    awaited: BTreeSet<Arc<str>>,
}

impl Reports {
    fn look_at_leases(&mut self) {
        self.lease_at = self.last.values().filter_map(|r| r.until).min();
    }

    /// Whether a number was never reported and is waited for.
    pub(super) fn awaits(&self, name: &str) -> bool {
        self.awaited.contains(name)
    }
}

/// A number that is reported, by name.
fn number<'a>(settings: &'a Settings, name: &str) -> Option<&'a ExternalSettings> {
    let file = settings.files.iter().find(|f| *f.name == *name)?;
    file.external.as_ref()
}

fn script<'a>(settings: &'a Settings, name: &str) -> Option<&'a ExternalSettings> {
    let check = settings.checks.iter().find(|c| *c.name == *name)?;
    check.external.as_ref()
}

impl Engine {
    /// Takes a report.
    pub(super) fn feed(&mut self, now: Instant, feed: &Feed, out: &mut Actions) {
        let outcome = self.take_feed(now, feed, out);
        let id = feed.id;
        out.push(Action::Fed { id, outcome });
    }

    fn take_feed(&mut self, now: Instant, feed: &Feed, out: &mut Actions) -> Fed {
        let name = &feed.name;
        let refused = |why: String| Fed::Refused { why };
        let (mut up, mut counter) = (None, String::new());
        match feed.reading {
            Reading::Up | Reading::Down => {
                let found = script(&self.settings, name).and(self.by_name.get(name).copied());
                let active = found.is_some_and(|id| self.is_served_with(id));
                let tracker = found.and_then(|id| self.trackers.get_mut(id.0 as usize));
                let (Some(id), Some(Some(tracker))) = (found, tracker) else {
                    return refused(format!("no vrrp_script {name} is external"));
                };
                tracker.set_role(active);
                let edge = match feed.resumed {
                    Some(before) => tracker.resume(now, feed.reading, before),
                    None => tracker.report(now, feed.reading, out),
                };
                (up, counter) = (tracker.health().up(), tracker.counter_in(active));
                self.mark_edge(id, edge);
            }
            Reading::Number(value) => {
                if number(&self.settings, name).is_none() {
                    return refused(format!("no track_file {name} is external"));
                }
                let over = feed.resumed.is_some_and(|before| before.over);
                let value = if over { FORGOTTEN } else { value };
                let name = name.clone();
                self.see_tracked(now, TrackedSeen::File { name, value });
            }
        }
        let changed = self.reports.last.get(name).is_none_or(|before| {
            let Report {
                reading,
                by,
                lease,
                over,
                ..
            } = *before;
            (reading, by, lease.is_some(), over)
                != (feed.reading, feed.by, feed.lease.is_some(), false)
        });
        let resumed = feed.resumed.as_ref();
        let over = resumed.is_some_and(|before| before.over);
        let left = match resumed {
            None => feed.lease,
            Some(before) => before.left.filter(|_| !over),
        };
        let report = Report {
            reading: feed.reading,
            by: feed.by,
            at: now,
            before: resumed.map_or(Duration::ZERO, |before| before.ago),
            lease: feed.lease,
            until: left.map(|left| now + left),
            again: false,
            over,
        };
        self.reports.last.insert(name.clone(), report);
        self.reports.look_at_leases();
        Fed::Taken {
            changed,
            up,
            counter,
        }
    }

    /// Ends what was not renewed: a script is down at once, whatever `fall` says, a number is 0.
    pub(super) fn end_leases(&mut self, now: Instant, out: &mut Actions) {
        if self.reports.lease_at.is_none_or(|at| now < at) {
            return;
        }
        let mut ended = Vec::new();
        for (name, report) in &mut self.reports.last {
            let Some(until) = report.until.filter(|until| now >= *until) else {
                continue;
            };
            let lease = report.lease.unwrap_or_default();
            // We slept: the renewal may wait unread in our own socket. Trouble of ours.
            if now.since(until) > SLEPT && !report.again {
                report.again = true;
                report.until = Some(now + lease.min(GRACE));
                continue;
            }
            report.until = None;
            report.over = true;
            ended.push((name.clone(), report.reading, lease, report.by));
        }
        self.reports.look_at_leases();
        for (name, reading, lease, by) in ended {
            let what = What::LeaseOver {
                name: name.clone(),
                lease,
                by,
            };
            out.push(Action::Tell(Box::new(Notice { router: None, what })));
            match reading {
                Reading::Number(_) => {
                    let value = FORGOTTEN;
                    self.see_tracked(now, TrackedSeen::File { name, value });
                }
                Reading::Up | Reading::Down => {
                    let Some(&id) = self.by_name.get(&name) else {
                        continue;
                    };
                    if let Some(Some(tracker)) = self.trackers.get_mut(id.0 as usize) {
                        let edge = tracker.forget(now, out);
                        self.mark_edge(id, edge);
                    }
                }
            }
        }
    }

    /// At the start and at a reload: what stays external keeps its report and its lease.
    pub(super) fn relate_reports(&mut self, old: &Settings, new: &Settings) {
        self.reports.last.retain(|name, report| {
            match report.reading {
                Reading::Up | Reading::Down => script(new, name),
                Reading::Number(_) => number(new, name),
            }
            .is_some()
        });
        self.reports.look_at_leases();
        self.reports
            .awaited
            .retain(|name| number(new, name).is_some());
        for file in new.files.iter().filter(|f| f.external.is_some()) {
            if number(old, &file.name).is_none() {
                // What stood in a file was not reported.
                self.file_values.remove(&file.name);
            }
            if !self.begun {
                self.reports.awaited.insert(file.name.clone());
            }
        }
    }

    /// All external trackers, scripts before numbers, in the order of the file.
    pub(super) fn external_views(&self, now: Instant) -> Vec<ExternalView> {
        let of = |name: &Arc<str>, kind: &str, external: &ExternalSettings| ExternalView {
            name: name.clone(),
            kind: kind.to_owned(),
            value: None,
            state: "pending".to_owned(),
            counter: NOBODY_YET.to_owned(),
            uid: None,
            ago_s: None,
            left_s: None,
            lease_over: false,
            lease_s: external.lease.map(|lease| lease.as_secs_f64()),
            user: external.user.clone(),
            used: false,
        };
        let scripts = self.check_order.iter().filter_map(|id| {
            let tracker = self.trackers.get(id.0 as usize)?.as_ref()?;
            let settings = tracker.settings();
            let mut view = of(&settings.name, "script", settings.external.as_ref()?);
            view.used = tracker.is_used();
            view.counter = tracker.counter_in(self.is_served_with(*id));
            view.state = match tracker.health().up() {
                None => "pending",
                Some(true) => "up",
                Some(false) => "down",
            }
            .to_owned();
            Some(view)
        });
        let numbers = self.settings.files.iter().filter_map(|file| {
            let mut view = of(&file.name, "file", file.external.as_ref()?);
            let mut routers = self.settings.routers.iter();
            view.used = routers.any(|r| r.track_files.iter().any(|t| t.name == file.name));
            if let Some(value) = self.file_values.get(&file.name) {
                view.state = value.to_string();
                view.counter = String::new();
            }
            Some(view)
        });
        let mut views: Vec<ExternalView> = scripts.chain(numbers).collect();
        for view in &mut views {
            let Some(report) = self.reports.last.get(&view.name) else {
                continue;
            };
            let ago = now.since(report.at) + report.before;
            view.value = Some(report.reading.to_string());
            view.uid = Some(report.by);
            view.ago_s = Some(ago.as_secs_f64());
            view.left_s = report.until.map(|until| until.since(now).as_secs_f64());
            view.lease_over = report.over;
        }
        views
    }
}

impl Tracker {
    /// One result that another program found.
    fn report(&mut self, now: Instant, reading: Reading, out: &mut Actions) -> Option<Edge> {
        let up = reading == Reading::Up;
        self.record(now, Verdict::Reported { up }, &Arc::from(""), out)
    }

    /// Takes up what was known before a restart: that is no new result.
    fn resume(&mut self, now: Instant, reading: Reading, before: Resumed) -> Option<Edge> {
        let was = self.health().up();
        let up = !before.over && before.up.unwrap_or(reading == Reading::Up);
        let verdict = if before.over {
            Verdict::LeaseOver
        } else {
            let up = reading == Reading::Up;
            Verdict::Reported { up }
        };
        self.results.take_up(up);
        self.felled = (!up).then_some(verdict);
        self.last = Some((verdict, now));
        (was != Some(up)).then_some(if up { Edge::Rose } else { Edge::Fell })
    }

    /// Its lease ran out: down at once. `fall` counts reports, and none came.
    fn forget(&mut self, now: Instant, out: &mut Actions) -> Option<Edge> {
        self.results.exhaust(&self.settings);
        self.record(now, Verdict::LeaseOver, &Arc::from(""), out)
    }
}
