//! `transform_tools`, `read_tool_call` and `tool_arguments`: the pure transforms of `crate::tools`
//! over Python's own dicts, so that a catalogue never has to become JSON text and back.

use std::borrow::Cow;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString};

use crate::error::{Error, ErrorKind};
use crate::python::{convert, error};
use crate::tools::{Format, Kind, Tree, arguments, read_call, transform};

/// A plain Python value as a tree.
#[derive(Clone)]
struct PyTree<'py>(Bound<'py, PyAny>);

impl<'py> PyTree<'py> {
    /// Takes a dict, or the dict under a value of this package.
    fn of(value: Bound<'py, PyAny>) -> Self {
        if !value.is_instance_of::<PyDict>()
            && let Ok(data) = value.getattr(intern!(value.py(), "_data"))
        {
            return Self(data);
        }
        Self(value)
    }
}

/// What Python raised while its own dicts were read or written; nothing that a caller can cause.
fn raised(cause: PyErr) -> Error {
    Error::new(ErrorKind::Internal, "a Python dict could not be used").with_source(cause)
}

impl Tree for PyTree<'_> {
    fn kind(&self) -> Kind {
        let value = &self.0;
        if value.is_instance_of::<PyDict>() {
            Kind::Object
        } else if value.is_instance_of::<PyString>() {
            Kind::Text
        } else if value.is_none() {
            Kind::Null
        } else if value.is_instance_of::<PyBool>() {
            Kind::Boolean
        } else if value.is_instance_of::<PyInt>() || value.is_instance_of::<PyFloat>() {
            Kind::Number
        } else if value.is_instance_of::<PyList>() {
            Kind::List
        } else {
            Kind::Other
        }
    }

    fn member(&self, key: &str) -> Result<Option<Self>, Error> {
        match self.0.cast::<PyDict>() {
            Ok(object) => Ok(object.get_item(key).map_err(raised)?.map(Self::of)),
            Err(_) => Ok(None),
        }
    }

    fn as_text(&self) -> Result<Option<Cow<'_, str>>, Error> {
        match self.0.cast::<PyString>() {
            Ok(text) => text.to_cow().map(Some).map_err(raised),
            Err(_) => Ok(None),
        }
    }

    fn detached(self) -> Result<Self, Error> {
        match self.0.cast::<PyDict>() {
            Ok(object) => object
                .copy()
                .map(|copy| Self(copy.into_any()))
                .map_err(raised),
            Err(_) => Ok(self),
        }
    }

    fn set(&mut self, key: &str, value: Self) -> Result<(), Error> {
        match self.0.cast::<PyDict>() {
            Ok(object) => object.set_item(key, value.0).map_err(raised),
            Err(_) => Ok(()),
        }
    }

    fn empty_object(&self) -> Self {
        Self(PyDict::new(self.0.py()).into_any())
    }

    fn text(&self, text: &str) -> Self {
        Self(PyString::new(self.0.py(), text).into_any())
    }

    fn boolean(&self, truth: bool) -> Self {
        Self(PyBool::new(self.0.py(), truth).to_owned().into_any())
    }
}

/// Describes MCP tools, each a dict as on the wire, in the format of a provider.
#[pyfunction]
fn transform_tools<'py>(
    py: Python<'py>,
    target: &str,
    tools: &Bound<'py, PyList>,
) -> PyResult<Bound<'py, PyList>> {
    let format = Format::from_name(target).map_err(|failure| error::to_py(py, &failure))?;
    convert::without_collections(py, || {
        let described = PyList::empty(py);
        for tool in tools {
            let made = transform(&PyTree::of(tool), format);
            described.append(made.map_err(|failure| error::to_py(py, &failure))?.0)?;
        }
        Ok(described)
    })
}

/// Reads a tool call, a dict: the name of the tool and what the model sent as arguments.
#[pyfunction]
fn read_tool_call<'py>(
    py: Python<'py>,
    call: Bound<'py, PyAny>,
) -> PyResult<(String, Option<Bound<'py, PyAny>>)> {
    let call = read_call(&PyTree::of(call)).map_err(|failure| error::to_py(py, &failure))?;
    Ok((call.name, call.arguments.map(|sent| sent.0)))
}

/// Decodes the text that a model sent as arguments: a dict, or a `ConfigurationError`.
#[pyfunction]
fn tool_arguments<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    let text = arguments(text).map_err(|failure| error::to_py(py, &failure))?;
    convert::from_json(py, text.as_bytes())
}

/// Adds the functions of this file to the module.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(transform_tools, module)?)?;
    module.add_function(wrap_pyfunction!(read_tool_call, module)?)?;
    module.add_function(wrap_pyfunction!(tool_arguments, module)?)?;
    Ok(())
}
