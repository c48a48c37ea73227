//! A proxy, its servers and its statistics: connections are counted, so that the end of each step can be waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::client::Client;
use crate::harness::console::ask;
use crate::harness::own_address;
use crate::harness::process::{Program, Proxy};
use crate::origin::Origin;
use crate::table::Table;

const LIMIT: Duration = Duration::from_secs(30);

pub struct Rig {
    pub origin: Origin,
    /// Columns that held something in any dump: a text, or a number other than zero.
    pub filled: BTreeSet<String>,
    proxy: Proxy,
    address: Ipv4Addr,
    /// Connections made, by the name of the frontend.
    connections: BTreeMap<&'static str, u64>,
}

impl Rig {
    pub fn start(program: Program) -> Self {
        let address = own_address();
        let origin = Origin::start((address, 9001).into(), (address, 9002).into());
        let dir = TempDir::new().unwrap();
        let socket = dir.path().join("stats.sock");
        let config = include_str!("course.cfg")
            .replace("SOCKET", &socket.to_string_lossy())
            .replace("ADDR", &address.to_string());
        let ports = [8080, 8081, 8082, 8083, 8084, 8085, 8086, 8087, 8088];
        let proxy = Proxy::start_in(program, dir, &config, &["-db"], address, &ports)
            .unwrap_or_else(|error| panic!("{program:?} {error}"));
        Self { origin, filled: BTreeSet::new(), proxy, address, connections: BTreeMap::new() }
    }

    pub fn get_by_http2(&self, port: u16, path: &str) {
        let url = format!("http://{}:{port}{path}", self.address);
        let arguments = ["-sS", "--http2-prior-knowledge", "--max-time", "20", &url];
        let curl = std::process::Command::new("curl").args(arguments).output().unwrap();
        assert!(curl.status.success(), "{}", String::from_utf8_lossy(&curl.stderr));
    }

    pub fn ask(&self, line: &str) -> String {
        ask(&self.proxy.dir().join("stats.sock"), line)
    }

    /// `show stat`, what it holds noted.
    pub fn table(&mut self) -> Table {
        let table = Table::of(&self.ask("show stat"));
        for row in table.rows.values() {
            let filled =
                table.columns.iter().zip(row).filter(|(_, cell)| !["", "0", "-1"].contains(&cell.as_str()));
            self.filled.extend(filled.map(|(column, _)| column.clone()));
        }
        table
    }

    pub fn until(&mut self, what: &str, reached: impl Fn(&Table, &Origin) -> bool) {
        let started = Instant::now();
        loop {
            let table = self.table();
            if reached(&table, &self.origin) {
                return;
            }
            assert!(started.elapsed() < LIMIT, "waited for {what}:\n{:#?}", table.rows);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Until every connection made was accepted, and none is left.
    pub fn settle(&mut self) {
        let made = self.connections.clone();
        self.until("the end of all sessions", |table, _| {
            made.iter().all(|(name, count)| table.number(&format!("{name}/FRONTEND"), "conn_tot") == *count)
                && table
                    .rows
                    .keys()
                    .all(|row| table.number(row, "scur") == 0 && table.number(row, "qcur") == 0)
        });
    }

    fn count(&mut self, port: u16) {
        let name = match port {
            8080 => "web",
            8081 => "paths",
            8086 => "refused",
            8087 => "broken",
            8088 => "oversized",
            _ => "stream",
        };
        *self.connections.entry(name).or_default() += 1;
    }

    pub fn connect(&mut self, port: u16) -> Client {
        self.count(port);
        let client = Client::connect(SocketAddr::from((self.address, port)));
        client.set_limit(LIMIT);
        client
    }

    /// Sends these bytes on a connection of its own, reads one answer, closes, and waits for the end.
    pub fn exchange(&mut self, port: u16, bytes: &str) {
        let mut client = self.connect(port);
        client.send(bytes.as_bytes());
        let _ = client.response(false);
        drop(client);
        self.settle();
    }

    pub fn get(&mut self, port: u16, path: &str) {
        self.exchange(port, &request(path));
    }

    /// Connects and waits for the other side to close, which may be before anything could be read.
    pub fn knock(&mut self, port: u16) {
        self.count(port);
        if let Ok(mut client) = Client::try_connect(SocketAddr::from((self.address, port))) {
            client.set_limit(LIMIT);
            let _ = client.rest();
        }
        self.settle();
    }

    /// Sends and goes away at once.
    pub fn leave(&mut self, port: u16, bytes: &str) {
        self.connect(port).send(bytes.as_bytes());
        self.settle();
    }

    /// Sends and goes away once the server has the request.
    pub fn abort(&mut self, port: u16, bytes: &str) {
        let client = self.hold(port, bytes);
        drop(client);
        self.settle();
    }

    /// Sends a request and waits until the server has it.
    pub fn hold(&mut self, port: u16, bytes: &str) -> Client {
        let before = self.origin.waiting();
        let mut client = self.connect(port);
        client.send(bytes.as_bytes());
        self.until("the server to have the request", |_, origin| origin.waiting() > before);
        client
    }
}

pub fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h.example\r\n\r\n")
}
