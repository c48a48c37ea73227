//! Programs written for HAProxy drive weir and do not notice: hatop, haproxyadmin, prometheus-haproxy-exporter, promtool. Each runs
//! against Debian's haproxy as well, which shows that the test itself is sound.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::process::{Program, Proxy};
use harness::terminal::{Terminal, wait_until};
use harness::{own_address, status};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

struct Site {
    proxy: Proxy,
    address: Ipv4Addr,
}

impl Site {
    fn start(program: Program) -> Self {
        let address = own_address();
        let config = format!(
            "global\n    maxconn 1000\n    stats socket unix@admin.sock level admin\n\
             defaults\n    mode http\n    timeout connect 5s\n    timeout client 5s\n    timeout server 5s\n\
             frontend web\n    bind {address}:8080\n    default_backend app\n\
             frontend admin\n    bind {address}:8090\n    http-request use-service prometheus-exporter if {{ path /metrics }}\n    stats enable\n    stats uri /stats\n\
             backend app\n    balance roundrobin\n    server s1 {address}:8081\n    server s2 {address}:8082 weight 10\n"
        );
        let proxy = Proxy::start(program, &config, address, &[8080, 8090]).unwrap();
        Self { proxy, address }
    }

    fn socket(&self) -> PathBuf {
        self.proxy.dir().join("admin.sock")
    }

