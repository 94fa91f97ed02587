//! MCP sessions for Python: thin classes over `mcp`. The public `ClientSession` is
//! `python/toolbridge/mcp/client/session.py`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::error::{Error, ErrorKind};
use crate::mcp::transport::stdio::ErrorLog;
use crate::mcp::{
    self, Backlog, CallOptions, Mode, Opening, Params, Profile, Renewal, Setup,
    StdioServerParameters, Target, Terminate, Upstream,
};
use crate::python::bridge::{self, LoopQueue};
use crate::python::caching::{cache_mode, read_cache};
use crate::python::callbacks::Listeners;
use crate::python::convert::{from_json, to_json};
use crate::python::error::to_py;
use crate::python::subscription::Subscription;
use crate::runtime;

/// Adds the classes and functions of this file to the module.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Connection>()?;
    module.add_class::<Session>()?;
    module.add_function(wrap_pyfunction!(open_stdio, module)?)?;
    module.add(
        "DEFAULT_MAXIMUM_MESSAGE_BYTES",
        StdioServerParameters::DEFAULT_MAXIMUM_MESSAGE_BYTES,
    )?;
    module.add(
        "INHERITED_VARIABLES",
        mcp::config::INHERITED_VARIABLES.to_vec(),
    )
}

pub(super) fn same_process(py: Python<'_>, what: &str, owner: u32) -> PyResult<()> {
    if owner == runtime::process() {
        return Ok(());
    }
    Err(to_py(py, &bridge::forked(what, owner)))
}

/// Starts a server; the future gives its `Connection`.
///
/// `errlog` is an owned file descriptor, a function that takes text, or None.
#[pyfunction]
#[pyo3(signature = (command, args, env, cwd, maximum_message_bytes, errlog))]
fn open_stdio<'py>(
    py: Python<'py>,
    command: String,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    cwd: Option<PathBuf>,
    maximum_message_bytes: usize,
    errlog: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let parameters = StdioServerParameters {
        command,
        args,
        env,
        cwd,
        maximum_message_bytes,
    };
    let log = error_log(py, errlog)?;
    let owner = runtime::process();
    bridge::spawn(
        py,
        async move { mcp::StdioConnection::open(&parameters, log) },
        move |py, connection| {
            let connection = Connection::new(mcp::Connection::Stdio(connection), None, owner);
            Ok(connection.into_pyobject(py)?.into_any().unbind())
        },
    )
}

pub(super) fn error_log(py: Python<'_>, errlog: Option<Bound<'_, PyAny>>) -> PyResult<ErrorLog> {
    let Some(errlog) = errlog else {
        return Ok(ErrorLog::Discard);
    };
    if let Ok(descriptor) = errlog.extract::<i32>() {
        return Ok(owned_file(descriptor));
    }
    let (_, queue) = LoopQueue::running(py)?;
    let write = Arc::new(errlog.unbind());
    let backlog = Backlog::new("pieces of the standard error of an MCP server");
    Ok(ErrorLog::Lines(Box::new(move |text| {
        let Some(place) = backlog.enter(text.len()) else {
            return;
        };
        let write = Arc::clone(&write);
        queue.push_event(move |py| {
            let _place = place;
            write.call1(py, (text,)).map(drop)
        });
    })))
}

#[cfg(unix)]
#[expect(unsafe_code, reason = "the descriptor is handed over as a number")]
fn owned_file(descriptor: i32) -> ErrorLog {
    use std::os::fd::FromRawFd as _;
    // SAFETY: the caller made the descriptor with os.dup and gives it away.
    ErrorLog::File(unsafe { std::fs::File::from_raw_fd(descriptor) })
}

#[cfg(not(unix))]
fn owned_file(_descriptor: i32) -> ErrorLog {
    ErrorLog::Discard
}

/// How a session over a connection gets the next one.
pub(super) struct Again {
    /// To where, and over which transport.
    pub(super) target: Target,
    /// Whether the server is told that a session is over.
    pub(super) terminate_on_close: bool,
    /// Hears the id of each session but the first; on the thread of its loop.
    pub(super) on_session: Option<(Arc<LoopQueue>, Arc<Py<PyAny>>)>,
}

