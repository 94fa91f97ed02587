//! The request: tools, limits, reasoning, the form of the answer.

use serde_json::{Map, Value, json};

use super::{RESPONSES_PREFIX, items};
use crate::llm::conversion::Notes;
use crate::llm::conversion::reasoning::Family;
use crate::llm::conversion::stand_in::search_location;
use crate::llm::types::chat::{ChatRequest, Function, ResponseFormat, Tool, ToolChoice};
use crate::llm::types::fields::Unusable;
use crate::schema::Target;

/// Parameters that have the same name and meaning.
const SAME: &[&str] = &[
    "metadata",
    "store",
    "user",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
];
/// The same, of models that do not reason.
const SAMPLING: &[&str] = &["temperature", "top_p", "top_logprobs"];

pub(super) fn convert(
    request: &mut ChatRequest,
    notes: &mut Notes,
) -> Result<Map<String, Value>, Unusable> {
    let mut body = Map::new();
    let name = request.model.strip_prefix(RESPONSES_PREFIX);
    let name = name.unwrap_or(&request.model).to_owned();
    notes.model.clone_from(&name);
    let effort = reasoning(request)?;
    body.insert("model".to_owned(), Value::from(name.as_str()));
    let mut messages = std::mem::take(&mut request.messages);
    if let Some(text) = items::instructions(&mut messages) {
        body.insert("instructions".to_owned(), Value::from(text));
    }
    let items = items::convert(messages)?;
    body.insert("input".to_owned(), Value::Array(items));
    if request.stream {
        body.insert("stream".to_owned(), Value::Bool(true));
    }
    if let Some(limit) = request.take_max_tokens()? {
        body.insert("max_output_tokens".to_owned(), Value::from(limit));
    }
    take(request, SAME, &mut body);
    let mut asked = Map::new();
    if let Some(effort) = effort.as_ref().and_then(|all| all.get("effort")) {
        asked.insert("reasoning_effort".to_owned(), effort.clone());
    }
    let family = Family::of("openai", &name);
    let refused = family.map_or(&[][..], |family| family.refused(&asked));
    let samples = !refused.contains(&"temperature");
    if samples {
        take(request, SAMPLING, &mut body);
    }
    include(request, samples, &mut body)?;
    if let Some(reasoning) = effort {
        body.insert("reasoning".to_owned(), Value::Object(reasoning));
    }
    tools(request, &mut body);
    text(request, &mut body)?;
    Ok(body)
}

fn take(request: &mut ChatRequest, names: &[&str], body: &mut Map<String, Value>) {
    for name in names {
        if let Some(value) = request.parameters.take(name) {
            body.insert((*name).to_owned(), value);
        }
    }
}

/// `reasoning_effort`, a text or an object as this API has it, and `reasoning` itself.
fn reasoning(request: &mut ChatRequest) -> Result<Option<Map<String, Value>>, Unusable> {
    let mut members = match request.parameters.take("reasoning") {
        None => Map::new(),
        Some(Value::Object(members)) => members,
        Some(other) => return Err(Unusable::wrong("reasoning", "an object", &other)),
    };
    match request.parameters.take("reasoning_effort") {
        None => {}
        Some(effort @ Value::String(_)) => {
            members.insert("effort".to_owned(), effort);
        }
        Some(Value::Object(more)) => members.extend(more),
        Some(other) => {
            return Err(Unusable::wrong("reasoning_effort", "a text", &other));
        }
    }
    Ok((!members.is_empty()).then_some(members))
}

/// What an answer holds only when it is asked for.
fn include(
    request: &mut ChatRequest,
    samples: bool,
    body: &mut Map<String, Value>,
) -> Result<(), Unusable> {
    let mut include = request.parameters.list("include")?;
    let mut add = |name: &str| {
        if !include.iter().any(|one| one == name) {
            include.push(Value::from(name));
        }
    };
    if samples && request.parameters.get("logprobs") == Some(&Value::Bool(true)) {
        request.parameters.take("logprobs");
        add("message.output_text.logprobs");
    }
    // What is not kept there can go on only with what is sent back.
    if body.get("store") == Some(&Value::Bool(false)) {
        add("reasoning.encrypted_content");
    }
    if !include.is_empty() {
        body.insert("include".to_owned(), Value::Array(include));
    }
    Ok(())
}

