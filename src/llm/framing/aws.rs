//! Frames of AWS event streams (`application/vnd.amazon.eventstream`). Checksums and headers are read
//! by AWS's own crate. Pure.

use aws_smithy_eventstream::frame::read_message_from;
use aws_smithy_types::event_stream::Message;
use aws_smithy_types::str_bytes::StrBytes;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde_json::{Map, Value, json};

use super::Unframed;
use crate::llm::stream::{Event, EventTooLong, MAX_EVENT_BYTES};

/// Two lengths, their checksum, and the checksum of it all.
const SHORTEST_FRAME: usize = 16;

/// What came and is not a whole frame yet.
#[derive(Debug, Default)]
pub struct Frames(BytesMut);

impl Frames {
    pub(super) fn feed(&mut self, bytes: &Bytes) {
        self.0.extend_from_slice(bytes);
    }

    /// The next whole frame.
    pub(super) fn next(&mut self) -> Result<Option<Message>, Unframed> {
        let Some(mut head) = self.0.get(..4) else {
            return Ok(None);
        };
        let length = usize::try_from(head.get_u32()).unwrap_or(usize::MAX);
        if length < SHORTEST_FRAME {
            let why = format!("it is said to be {length} bytes long");
            return Err(Unframed::Damaged(why));
        }
        if length > MAX_EVENT_BYTES {
            return Err(EventTooLong(MAX_EVENT_BYTES).into());
        }
        if self.0.len() < length {
            return Ok(None);
        }
        let mut frame = self.0.split_to(length).freeze();
        match read_message_from(&mut frame) {
            Ok(message) => Ok(Some(message)),
            Err(cause) => Err(Unframed::Damaged(cause.to_string())),
        }
    }
}

fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    let found = message
        .headers()
        .iter()
        .find(|header| header.name().as_str() == name)?;
    found.value().as_string().ok().map(StrBytes::as_str)
}

/// Whether a message is one of those that a stream is made of, and no error.
pub(super) fn is_event(message: &Message) -> bool {
    matches!(header(message, ":message-type"), None | Some("event"))
}

/// A message as an event: `{"<its type>": <its payload>}`, or an error object.
pub(super) fn event(message: &Message) -> Event {
    if !is_event(message) {
        return Event {
            data: error(message).to_string().into(),
            is_error: true,
        };
    }
    let name = Value::from(header(message, ":event-type").unwrap_or_default()).to_string();
    let payload: &[u8] = match message.payload().as_ref() {
        [] => b"{}",
        payload => payload,
    };
    let mut data = BytesMut::with_capacity(name.len() + payload.len() + 3);
    data.put_u8(b'{');
    data.put_slice(name.as_bytes());
    data.put_u8(b':');
    data.put_slice(payload);
    data.put_u8(b'}');
    Event {
        data: data.freeze(),
        is_error: false,
    }
}

/// An exception of the service's model, or an error that the model does not have.
fn error(message: &Message) -> Value {
    let mut members = match serde_json::from_slice(message.payload()) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    };
    let kind = header(message, ":exception-type").or_else(|| header(message, ":error-code"));
    if let Some(kind) = kind {
        members.insert("type".to_owned(), Value::from(kind));
    }
    let has_message = ["message", "Message"]
        .iter()
        .any(|name| members.contains_key(*name));
    if !has_message {
        let said = header(message, ":error-message").map_or_else(
            || String::from_utf8_lossy(message.payload()).into_owned(),
            str::to_owned,
        );
        let said = if said.is_empty() {
            format!("{} without a message", kind.unwrap_or("an error"))
        } else {
            said
        };
        members.insert("message".to_owned(), Value::from(said));
    }
    json!({ "error": members })
}
