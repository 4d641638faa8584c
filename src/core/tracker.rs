//! Track scripts: rise and fall, the phases of a run, and what they do to a priority.

use crate::core::action::{Action, Actions, Signal};
use crate::core::health::{Health, Results};
use crate::model::ids::{CheckId, RunId};
use crate::model::notice::{Notice, What};
use crate::model::seen::Verdict;
use crate::model::settings::CheckSettings;
use crate::model::time::Instant;
use std::sync::Arc;
use std::time::Duration;

/// From SIGTERM to SIGKILL, and from one SIGKILL to the next.
const KILL_AFTER: Duration = Duration::from_secs(1);
const KILL_AGAIN: Duration = Duration::from_secs(10);
/// Counter of an external tracker before the first report.
pub(super) const NOBODY_YET: &str = "nobody has set it yet";
/// A time limit that is looked at later than this was slept through.
pub(super) const SLEPT: Duration = Duration::from_millis(50);

/// Where the current run stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Nothing runs.
    Idle,
    /// A run is going on. `again`: its limit was slept through once. `begun`: the runner said that
    /// it has started the program.
    Running {
        run: RunId,
        stop_at: Instant,
        again: bool,
        begun: bool,
    },
    /// A run is being killed.
    /// Its deadline is past and counted. `killed`: even SIGKILL was sent.
    Stopping {
        run: RunId,
        next_at: Instant,
        killed: bool,
    },
}

/// What a result changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Edge {
    /// It went up.
    Rose,
    /// It went down.
    Fell,
    /// It had moved before, and the run after that said the same.
    Confirmed,
}

/// One track script.
#[derive(Debug)]
pub struct Tracker {
    id: CheckId,
    pub(super) settings: Arc<CheckSettings>,
    pub(super) results: Results,
    phase: Phase,
    next_at: Instant,
    /// How the last run ended, when, and what it said.
    pub(super) last: Option<(Verdict, Instant)>,
    stderr: Arc<str>,
    /// The result that took it down.
    pub(super) felled: Option<Verdict>,
    runs: u64,
    failures: u64,
    /// Runs in a row that said the same as the last one.
    streak: u32,
    /// Whether any router tracks it.
    used: bool,
    /// The program changed: its first result decides, until then the old health stands.
    undecided: bool,
}

impl Tracker {
    /// A tracker whose first run is due at `now`.
    pub fn new(id: CheckId, settings: Arc<CheckSettings>, now: Instant) -> Self {
        Self {
            id,
            results: Results::new(&settings),
            settings,
            phase: Phase::Idle,
            next_at: now,
            last: None,
            stderr: Arc::from(""),
            felled: None,
            runs: 0,
            failures: 0,
            streak: 0,
            used: false,
            undecided: false,
        }
    }

    /// Its settings.
    pub fn settings(&self) -> &Arc<CheckSettings> {
        &self.settings
    }

    /// The first run is due now.
    pub fn start(&mut self, now: Instant) {
        self.next_at = now;
    }

    /// Takes new settings; credit is kept where thresholds stayed the same, health in any case.
    ///
    /// Another program is run at once, after the old one if that is still running: what that says
    /// no longer counts.
    pub fn alter(&mut self, settings: Arc<CheckSettings>, now: Instant, out: &mut Actions) {
        let same_program = self.settings.command == settings.command;
        self.results.alter(&self.settings, &settings);
        if !same_program {
            self.undecided = true;
            self.next_at = now;
            if let Phase::Running { run, .. } = self.phase {
                self.terminate(now, run, out);
                self.next_at = now + settings.interval;
            }
        } else {
            self.next_at = self.next_at.min(now + settings.interval);
        }
        self.settings = settings;
    }

    /// Says whether any router tracks it; an unused or unusable script is not run.
    pub fn set_used(&mut self, used: bool) {
        self.used = used && self.settings.unusable.is_none();
    }

    /// Whether any router tracks it and it can be used.
    pub const fn is_used(&self) -> bool {
        self.used
    }

    /// Whether there is something to start from time to time.
    fn is_run(&self) -> bool {
        self.used && self.settings.external.is_none()
    }

    /// Its health.
    pub const fn health(&self) -> Health {
        self.results.health()
    }

    /// Says whether a router that tracks it is Active: some thresholds depend on it.
    pub fn set_role(&mut self, active: bool) {
        self.results = self.results.in_role(&self.settings, active);
    }

    /// The result that took it down; `None` while up, and for `init_fail` before any.
    pub const fn felled(&self) -> Option<Verdict> {
        self.felled
    }

    /// How the last run ended.
    pub fn last(&self) -> Option<(Verdict, Instant)> {
        self.last
    }

