//! JSON across the boundary: Python to text by `Serialize` over `Bound`, text to Python by jiter.
//! Neither way goes through a Rust tree of values.

use std::fmt::Write as _;

use jiter::{PartialMode, PythonParse, StringCacheMode};
use pyo3::CastError;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple, PyType};

use crate::json::RawJson;

/// Deeper values are refused rather than allowed to exhaust the stack.
const MAXIMUM_DEPTH: usize = 200;
/// How much of the way to a value is shown.
const SHOWN_STEPS: usize = 16;

/// Texts of this many bytes are decoded with the garbage collector paused.
const LARGE_TEXT: usize = 32 << 10;

/// Decodes JSON text into plain Python objects.
pub(crate) fn from_json<'py>(py: Python<'py>, text: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    if text.len() < LARGE_TEXT {
        return decode(py, text);
    }
    without_collections(py, || decode(py, text))
}

/// Ends a pause of the garbage collector, however the work under it ends.
struct Resume<'a, 'py>(Python<'py>, &'a Py<PyAny>);

impl Drop for Resume<'_, '_> {
    fn drop(&mut self) {
        if let Err(failure) = self.1.call0(self.0) {
            failure.write_unraisable(self.0, None);
        }
    }
}

/// Runs `work` with the garbage collector paused: everything that a decoder makes is alive, so
/// collections in the middle of it walk tens of thousands of objects for nothing. The interpreter
/// lock is held throughout, so no other thread sees the pause.
pub(crate) fn without_collections<T>(
    py: Python<'_>,
    work: impl FnOnce() -> PyResult<T>,
) -> PyResult<T> {
    static COLLECTOR: PyOnceLock<[Py<PyAny>; 3]> = PyOnceLock::new();
    let [is_enabled, disable, enable] = COLLECTOR.get_or_try_init(py, || {
        let module = py.import("gc")?;
        let function = |name| module.getattr(name).map(Bound::unbind);
        PyResult::Ok([
            function("isenabled")?,
            function("disable")?,
            function("enable")?,
        ])
    })?;
    if !is_enabled.call0(py)?.is_truthy(py)? {
        return work();
    }
    disable.call0(py)?;
    let _resume = Resume(py, enable);
    work()
}

fn decode<'py>(py: Python<'py>, text: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let parser = PythonParse {
        allow_inf_nan: false,
        cache_mode: StringCacheMode::Keys,
        partial_mode: PartialMode::Off,
        ..PythonParse::default()
    };
    parser.python_parse(py, text).map_err(|failure| {
        PyValueError::new_err(format!("not valid JSON: {}", failure.description(text)))
    })
}

/// Writes a Python value as JSON text.
///
/// Takes what `json.dumps` takes, and besides: values of this package (`_data`), pydantic models
/// (`model_dump`), mappings and enumerations of strings and numbers.
///
/// # Errors
/// A `TypeError` or `ValueError` that names the path of the member that cannot be written.
pub(crate) fn to_json(value: &Bound<'_, PyAny>) -> PyResult<RawJson> {
    let mut writer = Writer {
        text: String::with_capacity(512),
    };
    match writer.value(value, 0) {
        Ok(()) => Ok(RawJson::trusted(writer.text)),
        Err(failure) => Err(failure.into_error()),
    }
}

enum Step {
    Key(String),
    Index(usize),
}

enum Reason {
    Value(String),
    Type(String),
    Raised(PyErr),
}

/// Why a value cannot be written; the path is gathered on the way out, so that a value that can be
/// written pays nothing for it. Boxed, because it travels in every result of the writer.
struct Failure(Box<(Reason, Vec<Step>)>);

type Written = Result<(), Failure>;

impl Failure {
    fn value(message: impl Into<String>) -> Self {
        Self(Box::new((Reason::Value(message.into()), Vec::new())))
    }

    fn kind(message: impl Into<String>) -> Self {
        Self(Box::new((Reason::Type(message.into()), Vec::new())))
    }

    fn inside(mut self, step: Step) -> Self {
        self.0.1.push(step);
        self
    }

    fn into_error(self) -> PyErr {
        let (reason, path) = *self.0;
        let mut place = String::new();
        for (depth, step) in path.iter().rev().enumerate() {
            if depth == SHOWN_STEPS {
                place.push('…');
                break;
            }
            // Writing to a string cannot fail.
            let _ = match step {
                Step::Key(key) if place.is_empty() => write!(place, "{key}"),
                Step::Key(key) => write!(place, ".{key}"),
                Step::Index(index) => write!(place, "[{index}]"),
            };
        }
        if !place.is_empty() {
            place.push_str(": ");
        }
        match reason {
            Reason::Value(message) => PyValueError::new_err(place + &message),
            Reason::Type(message) => PyTypeError::new_err(place + &message),
            Reason::Raised(error) => error,
        }
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self(Box::new((Reason::Raised(error), Vec::new())))
    }
}

impl From<CastError<'_, '_>> for Failure {
    fn from(error: CastError<'_, '_>) -> Self {
        Self::from(PyErr::from(error))
    }
}

struct Writer {
    text: String,
}

