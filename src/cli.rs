//! argv -> arguments -> run -> exit code. The options are HAProxy's, letter for letter: its service files, init scripts and
//! wrappers start weir unchanged.

mod diff;
mod identity;
mod ipvsadm;
mod l4;
mod reload;
mod usage;

use crate::config::diagnostic::{self, Severity};
use crate::config::environment::Environment;
use crate::config::model::Proxy;
use crate::config::{self, Loaded};
use crate::live::startup;
use crate::runtime::{self, Options, Source, master, say};
use crate::{demo, memory, net, top, vrrp};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// What was asked for.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools)]
struct Args {
    files: Vec<PathBuf>,
    check: bool,
    condition: Option<String>,
    /// `-W`, `-Ws`
    master: bool,
    /// `-S`
    master_socket: Option<String>,
    directory: Option<PathBuf>,
    verbose: bool,
    warnings_fatal: bool,
    with_diag: bool,
    /// `-dK`, with the classes after it.
    dump_keywords: Option<String>,
    local_peer: Option<String>,
    version: Option<Version>,
    help: bool,
    demo: bool,
    /// Options that say something weir cannot do yet; told when it starts.
    unbuilt: Vec<&'static str>,
    options: Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Short,
    Long,
}

/// The process's whole life.
#[must_use]
pub fn main() -> ExitCode {
    let words: Vec<String> = std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect();
    if ipvsadm::is_called(std::env::args_os().next().as_deref()) {
        return ipvsadm::run(&words);
    }
    if let Some(("ipvsadm", rest)) = words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return ipvsadm::run(rest);
    }
    if let Some(("l4", rest)) = words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return l4::run(rest);
    }
    if let Some((order @ ("reload" | "confirm" | "rollback"), rest)) =
        words.split_first().map(|(first, rest)| (first.as_str(), rest))
    {
        return reload::run(order, rest);
    }
    if let Some(("diff", rest)) = words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return diff::run(rest);
    }
    if let Some(("top", rest)) = words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return top::run(rest);
    }
    if let Some(("vrrp", rest)) = words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return vrrp::watch::run(rest);
    }
    match parse(&words) {
        Ok(mut args) => {
            args.options.channel = master::Channel::inherited().map(Arc::new);
            dispatch(args)
        }
        Err(problem) => {
            eprintln!("weir: {problem}\n{}", usage::SHORT);
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: Args) -> ExitCode {
    if args.help {
        print!("{}", usage::LONG);
        return ExitCode::SUCCESS;
    }
    match args.version {
        Some(Version::Short) => {
            print!("{}", identity::short());
            return ExitCode::SUCCESS;
        }
        Some(Version::Long) => {
            print!("{}", identity::long());
            return ExitCode::SUCCESS;
        }
        None => {}
    }
    if let Some(kinds) = &args.dump_keywords {
        return dump_keywords(kinds);
    }
    if let Some(condition) = &args.condition {
        return match config::eval_condition(condition) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(problem) => {
                say("ALERT", format!("config : Failed to evaluate condition: {problem}"));
                ExitCode::from(2)
            }
        };
    }
    if args.demo {
        return demo::run(|loaded| runtime::run(&Options { foreground: true, ..args.options }, loaded));
    }
    if args.files.is_empty() {
        eprintln!("weir: no configuration file: give one with -f\n{}", usage::SHORT);
        return ExitCode::FAILURE;
    }
    if let Some(directory) = &args.directory
        && std::env::set_current_dir(directory).is_err()
    {
        say("ALERT", format!("config : Could not change to directory '{}'", directory.display()));
        return ExitCode::FAILURE;
    }
    configure(&args)
}

