//! Weights and nopreempt: what can move the address and what never will.

use crate::conf::Diagnostic;
use crate::proof::member::{Kind, Member, Tracker};
use crate::proof::place::Findings;
use crate::proof::place::with_entry;
use crate::proof::{Case, Failure, Field};

/// Looks at one virtual router.
pub(super) fn judge(field: &Field<'_>, findings: &mut Findings<'_>) {
    let reach: Vec<Vec<u8>> = field.members.iter().map(Member::reach).collect();
    let mut blocked = vec![false; field.members.len()];
    // The one that serves first: what is blocked there is told with its numbers.
    let mut order: Vec<usize> = (0..field.members.len()).collect();
    order.sort_by_key(|i| !field.holders().contains(i));
    for index in order {
        let member = &field.members[index];
        for at in 0..member.trackers.len() {
            weight(field, &reach, index, at, &mut blocked, findings);
        }
        if field.members.len() == 1 {
            alone(member, findings);
        }
    }
}

/// The priority before and after one tracker fails, while the others are as they may be.
struct Step {
    before: u8,
    after: u8,
    after_sum: i32,
}

fn steps(member: &Member<'_>, at: usize) -> Vec<Step> {
    let Some(tracker) = member.trackers.get(at) else {
        return Vec::new();
    };
    let (well, bad) = tracker.points();
    let mut sums = member.sums(Some(at));
    // All others well comes first.
    sums.reverse();
    sums.into_iter()
        .map(|points| {
            let after = member.with_points(points + bad);
            Step {
                before: member.with_points(points + well).priority.get(),
                after: after.priority.get(),
                after_sum: after.sum,
            }
        })
        .collect()
}

fn weight(
    field: &Field<'_>,
    reach: &[Vec<u8>],
    index: usize,
    at: usize,
    blocked: &mut [bool],
    findings: &mut Findings<'_>,
) {
    let member = &field.members[index];
    let tracker = &member.trackers[at];
    if tracker.weight == 0 || tracker.of.is_some() {
        return;
    }
    if member.settings.priority.is_owner() {
        if !tracker.faults() {
            owner(member, tracker, findings);
        }
        return;
    }
    // A file may hold any number: large enough it faults.
    if tracker.faults() || tracker.kind == Kind::File {
        return;
    }
    let steps = steps(member, at);
    if steps.iter().all(|s| s.before == s.after) {
        clamped(member, tracker, &steps, findings);
        return;
    }
    // A pair of routers matters where ours can hold the address against the other at all.
    let holds = |step: &Step, theirs: u8| theirs <= step.before;
    let moves = |step: &Step, theirs: u8| holds(step, theirs) && theirs > step.after;
    let some = |test: &dyn Fn(&Step, u8) -> bool, other: usize| {
        steps
            .iter()
            .any(|step| reach[other].iter().any(|theirs| test(step, *theirs)))
    };
    let others: Vec<usize> = (0..field.members.len()).filter(|i| *i != index).collect();
    let movers: Vec<usize> = others
        .iter()
        .copied()
        .filter(|o| some(&moves, *o))
        .collect();
    for &mover in &movers {
        if !field.members[mover].preempts() && !std::mem::replace(&mut blocked[mover], true) {
            nopreempt(field, index, at, mover, reach, &steps, findings);
        }
    }
    if movers.is_empty() && others.iter().any(|o| some(&holds, *o)) {
        never(field, index, at, reach, &steps, findings);
    } else if !movers.is_empty() && field.holders() == [index] {
        not_alone(field, index, at, &steps, findings);
    }
}

fn owner(member: &Member<'_>, tracker: &Tracker, findings: &mut Findings<'_>) {
    let (span, entry) = findings.weight(member, tracker);
    let what = format!(
        "weight {} on {} has no effect: priority 255 is the address owner's and is never moved",
        tracker.weight, tracker.name
    );
    let d = Diagnostic::new(findings.severity(), "weight-on-owner", span, what)
        .help("use weight 0, which faults, or a base priority of 254 at most");
    findings.push(member.node, with_entry(d, entry));
}

