//! Listening sockets from `bind` lines.
//!
//! A TCP address gets one socket per thread (SO_REUSEPORT: the kernel spreads connections). Options that an accepted
//! socket inherits from its listener (TCP_NODELAY, keepalive, buffer sizes, user timeout) are set here once, which saves
//! their system calls on every connection. Unix and inherited sockets are one, which all threads accept from.

use super::{Stream, raw};
use crate::config::model::global::Tune;
use crate::config::model::{Address, Bind, KeepAliveProbes};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tokio::io::unix::AsyncFd;

/// What a listener takes from outside its `bind` line.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The frontend's `backlog`, else its `maxconn`.
    pub backlog: u32,
    /// `option clitcpka`
    pub keepalive: Option<KeepAliveProbes>,
    pub tune: &'a Tune,
    /// `-dR`: one socket for all threads.
    pub shared: bool,
    /// Addresses that may come to this machine later: of the `vrrp` sections.
    pub virtuals: &'a [IpAddr],
}

/// A bound socket in the listening state, not yet in a reactor (workers are not running when it is made).
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    pub bind: Arc<Bind>,
    /// The address connections are made to; `None` when only the connection knows (wildcard, transparent, unix, fd).
    fixed: Option<SocketAddr>,
    unix: bool,
    backlog: i32,
    /// `tune.rcvbuf.client` and `tune.sndbuf.client` it was made with; 0: the system's.
    buffers: [usize; 2],
    /// A listener of the next configuration has the same socket.
    continued: AtomicBool,
    /// Of a unix socket, the file that clients find it by.
    file: Option<SocketFile>,
}

/// The file of a unix socket: by then another process may have put its own in this place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// What stands there now.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        let found = std::fs::symlink_metadata(path).ok()?;
        Some(Self { path: path.to_owned(), device: found.dev(), inode: found.ino() })
    }

    /// Removes it, if it is still there.
    pub fn remove(&self) {
        if Self::at(&self.path).as_ref() == Some(self) {
            let _gone = std::fs::remove_file(&self.path);
        }
    }
}

/// Why there is no listener: the step, the system's error. `Display` is HAProxy's sentence.
#[derive(Debug)]
pub struct BindError {
    pub step: &'static str,
    pub error: io::Error,
    pub address: String,
}

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}) [{}]", self.step, reason(&self.error), self.address)
    }
}

/// The system's words alone, without Rust's `(os error N)`.
#[must_use]
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.find(" (os error").map_or_else(|| text.clone(), |end| text.get(..end).unwrap_or(&text).to_owned())
}

impl Listener {
    /// Binds `count` sockets for a `bind` line, or the one that `count` threads share.
    ///
    /// # Errors
    /// The first step that failed.
    pub fn open(bind: &Arc<Bind>, setting: Setting<'_>, count: usize) -> Result<Vec<Self>, BindError> {
        match &bind.address {
            Address::Inet(addr) => {
                let mut first = open_inet(bind, *addr, setting)?;
                // Port 0: the system chose, the other threads' sockets must follow.
                let addr = first.socket.local_addr().ok().and_then(|a| a.as_socket()).unwrap_or(*addr);
                first.fixed = fixed_address(bind, addr);
                if setting.shared {
                    return Ok(share(first, count));
                }
                let mut all = vec![first];
                for _ in 1..count {
                    let mut next = open_inet(bind, addr, setting)?;
                    next.fixed = fixed_address(bind, addr);
                    all.push(next);
                }
                Ok(all)
            }
            Address::Unix(path) => Ok(share(open_unix(bind, path, setting)?, count)),
            Address::Abstract(name) => Ok(share(open_abstract(bind, name, setting)?, count)),
            Address::Fd(fd) => Ok(share(adopt(bind, *fd, setting)?, count)),
        }
    }

