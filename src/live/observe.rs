//! `observe`: traffic tells of a server's health between checks. Engines report what they saw; too many errors in a row
//! wake the server's check, which does what `on-error` says.

use super::server::LiveServer;
use crate::config::model::backend::Layer;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// What traffic showed of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    Connected,
    ConnectFailed,
    /// A response with this status.
    Response(u16),
    BadResponse,
    ReadError,
    ReadTimeout,
    /// The connection was closed before a response.
    Closed,
}

impl Sight {
    fn words(self) -> &'static str {
        match self {
            Self::Connected => "L4 successful connection",
            Self::ConnectFailed => "L4 unsuccessful connection",
            Self::Response(_) => "Wrong http response",
            Self::BadResponse => "Invalid http response (headers)",
            Self::ReadError => "Read error (http)",
            Self::ReadTimeout => "Read timeout (http)",
            Self::Closed => "Close from server (http)",
        }
    }

    /// Good or bad as seen from `layer`; `None`: says nothing there.
    fn is_good(self, layer: Layer) -> Option<bool> {
        match (layer, self) {
            (_, Self::ConnectFailed) => Some(false),
            (Layer::L4, Self::Connected) => Some(true),
            (Layer::L4, _) | (Layer::L7, Self::Connected) => None,
            (Layer::L7, Self::Response(status)) => Some(matches!(status, 100..=499 | 501 | 505)),
            (Layer::L7, _) => Some(false),
        }
    }
}

/// Errors in a row, and the alarm they raise.
#[derive(Debug, Default)]
pub(super) struct Observed {
    errors: AtomicU32,
    alarm: Mutex<Option<String>>,
    raised: Notify,
}

impl LiveServer {
    /// Reports what a connection or a response showed. Free of charge without `observe`.
    pub fn saw(&self, sight: Sight) {
        let Some(layer) = self.conf.observe.filter(|_| self.check.is_enabled()) else { return };
        match sight.is_good(layer) {
            None => {}
            Some(true) => self.observed.errors.store(0, Relaxed),
            Some(false) => {
                let errors = self.observed.errors.fetch_add(1, Relaxed) + 1;
                if errors >= self.conf.error_limit.max(1) {
                    self.observed.errors.store(0, Relaxed);
                    self.failed_analyses.fetch_add(1, Relaxed);
                    let text =
                        format!("Detected {errors} consecutive errors, last one was: {}", sight.words());
                    *self.observed.alarm.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
                    self.observed.raised.notify_one();
                }
            }
        }
    }

    /// A check passed: errors before it are forgotten.
    pub fn forgive(&self) {
        self.observed.errors.store(0, Relaxed);
    }

    /// Waits until traffic showed too many errors; what there is to say about them.
    pub async fn alarmed(&self) -> String {
        loop {
            let alarm = self.observed.alarm.lock().unwrap_or_else(PoisonError::into_inner).take();
            match alarm {
                Some(text) => return text,
                None => self.observed.raised.notified().await,
            }
        }
    }
}
