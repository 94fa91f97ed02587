//! What a result says: its blocks as pieces, in their order. Owns [`Reading`] and [`Piece`].
//!
//! Follows `CallToolResult` of the MCP specification, 2024-11-05 to 2026-07-28, and what came before
//! it (`toolResult`). Members are read by either spelling, that of the wire and that of Python's SDKs.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::media::{About, Media, Medium, is_text, plain_base64, plain_type, type_by_content};
use super::{member, note, said};

/// From this many characters on, a text without blanks that is base64 is taken for bytes.
const BYTES: usize = 1_000;
/// The longest text that is shown of a block that nobody here knows.
const SHOWN: usize = 200;

/// One piece of a result.
#[derive(Debug, Clone)]
pub(super) enum Piece<'a> {
    /// What the tool says.
    Text(Cow<'a, str>),
    /// What is said here of something that is no text.
    Note(String),
    /// The text of a resource.
    Document {
        text: Cow<'a, str>,
        mime: Option<Cow<'a, str>>,
        about: About<'a>,
    },
    /// Bytes.
    Media(Media<'a>),
    /// Structured content that no text says.
    Json(Cow<'a, Value>),
}

impl Piece<'_> {
    /// The piece as text; none for bytes.
    pub(super) fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Note(text) => Some(Cow::Borrowed(text)),
            Self::Json(value) => Some(Cow::Owned(value.to_string())),
            Self::Document { text, mime, about } => {
                let place = about.uri.or(about.name);
                if place.is_none() && mime.is_none() {
                    return Some(Cow::Borrowed(text));
                }
                let head = note::described("resource", mime.as_deref(), None, place);
                Some(Cow::Owned(format!("[{head}]\n{text}")))
            }
            Self::Media(_) => None,
        }
    }
}

/// What a result says.
#[derive(Debug, Clone)]
pub(super) struct Reading<'a> {
    /// Never empty.
    pub(super) pieces: Vec<Piece<'a>>,
    pub(super) is_error: bool,
}

impl<'a> Reading<'a> {
    pub(super) fn of(result: &'a Value) -> Self {
        let is_error = member(result, "isError", "is_error") == Some(&Value::Bool(true));
        let mut pieces: Vec<Piece<'a>> = blocks(result).iter().filter_map(piece).collect();
        pieces.extend(structured(result, &pieces));
        pieces.extend(unfinished(result).map(Piece::Note));
        if pieces.is_empty() {
            let nothing = if is_error {
                "[the tool failed, and said nothing]"
            } else {
                "[the tool returned nothing]"
            };
            pieces.push(Piece::Note(nothing.to_owned()));
        }
        Self { pieces, is_error }
    }
}

/// The content blocks; one that stands alone is taken too.
pub(super) fn blocks(result: &Value) -> &[Value] {
    match result {
        Value::Array(blocks) => blocks,
        Value::Object(_) => match result.get("content") {
            Some(Value::Array(blocks)) => blocks,
            Some(Value::Null) | None => &[],
            Some(only) => std::slice::from_ref(only),
        },
        Value::Null => &[],
        only => std::slice::from_ref(only),
    }
}

/// The structured content as a piece, where no text of the others says it.
fn structured<'a>(result: &'a Value, pieces: &[Piece<'a>]) -> Option<Piece<'a>> {
    result.as_object()?;
    let structured = member(result, "structuredContent", "structured_content")
        // The form of results before the first revision.
        .or_else(|| member(result, "toolResult", "tool_result"))?;
    let texts: Vec<&str> = pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::Text(text) | Piece::Document { text, .. } => Some(&**text),
            _ => None,
        })
        .collect();
    if said::says(&texts, structured) {
        return None;
    }
    Some(match structured {
        Value::String(text) if text.len() < BYTES => spoken(text)?,
        other => Piece::Json(without_bytes(other, pieces)),
    })
}

/// The structured content that is sent beside the blocks, as text.
pub(super) fn structured_text(result: &Value) -> Option<String> {
    let pieces: Vec<Piece<'_>> = blocks(result).iter().filter_map(piece).collect();
    let text = structured(result, &pieces)?.text()?.into_owned();
    Some(text)
}

