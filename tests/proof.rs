//! What the failover proof says is what the simulator plays.

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

/// One tracked script as generated.
#[derive(Clone, Debug)]
struct Script {
    weight: i16,
    reverse: bool,
    rise: u32,
    fall: u32,
    init_fail: bool,
}

/// One router as generated.
#[derive(Clone, Debug)]
struct Plan {
    priority: u8,
    master: bool,
    nopreempt: bool,
    delay: bool,
    adver: u64,
    adverts: u8,
    scripts: Vec<Script>,
    /// Weights of a second interface, a file and a process.
    link: Option<i16>,
    file: Option<(i16, bool)>,
    process: Option<(i16, bool)>,
    always: bool,
}

/// A whole group as generated.
#[derive(Clone, Debug)]
struct Setting {
    v2: bool,
    unicast: bool,
    same_adver: bool,
    /// Through the text of a file instead of settings made by hand.
    text: bool,
    routers: Vec<Plan>,
    seed: u64,
}

fn weights() -> impl Strategy<Value = i16> {
    prop_oneof![
        3 => Just(0),
        4 => -12i16..=12,
        2 => Just(-60),
        1 => Just(60),
        1 => Just(253),
        1 => Just(-253),
    ]
}

fn script() -> impl Strategy<Value = Script> {
    (
        weights(),
        prop::bool::weighted(0.2),
        1u32..=3,
        1u32..=3,
        prop::bool::weighted(0.15),
    )
        .prop_map(|(weight, reverse, rise, fall, init_fail)| Script {
            weight,
            reverse,
            rise,
            fall,
            init_fail,
        })
}

fn plan() -> impl Strategy<Value = Plan> {
    let priority = prop_oneof![
        6 => 95u8..=105,
        3 => prop::sample::select(vec![1u8, 2, 50, 150, 200, 253, 254]),
        1 => Just(255u8),
    ];
    (
        priority,
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.15),
        prop::sample::select(vec![50u64, 100, 200]),
        prop_oneof![4 => Just(3u8), 1 => 1u8..=5],
        prop::collection::vec(script(), 0..=2),
        prop::option::weighted(0.25, weights()),
        prop::option::weighted(0.25, (weights(), any::<bool>())),
        prop::option::weighted(0.25, (weights(), any::<bool>())),
        prop::bool::weighted(0.2),
    )
        .prop_map(
            |(
                priority,
                master,
                nopreempt,
                delay,
                adver,
                adverts,
                scripts,
                link,
                file,
                process,
                always,
            )| Plan {
                priority,
                master,
                nopreempt,
                delay,
                adver,
                adverts,
                scripts,
                link,
                file,
                process,
                always,
            },
        )
}

fn setting() -> impl Strategy<Value = Setting> {
    (
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.7),
        any::<bool>(),
        prop::collection::vec(plan(), 2..=4),
        any::<u64>(),
    )
        .prop_map(|(v2, unicast, same_adver, text, routers, seed)| Setting {
            v2,
            unicast,
            same_adver,
            text,
            routers,
            seed,
        })
}

impl Setting {
    fn adver(&self, index: usize) -> Duration {
        let of = if self.same_adver { 0 } else { index };
        if self.v2 {
            Duration::from_secs(1)
        } else {
            Duration::from_millis(self.routers[of].adver)
        }
    }

    fn peers(&self, index: usize) -> Vec<IpAddr> {
        let others = (0..self.routers.len()).filter(|i| *i != index);
        others.map(|i| own_v4(i, 0)).collect()
    }

    /// The file of one router.
    fn file(&self, index: usize) -> String {
        let plan = &self.routers[index];
        let mut text = String::new();
        for (at, s) in plan.scripts.iter().enumerate() {
            let reverse = if s.reverse { " reverse" } else { "" };
            let _ = writeln!(
                text,
                "vrrp_script s{at} {{\n script \"/bin/s{at}\"\n interval 0.1\n rise {}\n fall {}\n weight {}{reverse}",
                s.rise, s.fall, s.weight
            );
            text.push_str(if s.init_fail {
                " init_fail\n}\n"
            } else {
                "}\n"
            });
        }
        let word = if plan.master { "MASTER" } else { "BACKUP" };
        let version = if self.v2 { 2 } else { 3 };
        let _ = writeln!(
            text,
            "vrrp_instance V {{\n state {word}\n interface eth0\n virtual_router_id {VRID}\n priority {}\n version {version}\n \
             advert_int {}\n down_timer_adverts {}\n virtual_ipaddress {{\n  10.0.0.200/24\n }}",
            plan.priority,
            self.adver(index).as_secs_f64(),
            plan.adverts,
        );
        if plan.nopreempt {
            text.push_str(" nopreempt\n");
        }
        if plan.delay {
            text.push_str(" preempt_delay 1\n");
        }
        if self.unicast {
            let _ = writeln!(
                text,
                " unicast_src_ip {}\n unicast_peer {{",
                own_v4(index, 0)
            );
            for peer in self.peers(index) {
                let _ = writeln!(text, "  {peer}");
            }
            text.push_str(" }\n");
        }
        text.push_str(" track_script {\n");
        for at in 0..plan.scripts.len() {
            let _ = writeln!(text, "  s{at}");
        }
        text.push_str(" }\n}\n");
        text
    }

