//! Heads from bytes. Ordinary ones are read by `ordinary`; for the others `httparse` finds the pieces, the checks it leaves
//! out are made here and in `framing`.

use super::framing::{self, RequestFraming, ResponseFraming};
use super::{Fault, Limits, lines, ordinary};
use crate::message::{Head, Method, Piece, Version};
use httparse::{Header, ParserConfig, Status};
use std::mem::MaybeUninit;

/// Room on the stack for the fields of a head; a head with more goes to `lines`, up to `tune.http.maxhdr`.
const SLOTS: usize = 256;

/// What came of the bytes so far.
#[derive(Debug)]
pub enum Parsed<F> {
    /// The head ends after `len` bytes.
    Complete {
        len: usize,
        framing: F,
    },
    /// More bytes are needed.
    Partial,
    Refused(Fault),
}

impl<F> Parsed<F> {
    /// A whole head of `len` bytes, as its framing was judged.
    pub(super) fn judged(len: usize, framing: Result<F, Fault>) -> Self {
        match framing {
            Ok(framing) => Self::Complete { len, framing },
            Err(fault) => Self::Refused(fault),
        }
    }
}

/// Reads a request head from the front of `raw` into `head`.
pub fn parse_request(raw: &[u8], limits: &Limits, head: &mut Head) -> Parsed<RequestFraming> {
    match ordinary::request(raw, limits, head) {
        Some(len) => Parsed::judged(len, framing::request(head, limits.relaxed, false)),
        None => thorough_request(raw, limits, head),
    }
}

/// The way for requests of every kind.
#[cold]
pub(super) fn thorough_request(raw: &[u8], limits: &Limits, head: &mut Head) -> Parsed<RequestFraming> {
    let mut slots = [const { MaybeUninit::<Header<'_>>::uninit() }; SLOTS];
    let mut request = httparse::Request::new(&mut []);
    let mut config = ParserConfig::default();
    config.allow_multiple_spaces_in_request_line_delimiters(true);
    let room = slots.get_mut(..limits.fields.min(SLOTS)).unwrap_or_default();
    let len = match config.parse_request_with_uninit_headers(&mut request, raw, room) {
        Ok(Status::Complete(len)) if len <= limits.head => len,
        Ok(Status::Partial) if raw.len() < limits.head => return Parsed::Partial,
        Ok(_) => return Parsed::Refused(Fault::TooLarge),
        Err(httparse::Error::TooManyHeaders) if limits.fields <= SLOTS => {
            return Parsed::Refused(Fault::TooLarge);
        }
        Err(_) => return lines::parse_request(raw, limits, head),
    };
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Parsed::Refused(Fault::Bad);
    };
    if !target_is_clean(target.as_bytes(), limits.relaxed) {
        return Parsed::Refused(Fault::Bad);
    }
    head.load(raw.get(..len).unwrap_or_default());
    let (method, target) = (locate(head, raw, method.as_bytes()), locate(head, raw, target.as_bytes()));
    head.request_line(method, target, Version { major: 1, minor });
    take_fields(head, raw, request.headers);
    Parsed::judged(len, framing::request(head, limits.relaxed, false))
}

/// Reads a response head; `method` is the request's, which decides whether a body follows.
pub fn parse_response(
    raw: &[u8],
    limits: &Limits,
    method: Method,
    head: &mut Head,
) -> Parsed<ResponseFraming> {
    match ordinary::response(raw, limits, head) {
        Some(len) => Parsed::judged(len, framing::response(head, method, limits.relaxed)),
        None => thorough_response(raw, limits, method, head),
    }
}

/// The way for responses of every kind.
#[cold]
pub(super) fn thorough_response(
    raw: &[u8],
    limits: &Limits,
    method: Method,
    head: &mut Head,
) -> Parsed<ResponseFraming> {
    let mut slots = [const { MaybeUninit::<Header<'_>>::uninit() }; SLOTS];
    let mut response = httparse::Response::new(&mut []);
    let mut config = ParserConfig::default();
    config.allow_multiple_spaces_in_response_status_delimiters(true);
    let room = slots.get_mut(..limits.fields.min(SLOTS)).unwrap_or_default();
    let len = match config.parse_response_with_uninit_headers(&mut response, raw, room) {
        Ok(Status::Complete(len)) if len <= limits.head => len,
        Ok(Status::Partial) if raw.len() < limits.head => return Parsed::Partial,
        Ok(_) => return Parsed::Refused(Fault::TooLarge),
        Err(httparse::Error::TooManyHeaders) if limits.fields <= SLOTS => {
            return Parsed::Refused(Fault::TooLarge);
        }
        Err(_) => return lines::parse_response(raw, limits, method, head),
    };
    let (Some(status), Some(minor)) = (response.code, response.version) else {
        return Parsed::Refused(Fault::Bad);
    };
    if status < 100 {
        return Parsed::Refused(Fault::Bad);
    }
    head.load(raw.get(..len).unwrap_or_default());
    let reason = locate(head, raw, response.reason.unwrap_or_default().as_bytes());
    head.status_line(Version { major: 1, minor }, status, reason);
    take_fields(head, raw, response.headers);
    Parsed::judged(len, framing::response(head, method, limits.relaxed))
}

fn take_fields(head: &mut Head, raw: &[u8], fields: &[Header<'_>]) {
    for field in fields {
        let name = locate(head, raw, field.name.as_bytes());
        let value = locate(head, raw, field.value);
        head.field(name, value);
    }
}

/// Where `part`, a slice of `raw`, stands in it.
fn locate(head: &Head, raw: &[u8], part: &[u8]) -> Piece {
    match (part.as_ptr() as usize).checked_sub(raw.as_ptr() as usize) {
        Some(start) if !part.is_empty() => head.piece(start, part.len()),
        _ => Piece::default(),
    }
}

/// RFC 9112 3.2: no fragment, no bytes outside the printable ASCII.
pub fn target_is_clean(target: &[u8], relaxed: bool) -> bool {
    relaxed || target.iter().all(|b| matches!(b, 0x21..=0x7e) && *b != b'#')
}
