//! The demo does what it shows.

use crate::need_root;
use crate::support::runner::Test;
use crate::tests;
use std::process::Command;

pub(crate) fn tests() -> Vec<Test> {
    tests![the_demo_shows_takeover_recovery_and_kill]
}

/// The line of an act in the demo's closing summary.
fn act<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines()
        .find_map(|line| line.strip_prefix(&format!("  {name:<9} ")))
        .unwrap_or_else(|| panic!("no line for {name}:\n{text}"))
}

/// The number before `unit` after `words` in a line.
fn number(line: &str, words: &str, unit: &str) -> f64 {
    let rest = line
        .split_once(words)
        .unwrap_or_else(|| panic!("{words:?} is not in {line:?}"))
        .1;
    let word = rest.split_once(unit).map_or("", |(word, _)| word);
    word.trim()
        .parse()
        .unwrap_or_else(|_| panic!("{word:?} in {line:?} is no number"))
}

fn the_demo_shows_takeover_recovery_and_kill() {
    need_root();
    let own = std::env::current_exe().unwrap();
    let demo = own
        .parent()
        .and_then(|d| d.parent())
        .unwrap()
        .join("examples/demo");
    assert!(
        demo.exists(),
        "{} is not built (cargo build --example demo)",
        demo.display()
    );
    let out = Command::new("timeout")
        .args(["-k", "5", "80"])
        .arg(demo)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    let complaint = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{}\n{text}\n{complaint}", out.status);
    // Numbers of the capture: the protocol's time is at least three intervals of 0.5 s.
    for (name, who) in [
        ("election", 1),
        ("takeover", 2),
        ("recovery", 1),
        ("kill", 2),
        ("return", 1),
    ] {
        let line = act(&text, name);
        let took = number(line, &format!("r{who} advertised after "), " s");
        assert!((1.0..6.0).contains(&took), "{name}: {line}\n{text}");
    }
    assert!(
        number(act(&text, "goodbye"), "r2 advertised after ", " s") < 1.5,
        "{text}"
    );
    let lost = number(act(&text, "takeover"), "sent, ", " lost");
    assert!(
        lost <= 10.0,
        "the old master serves until the new one does: {text}"
    );
    // And the words of the daemons' own logs.
    for words in [
        "Entering MASTER STATE",
        "Entering BACKUP STATE",
        "Changing effective priority from 150 to 50",
    ] {
        assert!(text.contains(words), "{words:?} is missing:\n{text}");
    }
    assert!(!text.contains('\x1b'), "colours only on a terminal");
}
