//! What a configuration means survives being written, in either language.

#[path = "../lab/ns.rs"]
#[allow(dead_code, unreachable_pub, reason = "a part of it is used")]
mod ns;

mod commands;
mod generate;
mod keepalived;

use mainstay::conf::write::{Form, write};
use mainstay::conf::{self, Loaded, Options, Severity};
use mainstay::model::settings::Settings;
use proptest::prelude::*;

fn name(form: Form) -> &'static str {
    match form {
        Form::Keepalived => "generated.conf",
        Form::Toml => "generated.toml",
    }
}

fn read(form: Form, text: &str) -> Loaded {
    conf::load_str(name(form), text, &Options::default())
}

/// The first line in which two settings differ.
fn difference(found: &Settings, wanted: &Settings) -> String {
    let (found, wanted) = (format!("{found:#?}"), format!("{wanted:#?}"));
    let pair = found.lines().zip(wanted.lines()).find(|(f, w)| f != w);
    match pair {
        Some((found, wanted)) => format!("found {}, wanted {}", found.trim(), wanted.trim()),
        None => "one is longer".to_owned(),
    }
}

/// The settings are written, and read again without an error.
fn there_and_back(settings: &Settings, form: Form) -> Result<(), TestCaseError> {
    let text = write(settings, form).expect("all of it can be written");
    let loaded = read(form, &text);
    let said = conf::render(&loaded.diagnostics, &loaded.sources, false);
    let wrong = loaded
        .diagnostics
        .iter()
        .any(|d| d.severity == Severity::Error);
    prop_assert!(!wrong, "{said}\n{text}");
    let Some(found) = &loaded.settings else {
        return Err(TestCaseError::fail(format!("refused: {said}\n{text}")));
    };
    prop_assert!(
        found == settings,
        "{}\n{said}\n{text}",
        difference(found, settings)
    );
    let again = write(settings, form).expect("all of it can be written");
    prop_assert_eq!(text, again, "the same settings give the same text");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn settings_survive_the_keepalived_language(settings in generate::settings()) {
        there_and_back(&settings, Form::Keepalived)?;
    }

    #[test]
    fn settings_survive_toml(settings in generate::settings()) {
        there_and_back(&settings, Form::Toml)?;
    }
}

/// Mutilates a text: cuts, doubles and puts in pieces.
fn mutilated(text: &str, cuts: &[(proptest::sample::Index, u8, char)]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for (place, what, sign) in cuts {
        let at = place.index(chars.len() + 1);
        let end = (at + usize::from(*what % 8)).min(chars.len());
        match what % 3 {
            0 => drop(chars.drain(at..end)),
            1 => chars.insert(at, *sign),
            _ => {
                let piece: Vec<char> = chars[at..end].to_vec();
                chars.splice(end..end, piece);
            }
        }
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever stands in a file, every finding points into it.
    #[test]
    fn findings_of_broken_toml_stay_inside_the_file(
        settings in generate::settings(),
        cuts in proptest::collection::vec(
            (any::<proptest::sample::Index>(), any::<u8>(), proptest::sample::select("\"'[]{}=.#\n\\\u{e4}0".chars().collect::<Vec<_>>())),
            1..12,
        ),
    ) {
        let text = write(&settings, Form::Toml).expect("all of it can be written");
        let text = mutilated(&text, &cuts);
        let loaded = read(Form::Toml, &text);
        for found in &loaded.diagnostics {
            let spans = [Some(found.span), found.related.map(|(span, _)| span)];
            for span in spans.into_iter().flatten() {
                let end = (span.at + span.len) as usize;
                prop_assert!(end <= text.len(), "{}: {:?}", found.text, span);
                prop_assert!(text.is_char_boundary(span.at as usize), "{}: {:?}", found.text, span);
                prop_assert!(text.is_char_boundary(end), "{}: {:?}", found.text, span);
            }
        }
        conf::render(&loaded.diagnostics, &loaded.sources, false);
    }
}
