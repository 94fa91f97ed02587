//! A client posts a message: over Streamable HTTP its answer is the answer of the request, over
//! HTTP+SSE it goes to the stream of the session. Follows the transports of 2024-11-05 to 2026-07-28.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use tokio::task::JoinHandle;

use super::Endpoint;
use super::client::{Client, Described, Outlet};
use super::headers::{self, Accepts, Revision, SESSION_ID};
use super::message::{self, INVALID_PARAMS, INVALID_REQUEST, Message, Request, RpcError};
use super::scope::Scope;
use super::session::{Kind, Session, UnderWay};
use super::stream::{Stream, response};
use crate::gateway::Shared;
use crate::gateway::access::Caller;
use crate::gateway::failure::Failure;
use crate::json::RawJson;
use crate::mcp::client::LEGACY_VERSIONS;

/// The largest body of a client.
const MAXIMUM_BODY_BYTES: usize = 16 << 20;
/// The revision that is offered to a client which asks for one that is not known.
const LATEST: &str = "2025-11-25";
/// The revision of a client that does not say, as the specification has it.
const UNSAID: &str = "2025-03-26";
/// The first revision whose clients take an event without content.
const FIRST_PRIMED: &str = "2025-11-25";
/// The only revision with batches.
const BATCHED: &str = "2025-03-26";
/// After how long an answer begins as a stream although nothing is there yet.
const OPENING: Duration = Duration::from_secs(2);
/// How long a client whose stream broke may take to come back for it.
const RETURN: Duration = Duration::from_mins(1);
const REQUEST_CANCELLED: i64 = -32_800;

/// Where the clients of HTTP+SSE post to.
#[derive(Debug, Deserialize)]
pub(in crate::gateway) struct Place {
    #[serde(default, rename = "sessionId")]
    session_id: Option<String>,
}

pub(in crate::gateway) async fn post(
    State(shared): State<Arc<Shared>>,
    names: Option<Path<String>>,
    Query(place): Query<Place>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let caller = shared.access.check(&headers)?;
    let Some(scope) = shared.mcp.scope(&caller, names.as_deref(), &headers) else {
        return Ok(nowhere());
    };
    let body = axum::body::to_bytes(body, MAXIMUM_BODY_BYTES)
        .await
        .map_err(|_| {
            let message =
                format!("the body is longer than {MAXIMUM_BODY_BYTES} bytes, or broke off");
            Failure::new(StatusCode::PAYLOAD_TOO_LARGE, message)
        })?;
    let body = match message::read(&body) {
        Ok(body) => body,
        Err(error) => return Ok(json(StatusCode::BAD_REQUEST, message::refusal(error))),
    };
    let endpoint = &shared.mcp;
    let answer = match (place.session_id, body) {
        (Some(id), body) => endpoint.take_sse(&caller, &scope, &id, body),
        (None, message::Body::Batch(messages)) => {
            endpoint.take_batch(caller, scope, &headers, messages).await
        }
        (None, message::Body::One(message)) => {
            endpoint.take(caller, scope, &headers, message).await
        }
    };
    Ok(answer.into_response())
}

/// Where the answers of one request go, and what is cancelled with it.
struct Exchange {
    client: Arc<Client>,
    session: Option<Arc<Session>>,
    accepts: Accepts,
    /// Whether an error has a status of its own, as in the later era.
    has_statuses: bool,
}

impl Endpoint {
    async fn take(
        self: &Arc<Self>,
        caller: Caller,
        scope: Scope,
        headers: &HeaderMap,
        message: Message,
    ) -> Result<Response, Refused> {
        let accepts = Accepts::read(headers);
        if !accepts.json && !accepts.stream {
            return Err(Refused::new(
                StatusCode::NOT_ACCEPTABLE,
                "Accept has neither application/json nor text/event-stream",
            ));
        }
        let request = match message {
            Message::Request(request) => request,
            other => {
                let session = self.session(&caller, &scope, headers)?;
                self.hear(session.as_deref(), other).await;
                return Ok(accepted());
            }
        };
        let revision = headers::revision(headers, &request).map_err(|error| {
            let text = message::answer(&request.id, &Err(error));
            Refused {
                status: StatusCode::BAD_REQUEST,
                text,
            }
        })?;
        let exchange = match revision {
            Revision::Modern(stamp) => {
                let described = Described {
                    version: stamp.version,
                    capabilities: Some(stamp.capabilities),
                    info: stamp.info,
                };
                Exchange {
                    client: Arc::new(Client::new(caller, scope, described)),
                    session: None,
                    accepts,
                    has_statuses: true,
                }
            }
            Revision::Legacy(_) if request.method == "initialize" => {
                return Ok(self.initialize(caller, scope, request, accepts).await);
            }
            Revision::Legacy(version) => {
                let session = self.session(&caller, &scope, headers)?;
                let client = match &session {
                    Some(session) => Arc::clone(&session.client),
                    None => Arc::new(Client::new(caller, scope, unsaid(version))),
                };
                Exchange {
                    client,
                    session,
                    accepts,
                    has_statuses: false,
                }
            }
        };
        Ok(self.answer(exchange, request).await)
    }

