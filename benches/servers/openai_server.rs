//! A small OpenAI-compatible endpoint on loopback, so that a measurement shows the client.
//!
//! `POST /v1/chat/completions` answers with one fixed completion, or with `--chunks N` chunks when
//! the body asks for a stream. The first line on stdout is the base URL; it ends with its stdin.

use std::convert::Infallible;
use std::error::Error;
use std::io::{Read, Write};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    stream: bool,
}

#[derive(Clone)]
struct Answers {
    completion: Bytes,
    /// Shared: a clone of the state must not copy thousands of chunks for every request.
    events: Arc<[Bytes]>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let chunks = match arguments.as_slice() {
        [flag, count] if flag == "--chunks" => count.parse()?,
        [] => 1_000,
        _ => return Err("usage: openai_server [--chunks N]".into()),
    };
    let answers = Answers {
        completion: Bytes::from(completion().to_string()),
        events: events(chunks).into(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "http://{}/v1", listener.local_addr()?)?;

    let app = Router::new()
        .route("/v1/chat/completions", post(complete))
        .with_state(answers);
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

async fn complete(State(answers): State<Answers>, Json(request): Json<Request>) -> Response {
    if request.stream {
        let events = answers.events;
        let events = (0..events.len()).map(move |index| Ok::<_, Infallible>(events[index].clone()));
        let events = stream::iter(events);
        (
            [(CONTENT_TYPE, "text/event-stream")],
            Body::from_stream(events),
        )
            .into_response()
    } else {
        ([(CONTENT_TYPE, "application/json")], answers.completion).into_response()
    }
}

fn completion() -> Value {
    json!({
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1_750_000_000,
        "model": "gpt-4o",
        "system_fingerprint": "fp_bench",
        "choices": [{
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "The capital of France is Paris, on the river Seine.",
                "refusal": null,
                "annotations": [],
            },
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": {
            "prompt_tokens": 14,
            "completion_tokens": 12,
            "total_tokens": 26,
            "prompt_tokens_details": { "cached_tokens": 0, "audio_tokens": 0 },
            "completion_tokens_details": { "reasoning_tokens": 0, "audio_tokens": 0 },
        },
        "service_tier": "default",
    })
}

fn events(count: usize) -> Vec<Bytes> {
    let event = |delta: Value, finish_reason: Value| {
        let chunk = json!({
            "id": "chatcmpl-bench",
            "object": "chat.completion.chunk",
            "created": 1_750_000_000,
            "model": "gpt-4o",
            "system_fingerprint": "fp_bench",
            "choices": [{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason }],
        });
        Bytes::from(format!("data: {chunk}\n\n"))
    };
    let mut events = vec![event(
        json!({ "role": "assistant", "content": "" }),
        Value::Null,
    )];
    for index in 2..count {
        events.push(event(
            json!({ "content": format!(" word{index}") }),
            Value::Null,
        ));
    }
    events.push(event(json!({}), json!("stop")));
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    events
}
