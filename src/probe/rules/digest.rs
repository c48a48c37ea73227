//! `http-check expect digest`: the MD5 of a response's whole body, as genhash(1) of keepalived prints it.

use super::scene::Scene;
use crate::config::model::check::{Action, Pattern, RuleSet};
use md5::{Digest, Md5};
use std::fmt::Write as _;

/// The largest response whose body is digested. Other expectations look at `tune.bufsize` bytes.
const RESPONSE_MAX: usize = 4 << 20;

/// How many bytes of a response are kept for the steps of `rules`.
#[must_use]
pub fn most_kept(rules: &RuleSet, bufsize: usize) -> usize {
    let digests = rules.steps.iter().any(|step| match &step.action {
        Action::Expect(expect) => matches!(expect.pattern, Pattern::Digest(_)),
        _ => false,
    });
    if digests { RESPONSE_MAX } else { bufsize }
}

#[must_use]
pub fn of(body: &[u8]) -> [u8; 16] {
    Md5::digest(body).into()
}

#[must_use]
pub fn text(digest: &[u8; 16]) -> String {
    digest.iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// A body that grows by a segment at a time is not read from its start each time.
#[must_use]
pub fn is_worth_a_look(scene: &Scene<'_>) -> bool {
    // What ends with an empty line may be the last chunk.
    scene.closed || scene.received.len() >= scene.enough || scene.received.ends_with(b"\r\n\r\n")
}

/// The response is not all there: when to look again.
pub fn wait_for_enough(scene: &mut Scene<'_>) {
    let received = scene.received.len();
    let head = memchr::memmem::find(&scene.received, b"\r\n\r\n").map(|end| end + 4);
    let length = scene.message.as_ref().and_then(|m| {
        let value =
            m.head.first(b"content-length").filter(|_| m.head.first(b"transfer-encoding").is_none())?;
        std::str::from_utf8(value).ok()?.parse::<usize>().ok()
    });
    scene.enough = match (head, length) {
        (Some(head), Some(length)) => head.saturating_add(length),
        _ => received * 2,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests() {
        assert_eq!(text(&of(b"")), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(text(&of(b"abc")), "900150983cd24fb0d6963f7d28e17f72");
    }
}
