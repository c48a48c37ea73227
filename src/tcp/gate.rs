//! `tcp-response content`: what the server says first is held back until the rules have judged it.

use super::context::Context;
use crate::config::model::{Proxy, TcpRule};
use crate::live::rules::{TcpVerdict, run_tcp_rules};
use crate::net::Stream;
use std::task::{Context as Waking, Poll};
use std::time::Instant;

/// Holds the server's first bytes.
pub struct Gate<'a> {
    rules: &'a [TcpRule],
    /// The rule that waits for more bytes.
    from: usize,
    /// The end of `tcp-response inspect-delay`; `None`: judged at once, before the server said anything (as HAProxy does).
    pub deadline: Option<Instant>,
}

/// What becomes of the held bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// They go to the client, and so does what follows.
    Open,
    /// They go to the client, then the connection ends.
    Last,
    /// The client gets nothing.
    Shut { silent: bool },
}

impl<'a> Gate<'a> {
    /// `None`: there are no rules.
    pub fn new(back: &'a Proxy, now: Instant) -> Option<Self> {
        let rules = &back.tcp_response_content[..];
        let deadline = back.tcp_response_inspect_delay.map(|d| now + d);
        (!rules.is_empty()).then_some(Self { rules, from: 0, deadline })
    }

    /// Reads what the server says until the rules decide.
    pub fn poll(
        &mut self,
        server: &mut Stream,
        ctx: &mut Context,
        bufsize: usize,
        cx: &mut Waking<'_>,
    ) -> Poll<Passage> {
        loop {
            let held = ctx.response.len();
            let late = self.deadline.is_none_or(|d| Instant::now() >= d);
            let ready = self.deadline.is_some() && self.read(server, ctx, bufsize, cx).is_ready();
            let something = !ctx.response.is_empty() || ctx.response_complete;
            if (something && (ready || held == 0)) || late {
                let full = ctx.response.len() >= bufsize;
                let last = late || full || ctx.response_complete;
                match run_tcp_rules(self.rules, self.from, ctx, last) {
                    TcpVerdict::NeedMore { resume } if !last => self.from = resume,
                    TcpVerdict::Reject => return Poll::Ready(Passage::Shut { silent: false }),
                    TcpVerdict::SilentDrop => return Poll::Ready(Passage::Shut { silent: true }),
                    TcpVerdict::Close => return Poll::Ready(Passage::Last),
                    _ => return Poll::Ready(Passage::Open),
                }
            }
            if !ready {
                return Poll::Pending;
            }
        }
    }

    fn read(&self, server: &mut Stream, ctx: &mut Context, bufsize: usize, cx: &mut Waking<'_>) -> Poll<()> {
        let room = bufsize.saturating_sub(ctx.response.len());
        if ctx.response_complete || room == 0 {
            return Poll::Pending;
        }
        if server.poll_read_ready(cx).is_pending() {
            return Poll::Pending;
        }
        let mut buffer = ctx.engine.take_buffer();
        let read = server.poll_read(cx, buffer.get_mut(..room).unwrap_or_default());
        let ready = match read {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(n)) if n > 0 => {
                ctx.response.extend_from_slice(buffer.get(..n).unwrap_or_default());
                Poll::Ready(())
            }
            // An error is an end: what came before it is judged.
            Poll::Ready(_) => {
                ctx.response_complete = true;
                Poll::Ready(())
            }
        };
        ctx.engine.keep_buffer(buffer);
        ready
    }
}
