//! System calls that neither std, socket2 nor tokio offer. Every `unsafe` of the process's start lives here.
#![allow(unsafe_code)]

use crate::expr::facts::TcpInfo;
use socket2::{SockFilter, Socket};
use std::ffi::CString;
use std::io;
use std::mem::{size_of, size_of_val};
use std::net::Ipv6Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn set_int(fd: &impl AsRawFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the pointer and length describe `value`, which outlives the call; the descriptor is borrowed, hence open.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    })
    .map(|_| ())
}

/// TCP_DEFER_ACCEPT: accept only when data came, waiting `seconds` at most.
pub fn set_defer_accept(socket: &impl AsRawFd, seconds: i32) -> io::Result<()> {
    set_int(socket, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, seconds)
}

/// TCP_FASTOPEN on a listener: how many handshakes may be pending with data.
pub fn set_fastopen(socket: &impl AsRawFd, queue: i32) -> io::Result<()> {
    set_int(socket, libc::IPPROTO_TCP, libc::TCP_FASTOPEN, queue)
}

/// SO_BUF_LOCK: which buffer sizes the kernel leaves alone.
pub fn fix_buffers(socket: &impl AsRawFd, receive: bool, send: bool) -> io::Result<()> {
    // SOCK_SNDBUF_LOCK and SOCK_RCVBUF_LOCK of <linux/socket.h>.
    let locks = i32::from(send) | i32::from(receive) << 1;
    set_int(socket, libc::SOL_SOCKET, libc::SO_BUF_LOCK, locks)
}

/// SO_BINDTOIFINDEX with an index that no interface has. One that is bound to an interface already needs CAP_NET_RAW.
pub fn bind_to_no_interface(socket: &impl AsRawFd) -> io::Result<()> {
    set_int(socket, libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, libc::c_int::MAX)
}

/// TCP_FASTOPEN_CONNECT: `connect` answers at once and the first write carries the SYN.
pub fn set_fastopen_connect(socket: &impl AsRawFd) -> io::Result<()> {
    set_int(socket, libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT, 1)
}

/// IP_BIND_ADDRESS_NO_PORT: bind the address alone; the port is picked at connect, when the whole 4-tuple is known.
pub fn set_bind_address_no_port(socket: &impl AsRawFd) -> io::Result<()> {
    set_int(socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)
}

/// IP_RECVERR: calls on a connected datagram socket fail with what ICMP said, host and network unreachable included.
pub fn report_icmp_errors(socket: &impl AsRawFd, v6: bool) -> io::Result<()> {
    if v6 {
        set_int(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)
    } else {
        set_int(socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1)
    }
}

/// TCP_INFO; `None`: it is no TCP socket, or is closed.
pub fn tcp_info(descriptor: RawFd) -> Option<TcpInfo> {
    // SAFETY: `tcp_info` is numbers only, for which zeros are values.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the pointer and length describe `info`, which outlives the call; a number that is no open socket is an error.
    let result = unsafe {
        libc::getsockopt(
            descriptor,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    check(result).ok()?;
    Some(TcpInfo {
        rtt: info.tcpi_rtt,
        rttvar: info.tcpi_rttvar,
        unacked: info.tcpi_unacked,
        sacked: info.tcpi_sacked,
        lost: info.tcpi_lost,
        retrans: info.tcpi_retrans,
        fackets: info.tcpi_fackets,
        reordering: info.tcpi_reordering,
    })
}

/// SO_MEMINFO: how many packets found no room in a socket's queue since it was opened.
pub fn lost_packets(socket: &impl AsRawFd) -> io::Result<u32> {
    // SK_MEMINFO_VARS of <linux/sock_diag.h>; SK_MEMINFO_DROPS is the last of them.
    let mut all = [0_u32; 9];
    let mut length = size_of_val(&all) as libc::socklen_t;
    // SAFETY: the pointer and length describe `all`, which outlives the call; the descriptor is borrowed, hence open.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            all.as_mut_ptr().cast(),
            &raw mut length,
        )
    })?;
    Ok(all[8])
}

/// TCP_REPAIR: a close that follows says nothing on the wire, neither FIN nor RST. Needs CAP_NET_ADMIN.
pub fn set_repair(socket: &impl AsRawFd) -> io::Result<()> {
    set_int(socket, libc::IPPROTO_TCP, libc::TCP_REPAIR, 1)
}

