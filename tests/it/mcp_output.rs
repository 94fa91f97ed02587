//! Structured results against output schemas.

use std::fmt::Write as _;

use serde_json::{Value, json};
use toolbridge::error::{Error, ErrorKind};
use toolbridge::json::RawJson;
use toolbridge::mcp::client::output::{may_be_structured, validate};
use toolbridge::schema::Schema;

fn check(schema: &Value, content: &Value) -> Result<(), Error> {
    check_text(&schema.to_string(), &content.to_string())
}

fn check_text(schema: &str, content: &str) -> Result<(), Error> {
    let compiled = Schema::compile(schema);
    let schema = compiled.as_ref().map_err(String::as_str);
    let result = format!(r#"{{"content":[],"structuredContent":{content}}}"#);
    validate("t", Some(schema), &RawJson::parse(result).unwrap())
}

fn validate_text(schema: &str, result: &str) -> Result<(), Error> {
    let compiled = Schema::compile(schema);
    let schema = compiled.as_ref().map_err(String::as_str);
    validate(
        "t",
        Some(schema),
        &RawJson::parse(result.to_owned()).unwrap(),
    )
}

#[test]
fn a_mismatch_names_the_tool_the_place_what_was_found_and_what_is_accepted() {
    let schema = json!({"type": "object", "properties": {"rows": {"items": {
        "properties": {"a/b": {"type": ["integer", "null"]}}, "required": ["a/b"],
        "additionalProperties": false,
    }}}});
    for (content, path, found, accepted) in [
        (json!([]), "", "an array of 0 items", "an object"),
        (
            json!({"rows": [{"a/b": 1.0}, {"a/b": "x"}]}),
            "/rows/1/a~1b",
            "the string \"x\"",
            "an integer or null",
        ),
        (
            json!({"rows": [{}]}),
            "/rows/0",
            "no member \"a/b\"",
            "an object that has it",
        ),
        (
            json!({"rows": [{"a/b": 1, "c": 2}]}),
            "/rows/0",
            "a member \"c\"",
            "no other members than \"a/b\"",
        ),
    ] {
        let error = check(&schema, &content).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ToolOutput);
        let data: Value = serde_json::from_str(error.context().rpc_data.as_ref().unwrap()).unwrap();
        let expected = json!({"tool": "t", "path": path, "found": found, "accepted": accepted});
        assert_eq!(data, expected);
        for part in ["\"t\"", found, accepted, "validate_output=False"] {
            assert!(error.message().contains(part), "{error}");
        }
    }
}

