//! Words to a command.

use super::options::{COMMANDS, Spec, Takes, by_long, by_short, command_name};
use super::{Command, List, What, lookup};
use crate::balance::l4::Scheduler;
use crate::config::model::l4::{Encapsulation, Flags, Forward, Protocol};
use crate::config::suggest;
use crate::live::l4::{Change, Key, Made, MadeServer};
use std::net::{IpAddr, SocketAddr};

/// Why a command line is not understood: ipvsadm's sentence, and what to write instead where that can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub message: String,
    pub hint: Option<String>,
}

impl Problem {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Default of `-p` without a number, in seconds: ipvsadm's.
const PERSISTENT: u32 = 300;

/// # Errors
/// The first thing that is wrong.
pub fn parse(words: &[String]) -> Result<Command, Problem> {
    let line = Line::read(words)?;
    for (option, _) in &line.options {
        if !option.of.contains(line.command) {
            let name = command_name(line.command);
            let problem = Problem::new(format!("Illegal '{}' option with the '{name}' command", option.long));
            return Err(line.misplaced(option, problem));
        }
    }
    match line.command {
        'A' => line.service().map(Change::Add).map(Command::Change),
        'E' => line.service().map(Change::Edit).map(Command::Change),
        'D' => line.key().map(Change::Delete).map(Command::Change),
        'C' => Ok(Command::Change(Change::Clear)),
        'R' => Ok(Command::Restore),
        'S' => Ok(Command::Save(line.has("numeric"))),
        'a' | 'e' => {
            let key = line.key()?;
            let server = line.server(key)?;
            let change = if line.command == 'a' { Change::AddServer } else { Change::EditServer };
            Ok(Command::Change(change(key, server)))
        }
        'd' => {
            let key = line.key()?;
            Ok(Command::Change(Change::DeleteServer(key, line.real_server(key)?)))
        }
        'Z' => Ok(Command::Change(Change::Zero(line.key_if_any()?))),
        'L' => line.list().map(Command::List),
        '1' => line.timeouts().map(Command::Change),
        'P' => line.local().map(|(key, address)| Command::Change(Change::AddSource(key, address))),
        'Q' => line.local().map(|(key, address)| Command::Change(Change::DeleteSource(key, address))),
        '2' | '3' => Err(Problem::new("the synchronisation of connections is not supported by weir yet")),
        'v' => Ok(Command::Version),
        _ => Ok(Command::Help),
    }
}

/// A command with its options, in order.
struct Line {
    command: char,
    options: Vec<(&'static Spec, String)>,
    /// What stands alone: the numbers of `--set`.
    rest: Vec<String>,
}

impl Line {
    fn read(words: &[String]) -> Result<Self, Problem> {
        let (mut command, mut options) = (None, Vec::new());
        let mut words = words.iter().peekable();
        let mut set = |letter: char, word: &str| match command {
            None => {
                command = Some(if letter == 'l' { 'L' } else { letter });
                Ok(())
            }
            Some(before) => Err(Problem::new(format!("invalid option `{word}'"))
                .hint(format!("the line has the command {} already", command_name(before)))),
        };
        let (mut takes_rest, mut rest) = (false, Vec::new());
        while let Some(word) = words.next() {
            if let Some(long) = word.strip_prefix("--") {
                let (name, attached) = long.split_once('=').map_or((long, None), |(n, v)| (n, Some(v)));
                if let Some((_, letter)) = COMMANDS.iter().find(|(n, _)| *n == name) {
                    set(*letter, word)?;
                    takes_rest |= matches!(letter, '1' | '2' | '3');
                    continue;
                }
                let Some(option) = by_long(name) else {
                    let names = COMMANDS
                        .iter()
                        .map(|(n, _)| *n)
                        .chain(super::options::OPTIONS.iter().map(|o| o.long));
                    let mut problem = Problem::new(format!("{word}: unknown option"));
                    problem.hint = suggest::hint(name, names);
                    return Err(problem);
                };
                let value = argument(option, word, attached.map(str::to_owned), &mut words)?;
                options.push((option, value));
            } else if let Some(letters) = word.strip_prefix('-').filter(|l| !l.is_empty()) {
                let mut letters = letters.chars();
                while let Some(letter) = letters.next() {
                    if COMMANDS.iter().any(|(_, l)| *l == letter && !l.is_ascii_digit()) {
                        set(letter, word)?;
                        continue;
                    }
                    let option =
                        by_short(letter).ok_or_else(|| Problem::new(format!("-{letter}: unknown option")))?;
                    let attached = (option.takes != Takes::Nothing).then(|| letters.as_str().to_owned());
                    let value = argument(
                        option,
                        &format!("-{letter}"),
                        attached.filter(|a| !a.is_empty()),
                        &mut words,
                    )?;
                    options.push((option, value));
                    if option.takes != Takes::Nothing {
                        break;
                    }
                }
            } else if takes_rest {
                rest.push(word.clone());
            } else {
                return Err(Problem::new(format!("unexpected argument {word}")));
            }
        }
        let Some(command) = command.or_else(|| options.is_empty().then_some('L')) else {
            return Err(Problem::new("no command specified").hint("as -A, -a, -L: see 'weir ipvsadm -h'"));
        };
        let line = Self { command, options, rest };
        line.at_most_once()?;
        Ok(line)
    }