/// Takes over a descriptor inherited from the parent process (`fd@N`). The copy is ours, close-on-exec and non-blocking;
/// the original stays open, because several `bind` lines and threads may name it.
pub fn adopt_listener(fd: RawFd) -> io::Result<Socket> {
    // SAFETY: F_DUPFD_CLOEXEC makes a new descriptor that nobody else owns, or fails when `fd` is not open.
    let owned = unsafe {
        let copy = check(libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3))?;
        OwnedFd::from_raw_fd(copy)
    };
    let socket = Socket::from(owned);
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Marks every descriptor but the standard streams close-on-exec, those inherited from the parent too. Kernels before
/// 5.11 do not know how.
pub fn close_on_exec() -> io::Result<()> {
    // SAFETY: plain values; only flags of descriptors change, none is closed here.
    let result =
        unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The soft and the hard limit of open descriptors.
pub fn nofile_limit() -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the answer.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

pub fn set_nofile_limit(soft: u64, hard: u64) -> io::Result<()> {
    set_limit(libc::RLIMIT_NOFILE, soft, hard)
}

/// `-m`: the address space, in bytes.
pub fn set_memory_limit(bytes: u64) -> io::Result<()> {
    set_limit(libc::RLIMIT_AS, bytes, bytes)
}

fn set_limit(which: libc::__rlimit_resource_t, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `limit` is a valid value to read from.
    check(unsafe { libc::setrlimit(which, &raw const limit) }).map(|_| ())
}

pub fn chroot(path: &Path) -> io::Result<()> {
    std::os::unix::fs::chroot(path)?;
    std::env::set_current_dir("/")
}

/// The effective user, to know whether privileges can be dropped at all.
#[must_use]
pub fn effective_uid() -> u32 {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() }
}

#[must_use]
pub fn effective_gid() -> u32 {
    // SAFETY: getegid has no preconditions and cannot fail.
    unsafe { libc::getegid() }
}

/// Sets the group, then drops or replaces the supplementary groups.
pub fn set_groups(groups: &[u32]) -> io::Result<()> {
    // SAFETY: the pointer and count describe the slice.
    check(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) }).map(|_| ())
}

pub fn set_gid(gid: u32) -> io::Result<()> {
    // SAFETY: plain values.
    check(unsafe { libc::setgid(gid) }).map(|_| ())
}

pub fn set_uid(uid: u32) -> io::Result<()> {
    // SAFETY: plain values.
    check(unsafe { libc::setuid(uid) }).map(|_| ())
}

/// A user's (uid, gid) from the system's database.
#[must_use]
pub fn user_ids(name: &str) -> Option<(u32, u32)> {
    let name = CString::new(name).ok()?;
    // SAFETY: called before any thread is started, so the static buffer of getpwnam is ours; null is checked.
    unsafe {
        let entry = libc::getpwnam(name.as_ptr());
        (!entry.is_null()).then(|| ((*entry).pw_uid, (*entry).pw_gid))
    }
}

#[must_use]
pub fn group_id(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: as `user_ids`.
    unsafe {
        let entry = libc::getgrnam(name.as_ptr());
        (!entry.is_null()).then(|| (*entry).gr_gid)
    }
}

pub fn chown(path: &Path, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    std::os::unix::fs::chown(path, uid, gid)
}

/// Which side of a fork this is.
#[derive(Debug, PartialEq, Eq)]
pub enum Forked {
    Parent(i32),
    Child,
}

/// Splits the process. To be called while it has one thread.
pub fn fork() -> io::Result<Forked> {
    // SAFETY: the process has a single thread here (runtime::daemon is called before the workers start), so the child
    // has no lock held by a thread that does not exist in it.
    match check(unsafe { libc::fork() })? {
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid)),
    }
}

/// A session of its own: no controlling terminal, no signals from the shell's process group.
pub fn new_session() {
    // SAFETY: no preconditions; failure means that it is already a leader, which is what is wanted.
    unsafe { libc::setsid() };
}

/// Points descriptors 0, 1 and 2 at /dev/null.
pub fn detach_standard_streams() -> io::Result<()> {
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    for fd in 0..=2 {
        // SAFETY: both descriptors are plain numbers; dup2 closes the old one atomically.
        check(unsafe { libc::dup2(null.as_raw_fd(), fd) })?;
    }
    Ok(())
}

/// Binds the calling thread to `cpus`.
pub fn set_cpu_affinity(cpus: &[usize]) -> io::Result<()> {
    // SAFETY: a zeroed cpu_set_t is the empty set; CPU_SET is given indices below CPU_SETSIZE only.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        for &cpu in cpus.iter().filter(|&&cpu| cpu < libc::CPU_SETSIZE as usize) {
            libc::CPU_SET(cpu, &mut set);
        }
        check(libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)).map(|_| ())
    }
}

