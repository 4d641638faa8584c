//! Values of keywords that nothing comes of: read all the same, so that their mistakes are told.

use super::block::Node;
use super::diag::Diags;
use super::keywords::{Keyword, Status, Within};
use super::value::{self, Junk};

/// What stands after such a keyword.
enum Value {
    Truth,
    Number(i64, i64),
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
    let (Some(arg), Some(kind)) = (args.first(), value_of(row)) else {
        return;
    };
    match kind {
        Value::Truth => {
            value::boolean(word, Some(arg), diags);
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
