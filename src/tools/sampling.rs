//! MCP's `sampling/createMessage` and OpenAI's chat completion, each as the other. Owns [`Asked`].

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::json::RawJson;

/// What a server asks for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Params {
    messages: Vec<Message>,
    #[serde(default)]
    model_preferences: Preferences,
    system_prompt: Option<String>,
    max_tokens: Option<Value>,
    temperature: Option<Value>,
    stop_sequences: Option<Vec<String>>,
    tools: Option<Vec<Value>>,
    tool_choice: Option<Value>,
    #[serde(rename = "_meta")]
    meta: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
struct Preferences {
    #[serde(default)]
    hints: Vec<Hint>,
}

#[derive(Debug, Deserialize)]
struct Hint {
    name: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    content: Value,
}

/// The same, and the names of models that the server would like.
#[derive(Debug)]
pub struct Asked {
    /// Each a name, or a part of one; the one that it would like best comes first.
    pub hints: Vec<String>,
    params: Params,
}

/// Reads the parameters of a request.
///
/// # Errors
/// They are none: what the server is told.
pub fn read(params: &RawJson) -> Result<Asked, String> {
    let params: Params = serde_json::from_slice(params.as_bytes())
        .map_err(|failure| format!("no request for a completion: {failure}"))?;
    let hints = params.model_preferences.hints.iter();
    let hints = hints.filter_map(|hint| hint.name.clone()).collect();
    Ok(Asked { hints, params })
}

impl Asked {
    /// What stands beside the request, as MCP's `_meta`.
    pub fn meta(&self) -> Option<&Value> {
        self.params.meta.as_ref()
    }

    /// The request for a chat completion, without the model.
    ///
    /// # Errors
    /// A message has content that no model takes: what the server is told.
    pub fn chat_request(self) -> Result<Map<String, Value>, String> {
        let Params {
            messages,
            system_prompt,
            max_tokens,
            temperature,
            stop_sequences,
            tools,
            tool_choice,
            ..
        } = self.params;
        let mut written = Vec::new();
        if let Some(prompt) = system_prompt {
            written.push(json!({"role": "system", "content": prompt}));
        }
        for message in messages {
            write(message, &mut written)?;
        }
        let mut body = Map::new();
        body.insert("messages".to_owned(), written.into());
        let stop = stop_sequences.filter(|stop| !stop.is_empty());
        let tools = tools.filter(|tools| !tools.is_empty());
        let choice = tool_choice.and_then(|choice| choice.get("mode").cloned());
        let choice = choice.filter(|_| tools.is_some());
        let tools = tools.map(|tools| tools.iter().map(function).collect::<Vec<_>>());
        let fields = [
            ("max_tokens", max_tokens),
            ("temperature", temperature),
            ("stop", stop.map(Value::from)),
            ("tools", tools.map(Value::from)),
            ("tool_choice", choice),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        }
        Ok(body)
    }
}

fn function(tool: &Value) -> Value {
    let mut function = Map::new();
    for (theirs, own) in [
        ("name", "name"),
        ("description", "description"),
        ("inputSchema", "parameters"),
    ] {
        if let Some(value) = tool.get(theirs) {
            function.insert(own.to_owned(), value.clone());
        }
    }
    json!({"type": "function", "function": function})
}

/// Writes a message; each result of a tool becomes a message of its own.
fn write(message: Message, written: &mut Vec<Value>) -> Result<(), String> {
    let blocks = match message.content {
        Value::Array(blocks) => blocks,
        block => vec![block],
    };
    let (mut parts, mut calls) = (Vec::new(), Vec::new());
    for block in &blocks {
        match block["type"].as_str() {
            Some("tool_use") => calls.push(json!({
                "id": block["id"],
                "type": "function",
                "function": {"name": block["name"], "arguments": block["input"].to_string()},
            })),
            Some("tool_result") => written.push(json!({
                "role": "tool",
                "tool_call_id": block["toolUseId"],
                "content": text_of(&block["content"]),
            })),
            _ => parts.push(part(block)?),
        }
    }
    if parts.is_empty() && calls.is_empty() {
        return Ok(());
    }
    let mut whole = Map::new();
    whole.insert("role".to_owned(), message.role.into());
    let content = match parts.as_slice() {
        [] => Value::Null,
        [one] if one["type"] == "text" => one["text"].clone(),
        _ => parts.into(),
    };
    whole.insert("content".to_owned(), content);
    if !calls.is_empty() {
        whole.insert("tool_calls".to_owned(), calls.into());
    }
    written.push(whole.into());
    Ok(())
}

fn part(block: &Value) -> Result<Value, String> {
    let (data, kind) = (block["data"].as_str(), block["mimeType"].as_str());
    match (block["type"].as_str(), data, kind) {
        (Some("text"), _, _) => Ok(json!({"type": "text", "text": block["text"]})),
        (Some("image"), Some(data), Some(kind)) => {
            let url = format!("data:{kind};base64,{data}");
            Ok(json!({"type": "image_url", "image_url": {"url": url}}))
        }
        (Some("audio"), Some(data), Some(kind)) => {
            let format = match kind.rsplit('/').next().unwrap_or(kind) {
                "mpeg" => "mp3",
                "x-wav" | "wave" => "wav",
                format => format,
            };
            Ok(json!({"type": "input_audio", "input_audio": {"data": data, "format": format}}))
        }
        (kind, _, _) => {
            let kind = kind.unwrap_or("none");
            Err(format!(
                "content of type {kind:?} is no text, image, audio, tool_use or tool_result that is \
                 whole"
            ))
        }
    }
}

