//! TLS on `bind` lines: options that `crt-list` lines and `ssl-default-bind-options` share, and the line's own.

use super::bind::Settings;
use crate::config::certificates;
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::door::{DoorDraft, TlsOptions, Verify};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::config::suggest;
use crate::config::tls;
use crate::config::tls::ticket_keys;
use crate::tls::verify::Codes;
use crate::tls::{Listing, ciphers, sigalgs};

/// One option. Where it may stand beside the `bind` line: in brackets in a list, in `ssl-default-bind-options`.
pub struct SslOption {
    pub name: &'static str,
    pub args: &'static str,
    pub doc: &'static str,
    pub(super) taken: usize,
    bind: bool,
    listed: bool,
    global: bool,
    apply: fn(&mut Parser, &Line, usize, &mut TlsOptions),
}

type Apply = fn(&mut Parser, &Line, usize, &mut TlsOptions);

const fn on_bind(name: &'static str, args: &'static str, doc: &'static str, apply: Apply) -> SslOption {
    let taken = if args.is_empty() { 0 } else { 1 };
    SslOption { name, args, doc, taken, bind: true, listed: false, global: false, apply }
}

impl SslOption {
    const fn listed(mut self) -> Self {
        self.listed = true;
        self
    }

    /// Of a certificate: a line that shows several has no place for it.
    const fn only_listed(mut self) -> Self {
        (self.bind, self.listed) = (false, true);
        self
    }

    const fn global(mut self) -> Self {
        self.global = true;
        self
    }
}

