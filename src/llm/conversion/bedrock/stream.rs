//! The events of a stream:
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStreamOutput.html>.

use std::collections::HashMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::{annotation, beside, picture, usage};
use crate::llm::conversion::cited::Cited;
use crate::llm::conversion::stand_in::reason;
use crate::llm::conversion::{Notes, Progress, Translator, Unreadable};
use crate::llm::types::chunk::ChunkWriter;

#[derive(Debug)]
pub(super) struct Events {
    writer: ChunkWriter,
    json_tool: Option<String>,
    blocks: HashMap<u64, Block>,
    usage: Map<String, Value>,
    stop_reason: Option<String>,
    used_json_tool: bool,
    /// How many characters of text there were, for citations.
    length: usize,
    pictures: usize,
}

/// A block that goes on.
#[derive(Debug)]
enum Block {
    /// Text with what it is drawn from.
    Text {
        start: usize,
        citations: Vec<Value>,
    },
    Thinking {
        text: String,
        signature: String,
        redacted: Option<String>,
    },
    ToolCall {
        index: u64,
        has_arguments: bool,
    },
    /// The tool that stands for a JSON answer.
    Json,
    /// What nobody here knows, as it begins, and its deltas.
    Other {
        start: Value,
        deltas: Vec<Value>,
    },
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(default, borrow, rename = "contentBlockDelta")]
    delta: Option<BlockDelta<'a>>,
    #[serde(default, rename = "contentBlockStart")]
    start: Option<BlockStart>,
    #[serde(default, rename = "contentBlockStop")]
    stop: Option<BlockStop>,
    #[serde(default, rename = "messageStop")]
    end: Option<MessageStop>,
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct BlockStart {
    #[serde(default, rename = "contentBlockIndex")]
    index: u64,
    #[serde(default)]
    start: Map<String, Value>,
}

#[derive(Deserialize)]
struct BlockStop {
    #[serde(default, rename = "contentBlockIndex")]
    index: u64,
}

#[derive(Deserialize)]
struct BlockDelta<'a> {
    #[serde(default, rename = "contentBlockIndex")]
    index: u64,
    #[serde(borrow)]
    delta: Delta<'a>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(default, borrow)]
    text: Option<std::borrow::Cow<'a, str>>,
    #[serde(default, borrow, rename = "toolUse")]
    tool_use: Option<Input<'a>>,
    #[serde(default, rename = "reasoningContent")]
    reasoning: Option<Reasoning>,
    #[serde(default)]
    citation: Option<Value>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct Input<'a> {
    #[serde(default, borrow)]
    input: std::borrow::Cow<'a, str>,
}

#[derive(Deserialize)]
struct Reasoning {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default, rename = "redactedContent")]
    redacted: Option<String>,
}

#[derive(Deserialize)]
struct MessageStop {
    #[serde(default, rename = "stopReason")]
    reason: Option<String>,
    #[serde(default, rename = "additionalModelResponseFields")]
    fields: Option<Value>,
}

impl Events {
    pub(super) fn new(notes: &Notes) -> Self {
        Self {
            writer: notes.writer(),
            json_tool: notes.json_tool.clone(),
            blocks: HashMap::new(),
            usage: Map::new(),
            stop_reason: None,
            used_json_tool: false,
            length: 0,
            pictures: 0,
        }
    }

    fn begin(&mut self, BlockStart { index, start }: BlockStart) {
        let call = start
            .get("toolUse")
            .filter(|call| call.get("type").is_none());
        let begun = match call {
            Some(call)
                if self.json_tool.is_some()
                    && self.json_tool.as_deref() == call["name"].as_str() =>
            {
                self.used_json_tool = true;
                Block::Json
            }
            Some(call) => {
                let text = |name: &str| call[name].as_str().unwrap_or_default();
                Block::ToolCall {
                    index: self
                        .writer
                        .begin_tool_call(text("toolUseId"), text("name"), None),
                    has_arguments: false,
                }
            }
            // Text and reasoning begin with their first delta.
            None if start.is_empty() => return,
            None => Block::Other {
                start: Value::Object(start),
                deltas: Vec::new(),
            },
        };
        self.blocks.insert(index, begun);
    }

    fn go_on(&mut self, BlockDelta { index, delta }: BlockDelta<'_>) {
        if let Some(text) = &delta.text {
            self.text_block(index);
            self.length += text.chars().count();
            self.writer.text(text);
        }
        if let Some(reasoning) = delta.reasoning {
            self.think(index, reasoning);
        }
        if let Some(Input { input }) = delta.tool_use {
            match self.blocks.get_mut(&index) {
                Some(Block::ToolCall {
                    index,
                    has_arguments,
                }) => {
                    *has_arguments |= !input.is_empty();
                    self.writer.arguments(*index, &input);
                }
                Some(Block::Json) => self.writer.text(&input),
                Some(Block::Other { deltas, .. }) => {
                    deltas.push(json!({ "toolUse": { "input": input } }));
                }
                Some(Block::Text { .. } | Block::Thinking { .. }) | None => {}
            }
        }
        if let Some(citation) = delta.citation {
            self.tell("citation", &citation);
            if let Block::Text { citations, .. } = self.text_block(index) {
                citations.push(citation);
            }
        }
        if !delta.rest.is_empty() {
            let block = self.blocks.entry(index).or_insert_with(|| Block::Other {
                start: Value::Null,
                deltas: Vec::new(),
            });
            if let Block::Other { deltas, .. } = block {
                deltas.push(Value::Object(delta.rest));
            }
        }
    }

