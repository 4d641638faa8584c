//! `mainstay check`: what there is to say about configuration files.

use crate::cli::{keywords, live, out};
use crate::conf::{self, Diagnostic, Loaded, Options, Severity, Sources, Span};
use crate::proof::{self, Node, Proof};
use crate::scripts::vet;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::{self, IsTerminal, Write};
use std::path::{Component, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct CheckArgs {
    /// Configurations; several are taken for several routers of one group.
    #[arg(required_unless_present = "keywords", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print findings as JSON, for editors and CI.
    #[arg(long)]
    json: bool,
    /// Exit with 0 in spite of warnings.
    #[arg(long)]
    lenient: bool,
    /// Show which failure moves which address; always done for several files.
    #[arg(long)]
    proof: bool,
    /// Interfaces there will be; others that are used are errors.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    iface: Vec<String>,
    /// Take the interfaces of this machine for those there will be.
    #[arg(long)]
    live: bool,
    /// Look whether every program exists here, can be run by its user, and is safe to.
    #[arg(long)]
    scripts: bool,
    /// Configuration id, what `@NAME` lines of the files are compared with.
    #[arg(short = 'i', long, value_name = "ID")]
    config_id: Option<String>,
    /// Print what is left of the files after includes, conditions, variables and loops, with the
    /// origin of each line; findings go to standard error.
    #[arg(long, conflicts_with_all = ["json", "proof"])]
    expanded: bool,
    /// Print what becomes of each keyword, and judge nothing.
    #[arg(long, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "plain",
          conflicts_with_all = ["files", "json", "expanded", "proof"])]
    keywords: Option<Table>,
}

/// How the table of keywords is printed.
#[derive(Clone, Copy, ValueEnum)]
enum Table {
    /// For the terminal and grep.
    Plain,
    /// For the manual.
    Markdown,
}

/// Version of the JSON form; grows when a field changes its meaning.
const FORM: u32 = 1;

pub(super) fn main(args: &CheckArgs) -> ExitCode {
    match args.keywords {
        Some(Table::Plain) => return out::print(&keywords::plain(), ExitCode::SUCCESS),
        Some(Table::Markdown) => return out::print(&keywords::markdown(), ExitCode::SUCCESS),
        None => {}
    }
    let options = Options {
        config_id: args.config_id.clone(),
        ..Options::default()
    };
    if args.expanded {
        return expanded(args, &options);
    }
    let mut files = Vec::with_capacity(args.files.len());
    for path in &args.files {
        let mut loaded = conf::load(path, &options);
        if args.live || !args.iface.is_empty() {
            match live::missing(&loaded, args.live, &args.iface) {
                Ok(found) => loaded.diagnostics.extend(found),
                Err(why) => {
                    out::complain(&why);
                    return ExitCode::from(super::exit::FAILURE);
                }
            }
        }
        if args.scripts {
            let found = programs(&loaded);
            loaded.diagnostics.extend(found);
        }
        files.push((path.display().to_string(), loaded));
    }
    let proof = prove(&args.files, &mut files);
    for (_, loaded) in &mut files {
        loaded.diagnostics.sort_by_key(|d| (d.span.file, d.span.at));
    }
    let worst = files
        .iter()
        .map(|(_, loaded)| conf::exit_code(&loaded.diagnostics, args.lenient))
        .max()
        .unwrap_or(0);
    let proof = proof.filter(|_| args.proof || files.len() > 1);
    let text = if args.json {
        let list: Vec<Value> = files
            .iter()
            .map(|(name, loaded)| object(name, loaded))
            .collect();
        format!(
            "{:#}\n",
            json!({"form": FORM, "files": list, "proof": proof})
        )
    } else {
        let colour = io::stdout().is_terminal() && out::coloured();
        let mut text = String::new();
        for (name, loaded) in &files {
            text += &shown(name, loaded, colour);
        }
        if let Some(table) = proof.map(|p| p.table()).filter(|t| !t.is_empty()) {
            text += "\n";
            text += &table;
        }
        text
    };
    out::print(&text, ExitCode::from(worst))
}

