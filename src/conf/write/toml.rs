//! Trees of lines in TOML.

use super::Item;
use crate::conf::keywords::{self, Keyword, Within};
use crate::conf::source::is_stand_in;
use crate::conf::toml::entries::{options, spread};
use crate::conf::toml::kinds::{self, Kind};
use crate::conf::toml::values::scaled;

/// A longer array gets a line for each entry.
const WIDTH: usize = 76;

/// Prints the whole tree.
pub(super) fn print(items: &[Item]) -> String {
    let mut out = String::new();
    // What is no table would belong to the table above it.
    let (tables, loose): (Vec<&Item>, Vec<&Item>) = items.iter().partition(|i| is_table(i));
    keys(loose.into_iter(), &mut out);
    for item in tables {
        if !out.is_empty() {
            out.push('\n');
        }
        table(item, items, &mut out);
    }
    out
}

fn is_table(item: &Item) -> bool {
    item.row
        .is_some_and(|row| matches!(kinds::kind(row), Kind::Table(_)))
}

/// `[key.NAME]` and what stands in it.
fn table(item: &Item, all: &[Item], out: &mut String) {
    let Some(row) = item.row else { return };
    for text in &item.above {
        comment(text, "", out);
    }
    let key = kinds::key(row);
    let header = match item.args().first() {
        Some(name) if row.min > 0 => format!("[{key}.{}]", bare(name)),
        Some(_) | None => {
            let several = all.iter().filter(|i| i.row == item.row).count() > 1;
            if several {
                format!("[[{key}]]")
            } else {
                format!("[{key}]")
            }
        }
    };
    out.push_str(&header);
    behind(item, out);
    keys(item.block.iter().flatten(), out);
    for text in &item.below {
        comment(text, "", out);
    }
}

/// The keys of one table. A key stands once: lists that are given in parts are put together, of
/// others the last counts.
fn keys<'t>(items: impl Iterator<Item = &'t Item>, out: &mut String) {
    let mut merged: Vec<Item> = Vec::new();
    for item in items {
        let before = merged
            .iter_mut()
            .find(|m| m.row.is_some() && m.row == item.row);
        match (before, &item.block) {
            (Some(before), Some(more)) => {
                before
                    .block
                    .get_or_insert_default()
                    .extend(more.iter().cloned());
                before.above.extend(item.above.iter().cloned());
            }
            (Some(before), None) => *before = item.clone(),
            (None, _) => merged.push(item.clone()),
        }
    }
    for item in &merged {
        let Some(row) = item.row else { continue };
        for text in &item.above {
            comment(text, "", out);
        }
        let (value, beside) = value(item, row, true);
        out.push_str(&format!("{} = {value}", bare(kinds::key(row))));
        behind(item, out);
        for (key, value) in beside {
            out.push_str(&format!("{key} = {value}\n"));
        }
    }
}

fn comment(text: &str, indent: &str, out: &mut String) {
    out.push_str(indent);
    out.push('#');
    out.extend(text.chars().filter(|c| !c.is_control() || *c == '\t'));
    out.push('\n');
}

fn behind(item: &Item, out: &mut String) {
    match &item.behind {
        Some(text) => comment(text, "  ", out),
        None => out.push('\n'),
    }
}

/// A key or a name in a header.
fn bare(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(plain) {
        name.to_owned()
    } else {
        string(name)
    }
}

