//! Do two configurations say the same of a part?
//!
//! Models are compared as they print: every field counts without a list that could miss one. Where a line stands does not
//! matter. What holds things that do not print (keys, certificates) is never the same.

use super::model::{Address, Bind, Check, Proxy};
use std::fmt::Debug;
use std::sync::Arc;

/// Both have a backend, and it means the same.
#[must_use]
pub fn same_backend(a: &Proxy, b: &Proxy) -> bool {
    let (Some(one), Some(other)) = (&a.back, &b.back) else { return false };
    let secret = |check: &Option<Check>| check.as_ref().is_some_and(|c| c.tls.is_some());
    let opaque = |p: &Proxy| {
        let mut servers = p.back.iter().flat_map(|b| &b.servers);
        servers.any(|s| s.tls.is_some() || secret(&s.check))
    };
    !opaque(a)
        && !opaque(b)
        && a.mode == b.mode
        && same(one, other)
        && same(&a.options, &b.options)
        && same(&a.timeouts, &b.timeouts)
}

/// What a line's socket is bound to: one made for a line can serve every other with the same text. All else can be set on
/// a socket that listens.
#[must_use]
pub fn socket(bind: &Bind) -> String {
    // Only the wildcard has two families.
    let wild = matches!(bind.address, Address::Inet(at) if at.is_ipv6() && at.ip().is_unspecified());
    print(&Bind {
        v6only: wild && bind.v6only,
        v4v6: wild && bind.v4v6,
        interface: bind.interface.clone(),
        ..Bind::bare(bind.address.clone())
    })
}

/// They print alike.
#[must_use]
pub fn same<T: Debug>(a: &T, b: &T) -> bool {
    print(a) == print(b)
}

/// Whole lists that print alike.
#[must_use]
pub fn same_lists<T: Debug>(a: &[Arc<T>], b: &[Arc<T>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}

const PLACE: &str = "Place { file: ";

/// As it prints, without the places of lines.
fn print(what: &impl Debug) -> String {
    let text = format!("{what:?}");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find(PLACE) {
        let (before, place) = rest.split_at(at);
        out.push_str(before);
        rest = place.split_once('}').map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::super::environment::Environment;
    use super::super::{Source, load};
    use super::*;

    fn check(a: &str, b: &str, expected: bool) {
        let proxy = |text: &str| {
            let text = format!("defaults\n timeout connect 1s\n timeout server 1s\n{text}");
            let source = Source { name: "t.cfg".into(), bytes: text.into_bytes() };
            let config = load(&[source], &Environment::default()).unwrap().config;
            Arc::clone(&config.proxies[0])
        };
        assert_eq!(same_backend(&proxy(a), &proxy(b)), expected, "{a} | {b}");
    }

    #[test]
    fn backends() {
        let one = "backend b\n server s 127.0.0.1:1 check inter 3s\n";
        check(one, one, true);
        check(one, "# moved\n\n\nbackend b\n # a comment\n server s 127.0.0.1:1 check inter 3000\n", true);
        for other in [
            "backend b\n server s 127.0.0.1:2 check inter 3s\n",
            "backend b\n server s 127.0.0.1:1 check inter 4s\n",
            "backend b\n server s 127.0.0.1:1 check inter 3s weight 3\n",
            "backend b\n server s 127.0.0.1:1 check inter 3s\n server t 127.0.0.1:1\n",
            "backend b\n balance source\n server s 127.0.0.1:1 check inter 3s\n",
            "backend b\n option redispatch\n server s 127.0.0.1:1 check inter 3s\n",
            "backend b\n timeout check 7s\n server s 127.0.0.1:1 check inter 3s\n",
            "backend b\n option httpchk GET /\n server s 127.0.0.1:1 check inter 3s\n",
        ] {
            check(one, other, false);
        }
    }
}
