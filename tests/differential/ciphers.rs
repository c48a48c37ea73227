//! Signatures of tokens and AES-GCM, over keys that openssl makes in the test's own directory.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, RsaKeyPair};

use super::tls::{EC, Pki};
use crate::harness::own_address;
use crate::harness::process::{Program, Proxy};

const PORT: u16 = 8081;

/// What each expression makes of the header `X`, or of nothing.
fn values(program: Program, expressions: &[String], tokens: &[String]) -> Vec<String> {
    let address = own_address();
    let mut text = format!(
        "defaults\n    mode http\n    timeout client 20s\n    timeout connect 5s\n    timeout server 5s\n\
         frontend f\n    bind {address}:{PORT}\n    http-request set-var(txn.alg) req.hdr(alg)\n"
    );
    let mut shown = String::new();
    for (place, expression) in expressions.iter().enumerate() {
        writeln!(text, "    http-request set-var(txn.v{place}) req.hdr(x),{expression}").unwrap();
        write!(shown, "%[var(txn.v{place})];").unwrap();
    }
    writeln!(text, "    http-request return status 200 content-type text/plain lf-string {shown}").unwrap();
    let _proxy =
        Proxy::start(program, &text, address, &[PORT]).unwrap_or_else(|e| panic!("{program:?}: {e}"));
    tokens.iter().map(|token| ask(address, token)).collect()
}

/// `alg token`
fn ask(address: Ipv4Addr, token: &str) -> String {
    let (algorithm, token) = token.split_once(' ').unwrap();
    let mut stream = TcpStream::connect((address, PORT)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(
        stream,
        "GET / HTTP/1.1\r\nHost: x\r\nAlg: {algorithm}\r\nX: {token}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).unwrap();
    all.split_once("\r\n\r\n").map_or(all.clone(), |(_, body)| body.to_owned())
}

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0_u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            out.push(char::from(DIGITS[(n >> (18 - 6 * place)) as usize & 63]));
        }
    }
    out
}

