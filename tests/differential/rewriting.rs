//! http-request and http-response actions: what the server and the client see of them.

use crate::rig::{Row, compare};

const REQUEST: &str = "GET /dir/Page.html?a=1&b=2 HTTP/1.1\r\nHost: Shop.Example:8080\r\nX-One: 1\r\nX-Two: a, b, c\r\nx-one: 2\r\nCookie: sid=abc; theme=dark\r\nUser-Agent: test/1.0\r\n\r\n";
const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX-One: 1\r\nX-Two: a, b\r\nX-One: 2\r\nSet-Cookie: id=1; path=/\r\nServer: real\r\nContent-Length: 2\r\n\r\nok";

fn request(rule: &'static str) -> Row {
    Row::new(rule).front(rule).send(REQUEST)
}

fn response(rule: &'static str) -> Row {
    Row::new(rule).back(rule).answer(ANSWER).send(REQUEST)
}

#[test]
fn request_actions() {
    compare(vec![
        request("http-request set-header X-New value"),
        request("http-request set-header X-One replaced"),
        request("http-request set-header X-Fmt \"%[method] %[path] %ci %f\""),
        request("http-request set-header Host other.example"),
        request("http-request set-header X-None %[req.hdr(nope)]"),
        request("http-request add-header X-One 3"),
        request("http-request add-header X-Quoted \"a b\\ c\""),
        request("http-request del-header X-One"),
        request("http-request del-header x-o -m beg"),
        request("http-request del-header ^x- -m reg"),
        request("http-request del-header wo -m end"),
        request("http-request del-header -t -m sub"),
        request("http-request del-header User-Agent -m str"),
        request("http-request replace-header X-Two a(.*) z\\1"),
        request("http-request replace-header X-One (.*) <\\1>"),
        request("http-request replace-header Cookie sid=([^;]*) sid=X\\1Y"),
        request("http-request replace-header User-Agent ^test/(.*)$ \"tester \\1\""),
        request("http-request replace-value X-Two ^b$ B"),
        request("http-request replace-value X-Two (.) [\\1]"),
        request("http-request replace-value X-One (.*) %[path]:\\1"),
        request("http-request set-path /new"),
        request("http-request set-path /pre%[path]"),
        request("http-request set-path %[path,lower]"),
        request("http-request set-query x=9"),
        request("http-request set-pathq /only"),
        request("http-request set-pathq /both?q=1"),
        request("http-request set-uri /u?v"),
        request("http-request set-uri http://abs.example/u?v"),
        request("http-request set-method PUT"),
        request("http-request replace-path (.*)/([^/]*)$ \\2\\1"),
        request("http-request replace-path ^/dir /other"),
        request("http-request replace-pathq a=1 a=one"),
        request("http-request replace-uri ^/dir(.*) /moved\\1"),
        request("http-request replace-uri nothing /x"),
        request("http-request set-var(txn.a) path\nhttp-request set-header X-Var %[var(txn.a)]"),
        request(
            "http-request set-var-fmt(req.b) \"%[method]-%f\"\nhttp-request set-header X-Var %[var(req.b)]",
        ),
        request(
            "http-request set-var(txn.a) str(x)\nhttp-request unset-var(txn.a)\nhttp-request set-header X-Var \"%[var(txn.a)]|\"",
        ),
        request(
            "http-request set-header X-If yes if { path_beg /dir }\nhttp-request set-header X-Un yes unless { path_beg /dir }",
        ),
        request("http-request allow if { path_beg /dir }\nhttp-request deny"),
        request("http-request early-hint Link \"</a.css>; rel=preload\""),
        request("http-request set-src hdr(x-none)"),
        request("http-request set-log-level silent"),
        request("option forwardfor"),
        request("option forwardfor except 127.0.0.0/8"),
        request("option forwardfor header X-Real-IP"),
        request("option originalto"),
        request("option originalto header X-Dst"),
        request("unique-id-format %f:%[path]\nunique-id-header X-Unique"),
        request(
            "capture request header Host len 8\ncapture request header X-Two len 30\ncapture cookie sid len 5",
        ),
        Row::new("forwardfor if-none")
            .front("option forwardfor if-none")
            .get_with("/", "X-Forwarded-For: 1.1.1.1")
            .get("/"),
        Row::new("forwardfor is added last")
            .front("option forwardfor")
            .get_with("/", "X-Forwarded-For: 1.1.1.1"),
        Row::new("forwardfor on both sides")
            .front("option forwardfor")
            .back("option forwardfor header X-C")
            .get("/"),
        Row::new("backend rules run after frontend rules")
            .front("http-request set-header X-A front")
            .back("http-request add-header X-A back\nhttp-request set-header X-B %[req.hdr(x-a)]")
            .get("/"),
        Row::new("case adjust")
            .more("global\n    h1-case-adjust host HOST\n    h1-case-adjust content-length Content-Length")
            .defaults("option h1-case-adjust-bogus-client\noption h1-case-adjust-bogus-server")
            .get("/"),
    ]);
}

