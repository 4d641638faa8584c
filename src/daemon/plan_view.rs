//! A reload's plan for people: what is created, changed, removed, and what exactly differs.

use crate::core::plan::{Plan, Step};
use crate::ctl::reply::{Change, PlanView};
use crate::model::settings::{RouterSettings, Settings};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Our names of settings and the keywords that set them.
const KEYWORDS: &[(&str, &str)] = &[
    ("adver", "advert_int"),
    ("vrid", "virtual_router_id"),
    ("addresses", "virtual_ipaddress"),
    ("excluded", "virtual_ipaddress_excluded"),
    ("source", "source address"),
    ("transport", "unicast_peer"),
    ("down_adverts", "down_timer_adverts"),
    ("start_active", "state"),
    ("tracks", "track_script"),
    ("track_links", "track_interface"),
    ("track_processes", "track_process"),
    ("track_sessions", "track_bfd"),
    ("handover", "track_handover"),
    ("damping", "flap_damping"),
    ("thresholds", "window, rise_when_backup or fall_when_master"),
    ("unusable_faults", "script_unusable"),
    ("strict", "strict_mode"),
    ("drop_mismatch", "vip_mismatch"),
    ("checksum_as_v2", "v3_checksum_as_v2"),
    ("skip_check_addrs", "skip_check_adv_addr"),
    ("command", "script"),
    ("members", "group"),
    ("poll_all", "linkbeat_use_polling"),
    ("polls", "linkbeat_interfaces"),
    ("delays", "interface_up_down_delays"),
];

/// What the plan comes to. `states` are keepalived's words for the instances that run.
pub(super) fn describe(
    old: &Settings,
    plan: &Plan,
    states: &HashMap<Arc<str>, String>,
) -> PlanView {
    let new = &*plan.settings;
    let mut view = PlanView::default();
    let named = |r: &Arc<RouterSettings>| r.name.to_string();
    sort(
        &mut view,
        "instance",
        &plan.routers,
        (&old.routers, &new.routers),
        named,
    );
    sort(
        &mut view,
        "script",
        &plan.checks,
        (&old.checks, &new.checks),
        |c| c.name.to_string(),
    );
    by_name(&mut view, "file", &old.files, &new.files, |f| {
        f.name.to_string()
    });
    by_name(&mut view, "process", &old.processes, &new.processes, |p| {
        p.name.to_string()
    });
    by_name(&mut view, "group", &old.groups, &new.groups, |g| {
        g.name.to_string()
    });
    let group = |g: &crate::model::links::TrackGroup| g.name.to_string();
    by_name(
        &mut view,
        "track_group",
        &old.track_groups,
        &new.track_groups,
        group,
    );
    by_name(&mut view, "static", &old.statics, &new.statics, |one| {
        let dev = one.address.dev.as_deref().unwrap_or_default();
        format!("{} on {dev}", one.address.cidr)
    });
    view.global = differences(&old.global, &new.global);
    view.global.extend(differences(&old.links, &new.links));
    for step in &plan.routers {
        if let Step::Alter { old: o, new: n } = *step
            && let (Some(o), Some(n)) = (old.routers.get(o), new.routers.get(n))
        {
            view.advice.extend(address_advice(o, n, states));
        }
    }
    view
}

/// Fills in what a list of steps says.
fn sort<T: Serialize>(
    view: &mut PlanView,
    kind: &str,
    steps: &[Step],
    (old, new): (&[T], &[T]),
    name: impl Fn(&T) -> String,
) {
    let change = |of: &T, differs: Vec<String>| Change {
        kind: kind.to_owned(),
        name: name(of),
        differs,
    };
    for step in steps {
        match *step {
            Step::Create { new: at } => {
                view.created
                    .extend(new.get(at).map(|n| change(n, Vec::new())));
            }
            Step::Retire { old: at } => {
                view.removed
                    .extend(old.get(at).map(|o| change(o, Vec::new())));
            }
            Step::Keep { .. } => view.untouched += 1,
            Step::Alter { old: o, new: n } => {
                if let (Some(o), Some(n)) = (old.get(o), new.get(n)) {
                    view.changed.push(change(n, differences(o, n)));
                }
            }
        }
    }
}

