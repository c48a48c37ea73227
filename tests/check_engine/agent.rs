//! `agent-check`: a scripted agent says the same to both programs.

use crate::harness::process::{Program, Proxy};
use crate::harness::{bind_soon, console, own_address};
use crate::rig::{self, AGENT, Door, FRONT, PATIENCE, SERVER, at};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Gives each connection the next answer, once it was asked; ends with the script. What it was asked comes back.
pub fn agent(
    address: SocketAddr,
    question: usize,
    answers: &'static [&'static str],
) -> JoinHandle<Vec<String>> {
    let listener = bind_soon(|| TcpListener::bind(address));
    std::thread::spawn(move || {
        let mut asked = Vec::new();
        for answer in answers {
            let mut bytes = vec![0; question];
            let mut stream = loop {
                let (mut stream, _) = listener.accept().unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                // Who was too late to ask comes again.
                if stream.read_exact(&mut bytes).is_ok() {
                    break stream;
                }
            };
            asked.push(String::from_utf8_lossy(&bytes).into_owned());
            if *answer == "SILENCE" {
                // The check gives up and closes.
                let _ = stream.read(&mut [0; 1]);
                continue;
            }
            for (i, part) in answer.split("PAUSE").enumerate() {
                if i > 0 {
                    std::thread::sleep(Duration::from_millis(20));
                }
                // Who has made up its mind by then does not listen to the rest.
                let _ = stream.write_all(part.as_bytes());
            }
        }
        // Those who still come before the end wait: that nobody is there would be told.
        std::mem::forget(listener);
        asked
    })
}

fn run(
    config: &str,
    keep: impl Fn(&str) -> bool,
    question: usize,
    answers: &'static [&'static str],
) -> Vec<String> {
    let listen = format!("listen f\n bind ADDR:{FRONT}\n timeout check 10s\n{config}");
    let prepare = |address| (Door::open(at(address, SERVER)), agent(at(address, AGENT), question, answers));
    rig::compare_kept(&listen, keep, prepare, |run, (_server, asked)| {
        run.wait_for("(end of script)");
        for asked in asked.join().unwrap() {
            assert_eq!(asked, "state of s?\n"[..question]);
        }
    })
}

/// Answers everybody so; how often it was asked.
fn weigher(address: SocketAddr, answer: &'static str) -> Arc<AtomicUsize> {
    let listener = bind_soon(|| TcpListener::bind(address));
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.write_all(answer.as_bytes());
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    asked
}