pub const OPTIONS: &[SslOption] = &[
    on_bind(
        "alpn",
        "<protocols>",
        "Protocols offered by ALPN, in order of preference; 'h2,http/1.1' where nothing is said and the proxy speaks HTTP.",
        alpn,
    )
    .listed(),
    on_bind("no-alpn", "", "Offers no protocol by ALPN.", |_, _, _, o| o.alpn = Some(Vec::new())).listed(),
    on_bind(
        "allow-0rtt",
        "",
        "Takes a request before the client's handshake is done (TLS 1.3): somebody could play it again. 'http-request wait-for-handshake' \
         waits, servers see 'Early-Data: 1'.",
        |_, _, _, o| o.early = true,
    )
    .listed(),
    on_bind(
        "ca-file",
        "<file | directory | @system-ca>",
        "Authorities for clients' certificates; clients are told their names.",
        |p, l, i, o| o.authorities = tls::authorities(p, l, i),
    )
    .listed(),
    on_bind(
        "ca-verify-file",
        "<file | directory>",
        "Further authorities, whose names clients are not told.",
        |p, l, i, o| o.more_authorities = tls::authorities(p, l, i),
    )
    .listed(),
    on_bind("ciphers", "<ciphers>", "Cipher string of TLS 1.2.", |p, l, i, o| {
        o.ciphers = read_ciphers(p, l, i + 1, "ciphers", ciphers::ciphers);
    })
    .listed(),
    on_bind("ciphersuites", "<suites>", "Suites of TLS 1.3.", |p, l, i, o| {
        o.ciphersuites = read_ciphers(p, l, i + 1, "ciphersuites", ciphers::ciphersuites);
    })
    .listed(),
    on_bind(
        "crl-file",
        "<file>",
        "Revocation lists clients' certificates are looked up in.",
        |p, l, i, o| o.revocations = tls::revocations(p, l, i + 1),
    )
    .listed(),
    on_bind(
        "crt-ignore-err",
        "<errors>",
        "Faults of the client's own certificate that are let pass: 'all', or numbers and names of OpenSSL.",
        |p, l, i, o| o.ignored = codes(p, l, i),
    ),
    on_bind(
        "ca-ignore-err",
        "<errors>",
        "Faults of the certificates above the client's that are let pass.",
        |p, l, i, o| o.ignored_above = codes(p, l, i),
    ),
    on_bind("client-sigalgs", "<algorithms>", "What clients may sign with to prove their certificate.", |p, l, i, o| {
        o.client_sigalgs = read_sigalgs(p, l, i + 1, "client-sigalgs");
    })
    .listed(),
    on_bind("curves", "<curves>", "Key exchange groups, in order of preference.", curves).listed(),
    on_bind("ecdhe", "<curve>", "The one key exchange group; 'curves' says more.", curves).listed(),
    on_bind("force-sslv3", "", "SSLv3 only, which weir does not speak.", versions).global(),
    on_bind("force-tlsv10", "", "TLSv1.0 only, which weir does not speak.", versions).global(),
    on_bind("force-tlsv11", "", "TLSv1.1 only, which weir does not speak.", versions).global(),
    on_bind("force-tlsv12", "", "TLSv1.2 only.", versions).global(),
    on_bind("force-tlsv13", "", "TLSv1.3 only.", versions).global(),
    on_bind("no-ca-names", "", "Tells clients no names of authorities.", |_, _, _, o| o.unnamed = true)
        .listed(),
    on_bind("no-sslv3", "", "No SSLv3: there is none in weir.", versions).global(),
    on_bind("no-tlsv10", "", "No TLSv1.0: there is none in weir.", versions).global(),
    on_bind("no-tlsv11", "", "No TLSv1.1: there is none in weir.", versions).global(),
    on_bind("no-tlsv12", "", "No TLSv1.2.", versions).global(),
    on_bind("no-tlsv13", "", "No TLSv1.3.", versions).global(),
    on_bind("no-strict-sni", "", "Shows the default certificate where no name fits.", |_, _, _, o| {
        o.strict = Some(false);
    })
    .global(),
    on_bind("no-tls-tickets", "", "No stateless tickets.", |_, _, _, o| o.no_tickets = true).global(),
    on_bind(
        "ocsp-update",
        "<on | off>",
        "Keeps the certificate's OCSP response fresh: the responder it names is asked, over HTTP, as long as it is shown. Only in lists, and on \
         'load' lines.",
        |p, l, i, o| o.fresh = on_or_off(p, l, i),
    )
    .only_listed(),
    on_bind(
        "tls-ticket-keys",
        "<file>",
        "The keys of tickets: at least three, of 48 or of 80 bytes in base64, a line each. The last but one makes tickets.",
        |p, l, i, o| o.ticket_keys = ticket_keys::read(p, l, i + 1),
    ),
    on_bind("tls-tickets", "", "Stateless tickets, as without a word.", |_, _, _, o| o.no_tickets = false)
        .global(),
    on_bind("prefer-client-ciphers", "", "The client's order of ciphers decides.", |_, _, _, o| {
        o.client_order = true;
    })
    .global(),
    on_bind(
        "sigalgs",
        "<algorithms>",
        "What the certificate's key may sign with, in order of preference: 'ECDSA+SHA256:RSA-PSS+SHA256' and the like.",
        |p, l, i, o| o.sigalgs = read_sigalgs(p, l, i + 1, "sigalgs"),
    )
    .listed(),
    on_bind("ssl-max-ver", "<version>", "The newest version spoken: 'TLSv1.2' or 'TLSv1.3'.", versions)
        .listed()
        .global(),
    on_bind(
        "ssl-min-ver",
        "<version>",
        "The oldest version spoken: 'TLSv1.2' or 'TLSv1.3'; older ones are read and not spoken.",
        versions,
    )
    .listed()
    .global(),
    on_bind("strict-sni", "", "Refuses clients whose name no certificate fits.", |_, _, _, o| {
        o.strict = Some(true);
    })
    .global(),
    on_bind(
        "verify",
        "<none | optional | required>",
        "Whether clients are asked for a certificate, and must have one.",
        verify,
    )
    .listed(),
];

/// `ocsp-update`; `None`: neither, and that is reported.
pub(super) fn on_or_off(parser: &mut Parser, line: &Line, i: usize) -> Option<bool> {
    match line.word(i + 1) {
        "on" => Some(true),
        "off" => Some(false),
        _ => {
            parser.alert(line, i + 1, format!("'{}' : expecting <on|off>", line.word(i)));
            None
        }
    }
}

/// What a `bind` line says of TLS.
#[derive(Default)]
pub(super) struct SslDraft {
    on: bool,
    options: TlsOptions,
    sources: Vec<certificates::Source>,
    pub(super) broken: bool,
}

