//! A snapshot for people: aligned tables, units, nothing left unexplained.

use crate::ctl::damping;
use crate::ctl::overview;
use crate::model::ids::Family;
use crate::model::view::{
    CheckView, Counters, IntentView, LinkView, RouterView, Snapshot, TrackView,
};
use comfy_table::{ContentArrangement, Table, presets};
use std::fmt::Write;

/// What the output may look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Look {
    /// Columns of the terminal; `None` for a pipe or file, where nothing is wrapped.
    pub width: Option<u16>,
    /// Escape sequences are welcome.
    pub colour: bool,
}

/// One instance in full: what `mainstay status NAME` prints.
pub fn instance(instance: &RouterView, snapshot: &Snapshot, look: Look) -> String {
    let mut text = format!(
        "{}: {} for {}\n",
        instance.name,
        paint(&instance.state, state_colour(&instance.state), look),
        length(instance.since_s)
    );
    let mut facts: Vec<[String; 2]> = vec![["cause".into(), cause(instance)]];
    if let Some(intent) = &instance.intent {
        facts.push(["operator".into(), term(intent)]);
    }
    for fault in &instance.faults {
        facts.push(["cannot run".into(), fault.clone()]);
    }
    if let Some(degraded) = &instance.degraded {
        facts.push(["all_failed".into(), degraded.clone()]);
    }
    let family = match instance.family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    };
    facts.push([
        "router".into(),
        format!(
            "VRID {} on {}, {family}, VRRP version {}",
            instance.vrid, instance.interface, instance.version
        ),
    ]);
    let own = |link: &&LinkView| link.name == instance.interface;
    let link = snapshot.interfaces.iter().find(own);
    if let Some(turning) = link.and_then(overview::turning) {
        facts.push(["link".into(), turning]);
    }
    facts.push(["priority".into(), sum(instance)]);
    facts.extend(damping::state(instance).map(|state| ["damping".into(), state]));
    let source = match instance.source {
        Some(source) => format!(" from {source}"),
        None => String::new(),
    };
    let mut adverts = format!("every {}{source}", length(instance.advert_interval_s));
    let learned = instance.learned_interval_s;
    if learned > 0.0 && differs(learned, instance.advert_interval_s) {
        let _ = write!(adverts, "; the MASTER's every {}", length(learned));
    }
    facts.push(["adverts".into(), adverts]);
    if let Some(left) = instance.timer_s {
        let what = if instance.is_active() {
            "advert"
        } else {
            "claim if nothing is heard"
        };
        facts.push(["next".into(), format!("{what} in {}", length(left))]);
    }
    text += &list(&facts, look);

    if !instance.addresses.is_empty() {
        text += "\naddresses\n";
        let head = ["ADDRESS", "INTERFACE", "INSTALLED", "ADVERTISED"];
        let rows = instance.addresses.iter().map(|address| {
            vec![
                address.address.clone(),
                address.interface.to_string(),
                yes(address.installed),
                yes(address.advertised),
            ]
        });
        text += &table(&head, rows, INDENT, look);
    }
    if !instance.tracks.is_empty() {
        text += "\ntracked\n";
        let head = [
            "TRACKER", "KIND", "STATE", "RESULTS", "WEIGHT", "EFFECT", "LAST RUN",
        ];
        let rows = instance.tracks.iter().map(|track| {
            let script = script_of(track, snapshot);
            let reverse = if track.reverse { " reverse" } else { "" };
            vec![
                track.script.to_string(),
                track.kind.clone(),
                track.state.clone(),
                track.counter.clone(),
                format!("{}{reverse}", track.weight),
                match effect(track) {
                    Some(effect) => effect.to_owned(),
                    None if track.adds == 0 => "none".to_owned(),
                    None => format!("{:+}", track.adds),
                },
                script.map_or_else(String::new, last_run),
            ]
        });
        text += &table(&head, rows, INDENT, look);
        for script in tracked(instance, snapshot) {
            if !script.stderr.trim().is_empty() {
                let _ = writeln!(
                    text,
                    "{INDENT}{} wrote: {}",
                    script.name,
                    printable(script.stderr.trim())
                );
            }
        }
    }
    text += "\nother routers heard\n";
    if instance.peers.is_empty() {
        text += &format!("{INDENT}none\n");
    } else {
        let head = [
            "ADDRESS", "PRIORITY", "HEARD", "INTERVAL", "ADVERTS", "CHECKSUM", "REMARK",
        ];
        let rows = instance.peers.iter().map(|peer| {
            vec![
                peer.address.to_string(),
                match peer.priority {
                    0 => "0 (released)".to_owned(),
                    priority => priority.to_string(),
                },
                format!("{} ago", length(peer.ago_s)),
                length(peer.interval_s),
                peer.adverts.to_string(),
                match peer.checksum.as_deref() {
                    Some("pseudo-header") => "with pseudo-header".to_owned(),
                    Some("message") => "message alone".to_owned(),
                    Some(other) => other.to_owned(),
                    None => "usual".to_owned(),
                },
                if peer.address_mismatch {
                    "its address list is not ours".to_owned()
                } else {
                    String::new()
                },
            ]
        });
        text += &table(&head, rows, INDENT, look);
    }
    let counters = counters(&instance.counters);
    if !counters.is_empty() {
        text += "\ncounted since the start\n";
        text += &list(&counters, look);
    }
    text
}

