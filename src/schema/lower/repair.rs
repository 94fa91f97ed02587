//! Keywords with values that JSON Schema does not give them, as servers write them all the same: what
//! is meant, where that is known. Owns [`Walk::repair`].

use serde_json::{Map, Value};

use super::change::Action;
use super::walk::Walk;
use super::words::{Notes, say};

/// What the value of a keyword is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Types,
    Text,
    Count,
    Number,
    Boolean,
    Texts,
    Values,
    Schema,
    /// A schema, or a list of them as before 2020-12.
    Items,
    Schemas,
    NamedSchemas,
    NamedTexts,
    NamedEither,
}

const ANY: &str = "any";
const KINDS: [&str; 7] = [
    "string", "integer", "number", "boolean", "object", "array", "null",
];
/// Types of other languages, and what they are in JSON. `any` is no type at all.
const OTHER_KINDS: [(&str, &str); 20] = [
    (ANY, ANY),
    ("*", ANY),
    ("str", "string"),
    ("text", "string"),
    ("int", "integer"),
    ("int32", "integer"),
    ("int64", "integer"),
    ("long", "integer"),
    ("float", "number"),
    ("double", "number"),
    ("decimal", "number"),
    ("bool", "boolean"),
    ("dict", "object"),
    ("map", "object"),
    ("struct", "object"),
    ("list", "array"),
    ("tuple", "array"),
    ("set", "array"),
    ("none", "null"),
    ("nil", "null"),
];

fn is_schema(value: &Value) -> bool {
    matches!(value, Value::Object(_) | Value::Bool(_))
}

fn is_texts(value: &Value) -> bool {
    let Value::Array(texts) = value else {
        return false;
    };
    texts.iter().all(Value::is_string) && !has_twice(texts)
}

/// Whether a list has a value twice. Long lists are compared by their text.
fn has_twice(values: &[Value]) -> bool {
    let mut seen = std::collections::HashSet::with_capacity(values.len());
    !values.iter().all(|value| seen.insert(value.to_string()))
}

fn is_kind(value: &Value) -> bool {
    value.as_str().is_some_and(|kind| KINDS.contains(&kind))
}

fn is_count(value: &Value) -> bool {
    value.as_u64().is_some()
        || value
            .as_f64()
            .is_some_and(|number| number >= 0.0 && number.fract() == 0.0)
}

impl Shape {
    fn of(keyword: &str) -> Option<Self> {
        Some(match keyword {
            "$schema" | "$id" | "$ref" | "$dynamicRef" | "$anchor" | "$dynamicAnchor"
            | "$comment" | "title" | "description" | "format" | "pattern" | "contentEncoding"
            | "contentMediaType" => Self::Text,
            "$defs" | "definitions" | "properties" | "patternProperties" | "dependentSchemas" => {
                Self::NamedSchemas
            }
            "type" => Self::Types,
            "contentSchema"
            | "not"
            | "if"
            | "then"
            | "else"
            | "contains"
            | "propertyNames"
            | "additionalItems"
            | "additionalProperties"
            | "unevaluatedItems"
            | "unevaluatedProperties" => Self::Schema,
            "minLength" | "maxLength" | "minItems" | "maxItems" | "minContains" | "maxContains"
            | "minProperties" | "maxProperties" => Self::Count,
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => {
                Self::Number
            }
            "uniqueItems" | "deprecated" | "readOnly" | "writeOnly" => Self::Boolean,
            "required" => Self::Texts,
            "enum" | "examples" => Self::Values,
            "items" => Self::Items,
            "prefixItems" | "allOf" | "anyOf" | "oneOf" => Self::Schemas,
            "dependentRequired" => Self::NamedTexts,
            "dependencies" => Self::NamedEither,
            _ => return None,
        })
    }

    fn fits(self, value: &Value) -> bool {
        let named = |fits: fn(&Value) -> bool| {
            value
                .as_object()
                .is_some_and(|members| members.values().all(fits))
        };
        let schemas = || {
            value
                .as_array()
                .is_some_and(|schemas| !schemas.is_empty() && schemas.iter().all(is_schema))
        };
        match self {
            Self::Types => {
                is_kind(value)
                    || value.as_array().is_some_and(|kinds| {
                        !kinds.is_empty() && kinds.iter().all(is_kind) && !has_twice(kinds)
                    })
            }
            Self::Text => value.is_string(),
            Self::Count => is_count(value),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Texts => is_texts(value),
            Self::Values => value.is_array(),
            Self::Schema => is_schema(value),
            Self::Items => is_schema(value) || schemas(),
            Self::Schemas => schemas(),
            Self::NamedSchemas => named(is_schema),
            Self::NamedTexts => named(is_texts),
            Self::NamedEither => named(|value| is_schema(value) || is_texts(value)),
        }
    }
}

