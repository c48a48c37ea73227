//! Proxy keywords that belong to no family of their own.

use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::draft::Reference;
use crate::config::guid;
use crate::config::keyword::{ANY_PROXY, BACK, FRONT, Keyword, NO_DEFAULTS};
use crate::config::model::backend::LoadState;
use crate::config::model::{Backend, Front, Mode, Proxy, RetryOn, Reuse};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::config::suggest;
use crate::config::units::Unit;

pub const TABLE: &[Keyword] = &[
    Keyword::new(
        "mode",
        ANY_PROXY,
        "{ tcp | http | l4 }",
        "What the proxy understands of its traffic (tcp). In 'mode l4' the kernel forwards it: see docs/l4.md.",
        mode,
    ),
    Keyword::new("disabled", ANY_PROXY, "", "The proxy is read and not started.", |p, l| {
        disabled(p, l, true)
    }),
    Keyword::new("enabled", ANY_PROXY, "", "Undoes 'disabled'.", |p, l| disabled(p, l, false)),
    Keyword::new("id", NO_DEFAULTS, "<value>", "The proxy's number in statistics.", |p, l| {
        let Some(id) = p.integer(l, 1, i64::MIN, i64::MAX) else { return };
        match u32::try_from(id) {
            Ok(id) if id > 0 && p.at_most(l, 2) => {
                if let Some(draft) = p.draft() {
                    draft.proxy.id = id;
                }
            }
            _ => p.alert(l, 1, "custom id has to be > 0."),
        }
    }),
    Keyword::new(
        "guid",
        NO_DEFAULTS,
        "<string>",
        "A name for the proxy that stays when others change, and that nothing else has: its counters are kept by it.",
        |p, l| {
            let guid = guid::word(p, l, 1, "'guid'");
            if p.at_most(l, 2)
                && let Some(draft) = p.draft()
            {
                draft.proxy.guid = guid;
            }
        },
    ),
    Keyword::new("description", NO_DEFAULTS, "<string>", "A text for the statistics page.", |p, l| {
        let text = l.words.iter().skip(1).map(|w| w.text.as_str()).collect::<Vec<_>>().join(" ");
        if text.is_empty() {
            return p.alert(l, 0, "'description' expects a string argument.");
        }
        if let Some(draft) = p.draft() {
            draft.proxy.description = Some(text);
        }
    }),
    Keyword::new(
        "maxconn",
        FRONT,
        "<conns>",
        "Connections the frontend holds at a time; more wait in the kernel.",
        |p, l| {
            if let Some(maxconn) = p.integer(l, 1, 0, u32::MAX as usize)
                && p.at_most(l, 2)
                && let Some(front) = front(p)
            {
                front.maxconn = maxconn;
            }
        },
    ),
    Keyword::new("backlog", FRONT, "<conns>", "Length of the kernel's accept queue.", |p, l| {
        if let Some(backlog) = p.integer(l, 1, 0, i32::MAX as u32)
            && let Some(front) = front(p)
        {
            front.backlog = Some(backlog);
        }
    }),
    Keyword::new(
        "clitcpka-cnt",
        FRONT,
        "<count>",
        "Probes of a silent client before it is given up.",
        |p, l| {
            let count = p.integer(l, 1, 1_u32, 127);
            probes(p, |proxy| proxy.client_probes.count = count);
        },
    ),
    Keyword::new("clitcpka-idle", FRONT, "<timeout>", "Silence before a client is probed.", |p, l| {
        let idle = p.duration(l, 1, Unit::Seconds);
        probes(p, |proxy| proxy.client_probes.idle = idle);
    }),
    Keyword::new("clitcpka-intvl", FRONT, "<timeout>", "Time between two probes of a client.", |p, l| {
        let interval = p.duration(l, 1, Unit::Seconds);
        probes(p, |proxy| proxy.client_probes.interval = interval);
    }),
    Keyword::new(
        "srvtcpka-cnt",
        BACK,
        "<count>",
        "Probes of a silent server connection before it is given up.",
        |p, l| {
            let count = p.integer(l, 1, 1_u32, 127);
            probes(p, |proxy| proxy.server_probes.count = count);
        },
    ),
    Keyword::new(
        "srvtcpka-idle",
        BACK,
        "<timeout>",
        "Silence before a server connection is probed.",
        |p, l| {
            let idle = p.duration(l, 1, Unit::Seconds);
            probes(p, |proxy| proxy.server_probes.idle = idle);
        },
    ),
    Keyword::new(
        "srvtcpka-intvl",
        BACK,
        "<timeout>",
        "Time between two probes of a server connection.",
        |p, l| {
            let interval = p.duration(l, 1, Unit::Seconds);
            probes(p, |proxy| proxy.server_probes.interval = interval);
        },
    ),
    Keyword::new("rate-limit sessions", FRONT, "<rate>", "Sessions accepted per second.", |p, l| {
        if let Some(rate) = p.integer(l, 2, 0, u32::MAX)
            && p.at_most(l, 3)
            && let Some(front) = front(p)
        {
            front.rate_limit_sessions = (rate > 0).then_some(rate);
        }
    }),
    Keyword::new(
        "default_backend",
        FRONT,
        "<backend>",
        "Where what no 'use_backend' matches goes.",
        |p, l| {
            if l.word(1).is_empty() {
                return p.alert(l, 0, "'default_backend' expects a backend name.");
            }
            let reference = Reference { name: l.word(1).to_owned(), line: l.clone(), word: 1 };
            if p.at_most(l, 2)
                && let Some(draft) = p.draft()
            {
                draft.default_backend = Some(reference);
            }
        },
    ),
    Keyword::new(
        "retries",
        BACK,
        "<value>",
        "Attempts to reach a server after the first one fails (3).",
        |p, l| {
            if l.word(1).is_empty() {
                return p.alert(l, 0, "'retries' expects an integer argument (dispatch counts for one).");
            }
            if let Some(retries) = p.integer(l, 1, 0, i32::MAX as u32)
                && p.at_most(l, 2)
                && let Some(back) = back(p)
            {
                back.retries = retries;
            }
        },
    ),
    Keyword::new(
        "retry-on",
        BACK,
        "none | conn-failure | empty-response | junk-response | response-timeout | 0rtt-rejected | all-retryable-errors | <status>...",
        "What makes a request be sent again (conn-failure).",
        retry_on,
    ),
    Keyword::new(
        "http-reuse",
        BACK,
        "{ never | safe | aggressive | always }",
        "How connections to servers are shared between clients.",
        |p, l| {
            let reuse = match l.word(1) {
                "never" => Reuse::Never,
                "safe" => Reuse::Safe,
                "aggressive" => Reuse::Aggressive,
                "always" => Reuse::Always,
                _ => {
                    return p.alert(
                        l,
                        1,
                        "'http-reuse' only supports 'never', 'safe', 'aggressive', 'always'.",
                    );
                }
            };
            if p.at_most(l, 2)
                && let Some(back) = back(p)
            {
                back.reuse = reuse;
            }
        },
    ),
    Keyword::new(
        "fullconn",
        BACK,
        "<conns>",
        "The load at which servers with 'minconn' reach their 'maxconn'.",
        |p, l| {
            if let Some(fullconn) = p.integer(l, 1, 0, u32::MAX)
                && let Some(back) = back(p)
            {
                back.fullconn = Some(fullconn);
            }
        },
    ),
    Keyword::new(
        "max-keep-alive-queue",
        BACK,
        "<value>",
        "Queue length above which a kept connection goes to another server; -1: any.",
        |p, l| {
            let Some(value) = p.integer(l, 1, -1, i32::MAX) else { return };
            if let Some(back) = back(p) {
                back.max_keep_alive_queue = value;
            }
        },
    ),
    Keyword::new(
        "load-server-state-from-file",
        BACK,
        "{ global | local | none }",
        "Where servers' states are read from at start.",
        |p, l| {
            let state = match l.word(1) {
                "global" => LoadState::Global,
                "local" => LoadState::Local,
                "none" => LoadState::None,
                other => {
                    let message = format!(
                        "'load-server-state-from-file' expects 'global', 'local' or 'none' (got '{other}')."
                    );
                    return p.alert(l, 1, message);
                }
            };
            if let Some(back) = back(p) {
                back.load_state = state;
            }
        },
    ),
    Keyword::new(
        "server-state-file-name",
        BACK,
        "[ { use-backend-name | <file> } ]",
        "The file of 'load-server-state-from-file local'.",
        |p, l| {
            let name = match l.word(1) {
                "" | "use-backend-name" => p.draft().map_or(String::new(), |d| d.proxy.name.to_string()),
                file => file.to_owned(),
            };
            if let Some(back) = back(p) {
                back.server_state_file = Some(name.into());
            }
        },
    ),
    Keyword::new(
        "dispatch",
        crate::config::keyword::BACK_ONLY,
        "<address>:<port>",
        "Gone since HAProxy 3.3.",
        |p, l| {
            let message = "'dispatch' is not supported any more since HAProxy 3.3.";
            let hint = format!("write 'server dispatch {}'", l.word(1));
            p.report(Diagnostic::at(Severity::Alert, l, 0, message).hint(hint));
        },
    ),
    Keyword::new(
        "bind-process",
        ANY_PROXY,
        "all",
        "Gone since HAProxy 2.7: there is one process.",
        |p, l| {
            let message = "'bind-process' has no effect any more: there is one process.";
            if matches!(l.word(1), "all" | "1") {
                p.report(Diagnostic::at(Severity::Warning, l, 0, message).hint("remove the line"));
            } else {
                p.report(Diagnostic::at(Severity::Alert, l, 0, message).hint("use 'thread' on 'bind' lines"));
            }
        },
    ),
];

