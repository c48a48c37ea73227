//! A rule set on real connections.

use super::digest;
use super::link::{Link, Next, Piece, broken};
use super::machine::{Machine, Order};
use super::scene::Scene;
use crate::clock::Now;
use crate::config::model::check::{Action, Connect, Flavour, RuleSet};
use crate::expr::facts::ProcessFacts;
use crate::health::{Finding, Status};
use crate::live::OperState;
use crate::probe::job::Job;
use std::sync::Arc;
use tokio::time::timeout_at;

#[derive(Debug)]
pub struct RuleCheck {
    rules: Arc<RuleSet>,
}

impl RuleCheck {
    #[must_use]
    pub fn new(rules: &Arc<RuleSet>) -> Self {
        Self { rules: Arc::clone(rules) }
    }

    /// Connecting is all, with what the server line says about TLS.
    #[must_use]
    pub fn connecting() -> Self {
        let connect = Action::Connect(Box::new(Connect { default: true, ..Connect::default() }));
        Self { rules: Arc::new(RuleSet::new(Flavour::Protocol, vec![connect.into()])) }
    }

    pub async fn run(&self, job: &Job<'_>) -> Finding {
        let mut machine = self.machine(job);
        let limit = digest::most_kept(&self.rules, job.tune().bufsize);
        let mut link: Option<Link> = None;
        let mut order = machine.start();
        loop {
            let next = match (order, &mut link) {
                (Order::Done(finding), _) => return finding,
                (Order::Connect { connect, port, holds_ack }, _) => {
                    drop(link.take());
                    let next = Next { flavour: self.rules.flavour, holds_ack, kept: limit };
                    match Link::open(job, connect, port, &next).await {
                        Ok(opened) => Ok(machine.connected(link.insert(opened).is_secure())),
                        Err(failure) => Err(Some(failure)),
                    }
                }
                (Order::Send(bytes), Some(link)) => {
                    match timeout_at(link.deadline, link.send(&bytes)).await {
                        Ok(Ok(())) => Ok(machine.sent()),
                        Ok(Err(error)) => Err(Some(broken(&error))),
                        Err(_) => Err(None),
                    }
                }
                (Order::Request(request), Some(link)) => {
                    match timeout_at(link.deadline, link.ask(&request)).await {
                        Ok(Ok(())) => Ok(machine.sent()),
                        Ok(Err(error)) => Err(Some(broken(&error))),
                        Err(_) => Err(None),
                    }
                }
                // What does not fit the buffer is not looked at, as in HAProxy: the check decides on what there is.
                (Order::Receive, _) if machine.is_full(limit) => Ok(machine.ended()),
                (Order::Receive, Some(link)) => match timeout_at(link.deadline, link.receive()).await {
                    Ok(Ok(Piece::Head(head))) => Ok(machine.answered(head)),
                    Ok(Ok(Piece::Bytes(bytes))) => Ok(machine.received(&bytes)),
                    Ok(Ok(Piece::End)) => Ok(machine.ended()),
                    Ok(Ok(Piece::Nothing)) => return machine.unanswered(),
                    Ok(Err(error)) => Ok(machine.broken(broken(&error))),
                    Err(_) => Err(None),
                },
                // The first step of every rule set connects.
                (Order::Send(_) | Order::Request(_) | Order::Receive, None) => {
                    return Finding::new(Status::Unknown);
                }
            };
            order = match next {
                Ok(next) => next,
                Err(Some(failure)) => return machine.failed(failure),
                Err(None) => return machine.timed_out(),
            };
        }
    }

    fn machine<'a>(&'a self, job: &'a Job<'_>) -> Machine<'a> {
        let process = &job.generation.process;
        let facts = ProcessFacts {
            pid: process.pid,
            hostname: &process.hostname,
            nbthread: job.generation.threads,
            thread: 0,
        };
        let now = Now::read().wall;
        let scene = Scene::new(job.generation, &job.proxy.conf, &job.server.conf.name, facts, now);
        // A server that is down has to answer better than with a 404 to come back.
        let stops = self.rules.disable_on_404 && job.server.oper() != OperState::Stopped;
        let state = if self.rules.send_state { job.state() } else { None };
        Machine::new(&self.rules, scene, stops, state)
    }
}
