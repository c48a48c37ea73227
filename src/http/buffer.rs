//! Receive buffers: pooled per thread, held only while bytes are pending.

use crate::net::Stream;
use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll, ready};

/// Free buffers of one thread.
pub struct Buffers {
    size: usize,
    free: RefCell<Vec<Box<[u8]>>>,
    large: RefCell<Vec<Box<[u8]>>>,
}

/// Buffers kept when nobody holds them (16 kB each).
const KEPT: usize = 64;

/// The middle of a long body is moved in pieces of this size: fewer system calls, and it still fits a CPU's own cache.
const LARGE: usize = 64 * 1024;

/// Large buffers kept when nobody holds them.
const LARGE_KEPT: usize = 8;

impl Buffers {
    pub fn new(size: usize) -> Self {
        Self { size, free: RefCell::default(), large: RefCell::default() }
    }

    pub fn take(&self) -> Box<[u8]> {
        self.free.borrow_mut().pop().unwrap_or_else(|| fresh(self.size))
    }

    #[cold]
    fn take_large(&self) -> Box<[u8]> {
        self.large.borrow_mut().pop().unwrap_or_else(|| fresh(LARGE))
    }

    pub fn give(&self, buffer: Box<[u8]>) {
        if buffer.len() == LARGE && self.size != LARGE {
            let mut large = self.large.borrow_mut();
            if large.len() < LARGE_KEPT {
                large.push(buffer);
            }
            return;
        }
        let mut free = self.free.borrow_mut();
        if free.len() < KEPT && buffer.len() == self.size {
            free.push(buffer);
        }
    }
}

#[cold]
fn fresh(size: usize) -> Box<[u8]> {
    vec![0; size].into_boxed_slice()
}

/// Bytes received from one side, and how far they have come:
///
/// ```text
///  kept .. sent .. ready .. raw .. end
///        |        |        gap    |
///        |        to be sent      not looked at yet
///        sent already, kept for a repetition
/// ```
#[derive(Default)]
pub struct Inbox {
    data: Box<[u8]>,
    kept: usize,
    sent: usize,
    ready: usize,
    raw: usize,
    end: usize,
    /// The next buffer is to be a large one.
    large: bool,
}

impl Inbox {
    /// Takes bytes that came before this inbox was there.
    pub fn preload(&mut self, buffers: &Buffers, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.data = buffers.take();
        let n = bytes.len().min(self.data.len());
        if let (Some(slot), Some(bytes)) = (self.data.get_mut(..n), bytes.get(..n)) {
            slot.copy_from_slice(bytes);
        }
        self.end = n;
    }

    /// Bytes nobody has looked at.
    pub fn raw(&self) -> &[u8] {
        self.data.get(self.raw..self.end).unwrap_or_default()
    }

    /// The same, to be decoded in place.
    pub fn raw_mut(&mut self) -> &mut [u8] {
        self.data.get_mut(self.raw..self.end).unwrap_or_default()
    }

    /// Drops `n` raw bytes that were used otherwise (a head). Only while nothing is waiting to be sent.
    pub fn skip(&mut self, n: usize) {
        self.raw = (self.raw + n).min(self.end);
        self.ready = self.raw;
        self.sent = self.raw;
        self.kept = self.raw;
    }

    /// Of the raw bytes, the first `emitted` are to be sent and `consumed` are used up.
    pub fn accept(&mut self, consumed: usize, emitted: usize) {
        self.ready = (self.raw + emitted).min(self.end);
        self.raw = (self.raw + consumed).min(self.end);
    }

    /// Makes raw bytes follow the ready ones, so that what is accepted next stands in one piece with them.
    pub fn close_gap(&mut self) {
        if self.ready < self.raw {
            self.data.copy_within(self.raw..self.end, self.ready);
            self.end -= self.raw - self.ready;
            self.raw = self.ready;
        }
    }

    /// Bytes to be sent.
    pub fn pending(&self) -> &[u8] {
        self.data.get(self.sent..self.ready).unwrap_or_default()
    }

    pub fn advance(&mut self, n: usize) {
        self.sent = (self.sent + n).min(self.ready);
    }

    /// Everything since the last [`Inbox::forget`], sent or not.
    pub fn kept(&self) -> &[u8] {
        self.data.get(self.kept..self.ready).unwrap_or_default()
    }

    /// What was sent will not be asked for again.
    pub fn forget(&mut self) {
        self.kept = self.sent;
    }

    /// Sends from the first kept byte again.
    pub fn rewind(&mut self) {
        self.sent = self.kept;
    }