/// What a tracker does beside adding to the priority.
pub(super) const fn effect(track: &TrackView) -> Option<&'static str> {
    match (track.fault, track.degrades) {
        (true, _) => Some("FAULT"),
        (false, true) => Some("priority 1"),
        (false, false) => None,
    }
}

pub(super) const INDENT: &str = "  ";
pub(super) const RED: &str = "\x1b[31m";
pub(super) const GREEN: &str = "\x1b[32m";
pub(super) const YELLOW: &str = "\x1b[33m";
const CYAN: &str = "\x1b[36m";

pub(super) fn paint(word: &str, colour: &str, look: Look) -> String {
    if look.colour {
        format!("{colour}{word}\x1b[0m")
    } else {
        word.to_owned()
    }
}

pub(super) fn state_colour(state: &str) -> &'static str {
    match state {
        "MASTER" | "up" => GREEN,
        "BACKUP" => CYAN,
        "FAULT" | "down" | "unusable" => RED,
        _ => YELLOW,
    }
}

/// Rows below a heading; the column STATE is coloured.
pub(super) fn table(
    head: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
    indent: &str,
    look: Look,
) -> String {
    let mut table = bare(indent, look);
    table.set_header(head.to_vec());
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)).collect::<Vec<_>>());
    }
    spaced(&mut table);
    let rendered = table.trim_fmt();
    let state = head.contains(&"STATE");
    let place = rendered.find("STATE");
    let mut text = String::new();
    for (number, line) in rendered.lines().enumerate() {
        text += indent;
        match place {
            Some(place) if state && look.colour && number > 0 => {
                text += &paint_at(line, place, look);
            }
            Some(_) | None => text += line,
        }
        text.push('\n');
    }
    text
}

/// Colours the word that begins at `place`, if one does. A table's cells hold no escape sequences,
/// because they would count as width.
fn paint_at(line: &str, place: usize, look: Look) -> String {
    let Some((before, rest)) = line.split_at_checked(place) else {
        return line.to_owned();
    };
    let word = rest.split(' ').next().unwrap_or_default();
    if word.is_empty() {
        return line.to_owned();
    }
    let painted = paint(word, state_colour(word), look);
    format!("{before}{painted}{}", &rest[word.len()..])
}

/// Names and values, the values aligned.
pub(super) fn list(facts: &[[String; 2]], look: Look) -> String {
    let mut table = bare(INDENT, look);
    for fact in facts {
        table.add_row(fact.iter().map(|cell| printable(cell)).collect::<Vec<_>>());
    }
    spaced(&mut table);
    table
        .trim_fmt()
        .lines()
        .fold(String::new(), |text, line| text + INDENT + line + "\n")
}

fn bare(indent: &str, look: Look) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    match look.width {
        Some(width) => {
            let indent = u16::try_from(indent.len()).unwrap_or(0);
            table
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width.saturating_sub(indent).max(40));
        }
        None => {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
    }
    table
}

fn spaced(table: &mut Table) {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
}

/// Scripts write what they like; a terminal must not obey it.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// `101 (base 103)`, or the base alone if nothing moves it.
pub(super) fn priority(instance: &RouterView) -> String {
    if instance.priority == instance.base_priority {
        instance.priority.to_string()
    } else {
        format!("{} (base {})", instance.priority, instance.base_priority)
    }
}

