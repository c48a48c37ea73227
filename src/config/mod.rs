//! From text to an always-valid configuration: `lex` (words with spans) -> `raw` (sections and lines) -> `keywords`
//! (one table row per keyword fills the model) -> `resolve` (names become indices, whole-file checks) -> [`model::Config`].
//!
//! Nothing here knows the runtime. Every problem is a [`diagnostic::Diagnostic`] with its place; a pass never stops at the first.

pub mod actions;
pub mod address;
mod arguments;
pub mod certificates;
pub mod checks;
pub mod condition;
pub mod diagnostic;
pub mod diff;
pub mod door;
pub mod draft;
pub mod dynamic;
pub mod dynamic_cookie;
pub mod environment;
pub mod guid;
pub mod identity;
pub mod keyword;
pub mod keywords;
pub mod l4;
pub mod lex;
mod manual;
pub mod model;
mod order;
pub mod parser;
pub mod preprocess;
pub mod raw;
pub mod resolve;
pub mod section_names;
pub mod sections;
mod servers;
pub mod states;
pub mod suggest;
pub mod system;
mod tls;
mod tracking;
pub mod units;
pub mod vrrp;
mod whole;
pub mod written;

pub use manual::{list_keywords, manual};

use diagnostic::{Diagnostic, Severity};
use environment::Environment;
use model::probes::ExternalChecks;
use parser::Parser;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One configuration file's bytes, under the name that messages show.
#[derive(Clone, Debug)]
pub struct Source {
    pub name: Arc<str>,
    pub bytes: Vec<u8>,
}

/// What [`load`] answers when nothing is wrong beyond warnings.
#[derive(Debug)]
pub struct Loaded {
    pub config: model::Config,
    pub diagnostics: Vec<Diagnostic>,
    /// The environment after `setenv` and its family, for scripts the process starts.
    pub environment: Environment,
}

/// Reads the files `-f` names, in order; a directory stands for its `*.cfg` files in byte order, hidden ones left out.
///
/// # Errors
/// HAProxy's sentence about the first file that cannot be read.
pub fn read_sources(paths: &[PathBuf]) -> Result<Vec<Source>, String> {
    let mut sources = Vec::new();
    for path in paths {
        let unreadable = |what: &str, path: &Path, error: &std::io::Error| {
            format!("Cannot open configuration {what} {} : {}", path.display(), reason(error))
        };
        let files = if path.is_dir() {
            files_of(path).map_err(|e| unreadable("directory", path, &e))?
        } else {
            vec![path.clone()]
        };
        for file in files {
            let bytes = std::fs::read(&file).map_err(|e| unreadable("file/directory", &file, &e))?;
            sources.push(Source { name: file.to_string_lossy().into(), bytes });
        }
    }
    Ok(sources)
}

fn files_of(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let bytes = name.as_encoded_bytes();
        if bytes.ends_with(b".cfg") && !bytes.starts_with(b".") {
            names.push(name);
        }
    }
    names.sort_by(|a, b| a.as_encoded_bytes().cmp(b.as_encoded_bytes()));
    Ok(names.into_iter().map(|n| directory.join(n)).filter(|p| p.is_file()).collect())
}

/// The system's words without Rust's "(os error N)".
pub(crate) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// Text to configuration. All errors of all files in one pass.
///
/// # Errors
/// Every diagnostic (warnings included) when at least one is an alert.
pub fn load(sources: &[Source], environment: &Environment) -> Result<Loaded, Vec<Diagnostic>> {
    let mut environment = environment.clone();
    suggest::begin();
    predefine(&mut environment, sources);
    let read = preprocess::read(sources, &mut environment);
    let mut parser = Parser::new(environment);
    parser.diagnostics = read.diagnostics;
    let written = written::Written::of(&read.lines);
    sections::apply(&mut parser, read.lines);
    let files = sources.iter().map(|s| PathBuf::from(&*s.name)).collect();
    let (mut config, mut diagnostics, environment) = resolve::resolve(parser, files);
    config.written = written;
    config.environment = environment.clone();
    if let ExternalChecks::WithEnvironment(kept) = &mut config.global.external_check {
        *kept = environment.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    }
    // Parsing goes section by section; what people read goes down the files.
    diagnostics.sort_by_key(|d| {
        d.place.as_ref().map_or((usize::MAX, 0), |p| {
            (sources.iter().position(|s| s.name == p.file).unwrap_or(usize::MAX), p.line)
        })
    });
    if diagnostics.iter().any(|d| d.severity == Severity::Alert) {
        return Err(diagnostics);
    }
    Ok(Loaded { config, diagnostics, environment })
}

/// The variables HAProxy sets for the configuration (manual 2.3) that are known here; the others are the caller's.
fn predefine(environment: &mut Environment, sources: &[Source]) {
    let names: Vec<&str> = sources.iter().map(|s| &*s.name).collect();
    environment.set("HAPROXY_CFGFILES", &names.join(";"));
    environment.set("HAPROXY_BRANCH", condition::VERSION.rsplit_once('.').map_or("", |(branch, _)| branch));
    if environment.get("HAPROXY_STARTUP_VERSION").is_none() {
        environment.set("HAPROXY_STARTUP_VERSION", condition::VERSION);
    }
}

