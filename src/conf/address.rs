//! Entries of `virtual_ipaddress`, `virtual_ipaddress_excluded` and `static_ipaddress` (keepalived.conf(5), reference of
//! ip-address(8) words).

use super::audit::unacted;
use super::block::Node;
use super::diag::{Diagnostic, Diags};
use super::keywords::{self, Status, Within};
use super::lexer::Word;
use super::source::Span;
use super::value;
use crate::model::addr::{Cidr, VirtualAddress};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// An address and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// What was read.
    pub(super) address: VirtualAddress,
    /// Where the address itself stands.
    pub(super) span: Span,
    /// `track_group` of a static one, and where it stands.
    pub(super) track_group: Option<(Arc<str>, Span)>,
}

/// Reads one line of a list of virtual addresses.
pub(super) fn entry(node: &Node, diags: &mut Diags) -> Option<Entry> {
    let entry = static_entry(node, diags)?;
    if let Some((_, span)) = &entry.track_group {
        let what = "track_group is for static addresses; it is left out here";
        let help =
            "the instance tracks the interface of its address anyway, unless no_track stands there";
        diags.push(Diagnostic::error("unknown-option", *span, what).help(help));
    }
    Some(entry)
}

/// Reads one line of `static_ipaddress`.
pub(super) fn static_entry(node: &Node, diags: &mut Diags) -> Option<Entry> {
    let (first, options) = node.words.split_first()?;
    let cidr = value::cidr(first, diags)?;
    let mut this = Reading {
        address: VirtualAddress::plain(cidr),
        broadcast: None,
        track_group: None,
        dropped: false,
    };
    let mut rest = options;
    while let Some((word, tail)) = rest.split_first() {
        let Some(row) = keywords::find(Within::AddressWord, &word.text) else {
            unknown(word, diags);
            rest = tail;
            continue;
        };
        let taken = usize::from(row.min);
        let Some(args) = tail.get(..taken) else {
            diags.push(
                Diagnostic::error(
                    "missing-word",
                    word.span,
                    format!("{} needs a word after it; {cidr} does not count", row.name),
                )
                .help("give the value or remove the word"),
            );
            return None;
        };
        rest = tail.get(taken..).unwrap_or(&[]);
        match row.status {
            Status::Acted => this.option(word, args.first(), diags),
            Status::AsBlock
            | Status::NotYet { .. }
            | Status::Refused(_)
            | Status::NoEffect(_)
            | Status::Lvs => {
                diags.push(unacted(row, word.span));
            }
        }
    }
    this.settle_broadcast(diags);
    (!this.dropped).then_some(Entry {
        address: this.address,
        span: first.span,
        track_group: this
            .track_group
            .map(|word| (word.text.clone().into(), word.span)),
    })
}

struct Reading<'t> {
    address: VirtualAddress,
    broadcast: Option<(&'t Word, &'t Word)>,
    track_group: Option<&'t Word>,
    dropped: bool,
}

impl<'t> Reading<'t> {
    fn cidr(&self) -> Cidr {
        self.address.cidr
    }

    fn option(&mut self, word: &'t Word, arg: Option<&'t Word>, diags: &mut Diags) {
        match (&*word.text, arg) {
            ("dev", Some(arg)) => {
                if self.address.dev.is_some() || !value::interface(arg, diags) {
                    self.drop(word, "dev is given twice or wrong", diags);
                } else {
                    self.address.dev = Some(arg.text.clone().into());
                }
            }
            ("brd" | "broadcast", Some(arg)) => self.broadcast = Some((word, arg)),
            ("scope", Some(arg)) if self.only_v4(word, diags) => {
                if let Some(scope) = scope(arg, diags) {
                    self.address.scope = scope;
                }
            }
            ("label", Some(arg)) if self.only_v4(word, diags) => {
                if arg.text.is_empty() || arg.text.len() > 15 {
                    self.drop(arg, "a label has 1 to 15 bytes", diags);
                } else {
                    self.address.label = Some(arg.text.clone().into());
                }
            }
            ("preferred_lft", Some(arg)) if self.only_v6(word, diags) => {
                self.address.preferred_lft = match &*arg.text {
                    "forever" => None,
                    _ => {
                        let most = i64::from(u32::MAX) - 1;
                        let n = value::integer(word, arg, 0..=most, value::Junk::Cut, diags);
                        n.and_then(|n| u32::try_from(n).ok())
                            .or(self.address.preferred_lft)
                    }
                };
            }
            ("-nodad", _) if self.only_v6(word, diags) => self.address.dad = true,
            ("track_group", Some(arg)) => self.track_group = Some(arg),
            ("noprefixroute", _) => self.address.no_prefix_route = true,
            ("no_track", _) => self.address.no_track = true,
            _ => {}
        }
    }

