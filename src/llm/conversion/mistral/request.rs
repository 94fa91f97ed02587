//! The request: names of parameters, tools, reasoning, the form of the answer.

use serde_json::{Map, Value, json};

use super::messages;
use crate::llm::conversion::stand_in::Choice;
use crate::llm::types::chat::{ChatRequest, Function, ResponseFormat, Tool};
use crate::llm::types::fields::Unusable;
use crate::schema::Target;

/// Parameters of OpenAI's that the API has, by both names. Its own (`safe_prompt`, `prompt_mode`,
/// `guardrails`, …) are unknown to OpenAI and pass.
const SAME: [(&str, &str); 13] = [
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("stop", "stop"),
    ("seed", "random_seed"),
    ("n", "n"),
    ("presence_penalty", "presence_penalty"),
    ("frequency_penalty", "frequency_penalty"),
    ("logprobs", "logprobs"),
    ("top_logprobs", "top_logprobs"),
    ("prediction", "prediction"),
    ("metadata", "metadata"),
    ("prompt_cache_key", "prompt_cache_key"),
    ("reasoning_effort", "reasoning_effort"),
];

pub(super) fn convert(request: &mut ChatRequest) -> Result<Map<String, Value>, Unusable> {
    let mut body = Map::new();
    body.insert("model".to_owned(), Value::from(request.model.clone()));
    let thinks = think(request)?;
    let messages = messages::convert(std::mem::take(&mut request.messages), thinks)?;
    body.insert("messages".to_owned(), Value::Array(messages));
    if request.stream {
        body.insert("stream".to_owned(), Value::Bool(true));
    }
    if let Some(limit) = request.take_max_tokens()? {
        body.insert("max_tokens".to_owned(), Value::from(limit));
    }
    for (name, own) in SAME {
        if let Some(value) = request.parameters.take(name) {
            body.insert(own.to_owned(), value);
        }
    }
    if let Some(tier) = request.parameters.take("service_tier") {
        let is_fast = tier == "auto" || tier == "priority";
        let tier = if is_fast { "auto" } else { "standard_only" };
        body.insert("service_tier".to_owned(), Value::from(tier));
    }
    tools(request, &mut body);
    match request.response_format.take() {
        None => {}
        Some(ResponseFormat::Text) => {
            body.insert("response_format".to_owned(), json!({ "type": "text" }));
        }
        Some(ResponseFormat::JsonObject) => {
            let format = json!({ "type": "json_object" });
            body.insert("response_format".to_owned(), format);
        }
        Some(ResponseFormat::JsonSchema {
            name,
            description,
            schema,
            strict,
        }) => {
            let mut inside = json!({ "name": name, "schema": schema });
            if let Some(description) = description {
                inside["description"] = Value::from(description);
            }
            if let Some(strict) = strict {
                inside["strict"] = Value::Bool(strict);
            }
            let format = json!({ "type": "json_schema", "json_schema": inside });
            body.insert("response_format".to_owned(), format);
        }
    }
    Ok(body)
}

/// Settles how the model is asked to think; gives whether thoughts of earlier turns go back to it.
/// Magistral thinks by its system prompt, which `prompt_mode` switches; newer models take an effort.
fn think(request: &mut ChatRequest) -> Result<bool, Unusable> {
    let parameters = &mut request.parameters;
    let thinking = parameters.object("thinking")?;
    if let Some(mut thinking) = thinking
        && !parameters.has("reasoning_effort")
    {
        let is_off = thinking.text("type")?.as_deref() == Some("disabled");
        let effort = if is_off { "none" } else { "high" };
        parameters.put("reasoning_effort", Value::from(effort));
    }
    let is_magistral = request.model.to_ascii_lowercase().contains("magistral");
    if !is_magistral {
        let effort = parameters.get("reasoning_effort");
        return Ok(effort.is_some_and(|effort| effort != "none"));
    }
    let effort = parameters.text("reasoning_effort")?;
    if let Some(effort) = effort
        && effort != "none"
        && !parameters.has("prompt_mode")
    {
        parameters.put("prompt_mode", Value::from("reasoning"));
    }
    Ok(true)
}

fn tools(request: &mut ChatRequest, body: &mut Map<String, Value>) {
    let choice = Choice::take(request);
    let tools = std::mem::take(&mut request.tools);
    let is_parallel = request.parallel_tool_calls.take();
    let choice = match choice {
        None => None,
        Some(Choice::Auto) => Some(Value::from("auto")),
        Some(Choice::None) => Some(Value::from("none")),
        Some(Choice::Required) => Some(Value::from("any")),
        Some(Choice::Function(name)) => {
            Some(json!({ "type": "function", "function": { "name": name } }))
        }
        Some(Choice::Other(choice)) => Some(choice),
    };
    if tools.is_empty() {
        return;
    }
    let tools = tools.into_iter().map(|tool| match tool {
        Tool::Function(function) => described(*function),
        Tool::Other(members) => Value::Object(members),
    });
    body.insert("tools".to_owned(), tools.collect());
    if let Some(choice) = choice {
        body.insert("tool_choice".to_owned(), choice);
    }
    if let Some(is_parallel) = is_parallel {
        body.insert("parallel_tool_calls".to_owned(), Value::Bool(is_parallel));
    }
}

fn described(mut function: Function) -> Value {
    let schema = function.take_schema(Target::Mistral);
    let mut inside = Map::new();
    inside.insert("name".to_owned(), Value::from(function.name));
    if let Some(description) = function.description {
        inside.insert("description".to_owned(), Value::from(description));
    }
    inside.insert("parameters".to_owned(), Value::Object(schema));
    if let Some(strict) = function.strict {
        inside.insert("strict".to_owned(), Value::Bool(strict));
    }
    json!({ "type": "function", "function": inside })
}
