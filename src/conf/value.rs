//! Words to values: booleans, numbers, times, addresses (keepalived.conf(5), and what its parser does
//! with what the manual does not say).

use super::diag::{Diagnostic, Diags};
use super::lexer::Word;
use crate::model::addr::Cidr;
use std::fmt::Display;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// What becomes of a number with more behind it, such as `100x`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Junk {
    /// The leading number counts, with a warning.
    Cut,
    /// The whole value is refused.
    Refuse,
}

/// `true on yes`, `false off no`, and nothing at all, which is true.
pub(super) fn boolean(keyword: &Word, word: Option<&Word>, diags: &mut Diags) -> Option<bool> {
    let Some(word) = word else {
        return Some(true);
    };
    match &*word.text {
        "true" | "on" | "yes" => Some(true),
        "false" | "off" | "no" => Some(false),
        other => {
            let d = Diagnostic::error(
                "bad-boolean",
                word.span,
                format!(
                    "`{other}` is not a truth value; {} is left as it was",
                    keyword.text
                ),
            );
            let lower = other.to_ascii_lowercase();
            diags.push(match &*lower {
                "true" | "on" | "yes" | "false" | "off" | "no" => {
                    d.help(format!("write it in small letters: {lower}"))
                }
                "1" | "enable" | "enabled" => d.help("write on"),
                "0" | "disable" | "disabled" => d.help("write off"),
                _ => d.help("expected true, on, yes, false, off or no"),
            });
            None
        }
    }
}

/// A whole number within `range`.
pub(super) fn integer(
    keyword: &Word,
    word: &Word,
    range: RangeInclusive<i64>,
    junk: Junk,
    diags: &mut Diags,
) -> Option<i64> {
    let (low, high) = (*range.start(), *range.end());
    let text = word.text.trim_start();
    let signless = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = signless.find(|c: char| !c.is_ascii_digit());
    let end = digits.map_or(text.len(), |n| n + text.len() - signless.len());
    let expected = format!("expected a whole number from {low} to {high}");
    if end == 0 || !text[..end].ends_with(|c: char| c.is_ascii_digit()) {
        let what = format!(
            "`{}` is not a number; {} keeps its default",
            word.text, keyword.text
        );
        diags.push(Diagnostic::error("bad-number", word.span, what).help(expected));
        return None;
    }
    let number: Option<i64> = text[..end].parse().ok();
    let Some(number) = number.filter(|n| range.contains(n)) else {
        let what = format!(
            "{} {} is out of range and does not count",
            keyword.text,
            &text[..end]
        );
        diags.push(Diagnostic::error("out-of-range", word.span, what).help(expected));
        return None;
    };
    if end == text.len() {
        return Some(number);
    }
    let rest = &text[end..];
    match junk {
        Junk::Cut => {
            let what = format!("`{rest}` after the number; it is read as {number}");
            diags.push(Diagnostic::warning("trailing-junk", word.span, what).help(expected));
            Some(number)
        }
        Junk::Refuse => {
            let what = format!(
                "`{}` is not a number; {} keeps its default",
                word.text, keyword.text
            );
            diags.push(Diagnostic::error("bad-number", word.span, what).help(expected));
            None
        }
    }
}

