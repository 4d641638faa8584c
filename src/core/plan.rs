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
    /// Something outside routers and scripts differs: global settings, tracked files or processes,
    /// sync groups, interfaces, static addresses.
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
///
/// Where several share an identity (unicast routers with peers of their own), equal ones pair up
/// first, then those of one name, then in order.
pub fn diff(old: &Settings, new: Arc<Settings>) -> Plan {
    let identities =
        |s: &Settings| -> Vec<RouterIdentity> { s.routers.iter().map(|r| r.identity()).collect() };
    let routers = steps(&identities(old), &identities(&new), |o, n| {
        match (old.routers.get(o), new.routers.get(n)) {
            (Some(o), Some(n)) if o == n => Likeness::Same,
            (Some(o), Some(n)) if o.name == n.name => Likeness::Named,
            (_, _) => Likeness::Other,
        }
    });
    let names =
        |s: &Settings| -> Vec<Arc<str>> { s.checks.iter().map(|c| c.name.clone()).collect() };
    let checks = steps(&names(old), &names(&new), |o, n| {
        if old.checks.get(o) == new.checks.get(n) {
            Likeness::Same
        } else {
            Likeness::Other
        }
    });
    let global = old.global != new.global
        || old.files != new.files
        || old.processes != new.processes
        || old.groups != new.groups
        || old.links != new.links
        || old.statics != new.statics
        || old.track_groups != new.track_groups;
    Plan {
        settings: new,
        routers,
        checks,
        global,
    }
}

/// How much two things of one key are alike.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Likeness {
    Other,
    Named,
    Same,
}

fn steps<K: Eq + std::hash::Hash>(
    old: &[K],
    new: &[K],
    alike: impl Fn(usize, usize) -> Likeness,
) -> Vec<Step> {
    /// Most keys are there once, and then the first is all there is.
    struct Left {
        first: usize,
        more: Vec<usize>,
    }
    let mut left: HashMap<&K, Left> = HashMap::with_capacity(old.len());
    for (index, key) in old.iter().enumerate() {
        left.entry(key)
            .and_modify(|l| l.more.push(index))
            .or_insert(Left {
                first: index,
                more: Vec::new(),
            });
    }
    let mut partner: Vec<Option<(usize, Likeness)>> = vec![None; new.len()];
    let mut taken = vec![false; old.len()];
    for least in [Likeness::Same, Likeness::Named, Likeness::Other] {
        for (at, key) in new.iter().enumerate() {
            let (None, Some(left)) = (partner[at], left.get(key)) else {
                continue;
            };
            let mut candidates = std::iter::once(&left.first).chain(&left.more);
            let found = candidates.find_map(|&o| {
                let likeness = if taken[o] { return None } else { alike(o, at) };
                (likeness >= least).then_some((o, likeness))
            });
            if let Some((o, _)) = found {
                taken[o] = true;
                partner[at] = found;
            }
        }
    }
    let mut steps: Vec<Step> = partner
        .into_iter()
        .enumerate()
        .map(|(new, partner)| match partner {
            None => Step::Create { new },
            Some((old, Likeness::Same)) => Step::Keep { old, new },
            Some((old, Likeness::Named | Likeness::Other)) => Step::Alter { old, new },
        })
        .collect();
    let retired = taken.iter().enumerate().filter(|(_, taken)| !**taken);
    steps.extend(retired.map(|(old, _)| Step::Retire { old }));
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
        let got = steps(&["a", "b", "c"], &["c", "d", "a"], |o, n| {
            if (o, n) == (0, 2) {
                Likeness::Same
            } else {
                Likeness::Other
            }
        });
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
    fn of_several_with_one_key_equal_ones_pair_up_before_namesakes_and_those_before_the_rest() {
        let got = steps(&["k", "k", "k"], &["k", "k", "k", "k"], |o, n| {
            match (o, n) {
                (1, 0) | (0, 0) => Likeness::Same,
                (2, 1) => Likeness::Named,
                (_, _) => Likeness::Other,
            }
        });
        assert_eq!(
            got,
            [
                Step::Keep { old: 0, new: 0 },
                Step::Alter { old: 2, new: 1 },
                Step::Alter { old: 1, new: 2 },
                Step::Create { new: 3 },
            ]
        );
    }

    #[test]
    fn equal_settings_give_an_empty_plan() {
        let s = Arc::new(Settings::default());
        assert!(diff(&s, s.clone()).is_empty());
    }
}
