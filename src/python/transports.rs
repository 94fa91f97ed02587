//! The HTTP transports for Python. Their public faces are `python/toolbridge/mcp/client/sse.py` and
//! `streamable_http.py`.

use std::path::PathBuf;
use std::time::Duration;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyBool;

use crate::mcp::{self, HttpSettings, SseConnection, StreamableHttpConnection, Trust};
use crate::python::bridge;
use crate::python::session::Connection;
use crate::runtime;

/// Adds the functions of this file to the module.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(open_streamable_http, module)?)?;
    module.add_function(wrap_pyfunction!(open_sse, module)?)
}

/// Prepares a connection over Streamable HTTP; the future gives its `Connection`.
#[pyfunction]
#[expect(
    clippy::too_many_arguments,
    reason = "one for each setting; called by one function"
)]
fn open_streamable_http<'py>(
    py: Python<'py>,
    url: String,
    headers: Vec<(String, String)>,
    timeout: Option<f64>,
    read_timeout: Option<f64>,
    maximum_message_bytes: usize,
    verify: &Bound<'py, PyAny>,
    cert: Option<PathBuf>,
    terminate_on_close: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let settings = HttpSettings {
        url,
        headers,
        timeout: timeout.map(seconds),
        read_timeout: read_timeout.map(seconds),
        maximum_message_bytes,
        trust: trust(verify)?,
        identity: cert,
    };
    let owner = runtime::process();
    bridge::spawn(
        py,
        async move { StreamableHttpConnection::open(&settings, terminate_on_close) },
        move |py, connection| connected(py, mcp::Connection::StreamableHttp(connection), owner),
    )
}

/// Opens a connection over HTTP+SSE; the future gives its `Connection`.
#[pyfunction]
#[expect(
    clippy::too_many_arguments,
    reason = "one for each setting; called by one function"
)]
fn open_sse<'py>(
    py: Python<'py>,
    url: String,
    headers: Vec<(String, String)>,
    timeout: Option<f64>,
    read_timeout: Option<f64>,
    maximum_message_bytes: usize,
    verify: &Bound<'py, PyAny>,
    cert: Option<PathBuf>,
) -> PyResult<Bound<'py, PyAny>> {
    let settings = HttpSettings {
        url,
        headers,
        timeout: timeout.map(seconds),
        read_timeout: read_timeout.map(seconds),
        maximum_message_bytes,
        trust: trust(verify)?,
        identity: cert,
    };
    let owner = runtime::process();
    bridge::spawn(
        py,
        async move { SseConnection::open(&settings).await },
        move |py, connection| connected(py, mcp::Connection::Sse(connection), owner),
    )
}

fn connected(py: Python<'_>, connection: mcp::Connection, owner: u32) -> PyResult<Py<PyAny>> {
    let connection = Connection::new(connection, owner);
    Ok(connection.into_pyobject(py)?.into_any().unbind())
}

fn seconds(limit: f64) -> Duration {
    Duration::try_from_secs_f64(limit).unwrap_or(Duration::MAX)
}

/// A bool, the path of a PEM bundle, or DER certificates.
fn trust(verify: &Bound<'_, PyAny>) -> PyResult<Trust> {
    if let Ok(checked) = verify.cast::<PyBool>() {
        return Ok(if checked.is_true() {
            Trust::System
        } else {
            Trust::Anybody
        });
    }
    if let Ok(path) = verify.extract::<PathBuf>() {
        return Ok(Trust::Bundle(path));
    }
    verify
        .extract()
        .map(Trust::Certificates)
        .map_err(|_| PyTypeError::new_err("verify takes a bool, a path or a list of certificates"))
}
