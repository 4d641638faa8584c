//! Lists handed from thread to thread without the engine ever waiting.
//!
//! The engine runs at real-time priority, its partners do not: if it waited for a mutex whose holder
//! was pushed off the processor, it would wait as long as the scheduler likes. So the engine only
//! tries the lock. When it is taken the engine says that it has missed, and the partner, who always
//! unlocks soon, rings the engine's bell.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// A list between the engine and one partner.
///
/// It is lossless: nothing is dropped, so its bound is what the callers keep under way at a time.
#[derive(Debug)]
pub struct Handover<T> {
    list: Mutex<Vec<T>>,
    missed: AtomicBool,
}

impl<T> Handover<T> {
    /// With room for so many, so that the steady state allocates nothing.
    pub fn with_capacity(room: usize) -> Self {
        Self {
            list: Mutex::new(Vec::with_capacity(room)),
            missed: AtomicBool::new(false),
        }
    }

    /// The engine's end: runs `on` over the list, or returns `None` if the partner is at it just
    /// now; the partner then learns it from [`Handover::partner`] and rings. Never blocks.
    pub fn engine<R>(&self, on: impl FnOnce(&mut Vec<T>) -> R) -> Option<R> {
        if let Some(mut list) = self.try_lock() {
            return Some(on(&mut list));
        }
        self.missed.store(true, Ordering::SeqCst);
        // Once more: had the partner unlocked before it could see the flag, nobody would ring.
        self.try_lock().map(|mut list| on(&mut list))
    }

    /// The partner's end: runs `on` over the list and says whether the engine found it locked in the
    /// meantime and is to be rung. `on` must be short.
    pub fn partner<R>(&self, on: impl FnOnce(&mut Vec<T>) -> R) -> (R, bool) {
        let result = on(&mut self.list.lock().unwrap_or_else(PoisonError::into_inner));
        (result, self.missed.swap(false, Ordering::SeqCst))
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, Vec<T>>> {
        match self.list.try_lock() {
            Ok(list) => Some(list),
            Err(TryLockError::Poisoned(list)) => Some(list.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_in_order() {
        let handover = Handover::with_capacity(2);
        assert_eq!(handover.engine(|list| list.extend([1, 2, 3])), Some(()));
        let (taken, missed) = handover.partner(std::mem::take);
        assert_eq!((taken, missed), (vec![1, 2, 3], false));
    }

    #[test]
    fn an_engine_that_finds_the_lock_taken_is_to_be_rung() {
        let handover = Handover::with_capacity(1);
        let ((), missed) = handover.partner(|list| {
            list.push(1);
            assert_eq!(handover.engine(Vec::pop), None);
        });
        assert!(missed);
        assert_eq!(handover.engine(Vec::pop), Some(Some(1)));
        assert!(!handover.partner(|_| ()).1);
    }

    #[test]
    fn two_threads_lose_nothing() {
        let handover = Handover::with_capacity(64);
        const COUNT: u32 = 20_000;
        std::thread::scope(|threads| {
            threads.spawn(|| {
                let mut next = 0;
                while next < COUNT {
                    if handover.engine(|list| list.push(next)).is_some() {
                        next += 1;
                    }
                }
            });
            let mut seen = 0;
            while seen < COUNT {
                for value in handover.partner(std::mem::take).0 {
                    assert_eq!(value, seen);
                    seen += 1;
                }
                std::thread::yield_now();
            }
        });
    }
}