    /// Tail of what the last failing run wrote to stderr.
    pub fn stderr(&self) -> &Arc<str> {
        &self.stderr
    }

    /// Whether the health rests on at least two runs in a row that agree.
    ///
    /// A single failed run is no more than a hint; only what is confirmed is handed over for. A
    /// report is no sample of ours: whoever made it has judged, as the kernel has of an interface,
    /// and `fall` is there for who wants it said more than once.
    pub fn is_confirmed(&self) -> bool {
        self.streak >= 2 || self.settings.external.is_some() || self.results.fell_by_several()
    }

    /// Runs started and runs failed.
    pub const fn tally(&self) -> (u64, u64) {
        (self.runs, self.failures)
    }

    /// When [`Tracker::on_tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let interval = self.is_run().then_some(self.next_at);
        match self.phase {
            Phase::Idle => interval,
            Phase::Running { stop_at, .. } => Some(interval.map_or(stop_at, |at| at.min(stop_at))),
            Phase::Stopping { next_at, .. } => Some(interval.map_or(next_at, |at| at.min(next_at))),
        }
    }

    /// Starts what is due and kills what is overdue.
    pub fn on_tick(&mut self, now: Instant, runs: &mut u64, out: &mut Actions) -> Option<Edge> {
        let mut edge = None;
        let unkillable = matches!(self.phase, Phase::Stopping { killed: true, .. });
        match self.phase {
            // We slept: it may have ended long ago without our hearing of it, or have slept too.
            Phase::Running {
                run,
                stop_at,
                again: false,
                begun,
            } if now.since(stop_at) > SLEPT => {
                self.phase = Phase::Running {
                    run,
                    stop_at: now + self.settings.timeout,
                    again: true,
                    begun,
                };
            }
            // The runner hangs or is overrun: trouble of ours, which says nothing of the service.
            Phase::Running {
                run,
                stop_at,
                begun: false,
                ..
            } if now >= stop_at => {
                out.push(Action::StopRun {
                    run,
                    how: Signal::Kill,
                });
                self.phase = Phase::Stopping {
                    run,
                    next_at: now + KILL_AGAIN,
                    killed: false,
                };
            }
            Phase::Running { run, stop_at, .. } if now >= stop_at => {
                self.terminate(now, run, out);
                edge = self.record(now, Verdict::TimedOut, &Arc::from(""), out);
            }
            Phase::Stopping { run, next_at, .. } if now >= next_at => {
                out.push(Action::StopRun {
                    run,
                    how: Signal::Kill,
                });
                self.phase = Phase::Stopping {
                    run,
                    next_at: now + KILL_AGAIN,
                    killed: true,
                };
            }
            Phase::Idle | Phase::Running { .. } | Phase::Stopping { .. } => {}
        }
        if self.is_run() && now >= self.next_at {
            let step = self.settings.interval;
            let next = self.next_at + step;
            self.next_at = if next > now { next } else { now + step };
            match self.phase {
                Phase::Idle => {
                    *runs += 1;
                    self.runs += 1;
                    let run = RunId(*runs);
                    self.phase = Phase::Running {
                        run,
                        stop_at: now + self.settings.timeout,
                        again: false,
                        begun: false,
                    };
                    out.push(Action::StartRun {
                        check: self.id,
                        run,
                        settings: self.settings.clone(),
                    });
                }
                Phase::Running { .. } => self.tell_busy(out),
                Phase::Stopping { .. } => {
                    self.tell_busy(out);
                    // One run is one failure, but a program that cannot even be killed must not
                    // stop the count.
                    if unkillable {
                        edge = edge.or(self.record(now, Verdict::TimedOut, &Arc::from(""), out));
                    }
                }
            }
        }
        edge
    }

    /// The runner has started the program of a run.
    pub const fn on_started(&mut self, started: RunId) {
        if let Phase::Running { run, begun, .. } = &mut self.phase
            && run.0 == started.0
        {
            *begun = true;
        }
    }

    /// Takes the end of a run; `None` if it is not the current one or changed nothing.
    pub fn on_done(
        &mut self,
        now: Instant,
        run: RunId,
        verdict: Verdict,
        stderr: &Arc<str>,
        out: &mut Actions,
    ) -> Option<Edge> {
        match self.phase {
            Phase::Running { run: current, .. } if current == run => {
                self.phase = Phase::Idle;
                self.record(now, verdict, stderr, out)
            }
            Phase::Stopping { run: current, .. } if current == run => {
                // Its deadline has been counted already, or another program has taken its place,
                // whatever it says now.
                self.phase = Phase::Idle;
                if self.undecided {
                    self.next_at = now;
                }
                None
            }
            Phase::Idle | Phase::Running { .. } | Phase::Stopping { .. } => None,
        }
    }

    /// Kills what still runs, because the script is retired or the daemon stops.
    pub fn stop(&mut self, now: Instant, out: &mut Actions) {
        self.used = false;
        if let Phase::Running { run, .. } = self.phase {
            self.terminate(now, run, out);
        }
    }

    fn terminate(&mut self, now: Instant, run: RunId, out: &mut Actions) {
        out.push(Action::StopRun {
            run,
            how: Signal::Term,
        });
        self.phase = Phase::Stopping {
            run,
            next_at: now + KILL_AFTER,
            killed: false,
        };
    }

    /// Whether a run is going on.
    pub const fn is_busy(&self) -> bool {
        !matches!(self.phase, Phase::Idle)
    }

    pub(super) fn record(
        &mut self,
        now: Instant,
        verdict: Verdict,
        stderr: &Arc<str>,
        out: &mut Actions,
    ) -> Option<Edge> {
        if verdict == Verdict::Lost {
            return None;
        }
        let success = verdict.is_success();
        if !success {
            self.failures += 1;
            self.stderr = stderr.clone();
        }
        let same = self
            .last
            .is_some_and(|(before, _)| before.is_success() == success);
        self.streak = if same {
            self.streak.saturating_add(1)
        } else {
            1
        };
        let changed_exit = self.last.is_some_and(|(before, _)| before != verdict);
        self.last = Some((verdict, now));
        let before = self.health().up();
        if std::mem::take(&mut self.undecided) {
            self.results.forget();
        }
        self.results.take(success, &self.settings);
        let after = self.health().up();
        let name = self.settings.name.clone();
        if before == after {
            if changed_exit {
                let counter = Arc::from(self.counter());
                tell(
                    out,
                    What::CheckExit {
                        name,
                        verdict,
                        counter,
                    },
                );
            }
            return (self.streak == 2).then_some(Edge::Confirmed);
        }
        let up = after == Some(true);
        self.felled = (!up).then_some(verdict);
        let stderr = if success {
            Arc::from("")
        } else {
            stderr.clone()
        };
        tell(
            out,
            What::Check {
                name,
                up,
                verdict,
                stderr,
            },
        );
        Some(if up { Edge::Rose } else { Edge::Fell })
    }

    /// The counter for people, by the thresholds last in force.
    fn counter(&self) -> String {
        self.results.counter(&self.settings)
    }

    /// The counter for people while a router that tracks it is Active, or none is.
    pub fn counter_in(&self, active: bool) -> String {
        if self.settings.external.is_some() && self.last.is_none() {
            return NOBODY_YET.to_owned();
        }
        let results = self.results.in_role(&self.settings, active);
        results.counter(&self.settings)
    }

    fn tell_busy(&self, out: &mut Actions) {
        tell(
            out,
            What::CheckBusy {
                name: self.settings.name.clone(),
            },
        );
    }
}

