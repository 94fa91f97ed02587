//! Small endpoints of models on loopback, so that a measurement shows the client: `OpenAI`'s chat
//! completions, Anthropic's messages and Bedrock's Converse.
//!
//! Each answers with one fixed answer, or with `--chunks N` pieces of one when a stream is asked
//! for. Below `/held` all of them wait before they answer, so that calls pile up in the client; below
//! `/rounds` is a model that calls tools. The first line on stdout is the address; it ends with its
//! stdin.

mod event_frame;
mod model_answers;
mod model_rounds;

use std::convert::Infallible;
use std::error::Error;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use futures_util::stream;
use serde::Deserialize;
use tokio::net::TcpListener;

use model_answers::{Answers, anthropic, bedrock, openai};

/// How long calls below `/held` wait: longer than a client takes to make a thousand connections.
const HELD: Duration = Duration::from_millis(1_500);

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    stream: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let chunks = match arguments.as_slice() {
        [flag, count] if flag == "--chunks" => count.parse()?,
        [] => 1_000,
        _ => return Err("usage: model_server [--chunks N]".into()),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "http://{}", listener.local_addr()?)?;

    let models = Router::new()
        .route("/v1/chat/completions", by_body(openai(chunks)))
        .route("/v1/messages", by_body(anthropic(chunks)))
        .merge(converse(bedrock(chunks)?));
    let app = models
        .clone()
        .nest("/held", models.layer(middleware::from_fn(hold)))
        .route("/rounds/v1/chat/completions", post(model_rounds::answer));
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

async fn hold(request: axum::extract::Request, next: Next) -> Response {
    tokio::time::sleep(HELD).await;
    next.run(request).await
}

/// A route whose body says whether a stream is asked for.
fn by_body(answers: Answers) -> axum::routing::MethodRouter {
    post(
        |State(answers): State<Answers>, Json(request): Json<Request>| async move {
            if request.stream {
                streamed(&answers)
            } else {
                whole(&answers)
            }
        },
    )
    .with_state(answers)
}

/// The routes of Bedrock, whose paths say it.
fn converse(answers: Answers) -> Router {
    let call = |State(answers): State<Answers>, _: Bytes| async move { whole(&answers) };
    let stream = |State(answers): State<Answers>, _: Bytes| async move { streamed(&answers) };
    Router::new()
        .route("/model/{model}/converse", post(call))
        .route("/model/{model}/converse-stream", post(stream))
        .with_state(answers)
}

fn whole(answers: &Answers) -> Response {
    let body = answers.whole.clone();
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

fn streamed(answers: &Answers) -> Response {
    let events = Arc::clone(&answers.events);
    let events = (0..events.len()).map(move |index| Ok::<_, Infallible>(events[index].clone()));
    let body = Body::from_stream(stream::iter(events));
    ([(CONTENT_TYPE, answers.framing)], body).into_response()
}
