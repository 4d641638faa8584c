//! What must be the same on all routers of a group, and what must not.

use crate::conf::{Diagnostic, Severity};
use crate::model::ids::Version;
use crate::model::settings::{RouterSettings, TransportSettings};
use crate::proof::group::{self, Seat};
use crate::proof::member::Member;
use crate::proof::place::Findings;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

/// Addresses named in one sentence.
const NAMED: usize = 3;

/// Instances that serve one address but are told apart on the wire.
pub(super) fn strangers(seats: &[Vec<Seat>], findings: &mut Findings<'_>) {
    let nodes = findings.nodes;
    let mut mated = vec![false; seats.len()];
    for (a, b, address) in group::strangers(nodes, seats) {
        mated[a] = true;
        mated[b] = true;
        let plain = |seat: Seat| Member {
            node: seat.0,
            settings: &nodes[seat.0].settings.routers[seat.1],
            trackers: Vec::new(),
        };
        let (Some(first), Some(second)) = (seats[a].first(), seats[b].first()) else {
            continue;
        };
        let (first, second) = (plain(*first), plain(*second));
        let (x, y) = (first.settings, second.settings);
        let name = |m: &Member<'_>| findings.name(m).clone();
        let d = if x.vrid != y.vrid {
            let keyword = "virtual_router_id";
            Diagnostic::error(
                "vrid-differs",
                findings.keyword(&second, &[keyword]),
                format!(
                    "{address} belongs to VRID {} on {}{}, but to VRID {} here: both would serve it",
                    x.vrid,
                    name(&first),
                    findings.at(&first, &[keyword]),
                    y.vrid,
                ),
            )
            .help(format!("use virtual_router_id {} on all routers of the group", x.vrid))
        } else {
            let word = |r: &RouterSettings| match r.transport {
                TransportSettings::Multicast => "multicast",
                TransportSettings::Unicast { .. } => "unicast",
            };
            Diagnostic::error(
                "transport-differs",
                findings.keyword(&second, &["unicast_peer", "unicast_src_ip"]),
                format!(
                    "{} sends by {}{}, this router by {}: they do not hear each other and both would serve {address}",
                    name(&first),
                    word(x),
                    findings.at(&first, &["unicast_peer", "unicast_src_ip"]),
                    word(y),
                ),
            )
            .help("give all routers of the group unicast peers, or none of them")
        };
        findings.push(second.node, d);
    }
    for (seats, mated) in seats.iter().zip(mated) {
        let [(node, router)] = seats[..] else {
            continue;
        };
        if mated {
            continue;
        }
        let settings = &*nodes[node].settings.routers[router];
        let member = Member {
            node,
            settings,
            trackers: Vec::new(),
        };
        let what = format!(
            "only {} has VRID {} ({}): no other router of these files takes its addresses over",
            nodes[node].name, settings.vrid, settings.family,
        );
        let span = findings.keyword(&member, &["virtual_router_id"]);
        findings.push(node, Diagnostic::note("alone", span, what));
    }
}

