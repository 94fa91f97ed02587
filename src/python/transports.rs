//! The HTTP transports for Python. Their public faces are `python/toolbridge/mcp/client/sse.py` and
//! `streamable_http.py`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;

use crate::mcp::{
    self, HttpSettings, Mode, Opening, SseConnection, StreamableHttpConnection, Target, Trust,
};
use crate::python::auth::Authorization;
use crate::python::bridge;
use crate::python::callbacks::Listeners;
use crate::python::convert::from_json;
use crate::python::error::to_py;
use crate::python::session::{Connection, Session, read_setup, unreadable};
use crate::runtime;

/// Adds the functions of this file to the module.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(open_streamable_http, module)?)?;
    module.add_function(wrap_pyfunction!(open_sse, module)?)?;
    module.add_function(wrap_pyfunction!(connect_http, module)?)
}

/// The `HttpArguments` of `python/toolbridge/mcp/client/_http.py`, attribute by attribute. A new
/// setting of HTTP is a slot there, a field here and a line in `settings`.
#[derive(FromPyObject)]
pub(super) struct HttpArguments {
    url: String,
    headers: Vec<(String, String)>,
    timeout: Option<f64>,
    read_timeout: Option<f64>,
    maximum: usize,
    verify: Verify,
    cert: Option<PathBuf>,
    proxy: Option<String>,
    uds: Option<PathBuf>,
    authorization: Option<Py<Authorization>>,
}

#[derive(FromPyObject)]
enum Verify {
    Checked(bool),
    Bundle(PathBuf),
    Certificates(Vec<Vec<u8>>),
}

impl HttpArguments {
    pub(super) fn settings(self) -> HttpSettings {
        HttpSettings {
            url: self.url,
            headers: self.headers,
            timeout: self.timeout.map(seconds),
            read_timeout: self.read_timeout.map(seconds),
            maximum_message_bytes: self.maximum,
            trust: match self.verify {
                Verify::Checked(true) => Trust::System,
                Verify::Checked(false) => Trust::Anybody,
                Verify::Bundle(path) => Trust::Bundle(path),
                Verify::Certificates(all) => Trust::Certificates(all),
            },
            identity: self.cert,
            authorizer: self.authorization.map(|one| one.get().core()),
            proxy: self.proxy,
            unix_socket: self.uds,
        }
    }

    /// Adds headers, credentials and trust to what the configuration of a server says, which comes
    /// first; credentials that are the server's own come before its headers.
    pub(super) fn lay_over(self, http: &mut HttpSettings, has_own_auth: bool) {
        let given = self.settings();
        let is_auth = |name: &str| name.eq_ignore_ascii_case("authorization");
        if has_own_auth {
            http.headers.retain(|(name, _)| !is_auth(name));
        }
        let has_auth = http.headers.iter().any(|(name, _)| is_auth(name));
        for (name, value) in given.headers {
            let is_known = |(known, _): &(String, String)| known.eq_ignore_ascii_case(&name);
            if !http.headers.iter().any(is_known) {
                http.headers.push((name, value));
            }
        }
        if !has_auth {
            http.authorizer = given.authorizer;
        }
        http.trust = given.trust;
    }
}

/// Prepares a connection over Streamable HTTP; the future gives its `Connection`.
#[pyfunction]
fn open_streamable_http(
    py: Python<'_>,
    arguments: HttpArguments,
    terminate_on_close: bool,
) -> PyResult<Bound<'_, PyAny>> {
    let settings = arguments.settings();
    let owner = runtime::process();
    bridge::spawn(
        py,
        async move { StreamableHttpConnection::open(&settings, terminate_on_close) },
        move |py, connection| connected(py, mcp::Connection::StreamableHttp(connection), owner),
    )
}

/// Opens a connection over HTTP+SSE; the future gives its `Connection`.
#[pyfunction]
fn open_sse(py: Python<'_>, arguments: HttpArguments) -> PyResult<Bound<'_, PyAny>> {
    let settings = arguments.settings();
    let owner = runtime::process();
    bridge::spawn(
        py,
        async move { SseConnection::open(&settings).await },
        move |py, connection| connected(py, mcp::Connection::Sse(connection), owner),
    )
}

/// Opens whichever transport the server speaks and runs the lifecycle; the future gives the `Session`.
///
/// The listeners are those of `Session`.
#[pyfunction]
#[expect(
    clippy::too_many_arguments,
    reason = "a transport and a session in one; called by one function"
)]
fn connect_http<'py>(
    py: Python<'py>,
    arguments: HttpArguments,
    terminate_on_close: bool,
    mode: &str,
    setup: &Bound<'py, PyAny>,
    on_notification: Py<PyAny>,
    on_garbage: Py<PyAny>,
    on_request: Py<PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let mode = Mode::parse(mode).map_err(|error| to_py(py, &error))?;
    let target = Target::Http {
        settings: arguments.settings(),
        kind: None,
    };
    let listeners = Listeners::new(py, on_notification, on_garbage, on_request)?;
    let opening = Opening {
        setup: read_setup(setup)?,
        events: Some(listeners.events()),
        terminate_on_close,
        ..Opening::default()
    };
    let owner = runtime::process();
    bridge::spawn(
        py,
        async move { mcp::connect(&target, &mode, &opening).await },
        move |py, connected| {
            let described = from_json(py, connected.described.as_bytes())
                .map_err(|failure| to_py(py, &unreadable("the handshake", &failure)))?
                .unbind();
            let session = Session::over(Arc::new(connected.client), listeners, owner);
            Ok((session, described).into_pyobject(py)?.into_any().unbind())
        },
    )
}

fn connected(py: Python<'_>, connection: mcp::Connection, owner: u32) -> PyResult<Py<PyAny>> {
    let connection = Connection::new(connection, owner);
    Ok(connection.into_pyobject(py)?.into_any().unbind())
}

fn seconds(limit: f64) -> Duration {
    Duration::try_from_secs_f64(limit).unwrap_or(Duration::MAX)
}
