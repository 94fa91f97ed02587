//! Errors as HTTP answers, in the shape that OpenAI gives them. The one place where a kind of error
//! becomes a status.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use crate::error::{Error, ErrorKind};

/// An answer that says what went wrong.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    kind: Cow<'static, str>,
    code: Option<String>,
    param: Option<String>,
    message: Box<str>,
    retry_after: Option<Duration>,
    /// How to authenticate, of a refusal of our own.
    challenge: Option<Challenge>,
    told: Option<Box<Told>>,
}

/// Why a key is asked for.
#[derive(Debug, Clone, Copy)]
enum Challenge {
    NoKey,
    WrongKey,
}

impl Challenge {
    fn text(self) -> &'static str {
        match self {
            Self::NoKey => r#"Bearer realm="toolbridge""#,
            Self::WrongKey => {
                r#"Bearer realm="toolbridge", error="invalid_token", error_description="the key is not known""#
            }
        }
    }
}

/// What a provider told.
#[derive(Debug)]
struct Told {
    /// Its error object, which says more than one of ours.
    body: Option<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Failure {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            kind: type_of(status).into(),
            code: None,
            param: None,
            message: message.into().into_boxed_str(),
            retry_after: None,
            challenge: None,
            told: None,
        }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// The refusal of a request without a key, or with one that is not known. As RFC 6750 has it, only
    /// the second has an error in its challenge.
    pub(super) fn unauthorized(message: &str, has_key: bool) -> Self {
        let challenge = if has_key {
            Challenge::WrongKey
        } else {
            Challenge::NoKey
        };
        Self {
            challenge: Some(challenge),
            ..Self::new(StatusCode::UNAUTHORIZED, message).with_code("invalid_api_key")
        }
    }

    pub(super) fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    pub(super) fn with_param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// The body, as JSON text.
    pub(super) fn body(&self) -> String {
        if let Some(told) = self.told.as_ref().and_then(|told| told.body.as_ref()) {
            return told.clone();
        }
        json!({"error": {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }})
        .to_string()
    }

    /// The same as an event of a stream.
    pub(super) fn event(&self) -> String {
        let mut event = String::new();
        for line in self.body().split(['\n', '\r']) {
            event.push_str("data: ");
            event.push_str(line);
            event.push('\n');
        }
        event.push('\n');
        event
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let context = error.context();
        let status = status_for(&error);
        let headers = context.headers.iter().filter_map(|(name, value)| {
            let name = is_passed_on(name).then(|| name.parse().ok())??;
            Some((name, value.parse().ok()?))
        });
        let kind = context.error_type.clone().map(Cow::Owned);
        Self {
            status,
            kind: kind.unwrap_or_else(|| type_of(status).into()),
            code: context.code.clone(),
            param: context.param.clone(),
            retry_after: context.retry_after,
            challenge: None,
            told: Some(Box::new(Told {
                body: context.body.clone().filter(|body| is_error_object(body)),
                headers: headers.collect(),
            })),
            message: error.to_string().into_boxed_str(),
        }
    }
}

/// The status that an error is answered with: the provider's own, where it gave one.
pub(super) fn status_for(error: &Error) -> StatusCode {
    let told = error.context().status;
    let told = told.and_then(|status| StatusCode::from_u16(status).ok());
    let told = told.filter(|status| status.is_client_error() || status.is_server_error());
    told.unwrap_or_else(|| status_of(error.kind()))
}

/// Whether a body says what went wrong in the shape in which clients look for it: OpenAI's, not that of
/// Anthropic, which has a type beside the error, nor Google's, which has a status in it.
fn is_error_object(body: &str) -> bool {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        error: Object<'a>,
        #[serde(default)]
        r#type: Option<IgnoredAny>,
    }
    #[derive(Deserialize)]
    struct Object<'a> {
        #[serde(borrow)]
        message: Cow<'a, str>,
        #[serde(default)]
        status: Option<IgnoredAny>,
    }
    let body = serde_json::from_str::<Body<'_>>(body);
    body.is_ok_and(|Body { error, r#type }| {
        !error.message.is_empty() && error.status.is_none() && r#type.is_none()
    })
}

/// The headers of a provider's answer that are the client's business: how its request is called
/// there, how much of its limits is left, when to come back.
pub(super) fn is_passed_on(name: &str) -> bool {
    matches!(
        name,
        "x-request-id"
            | "request-id"
            | "retry-after"
            | "retry-after-ms"
            | "x-should-retry"
            | "openai-model"
            | "openai-processing-ms"
            | "openai-version"
    ) || name.starts_with("x-ratelimit-")
}

/// The status of an error that no provider gave one.
fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorKind::Configuration
        | ErrorKind::BadRequest
        | ErrorKind::ContextWindowExceeded
        | ErrorKind::ContentPolicyViolation
        | ErrorKind::UnsupportedParams => StatusCode::BAD_REQUEST,
        ErrorKind::Authentication => StatusCode::UNAUTHORIZED,
        ErrorKind::PaymentRequired => StatusCode::PAYMENT_REQUIRED,
        ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::UnprocessableEntity => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::RateLimit => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Timeout | ErrorKind::McpTimeout => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::BAD_GATEWAY,
    }
}

/// What OpenAI calls an error of a status.
fn type_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_client_error() => "invalid_request_error",
        _ => "server_error",
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        for (name, value) in self.told.into_iter().flat_map(|told| told.headers) {
            headers.append(name, value);
        }
        if let Some(delay) = self.retry_after
            && !headers.contains_key(header::RETRY_AFTER)
        {
            // Not too soon: what is left of a second counts as a whole one.
            let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(challenge) = self.challenge {
            let challenge = HeaderValue::from_static(challenge.text());
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
