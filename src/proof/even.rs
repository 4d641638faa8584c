//! Ties, near ties, and what fails everywhere at once.

use crate::conf::Diagnostic;
use crate::model::settings::AllFailed;
use crate::proof::contest::{Entrant, NOISE, skew_apart};
use crate::proof::member::{Kind, Member, Tracker};
use crate::proof::place::{Findings, with_entry};
use crate::proof::{Failure, Field};

/// Looks at one virtual router, if its cases are known.
pub(super) fn judge(field: &Field<'_>, findings: &mut Findings<'_>) {
    if field.cases.is_empty() {
        return;
    }
    ties(field, findings);
    close(field, findings);
    nobody(field, findings);
}

/// Equal priorities at the top of a case: chance decides.
fn ties(field: &Field<'_>, findings: &mut Findings<'_>) {
    let mut told: Vec<(usize, usize)> = Vec::new();
    for case in &field.cases {
        let equals = |a: usize, b: usize| case.priorities[a] == case.priorities[b];
        let pair = case.masters.windows(2).find(|w| equals(w[0], w[1]));
        let Some(&[a, b]) = pair else { continue };
        if told.contains(&(a, b)) {
            continue;
        }
        told.push((a, b));
        let (first, second) = (&field.members[a], &field.members[b]);
        let Some(priority) = case.priorities[b] else {
            continue;
        };
        let when = if case.failure == Failure::Nothing {
            String::new()
        } else {
            format!(" when {}", case.text)
        };
        let clamp = |m: &Member<'_>| {
            let sum = m.standing(|_| false).sum;
            (!m.settings.priority.is_owner() && !(1..=254).contains(&sum)).then_some(sum)
        };
        let brought = match (clamp(first), clamp(second)) {
            (None, None) => String::new(),
            (a, b) => {
                let sums: Vec<String> = [a, b].iter().flatten().map(i32::to_string).collect();
                format!(" (brought into range from {})", sums.join(" and "))
            }
        };
        let what = format!(
            "a tie{when}: {priority} here and on {}{}{brought}; which of them serves is decided by who speaks first, \
             then by the higher address",
            findings.name(first),
            findings.at(first, &["priority"]),
        );
        let span = findings.keyword(second, &["priority"]);
        let d = Diagnostic::new(findings.severity(), "tie", span, what)
            .help("give each router a priority of its own, also with its weights counted");
        findings.push(second.node, d);
    }
    let healthy = field.cases.first();
    let equal_base = |a: usize, b: usize| {
        field.members[a].settings.priority == field.members[b].settings.priority
            && healthy.is_some_and(|c| c.priorities[a] != c.priorities[b])
            && !told.contains(&(a, b))
    };
    for b in 1..field.members.len() {
        let Some(a) = (0..b).find(|a| equal_base(*a, b)) else {
            continue;
        };
        let (first, second) = (&field.members[a], &field.members[b]);
        let what = format!(
            "the same base priority {} as on {}{}: until the first results of what is tracked they tie",
            second.settings.priority,
            findings.name(first),
            findings.at(first, &["priority"]),
        );
        let span = findings.keyword(second, &["priority"]);
        findings.push(
            second.node,
            Diagnostic::note("equal-base", span, what)
                .help("give each router a base priority of its own"),
        );
    }
}

/// Two backups whose timers run out almost together.
fn close(field: &Field<'_>, findings: &mut Findings<'_>) {
    let entrants: Vec<Entrant> = field
        .members
        .iter()
        .map(|m| Entrant::new(m, &[], &|_| false))
        .collect();
    let mut order: Vec<usize> = (0..entrants.len()).filter(|i| entrants[*i].able).collect();
    order.sort_by_key(|i| std::cmp::Reverse(entrants[*i].priority()));
    for pair in order.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        let (x, y) = (&entrants[a], &entrants[b]);
        let apart = skew_apart(x, y);
        if x.priority() == y.priority() || apart >= NOISE {
            continue;
        }
        let (first, second) = (&field.members[a], &field.members[b]);
        let gap = u128::from(x.priority().get() - y.priority().get());
        let needed = (gap * NOISE.as_nanos()).div_ceil(apart.as_nanos().max(1));
        let help = if needed < 254 {
            format!("set the priorities at least {needed} apart, or use a longer advert_int")
        } else {
            "use a longer advert_int".to_owned()
        };
        let what = format!(
            "priority {} here and {} on {}{}: with this advert_int their timers run out only {} µs apart, so both may \
             claim the address when it is free",
            y.priority(),
            x.priority(),
            findings.name(first),
            findings.at(first, &["priority"]),
            apart.as_micros(),
        );
        let span = findings.keyword(second, &["advert_int", "priority"]);
        findings.push(
            second.node,
            Diagnostic::note("skew-too-small", span, what).help(help),
        );
    }
}

