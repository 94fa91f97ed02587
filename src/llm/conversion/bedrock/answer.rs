//! A whole answer, and what it took.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::llm::conversion::cited::Cited;
use crate::llm::conversion::sound;
use crate::llm::conversion::stand_in::{reason, url_citation};
use crate::llm::conversion::{Notes, Unreadable};
use crate::llm::types::completion::{
    AssistantMessage, Choice, Completion, PromptTokensDetails, ToolCall, Usage,
};

#[derive(Deserialize)]
struct Answer {
    output: Output,
    #[serde(default, rename = "stopReason")]
    stop_reason: Option<String>,
    #[serde(default)]
    usage: Option<Map<String, Value>>,
    /// `metrics`, `trace`, and what nobody here knows.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct Output {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    content: Vec<Map<String, Value>>,
}

pub(super) fn convert(body: &[u8], notes: &Notes) -> Result<Completion, Unreadable> {
    let answer: Answer = serde_json::from_slice(body).map_err(|cause| {
        if cause.is_data() {
            Unreadable::Incomplete("no list \"output.message.content\"")
        } else {
            Unreadable::NotJson(cause)
        }
    })?;
    let mut message = AssistantMessage::default();
    let mut found = Found::default();
    for block in answer.output.message.content {
        found.take(block, &mut message, notes);
    }
    let fields = &mut message.provider_specific_fields;
    found.cited.tell(fields);
    if !found.others.is_empty() {
        fields.insert("content_blocks".to_owned(), Value::Array(found.others));
    }
    let finish_reason = reason(
        answer.stop_reason.as_deref().unwrap_or_default(),
        found.used_json_tool && message.tool_calls.is_empty(),
    );
    let mut completion = Completion::new(
        notes.id.clone(),
        notes.now,
        notes.model.clone(),
        Choice {
            index: 0,
            message,
            finish_reason,
            logprobs: None,
        },
    );
    completion.usage = answer.usage.map(usage);
    completion.rest = beside(answer.rest);
    Ok(completion)
}

/// What is said beside the message, `serviceTier` by OpenAI's name.
pub(super) fn beside(mut rest: Map<String, Value>) -> Map<String, Value> {
    if let Some(mut tier) = rest.shift_remove("serviceTier") {
        rest.insert("service_tier".to_owned(), tier["type"].take());
    }
    rest.retain(|_, value| !value.is_null());
    rest
}

#[derive(Default)]
struct Found {
    used_json_tool: bool,
    cited: Cited,
    others: Vec<Value>,
}

impl Found {
    /// Takes a block of the answer.
    fn take(
        &mut self,
        mut block: Map<String, Value>,
        message: &mut AssistantMessage,
        notes: &Notes,
    ) {
        let name = block.keys().next().cloned().unwrap_or_default();
        match (name.as_str(), block.get_mut(&name).map(Value::take)) {
            ("text", Some(Value::String(text))) => message.push_text(&text),
            ("reasoningContent", Some(reasoning)) => {
                let block = thinking(&reasoning);
                if let Some(text) = block.get("thinking").and_then(Value::as_str) {
                    message.push_reasoning(text);
                }
                message.thinking_blocks.push(block);
            }
            // One with a type was run by the service itself.
            ("toolUse", Some(call)) if call.get("type").is_none() => {
                let text = |name: &str| call[name].as_str().unwrap_or_default().to_owned();
                if notes.json_tool.as_deref() == call["name"].as_str() && notes.json_tool.is_some()
                {
                    self.used_json_tool = true;
                    message.push_text(&input(&call));
                } else {
                    message.tool_calls.push(ToolCall::new(
                        message.tool_calls.len(),
                        text("toolUseId"),
                        text("name"),
                        input(&call),
                    ));
                }
            }
            ("citationsContent", Some(cited)) => self.cite(&cited, message),
            ("image", Some(image)) if image["source"]["bytes"].is_string() => {
                let picture = picture(&image, message.images.len());
                message.images.push(picture);
            }
            ("audio", Some(audio))
                if message.audio.is_none() && audio["source"]["bytes"].is_string() =>
            {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let kind = format!("audio/{}", text(&audio["format"]));
                let bytes = text(&audio["source"]["bytes"]);
                message.audio = Some(sound::made(&kind, &bytes, notes));
            }
            (_, Some(value)) => {
                block.insert(name, value);
                self.others.push(Value::Object(block));
            }
            (_, None) => {}
        }
    }

    /// Text with what it is drawn from.
    fn cite(&mut self, cited: &Value, message: &mut AssistantMessage) {
        let length = |message: &AssistantMessage| {
            let text = message.content.as_ref();
            text.map_or(0, |text| text.chars().count())
        };
        let start = length(message);
        for piece in cited["content"].as_array().into_iter().flatten() {
            message.push_text(piece["text"].as_str().unwrap_or_default());
        }
        let end = length(message);
        let Some(citations) = cited["citations"].as_array() else {
            return;
        };
        message.annotations.extend(
            citations
                .iter()
                .filter_map(|one| annotation(one, start, end)),
        );
        self.cited.push(citations.clone(), start..end);
    }
}

/// A picture that the model made.
pub(super) fn picture(image: &Value, index: usize) -> Value {
    let format = image["format"].as_str().unwrap_or("png");
    let bytes = image["source"]["bytes"].as_str().unwrap_or_default();
    let url = format!("data:image/{format};base64,{bytes}");
    json!({ "type": "image_url", "image_url": { "url": url }, "index": index })
}

/// The arguments of a call as text.
fn input(call: &Value) -> String {
    call.get("input")
        .map_or_else(|| "{}".to_owned(), Value::to_string)
}

/// A block of reasoning in Anthropic's form, to be sent back in the next turn.
fn thinking(reasoning: &Value) -> Value {
    if let Some(data) = reasoning.get("redactedContent") {
        return json!({ "type": "redacted_thinking", "data": data });
    }
    let text = &reasoning["reasoningText"];
    let mut block = json!({
        "type": "thinking",
        "thinking": text["text"].as_str().unwrap_or_default(),
    });
    if let Some(signature) = text.get("signature") {
        block["signature"] = signature.clone();
    }
    block
}

/// A citation of a web page in OpenAI's form.
pub(super) fn annotation(citation: &Value, start: usize, end: usize) -> Option<Value> {
    Some(url_citation(
        citation["location"]["web"].get("url")?,
        &citation["title"],
        start,
        end,
    ))
}

/// The service counts cached tokens apart, OpenAI among those of the request.
pub(super) fn usage(mut found: Map<String, Value>) -> Usage {
    let count = |name: &str| found.get(name).and_then(Value::as_u64);
    let read = count("cacheReadInputTokens");
    let written = count("cacheWriteInputTokens");
    let request = [count("inputTokens"), read, written]
        .into_iter()
        .flatten()
        .fold(0, u64::saturating_add);
    let mut usage = Usage::new(request, count("outputTokens").unwrap_or_default());
    if read.is_some() || written.is_some() {
        usage.prompt_tokens_details = Some(PromptTokensDetails {
            cached_tokens: read,
            cache_creation_tokens: written,
            ..PromptTokensDetails::default()
        });
    }
    let told = ["inputTokens", "outputTokens", "totalTokens"];
    found.retain(|name, value| !told.contains(&name.as_str()) && !value.is_null());
    // Where users of LiteLLM read them.
    for (name, value) in [
        ("cache_read_input_tokens", read),
        ("cache_creation_input_tokens", written),
    ] {
        found.extend(value.map(|value| (name.to_owned(), Value::from(value))));
    }
    usage.rest = found;
    usage
}
