//! HAProxy's codes in plain words: states, check results, actions, and how sessions end in the log.

/// What a `status` column says, for colour, mark and order. Worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Up,
    NoCheck,
    Maint,
    Drain,
    /// Up and failing checks, or full.
    Failing,
    /// Down and passing checks again.
    Rising,
    Down,
}

impl State {
    /// From the `status` column of any row.
    #[must_use]
    pub fn of(status: &str) -> Self {
        let steps = status.contains('/');
        match status.split([' ', '(']).next().unwrap_or_default() {
            "UP" | "OPEN" if !steps => Self::Up,
            "UP" | "FULL" | "WAITING" => Self::Failing,
            "DOWN" if steps => Self::Rising,
            "MAINT" | "STOP" | "PAUSED" => Self::Maint,
            "DRAIN" | "NOLB" => Self::Drain,
            "no" => Self::NoCheck,
            _ => Self::Down,
        }
    }

    /// The row's class; the style sheet gives each its colour and its mark.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::NoCheck => "nocheck",
            Self::Maint => "maint",
            Self::Drain => "drain",
            Self::Failing => "failing",
            Self::Rising => "rising",
            Self::Down => "down",
        }
    }

    /// For the history strip and those who cannot tell its colours apart.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::NoCheck => "not checked",
            Self::Maint => "in maintenance",
            Self::Drain => "draining",
            Self::Failing => "up, failing checks",
            Self::Rising => "down, coming back",
            Self::Down => "down",
        }
    }
}

/// A `status` in a sentence.
#[must_use]
pub fn status(text: &str) -> String {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let steps = rest.split_once('/').and_then(|(n, of)| Some((n.parse::<u32>().ok()?, of)));
    match (word, steps) {
        ("OPEN", _) => "Accepts connections.".into(),
        ("FULL", _) => "Its limit of connections is reached: new ones wait.".into(),
        ("STOP", _) => "Stopped: it accepts nothing new.".into(),
        ("PAUSED", _) => "Paused by command.".into(),
        ("UP", Some((n, of))) => {
            format!("Up, but checks fail: {n} of {of} steps are left before it goes down.")
        }
        ("UP", None) => "Up: checks pass.".into(),
        ("DOWN", Some((n, of))) => format!("Down, but checks pass again: {n} of {of} steps to go up."),
        ("DOWN", None) if rest.contains("agent") => "Down: its agent says so.".into(),
        ("DOWN", None) => "Down: gets no traffic.".into(),
        ("NOLB", _) => "Its check answers 404: sessions may go on, new ones go elsewhere.".into(),
        ("MAINT", _) if rest.contains("resolution") => {
            "In maintenance: its name could not be resolved.".into()
        }
        ("MAINT", _) if rest.starts_with("(via") => {
            let tracked = rest.trim_start_matches("(via ").trim_end_matches(')');
            format!("In maintenance, as is the server it tracks: {tracked}.")
        }
        ("MAINT", _) => "In maintenance by order: gets no traffic and is not checked.".into(),
        ("DRAIN", _) => "Draining: keeps its sessions, gets no new ones but by persistence.".into(),
        ("no", _) => "Not checked: nobody knows whether it works.".into(),
        _ => String::new(),
    }
}

/// `check_status` in words. A leading `* ` says that the next check is under way.
#[must_use]
pub fn check(code: &str) -> &'static str {
    let code = code.trim_start_matches("* ");
    CHECKS.iter().find(|(known, _)| *known == code).map_or("", |(_, words)| words)
}

const CHECKS: &[(&str, &str)] = &[
    ("UNK", "no result"),
    ("INI", "not checked yet"),
    ("HANA", "traffic showed errors"),
    ("SOCKERR", "no socket could be made"),
    ("L4OK", "the connection works"),
    ("L4TOUT", "no answer to the connection in time"),
    ("L4CON", "the connection is refused or fails"),
    ("L6OK", "the TLS handshake works"),
    ("L6TOUT", "the TLS handshake took too long"),
    ("L6RSP", "the TLS handshake failed"),
    ("L7TOUT", "connected, but the answer took too long"),
    ("L7RSP", "connected, but the answer makes no sense"),
    ("L7OK", "the answer is right"),
    ("L7OKC", "the answer asks for no new sessions (404)"),
    ("L7STS", "the answer says that it is broken"),
    ("PROCERR", "the check program failed to run or found a fault"),
    ("PROCTOUT", "the check program took too long"),
    ("PROCOK", "the check program is satisfied"),
];

