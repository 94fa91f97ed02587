//! The one mapping of [`ErrorKind`] to the Python exception classes.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString};

use crate::error::{Error, ErrorKind, Loss};
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

/// The Python exception of an error, its causes chained.
pub(crate) fn to_py(py: Python<'_>, error: &Error) -> PyErr {
    build(py, error).unwrap_or_else(|failure| {
        let plain = PyRuntimeError::new_err(error.message().to_owned());
        plain.set_cause(py, Some(failure));
        plain
    })
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
    if context.loss == Some(Loss::Unsent) {
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
    let causes = PyList::new(py, error.causes())?;
    let exception = factory.call1((class_name(error.kind()), error.message(), fields, causes))?;
    Ok(PyErr::from_value(exception))
}
