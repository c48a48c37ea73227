//! What `bind`, `server` and `tune` lines ask of the kernel: the system calls that set it, by weir and by haproxy, as
//! strace sees them. No client can tell most of these from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use harness::client::Client;
use harness::origin::Origin;
use harness::process::Program;
use harness::{eventually, listens, own_address};

/// Each gets a port of its own, from 8000 on.
const BINDS: &[&str] = &[
    "",
    "mss 1300",
    "tcp-ut 5s",
    "tfo",
    "defer-accept",
    "backlog 17",
    "interface lo",
    "transparent",
    "mss 1300 tcp-ut 5s defer-accept backlog 9",
];

/// Options nobody has asked for, or where one does for the connection what the other does for the listener.
fn is_ours_to_choose(option: &str) -> bool {
    ["SO_REUSE", "SO_BUF_LOCK", "TCP_NODELAY", "SO_LINGER"].iter().any(|name| option.contains(name))
        || ["TCP_QUICKACK=[1]", "TCP_USER_TIMEOUT=[0]", "TCP_DEFER_ACCEPT=[0]"].contains(&option)
}

#[test]
fn of_listeners() {
    let address = own_address();
    let binds: String = BINDS.iter().enumerate().fold(String::new(), |mut lines, (i, options)| {
        let _ = writeln!(lines, "    bind {address}:{} {options}", 8000 + i);
        lines
    });
    for mode in [
        "mode tcp",
        "mode http",
        "mode http\n    no option tcp-smart-accept",
        "mode tcp\n    option tcp-smart-accept",
    ] {
        let config = format!("{}frontend f\n    {mode}\n{binds}", defaults(""));
        let ports: Vec<u16> = (8000..).take(BINDS.len()).collect();
        let seen = [Program::HaProxy, Program::Weir].map(|program| {
            let traced = Traced::start(program, &config, address, &ports);
            let sockets = traced.finish();
            ports.iter().map(|port| sockets.get(&format!("{address}:{port}")).cloned()).collect::<Vec<_>>()
        });
        for ((options, theirs), ours) in BINDS.iter().zip(&seen[0]).zip(&seen[1]) {
            assert!(theirs.is_some(), "haproxy listens for 'bind {options}'");
            assert_eq!(theirs, ours, "{mode}: bind {options}");
        }
    }
}

#[test]
fn of_connections() {
    let address = own_address();
    let _origin = Origin::start(SocketAddr::from((address, 9001)), &[]);
    let probes = "    option clitcpka\n    clitcpka-cnt 3\n    clitcpka-idle 20s\n    clitcpka-intvl 5s\n    option srvtcpka\n    srvtcpka-cnt 4\n    srvtcpka-idle 21s\n    srvtcpka-intvl 6s\n";
    let sizes = "    tune.rcvbuf.client 40000\n    tune.sndbuf.client 50000\n    tune.rcvbuf.server 60000\n    tune.sndbuf.server 70000\n";
    for (name, global, both, server) in [
        ("nothing", "", "", ""),
        ("probes", "", probes, ""),
        ("tcpka", "", "    option tcpka\n", ""),
        ("sizes", sizes, "", ""),
        ("tcp-ut", "", "", "tcp-ut 7s"),
        ("smart", "", "    option tcp-smart-connect\n", "send-proxy"),
        ("source", "", "", "source ADDR interface lo"),
        ("mss", "", "", ""),
    ] {
        let mss = if name == "mss" { "mss -100" } else { "" };
        let config = format!(
            "global\n{global}{}{both}    mode tcp\nlisten l\n    bind {address}:8000 {mss}\n    server s {address}:9001 {}\n",
            defaults(""),
            server.replace("ADDR", &address.to_string()),
        );
        let seen = [Program::HaProxy, Program::Weir].map(|program| {
            let traced = Traced::start(program, &config, address, &[8000]);
            let mut client = Client::connect(SocketAddr::from((address, 8000)));
            client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
            assert!(client.response(false).starts_with(b"HTTP/1.1 "), "{program:?} {name}");
            drop(client);
            let sockets = traced.finish();
            // What a connection has of its listener counts as its own.
            let mut client = sockets.get(&format!("{address}:8000")).cloned().unwrap_or_default();
            client.extend(sockets.get("client").cloned().unwrap_or_default());
            (client, sockets.get(&format!("to {address}:9001")).cloned())
        });
        assert_eq!(seen[0], seen[1], "{name}");
    }
}

fn defaults(more: &str) -> String {
    format!("defaults\n    timeout connect 5s\n    timeout client 5s\n    timeout server 5s\n{more}")
}

/// A proxy under strace.
struct Traced {
    strace: Child,
    dir: tempfile::TempDir,
}