/// Keys of each kind, their certificates and public keys, and a token signed in each way.
fn tokens(pki: &Pki) -> Vec<String> {
    let random = SystemRandom::new();
    let payload = base64url(br#"{"sub":"somebody"}"#);
    let mut tokens = Vec::new();
    let mut add = |name: &str, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        let signed = format!("{}.{payload}", base64url(format!(r#"{{"alg":"{name}"}}"#).as_bytes()));
        let signature = base64url(&sign(signed.as_bytes()));
        tokens.push(format!("{name} {signed}.{signature}"));
        // With another's payload.
        tokens.push(format!("{name} {}.{signature}", signed.replace(&payload, &base64url(b"{}"))));
    };
    let private = |name: &str| std::fs::read(pki.path(&format!("{name}.der"))).unwrap();
    let rsa = RsaKeyPair::from_pkcs8(&private("rsa")).unwrap();
    let with_rsa = |padding: &'static dyn signature::RsaEncoding, text: &[u8]| {
        let mut out = vec![0; rsa.public_modulus_len()];
        rsa.sign(padding, &random, text, &mut out).unwrap();
        out
    };
    add("RS256", &|text| with_rsa(&signature::RSA_PKCS1_SHA256, text));
    add("RS384", &|text| with_rsa(&signature::RSA_PKCS1_SHA384, text));
    add("RS512", &|text| with_rsa(&signature::RSA_PKCS1_SHA512, text));
    add("PS256", &|text| with_rsa(&signature::RSA_PSS_SHA256, text));
    add("PS384", &|text| with_rsa(&signature::RSA_PSS_SHA384, text));
    add("PS512", &|text| with_rsa(&signature::RSA_PSS_SHA512, text));
    for (name, curve, algorithm) in [
        ("ES256", "p256", &signature::ECDSA_P256_SHA256_FIXED_SIGNING),
        ("ES384", "p384", &signature::ECDSA_P384_SHA384_FIXED_SIGNING),
        ("ES512", "p521", &signature::ECDSA_P521_SHA512_FIXED_SIGNING),
    ] {
        let key = EcdsaKeyPair::from_pkcs8(algorithm, &private(curve)).unwrap();
        add(name, &|text| key.sign(&random, text).unwrap().as_ref().to_vec());
    }
    tokens
}

fn keys() -> Pki {
    let pki = Pki::new();
    let curve = |name: &str| EC.replace("prime256v1", name);
    for (name, key) in [
        ("rsa", "rsa:2048".to_owned()),
        ("p256", EC.to_owned()),
        ("p384", curve("secp384r1")),
        ("p521", curve("secp521r1")),
    ] {
        pki.openssl(&format!(
            "req -x509 -newkey {key} -nodes -days 30 -subj /CN=x -keyout {name}.key -out {name}.crt"
        ));
        pki.openssl(&format!("pkey -in {name}.key -pubout -out {name}.pub"));
        pki.openssl(&format!("pkcs8 -topk8 -nocrypt -in {name}.key -outform DER -out {name}.der"));
    }
    pki
}

#[test]
fn signatures_of_tokens() {
    let pki = keys();
    let mut tokens = tokens(&pki);
    tokens.extend(
        ["none a.b.", "none a.b.c", "RS256 a", "RS256 a.b.", "RS256 a.b.!", "XS256 a.b.c"].map(str::to_owned),
    );
    let path = |file: &str| pki.path(file).display().to_string();
    // Who is whose: the token's own algorithm, and each by name.
    let mut expressions = Vec::new();
    for name in ["rsa", "p256", "p384", "p521"] {
        expressions.push(format!("jwt_verify(txn.alg,{})", path(&format!("{name}.pub"))));
    }
    for (algorithm, name) in [
        ("RS256", "rsa"),
        ("RS384", "rsa"),
        ("RS512", "rsa"),
        ("ES256", "p256"),
        ("ES384", "p384"),
        ("ES512", "p521"),
    ] {
        expressions.push(format!("jwt_verify({algorithm},{})", path(&format!("{name}.pub"))));
    }
    let [theirs, ours] = [Program::HaProxy, Program::Weir].map(|p| values(p, &expressions, &tokens));
    for ((token, theirs), ours) in tokens.iter().zip(&theirs).zip(&ours) {
        // RSASSA-PSS is of later HAProxys: 2.6 answers -2.
        let expected = if token.starts_with("PS") { ours } else { theirs };
        assert_eq!(ours, expected, "{token}");
    }
    // Right once by its own algorithm and once by name; with another payload never.
    for (token, ours) in tokens.iter().zip(&ours).filter(|(token, _)| token.len() > 40) {
        let right = ours.split(';').filter(|value| *value == "1").count();
        let forged = token.contains(&format!(".{}.", base64url(b"{}")));
        let by_name = usize::from(!token.starts_with("PS"));
        assert_eq!(right, if forged { 0 } else { 1 + by_name }, "{token}: {ours}");
    }
    // Certificates serve as well, and the name of a file is never the secret of a token that says so.
    let expressions = [format!("jwt_verify(txn.alg,{})", path("rsa.crt"))];
    let (signed, file) = ("eyJhbGciOiJIUzI1NiJ9.e30", path("rsa.crt"));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, file.as_bytes());
    let made = base64url(aws_lc_rs::hmac::sign(&key, signed.as_bytes()).as_ref());
    let tokens = [tokens[0].clone(), format!("HS256 {signed}.{made}")];
    assert_eq!(values(Program::Weir, &expressions, &tokens), ["1;", "0;"]);
}

/// What weir enciphers, haproxy deciphers; both refuse it with another tag, key or nonce.
#[test]
fn enciphered_and_deciphered() {
    let nonce = "yv66vvrO263erfiI";
    for (bits, key, other) in [
        (128, "/v/pkoZlcxxtao+UZzCDCA==", "AAAAAAAAAAAAAAAAAAAAAA=="),
        (192, "/v/pkoZlcxxtao+UZzCDCP7/6ZKGZXMc", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        (256, "/v/pkoZlcxxtao+UZzCDCP7/6ZKGZXMcbWqPlGcwgwg=", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    ] {
        let expressions = [
            format!("aes_gcm_enc({bits},{nonce},{key},txn.tag),base64"),
            "concat(,txn.tag)".to_owned(),
            format!("aes_gcm_enc({bits},{nonce},{key},txn.tag),aes_gcm_dec({bits},{nonce},{key},txn.tag)"),
            // A nonce of another length than GCM's own.
            format!("aes_gcm_enc({bits},AAAA,{key},txn.tag)"),
            format!("aes_gcm_enc({bits},{nonce},AAAA,txn.tag)"),
        ];
        let made = values(Program::Weir, &expressions, &["- a message".to_owned()]).remove(0);
        let made: Vec<&str> = made.split(';').collect();
        assert_eq!(made[2..5], ["a message", "", ""], "{bits}");
        let tag = made[1].strip_prefix("a message").unwrap();
        let expressions = [
            format!("b64dec,aes_gcm_dec({bits},{nonce},{key},{tag})"),
            format!("b64dec,aes_gcm_dec({bits},{nonce},{key},AAAAAAAAAAAAAAAAAAAAAA==)"),
            format!("b64dec,aes_gcm_dec({bits},{nonce},{other},{tag})"),
            format!("b64dec,aes_gcm_dec({bits},AAAAAAAAAAAAAAAA,{key},{tag})"),
        ];
        let tokens = [format!("- {}", made[0]), "- AAAAAAAAAAAA".to_owned()];
        let [theirs, ours] = [Program::HaProxy, Program::Weir].map(|p| values(p, &expressions, &tokens));
        assert_eq!(theirs, ours, "{bits}");
        assert_eq!(ours, ["a message;;;;", ";;;;"], "{bits}");
    }
}
