//! Facts made by hand for unit tests: a request, a response and whatever a test sets.

use super::facts::{ConnFacts, Facts, LiveFacts, LogRecord, Payload, ProcessFacts, ServerNumber};
use super::{Acl, Condition, Expr, LogFormat, Scope, Site, Value};
use crate::config::model::{Proxy, VarScope};
use crate::ids::ProxyIndex;
use crate::message::{Head, Version};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

pub(crate) struct Mock {
    pub conn: ConnFacts,
    pub log: LogRecord,
    pub frontend: Proxy,
    pub backend: Option<Proxy>,
    pub server: Option<&'static str>,
    pub request: Option<Head>,
    pub response: Option<Head>,
    pub payload: Option<(Vec<u8>, bool)>,
    pub response_payload: Option<(Vec<u8>, bool)>,
    pub vars: HashMap<(VarScope, String), Value>,
    pub now: SystemTime,
    pub random: u32,
}

impl Default for Mock {
    /// `GET /static/logo.png?a=1&b=two&a=3 HTTP/1.1` to www.Example.com from 192.0.2.7:1234.
    fn default() -> Self {
        let mut mock = Self {
            conn: ConnFacts {
                src: "192.0.2.7:1234".parse().ok(),
                dst: "198.51.100.1:80".parse().ok(),
                listener_id: 3,
                listener_name: Some("edge".into()),
                ..ConnFacts::of_nobody(SystemTime::UNIX_EPOCH)
            },
            log: LogRecord::default(),
            frontend: Proxy {
                name: "www".into(),
                id: 2,
                index: Some(ProxyIndex(0)),
                mode: crate::config::model::Mode::Http,
                ..Proxy::default()
            },
            backend: Some(Proxy {
                name: "app".into(),
                id: 5,
                index: Some(ProxyIndex(1)),
                ..Proxy::default()
            }),
            server: Some("s1"),
            request: None,
            response: None,
            payload: None,
            response_payload: None,
            vars: HashMap::new(),
            now: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
            random: 0x1234_5678,
        };
        mock.get("/static/logo.png?a=1&b=two&a=3");
        mock
    }
}

impl Mock {
    pub fn get(&mut self, target: &str) {
        let mut head = Head::new();
        head.set_method(b"GET");
        head.set_target(target.as_bytes());
        head.set_version(Version::HTTP_11);
        for (name, value) in [
            ("host", "www.Example.com"),
            ("user-agent", "curl/8"),
            ("x-list", "one, two"),
            ("x-list", "three,\"fo,ur\""),
            ("x-forwarded-for", "10.1.2.3, 203.0.113.9"),
            ("cookie", "SID=abc; lang=fr"),
            ("cookie", "SID=def"),
            ("content-length", "42"),
            ("x-empty", ""),
        ] {
            head.add(name.as_bytes(), value.as_bytes());
        }
        self.request = Some(head);
    }

    pub fn respond(&mut self) {
        let mut head = Head::new();
        head.set_status(404);
        head.set_reason(b"Not Found");
        head.add(b"server", b"nginx");
        head.add(b"set-cookie", b"SID=new; Path=/");
        head.add(b"content-type", b"text/html");
        self.response = Some(head);
    }

    pub fn eval(&mut self, text: &str, site: Site) -> Option<Value> {
        let (expr, taken) =
            Expr::parse(&[text], site, &Scope::default()).unwrap_or_else(|e| panic!("{text}: {e:?}"));
        assert_eq!(taken, 1);
        expr.eval(self)
    }

