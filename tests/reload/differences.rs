//! What `weir diff` says of pairs of configurations, and that the reload from one to the other does it.

use crate::harness::certificates::{authority, leaf};
use crate::harness::client::Client;
use crate::harness::origin::Origin;
use crate::harness::process::Program;
use crate::harness::syslog::Syslog;
use crate::harness::{eventually, listens, own_address};
use crate::{GET, Rig, status};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);
const FRONT: &str = "frontend f\n    bind {A}:8080\n    http-request return status 200\n";
/// A backend's lines follow.
const TO: &str = "frontend f\n    bind {A}:8080\n    default_backend b\nbackend b\n";

/// Lines before the first section are of `global`.
fn parts(text: &str) -> (String, String) {
    let global =
        text.lines().take_while(|l| l.starts_with(' ')).map(|l| format!("{l}\n")).collect::<String>();
    let rest = text[global.len()..].to_owned();
    (global, rest)
}

/// Starts with `old`. What `before` finds there `after` gets when `weir diff` has said `says`, and the process has gone over
/// to `new`, or has refused to.
fn pair<T>(
    old: &str,
    new: &str,
    says: &[&str],
    before: impl FnOnce(&Rig) -> T,
    after: impl FnOnce(&Rig, T, &str),
) {
    let (global, rest) = parts(old);
    let rig = Rig::start_with(&global, &rest, &[8080]);
    let found = before(&rig);
    let file = rig.proxy.dir().join("proxy.cfg");
    let was = rig.proxy.dir().join("was.cfg");
    std::fs::copy(&file, &was).unwrap();
    let (global, rest) = parts(new);
    rig.write(&global, &rest);
    let (code, text) = told(&["diff", &was.to_string_lossy(), &file.to_string_lossy()]);
    let says: Vec<String> = says.iter().map(|s| s.replace("{A}", &rig.address.to_string())).collect();
    assert_eq!(text.lines().collect::<Vec<_>>(), says, "{old} => {new}");
    assert_eq!(code, Some(1));
    let answer = rig.ask("reload");
    let refused = says.iter().any(|s| s.contains("a reload is refused"));
    assert_eq!(answer.starts_with("Success=0"), refused, "{old} => {new}: {answer}");
    after(&rig, found, &answer);
}

fn told(words: &[&str]) -> (Option<i32>, String) {
    let output = Program::Weir.run(words);
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Answers with a name.
fn origin(name: &str) -> Origin {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
    Origin::start((own_address(), 0).into(), &[&answer])
}

/// One request more.
fn ask(client: &mut Client) -> String {
    client.send(GET);
    String::from_utf8_lossy(&client.response(false)).into_owned()
}

/// Of a connection of its own.
fn answer(rig: &Rig) -> String {
    ask(&mut Client::connect(rig.at(8080)))
}

/// A connection that has been used, and stays open.
fn kept(rig: &Rig) -> Client {
    let mut client = Client::connect(rig.at(8080));
    assert!(!ask(&mut client).is_empty());
    client
}

/// A server that answers when it is told.
struct Held(TcpListener);

impl Held {
    fn new() -> Self {
        Self(TcpListener::bind((own_address(), 0)).unwrap())
    }

    fn address(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }

    /// A client whose request is there, and the connection it came on.
    fn request(&self, rig: &Rig) -> (Client, TcpStream) {
        let mut client = Client::connect(rig.at(8080));
        client.set_limit(LIMIT);
        client.send(GET);
        let (mut stream, _) = self.0.accept().unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            assert_eq!(stream.read(&mut byte).unwrap(), 1);
            head.push(byte[0]);
        }
        (client, stream)
    }
}

fn finishes((mut client, mut stream): (Client, TcpStream)) {
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nheld").unwrap();
    let answer = String::from_utf8_lossy(&client.response(false)).into_owned();
    assert!(answer.ends_with("held"), "{answer}");
}

fn server(lines: &str) -> String {
    format!("{TO}{lines}")
}

