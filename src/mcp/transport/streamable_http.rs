//! Streamable HTTP (MCP 2025-03-26 to 2025-11-25): each message a POST, answered by JSON or by a
//! stream of events; one GET stream for what the server says unasked. Owns the session id, the
//! revision header, and how a broken stream is taken up again.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use rmcp::model::RequestId;
use rmcp::service::{RoleClient, RxJsonRpcMessage, TxJsonRpcMessage};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::framing::Frame;
use super::http::{
    CredentialChanges, EVENT_STREAM, EventBody, HttpClient, HttpSettings, JSON, Request, Response,
    SessionId, StreamEnd, Turn, media_type, snippet,
};
use super::traffic::{Delivery, Exchange, Heard, Post, PostKind, Said, Traffic, pass_on};
use crate::error::{ErrorKind, Loss, Result};
use crate::mcp::client::Place;
use crate::mcp::connection::Terminate;
use crate::mcp::session::{Ending, Link};
use crate::mcp::wire::{Undelivered, decode, holds_answer};

const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const EITHER: &str = "application/json, text/event-stream";

/// How often in a row a broken stream is taken up again before its call fails.
const MAXIMUM_RESUMPTIONS: u32 = 5;
/// How often in a row the GET stream may fail before it is given up.
const MAXIMUM_LISTEN_FAILURES: u32 = 8;
/// The wait before the first of them, unless the server says otherwise; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The longest first wait that a server may ask for: a call waits as well, and a `retry` of days
/// would look like a session that hangs.
const LONGEST_RETRY: Duration = Duration::from_mins(1);
/// How long a stream may go on after its answer, so that its connection can be used again.
const AFTER_ANSWER: Duration = Duration::from_secs(5);
/// How long the server may take to hear that the session is over.
const FAREWELL_PATIENCE: Duration = Duration::from_secs(5);

/// The server end of one session, shared by its exchanges and by whoever closes it.
#[derive(Debug)]
pub struct Endpoint {
    http: HttpClient,
    session: SessionId,
    /// The revision that was agreed on.
    version: Mutex<Option<HeaderValue>>,
    terminate_on_close: bool,
    /// The server has said that the session is no more.
    is_forgotten: AtomicBool,
    link: Arc<Link>,
    closed: CancellationToken,
    has_ended: tokio::sync::Mutex<bool>,
}

/// A connection over Streamable HTTP: the transport of one session.
#[derive(Debug)]
pub struct StreamableHttpConnection {
    endpoint: Arc<Endpoint>,
    traffic: Traffic,
}

impl StreamableHttpConnection {
    /// Prepares the connection; nothing is sent yet.
    pub fn open(settings: &HttpSettings, terminate_on_close: bool) -> Result<Self> {
        let http = HttpClient::new(settings)?;
        let origin = http.origin.clone();
        let link = Arc::<Link>::default();
        let closed = CancellationToken::new();
        Ok(Self {
            endpoint: Arc::new(Endpoint {
                http,
                session: SessionId::default(),
                version: Mutex::default(),
                terminate_on_close,
                is_forgotten: AtomicBool::new(false),
                link: Arc::clone(&link),
                closed: closed.clone(),
                has_ended: tokio::sync::Mutex::new(false),
            }),
            traffic: Traffic::new(origin, link, closed, settings.maximum_message_bytes),
        })
    }

    /// What the session and whoever closes the connection share.
    pub fn link(&self) -> Arc<Link> {
        Arc::clone(&self.endpoint.link)
    }

    /// The server end, for whoever closes the connection.
    pub fn endpoint(&self) -> Arc<Endpoint> {
        Arc::clone(&self.endpoint)
    }

    /// What is remembered of the server under.
    pub(crate) fn place(&self) -> Place {
        Place::of_url(&self.endpoint.http.url)
    }

    /// The id of the session, once the server gave one.
    pub fn session_id(&self) -> SessionId {
        self.endpoint.session.clone()
    }

    pub(crate) fn credential_changes(&self) -> CredentialChanges {
        self.endpoint.http.credential_changes.clone()
    }

    pub(crate) async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        let endpoint = &self.endpoint;
        let start =
            |post, heard| -> Exchange { Box::pin(Arc::clone(endpoint).exchange(post, heard)) };
        self.traffic.receive(start).await
    }

    pub(crate) fn post(
        &self,
        message: &TxJsonRpcMessage<RoleClient>,
    ) -> io::Result<Option<Delivery>> {
        self.traffic.post(message)
    }
}

impl Terminate for Endpoint {
    fn terminate(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.end())
    }
}

