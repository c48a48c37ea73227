//! How a check ended, in HAProxy's codes and words.

use crate::health::Verdict;
use std::time::Duration;

/// The outcomes a check may have. The order is that of the stats page's codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    Unknown,
    SocketError,
    L4Ok,
    L4Timeout,
    L4Connect,
    L7Timeout,
    L7Response,
    L7Ok,
    L7Conditional,
    L7Status,
    /// Not a check: traffic showed errors (`observe`).
    Analysis,
}

/// (status, code of the stats page, words of the log, verdict)
const STATUSES: &[(Status, &str, &str, Verdict)] = &[
    (Status::Unknown, "UNK", "Unknown", Verdict::Failed),
    (Status::SocketError, "SOCKERR", "Socket error", Verdict::Failed),
    (Status::L4Ok, "L4OK", "Layer4 check passed", Verdict::Passed),
    (Status::L4Timeout, "L4TOUT", "Layer4 timeout", Verdict::Failed),
    (Status::L4Connect, "L4CON", "Layer4 connection problem", Verdict::Failed),
    (Status::L7Timeout, "L7TOUT", "Layer7 timeout", Verdict::Failed),
    (Status::L7Response, "L7RSP", "Layer7 invalid response", Verdict::Failed),
    (Status::L7Ok, "L7OK", "Layer7 check passed", Verdict::Passed),
    (Status::L7Conditional, "L7OKC", "Layer7 check conditionally passed", Verdict::Conditional),
    (Status::L7Status, "L7STS", "Layer7 wrong status", Verdict::Failed),
    (Status::Analysis, "HANA", "Health analyze", Verdict::Failed),
];

impl Status {
    fn row(self) -> &'static (Status, &'static str, &'static str, Verdict) {
        STATUSES.get(self as usize).unwrap_or(&STATUSES[0])
    }

    /// From [`crate::live::LiveServer::check_status`].
    #[must_use]
    pub fn from_index(index: u8) -> Self {
        STATUSES.get(usize::from(index)).map_or(Self::Unknown, |r| r.0)
    }

    #[must_use]
    pub fn code(self) -> &'static str {
        self.row().1
    }

    #[must_use]
    pub fn words(self) -> &'static str {
        self.row().2
    }

    #[must_use]
    pub fn verdict(self) -> Verdict {
        self.row().3
    }
}

/// One check's result.
#[derive(Clone, Debug)]
pub struct Finding {
    pub status: Status,
    /// The response's status, for those that had one.
    pub code: Option<u16>,
    pub info: Option<String>,
    /// `None`: not from a check.
    pub duration: Option<Duration>,
}

impl Finding {
    /// `, reason: Layer7 wrong status, code: 500, info: "...", check duration: 3ms`
    #[must_use]
    pub fn reason(&self) -> String {
        let mut text = format!(", reason: {}", self.status.words());
        if let Some(code) = self.code {
            text += &format!(", code: {code}");
        }
        if let Some(info) = &self.info {
            text += &format!(", info: \"{info}\"");
        }
        if let Some(duration) = self.duration {
            text += &format!(", check duration: {}ms", duration.as_millis());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_in_order() {
        for (i, row) in STATUSES.iter().enumerate() {
            assert_eq!(row.0 as usize, i);
        }
    }

    #[test]
    fn reasons() {
        let check = |status, code, info: Option<&str>, expected: &str| {
            let info = info.map(str::to_owned);
            let got = Finding { status, code, info, duration: Some(Duration::from_millis(3)) }.reason();
            assert_eq!(got, expected);
        };
        check(
            Status::L4Connect,
            None,
            Some("Connection refused"),
            ", reason: Layer4 connection problem, info: \"Connection refused\", check duration: 3ms",
        );
        check(Status::L7Ok, Some(200), None, ", reason: Layer7 check passed, code: 200, check duration: 3ms");
    }
}