/// The same for what is told apart by its name.
fn by_name<T: Serialize + PartialEq>(
    view: &mut PlanView,
    kind: &str,
    old: &[Arc<T>],
    new: &[Arc<T>],
    name: impl Fn(&T) -> String,
) {
    let mut places: HashMap<String, usize> = old
        .iter()
        .enumerate()
        .map(|(at, one)| (name(one), at))
        .collect();
    let mut steps: Vec<Step> = Vec::new();
    for (at, one) in new.iter().enumerate() {
        steps.push(match places.remove(&name(one)) {
            None => Step::Create { new: at },
            Some(o) if old[o] == *one => Step::Keep { old: o, new: at },
            Some(o) => Step::Alter { old: o, new: at },
        });
    }
    let mut gone: Vec<usize> = places.into_values().collect();
    gone.sort_unstable();
    steps.extend(gone.into_iter().map(|old| Step::Retire { old }));
    sort(view, kind, &steps, (old, new), |one| name(one));
}

/// What differs between two settings of one kind, a sentence each.
fn differences<T: Serialize>(old: &T, new: &T) -> Vec<String> {
    let mut found = Vec::new();
    if let (Ok(old), Ok(new)) = (serde_json::to_value(old), serde_json::to_value(new)) {
        compare("", &old, &new, &mut found);
    }
    found
}

fn compare(path: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    if old == new {
        return;
    }
    // Never the password itself.
    if path == "auth" {
        found.push("authentication changes".to_owned());
        return;
    }
    match (old, new) {
        (Value::Object(o), Value::Object(n))
            if path.is_empty() || (scalar(old).is_none() && scalar(new).is_none()) =>
        {
            let keys: BTreeSet<&String> = o.keys().chain(n.keys()).collect();
            for key in keys {
                let below = if path.is_empty() {
                    keyword(key).to_owned()
                } else {
                    format!("{path} {}", keyword(key))
                };
                let none = Value::Null;
                compare(
                    &below,
                    o.get(key).unwrap_or(&none),
                    n.get(key).unwrap_or(&none),
                    found,
                );
            }
        }
        (Value::Array(o), Value::Array(n)) => {
            let less: Vec<String> = o.iter().filter(|v| !n.contains(v)).map(short).collect();
            let more: Vec<String> = n.iter().filter(|v| !o.contains(v)).map(short).collect();
            let mut text = path.to_owned();
            for (word, list) in [("without", &less), ("with", &more)] {
                if !list.is_empty() {
                    text += &format!(" {word} {}", list.join(", "));
                }
            }
            if less.is_empty() && more.is_empty() {
                text += " in another order";
            }
            found.push(text);
        }
        (_, _) => found.push(format!("{path} {} -> {}", short(old), short(new))),
    }
}

fn keyword(name: &str) -> &str {
    KEYWORDS
        .iter()
        .find(|(ours, _)| *ours == name)
        .map_or(name, |(_, theirs)| theirs)
}

/// Objects that are one value to people: lengths of time, addresses, commands, named trackers.
fn scalar(value: &Value) -> Option<String> {
    let object = value.as_object()?;
    if let (Some(secs), Some(nanos), 2) = (
        object.get("secs").and_then(Value::as_u64),
        object.get("nanos").and_then(Value::as_u64),
        object.len(),
    ) {
        let text = format!("{secs}.{:06}", nanos / 1_000);
        let text = text.trim_end_matches('0').trim_end_matches('.');
        return Some(format!("{text} s"));
    }
    if let Some(cidr) = object.get("cidr") {
        return Some(short(cidr));
    }
    if let (Some(addr), Some(len)) = (object.get("addr"), object.get("len")) {
        return Some(format!("{}/{len}", short(addr)));
    }
    if let Some(argv) = object.get("argv").and_then(Value::as_array) {
        let words: Vec<&str> = argv.iter().filter_map(Value::as_str).collect();
        return Some(words.join(" "));
    }
    if let (Some(Value::String(name)), Some(down), Some(up)) = (
        object.get("interface"),
        object.get("down"),
        object.get("up"),
    ) {
        return Some(format!("{name} down {} up {}", short(down), short(up)));
    }
    if let (Some(Value::String(name)), Some(how)) = (object.get("interface"), object.get("how")) {
        return Some(format!("{name} {}", short(how).to_uppercase()));
    }
    let name = ["check", "name", "interface"]
        .iter()
        .find_map(|key| object.get(*key)?.as_str())?;
    let weight = object.get("weight")?;
    let reverse = match object.get("reverse") {
        Some(Value::Bool(true)) => " reverse",
        Some(_) | None => "",
    };
    Some(format!("{name} weight {weight}{reverse}"))
}

