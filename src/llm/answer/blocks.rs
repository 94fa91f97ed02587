//! Answers whose content is a list of parts, as those of Claude at Databricks are: the text, and the
//! thoughts under the names that all providers have here. Pure.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde_json::{Map, Value, json};

/// Whether the content of a message, or of a delta, may be a list. Never decodes.
pub(super) fn may_be_there(body: &[u8]) -> bool {
    static KEY: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"content\""));
    let mut rest = body;
    while let Some(start) = KEY.find(rest) {
        rest = &rest[start + KEY.needle().len()..];
        let mut values = rest.iter().filter(|byte| !byte.is_ascii_whitespace());
        if values.next() == Some(&b':') && values.next() == Some(&b'[') {
            return true;
        }
    }
    false
}

/// Takes the parts of a message apart. Gives whether there were any.
pub(super) fn take_apart(message: &mut Map<String, Value>) -> bool {
    // The probabilities of tokens are a list of that name too, but no member of a message.
    let Some(Value::Array(parts)) = message.get_mut("content") else {
        return false;
    };
    let parts = std::mem::take(parts);
    let mut said = String::new();
    let mut thoughts = String::new();
    let mut blocks = Vec::new();
    let mut others = Vec::new();
    for part in parts {
        let text = |name: &str| part.get(name).and_then(Value::as_str).unwrap_or_default();
        match text("type") {
            "text" | "output_text" => said.push_str(text("text")),
            "reasoning" => {
                let summary = part.get("summary").and_then(Value::as_array);
                for summary in summary.into_iter().flatten() {
                    let thought = summary.get("text").and_then(Value::as_str);
                    let thought = thought.unwrap_or_default();
                    thoughts.push_str(thought);
                    let mut block = json!({ "type": "thinking", "thinking": thought });
                    if let Some(signature) = summary.get("signature") {
                        block["signature"] = signature.clone();
                    }
                    blocks.push(block);
                }
            }
            _ => others.push(part),
        }
    }
    let content = if said.is_empty() && !thoughts.is_empty() {
        Value::Null
    } else {
        Value::from(said)
    };
    message.insert("content".to_owned(), content);
    if !thoughts.is_empty() {
        message.insert("reasoning_content".to_owned(), Value::from(thoughts));
    }
    if !blocks.is_empty() {
        message.insert("thinking_blocks".to_owned(), Value::Array(blocks));
    }
    if !others.is_empty() {
        let fields = json!({ "content_blocks": others });
        message.insert("provider_specific_fields".to_owned(), fields);
    }
    true
}
