//! Every protocol check against the real server, from Debian's packages: up, then stopped, then up again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::process::{Program, Proxy, signal};

const BOUND: Duration = Duration::from_secs(60);
const PORT: u16 = 9400;

/// A server of one kind: what starts it, what stops it.
struct Server {
    command: Box<dyn Fn() -> Command>,
    stop: &'static str,
    address: Ipv4Addr,
    child: Option<Child>,
}

impl Server {
    fn start(&mut self) {
        let child = (self.command)().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.child = Some(child.expect("the server's program is installed (tests/run does it)"));
        let started = Instant::now();
        while !harness::listens(self.address.into(), PORT) {
            assert!(started.elapsed() < BOUND, "the server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        signal(child.id(), self.stop);
        let started = Instant::now();
        while matches!(child.try_wait(), Ok(None)) && started.elapsed() < BOUND {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().expect("id runs");
    output.stdout.trim_ascii() == b"0"
}

/// The program under another user where this one is root, which most of these servers refuse to be. The pid is the program's.
fn under(user: &str, program: &str) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--regid", user, "--clear-groups", program]);
    command
}

/// A directory in `parent` that belongs to `user`.
fn owned(parent: &Path, name: &str, user: &str) -> String {
    let dir = parent.join(name);
    std::fs::create_dir_all(&dir).unwrap();
    if is_root() {
        let open = Command::new("chmod").arg("755").arg(parent).status().unwrap();
        let given = Command::new("chown").arg(user).arg(&dir).status().unwrap();
        assert!(open.success() && given.success(), "{} cannot be given to {user}", dir.display());
    }
    dir.display().to_string()
}

fn must_run(mut command: Command) {
    let output = command.stdin(Stdio::null()).output().expect("the program is installed (tests/run does it)");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Waits for a line with this text, from `from` on; answers where the next search goes on.
fn wait_for(proxy: &Proxy, text: &str, from: usize) -> usize {
    let started = Instant::now();
    loop {
        let log = proxy.stderr();
        if let Some(at) = log.get(from..).and_then(|rest| rest.find(text)) {
            return from + at + text.len();
        }
        assert!(started.elapsed() < BOUND, "no '{text}' in:\n{}", log.get(from..).unwrap_or_default());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The check finds the server up (`up` is what the log says), down when it is stopped, and up again.
fn follows(lines: &str, mut server: Server, options: &str, up: &str) {
    server.start();
    let (front, address) = (harness::own_address(), server.address);
    let config = format!(
        "global\n log stderr format raw local0\ndefaults\n mode tcp\n log global\n option log-health-checks\n timeout connect 10s\n \
         timeout check 10s\n timeout client 10s\n timeout server 10s\nlisten front\n bind {front}:8080\n\
         backend be\n{lines}\n server s {address}:{PORT} check inter 100ms rise 2 fall 2 {options}\n"
    );
    let proxy =
        Proxy::start(Program::Weir, &config, front, &[8080]).unwrap_or_else(|error| panic!("{error}"));
    let at = wait_for(&proxy, &format!("Health check for server be/s succeeded, reason: {up}"), 0);
    // One that listens may not be ready for its first check yet.
    let at = wait_for(&proxy, "status: 2/2 UP", at);
    server.stop();
    // A server may answer its last check badly before it is gone.
    let down = wait_for(&proxy, "Server be/s is DOWN.", at);
    let gone = wait_for(&proxy, "Health check for server be/s failed, reason: Layer4 connection problem", at);
    let at = down.max(gone);
    server.start();
    let at = wait_for(&proxy, &format!("Health check for server be/s succeeded, reason: {up}"), at);
    wait_for(&proxy, "Server be/s is UP.", at);
}

#[test]
fn redis() {
    let (dir, address) = (tempfile::tempdir().unwrap(), harness::own_address());
    let place = dir.path().display().to_string();
    let command = move || {
        let mut command = Command::new("redis-server");
        command.args([
            "--port",
            &PORT.to_string(),
            "--bind",
            &address.to_string(),
            "--save",
            "",
            "--dir",
            &place,
        ]);
        command
    };
    let server = Server { command: Box::new(command), stop: "TERM", address, child: None };
    follows(" option redis-check", server, "", "Layer7 check passed, code: 0, info: \"Redis server is ok\"");
}

#[test]
fn mariadb() {
    let (dir, address) = (tempfile::tempdir().unwrap(), harness::own_address());
    let place = owned(dir.path(), "m", "mysql");
    let mut install = under("mysql", "mariadb-install-db");
    install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
    install.arg(format!("--datadir={place}/data"));
    must_run(install);
    let accounts = dir.path().join("accounts.sql");
    std::fs::write(&accounts, "CREATE USER IF NOT EXISTS 'checker'@'%';\n").unwrap();
    let accounts = accounts.display().to_string();
    let command = move || {
        let mut command = under("mysql", "mariadbd");
        command.args([
            "--no-defaults",
            &format!("--datadir={place}/data"),
            &format!("--socket={place}/socket"),
        ]);
        command.args([&format!("--port={PORT}"), &format!("--bind-address={address}")]);
        command.args([&format!("--pid-file={place}/pid"), &format!("--init-file={accounts}")]);
        command
    };
    let server = Server { command: Box::new(command), stop: "TERM", address, child: None };
    // The version the server names itself by.
    follows(" option mysql-check user checker", server, "", "Layer7 check passed, code: 0, info: \"5.5.5-");
}

#[test]
fn postgresql() {
    let (dir, address) = (tempfile::tempdir().unwrap(), harness::own_address());
    let place = owned(dir.path(), "p", "postgres");
    let versions =
        std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed (tests/run does it)");
    let newest = versions.flatten().map(|v| v.path()).max().expect("a version of PostgreSQL");
    let program = |name: &str| newest.join("bin").join(name).display().to_string();
    let mut install = under("postgres", &program("initdb"));
    install.args(["-D", &format!("{place}/data"), "-A", "trust", "-N", "-U", "checker"]).current_dir("/");
    must_run(install);
    let postgres = program("postgres");
    let command = move || {
        let mut command = under("postgres", &postgres);
        command.args(["-D", &format!("{place}/data"), "-p", &PORT.to_string(), "-h", &address.to_string()]);
        command.args(["-k", &place]).current_dir("/");
        command
    };
    let server = Server { command: Box::new(command), stop: "INT", address, child: None };
    let up = "Layer7 check passed, code: 0, info: \"PostgreSQL server is ok\"";
    follows(" option pgsql-check user checker", server, "", up);
}

#[test]
fn openldap() {
    let (dir, address) = (tempfile::tempdir().unwrap(), harness::own_address());
    let place = owned(dir.path(), "l", "openldap");
    let file = dir.path().join("slapd.conf");
    let config = format!(
        "include /etc/ldap/schema/core.schema\npidfile {place}/pid\ndatabase ldif\nsuffix \"dc=example\"\ndirectory {place}\n"
    );
    std::fs::write(&file, config).unwrap();
    let file = file.display().to_string();
    let command = move || {
        let mut command = under("openldap", "slapd");
        command.args(["-f", &file, "-h", &format!("ldap://{address}:{PORT}"), "-d", "0"]);
        command
    };
    let server = Server { command: Box::new(command), stop: "TERM", address, child: None };
    follows(" option ldap-check", server, "", "Layer7 check passed, code: 0, info: \"Success\"");
}

/// nginx with a certificate for `www.example` in `root`/cert.pem; `rest`: what its `http` block says.
fn nginx(root: &Path, address: Ipv4Addr, rest: &str) -> Server {
    let place = root.display().to_string();
    let mut certificate = Command::new("openssl");
    certificate.args([
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=www.example",
    ]);
    certificate.args(["-addext", "subjectAltName=DNS:www.example", "-keyout", "key.pem", "-out", "cert.pem"]);
    certificate.current_dir(root);
    must_run(certificate);
    let config = format!(
        "daemon off;\nmaster_process off;\npid {place}/pid;\nerror_log {place}/error;\nevents {{ worker_connections 64; }}\n\
         http {{ access_log off; ssl_certificate {place}/cert.pem; ssl_certificate_key {place}/key.pem; {rest} }}\n"
    );
    let file = root.join("nginx.conf");
    std::fs::write(&file, config).unwrap();
    let file = file.display().to_string();
    let command = move || {
        let mut command = Command::new("nginx");
        command.args(["-p", &place, "-e", "error", "-c", &file]);
        command
    };
    Server { command: Box::new(command), stop: "TERM", address, child: None }
}

#[test]
fn nginx_over_tls() {
    let (dir, address) = (tempfile::tempdir().unwrap(), harness::own_address());
    let site = "server_name www.example; location / { return 200 \"fine\"; }";
    let server = nginx(dir.path(), address, &format!("server {{ listen {address}:{PORT} ssl; {site} }}"));
    let lines = " option httpchk\n http-check send meth GET uri /x ver HTTP/1.1 hdr host www.example\n http-check expect string fine";
    let certificate = dir.path().join("cert.pem");
    let options =
        format!("check-ssl check-sni www.example verify required ca-file {}", certificate.display());
    follows(lines, server, &options, "Layer7 check passed, code: 200");
}

#[test]
fn nginx_over_http2() {
    let (dir, address) = (tempfile::tempdir().unwrap(), harness::own_address());
    let site = "location / { if ($server_protocol = HTTP/2.0) { return 200 \"fine\"; } return 400; }";
    let server = nginx(dir.path(), address, &format!("server {{ listen {address}:{PORT} http2; {site} }}"));
    let lines = " option httpchk\n http-check send meth GET uri /x hdr host www.example\n http-check expect string fine";
    follows(lines, server, "check-proto h2", "Layer7 check passed, code: 200");
}

/// Backends checked over HTTP/2, after what follows `backend`: the clear port is CLEAR, the one of TLS SECURE, HTTP/1 alone
/// OLD and OLDTLS. There is no `host` unless one is sent.
const HTTP2: &[&str] = &[
    "option httpchk|http-check send hdr host a|CLEAR check-proto h2",
    "option httpchk GET /|CLEAR check-proto h2",
    "option httpchk GET /|http-check send hdr host a hdr a b hdr connection close hdr te trailers hdr user-agent c|http-check expect string fine|CLEAR check-proto h2",
    "option httpchk|http-check send-state|http-check send meth POST uri /204?a=b ver HTTP/1.1 hdr host a body abc|CLEAR check-proto h2",
    "option httpchk|http-check send meth GET uri http://b/200 hdr host a|CLEAR check-proto h2",
    "option httpchk|http-check send meth GET uri /404 hdr host a|http-check disable-on-404|CLEAR check-proto h2",
    "option httpchk|http-check send meth GET uri /500 hdr host a|CLEAR check-proto h2",
    "option httpchk|http-check send meth HEAD uri / hdr host a|http-check expect hdr name content-type value -m beg text|CLEAR check-proto h2",
    "option httpchk|http-check connect port CLEAR proto h2|http-check send meth GET uri / hdr host a|http-check expect rstring ^fi|http-check connect port SECURE ssl alpn h2|http-check send meth GET uri /204 hdr host b|http-check expect status 204|CLEAR verify none",
    "option httpchk|http-check send meth GET uri / hdr host a|SECURE check-ssl verify none check-alpn h2",
    "option httpchk|http-check send meth GET uri / hdr host a|SECURE check-ssl verify none check-alpn h2,http/1.1",
    "option httpchk|http-check send meth GET uri / ver HTTP/1.1 hdr host a|SECURE check-ssl verify none check-alpn http/1.1",
    "option httpchk|http-check send meth GET uri / ver HTTP/1.1 hdr host a|OLDTLS check-ssl verify none check-alpn h2",
    "option httpchk|http-check send meth GET uri / ver HTTP/1.1 hdr host a|OLDTLS check-ssl verify none check-alpn h2,http/1.1",
    "option httpchk|http-check send meth GET uri / ver HTTP/1.1 hdr host a|SECURE check-ssl verify none check-alpn h2 check-proto h1",
    "option httpchk GET /|SECURE check-ssl verify none check-proto h2",
    "option httpchk GET /|OLD check-proto h2",
    "option tcp-check|SECURE check-ssl verify none check-alpn h2 check-proto none",
];

/// What is logged of these checks, and what nginx logs of them, is the same under haproxy.
#[test]
fn http2_as_under_haproxy() {
    let seen = [Program::HaProxy, Program::Weir].map(|program| {
        let (dir, address) = (tempfile::tempdir().unwrap(), harness::own_address());
        let access = dir.path().join("access");
        let rest = format!(
            "log_format f '$remote_addr $server_port $request $http_host $http_a $http_te $http_user_agent $http_connection \
             $content_length $http_x_haproxy_server_state $status $http2'; default_type text/plain; access_log {} f; \
             server {{ listen {address}:{PORT} http2; listen {address}:9401 ssl http2; listen {address}:9402; listen {address}:9403 ssl; \
             location / {{ return 200 \"fine\"; }} location /204 {{ return 204; }} location /404 {{ return 404; }} \
             location /500 {{ return 500; }} }}",
            access.display()
        );
        let mut server = nginx(dir.path(), address, &rest);
        server.start();
        let front = harness::own_address();
        let mut config = format!(
            "global\n log stderr format raw local0\n max-spread-checks 1\ndefaults\n mode tcp\n log global\n option log-health-checks\n timeout connect 10s\n \
             timeout check 10s\n timeout client 10s\n timeout server 10s\nlisten front\n bind {front}:8080\n"
        );
        for (number, backend) in HTTP2.iter().enumerate() {
            let lines: Vec<String> = backend
                .split('|')
                .map(|l| l.replace("port CLEAR", "port 9400").replace("port SECURE", "port 9401"))
                .collect();
            let (last, lines) = lines.split_last().unwrap();
            let (port, options) = last.split_once(' ').unwrap();
            let port = match port {
                "CLEAR" => PORT,
                "SECURE" => 9401,
                "OLD" => 9402,
                _ => 9403,
            };
            let lines = lines.join("\n ");
            config += &format!("backend b{number}\n {lines}\n server s {address}:{port} check inter 1h {options}\n");
        }
        let proxy = Proxy::start(program, &config, front, &[8080]).unwrap_or_else(|error| panic!("{error}"));
        let duration = regex::Regex::new(r"check duration: \d+ms").unwrap();
        let said: Vec<String> = (0..HTTP2.len())
            .map(|number| {
                let about = format!("Health check for server b{number}/s ");
                let from = wait_for(&proxy, &about, 0);
                let line = proxy.stderr().get(from..).unwrap().lines().next().unwrap().to_owned();
                duration.replace(&line, "check duration: N").into_owned()
            })
            .collect();
        drop(proxy);
        server.stop();
        let mut asked: Vec<String> = std::fs::read_to_string(&access)
            .unwrap()
            .lines()
            .map(|l| l.replace(&address.to_string(), "ADDR"))
            .collect();
        asked.sort();
        (said, asked)
    });
    let [theirs, ours] = seen;
    for (backend, (a, b)) in HTTP2.iter().zip(theirs.0.iter().zip(&ours.0)) {
        assert_eq!(a, b, "{backend}");
    }
    assert_eq!(theirs.1, ours.1, "what nginx was asked");
}

/// OpenSSL answers an SSL 3.0 hello with an alert, which is an answer.
#[test]
fn openssl_with_a_plain_hello() {
    let (dir, address) = (tempfile::tempdir().unwrap(), harness::own_address());
    let mut certificate = Command::new("openssl");
    certificate
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-keyout", "key.pem"]);
    certificate.args(["-out", "cert.pem"]).current_dir(dir.path());
    must_run(certificate);
    let place = dir.path().to_path_buf();
    let command = move || {
        let mut command = Command::new("openssl");
        command.args(["s_server", "-quiet", "-accept", &format!("{address}:{PORT}")]);
        command.args(["-cert", "cert.pem", "-key", "key.pem"]).current_dir(&place);
        command
    };
    let server = Server { command: Box::new(command), stop: "TERM", address, child: None };
    follows(" option ssl-hello-chk", server, "", "Layer6 check passed");
}

/// Postfix's parts are started by its own supervisor, which only runs for root.
#[test]
fn postfix() {
    if !is_root() {
        println!("skipped: Postfix needs root");
        return;
    }
    let (dir, address) = (tempfile::tempdir().unwrap(), harness::own_address());
    owned(dir.path(), "data", "postfix");
    let root = dir.path().display().to_string();
    let config = format!(
        "compatibility_level = 3.6\nqueue_directory = {root}/queue\ndata_directory = {root}/data\ncommand_directory = /usr/sbin\n\
         daemon_directory = /usr/lib/postfix/sbin\nmail_owner = postfix\nsetgid_group = postdrop\ninet_interfaces = 127.0.0.1\n\
         inet_protocols = ipv4\nmydestination =\nmyhostname = mail.example\nmynetworks = 127.0.0.0/8\nalias_maps =\n\
         smtpd_recipient_restrictions = reject\n"
    );
    std::fs::write(dir.path().join("main.cf"), &config).unwrap();
    // Postfix knows the addresses of interfaces alone; the service itself is free to listen elsewhere.
    let services = format!(
        "{address}:{PORT} inet n - n - - smtpd\nrewrite unix - - n - - trivial-rewrite\nproxymap unix - - n - - proxymap\n\
         anvil unix - - n - 1 anvil\ncleanup unix n - n - 0 cleanup\npostlog unix-dgram n - n - 1 postlogd\n"
    );
    std::fs::write(dir.path().join("master.cf"), services).unwrap();
    std::fs::create_dir(dir.path().join("queue")).unwrap();
    let mut prepare = Command::new("/usr/sbin/postfix");
    // Makes the queue's directories; it also finds fault with who owns the temporary one.
    let _status = prepare.args(["-c", &root, "check"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    // 'check' does nothing where the log is a descriptor.
    std::fs::write(dir.path().join("main.cf"), config + "maillog_file = /dev/stdout\n").unwrap();
    let command = move || {
        let mut command = Command::new("/usr/lib/postfix/sbin/master");
        command.args(["-c", &root, "-d"]).env("MAIL_CONFIG", &root).env("MAIL_LOGTAG", "postfix");
        command
    };
    let server = Server { command: Box::new(command), stop: "TERM", address, child: None };
    let up = "Layer7 check passed, code: 221, info: \"2.0.0 Bye\"";
    follows(" option smtpchk EHLO check.example", server, "", up);
}
