//! What stands on the wire: announcements, answers, and what a master must not be moved by.

use crate::support::conf::{Conf, Instance};
use crate::support::daemon::Kind::{Keepalived, Mainstay};
use crate::support::frames::{Frame, Kind};
use crate::support::inject::{Craft, Injector};
use crate::support::lab::Lab;
use crate::support::runner::Test;
use crate::support::{note, secs, wait_until, wall_ns, watch};
use crate::{need_program, need_root, tests};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Instant;

pub(crate) fn tests() -> Vec<Test> {
    tests![
        announcements_follow_the_first_advert_five_and_five,
        the_first_advert_over_ipv6_does_not_wait_for_dad,
        a_flood_of_losing_adverts_gets_one_answer_an_interval,
        rejected_packets_do_not_silence_a_master,
        rejected_packets_do_not_move_a_backup,
        interval_zero_moves_nobody,
        goodbye_is_said_once,
        an_owner_serves_at_once,
        adverts_keep_their_period,
        the_learned_interval_is_used_and_forgotten,
        another_list_of_addresses_is_heeded,
        nopreempt_leaves_a_lower_master_alone,
    ]
}

fn alone(instance: Instance) -> (Lab, crate::support::daemon::Daemon) {
    need_root();
    let lab = Lab::new(2);
    let vrid = instance.vrid;
    let r1 = lab.start(1, Mainstay, &Conf::one(instance));
    lab.settle(1, vrid, 0.3, 10.0);
    (lab, r1)
}

fn times(lab: &Lab, keep: impl Fn(&Frame) -> bool) -> Vec<u64> {
    let frames = lab.cap.frames();
    frames
        .iter()
        .filter(|f| f.from == 1 && keep(f))
        .map(|f| f.at_ns)
        .collect()
}

fn announcements_follow_the_first_advert_five_and_five() {
    need_root();
    let lab = Lab::new(1);
    let four = Instance::v3(100).vips(&["10.9.0.51/24", "10.9.0.52/24"]);
    let six = Instance::six(100).vrid(52);
    let conf = Conf {
        instances: vec![four, six],
        ..Conf::default()
    };
    let _r1 = lab.start(1, Mainstay, &conf);
    lab.wait_advert(1, 51, 0, 10.0);
    watch(secs(6.0));
    let first = |vrid: u8| times(&lab, |f| f.advert().is_some_and(|a| a.vrid == vrid))[0];
    let four: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 9, 0, 51), Ipv4Addr::new(10, 9, 0, 52)];
    let six: [Ipv6Addr; 2] = ["fe80::9:51", "fd00:9::51"].map(|a| a.parse().unwrap());
    let mut sets = Vec::new();
    sets.extend(four.map(|a| (first(51), times(&lab, |f| f.kind == Kind::Garp(a)))));
    sets.extend(six.map(|a| (first(52), times(&lab, |f| f.kind == Kind::Na(a)))));
    for (advert, seen) in sets {
        let after: Vec<f64> = seen
            .iter()
            .map(|at| (*at as f64 - advert as f64) / 1e9)
            .collect();
        note(format!("announcements after the first advert: {after:?}"));
        assert_eq!(
            after.len(),
            10,
            "five at once and five after garp_master_delay: {after:?}"
        );
        assert!(after[0] > 0.0, "the advert comes first: {after:?}");
        assert!(after[4] < 0.5, "five at once: {after:?}");
        assert!(
            after[5] > 4.9 && after[9] < 5.5,
            "five more after 5 s: {after:?}"
        );
    }
}

