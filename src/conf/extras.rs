//! Ways of keeping a flapping service from moving addresses: `window`, thresholds by role,
//! `flap_damping`; and `script_unusable`.

use super::block::Node;
use super::diag::{Diagnostic, Diags};
use super::lexer::Word;
use super::script::times;
use super::value::{self, Junk};
use crate::model::settings::{DampingSettings, Thresholds, Window};

/// The thresholds of a `vrrp_script` as written.
#[derive(Default)]
pub(super) struct Given {
    thresholds: Thresholds,
}

impl Given {
    /// Reads one line, if it is one of these.
    pub(super) fn read(&mut self, word: &Word, args: &[Word], diags: &mut Diags) {
        let this = &mut self.thresholds;
        match (&*word.text, args) {
            ("window", [failures, of, ..]) => {
                this.window = window(word, failures, of, diags).or(this.window);
            }
            ("rise_when_backup", [arg, ..]) => {
                this.rise_when_backup = times(word, arg, diags).or(this.rise_when_backup);
            }
            ("fall_when_master", [arg, ..]) => {
                this.fall_when_master = times(word, arg, diags).or(this.fall_when_master);
            }
            _ => {}
        }
    }

    /// What they come to; a window leaves no work for the counts of failures in a row.
    pub(super) fn settle(self, node: &Node, diags: &mut Diags) -> Thresholds {
        let Thresholds { window, .. } = self.thresholds;
        let Some(Window { failures, of }) = window else {
            return self.thresholds;
        };
        for line in node.children() {
            let what = format!(
                "{} has no effect beside window: {failures} failures among the last {of} results decide",
                line.name()
            );
            match line.name() {
                _ if line.args().is_empty() => {}
                // A file that serves keepalived too needs it there.
                "fall" => diags.push(
                    Diagnostic::note("window-and-fall", line.span(), what)
                        .help("it may stay for keepalived, which does not know the window"),
                ),
                "fall_when_master" => diags.push(
                    Diagnostic::warning("contradiction", line.span(), what)
                        .help("remove this line, or the window"),
                ),
                _ => {}
            }
        }
        Thresholds {
            fall_when_master: None,
            ..self.thresholds
        }
    }
}

/// `window FAILURES RESULTS`.
fn window(word: &Word, failures: &Word, of: &Word, diags: &mut Diags) -> Option<Window> {
    let most = i64::from(Window::MOST);
    let n = value::integer(word, of, 2..=most, Junk::Refuse, diags);
    let k = value::integer(word, failures, 1..=most, Junk::Refuse, diags);
    let (k, n) = (k?, n?);
    if k > n {
        let what = format!("{k} failures cannot be among {n} results; the window does not count");
        diags.push(
            Diagnostic::error("out-of-range", failures.span, what)
                .help(format!("expected a whole number from 1 to {n}")),
        );
        return None;
    }
    Some(Window {
        failures: u8::try_from(k).ok()?,
        of: u8::try_from(n).ok()?,
    })
}

/// `flap_damping { half_life SECONDS suppress N reuse N }`.
pub(super) fn damping(node: &Node, diags: &mut Diags) -> DampingSettings {
    let mut this = DampingSettings::default();
    let mut reuse = None;
    for line in node.children() {
        let (Some((word, args)), Some(_)) = (line.words.split_first(), line.row) else {
            continue;
        };
        let Some(arg) = args.first() else { continue };
        match &*word.text {
            "half_life" => {
                let most = u64::try_from(DampingSettings::LONGEST.as_micros()).unwrap_or(u64::MAX);
                let time = value::seconds(word, arg, 1_000_000..=most, 6, diags);
                this.half_life = time.unwrap_or(this.half_life);
            }
            "suppress" => this.suppress = penalty(word, arg, diags).unwrap_or(this.suppress),
            "reuse" => {
                if let Some(n) = penalty(word, arg, diags) {
                    this.reuse = n;
                    reuse = Some(arg.span);
                }
            }
            _ => {}
        }
    }
    if this.reuse > this.suppress {
        let what = format!(
            "reuse {} is above suppress {}; {} is used for both",
            this.reuse, this.suppress, this.suppress
        );
        diags.push(
            Diagnostic::error("out-of-range", reuse.unwrap_or_else(|| node.span()), what)
                .help("holding back begins above suppress and ends below reuse"),
        );
        this.reuse = this.suppress;
    }
    this
}

