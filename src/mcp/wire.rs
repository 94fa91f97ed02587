//! JSON-RPC messages as raw text, and their form inside rmcp. Used by `session` and `transport`.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use rmcp::model::{
    CancelledNotification, ClientNotification, ClientResult, CustomRequest, CustomResult,
    ErrorCode, ErrorData, GetExtensions as _, JsonRpcMessage, RequestId, ServerNotification,
    ServerRequest, ServerResult,
};
use rmcp::service::{RoleClient, RxJsonRpcMessage, TxJsonRpcMessage};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind, Loss};
use crate::json::RawJson;
use crate::mcp::session::{Events, ProgressListener, SubscriptionListener};

/// What a request of ours carries through rmcp beside its method: the text of its parameters.
#[derive(Clone)]
pub(crate) struct Outgoing {
    /// A JSON object without `_meta`.
    pub(crate) params: Option<RawJson>,
    /// The caller's `_meta`, a JSON object without `progressToken`.
    pub(crate) meta: Option<RawJson>,
    /// Who wants the progress of this request; without one no token is sent.
    pub(crate) progress: Option<ProgressListener>,
    /// Sent with this request alone, where the transport is HTTP.
    pub(crate) headers: HeaderMap,
    /// Set for a request that belongs to no session, as those of 2026-07-28 do.
    pub(crate) stateless: Option<Stateless>,
    /// The parameters hold their `_meta`, and a token of the caller's where there is progress.
    pub(crate) verbatim: bool,
    /// Who hears what comes on the stream of the answer.
    pub(crate) related: Option<Arc<dyn Events>>,
}

/// A request that belongs to no session.
#[derive(Clone)]
pub(crate) struct Stateless {
    /// Who hears the notifications of the subscription that the request opens.
    pub(crate) subscriber: Option<SubscriptionListener>,
}

/// The parameters of a request of the peer, as they came, and the request of ours on whose stream.
#[derive(Clone)]
pub(crate) struct IncomingParams {
    pub(crate) params: Option<RawJson>,
    pub(crate) origin: Option<RequestId>,
}

/// Text on its way through rmcp, which [`encode`] puts into its message as it is: what goes out
/// beside requests are objects, so that a string cannot be meant.
pub(crate) fn carried(raw: &RawJson) -> Value {
    Value::String(String::from_utf8_lossy(raw.as_bytes()).into_owned())
}

/// What a subscription hears when the server takes it back.
pub(crate) const SUBSCRIPTION_TORN_DOWN: &str = "notifications/cancelled";

/// A member that is there, also when it is null.
fn present<'de, D: serde::Deserializer<'de>>(text: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(text).map(Some)
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(default)]
    method: Option<String>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// One message of the peer.
pub(crate) enum Incoming {
    /// An answer, a request or a cancellation: for rmcp's loop.
    Message(Box<RxJsonRpcMessage<RoleClient>>),
    /// A notification: for the listeners, in the order of the wire.
    Notification {
        method: String,
        params: Option<RawJson>,
    },
}

/// How many messages one batch may hold: each takes many times the bytes of its text.
const MAXIMUM_BATCH: usize = 10_000;

/// The texts of the messages of a batch.
struct Batch<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Batch<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(text: D) -> Result<Self, D::Error> {
        struct Messages;
        impl<'de> serde::de::Visitor<'de> for Messages {
            type Value = Batch<'de>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "a batch of at most {MAXIMUM_BATCH} messages")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut messages: A,
            ) -> Result<Batch<'de>, A::Error> {
                let mut batch = Vec::new();
                while let Some(message) = messages.next_element()? {
                    if batch.len() == MAXIMUM_BATCH {
                        return Err(serde::de::Error::invalid_length(batch.len() + 1, &self));
                    }
                    batch.push(message);
                }
                Ok(Batch(batch))
            }
        }
        text.deserialize_seq(Messages)
    }
}

