//! The messages: OpenAI's in the main, but system and tool messages are text, thoughts are a
//! `tool_plan` or parts, and unknown members are refused.

use serde_json::{Map, Value, json};

use crate::llm::types::chat::{Message, Role, ToolCall};
use crate::llm::types::content::{Part, PartKind, Source};
use crate::llm::types::fields::Unusable;

pub(super) fn convert(messages: Vec<Message>) -> Result<Vec<Value>, Unusable> {
    messages
        .into_iter()
        .map(|message| match message.role {
            Role::System => plain("system", message),
            Role::User => user(message),
            Role::Assistant => assistant(message),
            Role::Tool => tool(message),
        })
        .collect()
}

fn plain(role: &str, message: Message) -> Result<Value, Unusable> {
    let parts = message.content.into_iter().map(|part| match part.kind {
        PartKind::Text(text) | PartKind::Refusal(text) => Ok(text),
        _ => Err(no_place(&part.place, "a system message")),
    });
    let texts = parts.collect::<Result<Vec<_>, _>>()?;
    Ok(json!({ "role": role, "content": text(texts) }))
}

/// One text as it is, several as parts.
fn text(mut texts: Vec<String>) -> Value {
    if texts.len() < 2 {
        return Value::from(texts.pop().unwrap_or_default());
    }
    let parts = texts.into_iter();
    parts
        .map(|text| json!({ "type": "text", "text": text }))
        .collect()
}

fn no_place(place: &str, kind: &str) -> Unusable {
    let problem = format!("is no text, and {kind} is text alone in Cohere's API");
    Unusable::new(place, problem)
}

fn user(message: Message) -> Result<Value, Unusable> {
    let is_text = message.content.iter().all(|part| part.as_text().is_some());
    if is_text {
        return plain("user", message);
    }
    let parts = message.content.into_iter().map(|part| {
        let place = part.place;
        match part.kind {
            PartKind::Text(text) | PartKind::Refusal(text) => {
                Ok(json!({ "type": "text", "text": text }))
            }
            PartKind::Image { source, detail } => {
                let url = match source {
                    Source::Url(url) => url,
                    Source::Data { media_type, base64 } => {
                        format!("data:{media_type};base64,{base64}")
                    }
                    Source::Id(_) => {
                        let problem = "is the id of an upload to another provider: give the picture \
                                       by its URL";
                        return Err(Unusable::new(place, problem));
                    }
                };
                let mut image = json!({ "url": url });
                if let Some(detail) = detail {
                    image["detail"] = Value::from(detail);
                }
                Ok(json!({ "type": "image_url", "image_url": image }))
            }
            PartKind::Audio { .. } => Err(Unusable::new(
                place,
                "is sound, which Cohere's API does not take",
            )),
            PartKind::File { .. } => Err(Unusable::new(
                place,
                "is a file, which Cohere's API does not take: give its text in the parameter documents",
            )),
            PartKind::Thinking(members) | PartKind::Other(members) => Ok(Value::Object(members)),
        }
    });
    let content = parts.collect::<Result<Vec<_>, _>>()?;
    Ok(json!({ "role": "user", "content": content }))
}

fn assistant(message: Message) -> Result<Value, Unusable> {
    let mut content = Vec::new();
    let mut thoughts = message.reasoning_content;
    for part in message.content {
        match part.kind {
            PartKind::Text(text) | PartKind::Refusal(text) => {
                if !text.is_empty() {
                    content.push(json!({ "type": "text", "text": text }));
                }
            }
            PartKind::Thinking(members) => {
                if let Some(Value::String(text)) = members.get("thinking") {
                    thoughts.get_or_insert_with(|| text.clone());
                }
            }
            _ => return Err(no_place(&part.place, "an assistant message")),
        }
    }
    let mut turn = Map::new();
    turn.insert("role".to_owned(), Value::from("assistant"));
    let thoughts = thoughts.filter(|thoughts| !thoughts.is_empty());
    if message.tool_calls.is_empty() {
        if let Some(thoughts) = thoughts {
            content.insert(0, json!({ "type": "thinking", "thinking": thoughts }));
        }
    } else {
        if let Some(plan) = thoughts {
            turn.insert("tool_plan".to_owned(), Value::from(plan));
        }
        let calls = message.tool_calls.into_iter().map(call);
        let calls = calls.collect::<Result<Vec<_>, _>>()?;
        turn.insert("tool_calls".to_owned(), Value::Array(calls));
    }
    match content.as_slice() {
        [] => {}
        [only] if only["type"] == "text" => {
            turn.insert("content".to_owned(), only["text"].clone());
        }
        _ => {
            turn.insert("content".to_owned(), Value::Array(content));
        }
    }
    if let Some(citations) = cited(&message.rest) {
        turn.insert("citations".to_owned(), citations.clone());
    }
    Ok(Value::Object(turn))
}

/// Citations as an answer of this API had them.
fn cited(rest: &Map<String, Value>) -> Option<&Value> {
    let found = rest.get("provider_specific_fields")?.get("citations")?;
    found.as_array().filter(|all| !all.is_empty())?;
    Some(found)
}

fn call(call: ToolCall) -> Result<Value, Unusable> {
    let arguments = if call.arguments.trim().is_empty() {
        "{}".to_owned()
    } else {
        call.arguments_object()?;
        call.arguments
    };
    Ok(json!({
        "id": call.id,
        "type": "function",
        "function": { "name": call.name, "arguments": arguments },
    }))
}

fn tool(message: Message) -> Result<Value, Unusable> {
    let is_text = message.content.iter().all(|part| part.as_text().is_some());
    let content = if is_text {
        let texts = message.content.iter().filter_map(Part::as_text);
        text(texts.map(str::to_owned).collect())
    } else {
        let parts = message.content.into_iter().map(|part| match part.kind {
            PartKind::Text(text) => Ok(json!({ "type": "text", "text": text })),
            // Documents of the API's own.
            PartKind::Other(members) => Ok(Value::Object(members)),
            _ => Err(Unusable::new(
                part.place,
                "is no text, and a tool result is text or documents in Cohere's API",
            )),
        });
        Value::Array(parts.collect::<Result<_, _>>()?)
    };
    Ok(json!({
        "role": "tool",
        "tool_call_id": message.tool_call_id,
        "content": content,
    }))
}
