//! The request: tools, limits, thinking, the form of the answer.

use serde_json::{Map, Value, json};

use super::messages;
use super::model;
use super::thinking;
use crate::llm::conversion::Notes;
use crate::llm::types::chat::{ChatRequest, Function, ResponseFormat, Tool, ToolChoice};
use crate::llm::types::fields::Unusable;
use crate::schema::Target;

/// The tool that stands for an answer in JSON.
const JSON_TOOL: &str = "json_tool_call";

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
    let limit = with_room(limit, &request.model, said.budget);
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
    let mut tools: Vec<Value> = std::mem::take(&mut request.tools)
        .into_iter()
        .map(|one| tool(one, structured))
        .collect();
    if let Some(options) = request.parameters.take("web_search_options") {
        tools.push(web_search(&options));
    }
    let is_parallel = request.parallel_tool_calls.take();
    let mut choice = choose(request.tool_choice.take(), &mut tools);
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

/// The API refuses a limit that the budget of the thoughts alone fills, and one that is greater than
/// what the model can say.
fn with_room(limit: Option<u64>, model: &str, budget: Option<u64>) -> u64 {
    match (limit, budget) {
        (Some(limit), Some(budget)) if limit <= budget => limit.saturating_add(budget),
        (Some(limit), _) => limit,
        (None, budget) => model::max_tokens(model).unwrap_or_else(|| {
            model::DEFAULT_MAX_TOKENS.saturating_add(budget.unwrap_or_default())
        }),
    }
}

fn tool(tool: Tool, structured: Structured) -> Value {
    match tool {
        Tool::Other(members) => Value::Object(members),
        Tool::Function(function) => described(*function, structured),
    }
}

fn described(mut function: Function, structured: Structured) -> Value {
    let schema = function.take_schema(Target::Anthropic);
    let mut tool = Map::new();
    tool.insert("type".to_owned(), Value::from("custom"));
    tool.insert("name".to_owned(), Value::from(function.name));
    if let Some(description) = function.description {
        tool.insert("description".to_owned(), Value::from(description));
    }
    tool.insert("input_schema".to_owned(), Value::Object(schema));
    if function.strict == Some(true) && structured == Structured::ByModel {
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
    if let Some(Value::Object(location)) = options.get("user_location") {
        let mut place = match location.get("approximate") {
            Some(Value::Object(inside)) => inside.clone(),
            _ => location.clone(),
        };
        place.insert("type".to_owned(), Value::from("approximate"));
        tool["user_location"] = Value::Object(place);
    }
    tool
}

fn choose(choice: Option<ToolChoice>, tools: &mut Vec<Value>) -> Option<Value> {
    match choice? {
        ToolChoice::Auto => Some(json!({ "type": "auto" })),
        ToolChoice::None => Some(json!({ "type": "none" })),
        ToolChoice::Required => Some(json!({ "type": "any" })),
        ToolChoice::Function(name) => Some(json!({ "type": "tool", "name": name })),
        ToolChoice::Allowed { names, is_required } => {
            tools.retain(|tool| {
                tool["name"]
                    .as_str()
                    .is_none_or(|name| names.iter().any(|allowed| allowed == name))
            });
            let kind = if is_required { "any" } else { "auto" };
            Some(json!({ "type": kind }))
        }
        ToolChoice::Other(choice) => Some(choice),
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
    let (schema, description) = match request.response_format.take() {
        None | Some(ResponseFormat::Text) => return,
        Some(ResponseFormat::JsonObject) => (
            // Some object: no schema of the API's says that, so the tool does.
            json!({ "type": "object", "additionalProperties": true }),
            None,
        ),
        Some(ResponseFormat::JsonSchema {
            schema,
            description,
            ..
        }) => {
            if structured == Structured::ByModel && model::has_structured_outputs(&request.model) {
                let format = json!({ "type": "json_schema", "schema": schema });
                let config = body
                    .entry("output_config")
                    .or_insert_with(|| Value::Object(Map::new()));
                config["format"] = format;
                return;
            }
            (Value::Object(schema), description)
        }
    };
    let is_thinking = body
        .get("thinking")
        .is_some_and(|thinking| thinking["type"] != "disabled");
    tools.push(json!({
        "name": JSON_TOOL,
        "description": description.unwrap_or_else(|| "Gives the answer, as JSON.".to_owned()),
        "input_schema": schema,
    }));
    // With other tools the model may need those first; while it thinks it cannot be forced.
    if tools.len() == 1 && !is_thinking {
        *choice = Some(json!({ "type": "tool", "name": JSON_TOOL }));
    }
    notes.json_tool = Some(JSON_TOOL.to_owned());
}