/// Reads one message, or the messages of a batch; an error says what is wrong with one of them.
pub(crate) fn decode(text: &Bytes) -> Vec<Result<Incoming, String>> {
    if text.trim_ascii_start().first() == Some(&b'[') {
        return match serde_json::from_slice::<Batch<'_>>(text) {
            Ok(batch) => batch
                .0
                .into_iter()
                .map(|one| decode_one(text, one.get().as_bytes()))
                .collect(),
            Err(failure) => vec![Err(failure.to_string())],
        };
    }
    vec![decode_one(text, text)]
}

/// What is smaller is copied: it may wait for long, and would keep all that was read with it.
const SLICED_BYTES: usize = 16 << 10;

fn slice(text: &Bytes, raw: &RawValue) -> RawJson {
    if raw.get().len() < SLICED_BYTES {
        return RawJson::trusted(raw.get().to_owned());
    }
    RawJson::trusted(text.slice_ref(raw.get().as_bytes()))
}

fn decode_one(text: &Bytes, one: &[u8]) -> Result<Incoming, String> {
    let envelope: Envelope<'_> =
        serde_json::from_slice(one).map_err(|failure| failure.to_string())?;
    let id: Option<RequestId> = match envelope.id {
        Some(raw) => serde_json::from_str(raw.get())
            .map_err(|_| format!("the id {} is neither a string nor an integer", raw.get()))?,
        None => None,
    };
    match (envelope.method, id) {
        (Some(method), Some(id)) => {
            let mut request = CustomRequest::new(method, None);
            request.extensions.insert(IncomingParams {
                params: envelope.params.map(|raw| slice(text, raw)),
                origin: None,
            });
            Ok(Incoming::Message(Box::new(JsonRpcMessage::request(
                ServerRequest::CustomRequest(request),
                id,
            ))))
        }
        (Some(method), None) => {
            if method == "notifications/cancelled"
                && let Some(raw) = envelope.params
                && let Ok(params) = serde_json::from_str(raw.get())
            {
                let cancelled = CancelledNotification::new(params);
                return Ok(Incoming::Message(Box::new(JsonRpcMessage::notification(
                    ServerNotification::CancelledNotification(cancelled),
                ))));
            }
            Ok(Incoming::Notification {
                method,
                params: envelope.params.map(|raw| slice(text, raw)),
            })
        }
        (None, Some(id)) => match (envelope.result, envelope.error) {
            (Some(result), None) => Ok(Incoming::Message(Box::new(answer(id, result.get())))),
            (_, Some(error)) => Ok(Incoming::Message(Box::new(failure(id, error.get())))),
            (None, None) => {
                let text = serde_json::json!({
                    "code": ErrorCode::INVALID_REQUEST.0,
                    "message": "the peer answered with neither a result nor an error",
                });
                Ok(Incoming::Message(Box::new(failure(id, &text.to_string()))))
            }
        },
        (None, None) => Err(envelope.error.map_or_else(
            || "neither a request, a notification nor an answer".to_owned(),
            |error| format!("an error that answers no request: {}", error.get()),
        )),
    }
}

/// An answer whose text travels through rmcp as one string, so that nothing decodes it on the way.
fn answer(id: RequestId, text: &str) -> RxJsonRpcMessage<RoleClient> {
    let raw = Value::String(text.to_owned());
    JsonRpcMessage::response(ServerResult::CustomResult(CustomResult::new(raw)), id)
}

/// An error answer; its whole text travels in `data`.
fn failure(id: RequestId, text: &str) -> RxJsonRpcMessage<RoleClient> {
    let raw = Value::String(text.to_owned());
    JsonRpcMessage::error(
        ErrorData::new(ErrorCode::INTERNAL_ERROR, "", Some(raw)),
        Some(id),
    )
}

/// The answer that stands in for one that was dropped because of its size.
pub(crate) fn oversized(
    id: &str,
    bytes: usize,
    limit: usize,
) -> Option<RxJsonRpcMessage<RoleClient>> {
    let id = serde_json::from_str(id).ok()?;
    let text = serde_json::json!({
        "code": DROPPED_CODE,
        "message": format!(
            "the answer was dropped: it has {bytes} bytes, more than the {limit} that are \
             accepted; raise maximum_message_bytes of the transport"
        ),
    });
    Some(failure(id, &text.to_string()))
}

