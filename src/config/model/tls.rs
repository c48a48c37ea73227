//! TLS towards servers.

use crate::tls::{ServerTrust, Slot};
use rustls::crypto::SupportedKxGroup;
use rustls::{SignatureScheme, SupportedCipherSuite, SupportedProtocolVersion};
use std::sync::Arc;

/// What a server's connections over TLS have in common.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// `verify required`
    pub required: bool,
    /// `ca-file` and `crl-file`
    pub trust: Arc<ServerTrust>,
    /// `verifyhost`
    pub host: Option<String>,
    /// `crt`: shown to a server that asks for a certificate.
    pub identity: Option<Arc<Slot>>,
    /// `alpn`: what connections for traffic offer.
    pub alpn: Vec<Vec<u8>>,
    pub versions: Vec<&'static SupportedProtocolVersion>,
    pub suites: Vec<SupportedCipherSuite>,
    /// Key exchange groups; `None`: the library's.
    pub curves: Option<Vec<&'static dyn SupportedKxGroup>>,
    /// What the server may sign with; `None`: whatever can be verified.
    pub sigalgs: Option<Vec<SignatureScheme>>,
    /// What the key of `crt` may sign with.
    pub client_sigalgs: Option<Arc<[SignatureScheme]>>,
    /// Sessions are taken up again (`no-ssl-reuse` does without).
    pub reuse: bool,
    /// TLS 1.2 takes them up by tickets too (`no-tls-tickets` does without).
    pub tickets: bool,
}
