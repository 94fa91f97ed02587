//! How much a model is to think: each family has its own word for it.

use serde_json::{Map, Value, json};

use super::model::{Family, parse};
use crate::llm::conversion::anthropic::model as claude;
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
    if family == Family::Claude
        && let Some(thinking) = request.parameters.take("thinking")
    {
        request.parameters.take("reasoning_effort");
        let budget = thinking.get("budget_tokens").and_then(Value::as_u64);
        additional.insert("thinking".to_owned(), thinking);
        return Ok(with_room(limit, budget));
    }
    let Some(effort) = effort(request, family)? else {
        return Ok(limit);
    };
    match family {
        Family::Claude => return think(request, limit, &effort, additional),
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
        Family::Claude | Family::Effort => true,
        // Nova thinks since its second generation.
        Family::Nova => parse(&request.model).id.contains("nova-2"),
        Family::Mistral | Family::Other => false,
    };
    if !has_it {
        return Ok(None);
    }
    match request.parameters.take("reasoning_effort") {
        None => Ok(None),
        Some(Value::String(effort)) => Ok(Some(effort)),
        // The Responses API has an object.
        Some(Value::Object(members)) => Ok(members
            .get("effort")
            .and_then(Value::as_str)
            .map(str::to_owned)),
        Some(other) => Err(Unusable::wrong("reasoning_effort", "a text", &other)),
    }
}

fn think(
    request: &ChatRequest,
    limit: Option<u64>,
    effort: &str,
    additional: &mut Map<String, Value>,
) -> Result<Option<u64>, Unusable> {
    if effort == "none" {
        return Ok(limit);
    }
    if claude::has_adaptive_thinking(&request.model) {
        let effort = match effort {
            "minimal" => "low",
            "xhigh" => "max",
            other => other,
        };
        additional.insert("thinking".to_owned(), json!({ "type": "adaptive" }));
        additional.insert("output_config".to_owned(), json!({ "effort": effort }));
        return Ok(limit);
    }
    let budget = match effort {
        "minimal" | "low" => 1024,
        "medium" => 2048,
        "high" => 4096,
        "xhigh" | "max" => 8192,
        other => {
            return Err(Unusable::new(
                "reasoning_effort",
                format!("is {other:?}; it takes none, minimal, low, medium, high or xhigh"),
            ));
        }
    };
    let thinking = json!({ "type": "enabled", "budget_tokens": budget });
    additional.insert("thinking".to_owned(), thinking);
    Ok(with_room(limit, Some(budget)))
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
