//! What a client says, frame by frame, before the library has it. That knows one error for most of what is wrong, and ends
//! the connection for it; here is told which error of RFC 9113 it is, and whose: what is the connection's is kept back, what
//! is a stream's is handed on as something the library takes for that.

use super::block::Table;
use super::frames::{Seen, kind};
use super::tally::Accepted;
use super::wire::Watch;
use h2::Reason;
use std::borrow::Cow;
use std::collections::VecDeque;

/// See the module's page.
#[derive(Debug)]
pub struct Guard {
    table: Table,
    /// The largest frame the client may send.
    largest: usize,
    /// Bytes of a frame that are still to be passed on.
    skip: usize,
    /// The beginning of what is judged as a whole.
    held: Vec<u8>,
    begun: Accepted,
    /// Streams that the client may say more on, the oldest first.
    open: VecDeque<u32>,
    greeted: bool,
    /// Something came that ends the connection anyway: the library shall say so.
    gave_up: bool,
}

/// What becomes of a frame.
enum Verdict {
    /// So many bytes go on.
    Pass(usize),
    /// These frames go before it.
    Behind(Vec<u8>),
    /// So many bytes are replaced.
    Instead(usize, Vec<u8>),
    /// More of it has to be there.
    Wait,
}

/// What came, less what is kept back: so much of it as it is, and these bytes behind.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Passed {
    pub as_is: usize,
    pub then: Vec<u8>,
}

const HEAD: usize = 9;
/// RFC 9113 6.5.2: whatever we say, a frame may be so large.
const FRAME: usize = 16384;
/// A head in more frames, or larger, is one that the library ends the connection for.
const CONTINUED: usize = 32;
const BLOCK: usize = 256 * 1024;
/// Whoever leaves more streams open has none of the oldest.
const OPEN: usize = 1000;
const LARGEST_WINDOW: u32 = 0x7fff_ffff;
const INITIAL_WINDOW_SIZE: [u8; 2] = [0, 4];

const PADDED: u8 = 8;
const PRIORITY: u8 = 32;

impl Guard {
    /// What the client is told: the size of its dynamic table, and how large its frames may be.
    pub fn new(table: usize, largest: usize) -> Self {
        Self {
            table: Table::new(table),
            largest,
            skip: super::PREFACE.len(),
            held: Vec::new(),
            begun: Accepted::default(),
            open: VecDeque::new(),
            greeted: false,
            gave_up: false,
        }
    }

    /// What of `bytes`, and of those before them that were kept back, goes on.
    pub fn pass(&mut self, bytes: &[u8], watch: &Watch) -> Passed {
        let mut passed = Passed::default();
        if self.held.is_empty() {
            let at = self.walk(bytes, &mut passed, watch);
            self.held.extend_from_slice(bytes.get(at..).unwrap_or_default());
            return passed;
        }
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        let at = self.walk(&all, &mut passed, watch);
        if at == 0 {
            self.held = all;
            return passed;
        }
        self.held.extend_from_slice(all.get(at..).unwrap_or_default());
        all.truncate(passed.as_is);
        all.append(&mut passed.then);
        Passed { as_is: 0, then: all }
    }

    /// How far it could be judged.
    fn walk(&mut self, bytes: &[u8], passed: &mut Passed, watch: &Watch) -> usize {
        let mut at = 0;
        loop {
            let end = bytes.len().min(at + self.skip);
            self.skip -= end - at;
            passed.keep(bytes, at, end);
            at = end;
            let rest = bytes.get(at..).unwrap_or_default();
            if self.skip > 0 {
                return at;
            }
            let Some(frame) = Seen::at(rest) else { return at };
            match self.judge(&frame, rest, watch) {
                Ok(Verdict::Wait) => return at,
                Ok(Verdict::Pass(n)) => self.skip = n,
                Ok(Verdict::Behind(frames)) => {
                    passed.then.extend(frames);
                    self.skip = HEAD + frame.len;
                }
                Ok(Verdict::Instead(n, frames)) => {
                    passed.then.extend(frames);
                    at += n;
                }
                Err(reason) => {
                    watch.stop(reason);
                    return bytes.len();
                }
            }
            watch.came(&frame);
        }
    }

