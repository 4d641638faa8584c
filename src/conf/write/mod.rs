//! Settings to text, in keepalived's language or in TOML.
//!
//! `settings` makes a tree of lines from what a configuration means, `keepalived` and `toml` print such a
//! tree. What is printed reads as the same settings again. `convert` adds to the tree what a file has
//! besides: comments, and keywords that are not acted on yet.

mod defaults;
pub(super) mod given;
pub(super) mod keepalived;
mod links;
mod router;
mod settings;
mod toml;
pub(super) mod words;

use super::keywords::{self, Keyword, Within};
use crate::model::settings::Settings;
use given::Given;
use std::fmt;

/// In which language a configuration is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// keepalived's language; additions of ours stand in comments that begin with `#@mainstay`.
    Keepalived,
    /// TOML.
    Toml,
}

/// A text that the language asked for cannot hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unwritable {
    /// The text.
    pub text: String,
    /// Why not.
    pub why: &'static str,
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} cannot be written in keepalived's language: {}",
            self.text, self.why
        )
    }
}

impl std::error::Error for Unwritable {}

/// A line to be written, and the block behind it.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Item {
    /// What the first word means; none for entries of lists.
    pub(super) row: Option<&'static Keyword>,
    /// The words. Of a command, the second is a whole command line.
    pub(super) words: Vec<String>,
    /// The lines of its block.
    pub(super) block: Option<Vec<Item>>,
    /// It says what would hold anyway.
    pub(super) needless: bool,
    /// keepalived must not see it, nor what stands in its block.
    pub(super) ours: bool,
    /// Comments on lines of their own above it, without their sign.
    pub(super) above: Vec<String>,
    /// A comment behind it on its line.
    pub(super) behind: Option<String>,
    /// Comments at the end of its block.
    pub(super) below: Vec<String>,
}

impl Item {
    /// A line that begins with a keyword.
    pub(super) fn key(row: &'static Keyword) -> Self {
        Self {
            row: Some(row),
            words: vec![row.name.to_owned()],
            ..Self::default()
        }
    }

    /// An entry of a list.
    pub(super) fn entry(words: Vec<String>) -> Self {
        Self {
            words,
            ..Self::default()
        }
    }

    /// The first word.
    pub(super) fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The words after the first.
    pub(super) fn args(&self) -> &[String] {
        self.words.get(1..).unwrap_or(&[])
    }
}

/// The row of a keyword that stands in the table; a test holds every caller to it.
pub(super) fn row(within: Within, name: &str) -> Option<&'static Keyword> {
    keywords::find(within, name)
}

/// Writes settings. What says no more than a default is left out.
///
/// # Errors
///
/// [`Unwritable`] for a text with quotes or line ends in it, which TOML can hold and the keepalived
/// language cannot.
pub fn write(settings: &Settings, form: Form) -> Result<String, Unwritable> {
    print(&tree(settings, &Given::default()), form)
}

/// The lines of settings: those that say more than a default, and those that were given.
pub(super) fn tree(settings: &Settings, given: &Given) -> Vec<Item> {
    let mut items = settings::items(settings, given);
    given.prune(&mut items);
    items
}

/// Prints a tree.
pub(super) fn print(items: &[Item], form: Form) -> Result<String, Unwritable> {
    match form {
        Form::Keepalived => keepalived::print(items),
        Form::Toml => Ok(toml::print(items)),
    }
}
