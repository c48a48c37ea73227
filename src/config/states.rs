//! The files of `load-server-state-from-file`: read with the configuration, because `init-addr last` takes addresses from
//! them; what else they say is applied when servers are there.

use super::model::backend::LoadState;
use super::model::global::Global;
use super::model::{Proxy, Server};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What each file holds, or why it could not be read.
#[derive(Debug, Default)]
pub struct States {
    pub global: Option<Arc<StateFile>>,
    /// By the proxy's name.
    pub local: Vec<(Arc<str>, Arc<StateFile>)>,
}

#[derive(Debug)]
pub struct StateFile {
    pub path: PathBuf,
    pub text: std::io::Result<String>,
}

impl StateFile {
    fn read(base: Option<&Path>, path: &Path) -> Self {
        // An absolute path stands for itself.
        let path = base.map_or_else(|| path.to_owned(), |b| b.join(path));
        Self { text: std::fs::read_to_string(&path), path }
    }

    /// Its lines about servers of `proxy`; none if the file is of no use.
    #[must_use]
    pub fn lines_of(&self, proxy: &Proxy) -> Vec<SavedServer<'_>> {
        let lines = self.text.as_ref().ok().and_then(|text| read(text).ok()).unwrap_or_default();
        lines.into_iter().filter(|l| l.is_of(proxy)).collect()
    }
}

/// The address that `server` had.
#[must_use]
pub fn last_address(lines: &[SavedServer<'_>], server: &Server) -> Option<IpAddr> {
    let line = lines.iter().find(|l| l.is(server))?;
    line.numbers(server).ok()?;
    line.field(4).parse().ok()
}

impl States {
    /// Reads the file that `proxy` goes on from, once.
    pub fn of(&mut self, global: &Global, proxy: &Proxy) -> Option<Arc<StateFile>> {
        let back = proxy.back.as_ref().filter(|_| !proxy.disabled)?;
        let base = global.server_state_base.as_deref();
        match back.load_state {
            LoadState::None => None,
            LoadState::Global => {
                if self.global.is_none() {
                    let path = global.server_state_file.as_deref()?;
                    self.global = Some(Arc::new(StateFile::read(base, path)));
                }
                self.global.clone()
            }
            LoadState::Local => {
                let path = back.server_state_file.clone().unwrap_or_else(|| PathBuf::from(&*proxy.name));
                let file = Arc::new(StateFile::read(base, &path));
                self.local.push((Arc::clone(&proxy.name), Arc::clone(&file)));
                Some(file)
            }
        }
    }
}

/// Fields of a line of version 1: older programs wrote fewer than the newest.
const FIELDS: std::ops::RangeInclusive<usize> = 20..=25;

/// Why a file is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It does not begin with `1`.
    Version,
    /// This line (HAProxy counts from the one after the version) is not of its form.
    Corrupted(usize),
}

/// One server's line: what version 1 says of it.
#[derive(Debug)]
pub struct SavedServer<'a> {
    fields: Vec<&'a str>,
}

/// A file's lines.
///
/// # Errors
/// The whole file is refused for one bad line.
pub fn read(text: &str) -> Result<Vec<SavedServer<'_>>, Unreadable> {
    let mut lines = text.lines();
    if lines.next() != Some("1") {
        return Err(Unreadable::Version);
    }
    let mut saved = Vec::new();
    for (number, line) in (1..).zip(lines) {
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        if !FIELDS.contains(&fields.len()) {
            return Err(Unreadable::Corrupted(number));
        }
        saved.push(SavedServer { fields });
    }
    Ok(saved)
}

/// The numbers of a line, once all of them are good.
#[derive(Debug)]
pub struct Numbers {
    pub oper: u32,
    /// Bits of `live::server::admin`, without those that others pass on.
    pub orders: u8,
    pub weight: u32,
    pub configured_weight: u32,
    pub since_change: u64,
    pub status: u8,
    pub health: u32,
    pub check_state: u32,
    pub agent_state: u32,
    /// The port, or what is added to the client's.
    pub port: i32,
}

