//! Thousands of random worlds: two to five routers on bad networks, each a pure function of its seed.
//!
//! Every world is watched step by step. In the end the network is mended, and exactly one router has
//! to serve, the best one where all may preempt. A failing seed prints itself and its timeline.

use super::*;
use mainstay::model::feed::{Feed, Reading};
use mainstay::model::order::{Intent, Order};
use mainstay::model::priority::{Priority, Weight};
use mainstay::model::settings::{
    AllFailed, DampingSettings, GroupSettings, NotifySettings, Settings,
};
use mainstay::sim::rng::Rng;

/// Runs so many worlds; the first that fails ends the test.
#[track_caller]
fn worlds(first: u64, count: u64, play: impl Fn(u64) -> Result<(), String>) {
    for seed in first..first + count {
        if let Err(report) = play(seed) {
            panic!("{report}");
        }
    }
}

/// Two to five hosts, and how long their slowest interval is.
struct Cast {
    rng: Rng,
    hosts: usize,
    adver: Duration,
    family: Family,
}

impl Cast {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x0e1e_c710);
        let hosts = 2 + rng.below(4) as usize;
        let adver = *rng
            .pick(&[20 * MS, 50 * MS, 100 * MS, 200 * MS])
            .expect("not empty");
        Self {
            rng,
            hosts,
            adver,
            family: Family::V4,
        }
    }

    /// A router as one of several kinds; all hosts of a world have the same kind.
    fn router(&mut self, host: usize, kind: u64) -> RouterMaker {
        let priority = 1 + self.rng.below(254) as u8;
        let vi = vi(priority).adver(self.adver).with(|s| {
            s.garp.repeat = 1;
            s.garp.lower_repeat = 1;
        });
        match kind {
            0..=4 => vi,
            5 | 6 => {
                self.family = Family::V6;
                vi.v6()
            }
            7 => {
                self.adver = S;
                vi.v2().adver(S)
            }
            _ => {
                let all: Vec<IpAddr> = (0..self.hosts).map(|h| own_v4(h, 0)).collect();
                let others: Vec<IpAddr> = all.iter().copied().filter(|a| *a != all[host]).collect();
                vi.unicast(all[host], &others)
            }
        }
    }

    fn scenario(
        &mut self,
        seed: u64,
        change: impl Fn(usize, RouterMaker) -> RouterMaker,
    ) -> Scenario {
        let kind = self.rng.below(10);
        let mut scenario = Scenario::new(seed);
        for index in 0..self.hosts {
            let router = self.router(index, kind).track("chk", -100);
            let starts = self.rng.between(Duration::ZERO, 2 * self.adver);
            let interval = 2 * self.adver;
            let name = ["a", "b", "c", "d", "e"][index];
            scenario = scenario.host(
                host(name)
                    .router(change(index, router))
                    .check(
                        check("chk").interval(interval).timeout(self.adver),
                        Behaviour::PASSES,
                    )
                    .starts(starts),
            );
        }
        scenario
    }

    fn loss(&mut self) -> Quality {
        Quality {
            loss: 10 + self.rng.below(291) as u32,
            ..Quality::GOOD
        }
    }

    fn moment(&mut self, until: Duration) -> Duration {
        self.rng.between(Duration::ZERO, until)
    }

    fn somebody(&mut self) -> usize {
        self.rng.below(self.hosts as u64) as usize
    }

    /// Mends everything that the scenarios here break, and waits until all must have settled: a
    /// restart, a down timer with the slowest interval, and one more look after a long sleep.
    fn settle(&self, world: &mut World) {
        for host in 0..self.hosts {
            let script = "chk".into();
            world.now_do(Event::Script {
                host,
                script,
                behaviour: Behaviour::PASSES,
            });
        }
        self.mend(world);
    }

    /// The same without the scripts.
    fn mend(&self, world: &mut World) {
        world.now_do(Event::HealAll { lan: 0 });
        world.now_do(Event::Quality {
            lan: 0,
            quality: Quality::GOOD,
        });
        for host in 0..self.hosts {
            world.now_do(Event::Plug {
                host,
                link: ETH0,
                up: true,
            });
        }
        world.run_for(self.adver);
        for host in 0..self.hosts {
            world.now_do(Event::Start { host });
        }
        world.run_for(12 * self.adver);
    }

    fn agreed(&self, world: &World, preempting: bool) -> Result<(), String> {
        world.verdict()?;
        world.agreed(0, self.family, 51, preempting).map(|_| ())
    }
}

