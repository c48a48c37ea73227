//! The arguments of `return`, `deny`, `tarpit` and `http-error`, and files that hold whole responses.

use super::Arguments;
use crate::config::model::{ErrorReply, Reply, ReplyBody};
use crate::config::suggest;
use crate::expr::LogFormat;
use std::sync::Arc;

/// Statuses that have a page.
pub const STATUSES: &[u16] =
    &[200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 421, 422, 425, 429, 500, 501, 502, 503, 504];

const WORDS: &[&str] = &[
    "status",
    "content-type",
    "default-errorfiles",
    "errorfile",
    "errorfiles",
    "file",
    "lf-file",
    "string",
    "lf-string",
    "hdr",
];

/// Which action the reply belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Return,
    /// `deny` and `tarpit`, with the status of a bare one.
    Deny(u16),
    HttpError,
}

/// Reads up to the condition.
pub fn parse(arguments: &mut Arguments<'_>, kind: Kind) -> Option<Reply> {
    let mut status = None;
    let mut content_type = None;
    let mut headers: Vec<(String, LogFormat)> = Vec::new();
    let mut payload: Option<Payload> = None;
    while !arguments.at_end() {
        let index = arguments.at;
        let word = arguments.peek().to_owned();
        arguments.at += 1;
        match word.as_str() {
            "status" | "deny_status" if word == "status" || matches!(kind, Kind::Deny(_)) => {
                let (min, max) = if kind == Kind::Return { (200, 599) } else { (200, 999) };
                status = Some(arguments.integer("a status code", min, max)? as u16);
            }
            "content-type" => content_type = Some(arguments.word("<ctype> as argument")?),
            "hdr" => {
                let name = arguments.word("<name> and <value> as arguments")?;
                if ["connection", "transfer-encoding"].iter().any(|h| name.eq_ignore_ascii_case(h)) {
                    let message = format!("'hdr' : header '{name}' is ignored.");
                    arguments.parser.warning(arguments.line, index + 1, message);
                    arguments.at += 1;
                    continue;
                }
                if name.eq_ignore_ascii_case("content-length") {
                    return arguments.fail(index + 1, "'hdr' : 'content-length' is set automatically.");
                }
                headers.push((name, arguments.format("<name> and <value> as arguments")?));
            }
            "default-errorfiles" | "errorfile" | "errorfiles" | "file" | "lf-file" | "string"
            | "lf-string" => {
                if payload.is_some() {
                    let message = format!("'{word}' : a payload has already been set.");
                    return arguments.fail(index, &message);
                }
                payload = Some(Payload::read(arguments, &word)?);
            }
            _ => {
                let list = WORDS.iter().map(|w| format!("'{w}'")).collect::<Vec<_>>().join(", ");
                let message = format!("expects {list}, 'if' or 'unless' (was '{word}').");
                let hint = suggest::hint(&word, WORDS.iter().copied());
                return arguments.fail_hint(index, &message, hint);
            }
        }
    }
    finish(arguments, kind, status, content_type, headers, payload)
}

enum Payload {
    Pages,
    Raw(Arc<[u8]>),
    Section(String, usize),
    Bytes(Vec<u8>),
    Format(LogFormat),
}

impl Payload {
    fn read(arguments: &mut Arguments<'_>, word: &str) -> Option<Self> {
        let index = arguments.at;
        Some(match word {
            "default-errorfiles" => Self::Pages,
            "errorfile" => Self::Raw(file(arguments, "a full path name to a file")?.into()),
            "errorfiles" => Self::Section(arguments.word("a http-errors section name")?, index),
            "file" => Self::Bytes(contents(arguments)?),
            "lf-file" => {
                let bytes = contents(arguments)?;
                let Ok(text) = String::from_utf8(bytes) else {
                    return arguments.fail(index, "the file of 'lf-file' is not text.");
                };
                Self::Format(text_format(arguments, index, &text)?)
            }
            "string" => Self::Bytes(present(arguments)?.into_bytes()),
            _ => {
                let text = present(arguments)?;
                Self::Format(text_format(arguments, index, &text)?)
            }
        })
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Bytes(bytes) if bytes.is_empty())
    }
}