    fn drop(&mut self, word: &Word, why: &str, diags: &mut Diags) {
        let what = format!("{why}; {} does not count", self.cidr());
        diags.push(Diagnostic::error("bad-address-option", word.span, what));
        self.dropped = true;
    }

    fn only_v4(&self, word: &Word, diags: &mut Diags) -> bool {
        self.only(word, self.cidr().addr.is_ipv4(), "IPv4", diags)
    }

    fn only_v6(&self, word: &Word, diags: &mut Diags) -> bool {
        self.only(word, self.cidr().addr.is_ipv6(), "IPv6", diags)
    }

    fn only(&self, word: &Word, fits: bool, family: &str, diags: &mut Diags) -> bool {
        if !fits {
            let what = format!(
                "{} is for {family} addresses; it is left out here",
                word.text
            );
            diags.push(Diagnostic::warning("wrong-family", word.span, what));
        }
        fits
    }

    /// `brd` is resolved when all options are known.
    fn settle_broadcast(&mut self, diags: &mut Diags) {
        let Some((word, arg)) = self.broadcast else {
            return;
        };
        let IpAddr::V4(addr) = self.cidr().addr else {
            return self.drop(word, "IPv6 knows no broadcast", diags);
        };
        let len = self.cidr().len;
        let host = u32::MAX.checked_shr(u32::from(len)).unwrap_or(0);
        self.address.broadcast = match &*arg.text {
            "+" | "-" if len > 30 => {
                let what = format!("a /{len} has no broadcast address; none is set");
                diags.push(
                    Diagnostic::error("bad-address-option", arg.span, what)
                        .help("give the address its prefix length, such as /24"),
                );
                None
            }
            "+" => Some(Ipv4Addr::from(u32::from(addr) | host)),
            "-" => Some(Ipv4Addr::from(u32::from(addr) & !host)),
            text => match text.parse() {
                Ok(addr) => Some(addr),
                Err(_) => {
                    let what = format!("`{text}` is no broadcast address; none is set");
                    diags.push(
                        Diagnostic::error("bad-address-option", arg.span, what)
                            .help("expected an IPv4 address, + or -"),
                    );
                    None
                }
            },
        };
    }
}

/// Kernel scopes by name or number (rtnetlink(7)).
fn scope(arg: &Word, diags: &mut Diags) -> Option<u8> {
    match &*arg.text {
        "global" => Some(0),
        "site" => Some(200),
        "link" => Some(253),
        "host" => Some(254),
        "nowhere" => Some(255),
        text => {
            let number = text.parse().ok();
            if number.is_none() {
                let what = format!("unknown scope `{text}`; it is left out");
                diags.push(
                    Diagnostic::error("bad-address-option", arg.span, what)
                        .help("expected global, site, link, host, nowhere or a number up to 255"),
                );
            }
            number
        }
    }
}

