//! The TLS connection to the server: what was agreed, and the certificate the server showed.

use super::tls::{NAME, binary, check_name, fingerprint, name, text};
use super::{Call, Eval, Fetch, Needs, row};
use crate::expr::args::NONE;
use crate::expr::sample::{Sample, Type};
use crate::tls::ServerHandshake;
use crate::tls::x509::{self, Who};

macro_rules! of {
    ($name:literal, $type:ident, $read:expr, $doc:literal) => {
        row($name, NONE, Type::$type, Needs::Server, Eval::One($read), $doc)
    };
}

#[rustfmt::skip]
pub(super) const ROWS: &[Fetch] = &[
    of!("ssl_bc", Bool, |c| Some(Sample::Bool(tls(c).is_some())), "Whether the connection to the server is TLS."),
    of!("ssl_bc_alg_keysize", Int, |c| Some(Sample::Int(tls(c)?.agreed.cipher?.1.into())), "Bits of the cipher's key."),
    of!("ssl_bc_alpn", Str, |c| tls(c)?.agreed.alpn.as_deref().map(Sample::text), "Protocol agreed by ALPN."),
    of!("ssl_bc_cipher", Str, |c| Some(Sample::text(tls(c)?.agreed.cipher?.0.as_bytes())), "Cipher, by OpenSSL's name."),
    of!("ssl_bc_curve", Str, |c| Some(Sample::text(tls(c)?.agreed.curve?.as_bytes())), "Key exchange group."),
    of!("ssl_bc_is_resumed", Bool, |c| Some(Sample::Bool(tls(c).is_some_and(|t| t.agreed.resumed))), "Whether a session with the server went on."),
    of!("ssl_bc_protocol", Str, |c| Some(Sample::text(tls(c)?.agreed.version?.as_bytes())), "Version: 'TLSv1.2' or 'TLSv1.3'."),
    of!("ssl_bc_sni", Str, |c| Some(Sample::text(tls(c)?.agreed.sni.as_deref()?.as_bytes())), "Name the server was asked for."),
    of!("ssl_bc_use_keysize", Int, |c| Some(Sample::Int(tls(c)?.agreed.cipher?.1.into())), "Bits of the cipher's key in use."),
    of!("ssl_s_chain_der", Bin, chain, "All certificates the server showed, in DER."),
    of!("ssl_s_der", Bin, |c| shown(c).map(binary), "The server's certificate, in DER."),
    row("ssl_s_i_dn", NAME, Type::Str, Needs::Server, Eval::One(|c| name(c, shown(c)?, Who::Issuer)), "Issuer of the server's certificate, or one entry of the name.").prepared(check_name),
    of!("ssl_s_key_alg", Str, |c| Some(text(x509::key_algorithm(shown(c)?)?)), "Algorithm of the server's key."),
    of!("ssl_s_notafter", Str, |c| Some(text(x509::not_after(shown(c)?)?)), "End of the server's certificate, YYMMDDhhmmssZ."),
    of!("ssl_s_notbefore", Str, |c| Some(text(x509::not_before(shown(c)?)?)), "Begin of the server's certificate, YYMMDDhhmmssZ."),
    row("ssl_s_s_dn", NAME, Type::Str, Needs::Server, Eval::One(|c| name(c, shown(c)?, Who::Subject)), "Subject of the server's certificate, or one entry of the name.").prepared(check_name),
    of!("ssl_s_serial", Bin, |c| Some(Sample::Bin(x509::serial(shown(c)?)?.into())), "Serial number of the server's certificate."),
    of!("ssl_s_sha1", Bin, |c| shown(c).map(fingerprint), "SHA-1 of the server's certificate."),
    of!("ssl_s_sig_alg", Str, |c| Some(text(x509::signature_algorithm(shown(c)?)?)), "Algorithm the server's certificate is signed with."),
    of!("ssl_s_version", Int, |c| Some(Sample::Int(x509::version(shown(c)?)?)), "Version of the server's certificate."),
];

fn tls<'a>(call: &Call<'a>) -> Option<&'a ServerHandshake> {
    call.facts.server_tls()
}

fn shown<'a>(call: &Call<'a>) -> Option<&'a [u8]> {
    tls(call)?.shown.first().map(|der| &**der)
}

fn chain<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    let tls = tls(call)?;
    // A session that goes on has the certificate with it, and nothing else.
    let all = &tls.shown;
    (!tls.agreed.resumed && !all.is_empty())
        .then(|| Sample::Bin(all.iter().flat_map(|der| der.iter().copied()).collect()))
}