impl Again {
    /// For a session that is set up like this and heard like this.
    pub(super) fn renewal(&self, setup: Setup, listeners: &Arc<Listeners>) -> Arc<Renewal> {
        let opening = Opening {
            setup,
            events: Some(listeners.events()),
            terminate_on_close: self.terminate_on_close,
            ..Opening::default()
        };
        let on_session = self.on_session.as_ref().map(|(queue, listener)| {
            // Weakly, as for the other listeners.
            let (queue, weak) = (Arc::clone(queue), Arc::downgrade(listener));
            let told: mcp::upstream::SessionListener = Arc::new(move |id| {
                if let Some(listener) = weak.upgrade() {
                    queue.push_event(move |py| listener.call1(py, (id,)).map(drop));
                }
            });
            told
        });
        Renewal::new(self.target.clone(), opening, on_session)
    }
}

/// An open connection, before a session uses it and after.
#[pyclass(frozen, module = "toolbridge._toolbridge")]
pub(super) struct Connection {
    terminator: Arc<dyn Terminate>,
    session_id: mcp::SessionId,
    transport: Mutex<Option<mcp::Connection>>,
    /// None where a lost connection stays lost.
    again: Option<Again>,
    /// What has taken the transport.
    upstream: OnceLock<Weak<Upstream>>,
    owner: u32,
}

impl Connection {
    pub(super) fn new(connection: mcp::Connection, again: Option<Again>, owner: u32) -> Self {
        Self {
            terminator: connection.terminator(),
            session_id: connection.session_id(),
            transport: Mutex::new(Some(connection)),
            again,
            upstream: OnceLock::new(),
            owner,
        }
    }

    /// The session over the connection; none before one has begun and after it is gone.
    fn upstream(&self) -> Option<Arc<Upstream>> {
        self.upstream.get().and_then(Weak::upgrade)
    }
}

#[pymethods]
impl Connection {
    /// The id that the server gave the session, or None; of the connection that is in force.
    fn session_id(&self) -> Option<String> {
        match self.upstream().and_then(|upstream| upstream.client()) {
            Some(client) => client.session_id(),
            None => self.session_id.get(),
        }
    }

    /// Ends the connection gracefully; ends once, however often it is called.
    ///
    /// None, and nothing happens, in a forked child: the connection is that of the parent.
    fn close<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.owner != runtime::process() {
            return Ok(None);
        }
        let terminator = Arc::clone(&self.terminator);
        let upstream = self.upstream();
        // A task of its own, so that a cancelled close goes on in the background.
        let closing = bridge::spawn(
            py,
            async move {
                // The task cannot be cancelled, and a panic in it is shown by the runtime.
                let _ = tokio::spawn(async move {
                    match upstream {
                        // It may have another connection by now.
                        Some(upstream) => upstream.close().await,
                        None => terminator.terminate().await,
                    }
                })
                .await;
                Ok(())
            },
            |py, ()| Ok(py.None()),
        )?;
        Ok(Some(closing))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let on_session = self
            .again
            .as_ref()
            .and_then(|again| again.on_session.as_ref());
        on_session.map_or(Ok(()), |(_, listener)| visit.call(&**listener))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.owner != runtime::process() {
            // Ending it would use threads and locks that a forked child does not have.
            let transport = self.transport.get_mut();
            let transport = transport.unwrap_or_else(PoisonError::into_inner).take();
            Box::leak(Box::new((Arc::clone(&self.terminator), transport)));
        }
    }
}

/// What takes requests: over a connection, or of one server of many.
#[pyclass(frozen, module = "toolbridge._toolbridge")]
pub(super) struct Session {
    core: Arc<Upstream>,
    listeners: Arc<Listeners>,
    /// Whether the listeners are its own, or somebody else's that shows them to the collector.
    has_own_listeners: bool,
    owner: u32,
}

impl Session {
    pub(super) fn over(core: Upstream, listeners: Arc<Listeners>, owner: u32) -> Self {
        Self {
            core: Arc::new(core),
            listeners,
            has_own_listeners: true,
            owner,
        }
    }

    /// One server of many, whose listeners belong to somebody else.
    pub(super) fn of(member: Arc<mcp::Member>, listeners: Arc<Listeners>, owner: u32) -> Self {
        Self {
            core: Arc::new(Upstream::member(member)),
            listeners,
            has_own_listeners: false,
            owner,
        }
    }
}

