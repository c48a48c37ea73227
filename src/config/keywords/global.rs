//! The `global` section.

use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::keyword::{GLOBAL, Keyword, Prefix};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::config::system::{MAX_THREADS, lookup, number_set};
use crate::config::units::Unit;
use std::path::PathBuf;
use std::sync::Arc;

macro_rules! flag {
    ($name:literal, $doc:literal, |$g:ident| $set:expr) => {
        Keyword::new($name, GLOBAL, "", $doc, |p, l| {
            if p.at_most(l, 1) {
                let $g = &mut p.global;
                $set;
            }
        })
    };
}

macro_rules! number {
    ($name:literal, $args:literal, $min:expr, $max:expr, $doc:literal, |$g:ident, $n:ident| $set:expr) => {
        Keyword::new($name, GLOBAL, $args, $doc, |p, l| {
            if let Some($n) = p.integer(l, 1, $min, $max)
                && p.at_most(l, 2)
            {
                let $g = &mut p.global;
                $set;
            }
        })
    };
}

macro_rules! time {
    ($name:literal, $unit:expr, $doc:literal, |$g:ident, $t:ident| $set:expr) => {
        Keyword::new($name, GLOBAL, "<time>", $doc, |p, l| {
            if l.words.len() < 2 {
                return p.alert(l, 0, concat!("'", $name, "' expects <time> as argument."));
            }
            if let Some($t) = p.duration(l, 1, $unit)
                && p.at_most(l, 2)
            {
                let $g = &mut p.global;
                $set;
            }
        })
    };
}

macro_rules! path {
    ($name:literal, $args:literal, $what:literal, $doc:literal, |$g:ident, $path:ident| $set:expr) => {
        Keyword::new($name, GLOBAL, $args, $doc, |p, l| {
            if l.word(1).is_empty() {
                return p.alert(l, 0, concat!("'", $name, "' expects ", $what, " as an argument."));
            }
            if p.at_most(l, 2) {
                let $path = PathBuf::from(l.word(1));
                let $g = &mut p.global;
                $set;
            }
        })
    };
}

