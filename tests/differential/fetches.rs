//! What rules see of requests that people and scanners send.

use crate::rig::{Row, compare, shown};

const FETCHES: &[&str] = &[
    "req.hdr(a)",
    "req.hdr(a,2)",
    "req.hdr(a,-1)",
    "req.hdr(a,-2)",
    "req.fhdr(a)",
    "req.fhdr(a,-1)",
    "req.hdr_cnt(a)",
    "req.fhdr_cnt(a)",
    "req.hdr_names",
    "req.hdrs,hex",
    "req.proto_http",
    "req.body_size",
    "baseq",
    "base32+src,length",
    "url32+src,hex",
    "so_id",
    "so_name",
    "fe_id",
    "fc_http_major",
    "fe_client_timeout",
    "fe_sess_rate,bool",
    "be_sess_rate(be)",
    "avg_queue(be)",
    "date_us,div(1000000)",
    "uuid,regsub([0-9a-f],x,g)",
    "req.hdr_val(n)",
    "req.hdr_val(n,2)",
    "req.cook(s)",
    "req.cook",
    "req.cook_cnt(s)",
    "req.cook_cnt",
    "req.cook_val(s)",
    "urlp(a)",
    "urlp(x)",
    "urlp(y)",
    "urlp(y,;)",
    "urlp",
    "urlp_val(a)",
    "path",
    "pathq",
    "query",
    "url",
    "url32",
    "base",
    "base32",
    "url_ip",
    "url_port",
    "method",
    "req.ver",
    "http_auth_user",
    "http_auth_pass",
    "http_auth_type",
    "http_auth_bearer",
    "req.body",
    "req.body_len",
    "req.body_param(a)",
    "req.body_param",
    "unique-id",
    "meth(GET)",
    "meth(get)",
    "meth(G-T),length",
    "meth()",
];

const REQUESTS: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /a/b?a=1&b=2&A=3&a=4#x HTTP/1.1\r\nHost: H.Example:80\r\na: 1, 2 ,3\r\nA: four\r\na:\r\n\r\n",
    "GET /p?a HTTP/1.1\r\nHost: h\r\nn: 12x, 7\r\n\r\n",
    "GET http://1.2.3.4:8080/x?y HTTP/1.1\r\nHost: 1.2.3.4:8080\r\n\r\n",
    "GET /?a=%20x&b=;c=1;a=2 HTTP/1.1\r\nHost: h\r\nCookie: s=1; t=2;s=3\r\nCookie: s=\"q x\"; =v; z; s=\r\n\r\n",
    "GET /h?x=1?y=2&a=5 HTTP/1.1\r\nHost: h\r\ncookie: s=1,t=2; t=3\r\n\r\n",
    "GET /;x=1?y=2 HTTP/1.1\r\nHost: h\r\ncookie: $Version=1; s=\"a;b\"; t = 4 ;u=5; s=\"c\\\";d\"\r\n\r\n",
    "GET /p?x==2? HTTP/1.1\r\nHost: h\r\ncookie: a=b=c; s==; S=4\r\n\r\n",
    "GET /?&&a=&a&=3 HTTP/1.1\r\nHost: \r\nCookie: \r\nCookie: ,s=9;; s=8\r\n\r\n",
    "POST /f HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 13\r\n\r\na=1?&b=2&a=3;",
    "POST /f HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "GET /x HTTP/1.1\r\nHost: h\r\nAuthorization: Basic dXNlcjpwYXNz\r\n\r\n",
    "GET /x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer tok.en\r\n\r\n",
    "GET /x HTTP/1.1\r\nHost: h\r\nAuthorization: Basic !!!\r\n\r\n",
    "GET /x HTTP/1.1\r\nHost: h\r\nAuthorization: digest a=b\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
    "CONNECT ex.org:443 HTTP/1.1\r\nHost: ex.org:443\r\n\r\n",
    "HEAD /h?x=1 HTTP/1.0\r\n\r\n",
    "GET /x HTTP/1.1\r\nHost: h\r\na: \u{e9},\"q,x\",,z\r\nn: -3\r\nn: 99999999999999999999\r\n\r\n",
    "FOO /x/../y//z;p=1 HTTP/1.1\r\nHost: h\r\nCookie: s\r\n\r\n",
];

