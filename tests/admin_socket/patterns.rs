//! `acl` and `map` commands.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::client::Client;
use crate::harness::console::Console;
use crate::harness::origin::Origin;
use crate::harness::own_address;
use crate::harness::process::Program;
use crate::rig::{PORT, Rig, compare_masked};

fn file(dir: &Path, name: &str, content: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_string_lossy().into_owned()
}

/// Numbers after `0x` are addresses; a client of haproxy's own has ACLs too.
fn mask(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines().filter(|l| !l.contains("file 'httpclient'")) {
        let mut rest = line;
        while let Some(at) = rest.find("0x") {
            out.push_str(&rest[..at]);
            out.push_str("PTR");
            rest = rest[at + 2..].trim_start_matches(|c: char| c.is_ascii_hexdigit());
        }
        out.push_str(rest);
        out.push('\n');
    }
    out.replace("type=unknown(PTR)", "type=meth")
}

#[test]
#[allow(clippy::too_many_lines)] // a table
fn answers_of_the_pattern_family() {
    let dir = tempfile::TempDir::new().unwrap();
    let list = file(dir.path(), "a.lst", "/a\n/b c\n# x\n\n  /d\n");
    let map = file(dir.path(), "a.map", "k1 v1\nk2   v2 x \nk1 v3\nk4\n");
    let numbers = file(dir.path(), "int.map", "1 10\n2 20\n");
    let nets = file(dir.path(), "ip.map", "10.0.0.0/8 a\n");
    let sections = format!(
        "frontend f
    bind ADDR:8080
    acl a path -f {list}
    acl b path_beg -i -f {list} /inline1 /inline2
    acl c path -u 77 /x /y
    acl d src 10.0.0.0/8
    acl e path -M -f {numbers}
    http-request set-header X %[path,map({map},def)]
    http-request set-header X %[path,map_beg({map},def)]
    http-request set-header Y %[path,map_int_int({numbers})]
    http-request set-header Y %[src,map_ip({nets})]
    http-request deny if {{ path /zz }} {{ method FOO }} or METH_GET
    http-request deny if {{ hdr(host) -i foo }} a b c d !e METH_GET
    http-request set-map({map}) %[path] %[src]
    http-request del-map({map}) foo-%[path] if {{ path_reg ^/foo }}
    default_backend b
backend b
    server s1 ADDR:9001
    use-server s1 if {{ url_len gt 5 }}
"
    );
    let by_name = format!("show acl {list}");
    let lines = [
        "show acl",
        "show map",
        &by_name,
        "show acl zz",
        "show acl #77",
        "show acl #999",
        "show acl @1 #0",
        "show acl @x #0",
        "show acl @1",
        "show map #0",
        "show acl #4",
        "add acl",
        "add acl #0",
        "add acl #0 /new",
        "add acl #0 /new",
        "add acl #0 a b",
        "show acl #0",
        "del acl #0 /nope",
        "del acl #0 /new",
        "show acl #0",
        "add acl #999 x",
        "add acl #3 notip",
        "add acl #4 foo",
        "add map #4 5",
        "add map #4 5 x",
        "add map #4 5 55",
        "add map #4 foo 55",
        "show map #4",
        "set map #4 5 66",
        "set map #4 nope 66",
        "set map #4 5",
        "set map",
        "set map #99 a b",
        "set map #6 #0x55 v",
        "get map #4 5",
        "get map #4 99",
        "get acl #3 10.1.1.1",
        "get acl #3 11.1.1.1",
        "get acl #3 foo",
        "get acl #0 /a",
        "get acl #1 zz",
        "get acl #2 /Inline1x",
        "get acl #4 5",
        "get map #6 k2zz",
        "get map #6 k1",
        "get map #4",
        "get map",
        "get acl #12 /foo",
        "get map #7 10.2.2.2",
        "get acl #13 abcdefgh",
        "get acl #9 FOO",
        "get acl #10 GET",
        "add acl #13 gt 7",
        "add acl #13 9",
        "show acl #13",
        "clear acl #0",
        "show acl #0",
        "clear acl",
        "clear acl #99",
        "del acl",
        "del acl #0",
        "del acl #0 #0x55",
        "del map #6",
        "del map #6 k1",
        "show map #6",
        "prepare acl",
        "prepare acl #0",
        "prepare acl #0",
        "add acl @1 #0 /v1",
        "add acl @2 #0 /v2",
        "add acl @3 #0 /v2",
        "show acl @2 #0",
        "show acl @1 #0",
        "show acl #0",
        "commit acl",
        "commit acl #0",
        "commit acl @2 #0",
        "show acl #0",
        "commit acl @1 #0",
        "commit acl @5 #0",
        "commit map @x #6",
        "commit map @1",
        "commit map @1 #99",
        "prepare map #99",
        "clear map @1 #6",
        "prepare map #6",
        "add map @1 #6 a b",
        "add map @2 #6 a b",
        "del map @1 #6 a",
        "get map @1 #6 a",
        "show map #6",
        "commit map @1 #6",
        "show map #6",
        "add map #6 <<\nx1 y1\nx2 y 2\nx3   y3 z\n",
        "show map #6",
        "add map #4 <<\n7 8\nfoo 9\n9 10\n",
        "show map #4",
        "add map #99 <<\na b\n",
        "add map",
        "set map #6 x1 b c",
        "show map #6",
        "del acl #2 /INLINE1",
        "del acl #2 /inline1",
        "show acl #2",
        "set acl #2 a b",
        "user: show acl #77",
        "user: get acl #77 /x",
    ];
    compare_masked("", &sections, &lines, mask);
}

