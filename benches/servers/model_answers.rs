//! What the endpoints of models answer: the same sentence, and the same words of a stream, in each
//! protocol.

use std::error::Error;
use std::sync::Arc;

use axum::body::Bytes;
use serde_json::{Value, json};

use crate::event_frame::frame;

const SENTENCE: &str = "The capital of France is Paris, on the river Seine.";

/// The answers of one endpoint.
#[derive(Clone)]
pub(crate) struct Answers {
    pub(crate) whole: Bytes,
    /// Shared: a clone must not copy thousands of pieces for every request.
    pub(crate) events: Arc<[Bytes]>,
    /// The content type of a stream.
    pub(crate) framing: &'static str,
}

/// `OpenAI`'s chat completions; as many chunks as events but the last.
pub(crate) fn openai(chunks: usize) -> Answers {
    let chunk = |delta: Value, finish_reason: Value| {
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
    let mut events = vec![chunk(
        json!({ "role": "assistant", "content": "" }),
        Value::Null,
    )];
    events.extend(words(chunks).map(|word| chunk(json!({ "content": word }), Value::Null)));
    events.push(chunk(json!({}), json!("stop")));
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    let whole = json!({
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1_750_000_000,
        "model": "gpt-4o",
        "system_fingerprint": "fp_bench",
        "choices": [{
            "index": 0,
            "message": {
                "role": "assistant",
                "content": SENTENCE,
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
    });
    Answers {
        whole: whole.to_string().into(),
        events: events.into(),
        framing: "text/event-stream",
    }
}

/// Anthropic's messages.
pub(crate) fn anthropic(chunks: usize) -> Answers {
    let usage = json!({
        "input_tokens": 14,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 12,
        "service_tier": "standard",
    });
    let message = |content: Value, stop_reason: Value| {
        json!({
            "id": "msg_bench",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5",
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": null,
            "usage": usage,
        })
    };
    let event = |name: &str, mut data: Value| {
        data["type"] = Value::from(name);
        Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
    };
    let mut events = vec![
        event(
            "message_start",
            json!({ "message": message(json!([]), Value::Null) }),
        ),
        event(
            "content_block_start",
            json!({ "index": 0, "content_block": { "type": "text", "text": "" } }),
        ),
        event("ping", json!({})),
    ];
    events.extend(words(chunks).map(|word| {
        let delta = json!({ "type": "text_delta", "text": word });
        event("content_block_delta", json!({ "index": 0, "delta": delta }))
    }));
    events.push(event("content_block_stop", json!({ "index": 0 })));
    events.push(event(
        "message_delta",
        json!({
            "delta": { "stop_reason": "end_turn", "stop_sequence": null },
            "usage": { "output_tokens": chunks },
        }),
    ));
    events.push(event("message_stop", json!({})));
    let whole = message(
        json!([{ "type": "text", "text": SENTENCE }]),
        json!("end_turn"),
    );
    Answers {
        whole: whole.to_string().into(),
        events: events.into(),
        framing: "text/event-stream",
    }
}

/// Bedrock's Converse.
pub(crate) fn bedrock(chunks: usize) -> Result<Answers, Box<dyn Error>> {
    let usage = json!({ "inputTokens": 14, "outputTokens": 12, "totalTokens": 26 });
    let mut events = vec![frame("messageStart", &json!({ "role": "assistant" }))?];
    for word in words(chunks) {
        // The service fills up its events, so that nobody guesses at texts by their lengths.
        let delta =
            json!({ "contentBlockIndex": 0, "delta": { "text": word }, "p": "abcdefghijkl" });
        events.push(frame("contentBlockDelta", &delta)?);
    }
    events.push(frame(
        "contentBlockStop",
        &json!({ "contentBlockIndex": 0, "p": "abc" }),
    )?);
    events.push(frame(
        "messageStop",
        &json!({ "stopReason": "end_turn", "p": "abcdef" }),
    )?);
    events.push(frame(
        "metadata",
        &json!({ "metrics": { "latencyMs": 9 }, "usage": usage, "p": "abcd" }),
    )?);
    let whole = json!({
        "metrics": { "latencyMs": 9 },
        "output": { "message": { "role": "assistant", "content": [{ "text": SENTENCE }] } },
        "stopReason": "end_turn",
        "usage": usage,
    });
    Ok(Answers {
        whole: whole.to_string().into(),
        events: events.into(),
        framing: "application/vnd.amazon.eventstream",
    })
}

/// The text of a stream, but for a chunk at its begin and one at its end.
fn words(chunks: usize) -> impl Iterator<Item = String> {
    (2..chunks).map(|index| format!(" word{index}"))
}
