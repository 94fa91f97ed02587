//! Many servers for Python, and one that lasts. Their public faces are `python/toolbridge/client.py`
//! and `python/toolbridge/experimental_mcp_client/client.py`.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::agent::GroupTools;
use crate::mcp::group::{Change, ChangeListener};
use crate::mcp::transport::stdio::ErrorLog;
use crate::mcp::{self, Loaded, Opening, Target};
use crate::python::bridge::{self, LoopQueue};
use crate::python::callbacks::Listeners;
use crate::python::convert::{from_json, to_json};
use crate::python::error::to_py;
use crate::python::session::{Session, error_log, read_setup, same_process};
use crate::python::transports::HttpArguments;
use crate::runtime;
use crate::tools::Separator;

/// Adds the classes and functions of this file to the module.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<ServerConfig>()?;
    module.add_class::<Group>()?;
    module.add_class::<Server>()?;
    module.add_function(wrap_pyfunction!(load_servers, module)?)?;
    module.add_function(wrap_pyfunction!(authorization_header, module)?)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads servers from an object, or from a file if `source` is a path; gives them and the notices.
#[pyfunction]
#[pyo3(signature = (source, is_path, expands))]
fn load_servers(
    py: Python<'_>,
    source: &Bound<'_, PyAny>,
    is_path: bool,
    expands: bool,
) -> PyResult<(Vec<ServerConfig>, Vec<String>)> {
    let loaded = if is_path {
        let path: PathBuf = source.extract()?;
        py.detach(|| Loaded::from_file(&path, &variable))
    } else {
        let value = to_json(source)?
            .to_value()
            .map_err(|error| to_py(py, &error))?;
        if expands {
            Loaded::from_value(value, &variable)
        } else {
            Loaded::literally(value)
        }
    };
    let loaded = loaded.map_err(|error| to_py(py, &error))?;
    let servers = loaded.servers.into_iter().map(ServerConfig).collect();
    Ok((servers, loaded.notices))
}

/// The header that a kind of credentials of LiteLLM stands for.
#[pyfunction]
fn authorization_header(auth_type: &str, value: &str) -> (&'static str, String) {
    mcp::config::header(auth_type, value)
}

/// One server of a configuration.
#[pyclass(frozen, module = "toolbridge._toolbridge")]
struct ServerConfig(mcp::ServerConfig);

#[pymethods]
impl ServerConfig {
    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    #[getter]
    fn description(&self) -> Option<&str> {
        self.0.description.as_deref()
    }

    /// Whether it is behind a URL.
    #[getter]
    fn has_url(&self) -> bool {
        matches!(self.0.target, Target::Http { .. })
    }

    /// Its command, or the origin of its URL; no secrets.
    #[getter]
    fn shown(&self) -> String {
        self.0.target.shown()
    }
}

/// Many servers.
#[pyclass(frozen, module = "toolbridge._toolbridge")]
pub(super) struct Group {
    core: Arc<mcp::Group>,
    tools: Arc<GroupTools>,
    on_change: Arc<Py<PyAny>>,
    owner: u32,
}

impl Group {
    /// The tools of its servers, for a run.
    pub(super) fn tool_box(&self) -> Arc<GroupTools> {
        Arc::clone(&self.tools)
    }

    pub(super) fn owner(&self) -> u32 {
        self.owner
    }
}

