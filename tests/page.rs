//! The statistics page, over HTTP as scripts see it and in headless Chromium as people do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "harness/browser.rs"]
mod browser;
mod harness;

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use browser::Browser;
use harness::client::Client;
use harness::console::Console;
use harness::origin::Origin;
use harness::own_address;
use harness::process::{Program, Proxy};

const PAGE: u16 = 8404;
const WEB: u16 = 8080;
const ORIGIN: u16 = 9000;
const TUNNEL: u16 = 8081;

/// `admin:secret`
const LOGIN: &str = "Authorization: Basic YWRtaW46c2VjcmV0";

struct Rig {
    proxy: Proxy,
    address: Ipv4Addr,
    _origin: Origin,
}

impl Rig {
    fn start(more: &str) -> Self {
        let address = own_address();
        let origin = Origin::start(SocketAddr::new(IpAddr::V4(address), ORIGIN), &[]);
        let config = format!(
            "global\n    stats socket unix@admin.sock level admin\n\
             defaults\n    mode http\n    timeout connect 2s\n    timeout client 10s\n    timeout server 10s\n\
             frontend page\n    bind {address}:{PAGE}\n    stats uri /stats\n    stats auth admin:secret\n    stats admin if TRUE\n    \
             stats show-legends\n    stats show-modules\n    stats show-desc \"<script>alert(1)</script>\"\n\
             frontend www\n    bind {address}:{WEB}\n    default_backend web\n\
             backend web\n    description \"</h2><img src=x onerror=alert(1)>\"\n    server s1 {address}:{ORIGIN}\n    server s2 {address}:{ORIGIN}\n\
             backend other\n    server lonely {address}:9\n{}",
            more.replace("ADDRESS", &address.to_string())
        );
        let proxy = Proxy::start(Program::Weir, &config, address, &[PAGE, WEB]).unwrap();
        Self { proxy, address, _origin: origin }
    }

    fn client(&self, port: u16) -> Client {
        Client::connect(SocketAddr::new(IpAddr::V4(self.address), port))
    }

    fn get(&self, target: &str, headers: &str) -> String {
        let mut client = self.client(PAGE);
        client.send(format!("GET {target} HTTP/1.1\r\nHost: lb\r\n{headers}\r\n\r\n").as_bytes());
        body_text(&client.response(false))
    }

    fn post(&self, headers: &str, body: &str) -> String {
        let mut client = self.client(PAGE);
        let head =
            format!("POST /stats HTTP/1.1\r\nHost: lb\r\n{LOGIN}\r\nContent-Length: {}\r\n", body.len());
        client.send(format!("{head}{headers}\r\n{body}").as_bytes());
        body_text(&client.response(false))
    }

    /// The status column of a server.
    fn status(&self, backend: &str, server: &str) -> String {
        self.column(backend, server, 17)
    }

    fn column(&self, backend: &str, server: &str, column: usize) -> String {
        let csv = self.get("/stats;csv", LOGIN);
        let line = csv.lines().find(|l| l.starts_with(&format!("{backend},{server},"))).expect("a line");
        line.split(',').nth(column).unwrap().to_owned()
    }

    /// A request through the proxy to a server.
    fn visit(&self) {
        let mut client = self.client(WEB);
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(client.response(false).starts_with(b"HTTP/1.1 200"));
    }
}

/// Without chunk framing.
fn body_text(response: &[u8]) -> String {
    let text = String::from_utf8_lossy(response).into_owned();
    let Some((head, mut body)) = text.split_once("\r\n\r\n") else { return text };
    if !head.contains("transfer-encoding: chunked") {
        return text;
    }
    let mut whole = format!("{head}\r\n\r\n");
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        let Some((chunk, rest)) = rest.split_at_checked(size).filter(|_| size > 0) else { break };
        whole.push_str(chunk);
        body = rest.strip_prefix("\r\n").unwrap_or(rest);
    }
    whole
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    text.split(before).nth(1).and_then(|rest| rest.split(after).next()).unwrap_or_default()
}

