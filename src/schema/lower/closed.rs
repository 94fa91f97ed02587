//! Strict mode: every object lists all that it takes, all of it is required, and what cannot be listed
//! is sent as JSON text. Owns what [`Walk`] does for that; `restore` undoes it.

use serde_json::{Map, Value, json};

use super::Made;
use super::change::Action;
use super::merge::kinds;
use super::restore::{Form, Plan};
use super::walk::{Walk, form_of};
use super::words::shown;

impl Walk<'_> {
    /// Whether a schema cannot be said by listing what it takes.
    pub(super) fn has_to_be_text(&self, map: &Map<String, Value>) -> bool {
        let is_told = ["type", "enum", "const", "anyOf", "$ref"]
            .iter()
            .any(|keyword| map.contains_key(*keyword));
        if !is_told {
            return true;
        }
        let kinds = map.get("type").map(kinds).unwrap_or_default();
        let holds = kinds.iter().any(|kind| kind == "object" || kind == "array");
        let is_object = kinds.iter().any(|kind| kind == "object");
        let deepest = self
            .dialect
            .limits
            .as_ref()
            .map_or(usize::MAX, |limits| limits.nesting);
        let has_choices = map.contains_key("enum") || map.contains_key("const");
        if holds && (has_choices || self.nesting + 1 >= deepest) {
            return true;
        }
        if !is_object || map.contains_key("anyOf") {
            return false;
        }
        let has_none = map
            .get("properties")
            .and_then(Value::as_object)
            .is_none_or(Map::is_empty);
        let is_closed = map.get("additionalProperties") == Some(&Value::Bool(false));
        let has_patterns = map.contains_key("patternProperties");
        let requires = map
            .get("required")
            .and_then(Value::as_array)
            .is_some_and(|names| !names.is_empty());
        has_none && !requires && (!is_closed || has_patterns)
    }

    /// A schema of values that are sent as JSON text.
    pub(super) fn as_text(&mut self, mut map: Map<String, Value>) -> Made {
        self.change("", Action::Rewritten, "its values are sent as JSON text");
        let description = map.shift_remove("description");
        let title = map.shift_remove("title");
        let mut text = Map::new();
        text.insert("type".to_owned(), Value::from("string"));
        if let Some(title) = title {
            text.insert("title".to_owned(), title);
        }
        let form = if map.is_empty() {
            "JSON text of any value.".to_owned()
        } else {
            format!(
                "JSON text of a value that fits {}.",
                shown(&Value::Object(map))
            )
        };
        let description = match description.as_ref().and_then(Value::as_str) {
            Some(said) if !said.is_empty() => format!("{said}\n{form}"),
            _ => form,
        };
        text.insert("description".to_owned(), Value::String(description));
        Made {
            value: Value::Object(text),
            plan: Plan {
                is_text: true,
                ..Plan::default()
            },
        }
    }

    /// Lets a property be `null` that may be left out. Gives whether it could not be before.
    pub(super) fn takes_null(&mut self, made: &mut Made, name: &str) -> bool {
        let Value::Object(keywords) = &mut made.value else {
            return false;
        };
        if may_be_null(keywords) {
            return false;
        }
        let is_plain = keywords.get("type").is_some_and(|kind| {
            !kinds(kind)
                .iter()
                .any(|kind| kind == "object" || kind == "array")
        });
        if let Some(Value::Array(alternatives)) = keywords.get_mut("anyOf") {
            alternatives.push(json!({ "type": "null" }));
            if !made.plan.alternatives.is_empty() {
                made.plan
                    .alternatives
                    .push((Form::default(), Plan::default()));
            }
        } else if is_plain && !keywords.contains_key("const") {
            let mut all = keywords.get("type").map(kinds).unwrap_or_default();
            if !all.iter().any(|kind| kind == "null") {
                all.push("null".to_owned());
            }
            keywords.insert("type".to_owned(), Value::from(all));
            if let Some(Value::Array(choices)) = keywords.get_mut("enum") {
                choices.push(Value::Null);
            }
        } else {
            let form = form_of(made);
            let Value::Object(mut inside) = made.value.take() else {
                return false;
            };
            let mut outside = Map::new();
            for keyword in ["title", "description"] {
                if let Some(value) = inside.shift_remove(keyword) {
                    outside.insert(keyword.to_owned(), value);
                }
            }
            outside.insert("anyOf".to_owned(), json!([inside, { "type": "null" }]));
            made.value = Value::Object(outside);
            let plan = std::mem::take(&mut made.plan);
            if !plan.is_idle() {
                made.plan.alternatives = vec![(form, plan)];
            }
        }
        let detail = format!(
            "{} may be null in place of being left out",
            shown(&Value::from(name))
        );
        self.change("required", Action::Rewritten, &detail);
        true
    }

    /// All properties are required, and there are no others.
    pub(super) fn close(&mut self, map: &mut Map<String, Value>, properties: &Map<String, Value>) {
        let names: Vec<&String> = properties.keys().collect();
        let all = Value::from(names.into_iter().map(String::as_str).collect::<Vec<_>>());
        let is_object = map
            .get("type")
            .is_some_and(|kind| kinds(kind).iter().any(|kind| kind == "object"));
        if !is_object {
            return;
        }
        match map.get("required") {
            Some(listed) if same_names(listed, &all) => {}
            None if properties.is_empty() => {
                map.insert("required".to_owned(), all);
                self.change("required", Action::Added, "there are none");
            }
            _ => {
                map.insert("required".to_owned(), all);
                self.change("required", Action::Rewritten, "all of them are required");
            }
        }
        match map.get("additionalProperties") {
            Some(Value::Bool(false)) => return,
            None => self.change("additionalProperties", Action::Added, "there are no others"),
            Some(rest) => {
                let detail = format!("others cannot be sent: {}", shown(rest));
                self.change("additionalProperties", Action::Narrowed, &detail);
            }
        }
        map.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
}

fn same_names(one: &Value, other: &Value) -> bool {
    let set = |value: &Value| -> std::collections::HashSet<String> {
        let names = value.as_array().into_iter().flatten();
        names
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect()
    };
    set(one) == set(other)
}

/// Whether a schema takes `null` by itself.
fn may_be_null(keywords: &Map<String, Value>) -> bool {
    let is_among = |kind: &Value| kinds(kind).iter().any(|kind| kind == "null");
    if let Some(Value::Array(choices)) = keywords.get("enum") {
        return choices.contains(&Value::Null);
    }
    if keywords.get("type").is_some_and(is_among) {
        return true;
    }
    keywords
        .get("anyOf")
        .and_then(Value::as_array)
        .is_some_and(|alternatives| {
            alternatives
                .iter()
                .any(|one| one.as_object().is_some_and(may_be_null))
        })
}
