//! TLS towards servers: rustls, with the checks of certificates that `verify`, `ca-file` and `verifyhost` ask for.
//!
//! rustls speaks TLS 1.2 and 1.3. What is older is not there on purpose.

use super::{Stream, secure, tls_counts};
use crate::config::model::ServerTls;
use crate::tls::sigalgs::{self, allowed};
use crate::tls::{ServerHandshake, Slot, Version, signature};
use arc_swap::ArcSwap;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ResolvesClientCert, Resumption, WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor,
    verify_server_name,
};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, IpAddr, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Connection, DigitallySignedStruct, Error,
    RootCertStore, SignatureScheme,
};
use std::sync::{Arc, LazyLock};

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

/// The certificate shown to servers: what its slot holds when it is asked for.
#[derive(Debug)]
struct Identity {
    slot: Arc<Slot>,
    /// `client-sigalgs`
    schemes: Option<Arc<[SignatureScheme]>>,
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let certified = Arc::clone(&self.slot.certificate().certified);
        Some(match &self.schemes {
            Some(schemes) => Arc::new(sigalgs::limit(&certified, schemes)),
            None => certified,
        })
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Sessions kept per server line, to be taken up again.
const SESSIONS: usize = 256;

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
    tls: Arc<ServerTls>,
    current: Arc<ArcSwap<Current>>,
}

/// What connections are made with, as long as `ca-file` and `crl-file` stay as they are.
#[derive(Debug)]
struct Current {
    version: u64,
    config: Arc<ClientConfig>,
}

impl Current {
    fn new(tls: &ServerTls) -> Self {
        // Before the files are looked at: a change meanwhile is seen the next time.
        let version = tls.trust.version();
        Self { version, config: Arc::new(config(tls)) }
    }
}

impl Connector {
    #[must_use]
    pub fn new(tls: &Arc<ServerTls>) -> Self {
        let current = Arc::new(ArcSwap::from_pointee(Current::new(tls)));
        Self { tls: Arc::clone(tls), current }
    }

    /// Sessions from before a change of the files are not taken up again.
    fn config(&self) -> Arc<ClientConfig> {
        let current = self.current.load();
        if current.version == self.tls.trust.version() {
            return Arc::clone(&current.config);
        }
        let fresh = Arc::new(Current::new(&self.tls));
        self.current.store(Arc::clone(&fresh));
        Arc::clone(&fresh.config)
    }

    /// Shakes hands over a connected stream; `alpn`: protocols to offer in place of the server line's.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub async fn connect(
        &self,
        stream: Stream,
        sni: Option<&str>,
        alpn: Option<&[Vec<u8>]>,
    ) -> Result<Stream, TlsError> {
        let name = match sni.map(|name| ServerName::try_from(name.to_owned())) {
            Some(Ok(name)) => name,
            // The certificate is to be for that name, and none can be.
            Some(Err(_)) if self.tls.required => return Err(TlsError::BadName),
            // An address is never sent as a name.
            _ => ServerName::IpAddress(stream.peer_addr().map_or_else(
                || IpAddr::from(std::net::IpAddr::from([127, 0, 0, 1])),
                |peer| IpAddr::from(peer.ip()),
            )),
        };
        let mut config = self.config();
        if let Some(alpn) = alpn.filter(|alpn| *alpn != config.alpn_protocols) {
            Arc::make_mut(&mut config).alpn_protocols = alpn.to_vec();
        }
        let session = ClientConnection::new(config, name).map_err(|_| TlsError::Handshake)?;
        let asked = sni.is_some();
        if !tls_counts::has_room() {
            return Err(TlsError::Handshake);
        }
        let mut stream =
            secure::shake(stream, session.into()).await.map_err(|error| explain(&error, asked))?;
        if let Stream::Tls(secure) = &mut stream {
            let said = secure.see(|tls| match tls {
                Connection::Client(tls) => Some(ServerHandshake::of(tls, sni)),
                Connection::Server(_) => None,
            });
            said.into_iter().for_each(|said| secure.keep(said));
        }
        Ok(stream)
    }
}

