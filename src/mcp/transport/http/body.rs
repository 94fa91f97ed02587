//! The bodies of answers, piece by piece and event by event.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt as _;

use super::{Response, root_cause, within};
use crate::mcp::transport::event_stream::{Event, EventParser};

/// The next piece of a body.
pub(super) async fn chunk(answer: &mut Response) -> Result<Option<Bytes>, hyper::Error> {
    while let Some(frame) = answer.frame().await {
        // Trailers say nothing here.
        if let Ok(piece) = frame?.into_data() {
            return Ok(Some(piece));
        }
    }
    Ok(None)
}

/// The media type of an answer, without its parameters.
pub(in crate::mcp::transport) fn media_type(answer: &Response) -> String {
    let header = answer.headers().get(CONTENT_TYPE);
    let text = header
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let name = text.split(';').next().unwrap_or_default();
    name.trim().to_ascii_lowercase()
}

/// The body of an answer as events.
pub(in crate::mcp::transport) struct EventBody {
    answer: Response,
    pub(in crate::mcp::transport) events: EventParser,
    has_ended: bool,
}

/// Why no event follows.
pub(in crate::mcp::transport) enum StreamEnd {
    /// The server ended the stream.
    Finished,
    /// The connection broke; the sentence says how.
    Broken(String),
    /// The stream was silent for too long.
    Silent,
}

impl EventBody {
    pub(in crate::mcp::transport) fn new(answer: Response, limit: usize) -> Self {
        Self {
            answer,
            events: EventParser::new(limit),
            has_ended: false,
        }
    }

    /// Goes on with the answer that continues a stream.
    pub(in crate::mcp::transport) fn restart(&mut self, answer: Response) {
        self.answer = answer;
        self.events.restart();
        self.has_ended = false;
    }

    pub(in crate::mcp::transport) async fn next_event(
        &mut self,
        limit: Option<Duration>,
    ) -> Result<Event, StreamEnd> {
        loop {
            if let Some(event) = self.events.next_event() {
                return Ok(event);
            }
            if self.has_ended {
                return Err(StreamEnd::Finished);
            }
            match within(limit, chunk(&mut self.answer)).await {
                None => return Err(StreamEnd::Silent),
                Some(Ok(Some(piece))) => self.events.feed(&piece),
                Some(Ok(None)) => {
                    self.has_ended = true;
                    return self.events.finish().ok_or(StreamEnd::Finished);
                }
                Some(Err(cause)) => return Err(StreamEnd::Broken(root_cause(&cause))),
            }
        }
    }
}
