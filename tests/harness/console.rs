//! A client of the administration socket.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub struct Console {
    stream: UnixStream,
}

impl Console {
    pub fn connect(path: &Path) -> Self {
        // A listener that is being set up, or whose backlog is full for a moment.
        let stream = super::bind_soon(|| UnixStream::connect(path));
        stream.set_read_timeout(Some(LIMIT)).expect("a socket takes a timeout");
        stream.set_write_timeout(Some(LIMIT)).expect("a socket takes a timeout");
        Self { stream }
    }

    /// An error means that the other side has closed: reading tells the rest.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub fn finish_sending(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// All up to the end of the connection; where there is none in time, `<still open>` stands in its place.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        match self.stream.read_to_end(&mut all) {
            Ok(_) => all,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => all,
            Err(_) => {
                all.extend_from_slice(b"<still open>");
                all
            }
        }
    }

    /// All up to `end`, that included.
    pub fn until(&mut self, end: &str) -> String {
        let mut all = Vec::new();
        let mut byte = [0];
        while !all.ends_with(end.as_bytes()) {
            match self.stream.read(&mut byte) {
                Ok(1) => all.push(byte[0]),
                _ => break,
            }
        }
        String::from_utf8_lossy(&all).into_owned()
    }

    pub fn set_limit(&self, limit: Duration) {
        self.stream.set_read_timeout(Some(limit)).expect("a socket takes a timeout");
    }
}

/// The answer to a line (or several, as sent in one go).
pub fn ask(path: &Path, line: &str) -> String {
    let mut console = Console::connect(path);
    console.send(format!("{line}\n").as_bytes());
    String::from_utf8_lossy(&console.rest()).into_owned()
}
