//! A certificate with its chain and key, from PEM in one file or several.

use super::{PROVIDER, names, ocsp};
use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, SignatureAlgorithm};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Whether certificates of one name are told apart by what the client can verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Rsa,
    Ecdsa,
    /// Ed25519
    Other,
}

/// A certificate that can be shown: its key fits.
#[derive(Debug)]
pub struct Certificate {
    pub parts: Parts,
    pub kind: Kind,
    /// Common name and alternative names: what SNI is matched with where no filter says otherwise.
    pub names: Vec<String>,
    pub certified: Arc<CertifiedKey>,
    /// There was an OCSP response beside it, or one is to be fetched: whom such responses are about.
    pub ocsp: Option<Staple>,
}

/// What is stapled to a certificate.
#[derive(Clone, Debug)]
pub struct Staple {
    pub id: ocsp::Id,
    /// The certificate's authority.
    pub issuer: CertificateDer<'static>,
    /// Whom the certificate says to ask.
    pub responder: Option<String>,
    pub response: Option<ocsp::Response>,
    /// HAProxy's sentence about why what was given is no response to this certificate.
    pub doubt: Option<&'static str>,
}

/// What files (or the administrator) gave, before it is put together.
#[derive(Debug, Default)]
pub struct Parts {
    /// The certificate itself, then those that lead to its authority.
    pub chain: Vec<CertificateDer<'static>>,
    pub key: Option<PrivateKeyDer<'static>>,
    pub ocsp: Option<Vec<u8>>,
    pub issuer: Option<CertificateDer<'static>>,
    /// `ocsp-update on`: the responder is asked, again and again.
    pub updates: bool,
    /// `ssl-skip-self-issued-ca`: clients are not shown authorities that nobody stands above.
    pub skip_roots: bool,
}

impl Clone for Parts {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.as_ref().map(PrivateKeyDer::clone_key),
            ocsp: self.ocsp.clone(),
            issuer: self.issuer.clone(),
            updates: self.updates,
            skip_roots: self.skip_roots,
        }
    }
}

/// Which files beside the certificate's own are read: `ssl-load-extra-files`, `ssl-load-extra-del-ext`.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools)]
pub struct Extra {
    pub bundle: bool,
    pub ocsp: bool,
    pub issuer: bool,
    pub key: bool,
    /// `x.key` beside `x.crt`, not `x.crt.key`.
    pub del_ext: bool,
    /// See [`Parts::skip_roots`].
    pub skip_roots: bool,
}

impl Default for Extra {
    fn default() -> Self {
        Self { bundle: true, ocsp: true, issuer: true, key: true, del_ext: false, skip_roots: false }
    }
}

/// Endings of files that are no certificates of their own.
pub const BESIDE: &[&str] = &["issuer", "ocsp", "sctl", "key"];
/// Endings of the files of one bundle, in the order they are read.
pub const BUNDLE: &[&str] = &["dsa", "ecdsa", "rsa"];

