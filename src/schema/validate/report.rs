//! How a mismatch is told: where it is, what was found, what is accepted.

use std::cmp::Ordering;

use serde_json::Value;

use super::compile::{Counted, Rule};
use super::decimal::Decimal;

/// How much of a value or of a list of choices is shown.
const SHOWN_CHARACTERS: usize = 120;

/// Where a value and a schema part ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// A JSON pointer into the value; empty for the value itself.
    pub path: String,
    pub found: String,
    pub accepted: String,
}

/// The alternative that a value comes nearest to is the one whose fault lies deepest. At one place
/// both are named.
pub(super) fn nearer(one: Option<Mismatch>, other: Mismatch) -> Mismatch {
    let Some(mut one) = one else { return other };
    match one.path.len().cmp(&other.path.len()) {
        Ordering::Less => other,
        Ordering::Greater => one,
        Ordering::Equal => {
            if one.found == other.found
                && !one.accepted.contains(&other.accepted)
                && one.accepted.len() < SHOWN_CHARACTERS
            {
                one.accepted = format!("{} or {}", one.accepted, other.accepted);
            }
            one
        }
    }
}

pub(super) fn refused_number(rule: &Rule, number: Decimal) -> Option<String> {
    match rule {
        Rule::Minimum {
            limit,
            is_exclusive,
            shown,
        } => match number.compare(*limit) {
            Ordering::Less => Some(format!("at least {shown}")),
            Ordering::Equal if *is_exclusive => Some(format!("more than {shown}")),
            _ => None,
        },
        Rule::Maximum {
            limit,
            is_exclusive,
            shown,
        } => match number.compare(*limit) {
            Ordering::Greater => Some(format!("at most {shown}")),
            Ordering::Equal if *is_exclusive => Some(format!("less than {shown}")),
            _ => None,
        },
        Rule::MultipleOf(step, shown) if !number.is_multiple_of(*step) => {
            Some(format!("a multiple of {shown}"))
        }
        _ => None,
    }
}

pub(super) fn count_of(what: Counted, value: &Value) -> Option<usize> {
    match (what, value) {
        (Counted::Characters, Value::String(text)) => Some(text.chars().count()),
        (Counted::Items, Value::Array(items)) => Some(items.len()),
        (Counted::Properties, Value::Object(members)) => Some(members.len()),
        _ => None,
    }
}

pub(super) fn is_kind(value: &Value, kind: &str) -> bool {
    match value {
        Value::Null => kind == "null",
        Value::Bool(_) => kind == "boolean",
        Value::Number(number) => {
            kind == "number" || kind == "integer" && Decimal::read(&number.to_string()).is_integer()
        }
        Value::String(_) => kind == "string",
        Value::Array(_) => kind == "array",
        Value::Object(_) => kind == "object",
    }
}

pub(super) fn called(kind: &str) -> &'static str {
    match kind {
        "null" => "null",
        "boolean" => "a boolean",
        "integer" => "an integer",
        "number" => "a number",
        "string" => "a string",
        "array" => "an array",
        _ => "an object",
    }
}

pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("an array of {} items", items.len()),
        Value::Object(members) => format!("an object of {} members", members.len()),
        Value::String(text) => {
            let start: String = text.chars().take(SHOWN_CHARACTERS).collect();
            let rest = if start.len() < text.len() { "…" } else { "" };
            format!("the string {start:?}{rest}")
        }
        scalar => shortened(&scalar.to_string()),
    }
}

pub(super) fn shortened(text: &str) -> String {
    let start: String = text.chars().take(SHOWN_CHARACTERS).collect();
    if start.len() < text.len() {
        format!("{start}…")
    } else {
        start
    }
}
