//! `set-var` and its conditions, marks, rule sets that change their mode, TCP connections that go on as HTTP.

use crate::rig::{Row, compare};

/// Runs rules that may set `txn.v`; the answer shows it.
fn variable(rules: &'static str) -> Row {
    Row::new(rules)
        .front(&format!("{rules}\nhttp-request return status 200 hdr x-v \"[%[var(txn.v)]]\""))
        .get("/a?n=3")
        .get("/b?n=7")
        .get("/")
}

#[test]
fn conditions_of_variables() {
    compare(vec![
        variable("http-request set-var(txn.v,ifexists) str(new)"),
        variable("http-request set-var(txn.v,ifnotexists) str(new)"),
        variable("http-request set-var(txn.v) str(old)\nhttp-request set-var(txn.v,ifexists) str(new)"),
        variable("http-request set-var(txn.v) str(old)\nhttp-request set-var(txn.v,ifnotexists) str(new)"),
        variable("http-request set-var(txn.v) str(old)\nhttp-request set-var(txn.v,ifnotempty) url_param(n)"),
        variable("http-request set-var(txn.v) str(old)\nhttp-request set-var(txn.v,ifempty) url_param(n)"),
        variable("http-request set-var(txn.v) int(5)\nhttp-request set-var(txn.v,ifgt) url_param(n),add(0)"),
        variable("http-request set-var(txn.v) int(5)\nhttp-request set-var(txn.v,iflt) url_param(n),add(0)"),
        variable("http-request set-var(txn.v) int(5)\nhttp-request set-var(txn.v,ifset,ifgt) int(3)"),
        variable("http-request set-var(txn.v) int(5)\nhttp-request set-var(txn.v,ifnotset) int(3)"),
        variable("http-request set-var-fmt(txn.v,ifnotexists) \"%[path] %[method]\""),
        variable("http-request set-var-fmt(txn.v,ifexists) \"%[path] %[method]\""),
        variable(
            "tcp-request session set-var(sess.s,ifnotexists) int(1)\nhttp-request set-var(txn.v) var(sess.s)",
        ),
        variable("tcp-request content set-var(txn.v,ifexists) int(1)"),
        variable("http-request set-var(proc.v,ifexists) int(1)\nhttp-request set-var(txn.v) var(proc.v)"),
        variable("http-request set-var(proc.v,ifnotexists) int(1)\nhttp-request set-var(txn.v) var(proc.v)"),
        variable("http-request set-var(proc.v,ifset) int(1)\nhttp-request set-var(txn.v) var(proc.v)"),
        variable("http-request set-var(proc.v,ifnotset) int(1)\nhttp-request set-var(txn.v) var(proc.v)"),
    ]);
}

#[test]
fn variables_of_the_process_from_the_start() {
    // A name of its own in each row: haproxy and weir are new processes, and so is each row's.
    let row = |global: &'static str, shown: &str| {
        Row::new(global)
            .more(&format!("global\n{global}"))
            .front(&format!("http-request return status 200 hdr x-v \"[{shown}]\""))
            .get("/")
    };
    compare(vec![
        row("set-var proc.a str(primary)", "%[var(proc.a)]"),
        row("set-var proc.a int(100)\nset-var proc.b int(200),sub(proc.a)", "%[var(proc.b)]"),
        row("set-var proc.a int(1)\nset-var proc.a,ifnotexists int(2)", "%[var(proc.a)]"),
        row("set-var proc.a,ifexists int(2)", "%[var(proc.a,none)]"),
        row("set-var proc.a ipv4(192.0.2.1),ipmask(24)", "%[var(proc.a)]"),
        row("set-var proc.a str(a-b),field(2,-)", "%[var(proc.a,none)]"),
        row("set-var proc.a var(proc.none)", "%[var(proc.a,none)]"),
        row("set-var proc.a bool(true)", "%[var(proc.a)]"),
        row("set-var proc.a hostname,length", "%[var(proc.a)]"),
        row("set-var proc.a thread", "%[var(proc.a)]"),
        row("set-var proc.a bin(616263),hex", "%[var(proc.a)]"),
        row("set-var proc.a str(x),set-var(proc.b)", "%[var(proc.a)]%[var(proc.b)]"),
        row("set-var-fmt proc.a \"a  b%[str(c)]\"", "%[var(proc.a)]"),
        row("set-var proc.a int(3)\nset-var-fmt proc.b %[var(proc.a)]-%[var(proc.none)]", "%[var(proc.b)]"),
        row("set-var proc.a,ifset int(2)", "%[var(proc.a,none)]"),
        row("set-var proc.a,ifnotset int(2)", "%[var(proc.a,none)]"),
    ]);
}

