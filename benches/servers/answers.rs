//! What the MCP servers of the bench answer. Answers are written by hand around the request's own
//! id, so that a measurement shows the client and not the server.
//!
//! Tools: `echo` gives its `text` back, `add` the sum of `a` and `b`, `big` 1 MB of text.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::{RawValue, Value};

const BIG_RESULT_BYTES: usize = 1_000_000;

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: Option<&'a str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Initialize {
    #[serde(rename = "protocolVersion")]
    protocol_version: String,
}

#[derive(Deserialize)]
struct Call<'a> {
    name: &'a str,
    arguments: Option<Value>,
}

/// What is made once.
pub(crate) struct Known {
    listing: String,
    big: String,
}

impl Known {
    /// Lists `count` tools in all, on one page.
    pub(crate) fn new(count: usize) -> Self {
        Self {
            listing: json!({ "tools": tools(count) }).to_string(),
            big: text_result(&"0123456789abcdef ".repeat(BIG_RESULT_BYTES / 17)),
        }
    }
}

/// The answer to a message; None for one that takes none.
pub(crate) fn answer(message: &str, known: &Known) -> serde_json::Result<Option<String>> {
    let request: Request<'_> = serde_json::from_str(message)?;
    let (Some(id), Some(method)) = (request.id, request.method) else {
        return Ok(None);
    };
    let id = id.get();
    Ok(Some(match result(method, request.params, known) {
        Ok(result) => format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#),
        Err((code, message)) => {
            let error = json!({ "code": code, "message": message });
            format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
        }
    }))
}

/// The result as JSON text, or a JSON-RPC error.
fn result(method: &str, params: Option<&RawValue>, known: &Known) -> Result<String, (i32, String)> {
    let params = params.map_or("{}", RawValue::get);
    let invalid = |error: serde_json::Error| (-32602, error.to_string());
    match method {
        "initialize" => {
            let asked: Initialize = serde_json::from_str(params).map_err(invalid)?;
            Ok(json!({
                "protocolVersion": asked.protocol_version,
                "capabilities": { "tools": {} },
                "serverInfo": { "name": "bench", "version": "1" },
            })
            .to_string())
        }
        "ping" => Ok("{}".to_owned()),
        "tools/list" => Ok(known.listing.clone()),
        "tools/call" => {
            let call: Call<'_> = serde_json::from_str(params).map_err(invalid)?;
            call_tool(call.name, &call.arguments.unwrap_or_default(), &known.big)
        }
        _ => Err((-32601, format!("no method {method}"))),
    }
}

fn call_tool(name: &str, arguments: &Value, big: &str) -> Result<String, (i32, String)> {
    match name {
        "echo" => Ok(text_result(arguments["text"].as_str().unwrap_or_default())),
        "add" => {
            let number = |key: &str| arguments[key].as_f64().unwrap_or_default();
            Ok(text_result(&(number("a") + number("b")).to_string()))
        }
        "big" => Ok(big.to_owned()),
        _ => Err((-32602, format!("no tool {name}"))),
    }
}

fn text_result(text: &str) -> String {
    json!({ "content": [{ "type": "text", "text": text }], "isError": false }).to_string()
}

/// The three tools that work, filled up with others of the size that real servers have.
fn tools(count: usize) -> Vec<Value> {
    let mut tools = vec![
        json!({
            "name": "echo",
            "description": "Gives the text back.",
            "inputSchema": {
                "type": "object",
                "properties": { "text": { "type": "string" } },
                "required": ["text"],
            },
        }),
        json!({
            "name": "add",
            "description": "Adds two numbers.",
            "inputSchema": {
                "type": "object",
                "properties": { "a": { "type": "number" }, "b": { "type": "number" } },
                "required": ["a", "b"],
            },
        }),
        json!({
            "name": "big",
            "description": "Gives 1 MB of text.",
            "inputSchema": { "type": "object", "properties": {} },
        }),
    ];
    tools.truncate(count);
    for index in tools.len()..count {
        tools.push(realistic_tool(index));
    }
    tools
}

fn realistic_tool(index: usize) -> Value {
    let subject = ["issue", "message", "file", "event", "customer"][index % 5];
    let verb = ["list", "create", "update", "search", "archive"][index / 5 % 5];
    json!({
        "name": format!("{verb}_{subject}_{index}"),
        "title": format!("{verb} {subject}"),
        "description": format!(
            "Use this to {verb} a {subject} in the workspace. Results come newest first; ask for \
             more with the cursor of the answer before. Fails when the caller may not see it."
        ),
        "inputSchema": {
            "type": "object",
            "properties": {
                "workspace": { "type": "string", "description": "Id of the workspace", "minLength": 1 },
                "query": { "type": "string", "description": format!("Words that the {subject} holds") },
                "state": { "type": "string", "enum": ["open", "closed", "all"], "default": "open" },
                "limit": { "type": "integer", "minimum": 1, "maximum": 100, "default": 20 },
                "labels": { "type": "array", "items": { "type": "string" }, "description": "All of these" },
                "range": {
                    "type": "object",
                    "description": "Time range",
                    "properties": {
                        "from": { "type": "string", "format": "date-time" },
                        "until": { "type": "string", "format": "date-time" },
                    },
                    "additionalProperties": false,
                },
            },
            "required": ["workspace"],
            "additionalProperties": false,
        },
        "annotations": { "readOnlyHint": index.is_multiple_of(2), "openWorldHint": false },
    })
}
