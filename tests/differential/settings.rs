//! Settings of proxies, servers and the process that change what is said on the wire or in the log, one row each.

use crate::rig::{Row, compare};

const BACK_AT_ONCE: &str = "HTTP/1.1 200 OK\r\nX-Lower: 1\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn names_of_headers() {
    let odd = "X_Under: 1|X.Dot: 2|X-Plain: 3|X$y: 4";
    let row = |name: &'static str| {
        Row::new(name).defaults(name).get_with("/", odd).get_with("/plain", "X-Plain: 1")
    };
    let adjusted = "global\nh1-case-adjust-file cases";
    let file = "# names\nx-lower X-LoWeR\n\nhost HOST\ncontent-length Content-Length\n";
    compare(vec![
        row("option http-restrict-req-hdr-names preserve"),
        row("option http-restrict-req-hdr-names delete"),
        row("option http-restrict-req-hdr-names reject"),
        Row::new("names restricted by the backend")
            .back("option http-restrict-req-hdr-names reject")
            .get_with("/", odd),
        Row::new("names restricted by the frontend, not by the backend")
            .front("option http-restrict-req-hdr-names delete")
            .back("option http-restrict-req-hdr-names preserve")
            .get_with("/", odd),
        row("http-send-name-header X-Server"),
        Row::new("http-send-name-header replaces")
            .back("http-send-name-header X-Plain")
            .get_with("/", "X-Plain: a|X-Plain: b"),
        Row::new("names in a file")
            .more(adjusted)
            .file("cases", file)
            .front("option h1-case-adjust-bogus-client")
            .back("option h1-case-adjust-bogus-server")
            .answer(BACK_AT_ONCE)
            .get_with("/", "X-Lower: 1"),
        Row::new("names in a file, for clients only")
            .more(adjusted)
            .file("cases", file)
            .front("option h1-case-adjust-bogus-client")
            .answer(BACK_AT_ONCE)
            .get_with("/", "X-Lower: 1"),
    ]);
}

#[test]
fn options_of_servers() {
    let row =
        |name: &'static str| Row::new(name).back(&format!("balance roundrobin\n{name}")).get("/a").get("/b");
    compare(vec![
        row("default-server send-proxy"),
        row("default-server send-proxy\nserver s2 ADDR:9001 no-send-proxy\nuse-server s2 if { path /b }"),
        row(
            "default-server send-proxy\nserver s2 ADDR:9001 send-proxy-v2 no-send-proxy-v2\nuse-server s2 if { path /b }",
        ),
        row("default-server proxy-v2-options ssl,unique-id"),
        row("default-server disabled\nserver s2 ADDR:9001 enabled"),
        row("default-server backup\nserver s2 ADDR:9001 no-backup"),
        row("default-server weight 3\nserver s2 ADDR:9001 weight 1"),
        row("server s2 ADDR:9001 redir http://other.example\nuse-server s2 if { path /b }"),
        row("server-template t 1-3 ADDR:9001\nuse-server t2 if { path /b }"),
        row(
            "cookie S insert\ndefault-server cookie x\nserver s2 ADDR:9001 cookie y\nuse-server s2 if { path /b }",
        ),
        Row::new("a server at the client's destination")
            .front("http-request set-dst str(ADDR)\nhttp-request set-dst-port int(9001)\nuse_backend far")
            .more("backend far\n    server far 0.0.0.0")
            .get("/"),
    ]);
}

#[test]
fn the_environment() {
    let row = |global: &'static str| {
        Row::new(global)
            .more(&format!("global\n{global}\nfrontend more\n    bind ADDR:8081\n    http-request return status 200 hdr x-a \"<$WEIR_A>\" hdr x-b \"<${{WEIR_B}}>\" hdr x-e \"<%[env(WEIR_A)]>\""))
            .back("server s2 ADDR:8081\nuse-server s2 if TRUE")
            .get("/")
    };
    compare(vec![
        row("setenv WEIR_A 1\nsetenv WEIR_B 2"),
        row("setenv WEIR_A 1\nsetenv WEIR_A 2"),
        row("setenv WEIR_A 1\npresetenv WEIR_A 2\npresetenv WEIR_B 3"),
        row("setenv WEIR_A 1\nsetenv WEIR_B 2\nunsetenv WEIR_A"),
        row("setenv WEIR_A 1\nsetenv WEIR_B 2\nresetenv WEIR_B"),
        row("setenv WEIR_A 1\nresetenv"),
        row("setenv WEIR_A \"a b\"\nsetenv WEIR_B '$WEIR_A'"),
    ]);
}

#[test]
fn lengths_in_the_log() {
    let long = "/0123456789/0123456789/0123456789/0123456789/0123456789/0123456789";
    let row = |name: &'static str| {
        Row::new(name)
            .more(&format!("global\n{name}"))
            .front("option httplog\ncapture cookie S len 63\ncapture request header X-A len 40")
            .get_with(long, &format!("Cookie: S={long}|X-A: {long}"))
    };
    compare(vec![
        row("tune.http.logurilen 20"),
        row("tune.http.logurilen 2000"),
        row("tune.http.cookielen 10"),
        row("tune.http.maxhdr 100"),
    ]);
}

#[test]
fn halves_of_waiting() {
    let reject = |name: &'static str, rules: &str| Row::new(name).front(rules).get("/");
    compare(vec![
        // haproxy logs no request there: nothing has looked at it.
        reject(
            "WAIT_END rejects when the delay is over",
            "log-format \"%ST %ts %b\"\ntcp-request inspect-delay 100ms\ntcp-request content reject if WAIT_END",
        ),
        reject(
            "wait_end accepts when the delay is over",
            "tcp-request inspect-delay 100ms\ntcp-request content accept if { wait_end }",
        ),
    ]);
}
