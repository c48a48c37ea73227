//! What a `bind` line (or a line of a certificate list) says of TLS, and the library's configuration made of it.

use super::certificate::Certificate;
use super::store::Store;
use super::tickets::{Aging, TicketKeys, Tickets};
use super::trust::{Proposal, TrustFile};
use super::verify::{Demand, Verifier};
use super::{PROVIDER, ciphers, sigalgs};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::UnixTime;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert, StoresServerSessions,
};
use rustls::sign::CertifiedKey;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{ServerConfig, SignatureScheme, SupportedCipherSuite, SupportedProtocolVersion, version};
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    Tls12,
    Tls13,
}

/// Settings as far as something was said; what was not is taken from those of the bind line, the global section, the
/// library, in this order.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub min: Option<Version>,
    pub max: Option<Version>,
    /// TLS 1.2's suites, and 1.3's.
    pub ciphers: Option<Vec<SupportedCipherSuite>>,
    pub ciphersuites: Option<Vec<SupportedCipherSuite>>,
    pub curves: Option<Vec<&'static dyn SupportedKxGroup>>,
    /// `sigalgs`: what the key may sign with.
    pub schemes: Option<Arc<[SignatureScheme]>>,
    pub alpn: Option<Vec<Vec<u8>>>,
    /// `prefer-client-ciphers`
    pub client_order: bool,
    /// `no-tls-tickets`
    pub no_tickets: bool,
    /// `verify optional`, `verify required`
    pub demand: Option<Demand>,
    pub verifier: Option<Arc<Verifier>>,
    /// The largest record, in bytes.
    pub max_record: Option<usize>,
    /// `allow-0rtt`: bytes that a client may send before its side of the handshake is done; 0: none.
    pub early: u32,
    pub keeping: Keeping,
    pub resumption: Resumption,
}

/// Where sessions are kept. Lines whose settings differ share none of it: who was let in by one may not come back by
/// another.
#[derive(Clone, Debug, Default)]
pub struct Resumption {
    pub tickets: Option<Arc<dyn ProducesTickets>>,
    pub sessions: Option<Arc<dyn StoresServerSessions>>,
}

/// How sessions are kept.
#[derive(Clone, Debug)]
pub struct Keeping {
    /// `tune.ssl.lifetime`
    pub lifetime: Duration,
    /// `tune.ssl.cachesize`
    pub capacity: usize,
    /// `tls-ticket-keys`
    pub keys: Option<Arc<TicketKeys>>,
}

impl Default for Keeping {
    fn default() -> Self {
        Self { lifetime: Duration::from_secs(300), capacity: 0, keys: None }
    }
}

impl Keeping {
    /// Begins to keep sessions; `context`: who is let in.
    fn begin(&self, store: &Store, context: [u8; 32]) -> Result<Resumption, String> {
        let lifetime = self.lifetime;
        let clock: Arc<dyn TimeProvider> = Arc::new(DefaultTimeProvider);
        let inner: Arc<dyn ProducesTickets> = match &self.keys {
            Some(keys) => Arc::new(Tickets { keys: Arc::clone(keys), context }),
            None => own_tickets()?,
        };
        let tickets: Arc<Aging<dyn ProducesTickets>> =
            Arc::new(Aging { inner, lifetime, clock: Arc::clone(&clock) });
        let inner = store.sessions(self.capacity);
        let sessions: Arc<Aging<dyn StoresServerSessions>> = Arc::new(Aging { inner, lifetime, clock });
        Ok(Resumption { tickets: Some(tickets), sessions: Some(sessions) })
    }
}

impl Settings {
    #[must_use]
    pub fn uses(&self, file: &Arc<TrustFile>) -> bool {
        self.demand.as_ref().is_some_and(|demand| demand.uses(file))
    }

    /// The same with what their files hold now, or are to hold, and with sessions that begin anew: none is taken up
    /// again by somebody who would not be let in any more.
    ///
    /// # Errors
    /// A revocation list cannot be used.
    pub fn begin(&self, store: &Store, proposal: Option<Proposal<'_>>) -> Result<Self, String> {
        let verifier = match &self.demand {
            Some(demand) => Some(Arc::new(Verifier::new(demand.clone(), proposal)?)),
            None => None,
        };
        let context = self.demand.as_ref().map(|demand| demand.digest(proposal)).unwrap_or_default();
        Ok(Self { verifier, resumption: self.keeping.begin(store, context)?, ..self.clone() })
    }

