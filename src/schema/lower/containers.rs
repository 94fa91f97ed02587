//! What objects and lists hold. Owns [`Walk::containers`].

use serde_json::{Map, Value, json};

use super::change::Action;
use super::combine::either;
use super::restore::{Member, Plan};
use super::walk::{Walk, form_of};
use super::words::{Notes, say, shown};

/// How long the name of a property may be, where names are plain.
const MAXIMUM_NAME: usize = 64;
/// Keywords that hold one schema.
const SCHEMA: [&str; 12] = [
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
    "additionalItems",
    "additionalProperties",
    "items",
];
/// Keywords that hold a list of them.
const LISTS: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords that hold them by name.
const NAMED: [&str; 5] = [
    "patternProperties",
    "dependentSchemas",
    "dependencies",
    "$defs",
    "definitions",
];

impl Walk<'_> {
    /// Goes on to the schemas below one.
    pub(super) fn containers(
        &mut self,
        map: &mut Map<String, Value>,
        is_root: bool,
        notes: &mut Notes,
        plan: &mut Plan,
    ) {
        self.tuples(map, notes);
        self.needed_items(map);
        self.patterns(map, notes, is_root);
        self.properties(map, notes, plan);
        for keyword in SCHEMA {
            if !self.dialect.says(keyword, is_root) {
                continue;
            }
            let Some(value) = map.get_mut(keyword).map(Value::take) else {
                continue;
            };
            let is_switch = keyword == "additionalProperties" && value.is_boolean();
            let made = if is_switch {
                super::Made {
                    value,
                    plan: Plan::default(),
                }
            } else {
                self.schema_at(&[keyword], value)
            };
            map.insert(keyword.to_owned(), made.value);
            if keyword == "items" && !made.plan.is_idle() {
                plan.items = Some(Box::new(made.plan));
            }
        }
        for keyword in LISTS {
            if self.dialect.says(keyword, is_root) {
                self.list(keyword, map, plan);
            }
        }
        for keyword in NAMED {
            if !self.dialect.says(keyword, is_root) {
                continue;
            }
            let Some(Value::Object(schemas)) = map.get_mut(keyword).map(Value::take) else {
                continue;
            };
            let mut walked = Map::new();
            for (name, schema) in schemas {
                let schema = if schema.is_array() {
                    schema
                } else {
                    self.schema_at(&[keyword, &name], schema).value
                };
                walked.insert(name, schema);
            }
            map.insert(keyword.to_owned(), Value::Object(walked));
        }
    }

    fn list(&mut self, keyword: &str, map: &mut Map<String, Value>, plan: &mut Plan) {
        let Some(Value::Array(schemas)) = map.get_mut(keyword).map(Value::take) else {
            return;
        };
        let whole = self.dialect.closed.then(|| Value::Array(schemas.clone()));
        let mut walked = Vec::with_capacity(schemas.len());
        let mut plans = Vec::new();
        for (place, schema) in schemas.into_iter().enumerate() {
            let made = self.schema_at(&[keyword, &place.to_string()], schema);
            if self.dialect.closed {
                plans.push((form_of(&made), made.plan));
            }
            walked.push(made.value);
        }
        // A text is either itself or JSON of something else: two such alternatives cannot be told
        // apart.
        let texts = plans
            .iter()
            .filter(|(form, _)| form.is_text || form.reference.is_some())
            .count();
        let encoded = plans.iter().filter(|(_, plan)| plan.is_text).count();
        if let Some(whole) = whole
            && encoded > 0
            && texts > 1
        {
            let text = self.as_text(Map::from_iter([(keyword.to_owned(), whole)]));
            map.shift_remove(keyword);
            if let Value::Object(keywords) = text.value {
                super::walk::describe(
                    map,
                    keywords
                        .get("description")
                        .and_then(Value::as_str)
                        .unwrap_or_default(),
                );
                map.extend(keywords.into_iter().filter(|(key, _)| key != "description"));
            }
            plan.is_text = true;
            return;
        }
        map.insert(keyword.to_owned(), Value::Array(walked));
        if plans.iter().any(|(_, plan)| !plan.is_idle()) {
            plan.alternatives = plans;
        }
    }

    /// Lists of schemas under `items`, as before 2020-12, as `prefixItems`; and these as items that are
    /// any of them, where the target has no such lists.
    fn tuples(&mut self, map: &mut Map<String, Value>, notes: &mut Notes) {
        if map.get("items").is_some_and(Value::is_array)
            && let Some(prefix) = map.shift_remove("items")
        {
            let rest = map.shift_remove("additionalItems");
            if let Some(rest) = rest {
                map.insert("items".to_owned(), rest);
            }
            map.entry("prefixItems").or_insert(prefix);
            self.change("items", Action::Rewritten, "as prefixItems");
        }
        if self.dialect.says("prefixItems", false) {
            return;
        }
        let Some(Value::Array(prefix)) = map.shift_remove("prefixItems") else {
            return;
        };
        notes.add(&say("prefixItems", &Value::Array(prefix.clone())));
        self.change(
            "prefixItems",
            Action::Described,
            "its items are any of these",
        );
        let count = prefix.len();
        let mut items = prefix;
        match map.shift_remove("items") {
            Some(Value::Bool(false)) => {
                map.entry("maxItems").or_insert_with(|| json!(count));
            }
            // Whoever lists what comes first mostly means all that comes.
            None | Some(Value::Bool(true)) => {}
            Some(rest) => items.push(rest),
        }
        map.insert("items".to_owned(), either(items));
    }

    fn needed_items(&mut self, map: &mut Map<String, Value>) {
        let kinds = map.get("type").map(super::merge::kinds);
        let is_list = kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "array"));
        if !is_list || !self.dialect.needs_items {
            return;
        }
        match map.get("items") {
            None => {
                let items = match map.get("prefixItems") {
                    Some(Value::Array(prefix)) => either(prefix.clone()),
                    _ => json!({}),
                };
                map.insert("items".to_owned(), items);
                self.change("items", Action::Added, "what a list holds has to be said");
            }
            Some(Value::Bool(is_open)) => {
                if !is_open && !map.contains_key("maxItems") {
                    let count = map
                        .get("prefixItems")
                        .and_then(Value::as_array)
                        .map(Vec::len);
                    map.insert("maxItems".to_owned(), json!(count.unwrap_or_default()));
                }
                map.insert("items".to_owned(), json!({}));
                self.change("items", Action::Rewritten, "as a schema");
            }
            Some(_) => {}
        }
    }

    /// Members by patterns of their names are other members, where the target has no such patterns.
    fn patterns(&mut self, map: &mut Map<String, Value>, notes: &mut Notes, is_root: bool) {
        if self.dialect.says("patternProperties", is_root)
            || self.dialect.closed
            || !self.dialect.says("additionalProperties", is_root)
        {
            return;
        }
        let Some(Value::Object(patterns)) = map.shift_remove("patternProperties") else {
            return;
        };
        notes.add(&say("patternProperties", &Value::Object(patterns.clone())));
        self.change(
            "patternProperties",
            Action::Described,
            "its members are other members",
        );
        let mut others: Vec<Value> = patterns.into_iter().map(|(_, schema)| schema).collect();
        match map.get("additionalProperties") {
            None | Some(Value::Bool(true)) => return,
            Some(Value::Bool(false)) => {}
            Some(rest) => others.push(rest.clone()),
        }
        map.insert("additionalProperties".to_owned(), either(others));
    }

    fn properties(&mut self, map: &mut Map<String, Value>, notes: &mut Notes, plan: &mut Plan) {
        let mut required: Vec<String> = match map.get("required") {
            Some(Value::Array(names)) => names
                .iter()
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect(),
            _ => Vec::new(),
        };
        let listed = required.len();
        let mut is_required: std::collections::HashSet<String> = required.iter().cloned().collect();
        if self.dialect.requires_known && listed > 0 {
            let properties = map
                .entry("properties")
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(properties) = properties {
                let mut is_new = false;
                for name in &required {
                    properties.entry(name.clone()).or_insert_with(|| {
                        is_new = true;
                        json!({})
                    });
                }
                if is_new {
                    self.change(
                        "properties",
                        Action::Added,
                        "what is required has to be known",
                    );
                }
            }
        }
        let kinds = map.get("type").map(super::merge::kinds).unwrap_or_default();
        if self.dialect.closed
            && kinds.iter().any(|kind| kind == "object")
            && !map.contains_key("properties")
        {
            map.insert("properties".to_owned(), json!({}));
            self.change("properties", Action::Added, "there are none");
        }
        let Some(Value::Object(properties)) = map.get_mut("properties").map(Value::take) else {
            return;
        };
        let mut walked = Map::with_capacity(properties.len());
        let mut unnamed = false;
        for (name, schema) in properties {
            if self.dialect.plain_names && !is_plain_name(&name) {
                let needed = if is_required.remove(&name) {
                    ", required"
                } else {
                    ""
                };
                notes.add(&format!(
                    "It has a member {} too{needed}, which fits {}.",
                    shown(&Value::from(name.as_str())),
                    shown(&schema)
                ));
                self.change(
                    "properties",
                    Action::Described,
                    "a name that the target refuses",
                );
                unnamed = true;
                continue;
            }
            if schema == Value::Bool(false) && !self.dialect.booleans {
                // Where it would be required, nothing fits; that is found when the arguments are checked.
                is_required.remove(&name);
                notes.add(&format!("It has no member {}.", shown(&Value::from(name))));
                self.change("properties", Action::Described, "it is not there");
                continue;
            }
            // Draft-03 says it at the property.
            if schema.get("required") == Some(&Value::Bool(true))
                && is_required.insert(name.clone())
            {
                required.push(name.clone());
            }
            let mut made = self.schema_at(&["properties", &name], schema);
            if self.dialect.closed {
                let is_null_absent =
                    !is_required.contains(&name) && self.takes_null(&mut made, &name);
                if is_null_absent || !made.plan.is_idle() {
                    let member = Member {
                        is_null_absent,
                        plan: std::mem::take(&mut made.plan),
                    };
                    plan.members.insert(name.clone(), member);
                }
            }
            walked.insert(name, made.value);
        }
        if self.dialect.closed {
            self.close(map, &walked);
        } else {
            required.retain(|name| is_required.contains(name));
            if required.len() != listed {
                map.insert("required".to_owned(), Value::from(required));
                self.change("required", Action::Rewritten, "as the properties are");
            }
            if unnamed && map.get("additionalProperties") == Some(&Value::Bool(false)) {
                map.shift_remove("additionalProperties");
                self.change("additionalProperties", Action::Widened, "there are others");
            }
        }
        map.insert("properties".to_owned(), Value::Object(walked));
    }
}

fn is_plain_name(name: &str) -> bool {
    (1..=MAXIMUM_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}
