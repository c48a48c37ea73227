//! Listening sockets from one process to another, in the protocol of HAProxy's `_getsocks`: either side may be HAProxy.
//!
//! The taker connects to the giver's administration socket and sends `_getsocks`. The giver answers with the number of
//! sockets (four bytes, in the machine's order), then with messages of as many descriptors as one can carry. The bytes of
//! a message tell of each descriptor its network namespace and its interface (a length and the name) and four bytes of
//! options, which takers find out by themselves. Between two messages the taker sends four bytes of anything.

use super::Listener;
use crate::config::model::{Address, Bind};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use socket2::{Domain, Socket, Type};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub const COMMAND: &str = "_getsocks";

/// Descriptors in one message: HAProxy's number, a little less than the kernel's limit.
pub const AT_ONCE: usize = 252;

/// How long the other process may take for each step.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest description: two names of 255 bytes, their lengths, and the options.
const LONGEST: usize = 2 * 256 + 4;

/// More sockets than this are no answer.
const MOST: usize = 1 << 20;

/// A socket of another process that listens, and what it listens on.
#[derive(Debug)]
pub struct Taken {
    pub socket: Socket,
    address: Address,
    interface: Option<String>,
}

impl Taken {
    /// Does it serve this line?
    #[must_use]
    pub fn is_for(&self, bind: &Bind) -> bool {
        self.is_at(bind) && self.interface == bind.interface && self.has_same_families(bind)
    }

    /// It may be bound to that address in another way.
    #[must_use]
    pub fn is_at(&self, bind: &Bind) -> bool {
        self.address == bind.address
    }

    /// A TCP socket that is this process's alone to leave: one that it was started with (`fd@`) is its owner's.
    #[must_use]
    pub fn can_be_left(&self) -> bool {
        let inode = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).map(|stat| stat.st_ino).ok();
        let Some(name) = inode(self.socket.as_fd()).map(|inode| format!("socket:[{inode}]")) else {
            return false;
        };
        let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        let same = open
            .filter_map(|entry| std::fs::read_link(entry.path()).ok())
            .filter(|to| to.as_os_str() == &*name);
        matches!(self.address, Address::Inet(_)) && same.count() == 1
    }

    /// The wildcard of IPv6 means IPv4 as well, or not.
    fn has_same_families(&self, bind: &Bind) -> bool {
        let Address::Inet(SocketAddr::V6(at)) = &self.address else { return true };
        let usual = || Socket::new(Domain::IPV6, Type::STREAM, None).and_then(|s| s.only_v6());
        let wanted = match (bind.v6only, bind.v4v6) {
            (false, false) => usual(),
            (only, _) => Ok(only),
        };
        !at.ip().is_unspecified() || self.socket.only_v6().ok() == wanted.ok()
    }
}

/// What no line goes on with is found by no client any more: the process before takes in who has begun to connect.
pub fn hide(rest: &[Taken]) {
    let inet = rest.iter().filter(|t| t.can_be_left());
    super::listener::hide(&inet.map(|t| &t.socket).collect::<Vec<_>>());
}

/// Asks the process that listens on `path` for its sockets.
///
/// # Errors
/// It does not answer, or has another protocol.
pub fn take(path: &Path) -> io::Result<Vec<Taken>> {
    take_by(&UnixStream::connect(path)?)
}

/// Asks whoever is at the other end.
///
/// # Errors
/// As [`take`].
pub fn take_by(mut stream: &UnixStream) -> io::Result<Vec<Taken>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{COMMAND}\n").as_bytes())?;
    let mut count = [0; 4];
    stream.read_exact(&mut count)?;
    let count = usize::try_from(i32::from_ne_bytes(count)).ok().filter(|n| *n <= MOST);
    let count = count.ok_or_else(|| invalid("it does not give its sockets away ('expose-fd listeners')"))?;
    let mut all = Vec::new();
    while all.len() < count {
        let before = all.len();
        message(stream, &mut all)?;
        if all.len() == before {
            return Err(invalid("fewer sockets than it announced"));
        }
        // After the last one nobody may be there to read it.
        let acknowledged = stream.write_all(&[0; 4]);
        if all.len() < count {
            acknowledged?;
        }
    }
    Ok(all.into_iter().filter_map(listening).collect())
}

/// What a message said: the socket, and the interface it is bound to.
pub type Described = (Socket, Option<String>);

fn message(stream: &UnixStream, all: &mut Vec<Described>) -> io::Result<()> {
    let (bytes, sockets) = receive(stream.as_fd())?;
    all.extend(described(&bytes, sockets)?);
    Ok(())
}