    /// The library's configuration for one certificate.
    ///
    /// # Errors
    /// The settings leave no version or suite.
    pub fn config(&self, certificate: &Certificate) -> Result<ServerConfig, String> {
        let mut suites = self.ciphersuites.clone().unwrap_or_else(ciphers::served_ciphersuites);
        suites.extend(self.ciphers.clone().unwrap_or_else(ciphers::default_ciphers));
        let kx_groups = self.curves.clone().unwrap_or_else(|| PROVIDER.kx_groups.clone());
        let provider = CryptoProvider { cipher_suites: suites, kx_groups, ..(**PROVIDER).clone() };
        let builder = ServerConfig::builder_with_provider(Arc::new(provider));
        let builder = builder.with_protocol_versions(&self.versions()).map_err(|e| e.to_string())?;
        let builder = match &self.verifier {
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier) as _),
            None => builder.with_no_client_auth(),
        };
        let certified = match &self.schemes {
            Some(schemes) => Arc::new(sigalgs::limit(&certificate.certified, schemes)),
            None => Arc::clone(&certificate.certified),
        };
        let mut config = builder.with_cert_resolver(Arc::new(Only::new(certified, certificate)));
        config.alpn_protocols = self.alpn.clone().unwrap_or_default();
        config.ignore_client_order = !self.client_order;
        config.max_fragment_size = self.max_record;
        config.session_storage =
            self.resumption.sessions.clone().unwrap_or_else(|| Arc::new(NoServerSessionStorage {}));
        // Early data comes with sessions that are kept here and given out once (RFC 8446 8.1), not with tickets.
        config.max_early_data_size = self.early;
        config.send_half_rtt_data = self.early > 0;
        let no_tickets = self.no_tickets || self.early > 0;
        if let Some(tickets) = self.resumption.tickets.as_ref().filter(|_| !no_tickets) {
            config.ticketer = Arc::clone(tickets);
        }
        Ok(config)
    }

    /// Versions with a suite left, within the bounds.
    fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let within = |v: Version| self.min.is_none_or(|min| min <= v) && self.max.is_none_or(|max| v <= max);
        let mut versions = Vec::new();
        if within(Version::Tls13) && self.ciphersuites.as_ref().is_none_or(|s| !s.is_empty()) {
            versions.push(&version::TLS13);
        }
        if within(Version::Tls12) && self.ciphers.as_ref().is_none_or(|s| !s.is_empty()) {
            versions.push(&version::TLS12);
        }
        versions
    }
}

/// Tickets under keys of this process's own, changed every six hours.
///
/// # Errors
/// The system has no randomness to give.
fn own_tickets() -> Result<Arc<dyn ProducesTickets>, String> {
    aws_lc_rs::Ticketer::new().map_err(|e| e.to_string())
}

/// The one certificate of an instance.
#[derive(Debug)]
struct Only {
    certified: Arc<CertifiedKey>,
    /// The same without an OCSP response, and from when on.
    bare: Option<(Arc<CertifiedKey>, UnixTime)>,
}

impl Only {
    fn new(certified: Arc<CertifiedKey>, certificate: &Certificate) -> Self {
        let response = certificate.ocsp.as_ref().and_then(|staple| staple.response.as_ref());
        let bare = response.map(|response| {
            (Arc::new(CertifiedKey { ocsp: None, ..(*certified).clone() }), response.next_update)
        });
        Self { certified, bare }
    }
}

impl ResolvesServerCert for Only {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let over = |until: UnixTime| DefaultTimeProvider.current_time().is_none_or(|now| now > until);
        match &self.bare {
            // Clients take an old one worse than none.
            Some((bare, until)) if over(*until) => Some(Arc::clone(bare)),
            _ => Some(Arc::clone(&self.certified)),
        }
    }
}