impl Endpoint {
    async fn end(&self) {
        let mut has_ended = self.has_ended.lock().await;
        if std::mem::replace(&mut *has_ended, true) {
            return;
        }
        self.link.end(Ending {
            what: format!(
                "the connection to the MCP server at {} was closed",
                self.http.origin
            ),
            last_lines: String::new(),
        });
        self.closed.cancel();
        let wants_farewell = self.terminate_on_close && !self.is_forgotten.load(Ordering::Relaxed);
        if wants_farewell && self.session.get().is_some() {
            let mut request = self.http.request(Method::DELETE, &self.http.url, EITHER);
            self.identify(request.headers_mut());
            let limit = self
                .http
                .timeout
                .map_or(FAREWELL_PATIENCE, |limit| limit.min(FAREWELL_PATIENCE));
            // A server may refuse to end sessions, with 405; nobody waits for anything else either.
            let _ = self
                .http
                .send(request, "the end of the session", Some(limit))
                .await;
        }
        self.http.close();
    }

    /// The headers that tie a message to the session.
    fn identify(&self, headers: &mut HeaderMap) {
        if let Some(id) = self.session.get()
            && let Ok(id) = HeaderValue::try_from(id)
        {
            headers.insert(SESSION_ID, id);
        }
        let version = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(version) = &*version {
            headers.insert(PROTOCOL_VERSION, version.clone());
        }
    }

    async fn exchange(self: Arc<Self>, post: Post, heard: Heard) {
        let had_session = self.session.get().is_some();
        let Post {
            text,
            headers,
            kind,
            is_stateless,
            delivered,
            ..
        } = post;
        let name = kind.name().to_owned();
        let outcome = match &kind {
            PostKind::Request { id, .. } => {
                let turn = self.http.turn().await;
                let message = self.message(text, headers, is_stateless);
                self.call(id, &name, message, is_stateless, turn, &heard)
                    .await
            }
            _ => {
                self.deliver(&name, self.message(text, headers, false))
                    .await
            }
        };
        let is_forgotten = had_session
            && matches!(&outcome, Err(failure) if failure.status == Some(StatusCode::NOT_FOUND.as_u16()));
        if is_forgotten {
            let what = self.forgotten();
            let loss = outcome.err().and_then(|failure| failure.loss);
            let message = format!("{what}, so {name} has no answer");
            let refused = Undelivered {
                kind: Some(ErrorKind::ConnectionClosed),
                ..Undelivered::lost(loss.unwrap_or(Loss::Forgotten), message)
            };
            match kind {
                PostKind::Request { id, .. } => say(&heard, Said::Failed(id, refused)).await,
                PostKind::Notification { .. } => {
                    // As below.
                    let _ = delivered.send(Err(refused));
                }
                PostKind::Cancellation { .. } | PostKind::Answer => {}
            }
            say(&heard, Said::Ended(what)).await;
            return;
        }
        match kind {
            PostKind::Request { id, .. } => {
                if let Err(failure) = outcome {
                    say(&heard, Said::Failed(id, failure)).await;
                }
            }
            PostKind::Notification { method } => {
                let has_arrived = outcome.is_ok();
                // Whoever sent it may have stopped waiting.
                let _ = delivered.send(outcome);
                say(&heard, Said::Settled).await;
                if has_arrived && method == "notifications/initialized" {
                    self.listen(&heard).await;
                }
            }
            PostKind::Cancellation { .. } | PostKind::Answer => {
                if let Err(failure) = outcome {
                    tracing::warn!(target: "toolbridge::mcp", "{failure}");
                }
            }
        }
    }

    /// The server no longer knows the session: nothing that waits can be answered.
    fn forgotten(&self) -> String {
        self.is_forgotten.store(true, Ordering::Relaxed);
        format!(
            "the MCP server at {} no longer knows this session (status 404): it expired, or the \
             server was started anew; open a new connection",
            self.http.origin
        )
    }

    fn message(&self, text: Bytes, own: HeaderMap, is_stateless: bool) -> Request {
        let mut request = self.http.message(&self.http.url, text, EITHER);
        request.headers_mut().extend(own);
        if !is_stateless {
            self.identify(request.headers_mut());
        }
        request
    }

    async fn deliver(&self, name: &str, message: Request) -> Result<(), Undelivered> {
        let answer = self.http.send(message, name, self.http.timeout).await?;
        self.http.drain(answer, name).await;
        Ok(())
    }

