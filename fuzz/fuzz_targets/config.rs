//! The configuration reader: any bytes end in a configuration or in diagnostics, and every diagnostic can be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::config::environment::Environment;
use weir::config::{Source, load};

fuzz_target!(|bytes: &[u8]| {
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
});
