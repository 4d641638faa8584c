//! What concerns interfaces whoever uses them: `net_namespace`, `linkbeat_*`, `interface_up_down_delays`.

use super::block::Node;
use super::diag::{Diagnostic, Diags};
use super::lexer::Word;
use super::source::Span;
use super::value;
use super::weights::Placed;
use crate::model::links::{LinkDelay, LinkPoll, LinkSettings, Linkbeat};
use crate::model::settings::RouterSettings;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The longest delay in microseconds.
const LONGEST: u64 = 255_000_000;

/// What was read, and where the delays stand.
#[derive(Default)]
pub(super) struct Links {
    pub(super) settings: LinkSettings,
    spans: Vec<Span>,
}

/// Reads everything of this kind.
pub(super) fn read(nodes: &[Node], diags: &mut Diags) -> Links {
    let mut this = Links::default();
    let mut delayed = HashMap::new();
    let mut polled = HashMap::new();
    for node in nodes.iter().filter(|n| n.row.is_some()) {
        match node.name() {
            "linkbeat_use_polling" => this.settings.poll_all = true,
            "linkbeat_interfaces" => {
                for entry in node.children() {
                    let poll = poll(entry, &mut polled, diags);
                    this.settings.polls.extend(poll);
                }
            }
            "interface_up_down_delays" => {
                for entry in node.children() {
                    let Some((delay, span)) = delay(entry, &mut delayed, diags) else {
                        continue;
                    };
                    this.settings.delays.push(delay);
                    this.spans.push(span);
                }
            }
            _ => {}
        }
    }
    for node in super::blocks(nodes, "vrrp_instance") {
        if let Some(poll) = own(node, diags)
            && !polled.contains_key(&*poll.interface)
        {
            polled.insert(poll.interface.to_string(), node.span());
            this.settings.polls.push(poll);
        }
    }
    this
}

/// The first word of an entry, if it is the name of an interface that has no entry yet.
fn interface<'n>(
    node: &'n Node,
    seen: &mut HashMap<String, Span>,
    diags: &mut Diags,
) -> Option<(&'n Word, &'n [Word])> {
    let (name, rest) = node.words.split_first()?;
    if !value::interface(name, diags) {
        return None;
    }
    if let Some(before) = seen.get(&*name.text) {
        let what = format!("{} is given twice; the first line counts", name.text);
        diags.push(Diagnostic::warning("repeated", name.span, what).related(*before, "first here"));
        return None;
    }
    seen.insert(name.text.to_string(), name.span);
    Some((name, rest))
}

/// `IF [MII|ETHTOOL|IOCTL]`.
fn poll(node: &Node, seen: &mut HashMap<String, Span>, diags: &mut Diags) -> Option<LinkPoll> {
    let (name, rest) = interface(node, seen, diags)?;
    let mut how = Linkbeat::Auto;
    if let Some(word) = rest.first() {
        how = match &*word.text {
            "MII" => Linkbeat::Mii,
            "ETHTOOL" => Linkbeat::Ethtool,
            "IOCTL" => Linkbeat::Ioctl,
            other => {
                let what = format!(
                    "`{other}` is no way to ask for a link; {} is asked in the first way that works",
                    name.text
                );
                diags.push(
                    Diagnostic::error("unknown-option", word.span, what).help(
                        "expected MII, ETHTOOL, IOCTL or nothing; one interface on each line",
                    ),
                );
                how
            }
        };
    }
    surplus(rest.get(1..), diags);
    Some(LinkPoll {
        interface: name.text.clone().into(),
        how,
    })
}

/// `IF DOWN [UP]` in seconds.
fn delay(
    node: &Node,
    seen: &mut HashMap<String, Span>,
    diags: &mut Diags,
) -> Option<(LinkDelay, Span)> {
    let (name, rest) = interface(node, seen, diags)?;
    let Some(down) = rest.first() else {
        let what = format!("{} has no delay; this line does not count", name.text);
        diags.push(
            Diagnostic::error("missing-word", name.span, what)
                .help("expected INTERFACE DOWN [UP] in seconds from 0 to 255"),
        );
        return None;
    };
    let span = down.span;
    let down = value::seconds(name, down, 0..=LONGEST, 6, diags)?;
    let up = match rest.get(1) {
        Some(up) => value::seconds(name, up, 0..=LONGEST, 6, diags)?,
        None => Duration::ZERO,
    };
    surplus(rest.get(2..), diags);
    let delay = LinkDelay {
        interface: name.text.clone().into(),
        down,
        up,
    };
    Some((delay, span))
}

