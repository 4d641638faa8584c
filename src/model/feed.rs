//! What other programs report of trackers that are fed, not run or read (`external`).

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What is reported of an external tracker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// One passing result of a `vrrp_script`.
    Up,
    /// One failing result of a `vrrp_script`.
    Down,
    /// The number of a `track_file`.
    Number(i32),
}

/// `up`, `down` or the number: what an operator types.
impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up => f.write_str("up"),
            Self::Down => f.write_str("down"),
            Self::Number(number) => number.fmt(f),
        }
    }
}

impl Reading {
    /// Reads what an operator types; `None` if it is neither a word nor a number that fits.
    pub fn of(text: &str) -> Option<Self> {
        match text {
            "up" => Some(Self::Up),
            "down" => Some(Self::Down),
            number => number.parse().ok().map(Self::Number),
        }
    }
}

/// One report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Feed {
    /// Comes back with what came of it.
    pub id: u64,
    /// The tracker.
    pub name: Arc<str>,
    /// What is reported.
    pub reading: Reading,
    /// For so long; `None` until the next report.
    pub lease: Option<Duration>,
    /// The user who reports.
    pub by: u32,
    /// It was in force before a restart and is taken up again.
    pub resumed: Option<Resumed>,
}

/// What a report of an earlier run had come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Resumed {
    /// It was made so long ago.
    pub ago: Duration,
    /// Whether a `vrrp_script` was up, whatever its last result; `None` if that is not known.
    pub up: Option<bool>,
    /// So much of its lease is left.
    pub left: Option<Duration>,
    /// Its lease had run out.
    pub over: bool,
}

/// What came of a report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fed {
    /// It counts.
    Taken {
        /// Something is other than after the report before it.
        changed: bool,
        /// Whether a `vrrp_script` is up now.
        up: Option<bool>,
        /// `up 3/5`, `down 1/2`; empty for a number.
        counter: String,
    },
    /// Nothing was changed.
    Refused {
        /// Why, in a sentence.
        why: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_a_word_or_a_number_that_fits() {
        for (text, reading) in [
            ("up", Some(Reading::Up)),
            ("down", Some(Reading::Down)),
            ("-7", Some(Reading::Number(-7))),
            ("2147483647", Some(Reading::Number(i32::MAX))),
            ("2147483648", None),
            ("UP", None),
            ("1.5", None),
            ("", None),
        ] {
            assert_eq!(Reading::of(text), reading, "{text}");
        }
        assert_eq!(Reading::Number(-7).to_string(), "-7");
    }
}
