//! A schema in the words of a target: what the target cannot say is said in another way where there is
//! one, else in a description, and every change is told. Owns [`lower`], [`Lowered`] and [`Change`].
//!
//! It never fails, and what comes out is bounded by what went in: references are followed within a
//! budget, and schemas that stand too deep in others are cut. A schema that the target takes comes out
//! as it went in. The walk is one for all targets; what they can say is data (`target`).

mod change;
mod closed;
mod combine;
mod containers;
mod merge;
mod repair;
mod restore;
mod settle;
mod values;
mod walk;
mod words;

use serde_json::{Map, Value};

use super::target::{Limits, Target};
pub use change::{Action, Change};
use restore::Restoration;
use walk::{Pointers, Walk};

/// A schema in the words of a target.
#[derive(Debug, Clone)]
pub struct Lowered {
    /// The schema.
    pub schema: Value,
    /// What the root could not say: a text for the description of the tool, mostly empty.
    pub remarks: String,
    /// What is not as it was, the first thousand places.
    pub changes: Vec<Change>,
    /// How many places more are not as they were.
    pub more_changes: usize,
    /// The target whose words these are. Strict mode gives way to the plain one where it cannot hold
    /// the schema at all.
    pub target: Target,
    restoration: Restoration,
}

impl Lowered {
    /// Whether anything is not as it was.
    pub fn is_changed(&self) -> bool {
        !self.changes.is_empty()
    }

    /// Makes arguments that fit the lowered schema those that the original one is about: takes out
    /// the `null`s that stand for what was left out, and reads what had to be sent as text. What does
    /// not fit stays as it is, for the check to tell.
    pub fn restore(&self, arguments: &mut Value) {
        self.restoration.apply(arguments);
    }
}

/// Says the schema of a tool's arguments in the words of a target.
///
/// Whatever is no schema of an object is made one: arguments are objects.
pub fn lower(schema: &Value, target: Target) -> Lowered {
    let dialect = target.dialect();
    let mut walk = Walk::new(dialect, schema, Pointers::AsTheyAre);
    let mut made = walk.root();
    // Pointers may lead elsewhere in a schema that has changed; definitions stay what they are.
    if walk.saw_references && !walk.changes.is_empty() {
        walk = Walk::new(dialect, schema, Pointers::ToDefinitions);
        made = walk.root();
        if walk.changes.is_empty() && made.schema != *schema {
            walk.change("$defs", Action::Dropped, "nothing refers to it");
        }
    }
    if let Some(limits) = &dialect.limits
        && !(made.is_closed && fits(limits, &made.schema))
    {
        let mut plain = lower(schema, Target::OpenAi);
        plain.changes.insert(
            0,
            Change {
                path: String::new(),
                keyword: String::new(),
                action: Action::Widened,
                detail: "strict mode cannot hold this schema: it is sent without".to_owned(),
            },
        );
        return plain;
    }
    let (changes, more_changes) = walk.changes.into_parts();
    Lowered {
        schema: made.schema,
        remarks: made.remarks,
        changes,
        more_changes,
        target,
        restoration: made.restoration,
    }
}

/// What a walk makes of a root.
struct Root {
    schema: Value,
    remarks: String,
    restoration: Restoration,
    /// It lists all that it takes.
    is_closed: bool,
}

/// Whether a schema stays within the limits of its target.
fn fits(limits: &Limits, schema: &Value) -> bool {
    let (mut properties, mut choices, mut characters) = (0, 0, 0);
    let mut waiting = vec![schema];
    while let Some(value) = waiting.pop() {
        let Value::Object(keywords) = value else {
            continue;
        };
        for (keyword, value) in keywords {
            match (keyword.as_str(), value) {
                ("properties" | "$defs" | "definitions", Value::Object(members)) => {
                    if keyword == "properties" {
                        properties += members.len();
                    }
                    characters += members.keys().map(String::len).sum::<usize>();
                    waiting.extend(members.values());
                }
                ("enum", Value::Array(values)) => {
                    let texts = values.iter().filter_map(Value::as_str);
                    let length = texts.map(str::len).sum::<usize>();
                    let (many, longest) = limits.long_list;
                    if values.len() > many && length > longest {
                        return false;
                    }
                    choices += values.len();
                    characters += length;
                }
                ("const", Value::String(text)) => characters += text.len(),
                ("anyOf", Value::Array(schemas)) => waiting.extend(schemas),
                ("items", schema) => waiting.push(schema),
                _ => {}
            }
        }
    }
    properties <= limits.properties && choices <= limits.choices && characters <= limits.characters
}

/// A part of a schema that is ready, and the way back from what fits it.
#[derive(Debug, Default)]
struct Made {
    value: Value,
    plan: restore::Plan,
}

impl Made {
    fn of(keywords: Map<String, Value>) -> Self {
        Self {
            value: Value::Object(keywords),
            plan: restore::Plan::default(),
        }
    }
}
