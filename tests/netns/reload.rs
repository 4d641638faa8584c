//! Reloads of many instances, watched on the wire; what the kernel holds afterwards.

use crate::operate::{does, events};
use crate::support::capture::Capture;
use crate::support::conf::{Conf, Instance};
use crate::support::daemon::Daemon;
use crate::support::daemon::Kind::{self, Keepalived, Mainstay};
use crate::support::frames::{Frame, Kind as What};
use crate::support::lab::Lab;
use crate::support::proc::Proc;
use crate::support::runner::Test;
use crate::support::{note, secs, wait_until, wall_ns, watch};
use crate::{need_program, need_root, tests};
use std::collections::BTreeMap;

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_changed_priority_among_250_leaves_the_others_alone_before_keepalived,
        a_changed_priority_among_250_leaves_the_others_alone_in_version_2,
        a_changed_priority_among_250_leaves_the_others_alone_before_mainstay,
        a_changed_priority_among_1000_on_four_links_leaves_the_others_alone,
        a_longer_address_list_makes_no_second_master,
        options_of_an_address_are_changed_in_the_kernel,
        an_address_that_moves_between_instances_is_never_away,
    ]
}

const NAME: &str = "/usr/sbin/keepalived";
/// What a busy machine may add to an interval.
const LATE: f64 = 0.020;
/// On how many links the instances are, and how many there are on each.
const ON_EACH: u8 = 250;

/// Two routers with many instances on several links, all captured.
struct Many {
    lab: Lab,
    more: Option<Capture>,
    links: usize,
    version: u8,
    kinds: [Kind; 2],
}

impl Many {
    fn new(links: usize, version: u8, backup: Kind) -> Self {
        let lab = Lab::new(2);
        let mut wires = String::new();
        for link in 1..links {
            wires += &format!(
                "link add br{link} type bridge mcast_snooping 0 forward_delay 0\n\
                 link set br{link} up\n"
            );
            for n in [1, 2] {
                wires += &format!(
                    "link add q{n}_{link} type veth peer name eth{link} netns {}\n\
                     link set q{n}_{link} master br{link} up\n",
                    lab.host(n).ns.path()
                );
                // The other end is there once the batch so far is done.
                lab.bridge.ip(&wires);
                wires.clear();
                lab.host(n).ns.ip(&format!(
                    "link set eth{link} up\naddr add 10.9.{link}.{n}/24 brd + dev eth{link}\n"
                ));
            }
        }
        let listing = lab.bridge.sh("ip -o link show");
        let mut ports = Vec::new();
        for (link, n) in (1..links).flat_map(|link| [(link, 1), (link, 2)]) {
            let name = format!(": q{n}_{link}@");
            let line = listing.lines().find(|l| l.contains(&name)).unwrap();
            let index = line.split(':').next().unwrap().parse().unwrap();
            ports.push((index, link * 10 + n));
        }
        let more = (links > 1).then(|| Capture::start(&lab.bridge, ports));
        Self {
            lab,
            more,
            links,
            version,
            kinds: [Mainstay, backup],
        }
    }

    /// The file of router `n`; instance `changed` has one point more.
    fn conf(&self, n: usize, changed: Option<(usize, u8)>) -> Conf {
        const NAMES: [&str; 4] = ["eth0", "eth1", "eth2", "eth3"];
        let mut instances = Vec::new();
        for (link, interface) in NAMES.iter().enumerate().take(self.links) {
            for vrid in 1..=ON_EACH {
                let priority = if n == 1 { 200 } else { 100 };
                let more = u8::from(changed == Some((link, vrid)));
                let vip = format!("10.{}.0.{vrid}/32", 20 + link);
                let mut one = Instance::v3(priority + more).every(1.0).vips(&[&vip]);
                one.name = format!("VI_{link}_{vrid}");
                one.vrid = vrid;
                one.version = self.version;
                one.interface = interface;
                instances.push(one);
            }
        }
        Conf {
            instances,
            // The second set of announcements is over soon, and the test can begin.
            ..Conf::default().globals("vrrp_garp_master_delay 1\nvrrp_rt_priority 20")
        }
    }

    fn start(&self, n: usize) -> Daemon {
        let conf = self.conf(n, None);
        self.lab.start(n, self.kinds[n - 1], &conf)
    }

    /// Calls `on` for every frame since then with its link.
    fn frames(&self, since: u64, mut on: impl FnMut(usize, &Frame)) {
        for capture in std::iter::once(&self.lab.cap).chain(&self.more) {
            for frame in capture.frames().iter().filter(|f| f.at_ns >= since) {
                on(frame.from / 10, frame);
            }
        }
    }

