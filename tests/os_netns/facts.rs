//! What the kernel tells of links and addresses.

use super::*;

/// Everything said until nothing more comes for a while.
fn heard(events: &mut Events) -> Vec<Fact> {
    let mut facts = Vec::new();
    while readable(&*events, 200) {
        assert_ne!(events.drain(&mut facts, 16).unwrap(), Drained::Overrun);
    }
    facts
}

fn links(facts: &[Fact]) -> Vec<LinkSeen> {
    let links = facts.iter().filter_map(|fact| match fact {
        Fact::Link(seen) => Some(seen.clone()),
        Fact::Address(_) => None,
    });
    links.collect()
}

fn addresses(facts: &[Fact]) -> Vec<AddressSeen> {
    let addresses = facts.iter().filter_map(|fact| match fact {
        Fact::Link(_) => None,
        Fact::Address(seen) => Some(*seen),
    });
    addresses.collect()
}

#[test]
fn the_first_picture_has_links_before_addresses_and_what_matters_of_them() {
    in_net("first_picture", |_| {
        fs::write("/proc/sys/net/ipv6/conf/left/forwarding", "1").unwrap();
        ip("link set left address 02:00:00:00:00:0a");
        let mut facts = Vec::new();
        Events::open().unwrap().resync(&mut facts).unwrap();
        let first_address = facts
            .iter()
            .position(|fact| matches!(fact, Fact::Address(_)));
        let last_link = facts.iter().rposition(|fact| matches!(fact, Fact::Link(_)));
        assert!(last_link < first_address);
        let seen = links(&facts);
        let left = seen.iter().find(|seen| &*seen.name == "left").unwrap();
        let flags = left.is.unwrap();
        assert_eq!(left.link, index("left"));
        assert_eq!(flags.mac, Some(Mac([2, 0, 0, 0, 0, 10])));
        assert!(flags.up && flags.running && flags.multicast && flags.forwarding6);
        assert!(!flags.loopback && !flags.noarp && flags.mtu == 1500);
        let lo = seen
            .iter()
            .find(|seen| &*seen.name == "lo")
            .unwrap()
            .is
            .unwrap();
        assert!(lo.loopback && lo.mac.is_none() && !lo.forwarding6);
        let ours: Vec<_> = addresses(&facts)
            .iter()
            .filter(|seen| seen.link == index("left"))
            .map(|seen| (seen.cidr.to_string(), seen.present))
            .collect();
        assert_eq!(
            ours,
            [("10.9.0.1/24".into(), true), ("fe80::a/64".into(), true)]
        );
    });
}

#[test]
fn changes_of_links_and_addresses_are_heard_once_each() {
    in_net("events", |nets| {
        let mut events = Events::open().unwrap();
        events.resync(&mut Vec::new()).unwrap();
        assert_eq!(heard(&mut events), []);
        ip("addr add 10.9.0.50/24 dev left");
        ip("addr change 10.9.0.50/24 dev left valid_lft 500 preferred_lft 400");
        let seen = addresses(&heard(&mut events));
        assert_eq!(seen.len(), 1, "the repeated word is not reported: {seen:?}");
        assert!(seen[0].present && seen[0].secondary && !seen[0].dad_failed);
        assert_eq!(seen[0].cidr.to_string(), "10.9.0.50/24");
        ip("addr del 10.9.0.50/24 dev left");
        let seen = addresses(&heard(&mut events));
        assert!(seen.len() == 1 && !seen[0].present);
        fs::write("/proc/sys/net/ipv6/conf/left/dad_transmits", "30").unwrap();
        ip("addr add 2001:db8::1/64 dev left");
        let seen = addresses(&heard(&mut events));
        assert!(
            seen.len() == 1 && seen[0].present,
            "tentative is present: {seen:?}"
        );

        nets.on_b(|| ip("link set right down"));
        let last = links(&heard(&mut events)).pop().unwrap().is.unwrap();
        assert!(last.up && !last.running);
        ip("link set left down");
        let facts = heard(&mut events);
        let last = links(&facts).pop().unwrap().is.unwrap();
        assert!(!last.up && !last.running);
        assert!(
            addresses(&facts)
                .iter()
                .all(|seen| !seen.present && seen.cidr.addr.is_ipv6())
        );

        let before = index("left");
        ip("link set left name wan");
        let renamed = links(&heard(&mut events));
        assert!(
            renamed
                .iter()
                .all(|seen| seen.link == before && &*seen.name == "wan")
        );
        assert!(renamed.last().is_some_and(|seen| seen.is.is_some()));
        ip("link set wan address 02:00:00:00:00:0b mtu 1400");
        let last = links(&heard(&mut events)).pop().unwrap().is.unwrap();
        assert_eq!((last.mac, last.mtu), (Some(Mac([2, 0, 0, 0, 0, 11])), 1400));

        ip("link del wan");
        let facts = heard(&mut events);
        let lost = links(&facts).pop().unwrap();
        assert_eq!((lost.link, &*lost.name, lost.is), (before, "wan", None));
        assert!(
            addresses(&facts)
                .iter()
                .any(|seen| seen.cidr.to_string() == "10.9.0.1/24")
        );
        assert!(matches!(facts.last(), Some(Fact::Link(_))));
    });
}

#[test]
fn a_port_that_leaves_its_bridge_is_still_there() {
    in_net("bridge_port", |_| {
        ip("link add name bridge0 type bridge");
        ip("link set left master bridge0");
        let mut events = Events::open().unwrap();
        events.resync(&mut Vec::new()).unwrap();
        ip("link set left nomaster");
        for seen in links(&heard(&mut events)) {
            assert!(seen.is.is_some(), "{seen:?}");
        }
    });
}

#[test]
fn after_an_overrun_the_difference_is_reported() {
    in_net("overrun", |_| {
        ip("link add name gone type veth peer name gone2");
        ip("addr add 10.9.0.60/24 dev left");
        let mut events = Events::with_buffer(4096).unwrap();
        events.resync(&mut Vec::new()).unwrap();
        let gone = index("gone");
        ip("link del gone");
        ip("addr del 10.9.0.60/24 dev left");
        for _ in 0..60 {
            ip("link set left mtu 1400");
            ip("link set left mtu 1500");
        }
        ip("addr add 10.9.0.61/24 dev left");
        let mut early = Vec::new();
        let mut end = Drained::More;
        while end == Drained::More {
            end = events.drain(&mut early, 1).unwrap();
        }
        assert_eq!(end, Drained::Overrun);
        events.resync(&mut early).unwrap();
        assert!(
            links(&early)
                .iter()
                .any(|seen| seen.link == gone && seen.is.is_none())
        );
        let words: Vec<_> = addresses(&early)
            .iter()
            .filter(|seen| seen.cidr.addr.is_ipv4())
            .map(|seen| (seen.cidr.to_string(), seen.present))
            .collect();
        assert_eq!(
            words,
            [
                ("10.9.0.60/24".into(), false),
                ("10.9.0.61/24".into(), true)
            ]
        );
        let mut again = Vec::new();
        events.resync(&mut again).unwrap();
        assert_eq!(again, []);
        ip("addr del 10.9.0.61/24 dev left");
        assert_eq!(
            addresses(&heard(&mut events)).len(),
            1,
            "it goes on listening"
        );
    });
}
