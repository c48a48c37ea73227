//! The texts of messages about reloads between master and worker, and of those on the sockets.

use crate::live::reload::{History, Outcome, Wish};
use std::time::{Duration, SystemTime};

/// `<number> reload [<milliseconds>]`, `<number> confirm`, `<number> rollback`.
pub fn question(number: u64, wish: Wish) -> String {
    match wish {
        Wish::Reload(None) => format!("{number} reload"),
        Wish::Reload(Some(limit)) => format!("{number} reload {}", limit.as_millis()),
        Wish::Confirm => format!("{number} confirm"),
        Wish::Rollback => format!("{number} rollback"),
    }
}

pub fn read_question(text: &str) -> Option<(u64, Wish)> {
    let mut words = text.split(' ');
    let number = words.next()?.parse().ok()?;
    let wish = match words.next()? {
        "confirm" => Wish::Confirm,
        "rollback" => Wish::Rollback,
        _ => {
            let limit = words.next().map(str::parse).transpose().ok()?;
            Wish::Reload(limit.map(Duration::from_millis))
        }
    };
    Some((number, wish))
}

/// `<number> <success> <time>`, and the messages from the next line on.
pub fn answer(number: u64, outcome: &Outcome) -> String {
    format!("{number} {} {}\n{}", u8::from(outcome.success), millis(outcome.at), outcome.messages)
}

pub fn read_answer(text: &str) -> Option<(u64, Outcome)> {
    let (line, messages) = text.split_once('\n')?;
    let mut words = line.split(' ');
    let number = words.next()?.parse().ok()?;
    let success = words.next()? == "1";
    let at = time(words.next()?)?;
    Some((number, Outcome { success, messages: messages.to_owned(), at }))
}

/// `<done> <refused> <time>`, and the last outcome as an answer, if there was one.
pub fn history(history: &History) -> String {
    let last = history.last.as_ref().map_or_else(String::new, |last| answer(0, last));
    format!("{} {} {}\n{last}", history.done, history.refused, millis(history.since))
}

pub fn read_history(text: &str) -> Option<History> {
    let (line, last) = text.split_once('\n')?;
    let mut words = line.split(' ');
    let (done, refused) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let since = time(words.next()?)?;
    Some(History { done, refused, since, last: read_answer(last).map(|(_, outcome)| outcome) })
}

fn millis(at: SystemTime) -> u128 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis()
}

fn time(text: &str) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(text.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for wish in
            [Wish::Reload(None), Wish::Reload(Some(Duration::from_secs(30))), Wish::Confirm, Wish::Rollback]
        {
            assert_eq!(read_question(&question(7, wish)), Some((7, wish)));
        }
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_234_567);
        let outcome = Outcome { success: false, messages: "[ALERT] a\nb\n".to_owned(), at };
        assert_eq!(read_answer(&answer(3, &outcome)), Some((3, outcome.clone())));
        for last in [None, Some(outcome)] {
            let whole = History { done: 2, refused: 1, last, since: at };
            assert_eq!(read_history(&history(&whole)), Some(whole));
        }
        assert_eq!(read_question("x"), None);
        assert_eq!(read_history(""), None);
    }
}