fn the_first_advert_over_ipv6_does_not_wait_for_dad() {
    need_root();
    let lab = Lab::new(2);
    lab.host(1).ns.sysctl("ipv6/conf/eth0/accept_dad", "1");
    lab.host(1).ns.sysctl("ipv6/conf/eth0/dad_transmits", "3");
    let six = Instance::six(100);
    let mut r2 = lab.start(2, Mainstay, &Conf::one(Instance::six(200)));
    let r1 = lab.start(1, Mainstay, &Conf::one(six.clone()));
    lab.settle(2, 51, 0.6, 10.0);
    r1.wait_state("VI_1", "BACKUP", 5.0);
    r2.kill9();
    let dead = wall_ns();
    let last = lab.last_advert(2, 51, dead);
    let (at, _) = lab.wait_advert(1, 51, dead, 5.0);
    let took = (at - last) as f64 / 1e9;
    assert!(
        took < six.down(100) + 0.4,
        "took {took:.3} s, DAD takes seconds"
    );
    let vip: Ipv6Addr = "fd00:9::51".parse().unwrap();
    wait_until("the announcement", secs(1.0), || {
        !times(&lab, |f| f.kind == Kind::Na(vip)).is_empty()
    });
}

fn a_flood_of_losing_adverts_gets_one_answer_an_interval() {
    let (lab, r1) = alone(Instance::v3(200).with("garp_master_delay 0"));
    let injector = Injector::v4(lab.host(2));
    watch(secs(0.5));
    let since = wall_ns();
    let start = Instant::now();
    let mut sent = 0;
    while start.elapsed() < secs(3.0) {
        injector.send(&Craft::v3(50, 20));
        sent += 1;
        std::thread::sleep(secs(0.005));
    }
    let length = start.elapsed().as_secs_f64();
    let until = wall_ns();
    let answers = times(&lab, |f| {
        f.at_ns > since && f.at_ns < until && f.advert().is_some()
    })
    .len();
    let garps = times(&lab, |f| {
        f.at_ns > since && f.at_ns < until && matches!(f.kind, Kind::Garp(_))
    })
    .len();
    let intervals = length / 0.2;
    note(format!(
        "{sent} losing adverts, {answers} of ours, {garps} GARPs in {intervals:.1} intervals"
    ));
    assert!(sent > 100, "a flood is more than {sent}");
    let most = (2.0 * intervals).ceil() as usize + 2;
    assert!(
        answers <= most,
        "{answers} adverts in {intervals:.1} intervals, at most {most}"
    );
    assert!(
        answers as f64 >= intervals - 2.0,
        "{answers} adverts in {intervals:.1} intervals: silenced"
    );
    assert!(
        garps <= 5 * (intervals.ceil() as usize + 1),
        "{garps} GARPs in {intervals:.1} intervals"
    );
    let seen = r1.wait_state("VI_1", "MASTER", 2.0);
    assert!(
        seen["counters"]["lower_unanswered"].as_u64().unwrap() > 0,
        "{seen}"
    );
}

/// One packet for each reason to reject it.
fn rejects() -> Vec<(&'static str, Craft)> {
    let good = Craft::v3(250, 50);
    vec![
        (
            "checksum",
            Craft {
                checksum_off: 1,
                ..good.clone()
            },
        ),
        (
            "hop limit",
            Craft {
                ttl: 254,
                ..good.clone()
            },
        ),
        (
            "version",
            Craft {
                version: 2,
                interval_cs: 100,
                ..good.clone()
            },
        ),
        (
            "version 7",
            Craft {
                version: 7,
                ..good.clone()
            },
        ),
        (
            "type",
            Craft {
                kind: 2,
                ..good.clone()
            },
        ),
        (
            "too long",
            Craft {
                tail: vec![0xee; 44],
                ..good.clone()
            },
        ),
        (
            "interval 0",
            Craft {
                interval_cs: 0,
                ..good.clone()
            },
        ),
        (
            "no address",
            Craft {
                addresses: Vec::new(),
                ..good
            },
        ),
    ]
}

