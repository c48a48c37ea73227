//! What `-h` says.

use crate::config::suggest;

pub const SHORT: &str = "\
Usage: weir [-f <file|directory>]... [options]     (weir -h explains them; weir demo shows weir at work)";

pub const LONG: &str = "\
weir reads an HAProxy configuration and serves it.

Usage: weir [-f <file|directory>]... [options] [-- <file>...]
       weir demo                a proxy and three web servers on this machine, for a first look
       weir diff <old> <new>    what a reload from one configuration to the other would do (weir diff -h)
       weir diff -f <new>       the same for the process that runs
       weir reload -p <file>    reload the process of that pid file and say what came of it (weir reload -h)
       weir top [<options>]     the running process in the terminal (weir top -h)
       weir ipvsadm [<options>] services of 'mode l4' in ipvsadm's words (weir ipvsadm -h); by a link of that name too
       weir l4 <command>        explain, doctor, server-setup: tools around 'mode l4' (weir l4 -h)
       weir vrrp watch -i <if>  what VRRP says on an interface, in words (weir vrrp -h)

Configuration
  -f <file|directory>   read this file, or every *.cfg in this directory in order; may be repeated
  -- <file>...          all that follows are configuration files
  -C <directory>        change to this directory first
  -c                    check the configuration and exit: 0 valid, 1 not
  -cc <condition>       evaluate a condition of the language and exit: 0 true, 1 false, 2 error
  -dW                   take warnings for errors
  -dD                   also show diagnostics of what is suspicious, but valid
  -dK<class>             list the keywords known here (-dKhelp: the classes)

Running
  -D                    go to the background (-db, -d: stay in the foreground whatever the configuration says)
  -W, -Ws               a master that starts workers, keeps their sockets and reloads by starting another; -Ws tells systemd
  -S <socket>           the master's own command socket: a path or address:port, with ,mode,<octal> if wanted
  -p <file>             write the pid here
  -sf <pid>...          take over from these old processes: their sockets, then let them finish and stop
  -x <socket>           take the listening sockets from the process with this stats socket (its expose-fd listeners)
  -st <pid>...          once listening, end these old processes at once
  -n <number>           connections of the whole process
  -N <number>           connections of a frontend without maxconn
  -m <megabytes>        limit of memory
  -L <name>             this peer's name (default: the host's)
  -q, -V                say nothing but errors; say it all the same
  -dR                   one listening socket a bind line instead of one a thread
  -dS                   do not use splice()

About
  -v, -vv               version; with what it can do
  -h                    this text

Accepted because service files have them, without effect here: -dM -dL -dZ -dF -dt -de -dk -dp -dG -da -dv.
Accepted with a warning that they are not supported yet: -dV -dI -dr -dC.

Signals: USR1 finish and stop, TERM and INT stop at once, USR2 reload, HUP log the servers' states, TTOU stop listening,
         TTIN listen again.
";

const OPTIONS: &[&str] = &[
    "-f",
    "-c",
    "-cc",
    "-C",
    "-D",
    "-W",
    "-Ws",
    "-db",
    "-d",
    "-V",
    "-q",
    "-v",
    "-vv",
    "-n",
    "-N",
    "-m",
    "-L",
    "-p",
    "-S",
    "-x",
    "-sf",
    "-st",
    "-dW",
    "-dD",
    "-dR",
    "-dS",
    "-dK",
    "--help",
    "--version",
    "demo",
];

/// ` (did you mean ...)` where an option is near.
pub fn nearest(word: &str) -> String {
    suggest::hint(word, OPTIONS.iter().copied()).map_or_else(String::new, |hint| format!(" ({hint})"))
}
