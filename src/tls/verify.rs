//! Clients' certificates: `verify optional|required`, and which faults are let pass.
//!
//! The library's check decides. Where it refuses, the chain is gone through once more to say why in OpenSSL's numbers,
//! in OpenSSL's order: that is what `crt-ignore-err` lists and `ssl_c_err` tells. A chain is let pass against the
//! library only if each fault found is on the lists.

use super::sigalgs::allowed;
use super::trust::{Proposal, TrustFile, look};
use super::{PROVIDER, Version, signature};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};
use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;
use x509_parser::prelude::{CertificateRevocationList, FromDer, ParsedExtension, X509Certificate};

/// One thing wrong with a chain: OpenSSL's X509_V_ERR_* number, and how far above the client's own certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub code: u8,
    pub depth: u8,
}

/// What `ssl_c_verify`, `ssl_c_err`, `ssl_c_ca_err` and `ssl_c_ca_err_depth` tell of an accepted chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The last fault's number; 0: none.
    pub last: u8,
    /// The first fault of the client's own certificate.
    pub own: u8,
    /// The first fault above it.
    pub above: Option<Fault>,
}

/// X509_V_ERR_* numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Codes(u128);

impl Codes {
    pub const ALL: Self = Self(u128::MAX);

    pub fn add(&mut self, code: u8) {
        self.0 |= 1_u128.checked_shl(code.into()).unwrap_or(0);
    }

    #[must_use]
    pub fn has(self, code: u8) -> bool {
        self.0 & 1_u128.checked_shl(code.into()).unwrap_or(0) != 0
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What a line says of clients' certificates.
#[derive(Clone, Debug, Default)]
pub struct Demand {
    /// `verify required`
    pub required: bool,
    /// `ca-file`: also the names that clients are told.
    pub authorities: Option<Arc<TrustFile>>,
    /// `ca-verify-file`
    pub more_authorities: Option<Arc<TrustFile>>,
    pub revocations: Option<Arc<TrustFile>>,
    /// `no-ca-names`
    pub unnamed: bool,
    pub ignored: Codes,
    pub ignored_above: Codes,
    /// `client-sigalgs`
    pub schemes: Option<Vec<SignatureScheme>>,
}

impl Demand {
    #[must_use]
    pub fn uses(&self, file: &Arc<TrustFile>) -> bool {
        let all = [&self.authorities, &self.more_authorities, &self.revocations];
        all.into_iter().flatten().any(|own| Arc::ptr_eq(own, file))
    }

    /// Who is let in, in a digest.
    #[must_use]
    pub fn digest(&self, proposal: Option<Proposal<'_>>) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(format!("{:?} {:?} {:?}", self.required, self.ignored, self.ignored_above));
        for file in [&self.authorities, &self.more_authorities] {
            look(file.as_ref(), proposal).authorities.iter().for_each(|der| digest.update(der));
        }
        look(self.revocations.as_ref(), proposal).revocations.iter().for_each(|der| digest.update(der));
        digest.finalize().into()
    }
}

#[derive(Debug)]
pub struct Verifier {
    demand: Demand,
    revocations: Arc<Vec<CertificateRevocationListDer<'static>>>,
    /// All that is trusted, then what merely leads there.
    trusted: Vec<CertificateDer<'static>>,
    between: Vec<CertificateDer<'static>>,
    hints: Vec<DistinguishedName>,
    /// `None`: no authority to trust.
    library: Option<Arc<dyn ClientCertVerifier>>,
    /// The same without revocation lists, where faults may be let pass.
    listless: Option<Arc<dyn ClientCertVerifier>>,
}

thread_local! {
    static REFUSED: Cell<Option<Fault>> = const { Cell::new(None) };
}

/// Why the last chain refused on this thread was; the handshake that failed asks at once.
#[must_use]
pub fn refusal() -> Option<Fault> {
    REFUSED.take()
}

impl Verifier {
    /// # Errors
    /// A revocation list cannot be used.
    pub fn new(demand: Demand, proposal: Option<Proposal<'_>>) -> Result<Self, String> {
        let authorities = look(demand.authorities.as_ref(), proposal).authorities;
        let more = look(demand.more_authorities.as_ref(), proposal).authorities;
        let revocations = look(demand.revocations.as_ref(), proposal).revocations;
        let all = authorities.iter().chain(more.iter()).cloned();
        // As OpenSSL: a chain ends at an authority that signed itself; others only lead there.
        let (trusted, between): (Vec<_>, Vec<_>) = all.partition(|der| is_self_issued(der));
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        let hints = authorities.iter().filter(|_| !demand.unnamed).filter_map(subject).collect();
        let (mut library, mut listless) = (None, None);
        if !roots.is_empty() {
            let roots = Arc::new(roots);
            let builder =
                || WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&PROVIDER));
            let crls = revocations.iter().cloned();
            let listed = builder().with_crls(crls).enforce_revocation_expiration();
            library = Some(listed.build().map_err(|e| e.to_string())?);
            if !demand.ignored.is_empty() || !demand.ignored_above.is_empty() {
                listless = Some(builder().build().map_err(|e| e.to_string())?);
            }
        }
        Ok(Self { demand, revocations, trusted, between, hints, library, listless })
    }

