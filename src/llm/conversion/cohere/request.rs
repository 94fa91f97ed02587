//! The request: names of parameters, tools, thinking, the form of the answer.

use serde_json::{Map, Value, json};

use super::messages;
use crate::llm::conversion::stand_in::Choice;
use crate::llm::types::chat::{ChatRequest, Function, ResponseFormat, Tool};
use crate::llm::types::fields::Unusable;
use crate::schema::Target;

/// Parameters that mean the same, by OpenAI's name and by Cohere's. The API's own (`k`, `documents`,
/// `safety_mode`, `citation_options`, `strict_tools`, `priority`) are unknown to OpenAI and pass.
const SAME: [(&str, &str); 5] = [
    ("temperature", "temperature"),
    ("top_p", "p"),
    ("seed", "seed"),
    ("frequency_penalty", "frequency_penalty"),
    ("presence_penalty", "presence_penalty"),
];

pub(super) fn convert(request: &mut ChatRequest) -> Result<Map<String, Value>, Unusable> {
    request.check_tool_results()?;
    let mut body = Map::new();
    body.insert("model".to_owned(), Value::from(request.model.clone()));
    let messages = messages::convert(std::mem::take(&mut request.messages))?;
    body.insert("messages".to_owned(), Value::Array(messages));
    body.insert("stream".to_owned(), Value::Bool(request.stream));
    for (name, own) in SAME {
        if let Some(value) = request.parameters.take(name) {
            body.insert(own.to_owned(), value);
        }
    }
    if let Some(k) = request.parameters.take("top_k") {
        body.insert("k".to_owned(), k);
    }
    if let Some(limit) = request.take_max_tokens()? {
        body.insert("max_tokens".to_owned(), Value::from(limit));
    }
    let stop = request.take_stop()?;
    if !stop.is_empty() {
        body.insert("stop_sequences".to_owned(), Value::from(stop));
    }
    if request.parameters.boolean("logprobs")? == Some(true) {
        body.insert("logprobs".to_owned(), Value::Bool(true));
        // The API gives the probability of what was said alone: others are not to be had, and zero
        // of them is what it does.
        if request.parameters.get("top_logprobs") == Some(&json!(0)) {
            request.parameters.take("top_logprobs");
        }
    }
    think(request, &mut body)?;
    tools(request, &mut body)?;
    format(request, &mut body);
    Ok(body)
}

/// `thinking` in Anthropic's form or in the API's own; `reasoning_effort` as on or off.
fn think(request: &mut ChatRequest, body: &mut Map<String, Value>) -> Result<(), Unusable> {
    let effort = request.parameters.text("reasoning_effort")?;
    let thinking = match request.parameters.take("thinking") {
        Some(Value::Object(mut thinking)) => {
            if let Some(budget) = thinking.shift_remove("budget_tokens") {
                thinking.entry("token_budget").or_insert(budget);
            }
            if thinking.get("type").is_some_and(|kind| kind == "adaptive") {
                thinking.insert("type".to_owned(), Value::from("enabled"));
            }
            Value::Object(thinking)
        }
        Some(other) => return Err(Unusable::wrong("thinking", "an object", &other)),
        None => match effort.as_deref() {
            None => return Ok(()),
            Some("none") => json!({ "type": "disabled" }),
            Some("minimal") => json!({ "type": "enabled", "token_budget": 512 }),
            Some("low") => json!({ "type": "enabled", "token_budget": 1024 }),
            Some("medium") => json!({ "type": "enabled", "token_budget": 2048 }),
            Some("high") => json!({ "type": "enabled", "token_budget": 4096 }),
            // Without a budget it thinks as long as it wants.
            Some("xhigh" | "max") => json!({ "type": "enabled" }),
            Some(other) => {
                return Err(Unusable::new(
                    "reasoning_effort",
                    format!("is {other:?}; it takes none, minimal, low, medium, high or xhigh"),
                ));
            }
        },
    };
    body.insert("thinking".to_owned(), thinking);
    Ok(())
}

fn tools(request: &mut ChatRequest, body: &mut Map<String, Value>) -> Result<(), Unusable> {
    let choice = Choice::take(request);
    let mut tools = std::mem::take(&mut request.tools);
    // The API has no choice of tools by name: those that may not be called are not told.
    let choice = match choice {
        None | Some(Choice::Auto) => None,
        Some(Choice::None) => Some(Value::from("NONE")),
        Some(Choice::Required) => Some(Value::from("REQUIRED")),
        Some(Choice::Function(name)) => {
            tools.retain(|tool| matches!(tool, Tool::Function(known) if known.name == name));
            if tools.is_empty() {
                return Err(Unusable::new(
                    "tool_choice",
                    format!("names the function {name:?}, which is not among the tools"),
                ));
            }
            Some(Value::from("REQUIRED"))
        }
        Some(Choice::Other(choice)) => Some(choice),
    };
    let is_parallel = request.parallel_tool_calls.take();
    if tools.is_empty() {
        return Ok(());
    }
    if is_parallel == Some(false) {
        request
            .parameters
            .put("parallel_tool_calls", Value::Bool(false));
    }
    let is_strict = tools
        .iter()
        .any(|tool| matches!(tool, Tool::Function(function) if function.strict == Some(true)));
    let tools = tools.into_iter().map(|tool| match tool {
        Tool::Function(function) => described(*function),
        Tool::Other(members) => Value::Object(members),
    });
    body.insert("tools".to_owned(), tools.collect());
    // Strictness is of all tools here.
    if is_strict && !request.parameters.has("strict_tools") {
        body.insert("strict_tools".to_owned(), Value::Bool(true));
    }
    if let Some(choice) = choice {
        body.insert("tool_choice".to_owned(), choice);
    }
    Ok(())
}

fn described(mut function: Function) -> Value {
    let schema = function.take_schema(Target::Cohere);
    let mut inside = Map::new();
    inside.insert("name".to_owned(), Value::from(function.name));
    if let Some(description) = function.description {
        inside.insert("description".to_owned(), Value::from(description));
    }
    inside.insert("parameters".to_owned(), Value::Object(schema));
    json!({ "type": "function", "function": inside })
}

fn format(request: &mut ChatRequest, body: &mut Map<String, Value>) {
    let format = match request.response_format.take() {
        None | Some(ResponseFormat::Text) => return,
        Some(ResponseFormat::JsonObject) => json!({ "type": "json_object" }),
        Some(ResponseFormat::JsonSchema { schema, .. }) => {
            json!({ "type": "json_object", "json_schema": schema })
        }
    };
    body.insert("response_format".to_owned(), format);
}
