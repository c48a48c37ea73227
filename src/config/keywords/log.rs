//! `log` lines, log formats and tags, of `global` and of proxies.

use super::ring;
use crate::config::address::{self, Port, Spec};
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::keyword::{ANY_PROXY, FRONT, GLOBAL, Keyword, Prefix};
use crate::config::model::LogStyle;
use crate::config::model::log::LogSample;
use crate::config::model::{LogSource, LogTarget, LogTransport};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::config::suggest;
use crate::config::units;
use crate::expr::{LogFormat, Site};
use std::net::SocketAddr;
use std::sync::Arc;

const LOG_ARGS: &str = "global | <target> [len <length>] [format <format>] [sample <ranges>:<size>] <facility> [<level> [<minlevel>]]";

pub const TABLE: &[Keyword] = &[
    Keyword::new(
        "log",
        GLOBAL,
        LOG_ARGS,
        "Adds a log target that proxies with 'log global' use, and that events of the process go to.",
        global_log,
    )
    .negatable(),
    Keyword::new(
        "log",
        ANY_PROXY,
        LOG_ARGS,
        "Adds a target for the proxy's log, or all of the global section's. 'no log' forgets what was said before.",
        proxy_log,
    )
    .negatable(),
    Keyword::new("log-format", ANY_PROXY, "<string>", "The log line of connections or requests.", |p, l| {
        if let Some(format) = format(p, l)
            && let Some(draft) = p.draft()
        {
            if !draft.section.has_front() {
                let message = format!("backend '{}' : 'log-format' directive is ignored in backends.", draft.proxy.name);
                return p.warning(l, 0, message);
            }
            draft.proxy.log.format = Some(format);
            draft.proxy.log.style = LogStyle::Custom;
        }
    }),
    Keyword::new("log-format-sd", ANY_PROXY, "<string>", "The structured-data field of RFC 5424 lines.", |p, l| {
        if let Some(format) = format(p, l)
            && let Some(draft) = p.draft()
        {
            draft.proxy.log.sd_format = Some(format);
        }
    }),
    Keyword::new(
        "error-log-format",
        FRONT,
        "<string>",
        "The log line of connections that fail before a request.",
        |p, l| {
            if let Some(format) = format(p, l)
                && let Some(draft) = p.draft()
            {
                draft.proxy.log.error_format = Some(format);
            }
        },
    ),
    Keyword::new("log-tag", GLOBAL, "<string>", "The tag of syslog lines, in place of 'haproxy'.", |p, l| {
        if let Some(tag) = tag(p, l) {
            p.global.log_tag = Some(tag);
        }
    }),
    Keyword::new("log-tag", ANY_PROXY, "<string>", "The tag of the proxy's syslog lines.", |p, l| {
        if let Some(tag) = tag(p, l)
            && let Some(draft) = p.draft()
        {
            draft.proxy.log.tag = Some(tag.into());
        }
    }),
    Keyword::new(
        "log-send-hostname",
        GLOBAL,
        "[<string>]",
        "Puts the host name (or this one) in syslog headers.",
        |p, l| {
            if p.at_most(l, 2) {
                p.global.log_send_hostname = Some(l.word(1).to_owned());
            }
        },
    ),
    Keyword::new("unique-id-format", FRONT, "<string>", "How a request's unique identifier is made.", |p, l| {
        if let Some(format) = format(p, l)
            && let Some(draft) = p.draft()
        {
            draft.proxy.unique_id_format = Some(format);
        }
    }),
    Keyword::new("unique-id-header", FRONT, "<name>", "Adds a header with the unique identifier to requests.", |p, l| {
        if let Some(name) = p.text(l, 1, "a header name")
            && let Some(draft) = p.draft()
        {
            draft.proxy.unique_id_header = Some(name.into());
        }
    }),
];

const FACILITIES: &[&str] = &[
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "auth2", "ftp", "ntp",
    "audit", "alert", "cron2", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];