#[pymethods]
impl Session {
    /// Starts the session on the running loop. The listeners are called on its thread:
    /// `on_notification(method, params)`, `on_garbage(preview, reason)`,
    /// `on_request(method, params, responder)`.
    #[new]
    fn new(
        py: Python<'_>,
        connection: &Bound<'_, Connection>,
        on_notification: Py<PyAny>,
        on_garbage: Py<PyAny>,
        on_request: Py<PyAny>,
        setup: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let setup = read_setup(setup)?;
        let connection = connection.get();
        same_process(py, "this connection", connection.owner)?;
        let transport = connection
            .transport
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(transport) = transport else {
            return Err(PyRuntimeError::new_err(
                "these streams are in use by another session; open new ones with the transport",
            ));
        };
        let listeners = Listeners::new(py, on_notification, on_garbage, on_request)?;
        transport.link().listen(listeners.events());
        let runtime = runtime::handle().map_err(|error| to_py(py, &error))?;
        let _inside = runtime.enter();
        let again = connection.again.as_ref();
        let renewal = again.map(|again| again.renewal(setup.clone(), &listeners));
        let upstream = Upstream::new(mcp::Client::start(transport, setup), renewal);
        let session = Self::over(upstream, listeners, runtime::process());
        // A connection gives its transport away once.
        let _ = connection.upstream.set(Arc::downgrade(&session.core));
        Ok(session)
    }

