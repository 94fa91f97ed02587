//! Which path is served by whom.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use super::{Shared, llm, mcp};

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(llm::chat_completions))
        .route("/chat/completions", post(llm::chat_completions))
        .route("/v1/models", get(llm::models))
        .route("/mcp", mcp::methods())
        .route("/mcp/", mcp::methods())
        .route("/health/liveliness", get(alive))
        .route("/health/liveness", get(alive))
        .with_state(shared)
}

async fn alive() -> &'static str {
    "\"I'm alive!\""
}
