//! A small seeded generator: the only source of chance in a simulated world.

use crate::model::time::nanos;
use std::time::Duration;

/// SplitMix64: one word of state, every seed good.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The same seed gives the same sequence, on every machine.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // The high half of the product; its bias is far under what a simulation could show.
        let wide = u128::from(self.bits()) * u128::from(end);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// True so many times in a thousand.
    pub fn permille(&mut self, chance: u32) -> bool {
        chance > 0 && self.below(1000) < u64::from(chance)
    }

    /// A length from `least` to `most`, both possible.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = nanos(most).saturating_sub(nanos(least));
        least + Duration::from_nanos(self.below(span.saturating_add(1)))
    }

    /// One of a list; `None` if it is empty.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        let at = usize::try_from(self.below(list.len() as u64)).unwrap_or(0);
        list.get(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_sequence() {
        let (mut a, mut b) = (Rng::new(7), Rng::new(7));
        for _ in 0..100 {
            assert_eq!(a.bits(), b.bits());
        }
        assert_ne!(Rng::new(7).bits(), Rng::new(8).bits());
    }

    #[test]
    fn chances_come_out_as_asked() {
        let mut rng = Rng::new(1);
        let hits = (0..100_000).filter(|_| rng.permille(300)).count();
        assert!((29_000..31_000).contains(&hits), "{hits} of 100000 at 30 %");
        assert!((0..1000).all(|_| !rng.permille(0)));
        assert!((0..1000).all(|_| rng.permille(1000)));
    }

    #[test]
    fn lengths_stay_between_their_ends() {
        let mut rng = Rng::new(3);
        let (least, most) = (Duration::from_micros(5), Duration::from_micros(9));
        for _ in 0..1000 {
            let length = rng.between(least, most);
            assert!(least <= length && length <= most, "{length:?}");
        }
        assert_eq!(rng.between(most, most), most);
    }
}
