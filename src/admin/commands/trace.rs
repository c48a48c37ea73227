//! `trace`, `show trace`: what the sources of `live::trace` tell, and where it goes.

use crate::admin::answer::{Answer, severity};
use crate::admin::command::{Call, Command};
use crate::config::model::global::Level as Rights;
use crate::config::model::{LogSource, LogTarget, LogTransport};
use crate::live::Generation;
use crate::live::trace::sources::{self, Source};
use crate::live::trace::{Action, BOARD, Level, Lock, Phase, Settings, Verbosity};
use std::fmt::Write as _;
use std::sync::Arc;

#[rustfmt::skip]
pub const TABLE: &[Command] = &[
    Command::new("show trace", Rights::User, "show trace [<module>]", "show the sources of traces, or all of one", show),
    Command::new("trace", Rights::Operator, "trace [<module>|0] [cmd [args...]]", "manage traces (empty to list, 0 to stop all)", trace),
];

const STATES: &str = "Supported trace sources and states (.=stopped, w=waiting, R=running) :\n";

const COMMANDS: &str = "Supported commands:\n  \
    event     : list or change the events that are reported\n  \
    level     : list or set how important events must be\n  \
    lock      : list or set what a trace keeps to once it runs\n  \
    pause     : pause now, or list or change the events that pause it\n  \
    sink      : list or set where events go\n  \
    start     : start now, or list or change the events that start a paused one\n  \
    stop      : stop now, or list or change the events that stop it\n  \
    verbosity : list or set how much is told of an event\n";

const LEVELS: &[(Level, &str, &str)] = &[
    (Level::Error, "error", "what went wrong"),
    (Level::User, "user", "what users of the traffic care about too"),
    (Level::Proto, "proto", "what the protocol does too"),
    (Level::State, "state", "changes of states inside too"),
    (Level::Data, "data", "transfers of data too"),
    (Level::Developer, "developer", "everything"),
];

const VERBOSITIES: &[(Verbosity, &str, &str)] = &[
    (Verbosity::Quiet, "quiet", "the event alone"),
    (Verbosity::Clean, "clean", "who it is about"),
    (Verbosity::Minimal, "minimal", "addresses and results too"),
    (Verbosity::Simple, "simple", "start lines too"),
    (Verbosity::Advanced, "advanced", "headers too"),
    (Verbosity::Complete, "complete", "everything there is"),
];

const LOCKS: &[(Lock, &str, &str)] = &[
    (Lock::Backend, "backend", "the backend of the first event"),
    (Lock::Connection, "connection", "the connection of the first event"),
    (Lock::Frontend, "frontend", "the frontend of the first event"),
    (Lock::Listener, "listener", "the listener of the first event"),
    (Lock::Nothing, "nothing", "every event"),
    (Lock::Server, "server", "the server of the first event"),
    (Lock::Session, "session", "the session of the first event"),
    (Lock::Thread, "thread", "the thread of the first event"),
];

fn refuse(text: &str) -> Answer {
    Answer::unended(severity::ERR, text)
}

fn letter(phase: Phase) -> char {
    match phase {
        Phase::Stopped => '.',
        Phase::Waiting => 'w',
        Phase::Running => 'R',
    }
}

fn sign(bits: u64, place: usize) -> char {
    if bits >> place & 1 == 1 { '+' } else { '-' }
}

fn show(call: &mut Call<'_>) -> Answer {
    let mut text = String::new();
    if call.has(2) {
        let Some(source) = sources::named(call.word(2)) else { return refuse("No such trace source") };
        let s = BOARD.settings(source.origin);
        let _ = write!(
            text,
            "Trace status for {}:\n  - sink: {} [{} dropped]\n  - event name   :     report    start    stop    pause\n",
            source.name,
            sink_name(&s),
            dropped(call.live(), &s),
        );
        for (i, (name, _)) in source.events.iter().enumerate() {
            let [report, start, stop, pause] = [s.report, s.start, s.stop, s.pause].map(|bits| sign(bits, i));
            let _ =
                writeln!(text, "    {name:<12} :        {report}        {start}        {stop}       {pause}");
        }
        return Answer::text(text);
    }
    text.push_str(STATES);
    for source in sources::ALL {
        let s = BOARD.settings(source.origin);
        let (sink, lost) = (sink_name(&s), dropped(call.live(), &s));
        let _ = writeln!(
            text,
            " [{}] {:<10} -> {sink} [drp {lost}]  [{}]",
            letter(s.phase),
            source.name,
            source.doc
        );
    }
    Answer::text(text)
}

fn sink_name(settings: &Settings) -> &str {
    settings.sink.as_ref().map_or("none", |(name, _)| name)
}

fn dropped(live: &Generation, settings: &Settings) -> u64 {
    live.process.rings.find(sink_name(settings)).map_or(0, |ring| ring.dropped())
}

