//! What a run came to: who served when, and by the fault of what.

use super::*;
use mainstay::core::election::skew_time;
use mainstay::model::notice::What;
use mainstay::model::priority::Priority;
use mainstay::model::settings::RouterSettings;

/// A stretch of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Span {
    from: Instant,
    to: Instant,
}

impl Span {
    fn length(self) -> Duration {
        self.to.since(self.from)
    }

    fn has(self, at: Instant) -> bool {
        self.from <= at && at <= self.to
    }

    fn shared(self, other: Self) -> Option<Self> {
        let from = self.from.max(other.from);
        let to = self.to.min(other.to);
        (from < to).then_some(Self { from, to })
    }
}

/// Two hosts that served at once.
#[derive(Clone, Copy, Debug)]
struct Pair {
    hosts: [usize; 2],
    span: Span,
    /// Adverts lost between them in that time.
    lost: u32,
    /// Adverts lost between them in a down interval before it.
    lost_before: bool,
    /// Times the priority of one of them moved and the other did not know.
    moved: u32,
    rose: bool,
}

/// A host that became MASTER beside another.
#[derive(Clone, Copy, Debug)]
struct Takeover {
    at: Instant,
    by: usize,
    /// For how long it had been the better one.
    better_for: Duration,
}

/// One run from the moment it had settled to its end.
pub(super) struct Measured {
    quality: Quality,
    routers: Vec<Arc<RouterSettings>>,
    priorities: Vec<Vec<(Instant, u8)>>,
    pairs: Vec<Pair>,
    takeovers: Vec<Takeover>,
    none: Vec<Span>,
    /// Time with two masters or more.
    pub(super) two: Duration,
    /// The longest period of it.
    pub(super) longest: Duration,
}

impl Measured {
    pub(super) fn new(world: &World, from: Instant, quality: Quality) -> Self {
        let end = world.now();
        let hosts = world.hosts();
        let mut reigns: Vec<Vec<Span>> = vec![Vec::new(); hosts.len()];
        let mut since: Vec<Option<Instant>> = vec![None; hosts.len()];
        for (at, host, _, phase) in world.timeline().transitions() {
            if phase == Phase::Active {
                since[host] = Some(at);
            } else if let Some(began) = since[host].take() {
                reigns[host].push(Span {
                    from: began,
                    to: at,
                });
            }
        }
        for (host, began) in since.into_iter().enumerate() {
            reigns[host].extend(began.map(|from| Span { from, to: end }));
        }
        let mut priorities: Vec<Vec<(Instant, u8)>> = Vec::new();
        let mut routers = Vec::new();
        for host in hosts {
            let router = host.settings().routers[0].clone();
            priorities.push(vec![(Instant::ZERO, router.priority.get())]);
            routers.push(router);
        }
        for (at, host, notice) in world.timeline().notices() {
            if let What::Priority { to, .. } = notice.what {
                priorities[host].push((at, to));
            }
        }
        let mut run = Self {
            quality,
            routers,
            priorities,
            pairs: Vec::new(),
            takeovers: Vec::new(),
            none: Vec::new(),
            two: Duration::ZERO,
            longest: Duration::ZERO,
        };
        let losses: Vec<(Instant, usize, usize)> = world.timeline().losses().collect();
        run.find_pairs(&reigns, &losses, from);
        run.find_takeovers(&reigns, from);
        run.sweep(&reigns, Span { from, to: end });
        run
    }

    fn find_pairs(
        &mut self,
        reigns: &[Vec<Span>],
        losses: &[(Instant, usize, usize)],
        from: Instant,
    ) {
        let way = self.quality.most;
        for a in 0..reigns.len() {
            for b in a + 1..reigns.len() {
                let both = reigns[a]
                    .iter()
                    .flat_map(|x| reigns[b].iter().map(|y| x.shared(*y)));
                for span in both.flatten().filter(|s| s.from >= from) {
                    let lost_in = |span: Span| {
                        let hit = |&&(at, x, y): &&(Instant, usize, usize)| {
                            span.has(at) && [(a, b), (b, a)].contains(&(x, y))
                        };
                        losses.iter().filter(hit).count() as u32
                    };
                    let before = Span {
                        from: span.from - 4 * self.routers[a].adver,
                        to: span.from,
                    };
                    // What moved before the last advert was, or is on its way, the other has not heard.
                    let unheard = Span {
                        from: span.from - way - self.routers[a].adver,
                        to: span.to,
                    };
                    let moves = [a, b]
                        .into_iter()
                        .flat_map(|h| self.priorities[h].windows(2));
                    let moves = moves.filter(|m| unheard.has(m[1].0));
                    let moved = moves.clone().count() as u32;
                    let rose = moves.clone().any(|m| m[1].1 > m[0].1);
                    self.pairs.push(Pair {
                        hosts: [a, b],
                        span,
                        lost: lost_in(span),
                        lost_before: lost_in(before) > 0,
                        moved,
                        rose,
                    });
                }
            }
        }
    }

    fn priority(&self, host: usize, at: Instant) -> u8 {
        let moves = &self.priorities[host];
        let before = moves.iter().rev().find(|(when, _)| *when <= at);
        before.map_or(0, |(_, priority)| *priority)
    }

