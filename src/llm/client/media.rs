//! What bytes are: by what their server says, by how they begin, or by the name of their file. Pure.

/// Types that say nothing.
const ANYTHING: [&str; 4] = [
    "",
    "application/octet-stream",
    "binary/octet-stream",
    "application/unknown",
];

/// The media type of `bytes`, that were fetched from `path` as `said`.
pub(super) fn media_type(said: &str, bytes: &[u8], path: &str) -> Option<String> {
    let said = match said {
        "image/jpg" => "image/jpeg",
        other => other,
    };
    if !ANYTHING.contains(&said) && !said.starts_with("text/") {
        return Some(said.to_owned());
    }
    // Servers call much text that is none.
    by_begin(bytes)
        .or_else(|| by_name(path))
        .or_else(|| (!ANYTHING.contains(&said)).then_some(said))
        .map(str::to_owned)
}

fn by_begin(bytes: &[u8]) -> Option<&'static str> {
    let inside = |range: std::ops::Range<usize>| bytes.get(range).unwrap_or_default();
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [b'B', b'M', ..] if bytes.len() > 26 => Some("image/bmp"),
        [b'I', b'I', 0x2a, 0, ..] | [b'M', b'M', 0, 0x2a, ..] => Some("image/tiff"),
        [b'%', b'P', b'D', b'F', ..] => Some("application/pdf"),
        [b'R', b'I', b'F', b'F', ..] if inside(8..12) == b"WEBP" => Some("image/webp"),
        [b'R', b'I', b'F', b'F', ..] if inside(8..12) == b"WAVE" => Some("audio/wav"),
        [b'I', b'D', b'3', ..] | [0xff, 0xf2..=0xf3 | 0xfa..=0xfb, ..] => Some("audio/mpeg"),
        [b'f', b'L', b'a', b'C', ..] => Some("audio/flac"),
        [b'O', b'g', b'g', b'S', ..] => Some("audio/ogg"),
        _ if inside(4..8) == b"ftyp" => match inside(8..12) {
            b"avif" => Some("image/avif"),
            b"heic" | b"heix" | b"mif1" => Some("image/heic"),
            b"M4A " => Some("audio/mp4"),
            _ => Some("video/mp4"),
        },
        _ => None,
    }
}

fn by_name(path: &str) -> Option<&'static str> {
    let (_, extension) = path.rsplit('/').next()?.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "bmp" => "image/bmp",
        "svg" => "image/svg+xml",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "md" => "text/markdown",
        "csv" => "text/csv",
        "html" | "htm" => "text/html",
        "json" => "application/json",
        "wav" => "audio/wav",
        "mp3" => "audio/mpeg",
        "flac" => "audio/flac",
        "ogg" => "audio/ogg",
        "m4a" => "audio/mp4",
        "mp4" => "video/mp4",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_believed_then_the_bytes_then_the_name() {
        let png = b"\x89PNG\r\n\x1a\n";
        let of = |said, bytes, path| media_type(said, bytes, path).unwrap_or_default();
        assert_eq!(of("image/webp", png, "/a.gif"), "image/webp");
        assert_eq!(of("image/jpg", b"x", "/a"), "image/jpeg");
        assert_eq!(of("application/octet-stream", png, "/a.gif"), "image/png");
        assert_eq!(of("text/plain", png, "/a.gif"), "image/png");
        assert_eq!(of("", b"x", "/b/a.GIF"), "image/gif");
        assert_eq!(of("text/html", b"<html>", "/a"), "text/html");
        assert_eq!(of("", b"x", "/a.b/c"), "");
        assert_eq!(of("", b"RIFF....WEBPVP8 ", "/"), "image/webp");
        assert_eq!(of("", b"RIFF....WAVEfmt ", "/"), "audio/wav");
    }
}
