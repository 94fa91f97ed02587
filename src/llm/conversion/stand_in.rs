//! What stands in for what a protocol has no word for: a tool for an answer in JSON, fewer tools for
//! `allowed_tools`; and the form of what most have their own words for. Pure.

use serde_json::{Map, Value, json};

use super::finish;
use crate::llm::types::chat::{ChatRequest, ResponseFormat, Tool, ToolChoice};
use crate::llm::types::completion::FinishReason;

/// The tool that stands for an answer in JSON: its arguments are the answer.
pub(super) const JSON_TOOL: &str = "json_tool_call";

/// How an answer in JSON is asked for.
#[derive(Debug, PartialEq)]
pub(super) enum JsonAnswer {
    /// The model is held to a schema.
    BySchema {
        name: String,
        schema: Map<String, Value>,
        description: Option<String>,
    },
    /// It has to call a tool.
    ByTool { schema: Value, description: String },
}

impl JsonAnswer {
    /// What a request asks for. `knows_schemas` says whether the model can be held to one.
    pub(super) fn take(request: &mut ChatRequest, knows_schemas: bool) -> Option<Self> {
        let (schema, description) = match request.response_format.take()? {
            ResponseFormat::Text => return None,
            // Some object: no schema that a model is held to says that, so the tool does.
            ResponseFormat::JsonObject => {
                let schema = json!({ "type": "object", "additionalProperties": true });
                (schema, None)
            }
            ResponseFormat::JsonSchema {
                name,
                mut schema,
                description,
                ..
            } if knows_schemas => {
                close_objects(&mut schema);
                return Some(Self::BySchema {
                    name,
                    schema,
                    description,
                });
            }
            ResponseFormat::JsonSchema {
                schema,
                description,
                ..
            } => (Value::Object(schema), description),
        };
        let description = description.filter(|text| !text.is_empty());
        let description = description.unwrap_or_else(|| "Gives the answer, as JSON.".to_owned());
        Some(Self::ByTool {
            schema,
            description,
        })
    }
}

/// Claude and Bedrock refuse schemas with objects that do not say that they have no other members, in
/// answers as in strict tools.
/// (<https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations>)
pub(super) fn close_objects(schema: &mut Map<String, Value>) {
    let is_object = match schema.get("type") {
        Some(Value::String(kind)) => kind == "object",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        _ => false,
    };
    if is_object {
        schema
            .entry("additionalProperties")
            .or_insert(Value::Bool(false));
    }
    for (name, inside) in schema {
        match name.as_str() {
            // Values, not schemas.
            "enum" | "const" | "default" | "examples" => {}
            // Schemas by names, which may be any word.
            "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" => {
                if let Value::Object(schemas) = inside {
                    schemas.values_mut().for_each(close_in);
                }
            }
            _ => close_in(inside),
        }
    }
}

fn close_in(value: &mut Value) {
    match value {
        Value::Object(schema) => close_objects(schema),
        Value::Array(schemas) => schemas.iter_mut().for_each(close_in),
        _ => {}
    }
}

/// The reason to end; an answer in JSON through a tool is an answer, not a call.
pub(super) fn reason(native: &str, is_json_answer: bool) -> FinishReason {
    match finish::reason(native) {
        FinishReason::ToolCalls if is_json_answer => FinishReason::Stop,
        reason => reason,
    }
}

/// Which tool the model has to call, of those that it is told.
#[derive(Debug, PartialEq)]
pub(super) enum Choice {
    /// Any or none.
    Auto,
    /// None.
    None,
    /// At least one.
    Required,
    /// This one.
    Function(String),
    /// A choice that is not known here.
    Other(Value),
}

impl Choice {
    /// What a request says, for protocols that cannot say which tools may be called: those that may not
    /// are taken out of it.
    pub(super) fn take(request: &mut ChatRequest) -> Option<Self> {
        Some(match request.tool_choice.take()? {
            ToolChoice::Auto => Self::Auto,
            ToolChoice::None => Self::None,
            ToolChoice::Required => Self::Required,
            ToolChoice::Function(name) => Self::Function(name),
            ToolChoice::Other(choice) => Self::Other(choice),
            ToolChoice::Allowed { names, is_required } => {
                keep_named(&mut request.tools, &names);
                if is_required {
                    Self::Required
                } else {
                    Self::Auto
                }
            }
        })
    }
}

/// Keeps the tools of these names, and those of the provider's own that have none.
fn keep_named(tools: &mut Vec<Tool>, names: &[String]) {
    tools.retain(|tool| {
        let name = match tool {
            Tool::Function(function) => Some(function.name.as_str()),
            Tool::Other(members) => members.get("name").and_then(Value::as_str),
        };
        name.is_none_or(|name| names.iter().any(|allowed| allowed == name))
    });
}

/// An annotation of a text that is drawn from a page, in OpenAI's form.
pub(super) fn url_citation(
    url: &Value,
    title: &Value,
    start: impl Into<Value>,
    end: impl Into<Value>,
) -> Value {
    json!({
        "type": "url_citation",
        "url_citation": {
            "url": url,
            "title": title,
            "start_index": start.into(),
            "end_index": end.into(),
        },
    })
}

/// The place of `web_search_options`, as the tools of OpenAI and of Anthropic have it.
pub(super) fn search_location(options: &Value) -> Option<Value> {
    let location = options.get("user_location")?.as_object()?;
    let mut place = match location.get("approximate") {
        Some(Value::Object(inside)) => inside.clone(),
        _ => location.clone(),
    };
    place.insert("type".to_owned(), Value::from("approximate"));
    Some(Value::Object(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_of_a_schema_is_closed_and_no_value_is_touched() {
        let Value::Object(mut schema) = json!({
            "type": "object",
            "properties": {
                "default": { "type": ["object", "null"], "properties": {} },
                "kept": { "type": "object", "additionalProperties": { "type": "string" } },
                "one": { "anyOf": [{ "$ref": "#/$defs/a" }, { "type": "array", "items": { "type": "object" } }] },
                "value": { "const": { "type": "object" }, "enum": [{ "type": "object" }] },
            },
            "$defs": { "enum": { "type": "object" } },
        }) else {
            unreachable!("it is an object");
        };
        close_objects(&mut schema);
        let wanted = json!({
            "type": "object",
            "properties": {
                "default": { "type": ["object", "null"], "properties": {}, "additionalProperties": false },
                "kept": { "type": "object", "additionalProperties": { "type": "string" } },
                "one": { "anyOf": [
                    { "$ref": "#/$defs/a" },
                    { "type": "array", "items": { "type": "object", "additionalProperties": false } },
                ] },
                "value": { "const": { "type": "object" }, "enum": [{ "type": "object" }] },
            },
            "$defs": { "enum": { "type": "object", "additionalProperties": false } },
            "additionalProperties": false,
        });
        assert_eq!(Value::Object(schema), wanted);
    }
}
