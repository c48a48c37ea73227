//! Logs to `stdout`, `stderr` and `fd@N`: a thread for each descriptor writes what the workers hand it, so that a slow
//! terminal or a full pipe stops nobody. What is queued is bounded; what does not fit is dropped.

use crate::live::Process;
use crate::net::raw;
use std::fs::File;
use std::io::Write;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Batches that may wait. With the bytes each may hold, a writer never keeps more than a few megabytes.
const QUEUE: usize = 128;

struct Batch {
    bytes: Vec<u8>,
    lines: usize,
}

#[derive(Debug)]
pub(super) struct FdWriter {
    /// `None` once finished, or when the descriptor cannot be written: everything is dropped then.
    queue: Option<SyncSender<Batch>>,
    pending: Arc<Pending>,
}

#[derive(Debug, Default)]
struct Pending {
    batches: AtomicUsize,
    lock: Mutex<()>,
    idle: Condvar,
}

impl FdWriter {
    pub fn new(fd: RawFd, process: Arc<Process>) -> Self {
        let pending = Arc::new(Pending::default());
        let (queue, batches) = sync_channel(QUEUE);
        let shared = Arc::clone(&pending);
        let started = raw::duplicate(fd).ok().and_then(|copy| {
            std::thread::Builder::new()
                .name(format!("log-fd-{fd}"))
                .spawn(move || write_all(File::from(copy), &batches, &shared, &process))
                .ok()
        });
        Self { queue: started.map(|_| queue), pending }
    }

    /// Hands over whole lines; `false`: they are lost.
    pub fn send(&self, bytes: Vec<u8>, lines: usize) -> bool {
        let Some(queue) = &self.queue else { return false };
        self.pending.batches.fetch_add(1, Ordering::AcqRel);
        match queue.try_send(Batch { bytes, lines }) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.pending.done();
                false
            }
        }
    }

    /// Waits until everything handed over is written, or `limit` has passed.
    pub fn finish(&self, limit: Duration) {
        let guard = self.pending.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let busy = |_: &mut ()| self.pending.batches.load(Ordering::Acquire) > 0;
        drop(self.pending.idle.wait_timeout_while(guard, limit, busy));
    }
}

impl Pending {
    fn done(&self) {
        let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.batches.fetch_sub(1, Ordering::AcqRel);
        self.idle.notify_all();
    }
}

fn write_all(mut file: File, batches: &Receiver<Batch>, pending: &Pending, process: &Process) {
    while let Ok(batch) = batches.recv() {
        if write_batch(&mut file, &batch.bytes).is_err() {
            process.log_drops.fetch_add(batch.lines as u64, Ordering::Relaxed);
        }
        pending.done();
    }
}

/// Writes everything, waiting where the descriptor was made non-blocking by somebody.
fn write_batch(file: &mut File, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(1))
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
