//! `observe`: what traffic shows of a server counts, and what happens to its sessions when the server goes or comes.

use crate::harness::bind_soon;
use crate::rig::{self, FRONT, PATIENCE, Run, SERVER, at};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

/// Answers each connection's request with the status of the moment; what asks for nothing gets nothing.
fn origin(address: SocketAddr) -> Arc<AtomicU16> {
    let status = Arc::new(AtomicU16::new(200));
    let answers = Arc::clone(&status);
    let listener = bind_soon(|| TcpListener::bind(address));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), status) = (stream, Arc::clone(&answers)) else { return };
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                if stream.read(&mut request).unwrap_or(0) == 0 {
                    return;
                }
                let status = status.load(Ordering::SeqCst);
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} Said so\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
                );
            });
        }
    });
    status
}

fn get(run: &Run) -> String {
    let mut stream = TcpStream::connect(run.at(FRONT)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// `status`: what the server answers to five requests while its checks rest.
fn traffic(server: &str, status: u16, word: &str) -> Vec<String> {
    let config = format!(
        "listen f\n bind ADDR:{FRONT}\n option log-health-checks\n no log\n log ADDR:8014 local0 notice\n server s ADDR:{SERVER} \
         check inter 1h {server}"
    );
    rig::compare(
        &config,
        |address| origin(at(address, SERVER)),
        |run, answers| {
            run.wait_for("Health check for server f/s");
            answers.store(status, Ordering::SeqCst);
            for _ in 0..5 {
                get(run);
            }
            run.wait_for(word);
        },
    )
}

#[test]
fn errors_fail_a_check() {
    let said =
        traffic("observe layer7 error-limit 5 rise 2 fall 2 on-error fail-check", 500, "Health analyze");
    assert!(said.iter().any(|l| l.contains("status: 1/2 UP")), "{said:#?}");
}

#[test]
fn errors_mark_down() {
    let said = traffic("observe layer7 error-limit 5 rise 2 fall 5 on-error mark-down", 503, "is DOWN");
    assert!(said.iter().any(|l| l.contains("status: 0/2 DOWN")), "{said:#?}");
}

#[test]
fn errors_bring_near_death() {
    let said =
        traffic("observe layer7 error-limit 5 rise 2 fall 9 on-error sudden-death", 500, "Health analyze");
    assert!(said.iter().any(|l| l.contains("status: 1/9 UP")), "{said:#?}");
}

/// The next check would come in an hour; `fastinter` brings it at once, and it fails.
#[test]
fn errors_bring_the_check_forward() {
    let config = format!(
        "listen f\n bind ADDR:{FRONT}\n option httpchk\n no log\n log ADDR:8014 local0 notice\n server s ADDR:{SERVER} check inter 1h \
         fastinter 10ms rise 1 fall 1 observe layer7 error-limit 3 on-error fastinter"
    );
    rig::compare(
        &config,
        |address| origin(at(address, SERVER)),
        |run, answers| {
            assert_eq!(get(run), "200");
            answers.store(502, Ordering::SeqCst);
            for _ in 0..3 {
                get(run);
            }
            run.wait_for("is DOWN, reason: Layer7 wrong status, code: 502");
        },
    );
}

#[test]
fn refused_connections_count_in_layer4() {
    let config = format!(
        "listen f\n bind ADDR:{FRONT}\n retries 0\n no log\n log ADDR:8014 local0 notice\n server s ADDR:{SERVER} check port 8003 inter \
         1h rise 2 fall 2 observe layer4 error-limit 2 on-error mark-down"
    );
    rig::compare(
        &config,
        |address| origin(at(address, 8003)),
        |run, _| {
            get(run);
            get(run);
            run.wait_for("is DOWN, reason: Health analyze");
        },
    );
}
