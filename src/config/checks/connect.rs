//! `connect`

use super::reader::Reader;
use crate::config::address;
use crate::config::model::check::{Action, Connect, Flavour, Port, Speaks};
use std::sync::Arc;

const OPTIONS: &[&str] = &[
    "comment",
    "port",
    "addr",
    "send-proxy",
    "ssl",
    "sni",
    "alpn",
    "via-socks4",
    "linger",
    "default",
    "proto",
];

pub fn parse(reader: &mut Reader<'_>, comment: &mut Option<Arc<str>>, flavour: Flavour) -> Option<Action> {
    let mut connect = Connect::default();
    while !reader.at_end() {
        let index = reader.at;
        reader.at += 1;
        match reader.line.word(index) {
            "comment" => *comment = Some(reader.word("a string")?.into()),
            "port" => connect.port = Some(port(reader)?),
            "addr" => address(reader, &mut connect)?,
            "send-proxy" => connect.send_proxy = true,
            "via-socks4" => connect.via_socks4 = true,
            "ssl" => connect.ssl = true,
            "sni" => connect.sni = Some(reader.word("a string")?),
            "alpn" => {
                let index = reader.at;
                let names = reader.word("a comma-delimited list of protocols")?;
                let Some(names) = alpn(&names) else {
                    return reader.fail(index, "'alpn' : a protocol's name has 1 to 255 characters.");
                };
                connect.alpn = names;
            }
            "linger" => connect.linger = true,
            "default" => connect.default = true,
            "proto" => connect.speaks = Some(protocol(reader, flavour)?),
            _ => return reader.unknown(index, OPTIONS),
        }
    }
    Some(Action::Connect(Box::new(connect)))
}

fn port(reader: &mut Reader<'_>) -> Option<Port> {
    let text = reader.peek().to_owned();
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Port::Computed(reader.expr("a port number or a sample expression")?));
    }
    match text.parse() {
        Ok(port) if port > 0 => {
            reader.at += 1;
            Some(Port::Fixed(port))
        }
        _ => {
            let message = format!(
                "expects a valid TCP port (from range 1 to 65535) or a sample expression, got {text}."
            );
            reader.fail(reader.at, &message)
        }
    }
}

fn address(reader: &mut Reader<'_>, connect: &mut Connect) -> Option<()> {
    let index = reader.at;
    let text = reader.word("<ipv4|ipv6>")?;
    match address::socket(&text) {
        Ok(address) => {
            connect.addr = Some(address.ip());
            if address.port() > 0 && connect.port.is_none() {
                connect.port = Some(Port::OfAddress(address.port()));
            }
            Some(())
        }
        Err(message) => reader.fail(index, &format!("'addr' : {message}")),
    }
}

/// `h2,http/1.1` as its names.
pub fn alpn(text: &str) -> Option<Vec<Vec<u8>>> {
    let names = text.split(',').map(str::trim);
    names.map(|n| (1..256).contains(&n.len()).then(|| n.as_bytes().to_vec())).collect()
}

fn protocol(reader: &mut Reader<'_>, flavour: Flavour) -> Option<Speaks> {
    let index = reader.at;
    let name = reader.word("a MUX protocol")?;
    match (name.as_str(), flavour) {
        ("h1", Flavour::Http) => Some(Speaks::Http1),
        ("h2", Flavour::Http) => Some(Speaks::Http2),
        ("none", Flavour::Tcp) => Some(Speaks::Bytes),
        ("fcgi", Flavour::Http) => {
            reader.parser.unsupported(reader.line, index, "proto fcgi");
            None
        }
        ("h1" | "h2" | "fcgi" | "none", _) => {
            let check = reader.line.word(0).to_owned();
            reader.fail(index, &format!("'proto' : invalid MUX protocol '{name}' for {check}"))
        }
        _ => reader.fail(index, &format!("'proto' : unknown MUX protocol '{name}'.")),
    }
}