    /// Times of the adverts of each (host, link, VRID) since then.
    fn adverts(&self, since: u64) -> BTreeMap<(usize, usize, u8), Vec<(u64, u8)>> {
        let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
        self.frames(since, |link, frame| {
            if let Some(advert) = frame.advert() {
                let key = (frame.from % 10, link, advert.vrid);
                all.entry(key)
                    .or_default()
                    .push((frame.at_ns, advert.priority));
            }
        });
        all
    }

    fn announced(&self, since: u64) -> Vec<(u64, What)> {
        let mut all = Vec::new();
        self.frames(since, |_, frame| {
            if matches!(frame.kind, What::Garp(_) | What::Na(_)) {
                all.push((frame.at_ns, frame.kind.clone()));
            }
        });
        all
    }

    /// Waits until r1 alone has advertised everything for two intervals and announces no more.
    fn settle(&self) {
        let count = self.links * usize::from(ON_EACH);
        // Five and five more for every address.
        wait_until("both sets of announcements", secs(10.0), || {
            self.announced(0).len() == count * 10
        });
        watch(secs(2.2));
        let seen = self.adverts(wall_ns() - 1_300_000_000);
        assert_eq!(seen.len(), count, "r1 alone advertises everything");
        assert!(seen.keys().all(|(host, _, _)| *host == 1));
    }
}

/// The longest gap of each instance on the wire, and the worst of all.
/// A virtual router on the wire: sender, link, VRID.
type OnWire = (usize, usize, u8);

fn worst_gap(adverts: &BTreeMap<OnWire, Vec<(u64, u8)>>) -> (f64, OnWire) {
    let gaps = adverts.iter().flat_map(|(key, times)| {
        let pairs = times.windows(2);
        pairs.map(move |w| ((w[1].0 - w[0].0) as f64 / 1e9, *key))
    });
    gaps.max_by(|a, b| a.0.total_cmp(&b.0))
        .unwrap_or((0.0, (0, 0, 0)))
}

/// One priority is changed and the file read again; everything else goes on as if nothing were.
fn one_priority(many: &Many, reload: impl FnOnce(&Daemon, &str)) {
    let r2 = many.start(2);
    if many.kinds[1] == Keepalived {
        r2.wait_log("Entering BACKUP STATE", 5.0);
    }
    let r1 = many.start(1);
    many.settle();
    let before = wall_ns() - 2_100_000_000;
    let touched = (many.links - 1, 125);
    let told = |words: &str| r2.main.output().matches(words).count();
    let (masters, backups) = (told("Entering MASTER STATE"), told("Entering BACKUP STATE"));
    let calm = worst_gap(&many.adverts(before)).0;
    let since = wall_ns();
    let conf = many.conf(1, Some(touched)).text(1, 2);
    reload(&r1, &conf);
    watch(secs(3.2));

    let seen = many.adverts(before);
    let (gap, whose) = worst_gap(&seen);
    note(format!(
        "longest gap {gap:.4} s ({whose:?}), before the reload {calm:.4} s"
    ));
    assert!(
        gap < 1.0 + LATE,
        "a reload delayed an advert: {gap:.4} s between two of {whose:?}, before it {calm:.4} s"
    );
    assert_eq!(seen.len(), many.links * usize::from(ON_EACH));
    for ((host, link, vrid), times) in &seen {
        assert_eq!(*host, 1, "a second master for VRID {vrid} on eth{link}");
        let end = (wall_ns() - times.last().unwrap().0) as f64 / 1e9;
        assert!(
            end < 1.5,
            "VRID {vrid} on eth{link} is silent since {end:.3} s"
        );
        let after: Vec<u8> = times
            .iter()
            .filter(|t| t.0 > since + 1_200_000_000)
            .map(|t| t.1)
            .collect();
        let expected = if (*link, *vrid) == touched { 201 } else { 200 };
        assert!(
            !after.is_empty() && after.iter().all(|p| *p == expected),
            "VRID {vrid} on eth{link}: {times:?}"
        );
    }
    let announced = many.announced(since);
    assert!(
        announced.is_empty(),
        "nothing moved, nothing is to be announced: {announced:?}"
    );
    let status = r1.status().unwrap();
    for one in status["instances"].as_array().unwrap() {
        assert_eq!(one["state"], "MASTER", "{one}");
        assert_eq!(one["counters"]["become_master"], 1, "{one}");
        assert_eq!(one["counters"]["release_master"], 0, "{one}");
    }
    assert_eq!(
        told("Entering MASTER STATE"),
        masters,
        "no transition of the peer"
    );
    assert_eq!(
        told("Entering BACKUP STATE"),
        backups,
        "no transition of the peer"
    );
}

