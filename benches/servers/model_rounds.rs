//! A model that calls tools: in each of [`ROUNDS`] rounds the tool `echo` [`CALLS`] times at once, then it
//! answers. The conversation alone says which round it is, so that clients do not disturb each other.

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

const ROUNDS: usize = 10;
const CALLS: usize = 8;
/// What the tool is called, behind the name of its server if that stands before it.
const TOOL: &str = "echo";
const SENTENCE: &str = "All echoes came back.";

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    messages: Vec<Message<'a>>,
    #[serde(default)]
    tools: Vec<Tool>,
}

#[derive(Deserialize)]
struct Message<'a> {
    role: &'a str,
}

#[derive(Deserialize)]
struct Tool {
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    name: String,
}

/// Answers a request for a chat completion. A conversation that lacks results of the calls is refused.
pub(crate) async fn answer(body: Bytes) -> Response {
    match completion(&body) {
        Ok(answer) => ([(CONTENT_TYPE, "application/json")], answer.to_string()).into_response(),
        Err(why) => {
            let body = json!({ "error": { "message": why, "type": "invalid_request_error" } });
            (StatusCode::BAD_REQUEST, body.to_string()).into_response()
        }
    }
}

fn completion(body: &[u8]) -> Result<Value, String> {
    let request: Request<'_> = serde_json::from_slice(body).map_err(|why| why.to_string())?;
    let of = |role: &str| {
        let messages = request.messages.iter();
        messages.filter(|message| message.role == role).count()
    };
    let (round, results) = (of("assistant"), of("tool"));
    if results != round * CALLS {
        return Err(format!("{results} results of {} calls", round * CALLS));
    }
    if round == ROUNDS {
        return Ok(said(
            &json!({ "role": "assistant", "content": SENTENCE }),
            "stop",
        ));
    }
    let mut names = request.tools.iter().map(|tool| &tool.function.name);
    let name = names.find(|name| name.ends_with(TOOL));
    let name = name.ok_or_else(|| format!("no tool {TOOL:?} is offered"))?;
    let calls: Vec<Value> = (0..CALLS)
        .map(|place| {
            let arguments = json!({ "text": format!("round {round}, call {place}") }).to_string();
            json!({
                "id": format!("call_{round}_{place}"),
                "type": "function",
                "function": { "name": name, "arguments": arguments },
            })
        })
        .collect();
    let message = json!({ "role": "assistant", "content": null, "tool_calls": calls });
    Ok(said(&message, "tool_calls"))
}

fn said(message: &Value, finish_reason: &str) -> Value {
    json!({
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1_750_000_000,
        "model": "gpt-4o",
        "choices": [{
            "index": 0,
            "message": message,
            "logprobs": null,
            "finish_reason": finish_reason,
        }],
        "usage": { "prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150 },
    })
}
