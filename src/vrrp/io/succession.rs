//! A new process in the place of an old one (`-sf`, `-st`). The old one leaves it the routers that both have, and the network notices
//! nothing; others are handed over, and the new process waits for that before it begins.
//!
//! The old one listens at an abstract unix socket with its pid in the name. The new one connects before it has the old one told to end,
//! and says which routers it has, and what each is to hold. The answer is which of them were left to it; the connection ends when the
//! old one has cleared away everything else.

use crate::config::model::vrrp::{VirtualAddress, Vrrp, VrrpConfig};
use crate::net::raw;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{ErrorKind, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// More than one at a time is a mistake of somebody's.
const REMEMBERED: usize = 4;
/// An old process that takes longer is not waited for: it hangs.
const CLEARS: Duration = Duration::from_secs(6);

/// A router, or something that it holds.
pub type Key = u64;

/// The same for routers that are the same to the others, and to the kernel.
pub fn key(router: &Vrrp) -> Key {
    hash(&(router.is_v6(), &router.interface, &router.vmac, router.vrid))
}

/// Of a rule or a route: it is what its text says.
pub fn text_key(text: &str) -> Key {
    hash(&text)
}

pub fn address_key(held: &VirtualAddress) -> Key {
    hash(&(held.address, held.prefix, &held.device, &held.label, held.scope))
}

fn hash(what: &impl Hash) -> Key {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// A router's key, and those of what it holds.
fn line(router: &Vrrp) -> String {
    let rules = router.rules.iter().map(|rule| text_key(&rule.text));
    let routes = router.routes.iter().map(|route| text_key(&route.text));
    let held = router.addresses.iter().map(address_key).chain(routes).chain(rules);
    let all: Vec<String> = [key(router)].into_iter().chain(held).map(|key| format!("{key:016x}")).collect();
    all.join(" ") + "\n"
}

fn address(pid: u32) -> std::io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("weir-vrrp-{pid}"))
}

/// An old process that has been asked.
pub struct Predecessor {
    pid: i32,
    stream: UnixStream,
}

/// Asks the old processes; those that are gone, or have no routers, do not answer.
pub fn ask(config: &VrrpConfig, old: &[i32]) -> Vec<Predecessor> {
    let lines: String = config.routers.iter().map(line).collect();
    let ask = |pid: i32| {
        let mut stream = UnixStream::connect_addr(&address(u32::try_from(pid).ok()?).ok()?).ok()?;
        stream.set_nonblocking(true).ok()?;
        stream.write_all(format!("{lines}\n").as_bytes()).ok()?;
        Some(Predecessor { pid, stream })
    };
    old.iter().filter_map(|pid| ask(*pid)).collect()
}

/// Waits until they have cleared away what they do not leave. Answers the routers that were left, with whose they were.
pub async fn inherit(old: Vec<Predecessor>) -> Vec<(Key, i32)> {
    let mut left = Vec::new();
    for Predecessor { pid, stream } in old {
        let Ok(mut stream) = tokio::net::UnixStream::from_std(stream) else { continue };
        // Anybody may listen at a name that is free.
        if stream.peer_cred().ok().and_then(|cred| cred.pid()) != Some(pid) {
            continue;
        }
        let mut text = String::new();
        let _late = timeout(CLEARS, stream.read_to_string(&mut text)).await;
        left.extend(keys(&text).map(|key| (key, pid)));
    }
    left
}

fn keys(text: &str) -> impl Iterator<Item = Key> + '_ {
    text.lines().filter_map(|line| Key::from_str_radix(line, 16).ok())
}

/// Where successors come to.
pub struct Heirs {
    /// None: somebody else has the name, and they are not heard.
    listener: Option<AsyncFd<UnixListener>>,
    /// Those that have come. One that failed to start has left its connection behind.
    come: Vec<UnixStream>,
}

impl Heirs {
    pub fn listen() -> Self {
        let listener = address(std::process::id()).and_then(|a| UnixListener::bind_addr(&a));
        let listener = listener.and_then(|l| l.set_nonblocking(true).map(|()| l));
        Self { listener: listener.and_then(raw::watch).ok(), come: Vec::new() }
    }

    /// Sees to those that come.
    pub async fn attend(&mut self) {
        let Some(listener) = &self.listener else { return std::future::pending().await };
        let Ok(mut ready) = listener.readable().await else { return std::future::pending().await };
        ready.clear_ready();
        self.admit();
    }

    fn admit(&mut self) {
        while let Some(Ok((stream, _))) = self.listener.as_ref().map(|l| l.get_ref().accept()) {
            if self.come.len() == REMEMBERED {
                self.come.remove(0);
            }
            self.come.push(stream);
        }
    }

    /// The last one that is still there.
    pub fn take(&mut self) -> Option<Heir> {
        self.admit();
        self.come.drain(..).rev().find_map(Heir::hear)
    }
}

/// A new process that is about to begin.
pub struct Heir {
    stream: tokio::net::UnixStream,
    /// What each router is to hold.
    wants: HashMap<Key, HashSet<Key>>,
}

impl Heir {
    /// What it says was there before the signal came that makes us ask.
    fn hear(mut stream: UnixStream) -> Option<Self> {
        stream.set_nonblocking(true).ok()?;
        let (mut said, mut chunk) = (Vec::new(), [0; 4096]);
        loop {
            match stream.read(&mut chunk) {
                // Gone.
                Ok(0) => return None,
                Ok(n) => said.extend_from_slice(chunk.get(..n)?),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return None,
            }
        }
        let stream = tokio::net::UnixStream::from_std(stream).ok()?;
        let uid = stream.peer_cred().ok()?.uid();
        let is_trusted = uid == 0 || uid == raw::effective_uid();
        let text = String::from_utf8(said).ok().filter(|text| is_trusted && text.ends_with("\n\n"))?;
        let wants = text.lines().filter_map(|line| {
            let mut keys = line.split(' ').filter_map(|key| Key::from_str_radix(key, 16).ok());
            Some((keys.next()?, keys.collect()))
        });
        Some(Self { wants: wants.collect(), stream })
    }

    /// What it is to hold for a router, if it has that.
    pub fn wants(&self, router: Key) -> Option<&HashSet<Key>> {
        self.wants.get(&router)
    }

    /// Says what is left to it. It takes over once this is dropped.
    pub async fn leave(&mut self, left: &[Key]) {
        let lines: String = left.iter().map(|key| format!("{key:016x}\n")).collect();
        // It may have died meanwhile.
        let _ = self.stream.write_all(lines.as_bytes()).await;
    }
}
