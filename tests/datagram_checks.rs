//! Ping, UDP and DNS checks: against real servers, closed ports, silence and lies.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::own_address;
use harness::process::Program;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);
const DEFAULTS: &str = "defaults\n mode tcp\n timeout connect 20s\n timeout client 20s\n timeout server 20s\n \
                        option log-health-checks\n";

/// weir on a configuration, possibly inside something that runs it.
struct Weir {
    process: Child,
    dir: TempDir,
}

impl Weir {
    fn start(global: &str, rest: &str) -> Self {
        Self::start_by(&[], global, rest)
    }

    /// `by`: a command that runs the command after it.
    fn start_by(by: &[&str], global: &str, rest: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let socket = dir.path().join("admin.sock");
        let text = format!("global\n stats socket {}\n{global}\n{DEFAULTS}{rest}\n", socket.display());
        std::fs::write(dir.path().join("cfg"), text).unwrap();
        let program = Program::Weir.path().display().to_string();
        let mut words = by.iter().copied().chain([program.as_str(), "-db", "-f"]);
        let process = Command::new(words.next().unwrap())
            .args(words)
            .arg(dir.path().join("cfg"))
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(dir.path().join("stderr")).unwrap())
            .spawn()
            .unwrap();
        Self { process, dir }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default()
    }

    /// The first line with all of `parts`.
    fn line(&self, parts: &[&str]) -> String {
        let started = Instant::now();
        loop {
            let said = self.said();
            if let Some(line) = said.lines().find(|l| parts.iter().all(|p| l.contains(p))) {
                return line.to_owned();
            }
            assert!(started.elapsed() < LIMIT, "no line with {parts:?} in:\n{said}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A network namespace of this test's own.
struct Namespace(String);

impl Namespace {
    /// `None` without the rights for it.
    fn new(purpose: &str) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
            println!("skipped: {purpose} needs root, for a network namespace");
            return None;
        }
        let this = Self(format!("weir-{purpose}-{}", std::process::id()));
        this.ip(&["netns", "add", &this.0]);
        this.ip(&["-n", &this.0, "link", "set", "lo", "up"]);
        // Packets to this network are sent, and nobody is there.
        this.ip(&["-n", &this.0, "link", "add", "void", "type", "veth", "peer", "name", "end"]);
        this.ip(&["-n", &this.0, "link", "set", "end", "up"]);
        this.ip(&["-n", &this.0, "link", "set", "void", "arp", "off", "up"]);
        this.ip(&["-n", &this.0, "address", "add", "10.77.1.1/24", "dev", "void"]);
        this.ip(&["-n", &this.0, "route", "add", "192.0.2.0/24", "dev", "void", "src", "10.77.1.1"]);
        this.ip(&["-n", &this.0, "address", "add", "10.77.0.9/32", "dev", "lo"]);
        Some(this)
    }

    fn ip(&self, words: &[&str]) {
        assert!(Command::new("ip").args(words).status().unwrap().success(), "ip {words:?} in {}", self.0);
    }

    fn shell(&self, line: &str) {
        let status = Command::new("ip").args(["netns", "exec", &self.0, "sh", "-c", line]).status().unwrap();
        assert!(status.success(), "{line}");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

const PINGED: &str = "backend p
 option ping-check
 timeout check 500ms
 server four 127.0.0.1:1 check inter 100ms
 server six [::1]:1 check inter 100ms
 server gone 10.77.0.9:1 check inter 100ms rise 1 fall 2
 server silent 192.0.2.1:1 check inter 100ms
 server nowhere 198.51.100.1:1 check inter 100ms
 server socket unix@/nonexistent check inter 100ms";

/// Replies, silence, no route, and an address that goes and comes back; `table` shows the sockets.
fn ping(namespace: &Namespace, table: &str) {
    // The sockets must outlive the privileges.
    let by = ["ip", "netns", "exec", &namespace.0];
    let weir = Weir::start_by(&by, " user nobody\n max-spread-checks 1ms", PINGED);
    weir.line(&["p/four succeeded, reason: Layer4 check passed, check duration"]);
    weir.line(&["p/six succeeded, reason: Layer4 check passed, check duration"]);
    weir.line(&["p/gone succeeded, reason: Layer4 check passed, check duration"]);
    weir.line(&["Server p/silent is DOWN"]);
    weir.line(&["p/silent failed, reason: Layer4 timeout, check duration"]);
    weir.line(&["p/nowhere failed, reason: Layer4 connection problem, info: \"Network is unreachable\""]);
    weir.line(&["p/socket failed, reason: Socket error, info: \"the server has no IP address\""]);
    let sockets = std::fs::read_to_string(format!("/proc/{}/net/{table}", weir.process.id())).unwrap();
    assert!(sockets.lines().count() > 1, "no socket in {table}:\n{sockets}");
    namespace.ip(&["-n", &namespace.0, "address", "del", "10.77.0.9/32", "dev", "lo"]);
    weir.line(&["Server p/gone is DOWN"]);
    namespace.ip(&["-n", &namespace.0, "address", "add", "10.77.0.9/32", "dev", "lo"]);
    weir.line(&["Server p/gone is UP"]);
    for name in ["four", "six"] {
        assert!(!weir.said().contains(&format!("Server p/{name} is DOWN")), "{}", weir.said());
    }
}

#[test]
fn ping_by_raw_sockets() {
    let Some(namespace) = Namespace::new("raw") else { return };
    namespace.shell("echo 1 0 > /proc/sys/net/ipv4/ping_group_range");
    ping(&namespace, "raw");
}

#[test]
fn ping_by_unprivileged_sockets() {
    let Some(namespace) = Namespace::new("dgram") else { return };
    namespace.shell("echo 0 2147483647 > /proc/sys/net/ipv4/ping_group_range");
    ping(&namespace, "icmp");
}

#[test]
fn ping_without_any_right_is_told() {
    let Some(namespace) = Namespace::new("none") else { return };
    namespace.shell("echo 1 0 > /proc/sys/net/ipv4/ping_group_range");
    let by = ["ip", "netns", "exec", &namespace.0, "setpriv", "--bounding-set=-net_raw"];
    let weir = Weir::start_by(&by, "", PINGED);
    weir.line(&["[WARNING]", "'option ping-check' : cannot open an ICMP socket (Operation not permitted"]);
    weir.line(&[
        "p/four failed, reason: Socket error, info: \"General socket error (Operation not permitted)\"",
    ]);
}

/// `healthcheck` sections of weir's own kinds, whatever the backend checks by.
#[test]
fn sections_ping_and_ask() {
    let section = |name: &str, kind: &str| format!("healthcheck {name}\n type {kind}\n");
    let echo = udp_server(|bytes| vec![[b"<", bytes, b">"].concat()]);
    let good = udp_server(|q| vec![good_answer(q)]);
    let sections = [
        section("said", "udp-check send hello expect string <hello>"),
        section("unsaid", "udp-check send hello expect string hullo"),
        section("found", "dns-check A www.example.com"),
        section("absent", "dns-check MX www.example.com"),
    ];
    let backend = format!(
        "backend b\n option tcp-check\n server said 127.0.0.1:{echo} check inter 1s healthcheck said\n \
         server unsaid 127.0.0.1:{echo} check inter 1s healthcheck unsaid\n \
         server found 127.0.0.1:{good} check inter 1s healthcheck found\n \
         server absent 127.0.0.1:{good} check inter 1s healthcheck absent\n \
         server connected 127.0.0.1:{good} check inter 1s\n"
    );
    let weir = Weir::start(" max-spread-checks 1ms", &(sections.concat() + &backend));
    weir.line(&["b/said succeeded, reason: Layer7 check passed"]);
    weir.line(&["b/unsaid failed, reason: Layer7 invalid response", "the answer is not the one expected"]);
    weir.line(&["b/found succeeded, reason: Layer7 check passed"]);
    weir.line(&["b/absent failed, reason: Layer7 wrong status", "no MX record of www.example.com"]);
    weir.line(&["b/connected failed, reason: Layer4 connection problem"]);
    let Some(namespace) = Namespace::new("section") else { return };
    let by = ["ip", "netns", "exec", &namespace.0];
    let backend = "backend b\n server up 127.0.0.1:1 check inter 1s healthcheck pinged\n \
                   server down 198.51.100.1:1 check inter 1s healthcheck pinged\n server connected 127.0.0.1:1 check inter 1s\n";
    let weir = Weir::start_by(&by, " max-spread-checks 1ms", &(section("pinged", "ping-check") + backend));
    weir.line(&["b/up succeeded, reason: Layer4 check passed"]);
    weir.line(&["b/down failed, reason: Layer4 connection problem, info: \"Network is unreachable\""]);
    weir.line(&["b/connected failed, reason: Layer4 connection problem, info: \"Connection refused\""]);
}

/// Answers each datagram by what `answer` makes of it.
fn udp_server(answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut buffer = [0; 65535];
        while let Ok((n, from)) = socket.recv_from(&mut buffer) {
            for datagram in answer(&buffer[..n]) {
                let _ = socket.send_to(&datagram, from);
            }
        }
    });
    port
}

#[test]
fn udp() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let silent6 = UdpSocket::bind("[::1]:0").unwrap();
    let silent6_port = silent6.local_addr().unwrap().port();
    let echo = udp_server(|bytes| vec![[b"<", bytes, b">"].concat()]);
    let closed = own_address();
    let rest = format!(
        "backend plain\n option udp-check\n \
         server closed {closed}:9 check inter 200ms\n server silent 127.0.0.1:{silent_port} check inter 200ms\n \
         server silent6 [::1]:{silent6_port} check inter 200ms\n server closed6 [::1]:9 check inter 200ms\n \
         server echo 127.0.0.1:{echo} check inter 1h\n server elsewhere {closed}:9 check inter 200ms addr 127.0.0.1 port {echo}\n\
         backend text\n option udp-check send hello expect string <hello>\n server echo 127.0.0.1:{echo} check inter 1s\n \
         server silent 127.0.0.1:{silent_port} check inter 200ms\n server closed {closed}:9 check inter 200ms\n\
         backend binary\n option udp-check send-binary 00ff expect binary 3C00FF3e\n server echo 127.0.0.1:{echo} check inter 1s\n\
         backend regex\n option udp-check send abc expect rstring ^<[a-c]+>$\n server echo 127.0.0.1:{echo} check inter 1s\n\
         backend wrong\n option udp-check send abc expect string abcd\n server echo 127.0.0.1:{echo} check inter 1s"
    );
    let weir = Weir::start(" max-spread-checks 1ms", &rest);
    for expected in [
        "plain/closed failed, reason: Layer4 connection problem, info: \"Connection refused\"",
        "plain/closed6 failed, reason: Layer4 connection problem, info: \"Connection refused\"",
        "plain/silent succeeded, reason: Layer4 check passed",
        "plain/silent6 succeeded, reason: Layer4 check passed",
        "plain/echo succeeded, reason: Layer4 check passed",
        "plain/elsewhere succeeded, reason: Layer4 check passed",
        "text/echo succeeded, reason: Layer7 check passed",
        "text/silent failed, reason: Layer7 timeout",
        "text/closed failed, reason: Layer4 connection problem, info: \"Connection refused\"",
        "binary/echo succeeded, reason: Layer7 check passed",
        "regex/echo succeeded, reason: Layer7 check passed",
        "wrong/echo failed, reason: Layer7 invalid response, code: 0, info: \"the answer is not the one expected\"",
    ] {
        // `code:` is shown from layer 7 on.
        let (head, tail) = expected.split_once(", code: 0").unwrap_or((expected, ""));
        weir.line(&[head, tail]);
    }
    // The server goes: ICMP tells it.
    drop(silent);
    weir.line(&["plain/silent failed, reason: Layer4 connection problem, info: \"Connection refused\""]);
}

