//! The rules of the targets, as the providers write them down or as their refusals name them; written
//! without a look at what the engine knows of them. Each is shown refusing.

use std::collections::HashSet;

use serde_json::{Map, Value, json};
use toolbridge::schema::Target;

/// What a target would refuse about a schema of arguments, or overlook.
pub(super) fn problems(target: Target, schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    root(schema, &mut found);
    match target {
        Target::OpenAi | Target::OpenAiResponses => {
            standard(schema, true, &mut found);
            without_at_the_root(
                schema,
                &["oneOf", "anyOf", "allOf", "enum", "not"],
                &mut found,
            );
            each(schema, &mut |path, keywords, _| {
                openai(path, keywords, &mut found);
            });
        }
        Target::OpenAiStrict => strict(schema, &mut found),
        Target::Anthropic | Target::Bedrock => {
            standard(schema, true, &mut found);
            without_at_the_root(schema, &["oneOf", "anyOf", "allOf"], &mut found);
            each(schema, &mut |path, keywords, _| {
                for name in names(keywords, "properties") {
                    let is_fine = !name.is_empty()
                        && name.len() <= 64
                        && name
                            .chars()
                            .all(|letter| letter.is_ascii_alphanumeric() || "_.-".contains(letter));
                    if !is_fine {
                        found.push(format!(
                            "{path}: Property keys should match pattern '^[a-zA-Z0-9_.-]{{1,64}}$': {name:?}"
                        ));
                    }
                }
            });
        }
        Target::Gemini => gemini(schema, &mut found),
        Target::BedrockNova => {
            standard(schema, false, &mut found);
            only_at_the_root(schema, &["type", "properties", "required"], &mut found);
        }
        Target::Cohere => cohere(schema, &mut found),
        Target::Ollama => ollama(schema, &mut found),
        Target::Mistral => {
            standard(schema, true, &mut found);
            each(schema, &mut |path, keywords, _| {
                for name in ["$schema", "$id", "id"] {
                    if keywords.contains_key(name) {
                        found.push(format!("{path}: the grammar fails on {name}"));
                    }
                }
            });
        }
        _ => found.push("a target without rules".to_owned()),
    }
    found
}

/// Everybody wants an object with its properties.
fn root(schema: &Value, found: &mut Vec<String>) {
    if schema.get("type") != Some(&json!("object")) {
        found.push(": schema must be a JSON Schema of 'type: \"object\"'".to_owned());
    }
    if !schema.get("properties").is_some_and(Value::is_object) {
        found.push(": object schema missing properties".to_owned());
    }
}

fn without_at_the_root(schema: &Value, refused: &[&str], found: &mut Vec<String>) {
    for keyword in refused {
        if schema.get(keyword).is_some() {
            found.push(format!(": {keyword} is refused at the top level"));
        }
    }
}

fn only_at_the_root(schema: &Value, known: &[&str], found: &mut Vec<String>) {
    for keyword in schema.as_object().into_iter().flat_map(Map::keys) {
        if !known.contains(&keyword.as_str()) {
            found.push(format!(": extraneous key [{keyword}] is not permitted"));
        }
    }
}

type Visit<'a> = dyn FnMut(&str, &Map<String, Value>, bool) + 'a;

/// Goes through all schemas of a schema that are objects; says of each where it is, and whether it is
/// the root.
fn each(schema: &Value, visit: &mut Visit<'_>) {
    fn go(path: &str, schema: &Value, visit: &mut Visit<'_>) {
        let Value::Object(keywords) = schema else {
            return;
        };
        visit(path, keywords, path.is_empty());
        for (keyword, value) in keywords {
            let here = format!("{path}/{keyword}");
            match (keyword.as_str(), value) {
                (
                    "properties" | "patternProperties" | "$defs" | "definitions"
                    | "dependentSchemas",
                    Value::Object(members),
                ) => {
                    for (name, member) in members {
                        go(&format!("{here}/{name}"), member, visit);
                    }
                }
                ("allOf" | "anyOf" | "oneOf" | "prefixItems", Value::Array(schemas)) => {
                    for (place, schema) in schemas.iter().enumerate() {
                        go(&format!("{here}/{place}"), schema, visit);
                    }
                }
                (
                    "items"
                    | "additionalItems"
                    | "additionalProperties"
                    | "contains"
                    | "not"
                    | "if"
                    | "then"
                    | "else"
                    | "propertyNames"
                    | "unevaluatedItems"
                    | "unevaluatedProperties",
                    schema,
                ) => go(&here, schema, visit),
                _ => {}
            }
        }
    }
    go("", schema, visit);
}