#[test]
fn what_a_schema_of_either_draft_says_is_checked() {
    let draft_07 = "http://json-schema.org/draft-07/schema#";
    for (schema, good, bad) in [
        (json!({"type": "integer"}), json!(3.0), json!(3.5)),
        (
            json!({"const": {"a": 1, "b": [1.0]}}),
            json!({"b": [1], "a": 1.0}),
            json!({"a": 1}),
        ),
        (json!({"enum": ["a", null]}), json!(null), json!("b")),
        (
            json!({"minimum": 1, "exclusiveMaximum": 2}),
            json!(1),
            json!(2),
        ),
        (json!({"multipleOf": 0.01}), json!(19.99), json!(19.999)),
        (
            json!({"minLength": 2, "maxLength": 2}),
            json!("💩é"),
            json!("abc"),
        ),
        (json!({"pattern": "^(?!x)\\d+$"}), json!("12"), json!("x1")),
        (
            json!({"uniqueItems": true}),
            json!([1, "1", true]),
            json!([1, {}, 1.0]),
        ),
        (
            json!({"prefixItems": [true, {"type": "null"}], "items": false}),
            json!([1]),
            json!([1, 2]),
        ),
        (
            json!({"$schema": draft_07, "items": [{"type": "null"}], "additionalItems": {"type": "string"}}),
            json!([null, "a"]),
            json!([null, 1]),
        ),
        (
            json!({"contains": {"type": "null"}, "minContains": 2, "maxContains": 2}),
            json!([null, 1, null]),
            json!([null]),
        ),
        (
            json!({"minProperties": 1, "maxProperties": 1}),
            json!({"a": 1}),
            json!({}),
        ),
        (
            json!({"patternProperties": {"^a": {"type": "null"}}}),
            json!({"b": 1}),
            json!({"ab": 1}),
        ),
        (
            json!({"propertyNames": {"maxLength": 1}}),
            json!({"a": 1}),
            json!({"ab": 1}),
        ),
        (
            json!({"dependentRequired": {"a": ["b"]}}),
            json!({"b": 1}),
            json!({"a": 1}),
        ),
        (
            json!({"$schema": draft_07, "dependencies": {"a": ["b"]}}),
            json!({"b": 1}),
            json!({"a": 1}),
        ),
        (
            json!({"dependentSchemas": {"a": {"required": ["c"]}}}),
            json!({"a": 1, "c": 1}),
            json!({"a": 1}),
        ),
        (
            json!({"anyOf": [{"type": "null"}, {"minimum": 2}]}),
            json!(null),
            json!(1),
        ),
        (
            json!({"oneOf": [{"type": "integer"}, {"minimum": 2}]}),
            json!(1),
            json!(3),
        ),
        (json!({"not": {"type": "null"}}), json!(1), json!(null)),
        (
            json!({"if": {"type": "integer"}, "then": {"minimum": 2}, "else": {"type": "null"}}),
            json!(2),
            json!(1),
        ),
        (
            json!({"$ref": "#/$defs/a~1b%25", "$defs": {"a/b%": {"type": "null"}}}),
            json!(null),
            json!(1),
        ),
        (
            json!({"$ref": "#a", "$defs": {"x": {"$anchor": "a", "type": "null"}}}),
            json!(null),
            json!(1),
        ),
        (
            json!({"$id": "https://example.com/root", "$ref": "item",
                   "$defs": {"x": {"$id": "item", "$ref": "#/$defs/y", "$defs": {"y": {"type": "null"}}}}}),
            json!(null),
            json!(1),
        ),
        (
            json!({"$schema": draft_07, "$ref": "#/definitions/a", "type": "string",
                   "definitions": {"a": {"type": "null"}}}),
            json!(null),
            json!("a"),
        ),
        (
            json!({"allOf": [{"properties": {"a": true}}], "unevaluatedProperties": false}),
            json!({"a": 1}),
            json!({"a": 1, "b": 1}),
        ),
        (
            json!({"allOf": [{"properties": {"a": true}}, {"unevaluatedProperties": {"type": "null"}}]}),
            json!({"b": null}),
            json!({"a": 1}),
        ),
        (
            json!({"anyOf": [{"prefixItems": [{"type": "null"}]}, true], "unevaluatedItems": false}),
            json!([null]),
            json!([1]),
        ),
        (
            json!({"$id": "https://example.com/tree", "$dynamicAnchor": "node",
                   "$ref": "plain", "unevaluatedProperties": false,
                   "$defs": {"p": {"$id": "plain", "$dynamicAnchor": "node", "properties": {
                       "data": true, "children": {"items": {"$dynamicRef": "#node"}}}}}}),
            json!({"children": [{"data": 1}]}),
            json!({"children": [{"daat": 1}]}),
        ),
        (json!(true), json!(1), json!(null)),
    ] {
        let outcome = check(&schema, &good);
        assert!(outcome.is_ok(), "{schema} {good}: {outcome:?}");
        if schema != json!(true) {
            assert!(check(&schema, &bad).is_err(), "{schema} {bad}");
        }
    }
}

