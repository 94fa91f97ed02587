//! JSON-RPC as clients write it, read without decoding what is passed on. Pure.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind};
use crate::gateway::trace::Trace;
use crate::json::RawJson;
use crate::mcp::PeerError;

pub(super) const PARSE_ERROR: i64 = -32_700;
pub(super) const INVALID_REQUEST: i64 = -32_600;
pub(super) const METHOD_NOT_FOUND: i64 = -32_601;
pub(super) const INVALID_PARAMS: i64 = -32_602;
pub(super) const INTERNAL_ERROR: i64 = -32_603;

/// One message of a client.
#[derive(Debug)]
pub enum Message {
    Request(Request),
    Notification {
        method: String,
        params: Option<RawJson>,
    },
    /// The answer to a request that was sent to the client.
    Answer {
        id: RawJson,
        outcome: Result<RawJson, RawJson>,
    },
}

/// A request of a client.
#[derive(Debug)]
pub struct Request {
    /// As the client wrote it.
    pub id: RawJson,
    pub method: String,
    pub params: Option<RawJson>,
    /// Where it stands in a trace, by the headers around it.
    pub(in crate::gateway) trace: Trace,
}

/// The error object of an answer, as it goes over the wire.
#[derive(Debug, Clone)]
pub struct RpcError(pub(super) RawJson);

impl RpcError {
    pub(super) fn new(code: i64, message: impl Into<String>) -> Self {
        let text = serde_json::json!({"code": code, "message": message.into()}).to_string();
        Self(RawJson::trusted(text))
    }
}

impl RpcError {
    /// With more about it.
    pub(super) fn with_data(code: i64, message: &str, data: &serde_json::Value) -> Self {
        let text = serde_json::json!({"code": code, "message": message, "data": data}).to_string();
        Self(RawJson::trusted(text))
    }

    /// Its code, if it has one.
    pub(super) fn code(&self) -> Option<i64> {
        #[derive(Deserialize)]
        struct Coded {
            code: i64,
        }
        let coded: Coded = serde_json::from_slice(self.0.as_bytes()).ok()?;
        Some(coded.code)
    }
}

impl From<Error> for RpcError {
    /// What a server answered goes on as it came.
    fn from(error: Error) -> Self {
        let context = error.context();
        if error.kind() == ErrorKind::Mcp
            && let Some(body) = &context.body
            && let Ok(raw) = RawJson::parse(body.clone())
        {
            return Self(raw);
        }
        let code = match error.kind() {
            ErrorKind::Mcp => context.rpc_code.unwrap_or(INTERNAL_ERROR),
            ErrorKind::Configuration => INVALID_PARAMS,
            _ => INTERNAL_ERROR,
        };
        Self::new(code, error.to_string())
    }
}

impl From<PeerError> for RpcError {
    /// What a client answered goes on as the answer to what it asked.
    fn from(error: PeerError) -> Self {
        let mut text = format!(
            "{{\"code\":{},\"message\":{}",
            error.code,
            serde_json::Value::from(error.message)
        );
        if let Some(data) = &error.data {
            text.push_str(",\"data\":");
            text.push_str(&String::from_utf8_lossy(data.as_bytes()));
        }
        text.push('}');
        Self(RawJson::trusted(text))
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default)]
    jsonrpc: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "given")]
    id: Option<&'a RawValue>,
    #[serde(default)]
    method: Option<String>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// A member that is there, if only as `null`.
fn given<'de, D: Deserializer<'de>>(text: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(text).map(Some)
}

/// What one HTTP body holds.
#[derive(Debug)]
pub enum Body {
    One(Message),
    /// Of 2025-03-26: several at once, each of them right or wrong for itself.
    Batch(Vec<Result<Message, Unreadable>>),
}

impl Body {
    /// Its requests belong to a trace.
    pub(in crate::gateway) fn stands_in(&mut self, trace: &Trace) {
        let stand = |message: &mut Message| {
            if let Message::Request(request) = message {
                request.trace = trace.clone();
            }
        };
        match self {
            Self::One(message) => stand(message),
            Self::Batch(messages) => messages.iter_mut().flatten().for_each(stand),
        }
    }
}

/// What cannot be taken as a message.
#[derive(Debug)]
pub struct Unreadable {
    /// The id of the request that it is, if it is one.
    id: Option<RawJson>,
    error: RpcError,
}

impl Unreadable {
    fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            id: None,
            error: RpcError::new(code, message),
        }
    }

    /// The text of the answer to it.
    pub fn answer(self) -> Bytes {
        let id = self.id.unwrap_or_else(|| RawJson::trusted("null"));
        answer(&id, &Err(self.error))
    }
}

/// How many messages one batch may have.
const MAXIMUM_BATCH: usize = 1_000;

