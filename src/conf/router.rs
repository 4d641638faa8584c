//! `vrrp_instance` as written: each keyword read and in range, nothing settled yet.

use super::address;
use super::all_failed;
use super::block::Node;
use super::diag::{Diagnostic, Diags};
use super::extras;
use super::global::{self, GROUP4, GROUP6, Garp, other_group};
use super::keywords::Within;
use super::lexer::Word;
use super::notify;
use super::source::{self, Span};
use super::track::Lists;
use super::value::{self, Junk};
use crate::model::ids::{Version, Vrid};
use crate::model::priority::Priority;
use crate::model::settings::{AllFailed, DampingSettings, Handover, NotifySettings};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A value and where it stands.
pub(super) type At<T> = (T, Span);

/// An instance as written.
#[derive(Default)]
pub(super) struct Draft {
    /// Its name.
    pub(super) name: Arc<str>,
    /// Where the name stands.
    pub(super) span: Span,
    /// `state`: MASTER or not.
    pub(super) master: Option<At<bool>>,
    /// `priority`.
    pub(super) priority: Option<At<Priority>>,
    /// `interface`.
    pub(super) interface: Option<At<Arc<str>>>,
    /// The keyword stands there, even if its value is wrong.
    pub(super) interface_given: bool,
    /// `virtual_router_id`.
    pub(super) vrid: Option<At<Vrid>>,
    /// The keyword stands there, even if its value is wrong.
    pub(super) vrid_given: bool,
    /// `advert_int`.
    pub(super) adver: Option<At<Duration>>,
    /// `version`.
    pub(super) version: Option<At<Version>>,
    /// `native_ipv6`.
    pub(super) native_ipv6: Option<Span>,
    /// `virtual_ipaddress`.
    pub(super) addresses: Vec<address::Entry>,
    /// `virtual_ipaddress_excluded`.
    pub(super) excluded: Vec<address::Entry>,
    /// `no_virtual_ipaddress`.
    pub(super) no_addresses: Option<Span>,
    /// `authentication`.
    pub(super) auth: Option<At<Auth>>,
    /// `mcast_src_ip`, `unicast_src_ip`.
    pub(super) source: Option<At<IpAddr>>,
    /// The first unicast keyword.
    pub(super) unicast: Option<Span>,
    /// `unicast_peer`.
    pub(super) peers: Vec<At<IpAddr>>,
    /// A peer has a bound on its TTL, which implies the check of sources.
    pub(super) ttl_bound: bool,
    /// `check_unicast_src`.
    pub(super) check_unicast_src: Option<bool>,
    /// `v3_checksum_as_v2`.
    pub(super) checksum_as_v2: Option<bool>,
    /// `dont_track_primary`.
    pub(super) dont_track_primary: bool,
    /// `track_*`.
    pub(super) lists: Lists,
    /// `track_handover`.
    pub(super) handover: Option<At<Handover>>,
    /// `flap_damping`.
    pub(super) damping: Option<DampingSettings>,
    /// `all_failed`.
    pub(super) all_failed: Option<At<AllFailed>>,
    /// `nopreempt`.
    pub(super) nopreempt: Option<Span>,
    /// `preempt_delay`.
    pub(super) preempt_delay: Option<At<Duration>>,
    /// `timer_expired_backup`.
    pub(super) expired: Option<At<Priority>>,
    /// `down_timer_adverts`.
    pub(super) down_adverts: Option<At<u8>>,
    /// `garp_*`.
    pub(super) garp: Garp,
    /// Where `garp_lower_prio_repeat` or `garp_lower_prio_delay` stands.
    pub(super) lower_prio: Option<Span>,
    /// `accept`.
    pub(super) accept: Option<Span>,
    /// `lower_prio_no_advert`.
    pub(super) lower_prio_no_advert: Option<At<bool>>,
    /// `higher_prio_send_advert`.
    pub(super) higher_prio_send_advert: Option<At<bool>>,
    /// `owner_ignore_adverts`.
    pub(super) owner_ignore_adverts: Option<At<bool>>,
    /// `skip_check_adv_addr`.
    pub(super) skip_check_addrs: Option<bool>,
    /// `strict_mode`.
    pub(super) strict: Option<bool>,
    /// `vip_mismatch drop`.
    pub(super) drop_mismatch: Option<bool>,
    /// `notify*`.
    pub(super) notify: NotifySettings,
}

