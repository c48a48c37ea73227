//! What a request says about who sends it (RFC 7617), and how secrets are compared.

use super::convert::encoding::base64_decode;
use super::facts::Facts;

/// Scheme and parameters of the Authorization header; of Proxy-Authorization for a request to a proxy, under
/// `option http-use-proxy-header`.
pub(super) fn scheme(facts: &dyn Facts) -> Option<(&[u8], &[u8])> {
    let head = facts.request()?;
    let as_proxy = facts.frontend().is_some_and(|f| f.options.http_use_proxy_header)
        && !matches!(head.target().first(), Some(b'/' | b'*'));
    let value = head.first(if as_proxy { b"proxy-authorization" } else { b"authorization" })?;
    let space = memchr::memchr(b' ', value)?;
    Some((value.get(..space)?, value.get(space + 1..)?.trim_ascii()))
}

/// User name and password of Basic credentials.
#[must_use]
pub fn basic(facts: &dyn Facts) -> Option<(Vec<u8>, Vec<u8>)> {
    let (kind, text) = scheme(facts)?;
    if !kind.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let decoded = base64_decode(text, false)?;
    let colon = memchr::memchr(b':', &decoded)?;
    Some((decoded.get(..colon)?.to_vec(), decoded.get(colon + 1..)?.to_vec()))
}

/// Time depends on the lengths alone.
#[must_use]
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (x, y)| diff | (x ^ y)) == 0
}