const LEVELS: &[&str] = &["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

fn tag(parser: &mut Parser, line: &Line) -> Option<String> {
    if line.word(1).is_empty() {
        parser.alert(line, 0, "'log-tag' expects a tag for use in syslog.");
        return None;
    }
    parser.at_most(line, 2).then(|| line.word(1).to_owned())
}

fn format(parser: &mut Parser, line: &Line) -> Option<Arc<LogFormat>> {
    let keyword = line.word(0).to_owned();
    if line.words.len() < 2 {
        parser.alert(line, 0, format!("'{keyword}' expects an argument."));
        return None;
    }
    if line.words.len() > 2 {
        let message = format!("'{keyword}' expects only one argument, don't forget to escape spaces!");
        let hint = "put the whole format in quotes";
        parser.report(Diagnostic::at(Severity::Alert, line, 2, message).hint(hint));
        return None;
    }
    // The unique id is made while the request is there; log lines are written when it is gone.
    let site = if keyword == "unique-id-format" { Site::HttpRequest } else { Site::Log };
    match LogFormat::parse_line(line.word(1), site, parser.scope()) {
        Ok(format) => Some(Arc::new(format)),
        Err(error) => {
            parser.expr_error(line, 1, &format!("'{keyword}'"), error);
            None
        }
    }
}

fn global_log(parser: &mut Parser, line: &Line) {
    if parser.prefix == Prefix::No {
        parser.global.log.clear();
        return;
    }
    if let Some(target) = target(parser, line) {
        parser.global.log.push(Arc::new(target));
    }
}

fn proxy_log(parser: &mut Parser, line: &Line) {
    if parser.prefix == Prefix::No {
        if let Some(draft) = parser.draft() {
            draft.proxy.log.targets.clear();
            draft.log_global = false;
        }
        return;
    }
    if line.word(1) == "global" {
        if line.words.len() > 2 {
            parser.alert(line, 2, format!("'log' cannot handle unexpected argument '{}'.", line.word(2)));
        } else if let Some(draft) = parser.draft() {
            draft.log_global = true;
        }
        return;
    }
    if let Some(target) = target(parser, line)
        && let Some(draft) = parser.draft()
    {
        draft.proxy.log.targets.push(Arc::new(target));
    }
}

fn target(parser: &mut Parser, line: &Line) -> Option<LogTarget> {
    if line.words.len() < 3 {
        parser.alert(line, line.words.len(), "log : expects <address> and <facility> or global as arguments");
        return None;
    }
    let ring = match line.word(1).strip_prefix("ring@") {
        Some(name) if !matches!(name, "stdout" | "stderr") => {
            let name = name.to_owned();
            Some(ring::find(parser, line, 1, &name)?)
        }
        _ => None,
    };
    let by_ring = ring.as_ref().map(|r| Ok(LogTransport::Ring(r.name.as_str().into(), r.maxlen)));
    let transport = match by_ring.unwrap_or_else(|| transport(line.word(1))) {
        Ok(transport) => transport,
        Err(message) => {
            parser.alert(line, 1, format!("log : {message}"));
            return None;
        }
    };
    let mut target = LogTarget {
        transport,
        format: LogSource::default(),
        len: 1024,
        facility: 0,
        max_level: 7,
        min_level: 0,
        sample: None,
    };
    let mut i = 2;
    loop {
        match line.word(i) {
            "len" => match units::size(line.word(i + 1)) {
                Ok(len @ 80..=65535) => target.len = usize::try_from(len).unwrap_or(1024),
                _ => {
                    let message = format!(
                        "log : invalid log length '{}', must be between 80 and 65535",
                        line.word(i + 1)
                    );
                    parser.alert(line, i + 1, message);
                    return None;
                }
            },
            "format" => target.format = source(parser, line, i + 1)?,
            "sample" => target.sample = Some(sample(parser, line, i + 1)?),
            "profile" => {
                parser.unsupported(line, i, "log profile");
                return None;
            }
            _ => break,
        }
        i += 2;
    }
    facility_and_levels(parser, line, i, &mut target)?;
    // A ring has a form of its own, whatever the line says.
    if let Some(ring) = ring {
        target.format = ring.format;
    }
    Some(target)
}

fn facility_and_levels(parser: &mut Parser, line: &Line, i: usize, target: &mut LogTarget) -> Option<()> {
    let Some(facility) = FACILITIES.iter().position(|f| *f == line.word(i)) else {
        let message = format!("log : unknown log facility '{}'", line.word(i));
        let mut diagnostic = Diagnostic::at(Severity::Alert, line, i, message);
        let near = suggest::hint(line.word(i), FACILITIES.iter().copied());
        diagnostic.hint = near.or_else(|| Some(format!("facilities are {}", FACILITIES.join(", "))));
        parser.report(diagnostic);
        return None;
    };
    target.facility = u8::try_from(facility).unwrap_or(0);
    if line.words.len() > i + 1 {
        target.max_level = level(parser, line, i + 1, "optional log level")?;
    }
    if line.words.len() > i + 2 {
        target.min_level = level(parser, line, i + 2, "optional minimum log level")?;
    }
    if line.words.len() > i + 3 {
        parser.alert(line, i + 3, format!("log : cannot handle unexpected argument '{}'.", line.word(i + 3)));
        return None;
    }
    Some(())
}

fn level(parser: &mut Parser, line: &Line, index: usize, what: &str) -> Option<u8> {
    let level = LEVELS.iter().position(|l| *l == line.word(index)).and_then(|l| u8::try_from(l).ok());
    if level.is_none() {
        let message = format!("log : unknown {what} '{}'", line.word(index));
        let mut diagnostic = Diagnostic::at(Severity::Alert, line, index, message);
        let near = suggest::hint(line.word(index), LEVELS.iter().copied());
        diagnostic.hint = near.or_else(|| Some(format!("levels are {}", LEVELS.join(", "))));
        parser.report(diagnostic);
    }
    level
}

fn source(parser: &mut Parser, line: &Line, index: usize) -> Option<LogSource> {
    let found = source_named(line.word(index));
    if found.is_none() {
        parser.alert(line, index, format!("log : unknown log format '{}'", line.word(index)));
    }
    found
}

pub(super) fn source_named(name: &str) -> Option<LogSource> {
    Some(match name {
        "local" => LogSource::Local,
        "rfc3164" => LogSource::Rfc3164,
        "rfc5424" => LogSource::Rfc5424,
        "priority" => LogSource::Priority,
        "short" => LogSource::Short,
        "timed" => LogSource::Timed,
        "iso" => LogSource::Iso,
        "raw" => LogSource::Raw,
        _ => return None,
    })
}

/// `1,3-4:5`
fn sample(parser: &mut Parser, line: &Line, index: usize) -> Option<LogSample> {
    let parsed = parse_sample(line.word(index));
    if parsed.is_none() {
        parser.alert(line, index, format!("log : invalid sample ranges '{}'", line.word(index)));
    }
    parsed
}

fn parse_sample(text: &str) -> Option<LogSample> {
    let (ranges, size) = text.split_once(':')?;
    let size: u32 = size.parse().ok().filter(|s| *s > 0)?;
    let mut parsed = Vec::new();
    for range in ranges.split(',') {
        let (low, high) = range.split_once('-').unwrap_or((range, range));
        let (low, high): (u32, u32) = (low.parse().ok()?, high.parse().ok()?);
        if low == 0 || low > high || high > size {
            return None;
        }
        parsed.push((low, high));
    }
    parsed.sort_unstable();
    let overlap = parsed.windows(2).any(|w| w[0].1 >= w[1].0);
    (!overlap).then_some(LogSample { ranges: parsed, size })
}

fn transport(text: &str) -> Result<LogTransport, String> {
    match text {
        "stdout" | "ring@stdout" => return Ok(LogTransport::Fd(1)),
        "stderr" | "ring@stderr" => return Ok(LogTransport::Fd(2)),
        _ => {}
    }
    match address::parse(text)? {
        Spec::Inet { family, host, port, .. } => {
            let ip = address::ip_of(&host, family)?;
            match port {
                Port::None => Ok(LogTransport::Udp(SocketAddr::new(ip, 514))),
                Port::One(port) => Ok(LogTransport::Udp(SocketAddr::new(ip, port))),
                _ => Err(format!("port range or offset not allowed in '{text}'")),
            }
        }
        Spec::Unix { path, .. } => Ok(LogTransport::UnixDatagram(path)),
        Spec::Fd(fd) => Ok(LogTransport::Fd(fd)),
        Spec::Abstract(_) | Spec::SockPair(_) => Err(format!("'{text}' is not supported by weir yet")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples() {
        let sample = parse_sample("1,3-4:5").unwrap();
        assert_eq!((sample.ranges, sample.size), (vec![(1, 1), (3, 4)], 5));
        for bad in ["", "1", "1:", "0:3", "4:3", "1-2,2:3", "2-1:3", "a:3"] {
            assert!(parse_sample(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn transports() {
        assert_eq!(transport("127.0.0.1"), Ok(LogTransport::Udp("127.0.0.1:514".parse().unwrap())));
        assert_eq!(transport("/dev/log"), Ok(LogTransport::UnixDatagram("/dev/log".into())));
        assert_eq!(transport("stdout"), Ok(LogTransport::Fd(1)));
        assert_eq!(transport("fd@5"), Ok(LogTransport::Fd(5)));
        assert!(transport("ring@x").is_err());
    }
}
