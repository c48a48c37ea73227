//! The options of `server` lines that enable an agent check.

use super::server::{ServerOption, delay, option};
use crate::config::address;
use crate::config::draft::ServerDraft;
use crate::config::parser::Parser;
use crate::config::raw::Line;

pub const OPTIONS: &[ServerOption] = &[
    option(
        "agent-check",
        "",
        "Asks an agent for the server's state and weight; needs 'agent-port'.",
        0,
        |_, _, _, s| {
            s.agent_checked = true;
        },
    ),
    option("no-agent-check", "", "Undoes 'agent-check'.", 0, |_, _, _, s| s.agent_checked = false),
    option("agent-addr", "<addr>", "The agent's address, if it is not the server's.", 1, agent_address),
    option("agent-inter", "<delay>", "Time between two questions to the agent (2 s).", 1, |p, l, i, s| {
        if let Some(inter) = delay(p, l, i) {
            s.agent.inter = inter;
        }
    }),
    option("agent-port", "<port>", "The agent's port.", 1, |p, l, i, s| {
        s.agent.port = p.integer(l, i + 1, 1, u16::MAX).unwrap_or(0);
    }),
    option("agent-send", "<string>", "What is sent to the agent once connected.", 1, |_, l, i, s| {
        l.word(i + 1).clone_into(&mut s.agent.send);
    }),
];

fn agent_address(parser: &mut Parser, line: &Line, i: usize, draft: &mut ServerDraft) {
    let text = line.word(i + 1);
    match address::socket(text) {
        Ok(address) if address.port() == 0 => draft.agent.addr = Some(address.ip()),
        _ => {
            let message = format!("parsing agent-addr failed. Check if '{text}' is correct address.");
            parser.alert(line, i + 1, message);
        }
    }
}
