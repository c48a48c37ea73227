//! A mail's text, as HAProxy writes it.

use crate::live::Letter;
use std::time::{SystemTime, UNIX_EPOCH};

/// Head, body and the dot that ends them.
#[must_use]
pub fn write(letter: &Letter) -> String {
    let Letter { from, to, text, .. } = letter;
    // Bytes that would begin another header or end the mail have no place in a line.
    let text = text.replace(['\r', '\n'], " ");
    let date = date(letter.date);
    format!(
        "From: {from}\r\nTo: {to}\r\nDate: {date}\r\nSubject: [HAProxy Alert] {text}\r\n\r\n{text}\r\n\r\n.\r\n"
    )
}

/// `Sat, 21 Nov 2026 13:25:46 +0000 (UTC)`, local time.
fn date(date: SystemTime) -> String {
    let seconds = date.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let timestamp = i64::try_from(seconds).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    let zoned = timestamp.unwrap_or_default().to_zoned(jiff::tz::TimeZone::system());
    zoned.strftime("%a, %d %b %Y %H:%M:%S %z (%Z)").to_string()
}
