//! The page's own files, embedded.

use super::words::State;
use std::sync::OnceLock;

pub const STYLE: &str = include_str!("../../../assets/stats.css");
pub const SCRIPT: &str = include_str!("../../../assets/stats.js");

/// Changes with the files, so that browsers may keep them.
#[must_use]
pub fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        // FNV-1a
        let bytes = STYLE.bytes().chain(SCRIPT.bytes());
        let hash =
            bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        format!("{:08x}", hash as u32)
    })
}

/// The icon in the browser's tab: the colour and the mark of the worst state.
#[must_use]
pub fn icon(state: State) -> &'static str {
    match state {
        State::Down => {
            "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='16' height='16' rx='3' fill='%23c2410c'/%3E%3Cpath d='M4 4l8 8m0-8l-8 8' stroke='%23fff' stroke-width='2.4'/%3E%3C/svg%3E"
        }
        State::Failing | State::Rising => {
            "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M8 1l7.5 14H.5z' fill='%23d08700'/%3E%3Cpath d='M8 6v4m0 1.6v1.6' stroke='%23fff' stroke-width='2'/%3E%3C/svg%3E"
        }
        _ => {
            "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='8' fill='%230f766e'/%3E%3Cpath d='M4 8.5l3 3 5-6' fill='none' stroke='%23fff' stroke-width='2'/%3E%3C/svg%3E"
        }
    }
}
