//! `timeout` lines and their three old spellings.

use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::keyword::{ANY_PROXY, BACK, FRONT, Keyword};
use crate::config::model::Timeouts;
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::config::suggest;
use crate::config::units::{self, Unit, UnitError};
use std::time::Duration;

const ARGS: &str = "<timeout>";

macro_rules! timeout {
    ($name:literal, $sections:expr, $field:ident, $doc:literal) => {
        Keyword::new($name, $sections, ARGS, $doc, |p, l| set(p, l, 2, |t| &mut t.$field))
    };
}

pub const TABLE: &[Keyword] = &[
    timeout!("timeout check", BACK, check, "How long a health check may take after its connection."),
    timeout!("timeout client", FRONT, client, "Longest inactivity on the client side."),
    timeout!(
        "timeout client-fin",
        FRONT,
        client_fin,
        "Longest inactivity on a half-closed client connection."
    ),
    timeout!("timeout client-hs", FRONT, client_hs, "How long a client's handshake may take."),
    timeout!("timeout connect", BACK, connect, "How long a connection to a server may take."),
    timeout!(
        "timeout http-keep-alive",
        ANY_PROXY,
        http_keep_alive,
        "How long to wait for the next request on a kept connection; without it, 'timeout http-request' counts."
    ),
    timeout!(
        "timeout http-request",
        ANY_PROXY,
        http_request,
        "How long a client may take to send its request's head."
    ),
    timeout!(
        "timeout queue",
        BACK,
        queue,
        "How long a request may wait for a server; else 'timeout connect' counts."
    ),
    timeout!("timeout server", BACK, server, "Longest inactivity on the server side."),
    timeout!(
        "timeout server-fin",
        BACK,
        server_fin,
        "Longest inactivity on a half-closed server connection."
    ),
    timeout!(
        "timeout tarpit",
        ANY_PROXY,
        tarpit,
        "How long a tarpitted client waits; else 'timeout connect' counts."
    ),
    timeout!("timeout tunnel", BACK, tunnel, "Longest inactivity in both directions once a tunnel is open."),
    Keyword::new("timeout", ANY_PROXY, "<name> <timeout>", "See the timeouts by name.", unknown),
    Keyword::new("clitimeout", FRONT, ARGS, "Old name of 'timeout client'.", |p, l| {
        old(p, l, "timeout client")
    }),
    Keyword::new("contimeout", BACK, ARGS, "Old name of 'timeout connect'.", |p, l| {
        old(p, l, "timeout connect")
    }),
    Keyword::new("srvtimeout", BACK, ARGS, "Old name of 'timeout server'.", |p, l| {
        old(p, l, "timeout server")
    }),
];

fn set(parser: &mut Parser, line: &Line, index: usize, field: fn(&mut Timeouts) -> &mut Option<Duration>) {
    let name = if index == 2 { format!("timeout {}", line.word(1)) } else { line.word(0).to_owned() };
    let text = line.word(index);
    let duration = match units::duration(text, Unit::Milliseconds) {
        Ok(duration) => duration,
        Err(UnitError::Empty) => {
            parser.alert(line, index, format!("'{name}' expects an integer value (in milliseconds)"));
            return;
        }
        Err(error) => {
            let diagnostic = Diagnostic::at(Severity::Alert, line, index, error.message(text, &name));
            parser.report(Diagnostic { hint: error.hint(), ..diagnostic });
            return;
        }
    };
    if line.words.len() > index + 1 {
        let extra = line.word(index + 1);
        let message = format!("'{name}' : unexpected extra argument '{extra}' after value '{text}'.");
        parser.alert(line, index + 1, message);
        return;
    }
    if let Some(draft) = parser.draft() {
        // Zero is HAProxy's way to say "never".
        *field(&mut draft.proxy.timeouts) = (!duration.is_zero()).then_some(duration);
    }
}

fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().filter_map(|k| k.name.strip_prefix("timeout "))
}

fn unknown(parser: &mut Parser, line: &Line) {
    let got = line.word(1);
    // `timeout clitimeout` was a spelling of its own.
    if let Some(modern) = match got {
        "clitimeout" => Some("timeout client"),
        "contimeout" => Some("timeout connect"),
        "srvtimeout" => Some("timeout server"),
        _ => None,
    } {
        let shifted = Line { words: line.words.iter().skip(1).cloned().collect(), ..line.clone() };
        old(parser, &shifted, modern);
        return;
    }
    let list = names().map(|n| format!("'{n}'")).collect::<Vec<_>>().join(", ");
    let message = format!("'timeout' supports {list} (got '{got}')");
    let mut diagnostic = Diagnostic::at(Severity::Alert, line, 1, message);
    diagnostic.hint = suggest::hint(got, names());
    parser.report(diagnostic);
}

/// HAProxy dropped these in 2.1; their meaning never changed, so they are read with a warning.
fn old(parser: &mut Parser, line: &Line, modern: &'static str) {
    let message = format!(
        "the '{}' directive is not supported anymore since HAProxy 2.1. Use '{modern}'.",
        line.word(0)
    );
    let hint = format!("write '{modern} {}'", line.word(1));
    parser.report(Diagnostic::at(Severity::Warning, line, 0, message).hint(hint));
    match modern {
        "timeout client" => set(parser, line, 1, |t| &mut t.client),
        "timeout connect" => set(parser, line, 1, |t| &mut t.connect),
        _ => set(parser, line, 1, |t| &mut t.server),
    }
}
