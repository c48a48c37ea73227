//! TLS of `bind` lines: what they, the lists of certificates they name and the global section say, put together once the
//! whole proxy is known.

use super::certificates::{Source, Tls};
use super::diagnostic::{Diagnostic, Severity};
use super::model::{Bind, Mode, Protocol};
use super::parser::Parser;
use super::raw::Line;
use super::tls::Versions;
use crate::tls::door::Whose;
use crate::tls::settings::{Keeping, Settings, Version};
use crate::tls::tickets::TicketKeys;
use crate::tls::verify::{Codes, Demand};
use crate::tls::{Door, Line as Shown, TrustFile};
use rustls::crypto::SupportedKxGroup;
use rustls::{ProtocolVersion, SignatureScheme, SupportedCipherSuite};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    None,
    Optional,
    Required,
}

/// What was said of TLS in one place; later and nearer places are laid over others with [`TlsOptions::over`].
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools)]
pub struct TlsOptions {
    pub versions: Versions,
    pub ciphers: Option<Vec<SupportedCipherSuite>>,
    pub ciphersuites: Option<Vec<SupportedCipherSuite>>,
    pub curves: Option<Vec<&'static dyn SupportedKxGroup>>,
    pub sigalgs: Option<Vec<SignatureScheme>>,
    pub client_sigalgs: Option<Vec<SignatureScheme>>,
    pub alpn: Option<Vec<Vec<u8>>>,
    pub client_order: bool,
    pub no_tickets: bool,
    /// `tls-ticket-keys`
    pub ticket_keys: Option<Arc<TicketKeys>>,
    pub strict: Option<bool>,
    pub verify: Option<Verify>,
    pub authorities: Option<Arc<TrustFile>>,
    pub more_authorities: Option<Arc<TrustFile>>,
    pub revocations: Option<Arc<TrustFile>>,
    pub unnamed: bool,
    pub ignored: Option<Codes>,
    pub ignored_above: Option<Codes>,
    /// `allow-0rtt`
    pub early: bool,
    /// `ocsp-update`, of the certificate itself.
    pub fresh: Option<bool>,
}

impl TlsOptions {
    /// These, and `below` where these say nothing.
    #[must_use]
    pub fn over(&self, below: &Self) -> Self {
        Self {
            versions: self.versions.or(below.versions),
            ciphers: self.ciphers.clone().or_else(|| below.ciphers.clone()),
            ciphersuites: self.ciphersuites.clone().or_else(|| below.ciphersuites.clone()),
            curves: self.curves.clone().or_else(|| below.curves.clone()),
            sigalgs: self.sigalgs.clone().or_else(|| below.sigalgs.clone()),
            client_sigalgs: self.client_sigalgs.clone().or_else(|| below.client_sigalgs.clone()),
            alpn: self.alpn.clone().or_else(|| below.alpn.clone()),
            client_order: self.client_order || below.client_order,
            no_tickets: self.no_tickets || below.no_tickets,
            ticket_keys: self.ticket_keys.clone().or_else(|| below.ticket_keys.clone()),
            strict: self.strict.or(below.strict),
            verify: self.verify.or(below.verify),
            authorities: self.authorities.clone().or_else(|| below.authorities.clone()),
            more_authorities: self.more_authorities.clone().or_else(|| below.more_authorities.clone()),
            revocations: self.revocations.clone().or_else(|| below.revocations.clone()),
            unnamed: self.unnamed || below.unnamed,
            ignored: self.ignored.or(below.ignored),
            ignored_above: self.ignored_above.or(below.ignored_above),
            early: self.early || below.early,
            fresh: self.fresh,
        }
    }

