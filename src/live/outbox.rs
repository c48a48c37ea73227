//! Mail that waits for its mailers. Bounded: a mail server that does not answer must not fill the memory.

use super::{Generation, Notice};
use crate::config::model::Config;
use crate::config::model::mail::{EmailAlert, Mailers};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use tokio::sync::Notify;

/// Mails that may wait for one mailer.
const LONGEST: usize = 256;
/// `email-alert level` without the line: alert.
const DEFAULT_LEVEL: u8 = 1;

/// A mail about one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    pub from: String,
    /// As configured: one address, or several between commas.
    pub to: String,
    pub hostname: String,
    pub text: String,
    pub date: SystemTime,
}

/// The queue of one mailer.
#[derive(Debug, Default)]
pub struct Outbox {
    letters: Mutex<VecDeque<Letter>>,
    posted: Notify,
}

/// Those of a configuration's mailers. A mailer of the same section and name goes on with what waits for it.
pub(super) fn all(config: &Config, previous: Option<&Generation>) -> Vec<Vec<Arc<Outbox>>> {
    let before = |section: &str, mailer: &str| {
        let previous = previous?;
        let known = previous.config.mailers.iter().zip(&previous.outboxes);
        let (conf, boxes) = known.into_iter().find(|(conf, _)| *conf.name == *section)?;
        let place = conf.mailers.iter().position(|m| *m.name == *mailer)?;
        boxes.get(place).cloned()
    };
    let of = |section: &Mailers| {
        let mailers = section.mailers.iter();
        mailers.map(|m| before(&section.name, &m.name).unwrap_or_default()).collect()
    };
    config.mailers.iter().map(of).collect()
}

impl Outbox {
    /// The next letter, when there is one. It stays the next one until it is [`Self::done`]: a reload may come in between.
    pub async fn next(&self) -> Letter {
        loop {
            let letter = self.letters().front().cloned();
            match letter {
                Some(letter) => return letter,
                None => self.posted.notified().await,
            }
        }
    }

    /// The next letter was taken, or refused for good.
    pub fn done(&self) {
        self.letters().pop_front();
    }

    fn letters(&self) -> MutexGuard<'_, VecDeque<Letter>> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `false`: the queue is full, the letter is lost.
    fn post(&self, letter: Letter) -> bool {
        let mut letters = self.letters();
        let room = letters.len() < LONGEST;
        if room {
            letters.push_back(letter);
            self.posted.notify_one();
        }
        room
    }
}

impl Generation {
    /// Posts a notice to the mailers of its proxy, if it is one people want mail about. Answers how many mailers had no
    /// room for it.
    pub fn mail(&self, notice: &Notice, date: SystemTime) -> usize {
        let (Some((_, level)), Some(proxy)) = (notice.mail, self.proxy(notice.proxy)) else { return 0 };
        if level > proxy.conf.email_alert.level.unwrap_or(DEFAULT_LEVEL) {
            return 0;
        }
        self.send_mail(&proxy.conf.email_alert, notice.log.trim_end_matches('.'), date)
    }

    /// Posts a text, if mail is configured at all. Answers how many mailers had no room for it.
    pub fn send_mail(&self, alert: &EmailAlert, text: &str, date: SystemTime) -> usize {
        let EmailAlert { from: Some(from), to: Some(to), section: Some(section), .. } = alert else {
            return 0;
        };
        let hostname = alert.hostname.as_ref().unwrap_or(&self.process.hostname);
        let letter = Letter {
            from: from.clone(),
            to: to.clone(),
            hostname: hostname.clone(),
            text: text.to_owned(),
            date,
        };
        let boxes = self.outboxes.get(*section).map_or(&[][..], Vec::as_slice);
        boxes.iter().filter(|b| !b.post(letter.clone())).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_bounded() {
        let letter = Letter {
            from: "a".into(),
            to: "b".into(),
            hostname: "h".into(),
            text: "t".into(),
            date: SystemTime::UNIX_EPOCH,
        };
        let outbox = Outbox::default();
        let kept = (0..1000).filter(|_| outbox.post(letter.clone())).count();
        assert_eq!(kept, LONGEST);
    }
}
