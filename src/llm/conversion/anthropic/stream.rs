//! The events of a stream: <https://docs.anthropic.com/en/api/messages-streaming>.

use std::collections::HashMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::{KNOWN, annotation, tier, usage};
use crate::llm::conversion::cited::Cited;
use crate::llm::conversion::stand_in::reason;
use crate::llm::conversion::{Notes, Progress, Translator, Unreadable};
use crate::llm::types::chunk::ChunkWriter;

#[derive(Debug)]
pub(super) struct Events {
    writer: ChunkWriter,
    notes: Notes,
    blocks: HashMap<u64, Block>,
    usage: Map<String, Value>,
    stop_reason: Option<String>,
    used_json_tool: bool,
    /// How many characters of text there were, for citations.
    length: usize,
}

/// A block that has begun.
#[derive(Debug)]
enum Block {
    Text {
        start: usize,
        citations: Vec<Value>,
    },
    /// Thoughts, and their signature as it comes.
    Thinking {
        block: Map<String, Value>,
    },
    ToolCall {
        index: u64,
        has_arguments: bool,
        input: Value,
    },
    /// The tool that stands for a JSON answer.
    Json,
    Other {
        block: Map<String, Value>,
        input: String,
    },
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(default)]
    index: u64,
    #[serde(default)]
    message: Option<Start>,
    #[serde(default)]
    content_block: Option<Map<String, Value>>,
    #[serde(default, borrow)]
    delta: Option<Delta<'a>>,
    #[serde(default)]
    usage: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Start {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    usage: Map<String, Value>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize, Default)]
struct Delta<'a> {
    #[serde(default, borrow)]
    text: Option<std::borrow::Cow<'a, str>>,
    #[serde(default, borrow)]
    thinking: Option<std::borrow::Cow<'a, str>>,
    #[serde(default, borrow)]
    signature: Option<std::borrow::Cow<'a, str>>,
    #[serde(default, borrow)]
    partial_json: Option<std::borrow::Cow<'a, str>>,
    #[serde(default)]
    citation: Option<Value>,
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default)]
    stop_sequence: Option<Value>,
    #[serde(default)]
    stop_details: Option<Value>,
    #[serde(default)]
    container: Option<Value>,
}

impl Events {
    pub(super) fn new(notes: &Notes) -> Self {
        Self {
            writer: notes.writer(),
            notes: notes.clone(),
            blocks: HashMap::new(),
            usage: Map::new(),
            stop_reason: None,
            used_json_tool: false,
            length: 0,
        }
    }

    fn begin(&mut self, index: u64, block: Map<String, Value>) {
        let text = |name: &str| block.get(name).and_then(Value::as_str).unwrap_or_default();
        let begun = match text("type") {
            "text" => {
                let start = self.length;
                self.say(text("text"));
                let citations = Vec::new();
                Block::Text { start, citations }
            }
            "thinking" | "redacted_thinking" => {
                self.writer.reasoning(text("thinking"));
                Block::Thinking { block }
            }
            "tool_use" if self.notes.json_tool.as_deref() == Some(text("name")) => {
                self.used_json_tool = true;
                Block::Json
            }
            "tool_use" => Block::ToolCall {
                index: self.writer.begin_tool_call(text("id"), text("name"), None),
                has_arguments: false,
                input: block.get("input").cloned().unwrap_or_default(),
            },
            _ => Block::Other {
                block,
                input: String::new(),
            },
        };
        self.blocks.insert(index, begun);
    }

    /// What is said of the message itself.
    fn beside(&mut self, mut rest: Map<String, Value>) {
        rest.retain(|name, _| !KNOWN.contains(&name.as_str()) && name != "content");
        self.writer.beside(rest);
    }

    fn say(&mut self, text: &str) {
        self.length += text.chars().count();
        self.writer.text(text);
    }

