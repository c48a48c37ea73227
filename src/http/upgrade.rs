//! After 101 or a successful CONNECT: bytes both ways, each side closing on its own.

use super::body::Flow;
use super::buffer::{self, Inbox, Outbox};
use super::error::{Cause, Failure, Phase};
use super::exchange::{End, Exchange};
use super::h1::BodyLength;
use crate::config::model::Proxy;
use crate::net::Stream;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::buffer::Buffers;

/// How long a tunnel may be silent.
struct Patience {
    client: Option<Duration>,
    server: Option<Duration>,
    tunnel: Option<Duration>,
    client_fin: Option<Duration>,
    server_fin: Option<Duration>,
}

/// One direction of a tunnel.
struct Way {
    flow: Flow,
    /// The end was passed on.
    closed: bool,
}

impl Exchange<'_> {
    /// Relays until both sides have closed or a timeout strikes.
    pub async fn tunnel(&mut self, front: &Proxy, back: &Proxy) -> End {
        let settings = &self.ctx.settings;
        let patience = Patience {
            client: settings.timeout_client.or(front.timeouts.client),
            server: settings.timeout_server.or(back.timeouts.server),
            tunnel: settings.timeout_tunnel.or(back.timeouts.tunnel).or(front.timeouts.tunnel),
            client_fin: front.timeouts.client_fin,
            server_fin: back.timeouts.server_fin,
        };
        let mut up = Way { flow: Flow::new(BodyLength::UntilClose), closed: false };
        let mut down = Way { flow: Flow::new(BodyLength::UntilClose), closed: false };
        let mut last = Instant::now();
        let ended = poll_fn(|cx| self.poll_tunnel(cx, &mut up, &mut down, &patience, &mut last)).await;
        self.ctx.log.bytes_from_client += up.flow.payload();
        self.ctx.log.bytes_to_client += down.flow.payload();
        if let Err(failure) = ended {
            self.letters = failure.letters();
        }
        self.drop_upstream();
        End::Close
    }

    fn poll_tunnel(
        &mut self,
        cx: &mut Context<'_>,
        up: &mut Way,
        down: &mut Way,
        patience: &Patience,
        last: &mut Instant,
    ) -> Poll<Result<(), Failure>> {
        if self.poll_killed(cx).is_ready() {
            return Poll::Ready(Err(self.killed_failure(Phase::Data, 0)));
        }
        let Some(server) = &mut self.up else { return Poll::Ready(Ok(())) };
        let client = &mut *self.client;
        let buffers = &client.session.engine.buffers;
        loop {
            let mut moved = false;
            let to_client = down.poll(
                cx,
                (&mut server.stream, &mut server.inbox),
                (&mut client.stream, &mut self.to_client),
                buffers,
                &mut moved,
            );
            let to_server = up.poll(
                cx,
                (&mut client.stream, &mut client.inbox),
                (&mut server.stream, &mut self.to_server),
                buffers,
                &mut moved,
            );
            if let Poll::Ready(Err(from_server)) = to_client {
                let cause = if from_server { Cause::ServerAbort } else { Cause::ClientAbort };
                return Poll::Ready(Err(Failure::new(cause, Phase::Data, 0)));
            }
            if let Poll::Ready(Err(from_client)) = to_server {
                let cause = if from_client { Cause::ClientAbort } else { Cause::ServerAbort };
                return Poll::Ready(Err(Failure::new(cause, Phase::Data, 0)));
            }
            if up.closed && down.closed {
                return Poll::Ready(Ok(()));
            }
            if !moved {
                break;
            }
            *last = Instant::now();
        }
        let (client_wait, server_wait) = match (patience.tunnel, up.closed || down.closed) {
            (Some(t), false) => (Some(t), Some(t)),
            (tunnel, true) => {
                let otherwise = tunnel.or(patience.client);
                (patience.client_fin.or(otherwise), patience.server_fin.or(tunnel.or(patience.server)))
            }
            (None, false) => (patience.client, patience.server),
        };
        // A side that has closed is waited for no longer.
        let client_due = client_wait.filter(|_| !up.closed).map(|t| *last + t);
        let server_due = server_wait.filter(|_| !down.closed).map(|t| *last + t);
        let due = [client_due, server_due].into_iter().flatten().min();
        if client.timer.poll(cx, due).is_ready() {
            let cause = if due == client_due { Cause::ClientTimeout } else { Cause::ServerTimeout };
            return Poll::Ready(Err(Failure::new(cause, Phase::Data, 0)));
        }
        Poll::Pending
    }
}

impl Way {
    /// Moves bytes from one side to the other. The error says whether reading failed (else writing).
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: (&mut Stream, &mut Inbox),
        to: (&mut Stream, &mut Outbox),
        buffers: &Buffers,
        moved: &mut bool,
    ) -> Poll<Result<(), bool>> {
        let (source, inbox) = from;
        let (sink, out) = to;
        while !self.closed {
            let _ = self.flow.absorb(inbox);
            match buffer::poll_send(cx, sink, out, inbox, moved) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(false)),
                Poll::Ready(Ok(())) => {}
            }
            inbox.forget();
            inbox.expect(self.flow.is_long(), buffers);
            match inbox.poll_fill(cx, source, buffers) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => {
                    self.closed = true;
                    *moved = true;
                    let _ = sink.shutdown_write();
                }
                Poll::Ready(Ok(_)) => *moved = true,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(true)),
            }
        }
        Poll::Ready(Ok(()))
    }
}
