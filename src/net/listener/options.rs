//! What a listening socket is set to beside its address. A reload sets it on the socket that is there: another one in its
//! place would take with it who waits in the first.
//!
//! What an accepted socket inherits (TCP_NODELAY, keepalive, buffer sizes, segment size, user timeout) is set here once,
//! which saves the system calls on every connection.

use super::Setting;
use crate::config::model::{Bind, KeepAliveProbes};
use crate::net::raw;
use socket2::{Domain, Socket, TcpKeepalive, Type};
use std::io;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    keepalive: Option<KeepAliveProbes>,
    /// The acknowledgment of a client's first bytes goes out with the answer.
    answers_at_once: bool,
    defer_accept: bool,
    /// How many handshakes may be pending with data.
    fastopen: Option<i32>,
    mss: Option<u32>,
    user_timeout: Option<Duration>,
    transparent: bool,
    /// `tune.rcvbuf.client` and `tune.sndbuf.client`; 0: the system's.
    buffers: [usize; 2],
}

/// A step that failed, in HAProxy's words.
pub type Failed = (&'static str, io::Error);

/// How long TCP_DEFER_ACCEPT waits for the first byte, in seconds.
/// As with HAProxy: a client that says nothing is let in after it.
const DEFERRED: i32 = 1;

/// Of net.ipv4.tcp_fastopen: the server's side, and listeners that do not ask for it.
const FASTOPEN_FOR_ALL: u32 = 0x402;

impl Options {
    /// Of a socket just made.
    const NONE: Self = Self {
        keepalive: None,
        answers_at_once: false,
        defer_accept: false,
        fastopen: None,
        mss: None,
        user_timeout: None,
        transparent: false,
        buffers: [0, 0],
    };

    #[must_use]
    pub fn of(bind: &Bind, setting: Setting<'_>) -> Self {
        Self {
            keepalive: setting.keepalive,
            answers_at_once: setting.answers_at_once,
            defer_accept: bind.defer_accept,
            fastopen: bind.tfo.then(|| super::backlog(bind, setting)),
            // A negative value means "that much less than the path's", which only the connection knows.
            mss: bind.mss.and_then(|mss| u32::try_from(mss).ok()),
            user_timeout: bind.tcp_user_timeout,
            transparent: bind.transparent,
            buffers: [setting.tune.rcvbuf_client, setting.tune.sndbuf_client],
        }
    }

    /// On a socket just made.
    ///
    /// # Errors
    /// The first step that failed.
    pub fn set(&self, socket: &Socket) -> Result<(), Failed> {
        let _ = socket.set_tcp_nodelay(true);
        self.replace(socket, Some(&Self::NONE), 0)
    }

    /// On a socket that another process made.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn set_over(&self, socket: &Socket, backlog: i32) -> Result<(), Failed> {
        let _ = socket.set_tcp_nodelay(true);
        self.replace(socket, None, backlog)
    }

    /// On a socket that was set to `before`, if that is known. What is not wanted any more is set to what the system has.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn replace(&self, socket: &Socket, before: Option<&Self>, backlog: i32) -> Result<(), Failed> {
        if before.is_none_or(|b| b.keepalive != self.keepalive) {
            let probes = self.keepalive.unwrap_or_default();
            if before.is_none_or(|b| b.keepalive.unwrap_or_default() != probes) {
                set_probes(socket, probes);
            }
            let _ = socket.set_keepalive(self.keepalive.is_some());
        }
        if before.is_none_or(|b| b.answers_at_once != self.answers_at_once) {
            let _ = socket.set_tcp_quickack(!self.answers_at_once);
        }
        if before.is_none_or(|b| b.mss != self.mss) {
            let _ = socket.set_tcp_mss(self.mss.unwrap_or(0));
        }
        if before.is_none_or(|b| b.user_timeout != self.user_timeout) {
            let _ = socket.set_tcp_user_timeout(self.user_timeout);
        }
        set_buffers(socket, self.buffers, before.map(|b| b.buffers));
        if before.is_none_or(|b| b.defer_accept != self.defer_accept) {
            let seconds = if self.defer_accept { DEFERRED } else { 0 };
            raw::set_defer_accept(socket, seconds).map_err(|e| ("cannot enable DEFER_ACCEPT", e))?;
        }
        if before.is_none_or(|b| b.fastopen != self.fastopen) {
            let queue = self.fastopen.unwrap_or_else(|| unasked_fastopen(backlog));
            raw::set_fastopen(socket, queue).map_err(|e| ("cannot enable TCP_FASTOPEN", e))?;
        }
        if before.is_none_or(|b| b.transparent != self.transparent) {
            set_transparent(socket, self.transparent)
                .map_err(|e| ("cannot make listening socket transparent", e))?;
        }
        Ok(())
    }
}

