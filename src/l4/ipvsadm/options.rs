//! The options by their names, and which command may have which.

/// What stands after an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    Nothing,
    Value,
    /// A number, if one follows.
    Optional,
}

pub(super) struct Spec {
    pub long: &'static str,
    pub short: Option<char>,
    pub takes: Takes,
    /// The commands that may have it, by their letters.
    pub of: &'static str,
}

const fn flag(long: &'static str, short: Option<char>, of: &'static str) -> Spec {
    Spec { long, short, takes: Takes::Nothing, of }
}

const fn value(long: &'static str, short: Option<char>, of: &'static str) -> Spec {
    Spec { long, short, takes: Takes::Value, of }
}

/// Commands: long name, letter; `set`, the daemons and help have letters of ours.
pub(super) const COMMANDS: &[(&str, char)] = &[
    ("add-service", 'A'),
    ("edit-service", 'E'),
    ("delete-service", 'D'),
    ("clear", 'C'),
    ("restore", 'R'),
    ("save", 'S'),
    ("add-server", 'a'),
    ("edit-server", 'e'),
    ("delete-server", 'd'),
    ("list", 'L'),
    ("list", 'l'),
    ("zero", 'Z'),
    ("set", '1'),
    ("add-laddr", 'P'),
    ("del-laddr", 'Q'),
    ("version", 'v'),
    ("start-daemon", '2'),
    ("stop-daemon", '3'),
    ("help", 'h'),
];

pub(super) const OPTIONS: &[Spec] = &[
    value("tcp-service", Some('t'), "AEDaedLZPQ"),
    value("udp-service", Some('u'), "AEDaedLZPQ"),
    value("sctp-service", None, "AEDaedLZPQ"),
    value("fwmark-service", Some('f'), "AEDaedLZPQ"),
    flag("ipv6", Some('6'), "AEDaedLZPQ"),
    value("scheduler", Some('s'), "AE"),
    Spec { long: "persistent", short: Some('p'), takes: Takes::Optional, of: "AE" },
    value("netmask", Some('M'), "AE"),
    value("pe", None, "AE"),
    value("sched-flags", Some('b'), "AE"),
    flag("ops", Some('o'), "AE"),
    value("real-server", Some('r'), "aed"),
    flag("gatewaying", Some('g'), "ae"),
    flag("ipip", Some('i'), "ae"),
    flag("masquerading", Some('m'), "ae"),
    flag("fullnat", None, "ae"),
    value("local-address", Some('z'), "PQ"),
    value("tun-type", None, "ae"),
    value("tun-port", None, "ae"),
    flag("tun-nocsum", None, "ae"),
    flag("tun-csum", None, "ae"),
    flag("tun-remcsum", None, "ae"),
    value("weight", Some('w'), "ae"),
    value("u-threshold", Some('x'), "ae"),
    value("l-threshold", Some('y'), "ae"),
    flag("numeric", Some('n'), "LS"),
    flag("connection", Some('c'), "L"),
    flag("timeout", None, "L"),
    flag("daemon", None, "L"),
    flag("stats", None, "L"),
    flag("rate", None, "L"),
    flag("exact", None, "L"),
    flag("thresholds", None, "L"),
    flag("persistent-conn", None, "L"),
    flag("tun-info", None, "L"),
    flag("sort", None, "L"),
    flag("nosort", None, "L"),
    value("syncid", None, "2"),
    value("sync-maxlen", None, "2"),
    value("mcast-interface", None, "2"),
    value("mcast-group", None, "2"),
    value("mcast-port", None, "2"),
    value("mcast-ttl", None, "2"),
];

pub(super) fn by_long(name: &str) -> Option<&'static Spec> {
    OPTIONS.iter().find(|o| o.long == name)
}

pub(super) fn by_short(letter: char) -> Option<&'static Spec> {
    OPTIONS.iter().find(|o| o.short == Some(letter))
}

/// A command's name by its letter.
pub(super) fn command_name(letter: char) -> &'static str {
    COMMANDS.iter().find(|(_, l)| *l == letter).map_or("", |(name, _)| name)
}

pub const HELP: &str = "\
weir ipvsadm: the services of 'mode l4' in a running weir, in ipvsadm's words.

Commands
  -A, -E  --add-service, --edit-service     <service> [-s <scheduler>] [-p [<seconds>]] [-M <netmask>] [-b <flags>] [-o]
  -D      --delete-service                  <service>
  -a, -e  --add-server, --edit-server       <service> -r <server> [-g | -i | -m | --fullnat] [-w <weight>] [-x <flows>] [-y <flows>]
                                            [-i --tun-type gue --tun-port <port>]: wrapped in UDP
  -d      --delete-server                   <service> -r <server>
  -P, -Q  --add-laddr, --del-laddr          <service> -z <address>: an address that servers in --fullnat see
  -L, -l  --list                            [<service>] [-n] [--exact] [--stats | --rate | --thresholds | --persistent-conn
                                            | --tun-info | --timeout | --daemon | -c] [--nosort]
  -Z      --zero                            [<service>]: counters begin at 0 again
          --set <tcp> <tcpfin> <udp>        seconds of silence after which flows of services made here are forgotten; 0: as is
  -C      --clear                           removes all services that were made by this program
  -S      --save                            [-n]: the services made here, as lines that -R reads
  -R      --restore                         reads lines from the standard input; all of them count or none
  -h      --help

<service> is -t or -u with <address>[:<port>], TCP or UDP. Schedulers: rr wrr lc wlc (the default) lblc lblcr dh sh sed nq fo
ovf mh twos. Services of the configuration are shown, and are changed there. The process is found by WEIR_SOCKET, else by the
first 'stats socket' of the usual configuration; changes need one with 'level admin'.
";
