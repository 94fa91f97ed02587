//! The HTTP transports for Python. Their public faces are `python/toolbridge/mcp/client/sse.py` and
//! `streamable_http.py`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;

use crate::mcp::{
    self, HttpKind, HttpSettings, Mode, SseConnection, StreamableHttpConnection, Target, Trust,
    Upstream,
};
use crate::python::auth::Authorization;
use crate::python::bridge::{self, LoopQueue};
use crate::python::callbacks::Listeners;
use crate::python::convert::{from_json, to_json};
use crate::python::error::to_py;
use crate::python::session::{Again, Connection, Session, read_setup, unreadable};
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
    let again = again(&settings, HttpKind::Streamable, terminate_on_close, None);
    bridge::spawn(
        py,
        async move { StreamableHttpConnection::open(&settings, terminate_on_close) },
        move |py, connection| connected(py, mcp::Connection::StreamableHttp(connection), again),
    )
}

/// Opens a connection over HTTP+SSE; the future gives its `Connection`. `on_session` is called with
/// the id of each session that takes the place of a lost one.
#[pyfunction]
fn open_sse(
    py: Python<'_>,
    arguments: HttpArguments,
    on_session: Option<Py<PyAny>>,
) -> PyResult<Bound<'_, PyAny>> {
    let settings = arguments.settings();
    let on_session = match on_session {
        Some(listener) => Some((LoopQueue::running(py)?.1, Arc::new(listener))),
        None => None,
    };
    let again = again(&settings, HttpKind::Sse, true, on_session);
    bridge::spawn(
        py,
        async move { SseConnection::open(&settings).await },
        move |py, connection| connected(py, mcp::Connection::Sse(connection), again),
    )
}

fn again(
    settings: &HttpSettings,
    kind: HttpKind,
    terminate_on_close: bool,
    on_session: Option<(Arc<LoopQueue>, Arc<Py<PyAny>>)>,
) -> Again {
    Again {
        target: Target::Http {
            settings: settings.clone(),
            kind: Some(kind),
        },
        terminate_on_close,
        on_session,
    }
}

/// Opens whichever transport the server speaks and runs the lifecycle; the future gives the `Session`.
///
/// The listeners are those of `Session`. With `described` the server is not asked: it is what the
/// server said of itself earlier.
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
    described: Option<&Bound<'py, PyAny>>,
    setup: &Bound<'py, PyAny>,
    on_notification: Py<PyAny>,
    on_garbage: Py<PyAny>,
    on_request: Py<PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let mode = match described {
        Some(described) => Mode::Known(to_json(described)?),
        None => Mode::parse(mode).map_err(|error| to_py(py, &error))?,
    };
    let again = Again {
        target: Target::Http {
            settings: arguments.settings(),
            kind: None,
        },
        terminate_on_close,
        on_session: None,
    };
    let listeners = Listeners::new(py, on_notification, on_garbage, on_request)?;
    let renewal = again.renewal(read_setup(setup)?, &listeners);
    let owner = runtime::process();
    bridge::spawn(
        py,
        async move { Upstream::open(mode, renewal).await },
        move |py, (upstream, described)| {
            let described = from_json(py, described.as_bytes())
                .map_err(|failure| to_py(py, &unreadable("the handshake", &failure)))?
                .unbind();
            let session = Session::over(upstream, listeners, owner);
            Ok((session, described).into_pyobject(py)?.into_any().unbind())
        },
    )
}

fn connected(py: Python<'_>, connection: mcp::Connection, again: Again) -> PyResult<Py<PyAny>> {
    let connection = Connection::new(connection, Some(again), runtime::process());
    Ok(connection.into_pyobject(py)?.into_any().unbind())
}

fn seconds(limit: f64) -> Duration {
    Duration::try_from_secs_f64(limit).unwrap_or(Duration::MAX)
}
