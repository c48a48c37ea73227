//! The expected lines were logged by HAProxy 2.6 for the same events.

use super::*;
use crate::config::model::{Proxy, VarScope};
use crate::expr::Value;
use crate::expr::facts::{ConnFacts, LiveFacts, ProcessFacts};
use std::time::Duration;

struct Event {
    conn: ConnFacts,
    front: Proxy,
    back: Option<Proxy>,
    record: LogRecord,
}

impl Facts for Event {
    fn conn(&self) -> &ConnFacts {
        &self.conn
    }
    fn live(&self) -> &dyn LiveFacts {
        unreachable!("a log line asks nothing of the live state")
    }
    fn frontend(&self) -> Option<&Proxy> {
        Some(&self.front)
    }
    fn backend(&self) -> Option<&Proxy> {
        self.back.as_ref()
    }
    fn server_name(&self) -> Option<&str> {
        self.record.server_name.as_deref()
    }
    fn log(&self) -> &LogRecord {
        &self.record
    }
    fn date(&self) -> SystemTime {
        UNIX_EPOCH
    }
    fn random(&mut self) -> u32 {
        0
    }
    fn var(&self, _scope: VarScope, _name: &str) -> Option<Value> {
        None
    }
    fn set_var(&mut self, _scope: VarScope, _name: &str, _value: Value) {}
    fn unset_var(&mut self, _scope: VarScope, _name: &str) {}
    fn process(&self) -> ProcessFacts<'_> {
        ProcessFacts { pid: 1, hostname: "h", nbthread: 1, thread: 0 }
    }
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

fn proxy(name: &str, mode: Mode) -> Proxy {
    Proxy { name: name.into(), mode, ..Proxy::default() }
}

fn event(src: &str, front: &str, mode: Mode) -> Event {
    let date = UNIX_EPOCH + Duration::from_millis(1_795_236_189_643);
    Event {
        conn: ConnFacts {
            src: src.parse().ok(),
            dst: src.parse().ok().map(|_: SocketAddr| "127.0.0.1:21621".parse().unwrap()),
            listener_id: 2,
            ..ConnFacts::of_nobody(date)
        },
        front: proxy(front, mode),
        back: Some(proxy("b", mode)),
        record: LogRecord {
            status: 200,
            bytes_to_client: 117,
            termination: *b"----",
            process_conns: 2,
            frontend_conns: 1,
            server_name: Some("s1".into()),
            ..LogRecord::default()
        },
    }
}

/// A client that never sent a request.
fn bad(src: &str, front: &str) -> Event {
    let mut event = event(src, front, Mode::Http);
    event.back = None;
    event.record = LogRecord {
        request: -1,
        queue: -1,
        connect: -1,
        response: -1,
        status: 400,
        termination: *b"PR--",
        process_conns: 1,
        frontend_conns: 1,
        ..LogRecord::default()
    };
    event
}

fn captured(mut event: Event) -> Event {
    event.record.request_captures =
        vec![Some(b"0123456789".to_vec()), Some(b"a\"b|c{d}e#f\\g]h[x'\x7f\xe9".to_vec())];
    event.record.response_captures = vec![None];
    event.record.request_cookie = Some(b"SID=q|r#t".to_vec());
    event.record.request_line = b"GET /a\"b HTTP/1.1".to_vec();
    event
}

fn check(line: fn(&mut dyn Facts, &mut Vec<u8>), mut event: Event, expected: &str) {
    let mut out = Vec::new();
    line(&mut event, &mut out);
    assert_eq!(String::from_utf8_lossy(&out), expected);
}

