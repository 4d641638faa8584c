//! The books of running checks: which run is whose, and what its end means.

use crate::model::ids::{CheckId, RunId};
use crate::model::seen::Verdict;
use crate::model::settings::CheckSettings;
use crate::scripts::protocol::{How, Request, RunKey, Signal, Start};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A run that ended, as the engine wants to hear it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Done {
    /// Which script.
    pub check: CheckId,
    /// Which run.
    pub run: RunId,
    /// How.
    pub verdict: Verdict,
    /// Tail of its stderr.
    pub stderr: Arc<str>,
}

/// All checks that run.
#[derive(Debug, Default)]
pub struct Checks {
    running: BTreeMap<RunKey, Running>,
}

#[derive(Debug)]
struct Running {
    name: Arc<str>,
    check: CheckId,
    run: RunId,
    stopped: bool,
}

impl Checks {
    /// The engine starts a run.
    pub fn start(&mut self, check: CheckId, run: RunId, settings: &CheckSettings) -> Request {
        let key = RunKey::check(run);
        let running = Running {
            name: settings.name.clone(),
            check,
            run,
            stopped: false,
        };
        self.running.insert(key, running);
        Request::Start(Start {
            key,
            argv: settings.command.argv.clone(),
            user: settings.command.user.clone(),
            env: Vec::new(),
            security: false,
        })
    }

    /// Which script a run is of.
    pub fn name(&self, key: RunKey) -> Option<&Arc<str>> {
        self.running.get(&key).map(|running| &running.name)
    }

    /// The engine wants a run gone; `None` if it is already.
    pub fn stop(&mut self, run: RunId, signal: Signal) -> Option<Request> {
        let key = RunKey::check(run);
        self.running.get_mut(&key)?.stopped = true;
        Some(Request::Signal { key, signal })
    }

    /// The runner says that it started a run's program; `None` if nobody knows it.
    pub fn started(&self, key: RunKey) -> Option<(CheckId, RunId)> {
        let running = self.running.get(&key)?;
        Some((running.check, running.run))
    }

    /// The runner says that a run ended; `None` if nobody knows it.
    pub fn ended(&mut self, key: RunKey, how: How, stderr: &str) -> Option<Done> {
        let running = self.running.remove(&key)?;
        Some(Done {
            check: running.check,
            run: running.run,
            verdict: verdict(how, running.stopped),
            stderr: stderr.into(),
        })
    }

    /// The runner is gone, and every run with it.
    pub fn lost(&mut self) -> Vec<Done> {
        let running = std::mem::take(&mut self.running);
        running
            .into_values()
            .map(|running| Done {
                check: running.check,
                run: running.run,
                verdict: Verdict::Lost,
                stderr: "".into(),
            })
            .collect()
    }

    /// How many run.
    pub fn running(&self) -> usize {
        self.running.len()
    }
}

/// What an end means. A run that had to be stopped had its deadline behind it, whatever it then
/// exited with.
fn verdict(how: How, stopped: bool) -> Verdict {
    match how {
        How::NotStarted(_) if how.is_our_trouble() => Verdict::Lost,
        How::NotStarted(errno) => Verdict::NotStarted(errno),
        How::Exited(_) | How::Signalled(_) if stopped => Verdict::TimedOut,
        How::Exited(0) => Verdict::Pass,
        How::Exited(status) => Verdict::Fail(status),
        How::Signalled(signal) => Verdict::Signalled(signal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::priority::Weight;
    use crate::model::settings::Command;
    use std::time::Duration;

    fn settings() -> CheckSettings {
        CheckSettings {
            name: "chk".into(),
            command: Command {
                argv: vec!["/bin/true".into()],
                user: None,
            },
            probe: None,
            external: None,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            weight: Weight::FAULT,
            reverse: false,
            rise: 1,
            fall: 1,
            init_fail: false,
            thresholds: Default::default(),
            unusable: None,
        }
    }

    fn end(how: How, stop: bool) -> Done {
        let mut checks = Checks::default();
        checks.start(CheckId(3), RunId(9), &settings());
        if stop {
            assert!(checks.stop(RunId(9), Signal::Term).is_some());
        }
        let done = checks
            .ended(RunKey::check(RunId(9)), how, "said")
            .expect("known");
        assert_eq!(checks.running(), 0);
        done
    }

    #[test]
    fn ends_become_verdicts() {
        assert_eq!(end(How::Exited(0), false).verdict, Verdict::Pass);
        assert_eq!(end(How::Exited(3), false).verdict, Verdict::Fail(3));
        assert_eq!(end(How::Signalled(9), false).verdict, Verdict::Signalled(9));
        assert_eq!(
            end(How::NotStarted(2), false).verdict,
            Verdict::NotStarted(2)
        );
    }

    #[test]
    fn a_stopped_run_has_timed_out_even_if_it_then_exits_with_success() {
        assert_eq!(end(How::Exited(0), true).verdict, Verdict::TimedOut);
        assert_eq!(end(How::Signalled(15), true).verdict, Verdict::TimedOut);
    }

    #[test]
    fn our_own_trouble_is_no_result() {
        for errno in [nix::libc::EAGAIN, nix::libc::ENOMEM, nix::libc::EMFILE] {
            assert_eq!(end(How::NotStarted(errno), false).verdict, Verdict::Lost);
        }
    }

    #[test]
    fn a_lost_runner_loses_every_run_once() {
        let mut checks = Checks::default();
        for run in 0..3 {
            checks.start(CheckId(run), RunId(run.into()), &settings());
        }
        let lost = checks.lost();
        assert_eq!(lost.len(), 3);
        assert!(lost.iter().all(|done| done.verdict == Verdict::Lost));
        assert!(checks.lost().is_empty());
        assert_eq!(
            checks.ended(RunKey::check(RunId(1)), How::Exited(0), ""),
            None
        );
        assert_eq!(checks.stop(RunId(1), Signal::Kill), None);
    }
}