/// Sends a signal; `false` when there is no such process.
#[must_use]
pub fn kill(pid: i32, signal: i32) -> bool {
    // SAFETY: plain values.
    unsafe { libc::kill(pid, signal) == 0 }
}

/// Ends the process by `signal`'s default action, as if it had never been caught.
pub fn die_by(signal: i32) {
    // SAFETY: resets the disposition of one signal, then raises it in this thread.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

/// The signals this process answers to.
const ANSWERED: [libc::c_int; 8] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGUSR1,
    libc::SIGUSR2,
];

/// Signals that come from now on wait until [`deliver_signals`]. Threads started meanwhile leave them to the first one.
pub fn hold_signals() {
    mask_signals(libc::SIG_BLOCK);
}

/// The other half of [`hold_signals`], for the thread that called it: what came meanwhile arrives now.
pub fn deliver_signals() {
    mask_signals(libc::SIG_UNBLOCK);
}

fn mask_signals(how: libc::c_int) {
    // SAFETY: `set` is plain data that sigemptyset makes valid; only this thread's mask changes. None of these calls can
    // fail with valid numbers.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in ANSWERED {
            libc::sigaddset(&raw mut set, signal);
        }
        libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut());
    }
}

/// A descriptor of our own on the file that `fd` is open on (`log fd@N`).
pub fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: any number may be asked for; the kernel refuses those that are not open.
    let copy = check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: the kernel has just made it, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Seconds east of Greenwich at a moment, by the zone of the system (TZ, /etc/localtime). The zone is read at the first call.
pub fn utc_offset(unix_seconds: i64) -> i32 {
    // SAFETY: `tm` is plain data, for which zero is valid; localtime_r writes nothing else. It reads the environment for
    // TZ, which this process does not change.
    unsafe {
        let mut local: libc::tm = std::mem::zeroed();
        if libc::localtime_r(&raw const unix_seconds, &raw mut local).is_null() {
            return 0;
        }
        i32::try_from(local.tm_gmtoff).unwrap_or(0)
    }
}

/// Registers a descriptor with the current thread's reactor, for reading.
pub fn watch<T: AsRawFd>(owner: T) -> io::Result<tokio::io::unix::AsyncFd<T>> {
    // SAFETY: the callers give types that own their descriptor, which stays open until the value inside is dropped.
    unsafe { tokio::io::unix::AsyncFd::register_with_interest(owner, tokio::io::Interest::READABLE) }
        .map_err(Into::into)
}

/// A packet socket that only sends: it is bound to no protocol, hence receives nothing. Needs CAP_NET_RAW.
pub fn packet_socket() -> io::Result<OwnedFd> {
    // SAFETY: `socket` takes no pointer; the descriptor it answers is new and ours.
    unsafe {
        let fd = check(libc::socket(
            libc::AF_PACKET,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
            0,
        ))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// A packet socket that hears one ethernet group on an interface, as IPv4 packets. `filter` comes before the first packet.
/// Needs CAP_NET_RAW.
pub fn packet_group_socket(interface: u32, group: [u8; 6], filter: &[SockFilter]) -> io::Result<Socket> {
    // SAFETY: `socket` takes no pointer; the descriptor it answers is new and ours.
    let socket = unsafe {
        let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        Socket::from(OwnedFd::from_raw_fd(check(libc::socket(libc::AF_PACKET, kind, 0))?))
    };
    socket.attach_filter(filter)?;
    let index = i32::try_from(interface).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut address = [0; 8];
    address[..6].copy_from_slice(&group);
    let membership = libc::packet_mreq {
        mr_ifindex: index,
        mr_type: libc::PACKET_MR_MULTICAST as u16,
        mr_alen: 6,
        mr_address: address,
    };
    // SAFETY: the pointer and length describe `membership`, which outlives the call.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_ADD_MEMBERSHIP,
            (&raw const membership).cast(),
            size_of::<libc::packet_mreq>() as libc::socklen_t,
        )
    })?;
    // SAFETY: an all-zero `sockaddr_ll` is a valid value of it.
    let mut on: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    on.sll_family = libc::AF_PACKET as u16;
    on.sll_protocol = (libc::ETH_P_IP as u16).to_be();
    on.sll_ifindex = index;
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the pointer and length describe `on`, which outlives the call.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const on).cast(), length) })?;
    Ok(socket)
}

