//! An origin server that does what the last part of the path says, and an agent.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::harness::bind_soon;
use crate::harness::client::find;

const LIMIT: Duration = Duration::from_secs(60);

pub struct Origin {
    state: Arc<State>,
    acceptors: Vec<(SocketAddr, Option<JoinHandle<()>>)>,
}

#[derive(Default)]
struct State {
    stopping: AtomicBool,
    /// Requests that wait here: `/hold` for a permit, `/eof` for the end of the connection.
    waiting: AtomicUsize,
    permits: Mutex<usize>,
    permitted: Condvar,
}

impl Origin {
    pub fn start(http: SocketAddr, agent: SocketAddr) -> Self {
        let state = Arc::new(State::default());
        let acceptors = [(http, serve as fn(TcpStream, &State)), (agent, tell)]
            .map(|(address, each)| {
                let listener = bind_soon(|| TcpListener::bind(address));
                let state = Arc::clone(&state);
                (address, Some(std::thread::spawn(move || accept(&listener, &state, each))))
            })
            .into();
        Self { state, acceptors }
    }

    /// Requests that came to wait, so far.
    pub fn waiting(&self) -> usize {
        self.state.waiting.load(Ordering::SeqCst)
    }

    /// Lets one `/hold` go on.
    pub fn release(&self) {
        *self.state.permits.lock().unwrap() += 1;
        self.state.permitted.notify_one();
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.state.stopping.store(true, Ordering::SeqCst);
        for (address, acceptor) in &mut self.acceptors {
            // Wakes the accept loop, which then ends and frees the port.
            let _ = TcpStream::connect_timeout(address, Duration::from_secs(1));
            acceptor.take().map(JoinHandle::join);
        }
    }
}

fn accept(listener: &TcpListener, state: &Arc<State>, each: fn(TcpStream, &State)) {
    for stream in listener.incoming().flatten() {
        if state.stopping.load(Ordering::SeqCst) {
            return;
        }
        let state = Arc::clone(state);
        std::thread::spawn(move || each(stream, &state));
    }
}

/// The agent.
fn tell(mut stream: TcpStream, _: &State) {
    let _ = stream.write_all(b"up 50%\n");
}

fn serve(mut stream: TcpStream, state: &State) {
    let _ = stream.set_nodelay(true);
    let _ = stream.set_read_timeout(Some(LIMIT));
    let mut pending = Vec::new();
    while let Some(head) = next_head(&mut stream, &mut pending) {
        let path = head.split(' ').nth(1).unwrap_or("");
        if !answer(&mut stream, path.rsplit('/').next().unwrap_or(""), state) {
            return;
        }
    }
}

/// False where the connection ends here.
fn answer(stream: &mut TcpStream, what: &str, state: &State) -> bool {
    let (text, goes_on) = match what {
        "500" => ("HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno", true),
        "301" => ("HTTP/1.1 301 Moved\r\nContent-Length: 0\r\nLocation: /\r\n\r\n", true),
        "418" => ("HTTP/1.1 418 Odd\r\nContent-Length: 0\r\n\r\n", true),
        "999" => ("HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", true),
        "101" => ("HTTP/1.1 101 Upgrade\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n", false),
        "close" => ("", false),
        "junk" => ("junk junk\r\n\r\n", false),
        "part" => ("HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\nok", false),
        "hang" => ("HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\nok", false),
        _ => ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", true),
    };
    match what {
        "hold" => hold(state),
        // A slow server, for times that are not zero.
        "late" => std::thread::sleep(Duration::from_millis(50)),
        "eof" => {
            state.waiting.fetch_add(1, Ordering::SeqCst);
            until_end(stream);
            return false;
        }
        _ => {}
    }
    let sent = stream.write_all(text.as_bytes()).is_ok();
    if what == "hang" {
        until_end(stream);
    }
    sent && goes_on
}

fn hold(state: &State) {
    state.waiting.fetch_add(1, Ordering::SeqCst);
    let permits = state.permits.lock().unwrap();
    let (mut permits, waited) = state.permitted.wait_timeout_while(permits, LIMIT, |n| *n == 0).unwrap();
    assert!(!waited.timed_out(), "nobody releases the request");
    *permits -= 1;
}

fn until_end(stream: &mut TcpStream) {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).is_ok_and(|n| n > 0) {}
}

fn next_head(stream: &mut TcpStream, pending: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = find(pending, b"\r\n\r\n") {
            let head: Vec<u8> = pending.drain(..end + 4).collect();
            return Some(String::from_utf8_lossy(&head).into_owned());
        }
        let mut buffer = [0; 16384];
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => pending.extend_from_slice(buffer.get(..count)?),
        }
    }
}
