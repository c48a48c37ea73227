//! A rule set on real connections.

use super::machine::{Failure, Machine, Order};
use super::scene::Scene;
use crate::clock::Now;
use crate::config::model::check::{Connect, RuleSet};
use crate::config::model::{Endpoint, Server};
use crate::expr::facts::ProcessFacts;
use crate::health::{Finding, Status};
use crate::live::OperState;
use crate::net::Stream;
use crate::probe::job::{self, Job};
use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

#[derive(Debug)]
pub struct RuleCheck {
    rules: Arc<RuleSet>,
}

/// The connection in use, and when its check is over.
struct Link {
    stream: Stream,
    deadline: Instant,
    linger: bool,
}

impl Drop for Link {
    fn drop(&mut self) {
        if !self.linger {
            // As HAProxy does: no TIME_WAIT is left behind.
            self.stream.reset_on_close();
        }
    }
}

impl RuleCheck {
    #[must_use]
    pub fn new(rules: &Arc<RuleSet>) -> Self {
        Self { rules: Arc::clone(rules) }
    }

    pub async fn run(&self, job: &Job<'_>) -> Finding {
        let generation = job.generation;
        let process = ProcessFacts {
            pid: generation.process.pid,
            hostname: &generation.process.hostname,
            nbthread: generation.process.nbthread,
            thread: 0,
        };
        let now = Now::read().wall;
        let scene = Scene::new(generation, &job.proxy.conf, &job.server.conf.name, process, now);
        // A server that is down has to answer better than with a 404 to come back.
        let stops = self.rules.disable_on_404 && job.server.oper() != OperState::Stopped;
        let state = if self.rules.send_state { job.state() } else { None };
        let mut machine = Machine::new(&self.rules, scene, stops, state);
        let limit = job.target.tune.bufsize;
        let mut link: Option<Link> = None;
        let mut order = machine.start();
        loop {
            let next = match (order, &mut link) {
                (Order::Done(finding), _) => return finding,
                (Order::Connect(connect, port), _) => {
                    drop(link.take());
                    match open(job, connect, port).await {
                        Ok(opened) => {
                            link = Some(opened);
                            Ok(machine.connected(false))
                        }
                        Err(failure) => Err(Some(failure)),
                    }
                }
                (Order::Send(bytes), Some(link)) => {
                    match timeout_at(link.deadline, job::send(&mut link.stream, &bytes)).await {
                        Ok(Ok(())) => Ok(machine.sent()),
                        Ok(Err(error)) => Err(Some(broken(&error))),
                        Err(_) => Err(None),
                    }
                }
                (Order::Receive, Some(link)) => match receive(&mut machine, link, limit).await {
                    Ok(next) => Ok(next),
                    Err(failure) => Err(failure),
                },
                // The first step of every rule set connects.
                (Order::Send(_) | Order::Receive, None) => return Finding::new(Status::Unknown),
            };
            order = match next {
                Ok(next) => next,
                Err(Some(failure)) => return machine.failed(failure),
                Err(None) => return machine.timed_out(),
            };
        }
    }
}

/// # Errors
/// What broke the connection; `None`: the time is up.
async fn receive<'a>(
    machine: &mut Machine<'a>,
    link: &mut Link,
    limit: usize,
) -> Result<Order<'a>, Option<Failure>> {
    // What does not fit the buffer is not looked at, as in HAProxy: the check decides on what there is.
    if machine.is_full(limit) {
        return Ok(machine.ended());
    }
    let mut bytes = Vec::new();
    match timeout_at(link.deadline, job::receive(&mut link.stream, &mut bytes)).await {
        Ok(Ok(0)) => Ok(machine.ended()),
        Ok(Ok(_)) => Ok(machine.received(&bytes)),
        Ok(Err(error)) => Ok(machine.broken(broken(&error))),
        Err(_) => Err(None),
    }
}

fn broken(error: &io::Error) -> Failure {
    Failure { status: Status::SocketError, text: Some(job::words(error)) }
}

async fn open(job: &Job<'_>, connect: &Connect, port: Option<u16>) -> Result<Link, Failure> {
    let server = addressed(&job.target.server, connect, port);
    let proxied = connect.send_proxy || connect.default && job.target.send_proxy.is_some();
    match job.connect_to(&server, proxied).await {
        Ok(stream) => Ok(Link { stream, deadline: job.deadline(), linger: connect.linger }),
        Err(finding) => Err(Failure { status: finding.status, text: finding.info }),
    }
}

/// The server at the address that the step says.
fn addressed<'a>(server: &'a Server, connect: &Connect, port: Option<u16>) -> Cow<'a, Server> {
    if connect.addr.is_none() && port.is_none() {
        return Cow::Borrowed(server);
    }
    let mut seen = server.clone();
    if let Endpoint::Inet(address) = &mut seen.endpoint {
        if let Some(ip) = connect.addr {
            address.set_ip(ip);
        }
        if let Some(port) = port {
            address.set_port(port);
            seen.port_offset = None;
        }
    }
    Cow::Owned(seen)
}
