//! The conversation: a list of items, in which calls, their results and reasoning stand beside messages.

use serde_json::{Map, Value, json};

use super::answer::PICTURE;
use crate::llm::types::chat::{Message, Role};
use crate::llm::types::content::{self, Part, PartKind, Picture, Source};
use crate::llm::types::fields::Unusable;

/// The member of an answer's message that holds its reasoning, to be sent back.
pub(super) const REASONING_ITEMS: &str = "reasoning_items";

/// Instructions that stand before all else, as one text; taken out of the conversation.
pub(super) fn instructions(messages: &mut Vec<Message>) -> Option<String> {
    let is_text = |message: &Message| {
        message.role == Role::System && message.content.iter().all(|part| part.as_text().is_some())
    };
    let count = messages.iter().take_while(|one| is_text(one)).count();
    let texts: Vec<String> = messages.drain(..count).map(|one| text(&one)).collect();
    (!texts.is_empty()).then(|| texts.join("\n\n"))
}

/// The items.
pub(super) fn convert(messages: Vec<Message>) -> Result<Vec<Value>, Unusable> {
    let mut items = Vec::new();
    for message in messages {
        match message.role {
            Role::System => items.push(spoken("developer", &parts(message.content)?)),
            Role::User => items.push(spoken("user", &parts(message.content)?)),
            Role::Assistant => assistant(message, &mut items)?,
            Role::Tool => items.push(result(message)?),
        }
    }
    Ok(items)
}

fn spoken(role: &str, content: &[Value]) -> Value {
    json!({ "type": "message", "role": role, "content": content })
}

fn assistant(mut message: Message, items: &mut Vec<Value>) -> Result<(), Unusable> {
    if let Some(reasoning) = message.rest.shift_remove(REASONING_ITEMS) {
        let Value::Array(reasoning) = reasoning else {
            let place = format!("{}.{REASONING_ITEMS}", message.place);
            return Err(Unusable::wrong(place, "a list", &reasoning));
        };
        items.extend(reasoning);
    }
    let pictures = content::pictures(&message.rest, &message.place)?.into_iter();
    items.extend(pictures.filter_map(made));
    // The API has parts of answers under ids that it made; a text needs none.
    let said = text(&message);
    if !said.is_empty() {
        items.push(json!({ "type": "message", "role": "assistant", "content": said }));
    }
    for call in message.tool_calls {
        let arguments = if call.arguments.trim().is_empty() {
            "{}"
        } else {
            &call.arguments
        };
        items.push(json!({
            "type": "function_call",
            "call_id": call.id,
            "name": call.name,
            "arguments": arguments,
        }));
    }
    Ok(())
}

/// A picture as the item that it came in. One of another provider has no id, and what the model says has no other
/// room for pictures: it stays where it came.
fn made(Picture { part, mut fields }: Picture) -> Option<Value> {
    let PartKind::Image { source, .. } = part.kind else {
        return None;
    };
    let Source::Data { base64, .. } = source else {
        return None;
    };
    let id = fields.shift_remove("id").filter(Value::is_string)?;
    let mut item = json!({ "type": PICTURE, "id": id, "result": base64, "status": "completed" });
    for (name, value) in fields {
        item[name] = value;
    }
    Some(item)
}

fn result(message: Message) -> Result<Value, Unusable> {
    let Some(id) = message.tool_call_id else {
        return Err(Unusable::new(
            message.place,
            "has no tool_call_id, so it is the result of no call",
        ));
    };
    let is_text = message.content.iter().all(|part| part.as_text().is_some());
    let output = if is_text {
        let texts = message.content.iter().filter_map(Part::as_text);
        Value::from(texts.collect::<String>())
    } else {
        Value::Array(parts(message.content)?)
    };
    Ok(json!({ "type": "function_call_output", "call_id": id, "output": output }))
}

/// What a message says, refusals included.
fn text(message: &Message) -> String {
    let texts = message.content.iter().map(|part| match &part.kind {
        PartKind::Text(text) | PartKind::Refusal(text) => text.as_str(),
        _ => "",
    });
    texts.collect()
}

fn parts(content: Vec<Part>) -> Result<Vec<Value>, Unusable> {
    content.into_iter().map(part).collect()
}

fn part(part: Part) -> Result<Value, Unusable> {
    let mut members = Map::new();
    let mut put = |name: &str, value: Value| {
        members.insert(name.to_owned(), value);
    };
    match part.kind {
        PartKind::Text(text) | PartKind::Refusal(text) => {
            put("type", Value::from("input_text"));
            put("text", Value::from(text));
        }
        PartKind::Image { source, detail } => {
            put("type", Value::from("input_image"));
            match source {
                Source::Id(id) => put("file_id", Value::from(id)),
                other => put("image_url", Value::from(url(other))),
            }
            put(
                "detail",
                Value::from(detail.unwrap_or_else(|| "auto".to_owned())),
            );
        }
        PartKind::File {
            source, filename, ..
        } => {
            put("type", Value::from("input_file"));
            match source {
                Source::Id(id) => put("file_id", Value::from(id)),
                Source::Url(url) => put("file_url", Value::from(url)),
                data @ Source::Data { .. } => {
                    let filename = filename.unwrap_or_else(|| "file".to_owned());
                    put("filename", Value::from(filename));
                    put("file_data", Value::from(url(data)));
                }
            }
        }
        PartKind::Audio { .. } => {
            return Err(Unusable::new(
                part.place,
                "is sound, which OpenAI's Responses API does not take",
            ));
        }
        PartKind::Thinking(own) | PartKind::Other(own) => members = own,
    }
    members.extend(part.rest);
    Ok(Value::Object(members))
}

fn url(source: Source) -> String {
    match source {
        Source::Url(url) => url,
        Source::Data { media_type, base64 } => format!("data:{media_type};base64,{base64}"),
        Source::Id(id) => id,
    }
}
