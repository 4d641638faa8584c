//! From an instance as written to one that can run: defaults, the family, what contradicts what.

use super::address;
use super::all_failed;
use super::diag::{Diagnostic, Diags};
use super::global::Global;
use super::notify;
use super::router::{At, Auth, Draft};
use super::source::Span;
use super::track::Resolved;
use super::value::plain;
use crate::model::addr::{VirtualAddress, is_link_local};
use crate::model::ids::{Family, Version};
use crate::model::priority::Priority;
use crate::model::settings::{AuthSettings, Handover, RouterSettings, TransportSettings};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// What Ethernet carries; the link's own MTU is looked at when it is known.
const MTU: usize = 1500;

/// Settles one instance. `None` if it cannot run at all; then a diagnostic says so.
pub(super) fn settle(
    mut draft: Draft,
    tracked: Resolved,
    global: &Global,
    diags: &mut Diags,
) -> Option<RouterSettings> {
    let family = family(&draft);
    let version = version(&draft, family, global, diags);
    let strict = draft.strict.unwrap_or(global.strict);
    let mut start = start(&draft, diags);
    if strict {
        strict_state(&draft, &mut start, diags);
        strict_rest(&mut draft, family, version, diags);
    }
    let (addresses, excluded) = addresses(&mut draft, family, version, strict, diags);
    let transport = transport(&mut draft, family, strict, diags);
    let vrid = vrid(&draft, diags);
    let interface = interface(&draft, diags);
    let source = source(&draft, family, diags);
    let (preempt, preempt_delay) = preempt(&draft, start, strict, diags);
    let expired = match draft.expired {
        Some((_, span)) if preempt => {
            let what = "timer_expired_backup needs nopreempt; it has no effect";
            diags.push(Diagnostic::warning("contradiction", span, what));
            None
        }
        other => other.map(|(priority, _)| priority),
    };
    let mut garp = global.garp.settle(&draft.garp);
    if strict {
        garp.lower_repeat = 0;
    }
    let given = |own: Option<At<bool>>, default: bool| own.map_or(default, |(on, _)| on);
    let handover = handover(&draft, global, strict, diags);
    let all_failed = all_failed::of(&draft, start.priority, global, diags);
    let auth = auth(&draft, version, diags);
    let adver = adver(&draft, version, diags);
    let mut notify = draft.notify;
    notify::default_user(&mut notify, global.script_user.as_ref());
    Some(RouterSettings {
        tracks: tracked.scripts,
        track_links: tracked.links,
        track_files: tracked.files,
        track_processes: tracked.processes,
        track_sessions: tracked.sessions,
        handover,
        damping: draft.damping,
        all_failed,
        name: draft.name,
        interface: interface?,
        vrid: vrid?,
        family,
        version,
        start_active: start.master,
        priority: start.priority,
        adver,
        transport: transport?,
        source,
        auth,
        checksum_as_v2: draft.checksum_as_v2.unwrap_or(global.checksum_as_v2),
        preempt,
        preempt_delay,
        down_adverts: if strict {
            3
        } else {
            draft.down_adverts.map_or(global.down_adverts, |(n, _)| n)
        },
        addresses: addresses?,
        excluded,
        strict,
        dont_track_primary: draft.dont_track_primary,
        skip_check_addrs: draft.skip_check_addrs.unwrap_or(global.skip_check_addrs),
        drop_mismatch: draft.drop_mismatch.unwrap_or(global.drop_mismatch),
        check_unicast_src: draft.ttl_bound
            || draft.check_unicast_src.unwrap_or(global.check_unicast_src),
        lower_prio_no_advert: strict
            || given(draft.lower_prio_no_advert, global.lower_prio_no_advert),
        higher_prio_send_advert: !strict
            && given(
                draft.higher_prio_send_advert,
                global.higher_prio_send_advert,
            ),
        owner_ignore_adverts: strict
            || given(draft.owner_ignore_adverts, global.owner_ignore_adverts),
        timer_expired_backup: expired,
        garp,
        notify,
    })
}

