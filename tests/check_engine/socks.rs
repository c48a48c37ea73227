//! `socks4` and `check-via-socks4`: a scripted SOCKS 4 proxy between haproxy or weir and the server, which it plays too.

use crate::harness::bind_soon;
use crate::rig::{FRONT, PATIENCE, SERVER, at, compare, compare_kept};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

const PROXY: u16 = 8005;
/// In place of an answer: it closes. Short answers leave the other side waiting.
const CLOSE: &[u8] = b"close";
const GRANTED: &[u8] = &[0, 90, 0, 0, 0, 0, 0, 0];

/// Reads a request up to its user's name's end, keeps it, gives `answer`, and serves HTTP if that is a good one.
fn socks(address: SocketAddr, answer: &'static [u8]) -> Arc<Mutex<Vec<Vec<u8>>>> {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&requests);
    let listener = bind_soon(|| TcpListener::bind(address));
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let kept = Arc::clone(&kept);
            std::thread::spawn(move || {
                let _ = stream.set_read_timeout(Some(PATIENCE));
                let mut request = Vec::new();
                let mut byte = [0];
                while request.len() < 8 || request.last() != Some(&0) {
                    if stream.read(&mut byte).unwrap_or(0) == 0 {
                        return;
                    }
                    request.push(byte[0]);
                }
                kept.lock().unwrap().push(request);
                if answer == CLOSE {
                    return;
                }
                let _ = stream.write_all(answer);
                if answer.len() < GRANTED.len() {
                    while stream.read(&mut byte).is_ok_and(|n| n > 0) {}
                }
                let mut http = [0; 4096];
                if answer == GRANTED && stream.read(&mut http).unwrap_or(0) > 0 {
                    let text = "HTTP/1.1 204 Behind it\r\nconnection: close\r\n\r\n";
                    let _ = stream.write_all(text.as_bytes());
                }
            });
        }
    });
    requests
}

/// One check through a proxy that answers so; the request is the same from both programs.
fn check(answer: &'static [u8], check: &str, server: &str, word: &str) {
    let config = format!(
        "listen f\n bind ADDR:{FRONT}\n option log-health-checks\n timeout check 500ms\n timeout connect 1s\n{check} server s ADDR:{SERVER} check inter 1h socks4 \
         ADDR:{PROXY} {server}\n"
    );
    let seen = Mutex::new(Vec::new());
    compare_kept(
        &config,
        // haproxy adds the words of whatever error the system had last.
        |line| !line.contains("SOCKS4"),
        |address| socks(at(address, PROXY), answer),
        |run, requests| {
            run.wait_for(word);
            let request = requests.lock().unwrap().first().cloned().unwrap_or_default();
            let octets = run.address.octets();
            seen.lock()
                .unwrap()
                .push(String::from_utf8_lossy(&request).replace(&*String::from_utf8_lossy(&octets), "ADDR"));
        },
    );
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen[0], seen[1], "haproxy's request and ours");
}

#[test]
fn checks_go_through_the_proxy() {
    let via = "check-via-socks4";
    check(GRANTED, "", via, "Layer4 check passed");
    check(GRANTED, " option httpchk\n", via, "Layer7 check passed, code: 204");
    let rules = " option httpchk\n http-check connect via-socks4\n http-check send meth GET\n";
    check(GRANTED, rules, "", "Layer7 check passed, code: 204");
    check(
        &[0, 91, 0, 0, 0, 0, 0, 0],
        " option httpchk\n",
        via,
        "reason: Socket error, info: \"SOCKS4 Proxy deny the request",
    );
    check(b"garbage!", " option httpchk\n", via, "Socket error, info: \"SOCKS4 Proxy deny the request");
    check(CLOSE, " option httpchk\n", via, "Socket error, info: \"SOCKS4 Proxy read error during handshake");
    let secure = "check-via-socks4 check-ssl verify none";
    check(CLOSE, "", secure, "Layer6 invalid response, info: \"SOCKS4 Proxy read error during handshake");
    check(b"", "", via, "Layer7 timeout");
    check(&GRANTED[..7], " option httpchk\n", via, "Layer7 timeout");
    check(
        b"",
        " option tcp-check\n",
        via,
        "Layer7 timeout, info: \" at initial connection step of tcp-check\"",
    );
    let rules = " option tcp-check\n tcp-check connect via-socks4\n tcp-check send a\n";
    check(b"", rules, "", "Layer7 timeout, info: \" at step 1 of tcp-check (connect)\"");
    check(b"", "", secure, "Layer6 timeout");
    // Without it, checks go straight: nobody listens there.
    check(GRANTED, " option httpchk\n", "", "Connection refused");
}

#[test]
fn traffic_goes_through_the_proxy() {
    let config = format!(
        "listen f\n bind ADDR:{FRONT}\n server s ADDR:{SERVER} socks4 ADDR:{PROXY}\n server quiet ADDR:{SERVER} check inter 1h"
    );
    compare(
        &config,
        |address| socks(at(address, PROXY), GRANTED),
        |run, requests| {
            let mut stream = TcpStream::connect(run.at(FRONT)).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncookie: s\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 204 Behind it\r\n"), "{:?}: {answer}", run.program);
            let mut wanted = vec![4, 1];
            wanted.extend(SERVER.to_be_bytes());
            wanted.extend(run.address.octets());
            wanted.extend(b"HAProxy\0");
            assert_eq!(requests.lock().unwrap()[0], wanted, "{:?}", run.program);
            run.wait_for("Server f/quiet is DOWN");
        },
    );
}
