//! Health checks: `option httpchk` and `http-check`. Other kinds are known and refused.

use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::keyword::{BACK, Keyword};
use crate::config::model::{Backend, CheckKind, HttpCheckRequest};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::config::suggest;

pub const TABLE: &[Keyword] = &[
    Keyword::new(
        "option httpchk",
        BACK,
        "[<uri> | <method> <uri> [<version>]]",
        "Checks servers with an HTTP request: a status of 2xx or 3xx is a success.",
        httpchk,
    ),
    Keyword::new(
        "option tcp-check",
        BACK,
        "",
        "Checks servers by connecting, as without any option. 'tcp-check' rules are not built yet.",
        |p, l| {
            if l.words.len() > 2 {
                let message =
                    format!("'option tcp-check' cannot handle unexpected argument '{}'.", l.word(2));
                return p.alert(l, 2, message);
            }
            if let Some(back) = back(p) {
                back.check = CheckKind::Tcp;
            }
        },
    ),
    Keyword::new(
        "http-check",
        BACK,
        "disable-on-404 | send-state | send ... | expect [!] status <codes>",
        "What the HTTP check sends and expects.",
        http_check,
    ),
    Keyword::new(
        "http-send-name-header",
        BACK,
        "[<header>]",
        "Adds a header with the server's name to requests.",
        |p, l| {
            let Some(name) = p.text(l, 1, "a header string") else { return };
            if let Some(back) = back(p) {
                back.http_send_name_header = Some(name.into());
            }
        },
    ),
];

const ACTIONS: &[&str] = &["disable-on-404", "send-state", "send", "expect"];
/// Parts of HAProxy's check scripts that are not built.
const UNBUILT: &[&str] = &["comment", "connect", "set-var", "set-var-fmt", "unset-var"];

fn back(parser: &mut Parser) -> Option<&mut Backend> {
    parser.draft().and_then(|d| d.proxy.back.as_mut())
}

fn default_request() -> HttpCheckRequest {
    HttpCheckRequest {
        method: "OPTIONS".into(),
        uri: "/".into(),
        version: "HTTP/1.0".into(),
        headers: Vec::new(),
        expect: Vec::new(),
    }
}

