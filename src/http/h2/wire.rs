//! The bytes below an HTTP/2 connection: those read before it was known to be one come first, and the heads of the frames
//! that arrive are looked at in passing, as the `h2` crate tells nobody what it lets pass.

use super::frames::{Frames, kind};
use super::paths::Paths;
use super::tally::{Accepted, Tally};
use crate::net::Stream;
use crate::net::carried::Carried;
use h2::Reason;
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A client's connection as the `h2` crate sees it.
pub struct Wire {
    stream: Stream,
    before: Vec<u8>,
    taken: usize,
    came: Frames,
    /// Of clients alone.
    paths: Option<Paths>,
    left: Frames,
    watch: Rc<Watch>,
}

/// What was seen of a connection.
#[derive(Debug, Default)]
pub struct Watch {
    /// Frames that do nothing useful, and streams given up before they were answered.
    glitches: Cell<u32>,
    streams: Cell<u64>,
    /// Streams the client gave up, less one for each two that were answered.
    abandoned: Cell<u32>,
    vanishing: Cell<bool>,
    greeted: Cell<bool>,
    missized: Cell<bool>,
    tally: Tally,
    accepted: Accepted,
    /// Requests the library refused that nobody was told of yet.
    refused: Cell<u32>,
    /// Paths with a `#` in them of streams that are still to be accepted, see [`Paths`].
    fragments: RefCell<Vec<(u32, Vec<u8>)>>,
}

/// More than this wait for nothing: their streams were refused by the library.
const FRAGMENTS: usize = 1000;

/// So many more streams abandoned than answered are an attack (CVE-2023-44487), whatever the threshold.
const ABANDONED: u32 = 500;

impl Watch {
    pub fn accepted(&self, stream: u32) {
        self.streams.set(self.streams.get() + 1);
        self.accepted.add(stream);
    }

    fn found(&self, path: Option<(u32, Vec<u8>)>) {
        let Some(path) = path else { return };
        let mut fragments = self.fragments.borrow_mut();
        if fragments.len() == FRAGMENTS {
            fragments.clear();
        }
        fragments.push(path);
    }

    /// The path of a stream just accepted, if there is a `#` in it.
    pub fn take_fragment(&self, stream: u32) -> Option<Vec<u8>> {
        let mut fragments = self.fragments.borrow_mut();
        if fragments.is_empty() {
            return None;
        }
        let at = fragments.iter().position(|(id, _)| *id == stream);
        let path = at.map(|at| fragments.swap_remove(at).1);
        // Streams are accepted in their order.
        fragments.retain(|(id, _)| *id > stream);
        path
    }

    /// The stream is refused after all.
    pub fn refuse(&self, stream: u32) {
        self.accepted.take_back(stream);
    }

    fn reset_sent(&self, stream: u32, code: Reason) {
        let accepted = self.accepted.has(stream);
        self.tally.reset_sent(code, accepted);
        if !accepted && code == Reason::PROTOCOL_ERROR {
            self.refused.set(self.refused.get() + 1);
        }
    }

    /// How many requests were refused since this was last asked.
    pub fn take_refused(&self) -> u32 {
        self.refused.take()
    }

    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    pub fn streams(&self) -> u64 {
        self.streams.get()
    }

    /// A stream is over.
    pub fn ended(&self, carried: &Carried) {
        if carried.has_responded() {
            self.abandoned.set(self.abandoned.get().saturating_sub(2));
        } else {
            self.abandoned.set(self.abandoned.get() + 1);
            self.glitch();
        }
    }

    pub fn vanish(&self) {
        self.vanishing.set(true);
    }

    /// The connection is to end without a word (`silent-drop`).
    pub fn is_vanishing(&self) -> bool {
        self.vanishing.get()
    }

    /// `threshold` 0: only what cannot be anything else.
    pub fn is_hostile(&self, threshold: u32) -> bool {
        threshold > 0 && self.glitches.get() >= threshold || self.abandoned.get() >= ABANDONED
    }

    /// The other side's settings have come.
    pub fn is_greeted(&self) -> bool {
        self.greeted.get()
    }

    /// A frame came of a size that its kind cannot have: the connection is to end as RFC 9113 4.2 says.
    pub fn is_missized(&self) -> bool {
        self.missized.get()
    }

    fn glitch(&self) {
        self.glitches.set(self.glitches.get().saturating_add(1));
    }
}

/// How many of `bytes` may be passed on: all, unless a frame of an impossible size begins among them.
fn arrive(frames: &mut Frames, paths: &mut Option<Paths>, bytes: &[u8], watch: &Watch) -> usize {
    let mut at = 0;
    if let Some(paths) = paths {
        watch.found(paths.go_on(bytes));
    }
    while let Some(frame) = frames.next(bytes, &mut at) {
        if is_missized(frame.kind, frame.flags, frame.len) {
            watch.missized.set(true);
            // The last byte of the frame's head is enough to keep back: without it there is no frame.
            return at - 1;
        }
        if frame.kind == kind::SETTINGS && frame.flags & kind::ACK == 0 {
            watch.greeted.set(true);
        }
        if is_glitch(frame.kind, frame.flags, frame.len) {
            watch.glitch();
        }
        watch.tally.came(frame.kind);
        if let Some(paths) = paths {
            watch.found(paths.begin(&frame, bytes.get(at..).unwrap_or_default()));
        }
    }
    at
}

/// What was written is looked at for what ends with an error: the library tells nobody.
fn leave(frames: &mut Frames, bytes: &[u8], watch: &Watch) {
    let mut at = 0;
    while let Some(frame) = frames.next(bytes, &mut at) {
        match frame.kind {
            kind::RST_STREAM => watch.reset_sent(frame.stream, frame.code.into()),
            kind::GOAWAY => watch.tally.goaway_sent(frame.code.into()),
            _ => {}
        }
    }
}

