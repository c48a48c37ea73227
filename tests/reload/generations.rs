//! What `show generations` says of memory, and mail that waits while generations change.

use crate::harness::client::Client;
use crate::harness::{eventually, own_address};
use crate::{GET, Rig};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// Connections and kB of a generation; `None`: it is not listed.
fn listed(rig: &Rig, number: u32) -> Option<(usize, usize)> {
    let text = rig.ask("show generations");
    assert!(text.contains("\n# number age(s) connections memory(kB)\n"), "{text}");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let line = text.lines().map(words).find(|words| words.first() == Some(&number.to_string()))?;
    Some((line[2].parse().unwrap(), line[3].parse().unwrap()))
}

const PATTERNS: usize = 20_000;

#[test]
fn memory_is_that_of_the_configuration_and_of_what_is_connected() {
    let small = "frontend f\n    bind {A}:8080\n    http-request return status 200\n";
    let rig = Rig::start(small, &[8080]);
    let (_, bare) = listed(&rig, 1).unwrap();
    assert!((1..1000).contains(&bare), "{bare} kB");

    // Heads that are not whole: a buffer for each.
    let mut clients: Vec<Client> = (0..50).map(|_| Client::connect(rig.at(8080))).collect();
    clients.iter_mut().for_each(|client| client.send(b"GET / HTTP/1.1\r\nHost: h\r\n"));
    let buffers = 50 * 16;
    assert!(eventually(|| {
        let (connections, memory) = listed(&rig, 1).unwrap();
        connections == 50 && (bare + buffers..bare + 2 * buffers).contains(&memory)
    }));

    let file = rig.proxy.dir().join("patterns");
    let patterns: String = (0..PATTERNS).map(|i| format!("/a/pattern/of/some/length/{i:06}\n")).collect();
    let size = patterns.len() / 1024;
    std::fs::write(&file, patterns).unwrap();
    let rule = format!("    http-request deny if {{ path -f {} }}\n", file.display());
    rig.go_to(&small.replace("    http-request", &format!("{rule}    http-request")));
    let (_, large) = listed(&rig, 2).unwrap();
    assert!((bare + size..bare + 20 * size).contains(&large), "{large} kB with {size} kB of patterns");
    // What was there before is still there, for those who are.
    assert!(
        listed(&rig, 1).is_some_and(|(connections, memory)| connections == 50 && memory >= bare + buffers)
    );

    rig.go_to(small);
    let (_, after) = listed(&rig, 3).unwrap();
    assert!(after < bare + size, "{after} kB again, {bare} before");
    assert_eq!(listed(&rig, 2), None, "nobody is connected to it");
    clients.iter_mut().for_each(|client| client.send(b"\r\n"));
    for client in &mut clients {
        assert!(client.response(false).starts_with(b"HTTP/1.1 200"));
    }
    assert!(eventually(|| listed(&rig, 1).is_none()));
    let mut client = Client::connect(rig.at(8080));
    client.send(GET);
    assert!(client.response(false).starts_with(b"HTTP/1.1 200"));
}

/// Takes one letter, and answers its subject. `told`: what is done before it is said to be taken.
fn take_letter(stream: &TcpStream, mut told: impl FnMut()) -> String {
    let mut writer = stream.try_clone().unwrap();
    let mut subject = String::new();
    writer.write_all(b"220 mx\r\n").unwrap();
    let mut in_data = false;
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        subject = line.strip_prefix("Subject: ").map_or(subject, str::to_owned);
        let reply: &[u8] = match line.as_str() {
            "." => {
                in_data = false;
                told();
                b"250 taken\r\n"
            }
            _ if in_data => continue,
            "DATA" => {
                in_data = true;
                b"354 go on\r\n"
            }
            "QUIT" => b"221 bye\r\n",
            _ => b"250 fine\r\n",
        };
        let _ = writer.write_all(reply);
    }
    subject
}

fn admit(server: &TcpListener) -> TcpStream {
    let mut admitted = None;
    assert!(eventually(|| {
        admitted = server.accept().ok();
        admitted.is_some()
    }));
    let (stream, _) = admitted.unwrap();
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

fn mailers() -> [TcpListener; 2] {
    let servers = [(); 2].map(|()| TcpListener::bind((own_address(), 0)).unwrap());
    servers.iter().for_each(|server| server.set_nonblocking(true).unwrap());
    servers
}

fn mailing(mailer: &TcpListener, status: u16) -> String {
    let address = mailer.local_addr().unwrap();
    format!(
        "mailers office\n    timeout mail 1h\n    mailer post {address}\nfrontend f\n    bind {{A}}:8080\n    http-request return status {status}\nbackend b\n    email-alert mailers office\n    email-alert level info\n    email-alert from a@x\n    email-alert to b@x\n    server one 127.0.0.1:1\n    server two 127.0.0.1:1\n"
    )
}

/// The mailer has it, and has not said so when a reload comes.
#[test]
fn a_letter_that_was_told_comes_once() {
    let servers = mailers();
    let rig = Rig::start(&mailing(&servers[0], 200), &[8080]);
    rig.ask("set server b/one state drain");
    let subject = take_letter(&admit(&servers[0]), || rig.go_to(&mailing(&servers[1], 201)));
    assert!(subject.contains("Server b/one enters drain state"), "{subject}");
    rig.ask("set server b/two state drain");
    let subject = take_letter(&admit(&servers[1]), || {});
    assert!(subject.contains("Server b/two enters drain state"), "{subject}");
    assert!(servers.iter().all(|server| server.accept().is_err()), "each letter comes once");
}

/// One letter is on its way, another one waits: both arrive, once, at where the mailer is by then.
#[test]
fn mail_waits_for_its_mailer() {
    let servers = mailers();
    let config = |mailer: usize, status: u16| mailing(&servers[mailer], status);
    let rig = Rig::start(&config(0, 200), &[8080]);
    rig.ask("set server b/one state drain");
    let _silent = admit(&servers[0]);
    rig.ask("set server b/two state drain");
    rig.go_to(&config(0, 201));
    let _silent = admit(&servers[0]);
    rig.go_to(&config(1, 202));
    for server in ["one", "two"] {
        let subject = take_letter(&admit(&servers[1]), || {});
        assert!(subject.contains(&format!("Server b/{server} enters drain state")), "{subject}");
    }
    rig.ask("show info");
    assert!(servers[1].accept().is_err(), "each letter comes once");
}
