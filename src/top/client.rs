//! One question, one answer: a stats socket's plain mode, in which it closes after each line.

use super::snapshot::Snapshot;
use std::fmt;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::Duration;

/// How long the process may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// A process with 100,000 servers answers 60 MB; more is no stats socket.
const LONGEST_ANSWER: u64 = 256 << 20;

/// Where a stats socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Unix(String),
    Abstract(String),
    Tcp(String),
}

impl Address {
    /// # Errors
    /// The text is no address of a stats socket.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix("abns@") {
            return Ok(Self::Abstract(name.to_owned()));
        }
        if let Some(path) = text.strip_prefix("unix@").or_else(|| text.strip_prefix("uxst@")) {
            return Ok(Self::Unix(path.to_owned()));
        }
        if text.starts_with("fd@") || text.starts_with("sockpair@") {
            return Err(format!(
                "'{text}' belongs to the process that inherited it: name another socket with -s"
            ));
        }
        let tcp = text.trim_start_matches("ipv4@").trim_start_matches("ipv6@").trim_start_matches("tcp@");
        if tcp.contains('/') || !tcp.contains(':') {
            return Ok(Self::Unix(text.to_owned()));
        }
        // `:9999` and `*:9999` listen everywhere: ask here.
        let (host, port) = tcp.rsplit_once(':').unwrap_or((tcp, ""));
        let host = if matches!(host, "" | "*" | "0.0.0.0" | "::" | "[::]") { "127.0.0.1" } else { host };
        Ok(Self::Tcp(format!("{host}:{port}")))
    }

    fn connect(&self) -> std::io::Result<Connection> {
        Ok(match self {
            Self::Unix(path) => Connection::Unix(UnixStream::connect(path)?),
            Self::Abstract(name) => {
                Connection::Unix(UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?)?)
            }
            Self::Tcp(text) => {
                let address = text
                    .to_socket_addrs()?
                    .next()
                    .ok_or_else(|| std::io::Error::other("the name has no address"))?;
                Connection::Tcp(TcpStream::connect_timeout(&address, PATIENCE)?)
            }
        })
    }

    /// Sends one line and reads all that comes.
    ///
    /// # Errors
    /// Nobody listens, or the answer does not come; the message names the address.
    pub fn ask(&self, line: &str) -> Result<String, String> {
        let failed = |e: std::io::Error| format!("{self}: {}", reason(&e));
        let mut connection = self.connect().map_err(failed)?;
        connection.limit().map_err(failed)?;
        connection.write_all(format!("{line}\n").as_bytes()).map_err(failed)?;
        let mut answer = Vec::new();
        connection.take(LONGEST_ANSWER).read_to_end(&mut answer).map_err(failed)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

/// The state of the process, in one connection.
///
/// # Errors
/// As [`Address::ask`], or what answers is no stats socket.
pub fn fetch(address: &Address) -> Result<Snapshot, String> {
    Snapshot::parse(&address.ask("show info;show stat")?)
        .ok_or_else(|| format!("{address}: what answers there does not speak as a stats socket does"))
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such socket: is the process running?".to_owned(),
        std::io::ErrorKind::ConnectionRefused => "nobody listens there: is the process running?".to_owned(),
        std::io::ErrorKind::PermissionDenied => {
            "permission denied: the socket's 'mode', 'user' and 'group' say who may use it".to_owned()
        }
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
            format!("no answer within {} s", PATIENCE.as_secs())
        }
        _ => error.to_string(),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => f.write_str(path),
            Self::Abstract(name) => write!(f, "abns@{name}"),
            Self::Tcp(address) => f.write_str(address),
        }
    }
}

enum Connection {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Connection {
    fn limit(&self) -> std::io::Result<()> {
        match self {
            Self::Unix(s) => {
                s.set_read_timeout(Some(PATIENCE)).and_then(|()| s.set_write_timeout(Some(PATIENCE)))
            }
            Self::Tcp(s) => {
                s.set_read_timeout(Some(PATIENCE)).and_then(|()| s.set_write_timeout(Some(PATIENCE)))
            }
        }
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Unix(s) => s.read(buffer),
            Self::Tcp(s) => s.read(buffer),
        }
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Unix(s) => s.write(bytes),
            Self::Tcp(s) => s.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |text: &str, expected: Address| assert_eq!(Address::parse(text), Ok(expected), "{text}");
        check("/run/a.sock", Address::Unix("/run/a.sock".into()));
        check("unix@a", Address::Unix("a".into()));
        check("./a:b", Address::Unix("./a:b".into()));
        check("abns@a", Address::Abstract("a".into()));
        check("ipv4@10.0.0.1:9999", Address::Tcp("10.0.0.1:9999".into()));
        check(":9999", Address::Tcp("127.0.0.1:9999".into()));
        check("*:9999", Address::Tcp("127.0.0.1:9999".into()));
        check("[::1]:9999", Address::Tcp("[::1]:9999".into()));
        assert!(Address::parse("fd@3").is_err());
    }
}
