//! HTTP under both HTTP transports: the settings, the pooled client, what a refusal says. URLs are
//! shown as their origin alone, headers never.

mod body;
mod dial;
mod settings;
mod tls;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, PROXY_AUTHORIZATION, RETRY_AFTER, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Url;

use self::body::chunk;
use self::settings::{endpoint, take_credentials, uri};
use crate::error::{Error, ErrorKind, Loss, Result};
use crate::mcp::auth::{Authorizer, Refusal, Rounds};
use crate::mcp::wire::Undelivered;

pub(super) use self::body::{EventBody, StreamEnd, media_type};
pub use self::settings::HttpSettings;
pub use self::tls::Trust;
pub(in crate::mcp) use self::tls::client_config;

/// How many redirects one request follows.
const MAXIMUM_REDIRECTS: usize = 5;
/// How many requests of one connection wait for their answers at once; the others wait to be sent.
/// Over HTTP/1 each takes a socket here and at the server.
const MAXIMUM_UNDER_WAY: usize = 256;
/// How much of a refusal is read, and how much of it is shown.
const REFUSAL_BYTES: usize = 64 << 10;
const SNIPPET_CHARACTERS: usize = 500;
/// How long the body of a refusal is waited for.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(5);
/// How long the rest of an answer that says nothing may take.
const DRAIN_PATIENCE: Duration = Duration::from_secs(1);

const OURSELVES: &str = concat!("toolbridge/", env!("CARGO_PKG_VERSION"));

pub(super) const JSON: &str = "application/json";
pub(super) const EVENT_STREAM: &str = "text/event-stream";

/// A place among the requests that are under way, for as long as it is held.
pub(super) type Turn<'a> = Option<SemaphorePermit<'a>>;

/// A request; its body is at hand, so it can be sent again.
#[derive(Clone)]
pub(super) struct Request {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
}

impl Request {
    pub(super) fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }
}

/// An answer, of which the body is still to come.
pub(super) type Response = http::Response<Incoming>;

type Client = legacy::Client<dial::Dialer, Full<Bytes>>;

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

/// How often the credentials of a connection became others; shared by whoever asks.
#[derive(Debug, Clone, Default)]
pub struct CredentialChanges(Arc<AtomicU64>);

impl CredentialChanges {
    /// How often, so far. The first credentials are no change.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// The client of one connection.
pub(super) struct HttpClient {
    /// None once the connection was closed, so that no idle socket outlives it.
    client: Mutex<Option<Client>>,
    pub(super) url: Url,
    headers: HeaderMap,
    authorizer: Option<Arc<dyn Authorizer>>,
    /// The credentials of the last request that had any.
    credentials: Mutex<Option<HeaderValue>>,
    pub(super) credential_changes: CredentialChanges,
    places: Semaphore,
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
        let (mut url, unix_socket) = endpoint(settings)?;
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
        if let Some(credentials) = take_credentials(&mut url)
            && !headers.contains_key(AUTHORIZATION)
        {
            headers.insert(AUTHORIZATION, credentials);
        }
        if !headers.contains_key(USER_AGENT) {
            headers.insert(USER_AGENT, HeaderValue::from_static(OURSELVES));
        }
        let to = uri(&url)?;
        let origin = unix_socket.as_ref().map_or_else(
            || url.origin().ascii_serialization(),
            |path| format!("unix:{}", path.display()),
        );
        if let Some(authorizer) = &settings.authorizer {
            authorizer.attach(settings);
        }
        let dialer = dial::Dialer::new(settings, &to, unix_socket)?;
        if let Some(credentials) = dialer.proxy_authorization() {
            headers.insert(PROXY_AUTHORIZATION, credentials);
        }
        let client = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .build(dialer);
        Ok(Self {
            client: Mutex::new(Some(client)),
            origin,
            url,
            headers,
            authorizer: settings.authorizer.clone(),
            credentials: Mutex::default(),
            credential_changes: CredentialChanges::default(),
            places: Semaphore::new(MAXIMUM_UNDER_WAY),
            timeout: settings.timeout,
            read_timeout: settings.read_timeout,
            limit: settings.maximum_message_bytes,
        })
    }

    fn client(&self) -> MutexGuard<'_, Option<Client>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the sockets that are idle; those in use close with their exchanges.
    pub(super) fn close(&self) {
        *self.client() = None;
    }