#[test]
fn servers() {
    let (a, b) = (origin("a"), origin("b"));
    let (one, two) = (format!("    server s {}", a.address()), format!("    server t {}", b.address()));
    pair(
        &server(&format!("{one} weight 6\n")),
        &server(&format!("{one} weight 8\n")),
        &["backend b: server s: weight 6 -> 8 (no connection affected; a weight set by command gives way)"],
        |rig| {
            rig.ask("set server b/s weight 3");
            kept(rig)
        },
        |rig, mut client, _| {
            assert_eq!(rig.stat("b", "s", "weight"), "8");
            assert!(ask(&mut client).ends_with('a'));
        },
    );
    pair(
        &server(&format!("{one}\n")),
        &server(&format!("    server s {}\n", b.address())),
        &[&format!(
            "backend b: server s: {} -> {} (new connections; idle ones are not used again)",
            a.address(),
            b.address()
        )],
        kept,
        |rig, mut client, _| {
            assert!(answer(rig).ends_with('b'));
            assert!(ask(&mut client).ends_with('a'));
        },
    );
    pair(
        &server(&format!("{one} maxconn 5\n")),
        &server(&format!("{one} maxconn 6\n")),
        &["backend b: server s: maxconn 5 -> 6 (new connections)"],
        |rig| assert_eq!(rig.stat("b", "s", "slim"), "5"),
        |rig, (), _| assert_eq!(rig.stat("b", "s", "slim"), "6"),
    );
    pair(
        &server(&format!("{one}\n{two}\n")),
        &server(&format!("{one} disabled\n{two}\n")),
        &["backend b: server s: + disabled (its state is what the configuration says)"],
        |_| (),
        |rig, (), _| {
            assert_eq!(rig.stat("b", "s", "status"), "MAINT");
            assert!((0..4).all(|_| answer(rig).ends_with('b')));
        },
    );
    pair(
        &server(&format!("{one}\n")),
        &server(&format!("{one}\n{two}\n")),
        &[&format!("backend b: added: {} (takes part at once, unless its check says otherwise)", two.trim())],
        |_| (),
        |rig, (), _| assert!((0..6).any(|_| answer(rig).ends_with('b'))),
    );
    let held = Held::new();
    let leaving = format!("    server t {}", held.address());
    pair(
        &server(&format!("{leaving}\n")),
        &server(&format!("{one}\n")),
        &[
            &format!(
                "backend b: added: {} (takes part at once, unless its check says otherwise)",
                one.trim()
            ),
            &format!("backend b: removed: {} (its connections finish)", leaving.trim()),
        ],
        |rig| held.request(rig),
        |rig, request, _| {
            assert!(answer(rig).ends_with('a'));
            assert_eq!(rig.stat("b", "t", "status"), "");
            finishes(request);
        },
    );
    pair(
        &server(&format!("    cookie C insert\n{one} cookie x\n")),
        &server(&format!("    cookie C insert\n{one} cookie y\n")),
        &["backend b: server s: cookie x -> y (new connections)"],
        |rig| assert!(answer(rig).contains("C=x")),
        |rig, (), _| assert!(answer(rig).contains("C=y")),
    );
}

