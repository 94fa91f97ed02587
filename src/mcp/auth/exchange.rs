//! The requests that authorization makes itself: metadata, registration, tokens. Every answer is
//! small and soon there, or it is none.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::Request;
use reqwest::redirect::Policy;
use url::Url;

use super::discovery::{origin, refused};
use super::document::Document;
use super::near::{Guard, Guarded};
use crate::error::{Error, ErrorKind, Result};
use crate::mcp::transport::http::{HttpSettings, client_config, root_cause};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many redirects one request follows.
const MAXIMUM_REDIRECTS: usize = 5;
/// How large it may be.
const LIMIT: usize = 1 << 20;
/// How much of a refusal is shown.
const SHOWN: usize = 200;
/// What is shorter is no secret, and may be a part of any sentence.
const SHORTEST_SECRET: usize = 6;

/// An answer, whatever its status.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    /// The JSON object that it is.
    pub(super) fn document(&self) -> Option<Document> {
        Document::parse(&self.body)
    }

    /// The error code of OAuth.
    pub(super) fn error_code(&self) -> Option<String> {
        Some(self.document()?.text("error")?.to_owned())
    }

    /// Whether the server is at fault, or busy, so that the answer says nothing.
    pub(super) fn is_server_failure(&self) -> bool {
        self.status.is_server_error() || self.status == StatusCode::TOO_MANY_REQUESTS
    }

    /// What was said instead of what was asked for, without `secrets`.
    pub(super) fn complaint(&self, secrets: &[&str]) -> String {
        let said = match self.document() {
            Some(document) if document.has("error") => {
                let error = document.text("error").unwrap_or_default();
                match document.text("error_description") {
                    Some(description) => format!("{error} ({description})"),
                    None => error.to_owned(),
                }
            }
            // Anything else may hold what is nobody's business: tokens, or what another server said.
            Some(_) => String::new(),
            None => "its answer is no JSON object".to_owned(),
        };
        let said = sentence(&without(&said, secrets));
        if said.is_empty() {
            format!("status {}", self.status)
        } else {
            format!("status {}: {said}", self.status)
        }
    }
}

/// What a server said, short, on one line.
pub(super) fn sentence(text: &str) -> String {
    text.chars()
        .map(|one| if is_shown(one) { one } else { ' ' })
        .take(SHOWN)
        .collect()
}

/// Whether a character leaves a terminal and the order of the text as they are.
fn is_shown(character: char) -> bool {
    !character.is_control()
        && !matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text in which the secrets are not shown.
fn without(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets {
        if secret.len() >= SHORTEST_SECRET {
            text = text.replace(secret, "…");
        }
    }
    text
}

/// Makes the requests, with the certificates and proxies of the first connection that asks.
pub(super) struct Exchange {
    guard: Arc<Guard>,
    settings: OnceLock<HttpSettings>,
    client: OnceLock<reqwest::Client>,
}

impl Exchange {
    pub(super) fn new(guard: Arc<Guard>) -> Self {
        Self {
            guard,
            settings: OnceLock::new(),
            client: OnceLock::new(),
        }
    }

    /// The settings that are used; those of the first call stay.
    pub(super) fn attach(&self, settings: &HttpSettings) {
        if self.settings.get().is_none() {
            let mut settings = settings.clone();
            // Else the authorizer would hold itself.
            settings.authorizer = None;
            settings.headers.clear();
            // Another thread was faster: its connection is as good.
            let _ = self.settings.set(settings);
        }
    }

    fn client(&self) -> Result<&reqwest::Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let settings = HttpSettings::new("");
        let settings = self.settings.get().unwrap_or(&settings);
        let built = build(settings, Arc::clone(&self.guard))?;
        Ok(self.client.get_or_init(|| built))
    }

    pub(super) async fn get(&self, url: &Url) -> Result<Answer> {
        self.send(Request::new(Method::GET, url.clone())).await
    }

    pub(super) async fn post_json(&self, url: &Url, body: &Document) -> Result<Answer> {
        let mut request = Request::new(Method::POST, url.clone());
        let kind = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, kind);
        *request.body_mut() = Some(body.to_text().into());
        self.send(request).await
    }

    /// `authorization` and `proof` are headers.
    pub(super) async fn post_form(
        &self,
        url: &Url,
        form: &[(&str, String)],
        authorization: Option<&str>,
        proof: Option<&str>,
    ) -> Result<Answer> {
        let mut request = Request::new(Method::POST, url.clone());
        let headers = request.headers_mut();
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, kind);
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, secret_value(authorization)?);
        }
        if let Some(proof) = proof {
            headers.insert("dpop", secret_value(proof)?);
        }
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        *request.body_mut() = Some(body.into());
        self.send(request).await
    }

    async fn send(&self, mut request: Request) -> Result<Answer> {
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(ACCEPT, json);
        let client = self.client()?;
        self.guard.note(request.url());
        let place = origin(request.url());
        let exchange = async {
            let mut answer = client
                .execute(request)
                .await
                .map_err(|cause| format!("{place} cannot be reached: {}", root_cause(&cause)))?;
            let mut body = BytesMut::new();
            while let Some(piece) = answer.chunk().await.map_err(|cause| {
                format!("the connection to {place} broke: {}", root_cause(&cause))
            })? {
                body.extend_from_slice(&piece);
                if body.len() > LIMIT {
                    return Err(format!(
                        "the answer of {place} has more than the {LIMIT} bytes that are read"
                    ));
                }
            }
            Ok(Answer {
                status: answer.status(),
                headers: std::mem::take(answer.headers_mut()),
                body: body.freeze(),
            })
        };
        tokio::time::timeout(PATIENCE, exchange)
            .await
            .unwrap_or_else(|_| {
                let limit = PATIENCE.as_secs();
                Err(format!("{place} did not answer within {limit} s"))
            })
            .map_err(|why| refused(format!("authorization failed: {why}")))
    }
}