    fn by_hand(&self, index: usize) -> Settings {
        let plan = &self.routers[index];
        let mut r = router("V").priority(plan.priority).adver(self.adver(index));
        for (at, s) in plan.scripts.iter().enumerate() {
            r = r.track_as(&format!("s{at}"), s.weight, s.reverse);
        }
        if self.v2 {
            r = r.v2();
        }
        if self.unicast {
            r = r.unicast(own_v4(index, 0), &self.peers(index));
        }
        r = r.with(|r| {
            r.start_active = plan.master;
            r.preempt = !plan.nopreempt;
            r.down_adverts = plan.adverts;
            if plan.delay && r.preempt {
                r.preempt_delay = Duration::from_secs(1);
            }
            if plan.always {
                r.handover = Handover::Always;
            }
            r.track_links = plan
                .link
                .and_then(Weight::new)
                .map(|weight| LinkTrackSettings {
                    interface: "eth1".into(),
                    weight,
                    reverse: false,
                })
                .into_iter()
                .collect();
            let named = |name: &str, tracked: Option<(i16, bool)>| {
                let one = tracked.map(|(weight, reverse)| NamedTrackSettings {
                    name: name.into(),
                    weight,
                    reverse,
                });
                one.into_iter().collect()
            };
            r.track_files = named("f", plan.file);
            r.track_processes = named("p", plan.process);
        });
        let checks = plan.scripts.iter().enumerate().map(|(at, s)| {
            let mut c = check(&format!("s{at}"))
                .interval(Duration::from_millis(100))
                .timeout(Duration::from_millis(100))
                .rise(s.rise)
                .fall(s.fall);
            if s.init_fail {
                c = c.init_fail();
            }
            c
        });
        let mut made = settings([r], checks);
        made.files = vec![Arc::new(FileSettings {
            name: "f".into(),
            path: "/run/f".into(),
            weight: 0,
            reverse: false,
            init: None,
            overwrite: false,
        })];
        made.processes = vec![Arc::new(ProcessTrackSettings {
            name: "p".into(),
            process: "p".into(),
            params: Vec::new(),
            matching: ParamMatch::None,
            full_command: false,
            weight: 0,
            reverse: false,
            quorum: 1,
            quorum_max: None,
            fork_delay: Duration::ZERO,
            terminate_delay: Duration::ZERO,
        })];
        made
    }

    fn settings(&self) -> Vec<Settings> {
        (0..self.routers.len())
            .map(|index| {
                if !self.text {
                    return self.by_hand(index);
                }
                let file = self.file(index);
                let loaded = conf::load_str("r", &file, &Options::default());
                let said = conf::render(&loaded.diagnostics, &loaded.sources, false);
                loaded.settings.unwrap_or_else(|| panic!("{file}\n{said}"))
            })
            .collect()
    }

    /// Longer than anything takes to come to rest.
    fn rest(&self) -> Duration {
        let advers = (0..self.routers.len()).map(|i| self.adver(i));
        let adver = advers.max().unwrap_or_default();
        let adverts = self.routers.iter().map(|r| u32::from(r.adverts)).max();
        let delay = self.routers.iter().any(|r| r.delay);
        adver * (adverts.unwrap_or(3) + 1) * 2
            + Duration::from_millis(1000)
            + Duration::from_millis(if delay { 1500 } else { 0 })
    }

    fn world(&self, all: &[Settings]) -> World {
        let mut scenario = Scenario::new(self.seed).lan(Quality::GOOD);
        for (index, settings) in all.iter().enumerate() {
            scenario = scenario.host(host(&format!("r{index}")).settings(settings.clone()));
        }
        let mut world = scenario.world();
        world.mute();
        for (index, plan) in self.routers.iter().enumerate() {
            for at in 0..plan.scripts.len() {
                world.now_do(self.behave(index, at, true));
            }
            for seen in [self.file_seen(index, true), self.process_seen(index, true)] {
                let event = Event::Tracked { host: index, seen };
                world.after(Duration::from_millis(1), event);
            }
        }
        world
    }

