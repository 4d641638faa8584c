//! What notify programs are told: which programs, in which order, with which words.

use crate::model::notice::{Notification, Phase, Told, keepalived_word};
use crate::model::settings::{Command, RouterSettings};
use crate::scripts::protocol::{RunKey, Start};
use std::collections::VecDeque;
use std::sync::Arc;

/// VRRP_VIPS is no longer than this, so that the event can be delivered at all.
const VIPS_ROOM: usize = 32 * 1024;

/// The keyword of the program that is told of every state.
const GENERIC: &str = "notify";

/// One program of one event, ready to be started.
#[derive(Debug)]
pub(super) struct Program {
    /// The keyword that names it.
    pub(super) keyword: &'static str,
    /// The state or event it is told.
    pub(super) word: &'static str,
    /// See [`is_parting`].
    pub(super) parting: bool,
    /// What the runner is asked; its key is not yet the right one.
    pub(super) start: Start,
}

/// Whether any program wants to hear of it.
pub(super) fn is_heard(what: &Notification) -> bool {
    !commands(what).is_empty()
}

/// Whether it is no state but an advert.
pub(super) fn is_lower(what: &Notification) -> bool {
    what.to == Told::LowerAdvert
}

/// Whether it is the last that is told of an instance; nothing may displace it.
pub(super) fn is_parting(to: Told) -> bool {
    match to {
        Told::State(Phase::Stopped | Phase::Deleted) => true,
        Told::State(Phase::Init | Phase::Backup | Phase::Active | Phase::Fault)
        | Told::LowerAdvert => false,
    }
}

/// keepalived's word for what is told.
fn word(what: &Notification) -> &'static str {
    match what.to {
        Told::LowerAdvert => "MASTER_RX_LOWER_PRI",
        // keepalived.conf(5) notify_deleted: FAULT unless the word DELETED is asked for.
        Told::State(Phase::Deleted) if what.programs().deleted.is_none() => {
            keepalived_word(Phase::Fault)
        }
        Told::State(phase) => keepalived_word(phase),
    }
}

/// The programs of an event in order: the state's own, then the generic one.
fn commands(what: &Notification) -> Vec<(&'static str, &Command)> {
    let notify = what.programs();
    let (keyword, own) = match what.to {
        Told::State(Phase::Init) => return Vec::new(),
        Told::State(Phase::Active) => ("notify_master", notify.master.as_ref()),
        Told::State(Phase::Backup) => ("notify_backup", notify.backup.as_ref()),
        Told::State(Phase::Fault) => ("notify_fault", notify.fault.as_ref()),
        Told::State(Phase::Stopped) => ("notify_stop", notify.stop.as_ref()),
        Told::State(Phase::Deleted) => match &notify.deleted {
            Some(own) => ("notify_deleted", own.as_ref()),
            None if what.from == Phase::Fault => return Vec::new(),
            None => ("notify_fault", notify.fault.as_ref()),
        },
        Told::LowerAdvert => ("notify_master_rx_lower_pri", notify.lower_advert.as_ref()),
    };
    let generic = match what.to {
        Told::State(_) => notify.any.as_ref(),
        Told::LowerAdvert => None,
    };
    let own = own.map(|command| (keyword, command));
    let generic = generic.map(|command| (GENERIC, command));
    own.into_iter().chain(generic).collect()
}

/// The programs of an event, told that so many states were skipped before it.
pub(super) fn programs(what: &Notification, skipped: u32) -> VecDeque<Program> {
    let env = environment(what, skipped);
    let word = word(what);
    let (kind, name) = what.subject();
    commands(what)
        .into_iter()
        .map(|(keyword, command)| {
            let mut argv = command.argv.clone();
            if keyword == GENERIC {
                argv.extend([
                    Arc::from(kind),
                    name.clone(),
                    Arc::from(word),
                    Arc::from(what.priority.to_string()),
                ]);
            }
            Program {
                keyword,
                word,
                parting: is_parting(what.to),
                start: Start {
                    key: RunKey::notify(0),
                    argv,
                    user: command.user.clone(),
                    env: env.clone(),
                    security: false,
                },
            }
        })
        .collect()
}

