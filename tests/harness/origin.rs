//! An origin server on plain threads: answers with the bytes it was given and keeps every request it saw.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::client::{Framing, chunked_length, find, framing};

pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    state: Arc<State>,
    acceptor: Option<std::thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    answers: Vec<String>,
    served: AtomicUsize,
    stopping: AtomicBool,
    seen: Mutex<Vec<String>>,
    open: Mutex<Vec<TcpStream>>,
}

impl Origin {
    /// The n-th request (over all connections) gets the n-th answer, later ones the last. An empty answer closes; one
    /// without a length is ended by a close.
    pub fn start(address: SocketAddr, answers: &[&str]) -> Self {
        let listener = super::bind_soon(|| TcpListener::bind(address));
        let address = listener.local_addr().expect("a bound socket has an address");
        let answers = if answers.is_empty() {
            vec![OK.to_owned()]
        } else {
            answers.iter().map(|a| (*a).to_owned()).collect()
        };
        let state = Arc::new(State {
            answers,
            served: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            seen: Mutex::default(),
            open: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let acceptor = Some(std::thread::spawn(move || accept(&listener, &shared)));
        Self { address, state, acceptor }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests seen so far, each whole, in the order they were complete.
    pub fn seen(&self) -> Vec<String> {
        self.state.seen.lock().unwrap().clone()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.state.stopping.store(true, Ordering::SeqCst);
        for stream in self.state.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        // Wakes the accept loop, which then ends and frees the port.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        self.acceptor.take().map(std::thread::JoinHandle::join);
    }
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    for stream in listener.incoming().flatten() {
        if state.stopping.load(Ordering::SeqCst) {
            return;
        }
        if let Ok(copy) = stream.try_clone() {
            state.open.lock().unwrap().push(copy);
        }
        let state = Arc::clone(state);
        std::thread::spawn(move || {
            serve(stream.try_clone().expect("a socket can be cloned"), &state);
            let _ = stream.shutdown(std::net::Shutdown::Both);
        });
    }
}

fn serve(mut stream: TcpStream, state: &State) {
    let _ = stream.set_nodelay(true);
    let mut pending = Vec::new();
    while let Some(request) = next_request(&mut stream, &mut pending) {
        let head_only = request.starts_with(b"HEAD ");
        let text = String::from_utf8_lossy(&request).into_owned();
        let asks_close = text.to_ascii_lowercase().contains("\r\nconnection: close\r\n");
        state.seen.lock().unwrap().push(text);
        let turn = state.served.fetch_add(1, Ordering::SeqCst).min(state.answers.len() - 1);
        let answer = &state.answers[turn];
        let head_end = answer.find("\r\n\r\n").map_or(answer.len(), |at| at + 4);
        let sent = if head_only { &answer[..head_end] } else { answer.as_str() };
        if stream.write_all(sent.as_bytes()).is_err() {
            return;
        }
        let bodyless = answer.starts_with("HTTP/1.1 204") || answer.starts_with("HTTP/1.1 304");
        let unframed = framing(&answer[..head_end].to_ascii_lowercase()) == Framing::Close && !bodyless;
        if asks_close || (unframed && !head_only) {
            return;
        }
    }
}

fn next_request(stream: &mut TcpStream, pending: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(length) = request_length(pending) {
            return Some(pending.drain(..length).collect());
        }
        let mut buffer = [0; 16384];
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => pending.extend_from_slice(buffer.get(..count)?),
        }
    }
}

fn request_length(pending: &[u8]) -> Option<usize> {
    let head = find(pending, b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(pending.get(..head)?).to_ascii_lowercase();
    match framing(&text) {
        Framing::Length(length) => (pending.len() >= head + length).then_some(head + length),
        Framing::Chunked => chunked_length(pending.get(head..)?).map(|length| head + length),
        Framing::Close => Some(head),
    }
}
