//! Expressions and conditions end to end over hand-made facts.

use super::mock::Mock;
use super::{Condition, Expr, Scope, Site};

fn check(text: &str, expected: &str) {
    let got = Mock::default().show(text, Site::HttpRequest);
    assert_eq!(got, expected, "{text}");
}

fn check_holds(condition: &str, expected: bool) {
    let acls = [("static", "path_beg /static /img"), ("lan", "src 10.0.0.0/8"), ("png", "path_end -i .PNG")];
    let got = Mock::default().holds(condition, &acls, Site::HttpRequest);
    assert_eq!(got, expected, "{condition}");
}

#[test]
fn fetches() {
    check("path", "/static/logo.png");
    check("pathq", "/static/logo.png?a=1&b=two&a=3");
    check("query", "a=1&b=two&a=3");
    check("url", "/static/logo.png?a=1&b=two&a=3");
    check("method", "GET");
    check("req.ver", "1.1");
    check("urlp(b)", "two");
    check("url_param(a)", "1");
    check("urlp_val(a)", "1");
    check("base", "www.Example.com/static/logo.png");
    check("hdr(host)", "www.Example.com");
    check("hdr(Host),lower", "www.example.com");
    check("hdr(x-list)", "\"fo,ur\"");
    check("hdr(x-list,1)", "one");
    check("hdr(x-list,-2)", "three");
}

#[test]
fn conditions() {
    check_holds("if static", true);
    check_holds("if !static", false);
    check_holds("unless static", false);
    check_holds("if static lan", false);
    check_holds("if lan or static", true);
    check_holds("if lan || static png", true);
    check_holds("if lan OR static", true);
    check_holds("if { path -m end .png } { method GET }", true);
    check_holds("if { hdr(host) -i WWW.example.com }", true);
    check_holds("if { hdr(x-list) two }", true);
    check_holds("if { hdr_val(content-length) gt 41 }", true);
    check_holds("if { hdr(content-length) -m int ge 43 }", false);
    check_holds("if ! { src 192.0.2.0/24 }", false);
    check_holds("if METH_GET HTTP_1.1", true);
    check_holds("if TRUE !FALSE", true);
    check_holds("if { hdr(missing) -m found }", false);
    check_holds("if { hdr(x-empty) -m found }", true);
    check_holds("if { src -m str 192.0.2.7 }", true);
    check_holds("if { nbsrv(app) ge 2 }", true);
    check_holds("if { path,length 16 }", true);
    check_holds("if", false);
}

#[test]
fn refusals() {
    let check = |words: &str, expected: &str| {
        let words: Vec<&str> = words.split(' ').collect();
        let e = Condition::parse(&words, Site::HttpRequest, &Scope::default()).unwrap_err();
        assert_eq!(e.message, expected);
    };
    check("if nosuch", "no such ACL : 'nosuch'.");
    check("if { pth /a }", "unknown fetch method 'pth' in ACL expression 'pth'.");
    check("if { path /a", "missing closing '}' in condition.");
    check("if { path,lowr /a }", "ACL keyword 'path' : unknown converter 'lowr'");
    check("if { path -m foo a }", "unknown matching method 'foo' when parsing ACL expression.");
    let e = Expr::parse(&["ssl_fc_session_id"], Site::HttpRequest, &Scope::default()).unwrap_err();
    assert!(e.unsupported);
    assert_eq!(e.message, "sample fetch 'ssl_fc_session_id' is not supported by weir yet");
}

