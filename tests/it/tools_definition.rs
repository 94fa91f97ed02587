//! MCP tools as provider tools, against the fixtures that the Python tests read too.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use toolbridge::error::ErrorKind;
use toolbridge::tools::{Format, transform};

const FORMATS: [(Format, &str); 3] = [
    (Format::OpenAi, "openai"),
    (Format::OpenAiResponses, "openai_responses"),
    (Format::Anthropic, "anthropic"),
];

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
fn no_member_of_a_schema_is_lost_and_none_but_the_type_of_anthropic_changes() {
    for (name, case) in cases() {
        let Some(sent) = case["tool"]["inputSchema"].as_object() else {
            continue;
        };
        for (format, key) in FORMATS {
            let made = transform(&case["tool"], format).unwrap();
            let schema = root_schema(&made);
            for (member, value) in sent {
                if format == Format::Anthropic && member == "type" {
                    continue;
                }
                assert_eq!(&schema[member], value, "{name} as {key}: {member}");
            }
        }
    }
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