/// What is asked about servers: of every kind, in backends of every kind.
const STATE: &[&str] = &[
    "srv_conn_free(be/s1)",
    "srv_conn_free(full/a)",
    "srv_conn_free(full/b)",
    "srv_conn_free(grown/a)",
    "srv_weight(full/a)",
    "srv_weight(grown/b)",
    "srv_weight(backups/a)",
    "srv_iweight(full/b)",
    "srv_uweight(full/b)",
    "srv_queue(full/a)",
    "srv_sess_rate(full/a)",
    "be_conn_free(be)",
    "be_conn_free(full)",
    "be_conn_free(grown)",
    "be_conn_free(backups)",
    "be_conn_free(allbackups)",
    "fe_req_rate",
    "fe_req_rate(fe)",
    "fe_defbe",
    "stopping",
    "str(full/a),srv_queue",
    "str(full/none),srv_queue",
    "str(none/a),srv_queue",
    "str(s1),srv_queue",
];

const FARMS: &str = "\
backend full
    server a ADDR:1 maxconn 10 weight 30
    server b ADDR:1 maxconn 20 weight 40
    server c ADDR:1 maxconn 5 backup
backend grown
    fullconn 10
    server a ADDR:1 minconn 2 maxconn 10
    server b ADDR:1 weight 0 maxconn 10
backend backups
    server a ADDR:1 disabled
    server b ADDR:1 maxconn 5 backup
    server c ADDR:1 maxconn 6 backup
backend allbackups
    option allbackups
    server b ADDR:1 maxconn 5 backup
    server c ADDR:1 maxconn 6 backup
";

#[test]
fn requests_are_seen_alike() {
    let front = String::from("option http-buffer-request\nunique-id-format x%rt\n") + &shown(FETCHES);
    let row = Row::new("of requests").front(&front);
    compare(vec![REQUESTS.iter().fold(row, |row, request| row.send(request))]);
}

#[test]
fn servers_are_seen_alike() {
    let served =
        "http-response set-header id \"%[srv_id] %[srv_conn_free(s1)] %[srv_conn(s1)] %[be_conn_free]\"";
    compare(vec![
        Row::new("of servers").front(&shown(STATE)).more(FARMS).get("/").get("/"),
        Row::new("of the server that answers")
            .back(&format!("default-server maxconn 3\n{served}"))
            .answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .get("/"),
    ]);
}

/// The connection's ends and what rules and headers made of them.
const ENDS: &[&str] = &[
    "src",
    "dst",
    "dst_port",
    "fc_src",
    "fc_dst",
    "fc_dst_port",
    "src_is_local",
    "dst_is_local",
    "fc_src_is_local",
    "fc_dst_is_local",
    "fc_rcvd_proxy",
];

#[test]
fn connections_are_seen_alike() {
    const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let row = |name: &'static str, rules: &str| Row::new(name).front(&format!("{rules}\n{}", shown(ENDS)));
    let proxied = "tcp-request connection expect-proxy layer4";
    compare(vec![
        row("of a connection", "").get("/"),
        row("of changed ends", "http-request set-src str(192.0.2.1)\nhttp-request set-dst str(192.0.2.2)")
            .get("/"),
        row(
            "of ends changed early",
            "tcp-request connection set-src str(192.0.2.1)\ntcp-request connection set-dst-port int(7)",
        )
        .get("/"),
        row(
            "of ends that rules look at early",
            "tcp-request connection set-src str(192.0.2.1)\ntcp-request connection set-var(sess.v) fc_src\n\
             http-after-response set-header v %[var(sess.v)]",
        )
        .get("/"),
        row("of ends changed by the session", "tcp-request session set-src str(192.0.2.1)").get("/"),
        row("of a PROXY header", proxied)
            .send(&format!("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n{GET}"))
            .send(&format!("PROXY TCP6 ::1 2001:db8::1 1 2\r\n{GET}"))
            .send(&format!("PROXY UNKNOWN\r\n{GET}"))
            .send(&format!("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0{GET}")),
    ]);
}

