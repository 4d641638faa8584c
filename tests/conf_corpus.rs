//! Configurations and what is said of them: mistakes with the exact text that they draw, the samples
//! that keepalived's package ships, our own samples, and random input.

use mainstay::conf::{self, Diagnostic, Loaded, Options, Severity};
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};

fn options() -> Options {
    Options {
        config_id: Some("node1".into()),
        ..Options::default()
    }
}

fn files(directory: &str, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap_or_else(|e| panic!("{directory}: {e}"))
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    files.sort();
    files
}

fn report(loaded: &Loaded) -> String {
    let text = conf::render(&loaded.diagnostics, &loaded.sources, false);
    let run = if loaded.settings.is_some() {
        "starts"
    } else {
        "refuses"
    };
    let status = conf::exit_code(&loaded.diagnostics, false);
    format!("{text}check exits {status}, run {run}\n")
}

/// Each `.conf` draws exactly the text in the `.txt` beside it. UPDATE=1 writes these anew.
#[test]
fn mistakes_draw_their_exact_text() {
    let update = std::env::var_os("UPDATE").is_some();
    let files = files("tests/data/conf", "conf");
    assert!(files.len() >= 60, "only {} mistakes", files.len());
    let mut wrong = Vec::new();
    for path in files {
        let text = report(&conf::load(&path, &options()));
        let expected = path.with_extension("txt");
        if update {
            fs::write(&expected, text).expect("written");
        } else if fs::read_to_string(&expected).unwrap_or_default() != text {
            wrong.push(format!("{}:\n{text}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every mistake is found, none is taken for a sound file.
#[test]
fn no_mistake_passes_unnoticed() {
    for path in files("tests/data/conf", "conf") {
        let name = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let loaded = conf::load(&path, &options());
        if name == "groups_of_the_standard" {
            assert!(loaded.diagnostics.is_empty(), "{}", report(&loaded));
        } else {
            assert!(!loaded.diagnostics.is_empty(), "{name} draws nothing");
        }
    }
}

#[test]
fn our_own_samples_are_sound() {
    let files = files("conf", "conf");
    assert!(files.len() >= 4);
    for path in files {
        let loaded = conf::load(&path, &options());
        let status = conf::exit_code(&loaded.diagnostics, false);
        assert_eq!(status, 0, "{}", report(&loaded));
        assert!(loaded.settings.is_some_and(|s| !s.routers.is_empty()));
    }
}

/// The samples of keepalived's package: what is wrong with them is known.
#[test]
fn keepaliveds_samples_are_read() {
    const SAMPLES: &str = "/usr/share/doc/keepalived/samples";
    if !Path::new(SAMPLES).is_dir() {
        eprintln!("skipped: {SAMPLES} is not there (package keepalived)");
        return;
    }
    let mut seen = 0;
    for entry in fs::read_dir(SAMPLES).expect("readable") {
        let path = entry.expect("readable").path();
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        if !name.starts_with("keepalived.conf") {
            continue;
        }
        seen += 1;
        let loaded = conf::load(&path, &options());
        inside(&loaded);
        let errors: Vec<&Diagnostic> = loaded
            .diagnostics
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .collect();
        for error in errors {
            assert!(
                error.code == "refused" || SAMPLE_ERRORS.contains(&(&*name, error.code)),
                "{name}: {}",
                report(&loaded)
            );
        }
    }
    assert!(seen > 20, "only {seen} samples");
}

/// Errors of the samples that are truly errors.
const SAMPLE_ERRORS: &[(&str, &str)] = &[
    // Its script lines are for hosts of other names.
    ("keepalived.conf.conditional_conf", "script-without-command"),
    ("keepalived.conf.conditional_conf", "undefined-script"),
];

/// Every span lies inside its file, at the borders of characters.
fn inside(loaded: &Loaded) {
    for d in &loaded.diagnostics {
        for span in [Some(d.span), d.related.map(|(span, _)| span)]
            .into_iter()
            .flatten()
        {
            let text = loaded.sources.text(span.file);
            let (from, to) = (span.at as usize, (span.at + span.len) as usize);
            assert!(
                text.get(from..to).is_some(),
                "{d:?} leaves its file of {} bytes",
                text.len()
            );
        }
    }
    let _ = conf::render(&loaded.diagnostics, &loaded.sources, true);
}

fn seeds() -> Vec<String> {
    let mut seeds: Vec<String> = files("tests/data/conf", "conf")
        .iter()
        .chain(&files("conf", "conf"))
        .map(|path| String::from_utf8_lossy(&fs::read(path).expect("readable")).into_owned())
        .collect();
    seeds.sort();
    seeds
}

/// Pieces out of which a text is put together that reaches far into the parser.
const PIECES: &[&str] = &[
    "vrrp_instance A ",
    "{\n",
    "}\n",
    " { ",
    " } ",
    "\n",
    "\"",
    "'",
    "#",
    "!",
    "\\#",
    "$A=",
    "$A",
    "${A}",
    "$A=\\\n",
    "${_ENV HOME}",
    "${_RANDOM 1 9}",
    "~SEQ(i,1,9) ",
    "~SEQ(A,$A) ",
    "~LST(i,{a,b},c) ",
    "~LST({a,b},{1,2}) ",
    "@node1 ",
    "@^x ",
    "#@mainstay ",
    "global_defs",
    "vrrp_script s ",
    "track_script",
    "virtual_ipaddress",
    "10.0.0.1/24",
    "fe80::1",
    " dev ",
    " brd +",
    "priority ",
    "255",
    "-1",
    "0.5",
    "virtual_router_id 1\n",
    "interface e\n",
    "authentication",
    "auth_type PASS\n",
    "auth_pass x\n",
    "\\",
    "\r\n",
    "\0",
    "\u{e4}",
    "\u{fffd}",
    "include x\n",
    "unicast_peer",
    "script ",
    "notify ",
    "vrrp_sync_group G",
    "virtual_server 1",
    "weight ",
    "reverse",
    "\t",
    " ",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_text_never_panics_and_spans_stay_inside(text in "\\PC{0,400}") {
        inside(&conf::load_str("random", &text, &options()));
    }

    #[test]
    fn random_pieces_never_panic_and_spans_stay_inside(
        picks in prop::collection::vec(0..PIECES.len(), 0..120)
    ) {
        let text: String = picks.iter().map(|i| PIECES[*i]).collect();
        inside(&conf::load_str("pieces", &text, &options()));
    }

    #[test]
    fn mutated_samples_never_panic_and_spans_stay_inside(
        which in any::<prop::sample::Index>(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..40, 0..PIECES.len()), 1..8)
    ) {
        let seeds = seeds();
        let mut chars: Vec<char> = which.get(&seeds).chars().collect();
        for (at, length, piece) in cuts {
            let at = at.index(chars.len() + 1);
            let end = (at + length).min(chars.len());
            chars.splice(at..end, PIECES[piece].chars());
        }
        let text: String = chars.into_iter().collect();
        inside(&conf::load_str("mutated", &text, &options()));
    }
}
