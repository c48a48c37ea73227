//! Every expected value is what haproxy 2.6 did with the same lines.

use super::*;
use crate::config::model::Server;
use crate::live::LiveBackend;
use std::sync::Arc;
use std::time::{Duration, Instant};

const NOW: u64 = 1_795_238_236;

fn cookie(mode: CookieMode) -> Cookie {
    Cookie {
        name: "S".into(),
        mode,
        indirect: false,
        nocache: false,
        postonly: false,
        preserve: false,
        httponly: false,
        secure: false,
        domains: Vec::new(),
        maxidle: None,
        maxlife: None,
        dynamic: false,
        attrs: Vec::new(),
    }
}

fn indirect() -> Cookie {
    Cookie { indirect: true, ..cookie(CookieMode::Insert) }
}

/// s1 (A), s2 (B), s3 (C3, down), s4 without a value.
fn backend(cookie: Cookie) -> (Arc<Backend>, LiveBackend) {
    let server =
        |value: Option<&str>| Arc::new(Server { cookie: value.map(str::to_owned), ..Server::default() });
    let servers = vec![server(Some("A")), server(Some("B")), server(Some("C3")), server(None)];
    let backend = Backend { servers, cookie: Some(cookie), ..Backend::default() };
    let live = LiveBackend::new(Arc::default(), &backend, 1, 1, Instant::now(), None);
    (Arc::new(backend), live)
}

struct Case<'a> {
    /// `cookie` fields, one a line
    sent: &'a [&'a str],
    /// The server's `set-cookie`
    from_server: &'a [&'a str],
    method: Method,
}

const GET: Case<'static> = Case { sent: &[], from_server: &[], method: Method::Get };

/// Letters, cookies the server sees, cookies the client gets. A request without persistence goes to s1.
fn check(cookie: Cookie, case: &Case<'_>, letters: &str, seen: &[&str], got: &[&str]) {
    let (backend, live) = backend(cookie);
    let mut request = Head::new();
    for value in case.sent {
        request.add(b"cookie", value.as_bytes());
    }
    let usable = |s: ServerIndex| s.0 != 2;
    let mut reader = Reader {
        servers: &live.servers,
        cookie: backend.cookie.as_ref().unwrap(),
        now: NOW,
        usable: &usable,
        may_use: &usable,
        state: Persistence::of(&backend),
    };
    reader.read(&mut request);
    let mut state = reader.state;
    let mut response = Head::new();
    response.set_status(200);
    for value in case.from_server {
        response.add(b"set-cookie", value.as_bytes());
    }
    let server = live.servers.get(state.named.map_or(0, ServerIndex::get)).map(|s| &**s);
    let cookie = backend.cookie.as_ref().unwrap();
    respond(cookie, server, &mut state, NOW, case.method, &mut response);
    let texts =
        |head: &Head| head.fields().map(|(_, v)| String::from_utf8(v.to_vec()).unwrap()).collect::<Vec<_>>();
    assert_eq!(String::from_utf8_lossy(&state.letters()), letters, "{:?}", case.sent);
    assert_eq!(texts(&request), seen);
    assert_eq!(texts(&response), got);
}

