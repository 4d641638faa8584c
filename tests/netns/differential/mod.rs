//! Effective priority, held against keepalived's: random configurations, in which the same results
//! of scripts, values of files, flaps of links and starts and ends of processes go to both daemons,
//! and the priority that each advertises is compared after every step.
//!
//! Priority 0 is left out: our MASTER releases when a tracker takes its priority down, and keepalived
//! does not. What else differs on purpose does not occur in the configurations:
//!
//! | not generated | here | in keepalived |
//! |---|---|---|
//! | `init_fail` | holds a script down until `rise` successes | has no effect |
//! | a program that cannot be started | has failed | has succeeded |
//! | a run over its `timeout` | has failed at that moment | has the result it ends with |
//! | a definition behind its use | counts | is not tracked |
//! | an interface that does not exist | is waited for | ends the program |
//! | a virtual address removed by somebody else | put back | steps down and returns |
//! | a file's number times its weight beyond 32 bits | stays on its side | 2.2.7 wraps around, for good |
//! | a file's number between 32 and 64 bits | is ignored | 2.2.7 cuts it to 32 |
//! | a script in the lists of a group and of its member | is one script | 2.2.7 never leaves FAULT |
//! | a member's interface with a weight, without `sync_group_tracking_weight` | is a fault | 2.2.7 says the same, and counts the weight |
//!
//! Interfaces that are down are counted, as 2.2.7 counts them; 2.4 keeps a bit. Processes are told to
//! keepalived by the kernel, which it does in the first network namespace alone: there it is started,
//! and moves by itself (`net_namespace`). We look for them once a second instead.
//!
//! `PROPTEST_RNG_SEED` chooses other configurations, `DIFFERENTIAL_STEPS` another number of steps;
//! `DIFFERENTIAL_CASE` plays one configuration alone and prints all of it.

mod case;
mod steps;
mod twin;

use crate::support::runner::Test;
use crate::{need_program, need_root};
use case::Case;
use mainstay::os::proc_connector::Connector;
use mainstay::sim::rng::Rng;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{self, Sender};
use std::time::Instant;
use twin::{NAMES, Said, Twin};

/// Configurations; all of them at the same time.
const CASES: u64 = 24;
/// Of these so many track processes.
const WITH_PROCESSES: u64 = 5;
/// Steps of each, unless `DIFFERENTIAL_STEPS` says otherwise.
const STEPS: u64 = 150;

pub(crate) fn tests() -> Vec<Test> {
    vec![Test {
        name: "effective_priority_is_keepalived_s_after_every_step",
        body: effective_priority_is_keepalived_s_after_every_step,
        last: false,
    }]
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(usual)
}

/// How one configuration went.
#[derive(Default)]
struct Tally {
    took: f64,
    steps: u64,
    silent: u64,
    priorities: std::collections::BTreeSet<u8>,
}

