//! Reloads inside the process: nothing is lost, what stays keeps its state, what is wrong changes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "reload/changes.rs"]
mod changes;
#[path = "reload/differences.rs"]
mod differences;
#[path = "reload/generations.rs"]
mod generations;
#[path = "reload/globals.rs"]
mod globals;
mod harness;
#[path = "reload/load.rs"]
mod load;
#[path = "reload/sockets.rs"]
mod sockets;
#[path = "reload/state.rs"]
mod state;
#[path = "reload/stop.rs"]
mod stop;
#[path = "reload/traffic.rs"]
mod traffic;

use harness::client::Client;
use harness::console::ask;
use harness::process::{Program, Proxy};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use tempfile::TempDir;

pub const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// A process, its administration socket and its configuration file.
pub struct Rig {
    pub proxy: Proxy,
    pub address: Ipv4Addr,
    pub socket: PathBuf,
}

impl Rig {
    /// `config` comes after a `global` section with the socket; `{A}` in it stands for the address.
    pub fn start(config: &str, ports: &[u16]) -> Self {
        Self::start_with("", config, ports)
    }

    pub fn start_with(global: &str, config: &str, ports: &[u16]) -> Self {
        let address = harness::own_address();
        let dir = TempDir::new().unwrap();
        let socket = dir.path().join("admin.sock");
        let text = whole(&socket, global, config, address);
        let proxy = Proxy::start_in(Program::Weir, dir, &text, &["-db"], address, ports)
            .unwrap_or_else(|error| panic!("{error}"));
        Self { proxy, address, socket }
    }

    pub fn write(&self, global: &str, config: &str) {
        let text = whole(&self.socket, global, config, self.address);
        std::fs::write(self.proxy.dir().join("proxy.cfg"), text).unwrap();
    }

    /// Another configuration, and the answer to `reload`.
    pub fn reload(&self, config: &str) -> String {
        self.reload_with("", config)
    }

    pub fn reload_with(&self, global: &str, config: &str) -> String {
        self.write(global, config);
        ask(&self.socket, "reload")
    }

    /// The same, which must succeed.
    pub fn go_to(&self, config: &str) {
        let answer = self.reload(config);
        assert!(answer.starts_with("Success=1\n"), "{answer}\n{}", self.proxy.stderr());
    }

    pub fn at(&self, port: u16) -> SocketAddr {
        (self.address, port).into()
    }

    pub fn ask(&self, line: &str) -> String {
        ask(&self.socket, line)
    }

    /// A column of a line of `show stat`.
    pub fn stat(&self, proxy: &str, line: &str, column: &str) -> String {
        let text = self.ask("show stat");
        let mut lines = text.lines();
        let names: Vec<&str> = lines.next().unwrap_or_default().trim_start_matches("# ").split(',').collect();
        let at = names.iter().position(|n| *n == column).unwrap();
        let row = lines.map(|l| l.split(',').collect::<Vec<_>>()).find(|l| l[0] == proxy && l[1] == line);
        row.map_or_else(String::new, |l| l[at].to_owned())
    }
}

fn whole(socket: &std::path::Path, global: &str, config: &str, address: Ipv4Addr) -> String {
    format!(
        "global\n    stats socket {} level admin\n{global}defaults\n    mode http\n    timeout connect 5s\n    timeout client 20s\n    timeout server 20s\n{}",
        socket.display(),
        config.replace("{A}", &address.to_string())
    )
}

/// The status of one request on a connection of its own.
pub fn status(at: SocketAddr) -> String {
    let mut client = Client::connect(at);
    client.send(GET);
    let answer = String::from_utf8_lossy(&client.response(false)).into_owned();
    answer.split(' ').nth(1).unwrap_or("none").to_owned()
}
