//! The bytes below an HTTP/2 connection: those read before it was known to be one come first, and the heads of the frames
//! that arrive are looked at in passing, as the `h2` crate tells nobody what it lets pass.

use super::frames::{Frames, Seen, kind};
use super::guard::{Guard, is_missized};
use super::tally::{Accepted, Tally};
use crate::config::model::tune_h2::TuneH2;
use crate::net::Stream;
use crate::net::carried::Carried;
use bytes::Bytes;
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
    /// Bytes already read.
    before: Bytes,
    /// Those that were judged, too.
    judged: Bytes,
    came: Came,
    left: Frames,
    watch: Rc<Watch>,
}

/// How what comes is looked at.
enum Came {
    Client(Box<Guard>),
    Server(Frames),
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
    stopped: Cell<Option<Reason>>,
    tally: Tally,
    accepted: Accepted,
    /// Requests the library refused that nobody was told of yet.
    refused: Cell<u32>,
    /// Paths with a `#` in them of streams that are still to be accepted.
    fragments: RefCell<Vec<(u32, Vec<u8>)>>,
    /// Streams that are reset for another reason than the library will say.
    recodes: RefCell<Vec<(u32, Reason)>>,
}

/// More than this wait for nothing: their streams were refused by the library.
const FRAGMENTS: usize = 1000;
const RECODES: usize = 100;

/// So many more streams abandoned than answered are an attack (CVE-2023-44487), whatever the threshold.
const ABANDONED: u32 = 500;

impl Watch {
    pub fn accepted(&self, stream: u32) {
        self.streams.set(self.streams.get() + 1);
        self.accepted.add(stream);
    }

    /// A frame came.
    pub fn came(&self, frame: &Seen) {
        if frame.kind == kind::SETTINGS && frame.flags & kind::ACK == 0 {
            self.greeted.set(true);
        }
        if is_glitch(frame.kind, frame.flags, frame.len) {
            self.glitch();
        }
        self.tally.came(frame.kind);
    }

    /// The stream's reset, which is to come, has this reason.
    pub fn recode(&self, stream: u32, reason: Reason) {
        let mut recodes = self.recodes.borrow_mut();
        if recodes.len() == RECODES {
            recodes.remove(0);
        }
        recodes.push((stream, reason));
    }

