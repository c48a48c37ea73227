//! Weight and connection limit of a server, changed while it runs by command or by its agent. Texts are HAProxy's.

use super::Generation;
use super::backend::LiveBackend;
use super::control::{Notice, ServerAt};
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;
use std::time::Instant;

/// HAProxy's highest weight.
const MAX_WEIGHT: i64 = 256;

impl Generation {
    /// `50%` of the configured weight, or a weight from 0 to 256.
    ///
    /// # Errors
    /// What HAProxy answers.
    pub fn change_weight(&self, at: ServerAt, text: &str, now: Instant) -> Result<Vec<Notice>, &'static str> {
        let Some((proxy, backend, server)) = self.find(at) else { return Ok(Vec::new()) };
        let (number, rest) = number(text).ok_or("Empty weight string empty or preceded by garbage")?;
        let configured = i64::from(server.conf.weight);
        let weight = match rest {
            "%" if number < 0 => return Err("Relative weight must be positive.\n"),
            "%" => (configured * number.min(100 * MAX_WEIGHT) / 100).min(MAX_WEIGHT),
            _ if !(0..=MAX_WEIGHT).contains(&number) => {
                return Err("Absolute weight can only be between 0 and 256 inclusive.\n");
            }
            "" => number,
            _ => return Err("Trailing garbage in weight string"),
        };
        if weight != 0 && weight != configured && !backend.is_dynamic() {
            return Err("Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.\n");
        }
        let change = backend.put_weight(at.1.get(), u32::try_from(weight).unwrap_or(0), now);
        let mut notices = Vec::new();
        change.alarm(at.0, proxy, &mut notices);
        self.still_draining(at, &mut notices);
        Ok(notices)
    }

    /// `maxconn` from here on.
    ///
    /// # Errors
    /// What HAProxy answers.
    pub fn change_maxconn(&self, at: ServerAt, text: &str) -> Result<(), &'static str> {
        let Some((_, backend, _)) = self.find(at) else { return Ok(()) };
        let (number, rest) = number(text).ok_or("maxconn string empty or preceded by garbage")?;
        if !rest.is_empty() {
            return Err("Trailing garbage in maxconn string");
        }
        // A negative number is, as an unsigned one, no limit at all.
        backend.set_maxconn(at.1.get(), u32::try_from(number).unwrap_or(u32::MAX));
        Ok(())
    }
}

impl LiveBackend {
    pub(super) fn set_maxconn(&self, i: usize, maxconn: u32) {
        let mut wake = Vec::new();
        {
            let lists = &mut *self.lock();
            let Some(c) = lists.pool.servers.get_mut(i) else { return };
            if c.minconn == c.maxconn {
                c.minconn = maxconn;
            }
            c.maxconn = maxconn;
            if let Some(server) = self.servers.get(i) {
                server.maxconn.store(maxconn, Relaxed);
            }
            lists.serve_queue(self, i, &mut wake);
        }
        wake.into_iter().for_each(Waker::wake);
    }
}

/// The number a text begins with, and the rest.
fn number(text: &str) -> Option<(i64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let check = |text, expected| assert_eq!(number(text), expected, "{text}");
        check("50%", Some((50, "%")));
        check("-5%", Some((-5, "%")));
        check("12", Some((12, "")));
        check("abc", None);
        check("", None);
    }
}
