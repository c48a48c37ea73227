//! `weir vrrp watch`: what VRRP says on the wire, in words.
//!
//! ```text
//!   observer  packets in, sentences out (pure)        tap  the packets of an interface, both ways
//! ```

mod observer;
mod tap;

use crate::clock::{Civil, local_offset};
use crate::net::raw;
use observer::Observer;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tap::Tap;

pub const USAGE: &str = "\
Usage: weir vrrp watch -i <interface> [-q] [-c <count>]

Listens to VRRP (versions 2 and 3, IPv4 and IPv6) and says in words who is master of what, and what is wrong: it sends
nothing and changes nothing. Needs root, or CAP_NET_RAW.

  -i <interface>   where to listen; adverts that this machine sends are heard too
  -q               only changes and warnings, not every advert
  -c <count>       end after so many adverts
  -h               this text

Each line begins with the time. An advert:
  10.0.0.1 > 224.0.0.18  id 51, version 2, priority 150, every 1 s, password, addresses 10.0.0.100
Warnings: a wrong checksum, TTL or length; two masters of one id; routers of one id that differ in version, interval,
password or addresses, and so do not listen to each other; a master that falls silent.

The routers of a running weir: 'show vrrp' on its stats socket. The configuration: docs/vrrp.md.
";

/// Between two looks for masters that have fallen silent.
const LOOK: Duration = Duration::from_millis(100);

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Arguments {
    interface: String,
    quiet: bool,
    count: Option<u64>,
}

/// Runs with the words after `weir vrrp`.
#[must_use]
pub fn run(words: &[String]) -> ExitCode {
    let help = |w: &String| matches!(w.as_str(), "-h" | "--help" | "help");
    if words.iter().any(help) {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let watched = parse(words).and_then(|arguments| watch(&arguments).map_err(|e| (e, false)));
    match watched {
        Ok(()) => ExitCode::SUCCESS,
        Err((problem, usage)) => {
            eprintln!("weir vrrp: {problem}");
            if usage {
                eprint!("{USAGE}");
            }
            ExitCode::FAILURE
        }
    }
}

/// The problem comes with whether the usage helps with it.
fn parse(words: &[String]) -> Result<Arguments, (String, bool)> {
    let mut arguments = Arguments::default();
    let mut words = words.iter().map(String::as_str);
    match words.next() {
        Some("watch") => {}
        Some(other) => return Err((format!("'{other}': it knows 'watch' only"), true)),
        None => return Err(("what?".to_owned(), true)),
    }
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| (format!("'{word}' needs a value"), true));
        match word {
            "-i" => arguments.interface = value()?.to_owned(),
            "-q" => arguments.quiet = true,
            "-c" => {
                let text = value()?;
                let count = text.parse().map_err(|_| (format!("'-c' needs a number, not '{text}'"), true))?;
                arguments.count = Some(count);
            }
            other => return Err((format!("unknown option '{other}'"), true)),
        }
    }
    if arguments.interface.is_empty() {
        return Err(("which interface? (-i)".to_owned(), true));
    }
    Ok(arguments)
}

fn watch(arguments: &Arguments) -> Result<(), String> {
    let mut tap = Tap::open(&arguments.interface)?;
    let mut observer = Observer::new(arguments.quiet);
    let mut heard = 0;
    tell(&[format!("listening on {}", arguments.interface)])?;
    loop {
        let now = Instant::now();
        let mut lines = observer.silence(now);
        if let Some(packet) = tap.next(LOOK)? {
            heard += 1;
            lines.extend(observer.packet(&packet, now));
        }
        tell(&lines)?;
        if arguments.count.is_some_and(|count| heard >= count) {
            return Ok(());
        }
    }
}

/// Whoever reads may have left: then it is over.
fn tell(lines: &[String]) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(0);
    crate::clock::set_local_offset(raw::utc_offset);
    let c = Civil::from_unix(seconds + i64::from(local_offset(seconds)));
    for line in lines {
        writeln!(out, "{:02}:{:02}:{:02}.{:03}  {line}", c.hour, c.minute, c.second, since.subsec_millis())
            .map_err(|e| e.to_string())?;
    }
    out.flush().map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let check = |line: &str, expected: Result<Arguments, &str>| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            assert_eq!(parse(&words).map_err(|e| e.0), expected.map_err(str::to_owned), "{line}");
        };
        let on = |quiet, count| Ok(Arguments { interface: "eth0".into(), quiet, count });
        check("watch -i eth0", on(false, None));
        check("watch -q -i eth0 -c 3", on(true, Some(3)));
        check("", Err("what?"));
        check("watch", Err("which interface? (-i)"));
        check("watch -i", Err("'-i' needs a value"));
        check("watch -i eth0 -c x", Err("'-c' needs a number, not 'x'"));
        check("look", Err("'look': it knows 'watch' only"));
    }
}
