//! `ring` sections.

use crate::config::address::{self, Port, Spec};
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::keyword::{Keyword, RING};
use crate::config::model::ring::{BUILT_IN, Framing, Ring, RingServer};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::config::suggest;
use crate::config::units::{self, Unit};

pub const TABLE: &[Keyword] = &[
    Keyword::new(
        "backing-file",
        RING,
        "<path>",
        "A file that holds the ring: not supported by weir.",
        |p, l| {
            p.unsupported(l, 0, "backing-file");
        },
    ),
    Keyword::new("description", RING, "<text>", "What 'show events' says of the ring.", |p, l| {
        if l.word(1).is_empty() {
            return p.alert(l, 1, "missing ring description text.");
        }
        if l.words.len() > 2 {
            p.warning(l, 2, "'description' takes one word: the rest is ignored unless it is quoted.");
        }
        p.ring.description = l.word(1).to_owned();
    }),
    Keyword::new(
        "format",
        RING,
        "<format>",
        "The form of log lines in the ring, as on 'log' lines (raw).",
        |p, l| match super::log::source_named(l.word(1)) {
            Some(format) => p.ring.format = format,
            None => p.alert(l, 1, format!("unknown format '{}'.", l.word(1))),
        },
    ),
    Keyword::new(
        "maxlen",
        RING,
        "<length>",
        "The longest event with its header (1024); longer ones are cut.",
        |p, l| {
            if let Some(length) = number(p, l) {
                p.ring.maxlen = length;
            }
        },
    ),
    Keyword::new(
        "server",
        RING,
        "<name> <address>:<port> [log-proto { legacy | octet-count }]",
        "A log server that gets every event over TCP; what it has not taken yet is not overwritten.",
        server,
    ),
    Keyword::new(
        "size",
        RING,
        "<size>",
        "Bytes kept (16384, which is also the least, whatever tune.bufsize says).",
        |p, l| {
            let Some(size) = number(p, l) else { return };
            if size < p.ring.size {
                let (name, now) = (&p.ring.name, p.ring.size);
                let message =
                    format!("new size '{size}' is smaller than current size '{now}' for ring '{name}'.");
                return p.alert(l, 1, message);
            }
            p.ring.size = size;
        },
    ),
    Keyword::new(
        "timeout connect",
        RING,
        "<time>",
        "How long a connection to a log server may take.",
        |p, l| {
            if let Some(timeout) = time(p, l) {
                p.ring.connect = Some(timeout);
            }
        },
    ),
    Keyword::new(
        "timeout server",
        RING,
        "<time>",
        "How long a log server may take nothing before the connection is made anew.",
        |p, l| {
            if let Some(timeout) = time(p, l) {
                p.ring.patience = Some(timeout);
            }
        },
    ),
];

fn number(parser: &mut Parser, line: &Line) -> Option<usize> {
    let size = units::size(line.word(1)).ok().and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
    if size.is_none() {
        parser.alert(line, 1, format!("invalid size '{}' for new sink buffer.", line.word(1)));
    }
    size
}

fn time(parser: &mut Parser, line: &Line) -> Option<std::time::Duration> {
    if line.words.len() < 3 {
        let message = format!("'timeout {}' expects <time> as argument.", line.word(1));
        parser.alert(line, line.words.len(), message);
        return None;
    }
    parser.duration(line, 2, Unit::Milliseconds).filter(|t| !t.is_zero())
}

fn server(parser: &mut Parser, line: &Line) {
    let (name, text) = (line.word(1).to_owned(), line.word(2).to_owned());
    if text.is_empty() {
        return parser.alert(
            line,
            line.words.len(),
            "'server' expects <name> and <addr>:<port> as arguments.",
        );
    }
    let address = match (address::parse(&text), address::socket(&text)) {
        (Ok(Spec::Inet { port: Port::One(_), .. }), Ok(address)) => address,
        (_, Ok(_)) => {
            let message = format!("'server {name}' : missing port specification in '{text}'");
            return parser.alert(line, 2, message);
        }
        (_, Err(message)) => return parser.alert(line, 2, format!("'server {name}' : {message}")),
    };
    let mut framing = Framing::default();
    let mut i = 3;
    while i < line.words.len() {
        match (line.word(i), line.word(i + 1)) {
            ("log-proto", "legacy") => framing = Framing::Legacy,
            ("log-proto", "octet-count") => framing = Framing::OctetCount,
            ("log-proto", other) => {
                let message = format!(
                    "'server {name}' : 'log-proto' expects one of 'legacy' or 'octet-count' but got '{other}'"
                );
                return parser.alert(line, i + 1, message);
            }
            (other, _) => {
                let what = format!("{other}' on a ring's 'server");
                return parser.unsupported(line, i, &what);
            }
        }
        i += 2;
    }
    parser.ring.servers.push(RingServer { name, address, framing });
}

/// A section's header.
pub fn begin(parser: &mut Parser, header: &Line, name: &str) {
    let taken = [BUILT_IN, "stdout", "stderr"].contains(&name);
    if taken || parser.rings.iter().any(|r| r.name == name) {
        parser.alert(header, 1, format!("sink named '{name}' already exists."));
    }
    parser.ring = Ring::new(name, parser.global.tune.bufsize);
}

/// The section is over.
pub fn end(parser: &mut Parser, header: &Line) {
    let next = Ring::new("", 0);
    let mut ring = std::mem::replace(&mut parser.ring, next);
    if ring.maxlen > ring.size {
        let message = format!(
            "ring '{}' event max length '{}' exceeds size, forced to size '{}'.",
            ring.name, ring.maxlen, ring.size
        );
        parser.warning(header, 0, message);
        ring.maxlen = ring.size;
    }
    parser.rings.push(ring);
}

/// The ring that `ring@<name>` means.
pub fn find(parser: &mut Parser, line: &Line, index: usize, name: &str) -> Option<Ring> {
    if name == BUILT_IN {
        return Some(Ring::built_in());
    }
    let found = parser.rings.iter().find(|r| r.name == name).cloned();
    if found.is_none() {
        let message = format!("log : uses unknown ring named '{name}'");
        let mut diagnostic = Diagnostic::at(Severity::Alert, line, index, message);
        diagnostic.hint = suggest::hint(name, parser.rings.iter().map(|r| r.name.as_str()));
        parser.report(diagnostic);
    }
    found
}
