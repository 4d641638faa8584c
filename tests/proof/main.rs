//! What the failover proof says is what the simulator plays.

mod bound;
mod command;
mod groups;

use groups::{Plan, Script, Setting, setting};
use mainstay::conf::{self, Options};
use mainstay::model::ids::Family;
use mainstay::model::ids::LinkId;
use mainstay::model::priority::Weight;
use mainstay::model::seen::TrackedSeen;
use mainstay::model::settings::{
    FileSettings, GroupSettings, Handover, LinkTrackSettings, NamedTrackSettings, NotifySettings,
    ParamMatch, ProcessTrackSettings, Settings,
};
use mainstay::proof::{Case, Failure, Kind, Node, Proof, prove};
use mainstay::sim::lan::Quality;
use mainstay::sim::programs::Behaviour;
use mainstay::sim::scenario::{ETH0, Event, Scenario, check, host, own_v4, router, settings, vip};
use mainstay::sim::world::World;
use proptest::prelude::*;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const ETH1: LinkId = LinkId(3);
const VRID: u8 = 51;

fn proof(all: &[Settings]) -> Proof {
    let nodes: Vec<Node<'_>> = all
        .iter()
        .enumerate()
        .map(|(i, s)| Node::of_settings(&format!("r{i}"), s))
        .collect();
    prove(&nodes)
}

/// Cases played, and those of them in which chance decides nothing.
static PLAYED: AtomicU32 = AtomicU32::new(0);
static CERTAIN: AtomicU32 = AtomicU32::new(0);

#[test]
fn every_predicted_winner_is_what_the_simulator_plays() {
    let mut config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 500;
    }
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let outcome = runner.run(&setting(), |setting| {
        let all = setting.settings();
        let proof = proof(&all);
        prop_assert_eq!(proof.groups.len(), 1);
        let group = &proof.groups[0];
        prop_assert_eq!(group.unproved, None);
        for case in &group.cases {
            PLAYED.fetch_add(1, Ordering::Relaxed);
            if case.masters.len() < 2 {
                CERTAIN.fetch_add(1, Ordering::Relaxed);
            }
            if let Err(why) = setting.play(&all, case) {
                return Err(TestCaseError::fail(format!("{why}\n{}", proof.table())));
            }
        }
        Ok(())
    });
    if let Err(why) = outcome {
        panic!("{why}");
    }
    let (played, certain) = (
        PLAYED.load(Ordering::Relaxed),
        CERTAIN.load(Ordering::Relaxed),
    );
    println!("{played} cases played, {certain} of them certain");
    assert!(
        certain * 10 > played * 8,
        "{certain} of {played}: a proof that leaves so much to chance proves little"
    );
}

/// The tracker that a finding speaks of: `... when NAME fails ...`.
fn named_in(text: &str) -> &str {
    let (_, rest) = text.split_once("when ").expect("it says when");
    let rest = rest.strip_prefix("only ").unwrap_or(rest);
    rest.split(' ').next().expect("a name")
}

impl Setting {
    fn tracker(&self, host: usize, name: &str, well: bool) -> Event {
        match name {
            "eth1" => Event::Plug {
                host,
                link: ETH1,
                up: well,
            },
            "f" => Event::Tracked {
                host,
                seen: self.file_seen(host, well),
            },
            "p" => Event::Tracked {
                host,
                seen: self.process_seen(host, well),
            },
            script => {
                let at = script.trim_start_matches('s').parse().expect("a number");
                self.behave(host, at, well)
            }
        }
    }

    fn tracked(&self, host: usize) -> Vec<String> {
        let plan = &self.routers[host];
        let mut names: Vec<String> = (0..plan.scripts.len()).map(|at| format!("s{at}")).collect();
        if !self.text {
            names.extend(plan.link.map(|_| "eth1".to_owned()));
            names.extend(plan.file.map(|_| "f".to_owned()));
            names.extend(plan.process.map(|_| "p".to_owned()));
        }
        names
    }

