//! One configuration under both programs, and what they say: standard error and the log with its levels.

use crate::harness::process::{Program, Proxy};
use crate::harness::syslog::Syslog;
use crate::harness::{bind_soon, own_address};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

pub const FRONT: u16 = 8000;
pub const SERVER: u16 = 8001;
pub const AGENT: u16 = 8002;
const LOG: u16 = 8014;

/// Long, for machines under load.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A program that runs.
pub struct Run {
    pub program: Program,
    pub address: Ipv4Addr,
    proxy: Proxy,
    syslog: Syslog,
}

impl Run {
    /// `config`: from the proxy sections on, with `ADDR` for the address.
    pub fn start(program: Program, address: Ipv4Addr, config: &str) -> Self {
        let syslog = Syslog::start(at(address, LOG));
        let text = format!(
            "global\n log ADDR:{LOG} local0\n nbthread 1\ndefaults\n log global\n mode http\n timeout client 10s\n \
             timeout server 10s\n timeout connect 5s\n{config}\n"
        );
        let text = text.replace("ADDR", &address.to_string());
        let proxy = Proxy::start(program, &text, address, &[FRONT]).unwrap();
        Self { program, address, proxy, syslog }
    }

    /// Waits until standard error holds this.
    pub fn wait_for(&self, text: &str) {
        self.wait_for_times(text, 1);
    }

    /// Waits until it was said so many times.
    pub fn wait_for_times(&self, text: &str, times: usize) {
        let started = Instant::now();
        while self.proxy.stderr().matches(text).count() < times {
            assert!(
                started.elapsed() < PATIENCE,
                "{:?} never said {text:?}:\n{}",
                self.program,
                self.proxy.stderr()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the log holds this.
    pub fn wait_for_log(&self, text: &str) {
        assert!(self.syslog.wait_for(text, PATIENCE).is_some(), "the log never said {text:?}");
    }

    pub fn at(&self, port: u16) -> SocketAddr {
        at(self.address, port)
    }

    /// Everything said about servers; the process has ended then.
    pub fn finish(self) -> Vec<String> {
        let mut proxy = self.proxy;
        proxy.signal("USR1");
        assert!(proxy.wait(PATIENCE).is_some(), "it does not stop");
        let said = proxy.stderr();
        let stderr = said.lines().filter(|l| l.contains("erver ") || l.contains("has no server"));
        let stderr = stderr.map(|l| {
            let kind = l.split(']').next().unwrap_or_default();
            format!("{kind}] {}", l.split_once(") : ").map_or(l, |(_, text)| text))
        });
        let logged = self.syslog.drain().into_iter().filter(|l| l.contains("erver "));
        let logged = logged.map(|l| {
            let level = l.split('>').next().unwrap_or_default().to_owned();
            format!("{level}> {}", l.split_once("]: ").map_or(l.as_str(), |(_, text)| text).trim_end())
        });
        stderr.chain(logged).map(|l| without_duration(&l)).collect()
    }
}

pub fn at(address: Ipv4Addr, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(address), port)
}

/// Runs the script under both programs, one after the other; what they said is the same. `prepare` starts what has to
/// be there before them.
pub fn compare<T>(config: &str, prepare: impl Fn(Ipv4Addr) -> T, script: impl Fn(&Run, T)) -> Vec<String> {
    compare_kept(config, |_| true, prepare, script)
}

/// Compares the lines that `keep` keeps.
pub fn compare_kept<T>(
    config: &str,
    keep: impl Fn(&str) -> bool,
    prepare: impl Fn(Ipv4Addr) -> T,
    script: impl Fn(&Run, T),
) -> Vec<String> {
    let said: Vec<Vec<String>> = [Program::HaProxy, Program::Weir]
        .into_iter()
        .map(|program| {
            let address = own_address();
            let prepared = prepare(address);
            let run = Run::start(program, address, config);
            script(&run, prepared);
            let address = run.address.to_string();
            let lines = run.finish().into_iter().filter(|l| keep(l));
            lines.map(|l| l.replace(&address, "ADDR")).collect()
        })
        .collect();
    let same = said[0].iter().zip(&said[1]).take_while(|(a, b)| a == b).count();
    let rest = |i: usize| said[i].iter().skip(same.saturating_sub(1)).take(5).collect::<Vec<_>>();
    assert!(said[1] == said[0], "line {same}: haproxy {:#?}\nweir {:#?}", rest(0), rest(1));
    assert!(!said[0].is_empty(), "nothing was said");
    said.into_iter().next().unwrap_or_default()
}

/// Check durations differ from run to run. What traffic shows haproxy judges within the session that showed it, weir a
/// moment later: that session may be over then.
fn without_duration(line: &str) -> String {
    let line = line.replace(" 1 sessions active", " 0 sessions active");
    let mark = "check duration: ";
    let Some((before, after)) = line.split_once(mark) else { return line };
    format!("{before}{mark}N{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// Accepts and closes: what a check that only connects needs.
pub struct Door(
    Option<std::thread::JoinHandle<()>>,
    SocketAddr,
    std::sync::Arc<std::sync::atomic::AtomicBool>,
);

impl Door {
    pub fn open(address: SocketAddr) -> Self {
        let listener = bind_soon(|| TcpListener::bind(address));
        let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let ending = std::sync::Arc::clone(&done);
        let thread = std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                if ending.load(std::sync::atomic::Ordering::SeqCst) {
                    return;
                }
                let _ = stream.set_nonblocking(true);
                let _ = stream.read(&mut [0; 100]);
            }
        });
        Self(Some(thread), address, done)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.2.store(true, std::sync::atomic::Ordering::SeqCst);
        let _ = TcpStream::connect(self.1);
        if let Some(thread) = self.0.take() {
            let _ = thread.join();
        }
    }
}