fn surplus(words: Option<&[Word]>, diags: &mut Diags) {
    if let Some(word) = words.and_then(<[Word]>::first) {
        let what = "no more words are taken here; the rest is not read";
        diags.push(
            Diagnostic::error("unknown-option", word.span, what)
                .help("write each interface on a line of its own"),
        );
    }
}

/// `linkbeat_use_polling` in an instance: its own interface.
fn own(node: &Node, diags: &mut Diags) -> Option<LinkPoll> {
    let mut children = node.children().iter().filter(|n| n.row.is_some());
    let keyword = children
        .clone()
        .find(|n| n.name() == "linkbeat_use_polling")?;
    let what = "linkbeat_use_polling is outdated in an instance";
    diags.push(
        Diagnostic::warning("outdated", keyword.span(), what)
            .help("name the interface in a linkbeat_interfaces block at the top level"),
    );
    let interface = children.find(|n| n.name() == "interface")?;
    let name = interface.args().first()?;
    Some(LinkPoll {
        interface: name.text.clone().into(),
        how: Linkbeat::Auto,
    })
}

/// So long an instance may be silent without another one taking over.
fn silence(router: &RouterSettings) -> Duration {
    let whole = router.adver * u32::from(router.down_adverts.saturating_sub(1));
    let most = whole.saturating_sub(router.adver / 256);
    // As precise as a file can say it.
    Duration::from_micros(u64::try_from(most.as_micros()).unwrap_or(u64::MAX))
}

impl Links {
    /// Holds the delays of going down within what the users of an interface can be silent.
    pub(super) fn limit(&mut self, routers: &[Placed], diags: &mut Diags) {
        for (delay, span) in self.settings.delays.iter_mut().zip(&self.spans) {
            let users = routers.iter().filter(|r| {
                let mut used = r.settings.used_interfaces();
                used.any(|interface| *interface == delay.interface)
            });
            let Some(first) = users.min_by_key(|r| silence(&r.settings)) else {
                continue;
            };
            let most = silence(&first.settings);
            if delay.down <= most {
                continue;
            }
            let what = format!(
                "{} may be down unnoticed for {} s at most, or the peers of {} would take over meanwhile \
                 (down_timer_adverts {}, advert_int {}); that is used",
                delay.interface,
                seconds(most),
                first.settings.name,
                first.settings.down_adverts,
                seconds(first.settings.adver),
            );
            diags.push(
                Diagnostic::warning("delay-limited", *span, what)
                    .related(first.span, "this instance uses it")
                    .help(if most.is_zero() {
                        "give the instance a down_timer_adverts above 1, or leave the delay out"
                    } else {
                        "shorten the delay, or give the instance a longer advert_int"
                    }),
            );
            delay.down = most;
        }
    }
}

