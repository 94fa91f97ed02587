//! The way back from arguments that fit a lowered schema to those of the original one. Owns [`Plan`]
//! and [`Restoration`].

use std::collections::HashMap;

use serde_json::{Map, Value};

/// How deep arguments are gone into.
const MAXIMUM_DEPTH: usize = 128;

/// What is to be done at one place of the arguments.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    /// The value was sent as JSON text.
    pub(super) is_text: bool,
    /// Of an object: the members with something to do.
    pub(super) members: HashMap<String, Member>,
    /// Of a list: what is to be done with each item.
    pub(super) items: Option<Box<Self>>,
    /// One of these is the right one.
    pub(super) alternatives: Vec<(Form, Self)>,
    /// That of a definition.
    pub(super) reference: Option<String>,
}

/// A member of an object.
#[derive(Debug, Clone, Default)]
pub(super) struct Member {
    /// `null` stands for its absence.
    pub(super) is_null_absent: bool,
    pub(super) plan: Plan,
}

/// What tells an alternative from others.
#[derive(Debug, Clone, Default)]
pub(super) struct Form {
    /// Of objects: all of their members, and what some of them always are.
    pub(super) members: Option<HashMap<String, Option<Vec<Value>>>>,
    /// It is a list.
    pub(super) is_list: bool,
    /// It is a text.
    pub(super) is_text: bool,
    /// It is a definition.
    pub(super) reference: Option<String>,
    /// It has alternatives itself.
    pub(super) alternatives: Vec<Self>,
}

impl Plan {
    /// Whether nothing is to be done.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_text
            && self.members.is_empty()
            && self.items.is_none()
            && self.alternatives.is_empty()
            && self.reference.is_none()
    }
}

/// The plans of a schema and of its definitions.
#[derive(Debug, Clone, Default)]
pub(super) struct Restoration {
    pub(super) root: Plan,
    pub(super) definitions: HashMap<String, (Form, Plan)>,
}

impl Restoration {
    pub(super) fn apply(&self, arguments: &mut Value) {
        self.restore(&self.root, arguments, 0);
    }

    fn restore(&self, plan: &Plan, value: &mut Value, depth: usize) {
        if depth == MAXIMUM_DEPTH {
            return;
        }
        if plan.is_text {
            if let Value::String(text) = value
                && let Ok(meant) = serde_json::from_str(text)
            {
                *value = meant;
            }
            return;
        }
        if let Some(name) = &plan.reference
            && let Some((_, plan)) = self.definitions.get(name)
        {
            return self.restore(plan, value, depth + 1);
        }
        if let Some(plan) = self.alternative(plan, value) {
            self.restore(plan, value, depth + 1);
        }
        match value {
            Value::Object(members) if !plan.members.is_empty() => {
                self.members(plan, members, depth);
            }
            Value::Array(items) => {
                if let Some(plan) = &plan.items {
                    for item in items {
                        self.restore(plan, item, depth + 1);
                    }
                }
            }
            _ => {}
        }
    }

    fn members(&self, plan: &Plan, members: &mut Map<String, Value>, depth: usize) {
        members.retain(|name, value| {
            let Some(member) = plan.members.get(name) else {
                return true;
            };
            if member.is_null_absent && value.is_null() {
                return false;
            }
            self.restore(&member.plan, value, depth + 1);
            true
        });
    }

    /// The alternative whose form a value has.
    fn alternative<'p>(&self, plan: &'p Plan, value: &Value) -> Option<&'p Plan> {
        let found = plan
            .alternatives
            .iter()
            .find(|(form, _)| self.has_form(form, value, 0));
        found.map(|(_, plan)| plan)
    }

    fn has_form(&self, form: &Form, value: &Value, depth: usize) -> bool {
        if let Some(name) = &form.reference {
            let definition = self.definitions.get(name);
            return depth < MAXIMUM_DEPTH
                && definition.is_some_and(|(form, _)| self.has_form(form, value, depth + 1));
        }
        if depth < MAXIMUM_DEPTH
            && form
                .alternatives
                .iter()
                .any(|form| self.has_form(form, value, depth + 1))
        {
            return true;
        }
        match value {
            Value::Object(members) => form.members.as_ref().is_some_and(|known| {
                members.len() == known.len()
                    && members.iter().all(|(name, value)| match known.get(name) {
                        None => false,
                        Some(None) => true,
                        Some(Some(choices)) => choices.contains(value),
                    })
            }),
            Value::Array(_) => form.is_list,
            Value::String(_) => form.is_text,
            _ => false,
        }
    }
}
