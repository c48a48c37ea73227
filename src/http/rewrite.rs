//! Actions that edit a head: headers, start line, status.

use super::normalize::{self, Malformed};
use super::rules::{Phase, render};
use super::{status, target};
use crate::config::model::HttpAction;
use crate::config::model::action::NameMatch;
use crate::expr::{LogFormat, Regex};
use crate::live::rules::Editable;
use crate::message::Head;
use std::ops::Range;

/// Why an edit could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The replacement is not well-formed (a lone backslash at its end), or the head would no longer fit into a buffer: 500
    /// unless `strict-mode off`.
    Rewrite,
    /// `normalize-uri … strict` met a target that is malformed: 400.
    BadRequest,
}

/// Carries out one editing action. An action that has no meaning in this phase does nothing; the parser refuses those.
///
/// # Errors
/// See [`Failure`].
pub fn apply(phase: Phase, action: &HttpAction, ctx: &mut dyn Editable) -> Result<(), Failure> {
    match action {
        HttpAction::AddHeader { name, value } => return add_header(phase, name, value, false, ctx),
        HttpAction::SetHeader { name, value } => return add_header(phase, name, value, true, ctx),
        HttpAction::DelHeader(name) => {
            if let Some(head) = edited(phase, ctx) {
                head.remove_where(|field, _| matches(name, field));
            }
        }
        HttpAction::ReplaceHeader { name, pattern, value } => {
            return replace_header(phase, name, pattern, value, whole_value, ctx);
        }
        HttpAction::ReplaceValue { name, pattern, value } => {
            return replace_header(phase, name, pattern, value, each_item, ctx);
        }
        HttpAction::SetMethod(format) => {
            let method = render(format, ctx);
            if let Some(head) = ctx.request_mut() {
                head.set_method(&method);
            }
        }
        HttpAction::SetPath(format) => return set_target(target::with_path, format, ctx),
        HttpAction::SetPathQuery(format) => return set_target(target::with_path_and_query, format, ctx),
        HttpAction::SetQuery(format) => return set_target(target::with_query, format, ctx),
        HttpAction::SetUri(format) => {
            let uri = render(format, ctx);
            return set_uri(&uri, ctx);
        }
        HttpAction::ReplacePath { pattern, value } => return replace_path(pattern, value, false, ctx),
        HttpAction::ReplacePathQuery { pattern, value } => return replace_path(pattern, value, true, ctx),
        HttpAction::ReplaceUri { pattern, value } => return replace_uri(pattern, value, ctx),
        HttpAction::SetStatus { status: code, reason } => {
            if let Some(head) = ctx.response_mut() {
                head.set_status(*code);
                head.set_reason(reason.as_deref().unwrap_or_else(|| status::reason(*code)).as_bytes());
            }
        }
        HttpAction::NormalizeUri(normalizer) => {
            let Some(head) = ctx.request_mut() else { return Ok(()) };
            match normalize::apply(*normalizer, head.target()) {
                Ok(Some(new)) => head.set_target(&new),
                Ok(None) => {}
                Err(Malformed) => return Err(Failure::BadRequest),
            }
        }
        _ => {}
    }
    Ok(())
}

/// The head that header actions of this phase edit.
fn edited(phase: Phase, ctx: &mut dyn Editable) -> Option<&mut Head> {
    match phase {
        Phase::Request => ctx.request_mut(),
        Phase::Response | Phase::AfterResponse => ctx.response_mut(),
    }
}

fn add_header(
    phase: Phase,
    name: &str,
    value: &LogFormat,
    replace: bool,
    ctx: &mut dyn Editable,
) -> Result<(), Failure> {
    let value = render(value, ctx);
    let size = ctx.bufsize();
    let Some(head) = edited(phase, ctx) else { return Ok(()) };
    if replace {
        head.remove(name.to_ascii_lowercase().as_bytes());
    }
    if !head.fits(size, name.len() + value.len() + 8) {
        return Err(Failure::Rewrite);
    }
    head.add(name.as_bytes(), &value);
    follow_host(phase, name, &value, head);
    Ok(())
}

/// An absolute-form target and `host` must agree (RFC 9112 3.2.2): whoever changes `host` changes the target.
fn follow_host(phase: Phase, name: &str, value: &[u8], head: &mut Head) {
    if phase == Phase::Request
        && name.eq_ignore_ascii_case("host")
        && let Some(range) = target::authority_range(head.target())
    {
        let new = target::splice(head.target(), range, value);
        head.set_target(&new);
    }
}

/// The exact name was lowered by the parser; a regex sees the lower-case name.
fn matches(name: &NameMatch, field: &[u8]) -> bool {
    match name {
        NameMatch::Exact(text) => field == text.as_bytes(),
        NameMatch::Begins(text) => field.starts_with(text.as_bytes()),
        NameMatch::Ends(text) => field.ends_with(text.as_bytes()),
        NameMatch::Contains(text) => memchr::memmem::find(field, text.as_bytes()).is_some(),
        NameMatch::Regex(regex) => regex.is_match(field),
    }
}

type Replacer = fn(&[u8], &Regex, &[u8]) -> Result<Option<Vec<u8>>, Failure>;