fn string(text: &str) -> String {
    if !text.contains(is_stand_in) {
        return ::toml::Value::from(text).to_string();
    }
    // A byte that is no part of UTF-8 cannot stand in the file itself.
    let mut out = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if is_stand_in(c) || c.is_control() => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The value of a key, and keys that stand beside it.
fn value(item: &Item, row: &'static Keyword, broad: bool) -> (String, Vec<(&'static str, String)>) {
    let args = item.args();
    let first = args.first().map_or("", String::as_str);
    let has = |word: &str| args.iter().any(|arg| arg == word);
    let mut beside = Vec::new();
    let text = match kinds::kind(row) {
        Kind::Flag => "true".to_owned(),
        Kind::Truth => (!matches!(first, "off" | "false" | "no")).to_string(),
        Kind::Optional if args.is_empty() => "true".to_owned(),
        Kind::Number | Kind::Scalar | Kind::Optional => scalar(first),
        Kind::Time => time(first, 1_000_000),
        Kind::Millis => time(first, 1_000),
        Kind::Text => string(first),
        Kind::Words => match args {
            [one] => scalar(one),
            several => array(several.iter().map(|word| scalar(word)).collect()),
        },
        Kind::Line if args.iter().all(|word| one_word(word)) => string(&args.join(" ")),
        Kind::Line => array(args.iter().map(|word| string(word)).collect()),
        Kind::Command => match args {
            [] => "true".to_owned(),
            [command] => string(command),
            [command, user, ..] => {
                let mut pairs = vec![("command", string(command)), ("user", string(user))];
                pairs.extend(args.get(2).map(|group| ("group", string(group))));
                inline(pairs)
            }
        },
        Kind::User => match args {
            [user, group, ..] => inline(vec![("user", string(user)), ("group", string(group))]),
            _ => string(first),
        },
        Kind::Weight => {
            if has("reverse") {
                beside.push(("reverse", "true".to_owned()));
            }
            scalar(first)
        }
        Kind::InitFile => {
            if has("overwrite") {
                beside.push(("overwrite", "true".to_owned()));
            }
            match first {
                "" | "overwrite" => "true".to_owned(),
                number => scalar(number),
            }
        }
        Kind::Match => string(if first.is_empty() { "exact" } else { first }),
        Kind::Rate => {
            let within = args.get(1).map_or("", String::as_str);
            inline(vec![
                ("count", scalar(first)),
                ("within", time(within, 1_000_000)),
            ])
        }
        Kind::List(within) => list(item, within, broad),
        Kind::Table(_) => {
            let children = item.block.iter().flatten();
            let pairs = children.filter_map(|child| {
                let row = child.row?;
                Some((kinds::key(row), value(child, row, false).0))
            });
            inline(pairs.collect())
        }
    };
    (text, beside)
}

fn one_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_whitespace)
}

/// A whole number as such, everything else as a string.
fn scalar(text: &str) -> String {
    match text.parse::<i64>() {
        Ok(number) if number.to_string() == text => text.to_owned(),
        Ok(_) | Err(_) => string(text),
    }
}

/// A length of time counted in `unit` microseconds.
fn time(text: &str, unit: u64) -> String {
    let Some(micros) = scaled(text, unit) else {
        return string(text);
    };
    string(&if micros % 1_000_000 == 0 {
        format!("{}s", micros / 1_000_000)
    } else if micros % 1_000 == 0 {
        format!("{}ms", micros / 1_000)
    } else {
        format!("{micros}us")
    })
}

fn inline(pairs: Vec<(&str, String)>) -> String {
    let pairs: Vec<String> = pairs
        .into_iter()
        .map(|(key, value)| format!("{key} = {value}"))
        .collect();
    format!("{{ {} }}", pairs.join(", "))
}

fn array(values: Vec<String>) -> String {
    format!("[{}]", values.join(", "))
}

/// Entries on one line if they fit and nothing is to be said about them, otherwise each on its own.
fn list(item: &Item, within: Within, broad: bool) -> String {
    let mut lines: Vec<(String, &Item)> = Vec::new();
    for one in item.block.iter().flatten() {
        if within == Within::Names {
            lines.extend(one.words.iter().map(|word| (string(word), one)));
        } else {
            lines.push((entry(one, within), one));
        }
    }
    let quiet = item.below.is_empty()
        && lines
            .iter()
            .all(|(_, one)| one.above.is_empty() && one.behind.is_none());
    let single = array(lines.iter().map(|(text, _)| text.clone()).collect());
    if !broad || (quiet && single.len() + item.name().len() <= WIDTH) {
        return single;
    }
    let mut out = "[\n".to_owned();
    for (text, one) in lines {
        for text in &one.above {
            comment(text, "    ", &mut out);
        }
        out.push_str(&format!("    {text},"));
        behind(one, &mut out);
    }
    for text in &item.below {
        comment(text, "    ", &mut out);
    }
    out.push(']');
    out
}

/// An entry alone, or as a table with its options.
fn entry(item: &Item, within: Within) -> String {
    let first = item.name();
    if spread(within) {
        return string(&item.words.join(" "));
    }
    let Some((key, words)) = options(within) else {
        return string(first);
    };
    if item.args().is_empty() {
        return string(first);
    }
    let mut pairs = vec![(key, string(first))];
    let mut rest = item.args();
    while let Some((word, tail)) = rest.split_first() {
        rest = tail;
        if words == Within::TrackWord && (word == "reverse" || word == "noreverse") {
            pairs.push(("reverse", (word == "reverse").to_string()));
            continue;
        }
        let Some(row) = keywords::find(words, word) else {
            continue;
        };
        let (args, tail) = tail.split_at(tail.len().min(usize::from(row.min)));
        rest = tail;
        let mut option = Item::key(row);
        option.words.extend(args.iter().cloned());
        pairs.push((kinds::key(row), value(&option, row, false).0));
    }
    inline(pairs)
}
