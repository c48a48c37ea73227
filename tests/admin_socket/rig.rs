//! Starts both programs and compares their answers.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::harness::console::ask;
use crate::harness::own_address;
use crate::harness::process::{Program, Proxy};
use crate::harness::syslog::Syslog;
use tempfile::TempDir;

pub const PORT: u16 = 8080;
const LOG: u16 = 5140;
pub const LIMIT: Duration = Duration::from_secs(20);

/// A proxy with an administration socket for each level: `admin.sock`, `operator.sock`, `user.sock`.
pub struct Rig {
    pub proxy: Proxy,
    pub address: Ipv4Addr,
}

impl Rig {
    pub fn start(program: Program, global: &str, sections: &str, address: Ipv4Addr) -> Self {
        let dir = TempDir::new().unwrap();
        let mut config = String::from("global\n");
        for level in ["admin", "operator", "user"] {
            let path = dir.path().join(format!("{level}.sock"));
            let _ = writeln!(config, "    stats socket {} level {level}", path.display());
        }
        let _ = write!(
            config,
            "    stats timeout 20s\n    nbthread 2\n{global}\n\
             defaults\n    mode http\n    balance roundrobin\n    timeout connect 5s\n    timeout client 10s\n    timeout server 10s\n{sections}"
        );
        let config = config.replace("ADDR", &address.to_string());
        let proxy = Proxy::start_in(program, dir, &config, &["-db"], address, &[PORT])
            .unwrap_or_else(|error| panic!("{program:?} {error}"));
        Self { proxy, address }
    }

    pub fn weir(global: &str, sections: &str) -> Self {
        Self::start(Program::Weir, global, sections, own_address())
    }

    pub fn socket(&self, level: &str) -> PathBuf {
        self.proxy.dir().join(format!("{level}.sock"))
    }

