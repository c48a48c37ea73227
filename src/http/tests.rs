//! The engine over real sockets, with a configuration made by hand and an origin that follows a script.

use super::{Engine, serve};
use crate::config::model::{
    self, Address, Backend, Bind, Config, Endpoint, Front, Mode, Proxy, RetryOn, Server,
};
use crate::expr::facts::ConnFacts;
use crate::ids::ProxyIndex;
use crate::live::sessions::Card;
use crate::live::{Generation, Process};
use crate::logging;
use crate::net::{Accepted, Stream};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

/// What the origin does with one request: reads it and answers, then closes if told to.
#[derive(Clone)]
struct Step {
    answer: &'static [u8],
    close: bool,
}

const fn say(answer: &'static [u8]) -> Step {
    Step { answer, close: false }
}

const fn say_and_close(answer: &'static [u8]) -> Step {
    Step { answer, close: true }
}

/// Serves `steps` in order over any number of connections; what it received is appended to the log.
fn origin(steps: Vec<Step>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let steps = Arc::new(Mutex::new(std::collections::VecDeque::from(steps)));
    let log = Arc::clone(&seen);
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let (steps, log) = (Arc::clone(&steps), Arc::clone(&log));
            std::thread::spawn(move || {
                while let Some(request) = read_request(&mut stream) {
                    log.lock().unwrap().push(request);
                    let Some(step) = steps.lock().unwrap().pop_front() else { return };
                    if stream.write_all(step.answer).is_err() || step.close {
                        return;
                    }
                }
            });
        }
    });
    (addr, seen)
}

/// A head, and a body as long as `content-length` or the last chunk says.
fn read_request(stream: &mut TcpStream) -> Option<String> {
    let (mut text, mut buf) = (String::new(), [0; 65536]);
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse::<usize>().ok());
            let whole = match length {
                Some(n) => body.len() >= n,
                None if head.contains("transfer-encoding: chunked") => body.ends_with("0\r\n\r\n"),
                None => true,
            };
            if whole {
                return Some(text);
            }
        }
        match stream.read(&mut buf) {
            Ok(0) | Err(_) => return None,
            Ok(n) => text.push_str(&String::from_utf8_lossy(&buf[..n])),
        }
    }
}

/// A `listen` section with one server per address.
fn listen(servers: &[SocketAddr]) -> Proxy {
    let second = Some(Duration::from_secs(2));
    let servers = servers.iter().zip(1..).map(|(addr, id)| {
        let name = format!("s{id}").into();
        Arc::new(Server { name, id, endpoint: Endpoint::Inet(*addr), ..Server::default() })
    });
    let back =
        Backend { balance: model::Balance::RoundRobin, servers: servers.collect(), ..Backend::default() };
    let timeouts = model::Timeouts { client: second, server: second, connect: second, ..Default::default() };
    let front = Front { maxconn: 100, ..Front::default() };
    Proxy {
        index: Some(ProxyIndex(0)),
        name: "web".into(),
        mode: Mode::Http,
        timeouts,
        front: Some(front),
        back: Some(back),
        ..Proxy::default()
    }
}

/// Runs `proxy` on a port of its own until the test's process ends.
fn proxy(proxy: Proxy) -> SocketAddr {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async move {
            let process = Arc::new(Process::new(1, "test".into(), 1, 100));
            let config = Arc::new(Config { proxies: vec![Arc::new(proxy)], ..Config::default() });
            let hub = logging::Hub::new(Arc::clone(&process), &config.global);
            let generation = Arc::new(Generation::build(config, process, 1, None));
            let engine = Engine::new(1, &generation, logging::Sender::new(&hub), None);
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                let nobody = ConnFacts::of_nobody(SystemTime::now());
                let conn = Box::new(ConnFacts { src: Some(peer), listener_id: 1, ..nobody });
                let bind = Arc::new(bind());
                let accepted = Accepted {
                    card: std::rc::Rc::clone(Card::register(1).card()),
                    stream: Stream::Tcp(stream),
                    conn,
                    bind,
                    preread: Vec::new(),
                    at: Instant::now(),
                    handshake: 0,
                    variables: crate::live::variables::Variables::default(),
                };
                let front = Arc::clone(&generation.proxies[0]);
                tokio::task::spawn_local(serve(
                    accepted,
                    front,
                    Arc::clone(&generation),
                    std::rc::Rc::clone(&engine),
                ));
            }
        });
    });
    told.recv().unwrap()
}

