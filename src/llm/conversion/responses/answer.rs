//! A whole answer, and what it took.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::llm::conversion::stand_in::url_citation;
use crate::llm::conversion::{Notes, Unreadable, finish};
use crate::llm::types::completion::{
    AssistantMessage, Choice, Completion, CompletionTokensDetails, FinishReason,
    PromptTokensDetails, ToolCall, Usage,
};

/// An answer, or what a stream says of it.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Answer {
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) created_at: Option<f64>,
    #[serde(default)]
    pub(super) model: Option<String>,
    #[serde(default)]
    pub(super) output: Option<Vec<Map<String, Value>>>,
    #[serde(default)]
    pub(super) status: Option<String>,
    #[serde(default)]
    pub(super) incomplete_details: Option<Map<String, Value>>,
    #[serde(default)]
    pub(super) usage: Option<Map<String, Value>>,
    #[serde(default)]
    pub(super) service_tier: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Members that say the request again, or nothing beside what is read.
const KNOWN: [&str; 26] = [
    "object",
    "error",
    "background",
    "completed_at",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "store",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
    "billing",
];

impl Answer {
    /// When it was made, in seconds since 1970.
    pub(super) fn created(&self, notes: &Notes) -> u64 {
        let seconds = self.created_at.and_then(|seconds| {
            // A time with a fraction, far below what an integer holds.
            format!("{:.0}", seconds.floor()).parse().ok()
        });
        seconds.unwrap_or(notes.now)
    }

    /// What it says beside the answer.
    pub(super) fn beside(&mut self) -> Map<String, Value> {
        let mut rest = std::mem::take(&mut self.rest);
        rest.retain(|name, value| !KNOWN.contains(&name.as_str()) && !value.is_null());
        rest
    }

    /// Why it ended.
    pub(super) fn reason(&self, has_calls: bool) -> FinishReason {
        let details = self.incomplete_details.as_ref();
        let native = details.and_then(|details| details.get("reason")?.as_str());
        match native {
            Some(native) => finish::reason(native),
            None if self.status.as_deref() == Some("incomplete") => FinishReason::Length,
            None if has_calls => FinishReason::ToolCalls,
            None => FinishReason::Stop,
        }
    }
}

pub(super) fn text<'a>(members: &'a Map<String, Value>, name: &str) -> &'a str {
    members
        .get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

pub(super) fn convert(body: &[u8], notes: &Notes) -> Result<Completion, Unreadable> {
    let mut answer: Answer = serde_json::from_slice(body).map_err(|cause| {
        if cause.is_data() {
            Unreadable::Incomplete("no list \"output\"")
        } else {
            Unreadable::NotJson(cause)
        }
    })?;
    let output = answer.output.take();
    let output = output.ok_or(Unreadable::Incomplete("no list \"output\""))?;
    let mut message = AssistantMessage::default();
    let mut logprobs = Vec::new();
    let mut others = Vec::new();
    for item in output {
        match text(&item, "type") {
            "message" => say(&item, &mut message, &mut logprobs),
            "reasoning" => {
                let thoughts = thoughts(&item);
                if !thoughts.is_empty() {
                    if message.reasoning_content.is_some() {
                        message.push_reasoning("\n\n");
                    }
                    message.push_reasoning(&thoughts);
                }
                message.reasoning_items.push(kept(item));
            }
            "function_call" => message.tool_calls.push(ToolCall::new(
                message.tool_calls.len(),
                text(&item, "call_id").to_owned(),
                text(&item, "name").to_owned(),
                text(&item, "arguments").to_owned(),
            )),
            PICTURE if is_made(&item) => {
                let picture = picture(item, message.images.len());
                message.images.push(picture);
            }
            // Tools that the provider runs itself, and what nobody here knows.
            _ => others.push(Value::Object(item)),
        }
    }
    if !others.is_empty() {
        let fields = &mut message.provider_specific_fields;
        fields.insert("output_items".to_owned(), Value::Array(others));
    }
    let finish_reason = answer.reason(!message.tool_calls.is_empty());
    let created = answer.created(notes);
    let rest = answer.beside();
    let mut completion = Completion::new(
        answer.id.unwrap_or_else(|| notes.id.clone()),
        created,
        answer.model.unwrap_or_else(|| notes.model.clone()),
        Choice {
            index: 0,
            message,
            finish_reason,
            logprobs: (!logprobs.is_empty()).then(|| tokens(logprobs)),
        },
    );
    completion.usage = answer.usage.as_ref().map(usage);
    completion.service_tier = answer.service_tier;
    completion.rest = rest;
    Ok(completion)
}

