use super::pending::PENDING;
use crate::balance::l4::Scheduler;
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::environment::Environment;
use crate::config::model::l4::{Encapsulation, Flags, Forward, Hook, OnDown, OnRemove, Persist, Protocol};
use crate::config::model::{Config, Mode};
use crate::config::parser::Parser;
use crate::config::{Source, preprocess, resolve, sections};
use std::time::Duration;

/// The configuration, and what is said about it apart from what the data plane cannot do yet.
fn read(text: &str) -> (Config, Vec<Diagnostic>) {
    let mut environment = Environment::default();
    let source = Source { name: "t.cfg".into(), bytes: text.as_bytes().to_vec() };
    let lines = preprocess::read(&[source], &mut environment);
    let mut parser = Parser::new(environment);
    parser.diagnostics = lines.diagnostics;
    sections::apply(&mut parser, lines.lines);
    let (config, mut said, _) = resolve::resolve(parser, Vec::new());
    said.retain(|d| {
        !PENDING.iter().any(|f| d.message == format!("'{}' is not supported by weir yet", f.name()))
    });
    (config, said)
}

fn quiet(text: &str) -> Config {
    let (config, said) = read(text);
    assert!(said.is_empty(), "{text}: {said:?}");
    config
}

/// A service of one server, with these lines more.
fn listen(lines: &str) -> String {
    format!("listen v\n mode l4\n bind 192.0.2.1:80\n{lines}")
}

/// The lines make exactly one error, of that line and with that in its message or hint.
fn refused(text: &str, line: u32, expected: &str) {
    let (_, said) = read(text);
    let alerts: Vec<&Diagnostic> = said.iter().filter(|d| d.severity == Severity::Alert).collect();
    let [only] = alerts.as_slice() else { panic!("{text}: {said:?}") };
    let whole = format!("{} | {}", only.message, only.hint.as_deref().unwrap_or(""));
    assert!(whole.contains(expected), "{text}: {whole}");
    assert_eq!(only.place.as_ref().map(|p| p.line), Some(line), "{text}: {whole}");
}

#[test]
fn the_design_s_example() {
    let config = quiet(
        "listen vip-web\n mode l4\n bind 192.168.188.120:80\n bind 192.168.188.120:443\n forward dr\n balance wlc\n \
         persist 360s netmask 255.255.255.0 on-down keep\n timeout tcp 900s\n option httpchk GET /health\n \
         server rs1 192.168.188.107 weight 100 check port 80 inter 5s\n \
         server rs2 192.168.188.110 weight 100 check port 80 u-threshold 10000 l-threshold 8000\n \
         server sorry 127.0.0.1 backup\n",
    );
    let [service] = config.l4_services.as_slice() else { panic!() };
    let ports: Vec<u16> = service.vips.iter().map(|v| v.port).collect();
    assert_eq!(ports, [80, 443]);
    assert_eq!((service.front, service.back), (service.back, service.front));
    let settings = &service.settings;
    assert_eq!(settings.scheduler, Scheduler::Wlc);
    assert_eq!(
        settings.persist,
        Some(Persist { timeout: Duration::from_secs(360), prefix: 24, on_down: OnDown::Keep })
    );
    let back = config.proxies[0].back.as_ref().unwrap();
    assert_eq!(back.servers[0].l4.forward, Some(Forward::DirectRouting));
    assert_eq!((back.servers[1].l4.upper_threshold, back.servers[1].l4.lower_threshold), (10_000, 8_000));
    assert!(back.servers[2].backup && back.servers[0].check.is_some());
    assert_eq!(config.proxies[0].mode, Mode::L4);
    assert!(config.proxies[0].front.as_ref().unwrap().binds.is_empty(), "nothing listens");
}