/// Reads a body.
pub fn read(text: &Bytes) -> Result<Body, Unreadable> {
    if text.trim_ascii_start().first() != Some(&b'[') {
        return read_one(text).map(Body::One);
    }
    let batch: Vec<&RawValue> = serde_json::from_slice(text)
        .map_err(|failure| Unreadable::new(PARSE_ERROR, format!("not JSON: {failure}")))?;
    if batch.is_empty() || batch.len() > MAXIMUM_BATCH {
        let message = format!(
            "a batch has 1 to {MAXIMUM_BATCH} messages, not {}",
            batch.len()
        );
        return Err(Unreadable::new(INVALID_REQUEST, message));
    }
    let messages = batch.into_iter();
    let read = messages.map(|one| read_one(&text.slice_ref(one.get().as_bytes())));
    Ok(Body::Batch(read.collect()))
}

/// Reads one message.
fn read_one(text: &Bytes) -> Result<Message, Unreadable> {
    let slice = |raw: &RawValue| RawJson::trusted(text.slice_ref(raw.get().as_bytes()));
    let envelope: Envelope<'_> = serde_json::from_slice(text).map_err(|failure| {
        if failure.is_data() {
            Unreadable::new(INVALID_REQUEST, format!("no JSON-RPC message: {failure}"))
        } else {
            Unreadable::new(PARSE_ERROR, format!("not JSON: {failure}"))
        }
    })?;
    let id = envelope.id.filter(|id| is_id(id.get()));
    let refused = |code, message: &str| {
        let is_request = envelope.method.is_some();
        Err(Unreadable {
            id: id.filter(|_| is_request).map(slice),
            error: RpcError::new(code, message),
        })
    };
    if envelope.jsonrpc.as_deref() != Some("2.0") {
        return refused(INVALID_REQUEST, "jsonrpc is not \"2.0\"");
    }
    let is_refusal = envelope.method.is_none() && envelope.error.is_some();
    if envelope.id.is_some() && id.is_none() && !is_refusal {
        return refused(INVALID_REQUEST, "id is neither a text nor a number");
    }
    if envelope
        .params
        .is_some_and(|params| !params.get().starts_with('{'))
    {
        return refused(INVALID_PARAMS, "params is not an object");
    }
    match (envelope.method, id) {
        (Some(method), Some(id)) => Ok(Message::Request(Request {
            id: slice(id),
            method,
            params: envelope.params.map(slice),
            trace: Trace::default(),
        })),
        (Some(method), None) => Ok(Message::Notification {
            method,
            params: envelope.params.map(slice),
        }),
        (None, id) => {
            let outcome = match (envelope.result, envelope.error) {
                (Some(result), None) if id.is_some() => Ok(slice(result)),
                // A message that the client could not read has no id that it knows.
                (None, Some(error)) => Err(slice(error)),
                (None, None) => {
                    return Err(Unreadable::new(
                        INVALID_REQUEST,
                        "neither a method nor a result nor an error",
                    ));
                }
                _ => {
                    return Err(Unreadable::new(
                        INVALID_REQUEST,
                        "an answer has an id, and either a result or an error",
                    ));
                }
            };
            let id = id.map_or_else(|| RawJson::trusted("null"), slice);
            Ok(Message::Answer { id, outcome })
        }
    }
}

fn is_id(text: &str) -> bool {
    text.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit())
}

/// The text of the answer to a request.
pub fn answer(id: &RawJson, outcome: &Result<RawJson, RpcError>) -> Bytes {
    let (key, value) = match outcome {
        Ok(result) => (&b",\"result\":"[..], result),
        Err(RpcError(error)) => (&b",\"error\":"[..], error),
    };
    let mut text = Vec::with_capacity(48 + id.as_bytes().len() + value.as_bytes().len());
    text.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    text.extend_from_slice(id.as_bytes());
    text.extend_from_slice(key);
    text.extend_from_slice(value.as_bytes());
    text.push(b'}');
    text.into()
}

/// The text of an error that answers no request.
pub fn refusal(error: RpcError) -> Bytes {
    answer(&RawJson::trusted("null"), &Err(error))
}

/// The text of a notification, or of a request if it has an id.
pub fn unasked(id: Option<u64>, method: &str, params: Option<&RawJson>) -> Bytes {
    let mut text = Vec::with_capacity(64 + method.len());
    text.extend_from_slice(b"{\"jsonrpc\":\"2.0\"");
    if let Some(id) = id {
        text.extend_from_slice(format!(",\"id\":{id}").as_bytes());
    }
    text.extend_from_slice(b",\"method\":");
    text.extend_from_slice(serde_json::Value::from(method).to_string().as_bytes());
    if let Some(params) = params {
        text.extend_from_slice(b",\"params\":");
        text.extend_from_slice(params.as_bytes());
    }
    text.push(b'}');
    text.into()
}
