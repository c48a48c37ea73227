//! The words after `weir top`, and where to look for a socket nobody named.

use super::client::Address;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub const USAGE: &str = "\
Usage: weir top [options] [<filter>]

Shows the proxies and servers of a running weir or haproxy, asked over its stats socket.

  -s <address>      the stats socket: /path, unix@/path, abns@name or host:port. Without it: $WEIR_SOCKET, else the first
                    'stats socket' line of the configuration
  -f <file>         the configuration to look in (default: /etc/weir/weir.cfg, then /etc/haproxy/haproxy.cfg)
  -i <seconds>      between two looks (default: 2; fractions are fine)
  -b                plain text instead of a screen, for pipes and files
  -n <count>        with -b: how many times (default: 1)
  <filter>          show only names that contain this

Keys: ? in the screen. Changing servers needs a socket with 'level admin'.
";

/// Where configurations usually are.
const USUAL: [&str; 2] = ["/etc/weir/weir.cfg", "/etc/haproxy/haproxy.cfg"];

#[derive(Clone, Debug)]
pub struct Arguments {
    pub help: bool,
    pub plain: bool,
    pub count: u32,
    pub interval: Duration,
    pub filter: String,
    socket: Option<String>,
    file: Option<PathBuf>,
}

impl Arguments {
    /// # Errors
    /// An unknown option, or one without its value.
    pub fn parse(words: &[String]) -> Result<Self, String> {
        let mut arguments = Self {
            help: false,
            plain: false,
            count: 1,
            interval: Duration::from_secs(2),
            filter: String::new(),
            socket: None,
            file: None,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().cloned().ok_or_else(|| format!("option '{word}' needs a value"));
            match word.as_str() {
                "-h" | "--help" | "help" => arguments.help = true,
                "-b" => arguments.plain = true,
                "-s" => arguments.socket = Some(value()?),
                "-f" => arguments.file = Some(value()?.into()),
                "-i" => arguments.interval = interval(&value()?)?,
                "-n" => arguments.count = count(&value()?)?,
                option if option.starts_with('-') => return Err(format!("unknown option '{option}'")),
                filter => filter.clone_into(&mut arguments.filter),
            }
        }
        Ok(arguments)
    }

    /// # Errors
    /// No socket was named and none is found; the message says where it was looked for.
    pub fn address(&self) -> Result<Address, String> {
        if let Some(text) = &self.socket {
            return Address::parse(text);
        }
        if self.file.is_none()
            && let Some(text) = std::env::var("WEIR_SOCKET").ok().filter(|t| !t.is_empty())
        {
            return Address::parse(&text);
        }
        let named: Vec<&Path> = match &self.file {
            Some(file) => vec![file],
            None => USUAL.iter().map(Path::new).collect(),
        };
        for file in &named {
            let Ok(text) = std::fs::read_to_string(file) else { continue };
            if let Some(address) = first_socket(&text) {
                return Address::parse(&address);
            }
        }
        let places: Vec<String> = named.iter().map(|f| f.display().to_string()).collect();
        Err(format!(
            "no 'stats socket' line found in {}: name the socket with -s, or in WEIR_SOCKET",
            places.join(" or ")
        ))
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let refuse = || format!("'-i' needs seconds from 0.1 to 3600, not '{text}'");
    let seconds: f64 = text.parse().map_err(|_| refuse())?;
    if (0.1..=3600.0).contains(&seconds) { Ok(Duration::from_secs_f64(seconds)) } else { Err(refuse()) }
}

fn count(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| format!("'-n' needs a number from 1, not '{text}'"))
}

/// The address of the first `stats socket` line.
fn first_socket(configuration: &str) -> Option<String> {
    configuration.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("stats") && words.next() == Some("socket"))
            .then(|| words.next().map(|w| w.trim_matches(['"', '\'']).to_owned()))
            .flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn words() {
        let a = parse("-s /run/x.sock -i 0.5 -b -n 3 web").unwrap();
        assert_eq!((a.interval.as_millis(), a.plain, a.count, &*a.filter), (500, true, 3, "web"));
        for line in ["-s", "-i 0", "-i x", "-n 0", "--nope"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn sockets_of_a_configuration() {
        let text = "global\n  # stats socket /no\n  stats timeout 2m\n  stats socket \"/run/a.sock\" mode 660\n  stats socket /b\n";
        assert_eq!(first_socket(text).as_deref(), Some("/run/a.sock"));
        assert_eq!(first_socket("global\n"), None);
    }
}