    /// What was found of a chain that was let pass.
    #[must_use]
    pub fn look_again(
        &self,
        end: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Verdict {
        if self.demand.ignored.is_empty() && self.demand.ignored_above.is_empty() {
            return Verdict::default();
        }
        self.judge(end, above, now).unwrap_or_default()
    }

    fn judge(
        &self,
        end: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Verdict, (Fault, CertificateError)> {
        let chain: Vec<CertificateDer<'_>> = above.iter().chain(&self.between).cloned().collect();
        let checked = match &self.library {
            Some(library) => library.verify_client_cert(end, &chain, now).map(|_| ()),
            None => Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        };
        let Err(error) = checked else { return Ok(Verdict::default()) };
        let (mut faults, valid_from) = self.faults(end, above, now.as_secs());
        // Late, early or revoked: is it otherwise a chain that the library takes?
        let plain = self.is_plain(end);
        if !faults.is_empty()
            && !plain
            && faults.iter().all(|f| OF_A_MOMENT.contains(&f.code))
            && let Some(Err(error)) =
                self.listless.as_ref().map(|l| l.verify_client_cert(end, &chain, valid_from))
        {
            faults.push(Fault { code: code_of(&error), depth: 0 });
        }
        if faults.is_empty() {
            if plain || self.trusted.iter().any(|t| **t == **end) {
                return Ok(Verdict::default());
            }
            faults.push(Fault { code: code_of(&error), depth: 0 });
        }
        let mut verdict = Verdict::default();
        for fault in faults {
            verdict.last = fault.code;
            let ignored = if fault.depth == 0 {
                verdict.own = if verdict.own == 0 { fault.code } else { verdict.own };
                self.demand.ignored
            } else {
                verdict.above = verdict.above.or(Some(fault));
                self.demand.ignored_above
            };
            if !ignored.has(fault.code) {
                return Err((fault, alert_of(fault.code)));
            }
        }
        Ok(verdict)
    }

    /// A certificate of version 1, which the library does not read, right below an authority that is trusted without
    /// limits upon names: what is to be looked at there we have looked at.
    fn is_plain(&self, end: &CertificateDer<'_>) -> bool {
        let parse = |der| X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate);
        signature::is_version_1(end)
            && parse(end).is_some_and(|end| {
                self.trusted.iter().filter_map(|der| parse(der)).any(|authority| {
                    authority.subject() == end.issuer()
                        && matches!(authority.name_constraints(), Ok(None))
                        && end.verify_signature(Some(authority.public_key())).is_ok()
                })
            })
    }

    /// All that OpenSSL would find, were it told to go on after each; and since when all of the chain is valid.
    fn faults(
        &self,
        end: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        now: u64,
    ) -> (Vec<Fault>, UnixTime) {
        let parse = |der| X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate);
        let mut valid_from = UnixTime::since_unix_epoch(Duration::ZERO);
        let Some(end) = parse(end) else {
            return (vec![Fault { code: UNSPECIFIED, depth: 0 }], valid_from);
        };
        let trusted: Vec<_> = self.trusted.iter().filter_map(|der| parse(der)).collect();
        let others: Vec<_> = self.between.iter().chain(above).filter_map(|der| parse(der)).collect();
        let mut faults = Vec::new();
        let mut chain = vec![end];
        let mut ends_trusted = false;
        while let Some(last) = chain.last() {
            let depth = depth(chain.len() - 1);
            if last.subject() == last.issuer() {
                ends_trusted |= trusted.iter().any(|t| t.as_raw() == last.as_raw());
                if !ends_trusted {
                    let code = if depth == 0 { SELF_SIGNED } else { SELF_SIGNED_ABOVE };
                    faults.push(Fault { code, depth });
                }
                break;
            }
            let issuer = |c: &&X509Certificate<'_>| c.subject() == last.issuer() && keys_agree(last, c);
            let next = trusted.iter().find(issuer).or(others.iter().find(issuer));
            match next {
                Some(next) if chain.len() < LONGEST => chain.push(next.clone()),
                _ => {
                    faults.push(Fault { code: NO_LOCAL_ISSUER, depth });
                    break;
                }
            }
        }
        let complete = faults.is_empty();
        extensions(&chain, &mut faults);
        self.revoked(&chain, now, &mut faults);
        if !complete && chain.len() == 1 && faults.iter().any(|f| f.code == NO_LOCAL_ISSUER) {
            faults.push(Fault { code: LEAF_UNVERIFIED, depth: 0 });
        }
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        for (place, certificate) in chain.iter().enumerate().rev() {
            let issuer = chain.get(place + 1);
            if issuer.is_some_and(|i| certificate.verify_signature(Some(i.public_key())).is_err()) {
                faults.push(Fault { code: BAD_SIGNATURE, depth: depth(place) });
            }
            let validity = certificate.validity();
            let begin = u64::try_from(validity.not_before.timestamp()).unwrap_or(0);
            valid_from = valid_from.max(UnixTime::since_unix_epoch(Duration::from_secs(begin)));
            if validity.not_before.timestamp() > now {
                faults.push(Fault { code: NOT_YET_VALID, depth: depth(place) });
            } else if validity.not_after.timestamp() < now {
                faults.push(Fault { code: EXPIRED, depth: depth(place) });
            }
        }
        (faults, valid_from)
    }

