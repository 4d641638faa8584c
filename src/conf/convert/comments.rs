//! Comments find their line again in the other language.
//!
//! A comment belongs to the keyword on its line, or to the next one. If that is not written (it says no
//! more than a default), it goes to the next one that is, or to the end of the block.

use super::entry_key;
use crate::conf::block::Node;
use crate::conf::lexer::{blank, reference_len};
use crate::conf::source::{Sources, Span};
use crate::conf::write::Item;
use std::collections::HashMap;
use toml::de::{DeTable, DeValue};

/// A comment of the file.
struct Comment {
    at: u32,
    /// Its line has nothing else.
    alone: bool,
    /// Blocks open around it.
    depth: usize,
    text: String,
}

/// A keyword of the file: where it stands, and the way to its line in the output.
struct Anchor {
    at: Span,
    path: Vec<String>,
}

/// Gives the comments of all files to the lines they belong to. What comes after the last keyword is
/// returned.
pub(super) fn place(
    nodes: &[Node],
    native: bool,
    sources: &Sources,
    items: &mut [Item],
) -> Vec<String> {
    let mut anchors = Vec::new();
    gather(nodes, &[], &mut anchors);
    anchors.sort_by_key(|anchor| (anchor.at.file, anchor.at.at));
    let roots: HashMap<String, usize> = items
        .iter()
        .enumerate()
        .map(|(at, item)| (item.words.join(" "), at))
        .collect();
    let mut tail = Vec::new();
    for file in 0..sources.len() {
        let file = u32::try_from(file).unwrap_or(u32::MAX);
        let text = sources.text(file);
        let comments = if native {
            native_comments(&text)
        } else {
            keepalived_comments(&text)
        };
        let from = anchors.partition_point(|anchor| anchor.at.file < file);
        let to = anchors.partition_point(|anchor| anchor.at.file <= file);
        let here = anchors.get(from..to).unwrap_or(&[]);
        for comment in comments {
            let next = here.partition_point(|anchor| anchor.at.at < comment.at);
            let line = sources.line_of(Span {
                file,
                at: comment.at,
                len: 0,
            });
            let mut placer = Placer {
                items,
                roots: &roots,
            };
            let before = here.get(..next).unwrap_or(&[]);
            let after = here.get(next..).unwrap_or(&[]);
            if !comment.alone && placer.behind(&comment, before, line, sources) {
                continue;
            }
            if !placer.above(&comment, before, after) {
                tail.push(comment.text);
            }
        }
    }
    tail
}

fn gather(nodes: &[Node], path: &[String], anchors: &mut Vec<Anchor>) {
    for node in nodes {
        let mut path = path.to_vec();
        path.push(match (path.len(), node.row) {
            (0, _) => {
                let words: Vec<&str> = node.words.iter().map(|word| &*word.text).collect();
                words.join(" ")
            }
            (_, Some(row)) => row.name.to_owned(),
            (_, None) => entry_key(node.name()),
        });
        gather(node.children(), &path, anchors);
        anchors.push(Anchor {
            at: node.span(),
            path,
        });
    }
}

struct Placer<'t> {
    items: &'t mut [Item],
    roots: &'t HashMap<String, usize>,
}

