//! HTTP under both HTTP transports: the settings, the pooled client, what a refusal says. URLs are
//! shown as their origin alone, headers never.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Request, Response};
use url::Url;

use super::event_stream::{Event, EventParser};
use crate::error::{Error, ErrorKind, Loss, Result};
use crate::mcp::auth::{Authorizer, Refusal, Rounds};
use crate::mcp::config::StdioServerParameters;
use crate::mcp::wire::Undelivered;

/// How many redirects one request follows.
const MAXIMUM_REDIRECTS: usize = 5;
/// How much of a refusal is read, and how much of it is shown.
const REFUSAL_BYTES: usize = 64 << 10;
const SNIPPET_CHARACTERS: usize = 500;
/// How long the body of a refusal is waited for.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(5);
/// How long the rest of an answer that says nothing may take.
const DRAIN_PATIENCE: Duration = Duration::from_secs(1);

pub(super) const JSON: &str = "application/json";
pub(super) const EVENT_STREAM: &str = "text/event-stream";

/// Whose certificates are accepted.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Those that the system trusts.
    System,
    /// Anybody's.
    Anybody,
    /// Those that a file of PEM certificates vouches for.
    Bundle(PathBuf),
    /// Those that these DER certificates vouch for.
    Certificates(Vec<Vec<u8>>),
}

/// How an HTTP server is reached.
#[derive(Clone)]
pub struct HttpSettings {
    /// The endpoint.
    pub url: String,
    /// Sent with every request.
    pub headers: Vec<(String, String)>,
    /// How long a connection, and the delivery of a notification, may take.
    pub timeout: Option<Duration>,
    /// How long an answer or a stream may be silent.
    pub read_timeout: Option<Duration>,
    /// The largest message that is read, in bytes.
    pub maximum_message_bytes: usize,
    /// Whose certificates are accepted.
    pub trust: Trust,
    /// A file with a client certificate and its key, both PEM.
    pub identity: Option<PathBuf>,
    /// Who gives the requests their credentials, if the headers are not all.
    pub authorizer: Option<Arc<dyn Authorizer>>,
}

impl HttpSettings {
    /// Nothing but a URL: 30 s to connect, 300 s of silence, the certificates of the system.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            headers: Vec::new(),
            timeout: Some(Duration::from_secs(30)),
            read_timeout: Some(Duration::from_mins(5)),
            maximum_message_bytes: StdioServerParameters::DEFAULT_MAXIMUM_MESSAGE_BYTES,
            trust: Trust::System,
            identity: None,
            authorizer: None,
        }
    }
}

impl std::fmt::Debug for HttpSettings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL and the headers carry keys.
        formatter
            .debug_struct("HttpSettings")
            .field("headers", &self.headers.len())
            .field("timeout", &self.timeout)
            .field("read_timeout", &self.read_timeout)
            .field("authorizer", &self.authorizer)
            .finish_non_exhaustive()
    }
}

/// The id that a server gave the session, once it did; shared by whoever asks for it.
#[derive(Debug, Clone, Default)]
pub struct SessionId(Arc<Mutex<Option<String>>>);

impl SessionId {
    /// The id, if there is one.
    pub fn get(&self) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set(&self, id: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(id);
    }
}

/// The client of one connection.
pub(super) struct HttpClient {
    /// None once the connection was closed, so that no idle socket outlives it.
    client: Mutex<Option<reqwest::Client>>,
    pub(super) url: Url,
    headers: HeaderMap,
    authorizer: Option<Arc<dyn Authorizer>>,
    /// What errors call the server.
    pub(super) origin: String,
    pub(super) timeout: Option<Duration>,
    pub(super) read_timeout: Option<Duration>,
    pub(super) limit: usize,
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("HttpClient")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

fn configuration(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Configuration, message)
}