fn handover(draft: &Draft, global: &Global, strict: bool, diags: &mut Diags) -> Handover {
    let Some((when, span)) = draft.handover else {
        return if strict {
            Handover::Off
        } else {
            global.handover
        };
    };
    if strict && when != Handover::Off {
        let what = "strict mode: track_handover is always off";
        diags.push(Diagnostic::warning("strict", span, what));
        return Handover::Off;
    }
    when
}

/// The first address decides, then `native_ipv6`, then the source and the peers.
fn family(draft: &Draft) -> Family {
    let first = draft.addresses.first().map(|e| e.address.cidr.addr);
    match (first, draft.native_ipv6) {
        (Some(addr), _) => Family::of(addr),
        (None, Some(_)) => Family::V6,
        (None, None) => {
            let source = draft.source.map(|(addr, _)| addr);
            let peer = draft.peers.first().map(|(addr, _)| *addr);
            source.or(peer).map_or(Family::V4, Family::of)
        }
    }
}

fn version(draft: &Draft, family: Family, global: &Global, diags: &mut Diags) -> Version {
    if let (Family::V4, Some(span)) = (family, draft.native_ipv6) {
        let what = "native_ipv6, but the first virtual address is IPv4; it has no effect";
        diags.push(Diagnostic::warning("wrong-family", span, what));
    }
    match (family, draft.version) {
        (Family::V6, Some((Version::V2, span))) => {
            let what = "version 2 knows no IPv6; version 3 is used";
            diags.push(Diagnostic::warning("contradiction", span, what));
            Version::V3
        }
        (Family::V6, _) => Version::V3,
        (Family::V4, given) => given.map_or(global.version, |(v, _)| v),
    }
}

/// `state` and `priority`, which explain each other.
#[derive(Clone, Copy)]
struct Start {
    master: bool,
    priority: Priority,
}

fn start(draft: &Draft, diags: &mut Diags) -> Start {
    let master = draft.master.map(|(master, _)| master);
    let priority = match (draft.priority, draft.master) {
        (Some((priority, _)), _) => priority,
        (None, Some((true, span))) => {
            diags.push(
                Diagnostic::note(
                    "owner-by-default",
                    span,
                    "state MASTER without priority means priority 255, the address owner",
                )
                .help("add a line such as `priority 150` if the addresses are not this host's own"),
            );
            Priority::OWNER
        }
        (None, _) => Priority::DEFAULT,
    };
    Start {
        master: master.unwrap_or(priority.is_owner()),
        priority,
    }
}

fn strict_state(draft: &Draft, start: &mut Start, diags: &mut Diags) {
    let owner = start.priority.is_owner();
    if start.master != owner {
        let word = if owner { "MASTER" } else { "BACKUP" };
        let span = draft.master.map_or(draft.span, |(_, span)| span);
        let what = format!("strict mode: state follows from the priority; {word} is used");
        diags.push(Diagnostic::warning("strict", span, what));
        start.master = owner;
    }
    if !owner {
        diags.push(
            Diagnostic::note(
                "strict-accept",
                draft.span,
                "strict mode: keepalived drops every packet to the virtual addresses of a router that does not own \
                 them, so they answer nobody; here they answer",
            )
            .help("remove vrrp_strict, or set strict_mode off, if the addresses are to be used on keepalived routers too"),
        );
    }
}

