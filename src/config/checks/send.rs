//! `send` and its kin.

use super::reader::Reader;
use crate::config::model::check::{Action, Request, Send, Text};
use std::sync::Arc;

pub fn parse(reader: &mut Reader<'_>, comment: &mut Option<Arc<str>>, name: &str) -> Option<Action> {
    let send = match name {
        "send-lf" => Send::Format(reader.format("a log-format string")?),
        "send-binary-lf" => Send::HexFormat(reader.format("a log-format string")?),
        "send-binary" => Send::Bytes(reader.binary()?),
        _ => Send::Bytes(reader.word("a string")?.into_bytes()),
    };
    while !reader.at_end() {
        if reader.peek() != "comment" {
            return reader.unknown(reader.at, &["comment"]);
        }
        reader.at += 1;
        *comment = Some(reader.word("a string")?.into());
    }
    Some(Action::Send(send))
}

const OPTIONS: &[&str] = &["comment", "meth", "uri", "uri-lf", "ver", "hdr", "body", "body-lf"];

/// `http-check send`
pub fn request(reader: &mut Reader<'_>, comment: &mut Option<Arc<str>>) -> Option<Action> {
    let mut request = Request::default();
    while !reader.at_end() {
        let index = reader.at;
        reader.at += 1;
        match reader.line.word(index) {
            "comment" => *comment = Some(reader.word("a string")?.into()),
            "meth" => request.method = Some(reader.word("a string")?),
            "ver" => request.version = Some(reader.word("a string")?),
            "uri" => request.uri = Some(Text::Plain(reader.word("a string")?)),
            "uri-lf" => request.uri = Some(Text::Format(reader.format("a log-format string")?)),
            "body" => request.body = Some(Text::Plain(reader.word("a string")?)),
            "body-lf" => request.body = Some(Text::Format(reader.format("a log-format string")?)),
            "hdr" => {
                if reader.line.word(index + 1).is_empty() || reader.line.word(index + 2).is_empty() {
                    return reader.fail(index, "'hdr' expects <name> and <value> as arguments");
                }
                let name = reader.word("a name")?;
                let value = reader.format("a value")?;
                // The length is that of the body.
                if !["content-length", "transfer-encoding"].iter().any(|n| name.eq_ignore_ascii_case(n)) {
                    request.headers.push((name.to_ascii_lowercase(), value));
                }
            }
            _ => return reader.unknown(index, OPTIONS),
        }
    }
    Some(Action::Request(Box::new(request)))
}