/// Options about certificates, and `ssl` itself: of the `bind` line alone.
pub const OWN: &[(&str, &str, &str)] = &[
    ("ssl", "", "Clients speak TLS."),
    (
        "crt",
        "<file | directory>",
        "Certificate, chain and key in PEM; several may be given, the first is shown where no name fits. A directory \
         stands for all its files.",
    ),
    ("default-crt", "<file>", "As 'crt', and shown where no name fits."),
    (
        "crt-list",
        "<file>",
        "Certificates listed in a file, a line each: '<file> [<options>] <names>'. Names may begin with '*.' or '!'.",
    ),
];

/// Applies the option at word `i`; answers the words it took beside its own, or `None` where it is no option of TLS.
pub(super) fn apply(parser: &mut Parser, line: &Line, i: usize, settings: &mut Settings) -> Option<usize> {
    let word = line.word(i);
    let draft = &mut settings.ssl;
    let context = format!("'bind {}' in section '{}'", line.word(1), parser.section.name());
    if let Some(option) = OPTIONS.iter().find(|o| o.name == word) {
        if !option.bind {
            let message = format!("{context} : '{word}' is no option of 'bind' lines.");
            let diagnostic = Diagnostic::at(Severity::Alert, line, i, message);
            parser.report(diagnostic.hint(
                "it belongs on the certificate's line in a crt-list or on its 'load' line in a crt-store; 'ocsp-update.mode on' in the global section is for all",
            ));
            return Some(option.taken);
        }
        let before = parser.diagnostics.len();
        (option.apply)(parser, line, i, &mut draft.options);
        for said in parser.diagnostics.get_mut(before..).unwrap_or_default() {
            said.message = format!("{context} : {}", said.message);
        }
        return Some(option.taken);
    }
    match word {
        "ssl" => {
            draft.on = true;
            Some(0)
        }
        "crt" | "default-crt" => {
            match certificates::open(parser, line, line.word(i + 1)) {
                Ok(found) => {
                    let is_default = word == "default-crt";
                    certificates::doubts(parser, line, i + 1, &found);
                    certificates::claim(parser, line, i + 1, &found, None);
                    let found = found.into_iter().map(|s| certificates::Source { is_default, ..s });
                    draft.sources.extend(found);
                }
                Err(message) => {
                    parser.alert(line, i + 1, format!("{context} : {message}"));
                    draft.broken = true;
                }
            }
            Some(1)
        }
        "crt-list" => {
            match certificates::list(parser, line, i + 1) {
                Some(found) => draft.sources.extend(found),
                None => draft.broken = true,
            }
            Some(1)
        }
        _ => None,
    }
}

/// All options of TLS.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    OPTIONS.iter().map(|o| o.name).chain(OWN.iter().map(|(name, ..)| *name))
}

/// Words that `word` takes, if it is an option of TLS.
pub(super) fn taken(word: &str) -> Option<usize> {
    let own =
        || OWN.iter().find(|(name, ..)| *name == word).map(|(_, args, _)| usize::from(!args.is_empty()));
    OPTIONS.iter().find(|o| o.name == word).map(|o| o.taken).or_else(own)
}

/// Leaves the draft of a door for the listeners `binds` of the current proxy.
pub(super) fn finish(parser: &mut Parser, line: &Line, settings: Settings, binds: std::ops::Range<usize>) {
    let SslDraft { on, options, sources, broken } = settings.ssl;
    if !on {
        if !sources.is_empty() {
            parser.diag(line, 1, format!("'bind {}' : 'crt' has no effect without 'ssl'.", line.word(1)));
        }
        return;
    }
    let door = DoorDraft { line: line.clone(), binds, options, sources, broken };
    if let Some(draft) = parser.draft() {
        draft.doors.push(door);
    }
}

/// The options between brackets of a list's line; `None`: one was wrong, and reported.
pub fn listed_options(parser: &mut Parser, line: &Line) -> Option<TlsOptions> {
    sequence(parser, line, 0, |option| option.listed, "crt-list")
}