fn config(tls: &ServerTls) -> ClientConfig {
    let verifier = Arc::new(Verifier::new(tls));
    let provider = CryptoProvider {
        cipher_suites: tls.suites.clone(),
        kx_groups: tls.curves.clone().unwrap_or_else(|| PROVIDER.kx_groups.clone()),
        ..(**PROVIDER).clone()
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    // The configuration has made sure that there are suites for these versions.
    let builder = builder.with_protocol_versions(&tls.versions).unwrap_or_else(|_| ClientConfig::builder());
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = match &tls.identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(Identity {
            slot: Arc::clone(identity),
            schemes: tls.client_sigalgs.clone(),
        })),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols.clone_from(&tls.alpn);
    config.resumption = match (tls.reuse, tls.tickets) {
        (false, _) => Resumption::disabled(),
        (true, true) => Resumption::in_memory_sessions(SESSIONS),
        (true, false) => Resumption::in_memory_sessions(SESSIONS)
            .tls12_resumption(rustls::client::Tls12Resumption::SessionIdOnly),
    };
    config
}

/// `asked`: a name was sent, so the certificate had to be for it.
fn explain(error: &std::io::Error, asked: bool) -> TlsError {
    match error.get_ref().and_then(|e| e.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) if asked => TlsError::WrongName,
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => TlsError::WrongHost,
        _ => TlsError::Handshake,
    }
}

/// A certificate may also carry the name as its common name, as OpenSSL's users have it: outdated, and still made.
fn common_name(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> Option<()> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let mut names = certificate.subject().iter_common_name().filter_map(|n| n.as_str().ok());
    names.any(|own| covers(own, &name.to_str())).then_some(())
}

/// `*.` stands for one label.
fn covers(pattern: &str, name: &str) -> bool {
    let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    match (pattern.strip_prefix("*."), name.split_once('.')) {
        (Some(domain), Some((_, rest))) => same(domain, rest),
        (None, _) => same(pattern, name),
        _ => false,
    }
}

/// `verify`, as HAProxy means it: the chain always, the name where one is known.
#[derive(Debug)]
struct Verifier {
    required: bool,
    roots: RootCertStore,
    /// The certificates trusted as they are, self-signed ones among them.
    trusted: Arc<Vec<CertificateDer<'static>>>,
    /// Knows what was revoked (`crl-file`).
    revocation: Result<Option<Arc<WebPkiServerVerifier>>, String>,
    host: Option<ServerName<'static>>,
    /// `sigalgs`
    schemes: Option<Vec<SignatureScheme>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn new(tls: &ServerTls) -> Self {
        let mut roots = RootCertStore::empty();
        let trusted = tls.trust.roots();
        roots.add_parsable_certificates(trusted.iter().cloned());
        Self {
            required: tls.required,
            roots,
            trusted,
            revocation: tls.trust.revoking(None),
            host: tls.host.as_ref().and_then(|h| ServerName::try_from(h.clone()).ok()),
            schemes: tls.sigalgs.clone(),
            algorithms: PROVIDER.signature_verification_algorithms,
        }
    }

    fn chain(
        &self,
        end_entity: &CertificateDer<'_>,
        certificate: &ParsedCertificate<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let checked = match &self.revocation {
            // The name is looked at last, and looked at again by the caller as HAProxy does.
            Ok(Some(verifier)) => {
                match verifier.verify_server_cert(end_entity, intermediates, name, &[], now) {
                    Err(Error::InvalidCertificate(
                        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                    )) => Ok(()),
                    other => other.map(|_| ()),
                }
            }
            // What was revoked is not known: nobody is trusted.
            Err(_) => Err(Error::InvalidCertificate(CertificateError::UnknownRevocationStatus)),
            Ok(None) => verify_server_cert_signed_by_trust_anchor(
                certificate,
                &self.roots,
                intermediates,
                now,
                self.algorithms.all,
            ),
        };
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
        self.chain(end_entity, &certificate, intermediates, server_name, now)?;
        // The name that was asked for goes before `verifyhost`.
        let name = match server_name {
            name @ ServerName::DnsName(_) => Some(name),
            _ => self.host.as_ref(),
        };
        if let Some(name) = name {
            verify_server_name(&certificate, name).or_else(|e| common_name(end_entity, name).ok_or(e))?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        allowed(&self.schemes, dss)?;
        signature::verify(Version::Tls12, message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        allowed(&self.schemes, dss)?;
        signature::verify(Version::Tls13, message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone().unwrap_or_else(|| self.algorithms.supported_schemes())
    }
}