fn say(item: &Map<String, Value>, message: &mut AssistantMessage, logprobs: &mut Vec<Value>) {
    let parts = item.get("content").and_then(Value::as_array);
    for part in parts.into_iter().flatten().filter_map(Value::as_object) {
        match text(part, "type") {
            "output_text" => {
                let said = message.content.as_deref().unwrap_or_default();
                let start = u64::try_from(said.chars().count()).unwrap_or_default();
                message.push_text(text(part, "text"));
                let notes = part.get("annotations").and_then(Value::as_array);
                let notes = notes.into_iter().flatten();
                message
                    .annotations
                    .extend(notes.map(|note| annotation(note, start)));
                let tokens = part.get("logprobs").and_then(Value::as_array);
                logprobs.extend(tokens.into_iter().flatten().cloned());
            }
            "refusal" => {
                let refusal = message.refusal.get_or_insert_default();
                refusal.push_str(text(part, "refusal"));
            }
            _ => {}
        }
    }
}

/// The reasoning as text: its summary, or itself where a model shows it.
fn thoughts(item: &Map<String, Value>) -> String {
    let texts = |name: &str| -> Vec<&str> {
        let parts = item.get(name).and_then(Value::as_array);
        let parts = parts.into_iter().flatten();
        parts
            .filter_map(|part| part.get("text")?.as_str())
            .collect()
    };
    let summary = texts("summary");
    if summary.is_empty() {
        texts("content").join("\n\n")
    } else {
        summary.join("\n\n")
    }
}

/// A reasoning item as it is sent back.
pub(super) fn kept(mut item: Map<String, Value>) -> Value {
    item.retain(|name, value| name != "status" && !value.is_null());
    item.entry("summary").or_insert_with(|| json!([]));
    Value::Object(item)
}

/// An annotation in the form of chat completions; `start` is where its text begins.
pub(super) fn annotation(note: &Value, start: u64) -> Value {
    let Some(members) = note.as_object() else {
        return note.clone();
    };
    if text(members, "type") != "url_citation" {
        return note.clone();
    }
    let place = |name: &str| Some(members.get(name)?.as_u64()?.saturating_add(start));
    url_citation(
        &note["url"],
        &note["title"],
        place("start_index"),
        place("end_index"),
    )
}

/// The type of the item that holds a picture which the model made.
pub(super) const PICTURE: &str = "image_generation_call";

/// Whether such an item holds one: a call that failed has none.
pub(super) fn is_made(item: &Map<String, Value>) -> bool {
    !text(item, "result").is_empty()
}

/// A picture that the model made; what its item says beside it is sent back with it.
pub(super) fn picture(mut item: Map<String, Value>, index: usize) -> Value {
    let format = match text(&item, "output_format") {
        "" => "png",
        "svg" => "svg+xml",
        format => format,
    };
    let url = format!("data:image/{format};base64,{}", text(&item, "result"));
    item.retain(|name, value| !matches!(name.as_str(), "type" | "result") && !value.is_null());
    json!({
        "type": "image_url",
        "image_url": { "url": url },
        "index": index,
        "provider_specific_fields": item,
    })
}

/// Probabilities of tokens as chat completions have them: a stream leaves out their bytes.
pub(super) fn tokens(mut tokens: Vec<Value>) -> Value {
    fn complete(token: &mut Value) {
        let Value::Object(members) = token else {
            return;
        };
        let text = members.get("token").and_then(Value::as_str);
        let bytes = Value::from(text.unwrap_or_default().as_bytes());
        members.entry("bytes").or_insert(bytes);
        let others = members.get_mut("top_logprobs");
        let others = others.and_then(Value::as_array_mut).into_iter().flatten();
        others.for_each(complete);
    }
    tokens.iter_mut().for_each(complete);
    json!({ "content": tokens })
}

pub(super) fn usage(found: &Map<String, Value>) -> Usage {
    let count = |name: &str| found.get(name).and_then(Value::as_u64);
    let detail = |name: &str, of: &str| found.get(name)?.get(of)?.as_u64();
    let mut usage = Usage::new(
        count("input_tokens").unwrap_or_default(),
        count("output_tokens").unwrap_or_default(),
    );
    if let Some(total) = count("total_tokens") {
        usage.total_tokens = total;
    }
    if found.contains_key("input_tokens_details") {
        usage.prompt_tokens_details = Some(PromptTokensDetails {
            cached_tokens: detail("input_tokens_details", "cached_tokens"),
            cache_creation_tokens: detail("input_tokens_details", "cache_write_tokens"),
            ..PromptTokensDetails::default()
        });
    }
    if found.contains_key("output_tokens_details") {
        usage.completion_tokens_details = Some(CompletionTokensDetails {
            reasoning_tokens: detail("output_tokens_details", "reasoning_tokens"),
            ..CompletionTokensDetails::default()
        });
    }
    let known = [
        "input_tokens",
        "input_tokens_details",
        "output_tokens",
        "output_tokens_details",
        "total_tokens",
    ];
    let rest = found
        .iter()
        .filter(|(name, _)| !known.contains(&name.as_str()));
    usage.rest = rest
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    usage
}