/// `authentication` as written.
#[derive(Clone, Copy)]
pub(super) enum Auth {
    /// Nothing usable stands in it.
    Nothing,
    /// A simple password.
    Password([u8; 8]),
}

/// Reads one block.
pub(super) fn draft(name: &Word, node: &Node, diags: &mut Diags) -> Draft {
    let mut this = Draft {
        name: name.text.clone().into(),
        span: name.span,
        ..Draft::default()
    };
    for child in node.children() {
        let (Some((word, args)), Some(row)) = (child.words.split_first(), child.row) else {
            continue;
        };
        if args.len() < usize::from(row.min) {
            continue;
        }
        if row.block.is_some() {
            this.list(child, diags);
        } else if row.command {
            notify::read(&mut this.notify, child, word, diags);
        } else if let Some(arg) = args.first() {
            this.value(word, arg, diags);
        } else {
            this.flag(word, None, diags);
        }
    }
    this
}

impl Draft {
    fn list(&mut self, node: &Node, diags: &mut Diags) {
        let entries = node.children();
        match node.name() {
            "virtual_ipaddress" => {
                let read = entries.iter().filter_map(|e| address::entry(e, diags));
                self.addresses.extend(read);
            }
            "virtual_ipaddress_excluded" => {
                let read = entries.iter().filter_map(|e| address::entry(e, diags));
                self.excluded.extend(read);
            }
            "unicast_peer" => {
                self.unicast.get_or_insert(node.span());
                for entry in entries {
                    self.peer(entry, diags);
                }
            }
            "authentication" => self.auth = Some((auth(node, diags), node.span())),
            "flap_damping" => self.damping = Some(extras::damping(node, diags)),
            _ => {
                self.lists.read(node, diags);
            }
        }
    }

    /// `ADDR [min_ttl N] [max_ttl N]`.
    fn peer(&mut self, node: &Node, diags: &mut Diags) {
        let Some((first, mut rest)) = node.words.split_first() else {
            return;
        };
        let Some(addr) = value::address("this peer", first, diags) else {
            return;
        };
        self.peers.push((addr, first.span));
        while let Some((word, tail)) = rest.split_first() {
            rest = tail;
            let Some(row) = super::keywords::find(Within::PeerWord, &word.text) else {
                let text = format!("`{}` is no option of a peer; it is left out", word.text);
                let help = "expected ADDRESS min_ttl N max_ttl N; one peer on each line";
                diags.push(Diagnostic::error("unknown-option", word.span, text).help(help));
                continue;
            };
            diags.push(super::audit::unacted(row, word.span));
            if let Some((arg, tail)) = tail.split_first() {
                rest = tail;
                let bound = value::integer(word, arg, 0..=255, Junk::Cut, diags);
                self.ttl_bound |= bound.is_some();
            }
        }
    }

