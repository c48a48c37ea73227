//! `expect`

use super::reader::Reader;
use crate::config::model::check::{Action, Expect, Flavour, Header, Match, Pattern, Text};
use crate::health::Status;
use std::ops::RangeInclusive;
use std::sync::Arc;

const OPTIONS: &[&str] = &[
    "min-recv",
    "comment",
    "ok-status",
    "error-status",
    "tout-status",
    "on-success",
    "on-error",
    "status-code",
];
const OF_TCP: &[&str] = &["string", "rstring", "string-lf", "binary", "rbinary", "binary-lf"];
/// weir's own; HAProxy's messages do not list it.
const DIGEST: &str = "digest";
const OF_HTTP: &[&str] = &["status", "rstatus", "hdr", "fhdr", "string", "rstring", "string-lf"];

const OK: &[Status] = &[Status::L4Ok, Status::L6Ok, Status::L7Ok, Status::L7Conditional];
const ERROR: &[Status] =
    &[Status::L4Connect, Status::L6Response, Status::L7Response, Status::L7Status, Status::L7Conditional];
const TIMEOUT: &[Status] = &[Status::L4Timeout, Status::L6Timeout, Status::L7Timeout];

pub fn parse(reader: &mut Reader<'_>, comment: &mut Option<Arc<str>>, flavour: Flavour) -> Option<Action> {
    if reader.at_end() {
        return reader.fail(1, "expects at least a matching pattern as arguments.");
    }
    let patterns = if flavour == Flavour::Http { OF_HTTP } else { OF_TCP };
    // The pattern may stand anywhere: the rest is put where it belongs when it is known.
    let mut expect = Expect::new(Pattern::Text(Vec::new()));
    let mut found = false;
    while !reader.at_end() {
        let index = reader.at;
        let word = reader.peek().to_owned();
        let (inverse, name) = match word.strip_prefix('!') {
            Some("") => {
                reader.at += 1;
                (true, reader.peek().to_owned())
            }
            Some(name) => (true, name.to_owned()),
            None => (false, word),
        };
        if patterns.contains(&name.as_str()) || flavour == Flavour::Http && name == DIGEST {
            if found {
                return reader.fail(index, "only one pattern expected.");
            }
            reader.at += 1;
            expect.pattern = pattern(reader, &name)?;
            expect.inverse = inverse;
            found = true;
        } else if inverse || !option(reader, &name, &mut expect, comment)? {
            let known: Vec<&str> = OPTIONS.iter().chain(patterns).copied().collect();
            return reader.unknown(reader.at, &known);
        }
    }
    if !found {
        return reader.fail(1, "pattern not found.");
    }
    Some(Action::Expect(Box::new(expect)))
}

/// Takes one option; `Some(false)`: the word is none.
fn option(
    reader: &mut Reader<'_>,
    name: &str,
    expect: &mut Expect,
    comment: &mut Option<Arc<str>>,
) -> Option<bool> {
    if !OPTIONS.contains(&name) {
        return Some(false);
    }
    reader.at += 1;
    match name {
        "min-recv" => expect.min_recv = min_recv(reader)?,
        "comment" => *comment = Some(reader.word("a string")?.into()),
        "ok-status" => expect.ok = Some(status(reader, OK)?),
        "error-status" => expect.error = Some(status(reader, ERROR)?),
        "tout-status" => expect.timeout = Some(status(reader, TIMEOUT)?),
        "on-success" => expect.on_success = Some(reader.format("a string")?),
        "on-error" => expect.on_error = Some(reader.format("a string")?),
        _ => expect.status_code = Some(reader.expr("a sample expression")?),
    }
    Some(true)
}

fn min_recv(reader: &mut Reader<'_>) -> Option<Option<usize>> {
    let index = reader.at;
    let text = reader.word("an integer")?;
    match text.parse::<i32>() {
        Ok(-1) => Some(None),
        Ok(count) if count >= 0 => Some(usize::try_from(count).ok()),
        _ => reader.fail(index, "'min-recv' expects -1 or an integer from 0 to INT_MAX."),
    }
}

fn status(reader: &mut Reader<'_>, allowed: &[Status]) -> Option<Status> {
    let index = reader.at;
    let option = reader.line.word(index - 1).to_owned();
    let text = reader.word("a status")?;
    let known = Status::by_code(&text).filter(|s| allowed.contains(s));
    if known.is_none() {
        let list = allowed.iter().map(|s| format!("'{}'", s.code())).collect::<Vec<_>>().join(", ");
        return reader.fail(index, &format!("'{option}' only supports {list} status (got '{text}')."));
    }
    known
}