    fn at_most_once(&self) -> Result<(), Problem> {
        for (i, (option, _)) in self.options.iter().enumerate() {
            if self.options.iter().take(i).any(|(earlier, _)| earlier.long == option.long) {
                return Err(Problem::new(format!("multiple '{}' options specified", option.long)));
            }
        }
        Ok(())
    }

    /// What was meant by an option that the command does not have.
    fn misplaced(&self, option: &Spec, problem: Problem) -> Problem {
        let value = self.value(option.long).unwrap_or("");
        match (self.command, option.long) {
            ('A' | 'E', "real-server") if Scheduler::by_name(value).is_some() => {
                problem.hint(format!("'{value}' is a scheduler: write '-s {value}'"))
            }
            ('A' | 'E', "real-server" | "masquerading" | "gatewaying" | "ipip" | "weight") => {
                problem.hint("servers are added with -a, once the service is there")
            }
            ('a' | 'e', "scheduler" | "persistent") => {
                problem.hint("that belongs to the service: write it with -A or -E")
            }
            _ => problem,
        }
    }

    fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(o, _)| o.long == name).map(|(_, v)| v.as_str())
    }

    fn key_if_any(&self) -> Result<Option<Key>, Problem> {
        if self.has("fwmark-service") {
            return Err(Problem::new("services by firewall mark are not supported by weir").hint(
                "packets are taken at tc's ingress, before iptables or nft could mark them; several 'bind' lines of one section in \
                 'mode l4' are one service, persistence included, and 'bind ADDRESS:0' has every port",
            ));
        }
        if self.has("sctp-service") {
            return Err(Problem::new("SCTP is not supported by weir yet"));
        }
        let (tcp, udp) = (self.value("tcp-service"), self.value("udp-service"));
        let (protocol, text) = match (tcp, udp) {
            (Some(text), None) => (Protocol::Tcp, text),
            (None, Some(text)) => (Protocol::Udp, text),
            (None, None) => return Ok(None),
            _ => return Err(Problem::new("multiple 'service-address' options specified")),
        };
        let address = address(text, protocol).ok_or_else(|| {
            Problem::new("illegal virtual server address[:port] specified")
                .hint(format!("'{text}' is not <address>:<port>"))
        })?;
        Ok(Some((protocol, address)))
    }

    fn key(&self) -> Result<Key, Problem> {
        self.key_if_any()?.ok_or_else(|| self.missing("service-address", "as -t 192.0.2.1:80, or -u for UDP"))
    }

    fn missing(&self, option: &str, hint: &str) -> Problem {
        let command = command_name(self.command);
        Problem::new(format!("You need to supply the '{option}' option for the '{command}' command"))
            .hint(hint)
    }

    fn number(&self, name: &str, most: u32) -> Result<Option<u32>, Problem> {
        let Some(text) = self.value(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|n| *n <= most);
        number.map(Some).ok_or_else(|| {
            Problem::new(format!("illegal {name} specified")).hint(format!("'{text}' is not 0 to {most}"))
        })
    }