pub const TABLE: &[Keyword] = &[
    flag!("daemon", "Runs in the background.", |g| g.daemon = true),
    Keyword::new(
        "master-worker",
        GLOBAL,
        "[no-exit-on-failure]",
        "Supervises the working process.",
        |p, l| {
            if l.words.len() > 1 && l.word(1) != "no-exit-on-failure" {
                return p.alert(
                    l,
                    1,
                    format!(
                        "'master-worker' only supports 'no-exit-on-failure' option (got '{}').",
                        l.word(1)
                    ),
                );
            }
            // A worker that dies is replaced, with the option and without it.
            p.global.master_worker = true;
        },
    ),
    number!(
        "mworker-max-reloads",
        "<number>",
        0,
        u32::MAX,
        "Ends a worker of 'master-worker' that has outlived more reloads (TERM).",
        |g, n| g.most_reloads = Some(n)
    ),
    flag!("quiet", "Prints nothing at start.", |g| g.quiet = true),
    flag!("zero-warning", "Refuses a configuration that gives warnings.", |g| g.zero_warning = true),
    Keyword::new(
        "noepoll",
        GLOBAL,
        "",
        "Accepted: another event system would be chosen in HAProxy; ours is fixed.",
        nothing_to_do,
    ),
    Keyword::new("nopoll", GLOBAL, "", "Accepted, as 'noepoll'.", nothing_to_do),
    Keyword::new("nokqueue", GLOBAL, "", "Accepted, as 'noepoll'.", nothing_to_do),
    Keyword::new("noevports", GLOBAL, "", "Accepted, as 'noepoll'.", nothing_to_do),
    flag!("nosplice", "Never moves bytes by splice(2).", |g| g.tune.splice = false),
    Keyword::new(
        "nogetaddrinfo",
        GLOBAL,
        "",
        "Accepted: names are always resolved by the system's resolver.",
        nothing_to_do,
    ),
    Keyword::new(
        "noreuseport",
        GLOBAL,
        "",
        "Accepted: only one process listens at a time here.",
        nothing_to_do,
    ),
    Keyword::new(
        "external-check",
        GLOBAL,
        "[preserve-env]",
        "Allows 'option external-check'. Programs get the variables of their check alone; with 'preserve-env', weir's own environment too.",
        super::check_kinds::allow_external,
    ),
    Keyword::new(
        "expose-experimental-directives",
        GLOBAL,
        "",
        "Allows what HAProxy calls experimental. weir allows what it has without being asked.",
        |p, l| {
            p.at_most(l, 1);
        },
    ),
    Keyword::new(
        "insecure-fork-wanted",
        GLOBAL,
        "",
        "Allows the process to start programs, which external checks need unless it runs as root.",
        |p, l| {
            if p.at_most(l, 1) {
                p.global.insecure_fork_wanted = p.prefix == Prefix::None;
            }
        },
    )
    .negatable(),
    Keyword::new(
        "set-dumpable",
        GLOBAL,
        "[on|off]",
        "Writes a core dump when the process dies, whatever 'user' and the limits of file sizes say.",
        |p, l| {
            if p.at_most(l, 2) {
                match l.word(1) {
                    "" | "on" => p.global.dumpable = p.prefix == Prefix::None,
                    "off" => p.global.dumpable = false,
                    "libs" => p.alert(l, 1, "'set-dumpable libs' is not supported by weir: write 'set-dumpable'; there are no libraries worth adding, weir is one file."),
                    other => p.alert(l, 1, format!("'set-dumpable' expects 'on' or 'off' (got '{other}').")),
                }
            }
        },
    )
    .negatable(),
    Keyword::new(
        "strict-limits",
        GLOBAL,
        "",
        "Fails at start when a limit cannot be set (the default).",
        |p, l| {
            if p.at_most(l, 1) {
                p.global.strict_limits = p.prefix != Prefix::No;
            }
        },
    )
    .negatable(),
    number!("maxconn", "<number>", 0, u32::MAX as usize, "Connections of the whole process.", |g, n| g
        .maxconn =
        Some(n)),
    number!("maxconnrate", "<number>", 0, u32::MAX, "Connections accepted per second.", |g, n| g
        .maxconnrate =
        n),
    number!("maxsessrate", "<number>", 0, u32::MAX, "Sessions accepted per second.", |g, n| g.maxsessrate =
        n),
    number!(
        "maxsslrate",
        "<number>",
        0,
        u32::MAX,
        "TLS connections of clients accepted per second.",
        |g, n| g.maxsslrate = n
    ),
    number!("ulimit-n", "<number>", 0, u64::MAX, "File descriptors the process may have.", |g, n| g
        .ulimit_n =
        (n > 0).then_some(n)),
    number!(
        "fd-hard-limit",
        "<number>",
        0,
        u64::MAX,
        "The most that 'ulimit-n' may be computed to.",
        |g, n| g.fd_hard_limit = Some(n)
    ),
    number!("spread-checks", "<0..50, in percent>", 0, 50, "Varies the time between checks.", |g, n| g
        .spread_checks =
        n),
    time!(
        "max-spread-checks",
        Unit::Milliseconds,
        "The longest time over which checks are spread at start.",
        |g, t| g.max_spread_checks = Some(t)
    ),
    time!("hard-stop-after", Unit::Milliseconds, "The longest a graceful stop may take.", |g, t| g
        .hard_stop_after =
        Some(t)),
    time!("grace", Unit::Milliseconds, "How long listeners stay open in a graceful stop.", |g, t| g.grace =
        Some(t)),
    Keyword::new(
        "close-spread-time",
        GLOBAL,
        "<time>",
        "Over which idle connections are closed in a graceful stop.",
        |p, l| {
            if l.word(1) == "infinite" {
                p.global.close_never = true;
            } else if let Some(time) = p.duration(l, 1, Unit::Milliseconds) {
                p.global.close_spread = Some(time);
            }
        },
    ),
    path!("chroot", "<jail dir>", "a directory", "The root directory of the running process.", |g, path| g
        .chroot =
        Some(path)),
    path!("pidfile", "<pidfile>", "a file name", "Where the process number is written.", |g, path| g
        .pidfile =
        Some(path)),
    Keyword::new("server-state-base", GLOBAL, "<directory>", "Directory of server state files.", |p, l| {
        if let Some(path) = state_path(p, l, "a directory") {
            p.global.server_state_base = Some(path);
        }
    }),
    Keyword::new("server-state-file", GLOBAL, "<file>", "Server states of all backends.", |p, l| {
        if let Some(path) = state_path(p, l, "a file name") {
            p.global.server_state_file = Some(path);
        }
    }),
    Keyword::new("nbthread", GLOBAL, "<number>", "Worker threads; without it, one per CPU.", |p, l| match l
        .word(1)
        .parse::<usize>()
    {
        Ok(n) if (1..=MAX_THREADS).contains(&n) => {
            if p.at_most(l, 2) {
                p.global.nbthread = n;
            }
        }
        Ok(n) => p.alert(l, 1, format!("'nbthread' value must be between 1 and {MAX_THREADS} (was {n})")),
        Err(_) => {
            let message =
                format!("'nbthread' passed a missing or unparsable integer value in '{}'", l.word(1));
            p.alert(l, 1, message);
        }
    }),
    Keyword::new(
        "nbproc",
        GLOBAL,
        "1",
        "Gone since HAProxy 2.5: threads took its place. '1' is read as what it always meant.",
        nbproc,
    ),
    Keyword::new(
        "cpu-map",
        GLOBAL,
        "[auto:]<thread-group>[/<thread-set>] <cpu-set>...",
        "CPUs that threads are bound to.",
        cpu_map,
    ),
    Keyword::new("user", GLOBAL, "<user name>", "The user the process becomes.", |p, l| {
        if lookup("/etc/passwd", l.word(1)).is_none() {
            return p.alert(l, 1, format!("cannot find user id for '{}' (0:Success)", l.word(1)));
        }
        if p.at_most(l, 2) {
            p.global.user = Some(l.word(1).to_owned());
        }
    }),
    Keyword::new("group", GLOBAL, "<group name>", "The group the process becomes.", |p, l| {
        if lookup("/etc/group", l.word(1)).is_none() {
            return p.alert(l, 1, format!("cannot find group id for '{}' (0:Success)", l.word(1)));
        }
        if p.at_most(l, 2) {
            p.global.group = Some(l.word(1).to_owned());
        }
    }),
    number!("uid", "<number>", 0, u32::MAX, "The user the process becomes, by number.", |g, n| g.uid =
        Some(n)),
    number!("gid", "<number>", 0, u32::MAX, "The group the process becomes, by number.", |g, n| g.gid =
        Some(n)),
    Keyword::new("node", GLOBAL, "<name>", "The node's name in statistics.", |p, l| {
        let name = l.word(1);
        if name.is_empty() || crate::config::sections::invalid_character(name).is_some() {
            return p.alert(l, 1, "'node' requires valid node name - non-empty string with digits(0-9), letters(A-Z, a-z), dot(.), hyphen(-) or underscode(_).");
        }
        p.global.node = Some(name.to_owned());
    }),
    Keyword::new("description", GLOBAL, "<text>", "A text for the statistics page.", |p, l| {
        let text = l.words.iter().skip(1).map(|w| w.text.as_str()).collect::<Vec<_>>().join(" ");
        if text.is_empty() {
            return p.alert(l, 0, "'description' expects a string argument.");
        }
        p.global.description = Some(text);
    }),
    path!(
        "stats-file",
        "<path>",
        "a file name",
        "Counters of what has a 'guid' go on from this file, which 'dump stats-file' has written.",
        |g, path| g.stats_file = Some(path)
    ),
    Keyword::new(
        "anonkey",
        GLOBAL,
        "<key>",
        "The key that 'set anon on' hides names with where the session names none (0: a random one).",
        |p, l| {
            if l.word(1).is_empty() {
                return p.alert(l, 0, "a key is expected after 'anonkey'.");
            }
            match l.word(1).parse() {
                Ok(key) => p.global.anon_key = key,
                Err(_) => {
                    let message =
                        format!("'anonkey' value must be within range 0-4294967295 (was '{}').", l.word(1));
                    p.alert(l, 1, message);
                }
            }
        },
    ),
    Keyword::new("localpeer", GLOBAL, "<name>", "The name of this instance among peers.", |p, l| {
        if let Some(name) = p.text(l, 1, "a name") {
            // `HAPROXY_LOCALPEER` was set while reading.
            p.global.localpeer = Some(name);
        }
    }),
    Keyword::new(
        "setenv",
        GLOBAL,
        "<name> <value>",
        "Sets an environment variable for the lines that follow.",
        assign,
    ),
    Keyword::new("presetenv", GLOBAL, "<name> <value>", "The same, unless it is set already.", |p, l| {
        assign(p, l)
    }),
    Keyword::new("unsetenv", GLOBAL, "[<name> ...]", "Removes environment variables.", |p, l| {
        if l.words.len() < 2 {
            p.alert(l, 0, "'unsetenv' expects at least one variable name.");
        }
    }),
    Keyword::new(
        "resetenv",
        GLOBAL,
        "[<name> ...]",
        "Removes all environment variables but these.",
        |_, _| {},
    ),
    Keyword::new(
        "h1-case-adjust",
        GLOBAL,
        "<from> <to>",
        "How a header's name is written where 'option h1-case-adjust-bogus-*' asks for it.",
        |p, l| {
            if l.words.len() != 3 {
                return p.alert(l, 1, "'h1-case-adjust' expects <from> and <to> as argument.");
            }
            adjust(p, l, l.word(1), l.word(2));
        },
    ),
    Keyword::new("h1-case-adjust-file", GLOBAL, "<file>", "The same from a file, a pair a line.", |p, l| {
        let Some(bytes) = p.read_file(l, 1, "'h1-case-adjust-file'") else { return };
        for text in String::from_utf8_lossy(&bytes).lines() {
            let mut words = text.split('#').next().unwrap_or("").split_whitespace();
            if let (Some(from), Some(to)) = (words.next(), words.next()) {
                adjust(p, l, from, to);
            }
        }
    }),
    Keyword::new(
        "default-path",
        GLOBAL,
        "{ current | config | parent | origin <path> }",
        "Where relative paths in the configuration start.",
        default_path,
    ),
    Keyword::new(
        "unix-bind",
        GLOBAL,
        "[ prefix <prefix> ] [ mode <mode> ] [ user <user> ] [ uid <uid> ] [ group <group> ] [ gid <gid> ]",
        "Defaults for unix sockets of 'bind' lines.",
        unix_bind,
    ),
    number!(
        "maxsslconn",
        "<number>",
        0,
        u64::MAX,
        "TLS connections at once, those of clients and those to servers; 0: any number. At the limit clients wait to be accepted.",
        |g, n| g.maxsslconn = n
    ),
];

