//! Items to a tree of blocks. Braces are matched here, and here keepalived's accidents with them are
//! mended: an unknown block keeps its own `}`, a second directive on a line is not lost.

use super::diag::{Diagnostic, Diags};
use super::keywords::{self, Keyword, MANY, Within};
use super::lexer::{Item, Word};
use super::source::Span;

/// Blocks may stand in each other so deep.
const MAX_DEPTH: usize = 48;

/// A line and the block behind it.
#[derive(Debug)]
pub(super) struct Node {
    /// The words, at least one.
    pub(super) words: Vec<Word>,
    /// What the first word means where it stands.
    pub(super) row: Option<&'static Keyword>,
    /// What stands between its braces, if it has any.
    pub(super) block: Option<Block>,
}

/// What stands between braces.
#[derive(Debug)]
pub(super) struct Block {
    /// What the lines are.
    pub(super) within: Within,
    /// The lines.
    pub(super) children: Vec<Node>,
}

impl Node {
    /// The first word.
    pub(super) fn name(&self) -> &str {
        self.words.first().map_or("", |w| &w.text)
    }

    /// Where the first word stands.
    pub(super) fn span(&self) -> Span {
        self.words.first().map_or_else(Span::default, |w| w.span)
    }

    /// The words after the first.
    pub(super) fn args(&self) -> &[Word] {
        self.words.get(1..).unwrap_or(&[])
    }

    /// The lines of its block.
    pub(super) fn children(&self) -> &[Node] {
        self.block.as_ref().map_or(&[], |b| &b.children)
    }

    /// From the first word to the last.
    pub(super) fn line(&self) -> Span {
        let last = self.words.last().map_or_else(Span::default, |w| w.span);
        self.span().to(last)
    }
}

/// An open block.
struct Frame {
    /// The line that opened it; none for a `{` that belongs to nothing.
    node: Option<Node>,
    within: Within,
    open: Span,
    children: Vec<Node>,
}

/// Builds the tree.
#[derive(Default)]
pub(super) struct Builder {
    stack: Vec<Frame>,
    root: Vec<Node>,
    /// A line that may yet be followed by `{`.
    pending: Option<Node>,
    /// Blocks open beyond [`MAX_DEPTH`]; their contents are dropped.
    too_deep: usize,
}

impl Builder {
    /// Takes the next item.
    pub(super) fn push(&mut self, item: Item, diags: &mut Diags) {
        match item {
            Item::Words(words) => self.words(words, diags),
            Item::Open(span) => self.open(span, diags),
            Item::Close(span) => self.close(span, diags),
        }
    }

    /// The lines of the top level.
    pub(super) fn finish(mut self, diags: &mut Diags) -> Vec<Node> {
        self.flush(None, diags);
        let open: Vec<Span> = self.stack.iter().map(|f| f.open).collect();
        if let Some(first) = open.first() {
            let n = open.len();
            let text = match n {
                1 => "the block that begins here is never closed".to_owned(),
                n => format!("{n} blocks are never closed; the first begins here"),
            };
            diags
                .push(Diagnostic::error("missing-close", *first, text).help("add the missing `}`"));
        }
        while !self.stack.is_empty() {
            self.pop();
        }
        self.root
    }

    fn within(&self) -> Within {
        self.stack.last().map_or(Within::Root, |f| f.within)
    }

    fn words(&mut self, words: Vec<Word>, diags: &mut Diags) {
        if self.too_deep > 0 {
            return;
        }
        self.flush(words.first(), diags);
        let mut rest = words;
        loop {
            let within = self.within();
            let row = rest.first().and_then(|w| keywords::find(within, &w.text));
            if row.is_none() && self.unclosed(&rest) {
                self.close_to_root(&rest, diags);
                continue;
            }
            let cut = row.and_then(|row| second_directive(row, &rest));
            let Some(at) = cut else {
                self.pending = Some(Node {
                    words: rest,
                    row,
                    block: None,
                });
                return;
            };
            let tail = rest.split_off(at);
            if let Some(word) = tail.first() {
                diags.push(
                    Diagnostic::warning(
                        "two-directives",
                        word.span,
                        format!(
                            "a second directive on one line, which keepalived does not read; `{}` is \
                             read here as if it stood on a line of its own",
                            word.text
                        ),
                    )
                    .help("write one directive on each line"),
                );
            }
            self.add(Node {
                words: rest,
                row,
                block: None,
            });
            rest = tail;
        }
    }

    /// A block of the top level begins while another is open: its `}` was forgotten.
    fn unclosed(&self, words: &[Word]) -> bool {
        let Some(first) = words
            .first()
            .filter(|w| !w.quoted && !self.stack.is_empty())
        else {
            return false;
        };
        let named = words.len() > 1;
        match &*first.text {
            "vrrp_instance" | "vrrp_script" | "vrrp_sync_group" | "vrrp_track_process" => named,
            "global_defs" => true,
            "virtual_server" | "static_ipaddress" | "static_routes" | "static_rules" => {
                self.within() != Within::Skipped
            }
            _ => false,
        }
    }

