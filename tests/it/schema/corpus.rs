//! The tools of servers that others wrote, recorded by `tests/python/test_recorded_tools.py`.

use serde_json::{Value, json};
use toolbridge::schema::{Schema, Target, is_plain, lower};

use super::golden::folder;
use super::rules::problems;

fn servers() -> Vec<(String, Vec<Value>)> {
    ["time", "git", "fetch", "everything", "filesystem", "memory"]
        .map(|name| {
            let path = folder().join(format!("servers/{name}.json"));
            let text = std::fs::read(&path).unwrap_or_else(|_| panic!("{name} is not recorded"));
            (name.to_owned(), serde_json::from_slice(&text).unwrap())
        })
        .into()
}

#[test]
fn every_recorded_tool_is_accepted_by_every_target() {
    let mut tools = 0;
    for (server, listed) in servers() {
        for tool in &listed {
            tools += 1;
            for target in Target::ALL {
                let lowered = lower(&tool["inputSchema"], target);
                let what = format!("{} of {server} for {}", tool["name"], target.name());
                assert_eq!(
                    problems(lowered.target, &lowered.schema),
                    Vec::<String>::new(),
                    "{what}"
                );
                assert_eq!(lowered.target, target, "{what}");
            }
        }
    }
    assert!(tools >= 50, "{tools} tools are recorded");
}

#[test]
fn recorded_tools_go_to_openai_and_anthropic_as_they_are() {
    for (server, listed) in servers() {
        for tool in &listed {
            for target in [
                Target::OpenAi,
                Target::OpenAiResponses,
                Target::Anthropic,
                Target::Bedrock,
            ] {
                let lowered = lower(&tool["inputSchema"], target);
                assert!(
                    !lowered.is_changed(),
                    "{} of {server}: {:?}",
                    tool["name"],
                    lowered.changes
                );
            }
        }
    }
}

#[test]
fn most_recorded_tools_are_seen_to_need_nothing() {
    let tools: Vec<_> = servers()
        .into_iter()
        .flat_map(|(_, listed)| listed)
        .collect();
    let is_plain = |tool: &&Value| is_plain(&tool["inputSchema"], Target::OpenAi);
    let plain = tools.iter().filter(is_plain).count();
    assert!(plain * 4 > tools.len() * 3, "{plain} of {}", tools.len());
}

/// Arguments with a value for each property that a strict schema has: `null` where that is taken.
fn least(schema: &Value) -> Value {
    match schema.get("type") {
        Some(Value::Array(kinds)) if kinds.contains(&json!("null")) => return Value::Null,
        Some(Value::String(kind)) => match kind.as_str() {
            "object" => {
                let properties = schema["properties"].as_object().unwrap();
                let members = properties
                    .iter()
                    .map(|(name, property)| (name.clone(), least(property)));
                return Value::Object(members.collect());
            }
            "array" => {
                let count = schema["minItems"].as_u64().unwrap_or(1);
                return (0..count).map(|_| least(&schema["items"])).collect();
            }
            "integer" | "number" => return schema.get("minimum").cloned().unwrap_or(json!(1)),
            "boolean" => return json!(true),
            "string" => {
                return match schema.get("enum").and_then(|choices| choices.get(0)) {
                    Some(first) => first.clone(),
                    None => json!("text"),
                };
            }
            _ => return Value::Null,
        },
        _ => {}
    }
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
        let null = choices.iter().any(|one| one["type"] == "null");
        return if null {
            Value::Null
        } else {
            least(&choices[0])
        };
    }
    Value::Null
}

#[test]
fn what_strict_mode_lets_a_model_send_is_what_the_server_takes() {
    let mut nulls = 0;
    for (server, listed) in servers() {
        for tool in &listed {
            let original = &tool["inputSchema"];
            let lowered = lower(original, Target::OpenAiStrict);
            let mut arguments = least(&lowered.schema);
            let sent = arguments.to_string();
            let strict = Schema::compile(&lowered.schema.to_string()).unwrap();
            let what = format!("{} of {server}: {sent}", tool["name"]);
            strict
                .check(&arguments, sent.len())
                .unwrap_or_else(|fault| panic!("{what}: {fault:?}"));
            nulls += sent.matches("null").count();
            lowered.restore(&mut arguments);
            let schema = Schema::compile(&original.to_string()).unwrap();
            schema
                .check(&arguments, sent.len())
                .unwrap_or_else(|fault| panic!("{what}: {fault:?} in {arguments}"));
        }
    }
    assert!(nulls > 20, "{nulls} arguments were left out");
}