fn lossy(seed: u64) -> Result<(), String> {
    let mut cast = Cast::new(seed);
    let mut quality = cast.loss();
    quality.twice = cast.rng.below(100) as u32;
    quality.held = cast.rng.below(300) as u32;
    quality.hold = cast.adver / 2;
    let mut world = cast.scenario(seed, |_, r| r).quality(quality).world();
    world.run_for(25 * cast.adver);
    cast.settle(&mut world);
    cast.agreed(&world, true)
}

#[test]
fn loss_reordering_and_doubling_end_in_one_active_router() {
    worlds(0, 3000, lossy);
}

fn parted(seed: u64) -> Result<(), String> {
    let mut cast = Cast::new(seed);
    let mut scenario = cast.scenario(seed, |_, r| r);
    if cast.rng.permille(500) {
        scenario = scenario.quality(cast.loss());
    }
    let span = 25 * cast.adver;
    for _ in 0..1 + cast.rng.below(6) {
        let (from, to) = (cast.somebody(), cast.somebody());
        let when = cast.moment(span);
        scenario = scenario.at(when, Event::Cut { lan: 0, from, to });
        if cast.rng.permille(500) {
            let until = when + cast.moment(span);
            scenario = scenario.at(until, Event::Heal { lan: 0, from, to });
        }
    }
    let mut world = scenario.world();
    world.run_for(span);
    cast.settle(&mut world);
    cast.agreed(&world, true)
}

#[test]
fn one_way_partitions_end_in_one_active_router_when_healed() {
    worlds(100_000, 2500, parted);
}

fn stalled(seed: u64) -> Result<(), String> {
    let mut cast = Cast::new(seed);
    let mut scenario = cast.scenario(seed, |_, r| r);
    if cast.rng.permille(300) {
        scenario = scenario.quality(cast.loss());
    }
    let span = 25 * cast.adver;
    for _ in 0..1 + cast.rng.below(4) {
        let host = cast.somebody();
        let length = cast.moment(10 * cast.adver);
        let when = cast.moment(span - 10 * cast.adver);
        scenario = scenario.at(when, Event::Stall { host, length });
    }
    let mut world = scenario.world();
    world.run_for(span);
    cast.settle(&mut world);
    cast.agreed(&world, true)
}

#[test]
fn stalls_end_in_one_active_router() {
    worlds(200_000, 2000, stalled);
}

fn troubled(seed: u64) -> Result<(), String> {
    let mut cast = Cast::new(seed);
    let mut scenario = cast.scenario(seed, |_, r| r);
    if cast.rng.permille(500) {
        scenario = scenario.quality(cast.loss());
    }
    let span = 30 * cast.adver;
    for _ in 0..2 + cast.rng.below(6) {
        let host = cast.somebody();
        let script: Arc<str> = "chk".into();
        let event = match cast.rng.below(8) {
            0 => Event::Kill { host },
            1 | 2 => Event::Start { host },
            3 => Event::Stop { host },
            4 => Event::Plug {
                host,
                link: ETH0,
                up: false,
            },
            5 => Event::Plug {
                host,
                link: ETH0,
                up: true,
            },
            6 => Event::Script {
                host,
                script,
                behaviour: Behaviour::FAILS,
            },
            _ => Event::Script {
                host,
                script,
                behaviour: Behaviour::IGNORES_TERM,
            },
        };
        scenario = scenario.at(cast.moment(span), event);
    }
    let mut world = scenario.world();
    world.run_for(span);
    cast.settle(&mut world);
    // A script that had to be killed, and its next run, may still be under way.
    world.run_for(3 * S);
    cast.agreed(&world, true)
}

#[test]
fn kills_stops_failing_scripts_and_pulled_cables_end_in_one_active_router() {
    worlds(300_000, 1500, troubled);
}

fn stubborn(seed: u64) -> Result<(), String> {
    let mut cast = Cast::new(seed);
    let scenario = cast.scenario(
        seed,
        |index, r| if index % 2 == 0 { r.nopreempt() } else { r },
    );
    let quality = cast.loss();
    let mut world = scenario.quality(quality).world();
    world.run_for(20 * cast.adver);
    cast.settle(&mut world);
    cast.agreed(&world, false)
}

#[test]
fn routers_that_may_not_preempt_end_in_one_active_router_too() {
    worlds(400_000, 1000, stubborn);
}