    /// No room for another byte, even after moving what is there.
    pub fn is_full(&self) -> bool {
        !self.data.is_empty() && self.end - self.kept >= self.data.len()
    }

    /// Nothing raw and nothing to be sent.
    pub fn is_drained(&self) -> bool {
        self.sent == self.ready && self.raw == self.end
    }

    /// Returns the buffer to the pool if it holds nothing of worth.
    pub fn release(&mut self, buffers: &Buffers) {
        if self.is_drained() && self.kept == self.sent && !self.data.is_empty() {
            buffers.give(std::mem::take(&mut self.data));
            (self.kept, self.sent, self.ready, self.raw, self.end) = (0, 0, 0, 0, 0);
        }
    }

    /// Changes to large buffers, as `much` is still to come. Takes effect when nothing is pending.
    pub fn expect(&mut self, much: bool, buffers: &Buffers) {
        if much != self.large {
            self.release(buffers);
            self.large = much;
        }
    }

    /// Reads once. `Ok(0)` is the end of the stream. Not to be called when full.
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        buffers: &Buffers,
    ) -> Poll<io::Result<usize>> {
        let empty = self.data.is_empty();
        if empty {
            ready!(stream.poll_read_ready(cx))?;
            self.data = if self.large { buffers.take_large() } else { buffers.take() };
        }
        self.make_room();
        let room = self.data.get_mut(self.end..).unwrap_or_default();
        let read = if empty { stream.poll_read_now(cx, room) } else { stream.poll_read(cx, room) };
        let Poll::Ready(read) = read else {
            self.release(buffers);
            return Poll::Pending;
        };
        let n = read?;
        self.end += n;
        Poll::Ready(Ok(n))
    }

    fn make_room(&mut self) {
        if self.kept == self.end {
            (self.kept, self.sent, self.ready, self.raw, self.end) = (0, 0, 0, 0, 0);
        } else if self.kept > 0 && self.end == self.data.len() {
            self.data.copy_within(self.kept..self.end, 0);
            let by = self.kept;
            self.kept = 0;
            self.sent -= by;
            self.ready -= by;
            self.raw -= by;
            self.end -= by;
        }
    }
}

/// Bytes of our own making (heads, pages) that go out before what an inbox forwards.
#[derive(Default)]
pub struct Outbox {
    pub bytes: Vec<u8>,
    sent: usize,
}

impl Outbox {
    pub fn is_empty(&self) -> bool {
        self.sent >= self.bytes.len()
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }
}

/// Bodies up to this size are copied behind their head; longer ones go out with it by writev.
const COPIED: usize = 4096;

/// Moves a short pending body behind the head, so that one plain write sends both.
pub fn join(out: &mut Outbox, inbox: &mut Inbox) {
    let pending = inbox.pending();
    if !pending.is_empty() && pending.len() <= COPIED {
        out.bytes.extend_from_slice(pending);
        let n = pending.len();
        inbox.advance(n);
    }
}

/// Sends what is pending in `out`, then in `inbox`; ready when both are empty. Answers the bytes sent by this call
/// through `moved`.
pub fn poll_send(
    cx: &mut Context<'_>,
    stream: &mut Stream,
    out: &mut Outbox,
    inbox: &mut Inbox,
    moved: &mut bool,
) -> Poll<io::Result<()>> {
    if out.is_empty() && inbox.pending().is_empty() {
        return Poll::Ready(Ok(()));
    }
    poll_send_all(cx, stream, out, inbox, moved, false)
}

/// As [`poll_send`]; `last`: nothing follows but the close, at once.
pub fn poll_send_all(
    cx: &mut Context<'_>,
    stream: &mut Stream,
    out: &mut Outbox,
    inbox: &mut Inbox,
    moved: &mut bool,
    last: bool,
) -> Poll<io::Result<()>> {
    loop {
        let (head, body) = (out.rest(), inbox.pending());
        let sent = match (head.is_empty(), body.is_empty()) {
            (true, true) => return Poll::Ready(Ok(())),
            (false, true) if last => stream.try_write_last(head),
            (false, true) => stream.try_write(head),
            (true, false) => stream.try_write(body),
            (false, false) => stream.try_write_vectored(&[io::IoSlice::new(head), io::IoSlice::new(body)]),
        };
        match sent {
            Ok(n) => {
                *moved = true;
                let of_head = n.min(head.len());
                out.sent += of_head;
                inbox.advance(n - of_head);
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => ready!(stream.poll_write_ready(cx))?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Poll::Ready(Err(e)),
        }
    }
}
