//! `expect`: is what was received what was wanted?

use super::describe;
use super::digest;
use super::http::{self, Message, Read};
use super::machine::told;
use super::scene::Scene;
use super::{ldap, mysql, spop};
use crate::config::checks::from_hex;
use crate::config::model::check::{Expect, Flavour, Pattern};
use crate::expr::LogFormat;
use crate::health::{Finding, Status};
use std::sync::Arc;

/// What an expectation makes of the bytes so far.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    Wait,
    /// The text a success is told with.
    Pass(Option<String>),
    Fail(Finding),
}

/// Which step it is, for its words.
#[derive(Debug)]
pub struct Place<'a> {
    pub flavour: Flavour,
    pub number: usize,
    pub comment: Option<&'a Arc<str>>,
    pub stops_on_404: bool,
}

pub fn look(expect: &Expect, place: &Place<'_>, scene: &mut Scene<'_>) -> Look {
    if place.flavour == Flavour::Http {
        return look_http(expect, place, scene);
    }
    if scene.received.is_empty() {
        return if scene.closed { Look::Fail(empty(expect, place)) } else { Look::Wait };
    }
    if !scene.closed && expect.min_recv.is_some_and(|least| scene.received.len() < least) {
        return Look::Wait;
    }
    match &expect.pattern {
        Pattern::MysqlGreeting => return mysql::greeting(&scene.received, scene.closed),
        Pattern::MysqlAnswer => return mysql::answer(&scene.received, scene.closed),
        Pattern::LdapBind => return ldap::bind(&scene.received, scene.closed),
        Pattern::SpopHello => return spop::hello(&scene.received, scene.closed),
        _ => {}
    }
    let shortest = match &expect.pattern {
        Pattern::Text(text) | Pattern::Binary(text) => text.len(),
        _ => 0,
    };
    if !scene.closed && scene.received.len() < shortest {
        return Look::Wait;
    }
    let bytes = std::mem::take(&mut scene.received);
    let matched = matches(&expect.pattern, &bytes, scene);
    scene.received = bytes;
    match matched {
        Err(problem) => Look::Fail(told(Status::L7Response, problem.to_owned() + &commented(place))),
        Ok(matched) => decide(expect, place, scene, matched),
    }
}

/// What a match, or none, means now.
fn decide(expect: &Expect, place: &Place<'_>, scene: &mut Scene<'_>, matched: bool) -> Look {
    let last = scene.closed || expect.min_recv.is_some();
    match (matched, expect.inverse) {
        (false, _) if !last => Look::Wait,
        (true, false) | (false, true) => Look::Pass(None),
        _ => Look::Fail(mismatch(expect, place, scene, matched)),
    }
}

