//! Findings and where they belong: each in its file, at the words that cause it.

use crate::conf::{Diagnostic, Severity, Span};
use crate::proof::Node;
use crate::proof::member::{Member, Tracker};
use std::sync::Arc;

const INSTANCE: &str = "vrrp_instance";
const GROUP: &str = "vrrp_sync_group";

/// Collects what is found, for each node.
pub(super) struct Findings<'a> {
    pub(super) nodes: &'a [Node<'a>],
    lists: Vec<Vec<Diagnostic>>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(nodes: &'a [Node<'a>]) -> Self {
        Self {
            nodes,
            lists: vec![Vec::new(); nodes.len()],
        }
    }

    /// For each node, in the order of its text.
    pub(super) fn finish(mut self) -> Vec<Vec<Diagnostic>> {
        for list in &mut self.lists {
            list.sort_by_key(|d| (d.span.file, d.span.at));
        }
        self.lists
    }

    pub(super) fn push(&mut self, node: usize, diagnostic: Diagnostic) {
        if let Some(list) = self.lists.get_mut(node) {
            list.push(diagnostic);
        }
    }

    /// What concerns the interplay of files: a warning, of one file alone a note.
    pub(super) fn severity(&self) -> Severity {
        if self.nodes.len() > 1 {
            Severity::Warning
        } else {
            Severity::Note
        }
    }

    pub(super) fn name(&self, member: &Member<'_>) -> &'a Arc<str> {
        &self.nodes[member.node].name
    }

    /// Where the first of these keywords stands in an instance; else where its name does.
    pub(super) fn keyword(&self, member: &Member<'_>, keywords: &[&str]) -> Span {
        let name = &*member.settings.name;
        let Some((places, _)) = self.nodes[member.node].text else {
            return Span::default();
        };
        let mut found = keywords
            .iter()
            .filter_map(|keyword| places.keyword(INSTANCE, name, keyword));
        found
            .next()
            .or_else(|| places.name(INSTANCE, name))
            .unwrap_or_default()
    }

    /// Where the weight of a tracker stands, and its entry if that is another place.
    pub(super) fn weight(&self, member: &Member<'_>, tracker: &Tracker) -> (Span, Option<Span>) {
        let node = &self.nodes[member.node];
        let instance = tracker.of.as_ref().unwrap_or(&member.settings.name);
        let Some((places, _)) = node.text else {
            return (Span::default(), None);
        };
        let list = tracker.kind.list();
        let entry = places
            .entry(INSTANCE, instance, list, &tracker.name)
            .or_else(|| {
                let groups = &node.settings.groups;
                let group = groups.iter().find(|g| g.members.contains(instance))?;
                places.entry(GROUP, &group.name, list, &tracker.name)
            });
        let weight = || {
            let mut blocks = tracker.kind.definitions().iter();
            blocks.find_map(|block| places.keyword(block, &tracker.name, "weight"))
        };
        match entry {
            Some(entry) if entry.more => (entry.span, None),
            Some(entry) => match weight() {
                Some(span) => (span, Some(entry.span)),
                None => (entry.span, None),
            },
            None => (weight().unwrap_or_else(|| self.keyword(member, &[])), None),
        }
    }

    /// `NAME has VALUE (FILE:LINE)`: the part in brackets, if there is a text.
    pub(super) fn at(&self, member: &Member<'_>, keywords: &[&str]) -> String {
        let Some((_, sources)) = self.nodes[member.node].text else {
            return String::new();
        };
        let span = self.keyword(member, keywords);
        format!(" ({}:{})", sources.name(span.file), sources.line_of(span))
    }
}

/// Adds where the thing is tracked, if the finding stands elsewhere.
pub(super) fn with_entry(d: Diagnostic, entry: Option<Span>) -> Diagnostic {
    match entry {
        Some(entry) => d.related(entry, "tracked here"),
        None => d,
    }
}
