//! `track_file`, `vrrp_track_process` and `bfd_instance`: what can be tracked besides scripts.

use super::block::Node;
use super::diag::{Diagnostic, Diags};
use super::external;
use super::lexer::Word;
use super::script::reversed;
use super::track::weight;
use super::value::{self, Junk};
use crate::model::settings::{FileSettings, ParamMatch, ProcessTrackSettings};
use std::net::IpAddr;
use std::time::Duration;

/// A `track_file`.
pub(super) type File = FileSettings;
/// A `vrrp_track_process`.
pub(super) type Process = ProcessTrackSettings;

/// How many bytes of a program's name the kernel keeps.
const COMM: usize = 15;

/// The lines of a block that have the words they need.
fn lines(node: &Node) -> impl Iterator<Item = (&Word, &[Word])> {
    node.children().iter().filter_map(|child| {
        let row = child.row?;
        let (word, args) = child.words.split_first()?;
        (args.len() >= usize::from(row.min)).then_some((word, args))
    })
}

fn repeated(name: &Word, what: &str, second: &Word, first: &Word, diags: &mut Diags) {
    let text = format!("{} follows one {what}; the first counts", name.text);
    diags.push(
        Diagnostic::warning("repeated", second.span, text)
            .related(first.span, "first here")
            .help("write a block for each"),
    );
}

fn missing(node: &Node, keyword: &str, example: &str, diags: &mut Diags) {
    let Some(name) = node.args().first() else {
        return;
    };
    let mut what = format!("{} has no {keyword}; nothing can track it", name.text);
    let given = |n: &&Node| n.name() == keyword && !n.args().is_empty();
    if let Some(line) = node.children().iter().find(given) {
        // A word that is not empty was read, and what is wrong with it told.
        if line.args().first().is_some_and(|w| !w.text.is_empty()) {
            return;
        }
        what = format!(
            "the {keyword} of {} is empty; nothing can track it",
            name.text
        );
    }
    diags.push(
        Diagnostic::error("tracks-nothing", name.span, what)
            .help(format!("add a line such as: {example}")),
    );
}

/// Reads a `track_file` block.
pub(super) fn file(node: &Node, diags: &mut Diags) -> Option<File> {
    let name = node.args().first()?;
    let mut path: Option<&Word> = None;
    let mut pull = (1, false);
    let (mut init, mut overwrite) = (None, false);
    for (word, args) in lines(node) {
        match (&*word.text, args.first()) {
            ("file", Some(arg)) => {
                if let Some(before) = path.replace(arg) {
                    repeated(name, "file", arg, before, diags);
                    path = Some(before);
                }
            }
            ("weight", Some(_)) => read_weight(&mut pull, 1, word, args, diags),
            ("init_file", _) => {
                init = Some(init.unwrap_or(0));
                for arg in args {
                    if &*arg.text == "overwrite" {
                        overwrite = true;
                    } else {
                        let range = i64::from(i32::MIN)..=i64::from(i32::MAX);
                        let n = value::integer(word, arg, range, Junk::Refuse, diags);
                        init = n.and_then(|n| i32::try_from(n).ok()).or(init);
                    }
                }
            }
            _ => {}
        }
    }
    let external = external::read(node, diags);
    if external.is_some() {
        return Some(File {
            name: name.text.clone().into(),
            path: "".into(),
            weight: pull.0,
            reverse: pull.1,
            init: None,
            overwrite: false,
            external,
        });
    }
    let Some(path) = path.filter(|p| !p.text.is_empty()) else {
        missing(node, "file", "file /run/my-service/health", diags);
        return None;
    };
    if !path.text.starts_with('/') {
        let what = format!("{} is looked for where the program was started", path.text);
        diags.push(
            Diagnostic::note("relative-path", path.span, what).help("write the path from / on"),
        );
    }
    if ["/proc/", "/sys/"].iter().any(|p| path.text.starts_with(p)) {
        let what = format!("the kernel does not tell when {} changes", path.text);
        diags.push(
            Diagnostic::note("unwatched-path", path.span, what)
                .help("read it from a vrrp_script, or have a program write its value to a file"),
        );
    }
    Some(File {
        name: name.text.clone().into(),
        path: path.text.clone().into(),
        weight: pull.0,
        reverse: pull.1,
        init,
        overwrite,
        external: None,
    })
}