/// Switches of HAProxy's for what is fixed here.
fn nothing_to_do(parser: &mut Parser, line: &Line) {
    if parser.at_most(line, 1) {
        parser.diag(line, 0, format!("'{}' is accepted and has nothing to act on in weir.", line.word(0)));
    }
}

/// What `load-server-state-from-file` reads.
fn state_path(parser: &mut Parser, line: &Line, what: &str) -> Option<PathBuf> {
    if line.word(1).is_empty() {
        let message = format!("'{}' expects {what} as an argument.", line.word(0));
        parser.alert(line, 0, message);
        return None;
    }
    if !parser.at_most(line, 2) {
        return None;
    }
    Some(PathBuf::from(line.word(1)))
}

fn assign(parser: &mut Parser, line: &Line) {
    if line.words.len() < 3 {
        parser.alert(line, 0, format!("'{}' expects a name and a value.", line.word(0)));
    } else {
        parser.at_most(line, 3);
    }
}

fn nbproc(parser: &mut Parser, line: &Line) {
    if line.word(1) == "1" {
        let message = "nbproc is not supported any more since HAProxy 2.5; 'nbproc 1' has no effect.";
        parser.report(Diagnostic::at(Severity::Warning, line, 0, message).hint("remove the line"));
    } else {
        let message = "nbproc is not supported any more since HAProxy 2.5. Threads will automatically be used on multi-processor machines if available.";
        let hint = format!("write 'nbthread {}'", line.word(1));
        parser.report(Diagnostic::at(Severity::Alert, line, 0, message).hint(hint));
    }
}

