//! A whole answer, a line of a stream (both have one form), and what it took.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::llm::conversion::{Notes, Progress, Translator, Unreadable, finish};
use crate::llm::types::chunk::ChunkWriter;
use crate::llm::types::completion::{
    AssistantMessage, Choice, Completion, FinishReason, ToolCall, Usage,
};

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    message: Option<Said>,
    #[serde(default)]
    done: bool,
    #[serde(default)]
    done_reason: Option<String>,
    #[serde(default)]
    prompt_eval_count: Option<u64>,
    #[serde(default)]
    eval_count: Option<u64>,
    #[serde(default)]
    logprobs: Option<Vec<Value>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<Call>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Said {
    /// What it says that nobody here knows.
    fn fields(&mut self) -> Map<String, Value> {
        let mut fields = std::mem::take(&mut self.rest);
        fields.retain(|name, value| name != "role" && !value.is_null());
        fields
    }
}

#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    id: Option<String>,
    function: Called,
}

#[derive(Deserialize)]
struct Called {
    name: String,
    #[serde(default)]
    arguments: Value,
}

impl Call {
    /// Older servers give no ids; those of one answer differ, and those of two answers too.
    fn id(&self, notes: &Notes, index: impl std::fmt::Display) -> String {
        let own = self.id.clone().filter(|id| !id.is_empty());
        own.unwrap_or_else(|| {
            let answer = notes.id.rsplit('-').next().unwrap_or_default();
            format!("call_{answer}_{index}")
        })
    }

    fn arguments(&self) -> String {
        match &self.function.arguments {
            Value::Null => "{}".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

impl Answer {
    fn reason(&self, has_calls: bool) -> FinishReason {
        match finish::reason(self.done_reason.as_deref().unwrap_or_default()) {
            FinishReason::Stop if has_calls => FinishReason::ToolCalls,
            reason => reason,
        }
    }

    fn usage(&self) -> Usage {
        Usage::new(
            self.prompt_eval_count.unwrap_or_default(),
            self.eval_count.unwrap_or_default(),
        )
    }

    /// Probabilities in OpenAI's form: Ollama's are the same, without its list around them.
    fn logprobs(&mut self) -> Option<Value> {
        let mut tokens = self.logprobs.take().filter(|tokens| !tokens.is_empty())?;
        for token in &mut tokens {
            if let Value::Object(members) = token {
                members.entry("top_logprobs").or_insert_with(|| json!([]));
                members.entry("bytes").or_insert(Value::Null);
            }
        }
        Some(json!({ "content": tokens }))
    }
}

pub(super) fn convert(body: &[u8], notes: &Notes) -> Result<Completion, Unreadable> {
    let mut answer: Answer = serde_json::from_slice(body)?;
    let Some(mut said) = answer.message.take() else {
        return Err(Unreadable::Incomplete("no object \"message\""));
    };
    let mut message = AssistantMessage::default();
    message.provider_specific_fields = said.fields();
    let calls = said.tool_calls.unwrap_or_default();
    message.content = said
        .content
        .filter(|text| !text.is_empty() || calls.is_empty());
    message.reasoning_content = said.thinking.filter(|thoughts| !thoughts.is_empty());
    let calls = calls.iter().enumerate().map(|(index, call)| {
        let name = call.function.name.clone();
        ToolCall::new(index, call.id(notes, index), name, call.arguments())
    });
    message.tool_calls = calls.collect();
    let choice = Choice {
        index: 0,
        finish_reason: answer.reason(!message.tool_calls.is_empty()),
        message,
        logprobs: answer.logprobs(),
    };
    let usage = answer.usage();
    let model = answer.model.unwrap_or_else(|| notes.model.clone());
    let mut completion = Completion::new(notes.id.clone(), notes.now, model, choice);
    completion.usage = Some(usage);
    completion.rest = answer.rest;
    completion.rest.retain(|_, value| !value.is_null());
    Ok(completion)
}

/// The lines of a stream.
#[derive(Debug)]
pub(super) struct Lines {
    writer: ChunkWriter,
    notes: Notes,
    is_named: bool,
    end: Option<(FinishReason, Usage)>,
}

impl Lines {
    pub(super) fn new(notes: &Notes) -> Self {
        Self {
            writer: notes.writer(),
            notes: notes.clone(),
            is_named: false,
            end: None,
        }
    }
}

impl Translator for Lines {
    fn event(&mut self, data: &[u8], chunks: &mut Vec<Bytes>) -> Result<Progress, Unreadable> {
        let mut answer: Answer = serde_json::from_slice(data)?;
        if let Some(model) = &answer.model
            && !std::mem::replace(&mut self.is_named, true)
        {
            self.writer.name(&self.notes.id, self.notes.now, model);
        }
        if let Some(mut said) = answer.message.take() {
            let fields = said.fields();
            if !fields.is_empty() {
                let fields = Value::Object(fields);
                self.writer.member("provider_specific_fields", &fields);
            }
            self.writer
                .reasoning(said.thinking.as_deref().unwrap_or_default());
            let text = said.content.unwrap_or_default();
            match answer.logprobs() {
                Some(logprobs) => self.writer.text_with_logprobs(&text, &logprobs),
                None => self.writer.text(&text),
            }
            for call in said.tool_calls.unwrap_or_default() {
                let id = call.id(&self.notes, self.writer.tool_calls());
                let index = self.writer.begin_tool_call(&id, &call.function.name, None);
                self.writer.arguments(index, &call.arguments());
            }
        }
        chunks.append(&mut self.writer.take());
        if !answer.done {
            return Ok(Progress::More);
        }
        let has_calls = self.writer.tool_calls() > 0;
        self.end = Some((answer.reason(has_calls), answer.usage()));
        self.writer.beside(answer.rest);
        Ok(Progress::Done)
    }

    fn end(&mut self, chunks: &mut Vec<Bytes>) -> bool {
        if let Some((reason, usage)) = self.end.take() {
            self.writer.finish(reason);
            self.writer.usage(&usage);
        }
        chunks.append(&mut self.writer.take());
        self.writer.is_finished()
    }
}
