//! Listening sockets from `bind` lines.
//!
//! A TCP address gets one socket per thread (SO_REUSEPORT: the kernel spreads connections). Unix and inherited sockets are
//! one, which all threads accept from.
//!
//! What can fail comes first, and nobody notices: an address is bound, and no client finds it yet; a socket that listens
//! already is as it was. [`Listener::begin`] does the rest.

mod file;
mod hidden;
mod options;

use super::{Stream, raw};
use crate::config::model::global::Tune;
use crate::config::model::{Address, Bind, KeepAliveProbes};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tokio::io::unix::AsyncFd;

use file::{Beside, set_owner, socket_beside};
pub use file::{SocketFile, unix_socket};
pub use hidden::hide;
use options::{Failed, Options};

/// What a listener takes from outside its `bind` line.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The frontend's `backlog`, else its `maxconn`.
    pub backlog: u32,
    /// `option clitcpka`
    pub keepalive: Option<KeepAliveProbes>,
    /// `option tcp-smart-accept`
    pub answers_at_once: bool,
    pub tune: &'a Tune,
    /// `-dR`: one socket for all threads.
    pub shared: bool,
    /// Addresses that may come to this machine later: of the `vrrp` sections.
    pub virtuals: &'a [IpAddr],
}

/// A bound socket, not yet in a reactor (workers are not running when it is made).
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    pub bind: Arc<Bind>,
    /// The address connections are made to; `None` when only the connection knows (wildcard, transparent, unix, fd).
    fixed: Option<SocketAddr>,
    unix: bool,
    backlog: i32,
    options: Options,
    origin: Origin,
    /// A listener of the next configuration has the same socket.
    continued: Arc<AtomicBool>,
    /// Of a unix socket, the file that clients find it by.
    file: Option<SocketFile>,
}

/// Where a socket comes from.
#[derive(Clone, Debug)]
enum Origin {
    /// It was made for this line. A unix socket has its file beside the path until it begins.
    New(Option<Arc<Beside>>),
    /// From a listener of the configuration before.
    Before(Before),
    /// Another process listens on it.
    Foreign,
    /// It is on its way out: who has begun to connect is taken in, and nobody else finds it.
    Leaving,
}