fn adjust(parser: &mut Parser, line: &Line, from: &str, to: &str) {
    if !from.eq_ignore_ascii_case(to) {
        return parser.alert(line, 1, "'h1-case-adjust' : <from> and <to> must not differ except the case");
    }
    let from: Arc<str> = from.to_ascii_lowercase().into();
    if parser.global.h1_case_adjust.iter().any(|(f, _)| *f == from) {
        return parser.alert(line, 1, format!("'h1-case-adjust' : '{from}' is already given"));
    }
    parser.global.h1_case_adjust.push((from, to.into()));
}

/// `cpu-map 1/1-4 0-3`, `cpu-map auto:1/1-4 0-3`, and the form without group, `cpu-map 1 0`.
fn cpu_map(parser: &mut Parser, line: &Line) {
    let (auto, set) = match line.word(1).strip_prefix("auto:") {
        Some(rest) => (true, rest),
        None => (false, line.word(1)),
    };
    let threads = match set.split_once('/') {
        Some(("1" | "all", threads)) => number_set(threads, MAX_THREADS),
        Some(_) => None,
        // One number alone is a thread group: all of its threads.
        None => number_set(set, MAX_THREADS).map(|_| Vec::new()),
    };
    let Some(mut threads) = threads else {
        return parser.alert(line, 1, format!("cpu-map : '{}' is not a valid number/range.", line.word(1)));
    };
    if threads.is_empty() {
        threads = (1..=MAX_THREADS).collect();
    }
    let mut cpus = Vec::new();
    for i in 2..line.words.len() {
        match cpu_set(line.word(i)) {
            Some(set) => cpus.extend(set),
            None => {
                return parser.alert(line, i, format!("cpu-map : '{}' is not a CPU range.", line.word(i)));
            }
        }
    }
    if cpus.is_empty() {
        return parser.alert(line, 1, "cpu-map expects a thread set and a CPU set as arguments.");
    }
    let map = &mut parser.global.cpu_map;
    for (n, thread) in threads.into_iter().enumerate() {
        if map.len() < thread {
            map.resize(thread, Vec::new());
        }
        let bound = if auto { cpus.get(n).map(|c| vec![*c]) } else { Some(cpus.clone()) };
        if let (Some(slot), Some(bound)) = (map.get_mut(thread - 1), bound) {
            *slot = bound;
        }
    }
}