    /// Sends a request and hands on all that is said until it is answered.
    async fn call(
        &self,
        id: &RequestId,
        name: &str,
        message: Request,
        is_stateless: bool,
        turn: Turn<'_>,
        heard: &Heard,
    ) -> Result<(), Undelivered> {
        let is_first = name == "initialize";
        // Without a session, 404 is how a server says that it does not know the method.
        let may_be_forgotten = !is_stateless && self.session.get().is_some();
        let sent = self.http.send(message, name, self.http.read_timeout).await;
        let answer = match sent {
            Ok(answer) => answer,
            Err(failure) if may_be_forgotten && failure.status == Some(404) => return Err(failure),
            Err(failure) => return answer_in_refusal(failure, id, heard).await,
        };
        if is_first
            && let Some(session) = answer.headers().get(&SESSION_ID)
            && let Ok(session) = session.to_str()
        {
            self.session.set(session.to_owned());
        }
        let origin = &self.http.origin;
        match media_type(&answer).as_str() {
            EVENT_STREAM => {
                self.follow(answer, id, name, is_stateless, turn, heard)
                    .await
            }
            JSON => {
                let text = self.http.body(answer, name).await?;
                if is_first {
                    self.agree(&text);
                }
                let beginning = text.slice(..text.len().min(4096));
                if pass_on(Frame::Line(text), Some(id), heard).await {
                    return Ok(());
                }
                Err(Undelivered::new(format!(
                    "the MCP server at {origin} answered {name} with JSON that does not answer it: {}",
                    snippet(&String::from_utf8_lossy(&beginning))
                )))
            }
            _ if answer.status() == StatusCode::ACCEPTED => Err(Undelivered::lost(
                Loss::Broken,
                format!(
                    "the MCP server at {origin} accepted {name} (status 202) but did not answer it"
                ),
            )),
            other => {
                let status = answer.status();
                let body = self.http.body(answer, name).await?;
                let body = String::from_utf8_lossy(&body).into_owned();
                Err(Undelivered {
                    message: format!(
                        "the MCP server at {origin} answered {name} with {}, neither JSON nor \
                         an event stream; is this the URL of an MCP endpoint? {}",
                        if other.is_empty() {
                            "no media type"
                        } else {
                            other
                        },
                        snippet(&body)
                    ),
                    status: Some(status.as_u16()),
                    body: Some(body),
                    loss: None,
                    kind: None,
                })
            }
        }
    }

