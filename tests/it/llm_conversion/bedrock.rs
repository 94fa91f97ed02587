//! Bedrock's Converse API, and chat endpoints of `SageMaker`.

mod endpoint;
mod frames;
mod requests;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use serde_json::{Map, Value, json};
use toolbridge::llm::provider::Settings;

use super::play::Play;

fn settings() -> Settings {
    let mut options = Map::new();
    options.insert("aws_region_name".to_owned(), json!("us-east-1"));
    Settings {
        options,
        ..Settings::default()
    }
}

fn model(name: &str) -> Play {
    Play::with(name, settings())
}

fn claude() -> Play {
    model("bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0")
}

pub(crate) fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let headers = headers.iter().map(|(name, value)| {
        let value = HeaderValue::String((*value).to_owned().into());
        Header::new((*name).to_owned(), value)
    });
    let message = Message::new_from_parts(headers.collect(), payload.to_vec());
    let mut written = Vec::new();
    write_message_to(&message, &mut written).unwrap();
    written
}

pub(crate) fn event(name: &str, payload: &[u8]) -> Vec<u8> {
    let kind = "application/json";
    frame(
        &[
            (":event-type", name),
            (":content-type", kind),
            (":message-type", "event"),
        ],
        payload,
    )
}

/// Each event is an object with one member: its type.
fn stream(events: &[Value]) -> Vec<u8> {
    let frames = events.iter().flat_map(|one| {
        let (name, payload) = one.as_object().unwrap().iter().next().unwrap();
        event(name, payload.to_string().as_bytes())
    });
    frames.collect()
}

fn exception(kind: &str, payload: &Value) -> Vec<u8> {
    frame(
        &[(":exception-type", kind), (":message-type", "exception")],
        payload.to_string().as_bytes(),
    )
}