fn pattern(reader: &mut Reader<'_>, name: &str) -> Option<Pattern> {
    const WHAT: &str = "a <pattern>";
    Some(match name {
        "string" => Pattern::Text(reader.word(WHAT)?.into_bytes()),
        "rstring" => Pattern::Regex(reader.regex(false)?),
        "string-lf" => Pattern::Format(reader.format(WHAT)?),
        "binary" => Pattern::Binary(reader.binary()?),
        "rbinary" => Pattern::BinaryRegex(reader.regex(false)?),
        "binary-lf" => Pattern::HexFormat(reader.format(WHAT)?),
        DIGEST => Pattern::Digest(digest(reader)?),
        "rstatus" => Pattern::StatusRegex(reader.regex(false)?),
        "status" => {
            let index = reader.at;
            let text = reader.word(WHAT)?;
            match statuses(&text) {
                Ok(ranges) => Pattern::Status(ranges),
                Err(message) => return reader.fail(index, &message),
            }
        }
        _ => Pattern::Header(header(reader, name == "fhdr")?),
    })
}

/// 32 hexadecimal digits, as md5sum(1) and genhash(1) print them.
fn digest(reader: &mut Reader<'_>) -> Option<[u8; 16]> {
    let index = reader.at;
    let text = reader.word("an MD5 digest")?;
    let bytes = super::from_hex(text.as_bytes()).and_then(|b| <[u8; 16]>::try_from(b).ok());
    if bytes.is_none() {
        return reader.fail(index, &format!("'digest' expects 32 hexadecimal digits (got '{text}')."));
    }
    bytes
}

/// `200,300-399`
pub fn statuses(text: &str) -> Result<Vec<RangeInclusive<u16>>, String> {
    if let Some(c) = text.chars().find(|c| !(c.is_ascii_digit() || matches!(c, ',' | '-'))) {
        return Err(format!("invalid character '{c}' in the list of status codes"));
    }
    let range = |part: &str| {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let (low, high): (u16, u16) = (low.parse().ok()?, high.parse().ok()?);
        (low <= high).then_some(low..=high)
    };
    let wrong = |part: &str| format!("invalid range of status codes '{part}'");
    text.split(',').map(|part| range(part).ok_or_else(|| wrong(part))).collect()
}

fn header(reader: &mut Reader<'_>, full: bool) -> Option<Header> {
    let keyword = if full { "fhdr" } else { "hdr" };
    let index = reader.at;
    let usage = format!("'{keyword}' expects at the name keyword as first argument followed by a pattern");
    let named = matches!(reader.peek(), "name" | "name-lf");
    if !named || reader.line.word(index + 1).is_empty() {
        return reader.fail(index, &usage);
    }
    let name = matching(reader, keyword, true)?;
    let value = match reader.peek() {
        "value" | "value-lf" => Some(matching(reader, keyword, false)?),
        _ => None,
    };
    Some(Header { name, value, full })
}

/// `{ name | name-lf } [ -m <meth> ] <name>`, and the same for values.
fn matching(reader: &mut Reader<'_>, keyword: &str, is_name: bool) -> Option<Match> {
    let format = reader.peek().ends_with("-lf");
    reader.at += 1;
    let mut method = "str".to_owned();
    let index = reader.at;
    if reader.peek() == "-m" {
        reader.at += 1;
        method = reader.word("a matching method")?;
    }
    if method == "reg" {
        if format {
            let message =
                format!("'{keyword}': log-format string is not supported with a regex matching method");
            return reader.fail(index, &message);
        }
        return Some(Match::Regex(reader.regex(is_name)?));
    }
    let what = "a pattern";
    let text = if format { Text::Format(reader.format(what)?) } else { Text::Plain(reader.word(what)?) };
    Some(match method.as_str() {
        "str" => Match::Exact(text),
        "beg" => Match::Begins(text),
        "end" => Match::Ends(text),
        "sub" => Match::Contains(text),
        other => {
            let message = format!(
                "'{keyword}' : '-m' only supports 'str', 'beg', 'end', 'sub' or 'reg' (got '{other}')."
            );
            return reader.fail(index, &message);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lists() {
        assert_eq!(statuses("200,300-399"), Ok(vec![200..=200, 300..=399]));
        assert_eq!(statuses("300-200"), Err("invalid range of status codes '300-200'".to_owned()));
        assert!(statuses("x").is_err_and(|m| m.starts_with("invalid character 'x'")));
        assert!(statuses("200,,").is_err());
    }
}
