//! What makes a body an answer, and the repairs that it gets. Pure.
//!
//! The common answer is skimmed once, never decoded: a repair is looked for only in a body that
//! has tool calls, and paid for only by one that needs it.

mod blocks;

use std::borrow::Cow;
use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::catalogue::cost::FullUsage;
use super::conversion::Unreadable;
use super::retry::random_bits;

/// Why a body is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NotAnAnswer {
    /// Not JSON at all, or cut short.
    #[error("not JSON")]
    NotJson(#[source] serde_json::Error),
    /// JSON, with an error object in it.
    #[error("an error object")]
    Error,
    /// JSON without a non-empty list `choices`.
    #[error("no choices")]
    NoChoices,
    /// JSON without what an answer of another protocol has.
    #[error("JSON with {0}")]
    Incomplete(&'static str),
}

impl From<Unreadable> for NotAnAnswer {
    fn from(why: Unreadable) -> Self {
        match why {
            Unreadable::NotJson(cause) => Self::NotJson(cause),
            Unreadable::Incomplete(what) => Self::Incomplete(what),
            Unreadable::Error => Self::Error,
        }
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    choices: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// Checks the body of a whole answer and repairs it where needed.
pub fn check(body: Bytes) -> Result<Bytes, NotAnAnswer> {
    let envelope = match serde_json::from_slice::<Envelope<'_>>(&body) {
        Ok(envelope) => envelope,
        // A syntax error is not the same as JSON of another shape.
        Err(cause) if cause.is_data() => return Err(NotAnAnswer::NoChoices),
        Err(cause) => return Err(NotAnAnswer::NotJson(cause)),
    };
    let is_object = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    let has_choices = is_object
        && envelope.choices.is_some_and(|choices| {
            let inside = choices.get().trim_start_matches('[');
            inside.len() < choices.get().len() && !inside.trim_start().starts_with(']')
        });
    if has_choices {
        return Ok(repair(body, "message"));
    }
    Err(if envelope.error.is_some() {
        NotAnAnswer::Error
    } else {
        NotAnAnswer::NoChoices
    })
}

/// Whether a chunk of a stream is an error object instead.
pub fn is_error_chunk(chunk: &[u8]) -> bool {
    static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"error\""));
    ERROR.find(chunk).is_some()
        && serde_json::from_slice::<Envelope<'_>>(chunk)
            .is_ok_and(|envelope| envelope.error.is_some())
}

/// Whether a chunk of a stream says why a choice finished.
pub fn has_finish_reason(chunk: &[u8]) -> bool {
    static KEY: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"finish_reason\""));
    let mut rest = chunk;
    while let Some(start) = KEY.find(rest) {
        rest = &rest[start + KEY.needle().len()..];
        let value = rest
            .iter()
            .find(|byte| !byte.is_ascii_whitespace() && **byte != b':');
        if value.is_some_and(|byte| *byte == b'"') {
            return true;
        }
    }
    false
}

/// What an answer took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Usage {
    /// Tokens of the messages.
    #[serde(default)]
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    #[serde(default)]
    pub completion_tokens: u64,
    /// Both, and what else counts.
    #[serde(default)]
    pub total_tokens: u64,
}

/// What a whole answer, or a chunk of a stream, says that it took.
pub fn usage(body: &[u8]) -> Option<Usage> {
    Bill::read(body)?.tokens()
}

/// All that an answer is charged by, undecoded: every answer of a gateway is looked at.
#[derive(Debug, Deserialize)]
pub struct Bill<'a> {
    #[serde(borrow)]
    usage: &'a RawValue,
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
    #[serde(borrow, default)]
    service_tier: Option<&'a RawValue>,
}

impl<'a> Bill<'a> {
    /// The bill of a whole answer, or of a chunk of a stream; None where it does not say what it took.
    pub fn read(body: &'a [u8]) -> Option<Self> {
        static KEY: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"usage\""));
        KEY.find(body)?;
        let bill = serde_json::from_slice::<Self>(body).ok()?;
        (bill.usage.get() != "null").then_some(bill)
    }

    /// The tokens of it, in sum.
    pub fn tokens(&self) -> Option<Usage> {
        serde_json::from_str(self.usage.get()).ok()
    }

    /// The same, by what they were used for.
    pub fn usage(&self) -> Option<FullUsage> {
        serde_json::from_str(self.usage.get()).ok()
    }

    /// The model that gave the answer.
    pub fn model(&self) -> Option<Cow<'a, str>> {
        text(self.model?)
    }

    /// The tier of service that it was given in.
    pub fn service_tier(&self) -> Option<Cow<'a, str>> {
        text(self.service_tier?)
    }
}

/// A JSON string, decoded where it has to be.
fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inside = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if inside.contains('\\') {
        return serde_json::from_str(raw.get()).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inside))
}