    /// The session that a client names, or none if it names none.
    fn session(
        &self,
        caller: &Caller,
        scope: &Scope,
        headers: &HeaderMap,
    ) -> Result<Option<Arc<Session>>, Refused> {
        let Some(id) = headers::text(headers, SESSION_ID) else {
            return Ok(None);
        };
        let session = self.sessions.find(id, Kind::Streamable, caller, scope);
        session.map(Some).ok_or_else(|| {
            Refused::new(
                StatusCode::NOT_FOUND,
                "the session is not known, or has ended: begin a new one with initialize",
            )
        })
    }

    /// What wants no answer.
    async fn hear(&self, session: Option<&Session>, message: Message) {
        let Some(session) = session else { return };
        match message {
            Message::Notification { method, params } => {
                if method == "notifications/cancelled"
                    && let Some(id) = params.as_ref().and_then(cancelled)
                {
                    session.cancel(&id);
                    return;
                }
                let client = &session.client;
                self.relay
                    .notification(client, &method, params.as_ref())
                    .await;
            }
            // An answer that comes too late is nobody's.
            Message::Answer { id, outcome } => drop(session.client.answered(&id, outcome)),
            Message::Request(_) => {}
        }
    }

    /// Begins a session of Streamable HTTP.
    async fn initialize(
        &self,
        caller: Caller,
        scope: Scope,
        request: Request,
        accepts: Accepts,
    ) -> Response {
        let client = match introduced(caller, scope, &request) {
            Ok(client) => Arc::new(client),
            Err(error) => {
                return json(
                    StatusCode::BAD_REQUEST,
                    message::answer(&request.id, &Err(error)),
                );
            }
        };
        let nobody: Arc<dyn Outlet> = Arc::new(Nobody);
        let outcome = self.relay.request(&client, &request, &nobody).await;
        let session = match &outcome {
            Ok(_) => match self.sessions.begin(Kind::Streamable, client) {
                Some(session) => Some(session),
                None => {
                    return Refused::of(
                        StatusCode::SERVICE_UNAVAILABLE,
                        &request.id,
                        "there are too many sessions; end some, or come back later",
                    )
                    .into_response();
                }
            },
            Err(_) => None,
        };
        let text = message::answer(&request.id, &outcome);
        let mut response = if accepts.json {
            json(StatusCode::OK, text)
        } else {
            let stream = Arc::new(Stream::new(None));
            stream.finish(text);
            response(None, stream.reader(None), ())
        };
        if let Some(session) = session
            && let Ok(id) = HeaderValue::from_str(&session.id)
        {
            response.headers_mut().insert(SESSION_ID, id);
        }
        response
    }

    /// Answers a request: with JSON if the answer comes at once and alone, with a stream else.
    async fn answer(self: &Arc<Self>, exchange: Exchange, request: Request) -> Response {
        let Exchange {
            client,
            session,
            accepts,
            has_statuses,
        } = exchange;
        let under_way = match &session {
            Some(session) => match session.begin(&request.id) {
                Some(under_way) => Some(under_way),
                None => {
                    return Refused::of(
                        StatusCode::TOO_MANY_REQUESTS,
                        &request.id,
                        "too many requests of this session are under way",
                    )
                    .into_response();
                }
            },
            None => None,
        };
        let is_primed = client.described().version.as_str() >= FIRST_PRIMED;
        if !accepts.stream {
            let nobody: Arc<dyn Outlet> = Arc::new(Nobody);
            let outcome = self.work(&client, &request, &nobody, under_way).await;
            return whole(&request.id, &outcome, has_statuses);
        }
        let stream = match &session {
            Some(session) if is_primed => session.stream(),
            _ => Arc::new(Stream::new(None)),
        };
        let mut work = Box::pin({
            let endpoint = Arc::clone(self);
            let outlet: Arc<dyn Outlet> = Arc::<Stream>::clone(&stream);
            async move {
                let outcome = endpoint.work(&client, &request, &outlet, under_way).await;
                (request.id, outcome)
            }
        });
        tokio::select! {
            biased;
            (id, outcome) = &mut work => {
                if accepts.json && !stream.has_begun() {
                    stream.end();
                    return whole(&id, &outcome, has_statuses);
                }
                // What belongs to the request came in the same moment as its answer.
                let is_resumable = session.is_some() && is_primed;
                let first = is_resumable.then(|| stream.priming());
                stream.finish(message::answer(&id, &outcome));
                return response(first, stream.reader(None), ());
            }
            () = stream.begun() => {}
            () = tokio::time::sleep(OPENING) => {}
        }
        let is_resumable = session.is_some() && is_primed;
        let first = is_resumable.then(|| stream.priming());
        let answering = tokio::spawn({
            let stream = Arc::clone(&stream);
            async move {
                let (id, outcome) = work.await;
                stream.finish(message::answer(&id, &outcome));
            }
        });
        let reader = stream.reader(None);
        let held = Held {
            stream: Arc::clone(&stream),
            generation: reader.generation(),
            answering: Some(answering),
            is_resumable,
        };
        response(first, reader, held)
    }