fn bind() -> Bind {
    Bind { id: 1, ..Bind::bare(Address::Inet(SocketAddr::from(([127, 0, 0, 1], 0)))) }
}

struct Client(TcpStream);

impl Client {
    fn to(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Self(stream)
    }

    fn send(&mut self, text: &str) -> &mut Self {
        self.0.write_all(text.as_bytes()).unwrap();
        self
    }

    /// Reads until `text` has come in full, and checks that it is that.
    fn expect(&mut self, text: &str) -> &mut Self {
        let mut got = vec![0; text.len()];
        if let Err(e) = self.0.read_exact(&mut got) {
            panic!("{e}: expected {text:?}, got {:?}", String::from_utf8_lossy(&got));
        }
        assert_eq!(String::from_utf8_lossy(&got), text);
        self
    }

    fn expect_end(&mut self) {
        let mut rest = Vec::new();
        let _ = self.0.read_to_end(&mut rest);
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }

    fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let _ = self.0.read_to_end(&mut rest);
        String::from_utf8_lossy(&rest).into_owned()
    }
}

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const HELLO_OUT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

#[test]
fn keep_alive_and_pipelining_reuse_both_connections() {
    let (server, seen) = origin(vec![say(HELLO), say(HELLO), say(HELLO), say(HELLO)]);
    let mut client = Client::to(proxy(listen(&[server])));
    client.send(GET).expect(HELLO_OUT);
    client.send(GET).expect(HELLO_OUT);
    client.send(&GET.repeat(2)).expect(HELLO_OUT).expect(HELLO_OUT);
    assert_eq!(*seen.lock().unwrap(), vec!["GET /x HTTP/1.1\r\nhost: a\r\n\r\n"; 4]);
}

