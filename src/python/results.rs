//! `tool_result` and `tool_result_messages`: the results of tools as models read them, by
//! `crate::tools::result`.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use serde_json::Value;

use crate::error::{Error, ErrorKind};
use crate::llm::model_id::ModelId;
use crate::llm::tool_results;
use crate::python::{convert, error};
use crate::tools::result::chat::{self, Room};
use crate::tools::result::{Origin, Takes, anthropic, bedrock, gemini, responses};

/// A result in the form of an API; `model` says which form where there are several.
#[pyfunction]
fn tool_result<'py>(
    py: Python<'py>,
    target: &str,
    result: &Bound<'_, PyAny>,
    call: &Bound<'_, PyAny>,
    model: Option<&str>,
) -> PyResult<Bound<'py, PyAny>> {
    let (result, call) = (read(py, result)?, read(py, call)?);
    let made = converted(target, &result, origin(&call)?, model);
    let made = made.map_err(|failure| error::to_py(py, &failure))?;
    written(py, &made)
}

/// The results of one round as messages: those of the tools first, then that of the user with what
/// the tools returned beside text, if there is any.
#[pyfunction]
fn tool_result_messages<'py>(
    py: Python<'py>,
    results: Vec<(Bound<'_, PyAny>, Bound<'_, PyAny>)>,
    model: Option<&str>,
) -> PyResult<Bound<'py, PyAny>> {
    let room = room(model).map_err(|failure| error::to_py(py, &failure))?;
    let mut messages = Vec::with_capacity(results.len() + 1);
    let mut parts = Vec::new();
    for (result, call) in results {
        let (result, call) = (read(py, &result)?, read(py, &call)?);
        let call = origin(&call)?.with_id();
        let call = call.map_err(|failure| error::to_py(py, &failure))?;
        let mut made = chat::messages(&result, call, &room);
        messages.push(made.tool);
        parts.append(&mut made.parts);
    }
    messages.extend(chat::behind(parts));
    written(py, &Value::Array(messages))
}

fn converted(
    target: &str,
    result: &Value,
    call: Origin<'_>,
    model: Option<&str>,
) -> Result<Value, Error> {
    match target {
        "openai" => Ok(chat::messages(result, call.with_id()?, &Room::TEXT).tool),
        "openai_responses" => Ok(responses::item(result, call.with_id()?)),
        "anthropic" => Ok(anthropic::block(result, call.with_id()?)),
        "bedrock" => Ok(bedrock::block(result, call.with_id()?)),
        "gemini" => {
            let is_inside = match model {
                Some(_) => room(model)?.inside != Takes::TEXT,
                None => true,
            };
            Ok(gemini::parts(result, call.with_name()?, is_inside).into())
        }
        other => Err(Error::new(
            ErrorKind::Internal,
            format!("no API has the name {other:?}"),
        )),
    }
}

fn room(model: Option<&str>) -> Result<Room, Error> {
    match model {
        None => Ok(Room::OPENAI),
        Some(model) => Ok(tool_results::room(&ModelId::resolve(model, None, None)?)),
    }
}

fn origin(call: &Value) -> PyResult<Origin<'_>> {
    Origin::read(call).ok_or_else(|| {
        PyTypeError::new_err(
            "tool_call takes the tool call of a model (with its id and the name of the tool), or the \
             id as a text",
        )
    })
}

fn read(py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Value> {
    let value = convert::to_json(value)?.to_value();
    value.map_err(|failure| error::to_py(py, &failure))
}

fn written<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    convert::from_json(py, value.to_string().as_bytes())
}

/// Adds the functions of this file to the module.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(tool_result, module)?)?;
    module.add_function(wrap_pyfunction!(tool_result_messages, module)?)?;
    Ok(())
}