impl Parts {
    /// Takes certificates and key out of PEM, in any order.
    ///
    /// # Errors
    /// It is no PEM, or holds neither.
    pub fn read_pem(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut chain = Vec::new();
        let mut found = false;
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes) {
            match section.map_err(|e| wrong_pem(&e))? {
                (SectionKind::Certificate, der) => chain.push(CertificateDer::from(der)),
                (SectionKind::PrivateKey, der) => self.key = Some(PrivateKeyDer::Pkcs8(der.into())),
                (SectionKind::RsaPrivateKey, der) => self.key = Some(PrivateKeyDer::Pkcs1(der.into())),
                (SectionKind::EcPrivateKey, der) => self.key = Some(PrivateKeyDer::Sec1(der.into())),
                _ => continue,
            }
            found = true;
        }
        if !found {
            let encrypted = memchr::memmem::find(bytes, b"ENCRYPTED").is_some();
            let why =
                if encrypted { "its private key is encrypted" } else { "it holds no certificate in PEM" };
            return Err(why.to_owned());
        }
        if !chain.is_empty() {
            self.chain = chain;
        }
        Ok(())
    }

    /// Key, certificate and chain, as `read_pem` takes them.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let mut out = String::new();
        if let Some(key) = &self.key {
            let label = match key {
                PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
                PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
                _ => "PRIVATE KEY",
            };
            section(label, key.secret_der(), &mut out);
        }
        for certificate in &self.chain {
            section("CERTIFICATE", certificate, &mut out);
        }
        out
    }

    /// Takes the certificate's issuer, for OCSP, out of PEM.
    ///
    /// # Errors
    /// There is none in it.
    pub fn read_issuer(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.issuer = Some(CertificateDer::from_pem_slice(bytes).map_err(|e| wrong_pem(&e))?);
        Ok(())
    }

    /// Puts certificate and key together.
    ///
    /// # Errors
    /// Something is missing or does not fit; a phrase that follows the file's name.
    pub fn build(self) -> Result<Certificate, Problem> {
        let key = self.key.as_ref().ok_or(Problem::NoKey)?;
        let first = self.chain.first().ok_or(Problem::NoCertificate)?;
        let names = names::of(first).map_err(Problem::Unusable)?;
        let signing = PROVIDER.key_provider.load_private_key(key.clone_key());
        let signing = signing.map_err(|e| Problem::Unusable(e.to_string()))?;
        let kind = match signing.algorithm() {
            SignatureAlgorithm::RSA => Kind::Rsa,
            SignatureAlgorithm::ECDSA => Kind::Ecdsa,
            _ => Kind::Other,
        };
        let mut certified = CertifiedKey::new(self.shown(), signing);
        // What cannot be compared (certificates of version 1) is taken as it is.
        if let Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) = certified.keys_match() {
            return Err(Problem::KeyMismatch);
        }
        let staple = self.staple(first)?;
        if staple.as_ref().is_some_and(|staple| staple.response.is_some()) {
            certified.ocsp = self.ocsp.clone();
        }
        Ok(Certificate { kind, names, certified: Arc::new(certified), ocsp: staple, parts: self })
    }
}

impl Parts {
    /// The chain as clients are shown it.
    fn shown(&self) -> Vec<CertificateDer<'static>> {
        let is_root = |der: &CertificateDer<'_>| {
            X509Certificate::from_der(der).is_ok_and(|(_, one)| one.issuer() == one.subject())
        };
        let shown = self.chain.iter().enumerate();
        let shown = shown.filter(|(place, der)| *place == 0 || !self.skip_roots || !is_root(der));
        shown.map(|(_, der)| der.clone()).collect()
    }

    /// What the OCSP response is worth, if there is one, or whom to ask for one.
    fn staple(&self, first: &CertificateDer<'_>) -> Result<Option<Staple>, Problem> {
        let responder = ocsp::responder(first);
        if self.ocsp.is_none() && !(self.updates && responder.is_some()) {
            return Ok(None);
        }
        let made = |issuer: &CertificateDer<'_>| {
            let both = X509Certificate::from_der(first).ok().zip(X509Certificate::from_der(issuer).ok());
            both.is_some_and(|((_, one), (_, issuer))| one.issuer() == issuer.subject())
        };
        if self.issuer.as_ref().is_some_and(|issuer| !made(issuer)) {
            return Err(Problem::NotTheIssuer);
        }
        let issuer = self.issuer.as_ref().or_else(|| self.chain.iter().skip(1).find(|issuer| made(issuer)));
        let known = issuer.and_then(|issuer| Some((ocsp::Id::of(first, issuer)?, issuer.clone())));
        let without = if self.ocsp.is_some() { Problem::NoIssuer } else { Problem::NobodyToAsk };
        let (id, issuer) = known.ok_or(without)?;
        let response = self.ocsp.as_ref().map(|response| ocsp::about(response, &id));
        let (response, doubt) = match response {
            Some(Ok(response)) => (Some(response), None),
            Some(Err(doubt)) => (None, Some(doubt)),
            None => (None, None),
        };
        Ok(Some(Staple { id, issuer, responder, response, doubt }))
    }
}

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    NotThere(String),
    NotPem(String),
    NoKey,
    NoCertificate,
    KeyMismatch,
    /// Of the OCSP response beside it.
    NoIssuer,
    NotTheIssuer,
    /// Its responder is to be asked for OCSP responses, and cannot be.
    NobodyToAsk,
    Unusable(String),
}

