//! Streamable HTTP: a client posts a message, and its answer is the answer of the request.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;

use super::client::{Client, Described, Outlet};
use super::message::{self, Message};
use super::{Endpoint, message::Request};
use crate::gateway::Shared;
use crate::gateway::access::Caller;
use crate::gateway::failure::Failure;
use crate::json::RawJson;

/// The largest message of a client.
const MAXIMUM_BODY_BYTES: usize = 16 << 20;
/// The revision that is offered to a client which asks for one that is not known.
const LATEST: &str = "2025-11-25";

/// Hears nothing: the client takes one JSON answer.
struct Nobody;

impl Outlet for Nobody {
    fn send(&self, _message: Bytes) -> bool {
        false
    }
}

pub(in crate::gateway) async fn post(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let caller = shared.access.check(&headers)?;
    let body = axum::body::to_bytes(body, MAXIMUM_BODY_BYTES)
        .await
        .map_err(|failure| Failure::invalid(format!("the body cannot be read: {failure}")))?;
    let message = match message::read(&body) {
        Ok(message) => message,
        Err(error) => return Ok(json(StatusCode::BAD_REQUEST, message::refusal(error))),
    };
    Ok(shared.mcp.take(caller, message).await)
}

pub(in crate::gateway) async fn delete() -> StatusCode {
    StatusCode::METHOD_NOT_ALLOWED
}

impl Endpoint {
    async fn take(&self, caller: Caller, message: Message) -> Response {
        let client = Arc::new(Client::new(caller, Described::default()));
        match message {
            Message::Request(request) => {
                let outcome = if request.method == "initialize" {
                    Ok(initialized(&request))
                } else {
                    let nobody: Arc<dyn Outlet> = Arc::new(Nobody);
                    self.relay.request(&client, &request, &nobody).await
                };
                json(StatusCode::OK, message::answer(&request.id, &outcome))
            }
            Message::Notification { .. } | Message::Answer { .. } => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::ACCEPTED;
                response
            }
        }
    }
}

fn initialized(request: &Request) -> RawJson {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Asked {
        protocol_version: String,
    }
    let asked = request.params.as_ref();
    let asked: Option<Asked> = asked.and_then(|raw| serde_json::from_slice(raw.as_bytes()).ok());
    let known = crate::mcp::client::LEGACY_VERSIONS;
    let version = asked
        .map(|asked| asked.protocol_version)
        .filter(|version| known.contains(&version.as_str()))
        .unwrap_or_else(|| LATEST.to_owned());
    let answer = serde_json::json!({
        "protocolVersion": version,
        "capabilities": {"tools": {"listChanged": true}},
        "serverInfo": {"name": "toolbridge", "version": env!("CARGO_PKG_VERSION")},
    });
    RawJson::trusted(answer.to_string())
}

fn json(status: StatusCode, text: Bytes) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}