/// The answer that stands in for one that is not valid JSON.
pub(crate) fn unreadable(id: &str, reason: &str) -> Option<RxJsonRpcMessage<RoleClient>> {
    let id = serde_json::from_str(id).ok()?;
    let text = serde_json::json!({
        "code": DROPPED_CODE,
        "message": format!("the answer was dropped because it is not valid JSON: {reason}"),
    });
    Some(failure(id, &text.to_string()))
}

/// A message that the transport could not carry, or whose answer it could not get.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Undelivered {
    /// The sentence.
    pub(crate) message: String,
    /// The HTTP status, if the peer gave one.
    pub(crate) status: Option<u16>,
    /// The beginning of what the peer said instead.
    pub(crate) body: Option<String>,
    /// What kind of error it is, if not one of the transport.
    pub(crate) kind: Option<ErrorKind>,
    /// How the connection under it was lost, if it was.
    pub(crate) loss: Option<Loss>,
}

/// The kinds that an error of this side keeps on its way to the caller, by their names there.
const KINDS: [(&str, ErrorKind); 4] = [
    ("closed", ErrorKind::ConnectionClosed),
    ("authorization", ErrorKind::OAuthFlow),
    ("token", ErrorKind::OAuthToken),
    ("registration", ErrorKind::OAuthRegistration),
];

/// The kind of an error of this side, by its name in the text.
pub(crate) fn kind_named(name: &str) -> Option<ErrorKind> {
    let found = KINDS.iter().find(|(known, _)| *known == name)?;
    Some(found.1)
}

fn loss_name(loss: Loss) -> &'static str {
    match loss {
        Loss::Unsent => "unsent",
        Loss::Broken => "broken",
        Loss::Silent => "silent",
        Loss::Forgotten => "forgotten",
    }
}

/// A loss, by its name in the text.
pub(crate) fn loss_named(name: &str) -> Option<Loss> {
    [Loss::Unsent, Loss::Broken, Loss::Silent, Loss::Forgotten]
        .into_iter()
        .find(|loss| loss_name(*loss) == name)
}

impl Undelivered {
    /// Without a status or a body.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            status: None,
            body: None,
            kind: None,
            loss: None,
        }
    }

    /// Because the connection under it was lost.
    pub(crate) fn lost(loss: Loss, message: impl Into<String>) -> Self {
        Self {
            loss: Some(loss),
            ..Self::new(message)
        }
    }

    /// Because of an error of this side.
    pub(crate) fn of(failure: &Error, status: Option<u16>) -> Self {
        let causes = failure.causes();
        let message = std::iter::once(failure.message())
            .chain(causes.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join(": ");
        Self {
            message,
            status,
            body: None,
            kind: Some(failure.kind()),
            loss: None,
        }
    }

    /// Takes out what the peer may have repeated of the credentials.
    #[must_use]
    pub(crate) fn without(mut self, credentials: &HeaderMap) -> Self {
        let values = credentials.values().filter_map(|value| value.to_str().ok());
        for secret in values.flat_map(str::split_whitespace) {
            if secret.len() >= SHORTEST_SECRET {
                self.message = self.message.replace(secret, "…");
                self.body = self.body.map(|body| body.replace(secret, "…"));
            }
        }
        self
    }

    /// The text of an error answer that carries all of it.
    pub(crate) fn text(&self) -> String {
        let mut text = serde_json::json!({ "code": DROPPED_CODE, "message": self.message });
        if let Some(status) = self.status {
            text["data"] = serde_json::json!({ "status": status, "body": self.body });
        }
        if let Some(loss) = self.loss {
            text["loss"] = loss_name(loss).into();
        }
        let named = KINDS.iter().find(|(_, kind)| Some(*kind) == self.kind);
        if let Some((name, _)) = named {
            text["kind"] = (*name).into();
        }
        text.to_string()
    }

    /// The answer that the caller of a request gets instead of one from the peer.
    pub(crate) fn answer(&self, id: RequestId) -> RxJsonRpcMessage<RoleClient> {
        failure(id, &self.text())
    }
}