    pub fn found(&self, path: Option<(u32, Vec<u8>)>) {
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
        self.recodes.borrow_mut().retain(|(id, _)| *id != stream);
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

    /// The connection is to end with this.
    pub fn stop(&self, reason: Reason) {
        self.stopped.set(Some(reason));
    }

    /// Something came that the library knows no right word for.
    pub fn stopped(&self) -> Option<Reason> {
        self.stopped.get()
    }

    pub fn glitch(&self) {
        self.glitches.set(self.glitches.get().saturating_add(1));
    }
}

/// How many of a server's `bytes` may be passed on: all, unless a frame of an impossible size begins among them.
fn arrive(frames: &mut Frames, bytes: &[u8], watch: &Watch) -> usize {
    let mut at = 0;
    while let Some(frame) = frames.next(bytes, &mut at) {
        if is_missized(&frame) {
            watch.stop(Reason::FRAME_SIZE_ERROR);
            // The last byte of the frame's head is enough to keep back: without it there is no frame.
            return at - 1;
        }
        watch.came(&frame);
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

/// `bytes` with the reasons of resets that are to have another.
fn recoded(frames: &Frames, bytes: &[u8], recodes: &[(u32, Reason)]) -> Vec<u8> {
    let (mut frames, mut at, mut new) = (frames.clone(), 0, bytes.to_vec());
    while let Some(frame) = frames.next(bytes, &mut at) {
        let reason = recodes.iter().find(|(id, _)| frame.kind == kind::RST_STREAM && *id == frame.stream);
        if let Some((_, reason)) = reason
            && let Some(code) = at.checked_sub(4).and_then(|code| new.get_mut(code..at))
        {
            code.copy_from_slice(&u32::from(*reason).to_be_bytes());
        }
    }
    new
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
    pub fn new(stream: Stream, before: Vec<u8>, tune: &TuneH2, watch: Rc<Watch>) -> Self {
        let [table, largest] =
            [tune.header_table_size, tune.max_frame_size].map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        let came = Came::Client(Box::new(Guard::new(table, largest)));
        Self { stream, before: before.into(), judged: Bytes::new(), came, left: Frames::new(0, true), watch }
    }

    /// A connection to a server, which begins with its settings.
    pub fn to_server(stream: Stream, watch: Rc<Watch>) -> Self {
        let left = Frames::new(super::PREFACE.len(), true);
        let came = Came::Server(Frames::new(0, false));
        Self { stream, before: Bytes::new(), judged: Bytes::new(), came, left, watch }
    }

    /// Bytes that nobody has looked at.
    fn poll_fresh(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.before.is_empty() {
            return self.stream.poll_read_into(cx, buf).map_ok(|_| ());
        }
        put_front(&mut self.before, buf);
        Poll::Ready(Ok(()))
    }

    /// What of the bytes from `from` on goes on now.
    fn judge(&mut self, buf: &mut ReadBuf<'_>, from: usize) {
        let fresh = buf.filled().get(from..).unwrap_or_default();
        let as_is = match &mut self.came {
            Came::Server(frames) => arrive(frames, fresh, &self.watch),
            Came::Client(guard) => {
                let passed = guard.pass(fresh, &self.watch);
                self.judged = passed.then.into();
                passed.as_is
            }
        };
        buf.set_filled(from + as_is);
    }

    fn try_write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let recodes = self.watch.recodes.borrow();
        if recodes.is_empty() {
            drop(recodes);
            let n = self.stream.try_write(buf)?;
            leave(&mut self.left, buf.get(..n).unwrap_or_default(), &self.watch);
            return Ok(n);
        }
        let buf = recoded(&self.left, buf, &recodes);
        drop(recodes);
        let n = self.stream.try_write(&buf)?;
        leave(&mut self.left, buf.get(..n).unwrap_or_default(), &self.watch);
        Ok(n)
    }
}

/// As much as there is room for.
fn put_front(bytes: &mut Bytes, buf: &mut ReadBuf<'_>) {
    let part = bytes.split_to(bytes.len().min(buf.remaining()));
    buf.put_slice(&part);
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
        loop {
            if !this.judged.is_empty() {
                put_front(&mut this.judged, buf);
                return Poll::Ready(Ok(()));
            }
            if this.watch.stopped().is_some() {
                return Poll::Pending;
            }
            let from = buf.filled().len();
            ready!(this.poll_fresh(cx, buf))?;
            if buf.filled().len() == from {
                return Poll::Ready(Ok(()));
            }
            this.judge(buf, from);
            // Nothing to pass on is not the end of the stream.
            if buf.filled().len() > from {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            match this.try_write(buf) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => ready!(this.stream.poll_write_ready(cx))?,
                done => return Poll::Ready(done),
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.watch.recodes.borrow().is_empty() {
            let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
            return Pin::new(this).poll_write(cx, first);
        }
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
            bytes.chunks(step).for_each(|part| assert_eq!(arrive(&mut seen, part, &watch), part.len()));
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
                .map(|part| if watch.stopped().is_some() { 0 } else { arrive(&mut seen, part, &watch) })
                .sum();
            assert_eq!((passed, watch.stopped()), (25, Some(Reason::FRAME_SIZE_ERROR)), "by {step}");
        }
    }

    #[test]
    fn reasons_are_replaced_where_they_are_wanted() {
        let watch = Watch::default();
        watch.recode(3, Reason::STREAM_CLOSED);
        let reset = |stream, code| [0, 0, 4, 3, 0, 0, 0, 0, stream, 0, 0, 0, code];
        let data = [0, 0, 3, 0, 0, 0, 0, 0, 3, 3, 3, 3];
        let bytes = [&reset(1, 3)[..], &data, &reset(3, 3)].concat();
        let expected = [&reset(1, 3)[..], &data, &reset(3, 5)].concat();
        let mut left = Frames::new(0, true);
        assert_eq!(recoded(&left, &bytes, &watch.recodes.borrow()), expected);
        // What was written up to the middle of the frame stays as it is, and what is left is found again.
        leave(&mut left, &bytes[..30], &watch);
        assert_eq!(recoded(&left, &bytes[30..], &watch.recodes.borrow()), expected[30..]);
        leave(&mut left, &expected[30..], &watch);
        assert!(watch.recodes.borrow().is_empty());
    }

    #[test]
    fn frames_without_use_are_counted_however_they_arrive() {
        check(&[(18, 4, 0), (0, 4, 1), (300, 1, 4), (1000, 0, 0), (0, 0, 1), (4, 8, 0)], 1);
        check(&[(8, 6, 0), (8, 6, 1), (8, 6, 0)], 2);
        check(&[(0, 0, 0), (0, 0, 0), (5, 2, 0), (10, 9, 4), (7, 77, 0)], 5);
    }
}
