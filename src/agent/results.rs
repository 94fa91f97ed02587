//! Results of calls as messages to the model, and what did not fit into them. Owns [`Rests`].

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::outcome::Done;
use crate::error::Result;
use crate::json::RawJson;
use crate::llm::catalogue::tokens;
use crate::tools::result::chat::{self, Room};
use crate::tools::result::{Cutting, Origin, Rest, cut};

/// The messages that tell a model what became of its calls: one for each, in the order of the calls,
/// and one behind them for what no tool message takes.
pub(super) fn messages(done: &[Done], room: &Room) -> Result<Vec<RawJson>> {
    let mut messages = Vec::with_capacity(done.len() + 1);
    let mut behind = Vec::new();
    for one in done {
        let result = one.shown.to_value()?;
        let origin = Origin {
            id: &one.call.id,
            name: Some(&one.call.name),
        };
        let message = chat::messages(&result, origin, room);
        messages.push(RawJson::from_serialize(&message.tool)?);
        behind.extend(message.parts);
    }
    if let Some(message) = chat::behind(behind) {
        messages.push(RawJson::from_serialize(&message)?);
    }
    Ok(messages)
}

/// A result as text.
pub(super) fn text(done: &Done) -> String {
    text_of(&String::from_utf8_lossy(done.result.as_bytes()))
}

/// The same of the text of a `CallToolResult`.
pub(super) fn text_of(result: &str) -> String {
    let result: Value = serde_json::from_str(result).unwrap_or_default();
    let message = chat::messages(&result, Origin::default(), &Room::TEXT);
    message.tool["content"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// What is left of results that were too large, until the model reads on.
#[derive(Debug, Default)]
pub(super) struct Rests {
    kept: Mutex<HashMap<String, Value>>,
}

impl Rests {
    /// A result within a budget of tokens; the rest is kept. `read_more` is the tool that reads on.
    pub(super) fn cut(&self, result: &RawJson, budget: u64, read_more: &str) -> Result<RawJson> {
        self.cut_value(result.to_value()?, budget, read_more)
    }

    fn cut_value(&self, result: Value, budget: u64, read_more: &str) -> Result<RawJson> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let id = format!("rest{}", kept.len() + 1);
        let cutting = Cutting {
            budget,
            count: &tokens::of_text,
            read_on: &format!("call {read_more} with {{\"id\": \"{id}\"}} to read on"),
        };
        let (shown, rest) = cut(result, &cutting);
        if let Some(Rest { result, .. }) = rest {
            kept.insert(id, result);
        }
        RawJson::from_serialize(&shown)
    }

    /// The next part of a rest; none where there is none of that id.
    pub(super) fn read_on(
        &self,
        id: &str,
        budget: u64,
        read_more: &str,
    ) -> Result<Option<RawJson>> {
        let rest = {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.get(id).cloned()
        };
        // It stays: the model may ask again.
        rest.map(|rest| self.cut_value(rest, budget, read_more))
            .transpose()
    }
}

/// The tool that reads on, as a function of a chat completion.
pub(super) fn read_more(name: &str) -> Value {
    json!({"type": "function", "function": {
        "name": name,
        "description": "Reads on in the result of a tool that was cut because it is long.",
        "parameters": {
            "type": "object",
            "properties": {"id": {"type": "string", "description": "As it stands where the result was cut"}},
            "required": ["id"],
            "additionalProperties": false,
        },
    }})
}
