//! Checks that need no program (`check` in a `vrrp_script`), run by the service thread.
//!
//! A run ends by itself or is stopped by the engine at its deadline, as a script's is.

mod http;
mod reach;
mod systemd;
mod tls;

use crate::model::ids::{CheckId, RunId};
use crate::model::seen::Verdict;
use crate::model::settings::Probe;
use crate::os::clock;
use crate::scripts::checks::Done;
use nix::errno::Errno;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::timeout;

/// The same as a script's exit status for *no*.
const NO: i32 = 1;

/// All probes that run.
#[derive(Debug, Default)]
pub struct Probes {
    tasks: JoinSet<Result<(), Failure>>,
    running: HashMap<Id, Running>,
}

#[derive(Debug)]
struct Running {
    check: CheckId,
    run: RunId,
    handle: AbortHandle,
}

impl Probes {
    /// The engine starts a run, which has this time. Call it inside a tokio runtime.
    pub fn start(&mut self, check: CheckId, run: RunId, probe: &Probe, limit: Duration) {
        let handle = self.tasks.spawn(within(limit, perform(probe.clone())));
        let running = Running {
            check,
            run,
            handle: handle.clone(),
        };
        self.running.insert(handle.id(), running);
    }

    /// The engine wants a run gone; `false` if it is none of ours.
    pub fn stop(&mut self, run: RunId) -> bool {
        let of = self.running.values().find(|running| running.run == run);
        of.inspect(|running| running.handle.abort()).is_some()
    }

    /// The next run that ended. It may be dropped while it waits and called again: nothing is lost.
    pub async fn next(&mut self) -> Done {
        loop {
            let Some(ended) = self.tasks.join_next_with_id().await else {
                return std::future::pending().await;
            };
            let (id, verdict, stderr) = match ended {
                Ok((id, Ok(()))) => (id, Verdict::Pass, Arc::from("")),
                Ok((id, Err(Failure::Found(text)))) => (id, Verdict::Fail(NO), text.into()),
                Ok((id, Err(Failure::Ours(text)))) => (id, Verdict::Lost, text.into()),
                Ok((id, Err(Failure::Late))) => (id, Verdict::TimedOut, Arc::from("")),
                // It was told to go because its deadline had passed.
                Err(error) if error.is_cancelled() => {
                    (error.id(), Verdict::TimedOut, Arc::from(""))
                }
                Err(error) => (error.id(), Verdict::Lost, error.to_string().into()),
            };
            if let Some(Running { check, run, .. }) = self.running.remove(&id) {
                return Done {
                    check,
                    run,
                    verdict,
                    stderr,
                };
            }
        }
    }

    /// How many run.
    pub fn running(&self) -> usize {
        self.running.len()
    }
}

/// Why a probe did not pass.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Failure {
    /// What was looked at is not as it should be.
    Found(String),
    /// Trouble of our own, which says nothing of it.
    Ours(String),
    /// It had its time.
    Late,
}

impl Failure {
    fn found(what: impl fmt::Display) -> Self {
        Self::Found(what.to_string())
    }

    /// An error of the system in the middle of `what`.
    fn of(what: impl fmt::Display, error: &io::Error) -> Self {
        let text = format!("{what}: {error}");
        if is_ours(error) {
            Self::Ours(text)
        } else {
            Self::Found(text)
        }
    }
}

/// We are out of something.
fn is_ours(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(
            Errno::EMFILE
                | Errno::ENFILE
                | Errno::ENOMEM
                | Errno::ENOBUFS
                // All local ports are in use.
                | Errno::EADDRNOTAVAIL
        )
    )
}

/// Gives up a little before the engine does: where the timeout is the interval, the next run would
/// otherwise find this one still there and be left out.
async fn within(
    limit: Duration,
    what: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let lead = (limit / 50).max(Duration::from_millis(5));
    match timeout(limit.saturating_sub(lead), what).await {
        Ok(ended) => ended,
        Err(_) => Err(Failure::Late),
    }
}

async fn perform(probe: Probe) -> Result<(), Failure> {
    match probe {
        Probe::Tcp { to } => reach::connect(&to).await.map(drop),
        Probe::Http {
            to,
            host,
            path,
            tls,
        } => http::get(&to, &host, &path, tls).await,
        Probe::Unix { path } => reach::unix(&path),
        Probe::Systemd { unit } => systemd::is_active(&unit).await,
        Probe::FileAge { path, most } => file_age(Path::new(&*path), most),
        Probe::DefaultRoute { family, interface } => {
            reach::default_route(family, interface.as_deref()).await
        }
        Probe::Gateway { addr, interface } => reach::gateway(addr, interface.as_deref()).await,
    }
}

/// A time of writing in the future is young: clocks are set back now and then.
fn file_age(path: &Path, most: Duration) -> Result<(), Failure> {
    let shown = path.display();
    let written = std::fs::metadata(path)
        .and_then(|of| of.modified())
        .map_err(|error| Failure::of(path.display(), &error))?;
    let age = clock::wall().duration_since(written).unwrap_or_default();
    if age <= most {
        return Ok(());
    }
    Err(Failure::Found(format!(
        "{shown}: written {} s ago, more than {} s",
        age.as_secs(),
        most.as_secs_f64()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_file_is_young_enough_or_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("beat");
        let minute = Duration::from_secs(60);
        assert!(matches!(file_age(&path, minute), Err(Failure::Found(_))));
        let file = File::create(&path).expect("the file system obeys");
        assert_eq!(file_age(&path, minute), Ok(()));
        let set = |time| file.set_modified(time).expect("the file system obeys");
        set(clock::wall() + minute);
        assert_eq!(file_age(&path, minute), Ok(()));
        set(clock::wall() - minute * 2);
        let Err(Failure::Found(text)) = file_age(&path, minute) else {
            panic!("two minutes are more than one");
        };
        assert!(text.contains("120 s ago, more than 60 s"), "{text}");
    }

    #[test]
    fn to_be_out_of_descriptors_says_nothing_of_what_is_checked() {
        let of = |errno: Errno| Failure::of("x", &errno.into());
        assert!(matches!(of(Errno::EMFILE), Failure::Ours(_)));
        assert!(matches!(of(Errno::EADDRNOTAVAIL), Failure::Ours(_)));
        assert!(matches!(of(Errno::ECONNREFUSED), Failure::Found(_)));
        assert!(matches!(of(Errno::EHOSTUNREACH), Failure::Found(_)));
    }
}
