//! Addresses as `bind`, `server`, `log`, `source` and `stats socket` write them (HAProxy manual 11, "Address formats").

use nom::branch::alt;
use nom::bytes::complete::tag;
use nom::character::complete::u16 as port_number;
use nom::combinator::{all_consuming, opt};
use nom::sequence::preceded;
use nom::{IResult, Parser};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::RawFd;
use std::path::PathBuf;

/// One address word, taken apart but not resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spec {
    Inet { family: Family, host: Host, port: Port, udp: bool },
    Unix { path: PathBuf, datagram: bool },
    Abstract(Vec<u8>),
    Fd(RawFd),
    SockPair(RawFd),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    #[default]
    Any,
    V4,
    V6,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// `*` or nothing
    Wildcard,
    Ip(IpAddr),
    Name(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    None,
    One(u16),
    Range(u16, u16),
    /// `+80`, `-80`: added to the port the client came to.
    Offset(i32),
}

/// Takes one address apart.
///
/// # Errors
/// What is wrong with it, as HAProxy words it (the text itself is not repeated).
pub fn parse(text: &str) -> Result<Spec, String> {
    if text.is_empty() {
        return Err("empty address".into());
    }
    let Ok((rest, scheme)) = scheme(text) else { return Err(format!("invalid address '{text}'")) };
    let (family, udp) = match scheme {
        Scheme::Plain if rest.starts_with('/') => {
            return Ok(Spec::Unix { path: rest.into(), datagram: false });
        }
        Scheme::Plain => (Family::Any, false),
        Scheme::Inet { family, udp } => (family, udp),
        Scheme::Unix { datagram } => {
            if rest.is_empty() || rest.len() > 107 {
                return Err(format!("socket path '{rest}' too long (max 107) or empty"));
            }
            return Ok(Spec::Unix { path: rest.into(), datagram });
        }
        Scheme::Abstract => return Ok(Spec::Abstract(rest.as_bytes().to_vec())),
        Scheme::Fd => {
            return rest
                .parse()
                .map(Spec::Fd)
                .map_err(|_| format!("file descriptor '{rest}' is not a valid integer in '{text}'"));
        }
        Scheme::SockPair => {
            return rest
                .parse()
                .map(Spec::SockPair)
                .map_err(|_| format!("socketpair FD '{rest}' is not a valid integer in '{text}'"));
        }
        Scheme::Unbuilt(name) => {
            return Err(format!("'{name}' addresses are not supported by weir yet in '{text}'"));
        }
    };
    inet(rest, family, udp)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Plain,
    Inet { family: Family, udp: bool },
    Unix { datagram: bool },
    Abstract,
    Fd,
    SockPair,
    Unbuilt(&'static str),
}

/// The `family@` before an address. `stream+`/`dgram+` may stand before it.
fn scheme(text: &str) -> IResult<&str, Scheme> {
    let inet = |family, udp| Scheme::Inet { family, udp };
    let kind = opt(alt((tag("stream+"), tag("dgram+"))));
    let inets = alt((
        tag("ipv4@").map(move |_| inet(Family::V4, false)),
        tag("ipv6@").map(move |_| inet(Family::V6, false)),
        tag("tcp4@").map(move |_| inet(Family::V4, false)),
        tag("tcp6@").map(move |_| inet(Family::V6, false)),
        tag("tcp@").map(move |_| inet(Family::Any, false)),
        tag("udp4@").map(move |_| inet(Family::V4, true)),
        tag("udp6@").map(move |_| inet(Family::V6, true)),
        tag("udp@").map(move |_| inet(Family::Any, true)),
    ));
    let others = alt((
        tag("unix@").map(|_| Scheme::Unix { datagram: false }),
        tag("uxst@").map(|_| Scheme::Unix { datagram: false }),
        tag("uxdg@").map(|_| Scheme::Unix { datagram: true }),
        tag("abns@").map(|_| Scheme::Abstract),
        tag("fd@").map(|_| Scheme::Fd),
        tag("sockpair@").map(|_| Scheme::SockPair),
    ));
    let unbuilt = alt((
        tag("quic4@").map(|_| Scheme::Unbuilt("quic4@")),
        tag("quic6@").map(|_| Scheme::Unbuilt("quic6@")),
        tag("mptcp@").map(|_| Scheme::Unbuilt("mptcp@")),
        tag("mptcp4@").map(|_| Scheme::Unbuilt("mptcp4@")),
        tag("mptcp6@").map(|_| Scheme::Unbuilt("mptcp6@")),
        tag("rhttp@").map(|_| Scheme::Unbuilt("rhttp@")),
        tag("rev@").map(|_| Scheme::Unbuilt("rev@")),
        tag("abnsz@").map(|_| Scheme::Unbuilt("abnsz@")),
        tag("ring@").map(|_| Scheme::Unbuilt("ring@")),
    ));
    let (rest, (kind, scheme)) = (kind, opt(alt((inets, others, unbuilt)))).parse(text)?;
    let mut scheme = scheme.unwrap_or(Scheme::Plain);
    if kind == Some("dgram+") {
        scheme = match scheme {
            Scheme::Unix { .. } => Scheme::Unix { datagram: true },
            Scheme::Inet { family, .. } => Scheme::Inet { family, udp: true },
            Scheme::Plain => Scheme::Inet { family: Family::Any, udp: true },
            other => other,
        };
    }
    Ok((rest, scheme))
}

/// `host[:port]`: the port stands after the last colon, unless the text ends in a bracket.
fn inet(text: &str, family: Family, udp: bool) -> Result<Spec, String> {
    let (host, ports) = match text.rfind([':', ']']) {
        Some(at) if text.as_bytes().get(at) == Some(&b':') => (&text[..at], &text[at + 1..]),
        _ => (text, ""),
    };
    let host = self::host(host, family)?;
    let Ok((_, port)) = all_consuming(ports_of).parse(ports) else {
        return Err(format!("invalid port '{ports}' specified in '{text}'"));
    };
    if let Port::Range(low, high) = port
        && low > high
    {
        return Err(format!("invalid port range '{ports}' in '{text}'"));
    }
    Ok(Spec::Inet { family, host, port, udp })
}

fn ports_of(text: &str) -> IResult<&str, Port> {
    let offset = alt((
        preceded(tag("+"), port_number).map(|n| Port::Offset(i32::from(n))),
        preceded(tag("-"), port_number).map(|n| Port::Offset(-i32::from(n))),
    ));
    let number = (port_number, opt(preceded(tag("-"), port_number))).map(|(low, high)| match high {
        Some(high) => Port::Range(low, high),
        None => Port::One(low),
    });
    alt((offset, number, nom::combinator::eof.map(|_| Port::None))).parse(text)
}

fn host(text: &str, family: Family) -> Result<Host, String> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if bare.is_empty() || bare == "*" {
        return Ok(Host::Wildcard);
    }
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return match (family, ip) {
            (Family::V4, IpAddr::V6(_)) => Err(format!("'{text}' is not an IPv4 address")),
            (Family::V6, IpAddr::V4(_)) => Err(format!("'{text}' is not an IPv6 address")),
            _ => Ok(Host::Ip(ip)),
        };
    }
    // Whatever else it is, the resolver may know it (or `init-addr none` may not need it to).
    Ok(Host::Name(bare.to_owned()))
}