/// One message: its bytes and its descriptors.
///
/// # Errors
/// recvmsg(2).
pub fn receive(from: BorrowedFd<'_>) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut bytes = vec![0; AT_ONCE * LONGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(from, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    bytes.truncate(got.bytes);
    let descriptors = control.drain().filter_map(|m| match m {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    Ok((bytes, descriptors.flatten().collect()))
}

/// Each socket with what is said of it.
///
/// # Errors
/// A socket without its description.
pub fn split(bytes: &[u8], sockets: Vec<OwnedFd>) -> io::Result<Vec<(Vec<u8>, OwnedFd)>> {
    let mut rest = bytes;
    let mut all = Vec::new();
    for socket in sockets {
        let after = name(rest).and_then(|(_namespace, rest)| name(rest)).and_then(|(_, rest)| rest.get(4..));
        let after = after.ok_or_else(|| invalid("a socket without its description"))?;
        let own = rest.get(..rest.len() - after.len()).unwrap_or_default();
        all.push((own.to_vec(), socket));
        rest = after;
    }
    Ok(all)
}

/// Each socket with its interface.
///
/// # Errors
/// A socket without its description.
pub fn described(bytes: &[u8], sockets: Vec<OwnedFd>) -> io::Result<Vec<Described>> {
    let all = split(bytes, sockets)?.into_iter().map(|(description, socket)| {
        let interface = name(&description).and_then(|(_, rest)| name(rest)).map_or(&[][..], |(name, _)| name);
        let interface = (!interface.is_empty()).then(|| String::from_utf8_lossy(interface).into_owned());
        (Socket::from(socket), interface)
    });
    Ok(all.collect())
}

/// A length and as many bytes.
fn name(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Stream sockets that listen; others are of no use here and are closed.
#[must_use]
pub fn listening((socket, interface): Described) -> Option<Taken> {
    if socket.r#type().ok()? != Type::STREAM || !socket.is_listener().ok()? {
        return None;
    }
    socket.set_nonblocking(true).ok()?;
    let address = address_of(&socket)?;
    Some(Taken { socket, address, interface })
}

/// A copy of a socket of another process, if it listens. Of unix sockets those whose file is there, and stays: `keeps_files`.
#[must_use]
pub fn copied(socket: OwnedFd, keeps_files: bool) -> Option<Taken> {
    let socket = Socket::from(socket);
    let interface = socket.device().ok()?.map(|name| String::from_utf8_lossy(&name).into_owned());
    listening((socket, interface)).filter(|taken| match &taken.address {
        Address::Unix(path) => keeps_files && is_socket(path),
        _ => true,
    })
}

fn is_socket(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

fn address_of(socket: &Socket) -> Option<Address> {
    let local = socket.local_addr().ok()?;
    if let Some(inet) = local.as_socket() {
        return Some(Address::Inet(inet));
    }
    if let Some(name) = local.as_abstract_namespace() {
        let end = name.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
        return Some(Address::Abstract(name.get(..end)?.to_vec()));
    }
    local.as_pathname().map(|path| Address::Unix(final_path(path)))
}

/// The path of a unix socket.
#[must_use]
pub fn path_of(socket: &Socket) -> Option<PathBuf> {
    match address_of(socket)? {
        Address::Unix(path) => Some(path),
        _ => None,
    }
}

/// A unix socket is bound as `<path>.<pid>.tmp` and then renamed: its name in the kernel stays the first one.
fn final_path(path: &Path) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    let whole = || path.to_owned();
    let Some(stem) = bytes.strip_suffix(b".tmp") else { return whole() };
    let Some(dot) = stem.iter().rposition(|b| *b == b'.') else { return whole() };
    match stem.split_at_checked(dot) {
        Some((path, pid))
            if pid.len() > 1 && pid.get(1..).is_some_and(|p| p.iter().all(u8::is_ascii_digit)) =>
        {
            PathBuf::from(std::ffi::OsStr::from_bytes(path))
        }
        _ => whole(),
    }
}

/// What is said of a listener that is given away.
#[must_use]
pub fn describe(bind: &Bind) -> Vec<u8> {
    let interface = bind.interface.as_deref().unwrap_or_default().as_bytes();
    let interface = interface.get(..255).unwrap_or(interface);
    let mut out = vec![0, u8::try_from(interface.len()).unwrap_or(0)];
    out.extend_from_slice(interface);
    out.extend_from_slice(&[0; 4]);
    out
}

/// The listeners without those that are a second descriptor of a socket.
#[must_use]
pub fn distinct(listeners: Vec<std::sync::Arc<Listener>>) -> Vec<std::sync::Arc<Listener>> {
    let mut seen = std::collections::HashSet::new();
    let is_new = |l: &std::sync::Arc<Listener>| {
        rustix::fs::fstat(l.as_fd()).is_ok_and(|stat| seen.insert(stat.st_ino))
    };
    listeners.into_iter().filter(is_new).collect()
}

/// Sends one message; `WouldBlock` when the taker is behind.
///
/// # Errors
/// sendmsg(2).
pub fn give(to: BorrowedFd<'_>, descriptions: &[u8], sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !sockets.is_empty() && !control.push(SendAncillaryMessage::ScmRights(sockets)) {
        return Err(invalid("too many descriptors for one message"));
    }
    sendmsg(to, &[IoSlice::new(descriptions)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let check = |bound: &str, expected: &str| {
            assert_eq!(final_path(Path::new(bound)), PathBuf::from(expected), "{bound}");
        };
        check("/run/a.sock.1234.tmp", "/run/a.sock");
        check("/run/a.sock", "/run/a.sock");
        check("/run/a.sock.x1.tmp", "/run/a.sock.x1.tmp");
        check("/run/a..tmp", "/run/a..tmp");
        check("7.tmp", "7.tmp");
    }

    #[test]
    fn names() {
        assert_eq!(name(b"\x02lo\0"), Some((&b"lo"[..], &b"\0"[..])));
        assert_eq!(name(b"\x05lo"), None);
        assert_eq!(name(b""), None);
    }
}