fn tell(out: &mut Actions, what: What) {
    out.push(Action::Tell(Box::new(Notice { router: None, what })));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::priority::Weight;
    use crate::model::settings::Command;

    const S: Duration = Duration::from_secs(1);

    fn settings(rise: u32, fall: u32) -> Arc<CheckSettings> {
        Arc::new(CheckSettings {
            name: "chk".into(),
            command: Command {
                argv: vec!["/bin/true".into()],
                user: None,
            },
            probe: None,
            external: None,
            interval: 2 * S,
            timeout: S,
            weight: Weight::FAULT,
            reverse: false,
            rise,
            fall,
            init_fail: false,
            thresholds: Default::default(),
            unusable: None,
        })
    }

    fn tracker(rise: u32, fall: u32) -> Tracker {
        let mut t = Tracker::new(CheckId(0), settings(rise, fall), Instant::ZERO);
        t.set_used(true);
        t
    }

    fn run_of(out: &Actions) -> RunId {
        out.iter()
            .find_map(|a| {
                if let Action::StartRun { run, .. } = a {
                    Some(*run)
                } else {
                    None
                }
            })
            .expect("a run was started")
    }

    #[test]
    fn init_fail_is_down_until_rise_successes() {
        let mut s = (*settings(2, 1)).clone();
        s.init_fail = true;
        let t = Tracker::new(CheckId(0), Arc::new(s), Instant::ZERO);
        assert_eq!(t.health().up(), Some(false));
        assert_eq!(t.health().after(true, 2, 1).up(), Some(false));
        assert_eq!(
            t.health().after(true, 2, 1).after(true, 2, 1).up(),
            Some(true)
        );
    }

    #[test]
    fn a_run_fails_at_its_deadline_and_climbs_the_kill_ladder() {
        let (mut t, mut runs, mut out) = (tracker(1, 1), 0, Actions::default());
        assert_eq!(t.on_tick(Instant::ZERO, &mut runs, &mut out), None);
        let run = run_of(&out);
        t.on_started(run);
        assert_eq!(t.deadline(), Some(Instant::ZERO + S));
        out.clear();
        assert_eq!(
            t.on_tick(Instant::ZERO + S, &mut runs, &mut out),
            Some(Edge::Fell)
        );
        assert!(out.iter().any(|a| matches!(
            a,
            Action::StopRun {
                how: Signal::Term,
                ..
            }
        )));
        out.clear();
        t.on_tick(Instant::ZERO + 2 * S, &mut runs, &mut out);
        assert!(out.iter().any(|a| matches!(
            a,
            Action::StopRun {
                how: Signal::Kill,
                ..
            }
        )));
        // An exit 0 after the deadline does not undo the failure.
        let none = Arc::from("");
        assert_eq!(
            t.on_done(Instant::ZERO + 2 * S, run, Verdict::Pass, &none, &mut out),
            None
        );
        assert_eq!(t.health().up(), Some(false));
    }

    #[test]
    fn a_limit_that_was_slept_through_is_no_failure_until_it_passes_again() {
        let (mut t, mut runs, mut out) = (tracker(1, 1), 0, Actions::default());
        t.on_tick(Instant::ZERO, &mut runs, &mut out);
        let run = run_of(&out);
        t.on_started(run);
        let none = Arc::from("");
        let woken = Instant::ZERO + 5 * S;
        assert_eq!(t.on_tick(woken, &mut runs, &mut out), None);
        assert_eq!(t.health(), Health::Pending);
        // What it did meanwhile is heard a moment later.
        let edge = t.on_done(woken, run, Verdict::Pass, &none, &mut out);
        assert_eq!((edge, t.health().up()), (Some(Edge::Rose), Some(true)));

        let (mut t, mut out) = (tracker(1, 1), Actions::default());
        t.on_tick(Instant::ZERO, &mut runs, &mut out);
        t.on_started(run_of(&out));
        assert_eq!(t.on_tick(woken, &mut runs, &mut out), None);
        // One that hangs has only one more limit, however late that is looked at.
        let edge = t.on_tick(woken + 9 * S, &mut runs, &mut out);
        assert_eq!((edge, t.health().up()), (Some(Edge::Fell), Some(false)));
    }

    #[test]
    fn a_run_that_the_runner_never_started_is_no_result_at_its_deadline() {
        let (mut t, mut runs, mut out) = (tracker(1, 1), 0, Actions::default());
        t.on_tick(Instant::ZERO, &mut runs, &mut out);
        let run = run_of(&out);
        out.clear();
        assert_eq!(t.on_tick(Instant::ZERO + S, &mut runs, &mut out), None);
        assert_eq!(t.health(), Health::Pending, "trouble of ours says nothing");
        let kills = |a: &Action| {
            matches!(
                a,
                Action::StopRun {
                    how: Signal::Kill,
                    ..
                }
            )
        };
        assert!(out.iter().any(kills), "should it start after all");
        let none = Arc::from("");
        let late = Instant::ZERO + 3 * S;
        assert_eq!(
            t.on_done(late, run, Verdict::Signalled(9), &none, &mut out),
            None
        );
        assert_eq!(t.health(), Health::Pending);
    }

    #[test]
    fn a_late_result_of_another_run_is_ignored() {
        let (mut t, mut runs, mut out) = (tracker(1, 1), 0, Actions::default());
        t.on_tick(Instant::ZERO, &mut runs, &mut out);
        let none = Arc::from("");
        assert_eq!(
            t.on_done(Instant::ZERO, RunId(99), Verdict::Fail(1), &none, &mut out),
            None
        );
        assert_eq!(t.health(), Health::Pending);
    }

    #[test]
    fn a_lost_run_is_no_result_and_the_next_one_starts_in_time() {
        let (mut t, mut runs, mut out) = (tracker(1, 1), 0, Actions::default());
        t.on_tick(Instant::ZERO, &mut runs, &mut out);
        let run = run_of(&out);
        let none = Arc::from("");
        assert_eq!(
            t.on_done(Instant::ZERO, run, Verdict::Lost, &none, &mut out),
            None
        );
        assert_eq!(t.health(), Health::Pending);
        out.clear();
        t.on_tick(Instant::ZERO + 2 * S, &mut runs, &mut out);
        assert_ne!(run_of(&out), run);
    }
}