/// What strict mode takes away besides (keepalived.conf(5) vrrp_strict).
fn strict_rest(draft: &mut Draft, family: Family, version: Version, diags: &mut Diags) {
    let mut say = |span: Span, what: &str| {
        diags.push(Diagnostic::warning(
            "strict",
            span,
            format!("strict mode: {what}"),
        ));
    };
    if let Some((Auth::Password(_), span)) = draft.auth.take() {
        say(
            span,
            "authentication is not part of the standard and is left out",
        );
    }
    if let Some((delay, span)) = draft.preempt_delay.take()
        && !delay.is_zero()
    {
        say(
            span,
            "preempt_delay is not part of the standard and is left out",
        );
    }
    if let (Some(span), Version::V2) = (draft.accept, version) {
        say(
            span,
            "version 2 accepts packets for the addresses at their owner alone",
        );
    }
    if let Some((n, span)) = draft.down_adverts
        && n != 3
    {
        say(span, "down_timer_adverts is always 3");
    }
    if let Some((false, span)) = draft.lower_prio_no_advert {
        say(span, "lower_prio_no_advert is always on");
    }
    if let Some((true, span)) = draft.higher_prio_send_advert {
        say(span, "higher_prio_send_advert is always off");
    }
    if let Some((false, span)) = draft.owner_ignore_adverts {
        say(span, "owner_ignore_adverts is always on");
    }
    let delayed = draft.garp.lower_delay.is_some_and(|d| !d.is_zero());
    if let Some(span) = draft.lower_prio
        && (delayed || matches!(draft.garp.lower_repeat, Some(1..)))
    {
        say(span, "nothing is announced after a lower-priority advert");
    }
    if let (Family::V6, Some(first)) = (family, draft.addresses.first())
        && !is_link_local(first.address.cidr.addr)
    {
        let what = "strict mode: the first IPv6 address must be link-local";
        diags.push(
            Diagnostic::error("link-local-first", first.span, what)
                .help("put an address of fe80::/10 first (RFC 9568 section 5.2.9)"),
        );
    }
}

/// How many addresses one advert carries.
fn capacity(family: Family, version: Version) -> usize {
    let (header, each) = match family {
        Family::V4 => (20, 4),
        Family::V6 => (40, 16),
    };
    let auth = match version {
        Version::V2 => 8,
        Version::V3 => 0,
    };
    ((MTU - header - 8 - auth) / each).min(255)
}

type Lists = (Option<Vec<VirtualAddress>>, Vec<VirtualAddress>);

fn addresses(
    draft: &mut Draft,
    family: Family,
    version: Version,
    strict: bool,
    diags: &mut Diags,
) -> Lists {
    let mut seen: HashMap<(IpAddr, Option<Arc<str>>), Span> = HashMap::new();
    let mut fresh = |entry: &address::Entry, diags: &mut Diags| {
        let key = (entry.address.cidr.addr, entry.address.dev.clone());
        match seen.insert(key, entry.span) {
            None => true,
            Some(before) => {
                let what = format!("{} is given twice; it counts once", entry.address.cidr.addr);
                diags.push(
                    Diagnostic::warning("duplicate-address", entry.span, what)
                        .related(before, "first here"),
                );
                false
            }
        }
    };
    let mut listed = Vec::with_capacity(draft.addresses.len());
    for entry in std::mem::take(&mut draft.addresses) {
        if Family::of(entry.address.cidr.addr) != family {
            let what = format!(
                "{} in an {family} instance; it does not count",
                entry.address.cidr
            );
            diags.push(
                Diagnostic::error("mixed-families", entry.span, what)
                    .help("move it to virtual_ipaddress_excluded, or to an instance of its own"),
            );
        } else if fresh(&entry, diags) {
            listed.push(entry);
        }
    }
    let room = capacity(family, version);
    let mut surplus = Vec::new();
    if listed.len() > room {
        surplus = listed.split_off(room);
        if let Some(first) = surplus.first() {
            let what = format!(
                "an advert has room for {room} addresses; {} from here on are installed but not advertised",
                surplus.len()
            );
            diags.push(
                Diagnostic::warning("too-many-addresses", first.span, what)
                    .help("list them under virtual_ipaddress_excluded on all routers of the group"),
            );
        }
    }
    let mut excluded: Vec<VirtualAddress> = surplus.into_iter().map(|e| e.address).collect();
    for entry in std::mem::take(&mut draft.excluded) {
        if fresh(&entry, diags) {
            excluded.push(entry.address);
        }
    }
    if let (Family::V6, false, Some(first)) = (family, strict, listed.first())
        && !is_link_local(first.address.cidr.addr)
    {
        diags.push(
            Diagnostic::warning(
                "link-local-first",
                first.span,
                "the first IPv6 address is not link-local, which the standard demands; it is sent so, as keepalived does",
            )
            .help("put an address of fe80::/10 first (RFC 9568 section 5.2.9)"),
        );
    }
    if listed.is_empty() && !no_addresses(draft, version, strict, diags) {
        return (None, excluded);
    }
    (
        Some(listed.into_iter().map(|e| e.address).collect()),
        excluded,
    )
}