    fn close_to_root(&mut self, words: &[Word], diags: &mut Diags) {
        let open: Vec<Span> = self.stack.iter().map(|f| f.open).collect();
        if let (Some(word), Some(open)) = (words.first(), open.last()) {
            diags.push(
                Diagnostic::error(
                    "missing-close",
                    word.span,
                    format!(
                        "`{}` begins here, but a block before it is still open; it is taken as closed",
                        word.text
                    ),
                )
                .related(*open, "opened here")
                .help("add the missing `}` before this line"),
            );
        }
        while !self.stack.is_empty() {
            self.pop();
        }
    }

    fn open(&mut self, span: Span, diags: &mut Diags) {
        if self.too_deep > 0 || self.stack.len() >= MAX_DEPTH {
            if self.too_deep == 0 {
                self.flush(None, diags);
                diags.push(Diagnostic::error(
                    "too-deep",
                    span,
                    format!("blocks stand in each other more than {MAX_DEPTH} deep; this one is not read"),
                ));
            }
            self.too_deep += 1;
            return;
        }
        let node = self.pending.take();
        let parent = self.within();
        let within = match &node {
            // An unknown block is skipped as a whole, the rest of its parent is not lost.
            Some(node) => match node.row {
                Some(row) => match row.block {
                    Some(within) => within,
                    None => {
                        diags.push(
                            Diagnostic::error(
                                "unexpected-open",
                                span,
                                format!("{} has no block; what stands in it is read as if the braces were not there", row.name),
                            )
                            .help("remove this `{` and its `}`"),
                        );
                        parent
                    }
                },
                None => {
                    if matches!(
                        parent,
                        Within::Names
                            | Within::Addresses
                            | Within::Peers
                            | Within::Tracks
                            | Within::Interfaces
                    ) {
                        let what =
                            format!("{} holds no blocks; this one is not read", parent.name());
                        diags.push(
                            Diagnostic::error("unexpected-open", span, what)
                                .help("is the `}` of the list missing above?"),
                        );
                    }
                    Within::Skipped
                }
            },
            None => {
                diags.push(
                    Diagnostic::error(
                        "unexpected-open",
                        span,
                        "this `{` belongs to nothing; what stands in it is read as if the braces were not there",
                    )
                    .help("write the block's keyword before it, on this line or the one above"),
                );
                parent
            }
        };
        let transparent = node
            .as_ref()
            .is_none_or(|n| n.row.is_some_and(|r| r.block.is_none()));
        let node = if transparent {
            if let Some(node) = node {
                self.add(node);
            }
            None
        } else {
            node
        };
        self.stack.push(Frame {
            node,
            within,
            open: span,
            children: Vec::new(),
        });
    }

    fn close(&mut self, span: Span, diags: &mut Diags) {
        if self.too_deep > 0 {
            self.too_deep -= 1;
            return;
        }
        self.flush(None, diags);
        if self.stack.is_empty() {
            diags.push(
                Diagnostic::error("unexpected-close", span, "this `}` closes nothing")
                    .help("remove it, or look above for a block that ended too early"),
            );
        } else {
            self.pop();
        }
    }

    /// Files the pending line; a block keyword without `{` gets its block all the same.
    fn flush(&mut self, next: Option<&Word>, diags: &mut Diags) {
        let Some(mut node) = self.pending.take() else {
            return;
        };
        let Some(within) = node.row.and_then(|r| r.block) else {
            self.add(node);
            return;
        };
        diags.push(
            Diagnostic::error(
                "missing-open",
                node.line().end(),
                format!("{} needs a block: expected `{{` here", node.name()),
            )
            .help("write `{` at the end of this line or on the next"),
        );
        let parent = self.within();
        let belongs = next.is_some_and(|word| keywords::find(parent, &word.text).is_none());
        if belongs && self.stack.len() < MAX_DEPTH {
            let open = node.line();
            self.stack.push(Frame {
                node: Some(node),
                within,
                open,
                children: Vec::new(),
            });
        } else {
            node.block = Some(Block {
                within,
                children: Vec::new(),
            });
            self.add(node);
        }
    }

    fn pop(&mut self) {
        let Some(frame) = self.stack.pop() else {
            return;
        };
        match frame.node {
            Some(mut node) => {
                node.block = Some(Block {
                    within: frame.within,
                    children: frame.children,
                });
                self.add(node);
            }
            None => {
                for child in frame.children {
                    self.add(child);
                }
            }
        }
    }

    fn add(&mut self, node: Node) {
        match self.stack.last_mut() {
            // What stands in a skipped block is not kept.
            Some(frame) if frame.within == Within::Skipped => {}
            Some(frame) => frame.children.push(node),
            None => self.root.push(node),
        }
    }
}

