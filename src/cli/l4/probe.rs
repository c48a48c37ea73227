//! What the kernel says of routes and neighbours, by iproute2's words.

use std::net::IpAddr;
use std::process::Command;

/// How packets get to an address.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    pub device: String,
    /// The router, unless the address is in one of this host's networks.
    pub via: Option<IpAddr>,
    /// It is an address of this host.
    pub local: bool,
}

/// # Errors
/// Why there is none.
pub fn route(to: IpAddr) -> Result<Route, String> {
    let text = ip(&["-o", "route", "get", &to.to_string()])?;
    parse(&text).ok_or_else(|| format!("no route: {}", text.trim()))
}

fn parse(text: &str) -> Option<Route> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let after = |name: &str| words.iter().position(|w| *w == name).and_then(|at| words.get(at + 1));
    Some(Route {
        device: (*after("dev")?).to_owned(),
        via: after("via").and_then(|v| if *v == "inet6" { None } else { v.parse().ok() }),
        local: words.first() == Some(&"local"),
    })
}

/// The neighbour's MAC address and its state, after it was asked for.
#[must_use]
pub fn neighbour(address: IpAddr, device: &str) -> Option<(String, String)> {
    // A datagram to a port nobody listens on makes the kernel ask.
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    if let Ok(socket) = std::net::UdpSocket::bind(any) {
        let _ = socket.send_to(b"", (address, 9));
    }
    let mut last = None;
    for _ in 0..40 {
        let text = ip(&["neigh", "show", &address.to_string(), "dev", device]).unwrap_or_default();
        let words: Vec<&str> = text.split_whitespace().collect();
        let mac = words.iter().position(|w| *w == "lladdr").and_then(|at| words.get(at + 1));
        let state = words.last().copied().unwrap_or("unknown");
        last = Some((mac.map_or_else(String::new, |m| (*m).to_owned()), state.to_owned()));
        if mac.is_some() || state == "FAILED" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    last
}

/// Runs `ip`.
///
/// # Errors
/// What it said.
pub fn ip(words: &[&str]) -> Result<String, String> {
    run("ip", words)
}

/// The same for `tc`.
///
/// # Errors
/// As there.
pub fn tc(words: &[&str]) -> Result<String, String> {
    run("tc", words)
}

fn run(program: &str, words: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(words)
        .output()
        .map_err(|e| format!("cannot run '{program}' (iproute2): {e}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{program} {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, device: &str, via: Option<&str>, local: bool) {
        let route = Route { device: device.to_owned(), via: via.map(|v| v.parse().unwrap()), local };
        assert_eq!(parse(text), Some(route), "{text}");
    }

    #[test]
    fn routes() {
        check("10.72.0.11 dev eth0 src 10.72.0.1 uid 0 \\    cache \n", "eth0", None, false);
        check("10.9.0.1 via 10.72.0.254 dev eth1 src 10.72.0.1 uid 0", "eth1", Some("10.72.0.254"), false);
        check("local 127.0.0.1 dev lo src 127.0.0.1 uid 0", "lo", None, true);
        assert_eq!(parse("unreachable 10.0.0.1"), None);
    }
}
