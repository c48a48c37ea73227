//! `show servers state` in the format that state files have, `show servers conn`, `show backend`.

use super::target::backend_named;
use crate::admin::anon::Veil;
use crate::admin::answer::{Answer, Pieces};
use crate::admin::command::{Call, Command};
use crate::config::model::global::Level::User;
use crate::config::model::{Endpoint, Server};
use crate::health::Verdict;
use crate::live::server::admin;
use crate::live::{CheckState, Generation, LiveProxy, LiveServer};
use std::fmt::Display;
use std::io::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

pub const TABLE: &[Command] = &[
    Command::new(
        "show servers state",
        User,
        "show servers state [<backend>]",
        "the state of servers, as files of it are written",
        |c| dump(c, STATE, state_line),
    ),
    Command::new(
        "show servers conn",
        User,
        "show servers conn [<backend>]",
        "connections to servers, in use and idle",
        |c| {
            let threads = c.live().threads;
            dump(c, &format!("{CONN}[{threads}]\n"), conn_line)
        },
    ),
    Command::new("show backend", User, "show backend", "list the backends", |c| {
        let mut out = String::from("# name\n");
        for proxy in c.live().proxies.iter().filter(|p| p.conf.back.is_some()) {
            out.push_str(&proxy.conf.name);
            out.push('\n');
        }
        Answer::text(out)
    }),
];

const STATE: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight \
                     srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state \
                     srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl \
                     srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n";

const CONN: &str = "# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est unsafe_nb safe_nb \
                    idle_lim idle_cur idle_per_thr";

type Line = fn(&Generation, Veil, &LiveProxy, &LiveServer, &mut Vec<u8>);

/// How many lines make a piece.
const PIECE: usize = 100;

fn dump(call: &mut Call<'_>, head: &str, line: Line) -> Answer {
    let (only, veil) = (call.word(3), call.session.veil);
    let live = Arc::clone(call.admin.live());
    let chosen: Vec<Arc<LiveProxy>> = if only.is_empty() {
        live.proxies.iter().filter(|p| !p.conf.disabled).cloned().collect()
    } else {
        match backend_named(&live, only) {
            Some(proxy) => vec![Arc::clone(proxy)],
            None => return Answer::error("Can't find backend."),
        }
    };
    let mut head = Some(head.as_bytes().to_vec());
    let mut servers = chosen.into_iter().flat_map(|proxy| {
        let servers: Vec<Arc<LiveServer>> = proxy.back.iter().flat_map(|b| &b.servers).cloned().collect();
        servers.into_iter().map(move |server| (Arc::clone(&proxy), server))
    });
    let pieces: Pieces = Box::new(move |out| {
        out.extend(head.take().into_iter().flatten());
        for _ in 0..PIECE {
            let Some((proxy, server)) = servers.next() else { return false };
            line(&live, veil, &proxy, &server, out);
        }
        true
    });
    Answer::Pieces(pieces)
}

fn state_line(_: &Generation, veil: Veil, proxy: &LiveProxy, server: &LiveServer, out: &mut Vec<u8>) {
    let reached = server.reached();
    let (check, agent) = (server.check.settings(), server.agent.settings());
    let conf = server.conf.check.as_ref();
    let agent_conf = server.conf.agent.as_ref();
    let agent_port = agent_conf.map(|a| a.port).filter(|p| *p > 0);
    let last = server.check.last();
    let maintained = server.admin() & admin::MAINT != 0;
    // One that was disabled from the start stays so if it has no check to go on with.
    let paused =
        (maintained && server.check.is_enabled()) || (server.conf.disabled && !server.check.is_enabled());
    let paused = if paused { PAUSED } else { 0 };
    let fields: [&dyn Display; 25] = [
        &proxy.conf.id,
        &veil.name(&proxy.conf.name),
        &server.conf.id,
        &veil.name(server.name()),
        &veil.ip_or_dash(address(&reached)),
        &(server.oper() as u8),
        &server.admin(),
        &server.weight(),
        &server.conf.weight,
        &server.since_change(Instant::now()).as_secs(),
        &last.status.number().max(1),
        &result_number(last.status.verdict()),
        &server.check.health().value(),
        &(check_bits(&server.check, 0) | paused),
        &check_bits(&server.agent, AGENT),
        &u8::from(proxy.conf.id_is_forced),
        &u8::from(server.conf.id_is_forced),
        &server.conf.fqdn.as_deref().map_or("-".into(), |fqdn| veil.name(fqdn)),
        &reached.shown_port(),
        &"-",
        &0,
        &check.port.or(conf.and_then(|c| c.port)).unwrap_or(0),
        &veil.ip_or_dash(check.addr.or(conf.and_then(|c| c.addr))),
        &veil.ip_or_dash(agent.addr.or(agent_conf.and_then(|a| a.addr)).or(conf.and_then(|c| c.addr))),
        &agent.port.or(agent_port).or(conf.and_then(|c| c.port)).unwrap_or(0),
    ];
    for (i, field) in fields.iter().enumerate() {
        // Writing to memory does not fail.
        let _written = write!(out, "{}{field}", if i == 0 { "" } else { " " });
    }
    out.push(b'\n');
}

fn conn_line(live: &Generation, veil: Veil, proxy: &LiveProxy, server: &LiveServer, out: &mut Vec<u8>) {
    let reached = server.reached();
    let _written = write!(
        out,
        "{}/{} {}/{} {} {} - {} {} {} {} 0 0 {} 0",
        veil.name(&proxy.conf.name),
        veil.name(server.name()),
        proxy.conf.id,
        server.conf.id,
        veil.ip_or_dash(address(&reached)),
        reached.shown_port(),
        server.conf.pool_purge_delay.as_millis(),
        server.current(),
        server.max(),
        server.max(),
        server.conf.pool_max_conn,
    );
    for _ in 0..live.threads {
        out.extend_from_slice(b" 0");
    }
    out.push(b'\n');
}

fn address(server: &Server) -> Option<IpAddr> {
    match server.endpoint {
        Endpoint::Inet(address) => Some(address.ip()),
        _ => None,
    }
}

/// Bits of a check's state in HAProxy's files.
const CONFIGURED: u8 = 0x02;
const ENABLED: u8 = 0x04;
const PAUSED: u8 = 0x08;
const AGENT: u8 = 0x10;

fn check_bits(check: &CheckState, kind: u8) -> u8 {
    if !check.is_configured() {
        return 0;
    }
    let running = u8::from(check.is_running());
    running | CONFIGURED | kind | if check.is_enabled() { ENABLED } else { 0 }
}

fn result_number(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Unknown => 0,
        Verdict::Failed => 2,
        Verdict::Passed => 3,
        Verdict::Conditional => 4,
    }
}
