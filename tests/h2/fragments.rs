//! `#` in a path: what haproxy makes of it, with HTTP/1 and HTTP/2, and what weir does.

use super::*;
use std::net::TcpStream;

/// A server that tells the target it was asked for, behind `program`.
fn asked(program: Program, option: &str, paths: &[&str]) -> Vec<String> {
    let address = harness::own_address();
    let config = format!(
        "defaults\n    mode http\n    timeout connect 20s\n    timeout client 20s\n    timeout server 20s\n    {option}\nfrontend f\n    \
         bind {address}:{FRONT}\n    http-request return status 200 content-type text/plain lf-string \
         \"%[path] %[pathq] %[query] %[url,regsub(^http://[^/]*,)]\"\n"
    );
    let _proxy = Proxy::start(program, &config, address, &[FRONT]).unwrap_or_else(|e| panic!("{e}"));
    let front = (address, FRONT).into();
    let mut answers = Vec::new();
    for path in paths {
        let mut peer = Peer::new(front);
        peer.get(1, path);
        answers.push(format!("{path}: {}", answer(&mut peer, 1)));
        // Put into the table, and then named by its index alone.
        let mut peer = Peer::new(front);
        let mut kept = request("GET", path, &[]);
        let tail = block(&[(":path", path)]);
        kept.truncate(kept.len() - tail.len());
        peer.send(HEADERS, END_STREAM | END_HEADERS, 1, &[kept.as_slice(), &[0x40], &tail[1..]].concat());
        answers.push(format!("{path}, kept: {}", answer(&mut peer, 1)));
        peer.send(HEADERS, END_STREAM | END_HEADERS, 3, &[kept.as_slice(), &[0x80 | 62]].concat());
        answers.push(format!("{path}, again: {}", answer(&mut peer, 3)));
        answers.push(format!("{path}, HTTP/1: {}", by_http1(front, path)));
    }
    answers
}

fn answer(peer: &mut Peer, stream: u32) -> String {
    let reaction = peer.reaction();
    if reaction != format!("stream {stream}: answer") {
        return reaction;
    }
    String::from_utf8(peer.wait(DATA, stream).payload).unwrap()
}

fn by_http1(front: SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(front).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    if head.starts_with("HTTP/1.1 200 ") { body.to_owned() } else { head.lines().next().unwrap().to_owned() }
}

#[test]
fn fragments_are_refused_as_haproxy_does_or_passed_on_whole() {
    let paths = ["/a", "/a#b", "/a?x#y", "/#", "/a%23b?#", "/a#b?c#d", "/a#\u{e4}"];
    for option in ["", "option accept-invalid-http-request"] {
        let [theirs, ours] = [Program::HaProxy, Program::Weir].map(|program| asked(program, option, &paths));
        assert_eq!(theirs, ours, "{option}");
        assert_eq!(ours.iter().any(|line| line.ends_with("PROTOCOL_ERROR")), option.is_empty());
    }
    for path in ["#", "/a#\r\nx: y", "/a# b", "/a#\0"] {
        let refused = asked(Program::Weir, "option accept-invalid-http-request", &[path]);
        assert!(refused[0].ends_with("stream 1: PROTOCOL_ERROR"), "{refused:?}");
    }
}
