//! Against real sockets on the loopback: what arrives, in which order, and what is counted as lost.

use super::*;
use crate::config::model::log::LogSample;
use crate::config::model::{Global, LogSource, LogTransport};
use crate::live::Process;
use crate::logging::level;
use std::io::{PipeReader, Read};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::Ordering;

fn hub() -> Arc<Hub> {
    let process = Process::new(77, "here".to_owned(), 1, 1);
    Hub::new(Arc::new(process), &Global { log_tag: Some("tag".to_owned()), ..Global::default() })
}

fn raw(transport: LogTransport) -> LogTarget {
    LogTarget {
        transport,
        format: LogSource::Raw,
        len: 1024,
        facility: 16,
        max_level: 7,
        min_level: 0,
        sample: None,
    }
}

fn receiver() -> (UdpSocket, LogTransport) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let transport = LogTransport::Udp(socket.local_addr().unwrap());
    (socket, transport)
}

fn take(socket: &UdpSocket) -> String {
    let mut bytes = [0; 2048];
    let n = socket.recv(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes[..n]).into_owned()
}

fn drops(hub: &Hub) -> u64 {
    hub.process.log_drops.load(Ordering::Relaxed)
}

/// Runs `emit` with the flusher going, and waits until it has sent.
fn batched(sender: &Rc<Sender>, emit: impl FnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let flusher = local.spawn_local(Rc::clone(sender).run());
        tokio::task::yield_now().await;
        emit();
        while sender.state.borrow().queued {
            tokio::task::yield_now().await;
        }
        flusher.abort();
    });
}

#[test]
fn without_a_flusher_a_line_goes_at_once() {
    let (socket, transport) = receiver();
    let hub = hub();
    let sender = Sender::new(&hub);
    sender.emit(&[Arc::new(raw(transport))], level::INFO, None, b"", b"one\n");
    assert_eq!(take(&socket), "one\n");
    assert_eq!(drops(&hub), 0);
}

#[test]
fn batches_keep_every_line_in_order() {
    let (socket, transport) = receiver();
    let hub = hub();
    let sender = Sender::new(&hub);
    let targets = [Arc::new(raw(transport))];
    batched(&sender, || {
        for i in 0..75 {
            sender.emit(&targets, level::INFO, None, b"", format!("line {i}").as_bytes());
        }
    });
    for i in 0..75 {
        assert_eq!(take(&socket), format!("line {i}\n"));
    }
    assert_eq!(drops(&hub), 0);
}

#[test]
fn a_target_takes_the_levels_and_samples_it_wants() {
    let (socket, transport) = receiver();
    let hub = hub();
    let sender = Sender::new(&hub);
    let mut target = raw(transport);
    target.max_level = level::NOTICE;
    target.sample = Some(LogSample { ranges: vec![(2, 2)], size: 2 });
    let targets = [Arc::new(target)];
    for (level, text) in
        [(level::INFO, "no"), (level::ERR, "first"), (level::NOTICE, "second"), (level::ERR, "third")]
    {
        sender.emit(&targets, level, None, b"", text.as_bytes());
    }
    sender.emit(&targets, level::ALERT, None, b"", b"fourth");
    assert_eq!([take(&socket), take(&socket)], ["second\n", "fourth\n"]);
}

#[test]
fn a_header_has_the_tag_of_the_proxy_or_of_the_process() {
    let (socket, transport) = receiver();
    let sender = Sender::new(&hub());
    let targets = [Arc::new(LogTarget { format: LogSource::Local, ..raw(transport) })];
    sender.emit(&targets, level::INFO, None, b"", b"a");
    sender.emit(&targets, level::INFO, Some("own"), b"", b"b");
    assert!(take(&socket).ends_with(" tag[77]: a\n"));
    assert!(take(&socket).ends_with(" own[77]: b\n"));
}

/// Nobody listens at first: the refusal of one datagram must not take the next ones with it.
#[test]
fn a_receiver_may_come_later() {
    let (socket, transport) = receiver();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let sender = Sender::new(&hub());
    let targets = [Arc::new(raw(transport))];
    sender.emit(&targets, level::INFO, None, b"", b"lost");
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    sender.emit(&targets, level::INFO, None, b"", b"seen");
    assert_eq!(take(&socket), "seen\n");
}

/// A datagram has at most 65507 bytes.
#[test]
fn a_line_too_large_for_a_datagram_is_lost_alone() {
    let (socket, transport) = receiver();
    let hub = hub();
    let sender = Sender::new(&hub);
    let targets = [Arc::new(LogTarget { len: 65535, ..raw(transport) })];
    batched(&sender, || {
        for size in [1, 65530, 2] {
            sender.emit(&targets, level::INFO, None, b"", &vec![b'x'; size]);
        }
    });
    assert_eq!([take(&socket), take(&socket)], ["x\n", "xx\n"]);
    assert_eq!(drops(&hub), 1);
}

#[test]
fn a_unix_socket_that_is_full_or_gone_costs_lines_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let server = UnixDatagram::bind(&path).unwrap();
    let hub = hub();
    let sender = Sender::new(&hub);
    let targets = [Arc::new(raw(LogTransport::UnixDatagram(path.clone())))];
    let mut emitted = 0;
    while drops(&hub) == 0 && emitted < 100_000 {
        sender.emit(&targets, level::INFO, None, b"", b"fill");
        emitted += 1;
    }
    assert!(drops(&hub) > 0, "the queue of a unix socket is short, and nobody read it");
    drop(server);
    std::fs::remove_file(&path).unwrap();
    sender.emit(&targets, level::INFO, None, b"", b"nobody");
    let server = UnixDatagram::bind(&path).unwrap();
    server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    sender.emit(&targets, level::INFO, None, b"", b"again");
    let mut bytes = [0; 64];
    let n = server.recv(&mut bytes).unwrap();
    assert_eq!(&bytes[..n], b"again\n");
}

#[test]
fn a_descriptor_is_written_by_its_own_thread() {
    let (mut reader, writer): (PipeReader, _) = std::io::pipe().unwrap();
    let hub = hub();
    let sender = Sender::new(&hub);
    let targets = [Arc::new(raw(LogTransport::Fd(writer.as_raw_fd())))];
    sender.emit(&targets, level::INFO, None, b"", b"one");
    sender.emit(&targets, level::INFO, None, b"", b"two");
    hub.close();
    let mut bytes = [0; 8];
    reader.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"one\ntwo\n");
}

#[test]
fn a_full_pipe_drops_and_stops_nobody() {
    let (_reader, writer) = std::io::pipe().unwrap();
    let hub = hub();
    let sender = Sender::new(&hub);
    let targets = [Arc::new(raw(LogTransport::Fd(writer.as_raw_fd())))];
    let line = [b'x'; 1000];
    // A pipe holds 64 kB, the writer's queue 128 batches: the rest must be lost, not waited for.
    for _ in 0..1000 {
        sender.emit(&targets, level::INFO, None, b"", &line);
    }
    assert!(drops(&hub) > 0);
}
