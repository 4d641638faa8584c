//! How documents are read.

use super::kinds::{self, No};
use crate::conf::help::codes;
use crate::conf::keywords::{self, Status, Within};
use crate::conf::{Loaded, Options, Severity, load_str};
use crate::model::settings::{AuthSettings, RouterSettings, TransportSettings};
use std::sync::Arc;
use std::time::Duration;

fn read(text: &str) -> Loaded {
    load_str("test.toml", text, &Options::default())
}

/// One instance on eth0 with VRID 51, an address and the given lines.
fn instance(lines: &str) -> String {
    format!(
        "[instance.A]\ninterface = \"eth0\"\nvirtual_router_id = 51\n\
         virtual_ipaddress = [\"10.0.0.1/24\"]\n{lines}\n"
    )
}

#[track_caller]
fn router(lines: &str) -> Arc<RouterSettings> {
    let loaded = read(&instance(lines));
    let said: Vec<_> = loaded.diagnostics.iter().map(|d| &d.text).collect();
    assert!(
        loaded
            .diagnostics
            .iter()
            .all(|d| d.severity == Severity::Note),
        "{said:?}"
    );
    loaded.settings.expect("usable").routers[0].clone()
}

/// What is said of these lines: place, text and help.
fn said(text: &str) -> Vec<String> {
    let loaded = read(text);
    loaded
        .diagnostics
        .iter()
        .map(|d| d.one_line(&loaded.sources))
        .collect()
}

#[test]
fn values_have_their_types() {
    let r = router(
        "state = \"BACKUP\"\npriority = 0x96\nadvert_int = \"2s\"\nnopreempt = true\nversion = 2\n\
         timer_expired_backup = 200\ndont_track_primary = false\nlower_prio_no_advert = true\n\
         authentication = { auth_type = \"PASS\", auth_pass = \"a # b\" }\n\
         garp_master_delay = 7\ngarp_master_repeat = 1",
    );
    assert_eq!(r.priority.get(), 150);
    assert_eq!(r.adver, Duration::from_secs(2));
    assert!(!r.preempt && !r.dont_track_primary && r.lower_prio_no_advert);
    assert_eq!(r.timer_expired_backup.map(|p| p.get()), Some(200));
    assert_eq!(r.auth, AuthSettings::Password(*b"a # b\0\0\0"));
    assert_eq!((r.garp.delay, r.garp.repeat), (Duration::from_secs(7), 1));
}

#[test]
fn times_are_numbers_of_seconds_or_have_a_unit() {
    for (text, millis) in [
        ("1", 1000),
        ("0.25", 250),
        ("\"250ms\"", 250),
        ("\"0.5 m\"", 30_000),
    ] {
        let r = router(&format!("version = 3\nadvert_int = {text}"));
        assert_eq!(r.adver, Duration::from_millis(millis), "{text}");
    }
    for bad in ["\"1\"", "\"fast\"", "-1", "1e3", "inf", "true"] {
        let loaded = read(&instance(&format!("advert_int = {bad}")));
        assert_eq!(codes(&loaded).len(), 1, "{bad}");
    }
}

#[test]
fn entries_stand_alone_or_with_options() {
    let r = router(
        "unicast_src_ip = \"10.0.0.8\"\nunicast_peer = [\"10.0.0.9\", { address = \"10.0.0.10\" }]\n\
         virtual_ipaddress_excluded = [\n  { address = \"10.0.1.1/24\", dev = \"eth1\", brd = \"+\", scope = 253, \
         label = \"eth1:a\" },\n  { address = \"2001:db8::1/128\", preferred_lft = \"forever\", dad = true, \
         noprefixroute = true, no_track = true },\n]",
    );
    let TransportSettings::Unicast { peers } = &r.transport else {
        panic!("unicast was asked for");
    };
    assert_eq!(peers.len(), 2);
    let four = &r.excluded[0];
    assert_eq!(four.dev.as_deref(), Some("eth1"));
    assert_eq!(
        four.broadcast.map(|a| a.to_string()).as_deref(),
        Some("10.0.1.255")
    );
    assert_eq!((four.scope, four.label.as_deref()), (253, Some("eth1:a")));
    let six = &r.excluded[1];
    assert!(six.dad && six.no_prefix_route && six.no_track);
    assert_eq!(six.preferred_lft, None);
}

