//! Where the words of a configuration stand, for what is found out only after it has been read.

use super::block::Node;
use super::keywords::Within;
use super::source::Span;
use crate::model::addr::Cidr;
use std::collections::HashMap;
use std::sync::Arc;

/// A keyword, or an entry of a list of trackers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The keyword, or the list the entry stands in.
    pub keyword: &'static str,
    /// The entry's name.
    pub entry: Option<Arc<str>>,
    /// Its words; of a block the keyword alone.
    pub span: Span,
    /// More words follow the keyword's value or the entry's name.
    pub more: bool,
}

/// A named block.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Block {
    name: Span,
    places: Vec<Place>,
}

/// The places of every named block, by the keyword and the name it begins with.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Places {
    /// Addresses in lists at the top level.
    listed: HashMap<&'static str, HashMap<Cidr, Span>>,
    blocks: HashMap<&'static str, HashMap<Arc<str>, Block>>,
}

impl Places {
    /// Of a tree; where a name is given twice, the first block counts.
    pub(super) fn of(nodes: &[Node]) -> Self {
        let mut this = Self::default();
        for node in nodes {
            if let (Some(row), Some(block)) = (node.row, &node.block)
                && block.within == Within::Addresses
            {
                let listed = this.listed.entry(row.name).or_default();
                for entry in &block.children {
                    if let Some(cidr) = address(entry.name()) {
                        listed.entry(cidr).or_insert(entry.line());
                    }
                }
            }
            let (Some(row), Some(name), Some(_)) = (node.row, node.args().first(), &node.block)
            else {
                continue;
            };
            let names = this.blocks.entry(row.name).or_default();
            if names.contains_key(&*name.text) {
                continue;
            }
            let mut places = Vec::with_capacity(node.children().len());
            for child in node.children() {
                add(child, &mut places);
            }
            let block = Block {
                name: name.span,
                places,
            };
            names.insert(name.text.clone().into(), block);
        }
        this
    }

    /// Where the name of a block stands: `name("vrrp_instance", "VI_1")`.
    pub fn name(&self, block: &str, name: &str) -> Option<Span> {
        Some(self.blocks.get(block)?.get(name)?.name)
    }

    /// Where an address stands in a list at the top level.
    pub fn listed(&self, list: &str, cidr: Cidr) -> Option<Span> {
        self.listed.get(list)?.get(&cidr).copied()
    }

    /// Where a keyword stands in a block; the last one of several.
    pub fn keyword(&self, block: &str, name: &str, keyword: &str) -> Option<Span> {
        let block = self.blocks.get(block)?.get(name)?;
        let mut found = block.places.iter().rev();
        let place = found.find(|p| p.entry.is_none() && p.keyword == keyword)?;
        Some(place.span)
    }

    /// An entry of a list of trackers in a block; the first one of several.
    pub fn entry(&self, block: &str, name: &str, list: &str, entry: &str) -> Option<&Place> {
        let block = self.blocks.get(block)?.get(name)?;
        let mut places = block.places.iter();
        places.find(|p| p.keyword == list && p.entry.as_deref() == Some(entry))
    }
}

/// An address as an entry gives it, if it does.
fn address(text: &str) -> Option<Cidr> {
    match text.split_once('/') {
        Some((addr, len)) => Cidr::new(addr.parse().ok()?, len.parse().ok()?),
        None => Some(Cidr::host(text.parse().ok()?)),
    }
}

fn add(node: &Node, places: &mut Vec<Place>) {
    let Some(row) = node.row else { return };
    let Some(block) = &node.block else {
        places.push(Place {
            keyword: row.name,
            entry: None,
            span: node.line(),
            more: node.args().len() > 1,
        });
        return;
    };
    places.push(Place {
        keyword: row.name,
        entry: None,
        span: node.span(),
        more: false,
    });
    if matches!(block.within, Within::Tracks | Within::Interfaces) {
        for entry in &block.children {
            places.push(Place {
                keyword: row.name,
                entry: Some(entry.name().into()),
                span: entry.line(),
                more: entry.words.len() > 1,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::{Options, load_str};

    #[test]
    fn the_places_of_keywords_and_tracked_names_are_known() {
        let text = "vrrp_script chk {\n script /bin/true\n weight -5\n}\n\
                    vrrp_instance V {\n interface e0\n priority 100\n priority 101\n \
                    track_script {\n  chk weight -2\n  chk\n }\n}\n\
                    vrrp_instance V {\n nopreempt\n}\n";
        let loaded = load_str("f", text, &Options::default());
        let (places, sources) = (&loaded.places, &loaded.sources);
        let word = |span: Option<Span>| span.map(|s| sources.slice(s));
        let v = |keyword| word(places.keyword("vrrp_instance", "V", keyword));
        assert_eq!(v("priority"), Some("priority 101"));
        assert_eq!(v("track_script"), Some("track_script"));
        assert_eq!(
            v("nopreempt"),
            None,
            "the second block of a name is not read"
        );
        assert_eq!(
            word(places.keyword("vrrp_script", "chk", "weight")),
            Some("weight -5")
        );
        assert_eq!(word(places.name("vrrp_instance", "V")), Some("V"));
        let entry = places
            .entry("vrrp_instance", "V", "track_script", "chk")
            .expect("tracked");
        assert_eq!(
            (sources.slice(entry.span), entry.more),
            ("chk weight -2", true)
        );
    }
}
