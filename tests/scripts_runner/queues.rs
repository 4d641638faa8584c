//! Notify programs through the real queues and the real runner.

use super::*;

/// The queues and the runner together, as the service thread has them, on a clock of its own.
struct Office {
    runner: Runner,
    queues: NotifyQueues,
    begun: Instant,
    /// So much faster than the real clock.
    speed: u32,
    outcomes: Vec<Outcome>,
}

impl Office {
    fn new(runner: Runner, speed: u32) -> Self {
        Self {
            runner,
            queues: NotifyQueues::default(),
            begun: Instant::now(),
            speed,
            outcomes: Vec::new(),
        }
    }

    fn now(&self) -> mainstay::model::time::Instant {
        mainstay::model::time::Instant::ZERO + self.begun.elapsed() * self.speed
    }

    fn act(&mut self, out: Outbox) {
        for request in &out.requests {
            self.runner.send(request);
        }
        self.outcomes.extend(out.results.iter().map(|r| r.outcome));
    }

    fn push(&mut self, notification: Notification) {
        let mut out = Outbox::default();
        self.queues.push(self.now(), notification, &mut out);
        self.act(out);
    }

    /// Answers and deadlines for a while.
    async fn work(&mut self, length: Duration) {
        let end = Instant::now() + length;
        while Instant::now() < end {
            let reply = timeout(Duration::from_millis(5), self.runner.recv()).await;
            let mut out = Outbox::default();
            match reply {
                Ok(Some(Reply::Started { key, .. })) => self.queues.started(key),
                Ok(Some(Reply::Ended {
                    key, how, stderr, ..
                })) => self.queues.ended(self.now(), key, how, &stderr, &mut out),
                Ok(None) => panic!("the runner died"),
                Err(_) => {}
            }
            self.queues.tick(self.now(), &mut out);
            self.act(out);
        }
    }

    async fn finish(&mut self) {
        let begun = Instant::now();
        while !self.queues.idle() {
            assert!(begun.elapsed() < PATIENCE, "the queues never empty");
            self.work(Duration::from_millis(20)).await;
        }
    }
}

fn notification(phase: Phase, notify: NotifySettings) -> Notification {
    notification_of("VI_1", phase, notify)
}

fn notification_of(name: &str, phase: Phase, notify: NotifySettings) -> Notification {
    let settings = RouterSettings {
        name: name.into(),
        interface: "eth0".into(),
        vrid: Vrid::new(51).expect("not zero"),
        family: Family::V4,
        version: Version::V3,
        start_active: false,
        priority: Priority::DEFAULT,
        adver: Duration::from_secs(1),
        transport: TransportSettings::Multicast,
        source: None,
        auth: AuthSettings::None,
        checksum_as_v2: false,
        preempt: true,
        preempt_delay: Duration::ZERO,
        down_adverts: 3,
        addresses: Vec::new(),
        excluded: Vec::new(),
        strict: false,
        dont_track_primary: false,
        skip_check_addrs: false,
        drop_mismatch: false,
        check_unicast_src: false,
        lower_prio_no_advert: false,
        higher_prio_send_advert: false,
        owner_ignore_adverts: false,
        timer_expired_backup: None,
        garp: GarpSettings::default(),
        tracks: Vec::new(),
        track_links: Vec::new(),
        track_files: Vec::new(),
        track_processes: Vec::new(),
        track_sessions: Vec::new(),
        handover: mainstay::model::settings::Handover::default(),
        damping: None,
        all_failed: mainstay::model::settings::AllFailed::default(),
        notify,
    };
    Notification {
        router: RouterId(0),
        settings: Arc::new(settings),
        group: None,
        from: Phase::Init,
        to: Told::State(phase),
        priority: 100,
        why: Why::Startup,
        seq: 1,
        first: true,
    }
}

fn hook(script: &str, argument: &str) -> Option<Command> {
    Some(Command {
        argv: ["/bin/sh", "-c", script, "hook", argument]
            .map(Arc::from)
            .to_vec(),
        user: Some(RunAs {
            user: own_user().into(),
            group: None,
        }),
    })
}

