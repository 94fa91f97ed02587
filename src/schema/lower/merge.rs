//! Two schemas that a value has to fit at once, as one. Owns [`merge`].

use serde_json::{Map, Value};

use super::words::shown;

/// Adds what `more` asks for to `map`; gives what cannot be said beside what is there, to be told in
/// words.
pub(super) fn merge(
    map: &mut Map<String, Value>,
    more: Map<String, Value>,
) -> Vec<(String, Value)> {
    let mut left = Vec::new();
    for (keyword, value) in more {
        let Some(here) = map.get_mut(&keyword) else {
            map.insert(keyword, value);
            continue;
        };
        if *here == value {
            continue;
        }
        match keyword.as_str() {
            "title" | "$schema" | "$id" | "$comment" | "default" | "examples" => {}
            "description" => *here = both_texts(here, &value),
            "type" => match common_types(here, &value) {
                Some(types) => *here = types,
                None => left.push((keyword, value)),
            },
            "enum" => match (here, value) {
                (Value::Array(here), Value::Array(value)) => {
                    let common: Vec<Value> = here
                        .iter()
                        .filter(|one| value.contains(one))
                        .cloned()
                        .collect();
                    if common.is_empty() {
                        left.push((keyword, Value::Array(value)));
                    } else {
                        *here = common;
                    }
                }
                (_, value) => left.push((keyword, value)),
            },
            "required" => {
                if let (Value::Array(here), Value::Array(more)) = (here, value) {
                    let known: std::collections::HashSet<String> = here
                        .iter()
                        .filter_map(|name| name.as_str().map(str::to_owned))
                        .collect();
                    here.extend(
                        more.into_iter()
                            .filter(|name| name.as_str().is_some_and(|name| !known.contains(name))),
                    );
                }
            }
            "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" => {
                if let (Value::Object(here), Value::Object(more)) = (here, value) {
                    for (name, schema) in more {
                        match here.get_mut(&name) {
                            None => {
                                here.insert(name, schema);
                            }
                            Some(known) if *known == schema => {}
                            Some(known) => *known = both(known.take(), schema),
                        }
                    }
                }
            }
            "dependentRequired" => {
                if let (Value::Object(here), Value::Object(more)) = (here, value) {
                    for (name, needed) in more {
                        here.entry(name).or_insert(needed);
                    }
                }
            }
            "minimum" | "exclusiveMinimum" | "minLength" | "minItems" | "minProperties" => {
                if number(&value) > number(here) {
                    *here = value;
                }
            }
            "maximum" | "exclusiveMaximum" | "maxLength" | "maxItems" | "maxProperties" => {
                if number(&value) < number(here) {
                    *here = value;
                }
            }
            // Whoever closes parts means to close what they make together.
            "additionalProperties" | "unevaluatedProperties" => {
                if value == Value::Bool(false) || *here == Value::Bool(true) {
                    *here = value;
                } else if *here != Value::Bool(false) && value != Value::Bool(true) {
                    *here = both(here.take(), value);
                }
            }
            "items" | "contains" | "propertyNames" if !here.is_array() && !value.is_array() => {
                *here = both(here.take(), value);
            }
            "allOf" => {
                if let (Value::Array(here), Value::Array(more)) = (here, value) {
                    here.extend(more);
                }
            }
            "uniqueItems" | "deprecated" => *here = Value::Bool(true),
            _ => left.push((keyword, value)),
        }
    }
    left
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_default()
}

fn both(one: Value, other: Value) -> Value {
    let parts = Value::Array(vec![one, other]);
    Value::Object(Map::from_iter([("allOf".to_owned(), parts)]))
}

fn both_texts(one: &Value, other: &Value) -> Value {
    match (one.as_str(), other.as_str()) {
        (Some(one), Some(other)) if one.contains(other) => Value::from(one),
        (Some(one), Some(other)) => Value::String(format!("{one}\n{other}")),
        _ => Value::String(shown(one)),
    }
}

/// The types that fit both.
fn common_types(one: &Value, other: &Value) -> Option<Value> {
    let (one, other) = (kinds(one), kinds(other));
    let mut common: Vec<String> = Vec::new();
    for kind in &one {
        let is_common =
            other.contains(kind) || kind == "integer" && other.contains(&"number".to_owned());
        if is_common {
            common.push(kind.clone());
        } else if kind == "number" && other.contains(&"integer".to_owned()) {
            common.push("integer".to_owned());
        }
    }
    match common.len() {
        0 => None,
        1 => common.pop().map(Value::String),
        _ => Some(Value::from(common)),
    }
}

/// The types of a `type`, one or several.
pub(super) fn kinds(value: &Value) -> Vec<String> {
    match value {
        Value::String(kind) => vec![kind.clone()],
        Value::Array(kinds) => kinds
            .iter()
            .filter_map(|kind| kind.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    }
}
