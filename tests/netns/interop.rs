//! One scenario, every pairing: elect, crash, come back, leave politely.

use crate::support::conf::{Conf, Instance};
use crate::support::daemon::{Daemon, Kind};
use crate::support::lab::Lab;
use crate::support::runner::Test;
use crate::support::{ns, runner, secs, wait_until, wall_ns};
use crate::{need_program, need_root, tests};

use Kind::{Frr, Keepalived, Mainstay};

const HIGH: u8 = 200;
const LOW: u8 = 100;

/// A busy machine is late; it is never early.
pub(crate) const SLACK: f64 = 0.6;

fn need(kind: Kind) {
    match kind {
        Mainstay => need_root(),
        Keepalived => need_program("/usr/sbin/keepalived"),
        Frr => {
            need_program("/usr/lib/frr/vrrpd");
            if !ns::kernel_has("macvlan") {
                runner::skip("FRR's vrrpd needs macvlan, which this kernel lacks");
            }
        }
    }
}

/// Time from `from_ns` to `to_ns` in seconds.
pub(crate) fn seconds(from_ns: u64, to_ns: u64) -> f64 {
    (to_ns as f64 - from_ns as f64) / 1e9
}

#[track_caller]
fn assert_took(what: &str, took: f64, least: f64) {
    // Peers that count in centiseconds may be early by one.
    assert!(
        took > least - 0.025 && took < least + SLACK,
        "{what}: expected {least:.3} s (to {:.3}), took {took:.3} s",
        least + SLACK
    );
}

fn has_vips(lab: &Lab, n: usize, instance: &Instance) -> bool {
    instance.addresses().iter().all(|a| lab.host(n).has(a))
}

fn no_vips(lab: &Lab, n: usize, instance: &Instance) -> bool {
    instance.addresses().iter().all(|a| !lab.host(n).has(a))
}

/// r1 with the high priority of one kind, r2 with the low one of another.
fn scenario(one: Kind, two: Kind, make: fn(u8) -> Instance) {
    need(one);
    need(two);
    let lab = Lab::new(2);
    let (high, low) = (make(HIGH), make(LOW));
    let (confs, id) = ([Conf::one(high.clone()), Conf::one(low.clone())], high.vrid);

    // Election: the high one serves, the low one is quiet.
    let since = wall_ns();
    let mut r1 = lab.start(1, one, &confs[0]);
    let mut r2: Daemon = lab.start(2, two, &confs[1]);
    let (_, first) = lab.wait_advert(1, id, since, high.down(HIGH) + 8.0);
    assert_eq!(first.priority, HIGH);
    assert_eq!(
        first.hop_limit,
        if first.dst.is_multicast() || one != Keepalived {
            255
        } else {
            first.hop_limit
        }
    );
    assert!(first.checksum_ok, "checksum of {first:?}");
    lab.settle(1, id, 2.5 * high.interval, high.down(HIGH) + 5.0);
    lab.only(1, id, 2.5 * high.interval);
    if one != Frr {
        wait_until("the addresses on r1", secs(3.0), || {
            has_vips(&lab, 1, &high)
        });
    }
    if two != Frr {
        assert!(no_vips(&lab, 2, &low), "a backup holds no address");
    }

    // Crash: the low one takes over after its Active_Down_Interval.
    r1.kill9();
    let dead = wall_ns();
    let (taken, advert) = lab.wait_advert(2, id, dead, low.down(LOW) + 5.0);
    assert_eq!(advert.priority, LOW);
    let last = lab.last_advert(1, id, dead);
    assert_took(
        "takeover after kill -9",
        seconds(last, taken),
        low.down(LOW),
    );
    if two != Frr {
        wait_until("the addresses on r2", secs(3.0), || has_vips(&lab, 2, &low));
    }

    // Return: the high one outranks it, the low one yields.
    let back = wall_ns();
    drop(r1);
    r1 = lab.start(1, one, &confs[0]);
    lab.wait_advert(1, id, back, high.down(HIGH) + 8.0);
    lab.settle(1, id, 2.5 * high.interval, high.down(HIGH) + 5.0);
    if two != Frr {
        wait_until("r2 without addresses", secs(3.0), || no_vips(&lab, 2, &low));
    }

    // Goodbye: priority 0 is heard, the low one waits only its Skew_Time.
    let bye = wall_ns();
    r1.term();
    let released = lab.wait_release(1, id, bye, 5.0);
    let (taken, _) = lab.wait_advert(2, id, released, low.down(LOW) + 5.0);
    assert_took(
        "takeover after priority 0",
        seconds(released, taken),
        low.skew(LOW),
    );
    if one != Frr {
        assert!(
            no_vips(&lab, 1, &high),
            "addresses stay behind after SIGTERM"
        );
    }
    let bye = wall_ns();
    r2.term();
    lab.wait_release(2, id, bye, 5.0);
}

