//! What of a request each provider carries. Nobody writes it down: small requests are converted as a
//! call would convert them, and what comes of it is told. Pure.

use serde_json::{Map, Value, json};

use super::Provider;
use super::service::Kind;
use crate::llm::conversion::parameters::{self, Policy};
use crate::llm::conversion::{Conversion, Notes};
use crate::llm::model_id::ModelId;
use crate::llm::types::chat::ChatRequest;

/// Whether a provider carries something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// In its own words.
    Yes,
    /// A tool that has to be called stands for it.
    ByTool,
    /// A request with it is refused.
    No,
}

/// What is asked for, by the names of the columns: the members of a request.
pub fn features() -> Vec<(&'static str, Value)> {
    let function = json!({ "type": "function", "function": { "name": "f", "parameters": { "type": "object", "properties": {} } } });
    let part = |part: Value| json!({ "messages": [{ "role": "user", "content": [{ "type": "text", "text": "x" }, part] }] });
    let format = |format: Value| json!({ "response_format": format });
    let schema = json!({ "name": "n", "schema": { "type": "object", "properties": {} } });
    vec![
        (
            "stream",
            json!({ "stream": true, "stream_options": { "include_usage": true } }),
        ),
        ("tools", json!({ "tools": [function] })),
        (
            "forced tools",
            json!({ "tools": [function], "tool_choice": "required" }),
        ),
        (
            "one call at a time",
            json!({ "tools": [function], "parallel_tool_calls": false }),
        ),
        (
            "images",
            part(
                json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } }),
            ),
        ),
        (
            "PDF",
            part(
                json!({ "type": "file", "file": { "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA" } }),
            ),
        ),
        (
            "audio",
            part(
                json!({ "type": "input_audio", "input_audio": { "data": "AAAA", "format": "wav" } }),
            ),
        ),
        ("JSON", format(json!({ "type": "json_object" }))),
        (
            "JSON schema",
            format(json!({ "type": "json_schema", "json_schema": schema })),
        ),
        ("reasoning", json!({ "reasoning_effort": "high" })),
        ("stop", json!({ "stop": ["x"] })),
        (
            "penalties",
            json!({ "frequency_penalty": 0.5, "presence_penalty": 0.5 }),
        ),
        ("seed", json!({ "seed": 7 })),
        ("logprobs", json!({ "logprobs": true })),
        ("several answers", json!({ "n": 2 })),
    ]
}

/// A model of each kind that can do as much as any: what others cannot is refused where it is known.
fn model(kind: Kind) -> &'static str {
    match kind {
        Kind::Anthropic => "claude-sonnet-4-5",
        Kind::Gemini | Kind::Vertex => "gemini-2.5-flash",
        Kind::Cohere => "command-a-reasoning-08-2025",
        Kind::Mistral => "magistral-medium-latest",
        Kind::Bedrock => "anthropic.claude-sonnet-4-5-20250929-v1:0",
        Kind::Databricks => "databricks-claude-sonnet-4-5",
        Kind::Replicate => "meta/meta-llama-3-70b-instruct",
        Kind::Azure | Kind::AzureAi => "gpt-4o",
        _ => "a-model",
    }
}

/// Whether a provider carries the members of a request.
pub fn support(provider: &'static Provider, members: &Value) -> Support {
    let name = model(provider.kind);
    let id = ModelId {
        given: format!("{}/{name}", provider.name),
        name: name.to_owned(),
        provider,
    };
    let mut body = Map::new();
    body.insert("model".to_owned(), Value::from(name));
    body.insert(
        "messages".to_owned(),
        json!([{ "role": "user", "content": "x" }]),
    );
    body.extend(members.as_object().cloned().unwrap_or_default());
    let converted = match provider.kind.service().wire(&id).conversion() {
        None => parameters::adapt(body, provider, &id.given, &Policy::default())
            .map(|_| Notes::default())
            .ok(),
        Some(conversion) => convert(conversion, body, &id),
    };
    match converted {
        None => Support::No,
        Some(notes) if notes.json_tool.is_some() => Support::ByTool,
        Some(_) => Support::Yes,
    }
}

fn convert(conversion: &dyn Conversion, body: Map<String, Value>, id: &ModelId) -> Option<Notes> {
    let mut request = ChatRequest::read(body).ok()?;
    request.model.clone_from(&id.name);
    let mut notes = Notes::new(&request, 0, String::new());
    let mut body = conversion.request(&mut request, &mut notes).ok()?;
    let left = request.parameters.rest();
    let policy = Policy::default();
    parameters::settle(left, &mut body, id.provider, &id.given, &policy).ok()?;
    Some(notes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::provider::by_name;

    #[test]
    fn what_a_provider_carries_is_what_its_conversion_does_not_refuse() {
        let found = |provider: &str, feature: &str| {
            let features = features();
            let (_, members) = features.iter().find(|(name, _)| *name == feature).unwrap();
            support(by_name(provider).unwrap(), members)
        };
        for (provider, feature, wanted) in [
            ("openai", "logprobs", Support::Yes),
            ("anthropic", "tools", Support::Yes),
            ("anthropic", "JSON", Support::ByTool),
            ("anthropic", "JSON schema", Support::Yes),
            ("anthropic", "several answers", Support::No),
            ("vertex_ai", "reasoning", Support::Yes),
            ("replicate", "tools", Support::No),
            ("replicate", "stream", Support::Yes),
            ("ai21", "penalties", Support::No),
        ] {
            assert_eq!(found(provider, feature), wanted, "{provider}: {feature}");
        }
    }
}
