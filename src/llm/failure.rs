//! Errors of a request: one place that knows the provider, the model and the secrets, so that no
//! error leaves without the former or with the latter.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderMap, StatusCode};

use crate::error::{Error, ErrorContext, ErrorKind};

use super::model_id::ModelId;
use super::provider::Endpoint;
use super::provider::error_body::ErrorBody;
use super::retry;

/// How much of a body an error carries.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// How much of a body a sentence shows.
const MAX_SNIPPET_CHARS: usize = 200;
/// What stands where a secret stood.
const REDACTED: &str = "[redacted]";

/// Takes the secrets of one request out of any text.
#[derive(Clone, Default)]
pub struct Redactor(Arc<[String]>);

impl Redactor {
    /// Secrets of fewer than four bytes are ignored: they would tear every text to pieces.
    pub fn new(secrets: Vec<String>) -> Self {
        let mut secrets: Vec<_> = secrets
            .into_iter()
            .filter(|secret| secret.len() >= 4)
            .collect();
        // The longest first, so that a secret within a secret leaves nothing behind.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(secrets.into())
    }

    /// `text` without the secrets.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for secret in self.0.iter() {
            if text.contains(secret.as_str()) {
                text = Cow::Owned(text.replace(secret.as_str(), REDACTED));
            }
        }
        text
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Redactor({} secrets)", self.0.len())
    }
}

/// What every error of one request has in common.
#[derive(Debug, Clone)]
pub struct FailureSite {
    provider: &'static str,
    model: String,
    origin: String,
    redactor: Redactor,
}

impl FailureSite {
    /// The place of a request to `endpoint`.
    pub fn new(model: &ModelId, endpoint: &Endpoint) -> Self {
        Self {
            provider: model.provider.name,
            model: model.given.clone(),
            origin: endpoint.origin(),
            redactor: endpoint.redactor.clone(),
        }
    }

    /// The place of answers that nobody was asked for, under the name of this model.
    pub fn nowhere(model: &str) -> Self {
        Self {
            provider: "mock",
            model: model.to_owned(),
            origin: "nowhere".to_owned(),
            redactor: Redactor::default(),
        }
    }

    /// The provider.
    pub fn provider(&self) -> &'static str {
        self.provider
    }

    /// The provider and where it is, for a sentence.
    pub fn peer(&self) -> String {
        format!("{} at {}", self.provider, self.origin)
    }

    /// `text` without the secrets of the request.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.redactor.redact(text)
    }

    /// An error without an answer.
    pub fn error(&self, kind: ErrorKind, message: impl AsRef<str>) -> Error {
        Error::new(kind, self.redact(message.as_ref())).with_context(ErrorContext {
            provider: Some(self.provider.to_owned()),
            model: Some(self.model.clone()),
            ..ErrorContext::default()
        })
    }

    /// An error of something that knows neither provider nor model, with both and without secrets.
    pub fn placed(&self, error: Error) -> Error {
        let error = error.map_message(|message| self.redact(message).into_owned());
        error.map_context(|context| {
            context.provider = Some(self.provider.to_owned());
            context.model = Some(self.model.clone());
        })
    }

    /// An error about an answer that came.
    pub fn error_with_answer(
        &self,
        kind: ErrorKind,
        message: impl AsRef<str>,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Error {
        self.error(kind, message).map_context(|context| {
            context.status = Some(status.as_u16());
            context.request_id = request_id(headers);
            context.retry_after = retry::retry_after(headers);
            context.headers = self.shown_headers(headers);
            context.body = Some(self.shown_body(body));
        })
    }

    /// The error that an answer with an error status means.
    pub fn status_error(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
        let mut parsed = ErrorBody::parse(body);
        parsed.error_type = parsed.error_type.or_else(|| type_in_header(headers));
        let kind = parsed.kind(Some(status.as_u16()));
        let said = parsed.message.as_ref().map_or_else(
            || {
                if body.is_empty() {
                    "the body is empty".to_owned()
                } else {
                    format!(
                        "the body is no error object, it begins with {}",
                        snippet(body)
                    )
                }
            },
            Clone::clone,
        );
        let message = format!("{} answered {status}: {said}", self.peer());
        self.error_with_answer(kind, message, status, headers, body)
            .map_context(|context| self.fill(context, parsed))
    }

    /// The error that an error object inside a good answer (or a stream) means.
    pub fn embedded_error(
        &self,
        place: &str,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Error {
        let parsed = ErrorBody::parse(body);
        let kind = parsed.kind(None);
        let said = parsed.message.clone().unwrap_or_else(|| snippet(body));
        let message = format!("{} reported an error {place}: {said}", self.peer());
        self.error_with_answer(kind, message, status, headers, body)
            .map_context(|context| self.fill(context, parsed))
    }

    fn fill(&self, context: &mut ErrorContext, parsed: ErrorBody) {
        let shown = |text: Option<String>| text.map(|text| self.redact(&text).into_owned());
        context.code = shown(parsed.code);
        context.param = shown(parsed.param);
        context.error_type = shown(parsed.error_type);
    }

    fn shown_headers(&self, headers: &HeaderMap) -> Vec<(String, String)> {
        headers
            .iter()
            .filter(|(name, _)| *name != http::header::SET_COOKIE)
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes());
                (name.as_str().to_owned(), self.redact(&value).into_owned())
            })
            .collect()
    }

    fn shown_body(&self, body: &[u8]) -> String {
        // Redact before the cut: a secret across it would survive in half.
        let text = String::from_utf8_lossy(body);
        let mut text = self.redact(&text).into_owned();
        text.truncate(text.floor_char_boundary(MAX_BODY_BYTES));
        text
    }
}

