//! `email-alert`: a mail server that both programs write to, and ones that are no use.

use crate::agent::agent;
use crate::harness::process::Program;
use crate::harness::{bind_soon, own_address};
use crate::rig::{AGENT, Door, FRONT, PATIENCE, Run, SERVER, at};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

const SMTP: u16 = 8025;

/// Takes mail; each dialogue's client side comes out of the channel.
fn mail_server(address: SocketAddr) -> Receiver<String> {
    let listener = bind_soon(|| TcpListener::bind(address));
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            if converse(stream, &sender).is_none() {
                return;
            }
        }
    });
    receiver
}

/// `None`: nobody listens to the transcripts any more.
fn converse(stream: TcpStream, transcripts: &Sender<String>) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut said = String::new();
    let _ = writer.write_all(b"220-mx one\r\n220 mx two\r\n");
    let mut in_data = false;
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let line = line.strip_prefix("Date: ").map_or(line.clone(), |date| {
            // Sat, 21 Nov 2026 13:25:46 +0000 (UTC)
            let shape: String = date.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
            format!(
                "Date: {}",
                shape.split_once(' ').map_or("", |(_, rest)| rest.trim_start_matches(|c| c != '9'))
            )
        });
        let _ = writeln!(said, "{}", without_duration(&line));
        let reply: &[u8] = match line.as_str() {
            "." => {
                in_data = false;
                b"250 taken\r\n"
            }
            _ if in_data => continue,
            "DATA" => {
                in_data = true;
                b"354 go on\r\n"
            }
            "QUIT" => b"221 bye\r\n",
            _ => b"250 fine\r\n",
        };
        let _ = writer.write_all(reply);
    }
    transcripts.send(said).ok()
}

fn without_duration(line: &str) -> String {
    let mark = "check duration: ";
    let Some((before, after)) = line.split_once(mark) else { return line.to_owned() };
    format!("{before}{mark}N{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// The mails up to that which tells of the script's end.
fn mails(program: Program, level: &str) -> Vec<String> {
    let address = own_address();
    let _server = Door::open(at(address, SERVER));
    let letters = mail_server(at(address, SMTP));
    let script = &[
        "up\n",
        "down # why\n",
        "up\n",
        "drain\n",
        "ready\n",
        "maint\n",
        "ready\n",
        "down # end of script\n",
    ];
    let asked = agent(at(address, AGENT), 0, script);
    let config = format!(
        "mailers mm\n mailer m1 ADDR:{SMTP}\n timeout mail 20s\nlisten f\n bind ADDR:{FRONT}\n timeout check 10s\n \
         email-alert mailers mm\n email-alert from weir@example.org\n email-alert to ops@example.org\n email-alert \
         myhostname proxy.example.org\n {level}\n server s ADDR:{SERVER} agent-check agent-port {AGENT} agent-inter 20ms\n \
         server t ADDR:{SERVER} track f/s"
    );
    let _run = Run::start(program, address, &config);
    asked.join().unwrap();
    let mut mails = Vec::new();
    loop {
        let mail = letters.recv_timeout(PATIENCE).expect("another mail");
        let last = mail.contains("end of script");
        mails.push(mail);
        if last {
            return mails;
        }
    }
}

#[test]
fn mails_are_haproxys() {
    for (level, count) in
        [("", 3), ("email-alert level notice", 6), ("option log-health-checks\n email-alert level info", 8)]
    {
        let (theirs, ours) = (mails(Program::HaProxy, level), mails(Program::Weir, level));
        assert_eq!(ours.join("\n"), theirs.join("\n"), "{level}");
        assert!(ours.len() >= count, "{level}: {ours:#?}");
        assert!(ours[0].contains("RCPT TO:<ops@example.org>"), "{}", ours[0]);
    }
}

/// A mailer that accepts and says nothing, and one that is not there, do not hold up the third, nor the checks.
#[test]
fn useless_mailers_hold_nobody_up() {
    let address = own_address();
    let _silent = bind_soon(|| TcpListener::bind(at(address, 8026)));
    let letters = mail_server(at(address, SMTP));
    let config = format!(
        "mailers mm\n mailer m1 ADDR:8026\n mailer m2 ADDR:8027\n mailer m3 ADDR:{SMTP}\nlisten f\n bind ADDR:{FRONT}\n \
         email-alert mailers mm\n email-alert from a@x\n email-alert to \"b@x, c@x\"\n server s ADDR:{SERVER} check \
         inter 20ms rise 1 fall 1"
    );
    let run = Run::start(Program::Weir, address, &config);
    for times in 1..=3 {
        run.wait_for_times("Server f/s is DOWN", times);
        let mail = letters.recv_timeout(PATIENCE).expect("a mail");
        assert!(mail.contains("RCPT TO:<b@x>\nRCPT TO:<c@x>\n"), "{mail}");
        assert!(mail.contains("Subject: [HAProxy Alert] Server f/s is DOWN"), "{mail}");
        let door = Door::open(at(address, SERVER));
        run.wait_for_times("Server f/s is UP", times);
        drop(door);
    }
    run.wait_for_log("Mailer mm/m2 did not take the mail about: Server f/s is DOWN");
}