    /// Remembers the revision that an answer to `initialize` names.
    fn agree(&self, text: &[u8]) {
        #[derive(Deserialize)]
        struct Answer {
            result: Agreed,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Agreed {
            protocol_version: String,
        }
        if let Ok(answer) = serde_json::from_slice::<Answer>(text)
            && let Ok(version) = HeaderValue::try_from(answer.result.protocol_version)
        {
            *self.version.lock().unwrap_or_else(PoisonError::into_inner) = Some(version);
        }
    }

    /// Reads the stream that answers a request, and takes it up again when it breaks.
    async fn follow(
        &self,
        answer: Response,
        id: &RequestId,
        name: &str,
        is_stateless: bool,
        mut turn: Turn<'_>,
        heard: &Heard,
    ) -> Result<(), Undelivered> {
        let mut body = EventBody::new(answer, self.http.limit);
        let mut is_answered = false;
        let mut resumptions = 0;
        let mut resumed_at: Option<String> = None;
        let mut heard_at = Instant::now();
        loop {
            let limit = if is_answered {
                Some(AFTER_ANSWER)
            } else {
                self.http.read_timeout
            };
            match body.next_event(limit).await {
                Ok(event) => {
                    resumptions = 0;
                    heard_at = Instant::now();
                    if name == "initialize"
                        && let Frame::Line(text) = &event.data
                    {
                        self.agree(text);
                    }
                    is_answered |= pass_on(event.data, Some(id), heard).await;
                    if is_answered {
                        // What the stream still does keeps nobody else waiting.
                        drop(turn.take());
                    }
                }
                Err(_) if is_answered => return Ok(()),
                // The caller has waited for as long as it wanted to.
                Err(end @ StreamEnd::Silent) => return Err(self.unanswered(name, &end)),
                Err(end) => {
                    let failure = self.unanswered(name, &end);
                    let last_id = body.events.last_id().filter(|_| !is_stateless);
                    let Some(last_id) = last_id.map(str::to_owned) else {
                        return Err(failure);
                    };
                    let limit = self.http.read_timeout;
                    if limit.is_some_and(|limit| heard_at.elapsed() > limit) {
                        return Err(self.unanswered(name, &StreamEnd::Silent));
                    }
                    // A server may end its streams again and again to be polled, each time with a
                    // new id and nothing else.
                    if resumed_at.replace(last_id.clone()).as_ref() != Some(&last_id) {
                        resumptions = 0;
                    }
                    let continued = loop {
                        if resumptions == MAXIMUM_RESUMPTIONS {
                            return Err(failure);
                        }
                        tokio::time::sleep(wait_before(resumptions, body.events.retry())).await;
                        resumptions += 1;
                        match self.open_stream(Some(&last_id), name).await {
                            Ok(answer) if media_type(&answer) == EVENT_STREAM => break answer,
                            Ok(_) => return Err(failure),
                            // A server that could not be reached may be back soon; a refusal stays.
                            Err(refused) if refused.status.is_some_and(|status| status < 500) => {
                                // The stream was refused, not the request that it answers.
                                return Err(Undelivered {
                                    loss: Some(Loss::Broken),
                                    ..refused
                                });
                            }
                            Err(_) => {}
                        }
                    };
                    body.restart(continued);
                }
            }
        }
    }

    fn unanswered(&self, name: &str, end: &StreamEnd) -> Undelivered {
        let origin = &self.http.origin;
        match end {
            StreamEnd::Finished => Undelivered::lost(
                Loss::Broken,
                format!("the MCP server at {origin} ended the stream of {name} without an answer"),
            ),
            StreamEnd::Broken(why) => Undelivered::lost(
                Loss::Broken,
                format!(
                    "the connection to the MCP server at {origin} broke before {name} was answered: {why}"
                ),
            ),
            StreamEnd::Silent => self.http.silent(name, self.http.read_timeout),
        }
    }

    async fn open_stream(
        &self,
        last_id: Option<&str>,
        what: &str,
    ) -> Result<Response, Undelivered> {
        let mut request = self.http.request(Method::GET, &self.http.url, EVENT_STREAM);
        self.identify(request.headers_mut());
        if let Some(id) = last_id.and_then(|id| HeaderValue::from_str(id).ok()) {
            request.headers_mut().insert(LAST_EVENT_ID, id);
        }
        self.http.send(request, what, self.http.read_timeout).await
    }

    /// Hears what the server says unasked, for as long as it offers a stream for that.
    async fn listen(&self, heard: &Heard) {
        let what = "the stream of its notifications";
        let mut body: Option<EventBody> = None;
        let mut failures = 0;
        let mut waits = 0;
        loop {
            let last_id = body.as_ref().and_then(|body| body.events.last_id());
            match self.open_stream(last_id, what).await {
                Ok(answer) if media_type(&answer) == EVENT_STREAM => {
                    failures = 0;
                    let opened = match body.take() {
                        Some(mut opened) => {
                            opened.restart(answer);
                            opened
                        }
                        None => EventBody::new(answer, self.http.limit),
                    };
                    let opened = body.insert(opened);
                    let end = loop {
                        match opened.next_event(self.http.read_timeout).await {
                            Ok(event) => {
                                waits = 0;
                                pass_on(event.data, None, heard).await;
                            }
                            Err(end) => break end,
                        }
                    };
                    if matches!(end, StreamEnd::Silent) {
                        // It may be broken without a sign; nothing is wrong with the server.
                        continue;
                    }
                }
                // Not a stream: the server has none.
                Ok(_) => return,
                Err(failure) => match failure.status {
                    Some(404) if self.session.get().is_some() => {
                        return say(heard, Said::Ended(self.forgotten())).await;
                    }
                    Some(status) if status < 500 => {
                        if status != 405 {
                            tracing::warn!(target: "toolbridge::mcp", "{failure}");
                        }
                        return;
                    }
                    _ => {
                        failures += 1;
                        if failures == MAXIMUM_LISTEN_FAILURES {
                            tracing::warn!(target: "toolbridge::mcp", "{failure}");
                            return;
                        }
                    }
                },
            }
            let retry = body.as_ref().and_then(|body| body.events.retry());
            tokio::time::sleep(wait_before(waits, retry)).await;
            waits += 1;
        }
    }
}

/// A refusal may carry the JSON-RPC error that answers the request.
async fn answer_in_refusal(
    failure: Undelivered,
    id: &RequestId,
    heard: &Heard,
) -> Result<(), Undelivered> {
    let text = match &failure.body {
        Some(body) => Bytes::from(body.clone()),
        None => return Err(failure),
    };
    let decoded = decode(&text);
    if !holds_answer(&decoded, id) {
        return Err(failure);
    }
    say(heard, Said::Text(text, decoded, Some(id.clone()))).await;
    Ok(())
}

async fn say(heard: &Heard, said: Said) {
    // The reader is gone only when this future is dropped with it.
    let _ = heard.send(said).await;
}

/// How long to wait before a stream is opened again for the `count`th time in a row.
fn wait_before(count: u32, retry: Option<Duration>) -> Duration {
    let first = retry.unwrap_or(FIRST_WAIT).min(LONGEST_RETRY);
    first
        .saturating_mul(2_u32.saturating_pow(count))
        .min(LONGEST_WAIT.max(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_sets_the_first_wait_within_reason() {
        let short = Duration::from_millis(20);
        assert_eq!(wait_before(0, None), FIRST_WAIT);
        assert_eq!(wait_before(2, Some(short)), short * 4);
        assert_eq!(wait_before(u32::MAX, Some(short)), LONGEST_WAIT);
        for count in [0, 1, u32::MAX] {
            let asked = Duration::from_millis(u64::MAX);
            assert_eq!(wait_before(count, Some(asked)), LONGEST_RETRY);
        }
    }
}
