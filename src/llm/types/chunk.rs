//! The chunks of a stream as they are written: OpenAI's chat completion chunk object. Owns
//! [`ChunkWriter`], which every conversion of a stream writes with, so that the role is told once,
//! tool calls are numbered, and the end has its reason.

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde_json::{Map, Value};

use super::completion::{FinishReason, Usage};

/// Writes the chunks of one stream.
#[derive(Debug)]
pub struct ChunkWriter {
    /// `{"id":…,"object":…,"created":…,"model":…,"choices":[{"index":`, written once.
    head: Bytes,
    include_usage: bool,
    /// The choice that is written to.
    choice: u64,
    /// What was said of each choice, by its index.
    choices: Vec<Told>,
    /// What stands beside the choices of the chunk that ends one.
    beside: Map<String, Value>,
    chunks: Vec<Bytes>,
}

#[derive(Debug, Default)]
struct Told {
    index: u64,
    role: bool,
    is_finished: bool,
    tool_calls: u64,
}

#[derive(Serialize)]
struct ToolCallDelta<'a> {
    index: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    function: FunctionDelta<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_specific_fields: Option<&'a Map<String, Value>>,
}

#[derive(Serialize)]
struct FunctionDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

fn json(value: &(impl Serialize + ?Sized)) -> Vec<u8> {
    // Texts and JSON values cannot fail to be written.
    serde_json::to_vec(value).unwrap_or_default()
}

impl ChunkWriter {
    /// A writer for a stream that the provider has named. `include_usage` is the caller's wish.
    pub fn new(id: &str, created: u64, model: &str, include_usage: bool) -> Self {
        let mut writer = Self {
            head: Bytes::new(),
            include_usage,
            choice: 0,
            choices: Vec::new(),
            beside: Map::new(),
            chunks: Vec::new(),
        };
        writer.name(id, created, model);
        writer
    }

    /// The id and the model, where the provider tells them later.
    pub fn name(&mut self, id: &str, created: u64, model: &str) {
        let mut head = BytesMut::with_capacity(128);
        head.put_slice(b"{\"id\":");
        head.put_slice(&json(id));
        head.put_slice(b",\"object\":\"chat.completion.chunk\",\"created\":");
        head.put_slice(&json(&created));
        head.put_slice(b",\"model\":");
        head.put_slice(&json(model));
        self.head = head.freeze();
    }

