//! `help`, and the answer to what is no command: which ones come close, as HAProxy finds them.

use super::command::Command;
use super::commands;
use super::session::Session;
use std::fmt::Write as _;

/// How many near ones are shown.
const MOST: usize = 5;

const ALWAYS: &str = "  help [<command>]                        : list matching or all commands\n  \
     prompt [help | n | i | p | timed]*      : set interactive mode and prompt\n  \
     quit                                    : disconnect\n";

/// The answer to `help` and the words after it.
pub fn help(session: &Session, words: &[String]) -> String {
    let mut out = String::from("The following commands are valid at this level:\n");
    list(session, words, &mut out);
    out
}

/// The answer to words that begin no command.
pub fn unknown(session: &Session, words: &[String]) -> String {
    let known = matching(session, words);
    let mut out = String::from(if known == 0 && words.first().is_none_or(String::is_empty) {
        "Unknown command. Please enter one of the following commands only:\n"
    } else {
        "Unknown command, but maybe one of the following ones is a better match:\n"
    });
    list(session, words, &mut out);
    out
}

fn list(session: &Session, words: &[String], out: &mut String) {
    let mut rows = candidates(session, words);
    rows.sort_by(|a, b| a.usage.cmp(b.usage));
    for row in rows {
        let _ = writeln!(out, "  {:<40}: {}", row.usage, row.doc);
    }
    out.push_str(ALWAYS);
}

fn shown(session: &Session) -> impl Iterator<Item = &'static Command> {
    commands::all().filter(|c| c.is_shown(session))
}

/// How many words, from the first, some command begins with.
fn matching(session: &Session, words: &[String]) -> usize {
    shown(session).map(|c| c.words().zip(words).take_while(|(a, b)| *a == *b).count()).max().unwrap_or(0)
}

/// The commands that go on after the known words; if there are words after those, the nearest of them.
fn candidates(session: &Session, words: &[String]) -> Vec<&'static Command> {
    let known = matching(session, words);
    let fits = |c: &&Command| {
        let common = c.words().zip(words).take_while(|(a, b)| *a == *b).count();
        common == known && !c.usage.is_empty()
    };
    let rest = words.get(known..).unwrap_or_default();
    let all: Vec<&Command> = shown(session).filter(fits).collect();
    if rest.is_empty() {
        return all;
    }
    let mut near: Vec<(i32, &Command)> = all
        .iter()
        .filter_map(|c| {
            let tail: Vec<&str> = c.words().skip(known).collect();
            let letters: usize = rest.iter().map(String::len).chain(tail.iter().map(|w| w.len())).sum();
            let distance = distance(rest.iter().map(String::as_str), tail.iter().copied());
            (distance < i32::try_from(5 * letters / 2).unwrap_or(i32::MAX)).then_some((distance, *c))
        })
        .collect();
    near.sort_by_key(|(distance, _)| *distance);
    let Some(best) = near.first().map(|(distance, _)| *distance) else { return all };
    near.into_iter().take(MOST).take_while(|(d, _)| *d <= 5 * best / 2).map(|(_, c)| c).collect()
}

const SYMBOLS: usize = 32;

/// How often each pair of neighbouring characters occurs; digits are alike, and so is everything else but letters.
struct Pairs([i32; SYMBOLS * SYMBOLS]);

impl Pairs {
    fn of<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        const EDGE: usize = 28;
        let mut counts = [0; SYMBOLS * SYMBOLS];
        for word in words {
            let mut from = EDGE;
            for byte in word.bytes() {
                let to = match byte.to_ascii_lowercase() {
                    letter @ b'a'..=b'z' => usize::from(letter - b'a') + 1,
                    b'0'..=b'9' => 27,
                    _ => EDGE,
                };
                counts[to] = 1;
                counts[SYMBOLS * from + to] += 1;
                from = to;
            }
            counts[SYMBOLS * from + EDGE] += 1;
        }
        Self(counts)
    }
}

fn distance<'a>(a: impl Iterator<Item = &'a str>, b: impl Iterator<Item = &'a str>) -> i32 {
    let (a, b) = (Pairs::of(a), Pairs::of(b));
    a.0.iter().zip(&b.0).map(|(x, y)| (x - y) * (x - y)).sum()
}
