//! Notes where a file meets a deliberate difference from keepalived (docs/differences.md). What differs
//! for every file alike is not noted.

use super::block::Node;
use super::diag::{Diagnostic, Diags};
use super::keywords::Within;
use super::weights::Placed;
use crate::model::priority::Weight;
use crate::model::settings::Handover;

/// The codes of these notes.
#[cfg(test)]
pub(crate) const CODES: [&str; 4] = ["init-fail", "handover", "notify-queue", "off-means-off"];

/// Notes them all.
pub(super) fn note(nodes: &[Node], routers: &[Placed], diags: &mut Diags) {
    for node in nodes {
        for child in node.children() {
            line(node, child, diags);
        }
    }
    for router in routers {
        handover(router, diags);
    }
}

fn line(block: &Node, node: &Node, diags: &mut Diags) {
    let (Some(row), Some(holder)) = (node.row, block.row) else {
        return;
    };
    let argument = node.args().first().map(|w| &*w.text);
    let off = matches!(argument, Some("off" | "no" | "false"));
    match (row.within, row.name) {
        (Within::Script, "init_fail") => diags.push(
            Diagnostic::note(
                "init-fail",
                node.span(),
                "down until `rise` successes, as the manual says; keepalived ignores init_fail",
            )
            .help("remove it for keepalived's way: the first result decides"),
        ),
        (Within::Instance | Within::SyncGroup, name)
            if row.command && name.starts_with("notify") =>
        {
            let what = match holder.name {
                "vrrp_sync_group" => "a group",
                _ => "an instance",
            };
            diags.push(
                Diagnostic::note(
                    "notify-queue",
                    node.span(),
                    format!(
                        "programs told of {what} run one after the other, each for 30 s at most; keepalived \
                         starts them side by side and without a limit"
                    ),
                )
                .help("what takes longer belongs into a service that the program starts"),
            );
        }
        (Within::Instance, "skip_check_adv_addr") | (Within::Global, "v3_checksum_as_v2")
            if off =>
        {
            diags.push(Diagnostic::note(
                "off-means-off",
                node.line(),
                format!(
                    "{} is off here; keepalived turns it on whatever word follows",
                    row.name
                ),
            ));
        }
        _ => {}
    }
}

/// A fall that hands over: some weight can move the priority of a router that may.
fn handover(router: &Placed, diags: &mut Diags) {
    let Placed {
        settings,
        span,
        lists,
    } = router;
    if settings.handover == Handover::Off || settings.strict || settings.priority.is_owner() {
        return;
    }
    let scripts = settings.tracks.iter().map(|t| (&t.check, t.weight));
    let links = settings
        .track_links
        .iter()
        .map(|t| (&t.interface, t.weight));
    let named = settings.track_files.iter().chain(&settings.track_processes);
    let mut moving = scripts
        .chain(links)
        .filter(|(_, weight)| *weight != Weight::FAULT)
        .map(|(name, _)| name)
        .chain(named.filter(|t| t.weight != 0).map(|t| &t.name));
    let Some(name) = moving.next() else { return };
    diags.push(
        Diagnostic::note(
            "handover",
            lists.span_of(name).unwrap_or(*span),
            "a MASTER that a tracker takes below its peers hands over within their Skew_Time; keepalived's \
             peers wait a whole down interval",
        )
        .help("track_handover off keeps keepalived's pace"),
    );
}

#[cfg(test)]
mod tests {
    use super::super::help::{instance, read};

    fn told(text: &str) -> Vec<&'static str> {
        let codes = read(text).diagnostics.into_iter().map(|d| d.code);
        codes.filter(|c| super::CODES.contains(c)).collect()
    }

    fn with(global: &str, lines: &str) -> Vec<&'static str> {
        let body = instance(&format!("virtual_ipaddress {{ 10.0.0.1/24 }}\n{lines}"));
        told(&format!("global_defs {{\n{global}\n}}\n{body}"))
    }

    #[test]
    fn a_file_that_meets_a_difference_hears_of_it_once() {
        assert!(with("", "priority 9").is_empty());
        assert_eq!(
            told("vrrp_script s {\nscript \"/x\"\ninit_fail\n}\n"),
            ["init-fail"]
        );
        assert_eq!(with("", "notify /x\nnotify_master /y"), ["notify-queue"]);
        assert_eq!(with("v3_checksum_as_v2 off", ""), ["off-means-off"]);
        assert_eq!(with("", "skip_check_adv_addr no"), ["off-means-off"]);
        assert!(with("v3_checksum_as_v2", "skip_check_adv_addr on").is_empty());
    }

    #[test]
    fn only_a_weight_that_moves_something_hands_over() {
        let track = "track_interface {\neth1 weight -5\n}";
        assert_eq!(with("", track), ["handover"]);
        assert!(with("", "track_interface {\neth1\n}").is_empty());
        assert!(with("", &format!("{track}\npriority 255")).is_empty());
        assert!(with("vrrp_strict", track).is_empty());
        assert!(with("track_handover off", track).is_empty());
        assert_eq!(
            with(
                "track_handover off",
                &format!("{track}\ntrack_handover always")
            ),
            ["handover"]
        );
    }
}