fn clamped(member: &Member<'_>, tracker: &Tracker, steps: &[Step], findings: &mut Findings<'_>) {
    let (span, entry) = findings.weight(member, tracker);
    let Some(step) = steps.first() else { return };
    let (well, bad) = tracker.points();
    let what = format!(
        "weight {} on {} never changes the priority: the sums {} and {} are both brought to {}",
        tracker.weight,
        tracker.name,
        step.after_sum - bad + well,
        step.after_sum,
        step.before,
    );
    let d = Diagnostic::new(findings.severity(), "weight-clamped", span, what)
        .help("choose base priorities and weights so that the sums stay within 1 to 254");
    findings.push(member.node, with_entry(d, entry));
}

/// A weight that moves the address in no state of any tracker.
fn never(
    field: &Field<'_>,
    index: usize,
    at: usize,
    reach: &[Vec<u8>],
    steps: &[Step],
    findings: &mut Findings<'_>,
) {
    let member = &field.members[index];
    let tracker = &member.trackers[at];
    let Some(step) = steps.first() else { return };
    // The strongest of those it can hold the address against: if they are well, else at their best.
    let rival = (0..field.members.len())
        .filter(|i| *i != index)
        .filter_map(|i| {
            let best = reach[i]
                .iter()
                .rev()
                .find(|theirs| **theirs <= step.before)?;
            Some((*best, i))
        })
        .max_by_key(|(best, i)| (*best, std::cmp::Reverse(*i)));
    let Some((theirs, rival)) = rival else { return };
    let rival = &field.members[rival];
    let them = findings.name(rival).clone();
    let (span, entry) = findings.weight(member, tracker);
    let outcome = if step.after == theirs {
        "a tie moves nothing"
    } else {
        "the address never moves"
    };
    let what = format!(
        "weight {}: when {} the priority goes from {} to {}, but {them} has {theirs}{}: {outcome}",
        tracker.weight,
        tracker.failing(),
        step.before,
        step.after,
        findings.at(rival, &["priority"]),
    );
    let d = Diagnostic::new(findings.severity(), "weight-too-small", span, what)
        .help(remedy(tracker, step, theirs, rival, &them));
    findings.push(member.node, with_entry(d, entry));
}

/// What weight would do, in numbers.
fn remedy(tracker: &Tracker, step: &Step, theirs: u8, rival: &Member<'_>, them: &str) -> String {
    let (_, bad) = tracker.points();
    let fault = "or weight 0, which hands over whatever the priorities are";
    if theirs <= 1 {
        return format!("raise the priority of {them}, {fault}");
    }
    let target = i32::from(theirs) - 1;
    let sign = if tracker.weight < 0 { "-" } else { "" };
    let reverse = if tracker.reverse { " reverse" } else { "" };
    if bad < 0 {
        // The weight is taken off when it fails: so many points must go.
        let points = step.after_sum - bad - target;
        return if points <= 253 {
            format!(
                "use at least weight {sign}{points}{reverse} ({} to {target}), {fault}",
                step.before,
            )
        } else {
            format!("bring the priorities nearer to each other, {fault}")
        };
    }
    // The weight is added while all is well, so what is left when it fails must be lower.
    let gap = step.after_sum - target;
    let same = |t: &&Tracker| {
        (t.kind, &t.name, t.weight, t.reverse)
            == (tracker.kind, &tracker.name, tracker.weight, tracker.reverse)
    };
    match rival.trackers.iter().find(same).map(|t| t.points().0 + gap) {
        Some(points) if points <= 253 => format!(
            "use at least weight {sign}{points}{reverse} on all routers of the group, {fault}"
        ),
        Some(_) | None => format!("lower the base priority here by at least {gap}, {fault}"),
    }
}

/// The tracker of the router that serves: by itself it moves nothing, with others it may.
fn not_alone(
    field: &Field<'_>,
    index: usize,
    at: usize,
    steps: &[Step],
    findings: &mut Findings<'_>,
) {
    let member = &field.members[index];
    let tracker = &member.trackers[at];
    let Some(step) = steps.first() else { return };
    let failing = Failure::Tracker {
        member: index,
        kind: tracker.kind,
        name: tracker.name.clone(),
    };
    let stays = |c: &&Case| c.failure == failing && c.masters == [index];
    let Some(case) = field.cases.iter().find(stays) else {
        return;
    };
    let best = case.priorities.iter().enumerate();
    let best = best
        .filter(|(i, _)| *i != index)
        .filter_map(|(i, p)| Some((p.as_ref()?, i)))
        .max_by_key(|(p, i)| (**p, std::cmp::Reverse(*i)));
    let Some((&theirs, rival)) = best else { return };
    if theirs > step.after {
        // A higher one that does not take over: that is told of at its nopreempt.
        return;
    }
    let rival = &field.members[rival];
    let them = findings.name(rival).clone();
    let (span, entry) = findings.weight(member, tracker);
    let what = format!(
        "weight {}: when only {} the priority goes from {} to {} and {them} has {theirs}{}: the address stays",
        tracker.weight,
        tracker.failing(),
        step.before,
        step.after,
        findings.at(rival, &["priority"]),
    );
    let d = Diagnostic::note("weight-not-alone", span, what).help(format!(
        "it moves the address only together with others; by itself: {}",
        remedy(tracker, step, theirs, rival, &them)
    ));
    findings.push(member.node, with_entry(d, entry));
}

