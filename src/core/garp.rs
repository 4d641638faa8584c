//! When addresses are announced: a schedule that never makes an advert wait.

use crate::model::settings::GarpSettings;
use crate::model::time::Instant;
use std::time::Duration;

/// Frames sent in one go; the rest waits, so that a thousand addresses do not hold up adverts.
pub(super) const BURST: usize = 64;
/// Between two bursts.
pub(super) const BREATH: Duration = Duration::from_millis(1);

/// The announcements a router still owes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct GarpRun {
    /// Rounds under way.
    round: Option<Round>,
    /// Rounds to come once, and when.
    later: Option<(Instant, u32)>,
    refresh_at: Option<Instant>,
}

/// Rounds under way: each is one frame for every address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Round {
    left: u32,
    next: usize,
    at: Instant,
}

impl GarpRun {
    /// The second set and the refresh after takeover; the first set begins with [`GarpRun::begin`]
    /// when the kernel has the addresses.
    pub(super) fn takeover(now: Instant, s: &GarpSettings) -> Self {
        let later = (!s.delay.is_zero()).then_some((now + s.delay, s.repeat));
        let refresh_at = (!s.refresh.is_zero()).then_some(now + s.delay + s.refresh);
        Self {
            round: None,
            later,
            refresh_at,
        }
    }

    /// Starts so many rounds now, unless more are under way.
    pub(super) fn begin(&mut self, now: Instant, rounds: u32) {
        if rounds > 0 && self.round.is_none_or(|r| r.left <= rounds) {
            self.round = Some(Round {
                left: rounds,
                next: 0,
                at: now,
            });
        }
    }

    /// Starts a set now and the same again later.
    pub(super) fn repeat_set(&mut self, now: Instant, rounds: u32, delay: Duration) {
        self.begin(now, rounds);
        if rounds > 0 && !delay.is_zero() {
            self.later = Some((now + delay, rounds));
        }
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let round = self.round.map(|r| r.at);
        let later = self.later.map(|(at, _)| at);
        [round, later, self.refresh_at].into_iter().flatten().min()
    }

    /// Takes due sets into the rounds under way.
    pub(super) fn wind(&mut self, now: Instant, s: &GarpSettings) {
        if let Some((at, rounds)) = self.later
            && now >= at
        {
            self.later = None;
            self.begin(now, rounds);
        }
        if let Some(at) = self.refresh_at
            && now >= at
        {
            let next = at + s.refresh;
            self.refresh_at = Some(if next > now { next } else { now + s.refresh });
            self.begin(now, s.refresh_repeat);
        }
    }

    /// The next address to announce out of `count`, if one is due.
    pub(super) fn next(&mut self, now: Instant, count: usize) -> Option<usize> {
        let round = self.round.as_mut()?;
        if now < round.at {
            return None;
        }
        if round.next >= count {
            round.next = 0;
            round.left = round.left.saturating_sub(1);
        }
        if round.left == 0 || count == 0 {
            self.round = None;
            return None;
        }
        let index = round.next;
        round.next += 1;
        Some(index)
    }

    /// The address just taken could not be sent yet: it comes again at `at`.
    pub(super) fn put_back(&mut self, at: Instant) {
        if let Some(round) = &mut self.round {
            round.next = round.next.saturating_sub(1);
            round.at = at;
        }
    }

    /// Goes on at `at`.
    pub(super) fn pause(&mut self, at: Instant) {
        if let Some(round) = &mut self.round {
            round.at = at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(
        run: &mut GarpRun,
        s: &GarpSettings,
        count: usize,
        until: Duration,
    ) -> Vec<(u64, usize)> {
        let mut sent = Vec::new();
        while let Some(at) = run.deadline().filter(|at| *at <= Instant::ZERO + until) {
            run.wind(at, s);
            while let Some(index) = run.next(at, count) {
                sent.push((at.as_nanos() / 1_000_000, index));
            }
        }
        sent
    }

    #[test]
    fn defaults_send_five_rounds_now_and_five_after_five_seconds() {
        let s = GarpSettings::default();
        let mut run = GarpRun::takeover(Instant::ZERO, &s);
        run.begin(Instant::ZERO, s.repeat);
        let sent = play(&mut run, &s, 2, Duration::from_secs(60));
        assert_eq!(sent.len(), 20);
        assert_eq!(sent[..3], [(0, 0), (0, 1), (0, 0)]);
        assert!(sent[10..].iter().all(|&(ms, _)| ms == 5_000));
    }

    #[test]
    fn the_refresh_starts_after_the_delay_and_goes_on() {
        let second = Duration::from_secs(1);
        let s = GarpSettings {
            delay: 2 * second,
            repeat: 3,
            refresh: 3 * second,
            refresh_repeat: 2,
            ..GarpSettings::default()
        };
        let mut run = GarpRun::takeover(Instant::ZERO, &s);
        run.begin(Instant::ZERO, s.repeat);
        let times: Vec<u64> = play(&mut run, &s, 1, 9 * second)
            .into_iter()
            .map(|(ms, _)| ms)
            .collect();
        assert_eq!(times, [0, 0, 0, 2000, 2000, 2000, 5000, 5000, 8000, 8000]);
    }

    #[test]
    fn an_announcement_put_back_is_not_lost() {
        let mut run = GarpRun::default();
        run.begin(Instant::ZERO, 1);
        let later = Instant::ZERO + BREATH;
        assert_eq!(run.next(Instant::ZERO, 2), Some(0));
        assert_eq!(run.next(Instant::ZERO, 2), Some(1));
        run.put_back(later);
        assert_eq!(run.next(Instant::ZERO, 2), None);
        assert_eq!(run.next(later, 2), Some(1));
        assert_eq!(run.next(later, 2), None);
        assert_eq!(run.deadline(), None);
    }
}
