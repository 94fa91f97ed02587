//! A trivial MCP server over Streamable HTTP, with JSON answers; see `answers.rs`.
//!
//! `--tools N` says how many tools it lists, 3 by default. The first line on stdout is the URL; it ends with
//! its stdin.

mod answers;

use std::error::Error;
use std::io::{Read, Write};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let tools = match arguments.as_slice() {
        [flag, count] if flag == "--tools" => count.parse()?,
        [] => 3,
        _ => return Err("usage: http_server [--tools N]".into()),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "http://{}/mcp", listener.local_addr()?)?;
    let app = Router::new()
        .route("/mcp", post(take).delete(StatusCode::OK))
        .with_state(Arc::new(answers::Known::new(tools)));
    let listener = listener.tap_io(|connection| {
        // Without it the kernel holds small answers back for up to 40 ms.
        if let Err(error) = connection.set_nodelay(true) {
            tracing::warn!(%error, "TCP_NODELAY");
        }
    });
    tokio::select! {
        served = axum::serve(listener, app) => served?,
        ended = tokio::task::spawn_blocking(wait_for_end_of_input) => { ended??; }
    }
    Ok(())
}

/// Returns when whoever started this program has gone.
fn wait_for_end_of_input() -> std::io::Result<usize> {
    std::io::stdin().lock().read_to_end(&mut Vec::new())
}

async fn take(State(known): State<Arc<answers::Known>>, message: String) -> Response {
    match answers::answer(&message, &known) {
        Ok(Some(answer)) => {
            let headers = [
                (CONTENT_TYPE.as_str(), "application/json"),
                ("mcp-session-id", "1"),
            ];
            (headers, answer).into_response()
        }
        Ok(None) => StatusCode::ACCEPTED.into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}
