//! `http-check expect digest`: the page's MD5 is what keepalived's genhash says of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::process::{Program, Proxy};
use harness::{listens, own_address};
use std::fs;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);
const PORT: u16 = 8080;

/// nginx serving a directory's `pages`.
struct Nginx(Child);

impl Nginx {
    fn start(dir: &TempDir, address: Ipv4Addr) -> Self {
        let at = dir.path().display();
        let text = format!(
            "daemon off; master_process off; pid {at}/pid; error_log {at}/errors; events {{}}\n\
             http {{ access_log off; root {at}/pages; client_body_temp_path {at}/t1; proxy_temp_path {at}/t2;\n\
             fastcgi_temp_path {at}/t3; uwsgi_temp_path {at}/t4; scgi_temp_path {at}/t5;\n\
             server {{ listen {address}:{PORT}; location = /chunked {{ ssi on; ssi_types *; }} }} }}\n"
        );
        fs::write(dir.path().join("nginx.conf"), text).unwrap();
        let child = Command::new("/usr/sbin/nginx")
            .arg("-c")
            .arg(dir.path().join("nginx.conf"))
            .arg("-e")
            .arg(dir.path().join("errors"))
            .stdin(Stdio::null())
            .spawn()
            .expect("nginx is installed");
        let started = Instant::now();
        while !listens(address.into(), PORT) {
            assert!(started.elapsed() < LIMIT, "nginx does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self(child)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn genhash(address: Ipv4Addr, page: &str) -> String {
    let output = Command::new("genhash")
        .args(["-s", &address.to_string(), "-p", &PORT.to_string(), "-u", page])
        .output()
        .expect("keepalived's genhash is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let digest = text.split_whitespace().last().unwrap_or_default();
    assert!(digest.len() == 32, "{output:?}");
    digest.to_owned()
}

fn wait_for(proxy: &Proxy, parts: &[&str]) {
    let started = Instant::now();
    while !proxy.stderr().lines().any(|l| parts.iter().all(|p| l.contains(p))) {
        assert!(started.elapsed() < LIMIT, "no line with {parts:?} in:\n{}", proxy.stderr());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn pages_of_nginx() {
    let dir = TempDir::new().unwrap();
    fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::create_dir(dir.path().join("pages")).unwrap();
    // Larger than the buffer that other expectations look at.
    let large: String = (0..40_000).map(|n| format!("line {n}\n")).collect();
    fs::write(dir.path().join("pages/small"), "all is well\n").unwrap();
    fs::write(dir.path().join("pages/large"), &large).unwrap();
    fs::write(dir.path().join("pages/chunked"), "some <!--# echo var=\"nothing\" --> page\n").unwrap();
    let address = own_address();
    let nginx = Nginx::start(&dir, address);
    let check = |name: &str, request: &str, digest: &str| {
        format!(
            "backend {name}\n mode http\n option httpchk {request}\n http-check send hdr Host h.example\n \
             http-check expect digest {digest}\n \
             server s {address}:{PORT} check inter 100ms rise 1 fall 1\n"
        )
    };
    let digest = |page: &str| genhash(address, page);
    let backends = [
        check("small", "GET /small", &digest("/small")),
        check("large", "GET /large", &digest("/large")),
        check("chunked", "GET /chunked HTTP/1.1", &digest("/chunked")),
        check("other", "GET /small", &digest("/large")),
    ];
    let socket = dir.path().join("admin.sock");
    let config = format!(
        "global\n stats socket {}\n max-spread-checks 1ms\ndefaults\n timeout connect 20s\n timeout client 20s\n \
         timeout server 20s\n option log-health-checks\n{}",
        socket.display(),
        backends.concat()
    );
    let weir = Proxy::start(Program::Weir, &config, address, &[]).unwrap();
    for name in ["small", "large", "chunked"] {
        wait_for(&weir, &[&format!("{name}/s succeeded, reason: Layer7 check passed, code: 200")]);
    }
    let said = format!("info: \"HTTP digest check did not match ({})\"", digest("/small"));
    wait_for(&weir, &["other/s failed, reason: Layer7 invalid response", &said]);
    // The page changes, and comes back; nginx stops.
    let replace = |text: &str| {
        fs::write(dir.path().join("new"), text).unwrap();
        fs::rename(dir.path().join("new"), dir.path().join("pages/large")).unwrap();
    };
    replace(&large.replace("line 39999", "line 40000"));
    wait_for(&weir, &["Server large/s is DOWN"]);
    replace(&large);
    wait_for(&weir, &["Server large/s is UP"]);
    drop(nginx);
    wait_for(&weir, &["small/s failed, reason: Layer4 connection problem, info: \"Connection refused\""]);
}