/// `ssl-f-use crt <file> [<option>]...`
pub fn front_certificate(parser: &mut Parser, line: &Line) {
    let Some(at) = line.words.iter().position(|w| w.text == "crt").filter(|_| line.words.len() > 2) else {
        return parser.alert(line, 0, "'ssl-f-use' : mandatory 'crt' parameter not found.");
    };
    let file = line.word(at + 1).to_owned();
    let mut words = line.words.clone();
    words.drain(at..(at + 2).min(line.words.len()));
    words.remove(0);
    let written: Vec<&str> = words.iter().map(|w| w.text.as_str()).collect();
    let written = (!words.is_empty()).then(|| written.join(" ").into());
    let inner = Line { words, ..line.clone() };
    let Some(options) = listed_options(parser, &inner) else { return };
    match certificates::open(parser, line, &file) {
        Ok(sources) => {
            certificates::claim(parser, line, at + 1, &sources, options.fresh);
            if let Some(draft) = parser.draft() {
                let (list, number) = (format!("@{}", draft.proxy.name).into(), line.place.line);
                let list = Some(Listing { list, number, directory: false });
                draft.uses.extend(sources.into_iter().map(|s| certificates::Source {
                    options: written.is_some().then(|| options.clone()),
                    written: written.clone(),
                    list: list.clone(),
                    ..s
                }));
            }
        }
        Err(message) => parser.alert(line, at + 1, format!("'ssl-f-use' : {message}")),
    }
}

/// `ssl-default-bind-options`
pub fn global_options(parser: &mut Parser, line: &Line) {
    if let Some(options) = sequence(parser, line, 1, |option| option.global, "ssl-default-bind-options") {
        parser.tls.bind_defaults = options.over(&parser.tls.bind_defaults);
    }
}

fn sequence(
    parser: &mut Parser,
    line: &Line,
    first: usize,
    allowed: fn(&SslOption) -> bool,
    context: &str,
) -> Option<TlsOptions> {
    let mut options = TlsOptions::default();
    let mut i = first;
    while i < line.words.len() {
        let word = line.word(i);
        let Some(option) = OPTIONS.iter().find(|o| o.name == word && allowed(o)) else {
            let message = if super::bind::UNSUPPORTED.contains(&word) {
                format!("'{context}' : '{word}' is not supported by weir yet")
            } else {
                format!("'{context}' : unknown keyword '{word}'.")
            };
            let mut diagnostic = Diagnostic::at(Severity::Alert, line, i, message);
            let names = OPTIONS.iter().filter(|o| allowed(o)).map(|o| o.name);
            diagnostic.hint = suggest::hint(word, names);
            parser.report(diagnostic);
            return None;
        };
        if line.words.len() <= i + option.taken {
            parser.alert(line, i, format!("'{context}' : '{word}' expects {} as argument.", option.args));
            return None;
        }
        (option.apply)(parser, line, i, &mut options);
        i += 1 + option.taken;
    }
    Some(options)
}

fn versions(parser: &mut Parser, line: &Line, i: usize, options: &mut TlsOptions) {
    let (option, argument) = (line.word(i), line.word(i + 1));
    if !options.versions.note(option, argument) {
        parser.alert(line, i + 1, tls::unknown_version(option, argument));
    } else if option.ends_with("-ver") && tls::Versions::is_old(argument) {
        parser.warning(line, i + 1, format!("'{argument}' : weir speaks TLSv1.2 and TLSv1.3 only."));
    }
}

/// The `ciphers`, `ciphersuites` at word `index`; names without effect are warned about in one line.
pub fn read_ciphers(
    parser: &mut Parser,
    line: &Line,
    index: usize,
    what: &str,
    read: fn(&str) -> ciphers::Chosen,
) -> Option<Vec<rustls::SupportedCipherSuite>> {
    let chosen = read(line.word(index));
    if !chosen.missing.is_empty() {
        let message = format!("'{what}' : weir has no {}: left out.", chosen.missing.join(", "));
        parser.warning(line, index, message);
    }
    Some(chosen.suites)
}

fn curves(parser: &mut Parser, line: &Line, i: usize, options: &mut TlsOptions) {
    options.curves = read_curves(parser, line, i + 1, line.word(i));
}

/// `None`: none is left, and that is reported.
pub fn read_curves(
    parser: &mut Parser,
    line: &Line,
    index: usize,
    what: &str,
) -> Option<Vec<&'static dyn rustls::crypto::SupportedKxGroup>> {
    let (groups, missing) = ciphers::groups(line.word(index));
    if groups.is_empty() {
        let message = format!("'{what}' : unable to set SSL curves list to '{}'", line.word(index));
        parser.alert(line, index, message);
        return None;
    }
    if !missing.is_empty() {
        parser.warning(line, index, format!("'{what}' : weir has no {}: left out.", missing.join(", ")));
    }
    Some(groups)
}