/// Debian's dnsmasq, answering from its own table alone.
fn dnsmasq(address: Ipv4Addr) -> Child {
    let child = Command::new("dnsmasq")
        .args([
            "--no-daemon",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            "--bind-interfaces",
            "--port=5353",
        ])
        .args(["--pid-file=", "--user=", "--local=/example/", "--address=/up.example/192.0.2.1"])
        .arg("--txt-record=text.example,hello")
        .arg(format!("--listen-address={address}"))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("dnsmasq is installed");
    let started = Instant::now();
    let hex = format!("{:08X}:14E9", u32::from_le_bytes(address.octets()));
    while !std::fs::read_to_string("/proc/net/udp").unwrap().contains(&hex) {
        assert!(started.elapsed() < LIMIT, "dnsmasq does not listen");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[test]
fn dns_against_dnsmasq() {
    let address = own_address();
    let mut server = dnsmasq(address);
    let backend = |name: &str, question: &str| {
        format!(
            "backend {name}\n option dns-check {question}\n server s {address}:5353 check inter 300ms rise 1 fall 1\n"
        )
    };
    let rest = [
        backend("up", "A up.example"),
        backend("text", "TXT text.example."),
        backend("nxdomain", "A nowhere.example"),
        backend("nodata", "AAAA text.example"),
        backend("refused", "SOA ."),
    ];
    let weir = Weir::start(" max-spread-checks 1ms", &rest.concat());
    weir.line(&["up/s succeeded, reason: Layer7 check passed, code: 0, check duration"]);
    weir.line(&["text/s succeeded, reason: Layer7 check passed, code: 0, check duration"]);
    weir.line(&["nxdomain/s failed, reason: Layer7 wrong status, code: 3, info: \"NXDOMAIN\""]);
    weir.line(&[
        "nodata/s failed, reason: Layer7 wrong status, code: 0, info: \"no AAAA record of text.example\"",
    ]);
    weir.line(&["refused/s failed, reason: Layer7 wrong status, code: 5, info: \"REFUSED\""]);
    server.kill().unwrap();
    server.wait().unwrap();
    weir.line(&["Server up/s is DOWN"]);
    weir.line(&["up/s failed, reason: Layer4 connection problem, info: \"Connection refused\""]);
    let mut server = dnsmasq(address);
    weir.line(&["Server up/s is UP"]);
    server.kill().unwrap();
    server.wait().unwrap();
}

/// A question's answer with one record of 127.0.0.1.
fn good_answer(query: &[u8]) -> Vec<u8> {
    let mut answer = query.to_vec();
    answer[2] = 0x81;
    answer[3] = 0x80;
    answer[7] = 1;
    answer.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x7f\0\0\x01");
    answer
}

#[test]
fn dns_against_liars() {
    let silent = udp_server(|_| Vec::new());
    let garbage = udp_server(|_| vec![b"garbage, and no DNS".to_vec(), Vec::new()]);
    let good = udp_server(|q| vec![good_answer(q)]);
    let late = udp_server(|q| {
        // Answers to other questions come first.
        let mut other = good_answer(q);
        other[0] ^= 0xff;
        other[3] |= 3;
        vec![vec![0; 3], other, b"\xff".repeat(65000), good_answer(q)]
    });
    let foreign = udp_server(|q| {
        let mut other = good_answer(q);
        other[1] ^= 1;
        vec![other; 20]
    });
    let cut = udp_server(|q| vec![good_answer(q)[..30].to_vec()]);
    let looping = udp_server(|q| {
        // Names that point at themselves and at each other, and a count of records that is a lie.
        let mut answer = good_answer(q);
        let here = u8::try_from(answer.len()).unwrap();
        answer[6] = 0xff;
        answer.extend([0xc0, here, 0, 1, 0, 1, 0, 0, 0, 0, 0, 2, 0xc0, here]);
        vec![answer]
    });
    let echoed = udp_server(|q| vec![q.to_vec()]);
    let truncated = udp_server(|q| {
        let mut answer = good_answer(q);
        answer[2] |= 2;
        answer.truncate(q.len());
        vec![answer]
    });
    let mut rest = String::from("backend d\n option dns-check A www.example.com\n timeout check 500ms\n");
    for (name, port) in [
        ("silent", silent),
        ("garbage", garbage),
        ("good", good),
        ("late", late),
        ("foreign", foreign),
        ("cut", cut),
        ("looping", looping),
        ("echoed", echoed),
        ("truncated", truncated),
    ] {
        rest += &format!(" server {name} 127.0.0.1:{port} check inter 200ms\n");
    }
    let weir = Weir::start(" max-spread-checks 1ms", &rest);
    for (name, expected) in [
        ("silent", "failed, reason: Layer7 timeout"),
        ("garbage", "failed, reason: Layer7 timeout"),
        ("good", "succeeded, reason: Layer7 check passed, code: 0"),
        ("foreign", "failed, reason: Layer7 timeout"),
        ("cut", "failed, reason: Layer7 invalid response, info: \"malformed answer: another question\""),
        ("looping", "failed, reason: Layer7 invalid response, info: \"malformed answer: a cut record\""),
        ("echoed", "failed, reason: Layer7 invalid response, info: \"malformed answer: a query\""),
        ("truncated", "succeeded, reason: Layer7 check passed, code: 0"),
        ("late", "succeeded, reason: Layer7 check passed, code: 0"),
    ] {
        weir.line(&[&format!("d/{name} {expected}")]);
    }
}

/// What keepalived's configuration can say is in the example that promises it.
#[test]
fn the_example_has_every_kind() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config-examples/l4-style-checks.cfg");
    let text = std::fs::read_to_string(example).unwrap();
    for option in ["ping-check", "udp-check", "dns-check", "external-check dynamic-weight"] {
        assert!(text.contains(&format!("option {option}")), "{option}");
    }
    assert!(text.contains("http-check expect digest"));
}
