//! splice(2): bytes from socket to socket through a kernel pipe, never copied to this process.
//!
//! A [`Pipe`] belongs to one direction of one connection while bytes are in it and goes back to the thread's pool when
//! it is empty. What was spliced in stays in the pipe until it is spliced out: EAGAIN on either side loses nothing.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Idle pipes kept per thread.
const KEPT: usize = 64;

#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    /// Bytes inside.
    held: usize,
    capacity: usize,
}

impl Pipe {
    /// A new pipe of `size` bytes, or of the system's default where it refuses that (or 0 is asked).
    fn open(size: usize) -> io::Result<Self> {
        let mut fds = [0; 2];
        // SAFETY: `fds` has room for the two descriptors, which nobody else owns once they are made.
        let (read, write) = unsafe {
            if libc::pipe2(fds.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) < 0 {
                return Err(io::Error::last_os_error());
            }
            (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]))
        };
        if size > 0 {
            // SAFETY: plain values on a descriptor we own; a refusal leaves the pipe as it is.
            unsafe {
                libc::fcntl(write.as_raw_fd(), libc::F_SETPIPE_SZ, libc::c_int::try_from(size).unwrap_or(0))
            };
        }
        // SAFETY: as above.
        let capacity = unsafe { libc::fcntl(write.as_raw_fd(), libc::F_GETPIPE_SZ) };
        OPEN.fetch_add(1, Ordering::Relaxed);
        Ok(Self { read, write, held: 0, capacity: usize::try_from(capacity).unwrap_or(65536) })
    }

    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// From a socket into the pipe. 0: the socket's stream ended.
    ///
    /// # Errors
    /// `WouldBlock` when the socket has nothing, or the pipe is full.
    pub fn fill(&mut self, from: RawFd, most: usize) -> io::Result<usize> {
        let moved = splice(from, self.write.as_raw_fd(), most.min(self.capacity))?;
        self.held += moved;
        Ok(moved)
    }

    /// From the pipe into a socket.
    ///
    /// # Errors
    /// `WouldBlock` when the socket takes nothing.
    pub fn drain(&mut self, to: RawFd) -> io::Result<usize> {
        let moved = splice(self.read.as_raw_fd(), to, self.held)?;
        self.held -= moved.min(self.held);
        SPLICED.fetch_add(moved as u64, Ordering::Relaxed);
        Ok(moved)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

fn splice(from: RawFd, to: RawFd, len: usize) -> io::Result<usize> {
    // SAFETY: no offsets are given, and the kernel moves pages between descriptors without touching our memory.
    let moved = unsafe {
        libc::splice(
            from,
            ptr::null_mut(),
            to,
            ptr::null_mut(),
            len,
            libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK,
        )
    };
    usize::try_from(moved).map_err(|_| io::Error::last_os_error())
}

/// A thread's pipes.
#[derive(Debug, Default)]
pub struct Pipes {
    idle: RefCell<Vec<Pipe>>,
    size: usize,
}

impl Pipes {
    /// `tune.pipesize`; 0 leaves the system's default (64 kB).
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self { idle: RefCell::default(), size }
    }

    /// # Errors
    /// Out of descriptors: the caller copies instead.
    pub fn take(&self) -> io::Result<Pipe> {
        match self.idle.borrow_mut().pop() {
            Some(pipe) => {
                KEPT_NOW.fetch_sub(1, Ordering::Relaxed);
                Ok(pipe)
            }
            None => Pipe::open(self.size),
        }
    }

    /// Keeps an empty pipe; one that still holds bytes is closed with them.
    pub fn give(&self, pipe: Pipe) {
        let mut idle = self.idle.borrow_mut();
        if pipe.is_empty() && idle.len() < KEPT {
            idle.push(pipe);
            KEPT_NOW.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        KEPT_NOW.fetch_sub(self.idle.borrow().len(), Ordering::Relaxed);
    }
}

static OPEN: AtomicUsize = AtomicUsize::new(0);
static KEPT_NOW: AtomicUsize = AtomicUsize::new(0);
static SPLICED: AtomicU64 = AtomicU64::new(0);

/// Pipes of the process in use, and kept for use.
#[must_use]
pub fn pipes() -> (usize, usize) {
    let kept = KEPT_NOW.load(Ordering::Relaxed);
    (OPEN.load(Ordering::Relaxed).saturating_sub(kept), kept)
}

/// Bytes the process has moved without copying them.
#[must_use]
pub fn spliced() -> u64 {
    SPLICED.load(Ordering::Relaxed)
}

static OFF: AtomicBool = AtomicBool::new(false);

/// `-dS`: copies always.
pub fn switch_off() {
    OFF.store(true, Ordering::Relaxed);
}

#[must_use]
pub fn is_off() -> bool {
    OFF.load(Ordering::Relaxed)
}
