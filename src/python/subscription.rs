//! Subscriptions for Python. The public face is `python/toolbridge/mcp/client/subscriptions.py`.

use std::sync::Arc;

use pyo3::prelude::*;

use crate::mcp::{self, Change};
use crate::python::bridge;
use crate::python::convert::from_json;

/// Adds the class of this file to the module.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Subscription>()
}

/// An open subscription.
#[pyclass(frozen, module = "toolbridge._toolbridge")]
pub(super) struct Subscription(Arc<mcp::Subscription>);

impl Subscription {
    pub(super) fn new(subscription: mcp::Subscription) -> Self {
        Self(Arc::new(subscription))
    }
}

#[pymethods]
impl Subscription {
    /// What the server agreed to tell.
    fn honored<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        from_json(py, self.0.honored().as_bytes())
    }

    /// The next change; the future gives its kind and the URI of the resource, or None at the end.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let subscription = Arc::clone(&self.0);
        bridge::spawn(
            py,
            async move { subscription.next().await },
            |py, change| {
                let told = change.map(|change| match change {
                    Change::Tools => ("tools", None),
                    Change::Prompts => ("prompts", None),
                    Change::Resources => ("resources", None),
                    Change::Resource(uri) => ("resource", Some(uri)),
                });
                Ok(told.into_pyobject(py)?.into_any().unbind())
            },
        )
    }

    /// Ends the subscription.
    fn close(&self) {
        self.0.close();
    }
}
