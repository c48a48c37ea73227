//! Pattern files and maps: `show`, `add`, `del`, `clear`, `get`, `set`, `prepare` and `commit` of `acl` and `map`.

use crate::admin::answer::Answer;
use crate::admin::command::{Call, Command};
use crate::config::model::global::Level::{Operator, User};
use crate::expr::{self, EditError, Reference};
use std::fmt::Write;
use std::sync::Arc;

#[rustfmt::skip]
pub const TABLE: &[Command] = &[
    Command::new("add acl", Operator, "add acl [@<ver>] <acl> <pattern>", "add a pattern", |c| add(c, ACL)),
    Command::new("add map", Operator, "add map [@<ver>] <map> <key> <val>", "add a key and its value, or the lines of a payload", |c| add(c, MAP)),
    Command::new("clear acl", Operator, "clear acl [@<ver>] <acl>", "remove all entries", |c| clear(c, ACL)),
    Command::new("clear map", Operator, "clear map [@<ver>] <map>", "remove all entries", |c| clear(c, MAP)),
    Command::new("commit acl", Operator, "commit acl @<ver> <acl>", "make a prepared version the current one", |c| commit(c, ACL)),
    Command::new("commit map", Operator, "commit map @<ver> <map>", "make a prepared version the current one", |c| commit(c, MAP)),
    Command::new("del acl", Operator, "del acl <acl> [<key>|#<ref>]", "remove the entries of that key, or the one of that number", |c| delete(c, ACL)),
    Command::new("del map", Operator, "del map <map> [<key>|#<ref>]", "remove the entries of that key, or the one of that number", |c| delete(c, MAP)),
    Command::new("get acl", User, "get acl <acl> <value>", "tell which pattern matches a text", |c| get(c, ACL)),
    Command::new("get map", User, "get map <acl> <value>", "tell which key matches a text, and its value", |c| get(c, MAP)),
    Command::new("prepare acl", Operator, "prepare acl <acl>", "begin a version that replaces the current one as a whole", |c| prepare(c, ACL)),
    Command::new("prepare map", Operator, "prepare map <acl>", "begin a version that replaces the current one as a whole", |c| prepare(c, MAP)),
    Command::new("set map", Operator, "set map <map> [<key>|#<ref>] <value>", "give the entries of that key, or the one of that number, another value", set),
    Command::new("show acl", User, "show acl [@<ver>] <acl>]", "list the ACLs, or the entries of one", |c| show(c, ACL)),
    Command::new("show map", User, "show map [@ver] [map]", "list the maps, or the entries of one", |c| show(c, MAP)),
];

/// Which of the two a command speaks of.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    /// In messages.
    title: &'static str,
    is: fn(&Reference) -> bool,
}

const ACL: Kind = Kind { name: "acl", title: "ACL", is: Reference::is_acl };
const MAP: Kind = Kind { name: "map", title: "map", is: Reference::is_map };

impl Kind {
    fn find<'a>(self, call: &'a Call<'_>, which: &str) -> Result<&'a Arc<Reference>, Answer> {
        let found = call.live().config.patterns.find(which).filter(|r| (self.is)(r));
        found.ok_or_else(|| {
            Answer::error(format!("Unknown {} identifier. Please use #<id> or <file>.", self.title))
        })
    }
}

/// `@<ver>` after the command's name, and how many words it takes.
fn version(call: &Call<'_>) -> (Option<u32>, usize) {
    match call.word(2).strip_prefix('@') {
        None => (None, 0),
        Some(text) => {
            let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
            (Some(digits.parse().unwrap_or(0)), 1)
        }
    }
}

fn show(call: &mut Call<'_>, kind: Kind) -> Answer {
    let (version, skip) = version(call);
    if skip == 0 && !call.has(2) {
        return list(call, kind);
    }
    let reference = match kind.find(call, call.word(2 + skip)) {
        Ok(reference) => Arc::clone(reference),
        Err(unknown) => return unknown,
    };
    let mut entries = reference.entries(version).into_iter();
    Answer::Pieces(Box::new(move |out| {
        for entry in entries.by_ref().take(1000) {
            let mut line = format!("{:#x} {}", entry.id, entry.key);
            if let Some(value) = &entry.value {
                let _ = write!(line, " {value}");
            }
            line.push('\n');
            out.extend_from_slice(line.as_bytes());
        }
        entries.len() > 0
    }))
}

fn list(call: &Call<'_>, kind: Kind) -> Answer {
    let mut text = String::from("# id (file) description\n");
    for reference in call.live().config.patterns.references().iter().filter(|r| (kind.is)(r)) {
        let (current, newest) = reference.version_numbers();
        let _ = writeln!(
            text,
            "{} ({}) {}. curr_ver={current} next_ver={newest} entry_cnt={}",
            reference.id(),
            reference.name(),
            reference.description(),
            reference.count()
        );
    }
    Answer::text(text)
}

