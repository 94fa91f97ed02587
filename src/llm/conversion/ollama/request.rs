//! The request: options of the model, thinking, tools, the form of the answer.

use serde_json::{Map, Value, json};

use super::messages;
use crate::llm::conversion::stand_in::Choice;
use crate::llm::types::chat::{ChatRequest, Function, ResponseFormat, Tool};
use crate::llm::types::fields::{Fields, Unusable};
use crate::schema::Target;

/// What goes into `options`, by Ollama's names. Everything else that is unknown to OpenAI
/// (`keep_alive`, `think`, `format`, `truncate`, …) stands beside it.
const OPTIONS: [&str; 34] = [
    "embedding_only",
    "f16_kv",
    "frequency_penalty",
    "logits_all",
    "low_vram",
    "main_gpu",
    "min_p",
    "mirostat",
    "mirostat_eta",
    "mirostat_tau",
    "num_batch",
    "num_ctx",
    "num_gpu",
    "num_gqa",
    "num_keep",
    "num_predict",
    "num_thread",
    "numa",
    "penalize_newline",
    "presence_penalty",
    "repeat_last_n",
    "repeat_penalty",
    "rope_frequency_base",
    "rope_frequency_scale",
    "seed",
    "stop",
    "temperature",
    "tfs_z",
    "top_k",
    "top_p",
    "typical_p",
    "use_mlock",
    "use_mmap",
    "vocab_only",
];

pub(super) fn convert(request: &mut ChatRequest) -> Result<Map<String, Value>, Unusable> {
    let mut body = Map::new();
    body.insert("model".to_owned(), Value::from(request.model.clone()));
    let messages = messages::convert(std::mem::take(&mut request.messages))?;
    body.insert("messages".to_owned(), Value::Array(messages));
    // It streams unless it is told not to.
    body.insert("stream".to_owned(), Value::Bool(request.stream));
    let options = options(request)?;
    if !options.is_empty() {
        body.insert("options".to_owned(), Value::Object(options));
    }
    tools(request, &mut body);
    match request.response_format.take() {
        None | Some(ResponseFormat::Text) => {}
        Some(ResponseFormat::JsonObject) => {
            body.insert("format".to_owned(), Value::from("json"));
        }
        Some(ResponseFormat::JsonSchema { schema, .. }) => {
            body.insert("format".to_owned(), Value::Object(schema));
        }
    }
    if let Some(think) = think(request)? {
        body.insert("think".to_owned(), think);
    }
    for name in ["logprobs", "top_logprobs"] {
        if let Some(value) = request.parameters.take(name) {
            body.insert(name.to_owned(), value);
        }
    }
    Ok(body)
}

fn options(request: &mut ChatRequest) -> Result<Map<String, Value>, Unusable> {
    let given = request.parameters.object("options")?;
    let mut options = given.map(Fields::rest).unwrap_or_default();
    let limit = request.take_max_tokens()?;
    let stop = request.take_stop()?;
    for name in OPTIONS {
        if let Some(value) = request.parameters.take(name) {
            options.insert(name.to_owned(), value);
        }
    }
    if let Some(limit) = limit {
        options.insert("num_predict".to_owned(), Value::from(limit));
    }
    if !stop.is_empty() {
        options.insert("stop".to_owned(), Value::from(stop));
    }
    Ok(options)
}

/// Most models think or do not; gpt-oss thinks more or less, and always.
fn think(request: &mut ChatRequest) -> Result<Option<Value>, Unusable> {
    let effort = request.parameters.text("reasoning_effort")?;
    let thinking = request.parameters.object("thinking")?;
    // The API's own parameter is passed on as it is.
    if request.parameters.has("think") {
        return Ok(None);
    }
    if let Some(mut thinking) = thinking {
        let kind = thinking.text("type")?;
        return Ok(Some(Value::Bool(kind.as_deref() != Some("disabled"))));
    }
    let name = request.model.rsplit('/').next().unwrap_or_default();
    let has_levels = name.starts_with("gpt-oss");
    Ok(match effort.as_deref() {
        None => None,
        Some("none") => Some(Value::Bool(false)),
        Some("minimal" | "low") if has_levels => Some(Value::from("low")),
        Some("medium") if has_levels => Some(Value::from("medium")),
        Some("high" | "xhigh" | "max") if has_levels => Some(Value::from("high")),
        Some("minimal" | "low" | "medium" | "high" | "xhigh" | "max") => Some(Value::Bool(true)),
        Some(other) => {
            return Err(Unusable::new(
                "reasoning_effort",
                format!("is {other:?}; it takes none, minimal, low, medium, high or xhigh"),
            ));
        }
    })
}

fn tools(request: &mut ChatRequest, body: &mut Map<String, Value>) {
    let choice = Choice::take(request);
    let mut tools = std::mem::take(&mut request.tools);
    if request.parallel_tool_calls.take() == Some(false) && !tools.is_empty() {
        request
            .parameters
            .put("parallel_tool_calls", Value::Bool(false));
    }
    // The model calls what it wants: a call cannot be forced, only be made impossible.
    let forced = match choice {
        None | Some(Choice::Auto) => None,
        Some(Choice::None) => {
            tools.clear();
            None
        }
        Some(Choice::Required) => Some(Value::from("required")),
        Some(Choice::Function(name)) => {
            tools.retain(|tool| matches!(tool, Tool::Function(known) if known.name == name));
            Some(json!({ "type": "function", "function": { "name": name } }))
        }
        Some(Choice::Other(choice)) => Some(choice),
    };
    if let Some(choice) = forced {
        request.parameters.put("tool_choice", choice);
    }
    if tools.is_empty() {
        return;
    }
    let tools = tools.into_iter().map(|tool| match tool {
        Tool::Function(function) => described(*function),
        Tool::Other(members) => Value::Object(members),
    });
    body.insert("tools".to_owned(), tools.collect());
}

fn described(mut function: Function) -> Value {
    let schema = function.take_schema(Target::Ollama);
    let mut inside = Map::new();
    inside.insert("name".to_owned(), Value::from(function.name));
    if let Some(description) = function.description {
        inside.insert("description".to_owned(), Value::from(description));
    }
    inside.insert("parameters".to_owned(), Value::Object(schema));
    json!({ "type": "function", "function": inside })
}
