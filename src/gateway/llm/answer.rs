//! Answers, streams and failures as HTTP.

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::keep_alive::{KeepAlive, kept_alive};
use crate::gateway::failure::{Failure, is_passed_on};
use crate::gateway::metrics::Chat;
use crate::llm::call_id;
use crate::llm::router::{Given, Routed, Streamed};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

const CALL_ID: HeaderName = HeaderName::from_static("x-litellm-call-id");
const MODEL_ID: HeaderName = HeaderName::from_static("x-litellm-model-id");
const MODEL_GROUP: HeaderName = HeaderName::from_static("x-litellm-model-group");
const COST: HeaderName = HeaderName::from_static("x-litellm-response-cost");
const RETRIES: HeaderName = HeaderName::from_static("x-litellm-attempted-retries");
const FALLBACKS: HeaderName = HeaderName::from_static("x-litellm-attempted-fallbacks");

/// The longest id that a client may give a call.
const MAXIMUM_ID_BYTES: usize = 128;

/// What a call is found by: the client's id for it, or one of our own.
#[derive(Debug, Clone)]
pub(super) struct CallId(HeaderValue);

impl CallId {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(CALL_ID);
        let given = given.filter(|id| !id.is_empty() && id.len() <= MAXIMUM_ID_BYTES);
        Self(given.cloned().unwrap_or_else(|| {
            let id = call_id::CallId::new().to_string();
            HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("unknown"))
        }))
    }
}

/// An answer, as it was given.
pub(super) fn given(
    routed: Routed,
    id: &CallId,
    mut chat: Chat,
    keep_alive: KeepAlive,
) -> Response {
    let mut cost = None;
    let (body, told, kind) = match routed.given {
        Given::Whole(whole) => {
            chat.ended(StatusCode::OK, whole.usage, whole.cost);
            cost = whole.cost;
            (Body::from(whole.body), whole.headers, JSON)
        }
        Given::Stream(mut streamed) => {
            let told = std::mem::take(&mut streamed.headers);
            (
                streaming(streamed, chat, keep_alive.answers),
                told,
                EVENT_STREAM,
            )
        }
    };
    let is_stream = kind == EVENT_STREAM;
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.reserve(12);
    let kind = told
        .get(header::CONTENT_TYPE)
        .filter(|told| told.as_bytes().starts_with(kind.as_bytes()))
        .map_or(kind, HeaderValue::clone);
    headers.insert(header::CONTENT_TYPE, kind);
    if is_stream {
        headers.insert(header::CACHE_CONTROL, NO_CACHE);
    }
    for (name, value) in &told {
        if is_passed_on(name.as_str()) {
            headers.append(name, value.clone());
        }
    }
    headers.insert(CALL_ID, id.0.clone());
    let deployment = routed.member.deployment();
    for (name, text) in [(MODEL_ID, &deployment.id), (MODEL_GROUP, &deployment.name)] {
        // A name that no header can carry is left out.
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    }
    // What a stream costs is known at its end alone.
    let cost = cost.map(|cost| cost.total().to_string());
    if let Some(Ok(cost)) = cost.map(HeaderValue::try_from) {
        headers.insert(COST, cost);
    }
    headers.insert(RETRIES, routed.retries.into());
    headers.insert(FALLBACKS, routed.fallbacks.into());
    response
}

/// A whole answer that is none of one deployment.
pub(super) fn whole(body: Bytes, id: &CallId) -> Response {
    of_kind(Body::from(body), JSON, id)
}

/// The same as a stream of events.
pub(super) fn events(body: Body, id: &CallId) -> Response {
    let mut response = of_kind(body, EVENT_STREAM, id);
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, NO_CACHE);
    response
}

fn of_kind(body: Body, kind: HeaderValue, id: &CallId) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(CALL_ID, id.0.clone());
    response
}

/// What went wrong instead.
pub(super) fn failed(failure: Failure, id: &CallId) -> Response {
    let mut response = failure.into_response();
    response.headers_mut().insert(CALL_ID, id.0.clone());
    response
}

/// A stream whose pieces leave as they come. Dropped with the connection of the client, which ends
/// the request of the provider.
fn streaming(streamed: Box<Streamed>, chat: Chat, silence: Option<Duration>) -> Body {
    let events = stream::unfold(Some((streamed, chat)), |state| async move {
        let (mut streamed, mut chat) = state?;
        match streamed.next().await {
            None => {
                chat.ended(StatusCode::OK, streamed.usage(), streamed.cost());
                None
            }
            Some(Ok(events)) => {
                let events = Ok::<_, std::convert::Infallible>(events);
                Some((events, Some((streamed, chat))))
            }
            // Whoever reads to the end knows by the missing [DONE] that it is none.
            Some(Err(error)) => {
                let failure = Failure::from(error);
                chat.ended(failure.status(), streamed.usage(), streamed.cost());
                Some((Ok(Bytes::from(failure.event())), None))
            }
        }
    });
    match silence {
        Some(silence) => Body::from_stream(kept_alive(Box::pin(events), silence)),
        None => Body::from_stream(events),
    }
}
