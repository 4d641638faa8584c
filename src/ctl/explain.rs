//! `mainstay explain`: how a priority comes about, and who would serve if something failed.

use crate::ctl::damping;
use crate::ctl::overview::turning;
use crate::ctl::render::{INDENT, Look, effect, length, paint, state_colour, table, term};
use crate::model::view::{AddressView, RouterView, Snapshot, WhatIf};
use std::fmt::Write;

/// One instance explained.
pub fn explain(instance: &RouterView, snapshot: &Snapshot, look: Look) -> String {
    let mut text = format!(
        "{} is {} with priority {}",
        instance.name,
        paint(&instance.state, state_colour(&instance.state), look),
        instance.priority
    );
    let _ = writeln!(
        text,
        ", for {}: {}",
        length(instance.since_s),
        instance.detail
    );
    for fault in &instance.faults {
        let _ = writeln!(text, "{INDENT}cannot run: {fault}");
    }
    if let Some(degraded) = &instance.degraded {
        let _ = writeln!(text, "{INDENT}{degraded}");
    }
    for link in &snapshot.interfaces {
        let carries = |address: &AddressView| address.interface == link.name;
        let own = link.name == instance.interface || instance.addresses.iter().any(carries);
        if let Some(turning) = turning(link).filter(|_| own) {
            let _ = writeln!(text, "{INDENT}{turning}");
        }
    }
    text += "\nhow the priority comes about\n";
    text += &sum(instance, snapshot, look);

    text += "\nother routers heard\n";
    if instance.peers.is_empty() {
        text += &format!("{INDENT}none\n");
    } else {
        let rows = instance.peers.iter().map(|peer| {
            vec![
                peer.address.to_string(),
                match peer.priority {
                    0 => "0 (released)".to_owned(),
                    priority => priority.to_string(),
                },
                format!("{} ago", length(peer.ago_s)),
                length(peer.interval_s),
            ]
        });
        let head = ["ADDRESS", "PRIORITY", "HEARD", "INTERVAL"];
        text += &table(&head, rows, INDENT, look);
    }

    text += "\nif one of these failed now\n";
    if instance.what_if.is_empty() {
        text += &format!("{INDENT}nothing is tracked: only silence moves the addresses\n");
    } else {
        let rows = instance.what_if.iter().map(|what| {
            vec![
                match &what.after {
                    Some(after) => format!("{} ({after})", what.tracker),
                    None => what.tracker.to_string(),
                },
                what.kind.clone(),
                if what.fault {
                    "FAULT".to_owned()
                } else {
                    format!("priority {}", what.priority)
                },
                outcome(instance, what),
            ]
        });
        let head = ["TRACKER", "KIND", "THEN HERE", "MASTER WOULD BE"];
        text += &table(&head, rows, INDENT, look);
    }
    for what in instance.what_if.iter().filter(|what| what.stuck) {
        let warning = paint("warning:", crate::ctl::render::YELLOW, look);
        let _ = writeln!(text, "{warning} {}", stuck(instance, what));
    }
    if instance.peers.is_empty() {
        text += "\nNo other router was heard, so who would take over is not known. A router that is \
                 BACKUP is silent: it is heard only while it serves.\n";
    }
    text
}

