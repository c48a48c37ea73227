//! The servers of a service: their addresses, ports and thresholds must fit how packets reach them.

use super::Draft;
use super::pending::{Feature, need};
use super::services::{Said, feature};
use crate::balance::l4::Scheduler;
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::model::l4::{Forward, L4, Vip};
use crate::config::model::{Endpoint, Proxy, Server};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use std::sync::Arc;

/// Checks the backend's servers against the addresses that lead to them, and tells each how its packets travel.
pub fn settle(parser: &mut Parser, back: Option<&mut Proxy>, section: &Said, vips: &[Vip], settings: &L4) {
    let Some(back) = back.and_then(|proxy| proxy.back.as_mut()) else { return };
    for (server, line) in back.servers.iter_mut().zip(&section.servers) {
        let server = Arc::make_mut(server);
        let forward = *server.l4.forward.get_or_insert(settings.forward);
        if forward != settings.forward || section.l4.forward.is_none() {
            need(parser, line, 1, feature(forward));
        }
        if settings.one_packet && matches!(forward, Forward::FullNat { .. }) {
            let hint = "use 'forward nat', 'dr' or 'tun'";
            let message =
                "'option one-packet' does not go with 'forward fullnat': every datagram would take a port.";
            refuse(parser, line, 1, message.into(), hint);
        }
        address(parser, line, server, forward, vips);
        port(parser, line, server, forward, vips);
        thresholds(parser, line, server);
        if server.backup {
            need(parser, line, 1, Feature::Backup);
        }
        slow_start(parser, line, server, settings.scheduler);
    }
    let full = back.servers.iter().any(|s| matches!(s.l4.forward, Some(Forward::FullNat { .. })));
    sources(parser, &section.header, &section.l4, full, vips);
}

fn refuse(parser: &mut Parser, line: &Line, index: usize, message: String, hint: &str) {
    let message = format!("'server {}' : {message}", line.word(1));
    parser.report(Diagnostic::at(Severity::Alert, line, index, message).hint(hint));
}

fn address(parser: &mut Parser, line: &Line, server: &Server, forward: Forward, vips: &[Vip]) {
    let ip = match &server.endpoint {
        Endpoint::Inet(address) => address.ip(),
        // It starts down, and is forwarded to when it gets an address.
        Endpoint::Unresolved { .. } => return,
        Endpoint::Unix(_) | Endpoint::Abstract(_) => {
            let hint = "'mode tcp' reaches unix sockets";
            return refuse(parser, line, 2, "packets cannot be forwarded to a unix socket.".into(), hint);
        }
    };
    if ip.is_unspecified() {
        let hint = "write the server's address (this host's own is served locally)";
        return refuse(parser, line, 2, format!("'{}' is no server's address.", line.word(2)), hint);
    }
    let mixed = vips.first().is_some_and(|vip| vip.address.is_ipv4() != ip.is_ipv4());
    if mixed && !matches!(forward, Forward::Tunnel(_)) {
        let hint = "only a tunnel carries one in the other: give the service a server of its own family, reach this one with 'forward tun', or use 'mode tcp'";
        refuse(parser, line, 2, "the server's address is of another family than the service's.".into(), hint);
    } else if vips.iter().any(|vip| vip.address == ip) && !ip.is_loopback() {
        let hint = "write the real server's own address: the virtual one leads back here";
        refuse(parser, line, 2, "the server's address is the service's own.".into(), hint);
    }
}

fn port(parser: &mut Parser, line: &Line, server: &Server, forward: Forward, vips: &[Vip]) {
    if server.port_offset.is_some_and(|offset| offset != 0) {
        let hint = "write the port itself, or none to keep the client's";
        return refuse(parser, line, 2, "an offset is no port in 'mode l4'.".into(), hint);
    }
    let port = match &server.endpoint {
        Endpoint::Inet(address) => address.port(),
        Endpoint::Unresolved { port, .. } => *port,
        _ => 0,
    };
    if port == 0 {
        return;
    }
    if vips.iter().any(|vip| vip.port == 0) {
        let hint = "leave the port out: the client's is kept";
        let message = format!("port {port} cannot stand for every port of the service.");
        return refuse(parser, line, 2, message, hint);
    }
    let rewrites = matches!(forward, Forward::Nat | Forward::FullNat { .. });
    let Some(vip) = vips.iter().find(|vip| vip.port != port).filter(|_| !rewrites) else { return };
    let (name, why) = match forward {
        Forward::DirectRouting => ("dr", "only the MAC address of a packet is changed"),
        _ => ("tun", "the packet travels unchanged inside another"),
    };
    let message = format!(
        "'forward {name}' cannot reach port {port} from port {}: {why}, so it arrives at the port the client sent it to.",
        vip.port
    );
    refuse(
        parser,
        line,
        2,
        message,
        "leave the port out and let the server listen there, or use 'forward nat'",
    );
}

fn thresholds(parser: &mut Parser, line: &Line, server: &Server) {
    let (upper, lower) = (server.l4.upper_threshold, server.l4.lower_threshold);
    if upper > 0 || lower > 0 {
        need(parser, line, 1, Feature::Thresholds);
    }
    if lower > 0 && upper == 0 {
        let hint = "add 'u-threshold': the lower one ends what the upper one began";
        refuse(parser, line, 1, "'l-threshold' means nothing without 'u-threshold'.".into(), hint);
    } else if lower > upper {
        let message = format!("'l-threshold' {lower} is above 'u-threshold' {upper}.");
        refuse(parser, line, 1, message, "below the lower one the server gets new flows again");
    }
}

fn slow_start(parser: &mut Parser, line: &Line, server: &Server, scheduler: Scheduler) {
    if server.slowstart.is_none() {
        return;
    }
    need(parser, line, 1, Feature::SlowStart);
    if matches!(scheduler, Scheduler::Sh | Scheduler::Dh | Scheduler::Mh) {
        let message = format!(
            "'slowstart' does not go with 'balance {}': every step of the ramp would move clients between servers.",
            scheduler.name()
        );
        refuse(parser, line, 1, message, "remove the word, or use a scheduler that counts connections");
    }
}

fn sources(parser: &mut Parser, header: &Line, draft: &Draft, full: bool, vips: &[Vip]) {
    let v4 = vips.first().is_none_or(|vip| vip.address.is_ipv4());
    if full && draft.sources.is_empty() {
        let message = "'forward fullnat' needs 'source': the servers see connections from those addresses.";
        let diagnostic = Diagnostic::at(Severity::Alert, header, 0, message);
        parser.report(diagnostic.hint("write 'source' with addresses of this host, as 10.0.0.5-10.0.0.8"));
    }
    let Some((line, _)) = draft.sources.first() else { return };
    if !full {
        let diagnostic =
            Diagnostic::at(Severity::Alert, line, 0, "'source' in 'mode l4' is for 'forward fullnat' alone.");
        parser.report(diagnostic.hint("remove the line: servers see the clients' own addresses"));
    }
    for (line, address) in &draft.sources {
        if address.is_ipv4() != v4 {
            let message = format!("'source' : {address} is of another family than the service's addresses.");
            parser.alert(line, 1, message);
        } else if vips.iter().any(|vip| vip.address == *address) {
            let message = format!("'source' : {address} is a virtual address of the service.");
            let diagnostic = Diagnostic::at(Severity::Alert, line, 1, message);
            parser.report(diagnostic.hint("answers to it would be taken for new connections: use others"));
        }
    }
}
