//! Keeps OCSP responses fresh (`ocsp-update on`): asks responders over HTTP, staples what they answer, logs how it went.
//!
//! Runs on the control thread, one request at a time. When a response is due, and whether it can be believed, is for
//! `tls::updates` to say.

mod fetch;

use crate::live::Generation;
use crate::logging::{self, level};
use crate::tls::updates::{Next, Update};
use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The wall clock may be set: it is looked at this often.
const LOOK_UP: Duration = Duration::from_secs(60);

/// Runs for `generation` until dropped.
pub async fn run(generation: Arc<Generation>, log: Rc<logging::Sender>) {
    let (store, manner) = (&generation.config.tls, &generation.config.global.ocsp_updates);
    loop {
        store.follow_updates(manner, now());
        let wait = match store.next_update(now()) {
            Next::Ask(order) => {
                let answer = fetch::ask(&order, manner.via).await;
                if let Some(update) = store.updated(&order, answer, manner, now()) {
                    report(&generation, &log, &update);
                }
                continue;
            }
            Next::Wait(time) => Some(time.min(LOOK_UP)),
            Next::Nothing => None,
        };
        tokio::select! {
            () = rest(wait) => {}
            () = generation.process.certificate_changes.notified() => {}
        }
    }
}

async fn rest(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => pending().await,
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// HAProxy's line, with the reason where something failed.
fn report(generation: &Generation, log: &logging::Sender, update: &Update) {
    let text = format!(
        "<OCSP-UPDATE> {} {} \"{}\" {} {}",
        update.path,
        update.status as u8,
        update.words(),
        update.failures,
        update.successes
    );
    log.emit(&generation.config.global.log, level::NOTICE, None, b"", text.as_bytes());
}
