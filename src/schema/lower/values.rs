//! Types, choices and constants, in the words that a target has for them. Owns [`Walk::values`].

use serde_json::{Map, Value, json};

use super::change::Action;
use super::merge::kinds;
use super::walk::Walk;
use super::words::{Notes, say, shown};
use crate::schema::target::{Choices, Patterns, TypeLists};

/// Keywords that are about values of one kind alone.
const ABOUT: [(&str, &[&str]); 26] = [
    ("properties", &["object"]),
    ("required", &["object"]),
    ("additionalProperties", &["object"]),
    ("patternProperties", &["object"]),
    ("propertyNames", &["object"]),
    ("minProperties", &["object"]),
    ("maxProperties", &["object"]),
    ("dependentRequired", &["object"]),
    ("dependentSchemas", &["object"]),
    ("unevaluatedProperties", &["object"]),
    ("items", &["array"]),
    ("prefixItems", &["array"]),
    ("additionalItems", &["array"]),
    ("minItems", &["array"]),
    ("maxItems", &["array"]),
    ("uniqueItems", &["array"]),
    ("contains", &["array"]),
    ("minLength", &["string"]),
    ("maxLength", &["string"]),
    ("pattern", &["string"]),
    ("format", &["string", "number", "integer"]),
    ("minimum", &["number", "integer"]),
    ("maximum", &["number", "integer"]),
    ("exclusiveMinimum", &["number", "integer"]),
    ("exclusiveMaximum", &["number", "integer"]),
    ("multipleOf", &["number", "integer"]),
];

