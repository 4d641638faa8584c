//! Configurations of every kind, all of them such as a file could mean.

mod trackers;

use mainstay::conf::keywords::{self, Status, Within};
use mainstay::model::addr::{Cidr, VirtualAddress};
use mainstay::model::ids::{Family, Version, Vrid};
use mainstay::model::links::{LinkDelay, LinkPoll, Linkbeat, StaticAddress, TrackGroup};
use mainstay::model::priority::{Priority, Weight};
use mainstay::model::settings::*;
use proptest::collection::{btree_set, hash_set, vec};
use proptest::option::{of, weighted};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;
use trackers::{check, damping, file, process, weight};

/// Whether a keyword is acted on; what is not cannot be read from any file.
pub(crate) fn acted(within: Within, name: &str) -> bool {
    keywords::find(within, name).is_some_and(|row| row.status == Status::Acted)
}

/// Names with everything a line can hold, words of the language among them.
fn name() -> impl Strategy<Value = Arc<str>> {
    prop_oneof![
        "[A-Za-z0-9_]{1,12}",
        "[a-zä #!{}@~^%()'+= .:/-]{1,8}",
        select(vec![
            "weight",
            "include",
            "vrrp_instance",
            "name",
            "track_script",
            "a.b",
            "$x-",
            "}",
            "#",
        ])
        .prop_map(str::to_owned),
    ]
    .prop_map(Arc::from)
}

fn interface() -> impl Strategy<Value = Arc<str>> {
    prop_oneof![4 => "eth[0-3]", 1 => "[a-z0-9.:#!@{}-]{1,15}"]
        .prop_filter("no interface", |s| !matches!(&**s, "lo" | "." | ".."))
        .prop_map(Arc::from)
}

fn user() -> impl Strategy<Value = RunAs> {
    let word = || "[a-z_][a-z0-9_-]{0,8}";
    (word(), of(word())).prop_map(|(user, group)| RunAs {
        user: user.into(),
        group: group.map(Arc::from),
    })
}

fn command() -> impl Strategy<Value = Command> {
    let argument = prop_oneof![
        3 => "[a-zA-Z0-9/._-]{1,12}",
        2 => "[ -~]{0,12}",
        1 => "\\PC{0,6}",
        1 => "[\\x01-\\x1f\\x7f \"'\\\\$#!{}a]{0,8}",
        1 => select(vec!["${X}", "$HOME", "", "#", "\u{e4}\u{1f600}"]).prop_map(str::to_owned),
    ]
    .prop_filter("a stand-in for what is not UTF-8", |s| {
        !s.contains(|c| matches!(u32::from(c), 0xf780..=0xf7ff))
    });
    let argv = prop_oneof![
        6 => vec(argument, 1..4),
        1 => select(vec!["</dev/tcp/127.0.0.1/80", "< /a/b", "ls $HOME"])
            .prop_map(|s| vec!["/bin/sh".into(), "-c".into(), s.to_owned()]),
    ]
    .prop_filter("no program", |argv| !argv[0].is_empty());
    (argv, of(user())).prop_map(|(argv, user)| Command {
        argv: argv.into_iter().map(Arc::from).collect(),
        user,
    })
}

fn notify(of_group: bool) -> impl Strategy<Value = NotifySettings> {
    let one = || weighted(0.25, command());
    (
        one(),
        one(),
        one(),
        one(),
        weighted(0.2, one()),
        one(),
        one(),
    )
        .prop_map(
            move |(master, backup, fault, stop, deleted, lower_advert, any)| NotifySettings {
                master,
                backup,
                fault,
                stop,
                deleted: deleted.filter(|_| !of_group),
                lower_advert: lower_advert.filter(|_| !of_group),
                any,
            },
        )
}

