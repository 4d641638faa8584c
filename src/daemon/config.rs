//! From a file to settings that may run, the same way at the start and at a reload.

use crate::conf::{self, Severity};
use crate::daemon::RunOptions;
use crate::model::settings::Settings;
use crate::scripts::vet;
use std::sync::Arc;

/// A configuration that may run.
pub(super) struct Config {
    pub(super) settings: Arc<Settings>,
    /// What is to be said about it while it runs.
    pub(super) warnings: Vec<String>,
}

/// Why a configuration may not run.
pub(super) struct Refusal {
    /// The diagnostics as `check` prints them.
    pub(super) text: String,
}

/// Reads and judges the file. Nothing outside is changed.
///
/// A start refuses what keepalived refuses and what would be unsafe here, with `strict` any error. A
/// reload is always strict: there is a good configuration to stay with.
pub(super) fn read(options: &RunOptions, strict: bool, color: bool) -> Result<Config, Refusal> {
    let conf_options = conf::Options {
        config_id: options.config_id.clone(),
        ..conf::Options::default()
    };
    let loaded = conf::load(&options.file, &conf_options);
    let refused = loaded
        .diagnostics
        .iter()
        .any(|d| d.refuses || (strict && d.severity == Severity::Error));
    let Some(mut settings) = loaded.settings.filter(|_| !refused) else {
        return Err(Refusal {
            text: conf::render(&loaded.diagnostics, &loaded.sources, color),
        });
    };
    let mut warnings: Vec<String> = loaded
        .diagnostics
        .iter()
        .filter(|d| d.severity != Severity::Note || d.unacted.is_some())
        .map(|d| d.one_line(&loaded.sources))
        .collect();
    if loaded.lvs {
        warnings.push(
            "lvs: not handled here; run `keepalived -C` beside for the virtual servers".into(),
        );
    }
    for finding in vet::settings(&mut settings) {
        warnings.push(finding.to_string());
    }
    Ok(Config {
        settings: Arc::new(settings),
        warnings,
    })
}
