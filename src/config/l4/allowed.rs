//! What of the language has a meaning in a proxy whose traffic the kernel forwards, and what to write instead of the rest.

use crate::config::keyword::Keyword;
use crate::config::keywords::l4;

/// Rows of other tables that a proxy in `mode l4` may have.
const KEYWORDS: &[&str] = &[
    "balance",
    "bind",
    "default-server",
    "default_backend",
    "description",
    "disabled",
    "email-alert",
    "enabled",
    "external-check",
    "http-check",
    "id",
    "load-server-state-from-file",
    "log",
    "log-tag",
    "mode",
    "option dns-check",
    "option external-check",
    "option httpchk",
    "option ldap-check",
    "option log-health-checks",
    "option mysql-check",
    "option pgsql-check",
    "option ping-check",
    "option redis-check",
    "option smtpchk",
    "option spop-check",
    "option ssl-hello-chk",
    "option tcp-check",
    "option udp-check",
    "server",
    "server-state-file-name",
    "server-template",
    "source",
    "tcp-check",
    "timeout check",
    "timeout connect",
];

/// Options of `server` lines, apart from those of `mode l4` alone.
const SERVER_OPTIONS: &[&str] = &[
    "addr",
    "agent-addr",
    "agent-check",
    "agent-inter",
    "agent-port",
    "agent-send",
    "backup",
    "ca-file",
    "check",
    "check-alpn",
    "check-proto",
    "check-send-proxy",
    "check-sni",
    "check-ssl",
    "disabled",
    "downinter",
    "enabled",
    "fall",
    "fastinter",
    "healthcheck",
    "id",
    "init-addr",
    "init-state",
    "inter",
    "no-agent-check",
    "no-backup",
    "no-check",
    "no-check-send-proxy",
    "no-check-ssl",
    "no-ssl",
    "port",
    "rise",
    "slowstart",
    "track",
    "verify",
    "verifyhost",
    "weight",
];

const BIND_OPTIONS: &[&str] = &["id", "name"];

/// What people look for under another name.
const INSTEAD: &[(&str, &str)] = &[
    (
        "use_backend",
        "packets are sorted by address and port alone: write a 'listen' section for each address",
    ),
    ("maxconn", "'u-threshold' on a 'server' line limits its flows; the table's size is global 'maxconn'"),
    ("fullconn", "'u-threshold' on a 'server' line limits its flows"),
    ("timeout client", "silent flows are forgotten after 'timeout tcp', 'timeout tcpfin' or 'timeout udp'"),
    ("timeout server", "silent flows are forgotten after 'timeout tcp', 'timeout tcpfin' or 'timeout udp'"),
    ("timeout tunnel", "silent flows are forgotten after 'timeout tcp', 'timeout tcpfin' or 'timeout udp'"),
    ("cookie", "'persist' keeps a client's flows on one server"),
    ("hash-type", "'balance mh' is consistent hashing, 'balance sh' hashes over the servers' weights"),
    ("option allbackups", "the first backup server that is up serves alone"),
    ("option forwardfor", "servers see the client's address, but with 'forward fullnat'"),
    (
        "option redispatch",
        "a flow is bound to its server; 'persist ... on-down move' moves a client's next flow",
    ),
];

const SERVER_INSTEAD: &[(&str, &str)] = &[
    ("maxconn", "'u-threshold' and 'l-threshold' limit a server's flows; none of them waits"),
    ("minconn", "'u-threshold' and 'l-threshold' limit a server's flows; none of them waits"),
    ("maxqueue", "'u-threshold' and 'l-threshold' limit a server's flows; none of them waits"),
    ("cookie", "'persist' keeps a client's flows on one server"),
    ("send-proxy", "servers see the client's address, but with 'forward fullnat'; 'mode tcp' writes headers"),
    (
        "send-proxy-v2",
        "servers see the client's address, but with 'forward fullnat'; 'mode tcp' writes headers",
    ),
    ("on-marked-down", "'option quiesce-on-down' and 'on-remove' say what becomes of flows"),
    ("source", "'source' on a line of its own names fullnat's addresses"),
    ("observe", "'check' tells whether the server is well: answers are not seen here"),
];

/// Has the keyword a meaning in `mode l4`?
#[must_use]
pub fn keyword(row: &Keyword) -> bool {
    own(row) || KEYWORDS.contains(&row.name)
}

/// Does the keyword belong to `mode l4` alone?
#[must_use]
pub fn own(row: &Keyword) -> bool {
    l4::TABLE.iter().any(|k| k.name == row.name && k.sections.0 & crate::config::keyword::GLOBAL.0 == 0)
}

/// What to do in place of the keyword.
#[must_use]
pub fn instead(name: &str) -> &'static str {
    find(INSTEAD, name)
        .unwrap_or("remove the line: packets are forwarded in the kernel, their contents are not looked at")
}

#[must_use]
pub fn server_option(name: &str) -> bool {
    own_server_option(name) || SERVER_OPTIONS.contains(&name)
}

#[must_use]
pub fn own_server_option(name: &str) -> bool {
    l4::SERVER_OPTIONS.iter().any(|o| o.name == name)
}

#[must_use]
pub fn instead_of_server_option(name: &str) -> &'static str {
    find(SERVER_INSTEAD, name)
        .unwrap_or("packets are forwarded in the kernel, no connection is made to the server")
}

#[must_use]
pub fn bind_option(name: &str) -> bool {
    BIND_OPTIONS.contains(&name)
}

fn find(table: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    table.iter().find(|(known, _)| *known == name).map(|(_, instead)| *instead)
}
