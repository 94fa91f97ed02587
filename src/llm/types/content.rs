//! The content of messages: text, pictures, sound, files, and parts that only some providers know.

use serde_json::{Map, Value};

use super::fields::{Fields, Unusable};

/// Where the bytes of a picture, a sound or a file are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Elsewhere: an `http`, `https` or `gs` URL.
    Url(String),
    /// Here.
    Data {
        /// Such as `image/png`.
        media_type: String,
        /// The bytes as base64 text.
        base64: String,
    },
    /// At the provider, under the id of an upload.
    Id(String),
}

impl Source {
    /// A URL, `data:` ones taken apart.
    fn of_url(url: String, place: &str) -> Result<Self, Unusable> {
        let Some(rest) = url.strip_prefix("data:") else {
            return Ok(Self::Url(url));
        };
        let Some((head, base64)) = rest.split_once(',') else {
            return Err(Unusable::new(
                place,
                "is a data: URL without a comma: write data:image/png;base64,…",
            ));
        };
        let Some(media_type) = head.strip_suffix(";base64") else {
            return Err(Unusable::new(
                place,
                "is a data: URL that is not base64: write data:image/png;base64,…",
            ));
        };
        Ok(Self::Data {
            // Parameters such as a charset are no part of what providers take.
            media_type: media_type.split(';').next().unwrap_or_default().to_owned(),
            base64: base64.to_owned(),
        })
    }

    /// The type, where it is known.
    pub fn media_type(&self) -> Option<&str> {
        match self {
            Self::Data { media_type, .. } => Some(media_type),
            Self::Url(_) | Self::Id(_) => None,
        }
    }
}

/// What a part is.
#[derive(Debug, Clone, PartialEq)]
pub enum PartKind {
    /// Text.
    Text(String),
    /// A picture.
    Image {
        /// Its bytes.
        source: Source,
        /// `low`, `high` or `auto`.
        detail: Option<String>,
    },
    /// Sound.
    Audio {
        /// Its bytes.
        source: Source,
        /// Such as `wav`.
        format: String,
    },
    /// A file, such as a PDF.
    File {
        /// Its bytes.
        source: Source,
        /// Its name.
        filename: Option<String>,
        /// Its media type, where the caller says it.
        format: Option<String>,
    },
    /// What an assistant refused with.
    Refusal(String),
    /// A block of reasoning (`thinking` or `redacted_thinking`), as its provider wrote it.
    Thinking(Map<String, Value>),
    /// A part of a type that is not known here.
    Other(Map<String, Value>),
}

/// One part of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// What it is.
    pub kind: PartKind,
    /// A marker for prompt caching.
    pub cache_control: Option<Value>,
    /// Fields that nobody here knows.
    pub rest: Map<String, Value>,
    /// Where it stands, for errors.
    pub place: String,
}

impl Part {
    /// A part of text.
    pub fn text(text: impl Into<String>, place: impl Into<String>) -> Self {
        Self {
            kind: PartKind::Text(text.into()),
            cache_control: None,
            rest: Map::new(),
            place: place.into(),
        }
    }

    /// The text of a part that is text.
    pub fn as_text(&self) -> Option<&str> {
        match &self.kind {
            PartKind::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Reads the `content` of a message: a text, a list of parts, or nothing.
pub fn read(content: Option<Value>, place: &str) -> Result<Vec<Part>, Unusable> {
    match content {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Part::text(text, place)]),
        Some(Value::Array(parts)) => parts
            .into_iter()
            .enumerate()
            .map(|(index, part)| part_of(part, format!("{place}[{index}]")))
            .collect(),
        Some(other) => Err(Unusable::wrong(place, "a text or a list of parts", &other)),
    }
}

/// A picture that a model made.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// The picture.
    pub part: Part,
    /// What its provider said beside it (`provider_specific_fields`).
    pub fields: Map<String, Value>,
}

/// The pictures that a model made (`images` of its message), for protocols that take them back.
pub fn pictures(message: &Map<String, Value>, place: &str) -> Result<Vec<Picture>, Unusable> {
    let images = message.get("images").filter(|images| images.is_array());
    let parts = read(images.cloned(), &format!("{place}.images"))?.into_iter();
    let parts = parts.filter(|part| {
        let PartKind::Image { source, .. } = &part.kind else {
            return false;
        };
        matches!(source, Source::Data { .. })
    });
    Ok(parts
        .map(|mut part| {
            // The rest is their numbers.
            let mut rest = std::mem::take(&mut part.rest);
            let fields = match rest.shift_remove("provider_specific_fields") {
                Some(Value::Object(fields)) => fields,
                _ => Map::new(),
            };
            Picture { part, fields }
        })
        .collect())
}