fn penalty(word: &Word, arg: &Word, diags: &mut Diags) -> Option<u32> {
    let most = i64::from(DampingSettings::MOST);
    let n = value::integer(word, arg, 1..=most, Junk::Refuse, diags)?;
    u32::try_from(n).ok()
}

/// `script_unusable fault` or `ignore`: whether it faults.
pub(super) fn unusable(arg: &Word, diags: &mut Diags) -> Option<bool> {
    match &*arg.text {
        "fault" => Some(true),
        "ignore" => Some(false),
        other => {
            let what = format!("`{other}` is not known to script_unusable");
            diags.push(
                Diagnostic::error("bad-value", arg.span, what).help("expected fault or ignore"),
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::help::{codes, read, router};
    use super::*;
    use crate::model::settings::CheckSettings;
    use std::time::Duration;

    fn script(lines: &str) -> (CheckSettings, Vec<&'static str>) {
        let loaded = read(&format!("vrrp_script s {{\nscript \"/x\"\n{lines}\n}}\n"));
        let codes = codes(&loaded);
        let settings = loaded.settings.expect("usable");
        (CheckSettings::clone(&settings.checks[0]), codes)
    }

    /// What is said of every script of these tests.
    const SAID: [&str; 2] = ["unused-script", "script-security"];

    fn said(codes: Vec<&'static str>) -> Vec<&'static str> {
        codes.into_iter().filter(|c| !SAID.contains(c)).collect()
    }

    #[test]
    fn a_window_and_thresholds_by_role_are_read() {
        let (check, codes) = script("window 3 5\nrise_when_backup 8");
        let window = Window { failures: 3, of: 5 };
        assert_eq!(check.thresholds.window, Some(window));
        assert_eq!(check.thresholds.rise_when_backup, Some(8));
        assert!(said(codes).is_empty());
        let (check, codes) = script("fall 2\nfall_when_master 6");
        assert_eq!(
            (check.fall, check.thresholds.fall_when_master),
            (2, Some(6))
        );
        assert!(said(codes).is_empty());
        assert_eq!(script("").0.thresholds, Thresholds::default());
    }

    #[test]
    fn a_window_replaces_the_counts_of_failures_in_a_row() {
        let (check, codes) = script("window 3 5\nfall 2\nfall_when_master 6");
        assert_eq!(check.thresholds.fall_when_master, None);
        assert_eq!(said(codes), ["window-and-fall", "contradiction"]);
    }

    #[test]
    fn a_window_that_cannot_be_is_an_error_and_does_not_count() {
        for line in [
            "window 6 5",
            "window 1 1",
            "window 1 65",
            "window 0 5",
            "window x 5",
        ] {
            let (check, codes) = script(line);
            assert_eq!(check.thresholds.window, None, "{line}");
            assert_eq!(said(codes).len(), 1, "{line}");
        }
    }

    #[test]
    fn damping_has_defaults_and_its_bounds_keep_their_order() {
        let damping = |body: &str| {
            let (r, codes) = router("", &format!("flap_damping {{\n{body}\n}}"));
            (r.damping.expect("damped"), codes)
        };
        assert_eq!(damping(""), (DampingSettings::default(), vec![]));
        let (d, codes) = damping("half_life 90.5\nsuppress 5\nreuse 2");
        assert_eq!(d.half_life, Duration::from_millis(90_500));
        assert_eq!((d.suppress, d.reuse, codes), (5, 2, vec![]));
        let (d, codes) = damping("suppress 2\nreuse 4");
        assert_eq!((d.suppress, d.reuse, codes), (2, 2, vec!["out-of-range"]));
        assert_eq!(damping("supress 2").1, ["unknown-keyword"]);
        assert_eq!(damping("half_life 0").1, ["out-of-range"]);
        assert_eq!(router("", "").0.damping, None, "off unless asked for");
    }

    #[test]
    fn an_unusable_script_faults_only_on_request() {
        let loaded = read("global_defs {\nscript_unusable fault\n}\n");
        assert!(codes(&loaded).is_empty());
        assert!(loaded.settings.expect("usable").global.unusable_faults);
        let loaded = read("global_defs {\nscript_unusable perhaps\n}\n");
        assert_eq!(codes(&loaded), ["bad-value"]);
        assert!(!loaded.settings.expect("usable").global.unusable_faults);
    }
}