fn finish(
    arguments: &mut Arguments<'_>,
    kind: Kind,
    status: Option<u16>,
    content_type: Option<String>,
    headers: Vec<(String, LogFormat)>,
    payload: Option<Payload>,
) -> Option<Reply> {
    let at = arguments.at.saturating_sub(1);
    let usual = match kind {
        Kind::Deny(status) => status,
        Kind::Return | Kind::HttpError => 200,
    };
    let code = status.unwrap_or(usual);
    // Nothing said at all: a deny shows the page, a return an empty body.
    let bare = payload.is_none() && headers.is_empty() && content_type.is_none();
    let payload = match payload {
        Some(payload) => payload,
        None if bare && kind != Kind::Return => Payload::Pages,
        None => Payload::Bytes(Vec::new()),
    };
    let body = match payload {
        Payload::Pages | Payload::Raw(_) | Payload::Section(..) if !headers.is_empty() => {
            return arguments.fail(at, "no http header can be set with an errorfile.");
        }
        Payload::Pages => {
            if !STATUSES.contains(&code) {
                let message = format!(
                    "status code '{code}' not handled by default with 'default-errorfiles' argument."
                );
                return arguments.fail(at, &message);
            }
            ReplyBody::Default
        }
        Payload::Raw(bytes) => ReplyBody::Raw(bytes),
        Payload::Section(name, index) => return section(arguments, &name, index, code),
        other => {
            if content_type.is_none() && !other.is_empty() {
                return arguments
                    .fail(at, "a content type must be defined when non-empty payload is configured.");
            }
            match other {
                Payload::Format(format) => ReplyBody::Format(format),
                Payload::Bytes(bytes) => ReplyBody::Bytes(bytes.into()),
                _ => ReplyBody::Default,
            }
        }
    };
    Some(Reply { status: code, content_type, headers, body })
}

/// `errorfiles NAME`: the section's answer for the status.
fn section(arguments: &mut Arguments<'_>, name: &str, index: usize, status: u16) -> Option<Reply> {
    let found = arguments.parser.http_errors.iter().find(|s| *s.name == *name).cloned();
    let Some(section) = found else {
        let hint = suggest::hint(name, arguments.parser.http_errors.iter().map(|s| &*s.name));
        let message = format!("unknown http-errors section '{name}'.");
        return arguments.fail_hint(index, &message, hint);
    };
    match section.replies.iter().find(|(code, _)| *code == status) {
        Some((_, ErrorReply::Raw(bytes))) => {
            Some(Reply { status, body: ReplyBody::Raw(bytes.clone()), ..Reply::default() })
        }
        _ => {
            let message = format!("status code '{status}' not declared in the http-errors section '{name}'.");
            arguments.fail(index, &message)
        }
    }
}

fn text_format(arguments: &mut Arguments<'_>, index: usize, text: &str) -> Option<LogFormat> {
    match LogFormat::parse(text, arguments.site, arguments.scope()) {
        Ok(format) => Some(format),
        Err(mut error) => {
            error.word = 0;
            arguments.expr_error(index, error)
        }
    }
}

/// A word that may be empty but must stand there.
fn present(arguments: &mut Arguments<'_>) -> Option<String> {
    if arguments.at >= arguments.line.words.len() {
        return arguments.fail(arguments.at, "expects <str> as argument.");
    }
    arguments.at += 1;
    Some(arguments.line.word(arguments.at - 1).to_owned())
}

fn contents(arguments: &mut Arguments<'_>) -> Option<Vec<u8>> {
    let index = arguments.at;
    arguments.word("<file> as argument")?;
    let context = arguments.frame();
    arguments.parser.read_file(arguments.line, index, &context)
}

/// Takes the name of a file that holds a whole response.
pub fn file(arguments: &mut Arguments<'_>, expected: &str) -> Option<Vec<u8>> {
    let index = arguments.at;
    let name = arguments.word(expected)?;
    let context = arguments.frame();
    let bytes = arguments.parser.read_file(arguments.line, index, &context)?;
    match check_response(&bytes) {
        Ok(()) => Some(bytes),
        Err(problem) => {
            let message = format!("'{name}': {problem}");
            arguments.fail(index, &message)
        }
    }
}

/// Is this a response that can be sent as an error page?
///
/// # Errors
/// HAProxy's sentence on what is wrong with it.
pub fn check_response(bytes: &[u8]) -> Result<(), String> {
    let mut slots = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut slots);
    let len = match response.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if bytes.is_empty() => return Ok(()),
        Ok(httparse::Status::Partial) => return Err("unable to parse headers: the head does not end".into()),
        Err(error) => return Err(format!("unable to parse headers: {error}")),
    };
    let body = bytes.len() - len;
    for field in response.headers.iter() {
        if field.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err("chunk-encoded payload not supported".into());
        }
        if field.name.eq_ignore_ascii_case("content-length") {
            let announced = String::from_utf8_lossy(field.value).trim().to_owned();
            if announced.parse() != Ok(body) {
                return Err(format!(
                    "payload size does not match the announced content-length ({body} != {announced})"
                ));
            }
        }
    }
    Ok(())
}
