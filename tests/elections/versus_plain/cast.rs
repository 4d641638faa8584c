//! Random worlds: two to five routers, every mix of manners, and priorities that fall.

use super::measure::Measured;
use super::*;
use mainstay::model::priority::Priority;
use mainstay::model::seen::TrackedSeen;
use mainstay::model::settings::{Handover, NamedTrackSettings};
use mainstay::sim::rng::Rng;
use std::ops::RangeInclusive;

/// What happens in the worlds of a kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    /// Falls end again before Active_Down_Interval is over.
    dips: bool,
    /// Frames lost of a thousand.
    loss: Option<(u32, u32)>,
}

impl Course {
    pub(super) const FALLS: Self = Self {
        dips: false,
        loss: None,
    };
    pub(super) const DIPS: Self = Self {
        dips: true,
        loss: None,
    };

    pub(super) fn losing(mut self, permille: RangeInclusive<u32>) -> Self {
        self.loss = Some((*permille.start(), *permille.end()));
        self
    }
}

/// One router and what it tracks.
struct Player {
    router: RouterMaker,
    /// A script with these results to fall, every so often; otherwise a file.
    script: Option<(u32, Duration)>,
    /// By how much it falls.
    fall: i16,
    starts: Duration,
}

/// One world, to be played with and without handover.
pub(super) struct Case {
    pub(super) seed: u64,
    course: Course,
    adver: Duration,
    quality: Quality,
    players: Vec<Player>,
    handover: Handover,
    rng: Rng,
}

/// How long a world settles, and how long it is watched, in intervals.
const SETTLES: u32 = 20;
const WATCHED: u32 = 24;

impl Case {
    pub(super) fn new(seed: u64, course: Course) -> Self {
        let mut rng = Rng::new(seed ^ 0x7ac4_ed00);
        let adver = [100 * MS, 200 * MS, 500 * MS, S][rng.below(4) as usize];
        // There and back within the shortest Skew_Time: longer ways would blur any priority.
        let most = rng.between(50 * MS / 1000, adver / 256);
        let quality = Quality {
            least: rng.between(Duration::ZERO, most),
            most,
            ..Quality::GOOD
        };
        let hosts = 2 + rng.below(4) as usize;
        let mut players: Vec<Player> = Vec::new();
        for _ in 0..hosts {
            let mut priority = 1 + rng.below(254) as u8;
            if let Some(other) = rng.pick(&players).filter(|_| seed.is_multiple_of(3)) {
                priority = other.router.clone().settings().priority.get();
            }
            let router = manners(vi(priority).adver(adver), adver, &mut rng);
            let script = rng.permille(700).then(|| {
                let every = adver * [3, 5, 10, 20][rng.below(4) as usize] / 10;
                (1 + rng.below(3) as u32, every)
            });
            let starts = rng.between(Duration::ZERO, 6 * adver);
            players.push(Player {
                router,
                script,
                fall: 0,
                starts,
            });
        }
        let priorities: Vec<u8> = players
            .iter()
            .map(|p| p.router.clone().settings().priority.get())
            .collect();
        for (player, own) in players.iter_mut().zip(&priorities) {
            // Often exactly to another's priority, or just beside it.
            let to = match rng.below(4) {
                0 => *rng.pick(&priorities).expect("some"),
                1 => rng.pick(&priorities).expect("some").saturating_sub(1),
                _ => rng.below(255) as u8,
            };
            // A file with -254 would be FAULT.
            player.fall = (i16::from(*own) - i16::from(to)).clamp(1, 253);
        }
        let handover = if rng.permille(500) {
            Handover::Confirmed
        } else {
            Handover::Always
        };
        Self {
            seed,
            course,
            adver,
            quality,
            players,
            handover,
            rng,
        }
    }

    fn world(&self, handover: Handover) -> World {
        let mut scenario = Scenario::new(self.seed).quality(self.quality);
        for (index, player) in self.players.iter().enumerate() {
            let router = player.router.clone().with(|r| r.handover = handover);
            let name = ["a", "b", "c", "d", "e"][index];
            let made = match player.script {
                Some((fall, every)) => host(name).router(router.track("chk", -player.fall)).check(
                    check("chk").fall(fall).interval(every).timeout(every),
                    Behaviour::PASSES,
                ),
                None => host(name).router(router.with(|r| {
                    r.track_files.push(NamedTrackSettings {
                        name: "f".into(),
                        weight: 1,
                        reverse: false,
                    });
                })),
            };
            scenario = scenario.host(made.starts(player.starts));
        }
        scenario.world()
    }

