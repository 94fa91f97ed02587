//! Pictures, sounds and files of results: what they are, whether their bytes can be read, and what an
//! API takes of them. Owns [`Media`], [`Medium`] and [`Takes`].

use std::borrow::Cow;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Medium {
    Image,
    Audio,
    Video,
    /// Anything else.
    File,
}

impl Medium {
    pub(super) fn of(mime: &str) -> Self {
        match mime.split('/').next() {
            Some("image") => Self::Image,
            Some("audio") => Self::Audio,
            Some("video") => Self::Video,
            _ => Self::File,
        }
    }

    /// As notes name it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::File => "file",
        }
    }
}

/// Where a block is from.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct About<'a> {
    pub(super) uri: Option<&'a str>,
    /// The title or the name that the server gave it.
    pub(super) name: Option<&'a str>,
}

impl<'a> About<'a> {
    /// A name for it: the server's, or the end of its URI.
    pub(super) fn file_name(&self) -> Option<&'a str> {
        let end = || {
            let path = self.uri?.split(['?', '#']).next()?;
            path.rsplit('/').next().filter(|end| !end.is_empty())
        };
        self.name.or_else(end)
    }
}

/// Bytes of a result.
#[derive(Debug, Clone)]
pub(super) struct Media<'a> {
    pub(super) medium: Medium,
    /// Such as `image/png`: in small letters, without parameters.
    pub(super) mime: Cow<'a, str>,
    /// Standard base64, padded, without blanks.
    pub(super) base64: Cow<'a, str>,
    pub(super) about: About<'a>,
}

impl Media<'_> {
    /// How many bytes there are.
    pub(super) fn size(&self) -> usize {
        let padding = self.base64.bytes().rev().take_while(|one| *one == b'=');
        self.base64.len() / 4 * 3 - padding.count()
    }

    pub(super) fn data_url(&self) -> String {
        format!("data:{};base64,{}", self.mime, self.base64)
    }
}

/// The media types of one sort that an API takes, and how large a file may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Types {
    /// Such as `image/png`.
    pub names: &'static [&'static str],
    /// The most bytes of one.
    pub largest: usize,
}

impl Types {
    /// None.
    pub const NONE: Self = Self {
        names: &[],
        largest: 0,
    };
}

/// What an API takes beside text, in one place of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Takes {
    /// Pictures.
    pub images: Types,
    /// Sounds.
    pub audio: Types,
    /// Films.
    pub videos: Types,
    /// Everything else, such as `application/pdf`.
    pub files: Types,
}

/// Why an API does not take something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Type,
    Size(usize),
}

impl Takes {
    /// Text alone.
    pub const TEXT: Self = Self {
        images: Types::NONE,
        audio: Types::NONE,
        videos: Types::NONE,
        files: Types::NONE,
    };

    pub(super) fn check(&self, media: &Media<'_>) -> Result<(), Refusal> {
        let types = match media.medium {
            Medium::Image => self.images,
            Medium::Audio => self.audio,
            Medium::Video => self.videos,
            Medium::File => self.files,
        };
        if !types.names.contains(&&*media.mime) {
            Err(Refusal::Type)
        } else if media.size() > types.largest {
            Err(Refusal::Size(types.largest))
        } else {
            Ok(())
        }
    }
}

/// A media type in the form that APIs compare: small letters, no parameters, one name for each.
pub(super) fn plain_type(mime: &str) -> Cow<'_, str> {
    let name = mime.split(';').next().unwrap_or_default().trim();
    let name = if name.bytes().any(|one| one.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    };
    let usual = match &*name {
        "image/jpg" | "image/pjpeg" => "image/jpeg",
        "image/x-png" => "image/png",
        "audio/mp3" | "audio/x-mp3" => "audio/mpeg",
        "audio/x-wav" | "audio/wave" | "audio/vnd.wave" => "audio/wav",
        "application/x-pdf" => "application/pdf",
        _ => return name,
    };
    Cow::Borrowed(usual)
}

/// What the first bytes say: servers guess wrong, and APIs refuse a picture of another type than the
/// one that is said.
pub(super) fn type_by_content(base64: &str) -> Option<&'static str> {
    const STARTS: &[(&str, &str)] = &[
        ("iVBORw0KGgo", "image/png"),
        ("/9j/", "image/jpeg"),
        ("R0lGODlh", "image/gif"),
        ("R0lGODdh", "image/gif"),
        ("JVBERi0", "application/pdf"),
    ];
    let found = STARTS.iter().find(|(start, _)| base64.starts_with(start));
    if let Some((_, mime)) = found {
        return Some(mime);
    }
    webp_or_wave(base64)
}

