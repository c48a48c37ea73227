//! Every file of `config-examples/` says in its first comment what it is for, and loads without a word.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// What issue and README promise to be there.
const PROMISED: [&str; 12] = [
    "quickstart.cfg",
    "static-dynamic.cfg",
    "cookie-persistence.cfg",
    "tcp-database-pool.cfg",
    "l4-nat.cfg",
    "l4-dr.cfg",
    "l4-tun.cfg",
    "l4-fullnat.cfg",
    "tls-termination.cfg",
    "tls-client-certificates.cfg",
    "tls-sni-routing.cfg",
    "tls-reencryption.cfg",
];

#[test]
fn each_is_described_and_loads_clean() {
    let examples = examples();
    assert!(PROMISED.iter().all(|name| examples.iter().any(|path| path.ends_with(name))), "{examples:?}");
    for path in examples {
        let text = std::fs::read_to_string(&path).unwrap();
        let first = text.lines().next().unwrap();
        assert!(first.starts_with("# ") && first.len() > 40, "{}: no description", path.display());
        let run = Command::new(env!("CARGO_BIN_EXE_weir")).arg("-c").arg("-f").arg(&path).output().unwrap();
        let said =
            format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        assert!(run.status.success(), "{}: {said}", path.display());
        assert_eq!(said.trim(), "Configuration file is valid", "{}", path.display());
    }
}

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config-examples");
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    // A script stands beside the configuration that names it.
    found.retain(|path| path.extension().is_some_and(|ending| ending == "cfg"));
    found.sort();
    found
}
