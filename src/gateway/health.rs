//! Whether the gateway serves, and what it can reach. Nothing here opens a connection unless it is
//! asked to.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Shared;
use super::access::Caller;
use super::failure::Failure;
use super::metrics::{gauge, labels};
use crate::llm::router;
use crate::mcp::{Member, Status};

const PROMETHEUS: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// What `/health` can be asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    /// Also reaches the servers whose connections were closed because nobody used them.
    #[serde(default)]
    check: bool,
}

/// `/health/liveliness`: the process answers. Needs no key.
pub(super) async fn alive() -> &'static str {
    "\"I'm alive!\""
}

/// `/health/readiness`: requests are taken. Needs no key.
pub(super) async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    // There is no database; LiteLLM's clients look for what it says of one.
    let told = |status| json!({"status": status, "db": "Not connected"});
    if shared.mcp.is_stopping() {
        let answer = (StatusCode::SERVICE_UNAVAILABLE, Json(told("stopping")));
        return answer.into_response();
    }
    Json(told("healthy")).into_response()
}

/// `/health`: the models and the servers that a caller may use.
pub(super) async fn health(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Json<Value> {
    if asked.check {
        shared.mcp.reach().await;
    }
    let (healthy, unhealthy): (Vec<Value>, Vec<Value>) = shared
        .models
        .members()
        .iter()
        .filter(|member| caller.may_ask(&member.deployment().name))
        .map(|member| deployment(member))
        .partition(|entry| entry.get("error").is_none());
    let servers = shared.mcp.members();
    let servers: Vec<Value> = servers
        .iter()
        .filter(|member| caller.may_use(member.config()))
        .map(|member| server(member))
        .collect();
    let is_well =
        unhealthy.is_empty() && servers.iter().all(|server| server.get("error").is_none());
    Json(json!({
        "status": if is_well { "healthy" } else { "degraded" },
        "healthy_count": healthy.len(),
        "unhealthy_count": unhealthy.len(),
        "healthy_endpoints": healthy,
        "unhealthy_endpoints": unhealthy,
        "mcp_servers": servers,
    }))
}

fn deployment(member: &router::Member) -> Value {
    let deployment = member.deployment();
    let load = member.load();
    let mut entry = Map::new();
    entry.insert("model_name".to_owned(), deployment.name.as_str().into());
    entry.insert("model".to_owned(), deployment.model.given.as_str().into());
    entry.insert("model_id".to_owned(), deployment.id.as_str().into());
    entry.insert("in_flight".to_owned(), load.in_flight.into());
    if let Some(cooling) = load.cooling {
        let seconds = cooling.as_secs_f64().ceil();
        let error = format!("it failed too often, and is left alone for {seconds} s");
        entry.insert("error".to_owned(), error.into());
    }
    entry.into()
}

fn server(member: &Member) -> Value {
    let config = member.config();
    let status = member.lasting().status();
    let mut entry = Map::new();
    let id = config.policy.server_id.as_deref().unwrap_or(&config.name);
    entry.insert("server_id".to_owned(), id.into());
    entry.insert("server_name".to_owned(), config.name.as_str().into());
    entry.insert("alias".to_owned(), config.alias.clone().into());
    entry.insert("status".to_owned(), status.name().into());
    if matches!(
        status,
        Status::Reconnecting | Status::Failed | Status::Closed
    ) {
        let why = member.lasting().last_error();
        let why = why.map_or_else(|| "it is not reached".to_owned(), |why| why.to_string());
        entry.insert("error".to_owned(), why.into());
    }
    entry.into()
}

/// `/metrics`, for Prometheus.
pub(super) async fn metrics(
    State(shared): State<Arc<Shared>>,
    caller: Result<Caller, Failure>,
) -> Result<Response, Failure> {
    if !shared.has_open_metrics && !caller?.is_operator() {
        let message = "this key sees what it may use; metrics show what everybody does";
        return Err(Failure::new(StatusCode::FORBIDDEN, message));
    }
    let mut text = shared.metrics.text();
    let sessions = shared.mcp.sessions_by_kind();
    let sessions = sessions.map(|(kind, count)| (labels(&[("transport", kind)]), count));
    gauge(
        &mut text,
        "toolbridge_mcp_sessions",
        "Sessions of MCP clients.",
        &sessions,
    );
    let streams = [(String::new(), shared.mcp.open_streams())];
    gauge(
        &mut text,
        "toolbridge_mcp_streams",
        "Streams that MCP clients read.",
        &streams,
    );
    let waiting = [(String::new(), shared.mcp.waiting_calls())];
    gauge(
        &mut text,
        "toolbridge_mcp_calls_waiting",
        "Calls that their servers have a question about, until their clients come back with the answer.",
        &waiting,
    );
    let members = shared.mcp.members();
    let servers: Vec<_> = members
        .iter()
        .map(|member| {
            let status = member.lasting().status();
            let who = [("server", member.name()), ("status", status.name())];
            (labels(&who), u64::from(status == Status::Ready))
        })
        .collect();
    gauge(
        &mut text,
        "toolbridge_mcp_server_up",
        "Whether an MCP server is reached; its status says more.",
        &servers,
    );
    let cooling: Vec<_> = shared
        .models
        .members()
        .iter()
        .map(|member| {
            let deployment = member.deployment();
            let who = [
                ("model", deployment.name.as_str()),
                ("deployment", &deployment.id),
            ];
            (labels(&who), u64::from(member.load().cooling.is_none()))
        })
        .collect();
    gauge(
        &mut text,
        "toolbridge_deployment_up",
        "Whether a deployment of a model is asked; 0 while it is left alone after failures.",
        &cooling,
    );
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, PROMETHEUS);
    Ok(response)
}