/// `set server addr` moves the agent too, unless it has an address of its own.
#[test]
fn agents_move_with_their_servers() {
    for program in [Program::HaProxy, Program::Weir] {
        let (front, homes) = (own_address(), [own_address(), own_address(), own_address()]);
        let asked: Vec<_> = homes
            .iter()
            .zip(["10%\n", "20%\n", "30%\n"])
            .map(|(home, weight)| weigher(at(*home, AGENT), weight))
            .collect();
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        let config = format!(
            "global\n stats socket {} level admin\ndefaults\n mode http\n timeout client 5s\n timeout server 5s\n timeout connect 5s\n\
             listen f\n bind {front}:{FRONT}\n server s {}:{SERVER} weight 100 agent-check agent-port {AGENT} agent-inter 100ms\n",
            socket.display(),
            homes[0]
        );
        let proxy = Proxy::start(program, &config, front, &[FRONT]).unwrap();
        let weighs = |weight: &str| {
            until(&format!("{program:?}: weight {weight}"), || {
                console::ask(&socket, "get weight f/s").starts_with(weight)
            });
        };
        weighs("10 ");
        console::ask(&socket, &format!("set server f/s addr {}", homes[1]));
        weighs("20 ");
        console::ask(&socket, &format!("set server f/s agent-addr {}", homes[2]));
        weighs("30 ");
        console::ask(&socket, &format!("set server f/s addr {}", homes[0]));
        let counts = || asked.iter().map(|a| a.load(Ordering::SeqCst)).collect::<Vec<_>>();
        let before = counts();
        until("more questions", || counts()[2] > before[2] + 2);
        assert_eq!(counts()[..2], before[..2], "{program:?}");
        drop(proxy);
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

const SCRIPT: &[&str] = &[
    "up\n",
    "50%\n",
    "drain\n",
    "up\n",
    "ready\n",
    "maint\n",
    "ready up\n",
    "down # oh my <x>\n",
    "down\n",
    "up # fine\n",
    "stopped\n",
    "junk\n",
    "maxconn:30\n",
    "up maxconn:30 20% ready\n",
    "",
    "up",
    "fail said so\n",
    "Up,10%\r\n",
    "uPAUSEp\n",
    "maint down 10%\n",
    "up ready 100%\n",
    "0%\n",
    "down\n",
    "up 0%\n",
    "up 100%\n",
    "ready\n",
    "up 5x%\n",
    "ready\n",
    "up -1% maxconn:x\n",
    "down up\n",
    "up down\n",
    "drain\n",
    "40%\n",
    "maint 30%\n",
    "drain up\n",
    "20%\n",
    "down drain\n",
    "ready\n",
    "up\n",
    "down # end of script\n",
];

#[test]
fn an_agent_rules_the_server() {
    let said = run(
        " option log-health-checks\n server s ADDR:8001 check inter 100ms weight 10 maxconn 100 agent-check agent-port 8002 \
         agent-inter 100ms agent-send \"state of s?\\n\"",
        // When the next health check comes after maintenance is a matter of milliseconds.
        |line| !line.contains("Health check"),
        12,
        SCRIPT,
    );
    assert!(said.iter().any(|l| l.contains("status: 1/1 DRAIN")), "{said:#?}");
}

#[test]
fn without_a_health_check_the_agent_decides() {
    run(
        " server s ADDR:8001 agent-check agent-port 8002 agent-inter 100ms\n server b ADDR:8001 backup",
        |_| true,
        0,
        &[
            "down # why \"not\"\n",
            "stopped\n",
            "up\n",
            "maint\n",
            "ready\n",
            "fail\n",
            "up # ok\n",
            "down # end of script\n",
        ],
    );
}

#[test]
fn a_tracker_follows_the_agent() {
    run(
        " server s ADDR:8001 agent-check agent-port 8002 agent-inter 100ms\n server t ADDR:8001 track f/s",
        |_| true,
        0,
        &[
            "down\n",
            "up\n",
            "drain\n",
            "ready\n",
            "maint\n",
            "ready\n",
            "drain\n",
            "maint\n",
            "ready\n",
            "down # end of script\n",
        ],
    );
}

/// `agent-inter` is the limit too. An agent that cannot be heard changes nothing.
#[test]
fn silence_says_nothing() {
    let listen = format!(
        "listen f\n bind ADDR:{FRONT}\n option log-health-checks\n server s ADDR:{SERVER} agent-check agent-port {AGENT} agent-inter 500ms"
    );
    let prepare = |address| agent(at(address, AGENT), 0, &["up\n", "SILENCE", "down # end of script\n"]);
    let said = rig::compare(&listen, prepare, |run, _| run.wait_for("(end of script)"));
    assert!(said.iter().any(|l| l.contains("Layer7 timeout")), "{said:#?}");
}

/// Without an end of line nothing was said: the first time the rest is waited for, later what was found before stands. Texts are cut.
#[test]
fn unfinished_lines_and_long_ones() {
    const LONG: &str = "down # yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\n";
    let listen = format!(
        "listen f\n bind ADDR:{FRONT}\n option log-health-checks\n server s ADDR:{SERVER} agent-check agent-port {AGENT} agent-inter 2s"
    );
    let prepare =
        |address| agent(at(address, AGENT), 0, &["up", "up", LONG, "up\n", "down # end of script\n"]);
    let said = rig::compare(&listen, prepare, |run, _| run.wait_for("(end of script)"));
    assert!(said[0].contains("Layer7 timeout"), "{said:#?}");
    assert!(said.iter().any(|l| l.contains("yyy\", check duration")), "{said:#?}");
}

/// A server that its health check holds down does not come up because the agent says so.
#[test]
fn both_must_agree() {
    let listen = format!(
        "listen f\n bind ADDR:{FRONT}\n timeout check 10s\n server s ADDR:{SERVER} check inter 20ms rise 1 fall 1 agent-check agent-port \
         {AGENT} agent-inter 20ms"
    );
    let prepare = |address| bind_soon(|| TcpListener::bind(at(address, AGENT)));
    // Which of the two said yes last is a matter of milliseconds.
    let keep = |line: &str| !line.contains("Server f/s is UP");
    rig::compare_kept(&listen, keep, prepare, |run, listener| {
        run.wait_for("Server f/s is DOWN, reason: Layer4 connection problem");
        let answer = |text: &str| listener.accept().unwrap().0.write_all(text.as_bytes()).unwrap();
        answer("up\n");
        answer("down\n");
        let _server = Door::open(run.at(SERVER));
        // The check passes many times, the agent still says no.
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until {
            answer("down\n");
        }
        answer("up # now\n");
        run.wait_for("Server f/s is UP");
        answer("down # end of script\n");
        run.wait_for("(end of script)");
    });
}
