//! `mainstay check`: what there is to say about configuration files.

use crate::cli::out;
use crate::conf::{self, Diagnostic, Loaded, Options, Severity, Sources, Span};
use clap::Args;
use serde_json::{Value, json};
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct CheckArgs {
    /// Configurations, each judged by itself.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print findings as JSON, for editors and CI.
    #[arg(long)]
    json: bool,
    /// Exit with 0 in spite of warnings.
    #[arg(long)]
    lenient: bool,
    /// Configuration id, what `@NAME` lines of the files are compared with.
    #[arg(short = 'i', long, value_name = "ID")]
    config_id: Option<String>,
}

/// Version of the JSON form; grows when a field changes its meaning.
const FORM: u32 = 1;

pub(super) fn main(args: &CheckArgs) -> ExitCode {
    let options = Options {
        config_id: args.config_id.clone(),
        ..Options::default()
    };
    let colour = io::stdout().is_terminal() && out::coloured();
    let mut worst = 0;
    let mut text = String::new();
    let mut files = Vec::new();
    for file in &args.files {
        let loaded = conf::load(file, &options);
        worst = worst.max(conf::exit_code(&loaded.diagnostics, args.lenient));
        let name = file.display().to_string();
        if args.json {
            files.push(object(&name, &loaded));
        } else {
            text += &shown(&name, &loaded, colour);
        }
    }
    if args.json {
        text = format!("{:#}\n", json!({"form": FORM, "files": files}));
    }
    out::print(&text, ExitCode::from(worst))
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