#[pymethods]
impl Group {
    /// `on_change(server, what)` is called on the thread of the running loop.
    #[new]
    fn new(py: Python<'_>, separator: &str, on_change: Py<PyAny>) -> PyResult<Self> {
        let separator = Separator::new(separator).map_err(|error| to_py(py, &error))?;
        let (_, queue) = LoopQueue::running(py)?;
        let on_change = Arc::new(on_change);
        let weak = Arc::downgrade(&on_change);
        let untold = Arc::<Mutex<HashSet<(String, &'static str)>>>::default();
        let listener: ChangeListener = Arc::new(move |server: &str, change: Change| {
            let Some(listener) = weak.upgrade() else {
                return;
            };
            let told = (server.to_owned(), change.name());
            // A server may change without an end; what was not told yet is told once.
            if !untold
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(told.clone())
            {
                return;
            }
            let untold = Arc::clone(&untold);
            queue.push_event(move |py| {
                untold
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(&told);
                listener.call1(py, told).map(drop)
            });
        });
        let core = Arc::new(mcp::Group::new(separator, listener));
        Ok(Self {
            tools: Arc::new(GroupTools::new(Arc::clone(&core))),
            core,
            on_change,
            owner: runtime::process(),
        })
    }

    /// Adds a server and begins to connect to it. The listeners are those of `Session`.
    #[expect(
        clippy::too_many_arguments,
        reason = "a server and its callbacks; called by one function"
    )]
    fn add(
        &self,
        py: Python<'_>,
        config: &Bound<'_, ServerConfig>,
        setup: &Bound<'_, PyAny>,
        settings: &Bound<'_, PyDict>,
        errlog: Option<Bound<'_, PyAny>>,
        on_notification: Py<PyAny>,
        on_garbage: Py<PyAny>,
        on_request: Py<PyAny>,
    ) -> PyResult<Server> {
        same_process(py, "this client", self.owner)?;
        let mut config = config.get().0.clone();
        change(&mut config, settings)?;
        let listeners = Listeners::new(py, on_notification, on_garbage, on_request)?;
        let opening = Opening {
            setup: read_setup(setup)?,
            events: Some(listeners.events()),
            log: errlog.map(|errlog| error_logs(py, errlog)).transpose()?,
            ..Opening::default()
        };
        let runtime = runtime::handle().map_err(|error| to_py(py, &error))?;
        let _inside = runtime.enter();
        let member = self
            .core
            .add(config, opening)
            .map_err(|error| to_py(py, &error))?;
        Ok(Server {
            core: member,
            listeners,
            owner: self.owner,
        })
    }

    /// Waits until every server is ready or has failed its first attempt.
    fn settled<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        same_process(py, "this client", self.owner)?;
        let group = Arc::clone(&self.core);
        bridge::spawn(
            py,
            async move {
                group.settled().await;
                Ok(())
            },
            |py, ()| Ok(py.None()),
        )
    }

    /// The merged list, and its number; the list is None if its number is `known`.
    fn tools<'py>(&self, py: Python<'py>, known: u64) -> PyResult<Bound<'py, PyAny>> {
        same_process(py, "this client", self.owner)?;
        let group = Arc::clone(&self.core);
        bridge::spawn(
            py,
            async move { Ok(group.tools().await) },
            move |py, merged| {
                let list = if merged.version == known {
                    None
                } else {
                    Some(from_json(py, merged.text.as_bytes())?)
                };
                Ok((merged.version, list)
                    .into_pyobject(py)?
                    .into_any()
                    .unbind())
            },
        )
    }

    /// The tools that fit a query, the best first, as in the merged list.
    fn search<'py>(
        &self,
        py: Python<'py>,
        query: String,
        limit: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        same_process(py, "this client", self.owner)?;
        let tools = Arc::clone(&self.tools);
        bridge::spawn(
            py,
            async move { tools.search(&query, limit).await },
            |py, found| {
                let list = PyList::empty(py);
                for (tool, _) in found {
                    list.append(from_json(py, tool.described.as_bytes())?)?;
                }
                Ok(list.into_any().unbind())
            },
        )
    }

    /// The server and the tool that a name stands for, if the known lists tell; else None.
    fn find_known(&self, py: Python<'_>, name: &str) -> PyResult<Option<(String, String)>> {
        same_process(py, "this client", self.owner)?;
        match self.core.find_known(name) {
            Some(Ok((member, tool))) => Ok(Some((member.name().to_owned(), tool))),
            Some(Err(error)) => Err(to_py(py, &error)),
            None => Ok(None),
        }
    }

    /// The server and the tool that a name stands for.
    fn find<'py>(&self, py: Python<'py>, name: String) -> PyResult<Bound<'py, PyAny>> {
        same_process(py, "this client", self.owner)?;
        let group = Arc::clone(&self.core);
        bridge::spawn(
            py,
            async move { group.find(&name).await },
            |py, (member, tool)| {
                let found = (member.name(), tool);
                Ok(found.into_pyobject(py)?.into_any().unbind())
            },
        )
    }

    /// Takes a server away and closes its connection.
    fn remove<'py>(&self, py: Python<'py>, name: String) -> PyResult<Bound<'py, PyAny>> {
        same_process(py, "this client", self.owner)?;
        let group = Arc::clone(&self.core);
        bridge::spawn(py, async move { group.remove(&name).await }, |py, ()| {
            Ok(py.None())
        })
    }

    /// Closes every connection; None, and nothing happens, in a forked child.
    fn close<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.owner != runtime::process() {
            return Ok(None);
        }
        let group = Arc::clone(&self.core);
        let closing = bridge::spawn(
            py,
            async move {
                // A task of its own, so that a cancelled close goes on in the background; a panic in
                // it is shown by the runtime.
                let _ = tokio::spawn(async move { group.close().await }).await;
                Ok(())
            },
            |py, ()| Ok(py.None()),
        )?;
        Ok(Some(closing))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&*self.on_change)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.owner != runtime::process() {
            // Ending it would use threads and locks that a forked child does not have.
            Box::leak(Box::new(Arc::clone(&self.core)));
            Box::leak(Box::new(Arc::clone(&self.tools)));
        }
    }
}

