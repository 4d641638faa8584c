//! What 10,000 instances cost: parsed, checked, proved and planned.
//!
//! `cargo bench --bench check` prints the figures and fails above half a second or 200 MiB.

use mainstay::conf::{self, Options};
use mainstay::core::plan;
use mainstay::model::settings::Settings;
use mainstay::proof::{Node, prove};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

const INSTANCES: usize = 10_000;

/// About 100,000 lines.
fn file(priority: u8) -> String {
    let mut text = String::from("vrrp_script chk {\n script \"/bin/true\"\n weight -20\n}\n");
    for i in 0..INSTANCES {
        let (vrid, link, octet) = (i % 250 + 1, i / 250, i % 250);
        let _ = writeln!(
            text,
            "vrrp_instance VI_{i} {{\n state BACKUP\n interface eth{link}\n virtual_router_id {vrid}\n \
             priority {priority}\n virtual_ipaddress {{\n  10.{link}.0.{octet}/24\n }}\n track_script {{\n  chk\n }}\n}}"
        );
    }
    text
}

/// The largest this process has been, in kB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(u64::MAX)
}

fn main() {
    let text = file(110);
    let start = Instant::now();
    let loaded = conf::load_str("a.conf", &text, &Options::default());
    let parsed = start.elapsed();
    let one = prove(&Node::of_file("a", &loaded).into_iter().collect::<Vec<_>>());
    let proved = start.elapsed();
    let settings = Arc::new(loaded.settings.clone().unwrap_or_default());
    let made = plan::diff(&Settings::default(), settings);
    let planned = start.elapsed();
    let peak = peak();
    println!(
        "{} lines: parsed and checked {parsed:?}, with proof {proved:?}, with plan {planned:?}, peak {peak} kB",
        text.lines().count(),
    );
    assert_eq!((made.tally().0, one.groups.len()), (INSTANCES, INSTANCES));
    assert!(planned < Duration::from_millis(500), "{planned:?}");
    assert!(peak < 200 << 10, "{peak} kB");

    let other = conf::load_str("b.conf", &file(100), &Options::default());
    let nodes = [("a", &loaded), ("b", &other)];
    let nodes: Vec<Node<'_>> = nodes
        .iter()
        .filter_map(|(name, loaded)| Node::of_file(name, loaded))
        .collect();
    let start = Instant::now();
    let both = prove(&nodes);
    println!("two such files proved in {:?}", start.elapsed());
    assert!(both.groups.len() == INSTANCES && both.groups.iter().all(|g| g.members.len() == 2));

    let small: String = text
        .lines()
        .take(14)
        .map(|line| format!("{line}\n"))
        .collect();
    let start = Instant::now();
    let loaded = conf::load_str("c.conf", &small, &Options::default());
    prove(&Node::of_file("c", &loaded).into_iter().collect::<Vec<_>>());
    println!("a file of one instance takes {:?}", start.elapsed());
    assert!(loaded.settings.is_some() && start.elapsed() < Duration::from_millis(10));
}
