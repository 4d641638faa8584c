//! Addresses that are put into the kernel and taken out.

use super::*;

/// Posts these to a fresh thread and returns the answers in the order they came.
fn perform(ledger: Option<Ledger>, turns: &[Vec<Request>]) -> Vec<Answer> {
    let bell = Bell::new().unwrap();
    let mut poller = Poller::new().unwrap();
    poller.add(&bell, 1).unwrap();
    let mut hands = Hands::start(bell.clone(), ledger).unwrap();
    let mut answers = Vec::new();
    let mut ready = Vec::new();
    let mut wanted = 0;
    for turn in turns {
        wanted += turn.len();
        for request in turn {
            hands.post(request.clone());
        }
        hands.flush();
    }
    while answers.len() < wanted {
        poller.wait(&mut ready).unwrap();
        bell.clear();
        hands.drain(&mut answers);
    }
    assert_eq!(hands.ledger_errors(), 0);
    assert_eq!(hands.stop(), []);
    answers
}

fn request(id: u64, change: Change, what: VirtualAddress) -> Request {
    Request {
        id: ActionId(id),
        link: index("left"),
        name: "left".into(),
        change,
        what: Arc::new(what),
    }
}

fn plain(text: &str) -> VirtualAddress {
    let (addr, len) = text.split_once('/').unwrap();
    let cidr = Cidr::new(addr.parse().unwrap(), len.parse().unwrap()).unwrap();
    VirtualAddress::plain(cidr)
}

fn done(id: u64) -> Answer {
    let (id, errno) = (ActionId(id), None);
    Answer { id, errno }
}

fn refused(id: u64, errno: i32) -> Answer {
    let (id, errno) = (ActionId(id), Some(errno));
    Answer { id, errno }
}

/// The line of `ip -d addr` that shows this address, and the one behind it.
fn line_of(address: &str) -> String {
    let all = shown("-d addr show dev left");
    let lines: Vec<_> = all.lines().collect();
    let at = lines
        .iter()
        .position(|line| line.contains(&format!(" {address} ")));
    at.map_or(String::new(), |at| {
        lines[at..(at + 2).min(lines.len())].join("\n")
    })
}

/// Addresses whose IFA_PROTO is this; the ip of Debian 12 does not show it.
fn tagged(protocol: u8) -> Vec<Cidr> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let question = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    let mut question = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(question));
    question.finalize();
    let mut bytes = vec![0; question.buffer_len()];
    question.serialize(&mut bytes);
    let socket = socket2::Socket::new(
        libc::AF_NETLINK.into(),
        socket2::Type::RAW,
        Some(libc::NETLINK_ROUTE.into()),
    );
    let mut socket = socket.unwrap();
    socket.send(&bytes).unwrap();
    let mut found = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = socket.read(&mut buffer).unwrap();
        let mut rest = &buffer[..length];
        while !rest.is_empty() {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).unwrap();
            rest = &rest[(message.header.length as usize).next_multiple_of(4)..];
            let address = match message.payload {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(address)) => address,
                NetlinkPayload::Done(_) => return found,
                other => panic!("{other:?}"),
            };
            let is = |attribute: &AddressAttribute| {
                *attribute == AddressAttribute::Protocol(AddressProtocol::Other(protocol))
            };
            if address.attributes.iter().any(is) {
                let addr = address
                    .attributes
                    .iter()
                    .find_map(|attribute| match attribute {
                        AddressAttribute::Address(addr) => Some(*addr),
                        _ => None,
                    });
                found.push(Cidr::new(addr.unwrap(), address.header.prefix_len).unwrap());
            }
        }
    }
}

