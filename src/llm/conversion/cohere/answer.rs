//! A whole answer, and what it took.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::llm::conversion::stand_in::url_citation;
use crate::llm::conversion::{Notes, Unreadable, finish};
use crate::llm::types::completion::{
    AssistantMessage, Choice, Completion, PromptTokensDetails, ToolCall, Usage,
};

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    id: Option<String>,
    message: Said,
    #[serde(default)]
    finish_reason: Option<String>,
    #[serde(default)]
    usage: Option<Map<String, Value>>,
    #[serde(default)]
    logprobs: Option<Value>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    content: Option<Vec<Map<String, Value>>>,
    #[serde(default)]
    tool_plan: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<Value>>,
    #[serde(default)]
    citations: Option<Vec<Value>>,
}

pub(super) fn convert(body: &[u8], notes: &Notes) -> Result<Completion, Unreadable> {
    let answer: Answer = serde_json::from_slice(body).map_err(|cause| {
        if cause.is_data() {
            Unreadable::Incomplete("no object \"message\" of Cohere's form")
        } else {
            Unreadable::NotJson(cause)
        }
    })?;
    if answer.finish_reason.as_deref() == Some("ERROR") {
        return Err(Unreadable::Error);
    }
    let mut message = AssistantMessage::default();
    let mut others = Vec::new();
    for part in answer.message.content.unwrap_or_default() {
        let text = |name: &str| part.get(name).and_then(Value::as_str).unwrap_or_default();
        match text("type") {
            "text" => message.push_text(text("text")),
            "thinking" => message.push_reasoning(text("thinking")),
            _ => others.push(Value::Object(part)),
        }
    }
    if let Some(plan) = answer.message.tool_plan.filter(|plan| !plan.is_empty()) {
        message.push_reasoning(&plan);
        let fields = &mut message.provider_specific_fields;
        fields.insert("tool_plan".to_owned(), Value::from(plan));
    }
    let calls = answer.message.tool_calls.unwrap_or_default();
    message.tool_calls = calls
        .iter()
        .enumerate()
        .map(|(index, call)| {
            let (id, name, arguments) = parts_of(call);
            ToolCall::new(index, id.to_owned(), name.to_owned(), arguments)
        })
        .collect();
    let citations = answer.message.citations.unwrap_or_default();
    message.annotations = citations.iter().flat_map(annotations).collect();
    let fields = &mut message.provider_specific_fields;
    if !citations.is_empty() {
        fields.insert("citations".to_owned(), Value::Array(citations));
    }
    if !others.is_empty() {
        fields.insert("content_blocks".to_owned(), Value::Array(others));
    }
    let reason = answer.finish_reason.unwrap_or_default();
    let mut completion = Completion::new(
        answer.id.unwrap_or_else(|| notes.id.clone()),
        notes.now,
        notes.model.clone(),
        Choice {
            index: 0,
            message,
            finish_reason: finish::reason(&reason),
            logprobs: answer.logprobs.as_ref().and_then(logprobs),
        },
    );
    completion.usage = answer.usage.as_ref().map(usage);
    completion.rest = answer.rest;
    completion.rest.retain(|_, value| !value.is_null());
    Ok(completion)
}

/// Id, name and arguments of a call.
pub(super) fn parts_of(call: &Value) -> (&str, &str, String) {
    let text = |value: &'_ Value| value.as_str().map(str::to_owned);
    let function = &call["function"];
    let arguments = match &function["arguments"] {
        Value::Null => None,
        Value::Object(members) => Some(Value::Object(members.clone()).to_string()),
        other => text(other),
    };
    (
        call["id"].as_str().unwrap_or_default(),
        function["name"].as_str().unwrap_or_default(),
        arguments.unwrap_or_default(),
    )
}

/// A citation in OpenAI's form: one for each document that it is of. Documents that are no pages
/// have their id in the place of a URL.
pub(super) fn annotations(citation: &Value) -> Vec<Value> {
    let sources = citation["sources"].as_array().into_iter().flatten();
    sources
        .filter_map(|source| {
            let content = source
                .get("document")
                .or_else(|| source.get("tool_output"))?;
            let url = content["url"]
                .as_str()
                .or_else(|| source["url"].as_str())
                .map_or_else(
                    || format!("source:{}", source["id"].as_str().unwrap_or("unknown")),
                    str::to_owned,
                );
            Some(url_citation(
                &Value::from(url),
                &Value::from(content["title"].as_str().unwrap_or_default()),
                citation["start"].clone(),
                citation["end"].clone(),
            ))
        })
        .collect()
}

/// Probabilities in OpenAI's form. An item has a text and the probabilities of its tokens; where it
/// has several, the text cannot be shared out, so it stands at the first.
pub(super) fn logprobs(found: &Value) -> Option<Value> {
    let items: Vec<&Value> = match found {
        Value::Array(items) => items.iter().collect(),
        Value::Object(_) => vec![found],
        _ => return None,
    };
    let mut tokens = Vec::new();
    for item in items {
        let mut text = item["text"].as_str().unwrap_or_default();
        for logprob in item["logprobs"].as_array().into_iter().flatten() {
            tokens.push(json!({
                "token": text,
                "bytes": text.as_bytes(),
                "logprob": logprob,
                "top_logprobs": [],
            }));
            text = "";
        }
    }
    (!tokens.is_empty()).then(|| json!({ "content": tokens }))
}

/// Numbers of tokens are written as fractions there.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "such a cast ends at the bounds, which is what is wanted"
)]
fn count(value: Option<&Value>) -> Option<u64> {
    let value = value?;
    value
        .as_u64()
        .or_else(|| value.as_f64().map(|number| number as u64))
}

/// What it took: the tokens that the model saw; what is billed stands beside it.
pub(super) fn usage(found: &Map<String, Value>) -> Usage {
    let of = |group: &str, name: &str| count(found.get(group).and_then(|group| group.get(name)));
    let either = |name: &str| of("tokens", name).or_else(|| of("billed_units", name));
    let mut usage = Usage::new(
        either("input_tokens").unwrap_or_default(),
        either("output_tokens").unwrap_or_default(),
    );
    if let Some(cached) = count(found.get("cached_tokens")) {
        usage.prompt_tokens_details = Some(PromptTokensDetails {
            cached_tokens: Some(cached),
            ..PromptTokensDetails::default()
        });
    }
    let rest = found.iter().filter(|(name, value)| {
        !["tokens", "cached_tokens"].contains(&name.as_str()) && !value.is_null()
    });
    usage.rest = rest
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    usage
}
