//! The gateway for Python, and the command line. Their public faces are
//! `python/toolbridge/gateway.py` and `python/toolbridge/__main__.py`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use serde_json::Value;

use crate::cli;
use crate::document::Document;
use crate::error::{Error, ErrorKind, Result};
use crate::gateway;
use crate::gateway::config::Config;
use crate::python::bridge;
use crate::python::convert::to_json;
use crate::python::error::to_py;
use crate::python::log;
use crate::python::session::same_process;
use crate::runtime;

/// Adds the class and the functions of this file to the module.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Gateway>()?;
    module.add_function(wrap_pyfunction!(start_gateway, module)?)?;
    module.add_function(wrap_pyfunction!(run_command, module)?)
}

/// Runs a command line until it is done, as the standalone binary does; the status to exit with.
#[pyfunction]
fn run_command(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| cli::main(arguments, log::hand_over))
}

/// Where a configuration is.
enum Source {
    File(PathBuf),
    Object(Value),
}

impl Source {
    fn new(given: &Bound<'_, PyAny>, is_path: bool) -> PyResult<Self> {
        if is_path {
            return Ok(Self::File(given.extract()?));
        }
        let value = to_json(given)?.to_value();
        let value = value.map_err(|error| to_py(given.py(), &error))?;
        Ok(Self::Object(value))
    }

    /// Reads it off the threads that serve.
    async fn read(self, is_strict: bool) -> Result<(Config, Vec<String>)> {
        let variables = |name: &str| std::env::var(name).ok();
        let reading = tokio::task::spawn_blocking(move || {
            let config = match self {
                Self::File(path) => Config::read(&path, &variables)?,
                Self::Object(value) => {
                    Config::from_document(&Document::from_value(value), &variables)?
                }
            };
            if is_strict {
                config.strict()?;
            }
            let notices = config.notices.iter().map(ToString::to_string).collect();
            Ok((config, notices))
        });
        reading.await.unwrap_or_else(|cause| {
            let message = "the configuration could not be read to its end";
            Err(Error::new(ErrorKind::Internal, message).with_source(cause))
        })
    }
}

/// Starts a gateway; gives it and what is to be said about its configuration.
#[pyfunction]
fn start_gateway<'py>(
    py: Python<'py>,
    config: &Bound<'py, PyAny>,
    is_path: bool,
    host: String,
    port: u16,
    strict: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let source = Source::new(config, is_path)?;
    bridge::spawn(
        py,
        async move {
            let (config, notices) = source.read(strict).await?;
            let gateway = gateway::Gateway::start(config, &host, port).await?;
            Ok((gateway, notices))
        },
        |py, (core, notices)| {
            let gateway = Gateway {
                core: Arc::new(core),
                owner: runtime::process(),
            };
            Ok((gateway, notices).into_pyobject(py)?.into_any().unbind())
        },
    )
}

/// A gateway that serves.
#[pyclass(frozen, module = "toolbridge._toolbridge")]
struct Gateway {
    core: Arc<gateway::Gateway>,
    owner: u32,
}

#[pymethods]
impl Gateway {
    /// Where it listens.
    fn address(&self) -> (String, u16) {
        let address = self.core.address();
        (address.ip().to_string(), address.port())
    }

    /// Serves by another configuration; gives what is to be said about it.
    fn reload<'py>(
        &self,
        py: Python<'py>,
        config: &Bound<'py, PyAny>,
        is_path: bool,
        strict: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        same_process(py, "this gateway", self.owner)?;
        let source = Source::new(config, is_path)?;
        let gateway = Arc::clone(&self.core);
        bridge::spawn(
            py,
            async move {
                let (config, notices) = source.read(strict).await?;
                gateway.reload(config)?;
                Ok(notices)
            },
            |py, notices| Ok(notices.into_pyobject(py)?.into_any().unbind()),
        )
    }

    /// Ends it once what is in flight is done; None in a forked child, which does not have it.
    fn close<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.owner != runtime::process() {
            return Ok(None);
        }
        let gateway = Arc::clone(&self.core);
        let closing = bridge::spawn(
            py,
            async move {
                // A task of its own, so that a cancelled close goes on in the background.
                let _ = tokio::spawn(async move { gateway.stop().await }).await;
                Ok(())
            },
            |py, ()| Ok(py.None()),
        )?;
        Ok(Some(closing))
    }
}