#[test]
fn scripts_post_as_to_haproxy() {
    let rig = Rig::start("");
    let answer = rig.post("", "s=s1&b=web&action=drain");
    assert!(answer.starts_with("HTTP/1.1 303 See Other\r\n"), "{answer}");
    assert!(answer.contains("location: /stats;st=DONE\r\n"), "{answer}");
    assert_eq!(rig.status("web", "s1"), "DRAIN");
    assert!(rig.post("", "s=s1&b=%234&action=ready").contains(";st=DONE"));
    assert_eq!(rig.status("web", "s1"), "no check");
    // Too much for a buffer.
    assert!(rig.post("", &format!("s=s1&b=web&action=drain&x={}", "y".repeat(70_000))).contains(";st=EXCD"));
    let get = rig.get("/stats", "Authorization: Basic YWRtaW46d3Jvbmc=");
    assert!(get.starts_with("HTTP/1.1 401 "), "{get}");
}

#[test]
fn browsers_need_the_page() {
    let rig = Rig::start("");
    let drain = "s=s1&b=web&action=drain";
    for foreign in [
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\nOrigin: http://lb\r\n",
        "Referer: http://evil.example/page\r\n",
    ] {
        let answer = rig.post(foreign, drain);
        assert!(answer.starts_with("HTTP/1.1 403 "), "{foreign}: {answer}");
    }
    let own = "Origin: http://lb\r\nSec-Fetch-Site: same-origin\r\n";
    assert!(rig.post(own, drain).contains("location: /stats;st=IVAL\r\n"));
    let forged = format!("{drain}&token=00000000000000000000000000000000");
    assert!(rig.post(own, &forged).contains(";st=IVAL"));
    assert_eq!(rig.status("web", "s1"), "no check");
    // The form as it is sent without scripts: the page asks, and acts when asked again.
    let page = rig.get("/stats", LOGIN);
    let token = between(&page, "name=token value=", ">");
    assert_eq!(token.len(), 32, "{page}");
    let question = rig.post(own, &format!("{drain}&token={token}&ask=1"));
    assert!(question.starts_with("HTTP/1.1 200 ") && question.contains("Set state to DRAIN?"), "{question}");
    assert_eq!(rig.status("web", "s1"), "no check");
    assert!(rig.post(own, &format!("{drain}&token={token}")).contains(";st=DONE"));
    assert_eq!(rig.status("web", "s1"), "DRAIN");
}

#[test]
fn the_document_is_guarded() {
    let rig = Rig::start("");
    let page = rig.get("/stats", LOGIN);
    for header in [
        "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self';",
        "x-content-type-options: nosniff",
        "x-frame-options: DENY",
        "referrer-policy: same-origin",
        "cache-control: no-cache",
    ] {
        assert!(page.contains(header), "{header}\n{page}");
    }
    assert!(!page.contains("<script>") && !page.contains("<img") && !page.contains("style="), "{page}");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{page}");
    // Readable as it stands.
    assert!(page.contains("No server is checked") && page.contains(">lonely</a>"), "{page}");
    assert!(rig.get("/stats?scope=oth", LOGIN).contains("data-name=\"other\""));
    assert!(!rig.get("/stats?scope=oth", LOGIN).contains("data-name=\"web\""));
    assert!(rig.get("/stats;row=4.2.1", LOGIN).contains("Sessions in progress"));
    assert!(rig.get("/stats;row=4.2.9", LOGIN).starts_with("HTTP/1.1 404 "));
    assert!(rig.get("/stats;st=PART", LOGIN).contains("Done in part"));
}

