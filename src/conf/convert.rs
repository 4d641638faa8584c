//! A file in the other language: what it means, what it says besides, and its comments.
//!
//! What is acted on is written from the settings, so that nothing depends on how it was said. Keywords
//! that are not acted on yet are carried over as they stand, or a conversion would lose them.

mod comments;

use super::block::Node;
use super::diag::Diagnostic;
use super::keywords::{Status, Within};
use super::source::{self, Sources};
use super::write::given::Given;
use super::write::words::command_line;
use super::write::{self, Form, Item, Unwritable};
use super::{Options, Read, Severity, Span, is_toml, read_file, script};
use crate::model::addr::Cidr;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::Path;

/// A file in the other language.
#[derive(Debug)]
pub struct Converted {
    /// The text; none if the file has errors or holds what the other language cannot.
    pub text: Option<Vec<u8>>,
    /// Everything there is to say about the file.
    pub diagnostics: Vec<Diagnostic>,
    /// The files it came from.
    pub sources: Sources,
    /// Keywords of the file that are not in the text, because they have no effect here.
    pub left_out: Vec<String>,
}

/// Reads a file and writes it in the language asked for.
pub fn convert(path: &Path, options: &Options, form: Form) -> Converted {
    let Read { loaded, nodes } = read_file(path, options, None);
    let mut this = Converted {
        text: None,
        diagnostics: loaded.diagnostics,
        sources: loaded.sources,
        left_out: Vec::new(),
    };
    let wrong = this
        .diagnostics
        .iter()
        .any(|d| d.severity == Severity::Error);
    let Some(settings) = loaded.settings.filter(|_| !wrong) else {
        return this;
    };
    let mut carrier = Carrier {
        form,
        items: write::tree(&settings, &Given::of(&nodes)),
        left_out: BTreeSet::new(),
    };
    carrier.root(&nodes);
    let native = is_toml(&path.display().to_string());
    let tail = comments::place(&nodes, native, &this.sources, &mut carrier.items);
    match write::print(&carrier.items, form) {
        Ok(mut text) => {
            for comment in tail {
                text.push_str(&format!("#{comment}\n"));
            }
            this.text = Some(match form {
                Form::Keepalived => source::bytes(&text),
                Form::Toml => text.into_bytes(),
            });
            this.left_out = carrier.left_out.into_iter().collect();
        }
        Err(why) => this.diagnostics.push(unwritable(&why, &nodes)),
    }
    this
}

fn unwritable(why: &Unwritable, nodes: &[Node]) -> Diagnostic {
    let at = find_text(nodes, &why.text).unwrap_or_default();
    Diagnostic::error("unwritable", at, why.to_string()).help("choose another text")
}

/// Where a text stands.
fn find_text(nodes: &[Node], text: &str) -> Option<Span> {
    nodes.iter().find_map(|node| {
        let word = node.words.iter().find(|word| &*word.text == text);
        word.map(|word| word.span)
            .or_else(|| find_text(node.children(), text))
    })
}

/// Adds to the lines of settings what a file says besides.
struct Carrier {
    form: Form,
    items: Vec<Item>,
    left_out: BTreeSet<String>,
}

