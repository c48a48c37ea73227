//! What a reload makes of a difference.

use super::Changed;
use crate::config::keywords;

pub(super) const NEW_PROCESS: &str = "needs a new process: a reload is refused";

/// The first section in `mode l4` comes, the last one goes, or one among others changes.
pub(super) fn of_l4(begins: bool, ends: bool) -> &'static str {
    match (begins, ends) {
        (true, _) => "forwarding begins",
        (_, true) => "forwarding ends, with its flows",
        _ => "new flows",
    }
}

const LATER: &str = "takes effect with a new process";
const CHECKS: &str = "checks from the next on";
const NEW: &str = "new connections";

fn kind(section: &str) -> &str {
    section.split(' ').next().unwrap_or_default()
}

/// A section that comes or goes.
pub(super) fn of_section(section: &str, change: &str) -> &'static str {
    match (kind(section), change) {
        ("frontend" | "listen", "added") => "its addresses are bound before anything else changes",
        ("frontend" | "listen", _) => "its addresses are closed; its connections finish",
        ("backend", "added") => "its checks begin",
        ("backend", _) => "its connections finish; its checks end",
        ("vrrp", "added") => "begins as backup",
        ("vrrp", _) => "stops at once, so that another node takes its addresses",
        ("vrrp-group" | "vrrp-script", _) => OF_ROUTERS,
        _ => "what refers to it changes",
    }
}

/// A file that a line names has other contents.
pub(super) fn of_file(words: &[String]) -> &'static str {
    let first = words.first().map_or("", String::as_str);
    let rest = words.get(1..).unwrap_or_default();
    match first {
        "bind" | "load" | "ssl-dh-param-file" => "new handshakes",
        "server" | "default-server" | "server-template" => "new connections; idle ones are not used again",
        _ if rest.iter().any(|w| w == "crt") => "new handshakes",
        _ => NEW,
    }
}

/// A line of a section that stays.
pub(super) fn of_line(section: &str, key: &str, change: &Changed) -> &'static str {
    let name = key.split(' ').next().unwrap_or_default();
    match kind(section) {
        "vrrp" => return of_vrrp(name, change),
        "vrrp-group" | "vrrp-script" => return OF_ROUTERS,
        "global" => return of_global(key),
        "defaults" => return "new connections of the proxies that take it from here",
        "crt-store" => return "new handshakes",
        "mailers" => return "letters from now on",
        "ring" => return "the ring begins empty",
        _ => {}
    }
    match (name, change) {
        ("bind", Changed::Added) => "bound before anything else changes",
        ("bind", Changed::Removed) => "closed; its connections finish",
        ("bind", Changed::Words(words)) => of_bind(words),
        ("server" | "server-template", Changed::Added) => {
            "takes part at once, unless its check says otherwise"
        }
        ("server" | "server-template", Changed::Removed) => "its connections finish",
        ("server" | "server-template", Changed::Words(words)) => of_server(words),
        ("disabled", Changed::Added) => "its addresses are closed; its connections finish",
        ("disabled", _) => "its addresses are bound before anything else changes",
        ("balance" | "hash-type", _) => "new connections; states and counters stay",
        ("maxconn", _) => "at once",
        ("http-check" | "tcp-check" | "external-check", _) => CHECKS,
        ("timeout", _) if key == "timeout check" => CHECKS,
        ("option", _) if key.ends_with("chk") || key.ends_with("-check") || key.ends_with("-checks") => {
            CHECKS
        }
        ("email-alert", _) => "letters from now on",
        ("load-server-state-from-file", _) => LATER,
        ("log" | "log-format" | "log-tag" | "error-log-format", _) => "new connections' lines",
        _ => NEW,
    }
}

const OF_ROUTERS: &str = "at once; routers stay in their states";

fn of_vrrp(name: &str, change: &Changed) -> &'static str {
    match (name, change) {
        // A second one is another way to the same routers.
        ("interface", Changed::Lines) => "at once; another router, if it is the first one",
        ("interface" | "virtual-router-id" | "use-vmac", _) => {
            "another router: the one before stops at once, this one begins as backup"
        }
        ("priority", _) => "with the next advert; the state stays unless the protocol says otherwise",
        ("address" | "route" | "rule", _) => {
            "put and taken at once where this node is master, which it stays"
        }
        ("state" | "start-delay", _) => LATER,
        _ => OF_ROUTERS,
    }
}

