//! The runner as a process: the real binary, real programs, real signals.
#![allow(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)] // tests may read clocks

mod places;
mod queues;

use mainstay::model::ids::{Family, RouterId, RunId, Version, Vrid};
use mainstay::model::notice::{Notification, Phase, Told, Why};
use mainstay::model::priority::Priority;
use mainstay::model::settings::{
    AuthSettings, Command, GarpSettings, NotifySettings, RouterSettings, RunAs, TransportSettings,
};
use mainstay::scripts::handle::Runner;
use mainstay::scripts::notify::{NotifyQueues, Outbox, Outcome};
use mainstay::scripts::protocol::{How, Reply, Request, RunKey, Signal, Start};
use mainstay::sim::rng::Rng;
use std::collections::HashMap;
use std::fs;
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a test on a runtime of its own with a fresh runner.
fn with_runner<F: Future<Output = ()>>(test: impl FnOnce(Runner) -> F) {
    with_runner_at(Path::new(env!("CARGO_BIN_EXE_mainstay")), test);
}

fn with_runner_at<F: Future<Output = ()>>(exe: &Path, test: impl FnOnce(Runner) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let runner = Runner::spawn(exe).expect("a runner");
        test(runner).await;
    });
}

/// A shell that starts the runner with ignored signals, open descriptors and odd variables.
fn messy_parent(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("parent");
    let text = format!(
        "#!/bin/sh\ntrap '' HUP INT QUIT TERM USR1 USR2 ALRM XCPU TSTP TTIN TTOU PIPE\nexec 7</dev/null 9</dev/null\nIFS=x LD_PRELOAD= \
         LD_LIBRARY_PATH=/nonexistent exec {} \"$@\"\n",
        env!("CARGO_BIN_EXE_mainstay")
    );
    fs::write(&path, text).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    path
}

fn check(n: u64) -> RunKey {
    RunKey::check(RunId(n))
}

fn start(key: RunKey, argv: &[&str]) -> Request {
    Request::Start(Start {
        key,
        argv: argv.iter().map(|word| Arc::from(*word)).collect(),
        user: Some(RunAs {
            user: own_user().into(),
            group: None,
        }),
        env: Vec::new(),
        security: false,
    })
}

fn shell(key: RunKey, script: &str) -> Request {
    start(key, &["/bin/sh", "-c", script])
}

fn own_user() -> String {
    nix::unistd::geteuid().to_string()
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

async fn reply(runner: &mut Runner) -> Reply {
    timeout(PATIENCE, runner.recv())
        .await
        .expect("a reply in time")
        .expect("a living runner")
}

async fn started(runner: &mut Runner) -> u32 {
    match reply(runner).await {
        Reply::Started { pid, .. } => pid,
        Reply::Ended { how, stderr, .. } => panic!("not started: {how:?} {stderr}"),
    }
}

/// The next end, whatever starts before it.
async fn ended(runner: &mut Runner) -> (RunKey, How, String) {
    loop {
        if let Reply::Ended {
            key, how, stderr, ..
        } = reply(runner).await
        {
            return (key, how, stderr);
        }
    }
}

/// Runs a shell script and returns how it ended and its stderr.
async fn run(runner: &mut Runner, script: &str) -> (How, String) {
    runner.send(&shell(check(1), script));
    let (_, how, stderr) = ended(runner).await;
    (how, stderr)
}

/// State and parent of a process: fields 3 and 4 of its stat.
fn stat(pid: u32) -> Option<(char, u32, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((
        state,
        fields.next()?.parse().ok()?,
        fields.next()?.parse().ok()?,
    ))
}

fn processes() -> impl Iterator<Item = (u32, (char, u32, u32))> {
    fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?)))
}

/// Members of a process group that still run.
fn group_members(group: u32) -> Vec<u32> {
    processes()
        .filter(|(_, (state, _, pgrp))| *pgrp == group && *state != 'Z')
        .map(|(pid, _)| pid)
        .collect()
}

fn alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, ..)| state != 'Z')
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "never happened: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn exit_codes_and_signals_come_back() {
    with_runner(|mut runner| async move {
        assert_eq!(run(&mut runner, "exit 0").await.0, How::Exited(0));
        assert_eq!(run(&mut runner, "exit 77").await.0, How::Exited(77));
        assert_eq!(run(&mut runner, "kill -9 $$").await.0, How::Signalled(9));
        // One that has a number but no name.
        assert_eq!(run(&mut runner, "kill -40 $$").await.0, How::Signalled(40));
        assert_eq!(run(&mut runner, "exit 5").await.0, How::Exited(5));
    });
}

