//! The arguments of `redirect`.

use super::Arguments;
use crate::config::model::{Redirect, RedirectTarget};
use crate::config::suggest;

const WORDS: &[&str] = &[
    "location",
    "prefix",
    "scheme",
    "code",
    "set-cookie",
    "clear-cookie",
    "drop-query",
    "append-slash",
    "ignore-empty",
    "keep-query",
];

/// Reads up to the condition. `response`: only a location makes sense there.
pub fn parse(arguments: &mut Arguments<'_>, response: bool) -> Option<Redirect> {
    let mut target = None;
    let (mut drop_query, mut append_slash, mut keep_query, mut ignore_empty) = (false, false, false, false);
    let mut code = 302;
    let mut cookie = None;
    while !arguments.at_end() {
        let index = arguments.at;
        let word = arguments.peek().to_owned();
        arguments.at += 1;
        match word.as_str() {
            "prefix" | "scheme" if response => {
                let message = format!("'{word}' type is not supported in responses, use 'location'.");
                return arguments.fail(index, &message);
            }
            "location" => target = Some(RedirectTarget::Location(value(arguments, &word)?)),
            "prefix" => target = Some(RedirectTarget::Prefix(value(arguments, &word)?)),
            "scheme" => target = Some(RedirectTarget::Scheme(value(arguments, &word)?)),
            "code" => {
                let text = arguments.word("a status code")?;
                code = match text.as_str() {
                    "301" => 301,
                    "302" => 302,
                    "303" => 303,
                    "307" => 307,
                    "308" => 308,
                    _ => {
                        let message = format!(
                            "'code': unsupported HTTP code '{text}' (must be one of 301, 302, 303, 307 or 308)."
                        );
                        return arguments.fail(index + 1, &message);
                    }
                };
            }
            "set-cookie" => {
                let text = missing(arguments, &word)?;
                cookie = Some(format!("{text}; path=/;"));
            }
            "clear-cookie" => {
                let text = missing(arguments, &word)?;
                cookie = Some(format!("{text}; path=/; Max-Age=0;"));
            }
            "drop-query" => drop_query = true,
            "append-slash" => append_slash = true,
            "keep-query" => keep_query = true,
            "ignore-empty" => ignore_empty = true,
            "set-cookie-fmt" => return arguments.unsupported(index, "set-cookie-fmt"),
            _ => {
                let list = WORDS.iter().map(|w| format!("'{w}'")).collect::<Vec<_>>().join(", ");
                let message = format!("expects {list} (was '{word}').");
                let hint = suggest::hint(&word, WORDS.iter().copied());
                return arguments.fail_hint(index, &message, hint);
            }
        }
    }
    let Some(target) = target else {
        return arguments
            .fail(arguments.at, "redirection type expected ('prefix', 'location', or 'scheme').");
    };
    Some(Redirect { code, target, drop_query, append_slash, keep_query, ignore_empty, cookie })
}

fn value(arguments: &mut Arguments<'_>, word: &str) -> Option<crate::expr::LogFormat> {
    if arguments.peek().is_empty() {
        return missing(arguments, word).and(None);
    }
    arguments.format("a location")
}

fn missing(arguments: &mut Arguments<'_>, word: &str) -> Option<String> {
    if arguments.peek().is_empty() {
        let message = format!("missing argument for '{word}'.");
        return arguments.fail(arguments.at - 1, &message);
    }
    arguments.word("a value")
}