#[test]
fn more_fetches() {
    let mut mock = Mock::default();
    mock.respond();
    mock.payload = Some((b"a=1&b=x+y;C=3".to_vec(), true));
    mock.log.request_line = b"GET http://h/p?q HTTP/1.0".to_vec();
    mock.log.request_captures = vec![None, Some(b"cap".to_vec())];
    let mut check =
        |text: &str, site: Site, expected: &str| assert_eq!(mock.show(text, site), expected, "{text}");
    let (req, res) = (Site::HttpRequest, Site::HttpResponse);
    check("cook(SID)", req, "def");
    check("req.cook_cnt(SID)", req, "2");
    check("req.cook_cnt", req, "3");
    check("cook(lang)", req, "fr");
    check("scook(SID)", res, "new");
    check("req.cook_names", req, "SID,lang,SID");
    check("req.hdr_cnt(x-list)", req, "4");
    check("req.fhdr_cnt(x-list)", req, "2");
    check("req.fhdr(x-list)", req, "three,\"fo,ur\"");
    check("req.hdr_ip(x-forwarded-for)", req, "203.0.113.9");
    check("req.hdr_ip(x-forwarded-for,1)", req, "10.1.2.3");
    check("res.hdr(server)", res, "nginx");
    check("hdr(server)", res, "nginx");
    check("status", res, "404");
    check("req.body", req, "a=1&b=x+y;C=3");
    check("req.body_len", req, "13");
    check("req.body_size", req, "42");
    check("req.body_param(b)", req, "x+y");
    check("req.body_param(c,i)", req, "3");
    check("capture.req.uri", req, "/p?q");
    check("capture.req.ver", res, "HTTP/1.0");
    check("capture.req.hdr(1)", req, "cap");
    check("capture.req.hdr(0)", req, "");
    check("date", req, "1700000000");
    check("date(-5,ms)", req, "1700000000118");
    check("date_us", req, "123000");
    check("rand(1)", req, "0");
    check("unique-id", req, "uid-1");
    check("ssl_fc", req, "0");
    check("str('a,b)')", req, "a,b)");
    check("bool(true)", req, "1");
    check("src,hex", req, "C0000207");
    check("str(abc),hex", req, "616263");
    check("int(10),hex", req, "000000000000000A");
    check("so_name", req, "edge");
    check("fe_name", req, "www");
    check("be_name", Site::Balance, "app");
    check("var(txn.x,none)", req, "none");
    check("http_first_req", req, "1");
}

#[test]
fn uuids_have_their_version() {
    let shape = |text: String| text.chars().map(|c| if c == '-' { '-' } else { 'x' }).collect::<String>();
    for (fetch, version) in [("uuid", '4'), ("uuid(7)", '7')] {
        let text = Mock::default().show(fetch, Site::HttpRequest);
        assert_eq!(text.chars().nth(14), Some(version));
        assert!("89ab".contains(text.chars().nth(19).unwrap()));
        assert_eq!(shape(text), "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx");
    }
}

/// The host and path of a request that haproxy 2.6 hashed.
#[test]
fn hashes_base_as_haproxy_does() {
    let mut mock = Mock::default();
    if let Some(head) = mock.request.as_mut() {
        head.set(b"host", b"Www.Host.com:80");
        head.set_target(b"/p%20a/b?x=1");
    }
    assert_eq!(mock.show("base32", Site::HttpRequest), "1713997876");
}

#[test]
fn rdp_cookies() {
    let request =
        b"\x03\x00\x00\x2a\x25\xe0\x00\x00\x00\x00\x00Cookie: mstshash=eltons\r\n\x01\x00\x08\x00\x00\x00";
    let mut mock = Mock { request: None, payload: Some((request.to_vec(), false)), ..Mock::default() };
    mock.payload.as_mut().unwrap().0[3] = request.len() as u8;
    mock.payload.as_mut().unwrap().0[4] = request.len() as u8 - 5;
    assert_eq!(mock.show("req.rdp_cookie(MSTSHASH)", Site::TcpContent), "eltons");
    assert_eq!(mock.show("req.rdp_cookie_cnt", Site::TcpContent), "1");
}

#[test]
fn content_conditions_wait() {
    let condition = |text: &str| {
        let words: Vec<&str> = text.split(' ').collect();
        Condition::parse(&words, Site::TcpContent, &Scope::default()).unwrap()
    };
    let mut mock = Mock { request: None, payload: Some((b"GET".to_vec(), false)), ..Mock::default() };
    let mut check = |text: &str, last: bool, expected: Option<bool>| {
        assert_eq!(condition(text).evaluate(&mut mock, last), expected, "{text}");
    };
    check("if { req.len gt 2 }", false, Some(true));
    check("if { req.len gt 3 }", false, None);
    check("if { req.len gt 3 }", true, Some(false));
    check("if WAIT_END", false, None);
    check("if WAIT_END", true, Some(true));
    check("if HTTP", false, None);
    check("unless HTTP", false, None);
    check("if HTTP or TRUE", false, Some(true));
    check("if { req.payload(0,3) -m bin 474554 }", false, Some(true));
    check("if { req.payload(0,4) -m bin 47455420 }", false, None);
    check("if FALSE HTTP", false, Some(false));
}

