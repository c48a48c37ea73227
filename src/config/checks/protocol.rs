//! The built-in protocol checks as rule sets. What they send and read is the protocols' own: RFC 5321 (SMTP), RFC 4511
//! (LDAP), RFC 6101 (SSL 3.0), the public protocol pages of MySQL, PostgreSQL and Redis, and HAProxy's SPOE.txt.

use crate::config::model::CheckKind;
use crate::config::model::check::{Action, Connect, Expect, Flavour, Pattern, RuleSet, Send, Step};
use crate::expr::{Expr, LogFormat, Regex, Scope, Site};
use crate::health::Status;
use std::sync::Arc;

fn rules(steps: Vec<Step>) -> CheckKind {
    let implicit = !matches!(steps.first().map(|s| &s.action), Some(Action::Connect(_)));
    let mut steps = steps;
    if implicit {
        steps.insert(0, connect(false));
    }
    let rules = RuleSet { implicit_connect: implicit, ..RuleSet::new(Flavour::Protocol, steps) };
    CheckKind::Rules(Arc::new(rules))
}

fn connect(linger: bool) -> Step {
    Action::Connect(Box::new(Connect { default: true, linger, ..Connect::default() })).into()
}

fn send(bytes: impl Into<Vec<u8>>) -> Step {
    Action::Send(Send::Bytes(bytes.into())).into()
}

/// `None` when the pattern does not compile, which a test excludes.
fn regex(pattern: &str) -> Option<Pattern> {
    Regex::new(pattern, false).ok().map(Pattern::Regex)
}

fn format(text: &str) -> Option<LogFormat> {
    LogFormat::parse(text, Site::Check, &Scope::default()).ok()
}

fn expr(text: &str) -> Option<Expr> {
    Expr::parse(&[text], Site::Check, &Scope::default()).ok().map(|(expr, _)| expr)
}

fn expect(expect: Expect) -> Step {
    Action::Expect(Box::new(expect)).into()
}

/// `option smtpchk`: a greeting, an answer to the hello, one to the goodbye, all of them 2xx.
#[must_use]
pub fn smtp(hello: &str) -> Option<CheckKind> {
    let answer = |pattern: Pattern, min_recv: Option<usize>| Expect {
        min_recv,
        error: Some(Status::L7Status),
        on_error: format("%[res.payload(4,0),ltrim(' '),cut_crlf]"),
        on_success: format("%[res.payload(4,0),ltrim(' '),cut_crlf]"),
        status_code: expr("res.payload(0,3)"),
        ..Expect::new(pattern)
    };
    let greeting = Expect {
        min_recv: Some(4),
        error: Some(Status::L7Response),
        on_error: format("%[res.payload(0,0),cut_crlf]"),
        ..Expect::new(regex("^[0-9]{3}[ \\r]")?)
    };
    let whole = "^(2[0-9]{2}-[^\\r]*\\r\\n)*2[0-9]{2}[ \\r]";
    Some(rules(vec![
        connect(true),
        expect(greeting),
        expect(answer(regex("^2[0-9]{2}[ \\r]")?, Some(4))),
        send(format!("{hello}\r\n")),
        expect(answer(regex(whole)?, None)),
        send("QUIT\r\n"),
        expect(answer(regex("^2[0-9]{2}[- \\r]")?, Some(4))),
    ]))
}

/// `option redis-check`
#[must_use]
pub fn redis() -> CheckKind {
    let pong = Expect {
        error: Some(Status::L7Status),
        on_success: format("Redis server is ok"),
        on_error: format("%[res.payload(0,0),cut_crlf]"),
        ..Expect::new(Pattern::Text(b"+PONG\r\n".to_vec()))
    };
    rules(vec![send("*1\r\n$4\r\nPING\r\n"), expect(pong)])
}