/// `all_failed hold` everywhere: scripts fail and stay so, and whatever else happens, in the end exactly
/// one serves; one that is well if there is one, also where nobody may preempt.
fn held(seed: u64) -> Result<(), String> {
    let mut cast = Cast::new(seed);
    let preempting = cast.rng.permille(500);
    let mut scenario = cast.scenario(seed, |_, r| {
        let r = r.with(|s| {
            s.all_failed = AllFailed::Hold;
            s.tracks[0].weight = Weight::FAULT;
            s.priority = s.priority.max(Priority::contender(2));
        });
        if preempting { r } else { r.nopreempt() }
    });
    if cast.rng.permille(300) {
        scenario = scenario.quality(cast.loss());
    }
    let span = 30 * cast.adver;
    for _ in 0..2 + cast.rng.below(8) {
        let host = cast.somebody();
        let script: Arc<str> = "chk".into();
        let behaviour = if cast.rng.permille(700) {
            Behaviour::FAILS
        } else {
            Behaviour::PASSES
        };
        let event = match cast.rng.below(8) {
            0 => Event::Kill { host },
            1 => Event::Start { host },
            2 => Event::Plug {
                host,
                link: ETH0,
                up: false,
            },
            _ => Event::Script {
                host,
                script,
                behaviour,
            },
        };
        scenario = scenario.at(cast.moment(span), event);
    }
    let mut world = scenario.world();
    world.run_for(span);
    cast.mend(&mut world);
    // A run, a silent down interval of priority 1, a down interval of another, and some more.
    world.run_for(8 * cast.adver);
    cast.agreed(&world, preempting)?;
    let well = |host: &usize| world.view(*host, "vi").is_some_and(|v| v.priority > 1);
    let serving = world.serving(0, cast.family, 51);
    let able = world.able(0, cast.family, 51);
    if able.len() != cast.hosts {
        return Err(world.report(&format!("only {able:?} take part")));
    }
    if able.iter().any(well) && !serving.iter().all(well) {
        return Err(world.report(&format!("{serving:?} serve and are ill")));
    }
    Ok(())
}

#[test]
fn whatever_fails_under_all_failed_hold_one_serves_and_it_is_well_if_one_is() {
    worlds(600_000, 2000, held);
}

/// Nothing is lost: then two serve at once for at most one way across the LAN, whoever dies or comes,
/// and a down interval after the last change exactly one serves.
fn clean(seed: u64) -> Result<(), String> {
    let mut cast = Cast::new(seed);
    let mut scenario = cast.scenario(seed, |_, r| r);
    let span = 25 * cast.adver;
    for _ in 0..cast.rng.below(5) {
        let host = cast.somebody();
        let event = match cast.rng.below(3) {
            0 => Event::Kill { host },
            1 => Event::Stop { host },
            _ => Event::Start { host },
        };
        scenario = scenario.at(cast.moment(span), event);
    }
    let mut world = scenario.world();
    world.run_for(span);
    for host in 0..cast.hosts {
        world.now_do(Event::Start { host });
    }
    // 3 × adver + skew of the lowest priority, a way across, and the first run of a script; twice if
    // somebody resigned towards one whose own down timer still runs.
    world.run_for(4 * cast.adver + 2 * MS);
    cast.agreed(&world, true)?;
    let dual = world.longest_dual();
    if dual > WAY {
        return Err(world.report(&format!(
            "two served at once for {dual:?}, the way is {WAY:?}"
        )));
    }
    Ok(())
}

#[test]
fn on_a_loss_free_lan_one_serves_after_a_down_interval_and_never_two_for_longer_than_a_way() {
    worlds(500_000, 1500, clean);
}

/// Everything that keeps a router out of the way at once: damping, `all_failed hold`, orders, a sync group,
/// reports with leases, reloads that change each of them.
struct Crowd {
    rng: Rng,
    damped: bool,
    held: bool,
    grouped: bool,
    half_life: Duration,
}