impl HttpClient {
    pub(super) fn new(settings: &HttpSettings) -> Result<Self> {
        let url = Url::parse(&settings.url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| {
                configuration("url is not an absolute http or https URL; give one such as https://example.com/mcp")
            })?;
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let key = HeaderName::try_from(name)
                .map_err(|_| configuration(format!("headers: {name:?} is no name of a header")))?;
            let mut text = HeaderValue::try_from(value).map_err(|_| {
                configuration(format!(
                    "headers: the value of {name} holds characters that no header takes"
                ))
            })?;
            text.set_sensitive(true);
            headers.append(key, text);
        }
        let client = build_client(settings, &url)?;
        // reqwest turns credentials in the URL into the header that they stand for.
        let probe = client.get(url).build().map_err(|cause| {
            configuration("url cannot be requested").with_source(cause.without_url())
        })?;
        if let Some(credentials) = probe.headers().get(AUTHORIZATION)
            && !headers.contains_key(AUTHORIZATION)
        {
            headers.insert(AUTHORIZATION, credentials.clone());
        }
        let url = probe.url().clone();
        Ok(Self {
            client: Mutex::new(Some(client)),
            origin: url.origin().ascii_serialization(),
            url,
            headers,
            authorizer: settings.authorizer.clone(),
            timeout: settings.timeout,
            read_timeout: settings.read_timeout,
            limit: settings.maximum_message_bytes,
        })
    }

    fn client(&self) -> MutexGuard<'_, Option<reqwest::Client>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the sockets that are idle; those in use close with their exchanges.
    pub(super) fn close(&self) {
        *self.client() = None;
    }

    /// A request with the headers of the settings; `accept` replaces theirs.
    pub(super) fn request(&self, method: Method, url: &Url, accept: &'static str) -> Request {
        let mut request = Request::new(method, url.clone());
        *request.headers_mut() = self.headers.clone();
        request
            .headers_mut()
            .insert(ACCEPT, HeaderValue::from_static(accept));
        request
    }

    /// A POST of one message.
    pub(super) fn message(&self, url: &Url, text: Bytes, accept: &'static str) -> Request {
        let mut request = self.request(Method::POST, url, accept);
        request
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        *request.body_mut() = Some(text.into());
        request
    }

    /// Sends a request and gives the answer if its status is one of success.
    pub(super) async fn send(
        &self,
        request: Request,
        what: &str,
        limit: Option<Duration>,
    ) -> Result<Response, Undelivered> {
        let client = self.client().clone();
        let Some(client) = client else {
            return Err(Undelivered::new(format!(
                "the connection to the MCP server at {} was closed, so {what} was not sent",
                self.origin
            )));
        };
        let Some(authorizer) = self.authorizer.clone() else {
            let answer = self.exchange(&client, request, what, limit).await?;
            return if answer.status().is_success() {
                Ok(answer)
            } else {
                Err(self.refusal(answer, what).await)
            };
        };
        self.send_authorized(&client, &*authorizer, request, what, limit)
            .await
    }

    async fn exchange(
        &self,
        client: &reqwest::Client,
        request: Request,
        what: &str,
        limit: Option<Duration>,
    ) -> Result<Response, Undelivered> {
        within(limit, client.execute(request))
            .await
            .ok_or_else(|| self.silent(what, limit))?
            .map_err(|cause| self.unreachable(what, &cause))
    }

    /// Sends a request with credentials, again for as long as a refusal leads to better ones.
    async fn send_authorized(
        &self,
        client: &reqwest::Client,
        authorizer: &dyn Authorizer,
        request: Request,
        what: &str,
        limit: Option<Duration>,
    ) -> Result<Response, Undelivered> {
        let mut rounds = Rounds::default();
        loop {
            let Some(mut attempt) = request.try_clone() else {
                let message = format!("{what} cannot be sent twice, as authorization may ask for");
                return Err(Undelivered::new(message));
            };
            let credentials = within(limit, authorizer.headers(request.method(), request.url()))
                .await
                .ok_or_else(|| self.silent(what, limit))?
                .map_err(|failure| Undelivered::of(&failure, None))?;
            attempt.headers_mut().extend(credentials.clone());
            let answer = self.exchange(client, attempt, what, limit).await?;
            authorizer.heard(request.url(), answer.headers());
            let status = answer.status();
            if status.is_success() {
                return Ok(answer);
            }
            if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                let refusal = Refusal {
                    method: request.method(),
                    url: request.url(),
                    sent: request.headers(),
                    credentials: &credentials,
                    status,
                    headers: answer.headers(),
                };
                let is_better = authorizer
                    .refused(refusal, &mut rounds)
                    .await
                    .map_err(|failure| Undelivered::of(&failure, Some(status.as_u16())))?;
                if is_better {
                    self.drain(answer, what).await;
                    continue;
                }
            }
            return Err(self.refusal(answer, what).await.without(&credentials));
        }
    }

    /// The error of an answer that did not come in time.
    pub(super) fn silent(&self, what: &str, limit: Option<Duration>) -> Undelivered {
        Undelivered::new(format!(
            "the MCP server at {} sent nothing for {} s, so {what} has no answer; give it more time \
             with the timeouts of the transport",
            self.origin,
            limit.unwrap_or_default().as_secs_f64()
        ))
    }

    pub(super) fn unreachable(&self, what: &str, cause: &reqwest::Error) -> Undelivered {
        let root = root_cause(cause);
        let origin = &self.origin;
        if cause.is_connect() {
            let message =
                format!("cannot connect to the MCP server at {origin} for {what}: {root}");
            return Undelivered::lost(Loss::Unsent, message);
        }
        let message =
            format!("the connection to the MCP server at {origin} broke during {what}: {root}");
        Undelivered::lost(Loss::Broken, message)
    }

    async fn refusal(&self, mut answer: Response, what: &str) -> Undelivered {
        let status = answer.status();
        let redirected = answer
            .headers()
            .get(LOCATION)
            .and_then(|location| self.url.join(location.to_str().ok()?).ok())
            .filter(|_| status.is_redirection())
            .map(|location| location.origin().ascii_serialization());
        let mut body = BytesMut::new();
        let reading = async {
            while let Ok(Some(piece)) = answer.chunk().await {
                body.extend_from_slice(&piece);
                if body.len() > REFUSAL_BYTES {
                    break;
                }
            }
        };
        // Whatever came in time is shown.
        let _ = tokio::time::timeout(REFUSAL_PATIENCE, reading).await;
        let body = String::from_utf8_lossy(&body).into_owned();
        let hint = match status {
            StatusCode::UNAUTHORIZED => {
                "; it wants credentials: give them with headers or auth".to_owned()
            }
            StatusCode::FORBIDDEN => "; the credentials do not allow it".to_owned(),
            _ => redirected.map_or_else(String::new, |to| {
                format!("; a redirect to {to} is not followed: give the URL that it leads to")
            }),
        };
        let said = match snippet(&body) {
            text if text.is_empty() => String::new(),
            text => format!(": {text}"),
        };
        Undelivered {
            message: format!(
                "the MCP server at {} refused {what} with status {status}{hint}{said}",
                self.origin
            ),
            status: Some(status.as_u16()),
            body: Some(body),
            kind: None,
            loss: None,
        }
    }

    /// Reads what nobody asked for to its end, so that the connection can be used again.
    pub(super) async fn drain(&self, answer: Response, what: &str) {
        // One that does not end soon is dropped, and its connection with it.
        let _ = within(Some(DRAIN_PATIENCE), self.body(answer, what)).await;
    }

    /// The whole body of an answer.
    pub(super) async fn body(
        &self,
        mut answer: Response,
        what: &str,
    ) -> Result<Bytes, Undelivered> {
        let mut first = Bytes::new();
        let mut joined = BytesMut::new();
        loop {
            let piece = within(self.read_timeout, answer.chunk())
                .await
                .ok_or_else(|| self.silent(what, self.read_timeout))?
                .map_err(|cause| self.unreachable(what, &cause))?;
            let Some(piece) = piece else { break };
            let length = first.len() + joined.len() + piece.len();
            if length > self.limit {
                return Err(Undelivered::new(format!(
                    "the answer to {what} was dropped: it has {length} bytes or more, more than \
                     the {} that are accepted; raise maximum_message_bytes of the transport",
                    self.limit
                )));
            }
            if first.is_empty() && joined.is_empty() {
                first = piece;
            } else {
                if joined.is_empty() {
                    let expected = answer
                        .content_length()
                        .and_then(|all| usize::try_from(all).ok());
                    joined.reserve(expected.unwrap_or(0).clamp(length, self.limit));
                    joined.extend_from_slice(&std::mem::take(&mut first));
                }
                joined.extend_from_slice(&piece);
            }
        }
        Ok(if joined.is_empty() {
            first
        } else {
            joined.freeze()
        })
    }
}

