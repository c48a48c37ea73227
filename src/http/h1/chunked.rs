//! The chunked coding (RFC 9112 7.1), checked while it passes through: what stands in the buffer is forwarded as it is,
//! less chunk extensions. Line ends are CRLF only: a bare LF here is how requests are smuggled.

use super::{Fault, is_token};

/// What of the buffer is to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    /// Sizes, data and trailers, still chunked.
    Framed,
    /// The payload alone.
    Payload,
}

/// Result of one [`Decoder::scan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Bytes of the input used up.
    pub consumed: usize,
    /// Bytes to send, now at the front of the input.
    pub emitted: usize,
    /// The last chunk and its trailers are through.
    pub done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Reading hexadecimal digits; how many so far.
    Size(u8),
    /// White space and extensions after the size.
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a trailer line.
    TrailerStart,
    TrailerName,
    /// White space before a trailer's value.
    TrailerSpace,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

/// One chunked body.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    state: State,
    left: u64,
    payload: u64,
    trailer: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { state: State::Size(0), left: 0, payload: 0, trailer: 0 }
    }
}

impl Decoder {
    /// Payload bytes seen so far.
    #[must_use]
    pub fn payload(&self) -> u64 {
        self.payload
    }

    /// HAProxy's count of what came (manual, `%B`): payload, text of the trailers, and one for the end.
    #[must_use]
    pub fn accounted(&self) -> u64 {
        self.payload + self.trailer as u64 + u64::from(self.is_done())
    }

    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Walks over `data`, moving what is to be sent to its front when something before it was dropped.
    ///
    /// # Errors
    /// [`Fault::Bad`] for anything RFC 9112 does not allow, [`Fault::TooLarge`] for trailers beyond `trailer_limit`.
    pub fn scan(&mut self, data: &mut [u8], emit: Emit, trailer_limit: usize) -> Result<Scan, Fault> {
        let (mut read, mut written) = (0, 0);
        while let Some(&byte) = data.get(read) {
            match self.state {
                State::Done => break,
                State::Data => {
                    let n = usize::try_from(self.left).unwrap_or(usize::MAX).min(data.len() - read);
                    if written != read {
                        data.copy_within(read..read + n, written);
                    }
                    written += n;
                    read += n;
                    self.left -= n as u64;
                    self.payload += n as u64;
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                    continue;
                }
                _ => {}
            }
            let was_extension = self.state == State::Extension;
            let sent = self.step(byte)?;
            if self.trailer > trailer_limit {
                return Err(Fault::TooLarge);
            }
            let dropped = was_extension && self.state == State::Extension;
            if emit == Emit::Framed && !dropped && self.state != State::Extension {
                if let Some(slot) = data.get_mut(written) {
                    *slot = sent;
                }
                written += 1;
            }
            read += 1;
        }
        Ok(Scan { consumed: read, emitted: written, done: self.is_done() })
    }

    /// Takes one byte of framing; answers it as it is to be sent.
    fn step(&mut self, byte: u8) -> Result<u8, Fault> {
        self.state = match (self.state, byte) {
            (State::Size(digits), _) if byte.is_ascii_hexdigit() => {
                // 15 digits keep the sum inside 60 bits
                if digits >= 15 {
                    return Err(Fault::Bad);
                }
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                self.left = self.left * 16 + u64::from(digit);
                State::Size(digits + 1)
            }
            (State::Size(1..), b'\r') => State::SizeLf,
            (State::Size(1..), b' ' | b'\t' | b';') => State::Extension,
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, b'\n' | 0) => return Err(Fault::Bad),
            (State::Extension, _) => State::Extension,
            (State::SizeLf, b'\n') if self.left == 0 => State::TrailerStart,
            (State::SizeLf, b'\n') => State::Data,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size(0),
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::TrailerStart | State::TrailerName, _) if is_token(byte) => {
                self.trailer += 1;
                self.state = State::TrailerName;
                return Ok(byte.to_ascii_lowercase());
            }
            (State::TrailerName, b':') => State::TrailerSpace,
            (State::TrailerSpace, b' ' | b'\t') => State::TrailerSpace,
            (State::TrailerSpace | State::TrailerValue, b'\r') => State::TrailerLf,
            (State::TrailerSpace | State::TrailerValue, b'\n' | 0) => return Err(Fault::Bad),
            (State::TrailerSpace | State::TrailerValue, _) => {
                self.trailer += 1;
                State::TrailerValue
            }
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::EndLf, b'\n') => State::Done,
            _ => return Err(Fault::Bad),
        };
        Ok(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scans `input` whole and again byte by byte; both must agree.
    fn check(input: &str, emit: Emit, expected: Result<(&str, usize), Fault>) {
        let mut whole = input.as_bytes().to_vec();
        let mut decoder = Decoder::default();
        let got = decoder
            .scan(&mut whole, emit, 100)
            .and_then(|s| if s.done { Ok(s) } else { Err(Fault::TooLarge) });
        let got = got.map(|s| (String::from_utf8(whole[..s.emitted].to_vec()).unwrap(), s.consumed));
        assert_eq!(got, expected.map(|(text, n)| (text.to_owned(), n)), "{input:?}");

        let mut decoder = Decoder::default();
        let (mut out, mut consumed, mut fault) = (Vec::new(), 0, None);
        for byte in input.bytes() {
            let mut one = [byte];
            match decoder.scan(&mut one, emit, 100) {
                Ok(s) => {
                    out.extend_from_slice(&one[..s.emitted]);
                    consumed += s.consumed;
                }
                Err(e) => fault = Some(e),
            }
            if fault.is_some() {
                break;
            }
        }
        match expected {
            Ok((text, n)) => {
                assert_eq!((out.as_slice(), consumed, fault), (text.as_bytes(), n, None), "{input:?}")
            }
            Err(_) => assert!(fault.is_some() || !decoder.is_done(), "{input:?}"),
        }
    }

    #[test]
    fn passes_chunks_through_and_drops_extensions() {
        check("5\r\nhello\r\n0\r\n\r\n", Emit::Framed, Ok(("5\r\nhello\r\n0\r\n\r\n", 15)));
        check(
            "5;a=b\r\nhello\r\n0\r\nTr: X\r\n\r\nGET",
            Emit::Framed,
            Ok(("5\r\nhello\r\n0\r\ntr: X\r\n\r\n", 26)),
        );
        check("5 \r\nhello\r\n00a\r\n0123456789\r\n0\r\n\r\n", Emit::Payload, Ok(("hello0123456789", 33)));
    }

    #[test]
    fn refuses_what_two_parsers_could_read_in_two_ways() {
        for bad in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+5\r\nhello\r\n",
            "0x5\r\nhello\r\n",
            "5\nhello\r\n0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhelloo\r\n0\r\n\r\n",
            "1234567890123456\r\n",
            ";a\r\n",
            "5;a\nb\r\nhello\r\n",
            "0\r\n a: b\r\n\r\n",
            "0\r\na b\r\n\r\n",
            "0\r\na: b\n\r\n",
            "0\r\n\n",
            "5\r\rhello\r\n",
        ] {
            check(bad, Emit::Framed, Err(Fault::Bad));
        }
    }

    #[test]
    fn trailers_have_a_limit() {
        let long = format!("0\r\na: {}\r\n\r\n", "x".repeat(200));
        check(&long, Emit::Framed, Err(Fault::TooLarge));
    }
}