    /// The expression as text, `-` when there is none.
    pub fn show(&mut self, text: &str, site: Site) -> String {
        let format = LogFormat::parse(&format!("%[{text}]"), site, &Scope::default());
        let mut out = Vec::new();
        format.unwrap_or_else(|e| panic!("{text}: {e:?}")).render(self, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    pub fn holds(&mut self, condition: &str, acls: &[(&str, &str)], site: Site) -> bool {
        let mut scope = Scope::default();
        for (name, text) in acls {
            let words: Vec<&str> = text.split(' ').collect();
            let acl = Acl::parse(name, &words, site, &scope).unwrap();
            scope.acls.declare(acl);
        }
        let words: Vec<&str> = condition.split(' ').collect();
        let condition =
            Condition::parse(&words, site, &scope).unwrap_or_else(|e| panic!("{condition}: {e:?}"));
        condition.holds(self)
    }
}

impl Facts for Mock {
    fn conn(&self) -> &ConnFacts {
        &self.conn
    }
    fn live(&self) -> &dyn LiveFacts {
        self
    }
    fn frontend(&self) -> Option<&Proxy> {
        Some(&self.frontend)
    }
    fn backend(&self) -> Option<&Proxy> {
        self.backend.as_ref()
    }
    fn server_name(&self) -> Option<&str> {
        self.server
    }
    fn request(&self) -> Option<&Head> {
        self.request.as_ref()
    }
    fn response(&self) -> Option<&Head> {
        self.response.as_ref()
    }
    fn request_payload(&self) -> Option<Payload<'_>> {
        self.payload.as_ref().map(|(bytes, complete)| Payload { bytes, complete: *complete })
    }
    fn response_payload(&self) -> Option<Payload<'_>> {
        self.response_payload.as_ref().map(|(bytes, complete)| Payload { bytes, complete: *complete })
    }
    fn log(&self) -> &LogRecord {
        &self.log
    }
    fn date(&self) -> SystemTime {
        self.now
    }
    fn random(&mut self) -> u32 {
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.random
    }
    fn var(&self, scope: VarScope, name: &str) -> Option<Value> {
        self.vars.get(&(scope, name.to_owned())).cloned()
    }
    fn set_var(&mut self, scope: VarScope, name: &str, value: Value) {
        self.vars.insert((scope, name.to_owned()), value);
    }
    fn unset_var(&mut self, scope: VarScope, name: &str) {
        self.vars.remove(&(scope, name.to_owned()));
    }
    fn unique_id(&mut self) -> Option<Vec<u8>> {
        self.request.as_ref()?;
        self.log.unique_id.get_or_insert_with(|| b"uid-1".to_vec()).clone().into()
    }
    fn process(&self) -> ProcessFacts<'_> {
        ProcessFacts { pid: 77, hostname: "lb1", nbthread: 4, thread: 1 }
    }
    fn elapsed(&self) -> Duration {
        Duration::from_millis(250)
    }
}

impl LiveFacts for Mock {
    fn frontend_by_name(&self, name: &str) -> Option<ProxyIndex> {
        (name == "www").then_some(ProxyIndex(0))
    }
    fn backend_by_name(&self, name: &str) -> Option<ProxyIndex> {
        ["app", "db"].iter().position(|n| *n == name).map(|i| ProxyIndex(i as u32 + 1))
    }
    fn nbsrv(&self, backend: ProxyIndex) -> i64 {
        i64::from(backend.0) * 2
    }
    fn server_is_up(&self, _: ProxyIndex, server: &str) -> bool {
        server == "s1"
    }
    fn server_number(&self, _: ProxyIndex, server: &str, what: ServerNumber) -> Option<i64> {
        (server.len() < 4).then_some(server.len() as i64 + what as i64 * 10 - 10)
    }
    fn connslots(&self, _: ProxyIndex) -> i64 {
        100
    }
    fn avg_queue(&self, _: ProxyIndex) -> i64 {
        3
    }
    fn queue(&self, _: ProxyIndex) -> i64 {
        6
    }
    fn be_conn(&self, backend: ProxyIndex) -> i64 {
        i64::from(backend.0) + 10
    }
    fn fe_conn(&self, frontend: ProxyIndex) -> i64 {
        i64::from(frontend.0) + 20
    }
    fn fe_sess_rate(&self, _: ProxyIndex) -> i64 {
        30
    }
    fn be_sess_rate(&self, _: ProxyIndex) -> i64 {
        40
    }
    fn be_conn_free(&self, _: ProxyIndex) -> i64 {
        50
    }
    fn fe_req_rate(&self, _: ProxyIndex) -> i64 {
        60
    }
    fn proxy_name(&self, proxy: ProxyIndex) -> Option<&str> {
        ["www", "app", "db"].get(proxy.0 as usize).copied()
    }
    fn connections(&self) -> i64 {
        70
    }
    fn uptime(&self) -> i64 {
        80
    }
    fn is_stopping(&self) -> bool {
        false
    }
    fn is_local(&self, address: IpAddr) -> bool {
        address.is_loopback()
    }
}