impl Walk<'_> {
    /// Says types and choices so that the target understands them; what it has no single word for
    /// becomes alternatives.
    pub(super) fn values(
        &mut self,
        map: &mut Map<String, Value>,
        is_root: bool,
        notes: &mut Notes,
    ) {
        if is_root {
            return;
        }
        self.nullable(map);
        if !self.says_constant(map)
            && let Some(value) = map.shift_remove("const")
        {
            self.change("const", Action::Rewritten, "as the only choice");
            match map.get("enum") {
                Some(Value::Array(choices)) if !choices.contains(&value) => {
                    notes.add(&say("const", &value));
                }
                _ => {
                    map.insert("enum".to_owned(), json!([value]));
                }
            }
        }
        self.choices(map, notes);
        if self.dialect.closed {
            self.infer(map);
        }
        self.type_list(map, notes);
        if self.dialect.closed {
            self.leave_others(map);
        }
    }

    /// Leaves out what is about values of other types than the schema has.
    fn leave_others(&mut self, map: &mut Map<String, Value>) {
        let Some(kind) = map.get("type") else { return };
        let listed = kinds(kind);
        let others: Vec<&str> = ABOUT
            .into_iter()
            .filter(|(keyword, about)| {
                map.contains_key(*keyword)
                    && !listed.iter().any(|kind| about.contains(&kind.as_str()))
            })
            .map(|(keyword, _)| keyword)
            .collect();
        for keyword in others {
            map.shift_remove(keyword);
            self.change(keyword, Action::Dropped, "it is about another type");
        }
    }

    fn says_constant(&self, map: &Map<String, Value>) -> bool {
        let holds = map
            .get("const")
            .is_some_and(|value| value.is_object() || value.is_array());
        self.dialect.says("const", false) && !(holds && self.dialect.choices != Choices::Any)
    }

    /// `nullable` of `OpenAPI` 3.0, as one more type.
    fn nullable(&mut self, map: &mut Map<String, Value>) {
        if self.dialect.says("nullable", false) || map.get("nullable") != Some(&Value::Bool(true)) {
            return;
        }
        map.shift_remove("nullable");
        self.change("nullable", Action::Rewritten, "null is one of its types");
        if let Some(kind) = map.get("type") {
            let mut all = kinds(kind);
            if !all.iter().any(|kind| kind == "null") {
                all.push("null".to_owned());
            }
            map.insert("type".to_owned(), Value::from(all));
            if let Some(Value::Array(choices)) = map.get_mut("enum")
                && !choices.contains(&Value::Null)
            {
                choices.push(Value::Null);
            }
        } else if let Some(Value::Array(alternatives)) = map.get_mut("anyOf") {
            alternatives.push(json!({ "type": "null" }));
        }
    }

    /// Choices of kinds that the target cannot list together become alternatives.
    fn choices(&mut self, map: &mut Map<String, Value>, notes: &mut Notes) {
        let Some(Value::Array(choices)) = map.get("enum") else {
            return;
        };
        let is_fine = match self.dialect.choices {
            Choices::Any => true,
            Choices::Plain => choices
                .iter()
                .all(|one| !one.is_object() && !one.is_array()),
            Choices::TextsOrNumbers => {
                choices.iter().all(Value::is_string) || choices.iter().all(Value::is_number)
            }
        };
        if is_fine {
            let is_told = map.contains_key("type") || map.contains_key("anyOf");
            if !is_told && self.dialect.choices != Choices::Any {
                let kinds = kinds_of(choices);
                self.change("type", Action::Added, "that of its choices");
                map.insert("type".to_owned(), kinds);
            } else if self.dialect.choices == Choices::TextsOrNumbers {
                self.fitting_type(map);
            }
            return;
        }
        let Some(Value::Array(choices)) = map.shift_remove("enum") else {
            return;
        };
        let mut groups: Vec<Map<String, Value>> = Vec::new();
        let mut add = |kind: Value, list: Vec<Value>, lists: bool| {
            if list.is_empty() {
                return;
            }
            let mut group = Map::new();
            group.insert("type".to_owned(), kind);
            if lists {
                group.insert("enum".to_owned(), Value::Array(list));
            } else {
                let all = [json!(true), json!(false)]
                    .iter()
                    .all(|one| list.contains(one));
                if !all && list != [Value::Null] {
                    let word = if list.len() == 1 { "const" } else { "enum" };
                    let list = if list.len() == 1 {
                        list[0].clone()
                    } else {
                        Value::Array(list)
                    };
                    group.insert("description".to_owned(), Value::String(say(word, &list)));
                }
            }
            groups.push(group);
        };
        let of = |fits: &dyn Fn(&Value) -> bool| -> Vec<Value> {
            choices.iter().filter(|one| fits(one)).cloned().collect()
        };
        if self.dialect.choices == Choices::Plain {
            let plain = of(&|one| !one.is_object() && !one.is_array());
            let kinds = kinds_of(&plain);
            add(kinds, plain, true);
        } else {
            add(json!("string"), of(&Value::is_string), true);
            let numbers = of(&Value::is_number);
            let kinds = kinds_of(&numbers);
            add(kinds, numbers, true);
            add(json!("boolean"), of(&Value::is_boolean), false);
            add(json!("null"), of(&Value::is_null), false);
        }
        add(json!("object"), of(&Value::is_object), false);
        add(json!("array"), of(&Value::is_array), false);
        self.change("enum", Action::Rewritten, "each kind of choice for itself");
        map.shift_remove("type");
        if let Some(Value::Array(union)) = map.get("anyOf") {
            notes.add(&format!(
                "Besides: {}",
                say("anyOf", &Value::Array(union.clone()))
            ));
            self.change("anyOf", Action::Described, "its choices are said");
            map.shift_remove("anyOf");
        }
        if let [only] = &mut groups[..] {
            let description = only.shift_remove("description");
            notes.add(
                description
                    .as_ref()
                    .and_then(Value::as_str)
                    .unwrap_or_default(),
            );
            for (keyword, value) in std::mem::take(only) {
                map.insert(keyword, value);
            }
        } else if !groups.is_empty() {
            let groups = groups.into_iter().map(Value::Object);
            map.insert("anyOf".to_owned(), groups.collect());
        }
    }

    /// The type of choices that are texts or numbers alone is theirs, whatever else it lists.
    fn fitting_type(&mut self, map: &mut Map<String, Value>) {
        let (Some(Value::Array(choices)), Some(kind)) = (map.get("enum"), map.get("type")) else {
            return;
        };
        let (fitting, listed) = (kinds_of(choices), kinds(kind));
        let fits = fitting
            .as_str()
            .is_some_and(|kind| listed == [kind] || kind == "integer" && listed == ["number"]);
        if !fits {
            map.insert("type".to_owned(), fitting);
            self.change("type", Action::Rewritten, "that of its choices");
        }
    }

    /// The type that the other keywords are about, for a target that wants one.
    fn infer(&mut self, map: &mut Map<String, Value>) {
        let is_told = ["type", "anyOf", "$ref"]
            .iter()
            .any(|key| map.contains_key(*key));
        if is_told {
            return;
        }
        let kind = if let Some(choices) = map.get("enum").and_then(Value::as_array) {
            kinds_of(choices)
        } else if let Some(value) = map.get("const") {
            kinds_of(std::slice::from_ref(value))
        } else {
            let about = ABOUT.iter().find(|(keyword, _)| map.contains_key(*keyword));
            let Some((_, kinds)) = about else { return };
            Value::from(kinds[0])
        };
        map.insert("type".to_owned(), kind);
        self.change("type", Action::Narrowed, "what its keywords are about");
    }

    /// A list of types as alternatives, where the target cannot list them.
    fn type_list(&mut self, map: &mut Map<String, Value>, notes: &mut Notes) {
        let Some(Value::Array(listed)) = map.get("type") else {
            return;
        };
        let holds = |kind: &Value| kind == "object" || kind == "array";
        let others = listed.iter().filter(|kind| *kind != "null").count();
        let is_fine = match self.dialect.type_lists {
            TypeLists::Any => true,
            TypeLists::Plain => !listed.iter().any(holds),
            TypeLists::Nullable => others <= 1 && !map.contains_key("enum") && listed.len() <= 2,
        };
        if is_fine {
            return;
        }
        let Some(kind) = map.shift_remove("type") else {
            return;
        };
        let all = kinds(&kind);
        if let [only] = &all[..] {
            map.insert("type".to_owned(), Value::from(only.as_str()));
            self.change("type", Action::Rewritten, "as one type");
            return;
        }
        if map.contains_key("anyOf") || map.contains_key("oneOf") {
            notes.add(&format!("Its type is one of {}.", shown(&kind)));
            self.change("type", Action::Described, "its alternatives say more");
            return;
        }
        self.change("type", Action::Rewritten, "each type for itself");
        let mut alternatives = Vec::new();
        for kind in &all {
            let mut alternative = Map::new();
            alternative.insert("type".to_owned(), Value::from(kind.as_str()));
            for (keyword, value) in map.iter() {
                match keyword.as_str() {
                    "enum" => {
                        let fitting: Vec<Value> = value
                            .as_array()
                            .into_iter()
                            .flatten()
                            .filter(|one| is_of_kind(one, kind))
                            .cloned()
                            .collect();
                        alternative.insert(keyword.clone(), Value::Array(fitting));
                    }
                    "const" => {
                        alternative.insert(keyword.clone(), value.clone());
                    }
                    _ => {
                        let about = ABOUT.iter().find(|(known, _)| known == keyword);
                        if about.is_some_and(|(_, kinds)| kinds.contains(&kind.as_str())) {
                            alternative.insert(keyword.clone(), value.clone());
                        }
                    }
                }
            }
            let is_empty = |keyword: &str| {
                alternative
                    .get(keyword)
                    .is_some_and(|choices| choices == &json!([]))
            };
            if is_empty("enum")
                || alternative
                    .get("const")
                    .is_some_and(|value| !is_of_kind(value, kind))
            {
                continue;
            }
            if kind == "null" {
                alternative.retain(|keyword, _| keyword == "type");
            }
            alternatives.push(Value::Object(alternative));
        }
        if alternatives.is_empty() {
            // No choice is of any of its types, so nothing fits; the types are what is left to say.
            for keyword in ["enum", "const"] {
                if let Some(choices) = map.shift_remove(keyword) {
                    notes.add(&say(keyword, &choices));
                    self.change(keyword, Action::Described, "none is of its types");
                }
            }
            let kinds = all.iter().map(|kind| json!({ "type": kind }));
            alternatives.extend(kinds);
        }
        let is_said = |keyword: &str| {
            matches!(keyword, "enum" | "const") || ABOUT.iter().any(|(known, _)| *known == keyword)
        };
        map.retain(|keyword, _| !is_said(keyword));
        if let [Value::Object(only)] = &mut alternatives[..] {
            map.extend(std::mem::take(only));
        } else {
            map.insert("anyOf".to_owned(), Value::Array(alternatives));
        }
    }
}

