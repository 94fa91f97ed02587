//! The gateway as a program of its own, without Python.

use std::process::ExitCode;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => ExitCode::from(runtime.block_on(toolbridge::cli::run(std::env::args_os()))),
        Err(_) => ExitCode::FAILURE,
    }
}