#[test]
fn frontend_and_backend() {
    let config = quiet(
        "global\n l4-hook tc\n l4-compat ipvs\nfrontend f\n bind udp@192.0.2.1:53,192.0.2.1:53 name dns\n mode l4\n default_backend b\n\
         backend b\n mode l4\n forward nat\n balance mh mh-port,mh-fallback\n on-remove drain\n option quiesce-on-down\n \
         minimum up 1 hysteresis 0 on-down \"/bin/x a\"\n server s 192.0.2.9:5353\n server t 192.0.2.8 forward tun\n",
    );
    let [service] = config.l4_services.as_slice() else { panic!() };
    assert_eq!((service.front.get(), service.back.get()), (0, 1));
    let protocols: Vec<Protocol> = service.vips.iter().map(|v| v.protocol).collect();
    assert_eq!(protocols, [Protocol::Udp, Protocol::Tcp]);
    assert_eq!(service.vips[1].name.as_deref(), Some("dns"));
    let settings = &service.settings;
    assert_eq!((settings.scheduler, settings.flags), (Scheduler::Mh, Flags { port: true, fallback: true }));
    assert_eq!((settings.on_remove, settings.quiesce_on_down), (OnRemove::Drain, true));
    let minimum = settings.minimum_up.as_ref().unwrap();
    assert_eq!(minimum.on_down.as_deref(), Some(["/bin/x".to_owned(), "a".to_owned()].as_slice()));
    let servers = &config.proxies[1].back.as_ref().unwrap().servers;
    let ways: Vec<_> = servers.iter().map(|s| s.l4.forward).collect();
    assert_eq!(ways, [Some(Forward::Nat), Some(Forward::Tunnel(Encapsulation::Ip))]);
    assert_eq!(config.global.l4.hook, Hook::Tc);
    assert!(config.global.l4.compat_ipvs);
}

#[test]
fn what_defaults_say_for_other_modes_is_passed_over() {
    let config = quiet(
        "defaults\n mode http\n timeout client 3s\n timeout server 3s\n timeout connect 3s\n option forwardfor\n \
         option httplog\n balance uri\n default-server maxconn 5 weight 7\n\
         listen v\n mode l4\n bind 192.0.2.1:80\n server s 192.0.2.9\n\
         defaults l\n mode l4\n forward nat\n balance rr\nlisten w from l\n bind 192.0.2.2:80\n server s 192.0.2.9:81\n",
    );
    assert_eq!(config.l4_services.len(), 2);
    assert_eq!(config.l4_services[0].settings.scheduler, Scheduler::Wlc);
    assert_eq!(config.l4_services[1].settings.scheduler, Scheduler::Rr);
    let server = &config.proxies[0].back.as_ref().unwrap().servers[0];
    assert_eq!((server.weight, server.maxconn), (7, 0));
}

#[test]
fn schedulers_by_both_names() {
    for (line, scheduler) in [
        ("balance roundrobin", Scheduler::Wrr),
        ("balance static-rr", Scheduler::Wrr),
        ("balance leastconn", Scheduler::Wlc),
        ("balance source", Scheduler::Sh),
        ("balance first", Scheduler::Fo),
        ("balance random", Scheduler::Twos),
    ] {
        let config = quiet(&listen(&format!(" {line}\n server s 192.0.2.9\n")));
        assert_eq!(config.l4_services[0].settings.scheduler, scheduler, "{line}");
    }
    for scheduler in Scheduler::ALL {
        let config = quiet(&listen(&format!(" balance {}\n server s 192.0.2.9\n", scheduler.name())));
        assert_eq!(config.l4_services[0].settings.scheduler, scheduler);
    }
}

#[test]
fn fullnat_s_addresses() {
    let config =
        quiet(&listen(" forward fullnat toa\n source 10.0.0.5-10.0.0.8 10.0.0.7\n server s 192.0.2.9:81\n"));
    let settings = &config.l4_services[0].settings;
    let expected: Vec<std::net::IpAddr> =
        ["10.0.0.5", "10.0.0.6", "10.0.0.7", "10.0.0.8"].iter().map(|a| a.parse().unwrap()).collect();
    assert_eq!(settings.sources, expected);
    assert_eq!(settings.forward, Forward::FullNat { toa: true });
}

