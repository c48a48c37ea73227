//! `stats` directives of `global`: the administration socket.

use super::bind;
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::keyword::{GLOBAL, Keyword};
use crate::config::model::global::{Level, SeverityOutput};
use crate::config::model::{Address, StatsSocket};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::config::suggest;
use crate::config::units::Unit;
use std::path::PathBuf;
use std::sync::Arc;

pub const TABLE: &[Keyword] = &[
    Keyword::new(
        "stats socket",
        GLOBAL,
        "[<address:port>|<path>] [level <level>] [severity-output <format>] [expose-fd listeners] [param*]",
        "A socket for administration: see docs/admin-socket.md. The other parameters are those of 'bind'.",
        socket,
    ),
    Keyword::new(
        "stats timeout",
        GLOBAL,
        "<timeout>",
        "Longest inactivity on the administration socket.",
        |p, l| {
            if let Some(time) = p.duration(l, 2, Unit::Milliseconds) {
                p.global.stats_timeout = (!time.is_zero()).then_some(time);
            }
        },
    ),
    Keyword::new(
        "stats maxconn",
        GLOBAL,
        "<connections>",
        "Connections to the administration socket.",
        |p, l| {
            if let Some(n) = p.integer(l, 2, 1, 65535) {
                p.global.stats_maxconn = n;
            }
        },
    ),
    Keyword::new(
        "stats bind-process",
        GLOBAL,
        "[ all | odd | even | <process_num>[-[process_num>]] ]",
        "Kept for compatibility: there is one process.",
        |p, l| {
            p.warning(l, 1, "'stats bind-process' is ignored: there is one process.");
        },
    ),
    Keyword::new("stats", GLOBAL, "<directive>", "See the directives by name.", |p, l| {
        let message = format!(
            "'stats' only supports 'socket', 'maxconn', 'bind-process' and 'timeout' (got '{}')",
            l.word(1)
        );
        let mut diagnostic = Diagnostic::at(Severity::Alert, l, 1, message);
        diagnostic.hint = suggest::hint(l.word(1), ["socket", "maxconn", "timeout"]);
        p.report(diagnostic);
    }),
];

/// Options of `bind` that mean nothing to a socket that one thread serves in plain text.
const NOT_OF_BIND: &[&str] = &["accept-proxy", "proto"];

/// Accepted, and nothing to choose: the control thread serves the socket.
const WITHOUT_EFFECT: &[(&str, usize)] = &[("process", 1), ("thread", 1), ("shards", 1), ("nice", 1)];

const OWN: &[&str] = &["level", "expose-fd", "severity-output"];

fn socket(parser: &mut Parser, line: &Line) {
    if line.word(2).is_empty() {
        return parser.alert(line, 2, "'stats socket' in 'global' section : expects a path or an address");
    }
    let addresses = match bind::addresses(line.word(2)) {
        Ok(addresses) => addresses,
        Err(message) => return parser.alert(line, 2, format!("'stats socket' : {message}")),
    };
    let mut settings = bind::Settings { bind: bind::empty(line), ssl: super::bind_ssl::SslDraft::default() };
    let unix = &parser.unix_bind;
    (settings.bind.mode, settings.bind.uid, settings.bind.gid) = (unix.mode, unix.uid, unix.gid);
    let mut own = Own::default();
    if options(parser, line, &mut settings, &mut own).is_none() {
        return;
    }
    for address in addresses {
        let address = match (address, &parser.unix_bind.prefix) {
            (Address::Unix(path), Some(prefix)) => {
                Address::Unix(PathBuf::from(format!("{prefix}{}", path.display())))
            }
            (address, _) => address,
        };
        parser.global.stats_sockets.push(Arc::new(StatsSocket {
            bind: Arc::new(crate::config::model::Bind { address, ..settings.bind.clone() }),
            level: own.level,
            severity: own.severity,
            expose_fd_listeners: own.expose_fd_listeners,
        }));
    }
}

/// What only the administration socket has.
#[derive(Default)]
struct Own {
    level: Level,
    severity: SeverityOutput,
    expose_fd_listeners: bool,
}

/// `None`: an error was reported.
fn options(parser: &mut Parser, line: &Line, settings: &mut bind::Settings, own: &mut Own) -> Option<()> {
    let mut i = 3;
    while i < line.words.len() {
        let word = line.word(i);
        let taken = if let Some((_, taken)) = WITHOUT_EFFECT.iter().find(|(name, _)| *name == word) {
            parser.diag(line, i, format!("'{word}' has nothing to act on: one thread serves the socket."));
            *taken
        } else if OWN.contains(&word) {
            1
        } else if NOT_OF_BIND.contains(&word) {
            parser.unsupported(line, i, &format!("stats socket {word}"));
            return None;
        } else if let Some(option) = bind::OPTIONS.iter().find(|o| o.name == word) {
            option.taken
        } else if let Some(taken) = bind::inert(line, word) {
            taken
        } else if bind::UNSUPPORTED.contains(&word) || super::bind_ssl::taken(word).is_some() {
            parser.unsupported(line, i, &format!("stats socket {word}"));
            return None;
        } else {
            unknown(parser, line, i);
            return None;
        };
        if line.words.len() <= i + taken {
            parser.alert(line, i, format!("'stats socket' : '{word}' expects an argument."));
            return None;
        }
        match word {
            "level" => own.level = level(parser, line, i + 1)?,
            "severity-output" => own.severity = severity(parser, line, i + 1)?,
            "expose-fd" => own.expose_fd_listeners = expose(parser, line, i + 1)?,
            _ => {
                if let Some(option) = bind::OPTIONS.iter().find(|o| o.name == word)
                    && !WITHOUT_EFFECT.iter().any(|(name, _)| *name == word)
                {
                    (option.apply)(parser, line, i, settings);
                }
            }
        }
        i += 1 + taken;
    }
    Some(())
}