/// Whether the content policy of the provider cut a whole answer short.
pub fn is_filtered(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow, default)]
        choices: Vec<Finished<'a>>,
    }
    #[derive(Deserialize)]
    struct Finished<'a> {
        #[serde(borrow, default)]
        finish_reason: Option<&'a RawValue>,
    }
    static REASON: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"content_filter\""));
    if REASON.find(body).is_none() {
        return false;
    }
    let choices = serde_json::from_slice::<Body<'_>>(body).map(|body| body.choices);
    let first = choices.ok().and_then(|choices| choices.into_iter().next());
    first
        .and_then(|choice| choice.finish_reason)
        .is_some_and(|reason| reason.get() == "\"content_filter\"")
}

/// Repairs a chunk of a stream where needed.
pub fn repair_chunk(chunk: Bytes) -> Bytes {
    repair(chunk, "delta")
}

#[derive(Deserialize)]
struct Choices<'a> {
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default, alias = "delta")]
    message: Option<Message<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    tool_calls: Option<Vec<ToolCall<'a>>>,
}

#[derive(Deserialize)]
struct ToolCall<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

impl ToolCall<'_> {
    fn needs_repair(&self, is_whole: bool) -> bool {
        let arguments = self.function.as_ref().map(|function| function.arguments);
        let is_text = |value: &RawValue| value.get().starts_with('"');
        match arguments {
            Some(Some(arguments)) if !is_text(arguments) => return true,
            Some(None) if is_whole => return true,
            _ => {}
        }
        // A fragment of a stream leaves out what an earlier one said.
        is_whole
            && (!self.id.is_some_and(|id| is_text(id) && id.get() != "\"\"") || self.kind.is_none())
    }
}

fn repair(body: Bytes, holder: &str) -> Bytes {
    static TOOL_CALLS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"tool_calls\""));
    let has_blocks = blocks::may_be_there(&body);
    if TOOL_CALLS.find(&body).is_none() && !has_blocks {
        return body;
    }
    let is_whole = holder == "message";
    let needs_calls = serde_json::from_slice::<Choices<'_>>(&body).is_ok_and(|body| {
        let messages = body
            .choices
            .iter()
            .filter_map(|choice| choice.message.as_ref());
        let mut calls = messages
            .filter_map(|message| message.tool_calls.as_ref())
            .flatten();
        calls.any(|call| call.needs_repair(is_whole))
    });
    if !needs_calls && !has_blocks {
        return body;
    }
    let Ok(mut value) = serde_json::from_slice::<Value>(&body) else {
        return body;
    };
    let choices = value
        .get_mut("choices")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten();
    let mut is_changed = needs_calls;
    for choice in choices {
        let Some(Value::Object(message)) = choice.get_mut(holder) else {
            continue;
        };
        is_changed |= blocks::take_apart(message);
        let calls = message.get_mut("tool_calls");
        for call in calls.and_then(Value::as_array_mut).into_iter().flatten() {
            repair_call(call, is_whole);
        }
    }
    if !is_changed {
        return body;
    }
    serde_json::to_vec(&value).map_or(body, Bytes::from)
}

