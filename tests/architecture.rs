//! Holds the source tree to its layout: who may import whom, where `unsafe` may stand, how large a file may grow.
//! The rules and their reasons are in docs/architecture.md.

#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Top-level modules and their layer. A module imports from its own layer and those below.
const LAYERS: &[(&str, u8)] = &[
    ("clock", 0),
    ("ids", 0),
    ("memory", 0),
    ("message", 0),
    ("random", 0),
    ("wire", 0),
    ("balance", 1),
    ("config", 1),
    ("expr", 1),
    ("health", 1),
    ("tls", 1),
    ("live", 2),
    ("net", 2),
    ("program", 2),
    ("stats", 2),
    ("tasks", 2),
    ("http", ENGINE),
    ("l4", ENGINE),
    ("logging", ENGINE),
    ("ocsp", ENGINE),
    ("probe", ENGINE),
    ("tcp", ENGINE),
    ("vrrp", ENGINE),
    ("admin", 4),
    ("cli", 5),
    ("demo", 5),
    ("runtime", 5),
    ("top", 5),
];

/// Engines meet in `live`, never in each other; but all of them log.
const ENGINE: u8 = 3;
const SHARED_ENGINE: &str = "logging";

/// Files that talk to the kernel where the safe crates stop. Folders end in a slash.
const UNSAFE_ALLOWED: &[&str] = &[
    "src/net/raw.rs",
    "src/net/handoff.rs",
    "src/net/relay.rs",
    "src/l4/abi.rs",
    "src/l4/io/",
    "src/memory.rs",
];

/// The only module that may start tasks; the runtime starts the worker threads themselves.
const SPAWN_ALLOWED: &[&str] = &["src/tasks.rs", "src/runtime/"];

const FILE_LINES: usize = 600;

/// Files that read better whole than cut, with the length each may have.
const LONGER_FILES: &[(&str, usize)] = &[("src/stats/columns.rs", 820)];

/// Tables of keywords are as long as the language is.
const TABLES: &str = "src/config/keywords/";

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "manager", "misc"];

/// Layers 0 and 1 take time and sockets as arguments.
const NOT_IN_PURE_CODE: &[&str] =
    &["tokio::", "socket2::", "Instant::now", "SystemTime::now", "TcpStream", "TcpListener", "UdpSocket"];
const READS_THE_CLOCK: &str = "src/clock.rs";

#[test]
fn imports_point_downward() {
    check(|file, found| {
        let Some(module) = file.module() else { return };
        for imported in file.imports() {
            let (Some(from), Some(to)) = (layer(module), layer(&imported)) else {
                found.push(format!("`{module}` or `{imported}` has no layer: add it to LAYERS"));
                continue;
            };
            if to > from {
                found.push(format!("layer {from} (`{module}`) imports layer {to} (`{imported}`)"));
            }
            if from == ENGINE && to == ENGINE && module != imported && imported != SHARED_ENGINE {
                found.push(format!("engine `{module}` imports engine `{imported}`"));
            }
        }
    });
}

#[test]
fn pure_layers_own_no_clock_and_no_socket() {
    check(|file, found| {
        if file.module().and_then(layer).is_none_or(|layer| layer > 1) || file.name == READS_THE_CLOCK {
            return;
        }
        for word in NOT_IN_PURE_CODE.iter().filter(|word| file.product_code().contains(*word)) {
            found.push(format!("`{word}` in a layer without IO or clock"));
        }
    });
}

#[test]
fn unsafe_stands_where_it_may_and_says_why() {
    check(|file, found| {
        let allowed = UNSAFE_ALLOWED.iter().any(|path| file.is(path));
        for number in
            (0..).zip(file.code.lines()).filter(|(_, line)| has_word(line, "unsafe")).map(|(n, _)| n)
        {
            if !allowed {
                found.push(format!("line {}: unsafe code", number + 1));
            } else if !explained(&file.text, number) {
                found.push(format!(
                    "line {}: unsafe without a comment above that says why it is sound",
                    number + 1
                ));
            }
        }
    });
}

