//! Headless Chromium by way of chromedriver: as much of the WebDriver protocol as the page's tests need.

use crate::harness::client::{Client, find};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything on the page may take to happen.
const PATIENCE: Duration = Duration::from_secs(20);

const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser of its own, closed when dropped.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    at: SocketAddr,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts one that resolves no names and keeps a log of its console and of its requests.
    pub fn start() -> Self {
        let mut driver = Command::new("chromedriver")
            .args(["--port=0", "--log-level=SEVERE"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver (Debian package chromium-driver) starts");
        let stdout = BufReader::new(driver.stdout.take().expect("its output is read"));
        let port = stdout.lines().map_while(Result::ok).find_map(|line| {
            let words = line.strip_suffix('.').unwrap_or(&line);
            words.split("successfully on port ").nth(1)?.parse::<u16>().ok()
        });
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port.expect("chromedriver tells its port")));
        let profile = tempfile::TempDir::new().expect("a temporary directory");
        let mut browser = Self { driver, at, session: String::new(), _profile: profile };
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--no-first-run".to_owned(),
            "--window-size=1400,1000".to_owned(),
            "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.*".to_owned(),
            format!("--user-data-dir={}", browser._profile.path().display()),
        ];
        let options = json!({ "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" }, "acceptInsecureCerts": true });
        let opened = browser.call("POST", "", &json!({ "capabilities": { "alwaysMatch": options } }));
        browser.session = format!("/{}", opened["sessionId"].as_str().expect("a session"));
        browser
    }

    pub fn open(&self, url: &str) {
        self.call("POST", "/url", &json!({ "url": url }));
    }

    /// Runs a function's body in the page.
    pub fn script(&self, code: &str) -> Value {
        self.call("POST", "/execute/sync", &json!({ "script": code, "args": [] }))
    }

    /// The text an expression gives.
    pub fn text(&self, expression: &str) -> String {
        let value = self.script(&format!("return String({expression})"));
        value.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an expression is true.
    pub fn wait_for(&self, expression: &str) {
        let started = Instant::now();
        while self.script(&format!("return Boolean({expression})")) != Value::Bool(true) {
            assert!(started.elapsed() < PATIENCE, "this does not come true: {expression}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Clicks where a person would: what is hidden or covered cannot be clicked.
    pub fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.call("POST", &format!("/element/{element}/click"), &json!({}));
    }

    /// Types into whatever has the focus.
    pub fn keys(&self, text: &str) {
        let active = self.call("GET", "/element/active", &Value::Null);
        let element = active[ELEMENT].as_str().expect("something has the focus").to_owned();
        self.call("POST", &format!("/element/{element}/value"), &json!({ "text": text }));
    }

    /// What the console said since the last call, without mere information.
    pub fn complaints(&self) -> Vec<String> {
        let entries = self.log("browser");
        let bad = entries.iter().filter(|e| e["level"] != "INFO" && e["level"] != "DEBUG");
        bad.map(|e| e["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The addresses of all requests since the last call.
    pub fn requests(&self) -> Vec<String> {
        let entries = self.log("performance");
        let messages =
            entries.iter().filter_map(|e| serde_json::from_str::<Value>(e["message"].as_str()?).ok());
        messages
            .filter(|m| m["message"]["method"] == "Network.requestWillBeSent")
            .filter_map(|m| Some(m["message"]["params"]["request"]["url"].as_str()?.to_owned()))
            .collect()
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        let entries = self.call("POST", "/se/log", &json!({ "type": kind }));
        entries.as_array().cloned().unwrap_or_default()
    }

    fn element(&self, selector: &str) -> String {
        let query = json!({ "using": "css selector", "value": selector });
        let found = self.call("POST", "/element", &query);
        found[ELEMENT].as_str().unwrap_or_else(|| panic!("no element {selector}")).to_owned()
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut client = Client::connect(self.at);
        client.set_limit(Duration::from_secs(60));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        client.send(
            format!(
                "{method} /session{}{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                self.session,
                body.len()
            )
            .as_bytes(),
        );
        let response = client.response(false);
        let at = find(&response, b"\r\n\r\n").expect("chromedriver answers") + 4;
        let answer: Value = serde_json::from_slice(&response[at..]).expect("chromedriver speaks JSON");
        assert!(answer["value"]["error"].is_null(), "{method} {path} {body}: {answer}");
        answer["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            self.call("DELETE", "", &Value::Null);
        }
        // Ends its browser with it.
        crate::harness::process::signal(self.driver.id(), "TERM");
        let _ = self.driver.wait();
    }
}
