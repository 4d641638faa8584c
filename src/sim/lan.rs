//! A broadcast segment with its faults: delay, loss, duplication, reordering, one-way cuts.

use crate::model::time::Instant;
use crate::sim::rng::Rng;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

/// How well a LAN carries frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quality {
    /// Shortest way from one host to another.
    pub least: Duration,
    /// Longest way of a frame that is not held back.
    pub most: Duration,
    /// Frames lost, of a thousand; drawn for each receiver.
    pub loss: u32,
    /// Frames that arrive twice, of a thousand.
    pub twice: u32,
    /// Frames held back so that later ones overtake them, of a thousand.
    pub held: u32,
    /// For how long at most.
    pub hold: Duration,
}

impl Quality {
    /// 50 to 150 µs, nothing lost.
    pub const GOOD: Self = Self {
        least: Duration::from_micros(50),
        most: Duration::from_micros(150),
        loss: 0,
        twice: 0,
        held: 0,
        hold: Duration::ZERO,
    };

    /// The same with so many frames of a thousand lost.
    pub const fn losing(loss: u32) -> Self {
        Self { loss, ..Self::GOOD }
    }

    /// Whether no frame is ever lost, doubled or held back.
    pub const fn is_clean(&self) -> bool {
        self.loss == 0 && self.twice == 0 && self.held == 0
    }
}

/// What becomes of one chosen frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is lost.
    Lost,
    /// It comes so much later, overtaken by what is sent meanwhile.
    Late(Duration),
}

/// A fate that waits for its frame.
#[derive(Clone, Copy, Debug)]
struct Doomed {
    from: usize,
    to: usize,
    /// Frames that pass before it.
    skip: u32,
    fate: Fate,
}

/// A broadcast segment.
#[derive(Debug)]
pub struct Lan {
    quality: Quality,
    cuts: HashSet<(usize, usize)>,
    last: HashMap<(usize, usize), Instant>,
    learned: HashMap<IpAddr, usize>,
    doomed: Vec<Doomed>,
    lost: u64,
}

impl Lan {
    /// A segment on which everybody hears everybody.
    pub fn new(quality: Quality) -> Self {
        Self {
            quality,
            cuts: HashSet::new(),
            last: HashMap::new(),
            learned: HashMap::new(),
            doomed: Vec::new(),
            lost: 0,
        }
    }

    /// How well it carries.
    pub const fn quality(&self) -> Quality {
        self.quality
    }

    /// From now on carries like this.
    pub const fn set_quality(&mut self, quality: Quality) {
        self.quality = quality;
    }

