//! Results as blocks of Bedrock's Converse: a `toolResult` of texts, JSON, pictures, documents and films
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolResultContentBlock.html>).
//! Owns the formats that Bedrock names, and the rules for its names and ids.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

use super::media::{Medium, Takes, Types};
use super::read::{Piece, Reading};
use super::{Origin, note};

/// Media types of pictures, and what Bedrock calls them.
pub const IMAGES: &[(&str, &str)] = &[
    ("image/png", "png"),
    ("image/jpeg", "jpeg"),
    ("image/jpg", "jpeg"),
    ("image/gif", "gif"),
    ("image/webp", "webp"),
];

/// The same of documents.
pub const DOCUMENTS: &[(&str, &str)] = &[
    ("application/pdf", "pdf"),
    ("text/csv", "csv"),
    ("application/msword", "doc"),
    (
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "docx",
    ),
    ("application/vnd.ms-excel", "xls"),
    (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "xlsx",
    ),
    ("text/html", "html"),
    ("text/plain", "txt"),
    ("text/markdown", "md"),
];

/// The same of films.
pub const VIDEOS: &[(&str, &str)] = &[
    ("video/x-matroska", "mkv"),
    ("video/quicktime", "mov"),
    ("video/mp4", "mp4"),
    ("video/webm", "webm"),
    ("video/x-flv", "flv"),
    ("video/mpeg", "mpeg"),
    ("video/x-ms-wmv", "wmv"),
    ("video/3gpp", "three_gp"),
];

/// What a `toolResult` takes
/// (<https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference.html>).
pub const TAKES: Takes = Takes {
    images: Types {
        names: &["image/png", "image/jpeg", "image/gif", "image/webp"],
        largest: 3_750_000,
    },
    audio: Types::NONE,
    videos: Types {
        names: &[
            "video/x-matroska",
            "video/quicktime",
            "video/mp4",
            "video/webm",
            "video/x-flv",
            "video/mpeg",
            "video/x-ms-wmv",
            "video/3gpp",
        ],
        largest: 18_000_000,
    },
    files: Types {
        names: &[
            "application/pdf",
            "application/msword",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "application/vnd.ms-excel",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ],
        largest: 4_500_000,
    },
};

/// A result as a `toolResult` block of a user message. The text of a resource is a document where its
/// type is one, structured content that is an object is `json`.
pub fn block(result: &Value, call: Origin<'_>) -> Value {
    let reading = Reading::of(result);
    let content: Vec<Value> = reading.pieces.iter().map(content).collect();
    let mut inner = json!({ "toolUseId": tool_id(call.id), "content": content });
    if reading.is_error {
        inner["status"] = "error".into();
    }
    json!({ "toolResult": inner })
}

fn content(piece: &Piece<'_>) -> Value {
    match piece {
        Piece::Media(media) => {
            if let Err(refusal) = TAKES.check(media) {
                return json!({ "text": note::not_sent(media, refusal) });
            }
            let source = json!({ "bytes": media.base64 });
            match media.medium {
                Medium::Image => {
                    json!({ "image": { "format": format(IMAGES, &media.mime), "source": source } })
                }
                Medium::Video => {
                    json!({ "video": { "format": format(VIDEOS, &media.mime), "source": source } })
                }
                _ => json!({ "document": {
                    "format": format(DOCUMENTS, &media.mime),
                    "name": document_name(media.about.file_name(), &media.base64),
                    "source": source,
                } }),
            }
        }
        Piece::Document { text, mime, about } => {
            let known = mime.as_deref().map(|mime| format(DOCUMENTS, mime));
            match known.filter(|format| !format.is_empty()) {
                Some(format) if !text.trim().is_empty() => json!({ "document": {
                    "format": format,
                    "name": document_name(about.file_name(), text),
                    "source": { "text": text },
                } }),
                _ => json!({ "text": piece.text().unwrap_or_default() }),
            }
        }
        Piece::Json(value) if value.is_object() => json!({ "json": value }),
        other => json!({ "text": other.text().unwrap_or_default() }),
    }
}

fn format(known: &[(&'static str, &'static str)], mime: &str) -> &'static str {
    let found = known.iter().find(|(name, _)| *name == mime);
    found.map_or("", |(_, format)| format)
}

/// The id of a call: the service takes 64 letters, digits and a few signs, other providers make ids
/// that have more.
pub fn tool_id(id: &str) -> String {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "_.:-".contains(letter);
    if (1..=64).contains(&id.len()) && id.chars().all(fits) {
        return id.to_owned();
    }
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    let start: String = id.chars().filter(|letter| fits(*letter)).take(40).collect();
    format!("{start}_{:016x}", hasher.finish())
}

/// The name of a document: letters, digits, single spaces, dashes and brackets. Without a name one is
/// made of the content, so that two documents of a message have two names and the same document the
/// same one, which keeps a cached prompt.
pub fn document_name(file_name: Option<&str>, content: &str) -> String {
    let stem = file_name.unwrap_or_default();
    let stem = stem.rsplit_once('.').map_or(stem, |(stem, _)| stem);
    let letters: String = stem
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() || "-()[]".contains(letter) {
                letter
            } else if letter.is_whitespace() {
                ' '
            } else {
                '-'
            }
        })
        .collect();
    let name = letters.split_whitespace().collect::<Vec<_>>().join(" ");
    let name: String = name.chars().take(200).collect();
    let name = name.trim_end();
    if name.chars().any(|letter| letter.is_ascii_alphanumeric()) {
        return name.to_owned();
    }
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    format!("document-{:016x}", hasher.finish())
}