#[test]
fn checks() {
    let a = origin("a");
    let line = |more: &str| server(&format!("    server s {} {more}\n", a.address()));
    let down = |rig: &Rig| assert!(eventually(|| rig.stat("b", "s", "status") == "DOWN"));
    pair(
        &line("check port 1 inter 50ms fall 1"),
        &line("check port 1 inter 60ms fall 1"),
        &["backend b: server s: inter 50ms -> 60ms (checks go on from the last result)"],
        down,
        |rig, (), _| {
            let state = (rig.stat("b", "s", "status"), rig.stat("b", "s", "chkdown"));
            assert_eq!(state, ("DOWN".to_owned(), "1".to_owned()));
        },
    );
    pair(
        &line("check port 1 inter 50ms fall 1"),
        &line("port 1 inter 50ms fall 1"),
        &["backend b: server s: - check (not checked any more: up)"],
        down,
        |rig, (), _| {
            assert_eq!(rig.stat("b", "s", "status"), "no check");
            assert!(answer(rig).ends_with('a'));
        },
    );
    pair(
        &line("port 1 inter 50ms fall 1"),
        &line("check port 1 inter 50ms fall 1"),
        &["backend b: server s: + check (checked from now on; up until a check fails)"],
        |rig| assert_eq!(rig.stat("b", "s", "status"), "no check"),
        |rig, (), _| down(rig),
    );
    // Connects, and says nothing.
    let mute = TcpListener::bind((own_address(), 0)).unwrap();
    let text = format!(
        "{TO}    option httpchk\n    timeout check 20s\n    server s {} check inter 50ms fall 1\n",
        mute.local_addr().unwrap()
    );
    pair(
        &text,
        &text.replace("20s", "50ms"),
        &["backend b: timeout check: 20s -> 50ms (checks from the next on)"],
        |rig| assert!(rig.stat("b", "s", "status").starts_with("UP")),
        |rig, (), _| down(rig),
    );
    let web = origin("ok");
    let text = format!("{TO}    option httpchk GET /old\n    server s {} check inter 50ms\n", web.address());
    let asked = |path: &str| web.seen().iter().any(|r| r.starts_with(&format!("GET {path} ")));
    pair(
        &text,
        &text.replace("/old", "/new"),
        &["backend b: option httpchk: GET /old -> /new (checks from the next on)"],
        |_| assert!(eventually(|| asked("/old")) && !asked("/new")),
        |_, (), _| assert!(eventually(|| asked("/new"))),
    );
}

#[test]
fn addresses() {
    let more = FRONT.replace("{A}:8080\n", "{A}:8080\n    bind {A}:8081\n");
    pair(
        FRONT,
        &more,
        &["frontend f: added: bind {A}:8081 (bound before anything else changes)"],
        |_| (),
        |rig, (), _| assert_eq!(status(rig.at(8081)), "200"),
    );
    pair(
        &more,
        FRONT,
        &["frontend f: removed: bind {A}:8081 (closed; its connections finish)"],
        |rig| {
            let mut client = Client::connect(rig.at(8081));
            assert!(ask(&mut client).starts_with("HTTP/1.1 200"));
            client
        },
        |rig, mut client, _| {
            assert!(eventually(|| !listens(IpAddr::V4(rig.address), 8081)));
            assert!(ask(&mut client).starts_with("HTTP/1.1 200"));
        },
    );
    let socket = |rig: &Rig| {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let wanted = format!("{:08X}:1F90", u32::from_le_bytes(rig.address.octets()));
        let lines = table.lines().map(|l| l.split_whitespace().collect::<Vec<_>>());
        // One that listens.
        let mut inodes = lines.filter(|l| l[1] == wanted && l[3] == "0A").map(|l| l[9].to_owned());
        inodes.next().unwrap()
    };
    pair(
        &format!("    nbthread 1\n{FRONT}"),
        &format!("    nbthread 1\n{}", FRONT.replace(":8080", ":8080 defer-accept")),
        &["frontend f: bind {A}:8080: + defer-accept (new connections; the socket stays)"],
        socket,
        |rig, before, _| {
            assert_eq!(status(rig.at(8080)), "200");
            assert_eq!(socket(rig), before);
        },
    );
    pair(
        &format!("    nbthread 1\n{FRONT}"),
        &format!("    nbthread 1\n{}", FRONT.replace(":8080", ":8080 interface lo")),
        &[
            "frontend f: bind {A}:8080: + interface lo (another socket at the same address; who waits in the old one is served)",
        ],
        socket,
        |rig, before, _| {
            assert_eq!(status(rig.at(8080)), "200");
            assert!(eventually(|| socket(rig) != before));
        },
    );
    let g = "frontend g\n    bind {A}:8081\n    http-request return status 204\n";
    pair(
        FRONT,
        &format!("{FRONT}{g}"),
        &["frontend g: added (its addresses are bound before anything else changes)"],
        |_| (),
        |rig, (), _| assert_eq!(status(rig.at(8081)), "204"),
    );
    pair(
        &format!("{FRONT}{g}"),
        FRONT,
        &["frontend g: removed (its addresses are closed; its connections finish)"],
        |rig| {
            let mut client = Client::connect(rig.at(8081));
            assert!(ask(&mut client).starts_with("HTTP/1.1 204"));
            client
        },
        |rig, mut client, _| {
            assert!(eventually(|| !listens(IpAddr::V4(rig.address), 8081)));
            assert!(ask(&mut client).starts_with("HTTP/1.1 204"));
        },
    );
    pair(
        &format!("{FRONT}{g}"),
        &format!("{FRONT}{g}    disabled\n"),
        &["frontend g: added: disabled (its addresses are closed; its connections finish)"],
        |_| (),
        |rig, (), _| assert!(eventually(|| !listens(IpAddr::V4(rig.address), 8081))),
    );
}

