//! Schemas that want to be too much, and single rules of lowering.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use toolbridge::schema::lower::Action;
use toolbridge::schema::{Lowered, Target, is_plain, lower};

use super::rules::problems;

fn lowered(schema: &Value, target: Target) -> Lowered {
    let begun = Instant::now();
    let lowered = lower(schema, target);
    // Far more than it takes, far less than without a bound.
    assert!(
        begun.elapsed() < Duration::from_mins(1),
        "{}",
        target.name()
    );
    assert_eq!(
        problems(lowered.target, &lowered.schema),
        Vec::<String>::new(),
        "{}",
        target.name()
    );
    lowered
}

fn size(lowered: &Lowered) -> usize {
    lowered.schema.to_string().len() + lowered.remarks.len()
}

#[test]
fn doubled_references_do_not_blow_up() {
    let mut definitions = Map::new();
    for place in 0..40 {
        let next = json!({"$ref": format!("#/$defs/d{}", place + 1)});
        let both =
            json!({"type": "object", "properties": {"a": next, "b": next}, "required": ["a", "b"]});
        definitions.insert(format!("d{place}"), both);
    }
    definitions.insert("d40".to_owned(), json!({"type": "string"}));
    let schema = json!({
        "type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "required": ["a"], "$defs": definitions,
    });
    for target in Target::ALL {
        let lowered = lowered(&schema, target);
        assert!(
            size(&lowered) < 2_000_000,
            "{}: {}",
            target.name(),
            size(&lowered)
        );
    }
    for (keyword, schemas) in [("allOf", 2), ("anyOf", 2), ("oneOf", 3)] {
        let mut definitions = Map::new();
        for place in 0..40 {
            let next = json!({"$ref": format!("#/$defs/d{}", place + 1)});
            definitions.insert(format!("d{place}"), json!({keyword: vec![next; schemas]}));
        }
        definitions.insert(
            "d40".to_owned(),
            json!({"type": "object", "properties": {"x": {"type": "string"}}}),
        );
        let schema = json!({"$ref": "#/$defs/d0", "$defs": definitions});
        for target in Target::ALL {
            let lowered = self::lowered(&schema, target);
            assert!(
                size(&lowered) < 2_000_000,
                "{keyword} for {}: {}",
                target.name(),
                size(&lowered)
            );
        }
    }
}

#[test]
fn a_hundred_thousand_properties_stay_as_many() {
    let properties: Map<String, Value> = (0..100_000)
        .map(|place| {
            (
                format!("p{place}"),
                json!({"type": "string", "minLength": 1, "default": "x"}),
            )
        })
        .collect();
    let schema = json!({"type": "object", "properties": properties});
    let before = schema.to_string().len();
    for target in [Target::OpenAi, Target::Gemini] {
        let lowered = lowered(&schema, target);
        assert_eq!(
            lowered.schema["properties"].as_object().unwrap().len(),
            100_000
        );
        assert!(size(&lowered) < before * 2, "{}", target.name());
        assert!(lowered.changes.len() <= 1_001, "{}", target.name());
    }
    let gemini = lower(&schema, Target::Gemini);
    assert_eq!(gemini.more_changes, 2 * 100_000 - 1_000);
    let properties: Map<String, Value> = (0..5_001)
        .map(|place| (format!("p{place}"), json!({"type": "string"})))
        .collect();
    let strict = lower(
        &json!({"type": "object", "properties": properties}),
        Target::OpenAiStrict,
    );
    assert_eq!(strict.target, Target::OpenAi);
    assert_eq!(strict.changes[0].action, Action::Widened);
}

#[test]
fn many_alternatives_and_parts_stay_bounded() {
    let forms: Vec<Value> = (0..3_000)
        .map(|place| json!({"properties": {format!("p{place}"): {"type": "string"}, "kind": {"const": place}}, "required": [format!("p{place}")]}))
        .collect();
    for keyword in ["anyOf", "oneOf", "allOf"] {
        for schema in [
            json!({"type": "object", keyword: forms}),
            json!({"type": "object", "properties": {"a": {"type": "object", "properties": {"z": {"type": "string"}}, keyword: forms}}}),
        ] {
            let before = schema.to_string().len();
            for target in Target::ALL {
                let lowered = lowered(&schema, target);
                assert!(
                    size(&lowered) < before * 4,
                    "{keyword} for {}: {}",
                    target.name(),
                    size(&lowered)
                );
            }
        }
    }
}

#[test]
fn what_stands_too_deep_is_cut() {
    for keyword in [
        "properties",
        "items",
        "anyOf",
        "allOf",
        "not",
        "additionalProperties",
        "if",
    ] {
        let mut schema = json!({"type": "string"});
        // As deep as JSON is read.
        for _ in 0..100 {
            schema = match keyword {
                "properties" => {
                    json!({"type": "object", "properties": {"a": schema}, "required": ["a"]})
                }
                "items" => json!({"type": "array", "items": schema}),
                "anyOf" | "allOf" => json!({keyword: [schema, {"type": "string"}]}),
                "if" => json!({"if": schema, "then": {"type": "string"}}),
                _ => json!({"type": "object", keyword: schema}),
            };
        }
        let schema = json!({"type": "object", "properties": {"a": schema}});
        for target in Target::ALL {
            let lowered = lower(&schema, target);
            assert!(size(&lowered) < 200_000, "{keyword} for {}", target.name());
            assert!(lowered.is_changed());
        }
    }
}