/// Whether one of the messages answers a request.
pub(crate) fn holds_answer(messages: &[Result<Incoming, String>], wanted: &RequestId) -> bool {
    messages.iter().any(|message| match message {
        Ok(Incoming::Message(message)) => answered(message) == Some(wanted),
        _ => false,
    })
}

/// The request that a message answers.
pub(crate) fn answered(message: &RxJsonRpcMessage<RoleClient>) -> Option<&RequestId> {
    match message {
        JsonRpcMessage::Response(response) => Some(&response.id),
        JsonRpcMessage::Error(error) => error.id.as_ref(),
        _ => None,
    }
}

/// The names of authentication schemes are shorter, and no secret.
const SHORTEST_SECRET: usize = 8;

/// The code of an error that this side made because it could not take an answer.
pub(crate) const DROPPED_CODE: i64 = -32_090;

/// The text of a message of ours, without the newline.
pub(crate) fn encode(message: &TxJsonRpcMessage<RoleClient>) -> Result<Vec<u8>, serde_json::Error> {
    if let JsonRpcMessage::Request(request) = message
        && let rmcp::model::ClientRequest::CustomRequest(custom) = &request.request
        && let Some(outgoing) = custom.extensions.get::<Outgoing>()
    {
        return encode_request(&request.id, custom, outgoing);
    }
    match message {
        JsonRpcMessage::Response(response)
            if let ClientResult::CustomResult(CustomResult(Value::String(text))) =
                &response.result =>
        {
            let mut answer = br#"{"jsonrpc":"2.0","id":"#.to_vec();
            serde_json::to_writer(&mut answer, &response.id)?;
            Ok(enclosed(answer, "result", text))
        }
        JsonRpcMessage::Notification(said)
            if let ClientNotification::CustomNotification(custom) = &said.notification
                && let Some(Value::String(text)) = &custom.params =>
        {
            let mut notification = br#"{"jsonrpc":"2.0","method":"#.to_vec();
            serde_json::to_writer(&mut notification, &custom.method)?;
            Ok(enclosed(notification, "params", text))
        }
        _ => serde_json::to_vec(message),
    }
}

fn enclosed(mut message: Vec<u8>, member: &str, text: &str) -> Vec<u8> {
    message.extend_from_slice(b",\"");
    message.extend_from_slice(member.as_bytes());
    message.extend_from_slice(b"\":");
    message.extend_from_slice(text.as_bytes());
    message.push(b'}');
    message
}

/// The text of parameters with this token of the progress in place of the caller's.
fn with_token(params: &[u8], token: &str) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow, rename = "_meta")]
        meta: Meta<'a>,
    }
    #[derive(Deserialize)]
    struct Meta<'a> {
        #[serde(borrow, rename = "progressToken")]
        token: &'a RawValue,
    }
    let found: Params<'_> = serde_json::from_slice(params).ok()?;
    let own = found.meta.token.get();
    let start = (own.as_ptr() as usize).checked_sub(params.as_ptr() as usize)?;
    let (before, rest) = params.split_at_checked(start)?;
    let after = rest.get(own.len()..)?;
    Some([before, token.as_bytes(), after].concat())
}

fn encode_request(
    id: &RequestId,
    custom: &CustomRequest,
    outgoing: &Outgoing,
) -> Result<Vec<u8>, serde_json::Error> {
    let params = outgoing.params.as_ref().map(RawJson::as_bytes);
    let told = match progress_token(custom).filter(|_| outgoing.verbatim) {
        Some(token) if outgoing.progress.is_some() => {
            params.and_then(|params| with_token(params, &token))
        }
        _ => None,
    };
    let params = told.as_deref().or(params);
    let mut text = Vec::with_capacity(128 + params.map_or(0, <[u8]>::len));
    text.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    serde_json::to_writer(&mut text, id)?;
    text.extend_from_slice(b",\"method\":");
    serde_json::to_writer(&mut text, &custom.method)?;
    let meta = if outgoing.verbatim {
        None
    } else {
        encode_meta(custom, outgoing)?
    };
    match (params, meta) {
        (None, None) => {}
        (Some(params), None) => {
            text.extend_from_slice(b",\"params\":");
            text.extend_from_slice(params);
        }
        (params, Some(meta)) => {
            text.extend_from_slice(b",\"params\":{");
            let members = params.map_or(&b""[..], members);
            if !members.is_empty() {
                text.extend_from_slice(members);
                text.push(b',');
            }
            text.extend_from_slice(b"\"_meta\":{");
            text.extend_from_slice(&meta);
            text.extend_from_slice(b"}}");
        }
    }
    text.push(b'}');
    Ok(text)
}

