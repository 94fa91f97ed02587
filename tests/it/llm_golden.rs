//! The golden matrix: every request of `fixtures/llm/cases.json` as each model's provider gets it, one
//! file for each model in `fixtures/llm/requests`. Python's tests let the official SDKs judge the same
//! files. With `UPDATE_GOLDEN=1` they are written anew.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Map, Value, json};
use toolbridge::llm::provider::Settings;

use crate::llm_conversion::play::Play;

/// A model of each kind of request.
const MODELS: &[&str] = &[
    "openai/gpt-4o",
    "anthropic/claude-3-haiku-20240307",
    "anthropic/claude-sonnet-4-5",
    "anthropic/claude-opus-4-6",
    "anthropic/claude-opus-5",
    "gemini/gemini-2.5-flash",
    "gemini/gemini-3-pro-preview",
    "vertex_ai/gemini-2.5-flash",
    "vertex_ai/gemini-3-pro-preview",
    "vertex_ai/claude-sonnet-4-5@20250929",
    "vertex_ai/claude-opus-4-6",
    "cohere_chat/command-a-03-2025",
    "mistral/mistral-large-latest",
    "ollama_chat/llama3.2",
    "bedrock/anthropic.claude-sonnet-4-5-20250929-v1:0",
    "bedrock/amazon.nova-pro-v1:0",
    "openai/gpt-5",
    "openai/responses/gpt-4o",
    "openai/gpt-5-pro",
    "azure/gpt-4o",
    "azure/responses/o4-mini",
    "databricks/databricks-claude-sonnet-4-5",
    "watsonx/ibm/granite-3-8b-instruct",
    "snowflake/llama3.3-70b",
    "snowflake/claude-sonnet-4-5",
    "replicate/meta/meta-llama-3-70b-instruct",
    "huggingface/together/deepseek-ai/DeepSeek-R1",
    "groq/llama-3.3-70b-versatile",
    "deepseek/deepseek-chat",
    "xai/grok-4",
    "perplexity/sonar",
    "moonshot/kimi-k2-0905-preview",
    "cerebras/llama-3.3-70b",
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llm")
}

fn cases() -> Map<String, Value> {
    let text = std::fs::read(folder().join("cases.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// What the provider gets, or why it gets nothing.
fn converted(play: &Play, request: &Value) -> Value {
    match play.request(request) {
        Ok((body, _)) => body,
        Err(error) => json!({"error": format!("{:?}", error.kind()), "message": error.message()}),
    }
}

/// One case on each line.
fn written(converted: &Map<String, Value>) -> String {
    let mut text = "{\n".to_owned();
    for (place, (name, body)) in converted.iter().enumerate() {
        let comma = if place + 1 < converted.len() { "," } else { "" };
        writeln!(text, "  {}: {body}{comma}", Value::from(name.as_str())).unwrap();
    }
    text + "}\n"
}

#[test]
fn every_case_is_converted_as_its_golden_file_says() {
    let cases = cases();
    let mut differences = Vec::new();
    for model in MODELS {
        let settings = Settings {
            api_base: Some("http://127.0.0.1:9".to_owned()),
            options: [("project_id".to_owned(), json!("project-1"))]
                .into_iter()
                .collect(),
            ..Settings::default()
        };
        let play = Play::with(model, settings);
        let found: Map<_, _> = cases
            .iter()
            .map(|(name, request)| (name.clone(), converted(&play, request)))
            .collect();
        let path = folder().join(format!("requests/{}.json", model.replace(['/', ':'], "_")));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, written(&found)).unwrap();
            continue;
        }
        let text = std::fs::read(&path).unwrap_or_else(|_| panic!("{} is missing", path.display()));
        let golden: Map<String, Value> = serde_json::from_slice(&text).unwrap();
        for (name, body) in &found {
            if golden.get(name) != Some(body) {
                let wanted = golden.get(name).unwrap_or(&Value::Null);
                differences.push(format!(
                    "{model}, {name}:\n  found  {body}\n  golden {wanted}"
                ));
            }
        }
        assert_eq!(
            golden.len(),
            found.len(),
            "{model}: cases were added or removed"
        );
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
