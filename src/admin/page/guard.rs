//! Which POSTs are obeyed. A browser says where a request comes from (`Sec-Fetch-Site`, `Origin`, `Referer`): from another
//! site it is refused, from our own page it must carry the page's token. Scripts say nothing of the kind, and are trusted
//! with their password alone, as HAProxy trusts them.

use crate::expr::credentials;
use crate::message::Head;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::sync::OnceLock;

/// Why a POST is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another site sent the browser here.
    Foreign,
    /// The form is not one of this process for this user.
    Stale,
}

/// The token for forms shown to whoever sent `head`, on the page of proxy `id`.
#[must_use]
pub fn token(head: &Head, id: u32) -> String {
    static SECRET: OnceLock<Option<[u8; 32]>> = OnceLock::new();
    let secret = SECRET.get_or_init(|| {
        let mut bytes = [0; 32];
        let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
        filled.is_ok_and(|n| n == bytes.len()).then_some(bytes)
    });
    // Without a secret no token is right: pages only show, scripts still act.
    let Some(secret) = secret else { return String::new() };
    let mut hash = Sha256::new();
    hash.update(secret);
    hash.update(id.to_le_bytes());
    hash.update(head.first(b"authorization").unwrap_or_default());
    hash.finalize().iter().take(16).fold(String::with_capacity(32), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// May this POST act? `given` is the form's token.
///
/// # Errors
/// See [`Refusal`].
pub fn check(head: &Head, id: u32, given: Option<&str>) -> Result<(), Refusal> {
    let site = head.first(b"sec-fetch-site");
    if site.is_some_and(|site| !matches!(site, b"same-origin" | b"none")) {
        return Err(Refusal::Foreign);
    }
    let from = head.first(b"origin").or_else(|| head.first(b"referer"));
    if from.is_some_and(|from| !is_own(from, head.first(b"host").unwrap_or_default())) {
        return Err(Refusal::Foreign);
    }
    let is_browser = site.is_some() || from.is_some();
    let token = token(head, id);
    let right = given.is_some_and(|given| credentials::equal(given.as_bytes(), token.as_bytes()));
    let right = right && !token.is_empty();
    if is_browser && !right { Err(Refusal::Stale) } else { Ok(()) }
}

/// Has `origin` (a URL) the authority that the request was sent to?
fn is_own(origin: &[u8], host: &[u8]) -> bool {
    let (port, rest): (&[u8], _) = if let Some(rest) = origin.strip_prefix(b"https://") {
        (b":443", rest)
    } else if let Some(rest) = origin.strip_prefix(b"http://") {
        (b":80", rest)
    } else {
        return false;
    };
    let authority = rest.split(|b| matches!(b, b'/' | b'?' | b'#')).next().unwrap_or_default();
    let bare = |name: &[u8]| name.strip_suffix(port).unwrap_or(name).to_ascii_lowercase();
    !authority.is_empty() && bare(authority) == bare(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&str, &str)]) -> Head {
        let mut head = Head::new();
        head.add(b"host", b"lb.example:8404");
        fields.iter().for_each(|(name, value)| head.add(name.as_bytes(), value.as_bytes()));
        head
    }

    fn verdict(fields: &[(&str, &str)], with_token: bool) -> Result<(), Refusal> {
        let head = head(fields);
        let token = token(&head, 1);
        check(&head, 1, with_token.then_some(token.as_str()))
    }

    #[test]
    fn browsers_prove_where_they_come_from() {
        let own = ("origin", "http://LB.example:8404");
        assert_eq!(verdict(&[], false), Ok(()));
        assert_eq!(verdict(&[own], true), Ok(()));
        assert_eq!(verdict(&[own], false), Err(Refusal::Stale));
        assert_eq!(verdict(&[own, ("sec-fetch-site", "same-origin")], true), Ok(()));
        assert_eq!(verdict(&[("sec-fetch-site", "same-origin")], false), Err(Refusal::Stale));
        assert_eq!(verdict(&[("referer", "http://lb.example:8404/stats")], true), Ok(()));
        assert_eq!(verdict(&[("referer", "http://lb.example:8404/stats")], false), Err(Refusal::Stale));
        for foreign in [
            ("origin", "http://evil.example"),
            ("origin", "null"),
            ("origin", "http://lb.example"),
            ("origin", "http://lb.example:8404.evil.example"),
            ("referer", "http://evil.example/http://lb.example:8404"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert_eq!(verdict(&[foreign], true), Err(Refusal::Foreign), "{foreign:?}");
        }
    }

    #[test]
    fn default_ports_need_not_be_said() {
        assert!(is_own(b"https://a.example", b"a.example:443"));
        assert!(is_own(b"http://a.example:80/x", b"a.example"));
        assert!(!is_own(b"http://a.example", b"a.example:443"));
    }

    #[test]
    fn tokens_differ_by_user_and_page() {
        let mut other = head(&[]);
        other.add(b"authorization", b"Basic eA==");
        assert_ne!(token(&head(&[]), 1), token(&other, 1));
        assert_ne!(token(&head(&[]), 1), token(&head(&[]), 2));
    }
}
