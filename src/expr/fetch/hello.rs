//! TLS hello messages read from the raw bytes of a TCP connection (RFC 8446 4.1.2, RFC 6066 3).

use super::{Call, Eval, Fetch, Fetched, Needs, row};
use crate::expr::args::NONE;
use crate::expr::facts::Payload;
use crate::expr::sample::{Sample, Type};
use std::borrow::Cow;

#[rustfmt::skip]
pub(super) const ROWS: &[Fetch] = &[
    row("req.ssl_hello_type", NONE, Type::Int, Needs::RequestBytes, Eval::Content(|c| hello_type(c.facts.request_payload(), CLIENT_HELLO)), "1 when the request starts with a complete TLS client hello.").also(&["req_ssl_hello_type"]),
    row("res.ssl_hello_type", NONE, Type::Int, Needs::ResponseBytes, Eval::Content(|c| hello_type(c.facts.response_payload(), SERVER_HELLO)), "2 when the response starts with a complete TLS server hello.").also(&["rep_ssl_hello_type"]),
    row("req.ssl_sni", NONE, Type::Str, Needs::RequestBytes, Eval::Content(|c| read(c, server_name, Sample::Str)), "Server name the client hello asks for.").also(&["req_ssl_sni"]),
    row("req.ssl_alpn", NONE, Type::Str, Needs::RequestBytes, Eval::Content(|c| read(c, alpn, Sample::Str)), "Protocols the client hello offers, comma separated."),
    row("req.ssl_ver", NONE, Type::Int, Needs::RequestBytes, Eval::Content(version), "Version in the client hello: major * 65536 + minor (`-m int 3.3`).").also(&["req_ssl_ver"]),
    row("req.ssl_ec_ext", NONE, Type::Bool, Needs::RequestBytes, Eval::Content(|c| derive(c, |h| Some(Sample::Bool(extension(h, 10).is_some())))), "Whether the client hello names elliptic curves."),
    row("req.ssl_st_ext", NONE, Type::Int, Needs::RequestBytes, Eval::Content(|c| derive(c, ticket)), "0 without session ticket extension, 1 with an empty one, 2 with a ticket."),
    row("req.ssl_cipherlist", NONE, Type::Bin, Needs::RequestBytes, Eval::Content(|c| read(c, |h| Some(Cow::Borrowed(Parts::of(h)?.ciphers)), Sample::Bin)), "Cipher suites of the client hello."),
    row("req.ssl_sigalgs", NONE, Type::Bin, Needs::RequestBytes, Eval::Content(|c| read(c, |h| counted_list(h, 13), Sample::Bin)), "Signature algorithms of the client hello."),
    row("req.ssl_supported_groups", NONE, Type::Bin, Needs::RequestBytes, Eval::Content(|c| read(c, |h| counted_list(h, 10), Sample::Bin)), "Supported groups of the client hello."),
    row("req.ssl_keyshare_groups", NONE, Type::Bin, Needs::RequestBytes, Eval::Content(|c| read(c, key_shares, Sample::Bin)), "Groups of the client hello's key shares."),
];

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const HANDSHAKE: u8 = 22;
/// A hello longer than this is none we wait for.
const LONGEST: usize = 65_536;

/// Why there is no hello.
enum Missing {
    /// It may still come.
    Incomplete,
    NotTls,
}

/// The handshake message at the front: its type and body. It may span several records.
fn message(bytes: &[u8], wanted: u8) -> Result<Cow<'_, [u8]>, Missing> {
    let mut gathered: Option<Vec<u8>> = None;
    let mut rest = bytes;
    loop {
        let Some((header, body)) = rest.split_at_checked(5) else {
            return if starts_like_tls(rest) { Err(Missing::Incomplete) } else { Err(Missing::NotTls) };
        };
        let [HANDSHAKE, 3, _, high, low] = *header else { return Err(Missing::NotTls) };
        let len = usize::from(u16::from_be_bytes([high, low]));
        let present = body.get(..len.min(body.len())).unwrap_or_default();
        if let Some(first) = gathered.as_ref().and_then(|g| g.first()).or(present.first())
            && *first != wanted
        {
            return Err(Missing::NotTls);
        }
        if present.len() < len {
            return Err(Missing::Incomplete);
        }
        let after = body.get(len..).unwrap_or_default();
        match &mut gathered {
            None => {
                if let Some(whole) = whole_message(present)? {
                    return Ok(Cow::Borrowed(whole));
                }
                gathered = Some(present.to_vec());
            }
            Some(parts) => {
                parts.extend_from_slice(present);
                if let Some(whole) = whole_message(parts)? {
                    return Ok(Cow::Owned(whole.to_vec()));
                }
            }
        }
        rest = after;
    }
}

