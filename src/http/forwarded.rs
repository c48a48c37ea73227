//! What the proxy tells the server about the client: `forwardfor`, `originalto`, `forwarded`, the unique id, the server's
//! name; and what the log keeps of the heads.

use crate::config::model::{Cidr, ForwardFor, Forwarded, ForwardedNode, Proxy, RestrictNames};
use crate::live::rules::Editable;
use crate::message::Head;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Adds the headers of `unique-id-header`, `option forwarded`, `forwardfor` and `originalto` to the request, and that it came
/// early, once its backend is known and its rules have run. A `listen` is both.
pub fn announce(front: &Proxy, back: &Proxy, ctx: &mut dyn Editable) {
    if let Some(name) = &front.unique_id_header
        && front.unique_id_format.is_some()
        && let Some(id) = ctx.unique_id()
        && let Some(head) = ctx.request_mut()
    {
        head.add(name.as_bytes(), &id);
    }
    if let Some(forwarded) = back.forwarded.as_ref().or(front.forwarded.as_ref()) {
        let value = rfc7239(forwarded, ctx);
        if let Some(head) = ctx.request_mut() {
            head.add(b"forwarded", &value);
        }
    }
    let (src, dst) = (ctx.conn().src, ctx.conn().dst);
    let early = ctx.conn().tls.as_ref().is_some_and(|tls| tls.is_early());
    let Some(head) = ctx.request_mut() else { return };
    // RFC 8470 5.1
    if early && !head.has(b"early-data") {
        head.add(b"early-data", b"1");
    }
    address_header(front.forward_for.as_ref(), back.forward_for.as_ref(), src, head);
    address_header(front.original_to.as_ref(), back.original_to.as_ref(), dst, head);
}

/// The backend's header name wins; `if-none` counts only where nobody asks for it always; either exception spares the header.
fn address_header(
    front: Option<&ForwardFor>,
    back: Option<&ForwardFor>,
    address: Option<SocketAddr>,
    head: &mut Head,
) {
    let (Some(option), Some(address)) = (back.or(front), address) else { return };
    let address = address.ip();
    let sides = [front, back].into_iter().flatten();
    if sides.clone().all(|o| o.if_none) && head.has(option.header.to_ascii_lowercase().as_bytes()) {
        return;
    }
    if sides.clone().filter_map(|o| o.except.as_ref()).any(|except| contains(except, address)) {
        return;
    }
    let address = unmapped(address);
    head.add(option.header.as_bytes(), address.to_string().as_bytes());
}