fn front(parser: &mut Parser) -> Option<&mut Front> {
    parser.draft().and_then(|d| d.proxy.front.as_mut())
}

/// `clitcpka-*` and `srvtcpka-*`
fn probes(parser: &mut Parser, set: impl FnOnce(&mut Proxy)) {
    if let Some(draft) = parser.draft() {
        set(&mut draft.proxy);
    }
}

fn back(parser: &mut Parser) -> Option<&mut Backend> {
    parser.draft().and_then(|d| d.proxy.back.as_mut())
}

fn mode(parser: &mut Parser, line: &Line) {
    let mode = match line.word(1) {
        "tcp" => Mode::Tcp,
        "http" => Mode::Http,
        "l4" => Mode::L4,
        name @ ("log" | "spop" | "haterm") => {
            return parser.unsupported(line, 1, &format!("mode {name}"));
        }
        "health" => {
            let message =
                "'mode health' doesn't exist anymore. Please use 'http-request return status 200' instead.";
            return parser.alert(line, 1, message);
        }
        other => {
            let mut diagnostic =
                Diagnostic::at(Severity::Alert, line, 1, format!("unknown proxy mode '{other}'."));
            diagnostic.hint = suggest::hint(other, ["tcp", "http", "l4"]);
            return parser.report(diagnostic);
        }
    };
    if parser.at_most(line, 2)
        && let Some(draft) = parser.draft()
        // Inherited lines stand before the section's own: a proxy is in 'mode l4' from the beginning or never.
        && draft.l4.active == (mode == Mode::L4)
    {
        draft.proxy.mode = mode;
    }
}