fn add(call: &mut Call<'_>, kind: Kind) -> Answer {
    let (version, skip) = version(call);
    let (which, key, value) = (call.word(2 + skip), call.word(3 + skip), call.word(4 + skip));
    let is_map = kind.name == "map";
    if is_map && (which.is_empty() || (call.payload.is_none() && value.is_empty())) {
        return Answer::error(
            "'add map' expects three parameters (map identifier, key and value) or one parameter (map identifier) \
             and a payload",
        );
    }
    if !is_map && (which.is_empty() || key.is_empty()) {
        return Answer::error("'add acl' expects two parameters: ACL identifier and pattern.");
    }
    let reference = match kind.find(call, which) {
        Ok(reference) => reference,
        Err(unknown) => return unknown,
    };
    if !is_map && reference.is_map() {
        return Answer::error(
            "This ACL is shared with a map containing samples. You must use the command 'add map' to add values.",
        );
    }
    let added = match call.payload.filter(|_| is_map) {
        Some(payload) => add_lines(reference, version, payload),
        None => reference.add(version, key, is_map.then_some(value)).map_err(|e| explain(&e, kind.name)),
    };
    done(added)
}

/// The lines of a payload: a key and its value on each. Stops at the first that is wrong, as HAProxy does.
fn add_lines(reference: &Reference, version: Option<u32>, payload: &str) -> Result<(), String> {
    for line in payload.lines() {
        let line = line.trim_start_matches([' ', '\t']);
        let (key, value) = expr::split_entry(line);
        if value.is_empty() {
            return Err(format!("Missing value for key '{key}'."));
        }
        reference.add(version, key, Some(value)).map_err(|e| explain(&e, "map"))?;
    }
    Ok(())
}

fn set(call: &mut Call<'_>) -> Answer {
    let (which, key, value) = (call.word(2), call.word(3), call.word(4));
    if [which, key, value].iter().any(|w| w.is_empty()) {
        return Answer::error("'set map' expects three parameters: map identifier, key and value.");
    }
    match MAP.find(call, which) {
        Ok(reference) => done(reference.set(key, value).map_err(|e| match e {
            EditError::NoKey => "entry not found.".to_owned(),
            EditError::NoEntry => "key or pattern not found.".to_owned(),
            other => explain(&other, "map"),
        })),
        Err(unknown) => unknown,
    }
}

fn delete(call: &mut Call<'_>, kind: Kind) -> Answer {
    if !call.has(3) {
        let title = kind.title;
        return Answer::error(format!("This command expects two parameters: {title} identifier and key."));
    }
    match kind.find(call, call.word(2)) {
        Ok(reference) => done(reference.delete(call.word(3)).map_err(|e| explain(&e, kind.name))),
        Err(unknown) => unknown,
    }
}

fn clear(call: &mut Call<'_>, kind: Kind) -> Answer {
    let (version, skip) = version(call);
    if !call.has(2 + skip) {
        return Answer::error(format!("Missing {} identifier.", kind.title));
    }
    match kind.find(call, call.word(2 + skip)) {
        Ok(reference) => {
            reference.clear(version);
            Answer::Done
        }
        Err(unknown) => unknown,
    }
}

fn prepare(call: &mut Call<'_>, kind: Kind) -> Answer {
    match kind.find(call, call.word(2)) {
        Ok(reference) => Answer::info(format!("New version created: {}", reference.prepare())),
        Err(unknown) => unknown,
    }
}

fn commit(call: &mut Call<'_>, kind: Kind) -> Answer {
    let (Some(version), _) = version(call) else { return Answer::error("Missing version number.") };
    if !call.has(3) {
        return Answer::error(format!("Missing {} identifier.", kind.title));
    }
    match kind.find(call, call.word(3)) {
        Ok(reference) => done(reference.commit(version).map_err(|e| explain(&e, kind.name))),
        Err(unknown) => unknown,
    }
}

fn get(call: &mut Call<'_>, kind: Kind) -> Answer {
    if !call.has(2) || !call.has(3) {
        return Answer::error(format!("Missing {} identifier and/or key.", kind.title));
    }
    let reference = match kind.find(call, call.word(2)) {
        Ok(reference) => reference,
        Err(unknown) => return unknown,
    };
    let is_map = kind.name == "map";
    let mut text = String::new();
    for answer in reference.answers(call.word(3)) {
        let case = if answer.ignore_case { "insensitive" } else { "sensitive" };
        let verb = if is_map { "found" } else { "match" };
        let _ = write!(text, "type={}, case={case}, {verb}=", answer.method);
        let Some(found) = answer.found else {
            text.push_str("no\n");
            continue;
        };
        let index = if answer.tree { "tree" } else { "list" };
        let _ = write!(text, "yes, idx={index}, ");
        let _ = match (is_map, found.value) {
            (false, _) => writeln!(text, "pattern=\"{}\"", found.key),
            (true, None) => writeln!(text, "key=\"{}\", value=none", found.key),
            (true, Some((value, of))) => {
                writeln!(text, "key=\"{}\", value=\"{value}\", type=\"{of}\"", found.key)
            }
        };
    }
    Answer::text(text)
}

fn done(result: Result<(), String>) -> Answer {
    match result {
        Ok(()) => Answer::Done,
        Err(why) => Answer::error(why),
    }
}

fn explain(error: &EditError, kind: &str) -> String {
    match error {
        EditError::NoKey | EditError::NoEntry => "Key not found.".to_owned(),
        EditError::Future => {
            format!("Version number in the future, please use 'prepare {kind}' before.")
        }
        EditError::OutOfRange => "Version number out of range.".to_owned(),
        EditError::Unreadable(why) => format!("{why}."),
    }
}