    /// A number that does no harm, or one that does (keepalived.conf(5) track_file).
    fn file_seen(&self, host: usize, well: bool) -> TrackedSeen {
        let value = match self.routers[host].file {
            Some((0, reverse)) => i32::from(well == reverse),
            Some((weight, reverse)) if !well => {
                if (weight > 0) == reverse {
                    1
                } else {
                    -1
                }
            }
            Some(_) | None => 0,
        };
        TrackedSeen::File {
            name: "f".into(),
            value,
        }
    }

    fn process_seen(&self, host: usize, well: bool) -> TrackedSeen {
        let reverse = self.routers[host].process.is_some_and(|(_, r)| r);
        TrackedSeen::Process {
            name: "p".into(),
            up: well != reverse,
        }
    }

    /// A script is well while it passes, a reversed one while it fails.
    fn behave(&self, host: usize, at: usize, well: bool) -> Event {
        let passes = well != self.routers[host].scripts[at].reverse;
        Event::Script {
            host,
            script: format!("s{at}").into(),
            behaviour: if passes {
                Behaviour::PASSES
            } else {
                Behaviour::FAILS
            },
        }
    }

    fn let_fail(&self, failure: &Failure) -> Option<Event> {
        match failure {
            Failure::Nothing => None,
            Failure::Node { member } => {
                let (host, link) = (*member, ETH0);
                Some(if self.seed.is_multiple_of(2) {
                    Event::Kill { host }
                } else {
                    Event::Plug {
                        host,
                        link,
                        up: false,
                    }
                })
            }
            Failure::Tracker { member, kind, name } => {
                let host = *member;
                Some(match kind {
                    Kind::Script => {
                        let at = name.trim_start_matches('s').parse().expect("a number");
                        self.behave(host, at, false)
                    }
                    Kind::Interface => Event::Plug {
                        host,
                        link: ETH1,
                        up: false,
                    },
                    Kind::File => {
                        let seen = self.file_seen(host, false);
                        Event::Tracked { host, seen }
                    }
                    Kind::Process => {
                        let seen = self.process_seen(host, false);
                        Event::Tracked { host, seen }
                    }
                })
            }
        }
    }

    fn play(&self, all: &[Settings], case: &Case) -> Result<(), String> {
        let mut world = self.world(all);
        world.run_for(self.rest());
        let before = world.serving(0, Family::V4, VRID).to_vec();
        if let Some(event) = self.let_fail(&case.failure) {
            world.now_do(event);
            world.run_for(self.rest());
        }
        world.verdict()?;
        let serving = world.serving(0, Family::V4, VRID);
        let foreseen = match serving {
            [] => case.masters.is_empty(),
            [one] => case.masters.contains(one),
            _ => false,
        };
        if foreseen {
            return Ok(());
        }
        Err(format!(
            "{}: foreseen {:?} with {:?}, but {before:?} served and now {serving:?}",
            case.text, case.masters, case.priorities
        ))
    }
}

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

/// Two instances of a node in one sync group, and what each tracks.
type Bound = [(u8, bool, Vec<(usize, i16)>); 2];

fn bound() -> impl Strategy<Value = Bound> {
    let one = || {
        let weight = prop_oneof![2 => Just(0i16), 3 => -3i16..=3];
        (
            90u8..=110,
            prop::bool::weighted(0.2),
            prop::collection::btree_map(0usize..3, weight, 0..=2)
                .prop_map(|tracks| tracks.into_iter().collect()),
        )
    };
    ([one(), one()], prop::bool::weighted(0.7)).prop_map(|(mut both, same)| {
        if same {
            both[1].0 = both[0].0;
        }
        both
    })
}

