//! An event as AWS frames it.

use aws_smithy_eventstream::error::Error;
use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use serde_json::Value;

/// One event: its name and its payload.
pub(crate) fn frame(name: &str, payload: &Value) -> Result<Bytes, Error> {
    let header = |name: &'static str, value: &str| {
        Header::new(name, HeaderValue::String(value.to_owned().into()))
    };
    let message = Message::new(payload.to_string())
        .add_header(header(":event-type", name))
        .add_header(header(":content-type", "application/json"))
        .add_header(header(":message-type", "event"));
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes)?;
    Ok(bytes.into())
}