#[test]
fn the_end_of_stderr_comes_back() {
    with_runner(|mut runner| async move {
        let (how, stderr) = run(&mut runner, "echo first >&2; echo last >/dev/stderr").await;
        assert_eq!(how, How::Exited(0));
        assert!(stderr.ends_with("last"), "got {stderr:?}");
        let (_, stderr) = run(&mut runner, "seq 1 200000 >&2; echo end >&2; exit 1").await;
        assert!(stderr.ends_with("200000\nend"), "got {stderr:?}");
        assert!(stderr.len() <= 4096);
    });
}

#[test]
fn what_cannot_be_started_says_why() {
    with_runner(|mut runner| async move {
        runner.send(&start(check(1), &["/nonexistent/program"]));
        let (_, how, stderr) = ended(&mut runner).await;
        assert_eq!(how, How::NotStarted(2));
        assert!(stderr.contains("/nonexistent/program"), "{stderr}");

        let dir = tempfile::tempdir().expect("a directory");
        let plain = dir.path().join("plain");
        fs::write(&plain, "#!/bin/sh\n").expect("written");
        runner.send(&start(check(2), &[plain.to_str().expect("utf-8")]));
        let (key, how, _) = ended(&mut runner).await;
        assert_eq!((key, how), (check(2), How::NotStarted(13)));

        let Request::Start(mut unknown) = start(check(3), &["/bin/true"]) else {
            unreachable!("a start")
        };
        unknown.user = Some(RunAs {
            user: "no_such_user_here".into(),
            group: None,
        });
        runner.send(&Request::Start(unknown));
        let (_, how, stderr) = ended(&mut runner).await;
        assert_eq!(how, How::NotStarted(22));
        assert!(stderr.contains("no_such_user_here"), "{stderr}");

        let long = "x".repeat(65_000);
        runner.send(&start(check(4), &["/bin/true", &long, &long]));
        assert_eq!(ended(&mut runner).await.1, How::NotStarted(7));
        assert_eq!(run(&mut runner, "exit 3").await.0, How::Exited(3));
    });
}

#[test]
fn programs_get_a_clean_place() {
    let dir = tempfile::tempdir().expect("a directory");
    with_runner_at(&messy_parent(dir.path()), |mut runner| async move {
        let script = "test \"$VRRP_TO\" = 'a \"b\" c' || exit 1
            env | grep -E '^(IFS|LD_PRELOAD|LD_LIBRARY_PATH)=' >&2 && exit 2
            test \"$(pwd)\" = / || exit 3
            test \"$HOME\" = \"$WANTED_HOME\" || exit 4
            if read -r line; then exit 5; fi
            test \"$(ps -o pgid= -p $$ | tr -d ' ')\" = $$ || exit 6
            grep -E '^Sig(Blk|Ign):' /proc/self/status >&2";
        let Request::Start(mut asked) = shell(check(1), script) else {
            unreachable!("a start")
        };
        asked.env = vec![
            ("VRRP_TO".to_owned(), "a \"b\" c".to_owned()),
            (
                "WANTED_HOME".to_owned(),
                std::env::var("HOME").unwrap_or_default(),
            ),
        ];
        runner.send(&Request::Start(asked));
        let (_, how, stderr) = ended(&mut runner).await;
        assert_eq!(how, How::Exited(0), "{stderr}");
        let masks: Vec<u64> = stderr
            .lines()
            .filter_map(|line| u64::from_str_radix(line.split_once('\t')?.1, 16).ok())
            .collect();
        assert_eq!(masks.len(), 2, "{stderr}");
        // 32 and 33 are glibc's own, which its posix_spawn leaves ignored.
        let signals = 0x7fff_ffff;
        assert!(masks.iter().all(|mask| mask & signals == 0), "{stderr}");
    });
}

#[test]
fn no_descriptor_leaks_into_a_program() {
    let dir = tempfile::tempdir().expect("a directory");
    with_runner_at(&messy_parent(dir.path()), |mut runner| async move {
        let (how, stderr) = run(&mut runner, "ls -l /proc/self/fd >&2").await;
        assert_eq!(how, How::Exited(0));
        let open: Vec<&str> = stderr.lines().filter(|l| l.contains("->")).collect();
        // stdin, stdout and stderr, and the directory that ls reads.
        assert_eq!(open.len(), 4, "{stderr}");
        assert_eq!(open.iter().filter(|l| l.ends_with("/dev/null")).count(), 1);
        assert_eq!(
            open.iter().filter(|l| l.contains("memfd:stderr")).count(),
            2
        );
    });
}

