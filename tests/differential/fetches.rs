//! What rules see of requests that people and scanners send.

use crate::rig::{Row, compare};

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

/// Rules that answer every request with what the fetches give.
fn shown(fetches: &[&str]) -> String {
    let mut rules = String::new();
    for (i, fetch) in fetches.iter().enumerate() {
        rules += &format!("http-request set-var-fmt(txn.v{i}) \"<%[{fetch}]>\"\n");
        rules += &format!("http-after-response set-header h{i} \"%[var(txn.v{i})]\"\n");
    }
    rules + "http-request return status 200"
}

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
