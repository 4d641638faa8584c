//! Sync groups: instances that move together.

use super::*;

/// Two instances of a node in one sync group, and what each tracks.
type Bound = [(u8, bool, Vec<(usize, i16)>); 2];

fn bound() -> impl Strategy<Value = Bound> {
    let one = || {
        let weight = prop_oneof![2 => Just(0i16), 3 => -3i16..=3];
        (
            90u8..=110,
            prop::bool::weighted(0.2),
            prop::collection::btree_map(0usize..3, weight, 0..=2)
                .prop_map(|tracks| tracks.into_iter().collect()),
        )
    };
    ([one(), one()], prop::bool::weighted(0.7)).prop_map(|(mut both, same)| {
        if same {
            both[1].0 = both[0].0;
        }
        both
    })
}

fn bound_settings((nodes, grouped): &(Vec<Bound>, bool)) -> Vec<Settings> {
    let node = |bound: &Bound, grouped: bool| {
        let instance = |at: usize| {
            let (priority, nopreempt, tracks) = &bound[at];
            let mut r = match at {
                0 => router("A"),
                _ => router("B").vrid(52).on("eth1").vips([vip([10, 0, 1, 200])]),
            };
            r = r.priority(*priority).adver(Duration::from_millis(200));
            if *nopreempt {
                r = r.nopreempt();
            }
            for (check, weight) in tracks {
                r = r.track(&format!("s{check}"), *weight);
            }
            r
        };
        let checks = (0..3).map(|at| {
            let short = Duration::from_millis(100);
            check(&format!("s{at}")).interval(short).timeout(short)
        });
        let mut made = settings([instance(0), instance(1)], checks);
        if grouped {
            made.groups = vec![Arc::new(GroupSettings {
                name: "G".into(),
                members: vec!["A".into(), "B".into()],
                notify: NotifySettings::default(),
            })];
        }
        made
    };
    nodes.iter().map(|bound| node(bound, *grouped)).collect()
}

fn play_bound(all: &[Settings], seed: u64, vrid: u8, case: &Case) -> Result<(), String> {
    let mut scenario = Scenario::new(seed).lan(Quality::GOOD);
    for (index, settings) in all.iter().enumerate() {
        scenario = scenario.host(host(&format!("r{index}")).settings(settings.clone()));
    }
    let mut world = scenario.world();
    world.mute();
    world.run_for(Duration::from_secs(6));
    let lan = usize::from(vrid - 51);
    let before = world.serving(lan, Family::V4, vrid).to_vec();
    let event = match &case.failure {
        Failure::Nothing => None,
        Failure::Node { member } => Some(Event::Kill { host: *member }),
        Failure::Tracker { member, kind, name } => Some(match kind {
            Kind::Script => Event::Script {
                host: *member,
                script: name.clone(),
                behaviour: Behaviour::FAILS,
            },
            Kind::Interface => Event::Plug {
                host: *member,
                link: if **name == *"eth0" { ETH0 } else { ETH1 },
                up: false,
            },
            Kind::File | Kind::Process => return Err("none is generated".to_owned()),
        }),
    };
    if let Some(event) = event {
        world.now_do(event);
        world.run_for(Duration::from_secs(6));
    }
    world.verdict()?;
    let foreseen = case.unsettled
        || match world.serving(lan, Family::V4, vrid) {
            [] => case.masters.is_empty(),
            [one] => case.masters.contains(one),
            _ => false,
        };
    let now = world.serving(lan, Family::V4, vrid);
    if foreseen {
        Ok(())
    } else {
        Err(format!(
            "VRID {vrid}, {}: {before:?} served and now {now:?}",
            case.text
        ))
    }
}

#[test]
fn members_of_sync_groups_move_together_as_foreseen() {
    let mut config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 120;
    }
    let setting =
        (2usize..=3).prop_flat_map(|n| (prop::collection::vec(bound(), n), any::<bool>()));
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let (played, certain) = (AtomicU32::new(0), AtomicU32::new(0));
    let outcome = runner.run(&(setting, any::<u64>()), |(setting, seed)| {
        let all = bound_settings(&setting);
        let proof = proof(&all);
        prop_assert_eq!(proof.groups.len(), 2);
        for group in &proof.groups {
            for case in &group.cases {
                played.fetch_add(1, Ordering::Relaxed);
                let open = case.unsettled || case.masters.len() > 1;
                certain.fetch_add(u32::from(!open), Ordering::Relaxed);
                if let Err(why) = play_bound(&all, seed, group.vrid, case) {
                    return Err(TestCaseError::fail(format!("{why}\n{}", proof.table())));
                }
            }
        }
        Ok(())
    });
    if let Err(why) = outcome {
        panic!("{why}");
    }
    let (played, certain) = (played.into_inner(), certain.into_inner());
    println!("{played} cases of sync groups played, {certain} of them certain");
    assert!(certain * 10 > played * 4, "{certain} of {played}");
}