/// What is changed is seen by the very next request, on every thread.
#[test]
fn changes_reach_the_workers_at_once() {
    let dir = tempfile::TempDir::new().unwrap();
    let map = file(dir.path(), "a.map", "/a first\n");
    let sections = format!(
        "frontend f
    bind ADDR:8080
    http-request return status 200 content-type text/plain lf-string %[path,map({map},none)]
"
    );
    let rig = Rig::weir("", &sections);
    let mut clients: Vec<Client> = (0..8).map(|_| Client::connect((rig.address, PORT).into())).collect();
    let mut seen = || {
        let mut answers: Vec<String> = clients
            .iter_mut()
            .map(|client| {
                client.send(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
                let answer = String::from_utf8(client.response(false)).unwrap();
                answer.rsplit("\r\n\r\n").next().unwrap().to_owned()
            })
            .collect();
        answers.dedup();
        answers.join(",")
    };
    assert_eq!(seen(), "first");
    rig.ask("set map #0 /a second");
    assert_eq!(seen(), "second");
    rig.ask("prepare map #0;add map @1 #0 /a third");
    assert_eq!(seen(), "second");
    rig.ask("commit map @1 #0");
    assert_eq!(seen(), "third");
    rig.ask("del map #0 /a");
    assert_eq!(seen(), "none");
}

/// Ten thousand single additions to a list of a hundred thousand, while requests look things up in it.
#[test]
fn a_long_list_grows_one_by_one() {
    let dir = tempfile::TempDir::new().unwrap();
    let mut content = Vec::new();
    for i in 0..100_000 {
        writeln!(content, "/path/{i} {i}").unwrap();
    }
    let map = file(dir.path(), "long.map", &String::from_utf8(content).unwrap());
    let address = own_address();
    let origin = Origin::start((address, 9001).into(), &[]);
    let sections = format!(
        "frontend f
    bind ADDR:8080
    http-request return status 200 content-type text/plain lf-string %[path,map({map},none)]
"
    );
    let rig = Rig::start(Program::Weir, "    tune.bufsize 65536\n", &sections, address);
    let mut console = Console::connect(&rig.socket("admin"));
    console.send(b"prompt\n");
    console.until("> ");
    let mut client = Client::connect((address, PORT).into());
    let started = Instant::now();
    let mut slowest = Duration::ZERO;
    for hundred in 0..100 {
        for i in 0..100 {
            let n = 100_000 + hundred * 100 + i;
            console.send(format!("add map #0 /path/{n} {n}\n").as_bytes());
            console.until("> ");
        }
        let asked = Instant::now();
        let last = 100_000 + hundred * 100 + 99;
        client.send(format!("GET /path/{last} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        let answer = String::from_utf8(client.response(false)).unwrap();
        slowest = slowest.max(asked.elapsed());
        assert!(answer.ends_with(&format!("\r\n\r\n{last}")), "{answer}");
    }
    println!("10,000 additions in {:?}, the slowest request meanwhile {slowest:?}", started.elapsed());
    assert!(rig.ask("show map").contains("entry_cnt=110000"));
    drop(origin);
}
