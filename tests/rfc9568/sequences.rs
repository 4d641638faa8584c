//! Sentences that need more than one step.

use super::*;

#[test]
fn becoming_active_sends_the_advert_first_then_addresses_then_announcements() {
    for router in [ours(), ours().v6(), ours().v2()] {
        let mut bench = Bench::backup(router);
        bench.next_timer();
        let place = |wanted: fn(&Did) -> bool| bench.did.iter().position(wanted);
        let order = [
            place(|did| matches!(did, Did::Advert { .. })),
            place(|did| matches!(did, Did::Add(_))),
            place(|did| matches!(did, Did::Announced(_))),
        ];
        let rule = "§6.4.2: advert, addresses, announcements";
        assert!(order.iter().all(Option::is_some), "{rule}: {order:?}");
        assert!(order.is_sorted(), "{rule}: {order:?}");
    }
}

#[test]
fn each_address_is_announced_by_its_family_once_in_a_round() {
    let addresses = [[10, 0, 0, 200], [10, 0, 0, 201], [10, 0, 0, 202]];
    let mut bench = Bench::backup(ours().vips(addresses.map(vip)));
    bench.next_timer();
    bench.wait(Duration::ZERO);
    let mut announced = bench.announced();
    announced.sort();
    assert_eq!(
        announced,
        addresses.map(IpAddr::from),
        "§6.4.2: one for each IPv4 address"
    );
    let six = IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 0x200]);
    let mut bench = Bench::backup(ours().v6());
    bench.next_timer();
    assert_eq!(
        bench.announced(),
        [six],
        "§6.4.2: one for each IPv6 address"
    );
}

#[test]
fn the_advert_carries_our_own_interval_even_after_another_was_learned() {
    let mut bench = Bench::backup(ours().adver(500 * MS));
    bench.hear(&advert(200).every(2 * S));
    assert_eq!(bench.timer(), Some(down(100, 2 * S)));
    bench.next_timer();
    let claim = bench.claims().next().expect("an advert");
    assert_eq!(
        claim.interval,
        500 * MS,
        "§5.2.7: the sender's own interval"
    );
    assert_eq!(
        bench.timer(),
        Some(500 * MS),
        "§6.4.2: the Adver_Timer is our own interval"
    );
    // Yielding and taking over again starts from what is heard then.
    bench.hear(&advert(200).every(3 * S));
    assert_eq!(bench.timer(), Some(down(100, 3 * S)), "§6.4.3");
}

#[test]
fn a_learned_interval_follows_the_active_router_up_down_and_back() {
    let mut bench = Bench::backup(ours());
    for interval in [5 * S, 10 * MS, S] {
        bench.hear(&advert(200).every(interval));
        assert_eq!(bench.timer(), Some(down(100, interval)), "§6.4.2");
        bench.hear(&advert(0));
        assert_eq!(bench.timer(), Some(skew(100, interval)), "§6.4.2");
        bench.hear(&advert(200).every(interval));
    }
}

#[test]
fn a_yielding_router_sends_no_priority_zero_and_gives_up_its_addresses() {
    let mut bench = Bench::active(ours());
    bench.hear(&advert(200));
    assert_eq!(bench.sent(), Vec::<u8>::new(), "§6.4.3 sends nothing");
    let removed = bench
        .did
        .iter()
        .filter(|did| matches!(did, Did::Remove(_)))
        .count();
    assert_eq!(removed, 1, "§6.4.2: a Backup holds no address");
}

#[test]
fn a_shutdown_gives_up_the_addresses_and_listens_to_nobody() {
    let mut bench = Bench::active(ours());
    bench.stop();
    assert_eq!(bench.sent(), [0], "§6.4.3");
    assert!(bench.did.iter().any(|did| matches!(did, Did::Remove(_))));
    bench.take();
    bench.hear(&advert(99));
    bench.hear(&advert(0));
    bench.wait(60 * S);
    assert_eq!(
        bench.sent(),
        Vec::<u8>::new(),
        "§6.4.1: Initialize waits for a Startup"
    );
    assert!(bench.engine.is_idle());
}

#[test]
fn the_equal_address_moves_nobody() {
    for (router, src) in [
        (ours(), IpAddr::from(OWN4)),
        (ours().v6(), IpAddr::from(OWN6)),
    ] {
        let mut bench = Bench::active(router);
        bench.hear(&advert(100).from(src));
        assert_eq!(
            bench.phase(),
            Phase::Active,
            "neither higher nor lower: a warning only"
        );
        assert_eq!(bench.sent(), Vec::<u8>::new());
    }
}

#[test]
fn ties_are_broken_by_whole_unsigned_addresses() {
    let v6 = |last: u16| IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, last]);
    let wide = |first: u16| IpAddr::from([0xfe80, 0, 0, 0, first, 0, 0, 0]);
    for (router, src, yields) in [
        (ours(), IpAddr::from([10, 0, 1, 1]), true),
        (ours(), IpAddr::from([9, 255, 255, 255]), false),
        (ours(), IpAddr::from([200, 0, 0, 1]), true),
        (ours(), IpAddr::from([10, 0, 0, 9]), false),
        (ours().v6(), v6(0x11), true),
        (ours().v6(), v6(0x0f), false),
        (ours().v6(), v6(0x8000), true),
        (ours().v6(), wide(0x8000), true),
    ] {
        let mut bench = Bench::active(router);
        bench.hear(&advert(100).from(src));
        let phase = if yields { Phase::Backup } else { Phase::Active };
        assert_eq!(
            bench.phase(),
            phase,
            "§6.4.3: {src} against ours, in network order"
        );
    }
}

