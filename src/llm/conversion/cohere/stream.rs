//! The events of a stream: <https://docs.cohere.com/docs/streaming>.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::{annotations, logprobs, parts_of, usage};
use crate::llm::conversion::{Notes, Progress, Translator, Unreadable, finish};
use crate::llm::types::chunk::ChunkWriter;

#[derive(Debug)]
pub(super) struct Events {
    writer: ChunkWriter,
    notes: Notes,
    /// The call whose arguments come.
    call: Option<(u64, bool)>,
    finish_reason: Option<String>,
    usage: Option<Map<String, Value>>,
    /// What the model meant to do with its tools.
    plan: String,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    logprobs: Option<Value>,
}

#[derive(Deserialize, Default)]
struct Delta {
    #[serde(default)]
    message: Value,
    #[serde(default)]
    finish_reason: Option<String>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    usage: Option<Map<String, Value>>,
}

impl Events {
    pub(super) fn new(notes: &Notes) -> Self {
        Self {
            writer: notes.writer(),
            notes: notes.clone(),
            call: None,
            finish_reason: None,
            usage: None,
            plan: String::new(),
        }
    }

    fn content(&mut self, content: &Value, probabilities: Option<&Value>) {
        self.writer
            .reasoning(content["thinking"].as_str().unwrap_or_default());
        let text = content["text"].as_str().unwrap_or_default();
        match probabilities.and_then(logprobs) {
            Some(probabilities) => self.writer.text_with_logprobs(text, &probabilities),
            None => self.writer.text(text),
        }
    }

    /// A call without arguments is one with none.
    fn close_call(&mut self) {
        if let Some((index, false)) = self.call.take() {
            self.writer.arguments(index, "{}");
        }
    }

    fn cite(&mut self, found: &Value) {
        let all = match found {
            Value::Array(all) => all.clone(),
            Value::Object(_) => vec![found.clone()],
            _ => return,
        };
        let notes: Vec<Value> = all.iter().flat_map(annotations).collect();
        if !notes.is_empty() {
            self.writer.member("annotations", &Value::Array(notes));
        }
        let mut fields = Map::new();
        fields.insert("citations".to_owned(), Value::Array(all));
        self.writer
            .member("provider_specific_fields", &Value::Object(fields));
    }
}

fn is_known(content: &Value) -> bool {
    let kind = content["type"].as_str();
    matches!(kind, None | Some("text" | "thinking"))
}

impl Translator for Events {
    fn event(&mut self, data: &[u8], chunks: &mut Vec<Bytes>) -> Result<Progress, Unreadable> {
        let event: Event = serde_json::from_slice(data)?;
        let delta = event.delta.unwrap_or_default();
        let message = &delta.message;
        let content = &message["content"];
        match event.kind.as_str() {
            "message-start" => {
                let id = event.id.as_deref().unwrap_or(&self.notes.id);
                self.writer.name(id, self.notes.now, &self.notes.model);
            }
            // Other kinds of content come whole.
            "content-start" if !is_known(content) => {
                let fields = json!({ "content_blocks": [content] });
                self.writer.member("provider_specific_fields", &fields);
            }
            "content-start" | "content-delta" => {
                self.content(content, event.logprobs.as_ref());
            }
            "tool-plan-delta" => {
                let plan = message["tool_plan"].as_str().unwrap_or_default();
                self.plan.push_str(plan);
                self.writer.reasoning(plan);
            }
            "tool-call-start" => {
                self.close_call();
                let (id, name, arguments) = parts_of(&message["tool_calls"]);
                let index = self.writer.begin_tool_call(id, name, None);
                self.writer.arguments(index, &arguments);
                self.call = Some((index, !arguments.is_empty()));
            }
            "tool-call-delta" => {
                let (_, _, arguments) = parts_of(&message["tool_calls"]);
                if let Some((index, has_arguments)) = &mut self.call {
                    *has_arguments |= !arguments.is_empty();
                    self.writer.arguments(*index, &arguments);
                }
            }
            "tool-call-end" => self.close_call(),
            "citation-start" => self.cite(&message["citations"]),
            "message-end" => {
                let is_error = delta.finish_reason.as_deref() == Some("ERROR");
                if is_error || delta.error.is_some_and(|error| !error.is_null()) {
                    return Err(Unreadable::Error);
                }
                self.close_call();
                if !self.plan.is_empty() {
                    let fields = json!({ "tool_plan": self.plan });
                    self.writer.member("provider_specific_fields", &fields);
                }
                self.finish_reason = Some(delta.finish_reason.unwrap_or_default());
                self.usage = delta.usage;
                return Ok(Progress::Done);
            }
            _ => {}
        }
        chunks.append(&mut self.writer.take());
        Ok(Progress::More)
    }

    fn end(&mut self, chunks: &mut Vec<Bytes>) -> bool {
        if let Some(native) = self.finish_reason.take() {
            self.writer.finish(finish::reason(&native));
            if let Some(found) = self.usage.take() {
                self.writer.usage(&usage(&found));
            }
        }
        chunks.append(&mut self.writer.take());
        self.writer.is_finished()
    }
}
