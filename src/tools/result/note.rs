//! The short texts in the place of what is not sent. Each stands in brackets, and says what there
//! was, how large it is and why it is not here.

use super::media::{Media, Refusal};

/// Of something that is not sent.
pub(super) fn not_sent(media: &Media<'_>, refusal: Refusal) -> String {
    match refusal {
        Refusal::Type => format!(
            "[{}: not sent, the model cannot take it here]",
            shown(media)
        ),
        Refusal::Size(largest) => format!(
            "[{}: not sent, it is larger than {}]",
            shown(media),
            size(largest)
        ),
    }
}

/// What a file is, for notes and for labels.
pub(super) fn shown(media: &Media<'_>) -> String {
    described(
        media.medium.word(),
        Some(&media.mime),
        Some(size(media.size())),
        media.about.uri.or(media.about.name),
    )
}

/// The parts of a note that are known.
pub(super) fn described(
    word: &str,
    mime: Option<&str>,
    size: Option<String>,
    place: Option<&str>,
) -> String {
    let mut text = word.to_owned();
    for part in [mime.map(str::to_owned), size, place.map(str::to_owned)]
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
    {
        text.push_str(", ");
        text.push_str(&part);
    }
    text
}

/// A number of bytes in words.
pub(super) fn size(bytes: usize) -> String {
    match bytes {
        1 => "1 byte".to_owned(),
        0..=999 => format!("{bytes} bytes"),
        1_000..=999_949 => tenths(bytes / 100, "kB"),
        _ => tenths(bytes / 100_000, "MB"),
    }
}

fn tenths(tenths: usize, unit: &str) -> String {
    match tenths % 10 {
        0 => format!("{} {unit}", tenths / 10),
        tenth => format!("{}.{tenth} {unit}", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_words() {
        assert_eq!(size(1), "1 byte");
        assert_eq!(size(68), "68 bytes");
        assert_eq!(size(1_000), "1 kB");
        assert_eq!(size(12_345), "12.3 kB");
        assert_eq!(size(3_750_000), "3.7 MB");
        assert_eq!(size(5_000_000), "5 MB");
    }
}