    /// The tracked thing of a host fails, or is well again.
    fn event(&self, host: usize, fails: bool) -> Event {
        let player = &self.players[host];
        if player.script.is_some() {
            let behaviour = if fails {
                Behaviour::FAILS
            } else {
                Behaviour::PASSES
            };
            Event::Script {
                host,
                script: "chk".into(),
                behaviour,
            }
        } else {
            let value = if fails { -i32::from(player.fall) } else { 0 };
            let name = "f".into();
            let seen = TrackedSeen::File { name, value };
            Event::Tracked { host, seen }
        }
    }

    /// What happens to whom, and how long after the world has settled.
    fn events(&self, active: usize) -> Vec<(Duration, Event)> {
        let mut rng = self.rng.clone();
        let mut events = Vec::new();
        let mut others: Vec<usize> = (0..self.players.len()).collect();
        for n in 0..1 + rng.below(2) {
            let host = if n == 0 && rng.permille(850) {
                active
            } else {
                *rng.pick(&others).expect("some are left")
            };
            others.retain(|h| *h != host);
            let at = rng.between(Duration::ZERO, 2 * self.adver) + 4 * self.adver * n as u32;
            events.push((at, self.event(host, true)));
            if self.course.dips {
                let settings = self.players[host].router.clone().settings();
                let down =
                    3 * self.adver + self.adver * (256 - u32::from(settings.priority.get())) / 256;
                let length = rng.between(Duration::ZERO, down);
                events.push((at + length, self.event(host, false)));
            }
        }
        events
    }

    fn loss(&self) -> u32 {
        let (least, most) = self.course.loss.unwrap_or_default();
        least + Rng::new(self.seed).below(u64::from(most - least + 1)) as u32
    }

    /// Plays it; `None` if it does not settle with one master.
    fn run(&self, handover: Handover) -> Result<Option<(World, Instant)>, String> {
        let mut world = self.world(handover);
        world.run_for(SETTLES * self.adver);
        world.verdict()?;
        let &[active] = world.serving(0, Family::V4, 51) else {
            return Ok(None);
        };
        let from = world.now();
        let quality = Quality {
            loss: self.loss(),
            ..self.quality
        };
        world.now_do(Event::Quality { lan: 0, quality });
        for (after, event) in self.events(active) {
            world.after(after, event);
        }
        world.run_for(WATCHED * self.adver);
        world.verdict()?;
        Ok(Some((world, from)))
    }

    /// The plain protocol's run, and the one with handover.
    pub(super) fn runs(&self) -> Result<Option<[Measured; 2]>, String> {
        let mut runs = Vec::new();
        for handover in [Handover::Off, self.handover] {
            let Some((world, from)) = self.run(handover)? else {
                return Ok(None);
            };
            runs.push(Measured::new(&world, from, self.quality));
        }
        Ok(runs.try_into().ok())
    }

    /// The run of a protocol with its timeline.
    pub(super) fn report(&self, which: usize, text: &str) -> String {
        let handover = [Handover::Off, self.handover][which];
        let text = format!("{text} (track_handover {handover:?}, {:?})", self.quality);
        match self.run(handover) {
            Ok(Some((world, _))) => world.report(&text),
            Ok(None) => text,
            Err(report) => report,
        }
    }
}

fn manners(router: RouterMaker, adver: Duration, rng: &mut Rng) -> RouterMaker {
    match rng.below(10) {
        0..=5 => router,
        6 | 7 => router.nopreempt(),
        8 => router.preempt_delay(rng.between(adver / 2, 6 * adver)),
        _ => router.preempt_delay(1000 * adver),
    }
    .with(|r| {
        r.garp.repeat = 1;
        r.garp.lower_repeat = 0;
        debug_assert_ne!(r.priority, Priority::OWNER);
    })
}