    /// # Errors
    /// What the connection is to end with.
    fn judge(&mut self, frame: &Seen, bytes: &[u8], watch: &Watch) -> Result<Verdict, Reason> {
        let whole = Verdict::Pass(HEAD + frame.len);
        if self.gave_up {
            return Ok(whole);
        }
        if !self.greeted && (frame.kind != kind::SETTINGS || frame.flags & kind::ACK != 0) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        self.greeted = true;
        if is_missized(frame) {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        match frame.kind {
            kind::HEADERS => return self.head(frame, bytes, watch),
            kind::DATA if self.has_ended(frame.stream) => {
                return Ok(Verdict::Behind(reset(frame.stream, Reason::STREAM_CLOSED, watch)));
            }
            kind::DATA if frame.flags & kind::END_STREAM != 0 => self.end(frame.stream),
            kind::RST_STREAM => self.end(frame.stream),
            kind::SETTINGS if frame.len <= self.largest => {
                let Some(settings) = bytes.get(HEAD..HEAD + frame.len) else { return Ok(Verdict::Wait) };
                if settings.chunks(6).any(is_window_too_large) {
                    return Err(Reason::FLOW_CONTROL_ERROR);
                }
            }
            kind::WINDOW_UPDATE if self.has(frame.stream) => match bytes.get(HEAD..HEAD + 4) {
                None => return Ok(Verdict::Wait),
                Some([a, 0, 0, 0]) if a & 0x7f == 0 => {
                    let frames = reset(frame.stream, Reason::PROTOCOL_ERROR, watch);
                    return Ok(Verdict::Instead(HEAD + 4, frames));
                }
                Some(_) => {}
            },
            _ => {}
        }
        Ok(whole)
    }

    fn head(&mut self, frame: &Seen, bytes: &[u8], watch: &Watch) -> Result<Verdict, Reason> {
        let (begin, more, n) = match whole(frame, bytes, self.largest) {
            Whole::Parts(begin, more, n) => (begin, more, n),
            Whole::Wait => return Ok(Verdict::Wait),
            Whole::Odd => {
                self.gave_up = true;
                return Ok(Verdict::Pass(HEAD + frame.len));
            }
        };
        more.iter().for_each(|_| watch.glitch());
        let block = if more.is_empty() {
            Cow::Borrowed(begin)
        } else {
            Cow::Owned([&[begin], &more[..]].concat().concat())
        };
        let found = self.table.read(&block).ok_or(Reason::COMPRESSION_ERROR)?;
        let is_trailers = self.open.contains(&frame.stream);
        if self.has_ended(frame.stream) {
            return Err(Reason::STREAM_CLOSED);
        }
        self.begin(frame);
        if found.is_bad || is_trailers && found.has_pseudo || depends_on_itself(frame, bytes) {
            return Ok(Verdict::Instead(n, frames(frame, &found.refusable(&block))));
        }
        watch.found(found.path.map(|path| (frame.stream, path)));
        Ok(Verdict::Pass(n))
    }

    fn begin(&mut self, frame: &Seen) {
        if frame.stream % 2 == 1 && !self.has(frame.stream) && frame.stream > self.begun.highest() {
            self.begun.add(frame.stream);
            if frame.flags & kind::END_STREAM == 0 {
                if self.open.len() == OPEN {
                    self.open.pop_front();
                }
                self.open.push_back(frame.stream);
            }
        } else if frame.flags & kind::END_STREAM != 0 {
            self.end(frame.stream);
        }
    }

    fn end(&mut self, stream: u32) {
        if let Some(at) = self.open.iter().position(|open| *open == stream) {
            self.open.remove(at);
        }
    }

    fn has(&self, stream: u32) -> bool {
        stream % 2 == 1 && self.begun.has(stream)
    }

    /// The client has said that it says no more.
    fn has_ended(&self, stream: u32) -> bool {
        self.has(stream) && !self.open.contains(&stream)
    }
}

impl Passed {
    fn keep(&mut self, bytes: &[u8], from: usize, to: usize) {
        if self.then.is_empty() && from == self.as_is {
            self.as_is = to;
        } else {
            self.then.extend_from_slice(bytes.get(from..to).unwrap_or_default());
        }
    }
}

/// RFC 9113 4.2, 6.4, 6.5, 6.7, 6.8 and 6.9. That of PRIORITY (6.3) is the stream's error alone, but there may be none.
pub fn is_missized(frame: &Seen) -> bool {
    let Seen { kind, flags, len, .. } = *frame;
    match kind {
        kind::DATA => flags & PADDED != 0 && len == 0,
        kind::HEADERS => len < usize::from(flags & PADDED != 0) + if flags & PRIORITY != 0 { 5 } else { 0 },
        kind::PRIORITY => len != 5,
        kind::RST_STREAM | kind::WINDOW_UPDATE => len != 4,
        kind::SETTINGS => !len.is_multiple_of(6) || flags & kind::ACK != 0 && len > 0,
        kind::PING => len != 8,
        kind::GOAWAY => len < 8,
        _ => false,
    }
}

fn is_window_too_large(setting: &[u8]) -> bool {
    setting.starts_with(&INITIAL_WINDOW_SIZE) && setting.get(2).is_some_and(|high| high & 0x80 != 0)
}

/// A head as far as it has come.
enum Whole<'b> {
    /// Its fields, those of the first frame and of others, and how many bytes the frames are.
    Parts(&'b [u8], Vec<&'b [u8]>, usize),
    Wait,
    /// It is none: the library will say so.
    Odd,
}

