//! Addresses and interfaces: what is put into the kernel, put back, taken out, and left alone.

use crate::support::conf::{Conf, Instance};
use crate::support::daemon::Kind::{Keepalived, Mainstay};
use crate::support::lab::Lab;
use crate::support::runner::Test;
use crate::support::{secs, wait_until, wall_ns, watch};
use crate::{need_program, need_root, tests};

const VIP: &str = "10.9.0.51";

pub(crate) fn tests() -> Vec<Test> {
    tests![
        an_address_left_by_a_crash_goes_at_the_next_start,
        an_address_left_by_a_crash_goes_without_the_list_too,
        the_same_address_elsewhere_stays,
        the_address_of_a_living_second_daemon_stays,
        an_address_removed_by_hand_is_put_back,
        a_missing_interface_is_fault_until_it_appears,
        an_interface_made_anew_costs_no_descriptor,
        an_ipv6_backup_hears_again_after_an_mtu_without_ipv6,
        a_router_without_a_socket_serves_nobody_until_it_has_one,
        addresses_carry_what_the_file_says,
        excluded_addresses_are_installed_but_not_advertised,
        a_backup_replaces_a_crashed_keepalived_on_its_own_host,
    ]
}

/// r1 crashes as master while r2 takes over; r1 then starts again as backup.
fn crashed(forget_list: bool, before_restart: impl FnOnce(&Lab)) -> Lab {
    need_root();
    let lab = Lab::new(2);
    let conf = Conf::one(Instance::v3(100));
    let mut r1 = lab.start(1, Mainstay, &conf);
    lab.settle(1, 51, 0.6, 10.0);
    wait_until("the address on r1", secs(3.0), || lab.host(1).has(VIP));
    r1.kill9();
    assert!(lab.host(1).has(VIP), "a killed daemon leaves its address");
    let r2 = lab.start(2, Mainstay, &Conf::one(Instance::v3(200)));
    lab.settle(2, 51, 0.6, 10.0);
    before_restart(&lab);
    let run = r1.dir.join("run");
    drop(r1);
    if forget_list {
        std::fs::remove_dir_all(run).unwrap();
    }
    let since = wall_ns();
    let r1 = lab.start(1, Mainstay, &conf);
    r1.wait_state("VI_1", "BACKUP", 5.0);
    wait_until("what was left to go", secs(2.0), || {
        !lab.host(1).ns.sh("ip -o addr show dev eth0").contains(VIP)
    });
    watch(secs(0.5));
    assert!(
        lab.adverts(since, |f, _| f.from == 1).is_empty(),
        "r1 stays backup"
    );
    drop((r1, r2));
    lab
}

fn an_address_left_by_a_crash_goes_at_the_next_start() {
    crashed(false, |_| {});
}

fn an_address_left_by_a_crash_goes_without_the_list_too() {
    crashed(true, |_| {});
}

fn the_same_address_elsewhere_stays() {
    let lab = crashed(false, |lab| {
        // As on a real server behind a load balancer, and on a link the file does not use.
        lab.host(1).ns.ip(&format!(
            "addr add {VIP}/32 dev lo\n\
             link add eth1 type veth peer name eth2\n\
             link set eth1 up\n\
             addr add {VIP}/24 dev eth1\n"
        ));
    });
    for link in ["lo", "eth1"] {
        let shown = lab.host(1).ns.sh(&format!("ip -o addr show dev {link}"));
        assert!(
            shown.contains(VIP),
            "{VIP} on {link} is none of our business: {shown}"
        );
    }
}

fn the_address_of_a_living_second_daemon_stays() {
    need_root();
    let lab = Lab::new(2);
    let _first = lab.start_as(1, Mainstay, &Conf::one(Instance::v3(200)), "first");
    let _peer = lab.start(2, Mainstay, &Conf::one(Instance::v3(200).vrid(52)));
    lab.settle(1, 51, 0.6, 10.0);
    lab.settle(2, 52, 0.6, 10.0);
    wait_until("the address on r1", secs(3.0), || lab.host(1).has(VIP));
    // The same address under another VRID, in a second daemon that has a better peer.
    let second = Conf::one(Instance::v3(100).vrid(52));
    let second = lab.start_as(1, Mainstay, &second, "second");
    second.wait_state("VI_52", "BACKUP", 5.0);
    for _ in 0..20 {
        watch(secs(0.05));
        assert!(
            lab.host(1).has(VIP),
            "the second daemon took the address of the first"
        );
    }
}