/// Old connections see the old rules, new ones the new.
#[test]
fn rules() {
    let check = |old: &str, new: &str, says: &str, was: &str, is: &str| {
        let front = |lines: &str| {
            format!("frontend f\n    bind {{A}}:8080\n{lines}    http-request return status 200\n")
        };
        pair(
            &front(old),
            &front(new),
            &[says],
            |rig| {
                let mut client = Client::connect(rig.at(8080));
                assert!(ask(&mut client).starts_with(&format!("HTTP/1.1 {was}")));
                client
            },
            |rig, mut client, _| {
                assert_eq!(status(rig.at(8080)), is);
                assert!(ask(&mut client).starts_with(&format!("HTTP/1.1 {was}")));
            },
        );
    };
    let (s201, s202) = ("    http-request return status 201\n", "    http-request return status 202\n");
    check(
        &format!("    acl here path /x\n{}", s201.replace("201", "201 if here")),
        &format!("    acl here path /\n{}", s201.replace("201", "201 if here")),
        "frontend f: acl here: path /x -> / (new connections)",
        "200",
        "201",
    );
    check("", s201, "frontend f: http-request: 1 lines more, 0 less (new connections)", "200", "201");
    check(
        &format!("{s201}{s202}"),
        &format!("{s202}{s201}"),
        "frontend f: http-request: the lines have another order (new connections)",
        "201",
        "202",
    );
    check(
        "    http-after-response set-status 203\n",
        "    http-after-response set-status 207\n",
        "frontend f: http-after-response: set-status 203 -> 207 (new connections)",
        "203",
        "207",
    );
}

#[test]
fn frontends() {
    let (a, b) = (origin("a"), origin("b"));
    pair(
        &FRONT.replace("8080\n", "8080\n    maxconn 5\n"),
        &FRONT.replace("8080\n", "8080\n    maxconn 6\n"),
        &["frontend f: maxconn: 5 -> 6 (at once)"],
        |rig| assert_eq!(rig.stat("f", "FRONTEND", "slim"), "5"),
        |rig, (), _| assert_eq!(rig.stat("f", "FRONTEND", "slim"), "6"),
    );
    pair(
        &FRONT.replace("8080\n", "8080\n    timeout client 1h\n"),
        &FRONT.replace("8080\n", "8080\n    timeout client 200ms\n"),
        &["frontend f: timeout client: 1h -> 200ms (new connections)"],
        kept,
        |rig, mut client, _| {
            assert!(kept(rig).rest().1, "it is closed");
            assert!(ask(&mut client).starts_with("HTTP/1.1 200"));
        },
    );
    let backends =
        format!("backend a\n    server s {}\nbackend b\n    server s {}\n", a.address(), b.address());
    let front = |lines: &str| format!("frontend f\n    bind {{A}}:8080\n{lines}{backends}");
    pair(
        &front("    default_backend a\n"),
        &front("    default_backend b\n"),
        &["frontend f: default_backend: a -> b (new connections)"],
        kept,
        |rig, mut client, _| {
            assert!(answer(rig).ends_with('b'));
            assert!(ask(&mut client).ends_with('a'));
        },
    );
    pair(
        &front("    default_backend a\n"),
        &front("    option forwardfor\n    default_backend a\n"),
        &["frontend f: added: option forwardfor (new connections)"],
        kept,
        |rig, mut client, _| {
            ask(&mut client);
            assert!(!a.seen().last().unwrap().to_ascii_lowercase().contains("x-forwarded-for"));
            answer(rig);
            assert!(a.seen().last().unwrap().to_ascii_lowercase().contains("x-forwarded-for"));
        },
    );
    let places: [SocketAddr; 2] = [(own_address(), 5140).into(), (own_address(), 5140).into()];
    let [one, two] = places.map(Syslog::start);
    let log = |to: SocketAddr| FRONT.replace("8080\n", &format!("8080\n    log {to} local0\n"));
    pair(
        &log(places[0]),
        &log(places[1]),
        &[&format!("frontend f: log: {} local0 -> {} local0 (new connections' lines)", places[0], places[1])],
        |rig| {
            answer(rig);
            assert!(one.wait_for("Connect from", LIMIT).is_some());
        },
        |rig, (), _| {
            answer(rig);
            assert!(two.wait_for("Connect from", LIMIT).is_some());
        },
    );
    let named = |lines: &str| {
        format!(
            "defaults d\n    mode http\n    timeout client 20s\n{lines}frontend f from d\n    bind {{A}}:8080\n    http-request return status 200\n"
        )
    };
    pair(
        &named(""),
        &named("    option httpclose\n"),
        &["defaults d: added: option httpclose (new connections of the proxies that take it from here)"],
        kept,
        |rig, _client, _| assert!(answer(rig).to_ascii_lowercase().contains("connection: close")),
    );
}

