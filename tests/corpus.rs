//! `weir -c` on configurations people run (tests/data/corpus, see its SOURCES.md; haproxy accepts them all): each passes,
//! or is refused with nothing but the names of what weir does not support yet. `tests/data/corpus/expected` holds which
//! pass, so that none is lost unnoticed and a newly passing one is added.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use harness::process::Program;

/// Lines that only close a refusal.
const CLOSING: [&str; 2] = ["Error(s) found in configuration file", "Fatal errors found in configuration"];

#[test]
fn every_file_passes_or_names_what_is_missing() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/corpus");
    let dir = tempfile::TempDir::new().expect("a temporary directory");
    // The files refer to certificates and error pages beside them, which this script makes.
    let prepared = Command::new("sh").arg(corpus.join("prepare")).arg(dir.path()).status();
    assert!(prepared.expect("sh runs").success(), "tests/data/corpus/prepare failed (openssl missing?)");
    let (mut passing, mut wrong, mut total) = (BTreeSet::new(), Vec::new(), 0);
    for entry in std::fs::read_dir(&corpus).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with(".cfg") {
            continue;
        }
        total += 1;
        let output =
            Program::Weir.command().args(["-c", "-f", &name]).current_dir(dir.path()).output().unwrap();
        // 2, as HAProxy: nothing is wrong, but nothing listens either.
        if matches!(output.status.code(), Some(0 | 2)) {
            passing.insert(name);
            continue;
        }
        let text =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        let honest = |line: &&str| {
            line.contains("not supported by weir yet") || CLOSING.iter().any(|c| line.contains(c))
        };
        let alerts: Vec<&str> = text.lines().filter(|line| line.contains("[ALERT]")).collect();
        if output.status.code() != Some(1) || alerts.is_empty() || !alerts.iter().all(honest) {
            let other: Vec<&&str> = alerts.iter().filter(|line| !honest(line)).collect();
            wrong.push(format!("{name}: {:?} {other:?}", output.status.code()));
        }
    }
    println!(
        "{} of {total} configurations pass; {} name what is missing",
        passing.len(),
        total - passing.len()
    );
    assert!(wrong.is_empty(), "refused for another reason than a missing feature:\n{}", wrong.join("\n"));
    let expected = std::fs::read_to_string(corpus.join("expected")).unwrap();
    let expected: BTreeSet<String> = expected.lines().map(str::to_owned).collect();
    let lost: Vec<_> = expected.difference(&passing).collect();
    let gained: Vec<_> = passing.difference(&expected).collect();
    assert!(lost.is_empty(), "no longer accepted: {lost:?}");
    assert!(gained.is_empty(), "newly accepted, add to tests/data/corpus/expected: {gained:?}");
}
