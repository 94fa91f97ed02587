//! Deployments that answer by themselves: `mock_response`. Owns what such an answer looks like;
//! takes no connection and no time.

use std::convert::Infallible;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind};
use crate::llm::chat_stream::StreamSource;
use crate::llm::failure::FailureSite;
use crate::llm::passage::Passage;
use crate::llm::patience::Patience;
use crate::llm::retry::random_bits;

/// Texts that stand for a failure, with its kind and status: those of LiteLLM.
const FAILURES: [(&str, ErrorKind, u16); 4] = [
    ("litellm.RateLimitError", ErrorKind::RateLimit, 429),
    (
        "litellm.ContextWindowExceededError",
        ErrorKind::ContextWindowExceeded,
        400,
    ),
    (
        "litellm.ContentPolicyViolationError",
        ErrorKind::ContentPolicyViolation,
        400,
    ),
    (
        "litellm.InternalServerError",
        ErrorKind::InternalServer,
        500,
    ),
];

/// The whole answer of a script: a text is what the model says, an object the answer itself.
pub(super) fn whole(script: &Value, model: &str, site: &FailureSite) -> Result<Bytes, Error> {
    let text = match script {
        Value::String(text) => text.as_str(),
        other => return Ok(Bytes::from(other.to_string())),
    };
    check(text, site)?;
    let answer = json!({
        "id": id(),
        "object": "chat.completion",
        "created": now(),
        "model": model,
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": "stop",
        }],
        "usage": {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30},
    });
    Ok(Bytes::from(answer.to_string()))
}

/// The same as a stream, a word in each chunk.
pub(super) fn streamed(script: &Value, model: &str, site: &FailureSite) -> Result<Passage, Error> {
    let told = script.pointer("/choices/0/message/content");
    let text = script
        .as_str()
        .or_else(|| told?.as_str())
        .unwrap_or_default();
    check(text, site)?;
    let (id, created) = (id(), now());
    let event = |delta: Value, finish_reason: Value| {
        let chunk = json!({
            "id": id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
        });
        format!("data: {chunk}\n\n")
    };
    let mut events = event(json!({"role": "assistant", "content": ""}), Value::Null);
    for word in text.split_inclusive(' ') {
        events += &event(json!({"content": word}), Value::Null);
    }
    events += &event(json!({}), "stop".into());
    events += "data: [DONE]\n\n";
    let source = StreamSource {
        translation: None,
        site: site.clone(),
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        patience: Patience::default(),
    };
    let body = stream::iter([Ok::<_, Infallible>(Bytes::from(events))]);
    Ok(Passage::new(body, source))
}

fn check(text: &str, site: &FailureSite) -> Result<(), Error> {
    let Some((_, kind, status)) = FAILURES.into_iter().find(|(name, ..)| *name == text) else {
        return Ok(());
    };
    let message = format!("mock_response says {text}");
    Err(site
        .error(kind, message)
        .map_context(|context| context.status = Some(status)))
}

fn id() -> String {
    format!("chatcmpl-{:016x}", random_bits())
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