    fn value(&mut self, word: &Word, arg: &Word, diags: &mut Diags) {
        let name = &*word.text;
        if let Some(rest) = name.strip_prefix("garp_")
            && self.garp.read(rest, word, arg, diags)
        {
            if rest.starts_with("lower_prio") {
                self.lower_prio = Some(word.span);
            }
            return;
        }
        match name {
            "state" => self.state(arg, diags),
            "priority" => {
                let n = value::integer(word, arg, 1..=255, Junk::Refuse, diags);
                let priority = n.and_then(|n| Priority::new(u8::try_from(n).ok()?));
                self.priority = Some((priority.unwrap_or(Priority::DEFAULT), arg.span));
            }
            "interface" => {
                self.interface_given = true;
                if value::interface(arg, diags) {
                    self.interface = Some((arg.text.clone().into(), arg.span));
                }
            }
            "virtual_router_id" => {
                self.vrid_given = true;
                let n = value::integer(word, arg, 1..=255, Junk::Refuse, diags);
                let vrid = n.and_then(|n| Vrid::new(u8::try_from(n).ok()?));
                self.vrid = vrid.map(|v| (v, arg.span)).or(self.vrid);
            }
            "advert_int" => {
                if let Some(t) = value::seconds(word, arg, 10_000..=255_000_000, 6, diags) {
                    self.adver = Some((t, arg.span));
                }
            }
            "version" => {
                if let Some(v) = global::version(word, arg, diags) {
                    self.version = Some((v, arg.span));
                }
            }
            "mcast_src_ip" | "unicast_src_ip" => {
                if name == "unicast_src_ip" {
                    self.unicast.get_or_insert(word.span);
                }
                if let Some(addr) = value::address(name, arg, diags) {
                    self.source = Some((addr, arg.span));
                }
            }
            "mcast_dst_ip" => {
                if let Some(addr) = value::address(name, arg, diags)
                    && addr != IpAddr::V4(GROUP4)
                    && addr != IpAddr::V6(GROUP6)
                {
                    diags.push(other_group(Within::Instance, word, arg));
                }
            }
            "preempt_delay" => {
                if let Some(t) = value::seconds(word, arg, 0..=1_000_000_000, 6, diags) {
                    self.preempt_delay = Some((t, arg.span));
                }
            }
            "timer_expired_backup" | "thread_timer_expired" => {
                let n = value::integer(word, arg, 1..=254, Junk::Cut, diags);
                if let Some(priority) = n.and_then(|n| Priority::new(u8::try_from(n).ok()?)) {
                    self.expired = Some((priority, word.span));
                }
            }
            "down_timer_adverts" => {
                if let Some(n) = global::down_adverts(word, arg, diags) {
                    self.down_adverts = Some((n, arg.span));
                }
            }
            "track_handover" => {
                if let Some(when) = global::handover(arg, diags) {
                    self.handover = Some((when, word.span));
                }
            }
            "all_failed" => {
                if let Some(what) = all_failed::read(arg, diags) {
                    self.all_failed = Some((what, word.span.to(arg.span)));
                }
            }
            "vip_mismatch" => {
                self.drop_mismatch = global::mismatch(arg, diags).or(self.drop_mismatch);
            }
            _ => self.flag(word, Some(arg), diags),
        }
    }

    fn state(&mut self, arg: &Word, diags: &mut Diags) {
        let master = match &*arg.text {
            "MASTER" => true,
            "BACKUP" => false,
            other => {
                let d = Diagnostic::error(
                    "bad-value",
                    arg.span,
                    format!("`{other}` is no state; BACKUP is used"),
                );
                let upper = other.to_ascii_uppercase();
                diags.push(match &*upper {
                    "MASTER" | "BACKUP" => d.help(format!("write {upper}")),
                    _ => d.help("expected MASTER or BACKUP"),
                });
                false
            }
        };
        match self.master {
            Some((true, before)) if !master => diags.push(
                Diagnostic::note("repeated", arg.span, "BACKUP after MASTER has no effect")
                    .related(before, "first here"),
            ),
            _ => self.master = Some((master, arg.span)),
        }
    }

