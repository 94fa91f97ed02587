//! Content of messages as blocks: text, pictures, documents, films, sound, markers.

use serde_json::{Map, Value, json};

use crate::llm::types::content::{Part, PartKind, Source};
use crate::llm::types::fields::Unusable;
use crate::tools::result::bedrock::{DOCUMENTS, IMAGES, VIDEOS, document_name};

/// Blocks that callers write by the service's own names.
const OWN: [&str; 7] = [
    "guardContent",
    "searchResult",
    "cachePoint",
    "document",
    "image",
    "video",
    "audio",
];

/// The formats of sound.
pub(super) const SOUNDS: [&str; 15] = [
    "mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "mka", "x-aac", "m4a", "mpeg",
    "mpga", "pcm", "webm",
];

/// How a file has to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Medium {
    Image,
    Document,
    Video,
}

impl Medium {
    fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Document => "document",
            Self::Video => "video",
        }
    }
}

/// All parts of a message.
pub(super) fn blocks(parts: Vec<Part>) -> Result<Vec<Value>, Unusable> {
    let mut all = Vec::new();
    for part in parts {
        all.extend(block(part)?);
    }
    Ok(all)
}

/// A part as a block, with its marker behind it; nothing for what says nothing.
pub(super) fn block(part: Part) -> Result<Vec<Value>, Unusable> {
    let place = &part.place;
    let mut block = match part.kind {
        // The service refuses blank texts.
        PartKind::Text(text) | PartKind::Refusal(text) if text.trim().is_empty() => {
            return Ok(Vec::new());
        }
        PartKind::Text(text) | PartKind::Refusal(text) => json!({ "text": text }),
        PartKind::Image { source, .. } => file(source, None, None, Medium::Image, place)?,
        PartKind::File {
            source,
            filename,
            format,
        } => file(
            source,
            filename.as_deref(),
            format.as_deref(),
            Medium::Document,
            place,
        )?,
        PartKind::Audio { source, format } => {
            let format = format.rsplit('/').next().unwrap_or_default();
            json!({ "audio": { "format": format, "source": location(source, place)? } })
        }
        PartKind::Thinking(_) => return Ok(Vec::new()),
        PartKind::Other(members) => own_block(members, place)?,
    };
    if let Some(document) = block.get_mut("document") {
        for name in ["context", "citations"] {
            if let Some(value) = part.rest.get(name) {
                document[name] = value.clone();
            }
        }
    }
    let mut all = vec![block];
    all.extend(part.cache_control.map(|marker| cache_point(&marker)));
    Ok(all)
}

/// A marker for prompt caching.
pub(super) fn cache_point(marker: &Value) -> Value {
    let mut point = json!({ "type": "default" });
    if let Some(ttl) = marker.get("ttl") {
        point["ttl"] = ttl.clone();
    }
    json!({ "cachePoint": point })
}

fn own_block(mut members: Map<String, Value>, place: &str) -> Result<Value, Unusable> {
    let kind = members.get("type").and_then(Value::as_str);
    // Text that a guardrail has to look at, by LiteLLM's name.
    if kind == Some("guarded_text")
        && let Some(text) = members.get("text")
    {
        return Ok(json!({ "guardContent": { "text": { "text": text } } }));
    }
    if let Some(name) = OWN.iter().find(|name| members.contains_key(**name)) {
        let value = members.shift_remove(*name);
        return Ok(json!({ *name: value }));
    }
    Err(Unusable::new(
        place,
        format!(
            "is of the type {:?}, which Bedrock does not take: it takes text, image_url, file, \
             input_audio, and its own blocks as {{\"type\": \"guardContent\", \"guardContent\": …}}",
            kind.unwrap_or_default()
        ),
    ))
}

/// A picture, a document or a film: what it is decides, not which part it came in.
fn file(
    source: Source,
    filename: Option<&str>,
    format: Option<&str>,
    usual: Medium,
    place: &str,
) -> Result<Value, Unusable> {
    let kind = format
        .or_else(|| source.media_type())
        .unwrap_or_default()
        .to_ascii_lowercase();
    let path = match &source {
        Source::Url(url) => Some(url.as_str()),
        _ => filename,
    };
    let ending = path
        .and_then(|path| path.rsplit(['/', '?']).find(|part| part.contains('.')))
        .and_then(|name| name.rsplit('.').next())
        .unwrap_or_default()
        .to_ascii_lowercase();
    let known = [
        (Medium::Image, IMAGES),
        (Medium::Document, DOCUMENTS),
        (Medium::Video, VIDEOS),
    ];
    let by_type = || {
        known.iter().find_map(|(medium, table)| {
            let found = table.iter().find(|(media_type, _)| *media_type == kind);
            found.map(|(_, format)| (*medium, *format))
        })
    };
    let by_name = |name: &str| {
        let name = match name {
            "jpg" => "jpeg",
            "mpg" => "mpeg",
            "3gp" => "three_gp",
            "htm" => "html",
            other => other,
        };
        known.iter().find_map(|(medium, table)| {
            let found = table.iter().find(|(_, format)| *format == name);
            found.map(|(_, format)| (*medium, *format))
        })
    };
    let Some((medium, format)) = by_type()
        .or_else(|| by_name(&kind))
        .or_else(|| by_name(&ending))
    else {
        let formats = |table: &[(&str, &'static str)]| {
            let mut names: Vec<&'static str> = table.iter().map(|(_, format)| *format).collect();
            names.dedup();
            names.join(", ")
        };
        return Err(Unusable::new(
            place,
            format!(
                "is of the media type {kind:?}, which Bedrock does not take here ({}): pictures are {}, \
                 documents {}, films {}; say it with \"format\" or a file name where it is not known",
                usual.name(),
                formats(IMAGES),
                formats(DOCUMENTS),
                formats(VIDEOS),
            ),
        ));
    };
    let mut members = Map::new();
    members.insert("format".to_owned(), Value::from(format));
    if medium == Medium::Document {
        let (Source::Data {
            base64: content, ..
        }
        | Source::Url(content)
        | Source::Id(content)) = &source;
        let name = document_name(filename, content);
        members.insert("name".to_owned(), Value::from(name));
    }
    members.insert("source".to_owned(), location(source, place)?);
    Ok(json!({ medium.name(): members }))
}

fn location(source: Source, place: &str) -> Result<Value, Unusable> {
    match source {
        Source::Data { base64, .. } => Ok(json!({ "bytes": base64 })),
        Source::Url(url) if url.starts_with("s3://") => Ok(json!({ "s3Location": { "uri": url } })),
        Source::Url(_) => Err(Unusable::new(
            place,
            "is a URL, and Bedrock takes bytes alone (data:…;base64,…) or what is in S3 (s3://…)",
        )),
        Source::Id(_) => Err(Unusable::new(
            place,
            "is the id of an upload, which Bedrock does not have: it takes bytes (data:…;base64,…) or \
             what is in S3 (s3://…)",
        )),
    }
}
