//! `redirect`: where to, and the answer that says so, with HAProxy's bytes.

use super::reply::{Answer, response_head};
use super::rules::render;
use super::target;
use crate::config::model::{Redirect, RedirectTarget};
use crate::live::rules::Editable;
use crate::message::Head;

/// The redirection, or `None` where the rule has nothing to say (`ignore-empty` and an empty location).
pub fn answer(redirect: &Redirect, ctx: &mut dyn Editable) -> Option<Answer> {
    let location = location(redirect, ctx)?;
    let mut head = response_head(redirect.code, phrase(redirect.code));
    head.add(b"content-length", b"0");
    head.add(b"location", &location);
    if matches!(redirect.code, 302 | 303 | 307) {
        head.add(b"cache-control", b"no-cache");
    }
    if let Some(cookie) = &redirect.cookie {
        head.add(b"set-cookie", cookie.as_bytes());
    }
    let mut answer = Answer::new(head, Vec::new());
    answer.redirects = true;
    Some(answer)
}

/// `server ... redir PREFIX`
pub(super) fn to_server(prefix: &str, request: &Head) -> Answer {
    let mut location = prefix.as_bytes().to_vec();
    location.extend_from_slice(target::path_and_query(request.target()).unwrap_or(b"/"));
    let mut head = response_head(302, phrase(302));
    head.add(b"cache-control", b"no-cache");
    head.add(b"content-length", b"0");
    head.add(b"location", &location);
    let mut answer = Answer::new(head, Vec::new());
    answer.redirects = true;
    answer.close = true;
    answer
}

fn location(redirect: &Redirect, ctx: &mut dyn Editable) -> Option<Vec<u8>> {
    match &redirect.target {
        RedirectTarget::Location(format) => {
            let mut location = render(format, ctx);
            if location.is_empty() && redirect.ignore_empty {
                return None;
            }
            if redirect.keep_query {
                append_query(&mut location, ctx);
            }
            Some(location)
        }
        RedirectTarget::Prefix(format) => {
            let prefix = render(format, ctx);
            // "/" alone means "no prefix": the path begins with one already.
            let mut location = if prefix == b"/" { Vec::new() } else { prefix };
            append_path(redirect, ctx, &mut location);
            Some(location)
        }
        RedirectTarget::Scheme(format) => {
            let mut location = render(format, ctx);
            location.extend_from_slice(b"://");
            if let Some(request) = ctx.request() {
                location.extend_from_slice(request.first(b"host").unwrap_or_default());
            }
            append_path(redirect, ctx, &mut location);
            Some(location)
        }
    }
}

fn append_path(redirect: &Redirect, ctx: &dyn Editable, location: &mut Vec<u8>) {
    let whole = ctx.request().map(|r| r.target()).and_then(target::path_and_query).unwrap_or(b"/");
    location.extend_from_slice(if redirect.drop_query { target::before_query(whole) } else { whole });
    if redirect.append_slash && location.last() != Some(&b'/') {
        location.push(b'/');
    }
}

/// `keep-query`: after `?`, or after `&` where the location has a query already.
fn append_query(location: &mut Vec<u8>, ctx: &dyn Editable) {
    let Some(query) = ctx.request().and_then(|r| target::query(r.target())).filter(|q| !q.is_empty()) else {
        return;
    };
    match location.iter().position(|b| *b == b'?') {
        None => location.push(b'?'),
        Some(_) if matches!(location.last(), Some(b'?' | b'&')) => {}
        Some(_) => location.push(b'&'),
    }
    location.extend_from_slice(query);
}

fn phrase(code: u16) -> &'static str {
    match code {
        301 => "Moved Permanently",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        _ => "Found",
    }
}