    /// What was settled, for more to be laid over it.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let demand = settings.demand.as_ref();
        let verify = demand.map(|d| if d.required { Verify::Required } else { Verify::Optional });
        Self {
            versions: Versions::between(settings.min, settings.max),
            ciphers: settings.ciphers.clone(),
            ciphersuites: settings.ciphersuites.clone(),
            curves: settings.curves.clone(),
            sigalgs: settings.schemes.as_ref().map(|schemes| schemes.to_vec()),
            client_sigalgs: demand.and_then(|d| d.schemes.clone()),
            alpn: settings.alpn.clone(),
            client_order: settings.client_order,
            no_tickets: settings.no_tickets,
            ticket_keys: settings.keeping.keys.clone(),
            strict: None,
            verify,
            authorities: demand.and_then(|d| d.authorities.clone()),
            more_authorities: demand.and_then(|d| d.more_authorities.clone()),
            revocations: demand.and_then(|d| d.revocations.clone()),
            unnamed: demand.is_some_and(|d| d.unnamed),
            ignored: demand.map(|d| d.ignored),
            ignored_above: demand.map(|d| d.ignored_above),
            early: settings.early > 0,
            fresh: None,
        }
    }

    /// What these ask of clients. `Err`: what is missing.
    fn demand(&self) -> Result<Option<Demand>, String> {
        let required = match self.verify {
            None | Some(Verify::None) => return Ok(None),
            Some(verify) => verify == Verify::Required,
        };
        if self.authorities.is_none() && self.more_authorities.is_none() {
            return Err("verify is enabled but no CA file specified".to_owned());
        }
        Ok(Some(Demand {
            required,
            authorities: self.authorities.clone(),
            more_authorities: self.more_authorities.clone(),
            revocations: self.revocations.clone(),
            unnamed: self.unnamed,
            ignored: self.ignored.unwrap_or_default(),
            ignored_above: self.ignored_above.unwrap_or_default(),
            schemes: self.client_sigalgs.clone(),
        }))
    }

    /// # Errors
    /// What is missing, or no version is left.
    pub(super) fn settings(
        &self,
        mode: Mode,
        protocol: Option<Protocol>,
        tls: &Tls,
    ) -> Result<Settings, String> {
        let allowed = self.versions.allowed();
        let has = |version| allowed.iter().any(|v| v.version == version);
        let (min, max) = match (has(ProtocolVersion::TLSv1_2), has(ProtocolVersion::TLSv1_3)) {
            (true, true) => (Version::Tls12, Version::Tls13),
            (true, false) => (Version::Tls12, Version::Tls12),
            (false, true) => (Version::Tls13, Version::Tls13),
            (false, false) => {
                return Err("no version is left that weir speaks (TLSv1.2, TLSv1.3)".to_owned());
            }
        };
        // Where nothing is said: as HAProxy does since 2.8.
        let spoken = || match (mode, protocol) {
            (Mode::Http, None) => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            (Mode::Http, Some(Protocol::H1)) => vec![b"http/1.1".to_vec()],
            (Mode::Http, Some(Protocol::H2)) => vec![b"h2".to_vec()],
            _ => Vec::new(),
        };
        let settings = Settings {
            min: Some(min),
            max: Some(max),
            ciphers: self.ciphers.clone(),
            ciphersuites: self.ciphersuites.clone(),
            curves: self.curves.clone(),
            schemes: self.sigalgs.as_ref().map(|schemes| schemes.as_slice().into()),
            alpn: Some(self.alpn.clone().unwrap_or_else(spoken)),
            client_order: self.client_order,
            no_tickets: self.no_tickets,
            demand: self.demand()?,
            max_record: tls.max_record,
            early: if self.early { tls.early_data } else { 0 },
            keeping: Keeping {
                lifetime: tls.session_lifetime,
                capacity: tls.cached_sessions,
                keys: self.ticket_keys.clone(),
            },
            ..Settings::default()
        };
        settings.begin(&tls.store, None)
    }
}

/// One `bind` line with `ssl`, until its proxy is whole.
#[derive(Clone, Debug)]
pub struct DoorDraft {
    pub line: Line,
    /// Its listeners among the draft's.
    pub binds: std::ops::Range<usize>,
    pub options: TlsOptions,
    pub sources: Vec<Source>,
    /// What was wrong with a certificate has been said.
    pub broken: bool,
}

