//! `weir demo`: three origin servers on free ports and the embedded configuration in front of them, for a first look.

use crate::config::environment::Environment;
use crate::config::{self, Loaded, Source};
use crate::tasks;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, HeaderName};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;

const CONFIG: &str = include_str!("../assets/demo.cfg");
const PORT: u16 = 8080;

/// Name of each origin and the variable that carries its port into the configuration.
const ORIGINS: [(&str, &str); 3] = [("files", "PORT_FILES"), ("app1", "PORT_APP1"), ("app2", "PORT_APP2")];

/// Starts the origins, says what is where, and hands the loaded configuration to `serve`, which runs the proxy until
/// it is stopped.
pub fn run(serve: impl FnOnce(Loaded) -> ExitCode) -> ExitCode {
    match prepare() {
        Ok(loaded) => serve(loaded),
        Err(problem) => {
            eprintln!("weir demo: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn prepare() -> Result<Loaded, String> {
    port_is_free()?;
    let mut environment = Environment::of_process();
    let mut listeners = Vec::new();
    let mut ports = Vec::new();
    for (name, variable) in ORIGINS {
        let (listener, port) = listen().map_err(|e| format!("no port for the origin server {name}: {e}"))?;
        environment.set(variable, &port.to_string());
        listeners.push((name, listener));
        ports.push((name, port));
    }
    let loaded = load(&environment)?;
    std::thread::Builder::new()
        .name("demo-origins".to_owned())
        .spawn(move || serve_origins(listeners))
        .map_err(|e| format!("the origin servers do not start: {e}"))?;
    introduce(&ports);
    Ok(loaded)
}

fn port_is_free() -> Result<(), String> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).map(drop).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("port {PORT} on 127.0.0.1 is taken by another program; stop it and start the demo again")
        }
        _ => format!("cannot listen on 127.0.0.1:{PORT}: {error}"),
    })
}

fn listen() -> io::Result<(TcpListener, u16)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

fn load(environment: &Environment) -> Result<Loaded, String> {
    let source = Source { name: "demo.cfg".into(), bytes: CONFIG.as_bytes().to_vec() };
    config::load(&[source], environment).map_err(|diagnostics| {
        let reasons: Vec<String> = diagnostics.into_iter().map(|d| d.message).collect();
        format!("its own configuration is refused: {}", reasons.join("; "))
    })
}

fn introduce(ports: &[(&str, u16)]) {
    println!("weir demo: a proxy in front of three small web servers, all on this machine.\n");
    println!("  127.0.0.1:{PORT}   the proxy");
    for (name, port) in ports {
        let role = if *name == "files" { "static files" } else { "the application" };
        println!("  127.0.0.1:{port:<6} {name}: {role}");
    }
    println!(
        "
Try in another terminal:

  curl -i http://127.0.0.1:{PORT}/                                # app1 and app2 in turn, and a cookie that says which
  curl -i --cookie SERVERID=app2 http://127.0.0.1:{PORT}/account  # with the cookie: always app2
  curl -i http://127.0.0.1:{PORT}/static/site.css                 # by its path: files

and in a browser http://127.0.0.1:{PORT}/stats: what it is doing, and its servers to drain and take out.

What it logs of each request follows. Ctrl-C ends it.
"
    );
}

/// Serves for as long as the process lives.
fn serve_origins(listeners: Vec<(&'static str, TcpListener)>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    let set = tokio::task::LocalSet::new();
    set.block_on(&runtime, async {
        let servers: Vec<tasks::Task> = listeners
            .into_iter()
            .map(|(name, listener)| tasks::start("demo origin", accept(name, listener)))
            .collect();
        for server in servers {
            server.await;
        }
    });
}

async fn accept(name: &'static str, listener: TcpListener) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    while let Ok((stream, _)) = listener.accept().await {
        let service = service_fn(move |request| async move { Ok::<_, Infallible>(answer(name, &request)) });
        tasks::detached("demo origin connection", async move {
            // A client that goes away in the middle is its own business.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn answer(name: &str, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    let (kind, text) = match path {
        "/health" => ("text/plain", "ok\n".to_owned()),
        _ if path.ends_with(".css") => {
            ("text/css", format!("/* {path} from {name} */\nbody {{ margin: 2em }}\n"))
        }
        _ => ("text/plain", describe(name, request)),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

fn describe(name: &str, request: &Request<Incoming>) -> String {
    let mut text = format!("Hello from {name}.\nI was asked: {} {}\n", request.method(), request.uri());
    for header in [HOST, HeaderName::from_static("x-forwarded-for")] {
        if let Some(value) = request.headers().get(&header) {
            text += &format!("{header}: {}\n", String::from_utf8_lossy(value.as_bytes()));
        }
    }
    text
}