impl Placer<'_> {
    fn find(&mut self, path: &[String]) -> Option<&mut Item> {
        let (root, rest) = path.split_first()?;
        let mut item = self.items.get_mut(*self.roots.get(root)?)?;
        for name in rest {
            item = item
                .block
                .iter_mut()
                .flatten()
                .find(|child| match child.row {
                    Some(row) => row.name == name,
                    None => entry_key(child.name()) == *name,
                })?;
        }
        Some(item)
    }

    /// To the keyword that begins on the comment's line.
    fn behind(
        &mut self,
        comment: &Comment,
        before: &[Anchor],
        line: usize,
        sources: &Sources,
    ) -> bool {
        let first = before
            .iter()
            .rev()
            .take_while(|anchor| sources.line_of(anchor.at) == line)
            .last();
        let Some(item) = first.and_then(|anchor| self.find(&anchor.path)) else {
            return false;
        };
        match &mut item.behind {
            Some(text) => {
                text.push_str(" #");
                text.push_str(&comment.text);
            }
            None => item.behind = Some(comment.text.clone()),
        }
        true
    }

    /// To the next keyword of the block around it, or to the end of that block.
    fn above(&mut self, comment: &Comment, before: &[Anchor], after: &[Anchor]) -> bool {
        let around: Vec<String> = before
            .last()
            .map(|anchor| anchor.path.iter().take(comment.depth).cloned().collect())
            .unwrap_or_default();
        let inside =
            |anchor: &&Anchor| anchor.path.len() > around.len() && anchor.path.starts_with(&around);
        for anchor in after.iter().take_while(inside) {
            if let Some(item) = self.find(&anchor.path) {
                item.above.push(comment.text.clone());
                return true;
            }
        }
        let mut end = &around[..];
        while let Some((_, outer)) = end.split_last() {
            if let Some(item) = self.find(end)
                && item.block.is_some()
            {
                item.below.push(comment.text.clone());
                return true;
            }
            end = outer;
        }
        // The block around it is not written at all.
        for anchor in after {
            if let Some(item) = self.find(&anchor.path) {
                item.above.push(comment.text.clone());
                return true;
            }
        }
        false
    }
}

/// Comments of the keepalived language: `#` or `!` outside double quotes.
fn keepalived_comments(text: &str) -> Vec<Comment> {
    let mut comments = Vec::new();
    let mut depth = 0usize;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let bytes = line.as_bytes();
        let mut quoted = false;
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'"' => quoted = !quoted,
                b'\\' if !quoted && matches!(bytes.get(at + 1), Some(b'#' | b'!')) => at += 1,
                b'$' if !quoted => {
                    if let Some(len) = reference_len(&line[at..]) {
                        at += len;
                        continue;
                    }
                }
                b'{' if !quoted => depth += 1,
                b'}' if !quoted => depth = depth.saturating_sub(1),
                b'#' | b'!' if !quoted => {
                    let rest = line[at + 1..].trim_end();
                    let alone = line[..at].trim_matches(blank).is_empty();
                    let addition = rest
                        .strip_prefix("@mainstay")
                        .is_some_and(|rest| rest.starts_with(blank));
                    if alone && addition {
                        at += "#@mainstay".len();
                        continue;
                    }
                    comments.push(Comment {
                        at: u32::try_from(start + at).unwrap_or(u32::MAX),
                        alone,
                        depth,
                        text: rest.to_owned(),
                    });
                    break;
                }
                _ => {}
            }
            at += 1;
        }
        start += line.len();
    }
    comments
}

/// Comments of TOML: `#` outside keys and values.
fn native_comments(text: &str) -> Vec<Comment> {
    let (document, _) = DeTable::parse_recoverable(text);
    let mut taken = Vec::new();
    leaves(document.get_ref(), &mut taken);
    taken.sort_unstable();
    let mut comments = Vec::new();
    let mut from = 0;
    while let Some(found) = text.get(from..).and_then(|rest| rest.find('#')) {
        let at = from + found;
        let next = taken.partition_point(|(start, _)| *start <= at);
        let inside = next.checked_sub(1).and_then(|i| taken.get(i));
        if let Some((_, end)) = inside.filter(|(_, end)| *end > at) {
            from = *end;
            continue;
        }
        let end = text[at..].find('\n').map_or(text.len(), |len| at + len);
        let line = text[..at].rfind('\n').map_or(0, |at| at + 1);
        let before = text[line..at].trim();
        comments.push(Comment {
            at: u32::try_from(at).unwrap_or(u32::MAX),
            alone: before.is_empty(),
            depth: 0,
            text: text[at + 1..end].trim_end().to_owned(),
        });
        from = end;
    }
    comments
}

/// Where keys and values stand that could hold the sign.
fn leaves(table: &DeTable<'_>, taken: &mut Vec<(usize, usize)>) {
    fn value(of: &toml::Spanned<DeValue<'_>>, taken: &mut Vec<(usize, usize)>) {
        match of.get_ref() {
            DeValue::Table(table) => leaves(table, taken),
            DeValue::Array(array) => array.iter().for_each(|one| value(one, taken)),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => taken.push((of.span().start, of.span().end)),
        }
    }
    for (key, of) in table {
        taken.push((key.span().start, key.span().end));
        value(of, taken);
    }
}