/// The first weight that is not the default counts.
fn read_weight(
    pull: &mut (i16, bool),
    default: i16,
    word: &Word,
    args: &[Word],
    diags: &mut Diags,
) {
    if pull.0 != default {
        let what = format!("a second weight; {} counts", pull.0);
        diags.push(Diagnostic::warning("repeated", word.span, what).help("remove this line"));
        return;
    }
    if let Some(n) = args.first().and_then(|arg| weight(word, arg, 254, diags)) {
        pull.0 = n;
    }
    pull.1 = reversed(args.get(1), false, diags).unwrap_or(pull.1);
}

/// Reads a `vrrp_track_process` block.
pub(super) fn process(node: &Node, diags: &mut Diags) -> Option<Process> {
    let name = node.args().first()?;
    let mut program: Option<(&Word, &[Word])> = None;
    let mut this = Process {
        name: name.text.clone().into(),
        process: "".into(),
        params: Vec::new(),
        matching: ParamMatch::None,
        full_command: false,
        weight: 0,
        reverse: false,
        quorum: 1,
        quorum_max: None,
        fork_delay: Duration::ZERO,
        terminate_delay: Duration::ZERO,
    };
    for (word, args) in lines(node) {
        match (&*word.text, args.split_first()) {
            ("process", Some((first, params))) => match program {
                None => program = Some((first, params)),
                Some((before, _)) => repeated(name, "process", first, before, diags),
            },
            ("param_match", None) => this.matching = ParamMatch::Exact,
            ("param_match", Some((arg, _))) => match &*arg.text {
                "initial" => this.matching = ParamMatch::Initial,
                "partial" => this.matching = ParamMatch::Partial,
                other => diags.push(
                    Diagnostic::error(
                        "bad-value",
                        arg.span,
                        format!("`{other}` is no way to compare parameters"),
                    )
                    .help("expected initial, partial, or nothing for an exact match"),
                ),
            },
            ("full_command", _) => this.full_command = true,
            ("weight", Some(_)) => {
                let mut pull = (this.weight, this.reverse);
                read_weight(&mut pull, 0, word, args, diags);
                (this.weight, this.reverse) = pull;
            }
            ("quorum" | "quorum_max", Some((arg, _))) => quorum(&mut this, word, arg, diags),
            ("fork_delay" | "terminate_delay" | "delay", Some((arg, _))) => {
                let range = 1..=3_600_000_000;
                if let Some(time) = value::seconds(word, arg, range, 6, diags) {
                    if &*word.text != "fork_delay" {
                        this.terminate_delay = time;
                    }
                    if &*word.text != "terminate_delay" {
                        this.fork_delay = time;
                    }
                }
            }
            _ => {}
        }
    }
    let Some((path, params)) = program.filter(|(p, _)| !p.text.is_empty()) else {
        missing(node, "process", "process nginx", diags);
        return None;
    };
    this.process = path.text.clone().into();
    this.params = params.iter().map(|w| w.text.clone().into()).collect();
    if !this.params.is_empty() && this.matching == ParamMatch::None {
        this.matching = ParamMatch::Exact;
    }
    // Parameters are known only with the whole command.
    this.full_command |= this.matching != ParamMatch::None;
    if !this.full_command && path.text.len() > COMM {
        let what =
            format!("the kernel keeps {COMM} bytes of a program's name; the rest is not compared");
        diags.push(
            Diagnostic::note("long-process-name", path.span, what)
                .help("add full_command and give the path as the program was called"),
        );
    }
    Some(this)
}

