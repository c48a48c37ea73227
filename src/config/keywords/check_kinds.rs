//! Checks that are neither TCP nor HTTP: programs, ping, UDP and DNS.

use crate::config::checks::from_hex;
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::keyword::{BACK, HEALTH_CHECK, Keyword, Section};
use crate::config::model::probes::{Expected, ExternalChecks, UdpCheck};
use crate::config::model::{Backend, CheckKind};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::config::suggest;
use crate::expr::Regex;
use crate::wire::dns::{Question, RecordType};

pub const TABLE: &[Keyword] = &[
    Keyword::new(
        "option external-check",
        BACK,
        "[dynamic-weight]",
        "Checks servers by running the program of 'external-check command': exit status 0 is a success. With 'dynamic-weight' (weir's own), 1 is a failure and 2 to 255 a success that sets the server's weight to the status less 2. See docs/external-checks.md.",
        external_option,
    ),
    Keyword::new(
        "external-check",
        BACK.or(HEALTH_CHECK),
        "{ command <command> | path <path> }",
        "The program of 'option external-check' (in a 'healthcheck' section: of 'type external-check'), and the PATH in which it is looked for and which it gets.",
        external_check,
    ),
    Keyword::new(
        "option ping-check",
        BACK,
        "",
        "Checks servers by an ICMP echo request: a reply is a success. The port has no meaning. weir's own.",
        |p, l| {
            if only(p, l, 2, "ping-check") {
                set(p, CheckKind::Ping);
            }
        },
    ),
    Keyword::new(
        "option udp-check",
        BACK,
        "[send <string> | send-binary <hex>] [expect { string <string> | binary <hex> | rstring <regex> }]",
        "Checks servers by a datagram, empty unless said otherwise. An ICMP error is a failure; without 'expect', an answer or silence for 'timeout check' (else for one second, or 'inter' if shorter) is a success. With it, an answer must come that contains the text. weir's own.",
        udp_check,
    ),
    Keyword::new(
        "option dns-check",
        BACK,
        "<type> <name>",
        "Checks servers by one DNS question over UDP: an answer with a record of that type is a success. weir's own.",
        dns_check,
    ),
];

fn set(parser: &mut Parser, kind: CheckKind) {
    parser.check_kind(kind);
}

fn back(parser: &mut Parser) -> Option<&mut Backend> {
    parser.draft().and_then(|d| d.proxy.back.as_mut())
}

fn only(parser: &mut Parser, line: &Line, words: usize, option: &str) -> bool {
    if line.words.len() <= words {
        return true;
    }
    let message = format!("'option {option}' cannot handle unexpected argument '{}'.", line.word(words));
    parser.alert(line, words, message);
    false
}

/// Of the `global` section.
pub fn allow_external(parser: &mut Parser, line: &Line) {
    let wanted = line.word(1);
    let allowed = match wanted {
        "" => ExternalChecks::Allowed,
        // Filled in when all of the configuration has been read.
        "preserve-env" => ExternalChecks::WithEnvironment([].into()),
        _ => {
            let message =
                format!("'external-check' only supports 'preserve-env' as an argument, found '{wanted}'.");
            let mut diagnostic = Diagnostic::at(Severity::Alert, line, 1, message);
            diagnostic.hint = suggest::hint(wanted, ["preserve-env"]);
            return parser.report(diagnostic);
        }
    };
    if parser.at_most(line, 2) {
        parser.global.external_check = allowed;
    }
}

fn external_option(parser: &mut Parser, line: &Line) {
    let dynamic_weight = line.word(2) == "dynamic-weight";
    if only(parser, line, if dynamic_weight { 3 } else { 2 }, "external-check") {
        set(parser, CheckKind::External { dynamic_weight });
    }
}

fn external_check(parser: &mut Parser, line: &Line) {
    let what = line.word(1);
    if what.is_empty() {
        return parser.alert(line, 0, "missing argument after 'external-check'.");
    }
    if !["command", "path"].contains(&what) {
        let message = format!("'external-check' only supports 'command' and 'path'. but got '{what}'.");
        let mut diagnostic = Diagnostic::at(Severity::Alert, line, 1, message);
        diagnostic.hint = suggest::hint(what, ["command", "path"]);
        return parser.report(diagnostic);
    }
    let value = line.word(2);
    if value.is_empty() {
        return parser.alert(line, 1, format!("missing argument after '{what}'."));
    }
    if !parser.at_most(line, 3) {
        return;
    }
    let program = if parser.section == Section::HealthCheck {
        &mut parser.healthcheck.external
    } else {
        let Some(back) = back(parser) else { return };
        &mut back.external
    };
    let place = if what == "command" { &mut program.command } else { &mut program.path };
    *place = Some(value.into());
}

