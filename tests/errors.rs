//! What a person sees of a wrong configuration: every error in one run, each with its place, a caret and a suggestion.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::process::Program;

const BASE: &str =
    "defaults\n    mode http\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\n";

#[test]
fn five_typos_give_five_errors() {
    let config = format!(
        "{BASE}frontend f\n    bind 127.0.0.1:8000\n    acl static path_beg /s\n    http-request set-heder X y\n    \
         use_backend web if statik\n    defualt_backend web\nbackend web\n    balance roundrobbin\n    server s 127.0.0.1:1 chek\n"
    );
    let (code, output) = Program::Weir.check(&config);
    assert_eq!(code, Some(1), "{output}");
    for (line, word, meant) in [
        (9, "set-heder", "set-header"),
        (10, "statik", "static"),
        (11, "defualt_backend", "default_backend"),
        (13, "roundrobbin", "roundrobin"),
        (14, "chek", "check"),
    ] {
        let place = format!(":{line}]");
        let alert = output.lines().position(|text| text.contains("[ALERT]") && text.contains(&place));
        let alert = alert.unwrap_or_else(|| panic!("no alert for line {line}:\n{output}"));
        let lines: Vec<&str> = output.lines().skip(alert).take(6).collect();
        let source = lines
            .iter()
            .position(|text| text.contains(word) && text.contains('|'))
            .expect("the source line is shown");
        let column = lines[source].find(word).unwrap();
        assert_eq!(lines[source + 1].find('^'), Some(column), "caret under {word}:\n{output}");
        assert!(lines.iter().any(|text| text.contains(meant)), "{word}: did you mean {meant}?\n{output}");
    }
    let alerts = output.lines().filter(|line| line.contains("[ALERT]") && line.contains("parsing [")).count();
    assert_eq!(alerts, 5, "{output}");
}

#[test]
fn a_warning_is_said_once() {
    let config = format!(
        "{BASE}frontend f\n    bind 127.0.0.1:8000\n    http-request deny if {{ res.hdr(x) y }}\n    default_backend web\nbackend web\n"
    );
    let (_, output) = Program::Weir.check(&config);
    assert_eq!(output.matches("will never match").count(), 1, "{output}");
}

#[track_caller]
fn refuses(config: &str, says: &[&str]) {
    let (code, output) = Program::Weir.check(config);
    assert_eq!(code, Some(1), "{output}");
    for text in says {
        assert!(output.contains(text), "{text} in:\n{output}");
    }
}

#[test]
fn a_missing_final_newline_is_fine() {
    let (code, output) =
        Program::Weir.check(&format!("{BASE}listen b\n    bind 127.0.0.1:8000\n    server s 127.0.0.1:1"));
    assert_eq!(code, Some(0), "{output}");
}

#[test]
fn old_timeouts_give_the_modern_line() {
    let config = "defaults\n    mode http\n    contimeout 1000\n    clitimeout 1000\n    srvtimeout 1000\nbackend b\n    server s 127.0.0.1:1\n";
    let (_, output) = Program::Weir.check(config);
    for modern in ["timeout connect", "timeout client", "timeout server"] {
        assert!(output.contains(modern), "{modern} in:\n{output}");
    }
}

#[test]
fn old_header_rules_give_the_modern_line() {
    refuses(
        &format!(
            "{BASE}frontend f\n    bind 127.0.0.1:8000\n    reqadd X-A:\\ b\n    default_backend b\nbackend b\n    server s 127.0.0.1:1\n"
        ),
        &["reqadd", "http-request add-header"],
    );
}

#[test]
fn nbproc_one_is_what_we_do_anyway() {
    let (code, output) = Program::Weir.check(&format!(
        "global\n    nbproc 1\n{BASE}listen b\n    bind 127.0.0.1:8000\n    server s 127.0.0.1:1\n"
    ));
    assert_eq!(code, Some(0), "{output}");
}

#[test]
fn a_condition_after_its_use_is_an_error_with_its_name() {
    refuses(
        &format!(
            "{BASE}frontend f\n    bind 127.0.0.1:8000\n    use_backend b if late\n    acl late path /\nbackend b\n    server s 127.0.0.1:1\n"
        ),
        &["late"],
    );
}

#[test]
fn what_is_not_built_is_refused_by_name() {
    refuses(
        &format!("{BASE}resolvers r\n    nameserver n 127.0.0.1:53\nbackend b\n    server s 127.0.0.1:1\n"),
        &["resolvers", "not supported by weir yet"],
    );
    refuses(
        &format!("{BASE}backend b\n    stick-table type ip size 1k\n    server s 127.0.0.1:1\n"),
        &["stick-table", "not supported by weir yet"],
    );
    refuses(
        &format!("{BASE}cache c\n    total-max-size 4\nbackend b\n    server s 127.0.0.1:1\n"),
        &["cache", "not supported by weir yet"],
    );
}

#[test]
fn a_file_that_is_not_there() {
    let output = Program::Weir.run(&["-c", "-f", "/nonexistent/haproxy.cfg"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent/haproxy.cfg"));
}
