//! What a handshake said, with a client or with a server, kept as long as the connection for whoever asks.

use super::ciphers;
use super::door::Instance;
use super::early::Early;
use super::verify::Verdict;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{ClientConnection, CommonState, HandshakeKind, ProtocolVersion, ServerConnection};
use std::sync::Arc;

/// What both sides agreed upon.
#[derive(Clone, Debug)]
pub struct Agreed {
    pub version: Option<&'static str>,
    /// OpenSSL's name, and the bits of its key.
    pub cipher: Option<(&'static str, u32)>,
    pub curve: Option<&'static str>,
    /// The name the client said.
    pub sni: Option<Box<str>>,
    pub alpn: Option<Box<[u8]>>,
    pub resumed: bool,
}

/// With a client.
#[derive(Clone, Debug)]
pub struct Handshake {
    pub agreed: Agreed,
    /// What the client showed: its certificate, then those above.
    pub client: Vec<CertificateDer<'static>>,
    pub verdict: Verdict,
    /// What it was shown.
    pub shown: Arc<Instance>,
    /// It spoke before its side of the handshake was done.
    pub early: Option<Arc<Early>>,
}

impl Handshake {
    /// What is said now may be said again by somebody else: the handshake is not done.
    #[must_use]
    pub fn is_early(&self) -> bool {
        self.early.as_ref().is_some_and(|early| !early.is_done())
    }

    #[must_use]
    pub fn of(
        tls: &ServerConnection,
        shown: &Arc<Instance>,
        early: Option<Arc<Early>>,
        now: UnixTime,
    ) -> Self {
        let client = tls.peer_certificates().map(<[_]>::to_vec).unwrap_or_default();
        let verdict = match (&shown.verifier, client.as_slice()) {
            (Some(verifier), [end, above @ ..]) => verifier.look_again(end, above, now),
            _ => Verdict::default(),
        };
        Self { agreed: Agreed::of(tls, tls.server_name()), client, verdict, shown: Arc::clone(shown), early }
    }
}

/// With a server.
#[derive(Clone, Debug)]
pub struct ServerHandshake {
    pub agreed: Agreed,
    /// What the server showed: its certificate, then those above.
    pub shown: Vec<CertificateDer<'static>>,
}

impl ServerHandshake {
    #[must_use]
    pub fn of(tls: &ClientConnection, sni: Option<&str>) -> Self {
        let shown = tls.peer_certificates().map(<[_]>::to_vec).unwrap_or_default();
        Self { agreed: Agreed::of(tls, sni), shown }
    }
}

impl Agreed {
    fn of(tls: &CommonState, sni: Option<&str>) -> Self {
        Self {
            version: tls.protocol_version().map(version_name),
            cipher: tls.negotiated_cipher_suite().and_then(|suite| ciphers::describe(suite.suite())),
            curve: tls.negotiated_key_exchange_group().and_then(|group| ciphers::curve_name(group.name())),
            sni: sni.map(Into::into),
            alpn: tls.alpn_protocol().map(Into::into),
            resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }
}

/// As OpenSSL writes it.
#[must_use]
pub fn version_name(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::TLSv1_3 => "TLSv1.3",
        ProtocolVersion::TLSv1_2 => "TLSv1.2",
        _ => "unknown",
    }
}
