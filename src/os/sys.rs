//! The calls that nix and socket2 lack: the one file with `unsafe`, and nothing but calls in it.
#![allow(unsafe_code)]

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Messages in one `recvmmsg` or `sendmmsg`.
pub(super) const BATCH: usize = 64;
/// Bytes kept of one received packet: the longest advert (255 IPv6 addresses) and some more, so that
/// one that is too long still looks too long.
pub(super) const SLOT: usize = 4160;
/// Room for a hop limit and a packet info, in words to be aligned.
const CONTROL: usize = 12;

/// A descriptor of ours that the runtime of the calling thread watches for something to read.
#[derive(Debug)]
pub(super) struct Readable(AsyncFd<OwnedFd>);

impl Readable {
    /// *Panics* outside a tokio runtime.
    pub(super) fn new(fd: OwnedFd) -> io::Result<Self> {
        // SAFETY: an OwnedFd is open and the same as long as it lives, it is moved into the AsyncFd
        // and handed out as borrowed only.
        unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }
            .map(Self)
            .map_err(io::Error::from)
    }

    /// Calls again and again, whenever there may be something, until it is not EAGAIN.
    pub(super) async fn read<T>(&self, mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.0.async_io(Interest::READABLE, |_| call()).await
    }
}

/// Sets an integer option.
pub(super) fn set_int(fd: impl AsFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the kernel reads four bytes from a live i32.
    check(unsafe {
        libc::setsockopt(
            fd.as_fd().as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size::<libc::c_int>(),
        )
    })
}

/// Binds an AF_PACKET socket to a link; protocol 0 receives nothing.
pub(super) fn bind_packet(fd: impl AsFd, link: u32, protocol: u16) -> io::Result<()> {
    let name = link_name(link, protocol);
    // SAFETY: the kernel reads a whole sockaddr_ll that lives until the call returns.
    check(unsafe {
        libc::bind(
            fd.as_fd().as_raw_fd(),
            (&raw const name).cast(),
            size::<libc::sockaddr_ll>(),
        )
    })
}

/// Sees frames for other stations too, as long as the socket is open.
pub(super) fn promiscuous(fd: impl AsFd, link: u32) -> io::Result<()> {
    let request = libc::packet_mreq {
        mr_ifindex: link as _,
        mr_type: libc::PACKET_MR_PROMISC as _,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    // SAFETY: the kernel reads a whole packet_mreq that lives until the call returns.
    check(unsafe {
        libc::setsockopt(
            fd.as_fd().as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_ADD_MEMBERSHIP,
            (&raw const request).cast(),
            size::<libc::packet_mreq>(),
        )
    })
}

/// What the kernel said beside the bytes of one packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Aside {
    /// Bytes kept.
    pub(super) len: usize,
    /// Source address (IPv6).
    pub(super) from: Ipv6Addr,
    /// Destination address (IPv6), from IPV6_PKTINFO.
    pub(super) to: Ipv6Addr,
    /// Hop limit (IPv6), from IPV6_HOPLIMIT.
    pub(super) hop_limit: u8,
}

impl Aside {
    const NONE: Self = Self {
        len: 0,
        from: Ipv6Addr::UNSPECIFIED,
        to: Ipv6Addr::UNSPECIFIED,
        hop_limit: 0,
    };
}

/// Room for one batch of received packets.
pub(super) struct Ring {
    bytes: Box<[u8]>,
    asides: [Aside; BATCH],
}

