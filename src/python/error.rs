//! The one mapping of [`ErrorKind`] to the Python exception classes, and back.

use std::fmt;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString};

use crate::agent::model::checked::Misfit;
use crate::error::{Error, ErrorContext, ErrorKind, Loss, Tried};
use crate::python::convert::from_json;

/// The name of the class in `toolbridge.exceptions`.
fn class_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Internal => "ToolbridgeError",
        ErrorKind::Configuration => "ConfigurationError",
        ErrorKind::Mcp => "MCPError",
        ErrorKind::ConnectionClosed => "ConnectionClosedError",
        ErrorKind::Transport => "TransportError",
        ErrorKind::McpTimeout => "MCPTimeoutError",
        ErrorKind::OAuthFlow => "OAuthFlowError",
        ErrorKind::OAuthToken => "OAuthTokenError",
        ErrorKind::OAuthRegistration => "OAuthRegistrationError",
        ErrorKind::ToolOutput => "ToolOutputError",
        ErrorKind::InputRounds => "InputRequiredRoundsExceededError",
        ErrorKind::RoundLimit => "RoundLimitError",
        ErrorKind::Connection => "APIConnectionError",
        ErrorKind::Timeout => "Timeout",
        ErrorKind::ResponseValidation => "APIResponseValidationError",
        ErrorKind::JsonSchemaValidation => "JSONSchemaValidationError",
        ErrorKind::Api => "APIError",
        ErrorKind::Status => "APIStatusError",
        ErrorKind::BadRequest => "BadRequestError",
        ErrorKind::ContextWindowExceeded => "ContextWindowExceededError",
        ErrorKind::ContentPolicyViolation => "ContentPolicyViolationError",
        ErrorKind::UnsupportedParams => "UnsupportedParamsError",
        ErrorKind::Authentication => "AuthenticationError",
        ErrorKind::PaymentRequired => "PaymentRequired",
        ErrorKind::PermissionDenied => "PermissionDeniedError",
        ErrorKind::NotFound => "NotFoundError",
        ErrorKind::Conflict => "ConflictError",
        ErrorKind::UnprocessableEntity => "UnprocessableEntityError",
        ErrorKind::RateLimit => "RateLimitError",
        ErrorKind::InternalServer => "InternalServerError",
        ErrorKind::BadGateway => "BadGatewayError",
        ErrorKind::ServiceUnavailable => "ServiceUnavailableError",
    }
}

/// The kinds that an exception which comes from Python may have: all errors of a completion call.
const KINDS: [ErrorKind; 20] = [
    ErrorKind::Connection,
    ErrorKind::Timeout,
    ErrorKind::JsonSchemaValidation,
    ErrorKind::ResponseValidation,
    ErrorKind::ContextWindowExceeded,
    ErrorKind::ContentPolicyViolation,
    ErrorKind::UnsupportedParams,
    ErrorKind::BadRequest,
    ErrorKind::Authentication,
    ErrorKind::PaymentRequired,
    ErrorKind::PermissionDenied,
    ErrorKind::NotFound,
    ErrorKind::Conflict,
    ErrorKind::UnprocessableEntity,
    ErrorKind::RateLimit,
    ErrorKind::InternalServer,
    ErrorKind::BadGateway,
    ErrorKind::ServiceUnavailable,
    ErrorKind::Status,
    ErrorKind::Api,
];

/// An exception that is the cause of an error: that error is this exception.
#[derive(Debug)]
struct Raised(PyErr);

impl fmt::Display for Raised {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("raised in Python")
    }
}

impl std::error::Error for Raised {}

/// An exception of Python as an error; [`to_py`] gives the same exception back.
pub(crate) fn from_py(py: Python<'_>, exception: PyErr) -> Error {
    let value = exception.value(py);
    let kind = kind_of(value).unwrap_or(ErrorKind::Internal);
    let message = value.str().map_or_else(
        |_| "an exception without a sentence".to_owned(),
        |message| message.to_string(),
    );
    let text = |name: &str| value.getattr(name).ok()?.extract().ok();
    let status = value.getattr("response").ok();
    let status = status.filter(|response| !response.is_none());
    let context = ErrorContext {
        provider: text("llm_provider"),
        model: text("model"),
        // As for an error of the engine: a status is what a provider said.
        status: status.and_then(|response| response.getattr("status_code").ok()?.extract().ok()),
        ..ErrorContext::default()
    };
    Error::new(kind, message)
        .with_context(context)
        .with_source(Raised(exception))
}