/// A packet socket on what comes and goes on the interface with this index, from the IP header on, multicast of all groups included.
/// Needs CAP_NET_RAW.
pub fn packet_tap(interface: i32) -> io::Result<OwnedFd> {
    let all = (libc::ETH_P_ALL as u16).to_be();
    // SAFETY: `socket` takes no pointer; the descriptor it answers is new and ours. Protocol 0: it hears nothing until it is bound.
    let socket = unsafe {
        OwnedFd::from_raw_fd(check(libc::socket(libc::AF_PACKET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0))?)
    };
    // SAFETY: all-zero values are valid for both.
    let (mut at, mut groups) =
        unsafe { (std::mem::zeroed::<libc::sockaddr_ll>(), std::mem::zeroed::<libc::packet_mreq>()) };
    at.sll_family = libc::AF_PACKET as u16;
    at.sll_protocol = all;
    at.sll_ifindex = interface;
    groups.mr_ifindex = interface;
    groups.mr_type = libc::PACKET_MR_ALLMULTI as u16;
    // SAFETY: pointers and lengths describe `groups` and `at`, which outlive the calls.
    unsafe {
        check(libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_ADD_MEMBERSHIP,
            (&raw const groups).cast(),
            size_of::<libc::packet_mreq>() as libc::socklen_t,
        ))?;
        check(libc::bind(
            socket.as_raw_fd(),
            (&raw const at).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        ))?;
    }
    Ok(socket)
}

/// Sends a whole ethernet frame out of the interface with this index.
pub fn send_frame(socket: &impl AsRawFd, interface: u32, frame: &[u8]) -> io::Result<()> {
    // SAFETY: an all-zero `sockaddr_ll` is a valid value of it.
    let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    to.sll_family = libc::AF_PACKET as u16;
    to.sll_ifindex = i32::try_from(interface).map_err(|_| io::ErrorKind::InvalidInput)?;
    to.sll_halen = 6;
    // SAFETY: pointers and lengths describe `frame` and `to`, which outlive the call.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            frame.as_ptr().cast(),
            frame.len(),
            0,
            (&raw const to).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A datagram of an IPv6 raw socket, with what the kernel tells of its header.
#[derive(Clone, Copy, Debug)]
pub struct ArrivedV6 {
    pub length: usize,
    pub source: Ipv6Addr,
    pub destination: Ipv6Addr,
    pub hop_limit: u8,
}

/// IPV6_RECVPKTINFO and IPV6_RECVHOPLIMIT: what [`receive_v6`] needs.
pub fn tell_arrival_v6(socket: &impl AsRawFd) -> io::Result<()> {
    set_int(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
    set_int(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, 1)
}

/// IPV6_TCLASS of what is sent.
pub fn set_traffic_class_v6(socket: &impl AsRawFd, class: u8) -> io::Result<()> {
    set_int(socket, libc::IPPROTO_IPV6, libc::IPV6_TCLASS, class.into())
}

/// Reads one datagram; `None`: the kernel did not tell all of [`ArrivedV6`].
pub fn receive_v6(socket: &impl AsRawFd, buffer: &mut [u8]) -> io::Result<Option<ArrivedV6>> {
    // Room for both control messages, aligned for `cmsghdr`.
    let mut control = [0u64; 16];
    // SAFETY: an all-zero value is valid for both.
    let (mut from, mut message) =
        unsafe { (std::mem::zeroed::<libc::sockaddr_in6>(), std::mem::zeroed::<libc::msghdr>()) };
    let mut piece = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    message.msg_name = (&raw mut from).cast();
    message.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
    message.msg_iov = &raw mut piece;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: every pointer of `message` and its length describe a place above that outlives the call.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    let (mut destination, mut hop_limit) = (None, None);
    // SAFETY: the CMSG macros walk the control messages the kernel has written into `control`; a message's data is read only
    // if its length says that it is whole.
    unsafe {
        let mut next = libc::CMSG_FIRSTHDR(&raw const message);
        while let Some(header) = next.as_ref() {
            let holds = |size: usize| header.cmsg_len >= libc::CMSG_LEN(size as u32) as usize;
            match (header.cmsg_level, header.cmsg_type) {
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if holds(size_of::<libc::in6_pktinfo>()) => {
                    let info: libc::in6_pktinfo =
                        libc::CMSG_DATA(header).cast::<libc::in6_pktinfo>().read_unaligned();
                    destination = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr));
                }
                (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) if holds(size_of::<libc::c_int>()) => {
                    let limit: libc::c_int = libc::CMSG_DATA(header).cast::<libc::c_int>().read_unaligned();
                    hop_limit = u8::try_from(limit).ok();
                }
                _ => {}
            }
            next = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    let source = Ipv6Addr::from(from.sin6_addr.s6_addr);
    Ok(destination.zip(hop_limit).map(|(destination, hop_limit)| ArrivedV6 {
        length,
        source,
        destination,
        hop_limit,
    }))
}