/// Base, each tracker, sum and what the bounds make of it.
fn sum(instance: &RouterView, snapshot: &Snapshot, look: Look) -> String {
    let mut rows = vec![vec![
        "base".to_owned(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        instance.base_priority.to_string(),
    ]];
    for track in &instance.tracks {
        let reverse = if track.reverse { " reverse" } else { "" };
        rows.push(vec![
            track.script.to_string(),
            track.kind.clone(),
            track.state.clone(),
            track.counter.clone(),
            format!("{}{reverse}", track.weight),
            match effect(track) {
                Some(effect) => effect.to_owned(),
                None => format!("{:+}", track.adds),
            },
        ]);
    }
    let total = |name: &str, value: String| {
        let mut row = vec![name.to_owned()];
        row.resize(5, String::new());
        row.push(value);
        row
    };
    rows.push(total("sum", instance.priority_sum.to_string()));
    rows.push(total("in force", in_force(instance)));
    let head = ["WHAT", "KIND", "NOW", "RESULTS", "WEIGHT", "ADDS"];
    let mut text = table(&head, rows.into_iter(), INDENT, look);
    if damping::held(instance).is_none()
        && let Some(state) = damping::state(instance)
    {
        let _ = writeln!(text, "{INDENT}{state}");
    }
    for track in instance.tracks.iter().filter(|t| t.kind == "bfd") {
        let name = &track.script;
        let _ = writeln!(
            text,
            "{INDENT}{name} is not tracked: no BFD session is set up yet, so it holds nothing back"
        );
    }
    for script in &snapshot.scripts {
        let mut tracks = instance.tracks.iter();
        let track = tracks.find(|t| t.kind == "script" && t.script == script.name);
        if let (Some(track), Some(reason)) = (track, &script.unusable) {
            let comes = match track.state.as_str() {
                "unusable" => "is not tracked",
                _ => "counts as failing",
            };
            let _ = writeln!(text, "{INDENT}{} {comes}: {reason}", script.name);
        }
    }
    text
}

fn in_force(instance: &RouterView) -> String {
    let priority = instance.priority;
    if instance.degraded.is_some() {
        return format!("{priority} (all_failed hold: it serves only if nobody else does)");
    }
    if let Some(intent) = &instance.intent {
        return format!("{priority} ({})", term(intent));
    }
    if instance.base_priority == 255 {
        return format!("{priority} (255 owns the addresses and is never changed)");
    }
    if let Some(held) = damping::held(instance) {
        return format!("{priority} ({held})");
    }
    if instance.priority_sum == i32::from(priority) {
        priority.to_string()
    } else {
        format!("{priority} (held within 1 and 254)")
    }
}

/// Who would be MASTER.
fn outcome(instance: &RouterView, what: &WhatIf) -> String {
    let mut text = match (what.winner, what.ours) {
        (_, true) => match instance.state.as_str() {
            "MASTER" => "this router, as now".to_owned(),
            _ => "this router".to_owned(),
        },
        (Some(winner), false) => {
            let mut text = winner.to_string();
            if let Some(priority) = what.winner_priority {
                let _ = write!(text, ", priority {priority}");
            }
            if let Some(ago) = what.heard_ago_s {
                let _ = write!(text, ", heard {} ago", length(ago));
            }
            text
        }
        (None, false) => "nobody that was heard".to_owned(),
    };
    if what.failing {
        text += " (it has failed)";
    }
    text
}

/// A failure that would move nothing, in a sentence.
pub(super) fn stuck(instance: &RouterView, what: &WhatIf) -> String {
    let best = instance
        .peers
        .iter()
        .filter(|peer| peer.priority > 0)
        .max_by_key(|peer| peer.priority);
    let then = if instance.base_priority == 255 {
        "255 is never changed".to_owned()
    } else {
        format!("we go {} -> {}", instance.priority, what.priority)
    };
    let peer = match best {
        Some(peer) => format!(
            ", {} has {} (heard {} ago)",
            peer.address,
            peer.priority,
            length(peer.ago_s)
        ),
        None => String::new(),
    };
    format!("if {} fails {then}{peer}: no failover", what.tracker)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::render::tests::full_snapshot;

    #[test]
    fn the_sum_stands_in_a_column_and_every_failure_names_a_winner() {
        let mut snapshot = full_snapshot();
        let instance = &mut snapshot.instances[0];
        (instance.intent, instance.damping) = (None, None);
        instance.what_if[0].after = None;
        instance.faults.clear();
        let interface = WhatIf {
            tracker: "eth0".into(),
            kind: "interface".into(),
            failing: false,
            fault: true,
            winner: None,
            winner_priority: None,
            heard_ago_s: None,
            ..instance.what_if[0].clone()
        };
        instance.what_if.push(interface);
        snapshot.scripts[0].unusable = None;
        let text = explain(&snapshot.instances[0], &snapshot, Look::default());
        let expected = "\
VI_1 is MASTER with priority 101, for 3 min 12 s: 3 adverts missed, last from 10.0.0.2 (priority 100) 3.610 s ago

how the priority comes about
  WHAT      KIND    NOW   RESULTS   WEIGHT  ADDS
  base                                      103
  chk       script  down  down 1/2  -2      -2
  sum                                       101
  in force                                  101

other routers heard
  ADDRESS   PRIORITY  HEARD        INTERVAL
  10.0.0.2  100       3.610 s ago  2.000 s

if one of these failed now
  TRACKER  KIND       THEN HERE     MASTER WOULD BE
  chk      script     priority 101  10.0.0.2, priority 102, heard 3.610 s ago (it has failed)
  eth0     interface  FAULT         nobody that was heard
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_weight_that_moves_nothing_is_a_warning_with_the_numbers() {
        let mut snapshot = full_snapshot();
        let instance = &mut snapshot.instances[0];
        instance.priority = 103;
        let what = &mut instance.what_if[0];
        (what.stuck, what.ours, what.failing) = (true, true, false);
        let text = explain(&snapshot.instances[0], &snapshot, Look::default());
        let warning = "warning: if chk fails we go 103 -> 101, 10.0.0.2 has 100 (heard 3.610 s ago): no failover";
        assert!(text.contains(warning), "{text}");
        assert!(crate::ctl::overview::overview(&snapshot, Look::default()).contains("no failover"));
    }

    #[test]
    fn the_runs_that_a_failure_takes_are_told_where_fall_does_not_say() {
        let mut snapshot = full_snapshot();
        snapshot.instances[0].what_if[0].after = Some("3 of 5 runs".to_owned());
        let text = explain(&snapshot.instances[0], &snapshot, Look::default());
        assert!(text.contains("chk (3 of 5 runs)"), "{text}");
    }

    #[test]
    fn an_unusable_script_is_not_tracked_or_counts_as_failing() {
        let mut snapshot = full_snapshot();
        let told = |snapshot: &Snapshot, state: &str| {
            let mut snapshot = snapshot.clone();
            snapshot.instances[0].tracks[0].state = state.to_owned();
            explain(&snapshot.instances[0], &snapshot, Look::default())
        };
        snapshot.scripts[0].unusable = Some("no x".into());
        assert!(told(&snapshot, "unusable").contains("chk is not tracked: no x"));
        assert!(told(&snapshot, "down").contains("chk counts as failing: no x"));
    }

    #[test]
    fn a_session_that_is_not_watched_is_named_with_what_that_means() {
        let mut snapshot = full_snapshot();
        let mut session = snapshot.instances[0].tracks[0].clone();
        (session.script, session.kind) = ("peer".into(), "bfd".into());
        session.state = "not watched".into();
        snapshot.instances[0].tracks.push(session);
        let text = explain(&snapshot.instances[0], &snapshot, Look::default());
        let line = "peer is not tracked: no BFD session is set up yet";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn it_is_said_when_nobody_else_was_heard() {
        let mut snapshot = full_snapshot();
        snapshot.instances[0].peers.clear();
        let text = explain(&snapshot.instances[0], &snapshot, Look::default());
        assert!(text.contains("No other router was heard"), "{text}");
    }

    #[test]
    fn what_is_borne_is_said_where_the_priority_comes_about() {
        let mut snapshot = full_snapshot();
        let instance = &mut snapshot.instances[0];
        let text = "degraded: serves although script chk failed because nobody else took over";
        (instance.degraded, instance.intent) = (Some(text.into()), None);
        (instance.priority, instance.priority_sum) = (1, 103);
        (instance.tracks[0].weight, instance.tracks[0].adds) = (0, 0);
        instance.tracks[0].degrades = true;
        let told = explain(&snapshot.instances[0], &snapshot, Look::default());
        assert!(told.contains(text), "{told}");
        assert!(
            told.contains("chk       script  down  down 1/2  0       priority 1"),
            "{told}"
        );
        assert!(
            told.contains("1 (all_failed hold: it serves only if nobody else does)"),
            "{told}"
        );
        let told = crate::ctl::overview::overview(&snapshot, Look::default());
        assert!(told.contains(&format!("warning: VI_1: {text}")), "{told}");
        let told = crate::ctl::render::instance(&snapshot.instances[0], &snapshot, Look::default());
        assert!(
            told.contains("1 instead of 103, because what is tracked failed"),
            "{told}"
        );
    }
}