fn names<'a>(keywords: &'a Map<String, Value>, keyword: &str) -> Vec<&'a str> {
    match keywords.get(keyword) {
        Some(Value::Object(members)) => members.keys().map(String::as_str).collect(),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn kinds(keywords: &Map<String, Value>) -> Vec<&str> {
    match keywords.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The meta-schema of JSON Schema 2020-12, and references that lead somewhere.
fn standard(schema: &Value, has_references: bool, found: &mut Vec<String>) {
    const KINDS: [&str; 7] = [
        "array", "boolean", "integer", "null", "number", "object", "string",
    ];
    let is_schema = |value: &Value| value.is_object() || value.is_boolean();
    let texts = |value: &Value| {
        value.as_array().is_some_and(|all| {
            let unique: HashSet<_> = all.iter().filter_map(Value::as_str).collect();
            unique.len() == all.len()
        })
    };
    each(schema, &mut |path, keywords, _| {
        for (keyword, value) in keywords {
            let is_right = match keyword.as_str() {
                "type" => {
                    let known =
                        |kind: &Value| kind.as_str().is_some_and(|kind| KINDS.contains(&kind));
                    known(value)
                        || texts(value)
                            && value
                                .as_array()
                                .is_some_and(|all| !all.is_empty() && all.iter().all(known))
                }
                "$schema" | "$id" | "$ref" | "$anchor" | "title" | "description" | "format"
                | "pattern" | "$comment" => value.is_string(),
                "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => {
                    value.is_number()
                }
                "multipleOf" => value.as_f64().is_some_and(|step| step > 0.0),
                "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties"
                | "maxProperties" | "minContains" | "maxContains" => value
                    .as_f64()
                    .is_some_and(|count| count >= 0.0 && count.fract() == 0.0),
                "uniqueItems" | "deprecated" | "readOnly" | "writeOnly" => value.is_boolean(),
                "required" => texts(value),
                "enum" => value.as_array().is_some_and(|all| !all.is_empty()),
                "examples" => value.is_array(),
                "items"
                | "additionalProperties"
                | "contains"
                | "not"
                | "if"
                | "then"
                | "else"
                | "propertyNames"
                | "unevaluatedItems"
                | "unevaluatedProperties" => is_schema(value),
                "allOf" | "anyOf" | "oneOf" | "prefixItems" => value
                    .as_array()
                    .is_some_and(|all| !all.is_empty() && all.iter().all(is_schema)),
                "properties" | "patternProperties" | "$defs" | "definitions"
                | "dependentSchemas" => value
                    .as_object()
                    .is_some_and(|all| all.values().all(is_schema)),
                "dependentRequired" => value.as_object().is_some_and(|all| all.values().all(texts)),
                _ => true,
            };
            if !is_right {
                found.push(format!(
                    "{path}/{keyword}: {value} is not valid under draft 2020-12"
                ));
            }
        }
        if let Some(Value::String(reference)) = keywords.get("$ref") {
            let target = reference
                .strip_prefix('#')
                .and_then(|pointer| schema.pointer(pointer));
            if !has_references {
                found.push(format!(
                    "{path}: {reference} refers to a definition that cannot be sent"
                ));
            } else if target.is_none() {
                found.push(format!("{path}: {reference} is unresolvable"));
            }
        }
        if keywords.contains_key("$dynamicRef") || keywords.contains_key("$recursiveRef") {
            found.push(format!("{path}: a reference that nobody follows"));
        }
    });
}

/// Schemas in the form of objects alone.
fn objects_alone(schema: &Value, found: &mut Vec<String>) {
    each(schema, &mut |path, keywords, _| {
        let listed = ["anyOf", "oneOf", "prefixItems"];
        let lists = listed
            .iter()
            .filter_map(|keyword| keywords.get(*keyword)?.as_array());
        let named = keywords.get("properties").and_then(Value::as_object);
        let mut inside = lists
            .flatten()
            .chain(named.into_iter().flat_map(Map::values))
            .chain(keywords.get("items"));
        if inside.any(Value::is_boolean) {
            found.push(format!("{path}: true and false are no schemas here"));
        }
    });
}

fn openai(path: &str, keywords: &Map<String, Value>, found: &mut Vec<String>) {
    if kinds(keywords).contains(&"array") && !keywords.get("items").is_some_and(Value::is_object) {
        found.push(format!("{path}: array schema missing items"));
    }
    if let Some(Value::String(pattern)) = keywords.get("pattern")
        && ["\\p{", "\\P{", "(?<n"]
            .iter()
            .any(|sign| pattern.contains(sign))
    {
        found.push(format!("{path}: {pattern} is not a 'regex'"));
    }
}

fn only(path: &str, keywords: &Map<String, Value>, known: &[&str], found: &mut Vec<String>) {
    for keyword in keywords.keys() {
        if !known.contains(&keyword.as_str()) {
            found.push(format!("{path}: {keyword:?} is not permitted"));
        }
    }
}

fn strict(schema: &Value, found: &mut Vec<String>) {
    const KNOWN: [&str; 23] = [
        "$schema",
        "$ref",
        "$defs",
        "definitions",
        "type",
        "title",
        "description",
        "enum",
        "const",
        "anyOf",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "pattern",
        "format",
    ];
    const FORMATS: [&str; 9] = [
        "date-time",
        "time",
        "date",
        "duration",
        "email",
        "hostname",
        "ipv4",
        "ipv6",
        "uuid",
    ];
    standard(schema, true, found);
    objects_alone(schema, found);
    without_at_the_root(schema, &["anyOf", "enum", "$ref"], found);
    let (mut properties, mut choices) = (0, 0);
    each(schema, &mut |path, keywords, is_root| {
        only(path, keywords, &KNOWN, found);
        openai(path, keywords, found);
        if let Some(reference) = keywords.get("$ref").and_then(Value::as_str) {
            if keywords.len() > 1 {
                found.push(format!("{path}: $ref cannot have keywords beside it"));
            }
            let parts: Vec<_> = reference.split('/').collect();
            if !matches!(parts[..], ["#", "$defs" | "definitions", _]) {
                found.push(format!("{path}: {reference} can only point to definitions"));
            }
            return;
        }
        if !["type", "anyOf"]
            .iter()
            .any(|key| keywords.contains_key(*key))
        {
            found.push(format!("{path}: schema must have a 'type' key"));
        }
        if kinds(keywords).contains(&"object") {
            let known: HashSet<_> = names(keywords, "properties").into_iter().collect();
            let required: HashSet<_> = names(keywords, "required").into_iter().collect();
            if known != required || !keywords.contains_key("required") {
                found.push(format!(
                    "{path}: 'required' has to include every key in properties, and no other"
                ));
            }
            if keywords.get("additionalProperties") != Some(&json!(false)) {
                found.push(format!("{path}: 'additionalProperties' has to be false"));
            }
            properties += known.len();
        } else if keywords.contains_key("properties") {
            found.push(format!(
                "{path}: properties of something else than an object"
            ));
        }
        if let Some(Value::String(format)) = keywords.get("format")
            && !FORMATS.contains(&format.as_str())
        {
            found.push(format!("{path}: '{format}' is not a valid format"));
        }
        if let Some(Value::String(pattern)) = keywords.get("pattern")
            && pattern.contains("(?")
            && !pattern.contains("(?:")
        {
            found.push(format!("{path}: regex lookaround is not supported"));
        }
        if keywords.contains_key("anyOf") && keywords.contains_key("type") {
            found.push(format!("{path}: a type beside anyOf"));
        }
        if let Some(Value::Array(all)) = keywords.get("enum") {
            choices += all.len();
            if all.iter().any(|one| one.is_object() || one.is_array()) {
                found.push(format!("{path}: choices that hold something"));
            }
        }
        if is_root && keywords.get("additionalProperties") != Some(&json!(false)) {
            found.push(": the root has to be closed".to_owned());
        }
    });
    if nesting(schema) > 10 {
        found.push(format!(
            ": {} levels of nesting exceed the limit of 10",
            nesting(schema)
        ));
    }
    if properties > 5_000 || choices > 1_000 {
        found.push(": more properties or choices than the limit".to_owned());
    }
}

/// How deep objects and lists stand in one another.
fn nesting(schema: &Value) -> usize {
    let Value::Object(keywords) = schema else {
        return 0;
    };
    let mut deepest = 0;
    for (keyword, value) in keywords {
        let inside = match (keyword.as_str(), value) {
            ("properties", Value::Object(members)) => {
                1 + members.values().map(nesting).max().unwrap_or(0)
            }
            ("items", items) => 1 + nesting(items),
            ("anyOf", Value::Array(schemas)) => schemas.iter().map(nesting).max().unwrap_or(0),
            ("$defs" | "definitions", Value::Object(members)) => {
                members.values().map(nesting).max().unwrap_or(0)
            }
            _ => 0,
        };
        deepest = deepest.max(inside);
    }
    deepest
}

/// One type, or one and null.
fn one_kind(path: &str, keywords: &Map<String, Value>, found: &mut Vec<String>) {
    if let Some(Value::Array(kinds)) = keywords.get("type") {
        let others = kinds.iter().filter(|kind| *kind != "null").count();
        if others > 1 || kinds.len() > 2 {
            found.push(format!("{path}: several types"));
        }
    }
}

fn requires_what_is_there(path: &str, keywords: &Map<String, Value>, found: &mut Vec<String>) {
    let known = names(keywords, "properties");
    for name in names(keywords, "required") {
        if !known.contains(&name) {
            found.push(format!("{path}: required[{name}]: property is not defined"));
        }
    }
}

fn gemini(schema: &Value, found: &mut Vec<String>) {
    const KNOWN: [&str; 17] = [
        "type",
        "format",
        "title",
        "description",
        "enum",
        "items",
        "prefixItems",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "anyOf",
        "oneOf",
        "properties",
        "additionalProperties",
        "required",
        "propertyOrdering",
    ];
    standard(schema, false, found);
    objects_alone(schema, found);
    without_at_the_root(schema, &["anyOf", "oneOf", "enum"], found);
    each(schema, &mut |path, keywords, _| {
        only(path, keywords, &KNOWN, found);
        one_kind(path, keywords, found);
        requires_what_is_there(path, keywords, found);
        if kinds(keywords).contains(&"array") && !keywords.contains_key("items") {
            found.push(format!("{path}: items: missing field"));
        }
        if let Some(Value::Array(choices)) = keywords.get("enum")
            && !choices.iter().all(Value::is_string)
            && !choices.iter().all(Value::is_number)
        {
            found.push(format!(
                "{path}: enum of something else than texts or numbers"
            ));
        }
        if let Some(Value::String(format)) = keywords.get("format")
            && !["date-time", "date", "time"].contains(&format.as_str())
        {
            found.push(format!(
                "{path}: only 'date-time', 'date' and 'time' are supported"
            ));
        }
    });
}

fn cohere(schema: &Value, found: &mut Vec<String>) {
    const KNOWN: [&str; 13] = [
        "type",
        "title",
        "description",
        "default",
        "enum",
        "const",
        "pattern",
        "format",
        "anyOf",
        "items",
        "properties",
        "additionalProperties",
        "required",
    ];
    standard(schema, false, found);
    objects_alone(schema, found);
    without_at_the_root(schema, &["anyOf", "oneOf", "enum"], found);
    each(schema, &mut |path, keywords, _| {
        for (keyword, value) in keywords {
            if !KNOWN.contains(&keyword.as_str()) && !says_nothing(keyword, value) {
                found.push(format!("{path}: {keyword} is not supported"));
            }
        }
        let pattern = keywords
            .get("pattern")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if pattern.contains("\\p{") || pattern.contains("(?!") {
            found.push(format!("{path}: the pattern {pattern} is not supported"));
        }
        one_kind(path, keywords, found);
        requires_what_is_there(path, keywords, found);
        if let Some(Value::String(format)) = keywords.get("format")
            && !["date-time", "date", "time", "uuid"].contains(&format.as_str())
        {
            found.push(format!("{path}: the format {format} is not supported"));
        }
    });
}

/// What can be overlooked without a loss.
fn says_nothing(keyword: &str, value: &Value) -> bool {
    match keyword {
        "title" | "$comment" | "$schema" | "$id" | "id" | "$anchor" | "$dynamicAnchor"
        | "readOnly" | "writeOnly" | "$vocabulary" | "$recursiveAnchor" => true,
        "additionalProperties" | "unevaluatedProperties" => value.is_boolean(),
        "uniqueItems" | "deprecated" | "nullable" => value == &json!(false),
        "default" => value.is_null(),
        other => other.starts_with("x-"),
    }
}

/// What Go's decoder makes of `ToolFunctionParameters` and `ToolProperty`, and what these do not have.
fn ollama(schema: &Value, found: &mut Vec<String>) {
    fn property(path: &str, value: &Value, found: &mut Vec<String>) {
        let Value::Object(members) = value else {
            found.push(format!(
                "{path}: cannot unmarshal into Go value of type ToolProperty"
            ));
            return;
        };
        for (name, value) in members {
            let is_right = match name.as_str() {
                "type" => {
                    value.is_string()
                        || value
                            .as_array()
                            .is_some_and(|kinds| kinds.iter().all(Value::is_string))
                }
                "description" => value.is_string(),
                "enum" => value.is_array(),
                "anyOf" => value.is_array(),
                "required" => value
                    .as_array()
                    .is_some_and(|all| all.iter().all(Value::is_string)),
                "properties" => value.is_object(),
                "items" => value.is_object(),
                other => says_nothing(other, value),
            };
            if !is_right {
                found.push(format!("{path}/{name}: is overlooked, or of another type"));
            }
        }
        if let Some(items) = members.get("items") {
            each(items, &mut |inside, keywords, _| {
                if keywords.contains_key("$ref") {
                    found.push(format!("{path}/items{inside}: nobody follows a reference"));
                }
            });
        }
        if let Some(Value::Array(alternatives)) = members.get("anyOf") {
            for (place, alternative) in alternatives.iter().enumerate() {
                property(&format!("{path}/anyOf/{place}"), alternative, found);
            }
        }
        if let Some(Value::Object(properties)) = members.get("properties") {
            for (name, value) in properties {
                property(&format!("{path}/properties/{name}"), value, found);
            }
        }
    }
    property("", schema, found);
    for keyword in ["anyOf", "description", "enum", "items"] {
        if schema.get(keyword).is_some() {
            found.push(format!(": {keyword} at the root is overlooked"));
        }
    }
}

#[test]
fn every_rule_refuses() {
    let with = |property: Value| {
        json!({
            "type": "object", "properties": {"a": property}, "required": ["a"],
            "additionalProperties": false,
        })
    };
    let everybody = Target::ALL;
    let openai = [
        Target::OpenAi,
        Target::OpenAiResponses,
        Target::OpenAiStrict,
    ];
    let claude = [Target::Anthropic, Target::Bedrock];
    let read_as_written = [
        Target::OpenAi,
        Target::OpenAiResponses,
        Target::OpenAiStrict,
        Target::Anthropic,
        Target::Bedrock,
        Target::Mistral,
    ];
    let told: [(&[Target], Value, &str); 36] = [
        (&everybody, json!({"properties": {}}), "type: \"object\""),
        (&everybody, json!({"type": "object"}), "missing properties"),
        (
            &openai,
            json!({"type": "object", "properties": {}, "anyOf": [{}]}),
            "anyOf",
        ),
        (
            &claude,
            json!({"type": "object", "properties": {}, "oneOf": [{}]}),
            "top level",
        ),
        (
            &openai[..2],
            json!({"type": "object", "properties": {}, "not": {}}),
            "top level",
        ),
        (&openai, with(json!({"type": "array"})), "missing items"),
        (
            &[Target::Gemini],
            with(json!({"type": "array"})),
            "missing field",
        ),
        (
            &openai,
            with(json!({"type": "string", "pattern": "\\p{L}"})),
            "'regex'",
        ),
        (&read_as_written, with(json!({"type": "text"})), "2020-12"),
        (
            &read_as_written,
            with(json!({"items": [{"type": "string"}]})),
            "2020-12",
        ),
        (
            &read_as_written,
            with(json!({"type": "number", "exclusiveMinimum": true})),
            "2020-12",
        ),
        (
            &read_as_written,
            with(json!({"$ref": "#/$defs/x"})),
            "unresolvable",
        ),
        (&read_as_written, with(json!({"anyOf": []})), "2020-12"),
        (
            &read_as_written,
            with(json!({"required": ["a", "a"]})),
            "2020-12",
        ),
        (
            &claude,
            json!({"type": "object", "properties": {"a b": {}}}),
            "Property keys",
        ),
        (
            &[Target::BedrockNova],
            json!({"type": "object", "properties": {}, "definitions": {}}),
            "extraneous key [definitions]",
        ),
        (
            &[Target::BedrockNova],
            with(json!({"$ref": "#"})),
            "cannot be sent",
        ),
        (
            &[Target::OpenAiStrict],
            with(json!({"type": "string", "minLength": 1})),
            "permitted",
        ),
        (
            &[Target::OpenAiStrict],
            with(json!({"oneOf": [{"type": "string"}]})),
            "permitted",
        ),
        (&[Target::OpenAiStrict], with(json!({})), "'type' key"),
        (
            &[Target::OpenAiStrict],
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false}),
            "'required'",
        ),
        (
            &[Target::OpenAiStrict],
            with(json!({"type": "object", "properties": {}, "required": []})),
            "'additionalProperties'",
        ),
        (
            &[Target::OpenAiStrict],
            with(json!({"type": "string", "format": "uri"})),
            "format",
        ),
        (
            &[Target::OpenAiStrict],
            json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/x", "description": "d"}},
                "$defs": {"x": {"type": "string"}}, "required": ["a"], "additionalProperties": false}),
            "beside it",
        ),
        (
            &[Target::Gemini, Target::Cohere],
            json!({"type": "object", "properties": {}, "anyOf": [{"type": "object"}]}),
            "top level",
        ),
        (
            &[Target::OpenAiStrict],
            (0..11).fold(json!({"type": "string"}), |inside, _| with(inside)),
            "levels of nesting",
        ),
        (
            &[Target::OpenAiStrict],
            with(json!({"enum": [[1]], "type": "array"})),
            "hold",
        ),
        (
            &[Target::Gemini],
            with(json!({"type": "string", "const": "x"})),
            "permitted",
        ),
        (
            &[Target::Gemini],
            with(json!({"type": ["string", "integer"]})),
            "several types",
        ),
        (
            &[Target::Gemini],
            with(json!({"enum": ["x", 1]})),
            "texts or numbers",
        ),
        (
            &[Target::Gemini, Target::Cohere],
            json!({"type": "object", "properties": {}, "required": ["a"]}),
            "not defined",
        ),
        (
            &[Target::Cohere],
            with(json!({"type": "string", "maxLength": 1})),
            "not supported",
        ),
        (
            &[Target::Gemini, Target::Cohere, Target::OpenAiStrict],
            with(json!(true)),
            "no schemas",
        ),
        (&[Target::Ollama], with(json!(true)), "ToolProperty"),
        (&[Target::Ollama], with(json!({"$ref": "#"})), "overlooked"),
        (
            &[Target::Mistral],
            json!({"type": "object", "properties": {}, "$schema": "https://json-schema.org/draft/2020-12/schema"}),
            "grammar",
        ),
    ];
    for (targets, schema, expected) in told {
        for target in targets {
            let found = problems(*target, &schema);
            assert!(
                found.iter().any(|problem| problem.contains(expected)),
                "{}: {schema}: {found:?}",
                target.name()
            );
        }
    }
    let mut plain = with(json!({"type": "string", "description": "d"}));
    for target in Target::ALL {
        if target == Target::BedrockNova {
            plain
                .as_object_mut()
                .unwrap()
                .remove("additionalProperties");
        } else {
            plain["additionalProperties"] = json!(false);
        }
        assert_eq!(
            problems(target, &plain),
            Vec::<String>::new(),
            "{}",
            target.name()
        );
    }
}