    /// Runs the lifecycle: `auto`, `legacy`, `discover` or a revision; the future gives what the
    /// server said of itself. A connection over HTTP that is lost later is replaced.
    fn connect<'py>(&self, py: Python<'py>, mode: &str) -> PyResult<Bound<'py, PyAny>> {
        same_process(py, "this session", self.owner)?;
        let mode = match mode {
            "discover" => Mode::Discover,
            named => Mode::parse(named).map_err(|error| to_py(py, &error))?,
        };
        let upstream = Arc::clone(&self.core);
        bridge::spawn_in_order(
            py,
            async move { upstream.connect(mode).await },
            |py, described| match from_json(py, described.as_bytes()) {
                Ok(decoded) => Ok(decoded.unbind()),
                Err(failure) => Err(to_py(py, &unreadable("the handshake", &failure))),
            },
        )
    }

    /// Goes on with what the server said of itself earlier; sends nothing.
    fn adopt(&self, py: Python<'_>, described: &Bound<'_, PyAny>) -> PyResult<()> {
        same_process(py, "this session", self.owner)?;
        let runtime = runtime::handle().map_err(|error| to_py(py, &error))?;
        let _inside = runtime.enter();
        let adopted = self.core.adopt(to_json(described)?);
        adopted.map_err(|error| to_py(py, &error))
    }

    /// The revision that was agreed on, or None.
    fn version(&self) -> Option<String> {
        let agreed = self.core.client()?.agreed()?;
        Some(agreed.version.clone())
    }

    /// What the server said of itself on the connection that is in force, or None.
    fn described<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let agreed = self.core.client().and_then(|client| client.agreed());
        agreed
            .map(|agreed| from_json(py, agreed.described.as_bytes()))
            .transpose()
    }

    /// How often the connection was replaced.
    fn renewals(&self) -> u64 {
        self.core.renewals()
    }

    /// Sends a request; the future gives the decoded result.
    #[pyo3(signature = (
        method, params, meta, timeout, progress,
        allow_input_required=false, cache="use", hands_out_task=false,
        task_timeout=None
    ))]
    #[expect(
        clippy::too_many_arguments,
        reason = "what a call can say; called by one function"
    )]
    fn request<'py>(
        &self,
        py: Python<'py>,
        method: String,
        params: Option<&Bound<'py, PyAny>>,
        meta: Option<&Bound<'py, PyAny>>,
        timeout: Option<f64>,
        progress: Option<Py<PyAny>>,
        allow_input_required: bool,
        cache: &str,
        hands_out_task: bool,
        task_timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        same_process(py, "this session", self.owner)?;
        let params = Params {
            object: params.map(to_json).transpose()?,
            meta: meta.map(to_json).transpose()?,
        };
        let progress = match progress {
            Some(listener) => Some(self.listeners.progress_listener(py, listener)?),
            None => None,
        };
        let options = CallOptions {
            timeout: timeout.map(limit),
            progress,
            allow_input_required,
            cache: cache_mode(cache),
            hands_out_task,
            task_timeout: task_timeout.map(limit),
            ..CallOptions::default()
        };
        let upstream = Arc::clone(&self.core);
        let answered = method.clone();
        bridge::spawn_in_order(
            py,
            // Boxed inside, so that its memory is taken and given back by a worker.
            async move { Box::pin(upstream.request(&method, params, options)).await },
            move |py, result| match from_json(py, result.as_bytes()) {
                Ok(decoded) => Ok(decoded.unbind()),
                Err(failure) => Err(to_py(py, &unreadable(&answered, &failure))),
            },
        )
    }

    /// Waits for the result of a task; `created` is what the server said of it last. `on_status`
    /// hears each of its states.
    #[pyo3(signature = (tool, created, timeout, on_status))]
    fn finish_task<'py>(
        &self,
        py: Python<'py>,
        tool: Option<String>,
        created: &Bound<'py, PyAny>,
        timeout: Option<f64>,
        on_status: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        same_process(py, "this session", self.owner)?;
        let created = to_json(created)?;
        let task_status = match on_status {
            Some(listener) => Some(self.listeners.progress_listener(py, listener)?),
            None => None,
        };
        let options = CallOptions {
            timeout: timeout.map(limit),
            task_status,
            ..CallOptions::default()
        };
        let upstream = Arc::clone(&self.core);
        bridge::spawn_in_order(
            py,
            async move { Box::pin(upstream.finish_task(tool.as_deref(), created, &options)).await },
            move |py, result| match from_json(py, result.as_bytes()) {
                Ok(decoded) => Ok(decoded.unbind()),
                Err(failure) => Err(to_py(py, &unreadable("the task", &failure))),
            },
        )
    }

    /// Sends a notification.
    #[pyo3(signature = (method, params))]
    fn notify<'py>(
        &self,
        py: Python<'py>,
        method: String,
        params: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        same_process(py, "this session", self.owner)?;
        let params = params.map(to_json).transpose()?;
        let upstream = Arc::clone(&self.core);
        bridge::spawn_in_order(
            py,
            async move { upstream.notify(&method, params).await },
            |py, ()| Ok(py.None()),
        )
    }

    /// Subscribes to changes; the future gives a `Subscription` once the server acknowledged it.
    #[pyo3(signature = (wanted, timeout))]
    fn listen<'py>(
        &self,
        py: Python<'py>,
        wanted: &Bound<'py, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        same_process(py, "this session", self.owner)?;
        let filter = to_json(wanted)?;
        let upstream = Arc::clone(&self.core);
        bridge::spawn_in_order(
            py,
            async move { upstream.subscribe(&filter, timeout.map(limit)).await },
            |py, subscription| {
                let subscription = Subscription::new(subscription);
                Ok(subscription.into_pyobject(py)?.into_any().unbind())
            },
        )
    }

    /// Ends the session and the server under it; ends once, however often it is called.
    ///
    /// None, and nothing happens, in a forked child: the session is that of the parent.
    fn close<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.owner != runtime::process() {
            return Ok(None);
        }
        let upstream = Arc::clone(&self.core);
        let closing = bridge::spawn(
            py,
            async move {
                // As in Connection::close.
                let _ = tokio::spawn(async move { upstream.close().await }).await;
                Ok(())
            },
            |py, ()| Ok(py.None()),
        )?;
        Ok(Some(closing))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // What is shown twice looks like garbage.
        if self.has_own_listeners {
            self.listeners.traverse(&visit)?;
        }
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.owner != runtime::process() {
            // As for Connection.
            Box::leak(Box::new(Arc::clone(&self.core)));
        }
    }
}

pub(super) fn limit(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// Reads the settings of a client from a dict; what is missing is as in the engine.
pub(super) fn read_setup(given: &Bound<'_, PyAny>) -> PyResult<Setup> {
    let profile = Profile {
        client_info: to_json(&given.get_item("client_info")?)?,
        capabilities: to_json(&given.get_item("capabilities")?)?,
        log_level: given.get_item("log_level")?.extract()?,
    };
    let timeout: Option<f64> = given.get_item("timeout")?.extract()?;
    Ok(Setup {
        profile,
        timeout: timeout.map(limit),
        patience: limit(given.get_item("patience")?.extract()?),
        maximum_rounds: given.get_item("maximum_rounds")?.extract()?,
        cache: read_cache(given.call_method1("get", ("cache",)).ok())?,
        validates_output: given.get_item("validate_output")?.extract()?,
        follows_tasks: true,
        screens_tools: true,
    })
}

pub(super) fn unreadable(method: &str, failure: &PyErr) -> Error {
    let message = format!("the answer to {method} cannot be read: {failure}");
    Error::new(ErrorKind::Transport, message)
}
