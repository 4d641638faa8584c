//! Notify programs: one ordered queue for each instance, never two programs of it at once.
//!
//! keepalived starts them without waiting, so a slow BACKUP can overtake the MASTER after it. Here an
//! event is delivered whole (its own program, then the generic one) before the next begins. States
//! that pile up meanwhile collapse into the last, which is always delivered and says how many were
//! skipped. Everybody has a time limit. No clock, no process: requests go into an [`Outbox`].

use crate::model::notice::{Notification, Told};
use crate::model::time::{Human, Instant};
use crate::scripts::protocol::{How, Request, RunKey, Signal, Start};
use crate::scripts::told::{self, Program, is_lower, is_parting};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A program that runs longer gets SIGTERM.
pub const LIMIT: Duration = Duration::from_secs(30);

/// And so long after that SIGKILL.
pub const GRACE: Duration = Duration::from_secs(2);

/// From [`NotifyQueues::begin_stop`] until nothing runs any more.
pub const STOP_LIMIT: Duration = Duration::from_secs(10);

/// At a stop, what still runs for an earlier state leaves its time to STOP.
const STOP_EARLIER: Duration = Duration::from_secs(2);

/// And is killed so long after its SIGTERM.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// A killed program that does not end is killed again.
const AGAIN: Duration = Duration::from_secs(10);

/// A program that could not be started for want of resources is tried again after this ...
const RETRY: Duration = Duration::from_secs(1);

/// ... so many times.
const RETRIES: u8 = 5;

/// More than this wait only if one instance was deleted and made again as often.
const WAITING_MOST: usize = 16;

/// What is to be done and what became of earlier programs.
#[derive(Debug, Default)]
pub struct Outbox {
    /// For the runner, in order.
    pub requests: Vec<Request>,
    /// For the log.
    pub results: Vec<NotifyResult>,
}

/// The queue an event belongs in: instances and groups may share a name.
fn queue_of(what: &Notification) -> Arc<str> {
    match what.subject() {
        ("GROUP", name) => Arc::from(format!("group {name}")),
        (_, name) => name,
    }
}

/// How a notify program fared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotifyResult {
    /// The instance.
    pub instance: Arc<str>,
    /// The keyword that names it: `notify_master`, `notify` ...
    pub keyword: &'static str,
    /// The state or event it was told: `MASTER`, `STOP` ...
    pub word: &'static str,
    /// The program.
    pub program: Arc<str>,
    /// How it ended.
    pub outcome: Outcome,
    /// Tail of its stderr.
    pub stderr: Arc<str>,
    /// How long it ran.
    pub took: Duration,
}

/// The end of a notify program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// By itself, or it was never started.
    Ended(How),
    /// It was over its limit and had to be stopped.
    TimedOut,
    /// The runner died; the program may still run.
    Lost,
    /// There was no time left for it at the stop.
    NoTime,
}

impl NotifyResult {
    /// Whether it did what it was meant to.
    pub fn is_success(&self) -> bool {
        self.outcome == Outcome::Ended(How::Exited(0))
    }
}

impl fmt::Display for NotifyResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            keyword,
            word,
            program,
            ..
        } = self;
        write!(f, "{keyword} {program} ({word}) ")?;
        match self.outcome {
            Outcome::Ended(How::Exited(0)) => write!(f, "succeeded in {}", Human(self.took)),
            Outcome::Ended(How::Exited(status)) => {
                write!(f, "exited with status {status} after {}", Human(self.took))
            }
            Outcome::Ended(How::Signalled(signal)) => {
                write!(f, "died of signal {signal} after {}", Human(self.took))
            }
            Outcome::Ended(How::NotStarted(errno)) => {
                let error = std::io::Error::from_raw_os_error(errno);
                write!(f, "could not be started: {error}")
            }
            Outcome::TimedOut => write!(f, "was stopped after {}", Human(self.took)),
            Outcome::Lost => f.write_str("was lost with the runner and may still run"),
            Outcome::NoTime => f.write_str("was not run: no time left at the stop"),
        }?;
        if self.stderr.is_empty() {
            Ok(())
        } else {
            write!(f, ": {}", self.stderr)
        }
    }
}

