//! TLS in the `global` section.

use super::bind_ssl;
use crate::config::keyword::{FRONT_ONLY, GLOBAL, Keyword};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::config::units::Unit;
use crate::tls::ciphers;

pub const TABLE: &[Keyword] = &[
    Keyword::new("crt-base", GLOBAL, "<dir>", "Where relative names of certificates start.", |p, l| {
        p.tls.crt_base = p.text(l, 1, "a directory path");
    }),
    Keyword::new(
        "key-base",
        GLOBAL,
        "<dir>",
        "Where relative names of keys in 'crt-store' sections start.",
        |p, l| p.tls.key_base = p.text(l, 1, "a directory path"),
    ),
    Keyword::new(
        "ssl-default-bind-ciphers",
        GLOBAL,
        "<ciphers>",
        "What 'ciphers' says where a 'bind' line does not.",
        |p, l| {
            if expects(p, l, "a ciphersuite") {
                p.tls.bind_defaults.ciphers = bind_ssl::read_ciphers(p, l, 1, l.word(0), ciphers::ciphers);
            }
        },
    ),
    Keyword::new(
        "ssl-default-bind-ciphersuites",
        GLOBAL,
        "<suites>",
        "What 'ciphersuites' says where a 'bind' line does not.",
        |p, l| {
            if expects(p, l, "a ciphersuite") {
                p.tls.bind_defaults.ciphersuites =
                    bind_ssl::read_ciphers(p, l, 1, l.word(0), ciphers::ciphersuites);
            }
        },
    ),
    Keyword::new(
        "ssl-default-bind-curves",
        GLOBAL,
        "<curves>",
        "What 'curves' says where a 'bind' line does not.",
        |p, l| {
            if expects(p, l, "a curve suite") {
                p.tls.bind_defaults.curves = bind_ssl::read_curves(p, l, 1, l.word(0));
            }
        },
    ),
    Keyword::new(
        "ssl-default-bind-sigalgs",
        GLOBAL,
        "<algorithms>",
        "What 'sigalgs' says where a 'bind' line does not.",
        |p, l| {
            if expects(p, l, "a list of signature algorithms") {
                p.tls.bind_defaults.sigalgs = bind_ssl::read_sigalgs(p, l, 1, l.word(0));
            }
        },
    ),
    Keyword::new(
        "ssl-default-bind-client-sigalgs",
        GLOBAL,
        "<algorithms>",
        "What 'client-sigalgs' says where a 'bind' line does not.",
        |p, l| {
            if expects(p, l, "a list of signature algorithms") {
                p.tls.bind_defaults.client_sigalgs = bind_ssl::read_sigalgs(p, l, 1, l.word(0));
            }
        },
    ),
    Keyword::new(
        "ssl-default-server-curves",
        GLOBAL,
        "<curves>",
        "What 'curves' says where a 'server' line does not.",
        |p, l| {
            if expects(p, l, "a curve suite") {
                p.tls.server_defaults.curves = bind_ssl::read_curves(p, l, 1, l.word(0));
            }
        },
    ),
    Keyword::new(
        "ssl-default-server-sigalgs",
        GLOBAL,
        "<algorithms>",
        "What 'sigalgs' says where a 'server' line does not.",
        |p, l| {
            if expects(p, l, "a list of signature algorithms") {
                p.tls.server_defaults.sigalgs = bind_ssl::read_sigalgs(p, l, 1, l.word(0));
            }
        },
    ),
    Keyword::new(
        "ssl-default-server-client-sigalgs",
        GLOBAL,
        "<algorithms>",
        "What 'client-sigalgs' says where a 'server' line does not.",
        |p, l| {
            if expects(p, l, "a list of signature algorithms") {
                p.tls.server_defaults.client_sigalgs = bind_ssl::read_sigalgs(p, l, 1, l.word(0));
            }
        },
    ),
    Keyword::new(
        "ssl-default-bind-options",
        GLOBAL,
        "<option>...",
        "Versions, tickets, 'strict-sni' and 'prefer-client-ciphers' where a 'bind' line does not say them.",
        |p, l| {
            if expects(p, l, "an option") {
                bind_ssl::global_options(p, l);
            }
        },
    ),
    Keyword::new(
        "ssl-load-extra-files",
        GLOBAL,
        "[bundle | ocsp | issuer | key | sctl | all | none]...",
        "Which files beside a certificate's own are read with it.",
        load_extra_files,
    ),
    Keyword::new(
        "ssl-load-extra-del-ext",
        GLOBAL,
        "",
        "Files beside 'x.crt' are 'x.key' and the like, not 'x.crt.key'.",
        |p, _| p.tls.extra.del_ext = true,
    ),
    Keyword::new(
        "ssl-dh-param-file",
        GLOBAL,
        "<file>",
        "Nothing to act on: weir has no key exchange over finite fields.",
        no_finite_fields,
    ),
    Keyword::new(
        "tune.ssl.default-dh-param",
        GLOBAL,
        "<bits>",
        "Nothing to act on: weir has no key exchange over finite fields.",
        no_finite_fields,
    ),
    Keyword::new(
        "ssl-f-use",
        FRONT_ONLY,
        "crt <file> [<option>]...",
        "A certificate for the 'bind' lines with 'ssl' that name none, with options as in certificate lists. The lines make the list '@<proxy>'.",
        bind_ssl::front_certificate,
    ),
    Keyword::new(
        "tune.ssl.cachesize",
        GLOBAL,
        "<number>",
        "Sessions kept for clients that come back without a ticket (20000).",
        |p, l| {
            if let Some(sessions) = p.integer(l, 1, 0, 1 << 24) {
                p.tls.cached_sessions = sessions;
            }
        },
    ),
    Keyword::new(
        "tune.ssl.lifetime",
        GLOBAL,
        "<time>",
        "How long a session can be taken up again (300s), by ticket or from the cache.",
        |p, l| {
            if let Some(lifetime) = p.duration(l, 1, Unit::Seconds) {
                p.tls.session_lifetime = lifetime;
            }
        },
    ),
    Keyword::new(
        "tune.ssl.maxrecord",
        GLOBAL,
        "<bytes>",
        "The largest record sent, in bytes (16384).",
        max_record,
    ),
    Keyword::new(
        "tune.ssl.hard-maxrecord",
        GLOBAL,
        "<bytes>",
        "The largest record sent, in bytes (16384).",
        max_record,
    ),
    Keyword::new(
        "tune.ssl.force-private-cache",
        GLOBAL,
        "",
        "Nothing to act on: the one process has all sessions.",
        |p, l| p.no_effect(l, 0, "one process has all sessions"),
    ),
    Keyword::new(
        "tune.ssl.ssl-ctx-cache-size",
        GLOBAL,
        "<number>",
        "Nothing to act on: it is about 'generate-certificates', which is refused.",
        |p, l| {
            if p.integer(l, 1, 0_u32, i32::MAX as u32).is_some() {
                p.no_effect(l, 0, "no certificates are generated");
            }
        },
    ),
    Keyword::new(
        "ssl-security-level",
        GLOBAL,
        "<level>",
        "Of OpenSSL; what weir speaks is of level 2 or better, and no lower one is to be had.",
        |p, l| {
            if p.integer(l, 1, 0_u8, 5).is_some_and(|level| level > 2) {
                p.warning(l, 1, "'ssl-security-level' : weir keeps level 2.");
            }
        },
    ),
    Keyword::new(
        "ssl-mode-async",
        GLOBAL,
        "",
        "Nothing to act on: it is about OpenSSL's engines, which weir has not.",
        |p, l| p.no_effect(l, 0, "there are no engines"),
    ),
    Keyword::new(
        "ssl-skip-self-issued-ca",
        GLOBAL,
        "",
        "Clients are not shown the authorities of a certificate's file that have signed themselves; they serve as issuers for OCSP.",
        |p, _| {
            p.tls.extra.skip_roots = true;
            p.tls.store.skips_roots.store(true, std::sync::atomic::Ordering::Relaxed);
        },
    ),
];

