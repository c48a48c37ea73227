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

/// A line in a frontend, in a backend with a server `s1`, or in `global`: what is said of it, and under which word.
#[track_caller]
fn about(section: &str, line: &str, word: &str, says: &[&str]) {
    let (mut global, mut front, mut back) = (String::new(), String::new(), String::new());
    match section {
        "global" => global = format!("global\n    {line}\n"),
        "frontend" => front = format!("    {line}\n"),
        _ => back = format!("    {line}\n"),
    }
    let config = format!(
        "{global}{BASE}frontend f\n    bind 127.0.0.1:8000\n{front}    default_backend b\nbackend b\n    server s1 127.0.0.1:1\n{back}"
    );
    let (_, output) = Program::Weir.check(&config);
    let lines: Vec<&str> = output.lines().collect();
    let alerts = lines.iter().filter(|l| l.contains("parsing [")).count();
    assert_eq!(alerts, 1, "{line}: one message is enough:\n{output}");
    for text in says {
        assert!(output.contains(text), "{line}: '{text}' in:\n{output}");
    }
    let source = lines
        .iter()
        .position(|l| l.trim_start_matches([' ', '|']).starts_with(line.split('\n').next().unwrap()));
    let source = source.unwrap_or_else(|| panic!("{line}: the line is shown:\n{output}"));
    assert_eq!(
        lines[source + 1].find('^'),
        lines[source].rfind(word),
        "{line}: caret under {word}:\n{output}"
    );
}

#[test]
fn a_keyword_of_another_section_is_told_where_it_belongs() {
    about("frontend", "nbthread 4", "nbthread", &["'nbthread' belongs in a 'global' section"]);
    about(
        "global",
        "timeout client 5s",
        "timeout",
        &["'timeout' belongs in a 'defaults', 'frontend' or 'listen' section"],
    );
    about(
        "global",
        "option httplog",
        "option",
        &["'httplog' belongs in a 'defaults', 'frontend', 'backend' or 'listen' section"],
    );
    about("frontend", "user x insecure-password y", "user", &["'user' belongs in a 'global', 'userlist'"]);
}

#[test]
fn times_and_addresses_say_how_they_are_written() {
    let units = "one of us, ms, s, m, h, d";
    about("backend", "timeout server 5sec", "5sec", &["unexpected character 's' in 'timeout server'", units]);
    about("backend", "timeout server 1.5s", "1.5s", &[units]);
    about("backend", "server s2 127.0.0.1:2 check inter 2seconds", "2seconds", &[units]);
    about("backend", "server s2 127.0.0.300:80", "127.0.0.300:80", &["four numbers from 0 to 255"]);
    about(
        "backend",
        "server s2 127.0.0.1 80",
        "80",
        &["a port follows the address behind a colon: '127.0.0.1:80'"],
    );
}

#[test]
fn conditions_are_explained() {
    about(
        "frontend",
        "use_backend b if HTTP and TRUE",
        "and",
        &["no such ACL : 'and'", "leave the word out"],
    );
    about("frontend", "use_backend b if HTTP && TRUE", "&&", &["leave the word out"]);
    about("frontend", "use_backend b if {path /}", "{path", &["write '{ path /x }'"]);
    about("frontend", "use_backend b if", "if", &["nothing stands after 'if': the condition never holds"]);
    about("frontend", "use_backend b unless", "unless", &["the condition always holds"]);
    about("frontend", "use_backend b if HTTP or", "if", &["nothing stands after the last 'or'"]);
    about("frontend", "acl api", "api", &["write 'acl <name> <fetch> [flags] [values]'"]);
    about("global", ".if foo(X)\n.endif", "foo(X)", &["defined()", "version_atleast()"]);
}

#[test]
fn words_of_a_list_are_suggested() {
    about("frontend", "bind 127.0.0.1:8443 ssl crtt x.pem", "crtt", &["did you mean 'crt' maybe ?"]);
    about("global", "log 127.0.0.1 local0 inf", "inf", &["did you mean 'info' maybe ?"]);
    about("global", "log 127.0.0.1 whatever", "whatever", &["facilities are kern, user"]);
    about(
        "global",
        "stats socket /tmp/x level adm",
        "adm",
        &["'level' only supports 'user', 'operator', and 'admin' (got 'adm')."],
    );
    about("frontend", "log-format %ci %cp", "%cp", &["put the whole format in quotes"]);
    about(
        "frontend",
        "http-request\u{a0}deny",
        "http-request\u{a0}deny",
        &["looks like a blank and is another (U+00A0)"],
    );
    about(
        "global",
        "setcap cap_net_bind",
        "cap_net_bind",
        &["unsupported capability 'cap_net_bind' (expects cap_net_bind_service"],
    );
}

#[test]
fn what_is_wrong_with_a_file_or_a_pattern_is_said_once() {
    about(
        "frontend",
        "http-request replace-path (a b",
        "(a",
        &["rule : regex '(a' is invalid (unclosed group)"],
    );
    about(
        "frontend",
        "acl a path -f /nonexistent",
        "/nonexistent",
        &["failed to open pattern file </nonexistent> (No such file or directory)"],
    );
    about(
        "frontend",
        "errorfile 503 /nonexistent",
        "/nonexistent",
        &["error opening file </nonexistent> (No such file or directory)."],
    );
    about(
        "backend",
        "server s2 127.0.0.1:1 ssl ca-file /nonexistent",
        "/nonexistent",
        &["unable to load /nonexistent"],
    );
}

#[test]
fn a_proxy_without_the_side_asked_for_is_named() {
    about(
        "frontend",
        "http-request set-header A %[be_conn]",
        "%[be_conn]",
        &["proxy 'f' has no backend capability: name a backend in parentheses"],
    );
    about(
        "backend",
        "http-request set-header A %[fe_conn]",
        "%[fe_conn]",
        &["proxy 'b' has no frontend capability"],
    );
    about(
        "frontend",
        "http-request set-header A %[srv_conn(s1)]",
        "%[srv_conn(s1)]",
        &["write '<backend>/s1'"],
    );
    about(
        "backend",
        "http-request set-header A %[srv_conn(s9)]",
        "%[srv_conn(s9)]",
        &["unable to find server 's9' in proxy 'b'"],
    );
}