fn dump_keywords(kinds: &str) -> ExitCode {
    if matches!(kinds, "" | "help") {
        println!("Supported keyword classes:\n  all: all the classes below\n  cfg: configuration keywords");
        return ExitCode::SUCCESS;
    }
    for kind in kinds.split(',') {
        match config::list_keywords(kind) {
            Some(text) => print!("{text}"),
            None => {
                eprintln!("weir: '-dK{kind}': not supported by weir yet; it knows -dKcfg and -dKall");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// Reads the configuration, says what there is to say about it, and goes on to check or run.
fn configure(args: &Args) -> ExitCode {
    let (loaded, text) = match read(args) {
        Ok(read) => read,
        Err(text) => {
            eprint!("{text}");
            if let Some(master) = &args.options.channel {
                master.failed(&text);
            }
            return ExitCode::FAILURE;
        }
    };
    if !args.options.quiet || args.verbose {
        eprint!("{text}");
    }
    startup::keep(&text);
    for option in args.unbuilt.iter().filter(|_| !args.check) {
        say("WARNING", format!("'{option}' is not supported by weir yet"));
    }
    if args.check {
        return verdict(&loaded, args.options.quiet);
    }
    start(args, *loaded)
}

/// The configuration and the warnings about it; else what refuses it.
fn read(args: &Args) -> runtime::Read {
    let sources = config::read_sources(&args.files)
        .map_err(|problem| preamble() + &runtime::line("ALERT", format!("config : {problem}")))?;
    let mut environment = Environment::of_process();
    identity::environment(&mut environment, args.local_peer.as_deref());
    let (loaded, memory) = memory::measure(|| config::load(&sources, &environment));
    let mut loaded = loaded.map_err(|diagnostics| {
        preamble() + &diagnostic::render_refusal(&diagnostics, std::process::id(), args.with_diag)
    })?;
    loaded.config.memory = memory;
    let warned = loaded.diagnostics.iter().any(|d| d.severity == Severity::Warning);
    let mut text = String::new();
    if warned || !args.options.quiet {
        text = diagnostic::render(&loaded.diagnostics, std::process::id(), args.with_diag);
    }
    if warned && (args.warnings_fatal || loaded.config.global.zero_warning) {
        text += &runtime::line("ALERT", "Some warnings were found and 'zero-warning' is set. Aborting.");
        return Err(text);
    }
    Ok((Box::new(loaded), text))
}

/// What each worker is started with: all the words but those that are the master's. The old processes are the first
/// worker's to replace.
fn master_settings(args: &Args) -> master::Settings {
    let mut settings = master::Settings { socket: args.master_socket.clone(), ..master::Settings::default() };
    let mut words = std::env::args_os().skip(1).peekable();
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("-W" | "-Ws" | "-D" | "-db" | "-d") => {}
            Some("-S" | "-p") => drop(words.next()),
            Some("-x") => settings.first.extend([Some(word), words.next()].into_iter().flatten()),
            Some("-sf" | "-st") => {
                settings.first.push(word);
                let is_pid = |w: &std::ffi::OsString| w.to_str().is_some_and(|w| w.parse::<i32>().is_ok());
                while let Some(pid) = words.next_if(is_pid) {
                    settings.first.push(pid);
                }
            }
            // The directory is this process's already.
            Some("-C") => drop(words.next()),
            Some("-f" | "-n" | "-N" | "-m" | "-L") => {
                settings.arguments.extend([Some(word), words.next()].into_iter().flatten());
            }
            _ => settings.arguments.push(word),
        }
    }
    settings
}

/// What `-c` says of a configuration without errors.
fn verdict(loaded: &Loaded, quiet: bool) -> ExitCode {
    let listens = |p: &Proxy| !p.disabled && p.front.as_ref().is_some_and(|f| !f.binds.is_empty());
    let (text, code) = if loaded.config.proxies.iter().any(|p| listens(p))
        || !loaded.config.vrrp.routers.is_empty()
        || !loaded.config.l4_services.is_empty()
    {
        ("Configuration file is valid", ExitCode::SUCCESS)
    } else {
        ("Configuration file has no error but will not start (no listener) => exit(2).", ExitCode::from(2))
    };
    if !quiet {
        println!("{text}");
    }
    code
}

fn start(args: &Args, mut loaded: Loaded) -> ExitCode {
    let mut options = args.options.clone();
    options.quiet |= loaded.config.global.quiet;
    if args.verbose {
        options.quiet = false;
    }
    let global = &loaded.config.global;
    if options.channel.is_none() && (args.master || global.master_worker) {
        let daemon = !options.foreground && (options.daemon || global.daemon);
        let pidfile = options.pidfile.clone().or_else(|| global.pidfile.clone());
        let settings = master_settings(args);
        drop(loaded);
        return master::run(&options, settings, daemon, pidfile.as_deref());
    }
    if options.channel.is_some() {
        // The pid file is the master's, and so is going to the background.
        options.foreground = true;
        options.pidfile = None;
        loaded.config.global.pidfile = None;
    }
    let again = args.clone();
    options.source = Some(Source(Arc::new(move || read(&again))));
    runtime::run(&options, loaded)
}

/// HAProxy introduces itself before its first complaint.
fn preamble() -> String {
    let name =
        format!("haproxy version is {} (weir {})", config::condition::VERSION, env!("CARGO_PKG_VERSION"));
    let mut text = runtime::line("NOTICE", name);
    if let Ok(path) = std::env::current_exe() {
        text += &runtime::line("NOTICE", format!("path to executable is {}", path.display()));
    }
    text
}

/// The value of an option that takes one.
fn value<'a>(words: &mut std::slice::Iter<'a, String>, option: &str) -> Result<&'a str, String> {
    words.next().map(String::as_str).ok_or_else(|| format!("option '{option}' needs a value"))
}

fn number<T: std::str::FromStr>(words: &mut std::slice::Iter<'_, String>, option: &str) -> Result<T, String> {
    let text = value(words, option)?;
    text.parse().map_err(|_| format!("option '{option}' needs a number, not '{text}'"))
}

