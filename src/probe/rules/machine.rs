//! A rule set at work, without a socket: what happened goes in, what is to be done next comes out.
//!
//! ```text
//!                  connected            sent               received | ended
//!   start -> Connect ------> Send ... -------> Receive ... ---------------> Done
//!              |  failed      |  failed           |  failed, timed_out
//!              +--------------+-------------------+------------------------> Finding
//! ```

use super::describe;
use super::expect::{self, Look};
use super::http::{self, Outgoing};
use super::scene::Scene;
use crate::config::checks::from_hex;
use crate::config::model::check::{Action, Connect, Expect, Flavour, Port, RuleSet, Send, Step};
use crate::expr::Facts;
use crate::health::{Finding, Status};
use crate::message::Head;

/// Where a `tcp-check` stood whose connect was not written.
pub const FIRST_STEP: &str = " at initial connection step of tcp-check";

/// What the machine wants done; the answer goes into the method that is named.
#[derive(Debug)]
pub enum Order<'a> {
    /// A new connection in place of the one there is: [`Machine::connected`] or [`Machine::failed`].
    /// `holds_ack`: nothing is read before we send or end.
    Connect {
        connect: &'a Connect,
        port: Option<u16>,
        holds_ack: bool,
    },
    /// [`Machine::sent`] or [`Machine::failed`].
    Send(Vec<u8>),
    /// The same in the connection's version of HTTP.
    Request(Outgoing),
    /// More bytes: [`Machine::received`], [`Machine::ended`] or [`Machine::failed`].
    Receive,
    Done(Finding),
}

/// Why the server was not reached, or not any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub status: Status,
    /// The system's words.
    pub text: Option<String>,
}

pub struct Machine<'a> {
    rules: &'a RuleSet,
    /// The step in work.
    at: usize,
    scene: Scene<'a>,
    /// Nothing was received since the last connect or send.
    unread: bool,
    /// A 404 stops the server: `disable-on-404`, and it is not down.
    stops_on_404: bool,
    /// The value of `send-state`'s header.
    state: Option<String>,
    /// The connection in use is a TLS one.
    secure: bool,
    /// What success is told with, found by the last protocol step.
    said: Option<String>,
}

impl<'a> Machine<'a> {
    pub fn new(rules: &'a RuleSet, scene: Scene<'a>, stops_on_404: bool, state: Option<String>) -> Self {
        Self { rules, at: 0, scene, unread: true, stops_on_404, state, secure: false, said: None }
    }