fn global() -> impl Strategy<Value = GlobalSettings> {
    let micros = |most: u64| {
        prop_oneof![
            2 => Just(0),
            1 => 1..=most,
            1 => (1..=most / 1_000_000).prop_map(|s| s * 1_000_000),
        ]
        .prop_map(Duration::from_micros)
    };
    let startup = prop_oneof![
        Just(Duration::ZERO),
        (1_000u64..=4_294_000_000).prop_map(Duration::from_micros)
    ];
    let process = (
        of(1u8..=99),
        of(-20i8..=19),
        any::<bool>(),
        btree_set(0u16..=8191, 0..4),
        of(2u64..=1_000_000),
    )
        .prop_map(
            |(rt_priority, nice, no_swap, cpus, rttime)| ProcessSettings {
                rt_priority,
                nice,
                no_swap,
                cpus: cpus.into_iter().collect(),
                rttime,
            },
        );
    let limit = prop_oneof![
        Just(RestoreLimit::default()),
        (1u32.., 1u64..=u64::from(u32::MAX)).prop_map(|(count, within)| RestoreLimit {
            count,
            within: Duration::from_secs(within),
        })
    ];
    (
        (of(name()), of("[a-z]{1,8}")),
        startup,
        (
            micros(4_294_000_000),
            micros(4_294_000_000),
            micros(4_294_000_000),
            (16u32..=1_000_000).prop_map(JournalKeep),
        ),
        (any::<bool>(), any::<bool>(), any::<bool>()),
        limit,
        process,
    )
        .prop_map(
            |((router_id, group), startup_delay, times, flags, restore_limit, process)| {
                GlobalSettings {
                    router_id,
                    net_namespace: group.as_deref().map(Arc::from),
                    startup_delay,
                    delay_after_boot: times.0,
                    garp_interval: times.1,
                    gna_interval: times.2,
                    log_unknown_vrids: flags.0,
                    script_security: flags.1,
                    unusable_faults: flags.2,
                    control_group: group.map(Arc::from),
                    journal_keep: times.3,
                    restore_limit,
                    process,
                }
            },
        )
}

/// Options of the `n`th address of an instance.
fn address(family: Family) -> impl Strategy<Value = VirtualAddress> {
    (
        (any::<u8>(), weighted(0.3, interface())),
        (of(any::<u32>()), prop_oneof![Just(0u8), any::<u8>()]),
        (weighted(0.3, "[a-z0-9:#]{1,15}"), of(0u32..u32::MAX - 1)),
        any::<[bool; 4]>(),
    )
        .prop_map(
            move |((len, dev), (broadcast, scope), (label, lft), flags)| {
                let mut it = VirtualAddress::plain(
                    match family {
                        Family::V4 => Cidr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), len % 33),
                        Family::V6 => Cidr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), len % 129),
                    }
                    .expect("short enough"),
                );
                it.dev = dev;
                it.no_prefix_route = flags[0];
                it.no_track = flags[1];
                match family {
                    Family::V4 => {
                        it.broadcast = broadcast.map(Ipv4Addr::from);
                        it.scope = scope;
                        it.label = label.map(Arc::from);
                    }
                    Family::V6 => {
                        it.dad = flags[2];
                        if flags[3] {
                            it.preferred_lft = lft;
                        }
                    }
                }
                it
            },
        )
}

/// Gives each address a number of its own.
fn number(list: &mut [VirtualAddress], first: u16, link_local: bool) {
    for (at, it) in (first..).zip(list) {
        it.cidr.addr = match it.cidr.addr {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + u32::from(at))),
            IpAddr::V6(_) if link_local => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, at).into(),
            IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, at).into(),
        };
    }
}

fn host(family: Family, n: u8) -> IpAddr {
    match family {
        Family::V4 => IpAddr::from([192, 0, 2, n]),
        Family::V6 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 1, 0, u16::from(n)).into(),
    }
}

fn garp() -> impl Strategy<Value = GarpSettings> {
    let secs = || prop_oneof![Just(5u64), 0u64..=4294].prop_map(Duration::from_secs);
    prop_oneof![
        Just(GarpSettings::default()),
        (secs(), 1u32.., secs(), 1u32.., secs(), 0u32..).prop_map(
            |(delay, repeat, refresh, refresh_repeat, lower_delay, lower_repeat)| GarpSettings {
                delay,
                repeat,
                refresh,
                refresh_repeat,
                lower_delay,
                lower_repeat,
            }
        )
    ]
}

