//! A line for each request: what was asked for and how it went. Never a header, a query or a body.

use std::time::Instant;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use tracing::Level;

const TARGET: &str = "toolbridge::gateway";

/// Says at DEBUG how a request was answered; costs nothing where nobody listens.
pub(super) async fn layer(request: Request, next: Next) -> Response {
    if !tracing::enabled!(target: TARGET, Level::DEBUG) {
        return next.run(request).await;
    }
    let started = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let milliseconds = started.elapsed().as_secs_f64() * 1000.0;
    tracing::debug!(
        target: TARGET,
        method = method.as_str(),
        path,
        status = response.status().as_u16(),
        milliseconds,
        "a request was answered"
    );
    response
}
