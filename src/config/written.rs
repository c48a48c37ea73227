//! A configuration as it was read, in text that reads to the same words: what a running process says of its own. Beside it
//! the files it names, with what tells whether they have changed since.

use super::lex;
use super::raw::Line;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Written {
    pub text: Arc<str>,
    pub files: Vec<Stamp>,
}

/// A file as it was when the configuration was read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// As the line says.
    pub name: String,
    pub path: PathBuf,
    /// Length, and nanoseconds since 1970 of the last change.
    pub state: (u64, u128),
}

/// Words whose value may be relative to a directory that another word names.
const RELATIVE: &[&str] = &["crt", "crt-list", "ca-file", "ca-verify-file", "crl-file", "key", "load"];
const BASES: &[&str] = &["crt-base", "ca-base", "key-base"];

impl Written {
    #[must_use]
    pub fn of(lines: &[Line]) -> Self {
        let mut text = String::new();
        let mut files: Vec<Stamp> = Vec::new();
        let (mut asked, mut known) = (HashSet::new(), HashSet::new());
        let base = |l: &&Line| BASES.contains(&l.word(0));
        let bases: Vec<&Path> = lines.iter().filter(base).map(|l| Path::new(l.word(1))).collect();
        for line in lines {
            let words: Vec<String> = line.words.iter().map(|w| quoted(&w.text)).collect();
            let _ = writeln!(text, "{}", words.join(" "));
            let mut before = "";
            for word in line.words.iter().map(|w| w.text.as_str()) {
                let bases = RELATIVE.contains(&before).then_some(bases.as_slice());
                let new = names(word).filter(|name| asked.insert((*name, bases.is_some())));
                let found = new.flat_map(|name| stamps(name, bases));
                files.extend(found.filter(|stamp| known.insert(stamp.clone())));
                before = word;
            }
        }
        Self { text: text.into(), files }
    }

    /// As it is told, and [`read_stamps`] reads it.
    #[must_use]
    pub fn tell(&self) -> String {
        let mut text = String::new();
        for Stamp { name, path, state: (length, changed) } in &self.files {
            let _ = writeln!(
                text,
                "{MARK}{length} {changed} {} {}",
                quoted(name),
                quoted(&path.to_string_lossy())
            );
        }
        text + &self.text
    }
}

const MARK: &str = "# file ";

/// The stamps in what a process told.
#[must_use]
pub fn read_stamps(text: &str) -> Vec<Stamp> {
    let lines = text.lines().filter_map(|l| l.strip_prefix(MARK));
    let stamp = |line: &str| {
        let words = lex::words(line.as_bytes(), &|_| None).ok()?;
        let [length, changed, name, path] = words.as_slice() else { return None };
        let state = (length.text.parse().ok()?, changed.text.parse().ok()?);
        Some(Stamp { name: name.text.clone(), path: PathBuf::from(&path.text), state })
    };
    lines.filter_map(stamp).collect()
}

impl Stamp {
    #[must_use]
    pub fn has_changed(&self) -> bool {
        state(&self.path) != Some(self.state)
    }

    #[must_use]
    pub fn is_named_by(&self, words: &[String]) -> bool {
        words.iter().any(|w| names(w).any(|name| name == self.name))
    }
}

/// What in a word may be a file's name: `map(/etc/x.map)` has one inside.
fn names(word: &str) -> impl Iterator<Item = &str> {
    word.split(['(', ')', ',']).filter(|part| !part.is_empty())
}

/// The file of that name; where it may be relative to `bases`, also those in the directory of that name.
fn stamps(name: &str, bases: Option<&[&Path]>) -> Vec<Stamp> {
    let own = name.contains('/').then(|| PathBuf::from(name));
    let based = bases.into_iter().flatten().map(|base| base.join(name));
    let Some(path) = own.into_iter().chain(based).find(|p| p.exists()) else { return Vec::new() };
    let listed = bases.and_then(|_| std::fs::read_dir(&path).ok());
    let inside = listed.into_iter().flatten().flatten().map(|entry| entry.path());
    let mut all: Vec<PathBuf> = inside.chain([path.clone()]).collect();
    all.sort();
    let stamp = |path: PathBuf| Some(Stamp { name: name.to_owned(), state: state(&path)?, path });
    all.into_iter().filter_map(stamp).collect()
}

/// Of a regular file.
fn state(path: &Path) -> Option<(u64, u128)> {
    let about = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    let changed = about.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some((about.len(), changed.as_nanos()))
}

/// A word as it can stand in a file.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:@,+=%*[]()!?&<>~^|{}".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::environment::Environment;
    use super::super::{Source, preprocess};
    use super::*;

    fn read(text: &str) -> Vec<Line> {
        let source = Source { name: "t.cfg".into(), bytes: text.as_bytes().to_vec() };
        preprocess::read(&[source], &mut Environment::default()).lines
    }

    fn words(lines: &[Line]) -> Vec<Vec<String>> {
        lines.iter().map(|l| l.words.iter().map(|w| w.text.clone()).collect()).collect()
    }

    #[test]
    fn reads_to_the_same_words() {
        for text in [
            "global\n maxconn 5\n",
            "a b\\ c 'd e' \"f g\" h\\#i # comment\n",
            "x '' \"\" 'it'\\''s' \"$HOME\" '$HOME' back\\\\slash\n",
            "log-format \"%ci:%cp {%[req.hdr(host)]} \\\"q\\\"\"\n",
            "acl a path -m reg ^/x(y|z)[0-9]+$\n",
            "setenv A b\nx \"${A}\" \"$A\"\n",
        ] {
            let lines = read(text);
            let again = read(&Written::of(&lines).text);
            assert_eq!(words(&again), words(&lines), "{text}");
        }
    }

    #[test]
    fn files_are_known_again() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().to_string_lossy().into_owned();
        for name in ["a b.map", "c.pem", "d.lst"] {
            std::fs::write(dir.path().join(name), "1").unwrap();
        }
        let text = format!(
            "crt-base {place}\nbind :443 ssl crt c.pem\nset-var(x) path,map('{place}/a b.map')\nacl x path -f {place}/d.lst /nowhere\n"
        );
        let written = Written::of(&read(&text));
        let files: Vec<&str> = written.files.iter().map(|f| f.name.as_str()).collect();
        assert!(files.contains(&"c.pem") && files.contains(&format!("{place}/d.lst").as_str()), "{files:?}");
        let told = written.tell();
        assert_eq!(read_stamps(&told), written.files);
        assert_eq!(words(&read(&told)), words(&read(&text)));
        assert!(!written.files.iter().any(Stamp::has_changed));
        std::fs::write(dir.path().join("c.pem"), "12").unwrap();
        let changed: Vec<&Stamp> = written.files.iter().filter(|f| f.has_changed()).collect();
        assert!(changed.iter().any(|f| f.name == "c.pem"), "{changed:?}");
        assert!(changed.iter().all(|f| f.path.ends_with("c.pem")), "{changed:?}");
    }
}
