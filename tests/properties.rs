//! Rules that hold whatever happens.

mod support;

use mainstay::core::fold::{Pull, effective, pull};
use mainstay::core::plan::{Step, diff};
use mainstay::model::priority::{Priority, Weight};
use mainstay::model::seen::Verdict;
use mainstay::model::view::Snapshot;
use mainstay::sim::bodies;
use mainstay::sim::reloads::reloads;
use mainstay::sim::rng::Rng;
use mainstay::sim::scenario::{check, router, settings};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;
use support::{Bench, Did};

/// 300 cases, or as many as PROPTEST_CASES says; failures are printed, not kept in files.
fn config() -> ProptestConfig {
    let mut config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 300;
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_operations_break_a_rule(seed in any::<u64>(), bytes in prop::collection::vec(any::<u8>(), 0..150)) {
        if let Err(report) = bodies::operations(seed, &bytes) {
            panic!("{report}");
        }
    }

    #[test]
    fn no_reloads_break_a_rule(seed in any::<u64>(), bytes in prop::collection::vec(any::<u8>(), 0..145)) {
        if let Err(report) = reloads(seed, &bytes) {
            panic!("{report}");
        }
    }

    #[test]
    fn a_run_is_a_pure_function_of_its_seed(
        seed in any::<u64>(),
        bytes in prop::collection::vec(any::<u8>(), 0..150),
    ) {
        prop_assert_eq!(bodies::story(seed, &bytes), bodies::story(seed, &bytes));
    }

    #[test]
    fn after_any_operations_peace_brings_one_active_router_and_it_is_the_best(
        seed in any::<u64>(),
        bytes in prop::collection::vec(any::<u8>(), 0..90),
    ) {
        if let Err(report) = bodies::convergence(seed, &bytes) {
            panic!("{report}");
        }
    }
}

/// One tracker as a router sees it: its weight here, `reverse`, and whether it is up, if it knows.
fn any_track() -> impl Strategy<Value = (i16, bool, Option<bool>)> {
    (
        prop_oneof![Just(0i16), -253i16..=253],
        any::<bool>(),
        any::<Option<bool>>(),
    )
}

proptest! {
    #[test]
    fn the_fold_is_what_brute_force_finds(
        base in 1u8..=255,
        tracks in prop::collection::vec(any_track(), 0..12),
    ) {
        // keepalived.conf(5) weight, restated: one sum over everything, clamped once.
        let mut sum = i64::from(base);
        let mut fault = false;
        for &(weight, reverse, up) in &tracks {
            let sign = if reverse { -1 } else { 1 };
            match (weight, up) {
                (0, None) => fault = true,
                (0, Some(up)) => fault |= up == reverse,
                (w, Some(true)) if w > 0 => sum += i64::from(w) * sign,
                (w, Some(false)) if w < 0 => sum += i64::from(w) * sign,
                _ => {}
            }
        }
        let expected = if base == 255 { 255 } else { sum.clamp(1, 254) };
        let pulls = tracks.iter().map(|&(weight, reverse, up)| {
            pull(Weight::new(weight).expect("in range"), reverse, up)
        });
        let standing = effective(Priority::new(base).expect("not 0"), pulls);
        prop_assert_eq!(i64::from(standing.priority.get()), expected);
        prop_assert_eq!(standing.fault, fault);
        if base != 255 {
            prop_assert_eq!(i64::from(standing.sum), sum, "the sum is kept unclamped");
        }
    }

    #[test]
    fn the_order_of_trackers_does_not_matter(
        base in 1u8..=254,
        points in prop::collection::vec(-253i16..=253, 0..12),
    ) {
        let base = Priority::new(base).expect("not 0");
        let forward = effective(base, points.iter().map(|&p| Pull::Points(p.into())));
        let backward = effective(base, points.iter().rev().map(|&p| Pull::Points(p.into())));
        prop_assert_eq!(forward, backward);
    }
}

/// keepalived's result counter as its documentation and behaviour have it: one integer from 0 to
/// rise + fall - 1, up from rise on, and a mark that nothing is known yet.
struct Counter {
    result: u32,
    rise: u32,
    fall: u32,
    init: bool,
}