/// `option pgsql-check`: a startup message; anything but an error answers it.
#[must_use]
pub fn pgsql(user: &str) -> Option<CheckKind> {
    let mut startup = vec![0, 3, 0, 0];
    for word in ["user", user, ""] {
        startup.extend_from_slice(word.as_bytes());
        startup.push(0);
    }
    let length = u32::try_from(startup.len() + 4).ok()?;
    let message = [length.to_be_bytes().as_slice(), &startup].concat();
    let error = Expect {
        inverse: true,
        min_recv: Some(5),
        error: Some(Status::L7Response),
        on_error: format("%[res.payload(6,0)]"),
        ..Expect::new(regex("^E")?)
    };
    let authentication = Expect {
        min_recv: Some(9),
        error: Some(Status::L7Status),
        on_success: format("PostgreSQL server is ok"),
        on_error: format("PostgreSQL unknown error"),
        ..Expect::new(regex("^R\\x00\\x00\\x00[\\x08-\\xff]\\x00\\x00\\x00[\\x00-\\x0a]")?)
    };
    Some(rules(vec![connect(true), send(message), expect(error), expect(authentication)]))
}

/// `option mysql-check`: reads the greeting; with a user, logs in first and leaves at once.
#[must_use]
pub fn mysql(user: Option<&str>, before_41: bool) -> Option<CheckKind> {
    let greeting = expect(Expect::new(Pattern::MysqlGreeting));
    let Some(user) = user else { return Some(rules(vec![connect(true), greeting])) };
    let mut login: Vec<u8> = Vec::new();
    if before_41 {
        // CLIENT_TRANSACTIONS; a packet of up to 16 MB
        login.extend_from_slice(&[0x00, 0x80, 0x00, 0x00, 0x01]);
    } else {
        // CLIENT_PROTOCOL_41, CLIENT_SECURE_CONNECTION; the same limit; utf8; 23 reserved bytes
        login.extend_from_slice(&[0x00, 0x82, 0x00, 0x00, 0x00, 0x80, 0x00, 0x01, 0x21]);
        login.extend_from_slice(&[0; 23]);
    }
    login.extend_from_slice(user.as_bytes());
    // The end of the name, and no password.
    login.extend_from_slice(&[0, 0]);
    let length = u32::try_from(login.len()).ok()?.to_le_bytes();
    let mut message = vec![length[0], length[1], length[2], 1];
    message.extend(login);
    // COM_QUIT
    message.extend_from_slice(&[1, 0, 0, 0, 1]);
    let answer = expect(Expect::new(Pattern::MysqlAnswer));
    Some(rules(vec![connect(true), send(message), greeting, answer]))
}

/// `option ldap-check`: an anonymous bind (RFC 4511 4.2).
#[must_use]
pub fn ldap() -> CheckKind {
    // LDAPMessage { messageID 1, bindRequest { version 3, name "", simple "" } }
    const BIND: [u8; 14] = [0x30, 12, 2, 1, 1, 0x60, 7, 2, 1, 3, 4, 0, 0x80, 0];
    let answer = Expect { min_recv: Some(BIND.len()), ..Expect::new(Pattern::LdapBind) };
    rules(vec![send(BIND), expect(answer)])
}

/// `option spop-check`: a HAPROXY-HELLO frame that says it is a health check.
#[must_use]
pub fn spop() -> CheckKind {
    const STRING: u8 = 8;
    const NUMBER: u8 = 3;
    const TRUE: u8 = 0x11;
    let mut frame = vec![1, 0, 0, 0, 1, 0, 0];
    let mut name = |text: &str, value: &[u8]| {
        frame.push(u8::try_from(text.len()).unwrap_or(0));
        frame.extend_from_slice(text.as_bytes());
        frame.extend_from_slice(value);
    };
    name("supported-versions", &[&[STRING, 3], b"2.0".as_slice()].concat());
    // 16380 as a variable-length number
    name("max-frame-size", &[NUMBER, 0xfc, 0xf0, 0x06]);
    name("capabilities", &[STRING, 0]);
    name("healthcheck", &[TRUE]);
    let length = u32::try_from(frame.len()).unwrap_or(0).to_be_bytes();
    let hello = Expect { min_recv: Some(4), ..Expect::new(Pattern::SpopHello) };
    rules(vec![send([length.as_slice(), &frame].concat()), expect(hello)])
}