/// A client that keeps no socket: nothing here outlives a session. It follows redirects to the same
/// origin alone, so that credentials go nowhere else.
fn build(settings: &HttpSettings, guard: Arc<Guard>) -> Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("toolbridge/", env!("CARGO_PKG_VERSION")))
        .tcp_nodelay(true)
        .pool_max_idle_per_host(0)
        .dns_resolver(Guarded(guard))
        .tls_backend_preconfigured(client_config(
            &settings.trust,
            settings.identity.as_deref(),
        )?)
        .redirect(Policy::custom(|attempt| {
            let first = attempt.previous().first();
            let is_same = first.is_some_and(|first| first.origin() == attempt.url().origin());
            if is_same && attempt.previous().len() <= MAXIMUM_REDIRECTS {
                attempt.follow()
            } else {
                attempt.stop()
            }
        }));
    let unusable = |cause: reqwest::Error| {
        let root = root_cause(&cause);
        let message = format!("the HTTP client of authorization cannot be set up: {root}");
        Error::new(ErrorKind::Configuration, message)
    };
    if let Some(proxy) = &settings.proxy {
        builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(unusable)?);
    }
    builder.build().map_err(unusable)
}

/// A header value that is not shown.
pub(super) fn secret_value(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::try_from(text).map_err(|_| {
        Error::new(
            ErrorKind::OAuthToken,
            "the credentials hold characters that no header takes",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_shows_sentences_and_no_secrets() {
        let answer = |body: &'static str| Answer {
            status: StatusCode::BAD_REQUEST,
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
        };
        let secrets = ["hidden-1", "x"];
        let oauth = answer(r#"{"error":"invalid_grant","error_description":"code hidden-1 used"}"#);
        assert_eq!(
            oauth.complaint(&secrets),
            "status 400 Bad Request: invalid_grant (code … used)"
        );
        assert_eq!(oauth.error_code().as_deref(), Some("invalid_grant"));
        let tokens = answer(r#"{"access_token":"other"}"#);
        assert_eq!(tokens.complaint(&secrets), "status 400 Bad Request");
        let page = answer("<html>\n <b>no hidden-1</b>");
        assert_eq!(
            page.complaint(&secrets),
            "status 400 Bad Request: its answer is no JSON object"
        );
        let odd = answer("{\"error\":\"a\\u001b[2J\",\"error_description\":\"b\\u202ec\\nd\"}");
        assert_eq!(
            odd.complaint(&secrets),
            "status 400 Bad Request: a [2J (b c d)"
        );
        let sentence = format!(
            r#"{{"error":"a","error_description":"{}"}}"#,
            "é".repeat(9_999)
        );
        let long = Answer {
            body: sentence.into(),
            ..answer("")
        };
        assert!(long.complaint(&secrets).chars().count() < 300);
    }
}