#[test]
fn a_failed_check_is_told() {
    let rig = Rig::start(
        "backend checked\n    default-server check inter 100ms fall 1\n    server gone ADDRESS:9\n    \
         server follows ADDRESS:9 track checked/ordered no-check\n    server ordered ADDRESS:9 disabled\n",
    );
    let started = Instant::now();
    while rig.status("checked", "gone") != "DOWN" {
        assert!(started.elapsed() < Duration::from_secs(10), "the server stays up");
        std::thread::sleep(Duration::from_millis(20));
    }
    let page = rig.get("/stats", LOGIN);
    let row = between(&page, "<tr id=r6.2.1 ", "</tr>");
    assert!(row.contains("DOWN <span class=age>") && row.contains(">L4CON "), "{row}");
    assert!(row.contains("the connection is refused or fails - Connection refused"), "{row}");
    let problems = between(&page, "id=problems", "</section>");
    assert!(problems.contains("checked/gone") && problems.contains(", L4CON"), "{problems}");
    // What is ordered is no problem, and says where it was ordered.
    assert!(!problems.contains("ordered"), "{problems}");
    let follower = between(&page, "<tr id=r6.2.2 ", "</tr>");
    assert!(follower.contains("as is the server it tracks: checked/ordered."), "{follower}");
    let feed = rig.get("/stats;live", LOGIN);
    assert!(feed.contains("\"checked/gone\",\"DOWN ") && feed.contains("\"L4CON "), "{feed}");
}

#[test]
fn csv_is_that_of_the_socket() {
    let rig = Rig::start("");
    rig.visit();
    // Asking changes the page's own figures; elsewhere a second may pass between the two.
    let lines = |text: &str| {
        let wanted = |l: &&str| ["# ", "www,", "web,", "other,"].iter().any(|start| l.starts_with(start));
        text.lines().filter(wanted).map(str::to_owned).collect::<Vec<_>>()
    };
    let ask = || {
        let http = rig.get("/stats;csv", LOGIN);
        let mut console = Console::connect(&rig.proxy.dir().join("admin.sock"));
        console.send(b"show stat\n");
        console.finish_sending();
        (lines(&http), lines(&String::from_utf8_lossy(&console.rest())))
    };
    let (http, socket) = (0..5).map(|_| ask()).find(|(http, socket)| http == socket).unwrap_or_else(ask);
    assert_eq!(http, socket);
    assert_eq!(http.len(), 7, "{http:?}");
}