/// Maintenance and draining that another server passes on, maintenance for want of an address, and a name that a command
/// set: worked out anew.
const WORKED_OUT: u8 = 0x02 | 0x10 | 0x20 | 0x40;
/// Of a name.
const NAME_MAX: usize = 255;

/// What is wrong with a line, as it is told.
struct Wrong(String);

impl Wrong {
    fn add(&mut self, name: &str, text: &str) {
        self.0 += &format!(", invalid {name} value '{text}'");
    }
}

impl SavedServer<'_> {
    /// A field by its place, from 0; empty where an older program wrote none.
    #[must_use]
    pub fn field(&self, i: usize) -> &str {
        self.fields.get(i).copied().unwrap_or("")
    }

    /// All that is applied or nothing is.
    ///
    /// # Errors
    /// What is wrong, as it is told.
    pub fn numbers(&self, server: &Server) -> Result<Numbers, String> {
        let mut wrong = Wrong(String::new());
        let orders = self.number(&mut wrong, 6, "srv_admin_state", u32::from(u8::MAX));
        let orders = u8::try_from(orders).unwrap_or(0) & !WORKED_OUT;
        let oper = self.number(&mut wrong, 5, "srv_op_state", 3);
        if !matches!(orders, 0 | 1 | 4 | 5 | 8 | 12) {
            wrong.add("srv_admin_state", self.field(6));
        }
        let numbers = Numbers {
            oper,
            orders,
            weight: self.number(&mut wrong, 7, "srv_uweight", 256),
            configured_weight: self.number(&mut wrong, 8, "srv_iweight", 256),
            since_change: self.number(&mut wrong, 9, "srv_last_time_change", u64::MAX),
            status: self.number(&mut wrong, 10, "srv_check_status", 21),
            health: self.number(&mut wrong, 12, "srv_check_health", u32::MAX),
            check_state: self.number(&mut wrong, 13, "srv_check_state", 0x1f),
            agent_state: self.number(&mut wrong, 14, "srv_agent_state", 0x1f),
            port: self.port(&mut wrong, server),
        };
        if self.field(17).len() > NAME_MAX {
            wrong.add("srv_fqdn", self.field(17));
        }
        if wrong.0.is_empty() { Ok(numbers) } else { Err(wrong.0) }
    }

    fn number<T>(&self, wrong: &mut Wrong, i: usize, name: &str, max: T) -> T
    where
        T: std::str::FromStr + PartialOrd + Default,
    {
        let number = self.field(i).parse().ok().filter(|n| *n <= max);
        if number.is_none() {
            wrong.add(name, self.field(i));
        }
        number.unwrap_or_default()
    }

    fn port(&self, wrong: &mut Wrong, server: &Server) -> i32 {
        let text = self.field(18);
        // As HAProxy reads it: what is no number is 0.
        let number = text.parse::<i32>().unwrap_or(0);
        let lowest = if server.port_offset.is_some() { -i32::from(u16::MAX) } else { 0 };
        if number > i32::from(u16::MAX) {
            wrong.add("srv_port", text);
        }
        number.max(lowest)
    }

    #[must_use]
    pub fn is_of(&self, proxy: &Proxy) -> bool {
        let by_id = self.field(15) == "1" && self.field(0) == proxy.id.to_string();
        self.field(1) == &*proxy.name || by_id
    }

    #[must_use]
    pub fn is(&self, server: &Server) -> bool {
        let by_id = self.field(16) == "1" && self.field(2) == server.id.to_string();
        self.field(3) == &*server.name || by_id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files() {
        let check = |text: &str, expected: Result<usize, Unreadable>| {
            assert_eq!(read(text).map(|l| l.len()), expected, "{text:?}");
        };
        let line = "2 f 1 a 127.0.0.1 2 0 10 10 2 6 3 4 6 22 0 0 - 21001 - 0 0 - - 21002";
        check(&format!("1\n# names\n{line}\n\n{line}\n"), Ok(2));
        check("", Err(Unreadable::Version));
        check("2\n", Err(Unreadable::Version));
        check(&format!("1\n# names\n{line}\ngarbage\n"), Err(Unreadable::Corrupted(3)));
        check(&format!("1\n{line} 1 2 3\n"), Err(Unreadable::Corrupted(1)));
    }
}
