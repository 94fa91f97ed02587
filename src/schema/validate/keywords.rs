//! What the keywords of a schema take: each is read once, and refused with what was found.

use serde_json::{Map, Value};

use super::compile::{Counted, Rule};
use super::decimal::Decimal;
use super::pattern::{Pattern, Tally};

pub(super) fn unusable(keyword: &str, found: &Value, accepted: &str) -> String {
    let found: String = found.to_string().chars().take(100).collect();
    format!("its {keyword:?} is {found}; it takes {accepted}")
}

pub(super) fn types(value: &Value) -> Result<Vec<String>, String> {
    const KINDS: [&str; 7] = [
        "null", "boolean", "integer", "number", "string", "array", "object",
    ];
    let named = match value {
        Value::String(one) => vec![one.clone()],
        other => texts("type", other)?,
    };
    match named.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
        Some(_) => Err(unusable(
            "type",
            value,
            &format!("any of {}", KINDS.join(", ")),
        )),
        None => Ok(named),
    }
}

pub(super) fn texts(keyword: &str, value: &Value) -> Result<Vec<String>, String> {
    let items = value.as_array();
    items
        .and_then(|items| {
            items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect()
        })
        .ok_or_else(|| unusable(keyword, value, "a list of texts"))
}

pub(super) fn members<'a>(
    keyword: &str,
    value: &'a Value,
) -> Result<&'a Map<String, Value>, String> {
    value
        .as_object()
        .ok_or_else(|| unusable(keyword, value, "an object"))
}

pub(super) fn choices(value: &Value) -> Result<Rule, String> {
    let Value::Array(values) = value else {
        return Err(unusable("enum", value, "a list"));
    };
    let shown: Vec<String> = values.iter().map(ToString::to_string).collect();
    Ok(Rule::Choices(
        values.iter().map(canonical).collect(),
        shown.join(", "),
    ))
}

pub(super) fn numeric(keyword: &str, value: &Value) -> Result<Rule, String> {
    let Value::Number(number) = value else {
        return Err(unusable(keyword, value, "a number"));
    };
    let shown = number.to_string();
    let limit = Decimal::read(&shown);
    let is_exclusive = keyword.starts_with("exclusive");
    Ok(match keyword {
        "multipleOf" => Rule::MultipleOf(limit, shown),
        "minimum" | "exclusiveMinimum" => Rule::Minimum {
            limit,
            is_exclusive,
            shown,
        },
        _ => Rule::Maximum {
            limit,
            is_exclusive,
            shown,
        },
    })
}

pub(super) fn count(keyword: &str, value: &Value) -> Result<u64, String> {
    let whole = match value {
        // 2.0 is a whole number too.
        Value::Number(number) => number.as_u64().or_else(|| {
            number
                .to_string()
                .trim_end_matches('0')
                .trim_end_matches('.')
                .parse()
                .ok()
        }),
        _ => None,
    };
    whole.ok_or_else(|| unusable(keyword, value, "a whole number of at least 0"))
}

pub(super) fn counted(keyword: &str, limit: u64) -> Rule {
    let what = match &keyword[3..] {
        "Length" => Counted::Characters,
        "Items" => Counted::Items,
        _ => Counted::Properties,
    };
    if keyword.starts_with("min") {
        Rule::MinimumCount(what, limit)
    } else {
        Rule::MaximumCount(what, limit)
    }
}

pub(super) fn pattern(tally: &mut Tally, keyword: &str, value: &Value) -> Result<Pattern, String> {
    match value {
        Value::String(text) => tally.compile(keyword, text),
        other => Err(unusable(keyword, other, "a regular expression")),
    }
}

/// One text for values that JSON Schema holds equal.
pub(in crate::schema) fn canonical(value: &Value) -> String {
    match value {
        Value::Number(number) => Decimal::read(&number.to_string()).canonical(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(members) => {
            let mut members: Vec<(&String, String)> = members
                .iter()
                .map(|(name, value)| (name, canonical(value)))
                .collect();
            members.sort_unstable();
            let members: Vec<String> = members
                .into_iter()
                .map(|(name, value)| format!("{name:?}:{value}"))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        other => other.to_string(),
    }
}
