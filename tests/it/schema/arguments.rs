//! What a model sends, made what the server's own schema is about and checked against it.

use serde_json::{Value, json};
use toolbridge::schema::Target;
use toolbridge::tools::InputSchema;

fn strict(schema: &Value) -> InputSchema {
    let schema = InputSchema::new(schema, Target::OpenAiStrict);
    assert_eq!(schema.lowered().target, Target::OpenAiStrict);
    schema
}

fn read(schema: &InputSchema, sent: &Value) -> Value {
    let read = schema.read("t", &sent.to_string());
    Value::Object(read.unwrap_or_else(|told| panic!("{sent}: {told}")))
}

#[test]
fn null_stands_for_what_is_left_out_where_the_server_takes_no_null() {
    let schema = strict(&json!({
        "type": "object",
        "properties": {
            "a": {"type": "string"},
            "b": {"type": "integer", "default": 5},
            "c": {"type": ["string", "null"]},
            "d": {"type": "object", "properties": {"e": {"type": "string", "enum": ["x"]}}},
            "f": {"type": "array", "items": {"type": "object", "properties": {"g": {"type": "number"}}}},
            "h": {"anyOf": [{"type": "integer"}, {"type": "boolean"}]},
        },
        "required": ["a"],
    }));
    assert_eq!(
        read(
            &schema,
            &json!({"a": "x", "b": null, "c": null, "d": {"e": null}, "f": [{"g": null}, {"g": 1}], "h": null})
        ),
        json!({"a": "x", "c": null, "d": {}, "f": [{}, {"g": 1}]})
    );
    assert_eq!(
        read(
            &schema,
            &json!({"a": "x", "b": 1, "c": "y", "d": null, "f": null, "h": true})
        ),
        json!({"a": "x", "b": 1, "c": "y", "h": true})
    );
}

#[test]
fn what_strict_mode_cannot_list_is_sent_as_text_and_read_again() {
    let schema = strict(&json!({
        "type": "object",
        "properties": {
            "headers": {"type": "object", "additionalProperties": {"type": "string"}},
            "data": {},
            "rows": {"type": "array"},
            "more": {"type": "object"},
        },
        "required": ["headers", "data", "rows"],
    }));
    assert_eq!(
        read(
            &schema,
            &json!({"headers": "{\"a\": \"b\"}", "data": "[1, null]", "rows": ["1", "\"x\""], "more": null})
        ),
        json!({"headers": {"a": "b"}, "data": [1, null], "rows": [1, "x"]})
    );
    let told = schema
        .read(
            "t",
            &json!({"headers": "{\"a\": 1}", "data": "0", "rows": [], "more": "{}"}).to_string(),
        )
        .unwrap_err();
    assert!(told.contains("/headers/a"), "{told}");
    let told = schema
        .read(
            "t",
            &json!({"headers": "{\"a\"", "data": "0", "rows": [], "more": "{}"}).to_string(),
        )
        .unwrap_err();
    assert!(
        told.contains("/headers") && told.contains("an object"),
        "{told}"
    );
}

#[test]
fn the_way_back_goes_through_alternatives_and_recursion() {
    let schema = strict(&json!({
        "type": "object",
        "properties": {
            "pet": {"oneOf": [
                {"type": "object", "properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}}, "required": ["kind"]},
                {"type": "object", "properties": {"kind": {"const": "dog"}, "lives": {"type": ["integer", "null"]}}, "required": ["kind"]},
            ]},
            "tree": {"$ref": "#/$defs/Node"},
        },
        "required": ["pet", "tree"],
        "$defs": {"Node": {"type": "object", "properties": {"name": {"type": "string"}, "next": {"$ref": "#/$defs/Node"}}, "required": []}},
    }));
    assert_eq!(
        read(
            &schema,
            &json!({"pet": {"kind": "cat", "lives": null}, "tree": {"name": null, "next": {"name": "x", "next": null}}})
        ),
        json!({"pet": {"kind": "cat"}, "tree": {"next": {"name": "x"}}})
    );
    assert_eq!(
        read(
            &schema,
            &json!({"pet": {"kind": "dog", "lives": null}, "tree": {"name": "y", "next": null}})
        ),
        json!({"pet": {"kind": "dog", "lives": null}, "tree": {"name": "y"}})
    );
}

#[test]
fn arguments_that_do_not_fit_are_told_so_that_the_model_can_repair_them() {
    let original = json!({
        "type": "object",
        "properties": {"id": {"type": "string", "minLength": 3}, "text": {"type": "string"}},
        "oneOf": [{"required": ["id"]}, {"required": ["text"]}],
    });
    for target in Target::ALL {
        let schema = InputSchema::new(&original, target);
        assert_eq!(read(&schema, &json!({"id": "abc"})), json!({"id": "abc"}));
        let told = schema.read("find", r#"{"id": "x"}"#).unwrap_err();
        assert_eq!(
            told,
            "The arguments for the tool \"find\" do not fit its schema: at /id they have 1 characters, and \
             the schema accepts at least 3. Call it again with arguments that fit."
        );
        let told = schema
            .read("find", r#"{"id": "abc", "text": "x"}"#)
            .unwrap_err();
        assert!(told.contains("exactly one of them"), "{told}");
        let told = schema.read("find", "{\"id\":").unwrap_err();
        assert!(
            told.starts_with("The arguments for the tool \"find\" are not valid JSON ("),
            "{told}"
        );
        let told = schema.read("find", "[]").unwrap_err();
        assert!(told.contains("a list instead of a JSON object"), "{told}");
        assert!(schema.read("find", " ").is_err());
    }
}

#[test]
fn a_schema_that_is_none_refuses_nothing() {
    let original = json!({"type": "object", "properties": {"a": {"type": "str", "$ref": 5}}});
    let schema = InputSchema::new(&original, Target::OpenAi);
    assert_eq!(read(&schema, &json!({"a": 1})), json!({"a": 1}));
}

#[test]
fn null_is_taken_where_openapi_says_that_it_is_nullable() {
    let original = json!({
        "type": "object", "properties": {"a": {"type": "string", "nullable": true}}, "required": ["a"],
    });
    for target in Target::ALL {
        let schema = InputSchema::new(&original, target);
        assert_eq!(read(&schema, &json!({"a": null})), json!({"a": null}));
        assert!(schema.read("t", r#"{"a": 1}"#).is_err());
    }
}

#[test]
fn a_member_with_a_name_that_the_target_refuses_is_sent_by_that_name() {
    let original = json!({
        "type": "object", "properties": {"user id": {"type": "string"}}, "required": ["user id"],
        "additionalProperties": false,
    });
    let schema = InputSchema::new(&original, Target::Anthropic);
    let lowered = schema.lowered();
    assert_eq!(
        lowered.schema,
        json!({"type": "object", "properties": {}, "required": []})
    );
    assert_eq!(
        lowered.remarks,
        "It has a member \"user id\" too, required, which fits {\"type\":\"string\"}."
    );
    assert_eq!(
        read(&schema, &json!({"user id": "x"})),
        json!({"user id": "x"})
    );
    assert!(schema.read("t", "{}").unwrap_err().contains("user id"));
}
