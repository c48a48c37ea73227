//! The line protocol, without IO: bytes in, [`Request`]s out.
//!
//! A command ends with a newline or an unescaped `;`. One whose last word is `<<`, or `<<` and a pattern of up to seven
//! characters, is followed by a payload: lines up to an empty one, or up to one that is the pattern.

/// What the client asks for next.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    Command {
        words: Vec<String>,
        payload: Option<String>,
    },
    /// A line of a payload was taken; more must follow.
    More,
    /// The command does not fit into the buffer. Nothing that follows can be trusted.
    TooLong,
}

const PAYLOAD: &[u8] = b"<<";
const LONGEST_PATTERN: usize = 7;

/// HAProxy's limit; what follows is not looked at.
const MAX_WORDS: usize = 64;

#[derive(Debug)]
pub struct Lines {
    input: Vec<u8>,
    /// Bytes of `input` already handed out, and those looked at in vain for an end of line.
    taken: usize,
    searched: usize,
    limit: usize,
    gathering: Option<Gathering>,
}

#[derive(Debug)]
struct Gathering {
    command: Vec<u8>,
    pattern: Vec<u8>,
    payload: Vec<u8>,
}

impl Lines {
    /// `limit`: the longest command with its payload (`tune.bufsize`).
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { input: Vec::new(), taken: 0, searched: 0, limit, gathering: None }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.input.drain(..self.taken);
        self.searched -= self.taken;
        self.taken = 0;
        self.input.extend_from_slice(bytes);
    }

    /// Nothing of a further command has come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.taken == self.input.len() && self.gathering.is_none()
    }

    /// Forgets what has come and was not read.
    pub fn clear(&mut self) {
        self.input.clear();
        (self.taken, self.searched) = (0, 0);
        self.gathering = None;
    }

    pub fn next_request(&mut self) -> Option<Request> {
        let Some(end) = self.end_of_line() else {
            let held = self.gathering.as_ref().map_or(0, |g| g.command.len() + g.payload.len());
            return (self.input.len() - self.taken + held >= self.limit).then_some(Request::TooLong);
        };
        let mut line = self.input.get(self.taken..end).unwrap_or_default();
        self.taken = end + 1;
        self.searched = self.taken;
        line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() >= self.limit {
            return Some(Request::TooLong);
        }
        let line = line.to_vec();
        match self.gathering.take() {
            Some(gathering) => Some(self.gather(gathering, &line)),
            None => Some(self.begin(line)),
        }
    }

    /// Where the next newline is, or the next `;` outside of a payload that no backslash stands before.
    fn end_of_line(&mut self) -> Option<usize> {
        let mut at = self.searched;
        while let Some(byte) = self.input.get(at) {
            match byte {
                b'\n' => return Some(at),
                b';' if self.gathering.is_none() => return Some(at),
                b'\\' if self.gathering.is_none() => {
                    // The character after it must have come to be looked over.
                    let Some(next) = self.input.get(at + 1) else { break };
                    at += if *next == b'\n' { 1 } else { 2 };
                }
                _ => at += 1,
            }
        }
        self.searched = at.min(self.input.len());
        None
    }

    fn begin(&mut self, mut line: Vec<u8>) -> Request {
        // As in C, text ends at a zero.
        if let Some(end) = line.iter().position(|b| *b == 0) {
            line.truncate(end);
        }
        let start = line.iter().rposition(|b| matches!(b, b' ' | b'\t')).map_or(0, |at| at + 1);
        let last = line.get(start..).unwrap_or_default();
        match last.strip_prefix(PAYLOAD) {
            Some(pattern) if pattern.len() <= LONGEST_PATTERN => {
                let pattern = pattern.to_vec();
                line.truncate(start);
                self.gathering = Some(Gathering { command: line, pattern, payload: Vec::new() });
                Request::More
            }
            _ => Request::Command { words: words(&line), payload: None },
        }
    }

    fn gather(&mut self, mut gathering: Gathering, line: &[u8]) -> Request {
        if line == gathering.pattern {
            let payload = gathering.payload.strip_suffix(b"\n").unwrap_or(&gathering.payload);
            return Request::Command {
                words: words(&gathering.command),
                payload: Some(String::from_utf8_lossy(payload).into_owned()),
            };
        }
        gathering.payload.extend_from_slice(line);
        gathering.payload.push(b'\n');
        if gathering.command.len() + gathering.payload.len() >= self.limit {
            return Request::TooLong;
        }
        self.gathering = Some(gathering);
        Request::More
    }
}

/// Splits at blanks; a backslash keeps the next character in its word and goes away.
fn words(line: &[u8]) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut bytes = line.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' | b'\t' => words.extend(word.take()),
            b'\\' => {
                let word = word.get_or_insert_default();
                word.extend(bytes.next());
            }
            _ => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    words.truncate(MAX_WORDS);
    words.iter().map(|w| String::from_utf8_lossy(w).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: &[&str]) {
        for step in [1, 3, input.len().max(1)] {
            let mut lines = Lines::new(64);
            let mut got = Vec::new();
            for piece in input.as_bytes().chunks(step) {
                lines.push(piece);
                while let Some(request) = lines.next_request() {
                    match request {
                        Request::Command { words, payload } => {
                            let payload = payload.map_or_else(String::new, |p| format!("<{p}>"));
                            got.push(format!("{}{payload}", words.join("|")));
                        }
                        Request::More => {}
                        Request::TooLong => {
                            got.push("too long".into());
                            lines = Lines::new(64);
                        }
                    }
                }
            }
            if !lines.is_empty() {
                got.push("...".into());
            }
            assert_eq!(got, expected, "{input:?} by {step}");
        }
    }

    #[test]
    fn commands() {
        check("show info\n", &["show|info"]);
        check("show info\r\n \t show  stat\n", &["show|info", "show|stat"]);
        check("a;b;;c\n", &["a", "b", "", "c"]);
        check("a\\;b c\\ d \\\\e\n", &["a;b|c d|\\e"]);
        check("\n;\n", &["", "", ""]);
        check("show", &["..."]);
        check("sh\0ow x\n", &["sh"]);
        check("a\\\nb\n", &["a", "b"]);
    }

    #[test]
    fn payloads() {
        check("add map x <<\nk v;w\n\nnext\n", &["add|map|x<k v;w>", "next"]);
        check("set x <<EOF\na\n\nb\nEOF\n", &["set|x<a\n\nb>"]);
        check("set x <<\n\n", &["set|x<>"]);
        check("set x << EOF\n", &["set|x|<<|EOF"]);
        check("set x <<12345678\n", &["set|x|<<12345678"]);
        check("set x <<\na\n", &["..."]);
        check("a; set x <<\na;b\r\n\n", &["a", "set|x<a;b>"]);
    }

    #[test]
    fn limits() {
        check(&format!("{}\n", "x".repeat(63)), &[&"x".repeat(63)]);
        let mut lines = Lines::new(64);
        lines.push(&[b'x'; 64]);
        assert_eq!(lines.next_request(), Some(Request::TooLong));
        let mut lines = Lines::new(64);
        lines.push(format!("set x <<\n{}\n{}\n", "y".repeat(40), "z".repeat(40)).as_bytes());
        assert_eq!(lines.next_request(), Some(Request::More));
        assert_eq!(lines.next_request(), Some(Request::More));
        assert_eq!(lines.next_request(), Some(Request::TooLong));
        let many = "w ".repeat(30) + "\n";
        check(&many, &[&vec!["w"; 30].join("|")]);
    }
}
