//! The same from the command line.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn check(words: &[&str], dir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mainstay"))
        .arg("check")
        .args(words)
        .current_dir(dir)
        .output()
        .expect("it starts")
}

fn file(priority: u8, weight: i16, interface: &str, script: &str) -> String {
    format!(
        "global_defs {{\n enable_script_security\n script_user root\n}}\nvrrp_script chk {{\n script {script}\n \
         weight {weight}\n}}\nvrrp_instance VI_1 {{\n interface {interface}\n virtual_router_id 51\n priority \
         {priority}\n virtual_ipaddress {{\n  10.0.0.9/24\n }}\n track_script {{\n  chk\n }}\n}}\n"
    )
}

#[test]
fn several_files_are_one_group_and_the_table_says_who_serves() {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, text) in [
        ("r1", file(101, -2, "eth0", "/bin/true")),
        ("r2", file(90, -2, "ens3", "/bin/true")),
    ] {
        fs::create_dir(dir.path().join(name)).expect("a folder");
        fs::write(dir.path().join(name).join("keepalived.conf"), text).expect("written");
    }
    let files = ["r1/keepalived.conf", "r2/keepalived.conf"];
    let output = check(&files, dir.path());
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("--> r1/keepalived.conf:7:2"), "{text}");
    assert!(
        text.contains("use at least weight -12 (101 to 89)"),
        "{text}"
    );
    let table = "\
VI_1: VRID 51 IPv4, version 2 on 2 routers
  router  interface  base    reach
  r1      eth0        101  99..101
  r2      ens3         90   88..90

  when                     r1  r2  master
  all is well             101  90  r1
  r1: chk fails            99  90  r1
  r2: chk fails           101  88  r1
  r1 or its eth0 is gone    -  90  r2
  r2 or its ens3 is gone  101   -  r1
";
    assert!(text.ends_with(table), "{text}");

    let lenient = check(&["--lenient", files[0], files[1]], dir.path());
    assert_eq!(lenient.status.code(), Some(0));
    let alone = check(&files[..1], dir.path());
    assert_eq!(alone.status.code(), Some(0), "one file alone gets notes");
    assert!(!String::from_utf8_lossy(&alone.stdout).contains("when"));
    let alone = check(&["--proof", files[0]], dir.path());
    let text = String::from_utf8_lossy(&alone.stdout).into_owned();
    assert!(text.contains("keepalived: chk fails"), "{text}");
}

#[test]
fn json_holds_the_proof_by_node_and_case() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(
        dir.path().join("a.conf"),
        file(101, -20, "eth0", "/bin/true"),
    )
    .expect("written");
    fs::write(dir.path().join("b.conf"), file(90, 0, "eth0", "/bin/true")).expect("written");
    let output = check(&["--json", "a.conf", "b.conf"], dir.path());
    assert_eq!(output.status.code(), Some(0));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let proof = &value["proof"];
    assert_eq!(proof["nodes"], serde_json::json!(["a", "b"]));
    let cases = proof["groups"][0]["cases"].as_array().expect("cases");
    assert_eq!(cases[0]["failure"]["what"], "nothing");
    assert_eq!(cases[0]["masters"], serde_json::json!([0]));
    let expected = serde_json::json!({
        "failure": {"what": "tracker", "member": 0, "kind": "script", "name": "chk"},
        "text": "a: chk fails", "priorities": [81, 90], "masters": [1], "unsettled": false,
    });
    assert_eq!(cases[1], expected);
    assert_eq!(cases[2]["priorities"], serde_json::json!([101, null]));
}

#[test]
fn interfaces_and_programs_are_looked_for_when_asked() {
    let dir = tempfile::tempdir().expect("a folder");
    let text = file(101, 0, "nosuch0", "/nonexistent/check");
    fs::write(dir.path().join("a.conf"), text).expect("written");
    let said = |words: &[&str], code| {
        let output = check(words, dir.path());
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        assert_eq!(output.status.code(), Some(code), "{words:?} {text}");
        text
    };
    said(&["a.conf"], 0);
    let text = said(&["--iface", "eth0,eth1", "a.conf"], 2);
    assert!(
        text.contains("error[no-interface]") && text.contains("--> a.conf:10:2"),
        "{text}"
    );
    said(&["--iface", "eth0,nosuch0", "a.conf"], 0);
    let text = said(&["--live", "a.conf"], 2);
    assert!(text.contains("there is no interface nosuch0"), "{text}");
    let text = said(&["--scripts", "a.conf"], 2);
    assert!(
        text.contains("error[unusable-program]") && text.contains("--> a.conf:6:2"),
        "{text}"
    );
    fs::write(
        dir.path().join("lo.conf"),
        file(101, 0, "eth0", "/bin/true").replace("10.0.0.9/24", "10.0.0.9/24 dev lo"),
    )
    .expect("written");
    let text = said(&["--live", "--iface", "eth0", "lo.conf"], 0);
    assert!(!text.contains("no-interface"), "{text}");
}