fn rejected_packets_do_not_silence_a_master() {
    let (lab, r1) = alone(Instance::v3(100).every(0.5));
    let injector = Injector::v4(lab.host(2));
    let since = wall_ns();
    for _ in 0..3 {
        for (_, craft) in rejects() {
            injector.send(&craft);
            watch(secs(0.2));
        }
        injector.send_bytes(&[0x31, 51, 250, 1]);
    }
    let sent = times(&lab, |f| f.at_ns > since && f.advert().is_some());
    let gaps: Vec<f64> = sent
        .windows(2)
        .map(|w| (w[1] - w[0]) as f64 / 1e9)
        .collect();
    assert!(gaps.len() >= 7, "silenced: gaps {gaps:?}");
    assert!(
        gaps.iter().all(|g| *g < 0.75),
        "its period moved: gaps {gaps:?}"
    );
    let seen = r1.wait_state("VI_1", "MASTER", 2.0);
    assert_eq!(seen["counters"]["become_master"], 1, "{seen}");
    for reason in [
        "checksum",
        "hop_limit",
        "version",
        "type",
        "length",
        "zero_interval",
        "no_addresses",
        "too_short",
    ] {
        let counted = seen["counters"]["rejected"][reason].as_u64();
        assert!(
            counted >= Some(3),
            "{reason}: {}",
            seen["counters"]["rejected"]
        );
    }
}

fn rejected_packets_do_not_move_a_backup() {
    need_root();
    let lab = Lab::new(3);
    let mut r2 = lab.start(2, Mainstay, &Conf::one(Instance::v3(200)));
    let r1 = lab.start(1, Mainstay, &Conf::one(Instance::v3(100)));
    lab.settle(2, 51, 0.6, 10.0);
    r1.wait_state("VI_1", "BACKUP", 5.0);
    let injector = Injector::v4(lab.host(3));
    r2.kill9();
    let dead = wall_ns();
    let last = lab.last_advert(2, 51, dead);
    // Rejected packets of a seemingly better router must not keep the timer up.
    let mut at = None;
    for (_, craft) in rejects().into_iter().cycle().take(60) {
        injector.send(&craft);
        watch(secs(0.05));
        let mine = lab.adverts(dead, |f, a| f.from == 1 && a.priority == 100);
        if let Some((first, _, _)) = mine.first() {
            at = Some(*first);
            break;
        }
    }
    let took = (at.expect("r1 takes over") - last) as f64 / 1e9;
    let down = Instance::v3(100).down(100);
    assert!(
        took > down - 0.025 && took < down + 0.5,
        "took {took:.3} s, expected {down:.3}"
    );
}

fn interval_zero_moves_nobody() {
    need_root();
    let lab = Lab::new(3);
    let r2 = lab.start(2, Mainstay, &Conf::one(Instance::v3(200)));
    let r1 = lab.start(1, Mainstay, &Conf::one(Instance::v3(100)));
    lab.settle(2, 51, 0.6, 10.0);
    r1.wait_state("VI_1", "BACKUP", 5.0);
    let injector = Injector::v4(lab.host(3));
    let six = Injector::v6(lab.host(3));
    for _ in 0..45 {
        injector.send(&Craft::v3(250, 0));
        six.send6(250, 0, &["fe80::9:51".parse().unwrap()]);
        watch(secs(0.02));
    }
    lab.host(1).ns.sh("true");
    let r1 = r1.instance("VI_1").expect("r1 answers");
    let r2 = r2.instance("VI_1").expect("r2 answers");
    assert_eq!(
        (&r1["state"], &r1["counters"]["become_master"]),
        (&"BACKUP".into(), &0.into()),
        "{r1}"
    );
    assert_eq!(
        (&r2["state"], &r2["counters"]["become_master"]),
        (&"MASTER".into(), &1.into()),
        "{r2}"
    );
}

fn goodbye_is_said_once() {
    let (lab, mut r1) = alone(Instance::v3(100));
    let since = wall_ns();
    let status = r1.term();
    assert!(status.success(), "{status}");
    watch(secs(0.3));
    let zeros = lab.adverts(since, |f, a| f.from == 1 && a.priority == 0);
    assert_eq!(zeros.len(), 1, "priority 0 exactly once: {zeros:?}");
    let after = lab.adverts(zeros[0].0 + 1, |f, _| f.from == 1);
    assert!(after.is_empty(), "nothing after the goodbye: {after:?}");
    assert!(!lab.host(1).has("10.9.0.51"), "the address stays behind");
}