#[test]
fn fetches_stand_where_haproxys_do() {
    let check = |text: &str, site: Site, expected: bool| {
        assert_eq!(Expr::parse(&[text], site, &Scope::default()).is_ok(), expected, "{text} {site:?}");
    };
    check("path", Site::Log, false);
    check("path", Site::HttpResponse, false);
    check("method", Site::Log, true);
    check("req.ver", Site::HttpResponse, true);
    check("res.hdr(a)", Site::HttpRequest, false);
    check("hdr(a)", Site::HttpResponse, true);
    check("path", Site::ErrorReply, true);
    check("res.hdr(a)", Site::ErrorReply, true);
    check("status", Site::ErrorReply, true);
    check("capture.req.hdr(0)", Site::Log, true);
    check("src", Site::TcpConnection, true);
    check("path", Site::TcpConnection, false);
}

/// `http-error` has both messages: each fetch reads its own.
#[test]
fn error_pages_read_both_messages() {
    let mut mock = Mock::default();
    mock.respond();
    assert_eq!(mock.show("req.hdr(host),concat(:),lower", Site::ErrorReply), "www.example.com:");
    assert_eq!(mock.show("res.hdr(server)", Site::ErrorReply), "nginx");
    assert_eq!(mock.show("query(with_qm)", Site::HttpRequest), "?a=1&b=two&a=3");
    mock.request = None;
    mock.log.request_line = b"PUT /x HTTP/1.0".to_vec();
    assert_eq!(mock.show("method,lower", Site::Log), "put");
    assert_eq!(mock.show("req.ver", Site::Log), "1.0");
}

#[test]
fn credentials() {
    use crate::config::model::{User, UserGroup, Userlist};
    let user = |name: &str, password: &str, groups: &[&str]| User {
        name: name.into(),
        password: password.into(),
        plain: true,
        groups: groups.iter().map(|g| (*g).to_owned()).collect(),
    };
    let list = Userlist {
        name: "ul".into(),
        users: vec![user("bob", "secret", &["g1"]), user("eve", "pw", &[])],
        groups: vec![UserGroup { name: "g2".into(), users: vec!["bob".into()] }],
    };
    let scope = Scope { userlists: vec![std::sync::Arc::new(list)], ..Scope::default() };
    let check = |header: &str, condition: &str, expected: bool| {
        let mut mock = Mock::default();
        mock.request.as_mut().unwrap().add(b"authorization", header.as_bytes());
        let words: Vec<&str> = condition.split(' ').collect();
        let parsed = Condition::parse(&words, Site::HttpRequest, &scope).unwrap();
        assert_eq!(parsed.holds(&mut mock), expected, "{header}: {condition}");
    };
    check("Basic Ym9iOnNlY3JldA==", "if { http_auth(ul) }", true);
    check("basic  Ym9iOnNlY3JldA==", "if { http_auth(ul) }", true);
    check("Basic Ym9iOndyb25n", "if { http_auth(ul) }", false);
    check("Bearer abc", "if { http_auth(ul) }", false);
    check("Bearer abc", "if { http_auth(ul) -m found }", false);
    check("Basic Ym9iOnNlY3JldA==", "if { http_auth_group(ul) g1 }", true);
    check("Basic Ym9iOnNlY3JldA==", "if { http_auth_group(ul) g2 }", true);
    check("Basic Ym9iOnNlY3JldA==", "if { http_auth_group(ul) g3 }", false);
    check("basic Ym9iOnNlY3JldA==", "if { http_auth_type Basic }", true);
    check("bearer abc", "if { http_auth_bearer abc }", true);
}