/// The queues of all instances.
#[derive(Debug, Default)]
pub struct NotifyQueues {
    // By name, not by slot: a slot may be another instance's after a reload.
    queues: BTreeMap<Arc<str>, Queue>,
    keys: u64,
    stopping: Option<Instant>,
}

#[derive(Debug, Default)]
struct Queue {
    running: Option<Running>,
    /// What is left of the event that is being delivered.
    programs: VecDeque<Program>,
    waiting: VecDeque<Box<Notification>>,
    /// States dropped since the last one that was delivered.
    skipped: u32,
}

#[derive(Debug)]
struct Running {
    program: Program,
    key: RunKey,
    since: Instant,
    step: Step,
    next_at: Instant,
    retries: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// Asked for.
    Asked,
    /// The runner says it runs.
    Runs,
    /// It could not be started and is tried again.
    Retry,
    /// Got SIGTERM.
    Termed,
    /// Got SIGKILL.
    Killed,
}

impl NotifyQueues {
    /// Something happened to an instance.
    pub fn push(&mut self, now: Instant, what: Notification, out: &mut Outbox) {
        let name = queue_of(&what);
        let queue = self.queues.entry(name.clone()).or_default();
        match what.to {
            Told::State(_) => {
                let before = queue.waiting.len();
                let lower = queue.waiting.iter().filter(|w| is_lower(w)).count();
                queue.waiting.retain(|waiting| is_parting(waiting.to));
                let states = before - queue.waiting.len() - lower;
                queue.skipped = queue
                    .skipped
                    .saturating_add(u32::try_from(states).unwrap_or(u32::MAX));
            }
            // It says nothing that the one before did not.
            Told::LowerAdvert => queue.waiting.retain(|waiting| !is_lower(waiting)),
        }
        if told::is_heard(&what) {
            queue.waiting.push_back(Box::new(what));
            if queue.waiting.len() > WAITING_MOST {
                queue.waiting.pop_front();
                queue.skipped = queue.skipped.saturating_add(1);
            }
        }
        self.advance(now, &name, out);
    }

    /// The runner says that a program runs.
    pub fn started(&mut self, key: RunKey) {
        if let Some((_, running)) = self.find(key)
            && running.step == Step::Asked
        {
            running.step = Step::Runs;
        }
    }

    /// The runner says that a program ended.
    pub fn ended(&mut self, now: Instant, key: RunKey, how: How, stderr: &str, out: &mut Outbox) {
        let Some((name, running)) = self.find(key) else {
            return;
        };
        if how.is_our_trouble() && running.retries < RETRIES && running.step == Step::Asked {
            running.retries += 1;
            running.step = Step::Retry;
            running.next_at = now + RETRY;
            return;
        }
        let outcome = match running.step {
            Step::Asked | Step::Runs | Step::Retry => Outcome::Ended(how),
            Step::Termed | Step::Killed => Outcome::TimedOut,
        };
        self.close(now, &name, outcome, stderr, out);
    }

    /// The runner is gone. Call it when there is a new one: programs that had not yet begun are asked
    /// for again, and the queues go on.
    pub fn lost(&mut self, now: Instant, out: &mut Outbox) {
        let names: Vec<Arc<str>> = self.queues.keys().cloned().collect();
        for name in names {
            let step = self.queues.get(&name).and_then(|q| q.running.as_ref());
            match step.map(|running| running.step) {
                None | Some(Step::Retry) => {}
                Some(Step::Asked) => self.ask_again(now, &name, out),
                Some(Step::Runs | Step::Termed | Step::Killed) => {
                    self.close(now, &name, Outcome::Lost, "", out);
                }
            }
        }
    }

    /// When to call [`Self::tick`] at the latest.
    pub fn next_deadline(&self) -> Option<Instant> {
        let running = self.queues.values().filter_map(|q| q.running.as_ref());
        running.map(|running| running.next_at).min()
    }