/// Evaluates the condition of `-cc`.
///
/// # Errors
/// HAProxy's sentence about what does not parse.
pub fn eval_condition(text: &str) -> Result<bool, String> {
    condition::evaluate(text, &Environment::of_process())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_text(text: &str) -> Result<Loaded, Vec<Diagnostic>> {
        load(&[Source { name: "t.cfg".into(), bytes: text.as_bytes().to_vec() }], &Environment::default())
    }

    /// The alerts' messages and lines.
    fn alerts(text: &str) -> Vec<(u32, String)> {
        let Err(diagnostics) = load_text(text) else { return Vec::new() };
        let alerts = diagnostics.into_iter().filter(|d| d.severity == Severity::Alert);
        alerts.map(|d| (d.place.map_or(0, |p| p.line), d.message)).collect()
    }

    #[test]
    fn five_typing_errors_are_five_errors() {
        let text = "global\n maxcon 1\nfrontend f\n bind :80 sll\n option httplogs\n default_backend nn\n timeout clint 3\n";
        let found = alerts(text);
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 4, 5, 6, 7], "{found:?}");
    }

    #[test]
    fn a_misspelt_section_is_one_error() {
        let found = alerts("fronted f\n bind :80\n mode http\nbackend b\n");
        assert_eq!(found.len(), 1, "{found:?}");
        let found = alerts("backend b\n mode http\nfroo\n");
        assert_eq!(found, [(3, "unknown keyword 'froo' in 'backend' section".to_owned())]);
    }

    #[test]
    fn defaults_are_applied_to_each_proxy() {
        let text = "defaults a\n mode http\n timeout client 3s\n retries 7\ndefaults b from a\n retries 2\n\
                    frontend f from a\n bind :80\nbackend x from a\nbackend y from b\nbackend z\n";
        let config = load_text(text).unwrap().config;
        let retries: Vec<u32> =
            config.proxies.iter().filter_map(|p| p.back.as_ref()).map(|b| b.retries).collect();
        assert_eq!(retries, [7, 2, 2]);
        assert_eq!(config.proxies[0].timeouts.client, Some(std::time::Duration::from_secs(3)));
        assert!(config.proxies.iter().all(|p| p.mode == model::Mode::Http));
    }

    #[test]
    fn names_resolve_to_indices() {
        let text =
            "frontend b\n bind :80\n use_backend c if TRUE\n default_backend b\nbackend b\nbackend c\n";
        let config = load_text(text).unwrap().config;
        let front = config.proxies[0].front.as_ref().unwrap();
        assert_eq!(front.default_backend, Some(crate::ids::ProxyIndex(1)));
        assert!(matches!(front.use_backend[0].action, model::UseBackend::Static(crate::ids::ProxyIndex(2))));
    }

    #[test]
    fn listen_is_its_own_backend() {
        let config = load_text("listen l\n bind :80\n server s 127.0.0.1:81\n").unwrap().config;
        let front = config.proxies[0].front.as_ref().unwrap();
        assert_eq!(front.default_backend, Some(crate::ids::ProxyIndex(0)));
    }

    #[test]
    fn old_spellings() {
        let text = "global\n nbproc 1\ndefaults\n clitimeout 3000\nlisten l :8080\n";
        let loaded = load_text(text).unwrap();
        let proxy = &loaded.config.proxies[0];
        assert_eq!(proxy.timeouts.client, Some(std::time::Duration::from_secs(3)));
        assert_eq!(proxy.front.as_ref().unwrap().binds.len(), 1);
        let found = alerts("frontend f\n reqadd X-A:\\ b\n");
        assert!(found[0].1.contains("http-request add-header"), "{found:?}");
    }

    #[test]
    fn any_bytes_are_an_answer() {
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        let words = [
            "global",
            "defaults",
            "frontend",
            "backend",
            "listen",
            "userlist",
            "http-errors",
            " bind",
            " server",
            " acl",
            " timeout",
            " log",
            " option",
            " no",
            ".if",
            ".else",
            ".endif",
            "from",
            "f",
            ":80",
            "\"",
            "'",
            "\\",
            "\\x4",
            "${A",
            "\"${A[*]}\"",
            "#",
            "\n",
            "\n",
            " ",
            "(",
            ")",
            "-",
            "99999999999999999999",
            "if",
            "unless",
            "{ path /",
            "}",
            " balance",
            " hash",
            " cookie",
            " stats",
            " cpu-map",
            "1/1-4",
            " use_backend",
            " http-request",
            "\u{7f51}",
            "\0",
        ];
        for _ in 0..2000 {
            let mut text = String::new();
            for _ in 0..next() % 60 {
                text.push_str(words[usize::try_from(next() % words.len() as u64).unwrap()]);
                if next() % 3 != 0 {
                    text.push(' ');
                }
            }
            let _ = load_text(&text);
        }
    }
}