#[test]
fn response_actions() {
    compare(vec![
        response("http-response set-header X-New %[status]"),
        response("http-response set-header X-One only"),
        response("http-response add-header X-One 3"),
        response("http-response del-header X-One"),
        response("http-response del-header x- -m beg"),
        response("http-response replace-header Set-Cookie (.*) \"\\1; Secure\""),
        response("http-response replace-value X-Two a A"),
        response("http-response set-status 404"),
        response("http-response set-status 503 reason \"Slow Down\""),
        response("http-response deny if { res.hdr(server) real }"),
        response("http-response deny deny_status 404"),
        response("http-response return status 200 content-type text/plain string replaced"),
        response("http-response redirect location /gone code 301 if { status 200 }"),
        response("http-response allow\nhttp-response set-header X-Not reached"),
        response("http-response set-header X-Path %[var(txn.none)]"),
        response("http-response set-header X-Req \"%[capture.req.method] %[capture.req.uri]\""),
        response("http-after-response set-header X-After yes"),
        response("capture response header X-Two len 4\ncapture response header Server len 9"),
        response("http-response set-header X-Cnt %[res.hdr_cnt(x-one)]-%[res.fhdr_cnt(x-two)]-%[res.hdr(x-two,1)]-%[res.cook(id)]"),
        Row::new("frontend response rules").front("http-response set-header X-Fe yes\nhttp-response del-header server").answer(ANSWER).send(REQUEST),
        Row::new("both sides' response rules").front("http-response add-header X-Order front").back("http-response add-header X-Order back").answer(ANSWER).send(REQUEST),
        Row::new("capture both").front("capture response header server len 3\ncapture response header x-none len 3\ncapture cookie id len 9").answer(ANSWER).send(REQUEST),
    ]);
}

#[test]
fn redirects() {
    let visit = |rule: &'static str| {
        Row::new(rule)
            .front(rule)
            .send("GET /a/b?x=1 HTTP/1.1\r\nHost: h.example:81\r\n\r\n")
            .send("POST /dir HTTP/1.1\r\nHost: h.example\r\nContent-Length: 3\r\n\r\nabc")
            .send("HEAD / HTTP/1.0\r\n\r\n")
    };
    compare(vec![
        visit("redirect location /new"),
        visit("redirect location http://x.example/new code 301"),
        visit("redirect prefix http://p.example"),
        visit("redirect prefix /sub drop-query"),
        visit("redirect prefix http://p.example append-slash drop-query"),
        visit("redirect prefix http://p.example append-slash"),
        visit("redirect prefix / code 308"),
        visit("redirect scheme https"),
        visit("redirect scheme https code 301 if !{ ssl_fc }"),
        visit("redirect scheme https drop-query code 307"),
        visit("redirect location / set-cookie A=1"),
        visit("redirect location / clear-cookie A"),
        visit("redirect location / clear-cookie A="),
        visit("http-request redirect code 303 location http://%[hdr(host)]%[path]"),
        visit("http-request redirect scheme https if { path /dir }"),
        visit("http-request redirect location \"/a b?%[query]\""),
        visit("redirect location /x if { path /dir }\nredirect prefix http://y unless { path / }"),
    ]);
}
