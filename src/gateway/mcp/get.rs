//! A client listens: to what belongs to no request of its session, to a stream that broke, or over
//! HTTP+SSE to everything. And it ends its session.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};

use super::Endpoint;
use super::client::{Client, Described};
use super::exchange::{Exchange, Refused};
use super::headers::{self, Accepts, SESSION_ID, is_modern, text};
use super::post::FIRST_PRIMED;
use super::scope::{Forwarded, Scope};
use super::session::{Kind, Session};
use super::stream::{read_event_id, response};
use crate::gateway::Shared;
use crate::gateway::access::Caller;
use crate::gateway::failure::Failure;

/// The revision of HTTP+SSE.
const SSE_VERSION: &str = "2024-11-05";

/// `GET` of an endpoint: a stream of a session, or, without one and without a revision, HTTP+SSE.
pub(in crate::gateway) async fn get(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    names: Option<Path<String>>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Some(scope) = shared.mcp.scope(&caller, names.as_deref(), &headers) else {
        return Ok(Refused::nowhere().into_response());
    };
    let version = match headers::version(&headers) {
        Ok(version) => version,
        Err(error) => {
            return Ok(Refused::with(StatusCode::BAD_REQUEST, error).into_response());
        }
    };
    let answer = match text(&headers, SESSION_ID) {
        _ if version.is_some_and(is_modern) => not_allowed(),
        Some(id) => shared.mcp.stream(&caller, &scope, id, &headers),
        None if version.is_none() => shared.mcp.open_sse(caller, scope, &headers),
        None => not_allowed(),
    };
    Ok(answer)
}

/// `GET` of a path of HTTP+SSE.
pub(in crate::gateway) async fn sse(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    names: Option<Path<String>>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Some(scope) = shared.mcp.scope(&caller, names.as_deref(), &headers) else {
        return Ok(Refused::nowhere().into_response());
    };
    Ok(shared.mcp.open_sse(caller, scope, &headers))
}

/// `DELETE`: the client ends its session.
pub(in crate::gateway) async fn delete(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    names: Option<Path<String>>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Some(scope) = shared.mcp.scope(&caller, names.as_deref(), &headers) else {
        return Ok(Refused::nowhere().into_response());
    };
    let endpoint = &shared.mcp;
    let version = headers::version(&headers);
    let id = text(&headers, SESSION_ID);
    let Some(id) = id.filter(|_| !matches!(version, Ok(Some(version)) if is_modern(version)))
    else {
        return Ok(not_allowed());
    };
    let Some(session) = endpoint
        .sessions
        .find(id, Kind::Streamable, &caller, &scope)
    else {
        return Ok(Refused::unknown_session().into_response());
    };
    endpoint.end(&session);
    Ok(Response::default())
}

impl Endpoint {
    /// The servers that a request is for; none if its path leads nowhere.
    pub(super) fn scope(
        &self,
        caller: &Caller,
        names: Option<&String>,
        headers: &HeaderMap,
    ) -> Option<Scope> {
        let mut scope = Scope::read(names.map(String::as_str), headers);
        scope.forwarded = Forwarded::read(headers, &self.relay.forwarded(), caller);
        self.relay.knows(caller, &scope).then_some(scope)
    }

    fn stream(&self, caller: &Caller, scope: &Scope, id: &str, headers: &HeaderMap) -> Response {
        if !Accepts::read(headers).stream {
            return unacceptable();
        }
        let Some(session) = self.sessions.find(id, Kind::Streamable, caller, scope) else {
            return Refused::unknown_session().into_response();
        };
        let exchange = Exchange {
            accepts: Accepts::read(headers),
            is_primed: session.client.described().version.as_str() >= FIRST_PRIMED,
            session: Some(Arc::clone(&session)),
        };
        let Some(last) = headers.get("last-event-id") else {
            if exchange.is_primed {
                return exchange.begin(session.unasked.reader());
            }
            let first = Bytes::from_static(b": open\n\n");
            return response(Some(first), session.unasked.reader(), ());
        };
        let resumed = last.to_str().ok().and_then(read_event_id);
        let resumed = resumed.and_then(|(number, after)| {
            let stream = session.stream_of(number)?;
            stream.resumed(after)
        });
        match resumed {
            Some(reader) => response(None, reader, ()),
            None => Refused::new(
                StatusCode::BAD_REQUEST,
                "Last-Event-ID names no event of this session after which everything is kept",
            )
            .into_response(),
        }
    }

    fn open_sse(self: &Arc<Self>, caller: Caller, scope: Scope, headers: &HeaderMap) -> Response {
        if !Accepts::read(headers).stream {
            return unacceptable();
        }
        let described = Described {
            version: SSE_VERSION.to_owned(),
            ..Described::default()
        };
        let client = Arc::new(Client::new(caller, scope, described));
        let Some(session) = self.sessions.begin(Kind::Sse, client) else {
            return Refused::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "there are too many sessions; come back later",
            )
            .into_response();
        };
        // Relative, so that it holds behind a proxy that puts the gateway under another path.
        let place = format!("event: endpoint\ndata: ?sessionId={}\n\n", session.id);
        let reader = session.unasked.reader();
        let held = Open {
            endpoint: Arc::clone(self),
            session,
        };
        response(Some(place.into()), reader, held)
    }
}

/// A session of HTTP+SSE ends with its stream.
struct Open {
    endpoint: Arc<Endpoint>,
    session: Arc<Session>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.endpoint.end(&self.session);
    }
}

fn not_allowed() -> Response {
    let mut response = Refused::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this revision has no such method: post the message",
    )
    .into_response();
    response
        .headers_mut()
        .insert(header::ALLOW, header::HeaderValue::from_static("POST"));
    response
}

fn unacceptable() -> Response {
    Refused::new(
        StatusCode::NOT_ACCEPTABLE,
        "Accept does not have text/event-stream",
    )
    .into_response()
}