fn part_of(part: Value, place: String) -> Result<Part, Unusable> {
    if let Value::String(text) = part {
        return Ok(Part::text(text, place));
    }
    let mut fields = Fields::new(part, place.clone(), "an object with a \"type\"")?;
    let name = fields.needed_text("type")?;
    let cache_control = fields.take("cache_control");
    let known = match name.as_str() {
        "text" | "input_text" | "output_text" => PartKind::Text(fields.needed_text("text")?),
        "image_url" | "input_image" => image(&mut fields)?,
        "input_audio" => audio(&mut fields)?,
        "file" | "input_file" => file(&mut fields)?,
        "refusal" => PartKind::Refusal(fields.needed_text("refusal")?),
        _ => {
            let mut members = Map::new();
            members.insert("type".to_owned(), Value::String(name.clone()));
            members.extend(fields.rest());
            let is_thinking = matches!(name.as_str(), "thinking" | "redacted_thinking");
            return Ok(Part {
                kind: if is_thinking {
                    PartKind::Thinking(members)
                } else {
                    PartKind::Other(members)
                },
                cache_control,
                rest: Map::new(),
                place,
            });
        }
    };
    Ok(Part {
        kind: known,
        cache_control,
        rest: fields.rest(),
        place,
    })
}

/// `{"type": "image_url", "image_url": {"url", "detail"}}`, and with the URL in the place of the
/// object.
fn image(fields: &mut Fields) -> Result<PartKind, Unusable> {
    let place = fields.place_of("image_url");
    match fields.take("image_url") {
        Some(Value::String(url)) => Ok(PartKind::Image {
            source: Source::of_url(url, &place)?,
            detail: fields.text("detail")?,
        }),
        Some(object) => {
            let mut image = Fields::new(object, place, "an object with a \"url\"")?;
            let url = image.needed_text("url")?;
            Ok(PartKind::Image {
                source: Source::of_url(url, &image.place_of("url"))?,
                detail: image.text("detail")?,
            })
        }
        None => match fields.text("file_id")? {
            Some(id) => Ok(PartKind::Image {
                source: Source::Id(id),
                detail: fields.text("detail")?,
            }),
            None => Err(Unusable::new(
                fields.place(),
                "has no \"image_url\", which is an object with a \"url\"",
            )),
        },
    }
}

/// `{"type": "input_audio", "input_audio": {"data", "format"}}`.
fn audio(fields: &mut Fields) -> Result<PartKind, Unusable> {
    let Some(mut audio) = fields.object("input_audio")? else {
        return Err(Unusable::new(
            fields.place(),
            "has no \"input_audio\", which is an object with \"data\" and \"format\"",
        ));
    };
    let base64 = audio.needed_text("data")?;
    let format = audio.needed_text("format")?;
    let media_type = match format.as_str() {
        "mp3" => "audio/mpeg".to_owned(),
        other if other.contains('/') => other.to_owned(),
        other => format!("audio/{other}"),
    };
    Ok(PartKind::Audio {
        source: Source::Data { media_type, base64 },
        format,
    })
}

/// `{"type": "file", "file": {"file_data" | "file_id", "filename", "format"}}`, as OpenAI and LiteLLM
/// have it; flat, as the Responses API has it.
fn file(fields: &mut Fields) -> Result<PartKind, Unusable> {
    let place = fields.place_of("file");
    let mut file = if let Some(object) = fields.take("file") {
        let wanted = "an object with \"file_data\" or \"file_id\"";
        Fields::new(object, place, wanted)?
    } else {
        let members = ["file_data", "file_id", "file_url", "filename", "format"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), fields.take(name)?)))
            .collect();
        Fields::new(Value::Object(members), fields.place(), "an object")?
    };
    let filename = file.text("filename")?;
    let format = file.text("format")?;
    let source = if let Some(data) = file.text("file_data")? {
        match Source::of_url(data, &file.place_of("file_data"))? {
            // Bare base64, which OpenAI takes too.
            Source::Url(text) if !text.contains("://") => Source::Data {
                media_type: format
                    .clone()
                    .unwrap_or_else(|| "application/pdf".to_owned()),
                base64: text,
            },
            other => other,
        }
    } else if let Some(url) = file.text("file_url")? {
        Source::of_url(url, &file.place_of("file_url"))?
    } else if let Some(id) = file.text("file_id")? {
        // LiteLLM takes URLs there.
        if id.contains("://") || id.starts_with("data:") {
            Source::of_url(id, &file.place_of("file_id"))?
        } else {
            Source::Id(id)
        }
    } else {
        return Err(Unusable::new(
            file.place(),
            "has neither \"file_data\" nor \"file_id\"",
        ));
    };
    Ok(PartKind::File {
        source,
        filename,
        format,
    })
}
