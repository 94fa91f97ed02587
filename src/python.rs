//! The Python boundary: the only code that knows pyo3. Thin classes over `mcp`, `llm` and `tools`;
//! the public signatures live in `python/toolbridge`.

mod agent;
mod auth;
mod bridge;
mod caching;
mod callbacks;
mod catalogue;
mod completion;
mod convert;
mod error;
mod gateway;
mod group;
mod log;
mod models;
mod results;
mod router;
mod sampling;
mod session;
mod subscription;
mod tools;
mod transports;

use std::time::Duration;

use pyo3::prelude::*;

use crate::runtime;

/// Ends every connection and the threads; registered with `atexit`.
#[pyfunction]
fn shutdown(py: Python<'_>) {
    py.detach(|| {
        runtime::shutdown(Duration::from_secs(3), crate::mcp::close_all());
        log::finish();
    });
}

/// Told by the interpreter in a child that `os.fork()` made.
#[pyfunction]
fn forked() {
    runtime::forked();
}

/// The native half of the package.
#[pymodule(gil_used = false)]
#[pyo3(name = "_toolbridge")]
fn native_module(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(shutdown, module)?)?;
    module.add_function(wrap_pyfunction!(forked, module)?)?;
    log::install();
    agent::register(module)?;
    auth::register(module)?;
    completion::register(module)?;
    callbacks::register(module)?;
    caching::register(module)?;
    catalogue::register(module)?;
    gateway::register(module)?;
    group::register(module)?;
    results::register(module)?;
    router::register(module)?;
    sampling::register(module)?;
    session::register(module)?;
    subscription::register(module)?;
    tools::register(module)?;
    transports::register(module)?;
    Ok(())
}