#[test]
fn http_lines() {
    let mut plain = event("127.0.0.1:33244", "h", Mode::Http);
    plain.record.request_line = b"GET /p HTTP/1.1".to_vec();
    check(
        http,
        plain,
        "127.0.0.1:33244 [21/Nov/2026:04:43:09.643] h b/s1 0/0/0/0/0 200 117 - - ---- 2/1/0/0/0 0/0 \"GET /p HTTP/1.1\"",
    );
    check(
        http,
        captured(event("127.0.0.1:33244", "h", Mode::Http)),
        "127.0.0.1:33244 [21/Nov/2026:04:43:09.643] h b/s1 0/0/0/0/0 200 117 SID=q|r#t - ---- 2/1/0/0/0 0/0 \
         {0123456789|a#22b#7Cc#7Bd#7De#23f\\g]h[x'#7F#E9} {} \"GET /a#22b HTTP/1.1\"",
    );
    check(
        http,
        bad("", "h"),
        "unix:2 [21/Nov/2026:04:43:09.643] h h/<NOSRV> -1/-1/-1/-1/0 400 0 - - PR-- 1/1/0/0/0 0/0 \"<BADREQ>\"",
    );
    let mut early = bad("[::1]:50898", "asap");
    early.record.early = true;
    early.record.redispatched = true;
    early.record.retries = 3;
    check(
        http,
        early,
        "::1:50898 [21/Nov/2026:04:43:09.643] asap asap/<NOSRV> -1/-1/-1/-1/+0 400 +0 - - PR-- 1/1/0/0/+3 0/0 \"<BADREQ>\"",
    );
}

#[test]
fn tcp_lines() {
    let mut ended = event("127.0.0.1:40330", "t", Mode::Tcp);
    ended.record.queue = 1;
    ended.record.total = 502;
    ended.record.termination = *b"cD--";
    check(tcp, ended, "127.0.0.1:40330 [21/Nov/2026:04:43:09.643] t b/s1 1/0/502 117 cD 2/1/0/0/0 0/0");
    let mut early = event("127.0.0.1:38776", "tasap", Mode::Tcp);
    early.record.early = true;
    early.record.bytes_to_client = 0;
    check(tcp, early, "127.0.0.1:38776 [21/Nov/2026:04:43:09.643] tasap b/s1 0/0/+0 +0 -- 2/1/0/0/0 0/0");
}

#[test]
fn clf_lines() {
    check(
        clf,
        captured(event("127.0.0.1:49894", "clf", Mode::Http)),
        "127.0.0.1 - - [21/Nov/2026:04:43:09 +0000] \"GET /a#22b HTTP/1.1\" 200 117 \"\" \"\" 49894 643 \"clf\" \"b\" \"s1\" \
         0 0 0 0 0 ---- 2 1 0 0 0 0 0 \"SID=q|r#t\" \"\" \"0123456789\" \"a#22b#7Cc#7Bd#7De#23f\\g]h[x'#7F#E9\" \"\"",
    );
    check(
        clf,
        bad("127.0.0.1:34460", "clf"),
        "127.0.0.1 - - [21/Nov/2026:04:43:09 +0000] \"<BADREQ>\" 400 0 \"\" \"\" 34460 643 \"clf\" \"clf\" \"<NOSRV>\" \
         -1 -1 -1 -1 0 PR-- 1 1 0 0 0 0 0 \"\" \"\" ",
    );
}

#[test]
fn connect_lines() {
    check(
        connect,
        event("127.0.0.1:37130", "c", Mode::Http),
        "Connect from 127.0.0.1:37130 to 127.0.0.1:21621 (c/HTTP)",
    );
    check(
        connect,
        event("[::ffff:127.0.0.1]:42408", "c", Mode::Tcp),
        "Connect from ::ffff:127.0.0.1:42408 to 127.0.0.1:21621 (c/TCP)",
    );
    check(connect, event("", "c", Mode::Tcp), "Connect to unix:2 (c/TCP)");
}

#[test]
fn integers() {
    for value in [0, 7, 10, -1, 1234567890, i64::MAX, i64::MIN] {
        let mut out = Vec::new();
        int(value, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), value.to_string());
    }
}