    /// A place among the requests that are under way. Answers and notifications need none: what
    /// is under way may wait for them.
    pub(super) async fn turn(&self) -> Turn<'_> {
        // Nobody closes it.
        self.places.acquire().await.ok()
    }

    /// A request with the headers of the settings; `accept` replaces theirs.
    pub(super) fn request(&self, method: Method, url: &Url, accept: &'static str) -> Request {
        let mut headers = self.headers.clone();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        Request {
            method,
            url: url.clone(),
            headers,
            body: Bytes::new(),
        }
    }

    /// A POST of one message.
    pub(super) fn message(&self, url: &Url, text: Bytes, accept: &'static str) -> Request {
        let mut request = self.request(Method::POST, url, accept);
        request
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        request.body = text;
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
        client: &Client,
        request: Request,
        what: &str,
        limit: Option<Duration>,
    ) -> Result<Response, Undelivered> {
        within(limit, self.follow_redirects(client, request))
            .await
            .ok_or_else(|| self.silent(what, limit))?
            .map_err(|cause| self.unreachable(what, &cause, cause.is_connect()))
    }

    fn note(&self, credentials: &HeaderMap) {
        let Some(now) = credentials.get(AUTHORIZATION) else {
            return;
        };
        let last = self.credentials.lock();
        let before = last
            .unwrap_or_else(PoisonError::into_inner)
            .replace(now.clone());
        if before.is_some_and(|before| before != now) {
            self.credential_changes.0.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Sends a request with credentials, again for as long as a refusal leads to better ones.
    async fn send_authorized(
        &self,
        client: &Client,
        authorizer: &dyn Authorizer,
        request: Request,
        what: &str,
        limit: Option<Duration>,
    ) -> Result<Response, Undelivered> {
        let mut rounds = Rounds::default();
        loop {
            let mut attempt = request.clone();
            let credentials = within(limit, authorizer.headers(&request.method, &request.url))
                .await
                .ok_or_else(|| Undelivered {
                    // The request itself never left, and the server is not to blame.
                    loss: None,
                    ..self.silent(what, limit)
                })?
                .map_err(|failure| Undelivered::of(&failure, None))?;
            self.note(&credentials);
            attempt.headers_mut().extend(credentials.clone());
            let answer = self.exchange(client, attempt, what, limit).await?;
            authorizer.heard(&request.url, answer.headers());
            let status = answer.status();
            if status.is_success() {
                return Ok(answer);
            }
            if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                let refusal = Refusal {
                    method: &request.method,
                    url: &request.url,
                    sent: &request.headers,
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

    /// Messages and credentials go where the caller sent them and nowhere else, and stay what they
    /// are: redirects to other origins, and those that would turn a POST into a GET, end here.
    async fn follow_redirects(
        &self,
        client: &Client,
        request: Request,
    ) -> Result<Response, legacy::Error> {
        let Request {
            method,
            mut url,
            headers,
            body,
        } = request;
        let mut redirects = 0;
        loop {
            let mut sent = http::Request::new(Full::new(body.clone()));
            *sent.method_mut() = method.clone();
            // Only URLs that can be requested get here: see `HttpClient::new` and below.
            *sent.uri_mut() = uri(&url).unwrap_or_default();
            *sent.headers_mut() = headers.clone();
            let answer = client.request(sent).await?;
            let keeps_method = matches!(
                answer.status(),
                StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
            );
            let next = location(&answer, &url)
                .filter(|next| keeps_method && next.origin() == url.origin() && uri(next).is_ok());
            match next {
                Some(next) if redirects < MAXIMUM_REDIRECTS => url = next,
                _ => return Ok(answer),
            }
            redirects += 1;
        }
    }

    /// The error of an answer that did not come in time.
    pub(super) fn silent(&self, what: &str, limit: Option<Duration>) -> Undelivered {
        let message = format!(
            "the MCP server at {} sent nothing for {} s, so {what} has no answer; give it more time \
             with the timeouts of the transport",
            self.origin,
            limit.unwrap_or_default().as_secs_f64()
        );
        Undelivered::lost(Loss::Silent, message)
    }

    fn unreachable(
        &self,
        what: &str,
        cause: &dyn std::error::Error,
        is_connect: bool,
    ) -> Undelivered {
        let root = root_cause(cause);
        let origin = &self.origin;
        if is_connect {
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
        let redirected = location(&answer, &self.url)
            .filter(|_| status.is_redirection())
            .map(|location| location.origin().ascii_serialization());
        let patience = answer
            .headers()
            .get(RETRY_AFTER)
            .and_then(|wanted| wanted.to_str().ok())
            .map(|wanted| format!("; it wants to be asked again after {}", snippet(wanted)));
        let mut body = BytesMut::new();
        let reading = async {
            while let Ok(Some(piece)) = chunk(&mut answer).await {
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
            _ => redirected
                .map(|to| {
                    format!("; a redirect to {to} is not followed: give the URL that it leads to")
                })
                .or(patience)
                .unwrap_or_default(),
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
            let piece = within(self.read_timeout, chunk(&mut answer))
                .await
                .ok_or_else(|| self.silent(what, self.read_timeout))?
                .map_err(|cause| self.unreachable(what, &cause, false))?;
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
                        .body()
                        .size_hint()
                        .exact()
                        .map(|rest| rest.saturating_add(length as u64))
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

/// Where an answer sends the client.
fn location(answer: &Response, base: &Url) -> Option<Url> {
    let location = answer.headers().get(LOCATION)?.to_str().ok()?;
    base.join(location).ok()
}

pub(in crate::mcp) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// The beginning of a text, on one line.
pub(in crate::mcp) fn snippet(text: &str) -> String {
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
