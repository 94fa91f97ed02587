//! A whole answer, and what it took. A piece of a stream is read the same way.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::llm::conversion::stand_in::url_citation;
use crate::llm::conversion::{Notes, Unreadable, finish, sound};
use crate::llm::types::completion::{
    AssistantMessage, Choice, Completion, CompletionTokensDetails, FinishReason,
    PromptTokensDetails, ToolCall, Usage,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    #[serde(default)]
    pub(super) candidates: Option<Vec<Candidate>>,
    #[serde(default)]
    pub(super) prompt_feedback: Option<Map<String, Value>>,
    #[serde(default)]
    pub(super) usage_metadata: Option<Map<String, Value>>,
    #[serde(default)]
    pub(super) model_version: Option<String>,
    #[serde(default)]
    pub(super) response_id: Option<String>,
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate {
    #[serde(default)]
    pub(super) content: Option<Content>,
    #[serde(default)]
    pub(super) finish_reason: Option<String>,
    #[serde(default)]
    pub(super) index: Option<u64>,
    #[serde(default)]
    pub(super) logprobs_result: Option<Value>,
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

#[derive(Deserialize)]
pub(super) struct Content {
    #[serde(default)]
    pub(super) parts: Option<Vec<Map<String, Value>>>,
}

/// What a part says.
pub(super) enum Said {
    /// Text, and its signature.
    Text(String, Option<Value>),
    /// Thoughts, which are a block where they are signed: unsigned ones are not to be sent back.
    Thought(String, Option<Value>),
    Call {
        id: Option<String>,
        name: String,
        arguments: String,
        fields: Map<String, Value>,
    },
    /// A picture, and its signature.
    Image(String, Option<Value>),
    /// Sound: its kind, and its bytes.
    Audio(String, String),
    Other(Map<String, Value>),
}

pub(super) fn read(body: &[u8]) -> Result<Answer, Unreadable> {
    let answer: Answer = serde_json::from_slice(body)?;
    if answer.candidates.is_none()
        && answer.prompt_feedback.is_none()
        && answer.usage_metadata.is_none()
    {
        return Err(Unreadable::Incomplete("no list \"candidates\""));
    }
    Ok(answer)
}

pub(super) fn said(mut part: Map<String, Value>) -> Said {
    let signature = part.get("thoughtSignature").cloned();
    if let Some(Value::Object(call)) = part.get("functionCall") {
        let text = |name: &str| call.get(name).and_then(Value::as_str).map(str::to_owned);
        let arguments = call
            .get("args")
            .filter(|arguments| arguments.is_object())
            .map_or_else(|| "{}".to_owned(), Value::to_string);
        let mut fields = Map::new();
        if let Some(signature) = signature {
            fields.insert("thought_signature".to_owned(), signature);
        }
        return Said::Call {
            id: text("id").filter(|id| !id.is_empty()),
            name: text("name").unwrap_or_default(),
            arguments,
            fields,
        };
    }
    if let Some(Value::Object(data)) = part.get("inlineData") {
        let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
        let (kind, base64) = (text("mimeType"), text("data"));
        if kind.starts_with("audio/") {
            return Said::Audio(kind.to_owned(), base64.to_owned());
        }
        return Said::Image(format!("data:{kind};base64,{base64}"), signature);
    }
    match part.get("text") {
        Some(Value::String(text)) if part.get("thought") == Some(&Value::Bool(true)) => {
            let block = signature.map(
                |signature| json!({ "type": "thinking", "thinking": text, "signature": signature }),
            );
            Said::Thought(text.clone(), block)
        }
        Some(Value::String(text)) => Said::Text(text.clone(), signature),
        _ => {
            part.shift_remove("thought");
            Said::Other(part)
        }
    }
}

/// An id for a call that has none, which is the same for the same place.
pub(super) fn call_id(notes: &Notes, choice: u64, place: u64) -> String {
    let id = notes.id.rsplit('-').next().unwrap_or_default();
    format!("call_{id}_{choice}_{place}")
}

pub(super) fn convert(body: &[u8], notes: &Notes) -> Result<Completion, Unreadable> {
    let answer = read(body)?;
    let mut choices: Vec<_> = answer
        .candidates
        .unwrap_or_default()
        .into_iter()
        .enumerate()
        .map(|(place, candidate)| {
            let place = u64::try_from(place).unwrap_or(u64::MAX);
            choice(candidate, place, notes)
        })
        .collect();
    if choices.is_empty() {
        choices.push(blocked(answer.prompt_feedback.as_ref()));
    }
    let mut choices = choices.into_iter();
    let mut completion = Completion::new(
        answer.response_id.unwrap_or_else(|| notes.id.clone()),
        notes.now,
        answer.model_version.unwrap_or_else(|| notes.model.clone()),
        choices.next().unwrap_or_else(|| blocked(None)),
    );
    completion.choices.extend(choices);
    completion.usage = answer.usage_metadata.as_ref().map(usage);
    completion.rest = answer.rest;
    Ok(completion)
}

/// An answer of which nothing is given.
fn blocked(feedback: Option<&Map<String, Value>>) -> Choice {
    let mut message = AssistantMessage::default();
    let reason = feedback.and_then(|feedback| feedback.get("blockReason"));
    if let Some(feedback) = feedback {
        let fields = &mut message.provider_specific_fields;
        fields.insert(
            "prompt_feedback".to_owned(),
            Value::Object(feedback.clone()),
        );
    }
    Choice {
        index: 0,
        message,
        finish_reason: if reason.is_some() {
            FinishReason::ContentFilter
        } else {
            FinishReason::Stop
        },
        logprobs: None,
    }
}

fn choice(candidate: Candidate, place: u64, notes: &Notes) -> Choice {
    let index = candidate.index.unwrap_or(place);
    let mut message = AssistantMessage::default();
    let mut others = Vec::new();
    let mut signature = None;
    let parts = candidate.content.and_then(|content| content.parts);
    for part in parts.unwrap_or_default() {
        match said(part) {
            Said::Text(text, signed) => {
                message.push_text(&text);
                signature = signed.or(signature);
            }
            Said::Thought(text, block) => {
                message.push_reasoning(&text);
                message.thinking_blocks.extend(block);
            }
            Said::Call {
                id,
                name,
                arguments,
                fields,
            } => {
                let place = message.tool_calls.len();
                let number = u64::try_from(place).unwrap_or(u64::MAX);
                let id = id.unwrap_or_else(|| call_id(notes, index, number));
                let mut call = ToolCall::new(place, id, name, arguments);
                call.provider_specific_fields = fields;
                message.tool_calls.push(call);
            }
            Said::Image(url, signed) => {
                let place = message.images.len();
                message.images.push(image(&url, place, signed));
            }
            Said::Audio(kind, base64) => match &mut message.audio {
                Some(audio) => {
                    let known = audio["data"].as_str().unwrap_or_default();
                    audio["data"] = Value::from(joined(known, &base64));
                }
                None => message.audio = Some(sound::made(&kind, &base64, notes)),
            },
            Said::Other(part) => others.push(Value::Object(part)),
        }
    }
    let text = message.content.as_deref().unwrap_or_default();
    message.annotations = annotations(&candidate.rest, text);
    message.provider_specific_fields = fields(candidate.rest, others, signature);
    let native = candidate.finish_reason.unwrap_or_default();
    let finish_reason = reason(&native, !message.tool_calls.is_empty());
    Choice {
        index,
        message,
        finish_reason,
        logprobs: candidate.logprobs_result.as_ref().map(logprobs),
    }
}

/// The reason to end: calls end an answer like anything else here.
pub(super) fn reason(native: &str, has_calls: bool) -> FinishReason {
    match finish::reason(native) {
        FinishReason::Stop if has_calls => FinishReason::ToolCalls,
        reason => reason,
    }
}

pub(super) fn image(url: &str, place: usize, signature: Option<Value>) -> Value {
    let mut image = json!({ "type": "image_url", "image_url": { "url": url }, "index": place });
    if let Some(signature) = signature {
        image["provider_specific_fields"] = json!({ SIGNATURE: signature });
    }
    image
}

/// What is said beside the content: grounding, citations, ratings, by names in snake case.
pub(super) fn fields(
    rest: Map<String, Value>,
    others: Vec<Value>,
    signature: Option<Value>,
) -> Map<String, Value> {
    let mut fields: Map<_, _> = rest
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (snake(&name), value))
        .collect();
    if !others.is_empty() {
        fields.insert(BLOCKS.to_owned(), Value::Array(others));
    }
    fields.extend(signature.map(|signature| (SIGNATURE.to_owned(), signature)));
    fields
}

/// Where parts stand that OpenAI has no word for, to be sent back.
pub(super) const BLOCKS: &str = "content_blocks";
/// Where the signature of a text or of a picture stands, to be sent back with it.
pub(super) const SIGNATURE: &str = "thought_signature";

/// The bytes of both, one after the other; what cannot be read is left out.
fn joined(first: &str, second: &str) -> String {
    let mut bytes = STANDARD.decode(first).unwrap_or_default();
    bytes.extend(STANDARD.decode(second).unwrap_or_default());
    STANDARD.encode(bytes)
}

fn snake(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(character.to_ascii_lowercase());
    }
    text
}

