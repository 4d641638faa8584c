//! What a fuzzer calls: whatever stands in the files, reading ends, does not panic, and points only
//! at bytes that are there.

use crate::conf::source::Span;
use crate::conf::write::{Form, write};
use crate::conf::{Diagnostic, Options, Severity, Sources, expand, load, load_str, render};
use crate::model::settings::Settings;
use std::path::Path;

/// Reads the bytes as one text, in both languages, and writes what was understood.
///
/// # Errors
/// What is wrong with the outcome.
#[doc(hidden)]
pub fn fuzz_text(bytes: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(bytes);
    for name in ["fuzz.conf", "fuzz.toml"] {
        let loaded = load_str(name, &text, &Options::default());
        judge(&loaded.diagnostics, &loaded.sources)?;
        let sound = loaded
            .diagnostics
            .iter()
            .all(|d| d.severity != Severity::Error);
        // The keepalived language takes control characters for part of a word, TOML refuses them.
        let plain = !text.contains(|c: char| c.is_control() && !"\t\n\r".contains(c));
        if let Some(settings) = loaded.settings.filter(|_| sound && plain) {
            survives(&settings, Form::Toml, "again.toml")?;
            survives(&settings, Form::Keepalived, "again.conf")?;
        }
    }
    Ok(())
}

/// Reads a file whose text is fuzz, with all it includes.
///
/// # Errors
/// What is wrong with the outcome.
#[doc(hidden)]
pub fn fuzz_file(path: &Path) -> Result<(), String> {
    let options = Options::default();
    let loaded = load(path, &options);
    judge(&loaded.diagnostics, &loaded.sources)?;
    let expanded = expand(path, &options);
    judge(&expanded.diagnostics, &expanded.sources)
}

fn judge(diagnostics: &[Diagnostic], sources: &Sources) -> Result<(), String> {
    for d in diagnostics {
        let mut spans = std::iter::once(d.span).chain(d.related.map(|(span, _)| span));
        if let Some(span) = spans.find(|span| !lies_in(*span, sources)) {
            return Err(format!("{} points outside the text: {span:?}", d.code));
        }
        if d.text.is_empty() {
            return Err(format!("{} says nothing", d.code));
        }
        let _ = d.one_line(sources);
    }
    let text = render(diagnostics, sources, false);
    if text.is_empty() && !diagnostics.is_empty() {
        return Err("findings are not shown".to_owned());
    }
    Ok(())
}

fn lies_in(span: Span, sources: &Sources) -> bool {
    let Ok(file) = usize::try_from(span.file) else {
        return false;
    };
    let text = sources.text(span.file);
    let (from, to) = (span.at as usize, span.at as usize + span.len as usize);
    file < sources.len() && text.get(from..to).is_some()
}

/// What was understood is understood again after it was written.
fn survives(settings: &Settings, form: Form, name: &str) -> Result<(), String> {
    // Not every text can stand in the keepalived language.
    let Ok(text) = write(settings, form) else {
        return Ok(());
    };
    let again = load_str(name, &text, &Options::default());
    match again.settings {
        Some(same) if same == *settings => Ok(()),
        Some(other) => Err(format!(
            "written and read again it is another:\n{text}\n{settings:?}\n{other:?}"
        )),
        None => {
            let why: Vec<String> = again
                .diagnostics
                .iter()
                .map(|d| d.one_line(&again.sources))
                .collect();
            Err(format!("what was written is refused: {why:?}\n{text}"))
        }
    }
}
