//! AES-GCM over samples: enciphered and deciphered, with the tag that proves that nobody has changed it.

use super::encoding::{base64_decode, base64_encode};
use super::{Converter, Step, row};
use crate::expr::args::{self, Arg, Kind, Spec};
use crate::expr::fetch::Call;
use crate::expr::sample::{Sample, Type};
use crate::expr::{Facts, Value};
use aws_lc_rs::aead::{
    AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey,
};
use std::borrow::Cow;

const ARGS: Spec = Spec { required: 4, kinds: &[Kind::Int, Kind::Text, Kind::Text, Kind::Text] };

#[rustfmt::skip]
pub(super) const ROWS: &[Converter] = &[
    row("aes_gcm_dec", ARGS, Type::Bin, Type::Bin, Step::Reading(decipher), "Deciphers with AES-GCM: bits of the key (128, 192, 256), nonce of 12 bytes, key and tag in base64, as texts or in variables. Nothing where the tag does not fit.").prepared(prepare_decipher),
    row("aes_gcm_enc", ARGS, Type::Bin, Type::Bin, Step::Changing(encipher), "Enciphers with AES-GCM: bits of the key (128, 192, 256), nonce of 12 bytes and key in base64, as texts or in variables, and the variable that gets the tag, in base64.").prepared(prepare_encipher),
];

fn prepare_decipher(args: &mut Vec<Arg>) -> Result<(), String> {
    prepare(args)?;
    settle(args, 3, "aead_tag")
}

fn prepare_encipher(args: &mut Vec<Arg>) -> Result<(), String> {
    prepare(args)?;
    let name = String::from_utf8_lossy(args::text(args, 3).unwrap_or_default()).into_owned();
    let (scope, name) =
        args::variable(&name).map_err(|_| "failed to parse aead_tag : a variable is expected".to_owned())?;
    args[3] = Arg::Var(scope, name);
    Ok(())
}

fn prepare(args: &mut [Arg]) -> Result<(), String> {
    if args::int(args, 0).and_then(algorithm).is_none() {
        return Err("key size must be 128, 192 or 256 (bits).".to_owned());
    }
    settle(args, 1, "nonce")?;
    settle(args, 2, "key")
}

/// A variable, or a text in base64, which is decoded here.
fn settle(args: &mut [Arg], place: usize, what: &str) -> Result<(), String> {
    let text = args::text(args, place).unwrap_or_default().to_vec();
    args[place] = match (args::variable(&String::from_utf8_lossy(&text)), base64_decode(&text, false)) {
        (Ok((scope, name)), _) => Arg::Var(scope, name),
        (Err(_), Some(bytes)) => Arg::Text(bytes),
        (Err(_), None) => {
            return Err(format!(
                "failed to parse {what} : argument needs to be base64 encoded, and can either be a string or a variable"
            ));
        }
    };
    Ok(())
}

fn algorithm(bits: i64) -> Option<&'static Algorithm> {
    match bits {
        128 => Some(&AES_128_GCM),
        192 => Some(&AES_192_GCM),
        256 => Some(&AES_256_GCM),
        _ => None,
    }
}

/// What an argument stands for now.
fn bytes<'a>(arg: &'a Arg, facts: &dyn Facts) -> Option<Cow<'a, [u8]>> {
    match arg {
        Arg::Text(bytes) => Some(bytes.into()),
        Arg::Var(scope, name) => {
            let text = Sample::from_value(facts.var(*scope, name)?).into_bytes();
            base64_decode(&text, false).map(Cow::Owned)
        }
        _ => None,
    }
}

fn key(args: &[Arg], facts: &dyn Facts) -> Option<(LessSafeKey, Nonce)> {
    let algorithm = args::int(args, 0).and_then(algorithm)?;
    let nonce = Nonce::try_assume_unique_for_key(&bytes(args.get(1)?, facts)?).ok()?;
    let key = UnboundKey::new(algorithm, &bytes(args.get(2)?, facts)?).ok()?;
    Some((LessSafeKey::new(key), nonce))
}

fn decipher<'a>(args: &'a [Arg], sample: Sample<'a>, call: &Call<'a>) -> Option<Sample<'a>> {
    let (key, nonce) = key(args, call.facts)?;
    let tag = bytes(args.get(3)?, call.facts)?;
    let text = sample.into_bytes();
    if tag.len() != key.algorithm().tag_len() {
        return None;
    }
    let mut plain = [&*text, &*tag].concat();
    let length = key.open_in_place(nonce, Aad::empty(), &mut plain).ok()?.len();
    plain.truncate(length);
    Some(Sample::Bin(plain.into()))
}

fn encipher(args: &[Arg], sample: Sample<'static>, facts: &mut dyn Facts) -> Option<Sample<'static>> {
    let Some(Arg::Var(scope, name)) = args.get(3) else { return None };
    let (key, nonce) = key(args, facts)?;
    let mut text = sample.into_bytes().into_owned();
    let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut text).ok()?;
    facts.set_var(*scope, name, Value::Str(base64_encode(tag.as_ref(), false)));
    Some(Sample::Bin(text.into()))
}