/// A router that would be better but does not take over.
fn nopreempt(
    field: &Field<'_>,
    index: usize,
    at: usize,
    mover: usize,
    reach: &[Vec<u8>],
    steps: &[Step],
    findings: &mut Findings<'_>,
) {
    let (member, mover_is) = (&field.members[index], &field.members[mover]);
    let tracker = &member.trackers[at];
    let example = steps.iter().find_map(|step| {
        let theirs = reach[mover].iter().rev();
        let mut theirs = theirs.filter(|t| **t <= step.before && **t > step.after);
        Some((step, *theirs.next()?))
    });
    let Some((step, theirs)) = example else {
        return;
    };
    let them = findings.name(member).clone();
    let span = findings.keyword(mover_is, &["nopreempt"]);
    let what = format!(
        "nopreempt: when {} on {them}{} it goes from {} to {}, below {theirs} here, but this router does not take over",
        tracker.failing(),
        findings.at(member, &[tracker.kind.list()]),
        step.before,
        step.after,
    );
    let d = Diagnostic::new(findings.severity(), "nopreempt-blocks", span, what).help(format!(
        "remove nopreempt here, or give {} weight 0 on {them}, which faults",
        tracker.name
    ));
    findings.push(mover_is.node, d);
}

/// What one file alone shows.
fn alone(member: &Member<'_>, findings: &mut Findings<'_>) {
    let s = member.settings;
    let weighs = |t: &&Tracker| t.weight != 0 && t.of.is_none() && !s.priority.is_owner();
    let mut weighted = member.trackers.iter().filter(weighs);
    let (Some(tracker), false) = (weighted.next(), s.preempt) else {
        return;
    };
    let what = format!(
        "nopreempt and weights: a router with nopreempt never takes over because another's priority fell; \
         if the peers have it too, {} moves nothing when it fails here",
        tracker.name
    );
    let span = findings.keyword(member, &["nopreempt"]);
    findings.push(
        member.node,
        Diagnostic::note("nopreempt-weight", span, what)
            .help("remove nopreempt on all routers, or use weight 0, which faults"),
    );
}

#[cfg(test)]
mod tests {
    use crate::proof::help::{codes, file, findings, one};

    #[test]
    fn a_weight_that_is_too_small_is_mended_with_numbers() {
        let pair = |weight| [file(weight, "priority 101"), file("-2", "priority 90")];
        assert_eq!(
            one(&pair("-2")),
            "r1 3 Warning weight-too-small: weight -2: when chk fails the priority goes from 101 to 99, but r2 has 90 \
             (r2.conf:14): the address never moves | use at least weight -12 (101 to 89), or weight 0, which hands over \
             whatever the priorities are"
        );
        assert!(one(&pair("-11")).contains("a tie moves nothing | use at least weight -12 "));
        assert_eq!(codes(&pair("-12")), [] as [&str; 0]);
    }

    #[test]
    fn a_weight_that_is_added_must_bridge_the_gap_on_both() {
        let pair = |w| [file(w, "priority 150"), file(w, "priority 100")];
        let said = findings(&pair("20"));
        assert!(said[0].starts_with("r1 3 Warning weight-too-small: weight 20: when chk fails the priority goes from 170 to 150, but r2 has 120"), "{said:?}");
        assert!(
            said[0].contains("| use at least weight 51 on all routers of the group"),
            "{said:?}"
        );
        assert_eq!(codes(&pair("51")), [] as [&str; 0]);
        assert_eq!(codes(&pair("50")), ["r1 weight-too-small"]);
        let one_sided = [file("20", "priority 150"), file("0", "priority 100")];
        let said = findings(&one_sided);
        assert!(
            said[0].contains("| lower the base priority here by at least 51,"),
            "{said:?}"
        );
        let mended = [file("20", "priority 99"), file("0", "priority 100")];
        assert_eq!(codes(&mended), [] as [&str; 0]);
    }

