//! A client posts a message: over Streamable HTTP its answer is the answer of the request, over
//! HTTP+SSE it goes to the stream of the session. Follows the transports of 2024-11-05 to 2026-07-28.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::LengthLimitError;
use serde::Deserialize;

use super::Endpoint;
use super::client::{Client, Described, Outlet};
use super::exchange::{Answer, Exchange, Nobody, Refused, accepted, json};
use super::headers::{self, Accepts, Revision, SESSION_ID, is_modern};
use super::message::{
    self, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, Message, Request, RpcError,
};
use super::scope::Scope;
use super::session::{Kind, Session, UnderWay};
use super::stream::Stream;
use crate::gateway::Shared;
use crate::gateway::access::Caller;
use crate::gateway::failure::Failure;
use crate::gateway::trace::Trace;
use crate::json::RawJson;
use crate::mcp::client::LEGACY_VERSIONS;

/// The largest body of a client.
const MAXIMUM_BODY_BYTES: usize = 16 << 20;
/// How long a client may take to send a body.
const BODY_PATIENCE: Duration = Duration::from_mins(1);
/// The revision that is offered to a client which asks for one that is not known.
const LATEST: &str = "2025-11-25";
/// The revision of a client that does not say, as the specification has it.
const UNSAID: &str = "2025-03-26";
/// The first revision whose clients take an event without content.
pub(super) const FIRST_PRIMED: &str = "2025-11-25";
/// The only revision with batches.
const BATCHED: &str = "2025-03-26";
const REQUEST_CANCELLED: i64 = -32_800;

/// Where the clients of HTTP+SSE post to.
#[derive(Debug, Deserialize)]
pub(in crate::gateway) struct Place {
    #[serde(default, rename = "sessionId")]
    session_id: Option<String>,
}

pub(in crate::gateway) async fn post(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    names: Option<Path<String>>,
    Query(place): Query<Place>,
    Extension(trace): Extension<Trace>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let Some(scope) = shared.mcp.scope(&caller, names.as_deref(), &headers) else {
        return Ok(Refused::nowhere().into_response());
    };
    let body = match read_body(&headers, body).await {
        Ok(body) => body,
        Err(refused) => return Ok(refused.into_response()),
    };
    let mut body = match message::read(&body) {
        Ok(body) => body,
        Err(unreadable) => return Ok(json(StatusCode::BAD_REQUEST, unreadable.answer())),
    };
    body.stands_in(&trace);
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

/// Reads the body of a request, which is JSON.
async fn read_body(headers: &HeaderMap, body: Body) -> Result<Bytes, Refused> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.map(|kind| kind.to_str().unwrap_or_default());
    let is_json = kind.is_none_or(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/json")
    });
    if !is_json {
        return Err(Refused::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Content-Type is not application/json",
        ));
    }
    let read = axum::body::to_bytes(body, MAXIMUM_BODY_BYTES);
    match tokio::time::timeout(BODY_PATIENCE, read).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(failure)) => {
            let cause = std::error::Error::source(&failure);
            Err(
                if cause.is_some_and(<dyn std::error::Error>::is::<LengthLimitError>) {
                    let message = format!("the body is longer than {MAXIMUM_BODY_BYTES} bytes");
                    Refused::new(StatusCode::PAYLOAD_TOO_LARGE, &message)
                } else {
                    Refused::new(StatusCode::BAD_REQUEST, "the body broke off")
                },
            )
        }
        Err(_) => {
            let message = format!("the body was not there after {} s", BODY_PATIENCE.as_secs());
            Err(Refused::new(StatusCode::REQUEST_TIMEOUT, &message))
        }
    }
}

