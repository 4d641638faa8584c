//! Everything at a glance: what `mainstay status` prints.

use crate::ctl::damping;
use crate::ctl::render::{
    Look, YELLOW, cause, last_run, length, paint, printable, priority, table, term,
};
use crate::ctl::{explain, external};
use crate::model::view::{LinkView, PeerView, RouterView, Snapshot, TrackView};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything at a glance: instances, groups, what is tracked, and what is wrong.
pub fn overview(snapshot: &Snapshot, look: Look) -> String {
    let mut parts = vec![instances(snapshot, look)];
    if !snapshot.groups.is_empty() {
        let head = ["GROUP", "STATE", "FOR", "MEMBERS"];
        let rows = snapshot.groups.iter().map(|group| {
            vec![
                group.name.to_string(),
                group.state.clone(),
                length(group.since_s),
                group.members.join(", "),
            ]
        });
        parts.push(table(&head, rows, "", look));
    }
    if !snapshot.scripts.is_empty() {
        let head = ["SCRIPT", "STATE", "RESULTS", "LAST RUN", "RUNS", "FAILED"];
        let rows = snapshot.scripts.iter().map(|script| {
            vec![
                script.name.to_string(),
                script.state.clone(),
                script.counter.clone(),
                last_run(script),
                script.runs.to_string(),
                script.failures.to_string(),
            ]
        });
        parts.push(table(&head, rows, "", look));
    }
    let others = other_trackers(snapshot);
    if !others.is_empty() {
        let head = ["TRACKED", "KIND", "STATE", "BY"];
        let rows = others.into_iter().map(|(track, by)| {
            vec![
                track.script.to_string(),
                track.kind.clone(),
                match &*track.counter {
                    "" => track.state.clone(),
                    counter => format!("{}, {counter}", track.state),
                },
                by.join(", "),
            ]
        });
        parts.push(table(&head, rows, "", look));
    }
    let worries: String = worries(snapshot)
        .into_iter()
        .map(|worry| format!("{} {worry}\n", paint("warning:", YELLOW, look)))
        .collect();
    if !worries.is_empty() {
        parts.push(worries);
    }
    parts.join("\n")
}

fn instances(snapshot: &Snapshot, look: Look) -> String {
    if snapshot.instances.is_empty() {
        return "no instances are configured\n".to_owned();
    }
    let head = [
        "INSTANCE",
        "INTERFACE",
        "VRID",
        "STATE",
        "PRIORITY",
        "FOR",
        "NEXT",
        "HEARD",
        "CAUSE",
    ];
    let rows = snapshot.instances.iter().map(|instance| {
        vec![
            instance.name.to_string(),
            instance.interface.to_string(),
            instance.vrid.to_string(),
            instance.state.clone(),
            priority(instance),
            length(instance.since_s),
            next(instance),
            heard(instance),
            match &instance.intent {
                Some(intent) => format!("{} [{}]", cause(instance), term(intent)),
                None => cause(instance),
            },
        ]
    });
    table(&head, rows, "", look)
}

/// What its running timer leads to.
fn next(instance: &RouterView) -> String {
    match instance.timer_s {
        Some(left) if instance.is_active() => format!("advert in {}", length(left)),
        Some(left) => format!("claim in {}", length(left)),
        None => "-".to_owned(),
    }
}

/// The other router that was heard last.
fn heard(instance: &RouterView) -> String {
    let newest = |a: &&PeerView, b: &&PeerView| a.ago_s.total_cmp(&b.ago_s);
    match instance.peers.iter().min_by(newest) {
        Some(peer) => format!(
            "{} priority {} {} ago",
            peer.address,
            peer.priority,
            length(peer.ago_s)
        ),
        None => "nobody".to_owned(),
    }
}

/// What is tracked beside scripts, each once, with the instances that track it.
fn other_trackers(snapshot: &Snapshot) -> Vec<(&TrackView, Vec<Arc<str>>)> {
    let mut places: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut others: Vec<(&TrackView, Vec<Arc<str>>)> = Vec::new();
    for instance in &snapshot.instances {
        for track in instance.tracks.iter().filter(|t| t.kind != "script") {
            let at = *places
                .entry((&track.kind, &track.script))
                .or_insert_with(|| {
                    others.push((track, Vec::new()));
                    others.len() - 1
                });
            if let Some((_, by)) = others.get_mut(at) {
                by.push(instance.name.clone());
            }
        }
    }
    others
}

/// An interface with a new state that does not count yet.
pub(super) fn turning(link: &LinkView) -> Option<String> {
    let turn = link.turning.as_ref()?;
    Some(format!("interface {} is {turn}", link.name))
}