    /// Everything else as `chance` has it: does this tracker move the address off its node and back?
    fn moves(
        &self,
        all: &[Settings],
        host: usize,
        name: &str,
        chance: u64,
    ) -> Result<bool, String> {
        let mut world = self.world(all);
        let mut chance = chance;
        let mut coin = || {
            chance = chance
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            chance >> 62 == 0
        };
        world.run_for(Duration::from_millis(2));
        for other in 0..self.routers.len() {
            if other != host && coin() {
                world.now_do(Event::Kill { host: other });
            }
            for tracker in self.tracked(other) {
                if (other, tracker.as_str()) != (host, name) && coin() {
                    world.now_do(self.tracker(other, &tracker, false));
                }
            }
        }
        world.run_for(self.rest());
        world.verdict()?;
        if world.serving(0, Family::V4, VRID) != [host] {
            return Ok(false);
        }
        world.now_do(self.tracker(host, name, false));
        world.run_for(self.rest());
        world.verdict()?;
        Ok(world.serving(0, Family::V4, VRID) != [host])
    }
}

#[test]
fn a_weight_said_never_to_move_the_address_never_does() {
    let mut config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 120;
    }
    let found = AtomicU32::new(0);
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let outcome = runner.run(&setting(), |setting| {
        let all = setting.settings();
        for (host, list) in proof(&all).findings.iter().enumerate() {
            for finding in list.iter().filter(|d| d.code == "weight-too-small") {
                found.fetch_add(1, Ordering::Relaxed);
                let name = named_in(&finding.text);
                for round in 0..4 {
                    match setting.moves(&all, host, name, setting.seed ^ round) {
                        Ok(false) => {}
                        Ok(true) => {
                            let text = &finding.text;
                            return Err(TestCaseError::fail(format!(
                                "r{host} round {round}: {text}"
                            )));
                        }
                        Err(why) => return Err(TestCaseError::fail(why)),
                    }
                }
            }
        }
        Ok(())
    });
    if let Err(why) = outcome {
        panic!("{why}");
    }
    let found = found.into_inner();
    println!("{found} weights tried");
    assert!(found > 20, "{found} findings are too few to say anything");
}

/// Two routers that track one check each.
fn two(priority: (u8, u8), weights: (i16, i16)) -> Setting {
    let plan = |priority, weight| Plan {
        priority,
        master: false,
        nopreempt: false,
        delay: false,
        adver: 100,
        adverts: 3,
        scripts: vec![Script {
            weight,
            reverse: false,
            rise: 1,
            fall: 1,
            init_fail: false,
        }],
        link: None,
        file: None,
        process: None,
        always: false,
    };
    Setting {
        v2: false,
        unicast: false,
        same_adver: true,
        text: true,
        routers: vec![plan(priority.0, weights.0), plan(priority.1, weights.1)],
        seed: 1,
    }
}

#[test]
fn the_weight_that_is_advised_moves_the_address_and_one_less_does_not() {
    let mut tried = 0;
    for (high, low) in [(101, 90), (150, 100), (254, 1 + 20), (100, 99), (60, 30)] {
        for weights in [(-2, 0), (-1, -1), (2, 2), (7, 7)] {
            let setting = two((high, low), weights);
            let all = setting.settings();
            let found = proof(&all).findings;
            let Some(finding) = found[0].iter().find(|d| d.code == "weight-too-small") else {
                continue;
            };
            let help = finding.help.as_deref().expect("a way out");
            let (_, advice) = help.split_once("use at least weight ").expect("a number");
            let advice = advice.split([' ', ',']).next().expect("a word");
            let advised: i16 = advice.parse().expect("a number");
            let both = help.contains("on all routers");
            for (less, expected) in [(0, true), (1, false)] {
                let weight = advised - less * advised.signum();
                let other = if both { weight } else { weights.1 };
                let setting = two((high, low), (weight, other));
                let all = setting.settings();
                let case = proof(&all).groups[0].cases[1].clone();
                let moved = case.masters == [1];
                assert_eq!(
                    moved, expected,
                    "{high}/{low} {weights:?}: {help}: {weight}"
                );
                setting.play(&all, &case).expect("as foreseen");
            }
            tried += 1;
        }
    }
    assert!(tried >= 12, "{tried} advices tried");
}
