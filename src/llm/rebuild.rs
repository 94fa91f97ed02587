//! One whole answer out of the chunks of a stream. Owns [`Rebuild`]; pure, uses no other module of
//! the crate but `retry` for ids that a provider left out.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::retry::random_bits;

/// Fields of a delta that come in pieces of text.
const TEXTS: [&str; 4] = ["content", "refusal", "reasoning_content", "reasoning"];
/// Fields that come in pieces of a list.
const LISTS: [&str; 3] = ["annotations", "images", "reasoning_items"];
/// Fields of the answer of which the first that says something counts.
const FIRST: [&str; 3] = ["id", "created", "model"];
/// Members of a chunk that are read, or that say nothing of the whole.
const OWN: [&str; 7] = [
    "id",
    "created",
    "model",
    "object",
    "system_fingerprint",
    "choices",
    "obfuscation",
];
/// What a provider says by its own names in pieces of a list; its other fields are said whole.
const GATHERED: [&str; 4] = [
    "citations",
    "citation_places",
    "content_blocks",
    "output_items",
];

/// An answer as far as its chunks have come. Parallel tool calls are told apart by their index and
/// their id; texts, arguments, refusals, reasoning, audio and log probabilities are put together in
/// order.
#[derive(Debug, Default)]
pub struct Rebuild {
    facts: Map<String, Value>,
    /// Members that are not OpenAI's, and those of which the last counts.
    others: Map<String, Value>,
    choices: BTreeMap<u64, Choice>,
}

impl Rebuild {
    /// Takes the next chunk, an object of OpenAI's `chat.completion.chunk`.
    pub fn add(&mut self, chunk: Value) {
        let Value::Object(mut chunk) = chunk else {
            return;
        };
        if let Some(Value::Array(choices)) = chunk.remove("choices") {
            for choice in choices {
                let Value::Object(choice) = choice else {
                    continue;
                };
                let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
                self.choices.entry(index).or_default().add(choice);
            }
        }
        for (name, value) in chunk {
            let is_own = OWN.contains(&name.as_str());
            if FIRST.contains(&name.as_str()) {
                if says_something(&value) && !self.facts.contains_key(&name) {
                    self.facts.insert(name, value);
                }
            } else if name == "system_fingerprint" {
                if says_something(&value) {
                    self.facts.insert(name, value);
                }
            } else if !is_own && !value.is_null() {
                self.others.insert(name, value);
            }
        }
    }

    /// The answer, an object of OpenAI's `chat.completion`. `usage` is what the provider reported, and
    /// is left out when it reported none; a choice without a finish reason has `stop`.
    pub fn finish(mut self) -> Value {
        let mut take = |name: &str| self.facts.remove(name);
        let mut answer = Map::new();
        answer.insert("id".into(), take("id").unwrap_or_else(|| "".into()));
        for name in ["created", "model"] {
            answer.insert(name.into(), take(name).unwrap_or_default());
        }
        answer.insert("object".into(), "chat.completion".into());
        let fingerprint = take("system_fingerprint").unwrap_or_default();
        answer.insert("system_fingerprint".into(), fingerprint);
        let choices = std::mem::take(&mut self.choices);
        let choices = choices
            .into_iter()
            .map(|(index, choice)| choice.finished(index));
        answer.insert("choices".into(), choices.collect());
        answer.extend(self.others);
        Value::Object(answer)
    }
}

/// Whether a field counts: null, false, zero and what is empty do not.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(object) => !object.is_empty(),
    }
}

/// One choice.
#[derive(Debug, Default)]
struct Choice {
    role: Option<Value>,
    finish_reason: Option<Value>,
    texts: Map<String, Value>,
    lists: Map<String, Value>,
    calls: Vec<Map<String, Value>>,
    /// The place in `calls` of the call that a fragment with this index belongs to.
    places: HashMap<u64, usize>,
    function_call: Option<Map<String, Value>>,
    audio: Option<Map<String, Value>>,
    /// `provider_specific_fields`.
    fields: Map<String, Value>,
    thinking: Vec<Value>,
    logprobs: Option<Map<String, Value>>,
    others: Map<String, Value>,
}

impl Choice {
    fn add(&mut self, mut choice: Map<String, Value>) {
        if let Some(reason) = choice.remove("finish_reason").filter(says_something) {
            self.finish_reason = Some(reason);
        }
        if let Some(Value::Object(logprobs)) = choice.remove("logprobs") {
            let known = self.logprobs.get_or_insert_default();
            for (name, value) in logprobs {
                append(known, name, value);
            }
        }
        if let Some(Value::Object(delta)) = choice.remove("delta") {
            for (name, value) in delta {
                if !value.is_null() {
                    self.add_field(name, value);
                }
            }
        }
    }

