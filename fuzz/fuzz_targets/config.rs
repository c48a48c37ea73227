//! The configuration reader: any bytes end in a configuration or in diagnostics, and every diagnostic can be shown.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use weir::config::environment::Environment;
use weir::config::{Source, load};

/// Words that have regular expressions beside them.
const PATTERNS: [&[u8]; 6] = [b"_reg", b"-m reg", b"regsub", b"replace-", b"rstring", b"rbinary"];

/// Compiling patterns, which a library does, took nearly all of the time: inputs with a few of them are enough.
fn is_mostly_patterns(bytes: &[u8]) -> bool {
    let count = |word: &[u8]| bytes.windows(word.len()).filter(|at| at == &word).count();
    PATTERNS.iter().map(|word| count(word)).sum::<usize>() > 2 || bytes.len() > 4096
}

fuzz_target!(|bytes: &[u8]| -> Corpus {
    if is_mostly_patterns(bytes) {
        return Corpus::Reject;
    }
    let source = Source { name: "fuzz.cfg".into(), bytes: bytes.to_vec() };
    let environment: Environment = [("NAME".to_owned(), "value".to_owned())].into_iter().collect();
    let diagnostics = match load(&[source], &environment) {
        Ok(loaded) => loaded.diagnostics,
        Err(diagnostics) => {
            assert!(!diagnostics.is_empty(), "refused without a reason");
            diagnostics
        }
    };
    for diagnostic in diagnostics {
        if let Some((text, start, end)) = diagnostic.source {
            assert!(start <= end && end as usize <= text.len(), "a caret beyond its line");
        }
    }
    Corpus::Keep
});