fn sent<'a>(sent: &'a [&'a str]) -> Case<'a> {
    Case { sent, ..GET }
}

#[test]
fn insert() {
    let c = || cookie(CookieMode::Insert);
    check(c(), &GET, "NI", &[], &["S=A; path=/"]);
    check(c(), &sent(&["S=A"]), "VN", &["S=A"], &[]);
    check(c(), &sent(&["S=zz"]), "II", &["S=zz"], &["S=A; path=/"]);
    check(c(), &sent(&["S=C3"]), "DI", &["S=C3"], &["S=A; path=/"]);
    check(c(), &sent(&["S=zz; S=B"]), "VN", &["S=zz; S=B"], &[]);
    check(c(), &sent(&["S=A; S=B"]), "VN", &["S=A; S=B"], &[]);
    check(c(), &sent(&["S=zz", "S=B"]), "VN", &["S=zz", "S=B"], &[]);
    let own = Case { sent: &["S=A"], from_server: &["S=foo; path=/x"], ..GET };
    check(c(), &own, "VD", &["S=A"], &[]);
    let own = Case { from_server: &["S=foo; path=/x", "T=1"], ..GET };
    check(c(), &own, "NI", &[], &["T=1", "S=A; path=/"]);
    check(Cookie { preserve: true, ..c() }, &own, "NP", &[], &["S=foo; path=/x", "T=1"]);
    check(Cookie { postonly: true, ..c() }, &GET, "NN", &[], &[]);
    let post = Case { method: Method::Post, ..GET };
    check(Cookie { postonly: true, ..c() }, &post, "NI", &[], &["S=A; path=/"]);
}

#[test]
fn insert_indirect() {
    check(indirect(), &sent(&["S=A"]), "VN", &[], &[]);
    check(indirect(), &sent(&["S=B; x=y"]), "VN", &["x=y"], &[]);
    check(indirect(), &sent(&["x=y; S=B;  z=t"]), "VN", &["x=y; z=t"], &[]);
    check(indirect(), &sent(&["S=zz"]), "II", &[], &["S=A; path=/"]);
    check(indirect(), &sent(&["a=b;S=A~foo"]), "II", &["a=b"], &["S=A; path=/"]);
    let all = Cookie {
        httponly: true,
        secure: true,
        domains: vec![".a.com".into(), ".b.com".into()],
        attrs: vec!["SameSite=None".into(), "x".into()],
        ..indirect()
    };
    let text = "S=A; path=/; domain=.a.com; domain=.b.com; HttpOnly; Secure; SameSite=None; x";
    check(all, &GET, "NI", &[], &[text]);
}

#[test]
fn rewrite_and_prefix() {
    let own = Case { sent: &["S=A"], from_server: &["S=foo; path=/x"], ..GET };
    let rewrite = || cookie(CookieMode::Rewrite);
    check(rewrite(), &GET, "NN", &[], &[]);
    check(rewrite(), &own, "VR", &["S=A"], &["S=A; path=/x"]);
    let spaced = Case { from_server: &["S = foo ; path=/x"], ..GET };
    check(rewrite(), &spaced, "NR", &[], &["S=A ; path=/x"]);
    let prefix = || cookie(CookieMode::Prefix);
    check(prefix(), &own, "VR", &["S=A"], &["S=A~foo; path=/x"]);
    check(prefix(), &spaced, "NR", &[], &["S=A~foo ; path=/x"]);
    check(prefix(), &sent(&["S=A~foo; b=c"]), "VN", &["S=foo; b=c"], &[]);
    check(prefix(), &sent(&["a=b;S=A~foo"]), "VN", &["a=b;S=foo"], &[]);
    check(Cookie { indirect: true, ..prefix() }, &own, "VD", &["S=A"], &[]);
}

#[test]
fn passive() {
    let own = Case { sent: &["S=A"], from_server: &["S=foo; path=/x"], ..GET };
    assert_eq!(&Persistence::of(&backend(cookie(CookieMode::Passive)).0).letters(), b"--");
    // The letters are taken back by the callers.
    check(cookie(CookieMode::Passive), &own, "VP", &["S=A"], &["S=foo; path=/x"]);
}

#[test]
fn dates() {
    let idle = || Cookie { maxidle: Some(Duration::from_secs(600)), ..indirect() };
    let life = || Cookie { maxlife: Some(Duration::from_secs(600)), ..indirect() };
    check(idle(), &GET, "NI", &[], &["S=A|awEpX; path=/"]);
    check(idle(), &sent(&["S=A"]), "VU", &[], &["S=A|awEpX; path=/"]);
    check(idle(), &sent(&["S=A|awEpX"]), "VN", &[], &[]);
    check(idle(), &sent(&["S=A|awEoM"]), "VU", &[], &["S=A|awEpX; path=/"]);
    check(idle(), &sent(&["S=A|awEl2"]), "EI", &[], &["S=A|awEpX; path=/"]);
    check(idle(), &sent(&["S=A|awKv/"]), "EI", &[], &["S=A|awEpX; path=/"]);
    check(idle(), &sent(&["S=A|awEpX|awEpX"]), "VU", &[], &["S=A|awEpX; path=/"]);
    check(idle(), &sent(&["S=A|zz"]), "VU", &[], &["S=A|awEpX; path=/"]);
    check(life(), &sent(&["S=A|awEpX"]), "VU", &[], &["S=A|awEpX|awEpX; path=/"]);
    check(life(), &sent(&["S=A|awEpX|awEpX"]), "VN", &[], &[]);
    check(life(), &sent(&["S=A|awEpS|awEoM"]), "VU", &[], &["S=A|awEpX|awEoM; path=/"]);
    check(life(), &sent(&["S=A|awEpS|awECT"]), "OI", &[], &["S=A|awEpX|awEpX; path=/"]);
    check(indirect(), &sent(&["S=A|awEoM"]), "VU", &[], &["S=A; path=/"]);
    check(indirect(), &sent(&["S=A|awKv/"]), "VN", &[], &[]);
}

#[test]
fn cacheable() {
    fn check(fields: &[(&str, &str)], method: Method, status: u16, stored: bool, with_cookies: bool) {
        let mut head = Head::new();
        head.set_status(status);
        for (name, value) in fields {
            head.add(name.as_bytes(), value.as_bytes());
        }
        let got = cacheability(&head, method);
        assert_eq!((got.stored, got.with_cookies), (stored, with_cookies), "{fields:?} {status}");
    }
    let etag = ("etag", "\"a\"");
    let control = |v| ("cache-control", v);
    check(&[], Method::Get, 200, false, false);
    check(&[etag], Method::Get, 200, true, true);
    check(&[control("public, max-age=5")], Method::Get, 200, true, true);
    check(&[control("public")], Method::Get, 200, false, false);
    check(&[etag, control("private")], Method::Get, 200, false, false);
    check(&[etag, control("no-cache=\"set-cookie, foo\"")], Method::Get, 200, true, false);
    check(&[etag, ("pragma", "no-cache")], Method::Get, 200, false, false);
    check(&[etag, control("max-age=0")], Method::Get, 200, false, false);
    check(&[etag], Method::Post, 200, false, false);
    check(&[etag, control("public")], Method::Post, 200, true, true);
    check(&[etag], Method::Get, 302, false, false);
    check(&[etag, control("public")], Method::Get, 302, true, true);
    check(&[etag], Method::Get, 404, true, true);
}