/// # Errors
/// What is wrong with a computed pattern.
fn matches(pattern: &Pattern, bytes: &[u8], scene: &mut Scene<'_>) -> Result<bool, &'static str> {
    let contains = |needle: &[u8]| memchr::memmem::find(bytes, needle).is_some();
    Ok(match pattern {
        Pattern::Text(needle) | Pattern::Binary(needle) => contains(needle),
        Pattern::Regex(regex) => regex.is_match(bytes),
        Pattern::BinaryRegex(regex) => {
            let digits: String = bytes.iter().map(|b| format!("{b:02X}")).collect();
            regex.is_match(digits.as_bytes())
        }
        Pattern::Format(format) => contains(&computed(format, scene)?),
        Pattern::HexFormat(format) => {
            let digits = computed(format, scene)?;
            contains(
                &from_hex(&digits)
                    .ok_or("Failed to parse hexastring resulting of eval of a log-format string")?,
            )
        }
        _ => false,
    })
}

fn computed(format: &LogFormat, scene: &mut Scene<'_>) -> Result<Vec<u8>, &'static str> {
    let mut text = Vec::new();
    format.render_raw(scene, &mut text);
    if text.is_empty() { Err("log-format string evaluated to an empty string") } else { Ok(text) }
}

pub fn empty(expect: &Expect, place: &Place<'_>) -> Finding {
    let mut text = format!("TCPCHK got an empty response at step {}", place.number);
    if let Some(comment) = place.comment {
        text += &format!(" comment: '{comment}'");
    }
    told(expect.error.unwrap_or(Status::L7Response), text)
}

/// The finding about a response that is not as it should be.
fn mismatch(expect: &Expect, place: &Place<'_>, scene: &mut Scene<'_>, matched: bool) -> Finding {
    let said = match place.flavour {
        Flavour::Tcp => {
            let verb = if matched { "matched unwanted" } else { "did not match" };
            format!("TCPCHK {verb} content {} at step {}", describe::wanted(&expect.pattern), place.number)
        }
        Flavour::Http if matched => "HTTP check matched unwanted content".to_owned(),
        Flavour::Http => "HTTP content check did not match".to_owned(),
        Flavour::Protocol => String::new(),
    };
    failure(expect, place, scene, Status::L7Response, said.as_bytes())
}

/// A failed expectation with its own words, or those given.
fn failure(expect: &Expect, place: &Place<'_>, scene: &mut Scene<'_>, usual: Status, said: &[u8]) -> Finding {
    let mut text = match &expect.on_error {
        Some(format) => {
            let mut text = Vec::new();
            format.render_raw(scene, &mut text);
            describe::until_zero(&text).to_vec()
        }
        None => said.to_vec(),
    };
    text.extend_from_slice(commented(place).as_bytes());
    let finding = told(expect.error.unwrap_or(usual), text);
    match code(expect, place.flavour, scene) {
        Some(code) => finding.code(code),
        None => finding,
    }
}

fn commented(place: &Place<'_>) -> String {
    place.comment.map_or(String::new(), |c| format!(" comment: {c}"))
}

/// The code a finding about this expectation carries.
pub fn code(expect: &Expect, flavour: Flavour, scene: &mut Scene<'_>) -> Option<u16> {
    if let Some(expr) = &expect.status_code {
        let number = expr.eval(scene).and_then(|v| v.to_int().or_else(|| in_text(&v.into_text())));
        // As HAProxy has it: a 16-bit number, and the response's own where there is none.
        if let Some(number) = number {
            return u16::try_from(number & 0xffff).ok();
        }
    }
    let message = scene.message.as_ref().filter(|_| flavour == Flavour::Http)?;
    Some(message.head.status())
}

/// Binary samples (`res.payload`) hold digits, too.
fn in_text(text: &[u8]) -> Option<i64> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    std::str::from_utf8(text.get(..digits)?).ok()?.parse().ok()
}

fn look_http(expect: &Expect, place: &Place<'_>, scene: &mut Scene<'_>) -> Look {
    if matches!(expect.pattern, Pattern::Digest(_)) && !digest::is_worth_a_look(scene) {
        return Look::Wait;
    }
    match Message::of(scene) {
        Read::Partial => return Look::Wait,
        Read::Invalid => return Look::Fail(Finding::new(Status::L7Response)),
        Read::Head(message) => scene.message = Some(message),
    }
    let Some(message) = &scene.message else { return Look::Wait };
    let (status, complete) = (message.head.status(), message.complete);
    if place.stops_on_404 && status == 404 {
        return Look::Fail(Finding::new(Status::L7Conditional).code(status));
    }
    let reason = message.head.reason().to_vec();
    let matched = match &expect.pattern {
        Pattern::Status(ranges) => ranges.iter().any(|r| r.contains(&status)),
        Pattern::StatusRegex(regex) => regex.is_match(status.to_string().as_bytes()),
        Pattern::Header(header) => match http::header(header, scene) {
            Some(matched) => matched,
            None => {
                let text = "log-format string evaluated to an empty string".to_owned();
                return Look::Fail(told(Status::L7Response, text + &commented(place)));
            }
        },
        Pattern::Digest(wanted) => {
            if !complete {
                digest::wait_for_enough(scene);
                return Look::Wait;
            }
            let got = digest::of(&message.body);
            if (got == *wanted) != expect.inverse {
                return Look::Pass(None);
            }
            let said = format!("HTTP digest check did not match ({})", digest::text(&got));
            return Look::Fail(failure(expect, place, scene, Status::L7Response, said.as_bytes()));
        }
        _ => return look_body(expect, place, scene, complete),
    };
    if matched != expect.inverse {
        return Look::Pass(None);
    }
    Look::Fail(failure(expect, place, scene, Status::L7Status, &reason))
}

fn look_body(expect: &Expect, place: &Place<'_>, scene: &mut Scene<'_>, complete: bool) -> Look {
    let body = scene.message.as_ref().map(|m| m.body.clone()).unwrap_or_default();
    if body.is_empty() {
        if !complete {
            return Look::Wait;
        }
        let said = b"HTTP content check could not find a response body";
        return Look::Fail(failure(expect, place, scene, Status::L7Response, said));
    }
    if !complete && expect.min_recv.is_some_and(|least| body.len() < least) {
        return Look::Wait;
    }
    match matches(&expect.pattern, &body, scene) {
        Err(problem) => Look::Fail(told(Status::L7Response, problem.to_owned() + &commented(place))),
        Ok(matched) => {
            let closed = std::mem::replace(&mut scene.closed, complete);
            let look = decide(expect, place, scene, matched);
            scene.closed = closed;
            look
        }
    }
}
