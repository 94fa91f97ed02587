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
        let limit = said.with_room(limit);
        additional.extend(said.members);
        return Ok(limit);
    }
    // Nova thinks since its second generation.
    let is_nova = family == Family::Nova && parse(&request.model).id.contains("nova-2");
    let member = Family::effort_member(&request.model);
    if !is_nova && member.is_none() {
        return Ok(limit);
    }
    let Some(effort) = request.take_effort()? else {
        return Ok(limit);
    };
    // What other models than OpenAI's know.
    let level = match effort.as_str() {
        "minimal" => "low",
        "xhigh" | "max" => "high",
        other => other,
    };
    match member {
        None => {
            let config = match level {
                "none" => json!({ "type": "disabled" }),
                level => json!({ "type": "enabled", "maxReasoningEffort": level }),
            };
            additional.insert("reasoningConfig".to_owned(), config);
        }
        Some(member) if is_openai(&request.model) => {
            additional.insert(member.to_owned(), Value::from(effort));
        }
        // They do not think unless they are told to.
        Some(_) if level == "none" => {}
        Some(member) => {
            additional.insert(member.to_owned(), Value::from(level));
        }
    }
    Ok(limit)
}

fn is_openai(model: &str) -> bool {
    let name = parse(model);
    name.id.contains("openai.") || name.word == Some("openai")
}

/// Whether the model thinks, so that no tool can be forced.
pub(super) fn is_on(additional: &Map<String, Value>) -> bool {
    ["thinking", "reasoningConfig"].iter().any(|name| {
        additional
            .get(*name)
            .is_some_and(|thinking| thinking["type"] != "disabled")
    })
}