/// How the priority in force comes about.
pub(super) fn sum(instance: &RouterView) -> String {
    let base = i32::from(instance.base_priority);
    let priority = i32::from(instance.priority);
    let moved = instance.priority_sum - base;
    if instance.degraded.is_some() {
        return format!("{priority} instead of {base}, because what is tracked failed");
    }
    if priority == base && moved == 0 {
        return format!("{priority}, as configured");
    }
    let sign = if moved < 0 { "less" } else { "plus" };
    let mut text = format!(
        "{priority}: base {base} {sign} {} from what is tracked",
        moved.abs()
    );
    if instance.priority_sum != priority {
        let reason = if base == 255 {
            "255 owns the addresses and is never changed"
        } else if damping::held(instance).is_some() {
            "held back by flap damping"
        } else {
            "held within 1 and 254"
        };
        let _ = write!(text, " makes {}, {reason}", instance.priority_sum);
    }
    text
}

pub(super) fn cause(instance: &RouterView) -> String {
    match (instance.detail.is_empty(), instance.cause.is_empty()) {
        (true, _) => instance.cause.clone(),
        (false, true) => instance.detail.clone(),
        (false, false) => format!("{} ({})", instance.detail, instance.cause),
    }
}

pub(super) fn last_run(script: &CheckView) -> String {
    if let Some(reason) = &script.unusable {
        return format!("never: {reason}");
    }
    match (&script.last, script.last_ago_s) {
        (Some(last), Some(ago)) => format!("{last} {} ago", length(ago)),
        (Some(last), None) => last.clone(),
        (None, _) => "none yet".to_owned(),
    }
}

fn tracked<'a>(
    instance: &'a RouterView,
    snapshot: &'a Snapshot,
) -> impl Iterator<Item = &'a CheckView> {
    instance
        .tracks
        .iter()
        .filter_map(|track| script_of(track, snapshot))
}

fn script_of<'a>(track: &TrackView, snapshot: &'a Snapshot) -> Option<&'a CheckView> {
    let mut scripts = snapshot.scripts.iter().filter(|_| track.kind == "script");
    scripts.find(|script| script.name == track.script)
}

/// `drained 5 min 0 s ago by user 0 for 1 h 55 min more: kernel upgrade`.
pub(super) fn term(intent: &IntentView) -> String {
    let what = match intent.what.as_str() {
        "drain" => "drained",
        "takeover" => "taken over",
        other => other,
    };
    let mut text = format!(
        "{what} {} ago by user {}",
        length(intent.since_s),
        intent.uid
    );
    match intent.left_s {
        Some(left) => {
            let _ = write!(text, ", for {} more", length(left));
        }
        None => text += ", until undrain",
    }
    if let Some(reason) = &intent.reason {
        let _ = write!(text, ": {reason}");
    }
    text
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

fn differs(a: f64, b: f64) -> bool {
    (a - b).abs() > 0.000_5
}

/// Counters that are not zero, in words.
fn counters(counters: &Counters) -> Vec<[String; 2]> {
    let named = [
        ("adverts heard", counters.advert_rcvd),
        ("adverts sent", counters.advert_sent),
        ("became MASTER", counters.become_master),
        ("left MASTER", counters.release_master),
        ("releases heard (priority 0)", counters.pri_zero_rcvd),
        ("releases sent (priority 0)", counters.pri_zero_sent),
        ("lower priorities heard while MASTER", counters.lower_rcvd),
        (
            "of those unanswered (one answer an interval)",
            counters.lower_unanswered,
        ),
        ("adverts with other addresses", counters.addr_list_mismatch),
        (
            "adverts without a link-local first address",
            counters.no_link_local,
        ),
        (
            "adverts with the other form of checksum",
            counters.checksum_other_form,
        ),
        (
            "addresses removed by others and put back",
            counters.restored,
        ),
        ("own adverts skipped, woken too late", counters.skipped),
        ("announcements sent (ARP or ND)", counters.announced),
    ];
    let mut list: Vec<[String; 2]> = named
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| [(*name).to_owned(), count.to_string()])
        .collect();
    for (reason, count) in &counters.rejected {
        if *count > 0 {
            list.push([format!("adverts refused: {reason}"), count.to_string()]);
        }
    }
    list
}