/// What is left of the files, one after the other.
fn expanded(args: &CheckArgs, options: &Options) -> ExitCode {
    let colour = io::stderr().is_terminal() && out::coloured();
    let mut worst = 0;
    let mut text = Vec::new();
    for file in &args.files {
        let expanded = conf::expand(file, options);
        worst = worst.max(conf::exit_code(&expanded.diagnostics, args.lenient));
        if !expanded.diagnostics.is_empty() {
            let findings = conf::render(&expanded.diagnostics, &expanded.sources, colour);
            // There is nobody left to be told that this failed.
            let _ = write!(io::stderr(), "{findings}");
        }
        text.extend(expanded.text);
    }
    out::print_bytes(&text, ExitCode::from(worst))
}

/// The failover proof of all files that can be run; its findings are added to theirs.
fn prove(paths: &[PathBuf], files: &mut [(String, Loaded)]) -> Option<Proof> {
    let names = short_names(paths);
    let mut seen = HashSet::new();
    let mut nodes = Vec::new();
    let mut owners = Vec::new();
    for (index, ((path, name), (_, loaded))) in paths.iter().zip(&names).zip(&*files).enumerate() {
        if let Some(node) = Node::of_file(name, loaded)
            && seen.insert(path)
        {
            nodes.push(node);
            owners.push(index);
        }
    }
    if nodes.is_empty() {
        return None;
    }
    let mut proof = proof::prove(&nodes);
    let findings = std::mem::take(&mut proof.findings);
    for (owner, found) in owners.into_iter().zip(findings) {
        if let Some((_, loaded)) = files.get_mut(owner) {
            loaded.diagnostics.extend(found);
        }
    }
    Some(proof)
}

/// The part of each path in which it differs: `a` and `b` for `a.conf` and `b.conf`, and for
/// `a/keepalived.conf` and `b/keepalived.conf`.
fn short_names(paths: &[PathBuf]) -> Vec<String> {
    let parts: Vec<Vec<String>> = paths
        .iter()
        .map(|path| {
            let word = |c: Component<'_>| c.as_os_str().to_string_lossy().into_owned();
            let mut parts: Vec<String> = path.components().map(word).collect();
            if let (Some(last), Some(stem)) = (parts.last_mut(), path.file_stem()) {
                *last = stem.to_string_lossy().into_owned();
            }
            parts
        })
        .collect();
    let tail = |parts: &[String], from: usize, to: usize| {
        let end = parts.len().saturating_sub(from);
        parts[end.saturating_sub(to - from)..end].join("/")
    };
    let deepest = parts.iter().map(Vec::len).max().unwrap_or(0);
    let distinct = |from: usize, to: usize| {
        let names: Vec<String> = parts.iter().map(|p| tail(p, from, to)).collect();
        let unique: HashSet<&String> = names.iter().collect();
        (unique.len() == names.len()).then_some(names)
    };
    for to in 1..=deepest {
        if let Some(names) = distinct(to - 1, to).or_else(|| distinct(0, to)) {
            return names;
        }
    }
    paths.iter().map(|p| p.display().to_string()).collect()
}

/// What is wrong with the programs that the file names.
fn programs(loaded: &Loaded) -> Vec<Diagnostic> {
    let Some(settings) = &loaded.settings else {
        return Vec::new();
    };
    let places = &loaded.places;
    vet::settings(&mut settings.clone())
        .into_iter()
        .map(|finding| {
            let span = finding
                .owner
                .split_once(' ')
                .and_then(|(block, rest)| match block {
                    // Of what is external, the one who may report.
                    "vrrp_script" | "track_file" => ["script", "user"]
                        .iter()
                        .find_map(|keyword| places.keyword(block, rest, keyword)),
                    _ => {
                        let (name, keyword) = rest.rsplit_once(' ')?;
                        places
                            .keyword(block, name, keyword)
                            .or_else(|| places.name(block, name))
                    }
                });
            let span = span.unwrap_or_default();
            if finding.unusable {
                Diagnostic::error("unusable-program", span, finding.text)
            } else {
                Diagnostic::warning("unsafe-program", span, finding.text)
            }
        })
        .collect()
}