/// The text between the braces of an object.
fn members(object: &[u8]) -> &[u8] {
    let inner = object.trim_ascii();
    inner
        .get(1..inner.len().saturating_sub(1))
        .unwrap_or_default()
        .trim_ascii()
}

/// The members of `_meta`: the caller's, then what rmcp adds, then the progress token if anybody
/// listens for it (rmcp puts one on every request, and a server that sees one may report).
fn encode_meta(
    custom: &CustomRequest,
    outgoing: &Outgoing,
) -> Result<Option<Vec<u8>>, serde_json::Error> {
    let mut text = Vec::new();
    if let Some(meta) = &outgoing.meta {
        text.extend_from_slice(members(meta.as_bytes()));
    }
    if let Some(meta) = custom.extensions().get::<rmcp::model::RequestMetaObject>() {
        for (name, value) in meta.iter() {
            if name == "progressToken" && outgoing.progress.is_none() {
                continue;
            }
            if !text.is_empty() {
                text.push(b',');
            }
            serde_json::to_writer(&mut text, name)?;
            text.push(b':');
            serde_json::to_writer(&mut text, value)?;
        }
    }
    Ok((!text.is_empty()).then_some(text))
}

/// The progress token that rmcp gave a request.
pub(crate) fn progress_token(custom: &CustomRequest) -> Option<String> {
    let meta = custom
        .extensions()
        .get::<rmcp::model::RequestMetaObject>()?;
    meta.get("progressToken").map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(params: Option<&str>, meta: Option<&str>) -> String {
        let raw = |text: &str| RawJson::trusted(text.to_owned());
        let outgoing = Outgoing {
            params: params.map(raw),
            meta: meta.map(raw),
            progress: None,
            headers: HeaderMap::new(),
            stateless: None,
            verbatim: false,
            related: None,
        };
        let custom = CustomRequest::new("tools/call", None);
        let text = encode_request(&RequestId::Number(7), &custom, &outgoing).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_request_keeps_the_text_of_its_parameters_and_meta() {
        assert_eq!(
            request(Some(r#"{"b":1.10,"a":2}"#), Some(r#"{ "k": 1 }"#)),
            r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"b":1.10,"a":2,"_meta":{"k": 1}}}"#
        );
        assert_eq!(
            request(Some("{}"), Some(r#"{"k":1}"#)),
            r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"_meta":{"k":1}}}"#
        );
        assert_eq!(
            request(None, None),
            r#"{"jsonrpc":"2.0","id":7,"method":"tools/call"}"#
        );
    }

    #[test]
    fn a_batch_of_more_messages_than_are_accepted_is_one_error() {
        let batch = |count: usize| Bytes::from(format!("[{}1]", "1,".repeat(count - 1)));
        assert_eq!(decode(&batch(MAXIMUM_BATCH)).len(), MAXIMUM_BATCH);
        let refused = decode(&batch(MAXIMUM_BATCH + 1));
        assert_eq!(refused.len(), 1);
        let Some(Err(reason)) = refused.first() else {
            panic!("it was taken")
        };
        assert!(reason.contains("at most 10000 messages"), "{reason}");
    }

    #[test]
    fn an_answer_travels_as_the_text_that_came() {
        let text = Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"result":{"z":1.10,"a":null}}"#);
        let mut messages = decode(&text);
        let Some(Ok(Incoming::Message(message))) = messages.pop() else {
            panic!("no message")
        };
        let JsonRpcMessage::Response(response) = *message else {
            panic!("no response")
        };
        let ServerResult::CustomResult(CustomResult(Value::String(raw))) = response.result else {
            panic!("not raw")
        };
        assert_eq!(raw, r#"{"z":1.10,"a":null}"#);
    }
}
