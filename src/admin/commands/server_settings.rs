//! `set server`: where it is, and how its checks reach it.

use super::cookies;
use super::target::Target;
use crate::admin::answer::{Answer, severity};
use crate::admin::command::Call;
use crate::config::model::Endpoint;
use crate::live::checks::{CheckState, Settings};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// `addr <ip> [port <port>]`
pub fn address(call: &mut Call<'_>, target: &Target) -> Answer {
    let (address, port) = (call.word(4), (call.word(5) == "port").then(|| call.word(6)));
    if address.is_empty() {
        return Answer::error("set server <b>/<s> addr requires an address and optionally a port.");
    }
    let said = change_address(target, address, port);
    let shared = target.backend.shares_cookie(&target.server);
    cookies::warn(call.live(), &target.proxy.conf.name, shared);
    Answer::message(severity::WARNING, format!("{said} by 'stats socket command'"))
}

fn change_address(target: &Target, address: &str, port: Option<&str>) -> String {
    let Some(ip) = ip(address) else { return format!("Invalid addr '{address}'") };
    let reached = target.server.reached();
    let Endpoint::Inet(before) = reached.endpoint else {
        return "Update for the current server address family is only supported through configuration file"
            .into();
    };
    let mut said = if before.ip() == ip {
        "no need to change the addr".to_owned()
    } else {
        format!("IP changed from '{}' to '{address}'", before.ip())
    };
    let mut after = (SocketAddr::new(ip, before.port()), reached.port_offset);
    if let Some(port) = port {
        said.push_str(", ");
        match change_port(target, port, (before.port(), reached.port_offset)) {
            Ok(None) => said.push_str("no need to change the port"),
            Ok(Some((port, offset, words))) => {
                said.push_str(&words);
                after = (SocketAddr::new(ip, port), offset);
            }
            Err(words) => said.push_str(&words),
        }
    }
    if after != (before, reached.port_offset) {
        target.backend.move_server(target.at.1.get(), after.0, after.1);
    }
    said
}

type NewPort = (u16, Option<i32>, String);

/// A port, or `+N`/`-N` from the port the client came to.
fn change_port(target: &Target, word: &str, before: (u16, Option<i32>)) -> Result<Option<NewPort>, String> {
    let no_number = || format!("problem converting port '{word}' to an int");
    let shown =
        |(port, offset): (u16, Option<i32>)| offset.map_or_else(|| port.to_string(), |o| format!("{o:+}"));
    let after = if word.starts_with(['+', '-']) {
        let offset: i32 = word.parse().map_err(|_| no_number())?;
        let has_port = target.server.conf.check.as_ref().is_some_and(|c| c.port.is_some())
            || target.server.check.settings().port.is_some();
        if before.1.is_none() && !has_port {
            return Err(
                "can't change <port> to port map because it is incompatible with current health check \
                        port configuration (use 'port' statement from the 'server' directive."
                    .into(),
            );
        }
        (before.0, Some(offset))
    } else {
        (word.parse::<u16>().map_err(|_| no_number())?, None)
    };
    if shown(after) == shown(before) {
        return Ok(None);
    }
    let words = format!("port changed from '{}' to '{}'", shown(before), shown(after));
    Ok(Some((after.0, after.1, words)))
}

/// `ssl on|off`
pub fn ssl(call: &mut Call<'_>, target: &Target) -> Answer {
    if target.server.conf.tls.is_none() {
        return Answer::error(
            "'set server <srv> ssl' cannot be set.  default-server should define ssl settings",
        );
    }
    let on = match call.word(4) {
        "on" => true,
        "off" => false,
        _ => return Answer::error("'set server <srv> ssl' expects 'on' or 'off'."),
    };
    target.backend.secure_server(target.at.1.get(), on);
    Answer::message(severity::NOTICE, "server ssl setting updated.")
}

/// `check-addr <ip> [port <port>]`
pub fn check_address(call: &mut Call<'_>, target: &Target) -> Answer {
    if !call.has(4) {
        return Answer::error("set server <b>/<s> check-addr requires an address and optionally a port.");
    }
    let port = (call.word(5) == "port").then(|| call.word(6));
    change_check(&target.server.check, HEALTH_OFF, Some(call.word(4)), port)
}

/// `check-port <port>`
pub fn check_port(call: &mut Call<'_>, target: &Target) -> Answer {
    if !call.has(4) {
        return Answer::error("set server <b>/<s> check-port requires a port.");
    }
    change_check(&target.server.check, HEALTH_OFF, None, Some(call.word(4)))
}

/// `agent-addr <ip> [port <port>]`
pub fn agent_address(call: &mut Call<'_>, target: &Target) -> Answer {
    if !call.has(4) {
        return Answer::error("set server <b>/<s> agent-addr requires an address and optionally a port.");
    }
    let port = (call.word(5) == "port").then(|| call.word(6));
    change_check(&target.server.agent, AGENT_OFF, Some(call.word(4)), port)
}

/// `agent-port <port>`
pub fn agent_port(call: &mut Call<'_>, target: &Target) -> Answer {
    if !call.has(4) {
        return Answer::error("set server <b>/<s> agent-port requires a port.");
    }
    change_check(&target.server.agent, AGENT_OFF, None, Some(call.word(4)))
}

/// `agent-send <text>`
pub fn agent_send(call: &mut Call<'_>, target: &Target) -> Answer {
    let agent = &target.server.agent;
    if !agent.is_enabled() {
        return Answer::error("agent checks are not enabled on this server.");
    }
    let text = call.word(4).to_owned();
    agent.change_settings(|s| s.send = Some(text));
    Answer::Done
}

const HEALTH_OFF: &str = "health checks are not enabled on this server";
const AGENT_OFF: &str = "agent checks are not enabled on this server";

fn change_check(check: &CheckState, off: &str, address: Option<&str>, port: Option<&str>) -> Answer {
    let mistake = |text: &str| Answer::unended(severity::WARNING, text);
    if !check.is_enabled() {
        return mistake(off);
    }
    let mut change = Settings::default();
    if let Some(word) = address {
        let Some(ip) = ip(word) else { return mistake(&format!("invalid addr '{word}'")) };
        change.addr = Some(ip);
    }
    if let Some(word) = port {
        let Ok(port) = word.parse::<i64>() else { return mistake("provided port is not an integer") };
        let Ok(port) = u16::try_from(port) else { return mistake("provided port is invalid") };
        change.port = Some(port);
    }
    check.change_settings(|s| {
        s.addr = change.addr.or(s.addr);
        s.port = change.port.or(s.port);
    });
    Answer::Done
}

/// An address in figures; `*` is any.
fn ip(word: &str) -> Option<IpAddr> {
    if word == "*" { Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) } else { word.parse().ok() }
}
