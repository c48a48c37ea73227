//! The only place that spawns tasks.
//!
//! A task runs on the thread that started it (everything a connection owns is `Rc`), has a name for people who debug,
//! and lives as long as its [`Task`]: dropping that stops it at its next await, and what it owns is dropped with it. A
//! task that must outlive whoever starts it, such as a client connection, is started by [`detached`] and ends by
//! itself. A panic in a task is a bug that must not go on serving: the build profiles abort the process on it.

pub mod profile;

use pin_project_lite::pin_project;
use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use tokio::task::JoinHandle;

/// A running task; cancelled when dropped. Awaiting it waits for its end.
#[must_use = "dropping a task stops it"]
pub struct Task {
    name: &'static str,
    handle: JoinHandle<()>,
}

static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// Tasks of the process that somebody holds, waiting ones included; client connections are not among them.
#[must_use]
pub fn alive() -> usize {
    ALIVE.load(Relaxed)
}

thread_local! {
    static HERE: Cell<usize> = const { Cell::new(0) };
}

/// Tasks with a name on this thread, waiting ones included.
#[must_use]
pub fn here() -> usize {
    HERE.get()
}

/// Counts a task on its thread for as long as it lasts. A task never leaves its thread.
struct Here;

impl Here {
    fn new() -> Self {
        HERE.set(HERE.get() + 1);
        Self
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        // A thread that ends may have dropped its count before its tasks.
        let _ = HERE.try_with(|here| here.set(here.get() - 1));
    }
}

/// Counts a task for as long as it lasts.
struct Alive;

impl Alive {
    fn new() -> Self {
        ALIVE.fetch_add(1, Relaxed);
        Self
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Relaxed);
    }
}

pin_project! {
    /// A task's own future with what is known of it.
    struct Named<F> {
        #[pin]
        future: F,
        name: &'static str,
        alive: Option<Alive>,
        here: Here,
    }
}

impl<F: Future<Output = ()>> Future for Named<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        profile::measure(this.name, || this.future.poll(cx))
    }
}

/// Starts `future` on this thread's local set.
pub fn start(name: &'static str, future: impl Future<Output = ()> + 'static) -> Task {
    let alive = Some(Alive::new());
    Task { name, handle: tokio::task::spawn_local(Named { future, name, alive, here: Here::new() }) }
}

/// Starts `future` and lets it run to its own end.
pub fn detached(name: &'static str, future: impl Future<Output = ()> + 'static) {
    drop(tokio::task::spawn_local(Named { future, name, alive: None, here: Here::new() }));
}

/// The same for what there are very many of: no byte more than `future` has. It tells [`profile`] itself.
pub fn anonymous(future: impl Future<Output = ()> + 'static) {
    drop(tokio::task::spawn_local(future));
}

/// Runs `work` on a thread of its own and waits for it: for calls that may hang in the system. Whoever stops waiting
/// leaves it to run on; its result is then dropped there. `None`: the process is ending.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

impl Task {
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Stops it; ready once all that it owned is dropped.
    pub async fn stop(self) {
        self.handle.abort();
        self.await;
    }

    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.handle).poll(cx).map(|_| ())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task({})", self.name)
    }
}
