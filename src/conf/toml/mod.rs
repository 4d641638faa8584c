//! TOML, the native form of a configuration.
//!
//! A document becomes the same tree of keywords that a text in keepalived's language becomes, each word
//! with its place in the file; from there on both go one way, so there is one set of rules, defaults
//! and ranges. What differs is decided here: types are TOML's own, a key that is not known is an
//! error, and there is one name for one thing.

pub(super) mod entries;
pub(super) mod kinds;
pub(super) mod values;

use super::block::{Block, Node};
use super::diag::{Diagnostic, Diags};
use super::keywords::{self, Keyword, Within};
use super::lexer::Word;
use super::source::{Sources, Span, is_stand_in, number};
use kinds::{Kind, No};
use serde_spanned::Spanned;
use std::ops::Range;
use toml::de::{DeArray, DeTable, DeValue};

/// What only keepalived's way of reading makes worth saying.
const KEEPALIVEDS: &[&str] = &[
    "defined-later",
    "late-defaults",
    "init-fail",
    "handover",
    "notify-queue",
    "off-means-off",
];

/// The way out in TOML's words where it differs.
const HELP: &[(&str, &str)] = &[
    (
        "missing-vrid",
        "add a line such as `virtual_router_id = 51`, the same on all routers of the group",
    ),
    (
        "missing-interface",
        "add a line such as `interface = \"eth0\"`",
    ),
    (
        "no-address",
        "add a line such as `virtual_ipaddress = [\"192.0.2.1/24\"]`",
    ),
    (
        "owner-by-default",
        "add a line such as `priority = 150` if the addresses are not this host's own",
    ),
    ("no-password", "add auth_pass = \"...\""),
    ("no-auth-type", "add auth_type = \"PASS\""),
    (
        "script-without-command",
        "add a line: script = \"/path/to/program arguments\"",
    ),
    (
        "script-security",
        "add enable_script_security = true and script_user = \"...\" to [global]",
    ),
    ("unused-script", "add its name to a track_script array"),
    (
        "no-peer",
        "add unicast_peer = [\"...\"], or use mcast_src_ip",
    ),
];

/// Leaves out what concerns the keepalived language alone, and gives the way out in TOML's words.
pub(super) fn adapt(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.retain(|d| !KEEPALIVEDS.contains(&d.code));
    for d in diagnostics {
        if let Some((_, help)) = HELP.iter().find(|(code, _)| *code == d.code) {
            d.help = Some((*help).to_owned());
        }
    }
}

/// Reads a document into the tree.
pub(super) fn nodes(file: u32, sources: &Sources, diags: &mut Diags) -> Vec<Node> {
    let text = sources.text(file);
    if let Some(at) = text.find(is_stand_in) {
        let what = "this file is not UTF-8, which TOML demands";
        diags.push(
            Diagnostic::refusal("toml", span(file, at..at + 3), what)
                .help("convert the file: iconv -f latin1 -t utf-8"),
        );
        return Vec::new();
    }
    let (document, mistakes) = DeTable::parse_recoverable(&text);
    for mistake in &mistakes {
        let at = mistake.span().unwrap_or_default();
        let what = format!("this is not TOML: {}", mistake.message());
        diags.push(Diagnostic::refusal("toml", span(file, at), what));
    }
    let mut reader = Reader { file, diags };
    reader.root(document.get_ref())
}

/// A place in the file.
fn span(file: u32, at: Range<usize>) -> Span {
    Span {
        file,
        at: number(at.start),
        len: number(at.end.saturating_sub(at.start)),
    }
}

type Key<'t, 'i> = &'t Spanned<std::borrow::Cow<'i, str>>;
type Value<'t, 'i> = &'t Spanned<DeValue<'i>>;

/// Turns tables into nodes.
struct Reader<'d> {
    file: u32,
    diags: &'d mut Diags,
}

/// The entries of a table in the order of the file.
fn entries<'t, 'i>(table: &'t DeTable<'i>) -> Vec<(Key<'t, 'i>, Value<'t, 'i>)> {
    let mut all: Vec<_> = table.iter().collect();
    all.sort_by_key(|(key, _)| key.span().start);
    all
}

