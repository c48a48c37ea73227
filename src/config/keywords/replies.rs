//! `errorfile`, `errorloc*`, `errorfiles`, `http-error` lines (also of `http-errors` sections).

use crate::config::actions::Arguments;
use crate::config::actions::reply::{self, Kind, STATUSES};
use crate::config::draft::{ErrorFiles, Reference};
use crate::config::keyword::{ANY_PROXY, HTTP_ERRORS, Keyword, Section};
use crate::config::model::ErrorReply;
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::expr::Site;
use std::sync::Arc;

pub const TABLE: &[Keyword] = &[
    Keyword::new(
        "errorfile",
        ANY_PROXY.or(HTTP_ERRORS),
        "<code> <file>",
        "Answers an error with the response in this file.",
        errorfile,
    ),
    Keyword::new(
        "errorloc",
        ANY_PROXY,
        "<code> <url>",
        "Answers an error with a redirection (302).",
        |p, l| {
            errorloc(p, l, 302);
        },
    ),
    Keyword::new(
        "errorloc302",
        ANY_PROXY,
        "<code> <url>",
        "Answers an error with a redirection (302).",
        |p, l| {
            errorloc(p, l, 302);
        },
    ),
    Keyword::new(
        "errorloc303",
        ANY_PROXY,
        "<code> <url>",
        "Answers an error with a redirection (303).",
        |p, l| {
            errorloc(p, l, 303);
        },
    ),
    Keyword::new(
        "errorfiles",
        ANY_PROXY,
        "<name> [<code> ...]",
        "Takes the answers of a http-errors section, all or those of these statuses.",
        errorfiles,
    ),
    Keyword::new(
        "http-error",
        ANY_PROXY,
        "status <code> [content-type <type>] [ { default-errorfiles | errorfile <file> | errorfiles <name> | file <file> | \
         lf-file <file> | string <str> | lf-string <fmt> } ] [ hdr <name> <fmt> ]*",
        "Answers an error with a response of this making.",
        http_error,
    ),
];

fn errorfile(parser: &mut Parser, line: &Line) {
    let mut arguments =
        Arguments { parser, line, at: 1, site: Site::HttpAfterResponse, rule: "errorfile".to_owned() };
    if line.words.len() < 3 {
        arguments.parser.alert(line, 0, "errorfile : expects <status_code> and <file> as arguments.");
        return;
    }
    let Some(status) = status(&mut arguments) else { return };
    let Some(bytes) = reply::file(&mut arguments, "a file") else { return };
    set(parser, status, ErrorReply::Raw(bytes.into()));
}

fn errorloc(parser: &mut Parser, line: &Line, code: u16) {
    let rule = line.word(0).to_owned();
    let mut arguments = Arguments { parser, line, at: 1, site: Site::HttpAfterResponse, rule };
    if line.words.len() < 3 {
        let message = format!("{} : expects <status_code> and <url> as arguments.", line.word(0));
        arguments.parser.alert(line, 0, message);
        return;
    }
    let Some(status) = status(&mut arguments) else { return };
    let Some(url) = arguments.word("an URL") else { return };
    set(parser, status, ErrorReply::Redirect(code, url.into()));
}

fn errorfiles(parser: &mut Parser, line: &Line) {
    let mut arguments =
        Arguments { parser, line, at: 1, site: Site::HttpAfterResponse, rule: "errorfiles".to_owned() };
    let Some(name) = arguments.word("<name> as argument") else { return };
    let mut codes = Vec::new();
    while arguments.at < line.words.len() {
        let Some(code) = status(&mut arguments) else { return };
        codes.push(code);
    }
    let section = Reference { name, line: line.clone(), word: 1 };
    if let Some(draft) = parser.draft() {
        draft.errorfiles.push(ErrorFiles { section, codes });
    }
}

fn http_error(parser: &mut Parser, line: &Line) {
    let mut arguments =
        Arguments { parser, line, at: 1, site: Site::ErrorReply, rule: "http-error".to_owned() };
    let Some(reply) = reply::parse(&mut arguments, Kind::HttpError) else { return };
    if !STATUSES.contains(&reply.status) || !line.words.iter().any(|w| w.text == "status") {
        let message = if line.words.iter().any(|w| w.text == "status") {
            format!("status code '{}' not handled.", reply.status)
        } else {
            "expects at least a status as arguments.".to_owned()
        };
        arguments.fail::<()>(1, &message);
        return;
    }
    set(parser, reply.status, ErrorReply::Reply(Arc::new(reply)));
}

fn status(arguments: &mut Arguments<'_>) -> Option<u16> {
    let index = arguments.at;
    let text = arguments.word("a status code")?;
    match text.parse() {
        Ok(code) if STATUSES.contains(&code) => Some(code),
        _ => {
            let message = format!("status code '{text}' not handled.");
            arguments.fail(index, &message)
        }
    }
}

/// The last line for a status counts.
fn set(parser: &mut Parser, status: u16, reply: ErrorReply) {
    let replies = if parser.section == Section::HttpErrors {
        &mut parser.http_error.replies
    } else {
        let Some(draft) = parser.draft() else { return };
        &mut draft.proxy.errors
    };
    replies.retain(|(known, _)| *known != status);
    replies.push((status, reply));
}