    fn text_block(&mut self, index: u64) -> &mut Block {
        let start = self.length;
        self.blocks.entry(index).or_insert_with(|| Block::Text {
            start,
            citations: Vec::new(),
        })
    }

    fn think(&mut self, index: u64, reasoning: Reasoning) {
        let block = self.blocks.entry(index).or_insert_with(|| Block::Thinking {
            text: String::new(),
            signature: String::new(),
            redacted: None,
        });
        let Block::Thinking {
            text,
            signature,
            redacted,
        } = block
        else {
            return;
        };
        if let Some(more) = reasoning.text {
            text.push_str(&more);
            self.writer.reasoning(&more);
        }
        if let Some(more) = reasoning.signature {
            signature.push_str(&more);
        }
        if let Some(more) = reasoning.redacted {
            redacted.get_or_insert_default().push_str(&more);
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
            Some(Block::Thinking {
                text,
                signature,
                redacted,
            }) => {
                let block = match redacted {
                    Some(data) => json!({ "type": "redacted_thinking", "data": data }),
                    None if signature.is_empty() => {
                        json!({ "type": "thinking", "thinking": text })
                    }
                    None => {
                        json!({ "type": "thinking", "thinking": text, "signature": signature })
                    }
                };
                let blocks = Value::Array(vec![block]);
                self.writer.member("thinking_blocks", &blocks);
            }
            Some(Block::ToolCall {
                index,
                has_arguments: false,
            }) => self.writer.arguments(index, "{}"),
            Some(Block::Other { start, deltas }) => {
                let block = block(start, deltas);
                if block["image"]["source"]["bytes"].is_string() {
                    let picture = picture(&block["image"], self.pictures);
                    self.pictures += 1;
                    self.writer.member("images", &Value::Array(vec![picture]));
                } else {
                    self.tell("content_blocks", &Value::Array(vec![block]));
                }
            }
            _ => {}
        }
    }

    /// Something that OpenAI has no word for.
    fn tell(&mut self, name: &str, value: &Value) {
        let fields = json!({ name: value });
        self.writer.member("provider_specific_fields", &fields);
    }
}

/// A block as a whole answer has it, where its pieces say how they belong together: the input of a call is
/// text, a result a list, and what comes in one piece is whole.
fn block(mut start: Value, mut deltas: Vec<Value>) -> Value {
    if start.is_null() && deltas.len() == 1 {
        return deltas.swap_remove(0);
    }
    let of_all = |name: &str| deltas.iter().map(|delta| &delta[name]).collect::<Vec<_>>();
    if start["toolUse"].is_object() {
        let input = of_all("toolUse").into_iter();
        let input: String = input.filter_map(|piece| piece["input"].as_str()).collect();
        start["toolUse"]["input"] = serde_json::from_str(&input).unwrap_or_else(|_| json!({}));
    } else if start["toolResult"].is_object() {
        let content = of_all("toolResult").into_iter();
        let content = content.filter_map(Value::as_array).flatten().cloned();
        start["toolResult"]["content"] = content.collect();
    } else if start["image"].is_object() && deltas.len() == 1 {
        start["image"]["source"] = deltas[0]["image"]["source"].take();
    } else {
        return json!({ "start": start, "deltas": deltas });
    }
    start
}

impl Translator for Events {
    fn event(&mut self, data: &[u8], chunks: &mut Vec<Bytes>) -> Result<Progress, Unreadable> {
        let event: Event<'_> = serde_json::from_slice(data)?;
        let mut progress = Progress::More;
        if let Some(delta) = event.delta {
            self.go_on(delta);
        } else if let Some(start) = event.start {
            self.begin(start);
        } else if let Some(stop) = event.stop {
            self.close(stop.index);
        } else if let Some(end) = event.end {
            self.stop_reason = Some(end.reason.unwrap_or_default());
            let fields = end.fields.into_iter();
            let fields = fields.map(|fields| ("additionalModelResponseFields".to_owned(), fields));
            self.writer.beside(fields.collect());
        } else if let Some(mut metadata) = event.metadata {
            if let Some(Value::Object(usage)) = metadata.shift_remove("usage") {
                self.usage = usage;
            }
            // Filler against the guessing of texts by their lengths.
            metadata.shift_remove("p");
            self.writer.beside(beside(metadata));
            // The last event, where the message is over.
            if self.stop_reason.is_some() {
                progress = Progress::Done;
            }
        }
        chunks.append(&mut self.writer.take());
        Ok(progress)
    }

    fn end(&mut self, chunks: &mut Vec<Bytes>) -> bool {
        if let Some(native) = self.stop_reason.take() {
            let mut open: Vec<u64> = self.blocks.keys().copied().collect();
            open.sort_unstable();
            for index in open {
                self.close(index);
            }
            let is_answer = self.used_json_tool && self.writer.tool_calls() == 0;
            self.writer.finish(reason(&native, is_answer));
            if !self.usage.is_empty() {
                let usage = usage(std::mem::take(&mut self.usage));
                self.writer.usage(&usage);
            }
        }
        chunks.append(&mut self.writer.take());
        self.writer.is_finished()
    }
}
