//! Sound that a model made, in OpenAI's form, where a protocol has its bytes in an answer and in a request.
//! OpenAI keeps the sound that it makes under an id, which is all that it takes back. Pure.

use serde_json::{Map, Value, json};

use super::Notes;

/// Sound as an answer tells it. What it is a sound of is not told, and it is kept nowhere.
pub(super) fn made(kind: &str, base64: &str, notes: &Notes) -> Value {
    let id = notes.id.rsplit('-').next().unwrap_or_default();
    json!({
        "id": format!("audio_{id}"),
        "data": base64,
        "expires_at": notes.now,
        "transcript": "",
        "mime_type": kind,
    })
}

/// The kind and the bytes of a message's sound. That of OpenAI does not say its kind.
pub(super) fn of(message: &Map<String, Value>) -> Option<(&str, &str)> {
    let audio = message.get("audio")?;
    Some((
        audio.get("mime_type")?.as_str()?,
        audio.get("data")?.as_str()?,
    ))
}
