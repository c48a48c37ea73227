//! Runs every file under `tests/vtc/` by Debian's `varnishtest`, whose clients, servers and log collectors are not ours.
//!
//! One line per file, in cargo's own form. Files under `tests/vtc/pending/` name known gaps: they are counted as ignored.
//! `WEIR_VTC_PEER=/usr/sbin/haproxy` runs the same files against another program, which is how they were written: a file
//! that fails there states our opinion, not HAProxy's behaviour. Arguments select files by substring.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;

const PARALLEL: usize = 3;
const SECONDS_PER_FILE: &str = "40";

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vtc");
    let filters: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let all = files.len();
    files
        .retain(|file| filters.is_empty() || filters.iter().any(|filter| name(&root, file).contains(filter)));
    let filtered = all - files.len();
    if std::env::args().any(|argument| argument == "--list") {
        files.iter().for_each(|file| println!("{}: test", name(&root, file)));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", files.len());
    let (ignored, runnable): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| is_pending(&root, file));
    ignored.iter().for_each(|file| println!("test {} ... ignored, a known gap", name(&root, file)));
    let tally = run_all(&root, runnable);
    report(&tally, ignored.len(), filtered)
}

struct Tally {
    passed: usize,
    skipped: usize,
    failures: Vec<(String, String)>,
}

enum Verdict {
    Passed,
    Skipped,
    Failed(String),
}

fn run_all(root: &Path, files: Vec<PathBuf>) -> Tally {
    let queue = Mutex::new(VecDeque::from(files));
    let tally = Mutex::new(Tally { passed: 0, skipped: 0, failures: Vec::new() });
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(|| {
                loop {
                    let Some(file) = queue.lock().unwrap().pop_front() else { return };
                    let verdict = run(&file);
                    let name = name(root, &file);
                    let mut tally = tally.lock().unwrap();
                    match verdict {
                        Verdict::Passed => {
                            println!("test {name} ... ok");
                            tally.passed += 1;
                        }
                        Verdict::Skipped => {
                            println!("test {name} ... ignored, varnishtest skipped it");
                            tally.skipped += 1;
                        }
                        Verdict::Failed(output) => {
                            println!("test {name} ... FAILED");
                            tally.failures.push((name, output));
                        }
                    }
                }
            });
        }
    });
    tally.into_inner().unwrap()
}

fn run(file: &Path) -> Verdict {
    let program = std::env::var("WEIR_VTC_PEER").unwrap_or_else(|_| env!("CARGO_BIN_EXE_weir").to_owned());
    let output = Command::new("varnishtest")
        .args(["-t", SECONDS_PER_FILE])
        .arg(file)
        .env("HAPROXY_PROGRAM", program)
        .current_dir(std::env::temp_dir())
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            return Verdict::Failed(format!("varnishtest (Debian package varnish) did not start: {error}"));
        }
    };
    // varnishtest: 0 passed, 77 skipped, anything else failed.
    match output.status.code() {
        Some(0) => Verdict::Passed,
        Some(77) => Verdict::Skipped,
        _ => Verdict::Failed(telling_lines(&String::from_utf8_lossy(&output.stdout))),
    }
}

/// What went wrong (`----`), what the configuration said, and the last messages exchanged before it.
fn telling_lines(log: &str) -> String {
    let telling = |line: &&str| {
        line.starts_with("----")
            || line.contains("ALERT")
            || line.contains("http[")
            || line.contains("syslog|")
    };
    let lines: Vec<&str> = log.lines().filter(telling).collect();
    let from = lines.len().saturating_sub(25);
    lines.get(from..).unwrap_or_default().join("\n")
}

fn report(tally: &Tally, pending: usize, filtered: usize) -> ExitCode {
    if !tally.failures.is_empty() {
        println!("\nfailures:");
        tally.failures.iter().for_each(|(name, output)| println!("\n---- {name} ----\n{output}"));
        println!("\nfailures:");
        tally.failures.iter().for_each(|(name, _)| println!("    {name}"));
    }
    let verdict = if tally.failures.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {} passed; {} failed; {} ignored; 0 measured; {filtered} filtered out\n",
        tally.passed,
        tally.failures.len(),
        tally.skipped + pending,
    );
    if tally.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

/// `tests/vtc/routing/path.vtc` is `vtc::routing::path`.
fn name(root: &Path, file: &Path) -> String {
    let relative = file.strip_prefix(root).unwrap_or(file).with_extension("");
    format!("vtc::{}", relative.to_string_lossy().replace('/', "::"))
}

fn is_pending(root: &Path, file: &Path) -> bool {
    file.strip_prefix(root).is_ok_and(|relative| relative.starts_with("pending"))
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("tests/vtc is readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "vtc") {
            files.push(path);
        }
    }
}