    fn timeouts(&self) -> Result<Change, Problem> {
        let [tcp, tcpfin, udp] = self.rest.as_slice() else {
            return Err(Problem::new("--set option requires 3 timeout values")
                .hint("for tcp, tcpfin and udp, in seconds; 0 leaves one as it is"));
        };
        // 31 days, as in ipvsadm.
        let seconds = |text: &String| {
            let number = text.parse().ok().filter(|n| *n <= 86_400 * 31);
            number.ok_or_else(|| Problem::new(format!("invalid timeout value `{text}' specified")))
        };
        Ok(Change::Timeouts(seconds(tcp)?, seconds(tcpfin)?, seconds(udp)?))
    }

    fn local(&self) -> Result<(Key, IpAddr), Problem> {
        let key = self.key()?;
        let text =
            self.value("local-address").ok_or_else(|| self.missing("local-address", "as -z 10.0.0.5"))?;
        let address = text.parse::<IpAddr>().ok().filter(|a| a.is_ipv4() == key.1.is_ipv4());
        let address = address.ok_or_else(|| {
            Problem::new("illegal local address specified")
                .hint(format!("'{text}' is not an address of the service's family"))
        })?;
        Ok((key, address))
    }

    fn service(&self) -> Result<Made, Problem> {
        let key = self.key()?;
        let name = self.value("scheduler").unwrap_or("wlc");
        let Some(scheduler) = Scheduler::by_name(name) else {
            let problem = Problem::new("Scheduler or persistence engine not found");
            let names = Scheduler::ALL.map(Scheduler::name);
            let hint = suggest::hint(name, names).unwrap_or_else(|| format!("there are {}", names.join(" ")));
            return Err(problem.hint(hint));
        };
        if self.has("pe") {
            return Err(Problem::new("--pe is not supported by weir yet"));
        }
        let persist = self.persist(key)?;
        if key.1.port() == 0 && persist.is_none() {
            return Err(Problem::new("Zero port specified for non-persistent service")
                .hint("write the port, or -p: with every port taken, a client's connections must meet on one server"));
        }
        if self.has("ops") && key.0 == Protocol::Tcp {
            return Err(Problem::new("One-Packet Scheduling is only for UDP virtual services"));
        }
        let flags = self.flags(scheduler)?;
        Ok(Made {
            key,
            scheduler,
            flags,
            persist,
            one_packet: self.has("ops"),
            sources: Vec::new(),
            servers: Vec::new(),
        })
    }

    fn persist(&self, key: Key) -> Result<Option<(u32, u8)>, Problem> {
        let Some(text) = self.value("persistent") else {
            if self.has("netmask") {
                return Err(
                    Problem::new("illegal virtual server persistent mask specified").hint("-M needs -p")
                );
            }
            return Ok(None);
        };
        // 31 days, as in ipvsadm.
        let seconds = if text.is_empty() { Some(PERSISTENT) } else { text.parse().ok() };
        let Some(seconds) = seconds.filter(|s| (1..=86_400 * 31).contains(s)) else {
            return Err(Problem::new(format!("invalid timeout value `{text}' specified")));
        };
        let widest = if key.1.is_ipv4() { 32 } else { 128 };
        let bits = match self.value("netmask") {
            None => Some(widest),
            Some(mask) if key.1.is_ipv4() => mask.parse::<std::net::Ipv4Addr>().ok().and_then(|mask| {
                let mask = u32::from(mask);
                let bits = u8::try_from(mask.leading_ones()).ok()?;
                (bits > 0 && u32::from(bits) == mask.count_ones()).then_some(bits)
            }),
            Some(bits) => bits.parse().ok().filter(|bits| (1..=128).contains(bits)),
        };
        bits.map(|bits| Some((seconds, bits)))
            .ok_or_else(|| Problem::new("illegal virtual server persistent mask specified"))
    }