/// Up to eight octets that a line can hold, not all of them UTF-8.
fn password() -> impl Strategy<Value = [u8; 8]> {
    vec(prop_oneof![5 => 0x20u8..0x7f, 1 => 0x80u8..=0xff], 1..=8)
        .prop_filter("not writable", |octets| {
            let text = String::from_utf8_lossy(octets);
            let odd = |c: char| matches!(c, '"' | '$') || c.is_control() || u32::from(c) >= 0xe000;
            !text.replace('\u{fffd}', "").contains(odd)
        })
        .prop_map(|octets| {
            let mut all = [0; 8];
            all[..octets.len()].copy_from_slice(&octets);
            all
        })
}

/// What a router tracks, chosen by place.
type Choice = Vec<(Index, Weight, bool)>;

fn choice() -> impl Strategy<Value = Choice> {
    vec((any::<Index>(), weight(), any::<bool>()), 0..3)
}

#[derive(Clone, Debug)]
struct Raw {
    router: RouterSettings,
    choices: [Choice; 4],
}

fn router() -> impl Strategy<Value = Raw> {
    let family = prop_oneof![3 => Just(Family::V4), 1 => Just(Family::V6)];
    family.prop_flat_map(|family| {
        let other = move |v4: bool| if v4 { Family::V4 } else { Family::V6 };
        let excluded = any::<bool>().prop_flat_map(move |v4| address(other(v4)));
        (
            (name(), interface(), 1u8..=255, any::<bool>(), any::<bool>()),
            (
                1u64..=4095,
                any::<bool>(),
                of(hash_set(2u8..9, 1..4)),
                of(Just(1u8)),
            ),
            (
                of(password()),
                weighted(0.2, 0u64..=1_000_000_000),
                weighted(0.2, 1u8..=254),
                1u8..=100,
            ),
            (vec(address(family), 0..4), vec(excluded, 0..3)),
            any::<[bool; 11]>(),
            garp(),
            [choice(), choice(), choice(), choice()],
            (
                notify(false),
                select(vec![Handover::Confirmed, Handover::Always, Handover::Off]),
                damping(),
            ),
        )
            .prop_map(
                move |(head, way, time, lists, flags, garp, choices, rest)| {
                    let (name, interface, priority, start_active, three) = head;
                    let (adver, unicast, peers, source) = way;
                    let (mut addresses, mut excluded) = lists;
                    let priority = Priority::new(priority).expect("not zero");
                    let strict = flags[0] && !addresses.is_empty();
                    let version = match family {
                        Family::V4 if !three => Version::V2,
                        Family::V4 | Family::V6 => Version::V3,
                    };
                    number(&mut addresses, 1, strict || flags[9]);
                    number(&mut excluded, 100, false);
                    let start_active = if strict {
                        priority.is_owner()
                    } else {
                        start_active
                    };
                    let preempt = flags[1] || start_active || priority.is_owner();
                    let mut garp = garp;
                    if strict {
                        garp.lower_repeat = 0;
                    }
                    let transport = match peers {
                        Some(peers) if unicast => TransportSettings::Unicast {
                            peers: peers.into_iter().map(|n| host(family, n)).collect(),
                        },
                        Some(_) | None => TransportSettings::Multicast,
                    };
                    let router = RouterSettings {
                        name,
                        interface,
                        vrid: Vrid::new(1).expect("not zero"),
                        family,
                        version,
                        start_active,
                        priority,
                        adver: match version {
                            Version::V2 => Duration::from_secs(adver % 255 + 1),
                            Version::V3 => Duration::from_millis(adver * 10),
                        },
                        transport,
                        source: source.map(|n| host(family, n)),
                        auth: match time.0 {
                            Some(octets) if version == Version::V2 && !strict => {
                                AuthSettings::Password(octets)
                            }
                            Some(_) | None => AuthSettings::None,
                        },
                        checksum_as_v2: flags[2],
                        preempt,
                        preempt_delay: match time.1 {
                            Some(delay) if preempt && !start_active && !strict => {
                                Duration::from_micros(delay)
                            }
                            Some(_) | None => Duration::ZERO,
                        },
                        down_adverts: if strict { 3 } else { time.3 },
                        addresses,
                        excluded,
                        strict,
                        dont_track_primary: flags[3],
                        skip_check_addrs: flags[4],
                        drop_mismatch: flags[5],
                        check_unicast_src: flags[6],
                        lower_prio_no_advert: strict || flags[7],
                        higher_prio_send_advert: !strict && flags[8],
                        owner_ignore_adverts: strict || flags[9],
                        timer_expired_backup: time.2.filter(|_| !preempt).and_then(Priority::new),
                        garp,
                        tracks: Vec::new(),
                        track_links: Vec::new(),
                        track_files: Vec::new(),
                        track_processes: Vec::new(),
                        track_sessions: Vec::new(),
                        handover: if strict { Handover::Off } else { rest.1 },
                        damping: rest.2,
                        all_failed: if flags[10] && !priority.is_owner() {
                            AllFailed::Hold
                        } else {
                            AllFailed::Release
                        },
                        notify: rest.0,
                    };
                    Raw { router, choices }
                },
            )
    })
}

