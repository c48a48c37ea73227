//! The first line a program prints, as text that can stand in a log line and in the statistics.

/// Longer lines are cut.
const LENGTH_MAX: usize = 200;

#[derive(Debug, Default)]
pub struct FirstLine {
    bytes: Vec<u8>,
    complete: bool,
}

impl FirstLine {
    /// Takes the next bytes of the output.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.complete {
            return;
        }
        let end = memchr::memchr(b'\n', bytes);
        let line = end.and_then(|e| bytes.get(..e)).unwrap_or(bytes);
        let room = LENGTH_MAX - self.bytes.len();
        self.bytes.extend_from_slice(line.get(..room).unwrap_or(line));
        self.complete = end.is_some() || self.bytes.len() == LENGTH_MAX;
    }

    /// Nothing that comes later changes it.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// `None`: an empty line, or none. What is not printable is left out.
    pub fn text(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.bytes);
        let text: String =
            text.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|c| !c.is_control()).collect();
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines() {
        let check = |pieces: &[&[u8]], complete, expected: Option<&str>| {
            let mut line = FirstLine::default();
            for piece in pieces {
                line.push(piece);
            }
            assert_eq!((line.is_complete(), line.text().as_deref()), (complete, expected), "{pieces:?}");
        };
        check(&[], false, None);
        check(&[b"all well"], false, Some("all well"));
        check(&[b"all ", b"well\nand", b" more\n"], true, Some("all well"));
        check(&[b"\nsecond"], true, None);
        check(&[b" a\tb\x1b[31m\r\n"], true, Some("a b[31m"));
        check(&[b"\xff\0x"], false, Some("\u{fffd}x"));
        check(&[&[b'x'; 150], &[b'y'; 150]], true, Some(&("x".repeat(150) + &"y".repeat(50))));
    }
}