fn build_client(settings: &HttpSettings, url: &Url) -> Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("toolbridge/", env!("CARGO_PKG_VERSION")))
        .tcp_nodelay(true)
        .redirect(Policy::custom(|attempt| {
            if stays(&attempt) {
                attempt.follow()
            } else {
                attempt.stop()
            }
        }));
    if let Some(limit) = settings.timeout {
        builder = builder.connect_timeout(limit);
    }
    if url.scheme() == "http" {
        // Nothing is checked, so the certificates of the system are not read.
        builder = builder.tls_certs_only([]);
    } else {
        builder = match &settings.trust {
            Trust::System => builder,
            Trust::Anybody => builder.tls_danger_accept_invalid_certs(true),
            Trust::Bundle(path) => builder.tls_certs_only(read_bundle(path)?),
            Trust::Certificates(all) => {
                let certificates: Result<Vec<_>, _> = all
                    .iter()
                    .map(|one| reqwest::Certificate::from_der(one))
                    .collect();
                builder.tls_certs_only(certificates.map_err(|cause| {
                    configuration("verify: a certificate cannot be read").with_source(cause)
                })?)
            }
        };
        if let Some(path) = &settings.identity {
            let shown = path.display();
            let text = std::fs::read(path).map_err(|cause| {
                configuration(format!("cert: {shown} cannot be read")).with_source(cause)
            })?;
            builder = builder.identity(reqwest::Identity::from_pem(&text).map_err(|cause| {
                configuration(format!(
                    "cert: {shown} does not hold a PEM certificate and its key"
                ))
                .with_source(cause)
            })?);
        }
    }
    builder.build().map_err(|cause| {
        let root = root_cause(&cause);
        configuration(format!("the HTTP client cannot be set up: {root}")).with_source(cause)
    })
}