fn an_owner_serves_at_once() {
    need_root();
    let lab = Lab::new(2);
    let _r2 = lab.start(2, Mainstay, &Conf::one(Instance::v3(254).every(1.0)));
    let mut owner = Instance::v3(255).every(1.0);
    owner.state = "MASTER";
    let since = wall_ns();
    let _r1 = lab.start(1, Mainstay, &Conf::one(owner));
    let (at, advert) = lab.wait_advert(1, 51, since, 3.0);
    assert_eq!(advert.priority, 255);
    let took = (at - since) as f64 / 1e9;
    assert!(
        took < 1.5,
        "an owner does not wait three intervals, took {took:.3} s from its start"
    );
}

fn adverts_keep_their_period() {
    let (lab, _r1) = alone(Instance::v3(100).every(0.05));
    let since = wall_ns();
    watch(secs(5.0));
    let sent = times(&lab, |f| f.at_ns > since && f.advert().is_some());
    let mut late: Vec<f64> = sent
        .windows(2)
        .map(|w| (w[1] - w[0]) as f64 / 1e9 - 0.05)
        .collect();
    late.sort_by(f64::total_cmp);
    assert!(
        (97..=101).contains(&sent.len()),
        "{} adverts in 5 s at 0.05 s",
        sent.len()
    );
    let p90 = late[late.len() * 9 / 10];
    assert!(p90 < 0.01, "one in ten is {p90:.4} s late");
}

fn the_learned_interval_is_used_and_forgotten() {
    need_root();
    let lab = Lab::new(2);
    let mut r2 = lab.start(2, Mainstay, &Conf::one(Instance::v3(200).every(0.6)));
    lab.settle(2, 51, 0.7, 10.0);
    let r1 = lab.start(1, Mainstay, &Conf::one(Instance::v3(100).every(0.1)));
    // Until it hears the master it knows no other interval than its own, so it may serve once.
    watch(secs(1.0));
    lab.settle(2, 51, 1.3, 6.0);
    let before = r1.wait_state("VI_1", "BACKUP", 5.0);
    // Three of its own intervals are half of one of the master's.
    lab.only(2, 51, 2.0);
    let seen = r1.wait_state("VI_1", "BACKUP", 2.0);
    assert_eq!(
        seen["counters"]["become_master"], before["counters"]["become_master"],
        "{seen}"
    );
    assert_eq!(seen["learned_interval_s"], 0.6, "{seen}");
    r2.kill9();
    let dead = wall_ns();
    let last = lab.last_advert(2, 51, dead);
    let (at, advert) = lab.wait_advert(1, 51, dead, 5.0);
    let took = (at - last) as f64 / 1e9;
    let down = Instance::v3(100).every(0.6).down(100);
    assert!(
        took > down - 0.025 && took < down + 0.5,
        "took {took:.3} s, expected {down:.3}"
    );
    assert_eq!(
        advert.interval_cs, 10,
        "as master it advertises its own interval"
    );
    lab.only(1, 51, 0.5);
}

fn another_list_of_addresses_is_heeded() {
    need_program("/usr/sbin/keepalived");
    let lab = Lab::new(2);
    let high = Instance::v3(200).vips(&["10.9.0.51/24", "10.9.0.52/24"]);
    let _r1 = lab.start(1, Keepalived, &Conf::one(high));
    lab.settle(1, 51, 0.6, 10.0);
    let r2 = lab.start(2, Mainstay, &Conf::one(Instance::v3(100)));
    r2.wait_state("VI_1", "BACKUP", 5.0);
    lab.only(1, 51, 2.0);
    let seen = r2.wait_state("VI_1", "BACKUP", 2.0);
    assert!(
        seen["counters"]["addr_list_mismatch"].as_u64() > Some(0),
        "{seen}"
    );
}

fn nopreempt_leaves_a_lower_master_alone() {
    need_program("/usr/sbin/keepalived");
    let lab = Lab::new(2);
    let _r1 = lab.start(1, Keepalived, &Conf::one(Instance::v3(100)));
    lab.settle(1, 51, 0.6, 10.0);
    let r2 = lab.start(2, Mainstay, &Conf::one(Instance::v3(200).with("nopreempt")));
    r2.wait_state("VI_1", "BACKUP", 5.0);
    lab.only(1, 51, 2.5);
}