fn tools(request: &mut ChatRequest, body: &mut Map<String, Value>) {
    let mut tools: Vec<Value> = std::mem::take(&mut request.tools)
        .into_iter()
        .map(|tool| match tool {
            Tool::Function(function) => flat(*function),
            Tool::Other(members) => Value::Object(unwrapped(members)),
        })
        .collect();
    if let Some(options) = request.parameters.take("web_search_options") {
        tools.push(web_search(&options));
    }
    if tools.is_empty() {
        request.tool_choice = None;
        request.parallel_tool_calls = None;
        return;
    }
    body.insert("tools".to_owned(), Value::Array(tools));
    if let Some(choice) = request.tool_choice.take() {
        body.insert("tool_choice".to_owned(), choose(choice));
    }
    if let Some(is_parallel) = request.parallel_tool_calls.take() {
        body.insert("parallel_tool_calls".to_owned(), Value::Bool(is_parallel));
    }
}

fn flat(mut function: Function) -> Value {
    let schema = function.take_schema(Target::OpenAiResponses);
    let mut tool = Map::new();
    tool.insert("type".to_owned(), Value::from("function"));
    tool.insert("name".to_owned(), Value::from(function.name));
    if let Some(description) = function.description {
        tool.insert("description".to_owned(), Value::from(description));
    }
    tool.insert("parameters".to_owned(), Value::Object(schema));
    // Chat completions are not strict unless they say so; this API is.
    let is_strict = function.strict.unwrap_or_default();
    tool.insert("strict".to_owned(), Value::Bool(is_strict));
    tool.extend(function.rest);
    Value::Object(tool)
}

/// `{"type": "custom", "custom": {…}}` without the object within.
fn unwrapped(mut members: Map<String, Value>) -> Map<String, Value> {
    let kind = members.get("type").and_then(Value::as_str);
    let kind = kind.unwrap_or_default().to_owned();
    if let Some(Value::Object(inside)) = members.get_mut(&kind) {
        let inside = std::mem::take(inside);
        members.shift_remove(&kind);
        members.extend(inside);
    }
    members
}

fn web_search(options: &Value) -> Value {
    let mut tool = json!({ "type": "web_search" });
    if let Some(size) = options.get("search_context_size") {
        tool["search_context_size"] = size.clone();
    }
    if let Some(place) = search_location(options) {
        tool["user_location"] = place;
    }
    tool
}

fn choose(choice: ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => Value::from("auto"),
        ToolChoice::None => Value::from("none"),
        ToolChoice::Required => Value::from("required"),
        ToolChoice::Function(name) => json!({ "type": "function", "name": name }),
        ToolChoice::Allowed { names, is_required } => {
            let tools = names
                .into_iter()
                .map(|name| json!({ "type": "function", "name": name }));
            json!({
                "type": "allowed_tools",
                "mode": if is_required { "required" } else { "auto" },
                "tools": tools.collect::<Vec<_>>(),
            })
        }
        ToolChoice::Other(Value::Object(members)) => Value::Object(unwrapped(members)),
        ToolChoice::Other(choice) => choice,
    }
}

/// The form of the answer, and how much it says.
fn text(request: &mut ChatRequest, body: &mut Map<String, Value>) -> Result<(), Unusable> {
    let mut text = match request.parameters.take("text") {
        None => Map::new(),
        Some(Value::Object(members)) => members,
        Some(other) => return Err(Unusable::wrong("text", "an object", &other)),
    };
    let format = request.response_format.take().map(|format| match format {
        ResponseFormat::Text => json!({ "type": "text" }),
        ResponseFormat::JsonObject => json!({ "type": "json_object" }),
        ResponseFormat::JsonSchema {
            name,
            description,
            schema,
            strict,
        } => {
            let mut format = json!({ "type": "json_schema", "name": name, "schema": schema });
            if let Some(description) = description {
                format["description"] = Value::from(description);
            }
            // Strict unless it says otherwise, where chat completions are the other way round.
            format["strict"] = Value::Bool(strict.unwrap_or_default());
            format
        }
    });
    if let Some(format) = format {
        text.insert("format".to_owned(), format);
    }
    if let Some(verbosity) = request.parameters.take("verbosity") {
        text.insert("verbosity".to_owned(), verbosity);
    }
    if !text.is_empty() {
        body.insert("text".to_owned(), Value::Object(text));
    }
    Ok(())
}