    fn add_field(&mut self, name: String, value: Value) {
        match (name.as_str(), value) {
            (text, Value::String(piece)) if TEXTS.contains(&text) => {
                extend(&mut self.texts, name, &piece);
            }
            (list, Value::Array(pieces)) if LISTS.contains(&list) => {
                append(&mut self.lists, name, Value::Array(pieces));
            }
            ("role", role) if says_something(&role) => self.role = Some(role),
            ("role", _) => {}
            ("tool_calls", Value::Array(fragments)) => {
                for fragment in fragments {
                    if let Value::Object(fragment) = fragment {
                        self.add_call(fragment);
                    }
                }
            }
            ("function_call", Value::Object(piece)) => {
                join(
                    self.function_call.get_or_insert_default(),
                    piece,
                    &["arguments"],
                );
            }
            ("audio", Value::Object(piece)) => {
                join_sound(self.audio.get_or_insert_default(), piece);
            }
            ("provider_specific_fields", Value::Object(fields)) => self.add_own_fields(fields),
            ("thinking_blocks", Value::Array(blocks)) => {
                for block in blocks {
                    self.add_thinking(block);
                }
            }
            (_, value) => {
                self.others.insert(name, value);
            }
        }
    }

    fn add_call(&mut self, mut fragment: Map<String, Value>) {
        let index = fragment.remove("index").and_then(|index| index.as_u64());
        let id = fragment.remove("id").filter(says_something);
        let mut place = match (index, &id) {
            (Some(index), _) => self.places.get(&index).copied(),
            (None, Some(id)) => self
                .calls
                .iter()
                .position(|call| call.get("id") == Some(id)),
            (None, None) => self.calls.len().checked_sub(1),
        };
        if let Some(known) = place {
            // Some servers number every parallel call 0: another id with a name is another call.
            let known = self.calls[known].get("id").filter(|id| says_something(id));
            let begins = ["function", "custom"].iter().any(|kind| {
                fragment
                    .get(*kind)
                    .and_then(|what| what.get("name"))
                    .is_some_and(says_something)
            });
            if begins && id.is_some() && known.is_some() && known != id.as_ref() {
                place = None;
            }
        }
        let place = place.unwrap_or_else(|| {
            let mut call = Map::new();
            call.insert("id".into(), Value::Null);
            call.insert("type".into(), Value::Null);
            self.calls.push(call);
            let place = self.calls.len() - 1;
            if let Some(index) = index {
                self.places.insert(index, place);
            }
            place
        });
        let call = &mut self.calls[place];
        let kind = fragment.remove("type").filter(says_something);
        for (name, value) in [("id", id), ("type", kind)] {
            if let Some(value) = value
                && call.get(name).is_none_or(Value::is_null)
            {
                call.insert(name.into(), value);
            }
        }
        for (kind, text) in [("function", "arguments"), ("custom", "input")] {
            let Some(Value::Object(piece)) = fragment.remove(kind) else {
                continue;
            };
            if piece.is_empty() {
                continue;
            }
            let known = call.entry(kind).or_insert_with(|| json!({}));
            if let Value::Object(known) = known {
                join(known, piece, &[text]);
            }
        }
        for (name, value) in fragment {
            if !value.is_null() {
                call.insert(name, value);
            }
        }
    }

    fn add_own_fields(&mut self, fields: Map<String, Value>) {
        for (name, value) in fields {
            let is_gathered = GATHERED.contains(&name.as_str());
            match (self.fields.get_mut(&name), value) {
                (Some(Value::Array(known)), Value::Array(more)) if is_gathered => {
                    known.extend(more);
                }
                (_, value) => {
                    self.fields.insert(name, value);
                }
            }
        }
    }

    fn add_thinking(&mut self, block: Value) {
        let is_thinking = |block: &Value| block["type"] == "thinking";
        match (self.thinking.last_mut(), block) {
            (Some(Value::Object(last)), Value::Object(block))
                if last.get("type").is_some_and(|kind| kind == "thinking")
                    && block.get("type").is_some_and(|kind| kind == "thinking")
                    && !last.get("signature").is_some_and(says_something) =>
            {
                join(last, block, &["thinking", "signature"]);
            }
            (_, block) if block.is_object() || is_thinking(&block) => self.thinking.push(block),
            _ => {}
        }
    }