/// The chosen of `all`, each once.
fn chosen<'t, T>(all: &'t [T], choice: &Choice) -> Vec<(&'t T, Weight, bool)> {
    let mut seen = Vec::new();
    let mut list = Vec::new();
    for (index, weight, reverse) in choice {
        if !all.is_empty() && !seen.contains(&index.index(all.len())) {
            seen.push(index.index(all.len()));
            list.push((&all[index.index(all.len())], *weight, *reverse));
        }
    }
    list
}

fn unique<T>(list: Vec<T>, name: impl Fn(&T) -> Arc<str>) -> Vec<Arc<T>> {
    let mut seen = std::collections::HashSet::new();
    list.into_iter()
        .filter(|one| seen.insert(name(one)))
        .map(Arc::new)
        .collect()
}

/// What is polled, what is delayed down and up.
type Links = (bool, Vec<(Arc<str>, Linkbeat)>, Vec<(Arc<str>, u64, u64)>);

fn links() -> impl Strategy<Value = Links> {
    let how = select(vec![
        Linkbeat::Auto,
        Linkbeat::Mii,
        Linkbeat::Ethtool,
        Linkbeat::Ioctl,
    ]);
    let delay = || prop_oneof![Just(0u64), 0u64..=255_000_000];
    (
        any::<bool>(),
        vec((interface(), how), 0..3),
        vec((interface(), delay(), delay()), 0..3),
    )
}

fn with_links(settings: &mut Settings, (poll_all, polls, delays): Links) {
    settings.links.poll_all = poll_all;
    let mut seen = std::collections::HashSet::new();
    let polls = polls.into_iter().filter(|p| seen.insert(p.0.clone()));
    let polls = polls.map(|(interface, how)| LinkPoll { interface, how });
    settings.links.polls = polls.collect();
    let mut seen = std::collections::HashSet::new();
    for (interface, down, up) in delays {
        if !seen.insert(interface.clone()) {
            continue;
        }
        // No longer than those who use it can be silent.
        let users = settings.routers.iter().filter(|r| {
            let mut used = r.used_interfaces();
            used.any(|one| *one == interface)
        });
        let most = users.map(|r| r.adver * u32::from(r.down_adverts - 1));
        let most = most.min().unwrap_or(Duration::MAX) / 2;
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        settings.links.delays.push(LinkDelay {
            interface,
            down: Duration::from_micros(down.min(micros)),
            up: Duration::from_micros(up),
        });
    }
}

/// Static addresses, and which group tracks each; groups and the routers in them.
type Statics = (
    Vec<(VirtualAddress, Option<Index>)>,
    Vec<(Arc<str>, Vec<Index>)>,
);

fn statics() -> impl Strategy<Value = Statics> {
    (
        vec((address(Family::V4), of(any::<Index>())), 0..4),
        vec((name(), vec(any::<Index>(), 1..4)), 0..3),
    )
}

