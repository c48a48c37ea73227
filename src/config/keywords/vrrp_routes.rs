//! `route` and `rule` of `vrrp` sections, in the words of ip-route(8) and ip-rule(8).

use super::vrrp::change;
use crate::config::model::vrrp::{Prefix, VirtualRoute, VirtualRule};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use std::net::IpAddr;

/// The kernel's main table.
const MAIN: u32 = 254;

pub fn route(parser: &mut Parser, line: &Line) {
    let to = match (line.word(1), prefix(line.word(1))) {
        ("default", _) => None,
        (_, Some(to)) => Some(to),
        (other, None) => {
            let message = format!("'route' expects a network or 'default' (got '{other}').");
            return parser.alert(line, 1, message);
        }
    };
    let mut route = VirtualRoute {
        text: text(line),
        to,
        via: None,
        device: None,
        source: None,
        metric: None,
        table: MAIN,
    };
    for at in (2..line.words.len()).step_by(2) {
        let done = match line.word(at) {
            "via" => put(&mut route.via, address(parser, line, at)),
            "src" => put(&mut route.source, address(parser, line, at)),
            "dev" => put(&mut route.device, word(parser, line, at)),
            "metric" => put(&mut route.metric, number(parser, line, at)),
            "table" => number(parser, line, at).map(|table| route.table = table).is_some(),
            _ => return unexpected(parser, line, at),
        };
        if !done {
            return;
        }
    }
    if to.is_none() && route.via.is_none() && route.device.is_none() {
        return parser.alert(line, 1, "'route' : the default route wants 'via' or 'dev'.");
    }
    change(parser, |r| r.routes.push((line.clone(), route)));
}

pub fn rule(parser: &mut Parser, line: &Line) {
    let mut rule = VirtualRule {
        text: text(line),
        from: None,
        to: None,
        interface: None,
        mark: None,
        table: 0,
        priority: None,
    };
    let mut table = None;
    for at in (1..line.words.len()).step_by(2) {
        let done = match line.word(at) {
            "from" => put(&mut rule.from, network(parser, line, at)),
            "to" => put(&mut rule.to, network(parser, line, at)),
            "iif" => put(&mut rule.interface, word(parser, line, at)),
            "fwmark" => put(&mut rule.mark, number(parser, line, at)),
            "table" => put(&mut table, number(parser, line, at)),
            "priority" => put(&mut rule.priority, number(parser, line, at)),
            _ => return unexpected(parser, line, at),
        };
        if !done {
            return;
        }
    }
    let Some(table) = table.filter(|table| *table > 0) else {
        return parser.alert(line, 0, "'rule' has no 'table' above 0.");
    };
    if rule.from.is_none() && rule.to.is_none() && rule.interface.is_none() && rule.mark.is_none() {
        return parser.alert(
            line,
            0,
            "'rule' expects 'from', 'to', 'iif' or 'fwmark': it would be for all packets.",
        );
    }
    change(parser, |r| r.rules.push((line.clone(), VirtualRule { table, ..rule })));
}

fn text(line: &Line) -> String {
    line.words.iter().skip(1).map(|w| w.text.as_str()).collect::<Vec<_>>().join(" ")
}

/// Whether there is a value.
fn put<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    *place = value;
    place.is_some()
}

fn prefix(text: &str) -> Option<Prefix> {
    let (address, length) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
    let address: IpAddr = address.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let length = length.map_or(Some(longest), |l| l.parse().ok().filter(|l| *l <= longest))?;
    Some(Prefix { address, length })
}

fn unexpected(parser: &mut Parser, line: &Line, at: usize) {
    let message = format!("'{}' : unexpected argument '{}'.", line.word(0), line.word(at));
    parser.alert(line, at, message);
}

/// The value after the word at `at`, read by `read`.
fn value<T>(
    parser: &mut Parser,
    line: &Line,
    at: usize,
    what: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let read = read(line.word(at + 1));
    if read.is_none() {
        let message =
            format!("'{}' : '{}' expects {what} (got '{}').", line.word(0), line.word(at), line.word(at + 1));
        parser.alert(line, at, message);
    }
    read
}

fn address(parser: &mut Parser, line: &Line, at: usize) -> Option<IpAddr> {
    value(parser, line, at, "an IP address", |text| text.parse().ok())
}

fn network(parser: &mut Parser, line: &Line, at: usize) -> Option<Prefix> {
    value(parser, line, at, "a network", prefix)
}

fn number(parser: &mut Parser, line: &Line, at: usize) -> Option<u32> {
    value(parser, line, at, "a number", |text| text.parse().ok())
}

fn word(parser: &mut Parser, line: &Line, at: usize) -> Option<String> {
    value(parser, line, at, "an interface", |text| {
        (!text.is_empty() && text.len() <= 15).then(|| text.to_owned())
    })
}
