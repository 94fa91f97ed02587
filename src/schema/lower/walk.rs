//! The walk through a schema: what every part of it goes through, in order. Owns [`Walk`].

use std::collections::{HashMap, VecDeque};

use serde_json::{Map, Value};

use super::change::{Action, Change, Changes};
use super::restore::{Form, Plan, Restoration};
use super::words::{Notes, say, shown};
use super::{Made, Root};
use crate::schema::references::References;
use crate::schema::target::{ANNOTATIONS, Dialect};

/// How deep schemas may stand in one another.
const MAXIMUM_DEPTH: usize = 64;
/// How many parts references may bring in besides those that are there.
const BUDGET: usize = 10_000;
/// How much all descriptions together may grow.
const TEXT: usize = 64_000;

/// What references lead to in the schema that comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pointers {
    /// The places that they name.
    AsTheyAre,
    /// Definitions at the root, for what they lead to may stand elsewhere now.
    ToDefinitions,
}

/// One walk through one schema.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    pub(super) dialect: &'static Dialect,
    root: &'a Value,
    references: Option<References<'a>>,
    pub(super) pointers: Pointers,
    pub(super) saw_references: bool,
    pub(super) changes: Changes,
    depth: usize,
    /// How deep objects and lists stand in one another here.
    pub(super) nesting: usize,
    pub(super) budget: usize,
    text: usize,
    path: Vec<String>,
    /// The root takes arguments of any name.
    is_open: bool,
    /// What references are being followed, the outermost first.
    pub(super) inlining: Vec<*const Value>,
    /// The definitions that are referred to, by what they define.
    pub(super) names: HashMap<*const Value, (&'static str, String)>,
    pub(super) waiting: VecDeque<(&'static str, String, &'a Value)>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(dialect: &'static Dialect, root: &'a Value, pointers: Pointers) -> Self {
        Self {
            dialect,
            root,
            references: None,
            pointers,
            saw_references: false,
            changes: Changes::default(),
            depth: 0,
            nesting: 0,
            budget: BUDGET,
            text: TEXT,
            path: Vec::new(),
            is_open: false,
            inlining: Vec::new(),
            names: HashMap::new(),
            waiting: VecDeque::new(),
        }
    }

    /// The whole schema.
    pub(super) fn root(&mut self) -> Root {
        let keywords = if let Value::Object(keywords) = self.root {
            keywords.clone()
        } else {
            self.change("", Action::Repaired, "a schema of arguments is an object");
            Map::new()
        };
        self.inlining.push(self.root);
        let (made, notes) = self.object(keywords, true);
        let mut restoration = Restoration {
            root: made.plan,
            definitions: HashMap::new(),
        };
        let Value::Object(mut keywords) = made.value else {
            return Root {
                schema: made.value,
                remarks: notes.into_text(),
                restoration,
                is_closed: false,
            };
        };
        while let Some((container, name, target)) = self.waiting.pop_front() {
            self.path = vec![container.to_owned(), name.clone()];
            let made = self.schema(target.clone());
            self.path.clear();
            if self.dialect.closed {
                let form = form_of(&made);
                let key = format!("{container}/{name}");
                restoration.definitions.insert(key, (form, made.plan));
            }
            let definitions = keywords
                .entry(container)
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(definitions) = definitions {
                definitions.insert(name, made.value);
            }
        }
        let is_closed = !self.is_open;
        Root {
            schema: Value::Object(keywords),
            remarks: self.within_text(notes.into_text()),
            restoration,
            is_closed,
        }
    }

    /// A schema below another one.
    pub(super) fn schema(&mut self, value: Value) -> Made {
        let keywords = match value {
            Value::Object(keywords) => keywords,
            Value::Bool(_) if self.dialect.booleans => {
                return Made {
                    value,
                    plan: Plan::default(),
                };
            }
            Value::Bool(true) => {
                self.change("", Action::Rewritten, "true is said as {}");
                Map::new()
            }
            Value::Bool(false) => {
                self.change("", Action::Described, "nothing fits here");
                Map::from_iter([("description".to_owned(), Value::from("Nothing fits here."))])
            }
            other => {
                self.change("", Action::Repaired, "it was no schema");
                if other.is_null() {
                    Map::new()
                } else {
                    Map::from_iter([("description".to_owned(), Value::from(shown(&other)))])
                }
            }
        };
        if self.depth == MAXIMUM_DEPTH {
            return self.cut(keywords);
        }
        self.depth += 1;
        let (mut made, notes) = self.object(keywords, false);
        self.depth -= 1;
        let notes = self.within_text(notes.into_text());
        if let Value::Object(keywords) = &mut made.value {
            describe(keywords, &notes);
        }
        made
    }

    /// The same, a step further down.
    pub(super) fn schema_at(&mut self, step: &[&str], value: Value) -> Made {
        let before = self.path.len();
        self.path.extend(step.iter().map(|part| (*part).to_owned()));
        let made = self.schema(value);
        self.path.truncate(before);
        made
    }

    /// The keywords of one schema, and what its description has to say besides.
    pub(super) fn object(&mut self, mut map: Map<String, Value>, is_root: bool) -> (Made, Notes) {
        let mut notes = Notes::default();
        let followed = self.inlining.len();
        self.repair(&mut map, &mut notes);
        let is_reference = self.settle(&mut map, is_root, &mut notes);
        if is_root {
            self.root_type(&mut map);
            self.is_open = Self::is_open(&map);
        }
        let made = if is_reference && !self.dialect.beside_references {
            self.leave(&mut map, is_root, &mut notes);
            describe(&mut map, &std::mem::take(&mut notes).into_text());
            if map.len() > 1 {
                self.change("$ref", Action::Rewritten, "nothing may stand beside it");
            }
            Self::reference(map)
        } else {
            self.values(&mut map, is_root, &mut notes);
            if self.dialect.closed {
                self.distribute(&mut map, &mut notes);
            }
            if self.dialect.closed && !is_root && self.has_to_be_text(&map) {
                self.as_text(map)
            } else {
                let holds = map.contains_key("properties") || map.contains_key("items");
                self.nesting += usize::from(holds);
                let mut plan = Plan::default();
                self.containers(&mut map, is_root, &mut notes, &mut plan);
                self.nesting -= usize::from(holds);
                self.leave(&mut map, is_root, &mut notes);
                Made {
                    value: Value::Object(map),
                    plan,
                }
            }
        };
        self.inlining.truncate(followed);
        (made, notes)
    }

    /// Whether arguments may have any name.
    fn is_open(map: &Map<String, Value>) -> bool {
        let has_none = map
            .get("properties")
            .and_then(Value::as_object)
            .is_none_or(Map::is_empty);
        let others = map.get("additionalProperties");
        has_none
            && (map.contains_key("patternProperties")
                || others.is_some_and(|others| *others != Value::Bool(false)))
    }

    /// Arguments are objects, whatever else the schema takes.
    fn root_type(&mut self, map: &mut Map<String, Value>) {
        match map.get("type") {
            Some(Value::String(kind)) if kind == "object" => {}
            None => {
                map.insert("type".to_owned(), Value::from("object"));
                self.change("type", Action::Added, "arguments are objects");
            }
            Some(_) => {
                map.insert("type".to_owned(), Value::from("object"));
                self.change("type", Action::Rewritten, "arguments are objects");
            }
        }
        if !map.contains_key("properties") {
            map.insert("properties".to_owned(), Value::Object(Map::new()));
            self.change("properties", Action::Added, "there are none");
        }
    }

    /// Says in words, or leaves out, what the target does not know.
    fn leave(&mut self, map: &mut Map<String, Value>, is_root: bool, notes: &mut Notes) {
        let unknown: Vec<String> = map
            .iter()
            .filter(|(keyword, value)| {
                !self.dialect.says(keyword, is_root) || !self.understands(keyword, value)
            })
            .map(|(keyword, _)| keyword.clone())
            .collect();
        for keyword in unknown {
            let value = &map[&keyword];
            // Branches without their condition; arguments as a whole are never null.
            let is_moot = matches!(keyword.as_str(), "then" | "else" | "nullable");
            let says_nothing = ANNOTATIONS.contains(&keyword.as_str())
                || keyword.starts_with("x-")
                || matches!(
                    (keyword.as_str(), value),
                    (
                        "additionalProperties"
                            | "unevaluatedProperties"
                            | "uniqueItems"
                            | "deprecated"
                            | "nullable",
                        Value::Bool(_),
                    ) | ("default", Value::Null)
                ) && !(matches!(keyword.as_str(), "uniqueItems" | "deprecated")
                    && value == &Value::Bool(true))
                || is_moot;
            if says_nothing {
                if self.dialect.refuses_others || is_moot {
                    map.shift_remove(&keyword);
                    self.change(&keyword, Action::Dropped, "it says nothing about values");
                }
                continue;
            }
            let Some(value) = map.shift_remove(&keyword) else {
                continue;
            };
            if keyword == "description" {
                notes.add(value.as_str().unwrap_or_default());
                self.change(
                    &keyword,
                    Action::Described,
                    "the description of the tool has it",
                );
                continue;
            }
            if let Some((limit, bound)) = inclusive(&keyword, &value, map)
                && self.dialect.says(limit, is_root)
                && !map.contains_key(limit)
            {
                map.insert(limit.to_owned(), bound);
                self.change(&keyword, Action::Rewritten, limit);
                continue;
            }
            notes.add(&say(&keyword, &value));
            self.change(&keyword, Action::Described, "the target does not know it");
        }
    }

    /// Whether the target understands this value of a keyword that it knows.
    fn understands(&self, keyword: &str, value: &Value) -> bool {
        match (keyword, value) {
            ("format", Value::String(format)) => self
                .dialect
                .formats
                .is_none_or(|known| known.contains(&format.as_str())),
            ("pattern", Value::String(pattern)) => {
                super::values::is_understood(pattern, self.dialect.patterns)
            }
            _ => true,
        }
    }

    /// What stands too deep in others: its type, and the rest in words.
    fn cut(&mut self, keywords: Map<String, Value>) -> Made {
        self.change("", Action::Described, "it stands too deep in others");
        let words = format!("Fits {}.", shown(&Value::Object(keywords.clone())));
        let mut map = Map::new();
        if let Some(Value::String(kind)) = keywords.get("type")
            && kind != "array"
            && !(self.dialect.closed && kind == "object")
        {
            map.insert("type".to_owned(), Value::from(kind.as_str()));
        } else if self.dialect.closed {
            return self.as_text(keywords);
        }
        map.insert("description".to_owned(), Value::String(words));
        Made::of(map)
    }

    /// Where references lead; found out when the first one is met.
    pub(super) fn resolve(&mut self, reference: &str) -> Result<&'a Value, String> {
        let root = self.root;
        let references = self.references.get_or_insert_with(|| References::new(root));
        references.resolve(reference, 0).map(|(target, _)| target)
    }

    /// Draft-07 and before: nothing beside a reference counts.
    pub(super) fn is_old(&self) -> bool {
        self.references
            .as_ref()
            .is_some_and(|references| references.is_old)
    }

    pub(super) fn change(&mut self, keyword: &str, action: Action, detail: &str) {
        let path = &self.path;
        self.changes.add(|| Change {
            path: pointer(path),
            keyword: keyword.chars().take(80).collect(),
            action,
            detail: detail.chars().take(400).collect(),
        });
    }

    /// As much of a text as all descriptions together still have room for.
    fn within_text(&mut self, text: String) -> String {
        if text.len() <= self.text {
            self.text -= text.len();
            return text;
        }
        let kept: String = text.chars().take(self.text / 4).collect();
        self.text = self.text.saturating_sub(kept.len()).min(self.text / 2);
        if kept.is_empty() { kept } else { kept + "…" }
    }
}

