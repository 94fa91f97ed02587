//! The messages: turns of user and assistant alone, the user first, whose content is blocks.

use serde_json::{Value, json};

use super::block::{SOUNDS, block, blocks, cache_point};
use super::model::Family;
use crate::llm::conversion::cited::{self, Stretch};
use crate::llm::conversion::sound;
use crate::llm::types::chat::{Message, Role};
use crate::llm::types::content::{self, PartKind};
use crate::llm::types::fields::Unusable;
use crate::tools::result::bedrock::tool_id;

/// The instructions, as blocks.
pub(super) fn system(messages: Vec<Message>) -> Result<Vec<Value>, Unusable> {
    let mut all = Vec::new();
    for message in messages {
        for part in message.content {
            let is_said = matches!(
                part.kind,
                PartKind::Text(_) | PartKind::Refusal(_) | PartKind::Other(_)
            );
            if !is_said {
                return Err(Unusable::new(
                    part.place,
                    "is no text, and instructions take nothing else on Bedrock",
                ));
            }
            all.extend(block(part)?);
        }
        all.extend(message.cache_control.map(|marker| cache_point(&marker)));
    }
    Ok(all)
}

/// The turns. Messages of one side that follow each other are one turn.
pub(super) fn conversation(messages: Vec<Message>, family: Family) -> Result<Vec<Value>, Unusable> {
    let mut turns: Vec<(&'static str, Vec<Value>)> = Vec::new();
    let mut first = None;
    for message in messages {
        let place = message.place.clone();
        let (side, blocks) = match message.role {
            Role::Assistant => ("assistant", assistant(message, family)?),
            Role::Tool => ("user", tool_result(message)?),
            Role::User | Role::System => ("user", said(message)?),
        };
        // The service refuses a turn without content.
        if blocks.is_empty() {
            continue;
        }
        first.get_or_insert((side, place));
        match turns.last_mut() {
            Some((last, content)) if *last == side => content.extend(blocks),
            _ => turns.push((side, blocks)),
        }
    }
    match first {
        Some(("user", _)) => {}
        Some((_, place)) => {
            return Err(Unusable::new(
                place,
                "is the assistant's, and a conversation begins with the user on Bedrock: put a user \
                 message before it",
            ));
        }
        None => {
            return Err(Unusable::new(
                "messages",
                "has no message of the user that says something, and Bedrock wants one",
            ));
        }
    }
    // Claude refuses white space at the end of what it is to go on with.
    if let Some(("assistant", content)) = turns.last_mut()
        && let Some(Value::String(text)) =
            content.last_mut().and_then(|block| block.get_mut("text"))
    {
        text.truncate(text.trim_end().len());
    }
    Ok(turns
        .into_iter()
        .map(|(side, content)| json!({ "role": side, "content": content }))
        .collect())
}

fn said(message: Message) -> Result<Vec<Value>, Unusable> {
    let mut all = blocks(message.content)?;
    add_marker(&mut all, message.cache_control.as_ref());
    Ok(all)
}

/// A marker of a message without content marks nothing.
fn add_marker(blocks: &mut Vec<Value>, marker: Option<&Value>) {
    if !blocks.is_empty() {
        blocks.extend(marker.map(cache_point));
    }
}

fn assistant(message: Message, family: Family) -> Result<Vec<Value>, Unusable> {
    // Reasoning without a signature is the text of other providers: it is refused.
    let mut all: Vec<Value> = message
        .thinking_blocks
        .iter()
        .filter_map(thoughts)
        .collect();
    let has_thoughts = !all.is_empty();
    let is_whole = message.content.len() == 1;
    for part in message.content {
        if let PartKind::Thinking(members) = part.kind {
            if !has_thoughts {
                all.extend(thoughts(&Value::Object(members)));
            }
            continue;
        }
        let text = part.as_text().filter(|_| is_whole);
        match text.and_then(|text| cited::stretches(text, &message.rest, is_citation)) {
            Some(stretches) => {
                all.extend(stretches.into_iter().map(cited_text));
                add_marker(&mut all, part.cache_control.as_ref());
            }
            None => all.extend(block(part)?),
        }
    }
    // Claude makes none, and refuses those of others in its turns.
    if family != Family::Claude {
        for picture in content::pictures(&message.rest, &message.place)? {
            all.extend(block(picture.part)?);
        }
        all.extend(sound::of(&message.rest).and_then(sounding));
    }
    for call in message.tool_calls {
        let input = call.arguments_object()?;
        all.push(json!({ "toolUse": {
            "toolUseId": tool_id(&call.id),
            "name": call.name,
            "input": input,
        } }));
        all.extend(call.cache_control.map(|marker| cache_point(&marker)));
    }
    add_marker(&mut all, message.cache_control.as_ref());
    Ok(all)
}

/// Whether a citation is one of this API: those of Anthropic's say their type.
fn is_citation(citation: &Value) -> bool {
    citation.is_object() && citation.get("type").is_none()
}

/// Sound of the kinds that the service has: what else others make, such as Google's bare samples, is no file.
fn sounding((kind, base64): (&str, &str)) -> Option<Value> {
    let format = kind.strip_prefix("audio/")?;
    SOUNDS
        .contains(&format)
        .then(|| json!({ "audio": { "format": format, "source": { "bytes": base64 } } }))
}

fn cited_text(stretch: Stretch<'_>) -> Value {
    match stretch.citations {
        Some(citations) => json!({ "citationsContent": {
            "content": [{ "text": stretch.text }],
            "citations": citations,
        } }),
        None => json!({ "text": stretch.text }),
    }
}

/// A block of reasoning as Anthropic has it.
fn thoughts(block: &Value) -> Option<Value> {
    if let Some(data) = block.get("data") {
        return Some(json!({ "reasoningContent": { "redactedContent": data } }));
    }
    let signature = block.get("signature").filter(|value| !value.is_null())?;
    let text = block.get("thinking").cloned().unwrap_or_default();
    let text = if text.is_string() { text } else { "".into() };
    Some(json!({ "reasoningContent": { "reasoningText": {
        "text": text,
        "signature": signature,
    } } }))
}

fn tool_result(message: Message) -> Result<Vec<Value>, Unusable> {
    let mut content = Vec::new();
    let mut points = Vec::new();
    for part in message.content {
        let place = part.place.clone();
        for found in block(part)? {
            // A result has no room for markers: they stand behind it.
            if found.get("cachePoint").is_some() {
                points.push(found);
            } else if ["text", "json", "image", "document", "video", "searchResult"]
                .iter()
                .any(|name| found.get(*name).is_some())
            {
                content.push(found);
            } else {
                return Err(Unusable::new(
                    place,
                    "is nothing that the result of a tool takes on Bedrock: it takes text, pictures, \
                     documents and films",
                ));
            }
        }
    }
    if content.is_empty() {
        content.push(json!({ "text": "" }));
    }
    let id = message.tool_call_id.unwrap_or_default();
    let mut result = json!({ "toolUseId": tool_id(&id), "content": content });
    if message.rest.get("is_error") == Some(&Value::Bool(true)) {
        result["status"] = Value::from("error");
    }
    let mut all = vec![json!({ "toolResult": result })];
    all.append(&mut points);
    add_marker(&mut all, message.cache_control.as_ref());
    Ok(all)
}
