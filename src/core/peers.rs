//! Who else was heard for a virtual router, and what was told of them already.

use crate::core::what_if::Told;
use crate::model::priority::{Claim, Priority};
use crate::model::time::Instant;
use crate::model::view::PeerView;
use crate::wire::advert::{Advert, ChecksumForm};
use std::net::IpAddr;
use std::time::Duration;

/// Routers remembered for one VRID; the one silent longest makes room.
const MOST: usize = 16;

/// One other router.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) addr: IpAddr,
    pub(super) claim: Claim,
    /// Its last priority other than 0, and when it was heard.
    held: Option<(Priority, Instant)>,
    pub(super) at: Instant,
    pub(super) adver: Duration,
    adverts: u64,
    form: Option<ChecksumForm>,
    pseudo: u64,
    message: u64,
    pub(super) mismatch: bool,
    pub(super) told_form: bool,
    pub(super) told_mismatch: bool,
    pub(super) told_link_local: bool,
    pub(super) told_interval: Option<Duration>,
    /// When a gap in its adverts was told of, and how many came since.
    told_gap: Option<(Instant, u64)>,
}

/// A gap in somebody's adverts: how long, how many are missing, how many gaps were not told of.
pub(super) type Gap = (Duration, u32, u64);

/// Gaps of one router are told of so often at the most.
const GAP_QUIET: Duration = Duration::from_secs(60);

impl Peer {
    /// Whether an advert that comes now is late: more than half an interval. Told once a minute.
    pub(super) fn gap(&mut self, now: Instant) -> Option<Gap> {
        let gap = now.since(self.at);
        if self.claim == Claim::Release || self.adver.is_zero() || gap * 2 <= self.adver * 3 {
            return None;
        }
        let silent = match &mut self.told_gap {
            Some((at, silent)) if now.since(*at) < GAP_QUIET => {
                *silent += 1;
                return None;
            }
            Some((_, silent)) => *silent,
            None => 0,
        };
        self.told_gap = Some((now, 0));
        let whole = (gap + self.adver / 2).as_nanos() / self.adver.as_nanos().max(1);
        let missed = u32::try_from(whole).unwrap_or(u32::MAX).saturating_sub(1);
        Some((gap, missed, silent))
    }
}

/// Other routers heard.
#[derive(Debug, Default)]
pub(super) struct Peers {
    list: Vec<Peer>,
    /// A priority, theirs or ours, or who serves is another since the live check looked.
    pub(super) moved: bool,
    /// What the live check told.
    pub(super) told_stuck: Vec<Told>,
}

impl Peers {
    /// Notes a valid advert and hands out the entry.
    pub(super) fn hear(&mut self, now: Instant, from: IpAddr, advert: &Advert<'_>) -> &mut Peer {
        let index = match self.list.iter().position(|p| p.addr == from) {
            Some(index) => index,
            None => {
                if self.list.len() >= MOST {
                    let oldest = self.list.iter().enumerate().min_by_key(|(_, p)| p.at);
                    if let Some((index, _)) = oldest {
                        self.list.swap_remove(index);
                    }
                }
                self.list.push(Peer {
                    addr: from,
                    claim: advert.claim,
                    held: None,
                    at: now,
                    adver: advert.adver,
                    adverts: 0,
                    form: None,
                    pseudo: 0,
                    message: 0,
                    mismatch: false,
                    told_form: false,
                    told_mismatch: false,
                    told_link_local: false,
                    told_interval: None,
                    told_gap: None,
                });
                self.list.len() - 1
            }
        };
        let peer = &mut self.list[index];
        if let Claim::Hold(priority) = advert.claim {
            self.moved |= peer.held.is_none_or(|(before, _)| before != priority);
            peer.held = Some((priority, now));
        }
        peer.claim = advert.claim;
        peer.at = now;
        peer.adver = advert.adver;
        peer.adverts += 1;
        match advert.form {
            Some(form @ (ChecksumForm::Pseudo | ChecksumForm::OldUnicast)) => {
                peer.pseudo += 1;
                peer.form = Some(form);
            }
            Some(form @ ChecksumForm::Message) => {
                peer.message += 1;
                peer.form = Some(form);
            }
            None => {}
        }
        peer
    }

    /// The highest priority heard within this time, and from whom.
    pub(super) fn highest(&self, now: Instant, within: Duration) -> Option<(IpAddr, Priority)> {
        let living = self.list.iter().filter(|p| now.since(p.at) <= within);
        let held = living.filter_map(|p| match p.claim {
            Claim::Hold(priority) => Some((p.addr, priority)),
            Claim::Release => None,
        });
        held.max_by_key(|(_, priority)| *priority)
    }

    /// One of them by its address.
    pub(super) fn get_mut(&mut self, addr: IpAddr) -> Option<&mut Peer> {
        self.list.iter_mut().find(|p| p.addr == addr)
    }

    /// Everybody who did not resign with the last word: address, priority, and when.
    pub(super) fn held(&self) -> Vec<(IpAddr, Priority, Instant)> {
        let stays = self.list.iter().filter(|p| p.claim != Claim::Release);
        stays
            .filter_map(|p| p.held.map(|(priority, at)| (p.addr, priority, at)))
            .collect()
    }

    pub(super) fn views(&self, now: Instant) -> Vec<PeerView> {
        self.list
            .iter()
            .map(|p| PeerView {
                address: p.addr,
                priority: p.claim.wire(),
                ago_s: now.since(p.at).as_secs_f64(),
                interval_s: p.adver.as_secs_f64(),
                adverts: p.adverts,
                checksum: p.form.map(|form| {
                    match form {
                        ChecksumForm::Pseudo => "pseudo-header",
                        ChecksumForm::Message => "message",
                        ChecksumForm::OldUnicast => "pseudo-header with 224.0.0.18",
                    }
                    .to_owned()
                }),
                checksum_pseudo: p.pseudo,
                checksum_message: p.message,
                address_mismatch: p.mismatch,
            })
            .collect()
    }
}
