//! `all_failed hold|release`: what becomes of an instance whose trackers say FAULT.

use super::diag::{Diagnostic, Diags};
use super::global::Global;
use super::lexer::Word;
use super::router::Draft;
use super::weights::Placed;
use crate::model::priority::Priority;
use crate::model::settings::{AllFailed, GroupSettings};
use std::collections::HashMap;
use std::sync::Arc;

/// Reads the word.
pub(super) fn read(arg: &Word, diags: &mut Diags) -> Option<AllFailed> {
    match &*arg.text {
        "hold" => Some(AllFailed::Hold),
        "release" => Some(AllFailed::Release),
        other => {
            let what = format!("`{other}` is not known to all_failed");
            diags.push(
                Diagnostic::error("bad-value", arg.span, what).help("expected hold or release"),
            );
            None
        }
    }
}

/// What holds for one instance, its sync group apart.
pub(super) fn of(
    draft: &Draft,
    priority: Priority,
    global: &Global,
    diags: &mut Diags,
) -> AllFailed {
    let own = draft.all_failed;
    let wanted = own.map_or(global.all_failed, |(what, _)| what);
    if wanted == AllFailed::Release {
        return AllFailed::Release;
    }
    let span = own.map_or(draft.span, |(_, span)| span);
    if priority.is_owner() {
        // A default that suits the others is no mistake.
        if own.is_some() {
            let what =
                "priority 255 is never changed: an owner whose trackers fail always releases";
            diags.push(
                Diagnostic::warning("contradiction", span, what)
                    .help("give it a priority below 255, or remove this line"),
            );
        }
        return AllFailed::Release;
    }
    if priority == Priority::contender(1) {
        let what = "priority 1 is that of a router whose trackers failed: peers take it for one";
        diags.push(
            Diagnostic::warning("contradiction", span, what)
                .help("give it a priority of 2 or more"),
        );
    }
    AllFailed::Hold
}

/// A group moves together, so its members must agree.
pub(super) fn agree(groups: &[Arc<GroupSettings>], routers: &mut [Placed], diags: &mut Diags) {
    let by_name: HashMap<Arc<str>, usize> = routers
        .iter()
        .enumerate()
        .map(|(at, placed)| (placed.settings.name.clone(), at))
        .collect();
    for group in groups {
        let found = group.members.iter().filter_map(|name| by_name.get(name));
        let mut members: Vec<usize> = found.copied().collect();
        members.sort_unstable();
        let find = |wanted: AllFailed| {
            let mut members = members.iter().filter_map(|at| routers.get(*at));
            members.find(|placed| placed.settings.all_failed == wanted)
        };
        let (Some(holds), Some(releases)) = (find(AllFailed::Hold), find(AllFailed::Release))
        else {
            continue;
        };
        let why = if releases.settings.priority.is_owner() {
            "owns its addresses and releases"
        } else {
            "releases"
        };
        let what = format!(
            "all_failed hold, but {} of the same sync group {} {why}; all of them release",
            releases.settings.name, group.name
        );
        diags.push(
            Diagnostic::error("contradiction", holds.span, what)
                .related(releases.span, "this one")
                .help("say the same in all members of a sync group: they move together"),
        );
        for at in members {
            if let Some(placed) = routers.get_mut(at) {
                placed.settings.all_failed = AllFailed::Release;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::help::{codes, read, router};
    use super::*;

    #[test]
    fn the_instance_overrides_the_default_and_owners_release() {
        let told = |global: &str, lines: &str| {
            let (router, codes) = router(global, lines);
            (router.all_failed, codes)
        };
        let none: Vec<&str> = Vec::new();
        assert_eq!(told("", ""), (AllFailed::Release, none.clone()));
        assert_eq!(told("", "all_failed hold"), (AllFailed::Hold, none.clone()));
        assert_eq!(told("all_failed hold", ""), (AllFailed::Hold, none.clone()));
        assert_eq!(
            told("all_failed hold", "all_failed release"),
            (AllFailed::Release, none.clone())
        );
        assert_eq!(
            told("all_failed hold", "priority 255"),
            (AllFailed::Release, none)
        );
        assert_eq!(
            told("", "priority 255\nall_failed hold"),
            (AllFailed::Release, vec!["contradiction"])
        );
        assert_eq!(
            told("", "priority 1\nall_failed hold"),
            (AllFailed::Hold, vec!["contradiction"])
        );
        assert_eq!(
            told("", "all_failed keep"),
            (AllFailed::Release, vec!["bad-value"])
        );
    }

    #[test]
    fn members_of_a_group_must_agree() {
        let instance = |name: &str, vrid: u8, lines: &str| {
            format!(
                "vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id {vrid}\n\
                 virtual_ipaddress {{ 10.0.0.{vrid} }}\n{lines}\n}}\n"
            )
        };
        let group = "vrrp_sync_group G {\ngroup {\nA\nB\n}\n}\n";
        let file = |a: &str, b: &str| {
            let loaded = read(&(instance("A", 1, a) + &instance("B", 2, b) + group));
            let codes = codes(&loaded);
            let settings = loaded.settings.expect("settings");
            let all: Vec<AllFailed> = settings.routers.iter().map(|r| r.all_failed).collect();
            (all, codes)
        };
        let hold = "all_failed hold";
        assert_eq!(file(hold, hold), (vec![AllFailed::Hold; 2], vec![]));
        let release = vec![AllFailed::Release; 2];
        assert_eq!(file(hold, ""), (release, vec!["contradiction"]));
    }
}
