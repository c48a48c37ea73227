//! Certificate lists while they are in use: what they hold, lines added and taken out.

use crate::admin::answer::{Answer, severity};
use crate::admin::command::{Call, Command};
use crate::config::certificates::Extras;
use crate::config::dynamic::{self, Listed};
use crate::config::model::global::Level::{Admin, Operator};
use crate::tls::changes::Found;
use crate::tls::{Door, Line, Listing, Store};
use std::fmt::Write;
use std::sync::Arc;

#[rustfmt::skip]
pub const TABLE: &[Command] = &[
    Command::new("add ssl crt-list", Admin, "add ssl crt-list <list> <cert> [opts]*", "add a line to a certificate list; options and names come as a payload", add),
    Command::new("del ssl crt-list", Admin, "del ssl crt-list <list> <cert[:line]>", "take a line out of a certificate list", delete),
    Command::new("show ssl crt-list", Operator, "show ssl crt-list [-n] [<list>]", "list the certificate lists, or the lines of one", show),
];

fn store<'a>(call: &'a Call<'_>) -> &'a Store {
    &call.live().config.tls
}

/// A directory is the same one with a slash behind it.
fn named(list: &str) -> &str {
    list.trim_end_matches('/')
}

fn is_of(line: &Line, list: &str) -> bool {
    line.list.as_ref().is_some_and(|listing| *listing.list == *list)
}

/// The lines that show a list's certificates, and the lines of one of them.
fn doors(store: &Store, list: &str) -> (Vec<Arc<Door>>, Vec<Line>) {
    let mut doors = store.doors();
    doors.retain(|door| door.lines().iter().any(|line| is_of(line, list)));
    let mut lines = doors.first().map(|door| door.lines()).unwrap_or_default();
    lines.retain(|line| is_of(line, list));
    (doors, lines)
}

fn show(call: &mut Call<'_>) -> Answer {
    let numbered = call.word(3) == "-n";
    let list = named(call.word(3 + usize::from(numbered)));
    let store = store(call);
    if list.is_empty() {
        let mut names: Vec<String> = store
            .doors()
            .iter()
            .flat_map(|door| door.lines())
            .filter_map(|line| line.list.map(|listing| listing.list.to_string()))
            .collect();
        names.sort();
        names.dedup();
        return Answer::text(names.iter().fold(String::new(), |out, name| out + name + "\n"));
    }
    let (doors, lines) = doors(store, list);
    if doors.is_empty() {
        return Answer::error("didn't find the specified filename");
    }
    let mut out = format!("# {list}\n");
    for line in lines {
        out.push_str(&line.slot.name);
        if let Some(listing) = line.list.as_ref().filter(|_| numbered) {
            let _ = write!(out, ":{}", listing.number);
        }
        if let Some(options) = line.options.as_deref().map(str::trim).filter(|o| !o.is_empty()) {
            let _ = write!(out, " [{options}]");
        }
        for filter in &line.filters {
            let _ = write!(out, " {filter}");
        }
        out.push('\n');
    }
    Answer::text(out)
}

fn add(call: &mut Call<'_>) -> Answer {
    let list = named(call.word(3));
    let written = call.payload.unwrap_or_else(|| call.word(4)).trim();
    if list.is_empty() || written.is_empty() {
        return Answer::error("'add ssl crtlist' expects a filename and a certificate name");
    }
    match inserted(call, list, written) {
        Ok((name, added)) => {
            call.live().process.certificate_changes.notify_one();
            let dots = ".".repeat(added);
            Answer::text(format!("Inserting certificate '{name}' in crt-list '{list}'{dots}\nSuccess!\n"))
        }
        Err(Refusal { why, end }) => Answer::error(format!("Can't edit the crt-list: {why}{end}")),
    }
}

/// Why there is no new line, and how the sentence ends: HAProxy shouts most of them.
struct Refusal {
    why: String,
    end: &'static str,
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self { why, end: "!" }
    }
}

