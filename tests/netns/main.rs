//! Real routers on a real kernel: Mainstay against itself, keepalived and FRR, in network
//! namespaces of the test's own making. Needs root; without it every test skips and says so.
#![allow(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)] // tests may read clocks
#![allow(clippy::unwrap_used)]

#[path = "../lab/mod.rs"]
mod support;

mod access;
mod control;
mod demo;
mod differential;
mod failures;
mod feed;
mod interop;
mod journal;
mod kernel;
mod last;
mod links;
mod notify;
mod operate;
mod programs;
mod protocol;
mod reload;
mod why;

use std::process::ExitCode;
use support::runner::{self, Test};

/// The tests mostly wait, so several labs run at once.
const AT_ONCE: usize = 7;

fn main() -> ExitCode {
    // The longest first.
    let mut tests: Vec<Test> = differential::tests();
    tests.extend(interop::tests());
    tests.extend(demo::tests());
    tests.extend(failures::tests());
    tests.extend(protocol::tests());
    tests.extend(kernel::tests());
    tests.extend(notify::tests());
    tests.extend(control::tests());
    tests.extend(operate::tests());
    tests.extend(journal::tests());
    tests.extend(access::tests());
    tests.extend(why::tests());
    tests.extend(reload::tests());
    tests.extend(programs::tests());
    tests.extend(links::tests());
    tests.extend(feed::tests());
    tests.extend(last::tests());
    runner::run(tests, AT_ONCE, include_str!("../policy/skips"))
}

/// Every test begins with this: who cannot make a namespace skips, loudly.
fn need_root() {
    if !nix::unistd::geteuid().is_root() {
        runner::skip("needs root");
    }
}

/// Skips where a program is not installed.
fn need_program(path: &str) {
    need_root();
    if !std::path::Path::new(path).exists() {
        runner::skip(format!("{path} is not installed (make deps)"));
    }
}