    async fn work(
        &self,
        client: &Arc<Client>,
        request: &Request,
        outlet: &Arc<dyn Outlet>,
        under_way: Option<UnderWay>,
    ) -> Result<RawJson, RpcError> {
        let working = self.relay.request(client, request, outlet);
        let Some(under_way) = under_way else {
            return working.await;
        };
        tokio::select! {
            biased;
            outcome = working => outcome,
            () = under_way.cancelled.cancelled() => {
                Err(RpcError::new(REQUEST_CANCELLED, "the request was cancelled"))
            }
        }
    }

    /// Several messages at once, of 2025-03-26: the answers come in one list.
    async fn take_batch(
        self: &Arc<Self>,
        caller: Caller,
        scope: Scope,
        headers: &HeaderMap,
        messages: Vec<Result<Message, RpcError>>,
    ) -> Result<Response, Refused> {
        let session = self.session(&caller, &scope, headers)?;
        let client = match &session {
            Some(session) => Arc::clone(&session.client),
            None => Arc::new(Client::new(caller, scope, unsaid(None))),
        };
        if client.described().version != BATCHED {
            let message = format!("only revision {BATCHED} has batches: post each message alone");
            return Err(Refused::new(StatusCode::BAD_REQUEST, &message));
        }
        let mut answers = Vec::new();
        let mut requests = Vec::new();
        for message in messages {
            match message {
                Ok(Message::Request(request)) => requests.push(request),
                Ok(other) => self.hear(session.as_deref(), other).await,
                Err(error) => answers.push(message::refusal(error)),
            }
        }
        let nobody: Arc<dyn Outlet> = Arc::new(Nobody);
        let answered = join_all(requests.iter().map(|request| async {
            let under_way = session
                .as_ref()
                .and_then(|session| session.begin(&request.id));
            let outcome = if request.method == "initialize" {
                Err(RpcError::new(
                    INVALID_REQUEST,
                    "initialize is no part of a batch",
                ))
            } else {
                self.work(&client, request, &nobody, under_way).await
            };
            message::answer(&request.id, &outcome)
        }));
        answers.extend(answered.await);
        if answers.is_empty() {
            return Ok(accepted());
        }
        let mut text = b"[".to_vec();
        text.extend_from_slice(&answers.join(&b","[..]));
        text.push(b']');
        Ok(json(StatusCode::OK, text.into()))
    }

    /// A message of a session of HTTP+SSE; its answer goes to the stream.
    fn take_sse(
        self: &Arc<Self>,
        caller: &Caller,
        scope: &Scope,
        id: &str,
        body: message::Body,
    ) -> Result<Response, Refused> {
        let Some(session) = self.sessions.find(id, Kind::Sse, caller, scope) else {
            return Err(Refused::new(
                StatusCode::NOT_FOUND,
                "the session is not known, or has ended: open the stream anew",
            ));
        };
        let messages = match body {
            message::Body::One(message) => vec![Ok(message)],
            message::Body::Batch(messages) => messages,
        };
        let endpoint = Arc::clone(self);
        tokio::spawn(async move {
            join_all(messages.into_iter().map(|message| async {
                let text = match message {
                    Ok(Message::Request(request)) => endpoint.sse_answer(&session, request).await,
                    Ok(other) => return endpoint.hear(Some(&session), other).await,
                    Err(error) => message::refusal(error),
                };
                session.unasked.answer(text);
            }))
            .await;
        });
        Ok(accepted())
    }

