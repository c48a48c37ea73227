//! TLS towards servers: rustls, with the checks of certificates that `verify`, `ca-file` and `verifyhost` ask for.
//!
//! rustls speaks TLS 1.2 and 1.3. What is older is not there on purpose.

use super::Stream;
use crate::config::model::ServerTls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, IpAddr, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::{Arc, LazyLock};
use tokio_rustls::TlsConnector;

pub use tokio_rustls::client::TlsStream;

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

/// Why there is no TLS connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsError {
    Handshake,
    /// The certificate is another host's than `verifyhost` says.
    WrongHost,
    /// The certificate is another host's than was asked for.
    WrongName,
    /// The name to ask for is none.
    BadName,
}

/// What one server's connections have in common.
#[derive(Clone, Debug)]
pub struct Connector {
    config: Arc<ClientConfig>,
    named: bool,
}

impl Connector {
    #[must_use]
    pub fn new(tls: &ServerTls) -> Self {
        let verifier = Arc::new(Verifier::new(tls));
        let builder = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER));
        // The provider has suites for both versions.
        let builder = builder.with_safe_default_protocol_versions();
        let builder = builder.unwrap_or_else(|_| ClientConfig::builder());
        let config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        Self { config: Arc::new(config), named: tls.host.is_some() }
    }

    /// Shakes hands over a connected stream.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub async fn connect(
        &self,
        stream: Stream,
        sni: Option<&str>,
        alpn: &[Vec<u8>],
    ) -> Result<TlsStream<Stream>, TlsError> {
        let name = match sni {
            Some(name) => ServerName::try_from(name.to_owned()).map_err(|_| TlsError::BadName)?,
            // An address is never sent as a name.
            None => ServerName::IpAddress(stream.peer_addr().map_or_else(
                || IpAddr::from(std::net::IpAddr::from([127, 0, 0, 1])),
                |peer| IpAddr::from(peer.ip()),
            )),
        };
        let mut config = Arc::clone(&self.config);
        if !alpn.is_empty() {
            Arc::make_mut(&mut config).alpn_protocols = alpn.to_vec();
        }
        TlsConnector::from(config).connect(name, stream).await.map_err(|error| self.explain(&error))
    }

    fn explain(&self, error: &std::io::Error) -> TlsError {
        let inner = error.get_ref().and_then(|e| e.downcast_ref::<Error>());
        match inner {
            Some(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => {
                if self.named {
                    TlsError::WrongHost
                } else {
                    TlsError::WrongName
                }
            }
            _ => TlsError::Handshake,
        }
    }
}

/// `verify`, as HAProxy means it: the chain always, the name where one is known.
#[derive(Debug)]
struct Verifier {
    required: bool,
    roots: RootCertStore,
    /// The certificates trusted as they are, self-signed ones among them.
    trusted: Arc<Vec<CertificateDer<'static>>>,
    host: Option<ServerName<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn new(tls: &ServerTls) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(tls.authorities.iter().cloned());
        Self {
            required: tls.required,
            roots,
            trusted: Arc::clone(&tls.authorities),
            host: tls.host.as_ref().and_then(|h| ServerName::try_from(h.clone()).ok()),
            algorithms: PROVIDER.signature_verification_algorithms,
        }
    }

    fn chain(
        &self,
        end_entity: &CertificateDer<'_>,
        certificate: &ParsedCertificate<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let checked = verify_server_cert_signed_by_trust_anchor(
            certificate,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        );
        match checked {
            // A self-signed certificate that is its own authority: OpenSSL trusts what stands in the file. Dates are
            // looked at before this is found.
            Err(Error::InvalidCertificate(CertificateError::Other(_) | CertificateError::UnknownIssuer))
                if self.trusted.iter().any(|t| t == end_entity) =>
            {
                Ok(())
            }
            other => other,
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.required {
            return Ok(ServerCertVerified::assertion());
        }
        let certificate = ParsedCertificate::try_from(end_entity)?;
        self.chain(end_entity, &certificate, intermediates, now)?;
        match (&self.host, server_name) {
            (Some(host), _) => verify_server_name(&certificate, host)?,
            (None, name @ ServerName::DnsName(_)) => verify_server_name(&certificate, name)?,
            _ => {}
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