fn parse(words: &[String]) -> Result<Args, String> {
    let mut args = Args::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "demo" if args.files.is_empty() => args.demo = true,
            "-h" | "--help" | "help" => args.help = true,
            "--version" | "-v" => args.version = Some(Version::Short),
            "-vv" => args.version = Some(Version::Long),
            "-f" => args.files.push(value(&mut words, word)?.into()),
            "--" => args.files.extend(words.by_ref().map(PathBuf::from)),
            "-c" => args.check = true,
            "-cc" => args.condition = Some(value(&mut words, word)?.to_owned()),
            "-C" => args.directory = Some(value(&mut words, word)?.into()),
            "-D" => args.options.daemon = true,
            "-W" => args.master = true,
            "-Ws" => {
                // As with HAProxy, systemd's process stays in the foreground whatever the configuration says.
                args.master = true;
                args.options.foreground = true;
                args.options.notify = true;
            }
            "-V" => args.verbose = true,
            "-q" => args.options.quiet = true,
            "-n" => args.options.maxconn = Some(number(&mut words, word)?),
            "-N" => args.options.proxy_maxconn = Some(number(&mut words, word)?),
            "-m" => args.options.memory = Some(number(&mut words, word)?),
            "-L" => args.local_peer = Some(value(&mut words, word)?.to_owned()),
            "-p" => args.options.pidfile = Some(value(&mut words, word)?.into()),
            "-S" => args.master_socket = Some(value(&mut words, word)?.to_owned()),
            // HAProxy's scripts give /dev/null where there is nobody to ask.
            "-x" => {
                args.options.take_from =
                    Some(value(&mut words, word)?.into()).filter(|p: &PathBuf| p != Path::new("/dev/null"))
            }
            "-sf" => args.options.finish = pids(&mut words),
            "-st" => args.options.terminate = pids(&mut words),
            debug if debug.starts_with("-d") => debugging(&mut args, debug)?,
            other => return Err(format!("unknown option '{other}'{}", usage::nearest(other))),
        }
    }
    Ok(args)
}

/// The pids that follow `-sf` or `-st`, up to the next option.
fn pids(words: &mut std::slice::Iter<'_, String>) -> Vec<i32> {
    let mut pids = Vec::new();
    while let Some(pid) = words.as_slice().first().and_then(|w| w.parse::<i32>().ok()).filter(|p| *p > 0) {
        pids.push(pid);
        words.next();
    }
    pids
}

/// The `-d` family. Those that switch off something weir has not (poll, a broken splice) have nothing to do.
fn debugging(args: &mut Args, word: &str) -> Result<(), String> {
    let rest = word.strip_prefix("-d").unwrap_or_default();
    match (rest.chars().next(), rest) {
        (None, _) | (_, "b") => args.options.foreground = true,
        (_, "W") => args.warnings_fatal = true,
        (_, "D") => args.with_diag = true,
        (_, "R") => args.options.one_listener = true,
        (_, "S") => net::relay::switch_off(),
        (_, "V") => args.unbuilt.push("-dV"),
        (_, "I") => args.unbuilt.push("-dI"),
        (_, "r") => args.unbuilt.push("-dr"),
        (Some('C'), _) => args.unbuilt.push("-dC"),
        (Some('K'), kinds) => args.dump_keywords = Some(kinds.trim_start_matches('K').to_owned()),
        // Memory debugging, dumping of shared objects, pollers, fast forwarding, zero copy, getaddrinfo, tracing: they
        // act on parts that HAProxy has and weir has not; nothing observable depends on them.
        (Some('M' | 'L' | 'Z' | 'F' | 't'), _) | (_, "e" | "k" | "p" | "G" | "a" | "v") => {}
        _ => return Err(format!("unknown option '{word}'{}", usage::nearest(word))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Result<Args, String> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    fn check(line: &str, expected: impl FnOnce(&Args) -> bool) {
        assert!(expected(&args(line).unwrap()), "{line}");
    }

    #[test]
    fn options() {
        check("-f a -f b -- c d", |a| a.files.len() == 4);
        check("-W -db -f x -p pid", |a| a.options.foreground && a.options.pidfile.is_some());
        check("-Ws -f x", |a| a.master && a.options.foreground && a.options.notify);
        check("-sf 1 2 3 -f x", |a| a.options.finish == [1, 2, 3] && a.files.len() == 1);
        check("-f x -st 7", |a| a.options.terminate == [7]);
        check("-f x -sf", |a| a.options.finish.is_empty());
        check("-c -V -q -dM0x50 -dK* -f x", |a| {
            a.check && a.verbose && a.options.quiet && a.dump_keywords.is_some()
        });
        check("-cc version_atleast(2.4)", |a| a.condition.as_deref() == Some("version_atleast(2.4)"));
        check("demo", |a| a.demo);
    }

    #[test]
    fn refused() {
        for line in ["-f", "-n x", "--nope", "-zz", "stray"] {
            assert!(args(line).is_err(), "{line}");
        }
    }
}
