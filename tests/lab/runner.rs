//! A test runner for tests that mostly wait: several at once, each in a thread of its own, every
//! skip accounted for.
//!
//! It understands cargo's usual arguments (filters, `--exact`, `--skip`, `--list`,
//! `--test-threads`, `--nocapture`) and ends with `N passed, N failed, N skipped`.

use super::take_notes;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::IsTerminal;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// One test.
pub struct Test {
    pub name: &'static str,
    pub body: fn(),
    /// Must run when all others have ended.
    pub last: bool,
}

/// Makes the list of tests from the functions' own names.
#[macro_export]
macro_rules! tests {
    ($($path:path),* $(,)?) => {
        vec![$($crate::support::runner::Test {
            name: stringify!($path),
            body: $path,
            last: false,
        }),*]
    };
}

struct Skip(String);

/// Ends the test as skipped. As root that is a failure unless `tests/policy/skips` lists it.
pub fn skip(reason: impl Into<String>) -> ! {
    panic::panic_any(Skip(reason.into()))
}

thread_local! {
    static SAID: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// How a test ended.
pub enum Outcome {
    Passed,
    Skipped(String),
    Failed(String, Vec<String>),
}

/// A bound for a single test, in seconds, unless `TEST_LIMIT` sets another: all waits inside are shorter.
const LIMIT: u64 = 150;

fn limit() -> Duration {
    let asked = std::env::var("TEST_LIMIT").ok();
    Duration::from_secs(asked.and_then(|text| text.parse().ok()).unwrap_or(LIMIT))
}

struct Args {
    filters: Vec<String>,
    skips: Vec<String>,
    exact: bool,
    list: bool,
    threads: usize,
    verbose: bool,
}

fn args(default_threads: usize) -> Args {
    let mut all = Args {
        filters: Vec::new(),
        skips: Vec::new(),
        exact: false,
        list: false,
        threads: default_threads,
        verbose: false,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let (key, joined) = match word.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (word.clone(), None),
        };
        match key.as_str() {
            "--exact" => all.exact = true,
            "--list" => all.list = true,
            "--nocapture" | "--show-output" => all.verbose = true,
            "--skip" => all.skips.extend(joined.or_else(|| words.next())),
            "--test-threads" => {
                let number = joined.or_else(|| words.next()).and_then(|n| n.parse().ok());
                all.threads = number.unwrap_or(all.threads).max(1);
            }
            "--format" | "--color" | "--logfile" | "-Z" => {
                if joined.is_none() {
                    words.next();
                }
            }
            flag if flag.starts_with('-') => {}
            _ => all.filters.push(word),
        }
    }
    all
}

impl Args {
    fn wants(&self, name: &str) -> bool {
        let hit = |f: &String| {
            if self.exact {
                name == f
            } else {
                name.contains(f.as_str())
            }
        };
        (self.filters.is_empty() || self.filters.iter().any(hit)) && !self.skips.iter().any(hit)
    }
}

/// The tests that may skip here, with their reasons: lines `name: reason`.
pub fn listed(policy: &str) -> Vec<(String, String)> {
    policy
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter_map(|line| line.split_once(": "))
        .map(|(name, reason)| (name.trim().to_owned(), reason.trim().to_owned()))
        .collect()
}

