//! Trees of lines in keepalived's language.

use super::words::word;
use super::{Item, Unwritable};
use crate::conf::keywords::{Keyword, Within};

/// Additions of ours, which keepalived does not know.
const OURS: &[(Within, &str)] = &[
    (Within::Global, "control_group"),
    (Within::Global, "vip_restore_limit"),
    (Within::Global, "journal_keep"),
    (Within::Global, "vip_mismatch"),
    (Within::Global, "track_handover"),
    (Within::Global, "script_unusable"),
    (Within::Global, "all_failed"),
    (Within::Script, "check"),
    (Within::Script, "window"),
    (Within::Script, "rise_when_backup"),
    (Within::Script, "fall_when_master"),
    (Within::Script, "external"),
    (Within::Script, "lease"),
    (Within::TrackFile, "external"),
    (Within::TrackFile, "lease"),
    (Within::TrackFile, "user"),
    (Within::Instance, "vip_mismatch"),
    (Within::Instance, "track_handover"),
    (Within::Instance, "all_failed"),
    (Within::Instance, "flap_damping"),
    (Within::Damping, "half_life"),
    (Within::Damping, "suppress"),
    (Within::Damping, "reuse"),
];

/// Whether keepalived does not know a keyword, in any version.
pub(in crate::conf) fn is_ours(row: &Keyword) -> bool {
    OURS.contains(&(row.within, row.name))
}

/// Prints the whole tree.
pub(super) fn print(items: &[Item]) -> Result<String, Unwritable> {
    let mut out = String::new();
    for (index, item) in items.iter().enumerate() {
        if index > 0 && (item.block.is_some() || !item.above.is_empty()) {
            out.push('\n');
        }
        print_item(item, 0, false, &mut out)?;
    }
    Ok(out)
}

/// Whether keepalived must not see a line: it does not know it, or nothing would be left in its block.
fn hidden(item: &Item) -> bool {
    item.ours
        || item.row.is_some_and(is_ours)
        || item
            .block
            .as_ref()
            .is_some_and(|block| !block.is_empty() && block.iter().all(hidden))
}

fn print_item(item: &Item, depth: usize, inside: bool, out: &mut String) -> Result<(), Unwritable> {
    let hidden = inside || hidden(item);
    let mark = if hidden { "#@mainstay " } else { "" };
    let indent = "    ".repeat(depth);
    for text in &item.above {
        comment(text, &indent, out);
    }
    out.push_str(&indent);
    out.push_str(mark);
    out.push_str(&line(item)?);
    let behind = |out: &mut String| {
        if let Some(text) = &item.behind {
            out.push_str("  #");
            out.push_str(text);
        }
        out.push('\n');
    };
    match &item.block {
        None => behind(out),
        Some(block) => {
            out.push_str(" {");
            behind(out);
            for child in block {
                print_item(child, depth + 1, hidden, out)?;
            }
            let inner = "    ".repeat(depth + 1);
            for text in &item.below {
                comment(text, &inner, out);
            }
            out.push_str(&format!("{indent}{mark}}}\n"));
        }
    }
    Ok(())
}

fn comment(text: &str, indent: &str, out: &mut String) {
    out.push_str(indent);
    out.push('#');
    // A comment of TOML's must not become one of our additions.
    if text.starts_with("@mainstay") {
        out.push(' ');
    }
    out.push_str(text);
    out.push('\n');
}

fn line(item: &Item) -> Result<String, Unwritable> {
    let mut parts = Vec::with_capacity(item.words.len());
    for (index, text) in item.words.iter().enumerate() {
        parts.push(match (item.row, index) {
            (Some(_), 0) => text.clone(),
            // It has no double quotes of its own.
            (Some(row), 1) if row.command => format!("\"{text}\""),
            (_, index) => word(text, index == 0)?,
        });
    }
    Ok(parts.join(" "))
}
