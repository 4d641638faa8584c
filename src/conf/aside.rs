//! Values of keywords that nothing comes of: read all the same, so that their mistakes are told.

use super::block::Node;
use super::diag::{Diagnostic, Diags};
use super::keywords::{Keyword, Status, Within};
use super::lexer::Word;
use super::value::{self, Junk};

/// What stands after such a keyword.
enum Value {
    Truth,
    Number(i64, i64),
    Word(&'static str),
}

/// One number of any base, or names of permissions with `|` between them.
fn umask(args: &[Word], diags: &mut Diags) {
    let Some(first) = args.first() else { return };
    let text: String = args.iter().map(|w| &*w.text).collect();
    let number = |text: &str| match text.strip_prefix('0') {
        Some(rest) => match rest.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => u32::from_str_radix(text, 8),
        },
        None => text.parse(),
    };
    let name = |name: &str| {
        let known = ["USR", "GRP", "OTH"].iter().any(|who| {
            let what = name.strip_suffix(who).and_then(|n| n.strip_prefix('I'));
            matches!(what, Some("R" | "W" | "X" | "RWX"))
        });
        known || name.starts_with("IRWX") && matches!(&name[4..], "U" | "G" | "O")
    };
    let sound = match number(&text) {
        Ok(n) => args.len() == 1 && n <= 0o777,
        Err(_) => text.split('|').all(name),
    };
    if !sound {
        let last = args.last().unwrap_or(first);
        let what = format!("`{text}` is no umask");
        diags.push(
            Diagnostic::error("bad-value", first.span.to(last.span), what)
                .help("expected a number such as 022, or names such as IWGRP | IWOTH"),
        );
    }
}

/// Looks at the value of a keyword that is not acted on.
pub(super) fn check(node: &Node, row: &Keyword, diags: &mut Diags) {
    let idle = match row.status {
        Status::NoEffect(_) | Status::NotYet { .. } => true,
        Status::Acted | Status::AsBlock | Status::Refused(_) | Status::Lvs => false,
    };
    let Some((word, args)) = node.words.split_first().filter(|_| idle) else {
        return;
    };
    if row.name == "umask" {
        return umask(args, diags);
    }
    let (Some(arg), Some(kind)) = (args.first(), value_of(row)) else {
        return;
    };
    match kind {
        Value::Truth => {
            value::boolean(word, Some(arg), diags);
        }
        Value::Word(known) => {
            if &*arg.text != known {
                let what = format!("`{}` is not known to {}", arg.text, row.name);
                let help = format!("expected {known} or nothing");
                diags.push(Diagnostic::error("unknown-option", arg.span, what).help(help));
            }
        }
        Value::Number(low, high) => {
            value::integer(word, arg, low..=high, Junk::Cut, diags);
        }
    }
}

fn value_of(row: &Keyword) -> Option<Value> {
    let any = i64::from(u32::MAX);
    Some(match (row.within, row.name) {
        (
            _,
            "smtp_alert"
            | "smtp_alert_vrrp"
            | "vrrp_notify_priority_changes"
            | "notify_priority_changes"
            | "data_use_instance",
        ) => Value::Truth,
        (Within::Global, "dynamic_interfaces") => Value::Word("allow_if_changes"),
        (Within::Global, "smtp_connect_timeout") => Value::Number(0, 4294),
        (Within::Global, "startup_script_timeout" | "shutdown_script_timeout") => {
            Value::Number(1, 1000)
        }
        (Within::Global, "max_auto_priority") => Value::Number(-1, 99),
        (Within::Global, "min_auto_priority_delay") => Value::Number(1, 10_000_000),
        (Within::Global, "nftables_priority") => {
            Value::Number(i64::from(i32::MIN), i64::from(i32::MAX))
        }
        (Within::Global, "json_version") => Value::Number(1, 2),
        (
            Within::Global,
            "vrrp_netlink_cmd_rcv_bufs"
            | "vrrp_netlink_monitor_rcv_bufs"
            | "vrrp_rx_bufs_multiplier",
        ) => Value::Number(0, any),
        (Within::Instance, "kernel_rx_buf_size") => Value::Number(0, any),
        (Within::Instance, "unicast_ttl") => Value::Number(0, 255),
        (Within::Instance, "debug") => Value::Number(0, 4),
        (Within::Root, "child_wait_time") => Value::Number(0, any),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::help::{codes, read};

    #[test]
    fn mistakes_in_what_is_not_acted_on_are_told() {
        let told = |line: &str| codes(&read(&format!("global_defs {{\n{line}\n}}\n")));
        assert_eq!(told("smtp_alert on"), ["not-acted-on"]);
        assert_eq!(told("smtp_alert ON"), ["not-acted-on", "bad-boolean"]);
        assert_eq!(
            told("max_auto_priority 100"),
            ["not-acted-on", "out-of-range"]
        );
        assert_eq!(
            told("smtp_connect_timeout x"),
            ["not-acted-on", "bad-number"]
        );
    }
}