/// An action of the page.
#[derive(Debug)]
pub struct Action {
    pub name: &'static str,
    pub label: &'static str,
    /// What it does, after the servers' names.
    pub effect: &'static str,
}

/// Those that the page offers, in HAProxy's order.
pub const ACTIONS: &[Action] = &[
    action("ready", "Set state to READY", "Takes part in balancing again."),
    action("drain", "Set state to DRAIN", "Keeps its sessions; new ones go to other servers."),
    action(
        "maint",
        "Set state to MAINT",
        "Gets no traffic and is not checked; sessions in progress go on to their end.",
    ),
    action("dhlth", "Health: disable checks", "Stays in its present state, whatever happens to it."),
    action("ehlth", "Health: enable checks", "Is checked again."),
    action("hrunn", "Health: force UP", "Counts as healthy until its next checks say otherwise."),
    action("hnolb", "Health: force NOLB", "Gets no new sessions until its next checks say otherwise."),
    action("hdown", "Health: force DOWN", "Counts as down until its next checks say otherwise."),
    action("dagent", "Agent: disable checks", "Its agent is asked no more."),
    action("eagent", "Agent: enable checks", "Its agent is asked again."),
    action("arunn", "Agent: force UP", "Counts as if its agent had said up."),
    action("adown", "Agent: force DOWN", "Counts as if its agent had said down."),
    action(
        "shutdown",
        "Kill sessions",
        "Its sessions in progress are cut at once: their clients see errors.",
    ),
];

const fn action(name: &'static str, label: &'static str, effect: &'static str) -> Action {
    Action { name, label, effect }
}

/// How a session ended (manual 8.5): the first letter of the termination state.
pub const ENDED_BY: &[(&str, &str)] = &[
    ("-", "nobody: it ended regularly"),
    ("C", "the client, which closed or reset its connection"),
    ("c", "the client, which let its timeout pass"),
    ("S", "the server, which closed, reset or refused its connection"),
    ("s", "the server, which let its timeout pass"),
    ("P", "the proxy: a rule or a limit forbade it"),
    ("L", "the proxy itself answered: redirect, statistics, return"),
    ("R", "the proxy, out of some resource"),
    ("I", "the proxy, by an error of its own"),
    ("D", "the server went down and its sessions were shut"),
    ("U", "a better server came back and backups' sessions were shut"),
    ("K", "an administrator"),
];

/// The second letter: when.
pub const ENDED_WHEN: &[(&str, &str)] = &[
    ("-", "after the response was complete"),
    ("R", "while the request was being read"),
    ("Q", "while it waited in the queue for a server"),
    ("C", "while connecting to the server"),
    ("H", "while waiting for the server's response head"),
    ("D", "while data was being passed on"),
    ("L", "while the last bytes were on their way to the client"),
    ("T", "while the client was held in a tarpit"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_an_order() {
        for (text, state) in [
            ("UP", State::Up),
            ("OPEN", State::Up),
            ("UP 1/3", State::Failing),
            ("FULL", State::Failing),
            ("DOWN", State::Down),
            ("DOWN (agent)", State::Down),
            ("DOWN 1/2", State::Rising),
            ("MAINT", State::Maint),
            ("MAINT (via a/b)", State::Maint),
            ("STOP", State::Maint),
            ("DRAIN", State::Drain),
            ("DRAIN (agent)", State::Drain),
            ("NOLB 1/2", State::Drain),
            ("no check", State::NoCheck),
        ] {
            assert_eq!(State::of(text), state, "{text}");
            assert!(!status(text).is_empty(), "{text}");
        }
        assert!(State::Down > State::Failing && State::Failing > State::Up);
    }

    #[test]
    fn checks_have_words() {
        assert_eq!(check("L4OK"), "the connection works");
        assert_eq!(check("* L7OK"), "the answer is right");
        assert_eq!(check("?"), "");
    }
}
