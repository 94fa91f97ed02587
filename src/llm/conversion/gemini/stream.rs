//! The pieces of a stream: <https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent>.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::answer::{self, Candidate, Said};
use crate::llm::conversion::{Notes, Progress, Translator, Unreadable, sound};
use crate::llm::types::chunk::ChunkWriter;
use crate::llm::types::completion::FinishReason;

#[derive(Debug)]
pub(super) struct Pieces {
    writer: ChunkWriter,
    notes: Notes,
    usage: Map<String, Value>,
    /// Why each choice ended, as far as it did: more parts may come beside the reason.
    reasons: Vec<(u64, String)>,
    is_named: bool,
    is_blocked: bool,
    images: usize,
    /// The text of each choice, which what it is grounded on names the bytes of.
    texts: HashMap<u64, String>,
    has_sound: bool,
}

impl Pieces {
    pub(super) fn new(notes: &Notes) -> Self {
        Self {
            writer: notes.writer(),
            notes: notes.clone(),
            usage: Map::new(),
            reasons: Vec::new(),
            is_named: false,
            is_blocked: false,
            images: 0,
            texts: HashMap::new(),
            has_sound: false,
        }
    }

    fn take(&mut self, candidate: Candidate, place: u64) {
        let index = candidate.index.unwrap_or(place);
        self.writer.select(index);
        let mut others = Vec::new();
        let mut signature = None;
        let parts = candidate.content.and_then(|content| content.parts);
        for part in parts.unwrap_or_default() {
            match answer::said(part) {
                Said::Text(text, signed) => {
                    self.texts.entry(index).or_default().push_str(&text);
                    signature = signed.or(signature);
                    match &candidate.logprobs_result {
                        Some(found) if !text.is_empty() => {
                            let logprobs = answer::logprobs(found);
                            self.writer.text_with_logprobs(&text, &logprobs);
                        }
                        _ => self.writer.text(&text),
                    }
                }
                Said::Thought(text, block) => {
                    self.writer.reasoning(&text);
                    if let Some(block) = block {
                        self.writer.member("thinking_blocks", &json!([block]));
                    }
                }
                Said::Call {
                    id,
                    name,
                    arguments,
                    fields,
                } => {
                    let number = self.writer.tool_calls();
                    let id = id.unwrap_or_else(|| answer::call_id(&self.notes, index, number));
                    let call = self.writer.begin_tool_call(&id, &name, Some(&fields));
                    self.writer.arguments(call, &arguments);
                }
                Said::Image(url, signed) => {
                    let image = answer::image(&url, self.images, signed);
                    self.images += 1;
                    self.writer.member("images", &Value::Array(vec![image]));
                }
                Said::Audio(kind, base64) => {
                    let sound = if std::mem::replace(&mut self.has_sound, true) {
                        json!({ "data": base64 })
                    } else {
                        sound::made(&kind, &base64, &self.notes)
                    };
                    self.writer.member("audio", &sound);
                }
                Said::Other(part) => others.push(Value::Object(part)),
            }
        }
        let text = self.texts.get(&index).map(String::as_str);
        let notes = answer::annotations(&candidate.rest, text.unwrap_or_default());
        if !notes.is_empty() {
            self.writer.member("annotations", &Value::Array(notes));
        }
        let fields = answer::fields(candidate.rest, others, signature);
        if !fields.is_empty() {
            self.writer
                .member("provider_specific_fields", &Value::Object(fields));
        }
        if let Some(reason) = candidate.finish_reason {
            self.reasons.retain(|(known, _)| *known != index);
            self.reasons.push((index, reason));
        }
    }
}

impl Translator for Pieces {
    fn event(&mut self, data: &[u8], chunks: &mut Vec<Bytes>) -> Result<Progress, Unreadable> {
        let piece = answer::read(data)?;
        if !std::mem::replace(&mut self.is_named, true) {
            self.writer.name(
                piece.response_id.as_deref().unwrap_or(&self.notes.id),
                self.notes.now,
                piece.model_version.as_deref().unwrap_or(&self.notes.model),
            );
        }
        let candidates = piece.candidates.unwrap_or_default();
        for (place, candidate) in candidates.into_iter().enumerate() {
            self.take(candidate, u64::try_from(place).unwrap_or(u64::MAX));
        }
        if let Some(feedback) = piece.prompt_feedback {
            self.is_blocked |= feedback.contains_key("blockReason");
            let mut fields = Map::new();
            fields.insert("prompt_feedback".to_owned(), Value::Object(feedback));
            self.writer.select(0);
            self.writer
                .member("provider_specific_fields", &Value::Object(fields));
        }
        if let Some(found) = piece.usage_metadata {
            self.usage = found;
        }
        self.writer.beside(piece.rest);
        chunks.append(&mut self.writer.take());
        Ok(Progress::More)
    }

    fn end(&mut self, chunks: &mut Vec<Bytes>) -> bool {
        let mut reasons = std::mem::take(&mut self.reasons);
        reasons.sort();
        for (index, native) in reasons {
            self.writer.select(index);
            let has_calls = self.writer.tool_calls() > 0;
            self.writer.finish(answer::reason(&native, has_calls));
        }
        if self.is_blocked && !self.writer.is_finished() {
            self.writer.select(0);
            self.writer.finish(FinishReason::ContentFilter);
        }
        if self.writer.is_finished() && !self.usage.is_empty() {
            let usage = answer::usage(&std::mem::take(&mut self.usage));
            self.writer.usage(&usage);
        }
        chunks.append(&mut self.writer.take());
        self.writer.is_finished()
    }
}
