//! The child table of a simulated host: scripts that pass, fail, hang and shrug off signals.

use crate::core::action::Signal;
use crate::model::ids::{CheckId, RunId};
use crate::model::seen::Verdict;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// SIGTERM and SIGKILL, as a verdict counts them.
const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

/// How long a signalled process takes to be reaped.
const REAPED_AFTER: Duration = Duration::from_micros(500);

/// What one run of a script does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Behaviour {
    /// Time until it ends by itself, if it does.
    pub takes: Duration,
    /// How it ends.
    pub ends: Ending,
}

/// How a run ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// By itself, or earlier by a signal.
    With(Verdict),
    /// Never by itself; SIGTERM ends it.
    Hangs,
    /// Never by itself; SIGTERM makes it exit with 0.
    HangsThenPasses,
    /// Never by itself; only SIGKILL ends it.
    IgnoresTerm,
    /// Not at all: stuck in the kernel.
    Stuck,
}

impl Behaviour {
    /// Exits with 0 after a millisecond.
    pub const PASSES: Self = Self::ends(Verdict::Pass);
    /// Exits with 1 after a millisecond.
    pub const FAILS: Self = Self::ends(Verdict::Fail(1));
    /// Hangs until SIGTERM.
    pub const HANGS: Self = Self {
        takes: Duration::ZERO,
        ends: Ending::Hangs,
    };
    /// Hangs until SIGKILL.
    pub const IGNORES_TERM: Self = Self {
        takes: Duration::ZERO,
        ends: Ending::IgnoresTerm,
    };

    /// Ends like this after a millisecond.
    pub const fn ends(verdict: Verdict) -> Self {
        Self {
            takes: Duration::from_millis(1),
            ends: Ending::With(verdict),
        }
    }

    /// The same, so slowly.
    pub const fn taking(self, takes: Duration) -> Self {
        Self { takes, ..self }
    }
}

#[derive(Debug)]
struct Child {
    run: RunId,
    check: CheckId,
    name: Arc<str>,
    ends: Ending,
}

/// A host's programs and the runs that are going on.
#[derive(Debug, Default)]
pub struct Programs {
    first: HashMap<Arc<str>, VecDeque<Behaviour>>,
    then: HashMap<Arc<str>, Behaviour>,
    children: Vec<Child>,
    started: u64,
    most_of_one: usize,
}

/// The end of a run that is now known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// Which run.
    pub run: RunId,
    /// How long from now.
    pub after: Duration,
    /// How.
    pub verdict: Verdict,
}

impl Programs {
    /// From its next run on a script does this; unknown scripts pass.
    pub fn set(&mut self, script: &str, behaviour: Behaviour) {
        self.first.remove(script);
        self.then.insert(script.into(), behaviour);
    }

    /// The next runs of a script do these, in order; later ones what they did before.
    pub fn next(&mut self, script: &str, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.first
            .entry(script.into())
            .or_default()
            .extend(behaviours);
    }

    /// Starts a run; its end, if it will end by itself.
    pub fn start(&mut self, check: CheckId, run: RunId, script: &Arc<str>) -> Option<End> {
        let behaviour = self
            .first
            .get_mut(script)
            .and_then(VecDeque::pop_front)
            .or_else(|| self.then.get(script).copied())
            .unwrap_or(Behaviour::PASSES);
        self.started += 1;
        self.children.push(Child {
            run,
            check,
            name: script.clone(),
            ends: behaviour.ends,
        });
        let same = self.running_of(script);
        self.most_of_one = self.most_of_one.max(same);
        match behaviour.ends {
            Ending::With(verdict) => Some(End {
                run,
                after: behaviour.takes,
                verdict,
            }),
            Ending::Hangs | Ending::HangsThenPasses | Ending::IgnoresTerm | Ending::Stuck => None,
        }
    }

    /// Signals a run; its end, if the signal brings it.
    pub fn signal(&mut self, run: RunId, how: Signal) -> Option<End> {
        let child = self.children.iter_mut().find(|c| c.run == run)?;
        let verdict = match (child.ends, how) {
            (Ending::With(_) | Ending::Hangs, Signal::Term) => Verdict::Signalled(SIGTERM),
            (Ending::HangsThenPasses, Signal::Term) => Verdict::Pass,
            (Ending::IgnoresTerm, Signal::Term) | (Ending::Stuck, _) => return None,
            (
                Ending::With(_) | Ending::Hangs | Ending::HangsThenPasses | Ending::IgnoresTerm,
                Signal::Kill,
            ) => Verdict::Signalled(SIGKILL),
        };
        Some(End {
            run,
            after: REAPED_AFTER,
            verdict,
        })
    }

    /// A run is reaped; which check's it was, unless it is gone already.
    pub fn reap(&mut self, run: RunId) -> Option<(CheckId, Arc<str>)> {
        let at = self.children.iter().position(|c| c.run == run)?;
        let child = self.children.swap_remove(at);
        Some((child.check, child.name))
    }

    /// All children go with their daemon.
    pub fn forget(&mut self) {
        self.children.clear();
    }

    /// Runs started so far.
    pub const fn started(&self) -> u64 {
        self.started
    }

    /// Runs going on now.
    pub fn running(&self) -> usize {
        self.children.len()
    }

    /// Runs of one script going on now.
    pub fn running_of(&self, script: &str) -> usize {
        self.children.iter().filter(|c| &*c.name == script).count()
    }

    /// The most runs of one script that ever went on at once.
    pub const fn most_of_one(&self) -> usize {
        self.most_of_one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_ignores_term_ends_by_kill_alone() {
        let mut programs = Programs::default();
        programs.set("s", Behaviour::IGNORES_TERM);
        assert_eq!(programs.start(CheckId(0), RunId(1), &"s".into()), None);
        assert_eq!(programs.signal(RunId(1), Signal::Term), None);
        let end = programs.signal(RunId(1), Signal::Kill).expect("killed");
        assert_eq!(end.verdict, Verdict::Signalled(SIGKILL));
        assert_eq!(programs.running(), 1, "until it is reaped");
        assert!(programs.reap(RunId(1)).is_some());
        assert_eq!(programs.reap(RunId(1)), None, "only once");
    }

    #[test]
    fn listed_runs_come_first() {
        let mut programs = Programs::default();
        let script: Arc<str> = "s".into();
        programs.next("s", [Behaviour::FAILS, Behaviour::PASSES]);
        let verdicts: Vec<_> = (0..3)
            .filter_map(|n| programs.start(CheckId(0), RunId(n), &script))
            .map(|end| end.verdict)
            .collect();
        assert_eq!(verdicts, [Verdict::Fail(1), Verdict::Pass, Verdict::Pass]);
        assert_eq!(programs.most_of_one(), 3);
    }
}
