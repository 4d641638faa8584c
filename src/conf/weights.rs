//! Which weights count: what sync groups and priority 255 take from trackers, and how the trackers of
//! a group become those of its members (keepalived.conf(5) vrrp_sync_group, track_*).

use super::diag::{Diagnostic, Diags};
use super::source::Span;
use super::track::{Entry, Lists, Resolved};
use crate::model::priority::Weight;
use crate::model::settings::{LinkTrackSettings, RouterSettings};
use std::sync::Arc;

/// A settled instance, and where things stand.
pub(super) struct Placed {
    /// Its settings, without what its group adds.
    pub(super) settings: RouterSettings,
    /// Where its name stands.
    pub(super) span: Span,
    /// Its tracking lists as written.
    pub(super) lists: Lists,
}

/// What a group gives to its members.
pub(super) struct Shared<'a> {
    /// The group's name.
    pub(super) name: &'a str,
    /// What it tracks.
    pub(super) tracked: Resolved,
    /// Its tracking lists as written.
    pub(super) lists: &'a Lists,
    /// `sync_group_tracking_weight`: members may have weights of their own.
    pub(super) weights: bool,
}

/// A group with an owner cannot weigh: the owner's priority does not move.
pub(super) fn unweight(group: &mut Shared<'_>, owner: &Placed, diags: &mut Diags) {
    let Shared { tracked, lists, .. } = group;
    let mut say = |entries: &[Entry], name: &str, span: Span| {
        let what = format!(
            "the weight of {name} does not count, because {} of this group has priority 255; its failure is a fault",
            owner.settings.name
        );
        diags.push(
            Diagnostic::warning("dead-weight", span_of(entries, name, span), what).help(
                "remove the weight if a fault is meant, else give the member another priority",
            ),
        );
    };
    for t in tracked
        .scripts
        .iter_mut()
        .filter(|t| t.weight != Weight::FAULT)
    {
        say(&lists.scripts, &t.check, owner.span);
        t.weight = Weight::FAULT;
    }
    for t in tracked
        .links
        .iter_mut()
        .filter(|t| t.weight != Weight::FAULT)
    {
        say(&lists.links, &t.interface, owner.span);
        t.weight = Weight::FAULT;
    }
    for t in tracked.files.iter_mut().filter(|t| t.weight != 0) {
        say(&lists.files, &t.name, owner.span);
        t.weight = 0;
    }
    for t in tracked.processes.iter_mut().filter(|t| t.weight != 0) {
        say(&lists.processes, &t.name, owner.span);
        t.weight = 0;
    }
}

fn span_of(entries: &[Entry], name: &str, or: Span) -> Span {
    entries
        .iter()
        .find(|e| *e.name == *name)
        .map_or(or, |e| e.span)
}

/// Takes away weights that cannot count: of members of a group that does not allow them, and of
/// owners. What becomes of each kind is keepalived's choice.
pub(super) fn strip(router: &mut Placed, group: Option<&Shared<'_>>, diags: &mut Diags) {
    let group = group.filter(|g| !g.weights).map(|g| g.name);
    let Placed {
        settings,
        span,
        lists,
    } = router;
    if group.is_none() && !settings.priority.is_owner() {
        return;
    }
    let instance = settings.name.clone();
    let mut say = |entries: &[Entry], list: &str, name: &str, weight: i16, fate: &str| {
        let why = match group {
            Some(group) => format!("weights of members of {group} do not count"),
            None => format!("{instance} has priority 255, which no weight moves"),
        };
        let help = match group {
            Some(_) => format!(
                "give it to the group: {list} {{ {name} weight {weight} }}, or add sync_group_tracking_weight to it"
            ),
            None => "remove the weight if a fault is meant, else give another priority".to_owned(),
        };
        diags.push(
            Diagnostic::warning(
                "dead-weight",
                span_of(entries, name, *span),
                format!("{why}: {name} {fate}"),
            )
            .help(help),
        );
    };
    settings.tracks.retain(|t| {
        let keep = t.weight == Weight::FAULT;
        if !keep {
            let fate = "is not tracked";
            say(
                &lists.scripts,
                "track_script",
                &t.check,
                t.weight.get(),
                fate,
            );
        }
        keep
    });
    settings.track_links.retain_mut(|t| {
        if t.weight == Weight::FAULT {
            return true;
        }
        let fate = match group {
            Some(_) => "is tracked without weight",
            None => "is not tracked",
        };
        let name = &t.interface;
        say(&lists.links, "track_interface", name, t.weight.get(), fate);
        t.weight = Weight::FAULT;
        group.is_some()
    });
    settings.track_files.retain_mut(|t| match t.weight {
        0 => true,
        // 1 is the default, so it need not be what was asked for.
        1 => {
            let fate = "is tracked without weight, so that any value but 0 is a fault";
            say(&lists.files, "track_file", &t.name, 1, fate);
            t.weight = 0;
            true
        }
        weight => {
            say(
                &lists.files,
                "track_file",
                &t.name,
                weight,
                "is not tracked",
            );
            false
        }
    });
}

