//! The client's TLS connection: what was agreed, the client's certificate, the one it was shown.

use super::{Call, Eval, Fetch, Needs, row};
use crate::expr::args::{self, Arg, Kind, NONE, Spec};
use crate::expr::sample::{Sample, Type};
use crate::tls::Handshake;
use crate::tls::x509::{self, Who};
use sha1::digest::Digest;

/// An entry of a name, which of several, and the form of a whole one.
pub(super) const NAME: Spec = Spec { required: 0, kinds: &[Kind::Text, Kind::Int, Kind::Text] };

macro_rules! of {
    ($name:literal, $type:ident, $read:expr, $doc:literal) => {
        row($name, NONE, Type::$type, Needs::Client, Eval::One($read), $doc)
    };
}

#[rustfmt::skip]
pub(super) const ROWS: &[Fetch] = &[
    of!("ssl_fc", Bool, |c| Some(Sample::Bool(tls(c).is_some())), "Whether the client's connection is TLS."),
    of!("ssl_fc_alg_keysize", Int, |c| Some(Sample::Int(tls(c)?.agreed.cipher?.1.into())), "Bits of the cipher's key."),
    of!("ssl_fc_alpn", Str, |c| tls(c)?.agreed.alpn.as_deref().map(Sample::text), "Protocol agreed by ALPN."),
    of!("ssl_fc_cipher", Str, |c| Some(Sample::text(tls(c)?.agreed.cipher?.0.as_bytes())), "Cipher, by OpenSSL's name."),
    of!("ssl_fc_crtname", Str, |c| Some(Sample::text(tls(c)?.shown.slot.name.as_bytes())), "Name of the certificate shown."),
    of!("ssl_fc_curve", Str, |c| Some(Sample::text(tls(c)?.agreed.curve?.as_bytes())), "Key exchange group."),
    of!("ssl_fc_err", Int, |c| tls(c).map(|_| Sample::Int(0)), "Number of the library's last error: 0, a connection that failed has no expressions."),
    of!("ssl_fc_has_crt", Bool, |c| tls(c).map(|t| Sample::Bool(!t.agreed.resumed && !t.client.is_empty())), "Whether the client showed a certificate in this handshake."),
    of!("ssl_fc_has_early", Bool, |c| tls(c).map(|t| Sample::Bool(t.is_early())), "Whether the client has spoken before the handshake was done, and it is not done yet."),
    of!("ssl_fc_has_sni", Bool, |c| tls(c).map(|t| Sample::Bool(t.agreed.sni.is_some())), "Whether the client said a name."),
    of!("ssl_fc_is_resumed", Bool, |c| Some(Sample::Bool(tls(c).is_some_and(|t| t.agreed.resumed))), "Whether a session went on by ticket or cache."),
    of!("ssl_fc_protocol", Str, |c| Some(Sample::text(tls(c)?.agreed.version?.as_bytes())), "Version: 'TLSv1.2' or 'TLSv1.3'."),
    of!("ssl_fc_sni", Str, |c| Some(Sample::text(tls(c)?.agreed.sni.as_deref()?.as_bytes())), "Name the client said."),
    of!("ssl_fc_use_keysize", Int, |c| Some(Sample::Int(tls(c)?.agreed.cipher?.1.into())), "Bits of the cipher's key in use."),
    of!("ssl_c_used", Bool, |c| tls(c).map(|t| Sample::Bool(!t.client.is_empty())), "Whether the client has shown a certificate, in this session or the one it goes on with."),
    of!("ssl_c_verify", Int, |c| tls(c).map(|t| Sample::Int(t.verdict.last.into())), "Number of the last fault let pass; 0: none."),
    of!("ssl_c_err", Int, |c| tls(c).map(|t| Sample::Int(t.verdict.own.into())), "Number of the first fault let pass of the client's certificate."),
    of!("ssl_c_ca_err", Int, |c| tls(c).map(|t| Sample::Int(t.verdict.above.map_or(0, |f| f.code.into()))), "Number of the first fault let pass above the client's certificate."),
    of!("ssl_c_ca_err_depth", Int, |c| tls(c).map(|t| Sample::Int(t.verdict.above.map_or(0, |f| f.depth.into()))), "How far above it that fault was."),
    of!("ssl_c_chain_der", Bin, chain, "The certificates the client showed above its own, in DER."),
    of!("ssl_c_der", Bin, |c| client(c).map(binary), "The client's certificate, in DER."),
    row("ssl_c_i_dn", NAME, Type::Str, Needs::Client, Eval::One(|c| name(c, client(c)?, Who::Issuer)), "Issuer of the client's certificate, or one entry of the name.").prepared(check_name),
    of!("ssl_c_key_alg", Str, |c| Some(text(x509::key_algorithm(client(c)?)?)), "Algorithm of the client's key."),
    of!("ssl_c_notafter", Str, |c| Some(text(x509::not_after(client(c)?)?)), "End of the client's certificate, YYMMDDhhmmssZ."),
    of!("ssl_c_notbefore", Str, |c| Some(text(x509::not_before(client(c)?)?)), "Begin of the client's certificate, YYMMDDhhmmssZ."),
    row("ssl_c_s_dn", NAME, Type::Str, Needs::Client, Eval::One(|c| name(c, client(c)?, Who::Subject)), "Subject of the client's certificate, or one entry of the name.").prepared(check_name),
    of!("ssl_c_serial", Bin, |c| Some(Sample::Bin(x509::serial(client(c)?)?.into())), "Serial number of the client's certificate."),
    of!("ssl_c_sha1", Bin, |c| client(c).map(fingerprint), "SHA-1 of the client's certificate."),
    of!("ssl_c_sig_alg", Str, |c| Some(text(x509::signature_algorithm(client(c)?)?)), "Algorithm the client's certificate is signed with."),
    of!("ssl_c_version", Int, |c| Some(Sample::Int(x509::version(client(c)?)?)), "Version of the client's certificate."),
    of!("ssl_f_der", Bin, |c| shown(c).map(binary), "The certificate the client was shown, in DER."),
    row("ssl_f_i_dn", NAME, Type::Str, Needs::Client, Eval::One(|c| name(c, shown(c)?, Who::Issuer)), "Issuer of the certificate shown, or one entry of the name.").prepared(check_name),
    of!("ssl_f_key_alg", Str, |c| Some(text(x509::key_algorithm(shown(c)?)?)), "Algorithm of its key."),
    of!("ssl_f_notafter", Str, |c| Some(text(x509::not_after(shown(c)?)?)), "Its end, YYMMDDhhmmssZ."),
    of!("ssl_f_notbefore", Str, |c| Some(text(x509::not_before(shown(c)?)?)), "Its begin, YYMMDDhhmmssZ."),
    row("ssl_f_s_dn", NAME, Type::Str, Needs::Client, Eval::One(|c| name(c, shown(c)?, Who::Subject)), "Subject of the certificate shown, or one entry of the name.").prepared(check_name),
    of!("ssl_f_serial", Bin, |c| Some(Sample::Bin(x509::serial(shown(c)?)?.into())), "Its serial number."),
    of!("ssl_f_sha1", Bin, |c| shown(c).map(fingerprint), "Its SHA-1."),
    of!("ssl_f_sig_alg", Str, |c| Some(text(x509::signature_algorithm(shown(c)?)?)), "Algorithm it is signed with."),
    of!("ssl_f_version", Int, |c| Some(Sample::Int(x509::version(shown(c)?)?)), "Its version."),
];