/// What the answer is grounded on, in OpenAI's form. Google counts bytes, OpenAI characters.
pub(super) fn annotations(rest: &Map<String, Value>, text: &str) -> Vec<Value> {
    let Some(grounding) = rest.get("groundingMetadata") else {
        return Vec::new();
    };
    let chunks = grounding.get("groundingChunks").and_then(Value::as_array);
    let supports = grounding.get("groundingSupports").and_then(Value::as_array);
    let mut annotations = Vec::new();
    for support in supports.into_iter().flatten() {
        let place = |name: &str| {
            let bytes = support.get("segment")?.get(name)?.as_u64()?;
            let before = text.get(..usize::try_from(bytes).ok()?)?;
            Some(before.chars().count())
        };
        let indices = support
            .get("groundingChunkIndices")
            .and_then(Value::as_array);
        for index in indices.into_iter().flatten().filter_map(Value::as_u64) {
            let chunk = usize::try_from(index)
                .ok()
                .and_then(|index| chunks?.get(index));
            let Some(web) = chunk.and_then(|chunk| chunk.get("web")) else {
                continue;
            };
            annotations.push(url_citation(
                &web["uri"],
                &web["title"],
                place("startIndex").unwrap_or_default(),
                place("endIndex").unwrap_or_default(),
            ));
        }
    }
    annotations
}

