//! TLS towards servers.

use rustls::pki_types::CertificateDer;
use std::sync::Arc;

/// What a server's certificate is checked against.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// `verify required`
    pub required: bool,
    /// `ca-file`, read with the configuration.
    pub authorities: Arc<Vec<CertificateDer<'static>>>,
    /// `verifyhost`
    pub host: Option<String>,
}
