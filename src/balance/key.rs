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

/// `balance hdr(NAME) use_domain_only`: the label before the last dot.
#[must_use]
pub fn domain(host: &[u8]) -> &[u8] {
    let Some(dot) = host.iter().rposition(|c| *c == b'.') else { return host };
    let name = host.get(..dot).unwrap_or(host);
    match name.iter().rposition(|c| *c == b'.') {
        Some(before) => name.get(before + 1..).unwrap_or(name),
        None => name,
    }
}
