//! The `cookie` line of backends and its key.

use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::keyword::{BACK, Keyword};
use crate::config::model::{Cookie, CookieMode};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::config::suggest;
use crate::config::units::Unit;

pub const TABLE: &[Keyword] = &[
    Keyword::new(
        "cookie",
        BACK,
        "<name> [rewrite | insert | prefix] [indirect] [nocache] [postonly] [preserve] [httponly] [secure] \
         [domain <domain>]* [maxidle <idle>] [maxlife <life>] [dynamic] [attr <value>]*",
        "Persistence by a cookie. A bare 'cookie <name>' reads the cookie and writes none.",
        cookie,
    ),
    Keyword::new(
        "dynamic-cookie-key",
        BACK,
        "<string>",
        "The secret that 'cookie ... dynamic' makes servers' values from.",
        |p, l| {
            if let Some(key) = p.text(l, 1, "a key")
                && let Some(back) = p.draft().and_then(|d| d.proxy.back.as_mut())
            {
                back.dynamic_cookie_key = Some(key);
            }
        },
    ),
];

const OPTIONS: &[&str] = &[
    "rewrite", "insert", "prefix", "indirect", "nocache", "postonly", "preserve", "httponly", "secure",
    "domain", "maxidle", "maxlife", "dynamic", "attr",
];

fn cookie(parser: &mut Parser, line: &Line) {
    let Some(name) = parser.text(line, 1, "<cookie_name>") else { return };
    let mut cookie = Cookie {
        name,
        mode: CookieMode::Passive,
        indirect: false,
        nocache: false,
        postonly: false,
        preserve: false,
        httponly: false,
        secure: false,
        domains: Vec::new(),
        maxidle: None,
        maxlife: None,
        dynamic: false,
        attrs: Vec::new(),
    };
    let mut modes = 0;
    let mut i = 2;
    while i < line.words.len() {
        match line.word(i) {
            mode @ ("rewrite" | "insert" | "prefix") => {
                modes += 1;
                cookie.mode = match mode {
                    "rewrite" => CookieMode::Rewrite,
                    "insert" => CookieMode::Insert,
                    _ => CookieMode::Prefix,
                };
            }
            "indirect" => cookie.indirect = true,
            "nocache" => cookie.nocache = true,
            "postonly" => cookie.postonly = true,
            "preserve" => cookie.preserve = true,
            "httponly" => cookie.httponly = true,
            "secure" => cookie.secure = true,
            "dynamic" => cookie.dynamic = true,
            "domain" => {
                i += 1;
                if !domain(parser, line, i, &mut cookie) {
                    return;
                }
            }
            word @ ("maxidle" | "maxlife") => {
                i += 1;
                let Some(time) = parser.duration(line, i, Unit::Seconds) else { return };
                if word == "maxidle" {
                    cookie.maxidle = Some(time);
                } else {
                    cookie.maxlife = Some(time);
                }
            }
            "attr" => {
                i += 1;
                let Some(value) = parser.text(line, i, "<value>") else { return };
                if value.contains(|c: char| c.is_ascii_control() || c == ';') {
                    parser.alert(line, i, "cookie : 'attr' contains a control character or a semi-colon");
                    return;
                }
                cookie.attrs.push(value);
            }
            other => {
                let message = "'cookie' supports 'rewrite', 'insert', 'prefix', 'indirect', 'nocache', 'postonly', 'preserve', 'httponly', 'secure', 'domain', 'maxidle', 'maxlife', 'dynamic' and 'attr' options.";
                let mut diagnostic = Diagnostic::at(Severity::Alert, line, i, message);
                diagnostic.hint = suggest::hint(other, OPTIONS.iter().copied());
                return parser.report(diagnostic);
            }
        }
        i += 1;
    }
    if modes > 1 {
        return parser.alert(line, 2, "cookie 'rewrite', 'insert' and 'prefix' modes are incompatible.");
    }
    if let Some(back) = parser.draft().and_then(|d| d.proxy.back.as_mut()) {
        back.cookie = Some(cookie);
    }
}

fn domain(parser: &mut Parser, line: &Line, index: usize, cookie: &mut Cookie) -> bool {
    let Some(domain) = parser.text(line, index, "<domain>") else { return false };
    if !domain.contains('.') {
        // Browsers refuse a cookie whose domain has no dot (RFC 2965 terms); HAProxy only warns.
        parser.warning(line, index, format!("domain '{domain}' contains no embedded dot, this configuration may not work properly (see RFC 6265#5.1.3)."));
    }
    cookie.domains.push(domain);
    true
}