/// Where a limit is exceeded haproxy warns of corrupted values, and has them; here such a variable is not set.
#[test]
fn limits_of_variables() {
    let row = |limits: &'static str, rules: &'static str, name: &'static str| {
        Row::new(name)
            .more(&format!("global\n{limits}"))
            .front(&format!("{rules}\nhttp-request return status 200 hdr x-v \"[%[var(req.a)]/%[var(txn.b)]/%[var(txn.c)]/%[var(sess.d)]/%[var(proc.e)]]\""))
            .get("/")
    };
    let set = |scope: &str, value: &str| format!("http-request set-var({scope}) {value}\n");
    let five = [
        ("req.a", "int(1)"),
        ("txn.b", "int(2)"),
        ("txn.c", "int(3)"),
        ("sess.d", "int(4)"),
        ("proc.e", "int(5)"),
    ];
    let five: &'static str = five.iter().map(|(s, v)| set(s, v)).collect::<String>().leak();
    let text = "http-request set-var(txn.b) str(hello)\nhttp-request set-var(txn.c) int(3)";
    compare(vec![
        row("tune.vars.reqres-max-size 79", five, "no request variable fits"),
        row("tune.vars.reqres-max-size 80", five, "one request variable fits"),
        row("tune.vars.txn-max-size 160", five, "two of a transaction fit, the request's counting"),
        row("tune.vars.txn-max-size 159", five, "one of a transaction fits"),
        row("tune.vars.sess-max-size 240", five, "three of a session fit"),
        row("tune.vars.proc-max-size 320", five, "four of the process fit"),
        row("tune.vars.global-max-size 320", five, "four of all fit"),
        row("tune.vars.global-max-size 80\ntune.vars.proc-max-size 160", five, "the smaller of two counts"),
        row("tune.vars.txn-max-size 165", text, "a text counts its bytes"),
        row("tune.vars.txn-max-size 164", text, "a byte too many"),
        row(
            "tune.vars.txn-max-size 85",
            "http-request set-var(txn.b) str(hello)\nhttp-request unset-var(txn.b)\nhttp-request set-var(txn.c) str(there)",
            "what is unset makes room",
        ),
        row(
            "tune.vars.txn-max-size 85",
            "http-request set-var(txn.b) str(hello)\nhttp-request set-var(txn.b) str(there)",
            "another value takes the place of the one before",
        ),
    ]);
}

#[test]
fn marks() {
    let row = |rules: &'static str| Row::new(rules).front(rules).get("/");
    compare(vec![
        row("http-request set-mark 1"),
        row("http-request set-mark 0x1f"),
        row("http-request set-tos 0x10"),
        row("http-response set-tos 8"),
        row("tcp-request content set-mark 5"),
        row("tcp-request content set-tos 0xe0"),
    ]);
}

#[test]
fn strict_mode() {
    // A value that does not fit the buffer cannot be set.
    let row = |mode: &'static str| {
        let rules = format!(
            "{mode}\nhttp-request set-header X-A \"%[str(a)]\"\nhttp-request set-path \"%[req.hdr(x-none)]\"\nhttp-request set-header X-B b"
        );
        Row::new(mode).front(&rules).get("/")
    };
    compare(vec![row("http-request strict-mode off"), row("http-request strict-mode on")]);
}

#[test]
fn tcp_connections_go_on_as_http() {
    let row = |name: &'static str, front: &str| {
        Row::new(name)
            .front(&format!("mode tcp\noption tcplog\n{front}"))
            .back("mode http\nhttp-request set-header X-Back yes\nhttp-response set-header X-Seen %[status]")
    };
    compare(vec![
        row("http backend of a tcp frontend", "").get("/").get("/a"),
        row("two requests on one connection", "").send(
            "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        ),
        row("a body", "").send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"),
        row("not HTTP at all", "").send("garbage\r\n\r\n"),
        row("routed by the first bytes", "tcp-request inspect-delay 2s\ntcp-request content accept if { req.len gt 0 }\nuse_backend raw if { req.payload(0,3) -m str RAW }")
            .more("backend raw\n    mode tcp\n    server s1 ADDR:9001")
            .get("/"),
        row("switch-mode", "tcp-request inspect-delay 2s\ntcp-request content switch-mode http if HTTP")
            .get("/"),
    ]);
}

#[test]
fn servers_that_clients_are_sent_to() {
    let front = "http-response set-header X-R r\nhttp-after-response set-header X-A a";
    let back = "balance roundrobin\ncookie SRV insert\nserver far ADDR:9001 redir http://far.example/pre cookie c\nuse-server far if { path_beg /far }";
    let row = |name: &'static str| Row::new(name).front(front).back(back);
    compare(vec![
        row("redir, GET").get("/far?b=c"),
        row("redir, HEAD").send("HEAD /far HTTP/1.1\r\nHost: h\r\n\r\n"),
        row("redir, POST").send("POST /far HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab"),
        row("redir, absolute").send("GET http://h/far/x?y HTTP/1.1\r\nHost: h\r\n\r\n"),
        row("redir, two requests")
            .send("GET /far HTTP/1.1\r\nHost: h\r\n\r\nGET /near HTTP/1.1\r\nHost: h\r\n\r\n"),
        row("redir, another server").get("/near"),
    ]);
}

#[test]
fn case_of_names() {
    let map = "global\n    h1-case-adjust x-up X-UP\n    h1-case-adjust content-length Content-Length\n    h1-case-adjust host HOST\n    h1-case-adjust connection Connection";
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-up: 1\r\nx-other: 2\r\n\r\nok";
    let row = |name: &'static str, front: &str, back: &str| {
        Row::new(name)
            .front(front)
            .back(back)
            .more(map)
            .answer(answer)
            .get_with("/", "x-up: a|X-Other: b")
            .send("GET /old HTTP/1.0\r\nHost: h\r\nx-up: a\r\n\r\n")
            .send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab")
    };
    let (client, server) = ("option h1-case-adjust-bogus-client", "option h1-case-adjust-bogus-server");
    compare(vec![
        row("case, nobody", "", ""),
        row("case, client", client, ""),
        row("case, server", "", server),
        row("case, both", client, server),
        row("case, own answers", &format!("{client}\nhttp-request return status 200 hdr x-up 1"), ""),
        row("case, errors", &format!("{client}\nhttp-request deny"), ""),
    ]);
}