/// Seconds in the two units that matter: `0.250 s`, `12.3 s`, `3 min 12 s`, `2 h 5 min`, `3 d 4 h`.
pub fn length(seconds: f64) -> String {
    let seconds = if seconds.is_finite() {
        seconds.max(0.0)
    } else {
        0.0
    };
    if seconds < 9.9995 {
        return format!("{seconds:.3} s");
    }
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    // Ages are far below 2^53 s; what is not saturates.
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    #[expect(clippy::cast_sign_loss, reason = "not negative, see above")]
    let whole = seconds.round() as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60);
    match (days, whole / 3_600) {
        (0, 0) => format!("{minutes} min {} s", whole % 60),
        (0, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
pub(in crate::ctl) mod tests {
    use super::*;
    use crate::model::view::{
        AddressView, EngineView, ExternalView, GroupView, NeighbourView, PeerView, WhatIf,
    };

    /// A snapshot in which every list and option is filled.
    pub(in crate::ctl) fn full_snapshot() -> Snapshot {
        Snapshot {
            form: 1,
            instances: vec![RouterView {
                name: "VI_1".into(),
                interface: "eth0".into(),
                vrid: 51,
                family: Family::V4,
                version: 3,
                state: "MASTER".into(),
                base_priority: 103,
                priority: 101,
                priority_sum: 101,
                since_s: 192.4,
                cause: "advert_timeout".into(),
                detail: "3 adverts missed, last from 10.0.0.2 (priority 100) 3.610 s ago".into(),
                faults: vec!["interface eth0 is down".into()],
                timer_s: Some(0.25),
                source: Some([10, 0, 0, 1].into()),
                advert_interval_s: 1.0,
                learned_interval_s: 2.0,
                addresses: vec![AddressView {
                    address: "10.0.0.100/24".into(),
                    interface: "eth0".into(),
                    installed: true,
                    advertised: true,
                }],
                tracks: vec![TrackView {
                    script: "chk".into(),
                    kind: "script".into(),
                    state: "down".into(),
                    counter: "down 1/2".into(),
                    weight: -2,
                    reverse: false,
                    adds: -2,
                    fault: false,
                    degrades: false,
                }],
                peers: vec![PeerView {
                    address: [10, 0, 0, 2].into(),
                    priority: 100,
                    ago_s: 3.61,
                    interval_s: 2.0,
                    adverts: 17,
                    checksum: Some("pseudo-header".into()),
                    checksum_pseudo: 17,
                    checksum_message: 0,
                    address_mismatch: true,
                }],
                what_if: vec![WhatIf {
                    tracker: "chk".into(),
                    kind: "script".into(),
                    after: Some("3 of 5 runs".into()),
                    failing: true,
                    priority: 101,
                    fault: false,
                    winner: Some([10, 0, 0, 2].into()),
                    ours: false,
                    winner_priority: Some(102),
                    heard_ago_s: Some(3.61),
                    stuck: false,
                }],
                damping: Some(crate::model::view::DampingView {
                    penalty: 0.5,
                    limit: 3,
                    held: false,
                    fault: false,
                    free_s: Some(1.5),
                }),
                intent: Some(IntentView {
                    what: "drain".into(),
                    since_s: 300.0,
                    left_s: Some(6_900.0),
                    uid: 0,
                    reason: Some("kernel upgrade".into()),
                }),
                degraded: None,
                counters: Counters {
                    advert_rcvd: 17,
                    become_master: 1,
                    rejected: vec![("checksum".into(), 3)],
                    ..Counters::default()
                },
            }],
            groups: vec![GroupView {
                name: "G".into(),
                state: "MASTER".into(),
                since_s: 192.4,
                members: vec!["VI_1".into()],
            }],
            scripts: vec![CheckView {
                name: "chk".into(),
                state: "down".into(),
                counter: "down 1/2".into(),
                last: Some("failed (exited with status 1)".into()),
                last_ago_s: Some(0.4),
                runs: 40,
                failures: 2,
                stderr: "no route\nto host\x1b[2J".into(),
                unusable: Some("not executable".into()),
            }],
            externals: vec![ExternalView {
                name: "db".into(),
                kind: "script".into(),
                value: Some("up".into()),
                state: "down".into(),
                counter: "down 1/2".into(),
                uid: Some(1000),
                ago_s: Some(1.5),
                left_s: Some(3.5),
                lease_over: false,
                lease_s: Some(5.0),
                user: Some("feeder".into()),
                used: true,
            }],
            interfaces: vec![LinkView {
                name: "eth0".into(),
                index: Some(2),
                up: true,
                turning: None,
                polled: false,
                rejected: vec![("unknown VRID".into(), 9)],
            }],
            statics: vec![AddressView {
                address: "10.3.0.1/24".into(),
                interface: "eth3".into(),
                installed: true,
                advertised: false,
            }],
            engine: EngineView {
                send_errors: 1,
                ..EngineView::default()
            },
            warnings: vec!["lvs: not handled".into()],
            strangers: vec![NeighbourView {
                interface: "eth0".into(),
                vrid: 9,
                family: Family::V4,
                source: [10, 0, 0, 7].into(),
                version: 2,
                priority: 100,
                interval_s: 1.0,
                ago_s: 0.5,
                adverts: 12,
                addresses: vec!["10.0.0.99".into()],
                instance: Some("VI_1".into()),
            }],
        }
    }

    #[test]
    fn one_instance_is_told_in_full_with_units() {
        let snapshot = full_snapshot();
        let text = instance(&snapshot.instances[0], &snapshot, Look::default());
        for part in [
            "VI_1: MASTER for 3 min 12 s\n",
            "cannot run  interface eth0 is down\n",
            "router      VRID 51 on eth0, IPv4, VRRP version 3\n",
            "priority    101: base 103 less 2 from what is tracked\n",
            "adverts     every 1.000 s from 10.0.0.1; the MASTER's every 2.000 s\n",
            "next        advert in 0.250 s\n",
            "  10.0.0.100/24  eth0       yes        yes\n",
            "  chk      script  down   down 1/2  -2      -2      never: not executable\n",
            "operator    drained 5 min 0 s ago by user 0, for 1 h 55 min more: kernel upgrade\n",
            "  chk wrote: no route to host\u{fffd}[2J\n",
            "  10.0.0.2  100       3.610 s ago  2.000 s   17       with pseudo-header  its address list is not ours\n",
            "  became MASTER              1\n",
            "  adverts refused: checksum  3\n",
        ] {
            assert!(text.contains(part), "{part:?} in\n{text}");
        }
        assert!(!text.contains("adverts sent"), "zeros are left out\n{text}");
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn a_narrow_terminal_is_never_exceeded_and_only_states_are_coloured() {
        let snapshot = full_snapshot();
        let narrow = Look {
            width: Some(80),
            colour: true,
        };
        let text = crate::ctl::overview::overview(&snapshot, narrow);
        let plain = text
            .replace(GREEN, "")
            .replace(RED, "")
            .replace(YELLOW, "")
            .replace("\x1b[0m", "");
        assert!(!plain.contains('\x1b'), "{plain}");
        for line in plain.lines() {
            assert!(line.len() <= 80, "{} bytes: {line}", line.len());
        }
        assert!(text.contains("\x1b[32mMASTER\x1b[0m"), "{text}");
        assert!(text.contains("\x1b[31mdown\x1b[0m"), "{text}");
    }

    #[test]
    fn the_clamp_is_explained() {
        let mut router = full_snapshot().instances.remove(0);
        (router.base_priority, router.priority, router.priority_sum) = (250, 254, 260);
        assert_eq!(
            sum(&router),
            "254: base 250 plus 10 from what is tracked makes 260, held within 1 and 254"
        );
        (router.base_priority, router.priority, router.priority_sum) = (100, 100, 100);
        assert_eq!(sum(&router), "100, as configured");
    }

    #[test]
    fn lengths_have_units() {
        for (seconds, text) in [
            (0.0, "0.000 s"),
            (0.25, "0.250 s"),
            (12.34, "12.3 s"),
            (59.99, "1 min 0 s"),
            (192.4, "3 min 12 s"),
            (7_500.0, "2 h 5 min"),
            (273_600.0, "3 d 4 h"),
            (f64::NAN, "0.000 s"),
            (-1.0, "0.000 s"),
        ] {
            assert_eq!(length(seconds), text);
        }
    }
}