/// Whether an instance without virtual address may run.
fn no_addresses(draft: &Draft, version: Version, strict: bool, diags: &mut Diags) -> bool {
    let what = format!("{} has no virtual address", draft.name);
    let help = "add a virtual_ipaddress block";
    match (draft.no_addresses, version) {
        (Some(_), _) if strict => {
            let what = format!("strict mode: {what}");
            diags.push(Diagnostic::refusal("no-address", draft.span, what).help(help));
            false
        }
        (Some(_), _) => true,
        (None, Version::V2) if !strict => {
            diags.push(
                Diagnostic::warning("no-address", draft.span, what).help(
                    "add a virtual_ipaddress block, or no_virtual_ipaddress if that is meant",
                ),
            );
            true
        }
        (None, Version::V2 | Version::V3) => {
            diags.push(Diagnostic::refusal("no-address", draft.span, what).help(help));
            false
        }
    }
}

fn transport(
    draft: &mut Draft,
    family: Family,
    strict: bool,
    diags: &mut Diags,
) -> Option<TransportSettings> {
    let Some(span) = draft.unicast else {
        return Some(TransportSettings::Multicast);
    };
    let mut seen: HashMap<IpAddr, Span> = HashMap::new();
    let mut peers = Vec::new();
    for (addr, span) in std::mem::take(&mut draft.peers) {
        if Family::of(addr) != family {
            let what = format!("peer {addr} of an {family} instance; it does not count");
            diags.push(Diagnostic::error("mixed-families", span, what));
        } else if draft.source.is_some_and(|(own, _)| own == addr) {
            let what = format!("{addr} is this router's own address; it is no peer");
            diags.push(Diagnostic::warning("own-peer", span, what));
        } else if let Some(before) = seen.insert(addr, span) {
            let what = format!("peer {addr} is given twice");
            diags.push(
                Diagnostic::warning("duplicate-peer", span, what).related(before, "first here"),
            );
        } else {
            peers.push(addr);
        }
    }
    if peers.is_empty() {
        diags.push(
            Diagnostic::warning(
                "no-peer",
                span,
                "unicast without a peer; adverts go to the multicast group, as in keepalived",
            )
            .help("add a unicast_peer block, or use mcast_src_ip"),
        );
        return Some(TransportSettings::Multicast);
    }
    if strict {
        diags.push(
            Diagnostic::warning(
                "strict",
                span,
                "strict mode knows no unicast: keepalived since 2.3 ends with status 2 here; \
                 unicast is used, as in 2.2.7",
            )
            .help("remove vrrp_strict, or set strict_mode off in this instance"),
        );
    }
    Some(TransportSettings::Unicast { peers })
}

fn vrid(draft: &Draft, diags: &mut Diags) -> Option<crate::model::ids::Vrid> {
    if draft.vrid.is_none() {
        let what = if draft.vrid_given {
            format!("{} has no usable virtual_router_id", draft.name)
        } else {
            format!("{} has no virtual_router_id", draft.name)
        };
        diags.push(Diagnostic::refusal("missing-vrid", draft.span, what).help(
            "add a line such as `virtual_router_id 51`, the same on all routers of the group",
        ));
    }
    draft.vrid.map(|(vrid, _)| vrid)
}

