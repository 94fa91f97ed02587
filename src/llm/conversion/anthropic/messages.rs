//! The messages: turns of user and assistant alone, whose content is blocks.

use serde_json::{Map, Value, json};

use crate::llm::conversion::cited::{self, Stretch};
use crate::llm::types::chat::{Message, Role};
use crate::llm::types::content::{Part, PartKind, Source};
use crate::llm::types::fields::Unusable;

/// The instructions, as blocks.
pub(super) fn system(messages: Vec<Message>) -> Result<Vec<Value>, Unusable> {
    let mut blocks = Vec::new();
    for message in messages {
        let marker = message.cache_control;
        let parts = message.content.into_iter();
        let mut own = parts
            .filter_map(|part| block(part).transpose())
            .collect::<Result<Vec<_>, _>>()?;
        mark_last(&mut own, marker);
        blocks.extend(own);
    }
    Ok(blocks)
}

/// The turns. Messages of one side that follow each other are one turn.
pub(super) fn conversation(messages: Vec<Message>) -> Result<Vec<Value>, Unusable> {
    let mut turns: Vec<(&'static str, Vec<Value>)> = Vec::new();
    for message in messages {
        let (side, blocks) = match message.role {
            Role::Assistant => ("assistant", assistant(message)?),
            Role::Tool => ("user", vec![tool_result(message)?]),
            Role::User | Role::System => ("user", user(message)?),
        };
        match turns.last_mut() {
            // A turn without content is refused.
            _ if blocks.is_empty() => {}
            Some((last, content)) if *last == side => content.extend(blocks),
            _ => turns.push((side, blocks)),
        }
    }
    Ok(turns
        .into_iter()
        .map(|(side, content)| json!({ "role": side, "content": content }))
        .collect())
}

fn user(message: Message) -> Result<Vec<Value>, Unusable> {
    let marker = message.cache_control;
    let parts = message.content.into_iter();
    let mut blocks = parts
        .filter_map(|part| block(part).transpose())
        .collect::<Result<Vec<_>, _>>()?;
    mark_last(&mut blocks, marker);
    Ok(blocks)
}

fn assistant(message: Message) -> Result<Vec<Value>, Unusable> {
    // Reasoning without a signature is the text of other providers: this API refuses it.
    let mut blocks: Vec<Value> = message
        .thinking_blocks
        .into_iter()
        .filter(|block| block.get("signature").is_some() || block.get("data").is_some())
        .collect();
    let has_thinking = !blocks.is_empty();
    let is_whole = message.content.len() == 1;
    for part in message.content {
        if has_thinking && matches!(part.kind, PartKind::Thinking(_)) {
            continue;
        }
        let text = part.as_text().filter(|_| is_whole);
        match text.and_then(|text| cited::stretches(text, &message.rest, is_citation)) {
            Some(stretches) => {
                blocks.extend(stretches.into_iter().map(cited_text));
                mark_last(&mut blocks, part.cache_control);
            }
            None => blocks.extend(block(part)?),
        }
    }
    // Trailing white space of the last text is refused.
    if message.tool_calls.is_empty()
        && let Some(Value::String(text)) = blocks.last_mut().and_then(|block| block.get_mut("text"))
    {
        text.truncate(text.trim_end().len());
    }
    blocks.retain(|block| block.get("text").is_none_or(|text| text != ""));
    for call in message.tool_calls {
        let mut block = json!({
            "type": "tool_use",
            "id": call.id,
            "name": call.name,
            "input": call.arguments_object()?,
        });
        if let Some(marker) = call.cache_control {
            block["cache_control"] = marker;
        }
        blocks.push(block);
    }
    mark_last(&mut blocks, message.cache_control);
    Ok(blocks)
}

/// Whether a citation is one of this API.
fn is_citation(citation: &Value) -> bool {
    citation["type"].is_string()
}

fn cited_text(stretch: Stretch<'_>) -> Value {
    let mut block = json!({ "type": "text", "text": stretch.text });
    if let Some(citations) = stretch.citations {
        block["citations"] = citations.clone();
    }
    block
}

fn tool_result(message: Message) -> Result<Value, Unusable> {
    let parts = message.content.into_iter();
    let content = parts
        .filter_map(|part| block(part).transpose())
        .collect::<Result<Vec<_>, _>>()?;
    let mut result = json!({
        "type": "tool_result",
        "tool_use_id": message.tool_call_id,
        "content": content,
    });
    if let Some(is_error) = message.rest.get("is_error") {
        result["is_error"] = is_error.clone();
    }
    if let Some(marker) = message.cache_control {
        result["cache_control"] = marker;
    }
    Ok(result)
}

/// A part as a block; none for what says nothing.
fn block(part: Part) -> Result<Option<Value>, Unusable> {
    let mut block = match part.kind {
        PartKind::Text(text) if text.is_empty() => return Ok(None),
        PartKind::Text(text) | PartKind::Refusal(text) => json!({ "type": "text", "text": text }),
        PartKind::Image { source, .. } => {
            json!({ "type": "image", "source": location(source) })
        }
        PartKind::File {
            source, filename, ..
        } => document(source, filename),
        PartKind::Audio { .. } => {
            return Err(Unusable::new(
                part.place,
                "is sound, which Anthropic's API does not take",
            ));
        }
        PartKind::Thinking(members) | PartKind::Other(members) => Value::Object(members),
    };
    if let Value::Object(members) = &mut block {
        members.extend(part.rest);
        if let Some(marker) = part.cache_control {
            members.insert("cache_control".to_owned(), marker);
        }
    }
    Ok(Some(block))
}

fn location(source: Source) -> Value {
    match source {
        Source::Url(url) => json!({ "type": "url", "url": url }),
        Source::Data { media_type, base64 } => {
            json!({ "type": "base64", "media_type": media_type, "data": base64 })
        }
        Source::Id(id) => json!({ "type": "file", "file_id": id }),
    }
}

fn document(source: Source, filename: Option<String>) -> Value {
    let is_image = source
        .media_type()
        .is_some_and(|kind| kind.starts_with("image/"));
    if is_image {
        return json!({ "type": "image", "source": location(source) });
    }
    let mut block = Map::new();
    block.insert("type".to_owned(), Value::from("document"));
    block.insert("source".to_owned(), location(source));
    if let Some(title) = filename {
        block.insert("title".to_owned(), Value::from(title));
    }
    Value::Object(block)
}

/// A marker of a whole message stands on its last block.
fn mark_last(blocks: &mut [Value], marker: Option<Value>) {
    if let (Some(last), Some(marker)) = (blocks.last_mut(), marker) {
        last["cache_control"] = marker;
    }
}
