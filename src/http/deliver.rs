//! Heads on their way to the client: bytes before the body to one of HTTP/1, values to one of HTTP/2.

use super::error::{Cause, Failure, Phase};
use super::exchange::Exchange;
use super::h1::write::{self, Persistence as Keep};
use super::h1::{self, BodyLength, Limits, Parsed};
use super::h2::head;
use super::serve::Client;
use super::tracing;
use crate::live::trace;
use crate::message::{Head, Method};
use crate::net::carried::Ending;

/// A 1xx head of the server's.
pub(super) fn put_interim(client: &Client, head: &Head, out: &mut Vec<u8>) {
    match client.stream.carried() {
        Some(carried) => {
            let _ = head::response(head, &client.session.engine.moulds).map(|head| carried.inform(head));
        }
        None => write::interim(head, None, out),
    }
}

impl Exchange<'_> {
    /// The head of the response, whose body ends as `length` says.
    ///
    /// # Errors
    /// The client is gone, or its protocol cannot say this.
    pub(super) fn put_response(&mut self, keep: Keep, length: BodyLength) -> Result<(), Failure> {
        if trace::is_on(tracing::SOURCES) {
            tracing::answering(self);
        }
        if self.client.stream.carried().is_some() {
            return self.hand_over(length);
        }
        // A server of HTTP/2 does not say so.
        if length == BodyLength::Chunked && !self.ctx.response.has(b"transfer-encoding") {
            self.ctx.response.add(b"transfer-encoding", b"chunked");
        }
        let case = self.case_map(self.client.session.frontend.conf.options.h1_case_adjust_client);
        let version = self.ctx.request.version();
        write::response(&self.ctx.response, version, keep, case.as_deref(), &mut self.to_client.bytes);
        Ok(())
    }

    #[cold]
    fn hand_over(&mut self, length: BodyLength) -> Result<(), Failure> {
        let ending = match length {
            BodyLength::None => Ending::None,
            BodyLength::Known(n) => Ending::Known(n),
            BodyLength::Chunked => Ending::Chunked,
            BodyLength::UntilClose => Ending::Told,
        };
        let Some(head) = head::response(&self.ctx.response, &self.client.session.engine.moulds) else {
            // Nothing of it has gone out.
            self.answered = false;
            return Err(Failure::new(Cause::Proxy, Phase::Header, 502));
        };
        let Some(carried) = self.client.stream.carried() else { return Ok(()) };
        carried.respond(head, ending).map_err(|_| Failure::client_abort(Phase::Data))
    }

    /// The head that begins a tunnel.
    pub(super) fn put_switch(&mut self) -> Result<(), Failure> {
        if self.client.stream.carried().is_some() {
            return self.hand_over(BodyLength::UntilClose);
        }
        let case = self.case_map(self.client.session.frontend.conf.options.h1_case_adjust_client);
        write::interim(&self.ctx.response, case.as_deref(), &mut self.to_client.bytes);
        Ok(())
    }

    /// A 1xx head of our own, as it is in HTTP/1.
    pub(super) fn put_own_interim(&mut self, bytes: &[u8]) {
        let Some(carried) = self.client.stream.carried() else {
            return self.to_client.bytes.extend_from_slice(bytes);
        };
        let mut interim = Head::new();
        let limits = Limits { relaxed: true, ..self.client.session.engine.request_limits };
        if let Parsed::Complete { .. } = h1::parse_response(bytes, &limits, Method::Get, &mut interim) {
            let moulds = &self.client.session.engine.moulds;
            let _ = head::response(&interim, moulds).map(|head| carried.inform(head));
        }
    }

    /// The body ends here, where nothing else said so beforehand.
    pub(super) fn conclude(&self) {
        if let Some(carried) = self.client.stream.carried() {
            carried.conclude();
        }
    }

    /// Has the client of a stream given it up? Others may have half-closed, which says nothing.
    pub(super) fn is_watched(&self, wanted: bool) -> bool {
        wanted || self.client.stream.carried().is_some()
    }
}
