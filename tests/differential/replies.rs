//! Error bodies, configured replies, authentication, monitoring.

use crate::harness;
use crate::harness::process::{Program, Proxy};
use crate::rig::{Row, compare};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const FRONT: u16 = 8080;

#[test]
fn statuses() {
    let mut rows: Vec<Row> = Vec::new();
    for status in [
        "200", "400", "401", "403", "404", "405", "407", "408", "410", "413", "425", "429", "500", "501",
        "502", "503", "504",
    ] {
        let rule = format!("http-request deny deny_status {status}");
        rows.push(Row::new("deny_status").front(&rule).get("/").send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"));
    }
    for status in ["200", "201", "204", "301", "304", "400", "404", "418", "500", "503"] {
        rows.push(
            Row::new("return status")
                .front(&format!("http-request return status {status}"))
                .get("/")
                .get("/"),
        );
    }
    compare(rows);
}

#[test]
fn configured() {
    let page =
        "HTTP/1.1 403 Custom\r\nContent-Type: text/plain\r\nX-Page: yes\r\nContent-Length: 4\r\n\r\npage";
    let bare = "HTTP/1.0 403 Bare\r\nContent-Type: text/plain\r\n\r\nno length";
    let denied = |name: &'static str, lines: &str| {
        Row::new(name)
            .front(&format!("{lines}\nhttp-request deny"))
            .get("/")
            .send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
    };
    compare(vec![
        denied("errorfile", "errorfile 403 page.http").file("page.http", page),
        denied("errorfile without a length", "errorfile 403 page.http").file("page.http", bare),
        denied("errorfile in defaults", "").defaults("errorfile 403 page.http").file("page.http", page),
        denied("errorloc", "errorloc 403 /sorry"),
        denied("errorloc302", "errorloc302 403 http://x/sorry"),
        denied("errorloc303", "errorloc303 403 /sorry"),
        denied("http-error string", "http-error status 403 content-type text/plain string nope"),
        denied("http-error lf-string", "http-error status 403 content-type text/plain lf-string \"at %[path]\""),
        denied("http-error hdr", "http-error status 403 hdr X-A 1 hdr X-B %[path]"),
        denied("http-error file", "http-error status 403 content-type text/plain file body.txt").file("body.txt", "a body"),
        denied("http-error errorfile", "http-error status 403 errorfile page.http").file("page.http", page),
        denied("http-errors section", "errorfiles site").more("http-errors site\n    errorfile 403 page.http").file("page.http", page),
        denied("errorfiles with codes", "errorfiles site 403 404").more("http-errors site\n    errorfile 403 page.http\n    errorfile 404 page.http").file("page.http", page),
        Row::new("deny with content").front("http-request deny deny_status 429 content-type text/plain string slow hdr Retry-After 5").get("/"),
        Row::new("deny with errorfile").front("http-request deny errorfile page.http").file("page.http", page).get("/"),
        Row::new("deny default-errorfiles").front("errorfile 403 page.http\nhttp-request deny deny_status 403 default-errorfiles").file("page.http", page).get("/"),
        Row::new("return string").front("http-request return content-type text/plain string hello").get("/").send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"),
        Row::new("return lf-string").front("http-request return content-type text/plain lf-string %[path]-%ci hdr X-A %[method]").get("/p"),
        Row::new("return file").front("http-request return content-type text/plain file f.txt").file("f.txt", "content\n").get("/"),
        Row::new("return lf-file").front("http-request return content-type text/plain lf-file f.txt").file("f.txt", "[%[path]]\n").get("/z"),
        Row::new("return keeps the connection").front("http-request return status 200").send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n"),
        Row::new("return to a POST").front("http-request return status 200").send("POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: h\r\n\r\n"),
        Row::new("monitor-uri").front("monitor-uri /mon").get("/mon").get("/mon?x").get("/monx").send("HEAD /mon HTTP/1.0\r\n\r\n"),
        Row::new("monitor fail").front("monitor-uri /mon\nmonitor fail if { nbsrv(dead) lt 1 }").more("backend dead\n    server d 127.0.0.1:9 disabled").get("/mon"),
        Row::new("reject").front("http-request reject").get("/"),
        Row::new("tarpit").front("timeout tarpit 50ms\nhttp-request tarpit deny_status 429").get("/"),
        Row::new("no server").back("server dead 127.0.0.1:9 disabled\nuse-server dead if { path / }").get("/"),
        Row::new("all servers down").front("use_backend dead").more("backend dead\n    server d 127.0.0.1:9 disabled").get("/"),
        Row::new("backend without servers").front("use_backend none").more("backend none").get("/"),
        Row::new("refused").front("use_backend dead").more("backend dead\n    retries 0\n    server d ADDR:9").get("/"),
        Row::new("refused, two retries").front("use_backend dead").more("backend dead\n    retries 2\n    timeout connect 20ms\n    server d ADDR:9").get("/"),
        Row::new("refused, redispatched").front("use_backend dead").more("backend dead\n    balance first\n    retries 1\n    timeout connect 20ms\n    option redispatch\n    server d ADDR:9\n    server e ADDR:9001").get("/"),
        Row::new("empty answer").answer("").defaults("retries 0").get("/"),
        Row::new("garbage answer").answer("rubbish\r\n\r\n").defaults("retries 0").get("/"),
        Row::new("cut answer").answer("HTTP/1.1 200 OK\r\nContent-Le").defaults("retries 0").get("/"),
        Row::new("cut body").answer("HTTP/1.1 200 OK\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab\r\n0\r\n\r\n").defaults("timeout server 300ms").get("/"),
        Row::new("retry-on 503").answer("HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno").answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes").back("retries 2\nretry-on 503").get("/"),
        Row::new("retry-on empty-response").answer("").answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes").back("retries 2\nretry-on empty-response").get("/"),
        Row::new("retry-on exhausted").answer("HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno").back("retries 2\nretry-on 503").get("/"),
    ]);
}