/// Where a second directive begins on the line of a keyword that takes no more words.
fn second_directive(row: &Keyword, words: &[Word]) -> Option<usize> {
    if row.block.is_some() || row.command || row.max == MANY {
        return None;
    }
    let first = 1 + usize::from(row.min);
    let last = 1 + usize::from(row.max);
    words
        .iter()
        .enumerate()
        .skip(first)
        .take(last + 1 - first)
        .find(|(_, word)| !word.quoted && keywords::find(row.within, &word.text).is_some())
        .map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::super::source::Sources;
    use super::super::{Options, reader::Reader};
    use super::*;

    fn tree(text: &str) -> (Vec<Node>, Vec<Diagnostic>) {
        let mut sources = Sources::default();
        let mut diags = Diags::default();
        let file = sources.add("t", text.to_owned());
        let mut reader = Reader::new(&Options::default(), false, &mut sources, &mut diags);
        reader.text(file, None);
        let builder = reader.builder;
        let nodes = builder.finish(&mut diags);
        (nodes, diags.finish())
    }

    fn names(nodes: &[Node]) -> Vec<&str> {
        nodes.iter().map(Node::name).collect()
    }

    #[test]
    fn a_brace_may_stand_on_the_next_line_or_all_on_one() {
        let (nodes, diags) =
            tree("vrrp_instance A\n{\n virtual_ipaddress { 10.0.0.1 }\n state MASTER\n}\n");
        assert!(diags.is_empty(), "{diags:?}");
        assert_eq!(names(nodes[0].children()), ["virtual_ipaddress", "state"]);
        assert_eq!(names(nodes[0].children()[0].children()), ["10.0.0.1"]);
    }

    #[test]
    fn an_unknown_block_keeps_its_own_brace() {
        let (nodes, _) =
            tree("vrrp_instance A {\n oops {\n state X\n }\n priority 9\n}\nglobal_defs {\n}\n");
        assert_eq!(names(&nodes), ["vrrp_instance", "global_defs"]);
        assert_eq!(names(nodes[0].children()), ["oops", "priority"]);
        assert!(nodes[0].children()[0].children().is_empty());
    }

    #[test]
    fn a_second_directive_on_a_line_is_read() {
        let (nodes, diags) =
            tree("vrrp_instance A {\n authentication { auth_type PASS auth_pass 12 }\n}\n");
        assert_eq!(diags[0].code, "two-directives");
        let auth = &nodes[0].children()[0];
        assert_eq!(names(auth.children()), ["auth_type", "auth_pass"]);
    }

    #[test]
    fn a_forgotten_brace_does_not_swallow_the_next_instance() {
        let (nodes, diags) =
            tree("vrrp_instance A {\n track_script {\n x\n\nvrrp_instance B {\n}\n");
        assert_eq!(names(&nodes), ["vrrp_instance", "vrrp_instance"]);
        assert_eq!(diags.len(), 1);
        assert_eq!(diags[0].code, "missing-close");
    }

    #[test]
    fn a_brace_forgotten_in_load_balancing_does_not_swallow_what_follows() {
        let (nodes, diags) = tree(
            "virtual_server 10.0.0.1 80 {\n real_server 1 {\n}\nvrrp_instance A {\n state MASTER\n}\n",
        );
        assert_eq!(names(&nodes), ["virtual_server", "vrrp_instance"]);
        assert_eq!(diags[0].code, "missing-close");
    }

    #[test]
    fn missing_and_stray_braces_are_errors_and_reading_goes_on() {
        let (nodes, diags) = tree(
            "vrrp_instance A {\n virtual_ipaddress\n 10.0.0.1\n }\n priority 5\n}\n}\nglobal_defs {\n",
        );
        let codes: Vec<_> = diags.iter().map(|d| d.code).collect();
        assert_eq!(codes, ["missing-open", "unexpected-close", "missing-close"]);
        assert_eq!(names(&nodes), ["vrrp_instance", "global_defs"]);
        assert_eq!(
            names(nodes[0].children()),
            ["virtual_ipaddress", "priority"]
        );
    }

    #[test]
    fn nesting_is_bounded() {
        let (_, diags) = tree(&format!("global_defs {}", "{\n".repeat(100_000)));
        assert!(diags.iter().any(|d| d.code == "too-deep"));
    }

    #[test]
    fn lvs_blocks_are_skipped_whole() {
        let (nodes, diags) = tree(
            "virtual_server 10.0.0.1 80 {\n real_server 1 {\n vrrp_ipset x {\n }\n }\n}\nglobal_defs {\n}\n",
        );
        assert!(diags.is_empty(), "{diags:?}");
        assert_eq!(names(&nodes), ["virtual_server", "global_defs"]);
        assert!(nodes[0].children().is_empty());
    }
}