fn interface(draft: &Draft, diags: &mut Diags) -> Option<Arc<str>> {
    match &draft.interface {
        Some((name, span)) if &**name == "lo" => {
            diags.push(
                Diagnostic::refusal(
                    "loopback",
                    *span,
                    "a virtual router cannot run on the loopback interface",
                )
                .help("name the interface that leads to the other routers; `dev lo` may follow an address"),
            );
            None
        }
        Some((name, _)) => Some(name.clone()),
        None => {
            let routed =
                draft.unicast.is_some() && draft.source.is_some() && !draft.interface_given;
            let what = if routed {
                format!(
                    "{}: unicast without interface is not acted on yet",
                    draft.name
                )
            } else if draft.interface_given {
                format!("{} has no usable interface", draft.name)
            } else {
                format!("{} has no interface", draft.name)
            };
            let d = Diagnostic::refusal("missing-interface", draft.span, what)
                .help("add a line such as `interface eth0`");
            diags.push(if routed {
                d.unacted("unicast without interface")
            } else {
                d
            });
            None
        }
    }
}

fn source(draft: &Draft, family: Family, diags: &mut Diags) -> Option<IpAddr> {
    let (addr, span) = draft.source?;
    if Family::of(addr) == family {
        return Some(addr);
    }
    let what =
        format!("{addr} cannot be the source of {family} adverts; the primary address is used");
    diags.push(Diagnostic::error("mixed-families", span, what));
    None
}

fn preempt(draft: &Draft, start: Start, strict: bool, diags: &mut Diags) -> (bool, Duration) {
    let mut preempt = true;
    if let Some(span) = draft.nopreempt {
        if start.master || start.priority.is_owner() {
            let why = if start.master {
                "state MASTER"
            } else {
                "priority 255"
            };
            diags.push(
                Diagnostic::warning(
                    "contradiction",
                    span,
                    format!("nopreempt has no effect with {why}"),
                )
                .help("write state BACKUP on all routers of the group"),
            );
        } else {
            preempt = false;
        }
    }
    let delay = match draft.preempt_delay {
        Some((delay, span)) if !delay.is_zero() && (start.master || !preempt) => {
            let why = if preempt { "state MASTER" } else { "nopreempt" };
            let what = format!("preempt_delay has no effect with {why}");
            diags
                .push(Diagnostic::warning("contradiction", span, what).help(
                    "write state BACKUP on all routers of the group and leave nopreempt out",
                ));
            Duration::ZERO
        }
        Some((delay, _)) if !strict => delay,
        Some(_) | None => Duration::ZERO,
    };
    (preempt, delay)
}

fn auth(draft: &Draft, version: Version, diags: &mut Diags) -> AuthSettings {
    match (draft.auth, version) {
        (Some((Auth::Password(pass), _)), Version::V2) => AuthSettings::Password(pass),
        (Some((Auth::Password(_), span)), Version::V3) => {
            diags.push(
                Diagnostic::warning(
                    "contradiction",
                    span,
                    "version 3 has no authentication; it is left out",
                )
                .help("remove the block, or use version 2 on all routers of the group"),
            );
            AuthSettings::None
        }
        (Some((Auth::Nothing, _)) | None, _) => AuthSettings::None,
    }
}