/// `RIFF`, four bytes of length, and what it is.
fn webp_or_wave(base64: &str) -> Option<&'static str> {
    use base64::Engine;
    let start = base64
        .get(..16)
        .filter(|start| start.starts_with("UklGR"))?;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(start)
        .ok()?;
    match bytes.get(8..12)? {
        b"WEBP" => Some("image/webp"),
        b"WAVE" => Some("audio/wav"),
        _ => None,
    }
}

/// Base64 as every API takes it. Blanks, the URL alphabet, missing padding and a `data:` head, all of
/// which servers send, are put right. None where it is no base64, or nothing.
pub(super) fn plain_base64(data: &str) -> Option<Cow<'_, str>> {
    let data = match data.strip_prefix("data:") {
        Some(rest) => rest.split_once(";base64,")?.1,
        None => data,
    };
    if is_base64(data) {
        return Some(Cow::Borrowed(data));
    }
    let mut text: String = data
        .chars()
        .filter(|one| !one.is_ascii_whitespace())
        .map(|one| match one {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    while text.len() % 4 != 0 && text.len() % 4 != 1 {
        text.push('=');
    }
    is_base64(&text).then_some(Cow::Owned(text))
}

fn is_base64(text: &str) -> bool {
    let body = text
        .strip_suffix("==")
        .or_else(|| text.strip_suffix('='))
        .unwrap_or(text);
    let fits = |one: u8| one.is_ascii_alphanumeric() || one == b'+' || one == b'/';
    !body.is_empty() && text.len().is_multiple_of(4) && body.bytes().all(fits)
}

/// Whether files of a type are text, whatever else they are.
pub(super) fn is_text(mime: &str) -> bool {
    const TEXTS: &[&str] = &[
        "application/ecmascript",
        "application/graphql",
        "application/javascript",
        "application/json",
        "application/jsonl",
        "application/sql",
        "application/toml",
        "application/x-ndjson",
        "application/x-sh",
        "application/x-yaml",
        "application/xml",
        "application/yaml",
    ];
    mime.starts_with("text/")
        || mime.ends_with("+json")
        || mime.ends_with("+xml")
        || TEXTS.contains(&mime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_any_spelling_is_put_right_and_nothing_else_is_taken() {
        assert_eq!(plain_base64("aGk=").unwrap(), "aGk=");
        assert_eq!(plain_base64("aGk").unwrap(), "aGk=");
        assert_eq!(plain_base64("aG\n k=").unwrap(), "aGk=");
        assert_eq!(plain_base64("-_-_").unwrap(), "+/+/");
        assert_eq!(plain_base64("data:image/png;base64,aGk=").unwrap(), "aGk=");
        for wrong in [
            "",
            "=",
            "a",
            "aGk!",
            "data:text/plain,hi",
            "ä123",
            "a===",
            "aaaa=",
        ] {
            assert_eq!(plain_base64(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_first_bytes_say_what_a_file_is() {
        use base64::Engine;
        let of = |bytes: &[u8]| {
            type_by_content(&base64::engine::general_purpose::STANDARD.encode(bytes))
        };
        assert_eq!(of(b"\x89PNG\r\n\x1a\n0000"), Some("image/png"));
        assert_eq!(of(b"\xff\xd8\xff\xe0"), Some("image/jpeg"));
        assert_eq!(of(b"GIF89a"), Some("image/gif"));
        assert_eq!(of(b"%PDF-1.7"), Some("application/pdf"));
        for length in [b"\0\0\0\0", b"\xff\x12\x34\0", b"zzzz"] {
            let riff = |kind: &[u8]| [b"RIFF", length.as_slice(), kind].concat();
            assert_eq!(of(&riff(b"WEBP")), Some("image/webp"));
            assert_eq!(of(&riff(b"WAVE")), Some("audio/wav"));
            assert_eq!(of(&riff(b"AVI ")), None);
        }
        assert_eq!(of(b"hello"), None);
        assert_eq!(of(b""), None);
    }

    #[test]
    fn a_file_is_as_large_as_its_bytes() {
        for bytes in 1..9 {
            use base64::Engine;
            let base64 = base64::engine::general_purpose::STANDARD.encode(vec![7; bytes]);
            let media = Media {
                medium: Medium::File,
                mime: "x/y".into(),
                base64: base64.into(),
                about: About::default(),
            };
            assert_eq!(media.size(), bytes);
        }
    }
}
