//! Tool calls of models, read for MCP.

use serde_json::json;
use toolbridge::tools::{arguments, read_call};

#[test]
fn calls_are_read_in_the_shapes_of_every_api() {
    for call in [
        json!({"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}),
        json!({"type": "function_call", "call_id": "1", "name": "add", "arguments": "{}"}),
        json!({"name": "add", "arguments": "{}"}),
        json!({"function": null, "name": "add", "arguments": "{}"}),
    ] {
        let read = read_call(&call).unwrap();
        assert_eq!(read.name, "add");
        assert_eq!(read.arguments, Some(json!("{}")));
    }
    let anthropic = json!({"type": "tool_use", "id": "1", "name": "add", "input": {"a": 1}});
    assert_eq!(
        read_call(&anthropic).unwrap().arguments,
        Some(json!({"a": 1}))
    );
}

#[test]
fn a_call_without_arguments_has_none() {
    for call in [
        json!({"function": {"name": "add"}}),
        json!({"function": {"name": "add", "arguments": null}}),
    ] {
        assert_eq!(read_call(&call).unwrap().arguments, None);
    }
}

#[test]
fn what_is_no_call_is_an_error() {
    for (call, part) in [
        (json!([]), "a tool call is an object, not a list"),
        (
            json!({"function": "add"}),
            "the function of a tool call is an object, not a text",
        ),
        (json!({"function": {"arguments": "{}"}}), "names no tool"),
        (json!({"function": {"name": ""}}), "names no tool"),
        (json!({"function": {"name": 3}}), "names no tool"),
        (json!({}), "names no tool"),
    ] {
        let error = read_call(&call).unwrap_err();
        assert!(error.message().contains(part), "{call}: {error}");
    }
}

#[test]
fn arguments_are_handed_back_as_the_model_wrote_them() {
    let sent = " {\"b\": 1.10, \"a\": 123456789012345678901234567890} \n";
    assert_eq!(arguments(sent).unwrap(), sent.trim());
}

#[test]
fn blank_arguments_are_no_arguments() {
    for sent in ["", " ", "\n\t"] {
        assert_eq!(arguments(sent).unwrap(), "{}");
    }
}

#[test]
fn arguments_that_are_not_json_are_an_error_that_says_where() {
    for sent in [
        "{\"a\": ",
        "{'a': 1}",
        "{\"a\": 1} {\"a\": 2}",
        "{\"a\": NaN}",
        "add",
    ] {
        let error = arguments(sent).unwrap_err();
        assert!(
            error.message().starts_with("not valid JSON ("),
            "{sent}: {error}"
        );
        assert!(error.message().contains("column"), "{sent}: {error}");
    }
}

#[test]
fn arguments_that_are_no_object_are_an_error_that_says_what_they_are() {
    for (sent, kind) in [
        ("[1]", "a list"),
        ("\"text\"", "a text"),
        ("true", "a boolean"),
        ("null", "null"),
        ("-1.5", "a number"),
    ] {
        let error = arguments(sent).unwrap_err();
        assert_eq!(error.message(), format!("{kind} instead of a JSON object"));
    }
}
