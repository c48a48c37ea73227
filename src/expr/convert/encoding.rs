//! Bytes to text and back: base64, hexadecimal, percent-encoding, JSON strings.

use super::{Converter, Step, row};
use crate::expr::args::{self, Arg, Kind, NONE, Spec};
use crate::expr::sample::{Sample, Type, hex_upper};

const CHUNKS: Spec = Spec { required: 2, kinds: &[Kind::Text, Kind::Int, Kind::Int] };

#[rustfmt::skip]
pub(super) const ROWS: &[Converter] = &[
    row("base64", NONE, Type::Bin, Type::Str, Step::Pure(|_, s| Some(Sample::owned(base64_encode(&s.into_bytes(), false)))), "Base64."),
    row("b64dec", NONE, Type::Str, Type::Bin, Step::Pure(|_, s| base64_decode(&s.into_bytes(), false).map(|b| Sample::Bin(b.into()))), "Bytes of a base64 text."),
    row("ub64enc", NONE, Type::Bin, Type::Str, Step::Pure(|_, s| Some(Sample::owned(base64_encode(&s.into_bytes(), true)))), "Base64url, without padding."),
    row("ub64dec", NONE, Type::Str, Type::Bin, Step::Pure(|_, s| base64_decode(&s.into_bytes(), true).map(|b| Sample::Bin(b.into()))), "Bytes of a base64url text."),
    row("hex", NONE, Type::Bin, Type::Str, Step::Pure(|_, s| Some(Sample::owned(hex_upper(&s.into_bytes())))), "Two hexadecimal digits a byte."),
    row("hex2i", NONE, Type::Str, Type::Int, Step::Pure(hex_to_int), "Integer of hexadecimal digits; nothing where they are none."),
    row("be2hex", Spec { required: 0, kinds: &[Kind::Text, Kind::Int, Kind::Int] }, Type::Bin, Type::Str, Step::Pure(be2hex), "Hexadecimal digits with a separator every so many bytes; the third argument 1 drops a short last chunk.").prepared(prepare_chunks),
    row("be2dec", CHUNKS, Type::Bin, Type::Str, Step::Pure(|a, s| to_decimals(a, s, true)), "Decimal numbers of big-endian chunks, with a separator between.").prepared(prepare_numbers),
    row("le2dec", CHUNKS, Type::Bin, Type::Str, Step::Pure(|a, s| to_decimals(a, s, false)), "Decimal numbers of little-endian chunks, with a separator between.").prepared(prepare_numbers),
    row("htonl", NONE, Type::Int, Type::Bin, Step::Pure(|_, s| Some(Sample::Bin((s.to_int()? as u32).to_be_bytes().to_vec().into()))), "The low 32 bits, big endian."),
    row("url_dec", Spec { required: 0, kinds: &[Kind::Int] }, Type::Str, Type::Str, Step::Pure(url_decode), "Percent-decoded text; `+` is a blank after a `?`, or everywhere with argument 1."),
    row("url_enc", Spec { required: 0, kinds: &[Kind::Text] }, Type::Str, Type::Str, Step::Pure(url_encode), "Percent-encoded for a query string.").prepared(prepare_url_enc),
    row("json", Spec { required: 0, kinds: &[Kind::Text] }, Type::Str, Type::Str, Step::Pure(json), "Text escaped for a JSON string, its input decoded as `ascii`, `utf8`, `utf8s`, `utf8p` or `utf8ps`.").prepared(prepare_json),
    row("host_only", NONE, Type::Str, Type::Str, Step::Pure(host_only), "Host of a Host header's value, in lower case."),
    row("port_only", NONE, Type::Str, Type::Int, Step::Pure(port_only), "Port of a Host header's value; 0 without one."),
];

pub(crate) fn base64_encode(bytes: &[u8], url: bool) -> Vec<u8> {
    let alphabet: &[u8; 64] = if url { URL_ALPHABET } else { ALPHABET };
    let mut out = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..4 {
            if i <= chunk.len() {
                out.push(alphabet[(bits >> (18 - 6 * i) & 63) as usize]);
            } else if !url {
                out.push(b'=');
            }
        }
    }
    out
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Padding is required in base64 and left out in base64url.
pub(crate) fn base64_decode(text: &[u8], url: bool) -> Option<Vec<u8>> {
    if !url && !text.len().is_multiple_of(4) {
        return None;
    }
    let digits = text.iter().rposition(|b| *b != b'=').map_or(0, |p| p + 1);
    if text.len() - digits > 2 || digits % 4 == 1 {
        return None;
    }
    let mut out = Vec::with_capacity(digits / 4 * 3 + 2);
    for chunk in text.get(..digits)?.chunks(4) {
        let mut bits = 0_u32;
        for i in 0..4 {
            bits = bits << 6 | chunk.get(i).map_or(Some(0), |c| digit(*c, url))?;
        }
        let [_, bytes @ ..] = bits.to_be_bytes();
        out.extend_from_slice(bytes.get(..chunk.len() - 1)?);
    }
    Some(out)
}

fn digit(c: u8, url: bool) -> Option<u32> {
    Some(match (c, url) {
        (b'A'..=b'Z', _) => u32::from(c - b'A'),
        (b'a'..=b'z', _) => u32::from(c - b'a') + 26,
        (b'0'..=b'9', _) => u32::from(c - b'0') + 52,
        (b'+', false) | (b'-', true) => 62,
        (b'/', false) | (b'_', true) => 63,
        _ => return None,
    })
}

