//! Programs for people, driven as people do: keys in, what is drawn out.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

/// A program in a terminal of 40 lines and 160 columns; `script` (bsdutils) makes it.
pub struct Terminal {
    child: Child,
    seen: Arc<Mutex<String>>,
}

impl Terminal {
    pub fn open(command: &str) -> Self {
        let command = format!("stty rows 40 cols 160; exec {command}");
        let mut child = Command::new("script")
            .args(["-qfc", &command, "/dev/null"])
            .env("TERM", "xterm-256color")
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script (bsdutils) starts");
        let seen = Arc::new(Mutex::new(String::new()));
        let (mut output, sink) = (child.stdout.take().unwrap(), Arc::clone(&seen));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut bytes) {
                sink.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..n]));
            }
        });
        Self { child, seen }
    }

    pub fn press(&mut self, keys: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(keys.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// Waits until `text` has been drawn so many times. Blanks do not count: what is blank already is not drawn.
    pub fn wait_for(&self, text: &str, times: usize) {
        let wanted: String = text.split_whitespace().collect();
        wait_until(&format!("'{text}' is drawn"), || {
            let drawn = without_controls(&self.seen.lock().unwrap());
            let drawn: String = drawn.split_whitespace().collect();
            drawn.matches(&wanted).count() >= times
        });
    }
}

pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < LIMIT, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Terminal {
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text between the escape sequences.
fn without_controls(text: &str) -> String {
    let mut out = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '\u{1b}' {
            out.push(letter);
            continue;
        }
        if letters.next_if_eq(&'[').is_some() {
            for letter in letters.by_ref() {
                if ('@'..='~').contains(&letter) {
                    break;
                }
            }
        } else {
            letters.next();
        }
    }
    out
}
