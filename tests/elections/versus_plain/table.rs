//! Figures of many runs, the plain protocol's beside those with handover.

use super::measure::Measured;
use super::*;
use std::fmt;

/// One column.
#[derive(Default)]
struct Column {
    two: Vec<Duration>,
    none: Vec<Duration>,
    /// The longest period with two masters, and in which world.
    longest: (Duration, u64),
    /// The longest time without one.
    missed: (Duration, u64),
    takeovers: usize,
    crossed: usize,
}

/// Figures of one kind of world.
pub(super) struct Table {
    title: String,
    plain: Column,
    handover: Column,
}

impl Column {
    fn add(&mut self, seed: u64, run: &Measured) {
        self.two.push(run.two);
        self.none.push(run.none());
        self.longest = self.longest.max((run.longest, seed));
        self.missed = self.missed.max((run.none(), seed));
        self.takeovers += run.takeovers();
        self.crossed += run.crossed();
    }
}

fn mean(times: &[Duration]) -> Duration {
    times.iter().sum::<Duration>() / times.len().max(1) as u32
}

/// The time that 99 of 100 runs stay below.
fn p99(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    let at = (sorted.len() * 99).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

impl Table {
    pub(super) fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            plain: Column::default(),
            handover: Column::default(),
        }
    }

    pub(super) fn add(&mut self, seed: u64, [plain, handover]: &[Measured; 2]) {
        self.plain.add(seed, plain);
        self.handover.add(seed, handover);
    }

    /// Mean and 99th percentile of the times with two masters and with none.
    fn figures(&self) -> [(&'static str, Duration, Duration); 4] {
        let (plain, handover) = (&self.plain, &self.handover);
        [
            ("two masters, mean", mean(&plain.two), mean(&handover.two)),
            ("two masters, p99", p99(&plain.two), p99(&handover.two)),
            ("no master, mean", mean(&plain.none), mean(&handover.none)),
            ("no master, p99", p99(&plain.none), p99(&handover.none)),
        ]
    }

    #[track_caller]
    pub(super) fn must_not_be_worse(&self) {
        for (what, plain, handover) in self.figures() {
            assert!(
                handover <= plain,
                "{what} per run: {handover:?} with handover, {plain:?} without\n{self}"
            );
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (plain, handover) = (&self.plain, &self.handover);
        let runs = plain.two.len();
        writeln!(f, "\n{:<34} {:>12} {:>12}", self.title, "plain", "handover")?;
        let mut row =
            |what: &str, a: String, b: String| writeln!(f, "  {what:<32} {a:>12} {b:>12}");
        row("runs", runs.to_string(), runs.to_string())?;
        let each = |n: usize| format!("{:.3}", n as f64 / runs.max(1) as f64);
        row(
            "takeovers per run",
            each(plain.takeovers),
            each(handover.takeovers),
        )?;
        let ms = |d: Duration| format!("{:.3} ms", d.as_secs_f64() * 1e3);
        for (what, a, b) in self.figures() {
            row(&format!("{what}, per run"), ms(a), ms(b))?;
        }
        for (what, a, b) in [
            (
                "two masters, longest period",
                plain.longest,
                handover.longest,
            ),
            ("no master, longest", plain.missed, handover.missed),
        ] {
            row(what, ms(a.0), ms(b.0))?;
            row("  in world", a.1.to_string(), b.1.to_string())?;
        }
        row(
            "periods a rise on its way made",
            plain.crossed.to_string(),
            handover.crossed.to_string(),
        )
    }
}
