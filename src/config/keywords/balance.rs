//! `balance`, `hash-type` and what goes with them.

use crate::config::keyword::{BACK, Keyword};
use crate::config::model::backend::Affinity;
use crate::config::model::{Backend, Balance, HashFunction, HashMethod};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::config::units;
use crate::expr::{Expr, Site};

pub const TABLE: &[Keyword] = &[
    Keyword::new(
        "balance",
        BACK,
        "<algorithm> [<arguments>]",
        "How a server is chosen: roundrobin, static-rr, leastconn, first, source, uri [whole] [len <n>] [depth <n>] \
         [path-only], url_param <name> [check_post], hdr(<name>) [use_domain_only], random[(<draws>)], \
         rdp-cookie[(<name>)], hash <expr>. Without this line: random(2), as in HAProxy 3.3 and later. In 'mode l4': rr, \
         wrr, lc, wlc (the default), lblc, lblcr, dh, sh [sh-port] [sh-fallback], sed, nq, fo, ovf, mh [mh-port] \
         [mh-fallback], twos; roundrobin and static-rr are read as wrr there, leastconn as wlc, source as sh, first as \
         fo, random as twos.",
        |p, l| {
            if super::l4::is_l4(p) {
                super::l4::balance(p, l);
            } else if let Some(balance) = balance(p, l)
                && let Some(back) = back(p)
            {
                back.balance = balance;
            }
        },
    ),
    Keyword::new(
        "hash-type",
        BACK,
        "<map-based|consistent> [<sdbm|djb2|wt6|crc32|none> [avalanche]]",
        "How hashes choose servers: by a table of all servers, or by a ring that keeps most keys when servers change.",
        hash_type,
    ),
    Keyword::new(
        "hash-balance-factor",
        BACK,
        "<factor>",
        "With consistent hashing, no server gets more than this percentage of the average load. 0: no limit.",
        |p, l| {
            let factor = p.integer(l, 1, 0, 65535);
            if factor.is_some_and(|f| f > 0 && f <= 100) {
                p.alert(l, 1, "'hash-balance-factor' must be 0 or greater than 100.");
            } else if let Some(factor) = factor
                && let Some(back) = back(p)
            {
                back.hash_balance_factor = factor;
            }
        },
    ),
    Keyword::new(
        "hash-preserve-affinity",
        BACK,
        "{ always | maxconn | maxqueue }",
        "What a hash does when its server is full.",
        |p, l| {
            let affinity = match l.word(1) {
                "always" => Affinity::Always,
                "maxconn" => Affinity::MaxConn,
                "maxqueue" => Affinity::MaxQueue,
                other => {
                    let message = format!(
                        "'hash-preserve-affinity' : '{other}' is unknown, only 'always', 'maxconn' and 'maxqueue' are supported."
                    );
                    return p.alert(l, 1, message);
                }
            };
            if p.at_most(l, 2)
                && let Some(back) = back(p)
            {
                back.hash_preserve_affinity = affinity;
            }
        },
    ),
];

fn back(parser: &mut Parser) -> Option<&mut Backend> {
    parser.draft().and_then(|d| d.proxy.back.as_mut())
}

fn balance(parser: &mut Parser, line: &Line) -> Option<Balance> {
    let word = line.word(1);
    let (name, argument) = match word.split_once('(') {
        Some((name, rest)) => match rest.strip_suffix(')') {
            Some(argument) => (name, Some(argument)),
            None => return refuse(parser, line, 1, format!("balance : missing ')' in '{word}'.")),
        },
        None => (word, None),
    };
    match (name, argument) {
        ("roundrobin" | "", None) => Some(Balance::RoundRobin),
        ("static-rr", None) => Some(Balance::StaticRr),
        ("leastconn", None) => Some(Balance::LeastConn),
        ("first", None) => Some(Balance::First),
        ("source", None) => Some(Balance::Source),
        ("uri", None) => uri(parser, line),
        ("url_param", None) => url_param(parser, line),
        ("hdr", Some(header)) if !header.is_empty() => {
            let use_domain_only = match line.word(2) {
                "" => false,
                "use_domain_only" => true,
                other => {
                    let message =
                        format!("balance hdr(name) only accepts 'use_domain_only' (got '{other}').");
                    return refuse(parser, line, 2, message);
                }
            };
            Some(Balance::Hdr { name: header.to_ascii_lowercase().into(), use_domain_only })
        }
        ("random", None) => Some(Balance::Random { draws: 2 }),
        ("random", Some(draws)) => match draws.parse() {
            Ok(draws) if draws >= 1 => Some(Balance::Random { draws }),
            _ => refuse(parser, line, 1, "balance : random expects a positive number of draws.".into()),
        },
        ("rdp-cookie", None) => Some(Balance::RdpCookie { name: "msts".into() }),
        ("rdp-cookie", Some(name)) if !name.is_empty() => Some(Balance::RdpCookie { name: name.to_owned() }),
        ("hash", None) => {
            let words: Vec<&str> = line.words.iter().skip(2).map(|w| w.text.as_str()).collect();
            if words.is_empty() {
                return refuse(parser, line, 1, "balance hash requires a sample expression.".into());
            }
            match Expr::parse(&words, Site::Balance, parser.scope()) {
                Ok((expr, taken)) if taken == words.len() => Some(Balance::Hash(expr)),
                Ok((_, taken)) => {
                    let message = format!("balance hash : unexpected argument '{}'.", line.word(2 + taken));
                    refuse(parser, line, 2 + taken, message)
                }
                Err(error) => {
                    parser.expr_error(line, 2, "balance hash", error);
                    None
                }
            }
        }
        ("log-hash" | "sticky", _) => {
            parser.unsupported(line, 1, &format!("balance {name}"));
            None
        }
        _ => {
            let mut message = "balance only supports 'roundrobin', 'static-rr', 'leastconn', 'first', 'source', 'uri', 'url_param', 'hash', 'hdr(name)', 'random', 'rdp-cookie(name)' options.".to_owned();
            if !word.is_empty() {
                message.push_str(&format!(" (got '{word}')"));
            }
            let names = [
                "roundrobin",
                "static-rr",
                "leastconn",
                "first",
                "source",
                "uri",
                "url_param",
                "hash",
                "hdr",
                "random",
                "rdp-cookie",
            ];
            let mut diagnostic = crate::config::diagnostic::Diagnostic::at(
                crate::config::diagnostic::Severity::Alert,
                line,
                1,
                message,
            );
            diagnostic.hint = crate::config::suggest::hint(name, names);
            parser.report(diagnostic);
            None
        }
    }
}

