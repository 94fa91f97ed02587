//! References, and schemas that several others make together: kept where the target has them, else
//! put together into one. Owns [`Walk::settle`].

use serde_json::{Map, Value, json};

use super::Made;
use super::change::Action;
use super::merge::merge;
use super::restore::{Form, Plan};
use super::walk::{Pointers, Walk};
use super::words::{Notes, say, say_condition, shown};

/// How often what came out of putting together is put together again.
const ROUNDS: usize = 64;
/// How many schemas are put together into one.
pub(super) const MAXIMUM_PARTS: usize = 1_000;
/// How often a reference is followed into itself.
const TURNS: usize = 2;
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];
/// What may be said of a reference without changing what it refers to.
const REMARKS: [&str; 10] = [
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$comment",
    "$schema",
    "$id",
];

impl<'a> Walk<'a> {
    /// Leaves nothing of the kind that the target does not have. Gives whether a reference stays.
    pub(super) fn settle(
        &mut self,
        map: &mut Map<String, Value>,
        is_root: bool,
        notes: &mut Notes,
    ) -> bool {
        self.leave_definitions(map);
        for _ in 0..ROUNDS {
            if let Some(keyword) = REFERENCES.into_iter().find(|key| map.contains_key(*key)) {
                if self.keeps_reference(keyword, map, is_root, notes) {
                    return true;
                }
                self.inline(keyword, map, notes);
            } else if map.contains_key("allOf") && !self.dialect.says("allOf", is_root) {
                if self.join(map, notes) {
                    continue;
                }
                break;
            } else if map.contains_key("if") && !self.dialect.says("if", is_root) {
                self.conditions(map, notes);
            } else if map.contains_key("dependentSchemas")
                && !self.dialect.says("dependentSchemas", is_root)
            {
                self.dependent("dependentSchemas", map, notes);
            } else if map.contains_key("dependencies")
                && !self.dialect.says("dependencies", is_root)
            {
                self.dependent("dependencies", map, notes);
            } else if let Some(keyword) = ["anyOf", "oneOf"]
                .into_iter()
                .find(|key| map.contains_key(*key) && !self.dialect.says(key, is_root))
            {
                self.discriminate(map);
                if is_root {
                    self.widen_union(keyword, map, notes);
                } else if map.contains_key("anyOf") {
                    break;
                } else if let Some(union) = map.shift_remove(keyword) {
                    map.insert("anyOf".to_owned(), union);
                    self.change(keyword, Action::Rewritten, "as anyOf");
                }
            } else {
                break;
            }
        }
        self.discriminate(map);
        false
    }

    /// Definitions stand at the root, where they are referred to; else where the target sees them.
    fn leave_definitions(&mut self, map: &mut Map<String, Value>) {
        if self.dialect.references && self.pointers == Pointers::AsTheyAre {
            return;
        }
        for keyword in ["$defs", "definitions"] {
            if map.shift_remove(keyword).is_some() && self.pointers == Pointers::AsTheyAre {
                self.change(keyword, Action::Rewritten, "said where it is referred to");
            }
        }
    }

    /// Keeps a reference where the target has such, with a name that it knows.
    fn keeps_reference(
        &mut self,
        keyword: &str,
        map: &mut Map<String, Value>,
        is_root: bool,
        notes: &mut Notes,
    ) -> bool {
        self.saw_references = true;
        let Some(Value::String(reference)) = map.get(keyword) else {
            return false;
        };
        if !self.dialect.references || is_root {
            return false;
        }
        let reference = reference.clone();
        let Ok(target) = self.resolve(&reference) else {
            return false;
        };
        if !self.dialect.beside_references {
            let has_remarks_alone = map
                .keys()
                .all(|other| other == keyword || REMARKS.contains(&other.as_str()));
            if !has_remarks_alone {
                if !self.is_old() && self.turns(target) < TURNS {
                    return false;
                }
                self.leave_neighbours(keyword, map, notes);
            }
        }
        let pointer = reference.strip_prefix('#').unwrap_or("?");
        let parts: Vec<&str> = pointer.split('/').collect();
        let is_plain = keyword == "$ref"
            && (matches!(parts[..], ["", "$defs" | "definitions", _])
                || !self.dialect.closed && (pointer.is_empty() || pointer.starts_with('/')));
        if self.pointers == Pointers::AsTheyAre && is_plain {
            return true;
        }
        let Some(written) = self.definition(&parts, target) else {
            return false;
        };
        if keyword != "$ref" || written != reference {
            if keyword == "$ref" {
                map.insert("$ref".to_owned(), Value::String(written));
            } else {
                map.shift_remove(keyword);
                map.insert("$ref".to_owned(), Value::String(written));
            }
            self.change(keyword, Action::Rewritten, "to a definition of its own");
        }
        true
    }

