//! The lines of one instance.

use super::Item;
use super::defaults::{Defaults, LOOSE, SWITCHES};
use super::settings::{Lines, seconds};
use crate::conf::keywords::Within;
use crate::conf::source::with_stand_ins;
use crate::model::addr::VirtualAddress;
use crate::model::ids::{Family, Version};
use crate::model::priority::{Priority, Weight};
use crate::model::settings::{
    AllFailed, AuthSettings, GarpSettings, Handover, LinkTrackSettings, RouterSettings, Settings,
    TransportSettings,
};
use std::net::IpAddr;
use std::time::Duration;

/// All of them, those included that say what would hold anyway.
pub(super) fn lines(router: &RouterSettings, settings: &Settings, defaults: &Defaults) -> Lines {
    let mut lines = Lines::new(Within::Instance);
    let state = if router.start_active {
        "MASTER"
    } else {
        "BACKUP"
    };
    lines.one("state", state, false);
    lines.one("interface", &router.interface, false);
    lines.one("virtual_router_id", router.vrid, false);
    lines.one("priority", router.priority, false);
    lines.one(
        "advert_int",
        seconds(router.adver),
        router.adver == Duration::from_secs(1),
    );
    let version = match router.family {
        Family::V4 => defaults.version,
        Family::V6 => Version::V3,
    };
    lines.one("version", router.version.wire(), router.version == version);
    protocol(router, defaults, &mut lines);
    garp(&router.garp, router.strict, defaults, &mut lines);
    transport(router, &mut lines);
    addresses(router, &mut lines);
    tracks(router, settings, &mut lines);
    lines.notify(&router.notify, defaults.script_user.as_ref());
    lines
}

fn protocol(router: &RouterSettings, defaults: &Defaults, lines: &mut Lines) {
    lines.flag("nopreempt", !router.preempt);
    let delay = router.preempt_delay;
    lines.time("preempt_delay", delay, delay.is_zero());
    if let Some(priority) = router.timer_expired_backup {
        let words = if priority == Priority::contender(254) {
            Vec::new()
        } else {
            vec![priority.to_string()]
        };
        lines.put("timer_expired_backup", words, false);
    }
    lines.one(
        "down_timer_adverts",
        router.down_adverts,
        router.strict || router.down_adverts == defaults.down_adverts,
    );
    for (global, own, value) in SWITCHES {
        lines.flag(own, value(router) && !defaults.on(global));
    }
    // Strict mode decides the others.
    for (global, own, value) in LOOSE {
        lines.flag(own, value(router) && !defaults.on(global) && !router.strict);
    }
    if router.drop_mismatch && !defaults.on("vip_mismatch") {
        lines.one("vip_mismatch", "drop", false);
    }
    let needless = router.strict || router.handover == defaults.handover;
    lines.one("track_handover", handover(router.handover), needless);
    if let Some(damping) = &router.damping {
        let mut block = Lines::new(Within::Damping);
        block.time("half_life", damping.half_life, false);
        block.one("suppress", damping.suppress, false);
        block.one("reuse", damping.reuse, false);
        lines.block("flap_damping", block);
    }
    // An owner always releases.
    let needless = router.priority.is_owner() || router.all_failed == defaults.all_failed;
    lines.one("all_failed", all_failed(router.all_failed), needless);
    lines.flag("dont_track_primary", router.dont_track_primary);
    if let AuthSettings::Password(octets) = router.auth {
        let end = octets.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
        let password = with_stand_ins(octets.get(..end).unwrap_or(&[]));
        let mut auth = Lines::new(Within::Auth);
        auth.one("auth_type", "PASS", false);
        auth.one("auth_pass", password, false);
        lines.block("authentication", auth);
    }
}

/// `track_handover`'s words.
pub(super) fn handover(when: Handover) -> &'static str {
    match when {
        Handover::Confirmed => "confirmed",
        Handover::Always => "always",
        Handover::Off => "off",
    }
}

/// `all_failed`'s words.
pub(super) fn all_failed(what: AllFailed) -> &'static str {
    match what {
        AllFailed::Release => "release",
        AllFailed::Hold => "hold",
    }
}

fn garp(garp: &GarpSettings, strict: bool, defaults: &Defaults, lines: &mut Lines) {
    let plain = &defaults.garp;
    lines.time("garp_master_delay", garp.delay, garp.delay == plain.delay);
    lines.one(
        "garp_master_repeat",
        garp.repeat,
        garp.repeat == plain.repeat,
    );
    lines.time(
        "garp_master_refresh",
        garp.refresh,
        garp.refresh == plain.refresh,
    );
    lines.one(
        "garp_master_refresh_repeat",
        garp.refresh_repeat,
        garp.refresh_repeat == plain.refresh_repeat,
    );
    let delay = defaults.lower_delay.unwrap_or(garp.delay);
    lines.time(
        "garp_lower_prio_delay",
        garp.lower_delay,
        garp.lower_delay == delay,
    );
    let repeat = defaults.lower_repeat.unwrap_or(garp.repeat);
    lines.one(
        "garp_lower_prio_repeat",
        garp.lower_repeat,
        strict || garp.lower_repeat == repeat,
    );
}

