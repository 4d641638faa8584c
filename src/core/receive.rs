//! An advert's way into a router: checked in the standard's order, counted, then heeded.

use crate::core::router::{Cx, Router, State};
use crate::model::ids::Version;
use crate::model::notice::What;
use crate::model::priority::Claim;
use crate::model::time::Instant;
use crate::wire::advert::{AddrList, Advert, ChecksumForm, Datagram, Reject};
use std::net::IpAddr;
use std::sync::Arc;

/// Addresses named in a line about a difference.
const NAMED: usize = 3;

impl Router {
    /// Takes a packet for its VRID. A refused one touches no timer and no state.
    pub(super) fn receive(&mut self, now: Instant, d: &Datagram<'_>, cx: &mut Cx<'_>) {
        match self.state {
            State::Init => return,
            State::Fault if !self.damping.listens() => return,
            State::Fault | State::Backup(_) | State::Active(_) => {}
        }
        let advert = match Advert::parse(d, &self.expect()) {
            Ok(advert) => advert,
            Err(reject) => return self.refuse(d.src, &reject, cx),
        };
        if self.settings.check_unicast_src && self.is_unicast() && !self.has_peer(d.src) {
            return self.refuse(d.src, &Reject::Source, cx);
        }
        let differs = !self.skips_addresses(d.src) && !self.same_addresses(&advert.addrs);
        if differs {
            self.stats.counters.addr_list_mismatch += 1;
            if self.settings.drop_mismatch {
                return self.refuse(d.src, &Reject::AddressList, cx);
            }
        }
        self.stats.counters.advert_rcvd += 1;
        if advert.claim == Claim::Release {
            self.stats.counters.pri_zero_rcvd += 1;
        }
        if self.follows(d.src)
            && let Some((gap, missed, silent)) =
                self.peers.get_mut(d.src).and_then(|peer| peer.gap(now))
        {
            let from = d.src;
            self.tell(
                What::LateAdvert {
                    from,
                    gap,
                    missed,
                    silent,
                },
                cx,
            );
        }
        self.note_peer(now, d.src, &advert, differs, cx);
        self.on_advert(now, &advert, d.src, cx);
    }

    fn refuse(&mut self, from: IpAddr, reject: &Reject, cx: &mut Cx<'_>) {
        if let Some(silent) = self.stats.refuse(reject) {
            let reason = Arc::from(reject.to_string());
            self.tell(
                What::Rejected {
                    from,
                    reason,
                    silent,
                },
                cx,
            );
        }
    }

    /// `skip_check_adv_addr`: the list of the router we already follow is not looked at again.
    fn skips_addresses(&self, from: IpAddr) -> bool {
        self.settings.skip_check_addrs && self.follows(from)
    }

    fn same_addresses(&self, theirs: &AddrList<'_>) -> bool {
        let ours = &self.settings.addresses;
        theirs.len() == ours.len()
            && (theirs.iter().zip(ours).all(|(t, o)| t == o.cidr.addr)
                || ours.iter().all(|o| theirs.iter().any(|t| t == o.cidr.addr)))
    }

    /// Remembers who spoke and says once what is odd about it.
    fn note_peer(
        &mut self,
        now: Instant,
        from: IpAddr,
        advert: &Advert<'_>,
        differs: bool,
        cx: &mut Cx<'_>,
    ) {
        let ours = self.settings.adver;
        let other_form = match advert.form {
            None => None,
            Some(ChecksumForm::Pseudo) => self.settings.checksum_as_v2.then_some(true),
            Some(ChecksumForm::OldUnicast) => Some(true),
            Some(ChecksumForm::Message) => (!self.settings.checksum_as_v2).then_some(false),
        };
        let peer = self.peers.hear(now, from, advert);
        let mut told = [None, None, None];
        let tell_mismatch = differs && !peer.told_mismatch;
        peer.mismatch = differs;
        peer.told_mismatch = differs;
        if let Some(pseudo) = other_form {
            self.stats.counters.checksum_other_form += 1;
            if !std::mem::replace(&mut peer.told_form, true) {
                told[0] = Some(What::ChecksumForm { from, pseudo });
            }
        }
        if !advert.link_local_first {
            self.stats.counters.no_link_local += 1;
            if !std::mem::replace(&mut peer.told_link_local, true) {
                told[1] = Some(What::NoLinkLocal { from });
            }
        }
        if advert.version == Version::V3
            && advert.adver != ours
            && peer.told_interval.replace(advert.adver) != Some(advert.adver)
        {
            told[2] = Some(What::Interval {
                from,
                theirs: advert.adver,
                ours,
            });
        }
        if tell_mismatch {
            let difference = self.difference(&advert.addrs);
            self.tell(What::AddressMismatch { from, difference }, cx);
        }
        for what in told.into_iter().flatten() {
            self.tell(what, cx);
        }
    }

    fn difference(&self, theirs: &AddrList<'_>) -> Arc<str> {
        let ours = self.settings.addresses.iter().map(|a| a.cidr.addr);
        let missing: Vec<IpAddr> = ours
            .clone()
            .filter(|o| !theirs.iter().any(|t| t == *o))
            .collect();
        let more: Vec<IpAddr> = theirs
            .iter()
            .filter(|t| !ours.clone().any(|o| o == *t))
            .collect();
        let mut text = String::new();
        for (word, list) in [("without", missing), ("also", more)] {
            if list.is_empty() {
                continue;
            }
            if !text.is_empty() {
                text.push_str("; ");
            }
            text.push_str(word);
            for addr in list.iter().take(NAMED) {
                text.push_str(&format!(" {addr}"));
            }
            if list.len() > NAMED {
                text.push_str(&format!(" and {} more", list.len() - NAMED));
            }
        }
        Arc::from(if text.is_empty() {
            "an address twice"
        } else {
            &text
        })
    }
}