#[test]
fn sessions_are_cut() {
    let tunnel =
        format!("listen raw\n    mode tcp\n    bind ADDRESS:{TUNNEL}\n    server t ADDRESS:{ORIGIN}\n");
    let rig = Rig::start(&tunnel);
    let mut client = rig.client(TUNNEL);
    client.send(b"GET / HTTP/1.1\r\n");
    let in_progress = || rig.column("raw", "t", 4);
    let started = Instant::now();
    while in_progress() != "1" {
        assert!(started.elapsed() < Duration::from_secs(10), "no session on the server");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(rig.post("", "s=t&b=raw&action=shutdown").contains(";st=DONE"));
    assert!(client.rest().1, "the session goes on");
}

#[test]
fn a_slow_reader_holds_up_nobody() {
    let mut many = String::from("backend many\n");
    for i in 0..2000 {
        let _ = writeln!(many, "    server node{i} 127.0.0.1:9");
    }
    let rig = Rig::start(&many);
    let slow: Vec<Client> = (0..8)
        .map(|_| {
            let mut client = rig.client(PAGE);
            client.send(format!("GET /stats;json HTTP/1.1\r\nHost: lb\r\n{LOGIN}\r\n\r\n").as_bytes());
            client
        })
        .collect();
    for _ in 0..20 {
        rig.visit();
    }
    let live = rig.get("/stats;live", LOGIN);
    assert!(live.contains("\"node1999\"") && live.ends_with("]}"), "{} bytes", live.len());
    // One page holds the first hundred, the next one the others.
    let page = rig.get("/stats", LOGIN);
    assert!(
        page.contains(">node99</a>")
            && !page.contains(">node100</a>")
            && page.contains("Servers 1 to 100 of 2,000")
    );
    assert!(rig.get("/stats;proxy=6;page=20", LOGIN).contains(">node1999</a>"));
    drop(slow);
}

#[test]
fn people_watch_and_act() {
    let rig = Rig::start("");
    let browser = Browser::start();
    let url = |login: &str| format!("http://{login}@{}:{PAGE}/stats", rig.address);
    browser.open(&url("admin:wrong"));
    assert!(!browser.text("document.title").contains("weir"), "a wrong password shows no page");
    let _of_that_login = (browser.complaints(), browser.requests());

    browser.open(&url("admin:secret"));
    browser.wait_for("document.querySelector('#live')?.textContent === 'Live'");
    assert!(browser.text("document.title").contains("No server is checked"));
    assert!(
        browser.text("document.querySelector('.desc').textContent").contains("<script>alert(1)</script>")
    );
    browser.script("window.same = true");

    // Filter: the slash goes there, what does not match goes away.
    let shown =
        "[...document.querySelectorAll('#proxies > section:not([hidden])')].map(s => s.dataset.name).join()";
    browser.keys("/");
    browser.keys("lonely");
    browser.wait_for(&format!("{shown} === 'other'"));
    browser.keys("\u{e00c}");
    browser.wait_for(&format!("{shown} === 'page,www,web,other'"));

    // A number changes while one looks.
    browser.wait_for("document.getElementById('r3.0.0').cells[8].textContent === '0'");
    for _ in 0..3 {
        rig.visit();
    }
    browser.wait_for("document.getElementById('r3.0.0').cells[8].textContent === '3'");

    // Drain with a question in between, declined first.
    let state = "document.getElementById('r4.2.1').cells[1].textContent";
    browser.click("#p4 tbody input[value=s1]");
    browser.click("#p4 select[name=action] option[value=drain]");
    browser.click("#p4 .act button");
    browser.wait_for("document.querySelector('dialog.confirm[open]')?.textContent.includes('s1')");
    browser.click("dialog.confirm .buttons button:first-child");
    browser.wait_for("!document.querySelector('dialog')");
    assert_eq!(rig.status("web", "s1"), "no check");
    browser.click("#p4 .act button");
    browser.click("dialog.confirm button.go");
    browser.wait_for(&format!("{state}.startsWith('DRAIN')"));
    assert_eq!(rig.status("web", "s1"), "DRAIN");
    browser.wait_for("document.querySelector('.toast')?.textContent.startsWith('Done.')");

    // The last server of a backend: said before it is done.
    browser.click("#p5 tbody input[value=lonely]");
    browser.click("#p5 select[name=action] option[value=maint]");
    browser.click("#p5 .act button");
    browser.wait_for("document.querySelector('dialog .warning')?.textContent.includes('No server of other')");
    browser.keys("\u{e00c}");
    browser.wait_for("!document.querySelector('dialog')");

    // Sorting, details, help and theme from the keyboard.
    browser.click("#p4 thead th:first-child button");
    browser.click("#p4 thead th:first-child button");
    browser.wait_for("document.querySelector('#p4 tbody tr').id === 'r4.2.2'");
    browser.script("document.querySelector('#p4 tbody a').focus()");
    browser.keys("\u{e015}");
    browser.keys("\u{e007}");
    browser.wait_for("document.querySelector('dialog.drawer')?.textContent.includes('Sessions in progress')");
    browser.keys("\u{e00c}");
    browser.wait_for("!document.querySelector('dialog')");
    browser.keys("?");
    browser.wait_for("document.querySelector('dialog.help')?.textContent.includes('an administrator')");
    browser.keys("\u{e00c}");
    browser.wait_for("!document.querySelector('dialog')");
    browser.keys("tt");
    assert_eq!(browser.text("document.documentElement.dataset.theme"), "dark");

    assert_eq!(
        browser.script("return window.same"),
        serde_json::Value::Bool(true),
        "the page was loaded again"
    );
    let origin = format!("http://{}:{PAGE}/", rig.address);
    let requests = browser.requests();
    assert!(requests.iter().any(|url| url.contains(";live")), "{requests:?}");
    let foreign: Vec<_> = requests
        .iter()
        .map(|url| url.replace("admin:secret@", ""))
        .filter(|url| !url.starts_with(&origin) && !url.starts_with("data:"))
        .collect();
    assert!(foreign.is_empty(), "requests to elsewhere: {foreign:?}");
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "the console says {complaints:?}");
}
