//! A client's connection: what it sends, what it is told. Waiting for it holds up nobody else.

use super::answer::severity::NAMES;
use super::protocol::{Lines, Request};
use crate::config::model::global::SeverityOutput;
use crate::live::Generation;
use crate::net::{Stream, handoff};
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// What is read in one go.
const CHUNK: usize = 16 * 1024;

/// After a refusal: how much and how long to go on reading, so that closing does not take the answer away again.
const LINGER: (usize, Duration) = (1 << 20, Duration::from_secs(1));

#[derive(Debug)]
pub struct Console {
    stream: Stream,
    lines: Lines,
    generation: Arc<Generation>,
    /// Longest inactivity, in either direction.
    pub(super) timeout: Option<Duration>,
}

impl Console {
    pub(super) fn new(stream: Stream, generation: Arc<Generation>, timeout: Option<Duration>) -> Self {
        Self { stream, lines: Lines::new(generation.config.global.tune.bufsize), generation, timeout }
    }

    /// The next command in what has come so far.
    pub(super) fn take(&mut self) -> Option<Request> {
        self.lines.next_request()
    }

    pub(super) fn has_no_more(&self) -> bool {
        self.lines.is_empty()
    }

    /// Waits for more; `false` at the end of the stream.
    pub(super) async fn read(&mut self) -> io::Result<bool> {
        let mut chunk = vec![0; CHUNK];
        let stream = &mut self.stream;
        let n = within(self.timeout, poll_fn(|cx| stream.poll_read(cx, &mut chunk))).await?;
        self.lines.push(chunk.get(..n).unwrap_or_default());
        Ok(n > 0)
    }

    /// Waits until the client sends something or leaves: the way to end a command that follows events. What it sent, and
    /// what it had sent behind the command, is thrown away, as HAProxy does.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn any_key(&mut self) -> io::Result<()> {
        if !self.lines.is_empty() {
            self.lines.clear();
            return Ok(());
        }
        let mut chunk = [0; 256];
        let stream = &mut self.stream;
        poll_fn(|cx| stream.poll_read(cx, &mut chunk)).await.map(|_| ())
    }

    /// Hands descriptors over, with bytes that tell of them.
    ///
    /// # Errors
    /// The client is gone, or takes nothing for its timeout.
    pub async fn give(&mut self, bytes: &[u8], sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
        let limit = self.timeout;
        let attempts = async {
            loop {
                let Some(to) = self.stream.unix() else { return Err(io::ErrorKind::Unsupported.into()) };
                match handoff::give(to, bytes, sockets) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    result => return result,
                }
            }
        };
        within(limit, attempts).await
    }

    /// Waits until more comes than there is already. A client that has said all it will say is no interruption: scripts
    /// send their commands in one go and read the answers.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn interruption(&mut self) -> io::Result<()> {
        let mut chunk = [0; 256];
        let stream = &mut self.stream;
        match poll_fn(|cx| stream.poll_read(cx, &mut chunk)).await? {
            0 => std::future::pending().await,
            n => {
                self.lines.push(chunk.get(..n).unwrap_or_default());
                Ok(())
            }
        }
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// The client is gone, or has read nothing for its timeout.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..).filter(|r| !r.is_empty()) {
            let stream = &mut self.stream;
            match within(self.timeout, poll_fn(|cx| stream.poll_write(cx, rest))).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => sent += n,
            }
        }
        self.generation.process.admin_bytes_out.fetch_add(sent as u64, Relaxed);
        Ok(())
    }

    pub(super) async fn message(&mut self, output: SeverityOutput, level: u8, text: &str) -> io::Result<()> {
        let name = NAMES.get(usize::from(level)).unwrap_or(&"");
        let marked = match output {
            SeverityOutput::None => return self.write(text.as_bytes()).await,
            SeverityOutput::Number => format!("[{level}]: {text}"),
            SeverityOutput::String => format!("[{name}]: {text}"),
        };
        self.write(marked.as_bytes()).await
    }

    /// Ends a connection whose input was not read to its end.
    pub(super) async fn close_unread(mut self) {
        let (most, time) = LINGER;
        let _ = self.stream.shutdown_write();
        let drain = async {
            let mut chunk = vec![0; CHUNK];
            let mut left = most;
            while left > 0 {
                match poll_fn(|cx| self.stream.poll_read(cx, &mut chunk)).await {
                    Ok(n) if n > 0 => left = left.saturating_sub(n),
                    _ => return,
                }
            }
        };
        let _gone = tokio::time::timeout(time, drain).await;
    }
}

async fn within<T>(limit: Option<Duration>, io: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, io).await.map_err(|_| io::ErrorKind::TimedOut)?,
        None => io.await,
    }
}
