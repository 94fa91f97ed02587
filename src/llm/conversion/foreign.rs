//! What conversations keep of other protocols, and OpenAI's own API refuses: thoughts with their
//! signatures, markers for prompt caching, pictures that a model made, what a provider said beside an answer.
//! Of the sound that a model made it takes the id alone, and that only where it made it itself. Looked for in
//! the text of a request, so that one without them goes out as it came.
//!
//! What a provider said beside an answer is for this provider alone: nobody else gets it who speaks OpenAI's protocol,
//! strict or not.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde_json::{Map, Value};

/// Members of messages, and of their tool calls.
const OF_MESSAGES: [&str; 4] = [
    "images",
    "thinking_blocks",
    "reasoning_content",
    "reasoning_items",
];
/// What a provider said beside an answer, or beside a call.
const BESIDE: &str = "provider_specific_fields";
/// The marker of parts, messages and tools.
const MARKER: &str = "cache_control";

/// The member of messages that holds sound.
const SOUND: &str = "audio";

/// Whether some of it may be in the text of a request.
pub fn is_in(body: &[u8]) -> bool {
    static NAMES: LazyLock<Vec<Finder<'static>>> = LazyLock::new(|| {
        let names = OF_MESSAGES.iter().chain([&MARKER, &SOUND, &BESIDE]);
        names.map(Finder::new).collect()
    });
    NAMES.iter().any(|name| name.find(body).is_some())
}

/// Whether a provider may have said something beside an answer in the text of a request.
pub fn is_beside(body: &[u8]) -> bool {
    static NAME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(BESIDE));
    NAME.find(body).is_some()
}

/// Takes that out of the messages.
pub fn take_beside(body: &mut Map<String, Value>) {
    for message in objects(body.get_mut("messages")) {
        message.shift_remove(BESIDE);
    }
}

/// Takes it out of a request. Arguments and texts that merely say such words are left alone. `makes_sound` says
/// whether the provider has sound of its own.
pub fn take_out(body: &mut Map<String, Value>, makes_sound: bool) {
    for message in objects(body.get_mut("messages")) {
        for name in OF_MESSAGES {
            message.shift_remove(name);
        }
        message.shift_remove(MARKER);
        take_sound(message, makes_sound);
        for call in objects(message.get_mut("tool_calls")) {
            call.shift_remove(BESIDE);
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

/// Leaves of sound the id that the provider keeps it under, and of that of others the words.
fn take_sound(message: &mut Map<String, Value>, makes_sound: bool) {
    let Some(Value::Object(sound)) = message.get_mut(SOUND) else {
        return;
    };
    // OpenAI's own does not say its kind: that is what was asked for.
    if makes_sound && sound.contains_key("id") && !sound.contains_key("mime_type") {
        sound.retain(|name, _| name == "id");
        return;
    }
    let words = sound.get("transcript").cloned();
    message.shift_remove(SOUND);
    let says_something = |name: &str| {
        let value = message.get(name).unwrap_or(&Value::Null);
        !value.is_null() && value != ""
    };
    if !says_something("content") && !says_something("tool_calls") {
        message.insert("content".to_owned(), words.unwrap_or_else(|| "".into()));
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
                {"role": "assistant", "content": "Here.", "provider_specific_fields": {"citations": []}, "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
            ],
            "tools": [{"type": "function", "cache_control": {}, "function": {"name": "f"}}],
        });
        assert!(is_in(body.to_string().as_bytes()));
        assert!(is_beside(body.to_string().as_bytes()));
        take_beside(body.as_object_mut().unwrap());
        assert_eq!(body["messages"][3].get(BESIDE), None);
        take_out(body.as_object_mut().unwrap(), true);
        assert_eq!(
            body,
            json!({
                "messages": [
                    asked,
                    {"role": "assistant", "content": null,
                     "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"cache_control\":1}"}}]},
                    {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "x"}]},
                    {"role": "assistant", "content": "Here."},
                ],
                "tools": [{"type": "function", "function": {"name": "f"}}],
            })
        );
        assert!(!is_in(
            br#"{"messages":[{"role":"user","content":"hello"}]}"#
        ));
    }

    #[test]
    fn of_sound_the_id_is_left_to_who_made_it_and_the_words_to_others() {
        let own = json!({"id": "audio_1", "data": "AAAA", "expires_at": 1, "transcript": "Sunny."});
        let mut of_google = own.clone();
        of_google["mime_type"] = json!("audio/wav");
        let left = |sound: &Value, content: Value, makes_sound: bool| {
            let message = json!({"role": "assistant", "content": content, "audio": sound});
            let mut body = json!({"messages": [message]});
            assert!(is_in(body.to_string().as_bytes()));
            take_out(body.as_object_mut().unwrap(), makes_sound);
            body["messages"][0].take()
        };
        let told = |content: &str| json!({"role": "assistant", "content": content});
        assert_eq!(
            left(&own, Value::Null, true),
            json!({"role": "assistant", "content": null, "audio": {"id": "audio_1"}})
        );
        assert_eq!(left(&own, Value::Null, false), told("Sunny."));
        assert_eq!(left(&of_google, Value::Null, true), told("Sunny."));
        assert_eq!(left(&of_google, json!("Hi."), true), told("Hi."));
        assert_eq!(left(&Value::Null, json!("Hi."), true)["audio"], Value::Null);
    }
}