#[test]
fn an_address_is_added_with_all_its_options_and_removed() {
    in_net("address_options", |_| {
        let mut v4 = plain("10.8.0.5/24");
        v4.label = Some("left:vip".into());
        v4.broadcast = Some(Ipv4Addr::new(10, 8, 0, 255));
        v4.scope = 253;
        v4.no_prefix_route = true;
        let v6 = plain("2001:db8::5/128");
        let mut checked = plain("2001:db8::6/64");
        checked.dad = true;
        let add = [&v4, &v6, &checked].map(Clone::clone);
        let adds = add
            .iter()
            .zip(1..)
            .map(|(what, id)| request(id, Change::Add, what.clone()));
        assert_eq!(
            perform(None, &[adds.collect()]),
            [done(1), done(2), done(3)]
        );
        let line = line_of("10.8.0.5/24");
        for word in ["brd 10.8.0.255", "scope link", "noprefixroute", "left:vip"] {
            assert!(line.contains(word), "{word} is missing: {line}");
        }
        let line = line_of("2001:db8::5/128");
        for word in [
            "deprecated",
            "nodad",
            "valid_lft forever preferred_lft 0sec",
        ] {
            assert!(line.contains(word), "{word} is missing: {line}");
        }
        let line = line_of("2001:db8::6/64");
        assert!(
            line.contains("scope global") && !line.contains("nodad"),
            "{line}"
        );
        let mut ours = tagged(18);
        ours.sort();
        assert_eq!(ours, add.each_ref().map(|what| what.cidr));
        assert!(shown("-6 route").contains("2001:db8::/64"));
        assert!(!shown("-4 route").contains("10.8.0.0/24"));
        let removals = add
            .iter()
            .zip(4..)
            .map(|(what, id)| request(id, Change::Remove, what.clone()));
        assert_eq!(
            perform(None, &[removals.collect()]),
            [done(4), done(5), done(6)]
        );
        let left = shown("addr show dev left");
        assert!(
            !left.contains("10.8.0.5") && !left.contains("2001:db8"),
            "{left}"
        );
    });
}

#[test]
fn a_thousand_addresses_come_and_go_and_each_is_answered() {
    in_net("thousand", |_| {
        let address = |n: u64| plain(&format!("10.7.{}.{}/32", n / 250, n % 250 + 1));
        let all = |change| (0..1000).map(|n| request(n, change, address(n))).collect();
        let begun = Instant::now();
        let answers = perform(None, &[all(Change::Add)]);
        assert_eq!(answers, (0..1000).map(done).collect::<Vec<_>>());
        eprintln!("1,000 additions: {:?}", begun.elapsed());
        assert_eq!(
            shown("-4 addr show dev left").matches("inet 10.7.").count(),
            1000
        );
        let answers = perform(None, &[all(Change::Remove)]);
        assert_eq!(answers, (0..1000).map(done).collect::<Vec<_>>());
        assert_eq!(
            shown("-4 addr show dev left").matches("inet 10.7.").count(),
            0
        );
    });
}

#[test]
fn a_refusal_names_its_request_and_what_is_done_already_is_done() {
    in_net("refusals", |_| {
        let vip = || plain("10.8.0.5/24");
        let mut nowhere = request(2, Change::Add, plain("10.8.0.6/24"));
        nowhere.link = LinkId(9999);
        let mut long = plain("10.8.0.7/24");
        long.label = Some("a-label-of-16-by".into());
        let mut gone = request(6, Change::Remove, plain("10.8.0.8/24"));
        gone.link = LinkId(9999);
        // The first is superseded by the third while both wait.
        let answers = perform(
            None,
            &[vec![
                request(1, Change::Add, vip()),
                nowhere,
                request(3, Change::Add, vip()),
                request(4, Change::Add, long),
                request(5, Change::Remove, plain("10.8.0.77/24")),
                gone,
                request(7, Change::Add, plain("2001:db8::9/64")),
                request(8, Change::Add, plain("ff02::77/128")),
            ]],
        );
        let mut sorted = answers.clone();
        sorted.sort_by_key(|answer| answer.id);
        assert_eq!(
            sorted,
            [
                refused(1, libc::ECANCELED),
                refused(2, libc::ENODEV),
                done(3),
                refused(4, libc::ERANGE),
                done(5),
                done(6),
                done(7),
                refused(8, libc::EADDRNOTAVAIL),
            ],
            "{answers:?}"
        );
        assert_eq!(
            perform(None, &[vec![request(9, Change::Add, vip())]]),
            [done(9)]
        );
        assert_eq!(
            perform(None, &[vec![request(10, Change::Add, vip())]]),
            [done(10)]
        );
        fs::write("/proc/sys/net/ipv6/conf/left/disable_ipv6", "1").unwrap();
        let v6 = request(11, Change::Add, plain("2001:db8::9/64"));
        let answers = perform(None, &[vec![v6]]);
        assert!(answers[0].errno.is_some(), "{answers:?}");
    });
}