/// Seconds with a decimal point within `range` (of microseconds), `places` digits after it.
pub(super) fn seconds(
    keyword: &Word,
    word: &Word,
    range: RangeInclusive<u64>,
    places: u32,
    diags: &mut Diags,
) -> Option<Duration> {
    let (low, high) = (*range.start(), *range.end());
    let expected = || format!("expected seconds from {} to {}", plain(low), plain(high));
    let text = word.text.trim_start();
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (whole, fraction) = text[..end].split_once('.').unwrap_or((&text[..end], ""));
    let bad = (whole.is_empty() && fraction.is_empty()) || fraction.contains('.');
    if bad {
        let what = format!(
            "`{}` is not a time; {} keeps its default",
            word.text, keyword.text
        );
        diags.push(Diagnostic::error("bad-number", word.span, what).help(expected()));
        return None;
    }
    let kept = fraction.get(..places as usize).unwrap_or(fraction);
    let micros = micros(whole, kept, fraction, places);
    let Some(micros) = micros.filter(|m| range.contains(m)) else {
        let what = format!(
            "{} {} is out of range and does not count",
            keyword.text,
            &text[..end]
        );
        diags.push(Diagnostic::error("out-of-range", word.span, what).help(expected()));
        return None;
    };
    if kept.len() < fraction.len() {
        let what = format!(
            "more than {places} decimal places; rounded to {} s",
            plain(micros)
        );
        diags.push(Diagnostic::warning("rounded", word.span, what));
    }
    if end < text.len() {
        let what = format!(
            "`{}` after the number; it is read as {} s",
            &text[end..],
            plain(micros)
        );
        diags.push(Diagnostic::warning("trailing-junk", word.span, what).help(expected()));
    }
    Some(Duration::from_micros(micros))
}

fn micros(whole: &str, kept: &str, fraction: &str, places: u32) -> Option<u64> {
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let unit = 10u64.checked_pow(6u32.checked_sub(places)?)?;
    let mut part: u64 = if kept.is_empty() {
        0
    } else {
        kept.parse().ok()?
    };
    part = part.checked_mul(10u64.pow(places - u32::try_from(kept.len()).ok()?))?;
    if fraction
        .as_bytes()
        .get(places as usize)
        .is_some_and(|d| *d >= b'5')
    {
        part += 1;
    }
    whole
        .checked_mul(1_000_000)?
        .checked_add(part.checked_mul(unit)?)
}