/// `quorum` and `quorum_max` hold each other in check in the order in which they stand.
fn quorum(this: &mut Process, word: &Word, arg: &Word, diags: &mut Diags) {
    let most = &*word.text == "quorum_max";
    let least = if most { 0 } else { 1 };
    let n = value::integer(word, arg, least..=65535, Junk::Cut, diags);
    let Some(n) = n.and_then(|n| u32::try_from(n).ok()) else {
        return;
    };
    let crossed = if most {
        (n > 0 || this.quorum > 1) && n < this.quorum
    } else {
        this.quorum_max.is_some_and(|most| n > most)
    };
    if crossed {
        let what = format!(
            "{} {n} contradicts the other bound; it does not count",
            word.text
        );
        diags.push(
            Diagnostic::error("contradiction", arg.span, what)
                .help("quorum must not be greater than quorum_max"),
        );
        return;
    }
    if !most {
        this.quorum = n;
        return;
    }
    this.quorum_max = Some(n);
    if n == 0 {
        this.quorum = 0;
    } else {
        this.quorum = this.quorum.max(1);
    }
}

/// Reads a `bfd_instance` block. Nothing comes of it until sessions are set up, but its mistakes are
/// told; `None` if keepalived would drop it.
pub(super) fn session(node: &Node, diags: &mut Diags) -> Option<()> {
    let name = node.args().first()?;
    if name.text.len() > 31 {
        let what = format!("{} is too long a name", name.text);
        diags.push(
            Diagnostic::error("bad-value", name.span, what).help("BFD names have 31 bytes at most"),
        );
        return None;
    }
    let mut neighbour: Option<IpAddr> = None;
    let mut source: Option<(IpAddr, &Word)> = None;
    for (word, args) in lines(node) {
        let Some(arg) = args.first() else {
            continue;
        };
        match &*word.text {
            "neighbor_ip" | "neighbour_ip" => {
                neighbour = value::address(&*word.text, arg, diags).or(neighbour);
            }
            "source_ip" => {
                source = value::address("source_ip", arg, diags)
                    .map(|a| (a, arg))
                    .or(source);
            }
            "min_rx" | "min_tx" => millis(word, arg, 1, diags),
            "idle_tx" => millis(word, arg, 1000, diags),
            "multiplier" | "ttl" | "hoplimit" => {
                value::integer(word, arg, 1..=255, Junk::Cut, diags);
            }
            "max_hops" => {
                value::integer(word, arg, -1..=255, Junk::Cut, diags);
            }
            "multihop" => {
                value::boolean(word, Some(arg), diags);
            }
            "weight" => {
                weight(word, arg, 253, diags);
                reversed(args.get(1), false, diags);
            }
            _ => {}
        }
    }
    if neighbour.is_none() {
        let given = |n: &Node| matches!(n.name(), "neighbor_ip" | "neighbour_ip");
        if !node.children().iter().any(given) {
            missing(node, "neighbor_ip", "neighbor_ip 192.0.2.1", diags);
        }
    }
    if let (Some(to), Some((from, word))) = (neighbour, source)
        && to.is_ipv4() != from.is_ipv4()
    {
        let what = format!("{from} cannot be the source of packets to {to}");
        diags.push(Diagnostic::error("mixed-families", word.span, what));
        return None;
    }
    neighbour.map(|_| ())
}

