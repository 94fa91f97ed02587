//! How much a model is to think: each family has its own word for it.

use serde_json::{Map, Value, json};

use super::model::{Family, parse};
use crate::llm::conversion::anthropic::thinking;
use crate::llm::types::chat::ChatRequest;
use crate::llm::types::fields::Unusable;

/// `thinking` as it is for Claude, `reasoning_effort` as what the model has for it. Gives the limit of
/// the answer, which has to leave room for the thoughts. What the model has nothing like stays.
pub(super) fn convert(
    request: &mut ChatRequest,
    limit: Option<u64>,
    additional: &mut Map<String, Value>,
) -> Result<Option<u64>, Unusable> {
    let family = Family::of(&request.model);
    if family == Family::Claude {
        let said = thinking::take(request)?;
        additional.extend(said.members);
        return Ok(with_room(limit, said.budget));
    }
    let Some(effort) = effort(request, family)? else {
        return Ok(limit);
    };
    match family {
        Family::Nova => {
            let config = match effort.as_str() {
                "none" => json!({ "type": "disabled" }),
                "minimal" => json!({ "type": "enabled", "maxReasoningEffort": "low" }),
                "xhigh" | "max" => json!({ "type": "enabled", "maxReasoningEffort": "high" }),
                _ => json!({ "type": "enabled", "maxReasoningEffort": effort }),
            };
            additional.insert("reasoningConfig".to_owned(), config);
        }
        _ => {
            additional.insert("reasoning_effort".to_owned(), Value::from(effort));
        }
    }
    Ok(limit)
}

/// The effort, where the model has something like it.
fn effort(request: &mut ChatRequest, family: Family) -> Result<Option<String>, Unusable> {
    let has_it = match family {
        Family::Effort => true,
        // Nova thinks since its second generation.
        Family::Nova => parse(&request.model).id.contains("nova-2"),
        Family::Claude | Family::Mistral | Family::Other => false,
    };
    if !has_it {
        return Ok(None);
    }
    request.take_effort()
}

/// A limit that the budget of the thoughts alone fills is refused.
fn with_room(limit: Option<u64>, budget: Option<u64>) -> Option<u64> {
    match (limit, budget) {
        (Some(limit), Some(budget)) if limit <= budget => Some(limit.saturating_add(budget)),
        _ => limit,
    }
}

/// Whether the model thinks, so that no tool can be forced.
pub(super) fn is_on(additional: &Map<String, Value>) -> bool {
    ["thinking", "reasoningConfig"].iter().any(|name| {
        additional
            .get(*name)
            .is_some_and(|thinking| thinking["type"] != "disabled")
    })
}
