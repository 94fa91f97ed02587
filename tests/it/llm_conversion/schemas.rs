//! Schemas of tools in the words of the provider that a request goes to.

use serde_json::{Value, json};
use toolbridge::llm::conversion::own_tools;
use toolbridge::llm::provider::Settings;

use super::play::Play;

/// Where each provider's request has the tool, its description and its schema.
const PLACES: [(&str, &str, &str, &str); 9] = [
    (
        "openai/gpt-4o",
        "/tools/0/function",
        "description",
        "parameters",
    ),
    (
        "openai/gpt-5",
        "/tools/0/function",
        "description",
        "parameters",
    ),
    (
        "openai/responses/gpt-4o",
        "/tools/0",
        "description",
        "parameters",
    ),
    (
        "anthropic/claude-sonnet-4-5",
        "/tools/0",
        "description",
        "input_schema",
    ),
    (
        "gemini/gemini-2.5-flash",
        "/tools/0/functionDeclarations/0",
        "description",
        "parametersJsonSchema",
    ),
    (
        "cohere_chat/command-a-03-2025",
        "/tools/0/function",
        "description",
        "parameters",
    ),
    (
        "ollama_chat/llama3.2",
        "/tools/0/function",
        "description",
        "parameters",
    ),
    (
        "bedrock/anthropic.claude-sonnet-4-5-20250929-v1:0",
        "/toolConfig/tools/0/toolSpec",
        "description",
        "inputSchema",
    ),
    (
        "bedrock/amazon.nova-pro-v1:0",
        "/toolConfig/tools/0/toolSpec",
        "description",
        "inputSchema",
    ),
];

fn request(schema: &Value) -> Value {
    json!({
        "messages": [{"role": "user", "content": "x"}],
        "tools": [{"type": "function", "function": {
            "name": "find", "description": "Finds.", "parameters": schema,
        }}],
    })
}

fn told(model: &str, schema: &Value) -> (String, Value) {
    let settings = Settings {
        api_base: Some("http://127.0.0.1:9".to_owned()),
        ..Settings::default()
    };
    let sent = Play::with(model, settings).sent(&request(schema));
    let (_, place, description, parameters) =
        PLACES.iter().find(|(known, ..)| *known == model).unwrap();
    let tool = sent
        .pointer(place)
        .unwrap_or_else(|| panic!("{model}: {sent}"));
    let schema = &tool[*parameters];
    let schema = schema.get("json").unwrap_or(schema);
    (
        tool[*description].as_str().unwrap().to_owned(),
        schema.clone(),
    )
}

#[test]
fn a_union_at_the_root_reaches_every_provider_as_one_object() {
    let schema = json!({
        "type": "object",
        "properties": {"limit": {"type": "integer"}},
        "oneOf": [
            {"properties": {"id": {"type": "string"}}, "required": ["id"]},
            {"properties": {"text": {"type": "string"}}, "required": ["text"]},
        ],
    });
    for (model, ..) in PLACES {
        let (description, schema) = told(model, &schema);
        assert_eq!(
            description,
            "Finds.\n\nExactly one of these forms: (1) with \"id\"; (2) with \"text\".",
            "{model}"
        );
        let names: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["limit", "id", "text"], "{model}");
        assert_eq!(schema.get("oneOf"), None, "{model}");
    }
}

#[test]
fn references_stand_where_they_are_referred_to_for_those_who_follow_none() {
    let schema = json!({
        "type": "object", "properties": {"place": {"$ref": "#/$defs/Place"}}, "required": ["place"],
        "$defs": {"Place": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
    });
    for (model, ..) in PLACES {
        let (_, sent) = told(model, &schema);
        let follows = ["openai", "anthropic", "bedrock/anthropic"]
            .iter()
            .any(|provider| model.starts_with(provider));
        if follows {
            assert_eq!(sent, schema, "{model}");
        } else {
            assert_eq!(
                sent["properties"]["place"], schema["$defs"]["Place"],
                "{model}"
            );
            assert_eq!(sent.get("$defs"), None, "{model}");
        }
    }
}

#[test]
fn a_request_to_openai_is_looked_into_only_where_its_tools_would_be_refused() {
    let refused = |schema: &Value| own_tools::are_refused(request(schema).to_string().as_bytes());
    assert!(refused(
        &json!({"type": "object", "properties": {}, "anyOf": [{}]})
    ));
    assert!(refused(
        &json!({"type": "object", "properties": {"a": {"type": "array"}}})
    ));
    assert!(!refused(
        &json!({"type": "object", "properties": {"a": {"type": "array", "items": {}}}})
    ));
    assert!(!own_tools::are_refused(b"{\"messages\": []}"));
    assert!(!own_tools::are_refused(b"{\"tools\": 5}"));
    assert!(!own_tools::are_refused(b"\"tools\""));
}

#[test]
fn compatible_providers_get_schemas_as_they_are() {
    let schema = json!({"type": "object", "properties": {}, "anyOf": [{"required": ["a"]}]});
    let sent =
        Play::new("together_ai/meta-llama/Llama-3.3-70B-Instruct-Turbo").sent(&request(&schema));
    assert_eq!(sent["tools"], request(&schema)["tools"]);
}