#[test]
fn backends() {
    let (a, b) = (origin("a"), origin("b"));
    let text =
        |lines: &str| format!("{TO}{lines}    server s {}\n    server t {}\n", a.address(), b.address());
    pair(
        &text("    balance roundrobin\n"),
        &text("    balance source\n"),
        &["backend b: balance: roundrobin -> source (new connections; states and counters stay)"],
        |rig| {
            rig.ask("disable server b/t");
            answer(rig);
        },
        |rig, (), _| {
            assert_eq!(rig.stat("b", "BACKEND", "algo"), "source");
            assert_eq!(rig.stat("b", "BACKEND", "stot"), "1");
            assert_eq!(rig.stat("b", "t", "status"), "MAINT");
        },
    );
    let other = "backend c\n    server s 192.0.2.1:80\n";
    pair(
        FRONT,
        &format!("{FRONT}{other}"),
        &["backend c: added (its checks begin)"],
        |_| (),
        |rig, (), _| assert_eq!(rig.stat("c", "s", "status"), "no check"),
    );
    let held = Held::new();
    let before = format!("{TO}    server s {}\n", held.address());
    pair(
        &before,
        FRONT,
        &[
            "frontend f: added: http-request return status 200 (new connections)",
            "frontend f: removed: default_backend b (new connections)",
            "backend b: removed (its connections finish; its checks end)",
        ],
        |rig| held.request(rig),
        |rig, request, _| {
            assert_eq!(rig.stat("b", "BACKEND", "status"), "");
            assert_eq!(status(rig.at(8080)), "200");
            finishes(request);
        },
    );
    let list = |password: &str| {
        format!(
            "userlist u\n    user joe insecure-password {password}\nfrontend f\n    bind {{A}}:8080\n    http-request return status 200 if {{ http_auth(u) }}\n    http-request return status 401\n"
        )
    };
    // joe:new
    let asks = |rig: &Rig| {
        let mut client = Client::connect(rig.at(8080));
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic am9lOm5ldw==\r\n\r\n");
        String::from_utf8_lossy(&client.response(false)).split(' ').nth(1).unwrap_or_default().to_owned()
    };
    pair(
        &list("old"),
        &list("new"),
        &["userlist u: user joe: insecure-password old -> new (new connections)"],
        |rig| assert_eq!(asks(rig), "401"),
        |rig, (), _| assert_eq!(asks(rig), "200"),
    );
}