fn read_bundle(path: &std::path::Path) -> Result<Vec<reqwest::Certificate>> {
    let shown = path.display();
    let text = std::fs::read(path).map_err(|cause| {
        configuration(format!(
            "verify: the certificates in {shown} cannot be read"
        ))
        .with_source(cause)
    })?;
    reqwest::Certificate::from_pem_bundle(&text)
        .ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or_else(|| configuration(format!("verify: {shown} holds no PEM certificates")))
}

/// Messages and credentials go where the caller sent them and nowhere else, and stay what they are:
/// other redirects would turn a POST into a GET.
fn stays(attempt: &Attempt<'_>) -> bool {
    let keeps_method = matches!(
        attempt.status(),
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
    );
    let is_same = attempt
        .previous()
        .first()
        .is_some_and(|first| first.origin() == attempt.url().origin());
    keeps_method && is_same && attempt.previous().len() <= MAXIMUM_REDIRECTS
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// The beginning of a text, on one line.
pub(super) fn snippet(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").chars().take(SNIPPET_CHARACTERS).collect()
}

/// None when the time is over.
pub(super) async fn within<T>(limit: Option<Duration>, work: impl Future<Output = T>) -> Option<T> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, work).await.ok(),
        None => Some(work.await),
    }
}

/// The media type of an answer, without its parameters.
pub(super) fn media_type(answer: &Response) -> String {
    let header = answer.headers().get(CONTENT_TYPE);
    let text = header
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let name = text.split(';').next().unwrap_or_default();
    name.trim().to_ascii_lowercase()
}

/// The body of an answer as events.
pub(super) struct EventBody {
    answer: Response,
    pub(super) events: EventParser,
    has_ended: bool,
}

/// Why no event follows.
pub(super) enum StreamEnd {
    /// The server ended the stream.
    Finished,
    /// The connection broke; the sentence says how.
    Broken(String),
    /// The stream was silent for too long.
    Silent,
}

impl EventBody {
    pub(super) fn new(answer: Response, limit: usize) -> Self {
        Self {
            answer,
            events: EventParser::new(limit),
            has_ended: false,
        }
    }

    /// Goes on with the answer that continues a stream.
    pub(super) fn restart(&mut self, answer: Response) {
        self.answer = answer;
        self.events.restart();
        self.has_ended = false;
    }

    pub(super) async fn next_event(&mut self, limit: Option<Duration>) -> Result<Event, StreamEnd> {
        loop {
            if let Some(event) = self.events.next_event() {
                return Ok(event);
            }
            if self.has_ended {
                return Err(StreamEnd::Finished);
            }
            match within(limit, self.answer.chunk()).await {
                None => return Err(StreamEnd::Silent),
                Some(Ok(Some(piece))) => self.events.feed(&piece),
                Some(Ok(None)) => {
                    self.has_ended = true;
                    return self.events.finish().ok_or(StreamEnd::Finished);
                }
                Some(Err(cause)) => return Err(StreamEnd::Broken(root_cause(&cause))),
            }
        }
    }
}