#[test]
fn authentication() {
    let lists = "userlist people\n    group admins users root\n    user root insecure-password toor\n    user bob insecure-password builder\n    user md5 password $1$sa1t$BI4QtIEEs5Rs0yOQ2LQR00\n    user sha password $6$sa1t$hMlqpnHpcmtnCsR8O3h8j1rrTfoVkUYrYRMJMNvHqqyqE0gNL3vpKKBVn1C7mZcbCPQuXC3QX8KNFVwGFSnm6.";
    let visit = |row: Row| {
        row.more(lists)
            .get("/")
            .get_with("/", "Authorization: Basic cm9vdDp0b29y")
            .get_with("/", "Authorization: Basic Ym9iOmJ1aWxkZXI=")
            .get_with("/", "Authorization: Basic Ym9iOndyb25n")
            .get_with("/", "authorization: basic cm9vdDp0b29y")
            .get_with("/", "Authorization: Bearer x")
            .get_with("/", "Authorization: Basic !!!!")
            .get_with("/", "Proxy-Authorization: Basic cm9vdDp0b29y")
            .send("GET http://h/ HTTP/1.1\r\nHost: h\r\nProxy-Authorization: Basic cm9vdDp0b29y\r\n\r\n")
    };
    compare(vec![
        visit(Row::new("auth").front("http-request auth unless { http_auth(people) }")),
        visit(Row::new("auth realm").front("http-request auth realm Members\\ Only unless { http_auth(people) }")),
        visit(Row::new("group").front("http-request deny unless { http_auth_group(people) admins }")),
        visit(Row::new("user fetches").front("http-request return status 200 hdr x-u \"%[http_auth_user]|%[http_auth_pass]|%[http_auth_type]\"")),
        visit(Row::new("auth in the backend").back("http-request auth unless { http_auth(people) }")),
    ]);
}

/// What a client of `mode tcp` sent before there was nobody to pass it to is taken: closing upon it would be a reset.
#[test]
fn a_connection_without_a_server_ends_by_fin() {
    for program in [Program::HaProxy, Program::Weir] {
        let address = harness::own_address();
        let config = format!(
            "defaults\n    mode tcp\n    timeout connect 10s\n    timeout client 30s\n    timeout server 30s\nfrontend f\n    bind {address}:{FRONT}\n    \
             default_backend b\nbackend b\n"
        );
        let proxy = Proxy::start(program, &config, address, &[FRONT]).unwrap_or_else(|e| panic!("{e}"));
        for round in 0..5 {
            // The client has connected and spoken before it is accepted.
            proxy.signal("STOP");
            let mut client = TcpStream::connect((address, FRONT)).unwrap();
            client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            client.write_all(b"hello").unwrap();
            proxy.signal("CONT");
            let end = client.read(&mut [0]);
            assert!(matches!(end, Ok(0)), "round {round} of {program:?}: {end:?}");
        }
    }
}