/// CPU numbers from 0, comma-separated numbers and ranges.
fn cpu_set(text: &str) -> Option<Vec<usize>> {
    if matches!(text, "all" | "odd" | "even") {
        let first = usize::from(text == "odd");
        let step = if text == "all" { 1 } else { 2 };
        return Some((first..MAX_THREADS).step_by(step).collect());
    }
    let mut set = Vec::new();
    for part in text.split(',') {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let (low, high): (usize, usize) = (low.parse().ok()?, high.parse().ok()?);
        if low > high || high >= 1024 {
            return None;
        }
        set.extend(low..=high);
    }
    Some(set)
}

fn default_path(parser: &mut Parser, line: &Line) {
    use crate::config::parser::PathBase;
    parser.path_base = match line.word(1) {
        "current" => PathBase::Current,
        "config" => PathBase::Config,
        "parent" => PathBase::Parent,
        "origin" if !line.word(2).is_empty() => PathBase::Origin(line.word(2).into()),
        other => {
            let message = format!(
                "'default-path' only supports 'current', 'config', 'parent', and 'origin <path>' (got '{other}')."
            );
            parser.alert(line, 1, message);
            PathBase::Current
        }
    };
}

fn unix_bind(parser: &mut Parser, line: &Line) {
    let mut i = 1;
    while i < line.words.len() {
        match line.word(i) {
            "prefix" => parser.unix_bind.prefix = Some(line.word(i + 1).to_owned()),
            "mode" => parser.unix_bind.mode = parser.octal(line, i + 1, "unix-bind"),
            "uid" => parser.unix_bind.uid = parser.integer(line, i + 1, 0, u32::MAX),
            "gid" => parser.unix_bind.gid = parser.integer(line, i + 1, 0, u32::MAX),
            "user" => parser.unix_bind.uid = parser.user_id(line, i + 1, "unix-bind"),
            "group" => parser.unix_bind.gid = parser.group_id(line, i + 1, "unix-bind"),
            other => {
                let message = format!(
                    "'unix-bind' only supports the 'prefix', 'mode', 'user', 'group', 'uid', and 'gid' options (got '{other}')."
                );
                return parser.alert(line, i, message);
            }
        }
        i += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus() {
        assert_eq!(cpu_set("0-2,5"), Some(vec![0, 1, 2, 5]));
        assert_eq!(cpu_set("2-1"), None);
        assert_eq!(cpu_set("9999999"), None);
        assert_eq!(cpu_set("all").map(|s| s.len()), Some(MAX_THREADS));
    }
}
