//! One line of bytes to words with spans: quoting, escapes, environment expansion, comments (HAProxy manual 2.2, 2.3).
//!
//! A line is read on its own: HAProxy has no line continuation. `$NAME` is expanded inside double quotes only, and
//! `"${NAME[*]}"` becomes one word per blank-separated value.

use super::raw::Word;

/// HAProxy's limit: longer lines are refused rather than truncated silently.
const MAX_WORDS: usize = 64;

/// Why a line cannot be cut into words. `position` is the byte column the caret points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LexError {
    pub position: usize,
    pub message: String,
}

impl LexError {
    fn new(position: usize, message: impl Into<String>) -> Self {
        Self { position, message: message.into() }
    }
}

/// Cuts `line` (without its line feed) into words; none on a blank or comment line. `lookup` answers environment
/// variables and the pseudo-variables `.FILE`, `.LINE`, `.SECTION`.
///
/// # Errors
/// An open quote or brace, a bad escape or variable name, too many words, bytes that are not UTF-8.
pub fn words(line: &[u8], lookup: &dyn Fn(&str) -> Option<String>) -> Result<Vec<Word>, LexError> {
    let mut lexer = Lexer { line, at: 0, lookup, words: Vec::new(), current: None };
    lexer.run()?;
    Ok(lexer.words)
}

struct Lexer<'a> {
    line: &'a [u8],
    at: usize,
    lookup: &'a dyn Fn(&str) -> Option<String>,
    words: Vec<Word>,
    /// The word being read: its bytes so far and where it began.
    current: Option<(Vec<u8>, usize)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quote {
    None,
    Single(usize),
    Double(usize),
}

impl Lexer<'_> {
    fn run(&mut self) -> Result<(), LexError> {
        let mut quote = Quote::None;
        while let Some(c) = self.peek() {
            match (c, quote) {
                (b'\r', _) if self.line[self.at..].iter().all(|b| *b == b'\r') => break,
                (0, _) => {
                    return Err(LexError::new(
                        self.at,
                        format!("Stray NUL character at position {}.", self.at + 1),
                    ));
                }
                (b'"', Quote::None) => {
                    self.open();
                    quote = Quote::Double(self.at);
                    self.at += 1;
                }
                (b'\'', Quote::None) => {
                    self.open();
                    quote = Quote::Single(self.at);
                    self.at += 1;
                }
                (b'"', Quote::Double(_)) | (b'\'', Quote::Single(_)) => {
                    quote = Quote::None;
                    self.at += 1;
                }
                (b'#', Quote::None) => break,
                (b'\\', Quote::None | Quote::Double(_)) => self.escape(quote != Quote::None)?,
                (b'$', Quote::Double(_)) => self.variable()?,
                (b' ' | b'\t' | 0x0b | 0x0c | b'\r', Quote::None) => {
                    self.close()?;
                    self.at += 1;
                }
                _ => {
                    self.push(c);
                    self.at += 1;
                }
            }
        }
        if let Quote::Single(at) | Quote::Double(at) = quote {
            return Err(LexError::new(at, format!("unmatched quote at position {}:", at + 1)));
        }
        self.close()
    }

    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    fn open(&mut self) {
        if self.current.is_none() {
            self.current = Some((Vec::new(), self.at));
        }
    }

    fn push(&mut self, c: u8) {
        self.open();
        if let Some((bytes, _)) = &mut self.current {
            bytes.push(c);
        }
    }

    /// Ends the current word, if one is open.
    fn close(&mut self) -> Result<(), LexError> {
        let Some((bytes, start)) = self.current.take() else { return Ok(()) };
        let text = String::from_utf8(bytes).map_err(|_| {
            LexError::new(start, "a word with bytes that are not UTF-8 is not supported by weir yet:")
        })?;
        if self.words.len() >= MAX_WORDS {
            let message = format!(
                "too many words, truncating after word {MAX_WORDS}, position {}: <{text}>.",
                start + 1
            );
            return Err(LexError::new(start, message));
        }
        self.words.push(Word { text, start: column(start), end: column(self.at) });
        Ok(())
    }

    /// After a backslash: the escapes of the manual; before anything else the backslash stays (regular expressions
    /// lean on it).
    fn escape(&mut self, quoted: bool) -> Result<(), LexError> {
        let start = self.at;
        let Some(&next) = self.line.get(start + 1) else {
            self.push(b'\\');
            self.at += 1;
            return Ok(());
        };
        let plain = match next {
            b'\\' | b' ' | b'#' | b'\'' | b'"' => next,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'$' if quoted => b'$',
            b'x' => {
                let digits = self.line.get(start + 2..start + 4).and_then(|d| std::str::from_utf8(d).ok());
                let byte = digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
                let Some(byte) = byte.and_then(|d| u8::from_str_radix(d, 16).ok()) else {
                    let message =
                        format!("truncated or invalid hexadecimal sequence at position {}:", start + 1);
                    return Err(LexError::new(start, message));
                };
                self.push(byte);
                self.at += 4;
                return Ok(());
            }
            _ => {
                self.push(b'\\');
                self.at += 1;
                return Ok(());
            }
        };
        self.push(plain);
        self.at += 2;
        Ok(())
    }

    /// `$NAME`, `${NAME}`, `${NAME-default}`, `${NAME[*]}`
    fn variable(&mut self) -> Result<(), LexError> {
        let start = self.at;
        self.at += 1;
        let braced = self.peek() == Some(b'{');
        if braced {
            self.at += 1;
        }
        let pseudo = self.peek() == Some(b'.');
        let name_start = self.at;
        if pseudo {
            self.at += 1;
        }
        match self.peek() {
            Some(c) if c.is_ascii_alphabetic() || c == b'_' => {}
            _ => {
                let message =
                    format!("forbidden first char in environment variable name at position {}:", self.at + 1);
                return Err(LexError::new(self.at.min(self.line.len().saturating_sub(1)), message));
            }
        }
        while self.peek().is_some_and(|c| c.is_ascii_alphanumeric() || c == b'_') {
            self.at += 1;
        }
        let name = String::from_utf8_lossy(&self.line[name_start..self.at]).into_owned();
        let mut value = (self.lookup)(&name);
        let mut list = false;
        if braced {
            if self.line[self.at..].starts_with(b"[*]") {
                list = true;
                self.at += 3;
            } else if self.peek() == Some(b'-') {
                self.at += 1;
                let default_start = self.at;
                while self.peek().is_some_and(|c| c != b'}') {
                    self.at += 1;
                }
                let default = String::from_utf8_lossy(&self.line[default_start..self.at]).into_owned();
                value = value.or(Some(default));
            }
            if self.peek() != Some(b'}') {
                let message =
                    format!("unmatched brace in environment variable name at position {}:", start + 2);
                return Err(LexError::new(start + 1, message));
            }
            self.at += 1;
        }
        let value = value.unwrap_or_default();
        if list { self.push_list(&value) } else { self.push_text(&value) }
    }

    fn push_text(&mut self, text: &str) -> Result<(), LexError> {
        for byte in text.bytes() {
            self.push(byte);
        }
        Ok(())
    }

    /// Blanks in the value end a word and begin the next.
    fn push_list(&mut self, value: &str) -> Result<(), LexError> {
        for (i, part) in value.split_ascii_whitespace().enumerate() {
            if i > 0 {
                self.close()?;
            }
            self.push_text(part)?;
        }
        Ok(())
    }
}

