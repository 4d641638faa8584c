//! Entries of arrays: an address, a peer, something tracked, alone or as a table with options.

use super::kinds;
use super::{Reader, Value, entries};
use crate::conf::keywords::Within;
use crate::conf::lexer::Word;
use toml::de::{DeTable, DeValue};

impl Reader<'_> {
    /// The words of one entry.
    pub(super) fn entry(
        &mut self,
        within: Within,
        list: &str,
        value: Value<'_, '_>,
    ) -> Option<Vec<Word>> {
        match (options(within), value.get_ref()) {
            (Some((first, words)), DeValue::Table(table)) => {
                let Some(head) = table.get(first) else {
                    let what = format!("this entry of {list} has no {first}");
                    self.say(
                        "missing-key",
                        self.at(value),
                        what,
                        format!("add {first} = \"...\""),
                    );
                    return None;
                };
                let mut line = vec![self.single(first, head, words)?];
                self.options(list, first, words, table, &mut line);
                Some(line)
            }
            (Some((first, words)), DeValue::String(_)) => {
                Some(vec![self.single(first, value, words)?])
            }
            (None, DeValue::String(text)) if spread(within) => {
                let at = self.at(value);
                let words: Option<Vec<Word>> = text
                    .split_whitespace()
                    .map(|word| self.plain(word, at))
                    .collect();
                words.filter(|words| !words.is_empty())
            }
            (None, DeValue::String(_)) => Some(vec![self.text(list, value)?]),
            (Some((first, _)), _) => {
                let wants = format!("strings, or tables such as {{ {first} = \"...\" }}");
                self.wrong(value, list, &wants);
                None
            }
            (None, _) => {
                self.wrong(value, list, "strings");
                None
            }
        }
    }

    /// What an entry is of; its options stand in a table.
    fn single(&mut self, first: &str, value: Value<'_, '_>, words: Within) -> Option<Word> {
        let word = self.text(first, value)?;
        let tracks = words == Within::TrackWord;
        if !tracks && word.text.trim().contains(char::is_whitespace) {
            let what = format!("an entry of one word is wanted here, not `{}`", word.text);
            let help = format!("write {{ {first} = \"...\", OPTION = VALUE }} for options");
            self.say("bad-entry", word.span, what, help);
            return None;
        }
        Some(word)
    }

    fn options(
        &mut self,
        list: &str,
        first: &str,
        within: Within,
        table: &DeTable<'_>,
        line: &mut Vec<Word>,
    ) {
        for (key, value) in entries(table) {
            if key.get_ref() == first {
                continue;
            }
            let row = match kinds::find(within, key.get_ref()) {
                Ok(row) => row,
                Err(no) => {
                    self.unknown(key, within, &no);
                    continue;
                }
            };
            // The direction follows the weight it belongs to.
            if within == Within::TrackWord && row.name != "weight" {
                if table.get("weight").is_none() {
                    let what = format!("{} without weight does not count", row.name);
                    self.say("missing-key", self.at(key), what, "add weight = NUMBER");
                }
                continue;
            }
            let kind = kinds::kind(row);
            let Some(words) = self.words(kind, row, key, value, None) else {
                continue;
            };
            line.push(self.word(row.name, self.at(key)));
            line.extend(words);
            if within == Within::TrackWord
                && let Some(reverse) = table.get("reverse")
            {
                let word = match self.truth("reverse", reverse) {
                    Some(true) => "reverse",
                    // An interface has no direction of its own that could be turned back.
                    Some(false) if list != "track_interface" => "noreverse",
                    Some(false) | None => continue,
                };
                line.push(self.word(word, self.at(reverse)));
            }
        }
    }
}

/// The key of the thing itself and the words that may follow it.
pub(in crate::conf) fn options(within: Within) -> Option<(&'static str, Within)> {
    if within == Within::Addresses {
        Some(("address", Within::AddressWord))
    } else if within == Within::Peers {
        Some(("address", Within::PeerWord))
    } else if within == Within::Tracks {
        Some(("name", Within::TrackWord))
    } else {
        None
    }
}

/// Whether an entry is a line of words in the manner of ip-route(8).
pub(in crate::conf) fn spread(within: Within) -> bool {
    matches!(within, Within::Routes | Within::Rules | Within::Interfaces)
}
