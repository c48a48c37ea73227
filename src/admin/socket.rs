//! Takes clients in, no more at a time than `stats maxconn` says; the others wait in the kernel's backlog.

use super::client;
use super::console::Console;
use super::session::Session;
use super::{Office, listen::Bound};
use crate::config::model::StatsSocket;
use crate::config::model::global::Level;
use crate::net::{Listener, Stream, raw};
use crate::tasks::{self, Task};
use socket2::Socket;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::sync::Semaphore;

/// How long to leave a listener alone when the process is out of descriptors.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(100);

/// Starts to accept. Dropping the tasks stops that; clients that are inside stay.
///
/// # Errors
/// The reactor refuses a listener.
pub fn serve(office: &Rc<Office>, bound: &[Bound]) -> io::Result<Vec<Task>> {
    let most = office.now().live().config.global.stats_maxconn.max(1);
    let room = Rc::new(Semaphore::new(most));
    let mut tasks = Vec::new();
    for (index, bound) in bound.iter().enumerate() {
        let own = bound.listener.bind.maxconn.map(|most| Rc::new(Semaphore::new(most.max(1))));
        let door = Door { office: Rc::clone(office), index, room: Rc::clone(&room), own };
        let listener = raw::watch(Arc::clone(&bound.listener))?;
        tasks.push(tasks::start("stats socket", accept(listener, door)));
    }
    Ok(tasks)
}

/// What a client may do whom another process has checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    pub level: Level,
    pub expert: bool,
    pub experimental: bool,
}

impl Rights {
    pub const ALL: Self = Self { level: Level::Admin, expert: false, experimental: false };
}

/// Lets a client in whom another process has checked.
pub fn admit(office: &Rc<Office>, socket: Socket, rights: Rights) {
    admit_as(office, socket, rights, false);
}

/// Lets root or the process's own user in.
pub fn admit_owner(office: &Rc<Office>, socket: Socket) {
    admit_as(office, socket, Rights::ALL, true);
}

fn admit_as(office: &Rc<Office>, socket: Socket, rights: Rights, takes_listeners: bool) {
    let own = StatsSocket { level: rights.level, ..StatsSocket::of_master() };
    if socket.set_nonblocking(true).is_ok()
        && let Ok(stream) = Stream::from_socket(socket, true)
    {
        let session = |timeout| Session {
            expert: rights.expert,
            experimental: rights.experimental,
            takes_listeners,
            ..Session::new(&own, usize::MAX, timeout)
        };
        let_in(office, session, stream, ());
    }
}

struct Door {
    office: Rc<Office>,
    /// Of the socket in the configuration.
    index: usize,
    room: Rc<Semaphore>,
    /// The socket's own `maxconn`.
    own: Option<Rc<Semaphore>>,
}

async fn accept(listener: AsyncFd<Arc<Listener>>, door: Door) {
    // A listener that nobody knocks at must not keep a place from the others.
    while let Ok(mut ready) = listener.readable().await {
        let Some(place) = take_place(&door.room).await else { return };
        let own = match &door.own {
            Some(own) => take_place(own).await,
            None => None,
        };
        match listener.get_ref().accept() {
            Ok((socket, _)) => {
                if let Ok(stream) = Stream::from_socket(socket, listener.get_ref().is_unix()) {
                    door.let_in(stream, (place, own));
                }
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
            Err(e) if matches!(e.raw_os_error(), Some(libc::ECONNABORTED | libc::EINTR | libc::EPROTO)) => {}
            Err(_) => {
                drop((place, own));
                tokio::time::sleep(SHORTAGE_PAUSE).await;
            }
        }
    }
}

impl Door {
    fn let_in(&self, stream: Stream, places: (Place, Option<Place>)) {
        let admin = self.office.now();
        let Some(socket) = admin.sockets.get(self.index) else { return };
        let_in(&self.office, |timeout| Session::new(socket, self.index, timeout), stream, places);
    }
}

/// `places` are free again when the client is gone.
fn let_in<P: 'static>(
    office: &Rc<Office>,
    session: impl FnOnce(Option<Duration>) -> Session,
    stream: Stream,
    places: P,
) {
    let generation = Arc::clone(office.now().live());
    let session = session(generation.config.global.stats_timeout);
    let console = Console::new(stream, Arc::clone(&generation), session.timeout);
    let office = Rc::clone(office);
    tasks::detached("stats client", async move {
        let process = &generation.process;
        process.admin_connections.fetch_add(1, Relaxed);
        process.admin_clients.fetch_add(1, Relaxed);
        client::serve(office, session, console).await;
        process.admin_clients.fetch_sub(1, Relaxed);
        drop(places);
    });
}

/// A place that is free again when dropped.
struct Place(Rc<Semaphore>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

async fn take_place(room: &Rc<Semaphore>) -> Option<Place> {
    room.acquire().await.ok()?.forget();
    Some(Place(Rc::clone(room)))
}
