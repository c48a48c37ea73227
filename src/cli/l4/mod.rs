//! `weir l4 ...`: questions about forwarding, and what a real server needs.

mod doctor;
mod explain;
mod probe;
mod server_setup;

use std::process::ExitCode;

const HELP: &str = "\
weir l4: tools around 'mode l4'.

  weir l4 explain --src <ip>:<port> --dst <ip>:<port> [--proto tcp|udp]
        what would become of a packet: service, flow, persistence, scheduler, server, next hop
  weir l4 doctor
        looks over this director, its routes to the servers and its kernel, and says what to do about what is wrong
  weir l4 server-setup --vip <ip>... [--mode dr|tun [--gue-port <port>]] [--undo]
        on a real server: makes it take packets for the virtual address without answering for it; may be run again
        --gue-port: packets in tunnels may come in GUE to that UDP port, too ('forward tun gue port')
        --undo [--vip <ip>...]: takes it back (without --vip: all of it)

explain and doctor ask the running process: WEIR_SOCKET, else the first 'stats socket' of the usual configuration.
";

pub fn run(words: &[String]) -> ExitCode {
    let outcome = match words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        Some(("explain", rest)) => explain::run(rest),
        Some(("doctor", [])) => doctor::run(),
        Some(("server-setup", rest)) => server_setup::run(rest),
        None | Some(("-h" | "--help" | "help", _)) => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        Some((other, rest)) => {
            let word = if other == "doctor" { rest.first().map_or("", String::as_str) } else { other };
            Err(format!("unknown word '{word}': see 'weir l4 -h'"))
        }
    };
    outcome.unwrap_or_else(|problem| {
        eprintln!("weir l4: {problem}");
        ExitCode::FAILURE
    })
}

/// `--name value` pairs; `flags` stand alone.
fn options<'a>(
    words: &'a [String],
    known: &[&str],
    flags: &[&str],
) -> Result<Vec<(&'a str, &'a str)>, String> {
    let mut found = Vec::new();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let (name, attached) = word.split_once('=').map_or((word, None), |(n, v)| (n, Some(v)));
        if flags.contains(&name) && attached.is_none() {
            found.push((name, ""));
        } else if known.contains(&name) {
            let value = attached.or_else(|| words.next());
            found.push((name, value.ok_or_else(|| format!("'{name}' expects a value"))?));
        } else {
            return Err(format!("unknown option '{word}': see 'weir l4 -h'"));
        }
    }
    Ok(found)
}