fn disabled(parser: &mut Parser, line: &Line, disabled: bool) {
    if parser.at_most(line, 1)
        && let Some(draft) = parser.draft()
    {
        draft.proxy.disabled = disabled;
    }
}

/// Statuses `retry-on` may name.
const STATUSES: &[u16] = &[401, 403, 404, 408, 425, 429, 500, 501, 502, 503, 504];

fn retry_on(parser: &mut Parser, line: &Line) {
    let mut value = RetryOn { conn_failure: false, ..RetryOn::default() };
    if line.words.len() < 2 {
        return parser.alert(line, 0, "'retry-on' needs at least one keyword to specify when to retry");
    }
    for i in 1..line.words.len() {
        match line.word(i) {
            "none" if line.words.len() == 2 => {}
            "none" => return parser.alert(line, i, "'retry-on' 'none' keyword only usable alone"),
            "conn-failure" => value.conn_failure = true,
            "empty-response" => value.empty_response = true,
            "junk-response" => value.junk_response = true,
            "response-timeout" => value.response_timeout = true,
            "0rtt-rejected" => {
                value.zero_rtt_rejected = true;
                parser.diag(
                    line,
                    i,
                    "'0rtt-rejected' has no effect in weir: no early data is sent to servers, so that none is rejected.",
                );
            }
            "all-retryable-errors" => {
                value.conn_failure = true;
                value.empty_response = true;
                value.junk_response = true;
                value.response_timeout = true;
                value.zero_rtt_rejected = true;
                value.statuses.extend([500, 502, 503, 504]);
            }
            text => match text.parse::<u16>() {
                Ok(status) if STATUSES.contains(&status) => value.statuses.push(status),
                _ => {
                    let names = [
                        "none",
                        "conn-failure",
                        "empty-response",
                        "junk-response",
                        "response-timeout",
                        "0rtt-rejected",
                        "all-retryable-errors",
                    ];
                    let message = format!("'retry-on': unknown keyword '{text}'");
                    let mut diagnostic = Diagnostic::at(Severity::Alert, line, i, message);
                    diagnostic.hint = suggest::hint(text, names);
                    return parser.report(diagnostic);
                }
            },
        }
    }
    if let Some(back) = back(parser) {
        back.retry_on = value;
    }
}