    /// Time passed: whoever is over the limit is told to end.
    pub fn tick(&mut self, now: Instant, out: &mut Outbox) {
        let mut retry = Vec::new();
        for (name, queue) in &mut self.queues {
            let Some(running) = &mut queue.running else {
                continue;
            };
            if now < running.next_at {
                continue;
            }
            let (signal, step, next_at) = match running.step {
                Step::Retry => {
                    retry.push(name.clone());
                    continue;
                }
                Step::Asked | Step::Runs => {
                    let hurry = self.stopping.is_some() && !running.program.parting;
                    let grace = if hurry { STOP_GRACE } else { GRACE };
                    (Signal::Term, Step::Termed, now + grace)
                }
                Step::Termed | Step::Killed => (Signal::Kill, Step::Killed, now + AGAIN),
            };
            running.step = step;
            running.next_at = next_at;
            out.requests.push(Request::Signal {
                key: running.key,
                signal,
            });
        }
        for name in retry {
            self.ask_again(now, &name, out);
        }
    }

    /// The daemon stops: from now on everything has [`STOP_LIMIT`] in all. STOP itself is pushed
    /// like any state, before or after this.
    pub fn begin_stop(&mut self, now: Instant) {
        let stopping = *self.stopping.get_or_insert(now);
        for running in self.queues.values_mut().filter_map(|q| q.running.as_mut()) {
            match running.step {
                Step::Asked | Step::Runs | Step::Retry => {
                    let limit = stop_limit(stopping, running.program.parting);
                    running.next_at = running.next_at.min(limit);
                }
                Step::Termed | Step::Killed => {}
            }
        }
    }

    /// When a stop is over whatever still runs; then the runner is asked to quit.
    pub fn stop_deadline(&self) -> Option<Instant> {
        self.stopping.map(|since| since + STOP_LIMIT)
    }

    /// Nothing runs and nothing waits.
    pub fn idle(&self) -> bool {
        self.queues
            .values()
            .all(|queue| queue.running.is_none() && queue.waiting.is_empty())
    }

    /// Events waiting behind a program, over all instances.
    pub fn depth(&self) -> usize {
        self.queues.values().map(|queue| queue.waiting.len()).sum()
    }

    fn find(&mut self, key: RunKey) -> Option<(Arc<str>, &mut Running)> {
        self.queues.iter_mut().find_map(|(name, queue)| {
            let running = queue.running.as_mut()?;
            (running.key == key).then(|| (name.clone(), running))
        })
    }

    /// The running program of an instance is over.
    fn close(
        &mut self,
        now: Instant,
        name: &Arc<str>,
        outcome: Outcome,
        stderr: &str,
        out: &mut Outbox,
    ) {
        let queue = self.queues.get_mut(name);
        if let Some(running) = queue.and_then(|queue| queue.running.take()) {
            let took = now.since(running.since);
            out.results
                .push(running.program.result(name, outcome, stderr, took));
        }
        self.advance(now, name, out);
    }

    /// Whose program a run is: the queue, and the keyword that names the program.
    pub fn owner(&self, key: RunKey) -> Option<(&Arc<str>, &'static str)> {
        self.queues.iter().find_map(|(name, queue)| {
            let running = queue.running.as_ref().filter(|r| r.key == key)?;
            Some((name, running.program.keyword))
        })
    }

    /// Starts what is next in a queue that has nothing running.
    fn advance(&mut self, now: Instant, name: &Arc<str>, out: &mut Outbox) {
        let Some(queue) = self.queues.get_mut(name) else {
            return;
        };
        while queue.running.is_none() {
            let Some(program) = queue.next_program() else {
                if queue.skipped == 0 {
                    self.queues.remove(name);
                }
                return;
            };
            let limit = limit(now, self.stopping, program.parting);
            if limit <= now {
                out.results
                    .push(program.result(name, Outcome::NoTime, "", Duration::ZERO));
                continue;
            }
            self.keys += 1;
            let key = RunKey::notify(self.keys);
            out.requests.push(program.request(key));
            queue.running = Some(Running {
                program,
                key,
                since: now,
                step: Step::Asked,
                next_at: limit,
                retries: 0,
            });
        }
    }

    /// Asks once more for the program that is next in turn.
    fn ask_again(&mut self, now: Instant, name: &Arc<str>, out: &mut Outbox) {
        let queue = self.queues.get_mut(name);
        let Some(running) = queue.and_then(|queue| queue.running.as_mut()) else {
            return;
        };
        let limit = limit(now, self.stopping, running.program.parting);
        if limit <= now {
            return self.close(now, name, Outcome::NoTime, "", out);
        }
        self.keys += 1;
        running.key = RunKey::notify(self.keys);
        running.step = Step::Asked;
        running.since = now;
        running.next_at = limit;
        out.requests.push(running.program.request(running.key));
    }
}

