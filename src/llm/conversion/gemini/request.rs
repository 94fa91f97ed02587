//! The request: tools, how the answer is made, the form of the answer.

use serde_json::{Map, Value, json};

use super::contents;
use super::model;
use crate::llm::types::chat::{ChatRequest, Function, ResponseFormat, Tool, ToolChoice};
use crate::llm::types::content::PartKind;
use crate::llm::types::fields::Unusable;
use crate::schema::Target;

/// Parameters that go into `generationConfig` by another name.
const RENAMED: [(&str, &str); 6] = [
    ("temperature", "temperature"),
    ("top_p", "topP"),
    ("top_k", "topK"),
    ("seed", "seed"),
    ("presence_penalty", "presencePenalty"),
    ("frequency_penalty", "frequencyPenalty"),
];
/// Members of the body that LiteLLM's users write in snake case.
const SPELLED: [(&str, &str); 2] = [
    ("safety_settings", "safetySettings"),
    ("cached_content", "cachedContent"),
];

pub(super) fn convert(request: &mut ChatRequest) -> Result<Map<String, Value>, Unusable> {
    request.check_tool_results()?;
    let mut body = Map::new();
    let system = contents::system(request.take_system(), &request.model);
    let resolution = resolution(request);
    let messages = std::mem::take(&mut request.messages);
    let turns = contents::conversation(messages, &request.model)?;
    body.insert("contents".to_owned(), Value::Array(turns));
    if !system.is_empty() {
        body.insert("systemInstruction".to_owned(), json!({ "parts": system }));
    }
    let tools = tools(request);
    if !tools.is_empty() {
        body.insert("tools".to_owned(), Value::Array(tools));
    }
    if let Some(choice) = request.tool_choice.take() {
        body.insert("toolConfig".to_owned(), choose(choice));
    }
    if request.parallel_tool_calls == Some(false) {
        // There is no such switch: whether that matters is for the caller to say.
        request
            .parameters
            .put("parallel_tool_calls", Value::Bool(false));
    }
    let mut config = generation_config(request)?;
    if let Some(resolution) = resolution {
        config.insert("mediaResolution".to_owned(), Value::from(resolution));
    }
    if !config.is_empty() {
        body.insert("generationConfig".to_owned(), Value::Object(config));
    }
    for (name, spelling) in SPELLED {
        if let Some(value) = request.parameters.take(name) {
            body.insert(spelling.to_owned(), value);
        }
    }
    Ok(body)
}

/// The resolution of all pictures, where the model has no other: the highest that is asked for.
fn resolution(request: &ChatRequest) -> Option<&'static str> {
    if model::has_resolutions(&request.model) {
        return None;
    }
    let parts = request.messages.iter().flat_map(|message| &message.content);
    let levels = parts.filter_map(|part| match &part.kind {
        PartKind::Image { detail, .. } => contents::resolution(detail.as_deref()?),
        _ => None,
    });
    // HIGH is before LOW.
    levels.min()
}

fn generation_config(request: &mut ChatRequest) -> Result<Map<String, Value>, Unusable> {
    let mut config = match request.parameters.take("generationConfig") {
        Some(Value::Object(members)) => members,
        Some(other) => return Err(Unusable::wrong("generationConfig", "an object", &other)),
        None => Map::new(),
    };
    let mut set = |name: &str, value: Value| {
        config.insert(name.to_owned(), value);
    };
    if let Some(limit) = request.take_max_tokens()? {
        set("maxOutputTokens", Value::from(limit));
    }
    for (name, spelling) in RENAMED {
        if let Some(value) = request.parameters.take(name) {
            set(spelling, value);
        }
    }
    let stop = request.take_stop()?;
    if !stop.is_empty() {
        set("stopSequences", Value::from(stop));
    }
    if let Some(count) = request.parameters.count("n")? {
        set("candidateCount", Value::from(count));
    }
    if request.parameters.boolean("logprobs")? == Some(true) {
        set("responseLogprobs", Value::Bool(true));
    }
    if let Some(count) = request.parameters.count("top_logprobs")? {
        set("logprobs", Value::from(count));
    }
    if let Some(modalities) = request.parameters.take("modalities") {
        let upper = |one: &Value| one.as_str().map(str::to_uppercase).map(Value::from);
        let all = modalities.as_array().into_iter().flatten();
        set("responseModalities", all.filter_map(upper).collect());
    }
    if let Some(mut audio) = request.parameters.object("audio")?
        && let Some(voice) = audio.text("voice")?
    {
        let voice = json!({ "prebuiltVoiceConfig": { "voiceName": voice } });
        set("speechConfig", json!({ "voiceConfig": voice }));
    }
    match request.response_format.take() {
        None | Some(ResponseFormat::Text) => {}
        Some(ResponseFormat::JsonObject) => {
            set("responseMimeType", Value::from("application/json"));
        }
        Some(ResponseFormat::JsonSchema { schema, .. }) => {
            set("responseMimeType", Value::from("application/json"));
            set("responseJsonSchema", Value::Object(schema));
        }
    }
    if let Some(thinking) = thinking(request)? {
        set("thinkingConfig", thinking);
    }
    Ok(config)
}

