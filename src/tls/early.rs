//! Early data (RFC 8446 2.3): what a client says before its side of the handshake is done. Somebody who has recorded it
//! could say it again; a session is given out once, so that only another process, or one that was restarted, would listen.

use super::store::lock;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};

/// Whether the handshake that early data came before is done: of the connection, and of whoever waits for that.
#[derive(Debug, Default)]
pub struct Early {
    done: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
}

impl Early {
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done.load(SeqCst)
    }

    pub fn finish(&self) {
        self.done.store(true, SeqCst);
        for waker in std::mem::take(&mut *lock(&self.waiting)) {
            waker.wake();
        }
    }

    pub fn poll_done(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_done() {
            return Poll::Ready(());
        }
        let mut waiting = lock(&self.waiting);
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        // It may have ended meanwhile.
        if self.is_done() { Poll::Ready(()) } else { Poll::Pending }
    }
}
