//! The gateway as a program of its own, without Python.

use std::process::ExitCode;

use mimalloc::MiMalloc;
use toolbridge::cli;

// A library leaves this to its process: in Python the interpreter's stays.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let install = |log: cli::Log| {
        // Nobody else writes in this process.
        let _ = tracing::subscriber::set_global_default(log);
    };
    ExitCode::from(cli::main(std::env::args_os(), install))
}