    #[test]
    fn a_reversed_weight_keeps_its_word_in_the_remedy() {
        let pair = |w| [file(w, "priority 101"), file("0", "priority 90")];
        let said = one(&pair("2 reverse"));
        assert!(said.contains("when chk succeeds"), "{said}");
        assert!(
            said.contains("use at least weight 12 reverse (101 to 89)"),
            "{said}"
        );
        assert_eq!(codes(&pair("12 reverse")), [] as [&str; 0]);
    }

    #[test]
    fn several_small_weights_together_may_be_enough() {
        let second = "vrrp_script two {\n script /bin/true\n weight -6\n}\n";
        let lines = "priority 100\n track_script {\n  two\n }";
        let pair = |priority: u8| {
            [
                format!("{second}{}", file("-6", lines)),
                file("0", &format!("priority {priority}")),
            ]
        };
        assert_eq!(
            codes(&pair(90)),
            ["r1 weight-not-alone", "r1 weight-not-alone"]
        );
        let said = findings(&pair(90));
        assert!(
            said[0].contains("Note") && said[0].contains("use at least weight -11 (100 to 89)"),
            "{said:?}"
        );
        assert_eq!(
            codes(&pair(88)),
            ["r1 weight-too-small", "r1 weight-too-small"]
        );
        assert_eq!(codes(&pair(95)), [] as [&str; 0]);
    }

    #[test]
    fn nopreempt_that_blocks_is_told_where_it_stands() {
        let pair = |w| {
            [
                file(w, "priority 101"),
                file("-20", "priority 90\n nopreempt"),
            ]
        };
        let said = one(&pair("-20"));
        assert!(said.starts_with("r2 15 Warning nopreempt-blocks: nopreempt: when chk fails on r1 (r1.conf:11) it goes from 101 to 81, below 90 here"), "{said}");
        assert!(
            said.contains("| remove nopreempt here, or give chk weight 0 on r1"),
            "{said}"
        );
        assert_eq!(codes(&pair("0")), [] as [&str; 0]);
        let said = one(&[file("-20", "priority 90\n nopreempt")]);
        assert!(said.contains("Note nopreempt-weight"), "{said}");
    }

    #[test]
    fn an_owner_and_clamped_sums_are_not_moved() {
        let process = "vrrp_track_process web {\n process nginx\n weight 20\n}\n";
        let owner = file("0", "priority 255\n track_process {\n  web\n }");
        let said = one(&[format!("{process}{owner}")]);
        assert!(
            said.starts_with("r1 3 Note weight-on-owner: weight 20 on web"),
            "{said}"
        );
        let said = one(&[file("20", "priority 254")]);
        assert!(
            said.contains("weight-clamped")
                && said.contains("the sums 274 and 254 are both brought to 254"),
            "{said}"
        );
        let said = one(&[file("-20", "priority 1")]);
        assert!(
            said.contains("the sums 1 and -19 are both brought to 1"),
            "{said}"
        );
    }

    #[test]
    fn a_weight_of_a_sync_group_is_shown_there() {
        let grouped = |priority: u8, weight: i16| {
            let v = file("0", &format!("priority {priority}"))
                .replace(" track_script {\n  chk\n }\n", "");
            let w = v[v.find("vrrp_instance").unwrap_or(0)..]
                .replace("V {", "W {")
                .replace("51", "52")
                .replace("0.9/", "0.10/");
            format!(
                "{v}{w}vrrp_sync_group G {{\n group {{\n  V\n  W\n }}\n track_script {{\n  chk weight {weight}\n }}\n}}\n"
            )
        };
        let said = findings(&[grouped(101, -2), grouped(90, -2)]);
        assert_eq!(said.len(), 2, "one for each member: {said:#?}");
        for line in said {
            assert!(
                line.starts_with("r1 27 Warning weight-too-small: weight -2"),
                "{line}"
            );
            assert!(line.contains("use at least weight -12 "), "{line}");
        }
        assert_eq!(
            codes(&[grouped(101, -12), grouped(90, -2)]),
            [] as [&str; 0]
        );
    }
}