/// `thinking` as Anthropic has it, or `reasoning_effort`.
fn thinking(request: &mut ChatRequest) -> Result<Option<Value>, Unusable> {
    let effort = request.parameters.text("reasoning_effort")?;
    if let Some(mut thinking) = request.parameters.object("thinking")? {
        let kind = thinking.text("type")?;
        let budget = thinking.count("budget_tokens")?;
        return Ok(match (kind.as_deref(), budget) {
            (Some("disabled"), _) => Some(json!({ "thinkingBudget": 0 })),
            (_, Some(budget)) => {
                Some(json!({ "thinkingBudget": budget, "includeThoughts": budget > 0 }))
            }
            _ => Some(json!({ "includeThoughts": true })),
        });
    }
    let Some(effort) = effort else {
        return Ok(None);
    };
    match model::thinking(&request.model, &effort) {
        Some(config) => Ok(Some(config)),
        None => Err(Unusable::new(
            "reasoning_effort",
            format!("is {effort:?}; it takes none, minimal, low, medium, high or xhigh"),
        )),
    }
}

/// The functions stand in one tool, those of the provider beside it.
fn tools(request: &mut ChatRequest) -> Vec<Value> {
    let mut functions = Vec::new();
    let mut tools = Vec::new();
    for tool in std::mem::take(&mut request.tools) {
        match tool {
            Tool::Function(function) => functions.push(declared(*function)),
            Tool::Other(members) => tools.push(Value::Object(members)),
        }
    }
    if request.parameters.take("web_search_options").is_some() {
        tools.push(json!({ "googleSearch": {} }));
    }
    if !functions.is_empty() {
        tools.insert(0, json!({ "functionDeclarations": functions }));
    }
    tools
}

fn declared(mut function: Function) -> Value {
    let has_schema = function.parameters.is_some();
    // Most of JSON Schema; `parameters` knows a smaller part of it.
    let schema = has_schema.then(|| function.take_schema(Target::Gemini));
    let mut declared = Map::new();
    declared.insert("name".to_owned(), Value::from(function.name));
    if let Some(description) = function.description {
        declared.insert("description".to_owned(), Value::from(description));
    }
    if let Some(schema) = schema {
        declared.insert("parametersJsonSchema".to_owned(), Value::Object(schema));
    }
    Value::Object(declared)
}

fn choose(choice: ToolChoice) -> Value {
    let config = match choice {
        ToolChoice::Auto => json!({ "mode": "AUTO" }),
        ToolChoice::None => json!({ "mode": "NONE" }),
        ToolChoice::Required => json!({ "mode": "ANY" }),
        ToolChoice::Function(name) => json!({ "mode": "ANY", "allowedFunctionNames": [name] }),
        ToolChoice::Allowed { names, is_required } => {
            let mode = if is_required { "ANY" } else { "VALIDATED" };
            json!({ "mode": mode, "allowedFunctionNames": names })
        }
        ToolChoice::Other(choice) => return choice,
    };
    json!({ "functionCallingConfig": config })
}
