//! MCP tools as provider tools, against the fixtures that the Python tests read too.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use toolbridge::error::{Error, ErrorKind};
use toolbridge::schema::{Target, lower};
use toolbridge::tools::{Format, describe};

const FORMATS: [(Format, &str); 3] = [
    (Format::OpenAi, "openai"),
    (Format::OpenAiResponses, "openai_responses"),
    (Format::Anthropic, "anthropic"),
];

fn transform(tool: &Value, format: Format) -> Result<Value, Error> {
    describe(tool, format, false).map(|described| described.tool)
}

fn cases() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tools");
    let mut cases: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .map(|path| {
            let case = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            (
                path.file_stem().unwrap().to_string_lossy().into_owned(),
                case,
            )
        })
        .collect();
    cases.sort_by(|left, right| left.0.cmp(&right.0));
    cases
}

fn root_schema(tool: &Value) -> &Value {
    tool.pointer("/function/parameters")
        .or_else(|| tool.get("parameters"))
        .or_else(|| tool.get("input_schema"))
        .unwrap()
}

#[test]
fn every_fixture_becomes_the_expected_tool_in_every_format_key_order_included() {
    let cases = cases();
    assert!(cases.len() >= 16, "the fixtures are missing");
    for (name, case) in cases {
        for (format, key) in FORMATS {
            let made = transform(&case["tool"], format).unwrap();
            assert_eq!(made.to_string(), case[key].to_string(), "{name} as {key}");
        }
    }
}

#[test]
fn no_member_of_a_schema_that_the_target_takes_is_lost() {
    for (name, case) in cases() {
        let Some(sent) = case["tool"]["inputSchema"].as_object() else {
            continue;
        };
        for (format, key) in FORMATS {
            let described = describe(&case["tool"], format, false).unwrap();
            if !described.changes.is_empty() {
                continue;
            }
            let schema = root_schema(&described.tool);
            for (member, value) in sent {
                assert_eq!(&schema[member], value, "{name} as {key}: {member}");
            }
        }
    }
}

#[test]
fn what_the_target_does_not_take_is_said_in_the_description_and_told() {
    let tool = json!({"name": "find", "description": "Finds.", "inputSchema": {
        "type": "object", "properties": {"id": {"type": "string"}, "text": {"type": "string"}},
        "anyOf": [{"required": ["id"]}, {"required": ["text"]}],
    }});
    for (format, _) in FORMATS {
        let described = describe(&tool, format, false).unwrap();
        let description = described.tool.pointer("/function/description");
        let description = description.or_else(|| described.tool.get("description"));
        assert_eq!(
            description.unwrap(),
            "Finds.\n\nAt least one of these forms: (1) with \"id\"; (2) with \"text\"."
        );
        assert_eq!(root_schema(&described.tool).get("anyOf"), None);
        assert_eq!(described.changes[0].keyword, "anyOf");
    }
}

#[test]
fn strict_tools_say_so_where_their_schema_can_be() {
    let tool = json!({"name": "a", "inputSchema": {"type": "object", "properties": {"b": {"type": "string"}}}});
    let described = describe(&tool, Format::OpenAi, true).unwrap();
    assert_eq!(
        described.tool["function"],
        json!({"name": "a", "description": "", "parameters": {
            "type": "object", "properties": {"b": {"type": ["string", "null"]}}, "required": ["b"],
            "additionalProperties": false,
        }, "strict": true})
    );
    let open = json!({"name": "a", "inputSchema": {"type": "object", "additionalProperties": {"type": "string"}}});
    let described = describe(&open, Format::OpenAiResponses, true).unwrap();
    assert_eq!(described.tool["strict"], false);
    let schema = lower(&open["inputSchema"], Target::OpenAi).schema;
    assert_eq!(root_schema(&described.tool), &schema);
}

#[test]
fn the_parameters_of_a_transformed_tool_do_not_change_when_they_are_transformed_again() {
    for (name, case) in cases() {
        for (format, key) in FORMATS {
            let made = transform(&case["tool"], format).unwrap();
            let again = json!({"name": "again", "inputSchema": root_schema(&made)});
            let again = transform(&again, format).unwrap();
            assert_eq!(root_schema(&again), root_schema(&made), "{name} as {key}");
        }
    }
}

#[test]
fn a_tool_without_a_schema_takes_no_arguments() {
    for tool in [
        json!({"name": "ping"}),
        json!({"name": "ping", "inputSchema": null}),
    ] {
        let made = transform(&tool, Format::OpenAi).unwrap();
        assert_eq!(
            made["function"]["parameters"],
            json!({"type": "object", "properties": {}, "additionalProperties": false})
        );
    }
}

#[test]
fn a_schema_that_is_not_an_object_is_an_error_that_names_the_tool_and_what_it_found() {
    for (schema, found) in [
        (json!([]), "a list"),
        (json!("object"), "a text"),
        (json!(true), "a boolean"),
        (json!(1), "a number"),
    ] {
        let tool = json!({"name": "broken", "inputSchema": schema});
        let error = transform(&tool, Format::OpenAi).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert_eq!(
            error.message(),
            format!(
                "the inputSchema of the tool \"broken\" is {found}; a JSON Schema object is needed"
            )
        );
    }
}

#[test]
fn what_is_no_tool_is_an_error() {
    for (tool, message) in [
        (json!("add"), "a tool is an object, not a text"),
        (json!({"inputSchema": {}}), "a tool has no name"),
        (
            json!({"name": 1}),
            "the name of a tool is a text, not a number",
        ),
    ] {
        assert_eq!(
            transform(&tool, Format::Anthropic).unwrap_err().message(),
            message
        );
    }
}

#[test]
fn an_unknown_format_is_an_error_that_lists_the_known_ones() {
    let error = Format::from_name("gemini").unwrap_err();
    assert!(error.message().contains("\"gemini\""), "{error}");
    assert!(error.message().contains("\"openai_responses\""), "{error}");
}
