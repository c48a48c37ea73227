//! argv -> arguments -> run -> exit code.

use std::process::ExitCode;

#[must_use]
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