    fn finished(mut self, index: u64) -> Value {
        // Beside what is said otherwise, an empty text says nothing.
        let is_said = !self.calls.is_empty()
            || self
                .function_call
                .as_ref()
                .is_some_and(|call| !call.is_empty())
            || self.texts.get("refusal").is_some_and(says_something)
            || self.audio.as_ref().is_some_and(|audio| !audio.is_empty());
        let content = self.texts.remove("content");
        let content = content.filter(|text| says_something(text) || !is_said);
        let calls: Vec<Value> = self.calls.into_iter().map(whole_call).collect();
        let mut message = Map::new();
        message.insert("content".into(), content.unwrap_or_default());
        message.insert(
            "role".into(),
            self.role.unwrap_or_else(|| "assistant".into()),
        );
        let calls = if calls.is_empty() {
            Value::Null
        } else {
            Value::Array(calls)
        };
        message.insert("tool_calls".into(), calls);
        let function_call = self.function_call.map(Value::Object);
        message.insert("function_call".into(), function_call.unwrap_or_default());
        for fields in [self.texts, self.lists, self.others] {
            message.extend(fields);
        }
        if self.fields.contains_key("citations") {
            // The last of those that were told one by one.
            self.fields.remove("citation");
        }
        if !self.fields.is_empty() {
            message.insert(
                "provider_specific_fields".into(),
                Value::Object(self.fields),
            );
        }
        if let Some(audio) = self.audio {
            message.insert("audio".into(), Value::Object(audio));
        }
        if !self.thinking.is_empty() {
            message.insert("thinking_blocks".into(), Value::Array(self.thinking));
        }
        let mut choice = Map::new();
        let reason = self.finish_reason.unwrap_or_else(|| "stop".into());
        choice.insert("finish_reason".into(), reason);
        choice.insert("index".into(), index.into());
        choice.insert("message".into(), Value::Object(message));
        if let Some(logprobs) = self.logprobs {
            choice.insert("logprobs".into(), Value::Object(logprobs));
        }
        Value::Object(choice)
    }
}

fn extend(texts: &mut Map<String, Value>, name: String, piece: &str) {
    match texts.get_mut(&name) {
        Some(Value::String(text)) => text.push_str(piece),
        _ => {
            texts.insert(name, piece.into());
        }
    }
}

fn append(lists: &mut Map<String, Value>, name: String, value: Value) {
    let Value::Array(pieces) = value else { return };
    match lists.get_mut(&name) {
        Some(Value::Array(list)) => list.extend(pieces),
        _ => {
            lists.insert(name, Value::Array(pieces));
        }
    }
}

/// Adds a piece: the texts are appended, all else is taken when it is said first.
fn join(known: &mut Map<String, Value>, piece: Map<String, Value>, texts: &[&str]) {
    for (name, value) in piece {
        match value {
            Value::String(text) if texts.contains(&name.as_str()) => extend(known, name, &text),
            Value::Null => {}
            value => {
                if !known.get(&name).is_some_and(says_something) {
                    known.insert(name, value);
                }
            }
        }
    }
}

/// Adds a piece of sound. Base64 that ends with its padding cannot be appended to as it is.
fn join_sound(known: &mut Map<String, Value>, mut piece: Map<String, Value>) {
    if let Some(Value::String(data)) = known.get_mut("data")
        && data.ends_with('=')
        && let Some(Value::String(more)) = piece.get("data")
        && let (Ok(mut bytes), Ok(rest)) = (STANDARD.decode(&*data), STANDARD.decode(more))
    {
        bytes.extend(rest);
        *data = STANDARD.encode(bytes);
        piece.remove("data");
    }
    join(known, piece, &["data", "transcript"]);
}

fn whole_call(mut call: Map<String, Value>) -> Value {
    if !call.get("id").is_some_and(says_something) {
        let id = format!("call_{:016x}{:08x}", random_bits(), random_bits() >> 32);
        call.insert("id".into(), id.into());
    }
    if !call.get("type").is_some_and(says_something) {
        let kind = if call.contains_key("custom") {
            "custom"
        } else {
            "function"
        };
        call.insert("type".into(), kind.into());
    }
    if let Some(Value::Object(function)) = call.get_mut("function")
        && !function.contains_key("arguments")
    {
        function.insert("arguments".into(), "".into());
    }
    Value::Object(call)
}
