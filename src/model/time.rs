//! Time as an argument: an instant with an arbitrary zero and the wire's interval units.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// Nanoseconds on a monotonic clock with an arbitrary zero.
///
/// It has no `now()`: only `os::clock` and `sim` make instants from the outside.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Instant(u64);

impl Instant {
    /// The arbitrary zero.
    pub const ZERO: Self = Self(0);
    /// Later than any instant that is ever reached.
    pub const MAX: Self = Self(u64::MAX);

    /// An instant from nanoseconds after the zero.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds after the zero.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`, zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Saturates at [`Instant::MAX`].
impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, length: Duration) -> Self {
        Self(self.0.saturating_add(nanos(length)))
    }
}

/// Saturates at [`Instant::ZERO`].
impl Sub<Duration> for Instant {
    type Output = Self;
    fn sub(self, length: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(length)))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:06}",
            self.0 / 1_000_000_000,
            self.0 % 1_000_000_000 / 1_000
        )
    }
}

/// A length of time in whole nanoseconds, saturating (585 years).
pub fn nanos(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}

/// The interval field of version 3: 12 bits of centiseconds (RFC 9568 §5.2.7).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Centis(u16);

impl Centis {
    /// 40.95 s, the longest interval that fits.
    pub const MAX: Self = Self(4095);

    /// The field's value; bits above the twelfth (reserved on the wire) are dropped.
    pub const fn from_wire(field: u16) -> Self {
        Self(field & 0x0fff)
    }

    /// Rounds a length to the nearest centisecond, clamped to 1..=4095.
    pub fn from_duration(length: Duration) -> Self {
        let centis = (nanos(length).saturating_add(5_000_000)) / 10_000_000;
        Self(u16::try_from(centis.clamp(1, 4095)).unwrap_or(4095))
    }

    /// The twelve bits for the wire.
    pub const fn wire(self) -> u16 {
        self.0
    }

    /// As a length of time.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0 as u64 * 10)
    }
}

/// A length of time for people: `3.610 s`, `250 ms`, `40 us`.
#[derive(Clone, Copy)]
pub struct Human(pub Duration);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = nanos(self.0);
        if ns >= 1_000_000_000 {
            write!(
                f,
                "{}.{:03} s",
                ns / 1_000_000_000,
                ns % 1_000_000_000 / 1_000_000
            )
        } else if ns >= 1_000_000 {
            write!(f, "{} ms", ns / 1_000_000)
        } else {
            write!(f, "{} us", ns / 1_000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn centis_round_to_nearest_and_stay_in_twelve_bits() {
        assert_eq!(Centis::from_duration(Duration::from_millis(924)).wire(), 92);
        assert_eq!(Centis::from_duration(Duration::from_millis(925)).wire(), 93);
        assert_eq!(Centis::from_duration(Duration::ZERO).wire(), 1);
        assert_eq!(Centis::from_duration(Duration::from_secs(99)), Centis::MAX);
        assert_eq!(Centis::from_wire(0xf064).wire(), 100);
    }

    #[test]
    fn instants_saturate_instead_of_wrapping() {
        assert_eq!(Instant::MAX + Duration::from_secs(1), Instant::MAX);
        assert_eq!(Instant::ZERO - Duration::from_secs(1), Instant::ZERO);
        assert_eq!(Instant::ZERO.since(Instant::MAX), Duration::ZERO);
    }
}