#[test]
fn wrong_servers() {
    let server = |line: &str| listen(&format!(" {line}\n"));
    refused(
        &server("server s 192.0.2.9:8080"),
        4,
        "'forward dr' cannot reach port 8080 from port 80: only the MAC",
    );
    refused(&server("server s 192.0.2.9:8080 forward tun"), 4, "inside another");
    refused(&server("server s /run/x"), 4, "unix socket");
    refused(&server("server s [::1]"), 4, "of another family");
    refused(&server("server s 0.0.0.0:80"), 4, "is no server's address");
    refused(&server("server s 192.0.2.1:80"), 4, "the service's own");
    refused(&server("server s 192.0.2.9:+1"), 4, "an offset is no port");
    refused(&server("server s 192.0.2.9 maxconn 3"), 4, "'u-threshold' and 'l-threshold' limit");
    refused(&server("server s 192.0.2.9 send-proxy"), 4, "servers see the client's address");
    refused(&server("server s 192.0.2.9 source 10.0.0.1"), 4, "names fullnat's addresses");
    refused(&server("server s 192.0.2.9 l-threshold 3"), 4, "nothing without 'u-threshold'");
    refused(&server("server s 192.0.2.9 l-threshold 3 u-threshold 2"), 4, "is above 'u-threshold' 2");
    refused(&server("server s 192.0.2.9 forward masq"), 4, "'forward' expects");
    refused(&listen(" balance sh\n server s 192.0.2.9 slowstart 3s\n"), 5, "move clients between servers");
}

#[test]
fn wrong_lines() {
    let line = |line: &str| listen(&format!(" {line}\n server s 192.0.2.9\n"));
    refused(&line("balance uri"), 4, "looks at what the client says");
    refused(&line("balance wcl"), 4, "did you mean 'wlc'");
    refused(&line("balance rr sh-port"), 4, "has no flag 'sh-port'");
    refused(&line("http-request deny"), 4, "'http-request' has no meaning in 'mode l4'");
    refused(&line("option forwardfor"), 4, "servers see the client's address");
    refused(&line("option httplog"), 4, "has no meaning in 'mode l4'");
    refused(&line("timeout client 3s"), 4, "'timeout tcp'");
    refused(&line("cookie x insert"), 4, "'persist' keeps");
    refused(&line("use_backend b"), 4, "for each address");
    refused(&line("maxconn 3"), 4, "u-threshold");
    refused(&line("source 10.0.0.1"), 4, "for 'forward fullnat' alone");
    refused(&line("forward masquerading"), 4, "LVS's masquerading is 'nat'");
    refused(&line("forward tun gue"), 4, "'port <port>'");
    refused(&line("persist 0"), 4, "more than 0");
    refused(&line("persist netmask 255.0.255.0"), 4, "expects a mask");
    refused(&line("persist netmask 64"), 4, "does not fit the addresses, which are IPv4");
    refused(&line("persist rdp-cookie"), 4, "no meaning in 'mode l4'");
    refused(&line("on-remove keep"), 4, "'cut', 'drain' or 'expire'");
    refused(&line("timeout udp 0"), 4, "a flow must end");
    refused(&line("minimum up 2"), 4, "only 1 servers");
    refused(&line("minimum up 1 on-up x"), 4, "its whole path");
    refused(&line("option one-packet"), 4, "is for UDP");
    let one_packet = "listen v\n mode l4\n bind udp@192.0.2.1:53\n forward fullnat\n source 192.0.2.9\n option one-packet\n server a 192.0.2.2\n";
    refused(one_packet, 7, "every datagram would take a port");
    refused(&line("bind 192.0.2.1:80"), 4, "is an address of 'v' at t.cfg:3 already");
    refused(&line("bind [2001:db8::1]:80"), 4, "all IPv4 or all IPv6");
    refused(&line("bind 192.0.2.1:443 ssl crt x"), 4, "TLS is theirs");
    refused(&line("bind :81"), 4, "every packet to this host");
    refused(&line("bind /run/x"), 4, "forwards TCP and UDP");
    refused(&line("bind 192.0.2.1"), 4, "missing port number");
    refused(&line("bind 192.0.2.1:1-60000"), 4, "':0' with 'persist'");
    refused(&line("forward fullnat"), 1, "needs 'source'");
    refused(&listen(" forward nat\n bind 192.0.2.2:0\n server s 192.0.2.9\n"), 1, "needs 'persist'");
    refused(
        &listen(" forward nat\n persist\n bind 192.0.2.2:0\n server s 192.0.2.9:80\n"),
        7,
        "cannot stand for every port",
    );
    refused("frontend f\n mode l4\n bind 192.0.2.1:80\n", 1, "has no 'default_backend'");
    refused(
        "frontend f\n mode l4\n bind 192.0.2.1:80\n default_backend b\nbackend b\n",
        4,
        "incompatible tcp backend",
    );
}

