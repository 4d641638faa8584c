//! What all instances have in common is said once, in `global_defs`.

use super::given::Given;
use super::router::{all_failed, handover};
use super::settings::Lines;
use crate::model::ids::{Family, Version};
use crate::model::settings::{AllFailed, GarpSettings, Handover, RouterSettings, RunAs, Settings};
use std::sync::Arc;
use std::time::Duration;

/// What holds for an instance that says nothing.
pub(super) struct Defaults {
    /// `vrrp_version`.
    pub(super) version: Version,
    /// `vrrp_garp_*` but for those of lower priority.
    pub(super) garp: GarpSettings,
    /// `vrrp_garp_lower_prio_delay`, if given.
    pub(super) lower_delay: Option<Duration>,
    /// `vrrp_garp_lower_prio_repeat`, if given.
    pub(super) lower_repeat: Option<u32>,
    /// `vrrp_down_timer_adverts`.
    pub(super) down_adverts: u8,
    /// `track_handover`.
    pub(super) handover: Handover,
    /// `all_failed`.
    pub(super) all_failed: AllFailed,
    /// Switches that are on: the keyword of `global_defs`.
    on: Vec<&'static str>,
    /// `script_user`.
    pub(super) script_user: Option<RunAs>,
}

/// A switch: the keyword of `global_defs`, the instance's, and what it is.
pub(super) type Switch = (&'static str, &'static str, fn(&RouterSettings) -> bool);

/// Switches that strict mode decides.
pub(super) const LOOSE: &[Switch] = &[
    ("vrrp_lower_prio_no_advert", "lower_prio_no_advert", |r| {
        r.lower_prio_no_advert
    }),
    (
        "vrrp_higher_prio_send_advert",
        "higher_prio_send_advert",
        |r| r.higher_prio_send_advert,
    ),
    ("vrrp_owner_ignore_adverts", "owner_ignore_adverts", |r| {
        r.owner_ignore_adverts
    }),
];

/// The other switches.
pub(super) const SWITCHES: &[Switch] = &[
    ("vrrp_strict", "strict_mode", |r| r.strict),
    ("vrrp_check_unicast_src", "check_unicast_src", |r| {
        r.check_unicast_src
    }),
    ("vrrp_skip_check_adv_addr", "skip_check_adv_addr", |r| {
        r.skip_check_addrs
    }),
    ("v3_checksum_as_v2", "v3_checksum_as_v2", |r| {
        r.checksum_as_v2
    }),
];

/// What `value` is for all of them, if there are enough to be worth a line or the line was there.
fn common<T: PartialEq>(
    routers: &[&RouterSettings],
    given: bool,
    value: impl Fn(&RouterSettings) -> T,
) -> Option<T> {
    let (first, rest) = routers.split_first()?;
    let common = value(first);
    let worth = given || !rest.is_empty();
    (worth && rest.iter().all(|router| value(router) == common)).then_some(common)
}

impl Defaults {
    /// Finds what is common.
    pub(super) fn of(settings: &Settings, given: &Given) -> Self {
        let given = |name: &str| given.has("global_defs", None, name);
        let all: Vec<&RouterSettings> = settings.routers.iter().map(Arc::as_ref).collect();
        let some = |wanted: fn(&RouterSettings) -> bool| -> Vec<&RouterSettings> {
            all.iter().copied().filter(|r| wanted(r)).collect()
        };
        let four = some(|r| r.family == Family::V4);
        let loose = some(|r| !r.strict);
        let contenders = some(|r| !r.priority.is_owner());
        let plain = GarpSettings::default();
        let garp = GarpSettings {
            delay: common(&all, given("vrrp_garp_master_delay"), |r| r.garp.delay)
                .unwrap_or(plain.delay),
            repeat: common(&all, given("vrrp_garp_master_repeat"), |r| r.garp.repeat)
                .unwrap_or(plain.repeat),
            refresh: common(&all, given("vrrp_garp_master_refresh"), |r| r.garp.refresh)
                .unwrap_or(plain.refresh),
            refresh_repeat: common(&all, given("vrrp_garp_master_refresh_repeat"), |r| {
                r.garp.refresh_repeat
            })
            .unwrap_or(plain.refresh_repeat),
            ..plain
        };
        let lower_delay = common(&all, given("vrrp_garp_lower_prio_delay"), |r| {
            r.garp.lower_delay
        })
        .filter(|delay| all.iter().any(|r| r.garp.delay != *delay));
        let lower_repeat = common(&loose, given("vrrp_garp_lower_prio_repeat"), |r| {
            r.garp.lower_repeat
        })
        .filter(|repeat| loose.iter().any(|r| r.garp.repeat != *repeat));
        let mut on = Vec::new();
        for (switches, routers) in [(SWITCHES, &all), (LOOSE, &loose)] {
            for (name, _, value) in switches {
                if common(routers, given(name), value) == Some(true) {
                    on.push(*name);
                }
            }
        }
        if common(&all, given("vip_mismatch"), |r| r.drop_mismatch) == Some(true) {
            on.push("vip_mismatch");
        }
        Self {
            version: common(&four, given("vrrp_version"), |r| r.version).unwrap_or(Version::V2),
            garp,
            lower_delay,
            lower_repeat,
            down_adverts: common(&loose, given("vrrp_down_timer_adverts"), |r| r.down_adverts)
                .unwrap_or(3),
            handover: common(&loose, given("track_handover"), |r| r.handover).unwrap_or_default(),
            all_failed: common(&contenders, given("all_failed"), |r| r.all_failed)
                .unwrap_or_default(),
            on,
            script_user: script_user(settings, given("script_user")),
        }
    }