    /// The same socket for a line of the configuration that takes this one's place, with the options that it has there.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn again(&self, bind: &Arc<Bind>, setting: Setting<'_>) -> io::Result<Self> {
        let next = Self {
            bind: Arc::clone(bind),
            backlog: backlog(bind, setting),
            buffers: buffers(setting),
            ..self.double()?
        };
        if !self.unix {
            if setting.keepalive.is_none() {
                let _ = next.socket.set_keepalive(false);
            }
            inherited_options(&next.socket, bind, setting);
        }
        // One that is paused does not listen, and is not to.
        if next.backlog != self.backlog && next.socket.is_listener().unwrap_or(false) {
            next.socket.listen(next.backlog)?;
        }
        self.continued.store(true, Relaxed);
        Ok(next)
    }

    /// Can the socket get all that another configuration wants of it? The system's own buffer sizes cannot be had back.
    #[must_use]
    pub fn can_become(&self, setting: Setting<'_>) -> bool {
        self.unix || self.buffers.iter().zip(buffers(setting)).all(|(now, then)| *now == 0 || then > 0)
    }

    /// A socket that another process listened on.
    ///
    /// # Errors
    /// listen(2): the backlog is this configuration's.
    pub fn take_over(socket: Socket, bind: &Arc<Bind>, setting: Setting<'_>) -> Result<Self, BindError> {
        let unix = !matches!(bind.address, Address::Inet(_));
        socket.listen(backlog(bind, setting)).map_err(failed("cannot listen to socket", bind))?;
        if !unix {
            inherited_options(&socket, bind, setting);
        }
        let fixed = socket.local_addr().ok().and_then(|a| a.as_socket());
        let fixed = fixed.and_then(|addr| fixed_address(bind, addr));
        let mut file = None;
        if let Address::Unix(path) = &bind.address {
            // Owner and mode may be others by now; where they cannot be changed they stay.
            let _unchanged = set_owner(bind, path);
            file = SocketFile::at(path);
        }
        Ok(Self { fixed, file, ..Self::new(socket, bind, setting, unix) })
    }

    /// Removes the file of a unix socket that nobody else listens on.
    pub fn remove_file(&self) {
        if let Some(file) = self.file.as_ref().filter(|_| !self.is_continued()) {
            file.remove();
        }
    }

    /// Another process listens on it from now on.
    pub fn give_away(&self) {
        self.continued.store(true, Relaxed);
    }

    /// Has [`Self::again`] given the socket on?
    #[must_use]
    pub fn is_continued(&self) -> bool {
        self.continued.load(Relaxed)
    }

    /// Another descriptor of the same socket.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn double(&self) -> io::Result<Self> {
        Ok(Self {
            socket: self.socket.try_clone()?,
            bind: Arc::clone(&self.bind),
            fixed: self.fixed,
            unix: self.unix,
            backlog: self.backlog,
            buffers: self.buffers,
            continued: AtomicBool::new(false),
            file: self.file.clone(),
        })
    }

    fn new(socket: Socket, bind: &Arc<Bind>, setting: Setting<'_>, unix: bool) -> Self {
        Self {
            socket,
            bind: Arc::clone(bind),
            fixed: None,
            unix,
            backlog: backlog(bind, setting),
            buffers: buffers(setting),
            continued: AtomicBool::new(false),
            file: None,
        }
    }

    /// Accepts one connection that is waiting.
    ///
    /// # Errors
    /// `WouldBlock` when none is; others as accept(2).
    pub fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        let (socket, peer) = self.socket.accept4(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC)?;
        Ok((socket, peer.as_socket()))
    }

    /// The address a connection from here was made to, asking the kernel only where the listener cannot say.
    #[must_use]
    pub fn destination(&self, stream: &Stream) -> Option<SocketAddr> {
        self.fixed.or_else(|| stream.local_addr())
    }

    #[must_use]
    pub fn is_unix(&self) -> bool {
        self.unix
    }

    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()?.as_socket()
    }

    /// Refuses connections until [`Self::resume`]; those that wait in the backlog are reset. A unix socket cannot do that,
    /// and an inherited one must not: it is its owner's.
    ///
    /// # Errors
    /// shutdown(2).
    pub fn pause(&self) -> io::Result<()> {
        if !self.is_own_inet() || self.is_continued() {
            return Ok(());
        }
        match self.socket.shutdown(Shutdown::Read) {
            // It does not listen as it is.
            Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }

    /// Listens again.
    ///
    /// # Errors
    /// listen(2): another process may have the address to itself by now.
    pub fn resume(&self) -> io::Result<()> {
        if self.is_own_inet() { self.socket.listen(self.backlog) } else { Ok(()) }
    }

    fn is_own_inet(&self) -> bool {
        matches!(self.bind.address, Address::Inet(_))
    }

    /// Registers with the current thread's reactor.
    ///
    /// # Errors
    /// The reactor refuses.
    pub fn watch(self) -> io::Result<AsyncFd<Self>> {
        raw::watch(self)
    }

    /// What is shown of it, as HAProxy shows it.
    #[must_use]
    pub fn name(bind: &Bind) -> String {
        match &bind.address {
            Address::Inet(SocketAddr::V6(v6)) => format!("{}:{}", v6.ip(), v6.port()),
            Address::Inet(v4) => v4.to_string(),
            Address::Unix(path) => path.display().to_string(),
            Address::Abstract(name) => format!("abns@{}", String::from_utf8_lossy(name)),
            Address::Fd(fd) => format!("fd@{fd}"),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

fn fixed_address(bind: &Bind, addr: SocketAddr) -> Option<SocketAddr> {
    (!addr.ip().is_unspecified() && !bind.transparent).then_some(addr)
}

fn share(first: Listener, count: usize) -> Vec<Listener> {
    let mut all = Vec::with_capacity(count);
    for _ in 1..count {
        all.extend(first.double());
    }
    all.push(first);
    all
}

fn failed<'a>(step: &'static str, bind: &'a Bind) -> impl FnOnce(io::Error) -> BindError + 'a {
    move |error| BindError { step, error, address: Listener::name(bind) }
}

fn open_inet(bind: &Arc<Bind>, addr: SocketAddr, setting: Setting<'_>) -> Result<Listener, BindError> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM.nonblocking(), None)
        .map_err(failed("cannot create listening socket", bind))?;
    let _ = socket.set_reuse_address(true);
    let _ = socket.set_reuse_port(true);
    inherited_options(&socket, bind, setting);
    if bind.defer_accept {
        raw::set_defer_accept(&socket, 60).map_err(failed("cannot enable DEFER_ACCEPT", bind))?;
    }
    if bind.tfo {
        raw::set_fastopen(&socket, backlog(bind, setting))
            .map_err(failed("cannot enable TCP_FASTOPEN", bind))?;
    }
    if let Some(interface) = &bind.interface {
        socket
            .bind_device(Some(interface.as_bytes()))
            .map_err(failed("cannot bind listener to device", bind))?;
    }
    if bind.transparent {
        let set = if addr.is_ipv4() {
            socket.set_ip_transparent_v4(true)
        } else {
            socket.set_ip_transparent_v6(true)
        };
        set.or_else(
            |_| if addr.is_ipv4() { socket.set_freebind_v4(true) } else { socket.set_freebind_v6(true) },
        )
        .map_err(failed("cannot make listening socket transparent", bind))?;
    }
    if setting.virtuals.contains(&addr.ip()) {
        let set = if addr.is_ipv4() { socket.set_freebind_v4(true) } else { socket.set_freebind_v6(true) };
        set.map_err(failed("cannot prepare listening socket for a virtual address", bind))?;
    }
    if addr.is_ipv6() {
        // Without a word the system's bindv6only decides, as with HAProxy; `v4v6` and `v6only` say it.
        if bind.v6only || bind.v4v6 {
            let _ = socket.set_only_v6(bind.v6only);
        }
    }
    socket.bind(&addr.into()).map_err(failed("cannot bind socket", bind))?;
    socket.listen(backlog(bind, setting)).map_err(failed("cannot listen to socket", bind))?;
    Ok(Listener::new(socket, bind, setting, false))
}

fn backlog(bind: &Bind, setting: Setting<'_>) -> i32 {
    i32::try_from(bind.backlog.unwrap_or(setting.backlog)).unwrap_or(i32::MAX).max(1)
}

fn buffers(setting: Setting<'_>) -> [usize; 2] {
    [setting.tune.rcvbuf_client, setting.tune.sndbuf_client]
}

fn inherited_options(socket: &Socket, bind: &Bind, setting: Setting<'_>) {
    let _ = socket.set_tcp_nodelay(true);
    if let Some(probes) = setting.keepalive {
        super::keep_alive(socket, probes);
    }
    // A negative value means "that much less than the path's", which only the connection knows.
    if let Some(mss) = bind.mss.and_then(|mss| u32::try_from(mss).ok()) {
        let _ = socket.set_tcp_mss(mss);
    }
    if let Some(timeout) = bind.tcp_user_timeout {
        let _ = socket.set_tcp_user_timeout(Some(timeout));
    }
    if setting.tune.rcvbuf_client > 0 {
        let _ = socket.set_recv_buffer_size(setting.tune.rcvbuf_client);
    }
    if setting.tune.sndbuf_client > 0 {
        let _ = socket.set_send_buffer_size(setting.tune.sndbuf_client);
    }
}

fn open_unix(bind: &Arc<Bind>, path: &Path, setting: Setting<'_>) -> Result<Listener, BindError> {
    let socket = unix_socket(bind, path, backlog(bind, setting))?;
    Ok(Listener { file: SocketFile::at(path), ..Listener::new(socket, bind, setting, true) })
}

/// Binds beside the path and renames into place, so that the path is never without a listener while one process
/// replaces another. It does not block.
///
/// # Errors
/// The step that failed.
pub fn unix_socket(bind: &Bind, path: &Path, backlog: i32) -> Result<Socket, BindError> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)
        .map_err(failed("cannot create UNIX socket", bind))?;
    let beside = PathBuf::from(format!("{}.{}.tmp", path.display(), std::process::id()));
    let _ = std::fs::remove_file(&beside);
    let addr = SockAddr::unix(&beside).map_err(failed("socket path too long", bind))?;
    socket.bind(&addr).map_err(failed("cannot bind UNIX socket", bind))?;
    let ready = set_owner(bind, &beside)
        .and_then(|()| socket.listen(backlog).map_err(failed("cannot listen to UNIX socket", bind)))
        .and_then(|()| {
            std::fs::rename(&beside, path)
                .map_err(failed("cannot switch final and temporary UNIX sockets", bind))
        });
    if let Err(error) = ready {
        let _ = std::fs::remove_file(&beside);
        return Err(error);
    }
    Ok(socket)
}

fn set_owner(bind: &Bind, path: &Path) -> Result<(), BindError> {
    use std::os::unix::fs::PermissionsExt;
    if bind.uid.is_some() || bind.gid.is_some() {
        raw::chown(path, bind.uid, bind.gid).map_err(failed("cannot change UNIX socket ownership", bind))?;
    }
    if let Some(mode) = bind.mode {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
            .map_err(failed("cannot change UNIX socket permissions", bind))?;
    }
    Ok(())
}

fn open_abstract(bind: &Arc<Bind>, name: &[u8], setting: Setting<'_>) -> Result<Listener, BindError> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)
        .map_err(failed("cannot create UNIX socket", bind))?;
    let addr = abstract_address(name).map_err(failed("abstract socket name too long", bind))?;
    socket.bind(&addr).map_err(failed("cannot bind UNIX socket", bind))?;
    socket.listen(backlog(bind, setting)).map_err(failed("cannot listen to UNIX socket", bind))?;
    Ok(Listener::new(socket, bind, setting, true))
}

/// An abstract address padded with zeros to the whole of sun_path: HAProxy's `abns@` names are that, not the short
/// form, so that both sides find each other.
pub(super) fn abstract_address(name: &[u8]) -> io::Result<SockAddr> {
    const SUN_PATH: usize = 108;
    let mut path = vec![0u8];
    path.extend_from_slice(name);
    if path.len() > SUN_PATH {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    path.resize(SUN_PATH, 0);
    SockAddr::unix(std::ffi::OsStr::from_bytes(&path))
}

/// An inherited descriptor: it may listen already (varnishtest, systemd); if not, it is made to.
fn adopt(bind: &Arc<Bind>, fd: RawFd, setting: Setting<'_>) -> Result<Listener, BindError> {
    let socket = raw::adopt_listener(fd).map_err(failed("cannot use file descriptor", bind))?;
    let local = socket.local_addr().map_err(failed("not a socket", bind))?;
    let unix = local.as_socket().is_none();
    if !unix {
        inherited_options(&socket, bind, setting);
    }
    if !socket.is_listener().unwrap_or(false) {
        socket.listen(backlog(bind, setting)).map_err(failed("cannot listen to socket", bind))?;
    }
    let fixed = local.as_socket().and_then(|addr| fixed_address(bind, addr));
    Ok(Listener { fixed, ..Listener::new(socket, bind, setting, unix) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(tune: &Tune, backlog: u32, keepalive: bool) -> Setting<'_> {
        let keepalive = keepalive.then(KeepAliveProbes::default);
        Setting { backlog, keepalive, tune, shared: true, virtuals: &[] }
    }

    #[test]
    fn the_same_socket_with_other_options() {
        let tune = Tune::default();
        let bind = Arc::new(Bind::bare(Address::Inet(([127, 0, 0, 1], 0).into())));
        let first = Listener::open(&bind, setting(&tune, 10, false), 1).unwrap().pop().unwrap();
        let then = first.again(&bind, setting(&tune, 20, true)).unwrap();
        assert!(first.is_continued() && then.socket.keepalive().unwrap());
        assert_eq!(first.local_addr(), then.local_addr());
        let last = then.again(&bind, setting(&tune, 20, false)).unwrap();
        assert!(!last.socket.keepalive().unwrap());
        // One that is paused stays so.
        last.pause().unwrap();
        let paused = last.again(&bind, setting(&tune, 30, false)).unwrap();
        assert!(!paused.socket.is_listener().unwrap());
    }

    #[test]
    fn buffer_sizes_of_the_system_cannot_be_had_back() {
        let (plain, sized) = (Tune::default(), Tune { rcvbuf_client: 100_000, ..Tune::default() });
        let bind = Arc::new(Bind::bare(Address::Inet(([127, 0, 0, 1], 0).into())));
        let open = |tune| Listener::open(&bind, setting(tune, 10, false), 1).unwrap().pop().unwrap();
        let check = |listener: &Listener, tune, expected| {
            assert_eq!(listener.can_become(setting(tune, 10, false)), expected);
        };
        check(&open(&plain), &plain, true);
        check(&open(&plain), &sized, true);
        check(&open(&sized), &sized, true);
        check(&open(&sized), &plain, false);
        check(&open(&plain).again(&bind, setting(&sized, 10, false)).unwrap(), &plain, false);
    }
}