/// `None`: none is left, and that is reported.
pub fn read_sigalgs(
    parser: &mut Parser,
    line: &Line,
    index: usize,
    what: &str,
) -> Option<Vec<rustls::SignatureScheme>> {
    let (schemes, missing) = sigalgs::read(line.word(index));
    if schemes.is_empty() {
        let message = format!("'{what}' : weir has no signature algorithm of '{}'", line.word(index));
        parser.alert(line, index, message);
        return None;
    }
    if !missing.is_empty() {
        parser.warning(line, index, format!("'{what}' : weir has no {}: left out.", missing.join(", ")));
    }
    Some(schemes)
}

fn alpn(parser: &mut Parser, line: &Line, i: usize, options: &mut TlsOptions) {
    let mut protocols = Vec::new();
    for name in line.word(i + 1).split(',') {
        if name.is_empty() || name.len() > 255 {
            return parser.alert(line, i + 1, "'alpn' : each protocol has from 1 to 255 characters.");
        }
        if name == "h3" {
            let message = format!("'alpn' : weir does not speak '{name}' yet: it is not offered.");
            parser.warning(line, i + 1, message);
        } else {
            protocols.push(name.as_bytes().to_vec());
        }
    }
    options.alpn = Some(protocols);
}

fn verify(parser: &mut Parser, line: &Line, i: usize, options: &mut TlsOptions) {
    options.verify = match line.word(i + 1) {
        "none" => Some(Verify::None),
        "optional" => Some(Verify::Optional),
        "required" => Some(Verify::Required),
        other => {
            let message = format!(
                "'verify' : unknown verify method '{other}', only 'none', 'optional', and 'required' are supported"
            );
            return parser.alert(line, i + 1, message);
        }
    };
}

/// `all`, or OpenSSL's numbers or names (`X509_V_ERR_CERT_HAS_EXPIRED`), separated by commas.
fn codes(parser: &mut Parser, line: &Line, i: usize) -> Option<Codes> {
    let text = line.word(i + 1);
    if text == "all" {
        return Some(Codes::ALL);
    }
    let mut codes = Codes::default();
    for word in text.split(',') {
        let named = || ERRORS.iter().find(|(name, _)| *name == word).map(|(_, code)| *code);
        match word.parse::<u8>().ok().filter(|n| (1..=94).contains(n)).or_else(named) {
            Some(code) => codes.add(code),
            None => {
                let message = format!(
                    "'{}' : ID '{word}' out of range (1..94) in error IDs list '{text}'",
                    line.word(i)
                );
                parser.alert(line, i + 1, message);
                return None;
            }
        }
    }
    Some(codes)
}

/// OpenSSL's names of what can be wrong with a certificate.
const ERRORS: &[(&str, u8)] = &[
    ("X509_V_ERR_UNSPECIFIED", 1),
    ("X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT", 2),
    ("X509_V_ERR_UNABLE_TO_GET_CRL", 3),
    ("X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE", 4),
    ("X509_V_ERR_UNABLE_TO_DECRYPT_CRL_SIGNATURE", 5),
    ("X509_V_ERR_UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY", 6),
    ("X509_V_ERR_CERT_SIGNATURE_FAILURE", 7),
    ("X509_V_ERR_CRL_SIGNATURE_FAILURE", 8),
    ("X509_V_ERR_CERT_NOT_YET_VALID", 9),
    ("X509_V_ERR_CERT_HAS_EXPIRED", 10),
    ("X509_V_ERR_CRL_NOT_YET_VALID", 11),
    ("X509_V_ERR_CRL_HAS_EXPIRED", 12),
    ("X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT", 18),
    ("X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN", 19),
    ("X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY", 20),
    ("X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE", 21),
    ("X509_V_ERR_CERT_CHAIN_TOO_LONG", 22),
    ("X509_V_ERR_CERT_REVOKED", 23),
    ("X509_V_ERR_INVALID_CA", 24),
    ("X509_V_ERR_PATH_LENGTH_EXCEEDED", 25),
    ("X509_V_ERR_INVALID_PURPOSE", 26),
    ("X509_V_ERR_CERT_UNTRUSTED", 27),
    ("X509_V_ERR_CERT_REJECTED", 28),
];