    /// The chunks that were written since the last time.
    pub fn take(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.chunks)
    }

    /// Whether a choice has its reason to end.
    pub fn is_finished(&self) -> bool {
        self.choices.iter().any(|told| told.is_finished)
    }

    /// Which choice what follows belongs to; the first where nobody says.
    pub fn select(&mut self, choice: u64) {
        self.choice = choice;
    }

    /// How many tool calls were begun in the choice.
    pub fn tool_calls(&self) -> u64 {
        let told = self.choices.iter().find(|told| told.index == self.choice);
        told.map_or(0, |told| told.tool_calls)
    }

    /// What was said of the choice.
    fn told(&mut self) -> &mut Told {
        let index = self.choice;
        let place = self.choices.iter().position(|told| told.index == index);
        let place = place.unwrap_or_else(|| {
            self.choices.push(Told {
                index,
                ..Told::default()
            });
            self.choices.len() - 1
        });
        &mut self.choices[place]
    }

    /// The begin of a chunk of the choice, up to its delta.
    fn begin(&self, size: usize) -> BytesMut {
        let mut text = BytesMut::with_capacity(self.head.len() + size + 96);
        text.put_slice(&self.head);
        text.put_slice(b",\"choices\":[{\"index\":");
        if self.choice == 0 {
            text.put_u8(b'0');
        } else {
            text.put_slice(self.choice.to_string().as_bytes());
        }
        text.put_slice(b",\"delta\":{");
        text
    }

    /// A delta with one member, and the role where it was not told yet.
    fn delta(&mut self, name: &str, value: &[u8]) {
        let mut text = self.begin(value.len());
        if !std::mem::replace(&mut self.told().role, true) {
            text.put_slice(b"\"role\":\"assistant\",");
        }
        text.put_u8(b'"');
        text.put_slice(name.as_bytes());
        text.put_slice(b"\":");
        text.put_slice(value);
        text.put_slice(b"},\"finish_reason\":null}]}");
        self.chunks.push(text.freeze());
    }

    /// Text of the answer.
    pub fn text(&mut self, text: &str) {
        if !text.is_empty() {
            self.delta("content", &json(text));
        }
    }

    /// Text of a refusal.
    pub fn refusal(&mut self, text: &str) {
        if !text.is_empty() {
            self.delta("refusal", &json(text));
        }
    }

    /// Text of the reasoning.
    pub fn reasoning(&mut self, text: &str) {
        if !text.is_empty() {
            self.delta("reasoning_content", &json(text));
        }
    }

    /// Another member of the delta: `thinking_blocks`, `annotations`, `images`,
    /// `provider_specific_fields`, `audio`.
    pub fn member(&mut self, name: &str, value: &Value) {
        self.delta(name, &json(value));
    }

    /// The begin of a tool call; gives its index for the fragments of its arguments.
    pub fn begin_tool_call(
        &mut self,
        id: &str,
        name: &str,
        provider_specific_fields: Option<&Map<String, Value>>,
    ) -> u64 {
        let told = self.told();
        let index = told.tool_calls;
        told.tool_calls += 1;
        self.tool_call(&ToolCallDelta {
            index,
            id: Some(id),
            kind: Some("function"),
            function: FunctionDelta {
                name: Some(name),
                arguments: "",
            },
            provider_specific_fields: provider_specific_fields.filter(|fields| !fields.is_empty()),
        });
        index
    }

    /// A fragment of the arguments of a tool call.
    pub fn arguments(&mut self, index: u64, fragment: &str) {
        if fragment.is_empty() {
            return;
        }
        self.tool_call(&ToolCallDelta {
            index,
            id: None,
            kind: None,
            function: FunctionDelta {
                name: None,
                arguments: fragment,
            },
            provider_specific_fields: None,
        });
    }

    fn tool_call(&mut self, call: &ToolCallDelta<'_>) {
        self.delta("tool_calls", &json(std::slice::from_ref(call)));
    }

    /// Probabilities of tokens, in OpenAI's form, with the text that they are of.
    pub fn text_with_logprobs(&mut self, text: &str, logprobs: &Value) {
        let mut chunk = self.begin(text.len());
        if !std::mem::replace(&mut self.told().role, true) {
            chunk.put_slice(b"\"role\":\"assistant\",");
        }
        chunk.put_slice(b"\"content\":");
        chunk.put_slice(&json(text));
        chunk.put_slice(b"},\"logprobs\":");
        chunk.put_slice(&json(logprobs));
        chunk.put_slice(b",\"finish_reason\":null}]}");
        self.chunks.push(chunk.freeze());
    }

    /// Members of the answer itself, which stand in the chunk that says why a choice ended: its tier,
    /// and what the provider said by its own names. What is null says nothing.
    pub fn beside(&mut self, members: Map<String, Value>) {
        let own =
            |name: &str| ["id", "object", "created", "model", "choices", "usage"].contains(&name);
        let said = members.into_iter();
        self.beside
            .extend(said.filter(|(name, value)| !own(name) && !value.is_null()));
    }

    /// The end of the choice. Said once; what comes later is not heard.
    pub fn finish(&mut self, reason: FinishReason) {
        if std::mem::replace(&mut self.told().is_finished, true) {
            return;
        }
        let mut text = self.begin(0);
        if !std::mem::replace(&mut self.told().role, true) {
            text.put_slice(b"\"role\":\"assistant\",\"content\":\"\"");
        }
        text.put_slice(b"},\"finish_reason\":");
        text.put_slice(&json(&reason));
        text.put_slice(b"}]");
        for (name, value) in std::mem::take(&mut self.beside) {
            text.put_u8(b',');
            text.put_slice(&json(&name));
            text.put_u8(b':');
            text.put_slice(&json(&value));
        }
        text.put_u8(b'}');
        self.chunks.push(text.freeze());
    }

    /// What the stream took; a chunk of its own at the end, if the caller asked for it.
    pub fn usage(&mut self, usage: &Usage) {
        if !self.include_usage {
            return;
        }
        let mut text = BytesMut::from(self.head.as_ref());
        text.put_slice(b",\"choices\":[],\"usage\":");
        text.put_slice(&json(usage));
        text.put_u8(b'}');
        self.chunks.push(text.freeze());
    }
}