fn is_of_kind(value: &Value, kind: &str) -> bool {
    kind == kind_of(value) || kind == "number" && value.is_number()
}

pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.as_i64().is_some() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The types of values, one or a list.
fn kinds_of(values: &[Value]) -> Value {
    let mut found: Vec<&str> = Vec::new();
    for value in values {
        let kind = kind_of(value);
        if !found.contains(&kind) {
            found.push(kind);
        }
    }
    if found.contains(&"number") {
        found.retain(|kind| *kind != "integer");
    }
    match found[..] {
        [only] => Value::from(only),
        _ => Value::from(found),
    }
}

/// Whether a target understands a regular expression, as far as its letters show.
pub(super) fn is_understood(pattern: &str, patterns: Patterns) -> bool {
    // Classes and groups that ECMAScript has and Python has not.
    const NOT_PYTHON: [&str; 6] = ["\\p{", "\\P{", "\\u{", "(?<", "\\c", "\\k<"];
    const LOOKING_AROUND: [&str; 4] = ["(?=", "(?!", "(?<=", "(?<!"];
    if patterns == Patterns::Any {
        return true;
    }
    let is_python = !NOT_PYTHON.iter().any(|sign| {
        pattern.match_indices(sign).any(|(at, _)| {
            *sign != "(?<" || !matches!(pattern.as_bytes().get(at + 3), Some(b'=' | b'!'))
        })
    });
    let refers_back = || {
        pattern
            .as_bytes()
            .windows(2)
            .any(|pair| pair[0] == b'\\' && (b'1'..=b'9').contains(&pair[1]))
    };
    let looks_around = || LOOKING_AROUND.iter().any(|sign| pattern.contains(sign));
    is_python && (patterns == Patterns::Python || !looks_around() && !refers_back())
}