#[test]
fn only_tasks_spawns() {
    check(|file, found| {
        if SPAWN_ALLOWED.iter().any(|path| file.is(path)) {
            return;
        }
        for word in ["spawn_local(", "tokio::spawn(", "task::spawn("] {
            if file.product_code().contains(word) {
                found.push(format!(
                    "`{word}`: tasks are started by `crate::tasks`, which names and stops them"
                ));
            }
        }
    });
}

#[test]
fn files_are_small_and_say_what_they_are_for() {
    check(|file, found| {
        let lines = file.text.lines().count();
        let limit =
            LONGER_FILES.iter().find(|(name, _)| file.name == *name).map_or(FILE_LINES, |(_, limit)| *limit);
        if lines > limit && !file.is(TABLES) {
            found.push(format!("{lines} lines, at most {limit}"));
        }
        if !file.text.starts_with("//!") && !file.name.ends_with("/tests.rs") {
            found.push("does not start with `//!` and its purpose".to_owned());
        }
    });
}

#[test]
fn names_mean_something() {
    check(|file, found| {
        for part in Path::new(&file.name).components() {
            let name = Path::new(part.as_os_str()).file_stem().unwrap_or_default();
            if EMPTY_NAMES.iter().any(|empty| name == *empty) {
                found.push(format!("a module named {}", name.display()));
            }
        }
    });
}

#[test]
fn no_path_of_one_machine() {
    // Built here so that this file does not find itself.
    let banned: Vec<String> = ["work", "root", "home"].iter().map(|name| format!("/{name}/")).collect();
    let mut found = String::new();
    // The corpus is other people's configurations, kept as they are.
    for file in repository_files().into_iter().filter(|f| !f.to_string_lossy().contains("/data/corpus/")) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for (number, line) in text.lines().enumerate() {
            if banned.iter().any(|path| starts_a_path(line, path)) {
                let _ = writeln!(found, "{}:{}: {}", file.display(), number + 1, line.trim());
            }
        }
    }
    assert!(found.is_empty(), "paths that exist on one machine only:\n{found}");
}

// --- reading the sources --------------------------------------------------------------------------------------------

struct Source {
    /// Relative to the repository, with `/`.
    name: String,
    text: String,
    /// `text` with comments and the insides of strings blanked, line for line.
    code: String,
}

impl Source {
    fn is(&self, path: &str) -> bool {
        if path.ends_with('/') { self.name.starts_with(path) } else { self.name == path }
    }

    /// The top-level module it belongs to; `None` for the crate's roots.
    fn module(&self) -> Option<&str> {
        let inside = self.name.strip_prefix("src/")?;
        let module =
            inside.split_once('/').map_or_else(|| inside.strip_suffix(".rs"), |(first, _)| Some(first))?;
        (module != "lib" && module != "main").then_some(module)
    }

    /// Without the unit tests at the end.
    fn product_code(&self) -> &str {
        if self.name.ends_with("_tests.rs") || self.name.ends_with("/tests.rs") {
            return "";
        }
        self.code.split("#[cfg(test)]\nmod ").next().unwrap_or_default()
    }

    /// Top-level modules named after `crate::`, alone or in a group.
    fn imports(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (at, _) in self.product_code().match_indices("crate::") {
            let rest = &self.product_code()[at + "crate::".len()..];
            match rest.strip_prefix('{') {
                Some(group) => found.extend(first_names(group)),
                None => found.push(identifier(rest).to_owned()),
            }
        }
        found.retain(|name| !name.is_empty() && name.chars().next().is_some_and(char::is_lowercase));
        found.sort();
        found.dedup();
        found
    }
}

fn layer(module: &str) -> Option<u8> {
    LAYERS.iter().find(|(name, _)| *name == module).map(|(_, layer)| *layer)
}

/// The first name of each entry of a `{a::b, c}` group, whose opening brace is already taken.
fn first_names(group: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut depth = 1;
    let mut at_start = true;
    for (i, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => at_start = true,
            c if at_start && (c.is_alphanumeric() || c == '_') => {
                names.push(identifier(&group[i..]).to_owned());
                at_start = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    &text[..end]
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        ![before, after].into_iter().flatten().any(|c| c.is_alphanumeric() || c == '_')
    })
}

