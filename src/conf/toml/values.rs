//! Values of single keys: TOML's types to the words of a line.

use super::kinds::Kind;
use super::{Key, Reader, Value};
use crate::conf::keywords::Keyword;
use crate::conf::lexer::Word;
use crate::conf::source::Span;
use crate::conf::value::plain;
use crate::conf::write::words::command_line;
use toml::de::{DeInteger, DeTable, DeValue};

impl Reader<'_> {
    /// The words after the keyword. `None` if the keyword is not to stand there at all.
    pub(super) fn words(
        &mut self,
        kind: Kind,
        row: &'static Keyword,
        key: Key<'_, '_>,
        value: Value<'_, '_>,
        body: Option<&DeTable<'_>>,
    ) -> Option<Vec<Word>> {
        let name: &str = key.get_ref();
        let at = self.at(value);
        match (kind, value.get_ref()) {
            (Kind::Flag, DeValue::Boolean(on)) => on.then(Vec::new),
            (Kind::Flag, _) => {
                self.wrong(value, name, "true or false");
                None
            }
            (Kind::Truth, DeValue::Boolean(on)) => {
                let word = if *on { "on" } else { "off" };
                Some(vec![self.word(word, at)])
            }
            (Kind::Truth, _) => {
                self.wrong(value, name, "true or false");
                None
            }
            (Kind::Optional, DeValue::Boolean(on)) => on.then(Vec::new),
            (Kind::Optional | Kind::Scalar, _) => Some(vec![self.scalar(name, value)?]),
            (Kind::Number, _) => Some(vec![self.number(name, value)?]),
            (Kind::Time, _) => Some(vec![self.time(name, value, 1)?]),
            (Kind::Millis, _) => Some(vec![self.time(name, value, 1000)?]),
            (Kind::Text, _) => Some(vec![self.text(name, value)?]),
            (Kind::Line, DeValue::String(text)) => {
                let words: Option<Vec<Word>> = text
                    .split_whitespace()
                    .map(|word| self.plain(word, at))
                    .collect();
                words
            }
            (Kind::Words | Kind::Line, DeValue::Array(array)) => {
                let words: Option<Vec<Word>> =
                    array.iter().map(|value| self.scalar(name, value)).collect();
                words
            }
            (Kind::Words | Kind::Line, _) => Some(vec![self.scalar(name, value)?]),
            (Kind::Command, DeValue::Boolean(on)) if row.min == 0 => on.then(Vec::new),
            (Kind::Command, _) => self.command(name, value),
            (Kind::User, _) => self.user(name, value),
            (Kind::Weight, _) => self.weight(name, value, body),
            (Kind::InitFile, _) => self.init_file(name, value, body),
            (Kind::Match, _) => self.matching(name, value),
            (Kind::Rate, _) => self.rate(name, value),
            // Blocks are no words.
            (Kind::List(_) | Kind::Table(_), _) => None,
        }
    }

    /// A text that a line can hold.
    pub(super) fn plain(&mut self, text: &str, at: Span) -> Option<Word> {
        if let Some(bad) = text.chars().find(|c| *c == '"' || c.is_control()) {
            let what = format!("{bad:?} cannot stand in this text; it does not count");
            self.say(
                "bad-text",
                at,
                what,
                "leave out quotes, line ends and other control characters",
            );
            return None;
        }
        Some(self.word(text, at))
    }

    pub(super) fn text(&mut self, name: &str, value: Value<'_, '_>) -> Option<Word> {
        if let Some(text) = value.get_ref().as_str() {
            return self.plain(text, self.at(value));
        }
        self.wrong(value, name, "a string");
        None
    }

    pub(super) fn scalar(&mut self, name: &str, value: Value<'_, '_>) -> Option<Word> {
        if let Some(n) = value.get_ref().as_integer() {
            return Some(self.word(decimal(n), self.at(value)));
        }
        if let Some(text) = value.get_ref().as_str() {
            return self.plain(text, self.at(value));
        }
        self.wrong(value, name, "a string or a whole number");
        None
    }

    pub(super) fn number(&mut self, name: &str, value: Value<'_, '_>) -> Option<Word> {
        if let Some(n) = value.get_ref().as_integer() {
            return Some(self.word(decimal(n), self.at(value)));
        }
        self.wrong(value, name, "a whole number");
        None
    }

    pub(super) fn truth(&mut self, name: &str, value: Value<'_, '_>) -> Option<bool> {
        let on = value.get_ref().as_bool();
        if on.is_none() {
            self.wrong(value, name, "true or false");
        }
        on
    }

    /// A length of time in seconds, times `scale`.
    fn time(&mut self, name: &str, value: Value<'_, '_>, scale: u64) -> Option<Word> {
        const WANTS: &str =
            "a length of time such as \"1s\", \"250ms\" or \"2m\", or a number of seconds";
        let at = self.at(value);
        let given = value.get_ref();
        let micros = if let Some(text) = given.as_str() {
            length(text)
        } else if let Some(n) = given.as_integer() {
            seconds(&decimal(n))
        } else if let Some(n) = given.as_float() {
            seconds(&n.as_str().replace('_', ""))
        } else {
            self.wrong(value, name, WANTS);
            return None;
        };
        let Some(micros) = micros.and_then(|m| m.checked_mul(scale)) else {
            let what = format!("this is no length of time; {name} does not count");
            self.say("bad-time", at, what, format!("expected {WANTS}"));
            return None;
        };
        Some(self.word(plain(micros), at))
    }

    fn weight(
        &mut self,
        name: &str,
        value: Value<'_, '_>,
        body: Option<&DeTable<'_>>,
    ) -> Option<Vec<Word>> {
        let mut words = vec![self.number(name, value)?];
        if let Some(reverse) = body.and_then(|body| body.get("reverse"))
            && self.truth("reverse", reverse)?
        {
            words.push(self.word("reverse", self.at(reverse)));
        }
        Some(words)
    }

    fn init_file(
        &mut self,
        name: &str,
        value: Value<'_, '_>,
        body: Option<&DeTable<'_>>,
    ) -> Option<Vec<Word>> {
        let mut words = match value.get_ref().as_bool() {
            Some(false) => return None,
            Some(true) => Vec::new(),
            None => vec![self.number(name, value)?],
        };
        if let Some(overwrite) = body.and_then(|body| body.get("overwrite"))
            && self.truth("overwrite", overwrite)?
        {
            words.push(self.word("overwrite", self.at(overwrite)));
        }
        Some(words)
    }

    /// Parameters match exactly if nothing else is said.
    fn matching(&mut self, name: &str, value: Value<'_, '_>) -> Option<Vec<Word>> {
        let word = self.text(name, value)?;
        match &*word.text {
            "exact" => Some(Vec::new()),
            "initial" | "partial" => Some(vec![word]),
            other => {
                let what = format!("`{other}` is not known to {name}");
                self.say(
                    "bad-value",
                    word.span,
                    what,
                    "expected exact, partial or initial",
                );
                None
            }
        }
    }

    /// `{ count = 200, within = "60s" }`.
    fn rate(&mut self, name: &str, value: Value<'_, '_>) -> Option<Vec<Word>> {
        const WANTS: &str = "a table such as { count = 200, within = \"60s\" }";
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong(value, name, WANTS);
            return None;
        };
        self.only(name, table, &["count", "within"]);
        let (Some(count), Some(within)) = (table.get("count"), table.get("within")) else {
            let what = format!("{name} needs a count and a time");
            self.say(
                "missing-key",
                self.at(value),
                what,
                format!("expected {WANTS}"),
            );
            return None;
        };
        let count = self.number("count", count);
        let within = self.time("within", within, 1);
        Some(vec![count?, within?])
    }

    /// A command line, its arguments, or a table with the user that runs it.
    pub(super) fn command(&mut self, name: &str, value: Value<'_, '_>) -> Option<Vec<Word>> {
        let Some(table) = value.get_ref().as_table() else {
            return Some(vec![self.line(name, value)?]);
        };
        self.only(name, table, &["command", "user", "group"]);
        let Some(command) = table.get("command") else {
            let what = format!("{name} has no command");
            let help = "expected { command = \"/path/to/program arguments\", user = \"name\" }";
            self.say("missing-key", self.at(value), what, help);
            return None;
        };
        let mut words = vec![self.line(name, command)?];
        words.extend(self.run_as(table)?);
        Some(words)
    }

    fn line(&mut self, name: &str, value: Value<'_, '_>) -> Option<Word> {
        let at = self.at(value);
        // Escapes and quotes in it are read later, so nothing is forbidden.
        if let Some(text) = value.get_ref().as_str() {
            return Some(self.word(text, at));
        }
        let Some(array) = value.get_ref().as_array() else {
            self.wrong(value, name, "a command: a string, or an array of arguments");
            return None;
        };
        let mut argv = Vec::with_capacity(array.len());
        for argument in array.iter() {
            let Some(text) = argument.get_ref().as_str() else {
                self.wrong(argument, "an argument", "a string");
                return None;
            };
            argv.push(text);
        }
        Some(self.word(command_line(&argv), at))
    }

    /// A user, or a table with a group.
    fn user(&mut self, name: &str, value: Value<'_, '_>) -> Option<Vec<Word>> {
        let Some(table) = value.get_ref().as_table() else {
            return Some(vec![self.text(name, value)?]);
        };
        self.only(name, table, &["user", "group"]);
        let words = self.run_as(table)?;
        if words.is_empty() {
            let what = format!("{name} names no user");
            let help = "expected { user = \"name\", group = \"name\" }";
            self.say("missing-key", self.at(value), what, help);
            return None;
        }
        Some(words)
    }

    /// `user` and `group` of a table; nothing if there is no user.
    fn run_as(&mut self, table: &DeTable<'_>) -> Option<Vec<Word>> {
        let Some(user) = table.get("user") else {
            if let Some(group) = table.get("group") {
                let at = self.at(group);
                let what = "a group without a user does not count".to_owned();
                self.say("missing-key", at, what, "add user = \"name\"");
            }
            return Some(Vec::new());
        };
        let mut words = vec![self.text("user", user)?];
        if let Some(group) = table.get("group") {
            words.push(self.text("group", group)?);
        }
        Some(words)
    }

    /// Refuses keys that are not among `known`.
    pub(super) fn only(&mut self, name: &str, table: &DeTable<'_>, known: &[&str]) {
        for (key, _) in super::entries(table) {
            let shown: &str = key.get_ref();
            if known.contains(&shown) {
                continue;
            }
            let near = known
                .iter()
                .map(|known| (strsim::osa_distance(shown, known), known))
                .filter(|(distance, _)| shown.len() < 64 && *distance <= 2)
                .min();
            let help = match near {
                Some((_, near)) => format!("did you mean `{near}`?"),
                None => format!("known are {}", known.join(", ")),
            };
            let what = format!("unknown key `{shown}` in {name}");
            self.say("unknown-key", self.at(key), what, help);
        }
    }
}