fn an_address_removed_by_hand_is_put_back() {
    need_root();
    let lab = Lab::new(1);
    let r1 = lab.start(1, Mainstay, &Conf::one(Instance::v3(100)));
    lab.settle(1, 51, 0.6, 10.0);
    wait_until("the address on r1", secs(3.0), || lab.host(1).has(VIP));
    for times in 1..=3 {
        lab.host(1).ns.ip(&format!("addr del {VIP}/24 dev eth0\n"));
        wait_until("the address again", secs(2.0), || lab.host(1).has(VIP));
        let seen = r1.wait_state("VI_1", "MASTER", 2.0);
        assert_eq!(seen["counters"]["restored"], times, "{seen}");
        assert_eq!(seen["counters"]["become_master"], 1, "{seen}");
    }
}

fn a_missing_interface_is_fault_until_it_appears() {
    need_root();
    let lab = Lab::new(1);
    let mut instance = Instance::v3(100).vips(&["10.7.0.51/24"]);
    instance.interface = "eth7";
    let r1 = lab.start(1, Mainstay, &Conf::one(instance));
    let seen = r1.wait_state("VI_1", "FAULT", 5.0);
    assert_eq!(seen["cause"], "interface_absent", "{seen}");
    lab.host(1).ns.ip("link add eth7 type veth peer name eth8\n\
         addr add 10.7.0.1/24 dev eth7\n\
         link set eth8 up\n\
         link set eth7 up\n");
    r1.wait_state("VI_1", "MASTER", 5.0);
    wait_until("the address", secs(2.0), || lab.host(1).has("10.7.0.51"));
    lab.host(1).ns.ip("link del eth7\n");
    r1.wait_state("VI_1", "FAULT", 5.0);
    lab.host(1).ns.ip("link add eth7 type veth peer name eth8\n\
         addr add 10.7.0.1/24 dev eth7\n\
         link set eth8 up\n\
         link set eth7 up\n");
    r1.wait_state("VI_1", "MASTER", 5.0);
    wait_until("the address", secs(2.0), || lab.host(1).has("10.7.0.51"));
}

fn an_interface_made_anew_costs_no_descriptor() {
    need_root();
    let lab = Lab::new(1);
    let make = "link add eth7 type veth peer name eth8\nlink set eth8 up\nlink set eth7 up\n";
    lab.host(1).ns.ip(make);
    // An address on an interface where no adverts are sent.
    let instance = Instance::v3(100).vips(&["10.9.0.51/24 dev eth7"]);
    let r1 = lab.start(1, Mainstay, &Conf::one(instance));
    r1.wait_state("VI_1", "MASTER", 5.0);
    let open = || {
        let dir = format!("/proc/{}/fd", r1.main.pid());
        std::fs::read_dir(dir).map_or(0, Iterator::count)
    };
    wait_until("the address", secs(2.0), || lab.host(1).has(VIP));
    let before = open();
    for _ in 0..4 {
        lab.host(1).ns.ip("link del eth7\n");
        r1.wait_state("VI_1", "FAULT", 5.0);
        lab.host(1).ns.ip(make);
        r1.wait_state("VI_1", "MASTER", 5.0);
        wait_until("the address", secs(2.0), || lab.host(1).has(VIP));
    }
    // The one that asks for the status may still be open.
    wait_until("no more descriptors", secs(2.0), || open() <= before);
}

fn an_ipv6_backup_hears_again_after_an_mtu_without_ipv6() {
    need_root();
    let lab = Lab::new(2);
    let _r1 = lab.start(1, Mainstay, &Conf::one(Instance::six(200)));
    lab.settle(1, 51, 0.6, 10.0);
    let r2 = lab.start(2, Mainstay, &Conf::one(Instance::six(100)));
    r2.wait_state("VI_1", "BACKUP", 5.0);
    // Linux takes IPv6 off such a link, addresses and groups with it.
    lab.host(2).ns.ip("link set eth0 mtu 1200\n");
    r2.wait_state("VI_1", "FAULT", 5.0);
    lab.host(2).ns.ip("link set eth0 mtu 1500\n");
    r2.wait_state("VI_1", "BACKUP", 8.0);
    lab.only(1, 51, 4.0);
}

