//! Results as parts of Gemini's API: a `functionResponse`, with the bytes inside where the model takes
//! them there (Gemini 3 and later), behind it where it does not
//! (<https://ai.google.dev/gemini-api/docs/function-calling>).

use serde_json::{Map, Value, json};

use super::media::{Takes, Types};
use super::read::{Piece, Reading};
use super::{Origin, note};

/// A request with everything in it may have 20 MB.
const LARGEST: usize = 14_000_000;

/// What stands inside of a `functionResponse`.
pub const INSIDE: Takes = Takes {
    images: Types {
        names: &["image/png", "image/jpeg", "image/webp"],
        largest: LARGEST,
    },
    audio: Types::NONE,
    videos: Types::NONE,
    files: Types {
        names: &["application/pdf"],
        largest: LARGEST,
    },
};

/// What stands in a turn of the user.
pub const BEHIND: Takes = Takes {
    images: Types {
        names: &[
            "image/png",
            "image/jpeg",
            "image/webp",
            "image/heic",
            "image/heif",
        ],
        largest: LARGEST,
    },
    audio: Types {
        names: &[
            "audio/wav",
            "audio/mpeg",
            "audio/aiff",
            "audio/aac",
            "audio/ogg",
            "audio/flac",
        ],
        largest: LARGEST,
    },
    videos: Types {
        names: &[
            "video/mp4",
            "video/mpeg",
            "video/quicktime",
            "video/x-flv",
            "video/webm",
            "video/x-ms-wmv",
            "video/3gpp",
        ],
        largest: LARGEST,
    },
    files: Types {
        names: &["application/pdf"],
        largest: LARGEST,
    },
};

/// A result as the parts of a turn of the user: the `functionResponse` first. A round has to have the
/// responses of all calls before the other parts of any.
pub fn parts(result: &Value, call: Origin<'_>, has_media_inside: bool) -> Vec<Value> {
    let reading = Reading::of(result);
    let mut inside = Vec::new();
    let mut behind = Vec::new();
    let mut texts: Vec<String> = Vec::new();
    for piece in &reading.pieces {
        match piece {
            Piece::Media(media) => {
                let data =
                    || json!({ "inlineData": { "mimeType": media.mime, "data": media.base64 } });
                if has_media_inside && INSIDE.check(media).is_ok() {
                    inside.push(data());
                    continue;
                }
                match BEHIND.check(media) {
                    Ok(()) => {
                        texts.push(format!("[{}: behind this result]", note::shown(media)));
                        behind.push(data());
                    }
                    Err(refusal) => texts.push(note::not_sent(media, refusal)),
                }
            }
            text => texts.push(text.text().unwrap_or_default().into_owned()),
        }
    }
    let mut response = Map::new();
    if !call.id.is_empty() {
        response.insert("id".to_owned(), call.id.into());
    }
    response.insert("name".to_owned(), call.name.unwrap_or_default().into());
    let said = self::response(&texts.join("\n"), reading.is_error);
    response.insert("response".to_owned(), said);
    if !inside.is_empty() {
        response.insert("parts".to_owned(), Value::Array(inside));
    }
    let mut parts = vec![json!({ "functionResponse": response })];
    parts.append(&mut behind);
    parts
}

/// The `response` of a text: the object that it spells, or the text under `output`; of a tool that
/// failed, either under `error`. An object with members of these names would be taken for less than
/// it is, so it stands under `output` too.
pub fn response(text: &str, is_error: bool) -> Value {
    let spelled = text
        .trim_start()
        .starts_with('{')
        .then(|| serde_json::from_str::<Map<String, Value>>(text).ok())
        .flatten();
    match spelled {
        Some(members) if is_error => json!({ "error": members }),
        Some(members) if members.contains_key("output") || members.contains_key("error") => {
            json!({ "output": members })
        }
        Some(members) => Value::Object(members),
        None if is_error => json!({ "error": text }),
        None => json!({ "output": text }),
    }
}
