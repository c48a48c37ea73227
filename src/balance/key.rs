//! What of a request is hashed: the part of the URI, the parameter, the domain of a header.

/// `balance uri [len N] [depth N] [whole] [path-only]`. 0 means no limit.
#[must_use]
pub fn uri(target: &[u8], len: usize, depth: usize, path_only: bool, whole: bool) -> &[u8] {
    let target = if path_only { path(target) } else { target };
    let target = if len > 0 { target.get(..len).unwrap_or(target) } else { target };
    let mut slashes = 0;
    let end = target.iter().position(|c| match c {
        b'/' => {
            slashes += 1;
            depth > 0 && slashes > depth
        }
        b'?' => !whole,
        _ => false,
    });
    end.and_then(|e| target.get(..e)).unwrap_or(target)
}

/// The path (and query) of a request target, which may be absolute.
fn path(target: &[u8]) -> &[u8] {
    if target.first() == Some(&b'/') {
        return target;
    }
    let Some(scheme) = target.windows(3).position(|w| w == b"://") else { return &[] };
    let authority = target.get(scheme + 3..).unwrap_or_default();
    authority.iter().position(|c| *c == b'/').and_then(|s| authority.get(s..)).unwrap_or_default()
}

/// `balance url_param NAME`: the parameter's value in the query of a request target.
#[must_use]
pub fn url_param<'a>(target: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let query = target.iter().position(|c| *c == b'?')?;
    form_param(target.get(query + 1..)?, name)
}

/// The parameter's value in a form body (`check_post`) or query string.
#[must_use]
pub fn form_param<'a>(query: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    query.split(|c| *c == b'&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
}

/// `balance hdr(NAME)`: the first value of the header's first line; an empty one is none.
#[must_use]
pub fn header_value(line: &[u8]) -> Option<&[u8]> {
    let value = line.split(|c| *c == b',').next()?.trim_ascii();
    (!value.is_empty()).then_some(value)
}

/// `balance rdp-cookie[(NAME)]`: the cookie in the first packet of a Remote Desktop connection (an X.224 connection
/// request in a TPKT frame: 11 bytes, then `Cookie: NAME=value` and a line end). Names are compared without case.
#[must_use]
pub fn rdp_cookie<'a>(packet: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let line = packet.get(11..)?;
    let line = line.get(..line.iter().position(|c| *c == b'\r')?)?;
    let (label, cookie) = line.split_at_checked(7)?;
    let equals = cookie.iter().position(|c| *c == b'=')?;
    let found = cookie.get(..equals)?.trim_ascii_start();
    let matches = label.eq_ignore_ascii_case(b"Cookie:") && found.eq_ignore_ascii_case(name);
    if matches { cookie.get(equals + 1..) } else { None }
}

/// `balance hdr(NAME) use_domain_only`: the label before the last dot.
#[must_use]
pub fn domain(host: &[u8]) -> &[u8] {
    let Some(dot) = host.iter().rposition(|c| *c == b'.').filter(|d| *d > 0) else { return host };
    // The byte before the last dot belongs to the label whatever it is.
    let start = host.get(..dot - 1).and_then(|h| h.iter().rposition(|c| *c == b'.')).map_or(0, |d| d + 1);
    host.get(start..dot).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(got: &[u8], expected: &str) {
        assert_eq!(std::str::from_utf8(got).unwrap(), expected);
    }

    /// What Debian's haproxy hashed, found by comparing the servers chosen.
    #[test]
    fn parts_of_the_uri() {
        check(uri(b"/a/b/c/d?x=1", 0, 0, false, false), "/a/b/c/d");
        check(uri(b"/a/b/c/d?x=1", 6, 0, false, false), "/a/b/c");
        check(uri(b"/a/b/c/d?x=1", 0, 1, false, false), "/a");
        check(uri(b"/a/b/c/d?x=1", 0, 2, false, false), "/a/b");
        check(uri(b"//x//y", 0, 1, false, false), "/");
        check(uri(b"//x//y", 0, 2, false, false), "//x");
        check(uri(b"/a/?b/c", 0, 2, false, false), "/a/");
        check(uri(b"/a/?b/c", 8, 2, false, true), "/a/?b");
        check(uri(b"/p?id=9;y=2", 8, 2, false, true), "/p?id=9;");
        check(uri(b"*", 0, 0, false, false), "*");
        check(uri(b"*", 0, 0, true, false), "");
        check(uri(b"http://a.b/c/d?e", 0, 0, true, false), "/c/d");
    }

    #[test]
    fn parameters() {
        let param = |target: &'static str| url_param(target.as_bytes(), b"id");
        check(param("/p?id=5").unwrap(), "5");
        check(param("/p?x=1&id=77").unwrap(), "77");
        check(param("/p?id=9;y=2").unwrap(), "9;y=2");
        check(param("/p?id=").unwrap(), "");
        check(param("/p?idd=3&id=4").unwrap(), "4");
        check(param("/p?id=4&id=5").unwrap(), "4");
        for absent in ["/", "/p?x=1;id=78", "/p?xid=4", "/p"] {
            assert_eq!(param(absent), None, "{absent}");
        }
        check(form_param(b"a=1&id=5", b"id").unwrap(), "5");
    }

    #[test]
    fn headers() {
        assert_eq!(header_value(b"a, b"), Some(b"a".as_slice()));
        assert_eq!(header_value(b" a "), Some(b"a".as_slice()));
        assert_eq!(header_value(b""), None);
    }

    #[test]
    fn rdp_cookies() {
        let packet = b"\x03\0\0\x2a\x25\xe0\0\0\0\0\0Cookie: mstshash=user\r\n\x01\0\x08\0\0\0\0\0";
        check(rdp_cookie(packet, b"mstshash").unwrap(), "user");
        assert_eq!(rdp_cookie(packet, b"msts"), None);
        assert_eq!(rdp_cookie(&packet[..20], b"mstshash"), None);
    }

    #[test]
    fn domains() {
        for (host, expected) in [
            ("www.example.com", "example"),
            ("www.example.com:8080", "example"),
            ("example", "example"),
            ("example.com.", "com"),
            ("www.example.co.uk", "co"),
            (".com", ".com"),
            ("..", "."),
            ("a..b", "a."),
            ("1.2.3.4", "3"),
        ] {
            check(domain(host.as_bytes()), expected);
        }
    }
}
