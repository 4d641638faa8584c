//! `external` in a `vrrp_script` or `track_file`: other programs report, nothing is run or read.

use super::block::Node;
use super::diag::{Diagnostic, Diags};
use super::track::Trackers;
use super::value;
use crate::model::settings::ExternalSettings;
use std::time::Duration;

/// The longest lease in microseconds: a bit more than an hour and 11 minutes, as of all times here.
const LONGEST: u64 = 4_294_000_000;

/// Reads what an external block says of its reports; `None` if the block is not external.
pub(super) fn read(node: &Node, diags: &mut Diags) -> Option<ExternalSettings> {
    let external = node.children().iter().any(|n| n.name() == "external");
    let mut settings = ExternalSettings::default();
    for child in node.children() {
        let Some((word, args)) = child.words.split_first() else {
            continue;
        };
        match (&*word.text, args.first()) {
            ("lease", Some(arg)) => {
                if !external {
                    let what = "lease has no effect without external";
                    diags.push(
                        Diagnostic::warning("contradiction", child.line(), what)
                            .help("add a line `external`, or remove this one"),
                    );
                }
                let lease = value::seconds(word, arg, 1_000..=LONGEST, 3, diags);
                settings.lease = lease.filter(|l| *l >= Duration::from_millis(1));
            }
            ("user", Some(arg)) if external => {
                settings.user = Some(arg.text.clone().into());
                if let Some(group) = args.get(1) {
                    let what =
                        "reports are allowed to a user, not to a group; this word is left out";
                    diags.push(Diagnostic::warning("contradiction", group.span, what));
                }
            }
            ("user", Some(_)) if node.name() != "vrrp_script" => {
                let what = "user has no effect without external";
                diags.push(
                    Diagnostic::warning("contradiction", child.line(), what)
                        .help("whoever may write the file may change its number"),
                );
            }
            ("script" | "check" | "file", Some(_)) if external => diags.push(
                Diagnostic::error(
                    "fed-and-run",
                    child.line(),
                    format!("{} does not count: this block is external", word.text),
                )
                .help("keep one of the two, or make two blocks"),
            ),
            ("interval" | "timeout" | "init_file", _) if external => {
                let what = format!("{} has no effect on what is reported", word.text);
                diags.push(Diagnostic::warning("no-program", child.line(), what));
            }
            _ => {}
        }
    }
    external.then_some(settings)
}

/// `mainstay track set NAME` is to mean one thing.
pub(super) fn one_name_each(nodes: &[Node], trackers: &mut Trackers, diags: &mut Diags) {
    let scripts = &trackers.scripts.list;
    let named = |name: &str| {
        let mut external = scripts.iter().filter(|c| c.settings.external.is_some());
        external.any(|c| *c.settings.name == *name)
    };
    trackers.files.list.retain(|file| {
        if file.external.is_none() || !named(&file.name) {
            return true;
        }
        let mut blocks = nodes
            .iter()
            .filter(|n| matches!(n.name(), "track_file" | "vrrp_track_file"));
        let place = blocks.find_map(|n| n.args().first().filter(|w| *w.text == *file.name));
        if let Some(place) = place {
            let what = format!(
                "an external vrrp_script is called {} too; this one is not tracked",
                file.name
            );
            diags.push(
                Diagnostic::error("same-name", place.span, what).help(
                    "give one of them another name: `mainstay track set` knows only the name",
                ),
            );
        }
        false
    });
}

#[cfg(test)]
mod tests {
    use super::super::help::{codes, instance, read};
    use std::time::Duration;

    fn script(lines: &str) -> super::super::Loaded {
        let user = instance("virtual_ipaddress { 10.0.0.1 }\ntrack_script {\ns\n}");
        read(&format!("vrrp_script s {{\n{lines}\n}}\n{user}"))
    }

    fn file(lines: &str) -> super::super::Loaded {
        let user = instance("virtual_ipaddress { 10.0.0.1 }\ntrack_file {\nf\n}");
        read(&format!("track_file f {{\n{lines}\n}}\n{user}"))
    }

    #[test]
    fn an_external_script_needs_no_program_and_has_no_script_user() {
        let user = instance("virtual_ipaddress { 10.0.0.1 }\ntrack_script {\ns\n}");
        let loaded = read(&format!(
            "global_defs {{\nscript_user nobody\nenable_script_security\n}}\n\
             vrrp_script s {{\nexternal\nlease 2.5\nuser feeder\nrise 2\n}}\n{user}"
        ));
        assert_eq!(codes(&loaded), [] as [&str; 0]);
        let settings = loaded.settings.expect("settings");
        let check = &settings.checks[0];
        let external = check.external.as_ref().expect("external");
        assert_eq!(external.lease, Some(Duration::from_millis(2_500)));
        assert_eq!(external.user.as_deref(), Some("feeder"));
        assert_eq!((&check.command.user, check.rise), (&None, 2));
        assert_eq!(settings.routers[0].tracks.len(), 1);
    }

    #[test]
    fn an_external_number_needs_no_file() {
        let loaded = file("external\nuser 1000\nweight 2");
        assert_eq!(codes(&loaded), [] as [&str; 0]);
        let settings = loaded.settings.expect("settings");
        let external = settings.files[0].external.as_ref().expect("external");
        assert_eq!(external.user.as_deref(), Some("1000"));
        assert_eq!((external.lease, settings.files[0].weight), (None, 2));
    }

    #[test]
    fn what_external_leaves_no_room_for_is_told() {
        assert_eq!(
            codes(&script("external\nscript /bin/true")),
            ["fed-and-run", "script-security"]
        );
        assert_eq!(
            codes(&script("external\ncheck tcp 127.0.0.1:80")),
            ["fed-and-run"]
        );
        assert_eq!(codes(&file("external\nfile /x/y")), ["fed-and-run"]);
        assert_eq!(codes(&script("external\ninterval 2")), ["no-program"]);
        assert_eq!(codes(&file("external\ninit_file 2")), ["no-program"]);
        assert_eq!(codes(&file("file /x/y\nlease 2")), ["contradiction"]);
        assert_eq!(codes(&file("file /x/y\nuser root")), ["contradiction"]);
        assert_eq!(codes(&script("external\nuser a b")), ["contradiction"]);
        assert_eq!(codes(&script("external\nlease 0")), ["out-of-range"]);
    }

    #[test]
    fn a_script_and_a_number_of_one_name_could_not_be_told_apart() {
        let user =
            instance("virtual_ipaddress { 10.0.0.1 }\ntrack_script {\nx\n}\ntrack_file {\nx\n}");
        let loaded = read(&format!(
            "vrrp_script x {{\nexternal\n}}\ntrack_file x {{\nexternal\n}}\n{user}"
        ));
        assert!(
            codes(&loaded).contains(&"same-name"),
            "{:?}",
            codes(&loaded)
        );
        let settings = loaded.settings.expect("settings");
        assert!(settings.files.is_empty(), "{:?}", settings.files);
    }
}