/// Whether a block is for the user, and not for the model.
pub(super) fn is_for_the_user_alone(block: &Value) -> bool {
    let audience = block.get("annotations").and_then(|all| all.get("audience"));
    let roles = audience.and_then(Value::as_array);
    roles.is_some_and(|roles| !roles.is_empty() && roles.iter().all(|role| role != "assistant"))
}

/// One block; none where it says nothing.
pub(super) fn piece(block: &Value) -> Option<Piece<'_>> {
    let text = |name: &str| block.get(name).and_then(Value::as_str);
    let piece = match (text("type"), block) {
        (_, Value::String(said)) => spoken(said),
        (Some("text"), _) => spoken(text("text").unwrap_or_default()),
        (Some("image" | "audio" | "video"), _) => {
            let about = About::default();
            Some(bytes(block, text("data"), text("type"), about))
        }
        (Some("resource"), _) => block.get("resource").and_then(resource),
        (Some("resource_link"), _) => Some(Piece::Note(link(block))),
        _ => Some(unknown(block)),
    }?;
    if !is_for_the_user_alone(block) {
        return Some(piece);
    }
    let what = match &piece {
        Piece::Media(media) => note::shown(media),
        Piece::Document { mime, about, .. } => {
            note::described("resource", mime.as_deref(), None, about.uri)
        }
        Piece::Text(text) => format!("text, {} characters", text.chars().count()),
        Piece::Note(_) | Piece::Json(_) => "something".to_owned(),
    };
    Some(Piece::Note(format!("[{what}: for the user alone]")))
}

/// Text; none where it is blank, which APIs refuse.
fn spoken(text: &str) -> Option<Piece<'_>> {
    (!text.trim().is_empty()).then_some(Piece::Text(Cow::Borrowed(text)))
}

fn bytes<'a>(
    block: &'a Value,
    data: Option<&'a str>,
    word: Option<&str>,
    about: About<'a>,
) -> Piece<'a> {
    let said = member(block, "mimeType", "mime_type").and_then(Value::as_str);
    let Some(base64) = data.and_then(plain_base64) else {
        let head = note::described(word.unwrap_or("file"), said, None, about.uri);
        return Piece::Note(format!("[{head}: not sent, its bytes cannot be read]"));
    };
    let said = said.map(plain_type).filter(|mime| !mime.is_empty());
    if let Some(mime) = said.as_ref().filter(|mime| is_text(mime))
        && let Ok(text) = STANDARD.decode(&*base64)
        && let Ok(text) = String::from_utf8(text)
    {
        return Piece::Document {
            text: Cow::Owned(text),
            mime: Some(mime.clone()),
            about,
        };
    }
    let mime = match type_by_content(&base64) {
        Some(found) => Cow::Borrowed(found),
        None => said.unwrap_or(Cow::Borrowed("application/octet-stream")),
    };
    let medium = match (Medium::of(&mime), word) {
        // Bytes of a type that nobody said are what the block is.
        (Medium::File, Some("image")) => Medium::Image,
        (Medium::File, Some("audio")) => Medium::Audio,
        (Medium::File, Some("video")) => Medium::Video,
        (medium, _) => medium,
    };
    Piece::Media(Media {
        medium,
        mime,
        base64,
        about,
    })
}

/// The contents of a resource.
fn resource(resource: &Value) -> Option<Piece<'_>> {
    let text = |name: &str| resource.get(name).and_then(Value::as_str);
    let about = About {
        uri: text("uri").filter(|uri| !uri.is_empty()),
        name: text("title").or_else(|| text("name")),
    };
    if let Some(said) = text("text") {
        let mime = member(resource, "mimeType", "mime_type").and_then(Value::as_str);
        return Some(Piece::Document {
            text: Cow::Borrowed(said),
            mime: mime.map(plain_type).filter(|mime| !mime.is_empty()),
            about,
        });
    }
    Some(bytes(resource, text("blob"), None, about))
}

fn link(link: &Value) -> String {
    let text = |name: &str| link.get(name).and_then(Value::as_str);
    let size = link.get("size").and_then(Value::as_u64);
    let size = size.and_then(|size| usize::try_from(size).ok());
    let head = note::described(
        "resource link",
        member(link, "mimeType", "mime_type").and_then(Value::as_str),
        size.map(note::size),
        text("uri"),
    );
    let said: Vec<&str> = [text("title").or_else(|| text("name")), text("description")]
        .into_iter()
        .flatten()
        .filter(|text| !text.trim().is_empty())
        .collect();
    match said.as_slice() {
        [] => format!("[{head}]"),
        said => format!("[{head}: {}]", said.join(": ")),
    }
}