impl Walk<'_> {
    /// Gives every keyword a value that JSON Schema gives it, or says it in words.
    pub(super) fn repair(&mut self, map: &mut Map<String, Value>, notes: &mut Notes) {
        let wrong: Vec<(String, Shape)> = map
            .iter()
            .filter_map(|(keyword, value)| {
                let shape = Shape::of(keyword)?;
                let is_right = shape.fits(value)
                    && !(keyword == "enum" && value.as_array().is_some_and(Vec::is_empty))
                    && !(keyword == "multipleOf" && value.as_f64().is_some_and(|step| step <= 0.0));
                (!is_right).then(|| (keyword.clone(), shape))
            })
            .collect();
        for (keyword, shape) in wrong {
            let Some(value) = map.get_mut(&keyword) else {
                continue;
            };
            let old = value.take();
            match mended(&keyword, shape, old) {
                Mended::Value(new) => {
                    *value = new;
                    self.change(&keyword, Action::Repaired, "its value was no JSON Schema");
                }
                Mended::Nothing => {
                    map.shift_remove(&keyword);
                    self.change(&keyword, Action::Repaired, "its value says nothing");
                }
                Mended::Bound(is_exclusive) => {
                    map.shift_remove(&keyword);
                    let limit = keyword.replace("exclusiveM", "m");
                    if is_exclusive && let Some(limit) = map.shift_remove(&limit) {
                        map.insert(keyword.clone(), limit);
                    }
                    self.change(&keyword, Action::Repaired, "draft-04 said it so");
                }
                Mended::Words(old) => {
                    map.shift_remove(&keyword);
                    notes.add(&say(&keyword, &old));
                    self.change(&keyword, Action::Described, "its value was no JSON Schema");
                }
            }
        }
    }
}

enum Mended {
    Value(Value),
    /// Neither a value nor words are needed.
    Nothing,
    /// `exclusiveMinimum` as a switch of `minimum`.
    Bound(bool),
    Words(Value),
}

fn mended(keyword: &str, shape: Shape, old: Value) -> Mended {
    if old.is_null() {
        return Mended::Nothing;
    }
    match (shape, old) {
        (Shape::Types, Value::String(kind)) => match json_kind(&kind) {
            Some(ANY) => Mended::Nothing,
            Some(kind) => Mended::Value(Value::from(kind)),
            None => Mended::Words(Value::String(kind)),
        },
        (Shape::Types, Value::Array(kinds)) => {
            let known: Option<Vec<&str>> = kinds
                .iter()
                .map(|kind| match kind {
                    Value::Null => Some("null"),
                    other => json_kind(other.as_str()?),
                })
                .collect();
            match known {
                Some(known) if !known.contains(&ANY) && !known.is_empty() => {
                    let mut unique: Vec<&str> = Vec::new();
                    for kind in known {
                        if !unique.contains(&kind) {
                            unique.push(kind);
                        }
                    }
                    Mended::Value(Value::from(unique))
                }
                // With `any` among them they say nothing.
                Some(_) => Mended::Nothing,
                None => Mended::Words(Value::Array(kinds)),
            }
        }
        (Shape::Number, Value::Bool(is_exclusive)) if keyword.starts_with("exclusive") => {
            Mended::Bound(is_exclusive)
        }
        (Shape::Count | Shape::Number, Value::String(text)) => {
            match serde_json::from_str::<Value>(text.trim()) {
                Ok(number) if shape.fits(&number) => Mended::Value(number),
                _ => Mended::Words(Value::String(text)),
            }
        }
        // Draft-03 says it at the property; the object around it has it by now.
        (Shape::Texts, Value::Bool(_)) => Mended::Nothing,
        (Shape::Texts, Value::Array(texts)) => {
            let mut unique: Vec<Value> = Vec::new();
            let mut seen = std::collections::HashSet::new();
            for text in texts {
                if let Value::String(name) = &text
                    && seen.insert(name.clone())
                {
                    unique.push(text);
                }
            }
            Mended::Value(Value::Array(unique))
        }
        (Shape::Values, Value::Array(_)) => Mended::Words(Value::Array(Vec::new())),
        (Shape::Values, value) if keyword == "examples" => Mended::Value(Value::Array(vec![value])),
        (Shape::Schemas, Value::Array(schemas)) if schemas.iter().any(is_schema) => {
            Mended::Value(schemas.into_iter().filter(is_schema).collect())
        }
        (Shape::Schemas | Shape::Items, Value::Array(schemas)) if schemas.is_empty() => {
            Mended::Nothing
        }
        (Shape::NamedSchemas, Value::Object(schemas)) => {
            let named = schemas.into_iter().map(|(name, schema)| match schema {
                schema if is_schema(&schema) => (name, schema),
                // The short form: a name and a type.
                Value::String(kind) => {
                    let mut short = Map::new();
                    match json_kind(&kind) {
                        Some(ANY) => {}
                        Some(kind) => {
                            short.insert("type".to_owned(), Value::from(kind));
                        }
                        None => {
                            short.insert("description".to_owned(), Value::String(kind));
                        }
                    }
                    (name, Value::Object(short))
                }
                other => {
                    let mut short = Map::new();
                    if !other.is_null() {
                        let told = super::words::shown(&other);
                        short.insert("description".to_owned(), Value::String(told));
                    }
                    (name, Value::Object(short))
                }
            });
            Mended::Value(Value::Object(named.collect()))
        }
        (Shape::Text, Value::Number(number)) => Mended::Value(Value::String(number.to_string())),
        (_, other) => Mended::Words(other),
    }
}

/// The type that a name stands for, `any` for all of them.
fn json_kind(name: &str) -> Option<&'static str> {
    let name = name.trim().to_ascii_lowercase();
    if let Some(kind) = KINDS.iter().find(|kind| **kind == name) {
        return Some(kind);
    }
    let other = OTHER_KINDS.iter().find(|(other, _)| *other == name);
    other.map(|(_, kind)| *kind)
}
