//! What holds of every text, right or wrong: however its bytes are cut, the same is found in it, and
//! what is passed on of it is JSON. The bodies of the fuzz targets and of the property tests.

use bytes::Bytes;
use toolbridge::gateway::mcp::message::{self, Body, Message, Unreadable};
use toolbridge::json::RawJson;
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

fn is_json(text: &RawJson) {
    RawJson::parse(text.clone().into_bytes()).expect("what is passed on is JSON");
}

/// What is answered to a message has its id, and can be read by whoever reads messages.
fn taken(read: Result<Message, Unreadable>) {
    let answer = match read {
        Ok(Message::Request(request)) => {
            is_json(&request.id);
            request.params.iter().for_each(is_json);
            // Written again by us, it is read as the same.
            let written = message::unasked(None, &request.method, request.params.as_ref());
            let read = message::read(&written).expect("a message of ours is one");
            let Body::One(Message::Notification { method, params }) = read else {
                panic!("it has no id");
            };
            assert_eq!(method, request.method);
            assert!(params == request.params);
            message::answer(&request.id, &Ok(RawJson::trusted("{}")))
        }
        Ok(Message::Notification { params, .. }) => return params.iter().for_each(is_json),
        Ok(Message::Answer { id, outcome }) => {
            is_json(&id);
            return is_json(&outcome.unwrap_or_else(|error| error));
        }
        Err(unreadable) => unreadable.answer(),
    };
    let Ok(Body::One(Message::Answer { .. })) = message::read(&answer) else {
        panic!("it is no answer");
    };
}

/// Of the messages of a client.
pub(crate) fn message(data: &[u8]) {
    match message::read(&Bytes::copy_from_slice(data)) {
        Ok(Body::One(message)) => taken(Ok(message)),
        Ok(Body::Batch(batch)) => batch.into_iter().for_each(taken),
        Err(unreadable) => taken(Err(unreadable)),
    }
}