    /// For how long one was better than the other before the other could know better: the longest
    /// stretch that ended no more than an interval and a way before `at`.
    fn better_for(&self, one: usize, other: usize, at: Instant) -> Duration {
        let mut moments: Vec<Instant> = [one, other]
            .iter()
            .flat_map(|h| self.priorities[*h].iter().map(|(when, _)| *when))
            .filter(|when| *when <= at)
            .collect();
        moments.sort();
        let unheard = at - self.routers[one].adver - self.quality.most;
        let (mut since, mut longest) = (None, Duration::ZERO);
        for when in moments {
            if self.priority(one, when) > self.priority(other, when) {
                since = since.or(Some(when));
            } else if let Some(since) = since.take().filter(|_| when >= unheard) {
                longest = longest.max(when.since(since));
            }
        }
        longest.max(since.map_or(Duration::ZERO, |since| at.since(since)))
    }

    fn find_takeovers(&mut self, reigns: &[Vec<Span>], from: Instant) {
        for (by, own) in reigns.iter().enumerate() {
            for reign in own.iter().filter(|r| r.from >= from) {
                for (other, theirs) in reigns.iter().enumerate() {
                    // One that began less than a way before may not have been heard yet.
                    let at = reign.from;
                    let heard = at - self.quality.most;
                    if other == by || !theirs.iter().any(|r| r.from < heard && r.has(at)) {
                        continue;
                    }
                    self.takeovers.push(Takeover {
                        at,
                        by,
                        better_for: self.better_for(by, other, at),
                    });
                }
            }
        }
    }

    /// Counts masters over time.
    fn sweep(&mut self, reigns: &[Vec<Span>], window: Span) {
        let mut edges: Vec<(Instant, i32)> = Vec::new();
        for reign in reigns.iter().flatten().filter_map(|r| r.shared(window)) {
            edges.push((reign.from, 1));
            edges.push((reign.to, -1));
        }
        edges.push((window.to, 0));
        edges.sort();
        let (mut masters, mut last) = (0, window.from);
        let mut stretch = Duration::ZERO;
        for (at, change) in edges {
            let length = at.since(last);
            if masters >= 2 {
                self.two += length;
                stretch += length;
                self.longest = self.longest.max(stretch);
            } else if !length.is_zero() {
                stretch = Duration::ZERO;
                if masters == 0 {
                    self.none.push(Span { from: last, to: at });
                }
            }
            masters += change;
            last = at;
        }
    }

    /// Time without any master.
    pub(super) fn none(&self) -> Duration {
        self.none.iter().map(|s| s.length()).sum()
    }

    /// How often somebody became MASTER beside another.
    pub(super) fn takeovers(&self) -> usize {
        self.takeovers.len()
    }

    /// Periods that a priority on its way prolonged.
    pub(super) fn crossed(&self) -> usize {
        let way = self.quality.most;
        self.pairs
            .iter()
            .filter(|p| p.rose && p.span.length() > way)
            .count()
    }

    pub(super) fn none_is_zero(&self) -> Result<(), String> {
        match self.none.first() {
            None => Ok(()),
            Some(span) => Err(format!(
                "nobody served for {:?} from {}",
                span.length(),
                span.from
            )),
        }
    }

    pub(super) fn pairs_end_within_a_way(&self) -> Result<(), String> {
        let way = self.quality.most;
        for pair in &self.pairs {
            // One rose, and the other learns it from the answer to its own first advert.
            let allowed = if pair.rose { 2 * way } else { way };
            if pair.span.length() > allowed {
                return Err(format!("two served for longer than a way: {pair:?}"));
            }
        }
        Ok(())
    }

    pub(super) fn pairs_end_by_loss(&self) -> Result<(), String> {
        for pair in &self.pairs {
            let adver = self.routers[pair.hosts[0]].adver;
            // The loss that made the second one serve at all is one of them.
            let lost = pair.lost + u32::from(pair.lost_before);
            let allowed = 2 * self.quality.most + adver * (lost + pair.moved);
            if pair.span.length() > allowed {
                return Err(format!("longer than its lost adverts explain: {pair:?}"));
            }
        }
        Ok(())
    }

    /// Nobody takes over before it has been better for its Skew_Time, and then only one that may
    /// preempt.
    pub(super) fn takeovers_are_due(&self) -> Result<(), String> {
        let jitter = self.quality.most - self.quality.least;
        for takeover in &self.takeovers {
            let router = &self.routers[takeover.by];
            let at = takeover.at;
            let priority = Priority::new(self.priority(takeover.by, at)).expect("never 0");
            let skew = skew_time(router.version, priority, router.adver);
            // Of more than two, another may have been the first to be lower.
            let least = match self.routers.len() {
                2 => skew.max(router.preempt_delay),
                _ => skew,
            };
            if !router.preempt || takeover.better_for + jitter < least {
                return Err(format!(
                    "took over after {:?}, Skew_Time is {skew:?}: {takeover:?}",
                    takeover.better_for
                ));
            }
        }
        Ok(())
    }
}
