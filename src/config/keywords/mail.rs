//! `mailers` sections and `email-alert`: mail about servers that go and come.

use crate::config::address::{self, Port, Spec};
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::keyword::{ANY_PROXY, Keyword, MAILERS};
use crate::config::model::mail::{EmailAlert, Mailer, Mailers};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::config::suggest;
use crate::config::units::Unit;

pub const TABLE: &[Keyword] = &[
    Keyword::new(
        "email-alert",
        ANY_PROXY,
        "{ mailers <section> | from <address> | to <address>[,...] | level <level> | myhostname <name> }",
        "Mails changes of the servers' states; 'mailers', 'from' and 'to' have to be there.",
        email_alert,
    ),
    Keyword::new("mailer", MAILERS, "<name> <address>:<port>", "An SMTP server to send through.", mailer),
    Keyword::new("timeout mail", MAILERS, "<time>", "How long sending one mail may take (10 s).", |p, l| {
        if l.words.len() < 3 {
            return p.alert(l, l.words.len(), "'timeout mail' expects <time> as argument.");
        }
        if let Some(timeout) = p.duration(l, 2, Unit::Milliseconds).filter(|t| !t.is_zero()) {
            p.mailers.timeout = timeout;
        }
    }),
];

const LEVELS: &[&str] = &["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
const WHAT: &[&str] = &["mailers", "from", "to", "level", "myhostname"];

fn email_alert(parser: &mut Parser, line: &Line) {
    let what = line.word(1);
    if what.is_empty() {
        return parser.alert(line, 1, "missing argument after 'email-alert'.");
    }
    if !WHAT.contains(&what) {
        let message = format!("email-alert: unknown argument '{what}'.");
        let mut diagnostic = Diagnostic::at(Severity::Alert, line, 1, message);
        diagnostic.hint = suggest::hint(what, WHAT.iter().copied());
        return parser.report(diagnostic);
    }
    let value = line.word(2).to_owned();
    if value.is_empty() {
        return parser.alert(line, 2, format!("missing argument after '{what}'."));
    }
    let level = LEVELS.iter().position(|l| *l == value).and_then(|l| u8::try_from(l).ok());
    if what == "level" && level.is_none() {
        return parser.alert(line, 2, format!("unknown log level '{value}' after 'level'"));
    }
    let Some(alert) = parser.draft().map(|d| &mut d.proxy.email_alert) else { return };
    alert.said = true;
    match what {
        "mailers" => alert.mailers = Some(value),
        "from" => alert.from = Some(value),
        "to" => alert.to = Some(value),
        "level" => alert.level = level,
        _ => alert.hostname = Some(value),
    }
}

fn mailer(parser: &mut Parser, line: &Line) {
    if line.words.len() < 3 {
        let message = "'mailer' expects <name> and <addr>[:<port>] as arguments.";
        return parser.alert(line, line.words.len(), message);
    }
    let (name, text) = (line.word(1), line.word(2));
    let has_port = matches!(address::parse(text), Ok(Spec::Inet { port: Port::One(_), .. }));
    match address::socket(text) {
        Ok(addr) if has_port => {
            let name = name.to_owned();
            parser.mailers.mailers.push(Mailer { name, addr });
        }
        Ok(_) => {
            parser.alert(line, 2, format!("'mailer {name}' : missing port specification in '{text}'"));
        }
        Err(message) => parser.alert(line, 2, format!("'mailer {name}' : {message}")),
    }
}

/// A section's header.
pub fn begin(parser: &mut Parser, header: &Line, name: String) {
    let first = parser.mailer_sections.iter().find(|m| m.name == name).and_then(|m| m.place.clone());
    if let Some(first) = first {
        let message = format!(
            "mailers section '{name}' has the same name as another mailers section declared at {}:{}.",
            first.file, first.line
        );
        parser.alert(header, 1, message);
    }
    parser.mailers = Mailers { name, place: Some(header.place.clone()), ..Mailers::default() };
}

/// The section is over.
pub fn end(parser: &mut Parser) {
    let section = std::mem::take(&mut parser.mailers);
    parser.mailer_sections.push(section);
}

/// Finds each proxy's section.
pub fn settle(parser: &mut Parser, proxies: &mut [crate::config::model::Proxy]) {
    let used = (0..parser.mailer_sections.len()).map(|section| parser.vrrp.mailers.contains(&section));
    let mut used: Vec<bool> = used.collect();
    for proxy in proxies.iter_mut().filter(|p| p.email_alert.said) {
        let EmailAlert { mailers: Some(wanted), from: Some(_), to: Some(_), .. } = &proxy.email_alert else {
            let kind = if proxy.kind_name() == "listen" { "proxy" } else { proxy.kind_name() };
            let message = format!(
                "'email-alert' will be ignored for {kind} '{}' (the presence any of 'email-alert from', 'email-alert level' \
                 'email-alert mailers', 'email-alert myhostname', or 'email-alert to' requires each of 'email-alert from', \
                 'email-alert mailers' and 'email-alert to' to be present).",
                proxy.name
            );
            parser.report(about_all(Severity::Warning, message, None));
            continue;
        };
        let found = parser.mailer_sections.iter().position(|m| m.name == *wanted);
        match found {
            Some(section) => used[section] = true,
            None => {
                let names = parser.mailer_sections.iter().map(|m| m.name.as_str());
                let hint = suggest::hint(wanted, names);
                let message = format!("Proxy '{}': unable to find mailers '{wanted}'.", proxy.name);
                parser.report(about_all(Severity::Alert, message, hint));
            }
        }
        proxy.email_alert.section = found;
    }
    let idle: Vec<String> = parser
        .mailer_sections
        .iter()
        .zip(used)
        .filter(|(_, used)| !used)
        .map(|(section, _)| format!("Removing incomplete section 'mailers {}'.", section.name))
        .collect();
    idle.into_iter().for_each(|message| parser.report(about_all(Severity::Warning, message, None)));
}

fn about_all(severity: Severity, message: String, hint: Option<String>) -> Diagnostic {
    Diagnostic { severity, place: None, message, source: None, hint }
}
