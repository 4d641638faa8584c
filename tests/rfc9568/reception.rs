//! What is not to be believed, and what is to be tolerated.

use super::*;

/// A packet that must not be believed: why, which counter counts it, and whose router hears it.
struct Refusal {
    clause: &'static str,
    says: &'static str,
    counter: &'static str,
    router: fn() -> RouterMaker,
    packet: Forge,
}

fn with_password() -> RouterMaker {
    use mainstay::model::settings::AuthSettings;
    ours()
        .v2()
        .with(|s| s.auth = AuthSettings::Password(*b"secret\0\0"))
}

fn unicast() -> RouterMaker {
    ours().unicast(OWN4, &[IpAddr::from([10, 0, 0, 99])])
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn refusals() -> Vec<Refusal> {
    let high = || Forge::v3(51, 200);
    let v6 = || high().from([0xfe80, 0, 0, 0, 0, 0, 0, 0x99]);
    let row = |clause, says, counter, router, packet| Refusal {
        clause,
        says,
        counter,
        router,
        packet,
    };
    let four: fn() -> RouterMaker = ours;
    let two: fn() -> RouterMaker = || ours().v2();
    let six: fn() -> RouterMaker = || ours().v6();
    vec![
        row(
            "§7.1",
            "TTL must be 255",
            "hop_limit",
            four,
            high().hop_limit(254),
        ),
        row(
            "§7.1",
            "TTL 0 is not 255",
            "hop_limit",
            four,
            high().hop_limit(0),
        ),
        row(
            "§7.1",
            "hop limit must be 255",
            "hop_limit",
            six,
            v6().hop_limit(64),
        ),
        row(
            "§7.1",
            "the version must be 3",
            "version",
            four,
            Forge::v2(51, 200),
        ),
        row(
            "§7.1",
            "there is no version 4",
            "version",
            four,
            high().says_version(4),
        ),
        row(
            "RFC 3768 §7.1",
            "the version must be 2",
            "version",
            two,
            high(),
        ),
        row(
            "§7.1",
            "the type must be 1",
            "type",
            four,
            high().says_type(2),
        ),
        row(
            "RFC 3768 §5.3.2",
            "the type must be 1",
            "type",
            two,
            Forge::v2(51, 200).says_type(0),
        ),
        row(
            "§7.1",
            "the packet must be complete",
            "too_short",
            four,
            high().says_count(2),
        ),
        row(
            "§7.1",
            "the packet must be complete",
            "too_short",
            four,
            high().cut(1),
        ),
        row(
            "§7.1",
            "eight octets are the least",
            "too_short",
            four,
            high().holds(&[]).cut(3),
        ),
        row(
            "§7.1",
            "the packet must be complete",
            "too_short",
            six,
            v6().cut(4),
        ),
        row(
            "RFC 3768 §7.1",
            "the authentication data belong to the packet",
            "too_short",
            two,
            Forge::v2(51, 200).cut(8),
        ),
        row(
            "§5.2",
            "nothing may follow the addresses",
            "length",
            four,
            high().trailing(60),
        ),
        row(
            "§7.1",
            "the checksum must fit",
            "checksum",
            four,
            high().bad_checksum(),
        ),
        row(
            "§7.1",
            "the checksum must fit",
            "checksum",
            six,
            v6().bad_checksum(),
        ),
        row(
            "RFC 3768 §7.1",
            "the checksum must fit",
            "checksum",
            two,
            Forge::v2(51, 200).bad_checksum(),
        ),
        row(
            "RFC 3768 §7.1",
            "the authentication type must be ours: none here",
            "auth_type",
            two,
            Forge::v2(51, 200).auth(1, *b"secret\0\0"),
        ),
        row(
            "RFC 3768 §7.1",
            "the authentication type must be ours: a password here",
            "auth_type",
            with_password,
            Forge::v2(51, 200),
        ),
        row(
            "RFC 2338 §5.3.6.2",
            "the password must be ours",
            "auth_failed",
            with_password,
            Forge::v2(51, 200).auth(1, *b"Secret\0\0"),
        ),
        row(
            "erratum 8299",
            "an advert without addresses is ignored where we have some",
            "no_addresses",
            four,
            high().holds(&[]),
        ),
        row(
            "erratum 8301",
            "interval 0 is refused",
            "zero_interval",
            four,
            high().every(Duration::ZERO),
        ),
        row(
            "erratum 8301",
            "interval 0 is refused",
            "zero_interval",
            six,
            v6().every(Duration::ZERO),
        ),
        row(
            "RFC 3768 §7.1",
            "another interval is discarded",
            "interval",
            two,
            Forge::v2(51, 200).every(2 * S),
        ),
        row(
            "erratum 8300 with strict_mode",
            "the first IPv6 address must be link-local",
            "not_link_local",
            || ours().v6().with(|s| s.strict = true),
            v6().holds(&[IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1])]),
        ),
        row(
            "keepalived's step 14",
            "a multicast packet is not for a unicast router",
            "destination",
            unicast,
            high(),
        ),
        row(
            "keepalived's step 14",
            "a unicast packet is not for a multicast router",
            "destination",
            four,
            high().to(OWN4),
        ),
        row(
            "keepalived.conf(5) check_unicast_src",
            "the source must be a peer",
            "source",
            || unicast().with(|s| s.check_unicast_src = true),
            high().to(OWN4).from([10, 0, 0, 98]),
        ),
        row(
            "vip_mismatch drop",
            "other addresses than ours are refused where that is asked for",
            "address_list",
            || ours().with(|s| s.drop_mismatch = true),
            high().holds(&[IpAddr::from([10, 0, 0, 201])]),
        ),
    ]
}