fn bound_settings((nodes, grouped): &(Vec<Bound>, bool)) -> Vec<Settings> {
    let node = |bound: &Bound, grouped: bool| {
        let instance = |at: usize| {
            let (priority, nopreempt, tracks) = &bound[at];
            let mut r = match at {
                0 => router("A"),
                _ => router("B").vrid(52).on("eth1").vips([vip([10, 0, 1, 200])]),
            };
            r = r.priority(*priority).adver(Duration::from_millis(200));
            if *nopreempt {
                r = r.nopreempt();
            }
            for (check, weight) in tracks {
                r = r.track(&format!("s{check}"), *weight);
            }
            r
        };
        let checks = (0..3).map(|at| {
            let short = Duration::from_millis(100);
            check(&format!("s{at}")).interval(short).timeout(short)
        });
        let mut made = settings([instance(0), instance(1)], checks);
        if grouped {
            made.groups = vec![Arc::new(GroupSettings {
                name: "G".into(),
                members: vec!["A".into(), "B".into()],
                notify: NotifySettings::default(),
            })];
        }
        made
    };
    nodes.iter().map(|bound| node(bound, *grouped)).collect()
}

fn play_bound(all: &[Settings], seed: u64, vrid: u8, case: &Case) -> Result<(), String> {
    let mut scenario = Scenario::new(seed).lan(Quality::GOOD);
    for (index, settings) in all.iter().enumerate() {
        scenario = scenario.host(host(&format!("r{index}")).settings(settings.clone()));
    }
    let mut world = scenario.world();
    world.mute();
    world.run_for(Duration::from_secs(6));
    let lan = usize::from(vrid - 51);
    let before = world.serving(lan, Family::V4, vrid).to_vec();
    let event = match &case.failure {
        Failure::Nothing => None,
        Failure::Node { member } => Some(Event::Kill { host: *member }),
        Failure::Tracker { member, kind, name } => Some(match kind {
            Kind::Script => Event::Script {
                host: *member,
                script: name.clone(),
                behaviour: Behaviour::FAILS,
            },
            Kind::Interface => Event::Plug {
                host: *member,
                link: if **name == *"eth0" { ETH0 } else { ETH1 },
                up: false,
            },
            Kind::File | Kind::Process => return Err("none is generated".to_owned()),
        }),
    };
    if let Some(event) = event {
        world.now_do(event);
        world.run_for(Duration::from_secs(6));
    }
    world.verdict()?;
    let foreseen = case.unsettled
        || match world.serving(lan, Family::V4, vrid) {
            [] => case.masters.is_empty(),
            [one] => case.masters.contains(one),
            _ => false,
        };
    let now = world.serving(lan, Family::V4, vrid);
    if foreseen {
        Ok(())
    } else {
        Err(format!(
            "VRID {vrid}, {}: {before:?} served and now {now:?}",
            case.text
        ))
    }
}

#[test]
fn members_of_sync_groups_move_together_as_foreseen() {
    let mut config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 120;
    }
    let setting =
        (2usize..=3).prop_flat_map(|n| (prop::collection::vec(bound(), n), any::<bool>()));
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let (played, certain) = (AtomicU32::new(0), AtomicU32::new(0));
    let outcome = runner.run(&(setting, any::<u64>()), |(setting, seed)| {
        let all = bound_settings(&setting);
        let proof = proof(&all);
        prop_assert_eq!(proof.groups.len(), 2);
        for group in &proof.groups {
            for case in &group.cases {
                played.fetch_add(1, Ordering::Relaxed);
                let open = case.unsettled || case.masters.len() > 1;
                certain.fetch_add(u32::from(!open), Ordering::Relaxed);
                if let Err(why) = play_bound(&all, seed, group.vrid, case) {
                    return Err(TestCaseError::fail(format!("{why}\n{}", proof.table())));
                }
            }
        }
        Ok(())
    });
    if let Err(why) = outcome {
        panic!("{why}");
    }
    let (played, certain) = (played.into_inner(), certain.into_inner());
    println!("{played} cases of sync groups played, {certain} of them certain");
    assert!(certain * 10 > played * 4, "{certain} of {played}");
}

mod command {
    //! The same from the command line.

    use std::fs;
    use std::path::Path;
    use std::process::{Command, Output};

    fn check(words: &[&str], dir: &Path) -> Output {
        Command::new(env!("CARGO_BIN_EXE_mainstay"))
            .arg("check")
            .args(words)
            .current_dir(dir)
            .output()
            .expect("it starts")
    }

    fn file(priority: u8, weight: i16, interface: &str, script: &str) -> String {
        format!(
            "global_defs {{\n enable_script_security\n script_user root\n}}\nvrrp_script chk {{\n script {script}\n \
             weight {weight}\n}}\nvrrp_instance VI_1 {{\n interface {interface}\n virtual_router_id 51\n priority \
             {priority}\n virtual_ipaddress {{\n  10.0.0.9/24\n }}\n track_script {{\n  chk\n }}\n}}\n"
        )
    }

