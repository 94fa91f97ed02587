//! Results as items of OpenAI's Responses API: a `function_call_output` whose output is a text, or a
//! list of texts, pictures and files
//! (<https://platform.openai.com/docs/api-reference/responses/create>,
//! <https://platform.openai.com/docs/guides/file-inputs>).

use serde_json::{Value, json};

use super::chat::file_name;
use super::media::{Medium, Takes, Types};
use super::read::{Piece, Reading};
use super::{Origin, chat, failed, note};

/// What an output takes. Text, code and tables of plain text are sent as the texts that they are.
pub const TAKES: Takes = Takes {
    images: chat::TAKES.images,
    audio: Types::NONE,
    videos: Types::NONE,
    files: Types {
        names: &[
            "application/pdf",
            "application/msword",
            "application/rtf",
            "application/vnd.ms-excel",
            "application/vnd.ms-powerpoint",
            "application/vnd.oasis.opendocument.text",
            "application/vnd.openxmlformats-officedocument.presentationml.presentation",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ],
        largest: 50_000_000,
    },
};

/// A result as an item of the input.
pub fn item(result: &Value, call: Origin<'_>) -> Value {
    let reading = Reading::of(result);
    let mut parts: Vec<Value> = Vec::new();
    let mut is_text = true;
    for piece in &reading.pieces {
        let text = match piece {
            Piece::Media(media) => match TAKES.check(media) {
                Ok(()) => {
                    is_text = false;
                    parts.push(match media.medium {
                        Medium::Image => json!({
                            "type": "input_image",
                            "image_url": media.data_url(),
                            "detail": "auto",
                        }),
                        _ => json!({
                            "type": "input_file",
                            "filename": file_name(media),
                            "file_data": media.data_url(),
                        }),
                    });
                    continue;
                }
                Err(refusal) => note::not_sent(media, refusal),
            },
            text => text.text().unwrap_or_default().into_owned(),
        };
        parts.push(json!({ "type": "input_text", "text": text }));
    }
    if reading.is_error {
        let mut texts = parts.iter_mut().filter_map(|part| part.get_mut("text"));
        if let Some(Value::String(text)) = texts.next() {
            *text = failed(std::mem::take(text));
        } else {
            parts.insert(0, json!({ "type": "input_text", "text": "Error:" }));
        }
    }
    let output = if is_text {
        let texts = parts.iter().filter_map(|part| part["text"].as_str());
        Value::from(texts.collect::<Vec<_>>().join("\n"))
    } else {
        Value::Array(parts)
    };
    json!({ "type": "function_call_output", "call_id": call.id, "output": output })
}
