//! How a run ended, and what it needs to go on later. Owns [`Outcome`], [`Stop`] and [`Call`].

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::model::Origin;
use crate::error::Error;
use crate::json::RawJson;

/// A call of a tool, as a model made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The model's id of it.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Whose it is, if that has a name.
    #[serde(default)]
    pub server: Option<String>,
    /// The arguments, as the model wrote them.
    pub arguments: String,
}

/// A call that was carried out, or was not and why.
#[derive(Debug, Clone)]
pub struct Done {
    /// The call.
    pub call: Call,
    /// What it was made with, if that is another text than the model's.
    pub changed: Option<RawJson>,
    /// MCP's `CallToolResult`.
    pub result: RawJson,
    /// As much of it as the model is shown.
    pub(super) shown: RawJson,
    /// Whether it failed.
    pub is_error: bool,
    /// How long it took.
    pub took: Duration,
}

/// Why a run ended.
#[derive(Debug)]
pub enum Stop {
    /// The model answered without a call.
    Finished,
    /// Decisions about calls are missing.
    Approval,
    /// The model called functions that are the caller's to carry out.
    FunctionCalls,
    /// The model still called tools when the last round was over.
    RoundLimit,
    /// It failed.
    Failed(Error),
}

impl Stop {
    /// The word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Approval => "approval",
            Self::FunctionCalls => "function_calls",
            Self::RoundLimit => "round_limit",
            Self::Failed(_) => "failed",
        }
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// Why.
    pub stop: Stop,
    /// The last answer of the model; none before the first.
    pub response: Option<RawJson>,
    /// Where that comes from.
    pub origin: Origin,
    /// The whole conversation, each message as JSON: what the caller gave, then what was said since.
    pub messages: Vec<RawJson>,
    /// What all rounds took together.
    pub usage: Map<String, Value>,
    /// How often the model was asked.
    pub rounds: u32,
    /// The tools of servers that were offered, as in OpenAI's `tools`.
    pub offered: RawJson,
    /// The calls that are over, in the order in which the model made them.
    pub calls: Vec<Done>,
    /// The calls that wait for a decision, or that are the caller's.
    pub pending: Vec<Call>,
}

impl Outcome {
    /// All of it but the error, as JSON. What a model or a server wrote stays as it is written.
    pub fn to_json(&self) -> Vec<u8> {
        let mut text = Vec::from(*b"{\"stop\":");
        text.extend_from_slice(json!(self.stop.name()).to_string().as_bytes());
        text.extend_from_slice(b",\"response\":");
        let response = self.response.as_ref();
        text.extend_from_slice(response.map_or(b"null", RawJson::as_bytes));
        text.extend_from_slice(b",\"messages\":");
        write_list(&self.messages, &mut text, |message, text| {
            text.extend_from_slice(message.as_bytes());
        });
        text.extend_from_slice(b",\"usage\":");
        text.extend_from_slice(json!(self.usage).to_string().as_bytes());
        text.extend_from_slice(b",\"rounds\":");
        text.extend_from_slice(self.rounds.to_string().as_bytes());
        text.extend_from_slice(b",\"calls\":");
        write_list(&self.calls, &mut text, Done::write);
        text.extend_from_slice(b",\"pending\":");
        text.extend_from_slice(json!(self.pending).to_string().as_bytes());
        text.push(b'}');
        text
    }
}

impl Done {
    fn write(&self, text: &mut Vec<u8>) {
        let call = json!(self.call).to_string();
        // Its last brace comes later.
        text.extend_from_slice(&call.as_bytes()[..call.len() - 1]);
        if let Some(changed) = &self.changed {
            text.extend_from_slice(b",\"changed_arguments\":");
            text.extend_from_slice(changed.as_bytes());
        }
        let facts = format!(
            ",\"is_error\":{},\"seconds\":{},\"result\":",
            self.is_error,
            json!(self.took.as_secs_f64())
        );
        text.extend_from_slice(facts.as_bytes());
        text.extend_from_slice(self.result.as_bytes());
        text.push(b'}');
    }
}

fn write_list<T>(list: &[T], text: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    text.push(b'[');
    for (place, one) in list.iter().enumerate() {
        if place > 0 {
            text.push(b',');
        }
        write(one, text);
    }
    text.push(b']');
}

/// Adds up what rounds took: numbers by their names, also those of objects inside.
pub(super) fn add_usage(sum: &mut Map<String, Value>, usage: &Map<String, Value>) {
    for (name, value) in usage {
        match (sum.get_mut(name), value) {
            (Some(Value::Object(known)), Value::Object(more)) => add_usage(known, more),
            (Some(Value::Number(known)), Value::Number(more)) => {
                if let (Some(known), Some(more)) = (known.as_u64(), more.as_u64()) {
                    sum.insert(name.clone(), known.saturating_add(more).into());
                } else if let (Some(known), Some(more)) = (known.as_f64(), more.as_f64()) {
                    sum.insert(name.clone(), (known + more).into());
                }
            }
            (None | Some(Value::Null), value) => {
                sum.insert(name.clone(), value.clone());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_added_up_by_name() {
        let mut sum = Map::new();
        for usage in [
            json!({"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 1}, "cost": 0.5}),
            json!({"prompt_tokens": 4, "prompt_tokens_details": {"cached_tokens": null, "audio_tokens": 2}}),
            json!({"prompt_tokens": 1, "prompt_tokens_details": null, "cost": 0.25, "tier": "a"}),
        ] {
            add_usage(&mut sum, usage.as_object().unwrap());
        }
        let wanted = json!({
            "prompt_tokens": 8,
            "prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": 2},
            "cost": 0.75,
            "tier": "a",
        });
        assert_eq!(Value::Object(sum), wanted);
    }
}
