//! HTTP/1 on the wire: heads in and out, framing, chunks. Pure: bytes in, values out.

pub mod blame;
pub mod chunked;
mod framing;
mod lines;
mod ordinary;
mod parse;
#[cfg(test)]
mod smuggling_tests;
pub mod write;

pub use framing::{BodyLength, RequestFraming, ResponseFraming, number, request as judge_request};
pub use parse::{Parsed, parse_request, parse_response, target_is_clean};

/// What a head may be at most, and how forgiving its parser is.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest head: `tune.bufsize` less `tune.maxrewrite`.
    pub head: usize,
    /// Most header fields: `tune.http.maxhdr`.
    pub fields: usize,
    /// `option accept-unsafe-violations-in-http-request|response`
    pub relaxed: bool,
}

/// Why a head or a chunk is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not HTTP, or HTTP that two parsers could read in two ways: 400 (502 from a server).
    Bad,
    /// Does not fit the buffer or has too many fields: 400 as well, as HAProxy answers.
    TooLarge,
    /// A transfer coding nobody here decodes: 422.
    Unprocessable,
}

/// RFC 9110 5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}