/// `option ssl-hello-chk`: an SSL 3.0 client hello; a handshake record or an alert answers it.
#[must_use]
pub fn ssl_hello() -> Option<CheckKind> {
    // The cipher suites of SSL 3.0 and of the first AES draft.
    let suites: Vec<u8> = (0x01..=0x1b).chain(0x2f..=0x3a).flat_map(|suite| [0, suite]).collect();
    let suites_length = u16::try_from(suites.len()).ok()?.to_be_bytes();
    let mut hello = vec![3, 0];
    // Nothing is encrypted: the 32 bytes need not be random.
    hello.extend_from_slice(b"weir health check, SSLv3 hello. ");
    hello.push(0);
    hello.extend_from_slice(&suites_length);
    hello.extend(suites);
    hello.extend_from_slice(&[1, 0]);
    let length = u16::try_from(hello.len()).ok()?;
    let mut record = vec![0x16, 3, 0];
    record.extend_from_slice(&(length + 4).to_be_bytes());
    record.extend_from_slice(&[1, 0]);
    record.extend_from_slice(&length.to_be_bytes());
    record.extend(hello);
    let answer = Expect {
        min_recv: Some(5),
        ok: Some(Status::L6Ok),
        error: Some(Status::L6Response),
        timeout: Some(Status::L6Timeout),
        ..Expect::new(Pattern::BinaryRegex(Regex::new("^1[56]", false).ok()?))
    };
    Some(rules(vec![send(record), expect(answer)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything a check sends, one message after another.
    fn sent(kind: Option<CheckKind>) -> Vec<u8> {
        let Some(CheckKind::Rules(rules)) = kind else { panic!("no rules") };
        let sends = rules.steps.iter().filter_map(|s| match &s.action {
            Action::Send(Send::Bytes(bytes)) => Some(bytes.as_slice()),
            _ => None,
        });
        sends.collect::<Vec<_>>().concat()
    }

    /// Every literal in here parses.
    #[test]
    fn all_are_whole() {
        let all = [
            smtp("HELO localhost"),
            pgsql("u"),
            mysql(Some("u"), false),
            ssl_hello(),
            Some(redis()),
            Some(ldap()),
            Some(spop()),
        ];
        for kind in all {
            let Some(CheckKind::Rules(rules)) = kind else { panic!("no rules") };
            assert!(matches!(rules.steps[0].action, Action::Connect(_)));
        }
        assert!(format("%[res.payload(4,0),ltrim(' '),cut_crlf]").is_some());
        assert!(expr("res.payload(0,3)").is_some());
        assert!(format("%[res.payload(6,0)]").is_some());
    }

    /// As the protocols' documents have them, and as Debian's haproxy sends them.
    #[test]
    fn messages() {
        assert_eq!(sent(smtp("HELO localhost")), b"HELO localhost\r\nQUIT\r\n");
        assert_eq!(sent(Some(redis())), b"*1\r\n$4\r\nPING\r\n");
        assert_eq!(sent(pgsql("bob")), b"\x00\x00\x00\x12\x00\x03\x00\x00user\x00bob\x00\x00");
        assert_eq!(sent(mysql(None, false)), b"");
        assert_eq!(
            sent(mysql(Some("bob"), true)),
            b"\x0a\x00\x00\x01\x00\x80\x00\x00\x01bob\x00\x00\x01\x00\x00\x00\x01"
        );
        let modern = sent(mysql(Some("bob"), false));
        assert_eq!(modern.len(), 4 + 37 + 5);
        assert!(modern.starts_with(b"\x25\x00\x00\x01\x00\x82\x00\x00\x00\x80\x00\x01\x21\x00"));
        assert!(modern.ends_with(b"\x00bob\x00\x00\x01\x00\x00\x00\x01"));
        let frame = sent(Some(spop()));
        assert_eq!(frame.len(), 4 + 0x4e);
        assert!(frame.starts_with(
            b"\x00\x00\x00\x4e\x01\x00\x00\x00\x01\x00\x00\x12supported-versions\x08\x032.0\x0e"
        ));
        let hello = sent(ssl_hello());
        assert_eq!(hello.len(), 5 + 0x79);
        assert!(hello.starts_with(b"\x16\x03\x00\x00\x79\x01\x00\x00\x75\x03\x00"));
    }
}