/// Rounded to what the wire can say: whole seconds, or hundredths up to 40.95.
fn adver(draft: &Draft, version: Version, diags: &mut Diags) -> Duration {
    let Some((given, span)) = draft.adver else {
        return Duration::from_secs(1);
    };
    let micros = u64::try_from(given.as_micros()).unwrap_or(u64::MAX);
    let (unit, most, what) = match version {
        Version::V2 => (1_000_000, 255_000_000, "version 2 counts whole seconds"),
        Version::V3 => (
            10_000,
            40_950_000,
            "version 3 counts hundredths of a second up to 40.95",
        ),
    };
    let rounded = ((micros + unit / 2) / unit * unit).clamp(unit, most);
    if rounded != micros {
        diags.push(
            Diagnostic::warning(
                "rounded",
                span,
                format!("{what}; advert_int {} is used", plain(rounded)),
            )
            .help("give all routers of the group the same value"),
        );
    }
    Duration::from_micros(rounded)
}

#[cfg(test)]
mod tests {
    use super::super::help::{codes, instance, read, router, routers};
    use super::*;
    use crate::model::settings::GarpSettings;

    #[test]
    fn the_plainest_instance_has_keepaliveds_defaults() {
        let (r, codes) = router("", "");
        assert!(codes.is_empty(), "{codes:?}");
        assert_eq!((r.version, r.family), (Version::V2, Family::V4));
        assert_eq!(r.priority, Priority::DEFAULT);
        assert_eq!(r.adver, Duration::from_secs(1));
        assert_eq!(
            (r.down_adverts, r.preempt, r.start_active),
            (3, true, false)
        );
        assert_eq!(r.garp, GarpSettings::default());
        assert_eq!(r.transport, TransportSettings::Multicast);
        assert_eq!((r.source, r.auth), (None, AuthSettings::None));
        assert!(!r.strict && !r.skip_check_addrs && !r.drop_mismatch && !r.check_unicast_src);
        assert_eq!(r.addresses.len(), 1);
    }

    #[test]
    fn state_master_without_priority_is_the_owner() {
        let (r, codes) = router("", "state MASTER");
        assert_eq!((r.priority, r.start_active), (Priority::OWNER, true));
        assert_eq!(codes, ["owner-by-default"]);
        let (r, _) = router("", "priority 255");
        assert!(r.start_active, "an owner starts as master");
        let (r, _) = router("", "state MASTER\npriority 9");
        assert_eq!((r.priority.get(), r.start_active), (9, true));
        let (r, _) = router("", "state MASTER\npriority 300");
        assert_eq!(r.priority, Priority::DEFAULT);
    }

    #[test]
    fn nopreempt_and_its_delay_yield_to_state_master_and_to_the_owner() {
        let (r, codes) = router("", "nopreempt\nstate BACKUP");
        assert!(!r.preempt && codes.is_empty());
        for lines in [
            "nopreempt\nstate MASTER\npriority 9",
            "nopreempt\npriority 255",
        ] {
            let (r, codes) = router("", lines);
            assert!(r.preempt, "{lines}");
            assert_eq!(codes, ["contradiction"]);
        }
        let (r, _) = router("", "preempt_delay 2.5");
        assert_eq!(r.preempt_delay, Duration::from_millis(2500));
        for lines in [
            "preempt_delay 5\nstate MASTER\npriority 9",
            "preempt_delay 5\nnopreempt",
        ] {
            assert_eq!(router("", lines).0.preempt_delay, Duration::ZERO, "{lines}");
        }
    }

    #[test]
    fn intervals_are_rounded_to_what_the_wire_can_say() {
        let adver = |lines: &str| router("", lines).0.adver.as_millis();
        assert_eq!(adver("advert_int 0.4"), 1000);
        assert_eq!(adver("advert_int 1.5"), 2000);
        assert_eq!(adver("advert_int 255"), 255_000);
        assert_eq!(adver("version 3\nadvert_int 0.014"), 10);
        assert_eq!(adver("version 3\nadvert_int 0.015"), 20);
        assert_eq!(adver("version 3\nadvert_int 41"), 40_950);
        assert_eq!(adver("advert_int 256"), 1000);
    }

