//! Counters of one router, one for each reason to refuse an advert.

use crate::model::view::Counters;
use crate::wire::advert::Reject;

/// Counters of one router.
#[derive(Debug)]
pub(super) struct Stats {
    /// Those with names of their own.
    pub(super) counters: Counters,
    rejected: [u64; Reject::KINDS],
    /// Reasons told of since the last transition.
    told: u32,
    /// Refused since the last line about it.
    silent: u64,
}

impl Stats {
    pub(super) fn new() -> Self {
        Self {
            counters: Counters::default(),
            rejected: [0; Reject::KINDS],
            told: 0,
            silent: 0,
        }
    }

    /// Counts a refused advert; `Some` with the number passed over in silence if it is to be told.
    pub(super) fn refuse(&mut self, reject: &Reject) -> Option<u64> {
        let index = reject.index();
        if let Some(count) = self.rejected.get_mut(index) {
            *count += 1;
        }
        let bit = 1u32 << (index as u32 & 31);
        if self.told & bit != 0 {
            self.silent += 1;
            return None;
        }
        self.told |= bit;
        Some(std::mem::take(&mut self.silent))
    }

    /// After a transition the reasons are told anew.
    pub(super) fn tell_again(&mut self) {
        self.told = 0;
    }

    pub(super) fn view(&self) -> Counters {
        let mut counters = self.counters.clone();
        counters.rejected = Reject::NAMES
            .iter()
            .zip(self.rejected)
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| ((*name).to_owned(), count))
            .collect();
        counters
    }
}
