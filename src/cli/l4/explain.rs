//! `weir l4 explain`: what the process says of a packet, and the next hop to the server.

use super::{options, probe};
use crate::top;
use std::net::SocketAddr;
use std::process::ExitCode;

pub fn run(words: &[String]) -> Result<ExitCode, String> {
    let (mut source, mut destination, mut protocol) = (None, None, "tcp");
    for (name, value) in options(words, &["--src", "--dst", "--proto"], &[])? {
        let address = || {
            let parsed = value.parse::<SocketAddr>();
            parsed.map_err(|_| format!("'{name}' : '{value}' is not <ip>:<port> (IPv6: [<ip>]:<port>)"))
        };
        match (name, value) {
            ("--src", _) => source = Some(address()?),
            ("--dst", _) => destination = Some(address()?),
            (_, "tcp" | "udp") => protocol = value,
            _ => return Err(format!("'--proto' : '{value}' is neither tcp nor udp")),
        }
    }
    let (Some(source), Some(destination)) = (source, destination) else {
        return Err("'explain' needs --src <ip>:<port> and --dst <ip>:<port>".to_owned());
    };
    if source.is_ipv4() != destination.is_ipv4() {
        return Err("'--src' and '--dst' are of different families".to_owned());
    }
    let answer = top::ask(&format!("show l4 explain {protocol} {source} {destination}"))?;
    if !answer.starts_with("packet ") {
        return Err(answer.trim().to_owned());
    }
    print!("{}", answer.trim_end_matches('\n'));
    println!();
    let server = answer.lines().find_map(|line| line.strip_prefix("server ")).and_then(|line| {
        // `name address: why`
        line.split_whitespace().find_map(|word| word.strip_suffix(':')?.parse::<SocketAddr>().ok())
    });
    if let Some(server) = server {
        println!("{:<10} {}", "next hop", next_hop(server));
    }
    Ok(ExitCode::SUCCESS)
}

fn next_hop(server: SocketAddr) -> String {
    let route = match probe::route(server.ip()) {
        Ok(route) => route,
        Err(problem) => return problem,
    };
    if route.local {
        return "this host".to_owned();
    }
    let hop = route.via.unwrap_or(server.ip());
    let through = route.via.map_or(String::new(), |via| format!(" via {via}"));
    match probe::neighbour(hop, &route.device) {
        Some((mac, state)) if !mac.is_empty() => format!("dev {}{through}, {mac} ({state})", route.device),
        _ => format!("dev {}{through}, which does not answer", route.device),
    }
}