    #[test]
    fn ipv6_speaks_version_3() {
        let six = instance("virtual_ipaddress { fe80::1/64 }");
        let (r, codes) = routers(&six);
        assert_eq!((r.version, r.family), (Version::V3, Family::V6));
        assert!(codes.is_empty());
        let (r, _) = routers(&instance("native_ipv6\nno_virtual_ipaddress"));
        assert_eq!(r.family, Family::V6);
        let (r, _) = routers(&instance("no_virtual_ipaddress\nmcast_src_ip fe80::9"));
        assert_eq!(r.family, Family::V6);
    }

    #[test]
    fn announcements_inherit_as_in_keepalived() {
        let (r, _) = router("vrrp_garp_master_delay 9\nvrrp_garp_master_repeat 2", "");
        assert_eq!(r.garp.lower_delay, Duration::from_secs(9));
        assert_eq!(r.garp.lower_repeat, 2);
        let (r, _) = router(
            "vrrp_garp_lower_prio_repeat 0",
            "garp_master_delay 7\ngarp_master_refresh 60",
        );
        assert_eq!(
            (r.garp.delay, r.garp.lower_delay),
            (Duration::from_secs(7), Duration::from_secs(7))
        );
        assert_eq!(
            (r.garp.lower_repeat, r.garp.refresh),
            (0, Duration::from_secs(60))
        );
        let (r, _) = router("vrrp_min_garp\nvrrp_garp_master_refresh 5", "");
        assert_eq!((r.garp.delay, r.garp.repeat), (Duration::ZERO, 1));
        assert_eq!(r.garp.refresh, Duration::from_secs(5));
    }

    #[test]
    fn strict_mode_takes_away_what_the_standard_does_not_know() {
        let lines = "priority 9\npreempt_delay 5\ndown_timer_adverts 7\nhigher_prio_send_advert\n\
                     authentication {\nauth_type PASS\nauth_pass x\n}";
        let (r, codes) = router("vrrp_strict\nvrrp_garp_lower_prio_repeat 4", lines);
        assert!(r.strict && r.lower_prio_no_advert && r.owner_ignore_adverts);
        assert!(!r.higher_prio_send_advert);
        assert_eq!((r.down_adverts, r.garp.lower_repeat), (3, 0));
        assert_eq!(
            (r.preempt_delay, r.auth),
            (Duration::ZERO, AuthSettings::None)
        );
        let (first, rest) = codes.split_first().expect("something is said");
        assert_eq!((*first, rest), ("strict-accept", &["strict"; 4][..]));
        let (_, codes) = router("vrrp_strict", "priority 255");
        assert!(codes.is_empty(), "an owner always answers: {codes:?}");
        let (r, _) = router("vrrp_strict", "strict_mode off\ndown_timer_adverts 7");
        assert_eq!((r.strict, r.down_adverts), (false, 7));
        assert!(
            router("vrrp_strict", "priority 255\nstate BACKUP")
                .0
                .start_active
        );
    }

    #[test]
    fn an_advert_carries_so_many_addresses_and_the_rest_is_excluded() {
        let list = |n: u32, v6: bool| -> String {
            (1..=n)
                .map(|i| match v6 {
                    true => format!("fe80::{i:x}/64\n"),
                    false => format!("10.0.{}.{}/16\n", i / 250, i % 250 + 1),
                })
                .collect()
        };
        let text = |body: String| {
            instance(&format!(
                "virtual_ipaddress {{\n{body}}}\nvirtual_ipaddress_excluded {{\n10.9.9.9\n}}"
            ))
        };
        let (r, codes) = routers(&text(list(255, false)));
        assert_eq!(
            (r.addresses.len(), r.excluded.len(), codes.len()),
            (255, 1, 0)
        );
        let (r, codes) = routers(&text(list(257, false)));
        assert_eq!((r.addresses.len(), r.excluded.len()), (255, 3));
        assert_eq!(codes, ["too-many-addresses"]);
        assert_eq!(
            r.excluded[2].cidr.to_string(),
            "10.9.9.9/32",
            "surplus comes first"
        );
        let (r, _) = routers(&text(list(91, true)));
        assert_eq!((r.addresses.len(), r.excluded.len()), (90, 2));
    }

