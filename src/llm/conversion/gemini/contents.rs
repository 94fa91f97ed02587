//! The contents: turns of user and model, whose content is parts.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::answer::{BLOCKS, SIGNATURE};
use super::model;
use crate::llm::conversion::sound;
use crate::llm::types::chat::{Message, Role, ToolCall};
use crate::llm::types::content::{self, Part, PartKind, Picture, Source};
use crate::llm::types::fields::Unusable;
use crate::tools::result::gemini;

/// What stands for the signature of a call that another provider made, as Google's documentation of
/// thought signatures has it: `skip_thought_signature_validator`, as bytes are written.
const FOREIGN_SIGNATURE: &str = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I=";

/// Parts of answers that OpenAI has no word for. Those of other protocols have other names.
const OWN: [&str; 5] = [
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
    "fileData",
];

/// The instructions, as parts.
pub(super) fn system(messages: Vec<Message>, model: &str) -> Vec<Value> {
    let parts = messages.into_iter().flat_map(|message| message.content);
    said(parts.collect(), model)
}

/// The turns. Messages of one side that follow each other are one turn.
pub(super) fn conversation(messages: Vec<Message>, model: &str) -> Result<Vec<Value>, Unusable> {
    // A result names the function, a message its call.
    let mut names: HashMap<String, String> = HashMap::new();
    let mut turns: Vec<(&'static str, Vec<Value>)> = Vec::new();
    for message in messages {
        for call in &message.tool_calls {
            names.insert(call.id.clone(), call.name.clone());
        }
        let (side, parts) = match message.role {
            Role::Assistant => ("model", answer(message, model)?),
            Role::Tool => ("user", vec![result(message, &names, model)]),
            Role::User | Role::System => ("user", said(message.content, model)),
        };
        match turns.last_mut() {
            // A turn without content is refused.
            _ if parts.is_empty() => {}
            Some((last, content)) if *last == side => content.extend(parts),
            _ => turns.push((side, parts)),
        }
    }
    Ok(turns
        .into_iter()
        .map(|(side, parts)| json!({ "role": side, "parts": parts }))
        .collect())
}

fn said(content: Vec<Part>, model: &str) -> Vec<Value> {
    let parts = content.into_iter();
    parts.filter_map(|part| converted(part, model)).collect()
}

/// The resolution that a level of detail of OpenAI's means.
pub(super) fn resolution(detail: &str) -> Option<&'static str> {
    match detail {
        "low" => Some("MEDIA_RESOLUTION_LOW"),
        "high" => Some("MEDIA_RESOLUTION_HIGH"),
        _ => None,
    }
}

fn answer(message: Message, model: &str) -> Result<Vec<Value>, Unusable> {
    let content = message.content.into_iter();
    // Thoughts of earlier turns are not sent back: their signatures stand with the calls.
    let content = content.filter(|part| !matches!(part.kind, PartKind::Thinking(_)));
    let fields = message.rest.get("provider_specific_fields");
    // What Google ran itself stands before what is drawn from it. What else an answer is grounded on stays where
    // it came: a turn has a role and parts, and grounding is the candidate's.
    // (<https://ai.google.dev/api/caching#Content>)
    let mut parts = own(fields);
    parts.extend(said(content.collect(), model));
    if let Some(signature) = fields.and_then(|fields| fields.get(SIGNATURE))
        && let Some(last) = parts.iter_mut().rfind(|part| part["text"].is_string())
    {
        last["thoughtSignature"] = signature.clone();
    }
    let pictures = content::pictures(&message.rest, &message.place)?.into_iter();
    parts.extend(pictures.filter_map(|one| picture(one, model)));
    parts.extend(
        sound::of(&message.rest)
            .map(|(kind, base64)| json!({ "inlineData": { "mimeType": kind, "data": base64 } })),
    );
    for (place, call) in message.tool_calls.iter().enumerate() {
        let mut part = json!({
            "functionCall": {
                "id": call.id,
                "name": call.name,
                "args": call.arguments_object()?,
            }
        });
        // Of calls at once only the first is signed.
        if let Some(signature) = signature(call) {
            part["thoughtSignature"] = signature;
        } else if place == 0 && model::needs_signatures(model) {
            part["thoughtSignature"] = Value::from(FOREIGN_SIGNATURE);
        }
        parts.push(part);
    }
    Ok(parts)
}