fn unknown(word: &Word, diags: &mut Diags) {
    let text = &*word.text;
    let d = Diagnostic::error(
        "unknown-option",
        word.span,
        format!("`{text}` is no option of an address; it is left out"),
    );
    let is_address = text
        .split('/')
        .next()
        .is_some_and(|a| a.parse::<IpAddr>().is_ok());
    diags.push(if is_address {
        d.help("write each address on a line of its own")
    } else {
        match keywords::nearest(Within::AddressWord, text) {
            Some(near) => d.help(format!("did you mean `{near}`?")),
            None => d.help(
                "known are dev, brd, scope, label, -nodad, noprefixroute, preferred_lft, no_track",
            ),
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::help::{instance, routers};
    use super::*;

    fn one(entry: &str) -> (Option<VirtualAddress>, Vec<&'static str>) {
        let six = entry.contains("::");
        let first = if six { "fe80::fe/64" } else { "10.255.255.1" };
        let (r, codes) = routers(&instance(&format!(
            "virtual_ipaddress {{\n{first}\n{entry}\n}}"
        )));
        (r.addresses.get(1).cloned(), codes)
    }

    fn good(entry: &str) -> VirtualAddress {
        let (address, codes) = one(entry);
        assert!(codes.is_empty(), "{entry}: {codes:?}");
        address.expect("an address")
    }

    #[test]
    fn an_address_alone_is_a_host_and_a_lone_ipv6_one_is_never_a_source() {
        assert_eq!(good("10.0.0.1").cidr.len, 32);
        assert_eq!(good("10.0.0.1/24").cidr.to_string(), "10.0.0.1/24");
        assert_eq!(good("2001:db8::1").preferred_lft, Some(0));
        assert_eq!(good("2001:db8::1/64").preferred_lft, None);
        assert_eq!(
            good("2001:db8::1 preferred_lft forever").preferred_lft,
            None
        );
        assert_eq!(
            good("2001:db8::1/64 preferred_lft 60").preferred_lft,
            Some(60)
        );
    }

    #[test]
    fn options_are_read_in_any_order() {
        let a = good("10.0.0.1/24 no_track label eth0:1 brd + dev eth1 scope link noprefixroute");
        assert_eq!(a.dev.as_deref(), Some("eth1"));
        assert_eq!(a.label.as_deref(), Some("eth0:1"));
        assert_eq!(a.broadcast, Some(Ipv4Addr::new(10, 0, 0, 255)));
        assert_eq!((a.scope, a.no_track, a.no_prefix_route), (253, true, true));
        assert!(!a.dad);
        assert!(good("fe80::1/64 -nodad").dad);
        assert_eq!(good("10.0.0.1 scope 200").scope, 200);
    }

    #[test]
    fn broadcast_is_resolved_from_the_prefix() {
        assert_eq!(
            good("10.0.3.1/22 brd +").broadcast,
            Some(Ipv4Addr::new(10, 0, 3, 255))
        );
        assert_eq!(
            good("10.0.3.1/22 broadcast -").broadcast,
            Some(Ipv4Addr::new(10, 0, 0, 0))
        );
        assert_eq!(
            good("10.0.3.1/0 brd +").broadcast,
            Some(Ipv4Addr::BROADCAST)
        );
        assert_eq!(
            good("10.0.3.1 brd 10.0.3.9").broadcast,
            Some(Ipv4Addr::new(10, 0, 3, 9))
        );
        let (address, codes) = one("10.0.3.1/31 brd +");
        assert_eq!(address.and_then(|a| a.broadcast), None);
        assert_eq!(codes, ["bad-address-option"]);
    }

    #[test]
    fn what_keepalived_drops_is_dropped() {
        for entry in [
            "10.0.0.1 label 1234567890123456",
            "10.0.0.1 dev a dev b",
            "2001:db8::1 brd 1.2.3.4",
            "10.0.0.1 dev",
        ] {
            let (address, codes) = one(entry);
            assert_eq!((address, codes.len()), (None, 1), "{entry}");
        }
    }

    #[test]
    fn an_unknown_word_is_left_out_and_the_address_kept() {
        let (address, codes) = one("10.0.0.1/24 10.0.0.2/24");
        assert_eq!(
            address.map(|a| a.cidr.to_string()).as_deref(),
            Some("10.0.0.1/24")
        );
        assert_eq!(codes, ["unknown-option"]);
        let (address, codes) = one("10.0.0.1/24 peer 10.0.0.2");
        assert!(address.is_some());
        assert_eq!(codes, ["not-acted-on"]);
    }
}
