//! Alternatives of objects as one object that takes what any of them takes, for targets that cannot
//! have them there. Owns [`Walk::widen_union`] and [`Walk::take_properties`].

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::change::Action;
use super::settle::MAXIMUM_PARTS;
use super::walk::Walk;
use super::words::{Notes, say, shortened, shown};

/// How deep unions may stand in one another.
const MAXIMUM_DEPTH: usize = 8;
/// How much is said of one alternative.
const SHOWN: usize = 300;

impl Walk<'_> {
    /// `anyOf` or `oneOf` of a root: the properties of all alternatives, and in words which of them
    /// belong together.
    pub(super) fn widen_union(
        &mut self,
        keyword: &str,
        map: &mut Map<String, Value>,
        notes: &mut Notes,
    ) {
        let Some(Value::Array(mut alternatives)) = map.shift_remove(keyword) else {
            return;
        };
        if alternatives.len() > MAXIMUM_PARTS {
            let more = alternatives.split_off(MAXIMUM_PARTS);
            notes.add(&say(keyword, &Value::Array(more)));
        }
        self.change(
            keyword,
            Action::Widened,
            "the description says what belongs together",
        );
        let whole = self.flattened(alternatives, 0, notes);
        if whole.is_empty() {
            return;
        }
        let mut sentence = if keyword == "oneOf" {
            "Exactly one of these forms:".to_owned()
        } else {
            "At least one of these forms:".to_owned()
        };
        for (place, form) in whole.iter().enumerate() {
            let end = if place + 1 == whole.len() { '.' } else { ';' };
            // Writing into a text cannot fail.
            let _ = write!(sentence, " ({}) {}{end}", place + 1, told(form));
        }
        notes.add(&sentence);
        let shared = whole
            .iter()
            .skip(1)
            .fold(required(whole.first()), |shared, form| {
                let here = required(Some(form));
                shared
                    .into_iter()
                    .filter(|name| here.contains(name))
                    .collect()
            });
        let are_closed = whole
            .iter()
            .all(|form| form.get("additionalProperties") == Some(&Value::Bool(false)));
        unite(map, whole);
        require(map, shared);
        if are_closed && !map.contains_key("additionalProperties") {
            map.insert("additionalProperties".to_owned(), Value::Bool(false));
        }
    }

    /// The properties that branches are about, as properties that may be there.
    pub(super) fn take_properties(
        &mut self,
        map: &mut Map<String, Value>,
        branches: Vec<Value>,
        notes: &mut Notes,
    ) {
        let whole = self.flattened(branches, 0, notes);
        let about = whole
            .into_iter()
            .filter(|form| form.contains_key("properties"));
        unite(map, about.collect());
    }

    /// Alternatives without references and without alternatives of their own.
    fn flattened(
        &mut self,
        alternatives: Vec<Value>,
        depth: usize,
        notes: &mut Notes,
    ) -> Vec<Map<String, Value>> {
        let mut whole = Vec::new();
        for alternative in alternatives {
            let Value::Object(mut form) = alternative else {
                continue;
            };
            self.repair(&mut form, notes);
            self.gather(&mut form, notes);
            let is_about_others = form.get("type").is_some_and(|kind| {
                !super::merge::kinds(kind)
                    .iter()
                    .any(|kind| kind == "object")
            });
            if is_about_others {
                // Arguments are objects.
                continue;
            }
            let inner = ["anyOf", "oneOf"]
                .into_iter()
                .find(|keyword| form.get(*keyword).is_some_and(Value::is_array));
            let Some(keyword) = inner.filter(|_| depth < MAXIMUM_DEPTH) else {
                whole.push(form);
                continue;
            };
            let Some(Value::Array(inside)) = form.shift_remove(keyword) else {
                continue;
            };
            let inside: Vec<Value> = inside.into_iter().take(MAXIMUM_PARTS).collect();
            for inner in self.flattened(inside, depth + 1, notes) {
                let Some(room) = super::settle::size(&Value::Object(form.clone()), self.budget)
                else {
                    break;
                };
                self.budget -= room;
                let mut both = form.clone();
                self.merged(&mut both, inner, notes);
                whole.push(both);
                if whole.len() == MAXIMUM_PARTS {
                    return whole;
                }
            }
        }
        whole
    }

    /// What references and `allOf` make of one alternative.
    fn gather(&mut self, form: &mut Map<String, Value>, notes: &mut Notes) {
        for _ in 0..MAXIMUM_DEPTH {
            if form.contains_key("$ref") {
                self.saw_references = true;
                self.inline("$ref", form, notes);
            } else if form.contains_key("allOf") {
                self.join(form, notes);
            } else {
                return;
            }
        }
    }
}