/// The kind of an exception of ours: that of its class, or of the nearest class above it.
fn kind_of(exception: &Bound<'_, PyAny>) -> Option<ErrorKind> {
    for class in exception.get_type().mro() {
        let module: String = class.getattr("__module__").ok()?.extract().ok()?;
        let name: String = class.getattr("__name__").ok()?.extract().ok()?;
        if module == "toolbridge.exceptions"
            && let Some(kind) = KINDS.iter().find(|kind| class_name(**kind) == name)
        {
            return Some(*kind);
        }
    }
    None
}

/// The Python exception of an error, its causes chained.
pub(crate) fn to_py(py: Python<'_>, error: &Error) -> PyErr {
    let source = std::error::Error::source(error);
    let raised = source.and_then(|source| source.downcast_ref::<Raised>());
    let made = raised.map_or_else(|| build(py, error), |raised| Ok(raised.0.clone_ref(py)));
    let made = made.and_then(|made| match &error.context().tried {
        Some(tried) => with_tried(py, made, tried),
        None => Ok(made),
    });
    made.unwrap_or_else(|failure| {
        let plain = PyRuntimeError::new_err(error.message().to_owned());
        plain.set_cause(py, Some(failure));
        plain
    })
}

/// Says on an exception which models were asked.
fn with_tried(py: Python<'_>, made: PyErr, tried: &Tried) -> PyResult<PyErr> {
    static TELL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let tell = TELL.import(py, "toolbridge._native_errors", "tell_tried")?;
    let list = PyList::empty(py);
    for (model, error) in &tried.before {
        list.append((model, to_py(py, error)))?;
    }
    list.append((&tried.last, made.clone_ref(py)))?;
    tell.call1((made.value(py), list))?;
    Ok(made)
}

fn build(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    static FACTORY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let factory = FACTORY.import(py, "toolbridge._native_errors", "from_native")?;
    let context = error.context();
    let fields = PyDict::new(py);
    macro_rules! set {
        ($($name:literal: $value:expr),* $(,)?) => {
            $(if let Some(value) = &$value { fields.set_item($name, value)?; })*
        };
    }
    set! {
        "provider": context.provider,
        "model": context.model,
        "status_code": context.status,
        "request_id": context.request_id,
        "body": context.body,
        "retry_after": context.retry_after.map(|wait| wait.as_secs_f64()),
        "code": context.code,
        "param": context.param,
        "type": context.error_type,
        "rpc_code": context.rpc_code,
    }
    if let Some(data) = &context.rpc_data {
        // What cannot be read, such as a peer's data of a thousand levels, is shown as it came.
        let read = from_json(py, data.as_bytes());
        let read = read.or_else(|_| Ok::<_, PyErr>(PyString::new(py, data).into_any()))?;
        fields.set_item("rpc_data", read)?;
    }
    if context.loss.is_some_and(Loss::leaves_nothing_done) {
        fields.set_item("unsent", true)?;
    }
    if !context.headers.is_empty() {
        let headers = PyDict::new(py);
        for (name, value) in &context.headers {
            headers.set_item(name, value)?;
        }
        fields.set_item("headers", headers)?;
    }
    if context.retries > 0 {
        fields.set_item("num_retries", context.retries)?;
    }
    let source = std::error::Error::source(error);
    let misfit = source.and_then(|source| source.downcast_ref::<Misfit>());
    let causes = if let Some(misfit) = misfit {
        fields.set_item("raw_response", &misfit.answer)?;
        fields.set_item("schema", from_json(py, misfit.schema.as_bytes())?)?;
        // The sentence says it already.
        PyList::empty(py)
    } else {
        PyList::new(py, error.causes())?
    };
    let exception = factory.call1((class_name(error.kind()), error.message(), fields, causes))?;
    Ok(PyErr::from_value(exception))
}
