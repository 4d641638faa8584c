//! External trackers for people: `mainstay track`.

use crate::ctl::render::{Look, length, table};
use crate::ctl::reply::FedReply;
use crate::model::view::{ExternalView, Snapshot};

/// What `mainstay track list` prints.
pub fn list(all: &[ExternalView], look: Look) -> String {
    if all.is_empty() {
        return "no tracker is external: write `external` in a vrrp_script or track_file\n"
            .to_owned();
    }
    let head = [
        "TRACKER", "KIND", "STATE", "RESULTS", "SET TO", "BY", "WHEN", "LEASE", "MAY SET",
    ];
    let rows = all.iter().map(|tracker| {
        let none = String::new;
        vec![
            tracker.name.to_string(),
            match tracker.kind.as_str() {
                "file" => "number".to_owned(),
                other => other.to_owned(),
            },
            tracker.state.clone(),
            tracker.counter.clone(),
            tracker.value.clone().unwrap_or_else(none),
            tracker.uid.map_or_else(none, |uid| format!("user {uid}")),
            tracker
                .ago_s
                .map_or_else(none, |ago| format!("{} ago", length(ago))),
            match (tracker.left_s, tracker.lease_over) {
                (_, true) => "ran out".to_owned(),
                (Some(left), false) => format!("{} left", length(left)),
                (None, false) if tracker.value.is_some() => "none".to_owned(),
                (None, false) => none(),
            },
            match &tracker.user {
                Some(user) => format!("root, {user}"),
                None => "root".to_owned(),
            },
        ]
    });
    table(&head, rows, "", look)
}

/// What `mainstay track set` prints.
pub fn set(reply: &FedReply) -> String {
    let mut text = format!("{} is set to {}", reply.name, reply.value);
    if let Some(left) = reply.left_s {
        text += &format!(" for {}", length(left));
    }
    if !reply.counter.is_empty() {
        text += &format!(" and counts as {} ({})", reply.state, reply.counter);
    }
    text.push('\n');
    text
}

/// What waits for a first report, a sentence each.
pub(super) fn waiting(snapshot: &Snapshot) -> impl Iterator<Item = String> + '_ {
    let unset = snapshot
        .externals
        .iter()
        .filter(|t| t.used && t.value.is_none());
    unset.map(|tracker| {
        let value = match tracker.kind.as_str() {
            "file" => "NUMBER",
            _ => "up|down",
        };
        format!(
            "nobody has set {0} yet: mainstay track set {0} {value}",
            tracker.name
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::render::tests::full_snapshot;

    #[test]
    fn who_set_what_when_and_for_how_long_stands_in_columns() {
        let mut all = full_snapshot().externals;
        all.push(ExternalView {
            name: "load".into(),
            kind: "file".into(),
            value: None,
            state: "pending".into(),
            counter: "nobody has set it yet".into(),
            uid: None,
            ago_s: None,
            left_s: None,
            user: None,
            ..all[0].clone()
        });
        let expected = "\
TRACKER  KIND    STATE    RESULTS                SET TO  BY         WHEN         LEASE         MAY SET
db       script  down     down 1/2               up      user 1000  1.500 s ago  3.500 s left  root, feeder
load     number  pending  nobody has set it yet                                                root
";
        assert_eq!(list(&all, Look::default()), expected);
    }

    #[test]
    fn what_was_set_is_told_with_what_it_counts_as() {
        let mut reply = FedReply {
            name: "db".into(),
            value: "down".into(),
            state: "up".into(),
            counter: "up 1/2".into(),
            changed: true,
            left_s: Some(5.0),
            remark: None,
        };
        let text = "db is set to down for 5.000 s and counts as up (up 1/2)\n";
        assert_eq!(set(&reply), text);
        (reply.counter, reply.left_s) = (String::new(), None);
        assert_eq!(set(&reply), "db is set to down\n");
    }
}