fn hex_to_int<'a>(_: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    let text = sample.into_bytes();
    let value = text.iter().try_fold(0_i64, |n, b| {
        let digit = char::from(*b).to_digit(16)?;
        Some(n.wrapping_shl(4) | i64::from(digit))
    });
    Some(Sample::Int(value?))
}

fn prepare_chunks(args: &mut Vec<Arg>) -> Result<(), String> {
    match args::int(args, 1) {
        Some(n) if n <= 0 => Err(format!("chunk_size value must be positive ({n})")),
        None if args::text(args, 0).is_some() => Err("chunk_size value must be positive (0)".to_owned()),
        _ => Ok(()),
    }
}

fn prepare_numbers(args: &mut Vec<Arg>) -> Result<(), String> {
    match args::int(args, 1) {
        Some(1..=8) => Ok(()),
        other => Err(format!("chunk_size value must be in the [1..8] range ({})", other.unwrap_or(0))),
    }
}

/// The chunks of `bytes` that are to be shown.
fn chunks<'a>(args: &[Arg], bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let size = args::int(args, 1).and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
    let whole_only = args::int(args, 2).is_some_and(|n| n != 0);
    bytes.chunks(size.max(1)).filter(move |c| !whole_only || c.len() == size)
}

fn be2hex<'a>(args: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    let bytes = sample.into_bytes();
    let separator = args::text(args, 0).unwrap_or_default();
    let texts: Vec<Vec<u8>> = chunks(args, &bytes).map(hex_upper).collect();
    Some(Sample::owned(texts.join(separator)))
}

fn to_decimals<'a>(args: &'a [Arg], sample: Sample<'a>, big_endian: bool) -> Option<Sample<'a>> {
    let bytes = sample.into_bytes();
    let separator = args::text(args, 0).unwrap_or_default();
    let number = |chunk: &[u8]| {
        let fold = |n: u64, b: &u8| n << 8 | u64::from(*b);
        if big_endian { chunk.iter().fold(0, fold) } else { chunk.iter().rev().fold(0, fold) }
    };
    let texts: Vec<Vec<u8>> = chunks(args, &bytes).map(|c| number(c).to_string().into_bytes()).collect();
    Some(Sample::owned(texts.join(separator)))
}

/// `None` where a `%` is not followed by two digits.
fn url_decode<'a>(args: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    let text = sample.into_bytes();
    let mut form = args::int(args, 0).is_some_and(|n| n != 0);
    if memchr::memchr2(b'%', b'+', &text).is_none() {
        return Some(Sample::Str(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    while let Some(b) = rest.next() {
        out.push(match b {
            b'+' if form => b' ',
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            b'?' => {
                form = true;
                b
            }
            _ => b,
        });
    }
    Some(Sample::owned(out))
}

fn prepare_url_enc(args: &mut Vec<Arg>) -> Result<(), String> {
    match args::text(args, 0) {
        None | Some(b"query") => Ok(()),
        Some(_) => Err("Unexpected encode type. Allowed value is 'query'".to_owned()),
    }
}

fn url_encode<'a>(_: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    let text = sample.into_bytes();
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    let mut out = Vec::with_capacity(text.len());
    for b in text.iter() {
        if plain(b) {
            out.push(*b);
        } else {
            out.push(b'%');
            out.extend_from_slice(&hex_upper(&[*b]));
        }
    }
    Some(Sample::owned(out))
}

fn prepare_json(args: &mut Vec<Arg>) -> Result<(), String> {
    match args::text(args, 0) {
        None | Some(b"ascii" | b"utf8" | b"utf8s" | b"utf8p" | b"utf8ps") => Ok(()),
        Some(_) => Err(
            "Unexpected input code type. Allowed value are 'ascii', 'utf8', 'utf8s', 'utf8p' and 'utf8ps'"
                .to_owned(),
        ),
    }
}

/// `utf8` and `utf8p` fail on bad sequences, `utf8s` and `utf8ps` leave them out.
fn json<'a>(args: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    let mode = args::text(args, 0).unwrap_or(b"ascii");
    let text = sample.into_bytes();
    let mut out = String::with_capacity(text.len());
    if mode == b"ascii" {
        text.iter().for_each(|b| json_char(char::from(*b), &mut out));
        return Some(Sample::owned(out.into_bytes()));
    }
    for chunk in text.utf8_chunks() {
        chunk.valid().chars().for_each(|c| json_char(c, &mut out));
        match (chunk.invalid(), mode) {
            ([], _) | (_, b"utf8s" | b"utf8ps") => {}
            _ => return None,
        }
    }
    Some(Sample::owned(out.into_bytes()))
}

fn json_char(c: char, out: &mut String) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '/' => out.push_str("\\/"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\r' => out.push_str("\\r"),
        '\n' => out.push_str("\\n"),
        '\t' => out.push_str("\\t"),
        ' '..='~' => out.push(c),
        other => {
            for unit in other.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
}

/// Where the port's colon stands.
fn port_colon(host: &[u8]) -> Option<usize> {
    let colon = memchr::memrchr(b':', host)?;
    let after = host.get(colon + 1..)?;
    let bracket = memchr::memrchr(b']', host);
    (after.iter().all(u8::is_ascii_digit) && bracket.is_none_or(|b| b < colon)).then_some(colon)
}

fn host_only<'a>(_: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    let host = sample.into_bytes();
    let end = port_colon(&host).unwrap_or(host.len());
    Some(Sample::owned(host.get(..end)?.to_ascii_lowercase()))
}

fn port_only<'a>(_: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    let host = sample.into_bytes();
    let port = port_colon(&host).and_then(|c| host.get(c + 1..)).map_or(0, crate::expr::sample::leading_int);
    Some(Sample::Int(port))
}