#[test]
fn commands_are_lines_or_arguments_and_may_have_a_user() {
    let r = router(
        "notify_master = \"/x a 'b c'\"\nnotify_backup = [\"/x\", \"a\", \"b c\", \"$HOME \\\"\\n\"]\n\
         notify_fault = { command = [\"/x\"], user = \"nobody\", group = \"adm\" }\nnotify_deleted = true",
    );
    let argv = |c: &Option<crate::model::settings::Command>| -> Vec<String> {
        let command = c.as_ref().expect("a command");
        command.argv.iter().map(ToString::to_string).collect()
    };
    assert_eq!(argv(&r.notify.master), ["/x", "a", "b c"]);
    assert_eq!(argv(&r.notify.backup), ["/x", "a", "b c", "$HOME \"\n"]);
    let user = r.notify.fault.as_ref().and_then(|c| c.user.clone());
    assert_eq!(user.map(|u| u.user.to_string()).as_deref(), Some("nobody"));
    assert_eq!(r.notify.deleted, Some(None));
}

#[test]
fn scripts_keep_the_order_of_the_file_and_may_follow_their_use() {
    let text = format!(
        "{}[script.z]\nscript = \"/z\"\nweight = 5\nreverse = true\n[script.b]\nscript = \"/b\"\n\
         user = {{ user = \"nobody\" }}\n[global]\nenable_script_security = true\nscript_user = \"nobody\"\n",
        instance("track_script = [\"b\", { name = \"z\", weight = -3, reverse = false }]")
    );
    let loaded = read(&text);
    assert!(loaded.diagnostics.is_empty(), "{:?}", codes(&loaded));
    let settings = loaded.settings.expect("usable");
    let names: Vec<_> = settings.checks.iter().map(|c| &*c.name).collect();
    assert_eq!(names, ["z", "b"]);
    assert!(settings.checks[0].reverse);
    let track = &settings.routers[0].tracks[1];
    assert_eq!((track.weight.get(), track.reverse), (-3, false));
}

#[test]
fn tables_may_be_arrays_with_names() {
    let text = "[[instance]]\nname = \"a.b\"\ninterface = \"eth0\"\nvirtual_router_id = 1\n\
                virtual_ipaddress = [\"10.0.0.1\"]\n[[instance]]\ninterface = \"eth0\"\n";
    let loaded = read(text);
    assert_eq!(codes(&loaded), ["missing-name"]);
    let settings = loaded.settings.expect("usable");
    assert_eq!(&*settings.routers[0].name, "a.b");
}

#[test]
fn an_unknown_key_is_an_error_with_the_nearest_one() {
    let lines = said(&instance("prority = 3"));
    assert_eq!(
        lines,
        ["test.toml:5:1: unknown key `prority` in [instance.NAME] (did you mean `priority`?)"]
    );
    let lines = said("[globl]\n");
    assert_eq!(
        lines,
        ["test.toml:1:2: unknown key `globl` at the top level (did you mean `global`?)"]
    );
    let lines = said("[script.x]\nscript = \"/x\"\nadvert_int = 1\n");
    assert!(
        lines[0].starts_with("test.toml:1:9: nothing tracks x"),
        "{lines:?}"
    );
    assert!(
        lines[2].ends_with("(this key stands in [instance.NAME])"),
        "{lines:?}"
    );
    let lines = said(&instance("track_script = [{ name = \"x\", wieght = 3 }]"));
    let wieght = lines.iter().find(|l| l.contains("unknown key `wieght`"));
    assert!(
        wieght.is_some_and(|l| l.ends_with("(did you mean `weight`?)")),
        "{lines:?}"
    );
}