    /// `to` hears `from` no longer; the other direction is not touched.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.cuts.insert((from, to));
    }

    /// `to` hears `from` again.
    pub fn heal(&mut self, from: usize, to: usize) {
        self.cuts.remove(&(from, to));
    }

    /// Everybody hears everybody again.
    pub fn heal_all(&mut self) {
        self.cuts.clear();
    }

    /// Whether no direction is cut.
    pub fn is_whole(&self) -> bool {
        self.cuts.is_empty()
    }

    /// Of the frames from one to the other from now on, number `nth`, counted from 0, meets this.
    pub fn doom(&mut self, from: usize, to: usize, nth: u32, fate: Fate) {
        self.doomed.push(Doomed {
            from,
            to,
            skip: nth,
            fate,
        });
    }

    /// What was decided for the frame that is sent now.
    fn fate(&mut self, from: usize, to: usize) -> Option<Fate> {
        let mut met = None;
        self.doomed.retain_mut(|doomed| {
            if (doomed.from, doomed.to) != (from, to) {
                return true;
            }
            if doomed.skip == 0 {
                met = Some(doomed.fate);
                return false;
            }
            doomed.skip -= 1;
            true
        });
        met
    }

    /// Frames lost so far, cuts included.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// When a frame sent now arrives at `to`: never, once or twice. Frames between two hosts keep
    /// their order unless one is held back.
    pub fn carry(
        &mut self,
        now: Instant,
        from: usize,
        to: usize,
        rng: &mut Rng,
    ) -> [Option<Instant>; 2] {
        let q = self.quality;
        let fate = self.fate(from, to);
        let cut = self.cuts.contains(&(from, to)) || fate == Some(Fate::Lost);
        if cut || rng.permille(q.loss) {
            self.lost += 1;
            return [None, None];
        }
        let usual = now + rng.between(q.least, q.most);
        if let Some(Fate::Late(by)) = fate {
            return [Some(usual + by), None];
        }
        let first = if rng.permille(q.held) {
            usual + rng.between(Duration::ZERO, q.hold)
        } else {
            let last = self.last.entry((from, to)).or_default();
            *last = usual.max(*last);
            *last
        };
        let second = rng
            .permille(q.twice)
            .then(|| first + rng.between(Duration::ZERO, q.most));
        [Some(first), second]
    }

    /// The segment saw `from` announce an address.
    pub fn learn(&mut self, address: IpAddr, from: usize) {
        self.learned.insert(address, from);
    }

    /// Who announced an address last: where the segment's hosts and switches send its packets.
    pub fn holder(&self, address: IpAddr) -> Option<usize> {
        self.learned.get(&address).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_nanos(1_000_000_000);

    #[test]
    fn frames_keep_their_order_unless_one_is_held_back() {
        let mut lan = Lan::new(Quality::GOOD);
        let mut rng = Rng::new(1);
        let mut last = Instant::ZERO;
        for micros in 0..1000 {
            let [at, twice] = lan.carry(NOW + Duration::from_micros(micros), 0, 1, &mut rng);
            let at = at.expect("nothing is lost on a good LAN");
            assert!(at >= last && twice.is_none());
            last = at;
        }
        lan.set_quality(Quality {
            held: 300,
            hold: Duration::from_millis(1),
            ..Quality::GOOD
        });
        let arrivals: Vec<_> = (0..1000)
            .filter_map(|micros| lan.carry(NOW + Duration::from_micros(micros), 0, 1, &mut rng)[0])
            .collect();
        assert!(!arrivals.is_sorted(), "held frames are overtaken");
    }

    #[test]
    fn a_cut_is_one_way() {
        let mut lan = Lan::new(Quality::GOOD);
        let mut rng = Rng::new(1);
        lan.cut(0, 1);
        assert_eq!(lan.carry(NOW, 0, 1, &mut rng), [None, None]);
        assert!(lan.carry(NOW, 1, 0, &mut rng)[0].is_some());
        lan.heal(0, 1);
        assert!(lan.carry(NOW, 0, 1, &mut rng)[0].is_some());
        assert_eq!(lan.lost(), 1);
    }

    #[test]
    fn a_chosen_frame_meets_its_fate_and_no_other_does() {
        let mut lan = Lan::new(Quality::GOOD);
        let mut rng = Rng::new(1);
        lan.doom(0, 1, 1, Fate::Lost);
        lan.doom(0, 1, 2, Fate::Late(Duration::from_millis(9)));
        let mut ways = Vec::new();
        for _ in 0..4 {
            assert!(lan.carry(NOW, 0, 2, &mut rng)[0].is_some(), "another way");
            let at = lan.carry(NOW, 0, 1, &mut rng)[0];
            ways.push(at.map(|at| at.since(NOW) > Duration::from_millis(9)));
        }
        assert_eq!(ways, [Some(false), None, Some(true), Some(false)]);
    }

    #[test]
    fn loss_comes_out_as_asked() {
        let mut lan = Lan::new(Quality::losing(300));
        let mut rng = Rng::new(5);
        let lost = (0..10_000)
            .filter(|_| lan.carry(NOW, 0, 1, &mut rng)[0].is_none())
            .count();
        assert!((2_800..3_200).contains(&lost), "{lost} of 10000 at 30 %");
    }
}
