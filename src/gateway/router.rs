//! Which path is served by whom.

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use http::{Method, StatusCode, Uri};

use super::failure::Failure;
use super::mcp::rest;
use super::{Current, health, limits, llm, log, mcp, origin};

pub(super) fn router(current: Current) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(llm::chat_completions))
        .route("/chat/completions", post(llm::chat_completions))
        .route("/openai/deployments/{*rest}", post(llm::deployment))
        .route("/engines/{*rest}", post(llm::deployment))
        .route("/v1/models", get(llm::models))
        .route("/models", get(llm::models))
        .route("/v1/models/{*name}", get(llm::model))
        .route("/models/{*name}", get(llm::model))
        .route("/model/info", get(llm::info))
        .route("/v1/model/info", get(llm::info))
        .route("/mcp", mcp::methods())
        .route("/mcp/", mcp::methods())
        .route("/mcp/tools/list", get(rest::list))
        .route("/mcp/tools/call", post(rest::call))
        .route("/mcp/enabled", get(rest::enabled))
        .route("/mcp-rest/tools/list", get(rest::list_by_server))
        .route("/mcp-rest/tools/call", post(rest::call_by_server))
        .route("/v1/mcp/server", get(rest::servers))
        .route("/v1/mcp/tools", get(rest::list_by_server))
        .route("/v1/mcp/access_groups", get(rest::access_groups))
        .route("/mcp/{names}", mcp::methods())
        .route("/{names}/mcp", mcp::methods())
        .route("/mcp/sse", mcp::sse_methods())
        .route("/sse", mcp::sse_methods())
        .route("/health", get(health::health))
        .route("/health/liveliness", get(health::alive))
        .route("/health/liveness", get(health::alive))
        .route("/health/readiness", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/metrics/", get(health::metrics))
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed)
        .layer(from_fn_with_state(current.clone(), around))
        .with_state(current)
}

/// What stands around every route: the log outside, then where a request comes from, then its limits.
/// One layer of axum's, for each costs every request two allocations and a copy of the routes.
async fn around(State(current): State<Current>, request: Request, next: Next) -> Response {
    let (checked, limited) = (current.clone(), current.clone());
    log::layer(current, request, move |request| {
        origin::layer(checked, request, move |request| {
            limits::layer(limited, request, move |request| next.run(request))
        })
    })
    .await
}

async fn unknown(method: Method, uri: Uri) -> Failure {
    let message = format!("{method} {} is not served here", uri.path());
    Failure::new(StatusCode::NOT_FOUND, message)
}

async fn not_allowed(method: Method, uri: Uri) -> Failure {
    let message = format!("{} does not take {method}", uri.path());
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, message)
}