fn trace(call: &mut Call<'_>) -> Answer {
    let name = call.word(1);
    match name {
        "" => return Answer::text(list()),
        "0" => {
            BOARD.stop_all();
            return Answer::unended(severity::INFO, "All traces now stopped");
        }
        _ => {}
    }
    let Some(source) = sources::named(name) else { return refuse("No such trace source") };
    let word = call.word(3);
    match call.word(2) {
        "" => Answer::text(COMMANDS),
        "event" => events(source, Action::Report, word),
        "start" => events(source, Action::Start, word),
        "stop" => events(source, Action::Stop, word),
        "pause" => events(source, Action::Pause, word),
        "level" => {
            let title = format!("Supported trace levels for source {}:\n", source.name);
            choose(source, LEVELS, word, &title, "No such trace level", |s| &mut s.level)
        }
        "verbosity" => {
            let title = format!("Supported trace verbosities for source {}:\n", source.name);
            choose(source, VERBOSITIES, word, &title, "No such verbosity level", |s| &mut s.verbosity)
        }
        "lock" => {
            let title = format!("Supported lock-on criteria for source {}:\n", source.name);
            let answer =
                choose(source, LOCKS, word, &title, "Unsupported lock-on criterion", |s| &mut s.lock);
            if !word.is_empty() {
                BOARD.change(source.origin, |s| s.lock_on(s.lock));
            }
            answer
        }
        "sink" => sink(call.live(), source, word),
        _ => refuse("Unknown trace keyword"),
    }
}

fn list() -> String {
    let mut text = format!("{STATES} [.] 0          : not a source, stops all traces at once\n");
    for source in sources::ALL {
        let phase = letter(BOARD.settings(source.origin).phase);
        let _ = writeln!(text, " [{phase}] {:<10} : {}", source.name, source.doc);
    }
    text
}

/// Lists what there is to choose from, or chooses.
fn choose<T: Copy + PartialEq>(
    source: &Source,
    table: &[(T, &str, &str)],
    word: &str,
    title: &str,
    unknown: &str,
    field: fn(&mut Settings) -> &mut T,
) -> Answer {
    if word.is_empty() {
        let now = *field(&mut BOARD.settings(source.origin));
        let mut text = title.to_owned();
        for (value, name, doc) in table {
            let mark = if *value == now { '*' } else { ' ' };
            let _ = writeln!(text, "  {mark} {name:<10} : {doc}");
        }
        return Answer::text(text);
    }
    let Some((value, ..)) = table.iter().find(|(_, name, _)| *name == word) else { return refuse(unknown) };
    BOARD.change(source.origin, |s| *field(s) = *value);
    Answer::Done
}

fn events(source: &Source, action: Action, word: &str) -> Answer {
    if word.is_empty() {
        return Answer::text(list_events(source, action));
    }
    let (on, name) = match word.strip_prefix(['-', '!']) {
        Some(name) => (false, name),
        None => (true, word.strip_prefix('+').unwrap_or(word)),
    };
    if name == "now" && action != Action::Report {
        BOARD.change(source.origin, |s| s.act(action));
        return Answer::Done;
    }
    let bits = match name {
        "none" | "any" => u64::MAX,
        _ => match source.events.iter().position(|(known, _)| *known == name) {
            Some(place) => 1 << place,
            None => return refuse("No such trace event"),
        },
    };
    let on = on && name != "none";
    BOARD.change(source.origin, |s| {
        let all = s.bits(action);
        *all = if on { *all | bits } else { *all & !bits };
    });
    Answer::Done
}

fn list_events(source: &Source, action: Action) -> String {
    let bits = *BOARD.settings(source.origin).bits(action);
    let mut text = format!("Supported events for source {} (+=enabled, -=disabled):\n", source.name);
    if action != Action::Report {
        text.push_str("  - now          : at once, whatever happens\n");
    }
    text.push_str("  - none         : disable all event types\n  - any          : enable all event types\n");
    for (i, (name, doc)) in source.events.iter().enumerate() {
        let _ = writeln!(text, "  {} {name:<12} : {doc}", sign(bits, i));
    }
    text
}

/// What `show events` says of the descriptors, which are sinks too.
const DESCRIPTORS: &[(&str, i32, &str)] =
    &[("stdout", 1, "standard output (fd#1)"), ("stderr", 2, "standard output (fd#2)")];

fn sink(live: &Generation, source: &Source, word: &str) -> Answer {
    let rings = live.process.rings.all();
    if word.is_empty() {
        let settings = BOARD.settings(source.origin);
        let now = sink_name(&settings);
        let mut text = format!("Supported sinks for source {} (*=current):\n", source.name);
        let mut line = |name: &str, doc: &str| {
            let mark = if name == now { '*' } else { ' ' };
            let _ = writeln!(text, "  {mark} {name:<10} : {doc}");
        };
        line("none", "no sink");
        DESCRIPTORS.iter().for_each(|(name, _, doc)| line(name, doc));
        rings.iter().for_each(|r| line(&r.conf.name, &r.conf.description));
        return Answer::text(text);
    }
    let ring = rings.iter().find(|r| r.conf.name == word);
    let descriptor = DESCRIPTORS.iter().find(|(name, ..)| *name == word);
    let target = match (word, ring, descriptor) {
        ("none", ..) => None,
        (_, Some(ring), _) => {
            let transport = LogTransport::Ring(word.into(), ring.conf.maxlen);
            Some((word.to_owned(), Arc::new(target(transport, ring.conf.format, ring.conf.maxlen))))
        }
        (_, None, Some((_, fd, _))) => {
            Some((word.to_owned(), Arc::new(target(LogTransport::Fd(*fd), LogSource::Raw, LONGEST))))
        }
        _ => return refuse("No such sink"),
    };
    BOARD.change(source.origin, |s| s.sink = target);
    Answer::Done
}

/// The longest line on a descriptor.
const LONGEST: usize = 16 * 1024;

fn target(transport: LogTransport, format: LogSource, len: usize) -> LogTarget {
    LogTarget { transport, format, len, facility: 0, max_level: 7, min_level: 0, sample: None }
}