/// Something that fails everywhere at once and leaves no router.
fn nobody(field: &Field<'_>, findings: &mut Findings<'_>) {
    if field.members.len() < 2 {
        return;
    }
    let faulting = |member: &Member<'_>| {
        let faults = |t: &&Tracker| t.weight == 0 && t.kind != Kind::Interface && t.of.is_none();
        let list: Vec<Tracker> = member.trackers.iter().filter(faults).cloned().collect();
        list
    };
    let lists: Vec<Vec<Tracker>> = field.members.iter().map(faulting).collect();
    // One that holds serves although it failed.
    let holds = |member: &Member<'_>| member.settings.all_failed == AllFailed::Hold;
    if lists.iter().any(Vec::is_empty) || field.members.iter().any(holds) {
        return;
    }
    // The same name on all nodes is most likely the same question.
    let everywhere = |t: &&Tracker| {
        lists
            .iter()
            .all(|list| list.iter().any(|o| (o.kind, &o.name) == (t.kind, &t.name)))
    };
    let shared = lists[0].iter().find(everywhere);
    let Some(tracker) = shared else { return };
    let member = &field.members[0];
    let (span, entry) = findings.weight(member, tracker);
    let what = format!(
        "weight 0 on all routers: when {} everywhere at once, nobody serves",
        tracker.failing()
    );
    let healthy = field
        .cases
        .first()
        .map(|c| &c.priorities[..])
        .unwrap_or(&[]);
    let known = || healthy.iter().flatten();
    let help = match (known().max(), known().min()) {
        (Some(most), Some(least)) if most - least < 253 => format!(
            "if a bad router is better than none, write all_failed hold, or use weight -{} on all of them",
            most - least + 1
        ),
        _ => "if a bad router is better than none, write all_failed hold, or use a negative weight on all of them".to_owned(),
    };
    let d = Diagnostic::note("nobody-left", span, what).help(help);
    findings.push(member.node, with_entry(d, entry));
}

#[cfg(test)]
mod tests {
    use crate::proof::help::{codes, file, findings, one};

    #[test]
    fn ties_are_told_before_and_after_a_failure() {
        let f = |p: u8, w: &str| file(w, &format!("priority {p}"));
        let said = one(&[f(100, "-20"), f(100, "-20")]);
        assert!(
            said.starts_with("r2 14 Warning tie: a tie: 100 here and on r1 (r1.conf:14)"),
            "{said}"
        );
        let said = findings(&[f(150, "-200"), f(100, "-20"), f(100, "-20")]);
        assert!(
            said[0].contains("r3 14 Warning tie: a tie when r1: chk fails: 100 here and on r2"),
            "{said:#?}"
        );
        assert_eq!(said.len(), 1, "{said:#?}");
        // Both are brought to 254.
        let said = findings(&[f(200, "100"), f(180, "100")]);
        assert!(
            said.iter().any(|s| s
                .contains("254 here and on r1 (r1.conf:14) (brought into range from 300 and 280)")),
            "{said:#?}"
        );
        let said = codes(&[f(100, "10"), f(100, "-10")]);
        assert_eq!(said, ["r1 weight-too-small", "r2 equal-base"]);
    }

    #[test]
    fn a_check_that_faults_everywhere_leaves_nobody() {
        let pair = |a: &str, b: &str| [file(a, "priority 101"), file(b, "priority 90")];
        let said = one(&pair("0", "0"));
        assert!(
            said.starts_with(
                "r1 3 Note nobody-left: weight 0 on all routers: when chk fails everywhere at once"
            ),
            "{said}"
        );
        assert!(said.ends_with("use weight -12 on all of them"), "{said}");
        assert!(said.contains("write all_failed hold"), "{said}");
        let held = |priority: &str| file("0", &format!("priority {priority}\n all_failed hold"));
        assert_eq!(codes(&[held("101"), held("90")]), [] as [&str; 0]);
        assert_eq!(codes(&pair("-12", "-12")), [] as [&str; 0]);
        assert_eq!(codes(&pair("0", "-12")), [] as [&str; 0]);
    }

    #[test]
    fn short_intervals_need_wider_gaps() {
        let f = |p: u8| file("0", &format!("priority {p}\n version 3\n advert_int 0.01"));
        let all = findings(&[f(101), f(100)]);
        let said = all.iter().find(|s| s.contains("skew-too-small"));
        let said = said.expect("a finding");
        assert!(
            said.contains("r2 16 Note") && said.contains("only 39 µs apart"),
            "{said}"
        );
        assert!(
            said.contains("set the priorities at least 26 apart"),
            "{said}"
        );
        let far = codes(&[f(101 + 26), f(100)]);
        assert!(!far.contains(&"r2 skew-too-small".to_owned()), "{far:?}");
    }
}