fn replace_header(
    phase: Phase,
    name: &str,
    pattern: &Regex,
    format: &LogFormat,
    replace: Replacer,
    ctx: &mut dyn Editable,
) -> Result<(), Failure> {
    let lower = name.to_ascii_lowercase();
    let present = edited(phase, ctx).is_some_and(|head| head.has(lower.as_bytes()));
    if !present {
        return Ok(());
    }
    let template = render(format, ctx);
    let size = ctx.bufsize();
    let Some(head) = edited(phase, ctx) else { return Ok(()) };
    for index in 0..head.field_count() {
        let Some((_, value)) = head.fields().nth(index).filter(|(n, _)| *n == lower.as_bytes()) else {
            continue;
        };
        if let Some(new) = replace(value, pattern, &template)? {
            if !head.fits(size, new.len().saturating_sub(value.len())) {
                return Err(Failure::Rewrite);
            }
            head.replace_value(index, &new);
            follow_host(phase, &lower, &new, head);
        }
    }
    Ok(())
}

/// `replace-header`: where the pattern is found, the whole value gives way to the replacement.
fn whole_value(value: &[u8], pattern: &Regex, template: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
    match pattern.captures_at(value, 0) {
        Some(groups) => expand(template, value, &groups).map(Some),
        None => Ok(None),
    }
}

/// `replace-value`: each comma-separated item on its own; a replaced item loses the white space around it.
fn each_item(value: &[u8], pattern: &Regex, template: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
    let mut new = Vec::with_capacity(value.len());
    let mut changed = false;
    for (index, item) in items(value).into_iter().enumerate() {
        if index > 0 {
            new.push(b',');
        }
        let raw = value.get(item).unwrap_or_default();
        let text = raw.trim_ascii();
        if let Some(groups) = pattern.captures_at(text, 0) {
            new.extend(expand(template, text, &groups)?);
            changed = true;
        } else {
            new.extend_from_slice(raw);
        }
    }
    Ok(changed.then_some(new))
}

/// The ranges between commas that stand outside quotes.
fn items(value: &[u8]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (i, b) in value.iter().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                ranges.push(start..i);
                start = i + 1;
            }
            _ => {}
        }
    }
    ranges.push(start..value.len());
    ranges
}

/// Fills `\0`..`\9` and `\xHH` into the template; any other escaped byte stands for itself.
fn expand(template: &[u8], text: &[u8], groups: &[Option<(usize, usize)>]) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::with_capacity(template.len() + text.len());
    let mut bytes = template.iter();
    while let Some(b) = bytes.next() {
        if *b != b'\\' {
            out.push(*b);
            continue;
        }
        match bytes.next() {
            None => return Err(Failure::Rewrite),
            Some(digit @ b'0'..=b'9') => {
                if let Some(Some((start, end))) = groups.get(usize::from(digit - b'0')) {
                    out.extend_from_slice(text.get(*start..*end).unwrap_or_default());
                }
            }
            Some(b'x') => {
                let high = bytes.next().and_then(|b| (*b as char).to_digit(16)).ok_or(Failure::Rewrite)?;
                let low = bytes.next().and_then(|b| (*b as char).to_digit(16)).ok_or(Failure::Rewrite)?;
                out.push((high * 16 + low) as u8);
            }
            Some(other) => out.push(*other),
        }
    }
    Ok(out)
}

fn set_target(
    edit: fn(&[u8], &[u8]) -> Vec<u8>,
    format: &LogFormat,
    ctx: &mut dyn Editable,
) -> Result<(), Failure> {
    let value = render(format, ctx);
    let size = ctx.bufsize();
    let Some(head) = ctx.request_mut() else { return Ok(()) };
    let new = edit(head.target(), &value);
    replace_target(head, &new, size)
}

fn replace_target(head: &mut Head, new: &[u8], size: usize) -> Result<(), Failure> {
    if !head.fits(size, new.len().saturating_sub(head.target().len())) {
        return Err(Failure::Rewrite);
    }
    head.set_target(new);
    Ok(())
}

/// `set-uri`: the target is replaced whole, and `host` follows where the new one names an authority.
fn set_uri(uri: &[u8], ctx: &mut dyn Editable) -> Result<(), Failure> {
    let size = ctx.bufsize();
    let Some(head) = ctx.request_mut() else { return Ok(()) };
    replace_target(head, uri, size)?;
    let index = head.fields().position(|(name, _)| name == b"host");
    if let (Some(host), Some(index)) = (target::host(uri), index) {
        head.replace_value(index, host);
    }
    Ok(())
}

fn replace_path(
    pattern: &Regex,
    format: &LogFormat,
    with_query: bool,
    ctx: &mut dyn Editable,
) -> Result<(), Failure> {
    let template = render(format, ctx);
    let size = ctx.bufsize();
    let Some(head) = ctx.request_mut() else { return Ok(()) };
    let Some(whole) = target::path_and_query(head.target()) else { return Ok(()) };
    let path = if with_query { whole } else { target::before_query(whole) };
    let Some(groups) = pattern.captures_at(path, 0) else { return Ok(()) };
    let new = expand(&template, path, &groups)?;
    let edit = if with_query { target::with_path_and_query } else { target::with_path };
    let new = edit(head.target(), &new);
    replace_target(head, &new, size)
}

fn replace_uri(pattern: &Regex, format: &LogFormat, ctx: &mut dyn Editable) -> Result<(), Failure> {
    let template = render(format, ctx);
    let Some(uri) = ctx.request().map(Head::target) else { return Ok(()) };
    let Some(groups) = pattern.captures_at(uri, 0) else { return Ok(()) };
    let new = expand(&template, uri, &groups)?;
    set_uri(&new, ctx)
}

#[cfg(test)]
mod tests;