fn set_probes(socket: &Socket, probes: KeepAliveProbes) {
    // The system's figures are those of a socket just made.
    let Ok(plain) = Socket::new(Domain::IPV4, Type::STREAM, None) else { return };
    let mut all = TcpKeepalive::new();
    if let Some(idle) = probes.idle.or_else(|| plain.tcp_keepalive_time().ok()) {
        all = all.with_time(idle);
    }
    if let Some(interval) = probes.interval.or_else(|| plain.tcp_keepalive_interval().ok()) {
        all = all.with_interval(interval);
    }
    if let Some(count) = probes.count.or_else(|| plain.tcp_keepalive_retries().ok()) {
        all = all.with_retries(count);
    }
    let _ = socket.set_tcp_keepalive(&all);
}

/// Sizes that are not wanted any more become the system's again, which grow and shrink by themselves (before Linux 5.14
/// they stay what they are at first).
fn set_buffers(socket: &Socket, wanted: [usize; 2], before: Option<[usize; 2]>) {
    if before == Some(wanted) {
        return;
    }
    let sizes = |socket: &Socket| {
        let size = [socket.recv_buffer_size(), socket.send_buffer_size()];
        size.map(|size| size.unwrap_or(0))
    };
    let Ok(plain) = Socket::new(Domain::IPV4, Type::STREAM, None) else { return };
    let sets = [Socket::set_recv_buffer_size, Socket::set_send_buffer_size];
    for (((set, usual), now), wanted) in sets.iter().zip(sizes(&plain)).zip(sizes(socket)).zip(wanted) {
        // The kernel doubles what it is given.
        if wanted > 0 || now != usual {
            let _ = set(socket, if wanted > 0 { wanted } else { usual / 2 });
        }
    }
    let [receive, send] = wanted.map(|size| size > 0);
    let _ = raw::fix_buffers(socket, receive, send);
}

/// The queue that the kernel gives a listener that has not asked for one.
fn unasked_fastopen(backlog: i32) -> i32 {
    let asked = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_fastopen");
    let flags: u32 = asked.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    if flags & FASTOPEN_FOR_ALL == FASTOPEN_FOR_ALL { backlog } else { 0 }
}

fn set_transparent(socket: &Socket, wanted: bool) -> io::Result<()> {
    let v4 = socket.domain()? == Domain::IPV4;
    let free = if v4 { Socket::set_freebind_v4 } else { Socket::set_freebind_v6 };
    let transparent = if v4 { Socket::set_ip_transparent_v4 } else { Socket::set_ip_transparent_v6 };
    let set = transparent(socket, wanted);
    // Which of both it was nobody knows any more.
    if wanted { set.or_else(|_| free(socket, true)) } else { set.and_then(|()| free(socket, false)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn seen(socket: &Socket) -> String {
        format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            socket.keepalive(),
            socket.tcp_keepalive_time(),
            socket.tcp_keepalive_interval(),
            socket.tcp_keepalive_retries(),
            socket.tcp_mss(),
            socket.tcp_user_timeout(),
            socket.ip_transparent_v4().and_then(|set| Ok(set || socket.freebind_v4()?)),
            socket.recv_buffer_size(),
            socket.send_buffer_size(),
        )
    }

    fn listening() -> Socket {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(10).unwrap();
        socket
    }

    #[test]
    fn what_is_set_is_what_was_before_when_nobody_wants_it() {
        let probes = KeepAliveProbes {
            idle: Some(Duration::from_secs(7)),
            interval: Some(Duration::from_secs(3)),
            count: Some(2),
        };
        let socket = listening();
        let usual = seen(&socket);
        let check = |change: fn(&mut Options, KeepAliveProbes), expected: &str| {
            let mut options = Options::NONE;
            change(&mut options, probes);
            options.replace(&socket, Some(&Options::NONE), 10).unwrap();
            assert!(seen(&socket).contains(expected), "{}", seen(&socket));
            Options::NONE.replace(&socket, Some(&options), 10).unwrap();
            assert_eq!(seen(&socket), usual);
            // Of whom nobody knows what he has set.
            options.replace(&socket, None, 10).unwrap();
            Options::NONE.replace(&socket, None, 10).unwrap();
            assert_eq!(seen(&socket), usual);
        };
        check(|o, p| o.keepalive = Some(p), "Ok(true) Ok(7s) Ok(3s) Ok(2)");
        check(|o, _| o.keepalive = Some(KeepAliveProbes::default()), "Ok(true)");
        check(|o, _| o.mss = Some(1200), "Ok(1200)");
        check(|o, _| o.user_timeout = Some(Duration::from_secs(9)), "Ok(Some(9s))");
        check(|o, _| o.transparent = true, "Ok(true)");
        check(|o, _| o.buffers = [50_000, 60_000], "Ok(100000) Ok(120000)");
        check(|o, _| o.defer_accept = true, "");
        check(|o, _| o.fastopen = Some(10), "");
    }
}
