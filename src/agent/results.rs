//! Results of calls as messages to the model.

use serde_json::{Value, json};

use super::outcome::Done;
use crate::error::Result;
use crate::json::RawJson;

/// The messages that tell a model what became of its calls, in the order of the calls.
pub(super) fn messages(done: &[Done]) -> Result<Vec<RawJson>> {
    let mut messages = Vec::with_capacity(done.len());
    for one in done {
        let message = json!({"role": "tool", "tool_call_id": one.call.id, "content": text(one)});
        messages.push(RawJson::from_serialize(&message)?);
    }
    Ok(messages)
}

/// A result as text.
pub(super) fn text(done: &Done) -> String {
    text_of(&String::from_utf8_lossy(done.result.as_bytes()))
}

/// The same of the text of a `CallToolResult`.
pub(super) fn text_of(result: &str) -> String {
    let result: Value = serde_json::from_str(result).unwrap_or_default();
    let blocks = result["content"].as_array().map_or(&[][..], Vec::as_slice);
    let texts = blocks.iter().filter_map(|block| block["text"].as_str());
    texts.collect::<Vec<_>>().join("\n")
}