/// What a socket was with the configuration before.
#[derive(Clone, Debug)]
struct Before {
    bind: Arc<Bind>,
    backlog: i32,
    options: Options,
    continued: Arc<AtomicBool>,
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
        let fixed = self.local_addr().filter(|_| !self.unix).and_then(|addr| fixed_address(bind, addr));
        let origin = Origin::Before(Before {
            bind: Arc::clone(&self.bind),
            backlog: self.backlog,
            options: self.options,
            continued: Arc::clone(&self.continued),
        });
        let socket = self.socket.try_clone()?;
        let file = self.file.clone();
        Ok(Self { fixed, origin, file, ..Self::new(socket, bind, setting, self.unix) })
    }

    /// A socket that another process listens on.
    #[must_use]
    pub fn take_over(socket: Socket, bind: &Arc<Bind>, setting: Setting<'_>) -> Self {
        let unix = !matches!(bind.address, Address::Inet(_));
        let fixed = socket.local_addr().ok().and_then(|a| a.as_socket());
        let fixed = fixed.and_then(|addr| fixed_address(bind, addr));
        let file = match &bind.address {
            Address::Unix(path) => SocketFile::at(path),
            _ => None,
        };
        Self { fixed, file, origin: Origin::Foreign, ..Self::new(socket, bind, setting, unix) }
    }

    /// The same, which is not found by clients any more once it begins.
    #[must_use]
    pub fn take_leaving(socket: Socket, bind: &Arc<Bind>, setting: Setting<'_>) -> Self {
        Self { origin: Origin::Leaving, ..Self::take_over(socket, bind, setting) }
    }

    #[must_use]
    pub fn is_leaving(&self) -> bool {
        matches!(self.origin, Origin::Leaving)
    }

    /// Clients find it from now on, with all that its line says; one that is `paused` is not to listen.
    ///
    /// # Errors
    /// The step that failed.
    pub fn begin(&self, paused: bool) -> Result<(), BindError> {
        let bind = &*self.bind;
        match &self.origin {
            Origin::New(Some(beside)) => match &bind.address {
                Address::Unix(path) => beside.put_in_place(path).map_err(step(bind)),
                _ => Ok(()),
            },
            Origin::New(None) if paused && self.is_own_inet() => Ok(()),
            Origin::New(None) if matches!(bind.address, Address::Unix(_)) => Ok(()),
            Origin::New(None) => self.listen(),
            Origin::Before(before) => {
                before.continued.store(true, Relaxed);
                self.change(before, bind, &before.bind)?;
                self.follow(before.backlog)
            }
            Origin::Foreign => {
                if !self.unix {
                    self.options.set_over(&self.socket, self.backlog).map_err(step(bind))?;
                }
                if let Address::Unix(path) = &bind.address {
                    // Owner and mode may be others by now; where they cannot be changed they stay.
                    let _unchanged = set_owner(bind, path);
                }
                let is_its_owners = matches!(bind.address, Address::Fd(_));
                if is_its_owners && self.socket.is_listener().unwrap_or(false) {
                    Ok(())
                } else {
                    self.listen()
                }
            }
            Origin::Leaving => Ok(()),
        }
    }

    /// It does not come to it: the listener before goes on as it was.
    pub fn undo(&self) {
        if let Origin::Before(before) = &self.origin {
            before.continued.store(false, Relaxed);
            let _ = before.options.replace(&self.socket, Some(&self.options), before.backlog);
            let _ = self.file.as_ref().map_or(Ok(()), |file| file.change_owner(&before.bind, &self.bind));
            if self.backlog != before.backlog && self.socket.is_listener().unwrap_or(false) {
                let _ = self.socket.listen(before.backlog);
            }
        }
    }

    fn change(&self, before: &Before, bind: &Bind, old: &Bind) -> Result<(), BindError> {
        if !self.unix {
            let changed = self.options.replace(&self.socket, Some(&before.options), self.backlog);
            changed.map_err(step(bind))?;
        }
        self.file.as_ref().map_or(Ok(()), |file| file.change_owner(bind, old)).map_err(step(bind))
    }

    fn follow(&self, backlog: i32) -> Result<(), BindError> {
        // One that is paused does not listen, and is not to.
        let listens = self.backlog != backlog && self.socket.is_listener().unwrap_or(false);
        if listens { self.listen() } else { Ok(()) }
    }

    fn listen(&self) -> Result<(), BindError> {
        let words = if self.unix { "cannot listen to UNIX socket" } else { "cannot listen to socket" };
        self.socket.listen(self.backlog).map_err(failed(words, &self.bind))
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

    /// Nobody else serves it, and clients that have begun to connect can be waited for before it is closed. An abstract
    /// name would be taken for as long.
    #[must_use]
    pub fn can_linger(&self) -> bool {
        !self.is_continued() && matches!(self.bind.address, Address::Inet(_) | Address::Unix(_))
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
            options: self.options,
            origin: match &self.origin {
                Origin::New(_) => Origin::New(None),
                other => other.clone(),
            },
            continued: Arc::default(),
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
            options: Options::of(bind, setting),
            origin: Origin::New(None),
            continued: Arc::default(),
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

    /// No client finds those of `all` that nobody goes on with.
    pub fn hide<'l>(all: impl IntoIterator<Item = &'l Arc<Self>>) {
        let gone = all.into_iter().filter(|l| l.is_own_inet() && !l.is_continued());
        hide(&gone.map(|l| &l.socket).collect::<Vec<_>>());
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

fn step(bind: &Bind) -> impl FnOnce(Failed) -> BindError + '_ {
    move |(words, error)| failed(words, bind)(error)
}

fn open_inet(bind: &Arc<Bind>, addr: SocketAddr, setting: Setting<'_>) -> Result<Listener, BindError> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM.nonblocking(), None)
        .map_err(failed("cannot create listening socket", bind))?;
    let _ = socket.set_reuse_address(true);
    let _ = socket.set_reuse_port(true);
    Options::of(bind, setting).set(&socket).map_err(step(bind))?;
    if let Some(interface) = &bind.interface {
        socket
            .bind_device(Some(interface.as_bytes()))
            .map_err(failed("cannot bind listener to device", bind))?;
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
    Ok(Listener::new(socket, bind, setting, false))
}

fn backlog(bind: &Bind, setting: Setting<'_>) -> i32 {
    i32::try_from(bind.backlog.unwrap_or(setting.backlog)).unwrap_or(i32::MAX).max(1)
}

fn open_unix(bind: &Arc<Bind>, path: &Path, setting: Setting<'_>) -> Result<Listener, BindError> {
    let (socket, beside) = socket_beside(bind, path, backlog(bind, setting))?;
    let file = beside.file(path);
    let origin = Origin::New(Some(Arc::new(beside)));
    Ok(Listener { file, origin, ..Listener::new(socket, bind, setting, true) })
}

fn open_abstract(bind: &Arc<Bind>, name: &[u8], setting: Setting<'_>) -> Result<Listener, BindError> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)
        .map_err(failed("cannot create UNIX socket", bind))?;
    let addr = abstract_address(name).map_err(failed("abstract socket name too long", bind))?;
    socket.bind(&addr).map_err(failed("cannot bind UNIX socket", bind))?;
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
    let fixed = local.as_socket().and_then(|addr| fixed_address(bind, addr));
    Ok(Listener { fixed, origin: Origin::Foreign, ..Listener::new(socket, bind, setting, unix) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(tune: &Tune, backlog: u32, keepalive: bool) -> Setting<'_> {
        let keepalive = keepalive.then(KeepAliveProbes::default);
        Setting { backlog, keepalive, answers_at_once: false, tune, shared: true, virtuals: &[] }
    }

    #[test]
    fn the_same_socket_with_other_options() {
        let tune = Tune::default();
        let bind = Arc::new(Bind::bare(Address::Inet(([127, 0, 0, 1], 0).into())));
        let open = Listener::open(&bind, setting(&tune, 10, false), 1).unwrap().pop().unwrap();
        assert!(!open.socket.is_listener().unwrap());
        open.begin(false).unwrap();
        let then = open.again(&bind, setting(&tune, 20, true)).unwrap();
        // Nothing has come of it yet.
        assert!(!open.is_continued() && !open.socket.keepalive().unwrap());
        then.begin(false).unwrap();
        assert!(open.is_continued() && then.socket.keepalive().unwrap());
        assert_eq!(open.local_addr(), then.local_addr());
        then.undo();
        assert!(!open.is_continued() && !open.socket.keepalive().unwrap());
        then.begin(false).unwrap();
        let last = then.again(&bind, setting(&tune, 20, false)).unwrap();
        last.begin(false).unwrap();
        assert!(!last.socket.keepalive().unwrap());
        // One that is paused stays so.
        last.pause().unwrap();
        let paused = last.again(&bind, setting(&tune, 30, false)).unwrap();
        paused.begin(true).unwrap();
        assert!(!paused.socket.is_listener().unwrap());
    }
}