fn whole<'b>(first: &Seen, bytes: &'b [u8], largest: usize) -> Whole<'b> {
    let Some(payload) = bytes.get(HEAD..HEAD + first.len) else {
        return if first.len > largest { Whole::Odd } else { Whole::Wait };
    };
    let Some(begin) = unpadded(payload, first.flags) else { return Whole::Odd };
    let mut more = Vec::new();
    let (mut at, mut flags) = (HEAD + first.len, first.flags);
    while flags & kind::END_HEADERS == 0 {
        let Some(next) = Seen::at(bytes.get(at..).unwrap_or_default()) else { return Whole::Wait };
        let is_next = next.kind == kind::CONTINUATION && next.stream == first.stream && next.len <= largest;
        if !is_next || more.len() == CONTINUED || at > BLOCK {
            return Whole::Odd;
        }
        let Some(part) = bytes.get(at + HEAD..at + HEAD + next.len) else { return Whole::Wait };
        more.push(part);
        at += HEAD + next.len;
        flags = next.flags;
    }
    Whole::Parts(begin, more, at)
}

/// A frame's payload without padding and priority.
fn unpadded(payload: &[u8], flags: u8) -> Option<&[u8]> {
    let (padding, rest) = match payload.split_first() {
        Some((padding, rest)) if flags & PADDED != 0 => (usize::from(*padding), rest),
        _ => (0, payload),
    };
    let rest = rest.get(..rest.len().checked_sub(padding)?)?;
    if flags & PRIORITY == 0 { Some(rest) } else { rest.get(5..) }
}

/// RFC 7540 5.3.1. The library leaves such a head unread, and misunderstands those that follow.
fn depends_on_itself(frame: &Seen, bytes: &[u8]) -> bool {
    let at = HEAD + usize::from(frame.flags & PADDED != 0);
    let on = bytes.get(at..).and_then(|bytes| bytes.first_chunk::<4>());
    frame.flags & PRIORITY != 0
        && on.is_some_and(|on| u32::from_be_bytes(*on) & LARGEST_WINDOW == frame.stream)
}

/// A head in frames of its own.
fn frames(first: &Seen, block: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(block.len() + 2 * HEAD);
    let mut parts = block.chunks(FRAME).peekable();
    let (mut kind, mut flags) = (kind::HEADERS, first.flags & kind::END_STREAM);
    while let Some(part) = parts.next() {
        flags |= if parts.peek().is_none() { kind::END_HEADERS } else { 0 };
        put_frame(kind, flags, first.stream, part, &mut bytes);
        (kind, flags) = (kind::CONTINUATION, 0);
    }
    bytes
}

/// Frames that make the library reset a stream. The reason it gives is replaced as it leaves.
fn reset(stream: u32, reason: Reason, watch: &Watch) -> Vec<u8> {
    watch.recode(stream, reason);
    let mut bytes = Vec::new();
    // Where nothing is left of the window, one of these fills it up and no more.
    for _ in 0..2 {
        put_frame(kind::WINDOW_UPDATE, 0, stream, &LARGEST_WINDOW.to_be_bytes(), &mut bytes);
    }
    bytes
}

