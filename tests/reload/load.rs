//! Reloads one after another under traffic: no request fails, no websocket ends, no memory and no descriptor stays behind.

use crate::harness::client::Client;
use crate::harness::{eventually, own_address};
use crate::{GET, Rig};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

/// What the websockets and requests of a run made of it.
#[derive(Default)]
pub struct Tally {
    pub done: AtomicUsize,
    pub failed: AtomicUsize,
    pub stop: AtomicBool,
}

/// Answers requests, and echoes on connections that were upgraded. Its threads end with the connections.
pub fn origin() -> SocketAddr {
    let listener = TcpListener::bind((own_address(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::Builder::new().stack_size(64 * 1024).spawn(move || answer(stream)).unwrap();
        }
    });
    address
}

fn answer(mut stream: TcpStream) {
    let mut seen = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(n @ 1..) = stream.read(&mut chunk) {
        seen.extend_from_slice(&chunk[..n]);
        while let Some(end) = seen.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&seen[..end]).to_ascii_lowercase();
            seen.drain(..end + 4);
            if head.contains("upgrade: websocket") {
                let _ = stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
                while let Ok(n @ 1..) = stream.read(&mut chunk) {
                    if stream.write_all(&chunk[..n]).is_err() {
                        return;
                    }
                }
                return;
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    }
}

/// Requests without pause; `kept`: as many on a connection, as long as the proxy keeps it.
pub fn requests(at: SocketAddr, kept: usize, tally: &Arc<Tally>) -> JoinHandle<()> {
    let tally = Arc::clone(tally);
    std::thread::spawn(move || {
        while !tally.stop.load(SeqCst) {
            let Ok(mut client) = Client::try_connect(at) else {
                tally.failed.fetch_add(1, SeqCst);
                continue;
            };
            client.set_limit(Duration::from_secs(20));
            for _ in 0..kept {
                client.send(GET);
                let answer = String::from_utf8_lossy(&client.response(false)).to_ascii_lowercase();
                if !answer.starts_with("http/1.1 200") || !answer.ends_with("ok") {
                    tally.failed.fetch_add(1, SeqCst);
                    break;
                }
                tally.done.fetch_add(1, SeqCst);
                if answer.contains("connection: close") {
                    break;
                }
            }
        }
    })
}

pub fn websocket(at: SocketAddr) -> Client {
    let mut client = Client::connect(at);
    client.send(b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    let head = client.response(false);
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    client
}

fn proc_figure(pid: u32, key: &str) -> usize {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix(key)).unwrap();
    line.trim_matches([':', ' ', '\t']).split_whitespace().next().unwrap().parse().unwrap()
}

fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

fn figure(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(usual)
}

/// `WEIR_RELOADS` and `WEIR_WEBSOCKETS` make the run longer: benches/reload.
#[test]
fn many_reloads_lose_nothing() {
    let (reloads, sockets) = (figure("WEIR_RELOADS", 30), figure("WEIR_WEBSOCKETS", 200));
    let origin = origin();
    let config = |turn: usize| {
        format!(
            "frontend f\n    bind {{A}}:8080\n    http-response set-header x-turn {turn}\n    default_backend b\nbackend b\n    timeout tunnel 1h\n    retries {}\n    server s {origin} check inter 500ms weight {}\n",
            2 + turn % 2,
            1 + turn % 4
        )
    };
    let rig = Rig::start_with("    nbthread 2\n", &config(0), &[8080]);
    let mut websockets: Vec<Client> = (0..sockets).map(|_| websocket(rig.at(8080))).collect();
    let tally = Arc::new(Tally::default());
    let clients: Vec<_> = [1, 1, 20, 50].map(|kept| requests(rig.at(8080), kept, &tally)).into();
    let mut measured = (0, 0);
    for turn in 1..=reloads {
        let before = tally.done.load(SeqCst);
        let answer = rig.reload_with("    nbthread 2\n", &config(turn));
        assert!(answer.starts_with("Success=1"), "{answer}");
        assert!(eventually(|| tally.done.load(SeqCst) > before + 20), "traffic goes on");
        // Caches and pools of the first rounds are no growth.
        if turn == reloads / 3 {
            measured = (proc_figure(rig.proxy.pid(), "VmRSS"), descriptors(rig.proxy.pid()));
        }
    }
    for (i, socket) in websockets.iter_mut().enumerate() {
        let word = format!("word {i}");
        socket.send(word.as_bytes());
        assert_eq!(String::from_utf8_lossy(&socket.read_exactly(word.len())), word);
    }
    tally.stop.store(true, SeqCst);
    clients.into_iter().for_each(|c| c.join().unwrap());
    assert_eq!(tally.failed.load(SeqCst), 0, "of {}", tally.done.load(SeqCst));
    let listed = rig.ask("show generations");
    assert!(listed.contains("\n1 ") && listed.contains(&format!("\n{} ", reloads + 1)), "{listed}");
    // Only the first still has connections: the websockets.
    assert!(eventually(|| rig
        .ask("show generations")
        .lines()
        .filter(|l| !l.starts_with('#') && !l.is_empty())
        .count()
        == 2));
    let (rss, fds) = measured;
    let growth = proc_figure(rig.proxy.pid(), "VmRSS") * 100 / rss;
    assert!(growth < 120, "memory is at {growth} % of what it was after a third of the reloads");
    assert!(
        eventually(|| descriptors(rig.proxy.pid()) <= fds),
        "{} descriptors, {fds} before",
        descriptors(rig.proxy.pid())
    );
    println!(
        "{} requests, {reloads} reloads, {sockets} websockets, memory {growth} %",
        tally.done.load(SeqCst)
    );
    drop(websockets);
    assert!(eventually(|| !rig.ask("show generations").contains("\n1 ")));
}