/// `exclusiveMinimum` of whole numbers as `minimum`, and the like.
fn inclusive(
    keyword: &str,
    value: &Value,
    map: &Map<String, Value>,
) -> Option<(&'static str, Value)> {
    let is_whole = map.get("type").is_some_and(|kind| kind == "integer");
    let bound = value.as_i64().filter(|_| is_whole)?;
    match keyword {
        "exclusiveMinimum" => Some(("minimum", Value::from(bound.checked_add(1)?))),
        "exclusiveMaximum" => Some(("maximum", Value::from(bound.checked_sub(1)?))),
        _ => None,
    }
}

/// Adds sentences to the description of a schema.
pub(super) fn describe(keywords: &mut Map<String, Value>, notes: &str) {
    if notes.is_empty() {
        return;
    }
    let text = match keywords.get("description").and_then(Value::as_str) {
        Some(said) if !said.is_empty() => format!("{said}\n{notes}"),
        _ => notes.to_owned(),
    };
    keywords.insert("description".to_owned(), Value::String(text));
}

/// What tells values of a schema from those of others.
pub(super) fn form_of(made: &Made) -> Form {
    let mut form = Form {
        reference: made.plan.reference.clone(),
        ..Form::default()
    };
    let Value::Object(keywords) = &made.value else {
        return form;
    };
    let kinds = keywords.get("type").map(super::merge::kinds);
    for kind in kinds.unwrap_or_default() {
        match kind.as_str() {
            "array" => form.is_list = true,
            "string" => form.is_text = true,
            "object" => {
                let properties = keywords.get("properties").and_then(Value::as_object);
                let known = properties.into_iter().flatten().map(|(name, schema)| {
                    let constant = schema.get("const").map(|value| vec![value.clone()]);
                    let choices = schema.get("enum").and_then(Value::as_array).cloned();
                    (name.clone(), constant.or(choices))
                });
                form.members = Some(known.collect());
            }
            _ => {}
        }
    }
    form.alternatives = made
        .plan
        .alternatives
        .iter()
        .map(|(form, _)| form.clone())
        .collect();
    form
}

fn pointer(path: &[String]) -> String {
    let mut pointer = String::new();
    for step in path {
        pointer.push('/');
        pointer += &step.replace('~', "~0").replace('/', "~1");
    }
    // A name may be long.
    if pointer.len() > 1_000 {
        pointer = pointer.chars().take(1_000).collect::<String>() + "…";
    }
    pointer
}
