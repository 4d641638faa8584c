//! Groups of routers as generated, and how they are played.

use super::*;

/// One tracked script as generated.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) weight: i16,
    pub(crate) reverse: bool,
    pub(crate) rise: u32,
    pub(crate) fall: u32,
    pub(crate) init_fail: bool,
}

/// One router as generated.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) priority: u8,
    pub(crate) master: bool,
    pub(crate) nopreempt: bool,
    pub(crate) delay: bool,
    pub(crate) adver: u64,
    pub(crate) adverts: u8,
    pub(crate) scripts: Vec<Script>,
    /// Weights of a second interface, a file and a process.
    pub(crate) link: Option<i16>,
    pub(crate) file: Option<(i16, bool)>,
    pub(crate) process: Option<(i16, bool)>,
    pub(crate) always: bool,
}

/// A whole group as generated.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) v2: bool,
    pub(crate) unicast: bool,
    pub(crate) same_adver: bool,
    /// Through the text of a file instead of settings made by hand.
    pub(crate) text: bool,
    pub(crate) routers: Vec<Plan>,
    pub(crate) seed: u64,
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

pub(crate) fn setting() -> impl Strategy<Value = Setting> {
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
    pub(crate) fn adver(&self, index: usize) -> Duration {
        let of = if self.same_adver { 0 } else { index };
        if self.v2 {
            Duration::from_secs(1)
        } else {
            Duration::from_millis(self.routers[of].adver)
        }
    }

    pub(crate) fn peers(&self, index: usize) -> Vec<IpAddr> {
        let others = (0..self.routers.len()).filter(|i| *i != index);
        others.map(|i| own_v4(i, 0)).collect()
    }

    /// The file of one router.
    pub(crate) fn file(&self, index: usize) -> String {
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

    pub(crate) fn by_hand(&self, index: usize) -> Settings {
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
            external: None,
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

    pub(crate) fn settings(&self) -> Vec<Settings> {
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
    pub(crate) fn rest(&self) -> Duration {
        let advers = (0..self.routers.len()).map(|i| self.adver(i));
        let adver = advers.max().unwrap_or_default();
        let adverts = self.routers.iter().map(|r| u32::from(r.adverts)).max();
        let delay = self.routers.iter().any(|r| r.delay);
        adver * (adverts.unwrap_or(3) + 1) * 2
            + Duration::from_millis(1000)
            + Duration::from_millis(if delay { 1500 } else { 0 })
    }

    pub(crate) fn world(&self, all: &[Settings]) -> World {
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
    pub(crate) fn file_seen(&self, host: usize, well: bool) -> TrackedSeen {
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

    pub(crate) fn process_seen(&self, host: usize, well: bool) -> TrackedSeen {
        let reverse = self.routers[host].process.is_some_and(|(_, r)| r);
        TrackedSeen::Process {
            name: "p".into(),
            up: well != reverse,
        }
    }

    /// A script is well while it passes, a reversed one while it fails.
    pub(crate) fn behave(&self, host: usize, at: usize, well: bool) -> Event {
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

    pub(crate) fn let_fail(&self, failure: &Failure) -> Option<Event> {
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

    pub(crate) fn play(&self, all: &[Settings], case: &Case) -> Result<(), String> {
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