    #[test]
    fn an_instance_without_address_runs_in_version_2_or_where_it_says_so() {
        let try_it = |lines: &str| {
            let loaded = read(&instance(lines));
            (loaded.settings.is_some(), codes(&loaded))
        };
        assert_eq!(try_it(""), (true, vec!["no-address"]));
        assert_eq!(try_it("no_virtual_ipaddress"), (true, vec![]));
        assert_eq!(try_it("version 3"), (false, vec!["no-address"]));
        assert_eq!(try_it("version 3\nno_virtual_ipaddress"), (true, vec![]));
        assert_eq!(
            try_it("strict_mode\nno_virtual_ipaddress"),
            (false, vec!["strict-accept", "no-address"])
        );
    }

    #[test]
    fn unicast_needs_a_peer_of_the_family_that_is_not_itself() {
        let lines =
            "unicast_src_ip 10.0.0.2\nunicast_peer {\n10.0.0.2\n10.0.0.3\n10.0.0.3\nfe80::1\n}";
        let (r, codes) = router("vrrp_check_unicast_src", lines);
        let peers = vec![IpAddr::from([10, 0, 0, 3])];
        assert_eq!(r.transport, TransportSettings::Unicast { peers });
        assert_eq!(codes, ["own-peer", "duplicate-peer", "mixed-families"]);
        assert!(r.check_unicast_src);
        let (r, codes) = router("", "unicast_peer {\n}");
        assert_eq!(r.transport, TransportSettings::Multicast);
        assert_eq!(codes, ["no-peer"]);
        let (r, _) = router("", "unicast_peer {\n10.0.0.3 min_ttl 9\n}");
        assert!(r.check_unicast_src, "a bound on the TTL implies the check");
    }

    #[test]
    fn passwords_are_cut_to_eight_bytes_and_not_shown() {
        let auth = |pass: &str, version: &str| {
            let lines =
                format!("{version}\nauthentication {{\nauth_type PASS\nauth_pass {pass}\n}}");
            router("", &lines).0.auth
        };
        assert_eq!(auth("ab", ""), AuthSettings::Password(*b"ab\0\0\0\0\0\0"));
        assert_eq!(auth("123456789", ""), AuthSettings::Password(*b"12345678"));
        assert_eq!(auth("x", "version 3"), AuthSettings::None);
        assert_eq!(auth(r"a\#b", ""), AuthSettings::Password(*b"a#b\0\0\0\0\0"));
    }

    #[test]
    fn the_global_script_user_is_everybodys_but_its_own_wins() {
        let (r, _) = router(
            "script_user web www",
            "notify \"/x a\"\nnotify_stop /y root\nnotify_deleted",
        );
        let user = |c: &Option<crate::model::settings::Command>| {
            c.as_ref()
                .and_then(|c| c.user.as_ref())
                .map(|u| (u.user.to_string(), u.group.as_deref().map(str::to_owned)))
        };
        assert_eq!(
            user(&r.notify.any),
            Some(("web".into(), Some("www".into())))
        );
        assert_eq!(user(&r.notify.stop), Some(("root".into(), None)));
        assert_eq!(r.notify.deleted, Some(None));
        assert_eq!(user(&router("", "notify /x").0.notify.any), None);
    }

    #[test]
    fn late_defaults_count_all_the_same() {
        let body = instance("virtual_ipaddress { 10.0.0.1 }");
        let (r, codes) = routers(&format!(
            "{body}global_defs {{\nvrrp_version 3\nvrrp_garp_master_delay 9\n}}\n"
        ));
        assert_eq!(
            (r.version, r.garp.delay),
            (Version::V3, Duration::from_secs(9))
        );
        assert_eq!(codes, ["late-defaults"]);
    }
}
