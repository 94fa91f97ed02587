//! The messages of a run, and the body of its next request. Owns [`Conversation`] and [`Head`]; pure.
//! Messages are text: what was said once is never written anew.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;

/// What stands in every request to a model.
#[derive(Debug, Clone)]
pub struct Head(
    /// A JSON object without its last brace, without messages and tools.
    Bytes,
);

impl Head {
    /// Of the body of a request in OpenAI's form; its `messages`, `tools` and `stream` are left out.
    ///
    /// # Errors
    /// It asks for several answers, of which nobody could say which goes on.
    pub fn new(mut request: Map<String, Value>) -> Result<Self> {
        if let Some(count) = request.get("n").filter(|count| !count.is_null())
            && count.as_u64() != Some(1)
        {
            let message = format!(
                "n is {count}; a run goes on with one answer of the model, so it takes 1 or nothing"
            );
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        for own in ["messages", "tools", "stream"] {
            request.remove(own);
        }
        let mut head = BytesMut::from(RawJson::from_serialize(&request)?.as_bytes());
        head.truncate(head.len() - 1);
        Ok(Self(head.freeze()))
    }

    /// A request with these messages and tools, JSON arrays.
    pub fn body(&self, messages: &[u8], tools: &[u8], streams: bool) -> Bytes {
        let mut body = self.begun(messages.len() + tools.len());
        body.put_slice(messages);
        ended(body, tools, streams)
    }

    /// A request up to its messages, with room for so much more.
    fn begun(&self, more: usize) -> BytesMut {
        let mut body = BytesMut::with_capacity(self.0.len() + more + 96);
        body.put_slice(&self.0);
        if self.0.len() > 1 {
            body.put_u8(b',');
        }
        body.put_slice(b"\"messages\":");
        body
    }
}

/// A request from behind its messages.
fn ended(mut body: BytesMut, tools: &[u8], streams: bool) -> Bytes {
    if tools.len() > 2 {
        body.put_slice(b",\"tools\":");
        body.put_slice(tools);
    }
    if streams {
        body.put_slice(b",\"stream\":true");
    }
    body.put_u8(b'}');
    body.freeze()
}

/// What stands in every request, and the messages so far.
#[derive(Debug, Clone)]
pub struct Conversation {
    head: Head,
    messages: Vec<RawJson>,
}

impl Conversation {
    /// Begins with the body of a request in OpenAI's form, without `messages` and `tools`.
    ///
    /// # Errors
    /// As for [`Head::new`].
    pub fn new(request: Map<String, Value>, messages: Vec<RawJson>) -> Result<Self> {
        let head = Head::new(request)?;
        Ok(Self { head, messages })
    }

    /// The messages.
    pub fn messages(&self) -> &[RawJson] {
        &self.messages
    }

    /// The messages, to keep.
    pub fn into_messages(self) -> Vec<RawJson> {
        self.messages
    }

    /// Adds a message.
    pub fn push(&mut self, message: RawJson) {
        self.messages.push(message);
    }

    /// The body of the next request, with these tools: a JSON array, or nothing.
    pub fn body(&self, tools: &[u8], streams: bool) -> Bytes {
        let length: usize = self
            .messages
            .iter()
            .map(|one| one.as_bytes().len() + 1)
            .sum();
        let mut body = self.head.begun(length + tools.len());
        body.put_u8(b'[');
        for (place, message) in self.messages.iter().enumerate() {
            if place > 0 {
                body.put_u8(b',');
            }
            body.put_slice(message.as_bytes());
        }
        body.put_u8(b']');
        ended(body, tools, streams)
    }
}

/// The elements of a JSON array, as they are written.
///
/// # Errors
/// It is none.
pub fn elements(array: &RawJson, what: &str) -> Result<Vec<RawJson>> {
    let list: Vec<&RawValue> = serde_json::from_slice(array.as_bytes()).map_err(|cause| {
        Error::new(ErrorKind::Configuration, format!("{what} takes a list")).with_source(cause)
    })?;
    let raw = |one: &&RawValue| RawJson::trusted(one.get().to_owned());
    Ok(list.iter().map(raw).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn conversation(request: Value) -> Result<Conversation> {
        let Value::Object(request) = request else {
            panic!("not an object")
        };
        let messages = elements(
            &RawJson::trusted(&br#"[{"role": "user",  "x": 1.50}]"#[..]),
            "it",
        );
        Conversation::new(request, messages?)
    }

    #[test]
    fn the_body_is_spliced_and_messages_stay_as_they_are_written() {
        let mut talk = conversation(json!({"model": "m", "stream": true, "messages": []})).unwrap();
        talk.push(RawJson::trusted(&br#"{"role":"assistant"}"#[..]));
        let body = talk.body(b"[1]", true);
        let wanted = r#"{"model":"m","messages":[{"role": "user",  "x": 1.50},{"role":"assistant"}],"tools":[1],"stream":true}"#;
        assert_eq!(body, wanted);
        let talk = conversation(json!({})).unwrap();
        assert_eq!(
            talk.body(b"[]", false),
            r#"{"messages":[{"role": "user",  "x": 1.50}]}"#
        );
    }

    #[test]
    fn several_answers_cannot_go_on() {
        let error = conversation(json!({"n": 2})).unwrap_err();
        assert!(error.message().starts_with("n is 2"), "{error}");
        conversation(json!({"n": 1})).unwrap();
        conversation(json!({"n": null})).unwrap();
    }
}