fn environment(what: &Notification, skipped: u32) -> Vec<(String, String)> {
    let settings = &what.settings;
    let (vips, omitted) = vips(settings);
    let peer = what.why.peer();
    let mut env = vec![
        ("VRRP_INSTANCE", what.subject().1.to_string()),
        ("VRRP_FROM", keepalived_word(what.from).to_owned()),
        ("VRRP_TO", word(what).to_owned()),
        ("VRRP_CAUSE", what.why.code().to_owned()),
        ("VRRP_DETAIL", what.why.to_string()),
        ("VRRP_PRIORITY", what.priority.to_string()),
        ("VRRP_PEER", peer.map_or(String::new(), |p| p.to_string())),
        ("VRRP_VIPS", vips),
        ("VRRP_INTERFACE", settings.interface.to_string()),
        ("VRRP_VRID", settings.vrid.to_string()),
        ("VRRP_SEQ", what.seq.to_string()),
        ("VRRP_FIRST", u8::from(what.first).to_string()),
        ("VRRP_SKIPPED", skipped.to_string()),
    ];
    if omitted > 0 {
        env.push(("VRRP_VIPS_OMITTED", omitted.to_string()));
    }
    env.into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// The addresses that fit, and how many do not.
fn vips(settings: &RouterSettings) -> (String, usize) {
    let mut text = String::new();
    for (n, vip) in settings.installed().enumerate() {
        let one = vip.cidr.to_string();
        if text.len() + 1 + one.len() > VIPS_ROOM {
            return (text, settings.installed().count() - n);
        }
        if n > 0 {
            text.push(' ');
        }
        text.push_str(&one);
    }
    (text, 0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::addr::{Cidr, VirtualAddress};
    use crate::model::ids::{Family, RouterId, Version, Vrid};
    use crate::model::notice::{Heard, Why};
    use crate::model::priority::Priority;
    use crate::model::settings::{AuthSettings, GarpSettings, NotifySettings, TransportSettings};
    use std::time::Duration;

    fn command(program: &str) -> Option<Command> {
        Some(Command {
            argv: vec![program.into()],
            user: None,
        })
    }

    /// An instance with a program for everything enters a state.
    pub(in crate::scripts) fn state(phase: Phase) -> Notification {
        notification(Told::State(phase))
    }

    pub(in crate::scripts) fn notification(to: Told) -> Notification {
        let settings = RouterSettings {
            name: "VI_1".into(),
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
            addresses: vec![vip(1)],
            excluded: vec![vip(2)],
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
            handover: crate::model::settings::Handover::default(),
            damping: None,
            all_failed: crate::model::settings::AllFailed::default(),
            notify: NotifySettings {
                master: command("/master"),
                backup: command("/backup"),
                fault: command("/fault"),
                stop: command("/stop"),
                deleted: Some(command("/deleted")),
                lower_advert: command("/lower"),
                any: command("/any"),
            },
        };
        Notification {
            router: RouterId(0),
            settings: Arc::new(settings),
            group: None,
            from: Phase::Backup,
            to,
            priority: 100,
            why: Why::Silence {
                missed: 3,
                last: Some(Heard {
                    from: [10, 0, 0, 2].into(),
                    priority: 150,
                    ago: Duration::from_secs(3),
                }),
            },
            seq: 7,
            first: true,
        }
    }

    fn vip(host: u8) -> VirtualAddress {
        VirtualAddress::plain(Cidr::new([10, 0, 0, host].into(), 24).expect("short"))
    }

    fn keywords(what: &Notification) -> Vec<(&'static str, &'static str)> {
        let programs = programs(what, 0);
        programs.iter().map(|p| (p.keyword, p.word)).collect()
    }

    #[test]
    fn every_state_has_its_own_program_and_then_the_generic_one() {
        for (phase, keyword, word) in [
            (Phase::Active, "notify_master", "MASTER"),
            (Phase::Backup, "notify_backup", "BACKUP"),
            (Phase::Fault, "notify_fault", "FAULT"),
            (Phase::Stopped, "notify_stop", "STOP"),
            (Phase::Deleted, "notify_deleted", "DELETED"),
        ] {
            let told = keywords(&state(phase));
            assert_eq!(told, [(keyword, word), ("notify", word)]);
        }
        assert!(!is_heard(&state(Phase::Init)));
        assert_eq!(
            keywords(&notification(Told::LowerAdvert)),
            [("notify_master_rx_lower_pri", "MASTER_RX_LOWER_PRI")]
        );
    }

    #[test]
    fn the_generic_program_gets_four_words_more() {
        let programs = programs(&state(Phase::Active), 0);
        assert_eq!(*programs[0].start.argv, ["/master".into()]);
        let words: Vec<&str> = programs[1].start.argv.iter().map(|word| &**word).collect();
        assert_eq!(words, ["/any", "INSTANCE", "VI_1", "MASTER", "100"]);
    }

    #[test]
    fn a_deleted_instance_is_told_as_fault_unless_the_word_is_asked_for() {
        let mut what = state(Phase::Deleted);
        Arc::make_mut(&mut what.settings).notify.deleted = Some(None);
        assert_eq!(keywords(&what), [("notify", "DELETED")]);
        Arc::make_mut(&mut what.settings).notify.deleted = None;
        assert_eq!(
            keywords(&what),
            [("notify_fault", "FAULT"), ("notify", "FAULT")]
        );
        what.from = Phase::Fault;
        assert!(!is_heard(&what), "it was told FAULT already");
    }

    #[test]
    fn the_environment_tells_the_whole_story() {
        let env = environment(&state(Phase::Active), 2);
        let env: Vec<String> = env.into_iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(
            env,
            [
                "VRRP_INSTANCE=VI_1",
                "VRRP_FROM=BACKUP",
                "VRRP_TO=MASTER",
                "VRRP_CAUSE=advert_timeout",
                "VRRP_DETAIL=3 adverts missed, last from 10.0.0.2 (priority 150) 3.000 s ago",
                "VRRP_PRIORITY=100",
                "VRRP_PEER=10.0.0.2",
                "VRRP_VIPS=10.0.0.1/24 10.0.0.2/24",
                "VRRP_INTERFACE=eth0",
                "VRRP_VRID=51",
                "VRRP_SEQ=7",
                "VRRP_FIRST=1",
                "VRRP_SKIPPED=2",
            ]
        );
    }

    #[test]
    fn more_addresses_than_fit_are_counted_instead() {
        let mut what = state(Phase::Active);
        let settings = Arc::make_mut(&mut what.settings);
        settings.addresses = vec![vip(9); 5000];
        settings.excluded.clear();
        let env = environment(&what, 0);
        let value = |name: &str| env.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        let vips = value("VRRP_VIPS").expect("there");
        assert!(vips.len() <= VIPS_ROOM && vips.ends_with(" 10.0.0.9/24"));
        let omitted: usize = value("VRRP_VIPS_OMITTED")
            .expect("there")
            .parse()
            .expect("a number");
        assert_eq!(omitted + vips.split(' ').count(), 5000);
    }
}