impl Ring {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; BATCH * SLOT].into_boxed_slice(),
            asides: [Aside::NONE; BATCH],
        }
    }

    /// The `index`th packet of the last batch.
    pub(super) fn packet(&self, index: usize) -> Option<(&[u8], &Aside)> {
        let aside = self.asides.get(index)?;
        let start = index * SLOT;
        Some((self.bytes.get(start..start + aside.len)?, aside))
    }

    /// Receives what is there, at most [`BATCH`], without blocking; nothing there is EAGAIN.
    ///
    /// `asides` asks for the source and the control messages, which IPv4 does not need: its packets
    /// begin with their header.
    pub(super) fn receive(&mut self, fd: impl AsFd, asides: bool) -> io::Result<usize> {
        let mut names = [const { MaybeUninit::<libc::sockaddr_in6>::uninit() }; BATCH];
        let mut controls = [const { MaybeUninit::<[u64; CONTROL]>::uninit() }; BATCH];
        let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; BATCH];
        let mut heads = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; BATCH];
        for (index, slot) in self.bytes.chunks_exact_mut(SLOT).enumerate() {
            let vector = vectors[index].write(libc::iovec {
                iov_base: slot.as_mut_ptr().cast(),
                iov_len: SLOT,
            });
            // Written anew for every batch: the kernel leaves the lengths it used in there.
            let mut head = empty_head();
            head.msg_hdr.msg_iov = vector;
            head.msg_hdr.msg_iovlen = 1;
            if asides {
                head.msg_hdr.msg_name = names[index].as_mut_ptr().cast();
                head.msg_hdr.msg_namelen = size::<libc::sockaddr_in6>();
                head.msg_hdr.msg_control = controls[index].as_mut_ptr().cast();
                head.msg_hdr.msg_controllen = (CONTROL * 8) as _;
            }
            heads[index].write(head);
        }
        // SAFETY: every head was written above and points to room of the length it names: a slot of
        // `bytes`, a name and a control buffer, all of which outlive the call.
        let count = unsafe {
            libc::recvmmsg(
                fd.as_fd().as_raw_fd(),
                heads.as_mut_ptr().cast(),
                BATCH as u32,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for index in 0..count {
            // SAFETY: all heads were written above.
            let head = unsafe { heads[index].assume_init_ref() };
            let mut aside = Aside {
                len: (head.msg_len as usize).min(SLOT),
                ..Aside::NONE
            };
            if asides {
                if head.msg_hdr.msg_namelen == size::<libc::sockaddr_in6>() {
                    // SAFETY: the kernel says that it wrote the whole name.
                    let name = unsafe { names[index].assume_init_ref() };
                    aside.from = Ipv6Addr::from(name.sin6_addr.s6_addr);
                }
                read_control(&head.msg_hdr, &mut aside);
            }
            self.asides[index] = aside;
        }
        Ok(count)
    }
}

fn read_control(head: &libc::msghdr, aside: &mut Aside) {
    // SAFETY: the kernel filled `msg_controllen` bytes of the control buffer, which is aligned for
    // a cmsghdr and still alive; CMSG_NXTHDR stays within that length, and each payload is read,
    // unaligned, only if the header says that it is long enough.
    unsafe {
        let mut next = libc::CMSG_FIRSTHDR(head);
        while let Some(message) = next.as_ref() {
            let long = |payload: libc::socklen_t| message.cmsg_len >= libc::CMSG_LEN(payload) as _;
            let data = libc::CMSG_DATA(message);
            if message.cmsg_level == libc::IPPROTO_IPV6 {
                if message.cmsg_type == libc::IPV6_HOPLIMIT && long(4) {
                    let hops = data.cast::<libc::c_int>().read_unaligned();
                    aside.hop_limit = u8::try_from(hops).unwrap_or(0);
                } else if message.cmsg_type == libc::IPV6_PKTINFO
                    && long(size::<libc::in6_pktinfo>())
                {
                    let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                    aside.to = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                }
            }
            next = libc::CMSG_NXTHDR(head, message);
        }
    }
}

/// Where a frame goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum To {
    /// Raw IPv4.
    V4(Ipv4Addr),
    /// Raw IPv6: destination, the source named in the header, and the link.
    V6 {
        to: Ipv6Addr,
        from: Ipv6Addr,
        link: u32,
    },
    /// AF_PACKET: link and ethertype.
    Link { link: u32, protocol: u16 },
}

union Name {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
    link: libc::sockaddr_ll,
}

/// Words of a control message with one in6_pktinfo.
const PKTINFO: usize = 5;

