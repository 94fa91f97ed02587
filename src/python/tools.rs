//! `transform_tools`, `read_tool_call`, `read_arguments` and `tool_arguments`: the pure transforms of `crate::tools`
//! over Python's own dicts, so that a catalogue never has to become JSON text and back.

use std::borrow::Cow;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString};
use serde_json::Value;

use crate::error::{Error, ErrorKind};
use crate::json::RawJson;
use crate::python::{convert, error};
use crate::schema::{Change, Kind, Tree};
use crate::tools::{Format, InputSchema, arguments, describe, read_call};

/// A plain Python value as a tree.
#[derive(Clone)]
struct PyTree<'py>(Bound<'py, PyAny>);

impl<'py> PyTree<'py> {
    /// Takes a dict, or the dict under a value of this package.
    fn of(value: Bound<'py, PyAny>) -> Self {
        if !value.is_instance_of::<PyDict>()
            && !value.is_instance_of::<PyString>()
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

/// What Python said of a schema with something in it that JSON does not have.
fn unwritable(cause: &PyErr) -> Error {
    let message = format!("the inputSchema of a tool is no JSON: {cause}");
    Error::new(ErrorKind::Configuration, message)
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

    fn every_member(&self, test: &mut dyn FnMut(&str, &Self) -> bool) -> bool {
        let Ok(object) = self.0.cast::<PyDict>() else {
            return false;
        };
        object.iter().all(|(name, value)| {
            let name = name.cast::<PyString>().ok();
            let name = name.and_then(|name| name.to_str().ok());
            name.is_some_and(|name| test(name, &Self(value)))
        })
    }

    fn every_element(&self, test: &mut dyn FnMut(&Self) -> bool) -> bool {
        let elements = self.0.cast::<PyList>();
        elements.is_ok_and(|elements| elements.iter().all(|element| test(&Self(element))))
    }

    fn as_number(&self) -> Option<f64> {
        // A bool is an int of Python's.
        if self.kind() != Kind::Number {
            return None;
        }
        let number = self.0.extract::<f64>().ok();
        number.filter(|number| number.is_finite())
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

    fn to_json(&self) -> Result<Value, Error> {
        convert::to_json(&self.0)
            .map_err(|cause| unwritable(&cause))?
            .to_value()
    }

    fn of_json(&self, value: Value) -> Result<Self, Error> {
        let text = RawJson::from_serialize(&value)?;
        let made = convert::from_json(self.0.py(), text.as_bytes());
        made.map(Self).map_err(raised)
    }
}

/// Describes MCP tools, each a dict as on the wire, in the format of a provider; gives with each what
/// about its schema is not as it was, None for nothing.
#[pyfunction]
fn transform_tools<'py>(
    py: Python<'py>,
    target: &str,
    tools: &Bound<'py, PyList>,
    strict: bool,
) -> PyResult<Bound<'py, PyList>> {
    let format = Format::from_name(target).map_err(|failure| error::to_py(py, &failure))?;
    convert::without_collections(py, || {
        let described = PyList::empty(py);
        for tool in tools {
            let made = describe(&PyTree::of(tool), format, strict);
            let made = made.map_err(|failure| error::to_py(py, &failure))?;
            described.append((made.tool.0, told(py, &made.changes)?))?;
        }
        Ok(described)
    })
}

fn told<'py>(py: Python<'py>, changes: &[Change]) -> PyResult<Option<Bound<'py, PyList>>> {
    if changes.is_empty() {
        return Ok(None);
    }
    let told = PyList::empty(py);
    for change in changes {
        let one = PyDict::new(py);
        one.set_item(intern!(py, "path"), &change.path)?;
        one.set_item(intern!(py, "keyword"), &change.keyword)?;
        one.set_item(intern!(py, "action"), change.action.name())?;
        one.set_item(intern!(py, "detail"), &change.detail)?;
        told.append(one)?;
    }
    Ok(Some(told))
}

/// Reads what a model sent as the arguments of a tool, a text or a dict, against the tool's schema: the
/// arguments for the server, or what to tell the model.
#[pyfunction]
fn read_arguments<'py>(
    py: Python<'py>,
    target: &str,
    tool: &Bound<'py, PyAny>,
    sent: &Bound<'py, PyAny>,
    strict: bool,
) -> PyResult<(Option<Bound<'py, PyAny>>, Option<String>)> {
    let failed = |failure: Error| error::to_py(py, &failure);
    let format = Format::from_name(target).map_err(failed)?;
    let tool = PyTree::of(tool.clone());
    let name = tool.member("name").map_err(failed)?;
    let name = match &name {
        Some(name) => name.as_text().map_err(failed)?.unwrap_or_default(),
        None => Cow::Borrowed(""),
    };
    let schema = match tool.member("inputSchema").map_err(failed)? {
        Some(schema) => schema.to_json().map_err(failed)?,
        None => Value::Null,
    };
    let text = match sent.cast::<PyString>() {
        Ok(text) => text.to_string(),
        Err(_) => String::from_utf8_lossy(convert::to_json(sent)?.as_bytes()).into_owned(),
    };
    let schema = InputSchema::new(&schema, format.target(strict));
    match schema.read(&name, &text) {
        Ok(arguments) => {
            let text = RawJson::from_serialize(&arguments).map_err(failed)?;
            Ok((Some(convert::from_json(py, text.as_bytes())?), None))
        }
        Err(told) => Ok((None, Some(told))),
    }
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
    module.add_function(wrap_pyfunction!(read_arguments, module)?)?;
    module.add_function(wrap_pyfunction!(tool_arguments, module)?)?;
    Ok(())
}