/// Holds every member against the first; false if they do not hear each other.
pub(super) fn members(members: &[Member<'_>], findings: &mut Findings<'_>) -> bool {
    let mut heard = true;
    let Some((first, others)) = members.split_first() else {
        return heard;
    };
    for other in others {
        heard &= pair(first, other, findings);
    }
    heard &= peers(members, findings);
    if members.len() > 1 {
        masters(members, findings);
    }
    heard
}

fn pair(first: &Member<'_>, other: &Member<'_>, findings: &mut Findings<'_>) -> bool {
    let (x, y) = (first.settings, other.settings);
    let them = findings.name(first).clone();
    let mut heard = true;
    let mut error = |code, keywords: &[&str], what: String, help: String| {
        let span = findings.keyword(other, keywords);
        let what = format!("{what}{}", findings.at(first, keywords));
        findings.push(other.node, Diagnostic::error(code, span, what).help(help));
        heard = false;
    };
    if x.version != y.version {
        error(
            "version-differs",
            &["version"],
            format!(
                "version {} here, {} on {them}: each drops the other's adverts, both would serve",
                y.version.wire(),
                x.version.wire()
            ),
            format!(
                "write `version {}` on all routers of the group",
                x.version.wire()
            ),
        );
        return false;
    }
    if x.auth != y.auth {
        error(
            "auth-differs",
            &["authentication"],
            format!(
                "another authentication than on {them}: each drops the other's adverts, both would serve"
            ),
            "use the same auth_type and auth_pass on all routers of the group".to_owned(),
        );
    }
    if x.adver != y.adver && x.version == Version::V2 {
        error(
            "interval-differs",
            &["advert_int"],
            format!(
                "advert_int {} here, {} on {them}: in version 2 each drops the other's adverts, both would serve",
                y.adver.as_secs(),
                x.adver.as_secs()
            ),
            format!(
                "write `advert_int {}` on all routers of the group",
                x.adver.as_secs()
            ),
        );
    } else if x.adver != y.adver {
        let keywords = ["advert_int"];
        let what = format!(
            "advert_int {} here, {} on {them}{}: backups follow whoever serves, so failover takes longer after one than after the other",
            y.adver.as_secs_f64(),
            x.adver.as_secs_f64(),
            findings.at(first, &keywords),
        );
        let span = findings.keyword(other, &keywords);
        findings.push(
            other.node,
            Diagnostic::warning("interval-differs", span, what)
                .help("give all routers of the group the same advert_int"),
        );
    }
    heard & addresses(first, other, findings)
}

/// Lists of addresses; false if one router drops adverts for that.
fn addresses(first: &Member<'_>, other: &Member<'_>, findings: &mut Findings<'_>) -> bool {
    let (x, y) = (first.settings, other.settings);
    let them = findings.name(first).clone();
    let (ours, theirs) = (set(y), set(x));
    let mut heard = true;
    if ours != theirs {
        let drops = x.drop_mismatch || y.drop_mismatch;
        let what = format!(
            "other addresses than on {them}{}: {}{}",
            findings.at(first, &["virtual_ipaddress"]),
            difference(&ours, &theirs),
            if drops {
                "; with vip_mismatch drop the adverts are dropped and both would serve"
            } else {
                ""
            },
        );
        let severity = if drops {
            Severity::Error
        } else {
            Severity::Warning
        };
        let span = findings.keyword(other, &["virtual_ipaddress"]);
        findings.push(
            other.node,
            Diagnostic::new(severity, "addresses-differ", span, what).help(
                "list the same addresses on all routers of the group; keepalived before 2.3.3 drops such adverts, \
                 and then both serve",
            ),
        );
        heard = !drops;
    } else if let Some((a, b)) = prefix(x, y) {
        let what = format!(
            "{b} here, {a} on {them}{}",
            findings.at(first, &["virtual_ipaddress"])
        );
        let span = findings.keyword(other, &["virtual_ipaddress"]);
        findings.push(
            other.node,
            Diagnostic::warning("addresses-differ", span, what)
                .help("give the address the same prefix length on all routers of the group"),
        );
    }
    let excluded = |r: &RouterSettings| -> BTreeSet<IpAddr> {
        r.excluded.iter().map(|a| a.cidr.addr).collect()
    };
    let (ours, theirs) = (excluded(y), excluded(x));
    if ours != theirs {
        let keywords = ["virtual_ipaddress_excluded", "virtual_ipaddress"];
        let what = format!(
            "other excluded addresses than on {them}{}: {}; after a failover some are nowhere",
            findings.at(first, &keywords),
            difference(&ours, &theirs),
        );
        let span = findings.keyword(other, &keywords);
        findings.push(
            other.node,
            Diagnostic::warning("addresses-differ", span, what)
                .help("list the same addresses on all routers of the group"),
        );
    }
    heard
}

fn set(r: &RouterSettings) -> BTreeSet<IpAddr> {
    r.addresses.iter().map(|a| a.cidr.addr).collect()
}

/// The first address with another prefix length.
fn prefix(
    x: &RouterSettings,
    y: &RouterSettings,
) -> Option<(crate::model::addr::Cidr, crate::model::addr::Cidr)> {
    let lengths: HashMap<IpAddr, u8> = x
        .addresses
        .iter()
        .map(|a| (a.cidr.addr, a.cidr.len))
        .collect();
    let differs = y.addresses.iter().find(|a| {
        lengths
            .get(&a.cidr.addr)
            .is_some_and(|len| *len != a.cidr.len)
    })?;
    let len = *lengths.get(&differs.cidr.addr)?;
    let theirs = crate::model::addr::Cidr {
        addr: differs.cidr.addr,
        len,
    };
    Some((theirs, differs.cidr))
}

fn difference(ours: &BTreeSet<IpAddr>, theirs: &BTreeSet<IpAddr>) -> String {
    let named = |word: &str, list: Vec<&IpAddr>| {
        if list.is_empty() {
            return None;
        }
        let names: Vec<String> = list.iter().take(NAMED).map(|a| a.to_string()).collect();
        let more = match list.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Some(format!("{word} {}{more}", names.join(", ")))
    };
    [
        named("without", theirs.difference(ours).collect()),
        named("also", ours.difference(theirs).collect()),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join("; ")
}

/// Unicast routers must name each other; false if one does not hear another.
fn peers(members: &[Member<'_>], findings: &mut Findings<'_>) -> bool {
    let mut heard = true;
    let mut sources: HashMap<IpAddr, &Member<'_>> = HashMap::new();
    for member in members {
        let Some(source) = member.settings.source else {
            continue;
        };
        if let Some(other) = sources.insert(source, member) {
            let keywords = ["unicast_src_ip", "mcast_src_ip"];
            let what = format!(
                "{source} is the source of {} too{}",
                findings.name(other),
                findings.at(other, &keywords)
            );
            let span = findings.keyword(member, &keywords);
            findings.push(
                member.node,
                Diagnostic::error("same-source", span, what)
                    .help("give each router an address of its own as source"),
            );
            heard = false;
        }
    }
    for member in members {
        let TransportSettings::Unicast { peers } = &member.settings.transport else {
            continue;
        };
        for other in members {
            let Some(source) = other.settings.source else {
                continue;
            };
            if other.node == member.node
                || member.settings.source == Some(source)
                || peers.contains(&source)
            {
                continue;
            }
            let what = format!(
                "{} with {source}{} is no peer here: it does not hear this router, and both would serve",
                findings.name(other),
                findings.at(other, &["unicast_src_ip"]),
            );
            let span = findings.keyword(member, &["unicast_peer"]);
            findings.push(
                member.node,
                Diagnostic::error("missing-peer", span, what)
                    .help(format!("add {source} to unicast_peer")),
            );
            heard = false;
        }
    }
    heard
}

/// `state MASTER`, or priority 255, on more than one router.
fn masters(members: &[Member<'_>], findings: &mut Findings<'_>) {
    let owner = |m: &&Member<'_>| m.settings.priority.is_owner();
    let mut owners = members.iter().filter(owner);
    if let (Some(first), Some(second)) = (owners.next(), owners.next()) {
        let what = format!(
            "priority 255 here and on {}{}: an address has one owner; when both start, both serve for a while",
            findings.name(first),
            findings.at(first, &["priority", "state"]),
        );
        let span = findings.keyword(second, &["priority", "state"]);
        findings.push(
            second.node,
            Diagnostic::warning("two-owners", span, what)
                .help("give all routers but one a priority from 1 to 254"),
        );
        return;
    }
    let mut active = members.iter().filter(|m| m.settings.start_active);
    if let (Some(first), Some(second)) = (active.next(), active.next()) {
        let what = format!(
            "state MASTER here and on {}{}: it does not make a router master, the priority does",
            findings.name(first),
            findings.at(first, &["state"]),
        );
        let span = findings.keyword(second, &["state"]);
        findings.push(
            second.node,
            Diagnostic::note("two-masters", span, what)
                .help("write state BACKUP on all routers but the one with the highest priority"),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::proof::help::{codes, file, findings};

    /// Two routers that differ in these lines.
    fn pair(a: &str, b: &str) -> [String; 2] {
        [
            file("-20", &format!("priority 101\n{a}")),
            file("-20", &format!("priority 90\n{b}")),
        ]
    }

    #[track_caller]
    fn only(files: &[String], expected: &str) {
        let all = findings(files);
        assert_eq!(all.len(), 1, "{all:#?}");
        assert!(all[0].contains(expected), "{all:#?}");
    }

    #[test]
    fn sound_routers_have_nothing_to_be_told() {
        assert_eq!(codes(&pair("", "")), [] as [&str; 0]);
        let unicast = pair(
            "unicast_src_ip 10.0.0.1\n unicast_peer {\n 10.0.0.2\n }",
            "unicast_src_ip 10.0.0.2\n unicast_peer {\n 10.0.0.1\n }",
        );
        assert_eq!(codes(&unicast), [] as [&str; 0]);
    }

    #[test]
    fn what_keeps_routers_from_hearing_each_other_is_an_error() {
        only(
            &pair("version 2", "version 3"),
            "r2 15 Error version-differs: version 3 here, 2 on r1",
        );
        only(
            &pair("advert_int 1", "advert_int 2"),
            "r2 15 Error interval-differs: advert_int 2 here, 1 on r1",
        );
        let auth =
            |pass: &str| format!("authentication {{\n auth_type PASS\n auth_pass {pass}\n }}");
        only(&pair(&auth("a"), &auth("b")), "r2 15 Error auth-differs");
        assert_eq!(codes(&pair(&auth("a"), &auth("a"))), [] as [&str; 0]);
    }

    #[test]
    fn another_interval_in_version_3_is_followed() {
        let v3 = |n| format!("version 3\n advert_int {n}");
        only(
            &pair(&v3("1"), &v3("2")),
            "r2 16 Warning interval-differs: advert_int 2 here, 1 on r1 (r1.conf:16)",
        );
    }

    #[test]
    fn one_address_under_two_identifiers_or_ways_is_an_error() {
        let mut files = pair("", "");
        files[1] = files[1].replace("virtual_router_id 51", "virtual_router_id 52");
        only(
            &files,
            "r2 7 Error vrid-differs: 10.0.0.9 belongs to VRID 51 on r1 (r1.conf:7), but to VRID 52 here",
        );
        let files = pair(
            "",
            "unicast_src_ip 10.0.0.2\n unicast_peer {\n 10.0.0.1\n }",
        );
        only(
            &files,
            "r2 16 Error transport-differs: r1 sends by multicast",
        );
    }

    #[test]
    fn lists_of_addresses_are_compared_without_their_order() {
        let with = |list: &str| file("-20", "priority 90").replace("10.0.0.9/24", list);
        let first =
            || file("-20", "priority 101").replace("10.0.0.9/24", "10.0.0.9/24\n10.0.0.8/24");
        assert_eq!(
            codes(&[first(), with("10.0.0.8/24\n10.0.0.9/24")]),
            [] as [&str; 0]
        );
        only(
            &[first(), with("10.0.0.7/24\n10.0.0.9/24")],
            "r2 8 Warning addresses-differ: other addresses than on r1 (r1.conf:8): without 10.0.0.8; also 10.0.0.7",
        );
        only(
            &[first(), with("10.0.0.8/32\n10.0.0.9/24")],
            "10.0.0.8/32 here, 10.0.0.8/24 on r1",
        );
    }

    #[test]
    fn unicast_routers_must_name_each_other() {
        let files = pair(
            "unicast_src_ip 10.0.0.1\n unicast_peer {\n 10.0.0.2\n }",
            "unicast_src_ip 10.0.0.2\n unicast_peer {\n 10.0.0.3\n }",
        );
        only(
            &files,
            "r2 16 Error missing-peer: r1 with 10.0.0.1 (r1.conf:15) is no peer here",
        );
        let files = pair("mcast_src_ip 10.0.0.1", "mcast_src_ip 10.0.0.1");
        only(
            &files,
            "r2 15 Error same-source: 10.0.0.1 is the source of r1 too (r1.conf:15)",
        );
    }

    #[test]
    fn two_masters_are_a_note_and_two_owners_a_warning() {
        only(
            &pair("state MASTER", "state MASTER"),
            "r2 15 Note two-masters",
        );
        let owner = || file("0", "priority 255");
        let all = codes(&[owner(), owner()]);
        assert!(all.contains(&"r2 two-owners".to_owned()), "{all:?}");
    }

    #[test]
    fn an_instance_without_a_partner_is_noted() {
        let more = "vrrp_instance W {\n interface eth0\n virtual_router_id 9\n virtual_ipaddress { 10.0.0.5/24 }\n}\n";
        let mut files = pair("", "");
        files[0].push_str(more);
        only(&files, "Note alone: only r1 has VRID 9 (IPv4)");
        assert_eq!(codes(&files[..1]), [] as [&str; 0]);
    }
}