#[test]
fn after_a_storm_of_flaps_the_kernel_has_what_was_asked_for_last() {
    in_net("flaps", |_| {
        let mut id = 0;
        let mut turns = Vec::new();
        for round in 0..200 {
            let change = if round % 2 == 0 {
                Change::Add
            } else {
                Change::Remove
            };
            let mut turn = Vec::new();
            for last in 1..=20 {
                id += 1;
                // Odd addresses lag one behind, so they end the other way.
                let change = if last % 2 == 1 && round == 199 {
                    Change::Add
                } else {
                    change
                };
                turn.push(request(id, change, plain(&format!("10.8.0.{last}/32"))));
            }
            turns.push(turn);
        }
        let answers = perform(None, &turns);
        assert_eq!(answers.len(), 4000);
        for answer in &answers {
            assert!(
                matches!(answer.errno, None | Some(libc::ECANCELED)),
                "{answer:?}"
            );
        }
        let left = shown("-4 addr show dev left");
        for last in 1..=20 {
            let there = left.contains(&format!("inet 10.8.0.{last}/32"));
            assert_eq!(there, last % 2 == 1, "10.8.0.{last}: {left}");
        }
    });
}

#[test]
fn stopping_finishes_what_was_posted_even_without_a_flush() {
    in_net("stop", |_| {
        let mut hands = Hands::start(Bell::new().unwrap(), None).unwrap();
        for id in 1..=200 {
            let what = plain(&format!("10.8.0.{id}/32"));
            hands.post(request(id, Change::Add, what));
        }
        assert_eq!(hands.stop(), (1..=200).map(done).collect::<Vec<_>>());
        let left = shown("-4 addr show dev left");
        assert_eq!(left.matches("inet 10.8.0.").count(), 200);
    });
}

#[test]
fn the_ledger_names_what_is_in_the_kernel_and_no_more() {
    in_net("ledger", |_| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(ledger::FILE);
        let mut bad = plain("10.8.0.9/24");
        bad.label = Some("a-label-of-16-by".into());
        perform(
            Some(Ledger::create(&path, &[]).unwrap()),
            &[vec![
                request(1, Change::Add, plain("10.8.0.5/24")),
                request(2, Change::Add, plain("10.8.0.6/24")),
                request(3, Change::Add, bad),
            ]],
        );
        let left = Ledger::read(&path).unwrap();
        let addresses: Vec<_> = left.iter().map(|entry| entry.cidr.to_string()).collect();
        assert_eq!(addresses, ["10.8.0.5/24", "10.8.0.6/24"]);
        assert!(
            left.iter()
                .all(|entry| entry.link == index("left") && &*entry.name == "left")
        );
        let next = Ledger::create(&path, &left).unwrap();
        let removals = vec![request(4, Change::Remove, plain("10.8.0.5/24"))];
        assert_eq!(perform(Some(next), &[removals]), [done(4)]);
        let addresses: Vec<_> = Ledger::read(&path).unwrap();
        assert_eq!(addresses, left[1..]);
    });
}