#[test]
fn another_user_gets_his_ids_and_no_groups() {
    if !is_root() {
        eprintln!("SKIPPED another_user_gets_his_ids_and_no_groups: needs root");
        return;
    }
    with_runner(|mut runner| async move {
        for (group, gid) in [(None, "65534"), (Some("daemon"), "1")] {
            let Request::Start(mut asked) = shell(
                check(1),
                "echo $(id -u) $(id -g) $(id -G) $(id -ru) >/dev/stderr",
            ) else {
                unreachable!("a start")
            };
            asked.user = Some(RunAs {
                user: "nobody".into(),
                group: group.map(Into::into),
            });
            runner.send(&Request::Start(asked));
            let (_, how, stderr) = ended(&mut runner).await;
            assert_eq!(how, How::Exited(0));
            assert_eq!(stderr, format!("65534 {gid} {gid} 65534"));
        }
    });
}

#[test]
fn a_script_that_ignores_term_and_forks_is_gone_after_kill() {
    with_runner(|mut runner| async move {
        let script =
            "trap '' TERM; (trap '' TERM; sleep 100) & (sleep 100 & sleep 100) & sleep 100";
        runner.send(&shell(check(1), script));
        let pid = started(&mut runner).await;
        until("three sleeps run", || group_members(pid).len() >= 5).await;
        runner.send(&Request::Signal {
            key: check(1),
            signal: Signal::Term,
        });
        assert!(
            timeout(Duration::from_millis(300), runner.recv())
                .await
                .is_err(),
            "it ignores SIGTERM"
        );
        runner.send(&Request::Signal {
            key: check(1),
            signal: Signal::Kill,
        });
        assert_eq!(ended(&mut runner).await.1, How::Signalled(9));
        until("the group is empty", || group_members(pid).is_empty()).await;
    });
}

#[test]
fn what_a_terminated_script_leaves_in_its_group_is_killed() {
    with_runner(|mut runner| async move {
        // The script itself obeys, its child does not.
        runner.send(&shell(
            check(1),
            "(trap '' TERM; sleep 100; sleep 100) & wait",
        ));
        let pid = started(&mut runner).await;
        until("both run", || group_members(pid).len() >= 3).await;
        sleep(Duration::from_millis(50)).await;
        runner.send(&Request::Signal {
            key: check(1),
            signal: Signal::Term,
        });
        assert_eq!(ended(&mut runner).await.1, How::Signalled(15));
        until("the group is empty", || group_members(pid).is_empty()).await;
    });
}

#[test]
fn a_service_left_by_a_script_lives_on_and_may_write() {
    with_runner(|mut runner| async move {
        let dir = tempfile::tempdir().expect("a directory");
        let pids = dir.path().join("pids");
        // One stays in the group, one leaves it; both end at the first failed write.
        let service = "set -e; echo $$ >> $PIDS; while :; do echo busy >&2; sleep 0.02; done";
        let Request::Start(mut asked) = shell(
            RunKey::notify(1),
            "sh -c \"$SERVICE\" & setsid sh -c \"$SERVICE\" & echo started >&2",
        ) else {
            unreachable!("a start")
        };
        asked.env = vec![
            ("SERVICE".to_owned(), service.to_owned()),
            ("PIDS".to_owned(), pids.display().to_string()),
        ];
        runner.send(&Request::Start(asked));
        let (_, how, stderr) = ended(&mut runner).await;
        assert_eq!(how, How::Exited(0));
        assert!(stderr.contains("started"), "{stderr}");
        let services = || -> Vec<u32> {
            let text = fs::read_to_string(&pids).unwrap_or_default();
            text.lines().filter_map(|l| l.parse().ok()).collect()
        };
        until("both services run", || services().len() == 2).await;
        // Other runs come and go meanwhile.
        for _ in 0..20 {
            assert_eq!(run(&mut runner, "exit 0").await.0, How::Exited(0));
            sleep(Duration::from_millis(50)).await;
        }
        for pid in services() {
            assert!(alive(pid), "a service left behind died");
            let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).expect("small"));
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("killed");
        }
        // They came to the runner as orphans: it reaps them.
        until("they are reaped", || {
            services().into_iter().all(|p| stat(p).is_none())
        })
        .await;
    });
}

