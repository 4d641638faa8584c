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