/// Makes the doors of a proxy and hangs them on its listeners.
pub fn settle(parser: &mut Parser, proxy: &str, mode: Mode, binds: &mut [Bind], drafts: Vec<DoorDraft>) {
    parser.tls.early_data = parser.global.tune.early_data();
    for draft in drafts {
        let address = draft.line.word(1).to_owned();
        let place = format!("{}:{}", draft.line.place.file, draft.line.place.line);
        let bind_options = draft.options.over(&parser.tls.bind_defaults);
        let mut shown = Vec::new();
        let protocol = binds.get(draft.binds.start).and_then(|bind| bind.protocol);
        let common = bind_options.settings(mode, protocol, &parser.tls).map(Arc::new);
        let mut problem = common.as_ref().err().cloned();
        for source in &draft.sources {
            let settings = match (&source.options, &common) {
                (None, Ok(common)) => Ok(Arc::clone(common)),
                (None, Err(error)) => Err(error.clone()),
                (Some(own), _) => own.over(&bind_options).settings(mode, protocol, &parser.tls).map(Arc::new),
            };
            match settings {
                Ok(settings) => shown.push(Shown {
                    slot: Arc::clone(&source.slot),
                    filters: source.filters.clone(),
                    settings,
                    options: source.written.clone(),
                    list: source.list.clone(),
                    is_default: source.is_default,
                }),
                Err(error) => problem = Some(error),
            }
        }
        let common = match (problem, common) {
            (None, Ok(common)) => common,
            (Some(problem), _) | (None, Err(problem)) => {
                let message = format!("Proxy '{proxy}': {problem} for bind '{address}' at [{place}].");
                parser.report(Diagnostic::at(Severity::Alert, &draft.line, 1, message));
                continue;
            }
        };
        if bind_options.versions.contradict() {
            let what = Versions::contradiction(&format!("bind '{address}' at [{place}]"));
            let message = format!("Proxy '{proxy}': {what}");
            parser.report(Diagnostic::at(Severity::Warning, &draft.line, 1, message));
        }
        early_doubts(parser, &draft.line, &bind_options);
        let strict = bind_options.strict.unwrap_or(false);
        if shown.is_empty() && !draft.broken {
            let (severity, what) = if strict {
                (Severity::Warning, ", ssl connections will fail (use 'crt').")
            } else {
                (Severity::Alert, " (use 'crt').")
            };
            let message = format!(
                "Proxy '{proxy}': no SSL certificate specified for bind '{address}' at [{place}]{what}"
            );
            parser.report(Diagnostic::at(severity, &draft.line, 1, message));
        }
        let whose = Whose { proxy: proxy.to_owned(), place: place.clone() };
        match Door::new(whose, strict, common, shown) {
            Ok(door) => {
                let door = Arc::new(door);
                parser.tls.store.add_door(Arc::clone(&door));
                for bind in binds.get_mut(draft.binds.clone()).unwrap_or_default() {
                    bind.tls = Some(Arc::clone(&door));
                }
            }
            Err(problem) => {
                let message = format!("Proxy '{proxy}': {problem} for bind '{address}' at [{place}].");
                parser.report(Diagnostic::at(Severity::Alert, &draft.line, 1, message));
            }
        }
    }
}

/// Says what goes with `allow-0rtt` and what does not.
fn early_doubts(parser: &mut Parser, line: &Line, options: &TlsOptions) {
    if !options.early {
        return;
    }
    if parser.tls.cached_sessions == 0 {
        let message = "'allow-0rtt' has no effect: early data comes with sessions of the cache, and 'tune.ssl.cachesize' is 0.";
        parser.warning(line, 1, message);
    } else if options.ticket_keys.is_some() {
        let message = "'tls-ticket-keys' has no effect beside 'allow-0rtt': early data comes with sessions of the cache, and no tickets are given.";
        parser.warning(line, 1, message);
    }
}
