//! Sessions in progress: `show sess`, `shutdown session`, `shutdown sessions server`.
//!
//! What HAProxy shows of its insides (flags, tasks, buffers, analysers) weir does not have in that form: those fields are
//! there, so that programs find theirs, and hold 0, `(nil)` or nothing.

use crate::admin::Admin;
use crate::admin::anon::Veil;
use crate::admin::answer::Answer;
use crate::admin::command::{Call, Command};
use crate::config::model::Mode;
use crate::config::model::global::Level::{self, Operator};
use crate::live::LiveProxy;
use crate::live::sessions::Record;
use crate::{clock, config};
use std::fmt::Write;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

#[rustfmt::skip]
pub const TABLE: &[Command] = &[
    Command::new("show sess", Operator, "show sess [<id>|all|help] [<filter>]*", "list the sessions in progress, or tells all of one", show),
    Command::new("shutdown sessions server", Level::Admin, "shutdown sessions server <bk>/<srv>", "end all sessions of a server", shutdown_server),
    Command::new("shutdown session", Level::Admin, "shutdown session [id]", "end one session", shutdown),
];

const HELP: &str = "\
Usage: show sess [<id> | all] [<filter>]*
  <id>                : only this session, in full
  all                 : all sessions, in full
  older <age>         : only sessions that began at least so long ago (seconds unless a unit follows)
  susp                : only sessions in an unexpected state (weir knows of none)
  frontend <name>     : only sessions of this frontend
  backend <name>      : only sessions of this backend
  server <bk>/<srv>   : only sessions on this server
";

/// What is asked for.
#[derive(Debug, Default)]
struct Wanted {
    id: Option<u64>,
    full: bool,
    older: Option<Duration>,
    suspicious: bool,
    frontend: Option<String>,
    backend: Option<String>,
    server: Option<(String, String)>,
}

impl Wanted {
    fn parse(call: &Call<'_>) -> Result<Self, String> {
        let mut wanted = Self::default();
        let mut at = 2;
        while call.has(at) {
            let (word, next) = (call.word(at), call.word(at + 1));
            let value = || match next {
                "" => Err(format!("'{word}' expects an argument, see 'show sess help'.")),
                text => Ok(text.to_owned()),
            };
            let taken = match word {
                "all" => {
                    wanted.full = true;
                    1
                }
                "susp" => {
                    wanted.suspicious = true;
                    1
                }
                "older" => {
                    let parsed = config::units::duration(&value()?, config::units::Unit::Seconds);
                    let wrong = |_| "Cannot parse the age: a number and a unit are expected.".to_owned();
                    wanted.older = Some(parsed.map_err(wrong)?);
                    2
                }
                "frontend" => {
                    wanted.frontend = Some(value()?);
                    2
                }
                "backend" => {
                    wanted.backend = Some(value()?);
                    2
                }
                "server" => {
                    let name = value()?;
                    let (backend, server) = name.split_once('/').ok_or("Require 'backend/server'.")?;
                    wanted.server = Some((backend.to_owned(), server.to_owned()));
                    2
                }
                id => {
                    // As with HAProxy, what is no number is 0, which no session has.
                    wanted.id = Some(parse_id(id));
                    wanted.full = true;
                    1
                }
            };
            at += taken;
        }
        Ok(wanted)
    }

    fn takes(&self, view: &View<'_>, now: Instant) -> bool {
        let named = |want: &Option<String>, has: Option<&str>| want.as_deref().is_none_or(|w| Some(w) == has);
        let backend = view.backend.map(|b| &*b.conf.name);
        self.id.is_none_or(|id| id == view.record.id)
            && self.older.is_none_or(|age| now.saturating_duration_since(view.record.began) >= age)
            && !self.suspicious
            && named(&self.frontend, Some(&view.record.conn.frontend.conf.name))
            && named(&self.backend, backend)
            && self.server.as_ref().is_none_or(|(b, s)| {
                Some(b.as_str()) == backend && Some(s.as_str()) == view.server_name().as_deref()
            })
    }
}

fn parse_id(text: &str) -> u64 {
    u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).unwrap_or(0)
}