/// Adds the properties of forms to a schema. A property of several forms takes what it takes in any
/// of them.
fn unite(map: &mut Map<String, Value>, forms: Vec<Map<String, Value>>) {
    let count = forms.len();
    let mut found: Map<String, Value> = Map::new();
    for mut form in forms {
        let Some(Value::Object(properties)) = form.shift_remove("properties") else {
            continue;
        };
        for (name, schema) in properties {
            let seen = found
                .entry(name)
                .or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(seen) = seen {
                seen.push(schema);
            }
        }
    }
    let properties = map
        .entry("properties")
        .or_insert_with(|| Value::Object(Map::new()));
    let Value::Object(properties) = properties else {
        return;
    };
    for (name, schemas) in found {
        let Value::Array(schemas) = schemas else {
            continue;
        };
        let is_everywhere = schemas.len() == count;
        let either = either(schemas);
        match properties.get_mut(&name) {
            None => {
                properties.insert(name, either);
            }
            // A form that says nothing of it leaves it as it is.
            Some(known) if is_everywhere && *known != either => {
                *known = if says_something(known) {
                    json!({ "allOf": [known.take(), either] })
                } else {
                    either
                };
            }
            Some(_) => {}
        }
    }
}

fn says_something(schema: &Value) -> bool {
    schema
        .as_object()
        .is_some_and(|keywords| !keywords.is_empty())
}

/// One schema for what fits any of several.
pub(super) fn either(schemas: Vec<Value>) -> Value {
    let mut unique: Vec<Value> = Vec::new();
    for schema in schemas.into_iter().take(MAXIMUM_PARTS) {
        if !says_something(&schema) && schema != Value::Bool(false) {
            return json!({});
        }
        if schema != Value::Bool(false) && !unique.contains(&schema) {
            unique.push(schema);
        }
    }
    if let Some(choices) = united_choices(&unique) {
        return choices;
    }
    match unique.len() {
        0 => json!({}),
        1 => unique.pop().unwrap_or_default(),
        _ => json!({ "anyOf": unique }),
    }
}

/// The values that tell forms apart, as one list of choices.
fn united_choices(schemas: &[Value]) -> Option<Value> {
    if schemas.len() < 2 {
        return None;
    }
    let mut united: Map<String, Value> = Map::new();
    let mut choices: Vec<Value> = Vec::new();
    let mut kinds: Vec<Value> = Vec::new();
    for schema in schemas {
        for (keyword, value) in schema.as_object()? {
            match keyword.as_str() {
                "const" => choices.push(value.clone()),
                "enum" => choices.extend(value.as_array()?.iter().cloned()),
                "type" if value.is_string() => {
                    if !kinds.contains(value) {
                        kinds.push(value.clone());
                    }
                }
                "title" => {}
                "description" if united.get("description").is_none_or(|one| one == value) => {
                    united.insert(keyword.clone(), value.clone());
                }
                _ => return None,
            }
        }
        if schema.get("const").is_none() && schema.get("enum").is_none() {
            return None;
        }
    }
    let mut unique: Vec<Value> = Vec::new();
    for choice in choices {
        if !unique.contains(&choice) {
            unique.push(choice);
        }
    }
    match kinds.len() {
        0 => {}
        1 => {
            united.insert("type".to_owned(), kinds.pop()?);
        }
        _ => return None,
    }
    united.insert("enum".to_owned(), Value::Array(unique));
    Some(Value::Object(united))
}

fn required(form: Option<&Map<String, Value>>) -> Vec<String> {
    let names = form.and_then(|form| form.get("required")?.as_array());
    names
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect()
}

fn require(map: &mut Map<String, Value>, more: Vec<String>) {
    let mut all = required(Some(map));
    let before = all.len();
    for name in more {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    if all.len() > before {
        map.insert("required".to_owned(), Value::from(all));
    }
}

/// A form in a few words.
fn told(form: &Map<String, Value>) -> String {
    let mut parts = Vec::new();
    if let Some(Value::String(title)) = form.get("title") {
        parts.push(shortened(title, 80));
    }
    let needed = required(Some(form));
    let properties = form.get("properties").and_then(Value::as_object);
    let mut constants = Vec::new();
    let mut others = Vec::new();
    for (name, schema) in properties.into_iter().flatten() {
        let only = match schema
            .get("enum")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
        {
            Some([only]) => Some(only),
            _ => schema.get("const"),
        };
        match only {
            Some(only) => constants.push(format!("{name:?} is {}", shown(only))),
            None if !needed.contains(name) => others.push(format!("{name:?}")),
            None => {}
        }
    }
    parts.append(&mut constants);
    if !needed.is_empty() {
        let names: Vec<String> = needed.iter().map(|name| format!("{name:?}")).collect();
        parts.push(format!("with {}", names.join(", ")));
    }
    if !others.is_empty() {
        parts.push(format!("may have {}", others.join(", ")));
    }
    let rest: Map<String, Value> = form
        .iter()
        .filter(|(keyword, _)| {
            !matches!(
                keyword.as_str(),
                "title"
                    | "type"
                    | "properties"
                    | "required"
                    | "description"
                    | "additionalProperties"
            )
        })
        .map(|(keyword, value)| (keyword.clone(), value.clone()))
        .collect();
    if !rest.is_empty() {
        parts.push(format!("fits {}", shown(&Value::Object(rest))));
    }
    if let Some(Value::String(description)) = form.get("description") {
        parts.push(format!("({})", shortened(description, 120)));
    }
    if parts.is_empty() {
        return "anything".to_owned();
    }
    shortened(&parts.join(", "), SHOWN)
}
