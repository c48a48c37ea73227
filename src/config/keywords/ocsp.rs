//! `ocsp-update.*` of the `global` section: how OCSP responses are kept fresh.

use super::bind_ssl::on_or_off;
use crate::config::address;
use crate::config::keyword::{GLOBAL, Keyword};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use std::time::Duration;

const MAX: &str = "The longest time between two requests for one OCSP response, in seconds (3600).";
const MIN: &str = "The shortest time between two requests for one OCSP response, in seconds (300).";

pub const TABLE: &[Keyword] = &[
    Keyword::new(
        "ocsp-update.mode",
        GLOBAL,
        "<on | off>",
        "What 'ocsp-update' says where neither a certificate list nor a 'load' line does (off).",
        |p, l| p.global.ocsp_updates.on = on_or_off(p, l, 0).unwrap_or_default(),
    ),
    Keyword::new(
        "ocsp-update.disable",
        GLOBAL,
        "<on | off>",
        "Passes over every other word about 'ocsp-update': nobody is asked (off).",
        |p, l| p.global.ocsp_updates.disabled = on_or_off(p, l, 0).unwrap_or_default(),
    ),
    Keyword::new("ocsp-update.maxdelay", GLOBAL, "<seconds>", MAX, longest),
    Keyword::new("ocsp-update.mindelay", GLOBAL, "<seconds>", MIN, shortest),
    Keyword::new("tune.ssl.ocsp-update.maxdelay", GLOBAL, "<seconds>", MAX, longest),
    Keyword::new("tune.ssl.ocsp-update.mindelay", GLOBAL, "<seconds>", MIN, shortest),
    Keyword::new(
        "ocsp-update.httpproxy",
        GLOBAL,
        "<address>[:<port>]",
        "Responders are asked by way of this HTTP proxy.",
        proxy,
    ),
];

fn longest(parser: &mut Parser, line: &Line) {
    let Some(delay) = seconds(parser, line) else { return };
    if delay < parser.global.ocsp_updates.min {
        let message = format!("'{}' can not be lower than ocsp-update.mindelay.", line.word(0));
        return parser.alert(line, 1, message);
    }
    parser.global.ocsp_updates.max = delay;
}

fn shortest(parser: &mut Parser, line: &Line) {
    let Some(delay) = seconds(parser, line) else { return };
    if delay > parser.global.ocsp_updates.max {
        let message = format!("'{}' can not be higher than ocsp-update.maxdelay.", line.word(0));
        return parser.alert(line, 1, message);
    }
    parser.global.ocsp_updates.min = delay;
}

fn seconds(parser: &mut Parser, line: &Line) -> Option<Duration> {
    parser.integer(line, 1, 0, i32::MAX as u64).map(Duration::from_secs)
}

fn proxy(parser: &mut Parser, line: &Line) {
    match address::socket(line.word(1)) {
        Ok(mut proxy) => {
            if proxy.port() == 0 {
                proxy.set_port(80);
            }
            parser.global.ocsp_updates.via = Some(proxy);
        }
        Err(why) => parser.alert(line, 1, format!("'{}' : {why}.", line.word(0))),
    }
}
