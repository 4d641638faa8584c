//! The proof as aligned text.

use crate::proof::{Case, Group, Proof};
use std::fmt::Write as _;

/// Nobody serves.
const NOBODY: &str = "nobody";

pub(super) fn show(proof: &Proof) -> String {
    let mut out = String::new();
    for group in &proof.groups {
        if !out.is_empty() {
            out.push('\n');
        }
        head(group, proof, &mut out);
        reach(group, proof, &mut out);
        if let Some(why) = group.unproved {
            let _ = writeln!(out, "  {why}");
            continue;
        }
        out.push('\n');
        cases(group, proof, &mut out);
    }
    out
}

fn head(group: &Group, proof: &Proof, out: &mut String) {
    let mut names: Vec<&str> = group.members.iter().map(|m| &*m.instance).collect();
    names.dedup();
    let unicast = if group.unicast { ", unicast" } else { "" };
    let of = match proof.nodes.len() {
        1 => String::new(),
        n if n == group.members.len() => format!(" on {n} routers"),
        n => format!(" on {} of {n} routers", group.members.len()),
    };
    let _ = writeln!(
        out,
        "{}: VRID {} {}, version {}{unicast}{of}",
        names.join(" / "),
        group.vrid,
        group.family,
        group.version.wire(),
    );
}

fn reach(group: &Group, proof: &Proof, out: &mut String) {
    let mut rows = vec![["router", "interface", "base", "reach", ""].map(str::to_owned)];
    for member in &group.members {
        let range = if member.lowest == member.highest {
            member.highest.to_string()
        } else {
            format!("{}..{}", member.lowest, member.highest)
        };
        let mut remarks = Vec::new();
        let clamped = |sum: i32, is: u8| sum != i32::from(is);
        if clamped(member.lowest_sum, member.lowest) || clamped(member.highest_sum, member.highest)
        {
            remarks.push(format!(
                "sums {}..{} brought into range",
                member.lowest_sum, member.highest_sum
            ));
        }
        if member.base == 255 {
            remarks.push("owner".to_owned());
        }
        if !member.preempts {
            remarks.push("nopreempt".to_owned());
        }
        rows.push([
            proof.nodes[member.node].to_string(),
            member.interface.to_string(),
            member.base.to_string(),
            range,
            remarks.join(", "),
        ]);
    }
    write(&rows, &[false, false, true, true, false], out);
}

fn cases(group: &Group, proof: &Proof, out: &mut String) {
    let name = |member: usize| proof.nodes[group.members[member].node].to_string();
    let single = group.members.len() == 1;
    let mut head = vec!["when".to_owned()];
    head.extend((0..group.members.len()).map(name));
    head.push(if single { "then" } else { "master" }.to_owned());
    let mut rows = vec![head];
    for case in &group.cases {
        let mut row = vec![case.text.clone()];
        row.extend(case.priorities.iter().map(|p| match p {
            Some(priority) => priority.to_string(),
            None => "-".to_owned(),
        }));
        row.push(if single {
            alone(case)
        } else if case.unsettled {
            "not settled".to_owned()
        } else if case.masters.is_empty() {
            NOBODY.to_owned()
        } else {
            let names: Vec<String> = case.masters.iter().map(|m| name(*m)).collect();
            names.join(" or ")
        });
        rows.push(row);
    }
    let mut right = vec![true; group.members.len() + 2];
    right[0] = false;
    right[group.members.len() + 1] = false;
    write(&rows, &right, out);
}

/// What one file says of a group it does not know.
fn alone(case: &Case) -> String {
    match case.priorities.first().copied().flatten() {
        None => "any other router serves".to_owned(),
        Some(254..) => "no other router can be higher".to_owned(),
        Some(priority) => format!(
            "serves unless a peer has {} or more",
            u16::from(priority) + 1
        ),
    }
}

/// Rows in columns, two spaces between them.
fn write<R: AsRef<[String]>>(rows: &[R], right: &[bool], out: &mut String) {
    let mut widths = vec![0; right.len()];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row.as_ref()) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in rows {
        let mut line = String::new();
        for ((cell, width), right) in row.as_ref().iter().zip(&widths).zip(right) {
            let pad = " ".repeat(width - cell.chars().count());
            line.push_str("  ");
            if *right {
                line.push_str(&pad);
                line.push_str(cell);
            } else {
                line.push_str(cell);
                line.push_str(&pad);
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}