    pub fn start(&mut self) -> Order<'a> {
        self.run()
    }

    /// `secure`: by TLS.
    pub fn connected(&mut self, secure: bool) -> Order<'a> {
        self.secure = secure;
        self.at += 1;
        self.run()
    }

    pub fn sent(&mut self) -> Order<'a> {
        self.at += 1;
        self.run()
    }

    pub fn received(&mut self, bytes: &[u8]) -> Order<'a> {
        self.scene.received.extend_from_slice(bytes);
        self.unread = false;
        self.run()
    }

    /// The head of an HTTP/2 response; what is received after it is its body, up to the end.
    pub fn answered(&mut self, head: Head) -> Order<'a> {
        self.scene.head = Some(head);
        self.unread = false;
        self.run()
    }

    /// There will be no answer.
    #[must_use]
    pub fn unanswered(&self) -> Finding {
        match self.step().map(|s| &s.action) {
            Some(Action::Expect(expect)) => expect::empty(expect, &self.expected()),
            _ => Finding::new(Status::L7Response),
        }
    }

    /// The server has closed its side.
    pub fn ended(&mut self) -> Order<'a> {
        self.scene.closed = true;
        self.unread = false;
        self.run()
    }

    /// The connection broke while more was awaited. What came before is still judged, if there was anything.
    pub fn broken(&mut self, failure: Failure) -> Order<'a> {
        let something = match self.rules.flavour {
            Flavour::Http => self.scene.message.is_some(),
            _ => !self.scene.received.is_empty(),
        };
        if something { self.ended() } else { Order::Done(self.failed(failure)) }
    }

    /// Most that a response is read: what is behind it is not looked at.
    #[must_use]
    pub fn is_full(&self, limit: usize) -> bool {
        self.scene.received.len() >= limit
    }

    #[must_use]
    pub fn failed(&self, failure: Failure) -> Finding {
        let text = failure.text.unwrap_or_default() + &self.place();
        told(failure.status, text)
    }

    #[must_use]
    pub fn timed_out(&self) -> Finding {
        let status = match self.step().map(|s| &s.action) {
            Some(Action::Connect(_)) => Status::L4Timeout,
            Some(Action::Expect(expect)) => expect.timeout.unwrap_or(Status::L7Timeout),
            _ => Status::L7Timeout,
        };
        told(status, self.place())
    }

    fn step(&self) -> Option<&'a Step> {
        self.rules.steps.get(self.at)
    }

    fn run(&mut self) -> Order<'a> {
        loop {
            let Some(step) = self.step() else { return Order::Done(self.passed()) };
            match &step.action {
                Action::Comment => {}
                Action::SetVar { scope, name, expr } => {
                    if let Some(value) = expr.eval(&mut self.scene) {
                        self.scene.set_var(*scope, name, value);
                    }
                }
                Action::SetVarFormat { scope, name, format } => {
                    let mut text = Vec::new();
                    format.render_raw(&mut self.scene, &mut text);
                    self.scene.set_var(*scope, name, crate::expr::Value::Str(text));
                }
                Action::UnsetVar { scope, name } => self.scene.unset_var(*scope, name),
                Action::Connect(connect) => {
                    self.forget();
                    let port = self.port(connect);
                    return Order::Connect { connect, port, holds_ack: !self.listens_next() };
                }
                Action::Send(send) => {
                    self.forget();
                    return match self.render(send) {
                        Some(bytes) => Order::Send(bytes),
                        None => Order::Done(self.unsendable()),
                    };
                }
                Action::Request(request) => {
                    self.forget();
                    let state = self.state.as_deref();
                    return Order::Request(http::request(request, state, &mut self.scene));
                }
                Action::Expect(_) if self.unread => return Order::Receive,
                Action::Expect(expect) => match self.look(expect) {
                    Look::Wait => return Order::Receive,
                    Look::Pass(said) => self.said = said,
                    Look::Fail(finding) => return Order::Done(finding),
                },
            }
            self.at += 1;
        }
    }

    /// The next exchange with the server is its turn.
    fn listens_next(&self) -> bool {
        let mut next = self.rules.steps.iter().skip(self.at + 1).map(|s| &s.action);
        matches!(next.find(|a| describe::is_exchange(a)), Some(Action::Expect(_)))
    }

    /// What was received before belongs to another exchange.
    fn forget(&mut self) {
        self.scene.forget();
        self.unread = true;
    }

    fn port(&mut self, connect: &Connect) -> Option<u16> {
        match connect.port.as_ref()? {
            Port::Fixed(port) | Port::OfAddress(port) => Some(*port),
            Port::Computed(expr) => {
                let number = expr.eval(&mut self.scene)?.to_int()?;
                // As HAProxy has it: the lower 16 bits.
                u16::try_from(number & 0xffff).ok().filter(|port| *port > 0)
            }
        }
    }

    fn render(&mut self, send: &Send) -> Option<Vec<u8>> {
        let (format, hex) = match send {
            Send::Bytes(bytes) => return Some(bytes.clone()),
            Send::Format(format) => (format, false),
            Send::HexFormat(format) => (format, true),
        };
        let mut text = Vec::new();
        format.render_raw(&mut self.scene, &mut text);
        if hex { from_hex(&text) } else { Some(text) }
    }

    fn unsendable(&self) -> Finding {
        let text = format!("tcp-check send : failed to build log-format string at step {}", self.number());
        told(Status::L7Response, text)
    }

    fn look(&mut self, expect: &Expect) -> Look {
        let place = self.expected();
        expect::look(expect, &place, &mut self.scene)
    }

    fn expected(&self) -> expect::Place<'a> {
        expect::Place {
            flavour: self.rules.flavour,
            number: self.number(),
            comment: describe::comment(self.rules, self.at),
            stops_on_404: self.stops_on_404,
        }
    }

    /// HAProxy's number of the step in work, from 1.
    fn number(&self) -> usize {
        let place = self.at + usize::from(!self.rules.implicit_connect);
        self.rules.numbers.get(self.at).copied().unwrap_or(place)
    }

    /// ` at step 3 of tcp-check (...)`: told of `tcp-check` rules alone.
    fn place(&self) -> String {
        if self.rules.flavour != Flavour::Tcp {
            return String::new();
        }
        let Some(step) = self.step() else { return String::new() };
        let mut text = if self.number() == 0 {
            FIRST_STEP.to_owned()
        } else {
            format!(" at step {} of tcp-check{}", self.number(), describe::action(&step.action))
        };
        if let Some(comment) = describe::comment(self.rules, self.at) {
            text += &format!(" comment: '{comment}'");
        }
        text
    }

    fn passed(&mut self) -> Finding {
        let usual =
            if self.rules.flavour == Flavour::Tcp && !self.rules.is_bare() { "(tcp-check)" } else { "" };
        if let Some(Action::Expect(expect)) = self.rules.steps.last().map(|s| &s.action) {
            let text = match (&expect.on_success, self.said.take()) {
                (Some(format), _) => super::rendered(format, &mut self.scene),
                (None, Some(said)) => said,
                (None, None) => usual.to_owned(),
            };
            let finding = told(expect.ok.unwrap_or(Status::L7Ok), text);
            return match expect::code(expect, self.rules.flavour, &mut self.scene) {
                Some(code) => finding.code(code),
                None => finding,
            };
        }
        let exchange = self.rules.steps.iter().rev().map(|s| &s.action).find(|a| describe::is_exchange(a));
        let status = match exchange {
            Some(Action::Connect(_)) if self.secure => Status::L6Ok,
            Some(Action::Connect(_)) => Status::L4Ok,
            _ => Status::L7Ok,
        };
        told(status, usual)
    }
}

/// A finding with its text as HAProxy keeps it.
pub fn told(status: Status, text: impl AsRef<[u8]>) -> Finding {
    Finding::new(status).info(describe::kept(text.as_ref()))
}