fn column(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "ONE" => Some("one".into()),
            "LIST" => Some("p q  r".into()),
            "EMPTY" => Some(String::new()),
            ".LINE" => Some("7".into()),
            _ => None,
        }
    }

    /// Words joined by `|`, or the error's message.
    fn cut(line: &str) -> String {
        match words(line.as_bytes(), &lookup) {
            Ok(words) => words.iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join("|"),
            Err(error) => format!("!{}@{}", error.message, error.position),
        }
    }

    fn check(line: &str, expected: &str) {
        assert_eq!(cut(line), expected, "{line}");
    }

    #[test]
    fn plain_words_and_comments() {
        check("", "");
        check("   # nothing", "");
        check("\tbind  :80 # 网", "bind|:80");
        check("a#b c", "a");
        check("bind :80\r", "bind|:80");
    }

    #[test]
    fn quotes() {
        check("\"a b\"c'd e'", "a bcd e");
        check("x \"\" y", "x||y");
        check("'a \\n $ONE \"'", "a \\n $ONE \"");
        check(" x \"y", "!unmatched quote at position 4:@3");
    }

    #[test]
    fn escapes() {
        check("a\\ b\\#c \\x41\\t\\\\ \\.\\d", "a b#c|A\t\\|\\.\\d");
        check("\"\\$ONE \\\"\" \\$x", "$ONE \"|\\$x");
        check("a \\", "a|\\");
        check("\"\\x4\"", "!truncated or invalid hexadecimal sequence at position 2:@1");
        check("\\xff", "!a word with bytes that are not UTF-8 is not supported by weir yet:@0");
    }

    #[test]
    fn environment() {
        check("\"$ONE ${ONE}-${NO-x y}-${NO}\" $ONE", "one one-x y-|$ONE");
        check("a \"x${LIST[*]}y\" b", "a|xp|q|ry|b");
        check("\"${EMPTY-x}\" \"${.LINE}\"", "|7");
        check("\"${ONE\"", "!unmatched brace in environment variable name at position 3:@2");
        check("\"$9\"", "!forbidden first char in environment variable name at position 3:@2");
    }

    #[test]
    fn limits() {
        assert!(cut(&"w ".repeat(64)).starts_with('w'));
        assert!(cut(&"w ".repeat(65)).starts_with("!too many words"));
    }

    #[test]
    fn spans_point_into_the_source() {
        let words = words(b"  bind \"$ONE\":80", &lookup).unwrap();
        assert_eq!((words[1].start, words[1].end), (7, 16));
        assert_eq!(words[1].text, "one:80");
    }
}