impl Writer {
    fn string(&mut self, value: &Bound<'_, PyString>) -> Written {
        let Ok(text) = value.to_str() else {
            return Err(Failure::value(
                "the text holds a lone surrogate and cannot be written as UTF-8",
            ));
        };
        write_string(&mut self.text, text);
        Ok(())
    }

    fn value(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> Written {
        if depth > MAXIMUM_DEPTH {
            return Err(Failure::value(format!(
                "nested deeper than {MAXIMUM_DEPTH} levels (does it contain itself?)"
            )));
        }
        if let Ok(text) = value.cast::<PyString>() {
            self.string(text)
        } else if let Ok(object) = value.cast::<PyDict>() {
            self.members(object.iter(), depth)
        } else if value.is_none() {
            self.text.push_str("null");
            Ok(())
        } else if let Ok(truth) = value.cast::<PyBool>() {
            self.text
                .push_str(if truth.is_true() { "true" } else { "false" });
            Ok(())
        } else if let Ok(list) = value.cast::<PyList>() {
            self.elements(list.iter(), depth)
        } else if let Ok(number) = value.cast::<PyInt>() {
            self.integer(number)
        } else if let Ok(number) = value.cast::<PyFloat>() {
            self.float(number)
        } else if let Ok(tuple) = value.cast::<PyTuple>() {
            self.elements(tuple.iter(), depth)
        } else {
            self.other(value, depth)
        }
    }

    fn integer(&mut self, number: &Bound<'_, PyInt>) -> Written {
        if let Ok(small) = number.extract::<i64>() {
            // Writing to a string cannot fail.
            let _ = write!(self.text, "{small}");
            return Ok(());
        }
        // `int.__repr__`, because a subclass such as an enumeration has a repr of its own.
        let digits = number
            .py()
            .get_type::<PyInt>()
            .call_method1("__repr__", (number,))
            .map_err(|_| Failure::value("the int has more digits than Python writes out"))?;
        self.text.push_str(digits.cast::<PyString>()?.to_str()?);
        Ok(())
    }

    fn float(&mut self, number: &Bound<'_, PyFloat>) -> Written {
        let plain = number.value();
        if !plain.is_finite() {
            return Err(Failure::value(format!("{plain} has no form in JSON")));
        }
        let digits = number
            .py()
            .get_type::<PyFloat>()
            .call_method1("__repr__", (number,))?;
        self.text.push_str(digits.cast::<PyString>()?.to_str()?);
        Ok(())
    }

    fn elements<'py>(
        &mut self,
        elements: impl Iterator<Item = Bound<'py, PyAny>>,
        depth: usize,
    ) -> Written {
        self.text.push('[');
        for (index, element) in elements.enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            self.value(&element, depth + 1)
                .map_err(|failure| failure.inside(Step::Index(index)))?;
        }
        self.text.push(']');
        Ok(())
    }

    fn members<'py>(
        &mut self,
        members: impl Iterator<Item = (Bound<'py, PyAny>, Bound<'py, PyAny>)>,
        depth: usize,
    ) -> Written {
        self.text.push('{');
        let mut first = true;
        for (key, value) in members {
            if !first {
                self.text.push(',');
            }
            first = false;
            let Ok(name) = key.cast::<PyString>() else {
                return Err(Failure::kind(format!(
                    "the key {} is of type {}; JSON keys are str",
                    key.repr()?,
                    key.get_type().name()?
                )));
            };
            self.string(name)?;
            self.text.push(':');
            self.value(&value, depth + 1).map_err(|failure| {
                failure.inside(Step::Key(name.to_string_lossy().into_owned()))
            })?;
        }
        self.text.push('}');
        Ok(())
    }

    fn other(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> Written {
        let py = value.py();
        if let Ok(data) = value.getattr(intern!(py, "_data"))
            && let Ok(object) = data.cast::<PyDict>()
        {
            return self.members(object.iter(), depth);
        }
        if !value.is_instance_of::<PyType>() && value.hasattr(intern!(py, "model_dump"))? {
            let options = PyDict::new(py);
            options.set_item("mode", "json")?;
            options.set_item("by_alias", true)?;
            options.set_item("exclude_none", true)?;
            let dumped = value.call_method(intern!(py, "model_dump"), (), Some(&options))?;
            return self.value(&dumped, depth + 1);
        }
        if let Ok(mapping) = value.cast::<PyMapping>() {
            let mut members = Vec::new();
            for item in mapping.items()?.iter() {
                members.push(item.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?);
            }
            return self.members(members.into_iter(), depth);
        }
        Err(Failure::kind(format!(
            "a value of type {} cannot be written as JSON; accepted are dict, list, tuple, str, \
             int, float, bool, None and the values of toolbridge, openai and pydantic",
            value.get_type().name()?
        )))
    }
}

fn write_string(target: &mut String, text: &str) {
    target.push('"');
    let bytes = text.as_bytes();
    let mut written = 0;
    for (index, byte) in bytes.iter().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..=0x1f => "",
            _ => continue,
        };
        target.push_str(&text[written..index]);
        if escape.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(target, "\\u{byte:04x}");
        } else {
            target.push_str(escape);
        }
        written = index + 1;
    }
    target.push_str(&text[written..]);
    target.push('"');
}
