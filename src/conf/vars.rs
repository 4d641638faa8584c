//! Variables and loops: what `$NAME`, `~SEQ` and `~LST` stand for (keepalived.conf(5) PARAMETERS).

use super::lexer::{Line, blank, name_ok, reference_len};
use std::collections::HashMap;
use std::sync::Arc;

/// What a name stands for.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Text put in place of the reference.
    Text(String),
    /// Lines of a definition that was continued with `\`.
    Lines(Arc<[Line<'static>]>),
}

/// The variables defined so far and the generator behind `_RANDOM`.
#[derive(Debug)]
pub(super) struct Vars {
    table: HashMap<String, Value>,
    random: u64,
}

/// A reference found in a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Reference<'t> {
    /// The name.
    pub(super) name: &'t str,
    /// Words after the name inside the braces.
    pub(super) words: &'t str,
    /// Bytes from `$` to its end.
    pub(super) len: usize,
    /// `${NAME}` rather than `$NAME`.
    pub(super) braced: bool,
}

/// What a reference stands for.
pub(super) enum Meaning {
    /// This text.
    Text(String),
    /// These lines.
    Lines(Arc<[Line<'static>]>),
    /// Nothing of that name is defined.
    Undefined,
    /// The words after the name are not understood.
    Malformed(&'static str),
}

impl Vars {
    /// The predefined names.
    pub(super) fn new(config_id: &str, seed: u64) -> Self {
        let text = |s: &str| Value::Text(s.to_owned());
        let table = HashMap::from([
            ("_INSTANCE".to_owned(), text(config_id)),
            ("_HASH".to_owned(), text("#")),
            ("_BANG".to_owned(), text("!")),
        ]);
        Self {
            table,
            random: seed,
        }
    }

    /// Defines a name, again if need be; returns what it stood for.
    pub(super) fn set(&mut self, name: &str, value: Value) -> Option<Value> {
        self.table.insert(name.to_owned(), value)
    }

    /// Puts back what `set` returned.
    pub(super) fn restore(&mut self, name: &str, old: Option<Value>) {
        match old {
            Some(value) => self.table.insert(name.to_owned(), value),
            None => self.table.remove(name),
        };
    }

    /// Starts the generator anew.
    pub(super) fn seed(&mut self, seed: u64) {
        self.random = seed;
    }

    /// Whether a name is defined.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    /// Resolves a reference.
    pub(super) fn meaning(&mut self, reference: Reference<'_>) -> Meaning {
        match self.table.get(reference.name) {
            Some(Value::Text(text)) => return Meaning::Text(text.clone()),
            Some(Value::Lines(lines)) => return Meaning::Lines(lines.clone()),
            None => {}
        }
        match reference.name {
            "_ENV" => match std::env::var(reference.words.trim()) {
                Ok(value) => Meaning::Text(value.replace(['\n', '\r', '\0'], " ")),
                Err(_) if reference.words.trim().is_empty() => {
                    Meaning::Malformed("expected ${_ENV NAME}")
                }
                Err(_) => Meaning::Undefined,
            },
            "_RANDOM" => self.random(reference.words),
            _ => Meaning::Undefined,
        }
    }

    fn random(&mut self, words: &str) -> Meaning {
        const FORM: Meaning = Meaning::Malformed("expected ${_RANDOM [MIN [MAX]]}, MIN below MAX");
        let mut bounds = [0u32, 32767];
        for (index, word) in words.split(blank).filter(|w| !w.is_empty()).enumerate() {
            match (bounds.get_mut(index), word.parse()) {
                (Some(bound), Ok(number)) => *bound = number,
                _ => return FORM,
            }
        }
        let [low, high] = bounds;
        if low > high {
            return FORM;
        }
        // Knuth's MMIX generator; the upper bits are the better ones.
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let span = u64::from(high - low) + 1;
        let number = u64::from(low) + (self.random >> 33) % span;
        Meaning::Text(number.to_string())
    }
}

/// The reference at the start of `text`, which begins with `$`.
///
/// A bare `$NAME` counts only before a blank, `,`, `)` or the end.
pub(super) fn reference(text: &str) -> Option<Reference<'_>> {
    if let Some(len) = reference_len(text) {
        let inner = text.get(2..len - 1)?;
        let (name, words) = inner.split_once(blank).unwrap_or((inner, ""));
        return Some(Reference {
            name,
            words,
            len,
            braced: true,
        });
    }
    let rest = text.strip_prefix('$')?;
    let end = rest
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(rest.len());
    let next = rest[end..].chars().next();
    let name = &rest[..end];
    let ends = next.is_none_or(|c| blank(c) || c == ',' || c == ')');
    (name_ok(name) && ends).then_some(Reference {
        name,
        words: "",
        len: end + 1,
        braced: false,
    })
}

/// The name at the start of `text` if it would be a reference but for what follows it.
pub(super) fn undelimited(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('$')?;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))?;
    name_ok(&rest[..end]).then_some(&rest[..end])
}