/// Sends frames `first..first + count`, at most [`BATCH`], without blocking; says how many of them,
/// from the first on, the kernel took. An error is about the first one alone.
pub(super) fn send_some<'a>(
    fd: BorrowedFd<'_>,
    first: usize,
    count: usize,
    frame: impl Fn(usize) -> (&'a [u8], To),
) -> io::Result<usize> {
    let count = count.min(BATCH);
    let mut names = [const { MaybeUninit::<Name>::uninit() }; BATCH];
    let mut controls = [const { MaybeUninit::<[u64; PKTINFO]>::uninit() }; BATCH];
    let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; BATCH];
    let mut heads = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; BATCH];
    for index in 0..count {
        let (bytes, to) = frame(first + index);
        let vector = vectors[index].write(libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        });
        let mut head = empty_head();
        head.msg_hdr.msg_iov = vector;
        head.msg_hdr.msg_iovlen = 1;
        let (name, length) = name_of(to);
        head.msg_hdr.msg_name = ptr::from_mut(names[index].write(name)).cast();
        head.msg_hdr.msg_namelen = length;
        if let To::V6 { from, link, .. } = to {
            let control = controls[index].write([0; PKTINFO]);
            head.msg_hdr.msg_control = control.as_mut_ptr().cast();
            // The source is given beside the header, or the kernel looks for a usable one to find
            // the route with, and a link-local address under DAD is none.
            head.msg_hdr.msg_controllen = write_source(control, from, link) as _;
        }
        heads[index].write(head);
    }
    // SAFETY: the first `count` heads were written above and point to names, control messages and
    // bytes of the length they name; all outlive the call. The kernel writes msg_len only.
    let sent = unsafe {
        libc::sendmmsg(
            fd.as_raw_fd(),
            heads.as_mut_ptr().cast(),
            count as u32,
            libc::MSG_DONTWAIT as _,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

fn name_of(to: To) -> (Name, libc::socklen_t) {
    match to {
        To::V4(addr) => {
            let v4 = libc::sockaddr_in {
                sin_family: libc::AF_INET as _,
                sin_port: 0,
                sin_addr: libc::in_addr {
                    s_addr: u32::from(addr).to_be(),
                },
                sin_zero: [0; 8],
            };
            (Name { v4 }, size::<libc::sockaddr_in>())
        }
        To::V6 { to, link, .. } => {
            let v6 = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as _,
                sin6_port: 0,
                sin6_flowinfo: 0,
                sin6_addr: in6(to),
                sin6_scope_id: link,
            };
            (Name { v6 }, size::<libc::sockaddr_in6>())
        }
        To::Link { link, protocol } => (
            Name {
                link: link_name(link, protocol),
            },
            size::<libc::sockaddr_ll>(),
        ),
    }
}

fn write_source(control: &mut [u64; PKTINFO], from: Ipv6Addr, link: u32) -> usize {
    let length = size::<libc::in6_pktinfo>();
    // SAFETY: CMSG_SPACE and CMSG_LEN only compute; a cmsghdr and an in6_pktinfo fit into the
    // buffer, which is aligned for the first (checked below), and the second is written unaligned.
    unsafe {
        const { assert!(mem::size_of::<[u64; PKTINFO]>() >= 40) };
        let space = libc::CMSG_SPACE(length) as usize;
        let message = control.as_mut_ptr().cast::<libc::cmsghdr>();
        (*message).cmsg_len = libc::CMSG_LEN(length) as _;
        (*message).cmsg_level = libc::IPPROTO_IPV6;
        (*message).cmsg_type = libc::IPV6_PKTINFO;
        let info = libc::in6_pktinfo {
            ipi6_addr: in6(from),
            ipi6_ifindex: link as _,
        };
        libc::CMSG_DATA(message)
            .cast::<libc::in6_pktinfo>()
            .write_unaligned(info);
        space
    }
}

/// Gives the calling thread SCHED_RR at this priority; what it starts begins with SCHED_OTHER.
pub(super) fn round_robin(priority: u8) -> io::Result<()> {
    // SAFETY: sched_param is plain numbers, for all of which zero is valid.
    let mut param: libc::sched_param = unsafe { mem::zeroed() };
    param.sched_priority = priority.into();
    // SAFETY: thread 0 is the calling one; the kernel reads a live sched_param.
    check(unsafe {
        libc::sched_setscheduler(
            0,
            libc::SCHED_RR | libc::SCHED_RESET_ON_FORK,
            &raw const param,
        )
    })
}

/// The calling thread's policy, without the flag.
#[cfg(test)]
pub(super) fn policy() -> i32 {
    // SAFETY: thread 0 is the calling one.
    unsafe { libc::sched_getscheduler(0) & !libc::SCHED_RESET_ON_FORK }
}

/// Nice value of the calling thread.
pub(super) fn nice(value: i8) -> io::Result<()> {
    // SAFETY: plain numbers; id 0 is the calling thread.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, value.into()) })
}

/// Gives the calling thread the usual policy, SCHED_OTHER.
pub(super) fn usual_policy() -> io::Result<()> {
    // SAFETY: sched_param is plain numbers, for all of which zero is valid.
    let param: libc::sched_param = unsafe { mem::zeroed() };
    // SAFETY: thread 0 is the calling one; the kernel reads a live sched_param.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const param) })
}

/// Has a program begin as this user, with all of these groups.
#[allow(
    clippy::disallowed_methods,
    reason = "std forks for it, which is what the process that calls it is there for"
)]
pub(super) fn become_with_groups(command: &mut Command, uid: u32, gid: u32, groups: Vec<u32>) {
    let change = move || {
        // SAFETY: the kernel reads as many live group numbers as there are.
        check(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) })?;
        // SAFETY: plain numbers; the group first, while there is still the right to change it.
        check(unsafe { libc::setgid(gid) })?;
        // SAFETY: plain numbers.
        check(unsafe { libc::setuid(uid) })
    };
    // SAFETY: between fork and exec the closure makes three system calls and allocates nothing.
    unsafe { command.pre_exec(change) };
}

