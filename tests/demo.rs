//! `weir demo` does what it prints: the three lines to try, and Ctrl-C.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start() -> Demo {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    Demo(command.arg("demo").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

fn get(path: &str, cookie: Option<&str>) -> String {
    let limit = Instant::now() + Duration::from_secs(20);
    // The proxy listens a moment after it has said so.
    let mut stream = loop {
        match TcpStream::connect(("127.0.0.1", 8080)) {
            Ok(stream) => break stream,
            Err(error) => assert!(Instant::now() < limit, "{error}"),
        }
    };
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let cookie = cookie.map(|value| format!("Cookie: {value}\r\n")).unwrap_or_default();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{cookie}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn what_it_offers_works() {
    let mut demo = start();
    let mut lines = BufReader::new(demo.0.stdout.take().unwrap()).lines();
    let mut introduced = Vec::new();
    for line in lines.by_ref() {
        let line = line.unwrap();
        let last = line.contains("Ctrl-C");
        introduced.push(line);
        if last {
            break;
        }
    }
    if introduced.is_empty() {
        let mut error = String::new();
        demo.0.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        panic!("the demo did not start (does something else use port 8080?): {error}");
    }
    assert_eq!(introduced.iter().filter(|line| line.trim_start().starts_with("curl ")).count(), 3);

    let (first, second) = (get("/", None), get("/", None));
    let names = ["app1", "app2"].map(|name| first.contains(&format!("Hello from {name}")));
    assert!(first.starts_with("HTTP/1.1 200") && names[0] != names[1], "{first}");
    assert!(second.contains(if names[0] { "Hello from app2" } else { "Hello from app1" }), "{second}");
    assert!(first.to_lowercase().contains("set-cookie: serverid=app"), "{first}");
    for _ in 0..2 {
        assert!(get("/account", Some("SERVERID=app2")).contains("Hello from app2"));
    }
    let style = get("/static/site.css", None);
    assert!(
        style.contains("from files") && style.to_lowercase().contains("cache-control: public"),
        "{style}"
    );

    assert!(get("/stats", None).contains("data-name=\"dynamic\""), "the page");

    // A second one says what is in its way.
    let second = Command::new(env!("CARGO_BIN_EXE_weir")).arg("demo").output().unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("port 8080") && said.contains("taken"), "{said}");

    let interrupted = Command::new("kill").args(["-INT", &demo.0.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let limit = Instant::now() + Duration::from_secs(10);
    while demo.0.try_wait().unwrap().is_none() {
        assert!(Instant::now() < limit, "Ctrl-C does not end it");
        std::thread::yield_now();
    }
}