/// `$NAME=value` at the start of a line: the name and where the value begins.
pub(super) fn definition(text: &str) -> Option<(&str, usize)> {
    let (name, _) = text.strip_prefix('$')?.split_once('=')?;
    name_ok(name).then_some((name, name.len() + 2))
}

/// A loop at the start of a line.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Loop {
    /// Names bound in each pass.
    pub(super) names: Vec<String>,
    /// Their values, pass by pass.
    pub(super) passes: Passes,
    /// Where the body begins.
    pub(super) body: usize,
}

/// The values of a loop.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Passes {
    /// `~SEQ`: from, step, last, in hexadecimal.
    Count {
        /// First value.
        from: i64,
        /// Added each pass, not 0.
        step: i64,
        /// Not passed.
        last: i64,
        /// Written in lower-case hexadecimal.
        hex: bool,
    },
    /// `~LST`.
    List(Vec<Vec<String>>),
}

/// Where the `)` that closes a loop's head stands.
fn closing(text: &str) -> Option<usize> {
    text.find(')')
}

/// The part of a line that is a loop's head, up to its `)`, if it begins with one.
pub(super) fn loop_head(text: &str) -> Option<usize> {
    ["~SEQ(", "~SEQx(", "~LST("]
        .iter()
        .any(|start| text.starts_with(start))
        .then(|| closing(text).unwrap_or(text.len()))
}

/// Reads a loop's head; `Err` says what is wrong with it.
pub(super) fn parse_loop(text: &str) -> Result<Loop, &'static str> {
    let close = closing(text).ok_or("the closing ) is missing")?;
    let (word, inner) = text[..close]
        .split_once('(')
        .ok_or("the opening ( is missing")?;
    let (names, passes) = if word == "~LST" {
        list_head(inner)?
    } else {
        count_head(inner, word == "~SEQx")?
    };
    Ok(Loop {
        names,
        passes,
        body: close + 1,
    })
}

fn count_head(inner: &str, hex: bool) -> Result<(Vec<String>, Passes), &'static str> {
    let mut parts = inner.split(',').map(str::trim);
    let name = parts
        .next()
        .filter(|n| name_ok(n))
        .ok_or("expected ~SEQ(variable, [first, [step,]] last), the variable without $")?;
    let numbers: Option<Vec<i64>> = parts.map(integer).collect();
    let numbers = numbers.ok_or("expected whole numbers after the variable")?;
    let (from, step, last) = match numbers[..] {
        [last] => (
            if last < 0 { -1 } else { 1 },
            if last < 1 { -1 } else { 1 },
            last,
        ),
        [from, last] => (from, if last < from { -1 } else { 1 }, last),
        [from, step, last] => (from, step, last),
        _ => return Err("expected one, two or three numbers after the variable"),
    };
    if step == 0 || (last > from && step < 0) || (last < from && step > 0) {
        return Err("the step never leads from the first number to the last");
    }
    if hex && (from < 0 || last < 0) {
        return Err("~SEQx cannot count negative numbers");
    }
    let passes = Passes::Count {
        from,
        step,
        last,
        hex,
    };
    Ok((vec![name.to_owned()], passes))
}

/// A number in base 10, 16 (`0x`) or 8 (`0`).
pub(super) fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, base) = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        None => (digits, 10),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = i64::from_str_radix(digits, base).ok()?;
    Some(if negative { -value } else { value })
}