/// One file's findings for people.
fn shown(name: &str, loaded: &Loaded, colour: bool) -> String {
    if loaded.diagnostics.is_empty() {
        return format!("{name}: nothing to object to\n");
    }
    let findings = conf::render(&loaded.diagnostics, &loaded.sources, colour);
    let refuses = if loaded.settings.is_none() {
        format!("{name}: `mainstay run` refuses this file\n")
    } else {
        String::new()
    };
    // The summary ends the findings; with several files it must say of which.
    let (above, summary) = match findings.trim_end().rsplit_once('\n') {
        Some((above, summary)) => (format!("{above}\n"), summary),
        None => (String::new(), findings.trim_end()),
    };
    format!("{above}{name}: {summary}\n{refuses}")
}

/// One file's findings for machines.
fn object(name: &str, loaded: &Loaded) -> Value {
    let findings: Vec<Value> = loaded
        .diagnostics
        .iter()
        .map(|one| finding(one, &loaded.sources))
        .collect();
    json!({
        "path": name,
        "runs": loaded.settings.is_some(),
        "lvs": loaded.lvs,
        "diagnostics": findings,
    })
}

fn finding(one: &Diagnostic, sources: &Sources) -> Value {
    let severity = match one.severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    let related = one.related.map(|(span, label)| {
        let mut place = place(span, sources);
        place["text"] = label.into();
        place
    });
    let mut object = place(one.span, sources);
    object["severity"] = severity.into();
    object["code"] = one.code.into();
    object["text"] = one.text.clone().into();
    object["help"] = one.help.clone().into();
    object["related"] = related.into();
    object["refuses"] = one.refuses.into();
    object
}

/// Lines and columns count from 1; the end is the place after the last character.
fn place(span: Span, sources: &Sources) -> Value {
    let (line, column) = sources.locate(span);
    let (end_line, end_column) = sources.locate(span.end());
    json!({
        "file": sources.name(span.file),
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str) -> Loaded {
        conf::load_str("f.conf", text, &Options::default())
    }

    const GOOD: &str = "vrrp_instance VI_1 {\n interface eth0\n virtual_router_id 51\n virtual_ipaddress { 10.0.0.9/24 }\n}\n";

    #[test]
    fn findings_name_their_file_and_place() {
        let bad = GOOD.replace("virtual_router_id", "virtual_ruoter_id");
        let text = shown("f.conf", &loaded(&bad), false);
        assert!(text.contains("f.conf:3:2"), "{text}");
        let summary = text
            .lines()
            .find(|line| line.starts_with("f.conf: "))
            .expect("a summary");
        assert!(summary.contains("error"), "{summary}");
    }

    #[test]
    fn json_gives_place_severity_and_help() {
        let bad = GOOD.replace("interface eth0", "interface eth0\n nonsense 3");
        let value = object("f.conf", &loaded(&bad));
        let found = value["diagnostics"]
            .as_array()
            .expect("a list")
            .iter()
            .find(|one| one["line"] == 3)
            .expect("the unknown keyword");
        assert_eq!(found["file"], "f.conf");
        assert_eq!(found["column"], 2);
        assert_eq!(found["end_column"], 2 + "nonsense".len());
        assert_eq!(found["severity"], "warning");
        assert!(
            found["text"]
                .as_str()
                .is_some_and(|text| text.contains("nonsense")),
            "{found}"
        );
        assert_eq!(value["runs"], true);
    }

    #[test]
    fn a_file_without_findings_says_so() {
        let text = shown("f.conf", &loaded(GOOD), false);
        assert_eq!(text, "f.conf: nothing to object to\n");
    }
}
