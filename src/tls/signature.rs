//! Signatures of the handshake, by keys of certificates that the library does not read too: those of version 1, which
//! people still make with two commands of openssl and which OpenSSL takes.

use super::der::element;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{self, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::{CertificateError, DigitallySignedStruct, Error};
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

/// Is it of version 1, without extensions?
#[must_use]
pub fn is_version_1(der: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, certificate)| certificate.version() == X509Version::V1)
}

/// # Errors
/// It is not the key's signature.
pub fn verify_tls12(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    if !is_version_1(certificate) {
        return crypto::verify_tls12_signature(message, certificate, signed, algorithms);
    }
    let bad = || Error::InvalidCertificate(CertificateError::BadEncoding);
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| bad())?;
    let key = parsed.public_key();
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

/// # Errors
/// It is not the key's signature.
pub fn verify_tls13(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    if !is_version_1(certificate) {
        return crypto::verify_tls13_signature(message, certificate, signed, algorithms);
    }
    let bad = |_| Error::InvalidCertificate(CertificateError::BadEncoding);
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(bad)?;
    let key = SubjectPublicKeyInfoDer::from(parsed.public_key().raw);
    verify_tls13_signature_with_raw_key(message, &key, signed, algorithms)
}