/// Is there a comment in the five lines above, or on the line itself?
fn explained(text: &str, number: usize) -> bool {
    text.lines().take(number + 1).skip(number.saturating_sub(5)).any(|line| line.contains("//"))
}

/// `path` at the start of a path, not in the middle of a longer one or of a URL.
fn starts_a_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || "._-~}*/".contains(c))
    })
}

fn check(rule: impl Fn(&Source, &mut Vec<String>)) {
    let mut report = String::new();
    for path in files_under(&root().join("src"), &["rs"]) {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let source = Source { code: blank(&text), name, text };
        let mut found = Vec::new();
        rule(&source, &mut found);
        for problem in found {
            let _ = writeln!(report, "{}: {problem}", source.name);
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn repository_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in ["src", "tests", "docs", "benches", "config-examples", "assets", "fuzz/fuzz_targets", ".ci"]
    {
        files.extend(files_under(&root().join(folder), &[]));
    }
    files.extend(["README.md", "CHANGELOG.md", "Cargo.toml"].map(|name| root().join(name)));
    files
}

/// Every file under a folder, with one of the extensions if any are given.
fn files_under(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(files_under(&path, extensions));
        } else if extensions.is_empty()
            || path.extension().is_some_and(|e| extensions.iter().any(|x| e == *x))
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Replaces comments and the insides of string and character literals by spaces; newlines stay.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match literal_or_comment(bytes, at) {
            Some(end) => {
                for byte in &mut out[at..end] {
                    if *byte != b'\n' {
                        *byte = b' ';
                    }
                }
                end
            }
            None => at + 1,
        };
        at = end;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Where the comment or literal that starts at `at` ends.
fn literal_or_comment(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let find = |needle: &[u8], from: usize| {
        rest.windows(needle.len()).skip(from).position(|w| w == needle).map_or(bytes.len(), |i| at + from + i)
    };
    let word_before = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    match rest {
        [b'/', b'/', ..] => Some(find(b"\n", 2)),
        [b'/', b'*', ..] => Some((find(b"*/", 2) + 2).min(bytes.len())),
        [b'r', b'"' | b'#', ..] if !word_before || bytes[at - 1] == b'b' => raw_string(bytes, at),
        [b'"', ..] => Some(quoted(bytes, at, b'"')),
        [b'\'', b'\\', ..] => Some(quoted(bytes, at, b'\'')),
        [b'\'', _, b'\'', ..] => Some(at + 3),
        _ => None,
    }
}

fn raw_string(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at + 1..].iter().take_while(|b| **b == b'#').count();
    if bytes.get(at + 1 + hashes) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.extend(std::iter::repeat_n(b'#', hashes));
    let from = at + 2 + hashes;
    let end = bytes[from..].windows(close.len()).position(|w| w == close)?;
    Some(from + end + close.len())
}

fn quoted(bytes: &[u8], at: usize, quote: u8) -> usize {
    let mut i = at + 1;
    while i < bytes.len() && bytes[i] != quote {
        i += if bytes[i] == b'\\' { 2 } else { 1 };
    }
    (i + 1).min(bytes.len())
}

#[test]
fn the_reader_sees_code_and_nothing_else() {
    let code = blank(
        "use crate::{net::Stream, live}; // crate::http\nlet a = \"crate::tcp\"; let b = r#\"unsafe \"# ;\n",
    );
    let source = Source { name: "src/x/y.rs".to_owned(), text: String::new(), code };
    assert_eq!(source.module(), Some("x"));
    assert_eq!(source.imports(), ["live", "net"]);
    assert!(!has_word(&source.code, "unsafe"));
    assert!(has_word("unsafe {", "unsafe") && !has_word("unsafe_code", "unsafe"));
    assert_eq!(blank("'\\'' 'a' 'static \"\\\"\" x"), "         'static      x");
}
