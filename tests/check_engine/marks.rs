//! Sessions that are under way as their server goes, or as a better one comes: `on-marked-down shutdown-sessions`,
//! `on-marked-up shutdown-backup-sessions`, beside haproxy.

use crate::harness::bind_soon;
use crate::rig::{FRONT, PATIENCE, Run, SERVER, at, compare};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

const BACKUP: u16 = 8006;
/// Where the checks go: an answer of 200 or 503.
const HEALTH: u16 = 8007;

/// Says `mark` to each connection, and what it hears back.
fn echo(address: SocketAddr, mark: &'static [u8]) {
    let listener = bind_soon(|| TcpListener::bind(address));
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            std::thread::spawn(move || {
                let _ = stream.write_all(mark);
                let mut bytes = [0; 100];
                while let Ok(n @ 1..) = stream.read(&mut bytes) {
                    let _ = stream.write_all(&bytes[..n]);
                }
            });
        }
    });
}

/// Tells the checks that all is well, or not.
fn health(address: SocketAddr, well: bool) -> Arc<AtomicBool> {
    let state = Arc::new(AtomicBool::new(well));
    let shared = Arc::clone(&state);
    let listener = bind_soon(|| TcpListener::bind(address));
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.read(&mut [0; 1000]);
            let status = if shared.load(Ordering::SeqCst) { 200 } else { 503 };
            let _ = write!(stream, "HTTP/1.0 {status} Said\r\n\r\n");
        }
    });
    state
}

/// A session, once the server has said its mark.
fn session(run: &Run, mark: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(run.at(FRONT)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut got = [0];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(got, mark, "{:?}", run.program);
    stream
}

fn lives(stream: &mut TcpStream) -> bool {
    let mut got = [0];
    stream.write_all(b"?").is_ok() && matches!(stream.read(&mut got), Ok(1))
}

/// Closed or reset, without a word from us.
fn is_over(stream: &mut TcpStream) -> bool {
    !matches!(stream.read(&mut [0]), Ok(1))
}

fn config(main: &str) -> String {
    format!(
        "listen f\n bind ADDR:{FRONT}\n mode tcp\n option httpchk\n no log\n log ADDR:8014 local0 notice\n server main ADDR:{SERVER} check \
         port {HEALTH} inter 50ms rise 1 fall 1 {main}\n server spare ADDR:{BACKUP} backup"
    )
}

fn servers(address: std::net::Ipv4Addr, well: bool) -> Arc<AtomicBool> {
    echo(at(address, SERVER), b"m");
    echo(at(address, BACKUP), b"b");
    health(at(address, HEALTH), well)
}

/// `ends`: the session on the server that goes down ends with it.
fn going_down(option: &str, ends: bool) {
    let config = config(option);
    let outcomes = Mutex::new(Vec::new());
    compare(
        &config,
        |address| servers(address, true),
        |run, state| {
            let mut old = session(run, b"m");
            state.store(false, Ordering::SeqCst);
            run.wait_for("Server f/main is DOWN");
            let over = if ends { is_over(&mut old) } else { !lives(&mut old) };
            outcomes.lock().unwrap().push(over);
            assert!(lives(&mut session(run, b"b")), "{:?}", run.program);
        },
    );
    assert_eq!(*outcomes.lock().unwrap(), [ends, ends], "{option}");
}

/// The same of a session on the backup as the server comes up.
fn coming_up(option: &str, ends: bool) {
    let config = config(option);
    let outcomes = Mutex::new(Vec::new());
    compare(
        &config,
        |address| servers(address, false),
        |run, state| {
            run.wait_for("Server f/main is DOWN");
            let mut old = session(run, b"b");
            state.store(true, Ordering::SeqCst);
            run.wait_for("Server f/main is UP");
            let over = if ends { is_over(&mut old) } else { !lives(&mut old) };
            outcomes.lock().unwrap().push(over);
            assert!(lives(&mut session(run, b"m")), "{:?}", run.program);
        },
    );
    assert_eq!(*outcomes.lock().unwrap(), [ends, ends], "{option}");
}

#[test]
fn sessions_end_with_their_server() {
    going_down("on-marked-down shutdown-sessions", true);
    going_down("", false);
}

#[test]
fn sessions_leave_the_backup() {
    coming_up("on-marked-up shutdown-backup-sessions", true);
    coming_up("", false);
}

/// Not in HAProxy 2.6. Of the four states, by 3.1's manual: up and fully-up take traffic at once, down and fully-down wait for
/// one check or for `rise` of them; one failure ends up, `fall` of them fully-up.
#[test]
fn servers_start_as_init_state_says() {
    let check = |state: &str, well: bool, expected: &[&str]| {
        let address = crate::harness::own_address();
        let _health = health(at(address, HEALTH), well);
        let config = format!(
            "listen f\n bind ADDR:{FRONT}\n mode tcp\n option httpchk\n option log-health-checks\n server s ADDR:{SERVER} check port {HEALTH} \
             inter 50ms rise 3 fall 3 init-state {state}"
        );
        let run = Run::start(crate::harness::process::Program::Weir, address, &config);
        let last = *expected.last().unwrap();
        run.wait_for(last);
        let said: Vec<String> = run.finish();
        let checks = said.iter().filter(|l| l.starts_with("[WARNING]") && l.contains("Health check"));
        let got: Vec<String> = checks
            .filter_map(|l| Some(l.split("status: ").nth(1)?.trim_end_matches('.').to_owned()))
            .collect();
        assert!(
            got.len() >= expected.len() && got.iter().zip(expected).all(|(g, e)| g == e),
            "{state}: {said:#?}"
        );
    };
    check("up", false, &["0/3 DOWN"]);
    check("fully-up", false, &["2/3 UP", "1/3 UP", "0/3 DOWN"]);
    check("down", true, &["3/3 UP"]);
    check("fully-down", true, &["1/3 DOWN", "2/3 DOWN", "3/3 UP"]);
}