/// Microseconds as seconds without needless zeros.
pub(super) fn plain(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// An address without prefix length.
pub(super) fn address(keyword: impl Display, word: &Word, diags: &mut Diags) -> Option<IpAddr> {
    match word.text.parse() {
        Ok(addr) => Some(addr),
        Err(_) => {
            let d = Diagnostic::error(
                "bad-address",
                word.span,
                format!(
                    "`{}` is not an address; {keyword} does not count",
                    word.text
                ),
            );
            diags.push(if word.text.contains('/') {
                d.help("an address without prefix length is wanted here")
            } else {
                d.help("expected an address such as 192.0.2.1 or fe80::1; names are not looked up")
            });
            None
        }
    }
}

/// An address with an optional prefix length.
pub(super) fn cidr(word: &Word, diags: &mut Diags) -> Option<Cidr> {
    let (addr, len) = match word.text.split_once('/') {
        Some((addr, len)) => (addr, Some(len)),
        None => (&*word.text, None),
    };
    let Ok(parsed) = addr.parse::<IpAddr>() else {
        let what = format!(
            "`{}` is not an address; this entry does not count",
            word.text
        );
        diags.push(
            Diagnostic::error("bad-address", word.span, what)
                .help("expected an address such as 192.0.2.1/24 or 2001:db8::1/64"),
        );
        return None;
    };
    let Some(len) = len else {
        return Some(Cidr::host(parsed));
    };
    let number = if len.chars().all(|c| c.is_ascii_digit()) {
        len.parse().ok()
    } else {
        None
    };
    match number.and_then(|len| Cidr::new(parsed, len)) {
        Some(cidr) => Some(cidr),
        None => {
            let most = Cidr::host(parsed).len;
            let what = format!("/{len} is no prefix length of {parsed}; this entry does not count");
            diags.push(
                Diagnostic::error("bad-prefix", word.span, what)
                    .help(format!("expected a number from 0 to {most}")),
            );
            None
        }
    }
}

/// The name of an interface: 1 to 15 bytes, no `/` and no blank.
pub(super) fn interface(word: &Word, diags: &mut Diags) -> bool {
    let text = &*word.text;
    let good = !text.is_empty()
        && text.len() < 16
        && text != "."
        && text != ".."
        && !text.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control());
    if !good {
        diags.push(
            Diagnostic::error(
                "bad-interface",
                word.span,
                format!("`{text}` cannot be the name of an interface"),
            )
            .help("names have 1 to 15 bytes"),
        );
    }
    good
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::source::Span;

    fn word(text: &str) -> Word {
        Word {
            text: text.into(),
            span: Span::default(),
            quoted: false,
        }
    }

    fn check<T>(f: impl FnOnce(&Word, &mut Diags) -> T) -> (T, Vec<&'static str>) {
        let mut diags = Diags::default();
        let value = f(&word("key"), &mut diags);
        (value, diags.finish().iter().map(|d| d.code).collect())
    }

    #[test]
    fn only_the_six_words_are_truth_values() {
        for (text, value) in [
            ("true", true),
            ("on", true),
            ("yes", true),
            ("false", false),
            ("off", false),
            ("no", false),
        ] {
            assert_eq!(
                check(|k, d| boolean(k, Some(&word(text)), d)),
                (Some(value), vec![])
            );
        }
        assert_eq!(check(|k, d| boolean(k, None, d)).0, Some(true));
        assert_eq!(
            check(|k, d| boolean(k, Some(&word("True")), d)),
            (None, vec!["bad-boolean"])
        );
    }

    #[test]
    fn strict_numbers_refuse_what_follows_lenient_ones_cut_it() {
        let int = |text: &str, junk| check(|k, d| integer(k, &word(text), 1..=255, junk, d));
        assert_eq!(int("100", Junk::Refuse), (Some(100), vec![]));
        assert_eq!(int("100x", Junk::Refuse), (None, vec!["bad-number"]));
        assert_eq!(int("100x", Junk::Cut), (Some(100), vec!["trailing-junk"]));
        assert_eq!(int("256", Junk::Cut), (None, vec!["out-of-range"]));
        assert_eq!(
            int("99999999999999999999", Junk::Cut),
            (None, vec!["out-of-range"])
        );
        assert_eq!(int("-1", Junk::Cut), (None, vec!["out-of-range"]));
        assert_eq!(int(" 7", Junk::Refuse), (Some(7), vec![]));
        assert_eq!(int("", Junk::Cut), (None, vec!["bad-number"]));
        assert_eq!(int("-", Junk::Cut), (None, vec!["bad-number"]));
    }

    #[test]
    fn times_round_on_the_first_surplus_digit() {
        let time = |text: &str, places| {
            let (value, codes) =
                check(|k, d| seconds(k, &word(text), 1..=4_000_000_000, places, d));
            (value.map(|v| v.as_micros()), codes)
        };
        assert_eq!(time("1", 6), (Some(1_000_000), vec![]));
        assert_eq!(time(".5", 6), (Some(500_000), vec![]));
        assert_eq!(time("5.", 6), (Some(5_000_000), vec![]));
        assert_eq!(time("0.0015", 3), (Some(2_000), vec!["rounded"]));
        assert_eq!(time("1.9996", 3), (Some(2_000_000), vec!["rounded"]));
        assert_eq!(time("1s", 6), (Some(1_000_000), vec!["trailing-junk"]));
        assert_eq!(time("0", 6), (None, vec!["out-of-range"]));
        assert_eq!(time("1.2.3", 6), (None, vec!["bad-number"]));
        assert_eq!(time("1e3", 6), (Some(1_000_000), vec!["trailing-junk"]));
        assert_eq!(time(".", 6), (None, vec!["bad-number"]));
    }

    #[test]
    fn prefixes_fit_their_family() {
        let read = |text: &str| check(|_, d| cidr(&word(text), d));
        assert_eq!(read("10.0.0.1").0.map(|c| c.len), Some(32));
        assert_eq!(read("fe80::1/64").0.map(|c| c.len), Some(64));
        assert_eq!(read("10.0.0.1/33"), (None, vec!["bad-prefix"]));
        assert_eq!(read("10.0.0.1/+8"), (None, vec!["bad-prefix"]));
        assert_eq!(read("10.0.0.300/24"), (None, vec!["bad-address"]));
    }
}
