//! A whole answer, and what it took.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::llm::conversion::cited::Cited;
use crate::llm::conversion::stand_in::{reason, url_citation};
use crate::llm::conversion::{Notes, Unreadable};
use crate::llm::types::completion::{
    AssistantMessage, Choice, Completion, CompletionTokensDetails, PromptTokensDetails, ToolCall,
    Usage,
};

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    content: Vec<Map<String, Value>>,
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default)]
    usage: Option<Map<String, Value>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Members of an answer that say nothing beside what is read.
pub(super) const KNOWN: [&str; 2] = ["type", "role"];

pub(super) fn convert(body: &[u8], notes: &Notes) -> Result<Completion, Unreadable> {
    let answer: Answer = serde_json::from_slice(body).map_err(|cause| {
        if cause.is_data() {
            Unreadable::Incomplete("no list \"content\"")
        } else {
            Unreadable::NotJson(cause)
        }
    })?;
    let mut message = AssistantMessage::default();
    let mut used_json_tool = false;
    let mut cited = Cited::default();
    let mut others = Vec::new();
    for block in answer.content {
        let text = |name: &str| block.get(name).and_then(Value::as_str).unwrap_or_default();
        match text("type") {
            "text" => {
                let start = message
                    .content
                    .as_ref()
                    .map_or(0, |text| text.chars().count());
                message.push_text(text("text"));
                if let Some(Value::Array(found)) = block.get("citations") {
                    let end = message
                        .content
                        .as_ref()
                        .map_or(0, |text| text.chars().count());
                    let notes = found.iter().filter_map(|one| annotation(one, start, end));
                    message.annotations.extend(notes);
                    cited.push(found.clone(), start..end);
                }
            }
            "thinking" => {
                message.push_reasoning(text("thinking"));
                message.thinking_blocks.push(Value::Object(block));
            }
            "redacted_thinking" => message.thinking_blocks.push(Value::Object(block)),
            "tool_use" if notes.json_tool.as_deref() == Some(text("name")) => {
                used_json_tool = true;
                message.push_text(&input(&block));
            }
            "tool_use" => message.tool_calls.push(ToolCall::new(
                message.tool_calls.len(),
                text("id").to_owned(),
                text("name").to_owned(),
                input(&block),
            )),
            // Tools that the provider runs itself, and what nobody here knows.
            _ => others.push(Value::Object(block)),
        }
    }
    let fields = &mut message.provider_specific_fields;
    cited.tell(fields);
    if !others.is_empty() {
        fields.insert("content_blocks".to_owned(), Value::Array(others));
    }
    let finish_reason = reason(
        answer.stop_reason.as_deref().unwrap_or_default(),
        used_json_tool && message.tool_calls.is_empty(),
    );
    let mut completion = Completion::new(
        answer.id.unwrap_or_else(|| notes.id.clone()),
        notes.now,
        answer.model.unwrap_or_else(|| notes.model.clone()),
        Choice {
            index: 0,
            message,
            finish_reason,
            logprobs: None,
        },
    );
    if let Some(found) = answer.usage {
        completion.service_tier = tier(&found).map(str::to_owned);
        completion.usage = Some(usage(&found));
    }
    completion.rest = answer.rest;
    completion
        .rest
        .retain(|name, value| !KNOWN.contains(&name.as_str()) && !value.is_null());
    Ok(completion)
}

/// The tier that served an answer, by OpenAI's name.
pub(super) fn tier(usage: &Map<String, Value>) -> Option<&str> {
    match usage.get("service_tier")?.as_str()? {
        "standard" => Some("default"),
        other => Some(other),
    }
}

fn input(block: &Map<String, Value>) -> String {
    block
        .get("input")
        .map_or_else(|| "{}".to_owned(), Value::to_string)
}

/// A citation of a web page in OpenAI's form.
pub(super) fn annotation(citation: &Value, start: usize, end: usize) -> Option<Value> {
    Some(url_citation(
        citation.get("url")?,
        &citation["title"],
        start,
        end,
    ))
}

/// Anthropic counts cached tokens apart, OpenAI among those of the request.
pub(super) fn usage(found: &Map<String, Value>) -> Usage {
    let count = |name: &str| found.get(name).and_then(Value::as_u64);
    let read = count("cache_read_input_tokens");
    let written = count("cache_creation_input_tokens");
    let request = count("input_tokens").unwrap_or_default()
        + read.unwrap_or_default()
        + written.unwrap_or_default();
    let mut usage = Usage::new(request, count("output_tokens").unwrap_or_default());
    if read.is_some() || written.is_some() {
        usage.prompt_tokens_details = Some(PromptTokensDetails {
            cached_tokens: read,
            cache_creation_tokens: written,
            ..PromptTokensDetails::default()
        });
    }
    let details = found.get("output_tokens_details");
    let thoughts = details.and_then(|details| details.get("thinking_tokens")?.as_u64());
    usage.completion_tokens_details = thoughts.map(|thoughts| CompletionTokensDetails {
        reasoning_tokens: Some(thoughts),
        ..CompletionTokensDetails::default()
    });
    let known = [
        "input_tokens",
        "output_tokens",
        "output_tokens_details",
        "service_tier",
    ];
    let rest = found
        .iter()
        .filter(|(name, value)| !known.contains(&name.as_str()) && !value.is_null());
    usage.rest = rest
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    usage
}