fn show(call: &mut Call<'_>) -> Answer {
    if call.word(2) == "help" {
        return Answer::text(HELP);
    }
    let wanted = match Wanted::parse(call) {
        Ok(wanted) => wanted,
        Err(why) => return Answer::error(why),
    };
    let (admin, veil) = (Rc::clone(call.admin), call.session.veil);
    Answer::Job(Box::new(move |console| {
        Box::pin(async move {
            let records = admin.live().process.sessions.records().await;
            let (now, mut found) = (Instant::now(), false);
            let mut out = String::new();
            for record in &records {
                let view = View::new(&admin, record, veil);
                if !wanted.takes(&view, now) {
                    continue;
                }
                found = true;
                if wanted.full {
                    view.dump(&mut out)
                } else {
                    view.line(now, &mut out)
                }
                if out.len() > 16 * 1024 {
                    console.write(out.as_bytes()).await?;
                    out.clear();
                }
            }
            if wanted.id.is_some() && !found {
                out.push_str("Session not found.\n");
            }
            console.write(out.as_bytes()).await
        })
    }))
}

fn shutdown(call: &mut Call<'_>) -> Answer {
    if !call.has(2) {
        return Answer::error("Session pointer expected (use 'show sess').");
    }
    let (id, admin) = (parse_id(call.word(2)), Rc::clone(call.admin));
    Answer::Job(Box::new(move |console| {
        Box::pin(async move {
            if id != 0 && admin.live().process.sessions.shut(id).await {
                return Ok(());
            }
            console.write(b"No such session (use 'show sess').\n").await
        })
    }))
}

fn shutdown_server(call: &mut Call<'_>) -> Answer {
    let Some((backend, server)) = call.word(3).split_once('/').filter(|(b, _)| !b.is_empty()) else {
        return Answer::error("Require 'backend/server'.");
    };
    let live = call.live();
    let found = live.proxies.iter().find(|p| &*p.conf.name == backend && p.back.is_some());
    let Some(proxy) = found else { return Answer::error("No such backend.") };
    let servers = proxy.back.iter().flat_map(|b| b.servers.iter());
    let Some(server) = servers.into_iter().find(|s| s.name() == server) else {
        return Answer::error("No such server.");
    };
    live.process.sessions.shut_server(proxy.index.0, server.index.0);
    Answer::Done
}

/// A record with the names of what it points at.
struct View<'a> {
    record: &'a Record,
    backend: Option<&'a Arc<LiveProxy>>,
    veil: Veil,
}

impl<'a> View<'a> {
    fn new(admin: &'a Admin, record: &'a Record, veil: Veil) -> Self {
        let backend = record.backend.and_then(|i| admin.live().proxies.get(i as usize));
        Self { record, backend, veil }
    }

    fn server(&self) -> Option<Arc<crate::live::LiveServer>> {
        let back = self.backend?.back.as_ref()?;
        back.servers.get(self.record.server? as usize).cloned()
    }

    fn server_name(&self) -> Option<String> {
        self.server().map(|s| s.name().to_owned())
    }

