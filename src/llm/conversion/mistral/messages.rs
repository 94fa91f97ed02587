//! The messages. The API refuses members that it does not know, ids of other forms than its own, and
//! assistant messages that say nothing.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::llm::types::chat::{Message, Role};
use crate::llm::types::content::{Part, PartKind, Source};
use crate::llm::types::fields::Unusable;

/// `thinks` says whether the model takes thoughts of earlier turns.
pub(super) fn convert(messages: Vec<Message>, thinks: bool) -> Result<Vec<Value>, Unusable> {
    let mut ids = Ids::default();
    let mut turns = Vec::with_capacity(messages.len());
    for message in messages {
        turns.extend(match message.role {
            Role::System => Some(spoken("system", message.content)?),
            Role::User => Some(spoken("user", message.content)?),
            Role::Assistant => assistant(message, thinks, &mut ids)?,
            Role::Tool => Some(tool(message, &mut ids)?),
        });
    }
    Ok(turns)
}

fn spoken(role: &str, content: Vec<Part>) -> Result<Value, Unusable> {
    Ok(json!({ "role": role, "content": said(content)? }))
}

/// One text as it is, everything else as parts.
fn said(content: Vec<Part>) -> Result<Value, Unusable> {
    match content.as_slice() {
        [] => return Ok(Value::from("")),
        [only] if only.as_text().is_some() => {
            return Ok(Value::from(only.as_text().unwrap_or_default()));
        }
        _ => {}
    }
    let parts = content.into_iter().map(part);
    Ok(Value::Array(parts.collect::<Result<_, _>>()?))
}

fn part(part: Part) -> Result<Value, Unusable> {
    Ok(match part.kind {
        PartKind::Text(text) | PartKind::Refusal(text) => json!({ "type": "text", "text": text }),
        PartKind::Image { source, detail } => image(source, detail),
        PartKind::File {
            source, filename, ..
        } => match source {
            Source::Id(id) => json!({ "type": "file", "file_id": id }),
            Source::Data { ref media_type, .. } if media_type.starts_with("image/") => {
                image(source, None)
            }
            source => {
                let mut document = json!({ "type": "document_url", "document_url": url(source) });
                if let Some(name) = filename {
                    document["document_name"] = Value::from(name);
                }
                document
            }
        },
        PartKind::Audio { source, .. } => match source {
            Source::Data { base64, .. } => json!({ "type": "input_audio", "input_audio": base64 }),
            Source::Url(url) => json!({ "type": "input_audio", "input_audio": url }),
            Source::Id(_) => {
                let problem = "is sound by the id of an upload, and Mistral's API takes its bytes";
                return Err(Unusable::new(part.place, problem));
            }
        },
        PartKind::Thinking(members) => thinking(members),
        PartKind::Other(members) => Value::Object(members),
    })
}

fn url(source: Source) -> String {
    match source {
        Source::Url(url) => url,
        Source::Data { media_type, base64 } => format!("data:{media_type};base64,{base64}"),
        Source::Id(id) => id,
    }
}

fn image(source: Source, detail: Option<String>) -> Value {
    if let Source::Id(id) = source {
        return json!({ "type": "file", "file_id": id });
    }
    let mut image = json!({ "url": url(source) });
    if let Some(detail) = detail {
        image["detail"] = Value::from(detail);
    }
    json!({ "type": "image_url", "image_url": image })
}

/// A block of thoughts; their text is a list of parts there.
fn thinking(mut members: Map<String, Value>) -> Value {
    if let Some(Value::String(text)) = members.get("thinking") {
        let parts = json!([{ "type": "text", "text": text }]);
        members.insert("thinking".to_owned(), parts);
    }
    Value::Object(members)
}

fn assistant(message: Message, thinks: bool, ids: &mut Ids) -> Result<Option<Value>, Unusable> {
    let mut thoughts = Vec::new();
    let mut content = Vec::new();
    for one in message.content {
        match one.kind {
            PartKind::Thinking(members) => thoughts.push(thinking(members)),
            PartKind::Text(ref text) if text.is_empty() => {}
            _ => content.push(one),
        }
    }
    if thoughts.is_empty() {
        // Blocks of other providers have no text, or signatures that mean nothing here.
        let blocks = message.thinking_blocks.into_iter();
        thoughts.extend(blocks.filter_map(|block| match block {
            Value::Object(members) if members.get("type")? == "thinking" => Some(thinking(members)),
            _ => None,
        }));
    }
    if thoughts.is_empty()
        && let Some(text) = message.reasoning_content.filter(|text| !text.is_empty())
    {
        let parts = json!([{ "type": "text", "text": text }]);
        thoughts.push(json!({ "type": "thinking", "thinking": parts }));
    }
    let has_content = !content.is_empty();
    let mut said = said(content)?;
    if thinks && !thoughts.is_empty() {
        match said {
            Value::Array(parts) => thoughts.extend(parts),
            Value::String(text) if !text.is_empty() => {
                thoughts.push(json!({ "type": "text", "text": text }));
            }
            _ => {}
        }
        said = Value::Array(thoughts);
    } else if !has_content && message.tool_calls.is_empty() {
        return Ok(None);
    }
    let mut turn = Map::new();
    turn.insert("role".to_owned(), Value::from("assistant"));
    turn.insert("content".to_owned(), said);
    let mut calls = Vec::new();
    for call in message.tool_calls {
        let arguments = if call.arguments.trim().is_empty() {
            "{}".to_owned()
        } else {
            call.arguments_object()?;
            call.arguments
        };
        calls.push(json!({
            "id": ids.of(&call.id),
            "type": "function",
            "function": { "name": call.name, "arguments": arguments },
        }));
    }
    if !calls.is_empty() {
        turn.insert("tool_calls".to_owned(), Value::Array(calls));
    }
    if let Some(prefix) = message.rest.get("prefix") {
        turn.insert("prefix".to_owned(), prefix.clone());
    }
    Ok(Some(Value::Object(turn)))
}

fn tool(message: Message, ids: &mut Ids) -> Result<Value, Unusable> {
    let mut turn = json!({ "role": "tool", "content": said(message.content)? });
    if let Some(name) = message.name.filter(|name| !name.trim().is_empty()) {
        turn["name"] = Value::from(name);
    }
    if let Some(id) = message.tool_call_id {
        turn["tool_call_id"] = Value::from(ids.of(&id));
    }
    Ok(turn)
}

/// Ids of tool calls: nine letters and digits. Others, of other providers, become such ones, the same
/// in every request.
#[derive(Debug, Default)]
struct Ids {
    made: HashMap<String, String>,
}

const ID_LENGTH: usize = 9;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

impl Ids {
    fn of(&mut self, id: &str) -> String {
        let is_good = id.len() == ID_LENGTH && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if is_good {
            return id.to_owned();
        }
        if let Some(made) = self.made.get(id) {
            return made.clone();
        }
        let mut salt = 0;
        let made = loop {
            let made = shortened(id, salt);
            if self.made.values().all(|other| *other != made) {
                break made;
            }
            salt += 1;
        };
        self.made.insert(id.to_owned(), made.clone());
        made
    }
}

/// FNV-1a, written with letters and digits.
fn shortened(id: &str, salt: u64) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ salt;
    for byte in id.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let mut text = String::with_capacity(ID_LENGTH);
    for _ in 0..ID_LENGTH {
        let digit = usize::try_from(hash % 62).unwrap_or_default();
        text.push(char::from(DIGITS[digit]));
        hash /= 62;
    }
    text
}
