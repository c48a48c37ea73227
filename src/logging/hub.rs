//! What the senders of all threads share.

use super::fd::FdWriter;
use crate::config::model::Global;
use crate::live::Process;
use std::collections::HashMap;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// HAProxy's default tag is its own program name, and filters in the field match on it.
const DEFAULT_TAG: &str = "haproxy";

/// One per process.
#[derive(Debug)]
pub struct Hub {
    pub(super) process: Arc<Process>,
    pub(super) tag: Arc<str>,
    /// `log-send-hostname`: the name put in headers; `None` leaves HAProxy's `localhost` (rfc3164) or `-` (rfc5424).
    pub(super) hostname: Option<Arc<str>>,
    writers: Mutex<HashMap<RawFd, Arc<FdWriter>>>,
    samples: Mutex<HashMap<usize, Arc<AtomicU32>>>,
}

impl Hub {
    #[must_use]
    pub fn new(process: Arc<Process>, global: &Global) -> Arc<Self> {
        let hostname = global.log_send_hostname.as_deref().map(|name| match name {
            "" => Arc::from(process.hostname.as_str()),
            name => Arc::from(name),
        });
        let tag = Arc::from(global.log_tag.as_deref().unwrap_or(DEFAULT_TAG));
        Arc::new(Self { process, tag, hostname, writers: Mutex::default(), samples: Mutex::default() })
    }

    /// The process's one writer of descriptor `fd`.
    pub(super) fn writer(&self, fd: RawFd) -> Arc<FdWriter> {
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(
            writers.entry(fd).or_insert_with(|| Arc::new(FdWriter::new(fd, Arc::clone(&self.process)))),
        )
    }

    /// The position in the sample cycle of one target of one proxy: `key` is its address in the proxy's list, because
    /// HAProxy counts `log global` lines separately for each proxy that has them.
    pub(super) fn sample_counter(&self, key: usize) -> Arc<AtomicU32> {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(samples.entry(key).or_default())
    }

    pub(super) fn dropped(&self, lines: usize) {
        self.process.log_drops.fetch_add(lines as u64, Ordering::Relaxed);
    }

    /// Waits until what was handed to file descriptors is written, at most a second each: for the end of the process.
    pub fn close(&self) {
        let writers = std::mem::take(&mut *self.writers.lock().unwrap_or_else(PoisonError::into_inner));
        for writer in writers.into_values() {
            writer.finish(std::time::Duration::from_secs(1));
        }
    }
}
