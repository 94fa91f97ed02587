//! A whole answer, and the chunks of a stream: OpenAI's, but content may be a list of parts, thoughts
//! among them, and answers end for reasons of their own.

use std::collections::HashMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::llm::conversion::{Notes, Progress, Translator, Unreadable, finish};
use crate::llm::types::completion::{
    AssistantMessage, Choice, Completion, FinishReason, ToolCall, Usage,
};

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    created: Option<u64>,
    #[serde(default)]
    model: Option<String>,
    choices: Vec<Said>,
    #[serde(default)]
    usage: Option<Map<String, Value>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    message: Map<String, Value>,
    #[serde(default)]
    finish_reason: Option<String>,
    #[serde(default)]
    logprobs: Option<Value>,
}

/// Content, told apart.
#[derive(Default)]
struct Content {
    text: Option<String>,
    thoughts: String,
    /// Those with signatures, to be sent back.
    blocks: Vec<Value>,
    others: Vec<Value>,
}

impl Content {
    fn of(content: Value) -> Self {
        let mut apart = Self::default();
        match content {
            Value::String(text) => apart.text = Some(text),
            Value::Array(parts) => parts.into_iter().for_each(|part| apart.take(part)),
            _ => {}
        }
        apart
    }

    fn take(&mut self, part: Value) {
        match part["type"].as_str() {
            Some("text") => {
                let text = part["text"].as_str().unwrap_or_default();
                self.text.get_or_insert_default().push_str(text);
            }
            Some("thinking") => {
                let thoughts = match &part["thinking"] {
                    Value::String(text) => text.clone(),
                    Value::Array(parts) => {
                        let texts = parts.iter().filter_map(|part| part["text"].as_str());
                        texts.collect()
                    }
                    _ => String::new(),
                };
                if let Some(signature) = part["signature"].as_str() {
                    self.blocks.push(json!({
                        "type": "thinking",
                        "thinking": thoughts,
                        "signature": signature,
                    }));
                }
                self.thoughts.push_str(&thoughts);
            }
            _ => self.others.push(part),
        }
    }
}

/// Members of a message that say nothing beside what is read.
const KNOWN: [&str; 4] = ["role", "prefix", "content", "tool_calls"];

pub(super) fn convert(body: &[u8], notes: &Notes) -> Result<Completion, Unreadable> {
    let answer: Answer = serde_json::from_slice(body).map_err(|cause| {
        if cause.is_data() {
            Unreadable::Incomplete("no list \"choices\" of Mistral's form")
        } else {
            Unreadable::NotJson(cause)
        }
    })?;
    if answer.choices.is_empty() {
        return Err(Unreadable::Incomplete("an empty list \"choices\""));
    }
    let choices = answer.choices.into_iter().enumerate();
    let choices = choices
        .map(|(index, said)| choice(index, said, notes))
        .collect::<Result<Vec<_>, _>>()?;
    let mut completion = Completion::new(
        answer.id.unwrap_or_else(|| notes.id.clone()),
        answer.created.unwrap_or(notes.now),
        answer.model.unwrap_or_else(|| notes.model.clone()),
        Choice {
            index: 0,
            message: AssistantMessage::default(),
            finish_reason: FinishReason::Stop,
            logprobs: None,
        },
    );
    completion.choices = choices;
    completion.usage = answer.usage.map(usage);
    completion.rest = answer.rest;
    completion.rest.shift_remove("object");
    completion.rest.retain(|_, value| !value.is_null());
    Ok(completion)
}

fn choice(index: usize, mut said: Said, notes: &Notes) -> Result<Choice, Unreadable> {
    let native = said.finish_reason.unwrap_or_default();
    if native == "error" {
        return Err(Unreadable::Error);
    }
    let content = said.message.shift_remove("content").unwrap_or_default();
    let content = Content::of(content);
    let calls = said.message.shift_remove("tool_calls").unwrap_or_default();
    let calls = calls.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut message = AssistantMessage::default();
    message.content = content
        .text
        .filter(|text| !text.is_empty() || calls.is_empty());
    message.reasoning_content = Some(content.thoughts).filter(|text| !text.is_empty());
    message.thinking_blocks = content.blocks;
    let calls = calls.iter().enumerate();
    message.tool_calls = calls
        .map(|(index, found)| call(index, found, notes))
        .collect();
    if !content.others.is_empty() {
        let fields = &mut message.provider_specific_fields;
        fields.insert("content_blocks".to_owned(), Value::Array(content.others));
    }
    // As in a stream, whose chunks are handed on.
    said.message
        .retain(|name, value| !KNOWN.contains(&name.as_str()) && !value.is_null());
    message.rest = said.message;
    Ok(Choice {
        index: u64::try_from(index).unwrap_or_default(),
        message,
        finish_reason: finish::reason(&native),
        logprobs: said.logprobs.filter(|found| !found.is_null()),
    })
}