    fn flags(&self, scheduler: Scheduler) -> Result<Flags, Problem> {
        let mut flags = Flags::default();
        for flag in self.value("sched-flags").unwrap_or("").split(',').filter(|f| !f.is_empty()) {
            match (flag, scheduler) {
                ("sh-port", Scheduler::Sh) | ("mh-port", Scheduler::Mh) => flags.port = true,
                ("sh-fallback", Scheduler::Sh) | ("mh-fallback", Scheduler::Mh) => flags.fallback = true,
                ("sh-port" | "mh-port" | "sh-fallback" | "mh-fallback", _) => {
                    return Err(Problem::new(format!("incompatible scheduler flag `{flag}'")));
                }
                _ => return Err(Problem::new(format!("invalid scheduler flag `{flag}'"))),
            }
        }
        Ok(flags)
    }

    fn real_server(&self, key: Key) -> Result<SocketAddr, Problem> {
        let text =
            self.value("real-server").ok_or_else(|| self.missing("real-server", "as -r 10.0.0.1:80"))?;
        let mut address = address(text, key.0).ok_or_else(|| {
            Problem::new("illegal real server address[:port] specified")
                .hint(format!("'{text}' is not <address>[:<port>]"))
        })?;
        if address.port() == 0 {
            address.set_port(key.1.port());
        }
        Ok(address)
    }

    /// How packets are wrapped, with ipvsadm's words about what does not go together.
    fn encapsulation(&self) -> Result<Encapsulation, Problem> {
        let kind = self.value("tun-type").unwrap_or("ipip");
        let port = match self.value("tun-port") {
            None => None,
            Some(text) => match text.parse() {
                Ok(0) | Err(_) => return Err(Problem::new("illegal tunnel port specified")),
                Ok(port) => Some(port),
            },
        };
        match kind {
            "ipip" | "gue" => {}
            "gre" => {
                return Err(Problem::new("tunnels of type 'gre' are not supported by weir")
                    .hint("'gue' passes through NAT and firewalls as UDP does"));
            }
            _ => return Err(Problem::new("illegal tunnel type specified").hint("ipip or gue")),
        }
        let sums: Vec<&str> =
            ["tun-csum", "tun-nocsum", "tun-remcsum"].into_iter().filter(|option| self.has(option)).collect();
        match (kind, port, sums.as_slice()) {
            ("ipip", Some(_), _) => {
                Err(Problem::new("Illegal 'tun-port' option with the 'ipip' tunnel type")
                    .hint("'--tun-type gue' has one"))
            }
            ("ipip", _, [option, ..]) => {
                Err(Problem::new(format!("Illegal '{option}' option with the 'ipip' tunnel type")))
            }
            ("ipip", ..) => Ok(Encapsulation::Ip),
            (_, None, _) => {
                Err(Problem::new("You need to supply the 'tun-port' option for the 'gue' tunnel type")
                    .hint("as '--tun-port 6080', the one the server was given ('ip fou add port 6080 gue')"))
            }
            (_, _, [one, other, ..]) => Err(Problem::new(format!(
                "The option '{one}' conflicts with the '{other}' option in the 'gue' tunnel type"
            ))),
            (_, _, [option]) if *option != "tun-nocsum" => {
                Err(Problem::new(format!("'--{option}' is not supported by weir"))
                    .hint("without it the packet inside is covered by its own checksum"))
            }
            (_, Some(port), _) => Ok(Encapsulation::Gue { port }),
        }
    }

    fn server(&self, key: Key) -> Result<MadeServer, Problem> {
        let mut address = self.real_server(key)?;
        let forward =
            match (self.has("ipip"), self.has("masquerading"), self.has("gatewaying"), self.has("fullnat")) {
                (true, false, false, false) => Forward::Tunnel(self.encapsulation()?),
                (false, true, false, false) => Forward::Nat,
                (false, false, _, false) => Forward::DirectRouting,
                (false, false, false, true) => Forward::FullNat { toa: false },
                _ => return Err(Problem::new("multiple 'forwarding-method' options specified")),
            };
        let tunnel = ["tun-type", "tun-port", "tun-nocsum", "tun-csum", "tun-remcsum"];
        if !self.has("ipip") && tunnel.iter().any(|option| self.has(option)) {
            return Err(Problem::new("Tunnel options conflict with forward method").hint("tunnels are '-i'"));
        }
        if address.is_ipv4() != key.1.is_ipv4() && !matches!(forward, Forward::Tunnel(_)) {
            return Err(Problem::new("Different address family is allowed only for tunneling servers"));
        }
        // IPVS takes a server's port for what it shows only, unless it rewrites packets.
        if !matches!(forward, Forward::Nat | Forward::FullNat { .. }) {
            address.set_port(key.1.port());
        }
        Ok(MadeServer {
            address,
            forward,
            weight: self.number("weight", 65_535)?.unwrap_or(1),
            upper_threshold: self.number("u-threshold", 65_535)?.unwrap_or(0),
            lower_threshold: self.number("l-threshold", 65_535)?.unwrap_or(0),
        })
    }