impl Queue {
    fn next_program(&mut self) -> Option<Program> {
        if self.programs.is_empty() {
            let what = self.waiting.pop_front()?;
            let skipped = match what.to {
                Told::State(_) => std::mem::take(&mut self.skipped),
                Told::LowerAdvert => 0,
            };
            self.programs = told::programs(&what, skipped);
        }
        self.programs.pop_front()
    }
}

impl Program {
    fn request(&self, key: RunKey) -> Request {
        Request::Start(Start {
            key,
            ..self.start.clone()
        })
    }

    fn result(
        &self,
        name: &Arc<str>,
        outcome: Outcome,
        stderr: &str,
        took: Duration,
    ) -> NotifyResult {
        NotifyResult {
            instance: name.clone(),
            keyword: self.keyword,
            word: self.word,
            program: self.start.argv.first().cloned().unwrap_or_default(),
            outcome,
            stderr: stderr.into(),
            took,
        }
    }
}

/// When a program that starts now gets SIGTERM.
fn limit(now: Instant, stopping: Option<Instant>, parting: bool) -> Instant {
    match stopping {
        None => now + LIMIT,
        Some(since) => stop_limit(since, parting).min(now + LIMIT),
    }
}

/// The same at a stop that began at `since`.
fn stop_limit(since: Instant, parting: bool) -> Instant {
    if parting {
        since + (STOP_LIMIT - GRACE)
    } else {
        since + STOP_EARLIER
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::notice::Phase;
    use crate::scripts::told::tests::{notification, state};
    use proptest::prelude::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    /// The runner's side: what was asked for and what runs.
    #[derive(Default)]
    struct Desk {
        queues: NotifyQueues,
        started: Vec<Start>,
        signals: Vec<Signal>,
        results: Vec<NotifyResult>,
    }

    impl Desk {
        fn take(&mut self, out: Outbox) {
            for request in out.requests {
                match request {
                    Request::Start(start) => self.started.push(start),
                    Request::Signal { signal, .. } => self.signals.push(signal),
                    Request::Quit => panic!("never asked by a queue"),
                }
            }
            self.results.extend(out.results);
        }

        fn push(&mut self, millis: u64, what: Notification) {
            let mut out = Outbox::default();
            self.queues.push(at(millis), what, &mut out);
            self.take(out);
        }

        /// The program started last ends.
        fn end(&mut self, millis: u64, how: How) {
            let key = self.last().key;
            let mut out = Outbox::default();
            self.queues.started(key);
            self.queues.ended(at(millis), key, how, "words", &mut out);
            self.take(out);
        }

        fn tick(&mut self, millis: u64) {
            let mut out = Outbox::default();
            self.queues.tick(at(millis), &mut out);
            self.take(out);
        }

        fn last(&self) -> &Start {
            self.started.last().expect("one was started")
        }

        fn programs(&self) -> Vec<String> {
            let words = |start: &Start| match start.argv.get(3) {
                Some(word) => format!("{} {word}", start.argv[0]),
                None => start.argv[0].to_string(),
            };
            self.started.iter().map(words).collect()
        }
    }

    fn env<'a>(start: &'a Start, name: &str) -> &'a str {
        let found = start.env.iter().find(|(n, _)| n == name);
        found.map_or("", |(_, value)| value)
    }

    const OK: How = How::Exited(0);

    #[test]
    fn the_own_program_runs_before_the_generic_one_and_never_beside_it() {
        let mut desk = Desk::default();
        desk.push(0, state(Phase::Active));
        assert_eq!(desk.programs(), ["/master"]);
        desk.end(10, OK);
        assert_eq!(desk.programs(), ["/master", "/any MASTER"]);
        assert!(!desk.queues.idle());
        desk.end(20, How::Exited(3));
        assert!(desk.queues.idle());
        assert!(desk.queues.next_deadline().is_none());
        let texts: Vec<String> = desk.results.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "notify_master /master (MASTER) succeeded in 10 ms: words",
                "notify /any (MASTER) exited with status 3 after 10 ms: words"
            ]
        );
    }

    #[test]
    fn states_that_pile_up_collapse_into_the_last_and_are_counted() {
        let mut desk = Desk::default();
        desk.push(0, state(Phase::Backup));
        for phase in [Phase::Active, Phase::Backup, Phase::Fault, Phase::Active] {
            desk.push(1, state(phase));
        }
        assert_eq!(desk.queues.depth(), 1);
        for millis in 2..6 {
            desk.end(millis, OK);
        }
        assert_eq!(
            desk.programs(),
            ["/backup", "/any BACKUP", "/master", "/any MASTER"]
        );
        assert_eq!(env(desk.last(), "VRRP_SKIPPED"), "3");
        assert!(desk.queues.idle());
    }

    #[test]
    fn a_lower_advert_never_displaces_a_state_and_waits_its_turn() {
        let mut desk = Desk::default();
        desk.push(0, state(Phase::Backup));
        desk.push(1, state(Phase::Active));
        for _ in 0..5 {
            desk.push(2, notification(Told::LowerAdvert));
        }
        for millis in 3..8 {
            desk.end(millis, OK);
        }
        assert_eq!(
            desk.programs(),
            ["/backup", "/any BACKUP", "/master", "/any MASTER", "/lower"]
        );
        assert_eq!(env(desk.last(), "VRRP_TO"), "MASTER_RX_LOWER_PRI");
        // One that belongs to a state already left is not told any more.
        desk.push(10, notification(Told::LowerAdvert));
        desk.push(10, state(Phase::Backup));
        assert_eq!(desk.queues.depth(), 1);
    }

    #[test]
    fn a_state_nobody_hears_still_displaces_an_older_one() {
        let mut desk = Desk::default();
        desk.push(0, state(Phase::Backup));
        desk.push(1, state(Phase::Active));
        let mut quiet = state(Phase::Fault);
        Arc::make_mut(&mut quiet.settings).notify = Default::default();
        desk.push(2, quiet);
        desk.end(3, OK);
        desk.end(4, OK);
        assert_eq!(desk.programs(), ["/backup", "/any BACKUP"]);
        // And is counted when the next one is told.
        desk.push(5, state(Phase::Backup));
        assert_eq!(env(desk.last(), "VRRP_SKIPPED"), "1");
    }

    #[test]
    fn instances_do_not_wait_for_each_other() {
        let mut desk = Desk::default();
        desk.push(0, state(Phase::Active));
        let mut other = state(Phase::Active);
        Arc::make_mut(&mut other.settings).name = "VI_2".into();
        desk.push(0, other);
        assert_eq!(desk.programs(), ["/master", "/master"]);
    }

    #[test]
    fn a_program_over_its_limit_gets_term_then_kill_and_the_next_one_its_turn() {
        let mut desk = Desk::default();
        desk.push(0, state(Phase::Backup));
        desk.push(1, state(Phase::Active));
        assert_eq!(desk.queues.next_deadline(), Some(at(30_000)));
        desk.tick(29_999);
        assert!(desk.signals.is_empty());
        desk.tick(30_000);
        assert_eq!(desk.signals, [Signal::Term]);
        desk.tick(31_999);
        desk.tick(32_000);
        assert_eq!(desk.signals, [Signal::Term, Signal::Kill]);
        // In vain, as for a process that waits for a dead disk: again, and nobody beside it.
        desk.tick(42_000);
        assert_eq!(desk.signals.len(), 3);
        assert_eq!(desk.programs(), ["/backup"]);
        desk.end(42_500, How::Signalled(9));
        assert_eq!(desk.results[0].outcome, Outcome::TimedOut);
        assert_eq!(desk.programs(), ["/backup", "/any BACKUP"]);
    }

    #[test]
    fn at_a_stop_an_earlier_program_leaves_time_for_stop() {
        let mut desk = Desk::default();
        desk.push(0, state(Phase::Active));
        desk.queues.begin_stop(at(1_000));
        desk.push(1_000, state(Phase::Stopped));
        assert_eq!(desk.queues.next_deadline(), Some(at(3_000)));
        desk.tick(3_000);
        desk.tick(4_000);
        assert_eq!(desk.signals, [Signal::Term, Signal::Kill]);
        desk.end(4_000, How::Signalled(9));
        // The rest of the earlier event has no time left; STOP has.
        assert_eq!(desk.results[1].outcome, Outcome::NoTime);
        assert_eq!(desk.programs(), ["/master", "/stop"]);
        assert_eq!(desk.queues.next_deadline(), Some(at(9_000)));
        desk.end(9_000, OK);
        assert_eq!(desk.results[3].outcome, Outcome::NoTime);
        assert!(desk.queues.idle());
        assert_eq!(desk.queues.stop_deadline(), Some(at(11_000)));
    }

    #[test]
    fn nothing_displaces_the_last_word_on_an_instance() {
        let mut desk = Desk::default();
        desk.push(0, state(Phase::Active));
        desk.push(1, state(Phase::Deleted));
        // Made again under its name by the same reload.
        desk.push(1, state(Phase::Backup));
        for millis in 2..8 {
            desk.end(millis, OK);
        }
        assert_eq!(
            desk.programs()[2..],
            ["/deleted", "/any DELETED", "/backup", "/any BACKUP"]
        );
    }

    #[test]
    fn what_we_could_not_start_for_want_of_resources_is_tried_again() {
        let mut desk = Desk::default();
        desk.push(0, state(Phase::Active));
        let again = |desk: &mut Desk, millis| {
            let key = desk.last().key;
            let mut out = Outbox::default();
            let how = How::NotStarted(nix::libc::EAGAIN);
            desk.queues.ended(at(millis), key, how, "", &mut out);
            desk.take(out);
        };
        again(&mut desk, 0);
        assert_eq!(desk.queues.next_deadline(), Some(at(1_000)));
        desk.tick(1_000);
        assert_eq!(desk.programs(), ["/master", "/master"]);
        assert_ne!(desk.started[0].key, desk.started[1].key);
        for n in 1..=4 {
            again(&mut desk, n * 1_000);
            desk.tick((n + 1) * 1_000);
        }
        assert_eq!(desk.started.len(), 6);
        again(&mut desk, 9_000);
        assert_eq!(desk.programs()[6..], ["/any MASTER"]);
        assert!(!desk.results[0].is_success());
    }

    #[test]
    fn a_new_runner_gets_what_the_old_one_never_began() {
        let mut desk = Desk::default();
        desk.push(0, state(Phase::Active));
        let mut out = Outbox::default();
        desk.queues.lost(at(5), &mut out);
        desk.take(out);
        assert_eq!(desk.programs(), ["/master", "/master"]);
        let key = desk.last().key;
        desk.queues.started(key);
        let mut out = Outbox::default();
        desk.queues.lost(at(6), &mut out);
        desk.take(out);
        assert_eq!(desk.results[0].outcome, Outcome::Lost);
        assert_eq!(desk.programs(), ["/master", "/master", "/any MASTER"]);
    }

    proptest! {
        /// Random flips with programs that take 0 to 300 ms: the last state is always delivered,
        /// and every state is either delivered or counted as skipped.
        #[test]
        fn the_last_state_is_always_delivered(
            flips in proptest::collection::vec((0u64..20, 0usize..3), 1..300),
            lengths in proptest::collection::vec(0u64..300, 1..50),
        ) {
            let phases = [Phase::Backup, Phase::Active, Phase::Fault];
            let mut desk = Desk::default();
            let mut lengths = lengths.into_iter().cycle();
            let (mut now, mut ends_at, mut begun) = (0, 0, 0);
            let mut last = "";
            for (gap, phase) in &flips {
                now += gap;
                while !desk.queues.idle() && ends_at <= now {
                    desk.end(ends_at, OK);
                    prop_assert!(desk.started.len() <= begun + 1, "one at a time");
                    begun = desk.started.len();
                    ends_at += lengths.next().unwrap_or(0);
                }
                if desk.queues.idle() {
                    ends_at = now + lengths.next().unwrap_or(0);
                }
                desk.push(now, state(phases[*phase]));
                begun = desk.started.len();
                last = crate::model::notice::keepalived_word(phases[*phase]);
            }
            while !desk.queues.idle() {
                desk.end(now, OK);
            }
            prop_assert_eq!(env(desk.last(), "VRRP_TO"), last);
            let generic = desk.started.iter().filter(|start| &*start.argv[0] == "/any");
            let told: usize = generic
                .map(|start| 1 + env(start, "VRRP_SKIPPED").parse::<usize>().expect("a number"))
                .sum();
            prop_assert_eq!(told, flips.len());
        }
    }
}
