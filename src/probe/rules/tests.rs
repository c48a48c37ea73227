//! Rule sets at work on scripted input. The words of the findings are those that Debian's haproxy wrote in the same cases.

use super::machine::{Failure, Machine, Order};
use super::scene::Scene;
use crate::config::environment::Environment;
use crate::config::model::check::RuleSet;
use crate::config::model::{CheckKind, Proxy};
use crate::config::{Source, load};
use crate::expr::facts::{LiveFacts, ProcessFacts, ServerNumber};
use crate::health::{Finding, Status};
use crate::ids::ProxyIndex;
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

/// A process without anything in it.
struct Nothing;

impl LiveFacts for Nothing {
    fn frontend_by_name(&self, _: &str) -> Option<ProxyIndex> {
        None
    }
    fn backend_by_name(&self, _: &str) -> Option<ProxyIndex> {
        None
    }
    fn nbsrv(&self, _: ProxyIndex) -> i64 {
        0
    }
    fn server_is_up(&self, _: ProxyIndex, _: &str) -> bool {
        false
    }
    fn server_number(&self, _: ProxyIndex, _: &str, _: ServerNumber) -> Option<i64> {
        None
    }
    fn connslots(&self, _: ProxyIndex) -> i64 {
        0
    }
    fn avg_queue(&self, _: ProxyIndex) -> i64 {
        0
    }
    fn queue(&self, _: ProxyIndex) -> i64 {
        0
    }
    fn be_conn(&self, _: ProxyIndex) -> i64 {
        0
    }
    fn fe_conn(&self, _: ProxyIndex) -> i64 {
        0
    }
    fn fe_sess_rate(&self, _: ProxyIndex) -> i64 {
        0
    }
    fn be_sess_rate(&self, _: ProxyIndex) -> i64 {
        0
    }
    fn be_conn_free(&self, _: ProxyIndex) -> i64 {
        0
    }
    fn fe_req_rate(&self, _: ProxyIndex) -> i64 {
        0
    }
    fn proxy_name(&self, _: ProxyIndex) -> Option<&str> {
        None
    }
    fn connections(&self) -> i64 {
        0
    }
    fn uptime(&self) -> i64 {
        0
    }
    fn is_stopping(&self) -> bool {
        false
    }
    fn is_local(&self, _: IpAddr) -> bool {
        false
    }
}

fn rules(lines: &str) -> (Arc<Proxy>, Arc<RuleSet>) {
    let text = format!(
        "defaults\n timeout connect 1s\n timeout server 1s\nbackend be\n{lines}\n server s 127.0.0.1:1\n"
    );
    let source = Source { name: "test".into(), bytes: text.into_bytes() };
    let loaded = load(&[source], &Environment::default()).unwrap_or_else(|d| panic!("{lines}: {d:?}"));
    let proxy = Arc::clone(&loaded.config.proxies[0]);
    let CheckKind::Rules(rules) = proxy.back.as_ref().unwrap().check.clone() else {
        panic!("no rules: {lines}");
    };
    (proxy, rules)
}

