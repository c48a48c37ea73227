//! How a check ended, in HAProxy's codes and words.

use super::Verdict;
use std::time::Duration;

/// The outcomes a check may have, in HAProxy's order: those from [`Status::L7Ok`] on come with a code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Status {
    /// There is no check.
    #[default]
    Unknown,
    /// No check has ended yet.
    Initializing,
    /// The agent said nothing of the server's state.
    Checked,
    /// Not a check: traffic showed errors (`observe`).
    Analysis,
    SocketError,
    L4Ok,
    L4Timeout,
    L4Connect,
    L6Ok,
    L6Timeout,
    L6Response,
    L7Timeout,
    L7Response,
    L7Ok,
    L7Conditional,
    L7Status,
    ProcessError,
    ProcessTimeout,
    ProcessOk,
}

/// (status, code of the stats page, words of the log, verdict)
const STATUSES: &[(Status, &str, &str, Verdict)] = &[
    (Status::Unknown, "UNK", "Unknown", Verdict::Unknown),
    (Status::Initializing, "INI", "Initializing", Verdict::Unknown),
    (Status::Checked, "CHECKED", "No status change", Verdict::Unknown),
    (Status::Analysis, "HANA", "Health analyze", Verdict::Failed),
    (Status::SocketError, "SOCKERR", "Socket error", Verdict::Failed),
    (Status::L4Ok, "L4OK", "Layer4 check passed", Verdict::Passed),
    (Status::L4Timeout, "L4TOUT", "Layer4 timeout", Verdict::Failed),
    (Status::L4Connect, "L4CON", "Layer4 connection problem", Verdict::Failed),
    (Status::L6Ok, "L6OK", "Layer6 check passed", Verdict::Passed),
    (Status::L6Timeout, "L6TOUT", "Layer6 timeout", Verdict::Failed),
    (Status::L6Response, "L6RSP", "Layer6 invalid response", Verdict::Failed),
    (Status::L7Timeout, "L7TOUT", "Layer7 timeout", Verdict::Failed),
    (Status::L7Response, "L7RSP", "Layer7 invalid response", Verdict::Failed),
    (Status::L7Ok, "L7OK", "Layer7 check passed", Verdict::Passed),
    (Status::L7Conditional, "L7OKC", "Layer7 check conditionally passed", Verdict::Conditional),
    (Status::L7Status, "L7STS", "Layer7 wrong status", Verdict::Failed),
    (Status::ProcessError, "PROCERR", "External check error", Verdict::Failed),
    (Status::ProcessTimeout, "PROCTOUT", "External check timeout", Verdict::Failed),
    (Status::ProcessOk, "PROCOK", "External check passed", Verdict::Passed),
];

impl Status {
    fn row(self) -> &'static (Status, &'static str, &'static str, Verdict) {
        STATUSES.get(self as usize).unwrap_or(&STATUSES[0])
    }

    /// From HAProxy's code, as rules name it (`L7OK`, `L7STS`…).
    #[must_use]
    pub fn by_code(code: &str) -> Option<Self> {
        STATUSES.iter().find(|r| r.1 == code).map(|r| r.0)
    }

    /// HAProxy's number for it, as in state files (2 is its check that has just begun, 14 where those with a code begin).
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8 + u8::from(self >= Self::Checked) + u8::from(self.has_code())
    }

    /// The reverse of [`Self::number`].
    #[must_use]
    pub fn by_number(number: u8) -> Self {
        STATUSES.iter().find(|r| r.0.number() == number).map_or(Self::Unknown, |r| r.0)
    }

    /// `check_status`
    #[must_use]
    pub fn code(self) -> &'static str {
        self.row().1
    }

    /// `check_desc`
    #[must_use]
    pub fn words(self) -> &'static str {
        self.row().2
    }

    #[must_use]
    pub fn verdict(self) -> Verdict {
        self.row().3
    }

    /// HTTP status, exit code or the like belongs to it.
    #[must_use]
    pub fn has_code(self) -> bool {
        self >= Self::L7Ok
    }
}

/// One check's result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    pub status: Status,
    /// The response's status or the command's exit code (-1: a signal ended it); `None`: 0 where HAProxy shows one.
    pub code: Option<i32>,
    /// Free text (`last_chk`).
    pub info: Option<String>,
    /// `None`: not from a check, or from none yet.
    pub duration: Option<Duration>,
}

impl Finding {
    #[must_use]
    pub fn new(status: Status) -> Self {
        Self { status, ..Self::default() }
    }

    #[must_use]
    pub fn code(mut self, code: impl Into<i32>) -> Self {
        self.code = Some(code.into());
        self
    }

    #[must_use]
    pub fn info(mut self, info: impl Into<String>) -> Self {
        self.info = Some(info.into()).filter(|i| !i.is_empty());
        self
    }

    /// `, reason: Layer7 wrong status, code: 500, info: "...", check duration: 3ms`
    #[must_use]
    pub fn reason(&self) -> String {
        let mut text = format!(", reason: {}", self.status.words());
        if self.status.has_code() {
            text += &format!(", code: {}", self.code.unwrap_or(0));
        }
        if let Some(info) = &self.info {
            text += &format!(", info: \"{}\"", escaped(info));
        }
        if let Some(duration) = self.duration {
            text += &format!(", check duration: {}ms", duration.as_millis());
        }
        text
    }
}

/// Bytes that would break a log line or hide its end, as `<XX>`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b'<' | b'>' => out += &format!("<{byte:02X}>"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out += &format!("<{byte:02X}>"),
        }
    }
    out
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
        let check = |finding: Finding, expected: &str| {
            let finding = Finding { duration: Some(Duration::from_millis(3)), ..finding };
            assert_eq!(finding.reason(), expected);
        };
        check(
            Finding::new(Status::L4Connect).info("Connection refused"),
            ", reason: Layer4 connection problem, info: \"Connection refused\", check duration: 3ms",
        );
        check(
            Finding::new(Status::L7Ok).code(200),
            ", reason: Layer7 check passed, code: 200, check duration: 3ms",
        );
        check(
            Finding::new(Status::L7Status).info("code <500>\n"),
            ", reason: Layer7 wrong status, code: 0, info: \"code <3C>500<3E><0A>\", check duration: 3ms",
        );
    }
}
