//! The arguments of a completion call: each wrong type is an error that names the argument and
//! what it takes.

use std::path::PathBuf;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyMapping, PyString};

use crate::error::{Error, ErrorKind};
use crate::json::RawJson;
use crate::llm::client::{ChatRequest, Limits, Trust};
use crate::llm::conversion::parameters::Policy;
use crate::llm::model_id::ModelId;
use crate::llm::provider::service::Kind;
use crate::llm::provider::{Endpoint, Settings};
use crate::llm::retry::DEFAULT_MAX_RETRIES;
use crate::python::convert::to_json;
use crate::python::error::to_py;

/// Makes the request out of `model`, the body without it, and the options, which are named as the
/// arguments of `acompletion` that they come from.
pub(in crate::python) fn request(
    model: &Bound<'_, PyAny>,
    body: &Bound<'_, PyDict>,
    options: &Bound<'_, PyDict>,
) -> PyResult<ChatRequest> {
    let py = model.py();
    let given = text("model", "a str such as \"openai/gpt-4o\"", model)?;
    let mut settings = Settings::default();
    let mut provider = None;
    let mut limits = Limits::default();
    let mut max_retries = DEFAULT_MAX_RETRIES;
    let mut trust = Trust::default();
    let mut policy = Policy::default();
    for (name, value) in options {
        let name = name.cast::<PyString>()?.to_str()?;
        match name {
            "api_key" => settings.api_key = Some(text(name, "a str", &value)?),
            "api_base" | "base_url" => settings.api_base = Some(url(name, &value)?),
            "organization" => settings.organization = Some(text(name, "a str", &value)?),
            "headers" | "extra_headers" => add_headers(name, &value, &mut settings.headers)?,
            "custom_llm_provider" => provider = Some(text(name, "a str", &value)?),
            "timeout" | "stream_timeout" | "request_timeout" => limits = timeouts(name, &value)?,
            "max_retries" | "num_retries" => max_retries = retries(name, &value)?,
            "ssl_verify" => trust = trusted(name, &value)?,
            "drop_params" => policy.drop_params = value.is_truthy()?,
            "allowed_openai_params" => policy.allowed = texts(name, &value)?,
            other => {
                return Err(PyTypeError::new_err(format!(
                    "{other} is not an option of the request"
                )));
            }
        }
    }
    let id = ModelId::resolve(&given, provider.as_deref(), settings.api_base.as_deref())
        .map_err(|error| to_py(py, &error))?;
    let given_options = options_in(body);
    if !given_options.is_empty() {
        settings.options = id.provider.kind.take_options(|name| {
            if !given_options.iter().any(|given| given == name) {
                return Ok(None);
            }
            let Some(value) = body.get_item(name)? else {
                return Ok(None);
            };
            body.del_item(name)?;
            let option = to_json(&value)?.to_value();
            option.map(Some).map_err(|error| to_py(py, &error))
        })?;
    }
    let endpoint = Endpoint::resolve(&id, &settings, &|name| std::env::var(name).ok())
        .map_err(|error| to_py(py, &error))?;
    let body = if body.contains(intern!(py, "model"))? {
        to_json(body)?.into_bytes()
    } else {
        with_model(&id.name, &to_json(body)?).map_err(|error| to_py(py, &error))?
    };
    Ok(ChatRequest {
        model: id,
        endpoint,
        body,
        policy,
        limits,
        max_retries,
        trust,
    })
}

/// The members of a body that are options: it has few members, and there are many options.
fn options_in(body: &Bound<'_, PyDict>) -> Vec<String> {
    let names = body.keys().into_iter();
    let names =
        names.filter_map(|name| Some(name.cast::<PyString>().ok()?.to_str().ok()?.to_owned()));
    names.filter(|name| Kind::has_option(name)).collect()
}

/// Puts the model before the members of an object, without decoding it.
fn with_model(model: &str, body: &RawJson) -> Result<Bytes, Error> {
    let model = RawJson::from_serialize(&model)?;
    let members = body.as_bytes().get(1..).unwrap_or(b"}");
    let mut text = BytesMut::with_capacity(model.as_bytes().len() + members.len() + 12);
    text.put_slice(b"{\"model\":");
    text.put_slice(model.as_bytes());
    if members != b"}" {
        text.put_u8(b',');
    }
    text.put_slice(members);
    Ok(text.freeze())
}

fn wrong_type(name: &str, wanted: &str, found: &Bound<'_, PyAny>) -> PyErr {
    match found.get_type().name() {
        Ok(kind) => PyTypeError::new_err(format!("{name} takes {wanted}, not {kind}")),
        Err(error) => error,
    }
}

fn wrong_value(py: Python<'_>, message: String) -> PyErr {
    to_py(py, &Error::new(ErrorKind::Configuration, message))
}

fn text(name: &str, wanted: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    match value.cast::<PyString>() {
        Ok(text) => Ok(text.to_str()?.to_owned()),
        Err(_) => Err(wrong_type(name, wanted, value)),
    }
}

fn texts(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    value
        .extract()
        .map_err(|_| wrong_type(name, "a list of str", value))
}