impl Traced {
    fn start(program: Program, config: &str, address: Ipv4Addr, ports: &[u16]) -> Self {
        let dir = tempfile::TempDir::new().unwrap();
        let file = dir.path().join("proxy.cfg");
        // One thread: one socket for each address.
        let config = if config.starts_with("global\n") {
            config.replacen("global\n", "global\n    nbthread 1\n    maxconn 1000\n", 1)
        } else {
            format!("global\n    nbthread 1\n    maxconn 1000\n{config}")
        };
        std::fs::write(&file, config).unwrap();
        let strace = Command::new("strace")
            .args(["-ff", "-e", "trace=socket,setsockopt,bind,listen,accept4,connect", "-o"])
            .arg(dir.path().join("trace"))
            .arg(program.path())
            .args(["-db", "-f"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("strace starts");
        let traced = Self { strace, dir };
        let all = || ports.iter().all(|port| listens(address.into(), *port));
        assert!(eventually(all), "{program:?} listens");
        traced
    }

    /// Ends it; the options of each socket by the address it is bound to, `to ADDRESS` or `client`.
    fn finish(mut self) -> BTreeMap<String, BTreeSet<String>> {
        stop(self.strace.id());
        let _ = self.strace.wait();
        // A file for each thread, so that no call is told in two parts.
        let files = std::fs::read_dir(self.dir.path()).unwrap().flatten();
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for file in files.filter(|file| file.file_name().to_string_lossy().starts_with("trace.")) {
            for (socket, set) in options(&std::fs::read_to_string(file.path()).unwrap()) {
                all.entry(socket).or_default().extend(set);
            }
        }
        all
    }
}

/// Ends strace's child, and with it strace.
fn stop(strace: u32) {
    let children =
        std::fs::read_to_string(format!("/proc/{strace}/task/{strace}/children")).unwrap_or_default();
    for pid in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
        harness::process::signal(pid, "TERM");
    }
}

fn options(trace: &str) -> BTreeMap<String, BTreeSet<String>> {
    let call = regex::Regex::new(r"^(\w+)\((\d+)?,? ?(.*)\) += (-?\d+)").unwrap();
    let at = regex::Regex::new(r#"sin_port=htons\((\d+)\), sin_addr=inet_addr\("([0-9.]+)"\)"#).unwrap();
    let set = regex::Regex::new(r"^(\w+), (\w+), (.*), \d+$").unwrap();
    let mut open: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in trace.lines() {
        let Some(found) = call.captures(line) else { continue };
        let (name, fd, rest, result) =
            (&found[1], found.get(2).map_or("", |m| m.as_str()), &found[3], &found[4]);
        let address = at.captures(rest).map(|a| format!("{}:{}", &a[2], &a[1]));
        match name {
            "socket" => drop(open.insert(result.to_owned(), Default::default())),
            "accept4" if !result.starts_with('-') => {
                drop(open.insert(result.to_owned(), ("client".to_owned(), BTreeSet::new())));
            }
            "setsockopt" => {
                if let (Some(option), Some(socket)) = (set.captures(rest), open.get_mut(fd)) {
                    socket.1.insert(format!("{}={}", &option[2], option[3].replace("\\0", "")));
                }
            }
            "bind" | "connect" => {
                let (Some(address), Some(socket)) = (address, open.get_mut(fd)) else { continue };
                let to = if name == "connect" { "to " } else { "" };
                if !address.ends_with(":0") {
                    socket.0 = format!("{to}{address}");
                }
            }
            "listen" => {
                if let Some(socket) = open.get_mut(fd) {
                    let backlog: u32 = rest.parse().unwrap_or(0);
                    // More than this the kernel cuts.
                    socket.1.insert(format!("listen={}", backlog.min(4096)));
                }
            }
            _ => {}
        }
        let socket = if name == "accept4" { result } else { fd };
        if let Some((name, options)) = open.get(socket).filter(|(name, _)| !name.is_empty()) {
            let kept = options.iter().filter(|o| !is_ours_to_choose(o)).cloned();
            all.entry(name.clone()).or_default().extend(kept);
        }
    }
    all
}

/// Not a test of weir: that the reader of traces sees what is in them.
#[test]
fn traces_are_read() {
    let trace = "socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3\nsetsockopt(3, SOL_TCP, TCP_MAXSEG, [1300], 4) = 0\nbind(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr(\"127.0.0.1\")}, 16) = 0\nlisten(3, 17) = 0\n";
    let seen = options(trace);
    assert_eq!(seen["127.0.0.1:80"].iter().collect::<Vec<_>>(), ["TCP_MAXSEG=[1300]", "listen=17"]);
}