fn with_statics(settings: &mut Settings, (addresses, groups): Statics) {
    if settings.routers.is_empty() {
        return;
    }
    let groups = groups.into_iter().map(|(name, members)| {
        let mut names: Vec<Arc<str>> = Vec::new();
        for member in members {
            let name = &settings.routers[member.index(settings.routers.len())].name;
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        TrackGroup {
            name,
            members: names,
        }
    });
    settings.track_groups = unique(groups.collect(), |g| g.name.clone());
    for (number, (mut address, group)) in (1u8..).zip(addresses) {
        address.cidr.addr = IpAddr::from([10, 77, 0, number]);
        // Nobody uses these otherwise.
        let dev: Arc<str> = format!("static{number}").into();
        address.dev = Some(dev.clone());
        let groups = &settings.track_groups;
        let group = group
            .filter(|_| !groups.is_empty())
            .map(|at| groups[at.index(groups.len())].clone());
        for router in &mut settings.routers {
            if group
                .as_ref()
                .is_some_and(|g| g.members.contains(&router.name))
            {
                Arc::make_mut(router).track_links.push(LinkTrackSettings {
                    interface: dev.clone(),
                    weight: Weight::FAULT,
                    reverse: false,
                });
            }
        }
        settings.statics.push(Arc::new(StaticAddress {
            address,
            track_group: group.map(|g| g.name.clone()),
        }));
    }
}

/// Whole configurations.
pub(crate) fn settings() -> impl Strategy<Value = Settings> {
    let groups = vec(
        (
            name(),
            subsequence(vec![0usize, 1, 2, 3], 0..=4),
            notify(true),
        ),
        0..3,
    );
    (
        global(),
        vec(check(), 0..4),
        vec(file(), 0..3),
        vec(process(), 0..3),
        vec(router(), 0..5),
        groups,
        (of(any::<Index>()), of(user())),
        (links(), statics()),
    )
        .prop_map(
            |(global, checks, files, processes, raw, groups, same, own)| {
                let links = acted(Within::Instance, "track_interface");
                let checks = unique(checks, |c| c.name.clone());
                let mut files = unique(files, |f| f.name.clone());
                let mut processes = unique(processes, |p| p.name.clone());
                if !acted(Within::Root, "track_file") {
                    files.clear();
                }
                if !acted(Within::Root, "vrrp_track_process") {
                    processes.clear();
                }
                // What can be set has one name.
                files.retain(|f| {
                    let named = |c: &Arc<CheckSettings>| c.external.is_some() && c.name == f.name;
                    f.external.is_none() || !checks.iter().any(named)
                });
                let mut routers = Vec::new();
                for (
                    vrid,
                    Raw {
                        mut router,
                        choices,
                    },
                ) in (1u8..).zip(raw)
                {
                    router.vrid = Vrid::new(vrid).expect("not zero");
                    // No weight moves an owner's priority.
                    let owner = router.priority.is_owner();
                    let fits = |weight: Weight| if owner { Weight::FAULT } else { weight };
                    for (check, weight, reverse) in chosen(&checks, &choices[0]) {
                        let weight = fits(weight);
                        router.tracks.push(TrackSettings {
                            check: check.name.clone(),
                            weight,
                            reverse,
                        });
                    }
                    let eths: [Arc<str>; 3] = ["t0".into(), "t1".into(), "t#".into()];
                    for (interface, weight, reverse) in chosen(&eths, &choices[1]) {
                        let weight = fits(weight);
                        if links {
                            router.track_links.push(LinkTrackSettings {
                                interface: interface.clone(),
                                weight,
                                reverse,
                            });
                        }
                    }
                    let named = |name: &Arc<str>, weight: Weight, reverse| NamedTrackSettings {
                        name: name.clone(),
                        weight: weight.get(),
                        reverse,
                    };
                    for (file, weight, reverse) in chosen(&files, &choices[2]) {
                        let weight = fits(weight);
                        router.track_files.push(named(&file.name, weight, reverse));
                    }
                    for (process, weight, reverse) in chosen(&processes, &choices[3]) {
                        router
                            .track_processes
                            .push(named(&process.name, weight, reverse));
                    }
                    if !acted(Within::Instance, "track_handover") {
                        router.handover = Handover::default();
                    }
                    routers.push(router);
                }
                let mut routers = unique(routers, |r| r.name.clone());
                alike(&mut routers, same.0);
                let mut settings = Settings {
                    global,
                    checks,
                    files,
                    processes,
                    groups: Vec::new(),
                    routers,
                    ..Settings::default()
                };
                with_statics(&mut settings, own.1);
                with_links(&mut settings, own.0);
                if acted(Within::Root, "vrrp_sync_group") {
                    settings.groups = grouped(&settings.routers, groups);
                }
                if let Some(user) = same.1 {
                    everybodys(&mut settings, &user);
                }
                settings
            },
        )
}

/// Often all instances are alike in something.
fn alike(routers: &mut [Arc<RouterSettings>], model: Option<Index>) {
    let Some(model) = model.filter(|_| !routers.is_empty()) else {
        return;
    };
    let model = routers[model.index(routers.len())].clone();
    for router in routers {
        let router = Arc::make_mut(router);
        if router.family == Family::V4
            && router.version == Version::V2
            && model.version == Version::V3
        {
            router.version = Version::V3;
            router.auth = AuthSettings::None;
            router.adver = router.adver.min(Duration::from_millis(40_950));
        }
        router.checksum_as_v2 = model.checksum_as_v2;
        router.skip_check_addrs = model.skip_check_addrs;
        router.drop_mismatch = model.drop_mismatch;
        router.check_unicast_src = model.check_unicast_src;
        router.garp = model.garp;
        if !router.priority.is_owner() {
            router.all_failed = model.all_failed;
        }
        if router.strict {
            router.garp.lower_repeat = 0;
        } else {
            router.lower_prio_no_advert = model.lower_prio_no_advert;
            router.down_adverts = model.down_adverts;
            router.handover = model.handover;
        }
    }
}

/// Each router in one group at most.
fn grouped(
    routers: &[Arc<RouterSettings>],
    raw: Vec<(Arc<str>, Vec<usize>, NotifySettings)>,
) -> Vec<Arc<GroupSettings>> {
    let mut taken = Vec::new();
    let mut groups = Vec::new();
    for (name, members, notify) in raw {
        let members: Vec<usize> = members
            .into_iter()
            .filter(|at| *at < routers.len() && !taken.contains(at))
            .collect();
        // Members that want to start differently all start as backups, and all_failed must agree.
        let like = |at: usize| (routers[at].start_active, routers[at].all_failed);
        let first = members.first().map(|at| like(*at));
        let members: Vec<usize> = members
            .into_iter()
            .filter(|at| Some(like(*at)) == first)
            .collect();
        if members.is_empty() {
            continue;
        }
        taken.extend(&members);
        groups.push(GroupSettings {
            name,
            members: members.iter().map(|at| routers[*at].name.clone()).collect(),
            notify,
        });
    }
    unique(groups, |g| g.name.clone())
}

/// One user for all programs.
fn everybodys(settings: &mut Settings, user: &RunAs) {
    for check in &mut settings.checks {
        // Who may report runs nothing.
        if check.external.is_none() {
            Arc::make_mut(check).command.user = Some(user.clone());
        }
    }
    let set = |notify: &mut NotifySettings| {
        for command in [
            &mut notify.master,
            &mut notify.backup,
            &mut notify.fault,
            &mut notify.stop,
            &mut notify.lower_advert,
            &mut notify.any,
        ]
        .into_iter()
        .flatten()
        .chain(notify.deleted.iter_mut().flatten())
        {
            command.user = Some(user.clone());
        }
    };
    for router in &mut settings.routers {
        set(&mut Arc::make_mut(router).notify);
    }
    for group in &mut settings.groups {
        set(&mut Arc::make_mut(group).notify);
    }
}
