//! What a request failed with, as it stands on a cassette. Owns [`Failure`].

use serde_json::{Value, json};

use crate::error::{Error, ErrorContext, ErrorKind};
use crate::llm::failure::Redactor;

/// The kinds that a model or a server fails with, by their names in the file.
const KINDS: [(&str, ErrorKind); 24] = [
    ("api", ErrorKind::Api),
    ("authentication", ErrorKind::Authentication),
    ("bad_gateway", ErrorKind::BadGateway),
    ("bad_request", ErrorKind::BadRequest),
    ("configuration", ErrorKind::Configuration),
    ("conflict", ErrorKind::Conflict),
    ("connection", ErrorKind::Connection),
    ("connection_closed", ErrorKind::ConnectionClosed),
    (
        "content_policy_violation",
        ErrorKind::ContentPolicyViolation,
    ),
    ("context_window_exceeded", ErrorKind::ContextWindowExceeded),
    ("internal_server", ErrorKind::InternalServer),
    ("mcp", ErrorKind::Mcp),
    ("mcp_timeout", ErrorKind::McpTimeout),
    ("not_found", ErrorKind::NotFound),
    ("payment_required", ErrorKind::PaymentRequired),
    ("permission_denied", ErrorKind::PermissionDenied),
    ("rate_limit", ErrorKind::RateLimit),
    ("response_validation", ErrorKind::ResponseValidation),
    ("service_unavailable", ErrorKind::ServiceUnavailable),
    ("status", ErrorKind::Status),
    ("timeout", ErrorKind::Timeout),
    ("transport", ErrorKind::Transport),
    ("unprocessable_entity", ErrorKind::UnprocessableEntity),
    ("unsupported_params", ErrorKind::UnsupportedParams),
];

/// A failure that is raised again when it is replayed.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// None where the file does not say it.
    kind: Option<ErrorKind>,
    message: String,
    status: Option<u16>,
    provider: Option<String>,
    model: Option<String>,
}

impl Failure {
    /// What is kept of an error.
    pub(super) fn of(error: &Error) -> Self {
        let context = error.context();
        Self {
            kind: Some(error.kind()),
            message: error.to_string(),
            status: context.status,
            provider: context.provider.clone(),
            model: context.model.clone(),
        }
    }

    /// Without what is secret.
    pub(super) fn redacted(mut self, redactor: &Redactor) -> Self {
        self.message = redactor.redact(&self.message).into_owned();
        self
    }

    /// The error again; `kind` is that of those that do not say theirs.
    pub(super) fn error(self, kind: ErrorKind) -> Error {
        Error::new(self.kind.unwrap_or(kind), self.message).with_context(ErrorContext {
            status: self.status,
            provider: self.provider,
            model: self.model,
            ..ErrorContext::default()
        })
    }

    /// As it is written.
    pub(super) fn to_value(&self) -> Value {
        let named = |(_, kind): &&(_, ErrorKind)| Some(*kind) == self.kind;
        let Some((name, _)) = KINDS.iter().find(named) else {
            return json!(self.message);
        };
        let mut value = json!({"kind": name, "message": self.message});
        let known = [
            ("status", self.status.map(Value::from)),
            ("provider", self.provider.clone().map(Value::from)),
            ("model", self.model.clone().map(Value::from)),
        ];
        for (name, known) in known {
            if let Some(known) = known {
                value[name] = known;
            }
        }
        value
    }

    /// Reads what was written: the message alone, or an object that says the kind.
    pub(super) fn read(value: &Value) -> Result<Self, String> {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let kind = match text("kind") {
            None => None,
            Some(name) => {
                let known = KINDS.iter().find(|(known, _)| *known == name);
                let known = known.ok_or_else(|| {
                    let names: Vec<_> = KINDS.iter().map(|(name, _)| *name).collect();
                    format!(
                        "has a failure of the kind {name:?}; there are {}",
                        names.join(", ")
                    )
                })?;
                Some(known.1)
            }
        };
        let message = value
            .as_str()
            .map(str::to_owned)
            .or_else(|| text("message"));
        Ok(Self {
            kind,
            message: message.ok_or("has a failure without a message")?,
            status: value["status"]
                .as_u64()
                .and_then(|status| status.try_into().ok()),
            provider: text("provider"),
            model: text("model"),
        })
    }
}