    #[test]
    fn several_files_are_one_group_and_the_table_says_who_serves() {
        let dir = tempfile::tempdir().expect("a folder");
        for (name, text) in [
            ("r1", file(101, -2, "eth0", "/bin/true")),
            ("r2", file(90, -2, "ens3", "/bin/true")),
        ] {
            fs::create_dir(dir.path().join(name)).expect("a folder");
            fs::write(dir.path().join(name).join("keepalived.conf"), text).expect("written");
        }
        let files = ["r1/keepalived.conf", "r2/keepalived.conf"];
        let output = check(&files, dir.path());
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("--> r1/keepalived.conf:7:2"), "{text}");
        assert!(
            text.contains("use at least weight -12 (101 to 89)"),
            "{text}"
        );
        let table = "\
VI_1: VRID 51 IPv4, version 2 on 2 routers
  router  interface  base    reach
  r1      eth0        101  99..101
  r2      ens3         90   88..90

  when                     r1  r2  master
  all is well             101  90  r1
  r1: chk fails            99  90  r1
  r2: chk fails           101  88  r1
  r1 or its eth0 is gone    -  90  r2
  r2 or its ens3 is gone  101   -  r1
";
        assert!(text.ends_with(table), "{text}");

        let lenient = check(&["--lenient", files[0], files[1]], dir.path());
        assert_eq!(lenient.status.code(), Some(0));
        let alone = check(&files[..1], dir.path());
        assert_eq!(alone.status.code(), Some(0), "one file alone gets notes");
        assert!(!String::from_utf8_lossy(&alone.stdout).contains("when"));
        let alone = check(&["--proof", files[0]], dir.path());
        let text = String::from_utf8_lossy(&alone.stdout).into_owned();
        assert!(text.contains("keepalived: chk fails"), "{text}");
    }

    #[test]
    fn json_holds_the_proof_by_node_and_case() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(
            dir.path().join("a.conf"),
            file(101, -20, "eth0", "/bin/true"),
        )
        .expect("written");
        fs::write(dir.path().join("b.conf"), file(90, 0, "eth0", "/bin/true")).expect("written");
        let output = check(&["--json", "a.conf", "b.conf"], dir.path());
        assert_eq!(output.status.code(), Some(0));
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let proof = &value["proof"];
        assert_eq!(proof["nodes"], serde_json::json!(["a", "b"]));
        let cases = proof["groups"][0]["cases"].as_array().expect("cases");
        assert_eq!(cases[0]["failure"]["what"], "nothing");
        assert_eq!(cases[0]["masters"], serde_json::json!([0]));
        let expected = serde_json::json!({
            "failure": {"what": "tracker", "member": 0, "kind": "script", "name": "chk"},
            "text": "a: chk fails", "priorities": [81, 90], "masters": [1], "unsettled": false,
        });
        assert_eq!(cases[1], expected);
        assert_eq!(cases[2]["priorities"], serde_json::json!([101, null]));
    }

    #[test]
    fn interfaces_and_programs_are_looked_for_when_asked() {
        let dir = tempfile::tempdir().expect("a folder");
        let text = file(101, 0, "nosuch0", "/nonexistent/check");
        fs::write(dir.path().join("a.conf"), text).expect("written");
        let said = |words: &[&str], code| {
            let output = check(words, dir.path());
            let text = String::from_utf8(output.stdout).expect("UTF-8");
            assert_eq!(output.status.code(), Some(code), "{words:?} {text}");
            text
        };
        said(&["a.conf"], 0);
        let text = said(&["--iface", "eth0,eth1", "a.conf"], 2);
        assert!(
            text.contains("error[no-interface]") && text.contains("--> a.conf:10:2"),
            "{text}"
        );
        said(&["--iface", "eth0,nosuch0", "a.conf"], 0);
        let text = said(&["--live", "a.conf"], 2);
        assert!(text.contains("there is no interface nosuch0"), "{text}");
        let text = said(&["--scripts", "a.conf"], 2);
        assert!(
            text.contains("error[unusable-program]") && text.contains("--> a.conf:6:2"),
            "{text}"
        );
        fs::write(
            dir.path().join("lo.conf"),
            file(101, 0, "eth0", "/bin/true").replace("10.0.0.9/24", "10.0.0.9/24 dev lo"),
        )
        .expect("written");
        let text = said(&["--live", "--iface", "eth0", "lo.conf"], 0);
        assert!(!text.contains("no-interface"), "{text}");
    }
}