/// The provider's id of the request.
pub fn request_id(headers: &HeaderMap) -> Option<String> {
    ["x-request-id", "request-id", "x-amzn-requestid"]
        .iter()
        .find_map(|name| headers.get(*name))
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
}

/// The type of an error of AWS, which stands in a header: `ThrottlingException:http://…`.
fn type_in_header(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("x-amzn-errortype")?.to_str().ok()?;
    value.split(':').next().map(str::to_owned)
}

/// The beginning of a body, quoted, for a sentence.
pub fn snippet(body: &[u8]) -> String {
    let start = &body[..body.len().min(4 * MAX_SNIPPET_CHARS)];
    let text = String::from_utf8_lossy(start);
    let cut: String = text.trim().chars().take(MAX_SNIPPET_CHARS).collect();
    format!("{cut:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::provider::Settings;

    fn site() -> FailureSite {
        let model = ModelId::resolve("openai/gpt-4o", None, None).unwrap();
        let settings = Settings {
            api_key: Some("sk-secret-1".to_owned()),
            api_base: Some("https://host.example/path-key/v1".to_owned()),
            ..Settings::default()
        };
        let endpoint = Endpoint::resolve(&model, &settings, &|_| None).unwrap();
        FailureSite::new(&model, &endpoint)
    }

    #[test]
    fn an_error_carries_what_the_answer_said_and_no_secret() {
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", "req_1".parse().unwrap());
        headers.insert("retry-after", "7".parse().unwrap());
        headers.insert("x-echo", "sk-secret-1".parse().unwrap());
        headers.insert("set-cookie", "session=1".parse().unwrap());
        let body = br#"{"error":{"message":"bad key sk-secret-1","type":"t","param":"p","code":"sk-secret-1"}}"#;
        let error = site().status_error(StatusCode::UNAUTHORIZED, &headers, body);
        assert_eq!(error.kind(), ErrorKind::Authentication);
        let context = error.context();
        assert_eq!(context.provider.as_deref(), Some("openai"));
        assert_eq!(context.model.as_deref(), Some("openai/gpt-4o"));
        assert_eq!(context.status, Some(401));
        assert_eq!(context.request_id.as_deref(), Some("req_1"));
        assert_eq!(context.retry_after, Some(std::time::Duration::from_secs(7)));
        assert_eq!(
            (context.param.as_deref(), context.error_type.as_deref()),
            (Some("p"), Some("t"))
        );
        let everything = format!("{error} {context:?}");
        assert!(everything.contains("[redacted]"), "{everything}");
        for secret in ["sk-secret-1", "path-key", "session=1"] {
            assert!(!everything.contains(secret), "{everything}");
        }
    }

    #[test]
    fn a_body_is_cut_to_its_bound_on_a_character() {
        let body = "é".repeat(MAX_BODY_BYTES);
        let error =
            site().status_error(StatusCode::BAD_GATEWAY, &HeaderMap::new(), body.as_bytes());
        assert_eq!(error.context().body.as_ref().unwrap().len(), MAX_BODY_BYTES);
        assert!(error.message().len() < 1000, "{error}");
    }

    #[test]
    fn an_empty_body_is_said_to_be_empty() {
        let error = site().status_error(StatusCode::NOT_FOUND, &HeaderMap::new(), b"");
        assert_eq!(
            error.message(),
            "openai at https://host.example answered 404 Not Found: the body is empty"
        );
    }
}