fn a_router_without_a_socket_serves_nobody_until_it_has_one() {
    need_root();
    let lab = Lab::new(2);
    let _r1 = lab.start(1, Mainstay, &Conf::one(Instance::v3(200)));
    lab.settle(1, 51, 0.6, 10.0);
    // The kernel refuses to join any group.
    lab.host(2).ns.sysctl("ipv4/igmp_max_memberships", "0");
    let r2 = lab.start(2, Mainstay, &Conf::one(Instance::v3(100)));
    let seen = r2.wait_state("VI_1", "FAULT", 3.0);
    assert_eq!(seen["cause"], "no_socket", "{seen}");
    watch(secs(2.0));
    assert!(!lab.host(2).has(VIP), "deaf and serving");
    lab.host(2).ns.sysctl("ipv4/igmp_max_memberships", "20");
    r2.wait_state("VI_1", "BACKUP", 8.0);
    lab.only(1, 51, 2.0);
    let seen = r2.instance("VI_1").expect("r2 answers");
    assert_eq!(seen["counters"]["become_master"], 0, "{seen}");
}

fn addresses_carry_what_the_file_says() {
    need_root();
    let lab = Lab::new(1);
    lab.host(1).ns.sysctl("ipv6/conf/eth0/accept_dad", "1");
    let four = Instance::v3(100).vips(&[
        "10.9.0.51/24 brd 10.9.0.200 dev eth0 label eth0:vip",
        "10.9.0.52 scope link",
        "10.9.0.53/28 brd -",
    ]);
    let six = Instance::six(100).vrid(52);
    let conf = Conf {
        instances: vec![four, six],
        ..Conf::default()
    };
    let mut r1 = lab.start(1, Mainstay, &conf);
    lab.settle(1, 51, 0.6, 10.0);
    lab.settle(1, 52, 0.6, 10.0);
    let line = |address: &str| {
        wait_until(address, secs(3.0), || lab.host(1).has(address));
        lab.host(1).address(address).unwrap_or_default()
    };
    let first = line(VIP);
    for word in [
        " 10.9.0.51/24 ",
        " brd 10.9.0.200 ",
        "eth0:vip",
        " scope global ",
    ] {
        assert!(first.contains(word), "{word:?} is missing: {first}");
    }
    let second = line("10.9.0.52");
    assert!(
        second.contains(" 10.9.0.52/32 ") && second.contains(" scope link "),
        "{second}"
    );
    let third = line("10.9.0.53");
    assert!(
        third.contains(" 10.9.0.53/28 ") && third.contains(" brd 10.9.0.48 "),
        "{third}"
    );
    for address in ["fe80::9:51", "fd00:9::51"] {
        let six = line(address);
        assert!(six.contains("nodad") && !six.contains("tentative"), "{six}");
    }
    r1.term();
    for address in [VIP, "10.9.0.52", "10.9.0.53", "fe80::9:51", "fd00:9::51"] {
        assert!(!lab.host(1).has(address), "{address} stays behind");
    }
}

fn excluded_addresses_are_installed_but_not_advertised() {
    need_root();
    let lab = Lab::new(1);
    let conf =
        Conf::one(Instance::v3(100).with(
            "virtual_ipaddress_excluded {\n        10.9.0.60/24\n        fd00:9::60/64\n    }",
        ));
    let mut r1 = lab.start(1, Mainstay, &conf);
    lab.settle(1, 51, 0.6, 10.0);
    for address in [VIP, "10.9.0.60", "fd00:9::60"] {
        wait_until(address, secs(3.0), || lab.host(1).has(address));
    }
    for (_, _, advert) in lab.adverts(0, |f, _| f.from == 1) {
        assert_eq!(advert.addresses.len(), 1, "{advert:?}");
    }
    r1.term();
    for address in [VIP, "10.9.0.60", "fd00:9::60"] {
        assert!(!lab.host(1).has(address), "{address} stays behind");
    }
}

fn a_backup_replaces_a_crashed_keepalived_on_its_own_host() {
    need_program("/usr/sbin/keepalived");
    let lab = Lab::new(2);
    let low = Conf::one(Instance::v3(100));
    let mut old = lab.start_as(1, Keepalived, &low, "old");
    lab.settle(1, 51, 0.6, 10.0);
    wait_until("the address on r1", secs(3.0), || lab.host(1).has(VIP));
    old.kill9();
    let _r2 = lab.start(2, Keepalived, &Conf::one(Instance::v3(200)));
    lab.settle(2, 51, 0.6, 10.0);
    let new = lab.start_as(1, Mainstay, &low, "new");
    new.wait_state("VI_1", "BACKUP", 5.0);
    wait_until("what keepalived left to go", secs(2.0), || {
        !lab.host(1).has(VIP)
    });
}