#[test]
fn other_modes_have_none_of_it() {
    for line in
        ["forward dr", "persist 3s", "timeout udp 3s", "on-remove cut", "option one-packet", "minimum up 1"]
    {
        refused(&format!("backend b\n {line}\n"), 2, "needs 'mode l4'");
    }
    refused("backend b\n server s 192.0.2.9:80 u-threshold 3\n", 2, "'u-threshold' needs 'mode l4'");
    refused("backend b\n balance wlc\n", 2, "balance only supports");
    refused(
        "listen v\n mode l4\n bind fwmark 1\n server s 192.0.2.9\n",
        3,
        "services by firewall mark are not supported",
    );
    refused("backend b\n mode l4\n forward tun gre\n", 3, "'forward tun' wraps packets in IP, or in UDP");
    refused("backend b\n persist rdp-cookie\n", 2, "'persist rdp-cookie' is not supported by weir yet");
    refused("listen l\n bind udp@192.0.2.1:53\n timeout client 1s\n", 2, "UDP addresses are not supported");
}

#[test]
fn another_director_is_told() {
    let load = |line: &str| {
        let text = format!("global\n {line}\n{}", listen(" forward nat\n server s 192.0.2.9\n"));
        crate::config::load(
            &[Source { name: "t.cfg".into(), bytes: text.into_bytes() }],
            &Environment::default(),
        )
    };
    let loaded = load("l4-sync 192.0.2.2:8849 source 192.0.2.1 interface eth0 key secret").unwrap();
    let sync = loaded.config.global.l4.sync.unwrap();
    assert_eq!(
        (sync.peer.to_string().as_str(), sync.source),
        ("192.0.2.2:8849", Some([192, 0, 2, 1].into()))
    );
    assert_eq!((sync.interface.as_deref(), &*sync.key), (Some("eth0"), "secret"));
    for (line, expected) in [
        ("l4-sync 192.0.2.2 key x", "expects <address>:<port>"),
        ("l4-sync 192.0.2.2:0 key x", "an address and a port"),
        ("l4-sync 192.0.2.2:1", "needs 'key <secret>'"),
        ("l4-sync 192.0.2.2:1 key", "'key' expects a value"),
        ("l4-sync 192.0.2.2:1 key x source ::1", "of the peer's family"),
        ("l4-sync 192.0.2.2:1 key x pace 3", "'pace' is none of"),
    ] {
        let said = load(line).err().unwrap_or_default();
        assert!(said.iter().any(|d| d.message.contains(expected)), "{line}: {said:?}");
    }
}

/// What the data plane cannot do is an error of its own line; what it can do is none.
#[test]
fn what_is_pending_is_refused() {
    let refused = |lines: &str| {
        let source = Source { name: "t.cfg".into(), bytes: listen(lines).into_bytes() };
        let said = crate::config::load(&[source], &Environment::default()).err().unwrap_or_default();
        said.iter().any(|d| d.message.contains("is not supported by weir yet"))
    };
    assert!(!refused(" forward nat\n balance rr\n server s 192.0.2.9\n"));
    assert!(!refused(" forward tun gue port 6080\n server s 192.0.2.9\n"));
    assert!(!refused(" forward fullnat toa\n source 192.0.2.1\n server s 192.0.2.9\n"));
    assert!(!refused(" forward tun\n server s 2001:db8::9\n"));
}
