//! The client's side of an SMTP dialogue, without IO: replies in, what to say next out.

use super::letter;
use crate::live::Letter;
use std::collections::VecDeque;

#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    Say(String),
    /// The reply is not whole yet.
    More,
    /// The letter is taken, and goodbye said.
    Done,
    /// The mailer's line that refuses.
    Refused(String),
}

pub struct Dialogue {
    says: VecDeque<String>,
}

impl Dialogue {
    #[must_use]
    pub fn new(letter: &Letter) -> Self {
        let mut says = VecDeque::from([
            format!("HELO {}\r\n", letter.hostname),
            format!("MAIL FROM:<{}>\r\n", letter.from),
        ]);
        let each = letter.to.split(',').map(str::trim).filter(|to| !to.is_empty());
        says.extend(each.map(|to| format!("RCPT TO:<{to}>\r\n")));
        says.push_back("DATA\r\n".to_owned());
        says.push_back(letter::write(letter));
        says.push_back("QUIT\r\n".to_owned());
        Self { says }
    }

    /// What was said last is the letter itself: the mailer may have it from now on.
    #[must_use]
    pub fn has_told(&self) -> bool {
        self.says.len() <= 1
    }

    /// Takes a whole reply out of `bytes`, if there is one.
    pub fn hear(&mut self, bytes: &mut Vec<u8>) -> Step {
        let Some(line) = last_line(bytes) else { return Step::More };
        bytes.clear();
        // The reply to QUIT does not matter any more.
        match self.says.pop_front() {
            None => Step::Done,
            Some(text) if line.starts_with(['2', '3']) => Step::Say(text),
            Some(_) => Step::Refused(line),
        }
    }
}

/// The line that ends a reply: three digits and no `-` (RFC 5321, 4.2.1).
fn last_line(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    let line = text.rsplit('\n').next()?.trim_end();
    (line.as_bytes().get(3) != Some(&b'-')).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn dialogues() {
        let letter = Letter {
            from: "a@x".into(),
            to: "b@x, c@x".into(),
            hostname: "h".into(),
            text: "news".into(),
            date: SystemTime::UNIX_EPOCH,
        };
        let check = |replies: &[&str], expected: &str| {
            let mut dialogue = Dialogue::new(&letter);
            let steps: Vec<String> = replies
                .iter()
                .map(|reply| match dialogue.hear(&mut reply.as_bytes().to_vec()) {
                    Step::Say(text) => text.lines().next().unwrap_or_default().to_owned(),
                    Step::More => "...".to_owned(),
                    Step::Done => "done".to_owned(),
                    Step::Refused(line) => format!("refused: {line}"),
                })
                .collect();
            assert_eq!(steps.join(" | "), expected);
        };
        check(
            &[
                "220 mx\r\n",
                "250-a\r\n250 b\r\n",
                "250 ok\r\n",
                "250 ok\r\n",
                "250 ok\r\n",
                "354 go\r\n",
                "250 ok\r\n",
                "221\r\n",
            ],
            "HELO h | MAIL FROM:<a@x> | RCPT TO:<b@x> | RCPT TO:<c@x> | DATA | From: a@x | QUIT | done",
        );
        check(&["220-mx\r\n", "22"], "... | ...");
        check(&["554 go away\r\n"], "refused: 554 go away");
        check(&["220 mx\r\n", "250 ok\r\n", "550 no\r\n"], "HELO h | MAIL FROM:<a@x> | refused: 550 no");
    }
}