/// What happens on the connection.
enum Event {
    Bytes(&'static [u8]),
    End,
    Reset,
    Timeout,
    Refused,
}
use Event::{Bytes, End, Refused, Reset, Timeout};

fn shown(finding: &Finding) -> String {
    let mut text = finding.status.code().to_owned();
    if let Some(code) = finding.code {
        let _ = write!(text, " {code}");
    }
    if let Some(info) = &finding.info {
        let _ = write!(text, " [{info}]");
    }
    text
}

/// Connects and sends as wanted; each wait takes the next event. `expected`: what was done and found, `|` between.
fn check(lines: &str, events: Vec<Event>, expected: &str) {
    let (proxy, rules) = rules(lines);
    let server: Arc<str> = "s".into();
    let process = ProcessFacts { pid: 1, hostname: "host", nbthread: 1, thread: 0 };
    let scene = Scene::new(&Nothing, &proxy, &server, process, SystemTime::UNIX_EPOCH);
    let mut machine = Machine::new(&rules, scene, rules.disable_on_404, None);
    let mut events = events.into_iter();
    let mut said = Vec::new();
    let mut order = machine.start();
    let finding = loop {
        order = match order {
            Order::Done(finding) => break finding,
            Order::Connect { port, .. } => {
                said.push(port.map_or("connect".to_owned(), |p| format!("connect {p}")));
                if matches!(events.as_slice().first(), Some(Refused)) {
                    let text = Some("Connection refused".to_owned());
                    break machine.failed(Failure { status: Status::L4Connect, text });
                }
                machine.connected(false)
            }
            Order::Send(bytes) => {
                said.push(String::from_utf8_lossy(&bytes).escape_debug().to_string());
                machine.sent()
            }
            Order::Request(request) => {
                said.push(String::from_utf8_lossy(&request.bytes()).escape_debug().to_string());
                machine.sent()
            }
            Order::Receive => match events.next() {
                Some(Bytes(bytes)) => machine.received(bytes),
                Some(End) => machine.ended(),
                Some(Reset) => {
                    let text = Some("Connection reset by peer".to_owned());
                    machine.broken(Failure { status: Status::SocketError, text })
                }
                Some(Timeout | Refused) | None => break machine.timed_out(),
            },
        };
    };
    said.push(shown(&finding));
    assert_eq!(said.join("|"), expected, "{lines}");
}

fn tcp(lines: &str, events: Vec<Event>, expected: &str) {
    check(&format!("option tcp-check\n{lines}"), events, expected);
}

fn http(lines: &str, events: Vec<Event>, expected: &str) {
    check(&format!("option httpchk\n{lines}"), events, &format!("connect|{expected}"));
}

#[test]
fn expectations() {
    let expect = |rule: &str, events, expected: &str| {
        tcp(&format!("tcp-check expect {rule}"), events, &format!("connect|{expected}"));
    };
    expect("string +OK", vec![Bytes(b"+OK ready")], "L7OK [(tcp-check)]");
    expect("string +OK", vec![Bytes(b"+O"), Bytes(b"K")], "L7OK [(tcp-check)]");
    expect(
        "string +OK",
        vec![Bytes(b"-ERR"), Timeout],
        "L7TOUT [ at step 1 of tcp-check (expect string '+OK')]",
    );
    expect("string +OK", vec![Bytes(b"-ERR"), End], "L7RSP [TCPCHK did not match content '+OK' at step 1]");
    expect("string +OK", vec![Bytes(b"-ERR"), Reset], "L7RSP [TCPCHK did not match content '+OK' at step 1]");
    expect("string +OK", vec![End], "L7RSP [TCPCHK got an empty response at step 1]");
    expect(
        "comment cc string +OK",
        vec![End],
        "L7RSP [TCPCHK got an empty response at step 1 comment: 'cc']",
    );
    let reset = "SOCKERR [Connection reset by peer at step 1 of tcp-check (expect string '+OK')]";
    expect("string +OK", vec![Reset], reset);
    expect("! string ERR", vec![Bytes(b"-ERR")], "L7RSP [TCPCHK matched unwanted content 'ERR' at step 1]");
    expect("! string ERR", vec![Bytes(b"+OK"), End], "L7OK [(tcp-check)]");
    expect("binary 2b4f4b", vec![Bytes(b"+OK")], "L7OK [(tcp-check)]");
    expect(
        "binary 2b4f4b",
        vec![Bytes(b"+NO"), End],
        "L7RSP [TCPCHK did not match content (binary) at step 1]",
    );
    expect("rbinary ^2B4F", vec![Bytes(b"+OK")], "L7OK [(tcp-check)]");
    expect(
        "rstring ^[0-9]+",
        vec![Bytes(b"x"), End],
        "L7RSP [TCPCHK did not match content (regex) at step 1]",
    );
    expect("string-lf %[str(O)]K", vec![Bytes(b"OK")], "L7OK [(tcp-check)]");
    let nothing = "L7RSP [log-format string evaluated to an empty string comment: cc]";
    expect("comment cc string-lf %[var(check.no)]", vec![Bytes(b"OK")], nothing);
    expect("binary-lf %[str(4f4b)]", vec![Bytes(b"OK")], "L7OK [(tcp-check)]");
    expect("min-recv 0 string OK", vec![Bytes(b"hi")], "L7RSP [TCPCHK did not match content 'OK' at step 1]");
    expect("min-recv 1 string OK", vec![Bytes(b"O"), Bytes(b"K")], "L7OK [(tcp-check)]");
    expect("min-recv 9 ! string OK", vec![Bytes(b"hi"), Bytes(b" to you all")], "L7OK [(tcp-check)]");
    expect(
        "min-recv 9 string OK",
        vec![Bytes(b"OK"), Timeout],
        "L7TOUT [ at step 1 of tcp-check (expect string 'OK')]",
    );
}

#[test]
fn options_of_expectations() {
    let expect = |rule: &str, events, expected: &str| {
        tcp(&format!("tcp-check expect {rule}"), events, &format!("connect|{expected}"));
    };
    expect("ok-status L6OK string OK", vec![Bytes(b"OK")], "L6OK [(tcp-check)]");
    expect("error-status L7OKC string OK", vec![End], "L7OKC [TCPCHK got an empty response at step 1]");
    expect(
        "tout-status L4TOUT string OK",
        vec![Timeout],
        "L4TOUT [ at step 1 of tcp-check (expect string 'OK')]",
    );
    expect(
        "on-success got:%[res.payload(0,0)] string OK",
        vec![Bytes(b"OK here\0more")],
        "L7OK [got:OK here]",
    );
    expect(
        "comment c on-error got:%[res.payload(0,0)] ! string OK",
        vec![Bytes(b"OK")],
        "L7RSP [got:OK comment: c]",
    );
    expect("status-code res.payload(0,3) string OK", vec![Bytes(b"456 OK")], "L7OK 456 [(tcp-check)]");
}

#[test]
fn steps() {
    let two = "tcp-check connect\ntcp-check send PING\ntcp-check expect string PONG\ntcp-check connect port 7 comment c\n";
    tcp(two, vec![Bytes(b"PONG")], "connect|PING|connect 7|L4OK [(tcp-check)]");
    tcp(
        "tcp-check connect port 7 comment c",
        vec![Refused],
        "connect 7|L4CON [Connection refused at step 1 of tcp-check (connect port 7) comment: 'c']",
    );
    tcp(
        "tcp-check expect string x",
        vec![Refused],
        "connect|L4CON [Connection refused at initial connection step of tcp-check]",
    );
    tcp(
        "tcp-check send-binary 50494e47\ntcp-check send-lf %[str(x)]y",
        vec![],
        "connect|PING|xy|L7OK [(tcp-check)]",
    );
    tcp(
        "tcp-check send-binary-lf %[str(zz)]",
        vec![],
        "connect|L7RSP [tcp-check send : failed to build log-format string at step 1]",
    );
    // What came before a send is gone after it.
    tcp(
        "tcp-check expect string OK\ntcp-check send x\ntcp-check expect string ready",
        vec![Bytes(b"OK ready"), Timeout],
        "connect|x|L7TOUT [ at step 3 of tcp-check (expect string 'ready')]",
    );
    tcp(
        "tcp-check expect string OK\ntcp-check expect string ready",
        vec![Bytes(b"OK ready")],
        "connect|L7OK [(tcp-check)]",
    );
    tcp(
        "tcp-check set-var(check.p) int(99)\ntcp-check connect port var(check.p)",
        vec![],
        "connect 99|L4OK [(tcp-check)]",
    );
    tcp(
        "tcp-check set-var-fmt(check.n) %[be_name]/%[srv_name]\ntcp-check send-lf %[var(check.n)]\n\
         tcp-check unset-var(check.n)\ntcp-check send-lf <%[var(check.n)]>",
        vec![],
        "connect|be/s|<>|L7OK [(tcp-check)]",
    );
}

/// A comment counts for the steps of one kind that follow it.
#[test]
fn comments() {
    let wrong = |lines: &str, expected: &str| tcp(lines, vec![Bytes(b"OK"), End], expected);
    wrong(
        "tcp-check comment c\ntcp-check expect string OK\ntcp-check expect string no",
        "connect|L7RSP [TCPCHK did not match content 'no' at step 3 comment: c]",
    );
    wrong(
        "tcp-check expect comment c string OK\ntcp-check expect string no",
        "connect|L7RSP [TCPCHK did not match content 'no' at step 2]",
    );
    wrong(
        "tcp-check comment c\ntcp-check set-var(check.a) int(1)\ntcp-check expect string no",
        "connect|L7RSP [TCPCHK did not match content 'no' at step 3]",
    );
}

const OK: &[u8] = b"HTTP/1.1 200 Fine\r\nX-A: no,yes\r\ncontent-length: 5\r\n\r\nhello";
const PLAIN: &str = "OPTIONS / HTTP/1.0\\r\\n\\r\\n";

#[test]
fn http_requests() {
    let sends = |lines: &str, expected: &str| {
        let text = expected.replace('\n', "\\r\\n");
        http(lines, vec![Bytes(OK)], &format!("{text}|L7OK 200"));
    };
    sends("", "OPTIONS / HTTP/1.0\n\n");
    sends(
        "http-check send meth POST uri /a?b ver HTTP/1.1 hdr Host www hdr X-Y %[str(lf)] body hello",
        "POST /a?b HTTP/1.1\nhost: www\nx-y: lf\ncontent-length: 5\nconnection: close\n\nhello",
    );
    sends(
        "http-check set-var(check.a) str(b)\nhttp-check send uri-lf /%[var(check.a)] body-lf %[str(x)]",
        "OPTIONS /b HTTP/1.0\ncontent-length: 1\n\nx",
    );
    sends(
        "http-check send meth GET uri http://abc/x ver HTTP/1.1 hdr Host def",
        "GET http://def/x HTTP/1.1\nhost: def\nconnection: close\n\n",
    );
    sends(
        "http-check send ver HTTP/2.0 hdr content-length 9 hdr Connection x",
        "OPTIONS / HTTP/1.1\nconnection: x\n\n",
    );
    sends("http-check connect", "OPTIONS / HTTP/1.0\n\n");
}

#[test]
fn http_expectations() {
    let expect = |rule: &str, events, expected: &str| {
        http(&format!("http-check expect {rule}"), events, &format!("{PLAIN}|{expected}"));
    };
    expect("status 200-299,404", vec![Bytes(OK)], "L7OK 200");
    expect("status 201", vec![Bytes(OK)], "L7STS 200 [Fine]");
    expect("comment c ! status 200", vec![Bytes(OK)], "L7STS 200 [Fine comment: c]");
    expect("rstatus ^3", vec![Bytes(OK)], "L7STS 200 [Fine]");
    expect("hdr name x-a value yes", vec![Bytes(OK)], "L7OK 200");
    expect("fhdr name X-A value -m end yes", vec![Bytes(OK)], "L7OK 200");
    expect("fhdr name x-a value yes", vec![Bytes(OK)], "L7STS 200 [Fine]");
    expect("hdr name -m reg ^X- value -m sub e", vec![Bytes(OK)], "L7OK 200");
    expect("hdr name-lf x-%[str(a)] value-lf %[str(no)]", vec![Bytes(OK)], "L7OK 200");
    expect("! hdr name x-b", vec![Bytes(OK)], "L7OK 200");
    expect("string hell", vec![Bytes(OK)], "L7OK 200");
    expect("string hall", vec![Bytes(OK)], "L7RSP 200 [HTTP content check did not match]");
    expect("! rstring h.l", vec![Bytes(OK)], "L7RSP 200 [HTTP check matched unwanted content]");
    expect(
        "string x",
        vec![Bytes(b"HTTP/1.1 204 No\r\n\r\n")],
        "L7RSP 204 [HTTP content check could not find a response body]",
    );
    expect(
        "string hello",
        vec![
            Bytes(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n"),
            Bytes(b"2\r\nlo\r\n0\r\n\r\n"),
        ],
        "L7OK 200",
    );
    expect("string hello", vec![Bytes(b"HTTP/1.0 200 OK\r\n\r\nhel"), Bytes(b"lo"), End], "L7OK 200");
    expect("string hello", vec![Bytes(b"HTTP/1.0 200 OK\r\n\r\nhel"), Timeout], "L7TOUT");
    expect(
        "on-error %[status],%[res.hdr(x-a,1)],%[res.body] status 1",
        vec![Bytes(OK)],
        "L7STS 200 [200,no,hello]",
    );
    expect("status 200", vec![Bytes(b"HTTP/1.1 20"), End], "L7RSP");
    expect("status 200", vec![Bytes(b"junk\r\n\r\n")], "L7RSP");
    expect("status 200", vec![Bytes(b"HTTP/1.1 20"), Reset], "SOCKERR [Connection reset by peer]");
    expect("status 200\nhttp-check disable-on-404", vec![Bytes(b"HTTP/1.0 404 No\r\n\r\n")], "L7OKC 404");
    expect("status 200\nhttp-check expect string hello", vec![Bytes(OK)], "L7OK 200");
}

#[test]
fn protocols() {
    check(
        "option redis-check",
        vec![Bytes(b"+PONG\r\n")],
        "connect|*1\\r\\n$4\\r\\nPING\\r\\n|L7OK [Redis server is ok]",
    );
    check(
        "option redis-check",
        vec![Bytes(b"-NOAUTH\r\n"), End],
        "connect|*1\\r\\n$4\\r\\nPING\\r\\n|L7STS [-NOAUTH]",
    );
    let smtp = "connect|HELO localhost\\r\\n|QUIT\\r\\n|";
    check(
        "option smtpchk",
        vec![Bytes(b"220 x\r\n"), Bytes(b"250 hi\r\n"), Bytes(b"221 bye\r\n")],
        &format!("{smtp}L7OK 221 [bye]"),
    );
    check("option smtpchk", vec![Bytes(b"554 go away\r\n")], "connect|L7STS 554 [go away]");
    check("option smtpchk", vec![Bytes(b"garbage\r\n")], "connect|L7RSP [garbage]");
    check(
        "option smtpchk EHLO me",
        vec![Bytes(b"220 x\r\n"), Bytes(b"250-a\r\n250 b\r\n"), Bytes(b"221 bye\r\n")],
        "connect|EHLO me\\r\\n|QUIT\\r\\n|L7OK 221 [bye]",
    );
    let (_, pgsql) = rules("option pgsql-check user bob");
    assert_eq!(pgsql.steps.len(), 4);
    let startup = "connect|\\0\\0\\0\\u{12}\\0\\u{3}\\0\\0user\\0bob\\0\\0|";
    check(
        "option pgsql-check user bob",
        vec![Bytes(b"R\0\0\0\x0c\0\0\0\x05abcd")],
        &format!("{startup}L7OK [PostgreSQL server is ok]"),
    );
    check(
        "option pgsql-check user bob",
        vec![Bytes(b"E\0\0\0\x20SFATAL\0C28000\0")],
        &format!("{startup}L7RSP [FATAL]"),
    );
    check(
        "option pgsql-check user bob",
        vec![Bytes(b"garbage garbage")],
        &format!("{startup}L7STS [PostgreSQL unknown error]"),
    );
    check("option mysql-check", vec![Bytes(b"\x0f\0\0\0\x0a8.0.30\0AAAABBB")], "connect|L7OK [8.0.30]");
}

/// Rules of a section take the place of those of `defaults`; the kind stays.
#[test]
fn inheritance() {
    let check = |defaults: &str, lines: &str, expected: usize| {
        let text =
            format!("defaults\n timeout connect 1s\n timeout server 1s\n{defaults}\nbackend be\n{lines}\n");
        let source = Source { name: "test".into(), bytes: text.into_bytes() };
        let loaded = load(&[source], &Environment::default()).unwrap_or_else(|d| panic!("{lines}: {d:?}"));
        let steps = match &loaded.config.proxies[0].back.as_ref().unwrap().check {
            CheckKind::Rules(rules) => rules.steps.len(),
            _ => 0,
        };
        assert_eq!(steps, expected, "{defaults} / {lines}");
    };
    let two = "option tcp-check\ntcp-check send a\ntcp-check send b";
    check(two, "", 3);
    check(two, "option tcp-check", 3);
    check(two, "tcp-check send c", 2);
    check(two, "option redis-check", 3);
    check("option httpchk\nhttp-check expect status 1-2\nhttp-check expect status 3", "", 4);
    check("option httpchk\nhttp-check expect status 1-2\nhttp-check expect status 3", "option httpchk", 3);
}

#[test]
fn digests() {
    const ABC: &str = "digest 900150983cd24fb0d6963f7d28e17f72";
    let expect = |rule: &str, events, expected: &str| {
        http(
            &format!("http-check expect {rule}"),
            events,
            &format!(r"OPTIONS / HTTP/1.0\r\n\r\n|{expected}"),
        );
    };
    let ok = "L7OK 200";
    expect(ABC, vec![Bytes(b"HTTP/1.1 200 OK\r\n\r\nab"), Bytes(b"c"), End], ok);
    let keepalive = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\na";
    expect(ABC, vec![Bytes(keepalive), Bytes(b"b"), Bytes(b"c")], ok);
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n";
    expect(ABC, vec![Bytes(chunked), Bytes(b"2\r\nb"), Bytes(b"c\r\n0\r\n\r\n")], ok);
    expect(&ABC.to_uppercase().replace("DIGEST", "digest"), vec![Bytes(keepalive), Bytes(b"bc")], ok);
    let other = "L7RSP 200 [HTTP digest check did not match (187ef4436122d1cc2f40dc2b92f0eba0)]";
    expect(ABC, vec![Bytes(b"HTTP/1.1 200 OK\r\n\r\nab"), End], other);
    expect(&format!("! {ABC}"), vec![Bytes(b"HTTP/1.1 200 OK\r\n\r\nab"), End], ok);
    expect(ABC, vec![Bytes(keepalive), Timeout], "L7TOUT");
    // An empty body has a digest, too.
    let nothing = "digest d41d8cd98f00b204e9800998ecf8427e";
    expect(nothing, vec![Bytes(b"HTTP/1.1 204 No\r\n\r\n")], "L7OK 204");
    expect(nothing, vec![Bytes(b"garbage\r\n\r\n")], "L7RSP");
}