fn effective_priority_is_keepalived_s_after_every_step() {
    need_root();
    need_program("/usr/sbin/keepalived");
    let (seed, steps) = (
        number("PROPTEST_RNG_SEED", 1),
        number("DIFFERENTIAL_STEPS", STEPS),
    );
    let only = std::env::var("DIFFERENTIAL_CASE")
        .ok()
        .and_then(|w| w.parse::<u64>().ok());
    let dir = tempfile::Builder::new()
        .prefix("mainstay-diff-")
        .tempdir()
        .unwrap();
    // Where the kernel tells nobody of processes, keepalived cannot track them.
    let tracked = if Connector::open().is_ok() {
        WITH_PROCESSES
    } else {
        println!("differential: the kernel tells nothing of processes here, none is tracked");
        0
    };
    let begun = Instant::now();
    let outcomes: Vec<(u64, Result<Tally, String>)> = std::thread::scope(|scope| {
        let numbers = (0..CASES).filter(|n| only.is_none_or(|o| o == *n));
        let mut started = Vec::new();
        for n in numbers {
            let dir = dir.path().join(n.to_string());
            let (up, is_up) = mpsc::channel();
            let run = move || {
                catch_unwind(AssertUnwindSafe(|| {
                    compare([seed, n, steps], n < tracked, &dir, &up)
                }))
                .unwrap_or_else(|_| Err("the test itself failed".to_owned()))
            };
            started.push((n, scope.spawn(run)));
            if n < tracked {
                // The news of all that the others start would drown the kernel's answer.
                let _ = is_up.recv();
            }
        }
        let ended = started.into_iter().map(|(n, thread)| {
            let result = thread.join().unwrap_or_else(|_| Err("panicked".to_owned()));
            (n, result)
        });
        ended.collect()
    });
    let (mut played, mut silent, mut failed) = (0, 0, Vec::new());
    let mut values = 0;
    for (n, outcome) in &outcomes {
        match outcome {
            Ok(tally) => {
                played += tally.steps;
                silent += tally.silent;
                if only.is_some() || std::env::var_os("DIFFERENTIAL_STEPS").is_some() {
                    println!(
                        "    {n}: {:.1} s, {} silent of {}, priorities {:?}",
                        tally.took, tally.silent, tally.steps, tally.priorities
                    );
                }
                values += tally.priorities.len();
            }
            Err(why) => failed.push(format!("configuration {n}: {why}")),
        }
    }
    println!(
        "differential: seed {seed}, {} configurations, {played} steps ({silent} with somebody silent, \
         {values} different priorities), {:.0} s",
        outcomes.len(),
        begun.elapsed().as_secs_f64()
    );
    assert!(
        failed.is_empty(),
        "{} of {} configurations differ, PROPTEST_RNG_SEED={seed} (one alone: DIFFERENTIAL_CASE=N)\n\n{}",
        failed.len(),
        outcomes.len(),
        failed.join("\n\n")
    );
    // A comparison in which nothing moves would compare nothing.
    assert!(
        values > outcomes.len() * 4,
        "the priorities hardly moved: {values}"
    );
    assert!(silent * 2 < played, "{silent} of {played} steps in silence");
}

/// Plays the steps of configuration `n`.
fn compare(
    [seed, n, steps]: [u64; 3],
    processes: bool,
    dir: &Path,
    up: &Sender<()>,
) -> Result<Tally, String> {
    let mut rng = Rng::new(seed.wrapping_mul(1_000).wrapping_add(n));
    let case = Case::random(&mut rng, processes);
    let mark = format!("df{}x{n}", std::process::id() % 1_000_000);
    let twin = Twin::start(&case, dir, &mark);
    // Whoever waits may have been told to go on without us.
    let _ = up.send(());
    let mut twin = twin?;
    let mut history: Vec<String> = Vec::new();
    let (mut tally, begun) = (Tally::default(), Instant::now());
    let describe = |what: &str, history: &[String], twin: &Twin| {
        let from = history.len().saturating_sub(60);
        format!(
            "{what}\n{}\n{}\n{}",
            history[from..].join("\n"),
            case.text("DIR", &mark, ""),
            twin.logs()
        )
    };
    let running = twin
        .running()
        .map_err(|what| describe(&what, &history, &twin))?;
    let mut standing = case.standing(running);
    for step in 0..=steps {
        // The first look is at how they start.
        let actions = if step == 0 {
            Vec::new()
        } else {
            case.step(&mut rng, &mut standing)
        };
        history.push(format!("step {step}: {actions:?}"));
        if let Err(what) = twin.play(&actions) {
            return Err(describe(&what, &history, &twin));
        }
        match twin.settle() {
            Ok(said) => {
                tally.steps += 1;
                let words: Vec<_> = said.iter().map(|(_, [ours, _])| *ours).collect();
                standing.silent = words.contains(&None);
                tally.silent += u64::from(standing.silent);
                tally.priorities.extend(words.iter().flatten());
                history.push(format!("    {}", shown(&said)));
            }
            Err((what, said)) => {
                history.push(format!("    {what}: {}", shown(&said)));
                return Err(describe(&what, &history, &twin));
            }
        }
    }
    if std::env::var_os("DIFFERENTIAL_CASE").is_some() {
        println!("{}", describe("", &history, &twin));
    }
    tally.took = begun.elapsed().as_secs_f64();
    Ok(tally)
}

fn shown(said: &Said) -> String {
    let word = |p: Option<u8>| p.map_or_else(|| "silent".to_owned(), |p| p.to_string());
    let parts: Vec<String> = said
        .iter()
        .map(|(vrid, [ours, theirs])| {
            let (ours, theirs) = (word(*ours), word(*theirs));
            if ours == theirs {
                format!("VRID {vrid} {ours}")
            } else {
                format!("VRID {vrid} {} {ours}, {} {theirs}", NAMES[0], NAMES[1])
            }
        })
        .collect();
    parts.join("; ")
}
