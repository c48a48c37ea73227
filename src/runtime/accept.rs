//! The accept loop of one listener on one thread.

use super::gate::{Gate, Inside};
use super::session::{self, Session};
use super::worker::Worker;
use crate::config::model::Mode;
use crate::expr::facts::ConnFacts;
use crate::live::doors::Phase;
use crate::live::sessions::{Card, Entry};
use crate::live::variables::Variables;
use crate::memory;
use crate::net::{Accepted, Listener, Stream, raw};
use crate::tasks;
use socket2::Socket;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};
use tokio::io::unix::AsyncFd;

/// Connections taken in one go before those already taken get their turn.
const BURST: usize = 16;

/// How long to leave the listener alone when the process is out of descriptors or memory: HAProxy's figure.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(100);

/// Accepts while the frontend's doors are open, until dropped.
pub async fn accept_loop(listener: Arc<Listener>, gate: Rc<Gate>, worker: Rc<Worker>) {
    let proxy = Arc::clone(&gate.proxy);
    while proxy.front.doors.open().await {
        let pauses = proxy.front.doors.pauses();
        // Watched anew each time: for the reactor a socket that was paused has ended for good.
        match raw::watch(Arc::clone(&listener)) {
            Ok(listener) => accept_while_open(&listener, pauses, &gate, &worker).await,
            Err(e) => {
                let name = &proxy.conf.name;
                return super::say("ALERT", format!("cannot poll a listener of proxy {name}: {e}"));
            }
        }
    }
}

async fn accept_while_open(
    listener: &AsyncFd<Arc<Listener>>,
    pauses: u64,
    gate: &Rc<Gate>,
    worker: &Rc<Worker>,
) {
    let doors = &gate.proxy.front.doors;
    let most = match gate.shared.generation.config.global.tune.maxaccept {
        n if n > 0 => usize::try_from(n).unwrap_or(BURST),
        _ => BURST,
    };
    loop {
        let ready = tokio::select! {
            biased;
            ready = listener.readable() => ready,
            () = doors.change() => return,
        };
        let Ok(mut ready) = ready else { return };
        // A socket that another process has as well stays ready for as long as there are clients; one that was paused since,
        // for ever.
        if doors.phase() != Phase::Open || doors.pauses() != pauses {
            return;
        }
        for _ in 0..most {
            let inside = gate.enter().await;
            match listener.get_ref().accept() {
                Ok((socket, peer)) => begin(listener.get_ref(), socket, peer, inside, gate, worker),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    ready.clear_ready();
                    break;
                }
                // The client was gone before we looked.
                Err(e)
                    if matches!(e.raw_os_error(), Some(libc::ECONNABORTED | libc::EINTR | libc::EPROTO)) => {}
                Err(_) if doors.phase() != Phase::Open => return,
                Err(error) => {
                    drop(inside);
                    shortage(&error, gate, worker);
                    tokio::time::sleep(SHORTAGE_PAUSE).await;
                    break;
                }
            }
        }
        // Those already taken get their turn.
        tokio::task::yield_now().await;
    }
}

/// The listener goes: those who are through its door are served, before it is closed.
pub fn accept_rest(listener: &Listener, gate: &Rc<Gate>, worker: &Rc<Worker>) {
    while let Some(inside) = gate.try_enter() {
        match listener.accept() {
            Ok((socket, peer)) => begin(listener, socket, peer, inside, gate, worker),
            Err(_) => return,
        }
    }
}

fn begin(
    listener: &Listener,
    socket: Socket,
    peer: Option<SocketAddr>,
    inside: Inside,
    gate: &Rc<Gate>,
    worker: &Rc<Worker>,
) {
    inside.open(listener.bind.id);
    let mut stream = Stream::fresh(socket, listener.is_unix());
    // What a client of HTTP has to say mostly came along.
    if gate.proxy.conf.mode != Mode::Http && stream.watch().is_err() {
        return;
    }
    let bind = &listener.bind;
    if let Some(less) = bind.mss.filter(|mss| *mss < 0) {
        stream.shorten_segments(less.unsigned_abs());
    }
    let (dst, wall, at) = (listener.destination(&stream), SystemTime::now(), Instant::now());
    let before = memory::held();
    let entry = Card::register(gate.shared.generation.number);
    let accepted = Accepted {
        card: Rc::clone(entry.card()),
        conn: Box::new(ConnFacts {
            src: peer,
            dst,
            listener_id: bind.id,
            listener_name: bind.name.clone(),
            descriptor: Some(stream.as_raw_fd()),
            ..ConnFacts::of_nobody(wall)
        }),
        stream,
        bind: Arc::clone(bind),
        preread: Vec::new(),
        at,
        handshake: 0,
        variables: Variables::default(),
    };
    if let Some(session) = session::begin(accepted, Arc::clone(&gate.proxy), worker) {
        let card = Rc::clone(entry.card());
        let connection = Connection(Box::new(Held { session, entry, _inside: inside }));
        tasks::anonymous(connection);
        card.holds(memory::held() - before);
    }
}

/// A connection that counts as one while it lasts. In a box, as the runtime's share of a task then fits one pair of cache
/// lines instead of two.
struct Connection(Box<Held>);

struct Held {
    session: Session,
    entry: Entry,
    _inside: Inside,
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let held = &mut *self.0;
        held.entry.card().called(cx);
        let before = memory::held();
        let polled = tasks::profile::measure("client connection", || held.session.as_mut().poll(cx));
        held.entry.card().holds(memory::held() - before);
        // Who was told to end and has no better way is dropped.
        if held.entry.card().is_killed() { Poll::Ready(()) } else { polled }
    }
}

fn shortage(error: &io::Error, gate: &Gate, worker: &Worker) {
    let name = &gate.proxy.conf.name;
    let words = match error.raw_os_error() {
        Some(libc::EMFILE) => "reached process FD limit",
        Some(libc::ENFILE) => "reached system FD limit",
        Some(libc::ENOBUFS | libc::ENOMEM) => "reached system memory limit",
        _ => "failed to accept a connection",
    };
    let text = format!(
        "Proxy {name} {words} (maxsock={}). Please check system tunables.",
        gate.shared.generation.process.limits.maxconn()
    );
    worker.log.report(&gate.proxy.conf.log, crate::logging::level::EMERG, &text);
}