fn starts_like_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [] | [HANDSHAKE] | [HANDSHAKE, 3, ..])
}

/// The body behind the 4-byte handshake header, once all of it is there.
fn whole_message(bytes: &[u8]) -> Result<Option<&[u8]>, Missing> {
    let Some((&[_, a, b, c], body)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let len = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
    if len > LONGEST {
        return Err(Missing::NotTls);
    }
    Ok(body.get(..len))
}

fn hello_type(payload: Option<Payload<'_>>, wanted: u8) -> Fetched<'_> {
    let Some(payload) = payload else { return Fetched::changing(None) };
    match message(payload.bytes, wanted) {
        Ok(_) => Fetched::settled(Some(Sample::Int(wanted.into()))),
        Err(why) => missing(&why, payload),
    }
}

fn missing<'a>(why: &Missing, payload: Payload<'a>) -> Fetched<'a> {
    let may_change = matches!(why, Missing::Incomplete) && !payload.complete;
    Fetched { sample: None, may_change }
}

/// A piece of the client hello, borrowed where the hello lies in one record.
fn read<'a>(
    call: &Call<'a>,
    part: for<'b> fn(&'b [u8]) -> Option<Cow<'b, [u8]>>,
    sample: fn(Cow<'a, [u8]>) -> Sample<'a>,
) -> Fetched<'a> {
    let Some(payload) = call.facts.request_payload() else { return Fetched::changing(None) };
    match message(payload.bytes, CLIENT_HELLO) {
        Ok(Cow::Borrowed(hello)) => Fetched::settled(part(hello).map(sample)),
        Ok(Cow::Owned(hello)) => Fetched::settled(part(&hello).map(|p| sample(Cow::Owned(p.into_owned())))),
        Err(why) => missing(&why, payload),
    }
}

fn derive<'a>(call: &Call<'a>, see: fn(&[u8]) -> Option<Sample<'static>>) -> Fetched<'a> {
    let Some(payload) = call.facts.request_payload() else { return Fetched::changing(None) };
    match message(payload.bytes, CLIENT_HELLO) {
        Ok(hello) => Fetched::settled(see(&hello)),
        Err(why) => missing(&why, payload),
    }
}

fn version<'a>(call: &Call<'a>) -> Fetched<'a> {
    derive(call, |hello| {
        let [major, minor] = *hello.get(..2)?.first_chunk::<2>()?;
        Some(Sample::Int((i64::from(major) << 16) + i64::from(minor)))
    })
}

/// The client hello's variable parts.
struct Parts<'a> {
    ciphers: &'a [u8],
    extensions: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(hello: &'a [u8]) -> Option<Self> {
        // version 2, random 32
        let rest = hello.get(34..)?;
        let (_session, rest) = short_vector(rest)?;
        let (ciphers, rest) = vector(rest)?;
        let (_compression, rest) = short_vector(rest)?;
        let extensions = vector(rest).map_or(&[][..], |(e, _)| e);
        Some(Self { ciphers, extensions })
    }
}

/// A vector with a one-byte length, and what follows it.
fn short_vector(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*len))
}

/// A vector with a two-byte length, and what follows it.
fn vector(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}

fn extension(hello: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = Parts::of(hello)?.extensions;
    while let Some((id, after)) = rest.split_first_chunk::<2>() {
        let (body, next) = vector(after)?;
        if u16::from_be_bytes(*id) == wanted {
            return Some(body);
        }
        rest = next;
    }
    None
}

fn server_name(hello: &[u8]) -> Option<Cow<'_, [u8]>> {
    let (mut names, _) = vector(extension(hello, 0)?)?;
    while let Some((kind, after)) = names.split_first() {
        let (name, next) = vector(after)?;
        if *kind == 0 {
            return Some(Cow::Borrowed(name));
        }
        names = next;
    }
    None
}

fn alpn(hello: &[u8]) -> Option<Cow<'_, [u8]>> {
    let (mut names, _) = vector(extension(hello, 16)?)?;
    let mut out = Vec::new();
    while let Some((name, next)) = short_vector(names) {
        if !out.is_empty() {
            out.push(b',');
        }
        out.extend_from_slice(name);
        names = next;
    }
    Some(Cow::Owned(out))
}