fn repair_call(call: &mut Value, is_whole: bool) {
    let Some(call) = call.as_object_mut() else {
        return;
    };
    if let Some(function) = call.get_mut("function").and_then(Value::as_object_mut) {
        match function.get_mut("arguments") {
            Some(Value::String(_)) => {}
            Some(Value::Null) | None if !is_whole => {}
            Some(Value::Null) | None => {
                function.insert("arguments".to_owned(), Value::String("{}".to_owned()));
            }
            Some(arguments) => *arguments = Value::String(arguments.to_string()),
        }
        if is_whole && call.get("type").is_none_or(Value::is_null) {
            call.insert("type".to_owned(), Value::String("function".to_owned()));
        }
    }
    let has_id = call
        .get("id")
        .and_then(Value::as_str)
        .is_some_and(|id| !id.is_empty());
    if is_whole && !has_id {
        let id = format!("call_{:016x}{:08x}", random_bits(), random_bits() >> 32);
        call.insert("id".to_owned(), Value::String(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(body: &'static str) -> Result<Bytes, NotAnAnswer> {
        check(Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn a_good_answer_is_handed_on_untouched() {
        let body = r#"{"id":"x","choices":[{"message":{"tool_calls":[
            {"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}]}}],"big":123456789012345678901234567890}"#;
        assert_eq!(checked(body).unwrap().as_ptr(), body.as_ptr());
    }

    #[test]
    fn what_is_no_answer_is_told_apart() {
        assert!(matches!(checked("<html>"), Err(NotAnAnswer::NotJson(_))));
        assert!(matches!(
            checked(r#"{"choices":[{"#),
            Err(NotAnAnswer::NotJson(_))
        ));
        assert!(matches!(checked(""), Err(NotAnAnswer::NotJson(_))));
        for body in [
            "{}",
            "[1]",
            "[[1]]",
            "\"x\"",
            "null",
            r#"{"choices":[]}"#,
            r#"{"choices":{}}"#,
            r#"{"choices":null,"error":null}"#,
        ] {
            assert!(
                matches!(checked(body), Err(NotAnAnswer::NoChoices)),
                "{body}"
            );
        }
        assert!(matches!(
            checked(r#"{"error":{"message":"x"}}"#),
            Err(NotAnAnswer::Error)
        ));
    }

    #[test]
    fn tool_calls_are_repaired_and_all_else_is_kept() {
        let body = r#"{"z":1.50,"choices":[{"message":{"tool_calls":[
            {"function":{"name":"f","arguments":{"a":1.0,"é":"\"x"}}},
            {"id":null,"type":null,"function":{"name":"g","arguments":null}},
            {"id":"call_3","function":{"name":"h"}}]}}],"a":2}"#;
        let repaired: Value = serde_json::from_slice(&checked(body).unwrap()).unwrap();
        let calls = repaired["choices"][0]["message"]["tool_calls"]
            .as_array()
            .unwrap();
        assert_eq!(calls[0]["function"]["arguments"], r#"{"a":1.0,"é":"\"x"}"#);
        assert_eq!(calls[1]["function"]["arguments"], "{}");
        assert_eq!(calls[2]["function"]["arguments"], "{}");
        assert!(
            calls.iter().all(|call| call["type"] == "function"),
            "{calls:?}"
        );
        assert_eq!(calls[2]["id"], "call_3");
        let generated: Vec<_> = calls[..2]
            .iter()
            .map(|call| call["id"].as_str().unwrap())
            .collect();
        assert!(
            generated
                .iter()
                .all(|id| id.starts_with("call_") && id.len() == 29),
            "{generated:?}"
        );
        assert_ne!(generated[0], generated[1]);
        assert_eq!(
            repaired.as_object().unwrap().keys().collect::<Vec<_>>(),
            ["z", "choices", "a"]
        );
        assert_eq!(repaired["z"].to_string(), "1.50");
    }

    #[test]
    fn a_fragment_of_a_stream_is_repaired_only_where_it_is_wrong() {
        let good = Bytes::from_static(
            br#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a"}}]}}]}"#,
        );
        assert_eq!(repair_chunk(good.clone()).as_ptr(), good.as_ptr());
        let wrong = Bytes::from_static(
            br#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":{"a":1}}}]}}]}"#,
        );
        let value: Value = serde_json::from_slice(&repair_chunk(wrong)).unwrap();
        let call = &value["choices"][0]["delta"]["tool_calls"][0];
        assert_eq!(call["function"]["arguments"], r#"{"a":1}"#);
        assert_eq!(call.get("id"), None);
    }

    #[test]
    fn an_error_chunk_is_one_with_an_error_of_its_own() {
        assert!(is_error_chunk(br#"{"error":{"message":"x"}}"#));
        assert!(is_error_chunk(br#"{"choices":[],"error":"x"}"#));
        assert!(!is_error_chunk(br#"{"error":null,"choices":[]}"#));
        assert!(!is_error_chunk(
            br#"{"choices":[{"delta":{"content":"\"error\""}}]}"#
        ));
        assert!(!is_error_chunk(br#"{"choices":[{"delta":{"error":1}}]}"#));
    }

    #[test]
    fn usage_and_the_content_filter_are_seen_only_where_they_are_said() {
        let body = br#"{"choices":[{"finish_reason":"content_filter","message":{"content":"x"}}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,"more":{}}}"#;
        let wanted = Usage {
            prompt_tokens: 1,
            completion_tokens: 2,
            total_tokens: 3,
        };
        assert_eq!(usage(body), Some(wanted));
        assert!(is_filtered(body));
        let body = br#"{"choices":[{"finish_reason":"stop","message":{"content":"\"usage\"\"content_filter\"","usage":{"total_tokens":3}}}],"usage":null}"#;
        assert_eq!(usage(body), None);
        assert!(!is_filtered(body));
    }

    #[test]
    fn a_finish_reason_is_seen_only_where_it_is_said() {
        assert!(has_finish_reason(
            br#"{"choices":[{"finish_reason":"stop"}]}"#
        ));
        assert!(has_finish_reason(
            br#"{"choices":[{"finish_reason":null},{"finish_reason" : "stop"}]}"#
        ));
        assert!(!has_finish_reason(
            br#"{"choices":[{"finish_reason":null}]}"#
        ));
        assert!(!has_finish_reason(
            br#"{"choices":[{"delta":{"content":"\"finish_reason\": \"stop\""}}]}"#
        ));
    }
}
