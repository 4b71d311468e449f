//! The entry point: arguments in, exit code out.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cvt_sidecar::cli::main(std::env::args_os(), std::env::vars_os())
}