/// Settings of the caller's that stand over those of the configuration.
fn change(config: &mut mcp::ServerConfig, settings: &Bound<'_, PyDict>) -> PyResult<()> {
    let seconds = |name: &str| -> PyResult<Option<Duration>> {
        let Some(value) = settings.get_item(name)? else {
            return Ok(None);
        };
        let limit: f64 = value.extract()?;
        Ok(Some(
            Duration::try_from_secs_f64(limit).unwrap_or(Duration::MAX),
        ))
    };
    let endurance = &mut config.endurance;
    if let Some(limit) = seconds("connect_timeout")? {
        endurance.connect_timeout = limit;
    }
    endurance.request_timeout = seconds("timeout")?.or(endurance.request_timeout);
    endurance.keep_alive = seconds("keep_alive")?.or(endurance.keep_alive);
    endurance.idle_close = seconds("idle_close")?.or(endurance.idle_close);
    if let Some(restart) = settings.get_item("restart")? {
        endurance.restart = restart.extract()?;
    }
    if let Some(mode) = settings.get_item("mode")? {
        config.mode = Some(mode.extract()?);
    }
    if let Target::Http { settings: http, .. } = &mut config.target
        && let Some(arguments) = settings.get_item("http")?
    {
        let has_own_auth = settings.get_item("has_own_auth")?;
        let has_own_auth = has_own_auth.map_or(Ok(false), |truth| truth.extract())?;
        arguments
            .extract::<HttpArguments>()?
            .lay_over(http, has_own_auth);
    }
    Ok(())
}

/// A log for each start of a child process.
fn error_logs(py: Python<'_>, errlog: Bound<'_, PyAny>) -> PyResult<mcp::connect::ErrorLogs> {
    let log = error_log(py, Some(errlog))?;
    Ok(match log {
        ErrorLog::File(file) => Arc::new(move || {
            // Without a descriptor to spare the server starts all the same.
            file.try_clone().map_or(ErrorLog::Discard, ErrorLog::File)
        }),
        ErrorLog::Lines(write) => {
            let write = Arc::new(Mutex::new(write));
            Arc::new(move || {
                let write = Arc::clone(&write);
                ErrorLog::Lines(Box::new(move |text| {
                    write.lock().unwrap_or_else(PoisonError::into_inner)(text);
                }))
            })
        }
        ErrorLog::Discard => Arc::new(|| ErrorLog::Discard),
    })
}

/// One server of many; as an engine of sessions it is what `Session` is.
#[pyclass(frozen, module = "toolbridge._toolbridge")]
struct Server {
    core: Arc<mcp::Member>,
    listeners: Arc<Listeners>,
    owner: u32,
}

#[pymethods]
impl Server {
    #[getter]
    fn name(&self) -> &str {
        self.core.name()
    }

    /// `connecting`, `ready`, `reconnecting`, `failed`, `idle` or `closed`.
    fn status(&self) -> &'static str {
        self.core.lasting().status().name()
    }

    /// Why there is no connection, as an exception, or None.
    fn last_error(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let error = self.core.lasting().last_error()?;
        Some(to_py(py, &error).into_value(py).into_any())
    }

    /// What the server said of itself when it was last connected to, or None.
    fn described<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let described = self.core.lasting().described();
        described
            .map(|text| from_json(py, text.as_bytes()))
            .transpose()
    }

    /// The tools that are known, as the server sent them, or None.
    fn tools<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let tools = self.core.tools();
        tools.map(|text| from_json(py, text.as_bytes())).transpose()
    }

    /// Whether the configuration allows a tool, by its own name.
    fn allows(&self, tool: &str) -> bool {
        self.core.config().allows(tool)
    }

    /// Connects anew, whatever the status is.
    fn reconnect<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        same_process(py, "this server", self.owner)?;
        let member = Arc::clone(&self.core);
        bridge::spawn(
            py,
            async move { member.lasting().reconnect().await },
            |py, ()| Ok(py.None()),
        )
    }

    /// What takes its requests.
    fn session(&self) -> Session {
        Session::of(
            Arc::clone(&self.core),
            Arc::clone(&self.listeners),
            self.owner,
        )
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.listeners.traverse(&visit)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.owner != runtime::process() {
            // As for Group.
            Box::leak(Box::new(Arc::clone(&self.core)));
        }
    }
}