/// Runs the tests and says how it went. `policy` is the text of `tests/policy/skips`.
pub fn run(tests: Vec<Test>, default_threads: usize, policy: &str) -> ExitCode {
    let args = args(default_threads);
    let wanted: Vec<Test> = tests.into_iter().filter(|t| args.wants(t.name)).collect();
    if args.list {
        for test in &wanted {
            println!("{}: test", test.name);
        }
        return ExitCode::SUCCESS;
    }
    let root = nix::unistd::geteuid().is_root();
    let listed = listed(policy);
    quiet_panics();
    println!(
        "\nrunning {} tests, {} at a time",
        wanted.len(),
        args.threads
    );
    let start = Instant::now();
    let (last, first): (Vec<Test>, Vec<Test>) = wanted.into_iter().partition(|t| t.last);
    let mut tally = Tally::default();
    for batch in [first, last] {
        work(batch, &args, |name, took, outcome| {
            let outcome = judge(name, outcome, root, &listed);
            tally.count(name, took, outcome, args.verbose);
        });
    }
    for (name, why, notes) in &tally.failures {
        println!("\n---- {name}\n{why}");
        for note in notes {
            println!("    {note}");
        }
    }
    if !tally.failures.is_empty() {
        println!("\nfailures:");
        for (name, _, _) in &tally.failures {
            println!("    {name}");
        }
    }
    println!("\nfinished in {:.1} s", start.elapsed().as_secs_f64());
    println!(
        "{} passed, {} failed, {} skipped",
        tally.passed,
        tally.failures.len(),
        tally.skipped
    );
    if tally.failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// As root only listed tests may skip.
pub fn judge(name: &str, outcome: Outcome, root: bool, listed: &[(String, String)]) -> Outcome {
    match outcome {
        Outcome::Skipped(reason) if root && !listed.iter().any(|(n, _)| n == name) => {
            Outcome::Failed(
                format!("skipped ({reason}), but tests/policy/skips does not list it"),
                Vec::new(),
            )
        }
        other @ (Outcome::Skipped(_) | Outcome::Passed | Outcome::Failed(..)) => other,
    }
}

#[derive(Default)]
struct Tally {
    passed: usize,
    skipped: usize,
    failures: Vec<(&'static str, String, Vec<String>)>,
}

impl Tally {
    fn count(&mut self, name: &'static str, took: Duration, outcome: Outcome, verbose: bool) {
        let took = took.as_secs_f64();
        let (word, colour) = match &outcome {
            Outcome::Passed => ("ok".to_owned(), "32"),
            Outcome::Skipped(reason) => (format!("SKIPPED: {reason}"), "33"),
            Outcome::Failed(..) => ("FAILED".to_owned(), "31"),
        };
        if std::io::stdout().is_terminal() {
            println!("test {name} ... \x1b[{colour}m{word}\x1b[0m ({took:.1} s)");
        } else {
            println!("test {name} ... {word} ({took:.1} s)");
        }
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Skipped(_) => self.skipped += 1,
            Outcome::Failed(why, notes) => {
                if verbose {
                    println!("{why}");
                }
                self.failures.push((name, why, notes));
            }
        }
    }
}

fn work(batch: Vec<Test>, args: &Args, mut done: impl FnMut(&'static str, Duration, Outcome)) {
    let mut waiting: VecDeque<Test> = batch.into();
    let mut running: Vec<(&'static str, Instant)> = Vec::new();
    let (tx, rx) = mpsc::channel();
    let limit = limit();
    loop {
        while running.len() < args.threads {
            let Some(test) = waiting.pop_front() else {
                break;
            };
            running.push((test.name, Instant::now()));
            let tx = tx.clone();
            std::thread::Builder::new()
                .name(test.name.to_owned())
                .spawn(move || {
                    let outcome = attempt(test.body);
                    // The runner may have given up on us.
                    let _ = tx.send((test.name, outcome));
                })
                .expect("a thread for a test");
        }
        if running.is_empty() {
            return;
        }
        if let Ok((name, outcome)) = rx.recv_timeout(Duration::from_secs(1))
            && let Some(at) = running.iter().position(|(n, _)| *n == name)
        {
            let (name, since) = running.swap_remove(at);
            done(name, since.elapsed(), outcome);
        }
        running.retain(|(name, since)| {
            let over = since.elapsed() > limit;
            if over {
                let why = format!("still running after {} s", limit.as_secs());
                done(name, since.elapsed(), Outcome::Failed(why, Vec::new()));
            }
            !over
        });
    }
}

fn attempt(body: fn()) -> Outcome {
    let result = panic::catch_unwind(AssertUnwindSafe(body));
    let notes = take_notes();
    match result {
        Ok(()) => Outcome::Passed,
        Err(payload) => match payload.downcast::<Skip>() {
            Ok(skip) => Outcome::Skipped(skip.0),
            Err(_) => {
                let said = SAID.with_borrow_mut(Option::take);
                Outcome::Failed(said.unwrap_or_else(|| "panicked".to_owned()), notes)
            }
        },
    }
}

/// Keeps what a panic says for the report instead of printing it between other tests' lines.
fn quiet_panics() {
    panic::set_hook(Box::new(|info| {
        if info.payload().is::<Skip>() {
            return;
        }
        let text = info.to_string();
        SAID.with_borrow_mut(|said| {
            if said.is_none() {
                *said = Some(text);
            }
        });
    }));
}
