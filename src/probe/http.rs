//! `option httpchk`: the request sent and what the answer means.

use super::job::{self, Job};
use crate::config::model::{HttpCheckRequest, Proxy};
use crate::health::{Finding, Status};
use crate::live::OperState;
use std::io;
use tokio::time::timeout_at;

/// The longest response head waited for.
pub const HEAD_MAX: usize = 16384;

#[derive(Debug)]
pub struct HttpCheck {
    wanted: HttpCheckRequest,
    stops_on_404: bool,
}

impl HttpCheck {
    #[must_use]
    pub fn new(proxy: &Proxy, wanted: &HttpCheckRequest) -> Self {
        let stops_on_404 = proxy.back.as_ref().is_some_and(|b| b.disable_on_404);
        Self { wanted: wanted.clone(), stops_on_404 }
    }

    pub async fn run(&self, job: &Job<'_>) -> Finding {
        let mut stream = match job.connect().await {
            Ok(stream) => stream,
            Err(finding) => return finding,
        };
        // A server that is down has to answer better than with a 404 to come back.
        let stops_on_404 = self.stops_on_404 && job.server.oper() != OperState::Stopped;
        let exchange = async {
            job::send(&mut stream, &request(&self.wanted, job.state().as_deref())).await?;
            let mut bytes = Vec::new();
            loop {
                let end = job::receive(&mut stream, &mut bytes).await? == 0;
                if let Some(answer) = read(&bytes, end, &self.wanted, stops_on_404) {
                    return Ok::<_, io::Error>(answer);
                }
            }
        };
        match timeout_at(job.deadline(), exchange).await {
            Err(_) => Finding::new(Status::L7Timeout),
            Ok(Err(error)) => Finding::new(Status::L7Response).info(job::words(&error)),
            Ok(Ok(Answer { status, code, info })) => Finding { status, code, info, duration: None },
        }
    }
}

/// The request's bytes; `state` is the header of `http-check send-state`.
#[must_use]
pub fn request(wanted: &HttpCheckRequest, state: Option<&str>) -> Vec<u8> {
    let mut out = format!("{} {} {}\r\n", wanted.method, wanted.uri, wanted.version);
    for (name, value) in &wanted.headers {
        out += &format!("{}: {value}\r\n", name.to_ascii_lowercase());
    }
    if let Some(state) = state {
        out += &format!("x-haproxy-server-state: {state}\r\n");
    }
    let said = wanted.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case("connection"));
    if wanted.version == "HTTP/1.1" && !said {
        out += "connection: close\r\n";
    }
    out += "\r\n";
    out.into_bytes()
}

/// What a response says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: Status,
    pub code: Option<u16>,
    pub info: Option<String>,
}

impl Answer {
    const INVALID: Self = Self { status: Status::L7Response, code: None, info: None };
}

/// Reads the response so far; `None`: more must come. `end`: nothing more will.
#[must_use]
pub fn read(bytes: &[u8], end: bool, wanted: &HttpCheckRequest, stops_on_404: bool) -> Option<Answer> {
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(bytes) {
        Err(_) => return Some(Answer::INVALID),
        Ok(httparse::Status::Partial) if end || bytes.len() >= HEAD_MAX => return Some(Answer::INVALID),
        Ok(httparse::Status::Partial) => return None,
        Ok(httparse::Status::Complete(_)) => {}
    }
    let Some(code) = response.code else { return Some(Answer::INVALID) };
    let reason = response.reason.filter(|r| !r.is_empty()).map(str::to_owned);
    let expected = if wanted.expect.is_empty() {
        (200..400).contains(&code)
    } else {
        wanted.expect.iter().any(|r| r.contains(&code))
    };
    Some(if stops_on_404 && code == 404 {
        Answer { status: Status::L7Conditional, code: Some(code), info: None }
    } else if expected {
        Answer { status: Status::L7Ok, code: Some(code), info: None }
    } else {
        Answer { status: Status::L7Status, code: Some(code), info: reason }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(version: &str, headers: &[(&str, &str)]) -> HttpCheckRequest {
        HttpCheckRequest {
            method: "GET".into(),
            uri: "/x".into(),
            version: version.into(),
            headers: headers.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect(),
            expect: Vec::new(),
        }
    }

    /// As Debian's haproxy sent them.
    #[test]
    fn requests() {
        let check = |w: HttpCheckRequest, expected: &str| {
            assert_eq!(String::from_utf8(request(&w, None)).unwrap(), expected);
        };
        check(wanted("HTTP/1.0", &[]), "GET /x HTTP/1.0\r\n\r\n");
        check(
            wanted("HTTP/1.1", &[("Host", "www")]),
            "GET /x HTTP/1.1\r\nhost: www\r\nconnection: close\r\n\r\n",
        );
    }

    #[test]
    fn answers() {
        let check = |bytes: &str, end, expected: Option<(Status, Option<u16>)>| {
            let got = read(bytes.as_bytes(), end, &wanted("HTTP/1.0", &[]), true);
            assert_eq!(got.map(|a| (a.status, a.code)), expected, "{bytes:?}");
        };
        check("HTTP/1.1 200 OK\r\n\r\n", false, Some((Status::L7Ok, Some(200))));
        check("HTTP/1.1 404 No\r\n\r\n", false, Some((Status::L7Conditional, Some(404))));
        check("HTTP/1.1 500 No\r\n\r\n", false, Some((Status::L7Status, Some(500))));
        check("HTTP/1.1 2", false, None);
        check("HTTP/1.1 2", true, Some((Status::L7Response, None)));
        check("", true, Some((Status::L7Response, None)));
        check("hello\r\n", false, Some((Status::L7Response, None)));
    }
}