/// Asks the system's resolver (IPv4 first, as HAProxy prefers unless told otherwise).
#[must_use]
pub fn resolve(name: &str, family: Family) -> Option<IpAddr> {
    let found: Vec<IpAddr> = (name, 0).to_socket_addrs().ok()?.map(|a| a.ip()).collect();
    let wanted = |ip: &&IpAddr| match family {
        Family::Any => true,
        Family::V4 => ip.is_ipv4(),
        Family::V6 => ip.is_ipv6(),
    };
    let first_v4 = found.iter().filter(wanted).find(|ip| ip.is_ipv4());
    first_v4.or(found.iter().find(wanted)).copied()
}

/// The address with names resolved; a wildcard is the family's "any" address.
///
/// # Errors
/// The name has no address.
pub fn ip_of(host: &Host, family: Family) -> Result<IpAddr, String> {
    match (host, family) {
        (Host::Ip(ip), _) => Ok(*ip),
        (Host::Wildcard, Family::V6) => Ok(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        (Host::Wildcard, _) => Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        (Host::Name(name), family) => {
            resolve(name, family).ok_or_else(|| format!("could not resolve address '{name}'"))
        }
    }
}

/// A single IP address with an optional port (0 without one): `log`, `source`, `usesrc`.
///
/// # Errors
/// Not an internet address, a range, or a name without an address.
pub fn socket(text: &str) -> Result<SocketAddr, String> {
    match parse(text)? {
        Spec::Inet { family, host, port, .. } => {
            let ip = ip_of(&host, family)?;
            match port {
                Port::None => Ok(SocketAddr::new(ip, 0)),
                Port::One(port) => Ok(SocketAddr::new(ip, port)),
                Port::Range(..) | Port::Offset(_) => {
                    Err(format!("port ranges and offsets are not allowed in '{text}'"))
                }
            }
        }
        _ => Err(format!("'{text}' is not an IP address")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Host {
        Host::Ip(text.parse().unwrap())
    }

    fn check(text: &str, host: Host, port: Port) {
        let family = if text.starts_with("ipv6@") {
            Family::V6
        } else if text.starts_with("ipv4@") {
            Family::V4
        } else {
            Family::Any
        };
        let udp = text.starts_with("udp@");
        assert_eq!(parse(text), Ok(Spec::Inet { family, host, port, udp }), "{text}");
    }

    #[test]
    fn internet_addresses() {
        check(":80", Host::Wildcard, Port::One(80));
        check("*:80", Host::Wildcard, Port::One(80));
        check("1.2.3.4:80-90", ip("1.2.3.4"), Port::Range(80, 90));
        check("[::1]:80", ip("::1"), Port::One(80));
        check(":::80", ip("::"), Port::One(80));
        check("[::]", ip("::"), Port::None);
        check("1.2.3.4", ip("1.2.3.4"), Port::None);
        check("1.2.3.4:+80", ip("1.2.3.4"), Port::Offset(80));
        check("1.2.3.4:-80", ip("1.2.3.4"), Port::Offset(-80));
        check("ipv6@:80", Host::Wildcard, Port::One(80));
        check("ipv4@1.2.3.4:80", ip("1.2.3.4"), Port::One(80));
        check("udp@1.2.3.4:514", ip("1.2.3.4"), Port::One(514));
        check("my-host.example:80", Host::Name("my-host.example".into()), Port::One(80));
    }

    #[test]
    fn other_families() {
        assert_eq!(parse("/run/x"), Ok(Spec::Unix { path: "/run/x".into(), datagram: false }));
        assert_eq!(parse("unix@x"), Ok(Spec::Unix { path: "x".into(), datagram: false }));
        assert_eq!(parse("abns@x"), Ok(Spec::Abstract(b"x".to_vec())));
        assert_eq!(parse("fd@3"), Ok(Spec::Fd(3)));
        assert_eq!(parse("sockpair@4"), Ok(Spec::SockPair(4)));
    }

    #[test]
    fn refused() {
        for text in ["", ":99999", ":8x", "1.2.3.4:90-80", "fd@x", "quic4@:443", "ipv4@::1:80", "unix@"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
