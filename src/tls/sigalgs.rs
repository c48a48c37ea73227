//! OpenSSL's names of signature algorithms (`sigalgs`, `client-sigalgs`), and keys that sign with some of them only.

use super::PROVIDER;
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{DigitallySignedStruct, Error, PeerMisbehaved, SignatureAlgorithm, SignatureScheme};
use std::sync::Arc;

/// As `RSA+SHA256` and as the standard calls them.
const NAMES: &[(&str, &[SignatureScheme])] = &[
    ("ecdsa_secp256r1_sha256", &[SignatureScheme::ECDSA_NISTP256_SHA256]),
    ("ecdsa_secp384r1_sha384", &[SignatureScheme::ECDSA_NISTP384_SHA384]),
    ("ecdsa_secp521r1_sha512", &[SignatureScheme::ECDSA_NISTP521_SHA512]),
    ("ed25519", &[SignatureScheme::ED25519]),
    ("rsa_pss_rsae_sha256", &[SignatureScheme::RSA_PSS_SHA256]),
    ("rsa_pss_rsae_sha384", &[SignatureScheme::RSA_PSS_SHA384]),
    ("rsa_pss_rsae_sha512", &[SignatureScheme::RSA_PSS_SHA512]),
    ("rsa_pkcs1_sha256", &[SignatureScheme::RSA_PKCS1_SHA256]),
    ("rsa_pkcs1_sha384", &[SignatureScheme::RSA_PKCS1_SHA384]),
    ("rsa_pkcs1_sha512", &[SignatureScheme::RSA_PKCS1_SHA512]),
    ("ecdsa+sha256", &[SignatureScheme::ECDSA_NISTP256_SHA256]),
    ("ecdsa+sha384", &[SignatureScheme::ECDSA_NISTP384_SHA384]),
    ("ecdsa+sha512", &[SignatureScheme::ECDSA_NISTP521_SHA512]),
    ("rsa-pss+sha256", &[SignatureScheme::RSA_PSS_SHA256]),
    ("rsa-pss+sha384", &[SignatureScheme::RSA_PSS_SHA384]),
    ("rsa-pss+sha512", &[SignatureScheme::RSA_PSS_SHA512]),
    ("pss+sha256", &[SignatureScheme::RSA_PSS_SHA256]),
    ("pss+sha384", &[SignatureScheme::RSA_PSS_SHA384]),
    ("pss+sha512", &[SignatureScheme::RSA_PSS_SHA512]),
    ("rsa+sha256", &[SignatureScheme::RSA_PKCS1_SHA256]),
    ("rsa+sha384", &[SignatureScheme::RSA_PKCS1_SHA384]),
    ("rsa+sha512", &[SignatureScheme::RSA_PKCS1_SHA512]),
];

/// Algorithms in order of preference, and the names that mean none that the library has.
#[must_use]
pub fn read(text: &str) -> (Vec<SignatureScheme>, Vec<String>) {
    let had = PROVIDER.signature_verification_algorithms.supported_schemes();
    let (mut schemes, mut missing) = (Vec::new(), Vec::new());
    for word in text.split(':').filter(|w| !w.is_empty()) {
        let wanted = word.trim_start_matches('?').to_ascii_lowercase();
        let found = NAMES.iter().find(|(name, _)| *name == wanted).map_or(&[][..], |(_, schemes)| schemes);
        let before = schemes.len();
        schemes.extend(found.iter().filter(|s| had.contains(s)));
        if schemes.len() == before {
            missing.push(word.to_owned());
        }
    }
    schemes.dedup();
    (schemes, missing)
}

/// Has the other side signed with one of those that it was told?
///
/// # Errors
/// It has not.
pub fn allowed(told: &Option<Vec<SignatureScheme>>, signed: &DigitallySignedStruct) -> Result<(), Error> {
    match told {
        Some(told) if !told.contains(&signed.scheme) => {
            Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into())
        }
        _ => Ok(()),
    }
}

/// The same certificate, its key signing with these algorithms only.
#[must_use]
pub fn limit(certified: &CertifiedKey, schemes: &Arc<[SignatureScheme]>) -> CertifiedKey {
    let key = Arc::new(Limited { key: Arc::clone(&certified.key), schemes: Arc::clone(schemes) });
    CertifiedKey { key, ..certified.clone() }
}

#[derive(Debug)]
struct Limited {
    key: Arc<dyn SigningKey>,
    schemes: Arc<[SignatureScheme]>,
}

impl SigningKey for Limited {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let both = self.schemes.iter().filter(|scheme| offered.contains(scheme));
        both.into_iter().find_map(|scheme| self.key.choose_scheme(&[*scheme]))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let (schemes, missing) = read("ECDSA+SHA256:rsa_pss_rsae_sha384:RSA+SHA1:?ed448:RSA+SHA256");
        assert_eq!(
            schemes,
            [
                SignatureScheme::ECDSA_NISTP256_SHA256,
                SignatureScheme::RSA_PSS_SHA384,
                SignatureScheme::RSA_PKCS1_SHA256
            ]
        );
        assert_eq!(missing, ["RSA+SHA1", "?ed448"]);
    }
}