impl Reader<'_> {
    fn at<T>(&self, value: &Spanned<T>) -> Span {
        span(self.file, value.span())
    }

    fn word(&self, text: impl Into<Box<str>>, span: Span) -> Word {
        Word {
            text: text.into(),
            span,
            quoted: true,
        }
    }

    fn say(&mut self, code: &'static str, at: Span, what: String, help: impl Into<String>) {
        self.diags
            .push(Diagnostic::error(code, at, what).help(help));
    }

    fn wrong(&mut self, value: Value<'_, '_>, name: &str, wants: &str) {
        let at = self.at(value);
        let what = format!(
            "{name} cannot be {}; it does not count",
            with_article(value.get_ref())
        );
        self.say("wrong-type", at, what, format!("expected {wants}"));
    }

    fn unknown(&mut self, key: Key<'_, '_>, within: Within, no: &No) {
        let at = self.at(key);
        let shown: String = key.get_ref().chars().take(64).collect();
        let place = place(within);
        let what = format!("unknown key `{shown}` {place}");
        let d = match no {
            No::Write(name) => Diagnostic::error("unknown-key", at, what)
                .help(format!("it is called `{name}` in TOML")),
            No::Nothing(why) => Diagnostic::error(
                "unknown-key",
                at,
                format!("`{shown}` has no meaning here: {why}"),
            )
            .help("remove it"),
            No::Reader => Diagnostic::error(
                "unknown-key",
                at,
                format!("`{shown}` belongs to the keepalived language; TOML is one file"),
            ),
            No::Lvs => Diagnostic::error(
                "unknown-key",
                at,
                format!("`{shown}` is load balancing, which is not handled here"),
            )
            .help("configure it in a file of its own for `keepalived -C`"),
            No::Unknown => {
                let d = Diagnostic::error("unknown-key", at, what);
                match near(within, &shown) {
                    Some(near) => d.help(format!("did you mean `{near}`?")),
                    None => match keywords::elsewhere(&shown) {
                        Some(other) if other != within => {
                            d.help(format!("this key stands {}", self::place(other)))
                        }
                        Some(_) | None => d,
                    },
                }
            }
        };
        self.diags.push(d);
    }

    fn root(&mut self, table: &DeTable<'_>) -> Vec<Node> {
        let mut nodes = Vec::new();
        for (key, value) in entries(table) {
            let row = match kinds::find(Within::Root, key.get_ref()) {
                Ok(row) => row,
                Err(no) => {
                    self.unknown(key, Within::Root, &no);
                    continue;
                }
            };
            let Kind::Table(within) = kinds::kind(row) else {
                nodes.extend(self.keyword(row, key, value, None));
                continue;
            };
            if row.min > 0 {
                self.named(row, within, key, value, &mut nodes);
            } else {
                self.unnamed(row, within, key, value, &mut nodes);
            }
        }
        // What instances refer to and what they inherit comes first, wherever it stands.
        nodes.sort_by_key(|node| match node.name() {
            "global_defs" => 0,
            "static_ipaddress" | "static_routes" | "static_rules" => 2,
            "vrrp_instance" => 3,
            "vrrp_sync_group" => 4,
            _ => 1,
        });
        nodes
    }

    /// `[instance.NAME]`, or `[[instance]]` with a name in it.
    fn named(
        &mut self,
        row: &'static Keyword,
        within: Within,
        key: Key<'_, '_>,
        value: Value<'_, '_>,
        nodes: &mut Vec<Node>,
    ) {
        let toml = kinds::key(row);
        if let Some(table) = value.get_ref().as_table() {
            for (name, value) in entries(table) {
                let Some(body) = value.get_ref().as_table() else {
                    self.wrong(value, name.get_ref(), &format!("a table: [{toml}.NAME]"));
                    continue;
                };
                let at = self.at(name);
                if let Some(name) = self.plain(name.get_ref(), at) {
                    nodes.push(self.block(row, within, Some(key), Some(name), body));
                }
            }
            return;
        }
        let Some(array) = value.get_ref().as_array() else {
            return self.wrong(value, toml, &format!("tables: [{toml}.NAME]"));
        };
        for value in array.iter() {
            let Some(body) = value.get_ref().as_table() else {
                self.wrong(value, toml, &format!("tables: [[{toml}]]"));
                continue;
            };
            let Some(name) = body.get("name") else {
                let at = self.at(value);
                let what = format!("this {toml} has no name");
                self.say("missing-name", at, what, "add a line: name = \"...\"");
                continue;
            };
            if let Some(name) = self.text("name", name) {
                nodes.push(self.block(row, within, Some(key), Some(name), body));
            }
        }
    }

    /// `[global]`, or `[[garp_group]]`.
    fn unnamed(
        &mut self,
        row: &'static Keyword,
        within: Within,
        key: Key<'_, '_>,
        value: Value<'_, '_>,
        nodes: &mut Vec<Node>,
    ) {
        let toml = kinds::key(row);
        if let Some(body) = value.get_ref().as_table() {
            nodes.push(self.block(row, within, Some(key), None, body));
            return;
        }
        let several = value.get_ref().as_array();
        let Some(array) = several.filter(|_| row.name != "global_defs") else {
            return self.wrong(value, toml, &format!("a table: [{toml}]"));
        };
        for value in array.iter() {
            match value.get_ref().as_table() {
                Some(body) => nodes.push(self.block(row, within, Some(key), None, body)),
                None => self.wrong(value, toml, &format!("tables: [[{toml}]]")),
            }
        }
    }

    fn block(
        &mut self,
        row: &'static Keyword,
        within: Within,
        key: Option<Key<'_, '_>>,
        name: Option<Word>,
        body: &DeTable<'_>,
    ) -> Node {
        let at = match (&name, key) {
            (Some(name), _) => name.span,
            (None, Some(key)) => self.at(key),
            (None, None) => Span::default(),
        };
        let named = name.is_some();
        let mut words = vec![self.word(row.name, at)];
        words.extend(name);
        let mut children = Vec::new();
        for (key, value) in entries(body) {
            if named && key.get_ref() == "name" && kinds::find(within, "name").is_err() {
                continue;
            }
            match kinds::find(within, key.get_ref()) {
                Ok(row) => children.extend(self.keyword(row, key, value, Some(body))),
                Err(No::Unknown) if beside(within, key.get_ref(), body) => {}
                Err(no) => self.unknown(key, within, &no),
            }
        }
        Node {
            words,
            row: Some(row),
            block: Some(Block { within, children }),
        }
    }

    /// One key and its value as a line of keywords. `None` if it says nothing, or nothing that can be
    /// understood.
    fn keyword(
        &mut self,
        row: &'static Keyword,
        key: Key<'_, '_>,
        value: Value<'_, '_>,
        body: Option<&DeTable<'_>>,
    ) -> Option<Node> {
        let at = self.at(key);
        let mut words = vec![self.word(row.name, at)];
        let mut block = None;
        let kind = kinds::kind(row);
        if let Kind::Table(within) = kind {
            let Some(body) = value.get_ref().as_table() else {
                self.wrong(value, key.get_ref(), "a table");
                return None;
            };
            return Some(self.block(row, within, Some(key), None, body));
        }
        if let Kind::List(within) = kind {
            let children = self.list(row, within, value)?;
            block = Some(Block { within, children });
        } else {
            words.extend(self.words(kind, row, key, value, body)?);
        }
        Some(Node {
            words,
            row: Some(row),
            block,
        })
    }

    fn list(
        &mut self,
        row: &'static Keyword,
        within: Within,
        value: Value<'_, '_>,
    ) -> Option<Vec<Node>> {
        let DeValue::Array(array) = value.get_ref() else {
            self.wrong(value, kinds::key(row), "an array");
            return None;
        };
        Some(self.entries(within, kinds::key(row), array))
    }

    fn entries(&mut self, within: Within, name: &str, array: &DeArray<'_>) -> Vec<Node> {
        let mut nodes = Vec::new();
        for value in array.iter() {
            if let Some(words) = self.entry(within, name, value) {
                nodes.push(Node {
                    words,
                    row: None,
                    block: None,
                });
            }
        }
        nodes
    }
}