fn by_signal(daemon: &Daemon, text: &str) {
    daemon.reload(text);
}

/// First a broken file, then a dry run, then the reload: only that does anything.
fn by_command(r1: &Daemon, text: &str) {
    let write = |text: &str| std::fs::write(&r1.file, text).unwrap();
    write(&text.replacen("priority 200", "priority", 1));
    let refused = does(r1, &["reload"], 2);
    assert!(refused.err.contains("nothing was changed"), "{refused}");
    r1.wait_log("reload refused, nothing was changed", 2.0);
    let recorded = events(r1, "reload").pop().expect("an event");
    assert_eq!(recorded["evidence"]["outcome"], "refused", "{recorded}");
    write(text);
    let dry = does(r1, &["reload", "--dry-run"], 0);
    let plan = "0 created, 1 changed, 0 removed, 249 untouched";
    assert!(
        dry.out.contains("priority 200 -> 201") && dry.out.contains(plan),
        "{dry}"
    );
    let seen = r1.instance("VI_0_125").unwrap();
    assert_eq!(seen["priority"], 200, "a dry run changes nothing: {seen}");
    let done = does(r1, &["reload"], 0);
    assert!(done.out.contains(plan), "{done}");
    let again = does(r1, &["reload"], 0);
    assert!(again.out.contains("nothing differs"), "{again}");
}

fn a_changed_priority_among_250_leaves_the_others_alone_before_keepalived() {
    need_program(NAME);
    one_priority(&Many::new(1, 3, Keepalived), by_signal);
}

fn a_changed_priority_among_250_leaves_the_others_alone_in_version_2() {
    need_program(NAME);
    one_priority(&Many::new(1, 2, Keepalived), by_signal);
}

fn a_changed_priority_among_250_leaves_the_others_alone_before_mainstay() {
    need_root();
    one_priority(&Many::new(1, 3, Mainstay), by_command);
}

fn a_changed_priority_among_1000_on_four_links_leaves_the_others_alone() {
    need_program(NAME);
    one_priority(&Many::new(4, 3, Keepalived), by_signal);
}

fn a_longer_address_list_makes_no_second_master() {
    need_root();
    let lab = Lab::new(2);
    let conf = |priority, vips: &[&str]| Conf::one(Instance::v3(priority).vips(vips));
    let (short, long) = (["10.9.0.51/24"], ["10.9.0.51/24", "10.9.0.52/24"]);
    let r2 = lab.start(2, Mainstay, &conf(100, &short));
    let r1 = lab.start(1, Mainstay, &conf(200, &short));
    lab.settle(1, 51, 0.6, 10.0);
    r2.wait_state("VI_1", "BACKUP", 2.0);
    let since = wall_ns();
    r1.reload(&conf(200, &long).text(1, 2));
    wait_until("the longer list on the wire", secs(3.0), || {
        !lab.adverts(since, |_, a| a.addresses.len() == 2).is_empty()
    });
    wait_until("the new address", secs(1.0), || {
        lab.host(1).has("10.9.0.52")
    });
    lab.only(1, 51, 2.0);
    assert!(!lab.host(2).has("10.9.0.51") && !lab.host(2).has("10.9.0.52"));
    r2.reload(&conf(100, &long).text(2, 2));
    lab.only(1, 51, 1.5);
    // And shorter again, the backup first this time.
    r2.reload(&conf(100, &short).text(2, 2));
    lab.only(1, 51, 1.0);
    r1.reload(&conf(200, &short).text(1, 2));
    wait_until("the address to go", secs(2.0), || {
        !lab.host(1).has("10.9.0.52")
    });
    lab.only(1, 51, 1.0);
    let foreign = lab.adverts(since, |f, a| f.from != 1 || a.priority == 0);
    assert!(
        foreign.is_empty(),
        "a second master, or a release: {foreign:?}"
    );
}