/// Locks what is touched, now and later, without touching it.
pub(super) fn lock_on_fault() -> io::Result<()> {
    // SAFETY: locking pages changes no contents.
    check(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) })
}

/// Ignores a signal in the whole process.
pub(super) fn ignore(signal: i32) -> io::Result<()> {
    // SAFETY: SIG_IGN runs no code of ours.
    let before = unsafe { libc::signal(signal, libc::SIG_IGN) };
    if before == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Keeps freed memory in the process, so that it does not have to be faulted in again, or lets the
/// allocator use one arena for all threads. Without effect under musl.
pub(super) fn keep_freed_memory(arenas: i32) {
    #[cfg(target_env = "gnu")]
    // SAFETY: plain numbers; glibc takes its own lock. A value it refuses changes nothing.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_ARENA_MAX, arenas);
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = arenas;
}

/// Gives free memory back to the kernel. Without effect under musl.
pub(super) fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: glibc takes its own lock and touches free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Takes clean pages of a file mapping out of the process; the next use maps them again.
///
/// *Errors*: those of madvise(2).
///
/// # Safety
/// `start..start + length` must be a mapping of this process that is backed by a file, has no write
/// permission and holds no page that differs from the file.
pub(super) unsafe fn unmap_clean(start: usize, length: usize) -> io::Result<()> {
    // SAFETY: by the contract above the kernel finds the same bytes in the file.
    let result = unsafe {
        libc::madvise(
            ptr::without_provenance_mut(start),
            length,
            libc::MADV_DONTNEED,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// [`unmap_clean`] for every mapping of program code and constants that `smaps` shows to be clean.
pub(super) fn give_back_code(smaps: &str) {
    for (start, length) in clean_mappings(smaps) {
        // SAFETY: the kernel's own list says that it is backed by a file, not writable and without
        // anonymous or dirty pages; nobody changes protections after the loader is done.
        // Locked mappings refuse, which is as good.
        let _ = unsafe { unmap_clean(start, length) };
    }
}

/// Mappings of files, not writable, without a page of our own.
fn clean_mappings(smaps: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut current: Option<(usize, usize)> = None;
    for line in smaps.lines() {
        if let Some(mapping) = mapping_of(line) {
            current = mapping;
        } else if line.starts_with("Anonymous:") && line.ends_with(" 0 kB") {
            found.extend(current.take());
        }
    }
    found
}

/// `Some(None)` for the head of a mapping that is not to be touched; `None` for other lines.
fn mapping_of(line: &str) -> Option<Option<(usize, usize)>> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    let permissions = words.next()?;
    let path = words.nth(3).unwrap_or_default();
    let fit = permissions.starts_with("r-") && permissions.ends_with('p') && path.starts_with('/');
    Some(fit.then(|| (start, end.saturating_sub(start))))
}

/// Not in libc for every target (linux/sockios.h, linux/ethtool.h).
const SIOCETHTOOL: u32 = 0x8946;
const SIOCGMIIPHY: u32 = 0x8947;
const SIOCGMIIREG: u32 = 0x8948;
const ETHTOOL_GLINK: u32 = 0x0a;

/// `struct mii_ioctl_data`: transceiver, register, value in, value out.
type Mii = [u16; 4];

/// A request about an interface; ENODEV if its name is too long for one.
fn request(interface: &str) -> io::Result<libc::ifreq> {
    // SAFETY: a name and a union of plain data, for all of which zero is valid.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    // The last byte stays zero.
    if interface.len() >= request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}

/// Asks about an interface; the kernel reads and writes the request and what it points to.
///
/// # Safety
/// The union of `about` must hold what `what` demands, and what it points to must live.
unsafe fn ask_about(fd: impl AsFd, what: u32, about: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: by the contract above; a request lives until the call returns.
    check(unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), what as _, ptr::from_mut(about)) })
}