fn tls<'a>(call: &Call<'a>) -> Option<&'a Handshake> {
    call.facts.conn().tls.as_deref()
}

fn client<'a>(call: &Call<'a>) -> Option<&'a [u8]> {
    tls(call)?.client.first().map(|der| &**der)
}

fn shown<'a>(call: &Call<'a>) -> Option<&'a [u8]> {
    tls(call)?.shown.certificate.parts.chain.first().map(|der| &**der)
}

fn chain<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    let above = tls(call)?.client.get(1..).filter(|above| !above.is_empty())?;
    Some(Sample::Bin(above.iter().flat_map(|der| der.iter().copied()).collect()))
}

pub(super) fn binary(der: &[u8]) -> Sample<'_> {
    Sample::Bin(der.into())
}

pub(super) fn fingerprint(der: &[u8]) -> Sample<'static> {
    Sample::Bin(sha1::Sha1::digest(der).to_vec().into())
}

pub(super) fn text(text: String) -> Sample<'static> {
    Sample::owned(text.into_bytes())
}

pub(super) fn name<'a>(call: &Call<'a>, der: &'a [u8], who: Who) -> Option<Sample<'a>> {
    let wanted = args::text(call.args, 0).unwrap_or_default();
    if !wanted.is_empty() {
        let place = args::int(call.args, 1).filter(|n| *n != 0).unwrap_or(1);
        return x509::entry(der, who, std::str::from_utf8(wanted).ok()?, place).map(Sample::owned);
    }
    match args::text(call.args, 2) {
        Some(b"rfc2253") => x509::name_rfc2253(der, who).map(text),
        _ => x509::name(der, who).map(text),
    }
}

#[allow(clippy::ptr_arg)]
pub(super) fn check_name(args: &mut Vec<Arg>) -> Result<(), String> {
    match args::text(args, 2) {
        None | Some(b"rfc2253") => Ok(()),
        Some(_) => {
            Err("only rfc2253 is supported as format, alone or with an empty first argument".to_owned())
        }
    }
}