fn refuse<T>(parser: &mut Parser, line: &Line, index: usize, message: String) -> Option<T> {
    parser.alert(line, index, message);
    None
}

fn uri(parser: &mut Parser, line: &Line) -> Option<Balance> {
    let (mut len, mut depth, mut path_only, mut whole) = (0, 0, false, false);
    let mut i = 2;
    while i < line.words.len() {
        match line.word(i) {
            "len" => {
                len = parser.integer(line, i + 1, 1, usize::MAX)?;
                i += 1;
            }
            "depth" => {
                depth = parser.integer(line, i + 1, 1, usize::MAX)?;
                i += 1;
            }
            "path-only" => path_only = true,
            "whole" => whole = true,
            other => {
                let message = format!(
                    "balance uri only accepts parameters 'len', 'depth', 'path-only', and 'whole' (got '{other}')."
                );
                return refuse(parser, line, i, message);
            }
        }
        i += 1;
    }
    Some(Balance::Uri { len, depth, path_only, whole })
}

fn url_param(parser: &mut Parser, line: &Line) -> Option<Balance> {
    let name = line.word(2);
    if name.is_empty() {
        return refuse(parser, line, 2, "balance url_param requires an URL parameter name.".into());
    }
    let check_post = match line.word(3) {
        "" => None,
        // The number is how much of the body must be there; HAProxy ignores it since 1.9.
        "check_post" => {
            Some(units::size(line.word(4)).ok().and_then(|n| usize::try_from(n).ok()).unwrap_or(0))
        }
        other => {
            let message = format!("balance url_param only accepts check_post modifier (got '{other}').");
            return refuse(parser, line, 3, message);
        }
    };
    Some(Balance::UrlParam { name: name.to_owned(), check_post })
}

fn hash_type(parser: &mut Parser, line: &Line) {
    let method = match line.word(1) {
        "map-based" => HashMethod::MapBased,
        "consistent" => HashMethod::Consistent,
        "avalanche" => {
            // The form of HAProxy 1.4.
            let message = "'hash-type avalanche' is the form of old versions.";
            parser.alert(line, 1, format!("{message} Use 'hash-type map-based sdbm avalanche'."));
            return;
        }
        _ => return parser.alert(line, 1, "'hash-type' only supports 'consistent' and 'map-based'."),
    };
    let function = match line.word(2) {
        // Without a function HAProxy takes sdbm, and mixes its result with avalanche.
        "" => None,
        "sdbm" => Some(HashFunction::Sdbm),
        "djb2" => Some(HashFunction::Djb2),
        "wt6" => Some(HashFunction::Wt6),
        "crc32" => Some(HashFunction::Crc32),
        "none" => Some(HashFunction::None),
        _ => {
            let message =
                "'hash-type' only supports 'sdbm', 'djb2', 'crc32', 'wt6' or 'none' hash functions.";
            return parser.alert(line, 2, message);
        }
    };
    let avalanche = match line.word(3) {
        "" => function.is_none() && method == HashMethod::Consistent,
        "avalanche" => true,
        other => {
            let message =
                format!("'hash-type' only supports 'avalanche' as a modifier, '{other}' is unknown.");
            return parser.alert(line, 3, message);
        }
    };
    if let Some(back) = back(parser) {
        back.hash_type.method = method;
        back.hash_type.function = function.unwrap_or_default();
        back.hash_type.avalanche = avalanche;
    }
}
