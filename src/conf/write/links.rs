//! The lines at the top level that concern interfaces and static addresses.

use super::settings::{Lines, seconds, top};
use super::{Item, router};
use crate::conf::keywords::Within;
use crate::model::links::{LinkDelay, LinkPoll, Linkbeat, StaticAddress};
use crate::model::settings::Settings;

/// Those without a block.
pub(super) fn bare(settings: &Settings) -> Vec<Item> {
    let mut lines = Lines::new(Within::Root);
    if let Some(name) = &settings.global.net_namespace {
        lines.one("net_namespace", name, false);
    }
    lines.flag("linkbeat_use_polling", settings.links.poll_all);
    lines.into_items()
}

/// Those with one; a track_group stands above the entries that name it.
pub(super) fn blocks(settings: &Settings) -> Vec<Item> {
    let mut lines = Lines::new(Within::Root);
    let polls = settings.links.polls.iter().map(poll).collect();
    lines.list("linkbeat_interfaces", polls);
    let delays = settings.links.delays.iter().map(delay).collect();
    lines.list("interface_up_down_delays", delays);
    let mut items = lines.into_items();
    for group in &settings.track_groups {
        let mut lines = Lines::new(Within::TrackGroup);
        let members = group.members.iter().map(|m| vec![m.to_string()]).collect();
        lines.list("group", members);
        items.push(top("track_group", Some(&group.name), lines));
    }
    let mut lines = Lines::new(Within::Root);
    let statics = settings.statics.iter().map(|one| entry(one)).collect();
    lines.list("static_ipaddress", statics);
    items.extend(lines.into_items());
    items
}

fn poll(poll: &LinkPoll) -> Vec<String> {
    let LinkPoll { interface, how } = poll;
    let mut words = vec![interface.to_string()];
    let word = match how {
        Linkbeat::Auto => None,
        Linkbeat::Mii => Some("MII"),
        Linkbeat::Ethtool => Some("ETHTOOL"),
        Linkbeat::Ioctl => Some("IOCTL"),
    };
    words.extend(word.map(str::to_owned));
    words
}

fn delay(delay: &LinkDelay) -> Vec<String> {
    let LinkDelay {
        interface,
        down,
        up,
    } = delay;
    let mut words = vec![interface.to_string(), seconds(*down)];
    if !up.is_zero() {
        words.push(seconds(*up));
    }
    words
}

fn entry(one: &StaticAddress) -> Vec<String> {
    let StaticAddress {
        address,
        track_group,
    } = one;
    let mut words = router::address(address);
    if let Some(name) = track_group {
        words.extend(["track_group".to_owned(), name.to_string()]);
    }
    words
}
