//! `show errors`: the last message each proxy refused for its form, byte by byte.

use crate::admin::answer::Answer;
use crate::admin::command::{Call, Command};
use crate::config::model::global::Level::Operator;
use crate::live::LiveProxy;
use crate::live::captures::Capture;
use crate::logging;
use std::sync::Arc;
use std::time::SystemTime;

#[rustfmt::skip]
pub const TABLE: &[Command] = &[
    Command::new("show errors", Operator, "show errors [<px>] [request|response]", "show the last request and response each proxy refused for its form", show),
];

/// A dump's line is at most this long, as HAProxy's.
const WIDTH: usize = 80;

fn show(call: &mut Call<'_>) -> Answer {
    let live = call.live();
    let wanted = match call.word(2) {
        "" => None,
        text => match text.parse::<i64>() {
            Ok(-1) => None,
            Ok(id) => Some(id),
            Err(_) => match live.proxies.iter().find(|p| &*p.conf.name == text) {
                Some(proxy) => Some(i64::from(proxy.conf.id)),
                None => return Answer::error("No such proxy."),
            },
        },
    };
    let (requests, responses) = match call.word(3) {
        "request" => (true, false),
        "response" => (false, true),
        _ => (true, true),
    };
    let mut out = b"Total events captured on [".to_vec();
    logging::date_ms(SystemTime::now(), &mut out);
    out.extend_from_slice(format!("] : {}\n", live.process.captured.get()).as_bytes());
    let bufsize = live.config.global.tune.bufsize;
    for proxy in &live.proxies {
        let captures = [
            (requests, "frontend", "request", proxy.captures.request()),
            (responses, "backend", "response", proxy.captures.response()),
        ];
        for (is_wanted, side, what, capture) in captures {
            let Some(capture) = capture.filter(|_| is_wanted) else { continue };
            let ids = [Some(proxy), capture.other.as_ref()].into_iter().flatten().map(|p| p.conf.id);
            if wanted.is_none_or(|w| ids.map(i64::from).any(|id| id == w)) {
                block(proxy, side, what, &capture, bufsize, &mut out);
            }
        }
    }
    Answer::text(out)
}

fn block(
    proxy: &Arc<LiveProxy>,
    side: &str,
    what: &str,
    capture: &Capture,
    bufsize: usize,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b" \n[");
    logging::date_ms(capture.at, out);
    let other_side = if what == "request" { "backend" } else { "frontend" };
    let (other, other_id) = match &capture.other {
        Some(p) => (&*p.conf.name, i64::from(p.conf.id)),
        None => ("<NONE>", -1),
    };
    let (server, server_id) = match &capture.server {
        Some(s) => (s.name(), i64::from(s.conf.id)),
        None => ("<NONE>", -1),
    };
    let src = capture.src.map_or_else(|| "unix:1".to_owned(), |a| format!("{}:{}", a.ip(), a.port()));
    let len = capture.bytes.len();
    let (state, number) = capture.state;
    let text = format!(
        "] {side} {} (#{}): invalid {what}\n  {other_side} {other} (#{other_id}), server {server} (#{server_id}), \
         event #{}, src {src}\n  buffer starts at 0 (including 0 out), {} free,\n  len {len}, wraps at {}, error at \
         position {}\n  H1 connection flags 0x00000000, H1 stream flags 0x00000000\n  H1 msg state {state}({number}), \
         H1 msg flags 0x00000000\n  H1 chunk len 0 bytes, H1 body len 0 bytes :\n  \n",
        proxy.conf.name,
        proxy.conf.id,
        capture.number,
        bufsize.saturating_sub(len),
        bufsize.saturating_sub(48),
        capture.position,
    );
    out.extend_from_slice(text.as_bytes());
    dump(&capture.bytes, out);
}

/// Each line of the message begins a line; long ones are continued after a `+`.
fn dump(bytes: &[u8], out: &mut Vec<u8>) {
    let (mut at, mut line) = (0, 0);
    while at < bytes.len() {
        let sign = if at == line { ' ' } else { '+' };
        let mut text = format!("  {at:05}{sign} ").into_bytes();
        while let Some(byte) = bytes.get(at) {
            let shown = escaped(*byte);
            if text.len() + shown.len() >= WIDTH {
                break;
            }
            text.extend_from_slice(shown.as_bytes());
            at += 1;
            if *byte == b'\n' {
                line = at;
                break;
            }
        }
        text.push(b'\n');
        out.extend_from_slice(&text);
    }
}

fn escaped(byte: u8) -> String {
    match byte {
        b'\t' => "\\t".to_owned(),
        b'\n' => "\\n".to_owned(),
        b'\r' => "\\r".to_owned(),
        0x1b => "\\e".to_owned(),
        b'\\' => "\\\\".to_owned(),
        b' '..=b'~' => char::from(byte).to_string(),
        other => format!("\\x{other:02X}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: &str) {
        let mut out = Vec::new();
        dump(bytes, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn dumps_are_haproxys() {
        check(b"GE\x00T /\xff\r\n\r\n", "  00000  GE\\x00T /\\xFF\\r\\n\n  00009  \\r\\n\n");
        let long = format!("long: {}\\\t\x1b\r\n", "0123456789".repeat(7));
        check(
            long.as_bytes(),
            "  00000  long: 0123456789012345678901234567890123456789012345678901234567890123\n  00070+ \
             456789\\\\\\t\\e\\r\\n\n",
        );
    }
}