/// Adds the group's trackers to a member. What it tracks itself takes the group's weight, unless its
/// own is 0.
pub(super) fn join(router: &mut Placed, group: &Shared<'_>, diags: &mut Diags) {
    let Placed {
        settings,
        span,
        lists,
    } = router;
    let mut both = |entries: &[Entry], name: &str, kept: bool| {
        let whose = if kept {
            "the member's weight 0"
        } else {
            "the group's weight"
        };
        let what = format!("{name} is tracked by {} too; {whose} counts", group.name);
        diags.push(
            Diagnostic::note("tracked-twice", span_of(entries, name, *span), what)
                .help("track it in the group alone"),
        );
    };
    for track in &group.tracked.scripts {
        match settings.tracks.iter_mut().find(|t| t.check == track.check) {
            Some(own) => {
                both(&lists.scripts, &own.check, own.weight == Weight::FAULT);
                if own.weight != Weight::FAULT {
                    own.clone_from(track);
                }
            }
            None => settings.tracks.push(track.clone()),
        }
    }
    for (own, shared, entries) in [
        (
            &mut settings.track_files,
            &group.tracked.files,
            &lists.files,
        ),
        (
            &mut settings.track_processes,
            &group.tracked.processes,
            &lists.processes,
        ),
    ] {
        for track in shared {
            match own.iter_mut().find(|t| t.name == track.name) {
                Some(own) => {
                    both(entries, &own.name, own.weight == 0);
                    if own.weight != 0 {
                        own.clone_from(track);
                    }
                }
                None => own.push(track.clone()),
            }
        }
    }
    for session in &group.tracked.sessions {
        if !settings.track_sessions.contains(session) {
            settings.track_sessions.push(session.clone());
        }
    }
    join_links(router, group, diags);
}

/// The same for interfaces; those that are tracked anyway take no weight.
fn join_links(router: &mut Placed, group: &Shared<'_>, diags: &mut Diags) {
    let Placed {
        settings,
        span,
        lists,
    } = router;
    for track in &group.tracked.links {
        let name = &track.interface;
        let written = lists.links.iter().any(|e| e.name == *name);
        let own = *name == settings.interface && !settings.dont_track_primary;
        let carries = carries(settings, name);
        let mut listed = settings.track_links.iter_mut();
        let listed = listed.find(|t| t.interface == *name);
        if own || written {
            let kept = listed.as_ref().is_none_or(|t| t.weight == Weight::FAULT);
            let whose = if kept {
                "that counts"
            } else {
                "the group's weight counts"
            };
            let how = if own {
                "as its own interface"
            } else {
                "in a list of its own"
            };
            let what = format!("{} tracks {name} already, {how}; {whose}", settings.name);
            let at = span_of(&group.lists.links, name, *span);
            diags.push(
                Diagnostic::warning("tracked-twice", at, what)
                    .help("track it in one of the two places"),
            );
        }
        match listed {
            Some(own) if own.weight != Weight::FAULT => own.clone_from(track),
            Some(_) => {}
            None if own || carries => {}
            None => settings.track_links.push(track.clone()),
        }
    }
}

