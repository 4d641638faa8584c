//! Debian's keepalived reads what we write. It judges in a network namespace of the test's own, where
//! the interfaces of the files are; that needs root, and without it the tests skip and say so.

use crate::generate;
use crate::ns::Ns;
use mainstay::conf::write::{Form, write};
use mainstay::conf::{self, Options};
use mainstay::model::settings::Settings;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const KEEPALIVED: &str = "/usr/sbin/keepalived";

/// A namespace with eth0 to eth3; nothing without root or keepalived.
fn place() -> Option<Ns> {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: needs root");
        return None;
    }
    if !Path::new(KEEPALIVED).exists() {
        eprintln!("SKIPPED: {KEEPALIVED} is not installed (make deps)");
        return None;
    }
    let ns = Ns::new().expect("root can make a namespace");
    ns.ip("link add eth0 type veth peer name eth1\n\
           link add eth2 type veth peer name eth3\n\
           link set eth0 up\nlink set eth1 up\nlink set eth2 up\nlink set eth3 up\n\
           address add 192.0.2.1/24 dev eth0\n");
    Some(ns)
}

/// What `keepalived -t` says of a text, and whether that is nothing.
fn judged(ns: &Ns, text: &str) -> (bool, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keepalived.conf");
    fs::write(&file, text).expect("written");
    let file = file.to_str().expect("UTF-8");
    let (good, out, err) = ns.feed(KEEPALIVED, &["-t", "-f", file], "");
    (good, out + &err)
}

/// Everything of ours that keepalived does not know.
const ADDITIONS: &str = r#"
# An addition would end the instance it stands in.
[global]
router_id = "node-a"
enable_script_security = true
script_user = "root"
vip_mismatch = "drop"
control_group = "adm"
vip_restore_limit = { count = 5, within = "10s" }
journal_keep = 64

[script.web]
script = ["/bin/ls", "-d", "it's # \"quoted\" $HOME"]
interval = "2s"
weight = -20

[script.port]
check = "tcp 127.0.0.1:80"
weight = -30

[script.db]
external = true
lease = "5s"
user = "feeder"
weight = -20

[file.load]
external = true

[instance.LAN]
interface = "eth0"
virtual_router_id = 51
priority = 150
authentication = { auth_type = "PASS", auth_pass = "a#b!{} " }
virtual_ipaddress = ["192.0.2.10/24", { address = "192.0.2.11/24", dev = "eth1", brd = "+", label = "eth1:x" }]
track_script = ["web", { name = "port", weight = -10 }, "db"]
track_file = ["load"]
notify = ["/bin/echo", "a b"]

[instance.OTHER]
interface = "eth1"
virtual_router_id = 52
priority = 150
vip_mismatch = "drop" # another one
virtual_ipaddress = ["192.0.2.20/24"]
track_script = ["port"]
track_handover = "always"
all_failed = "hold"
"#;

#[test]
fn keepalived_has_no_complaint_about_our_additions() {
    let Some(ns) = place() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let native = folder.path().join("a.toml");
    fs::write(&native, ADDITIONS).expect("written");
    let converted = conf::convert(&native, &Options::default(), Form::Keepalived);
    assert!(
        converted.diagnostics.is_empty(),
        "{:?}",
        converted.diagnostics
    );
    let written = String::from_utf8(converted.text.expect("convertible")).expect("UTF-8");
    for addition in [
        "vip_mismatch drop",
        "track_handover always",
        "all_failed hold",
        "check tcp 127.0.0.1:80",
        "port",
        "external",
        "lease 5",
        "user feeder",
        "load",
    ] {
        assert!(
            written.contains(&format!("#@mainstay {addition}")),
            "{written}"
        );
    }
    let again = conf::load_str("a.conf", &written, &Options::default());
    let native = conf::load(&native, &Options::default());
    assert_eq!(again.settings, native.settings, "{written}");
    let (good, said) = judged(&ns, &written);
    assert!(good, "{said}\n{written}");
    // Written plainly they are no good: the test can fail.
    let (good, said) = judged(&ns, &written.replace("#@mainstay ", ""));
    assert!(!good && said.contains("vip_mismatch"), "{said}");
}

#[test]
fn keepalived_accepts_the_converted_samples() {
    let Some(ns) = place() else { return };
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
    for name in [
        "mainstay.toml",
        "node-a.conf",
        "node-b.conf",
        "ipv6.conf",
        "unicast.conf",
        "tracked-script.conf",
    ] {
        let options = Options::default();
        let converted = conf::convert(&samples.join(name), &options, Form::Keepalived);
        let text = String::from_utf8(converted.text.expect("convertible")).expect("UTF-8");
        let text = here(&text);
        let (good, said) = judged(&ns, &text);
        assert!(good, "{name}: {said}\n{text}");
        let expanded = conf::expand(&samples.join(name), &options);
        if !name.ends_with(".toml") {
            let text = String::from_utf8(expanded.text).expect("UTF-8");
            let (good, said) = judged(&ns, &here(&text));
            assert!(good, "{name}: {said}\n{text}");
        }
    }
}

/// The program that a sample checks with may not be installed here, and where user namespaces are
/// odd, keepalived ends by a signal when it looks at a program with another user's rights.
fn here(text: &str) -> String {
    text.replace("/usr/bin/curl", "/bin/true")
        .replace("script_user nobody", "script_user root")
}

/// Words that newer versions of keepalived know.
const NEWER: &[&str] = &[
    "no_virtual_ipaddress",
    "owner_ignore_adverts",
    "vrrp_owner_ignore_adverts",
    "timer_expired_backup",
    "v3_checksum_as_v2",
    "vrrp_delay_after_boot",
];

/// What 2.2.7 reads otherwise than its manual says: a brace alone is a brace even in quotes, and
/// escapes in commands are resolved twice.
fn odd(settings: &Settings) -> bool {
    let text = format!("{settings:?}");
    ["\"{\"", "\"}\""].iter().any(|brace| text.contains(brace))
        || text.contains('\\')
        || text.contains('\'')
}

#[test]
fn keepalived_knows_every_word_of_generated_files() {
    let Some(ns) = place() else { return };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = generate::settings();
    let mut wrong = BTreeMap::new();
    let mut judgements = 0;
    while judgements < 60 {
        let settings = strategy.new_tree(&mut runner).expect("one").current();
        if odd(&settings) {
            continue;
        }
        judgements += 1;
        let text = write(&settings, Form::Keepalived).expect("all of it can be written");
        let (_, said) = judged(&ns, &text);
        for line in said.lines() {
            let grammar = ["nknown keyword", "nexpected", "nmatched", "issing"];
            let newer = NEWER.iter().any(|word| line.contains(&format!("'{word}'")));
            if grammar.iter().any(|word| line.contains(word)) && !newer {
                wrong.insert(line.to_owned(), text.clone());
            }
        }
    }
    let text = wrong.values().next().map_or("", String::as_str);
    assert!(wrong.is_empty(), "{:#?}\none is of\n{text}", wrong.keys());
}