impl Endpoint {
    async fn take(
        self: &Arc<Self>,
        caller: Caller,
        scope: Scope,
        headers: &HeaderMap,
        message: Message,
    ) -> Result<Response, Refused> {
        let request = match message {
            Message::Request(request) => request,
            other => {
                self.take_unanswered(&caller, &scope, headers, other)
                    .await?;
                return Ok(accepted());
            }
        };
        let accepts = accepted_kinds(headers)?;
        let revision = headers::revision(headers, &request)
            .map_err(|error| Refused::of(StatusCode::BAD_REQUEST, &request.id, error))?;
        let (client, session, has_statuses) = match revision {
            Revision::Modern(_) if request.method == "initialize" => {
                let message = "this revision has no initialize: server/discover says what there is";
                let error = RpcError::new(METHOD_NOT_FOUND, message);
                return Err(Refused::of(StatusCode::NOT_FOUND, &request.id, error));
            }
            Revision::Modern(stamp) => {
                let described = Described {
                    version: stamp.version,
                    capabilities: Some(stamp.capabilities),
                    info: stamp.info,
                };
                (Arc::new(Client::new(caller, scope, described)), None, true)
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
                (client, session, false)
            }
        };
        let under_way = begin(session.as_ref(), &request.id)
            .map_err(|(status, error)| Refused::of(status, &request.id, error))?;
        let exchange = Exchange {
            accepts,
            session,
            is_primed: client.described().version.as_str() >= FIRST_PRIMED,
        };
        let endpoint = Arc::clone(self);
        let carried = exchange.carry(|outlet| async move {
            let outcome = endpoint.work(&client, &request, &outlet, under_way).await;
            let status = match &outcome {
                Err(error) if has_statuses => headers::status_of(error),
                _ => StatusCode::OK,
            };
            Answer {
                status,
                text: message::answer(&request.id, &outcome),
            }
        });
        Ok(carried.await)
    }

    /// A notification or an answer.
    async fn take_unanswered(
        &self,
        caller: &Caller,
        scope: &Scope,
        headers: &HeaderMap,
        message: Message,
    ) -> Result<(), Refused> {
        let refused = |error| Refused::with(StatusCode::BAD_REQUEST, error);
        let version = headers::version(headers).map_err(refused)?;
        let session = if version.is_some_and(is_modern) {
            None
        } else {
            self.session(caller, scope, headers)?
        };
        match (session, &message) {
            (Some(session), _) => self.hear(&session, message).await,
            (None, Message::Answer { .. }) => {
                return Err(Refused::new(
                    StatusCode::BAD_REQUEST,
                    "nothing was asked outside of a session that could be answered",
                ));
            }
            // It belongs to a session, or to the connection of a request.
            (None, _) => {}
        }
        Ok(())
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
        session.map(Some).ok_or_else(Refused::unknown_session)
    }

    /// What wants no answer.
    async fn hear(&self, session: &Session, message: Message) {
        match message {
            Message::Notification { method, params } => {
                if let Some(id) = cancelled(&method, params.as_ref()) {
                    session.cancel(&id);
                    return;
                }
                let heard = self
                    .relay
                    .notification(&session.client, &method, params.as_ref());
                tokio::select! {
                    () = heard => {}
                    () = session.ended.cancelled() => {}
                }
            }
            // An answer that comes too late is nobody's.
            Message::Answer { id, outcome } => drop(session.client.answered(&id, outcome)),
            Message::Request(_) => {}
        }
    }

    /// Begins a session of Streamable HTTP.
    async fn initialize(
        self: &Arc<Self>,
        caller: Caller,
        scope: Scope,
        request: Request,
        accepts: Accepts,
    ) -> Response {
        let client = match introduced(caller, scope, &request) {
            Ok(client) => Arc::new(client),
            Err(error) => {
                return Refused::of(StatusCode::BAD_REQUEST, &request.id, error).into_response();
            }
        };
        let mut newcomer = Newcomer {
            endpoint: Arc::clone(self),
            client: Some(Arc::clone(&client)),
        };
        let nobody: Arc<dyn Outlet> = Arc::new(Nobody);
        let outcome = self.relay.request(&client, &request, &nobody).await;
        let session = match &outcome {
            Ok(_) => {
                let Some(session) = self.sessions.begin(Kind::Streamable, client) else {
                    let error = RpcError::new(
                        INVALID_REQUEST,
                        "there are too many sessions; end some, or come back later",
                    );
                    return Refused::of(StatusCode::SERVICE_UNAVAILABLE, &request.id, error)
                        .into_response();
                };
                Some(session)
            }
            Err(_) => None,
        };
        let text = message::answer(&request.id, &outcome);
        let mut response = if accepts.json {
            json(StatusCode::OK, text)
        } else {
            let stream = Arc::new(Stream::new(None));
            stream.finish(text);
            super::stream::response(None, stream.reader(), ())
        };
        if let Some(session) = session
            && let Ok(id) = HeaderValue::from_str(&session.id)
        {
            newcomer.client = None;
            response.headers_mut().insert(SESSION_ID, id);
        }
        response
    }