impl Crowd {
    fn settings(&mut self, host: usize) -> Settings {
        let priority = 100 + 10 * host as u8;
        let flip = |is: bool, rng: &mut Rng| is != rng.permille(150);
        let damped = flip(self.damped, &mut self.rng);
        let held = flip(self.held, &mut self.rng);
        let grouped = flip(self.grouped, &mut self.rng);
        let preempts = self.rng.permille(800);
        let half_life = self.half_life;
        let mut member = |name: &str, vrid: u8, link: &str, tracks: bool| {
            let r = vi(priority).adver(100 * MS).vrid(vrid).on(link);
            let r = if tracks { r.track("chk", 0) } else { r };
            let r = if preempts { r } else { r.nopreempt() };
            let r = if self.rng.permille(500) {
                r.track("fed", -60)
            } else {
                r.track("fed", 0)
            };
            r.with(|s| {
                s.name = name.into();
                if held {
                    s.all_failed = AllFailed::Hold;
                }
                s.damping = damped.then_some(DampingSettings {
                    half_life,
                    suppress: 1,
                    reuse: 1,
                });
            })
        };
        let routers = [
            member("in", 51, "eth0", true),
            member("out", 52, "eth1", host != 1),
        ];
        let quick = |name: &str| check(name).interval(100 * MS).timeout(50 * MS);
        let mut all = settings(routers, [quick("chk"), quick("fed").external(None)]);
        if grouped {
            all.groups.push(Arc::new(GroupSettings {
                name: "gate".into(),
                members: vec!["in".into(), "out".into()],
                notify: NotifySettings::default(),
            }));
        }
        all
    }
}

fn report(host: usize, up: bool, lease: Option<Duration>) -> Event {
    let reading = if up { Reading::Up } else { Reading::Down };
    let feed = Feed {
        id: 0,
        name: "fed".into(),
        reading,
        lease,
        by: 0,
        resumed: None,
    };
    Event::Feed { host, feed }
}

/// In the end the others die: who is left and well must serve, whatever it was kept away by.
fn crowded(seed: u64) -> Result<(), String> {
    let mut rng = Rng::new(seed ^ 0x00c0_ffee);
    let mut crowd = Crowd {
        damped: rng.permille(800),
        held: rng.permille(500),
        grouped: rng.permille(600),
        half_life: *rng.pick(&[500 * MS, 600 * S]).expect("not empty"),
        rng: Rng::new(seed),
    };
    let mut scenario = Scenario::new(seed).lan(Quality::GOOD);
    for (host_at, name) in ["a", "b", "c"].into_iter().enumerate() {
        let settings = crowd.settings(host_at);
        scenario = scenario
            .host(host(name).settings(settings))
            .at(200 * MS, report(host_at, true, None));
    }
    let mut world = scenario.world();
    for host in 0..3 {
        let behaviour = Behaviour::PASSES;
        let script = "chk".into();
        world.now_do(Event::Script {
            host,
            script,
            behaviour,
        });
    }
    world.run_for(2 * S);
    for id in 0..10 + rng.below(40) {
        let host = rng.below(3) as usize;
        let instance: Arc<str> = if rng.permille(500) { "in" } else { "out" }.into();
        let order = |what| Event::Order {
            host,
            order: Order {
                id,
                instance: instance.clone(),
                what,
            },
        };
        let up = rng.permille(400);
        let event = match rng.below(12) {
            0..=3 => Event::Script {
                host,
                script: "chk".into(),
                behaviour: if up {
                    Behaviour::PASSES
                } else {
                    Behaviour::FAILS
                },
            },
            4 | 5 => report(host, up, rng.permille(500).then_some(700 * MS)),
            6 => order(Intent::Drain {
                force: false,
                resumed: false,
            }),
            7 => order(Intent::Takeover { resumed: false }),
            8 => order(Intent::Clear),
            9 | 10 => Event::Reload {
                host,
                settings: Arc::new(crowd.settings(host)),
            },
            _ => Event::Plug {
                host,
                link: ETH0,
                up,
            },
        };
        world.now_do(event);
        world.run_for(rng.between(MS, 900 * MS));
    }
    let last = rng.below(3) as usize;
    let well = rng.permille(700);
    world.now_do(Event::Plug {
        host: last,
        link: ETH0,
        up: true,
    });
    if well {
        let behaviour = Behaviour::PASSES;
        let script = "chk".into();
        world.now_do(Event::Script {
            host: last,
            script,
            behaviour,
        });
        world.now_do(report(last, true, None));
    }
    for host in (0..3).filter(|host| *host != last) {
        world.now_do(Event::Kill { host });
    }
    world.run_for(3 * S);
    world.verdict()?;
    let holds = world.snapshot(last).is_some_and(|s| {
        let all_hold = |i: &mainstay::model::view::RouterView| i.degraded.is_some();
        s.instances.iter().all(all_hold)
    });
    for (lan, vrid) in [(0, 51), (1, 52)] {
        if (well || holds) && world.serving(lan, Family::V4, vrid) != [last] {
            return Err(world.report(&format!("host {last} is alone, and {vrid} is not served")));
        }
    }
    Ok(())
}

#[test]
fn who_is_left_alone_and_is_well_serves_whatever_kept_it_away() {
    worlds(700_000, 500, crowded);
}
