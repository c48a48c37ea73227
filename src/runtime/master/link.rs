//! What master and worker say to each other, on a pair of sockets that keeps messages apart.
//!
//! ```text
//!   worker -> master   G  what sockets are there?        master -> worker   S  sockets, with descriptors
//!                      S  sockets I listen on                               E  that was all
//!                      M  reloads that a worker may outlive
//!                      R  ready, and what was said                          C  a client of the administration
//!                      F  failed, and what was said                         N  news: how reloads have gone (news.rs)
//!                      A  a client asks for a reload                        A  what came of it
//!                                                                           H  accept nobody for now
//!                                                                           U  accept again
//! ```

use super::news;
use crate::live::reload::Wish;
use crate::net::handoff::{self, AT_ONCE};
use crate::net::listener::SocketFile;
use crate::net::raw;
use socket2::{Domain, Socket, Type};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Names the descriptor of a worker's end, and the worker it is to replace.
pub const CHANNEL: &str = "WEIR_WORKER_CHANNEL";
pub const REPLACES: &str = "WEIR_WORKER_REPLACES";
/// Says that a worker may have to give way again to the one before it.
pub const TRIAL: &str = "WEIR_WORKER_ON_TRIAL";

pub const GIVE: u8 = b'G';
pub const SOCKETS: u8 = b'S';
pub const END: u8 = b'E';
pub const READY: u8 = b'R';
pub const FAILED: u8 = b'F';
pub const CLIENT: u8 = b'C';
pub const NEWS: u8 = b'N';
pub const ASK: u8 = b'A';
pub const HOLD: u8 = b'H';
pub const GO_ON: u8 = b'U';
pub const MOST: u8 = b'M';

/// The most of a text that is passed on.
const TEXT: usize = 60_000;

/// A message: its letter, its bytes, its descriptors.
#[derive(Debug)]
pub struct Message {
    pub what: u8,
    pub bytes: Vec<u8>,
    pub sockets: Vec<OwnedFd>,
}

/// A listening socket that is kept for the next worker.
#[derive(Debug)]
pub struct Kept {
    pub description: Vec<u8>,
    pub socket: OwnedFd,
}

impl Kept {
    /// The file of a unix socket.
    pub fn file(&self) -> Option<SocketFile> {
        let socket = Socket::from(self.socket.try_clone().ok()?);
        SocketFile::at(&handoff::path_of(&socket)?)
    }
}

pub fn pair() -> io::Result<(Socket, Socket)> {
    Socket::pair(Domain::UNIX, Type::from(libc::SOCK_SEQPACKET), None)
}

pub fn send(to: &impl AsFd, what: u8, bytes: &[u8], sockets: &[&OwnedFd]) -> io::Result<()> {
    let mut text = vec![what];
    text.extend_from_slice(bytes.get(..TEXT).unwrap_or(bytes));
    let sockets: Vec<_> = sockets.iter().map(|s| s.as_fd()).collect();
    handoff::give(to.as_fd(), &text, &sockets)
}

/// `None`: the other side is gone.
pub fn receive(from: &impl AsFd) -> io::Result<Option<Message>> {
    let (mut bytes, sockets) = handoff::receive(from.as_fd())?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let what = bytes.remove(0);
    Ok(Some(Message { what, bytes, sockets }))
}

/// All of them, in as many messages as it takes.
pub fn send_sockets(to: &impl AsFd, all: &[Kept]) -> io::Result<()> {
    for chunk in all.chunks(AT_ONCE) {
        let words: Vec<u8> = chunk.iter().flat_map(|k| k.description.clone()).collect();
        let sockets: Vec<_> = chunk.iter().map(|k| &k.socket).collect();
        send(to, SOCKETS, &words, &sockets)?;
    }
    Ok(())
}

/// One end in the reactor.
#[derive(Clone, Debug)]
pub struct Link(Rc<AsyncFd<Socket>>);

impl Link {
    pub fn new(socket: Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self(Rc::new(raw::watch(socket)?)))
    }

    pub async fn receive(&self) -> io::Result<Option<Message>> {
        self.0.async_io(Interest::READABLE, receive).await
    }

    /// Messages are few and small against the buffer of the socket: one that does not fit is an error.
    pub fn send(&self, what: u8, bytes: &[u8], sockets: &[&OwnedFd]) -> io::Result<()> {
        send(self.0.get_ref(), what, bytes, sockets)
    }

    pub fn send_sockets(&self, all: &[Kept]) -> io::Result<()> {
        send_sockets(self.0.get_ref(), all)?;
        self.send(END, &[], &[])
    }
}

/// A worker's end, before there is a reactor.
#[derive(Debug)]
pub struct Channel(Socket);

impl Channel {
    /// The one that the environment names.
    #[must_use]
    pub fn inherited() -> Option<Self> {
        let number = std::env::var(CHANNEL).ok()?.parse().ok()?;
        let socket = Socket::from(raw::duplicate(number).ok()?);
        // Another program of this name may have left the variable behind.
        (socket.r#type().ok()? == Type::from(libc::SOCK_SEQPACKET)).then_some(Self(socket))
    }

    /// The worker whose place this one is to take.
    #[must_use]
    pub fn predecessor() -> Option<i32> {
        std::env::var(REPLACES).ok()?.parse().ok()
    }

    /// This worker is on trial.
    #[must_use]
    pub fn is_on_trial() -> bool {
        std::env::var_os(TRIAL).is_some()
    }

    /// A client asks this worker for what is the master's to do.
    pub fn ask(&self, number: u64, wish: Wish) -> io::Result<()> {
        send(&self.0, ASK, news::question(number, wish).as_bytes(), &[])
    }

    /// The sockets that the master holds.
    pub fn take(&self) -> io::Result<Vec<handoff::Taken>> {
        send(&self.0, GIVE, &[], &[])?;
        let mut all = Vec::new();
        while let Some(message) = receive(&self.0)? {
            match message.what {
                SOCKETS => all.extend(handoff::described(&message.bytes, message.sockets)?),
                END => break,
                _ => {}
            }
        }
        Ok(all.into_iter().filter_map(handoff::listening).collect())
    }

    /// Serving begins: the master keeps a copy of each socket.
    /// `most`: reloads that a worker may outlive.
    pub fn ready(&self, listeners: &[Kept], said: &str, most: Option<u32>) -> io::Result<()> {
        send_sockets(&self.0, listeners)?;
        let most = most.map_or_else(String::new, |n| n.to_string());
        send(&self.0, MOST, most.as_bytes(), &[])?;
        send(&self.0, READY, said.as_bytes(), &[])
    }

    pub fn failed(&self, said: &str) {
        // Nobody to tell: the exit code tells.
        let _gone = send(&self.0, FAILED, said.as_bytes(), &[]);
    }

    pub fn link(self) -> io::Result<Link> {
        Link::new(self.0)
    }

    /// A second handle.
    pub fn again(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }
}

/// Lets a program that is started next inherit the socket, under this number.
pub fn bequeath(socket: &Socket) -> io::Result<i32> {
    rustix::io::fcntl_setfd(socket, rustix::io::FdFlags::empty())?;
    Ok(socket.as_raw_fd())
}
