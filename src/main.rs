//! The `weir` executable: everything is in the library.

use std::process::ExitCode;

/// Tasks are allocated at 128 bytes' alignment, of which glibc's allocator wastes nearly as much again (docs/decisions).
#[global_allocator]
static ALLOCATOR: weir::memory::Counting<weir::memory::Mimalloc> =
    weir::memory::Counting(weir::memory::Mimalloc);

fn main() -> ExitCode {
    weir::cli::main()
}