#[test]
fn keepaliveds_other_names_are_refused_by_name() {
    for (text, help) in [
        ("[vrrp_instance.A]\n", "it is called `instance` in TOML"),
        (
            "[global]\nvrrp_rlimit_rtime = 5\n",
            "it is called `vrrp_rlimit_rttime` in TOML",
        ),
        ("[global]\ndynamic_interfaces = true\n", "remove it"),
        ("include = \"x\"\n", "TOML is one file"),
        (
            "[global]\nlvs_flush = true\n",
            "configure it in a file of its own for `keepalived -C`",
        ),
    ] {
        let lines = said(text);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(help), "{lines:?}");
        assert_eq!(codes(&read(text)), ["unknown-key"], "{text}");
    }
}

#[test]
fn a_wrong_type_is_told_with_its_place() {
    let lines = said(&instance("priority = \"100\""));
    assert_eq!(
        lines,
        [
            "test.toml:5:12: priority cannot be a string; it does not count (expected a whole number)"
        ]
    );
    for wrong in [
        "nopreempt = 1",
        "interface2 = 1",
        "track_script = \"x\"",
        "track_script = [3]",
        "authentication = \"x\"",
        "notify = 3",
        "notify = [3]",
        "notify = { user = \"x\" }",
        "notify = { command = \"/x\", usr = \"x\" }",
        "virtual_ipaddress_excluded = [\"10.0.0.2 dev eth0\"]",
        "virtual_ipaddress_excluded = [{ dev = \"eth0\" }]",
        "track_script = [{ name = \"x\", reverse = true }]",
        "mcast_src_ip = \"a\\nb\"",
    ] {
        let loaded = read(&instance(wrong));
        let errors = loaded
            .diagnostics
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .count();
        assert!(errors > 0, "{wrong}");
    }
}

#[test]
fn ranges_are_those_of_the_other_language() {
    assert_eq!(codes(&read(&instance("priority = 256"))), ["out-of-range"]);
    let loaded = read("[instance.A]\ninterface = \"eth0\"\n");
    assert_eq!(codes(&loaded), ["no-address", "missing-vrid"]);
    let help = loaded.diagnostics[1].help.clone().expect("a way out");
    assert!(help.contains("virtual_router_id = 51"), "{help}");
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = "[instance.A]\ninterface = 5\nprority = 1\nvirtual_router_id = true\n= 3\n[x\n";
    let loaded = read(text);
    assert!(loaded.settings.is_none());
    let found = codes(&loaded);
    for code in ["toml", "unknown-key", "wrong-type"] {
        assert!(found.contains(&code), "{code} is not among {found:?}");
    }
    assert!(
        found.iter().filter(|code| **code == "toml").count() >= 2,
        "{found:?}"
    );
}

#[test]
fn what_is_not_acted_on_is_told_as_in_the_other_language() {
    let loaded = read("[global]\nsmtp_alert = true\n");
    assert_eq!(codes(&loaded), ["not-acted-on"]);
    let loaded = read(&instance("use_vmac = \"vrrp.51\""));
    assert!(loaded.settings.is_none(), "unsafe to neglect");
}

#[test]
fn every_keyword_that_is_acted_on_has_a_key() {
    for row in keywords::all() {
        if row.status != Status::Acted {
            continue;
        }
        match kinds::find(row.within, kinds::key(row)) {
            Ok(found) => assert_eq!(found.name, row.name),
            // Another name of a keyword that has a key, or the other language's reader.
            Err(No::Write(_) | No::Reader) => {}
            Err(No::Nothing(_) | No::Lvs | No::Unknown) => {
                panic!("{} in {} has no key", row.name, row.within.name())
            }
        }
    }
    assert!(kinds::find(Within::Instance, "priority").is_ok());
}

#[test]
fn bytes_that_are_not_utf8_are_refused_but_may_be_escaped() {
    let loaded = read("[instance.\"\u{f7e4}\"]\n");
    assert_eq!(codes(&loaded), ["toml"]);
    let r = router("authentication = { auth_type = \"PASS\", auth_pass = \"p\\uf7e4ss\" }");
    assert_eq!(r.auth, AuthSettings::Password(*b"p\xe4ss\0\0\0\0"));
}
