//! The events of a stream: <https://platform.openai.com/docs/api-reference/responses-streaming>.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::{Answer, PICTURE, annotation, is_made, kept, picture, text, tokens, usage};
use super::items::REASONING_ITEMS;
use crate::llm::conversion::{Notes, Progress, Translator, Unreadable};
use crate::llm::types::chunk::ChunkWriter;

#[derive(Debug)]
pub(super) struct Events {
    writer: ChunkWriter,
    notes: Notes,
    /// Calls by the place of their item: the index that they got, and whether arguments came.
    calls: HashMap<u64, (u64, bool)>,
    /// Where the text of each part begins, by the places of its item and of the part.
    starts: HashMap<(u64, u64), u64>,
    /// How many characters of text there were.
    length: u64,
    has_thoughts: bool,
    pictures: usize,
    end: Option<Answer>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    output_index: u64,
    #[serde(default)]
    content_index: u64,
    #[serde(default, borrow)]
    delta: Option<Cow<'a, str>>,
    #[serde(default)]
    logprobs: Option<Value>,
    #[serde(default)]
    item: Option<Map<String, Value>>,
    #[serde(default)]
    annotation: Option<Value>,
    #[serde(default)]
    response: Option<Answer>,
}

/// Whether an event is one of those that are read here.
fn is_known(data: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Kind<'a> {
        #[serde(rename = "type", borrow)]
        kind: Cow<'a, str>,
    }
    const KNOWN: [&str; 14] = [
        "error",
        "response.completed",
        "response.created",
        "response.failed",
        "response.function_call_arguments.delta",
        "response.in_progress",
        "response.incomplete",
        "response.output_item.added",
        "response.output_item.done",
        "response.output_text.annotation.added",
        "response.output_text.delta",
        "response.reasoning_summary_text.delta",
        "response.reasoning_text.delta",
        "response.refusal.delta",
    ];
    // What has no type at all is no event.
    let kind = serde_json::from_slice::<Kind<'_>>(data);
    kind.map_or(true, |event| KNOWN.contains(&event.kind.as_ref()))
}

impl Events {
    pub(super) fn new(notes: &Notes) -> Self {
        Self {
            writer: notes.writer(),
            notes: notes.clone(),
            calls: HashMap::new(),
            starts: HashMap::new(),
            length: 0,
            has_thoughts: false,
            pictures: 0,
            end: None,
        }
    }

    fn name(&mut self, answer: &Answer) {
        let id = answer.id.as_deref().unwrap_or(&self.notes.id);
        let model = answer.model.as_deref().unwrap_or(&self.notes.model);
        self.writer.name(id, answer.created(&self.notes), model);
    }

    fn say(&mut self, event: &Event<'_>, delta: &str) {
        let place = (event.output_index, event.content_index);
        self.starts.entry(place).or_insert(self.length);
        let count = u64::try_from(delta.chars().count()).unwrap_or_default();
        self.length = self.length.saturating_add(count);
        match &event.logprobs {
            Some(Value::Array(found)) if !found.is_empty() => {
                let logprobs = tokens(found.clone());
                self.writer.text_with_logprobs(delta, &logprobs);
            }
            _ => self.writer.text(delta),
        }
    }

    fn begin(&mut self, index: u64, item: &Map<String, Value>) {
        if text(item, "type") == "function_call" {
            let call = self
                .writer
                .begin_tool_call(text(item, "call_id"), text(item, "name"), None);
            self.calls.insert(index, (call, false));
        }
    }

    fn close(&mut self, index: u64, item: Map<String, Value>) {
        match text(&item, "type") {
            "message" => {}
            "reasoning" => {
                let items = Value::Array(vec![kept(item)]);
                self.writer.member(REASONING_ITEMS, &items);
            }
            "function_call" => {
                if !self.calls.contains_key(&index) {
                    self.begin(index, &item);
                }
                // Some servers send the arguments with the end alone.
                if let Some((call, false)) = self.calls.get(&index).copied() {
                    self.writer.arguments(call, text(&item, "arguments"));
                }
            }
            PICTURE if is_made(&item) => {
                let picture = picture(item, self.pictures);
                self.pictures += 1;
                self.writer.member("images", &json!([picture]));
            }
            _ => {
                let fields = json!({ "output_items": [item] });
                self.writer.member("provider_specific_fields", &fields);
            }
        }
    }
}

impl Translator for Events {
    fn event(&mut self, data: &[u8], chunks: &mut Vec<Bytes>) -> Result<Progress, Unreadable> {
        let mut event: Event<'_> = match serde_json::from_slice(data) {
            Ok(event) => event,
            // Other events may have other members under these names.
            Err(cause) if cause.is_data() && !is_known(data) => return Ok(Progress::More),
            Err(cause) => return Err(cause.into()),
        };
        let delta = event.delta.take().unwrap_or_default();
        let mut progress = Progress::More;
        match event.kind.as_ref() {
            "response.created" | "response.in_progress" | "response.queued" => {
                if let Some(answer) = &event.response {
                    self.name(answer);
                }
            }
            "response.output_item.added" => {
                if let Some(item) = &event.item {
                    self.begin(event.output_index, item);
                }
            }
            "response.output_text.delta" => self.say(&event, &delta),
            "response.output_text.annotation.added" => {
                if let Some(note) = &event.annotation {
                    let place = (event.output_index, event.content_index);
                    let start = self.starts.get(&place).copied().unwrap_or_default();
                    let notes = json!([annotation(note, start)]);
                    self.writer.member("annotations", &notes);
                }
            }
            "response.refusal.delta" => self.writer.refusal(&delta),
            "response.reasoning_summary_part.added" if self.has_thoughts => {
                self.writer.reasoning("\n\n");
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                self.has_thoughts = true;
                self.writer.reasoning(&delta);
            }
            "response.function_call_arguments.delta" => {
                if let Some((call, has_arguments)) = self.calls.get_mut(&event.output_index) {
                    *has_arguments |= !delta.is_empty();
                    self.writer.arguments(*call, &delta);
                }
            }
            "response.output_item.done" => {
                if let Some(item) = event.item.take() {
                    self.close(event.output_index, item);
                }
            }
            "response.completed" | "response.incomplete" => {
                self.end = Some(event.response.take().unwrap_or_default());
                progress = Progress::Done;
            }
            "response.failed" | "error" => return Err(Unreadable::Error),
            _ => {}
        }
        chunks.append(&mut self.writer.take());
        Ok(progress)
    }

    fn end(&mut self, chunks: &mut Vec<Bytes>) -> bool {
        if let Some(mut answer) = self.end.take() {
            let mut beside = answer.beside();
            let tier = answer.service_tier.take().map(Value::from);
            beside.extend(tier.map(|tier| ("service_tier".to_owned(), tier)));
            self.writer.beside(beside);
            self.writer
                .finish(answer.reason(self.writer.tool_calls() > 0));
            if let Some(found) = &answer.usage {
                self.writer.usage(&usage(found));
            }
        }
        chunks.append(&mut self.writer.take());
        self.writer.is_finished()
    }
}