/// Tracks an interface without weight, unless it is anyway; the weight it had, if that goes.
pub(super) fn track_without_weight(
    settings: &mut RouterSettings,
    interface: &Arc<str>,
) -> Option<Weight> {
    let own = settings.interface == *interface && !settings.dont_track_primary;
    if own || carries(settings, interface) {
        return None;
    }
    let plain = LinkTrackSettings {
        interface: interface.clone(),
        weight: Weight::FAULT,
        reverse: false,
    };
    let links = &mut settings.track_links;
    let Some(listed) = links.iter_mut().find(|t| t.interface == *interface) else {
        links.push(plain);
        return None;
    };
    let before = std::mem::replace(listed, plain);
    (before.weight != Weight::FAULT).then_some(before.weight)
}

/// Whether addresses are on an interface, which is tracked for that.
fn carries(settings: &RouterSettings, name: &str) -> bool {
    settings
        .installed()
        .any(|a| !a.no_track && a.dev.as_deref() == Some(name))
}

/// The instance's own interface is tracked anyway; a line for it does not count.
pub(super) fn drop_own(router: &mut Placed, diags: &mut Diags) {
    let Placed {
        settings,
        span,
        lists,
    } = router;
    let own = settings.interface.clone();
    settings.track_links.retain(|link| {
        if link.interface == own {
            let what = format!("{own} is the instance's own interface; this line does not count");
            let at = span_of(&lists.links, &own, *span);
            diags.push(Diagnostic::warning("own-interface", at, what).help(
                "it is tracked without weight anyway, unless dont_track_primary says not to",
            ));
        }
        link.interface != own
    });
}

