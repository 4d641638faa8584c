//! `convert`, `check --expanded` and `check --keywords` as their users meet them.

use mainstay::conf::{self, Options};
use mainstay::model::settings::Settings;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

fn mainstay(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mainstay"))
        .args(words)
        .stdin(Stdio::null())
        .output()
        .expect("it starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[track_caller]
fn exits(words: &[&str], code: i32) -> Output {
    let output = mainstay(words);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{words:?}\nstdout: {}\nstderr: {}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conf")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn settings(file: &Path) -> Option<Settings> {
    conf::load(file, &Options::default()).settings
}

/// A file in `folder` with this text.
fn file(folder: &TempDir, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, text).expect("written");
    path
}

#[test]
fn the_native_sample_means_what_the_other_one_means() {
    let native = samples().join("mainstay.toml");
    exits(&["check", path(&native)], 0);
    let other = settings(&samples().join("tracked-script.conf")).expect("usable");
    assert_eq!(settings(&native), Some(other));
}

/// Every file that can be converted means the same afterwards, also after the way back.
#[test]
fn files_mean_the_same_in_the_other_language() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/conf");
    let debian = Path::new("/usr/share/doc/keepalived/samples");
    let mut converted = 0;
    for folder_of in [samples().as_path(), &data, debian] {
        let Ok(list) = fs::read_dir(folder_of) else {
            eprintln!("SKIPPED: {} is not there", folder_of.display());
            continue;
        };
        for entry in list {
            let from = entry.expect("a name").path();
            let name = from.file_name().unwrap_or_default().to_string_lossy();
            if !name.contains(".conf") && !name.ends_with(".toml") {
                continue;
            }
            let folder = folder();
            let toml = folder.path().join("a.toml");
            let conf = folder.path().join("b.conf");
            let there = mainstay(&["convert", path(&from), "--to", "toml", "-o", path(&toml)]);
            if there.status.code() == Some(2) {
                assert!(!toml.exists(), "{name}: refused, but written");
                continue;
            }
            let wanted = settings(&from);
            assert!(wanted.is_some(), "{name}");
            assert_eq!(settings(&toml), wanted, "{name} to TOML");
            exits(&["check", "--lenient", path(&toml)], 0);
            let words = [
                "convert",
                path(&toml),
                "--to",
                "keepalived",
                "-o",
                path(&conf),
            ];
            exits(&[&words[..], &["--lenient"]].concat(), 0);
            assert_eq!(settings(&conf), wanted, "{name} and back");
            converted += 1;
        }
    }
    assert!(converted > 20, "only {converted} files were converted");
}

const COMMENTED: &str = "# head\n# more\n\nglobal_defs { # g\n    router_id \"a # b\" ! who\n}\n\
vrrp_instance V { # it\n    # where\n    interface eth0\n    virtual_router_id 51 # this\n\
    ! not needed\n    garp_master_delay 5\n    virtual_ipaddress {\n        # first\n\
        10.0.0.1 # one\n        # last\n    }\n    #@mainstay vip_mismatch drop # ours\n    # end\n}\n# tail\n";

#[test]
fn comments_stay_where_they_stood() {
    let folder = folder();
    let from = file(&folder, "a.conf", COMMENTED);
    let native = exits(&["convert", path(&from), "--to", "toml"], 0);
    assert_eq!(
        text(&native.stdout),
        "# head\n# more\n[global]  # g\nrouter_id = \"a # b\"  # who\n\n\
         [instance.V]  # it\nstate = \"BACKUP\"\n# where\ninterface = \"eth0\"\nvirtual_router_id = 51  # this\n\
         priority = 100\nvip_mismatch = \"drop\"  # ours\n# not needed\ngarp_master_delay = \"5s\"\n\
         virtual_ipaddress = [\n    # first\n    \"10.0.0.1/32\",  # one\n    # last\n]\n# end\n# tail\n"
    );
    let toml = file(&folder, "a.toml", &native.stdout);
    let back = exits(&["convert", path(&toml), "--to", "keepalived"], 0);
    let back = text(&back.stdout);
    let comments = |text: &str| text.matches('#').count() + text.matches('!').count();
    assert_eq!(comments(back), comments(COMMENTED), "{back}");
    assert!(
        back.contains("    #@mainstay vip_mismatch drop  # ours\n"),
        "{back}"
    );
    assert!(
        back.contains("        # first\n        10.0.0.1/32  # one\n"),
        "{back}"
    );
}

#[test]
fn what_is_not_acted_on_yet_is_carried_over() {
    let folder = folder();
    let from = file(
        &folder,
        "a.conf",
        "global_defs {\nsmtp_alert off\nsmtp_server 127.0.0.1 25\ndynamic_interfaces\nlvs_flush\n}\n\
         static_routes {\n10.9.0.0/16 via 10.0.0.9\n}\nvirtual_server 10.0.0.1 80 {\n}\n\
         vrrp_instance V {\ninterface eth0\nvirtual_router_id 51\nsmtp_alert\n\
         virtual_ipaddress {\n10.0.0.1/24 home\n}\nvirtual_routes {\n0.0.0.0/0 via 10.0.0.254\n}\n\
         notify_priority_changes on\n}\n",
    );
    let there = exits(&["convert", "--lenient", path(&from), "--to", "toml"], 0);
    let said = text(&there.stderr).lines().last().unwrap_or_default();
    assert!(
        said.ends_with(
            "left out, because it has no effect here: dynamic_interfaces, lvs_flush, virtual_server"
        ),
        "{said}"
    );
    let native = text(&there.stdout);
    for line in [
        "smtp_alert = false",
        "smtp_server = [\"127.0.0.1\", 25]",
        "static_routes = [\"10.9.0.0/16 via 10.0.0.9\"]",
        "smtp_alert = true",
        "virtual_routes = [\"0.0.0.0/0 via 10.0.0.254\"]",
        "notify_priority_changes = true",
        "virtual_ipaddress = [{ address = \"10.0.0.1/24\", home = true }]",
    ] {
        assert!(
            native.contains(&format!("{line}\n")),
            "{line} is not in\n{native}"
        );
    }
    let toml = file(&folder, "a.toml", native);
    let back = exits(
        &["convert", "--lenient", path(&toml), "--to", "keepalived"],
        0,
    );
    let back = text(&back.stdout);
    for line in [
        "smtp_server 127.0.0.1 25",
        "10.0.0.1/24 home",
        "0.0.0.0/0 via 10.0.0.254",
    ] {
        assert!(back.contains(line), "{line} is not in\n{back}");
    }
}