    /// Whether a switch is on for all.
    pub(super) fn on(&self, name: &str) -> bool {
        self.on.contains(&name)
    }

    /// The lines of `global_defs`.
    pub(super) fn lines(&self, lines: &mut Lines) {
        let plain = GarpSettings::default();
        lines.one(
            "vrrp_version",
            self.version.wire(),
            self.version == Version::V2,
        );
        let garp = &self.garp;
        lines.time(
            "vrrp_garp_master_delay",
            garp.delay,
            garp.delay == plain.delay,
        );
        lines.one(
            "vrrp_garp_master_repeat",
            garp.repeat,
            garp.repeat == plain.repeat,
        );
        lines.time(
            "vrrp_garp_master_refresh",
            garp.refresh,
            garp.refresh.is_zero(),
        );
        lines.one(
            "vrrp_garp_master_refresh_repeat",
            garp.refresh_repeat,
            garp.refresh_repeat == 1,
        );
        if let Some(delay) = self.lower_delay {
            lines.time("vrrp_garp_lower_prio_delay", delay, false);
        }
        if let Some(repeat) = self.lower_repeat {
            lines.one("vrrp_garp_lower_prio_repeat", repeat, false);
        }
        lines.one(
            "vrrp_down_timer_adverts",
            self.down_adverts,
            self.down_adverts == 3,
        );
        for (name, _, _) in SWITCHES.iter().chain(LOOSE) {
            lines.flag(name, self.on(name));
        }
        if self.on("vip_mismatch") {
            lines.one("vip_mismatch", "drop", false);
        }
        lines.one(
            "track_handover",
            handover(self.handover),
            self.handover == Handover::default(),
        );
        lines.one(
            "all_failed",
            all_failed(self.all_failed),
            self.all_failed == AllFailed::default(),
        );
    }
}

/// The user of most commands, if each has one: who has none cannot be told from who has this one.
fn script_user(settings: &Settings, given: bool) -> Option<RunAs> {
    let notifies = settings
        .routers
        .iter()
        .map(|router| &router.notify)
        .chain(settings.groups.iter().map(|group| &group.notify));
    let programs = notifies.flat_map(|notify| {
        [
            &notify.master,
            &notify.backup,
            &notify.fault,
            &notify.stop,
            &notify.lower_advert,
            &notify.any,
        ]
        .into_iter()
        .flatten()
        .chain(notify.deleted.iter().flatten())
    });
    // Who may report runs nothing.
    let run = settings.checks.iter().filter(|c| c.external.is_none());
    let checks = run.map(|check| &check.command);
    let mut users: Vec<(&RunAs, usize)> = Vec::new();
    let mut all = 0;
    for command in checks.chain(programs) {
        let user: &RunAs = command.user.as_ref()?;
        all += 1;
        match users.iter_mut().find(|(known, _)| *known == user) {
            Some((_, count)) => *count += 1,
            None => users.push((user, 1)),
        }
    }
    let most = users.iter().map(|(_, count)| *count).max()?;
    let (user, _) = users.iter().find(|(_, count)| *count == most)?;
    (all > 1 || given).then(|| (*user).clone())
}