/// Adds a line to all that show the list; answers the certificate's name and how many those are. An error leaves all as it was.
fn inserted(call: &Call<'_>, list: &str, written: &str) -> Result<(String, usize), Refusal> {
    let config = &call.live().config;
    let store = &config.tls;
    let Listed { certificate: name, extras: Extras { options, written, filters } } =
        dynamic::listed(written, store)?;
    let (doors, lines) = doors(store, list);
    if doors.is_empty() {
        return Err(format!("crt-list '{list}' does not exist").into());
    }
    let in_directory = lines.iter().any(|line| line.list.as_ref().is_some_and(|listing| listing.directory));
    if in_directory {
        fits(list, &lines, &name)?;
    }
    let slot = match (store.get(&name), store.find(&name)) {
        (Some(slot), _) => slot,
        (None, Some(Found::Empty)) => return Err(format!("certificate '{name}' is empty").into()),
        _ => return Err(format!("certificate '{name}' does not exist").into()),
    };
    if in_directory && !(options.is_none() && filters.is_empty()) {
        let why = "this is a directory, SSL configuration and filters are not allowed".to_owned();
        return Err(Refusal { why, end: "" });
    }
    let mut added: Vec<(&Arc<Door>, Line)> = Vec::new();
    for door in &doors {
        let lines = door.lines();
        let of_list = lines.iter().filter(|line| is_of(line, list));
        let Some(listing) = of_list.filter_map(|line| line.list.clone()).next_back() else { continue };
        let next = if listing.directory { listing.number + 1 } else { 0 };
        let common = door.settings();
        let settings = match &options {
            // What the `bind` line says holds for a line without options.
            None => common,
            Some(own) => {
                Arc::new(dynamic::listed_settings(own, &common, config.global.tune.early_data(), store)?)
            }
        };
        let line = Line {
            slot: Arc::clone(&slot),
            filters: filters.clone(),
            options: written.clone(),
            list: Some(Listing { number: next, ..listing }),
            is_default: false,
            settings,
        };
        added.push((door, line));
    }
    if let Some(fresh) = options.as_ref().and_then(|options| options.fresh) {
        match slot.keep_fresh(fresh) {
            Ok(true) => {}
            Ok(false) => return Err(format!("'ocsp-update' of '{name}' was said otherwise before").into()),
            Err(problem) => return Err(problem.sentence(&name).trim_end_matches('.').to_owned().into()),
        }
    }
    let count = added.len();
    for (door, line) in added {
        door.change(|lines| lines.push(line))?;
    }
    Ok((name, count))
}

/// A directory holds what is in it, once.
fn fits(directory: &str, lines: &[Line], name: &str) -> Result<(), Refusal> {
    if !name.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/')) {
        let why = format!(
            "'{directory}' is a directory, certificate path '{name}' must contain the directory path"
        );
        return Err(Refusal { why, end: "" });
    }
    if lines.iter().any(|line| *line.slot.name == *name) {
        return Err("file already exists in this directory".to_owned().into());
    }
    Ok(())
}

fn delete(call: &mut Call<'_>) -> Answer {
    let (list, written) = (named(call.word(3)), call.word(4));
    if list.is_empty() || written.is_empty() {
        return Answer::error("'del ssl crtlist' expects a filename and a certificate name");
    }
    let cannot = |why: String| Answer::error(format!("Can't delete the entry: {why}!"));
    let store = store(call);
    let (name, number) = match written.rsplit_once(':') {
        Some((name, number)) => match number.parse::<u32>() {
            Ok(number) => (name, Some(number)),
            Err(_) => (written, None),
        },
        None => (written, None),
    };
    let (doors, lines) = doors(store, list);
    if doors.is_empty() {
        return cannot(format!("crt-list '{list}' does not exist"));
    }
    if store.find(name).is_none() {
        return cannot(format!("certificate '{name}' does not exist"));
    }
    let meant = |line: &Line| {
        is_of(line, list)
            && *line.slot.name == *name
            && number.is_none_or(|n| line.list.as_ref().is_some_and(|listing| listing.number == n))
    };
    match (number, lines.iter().filter(|line| *line.slot.name == *name).count()) {
        (None, 2..) => return cannot("found several entries, please specify a line number".to_owned()),
        _ if lines.iter().any(meant) => {}
        _ => return cannot(format!("certificate '{name}' is not in the crt-list")),
    }
    for door in &doors {
        if let Err(why) = door.change(|lines| lines.retain(|line| !meant(line))) {
            return cannot(why);
        }
    }
    call.live().process.certificate_changes.notify_one();
    Answer::message(severity::NOTICE, format!("Entry '{name}' deleted in crtlist '{list}'!"))
}