fn put_frame(kind: u8, flags: u8, stream: u32, payload: &[u8], bytes: &mut Vec<u8>) {
    let [.., a, b, c] = payload.len().to_be_bytes();
    bytes.extend([a, b, c, kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &[u8] = b"\x82\x86\x84";
    const END: u8 = kind::END_HEADERS | kind::END_STREAM;
    const SETTINGS: (u8, u8, u32, &[u8]) = (kind::SETTINGS, 0, 0, b"");

    type Frame<'p> = (u8, u8, u32, &'p [u8]);

    fn bytes(frames: &[Frame]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, flags, stream, payload) in frames {
            put_frame(*kind, *flags, *stream, payload, &mut bytes);
        }
        bytes
    }

    /// What the library gets of these frames, however they arrive, and how the connection is to end.
    fn check(frames: &[Frame], expected: &[Frame], end: Option<Reason>) {
        let came = [super::super::PREFACE, &bytes(frames)].concat();
        for step in [1, 2, 3, 7, 10, 50, came.len()] {
            let (watch, mut guard) = (Watch::default(), Guard::new(4096, 16384));
            let mut got = Vec::new();
            for part in came.chunks(step) {
                if watch.stopped().is_none() {
                    let passed = guard.pass(part, &watch);
                    got.extend_from_slice(&part[..passed.as_is]);
                    got.extend(passed.then);
                }
            }
            assert_eq!(got[24..], bytes(expected), "{frames:x?} by {step}");
            assert_eq!(watch.stopped(), end, "{frames:x?} by {step}");
        }
    }

    #[test]
    fn what_is_right_goes_on_as_it_is() {
        let post = b"\x83\x86\x84".as_slice();
        let all = [
            SETTINGS,
            (kind::HEADERS, END, 1, GET),
            (kind::HEADERS, kind::END_HEADERS, 3, post),
            (kind::DATA, 0, 3, b"some"),
            (kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
            (kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
            (kind::PRIORITY, 0, 7, &[0, 0, 0, 1, 1]),
            (kind::HEADERS, 0, 5, b"\x83"),
            (kind::CONTINUATION, 0, 5, b"\x86"),
            (kind::CONTINUATION, kind::END_HEADERS, 5, b"\x84"),
            (77, 3, 9, b"unknown"),
            (kind::DATA, kind::END_STREAM, 3, b"more"),
            (kind::HEADERS, END | PADDED | PRIORITY, 7, b"\x02\0\0\0\0\x01\x82\x86\x84\0\0"),
            (kind::HEADERS, END, 5, b"\x00\x01x\x01y"),
            (kind::RST_STREAM, 0, 7, &[0; 4]),
            (kind::GOAWAY, 0, 0, &[0; 8]),
        ];
        check(&all, &all, None);
    }

    #[test]
    fn errors_of_the_connection_keep_the_frame_back() {
        let begun = [SETTINGS, (kind::HEADERS, END, 1, GET)];
        let rows: [(Frame, Reason); 9] = [
            ((kind::HEADERS, END, 3, b"\x80"), Reason::COMPRESSION_ERROR),
            ((kind::HEADERS, END | PRIORITY, 3, b"\0\0\0\0"), Reason::FRAME_SIZE_ERROR),
            ((kind::DATA, PADDED, 3, b""), Reason::FRAME_SIZE_ERROR),
            ((kind::PRIORITY, 0, 3, b"\0\0\0\0"), Reason::FRAME_SIZE_ERROR),
            ((kind::PING, 0, 0, b""), Reason::FRAME_SIZE_ERROR),
            ((kind::SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0, 0, 4, 0x80, 0, 0, 0]), Reason::FLOW_CONTROL_ERROR),
            ((kind::HEADERS, END, 1, GET), Reason::STREAM_CLOSED),
            ((kind::SETTINGS, kind::ACK, 0, &[0; 6]), Reason::FRAME_SIZE_ERROR),
            ((kind::GOAWAY, 0, 0, b""), Reason::FRAME_SIZE_ERROR),
        ];
        for (frame, reason) in rows {
            check(&[&begun[..], &[frame, (kind::PING, 0, 0, &[0; 8])]].concat(), &begun, Some(reason));
        }
        check(&[(kind::HEADERS, END, 1, GET)], &[], Some(Reason::PROTOCOL_ERROR));
        check(&[(kind::SETTINGS, kind::ACK, 0, b"")], &[], Some(Reason::PROTOCOL_ERROR));
    }

    #[test]
    fn errors_of_a_stream_become_what_the_library_resets_it_for() {
        let begun = [SETTINGS, (kind::HEADERS, END, 1, GET)];
        let grown: Frame = (kind::WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff]);
        let more: Frame = (kind::DATA, 0, 1, b"more");
        check(&[begun[0], begun[1], more], &[begun[0], begun[1], grown, grown, more], None);
        let none: Frame = (kind::WINDOW_UPDATE, 0, 1, &[0; 4]);
        let ping: Frame = (kind::PING, 0, 0, &[0; 8]);
        check(&[begun[0], begun[1], none, ping], &[begun[0], begun[1], grown, grown, ping], None);
        check(
            &[
                SETTINGS,
                (kind::HEADERS, 0, 1, GET),
                (kind::CONTINUATION, kind::END_HEADERS, 1, b"\x00\x01X\x00"),
            ],
            &[
                SETTINGS,
                (kind::HEADERS, kind::END_HEADERS, 1, b"\x82\x86\x84\x00\x01x\x00\x00\x0aconnection\x01x"),
            ],
            None,
        );
        // Pseudo-header fields among trailers, and a head that depends on itself.
        let post: Frame = (kind::HEADERS, kind::END_HEADERS, 1, GET);
        check(
            &[SETTINGS, post, (kind::HEADERS, END, 1, b"\x84")],
            &[SETTINGS, post, (kind::HEADERS, END, 1, b"\x84\x00\x0aconnection\x01x")],
            None,
        );
        check(
            &[SETTINGS, (kind::HEADERS, END | PRIORITY, 1, b"\0\0\0\x01\0\x84")],
            &[SETTINGS, (kind::HEADERS, END, 1, b"\x84\x00\x0aconnection\x01x")],
            None,
        );
        // Long ones take more than one frame.
        let long = [b"\x00\x01X\x7f\x81\x7f".as_slice(), &[b'y'; 127 + 127 * 128 + 1]].concat();
        let refused =
            [b"\x00\x01x\x7f\x81\x7f".as_slice(), &[b'x'; 127 + 127 * 128 + 1], b"\x00\x0aconnection\x01x"]
                .concat();
        let (one, two) = refused.split_at(16384);
        check(
            &[
                SETTINGS,
                (kind::HEADERS, 0, 1, &long[..9]),
                (kind::CONTINUATION, kind::END_HEADERS, 1, &long[9..]),
            ],
            &[SETTINGS, (kind::HEADERS, 0, 1, one), (kind::CONTINUATION, kind::END_HEADERS, 1, two)],
            None,
        );
    }

    #[test]
    fn what_is_no_head_is_left_to_the_library() {
        let other: Frame = (kind::PING, 0, 0, &[0; 8]);
        let all =
            [SETTINGS, (kind::HEADERS, kind::END_STREAM, 1, GET), other, (kind::HEADERS, END, 3, b"\x80")];
        check(&all, &all, None);
        let all = [SETTINGS, (kind::HEADERS, END | PADDED, 1, b"\x09\x84"), other];
        check(&all, &all, None);
        let mut all = vec![SETTINGS, (kind::HEADERS, 0, 1, GET)];
        all.resize(CONTINUED + 10, (kind::CONTINUATION, 0, 1, b"\x84"));
        check(&all, &all, None);
    }

    #[test]
    fn streams_without_an_end_are_forgotten_one_day() {
        let mut guard = Guard::new(4096, 16384);
        let mut all = super::super::PREFACE.to_vec();
        put_frame(kind::SETTINGS, 0, 0, b"", &mut all);
        for stream in (1..5000).step_by(2) {
            put_frame(kind::HEADERS, kind::END_HEADERS, stream, GET, &mut all);
        }
        assert_eq!(guard.pass(&all, &Watch::default()).as_is, all.len());
        assert_eq!((guard.open.len(), guard.open.back()), (OPEN, Some(&4999)));
    }
}