/// A block that comes or goes as a whole: what it says, in one line.
fn block(parts: &Map<String, Value>) -> String {
    let said = parts.iter().filter(|(_, value)| !value.is_null());
    let words: Vec<String> = said
        .map(|(name, value)| format!("{} {}", keyword(name), short(value)))
        .collect();
    if words.is_empty() {
        "on".to_owned()
    } else {
        words.join(", ")
    }
}

fn short(value: &Value) -> String {
    const LONGEST: usize = 80;
    let text = match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "on".to_owned(),
        Value::Bool(false) => "off".to_owned(),
        Value::Object(parts) => scalar(value).unwrap_or_else(|| block(parts)),
        Value::Number(_) | Value::Array(_) => value.to_string(),
    };
    if text.chars().count() > LONGEST {
        text.chars().take(LONGEST).chain("...".chars()).collect()
    } else {
        text
    }
}

/// keepalived before 2.3.3 drops adverts whose address list is not its own: reloaded in the wrong
/// order, the pair has two masters until both are reloaded.
fn address_advice(
    old: &RouterSettings,
    new: &RouterSettings,
    states: &HashMap<Arc<str>, String>,
) -> Option<String> {
    let list = |r: &RouterSettings| {
        let all = r.addresses.iter().map(|a| a.cidr.addr);
        all.collect::<BTreeSet<_>>()
    };
    if list(old) == list(new) {
        return None;
    }
    let name = &old.name;
    let order = match states.get(name).map(String::as_str) {
        Some("MASTER") => format!(
            "this node is MASTER, so move it away first: `mainstay drain {name}`, reload this node, \
             reload the other, `mainstay undrain {name}`"
        ),
        Some("BACKUP") if new.drop_mismatch => {
            "this node is BACKUP and has `vip_mismatch drop`: reload both at the same moment"
                .to_owned()
        }
        Some("BACKUP") => "this node is BACKUP: reload this node first, then the MASTER".to_owned(),
        Some(_) | None => {
            "reload the BACKUP node that runs Mainstay first, then the MASTER".to_owned()
        }
    };
    Some(format!(
        "{name}: its addresses change. A peer that runs keepalived before 2.3.3 refuses adverts with \
         other addresses than its own and, as BACKUP, becomes a second MASTER until it is reloaded \
         too. With such a peer: {order}. Mainstay and keepalived 2.3.3 or newer accept them; any \
         order will do."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf;
    use crate::core::plan::diff;

    const FILE: &str = "\
vrrp_script chk {
    script \"/bin/true\"
    interval 2
}
vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 51
    priority 100
    authentication {
        auth_type PASS
        auth_pass oldpass
    }
    virtual_ipaddress {
        10.0.0.9/24
    }
    track_script {
        chk weight -5
    }
}
vrrp_instance VI_2 {
    interface eth0
    virtual_router_id 52
    virtual_ipaddress {
        10.0.0.10/24
    }
}
";

    fn settings(text: &str) -> Settings {
        let loaded = conf::load_str("test", text, &conf::Options::default());
        loaded.settings.expect("sound")
    }

    fn view(old: &str, new: &str, state: &str) -> PlanView {
        let old = settings(old);
        let plan = diff(&old, Arc::new(settings(new)));
        let states = HashMap::from([("VI_1".into(), state.to_owned())]);
        describe(&old, &plan, &states)
    }

    #[test]
    fn the_same_file_changes_nothing() {
        let view = view(FILE, FILE, "MASTER");
        assert!(view.is_empty(), "{view:?}");
        assert_eq!(view.untouched, 3);
        assert_eq!(
            view.to_string(),
            "0 created, 0 changed, 0 removed, 3 untouched"
        );
    }

    #[test]
    fn what_differs_is_told_in_the_words_of_the_file() {
        let new = FILE
            .replace("priority 100", "priority 150\n    advert_int 2")
            .replace("interval 2", "interval 3")
            .replace("chk weight -5", "chk weight -60");
        let view = view(FILE, &new, "MASTER");
        let names: Vec<_> = view.changed.iter().map(|c| (&*c.kind, &*c.name)).collect();
        assert_eq!(names, [("instance", "VI_1"), ("script", "chk")]);
        let differs = view.changed[0].differs.join("\n");
        for part in [
            "priority 100 -> 150",
            "advert_int 1 s -> 2 s",
            "track_script without chk weight -5 with chk weight -60",
        ] {
            assert!(differs.contains(part), "{part} in {differs}");
        }
        assert!(
            view.changed[1]
                .differs
                .contains(&"interval 2 s -> 3 s".to_owned())
        );
        assert!(view.advice.is_empty());
    }

    #[test]
    fn a_password_is_never_shown() {
        let text = format!(
            "{:?}",
            view(FILE, &FILE.replace("oldpass", "newpass"), "MASTER")
        );
        assert!(text.contains("authentication changes"), "{text}");
        let bytes = format!("{:?}", b"oldpass").replace(['[', ']'], "");
        assert!(!text.contains("pass") && !text.contains(&bytes), "{text}");
    }

    #[test]
    fn created_and_removed_are_named() {
        let new = FILE
            .replace("vrrp_instance VI_2", "vrrp_instance VI_3")
            .replace("virtual_router_id 52", "virtual_router_id 53");
        let view = view(FILE, &new, "MASTER");
        assert_eq!(view.created[0].name, "VI_3");
        assert_eq!(view.removed[0].name, "VI_2");
    }

    #[test]
    fn what_concerns_interfaces_is_told_in_words_too() {
        let new = format!(
            "interface_up_down_delays {{\n eth0 1 2.5\n}}\nlinkbeat_interfaces {{\n eth0 MII\n}}\n\
             static_ipaddress {{\n 10.3.0.1/24 dev eth3\n}}\n{FILE}"
        );
        let view = view(FILE, &new, "MASTER");
        assert_eq!(
            view.global,
            [
                "interface_up_down_delays with eth0 down 1 s up 2.5 s",
                "linkbeat_interfaces with eth0 MII"
            ]
        );
        let created = &view.created[0];
        assert_eq!(
            (&*created.kind, &*created.name),
            ("static", "10.3.0.1/24 on eth3")
        );
    }

    #[test]
    fn a_block_that_comes_or_goes_is_told_in_words() {
        let new = FILE
            .replace(
                "script \"/bin/true\"\n    interval 2",
                "external\n    lease 3\n    user nobody",
            )
            .replace(
                "priority 100",
                "priority 100\n    flap_damping {\n suppress 5\n }",
            );
        let text = view(FILE, &new, "MASTER").changed.into_iter();
        let text: Vec<String> = text.flat_map(|c| c.differs).collect();
        for part in [
            "flap_damping none -> half_life 60 s, reuse 1, suppress 5",
            "external none -> lease 3 s, user nobody",
        ] {
            assert!(text.iter().any(|t| t == part), "{part} in {text:?}");
        }
    }

    #[test]
    fn changed_addresses_bring_advice_that_fits_the_state() {
        let new = FILE.replace("10.0.0.9/24", "10.0.0.9/24\n        10.0.0.8/24");
        let master = view(FILE, &new, "MASTER");
        let differs = &master.changed[0].differs;
        assert!(
            differs.contains(&"virtual_ipaddress with 10.0.0.8/24".to_owned()),
            "{differs:?}"
        );
        assert!(
            master.advice[0].contains("mainstay drain VI_1"),
            "{:?}",
            master.advice
        );
        let backup = view(FILE, &new, "BACKUP");
        assert!(
            backup.advice[0].contains("reload this node first"),
            "{:?}",
            backup.advice
        );
        let order = FILE.replace("10.0.0.9/24", "10.0.0.9/25");
        assert!(
            view(FILE, &order, "MASTER").advice.is_empty(),
            "the advert is the same"
        );
    }
}