/// Keys that are read together with another one beside them.
fn beside(within: Within, key: &str, body: &DeTable<'_>) -> bool {
    match (within, key) {
        (Within::Script | Within::TrackFile | Within::TrackProcess | Within::Bfd, "reverse") => {
            body.get("weight").is_some()
        }
        (Within::TrackFile, "overwrite") => body.get("init_file").is_some(),
        _ => false,
    }
}

/// The key nearest to a word, if it is near enough to be meant.
fn near(within: Within, word: &str) -> Option<&'static str> {
    let most = match word.len() {
        0..=2 => return None,
        3..=5 => 1,
        6..=9 => 2,
        10..=64 => 3,
        _ => return None,
    };
    kinds::keys(within)
        .map(|key| (strsim::osa_distance(word, key), key))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, key)| key)
}

/// Where a key stands, for a sentence.
fn place(within: Within) -> String {
    let row = keywords::all()
        .iter()
        .find(|row| row.within == Within::Root && row.block == Some(within));
    match (within, row) {
        (Within::Root, _) => "at the top level".to_owned(),
        (_, Some(row)) if row.min > 0 => format!("in [{}.NAME]", kinds::key(row)),
        (_, Some(row)) => format!("in [{}]", kinds::key(row)),
        (_, None) => format!("in {}", within.name()),
    }
}

fn with_article(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a truth value",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests;