fn transport(router: &RouterSettings, lines: &mut Lines) {
    match &router.transport {
        TransportSettings::Multicast => {
            if let Some(source) = router.source {
                lines.one("mcast_src_ip", source, false);
            }
        }
        TransportSettings::Unicast { peers } => {
            if let Some(source) = router.source {
                lines.one("unicast_src_ip", source, false);
            }
            let peers = peers.iter().map(|peer| vec![peer.to_string()]).collect();
            lines.list("unicast_peer", peers);
        }
    }
}

fn addresses(router: &RouterSettings, lines: &mut Lines) {
    // The first address tells the family; without one the keyword does.
    let bare = router.addresses.is_empty();
    lines.flag("native_ipv6", bare && router.family == Family::V6);
    lines.flag("no_virtual_ipaddress", bare);
    let words = |list: &[VirtualAddress]| list.iter().map(address).collect();
    lines.list("virtual_ipaddress", words(&router.addresses));
    lines.list("virtual_ipaddress_excluded", words(&router.excluded));
}

pub(super) fn address(address: &VirtualAddress) -> Vec<String> {
    let VirtualAddress {
        cidr,
        dev,
        broadcast,
        scope,
        label,
        dad,
        no_prefix_route,
        preferred_lft,
        no_track,
    } = address;
    let mut words = vec![cidr.to_string()];
    let mut two = |name: &str, word: String| words.extend([name.to_owned(), word]);
    if let Some(dev) = dev {
        two("dev", dev.to_string());
    }
    if let Some(broadcast) = broadcast {
        two("brd", broadcast.to_string());
    }
    if *scope != 0 {
        two("scope", scope_name(*scope));
    }
    if let Some(label) = label {
        two("label", label.to_string());
    }
    let plain = VirtualAddress::plain(*cidr);
    if *preferred_lft != plain.preferred_lft && matches!(cidr.addr, IpAddr::V6(_)) {
        let word = preferred_lft.map_or_else(|| "forever".to_owned(), |n| n.to_string());
        two("preferred_lft", word);
    }
    for (name, on) in [
        ("-nodad", dad),
        ("noprefixroute", no_prefix_route),
        ("no_track", no_track),
    ] {
        if *on {
            words.push(name.to_owned());
        }
    }
    words
}

/// Scopes that every system has a name for (rtnetlink(7)).
fn scope_name(scope: u8) -> String {
    match scope {
        200 => "site".to_owned(),
        253 => "link".to_owned(),
        254 => "host".to_owned(),
        255 => "nowhere".to_owned(),
        number => number.to_string(),
    }
}

fn tracks(router: &RouterSettings, settings: &Settings, lines: &mut Lines) {
    // What track_groups bring is written with them.
    let implied = |t: &LinkTrackSettings| {
        let groups = settings.track_groups.iter();
        let mut mine = groups.filter(|g| g.members.contains(&router.name));
        t.weight == Weight::FAULT
            && !t.reverse
            && mine.any(|g| {
                settings.statics.iter().any(|one| {
                    one.track_group.as_ref() == Some(&g.name)
                        && one.address.dev.as_ref() == Some(&t.interface)
                })
            })
    };
    let links = router
        .track_links
        .iter()
        .filter(|t| !implied(t))
        .map(|t| entry(&t.interface, (t.weight.get(), t.reverse), Some((0, false))));
    lines.list("track_interface", links.collect());
    let scripts = router.tracks.iter().map(|t| {
        let check = settings.checks.iter().find(|c| c.name == t.check);
        let default = check.map(|c| (c.weight.get(), c.reverse));
        Item {
            ours: check.is_some_and(|c| c.probe.is_some() || c.external.is_some()),
            ..Item::entry(entry(&t.check, (t.weight.get(), t.reverse), default))
        }
    });
    lines.entries("track_script", scripts.collect());
    let files = router.track_files.iter().map(|t| {
        let file = settings.files.iter().find(|f| f.name == t.name);
        let default = file.map(|f| (f.weight, f.reverse));
        Item {
            ours: file.is_some_and(|f| f.external.is_some()),
            ..Item::entry(entry(&t.name, (t.weight, t.reverse), default))
        }
    });
    lines.entries("track_file", files.collect());
    let processes = router.track_processes.iter().map(|t| {
        let process = settings.processes.iter().find(|p| p.name == t.name);
        let default = process.map(|p| (p.weight, p.reverse));
        entry(&t.name, (t.weight, t.reverse), default)
    });
    lines.list("track_process", processes.collect());
}

/// `NAME [weight N [reverse|noreverse]]`, no more than differs from the definition.
fn entry(name: &str, own: (i16, bool), default: Option<(i16, bool)>) -> Vec<String> {
    let mut words = vec![name.to_owned()];
    if Some(own) == default {
        return words;
    }
    let (weight, reverse) = own;
    words.extend(["weight".to_owned(), weight.to_string()]);
    match (reverse, default.is_some_and(|(_, reverse)| reverse)) {
        (true, false) => words.push("reverse".to_owned()),
        (false, true) => words.push("noreverse".to_owned()),
        (true, true) | (false, false) => {}
    }
    words
}