#[test]
fn never_two_timers_and_never_none() {
    let mut bench = Bench::of(ours());
    for step in 0..200u32 {
        match step % 5 {
            0 => bench.hear(&advert(200)),
            1 => bench.wait(700 * MS),
            2 => bench.hear(&advert(0)),
            3 => bench.wait(5 * S),
            _ => bench.hear(&advert(50)),
        }
        bench.wait(Duration::ZERO);
        let view = bench.view();
        let timer = view
            .timer_s
            .expect("Backup and Active always have their timer");
        let next = bench
            .timer()
            .expect("and the engine knows it")
            .as_secs_f64();
        assert!(
            (timer - next).abs() < 1e-6,
            "the one timer is the only deadline: {timer} {next}"
        );
    }
}

#[test]
fn only_its_own_family_and_link_are_listened_to() {
    let bench = Bench::of(ours().v6());
    let opened: Vec<&Did> = bench
        .did
        .iter()
        .filter(|did| matches!(did, Did::Open(_)))
        .collect();
    assert_eq!(opened, [&Did::Open(Family::V6)]);
}

#[test]
fn a_packet_during_the_start_delay_does_not_make_its_end_forgotten() {
    let mut delayed = settings([ours()], []);
    delayed.global.startup_delay = 10 * S;
    let mut bench = Bench::begun(delayed);
    bench.wait(3 * S);
    bench.hear(&advert(200));
    assert_eq!(
        bench.timer(),
        Some(7 * S),
        "vrrp_startup_delay ends on time"
    );
    bench.wait(7 * S);
    assert_eq!(bench.phase(), Phase::Backup);
    assert_eq!(
        bench.timer(),
        Some(down(100, S)),
        "the advert was not heard"
    );
}

#[test]
fn priority_zero_sets_the_timer_to_skew_time_even_if_less_was_left() {
    let mut bench = Bench::of(ours());
    bench.wait(down(100, S) - 100 * MS);
    bench.hear(&advert(0));
    assert_eq!(
        bench.timer(),
        Some(skew(100, S)),
        "§6.4.2: set, not shortened"
    );
    bench.wait(500 * MS);
    bench.hear(&advert(0));
    assert_eq!(
        bench.timer(),
        Some(skew(100, S)),
        "and again with every release"
    );
}

#[test]
fn unread_packets_postpone_silence_for_three_passes_and_no_more() {
    use mainstay::core::input::Input;
    let mut bench = Bench::backup(ours());
    let left = bench.timer().expect("it listens");
    bench.sleep(left);
    for pass in 1..=3 {
        bench.handle(Input::Backlog(support::ETH0));
        bench.handle(Input::Tick);
        assert_eq!(
            bench.phase(),
            Phase::Backup,
            "pass {pass}: its advert may be unread"
        );
    }
    bench.handle(Input::Backlog(support::ETH0));
    bench.handle(Input::Tick);
    assert_eq!(bench.phase(), Phase::Active, "a flood is no master");
}

#[test]
fn unread_packets_of_another_link_postpone_nothing() {
    use mainstay::core::input::Input;
    use mainstay::model::ids::LinkId;
    let mut bench = Bench::backup(ours());
    let left = bench.timer().expect("it listens");
    bench.sleep(left);
    bench.handle(Input::Backlog(LinkId(77)));
    bench.handle(Input::Tick);
    assert_eq!(bench.phase(), Phase::Active);
}

/// Times, in milliseconds from now, at which announcements leave within so long, with their number.
fn announcing(bench: &mut Bench, length: Duration) -> Vec<(u128, usize)> {
    let (begin, until) = (bench.now, bench.now + length);
    let mut found = Vec::new();
    let mut look = |bench: &mut Bench| {
        let count = bench.announced().len();
        bench.take();
        if count > 0 {
            found.push((bench.now.since(begin).as_millis(), count));
        }
    };
    look(bench);
    while let Some(at) = bench.engine.next_deadline().filter(|at| *at <= until) {
        bench.wait(at.since(bench.now));
        look(bench);
    }
    found
}

#[test]
fn announcements_are_repeated_as_keepalived_repeats_them() {
    let two = [vip([10, 0, 0, 200]), vip([10, 0, 0, 201])];
    let mut bench = Bench::backup(router("vi").vips(two));
    bench.next_timer();
    bench.wait(Duration::ZERO);
    // garp_master_repeat 5 and garp_master_delay 5: five rounds at once, five more 5 s later.
    assert_eq!(announcing(&mut bench, 60 * S), [(0, 10), (5_000, 10)]);
    // garp_lower_prio_repeat 5 and garp_lower_prio_delay 5.
    bench.hear(&advert(50));
    bench.wait(Duration::ZERO);
    assert_eq!(announcing(&mut bench, 60 * S), [(0, 10), (5_000, 10)]);
}

#[test]
fn announcements_stop_when_the_router_yields() {
    let mut bench = Bench::backup(router("vi"));
    bench.next_timer();
    bench.hear(&advert(200));
    bench.take();
    bench.wait(3 * S);
    assert_eq!(bench.announced(), Vec::<IpAddr>::new());
}
