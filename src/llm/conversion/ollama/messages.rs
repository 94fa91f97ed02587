//! The messages: one text each, with the pictures and the calls beside it.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::llm::types::chat::{Message, Role};
use crate::llm::types::content::{PartKind, Source};
use crate::llm::types::fields::Unusable;

pub(super) fn convert(messages: Vec<Message>) -> Result<Vec<Value>, Unusable> {
    // A result says which tool it is of by the tool's name; OpenAI's says it by the id of the call.
    let mut names = HashMap::new();
    let mut turns = Vec::with_capacity(messages.len());
    for message in messages {
        let calls = message.tool_calls.iter();
        names.extend(calls.map(|call| (call.id.clone(), call.name.clone())));
        turns.push(turn(message, &names)?);
    }
    Ok(turns)
}

fn turn(message: Message, names: &HashMap<String, String>) -> Result<Value, Unusable> {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let mut text = String::new();
    let mut images = Vec::new();
    let mut thoughts = message.reasoning_content;
    for part in message.content {
        match part.kind {
            PartKind::Text(more) | PartKind::Refusal(more) => text.push_str(&more),
            PartKind::Image { source, .. } => images.push(picture(source, &part.place)?),
            PartKind::File {
                source: source @ Source::Data { .. },
                ..
            } if is_picture(&source) => images.push(picture(source, &part.place)?),
            PartKind::Thinking(members) => {
                if let Some(Value::String(found)) = members.get("thinking") {
                    thoughts.get_or_insert_with(|| found.clone());
                }
            }
            PartKind::Audio { .. } => return Err(not_taken(&part.place, "sound")),
            PartKind::File { .. } => return Err(not_taken(&part.place, "a file")),
            PartKind::Other(members) => {
                let kind = members.get("type").and_then(Value::as_str);
                let kind = format!("a part of the type {:?}", kind.unwrap_or_default());
                return Err(not_taken(&part.place, &kind));
            }
        }
    }
    let mut turn = Map::new();
    turn.insert("role".to_owned(), Value::from(role));
    turn.insert("content".to_owned(), Value::from(text));
    if let Some(thoughts) = thoughts.filter(|thoughts| !thoughts.is_empty()) {
        turn.insert("thinking".to_owned(), Value::from(thoughts));
    }
    if !images.is_empty() {
        turn.insert("images".to_owned(), Value::Array(images));
    }
    let mut calls = Vec::new();
    for call in message.tool_calls {
        calls.push(json!({
            "id": call.id,
            "function": { "name": call.name, "arguments": call.arguments_object()? },
        }));
    }
    if !calls.is_empty() {
        turn.insert("tool_calls".to_owned(), Value::Array(calls));
    }
    if message.role == Role::Tool {
        let id = message.tool_call_id.unwrap_or_default();
        if let Some(name) = message.name.or_else(|| names.get(&id).cloned()) {
            turn.insert("tool_name".to_owned(), Value::from(name));
        }
        if !id.is_empty() {
            turn.insert("tool_call_id".to_owned(), Value::from(id));
        }
    }
    Ok(Value::Object(turn))
}

fn is_picture(source: &Source) -> bool {
    let kind = source.media_type();
    kind.is_some_and(|kind| kind.starts_with("image/"))
}

fn picture(source: Source, place: &str) -> Result<Value, Unusable> {
    match source {
        Source::Data { base64, .. } => Ok(Value::from(base64)),
        // URLs of the web were fetched before.
        Source::Url(_) | Source::Id(_) => Err(Unusable::new(
            place,
            "is a picture at a place that cannot be read here, and Ollama takes its bytes alone: give \
             an http(s) URL or a data: URL",
        )),
    }
}

fn not_taken(place: &str, what: &str) -> Unusable {
    let problem = format!("is {what}, and Ollama's API takes text and pictures alone");
    Unusable::new(place, problem)
}
