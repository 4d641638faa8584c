//! What holds for every keyword alike: known or not, how many words, what becomes of it here.

use super::aside;
use super::block::Node;
use super::diag::{Diagnostic, Diags};
use super::keywords::{self, Keyword, MANY, Status, Within};
use super::source::Span;
use std::collections::HashMap;

/// What the audit found besides diagnostics.
#[derive(Default)]
pub(super) struct Audit {
    /// Where load balancing is configured first, and whether servers are.
    lvs: Option<Span>,
    /// A `virtual_server` or its like is there.
    pub(super) servers: bool,
    /// Near misses looked up already; the same typo often stands in every instance.
    near: HashMap<(Within, String), Option<&'static str>>,
}

impl Audit {
    /// Looks at the whole tree.
    pub(super) fn run(nodes: &[Node], diags: &mut Diags) -> Self {
        let mut this = Self::default();
        this.level(nodes, Within::Root, false, diags);
        if let Some(span) = this.lvs {
            diags.push(
                Diagnostic::note(
                    "lvs",
                    span,
                    "load balancing (LVS) is not handled here; its blocks and keywords are skipped",
                )
                .help("run `keepalived -C` with this file beside this program"),
            );
        }
        this
    }

    /// `quiet`: the block around is not acted on and was named already.
    fn level(&mut self, nodes: &[Node], within: Within, quiet: bool, diags: &mut Diags) {
        if within.is_list() {
            return;
        }
        let mut first: HashMap<&str, Span> = HashMap::new();
        for node in nodes {
            let Some(row) = node.row else {
                self.unknown(node, within, diags);
                continue;
            };
            words(node, row, diags);
            aside::check(node, row, diags);
            let once = row.block.is_none()
                && !row.command
                && matches!(within, Within::Instance | Within::Script);
            if once && let Some(before) = first.insert(row.name, node.line()) {
                diags.push(
                    Diagnostic::note(
                        "repeated",
                        node.span(),
                        format!("{} is given twice in this block", row.name),
                    )
                    .related(before, "first here"),
                );
            }
            if !quiet {
                self.status(node, row, diags);
            }
            if let Some(block) = &node.block {
                let quiet = quiet || !matches!(row.status, Status::Acted);
                self.level(&block.children, block.within, quiet, diags);
            }
        }
    }

    fn unknown(&mut self, node: &Node, within: Within, diags: &mut Diags) {
        let name = node.name();
        let shown: String = name.chars().take(64).collect();
        let what = format!("unknown keyword `{shown}` in {}", within.name());
        let d = if node.block.is_some() {
            Diagnostic::error(
                "unknown-keyword",
                node.span(),
                format!("{what}; its block is not read"),
            )
        } else {
            Diagnostic::warning("unknown-keyword", node.span(), what)
        };
        let near = self.nearest(within, name);
        diags.push(match (near, keywords::elsewhere(name)) {
            (Some(near), _) => d.help(format!("did you mean `{near}`?")),
            (None, Some(place)) => {
                let inside = if place == Within::Root { "at" } else { "in" };
                d.help(format!("this keyword stands {inside} {}", place.name()))
            }
            (None, None) => d,
        });
    }

    fn nearest(&mut self, within: Within, name: &str) -> Option<&'static str> {
        if name.len() > 64 || self.near.len() > 1000 {
            return None;
        }
        *self
            .near
            .entry((within, name.to_owned()))
            .or_insert_with(|| keywords::nearest(within, name))
    }

    fn status(&mut self, node: &Node, row: &'static Keyword, diags: &mut Diags) {
        match row.status {
            Status::Acted | Status::AsBlock => {}
            Status::NoEffect(why) => diags.push(Diagnostic::note(
                "no-effect",
                node.span(),
                format!("{} needs nothing done: {why}", row.name),
            )),
            Status::NotYet { .. } | Status::Refused(_) => {
                diags.push(unacted(row, node.span()));
            }
            Status::Lvs => {
                self.lvs.get_or_insert_with(|| node.span());
                self.servers |= row.block.is_some();
            }
        }
    }
}

/// What to say of a keyword that is not acted on.
pub(super) fn unacted(row: &'static Keyword, span: Span) -> Diagnostic {
    let name = row.name;
    match row.status {
        Status::Refused(why) => Diagnostic::refusal(
            "refused",
            span,
            format!("{name} is not acted on yet and would be unsafe to neglect: {why}"),
        )
        .help("keep keepalived for this file until it is acted on, or take the keyword out"),
        Status::NotYet { matters: true } => {
            let what =
                format!("{name} is not acted on yet; it could change who is master or what is on the wire");
            let d = Diagnostic::warning("not-acted-on", span, what);
            match name {
                "bfd_instance" | "track_bfd" => {
                    d.help("no session is set up, and no instance is held back for want of one")
                }
                _ => d,
            }
        }
        Status::NotYet { matters: false }
        | Status::Acted
        | Status::AsBlock
        | Status::NoEffect(_)
        | Status::Lvs => Diagnostic::note(
            "not-acted-on",
            span,
            format!("{name} is not acted on yet; it changes neither who is master nor what is on the wire"),
        ),
    }
    .unacted(name)
}

fn words(node: &Node, row: &Keyword, diags: &mut Diags) {
    let have = node.args().len();
    if have < usize::from(row.min) {
        let wants = match (row.block.is_some(), row.min) {
            (true, _) => "a name",
            (false, 1) => "a word",
            (false, _) => "more words",
        };
        let what = format!("{} needs {wants} after it", row.name);
        // keepalived goes on without these.
        let skipped = matches!(
            row.name,
            "vrrp_instance" | "vrrp_sync_group" | "track_group"
        );
        diags.push(if skipped {
            Diagnostic::error("missing-word", node.line(), what)
                .help("the block is not read without one")
        } else {
            Diagnostic::refusal("missing-word", node.line(), what)
                .help("keepalived ends with status 2 here; give the value or remove the line")
        });
    }
    if row.max != MANY && !row.command && have > usize::from(row.max) {
        let surplus = node.args().get(usize::from(row.max)..).unwrap_or(&[]);
        if let (Some(from), Some(to)) = (surplus.first(), surplus.last()) {
            diags.push(Diagnostic::note(
                "extra-words",
                from.span.to(to.span),
                format!("{} takes no more words; what follows is not read", row.name),
            ));
        }
    }
}
