//! The request: tools, limits, thinking, the form of the answer.

use serde_json::{Map, Value, json};

use super::messages;
use super::model;
use super::thinking;
use crate::llm::conversion::Notes;
use crate::llm::conversion::stand_in::{
    Choice, JSON_TOOL, JsonAnswer, close_objects, search_location,
};
use crate::llm::types::chat::{ChatRequest, Function, Tool};
use crate::llm::types::fields::Unusable;
use crate::schema::Target;

/// How answers and arguments are held to their schemas.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Structured {
    /// By the model itself, where it can.
    ByModel,
    /// Answers by a tool that has to be called, arguments not at all.
    ByTool,
}

pub(super) fn convert(
    request: &mut ChatRequest,
    notes: &mut Notes,
    structured: Structured,
) -> Result<Map<String, Value>, Unusable> {
    request.check_tool_results()?;
    let mut body = Map::new();
    body.insert("model".to_owned(), Value::from(request.model.clone()));
    let system = messages::system(request.take_system())?;
    let conversation = messages::conversation(std::mem::take(&mut request.messages))?;
    body.insert("messages".to_owned(), Value::Array(conversation));
    if !system.is_empty() {
        body.insert("system".to_owned(), Value::Array(system));
    }
    let limit = request.take_max_tokens()?;
    let said = thinking::take(request)?;
    // The protocol wants a limit.
    let limit = said
        .with_room(limit)
        .or_else(|| model::max_tokens(&request.model));
    let budget = said.budget.unwrap_or_default();
    let limit = limit.unwrap_or_else(|| model::DEFAULT_MAX_TOKENS.saturating_add(budget));
    body.extend(said.members);
    body.insert("max_tokens".to_owned(), Value::from(limit));
    if request.stream {
        body.insert("stream".to_owned(), Value::Bool(true));
    }
    if model::takes_sampling(&request.model) {
        for name in ["temperature", "top_p"] {
            if let Some(value) = request.parameters.take(name) {
                body.insert(name.to_owned(), value);
            }
        }
    }
    let stop = request.take_stop()?;
    if !stop.is_empty() {
        body.insert("stop_sequences".to_owned(), Value::from(stop));
    }
    let user = request.parameters.text("user")?;
    let user = request.parameters.text("safety_identifier")?.or(user);
    if let Some(user) = user {
        body.insert("metadata".to_owned(), json!({ "user_id": user }));
    }
    if let Some(tier) = request.parameters.take("service_tier") {
        // OpenAI's other tiers mean what happens there by itself.
        let tier = if tier == "auto" {
            "auto"
        } else {
            "standard_only"
        };
        body.insert("service_tier".to_owned(), Value::from(tier));
    }
    let mut choice = Choice::take(request).map(chosen);
    let mut tools: Vec<Value> = std::mem::take(&mut request.tools)
        .into_iter()
        .map(|one| tool(one, structured))
        .collect();
    if let Some(options) = request.parameters.take("web_search_options") {
        tools.push(web_search(&options));
    }
    let is_parallel = request.parallel_tool_calls.take();
    answer_in(
        request,
        structured,
        &mut body,
        &mut tools,
        &mut choice,
        notes,
    );
    if !tools.is_empty() {
        body.insert("tools".to_owned(), Value::Array(tools));
        if is_parallel == Some(false) {
            let choice = choice.get_or_insert_with(|| json!({ "type": "auto" }));
            if choice["type"] != "none" {
                choice["disable_parallel_tool_use"] = Value::Bool(true);
            }
        }
        if let Some(choice) = choice {
            body.insert("tool_choice".to_owned(), choice);
        }
    }
    Ok(body)
}

fn tool(tool: Tool, structured: Structured) -> Value {
    match tool {
        Tool::Other(members) => Value::Object(members),
        Tool::Function(function) => described(*function, structured),
    }
}

fn described(mut function: Function, structured: Structured) -> Value {
    let mut schema = function.take_schema(Target::Anthropic);
    let is_strict = function.strict == Some(true) && structured == Structured::ByModel;
    if is_strict {
        close_objects(&mut schema);
    }
    let mut tool = Map::new();
    tool.insert("type".to_owned(), Value::from("custom"));
    tool.insert("name".to_owned(), Value::from(function.name));
    if let Some(description) = function.description {
        tool.insert("description".to_owned(), Value::from(description));
    }
    tool.insert("input_schema".to_owned(), Value::Object(schema));
    if is_strict {
        tool.insert("strict".to_owned(), Value::Bool(true));
    }
    if let Some(marker) = function.cache_control {
        tool.insert("cache_control".to_owned(), marker);
    }
    tool.extend(function.rest);
    Value::Object(tool)
}

/// OpenAI's web search is a tool of the provider's here.
fn web_search(options: &Value) -> Value {
    let mut tool = json!({ "type": "web_search_20250305", "name": "web_search" });
    let uses = match options.get("search_context_size").and_then(Value::as_str) {
        Some("low") => Some(1),
        Some("medium") => Some(5),
        Some("high") => Some(10),
        _ => None,
    };
    if let Some(uses) = uses {
        tool["max_uses"] = Value::from(uses);
    }
    if let Some(place) = search_location(options) {
        tool["user_location"] = place;
    }
    tool
}

fn chosen(choice: Choice) -> Value {
    match choice {
        Choice::Auto => json!({ "type": "auto" }),
        Choice::None => json!({ "type": "none" }),
        Choice::Required => json!({ "type": "any" }),
        Choice::Function(name) => json!({ "type": "tool", "name": name }),
        Choice::Other(choice) => choice,
    }
}

/// JSON answers: by the model itself, or through a tool that it has to call.
fn answer_in(
    request: &mut ChatRequest,
    structured: Structured,
    body: &mut Map<String, Value>,
    tools: &mut Vec<Value>,
    choice: &mut Option<Value>,
    notes: &mut Notes,
) {
    let knows_schemas =
        structured == Structured::ByModel && model::has_structured_outputs(&request.model);
    let (schema, description) = match JsonAnswer::take(request, knows_schemas) {
        None => return,
        Some(JsonAnswer::BySchema { schema, .. }) => {
            let config = body
                .entry("output_config")
                .or_insert_with(|| Value::Object(Map::new()));
            config["format"] = json!({ "type": "json_schema", "schema": schema });
            return;
        }
        Some(JsonAnswer::ByTool {
            schema,
            description,
        }) => (schema, description),
    };
    let is_thinking = body
        .get("thinking")
        .is_some_and(|thinking| thinking["type"] != "disabled");
    tools.push(json!({
        "name": JSON_TOOL,
        "description": description,
        "input_schema": schema,
    }));
    // With other tools the model may need those first; while it thinks it cannot be forced.
    if tools.len() == 1 && !is_thinking {
        *choice = Some(json!({ "type": "tool", "name": JSON_TOOL }));
    }
    notes.json_tool = Some(JSON_TOOL.to_owned());
}