/// 0 leaves the protocol's own limit. The smaller of the two settings holds.
fn max_record(parser: &mut Parser, line: &Line) {
    // A record has five bytes of header, which the library counts in; shorter ones than 32 it does not make.
    if let Some(bytes) = parser.integer(line, 1, 0, 16384_usize).filter(|n| *n > 0) {
        let bytes = (bytes + 5).max(32);
        let limit = &mut parser.tls.max_record;
        *limit = Some(limit.map_or(bytes, |other| other.min(bytes)));
    }
}

fn no_finite_fields(parser: &mut Parser, line: &Line) {
    parser.no_effect(line, 0, "there is no key exchange over finite fields (DHE)");
}

fn expects(parser: &mut Parser, line: &Line, what: &str) -> bool {
    let there = line.words.len() > 1;
    if !there {
        parser.alert(line, 0, format!("'{}' : missing {what}.", line.word(0)));
    }
    there
}

fn load_extra_files(parser: &mut Parser, line: &Line) {
    let extra = &mut parser.tls.extra;
    (extra.bundle, extra.ocsp, extra.issuer, extra.key) = (false, false, false, false);
    for index in 1..line.words.len() {
        let extra = &mut parser.tls.extra;
        match line.word(index) {
            "bundle" => extra.bundle = true,
            "ocsp" => extra.ocsp = true,
            "issuer" => extra.issuer = true,
            "key" => extra.key = true,
            // Signed certificate timestamps: an extension browsers ask of certificates themselves.
            "sctl" => {
                parser.no_effect(line, index, "timestamps are shown only where they stand in a certificate")
            }
            "all" => {
                (extra.bundle, extra.ocsp, extra.issuer, extra.key) = (true, true, true, true);
            }
            "none" => {}
            other => {
                let message = format!("unexpected argument '{other}' in 'ssl-load-extra-files'.");
                parser.alert(line, index, message);
            }
        }
    }
}