/// An IPv4 address that came in on an IPv6 socket is shown as IPv4.
fn unmapped(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

fn contains(net: &Cidr, address: IpAddr) -> bool {
    let mask = |bits: u128, width: u32| {
        let kept = u32::from(net.prefix).min(width);
        bits.checked_shr(width - kept).unwrap_or(0)
    };
    match (net.addr, address.to_canonical()) {
        (IpAddr::V4(net), IpAddr::V4(address)) => {
            mask(u128::from(u32::from(net)), 32) == mask(u128::from(u32::from(address)), 32)
        }
        (IpAddr::V6(net), IpAddr::V6(address)) => {
            mask(u128::from(net), 128) == mask(u128::from(address), 128)
        }
        _ => false,
    }
}

/// RFC 7239: `proto=http;host="…";by=…;for=…`, each where asked for.
fn rfc7239(option: &Forwarded, ctx: &mut dyn Editable) -> Vec<u8> {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    if option.proto {
        parts.push(b"proto=http".to_vec());
    }
    if let Some(node) = &option.host {
        let host = match node {
            ForwardedNode::Default => {
                ctx.request().and_then(|r| r.first(b"host")).unwrap_or_default().to_vec()
            }
            ForwardedNode::Expr(expr) => {
                expr.eval(ctx).map(crate::expr::Value::into_text).unwrap_or_default()
            }
        };
        parts.push([b"host=\"", host.as_slice(), b"\""].concat());
    }
    let ends = [
        ("by=", &option.by, &option.by_port, ctx.conn().dst),
        ("for=", &option.for_, &option.for_port, ctx.conn().src),
    ];
    for (name, address, port, end) in ends {
        if let Some(address) = address {
            let address = node_name(address, end, ctx);
            let port = port.as_ref().and_then(|port| node_port(port, end, ctx));
            parts.push([name.as_bytes(), &node(&address, port.as_deref())].concat());
        }
    }
    parts.join(&b';')
}

fn node_name(node: &ForwardedNode, end: Option<SocketAddr>, ctx: &mut dyn Editable) -> Vec<u8> {
    let text = match node {
        ForwardedNode::Default => end.map(|e| unmapped(e.ip()).to_string().into_bytes()),
        ForwardedNode::Expr(expr) => expr.eval(ctx).map(crate::expr::Value::into_text),
    };
    text.filter(|t| !t.is_empty()).unwrap_or_else(|| b"unknown".to_vec())
}

fn node_port(node: &ForwardedNode, end: Option<SocketAddr>, ctx: &mut dyn Editable) -> Option<Vec<u8>> {
    match node {
        ForwardedNode::Default => end.map(|e| e.port().to_string().into_bytes()),
        ForwardedNode::Expr(expr) => expr.eval(ctx).map(crate::expr::Value::into_text),
    }
}

/// Quoted where a colon stands in it: an IPv6 address in brackets, a port.
fn node(name: &[u8], port: Option<&[u8]>) -> Vec<u8> {
    let v6 = std::str::from_utf8(name).is_ok_and(|n| n.parse::<std::net::Ipv6Addr>().is_ok());
    let mut text = if v6 { [b"[", name, b"]"].concat() } else { name.to_vec() };
    if let Some(port) = port {
        text.push(b':');
        text.extend_from_slice(port);
    }
    if v6 || port.is_some() { [b"\"", text.as_slice(), b"\""].concat() } else { text }
}

/// `http-send-name-header`: set on each attempt, as the server becomes known.
pub fn name_server(back: &Proxy, server: &str, head: &mut Head) {
    if let Some(name) = back.back.as_ref().and_then(|b| b.http_send_name_header.as_ref()) {
        head.set(name.as_bytes(), server.as_bytes());
    }
}

/// `option http-restrict-req-hdr-names`: names other than letters, digits and hyphens. False: the request must be
/// answered 403 (`PR`).
#[must_use]
pub fn restrict_names(policy: RestrictNames, head: &mut Head) -> bool {
    let odd = |name: &[u8]| !name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-');
    match policy {
        RestrictNames::Preserve => true,
        RestrictNames::Delete => {
            head.remove_where(|name, _| odd(name));
            true
        }
        RestrictNames::Reject => !head.fields().any(|(name, _)| odd(name)),
    }
}

/// `capture request header` lines of the frontend into the log record. To be called before any rule runs.
pub fn capture_request_headers(front: &Proxy, ctx: &mut dyn Editable) {
    if let Some(found) = captured(&front.request_captures, ctx.request()) {
        ctx.log_mut().request_captures = found;
    }
    if !front.response_captures.is_empty() {
        // An answer made here has empty response captures, as HAProxy logs it.
        ctx.log_mut().response_captures.resize(front.response_captures.len(), None);
    }
}

/// `capture response header` lines. To be called before any rule runs.
pub fn capture_response_headers(front: &Proxy, ctx: &mut dyn Editable) {
    if let Some(found) = captured(&front.response_captures, ctx.response()) {
        ctx.log_mut().response_captures = found;
    }
}

/// The last line of each name, cut. Slots without a name belong to `capture` rules. `None`: no slot at all.
fn captured(slots: &[(Arc<str>, usize)], head: Option<&Head>) -> Option<Vec<Option<Vec<u8>>>> {
    if slots.is_empty() {
        return None;
    }
    std::hint::cold_path();
    let last = |name: &str| head.and_then(|h| h.values(name.as_bytes()).next_back()).map(<[u8]>::to_vec);
    let one = |(name, len): &(Arc<str>, usize)| {
        let mut value = if name.is_empty() { None } else { last(name) };
        if let Some(value) = &mut value {
            value.truncate(*len);
        }
        value
    };
    Some(slots.iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(header: &str, if_none: bool, except: Option<(&str, u8)>) -> ForwardFor {
        let except = except.map(|(net, prefix)| Cidr { addr: net.parse().unwrap(), prefix });
        ForwardFor { header: header.into(), if_none, except }
    }

    /// The request has `x-f: 1`. Expected fields are haproxy 2.6's.
    fn check(front: Option<&ForwardFor>, back: Option<&ForwardFor>, expected: &[(&str, &str)]) {
        let mut head = Head::new();
        head.add(b"X-F", b"1");
        address_header(front, back, Some("127.0.0.1:5".parse().unwrap()), &mut head);
        let text = |b: &[u8]| String::from_utf8(b.to_vec()).unwrap();
        let got: Vec<_> = head.fields().map(|(n, v)| (text(n), text(v))).collect();
        let expected: Vec<_> = expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn forwardfor() {
        let added = &[("x-f", "1"), ("x-b", "127.0.0.1")];
        check(Some(&option("X-B", false, None)), None, added);
        check(Some(&option("X-F", true, None)), None, &[("x-f", "1")]);
        check(Some(&option("X-F", true, None)), Some(&option("X-B", false, None)), added);
        check(Some(&option("X-B", false, Some(("127.0.0.0", 8)))), None, &[("x-f", "1")]);
        check(Some(&option("X-B", false, Some(("10.0.0.0", 8)))), None, added);
        check(None, None, &[("x-f", "1")]);
    }

    #[test]
    fn nodes() {
        assert_eq!(node(b"127.0.0.1", None), b"127.0.0.1");
        assert_eq!(node(b"127.0.0.1", Some(b"80")), b"\"127.0.0.1:80\"");
        assert_eq!(node(b"::1", None), b"\"[::1]\"");
        assert_eq!(node(b"unknown", None), b"unknown");
    }

    #[test]
    fn names() {
        let mut head = Head::new();
        for name in ["host", "x_a", "x.b", "x-c"] {
            head.add(name.as_bytes(), b"1");
        }
        assert!(!restrict_names(RestrictNames::Reject, &mut head));
        assert!(restrict_names(RestrictNames::Preserve, &mut head));
        assert!(restrict_names(RestrictNames::Delete, &mut head));
        assert_eq!(head.fields().map(|(n, _)| n).collect::<Vec<_>>(), [&b"host"[..], b"x-c"]);
        assert!(restrict_names(RestrictNames::Reject, &mut head));
    }
}