#[test]
fn references_into_one_another_end() {
    for definitions in [
        json!({"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}),
        json!({"a": {"allOf": [{"$ref": "#/$defs/a"}]}, "b": {}}),
        json!({"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]}, "b": {"oneOf": [{"$ref": "#/$defs/a"}]}}),
        json!({"a": {"not": {"$ref": "#/$defs/a"}}, "b": {"if": {"$ref": "#/$defs/b"}, "then": {"$ref": "#/$defs/a"}}}),
        json!({"a": {"properties": {"x": {"$ref": "#"}}}, "b": {"items": {"$ref": "#/$defs/b/items"}}}),
        json!({"a": {"$ref": "#/$defs/a"}, "b": {"$ref": "#/properties/b"}}),
    ] {
        for schema in [
            json!({"$ref": "#/$defs/a", "$defs": definitions}),
            json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}, "b": {"$ref": "#/$defs/b"}}, "$defs": definitions}),
            json!({"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}], "$defs": definitions}),
            json!({"oneOf": [{"$ref": "#"}, {"$ref": "#/$defs/b"}], "$defs": definitions}),
        ] {
            for target in Target::ALL {
                let lowered = lowered(&schema, target);
                assert!(
                    size(&lowered) < 100_000,
                    "{schema} for {}: {}",
                    target.name(),
                    size(&lowered)
                );
            }
        }
    }
}

#[test]
fn long_texts_do_not_grow_descriptions_without_end() {
    let long = "x".repeat(1_000_000);
    let schema = json!({
        "type": "object",
        "properties": {"a": {"type": "string", "pattern": long, "not": {"const": long}, "default": long}},
        "not": {"const": long},
        "dependentRequired": {"a": [long]},
    });
    for target in [
        Target::OpenAiStrict,
        Target::Gemini,
        Target::Ollama,
        Target::BedrockNova,
    ] {
        let lowered = lowered(&schema, target);
        let description = lowered.schema["properties"]["a"]["description"]
            .as_str()
            .unwrap_or_default();
        assert!(description.len() < 3_000, "{}", target.name());
        assert!(lowered.remarks.len() < 3_000, "{}", target.name());
    }
}

#[test]
fn what_strict_mode_cannot_hold_is_sent_without_it() {
    for schema in [
        json!({"type": "object", "additionalProperties": {"type": "string"}}),
        json!({"type": "object", "properties": {}, "additionalProperties": true}),
        json!({"type": "object", "patternProperties": {"^x": {"type": "string"}}}),
        json!({"type": "object", "properties": {"a": {"type": "string", "enum": (0..1_001).map(|one| one.to_string()).collect::<Vec<_>>()}}}),
    ] {
        let lowered = lowered(&schema, Target::OpenAiStrict);
        assert_eq!(lowered.target, Target::OpenAi, "{schema}");
        assert!(
            lowered.changes[0].to_string().contains("strict mode"),
            "{schema}"
        );
    }
}

#[test]
fn a_change_says_where_it_is_and_what_became_of_it() {
    let schema = json!({"type": "object", "properties": {"a/b": {"items": {"type": "string", "minLength": 2}, "type": "array"}}});
    let lowered = lower(&schema, Target::Gemini);
    assert_eq!(
        lowered.changes[0].to_string(),
        "/properties/a~1b/items: \"minLength\" described: the target does not know it"
    );
    assert_eq!(lowered.changes.len(), 1);
}

#[test]
fn a_member_that_is_not_there_is_not_required() {
    let schema = json!({
        "type": "object",
        "properties": {"a": {"properties": {"a": false, "b": {}}, "required": ["a", "b"]}},
    });
    for target in Target::ALL {
        let once = lowered(&schema, target);
        let twice = lower(&once.schema, once.target);
        assert!(!twice.is_changed(), "{}: {}", target.name(), twice.schema);
    }
    let gemini = lowered(&schema, Target::Gemini).schema;
    let inner = gemini["properties"]["a"].clone();
    assert_eq!(inner["required"], json!(["b"]));
    assert!(inner["properties"].get("a").is_none(), "{inner}");
}

#[test]
fn targets_are_known_by_their_names() {
    for target in Target::ALL {
        assert_eq!(Target::from_name(target.name()), Some(target));
    }
    assert_eq!(Target::from_name("other"), None);
}

#[test]
fn what_servers_write_mostly_is_plain_and_what_has_to_change_is_not() {
    let of = |property: Value| json!({"type": "object", "properties": {"x": property}});
    let optional =
        json!({"anyOf": [{"type": "string"}, {"type": "null"}], "default": null, "title": "X"});
    for (schema, target, expected) in [
        (of(optional.clone()), Target::OpenAi, true),
        (of(optional.clone()), Target::Bedrock, true),
        (of(optional), Target::Gemini, false),
        (of(json!({"type": "array"})), Target::OpenAi, false),
        (of(json!({"anyOf": []})), Target::OpenAi, false),
        (
            of(json!({"type": "string", "enum": ["a", "a"]})),
            Target::Anthropic,
            false,
        ),
        (json!({"type": "object"}), Target::OpenAi, false),
        (
            json!({"anyOf": [{"type": "object", "properties": {}}]}),
            Target::OpenAi,
            false,
        ),
    ] {
        assert_eq!(
            is_plain(&schema, target),
            expected,
            "{}: {schema}",
            target.name()
        );
    }
}