fn options_of_an_address_are_changed_in_the_kernel() {
    need_root();
    let lab = Lab::new(1);
    let conf = |four: &[&str], six: &[&str]| Conf {
        instances: vec![
            Instance::v3(100).vips(four),
            Instance::six(100).vrid(52).vips(six),
        ],
        ..Conf::default()
    };
    let r1 = lab.start(
        1,
        Mainstay,
        &conf(
            &["10.9.0.51/24 label eth0:one", "10.9.0.53/24"],
            &["fe80::9:51/64", "fd00:9::51/64"],
        ),
    );
    lab.settle(1, 51, 0.6, 10.0);
    lab.settle(1, 52, 0.6, 10.0);
    let line = |address: &str| lab.host(1).address(address).unwrap_or_default();
    wait_until("the addresses", secs(3.0), || {
        line("10.9.0.51").contains("eth0:one") && line("fd00:9::51").contains("/64")
    });
    let since = wall_ns();
    for (four, six, expected) in [
        (
            "10.9.0.51/24 label eth0:two",
            "fd00:9::51/64",
            ["eth0:two", " scope global "],
        ),
        (
            "10.9.0.51/24 brd 10.9.0.200",
            "fd00:9::51/64",
            [" brd 10.9.0.200 ", " scope global "],
        ),
        // Over IPv6 the kernel knows an address once, whatever its prefix.
        (
            "10.9.0.51/32",
            "fd00:9::51/128",
            [" 10.9.0.51/32 ", " scope global "],
        ),
        // In a prefix of others the kernel would not take another scope than theirs.
        (
            "10.9.0.51/32 scope link",
            "fd00:9::51/64",
            [" 10.9.0.51/32 ", " scope link "],
        ),
    ] {
        let plain = ["10.9.0.53/24"];
        let text = conf(&[four, plain[0]], &["fe80::9:51/64", six]).text(1, 1);
        r1.reload(&text);
        wait_until(four, secs(2.0), || {
            let shown = line("10.9.0.51");
            expected.iter().all(|word| shown.contains(word))
        });
        let prefix = six.split_once('/').map_or("", |(_, p)| p);
        wait_until(six, secs(2.0), || {
            line("fd00:9::51").contains(&format!(" fd00:9::51/{prefix} "))
        });
    }
    // What the kernel refuses does not cost the address: here there are others in its prefix, and
    // their scope is another.
    let kept = ["10.9.0.51/32 scope link", "10.9.0.53/24 scope link"];
    let text = conf(&kept, &["fe80::9:51/64", "fd00:9::51/64"]).text(1, 1);
    r1.reload(&text);
    r1.wait_log("the kernel refused 10.9.0.53/24", 2.0);
    wait_until("it in its old form", secs(2.0), || {
        line("10.9.0.53").contains(" scope global ")
    });
    watch(secs(0.5));
    let shown = lab.host(1).ns.sh("ip -o addr show dev eth0");
    for address in [" 10.9.0.51/", " 10.9.0.53/", " fd00:9::51/", " fe80::9:51/"] {
        assert_eq!(shown.matches(address).count(), 1, "{address} once: {shown}");
    }
    for name in ["VI_1", "VI_52"] {
        let seen = r1.wait_state(name, "MASTER", 2.0);
        assert_eq!(seen["counters"]["become_master"], 1, "{seen}");
        assert_eq!(
            seen["counters"]["restored"], 0,
            "our own change is nobody's removal: {seen}"
        );
    }
    assert!(lab.adverts(since, |_, a| a.priority == 0).is_empty());
}

fn an_address_that_moves_between_instances_is_never_away() {
    need_root();
    let lab = Lab::new(1);
    let conf = |one: &[&str], two: &[&str]| Conf {
        instances: vec![
            Instance::v3(100).vips(one),
            Instance::v3(100).vrid(52).vips(two),
        ],
        ..Conf::default()
    };
    let (a, b, moving) = ("10.9.0.51/24", "10.9.0.52/24", "10.9.0.60/24");
    let r1 = lab.start(1, Mainstay, &conf(&[a, moving], &[b]));
    lab.settle(1, 51, 0.6, 10.0);
    lab.settle(1, 52, 0.6, 10.0);
    wait_until("the address", secs(3.0), || lab.host(1).has("10.9.0.60"));
    let log = lab.dir.path().join("monitor");
    let monitor = {
        let _in = lab.host(1).ns.enter();
        Proc::start("monitor", &["ip", "-o", "monitor", "address"], &[], &log)
    };
    watch(secs(0.3));
    for (one, two) in [
        (vec![a], vec![b, moving]),
        (vec![moving, a], vec![b]),
        (vec![a], vec![moving, b]),
    ] {
        let since = wall_ns();
        r1.reload(&conf(&one, &two).text(1, 1));
        let vrid = if one.len() == 2 { 51 } else { 52 };
        wait_until("it in the other's adverts", secs(2.0), || {
            !lab.adverts(since, |_, v| v.vrid == vrid && v.addresses.len() == 2)
                .is_empty()
        });
        watch(secs(0.3));
        assert!(lab.host(1).has("10.9.0.60"));
    }
    let told = monitor.output();
    assert!(!told.contains("Deleted"), "an address was away: {told}");
    r1.reload(&conf(&[a], &[b]).text(1, 1));
    wait_until("its end", secs(2.0), || !lab.host(1).has("10.9.0.60"));
    wait_until("the monitor to tell", secs(1.0), || {
        monitor.output().contains("Deleted")
    });
}
