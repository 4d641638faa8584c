//! What a reload changes: a pure difference of two settings.

use crate::model::settings::{RouterIdentity, Settings};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// The difference between running and new settings.
///
/// Indices are places in `Settings::routers` and `Settings::checks`, old or new.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// The new settings whole; after the reload the old ones, to be freed elsewhere.
    pub settings: Arc<Settings>,
    /// What becomes of each router: all new ones in order, then the retired.
    pub routers: Vec<Step>,
    /// What becomes of each script, likewise.
    pub checks: Vec<Step>,
    /// Something outside routers and scripts differs.
    pub global: bool,
}

/// What becomes of one thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// It is new.
    Create {
        /// Place in the new settings.
        new: usize,
    },
    /// It is in both and differs.
    Alter {
        /// Place in the old settings.
        old: usize,
        /// Place in the new settings.
        new: usize,
    },
    /// It is in both and the same.
    Keep {
        /// Place in the old settings.
        old: usize,
        /// Place in the new settings.
        new: usize,
    },
    /// It is gone.
    Retire {
        /// Place in the old settings.
        old: usize,
    },
}

/// Compares; routers by [`RouterIdentity`], scripts by name.
pub fn diff(old: &Settings, new: Arc<Settings>) -> Plan {
    let identities =
        |s: &Settings| -> Vec<RouterIdentity> { s.routers.iter().map(|r| r.identity()).collect() };
    let routers = steps(&identities(old), &identities(&new), |o, n| {
        old.routers.get(o) == new.routers.get(n)
    });
    let names =
        |s: &Settings| -> Vec<Arc<str>> { s.checks.iter().map(|c| c.name.clone()).collect() };
    let checks = steps(&names(old), &names(&new), |o, n| {
        old.checks.get(o) == new.checks.get(n)
    });
    let global = old.global != new.global;
    Plan {
        settings: new,
        routers,
        checks,
        global,
    }
}

fn steps<K: Eq + std::hash::Hash>(
    old: &[K],
    new: &[K],
    same: impl Fn(usize, usize) -> bool,
) -> Vec<Step> {
    let mut left: HashMap<&K, usize> = HashMap::with_capacity(old.len());
    for (index, key) in old.iter().enumerate() {
        left.entry(key).or_insert(index);
    }
    let mut steps: Vec<Step> = new
        .iter()
        .enumerate()
        .map(|(new, key)| match left.remove(key) {
            None => Step::Create { new },
            Some(old) if same(old, new) => Step::Keep { old, new },
            Some(old) => Step::Alter { old, new },
        })
        .collect();
    let mut taken = vec![false; old.len()];
    for step in &steps {
        if let Step::Alter { old, .. } | Step::Keep { old, .. } = step
            && let Some(seen) = taken.get_mut(*old)
        {
            *seen = true;
        }
    }
    steps.extend(
        taken
            .iter()
            .enumerate()
            .filter(|(_, t)| !**t)
            .map(|(old, _)| Step::Retire { old }),
    );
    steps
}

impl Plan {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        let kept = |s: &Step| matches!(s, Step::Keep { .. });
        !self.global && self.routers.iter().all(kept) && self.checks.iter().all(kept)
    }

    /// Created, changed, removed and untouched routers.
    pub fn tally(&self) -> (usize, usize, usize, usize) {
        let mut tally = (0, 0, 0, 0);
        for step in &self.routers {
            match step {
                Step::Create { .. } => tally.0 += 1,
                Step::Alter { .. } => tally.1 += 1,
                Step::Retire { .. } => tally.2 += 1,
                Step::Keep { .. } => tally.3 += 1,
            }
        }
        tally
    }
}

/// `1 created, 0 changed, 0 removed, 3 untouched`.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (created, changed, removed, untouched) = self.tally();
        write!(
            f,
            "{created} created, {changed} changed, {removed} removed, {untouched} untouched"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_pair_up_and_the_rest_is_created_or_retired() {
        let got = steps(&["a", "b", "c"], &["c", "d", "a"], |o, n| (o, n) == (0, 2));
        assert_eq!(
            got,
            [
                Step::Alter { old: 2, new: 0 },
                Step::Create { new: 1 },
                Step::Keep { old: 0, new: 2 },
                Step::Retire { old: 1 },
            ]
        );
    }

    #[test]
    fn equal_settings_give_an_empty_plan() {
        let s = Arc::new(Settings::default());
        assert!(diff(&s, s.clone()).is_empty());
    }
}
