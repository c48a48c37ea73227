//! Starts both programs and compares their answers.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::harness::console::ask;
use crate::harness::own_address;
use crate::harness::process::{Program, Proxy};
use tempfile::TempDir;

pub const PORT: u16 = 8080;

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
             defaults\n    mode http\n    timeout connect 5s\n    timeout client 10s\n    timeout server 10s\n{sections}"
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

/// Sends every line to both, in this order, to the socket of a level; `level: line`, or only the line for `admin`.
pub fn compare(global: &str, sections: &str, lines: &[&str]) {
    compare_masked(global, sections, lines, str::to_owned);
}

/// As [`compare`], what differs between two runs taken out of each answer first.
pub fn compare_masked(global: &str, sections: &str, lines: &[&str], hide: fn(&str) -> String) {
    let address = own_address();
    let observe = |program| {
        let rig = Rig::start(program, global, sections, address);
        let dir = rig.proxy.dir().to_string_lossy().into_owned();
        lines
            .iter()
            .map(|line| {
                let (level, text) = ["admin", "operator", "user"]
                    .iter()
                    .find_map(|level| Some((*level, line.strip_prefix(level)?.strip_prefix(": ")?)))
                    .unwrap_or(("admin", line));
                let answer = ask(&rig.socket(level), &text.replace("ADDR", &rig.address.to_string()));
                hide(&mask(&without_lists(&answer)).replace(&dir, "DIR"))
            })
            .collect::<Vec<_>>()
    };
    let (theirs, ours) = (observe(Program::HaProxy), observe(Program::Weir));
    let mut report = String::new();
    let mut differing = 0;
    for ((line, theirs), ours) in lines.iter().zip(&theirs).zip(&ours) {
        if theirs != ours {
            differing += 1;
            let _ = writeln!(report, "## {line:?}\n--- haproxy\n{theirs}--- weir\n{ours}");
        }
    }
    println!("{} of {} answers agree with haproxy", lines.len() - differing, lines.len());
    assert!(report.is_empty(), "{differing} of {} answers differ:\n{report}", lines.len());
}

/// What no two runs, or no two versions, have in common.
fn mask(text: &str) -> String {
    text.replace("2.6.12-1+deb12u4", "VERSION").replace("3.4.0", "VERSION")
}
