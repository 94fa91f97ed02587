//! What is known of models, and how many tokens a text has: `crate::llm::catalogue` for
//! `toolbridge.catalogue`.

use pyo3::prelude::*;
use serde_json::{Map, Value};

use crate::llm::catalogue;
use crate::llm::catalogue::cost::FullUsage;
use crate::python::{convert, error};

fn read<T: serde::de::DeserializeOwned>(value: &Bound<'_, PyAny>, what: &str) -> PyResult<T> {
    let text = convert::to_json(value)?;
    serde_json::from_slice(text.as_bytes())
        .map_err(|_| pyo3::exceptions::PyTypeError::new_err(format!("{what} is given")))
}

fn write<'py>(py: Python<'py>, facts: &Map<String, Value>) -> PyResult<Bound<'py, PyAny>> {
    let text = serde_json::to_vec(facts).unwrap_or_default();
    convert::from_json(py, &text)
}

/// The date of the table.
#[pyfunction]
fn catalogue_date() -> &'static str {
    catalogue::date()
}

/// The names of all models.
#[pyfunction]
fn catalogue_names() -> Vec<String> {
    catalogue::names()
}

/// The name that a model stands under, and its facts; None where it is not known.
#[pyfunction]
fn catalogue_find<'py>(
    py: Python<'py>,
    model: &str,
    provider: Option<&str>,
) -> PyResult<Option<(String, Bound<'py, PyAny>)>> {
    let Some(found) = catalogue::find(model, provider) else {
        return Ok(None);
    };
    Ok(Some((found.key, write(py, &found.facts)?)))
}

/// The same; raises for a model that is not known.
#[pyfunction]
fn catalogue_known<'py>(
    py: Python<'py>,
    model: &str,
    provider: Option<&str>,
) -> PyResult<(String, Bound<'py, PyAny>)> {
    let found = catalogue::known(model, provider).map_err(|failure| error::to_py(py, &failure))?;
    Ok((found.key, write(py, &found.facts)?))
}

/// Adds facts of a model.
#[pyfunction]
fn catalogue_register(name: &str, facts: &Bound<'_, PyAny>) -> PyResult<()> {
    catalogue::register(name, read(facts, "a dict of facts")?);
    Ok(())
}

/// Forgets what was registered under a name.
#[pyfunction]
fn catalogue_forget(name: &str) -> bool {
    catalogue::forget(name)
}

/// Whether a model has a capability.
#[pyfunction]
fn catalogue_supports(
    py: Python<'_>,
    model: &str,
    provider: Option<&str>,
    capability: &str,
) -> PyResult<bool> {
    catalogue::supports(model, provider, capability).map_err(|failure| error::to_py(py, &failure))
}

/// What a usage costs: the prompt, the answer, searches. None where the model or its prices are not
/// known; `facts` stand for those of the catalogue.
#[pyfunction]
fn catalogue_cost(
    model: &str,
    provider: Option<&str>,
    usage: &Bound<'_, PyAny>,
    tier: Option<&str>,
    facts: Option<&Bound<'_, PyAny>>,
) -> PyResult<Option<(f64, f64, f64)>> {
    let usage: FullUsage = read(usage, "a dict of counts")?;
    let facts: Option<Map<String, Value>> = facts
        .map(|facts| read(facts, "a dict of prices"))
        .transpose()?;
    let cost = match facts {
        Some(facts) => catalogue::cost::of(&facts, &usage, tier),
        None => catalogue::find(model, provider)
            .and_then(|found| catalogue::cost::of(&found.facts, &usage, tier)),
    };
    Ok(cost.map(|cost| (cost.prompt, cost.completion, cost.searches)))
}

/// How many tokens a text has, roughly.
#[pyfunction]
fn count_text_tokens(text: &str) -> u64 {
    catalogue::tokens::of_text(text)
}

/// How many tokens a request has, roughly.
#[pyfunction]
fn count_request_tokens(messages: &Bound<'_, PyAny>, tools: &Bound<'_, PyAny>) -> PyResult<u64> {
    let messages: Vec<Value> = read(messages, "a list of messages")?;
    let tools: Vec<Value> = read(tools, "a list of tools")?;
    Ok(catalogue::tokens::of_request(&messages, &tools))
}

/// Adds the functions of this file to the module.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(catalogue_date, module)?)?;
    module.add_function(wrap_pyfunction!(catalogue_names, module)?)?;
    module.add_function(wrap_pyfunction!(catalogue_find, module)?)?;
    module.add_function(wrap_pyfunction!(catalogue_known, module)?)?;
    module.add_function(wrap_pyfunction!(catalogue_register, module)?)?;
    module.add_function(wrap_pyfunction!(catalogue_forget, module)?)?;
    module.add_function(wrap_pyfunction!(catalogue_supports, module)?)?;
    module.add_function(wrap_pyfunction!(catalogue_cost, module)?)?;
    module.add_function(wrap_pyfunction!(count_text_tokens, module)?)?;
    module.add_function(wrap_pyfunction!(count_request_tokens, module)?)?;
    Ok(())
}