/// Probabilities in OpenAI's form.
pub(super) fn logprobs(found: &Value) -> Value {
    let one = |candidate: &Value| {
        let token = candidate
            .get("token")
            .and_then(Value::as_str)
            .unwrap_or_default();
        json!({
            "token": token,
            "logprob": candidate.get("logProbability"),
            "bytes": token.as_bytes(),
        })
    };
    let list = |name: &str| found.get(name).and_then(Value::as_array);
    let tops = list("topCandidates");
    let content = list("chosenCandidates").into_iter().flatten().enumerate();
    let content: Vec<_> = content
        .map(|(place, chosen)| {
            let mut entry = one(chosen);
            let top = tops
                .and_then(|tops| tops.get(place))
                .and_then(|top| top.get("candidates"))
                .and_then(Value::as_array);
            entry["top_logprobs"] = top.into_iter().flatten().map(one).collect();
            entry
        })
        .collect();
    json!({ "content": content })
}

/// Counts that have a name of OpenAI's.
const COUNTED: [&str; 8] = [
    "promptTokenCount",
    "toolUsePromptTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "totalTokenCount",
    "cachedContentTokenCount",
    "promptTokensDetails",
    "candidatesTokensDetails",
];

/// Google counts thoughts apart, OpenAI among those of the answer.
pub(super) fn usage(found: &Map<String, Value>) -> Usage {
    let count = |name: &str| found.get(name).and_then(Value::as_u64);
    let thoughts = count("thoughtsTokenCount");
    let request = count("promptTokenCount").unwrap_or_default()
        + count("toolUsePromptTokenCount").unwrap_or_default();
    let answer = count("candidatesTokenCount").unwrap_or_default() + thoughts.unwrap_or_default();
    let mut usage = Usage::new(request, answer);
    let of = |list: &str, modality: &str| {
        let details = found.get(list)?.as_array()?;
        let detail = details
            .iter()
            .find(|detail| detail.get("modality").and_then(Value::as_str) == Some(modality))?;
        detail.get("tokenCount")?.as_u64()
    };
    let request = |modality| of("promptTokensDetails", modality);
    let details = PromptTokensDetails {
        cached_tokens: count("cachedContentTokenCount"),
        audio_tokens: request("AUDIO"),
        text_tokens: request("TEXT"),
        image_tokens: request("IMAGE"),
        ..PromptTokensDetails::default()
    };
    usage.prompt_tokens_details = (details != PromptTokensDetails::default()).then_some(details);
    let answer = |modality| of("candidatesTokensDetails", modality);
    let details = CompletionTokensDetails {
        reasoning_tokens: thoughts,
        text_tokens: answer("TEXT"),
        audio_tokens: answer("AUDIO"),
        image_tokens: answer("IMAGE"),
    };
    usage.completion_tokens_details =
        (details != CompletionTokensDetails::default()).then_some(details);
    let rest = found
        .iter()
        .filter(|(name, _)| !COUNTED.contains(&name.as_str()));
    let rest = rest.map(|(name, value)| (snake(name), value.clone()));
    usage.rest = rest.collect();
    usage
}