    fn go_on(&mut self, index: u64, delta: Delta<'_>) {
        if let Some(text) = &delta.text {
            self.say(text);
        }
        let Some(block) = self.blocks.get_mut(&index) else {
            return;
        };
        if let Some(thoughts) = &delta.thinking {
            self.writer.reasoning(thoughts);
            if let Block::Thinking { block } = block
                && let Some(Value::String(all)) = block.get_mut("thinking")
            {
                all.push_str(thoughts);
            }
        }
        if let (Some(signature), Block::Thinking { block }) = (&delta.signature, &mut *block) {
            block.insert("signature".to_owned(), Value::from(signature.as_ref()));
        }
        if let Some(fragment) = &delta.partial_json {
            match block {
                Block::ToolCall {
                    index,
                    has_arguments,
                    ..
                } => {
                    *has_arguments |= !fragment.is_empty();
                    self.writer.arguments(*index, fragment);
                }
                Block::Json => self.writer.text(fragment),
                Block::Other { input, .. } => input.push_str(fragment),
                Block::Text { .. } | Block::Thinking { .. } => {}
            }
        }
        if let (Some(citation), Block::Text { citations, .. }) = (delta.citation, &mut *block) {
            let fields = json!({ "citation": citation });
            self.writer.member("provider_specific_fields", &fields);
            citations.push(citation);
        }
    }

    fn close(&mut self, index: u64) {
        match self.blocks.remove(&index) {
            // Where a citation ends is known when its text is whole.
            Some(Block::Text { start, citations }) if !citations.is_empty() => {
                let notes = citations.iter();
                let notes: Vec<Value> = notes
                    .filter_map(|one| annotation(one, start, self.length))
                    .collect();
                if !notes.is_empty() {
                    self.writer.member("annotations", &Value::Array(notes));
                }
                let fields = Cited::one(citations, start..self.length);
                self.writer.member("provider_specific_fields", &fields);
            }
            Some(Block::Thinking { block }) => {
                let blocks = Value::Array(vec![Value::Object(block)]);
                self.writer.member("thinking_blocks", &blocks);
            }
            Some(Block::ToolCall {
                index,
                has_arguments: false,
                input,
            }) => {
                let input = if input.is_object() {
                    input.to_string()
                } else {
                    "{}".to_owned()
                };
                self.writer.arguments(index, &input);
            }
            Some(Block::Other { mut block, input }) => {
                if let Ok(input) = serde_json::from_str(&input) {
                    block.insert("input".to_owned(), input);
                }
                let mut fields = Map::new();
                let blocks = Value::Array(vec![Value::Object(block)]);
                fields.insert("content_blocks".to_owned(), blocks);
                self.writer
                    .member("provider_specific_fields", &Value::Object(fields));
            }
            _ => {}
        }
    }
}

impl Translator for Events {
    fn event(&mut self, data: &[u8], chunks: &mut Vec<Bytes>) -> Result<Progress, Unreadable> {
        let event: Event<'_> = serde_json::from_slice(data)?;
        match event.kind.as_ref() {
            "message_start" => {
                if let Some(start) = event.message {
                    self.writer.name(
                        start.id.as_deref().unwrap_or(&self.notes.id),
                        self.notes.now,
                        start.model.as_deref().unwrap_or(&self.notes.model),
                    );
                    self.usage = start.usage;
                    self.beside(start.rest);
                }
            }
            "content_block_start" => {
                if let Some(block) = event.content_block {
                    self.begin(event.index, block);
                }
            }
            "content_block_delta" => {
                if let Some(delta) = event.delta {
                    self.go_on(event.index, delta);
                }
            }
            "content_block_stop" => self.close(event.index),
            "message_delta" => {
                if let Some(found) = event.usage {
                    self.usage
                        .extend(found.into_iter().filter(|(_, value)| !value.is_null()));
                }
                if let Some(delta) = event.delta {
                    self.stop_reason = delta.stop_reason.or(self.stop_reason.take());
                    let said = [
                        ("stop_sequence", delta.stop_sequence),
                        ("stop_details", delta.stop_details),
                        ("container", delta.container),
                    ];
                    let said = said.into_iter();
                    let said = said.filter_map(|(name, value)| Some((name.to_owned(), value?)));
                    self.beside(said.collect());
                }
            }
            "message_stop" => return Ok(Progress::Done),
            "error" => return Err(Unreadable::Error),
            _ => {}
        }
        chunks.append(&mut self.writer.take());
        Ok(Progress::More)
    }

    fn end(&mut self, chunks: &mut Vec<Bytes>) -> bool {
        if let Some(native) = self.stop_reason.take() {
            let is_answer = self.used_json_tool && self.writer.tool_calls() == 0;
            let tier = tier(&self.usage);
            let tier = tier.map(|tier| ("service_tier".to_owned(), Value::from(tier)));
            self.writer.beside(tier.into_iter().collect());
            self.writer.finish(reason(&native, is_answer));
            self.writer.usage(&usage(&self.usage));
        }
        chunks.append(&mut self.writer.take());
        self.writer.is_finished()
    }
}