    fn proto(&self) -> &'static str {
        match self.record.conn.src {
            Some(SocketAddr::V4(_)) => "tcpv4",
            Some(SocketAddr::V6(_)) => "tcpv6",
            None => "unix_stream",
        }
    }

    /// Either end of the client's connection.
    fn address(&self, address: Option<SocketAddr>) -> String {
        let unix = || format!("unix:{}", self.record.conn.listener.0);
        address.map_or_else(unix, |a| self.veil.socket(a))
    }

    /// The one-line form.
    fn line(&self, now: Instant, out: &mut String) {
        let r = self.record;
        let _ = write!(
            out,
            "{:#x}: proto={} src={} fe={} be={} srv={} ts=00 epoch=0 age={} calls={} rate=0 cpu=0 lat=0",
            r.id,
            self.proto(),
            self.address(r.conn.src),
            self.veil.name(&r.conn.frontend.conf.name),
            self.backend.map_or("<NONE>".into(), |b| self.veil.name(&b.conf.name)),
            self.server_name().as_deref().map_or("<none>".into(), |name| self.veil.name(name)),
            age(now.saturating_duration_since(r.began)),
            r.calls,
        );
        out.push_str(" rq[f=00h,i=0,an=00h,rx=,wx=,ax=] rp[f=00h,i=0,an=00h,rx=,wx=,ax=]");
        let state = if r.server_fd >= 0 { 8 } else { 0 };
        let _ = writeln!(
            out,
            " scf=[8,0h,fd={}] scb=[{state},0h,fd={}] exp= rc={} c_exp=",
            r.conn.fd, r.server_fd, r.retries
        );
    }

    /// The form of many lines.
    fn dump(&self, out: &mut String) {
        let r = self.record;
        let began = r.conn.accepted + r.began.saturating_duration_since(r.conn.at);
        let _ = writeln!(
            out,
            "{:#x}: [{}] id={} proto={} source={}",
            r.id,
            date(began),
            (r.id & 0xff_ffff_ffff) / 0x240,
            self.proto(),
            self.address(r.conn.src),
        );
        let _ = writeln!(
            out,
            "  flags=0x0, conn_retries={}, conn_exp=<NEVER> conn_et=0x000 srv_conn=(nil), pend_pos=(nil) waiting=0 epoch=0",
            r.retries
        );
        let front = &r.conn.frontend.conf;
        let veil = self.veil;
        let listener = r.conn.listener.1.as_deref().unwrap_or("?");
        let _ = writeln!(
            out,
            "  frontend={} (id={} mode={}), listener={listener} (id={}) addr={}",
            veil.name(&front.name),
            front.id,
            mode(front.mode),
            r.conn.listener.0,
            self.address(r.conn.dst),
        );
        let addr =
            |a: Option<SocketAddr>| a.map_or_else(String::new, |a| format!(" addr={}", veil.socket(a)));
        let _ = match self.backend {
            Some(b) => writeln!(
                out,
                "  backend={} (id={} mode={}){}",
                veil.name(&b.conf.name),
                b.conf.id,
                mode(b.conf.mode),
                addr(r.ends[0])
            ),
            None => writeln!(out, "  backend=<NONE> (id=-1 mode=-)"),
        };
        let _ = match self.server() {
            Some(s) => {
                writeln!(out, "  server={} (id={}){}", veil.name(s.name()), s.conf.id, addr(r.ends[1]))
            }
            None => writeln!(out, "  server=<NONE> (id=-1)"),
        };
        let _ = writeln!(
            out,
            "  task=(nil) (state=0x00 nice=0 calls={} rate=0 exp=<NEVER> tmask={:#x} age={})",
            r.calls,
            1_u64.checked_shl(u32::try_from(r.thread).unwrap_or(0)).unwrap_or(0),
            age(r.began.elapsed()),
        );
        let _ = writeln!(out, "  scf=(nil) flags=0x00000000 state=EST fd={}", r.conn.fd);
        let state = if r.server_fd >= 0 { "EST" } else { "INI" };
        let _ = writeln!(out, "  scb=(nil) flags=0x00000000 state={state} fd={}", r.server_fd);
    }
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Http => "http",
        Mode::Tcp => "tcp",
        Mode::L4 => "l4",
    }
}

/// The two largest units, as HAProxy shortens times: `1s`, `59m58s`, `2h5m`, `3d4h`.
fn age(age: Duration) -> String {
    let s = age.as_secs();
    let two = |big: u64, of: &str, small: u64, to: &str| match small {
        0 => format!("{big}{of}"),
        _ => format!("{big}{of}{small}{to}"),
    };
    match s {
        0..60 => format!("{s}s"),
        60..3600 => two(s / 60, "m", s % 60, "s"),
        3600..86_400 => two(s / 3600, "h", s / 60 % 60, "m"),
        _ => two(s / 86_400, "d", s / 3600 % 24, "h"),
    }
}

fn date(at: SystemTime) -> String {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let unix = i64::try_from(since.as_secs()).unwrap_or(0);
    let c = clock::Civil::from_unix(unix + i64::from(clock::local_offset(unix)));
    let month = clock::month_name(c.month);
    format!(
        "{:02}/{month}/{:04}:{:02}:{:02}:{:02}.{:06}",
        c.day,
        c.year,
        c.hour,
        c.minute,
        c.second,
        since.subsec_micros()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_shortened() {
        let short = |s: u64| age(Duration::from_secs(s));
        assert_eq!([short(0), short(59), short(60)], ["0s", "59s", "1m"]);
        assert_eq!([short(3598), short(3600), short(7500)], ["59m58s", "1h", "2h5m"]);
        assert_eq!([short(86_400), short(273_601)], ["1d", "3d4h"]);
    }

    #[test]
    fn ids_are_hexadecimal() {
        assert_eq!([parse_id("0x5500"), parse_id("5500"), parse_id("x")], [0x5500, 0x5500, 0]);
    }
}