/// A block of a kind that nobody here knows: its text, its bytes, or what there is of it.
fn unknown(block: &Value) -> Piece<'_> {
    let text = |name: &str| block.get(name).and_then(Value::as_str);
    if let Some(said) = text("text").and_then(spoken) {
        return said;
    }
    if text("data").is_some() && member(block, "mimeType", "mime_type").is_some() {
        return bytes(block, text("data"), None, About::default());
    }
    let shown = shortened(block);
    let shown = shown.to_string();
    match text("type") {
        Some(kind) => Piece::Note(format!("[{kind}: {shown}]")),
        None => Piece::Note(format!("[{shown}]")),
    }
}

/// A value without long texts, and without what nobody reads.
fn shortened(value: &Value) -> Value {
    changed(value, &|text| {
        let length = text.chars().count();
        (length > SHOWN).then(|| format!("({length} characters)"))
    })
}

/// Structured content without bytes as text: those of the blocks, which are sent as what they are, and
/// long base64.
fn without_bytes<'a>(value: &'a Value, pieces: &[Piece<'_>]) -> Cow<'a, Value> {
    let stands_for = |text: &str| {
        let shown = pieces.iter().find_map(|piece| match piece {
            Piece::Media(media) if media.base64 == text => Some(note::shown(media)),
            _ => None,
        });
        if shown.is_some() {
            return shown.map(|shown| format!("[{shown}: see above]"));
        }
        let bytes = (text.len() >= BYTES)
            .then(|| plain_base64(text))
            .flatten()?;
        let size = note::size(bytes.len() / 4 * 3);
        Some(format!("[base64, {size}: not sent]"))
    };
    if has(value, &|text| stands_for(text).is_some()) {
        Cow::Owned(changed(value, &stands_for))
    } else {
        Cow::Borrowed(value)
    }
}

fn has(value: &Value, is_meant: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => is_meant(text),
        Value::Array(items) => items.iter().any(|item| has(item, is_meant)),
        Value::Object(members) => members.values().any(|item| has(item, is_meant)),
        _ => false,
    }
}

fn changed(value: &Value, change: &dyn Fn(&str) -> Option<String>) -> Value {
    match value {
        Value::String(text) => Value::String(change(text).unwrap_or_else(|| text.clone())),
        Value::Array(items) => items.iter().map(|item| changed(item, change)).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, item)| (name.clone(), changed(item, change)))
            .collect(),
        other => other.clone(),
    }
}

/// What a call left behind that is not over: a task, or questions that got no answer.
fn unfinished(result: &Value) -> Option<String> {
    let kind = member(result, "resultType", "result_type").and_then(Value::as_str);
    if kind == Some("input_required") {
        let asked: Vec<String> = member(result, "inputRequests", "input_requests")
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(|requests| requests.values())
            .filter_map(|request| {
                let method = request.get("method")?.as_str()?;
                let message = request.get("params").and_then(|all| all.get("message"));
                let message = message.and_then(Value::as_str);
                Some(message.map_or_else(|| method.to_owned(), |said| format!("{method}: {said}")))
            })
            .collect();
        let asked = match asked.as_slice() {
            [] => String::new(),
            asked => format!(" ({})", asked.join("; ")),
        };
        return Some(format!(
            "[the tool did not finish: it asks for input that it did not get{asked}]"
        ));
    }
    let task = if kind == Some("task") {
        member(result, "task", "task").unwrap_or(result)
    } else {
        result.get("task").filter(|task| task.is_object())?
    };
    let text = |wire: &str, python: &str| member(task, wire, python).and_then(Value::as_str);
    let id = text("taskId", "task_id")?;
    let status = text("status", "status").map_or_else(String::new, |it| format!(", {it}"));
    let said = text("statusMessage", "status_message");
    let said = said.map_or_else(String::new, |it| format!(": {it}"));
    Some(format!("[the tool goes on as task {id}{status}{said}]"))
}
