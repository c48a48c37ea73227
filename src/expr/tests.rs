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
    let e = Expr::parse(&["ssl_fc_sni"], Site::HttpRequest, &Scope::default()).unwrap_err();
    assert!(e.unsupported);
    assert_eq!(e.message, "sample fetch 'ssl_fc_sni' is not supported by weir yet");
}