/// The parts that an answer had beside those which OpenAI has a word for.
fn own(fields: Option<&Value>) -> Vec<Value> {
    let blocks = fields.and_then(|fields| fields.get(BLOCKS)?.as_array());
    let blocks = blocks.into_iter().flatten();
    let is_own = |block: &&Value| OWN.iter().any(|name| block.get(*name).is_some());
    blocks.filter(is_own).cloned().collect()
}

/// A picture that a model made, with its signature.
fn picture(Picture { part, fields }: Picture, model: &str) -> Option<Value> {
    let mut picture = converted(part, model)?;
    if let Some(signature) = fields.get(SIGNATURE) {
        picture["thoughtSignature"] = signature.clone();
    }
    Some(picture)
}

fn signature(call: &ToolCall) -> Option<Value> {
    let fields = call.provider_specific_fields.as_ref()?;
    fields.get("thought_signature").cloned()
}

fn result(message: Message, names: &HashMap<String, String>, model: &str) -> Value {
    let id = message.tool_call_id.unwrap_or_default();
    let name = names.get(&id).cloned().or(message.name);
    let mut texts = Vec::new();
    let mut media = Vec::new();
    for part in message.content {
        match part.kind {
            PartKind::Text(text) => texts.push(text),
            _ => media.extend(converted(part, model)),
        }
    }
    let is_error = message.rest.get("is_error") == Some(&Value::Bool(true));
    let response = gemini::response(&texts.concat(), is_error);
    let mut result = json!({ "id": id, "name": name, "response": response });
    if !media.is_empty() {
        result["parts"] = Value::Array(media);
    }
    json!({ "functionResponse": result })
}

/// A part; none for what says nothing.
fn converted(part: Part, model: &str) -> Option<Value> {
    let mut converted = match part.kind {
        PartKind::Text(text) if text.is_empty() => return None,
        PartKind::Text(text) | PartKind::Refusal(text) => json!({ "text": text }),
        PartKind::Image { source, detail } => {
            let mut image = bytes(source, None, "image/jpeg");
            let level = detail.as_deref().and_then(resolution);
            if let Some(level) = level.filter(|_| model::has_resolutions(model)) {
                image["mediaResolution"] = json!({ "level": level });
            }
            image
        }
        PartKind::Audio { source, .. } => bytes(source, None, "audio/wav"),
        PartKind::File { source, format, .. } => bytes(source, format, "application/pdf"),
        PartKind::Thinking(_) => return None,
        // A part as Gemini writes it, with OpenAI's mark of its type.
        PartKind::Other(mut members) => {
            members.shift_remove("type");
            Value::Object(members)
        }
    };
    if let Value::Object(members) = &mut converted {
        members.extend(part.rest);
    }
    Some(converted)
}

fn bytes(source: Source, format: Option<String>, otherwise: &str) -> Value {
    match source {
        Source::Data { media_type, base64 } => {
            json!({ "inlineData": { "mimeType": media_type, "data": base64 } })
        }
        Source::Url(url) | Source::Id(url) => {
            let mut data = Map::new();
            // A video and an uploaded file say themselves what they are.
            let known = format.or_else(|| by_extension(&url).map(str::to_owned));
            if let Some(kind) =
                known.or_else(|| (!is_at_google(&url)).then(|| otherwise.to_owned()))
            {
                data.insert("mimeType".to_owned(), Value::from(kind));
            }
            data.insert("fileUri".to_owned(), Value::from(url));
            json!({ "fileData": data })
        }
    }
}

/// Whether Google reaches what a URL names by itself.
pub(super) fn is_at_google(url: &str) -> bool {
    let host = url.split_once("://").map_or("", |(_, rest)| {
        rest.split(['/', '?', ':']).next().unwrap_or_default()
    });
    matches!(
        host,
        "generativelanguage.googleapis.com" | "www.youtube.com" | "youtube.com" | "youtu.be"
    )
}

fn by_extension(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next()?;
    let (_, extension) = path.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "heic" => "image/heic",
        "pdf" => "application/pdf",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        "mov" => "video/quicktime",
        "mp3" => "audio/mpeg",
        "wav" => "audio/wav",
        "flac" => "audio/flac",
        "txt" => "text/plain",
        _ => return None,
    })
}