/// Everything that needs an operator's eye.
fn worries(snapshot: &Snapshot) -> Vec<String> {
    let mut worries: Vec<String> = Vec::new();
    for instance in &snapshot.instances {
        for fault in &instance.faults {
            worries.push(format!("{} cannot run: {fault}", instance.name));
        }
        if let Some(degraded) = &instance.degraded {
            worries.push(format!("{}: {degraded}", instance.name));
        }
        for address in &instance.addresses {
            if instance.is_active() && !address.installed {
                worries.push(format!(
                    "{} is MASTER without its address {}",
                    instance.name, address.address
                ));
            }
        }
    }
    for instance in &snapshot.instances {
        let held = damping::held(instance);
        worries.extend(held.map(|held| format!("{}: {held}", instance.name)));
        for what in instance.what_if.iter().filter(|what| what.stuck) {
            worries.push(format!(
                "{}: {}",
                instance.name,
                explain::stuck(instance, what)
            ));
        }
    }
    worries.extend(external::waiting(snapshot));
    for one in snapshot.statics.iter().filter(|one| !one.installed) {
        worries.push(format!(
            "static address {} is not on {}",
            one.address, one.interface
        ));
    }
    for link in &snapshot.interfaces {
        worries.extend(turning(link));
        for (reason, count) in &link.rejected {
            if *count > 0 {
                worries.push(format!(
                    "{}: {count} VRRP packets refused: {reason}",
                    link.name
                ));
            }
        }
    }
    let engine = &snapshot.engine;
    if engine.send_errors > 0 {
        worries.push(format!(
            "{} packets were not taken by the kernel",
            engine.send_errors
        ));
    }
    if engine.dropped_notices > 0 {
        worries.push(format!(
            "{} log lines were dropped: the log is not read fast enough",
            engine.dropped_notices
        ));
    }
    worries.extend(snapshot.warnings.iter().cloned());
    for worry in &mut worries {
        *worry = printable(worry);
    }
    worries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::render::tests::full_snapshot;
    use crate::model::view::TurnView;

    #[test]
    fn the_overview_stands_in_columns() {
        let mut snapshot = full_snapshot();
        snapshot.scripts[0].unusable = None;
        let mut load = snapshot.instances[0].tracks[0].clone();
        (load.script, load.kind, load.state) = ("load".into(), "file".into(), "30".into());
        load.counter.clear();
        snapshot.instances[0].tracks.push(load);
        let mut second = snapshot.instances[0].clone();
        (second.name, second.state, second.intent) = ("VI_2".into(), "BACKUP".into(), None);
        second.faults.clear();
        second.peers.clear();
        snapshot.instances.push(second);
        let text = overview(&snapshot, Look::default());
        let expected = "\
INSTANCE  INTERFACE  VRID  STATE   PRIORITY        FOR         NEXT               HEARD                              CAUSE
VI_1      eth0       51    MASTER  101 (base 103)  3 min 12 s  advert in 0.250 s  10.0.0.2 priority 100 3.610 s ago  3 adverts missed, last from 10.0.0.2 (priority 100) 3.610 s ago (advert_timeout) [drained 5 min 0 s ago by user 0, for 1 h 55 min more: kernel upgrade]
VI_2      eth0       51    BACKUP  101 (base 103)  3 min 12 s  claim in 0.250 s   nobody                             3 adverts missed, last from 10.0.0.2 (priority 100) 3.610 s ago (advert_timeout)

GROUP  STATE   FOR         MEMBERS
G      MASTER  3 min 12 s  VI_1

SCRIPT  STATE  RESULTS   LAST RUN                                   RUNS  FAILED
chk     down   down 1/2  failed (exited with status 1) 0.400 s ago  40    2

TRACKED  KIND  STATE  BY
load     file  30     VI_1, VI_2

warning: VI_1 cannot run: interface eth0 is down
warning: eth0: 9 VRRP packets refused: unknown VRID
warning: 1 packets were not taken by the kernel
warning: lvs: not handled
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_state_that_does_not_count_yet_and_a_missing_static_address_are_told() {
        let mut snapshot = full_snapshot();
        snapshot.interfaces[0].turning = Some(TurnView {
            up: false,
            for_s: 0.4,
            counts_after_s: 2.0,
        });
        snapshot.statics[0].installed = false;
        let text = overview(&snapshot, Look::default());
        for line in [
            "warning: interface eth0 is down for 0.4 s, counts after 2 s",
            "warning: static address 10.3.0.1/24 is not on eth3",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        let explained = explain::explain(&snapshot.instances[0], &snapshot, Look::default());
        let line = "interface eth0 is down for 0.4 s, counts after 2 s";
        assert!(explained.contains(line), "{explained}");
    }
}
