//! `source`, as a keyword and as an option of servers: the address connections to servers come from.

use crate::config::address::{self, Port, Spec};
use crate::config::keyword::{BACK, Keyword};
use crate::config::model::Source;
use crate::config::model::backend::UseSrc;
use crate::config::parser::Parser;
use crate::config::raw::Line;
use std::net::SocketAddr;

pub const TABLE: &[Keyword] = &[Keyword::new(
    "source",
    BACK,
    "<addr>[:<port>[-<port>]] [usesrc { <addr2>[:<port2>] | client | clientip | hdr_ip(<hdr>[,<occ>]) }] [interface <name>]",
    "The address connections to servers come from. In 'mode l4': the addresses of 'forward fullnat', as \
     10.0.0.5-10.0.0.8; several lines add up.",
    |p, l| {
        if super::l4::is_l4(p) {
            return super::l4::source(p, l);
        }
        let Some((source, next)) = parse(p, l, 0) else { return };
        if source.port_range.is_some() {
            let message = format!("'source {0}' : port range not permitted here in '{0}'", l.word(1));
            return p.alert(l, 1, message);
        }
        if p.at_most(l, next)
            && let Some(back) = p.draft().and_then(|d| d.proxy.back.as_mut())
        {
            back.source = Some(source);
        }
    },
)];

/// Parses from the word `source` at index `at`; answers the value and the index after it.
pub fn parse(parser: &mut Parser, line: &Line, at: usize) -> Option<(Source, usize)> {
    let text = line.word(at + 1);
    if text.is_empty() {
        let message = "'source' expects <addr>[:<port>[-<port>]], and optionally 'usesrc' <addr>, and 'interface' <name> as argument.";
        parser.alert(line, at, message);
        return None;
    }
    let mut source = match address(text) {
        Ok(source) => source,
        Err(message) => {
            parser.alert(line, at + 1, format!("'source {text}' : {message}"));
            return None;
        }
    };
    let mut i = at + 2;
    loop {
        match line.word(i) {
            "usesrc" => source.use_src = use_src(parser, line, i + 1)?,
            "interface" => source.interface = Some(parser.text(line, i + 1, "an interface name")?),
            _ => return Some((source, i)),
        }
        i += 2;
    }
}

fn address(text: &str) -> Result<Source, String> {
    let Spec::Inet { family, host, port, .. } = address::parse(text)? else {
        return Err("only IP addresses are supported".into());
    };
    let ip = address::ip_of(&host, family)?;
    let (port, port_range) = match port {
        Port::None => (0, None),
        Port::One(port) => (port, None),
        Port::Range(low, high) => (low, Some((low, high))),
        Port::Offset(_) => return Err("port offsets are not allowed".into()),
    };
    Ok(Source { addr: Some(SocketAddr::new(ip, port)), port_range, interface: None, use_src: UseSrc::None })
}

fn use_src(parser: &mut Parser, line: &Line, index: usize) -> Option<UseSrc> {
    let text = line.word(index);
    match text {
        "" => {
            parser.alert(
                line,
                index,
                "'usesrc' expects <addr>[:<port>], 'client', 'clientip', or 'hdr_ip(name,#)' as argument.",
            );
            None
        }
        "client" => Some(UseSrc::Client),
        "clientip" => Some(UseSrc::ClientIp),
        _ => {
            if let Some(inside) = text.strip_prefix("hdr_ip(").and_then(|t| t.strip_suffix(')')) {
                let (name, occurrence) = inside.split_once(',').unwrap_or((inside, "-1"));
                let Ok(occurrence) = occurrence.parse() else {
                    parser.alert(line, index, format!("usesrc : bad occurrence in '{text}'"));
                    return None;
                };
                return Some(UseSrc::Header(name.to_ascii_lowercase().into(), occurrence));
            }
            match address::socket(text) {
                Ok(address) => Some(UseSrc::Addr(address)),
                Err(message) => {
                    parser.alert(line, index, format!("'usesrc' : {message}"));
                    None
                }
            }
        }
    }
}
