//! What all questions to a running daemon share: errors, lengths of time, JSON.

use crate::cli::{exit, out};
use crate::ctl::client::Error;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::process::ExitCode;
use std::time::Duration;

/// Why there is nothing to print: the exit code and a sentence.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: u8,
    pub(super) text: String,
}

impl Failure {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self {
            code: exit::FAILURE,
            text: text.into(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Permission(..) => exit::PERMISSION,
            Error::Refused(name, _)
                if name.ends_with(".PermissionDenied") || name.ends_with(".NotPermitted") =>
            {
                exit::PERMISSION
            }
            Error::Refused(name, _) if name.ends_with(".ConfigRefused") => exit::CONFIG,
            Error::NotRunning(_)
            | Error::TimedOut(_)
            | Error::Io(..)
            | Error::Refused(..)
            | Error::BadReply(_) => exit::FAILURE,
        };
        Self {
            code,
            text: error.to_string(),
        }
    }
}

/// Prints what was found, or complains.
pub(super) fn finish(told: Result<(String, ExitCode), Failure>) -> ExitCode {
    match told {
        Ok((text, code)) => out::print(&text, code),
        Err(Failure { code, text }) => {
            out::complain(&text);
            ExitCode::from(code)
        }
    }
}

/// A reply in our types.
pub(super) fn read<T: DeserializeOwned>(reply: Value) -> Result<T, Failure> {
    serde_json::from_value(reply).map_err(|error| {
        Failure::new(format!(
            "the daemon's answer has another form ({error}); use --json"
        ))
    })
}

/// The daemon's own words, with the version of their form.
pub(super) fn json(mut reply: Value, form: u32) -> String {
    if let Some(object) = reply.as_object_mut() {
        object.entry("form").or_insert_with(|| Value::from(form));
    }
    format!("{reply:#}\n")
}

/// `90`, `90s`, `10m`, `2h`, `1d`, `1h30m`, `500ms`; a bare number counts seconds.
pub(super) fn length(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no length of time (write 90s, 10m, 2h, 1d or 1h30m)");
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let letters = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let millis: u64 = match unit {
            "ms" => 1,
            "" if after.is_empty() && rest == text => 1_000,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        total = number
            .checked_mul(millis)
            .and_then(|ms| total.checked_add(Duration::from_millis(ms)))
            .ok_or_else(wrong)?;
        rest = after;
    }
    if total.is_zero() {
        return Err(wrong());
    }
    Ok(total)
}

/// A number of an event, or how long ago.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Since {
    /// Events with a higher number.
    Seq(u64),
    /// Not older.
    Age(Duration),
}

/// `1234` is a number of an event, `24h` a length of time.
pub(super) fn since(text: &str) -> Result<Since, String> {
    match text.parse() {
        Ok(seq) => Ok(Since::Seq(seq)),
        Err(_) => length(text).map(Since::Age),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lengths_of_time_have_units() {
        for (text, seconds) in [
            ("90", 90),
            ("90s", 90),
            ("10m", 600),
            ("10min", 600),
            ("2h", 7_200),
            ("1d", 86_400),
            ("1h30m", 5_400),
        ] {
            assert_eq!(length(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(length("500ms"), Ok(Duration::from_millis(500)));
        for text in [
            "",
            "0",
            "h",
            "5x",
            "-5s",
            "1h30",
            "99999999999999999999d",
            "5 m",
        ] {
            let error = length(text).expect_err(text);
            assert!(error.contains("length of time"), "{error}");
        }
    }

    #[test]
    fn a_bare_number_is_an_event_and_a_length_an_age() {
        assert_eq!(since("12"), Ok(Since::Seq(12)));
        assert_eq!(since("24h"), Ok(Since::Age(Duration::from_secs(86_400))));
        assert!(since("yesterday").is_err());
    }

    #[test]
    fn refusals_have_exit_codes_of_their_own() {
        let of = |name: &str| Failure::from(Error::Refused(name.into(), json!({}))).code;
        assert_eq!(of("org.varlink.service.PermissionDenied"), exit::PERMISSION);
        assert_eq!(of("dev.mainstay.Control.ConfigRefused"), exit::CONFIG);
        assert_eq!(of("dev.mainstay.Control.Busy"), exit::FAILURE);
    }
}