#[test]
fn a_schema_that_cannot_be_used_is_reported_and_nothing_is_fetched() {
    for (schema, part) in [
        (
            json!({"$ref": "http://127.0.0.1:1/schema"}),
            "nothing is fetched",
        ),
        (json!({"$ref": "file:///etc/passwd"}), "nothing is fetched"),
        (json!({"$ref": "other.json"}), "nothing is fetched"),
        (json!({"$ref": "#/$defs/none"}), "which it does not have"),
        (json!({"$ref": 7}), "it takes a text"),
        (
            json!({"properties": {"a": {"type": "strin"}}}),
            "it takes any of null, boolean",
        ),
        (json!({"pattern": "(a"}), "no regular expression"),
        (
            json!({"pattern": "(a{1000}){1000}"}),
            "no regular expression",
        ),
        (json!({"minimum": "1"}), "it takes a number"),
        (json!({"minLength": -1}), "whole number"),
        (json!({"allOf": {}}), "a list of schemas"),
        (json!({"required": [1]}), "a list of texts"),
        (json!({"properties": []}), "an object"),
        (json!({"items": 5}), "where a schema is needed"),
        (json!("a schema"), "where a schema is needed"),
    ] {
        let error = check(&schema, &json!(1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ToolOutput);
        assert!(error.message().contains(part), "{error}");
        assert!(error.message().contains("\"t\""), "{error}");
    }
}

#[test]
fn only_final_results_without_is_error_are_checked() {
    let schema = r#"{"type":"object"}"#;
    for result in [
        r#"{"content":[],"isError":true}"#,
        r#"{"structuredContent":7,"isError":true}"#,
        r#"{"resultType":"input_required","inputRequests":{}}"#,
        r#"{"resultType":"task","taskId":"1"}"#,
        r#"{"structuredContent":{},"isError":false,"resultType":"complete"}"#,
    ] {
        assert!(validate_text(schema, result).is_ok(), "{result}");
    }
    let error = validate_text(schema, r#"{"content":[]}"#).unwrap_err();
    assert!(error.message().contains("has no structuredContent"));
    let error = validate_text(schema, r#"{"structuredContent":null}"#).unwrap_err();
    assert!(error.message().contains("it has null"));
    assert!(validate_text(r#"{"type":"null"}"#, r#"{"structuredContent":null}"#).is_ok());
    assert!(validate("t", None, &RawJson::parse(r#"{"content":[]}"#).unwrap()).is_ok());
    assert!(may_be_structured(
        &RawJson::parse(r#"{"structuredContent":1}"#).unwrap()
    ));
    assert!(!may_be_structured(
        &RawJson::parse(r#"{"content":[]}"#).unwrap()
    ));
}

#[test]
fn numbers_are_compared_exactly() {
    let schema = r#"{"maximum":9007199254740992}"#;
    assert!(check_text(schema, "9007199254740992").is_ok());
    assert!(check_text(schema, "9007199254740993").is_err());
    assert!(check_text(r#"{"multipleOf":3}"#, "1e1000000000").is_err());
    assert!(
        check_text(
            r#"{"type":"integer"}"#,
            "123456789012345678901234567890123456789012"
        )
        .is_ok()
    );
}

/// Schemas that would take longer than the age of the universe, or the whole stack.
#[test]
fn no_schema_takes_for_ever() {
    let mut schemas = vec![
        json!({"$ref": "#"}),
        json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}),
        json!({"$dynamicAnchor": "x", "$dynamicRef": "#x"}),
        json!({"pattern": "^(?=(a+)+$)(a+)+\\1$"}),
    ];
    for (keyword, minimum) in [("allOf", 9), ("anyOf", 99), ("oneOf", 99)] {
        let mut definitions = serde_json::Map::new();
        for number in 0..64 {
            let next = json!({"$ref": format!("#/$defs/d{}", number + 1)});
            definitions.insert(format!("d{number}"), json!({keyword: [next.clone(), next]}));
        }
        definitions.insert("d64".to_owned(), json!({"minLength": minimum}));
        schemas.push(json!({"$defs": definitions, "$ref": "#/$defs/d0"}));
    }
    let mut chain = serde_json::Map::new();
    for number in 0..20_000 {
        let next = format!("#/$defs/d{}", number + 1);
        chain.insert(format!("d{number}"), json!({"$ref": next}));
    }
    chain.insert("d20000".to_owned(), json!(true));
    schemas.push(json!({"$defs": chain, "$ref": "#/$defs/d0"}));
    let text = format!("{}b", "a".repeat(40));
    for schema in schemas {
        // Less than the stack of a tokio worker.
        let content = json!(text);
        let shown: String = schema.to_string().chars().take(200).collect();
        let error = std::thread::Builder::new()
            .stack_size(3 << 19)
            .spawn(move || check(&schema, &content))
            .unwrap()
            .join()
            .unwrap();
        assert_eq!(error.unwrap_err().kind(), ErrorKind::ToolOutput, "{shown}");
    }
    let depth = 126;
    let mut deep = String::new();
    for _ in 0..depth {
        write!(deep, r#"{{"c":"#).unwrap();
    }
    deep.push_str("{}");
    deep.push_str(&"}".repeat(depth));
    let branching = json!({"$ref": "#/$defs/n", "$defs": {"n": {"allOf": [
        {"properties": {"c": {"$ref": "#/$defs/n"}}}, {"properties": {"c": {"$ref": "#/$defs/n"}}}]}}});
    assert!(check_text(&branching.to_string(), &deep).is_err());
    let tree = json!({"properties": {"c": {"$ref": "#"}}, "additionalProperties": false});
    assert!(check_text(&tree.to_string(), &deep).is_ok());
}

/// Each of them is cheap once, and is asked of every member of a large value.
#[test]
fn what_is_cheap_once_is_counted_too() {
    let members: serde_json::Map<_, _> = (0..2_000).map(|at| (at.to_string(), at.into())).collect();
    let patterns: serde_json::Map<_, _> = (0..2_000)
        .map(|at| (format!("^x{at}$"), json!({})))
        .collect();
    let items = vec![json!({"a": 1}); 2_000];
    let required = vec!["a"; 100_000];
    let types = vec!["string"; 100_000];
    let all = vec![json!({"properties": {}, "additionalProperties": true}); 2_000];
    for (schema, content) in [
        (json!({"patternProperties": patterns}), json!(members)),
        (json!({"items": {"required": required}}), json!(items)),
        (
            json!({"items": {"dependentRequired": {"a": required}}}),
            json!(items),
        ),
        (json!({"contains": {"type": types}}), json!(items)),
        (json!({"allOf": all}), json!(members)),
    ] {
        let error = check(&schema, &content).unwrap_err();
        assert!(error.to_string().contains("takes too long"), "{error}");
    }
}

#[test]
fn a_megabyte_of_content_is_within_the_limits() {
    let schema = json!({"items": {"$ref": "#/$defs/row"}, "$defs": {"row": {
        "type": "object", "required": ["id", "name"], "additionalProperties": false,
        "properties": {"id": {"type": "integer"}, "name": {"anyOf": [{"type": "null"}, {"type": "string"}]}},
    }}});
    let rows: Vec<Value> = (0..40_000)
        .map(|id| json!({"id": id, "name": "n"}))
        .collect();
    check(&schema, &Value::Array(rows)).unwrap();
}

/// Each of these searches alone is within the limits.
#[test]
fn backtracking_is_counted_over_the_whole_check() {
    let words: Vec<String> = (0..2_000)
        .map(|at| format!("{}{at}", "a".repeat(14)))
        .collect();
    let members: serde_json::Map<_, _> =
        words.iter().map(|word| (word.clone(), json!(1))).collect();
    let one: serde_json::Map<_, _> = members.clone().into_iter().take(1).collect();
    let twice = r"^(a|aa)+\1$";
    for (schema, few, many) in [
        (
            json!({"items": {"anyOf": [{"pattern": twice}, true]}}),
            json!(words[..1]),
            json!(words),
        ),
        (
            json!({"patternProperties": {twice: true}}),
            json!(one),
            json!(members),
        ),
        (
            json!({"propertyNames": {"not": {"pattern": twice}}}),
            json!(one),
            json!(members),
        ),
    ] {
        check(&schema, &few).unwrap();
        let error = check(&schema, &many).unwrap_err();
        assert!(error.to_string().contains("takes too long"), "{error}");
    }
    let scans = json!({"not": {"pattern": r"(?=.*x)b"}});
    check(&scans, &json!("a".repeat(1_000))).unwrap();
    assert!(check(&scans, &json!("ab".repeat(20_000))).is_err());
}

#[test]
fn a_pattern_that_has_to_turn_back_now_and_then_is_followed() {
    let strong = r"^(?=.*[A-Z])(?=.*\d)(?!.*(.)\1\1).{8,}$";
    let words: Vec<String> = (0..2_000)
        .map(|at| format!("Passw0rd{}ab", at % 100))
        .collect();
    check(&json!({"items": {"pattern": strong}}), &json!(words)).unwrap();
    assert!(check(&json!({"pattern": strong}), &json!("Passw0rdaaa")).is_err());
    let long = "x".repeat(1_000) + "bar";
    check(&json!({"pattern": "(?<!foo)bar"}), &json!(long)).unwrap();
}

#[test]
fn the_patterns_of_a_schema_are_compiled_within_limits() {
    let of = |count: usize, text: &str| {
        let patterns: serde_json::Map<_, _> = (0..count)
            .map(|at| (format!("{text}{at}"), json!({})))
            .collect();
        Schema::compile(&json!({"patternProperties": patterns}).to_string()).map(drop)
    };
    of(20, r"^\w{20}x").unwrap();
    for (count, text) in [(40, r"^\w{20}x"), (5_000, "^x")] {
        let reason = of(count, text).unwrap_err();
        assert!(reason.contains("patterns"), "{reason}");
    }
}
