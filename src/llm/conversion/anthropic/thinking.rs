//! How much Claude is to think, at Anthropic as at those who serve it too.

use serde_json::{Map, Value, json};

use super::model;
use crate::llm::types::chat::ChatRequest;
use crate::llm::types::fields::Unusable;

/// What a request says of thinking.
#[derive(Debug, Default)]
pub(in crate::llm::conversion) struct Thinking {
    /// The members of the request that say it.
    pub(in crate::llm::conversion) members: Map<String, Value>,
    /// How many tokens the thoughts may take, where that is said.
    pub(in crate::llm::conversion) budget: Option<u64>,
}

impl Thinking {
    /// The limit of the answer with room for the thoughts: one that their budget alone fills is
    /// refused.
    pub(in crate::llm::conversion) fn with_room(&self, limit: Option<u64>) -> Option<u64> {
        match (limit, self.budget) {
            (Some(limit), Some(budget)) if limit <= budget => Some(limit.saturating_add(budget)),
            _ => limit,
        }
    }
}

/// Takes `thinking`, or `reasoning_effort` as what the model has for it. A model that does not think
/// leaves both in the request.
pub(in crate::llm::conversion) fn take(request: &mut ChatRequest) -> Result<Thinking, Unusable> {
    let mut said = Thinking::default();
    if !model::has_thinking(&request.model) {
        return Ok(said);
    }
    let effort = request.take_effort()?;
    let thinking = if let Some(thinking) = request.parameters.take("thinking") {
        if thinking["type"] == "enabled" && !model::takes_sampling(&request.model) {
            json!({ "type": "adaptive" })
        } else {
            thinking
        }
    } else {
        let Some(effort) = effort.filter(|effort| effort != "none") else {
            return Ok(said);
        };
        if model::has_adaptive_thinking(&request.model) {
            let effort = match effort.as_str() {
                "minimal" => "low",
                "xhigh" if !model::has_xhigh(&request.model) => "max",
                other => other,
            };
            let config = json!({ "effort": effort });
            said.members.insert("output_config".to_owned(), config);
            json!({ "type": "adaptive" })
        } else {
            json!({ "type": "enabled", "budget_tokens": budget(&effort)? })
        }
    };
    said.budget = thinking.get("budget_tokens").and_then(Value::as_u64);
    said.members.insert("thinking".to_owned(), thinking);
    Ok(said)
}

fn budget(effort: &str) -> Result<u64, Unusable> {
    match effort {
        "minimal" | "low" => Ok(1024),
        "medium" => Ok(2048),
        "high" => Ok(4096),
        "xhigh" | "max" => Ok(8192),
        other => Err(Unusable::new(
            "reasoning_effort",
            format!("is {other:?}; it takes none, minimal, low, medium, high or xhigh"),
        )),
    }
}