#[test]
fn every_rule_of_reception_refuses_counts_and_touches_nothing() {
    for row in refusals() {
        let label = format!("{}: {} ({})", row.clause, row.says, row.counter);
        for mut bench in [Bench::backup((row.router)()), Bench::active((row.router)())] {
            let phase = bench.phase();
            let before = bench.engine.next_deadline();
            bench.hear(&row.packet);
            assert_eq!(
                bench.refused(row.counter),
                1,
                "{label}: {:?}",
                bench.view().counters
            );
            assert_eq!(bench.phase(), phase, "{label}: no state changes");
            assert_eq!(
                bench.engine.next_deadline(),
                before,
                "{label}: no timer is touched"
            );
            assert_eq!(
                bench.sent(),
                Vec::<u8>::new(),
                "{label}: nothing is ever answered"
            );
            assert_eq!(
                bench.view().counters.advert_rcvd,
                0,
                "{label}: it was not heard"
            );
        }
    }
}

#[test]
fn what_is_right_or_to_be_tolerated_is_heeded() {
    let high = || Forge::v3(51, 200);
    let v6 = || high().from([0xfe80, 0, 0, 0, 0, 0, 0, 0x99]);
    let pass = Forge::v2(51, 200).auth(1, *b"secret\0\0");
    let global = [IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1])];
    let rows: Vec<(&str, RouterMaker, Forge)> = vec![
        ("the plain advert", ours(), high()),
        ("IPv6", ours().v6(), v6()),
        ("version 2", ours().v2(), Forge::v2(51, 200)),
        ("version 2 with our password", with_password(), pass),
        (
            "authentication data where there is none are ignored",
            ours().v2(),
            Forge::v2(51, 200).auth(0, [7; 8]),
        ),
        (
            "a checksum over the message alone (RFC 9568 for IPv4)",
            ours(),
            high().without_pseudo_header(),
        ),
        (
            "padding of a short Ethernet frame",
            ours(),
            high().trailing(6),
        ),
        (
            "unicast asks for no TTL",
            unicast(),
            high().to(OWN4).hop_limit(64),
        ),
        (
            "other addresses are logged and heeded",
            ours(),
            high().holds(&[IpAddr::from([10, 0, 0, 201])]),
        ),
        ("another interval in version 3", ours(), high().every(7 * S)),
        (
            "an IPv6 list without a link-local address",
            ours().v6(),
            v6().holds(&global),
        ),
        (
            "no addresses where we have none",
            ours().vips([]),
            high().holds(&[]),
        ),
        ("an owner's advert", ours(), Forge::v3(51, 255)),
    ];
    for (what, router, packet) in rows {
        let mut bench = Bench::active(router);
        bench.hear(&packet);
        assert_eq!(
            bench.phase(),
            Phase::Backup,
            "{what}: {:?}",
            bench.view().counters
        );
        assert_eq!(bench.view().counters.advert_rcvd, 1, "{what}");
    }
}

#[test]
fn adverts_for_others_are_nobodys_business() {
    let mut bench = Bench::backup(ours());
    let before = bench.engine.next_deadline();
    bench.hear(&Forge::v3(52, 200));
    bench.hear(&advert(200).from([0xfe80, 0, 0, 0, 0, 0, 0, 0x99]));
    assert_eq!(
        bench.engine.next_deadline(),
        before,
        "§7.1: the VRID and family must be ours"
    );
    assert_eq!(bench.view().counters.advert_rcvd, 0);
}