/// A str, or a URL object, as `openai` and `httpx` take.
fn url(name: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    let is_url_object = value.get_type().name()?.to_str()?.contains("URL");
    if is_url_object {
        return Ok(value.str()?.to_str()?.to_owned());
    }
    text(name, "a str such as \"https://host/v1\"", value)
}

fn add_headers(
    name: &str,
    value: &Bound<'_, PyAny>,
    headers: &mut Vec<(String, String)>,
) -> PyResult<()> {
    let wanted = "a dict of str to str";
    let Ok(mapping) = value.cast::<PyMapping>() else {
        return Err(wrong_type(name, wanted, value));
    };
    for item in mapping.items()? {
        let (header, content) = item.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
        if content.is_none() {
            continue;
        }
        let header = text(&format!("a key of {name}"), "a str", &header)?;
        let content = if let Ok(bytes) = content.cast::<PyBytes>() {
            String::from_utf8_lossy(bytes.as_bytes()).into_owned()
        } else {
            text(&format!("{name}[{header:?}]"), "a str", &content)?
        };
        headers.push((header, content));
    }
    Ok(())
}

fn seconds(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Option<Duration>> {
    let py = value.py();
    if value.is_none() {
        return Ok(None);
    }
    let is_number = value.is_instance_of::<PyFloat>()
        || (value.is_instance_of::<PyInt>() && !value.is_instance_of::<PyBool>());
    let number = if is_number {
        value.extract::<f64>()?
    } else if let Ok(text) = value.cast::<PyString>() {
        // LiteLLM takes the number as text too: it may come from a configuration file.
        text.to_str()?.trim().parse().map_err(|_| {
            wrong_value(
                py,
                format!("{name} is {text:?}; it takes a number of seconds"),
            )
        })?
    } else {
        let wanted = "a number of seconds, a toolbridge.Timeouts, a dict of its parts, or an \
                      httpx.Timeout";
        return Err(wrong_type(name, wanted, value));
    };
    match Duration::try_from_secs_f64(number) {
        Ok(limit) if !limit.is_zero() => Ok(Some(limit)),
        _ if number.is_infinite() && number > 0.0 => Ok(None),
        _ => Err(wrong_value(
            py,
            format!("{name} is {number}; it takes a positive number of seconds"),
        )),
    }
}

/// A number; an `httpx.Timeout`, of which `connect` and `read` are used; a dict with our own parts,
/// or an object that has them as attributes.
fn timeouts(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Limits> {
    let py = value.py();
    let mut limits = Limits::default();
    if let Ok(parts) = value.cast::<PyDict>() {
        for (part, value) in parts {
            let part = text(&format!("a key of {name}"), "a str", &part)?;
            set_part(&mut limits, name, &part, &value)?;
        }
        return Ok(limits);
    }
    if value.hasattr(intern!(py, "first_token"))? {
        for part in PARTS {
            set_part(&mut limits, name, part, &value.getattr(part)?)?;
        }
        return Ok(limits);
    }
    let Ok(read) = value.getattr(intern!(py, "read")) else {
        limits.answer = seconds(name, value)?;
        return Ok(limits);
    };
    limits.answer = seconds(&format!("{name}.read"), &read)?;
    if let Ok(connect) = value.getattr(intern!(py, "connect"))
        && let Some(connect) = seconds(&format!("{name}.connect"), &connect)?
    {
        limits.connect = connect;
    }
    Ok(limits)
}

/// The parts of a timeout.
const PARTS: [&str; 4] = ["connect", "first_token", "between_tokens", "total"];

fn set_part(limits: &mut Limits, name: &str, part: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    let given = seconds(&format!("{name}.{part}"), value)?;
    match (part, given) {
        ("connect", Some(connect)) => limits.connect = connect,
        ("first_token", _) => limits.first_token = given,
        ("between_tokens", _) => limits.between_tokens = given,
        ("total", _) => {
            limits.total = given;
            if given.is_some() {
                // Whoever says how long all of it may take means each try too.
                limits.answer = given;
            }
        }
        ("connect", None) => {}
        _ => {
            let message = format!("{name} has no part {part:?}; it has {}", PARTS.join(", "));
            return Err(wrong_value(value.py(), message));
        }
    }
    Ok(())
}

fn retries(name: &str, value: &Bound<'_, PyAny>) -> PyResult<u32> {
    if !value.is_instance_of::<PyInt>() || value.is_instance_of::<PyBool>() {
        return Err(wrong_type(name, "an int", value));
    }
    value.extract().map_err(|_| {
        wrong_value(
            value.py(),
            format!("{name} is {value}; it takes an int that is not negative"),
        )
    })
}

fn trusted(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Trust> {
    if let Ok(verify) = value.cast::<PyBool>() {
        return Ok(if verify.is_true() {
            Trust::System
        } else {
            Trust::Anybody
        });
    }
    match value.extract::<PathBuf>() {
        Ok(path) => Ok(Trust::Bundle(path)),
        Err(_) => Err(wrong_type(name, "a bool or the path of a PEM file", value)),
    }
}
