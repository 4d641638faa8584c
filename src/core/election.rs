//! The arithmetic of the election, in whole nanoseconds (RFC 9568 §6.1, §6.4).

use crate::model::ids::Version;
use crate::model::priority::Priority;
use crate::model::time::nanos;
use std::net::IpAddr;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Skew_Time: `(256 - priority) * interval / 256`; version 2 always counts from one second
/// (RFC 3768 §6.1), without rounding to whole seconds.
pub fn skew_time(version: Version, priority: Priority, adver: Duration) -> Duration {
    let base = match version {
        Version::V2 => SECOND,
        Version::V3 => adver,
    };
    let share = 256 - u64::from(priority.get());
    Duration::from_nanos(nanos(base).saturating_mul(share) / 256)
}

/// Active_Down_Interval: `adverts * interval + Skew_Time`; `adverts` is 3 unless
/// `down_timer_adverts` says otherwise.
pub fn active_down_interval(
    version: Version,
    priority: Priority,
    adver: Duration,
    adverts: u8,
) -> Duration {
    adver
        .saturating_mul(u32::from(adverts))
        .saturating_add(skew_time(version, priority, adver))
}

/// How an advert stands against an Active router (RFC 9568 §6.4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rank {
    /// Its sender takes over.
    Outranks,
    /// We stay.
    Below,
    /// Same priority, same address: two routers share an address.
    Ourselves,
}

/// Who wins: the higher priority, then the higher address as an unsigned integer.
pub fn rank(them: (Priority, IpAddr), us: (Priority, IpAddr)) -> Rank {
    match them
        .0
        .cmp(&us.0)
        .then_with(|| as_integer(them.1).cmp(&as_integer(us.1)))
    {
        std::cmp::Ordering::Greater => Rank::Outranks,
        std::cmp::Ordering::Less => Rank::Below,
        std::cmp::Ordering::Equal => Rank::Ourselves,
    }
}

fn as_integer(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(a) => u128::from(a.to_bits()),
        IpAddr::V6(a) => a.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prio(p: u8) -> Priority {
        Priority::new(p).expect("not zero")
    }

    #[test]
    fn timers_are_exact_to_the_microsecond() {
        for (p, skew_us) in [
            (254, 7_812),
            (200, 218_750),
            (150, 414_062),
            (100, 609_375),
            (1, 996_093),
        ] {
            let skew = skew_time(Version::V3, prio(p), SECOND);
            assert_eq!(skew.as_micros(), skew_us, "priority {p}");
            assert_eq!(
                active_down_interval(Version::V3, prio(p), SECOND, 3),
                Duration::from_secs(3) + skew
            );
        }
        let short = skew_time(Version::V3, prio(150), Duration::from_millis(10));
        assert_eq!(short.as_nanos(), 4_140_625);
        let long = skew_time(Version::V3, prio(1), Duration::from_millis(40_950));
        assert_eq!(long.as_nanos(), 40_950_000_000 * 255 / 256);
        assert_eq!(
            skew_time(Version::V3, prio(255), SECOND).as_nanos(),
            3_906_250
        );
    }

    #[test]
    fn version_two_skews_by_a_fraction_of_a_second_whatever_the_interval() {
        let skew = skew_time(Version::V2, prio(150), Duration::from_secs(200));
        assert_eq!(skew.as_micros(), 414_062);
    }

    #[test]
    fn addresses_compare_as_whole_unsigned_integers() {
        let p = prio(100);
        let (low, high) = (IpAddr::from([10, 0, 0, 200]), IpAddr::from([10, 0, 1, 1]));
        assert_eq!(rank((p, high), (p, low)), Rank::Outranks);
        assert_eq!(rank((p, low), (p, high)), Rank::Below);
        assert_eq!(rank((p, low), (p, low)), Rank::Ourselves);
        let (a, b) = (IpAddr::from([192, 0, 0, 1]), IpAddr::from([10, 0, 0, 1]));
        assert_eq!(
            rank((p, a), (p, b)),
            Rank::Outranks,
            "the top bit is no sign"
        );
        assert_eq!(rank((prio(101), low), (p, high)), Rank::Outranks);
    }
}