    async fn work(
        &self,
        client: &Arc<Client>,
        request: &Request,
        outlet: &Arc<dyn Outlet>,
        under_way: Option<UnderWay>,
    ) -> Result<RawJson, RpcError> {
        let working = self.relay.request(client, request, outlet);
        let working = self.unless_stopping(request, working);
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

    /// A subscription without a session ends with the gateway, not with an answer of its own.
    async fn unless_stopping(
        &self,
        request: &Request,
        working: impl Future<Output = Result<RawJson, RpcError>>,
    ) -> Result<RawJson, RpcError> {
        if request.method != "subscriptions/listen" {
            return working.await;
        }
        tokio::select! {
            outcome = working => outcome,
            () = self.stopping.cancelled() => {
                let id = String::from_utf8_lossy(request.id.as_bytes());
                Ok(RawJson::trusted(format!(
                    r#"{{"resultType":"complete","_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}}}}"#
                )))
            }
        }
    }

    /// Several messages at once, of 2025-03-26: the answers come in one list.
    async fn take_batch(
        self: &Arc<Self>,
        caller: Caller,
        scope: Scope,
        headers: &HeaderMap,
        messages: Vec<Result<Message, message::Unreadable>>,
    ) -> Result<Response, Refused> {
        let version = headers::version(headers)
            .map_err(|error| Refused::with(StatusCode::BAD_REQUEST, error))?;
        let session = self.session(&caller, &scope, headers)?;
        let client = if let Some(session) = &session {
            Arc::clone(&session.client)
        } else {
            let described = unsaid(version.map(str::to_owned));
            Arc::new(Client::new(caller, scope, described))
        };
        if client.described().version != BATCHED || version.is_some_and(|one| one != BATCHED) {
            let message = format!("only revision {BATCHED} has batches: post each message alone");
            return Err(Refused::new(StatusCode::BAD_REQUEST, &message));
        }
        let mut answers = Vec::new();
        let mut requests = Vec::new();
        for message in messages {
            match message {
                Ok(Message::Request(request)) => match begin(session.as_ref(), &request.id) {
                    Ok(under_way) => requests.push((request, under_way)),
                    Err((_, error)) => answers.push(message::answer(&request.id, &Err(error))),
                },
                Ok(other) => {
                    if let Some(session) = &session {
                        self.hear(session, other).await;
                    }
                }
                Err(unreadable) => answers.push(unreadable.answer()),
            }
        }
        if requests.is_empty() && answers.is_empty() {
            return Ok(accepted());
        }
        let exchange = Exchange {
            accepts: accepted_kinds(headers)?,
            session,
            is_primed: false,
        };
        let endpoint = Arc::clone(self);
        let carried = exchange.carry(|outlet| async move {
            let answered = join_all(requests.into_iter().map(|(request, under_way)| {
                let (endpoint, client, outlet) = (&endpoint, &client, &outlet);
                async move {
                    let outcome = if request.method == "initialize" {
                        let message = "initialize is no part of a batch";
                        Err(RpcError::new(INVALID_REQUEST, message))
                    } else {
                        endpoint.work(client, &request, outlet, under_way).await
                    };
                    message::answer(&request.id, &outcome)
                }
            }));
            answers.extend(answered.await);
            let mut text = b"[".to_vec();
            text.extend_from_slice(&answers.join(&b","[..]));
            text.push(b']');
            Answer {
                status: StatusCode::OK,
                text: text.into(),
            }
        });
        Ok(carried.await)
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
        if session.unasked.is_full() {
            return Err(Refused::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too much of the stream of this session is not read yet: read it first",
            ));
        }
        let messages = match body {
            message::Body::One(message) => vec![Ok(message)],
            message::Body::Batch(messages) => messages,
        };
        // What is under way is known before the client can cancel it with its next message.
        let mut requests = Vec::new();
        let mut others = Vec::new();
        for message in messages {
            match message {
                Ok(Message::Request(request)) => match begin(Some(&session), &request.id) {
                    Ok(under_way) => requests.push((request, under_way)),
                    Err((_, error)) => {
                        let text = message::answer(&request.id, &Err(error));
                        session.unasked.answer(text);
                    }
                },
                Ok(other) => others.push(other),
                Err(unreadable) => session.unasked.answer(unreadable.answer()),
            }
        }
        let endpoint = Arc::clone(self);
        let hold = session.hold();
        tokio::spawn(async move {
            for other in others {
                endpoint.hear(&session, other).await;
            }
            join_all(requests.into_iter().map(|(request, under_way)| async {
                let text = endpoint.sse_answer(&session, request, under_way).await;
                session.unasked.answer(text);
            }))
            .await;
            drop(hold);
        });
        Ok(accepted())
    }

