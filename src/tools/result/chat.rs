//! Results as messages of OpenAI's chat completions. Owns [`Room`], [`Messages`] and [`messages`].
//!
//! A tool message of OpenAI's own API carries text alone; what else there is follows in a message of
//! the user. It has to stand behind all tool messages of a round, so it is made of the parts of all
//! of them. Where a conversion of the engine carries pictures inside of a tool message, they stand
//! there: which of the two a model wants is said by [`Room`].

use serde_json::{Value, json};

use super::media::{Media, Medium, Takes, Types};
use super::read::{Piece, Reading};
use super::{Origin, failed, note};

/// What a user message of OpenAI's own API takes
/// (<https://platform.openai.com/docs/guides/images-vision>,
/// <https://platform.openai.com/docs/guides/file-inputs>).
pub const TAKES: Takes = Takes {
    images: Types {
        names: &["image/png", "image/jpeg", "image/webp", "image/gif"],
        largest: 50_000_000,
    },
    audio: Types {
        names: &["audio/wav", "audio/mpeg"],
        largest: 20_000_000,
    },
    videos: Types::NONE,
    files: Types {
        names: &["application/pdf"],
        largest: 50_000_000,
    },
};

/// What the messages to a model have room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// What stands inside of a tool message.
    pub inside: Takes,
    /// What stands in the user message behind it, where it does not stand inside.
    pub behind: Takes,
    /// Whether a tool message may have `is_error`; else its text says it.
    pub says_errors: bool,
}

impl Room {
    /// That of OpenAI's own API.
    pub const OPENAI: Self = Self {
        inside: Takes::TEXT,
        behind: TAKES,
        says_errors: false,
    };
    /// A tool message of text, and no message of the user.
    pub const TEXT: Self = Self {
        inside: Takes::TEXT,
        behind: Takes::TEXT,
        says_errors: false,
    };
}

/// One result.
#[derive(Debug, Clone, PartialEq)]
pub struct Messages {
    /// The message with the role `tool`.
    pub tool: Value,
    /// The parts for [`behind`]; empty where everything stands in the tool message.
    pub parts: Vec<Value>,
}

/// A result as a tool message, and the parts of the user message that has to follow the last tool
/// message of the round.
pub fn messages(result: &Value, call: Origin<'_>, room: &Room) -> Messages {
    let reading = Reading::of(result);
    let mut content = Content::default();
    let mut parts = Vec::new();
    let mut count = Count::default();
    for piece in &reading.pieces {
        match piece {
            Piece::Media(media) => {
                if room.inside.check(media).is_ok() {
                    content.put(part(media));
                    continue;
                }
                match room.behind.check(media) {
                    Ok(()) => {
                        let label = count.label(media.medium, call);
                        let shown = note::shown(media);
                        content.say(&format!(
                            "[{shown}: {label}, in the user message behind the tool results]"
                        ));
                        parts.push(json!({ "type": "text", "text": format!("{label}:") }));
                        parts.push(part(media));
                    }
                    Err(refusal) => content.say(&note::not_sent(media, refusal)),
                }
            }
            text => content.say(&text.text().unwrap_or_default()),
        }
    }
    let is_marked = reading.is_error && room.says_errors;
    let mut tool = json!({
        "role": "tool",
        "tool_call_id": call.id,
        "content": content.finish(reading.is_error && !is_marked),
    });
    if is_marked {
        tool["is_error"] = Value::Bool(true);
    }
    Messages { tool, parts }
}

/// The user message behind the tool messages of a round, of the parts of all of them; none where
/// there are none.
pub fn behind(mut parts: Vec<Value>) -> Option<Value> {
    if parts.is_empty() {
        return None;
    }
    let said = "What the tools returned beside text. It is from the tools, not from the user.";
    parts.insert(0, json!({ "type": "text", "text": said }));
    Some(json!({ "role": "user", "content": parts }))
}

/// Text and parts in their order; texts that follow each other are one.
#[derive(Debug, Default)]
struct Content {
    parts: Vec<Value>,
    text: String,
}

impl Content {
    fn say(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(text);
    }

    fn put(&mut self, part: Value) {
        self.flush();
        self.parts.push(part);
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            let text = std::mem::take(&mut self.text);
            self.parts.push(json!({ "type": "text", "text": text }));
        }
    }

    fn finish(mut self, is_failed: bool) -> Value {
        if self.parts.is_empty() {
            let text = self.text;
            return Value::String(if is_failed { failed(text) } else { text });
        }
        self.flush();
        if is_failed {
            let mut texts = self
                .parts
                .iter_mut()
                .filter_map(|part| part.get_mut("text"));
            if let Some(Value::String(text)) = texts.next() {
                *text = failed(std::mem::take(text));
            } else {
                let text = json!({ "type": "text", "text": "Error:" });
                self.parts.insert(0, text);
            }
        }
        Value::Array(self.parts)
    }
}

/// Names files by their number.
#[derive(Debug, Default)]
struct Count([usize; 4]);

impl Count {
    fn label(&mut self, medium: Medium, call: Origin<'_>) -> String {
        let seen = &mut self.0[medium as usize];
        *seen += 1;
        let call = call.shown();
        let of = if call.is_empty() { "" } else { " of " };
        format!("{} {seen}{of}{call}", medium.word())
    }
}

fn part(media: &Media<'_>) -> Value {
    match media.medium {
        Medium::Image => json!({
            "type": "image_url",
            "image_url": { "url": media.data_url() },
        }),
        Medium::Audio => json!({
            "type": "input_audio",
            "input_audio": {
                "data": media.base64,
                "format": match &*media.mime {
                    "audio/wav" => "wav",
                    "audio/mpeg" => "mp3",
                    // The conversions take whole types too.
                    other => other,
                },
            },
        }),
        Medium::Video | Medium::File => json!({
            "type": "file",
            "file": { "filename": file_name(media), "file_data": media.data_url() },
        }),
    }
}

/// The name of a file, which OpenAI's APIs ask for.
pub(super) fn file_name(media: &Media<'_>) -> String {
    let name = media.about.file_name().unwrap_or("file");
    let ending = match &*media.mime {
        "application/pdf" => ".pdf",
        _ => "",
    };
    if name.to_ascii_lowercase().ends_with(ending) {
        name.to_owned()
    } else {
        format!("{name}{ending}")
    }
}
