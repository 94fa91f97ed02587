//! `sampling_request` and `sampling_result`: what a server asks of a model, and what it is told, by
//! `crate::tools::sampling`.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde_json::Value;

use crate::python::convert::{from_json, to_json};
use crate::tools::sampling;

/// The parameters of `sampling/createMessage` as those of a chat completion.
#[pyfunction]
fn sampling_request<'py>(
    py: Python<'py>,
    params: &Bound<'_, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let asked = sampling::read(&to_json(params)?);
    let request = asked.and_then(sampling::Asked::chat_request);
    let request = request.map_err(PyValueError::new_err)?;
    from_json(py, Value::from(request).to_string().as_bytes())
}

/// A chat completion as the result of `sampling/createMessage`.
#[pyfunction]
fn sampling_result<'py>(
    py: Python<'py>,
    response: &Bound<'_, PyAny>,
    model: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let result = sampling::result(to_json(response)?.as_bytes(), model);
    from_json(py, result.map_err(PyValueError::new_err)?.as_bytes())
}

/// Adds the functions of this file to the module.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(sampling_request, module)?)?;
    module.add_function(wrap_pyfunction!(sampling_result, module)?)
}
