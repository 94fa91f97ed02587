//! How the events of a stream are told apart: server-sent events, one JSON object a line, or the
//! frames of AWS. Pure.

mod aws;

use bytes::{Bytes, BytesMut};
use memchr::memchr;

use super::stream::{Event, EventParser, EventTooLong, MAX_EVENT_BYTES};
use aws::Frames;

/// A way to tell events apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Framing {
    /// Server-sent events.
    #[default]
    Events,
    /// Server-sent events whose data is text and whose names say what it is.
    NamedEvents,
    /// A JSON object on each line.
    Lines,
    /// AWS event stream frames: each is an event `{"<its type>": <its payload>}`.
    AwsEvents,
    /// AWS event stream frames whose payloads, one after the other, are server-sent events.
    AwsParts,
}

/// Bytes that are no events.
#[derive(Debug, thiserror::Error)]
pub enum Unframed {
    /// An event beyond the bound.
    #[error(transparent)]
    TooLong(#[from] EventTooLong),
    /// A frame whose checksum or lengths do not fit what came.
    #[error("a frame of the event stream is damaged: {0}")]
    Damaged(String),
}

/// Tells them apart: feed it bytes, take events.
#[derive(Debug)]
pub enum Framer {
    /// Server-sent events.
    Events(EventParser),
    /// Lines: the one that is not over.
    Lines(BytesMut),
    /// Frames of AWS.
    AwsEvents(Frames),
    /// Frames of AWS around server-sent events.
    AwsParts(Frames, EventParser),
}

impl Framer {
    /// A framer at the start of a stream.
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::Events => Self::Events(EventParser::default()),
            Framing::NamedEvents => Self::Events(EventParser::named()),
            Framing::Lines => Self::Lines(BytesMut::new()),
            Framing::AwsEvents => Self::AwsEvents(Frames::default()),
            Framing::AwsParts => Self::AwsParts(Frames::default(), EventParser::default()),
        }
    }

    /// Takes the next bytes and appends the events that they complete.
    pub fn feed(&mut self, bytes: &Bytes, events: &mut Vec<Event>) -> Result<(), Unframed> {
        match self {
            Self::Events(parser) => parser.feed(bytes, events)?,
            Self::Lines(line) => feed_lines(line, bytes, events)?,
            Self::AwsEvents(frames) => {
                frames.feed(bytes);
                while let Some(message) = frames.next()? {
                    events.push(aws::event(&message));
                }
            }
            Self::AwsParts(frames, parser) => {
                frames.feed(bytes);
                while let Some(message) = frames.next()? {
                    if aws::is_event(&message) {
                        parser.feed(message.payload(), events)?;
                    } else {
                        events.push(aws::event(&message));
                    }
                }
            }
        }
        Ok(())
    }

    /// The last event, where its end did not come.
    pub fn finish(&mut self) -> Option<Event> {
        match self {
            Self::Events(parser) => parser.finish(),
            Self::Lines(line) => event(line.split().freeze()),
            // Half a frame says nothing.
            Self::AwsEvents(_) => None,
            Self::AwsParts(_, parser) => parser.finish(),
        }
    }

    /// How much of what was fed last ends between two events.
    pub fn settled(&self) -> usize {
        match self {
            Self::Events(parser) => parser.settled(),
            Self::Lines(_) | Self::AwsEvents(_) | Self::AwsParts(..) => 0,
        }
    }
}

fn feed_lines(
    line: &mut BytesMut,
    bytes: &Bytes,
    events: &mut Vec<Event>,
) -> Result<(), EventTooLong> {
    let mut position = 0;
    while let Some(length) = memchr(b'\n', &bytes[position..]) {
        let end = position + length;
        let whole = if line.is_empty() {
            bytes.slice(position..end)
        } else {
            line.extend_from_slice(&bytes[position..end]);
            line.split().freeze()
        };
        events.extend(event(whole));
        position = end + 1;
    }
    line.extend_from_slice(&bytes[position..]);
    if line.len() > MAX_EVENT_BYTES {
        return Err(EventTooLong(MAX_EVENT_BYTES));
    }
    Ok(())
}

fn event(line: Bytes) -> Option<Event> {
    (!line.trim_ascii().is_empty()).then_some(Event {
        data: line,
        is_error: false,
    })
}