    fn revoked(&self, chain: &[X509Certificate<'_>], now: u64, faults: &mut Vec<Fault>) {
        if self.revocations.is_empty() {
            return;
        }
        let parse = |der| CertificateRevocationList::from_der(der).ok().map(|(_, list)| list);
        let lists: Vec<_> = self.revocations.iter().filter_map(|der| parse(der)).collect();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        for (place, certificate) in chain.iter().enumerate() {
            let depth = depth(place);
            let Some(list) = lists.iter().find(|list| list.issuer() == certificate.issuer()) else {
                faults.push(Fault { code: NO_LIST, depth });
                continue;
            };
            if list.next_update().is_some_and(|next| next.timestamp() < now) {
                faults.push(Fault { code: LIST_EXPIRED, depth });
            }
            if list.iter_revoked_certificates().any(|entry| entry.raw_serial() == certificate.raw_serial()) {
                faults.push(Fault { code: REVOKED, depth });
            }
        }
    }
}

/// Does the key that `certificate` says it was signed with go by the name `issuer` gives its own (RFC 5280 4.2.1.1)?
fn keys_agree(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    let signed_with = certificate.iter_extensions().find_map(|e| match e.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.clone(),
        _ => None,
    });
    let own = issuer.iter_extensions().find_map(|e| match e.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.clone()),
        _ => None,
    });
    signed_with.zip(own).is_none_or(|(signed_with, own)| signed_with == own)
}