/// Milliseconds with at most three decimal places, from `least` to 4294967.
fn millis(word: &Word, arg: &Word, least: u64, diags: &mut Diags) {
    let (whole, fraction) = arg.text.split_once('.').unwrap_or((&arg.text, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let sound = digits(whole)
        && digits(fraction)
        && fraction.len() <= 3
        && arg.text.len() > usize::from(arg.text.contains('.'));
    let number: Option<u64> = if whole.is_empty() {
        Some(0)
    } else {
        whole.parse().ok()
    };
    let within = number.is_some_and(|n| {
        n >= least && (n < 4_294_967 || (n == 4_294_967 && fraction.trim_matches('0').is_empty()))
    });
    if !sound || !within {
        let what = format!("{} {} does not count", word.text, arg.text);
        diags.push(
            Diagnostic::error("out-of-range", arg.span, what)
                .help(format!("expected milliseconds from {least} to 4294967")),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::help::{codes, instance, read};
    use super::*;
    use std::sync::Arc;

    fn files(lines: &str) -> (Option<Arc<File>>, Vec<&'static str>) {
        let user = instance("virtual_ipaddress { 10.0.0.1 }\ntrack_file {\nf\n}");
        let loaded = read(&format!("track_file f {{\n{lines}\n}}\n{user}"));
        let codes = codes(&loaded);
        (
            loaded.settings.and_then(|s| s.files.first().cloned()),
            codes,
        )
    }

    fn processes(lines: &str) -> (Option<Arc<Process>>, Vec<&'static str>) {
        let user = instance("virtual_ipaddress { 10.0.0.1 }\ntrack_process {\np\n}");
        let loaded = read(&format!("vrrp_track_process p {{\n{lines}\n}}\n{user}"));
        let codes = codes(&loaded);
        (
            loaded.settings.and_then(|s| s.processes.first().cloned()),
            codes,
        )
    }

    #[test]
    fn a_file_weighs_one_unless_it_says_otherwise() {
        let (file, codes) = files("file /x/y");
        let file = file.expect("a file");
        assert!(codes.is_empty(), "{codes:?}");
        assert_eq!((&*file.path, file.weight, file.reverse), ("/x/y", 1, false));
        assert_eq!((file.init, file.overwrite), (None, false));
        let (file, _) = files("file /x/y\nweight -254 reverse");
        let file = file.expect("a file");
        assert_eq!((file.weight, file.reverse), (-254, true));
        let (file, codes) = files("file /x/y\nweight 1\nweight 7\nweight 8");
        assert_eq!((file.expect("a file").weight, codes), (7, vec!["repeated"]));
        let (file, codes) = files("file /x/y\nweight 300");
        assert_eq!(file.expect("a file").weight, 1);
        assert_eq!(codes, ["out-of-range"]);
    }

    #[test]
    fn a_file_can_be_made_at_the_start() {
        let init = |line: &str| {
            let file = files(&format!("file /x/y\n{line}")).0.expect("a file");
            (file.init, file.overwrite)
        };
        assert_eq!(init("init_file"), (Some(0), false));
        assert_eq!(init("init_file -7"), (Some(-7), false));
        assert_eq!(init("init_file 3 overwrite"), (Some(3), true));
        assert_eq!(init("init_file overwrite"), (Some(0), true));
        assert_eq!(files("file /x/y\ninit_file foo").1, ["bad-number"]);
    }

    #[test]
    fn a_tracker_that_follows_nothing_is_not_used() {
        let (file, codes) = files("weight 2");
        assert_eq!(
            (file, codes),
            (None, vec!["tracks-nothing", "undefined-file"])
        );
        assert_eq!(files("file \"\"").1, ["tracks-nothing", "undefined-file"]);
        let (process, codes) = processes("weight 2");
        assert_eq!(
            (process, codes),
            (None, vec!["tracks-nothing", "undefined-process"])
        );
    }

    #[test]
    fn paths_that_cannot_be_watched_are_noted() {
        assert_eq!(files("file /proc/loadavg").1, ["unwatched-path"]);
        assert_eq!(files("file health").1, ["relative-path"]);
        assert_eq!(files("file /a/b\nfile /a/c").1, ["repeated"]);
    }

    #[test]
    fn a_process_is_known_by_its_name_or_by_its_whole_command() {
        let (p, codes) = processes("process nginx");
        let p = p.expect("a process");
        assert!(codes.is_empty(), "{codes:?}");
        assert_eq!((&*p.process, p.full_command), ("nginx", false));
        assert_eq!(p.matching, ParamMatch::None);
        let p = processes("process /usr/bin/x -a b").0.expect("a process");
        assert_eq!(p.params.len(), 2);
        assert_eq!((p.matching, p.full_command), (ParamMatch::Exact, true));
        let p = processes("param_match partial\nprocess x a")
            .0
            .expect("a process");
        assert_eq!(p.matching, ParamMatch::Partial);
        let p = processes("process x\nparam_match").0.expect("a process");
        assert_eq!((p.matching, p.full_command), (ParamMatch::Exact, true));
        assert_eq!(processes("process x\nparam_match foo").1, ["bad-value"]);
        assert_eq!(
            processes("process 1234567890123456").1,
            ["long-process-name"]
        );
        assert_eq!(processes("process x\nprocess y").1, ["repeated"]);
    }

    #[test]
    fn bounds_of_a_process_do_not_cross() {
        let bounds = |lines: &str| {
            let (p, codes) = processes(&format!("process x\n{lines}"));
            let p = p.expect("a process");
            ((p.quorum, p.quorum_max), codes)
        };
        assert_eq!(bounds(""), ((1, None), vec![]));
        assert_eq!(bounds("quorum 3\nquorum_max 5"), ((3, Some(5)), vec![]));
        assert_eq!(bounds("quorum_max 0"), ((0, Some(0)), vec![]));
        assert_eq!(
            bounds("quorum 3\nquorum_max 2"),
            ((3, None), vec!["contradiction"])
        );
        assert_eq!(
            bounds("quorum_max 2\nquorum 3"),
            ((1, Some(2)), vec!["contradiction"])
        );
        assert_eq!(bounds("quorum 0"), ((1, None), vec!["out-of-range"]));
    }

    #[test]
    fn delays_of_a_process_count_for_both_ways_or_for_one() {
        let delays = |lines: &str| {
            let p = processes(&format!("process x\n{lines}"))
                .0
                .expect("a process");
            (p.fork_delay.as_millis(), p.terminate_delay.as_millis())
        };
        assert_eq!(delays("delay 0.5"), (500, 500));
        assert_eq!(delays("delay 2\nfork_delay 3"), (3000, 2000));
        assert_eq!(delays("terminate_delay 1"), (0, 1000));
        assert_eq!(delays("delay 0"), (0, 0));
    }

    #[test]
    fn a_bfd_instance_is_read_but_nothing_comes_of_it() {
        let told = |lines: &str| {
            let user = instance("virtual_ipaddress { 10.0.0.1 }\ntrack_bfd {\nb\n}");
            codes(&read(&format!("bfd_instance b {{\n{lines}\n}}\n{user}")))
        };
        let plain = ["not-acted-on", "not-acted-on"];
        assert_eq!(
            told("neighbor_ip 10.0.0.9\nmin_rx 12.5\nmax_hops -1\npassive"),
            plain
        );
        let with = |code| vec!["not-acted-on", code, "not-acted-on"];
        assert_eq!(
            told("neighbour_ip 10.0.0.9\nmin_tx 0"),
            with("out-of-range")
        );
        assert_eq!(
            told("neighbour_ip 10.0.0.9\nidle_tx 500"),
            with("out-of-range")
        );
        assert_eq!(
            told("neighbour_ip 10.0.0.9\nmultiplier x"),
            with("bad-number")
        );
        let user = instance("virtual_ipaddress { 10.0.0.1 }\ntrack_bfd {\nb weight -9\nc\n}");
        let loaded = read(&format!(
            "bfd_instance b {{\nneighbor_ip 10.0.0.9\n}}\n{user}"
        ));
        let settings = loaded.settings.expect("usable");
        assert_eq!(settings.routers[0].track_sessions, ["b".into()]);
        assert!(told("min_rx 5").contains(&"tracks-nothing"));
        assert!(told("neighbor_ip 10.0.0.9\nsource_ip fe80::1").contains(&"mixed-families"));
    }
}