fn udp_check(parser: &mut Parser, line: &Line) {
    match udp_words(line) {
        Ok(check) => set(parser, CheckKind::Udp(check)),
        Err((word, message)) => parser.alert(line, word, format!("'option udp-check' : {message}")),
    }
}

fn udp_words(line: &Line) -> Result<UdpCheck, (usize, String)> {
    let mut check = UdpCheck::default();
    let mut i = 2;
    while i < line.words.len() {
        let word = line.word(i);
        let value = |at: usize| match line.word(at) {
            "" => Err((i, format!("'{}' expects a value.", line.word(at - 1)))),
            value => Ok(value),
        };
        match word {
            "send" => check.send = value(i + 1)?.as_bytes().to_vec(),
            "send-binary" => check.send = hex(value(i + 1)?).ok_or_else(|| (i + 1, not_hex()))?,
            "expect" => {
                let kind = value(i + 1)?;
                let (pattern, at) = (value(i + 2)?, i + 2);
                check.expect = Some(match kind {
                    "string" => Expected::Bytes(pattern.as_bytes().to_vec()),
                    "binary" => Expected::Bytes(hex(pattern).ok_or_else(|| (at, not_hex()))?),
                    "rstring" => Expected::Regex(Regex::new(pattern, false).map_err(|e| (at, e))?),
                    _ => {
                        let message =
                            format!("'expect' supports 'string', 'binary' or 'rstring' but got '{kind}'.");
                        return Err((i + 1, message));
                    }
                });
                i += 1;
            }
            _ => return Err((i, format!("supports 'send', 'send-binary' and 'expect' but got '{word}'."))),
        }
        i += 2;
    }
    Ok(check)
}

fn not_hex() -> String {
    "expects an even number of hexadecimal digits.".to_owned()
}

fn hex(text: &str) -> Option<Vec<u8>> {
    from_hex(text.as_bytes())
}

fn dns_check(parser: &mut Parser, line: &Line) {
    let (kind, name) = (line.word(2), line.word(3));
    if kind.is_empty() || name.is_empty() {
        return parser.alert(line, 1, "'option dns-check' expects a record type and a name.");
    }
    let Some(kind) = RecordType::parse(kind) else {
        let message = format!("'option dns-check' : unknown record type '{kind}'.");
        let mut diagnostic = Diagnostic::at(Severity::Alert, line, 2, message);
        diagnostic.hint = suggest::hint(&line.word(2).to_ascii_uppercase(), RecordType::NAMES);
        return parser.report(diagnostic);
    };
    let Some(question) = Question::new(kind, name) else {
        let message = format!(
            "'option dns-check' : '{name}' is not a name (labels of 1 to 63 bytes between dots, 255 in all)."
        );
        return parser.alert(line, 3, message);
    };
    if only(parser, line, 4, "dns-check") {
        set(parser, CheckKind::Dns(question));
    }
}

#[cfg(test)]
mod tests {
    use crate::config::environment::Environment;
    use crate::config::model::probes::ExternalChecks;
    use crate::config::{Loaded, Source, load};

    fn read(text: &str) -> Result<Loaded, Vec<String>> {
        let source = Source { name: "t.cfg".into(), bytes: text.as_bytes().to_vec() };
        let environment: Environment = [("KEPT".to_owned(), "1".to_owned())].into_iter().collect();
        load(&[source], &environment).map_err(|all| all.into_iter().map(|d| d.message).collect())
    }

    fn check(line: &str, expected: &str) {
        let text = format!("backend b\n timeout connect 1s\n timeout server 1s\n {line}\n");
        match read(&text) {
            Ok(_) => assert_eq!("", expected, "{line}"),
            Err(said) => {
                assert!(!expected.is_empty() && said.iter().any(|m| m.contains(expected)), "{line}: {said:?}")
            }
        }
    }

    #[test]
    fn udp() {
        check("option udp-check", "");
        check("option udp-check send hello expect string x", "");
        check("option udp-check send-binary 00fF expect binary 01", "");
        check("option udp-check expect rstring ^a+$", "");
        check("option udp-check send", "'send' expects a value");
        check("option udp-check send-binary 0x1", "hexadecimal");
        check("option udp-check send-binary 0g", "hexadecimal");
        check("option udp-check expect string", "'string' expects a value");
        check("option udp-check expect bogus x", "'expect' supports");
        check("option udp-check expect rstring (", "'option udp-check' : ");
        check("option udp-check bogus", "but got 'bogus'");
    }

