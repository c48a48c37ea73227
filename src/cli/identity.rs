//! Who we are, in the form scripts grep: HAProxy's first line, weir's own version on its own.

use crate::config::condition::{FEATURES, SSL_LIBRARY, VERSION};
use crate::config::environment::Environment;
use std::fmt::Write;

const OWN: &str = env!("CARGO_PKG_VERSION");

pub fn short() -> String {
    format!("HAProxy version {VERSION} - compatible implementation\nweir version {OWN}\n")
}

pub fn long() -> String {
    let mut text = short();
    let features: String =
        FEATURES.iter().map(|(name, here)| format!(" {}{name}", if *here { '+' } else { '-' })).collect();
    let _ = write!(
        text,
        "\
Build options :
  TARGET  = linux ({arch})
  OPTIONS = memory-safe, no OpenSSL, no Lua

Feature list :{features}

Default settings :
  bufsize = 16384, maxrewrite = 1024

Built with multi-threading support (default=one per CPU).
Built with TLS library : {SSL_LIBRARY}
TLS library supports : TLSv1.2 TLSv1.3, extensions, SNI
Built with the Prometheus exporter as a service
Encrypted password support via crypt(3): yes
Built with transparent proxy support using: IP_TRANSPARENT IPV6_TRANSPARENT IP_FREEBIND
Regular expressions: regex 1 (linear time), fancy-regex (bounded) for look-around and back-references.
Master-worker mode (-W, -Ws): supported; without it SIGUSR2 and `reload` change the configuration inside the process.

Available polling systems :
      epoll : pref=300,  test result OK
Total: 1 (1 usable), will use epoll.

Available multiplexer protocols :
(protocols marked as <default> cannot be specified using 'proto' keyword)
         h2 : mode=HTTP  side=FE|BE  mux=H2    flags=HTX|HOL_RISK|NO_UPG
  <default> : mode=HTTP  side=FE|BE  mux=H1    flags=HTX
         h1 : mode=HTTP  side=FE|BE  mux=H1    flags=HTX|NO_UPG
       none : mode=TCP   side=FE|BE  mux=PASS  flags=NO_UPG

Available services : prometheus-exporter

Available filters : none
",
        arch = std::env::consts::ARCH,
    );
    text
}

/// The variable that says this peer's name, for the configuration; the others are the configuration reader's.
pub fn environment(environment: &mut Environment, local_peer: Option<&str>) {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    environment.set("HAPROXY_LOCALPEER", local_peer.unwrap_or(host.trim()));
}