    fn list(&self) -> Result<List, Problem> {
        if self.has("connection") {
            let alone = ["timeout", "daemon", "stats", "rate", "thresholds"];
            if let Some(other) = alone.into_iter().find(|name| self.has(name)) {
                let problem = Problem::new("options conflicts in the list command");
                return Err(problem.hint(format!("-c and --{other} are lists of their own")));
            }
            if self.key_if_any()?.is_some() {
                return Err(Problem::new(
                    "The option 'service-address' conflicts with the 'connection' option in the 'list' command",
                ));
            }
        }
        // The first of these that is asked for counts, as in ipvsadm.
        let shown = [
            ("connection", What::Connections(self.has("persistent-conn"))),
            ("timeout", What::Timeouts),
            ("daemon", What::Daemon),
            ("stats", What::Stats),
            ("rate", What::Rate),
            ("thresholds", What::Thresholds),
            ("persistent-conn", What::PersistentConnections),
            ("tun-info", What::TunnelInfo),
        ];
        if let Some(other) = ["timeout", "daemon"].into_iter().find(|name| self.has(name))
            && self.key_if_any()?.is_some()
        {
            return Err(Problem::new(format!(
                "The option '{other}' conflicts with the 'service-address' option in the 'list' command"
            )));
        }
        if self.has("timeout") && self.has("daemon") {
            return Err(Problem::new(
                "The option 'daemon' conflicts with the 'timeout' option in the 'list' command",
            ));
        }
        let what = shown.iter().find(|(name, _)| self.has(name)).map_or(What::Table, |(_, what)| *what);
        Ok(List {
            service: self.key_if_any()?,
            what,
            numeric: self.has("numeric"),
            exact: self.has("exact"),
            unsorted: self.has("nosort"),
        })
    }
}

/// The value of an option: attached, or the next word.
fn argument<'a>(
    option: &Spec,
    written: &str,
    attached: Option<String>,
    words: &mut std::iter::Peekable<impl Iterator<Item = &'a String>>,
) -> Result<String, Problem> {
    match (option.takes, attached) {
        (Takes::Nothing, None) => Ok(String::new()),
        (Takes::Nothing, Some(value)) => {
            Err(Problem::new(format!("--{} takes no value (got '{value}')", option.long)))
        }
        (_, Some(value)) => Ok(value),
        (Takes::Value, None) => {
            words.next().cloned().ok_or_else(|| Problem::new(format!("{written}: missing argument")))
        }
        (Takes::Optional, None) => {
            let follows = words.peek().is_some_and(|w| w.starts_with(|c: char| c.is_ascii_digit()));
            Ok(if follows { words.next().cloned().unwrap_or_default() } else { String::new() })
        }
    }
}

/// `host[:port]`, `[v6]:port`; names and services by name too. Port 0 without one.
fn address(text: &str, protocol: Protocol) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Some(ip) =
        text.trim_start_matches('[').trim_end_matches(']').parse().ok().filter(|_| !text.ends_with(':'))
    {
        return Some(SocketAddr::new(ip, 0));
    }
    let (host, port) = text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let port = match port {
        None => 0,
        Some(port) => port.parse().ok().or_else(|| lookup::port(port, protocol))?,
    };
    let ip = lookup::host(host.trim_start_matches('[').trim_end_matches(']'))?;
    Some(SocketAddr::new(ip, port))
}
