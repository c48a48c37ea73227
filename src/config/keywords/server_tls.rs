//! The options of `server` lines that say how TLS is spoken to the server.

use super::bind_ssl;
use super::server::{ServerOption, option};
use crate::config::checks;
use crate::config::draft::{Reference, ServerDraft};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::config::tls;
use crate::expr::{Expr, Scope, Site};
use std::sync::Arc;

const LEFT_OUT: &str = "This version of TLS is not spoken; weir speaks 1.2 and 1.3 only.";
const FORCED: &str = "No other version of TLS is spoken.";

pub const OPTIONS: &[ServerOption] = &[
    option(
        "ssl",
        "",
        "Connections to the server are TLS ones (1.2 or 1.3); its checks too.",
        0,
        |_, _, _, s| {
            s.tls.on = true;
            s.tls.asked = true;
        },
    ),
    option("no-ssl", "", "Undoes 'ssl'.", 0, |_, _, _, s| s.tls.on = false),
    option(
        "ca-file",
        "<cafile>",
        "The certificates that servers' are verified against: a file, a directory, or @system-ca.",
        1,
        tls::ca_file,
    ),
    option("verify", "[none|required]", "Whether the server's certificate is verified.", 1, tls::verify),
    option("verifyhost", "<hostname>", "The name the server's certificate must be for.", 1, |p, l, i, s| {
        s.tls.host = p.text(l, i + 1, "a host name");
    }),
    option(
        "crl-file",
        "<crlfile>",
        "Lists of revoked certificates; with it, each authority of a chain must have a list.",
        1,
        |p, l, i, s| s.tls.crl = reference(p, l, i),
    ),
    option(
        "crt",
        "<cert>",
        "The certificate shown to a server that asks for one: PEM, with its key.",
        1,
        |p, l, i, s| {
            s.tls.crt = reference(p, l, i);
        },
    ),
    option(
        "sni",
        "<expression>",
        "The name asked for, evaluated for each connection; with 'verify required' the certificate must be for it. \
         An idle connection is used again for the same name only.",
        1,
        sni,
    ),
    option(
        "alpn",
        "<protocols>",
        "The protocols offered, with commas between; HTTP/2 is spoken where 'h2' is agreed upon.",
        1,
        |p, l, i, s| match checks::alpn(l.word(i + 1)) {
            Some(names) => s.tls.alpn = names,
            None => p.alert(l, i + 1, "'alpn' : a protocol's name has 1 to 255 characters."),
        },
    ),
    option("no-alpn", "", "Undoes 'alpn'.", 0, |_, _, _, s| s.tls.alpn.clear()),
    option(
        "ciphers",
        "<ciphers>",
        "The suites of TLS 1.2, as OpenSSL's cipher strings choose them.",
        1,
        |p, l, i, s| s.tls.ciphers = reference(p, l, i),
    ),
    option(
        "ciphersuites",
        "<ciphersuites>",
        "The suites of TLS 1.3, with colons between.",
        1,
        |p, l, i, s| {
            s.tls.ciphersuites = reference(p, l, i);
        },
    ),
    option(
        "curves",
        "<curves>",
        "Key exchange groups offered to the server, in order of preference.",
        1,
        |p, l, i, s| s.tls.preferences.curves = bind_ssl::read_curves(p, l, i + 1, "curves"),
    ),
    option("sigalgs", "<algorithms>", "What the server may sign with.", 1, |p, l, i, s| {
        s.tls.preferences.sigalgs = bind_ssl::read_sigalgs(p, l, i + 1, "sigalgs");
    }),
    option("client-sigalgs", "<algorithms>", "What the key of 'crt' may sign with.", 1, |p, l, i, s| {
        s.tls.preferences.client_sigalgs = bind_ssl::read_sigalgs(p, l, i + 1, "client-sigalgs");
    }),
    option("ssl-min-ver", "<version>", "The oldest version of TLS spoken.", 1, version),
    option("ssl-max-ver", "<version>", "The newest version of TLS spoken.", 1, version),
    option("no-sslv3", "", LEFT_OUT, 0, version),
    option("no-tlsv10", "", LEFT_OUT, 0, version),
    option("no-tlsv11", "", LEFT_OUT, 0, version),
    option("no-tlsv12", "", LEFT_OUT, 0, version),
    option("no-tlsv13", "", LEFT_OUT, 0, version),
    option("force-sslv3", "", FORCED, 0, version),
    option("force-tlsv10", "", FORCED, 0, version),
    option("force-tlsv11", "", FORCED, 0, version),
    option("force-tlsv12", "", FORCED, 0, version),
    option("force-tlsv13", "", FORCED, 0, version),
    option("no-ssl-reuse", "", "Each connection begins a session of its own.", 0, |_, _, _, s| {
        s.tls.no_reuse = true;
    }),
    option("ssl-reuse", "", "Undoes 'no-ssl-reuse'.", 0, |_, _, _, s| s.tls.no_reuse = false),
    option(
        "no-tls-tickets",
        "",
        "TLS 1.2 sessions are taken up by their number, not by a ticket.",
        0,
        |_, _, _, s| {
            s.tls.no_tickets = true;
        },
    ),
    option("tls-tickets", "", "Undoes 'no-tls-tickets'.", 0, |_, _, _, s| s.tls.no_tickets = false),
];

fn reference(parser: &mut Parser, line: &Line, i: usize) -> Option<Reference> {
    let name = parser.text(line, i + 1, "a name")?;
    Some(Reference { name, line: line.clone(), word: i + 1 })
}

fn version(parser: &mut Parser, line: &Line, i: usize, draft: &mut ServerDraft) {
    if !draft.tls.versions.note(line.word(i), line.word(i + 1)) {
        parser.alert(line, i + 1, tls::unknown_version(line.word(i), line.word(i + 1)));
    }
}

fn sni(parser: &mut Parser, line: &Line, i: usize, draft: &mut ServerDraft) {
    let empty = Scope::default();
    let scope = parser.drafts.last().map_or(&empty, |d| &d.scope);
    match Expr::parse(&[line.word(i + 1)], Site::Balance, scope) {
        Ok((expr, _)) => draft.tls.sni = Some(Arc::new(expr)),
        Err(error) => parser.expr_error(line, i + 1, "'sni'", error),
    }
}
