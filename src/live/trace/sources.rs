//! The sources of traces and their events. A new event goes to the end of its source's list, with a constant for its bit.

/// Who tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    H1,
    H2,
    Stream,
    Session,
    Check,
    Ssl,
}

impl Origin {
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A source as people see it.
#[derive(Debug)]
pub struct Source {
    pub origin: Origin,
    pub name: &'static str,
    pub doc: &'static str,
    /// Names and what they mean; the place in the list is the bit.
    pub events: &'static [(&'static str, &'static str)],
}

pub const COUNT: usize = ALL.len();

pub const ALL: &[Source] = &[
    Source {
        origin: Origin::H1,
        name: "h1",
        doc: "HTTP/1 connections, of clients and to servers",
        events: H1,
    },
    Source {
        origin: Origin::H2,
        name: "h2",
        doc: "HTTP/2 connections, of clients and to servers",
        events: H2,
    },
    Source {
        origin: Origin::Stream,
        name: "stream",
        doc: "Requests and TCP streams, from client to server",
        events: STREAM,
    },
    Source {
        origin: Origin::Session,
        name: "session",
        doc: "Connections that are accepted or refused",
        events: SESSION,
    },
    Source { origin: Origin::Check, name: "check", doc: "Health checks", events: CHECK },
    Source { origin: Origin::Ssl, name: "ssl", doc: "TLS handshakes of clients", events: SSL },
];

#[must_use]
pub fn named(name: &str) -> Option<&'static Source> {
    ALL.iter().find(|s| s.name == name)
}

/// A constant for each event of a list.
macro_rules! bits {
    ($($name:ident = $bit:literal),* $(,)?) => { $(pub const $name: u64 = 1 << $bit;)* };
}

const H1: &[(&str, &str)] = &[
    ("h1c_new", "a connection begins to speak HTTP/1"),
    ("h1c_end", "it is over"),
    ("h1c_err", "it said something that is no HTTP/1"),
    ("rx_headers", "a whole head was received"),
    ("tx_headers", "a head is sent"),
    ("h1s_new", "a request begins"),
    ("h1s_end", "request and response are over"),
];

pub mod h1 {
    bits! { CONNECTION = 0, CLOSED = 1, INVALID = 2, RECEIVED = 3, SENT = 4, BEGUN = 5, ENDED = 6 }
}

const H2: &[(&str, &str)] = &[
    ("h2c_new", "a connection begins to speak HTTP/2"),
    ("rx_hdr", "a whole head was received"),
    ("tx_hdr", "a head is sent"),
    ("h2s_new", "a stream begins"),
    ("h2s_end", "a stream is over"),
];

pub mod h2 {
    bits! { CONNECTION = 0, RECEIVED = 1, SENT = 2, BEGUN = 3, ENDED = 4 }
}

const STREAM: &[(&str, &str)] = &[
    ("strm_new", "a request or a TCP stream begins"),
    ("strm_free", "it is over"),
    ("strm_err", "it ended otherwise than by its course"),
    ("http_ana", "rules have run and a backend is chosen"),
    ("sc_state", "its server's connection changes: made, used again"),
    ("tcp_ana", "rules of mode tcp have run and a backend is chosen"),
];

pub mod stream {
    bits! { BEGUN = 0, ENDED = 1, FAILED = 2, ROUTED = 3, CONNECTED = 4, TCP_ROUTED = 5 }
}

const SESSION: &[(&str, &str)] = &[
    ("sess_new", "a connection is accepted and may go on"),
    ("sess_err", "a rule refuses it, or its first steps fail"),
];

pub mod session {
    bits! { ACCEPTED = 0, REFUSED = 1 }
}

const CHECK: &[(&str, &str)] = &[
    ("hchck_start", "a check begins"),
    ("hchck_end", "a check is over"),
    ("hchck_succ", "it passed"),
    ("hchck_err", "it failed"),
];

pub mod check {
    bits! { BEGUN = 0, ENDED = 1, PASSED = 2, FAILED = 3 }
}

const SSL: &[(&str, &str)] = &[("sslc_hsk", "a handshake is done"), ("sslc_hsk_err", "a handshake failed")];

pub mod ssl {
    bits! { SHAKEN = 0, FAILED = 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_places() {
        for (i, source) in ALL.iter().enumerate() {
            assert_eq!(source.origin as usize, i, "{}", source.name);
        }
        let last = |events: &[(&str, &str)]| 1_u64 << (events.len() - 1);
        assert_eq!((last(H1), last(H2)), (h1::ENDED, h2::ENDED));
        assert_eq!((last(STREAM), last(SESSION)), (stream::TCP_ROUTED, session::REFUSED));
        assert_eq!((last(CHECK), last(SSL)), (check::FAILED, ssl::FAILED));
    }
}