impl Problem {
    /// HAProxy's sentence, with the reason it leaves out.
    #[must_use]
    pub fn sentence(&self, path: &str) -> String {
        match self {
            Self::NotThere(why) => format!("unable to stat SSL certificate from file '{path}' : {why}."),
            Self::NotPem(why) => format!("unable to load certificate from file '{path}' ({why})."),
            Self::NoKey => format!("No Private Key found in '{path}.key'."),
            Self::NoCertificate => format!("unable to load certificate from file '{path}'."),
            Self::KeyMismatch => {
                format!("inconsistencies between private key and certificate loaded '{path}'.")
            }
            Self::NoIssuer => format!(
                "'{path}.ocsp' is present and activates OCSP but it is impossible to compute the OCSP certificate ID (maybe the issuer could not be found)'."
            ),
            Self::NobodyToAsk => format!(
                "'{path}' has an OCSP auto-update set to 'on' but an error occurred (maybe the OCSP URI or the issuer could not be found)'."
            ),
            Self::NotTheIssuer => format!("'{path}.issuer' is not an issuer'."),
            Self::Unusable(why) => format!("unable to use the certificate from file '{path}' ({why})."),
        }
    }
}

/// Reads a certificate's file and those beside it.
///
/// # Errors
/// See [`Problem`].
pub fn load(path: &Path, extra: Extra) -> Result<Certificate, Problem> {
    load_from(path, &Files::default(), extra)
}

/// Files that are named rather than looked for beside the certificate's own.
#[derive(Clone, Debug, Default)]
pub struct Files {
    pub key: Option<PathBuf>,
    pub ocsp: Option<PathBuf>,
    pub issuer: Option<PathBuf>,
}

/// Reads a certificate's file, those named with it, and of the rest those beside it.
///
/// # Errors
/// See [`Problem`].
pub fn load_from(path: &Path, files: &Files, extra: Extra) -> Result<Certificate, Problem> {
    let bytes = std::fs::read(path).map_err(|e| Problem::NotThere(reason(&e)))?;
    let mut parts = Parts { skip_roots: extra.skip_roots, ..Parts::default() };
    parts.read_pem(&bytes).map_err(Problem::NotPem)?;
    if parts.chain.is_empty() {
        return Err(Problem::NoCertificate);
    }
    let named = |file: &Path| {
        std::fs::read(file).map_err(|e| Problem::Unusable(format!("{}: {}", file.display(), reason(&e))))
    };
    if let Some(file) = &files.key {
        let chain = std::mem::take(&mut parts.chain);
        parts.key = None;
        parts.read_pem(&named(file)?).map_err(Problem::Unusable)?;
        parts.chain = chain;
    } else if extra.key
        && parts.key.is_none()
        && let Some(bytes) = beside(path, "key", extra)
    {
        parts.read_pem(&bytes).map_err(Problem::Unusable)?;
    }
    if let Some(file) = &files.ocsp {
        parts.ocsp = Some(named(file)?);
    } else if extra.ocsp {
        parts.ocsp = beside(path, "ocsp", extra);
    }
    if let Some(file) = &files.issuer {
        parts.read_issuer(&named(file)?).map_err(Problem::Unusable)?;
    } else if extra.issuer
        && let Some(bytes) = beside(path, "issuer", extra)
    {
        parts.read_issuer(&bytes).map_err(Problem::Unusable)?;
    }
    parts.build()
}

fn beside(path: &Path, ending: &str, extra: Extra) -> Option<Vec<u8>> {
    let stem = match path.extension() {
        Some(known) if extra.del_ext && known == "crt" => path.with_extension(""),
        _ => path.to_path_buf(),
    };
    std::fs::read(with(&stem, ending)).ok()
}

/// `path.ending`
#[must_use]
pub fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// RFC 7468: base64 in lines of 64 characters.
fn section(label: &str, der: &[u8], out: &mut String) {
    let text = String::from_utf8(crate::expr::base64_encode(der, false)).unwrap_or_default();
    let _ = writeln!(out, "-----BEGIN {label}-----");
    let mut rest = text.as_str();
    while let Some((line, more)) = rest.split_at_checked(64) {
        let _ = writeln!(out, "{line}");
        rest = more;
    }
    if !rest.is_empty() {
        let _ = writeln!(out, "{rest}");
    }
    let _ = writeln!(out, "-----END {label}-----");
}

fn wrong_pem(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => "it holds no certificate in PEM".to_owned(),
        other => other.to_string(),
    }
}

/// The system's words alone.
#[must_use]
pub fn reason(error: &std::io::Error) -> String {
    error.to_string().split(" (os error").next().unwrap_or_default().to_owned()
}