    /// Says in words what stands beside a reference that stays alone; of old nothing counts there.
    fn leave_neighbours(&mut self, keyword: &str, map: &mut Map<String, Value>, notes: &mut Notes) {
        let is_old = self.is_old();
        map.retain(|key, value| {
            let stays = key == keyword || REMARKS.contains(&key.as_str());
            if !stays && !is_old {
                notes.add(&say(key, value));
            }
            stays
        });
        let action = if is_old {
            Action::Rewritten
        } else {
            Action::Described
        };
        self.change(keyword, action, "nothing may stand beside it");
    }

    /// The reference to the definition that a schema becomes; nothing when it is too large for one.
    fn definition(&mut self, parts: &[&str], target: &'a Value) -> Option<String> {
        if self.pointers == Pointers::AsTheyAre {
            // Said for good in the second walk.
            return Some(String::new());
        }
        if let Some((container, name)) = self.names.get(&std::ptr::from_ref(target)) {
            return Some(written(container, name));
        }
        let (container, name) = match parts {
            ["", "$defs", name] => ("$defs", unescaped(name)),
            ["", "definitions", name] => ("definitions", unescaped(name)),
            _ => {
                self.budget = self.budget.checked_sub(size(target, self.budget)?)?;
                let last = parts.last().copied().unwrap_or_default();
                let readable: String = last
                    .chars()
                    .filter(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
                    .take(32)
                    .collect();
                ("$defs", format!("{readable}_{}", self.names.len()))
            }
        };
        self.names.insert(target, (container, name.clone()));
        let reference = written(container, &name);
        self.waiting.push_back((container, name, target));
        Some(reference)
    }

    /// A reference that stays, for a target that has nothing beside it.
    pub(super) fn reference(mut map: Map<String, Value>) -> Made {
        let reference = map.shift_remove("$ref").unwrap_or_default();
        let key = reference.as_str().unwrap_or_default();
        let plan = Plan {
            reference: Some(key.trim_start_matches("#/").to_owned()),
            ..Plan::default()
        };
        if map.is_empty() {
            map.insert("$ref".to_owned(), reference);
            return Made {
                value: Value::Object(map),
                plan,
            };
        }
        map.insert("anyOf".to_owned(), json!([{ "$ref": reference }]));
        let form = Form {
            reference: plan.reference.clone(),
            ..Form::default()
        };
        Made {
            value: Value::Object(map),
            plan: Plan {
                alternatives: vec![(form, plan)],
                ..Plan::default()
            },
        }
    }

    fn turns(&self, target: &Value) -> usize {
        let target = std::ptr::from_ref(target);
        self.inlining.iter().filter(|one| **one == target).count()
    }

    /// Puts what a reference leads to in its place.
    pub(super) fn inline(
        &mut self,
        keyword: &str,
        map: &mut Map<String, Value>,
        notes: &mut Notes,
    ) {
        let Some(Value::String(reference)) = map.shift_remove(keyword) else {
            return;
        };
        let target = match self.resolve(&reference) {
            Ok(target) => target,
            Err(why) => {
                notes.add(&format!("Refers to {reference:?}, which is not known."));
                self.change(keyword, Action::Described, &why);
                return;
            }
        };
        let room = size(target, self.budget);
        let is_too_often = self.turns(target) >= TURNS;
        if is_too_often || room.is_none() {
            let name = name_of(&reference, target);
            notes.add(&format!(
                "Of the same form as {name}, which is described above."
            ));
            let why = if is_too_often {
                "it leads back into itself"
            } else {
                "the schema would become too large"
            };
            self.change(keyword, Action::Described, why);
            if let Some(Value::String(kind)) = target.get("type") {
                map.entry("type")
                    .or_insert_with(|| Value::from(kind.as_str()));
            }
            return;
        }
        self.budget -= room.unwrap_or_default();
        self.inlining.push(target);
        self.change(keyword, Action::Rewritten, "what it refers to stands here");
        let mut inside = match target {
            Value::Object(keywords) => keywords.clone(),
            Value::Bool(false) => Map::from_iter([("not".to_owned(), json!({}))]),
            _ => Map::new(),
        };
        self.repair(&mut inside, notes);
        self.leave_definitions(&mut inside);
        let mut beside = std::mem::take(map);
        if self.is_old() {
            beside.retain(|key, _| REMARKS.contains(&key.as_str()));
        }
        if let Some(description) = beside.shift_remove("description") {
            inside.insert("description".to_owned(), description);
        }
        for key in ["$id", "$schema", "$anchor", "$dynamicAnchor"] {
            inside.shift_remove(key);
        }
        self.merged(&mut inside, beside, notes);
        *map = inside;
    }

    /// Adds keywords to others; says in words what cannot stand beside them.
    pub(super) fn merged(
        &mut self,
        map: &mut Map<String, Value>,
        more: Map<String, Value>,
        notes: &mut Notes,
    ) {
        for (keyword, value) in merge(map, more) {
            notes.add(&format!("Besides: {}", say(&keyword, &value)));
            self.change(&keyword, Action::Described, "it is said twice");
        }
    }

    /// Puts the schemas of `allOf` together into one. Gives whether that was done.
    pub(super) fn join(&mut self, map: &mut Map<String, Value>, notes: &mut Notes) -> bool {
        let Some(Value::Array(mut parts)) = map.shift_remove("allOf") else {
            return true;
        };
        if parts.len() > MAXIMUM_PARTS {
            map.insert("allOf".to_owned(), Value::Array(parts));
            return false;
        }
        self.change("allOf", Action::Rewritten, "as one schema");
        // A reference alone can stay one.
        let has_remarks_alone = map.keys().all(|key| REMARKS.contains(&key.as_str()));
        if has_remarks_alone && let [Value::Object(only)] = &mut parts[..] {
            let mut only = std::mem::take(only);
            self.repair(&mut only, notes);
            self.merged(map, only, notes);
            return true;
        }
        for part in parts {
            match part {
                Value::Object(mut part) => {
                    self.repair(&mut part, notes);
                    self.leave_definitions(&mut part);
                    for _ in 0..ROUNDS {
                        let Some(keyword) =
                            REFERENCES.into_iter().find(|key| part.contains_key(*key))
                        else {
                            break;
                        };
                        self.saw_references = true;
                        self.inline(keyword, &mut part, notes);
                    }
                    self.merged(map, part, notes);
                }
                Value::Bool(false) => notes.add("Nothing fits here."),
                _ => {}
            }
        }
        true
    }

    /// `if`, `then` and `else` in words; what they are about can be said.
    fn conditions(&mut self, map: &mut Map<String, Value>, notes: &mut Notes) {
        notes.add(&say_condition(map));
        self.change("if", Action::Described, "the target does not know it");
        map.shift_remove("if");
        let branches: Vec<Value> = ["then", "else"]
            .into_iter()
            .filter_map(|keyword| map.shift_remove(keyword))
            .collect();
        self.take_properties(map, branches, notes);
    }

    /// What holds beside a member, in words; what it is about can be said.
    fn dependent(&mut self, keyword: &str, map: &mut Map<String, Value>, notes: &mut Notes) {
        let Some(value) = map.shift_remove(keyword) else {
            return;
        };
        notes.add(&say(keyword, &value));
        self.change(keyword, Action::Described, "the target does not know it");
        if let Value::Object(members) = value {
            let schemas = members.into_iter().map(|(_, schema)| schema);
            self.take_properties(map, schemas.filter(Value::is_object).collect(), notes);
        }
    }

    /// Gives the alternatives of a union the value that tells them apart, where it is said beside them
    /// alone (`discriminator` of `OpenAPI`).
    fn discriminate(&mut self, map: &mut Map<String, Value>) {
        if self.dialect.says("discriminator", false) {
            return;
        }
        let Some(discriminator) = map.shift_remove("discriminator") else {
            return;
        };
        self.change("discriminator", Action::Rewritten, "its values say it");
        let Some(name) = discriminator.get("propertyName").and_then(Value::as_str) else {
            return;
        };
        let mapping = discriminator.get("mapping").and_then(Value::as_object);
        let union = ["oneOf", "anyOf"]
            .into_iter()
            .find(|keyword| map.contains_key(*keyword));
        let Some(Value::Array(alternatives)) = union.and_then(|keyword| map.get_mut(keyword))
        else {
            return;
        };
        for alternative in alternatives {
            let Some(reference) = alternative.get("$ref").and_then(Value::as_str) else {
                continue;
            };
            let mapped = mapping.and_then(|mapping| {
                mapping
                    .iter()
                    .find(|(_, target)| *target == reference)
                    .map(|(value, _)| value.clone())
            });
            let last = reference.rsplit('/').next().unwrap_or_default();
            let value = mapped.unwrap_or_else(|| last.to_owned());
            let Ok(target) = self.resolve(reference) else {
                continue;
            };
            let property = target.get("properties").and_then(|all| all.get(name));
            let is_told = property.is_some_and(|schema| {
                schema.get("const").is_some() || schema.get("enum").is_some()
            });
            if !is_told && property.is_some() {
                // Beside a reference, so that it is put together with what it leads to.
                *alternative = json!({
                    "allOf": [
                        alternative.take(),
                        { "properties": { name: { "const": value } }, "required": [name] },
                    ],
                });
            }
        }
    }

    /// Alternatives with nothing beside them: what stands there holds for each of them.
    pub(super) fn distribute(&mut self, map: &mut Map<String, Value>, notes: &mut Notes) {
        if !map.contains_key("anyOf") {
            return;
        }
        let stays = |key: &str| {
            matches!(
                key,
                "anyOf" | "title" | "description" | "$defs" | "definitions"
            )
        };
        let beside: Map<String, Value> = map
            .iter()
            .filter(|(key, _)| !stays(key) && !REMARKS.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if beside.is_empty() {
            return;
        }
        let Some(Value::Array(alternatives)) = map.get_mut("anyOf").map(Value::take) else {
            return;
        };
        let wrapped = Value::Object(beside.clone());
        let room = size(&wrapped, self.budget / alternatives.len().max(1));
        map.retain(|key, _| !beside.contains_key(key));
        let Some(room) = room else {
            notes.add(&format!("Besides, it fits {}.", shown(&wrapped)));
            self.change(
                "anyOf",
                Action::Described,
                "the schema would become too large",
            );
            map.insert("anyOf".to_owned(), Value::Array(alternatives));
            return;
        };
        self.budget -= room * alternatives.len();
        self.change("anyOf", Action::Rewritten, "each alternative says all");
        let mut whole = Vec::with_capacity(alternatives.len());
        for alternative in alternatives {
            whole.push(match alternative {
                Value::Object(keywords) => {
                    let is_null = keywords.get("type").is_some_and(|kind| kind == "null");
                    if is_null {
                        Value::Object(keywords)
                    } else if REFERENCES.iter().any(|key| keywords.contains_key(*key)) {
                        let mut keywords = keywords;
                        self.merged(&mut keywords, beside.clone(), notes);
                        Value::Object(keywords)
                    } else {
                        let mut all = beside.clone();
                        self.merged(&mut all, keywords, notes);
                        Value::Object(all)
                    }
                }
                other => other,
            });
        }
        map.insert("anyOf".to_owned(), Value::Array(whole));
    }
}

fn written(container: &str, name: &str) -> String {
    format!(
        "#/{container}/{}",
        name.replace('~', "~0").replace('/', "~1")
    )
}

fn unescaped(name: &str) -> String {
    name.replace("~1", "/").replace("~0", "~")
}

/// What a reference is called in a description.
fn name_of(reference: &str, target: &Value) -> String {
    let title = target.get("title").and_then(Value::as_str);
    let last = reference.rsplit(['/', '#']).next().unwrap_or_default();
    match (title, last) {
        (Some(title), _) => shown(&Value::from(title)),
        (None, "") => "the whole".to_owned(),
        (None, last) => shown(&Value::from(last)),
    }
}

/// How many parts a value has; nothing when they are more than `limit`.
pub(super) fn size(value: &Value, limit: usize) -> Option<usize> {
    let mut count = 0;
    let mut waiting = vec![value];
    while let Some(value) = waiting.pop() {
        count += 1;
        if count > limit {
            return None;
        }
        match value {
            Value::Object(members) => waiting.extend(members.values()),
            Value::Array(items) => waiting.extend(items),
            // A long text is as large as many parts.
            Value::String(text) => count += text.len() / 64,
            _ => {}
        }
    }
    (count <= limit).then_some(count)
}