fn httpchk(parser: &mut Parser, line: &Line) {
    let (method, uri, version) = match line.words.len() {
        0..=2 => ("OPTIONS", "/", ""),
        3 => ("OPTIONS", line.word(2), ""),
        4 => (line.word(2), line.word(3), ""),
        _ => (line.word(2), line.word(3), line.word(4)),
    };
    if line.words.len() > 5 {
        let message = format!("'option httpchk' cannot handle unexpected argument '{}'.", line.word(5));
        return parser.alert(line, 5, message);
    }
    // Headers used to be hidden behind the version, after an escaped line end.
    let (version, hidden) = version.split_once("\r\n").unwrap_or((version, ""));
    let mut headers = Vec::new();
    if !hidden.is_empty() {
        let message = "'option httpchk' : hiding headers or body at the end of the version string is deprecated. Please, consider to use 'http-check send' directive instead.";
        parser.warning(line, 4, message);
        for header in hidden.split("\r\n").filter(|h| !h.is_empty()) {
            let Some((name, value)) = header.split_once(':') else {
                let message = format!("'option httpchk' : invalid header '{header}'.");
                return parser.alert(line, 4, message);
            };
            headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    if !version.is_empty() && !version.starts_with("HTTP/") {
        let message = format!("'option httpchk' : invalid HTTP version '{version}'.");
        return parser.alert(line, 4, message);
    }
    let (method, uri) = (method.to_owned(), uri.to_owned());
    let version = if version.is_empty() { "HTTP/1.0".to_owned() } else { version.to_owned() };
    let Some(draft) = parser.draft() else { return };
    let pending = draft.pending_check.take().unwrap_or_else(default_request);
    let base = default_request();
    // What `http-check send` said before goes first; this line fills in the rest.
    let pick = |said: String, usual: String, here: String| if said == usual { here } else { said };
    let mut request = HttpCheckRequest {
        method: pick(pending.method, base.method, method),
        uri: pick(pending.uri, base.uri, uri),
        version: pick(pending.version, base.version, version),
        headers: pending.headers.into_iter().chain(headers).collect(),
        expect: pending.expect,
    };
    if let Some(back) = draft.proxy.back.as_mut() {
        if let CheckKind::Http(before) = &back.check {
            request.expect.clone_from(&before.expect);
        }
        back.check = CheckKind::Http(request);
    }
}

fn http_check(parser: &mut Parser, line: &Line) {
    let action = line.word(1);
    match action {
        "disable-on-404" => {
            if parser.at_most(line, 2)
                && let Some(back) = back(parser)
            {
                back.disable_on_404 = true;
            }
        }
        "send-state" => {
            if parser.at_most(line, 2)
                && let Some(back) = back(parser)
            {
                back.send_state = true;
            }
        }
        "send" => send(parser, line),
        "expect" => expect(parser, line),
        other => {
            let name = other.split('(').next().unwrap_or("");
            if UNBUILT.contains(&name) {
                return parser.unsupported(line, 1, &format!("http-check {name}"));
            }
            let list = ACTIONS.iter().chain(UNBUILT).map(|a| format!("'{a}'")).collect::<Vec<_>>().join(", ");
            let message = format!("'http-check' only supports {list}. but got '{other}'");
            let mut diagnostic = Diagnostic::at(Severity::Alert, line, 1, message);
            diagnostic.hint = suggest::hint(other, ACTIONS.iter().chain(UNBUILT).copied());
            parser.report(diagnostic);
        }
    }
}

/// The request of the HTTP check. Without `option httpchk` HAProxy keeps the rule and does not run it.
fn request(parser: &mut Parser) -> Option<&mut HttpCheckRequest> {
    let draft = parser.draft()?;
    match draft.proxy.back.as_mut().map(|b| &mut b.check) {
        Some(CheckKind::Http(request)) => Some(request),
        _ => Some(draft.pending_check.get_or_insert_with(default_request)),
    }
}

fn send(parser: &mut Parser, line: &Line) {
    let Some(mut wanted) = request(parser).map(|r| r.clone()) else { return };
    let mut i = 2;
    while i < line.words.len() {
        match line.word(i) {
            "meth" => wanted.method = line.word(i + 1).to_owned(),
            "uri" => wanted.uri = line.word(i + 1).to_owned(),
            "ver" => wanted.version = line.word(i + 1).to_owned(),
            "hdr" => {
                if line.word(i + 1).is_empty() || line.words.len() <= i + 2 {
                    return parser.alert(
                        line,
                        i,
                        "'http-check send' : 'hdr' expects a name and a value as parameter.",
                    );
                }
                if line.word(i + 2).contains("%[") || line.word(i + 2).contains("%{") {
                    return parser.unsupported(line, i + 2, "http-check send hdr with a log-format");
                }
                wanted.headers.push((line.word(i + 1).to_owned(), line.word(i + 2).to_owned()));
                i += 1;
            }
            "uri-lf" | "body" | "body-lf" | "comment" => {
                let what = format!("http-check send {}", line.word(i));
                return parser.unsupported(line, i, &what);
            }
            other => {
                let message = format!(
                    "'http-check send' : expects 'meth', 'uri', 'ver', 'hdr', 'body' or 'comment' but got '{other}' as argument."
                );
                let mut diagnostic = Diagnostic::at(Severity::Alert, line, i, message);
                diagnostic.hint = suggest::hint(other, ["meth", "uri", "ver", "hdr", "body", "comment"]);
                return parser.report(diagnostic);
            }
        }
        if line.words.len() <= i + 1 {
            let message = format!("'http-check send' : '{}' expects a string as parameter.", line.word(i));
            return parser.alert(line, i, message);
        }
        i += 2;
    }
    if let Some(request) = request(parser) {
        *request = wanted;
    }
}

/// `expect [!] status 200,204,300-399`
fn expect(parser: &mut Parser, line: &Line) {
    let mut i = 2;
    let negated = line.word(i) == "!";
    if negated {
        i += 1;
    }
    match line.word(i) {
        "status" => {}
        other @ ("min-recv" | "comment" | "ok-status" | "error-status" | "tout-status" | "on-success"
        | "on-error" | "status-code" | "rstatus" | "hdr" | "fhdr" | "string" | "rstring"
        | "string-lf") => {
            return parser.unsupported(line, i, &format!("http-check expect {other}"));
        }
        other => {
            let message = format!(
                "'http-check expect' : only support 'min-recv', 'comment', 'status', '[!]string', '[!]rstring', '[!]rstatus', '[!]hdr' or '[!]fhdr' (got '{other}')"
            );
            return parser.alert(line, i, message);
        }
    }
    let Some(ranges) = statuses(line.word(i + 1)) else {
        let message =
            format!("'http-check expect' : expects 'status' codes as ranges, got '{}'.", line.word(i + 1));
        return parser.alert(line, i + 1, message);
    };
    if line.words.len() > i + 2 {
        let message = format!("'http-check expect' : unexpected argument '{}'.", line.word(i + 2));
        return parser.alert(line, i + 2, message);
    }
    let ranges = if negated { complement(&ranges) } else { ranges };
    if let Some(request) = request(parser) {
        request.expect = ranges;
    }
}

type Statuses = Vec<std::ops::RangeInclusive<u16>>;

fn statuses(text: &str) -> Option<Statuses> {
    text.split(',')
        .map(|part| {
            let (low, high) = part.split_once('-').unwrap_or((part, part));
            let (low, high): (u16, u16) = (low.parse().ok()?, high.parse().ok()?);
            (low >= 100 && low <= high && high <= 999).then_some(low..=high)
        })
        .collect()
}

/// Every status from 100 to 999 that is in no range.
fn complement(ranges: &Statuses) -> Statuses {
    let mut out: Statuses = Vec::new();
    for status in (100..=999).filter(|s| !ranges.iter().any(|r| r.contains(s))) {
        match out.last_mut() {
            Some(last) if *last.end() + 1 == status => *last = *last.start()..=status,
            _ => out.push(status..=status),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lists() {
        assert_eq!(statuses("200,300-399"), Some(vec![200..=200, 300..=399]));
        assert_eq!(statuses("99"), None);
        assert_eq!(statuses("x"), None);
        assert_eq!(complement(&vec![200..=299, 500..=999]), vec![100..=199, 300..=499]);
    }
}