#[test]
fn when_the_daemon_is_gone_checks_are_ended_and_the_runner_leaves() {
    with_runner(|mut runner| async move {
        runner.send(&shell(check(1), "trap '' TERM; sleep 100 & sleep 100"));
        runner.send(&shell(check(2), "sleep 100"));
        let dir = tempfile::tempdir().expect("a directory");
        let done = dir.path().join("done");
        let finish = format!("sleep 2; echo done > {}", done.display());
        runner.send(&shell(RunKey::notify(1), &finish));
        let pids = [
            started(&mut runner).await,
            started(&mut runner).await,
            started(&mut runner).await,
        ];
        sleep(Duration::from_millis(100)).await;
        let own = runner.pid();
        drop(runner);
        until("the checks are gone", || {
            group_members(pids[0]).is_empty() && group_members(pids[1]).is_empty()
        })
        .await;
        assert!(!done.exists(), "the notify program goes on");
        until("the notify program has finished", || done.exists()).await;
        until("the runner has left", || !alive(own)).await;
    });
}

#[test]
fn quit_ends_everything() {
    with_runner(|mut runner| async move {
        runner.send(&shell(
            check(1),
            "trap '' TERM; while :; do sleep 100; done",
        ));
        runner.send(&shell(RunKey::notify(1), "sleep 100"));
        let pids = [started(&mut runner).await, started(&mut runner).await];
        sleep(Duration::from_millis(100)).await;
        let begun = Instant::now();
        runner.send(&Request::Quit);
        assert_eq!(timeout(PATIENCE, runner.recv()).await, Ok(None));
        assert!(begun.elapsed() < Duration::from_secs(5));
        // The killed may still be on their way out.
        until("both groups are empty", || {
            pids.iter().all(|pid| group_members(*pid).is_empty())
        })
        .await;
        assert!(stat(runner.pid()).is_none(), "the runner was reaped");
    });
}

#[test]
fn a_killed_runner_is_told_once_and_for_all() {
    with_runner(|mut runner| async move {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(runner.pid()).expect("small"));
        assert_eq!(run(&mut runner, "exit 0").await.0, How::Exited(0));
        // A terminal's or a service manager's signals do nothing.
        for signal in ["INT", "TERM", "HUP"] {
            let signal = format!("SIG{signal}").parse::<nix::sys::signal::Signal>();
            nix::sys::signal::kill(pid, signal.expect("a signal")).expect("sent");
        }
        assert_eq!(run(&mut runner, "exit 4").await.0, How::Exited(4));
        runner.send(&shell(check(3), "sleep 100 & sleep 100"));
        let left = started(&mut runner).await;
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("sent");
        assert_eq!(timeout(PATIENCE, runner.recv()).await, Ok(None));
        until("its check is gone", || group_members(left).is_empty()).await;
        runner.send(&shell(check(2), "exit 0"));
        assert_eq!(timeout(PATIENCE, runner.recv()).await, Ok(None));
    });
}

#[test]
fn two_hundred_starts_a_second_leave_no_zombie() {
    with_runner(|mut runner| async move {
        let mut open: HashMap<RunKey, ()> = HashMap::new();
        let begun = Instant::now();
        let mut most = 0;
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        let mut next = 0;
        while next < 200 || !open.is_empty() {
            tokio::select! {
                _ = tick.tick(), if next < 200 => {
                    open.insert(check(next), ());
                    runner.send(&start(check(next), &["/bin/true"]));
                    next += 1;
                    most = most.max(open.len());
                }
                reply = runner.recv() => match reply.expect("a living runner") {
                    Reply::Started { .. } => {}
                    Reply::Ended { key, how, .. } => {
                        assert_eq!(how, How::Exited(0));
                        assert!(open.remove(&key).is_some(), "ended twice");
                    }
                },
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{} runs never ended",
                open.len()
            );
        }
        println!("200 runs in {:?}, at most {most} at once", begun.elapsed());
        let zombies: Vec<u32> = processes()
            .filter(|(_, (state, parent, _))| *parent == runner.pid() && *state == 'Z')
            .map(|(pid, _)| pid)
            .collect();
        assert_eq!(zombies, [] as [u32; 0]);
        let status = fs::read_to_string(format!("/proc/{}/status", runner.pid())).expect("alive");
        let anonymous = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
            .expect("RssAnon in kB");
        println!(
            "{}",
            status
                .lines()
                .filter(|l| l.starts_with("Rss") || l.starts_with("VmRSS"))
                .collect::<Vec<_>>()
                .join("; ")
        );
        // Most of it is what the loader relocates: 730 kB in a binary that is not optimised.
        assert!(
            anonymous < 1280,
            "the runner holds {anonymous} kB of its own"
        );
    });
}