    fn flag(&mut self, word: &Word, arg: Option<&Word>, diags: &mut Diags) {
        let mut read = || value::boolean(word, arg, diags).map(|on| (on, word.span));
        match &*word.text {
            "native_ipv6" => self.native_ipv6 = Some(word.span),
            "no_virtual_ipaddress" => self.no_addresses = Some(word.span),
            "accept" => self.accept = Some(word.span),
            "dont_track_primary" => self.dont_track_primary = true,
            "preempt" => self.nopreempt = None,
            "nopreempt" => self.nopreempt = Some(word.span),
            "timer_expired_backup" | "thread_timer_expired" => {
                self.expired = Some((Priority::contender(254), word.span));
            }
            "check_unicast_src" => {
                self.unicast.get_or_insert(word.span);
                self.check_unicast_src = read().map(|b| b.0).or(self.check_unicast_src);
            }
            "v3_checksum_as_v2" => {
                self.checksum_as_v2 = read().map(|b| b.0).or(self.checksum_as_v2)
            }
            "lower_prio_no_advert" => {
                self.lower_prio_no_advert = read().or(self.lower_prio_no_advert);
            }
            "higher_prio_send_advert" => {
                self.higher_prio_send_advert = read().or(self.higher_prio_send_advert);
            }
            "owner_ignore_adverts" => {
                self.owner_ignore_adverts = read().or(self.owner_ignore_adverts);
            }
            "skip_check_adv_addr" => {
                self.skip_check_addrs = read().map(|b| b.0).or(self.skip_check_addrs);
            }
            "strict_mode" => self.strict = read().map(|b| b.0).or(self.strict),
            _ => {}
        }
    }
}

/// `authentication { auth_type PASS auth_pass WORD }`.
fn auth(node: &Node, diags: &mut Diags) -> Auth {
    let mut pass = None;
    let mut kind = None;
    let (mut kind_given, mut pass_given) = (false, false);
    for child in node.children() {
        let Some(arg) = child.args().first() else {
            continue;
        };
        kind_given |= child.name() == "auth_type";
        pass_given |= child.name() == "auth_pass";
        match child.name() {
            "auth_type" => match &*arg.text {
                "PASS" => kind = Some(true),
                "AH" => {
                    kind = Some(false);
                    diags.push(
                        Diagnostic::refusal(
                            "refused",
                            arg.span,
                            "auth_type AH is not acted on yet and would be unsafe to neglect: peers would refuse our \
                             adverts and we would heed unauthenticated ones",
                        )
                        .help("use auth_type PASS on all routers of the group, or none (AH left the standard in 2004)")
                        .unacted("auth_type AH"),
                    );
                }
                other => diags.push(
                    Diagnostic::error(
                        "bad-value",
                        arg.span,
                        format!("`{other}` is no auth_type; there will be no authentication"),
                    )
                    .help("expected PASS or AH"),
                ),
            },
            "auth_pass" => pass = password(arg, diags),
            _ => {}
        }
    }
    match (kind, pass) {
        (Some(true), Some(pass)) => Auth::Password(pass),
        (Some(true), None) if !pass_given => {
            diags.push(
                Diagnostic::error(
                    "no-password",
                    node.span(),
                    "auth_type PASS without auth_pass; there will be no authentication",
                )
                .help("add a line: auth_pass WORD"),
            );
            Auth::Nothing
        }
        (None, Some(_)) if !kind_given => {
            let what = "auth_pass without auth_type; there will be no authentication";
            diags.push(
                Diagnostic::warning("no-auth-type", node.span(), what)
                    .help("add a line: auth_type PASS"),
            );
            Auth::Nothing
        }
        (Some(true | false) | None, _) => Auth::Nothing,
    }
}

/// Eight octets, padded with zeros.
fn password(arg: &Word, diags: &mut Diags) -> Option<[u8; 8]> {
    let bytes = source::bytes(&arg.text);
    if bytes.is_empty() {
        let what = "an empty password; there will be no authentication";
        diags.push(Diagnostic::error("bad-password", arg.span, what));
        return None;
    }
    let mut octets = [0; 8];
    for (octet, byte) in octets.iter_mut().zip(&bytes) {
        *octet = *byte;
    }
    if bytes.len() > 8 {
        diags.push(
            Diagnostic::warning(
                "long-password",
                arg.span,
                "the password has more than 8 bytes; the rest is cut off, as in keepalived",
            )
            .help("the protocol has room for 8 bytes"),
        );
    }
    Some(octets)
}