impl Counter {
    fn new(rise: u32, fall: u32, init_fail: bool) -> Self {
        Self {
            // init_fail does what its manual says: down until `rise` successes.
            result: if init_fail { 0 } else { rise - 1 },
            rise,
            fall,
            init: !init_fail,
        }
    }

    fn record(&mut self, success: bool) {
        let max = self.rise + self.fall - 1;
        if success {
            if self.result < self.rise - 1 {
                self.result += 1;
            } else {
                self.result = max;
            }
        } else if self.result > self.rise {
            self.result -= 1;
        } else {
            self.result = 0;
        }
        self.init = false;
    }

    const fn up(&self) -> Option<bool> {
        if self.init {
            None
        } else {
            Some(self.result >= self.rise)
        }
    }

    fn shown(&self) -> String {
        match self.up() {
            None => "pending".to_owned(),
            Some(true) => format!("up {}/{}", self.result + 1 - self.rise, self.fall),
            Some(false) => format!("down {}/{}", self.result, self.rise),
        }
    }
}

/// Drives a real engine with a string of results and compares it with the counter after each.
fn drive(seed: u64) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let (rise, fall) = (1 + rng.below(5) as u32, 1 + rng.below(5) as u32);
    let init_fail = rng.permille(300);
    let mut script = check("chk")
        .rise(rise)
        .fall(fall)
        .timeout(Duration::from_millis(500));
    if init_fail {
        script = script.init_fail();
    }
    let mut bench = Bench::begun(settings([router("vi").track("chk", 10)], [script]));
    let mut model = Counter::new(rise, fall, init_fail);
    let mut string = String::new();
    for _ in 0..2 + rng.below(24) {
        // Every run begins a second after the one before.
        bench.wait(Duration::from_millis(10));
        let Some(run) = bench.run() else {
            return Err(format!("no run was started after \"{string}\""));
        };
        let (letter, verdict) = match rng.below(11) {
            0..=4 => ('S', Some(Verdict::Pass)),
            5 | 6 => ('f', Some(Verdict::Fail(1))),
            7 => ('n', Some(Verdict::NotStarted(2))),
            8 => ('t', None),
            9 => ('h', None),
            _ => ('l', Some(Verdict::Lost)),
        };
        string.push(letter);
        match verdict {
            Some(verdict) => {
                bench.done(run, verdict);
                if verdict != Verdict::Lost {
                    model.record(verdict == Verdict::Pass);
                }
            }
            None => {
                // What the runner never started is trouble of ours and no result.
                if letter == 't' {
                    bench.started(run);
                    model.record(false);
                }
                bench.wait(Duration::from_millis(500));
                // It was told to end, and says it went well: too late.
                bench.done(run, Verdict::Pass);
            }
        }
        let mut snapshot = Snapshot::default();
        bench.engine.fill(bench.now, &mut snapshot);
        let shown = &snapshot.scripts[0].counter;
        let priority = snapshot.instances[0].priority;
        let expected = if model.up() == Some(true) { 110 } else { 100 };
        if *shown != model.shown() || priority != expected {
            return Err(format!(
                "seed {seed}: rise {rise} fall {fall} init_fail {init_fail} \"{string}\": {shown} \
                 with priority {priority}, should be {} with {expected}",
                model.shown()
            ));
        }
        bench.did.retain(|did| !matches!(did, Did::StartRun(..)));
        bench.wait(Duration::from_secs(1).saturating_sub(Duration::from_millis(
            if verdict.is_none() { 510 } else { 10 },
        )));
    }
    Ok(())
}

#[test]
fn the_result_counter_is_keepalived_s_over_ten_thousand_strings() {
    for seed in 0..10_000 {
        if let Err(report) = drive(seed) {
            panic!("{report}");
        }
    }
}

#[test]
fn a_plan_between_equal_settings_is_empty() {
    let make = |priority| {
        settings(
            [router("vi").priority(priority).track("chk", 0)],
            [check("chk")],
        )
    };
    let plan = diff(&make(100), Arc::new(make(100)));
    let keeps = |steps: &[Step]| steps.iter().all(|step| matches!(step, Step::Keep { .. }));
    assert!(
        keeps(&plan.routers) && keeps(&plan.checks) && !plan.global,
        "{plan:?}"
    );
    let plan = diff(&make(100), Arc::new(make(101)));
    assert!(!keeps(&plan.routers) && keeps(&plan.checks), "{plan:?}");
}