/// A thousand flips of each of three instances within ten seconds, with programs of 0 to 300 ms.
#[test]
fn hooks_of_one_instance_never_overlap_and_end_with_the_last_state() {
    const FLIPS: usize = 1_000;
    const LENGTH: Duration = Duration::from_secs(10);
    with_runner(|runner| async move {
        let dir = tempfile::tempdir().expect("a directory");
        // After its own argument: INSTANCE, name, state, priority.
        let script = "mkdir $1.lock || echo overlap >> $1; echo \"begin $4\" >> $1; \
                      sleep $(printf 0.%03d $(($$ * 7919 % 301))); \
                      rmdir $1.lock; echo \"end $4\" >> $1";
        let names = ["VI_1", "VI_2", "VI_3"];
        let log = |name: &str| dir.path().join(name);
        let notify = |name: &str| NotifySettings {
            any: hook(script, &log(name).display().to_string()),
            ..NotifySettings::default()
        };
        let phases = [Phase::Active, Phase::Backup, Phase::Fault];
        let mut rng = Rng::new(1);
        let mut last = [0; 3];
        let mut office = Office::new(runner, 1);
        for flip in 1..=FLIPS {
            for (name, state) in names.iter().zip(&mut last) {
                // To one of the two others.
                *state = (*state + 1 + usize::from(rng.permille(500))) % phases.len();
                let told = notification_of(name, phases[*state], notify(name));
                office.push(told);
            }
            let due = LENGTH * u32::try_from(flip).expect("few") / 1_000;
            office
                .work(due.saturating_sub(office.begun.elapsed()))
                .await;
        }
        let took = office.begun.elapsed();
        assert!(took < LENGTH * 3 / 2, "the flips took {took:?}");
        office.finish().await;
        for (name, state) in names.iter().zip(last) {
            let text = fs::read_to_string(log(name)).expect("written");
            let lines: Vec<&str> = text.lines().collect();
            for pair in lines.chunks(2) {
                let [begin, end] = pair else {
                    panic!("{name}: cut off: {pair:?}")
                };
                let told = begin.strip_prefix("begin ");
                assert!(told.is_some(), "{name}: {begin}");
                assert_eq!(told, end.strip_prefix("end "), "{name}: two at once");
            }
            let word = match phases[state] {
                Phase::Active => "end MASTER",
                Phase::Backup => "end BACKUP",
                _ => "end FAULT",
            };
            assert_eq!(lines.last(), Some(&word), "{name}");
            let calls = lines.len() / 2;
            assert!(calls < FLIPS, "{name}: some were skipped");
            // 0.15 s each on average: about 65 find room in ten seconds.
            assert!(calls > 20, "{name}: {calls} calls");
        }
        assert!(
            office
                .outcomes
                .iter()
                .all(|o| *o == Outcome::Ended(How::Exited(0)))
        );
    });
}

#[test]
fn a_hook_that_hangs_and_forks_is_gone_after_its_limit_and_the_next_runs() {
    with_runner(|runner| async move {
        let dir = tempfile::tempdir().expect("a directory");
        let mark = dir.path().join("mark");
        let path = mark.display().to_string();
        let notify = NotifySettings {
            master: hook(
                "trap '' TERM; echo $$ > $1; sleep 100 & while :; do sleep 100; done",
                &path,
            ),
            backup: hook("echo done > $1.backup", &path),
            ..NotifySettings::default()
        };
        // 30 s pass in one.
        let mut office = Office::new(runner, 30);
        office.push(notification(Phase::Active, notify.clone()));
        office.push(notification(Phase::Backup, notify));
        office.work(Duration::from_millis(500)).await;
        let group: u32 = fs::read_to_string(&mark)
            .expect("it runs")
            .trim()
            .parse()
            .expect("a number");
        assert!(group_members(group).len() >= 3);
        office.finish().await;
        until("its group is empty", || group_members(group).is_empty()).await;
        assert_eq!(
            office.outcomes,
            [Outcome::TimedOut, Outcome::Ended(How::Exited(0))]
        );
        assert!(dir.path().join("mark.backup").exists());
    });
}