/// Timeouts are looked at with the response: before a server is chosen haproxy 2.6 says 0 where no rule has set one, against
/// its manual.
#[test]
fn settings_are_seen_alike() {
    const SETTINGS: &str = "http-request set-header x-p \"%[prio_class] %[prio_offset]\"\n\
                         http-response set-header x-t \"%[cur_server_timeout] %[cur_tunnel_timeout] %[be_server_timeout] %[be_tunnel_timeout]\"";
    let row = |name: &'static str, rules: &str| Row::new(name).back(&format!("{rules}\n{SETTINGS}")).get("/");
    compare(vec![
        row("settings of nobody", ""),
        row("settings of the backend", "timeout server 1500\ntimeout tunnel 2h"),
        row(
            "settings of rules",
            "timeout tunnel 2h\nhttp-request set-timeout server 900\nhttp-request set-timeout tunnel 3s\n\
             http-request set-priority-class int(7)\nhttp-request set-priority-offset int(-70)",
        ),
        row(
            "settings out of range",
            "timeout tunnel 1s\nhttp-request set-priority-class int(-3000)\n\
             http-request set-priority-offset int(9999999)",
        ),
    ]);
}

#[test]
fn headers_are_seen_alike() {
    let long = |n: usize| format!("GET / HTTP/1.1\r\nHost: h\r\nEmpty:\r\nX-Long: {}\r\n\r\n", "a".repeat(n));
    let front = "http-request set-var(txn.q) req.hdrs_bin\nhttp-response set-header x-s \"%[res.hdrs_bin,hex]\"\n\
                 http-after-response set-header x-q \"%[var(txn.q),hex]\"";
    let row = Row::new("of all headers").front(front);
    let lengths = [0, 1, 239, 240, 241, 255, 256, 2287, 2288, 2289, 4000];
    compare(vec![lengths.iter().fold(row, |row, n| row.send(&long(*n)))]);
}