/// A TOML integer in base 10.
fn decimal(n: &DeInteger<'_>) -> String {
    let digits = n.as_str().replace('_', "");
    match i128::from_str_radix(&digits, n.radix()) {
        Ok(n) => n.to_string(),
        Err(_) => digits,
    }
}

/// `250ms`, `1.5s`, `2m`, `1h`, `40us` in microseconds.
fn length(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let (number, unit) = text.split_at(end);
    let scale = match unit.trim_start() {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" | "min" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return None,
    };
    scaled(number, scale)
}

/// `0.25` in microseconds.
fn seconds(text: &str) -> Option<u64> {
    scaled(text, 1_000_000)
}

/// A decimal number times `scale`, if the product is whole.
pub(in crate::conf) fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let unit = 10u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let read = |text: &str| {
        if text.is_empty() {
            Some(0)
        } else {
            text.parse::<u64>().ok()
        }
    };
    let part = read(fraction)?.checked_mul(scale)?;
    if part % unit != 0 {
        return None;
    }
    read(whole)?.checked_mul(scale)?.checked_add(part / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_units_and_are_exact() {
        assert_eq!(length("1s"), Some(1_000_000));
        assert_eq!(length("250ms"), Some(250_000));
        assert_eq!(length("1.5 s"), Some(1_500_000));
        assert_eq!(length(".5s"), Some(500_000));
        assert_eq!(length("2m"), Some(120_000_000));
        assert_eq!(length("1h"), Some(3_600_000_000));
        assert_eq!(length("40us"), Some(40));
        assert_eq!(length("0.0005ms"), None, "less than a microsecond");
        for bad in [
            "1",
            "s",
            "",
            "-1s",
            "1e3s",
            "1.2.3s",
            "99999999999999999999s",
            "1 d",
        ] {
            assert_eq!(length(bad), None, "{bad}");
        }
        assert_eq!(seconds("0.25"), Some(250_000));
        assert_eq!(seconds("inf"), None);
        assert_eq!(seconds("1e3"), None);
    }
}