/// Interfaces that addresses are on are tracked anyway, without weight, and take none from the list.
/// A line that turns a fault around (`weight 0 reverse`) counts, and in place of that.
pub(super) fn drop_carriers(router: &mut Placed, diags: &mut Diags) {
    let Placed {
        settings,
        span,
        lists,
    } = router;
    let links = std::mem::take(&mut settings.track_links);
    let (under, kept): (Vec<_>, Vec<_>) = links
        .into_iter()
        .partition(|link| carries(settings, &link.interface) && !link.is_fault_when_up());
    settings.track_links = kept;
    for link in under {
        if link.weight != Weight::FAULT {
            let name = &link.interface;
            let what = format!(
                "virtual addresses are on {name}, so it is tracked without weight; this weight does not count"
            );
            diags.push(
                Diagnostic::note(
                    "implied-interface",
                    span_of(&lists.links, name, *span),
                    what,
                )
                .help("write no_track behind these addresses if the weight is meant"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::group::help::{AB, scripts, settings};
    use super::*;

    #[test]
    fn the_groups_weight_replaces_a_members_unless_that_is_0() {
        let group = "group { A B }\nsync_group_tracking_weight\ntrack_script {\ns weight -6\n}";
        let (s, told) = settings(
            "track_script {\ns weight -20 reverse\n}",
            "track_script {\ns weight 0\n}",
            group,
        );
        assert_eq!(told, ["tracked-twice", "tracked-twice"]);
        assert_eq!(scripts(&s, 0), [("s".to_owned(), -6)]);
        assert!(!s.routers[0].tracks[0].reverse);
        assert_eq!(scripts(&s, 1), [("s".to_owned(), 0)]);
    }

    #[test]
    fn weights_of_members_do_not_count_unless_the_group_says_so() {
        let lists = "track_script {\ns weight -20\nt\n}\ntrack_interface {\neth1 weight 5\neth2\n}\n\
                     track_file {\nf\n}\ntrack_process {\np\n}";
        let (s, told) = settings(lists, "", AB);
        assert_eq!(told, ["dead-weight"; 3]);
        assert_eq!(scripts(&s, 0), [("t".to_owned(), 0)]);
        let a = &s.routers[0];
        assert!(a.track_links.iter().all(|l| l.weight == Weight::FAULT));
        assert_eq!(a.track_links.len(), 2);
        assert_eq!(a.track_files[0].weight, 0);
        assert_eq!(
            a.track_processes[0].weight, 3,
            "keepalived lets processes be"
        );
        let (s, told) = settings("track_file {\nf weight 7\n}", "", AB);
        assert_eq!(told, ["dead-weight"]);
        assert!(s.routers[0].track_files.is_empty());
        for word in ["sync_group_tracking_weight", "global_tracking"] {
            let (s, told) = settings(lists, "", &format!("{AB}\n{word}"));
            assert_eq!(scripts(&s, 0)[0], ("s".to_owned(), -20));
            assert_eq!(told.is_empty(), word != "global_tracking", "{told:?}");
        }
    }

    #[test]
    fn an_owner_is_moved_by_no_weight_in_a_group_or_alone() {
        let lists = "track_script {\ns weight -20\n}\ntrack_interface {\neth1 weight 5\n}";
        let owner = format!("priority 255\n{lists}");
        let (s, told) = settings(&owner, "", "group { B }");
        assert_eq!(told, ["dead-weight", "dead-weight", "lone-member"]);
        assert!(s.routers[0].tracks.is_empty() && s.routers[0].track_links.is_empty());
        let weighed = "group { A B }\nsync_group_tracking_weight";
        let (s, _) = settings(&owner, lists, weighed);
        assert!(s.routers[0].tracks.is_empty() && s.routers[0].track_links.is_empty());
        assert_eq!(scripts(&s, 1), [("s".to_owned(), -20)]);
        let (s, _) = settings(&owner, "", AB);
        assert_eq!(s.routers[0].track_links[0].weight, Weight::FAULT);
        let (s, told) = settings("priority 255", "priority 255", &format!("{AB}\n{lists}"));
        assert_eq!(told, ["dead-weight", "dead-weight"]);
        assert_eq!(scripts(&s, 1), [("s".to_owned(), 0)]);
        assert_eq!(s.routers[1].track_links[0].weight, Weight::FAULT);
    }

    #[test]
    fn an_interface_that_is_tracked_anyway_takes_no_weight_from_the_group() {
        let group = "group { A B }\ntrack_interface {\neth0 weight 9\n}";
        let (s, told) = settings("", "dont_track_primary", group);
        assert_eq!(told, ["tracked-twice"]);
        assert!(s.routers[0].track_links.is_empty());
        assert_eq!(s.routers[1].track_links[0].weight.get(), 9);
    }

    #[test]
    fn a_fault_turned_around_counts_though_addresses_are_on_the_interface() {
        let lines = |words| {
            format!(
                "virtual_ipaddress_excluded {{\n10.7.7.7 dev eth1\n}}\ntrack_interface {{\neth1 {words}\n}}"
            )
        };
        let (s, _) = settings(&lines("weight 0 reverse"), "", "group { B }");
        assert!(s.routers[0].track_links[0].is_fault_when_up());
        let (s, _) = settings(&lines("weight 9 reverse"), "", "group { B }");
        assert!(s.routers[0].track_links.is_empty());
    }

    #[test]
    fn an_interface_that_addresses_are_on_takes_no_weight() {
        let lines =
            "virtual_ipaddress_excluded { 10.7.7.7 dev eth1 }\ntrack_interface {\neth1 weight 9\n}";
        let (s, told) = settings(lines, "", "group { B }");
        assert_eq!(told, ["implied-interface", "lone-member"]);
        assert!(s.routers[0].track_links.is_empty());
        let lines = lines.replace("dev eth1 }", "dev eth1 no_track }");
        let (s, _) = settings(&lines, "", "group { B }");
        assert_eq!(s.routers[0].track_links[0].weight.get(), 9);
    }
}