fn list_head(inner: &str) -> Result<(Vec<String>, Passes), &'static str> {
    let mut parts = Vec::new();
    let mut rest = inner.trim();
    while !rest.is_empty() {
        let (part, tail) = if let Some(tuple) = rest.strip_prefix('{') {
            let (tuple, tail) = tuple
                .split_once('}')
                .ok_or("a { in the list is not closed")?;
            let tail = tail.trim_start();
            let members = tuple.split(',').map(|m| m.trim().to_owned()).collect();
            (members, tail.strip_prefix(',').unwrap_or(tail))
        } else {
            let (value, tail) = rest.split_once(',').unwrap_or((rest, ""));
            (vec![value.trim().to_owned()], tail)
        };
        parts.push(part);
        rest = tail.trim_start();
    }
    let mut parts = parts.into_iter();
    let names: Vec<String> = parts.next().unwrap_or_default();
    if names.is_empty() || !names.iter().all(|n| name_ok(n)) {
        return Err("expected ~LST(variable, value, ...), the variable without $");
    }
    let mut passes: Vec<Vec<String>> = parts.collect();
    for pass in &mut passes {
        if pass.len() > names.len() {
            return Err("a list entry has more members than there are variables");
        }
        pass.resize(names.len(), String::new());
    }
    Ok((names, Passes::List(passes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_reference_needs_a_delimiter() {
        assert_eq!(reference("$A,").map(|r| r.name), Some("A"));
        assert_eq!(reference("$A").map(|r| r.len), Some(2));
        assert!(reference("$A-bar").is_none());
        assert!(reference("$(x)").is_none());
        let braced = reference("${_RANDOM 1 9}x").expect("a reference");
        assert_eq!(
            (braced.name, braced.words, braced.len),
            ("_RANDOM", "1 9", 14)
        );
    }

    #[test]
    fn definitions_allow_no_blank_before_the_sign() {
        assert_eq!(definition("$A=b c"), Some(("A", 3)));
        assert_eq!(definition("$A= "), Some(("A", 3)));
        assert!(definition("$A =b").is_none());
        assert!(definition("$1=b").is_none());
    }

    #[test]
    fn sequences_count_as_the_manual_says() {
        let count = |text: &str| match parse_loop(text).map(|l| l.passes) {
            Ok(Passes::Count {
                from, step, last, ..
            }) => Some((from, step, last)),
            _ => None,
        };
        assert_eq!(count("~SEQ(i, 3) x"), Some((1, 1, 3)));
        assert_eq!(count("~SEQ(i, -3) x"), Some((-1, -1, -3)));
        assert_eq!(count("~SEQ(i, 0) x"), Some((1, -1, 0)));
        assert_eq!(count("~SEQ(i, 5, 2) x"), Some((5, -1, 2)));
        assert_eq!(count("~SEQ(i, 0x10, 2, 020) x"), Some((16, 2, 16)));
        assert_eq!(count("~SEQ(i, 1, 0, 5) x"), None);
        assert_eq!(count("~SEQ(i, 1, -1, 5) x"), None);
        assert_eq!(count("~SEQ(i, 1 x"), None);
    }

    #[test]
    fn lists_bind_tuples_in_parallel() {
        let l = parse_loop("~LST({a,b}, {1,2}, {3}) $a").expect("a loop");
        assert_eq!(l.names, ["a", "b"]);
        let expected = vec![
            vec!["1".to_owned(), "2".into()],
            vec!["3".into(), String::new()],
        ];
        assert_eq!(l.passes, Passes::List(expected));
        assert!(parse_loop("~LST({a}, {1,2}) x").is_err());
    }

    #[test]
    fn random_numbers_stay_between_their_bounds_and_follow_the_seed() {
        let draw = |seed| {
            let mut vars = Vars::new("id", seed);
            (0..50)
                .map(
                    |_| match vars.meaning(reference("${_RANDOM 5 9}").expect("one")) {
                        Meaning::Text(t) => t.parse::<u32>().expect("a number"),
                        Meaning::Lines(_) | Meaning::Undefined | Meaning::Malformed(_) => 0,
                    },
                )
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(draw(3).iter().all(|n| (5..=9).contains(n)));
    }
}