    fn get(&self, port: u16, path: &str) -> String {
        let stream = std::net::TcpStream::connect((self.address, port)).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
        write!(&stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        (&stream).read_to_string(&mut text).unwrap();
        text
    }
}

/// Runs to its end.
fn output(command: &mut Command) -> (bool, String) {
    let output = command.stdin(Stdio::null()).output().expect("the program starts");
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

/// Draws the table; F10 takes the server under the cursor out, F9 puts it back.
fn hatop(program: Program) {
    let site = Site::start(program);
    let socket = site.socket();
    let mut screen = Terminal::open(&format!("hatop -i 1 -p app -s {}", socket.display()));
    screen.wait_for(">>> app", 1);
    screen.wait_for("s2", 1);
    screen.press("\u{1b}OB");
    screen.wait_for("ENTER=MENU", 1);
    screen.press("\u{1b}[21~");
    wait_until("hatop disables s1", || status(&socket, "s1") == "MAINT");
    screen.wait_for("MAINT", 1);
    screen.press("\u{1b}[20~");
    wait_until("hatop enables s1", || status(&socket, "s1") == "no check");
    screen.press("q");
    wait_until("hatop quits", || screen.has_ended());
}

#[test]
fn hatop_on_haproxy() {
    hatop(Program::HaProxy);
}

#[test]
fn hatop_on_weir() {
    hatop(Program::Weir);
}

/// What a script with the library does to servers and reads of them; prints what it found.
const HAPROXYADMIN: &str = r#"
import sys
from haproxyadmin import haproxy
h = haproxy.HAProxy(socket_file=sys.argv[1])
print(sorted(f.name for f in h.frontends()), [b.name for b in h.backends()])
backend = h.backend('app')
print(sorted(s.name for s in backend.servers()), backend.status)
s1 = backend.server('s1')
print(s1.status, s1.weight, s1.metric('scur'), s1.address)
print(s1.setweight(7), s1.weight)
print(s1.setstate('drain'), s1.status)
print(s1.setstate('ready'), s1.status)
print(s1.setstate('maint'), s1.status)
print(s1.setstate('ready'), s1.status)
print(type(h.maxconn), type(h.nodename), len(h.processids), h.metric('CurrConns'), h.metric('Hard_maxconn') > 0)
print(h.frontend('web').maxconn, h.frontend('web').setmaxconn(50), h.frontend('web').maxconn)
print(h.frontend('web').disable(), h.frontend('web').status, h.frontend('web').enable(), h.frontend('web').status)
print(h.clearcounters(), '# pxname' in str(h.command('show stat 1 1 -1')))
"#;

fn haproxyadmin(program: Program) -> String {
    let site = Site::start(program);
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python");
    assert!(library.join("haproxyadmin").exists(), "tests/run puts haproxyadmin (PyPI) into target/python");
    let mut python = Command::new("/usr/bin/python3");
    let (good, text) =
        output(python.env("PYTHONPATH", library).args(["-c", HAPROXYADMIN]).arg(site.socket()));
    assert!(good, "{program:?}: {text}");
    text.replace(&site.address.to_string(), "ADDRESS")
}

#[test]
fn haproxyadmin_reads_and_changes_weir_as_haproxy() {
    assert_eq!(haproxyadmin(Program::Weir), haproxyadmin(Program::HaProxy));
}

/// A process that listens, ended by its pid.
struct Listening(Child);

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The names of the metrics the exporter makes of the statistics at `uri`.
fn exported(uri: &str) -> BTreeSet<String> {
    let address = own_address();
    let _exporter = Listening(
        Command::new("prometheus-haproxy-exporter")
            .arg(format!("--haproxy.scrape-uri={uri}"))
            .arg(format!("--web.listen-address={address}:9101"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the exporter starts"),
    );
    wait_until("the exporter listens", || harness::listens(address.into(), 9101));
    let stream = std::net::TcpStream::connect((address, 9101)).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    write!(&stream, "GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let lines: Vec<String> = BufReader::new(&stream).lines().map_while(Result::ok).collect();
    assert!(lines.contains(&"haproxy_up 1".to_owned()), "{uri}: {}", lines.join("\n"));
    lines
        .iter()
        .filter(|line| {
            line.starts_with("haproxy_")
                && !line.starts_with("haproxy_exporter_build")
                && !line.starts_with("haproxy_version_info")
        })
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, _)| name.to_owned())
        .collect()
}

#[test]
fn the_csv_exporter_finds_the_same_in_both() {
    let (weir, haproxy) = (Site::start(Program::Weir), Site::start(Program::HaProxy));
    let by_socket = |site: &Site| exported(&format!("unix:{}", site.socket().display()));
    let by_page = |site: &Site| exported(&format!("http://{}:8090/stats;csv", site.address));
    let expected = by_socket(&haproxy);
    assert!(expected.len() > 50, "{expected:?}");
    for names in [by_socket(&weir), by_page(&weir)] {
        let missing: Vec<_> = expected.difference(&names).collect();
        assert!(missing.is_empty(), "weir lacks {missing:?}");
    }
}

/// The samples of HAProxy's own exporter: metric and labels, without the values.
fn own_samples(site: &Site, query: &str) -> BTreeSet<String> {
    let answer = site.get(8090, &format!("/metrics{query}"));
    let (head, body) = answer.split_once("\r\n\r\n").expect("a response");
    assert!(head.contains(" 200 "), "{head}");
    without_chunks(head, body)
        .lines()
        .filter(|line| line.starts_with("haproxy_"))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// Metrics of a memory pool's and a compression library's that weir has not; the version differs.
const NOT_OURS: [&str; 2] = ["zlib_memory", "build_info"];

#[test]
fn the_exporter_inside_has_haproxy_s_metrics() {
    let (weir, haproxy) = (Site::start(Program::Weir), Site::start(Program::HaProxy));
    for query in ["", "?scope=server&no-maint", "?scope=global&scope=frontend"] {
        let (ours, theirs) = (own_samples(&weir, query), own_samples(&haproxy, query));
        assert!(theirs.len() > 50, "{theirs:?}");
        let missing: Vec<_> =
            theirs.difference(&ours).filter(|name| !NOT_OURS.iter().any(|n| name.contains(n))).collect();
        assert!(missing.is_empty(), "{query}: weir lacks {missing:?}");
        let more: Vec<_> =
            ours.difference(&theirs).filter(|name| !NOT_OURS.iter().any(|n| name.contains(n))).collect();
        assert!(more.is_empty(), "{query}: haproxy 2.6 has no {more:?}");
    }
    assert!(weir.get(8090, "/metrics?scope=nope").starts_with("HTTP/1.1 400"));
}

#[test]
fn promtool_has_nothing_to_say_of_the_metrics() {
    let site = Site::start(Program::Weir);
    let answer = site.get(8090, "/metrics");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a response");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    let body = without_chunks(head, body);
    promtool.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    // HAProxy's own names, which promtool's taste in naming is not to change.
    let complaints: Vec<&str> =
        complaints.lines().filter(|line| line.contains("weir_") || line.contains("error")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    assert!(body.contains("haproxy_process_") && body.contains("haproxy_server_status"), "{body}");
}

fn without_chunks(head: &str, body: &str) -> String {
    if !head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        return body.to_owned();
    }
    let (mut out, mut rest) = (String::new(), body);
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk's size");
        if size == 0 {
            break;
        }
        out.push_str(&after[..size]);
        rest = &after[size + 2..];
    }
    out
}
