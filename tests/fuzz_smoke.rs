//! What the fuzzers would call, over a small corpus, over changes of it, and over random bytes.
//!
//! `FUZZ_TIMES` multiplies the number of inputs beside the corpus; the same seed (`FUZZ_SEED`) gives
//! the same inputs.
#![allow(clippy::unwrap_used)]

#[path = "fuzz/bodies.rs"]
mod bodies;

use bodies::{Body, TARGETS};
use mainstay::sim::rng::Rng;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

/// Inputs beside the corpus: so many of the fast targets, and of those that play whole worlds.
const RUNS: [u64; 2] = [800, 20];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The corpus of a target, in the order of its names.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir.join(target))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|f| std::fs::read(f).unwrap()).collect()
}

fn byte(rng: &mut Rng) -> u8 {
    u8::try_from(rng.below(256)).unwrap()
}

fn index(rng: &mut Rng, below: usize) -> usize {
    usize::try_from(rng.below(below.max(1) as u64)).unwrap()
}

/// A few changes of an input: bytes and stretches changed, left out, doubled, or taken from another.
fn changed(rng: &mut Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus[index(rng, corpus.len())].clone();
    for _ in 0..=rng.below(4) {
        let from = index(rng, bytes.len());
        let to = (from + 1 + index(rng, 24)).min(bytes.len());
        match rng.below(6) {
            0 | 1 if !bytes.is_empty() => bytes[from] = byte(rng),
            2 => bytes.truncate(from),
            3 if from < to => {
                bytes.drain(from..to);
            }
            4 if from < to => {
                let again = bytes[from..to].to_vec();
                bytes.splice(from..from, again);
            }
            _ => {
                let other = &corpus[index(rng, corpus.len())];
                let start = index(rng, other.len());
                let end = (start + 1 + index(rng, 200)).min(other.len());
                bytes.splice(from..from, other[start..end].iter().copied());
            }
        }
    }
    bytes
}

fn play(target: &str, body: Body, bytes: &[u8]) {
    let report = match catch_unwind(AssertUnwindSafe(|| body(bytes))) {
        Ok(Ok(())) => return,
        Ok(Err(report)) => report,
        Err(_) => "it panicked".to_owned(),
    };
    let file = std::env::temp_dir().join(format!("mainstay-fuzz-{target}"));
    let kept = match std::fs::write(&file, bytes) {
        Ok(()) => format!("the input is kept in {}", file.display()),
        Err(_) => format!("the input: {bytes:?}"),
    };
    panic!("{target}: {report}\n{kept}");
}

fn smoke(target: &str) {
    let (_, body, most) = *TARGETS.iter().find(|(name, ..)| *name == target).unwrap();
    let corpus = corpus(target);
    assert!(corpus.len() >= 3, "{target} has a corpus");
    for bytes in &corpus {
        play(target, body, bytes);
    }
    let usual = RUNS[usize::from(most < 1_000)];
    let mut rng = Rng::new(number("FUZZ_SEED").unwrap_or(1));
    for run in 0..usual * number("FUZZ_TIMES").unwrap_or(1) {
        let mut bytes = if run % 4 == 3 {
            let length = index(&mut rng, most);
            (0..length).map(|_| byte(&mut rng)).collect()
        } else {
            changed(&mut rng, &corpus)
        };
        bytes.truncate(most);
        play(target, body, &bytes);
    }
}

#[test]
fn adverts() {
    smoke("advert");
}

#[test]
fn configurations() {
    smoke("conf");
}

#[test]
fn control_frames() {
    smoke("ctl_frame");
}

#[test]
fn operations_on_engines() {
    smoke("engine_ops");
}

#[test]
fn engines_that_must_agree() {
    smoke("two_engines");
}
