//! What conversations keep of other protocols, and OpenAI's own API refuses: thoughts with their
//! signatures, markers for prompt caching, what a provider said beside an answer. Looked for in the
//! text of a request, so that one without them goes out as it came.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde_json::{Map, Value};

/// Members of messages, and of their tool calls.
const OF_MESSAGES: [&str; 4] = [
    "thinking_blocks",
    "reasoning_content",
    "reasoning_items",
    "provider_specific_fields",
];
/// The marker of parts, messages and tools.
const MARKER: &str = "cache_control";

/// Whether some of it may be in the text of a request.
pub fn is_in(body: &[u8]) -> bool {
    static NAMES: LazyLock<Vec<Finder<'static>>> = LazyLock::new(|| {
        let names = OF_MESSAGES.iter().chain(std::iter::once(&MARKER));
        names.map(Finder::new).collect()
    });
    NAMES.iter().any(|name| name.find(body).is_some())
}

/// Takes it out of a request. Arguments and texts that merely say such words are left alone.
pub fn take_out(body: &mut Map<String, Value>) {
    for message in objects(body.get_mut("messages")) {
        for name in OF_MESSAGES {
            message.shift_remove(name);
        }
        message.shift_remove(MARKER);
        for call in objects(message.get_mut("tool_calls")) {
            call.shift_remove("provider_specific_fields");
            call.shift_remove(MARKER);
        }
        for part in objects(message.get_mut("content")) {
            part.shift_remove(MARKER);
        }
        if let Some(Value::Array(parts)) = message.get_mut("content") {
            parts.retain(|part| {
                let kind = part.get("type").and_then(Value::as_str);
                !matches!(kind, Some("thinking" | "redacted_thinking"))
            });
        }
    }
    for tool in objects(body.get_mut("tools")) {
        tool.shift_remove(MARKER);
        if let Some(Value::Object(function)) = tool.get_mut("function") {
            function.shift_remove(MARKER);
        }
    }
}

fn objects(list: Option<&mut Value>) -> impl Iterator<Item = &mut Map<String, Value>> {
    let items = list.and_then(Value::as_array_mut).into_iter().flatten();
    items.filter_map(Value::as_object_mut)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_another_protocol_left_is_taken_out_and_nothing_else() {
        let asked = json!({"role": "user", "content": "What is cache_control?"});
        let mut body = json!({
            "messages": [
                asked,
                {"role": "assistant", "content": null, "reasoning_content": "hm",
                 "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}],
                 "tool_calls": [{"id": "c", "type": "function", "provider_specific_fields": {"thought_signature": "s"},
                                 "function": {"name": "f", "arguments": "{\"cache_control\":1}"}}]},
                {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "x", "cache_control": {}}]},
            ],
            "tools": [{"type": "function", "cache_control": {}, "function": {"name": "f"}}],
        });
        assert!(is_in(body.to_string().as_bytes()));
        take_out(body.as_object_mut().unwrap());
        assert_eq!(
            body,
            json!({
                "messages": [
                    asked,
                    {"role": "assistant", "content": null,
                     "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"cache_control\":1}"}}]},
                    {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "x"}]},
                ],
                "tools": [{"type": "function", "function": {"name": "f"}}],
            })
        );
        assert!(!is_in(
            br#"{"messages":[{"role":"user","content":"hello"}]}"#
        ));
    }
}
