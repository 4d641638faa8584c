//! What a file says itself: such lines are kept even where they repeat a default.

use super::Item;
use crate::conf::block::Node;
use std::collections::HashSet;

/// Keywords by the block they stand in.
#[derive(Default)]
pub(in crate::conf) struct Given(HashSet<(String, Option<String>, String)>);

impl Given {
    /// The keywords of a file.
    pub(in crate::conf) fn of(nodes: &[Node]) -> Self {
        let mut this = Self::default();
        for node in nodes {
            let called = node.args().first().map(|word| word.text.to_string());
            for child in node.children() {
                this.0.insert((
                    node.name().to_owned(),
                    called.clone(),
                    child.name().to_owned(),
                ));
            }
        }
        this
    }

    /// Whether a block says a keyword.
    pub(super) fn has(&self, block: &str, called: Option<&str>, keyword: &str) -> bool {
        !self.0.is_empty()
            && self.0.contains(&(
                block.to_owned(),
                called.map(str::to_owned),
                keyword.to_owned(),
            ))
    }

    /// Takes out what says no more than a default and is not said by the file.
    pub(in crate::conf) fn prune(&self, items: &mut Vec<Item>) {
        for item in &mut *items {
            let name = item.name().to_owned();
            let called = item.args().first().cloned();
            if let Some(block) = &mut item.block {
                block.retain(|child| {
                    !child.needless || self.has(&name, called.as_deref(), child.name())
                });
                item.needless = item.needless && block.is_empty();
            }
        }
        items.retain(|item| !item.needless);
    }
}