impl Carrier {
    fn root(&mut self, nodes: &[Node]) {
        let mut index: HashMap<String, usize> = HashMap::new();
        for (at, item) in self.items.iter().enumerate() {
            index.insert(item.words.join(" "), at);
        }
        let mut more = Vec::new();
        for node in nodes {
            let Some(row) = node.row else {
                self.left_out.insert(node.name().to_owned());
                continue;
            };
            if row.status != Status::Acted || node.block.is_none() {
                more.extend(self.carried(node));
                continue;
            }
            if row.block.is_some_and(Within::is_list) {
                // The settings have its entries already.
                let at = index.get(row.name);
                if let Some(item) = at.and_then(|at| self.items.get_mut(*at)) {
                    options(node, item);
                }
                continue;
            }
            let words: Vec<&str> = node.words.iter().map(|word| &*word.text).collect();
            let mut added: Vec<Item> = Vec::new();
            for child in node.children() {
                let keep = child.row.is_none_or(|row| row.status != Status::Acted);
                if keep {
                    added.extend(self.carried(child));
                }
            }
            match index.get(&words.join(" ")) {
                Some(at) => {
                    if let Some(item) = self.items.get_mut(*at) {
                        entries(node, item);
                        item.block.get_or_insert_default().extend(added);
                    }
                }
                None if added.is_empty() => {}
                None => {
                    let mut item = Item::key(row);
                    item.words = words.into_iter().map(str::to_owned).collect();
                    item.block = Some(added);
                    more.push(item);
                }
            }
        }
        // Definitions come before their use, whatever language it is.
        more.append(&mut self.items);
        more.sort_by_key(|item| match item.name() {
            "global_defs" => 1,
            "track_group" => 2,
            "vrrp_instance" => 4,
            "vrrp_sync_group" => 5,
            _ if item.block.is_none() => 0,
            _ => 3,
        });
        self.items = more;
    }

    /// A line as it stands, unless it has no effect and no place in the other language.
    fn carried(&mut self, node: &Node) -> Option<Item> {
        let keep = match node.row.map(|row| row.status) {
            Some(Status::NotYet { .. } | Status::Refused(_) | Status::AsBlock) => true,
            // The reader has followed it.
            Some(Status::Acted) => return None,
            Some(Status::NoEffect(_)) => self.form == Form::Keepalived,
            Some(Status::Lvs) => self.form == Form::Keepalived && node.block.is_none(),
            None => false,
        };
        if !keep {
            self.left_out.insert(node.name().to_owned());
            return None;
        }
        Some(verbatim(node))
    }
}

fn verbatim(node: &Node) -> Item {
    let mut words: Vec<String> = node.words.iter().map(|w| w.text.to_string()).collect();
    if node.row.is_some_and(|row| row.command)
        && let Some(line) = words.get_mut(1)
        && let Ok(argv) = script::split(line)
    {
        *line = command_line(&argv);
    }
    Item {
        row: node.row,
        words,
        block: node
            .block
            .as_ref()
            .map(|block| block.children.iter().map(verbatim).collect()),
        ..Item::default()
    }
}

/// Options of addresses and peers that are not acted on yet.
fn entries(node: &Node, item: &mut Item) {
    for list in node.children() {
        let mut lists = item.block.iter_mut().flatten();
        if let Some(mine) = lists.find(|mine| mine.row == list.row) {
            options(list, mine);
        }
    }
}

/// Those of one list.
fn options(list: &Node, mine: &mut Item) {
    let words = match list.row.and_then(|row| row.block) {
        Some(Within::Addresses) => Within::AddressWord,
        Some(Within::Peers) => Within::PeerWord,
        Some(_) | None => return,
    };
    for entry in list.children() {
        let mut rest = entry.args();
        let mut more = Vec::new();
        while let Some((word, tail)) = rest.split_first() {
            rest = tail;
            let Some(row) = super::keywords::find(words, &word.text) else {
                continue;
            };
            let (args, tail) = tail.split_at(tail.len().min(usize::from(row.min)));
            rest = tail;
            if row.status != Status::Acted {
                more.push(word.text.to_string());
                more.extend(args.iter().map(|arg| arg.text.to_string()));
            }
        }
        if more.is_empty() {
            continue;
        }
        let key = entry_key(entry.name());
        let found = mine.block.iter_mut().flatten();
        if let Some(found) = found.into_iter().find(|one| entry_key(one.name()) == key) {
            found.words.extend(more);
        }
    }
}

/// The same address is written in several ways.
fn entry_key(text: &str) -> String {
    let (addr, len) = match text.split_once('/') {
        Some((addr, len)) => (addr, Some(len)),
        None => (text, None),
    };
    let Ok(addr) = addr.parse::<IpAddr>() else {
        return text.to_owned();
    };
    let cidr = match len {
        None => Some(Cidr::host(addr)),
        Some(len) => len.parse().ok().and_then(|len| Cidr::new(addr, len)),
    };
    cidr.map_or_else(|| text.to_owned(), |cidr| cidr.to_string())
}