/// Whether each may stand where it does.
fn extensions(chain: &[X509Certificate<'_>], faults: &mut Vec<Fault>) {
    for (place, certificate) in chain.iter().enumerate() {
        let depth = depth(place);
        if place > 0 {
            let constraints = certificate.basic_constraints().ok().flatten();
            if !constraints.map_or(certificate.version().0 == 0, |c| c.value.ca) {
                faults.push(Fault { code: INVALID_CA, depth });
            }
        }
        let usage = certificate.extended_key_usage().ok().flatten();
        if usage.is_some_and(|u| !u.value.client_auth && !u.value.any) {
            faults.push(Fault { code: WRONG_PURPOSE, depth });
        }
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.demand.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.judge(end_entity, intermediates, now) {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err((fault, error)) => {
                REFUSED.set(Some(fault));
                Err(Error::InvalidCertificate(error))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        allowed(&self.demand.schemes, dss)?;
        signature::verify(Version::Tls12, message, cert, dss, &PROVIDER.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        allowed(&self.demand.schemes, dss)?;
        signature::verify(Version::Tls13, message, cert, dss, &PROVIDER.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let all = PROVIDER.signature_verification_algorithms.supported_schemes();
        match &self.demand.schemes {
            Some(wanted) => wanted.iter().filter(|s| all.contains(s)).copied().collect(),
            None => all,
        }
    }
}

const UNSPECIFIED: u8 = 1;
const NO_LIST: u8 = 3;
const BAD_SIGNATURE: u8 = 7;
const NOT_YET_VALID: u8 = 9;
const EXPIRED: u8 = 10;
const LIST_EXPIRED: u8 = 12;
const SELF_SIGNED: u8 = 18;
const SELF_SIGNED_ABOVE: u8 = 19;
const NO_LOCAL_ISSUER: u8 = 20;
const LEAF_UNVERIFIED: u8 = 21;
const REVOKED: u8 = 23;
const INVALID_CA: u8 = 24;
const WRONG_PURPOSE: u8 = 26;

/// Faults of the moment, not of the chain.
const OF_A_MOMENT: [u8; 5] = [NO_LIST, NOT_YET_VALID, EXPIRED, LIST_EXPIRED, REVOKED];

/// Certificates a chain may have.
const LONGEST: usize = 16;

fn depth(place: usize) -> u8 {
    u8::try_from(place).unwrap_or(u8::MAX)
}

/// The number for what only the library objects to.
fn code_of(error: &Error) -> u8 {
    let Error::InvalidCertificate(error) = error else { return UNSPECIFIED };
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => EXPIRED,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => NOT_YET_VALID,
        CertificateError::Revoked => REVOKED,
        CertificateError::UnknownIssuer => NO_LOCAL_ISSUER,
        CertificateError::BadSignature => BAD_SIGNATURE,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => WRONG_PURPOSE,
        CertificateError::UnknownRevocationStatus => NO_LIST,
        _ => UNSPECIFIED,
    }
}

/// What the library turns into the alert that OpenSSL sends for the number.
fn alert_of(code: u8) -> CertificateError {
    match code {
        EXPIRED | LIST_EXPIRED => CertificateError::Expired,
        REVOKED => CertificateError::Revoked,
        WRONG_PURPOSE => CertificateError::InvalidPurpose,
        BAD_SIGNATURE => CertificateError::BadSignature,
        UNSPECIFIED | NOT_YET_VALID => CertificateError::BadEncoding,
        _ => CertificateError::UnknownIssuer,
    }
}

fn is_self_issued(der: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, c)| c.subject() == c.issuer())
}

fn subject(der: &CertificateDer<'_>) -> Option<DistinguishedName> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.subject().as_raw().to_vec().into())
}
