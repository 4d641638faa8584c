//! The fast tracked handover against the plain protocol: the same worlds played twice, once with
//! `track_handover off` everywhere and once with handover.
//!
//! `HANDOVER_SEEDS` says how many worlds each test plays; `make soak` plays all 100,000. With
//! `--nocapture` each test prints its figures, and the timelines of the world `HANDOVER_WORLD`.

mod cast;
mod measure;
mod table;

use super::*;
use cast::{Case, Course};
use measure::Measured;
use table::Table;

/// Worlds of each kind in an ordinary test run.
const SEEDS: u64 = 500;
/// From so many worlds on, the averages say something.
const ENOUGH: u64 = 50_000;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

fn seeds() -> u64 {
    number("HANDOVER_SEEDS").unwrap_or(SEEDS)
}

/// Plays every world of a kind twice and holds each run to `judge`.
#[track_caller]
fn play(
    title: &str,
    first: u64,
    course: Course,
    judge: fn(&Measured) -> Result<(), String>,
) -> Table {
    let mut table = Table::new(title);
    let shown = number("HANDOVER_WORLD");
    let mut done = 0;
    let mut seed = first;
    while done < seeds() {
        let case = Case::new(seed, course);
        seed += 1;
        let runs = case.runs().unwrap_or_else(|report| panic!("{report}"));
        // Nobody serves yet, or two do: nothing to compare.
        let Some(runs) = runs else { continue };
        for (n, run) in runs.iter().enumerate() {
            if let Err(broken) = judge(run) {
                panic!("{}", case.report(n, &broken));
            }
        }
        if shown == Some(case.seed) {
            for n in 0..2 {
                println!("{}", case.report(n, title));
            }
        }
        table.add(case.seed, &runs);
        done += 1;
    }
    print!("{table}");
    table
}

/// Without loss: two serve at once for no longer than a way, somebody always serves, and who takes
/// over has been better for its Skew_Time.
fn clean(run: &Measured) -> Result<(), String> {
    run.none_is_zero()?;
    run.pairs_end_within_a_way()?;
    run.takeovers_are_due()
}

#[test]
fn without_loss_two_serve_for_a_way_at_most_and_somebody_always_does() {
    play("nothing lost, sustained falls", 0, Course::FALLS, clean);
}

#[test]
fn without_loss_a_dip_keeps_the_same_rules() {
    play("nothing lost, dips", 10_000_000, Course::DIPS, clean);
}

#[test]
fn with_light_loss_the_plain_protocol_is_no_better() {
    let course = Course::FALLS.losing(10..=50);
    let table = play(
        "1-5 % lost, sustained falls",
        20_000_000,
        course,
        Measured::pairs_end_by_loss,
    );
    if seeds() >= ENOUGH {
        table.must_not_be_worse();
    }
}

#[test]
fn with_heavy_loss_a_lost_advert_costs_an_interval_at_most() {
    let course = Course::FALLS.losing(50..=300);
    play(
        "5-30 % lost, sustained falls",
        30_000_000,
        course,
        Measured::pairs_end_by_loss,
    );
}

#[test]
fn in_dips_with_loss_a_lost_advert_costs_an_interval_at_most() {
    let light = Course::DIPS.losing(10..=50);
    play(
        "1-5 % lost, dips",
        40_000_000,
        light,
        Measured::pairs_end_by_loss,
    );
    let heavy = Course::DIPS.losing(50..=300);
    play(
        "5-30 % lost, dips",
        50_000_000,
        heavy,
        Measured::pairs_end_by_loss,
    );
}
