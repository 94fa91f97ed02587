//! Results as blocks of Anthropic's Messages API: a `tool_result` of texts, pictures and documents
//! (<https://docs.claude.com/en/docs/agents-and-tools/tool-use/implement-tool-use>).

use serde_json::{Value, json};

use super::media::{Medium, Takes, Types};
use super::read::{Piece, Reading};
use super::{Origin, note};

/// What a `tool_result` takes. A picture may have 5 MiB as base64, a document what fits into a request
/// (32 MB) beside everything else.
pub const TAKES: Takes = Takes {
    images: Types {
        names: &["image/jpeg", "image/png", "image/gif", "image/webp"],
        largest: 3_932_160,
    },
    audio: Types::NONE,
    videos: Types::NONE,
    files: Types {
        names: &["application/pdf"],
        largest: 20_000_000,
    },
};

/// A result as a `tool_result` block of a user message. The text of a resource is a document with its
/// name; one that is at a web address is a search result, which Claude can cite.
pub fn block(result: &Value, call: Origin<'_>) -> Value {
    let reading = Reading::of(result);
    let content: Vec<Value> = reading
        .pieces
        .iter()
        .map(|piece| match piece {
            Piece::Media(media) => {
                if let Err(refusal) = TAKES.check(media) {
                    return text(&note::not_sent(media, refusal));
                }
                let source = json!({
                    "type": "base64",
                    "media_type": media.mime,
                    "data": media.base64,
                });
                if media.medium == Medium::Image {
                    return json!({ "type": "image", "source": source });
                }
                let mut document = json!({ "type": "document", "source": source });
                if let Some(title) = media.about.file_name() {
                    document["title"] = title.into();
                }
                document
            }
            Piece::Document {
                text: said, about, ..
            } => match (about.uri, about.name.or(about.uri)) {
                _ if said.trim().is_empty() => text(&piece.text().unwrap_or_default()),
                (Some(uri), Some(title))
                    if uri.starts_with("https://") || uri.starts_with("http://") =>
                {
                    json!({
                        "type": "search_result",
                        "source": uri,
                        "title": title,
                        "content": [{ "type": "text", "text": said }],
                    })
                }
                (_, title) => {
                    let source =
                        json!({ "type": "text", "media_type": "text/plain", "data": said });
                    let mut document = json!({ "type": "document", "source": source });
                    if let Some(title) = title {
                        document["title"] = title.into();
                    }
                    document
                }
            },
            other => text(&other.text().unwrap_or_default()),
        })
        .collect();
    let mut block = json!({
        "type": "tool_result",
        "tool_use_id": call.id,
        "content": content,
    });
    if reading.is_error {
        block["is_error"] = Value::Bool(true);
    }
    block
}

fn text(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}
