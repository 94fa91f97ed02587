//! The gateway as a program of its own, without Python.

use std::process::ExitCode;

use toolbridge::cli;

fn main() -> ExitCode {
    let install = |log: cli::Log| {
        // Nobody else writes in this process.
        let _ = tracing::subscriber::set_global_default(log);
    };
    ExitCode::from(cli::main(std::env::args_os(), install))
}