/// What a model can read of a tool's result.
fn text_of(content: &Value) -> String {
    let blocks = content.as_array().into_iter().flatten();
    let texts = blocks.map(|block| match block["text"].as_str() {
        Some(text) => text.to_owned(),
        None => block.to_string(),
    });
    texts.collect::<Vec<_>>().join("\n")
}

/// The result that the server waits for, out of a chat completion; `model` answered where that says no
/// other.
///
/// # Errors
/// The completion is none, or has a call of a tool whose arguments are no JSON.
pub fn result(body: &[u8], model: &str) -> Result<RawJson, String> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|_| "the model answered with what is no completion".to_owned())?;
    let choice = &body["choices"][0];
    let message = &choice["message"];
    let mut content = Vec::new();
    if let Some(text) = message["content"].as_str().filter(|text| !text.is_empty()) {
        content.push(json!({"type": "text", "text": text}));
    }
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        let arguments = call["function"]["arguments"].as_str().unwrap_or("{}");
        let input: Value = serde_json::from_str(arguments)
            .map_err(|_| "the model called a tool with what is no JSON".to_owned())?;
        content.push(json!({
            "type": "tool_use",
            "id": call["id"],
            "name": call["function"]["name"],
            "input": input,
        }));
    }
    let content = match content.len() {
        0 => json!({"type": "text", "text": ""}),
        1 if content[0]["type"] == "text" => content.remove(0),
        _ => content.into(),
    };
    let reason = match choice["finish_reason"].as_str() {
        Some("length") => "maxTokens",
        Some("tool_calls") => "toolUse",
        Some("stop") | None => "endTurn",
        Some(other) => other,
    };
    let model = body["model"].as_str().unwrap_or(model);
    let result = json!({
        "role": "assistant", "content": content, "model": model, "stopReason": reason
    });
    Ok(RawJson::trusted(result.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(params: &Value) -> Result<Value, String> {
        let asked = read(&RawJson::trusted(params.to_string()))?;
        asked.chat_request().map(Value::from)
    }

    #[test]
    fn every_kind_of_content_reaches_the_model() {
        let written = body(&json!({
            "messages": [
                {"role": "user", "content": {"type": "text", "text": "hi"}},
                {"role": "user", "content": [
                    {"type": "text", "text": "look"},
                    {"type": "image", "data": "aQ==", "mimeType": "image/png"},
                    {"type": "audio", "data": "YQ==", "mimeType": "audio/mpeg"},
                ]},
                {"role": "assistant", "content": {"type": "tool_use", "id": "c", "name": "t", "input": {"x": 1}}},
                {"role": "user", "content": {"type": "tool_result", "toolUseId": "c", "content": [{"type": "text", "text": "ok"}]}},
            ],
            "systemPrompt": "be brief", "maxTokens": 5, "temperature": 0.5, "stopSequences": ["x"],
            "tools": [{"name": "t", "inputSchema": {"type": "object"}}], "toolChoice": {"mode": "required"},
        }));
        let expected = json!({
            "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": "hi"},
                {"role": "user", "content": [
                    {"type": "text", "text": "look"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,aQ=="}},
                    {"type": "input_audio", "input_audio": {"data": "YQ==", "format": "mp3"}},
                ]},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "t", "arguments": "{\"x\":1}"}},
                ]},
                {"role": "tool", "tool_call_id": "c", "content": "ok"},
            ],
            "max_tokens": 5, "temperature": 0.5, "stop": ["x"],
            "tools": [{"type": "function", "function": {"name": "t", "parameters": {"type": "object"}}}],
            "tool_choice": "required",
        });
        assert_eq!(written.unwrap(), expected);
    }

    #[test]
    fn what_is_no_content_is_refused() {
        for content in [
            json!({"type": "film"}),
            json!("text"),
            json!({"type": "image"}),
        ] {
            let params = json!({"messages": [{"role": "user", "content": content}]});
            assert!(body(&params).unwrap_err().contains("content of type"));
        }
        assert!(body(&json!({})).unwrap_err().contains("messages"));
    }

    #[test]
    fn an_answer_becomes_the_result_that_the_server_waits_for() {
        let result = |choice: Value| {
            let body = json!({"model": "wire", "choices": [choice]}).to_string();
            result(body.as_bytes(), "m").unwrap().to_value().unwrap()
        };
        assert_eq!(
            result(json!({"message": {"content": "hello"}, "finish_reason": "length"})),
            json!({"role": "assistant", "content": {"type": "text", "text": "hello"}, "model": "wire", "stopReason": "maxTokens"})
        );
        let call = json!({"id": "c", "function": {"name": "t", "arguments": "{\"x\":1}"}});
        assert_eq!(
            result(
                json!({"message": {"content": null, "tool_calls": [call]}, "finish_reason": "tool_calls"})
            ),
            json!({"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "t", "input": {"x": 1}}], "model": "wire", "stopReason": "toolUse"})
        );
    }
}
