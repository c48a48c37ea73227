//! `weir reload`, `weir confirm`, `weir rollback`: orders to a running process, and an exit code that tells what came of them.

use crate::live::reload::Wish;
use crate::runtime::back_door;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
Usage: weir reload   [-p <pid file> | -s <socket>] [--confirm <time>]
       weir confirm  [-p <pid file> | -s <socket>]
       weir rollback [-p <pid file> | -s <socket>]

reload tells the process to go over to its configuration files as they are now, waits, and prints what it says.
With --confirm, the configuration before comes back unless 'weir confirm' is called within that time (30s, 5m);
'weir rollback' does not wait for it.

  -p, --pid-file <file>   of the process or its master (default: /run/weir/weir.pid)
  -s, --socket <socket>   its stats socket (level admin) or master socket: a path or address:port

Exit code: 0 done, 1 refused (the process goes on as before), 2 no process was reached.
";

/// Nobody was reached, or the words are wrong.
const UNREACHED: u8 = 2;

#[derive(Debug, PartialEq, Eq)]
enum Place {
    PidFile(PathBuf),
    Socket(String),
}

pub fn run(order: &str, words: &[String]) -> ExitCode {
    let (place, line) = match parse(order, words) {
        Ok(Some(parsed)) => parsed,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("weir {order}: {problem}\n{USAGE}");
            return ExitCode::from(UNREACHED);
        }
    };
    let answer = match place {
        Place::PidFile(file) => ask_process(&file, &line),
        Place::Socket(at) => ask_socket(&at, &line).map_err(|e| format!("{at}: {e}")),
    };
    match answer
        .as_deref()
        .map(|text| (text, text.strip_prefix("Success=").and_then(|t| t.split_once("\n--\n"))))
    {
        Ok((_, Some((success, said)))) => {
            eprint!("{}", said.strip_suffix('\n').unwrap_or(said));
            if success == "1" { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Ok((text, None)) => {
            let text = if text.trim().is_empty() { "it ended without an answer" } else { text.trim() };
            eprintln!("weir {order}: {text}");
            ExitCode::FAILURE
        }
        Err(problem) => {
            eprintln!("weir {order}: {problem}");
            ExitCode::from(UNREACHED)
        }
    }
}

/// Where, and the command; `None`: help is wanted.
fn parse(order: &str, words: &[String]) -> Result<Option<(Place, String)>, String> {
    let mut place = Place::PidFile("/run/weir/weir.pid".into());
    let mut line = order.to_owned();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("'{word}' needs a value"));
        match word {
            "-h" | "--help" => return Ok(None),
            "-p" | "--pid-file" => place = Place::PidFile(value()?.into()),
            "-s" | "--socket" => place = Place::Socket(value()?.to_owned()),
            "--confirm" if order == "reload" => {
                let time = value()?;
                Wish::within(time)?;
                line = format!("reload --confirm {time}");
            }
            other => return Err(format!("unknown option '{other}'")),
        }
    }
    Ok(Some((place, line)))
}

fn ask_process(file: &Path, line: &str) -> Result<String, String> {
    let named = |problem: String| format!("{}: {problem}", file.display());
    let text = std::fs::read_to_string(file).map_err(|e| named(e.to_string()))?;
    let pid = text.lines().next().and_then(|l| l.trim().parse::<u32>().ok());
    let pid = pid.ok_or_else(|| named("there is no pid in it".to_owned()))?;
    let reached = back_door::connect(pid);
    let stream = reached.map_err(|e| named(format!("no weir of yours answers as process {pid}: {e}")))?;
    let mut copy = stream.try_clone().map_err(|e| e.to_string())?;
    converse(&mut copy, line, || stream.shutdown(Shutdown::Write)).map_err(|e| named(e.to_string()))
}

fn ask_socket(at: &str, line: &str) -> io::Result<String> {
    let path = at.strip_prefix("unix@").unwrap_or(at);
    if path.contains('/') || !path.contains(':') {
        let stream = UnixStream::connect(path)?;
        return converse(&mut stream.try_clone()?, line, || stream.shutdown(Shutdown::Write));
    }
    let stream = TcpStream::connect(path)?;
    converse(&mut stream.try_clone()?, line, || stream.shutdown(Shutdown::Write))
}

fn converse(
    stream: &mut (impl Read + Write),
    line: &str,
    said_all: impl FnOnce() -> io::Result<()>,
) -> io::Result<String> {
    stream.write_all(format!("{line}\n").as_bytes())?;
    said_all()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let check = |order: &str, line: &str| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            parse(order, &words)
        };
        let file = |path: &str| Place::PidFile(path.into());
        assert_eq!(check("reload", ""), Ok(Some((file("/run/weir/weir.pid"), "reload".to_owned()))));
        let trial = Ok(Some((file("x"), "reload --confirm 30s".to_owned())));
        assert_eq!(check("reload", "-p x --confirm 30s"), trial);
        let socket = Ok(Some((Place::Socket("a:1".to_owned()), "confirm".to_owned())));
        assert_eq!(check("confirm", "--socket a:1"), socket);
        assert_eq!(check("reload", "-h"), Ok(None));
        for wrong in ["-p", "--confirm soon", "x"] {
            assert!(check("reload", wrong).is_err(), "{wrong}");
        }
        assert!(check("confirm", "--confirm 3s").is_err());
    }
}