    async fn sse_answer(
        &self,
        session: &Arc<Session>,
        request: Request,
        under_way: Option<UnderWay>,
    ) -> Bytes {
        if request.method == "initialize" {
            let (caller, scope) = (session.client.caller.clone(), session.client.scope.clone());
            match introduced(caller, scope, &request) {
                Ok(client) => session.client.introduce(client.described()),
                Err(error) => return message::answer(&request.id, &Err(error)),
            }
        }
        let outlet: Arc<dyn Outlet> = Arc::<Stream>::clone(&session.unasked);
        let outcome = self
            .work(&session.client, &request, &outlet, under_way)
            .await;
        message::answer(&request.id, &outcome)
    }
}

/// A client whose session has not begun; gone if it never does.
struct Newcomer {
    endpoint: Arc<Endpoint>,
    client: Option<Arc<Client>>,
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            self.endpoint.relay.closed(&client);
        }
    }
}

/// What the client takes as an answer, which is one of the two that there are.
fn accepted_kinds(headers: &HeaderMap) -> Result<Accepts, Refused> {
    let accepts = Accepts::read(headers);
    if accepts.json || accepts.stream {
        return Ok(accepts);
    }
    Err(Refused::new(
        StatusCode::NOT_ACCEPTABLE,
        "Accept has neither application/json nor text/event-stream",
    ))
}

/// Notes that a request of a session, if it is of one, is under way.
fn begin(
    session: Option<&Arc<Session>>,
    id: &RawJson,
) -> Result<Option<UnderWay>, (StatusCode, RpcError)> {
    let Some(session) = session else {
        return Ok(None);
    };
    session.begin(id).map(Some).ok_or_else(|| {
        let message = "too many requests of this session are under way";
        (
            StatusCode::TOO_MANY_REQUESTS,
            RpcError::new(INVALID_REQUEST, message),
        )
    })
}

/// What a client of an earlier era is known by that never introduced itself.
pub(super) fn unsaid(version: Option<String>) -> Described {
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

/// The id of the request that a client gives up, as it wrote it; none if it says something else.
fn cancelled(method: &str, params: Option<&RawJson>) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Cancelled<'a> {
        #[serde(borrow)]
        request_id: &'a serde_json::value::RawValue,
    }
    if method != "notifications/cancelled" {
        return None;
    }
    let cancelled: Cancelled<'_> = serde_json::from_slice(params?.as_bytes()).ok()?;
    Some(cancelled.request_id.get().as_bytes().to_vec())
}