    /// Until the first check of each checked server is over.
    pub fn await_checks(&self) {
        let started = Instant::now();
        let waits = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            // srv_check_state: enabled; srv_check_result: unknown
            words.get(13).and_then(|w| w.parse::<u32>().ok()).is_some_and(|bits| bits & 4 != 0)
                && words.get(11) == Some(&"0")
        };
        while self.ask("show servers state").lines().any(waits) {
            assert!(started.elapsed() < LIMIT, "checks do not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn ask(&self, line: &str) -> String {
        ask(&self.socket("admin"), line)
    }
}

/// Lists of commands differ between versions: what stands between their first line and the last three is left out.
fn without_lists(text: &str) -> String {
    let mut out = String::new();
    let mut listing = false;
    for line in text.split_inclusive('\n') {
        let entry = line.starts_with("  ") && line.get(42..43) == Some(":") || line.len() > 60 && listing;
        if listing && entry {
            continue;
        }
        listing = line.contains("Unknown command") || line.contains("The following commands");
        out.push_str(line);
    }
    out
}

/// Sends every line to both, in this order, to the socket of a level (`level: line`, or only the line for `admin`); answers,
/// what the process logs and what it writes to standard error must be the same.
pub fn compare(global: &str, sections: &str, lines: &[&str]) {
    compare_masked(global, sections, lines, str::to_owned);
}

/// As [`compare`], what differs between two runs taken out of each answer first.
pub fn compare_masked(global: &str, sections: &str, lines: &[&str], hide: fn(&str) -> String) {
    let said = ["(what is logged)", "(what is written to standard error)"];
    compare_also(&said, global, sections, lines, hide);
}

/// The answers alone.
pub fn compare_answers(global: &str, sections: &str, lines: &[&str]) {
    compare_answers_masked(global, sections, lines, str::to_owned);
}

/// The answers alone, masked too.
pub fn compare_answers_masked(global: &str, sections: &str, lines: &[&str], hide: fn(&str) -> String) {
    compare_also(&[], global, sections, lines, hide);
}

fn compare_also(said: &[&str], global: &str, sections: &str, lines: &[&str], hide: fn(&str) -> String) {
    let address = own_address();
    let (theirs, ours) = (
        observe(Program::HaProxy, global, sections, lines, address, hide),
        observe(Program::Weir, global, sections, lines, address, hide),
    );
    let mut report = String::new();
    let mut differing = 0;
    for ((line, theirs), ours) in lines.iter().chain(said).zip(&theirs).zip(&ours) {
        if theirs != ours {
            differing += 1;
            let _ = writeln!(report, "## {line:?}\n{}", difference(theirs, ours));
        }
    }
    println!("{} of {} answers agree with haproxy", lines.len() - differing.min(lines.len()), lines.len());
    assert!(report.is_empty(), "{differing} of {} answers differ:\n{report}", lines.len());
}

fn observe(
    program: Program,
    global: &str,
    sections: &str,
    lines: &[&str],
    address: Ipv4Addr,
    hide: fn(&str) -> String,
) -> Vec<String> {
    let syslog = Syslog::start((address, LOG).into());
    let rig = Rig::start(program, global, sections, address);
    let dir = rig.proxy.dir().to_string_lossy().into_owned();
    rig.await_checks();
    let masked = |text: &str| mask(&without_lists(text)).replace(&dir, "DIR");
    let mut all: Vec<String> = lines
        .iter()
        .map(|line| {
            let (level, text) = ["admin", "operator", "user"]
                .iter()
                .find_map(|level| Some((*level, line.strip_prefix(level)?.strip_prefix(": ")?)))
                .unwrap_or(("admin", line));
            hide(&masked(&ask(&rig.socket(level), &text.replace("ADDR", &address.to_string()))))
        })
        .collect();
    // Written before the answer.
    let errors = changes(&rig.proxy.stderr().replace(&format!("({})", rig.proxy.pid()), "(PID)"));
    let _ended = rig.proxy.finish();
    let logged: String = syslog.drain().iter().map(|l| without_header(l) + "\n").collect();
    all.push(masked(&changes(&logged)));
    all.push(masked(&errors));
    all
}

/// What is said of changes; the rest (start, stop, results of checks) comes in its own time.
fn changes(text: &str) -> String {
    let other =
        ["haproxy version", "path to executable", "Layer4", "Proxy ", " via b/s1", "inter", "config :"];
    text.lines()
        .filter(|l| l.starts_with(['[', '<']) && !other.iter().any(|o| l.contains(o)))
        .fold(String::new(), |all, line| all + line + "\n")
}

/// The priority and the text.
fn without_header(line: &str) -> String {
    let priority = line.split_inclusive('>').next().unwrap_or("");
    let text = line.split_once("]: ").map_or(line, |(_, text)| text);
    format!("{priority} {}", text.trim_end())
}

/// The lines that differ; of long ones with commas, the columns.
fn difference(theirs: &str, ours: &str) -> String {
    let (left, right): (Vec<&str>, Vec<&str>) = (theirs.lines().collect(), ours.lines().collect());
    let mut out = String::new();
    for i in 0..left.len().max(right.len()) {
        let (a, b) = (left.get(i).unwrap_or(&"<none>"), right.get(i).unwrap_or(&"<none>"));
        if a != b {
            let _ = writeln!(out, "  haproxy | {a}\n  weir    | {b}");
        }
    }
    out
}

/// What no two runs, or no two versions, have in common.
fn mask(text: &str) -> String {
    let text = text.replace("2.6.12-1+deb12u4", "VERSION").replace("3.4.0", "VERSION");
    text.lines().fold(String::new(), |all, line| all + &mask_line(line) + "\n")
}

fn mask_line(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    // A line of `show servers state`: the time since the last change, and the check that is under way or done.
    if words.len() == 25 && words.iter().take(1).all(|w| w.parse::<u32>().is_ok()) {
        let mut words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        words[9] = "TIME".into();
        words[13] = (words[13].parse::<u32>().unwrap_or(0) & !1).to_string();
        return words.join(" ");
    }
    // A line of `show servers conn`: how many idle connections checks have left is the mux's business.
    if words.len() > 13 && words[0].contains('/') && words[1].contains('/') {
        return words[..6].join(" ");
    }
    if line.starts_with("# pxname") {
        return "# pxname".into();
    }
    // A row of `show stat`: what commands change.
    let columns: Vec<&str> = line.split(',').collect();
    if columns.len() > 80 {
        let shown = [0, 1, 6, 17, 18, 19, 20, 27, 28, 73, 74].map(|i| columns[i]);
        // How far a check has come (`UP 1/3`) depends on when it runs.
        return shown
            .map(|c| if c.starts_with(['U', 'D']) { c.split(' ').next().unwrap_or("") } else { c })
            .join(",");
    }
    line.to_owned()
}