#[test]
fn connection_headers_are_per_hop() {
    let (server, seen) =
        origin(vec![say(HELLO), say(HELLO), say_and_close(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nhello")]);
    let addr = proxy(listen(&[server]));
    let closing = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
    Client::to(addr)
        .send("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .expect(closing)
        .expect_end();
    Client::to(addr).send("GET /x HTTP/1.0\r\n\r\n").expect(closing).expect_end();
    Client::to(addr)
        .send(GET)
        .expect("HTTP/1.1 200 OK\r\nx: y\r\nconnection: close\r\n\r\nhello")
        .expect_end();
    let seen = seen.lock().unwrap();
    assert_eq!(seen[0], "GET /x HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(seen[1], "GET /x HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
}

#[test]
fn bodies_go_both_ways() {
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nTr: 1\r\n\r\n";
    let (server, seen) = origin(vec![say(HELLO), say(chunked), say(HELLO)]);
    let mut client = Client::to(proxy(listen(&[server])));
    let big = "x".repeat(100_000);
    client
        .send(&format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n{big}"))
        .expect(HELLO_OUT);
    client
        .send("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        .send("3\r\nabc\r\n")
        .send("0\r\n\r\n");
    client.expect("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\ntr: 1\r\n\r\n");
    client.send(GET).expect(HELLO_OUT);
    let seen = seen.lock().unwrap();
    assert_eq!(
        seen[0].len(),
        "POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n".len() + 100_000
    );
    assert!(seen[1].ends_with("3\r\nabc\r\n0\r\n\r\n"));
}

#[test]
fn interim_responses_and_bodiless_ones() {
    let early = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No\r\n\r\n";
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let (server, _) = origin(vec![say(early), say(head), say(HELLO)]);
    let mut client = Client::to(proxy(listen(&[server])));
    client.send(GET).expect("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 No\r\n\r\n");
    client.send("HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n").expect("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
    client.send(GET).expect(HELLO_OUT);
}

#[test]
fn tunnels_close_each_way() {
    let (server, _) =
        origin(vec![say_and_close(b"HTTP/1.1 101 Up\r\nConnection: upgrade\r\nUpgrade: ws\r\n\r\nDATA")]);
    let mut client = Client::to(proxy(listen(&[server])));
    client.send("GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: ws\r\n\r\n");
    client.expect("HTTP/1.1 101 Up\r\nconnection: upgrade\r\nupgrade: ws\r\n\r\nDATA");
    client.0.shutdown(std::net::Shutdown::Write).unwrap();
    client.expect_end();
}

/// A port nobody listens on.
fn dead() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_dead_server_costs_no_request_with_redispatch() {
    let (server, _) = origin(vec![say(HELLO), say(HELLO), say(HELLO), say(HELLO)]);
    let mut conf = listen(&[dead(), server]);
    conf.options.redispatch = Some(1);
    let mut client = Client::to(proxy(conf));
    for _ in 0..4 {
        client.send(GET).expect(HELLO_OUT);
    }
}

#[test]
fn a_reused_connection_that_died_is_replaced() {
    let (server, seen) = origin(vec![say(HELLO), say_and_close(b""), say(HELLO)]);
    let mut client = Client::to(proxy(listen(&[server])));
    client.send(GET).expect(HELLO_OUT).send(GET).expect(HELLO_OUT);
    assert_eq!(seen.lock().unwrap().len(), 3);
}

#[test]
fn empty_and_bad_responses_are_retried_where_asked_for() {
    let (server, seen) = origin(vec![say_and_close(b""), say_and_close(b"junk\r\n\r\n"), say(HELLO)]);
    let mut conf = listen(&[server]);
    if let Some(back) = &mut conf.back {
        back.retry_on = RetryOn { empty_response: true, junk_response: true, ..RetryOn::default() };
    }
    let mut client = Client::to(proxy(conf));
    client.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").expect(HELLO_OUT);
    let post = "POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc";
    assert_eq!(*seen.lock().unwrap(), vec![post; 3]);
}

#[test]
fn faults_become_statuses() {
    let status = |conf: Proxy, request: &str| {
        let mut client = Client::to(proxy(conf));
        let _ = client.0.write_all(request.as_bytes());
        client.rest().split(' ').nth(1).unwrap_or_default().to_owned()
    };
    let close = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let patient = |server| {
        let mut conf = listen(&[server]);
        if let Some(back) = &mut conf.back {
            back.retries = 0;
        }
        conf
    };
    let hasty = |server, wait: fn(&mut model::Timeouts) -> &mut Option<Duration>| {
        let mut conf = patient(server);
        *wait(&mut conf.timeouts) = Some(Duration::from_millis(50));
        conf
    };
    assert_eq!(status(patient(dead()), close), "503");
    assert_eq!(status(patient(origin(vec![say_and_close(b"")]).0), close), "502");
    assert_eq!(status(patient(origin(vec![say_and_close(b"junk\r\n\r\n")]).0), close), "502");
    assert_eq!(status(hasty(origin(vec![say(b"")]).0, |t| &mut t.server), close), "504");
    assert_eq!(status(hasty(dead(), |t| &mut t.http_request), "GET /x HTTP/1.1\r\n"), "408");
    assert_eq!(status(patient(dead()), "GET /x HTTP/1.1\r\nA : b\r\n\r\n"), "400");
    assert_eq!(status(hasty(dead(), |t| &mut t.http_request), ""), "408");
}
