//! A whole answer as it is written: OpenAI's chat completion object, with LiteLLM's additions
//! (`reasoning_content`, `thinking_blocks`, `provider_specific_fields`, cache counts).

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

/// Why a choice finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model was done, or a stop text came.
    Stop,
    /// The limit of tokens was reached.
    Length,
    /// The model waits for the results of its calls.
    ToolCalls,
    /// A content policy cut it short.
    ContentFilter,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Completion {
    /// Its id, the provider's where it has one.
    pub id: String,
    /// Always `chat.completion`.
    object: &'static str,
    /// When, in seconds since 1970.
    pub created: u64,
    /// The model that answered.
    pub model: String,
    /// The answers.
    pub choices: Vec<Choice>,
    /// What it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The tier that served it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
    /// What the provider said beside it.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Completion {
    /// One with a single choice.
    pub fn new(id: String, created: u64, model: String, choice: Choice) -> Self {
        Self {
            id,
            object: "chat.completion",
            created,
            model,
            choices: vec![choice],
            usage: None,
            service_tier: None,
            rest: Map::new(),
        }
    }

    /// As JSON text.
    pub fn to_bytes(mut self) -> Bytes {
        for choice in &mut self.choices {
            choice.message.break_silence();
        }
        // Texts and JSON values cannot fail to be written.
        serde_json::to_vec(&self).unwrap_or_default().into()
    }
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    /// Its place.
    pub index: u64,
    /// What was said.
    pub message: AssistantMessage,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// The probabilities of its tokens, in OpenAI's form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Value>,
}

/// What the model said.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct AssistantMessage {
    role: AssistantRole,
    /// The text; none where there are tool calls alone.
    pub content: Option<String>,
    /// What it refused with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// Its reasoning as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// Its reasoning as blocks with signatures, to be sent back in the next turn.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub thinking_blocks: Vec<Value>,
    /// Its reasoning as items of OpenAI's Responses API, to be sent back in the next turn.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasoning_items: Vec<Value>,
    /// The calls that it asks for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Citations in OpenAI's form.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<Value>,
    /// Pictures that it made: `{"type": "image_url", "image_url": {"url"}, "index"}`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Value>,
    /// Sound that it made, in OpenAI's form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<Value>,
    /// What the provider said beside it, by its own names.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub provider_specific_fields: Map<String, Value>,
    /// Members that a provider whose messages are OpenAI's has beside those.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl AssistantMessage {
    /// Adds to the text.
    pub fn push_text(&mut self, text: &str) {
        self.content.get_or_insert_default().push_str(text);
    }

    /// What says nothing at all says an empty text, as the chunks of a stream do.
    fn break_silence(&mut self) {
        let says_something = self.refusal.is_some()
            || self.reasoning_content.is_some()
            || self.audio.is_some()
            || !self.thinking_blocks.is_empty()
            || !self.reasoning_items.is_empty()
            || !self.tool_calls.is_empty()
            || !self.images.is_empty()
            || !self.provider_specific_fields.is_empty();
        if self.content.is_none() && !says_something {
            self.content = Some(String::new());
        }
    }

    /// Adds to the reasoning.
    pub fn push_reasoning(&mut self, text: &str) {
        self.reasoning_content
            .get_or_insert_default()
            .push_str(text);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
enum AssistantRole {
    #[default]
    Assistant,
}

/// A call that the model asks for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ToolCall {
    /// Its place.
    pub index: u64,
    /// Its id.
    pub id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    /// What is called.
    pub function: FunctionCall,
    /// What the provider said beside it; to be sent back with the call.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub provider_specific_fields: Map<String, Value>,
}

/// What is called.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FunctionCall {
    /// The name.
    pub name: String,
    /// The arguments: JSON text.
    pub arguments: String,
}

impl ToolCall {
    /// A call of a function.
    pub fn new(index: usize, id: String, name: String, arguments: String) -> Self {
        Self {
            index: u64::try_from(index).unwrap_or(u64::MAX),
            id,
            kind: "function",
            function: FunctionCall { name, arguments },
            provider_specific_fields: Map::new(),
        }
    }
}

/// What an answer took, in tokens.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Usage {
    /// Of the request, those read from and written to a cache included.
    pub prompt_tokens: u64,
    /// Of the answer, reasoning included.
    pub completion_tokens: u64,
    /// Both.
    pub total_tokens: u64,
    /// Of the request, more closely.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tokens_details: Option<PromptTokensDetails>,
    /// Of the answer, more closely.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_tokens_details: Option<CompletionTokensDetails>,
    /// What the provider counts beside it, by its own names.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Usage {
    /// Of both numbers.
    pub fn new(prompt_tokens: u64, completion_tokens: u64) -> Self {
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens.saturating_add(completion_tokens),
            ..Self::default()
        }
    }
}

/// Tokens of a request, more closely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PromptTokensDetails {
    /// Read from a cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_tokens: Option<u64>,
    /// Written to a cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_creation_tokens: Option<u64>,
    /// Of sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_tokens: Option<u64>,
    /// Of text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_tokens: Option<u64>,
    /// Of pictures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_tokens: Option<u64>,
}

/// Tokens of an answer, more closely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct CompletionTokensDetails {
    /// Of reasoning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u64>,
    /// Of text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_tokens: Option<u64>,
    /// Of sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_tokens: Option<u64>,
    /// Of pictures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_tokens: Option<u64>,
}
