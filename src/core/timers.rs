//! Deadlines of many things: a value for each, and a heap as cache of the earliest.

use crate::model::time::Instant;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What a deadline belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Slot {
    /// A router.
    Router(u32),
    /// A tracker.
    Tracker(u32),
    /// The first new state of an interface that is to count.
    Links,
    /// The first static address to be tried again.
    Statics,
}

/// The true deadlines, and for each at most one live entry in a heap.
///
/// A deadline that moves later costs one store: its entry is found stale when it comes up and is
/// queued again. One that moves earlier costs one push.
#[derive(Debug, Default)]
pub struct Timers {
    routers: Vec<Due>,
    trackers: Vec<Due>,
    links: Due,
    statics: Due,
    heap: BinaryHeap<Reverse<(Instant, Slot)>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Due {
    at: Option<Instant>,
    /// The earliest entry of this slot in the heap.
    queued: Option<Instant>,
}

impl Timers {
    fn due(&mut self, slot: Slot) -> &mut Due {
        let (list, index) = match slot {
            Slot::Router(index) => (&mut self.routers, index as usize),
            Slot::Tracker(index) => (&mut self.trackers, index as usize),
            Slot::Links => return &mut self.links,
            Slot::Statics => return &mut self.statics,
        };
        if index >= list.len() {
            list.resize(index + 1, Due::default());
        }
        &mut list[index]
    }

    /// Sets or clears a deadline.
    pub fn set(&mut self, slot: Slot, at: Option<Instant>) {
        let due = self.due(slot);
        due.at = at;
        let Some(at) = at else { return };
        if due.queued.is_none_or(|queued| at < queued) {
            due.queued = Some(at);
            self.heap.push(Reverse((at, slot)));
        }
    }

    /// The earliest deadline; prunes what is stale at the top.
    pub fn earliest(&mut self) -> Option<Instant> {
        while let Some(&Reverse((at, slot))) = self.heap.peek() {
            let due = self.due(slot);
            if due.queued != Some(at) {
                // A later entry of a slot that was queued earlier since.
                self.heap.pop();
                continue;
            }
            match due.at {
                Some(true_at) if true_at == at => return Some(at),
                Some(true_at) => {
                    due.queued = Some(true_at);
                    self.heap.pop();
                    self.heap.push(Reverse((true_at, slot)));
                }
                None => {
                    due.queued = None;
                    self.heap.pop();
                }
            }
        }
        None
    }

    /// Takes one that is due; its deadline is cleared until it is set again.
    pub fn pop_due(&mut self, now: Instant) -> Option<Slot> {
        if self.earliest()? > now {
            return None;
        }
        let Reverse((_, slot)) = self.heap.pop()?;
        let due = self.due(slot);
        due.at = None;
        due.queued = None;
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u64) -> Instant {
        Instant::from_nanos(n)
    }

    #[test]
    fn a_deadline_that_moves_later_does_not_fire_early() {
        let mut t = Timers::default();
        t.set(Slot::Router(3), Some(at(10)));
        t.set(Slot::Router(3), Some(at(20)));
        assert_eq!(t.pop_due(at(10)), None);
        assert_eq!(t.earliest(), Some(at(20)));
        assert_eq!(t.pop_due(at(20)), Some(Slot::Router(3)));
        assert_eq!(t.pop_due(at(99)), None);
    }

    #[test]
    fn a_deadline_that_moves_earlier_fires_once() {
        let mut t = Timers::default();
        t.set(Slot::Tracker(0), Some(at(20)));
        t.set(Slot::Tracker(0), Some(at(5)));
        t.set(Slot::Router(0), Some(at(7)));
        assert_eq!(t.pop_due(at(6)), Some(Slot::Tracker(0)));
        assert_eq!(t.pop_due(at(100)), Some(Slot::Router(0)));
        assert_eq!(t.pop_due(at(100)), None);
    }

    #[test]
    fn agrees_with_a_plain_scan() {
        let mut t = Timers::default();
        let mut model = [None::<u64>; 8];
        let mut seed = 0x9e37_79b9_u64;
        for step in 0..20_000u64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let slot = (seed >> 40) as usize % 8;
            match (seed >> 50) % 4 {
                0 => {
                    model[slot] = None;
                    t.set(Slot::Router(slot as u32), None);
                }
                1 | 2 => {
                    let when = step + (seed >> 33) % 50;
                    model[slot] = Some(when);
                    t.set(Slot::Router(slot as u32), Some(at(when)));
                }
                _ => {
                    while let Some(Slot::Router(due)) = t.pop_due(at(step)) {
                        let when = model[due as usize].take().expect("was set");
                        assert!(when <= step);
                    }
                    assert!(model.iter().flatten().all(|&when| when > step));
                }
            }
            assert_eq!(t.earliest(), model.iter().flatten().min().map(|&n| at(n)));
        }
    }
}