fn seconds(time: Duration) -> String {
    value::plain(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

/// `net_namespace NAME`; the first one counts. A wrong name would be the wrong network.
pub(super) fn namespace(nodes: &[Node], diags: &mut Diags) -> Option<Arc<str>> {
    let mut found: Option<(Arc<str>, Span)> = None;
    let named = nodes
        .iter()
        .filter(|n| n.row.is_some() && n.name() == "net_namespace");
    for word in named.filter_map(|n| n.args().first()) {
        if let Some((_, before)) = &found {
            let what = "a second net_namespace; the first counts";
            diags.push(
                Diagnostic::error("repeated", word.span, what).related(*before, "first here"),
            );
            continue;
        }
        let name = &*word.text;
        let bad = name.is_empty()
            || name.len() > 255
            || name == "."
            || name == ".."
            || name.contains(|c: char| c == '/' || c.is_control());
        if bad {
            let what = format!("`{name}` cannot be the name of a network namespace");
            diags.push(
                Diagnostic::refusal("bad-namespace", word.span, what)
                    .help("expected a name in /run/netns, as `ip netns` lists them"),
            );
        }
        found = Some((name.into(), word.span));
    }
    found.map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::super::help::{codes, instance, read};
    use super::*;
    use crate::model::settings::Settings;

    fn settings(text: &str) -> (Settings, Vec<&'static str>) {
        let loaded = read(text);
        let codes = codes(&loaded);
        (loaded.settings.expect("usable"), codes)
    }

    fn delays(root: &str, lines: &str) -> (Vec<(String, u128, u128)>, Vec<&'static str>) {
        let body = instance(&format!("virtual_ipaddress {{ 10.0.0.1 }}\n{lines}"));
        let (s, codes) = settings(&format!("interface_up_down_delays {{\n{root}\n}}\n{body}"));
        let list = s.links.delays.iter();
        let list = list.map(|d| {
            let name = d.interface.to_string();
            (name, d.down.as_micros(), d.up.as_micros())
        });
        (list.collect(), codes)
    }

    #[test]
    fn delays_are_seconds_down_then_up_and_without_a_word_up_is_at_once() {
        let (list, codes) = delays("eth0 1 2.5\neth7 200.5\neth8 0 255", "");
        assert!(codes.is_empty(), "{codes:?}");
        let one = |name: &str, down, up| (name.to_owned(), down, up);
        assert_eq!(
            list,
            [
                one("eth0", 1_000_000, 2_500_000),
                one("eth7", 200_500_000, 0),
                one("eth8", 0, 255_000_000),
            ]
        );
    }

    #[test]
    fn lines_that_are_wrong_do_not_count() {
        let (list, codes) = delays("eth7\neth8 256\neth9 x\neth10 1\neth10 2\na/b 1", "");
        assert_eq!(list.len(), 1);
        assert_eq!(list[0].0, "eth10");
        assert_eq!(
            codes,
            [
                "missing-word",
                "out-of-range",
                "bad-number",
                "repeated",
                "bad-interface"
            ]
        );
        let (list, codes) = delays("eth7 1 2 eth8 3", "");
        assert_eq!((list.len(), codes), (1, vec!["unknown-option"]));
    }

    #[test]
    fn a_delay_stays_below_what_the_users_of_the_interface_can_be_silent() {
        let down = |root: &str, lines: &str| {
            let (list, codes) = delays(root, lines);
            (list[0].1, codes)
        };
        // (3 - 1) x 1 s - 1 s / 256
        assert_eq!(down("eth0 5", ""), (1_996_093, vec!["delay-limited"]));
        assert_eq!(down("eth0 1.99", ""), (1_990_000, vec![]));
        assert_eq!(down("eth0 5", "down_timer_adverts 7").0, 5_000_000);
        assert_eq!(down("eth0 0.5", "down_timer_adverts 1").0, 0);
        let tracked = "advert_int 2\ntrack_interface {\neth1\n}";
        assert_eq!(down("eth1 5", tracked).0, 3_992_187);
        let carried = "virtual_ipaddress_excluded { 10.0.9.1 dev eth2 }";
        assert_eq!(down("eth2 5", carried).0, 1_996_093);
        assert_eq!(down("eth9 5", "").0, 5_000_000, "nobody uses it");
    }

    #[test]
    fn what_is_polled_and_how() {
        let body = instance("virtual_ipaddress { 10.0.0.1 dev eth5 }\nlinkbeat_use_polling");
        let list = "linkbeat_interfaces {\neth1 MII\neth2 ETHTOOL\neth3 IOCTL\neth4\neth6 mii\n}\n";
        let (s, told) = settings(&format!("{list}{body}"));
        assert_eq!(told, ["unknown-option", "outdated"]);
        let polled: Vec<_> = s.polled().into_iter().collect();
        let names: Vec<&str> = polled.iter().map(|p| &*p.interface).collect();
        assert_eq!(names, ["eth0", "eth1", "eth2", "eth3", "eth4", "eth6"]);
        let how: Vec<Linkbeat> = polled.iter().map(|p| p.how).collect();
        use Linkbeat::{Auto, Ethtool, Ioctl, Mii};
        assert_eq!(how, [Auto, Mii, Ethtool, Ioctl, Auto, Auto]);
        let (s, _) = settings(&format!("linkbeat_use_polling\n{list}{body}"));
        assert!(s.polled().iter().any(|p| &*p.interface == "eth5"));
        assert_eq!(s.polled()[1].how, Mii, "asked for by name");
    }

    #[test]
    fn a_namespace_is_named_once_and_as_a_file() {
        let (s, told) = settings("net_namespace blue\n");
        assert_eq!(s.global.net_namespace.as_deref(), Some("blue"));
        assert!(told.is_empty());
        let (s, told) = settings("net_namespace blue\nnet_namespace red\n");
        assert_eq!(s.global.net_namespace.as_deref(), Some("blue"));
        assert_eq!(told, ["repeated"]);
        assert!(read("net_namespace ../blue\n").settings.is_none());
    }
}