    #[test]
    fn dns_and_ping() {
        check("option dns-check A www.example.com", "");
        check("option dns-check soa .", "");
        check("option dns-check", "expects a record type and a name");
        check("option dns-check A", "expects a record type and a name");
        check("option dns-check AAAAA x", "unknown record type 'AAAAA'");
        check("option dns-check A a..b", "'a..b' is not a name");
        check("option dns-check A a b", "unexpected argument 'b'");
        check("option ping-check", "");
        check("option ping-check x", "unexpected argument 'x'");
    }

    #[test]
    fn digests() {
        check("option httpchk\n http-check expect digest 900150983cd24fb0d6963f7d28e17f72", "");
        for wrong in ["x", "900150983cd24fb0d6963f7d28e17f7", "900150983cd24fb0d6963f7d28e17f7200"] {
            check(
                &format!("option httpchk\n http-check expect digest {wrong}"),
                "'digest' expects 32 hexadecimal digits",
            );
        }
        check("option httpchk\n http-check expect digest", "expects");
        check("option tcp-check\n tcp-check expect digest 900150983cd24fb0d6963f7d28e17f72", "digest");
    }

    /// The sentences are those of Debian's haproxy.
    #[test]
    fn external() {
        check("external-check", "missing argument after 'external-check'.");
        check("external-check command", "missing argument after 'command'.");
        check("external-check path", "missing argument after 'path'.");
        check("external-check foo", "'external-check' only supports 'command' and 'path'. but got 'foo'");
        check("external-check command /x y", "'external-check' cannot handle unexpected argument 'y'.");
        check("option external-check x", "'option external-check' cannot handle unexpected argument 'x'.");
        check("option external-check dynamic-weight x", "unexpected argument 'x'.");
        check(
            "option external-check",
            "Proxy 'b' : 'option external-check' unable to find required 'global.external-check'.",
        );
        check(
            "option external-check",
            "Proxy 'b' : 'option external-check' unable to find required 'external-check command'.",
        );
        check(
            "option external-check",
            "Proxy 'b' : 'insecure-fork-wanted' not enabled in the global section, 'option external-check' will likely fail.",
        );
        check(
            "option external-check\n external-check command x",
            "Proxy 'b': 'external-check command' does not have a leading '/' and 'external-check path' is not set.",
        );
    }

    #[test]
    fn what_is_not_run_is_said() {
        let said = |lines: &str| -> Vec<String> {
            let text = format!("backend b\n timeout connect 1s\n timeout server 1s\n{lines}");
            read(&text).unwrap().diagnostics.into_iter().map(|d| d.message).collect()
        };
        assert_eq!(
            said(" external-check command /x\n external-check path /y\n"),
            [
                "'external-check command' will be ignored for backend 'b' (requires 'option external-check').",
                "'external-check path' will be ignored for backend 'b' (requires 'option external-check').",
            ]
        );
        let fixed = |lines: &str| {
            let text =
                format!("{lines}\n option external-check dynamic-weight\n external-check command /x\n");
            let text = format!("global\n external-check\n insecure-fork-wanted\nbackend b\n{text}");
            read(&text)
                .unwrap()
                .diagnostics
                .iter()
                .any(|d| d.message.contains("'dynamic-weight' changes nothing"))
        };
        assert!(fixed(" balance static-rr") && fixed(" balance source"));
        assert!(!fixed(" balance roundrobin") && !fixed(" balance source\n hash-type consistent"));
        // The option that comes last counts.
        let replaced = said(" option external-check\n option httpchk\n external-check command /x\n");
        assert_eq!(replaced.len(), 1);
    }

    #[test]
    fn the_environment_is_kept_on_request() {
        let check = |line: &str, expected: ExternalChecks| {
            let loaded = read(&format!("global\n setenv SAID 2\n external-check {line}\n")).unwrap();
            let got = match loaded.config.global.external_check {
                ExternalChecks::WithEnvironment(vars) => ExternalChecks::WithEnvironment(
                    vars.iter().filter(|(name, _)| !name.starts_with("HAPROXY_")).cloned().collect(),
                ),
                other => other,
            };
            assert_eq!(got, expected);
        };
        check("", ExternalChecks::Allowed);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        check("preserve-env", ExternalChecks::WithEnvironment([pair("KEPT", "1"), pair("SAID", "2")].into()));
        let said = read("global\n external-check preserve\n").err().unwrap();
        assert_eq!(
            said[0],
            "'external-check' only supports 'preserve-env' as an argument, found 'preserve'."
        );
    }
}