fn ticket(hello: &[u8]) -> Option<Sample<'static>> {
    Some(Sample::Int(match extension(hello, 35) {
        None => 0,
        Some([]) => 1,
        Some(_) => 2,
    }))
}

fn counted_list(hello: &[u8], id: u16) -> Option<Cow<'_, [u8]>> {
    vector(extension(hello, id)?).map(|(list, _)| Cow::Borrowed(list))
}

fn key_shares(hello: &[u8]) -> Option<Cow<'_, [u8]>> {
    let (mut shares, _) = vector(extension(hello, 51)?)?;
    let mut out = Vec::new();
    while let Some((group, after)) = shares.split_first_chunk::<2>() {
        out.extend_from_slice(group);
        shares = vector(after)?.1;
    }
    Some(Cow::Owned(out))
}

#[cfg(test)]
mod tests {
    use crate::expr::mock::Mock;
    use crate::expr::{Condition, Scope, Site, Value};

    /// A client hello for `example.org` offering h2 and http/1.1, cut into records of at most `record` bytes.
    fn hello(record: usize) -> Vec<u8> {
        let name = b"example.org";
        let mut sni =
            vec![0, 0, 0, (name.len() + 5) as u8, 0, (name.len() + 3) as u8, 0, 0, name.len() as u8];
        sni.extend_from_slice(name);
        let alpn = b"\x00\x10\x00\x0e\x00\x0c\x02h2\x08http/1.1";
        let extensions = [&sni[..], alpn].concat();
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        let mut message = vec![1, 0, 0, body.len() as u8];
        message.extend(body);
        let mut out = Vec::new();
        for part in message.chunks(record) {
            out.extend([22, 3, 1, 0, part.len() as u8]);
            out.extend_from_slice(part);
        }
        out
    }

    fn check(bytes: &[u8], complete: bool, fetch: &str, expected: Option<Value>) {
        let mut mock = Mock { request: None, payload: Some((bytes.to_vec(), complete)), ..Mock::default() };
        assert_eq!(mock.eval(fetch, Site::TcpContent), expected, "{fetch}");
    }

    #[test]
    fn reads_client_hellos() {
        for record in [200, 60, 7] {
            let bytes = hello(record);
            check(&bytes, false, "req.ssl_hello_type", Some(Value::Int(1)));
            check(&bytes, false, "req.ssl_sni", Some(Value::Str(b"example.org".to_vec())));
            check(&bytes, false, "req.ssl_alpn", Some(Value::Str(b"h2,http/1.1".to_vec())));
            check(&bytes, false, "req.ssl_ver", Some(Value::Int(0x30003)));
            check(&bytes, false, "req.ssl_st_ext", Some(Value::Int(0)));
            check(&bytes, false, "req.ssl_cipherlist", Some(Value::Bin(vec![0x13, 1])));
        }
    }

    #[test]
    fn every_prefix_waits_and_nothing_panics() {
        let bytes = hello(60);
        let condition = ["if", "{", "req.ssl_sni", "-m", "found", "}"];
        let condition = Condition::parse(&condition, Site::TcpContent, &Scope::default()).unwrap();
        for len in 0..bytes.len() {
            let payload = Some((bytes[..len].to_vec(), false));
            let mut mock = Mock { request: None, payload, ..Mock::default() };
            assert_eq!(condition.evaluate(&mut mock, false), None, "{len}");
            assert_eq!(condition.evaluate(&mut mock, true), Some(false), "{len}");
        }
        let mut mock =
            Mock { request: None, payload: Some((b"GET / HTTP/1.0\r\n".to_vec(), false)), ..Mock::default() };
        assert_eq!(condition.evaluate(&mut mock, false), Some(false));
    }

    #[test]
    fn flipped_bytes_do_not_panic() {
        let bytes = hello(60);
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut broken = bytes.clone();
                broken[at] = value;
                for fetch in ["req.ssl_sni", "req.ssl_alpn", "req.ssl_keyshare_groups", "req.ssl_sigalgs"] {
                    let payload = Some((broken.clone(), true));
                    Mock { request: None, payload, ..Mock::default() }.eval(fetch, Site::TcpContent);
                }
            }
        }
    }
}