/// RFC 9113 6.4, 6.5, 6.7, 6.8 and 6.9. That of PRIORITY (6.3) is the stream's error alone.
fn is_missized(kind: u8, flags: u8, len: usize) -> bool {
    match kind {
        kind::RST_STREAM | kind::WINDOW_UPDATE => len != 4,
        kind::SETTINGS => !len.is_multiple_of(6) || flags & kind::ACK != 0 && len > 0,
        kind::PING => len != 8,
        kind::GOAWAY => len < 8,
        _ => false,
    }
}

/// Costs us something and brings nobody anything, if there are many.
fn is_glitch(kind: u8, flags: u8, len: usize) -> bool {
    match kind {
        kind::DATA => len == 0 && flags & kind::END_STREAM == 0,
        kind::SETTINGS | kind::PING => flags & kind::ACK == 0,
        kind::HEADERS | kind::RST_STREAM | kind::GOAWAY | kind::WINDOW_UPDATE => false,
        // PRIORITY, PUSH_PROMISE, CONTINUATION, and what is not known.
        _ => true,
    }
}

impl Wire {
    /// `before`: bytes already read, the preface at their front if they are many enough.
    pub fn new(stream: Stream, before: Vec<u8>, watch: Rc<Watch>) -> Self {
        let came = Frames::new(super::PREFACE.len(), false);
        Self {
            stream,
            before,
            taken: 0,
            came,
            paths: Some(Paths::default()),
            left: Frames::new(0, true),
            watch,
        }
    }

    /// A connection to a server, which begins with its settings.
    pub fn to_server(stream: Stream, watch: Rc<Watch>) -> Self {
        let left = Frames::new(super::PREFACE.len(), true);
        Self { stream, before: Vec::new(), taken: 0, came: Frames::new(0, false), paths: None, left, watch }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.watch.is_vanishing() {
            self.stream.vanish_on_close();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.watch.is_missized() {
            return Poll::Pending;
        }
        let rest = this.before.get(this.taken..).unwrap_or_default();
        let filled = buf.filled().len();
        if rest.is_empty() {
            ready!(this.stream.poll_read_into(cx, buf))?;
        } else {
            let n = rest.len().min(buf.remaining());
            buf.put_slice(rest.get(..n).unwrap_or_default());
            this.taken += n;
            if this.taken == this.before.len() {
                this.before = Vec::new();
                this.taken = 0;
            }
        }
        let fresh = buf.filled().len() - filled;
        let arrived = buf.filled().get(filled..).unwrap_or_default();
        let passed = arrive(&mut this.came, &mut this.paths, arrived, &this.watch);
        buf.set_filled(filled + passed);
        // Nothing to pass on is not the end of the stream.
        if passed == 0 && fresh > 0 { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            match this.stream.try_write(buf) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => ready!(this.stream.poll_write_ready(cx))?,
                done => {
                    let n = *done.as_ref().unwrap_or(&0);
                    leave(&mut this.left, buf.get(..n).unwrap_or_default(), &this.watch);
                    return Poll::Ready(done);
                }
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            match this.stream.try_write_vectored(bufs) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => ready!(this.stream.poll_write_ready(cx))?,
                done => {
                    let mut n = *done.as_ref().unwrap_or(&0);
                    for buf in bufs {
                        let part = n.min(buf.len());
                        leave(&mut this.left, buf.get(..part).unwrap_or_default(), &this.watch);
                        n -= part;
                    }
                    return Poll::Ready(done);
                }
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.get_mut().stream.shutdown_write())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(frames: &[(usize, u8, u8)], glitches: u32) {
        let mut bytes = super::super::PREFACE.to_vec();
        for (len, kind, flags) in frames {
            let [.., a, b, c] = len.to_be_bytes();
            bytes.extend([a, b, c, *kind, *flags, 0, 0, 0, 1]);
            bytes.resize(bytes.len() + len, 0);
        }
        for step in [1, 5, 100, bytes.len()] {
            let watch = Watch::default();
            let mut seen = Frames::new(super::super::PREFACE.len(), false);
            bytes
                .chunks(step)
                .for_each(|part| assert_eq!(arrive(&mut seen, &mut None, part, &watch), part.len()));
            assert_eq!(watch.glitches.get(), glitches, "{frames:?} by {step}");
        }
    }

    #[test]
    fn frames_of_an_impossible_size_are_kept_back() {
        let bytes =
            [&[0, 0, 8, 6, 0, 0, 0, 0, 0][..], &[0; 8], &[0, 0, 6, 6, 0, 0, 0, 0, 0], &[0; 6]].concat();
        for step in [1, 5, 100] {
            let (watch, mut seen) = (Watch::default(), Frames::default());
            let passed: usize = bytes
                .chunks(step)
                .map(|part| if watch.is_missized() { 0 } else { arrive(&mut seen, &mut None, part, &watch) })
                .sum();
            assert_eq!((passed, watch.is_missized()), (25, true), "by {step}");
        }
    }

    #[test]
    fn frames_without_use_are_counted_however_they_arrive() {
        check(&[(18, 4, 0), (0, 4, 1), (300, 1, 4), (1000, 0, 0), (0, 0, 1), (4, 8, 0)], 1);
        check(&[(8, 6, 0), (8, 6, 1), (8, 6, 0)], 2);
        check(&[(0, 0, 0), (0, 0, 0), (5, 2, 0), (10, 9, 4), (7, 77, 0)], 5);
    }
}
