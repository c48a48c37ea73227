//! `jwt_verify`: signatures of JSON web tokens (RFC 7515), by a secret or by somebody's public key.

use super::encoding::base64_decode;
use crate::expr::args::{self, Arg};
use crate::expr::fetch::Call;
use crate::expr::sample::Sample;
use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate};

/// How a signature is made.
enum Algorithm {
    Unsigned,
    /// With a secret, by this digest.
    Secret(&'static str),
    Key(&'static dyn VerificationAlgorithm),
}

const VERIFIED: i64 = 1;
const FAILED: i64 = 0;
const UNKNOWN_ALGORITHM: i64 = -1;
const NO_TOKEN: i64 = -3;
const UNKNOWN_KEY: i64 = -5;

fn algorithm(name: &[u8]) -> Option<Algorithm> {
    Some(match name {
        b"none" => Algorithm::Unsigned,
        b"HS256" => Algorithm::Secret("sha256"),
        b"HS384" => Algorithm::Secret("sha384"),
        b"HS512" => Algorithm::Secret("sha512"),
        b"RS256" => Algorithm::Key(&signature::RSA_PKCS1_2048_8192_SHA256),
        b"RS384" => Algorithm::Key(&signature::RSA_PKCS1_2048_8192_SHA384),
        b"RS512" => Algorithm::Key(&signature::RSA_PKCS1_2048_8192_SHA512),
        b"PS256" => Algorithm::Key(&signature::RSA_PSS_2048_8192_SHA256),
        b"PS384" => Algorithm::Key(&signature::RSA_PSS_2048_8192_SHA384),
        b"PS512" => Algorithm::Key(&signature::RSA_PSS_2048_8192_SHA512),
        b"ES256" => Algorithm::Key(&signature::ECDSA_P256_SHA256_FIXED),
        b"ES384" => Algorithm::Key(&signature::ECDSA_P384_SHA384_FIXED),
        b"ES512" => Algorithm::Key(&signature::ECDSA_P521_SHA512_FIXED),
        _ => return None,
    })
}

/// Algorithm, secret and public key: the last two from the same argument, which is one or the other.
pub(super) fn prepare(args: &mut Vec<Arg>) -> Result<(), String> {
    let text = |i: usize| args::text(args, i).unwrap_or_default().to_vec();
    let (name, key) = (text(0), text(1));
    let variable = |text: &[u8]| {
        args::variable(&String::from_utf8_lossy(text)).map(|(scope, name)| Arg::Var(scope, name)).ok()
    };
    let by_name = algorithm(&name);
    let public = match &by_name {
        Some(Algorithm::Key(_)) if variable(&key).is_some() => {
            return Err(
                "a key's file in a variable is not supported by weir yet: name the file itself".to_owned()
            );
        }
        Some(Algorithm::Key(_)) => Arg::Text(public_key(&key)?),
        Some(_) => Arg::Absent,
        // Which it is, requests will say.
        None if variable(&name).is_some() => public_key(&key).map_or(Arg::Absent, Arg::Text),
        None => return Err(format!("unknown JWT algorithm: {}", String::from_utf8_lossy(&name))),
    };
    let name = if by_name.is_some() { Arg::Text(name) } else { variable(&name).unwrap_or(Arg::Absent) };
    *args = vec![name, variable(&key).unwrap_or(Arg::Text(key)), public];
    Ok(())
}

/// The key in a file: a public key or a certificate, in PEM.
fn public_key(path: &[u8]) -> Result<Vec<u8>, String> {
    let path = String::from_utf8_lossy(path).into_owned();
    let bytes = std::fs::read(&path)
        .map_err(|e| format!("unable to read the key '{path}' ({})", crate::tls::certificate::reason(&e)))?;
    let bits = |key: &SubjectPublicKeyInfo<'_>| key.subject_public_key.data.to_vec();
    let of_key = SubjectPublicKeyInfoDer::from_pem_slice(&bytes).ok();
    let of_key = of_key.and_then(|der| Some(bits(&SubjectPublicKeyInfo::from_der(&der).ok()?.1)));
    let of_certificate = || {
        let der = CertificateDer::from_pem_slice(&bytes).ok()?;
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        Some(bits(certificate.public_key()))
    };
    of_key
        .or_else(of_certificate)
        .ok_or_else(|| format!("'{path}' holds no public key or certificate in PEM"))
}

pub(super) fn verify<'a>(args: &'a [Arg], sample: Sample<'a>, call: &Call<'a>) -> Option<Sample<'a>> {
    let [name, secret, public] = args else { return None };
    let value = |arg: &Arg| match arg {
        Arg::Text(text) => Some(text.clone()),
        Arg::Var(scope, name) => {
            Some(Sample::from_value(call.facts.var(*scope, name)?).into_bytes().into_owned())
        }
        _ => None,
    };
    let algorithm = algorithm(&value(name)?);
    let secret = value(secret)?;
    let public = public.text();
    Some(Sample::Int(match algorithm {
        Some(algorithm) => check(&algorithm, &secret, public, &sample.into_bytes()),
        None => UNKNOWN_ALGORITHM,
    }))
}

fn check(algorithm: &Algorithm, secret: &[u8], public: Option<&[u8]>, token: &[u8]) -> i64 {
    let parts: Vec<&[u8]> = token.split(|b| *b == b'.').collect();
    let (signed, signature) = match parts.as_slice() {
        [header, payload, signature] => (header.len() + 1 + payload.len(), *signature),
        [_, _] => (token.len(), &[][..]),
        _ => return NO_TOKEN,
    };
    if matches!(algorithm, Algorithm::Unsigned) {
        return if signature.is_empty() { VERIFIED } else { FAILED };
    }
    let Some(given) = base64_decode(signature, true).filter(|s| !s.is_empty()) else {
        return NO_TOKEN;
    };
    let signed = token.get(..signed).unwrap_or_default();
    let same = match (algorithm, public) {
        // A token that says it is signed by a secret where a key is named: the file's name is no secret.
        (Algorithm::Secret(_), Some(_)) => false,
        (Algorithm::Secret(digest), None) => super::hash::hmac_of(digest, secret, signed)
            .is_some_and(|made| crate::expr::credentials::equal(&made, &given)),
        (Algorithm::Key(algorithm), Some(key)) => {
            UnparsedPublicKey::new(*algorithm, key).verify(signed, &given).is_ok()
        }
        (Algorithm::Key(_), None) => return UNKNOWN_KEY,
        (Algorithm::Unsigned, _) => false,
    };
    if same { VERIFIED } else { FAILED }
}
