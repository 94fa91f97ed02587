//! What holds of every text, right or wrong: however its bytes are cut, the same is found in it. The
//! bodies of the fuzz targets and of the property tests.

use toolbridge::mcp::transport::event_stream::{Event, EventParser};
use toolbridge::mcp::transport::framing::{Frame, Framer};

/// Cuts that are the same for the same bytes.
fn pieces(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    // xorshift64, seeded by the bytes: FNV-1a.
    let mut state = data.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    }) | 1;
    let mut rest = data;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let length = usize::try_from(state % 24)
            .unwrap_or_default()
            .min(rest.len());
        let (piece, more) = rest.split_at(length);
        rest = more;
        Some(piece)
    })
}

/// The first byte is the limit, in bytes over 16.
fn split(data: &[u8]) -> Option<(usize, &[u8])> {
    let (first, text) = data.split_first()?;
    Some((16 + usize::from(*first), text))
}

fn frames<'a>(limit: usize, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Frame> {
    let mut framer = Framer::new(limit);
    let mut found = Vec::new();
    for piece in pieces {
        framer.space().extend_from_slice(piece);
        found.extend(std::iter::from_fn(|| framer.next_frame()));
    }
    found.extend(framer.finish());
    found
}

/// Of the framing of stdio.
pub(crate) fn framing(data: &[u8]) {
    let Some((limit, text)) = split(data) else {
        return;
    };
    let whole = frames(limit, std::iter::once(text));
    for frame in &whole {
        match frame {
            Frame::Line(line) => {
                assert!(line.len() <= limit && !line.trim_ascii().is_empty());
                assert!(!line.contains(&b'\n'));
            }
            Frame::Oversized { bytes, .. } => assert!(*bytes > limit),
        }
    }
    assert_eq!(whole, frames(limit, text.chunks(1)), "byte by byte");
    assert_eq!(whole, frames(limit, pieces(text)), "in pieces");
}

fn events<'a>(
    limit: usize,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> (Vec<Event>, Option<Event>, Option<String>, Option<u128>) {
    let mut parser = EventParser::new(limit);
    let mut found = Vec::new();
    for piece in pieces {
        parser.feed(piece);
        found.extend(std::iter::from_fn(|| parser.next_event()));
    }
    let last = parser.finish();
    let retry = parser.retry().map(|wait| wait.as_millis());
    (found, last, parser.last_id().map(str::to_owned), retry)
}

/// Of event streams.
pub(crate) fn event_stream(data: &[u8]) {
    let Some((limit, text)) = split(data) else {
        return;
    };
    let whole = events(limit, std::iter::once(text));
    for event in whole.0.iter().chain(&whole.1) {
        if let Frame::Line(data) = &event.data {
            assert!(data.len() <= limit && !data.is_empty());
            assert!(!data.contains(&b'\r'));
        }
    }
    assert_eq!(whole, events(limit, text.chunks(1)), "byte by byte");
    assert_eq!(whole, events(limit, pieces(text)), "in pieces");
}