fn call(index: usize, found: &Value, notes: &Notes) -> ToolCall {
    let function = &found["function"];
    let arguments = match &function["arguments"] {
        Value::String(text) => text.clone(),
        Value::Null => "{}".to_owned(),
        other => other.to_string(),
    };
    let id = found["id"]
        .as_str()
        .filter(|id| !id.is_empty() && *id != "null");
    let id = id.map_or_else(
        || {
            let answer = notes.id.rsplit('-').next().unwrap_or_default();
            format!("call_{answer}_{index}")
        },
        str::to_owned,
    );
    let name = function["name"].as_str().unwrap_or_default();
    ToolCall::new(index, id, name.to_owned(), arguments)
}

fn usage(mut found: Map<String, Value>) -> Usage {
    let mut count = |name: &str| found.shift_remove(name).and_then(|count| count.as_u64());
    let request = count("prompt_tokens").unwrap_or_default();
    let mut usage = Usage::new(request, count("completion_tokens").unwrap_or_default());
    if let Some(total) = count("total_tokens") {
        usage.total_tokens = total;
    }
    found.retain(|_, value| !value.is_null());
    usage.rest = found;
    usage
}

/// The chunks of a stream: most are OpenAI's as they are.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    is_finished: bool,
    /// Thoughts of each choice that wait for their signature, which comes with the last of them.
    thoughts: HashMap<u64, String>,
}

#[derive(Deserialize)]
struct Skimmed<'a> {
    #[serde(borrow, default)]
    choices: Vec<SkimmedChoice<'a>>,
}

#[derive(Deserialize)]
struct SkimmedChoice<'a> {
    #[serde(borrow, default)]
    delta: Option<SkimmedDelta<'a>>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct SkimmedDelta<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<SkimmedCall<'a>>>,
}

#[derive(Deserialize)]
struct SkimmedCall<'a> {
    #[serde(borrow, default)]
    function: Option<SkimmedFunction<'a>>,
}

#[derive(Deserialize)]
struct SkimmedFunction<'a> {
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

impl SkimmedChoice<'_> {
    fn is_openais(&self) -> bool {
        let delta = self.delta.as_ref();
        let content = delta.and_then(|delta| delta.content);
        let mut calls = delta
            .and_then(|delta| delta.tool_calls.as_ref())
            .into_iter()
            .flatten()
            .filter_map(|call| call.function.as_ref()?.arguments);
        let reason = self.finish_reason.as_deref();
        reason.is_none_or(|reason| ["stop", "length", "tool_calls"].contains(&reason))
            && content.is_none_or(|content| !content.get().starts_with('['))
            && calls.all(|arguments| arguments.get().starts_with('"'))
    }
}

impl Translator for Chunks {
    fn event(&mut self, data: &[u8], chunks: &mut Vec<Bytes>) -> Result<Progress, Unreadable> {
        let skimmed: Skimmed<'_> = serde_json::from_slice(data)?;
        let reasons = skimmed.choices.iter().map(|choice| &choice.finish_reason);
        for reason in reasons.flatten() {
            if reason == "error" {
                return Err(Unreadable::Error);
            }
            self.is_finished = true;
        }
        if skimmed.choices.iter().all(SkimmedChoice::is_openais) {
            chunks.push(Bytes::copy_from_slice(data));
            return Ok(Progress::More);
        }
        let mut chunk: Value = serde_json::from_slice(data)?;
        let choices = chunk["choices"].as_array_mut().into_iter().flatten();
        for choice in choices {
            if let Some(native) = choice["finish_reason"].as_str() {
                choice["finish_reason"] = json!(finish::reason(native));
            }
            let index = choice["index"].as_u64().unwrap_or_default();
            if let Some(Value::Object(delta)) = choice.get_mut("delta") {
                adapt(delta, self.thoughts.entry(index).or_default());
            }
        }
        chunks.push(chunk.to_string().into());
        Ok(Progress::More)
    }

    fn end(&mut self, _chunks: &mut Vec<Bytes>) -> bool {
        self.is_finished
    }
}

fn adapt(delta: &mut Map<String, Value>, waiting: &mut String) {
    let calls = delta.get_mut("tool_calls").and_then(Value::as_array_mut);
    for call in calls.into_iter().flatten() {
        let arguments = call
            .get_mut("function")
            .and_then(|function| function.get_mut("arguments"));
        if let Some(arguments) = arguments
            && !arguments.is_string()
            && !arguments.is_null()
        {
            *arguments = Value::String(arguments.to_string());
        }
    }
    if !delta.get("content").is_some_and(Value::is_array) {
        return;
    }
    let mut content = Content::of(delta.shift_remove("content").unwrap_or_default());
    match content.blocks.first_mut() {
        Some(block) => {
            let own = block["thinking"].as_str().unwrap_or_default();
            waiting.push_str(own);
            block["thinking"] = Value::from(std::mem::take(waiting));
        }
        None => waiting.push_str(&content.thoughts),
    }
    if let Some(text) = content.text {
        delta.insert("content".to_owned(), Value::from(text));
    }
    if !content.thoughts.is_empty() {
        let thoughts = Value::from(content.thoughts);
        delta.insert("reasoning_content".to_owned(), thoughts);
    }
    if !content.blocks.is_empty() {
        delta.insert("thinking_blocks".to_owned(), Value::Array(content.blocks));
    }
    if !content.others.is_empty() {
        let fields = json!({ "content_blocks": content.others });
        delta.insert("provider_specific_fields".to_owned(), fields);
    }
}