/// IFF_* of an interface.
pub(super) fn interface_flags(fd: impl AsFd, interface: &str) -> io::Result<i16> {
    let mut about = request(interface)?;
    // SAFETY: SIOCGIFFLAGS wants a name and writes the flags, which every bit pattern is valid for.
    unsafe {
        ask_about(fd, libc::SIOCGIFFLAGS as _, &mut about)?;
        Ok(about.ifr_ifru.ifru_flags)
    }
}

/// Whether the driver says that there is a link.
pub(super) fn ethtool_link(fd: impl AsFd, interface: &str) -> io::Result<bool> {
    // struct ethtool_value: command and answer.
    let mut value = [ETHTOOL_GLINK, 0u32];
    let mut about = request(interface)?;
    about.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
    // SAFETY: SIOCETHTOOL wants a pointer to the command; this one takes an ethtool_value, which
    // lives until the call returns.
    unsafe { ask_about(fd, SIOCETHTOOL, &mut about)? };
    Ok(value[1] != 0)
}

/// The number of the transceiver of an interface.
pub(super) fn mii_phy(fd: impl AsFd, interface: &str) -> io::Result<u16> {
    mii(fd, SIOCGMIIPHY, interface, [0; 4]).map(|[phy, ..]| phy)
}

/// A register of a transceiver.
pub(super) fn mii_register(
    fd: impl AsFd,
    interface: &str,
    phy: u16,
    register: u16,
) -> io::Result<u16> {
    mii(fd, SIOCGMIIREG, interface, [phy, register, 0, 0]).map(|[.., value]| value)
}

fn mii(fd: impl AsFd, what: u32, interface: &str, data: Mii) -> io::Result<Mii> {
    let mut about = request(interface)?;
    // SAFETY: the kernel takes the union for a mii_ioctl_data, four numbers of 16 bits, for which
    // it has room (checked) and is aligned; it is written before and read after the call.
    unsafe {
        const { assert!(mem::size_of::<Mii>() <= mem::size_of::<libc::sockaddr>()) };
        let inside = (&raw mut about.ifr_ifru).cast::<Mii>();
        inside.write(data);
        ask_about(fd, what, &mut about)?;
        Ok((&raw const about.ifr_ifru).cast::<Mii>().read())
    }
}

fn empty_head() -> libc::mmsghdr {
    // SAFETY: numbers and pointers only, for all of which zero is valid (padding differs by libc).
    unsafe { mem::zeroed() }
}

fn link_name(link: u32, protocol: u16) -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as _,
        sll_protocol: protocol.to_be(),
        sll_ifindex: link as _,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [0; 8],
    }
}

fn in6(addr: Ipv6Addr) -> libc::in6_addr {
    libc::in6_addr {
        s6_addr: addr.octets(),
    }
}

const fn size<T>() -> libc::socklen_t {
    mem::size_of::<T>() as libc::socklen_t
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