/// The name of an option that has changed.
fn name((old, new): &(String, String)) -> &str {
    let text = if new.is_empty() { old } else { new };
    text.split(' ').next().unwrap_or_default()
}

fn begins(words: &[(String, String)], names: &[&str]) -> bool {
    words.iter().all(|word| names.contains(&name(word)))
}

/// What can be set on a socket that listens.
const SETTING: &[&str] = &["backlog", "defer-accept", "tfo", "transparent", "mss", "tcp-ut"];

const OF_FILE: &[&str] = &["mode", "user", "group", "uid", "gid"];

const OTHER_SOCKET: &[&str] = &["v4v6", "v6only", "interface"];

fn of_bind(words: &[(String, String)]) -> &'static str {
    if words.iter().all(|word| keywords::is_tls_of_bind(name(word))) {
        "new handshakes"
    } else if words.iter().any(|word| OTHER_SOCKET.contains(&name(word))) {
        "another socket at the same address; who waits in the old one is served"
    } else if words.iter().any(|word| SETTING.contains(&name(word))) {
        "new connections; the socket stays"
    } else if words.iter().any(|word| OF_FILE.contains(&name(word))) {
        "at once; the socket stays"
    } else {
        NEW
    }
}

const OF_CHECKS: &[&str] = &[
    "check",
    "inter",
    "fastinter",
    "downinter",
    "rise",
    "fall",
    "port",
    "addr",
    "agent-check",
    "agent-port",
    "agent-inter",
    "agent-addr",
    "agent-send",
    "check-ssl",
    "check-sni",
    "check-alpn",
    "check-proto",
    "observe",
    "error-limit",
    "on-error",
    "check-send-proxy",
];

fn of_server(words: &[(String, String)]) -> &'static str {
    let gone = |name: &str| words.iter().any(|(a, b)| a == name && b.is_empty());
    let come = |name: &str| words.iter().any(|(a, b)| a.is_empty() && b == name);
    if begins(words, &["weight"]) {
        "no connection affected; a weight set by command gives way"
    } else if begins(words, OF_CHECKS) && gone("check") {
        "not checked any more: up"
    } else if begins(words, OF_CHECKS) && come("check") {
        "checked from now on; up until a check fails"
    } else if begins(words, OF_CHECKS) {
        "checks go on from the last result"
    } else if begins(words, &["maxconn", "minconn", "maxqueue", "slowstart", "backup", "cookie"]) {
        NEW
    } else if begins(words, &["disabled", "enabled"]) {
        "its state is what the configuration says"
    } else {
        "new connections; idle ones are not used again"
    }
}

fn of_global(key: &str) -> &'static str {
    match key.split(' ').next().unwrap_or_default() {
        "user" | "group" | "uid" | "gid" | "chroot" | "daemon" | "pidfile" | "master-worker"
        | "localpeer" | "l4-sync" | "server-state-base" | "server-state-file" | "stats-file" | "setcap" => {
            LATER
        }
        "set-var" | "set-var-fmt" => "set at once",
        "nbthread" => "threads begin or end; no connection affected",
        "cpu-map" => "threads are bound anew; no connection affected",
        "maxconn" | "maxconnrate" | "maxsessrate" | "maxsslrate" | "maxsslconn" | "node" | "description"
        | "anonkey" => "at once",
        "profiling.tasks" => "at once",
        "ulimit-n" | "fd-hard-limit" | "strict-limits" => "at once, as far as the process may",
        "hard-stop-after" => "counts for connections that begin with it",
        "grace" | "close-spread-time" => "when the process stops",
        "log" | "log-tag" | "log-send-hostname" => "new connections' lines",
        "spread-checks" | "max-spread-checks" | "external-check" | "insecure-fork-wanted" => CHECKS,
        "stats" if key == "stats socket" => "the administration sockets that stay go on",
        "stats" => "new connections to the administration sockets",
        _ => NEW,
    }
}