/// What of a response and of the server's connection is asked for once it is there.
#[test]
fn responses_are_seen_alike() {
    const ASKED: &[&str] = &[
        "bc_dst",
        "bc_dst_port",
        "bc_src",
        "bc_src_port,bool",
        "bc_http_major",
        "be_sess_rate,bool",
        "capture.res.ver",
        "res.body_len",
        "res.body_size",
        "res.cook_cnt(s)",
        "res.cook_val(n)",
        "res.hdr_ip(x-ip)",
        "res.hdr_ip(x-ip,2)",
        "res.hdr_names",
        "res.hdr_val(x-n)",
        "res.hdrs,hex",
        "res.fhdr(x-n)",
        "res.ver",
        "srv_name",
    ];
    let mut rules = String::from("option http-buffer-request\nhttp-response wait-for-body time 2s\n");
    for (i, asked) in ASKED.iter().enumerate() {
        rules += &format!(
            "http-response set-var(txn.v{i}) {asked}\nhttp-after-response set-header h{i} \"<%[var(txn.v{i})]>\"\n"
        );
    }
    let row = |name: &'static str, answer: &'static str| Row::new(name).back(&rules).answer(answer).get("/");
    compare(vec![
        row("of an answer", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        row("of an answer without a body", "HTTP/1.1 204 No\r\nX-Ip: ::1\r\nX-N: 7\r\n\r\n"),
        row(
            "of an answer with cookies",
            "HTTP/1.1 200 OK\r\nSet-Cookie: s=1; path=/\r\nSet-Cookie: n=42; Secure\r\nSet-Cookie: s=3\r\nX-Ip: 192.0.2.7, 10.0.0.1\r\nX-N: -3\r\nX-N: 12x\r\nContent-Length: 0\r\n\r\n",
        ),
        row("of chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ]);
}

/// `wait-for-body` of responses: what comes of the rules after it.
#[test]
fn bodies_of_responses_are_waited_for() {
    let rules = |wait: &str| {
        format!(
            "http-response wait-for-body {wait}\nhttp-response set-header x-len %[res.body_len]\n\
             http-response deny if {{ res.body -m sub secret }}\nhttp-response set-header x-last rule"
        )
    };
    let row = |name: &'static str, wait: &str, answer: &str| {
        Row::new(name).back(&rules(wait)).answer(String::from(answer).leak()).get("/")
    };
    let sized = |n: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {n}\r\n\r\n{}", "x".repeat(n));
    compare(vec![
        row("whole", "time 5s", &sized(10)),
        row("enough", "time 5s at-least 3", &sized(10)),
        // How much a buffer holds differs a little.
        Row::new("more than a buffer holds")
            .back("http-response wait-for-body time 5s\nhttp-response set-header x-last rule")
            .answer(sized(40000).leak())
            .get("/"),
        row("a word in it", "time 5s", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na secret."),
        row(
            "a word over two chunks",
            "time 5s",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nsec\r\n3\r\nret\r\n0\r\n\r\n",
        ),
        row("until the connection closes", "time 5s", "HTTP/1.1 200 OK\r\n\r\nhello"),
        row("never whole", "time 300ms", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
        row("in the frontend", "time 5s", &sized(10)).front(&rules("time 5s")),
        Row::new("by a condition").back(&rules("time 5s if { status 404 }")).get("/"),
    ]);
}

/// What is logged when all is over: rules, connections and the kernel's view of them.
#[test]
fn what_logs_ask_for() {
    const RULES: &str = "log-format \"%ST %ts %[last_rule_file,field(-1,/)]:%[last_rule_line] bc=%[bc_err]:%[bc_err_str] fc=%[fc_err]:%[fc_err_str] %hr %hs\"";
    let row = |name: &'static str, front: &str, back: &str| {
        Row::new(name)
            .defaults(RULES)
            .front(front)
            .back(back)
            .get("/")
            .get("/deny")
            .get("/allow")
            .get("/back")
    };
    compare(vec![
        row("no rule ends anything", "http-request set-header a b", ""),
        row(
            "deny and allow",
            "http-request deny if { path /deny }\nhttp-request allow if { path /allow }\nhttp-request set-header a b",
            "",
        ),
        row(
            "rules of the backend",
            "http-request allow if { path /allow }",
            "http-request deny if { path /back }\nhttp-request redirect location /x if { path /deny }",
        ),
        row(
            "rules of responses",
            "http-response deny if { path /deny }",
            "http-response allow\nhttp-response deny",
        ),
        row(
            "rules after responses",
            "http-after-response allow if { status 200 }\nhttp-after-response set-header a b",
            "",
        ),
        row(
            "return and reject",
            "http-request return status 200 if { path /allow }\nhttp-request reject if { path /deny }",
            "",
        ),
        row("tarpit", "timeout tarpit 1s\nhttp-request tarpit if { path /deny }", ""),
        row("redirect lines are no rules", "redirect location /y if { path /deny }", ""),
        row("auth", "http-request auth if { path /deny }", ""),
        row(
            "content",
            "tcp-request content accept if { path /allow }\ntcp-request content reject if { path /deny }",
            "",
        ),
        row("content of responses", "", "tcp-response content accept"),
        row(
            "a failed rewrite",
            "http-request deny deny_status 429 if { path /deny }",
            "http-request silent-drop if { path /none }",
        ),
        row(
            "captures by converters",
            "declare capture request len 5\ndeclare capture response len 8\nhttp-request set-var(txn.a) path,capture-req(0)\nhttp-request set-var(txn.b) path,capture-req(7)\nhttp-response set-var(txn.c) status,concat(-answer),capture-res(0)",
            "",
        ),
        Row::new("nobody listens")
            .defaults(RULES)
            .back("retries 0\nserver s2 ADDR:1\nuse-server s2 if TRUE")
            .get("/"),
        Row::new("no handshake")
            .defaults(RULES)
            .back("retries 0\nserver s2 ADDR:9001 ssl verify none\nuse-server s2 if TRUE")
            .answer("HTTP/1.0 400 No\r\n\r\n")
            .get("/"),
        Row::new("no server at all")
            .defaults(RULES)
            .front("use_backend empty")
            .more("backend empty")
            .get("/"),
    ]);
}

/// Times differ between two runs; that there are any does not.
#[test]
fn the_kernel_measures_clients() {
    let shown_if = [
        "fc_rtt(us),bool",
        "fc_rtt,length,bool",
        "fc_rttvar(us),bool",
        "fc_unacked",
        "fc_sacked",
        "fc_retrans",
        "fc_fackets",
        "fc_lost",
        "fc_reordering",
    ];
    compare(vec![
        Row::new("over TCP").front(&shown(&shown_if)).get("/"),
        Row::new("in content rules").front("tcp-request content set-var(sess.a) fc_rtt(us),bool\nhttp-request return status 200 hdr x-a %[var(sess.a)]").get("/"),
    ]);
}