fn v2(p: u8) -> Instance {
    Instance::v2(p)
}
fn v3(p: u8) -> Instance {
    Instance::v3(p)
}
fn six(p: u8) -> Instance {
    Instance::six(p)
}
fn v2_unicast(p: u8) -> Instance {
    Instance::v2(p).unicast()
}
fn v3_unicast(p: u8) -> Instance {
    Instance::v3(p).unicast()
}
fn six_unicast(p: u8) -> Instance {
    Instance::six(p).unicast()
}
fn v2_password(p: u8) -> Instance {
    Instance::v2(p)
        .with("authentication {\n        auth_type PASS\n        auth_pass secret12\n    }")
}

macro_rules! pairings {
    ($($name:ident: $one:ident, $two:ident, $make:ident;)*) => {
        $(fn $name() { scenario($one, $two, $make); })*
        pub(crate) fn tests() -> Vec<Test> { tests![$($name),*] }
    };
}

// Those in version 2 take longest, so they come first.
pairings! {
    v2_mainstay_over_keepalived: Mainstay, Keepalived, v2;
    v2_keepalived_over_mainstay: Keepalived, Mainstay, v2;
    v2_mainstay_over_mainstay: Mainstay, Mainstay, v2;
    v2_mainstay_over_frr: Mainstay, Frr, v2;
    v2_frr_over_mainstay: Frr, Mainstay, v2;
    v2_password_mainstay_over_keepalived: Mainstay, Keepalived, v2_password;
    v2_password_keepalived_over_mainstay: Keepalived, Mainstay, v2_password;
    v2_unicast_mainstay_over_keepalived: Mainstay, Keepalived, v2_unicast;
    v2_unicast_keepalived_over_mainstay: Keepalived, Mainstay, v2_unicast;
    v3_mainstay_over_mainstay: Mainstay, Mainstay, v3;
    v3_mainstay_over_keepalived: Mainstay, Keepalived, v3;
    v3_keepalived_over_mainstay: Keepalived, Mainstay, v3;
    v3_mainstay_over_frr: Mainstay, Frr, v3;
    v3_frr_over_mainstay: Frr, Mainstay, v3;
    v3_unicast_mainstay_over_mainstay: Mainstay, Mainstay, v3_unicast;
    v3_unicast_mainstay_over_keepalived: Mainstay, Keepalived, v3_unicast;
    v3_unicast_keepalived_over_mainstay: Keepalived, Mainstay, v3_unicast;
    six_mainstay_over_mainstay: Mainstay, Mainstay, six;
    six_mainstay_over_keepalived: Mainstay, Keepalived, six;
    six_keepalived_over_mainstay: Keepalived, Mainstay, six;
    six_mainstay_over_frr: Mainstay, Frr, six;
    six_frr_over_mainstay: Frr, Mainstay, six;
    six_unicast_mainstay_over_mainstay: Mainstay, Mainstay, six_unicast;
    six_unicast_mainstay_over_keepalived: Mainstay, Keepalived, six_unicast;
    six_unicast_keepalived_over_mainstay: Keepalived, Mainstay, six_unicast;
    // The laboratory itself: two routers that are known to work.
    control_keepalived_over_keepalived: Keepalived, Keepalived, v3;
    control_keepalived_over_frr: Keepalived, Frr, six;
}
