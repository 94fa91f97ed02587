//! Which path is served by whom.

use axum::Router;
use axum::routing::{get, post};

use super::{Current, llm, mcp};

pub(super) fn router(current: Current) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(llm::chat_completions))
        .route("/chat/completions", post(llm::chat_completions))
        .route("/v1/models", get(llm::models))
        .route("/mcp", mcp::methods())
        .route("/mcp/", mcp::methods())
        .route("/mcp/sse", mcp::sse_methods())
        .route("/sse", mcp::sse_methods())
        .route("/health/liveliness", get(alive))
        .route("/health/liveness", get(alive))
        .with_state(current)
}

async fn alive() -> &'static str {
    "\"I'm alive!\""
}