#[test]
fn the_process() {
    let global = |line: &str| format!("    {line}\n{FRONT}");
    let info =
        |rig: &Rig, line: &str| assert!(rig.ask("show info").contains(&format!("\n{line}\n")), "{line}");
    pair(
        &global("maxconn 100"),
        &global("maxconn 200"),
        &["global: maxconn: 100 -> 200 (at once)"],
        |rig| info(rig, "Maxconn: 100"),
        |rig, (), _| info(rig, "Maxconn: 200"),
    );
    pair(
        &global("node one"),
        &global("node two"),
        &["global: node: one -> two (at once)"],
        |rig| info(rig, "node: one"),
        |rig, (), _| info(rig, "node: two"),
    );
    pair(
        FRONT,
        &global("profiling.tasks on"),
        &["global: added: profiling.tasks on (at once)"],
        |_| (),
        |rig, (), _| assert!(rig.ask("show profiling").contains("profiling              : on")),
    );
    pair(
        &global("nbthread 1"),
        &global("nbthread 3"),
        &["global: nbthread: 1 -> 3 (threads begin or end; no connection affected)"],
        kept,
        |rig, mut client, _| {
            info(rig, "Nbthread: 3");
            assert!(ask(&mut client).starts_with("HTTP/1.1 200"));
        },
    );
    let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(20_000));
    let fits = |rig: &Rig| {
        let mut client = Client::connect(rig.at(8080));
        client.send(long.as_bytes());
        client.response(false).starts_with(b"HTTP/1.1 200")
    };
    pair(
        &global("tune.bufsize 16384"),
        &global("tune.bufsize 65536"),
        &["global: tune.bufsize: 16384 -> 65536 (new connections)"],
        |rig| assert!(!fits(rig)),
        |rig, (), _| assert!(fits(rig)),
    );
    for line in ["pidfile /nonexistent/weir.pid", "daemon", "stats-file /nonexistent/stats"] {
        let name = line.split(' ').next().unwrap_or_default();
        pair(
            FRONT,
            &global(line),
            &[&format!("global: added: {line} (takes effect with a new process)")],
            |_| (),
            |_, (), answer| assert!(answer.contains(&format!("'{name}' has changed")), "{answer}"),
        );
    }
    let dir = tempfile::TempDir::new().unwrap();
    let other: PathBuf = dir.path().join("other.sock");
    pair(
        FRONT,
        &global(&format!("stats socket {} level user", other.display())),
        &["global: stats socket: 1 lines more, 0 less (the administration sockets that stay go on)"],
        |_| (),
        |_, (), _| assert!(crate::harness::console::ask(&other, "show stat").contains("f,FRONTEND")),
    );
    // The limit of the configuration they began with.
    pair(
        FRONT,
        &global("hard-stop-after 100ms"),
        &["global: added: hard-stop-after 100ms (counts for connections that begin with it)"],
        kept,
        |rig, mut old, _| {
            let mut new = kept(rig);
            assert!(rig.ask("reload").starts_with("Success=1"));
            assert!(new.rest().1, "it is closed");
            assert!(ask(&mut old).starts_with("HTTP/1.1 200"));
        },
    );
}

/// A reload is refused, and nothing is another than before.
#[test]
fn what_needs_another_process() {
    let same = |rig: &Rig, (): (), answer: &str| {
        assert!(answer.contains("reload : "), "{answer}");
        assert_eq!(status(rig.at(8080)), "200");
        assert!(rig.ask("show generations").contains("# reloads: 0 done, 1 refused"));
    };
    pair(
        &format!("    chroot /\n{FRONT}"),
        &format!("    chroot /\n    maxconn 7\n{FRONT}"),
        &[
            "global: chroot: the process cannot read its configuration again (needs a new process: a reload is refused)",
            "global: added: maxconn 7 (at once)",
        ],
        |_| (),
        same,
    );
}

/// A connection over TLS that can be asked again.
struct Secure(std::process::Child, BufReader<std::process::ChildStdout>);

