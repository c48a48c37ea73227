//! One direction of body bytes: where it ends, what of the received bytes may go on.

use super::buffer::Inbox;
use super::h1::chunked::{Decoder, Emit};
use super::h1::{BodyLength, Fault};

/// Longest trailer section, names and values together.
const TRAILER_LIMIT: usize = 15 * 1024;

/// A body of which this much is left (or, without a known length, was seen) is worth a large buffer.
const LONG: u64 = 16 * 1024;

#[derive(Clone, Copy, Debug)]
enum Left {
    Known(u64),
    Chunked(Decoder),
    UntilClose,
}

/// The state of one body.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// `None`: all of it has been received and accepted.
    left: Option<Left>,
    payload: u64,
    /// Of a chunked body: what HAProxy's counters take it for.
    accounted: u64,
}

impl Flow {
    pub fn new(length: BodyLength) -> Self {
        let left = match length {
            BodyLength::None => None,
            BodyLength::Known(n) => Some(Left::Known(n)),
            BodyLength::Chunked => Some(Left::Chunked(Decoder::default())),
            BodyLength::UntilClose => Some(Left::UntilClose),
        };
        Self { left, payload: 0, accounted: 0 }
    }

    /// All bytes have been received.
    pub fn is_complete(&self) -> bool {
        self.left.is_none()
    }

    /// So much is still to come that larger buffers pay.
    pub fn is_long(&self) -> bool {
        match self.left {
            None => false,
            Some(Left::Known(n)) => n > LONG,
            Some(_) => self.payload > LONG,
        }
    }

    /// What is left of a body of known length.
    pub fn known_left(&self) -> Option<u64> {
        match self.left {
            Some(Left::Known(n)) => Some(n),
            _ => None,
        }
    }

    /// `n` bytes of a body of known length went past the inbox.
    pub fn passed(&mut self, n: u64) {
        if let Some(Left::Known(left)) = &mut self.left {
            *left = left.saturating_sub(n);
            self.payload += n;
            if *left == 0 {
                self.left = None;
            }
        }
    }

    /// Payload bytes accepted so far.
    pub fn payload(&self) -> u64 {
        self.payload
    }

    /// The body's share of `%B` or `%U`.
    pub fn accounted(&self) -> u64 {
        self.accounted.max(self.payload)
    }

    /// The same of a body that HTTP/2 carried, whose end takes no place unless there are trailers.
    pub fn framed(&self) -> u64 {
        let accounted = self.accounted();
        if accounted == self.payload + 1 { self.payload } else { accounted }
    }

    /// Checks raw bytes of `inbox` and marks those of the body as ready.
    ///
    /// # Errors
    /// A malformed chunk.
    pub fn absorb(&mut self, inbox: &mut Inbox) -> Result<(), Fault> {
        let Some(left) = &mut self.left else { return Ok(()) };
        inbox.close_gap();
        let raw = inbox.raw().len();
        match left {
            Left::Known(n) => {
                let take = usize::try_from(*n).unwrap_or(usize::MAX).min(raw);
                inbox.accept(take, take);
                *n -= take as u64;
                self.payload += take as u64;
                if *n == 0 {
                    self.left = None;
                }
            }
            Left::Chunked(decoder) => {
                let scan = decoder.scan(inbox.raw_mut(), Emit::Framed, TRAILER_LIMIT)?;
                inbox.accept(scan.consumed, scan.emitted);
                self.payload = decoder.payload();
                self.accounted = decoder.accounted();
                if scan.done {
                    self.left = None;
                }
            }
            Left::UntilClose => {
                inbox.accept(raw, raw);
                self.payload += raw as u64;
            }
        }
        Ok(())
    }

    /// The stream ended: was that the end of the body?
    pub fn end_of_stream(&mut self) -> bool {
        if matches!(self.left, Some(Left::UntilClose)) {
            self.left = None;
        }
        self.left.is_none()
    }
}
