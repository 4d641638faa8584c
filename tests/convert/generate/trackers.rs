//! Scripts, files and processes to track.

use super::*;

pub(super) fn weight() -> impl Strategy<Value = Weight> {
    prop_oneof![Just(0i16), -253i16..=253].prop_map(|n| Weight::new(n).expect("in range"))
}

/// A program, or a probe and the words that describe it.
fn run() -> impl Strategy<Value = (Command, Option<Probe>)> {
    let probes = vec![
        (
            "tcp 127.0.0.1:80",
            Probe::Tcp {
                to: Place::Addresses(vec![([127, 0, 0, 1], 80).into()]),
            },
        ),
        (
            "tcp db.example:5432",
            Probe::Tcp {
                to: Place::Name {
                    host: "db.example".into(),
                    port: 5432,
                },
            },
        ),
        (
            "https://[fe80::1]/x insecure",
            Probe::Http {
                to: Place::Addresses(vec!["[fe80::1]:443".parse().expect("an address")]),
                host: "[fe80::1]".into(),
                path: "/x".into(),
                tls: Some(Tls::Insecure),
            },
        ),
        (
            "http://10.0.0.1:8080/a?b=c",
            Probe::Http {
                to: Place::Addresses(vec![([10, 0, 0, 1], 8080).into()]),
                host: "10.0.0.1:8080".into(),
                path: "/a?b=c".into(),
                tls: None,
            },
        ),
        ("unix @x", Probe::Unix { path: "@x".into() }),
        (
            "systemd a.service",
            Probe::Systemd {
                unit: "a.service".into(),
            },
        ),
        (
            "route default inet6 dev eth#",
            Probe::DefaultRoute {
                family: Family::V6,
                interface: Some("eth#".into()),
            },
        ),
        (
            "gateway fe80::1 dev eth0",
            Probe::Gateway {
                addr: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).into(),
                interface: Some("eth0".into()),
            },
        ),
    ];
    let probe = select(probes).prop_map(|(words, probe)| {
        let argv = std::iter::once("check").chain(words.split(' '));
        let command = Command {
            argv: argv.map(Arc::from).collect(),
            user: None,
        };
        (command, Some(probe))
    });
    let blank = (1u64..9999).prop_map(|secs| {
        let probe = Probe::FileAge {
            path: "/a b/c".into(),
            most: Duration::from_secs(secs),
        };
        let words = ["check", "file-age", "/a b/c", &format!("{secs}s")].map(Arc::from);
        let command = Command {
            argv: words.to_vec(),
            user: None,
        };
        (command, Some(probe))
    });
    prop_oneof![
        4 => command().prop_map(|command| (command, None)),
        1 => probe,
        1 => blank,
    ]
}

pub(super) fn check() -> impl Strategy<Value = CheckSettings> {
    let millis = || {
        prop_oneof![
            Just(Duration::from_secs(1)),
            (1u64..=4_294_000).prop_map(Duration::from_millis)
        ]
    };
    (
        name(),
        run(),
        (millis(), of(millis())),
        (weight(), any::<bool>()),
        (
            1u32..=5,
            1u32..=i32::MAX.unsigned_abs(),
            any::<bool>(),
            thresholds(),
        ),
        weighted(0.2, external()),
    )
        .prop_map(
            |(name, (command, probe), (interval, timeout), (weight, reverse), counts, fed)| {
                let plain = Command {
                    argv: vec!["external".into()],
                    user: None,
                };
                let second = Duration::from_secs(1);
                let (command, probe, interval, timeout) = match fed {
                    Some(_) => (plain, None, second, None),
                    None => (command, probe, interval, timeout),
                };
                CheckSettings {
                    name,
                    command,
                    probe,
                    external: fed,
                    interval,
                    timeout: timeout.unwrap_or(interval),
                    weight,
                    reverse,
                    rise: counts.0,
                    fall: counts.1,
                    init_fail: counts.2,
                    thresholds: counts.3,
                    unusable: None,
                }
            },
        )
}

fn thresholds() -> impl Strategy<Value = Thresholds> {
    let window = (2u8..=64).prop_flat_map(|of| (1..=of, Just(of)));
    let times = || of(1u32..=i32::MAX.unsigned_abs());
    (of(window), times(), times()).prop_map(|(window, rise, fall)| Thresholds {
        window: window.map(|(failures, of)| Window { failures, of }),
        rise_when_backup: rise,
        fall_when_master: fall.filter(|_| window.is_none()),
    })
}

pub(super) fn damping() -> impl Strategy<Value = Option<DampingSettings>> {
    let damping = (1_000_000u64..=86_400_000_000, 1u32..=1000, 1u32..=1000);
    let damping = damping.prop_map(|(half_life, a, b)| DampingSettings {
        half_life: Duration::from_micros(half_life),
        suppress: a.max(b),
        reuse: a.min(b),
    });
    of(damping)
}

pub(super) fn external() -> impl Strategy<Value = ExternalSettings> {
    let lease = (1u64..=4_294_000).prop_map(Duration::from_millis);
    (of(lease), of("[a-z][a-z0-9-]{0,6}")).prop_map(|(lease, user)| ExternalSettings {
        lease,
        user: user.map(Arc::from),
    })
}

pub(super) fn file() -> impl Strategy<Value = FileSettings> {
    (
        name(),
        "/[a-z /#]{1,10}[a-z]",
        (-254i16..=254, any::<bool>()),
        (of(-9i32..1000), any::<bool>()),
        weighted(0.2, external()),
    )
        .prop_map(
            |(name, path, (weight, reverse), (init, overwrite), external)| {
                let read = external.is_none();
                FileSettings {
                    name,
                    path: if read { path } else { String::new() }.into(),
                    weight,
                    reverse,
                    init: init.filter(|_| read),
                    overwrite: overwrite && init.is_some() && read,
                    external,
                }
            },
        )
}

pub(super) fn process() -> impl Strategy<Value = ProcessTrackSettings> {
    let delay = || {
        prop_oneof![
            Just(Duration::ZERO),
            (1u64..=3_600_000_000).prop_map(Duration::from_micros)
        ]
    };
    let ways = vec![
        ParamMatch::None,
        ParamMatch::Exact,
        ParamMatch::Partial,
        ParamMatch::Initial,
    ];
    (
        (name(), "[a-z][a-z0-9-]{0,8}", vec("[a-z -]{1,4}", 0..3)),
        (select(ways), any::<bool>()),
        (-254i16..=254, any::<bool>()),
        (1u32..=65_535, of(0u32..=65_535)),
        (delay(), delay()),
    )
        .prop_map(
            |((name, process, params), (matching, full), (weight, reverse), quorum, delays)| {
                // Parameters that are given are compared.
                let matching = if matching == ParamMatch::None && !params.is_empty() {
                    ParamMatch::Exact
                } else {
                    matching
                };
                let (least, most) = match quorum {
                    (_, Some(0)) => (0, Some(0)),
                    (least, most) => (least, most.map(|most| most.max(least))),
                };
                ProcessTrackSettings {
                    name,
                    process: process.into(),
                    params: params.into_iter().map(Arc::from).collect(),
                    matching,
                    // Parameters can only be compared with a whole command line.
                    full_command: full || matching != ParamMatch::None,
                    weight,
                    reverse,
                    quorum: least,
                    quorum_max: most,
                    fork_delay: delays.0,
                    terminate_delay: delays.1,
                }
            },
        )
}