impl Secure {
    fn connect(rig: &Rig) -> Self {
        let mut child = Command::new("openssl")
            .args(["s_client", "-connect", &rig.at(8080).to_string(), "-servername", "h"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self(child, out)
    }

    /// Up to a line that begins like that.
    fn line(&mut self, start: &str) -> String {
        let mut line = Vec::new();
        while !line.starts_with(start.as_bytes()) {
            line.clear();
            assert!(self.1.read_until(b'\n', &mut line).unwrap() > 0, "no {start}");
        }
        String::from_utf8_lossy(&line).into_owned()
    }

    fn ask(&mut self) -> String {
        self.0.stdin.as_mut().unwrap().write_all(GET).unwrap();
        self.line("HTTP/1.1 ")
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn certificates() {
    let dir = tempfile::TempDir::new().unwrap();
    authority(dir.path(), "ca");
    for name in ["one", "two"] {
        leaf(dir.path(), "ca", name, &["h"]);
    }
    let file = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let text = |name: &str| FRONT.replace("{A}:8080", &format!("{{A}}:8080 ssl crt {}", file(name)));
    let shows = |rig: &Rig| Secure::connect(rig).line("subject=");
    let used = |rig: &Rig| {
        let mut open = Secure::connect(rig);
        assert!(open.line("subject=").contains("CN = one"));
        assert!(open.ask().contains(" 200 "));
        open
    };
    pair(
        &text("one.pem"),
        &text("two.pem"),
        &[&format!(
            "frontend f: bind {{A}}:8080: crt {} -> {} (new handshakes)",
            file("one.pem"),
            file("two.pem")
        )],
        used,
        |rig, mut open, _| {
            assert!(shows(rig).contains("CN = two"));
            assert!(open.ask().contains(" 200 "));
        },
    );
    // The same file with another certificate: only who asks the process can know.
    std::fs::copy(file("one.pem"), file("now.pem")).unwrap();
    let rig = Rig::start(&text("now.pem"), &[8080]);
    let mut open = used(&rig);
    let config = rig.proxy.dir().join("proxy.cfg").to_string_lossy().into_owned();
    let socket = rig.socket.to_string_lossy().into_owned();
    let running = || told(&["diff", "-s", &socket, "-f", &config]);
    assert_eq!(running(), (Some(0), String::new()));
    std::fs::write(file("now.pem"), std::fs::read(file("two.pem")).unwrap()).unwrap();
    let says = format!(
        "frontend f: bind {}:8080: the file {} has changed (new handshakes; 1 connection now)\n",
        rig.address,
        file("now.pem")
    );
    assert_eq!(running(), (Some(1), says));
    assert!(shows(&rig).contains("CN = one"));
    assert!(rig.ask("reload").starts_with("Success=1"));
    assert!(shows(&rig).contains("CN = two"));
    assert!(open.ask().contains(" 200 "));
    assert_eq!(running(), (Some(0), String::new()));
}

#[test]
fn the_running_process_is_asked() {
    let held = Held::new();
    let rig = Rig::start(&server(&format!("    server s {} weight 6\n", held.address())), &[8080]);
    let request = held.request(&rig);
    let new = rig.proxy.dir().join("new.cfg").to_string_lossy().into_owned();
    let text = std::fs::read_to_string(rig.proxy.dir().join("proxy.cfg")).unwrap();
    let text = text.replace("weight 6", "weight 8").replace("default_backend b", "default_backend c");
    std::fs::write(&new, format!("{text}backend c\n    server s 192.0.2.1:80\n")).unwrap();
    // What the file says by now is not what runs.
    rig.write("", "not a configuration\n");
    let socket = rig.socket.to_string_lossy().into_owned();
    let (code, said) = told(&["diff", "-s", &socket, "-f", &new]);
    assert_eq!(
        said,
        "frontend f: default_backend: b -> c (new connections; 1 connection now)\nbackend b: server s: weight 6 -> 8 (no connection affected; a weight set by command gives way; 1 connection now)\nbackend c: added (its checks begin)\n"
    );
    assert_eq!(code, Some(1));
    let (_, json) = told(&["diff", "-j", "-s", &socket, "-f", &new]);
    let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&parsed[1]["change"], &parsed[1]["connections"]),
        (&"server s: weight 6 -> 8".into(), &1.into())
    );
    finishes(request);
    assert_eq!(told(&["diff", "-s", "/nonexistent.sock", "-f", &new]).0, Some(2));
}