fn unknown(parser: &mut Parser, line: &Line, i: usize) {
    let word = line.word(i);
    let mut diagnostic =
        Diagnostic::at(Severity::Alert, line, i, format!("'stats socket' : unknown keyword '{word}'."));
    let names = bind::OPTIONS.iter().map(|o| o.name).chain(OWN.iter().copied());
    diagnostic.hint = suggest::hint(word, names);
    parser.report(diagnostic);
}

fn level(parser: &mut Parser, line: &Line, i: usize) -> Option<Level> {
    choice(parser, line, i, &Level::NAMES, "'level' only supports 'user', 'operator', and 'admin'")
}

fn severity(parser: &mut Parser, line: &Line, i: usize) -> Option<SeverityOutput> {
    choice(
        parser,
        line,
        i,
        &[
            ("none", SeverityOutput::None),
            ("number", SeverityOutput::Number),
            ("string", SeverityOutput::String),
        ],
        "'severity-output' only supports 'none', 'number', and 'string'",
    )
}

fn expose(parser: &mut Parser, line: &Line, i: usize) -> Option<bool> {
    choice(parser, line, i, &[("listeners", true)], "'expose-fd' only supports 'listeners'")
}

fn choice<T: Copy>(
    parser: &mut Parser,
    line: &Line,
    i: usize,
    values: &[(&str, T)],
    only: &str,
) -> Option<T> {
    let word = line.word(i);
    if let Some((_, value)) = values.iter().find(|(name, _)| *name == word) {
        return Some(*value);
    }
    let message = format!("'stats socket' : {only} (got '{word}').");
    let mut diagnostic = Diagnostic::at(Severity::Alert, line, i, message);
    diagnostic.hint = suggest::hint(word, values.iter().map(|(name, _)| *name));
    parser.report(diagnostic);
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::environment::Environment;
    use crate::config::{Loaded, Source, load};

    fn read(lines: &str) -> Loaded {
        let bytes = format!("global\n{lines}\nlisten l\n bind :80\n").into_bytes();
        load(&[Source { name: "t.cfg".into(), bytes }], &Environment::default())
            .unwrap_or_else(|bad| panic!("{lines}: {:?}", bad))
    }

    fn said(lines: &str) -> Vec<String> {
        let bytes = format!("global\n{lines}\nlisten l\n bind :80\n").into_bytes();
        let diagnostics = match load(&[Source { name: "t.cfg".into(), bytes }], &Environment::default()) {
            Ok(loaded) => loaded.diagnostics,
            Err(bad) => bad,
        };
        diagnostics.into_iter().map(|d| d.message).collect()
    }

    #[test]
    fn sockets() {
        let loaded = read(
            " unix-bind prefix /run mode 600\n stats socket /s level admin expose-fd listeners mode 660 uid 5\n \
             stats socket ipv4@127.0.0.1:81-82 severity-output number uid 0\n stats socket abns@x process 1",
        );
        let sockets = &loaded.config.global.stats_sockets;
        assert_eq!(sockets.len(), 4, "{:?}", loaded.diagnostics);
        let first = &sockets[0];
        assert_eq!(first.bind.address, Address::Unix("/run/s".into()));
        assert_eq!((first.bind.mode, first.bind.uid), (Some(0o660), Some(5)));
        assert_eq!((first.level, first.expose_fd_listeners), (Level::Admin, true));
        assert_eq!((sockets[2].level, sockets[2].severity), (Level::Operator, SeverityOutput::Number));
        assert_eq!(sockets[3].bind.mode, Some(0o600));
    }

    #[test]
    fn mistakes() {
        for (line, expected) in [
            ("stats socket", "expects a path or an address"),
            (
                "stats socket /s level root",
                "'level' only supports 'user', 'operator', and 'admin' (got 'root')",
            ),
            ("stats socket /s level", "'level' expects an argument"),
            ("stats socket /s severity-output x", "'severity-output' only supports"),
            ("stats socket /s expose-fd all", "'expose-fd' only supports 'listeners'"),
            ("stats socket /s modus 1", "unknown keyword 'modus'"),
            ("stats socket /s accept-proxy", "stats socket accept-proxy"),
            ("stats bogus", "'stats' only supports"),
            ("stats bind-process 1", "'stats bind-process' is ignored"),
        ] {
            let said = said(&format!(" {line}"));
            assert!(said.iter().any(|m| m.contains(expected)), "{line}: {said:?}");
        }
    }
}