#[test]
fn a_file_with_errors_is_refused_with_its_findings() {
    let folder = folder();
    let from = file(&folder, "a.conf", "vrrp_instance V {\ninterface eth0\n");
    let out = folder.path().join("out");
    let refused = exits(
        &["convert", path(&from), "--to", "toml", "-o", path(&out)],
        2,
    );
    assert!(refused.stdout.is_empty() && !out.exists());
    let said = text(&refused.stderr);
    assert!(
        said.contains("missing-vrid") && said.contains("a.conf:1:15"),
        "{said}"
    );
    assert!(
        said.ends_with("has errors and is not converted\n"),
        "{said}"
    );
    exits(
        &["convert", path(&folder.path().join("none")), "--to", "toml"],
        2,
    );
    exits(&["convert", path(&from)], 64);
    exits(&["convert", path(&from), "--to", "yaml"], 64);
}

#[test]
fn what_the_other_language_cannot_hold_is_told_with_its_place() {
    let folder = folder();
    let from = file(&folder, "a.toml", "[global]\nrouter_id = \"${HOME}\"\n");
    exits(&["check", path(&from)], 0);
    let refused = exits(&["convert", path(&from), "--to", "keepalived"], 2);
    let said = text(&refused.stderr);
    assert!(
        said.contains("unwritable") && said.contains("a.toml:2:13"),
        "{said}"
    );
    exits(&["convert", path(&from), "--to", "toml"], 0);
}

#[test]
fn passwords_that_are_not_utf8_survive() {
    let folder = folder();
    let body = b"vrrp_instance V {\ninterface eth0\nvirtual_router_id 51\nvirtual_ipaddress {\n10.0.0.1\n}\n\
                 authentication {\nauth_type PASS\nauth_pass p\xe4ss\n}\n}\n";
    let from = file(&folder, "a.conf", body);
    let toml = folder.path().join("a.toml");
    let conf = folder.path().join("b.conf");
    exits(
        &["convert", path(&from), "--to", "toml", "-o", path(&toml)],
        0,
    );
    exits(
        &[
            "convert",
            path(&toml),
            "--to",
            "keepalived",
            "-o",
            path(&conf),
        ],
        0,
    );
    let bytes = fs::read(&conf).expect("written");
    assert!(
        bytes.windows(5).any(|w| w == b"p\xe4ss\""),
        "the byte is back"
    );
    assert_eq!(settings(&conf), settings(&from));
}

#[test]
fn an_expanded_file_names_the_origin_of_each_line() {
    let folder = folder();
    let from = file(
        &folder,
        "a.conf",
        "$ID=51\ninclude b.inc\n@x global_defs {\n@x }\n",
    );
    let inc = file(
        &folder,
        "b.inc",
        "vrrp_instance V {\n  interface eth0\n  virtual_router_id $ID\n  virtual_ipaddress { 10.0.0.1 }\n}\n\
         virtual_server 10.0.0.1 80 {\n  delay_loop 3\n}\n",
    );
    let expanded = exits(&["check", "--expanded", "-i", "y", path(&from)], 0);
    let at = path(&inc);
    let wanted = format!(
        "vrrp_instance V {{  # {at}:1\n    interface eth0  # {at}:2\n    virtual_router_id 51  # {at}:3\n    \
         virtual_ipaddress {{ 10.0.0.1 }}  # {at}:4\n}}  # {at}:5\nvirtual_server 10.0.0.1 80 {{  # {at}:6\n    \
         delay_loop 3  # {at}:7\n}}  # {at}:8\n"
    );
    assert_eq!(text(&expanded.stdout), wanted);
    let again = file(&folder, "c.conf", &expanded.stdout);
    assert_eq!(settings(&again), settings(&from));
    let native = samples().join("mainstay.toml");
    let same = exits(&["check", "--expanded", path(&native)], 0);
    assert_eq!(same.stdout, fs::read(&native).expect("readable"));
}

#[test]
fn the_table_of_keywords_is_printed_and_the_manuals_is_up_to_date() {
    let plain = exits(&["check", "--keywords"], 0);
    let line = |name: &str| {
        text(&plain.stdout)
            .lines()
            .find(|line| line.split_whitespace().nth(1) == Some(name))
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    assert_eq!(
        line("advert_int").as_deref(),
        Some("vrrp_instance advert_int acted on")
    );
    assert!(line("dynamic_interfaces").is_some_and(|l| l.contains("no effect")));
    let page = exits(&["check", "--keywords=markdown"], 0);
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/keywords.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&manual, &page.stdout).expect("written");
    }
    let stands = fs::read_to_string(&manual).unwrap_or_default();
    assert_eq!(
        text(&page.stdout),
        stands,
        "docs/keywords.md is out of date: run this test with UPDATE=1"
    );
    exits(&["check", "--keywords", "x.conf"], 64);
}
