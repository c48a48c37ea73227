//! Signatures of the handshake, by keys of certificates that the library does not read too: those of version 1, which
//! people still make with two commands of openssl and which OpenSSL takes.

use super::Version;
use super::der::element;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::{CertificateError, DigitallySignedStruct, Error};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate, X509Version};

/// Is it of version 1, without extensions?
#[must_use]
pub fn is_version_1(der: &CertificateDer<'_>) -> bool {
    plain_key(der).is_some()
}

/// The key of a certificate of version 1.
fn plain_key<'a>(der: &'a CertificateDer<'_>) -> Option<SubjectPublicKeyInfo<'a>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let is_plain = certificate.version() == X509Version::V1;
    is_plain.then_some(certificate.tbs_certificate.subject_pki)
}

/// # Errors
/// It is not the key's signature.
pub fn verify(
    version: Version,
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    match (version, plain_key(certificate)) {
        (Version::Tls12, None) => verify_tls12_signature(message, certificate, signed, algorithms),
        (Version::Tls13, None) => verify_tls13_signature(message, certificate, signed, algorithms),
        (Version::Tls12, Some(key)) => verify_with_key(message, &key, signed, algorithms),
        (Version::Tls13, Some(key)) => {
            let key = SubjectPublicKeyInfoDer::from(key.raw);
            verify_tls13_signature_with_raw_key(message, &key, signed, algorithms)
        }
    }
}

/// As TLS 1.2 has it: any algorithm of the scheme that is for such a key.
fn verify_with_key(
    message: &[u8],
    key: &SubjectPublicKeyInfo<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let bad = || Error::InvalidCertificate(CertificateError::BadEncoding);
    // SubjectPublicKeyInfo ::= SEQUENCE { SEQUENCE { algorithm }, key }
    let (_, inside, _) = element(key.raw).ok_or_else(bad)?;
    let (_, algorithm, _) = element(inside).ok_or_else(bad)?;
    let candidates = algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
    let fits = candidates.and_then(|(_, all)| all.iter().find(|a| *a.public_key_alg_id() == *algorithm));
    let verified = fits.is_some_and(|a| {
        a.verify_signature(&key.subject_public_key.data, message, signed.signature()).is_ok()
    });
    match verified {
        true => Ok(HandshakeSignatureValid::assertion()),
        false => Err(Error::InvalidCertificate(CertificateError::BadSignature)),
    }
}