    async fn sse_answer(&self, session: &Arc<Session>, request: Request) -> Bytes {
        if request.method == "initialize" {
            let (caller, scope) = (session.client.caller.clone(), session.client.scope.clone());
            let introduced = introduced(caller, scope, &request);
            if let Ok(client) = introduced {
                session.client.introduce(client.described());
            }
        }
        let Some(under_way) = session.begin(&request.id) else {
            let error = RpcError::new(INVALID_REQUEST, "too many requests are under way");
            return message::answer(&request.id, &Err(error));
        };
        let outlet: Arc<dyn Outlet> = Arc::<Stream>::clone(&session.unasked);
        let outcome = self
            .work(&session.client, &request, &outlet, Some(under_way))
            .await;
        message::answer(&request.id, &outcome)
    }
}

/// What lives as long as the body of an answer that is a stream.
struct Held {
    stream: Arc<Stream>,
    generation: u64,
    answering: Option<JoinHandle<()>>,
    is_resumable: bool,
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(answering) = self.answering.take() else {
            return;
        };
        if answering.is_finished() {
            return;
        }
        if !self.is_resumable {
            answering.abort();
            return;
        }
        let (stream, generation) = (Arc::clone(&self.stream), self.generation);
        tokio::spawn(async move {
            if stream.abandoned(generation, RETURN).await {
                answering.abort();
                stream.end();
            }
        });
    }
}

/// Hears nothing: the client takes one JSON answer.
struct Nobody;

impl Outlet for Nobody {
    fn send(&self, _message: Bytes) -> bool {
        false
    }
}

/// What a client of an earlier era is known by that never introduced itself.
fn unsaid(version: Option<String>) -> Described {
    Described {
        version: version.unwrap_or_else(|| UNSAID.to_owned()),
        ..Described::default()
    }
}

/// The client that introduces itself.
fn introduced(caller: Caller, scope: Scope, request: &Request) -> Result<Client, RpcError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Asked<'a> {
        protocol_version: String,
        #[serde(borrow, default)]
        capabilities: Option<&'a serde_json::value::RawValue>,
        #[serde(borrow, default)]
        client_info: Option<&'a serde_json::value::RawValue>,
    }
    let params = request.params.as_ref();
    let asked: Option<Asked<'_>> =
        params.and_then(|raw| serde_json::from_slice(raw.as_bytes()).ok());
    let Some(asked) = asked else {
        return Err(RpcError::new(
            INVALID_PARAMS,
            "initialize takes protocolVersion, capabilities and clientInfo",
        ));
    };
    let own = |raw: &serde_json::value::RawValue| RawJson::trusted(raw.get().to_owned());
    let version = if LEGACY_VERSIONS.contains(&asked.protocol_version.as_str()) {
        asked.protocol_version
    } else {
        LATEST.to_owned()
    };
    Ok(Client::new(
        caller,
        scope,
        Described {
            version,
            capabilities: asked.capabilities.map(own),
            info: asked.client_info.map(own),
        },
    ))
}

/// The id of the request that a client gives up, as it wrote it.
fn cancelled(params: &RawJson) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Cancelled<'a> {
        #[serde(borrow)]
        request_id: &'a serde_json::value::RawValue,
    }
    let cancelled: Cancelled<'_> = serde_json::from_slice(params.as_bytes()).ok()?;
    Some(cancelled.request_id.get().as_bytes().to_vec())
}

fn whole(id: &RawJson, outcome: &Result<RawJson, RpcError>, has_statuses: bool) -> Response {
    let status = match outcome {
        Err(error) if has_statuses => headers::status_of(error),
        _ => StatusCode::OK,
    };
    json(status, message::answer(id, outcome))
}

/// A path that no server answers to; it is not told which ones do.
pub(super) fn nowhere() -> Response {
    Refused::new(
        StatusCode::NOT_FOUND,
        "no MCP server that this key may use is called so",
    )
    .into_response()
}

fn accepted() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// A refusal of the transport.
pub(super) struct Refused {
    status: StatusCode,
    text: Bytes,
}

impl Refused {
    pub(super) fn new(status: StatusCode, message: &str) -> Self {
        let text = message::refusal(RpcError::new(INVALID_REQUEST, message));
        Self { status, text }
    }

    fn of(status: StatusCode, id: &RawJson, message: &str) -> Self {
        let error = RpcError::new(INVALID_REQUEST, message);
        let text = message::answer(id, &Err(error));
        Self { status, text }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        json(self.status, self.text)
    }
}

pub(super) fn json(status: StatusCode, text: Bytes) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}
