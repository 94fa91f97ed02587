//! The request: its messages, limits, the form of the answer, and what only some models take.

use serde_json::{Map, Value, json};

use super::{messages, model, reasoning, tools};
use crate::llm::conversion::Notes;
use crate::llm::conversion::anthropic::model as claude;
use crate::llm::conversion::stand_in::{JSON_TOOL, JsonAnswer};
use crate::llm::types::chat::ChatRequest;
use crate::llm::types::fields::{Fields, Unusable};

/// The member of the body that takes what only some models know.
pub(super) const ADDITIONAL: &str = "additionalModelRequestFields";

/// Members of the service's own request, which callers give by its names.
const OWN: [&str; 7] = [
    "guardrailConfig",
    "performanceConfig",
    "requestMetadata",
    "promptVariables",
    "additionalModelResponseFieldPaths",
    "serviceTier",
    "outputConfig",
];

pub(super) fn convert(
    request: &mut ChatRequest,
    notes: &mut Notes,
) -> Result<Map<String, Value>, Unusable> {
    request.check_tool_results()?;
    let name = model::parse(&request.model);
    notes.model = name.id.to_owned();
    let mut body = Map::new();
    let history = tools::names_called(&request.messages);
    let system = messages::system(request.take_system())?;
    let family = model::Family::of(&request.model);
    let conversation = messages::conversation(std::mem::take(&mut request.messages), family)?;
    body.insert("messages".to_owned(), Value::Array(conversation));
    if !system.is_empty() {
        body.insert("system".to_owned(), Value::Array(system));
    }
    let mut additional = match request.parameters.take(ADDITIONAL) {
        None => Map::new(),
        Some(Value::Object(members)) => members,
        Some(other) => return Err(Unusable::wrong(ADDITIONAL, "an object", &other)),
    };
    let limit = request.take_max_tokens()?;
    let limit = reasoning::convert(request, limit, &mut additional)?;
    let inference = inference(request, limit, &mut additional)?;
    if !inference.is_empty() {
        body.insert("inferenceConfig".to_owned(), Value::Object(inference));
    }
    for name in OWN {
        if let Some(value) = request.parameters.take(name) {
            body.insert(name.to_owned(), value);
        }
    }
    service_tier(request, &mut body);
    let mut config = tools::Config::new(request, &mut additional)?;
    answer_in(request, &mut body, &additional, &mut config, notes);
    if let Some(config) = config.convert(history) {
        body.insert("toolConfig".to_owned(), config);
    }
    if !additional.is_empty() {
        body.insert(ADDITIONAL.to_owned(), Value::Object(additional));
    }
    Ok(body)
}

/// What most models understand by the same name.
fn inference(
    request: &mut ChatRequest,
    limit: Option<u64>,
    additional: &mut Map<String, Value>,
) -> Result<Map<String, Value>, Unusable> {
    let mut config = Map::new();
    if let Some(limit) = limit {
        config.insert("maxTokens".to_owned(), Value::from(limit));
    }
    if claude::takes_sampling(&request.model) {
        for (name, own) in [("temperature", "temperature"), ("top_p", "topP")] {
            if let Some(value) = request.parameters.take(name) {
                config.insert(own.to_owned(), value);
            }
        }
    }
    let stop = request.take_stop()?;
    if !stop.is_empty() {
        config.insert("stopSequences".to_owned(), Value::from(stop));
    }
    // Nova has its own place for what others take as `top_k`.
    if model::Family::of(&request.model) == model::Family::Nova
        && let Some(top_k) = request.parameters.take("top_k")
    {
        let inside = additional
            .entry("inferenceConfig")
            .or_insert_with(|| json!({}));
        inside["topK"] = top_k;
    }
    Ok(config)
}

/// OpenAI's tiers have the names of the service's, but for the one that means its own choice.
fn service_tier(request: &mut ChatRequest, body: &mut Map<String, Value>) {
    let is_known = request
        .parameters
        .get("service_tier")
        .and_then(Value::as_str)
        .is_some_and(|tier| tier != "auto");
    if is_known && let Some(tier) = request.parameters.take("service_tier") {
        body.entry("serviceTier")
            .or_insert_with(|| json!({ "type": tier }));
    }
}

/// JSON answers: by the service itself, or through a tool that the model has to call.
fn answer_in(
    request: &mut ChatRequest,
    body: &mut Map<String, Value>,
    additional: &Map<String, Value>,
    config: &mut tools::Config,
    notes: &mut Notes,
) {
    let knows_schemas = model::has_structured_outputs(&request.model);
    let (schema, description) = match JsonAnswer::take(request, knows_schemas) {
        None => return,
        Some(JsonAnswer::BySchema {
            name,
            schema,
            description,
        }) => {
            let mut own = Map::new();
            let text = Value::Object(schema).to_string();
            own.insert("schema".to_owned(), Value::from(text));
            own.insert("name".to_owned(), Value::from(name));
            if let Some(description) = description {
                own.insert("description".to_owned(), Value::from(description));
            }
            body.entry("outputConfig").or_insert_with(|| json!({}))["textFormat"] =
                json!({ "type": "json_schema", "structure": { "jsonSchema": own } });
            return;
        }
        Some(JsonAnswer::ByTool {
            schema,
            description,
        }) => (schema, description),
    };
    config.add_json_tool(
        JSON_TOOL,
        &description,
        &schema,
        reasoning::is_on(additional),
    );
    notes.json_tool = Some(JSON_TOOL.to_owned());
}

/// Puts a parameter back, for the one place that refuses what a provider does not take.
pub(super) fn leave(request: &mut ChatRequest, name: &str, value: Value) {
    let taken = std::mem::replace(&mut request.parameters, Fields::root(Map::new()));
    let mut members = taken.rest();
    members.insert(name.to_owned(), value);
    request.parameters = Fields::root(members);
}
